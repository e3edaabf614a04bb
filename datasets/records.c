/* Retrieval from lists of records "key, value" that fill the whole context:
 *   lines      LongEval's lines (Li et al. 2023, lm-sys/longchat longeval): keys are adjective-noun, values five digits
 *   kv         a JSON object of uuids (Liu et al. 2023, "Lost in the middle", arXiv:2307.03172)
 *   induction  pairs of made-up words, and the first one again (Olsson et al. 2022, arXiv:2209.11895; associative
 *              recall as in Arora et al. 2023, arXiv:2312.04927)
 * The wordings of lines and kv are their sources'; the answer prefix of lines is how LongEval's answers begin.
 * Deviations: keys and values from our own word lists and generators; a value of lines always has five digits; where
 * whole records do not meet the token budget, the list begins within one (kv, which stays JSON, has a shorter or a
 * longer last entry). */
#include <stddef.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/draw.h"
#include "datasets/fit.h"
#include "datasets/item.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

enum { MAX_QUESTION = 40 };

struct config {
    int64_t length, questions, syllables;
    double depth; /* percent; -1: drawn */
    int type_needle_k, type_needle_v, wording, split;
};

static const char *const drawn[] = {"random", NULL};

/* How a task is put into words; K stands for the key. */
struct form {
    const char *head, *begin, *middle, *end; /* of the context, of a record: before the key, between, after the value */
    const char *next, *tail;                 /* between records, after the last one */
    const char *question[2], *prefix[2];     /* before and after the key; prefix[1] NULL: the prefix has no key */
};

struct kind {
    const char *stream;
    enum draw_type key, value; /* where no parameter says */
    int n_key, n_value;        /* of draw_new; -1: the parameter `syllables` */
    int typed;                 /* the parameters type_needle_k and type_needle_v say */
    int well_formed;           /* no record may be broken off */
    struct form form[2];       /* by wording */
};

static const struct kind lines_kind = {
    .stream = "lines 2",
    .key = DRAW_WORDS,
    .value = DRAW_NUMBERS,
    .n_value = 5,
    .form = {
        {"Below is a record of lines I want you to remember. Each line begins with 'line <line index>' and contains a "
         "'<REGISTER_CONTENT>' at the end of the line as a numerical value. For each line index, memorize its "
         "corresponding "
         "<REGISTER_CONTENT>. At the end of the record, I will ask you to retrieve the corresponding "
         "<REGISTER_CONTENT> of a "
         "certain line index. Now the record start:\n\n",
         "line ",
         ": REGISTER_CONTENT is <",
         ">",
         "\n",
         "\n",
         {"\nNow the record is over. Tell me what is the <REGISTER_CONTENT> in line ", "? I need the number."},
         {" The <REGISTER_CONTENT> in line ", " is"}},
        {"", "line ", ": ", "", "\n", "", {"\nQ: line ", "?"}, {"\nA:", NULL}},
    }};

static const struct kind kv_kind = {
    .stream = "kv 2",
    .typed = 1,
    .well_formed = 1,
    .form = {
        {"Extract the value corresponding to the specified key in the JSON object below.\n\nJSON data:\n{",
         "\"",
         "\": \"",
         "\"",
         ",\n ",
         "}",
         {"\n\nKey: \"", "\""},
         {"\nCorresponding value:", NULL}},
        {"{", "\"", "\": \"", "\"", ",\n", "}", {"\nQ: key ", "?"}, {"\nA:", NULL}},
    }};

static const struct kind induction_kind = {.stream = "induction 2",
                                           .key = DRAW_SYLLABLES,
                                           .value = DRAW_SYLLABLES,
                                           .n_key = -1,
                                           .n_value = -1,
                                           .form = {
                                               {"Below are pairs of made-up words. Memorize which word follows which. "
                                                "I will give you the first word of one of the "
                                                "pairs afterwards.\n",
                                                "",
                                                " ",
                                                "",
                                                ", ",
                                                ".",
                                                {"\nWhat is the second word of the pair that begins with ", "?"},
                                                {" The pair is: ", ""}},
                                               {"", "", " ", "", ", ", ".", {"\n", ""}, {"", NULL}},
                                           }};

