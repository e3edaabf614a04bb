#include "datasets/trainer.h"

#include <stdio.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/item.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"

/* Tasks that need no library; dataset.c has them all. */
#define TRAINER_TASKS \
    TASK(niah_single_1) \
    TASK(niah_single_2) \
    TASK(niah_single_3) \
    TASK(niah_multikey_1) \
    TASK(niah_multikey_2) \
    TASK(niah_multikey_3) \
    TASK(niah_multivalue) \
    TASK(niah_multiquery) \
    TASK(vt) \
    TASK(cwe) \
    TASK(fwe) \
    TASK(passkey) \
    TASK(copy) \
    TASK(lines) \
    TASK(kv) \
    TASK(induction) \
    TASK(arithmetic) \
    TASK(text)

#define TASK(stem) extern const struct dataset_ops dataset_##stem;
TRAINER_TASKS
#undef TASK

static const struct dataset_ops *const table[] = {
#define TASK(stem) &dataset_##stem,
    TRAINER_TASKS
#undef TASK
};

struct trainer {
    const struct dataset_ops *ops;
    void *config, *self;
    char *label, *books;
    int64_t length;
    int plain; /* text to be continued: no answers to be masked */
};

/* ---- a tokenizer of bytes, as tasks see it ----------------------------------------------------- */

static int prompt_tokens(void *ctx, const char *context, size_t n_context, const char *question,
                         const char *answer_prefix)
{
    (void)ctx;
    (void)context;
    return (int)(1 + n_context + strlen(question) + strlen(answer_prefix)); /* 1: BOS */
}

static char *truncate_middle(void *ctx, const char *context, size_t n, int max_tokens, struct err *e)
{
    (void)ctx;
    (void)e;
    if (max_tokens < 0 || n <= (size_t)max_tokens)
        return mem_strndup(context, max_tokens < 0 ? 0 : n);
    size_t half = (size_t)max_tokens / 2;
    struct str s = {0};
    str_addn(&s, context, half);
    str_addn(&s, context + n - half, half);
    return str_take(&s);
}

static size_t head_bytes(void *ctx, const char *text, size_t n, int max_tokens)
{
    (void)ctx;
    (void)text;
    return max_tokens < 0 ? 0 : n < (size_t)max_tokens ? n : (size_t)max_tokens;
}

/* ---- opening ----------------------------------------------------------------------------------- */

static int set_params(const struct dataset_ops *ops, void *config, const char *text, struct err *e)
{
    char *copy = mem_strdup(text), *save = NULL;
    int rc = 0;
    for (char *pair = strtok_r(copy, ",", &save); pair && rc == 0; pair = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(pair, '=');
        const char *value = eq ? eq + 1 : "";
        if (eq)
            *eq = '\0';
        const struct param *p = eq ? param_find(ops->params, pair) : NULL;
        rc = p ? param_set(p, config, &value, 1, e)
               : err_set(e, ERR_CONFIG, "task '%s': expected NAME=VALUE of a parameter, found '%s'", ops->name, pair);
    }
    mem_free(copy);
    return rc;
}

static void report(const struct err *e, char *msg, size_t n_msg)
{
    if (n_msg)
        snprintf(msg, n_msg, "%s", e->msg);
}

struct trainer *trainer_open(const char *task, const char *params, const char *books, char *msg, size_t n_msg)
{
    struct err e = {0};
    struct str label = {0};
    struct trainer *t = mem_new(1, sizeof *t);
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i]->name, task) == 0)
            t->ops = table[i];
    if (!t->ops) {
        err_set(&e, ERR_CONFIG, "task '%s' unknown", task);
        goto fail;
    }
    t->books = mem_strdup(books);
    const struct dataset_env env = {.prompt_tokens = prompt_tokens,
                                    .truncate_middle = truncate_middle,
                                    .head_bytes = head_bytes,
                                    .data_dir = t->books,
                                    .base_dir = "."};
    t->config = mem_new(1, t->ops->config_size + 1);
    param_defaults(t->ops->params, t->config);
    if (set_params(t->ops, t->config, params, &e) || t->ops->open(&t->self, t->config, &env, &e))
        goto fail;
    const struct param *length = param_find(t->ops->params, "length");
    memcpy(&t->length, (const char *)t->config + length->offset, sizeof t->length);
    t->plain = strcmp(t->ops->metric, "nll") == 0;
    str_addf(&label, "{\"%s\":", t->ops->name);
    param_json(t->ops->params, t->config, &label);
    str_addc(&label, '}');
    t->label = str_take(&label);
    return t;
