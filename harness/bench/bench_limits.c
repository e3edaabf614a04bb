#include "harness/bench/bench_limits.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/cpu.h"
#include "harness/base/mem.h"
#include "harness/bench/bench_formula.h"
#include "harness/bench/bench_loop.h"
#include "harness/bench/bench_product.h"
#include "models/kernels.h"
#include "models/kernels_bf16.h"
#include "models/transformer.h"

const struct bench_limit_info bench_limit_info[BENCH_N_LIMIT] = {
    [BENCH_SQUARE] = {"square", "GFLOP/s", "products, large and square"},
    [BENCH_QK] = {"qk", "GFLOP/s", "products, inner length head_dim (Q K^T)"},
    [BENCH_PV] = {"pv", "GFLOP/s", "products, width head_dim (P V)"},
    [BENCH_ROWS32] = {"rows32", "GFLOP/s", "32 rows x a large weight matrix"},
    [BENCH_BANDWIDTH] = {"bandwidth", "GB/s", "reading memory, all threads"},
};

const char *const bench_way_name[BENCH_N_WAY] = {"OpenBLAS", "own", "loop"};

enum {
    MAX_CANDIDATE = 60,
    TRIES_FIRST = 2, /* of every candidate */
    TRIES_LATER = 4, /* of the best one */
    DEPTH = 2048,    /* tokens in the cache that a step reads beside the weights */
    LINE = 8         /* words of a line of memory */
};

struct limit {
    struct bench_product candidate[MAX_CANDIDATE];
    int n, tried;             /* tried: every candidate was, once */
    int best[BENCH_N_WAY];    /* -1: no measurement yet, or nothing to measure */
    double rate[BENCH_N_WAY]; /* the best so far; NAN: none */
    enum model_dtype arithmetic;
    char shape[96];
};

struct bench_limits {
    struct limit limit[BENCH_BANDWIDTH]; /* the products */
    size_t llc, step;                    /* bytes: of the last-level cache, and what a step reads */
    char stream_shape[64];
};

static void add(struct limit *l, struct bench_product c)
{
    if (l->n < MAX_CANDIDATE && c.m > 0 && c.n > 0 && c.k > 0 && c.task > 0)
        l->candidate[l->n++] = c;
}

static size_t llc_bytes(void)
{
    size_t largest = (size_t)32 << 20; /* where nobody tells */
    for (int i = 0; i < 8; i++) {
        char path[96], text[32];
        snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/size", i);
        FILE *f = fopen(path, "r");
        if (!f)
            continue;
        if (fgets(text, sizeof text, f)) {
            char *end;
            size_t n = strtoul(text, &end, 10);
            n <<= *end == 'M' ? 20 : *end == 'K' ? 10 : 0;
            largest = n > largest ? n : largest;
        }
        fclose(f);
    }
    return largest;
}

/* A quarter of the memory at most. */
static size_t bounded(size_t bytes)
{
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    size_t most = pages > 0 && page > 0 ? (size_t)pages * (size_t)page / 4 : bytes;
    return bytes < most ? bytes : most;
}

/* Elements from one task's rows to the next one's. */
static size_t rows_step(const struct limit *l, int rows, int k)
{
    return l->arithmetic == MODEL_BF16 ? kernels_bf16_words((size_t)rows, (size_t)k) : (size_t)rows * (size_t)k;
}

static void square_candidates(struct limit *l, int threads)
{
    static const int side[] = {1024, 1536, 2048};
    enum { ROWS = 256 }; /* of a prefill's block */
    enum model_dtype in = l->arithmetic;
    int floats = in == MODEL_F32;
    for (size_t i = 0; i < sizeof side / sizeof *side; i++) {
        int s = side[i], part = s / threads, rows = part > ROWS ? part : ROWS;
        size_t w = (size_t)s, slab = (size_t)part * w, tall = rows_step(l, rows, s);
        for (int form = BENCH_A_BT; floats && form <= BENCH_A_B; form++) /* rows of one product */
            add(l,
                (struct bench_product){(enum bench_form)form, part, s, s, w, w, w, slab, 0, slab, threads, 1, in, in});
        if (floats) /* columns */
            add(l, (struct bench_product){BENCH_A_BT, s, part, s, w, w, w, 0, slab, (size_t)part, threads, 1, in, in});
        add(l,
            (struct bench_product){BENCH_WEIGHTS, rows, s, s, w, w, w, tall, 0, (size_t)rows * w, threads, 1, in, in});
    }
    if (floats)
        add(l, (struct bench_product){BENCH_A_BT, 1024, 1024, 1024, 1024, 1024, 1024, 1 << 20, 1 << 20, 1 << 20,
                                      threads, 1, in, in});
}

