/* jsonl: the user's own records, one JSON object a line.
 *   context, answers (list)                       required
 *   question, answer_prefix, id, group, classes, max_new_tokens, stop    optional
 * Records of one group share a context, and are the questions of one sample. Other formats are read by naming their
 * fields (LongBench: question_field: input, classes_field: all_classes, id_field: _id; XSum: context_field: article,
 * answers_field: summary_gt). A sample is a group, in the order of first appearance; nothing is drawn. */
#include <stddef.h>
#include <string.h>

#include "datasets/dataset.h"
#include "harness/base/fs.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"

enum { TRUNCATE_NONE, TRUNCATE_MIDDLE };

struct config {
    char *file, *name, *prompt, *metric;
    char *context_field, *question_field, *prefix_field, *answers_field, *id_field, *group_field, *classes_field;
    int64_t max_new_tokens, max_length;
    struct param_strings stop;
    int truncate;
};

static const char *const truncations[] = {"none", "middle", NULL};

#define TEXT(field, dflt, help) {#field, PARAM_STRING, offsetof(struct config, field), dflt, 0, 0, NULL, help}
static const struct param params[] = {
    {"file", PARAM_PATH, offsetof(struct config, file), NULL, 0, 0, NULL, "the records, one JSON object a line"},
    TEXT(name, "jsonl", "what rows print as task"),
    TEXT(prompt, "{context}\n\n{question}\n{answer_prefix}", "with {context}, {question}, {answer_prefix}"),
    TEXT(metric, "f1", "metric, or several with commas"),
    {"max_new_tokens", PARAM_INT, offsetof(struct config, max_new_tokens), "64", 1, 1e6, NULL,
     "tokens to generate, where a record does not say"},
    {"stop", PARAM_STRINGS, offsetof(struct config, stop), "", 0, 0, NULL, "strings that end an output"},
    {"truncate", PARAM_ENUM, offsetof(struct config, truncate), "none", 0, 0, truncations,
     "what happens to contexts that are too long"},
    {"max_length", PARAM_INT, offsetof(struct config, max_length), "0", 0, 1e7, NULL,
     "tokens of prompt plus max_new_tokens for truncate; 0: the model's context"},
    TEXT(context_field, "context", "field that holds the context"),
    TEXT(question_field, "question", "field that holds the question"),
    TEXT(prefix_field, "answer_prefix", "field that holds the answer prefix"),
    TEXT(answers_field, "answers", "field that holds the answers: a list, or one text"),
    TEXT(id_field, "id", "field that holds the record's id"),
    TEXT(group_field, "group", "field that names the records that share a context"),
    TEXT(classes_field, "classes", "field that lists all classes"),
    {0},
};

struct record {
    struct json *json;
    int line;
    char *id, *group;
    int sample; /* index of its group */
};

struct state {
    const struct config *c;
    struct dataset_env env;
    char *path;
    struct record *record;
    size_t n, cap;
    int n_sample;
    /* the prompt's literals: before the context, between context and question, question and prefix, after */
    char *before, *between, *after_question, *tail;
};

static int at_line(const struct state *s, int line, struct err *e, const char *what, const char *field)
{
    return err_set(e, ERR_FORMAT, "%s:%d: field '%s' %s", s->path, line, field, what);
}

static char *id_text(const struct json *v)
{
    return json_is_string(v) ? mem_strdup(json_string(v)) : json_print(v);
}

/* Checks one record's fields once, so that later reads can't fail. */
static int check_record(const struct state *s, struct record *r, struct err *e)
{
    const struct config *c = s->c;
    const char *dup;
    const struct json *answers = json_get(r->json, c->answers_field);
    if (!json_is_object(r->json))
        return err_set(e, ERR_FORMAT, "%s:%d: expected a JSON object", s->path, r->line);
    if (json_has_duplicate(r->json, &dup))
        return at_line(s, r->line, e, "stands twice", dup);
    if (!json_is_string(json_get(r->json, c->context_field)))
        return at_line(s, r->line, e, "is missing, or no text", c->context_field);
    if (!json_is_string(answers) && !json_is_array(answers))
        return at_line(s, r->line, e, "is missing, or no list of texts", c->answers_field);
    for (const struct json *a = json_is_array(answers) ? json_first(answers) : NULL; a; a = json_next(a))
        if (!json_is_string(a))
            return at_line(s, r->line, e, "holds something that is no text", c->answers_field);
    const char *const optional[] = {c->question_field, c->prefix_field};
    for (int i = 0; i < 2; i++) {
        const struct json *v = json_get(r->json, optional[i]);
        if (v && !json_is_string(v) && !json_is_null(v))
            return at_line(s, r->line, e, "is no text", optional[i]);
    }
    const struct json *new_tokens = json_get(r->json, "max_new_tokens");
    int64_t n = 1;
    if (new_tokens && (json_int64(new_tokens, &n) || n < 1 || n > 1000000))
        return at_line(s, r->line, e, "is no number of tokens", "max_new_tokens");
    return 0;
}