struct state {
    const struct config *c;
    const struct kind *kind;
    struct dataset_env env;
};

/* Records of one sample; the first ones are asked for. */
struct sample {
    const struct config *c;
    const struct kind *kind;
    const struct form *form;
    struct draw keys, values;
    struct str pool; /* key, value, key, value ... */
    size_t *at, cap; /* [2 n + 1] where each of them begins in pool */
    long n;
    double place[MAX_QUESTION];             /* of each asked record, share of the records */
    struct dataset_span span[MAX_QUESTION]; /* of its value, as last built */
    struct err *e;
    int failed;
};

static const char *text_of(const struct sample *s, long i, int value, size_t *n)
{
    *n = s->at[2 * i + value + 1] - s->at[2 * i + value];
    return s->pool.p + s->at[2 * i + value];
}

static int syllables(const struct sample *s, int n)
{
    return n < 0 ? (int)s->c->syllables : n;
}

/* Sees to it that there are n records. */
static int draw_records(struct sample *s, long n)
{
    const struct kind *k = s->kind;
    enum draw_type key = k->typed ? (enum draw_type)s->c->type_needle_k : k->key;
    enum draw_type value = k->typed ? (enum draw_type)s->c->type_needle_v : k->value;
    for (; s->n < n && !s->failed; s->n++) {
        mem_grow(&s->at, &s->cap, 2 * (size_t)s->n + 3, sizeof *s->at);
        s->failed = draw_new(&s->keys, key, syllables(s, k->n_key), &s->pool, s->e) != 0;
        s->at[2 * s->n + 1] = s->pool.n;
        s->failed = s->failed || draw_new(&s->values, value, syllables(s, k->n_value), &s->pool, s->e) != 0;
        s->at[2 * s->n + 2] = s->pool.n;
    }
    return s->failed ? -1 : 0;
}

/* Which record stands at each of n places: asked ones at theirs, the next free one when two would meet. */
static void find_places(const struct sample *s, long n, long place[MAX_QUESTION])
{
    for (int q = 0; q < s->c->questions; q++) {
        long p = (long)(s->place[q] * (double)n);
        p = p >= n ? n - 1 : p;
        for (int other = 0; other < q; other++)
            if (place[other] == p) {
                p = (p + 1) % n;
                other = -1; /* once more against all */
            }
        place[q] = p;
    }
}

