/* jsonl: the user's own records, one JSON object a line.
 *   context, answers (list)                       required
 *   question, answer_prefix, id, group, classes, max_new_tokens, stop    optional; null is as good as absent
 * Records of one group share a context, and are the questions of one sample. Other formats are read by naming their
 * fields (LongBench: question_field: input, classes_field: all_classes, id_field: _id; XSum: context_field: article,
 * answers_field: summary_gt). A sample is a group, in the order of first appearance; nothing is drawn. What a record
 * holds is used or refused with its line; fields that nobody names may stand beside. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

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

#define TEXT(field, dflt, help) \
    { \
#field, PARAM_STRING, offsetof(struct config, field), dflt, 0, 0, NULL, help \
    }
static const struct param params[] = {
    {"file", PARAM_PATH, offsetof(struct config, file), NULL, 0, 0, NULL, "the records, one JSON object a line"},
    TEXT(name, "jsonl", "what rows print as task"),
    TEXT(prompt, "{context}\n\n{question}\n{answer_prefix}",
         "{context}, then {question} and {answer_prefix} where records have them"),
    TEXT(metric, "f1", "metric, or several with commas"),
    {"max_new_tokens", PARAM_INT, offsetof(struct config, max_new_tokens), "64", 1, 1e6, NULL,
     "tokens to generate, where a record does not say"},
    {"stop", PARAM_STRINGS, offsetof(struct config, stop), "", 0, 0, NULL, "strings that end an output"},
    {"truncate", PARAM_ENUM, offsetof(struct config, truncate), "none", 0, 0, truncations,
     "what happens to contexts that are too long"},
    {"max_length", PARAM_INT, offsetof(struct config, max_length), "0", 0, 1e7, NULL,
     "tokens of prompt plus max_new_tokens for truncate; 0: the model's context"},
    TEXT(context_field, "context", "field that holds the context"),
    TEXT(question_field, "question", "field that holds the question; empty: none"),
    TEXT(prefix_field, "answer_prefix", "field that holds the answer prefix; empty: none"),
    TEXT(answers_field, "answers", "field that holds the answers: a list, or one; texts or numbers"),
    TEXT(id_field, "id", "field that holds the record's id"),
    TEXT(group_field, "group", "field that names the records that share a context"),
    TEXT(classes_field, "classes", "field that lists all classes"),
    {0},
};

/* The parameters that name fields of records. */
enum { CONTEXT, QUESTION, PREFIX, ANSWERS, ID, GROUP, CLASSES, N_FIELD };
static const char *const field_param[N_FIELD] = {"context_field", "question_field", "prefix_field", "answers_field",
                                                 "id_field",      "group_field",    "classes_field"};

struct record {
    struct json *json;
    int line, grouped;
    char *id, *group;
    int sample; /* index of its group */
    int next;   /* record of the same sample, -1: none */
};

struct sample {
    int first, last, n; /* records */
};

struct state {
    const struct config *c;
    struct dataset_env env;
    char *path;
    struct record *record;
    size_t n, cap;
    struct sample *sample;
    int n_sample, classifies; /* 1: a metric reads classes */
    const char *field[N_FIELD];
    /* the prompt's literals: before the context, between context and question, question and prefix, after */
    char *before, *between, *after_question, *tail;
    int has_question, has_prefix; /* the prompt's placeholders */
};

/* ---- reading ------------------------------------------------------------------------------------ */

/* The field; NULL where it is absent or null. */
static const struct json *value(const struct record *r, const char *field)
{
    const struct json *v = *field ? json_get(r->json, field) : NULL;
    return json_is_null(v) ? NULL : v;
}

/* A text, or a number as it is written; NULL when it is neither. */
static const char *text_or_number(const struct json *v)
{
    return json_is_string(v) ? json_string(v) : json_number_text(v);
}

/* 1 when the experiment, and not the format, names the field. */
static int is_named(const struct state *s, int field)
{
    const struct param *p = param_find(params, field_param[field]);
    return strcmp(s->field[field], p->dflt) != 0;
}