/* Tiles of `group` heads x a block of queries against the keys of a long prompt, every thread its own. (With 128 keys
 * everything lies in the first-level cache and PV ran at 232 GFLOP/s, faster than any square product: no prefill of
 * thousands of tokens is that.) Rows of scores are a line longer than they are, as those of a prefill. */
static void attention_candidates(struct limit *qk, struct limit *pv, const struct hparams *hp, int threads)
{
    static const int block[] = {32, 64, 128, 256}, keys[] = {512, 1024, 2048};
    enum { APART = 16 };
    const enum model_dtype in = MODEL_F32;
    int d = hp->head_dim;
    size_t w = (size_t)d;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++) {
            int m = block[i] * (hp->n_group < 8 ? hp->n_group : 8), n = keys[j];
            size_t ld = (size_t)n + APART, x = (size_t)m * w, y = (size_t)n * w, s = (size_t)m * ld;
            double flop = 2.0 * m * n * d;
            int calls = flop < 2e8 ? (int)(2e8 / flop) + 1 : 1; /* some milliseconds */
            for (int own = 0; own < 2; own++) {
                add(qk, (struct bench_product){own ? BENCH_SCORES : BENCH_A_BT, m, n, d, w, w, ld, x, y, s, threads,
                                               calls, in, in});
                add(pv, (struct bench_product){own ? BENCH_VALUES : BENCH_A_B, m, d, n, ld, w, w, s, y, x, threads,
                                               calls, in, in});
            }
        }
}

/* A matrix as large as the model's weights, or four times the last-level cache, whichever is smaller: what of it the
 * caches hold, they hold of the weights. */
static void rows32_candidates(struct limit *l, const struct model *m, size_t most)
{
    static const int chunk[] = {64, 256, 1024};
    enum model_dtype in = l->arithmetic, held = m->output.bf16 ? MODEL_BF16 : MODEL_F32;
    int k = m->hp.d_model;
    size_t bytes = (size_t)bench_weight_bytes(m), w = (size_t)k;
    size_t rows = (bytes < most ? bytes : most) / (held == MODEL_BF16 ? 2 : sizeof(float)) / w / 1024 * 1024;
    rows = k < 128 && rows > 65536 ? 65536 : rows; /* of narrow rows the result would be the larger matrix */
    int n = rows < 4096 ? 4096 : rows < 1 << 28 ? (int)rows : 1 << 28;
    size_t ld = (size_t)n;
    for (int i = 0; i < 3 && held == MODEL_F32; i++) {
        int c = chunk[i];
        size_t part = (size_t)c * w, step = (size_t)c;
        add(l, (struct bench_product){BENCH_A_BT, 32, c, k, w, w, ld, 0, part, step, n / c, 1, held, in}); /* x w^T */
        add(l,
            (struct bench_product){BENCH_A_BT, c, 32, k, w, w, 32, part, 0, step * 32, n / c, 1, held, in}); /* w x^T */
        add(l, (struct bench_product){BENCH_A_B, 32, c, k, w, ld, ld, 0, step, step, n / c, 1, held, in});
    }
    add(l, (struct bench_product){BENCH_PANEL, 32, MATRIX_PANEL, k, w, w, ld, 0, 0, MATRIX_PANEL, n / MATRIX_PANEL, 1,
                                  held, in});
}