static struct dataset_span add_record(const struct sample *s, long i, int first, struct str *out)
{
    size_t n_key, n_value;
    const char *key = text_of(s, i, 0, &n_key), *value = text_of(s, i, 1, &n_value);
    str_add(out, first ? "" : s->form->next);
    str_add(out, s->form->begin);
    str_addn(out, key, n_key);
    str_add(out, s->form->middle);
    str_addn(out, value, n_value);
    str_add(out, s->form->end);
    return (struct dataset_span){out->n - strlen(s->form->end) - n_value, out->n - strlen(s->form->end)};
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Appends the last n bytes of record i and what separates it from the next: a list that begins within a record. */
static void add_end(const struct sample *s, long i, size_t n, struct str *out)
{
    struct str record = {0};
    add_record(s, i, 1, &record);
    str_add(&record, s->form->next);
    n = min(n, record.n);
    str_addn(out, record.p + record.n - n, n);
    str_free(&record);
}

/* Appends record i with so little of its key and value that it has n bytes. */
static void add_short(const struct sample *s, long i, size_t n, size_t skeleton, struct str *out)
{
    const struct form *f = s->form;
    size_t n_key, n_value;
    const char *key = text_of(s, i, 0, &n_key), *value = text_of(s, i, 1, &n_value);
    n_key = min(n_key, (n - skeleton) / 2);
    str_addf(out, "%s%s%.*s%s", f->next, f->begin, (int)n_key, key, f->middle);
    str_addn(out, value, min(n_value, n - skeleton - n_key));
    str_add(out, f->end);
}

/* Which asked record stands there; -1: none. */
static int asked_at(const struct sample *s, const long *place, long i)
{
    for (int q = 0; q < s->c->questions; q++)
        if (place[q] == i)
            return q;
    return -1;
}

/* What whole records leave over is filled by a part of another one before them: at the end, next to the question, it
 * would disturb more. A list that must stay well-formed ends with a shorter record, or, where too little is left for
 * any, the value of the last record that nobody asks for becomes longer. */
static void build(void *ctx, struct fit_size size, struct str *out)
{
    struct sample *s = ctx;
    const struct form *f = s->form;
    size_t rest = size.letters > 0 ? (size_t)size.letters : 0;
    size_t skeleton = strlen(f->next) + strlen(f->begin) + strlen(f->middle) + strlen(f->end);
    long place[MAX_QUESTION], n = size.words, next = s->c->questions, longer = -1;
    if (draw_records(s, n + (rest > 0))) {
        n = s->n;
        rest = 0;
    }
    find_places(s, n, place);
    int is_short = s->kind->well_formed && rest >= skeleton + 2;
    for (long i = 0; rest && s->kind->well_formed && !is_short && i < n; i++)
        longer = asked_at(s, place, i) < 0 ? i : longer;
    str_add(out, f->head);
    if (rest && !s->kind->well_formed)
        add_end(s, n, rest, out);
    for (long i = 0; i < n; i++) {
        int asked = asked_at(s, place, i);
        struct dataset_span value = add_record(s, asked < 0 ? next++ : asked, i == 0, out);
        if (asked >= 0)
            s->span[asked] = value;
        if (i == longer) {
            size_t n_more;
            const char *more = text_of(s, n, 1, &n_more);
            out->n = value.end;
            str_addn(out, more, min(rest, n_more));
            str_add(out, f->end);
        }
    }
    if (is_short)
        add_short(s, n, rest, skeleton, out);
    str_add(out, f->tail);
}

static void word_question(const struct sample *s, int i, struct str *question, struct str *prefix)
{
    const struct form *f = s->form;
    size_t n;
    const char *key = text_of(s, i, 0, &n);
    str_clear(question);
    str_clear(prefix);
    str_add(question, f->question[0]);
    str_addn(question, key, n);
    str_add(question, f->question[1]);
    str_add(prefix, f->prefix[0]);
    if (f->prefix[1]) {
        str_addn(prefix, key, n);
        str_add(prefix, f->prefix[1]);
    }
}

static int open_as(const struct kind *kind, void **self, const void *config, const struct dataset_env *env,
                   struct err *e)
{
    const struct config *c = config;
    if (draw_check(c->wording, c->split, e))
        return -1;
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){c, kind, *env};
    *self = s;
    return 0;
}

static int count(void *self)
{
    (void)self;
    return -1;
}