/* "; did you mean 'x'?" among the fields of a record, or which ones it has. */
static void add_fields(const struct json *object, const char *name, struct str *out)
{
    enum { MOST = 64, SHOWN = 12 };
    const char *key[MOST];
    int n = 0;
    for (const struct json *v = json_first(object); v && n < MOST; v = json_next(v))
        key[n++] = json_key(v);
    const char *near = str_did_you_mean(name, key, n);
    str_add(out, near);
    for (int i = 0; !*near && i < n && i < SHOWN; i++)
        str_addf(out, "%s%.40s", i ? ", " : "; there are ", key[i]);
    if (!*near && n > SHOWN)
        str_add(out, ", ...");
}

static int missing(const struct state *s, const struct record *r, int field, struct err *e)
{
    struct str more = {0};
    add_fields(r->json, s->field[field], &more);
    err_set(e, ERR_FORMAT, "%s:%d: field '%s' is missing%s (parameter '%s'%s)", s->path, r->line, s->field[field],
            str_c(&more), field_param[field], is_named(s, field) ? "" : " names another");
    str_free(&more);
    return -1;
}

static int is_wrong(const struct state *s, const struct record *r, const char *field, const char *expected,
                    const struct json *found, struct err *e)
{
    char *text = json_print(found);
    err_set(e, ERR_FORMAT, "%s:%d: field '%s': expected %s, found %.60s%s", s->path, r->line, field, expected, text,
            strlen(text) > 60 ? "..." : "");
    mem_free(text);
    return -1;
}

/* A list of texts, or one; none is empty. numbers: 1 when they may stand for texts. */
static int check_list(const struct state *s, const struct record *r, const char *field, const char *expected,
                      int numbers, struct err *e)
{
    const struct json *v = value(r, field);
    for (const struct json *a = json_is_array(v) ? json_first(v) : v; a; a = json_is_array(v) ? json_next(a) : NULL) {
        const char *text = numbers ? text_or_number(a) : json_string(a);
        if (!text || !*text)
            return is_wrong(s, r, field, expected, a, e);
    }
    return 0;
}

/* The right answer must be one of the classes, or no output scores. */
static int check_classes(const struct state *s, const struct record *r, struct err *e)
{
    const struct json *classes = value(r, s->field[CLASSES]), *answers = value(r, s->field[ANSWERS]);
    if (check_list(s, r, s->field[CLASSES], "a list of texts that aren't empty", 0, e))
        return -1;
    if (!s->classifies)
        return 0;
    if (!classes || (json_is_array(classes) && json_size(classes) == 0)) {
        struct str more = {0};
        add_fields(r->json, s->field[CLASSES], &more);
        err_set(
            e, ERR_FORMAT,
            "%s:%d: metric 'classification' needs all classes, and field '%s' lists none%s (parameter 'classes_field')",
            s->path, r->line, s->field[CLASSES], str_c(&more));
        str_free(&more);
        return -1;
    }
    int n = 0, found = 0;
    for (const struct json *a = json_is_array(answers) ? json_first(answers) : answers; a;
         a = json_is_array(answers) ? json_next(a) : NULL, n++)
        for (const struct json *c = json_is_array(classes) ? json_first(classes) : classes; c;
             c = json_is_array(classes) ? json_next(c) : NULL)
            found |= strcmp(text_or_number(a), json_string(c)) == 0;
    return found || !n ? 0
                       : err_set(e, ERR_FORMAT, "%s:%d: no answer of field '%s' is one of the classes of field '%s'",
                                 s->path, r->line, s->field[ANSWERS], s->field[CLASSES]);
}

/* A field that nobody reads, and that is most likely meant for one that the record lacks: it would be lost in silence.
 */
