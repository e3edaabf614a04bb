/* RULER's frequent words extraction (Hsieh et al. 2024, arXiv:2404.06654; NVIDIA/RULER data/synthetic/
 * freq_words_extraction.py): a text of coded words, of which the word of rank k stands floor(N k^-alpha / zeta(alpha))
 * times; rank 1 is shown as dots, asked are ranks 2 to 4. N is found by search. Templates, vocabulary size (length /
 * 50) and metric are RULER's; it has no rule of its own for short contexts. Deviations: ranks 5 and below stay one
 * below rank 4, so that the answer is the only one even in a short context; every sample is shuffled anew; length
 * counts what is generated, as in all other tasks (RULER's prompt alone takes it all here); dots fill the end where
 * that meets the token budget exactly.
 *
 * compact: the same text without instruction, "Q: 3 most frequent words?"; the answer begins with the most frequent. */
#include <math.h>
#include <stddef.h>
#include <string.h>

#include "datasets/dataset.h"
#include "datasets/draw.h"
#include "datasets/fit.h"
#include "datasets/item.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"

enum { N_ASKED = 3, PER_WORD = 50, MIN_VOCABULARY = N_ASKED + 1, DOTS = 4 /* with their blank */ };

struct config {
    int64_t length, vocab_size, coded_wordlen; /* vocab_size -1: length / 50 */
    double alpha;
    int wording, split;
};

static const char *const automatic[] = {"auto", NULL};

struct state {
    const struct config *c;
    struct dataset_env env;
    double zeta;
    int n_vocabulary;
};

struct sample {
    const struct state *st;
    const char *head;
    struct str *word; /* [n_vocabulary]; the first one is the dots */
    struct rng order;
    struct dataset_span *span; /* of ranks 2 to 4, as last built */
    size_t cap;
    int n_span;
};

/* zeta(a) for a > 1: the first terms, and Euler and Maclaurin's tail of the rest. */
static double zeta(double a)
{
    enum { TERMS = 30 };
    double n = TERMS, sum = 0;
    for (int k = 1; k < TERMS; k++)
        sum += pow(k, -a);
    return sum + pow(n, 1 - a) / (a - 1) + pow(n, -a) / 2 + a * pow(n, -a - 1) / 12 -
           a * (a + 1) * (a + 2) * pow(n, -a - 3) / 720;
}

static int open(void **self, const void *config, const struct dataset_env *env, struct err *e)
{
    const struct config *c = config;
    if (draw_check(c->wording, c->split, e))
        return -1;
    int64_t n = c->vocab_size >= 0 ? c->vocab_size : c->length / PER_WORD;
    struct state *s = mem_new(1, sizeof *s);
    *s = (struct state){c, *env, zeta(c->alpha), (int)(n < MIN_VOCABULARY ? MIN_VOCABULARY : n)};
    *self = s;
    return 0;
}

static int count(void *self)
{
    (void)self;
    return -1;
}

/* How often the word of rank k (from 1) stands in a text of n. */
static long frequency(const struct state *s, long n, int k)
{
    return (long)floor((double)n * pow(k, -s->c->alpha) / s->zeta);
}

static void build(void *ctx, struct fit_size size, struct str *out)
{
    struct sample *x = ctx;
    const struct state *s = x->st;
    size_t cap = 0;
    int n = 0, *entry = NULL;
    long last = frequency(s, size.words, N_ASKED + 1);
    for (int k = 1; k <= s->n_vocabulary; k++) {
        long f = frequency(s, size.words, k);
        if (k > N_ASKED + 1 && f >= last)
            f = last - 1;
        if (f <= 0)
            break;
        mem_grow(&entry, &cap, (size_t)(n + f), sizeof *entry);
        while (f-- > 0)
            entry[n++] = k - 1;
    }
    struct rng r = x->order;
    rng_shuffle(&r, entry, n, sizeof *entry);
    x->n_span = 0;
    str_add(out, x->head);
    for (int i = 0; i < n; i++) {
        const struct str *word = &x->word[entry[i]];
        str_add(out, i ? " " : "");
        if (entry[i] >= 1 && entry[i] <= N_ASKED) {
            mem_grow(&x->span, &x->cap, (size_t)x->n_span + 1, sizeof *x->span);
            x->span[x->n_span++] = (struct dataset_span){out->n, out->n + word->n};
        }
        str_addn(out, word->p, word->n);
    }
    mem_free(entry);
    for (int i = 0; i < size.letters; i++) /* dots take up what is left: nobody counts them */
        str_addc(out, i % DOTS ? '.' : ' ');
}

