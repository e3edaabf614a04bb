#include "harness/rows/record.h"

#include <math.h>
#include <string.h>

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

static void number(struct str *s, const char *key, double value)
{
    str_addf(s, ",\"%s\":", key);
    str_add_json_double(s, value);
}

static void layers(struct str *s, const char *key, const double *value, int n)
{
    str_addf(s, ",\"%s\":", key);
    if (!value) {
        str_add(s, "null");
        return;
    }
    str_addc(s, '[');
    for (int i = 0; i < n; i++) {
        if (i)
            str_addc(s, ',');
        str_add_json_double(s, value[i]);
    }
    str_addc(s, ']');
}

/* A budget that nobody could resolve prints as null. */
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
    int ok = r->status == ROW_OK;
    text(s, "policy", c->policy->name);
    str_addf(s, ",\"params\":%s", c->params);
    number(s, "keep", r->keep);
    known(s, "keep_tokens", r->keep_tokens, ok);
    known(s, "keep_bytes", r->keep_bytes, ok);
    text(s, "budget", c->budget_text);
    number(s, "level", r->level);
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

static void add_scores(const struct row *r, struct str *s)
{
    const struct exp_task *t = &r->x->task[r->cell->task];
    text(s, "metric", t->n_metric ? t->metric[0]->name : "");
    number(s, "score", t->n_metric ? r->metric[0] : (double)NAN);
    str_add(s, ",\"metrics\":{");
    for (int i = 0; i < t->n_metric; i++) {
        str_addf(s, "%s\"%s\":", i ? "," : "", t->metric[i]->name);
        str_add_json_double(s, r->metric[i]);
    }
    for (int i = 0; i < r->n_extra; i++) {
        str_addf(s, "%s\"%s\":", t->n_metric + i ? "," : "", r->extra[i].name);
        str_add_json_double(s, r->extra[i].value);
    }
    str_addc(s, '}');
    number(s, "nll", r->nll);
    number(s, "kl", r->kl);
    number(s, "top1", r->top1);
    number(s, "kl_max", r->kl_max);
    known(s, "first_divergence", r->first_divergence, r->first_divergence >= 0);
}

void record_json(const struct row *r, struct str *s)
{
    static const char *const status[] = {"ok", "skipped", "failed"};
    const struct exp_task *t = &r->x->task[r->cell->task];
    int ok = r->status == ROW_OK;
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
    text(s, "status", status[r->status]);
    text(s, "reason", r->reason);
    whole(s, "prompt_tokens", r->prompt_tokens);
    known(s, "n", r->n, ok);
    layers(s, "kept", r->kept, r->n_layer);
    str_addf(s, ",\"protection_cut\":%s", r->protection_cut ? "true" : "false");
    known(s, "cache_bytes", r->cache_bytes, ok);
    known(s, "cache_bytes_bf16", r->cache_bytes_bf16, ok);
    known(s, "cache_bytes_end", r->cache_bytes_end, ok);
    known(s, "cache_bytes_peak", r->cache_bytes_peak, ok);
    known(s, "policy_bytes", r->policy_bytes, ok);
    known(s, "caches_rss", r->resident_bytes, ok);
    text(s, "output", r->output);
    known(s, "output_tokens", r->output_tokens, ok);
    text(s, "finish_reason", r->finish_reason);
    if (!isnan(r->predicted))
        number(s, "predicted", r->predicted);
    add_scores(r, s);
    layers(s, "attention_lost", r->attention_lost, r->n_layer);
    layers(s, "evidence_kept", r->evidence_kept, r->n_layer);
    number(s, "prefill_s", r->prefill_s);
    number(s, "decode_s", r->decode_s);
    whole(s, "group_cells", r->group_cells);
    str_addc(s, '}');
}