static int add_record(struct state *s, const char *text, size_t n, int line, struct err *e)
{
    struct record r = {.line = line};
    struct err why = {0};
    r.json = json_parse(s->path, text, n, &why);
    if (!r.json)
        return err_set(e, ERR_FORMAT, "%s:%d: not valid JSON", s->path, line);
    mem_grow(&s->record, &s->cap, s->n + 1, sizeof *s->record);
    s->record[s->n++] = r; /* owned from here on */
    struct record *mine = &s->record[s->n - 1];
    if (check_record(s, mine, e))
        return -1;
    const struct json *id = json_get(mine->json, s->c->id_field), *group = json_get(mine->json, s->c->group_field);
    struct str number = {0};
    str_addf(&number, "%d", line);
    mine->id = id ? id_text(id) : mem_strdup(number.p);
    mine->group = group ? id_text(group) : mem_strdup(mine->id);
    str_free(&number);
    for (size_t i = 0; i + 1 < s->n; i++) {
        const struct record *other = &s->record[i];
        if (strcmp(other->id, mine->id) == 0)
            return err_set(e, ERR_FORMAT, "%s:%d: id '%s' stands in line %d already", s->path, line, mine->id, other->line);
        if (strcmp(other->group, mine->group) == 0) {
            if (strcmp(json_string(json_get(other->json, s->c->context_field)),
                       json_string(json_get(mine->json, s->c->context_field))) != 0)
                return err_set(e, ERR_FORMAT, "%s:%d: group '%s' has another context in line %d", s->path, line,
                               mine->group, other->line);
            mine->sample = other->sample;
            return 0;
        }
    }
    mine->sample = s->n_sample++;
    return 0;
}

/* Cuts `prompt` at its placeholders; each stands once, in this order. */
static int read_prompt(struct state *s, struct err *e)
{
    static const char *const mark[] = {"{context}", "{question}", "{answer_prefix}"};
    const char *p = s->c->prompt, *at[3];
    for (int i = 0; i < 3; i++) {
        at[i] = strstr(p, mark[i]);
        if (!at[i] || strstr(at[i] + 1, mark[i]) || (i && at[i] < at[i - 1]))
            return err_set(e, ERR_CONFIG, "prompt: %s must stand in it once, after the ones before it", mark[i]);
    }
    s->before = mem_strndup(p, (size_t)(at[0] - p));
    p = at[0] + strlen(mark[0]);
    s->between = mem_strndup(p, (size_t)(at[1] - p));
    p = at[1] + strlen(mark[1]);
    s->after_question = mem_strndup(p, (size_t)(at[2] - p));
    s->tail = mem_strdup(at[2] + strlen(mark[2]));
    return 0;
}

static void close(void *self)
{
    struct state *s = self;
    if (!s)
        return;
    for (size_t i = 0; i < s->n; i++) {
        json_free(s->record[i].json);
        mem_free(s->record[i].id);
        mem_free(s->record[i].group);
    }
    mem_free(s->record);
    mem_free(s->path);
    mem_free(s->before);
    mem_free(s->between);
    mem_free(s->after_question);
    mem_free(s->tail);
    mem_free(s);
}

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){.c = config, .env = *env};
    size_t n = 0;
    int line = 1, rc = -1;
    s->path = fs_join(env->base_dir, s->c->file);
    char *text = fs_read(s->path, &n, e);
    if (!text || read_prompt(s, e))
        goto out;
    for (size_t at = 0; at < n; line++) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t length = end ? (size_t)(end - text) - at : n - at;
        if (strspn(text + at, " \t\r") < length && add_record(s, text + at, length, line, e))
            goto out;
        at += length + 1;
    }
    if (s->n == 0) {
        err_set(e, ERR_FORMAT, "%s: no record", s->path);
        goto out;
    }
    rc = 0;
out:
    mem_free(text);
    if (rc)
        close(s);
    else
        *self = s;
    return rc;
}

static int count(void *self)
{
    return ((struct state *)self)->n_sample;
}

static const char *text_of(const struct record *r, const char *field)
{
    const char *t = json_string(json_get(r->json, field));
    return t ? t : "";
}