static int make(const struct state *s, struct sample *x, int index, int budget, struct dataset_item *out, struct err *e)
{
    int compact = s->c->wording == DRAW_COMPACT;
    const char *question =
        compact ? "\nQ: 3 most frequent words?"
                : "\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the "
                  "three most frequently appeared words in the above coded text?";
    const char *prefix =
        compact ? "\nA:" : " Answer: According to the coded text above, the three most frequently appeared words are:";
    struct str context = {0};
    long least = 1;
    while (frequency(s, least, N_ASKED + 1) < 1)
        least++;
    x->head = compact ? ""
                      : "Read the following coded text and track the frequency of each coded word. Find the three most "
                        "frequently appeared coded words. ";
    if (fit_records(&s->env, build, x, least, question, prefix, budget, &context, e)) {
        str_free(&context);
        return -1;
    }
    item_begin(out, index, 1, &context);
    struct dataset_question *q = item_question(out, question, prefix);
    for (int k = 1; k <= N_ASKED; k++)
        item_answer(q, x->word[k].p, x->word[k].n);
    for (int i = 0; i < x->n_span; i++)
        item_evidence(out, x->span[i].begin, x->span[i].end);
    return 0;
}

static int item(void *self, int index, uint64_t seed, int max_new_tokens, struct dataset_item *out, struct err *e)
{
    const struct state *s = self;
    struct sample x = {.st = s};
    struct draw words;
    struct rng r;
    int budget, rc = 0;
    if (fit_prompt_budget(&s->env, s->c->length, max_new_tokens, &budget, e))
        return -1;
    rng_init(&r, rng_mix(seed, (uint64_t)index), "fwe 2");
    draw_init(&words, &r, s->c->wording, s->c->split);
    x.word = mem_new((size_t)s->n_vocabulary, sizeof *x.word);
    str_add(&x.word[0], "...");
    for (int k = 1; k < s->n_vocabulary && rc == 0; k++)
        rc = draw_new(&words, DRAW_LETTERS, (int)s->c->coded_wordlen, &x.word[k], e);
    rng_init(&x.order, rng_u64(&r), "order");
    rc = rc ? rc : make(s, &x, index, budget, out, e);
    for (int k = 0; k < s->n_vocabulary; k++)
        str_free(&x.word[k]);
    mem_free(x.word);
    mem_free(x.span);
    draw_fini(&words);
    return rc;
}

static void close(void *self)
{
    mem_free(self);
}

static const struct param params[] = {
    {"length", PARAM_INT, offsetof(struct config, length), "1024", 32, 1e7, NULL,
     "tokens of prompt plus max_new_tokens"},
    {"alpha", PARAM_FLOAT, offsetof(struct config, alpha), "2", 1.1, 10, NULL,
     "how fast the frequencies fall with the rank"},
    {"coded_wordlen", PARAM_INT, offsetof(struct config, coded_wordlen), "6", 2, 30, NULL, "letters of a coded word"},
    {"vocab_size", PARAM_INT, offsetof(struct config, vocab_size), "auto", MIN_VOCABULARY, 1e6, automatic,
     "words of the vocabulary, the dots counted; auto: length / 50"},
    {"wording", PARAM_ENUM, offsetof(struct config, wording), "ruler", 0, 0, draw_wordings,
     "RULER's, or the same said tersely"},
    {"split", PARAM_ENUM, offsetof(struct config, split), "eval", 0, 0, draw_splits,
     "compact: which half of all words"},
    {0},
};

extern const struct dataset_ops dataset_fwe;
const struct dataset_ops dataset_fwe = {
    .abi = DATASET_ABI,
    .name = "fwe",
    .summary = "the most frequent words of a coded text",
    .source = "RULER, Hsieh et al. 2024, arXiv:2404.06654",
    .version = 2,
    .max_new_tokens = 50,
    .metric = "string_match_all",
    .config_size = sizeof(struct config),
    .params = params,
    .open = open,
    .count = count,
    .item = item,
    .close = close,
};