struct bench_limits *bench_limits_create(const struct model *m)
{
    struct bench_limits *l = mem_new(1, sizeof *l);
    int threads = transformer_threads();
    l->llc = llc_bytes();
    l->step = (size_t)(bench_weight_bytes(m) + bench_cache_bytes(&m->hp, DEPTH, MODEL_F32));
    for (int i = 0; i < BENCH_BANDWIDTH; i++) {
        l->limit[i].arithmetic = bench_arithmetic(m, (enum bench_limit)i);
        for (int w = 0; w < BENCH_N_WAY; w++) {
            l->limit[i].best[w] = -1;
            l->limit[i].rate[w] = (double)NAN;
        }
    }
    square_candidates(&l->limit[BENCH_SQUARE], threads);
    attention_candidates(&l->limit[BENCH_QK], &l->limit[BENCH_PV], &m->hp, threads);
    rows32_candidates(&l->limit[BENCH_ROWS32], m, bounded(4 * l->llc));
    kernels_init();
    return l;
}

void bench_limits_destroy(struct bench_limits *l)
{
    mem_free(l);
}

static enum bench_way way_of(const struct bench_product *p)
{
    return p->form == BENCH_A_BT || p->form == BENCH_A_B ? BENCH_BLAS : BENCH_OWN;
}

/* Rates of now, by way; 0 where there is none. */
static int measure_products(struct limit *l, double now[BENCH_N_WAY], struct err *e)
{
    struct bench_operands o;
    if (bench_operands_make(l->candidate, l->n, &o, e))
        return -1;
    for (int i = 0; i < l->n; i++) {
        enum bench_way w = way_of(&l->candidate[i]);
        if (l->tried && i != l->best[w])
            continue;
        double r = bench_product_rate(&l->candidate[i], l->tried ? TRIES_LATER : TRIES_FIRST, &o);
        if (r > now[w]) {
            now[w] = r;
            l->best[w] = i;
        }
    }
    l->tried = 1;
    bench_operands_free(&o);
    return 0;
}

static void name_shape(struct limit *l, enum bench_way w)
{
    static const char *const form[] = {[BENCH_A_BT] = "a b^T",    [BENCH_A_B] = "a b",      [BENCH_WEIGHTS] = "panels",
                                       [BENCH_PANEL] = "a panel", [BENCH_SCORES] = "a b^T", [BENCH_VALUES] = "a b"};
    const struct bench_product *p = &l->candidate[l->best[w] < 0 ? 0 : l->best[w]];
    const char *in = l->arithmetic == MODEL_BF16 ? ", bf16 by " : "",
               *by = l->arithmetic == MODEL_BF16 ? kernels_bf16_names[kernels_bf16_chosen()] : "";
    if (w == BENCH_LOOP)
        snprintf(l->shape, sizeof l->shape, "loop: registers alone%s%s", in, by);
    else
        snprintf(l->shape, sizeof l->shape, "%s: %d x %d x %d, %s%s%s", bench_way_name[w], p->m, p->n, p->k,
                 form[p->form], in, by);
}

double bench_limits_of_ways(const double rate[BENCH_N_WAY])
{
    double best = (double)NAN;
    for (int w = 0; w < BENCH_N_WAY; w++)
        best = rate[w] > 0 && !(best > rate[w]) ? rate[w] : best;
    return best;
}

/* loop: what registers alone do now; 0 where that is no limit. */
static int measure_limit(struct limit *l, double loop, double *rate, struct err *e)
{
    double now[BENCH_N_WAY] = {0};
    int best = 0;
    if (measure_products(l, now, e))
        return -1;
    now[BENCH_LOOP] = loop;
    for (int w = 0; w < BENCH_N_WAY; w++)
        if (now[w] > 0 && !(l->rate[w] > now[w]))
            l->rate[w] = now[w];
    while (best < BENCH_N_WAY - 1 && l->rate[best] != bench_limits_of_ways(l->rate))
        best++;
    *rate = bench_limits_of_ways(now);
    name_shape(l, (enum bench_way)best);
    return 0;
}

/* Sums n 64-bit words, four lines at a time, so that loads and not additions are what is waited for; AHEAD: what comes
 * is asked for on the way, as kernels do, which on some processors gives more. */