static char **list_of(const struct json *v, int *n)
{
    *n = 0;
    if (json_is_string(v)) {
        char **one = mem_new(1, sizeof *one);
        one[(*n)++] = mem_strdup(json_string(v));
        return one;
    }
    char **list = mem_new((size_t)json_size(v) + 1, sizeof *list);
    for (const struct json *a = json_is_array(v) ? json_first(v) : NULL; a; a = json_next(a))
        if (json_is_string(a))
            list[(*n)++] = mem_strdup(json_string(a));
    return list;
}

static void fill_question(const struct state *s, const struct record *r, struct dataset_question *q)
{
    struct str text = {0};
    int64_t new_tokens = 0;
    str_add(&text, s->between);
    str_add(&text, text_of(r, s->c->question_field));
    q->id = mem_strdup(r->id);
    q->text = str_take(&text);
    str_add(&text, s->after_question);
    str_add(&text, text_of(r, s->c->prefix_field));
    str_add(&text, s->tail);
    q->answer_prefix = str_take(&text);
    q->answer = list_of(json_get(r->json, s->c->answers_field), &q->n_answer);
    q->classes = list_of(json_get(r->json, s->c->classes_field), &q->n_class);
    q->stop = list_of(json_get(r->json, "stop"), &q->n_stop);
    if (q->n_stop == 0 && s->c->stop.n) {
        mem_free(q->stop);
        q->stop = mem_new((size_t)s->c->stop.n, sizeof *q->stop);
        for (int i = 0; i < s->c->stop.n; i++)
            q->stop[q->n_stop++] = mem_strdup(s->c->stop.v[i]);
    }
    if (json_int64(json_get(r->json, "max_new_tokens"), &new_tokens) == 0)
        q->max_new_tokens = (int)new_tokens;
}

/* Cuts the middle out of the context until the longest of its prompts fits. */
static int truncate_context(const struct state *s, struct dataset_item *item, int max_new_tokens, struct err *e)
{
    int64_t limit = s->c->max_length ? s->c->max_length : s->env.context_length;
    for (int q = 0; q < item->n_question; q++) {
        int total = s->env.prompt_tokens(s->env.ctx, item->context, item->n_context, item->question[q].text,
                                         item->question[q].answer_prefix);
        int without = s->env.prompt_tokens(s->env.ctx, "", 0, item->question[q].text, item->question[q].answer_prefix);
        int room = (int)limit - max_new_tokens - without;
        if (!limit || total + max_new_tokens <= limit)
            continue;
        if (room < 2)
            return err_set(e, ERR_CONFIG, "%s: question '%s' alone exceeds %lld tokens", s->path, item->question[q].id,
                           (long long)limit);
        /* decoding and encoding again may not be the identity at the cut: give way until it fits */
        for (int tries = 0; tries < 8 && total + max_new_tokens > limit; tries++, room -= 4) {
            char *cut = s->env.truncate_middle(s->env.ctx, item->context, item->n_context, room, e);
            if (!cut)
                return -1;
            mem_free(item->context);
            item->context = cut;
            item->n_context = strlen(cut);
            total = s->env.prompt_tokens(s->env.ctx, item->context, item->n_context, item->question[q].text,
                                         item->question[q].answer_prefix);
        }
    }
    return 0;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *s = self;
    struct str context = {0};
    (void)seed;
    out->question = mem_new(s->n, sizeof *out->question);
    for (size_t i = 0; i < s->n; i++) {
        const struct record *r = &s->record[i];
        if (r->sample != index)
            continue;
        if (!out->context) {
            str_add(&context, s->before);
            str_add(&context, text_of(r, s->c->context_field));
            out->n_context = context.n;
            out->context = str_take(&context);
            out->context_id = mem_strdup(r->group);
        }
        fill_question(s, r, &out->question[out->n_question++]);
    }
    return s->c->truncate == TRUNCATE_MIDDLE ? truncate_context(s, out, max_new_tokens, e) : 0;
}

static const char *label(const void *config)
{
    return ((const struct config *)config)->name;
}

static const char *metric_of(const void *config)
{
    return ((const struct config *)config)->metric;
}

static int max_new_tokens_of(const void *config)
{
    return (int)((const struct config *)config)->max_new_tokens;
}

extern const struct dataset_ops dataset_jsonl;
const struct dataset_ops dataset_jsonl = {
    .abi = DATASET_ABI,
    .name = "jsonl",
    .summary = "your own records: context, question, answers",
    .source = "the file that `file` names",
    .version = 1,
    .max_new_tokens = 64,
    .metric = "f1",
    .config_size = sizeof(struct config),
    .params = params,
    .label = label,
    .metric_of = metric_of,
    .max_new_tokens_of = max_new_tokens_of,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
