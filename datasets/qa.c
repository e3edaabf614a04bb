/* RULER's question answering (Hsieh et al. 2024, arXiv:2404.06654; NVIDIA/RULER data/synthetic/qa.py): a question about
 * one document (qa_1, SQuAD 2.0) or about several (qa_2, HotpotQA) among numbered ones in random order. `file` names
 * the data in the form that RULER downloads; without it a few invented ones of our own serve (datasets/books/qa_1.json,
 * qa_2.json). As in RULER: sample i is the file's i-th question that has an answer; its own documents come first, then
 * (SQuAD) other paragraphs of its article, then documents drawn from the whole file, then, when there are no more, all
 * of them again; templates, document form and metric are RULER's, and below 4096 tokens nothing changes. Deviations:
 * there are as many samples as questions; the order is drawn for every sample (RULER shuffles by the same seed each
 * time); a last document, not the question's own, is cut off where that meets the token budget exactly; a question
 * whose own documents exceed the budget is refused. `depth` (of the first copy, where documents come again) and `order:
 * shuffled` are ours.
 *
 * compact: the documents alone, "Q: ...?", "A:". */
#include <stddef.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/draw.h"
#include "datasets/fit.h"
#include "datasets/item.h"
#include "datasets/qa_records.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

enum { IN_ORDER, SHUFFLED };

struct config {
    int64_t length;
    char *file;
    double depth; /* percent; -1: drawn */
    int order, wording;
};

static const char *const drawn[] = {"random", NULL}, *const orders[] = {"file", "shuffled", NULL};
static const char ask[] =
    "Answer the question based on the given documents. Only give me the answer and do not output any other "
    "words.\n\n";

struct state {
    const struct config *c;
    const char *stream;
    struct dataset_env env;
    struct qa_records records;
    char *path;
};

struct sample {
    const struct state *st;
    const struct qa_question *q;
    int n_own;        /* its own documents, equal ones counted once */
    int *include;     /* [n_doc] which documents come into the context first; after the last the first again */
    struct rng order; /* where every shuffle begins */
    const char *head;
    struct dataset_span *span; /* of the evidence, as last built */
    size_t cap;
    int n_span;
};

static int count(void *self)
{
    return ((const struct state *)self)->records.n_question;
}

static void close(void *self)
{
    struct state *s = self;
    if (!s)
        return;
    qa_records_fini(&s->records);
    mem_free(s->path);
    mem_free(s);
}

static int open_as(const char *stream, enum qa_form form, const char *shipped, void **self, const void *config,
                   const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    struct state *s = mem_new(1, sizeof *s);
    int own = c->file && *c->file;
    *s = (struct state){.c = c, .stream = stream, .env = *env};
    s->path = own ? fs_join(env->base_dir, c->file) : fs_join(env->data_dir, shipped);
    if (qa_records_read(&s->records, form, s->path, e)) {
        if (!own && !fs_exists(s->path))
            err_wrap(e, "the questions that come with depthkv (DEPTHKV_DATA names their folder)");
        close(s);
        return -1;
    }
    *self = s;
    return 0;
}

static void note_evidence(struct sample *s, int doc, size_t at)
{
    for (int i = 0; i < s->q->n_evidence; i++) {
        const struct qa_evidence *e = &s->q->evidence[i];
        if (e->doc != doc)
            continue;
        mem_grow(&s->span, &s->cap, (size_t)s->n_span + 1, sizeof *s->span);
        s->span[s->n_span++] = (struct dataset_span){at + e->begin, at + e->end};
    }
}

static int is_gold(const struct qa_question *q, int doc)
{
    for (int i = 0; i < q->n_evidence; i++)
        if (q->evidence[i].doc == doc)
            return 1;
    return 0;
}

/* The places of the first n documents, shuffled; with a depth, those that the answer rests on stand where it says,
 * further ones at equal steps to the end. */
static int *shuffle(const struct sample *s, int n)
{
    int *at = mem_new((size_t)n + 1, sizeof *at), n_gold = 0, gold = 0, free_from = 0;
    double depth = s->st->c->depth / 100;
    struct rng r = s->order;
    for (int i = 0; i < n; i++)
        at[i] = i;
    rng_shuffle(&r, at, n, sizeof *at);
    for (int i = 0; i < s->n_own; i++)
        n_gold += is_gold(s->q, s->include[i]);
    for (int i = 0; i < s->n_own && depth >= 0; i++) {
        if (!is_gold(s->q, s->include[i]))
            continue;
        int now = 0, to = (int)((depth + (1 - depth) * gold / n_gold) * n + 1e-9), left = n_gold - gold++;
        to = to > n - left ? n - left : to; /* room for those that follow */
        to = to < free_from ? free_from : to;
        while (at[now] != i)
            now++;
        at[now] = at[to];
        at[to] = i;
        free_from = to + 1;
    }
    return at;
}

static void build(void *ctx, struct fit_size size, struct str *out)
{
    struct sample *s = ctx;
    const struct qa_records *r = &s->st->records;
    int n = (int)size.words, *at = shuffle(s, n);
    str_add(out, s->head);
    s->n_span = 0;
    for (int i = 0; i < n; i++) {
        int doc = s->include[at[i] % r->n_doc];
        str_addf(out, "%sDocument %d:\n", i ? "\n\n" : "", i + 1);
        note_evidence(s, doc, out->n);
        str_add(out, r->doc[doc]);
    }
    mem_free(at);
    if (size.letters > 0) { /* the next one, cut off */
        size_t before = out->n, letters = (size_t)size.letters;
        str_addf(out, "\n\nDocument %d:\n%s", n + 1, r->doc[s->include[n % r->n_doc]]);
        if (letters < out->n - before)
            out->n = before + fit_whole_characters(out->p + before, letters);
        str_addn(out, "", 0); /* the NUL in its place */
    }
}

