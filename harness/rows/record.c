#include "harness/rows/record.h"

#include <string.h>

#include "harness/rows/columns.h"
#include "harness/rows/source_id.h"

static void text(struct str *s, const char *key, const char *value)
{
    str_addf(s, ",\"%s\":", key);
    str_add_json(s, value, strlen(value));
}

static void whole(struct str *s, const char *key, int64_t value)
{
    str_addf(s, ",\"%s\":%lld", key, (long long)value);
}

/* A length that nobody could resolve prints as null. */
static void known(struct str *s, const char *key, int64_t value, int is_known)
{
    if (is_known)
        whole(s, key, value);
    else
        str_addf(s, ",\"%s\":null", key);
}

static void add_axes(const struct row *r, struct str *s)
{
    const struct cell *c = r->cell;
    text(s, "policy", c->policy->name);
    str_addf(s, ",\"params\":%s", c->params);
    columns_json(r, "params", s);
    text(s, "budget", c->budget_text);
    columns_json(r, "budget", s);
    str_addf(s, ",\"layer_budget\":%s", c->layer_budget);
    text(s, "head_budget", c->heads->name);
    str_addf(s, ",\"protect\":%s", c->protect_json);
    text(s, "positions", experiment_positions_names[c->packed]);
    str_addf(s, ",\"prefill\":%s,\"decode\":%s", c->prefill, c->decode);
    text(s, "prune_after", experiment_prune_after_names[c->prune_after]);
    whole(s, "policy_seed", (int64_t)c->policy_seed);
    text(s, "weight_dtype", experiment_dtype_names[c->weight_dtype == MODEL_BF16]);
    whole(s, "max_new_tokens", r->max_new_tokens ? r->max_new_tokens : c->max_new_tokens);
    if (r->max_new_tokens && r->max_new_tokens != c->max_new_tokens)
        whole(s, "cell_max_new_tokens", c->max_new_tokens); /* the axis */
    text(s, "template", r->x->template_name);
}

void record_json(const struct row *r, struct str *s)
{
    const struct exp_task *t = &r->x->task[r->cell->task];
    str_addf(s, "{\"schema\":%d,\"cell\":\"%s\",\"key\":\"%s\",\"engine\":\"%.16s\",\"build\":\"%s\",\"cell_index\":%d",
             RECORD_SCHEMA, r->cell->id, r->key, r->engine ? r->engine : "", source_id_git,
             (int)(r->cell - r->x->cell));
    text(s, "model", r->x->model[r->cell->model].name);
    text(s, "task", t->label);
    whole(s, "task_version", t->ops->version);
    str_addf(s, ",\"task_params\":%s", t->params);
    known(s, "length", t->length, t->length > 0);
    whole(s, "sample", r->sample);
    whole(s, "seed", (int64_t)r->x->seed);
    text(s, "question_id", r->question_id);
    text(s, "context_id", r->context_id);
    text(s, "prompt_sha256", r->prompt_sha256);
    str_addf(s, ",\"data\":\"%.16s\"", r->data);
    add_axes(r, s);
    columns_json(r, NULL, s);
    str_addc(s, '}');
}