static int check_slips(const struct state *s, const struct record *r, struct err *e)
{
    static const int param[] = {QUESTION, PREFIX, GROUP, CLASSES};
    const char *const wanted[] = {s->has_question ? s->field[QUESTION] : "",
                                  s->has_prefix ? s->field[PREFIX] : "",
                                  s->field[GROUP],
                                  s->field[CLASSES],
                                  "max_new_tokens",
                                  "stop"};
    for (int i = 0; i < 6; i++)
        for (const struct json *v =
                 json_get(r->json, wanted[i]) || (i < 4 && is_named(s, param[i])) ? NULL : json_first(r->json);
             v; v = json_next(v)) {
            int read = 0;
            for (int f = 0; f < N_FIELD; f++)
                read |= strcmp(json_key(v), s->field[f]) == 0;
            if (*wanted[i] && !read && str_is_slip(wanted[i], json_key(v)))
                return err_set(e, ERR_FORMAT, "%s:%d: nobody reads field '%.60s'; did you mean '%s'?%s%s%s", s->path,
                               r->line, json_key(v), wanted[i], i < 4 ? " (parameter '" : "",
                               i < 4 ? field_param[param[i]] : "", i < 4 ? "', '' for none)" : "");
        }
    return 0;
}

/* Checks one record's fields once, so that later reads can't fail. */
static int check_record(const struct state *s, const struct record *r, struct err *e)
{
    const char *dup;
    if (!json_is_object(r->json))
        return err_set(e, ERR_FORMAT, "%s:%d: expected a JSON object", s->path, r->line);
    if (json_has_duplicate(r->json, &dup))
        return err_set(e, ERR_FORMAT, "%s:%d: field '%s' stands twice", s->path, r->line, dup);
    const struct json *context = json_get(r->json, s->field[CONTEXT]), *answers = json_get(r->json, s->field[ANSWERS]);
    if (!context)
        return missing(s, r, CONTEXT, e);
    if (!json_is_string(context))
        return is_wrong(s, r, s->field[CONTEXT], "a text", context, e);
    if (!answers)
        return missing(s, r, ANSWERS, e);
    if (!json_is_array(answers) && !text_or_number(answers))
        return is_wrong(s, r, s->field[ANSWERS], "a list of texts or numbers", answers, e);
    if (check_list(s, r, s->field[ANSWERS], "texts that aren't empty, or numbers", 1, e))
        return -1;
    for (int i = QUESTION; i <= PREFIX; i++) {
        const struct json *v = value(r, s->field[i]);
        int used = i == QUESTION ? s->has_question : s->has_prefix;
        if (v && !json_is_string(v))
            return is_wrong(s, r, s->field[i], "a text", v, e);
        if (v && !used && *json_string(v))
            return err_set(e, ERR_FORMAT,
                           "%s:%d: field '%s' has no place in the prompt: write {%s} there, or %s: '' to leave it out",
                           s->path, r->line, s->field[i], i == QUESTION ? "question" : "answer_prefix", field_param[i]);
    }
    for (int i = ID; i <= GROUP; i++)
        if (value(r, s->field[i]) && !text_or_number(value(r, s->field[i])))
            return is_wrong(s, r, s->field[i], "a text or a number", value(r, s->field[i]), e);
    const struct json *new_tokens = value(r, "max_new_tokens"), *stop = value(r, "stop");
    int64_t n = 1;
    if (new_tokens && (json_int64(new_tokens, &n) || n < 1 || n > 1000000))
        return is_wrong(s, r, "max_new_tokens", "a whole number in [1, 1000000]", new_tokens, e);
    if (stop && check_list(s, r, "stop", "a list of texts that aren't empty", 0, e))
        return -1;
    return check_slips(s, r, e) || check_classes(s, r, e) ? -1 : 0;
}

static int add_record(struct state *s, const char *text, size_t n, int line, struct err *e)
{
    struct record r = {.line = line, .next = -1};
    r.json = json_parse_record(s->path, line, text, n, e);
    if (!r.json)
        return -1;
    mem_grow(&s->record, &s->cap, s->n + 1, sizeof *s->record);
    s->record[s->n++] = r; /* owned from here on */
    struct record *mine = &s->record[s->n - 1];
    if (check_record(s, mine, e))
        return -1;
    const char *id = text_or_number(value(mine, s->field[ID])), *group = text_or_number(value(mine, s->field[GROUP]));
    struct str number = {0};
    str_addf(&number, "%d", line);
    mine->id = mem_strdup(id ? id : number.p);
    mine->group = mem_strdup(group ? group : mine->id);
    mine->grouped = group != NULL;
    str_free(&number);
    return 0;
}

