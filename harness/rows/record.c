#include "harness/rows/record.h"

#include <string.h>

#include "harness/experiment/axes.h"
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

/* The budget as it was asked for, and, where that is no fraction, in which unit: 64 tokens are no 64 bytes. */
static void add_budget(const struct cell *c, struct str *s)
{
    text(s, "budget", c->budget_text);
    if (c->budget.kind == BUDGET_TOKENS || c->budget.kind == BUDGET_BYTES)
        text(s, "budget_key", c->budget.kind == BUDGET_TOKENS ? "keep_tokens" : "keep_bytes");
}

/* What the question may generate, and the axis where its record says otherwise. */
static void add_new_tokens(const struct row *r, struct str *s)
{
    const struct cell *c = r->cell;
    whole(s, "max_new_tokens", r->max_new_tokens ? r->max_new_tokens : c->max_new_tokens);
    if (r->max_new_tokens && r->max_new_tokens != c->max_new_tokens)
        whole(s, "cell_max_new_tokens", c->max_new_tokens);
}

static void add_axes(const struct row *r, struct str *s)
{
    for (int i = 0; i < axes_count(); i++) {
        int axis = axes_in_row(i);
        const char *key = axes_at(axis)->key;
        if (strcmp(key, "budget") == 0) {
            add_budget(r->cell, s);
        } else if (strcmp(key, "max_new_tokens") == 0) {
            add_new_tokens(r, s);
        } else {
            str_addf(s, ",\"%s\":", key);
            axes_json(axis, r->cell, s);
        }
        columns_json(r, key, s);
    }
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