#define READ(NAME, AHEAD) \
    CPU_CLONES static uint64_t NAME(const uint64_t *x, size_t n) \
    { \
        uint64_t sum[4 * LINE] = {0}; \
        for (size_t i = 0; i + 4 * LINE <= n; i += 4 * LINE) { \
            for (size_t j = 0; AHEAD && j < 4; j++) { \
                __builtin_prefetch(x + i + j * LINE + 512); \
                __builtin_prefetch(x + i + j * LINE + 1536, 0, 2); \
            } \
            for (size_t j = 0; j < 4 * LINE; j++) \
                sum[j] += x[i + j]; \
        } \
        for (int j = 1; j < 4 * LINE; j++) \
            sum[0] += sum[j]; \
        return sum[0]; \
    }

READ(read_words, 0)
READ(read_words_ahead, 1)

struct bench_stream {
    uint64_t *word;
    size_t part; /* words of one thread */
    int threads;
};

struct bench_stream *bench_stream_create(const struct bench_limits *l, double bytes, struct err *e)
{
    enum { LEAST = 1 << 20 };
    size_t most = bounded(16 * l->llc), size = bytes < LEAST ? LEAST : bytes < (double)most ? (size_t)bytes : most;
    struct bench_stream *s = mem_new(1, sizeof *s);
    size_t words = size / 4096 * 4096 / sizeof *s->word;
    s->threads = transformer_threads();
    s->part = words / (size_t)s->threads / (4 * LINE) * (4 * LINE);
    s->word = mem_try_raw(words, sizeof *s->word, "bench's stream", e);
    if (!s->word) {
        mem_free(s);
        return NULL;
    }
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < words; i++)
        s->word[i] = i * 0x9e3779b97f4a7c15u; /* pages of zeros may be one page */
    return s;
}

void bench_stream_destroy(struct bench_stream *s)
{
    if (!s)
        return;
    mem_free(s->word);
    mem_free(s);
}

double bench_stream_rate(const struct bench_stream *s)
{
    volatile uint64_t sink = 0; /* the sums are used, so the reads happen */
    double rate = 0;
    for (int t = 0; t < 2 * TRIES_LATER; t++) { /* both ways of reading in turns */
        uint64_t sum = 0;
        double start = clock_seconds();
#pragma omp parallel for schedule(static) reduction(+ : sum)
        for (int i = 0; i < s->threads; i++)
            sum += (t % 2 ? read_words_ahead : read_words)(s->word + (size_t)i * s->part, s->part);
        double r = (double)(s->part * (size_t)s->threads * sizeof *s->word) / (clock_seconds() - start);
        sink = sum;
        (void)sink;
        rate = r > rate ? r : rate;
    }
    return rate;
}

static int measure_bandwidth(struct bench_limits *l, double *rate, struct err *e)
{
    struct bench_stream *s = bench_stream_create(l, (double)l->step, e);
    if (!s)
        return -1;
    *rate = bench_stream_rate(s);
    snprintf(l->stream_shape, sizeof l->stream_shape, "%zu MiB", s->part * (size_t)s->threads * sizeof *s->word >> 20);
    bench_stream_destroy(s);
    return 0;
}

int bench_limits_measure(struct bench_limits *l, unsigned wanted, double rate[BENCH_N_LIMIT], struct err *e)
{
    double loop[2] = {0}; /* by arithmetic; each measured once, when the first needs it */
    for (int i = 0; i < BENCH_N_LIMIT; i++) {
        rate[i] = (double)NAN;
        if (!(wanted >> i & 1))
            continue;
        if (i == BENCH_BANDWIDTH) {
            if (measure_bandwidth(l, &rate[i], e))
                return -1;
            continue;
        }
        enum model_dtype a = l->limit[i].arithmetic;
        int bf16 = a == MODEL_BF16;
        if (i != BENCH_ROWS32 && loop[bf16] == 0)
            loop[bf16] = bench_loop_rate(a, transformer_threads());
        if (measure_limit(&l->limit[i], i == BENCH_ROWS32 ? 0 : loop[bf16], &rate[i], e))
            return -1;
    }
    return 0;
}

const char *bench_limits_shape(const struct bench_limits *l, enum bench_limit i)
{
    return i == BENCH_BANDWIDTH ? l->stream_shape : l->limit[i].shape;
}

double bench_limits_way(const struct bench_limits *l, enum bench_limit i, enum bench_way w)
{
    return i == BENCH_BANDWIDTH ? (double)NAN : l->limit[i].rate[w];
}