static int by_id(const void *a, const void *b)
{
    const struct record *x = *(const struct record *const *)a, *y = *(const struct record *const *)b;
    int order = strcmp(x->id, y->id);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

static int by_group(const void *a, const void *b)
{
    const struct record *x = *(const struct record *const *)a, *y = *(const struct record *const *)b;
    int order = (x->grouped > y->grouped) - (x->grouped < y->grouped);
    order = order ? order : strcmp(x->group, y->group);
    return order ? order : (x->line > y->line) - (x->line < y->line);
}

static const char *context_of(const struct state *s, const struct record *r)
{
    return json_string(json_get(r->json, s->field[CONTEXT]));
}

/* Finds what stands twice, and sets record.sample to the index of the first record of its group. */
static int find_groups(const struct state *s, struct record **order, struct err *e)
{
    const struct record *twice = NULL, *before = NULL;
    for (size_t i = 0; i < s->n; i++)
        order[i] = &s->record[i];
    qsort(order, s->n, sizeof *order, by_id);
    for (size_t i = 1; i < s->n; i++)
        if (strcmp(order[i - 1]->id, order[i]->id) == 0 && (!twice || order[i]->line < twice->line)) {
            twice = order[i];
            before = order[i - 1];
        }
    if (twice)
        return err_set(e, ERR_FORMAT, "%s:%d: id '%s' stands in line %d already", s->path, twice->line, twice->id,
                       before->line);
    qsort(order, s->n, sizeof *order, by_group);
    for (size_t i = 0, first = 0; i < s->n; i++) {
        if (!order[i]->grouped || strcmp(order[first]->group, order[i]->group) != 0 || !order[first]->grouped)
            first = i;
        order[i]->sample = (int)(order[first] - s->record);
        if (strcmp(context_of(s, order[first]), context_of(s, order[i])) != 0)
            return err_set(e, ERR_FORMAT, "%s:%d: group '%s' has another context in line %d", s->path, order[i]->line,
                           order[i]->group, order[first]->line);
    }
    return 0;
}

/* Samples in the order of their first records, each a chain of records in the order of the file. */
static int index_records(struct state *s, struct err *e)
{
    struct record **order = mem_new(s->n, sizeof(struct record *));
    int bad = find_groups(s, order, e);
    mem_free(order);
    if (bad)
        return -1;
    s->sample = mem_new(s->n, sizeof *s->sample);
    for (size_t i = 0; i < s->n; i++) {
        struct record *r = &s->record[i];
        if (r->sample == (int)i) {
            r->sample = s->n_sample++;
            s->sample[r->sample] = (struct sample){(int)i, (int)i, 1};
            continue;
        }
        struct sample *of = &s->sample[r->sample = s->record[r->sample].sample];
        s->record[of->last].next = (int)i;
        of->last = (int)i;
        of->n++;
    }
    return 0;
}

/* 1 for the names that records of other collections have for a question: LongBench's `input`, SQuAD-like `query`. */
static int may_be_question(const char *field)
{
    static const char *const names[] = {"input", "query", "instruction", "instructions", "problem",   "prompt",
                                        "q",     "ask",   "user",        "request",      "task_input"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcasecmp(field, names[i]))
            return 1;
    return strcasestr(field, "question") != NULL;
}

static int is_read(const struct state *s, const char *field)
{
    for (int f = 0; f < N_FIELD; f++)
        if (!strcmp(s->field[f], field))
            return 1;
    return 0;
}

/* A prompt with a question, and no record that has one: a text under a name that a question may have would be lost, and
 * the model asked for nothing. */
static int check_questions(const struct state *s, struct err *e)
{
    const char *found = NULL;
    if (!s->has_question || is_named(s, QUESTION))
        return 0;
    for (size_t i = 0; i < s->n; i++) {
        if (json_get(s->record[i].json, s->field[QUESTION]))
            return 0;
        for (const struct json *v = json_first(s->record[i].json); v && !found; v = json_next(v)) {
            const char *text = json_string(v);
            if (text && *text && may_be_question(json_key(v)) && !is_read(s, json_key(v)))
                found = json_key(v);
        }
    }
    return !found ? 0
                  : err_set(e, ERR_CONFIG,
                            "no record of %s has a field '%s', and they have '%.60s': question_field: %.60s reads it, "
                            "question_field: '' leaves it out",
                            s->path, s->field[QUESTION], found, found);
}

/* A field that the experiment names must be in some record, and {input} in the prompt is no literal where records have
 * it. */
static int check_names(const struct state *s, struct err *e)
{
    for (int f = 0; f < N_FIELD; f++) {
        size_t i = 0;
        if (!is_named(s, f) || !*s->field[f])
            continue;
        if ((f == QUESTION && !s->has_question) || (f == PREFIX && !s->has_prefix))
            return err_set(e, ERR_CONFIG, "parameter '%s': the prompt has no {%s}", field_param[f],
                           f == QUESTION ? "question" : "answer_prefix");
        while (i < s->n && !json_get(s->record[i].json, s->field[f]))
            i++;
        if (i < s->n)
            continue;
        struct str more = {0};
        add_fields(s->record[0].json, s->field[f], &more);
        err_set(e, ERR_CONFIG, "parameter '%s': no record of %s has a field '%s'%s", field_param[f], s->path,
                s->field[f], str_c(&more));
        str_free(&more);
        return -1;
    }
    for (const struct json *v = json_first(s->record[0].json); v; v = json_next(v)) {
        struct str mark = {0};
        str_addf(&mark, "{%s}", json_key(v));
        int known = !strcmp(mark.p, "{context}") || !strcmp(mark.p, "{question}") || !strcmp(mark.p, "{answer_prefix}");
        if (!known && strstr(s->c->prompt, mark.p)) {
            err_set(e, ERR_CONFIG,
                    "parameter 'prompt': %s is no placeholder; {context}, {question} and {answer_prefix} are, and "
                    "question_field: %s names the field that holds the question",
                    mark.p, json_key(v));
            str_free(&mark);
            return -1;
        }
        str_free(&mark);
    }
    return 0;
}

/* Cuts `prompt` at its placeholders; each stands once, in this order, and all but the context may be left out. What
 * follows the question goes with the answer prefix, what follows a context without question with the question. */
static int read_prompt(struct state *s, struct err *e)
{
    static const char *const mark[] = {"{context}", "{question}", "{answer_prefix}"};
    const char *p = s->c->prompt, *at[3], *end = p + strlen(p);
    for (int i = 0; i < 3; i++) {
        at[i] = strstr(p, mark[i]);
        if ((!at[i] && i == 0) ||
            (at[i] && (strstr(at[i] + 1, mark[i]) || (i && at[i] < at[0]) || (i == 2 && at[1] && at[2] < at[1]))))
            return err_set(e, ERR_CONFIG, "parameter 'prompt': %s must stand in it once, after the ones before it",
                           mark[i]);
    }
    s->has_question = at[1] != NULL;
    s->has_prefix = at[2] != NULL;
    s->before = mem_strndup(p, (size_t)(at[0] - p));
    p = at[0] + strlen(mark[0]);
    const char *next = at[1] ? at[1] : at[2] ? at[2] : end;
    s->between = mem_strndup(p, (size_t)(next - p));
    p = at[1] ? at[1] + strlen(mark[1]) : next;
    next = at[2] ? at[2] : end;
    s->after_question = mem_strndup(p, (size_t)(next - p));
    s->tail = mem_strdup(at[2] ? at[2] + strlen(mark[2]) : "");
    return 0;
}

static void read_config(struct state *s)
{
    const struct config *c = s->c;
    const char *const field[N_FIELD] = {c->context_field, c->question_field, c->prefix_field, c->answers_field,
                                        c->id_field,      c->group_field,    c->classes_field};
    static const char name[] = "classification";
    memcpy(s->field, field, sizeof field);
    for (const char *p = c->metric; *p;) { /* one, or several with commas */
        p += strspn(p, " ,");
        size_t n = strcspn(p, " ,");
        s->classifies |= n == strlen(name) && memcmp(p, name, n) == 0;
        p += n;
    }
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
    mem_free(s->sample);
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
    read_config(s);
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
    rc = check_names(s, e) || check_questions(s, e) || index_records(s, e) ? -1 : 0;
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

/* ---- items -------------------------------------------------------------------------------------- */

static const char *text_of(const struct record *r, const char *field)
{
    const char *t = json_string(value(r, field));
    return t ? t : "";
}

static char **list_of(const struct json *v, int *n)
{
    char **list = mem_new((size_t)json_size(v) + 1, sizeof *list);
    *n = 0;
    for (const struct json *a = json_is_array(v) ? json_first(v) : v; a; a = json_is_array(v) ? json_next(a) : NULL)
        list[(*n)++] = mem_strdup(text_or_number(a));
    return list;
}

static void fill_question(const struct state *s, const struct record *r, struct dataset_question *q)
{
    struct str text = {0};
    int64_t new_tokens = 0;
    str_add(&text, s->between);
    str_add(&text, text_of(r, s->field[QUESTION]));
    q->id = mem_strdup(r->id);
    q->text = str_take(&text);
    str_add(&text, s->after_question);
    str_add(&text, text_of(r, s->field[PREFIX]));
    str_add(&text, s->tail);
    q->answer_prefix = str_take(&text);
    q->answer = list_of(value(r, s->field[ANSWERS]), &q->n_answer);
    q->classes = list_of(value(r, s->field[CLASSES]), &q->n_class);
    q->stop = list_of(value(r, "stop"), &q->n_stop);
    if (!value(r, "stop") && s->c->stop.n) {
        mem_free(q->stop);
        q->stop = mem_new((size_t)s->c->stop.n, sizeof *q->stop);
        for (int i = 0; i < s->c->stop.n; i++)
            q->stop[q->n_stop++] = mem_strdup(s->c->stop.v[i]);
    }
    if (json_int64(value(r, "max_new_tokens"), &new_tokens) == 0)
        q->max_new_tokens = (int)new_tokens;
}

static int tokens(const struct state *s, const struct dataset_question *q, const char *context, size_t n)
{
    return s->env.prompt_tokens(s->env.ctx, context, n, q->text, q->answer_prefix);
}

/* Cuts the middle out of the context until every one of its prompts leaves room for what it may generate. */
static int truncate_context(const struct state *s, struct dataset_item *item, int max_new_tokens, struct err *e)
{
    int64_t limit = s->c->max_length ? s->c->max_length : s->env.context_length;
    for (int i = 0; limit && i < item->n_question; i++) {
        const struct dataset_question *q = &item->question[i];
        int more = q->max_new_tokens ? q->max_new_tokens : max_new_tokens;
        int total = tokens(s, q, item->context, item->n_context), without = tokens(s, q, "", 0);
        int64_t room = limit - more - without;
        if (total < 0 || without < 0)
            return err_set(e, ERR_CONFIG, "%s: question '%s': the tokenizer refused the text", s->path, q->id);
        if (total + (int64_t)more <= limit)
            continue;
        if (room < 2)
            return err_set(e, ERR_CONFIG,
                           "%s: question '%s' alone has %d tokens, which with %d to generate leave nothing of %lld",
                           s->path, q->id, without, more, (long long)limit);
        /* decoding and encoding again may not be the identity at the cut: give way until it fits */
        for (int tries = 0; tries < 8 && total + (int64_t)more > limit; tries++, room -= 4) {
            char *cut = s->env.truncate_middle(s->env.ctx, item->context, item->n_context, (int)room, e);
            if (!cut)
                return -1;
            mem_free(item->context);
            item->context = cut;
            item->n_context = strlen(cut);
            total = tokens(s, q, item->context, item->n_context);
        }
        if (total + (int64_t)more > limit)
            return err_set(e, ERR_CONFIG,
                           "%s: question '%s': no cut of its context was found that leaves %d of %lld tokens", s->path,
                           q->id, more, (long long)limit);
    }
    return 0;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *s = self;
    struct str context = {0};
    const struct sample *of = &s->sample[index];
    (void)seed;
    out->question = mem_new((size_t)of->n, sizeof *out->question);
    str_add(&context, s->before);
    str_add(&context, context_of(s, &s->record[of->first]));
    out->n_context = context.n;
    out->context = str_take(&context);
    out->context_id = mem_strdup(s->record[of->first].group);
    for (int i = of->first; i >= 0; i = s->record[i].next)
        fill_question(s, &s->record[i], &out->question[out->n_question++]);
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
