/* RULER's common words extraction (Hsieh et al. 2024, arXiv:2404.06654; NVIDIA/RULER data/synthetic/
 * common_words_extraction.py): a shuffled numbered list in which num_cw words stand freq_cw times each and all others
 * freq_ucw times, after a worked example of 40 words, 10 and 3 times each. RULER's own rule below 4096 tokens: 6 and 1
 * times, and an example of 20 words, 3 times and once. Templates, counts and metric are RULER's. Deviations: words come
 * from our lists, and when those are used up are adjective-noun pairs, where RULER turns to a larger list; the
 * example's words are not used again; every sample is shuffled anew (RULER: all alike); the list is cut off where that
 * meets the token budget, its last entries being of words that stand there once.
 *
 * compact: made-up words without numbers and no example, "Q: 3 most common words?"; the answer is in alphabetical
 * order. */
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/draw.h"
#include "datasets/fit.h"
#include "datasets/item.h"
#include "datasets/words.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

enum { MAX_COMMON = 100, SHORT_CONTEXT = 4096 };

struct config {
    int64_t length, num_cw, freq_cw, freq_ucw, num_fewshot, syllables; /* freq_*: -1: RULER's */
    int wording, split;
};

static const char *const automatic[] = {"auto", NULL};
static const char instruction[] =
    "Below is a numbered list of words. In these words, some appear more often than others. "
    "Memorize the ones that appear most often.\n";

struct state {
    const struct config *c;
    struct dataset_env env;
};

/* Words of one sample, drawn as they are needed; the first num_cw are the common ones. */
struct sample {
    const struct config *c;
    struct draw words;
    const char *list[2 * WORDS_N]; /* ours, shuffled; ruler only */
    long n_used;                   /* of them, by the example */
    char **word;
    size_t cap;
    long n;
    int freq_cw, freq_ucw;
    struct rng order; /* where every shuffle begins */
    const char *head;
    struct dataset_span *span; /* of the common words, as last built */
    int n_span;
    struct err *e;
    int failed;
};

/* How often a common word and any other one stand there. */
static int frequency(const struct config *c, int common)
{
    int small = c->length < SHORT_CONTEXT;
    int64_t given = common ? c->freq_cw : c->freq_ucw;
    return given >= 0 ? (int)given : common ? (small ? 6 : 30) : small ? 1 : 3;
}

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    if (draw_check(c->wording, c->split, e))
        return -1;
    if (frequency(c, 1) <= frequency(c, 0))
        return err_set(e, ERR_CONFIG, "freq_cw %d must be above freq_ucw %d", frequency(c, 1), frequency(c, 0));
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){c, *env};
    *self = s;
    return 0;
}

static int count(void *self)
{
    (void)self;
    return -1;
}

static int draw_words(struct sample *s, long n)
{
    for (; s->n < n && !s->failed; s->n++) {
        struct str text = {0};
        mem_grow(&s->word, &s->cap, (size_t)s->n + 1, sizeof *s->word);
        if (s->c->wording == DRAW_COMPACT)
            s->failed = draw_new(&s->words, DRAW_SYLLABLES, (int)s->c->syllables, &text, s->e) != 0;
        else if (s->n_used + s->n < 2 * WORDS_N)
            str_add(&text, s->list[s->n_used + s->n]);
        else
            s->failed = draw_new(&s->words, DRAW_WORDS, 0, &text, s->e) != 0;
        s->word[s->n] = str_take(&text);
    }
    return s->failed ? -1 : 0;
}

/* Appends a shuffled list of words[0, n), `common` of them `often` times and the others `seldom` times. */
static void add_list(struct sample *s, long n, int common, int often, int seldom, int note, struct str *out)
{
    long n_entry = (long)common * often + (n - common) * seldom, at = 0;
    int *entry = mem_new((size_t)n_entry + 1, sizeof *entry), compact = s->c->wording == DRAW_COMPACT;
    struct rng r = s->order;
    for (long w = 0; w < n; w++)
        for (int k = 0; k < (w < common ? often : seldom); k++)
            entry[at++] = (int)w;
    rng_shuffle(&r, entry, (int)n_entry, sizeof *entry);
    s->n_span = note ? 0 : s->n_span;
    for (long i = 0; i < n_entry; i++) {
        const char *word = s->word[entry[i]];
        str_add(out, i ? " " : "");
        if (!compact)
            str_addf(out, "%ld. ", i + 1);
        if (note && entry[i] < common)
            s->span[s->n_span++] = (struct dataset_span){out->n, out->n + strlen(word)};
        str_add(out, word);
    }
    mem_free(entry);
}

/* Appends `letters` bytes of further entries, each of a new word, the last one broken off; `at` is the number of the
 * next. */
static void add_part(struct sample *s, long n, long at, int letters, struct str *out)
{
    size_t end = out->n + (size_t)letters;
    for (; out->n < end; n++) {
        if (draw_words(s, n + 1))
            return;
        str_addc(out, ' ');
        if (s->c->wording == DRAW_RULER)
            str_addf(out, "%ld. ", at++);
        str_add(out, s->word[n]);
    }
    out->n = end;
    str_addn(out, "", 0); /* the NUL back in its place */
}

static void build(void *ctx, struct fit_size size, struct str *out)
{
    struct sample *s = ctx;
    long n = size.words, n_entry = (long)s->c->num_cw * s->freq_cw + (n - (long)s->c->num_cw) * s->freq_ucw;
    str_add(out, s->head);
    if (draw_words(s, n))
        return;
    add_list(s, n, (int)s->c->num_cw, s->freq_cw, s->freq_ucw, 1, out);
    if (size.letters > 0)
        add_part(s, n, n_entry + 1, size.letters, out);
}