fail:
    report(&e, msg, n_msg);
    trainer_close(t);
    return NULL;
}

void trainer_close(struct trainer *t)
{
    if (!t)
        return;
    if (t->self)
        t->ops->close(t->self);
    if (t->config)
        param_fini(t->ops->params, t->config);
    mem_free(t->config);
    mem_free(t->label);
    mem_free(t->books);
    mem_free(t);
}

const char *trainer_label(const struct trainer *t)
{
    return t->label;
}

/* ---- rows -------------------------------------------------------------------------------------- */

struct row {
    int16_t *id;
    uint8_t *mask;
    int n, width;
};

static void put(struct row *row, const char *text, size_t n, int mask)
{
    for (size_t i = 0; i < n && row->n < row->width; i++, row->n++) {
        row->id[row->n] = (unsigned char)text[i];
        row->mask[row->n] = (uint8_t)mask;
    }
}

static void put_id(struct row *row, int id, int mask)
{
    if (row->n < row->width) {
        row->id[row->n] = (int16_t)id;
        row->mask[row->n++] = (uint8_t)mask;
    }
}

/* Ids by which the first answer would overrun the row; 0 when all is well. */
static int write_row(const struct trainer *t, const struct dataset_item *item, struct row *row)
{
    struct str target = {0};
    int over = 0;
    row->n = 0;
    put_id(row, TRAINER_BOS, 0);
    put(row, item->context, item->n_context, 0);
    for (int i = 0; i < item->n_question; i++) {
        const struct dataset_question *q = &item->question[i];
        size_t n_text = strlen(q->text), n_prefix = strlen(q->answer_prefix);
        str_clear(&target);
        if (t->plain)
            str_add(&target, q->answer[0]);
        else
            item_target(q, &target);
        size_t need = (i ? (size_t)row->n : 1 + item->n_context) + n_text + n_prefix + target.n + 1;
        if (need > (size_t)row->width) {
            over = i || t->plain ? 0 : (int)(need - (size_t)row->width);
            if (!t->plain)
                break;
        }
        put(row, q->text, n_text, 0);
        put(row, q->answer_prefix, n_prefix, 0);
        put(row, str_c(&target), target.n, !t->plain);
        if (!t->plain)
            put_id(row, TRAINER_EOS, 1);
    }
    while (row->n < row->width)
        put_id(row, TRAINER_PAD, 0);
    str_free(&target);
    return over;
}

static int one_row(const struct trainer *t, int32_t index, int prompt, uint64_t seed, struct row *row, struct err *e)
{
    for (int tries = 0; tries < 8; tries++) {
        struct dataset_item item = {0};
        int max_new = (int)t->length - prompt;
        if (t->ops->item(t->self, index, seed, max_new < 1 ? 1 : max_new, &item, e)) {
            dataset_item_fini(&item);
            return -1;
        }
        int over = write_row(t, &item, row);
        dataset_item_fini(&item);
        if (over == 0)
            return 0;
        prompt = (prompt < (int)t->length ? prompt : (int)t->length - 1) - over;
    }
    return err_set(e, ERR_CONFIG, "%s: no sample fits %d ids", t->label, row->width);
}

int trainer_rows(struct trainer *const *t, const int32_t *index, const int32_t *prompt, int n, uint64_t seed, int width,
                 int16_t *id, uint8_t *mask, char *msg, size_t n_msg)
{
    for (int i = 0; i < n; i++) {
        struct err e = {0};
        struct row row = {
            .id = id + (size_t)i * (size_t)width, .mask = mask + (size_t)i * (size_t)width, .width = width};
        if (one_row(t[i], index[i], prompt[i], seed, &row, &e)) {
            report(&e, msg, n_msg);
            return -1;
        }
    }
    return 0;
}
