#include "tests/lib/tasks.h"

#include <check.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/engine/encode.h"
#include "tests/lib/support.h"

/* A token is a word of at most four bytes: enough like a tokenizer for the search. */
static int count_fours(const char *s, size_t n)
{
    int tokens = 0, run = 0;
    for (size_t i = 0; i < n; i++) {
        run = s[i] == ' ' || s[i] == '\n' ? 0 : run + 1;
        tokens += run == 0 ? 0 : run % 4 == 1;
    }
    return tokens;
}

static int fours_prompt(void *ctx, const char *c, size_t n, const char *q, const char *p)
{
    (void)ctx;
    return count_fours(c, n) + count_fours(q, strlen(q)) + count_fours(p, strlen(p));
}

static size_t fours_head(void *ctx, const char *text, size_t n, int max)
{
    size_t i = 0;
    (void)ctx;
    while (i < n && count_fours(text, i + 1) <= max)
        i++;
    return i;
}

static char *fours_middle(void *ctx, const char *c, size_t n, int max, struct err *e)
{
    (void)ctx;
    (void)e;
    return mem_strndup(c, fours_head(NULL, c, n, max));
}

static struct tokenizer *bytes(void)
{
    struct tokenizer_data d;
    tokenizer_data_bytes(&d, "<|end|>");
    struct tokenizer *t = tokenizer_create(&d, "bytes", NULL);
    tokenizer_data_fini(&d);
    return t;
}

static struct tokenizer *bpe(void)
{
    struct json *j = support_json("tests/vectors/tokenizer_small.json");
    struct tokenizer_data d;
    support_small_tokenizer(j, "smollm", &d);
    struct tokenizer *t = tokenizer_create(&d, "small", NULL);
    tokenizer_data_fini(&d);
    json_free(j);
    return t;
}

const struct dataset_env *tasks_env(enum tasks_tokens kind)
{
    static struct dataset_env env[TASKS_N_TOKENS];
    static struct model model[TASKS_N_TOKENS];
    static struct encode_context context[TASKS_N_TOKENS];
    if (kind != TASKS_FOURS && !env[kind].prompt_tokens) {
        model[kind].tokenizer = kind == TASKS_BYTES ? bytes() : bpe();
        ck_assert_ptr_nonnull(model[kind].tokenizer);
        model[kind].hp.context_length = 8192;
        context[kind] = (struct encode_context){.model = &model[kind], .pieces = {"", "", 0, "", "", 0, 0}};
        encode_dataset_env(&context[kind], ".", &env[kind]);
    }
    if (kind == TASKS_FOURS)
        env[kind] = (struct dataset_env){.prompt_tokens = fours_prompt,
                                         .head_bytes = fours_head,
                                         .truncate_middle = fours_middle,
                                         .context_length = 8192,
                                         .base_dir = "."};
    env[kind].data_dir = "datasets/books";
    return &env[kind];
}

int tasks_prompt_tokens(enum tasks_tokens kind, const struct dataset_item *item, int question)
{
    const struct dataset_env *e = tasks_env(kind);
    return e->prompt_tokens(e->ctx, item->context, item->n_context, item->question[question].text,
                            item->question[question].answer_prefix);
}

int tasks_try_open(struct tasks_opened *o, const char *name, const char *params, enum tasks_tokens kind, struct err *e)
{
    char *copy = mem_strdup(params), *save = NULL;
    *o = (struct tasks_opened){.ops = dataset_find(name)};
    ck_assert_msg(o->ops != NULL, "no task %s", name);
    o->config = mem_new(1, o->ops->config_size);
    param_defaults(o->ops->params, o->config);
    for (char *pair = strtok_r(copy, ",", &save); pair; pair = strtok_r(NULL, ",", &save)) {
        char *eq = strchr(pair, '=');
        ck_assert_ptr_nonnull(eq);
        *eq = '\0';
        const char *value = eq + 1;
        const struct param *p = param_find(o->ops->params, pair);
        ck_assert_msg(p != NULL, "%s has no parameter %s", name, pair);
        struct err why = {0};
        ck_assert_msg(param_set(p, o->config, &value, 1, &why) == 0, "%s", why.msg);
    }
    mem_free(copy);
    return o->ops->open(&o->self, o->config, tasks_env(kind), e);
}

void tasks_open(struct tasks_opened *o, const char *name, const char *params, enum tasks_tokens kind)
{
    struct err e = {0};
    ck_assert_msg(tasks_try_open(o, name, params, kind, &e) == 0, "%s %s: %s", name, params, e.msg);
}

void tasks_close(struct tasks_opened *o)
{
    o->ops->close(o->self);
    param_fini(o->ops->params, o->config);
    mem_free(o->config);
    *o = (struct tasks_opened){0};
}

void tasks_prompt(const struct dataset_item *item, int question, struct str *out)
{
    str_clear(out);
    str_addn(out, item->context, item->n_context);
    str_add(out, item->question[question].text);
    str_add(out, item->question[question].answer_prefix);
}