static int make(const struct state *st, struct sample *s, int index, int budget, struct dataset_item *out,
                struct err *e)
{
    const struct config *c = st->c;
    struct str question = {0}, prefix = {0}, context = {0};
    int rc = -1, longest = 0, most = -1;
    if (draw_records(s, (long)c->questions))
        goto out;
    for (int i = 0; i < c->questions; i++) {
        word_question(s, i, &question, &prefix);
        int n = st->env.prompt_tokens(st->env.ctx, "", 0, str_c(&question), str_c(&prefix));
        longest = n > most ? i : longest;
        most = n > most ? n : most;
    }
    word_question(s, longest, &question, &prefix);
    if (fit_records(&st->env, build, s, (long)c->questions, str_c(&question), str_c(&prefix), budget, &context, e) ||
        s->failed)
        goto out;
    item_begin(out, index, (int)c->questions, &context);
    for (int i = 0; i < c->questions; i++) {
        size_t n;
        word_question(s, i, &question, &prefix);
        const char *value = text_of(s, i, 1, &n);
        item_answer(item_question(out, str_c(&question), str_c(&prefix)), value, n);
        item_evidence(out, s->span[i].begin, s->span[i].end);
    }
    rc = 0;
out:
    str_free(&question);
    str_free(&prefix);
    str_free(&context);
    return rc;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *st = self;
    const struct config *c = st->c;
    struct sample s = {.c = c, .kind = st->kind, .form = &st->kind->form[c->wording], .e = e};
    struct rng r;
    int budget;
    if (fit_prompt_budget(&st->env, c->length, max_new_tokens, &budget, e))
        return -1;
    rng_init(&r, rng_mix(seed, (uint64_t)index), st->kind->stream);
    draw_init(&s.keys, &r, c->wording, c->split);
    draw_init(&s.values, &r, c->wording, c->split);
    for (int q = 0; q < c->questions; q++) {
        s.place[q] = rng_double(&r);
        if (c->depth >= 0)
            s.place[q] = (c->depth + (100 - c->depth) * q / (double)c->questions) / 100;
    }
    int rc = make(st, &s, index, budget, out, e);
    draw_fini(&s.keys);
    draw_fini(&s.values);
    str_free(&s.pool);
    mem_free(s.at);
    return rc;
}

static void close(void *self)
{
    mem_free(self);
}

#define FIELD(name) offsetof(struct config, name)
#define COMMON \
    {"length", PARAM_INT, FIELD(length), "1024", 32, 1e7, NULL, "tokens of prompt plus max_new_tokens"}, \
        {"depth", PARAM_FLOAT, FIELD(depth), "random", \
         0,       100,         drawn,        "where the asked record stands, percent of the records"}, \
        {"questions", \
         PARAM_INT, \
         FIELD(questions), \
         "1", \
         1, \
         MAX_QUESTION, \
         NULL, \
         "questions that continue from one context"}, \
        {"wording", PARAM_ENUM, FIELD(wording), "ruler", 0, 0, draw_wordings, "the source's, or said tersely"}, \
    { \
        "split", PARAM_ENUM, FIELD(split), "eval", 0, 0, draw_splits, "compact: which half of all keys and values" \
    }

static const struct param lines_params[] = {COMMON, {0}};
static const struct param kv_params[] = {
    COMMON,
    {"type_needle_k", PARAM_ENUM, FIELD(type_needle_k), "uuids", 0, 0, draw_types, "what keys are"},
    {"type_needle_v", PARAM_ENUM, FIELD(type_needle_v), "uuids", 0, 0, draw_types, "what values are"},
    {0},
};
static const struct param induction_params[] = {
    COMMON,
    {"syllables", PARAM_INT, FIELD(syllables), "3", 1, 8, NULL, "of a word, two letters each"},
    {0},
};

#define RECORDS(NAME, SUMMARY, SOURCE, MAX_NEW) \
    static int NAME##_open(void **self, const void *config, const struct dataset_env *env, struct err *e) \
    { \
        return open_as(&NAME##_kind, self, config, env, e); \
    } \
    extern const struct dataset_ops dataset_##NAME; \
    const struct dataset_ops dataset_##NAME = { \
        .abi = DATASET_ABI, \
        .name = #NAME, \
        .summary = SUMMARY, \
        .source = SOURCE, \
        .version = 2, \
        .max_new_tokens = MAX_NEW, \
        .metric = "string_match_all", \
        .config_size = sizeof(struct config), \
        .params = NAME##_params, \
        .open = NAME##_open, \
        .count = count, \
        .item = item, \
        .close = close, \
    }

RECORDS(lines, "the number of one line among many", "LongEval lines, Li et al. 2023, github.com/DachengLi1/LongChat",
        32);
RECORDS(kv, "the value of one key of a JSON object", "Liu et al. 2023, Lost in the middle, arXiv:2307.03172", 100);
RECORDS(induction, "the word that followed this one before", "Olsson et al. 2022, arXiv:2209.11895", 16);