static void word_question(const struct config *c, struct str *question, struct str *prefix)
{
    if (c->wording == DRAW_COMPACT) {
        str_addf(question, "\nQ: %lld most common words?", (long long)c->num_cw);
        str_add(prefix, "\nA:");
        return;
    }
    str_addf(question, "\nQuestion: What are the %lld most common words in the above list?", (long long)c->num_cw);
    str_addf(prefix, " Answer: The top %lld words that appear most often in the list are:", (long long)c->num_cw);
}

/* The words of the example are used up: the task itself has others. */
static int add_example(struct sample *s, struct str *out)
{
    int small = s->c->length < SHORT_CONTEXT, common = (int)s->c->num_cw, n = small ? 20 : 40;
    n = n > common ? n : common + 1;
    if (draw_words(s, n))
        return -1;
    str_add(out, instruction);
    add_list(s, n, common, small ? 3 : 10, small ? 1 : 3, 0, out);
    word_question(s->c, out, out);
    for (int i = 0; i < common; i++)
        str_addf(out, " %d. %s", i + 1, s->word[i]);
    str_addc(out, '\n');
    for (int i = 0; i < n; i++)
        mem_free(s->word[i]);
    s->n_used = n;
    s->n = 0;
    return 0;
}

static int by_letters(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static int make(const struct state *st, struct sample *s, int index, int budget, struct dataset_item *out,
                struct err *e)
{
    const struct config *c = st->c;
    struct str head = {0}, question = {0}, prefix = {0}, context = {0};
    int rc = -1, compact = c->wording == DRAW_COMPACT;
    if (!compact && c->num_fewshot && add_example(s, &head))
        goto out;
    str_add(&head, compact ? "" : instruction);
    s->head = str_c(&head);
    word_question(c, &question, &prefix);
    if (fit_records(&st->env, build, s, (long)c->num_cw + 1, question.p, prefix.p, budget, &context, e)) {
        if (head.n >= sizeof instruction)
            err_wrap(e, "with its worked example (num_fewshot: 0 leaves it out)");
        goto out;
    }
    if (s->failed)
        goto out;
    item_begin(out, index, 1, &context);
    struct dataset_question *q = item_question(out, question.p, prefix.p);
    if (compact)
        qsort(s->word, (size_t)c->num_cw, sizeof *s->word, by_letters); /* an order that a model can be taught */
    for (int i = 0; i < c->num_cw; i++)
        item_answer(q, s->word[i], strlen(s->word[i]));
    for (int i = 0; i < s->n_span; i++)
        item_evidence(out, s->span[i].begin, s->span[i].end);
    rc = 0;
out:
    str_free(&head);
    str_free(&question);
    str_free(&prefix);
    str_free(&context);
    return rc;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    struct state *st = self;
    const struct config *c = st->c;
    struct sample s = {.c = c, .e = e};
    struct rng r;
    int budget;
    if (fit_prompt_budget(&st->env, c->length, max_new_tokens, &budget, e))
        return -1;
    rng_init(&r, rng_mix(seed, (uint64_t)index), "cwe 2");
    s.freq_cw = frequency(c, 1);
    s.freq_ucw = frequency(c, 0);
    for (int i = 0; i < WORDS_N; i++) {
        s.list[2 * i] = words_adjective[i];
        s.list[2 * i + 1] = words_noun[i];
    }
    rng_shuffle(&r, s.list, 2 * WORDS_N, sizeof *s.list);
    draw_init(&s.words, &r, c->wording, c->split);
    rng_init(&s.order, rng_u64(&r), "order");
    s.span = mem_new((size_t)c->num_cw * (size_t)s.freq_cw, sizeof *s.span);
    int rc = make(st, &s, index, budget, out, e);
    for (long i = 0; i < s.n; i++)
        mem_free(s.word[i]);
    mem_free(s.word);
    mem_free(s.span);
    draw_fini(&s.words);
    return rc;
}

static void close(void *self)
{
    mem_free(self);
}

static const struct param params[] = {
    {"length", PARAM_INT, offsetof(struct config, length), "1024", 32, 1e7, NULL,
     "tokens of prompt plus max_new_tokens"},
    {"num_cw", PARAM_INT, offsetof(struct config, num_cw), "10", 1, MAX_COMMON, NULL, "common words"},
    {"freq_cw", PARAM_INT, offsetof(struct config, freq_cw), "auto", 2, 10000, automatic,
     "how often a common word stands there; auto: 30, below 4096 tokens 6"},
    {"freq_ucw", PARAM_INT, offsetof(struct config, freq_ucw), "auto", 1, 10000, automatic,
     "how often any other word stands there; auto: 3, below 4096 tokens 1"},
    {"num_fewshot", PARAM_INT, offsetof(struct config, num_fewshot), "1", 0, 1, NULL,
     "worked examples before the task (ruler only)"},
    {"syllables", PARAM_INT, offsetof(struct config, syllables), "3", 1, 8, NULL,
     "of a made-up word, two letters each (compact only)"},
    {"wording", PARAM_ENUM, offsetof(struct config, wording), "ruler", 0, 0, draw_wordings,
     "RULER's, or the same said tersely"},
    {"split", PARAM_ENUM, offsetof(struct config, split), "eval", 0, 0, draw_splits,
     "compact: which half of all words"},
    {0},
};

extern const struct dataset_ops dataset_cwe;
const struct dataset_ops dataset_cwe = {
    .abi = DATASET_ABI,
    .name = "cwe",
    .summary = "the most common words of a list",
    .source = "RULER, Hsieh et al. 2024, arXiv:2404.06654",
    .version = 2,
    .max_new_tokens = 120,
    .metric = "string_match_all",
    .config_size = sizeof(struct config),
    .params = params,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