/* Which documents come first: the question's own, shuffled others of its article, shuffled others. */
static void draw_documents(struct rng *r, struct sample *s)
{
    const struct qa_records *records = &s->st->records;
    unsigned char *taken = mem_new((size_t)records->n_doc, 1);
    int n = 0;
    for (int i = 0; i < s->q->n_own; i++)
        if (!taken[s->q->own[i]]++)
            s->include[n++] = s->q->own[i];
    int first = s->n_own = n;
    if (s->q->article >= 0) {
        const struct qa_article *a = &records->article[s->q->article];
        for (int i = 0; i < a->n; i++)
            if (!taken[a->doc[i]]++)
                s->include[n++] = a->doc[i];
        rng_shuffle(r, s->include + first, n - first, sizeof *s->include);
        first = n;
    }
    for (int i = 0; i < records->n_doc; i++)
        if (!taken[i])
            s->include[n++] = i;
    rng_shuffle(r, s->include + first, n - first, sizeof *s->include);
    mem_free(taken);
}

static int question_index(const struct state *s, int index, uint64_t seed)
{
    int n = s->records.n_question;
    if (s->c->order == IN_ORDER)
        return index;
    int *order = mem_new((size_t)n, sizeof *order);
    struct rng r;
    rng_init(&r, seed, s->stream);
    for (int i = 0; i < n; i++)
        order[i] = i;
    rng_shuffle(&r, order, n, sizeof *order);
    index = order[index];
    mem_free(order);
    return index;
}

static int make(struct sample *s, int index, int budget, struct dataset_item *out, struct err *e)
{
    int compact = s->st->c->wording == DRAW_COMPACT, rc = -1;
    const char *prefix = compact ? "\nA:" : " Answer:";
    struct str head = {0}, question = {0}, context = {0};
    if (!compact)
        str_addf(&head, "%sThe following are given documents.\n\n", ask);
    s->head = str_c(&head);
    if (compact)
        str_addf(&question, "\nQ: %s", s->q->text);
    else
        str_addf(&question, "\n\n%sQuestion: %s", ask, s->q->text);
    if (fit_records(&s->st->env, build, s, s->n_own, question.p, prefix, budget, &context, e)) {
        err_wrap(e, "%s: question '%s' and its own documents", s->st->path, s->q->id);
        goto out;
    }
    item_begin(out, index, 1, &context);
    struct dataset_question *q = item_question(out, question.p, prefix);
    for (int i = 0; i < s->q->n_answer; i++)
        item_answer(q, s->q->answer[i], strlen(s->q->answer[i]));
    for (int i = 0; i < s->n_span; i++)
        item_evidence(out, s->span[i].begin, s->span[i].end);
    rc = 0;
out:
    str_free(&head);
    str_free(&question);
    str_free(&context);
    return rc;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    const struct state *st = self;
    struct sample s = {.st = st};
    struct rng r;
    int budget;
    if (fit_prompt_budget(&st->env, st->c->length, max_new_tokens, &budget, e))
        return -1;
    rng_init(&r, rng_mix(seed, (uint64_t)index), st->stream);
    s.q = &st->records.question[question_index(st, index, seed)];
    s.include = mem_new((size_t)st->records.n_doc, sizeof *s.include);
    draw_documents(&r, &s);
    rng_init(&s.order, rng_u64(&r), "order");
    int rc = make(&s, index, budget, out, e);
    mem_free(s.include);
    mem_free(s.span);
    return rc;
}

static const struct param params[] = {
    {"length", PARAM_INT, offsetof(struct config, length), "1024", 32, 1e7, NULL,
     "tokens of prompt plus max_new_tokens"},
    {"file", PARAM_PATH, offsetof(struct config, file), "", 0, 0, NULL,
     "questions in the form of SQuAD (qa_1) or HotpotQA (qa_2); empty: a few that come with depthkv"},
    {"depth", PARAM_FLOAT, offsetof(struct config, depth), "random", 0, 100, drawn,
     "where the document that holds the answer stands, percent of the documents"},
    {"order", PARAM_ENUM, offsetof(struct config, order), "file", 0, 0, orders,
     "of the questions; shuffled: by the seed"},
    {"wording", PARAM_ENUM, offsetof(struct config, wording), "ruler", 0, 0, draw_wordings,
     "RULER's, or the same said tersely"},
    {0},
};

#define QA(NAME, SUMMARY, SOURCE, FORM) \
    static int NAME##_open(void **self, const void *config, const struct dataset_env *env, struct err *e) \
    { \
        return open_as(#NAME " 1", FORM, #NAME ".json", self, config, env, e); \
    } \
    extern const struct dataset_ops dataset_##NAME; \
    const struct dataset_ops dataset_##NAME = { \
        .abi = DATASET_ABI, \
        .name = #NAME, \
        .summary = SUMMARY, \
        .source = "RULER, Hsieh et al. 2024, arXiv:2404.06654; data: " SOURCE, \
        .version = 1, \
        .max_new_tokens = 32, \
        .metric = "string_match_part", \
        .config_size = sizeof(struct config), \
        .params = params, \
        .open = NAME##_open, \
        .count = count, \
        .item = item, \
        .close = close, \
    }

QA(qa_1, "a question about one of many paragraphs", "SQuAD, Rajpurkar et al. 2018, arXiv:1806.03822", QA_SQUAD);
QA(qa_2, "a question that needs several of many documents", "HotpotQA, Yang et al. 2018, arXiv:1809.09600", QA_HOTPOT);
