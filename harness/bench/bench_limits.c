#include "harness/bench/bench_limits.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "models/kernels.h"
#include "models/transformer.h"

const struct bench_limit_info bench_limit_info[BENCH_N_LIMIT] = {
    [BENCH_SQUARE] = {"square", "GFLOP/s", "sgemm, large and square"},
    [BENCH_QK] = {"qk", "GFLOP/s", "sgemm, inner length head_dim (Q K^T)"},
    [BENCH_PV] = {"pv", "GFLOP/s", "sgemm, width head_dim (P V)"},
    [BENCH_ROWS32] = {"rows32", "GFLOP/s", "sgemm, 32 rows x a large weight matrix"},
    [BENCH_BANDWIDTH] = {"bandwidth", "GB/s", "reading memory, all threads"},
};

enum {
    MAX_CANDIDATE = 40,
    TRIES_FIRST = 2, /* of every candidate */
    TRIES_LATER = 4  /* of the best one */
};

/* One way to do it: `task` products of one shape, spread over the threads, each done `calls` times. The operands of
 * task t begin t steps behind those of task 0. */
struct candidate {
    int nt; /* 1: c[m][n] = a[m][k] b[n][k]^T; 0: c = a[m][k] b[k][n] */
    int m, n, k;
    size_t lda, ldb, ldc, a_step, b_step, c_step;
    int task, calls;
};

struct limit {
    struct candidate candidate[MAX_CANDIDATE];
    int n, best; /* best: -1 before the first measurement */
    char shape[64];
};

struct bench_limits {
    struct limit limit[BENCH_BANDWIDTH]; /* the sgemm ones */
    size_t stream_bytes;
    char stream_shape[64];
};

static void add(struct limit *l, struct candidate c)
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

static void square_candidates(struct limit *l, int threads)
{
    static const int side[] = {1024, 1536, 2048};
    for (size_t i = 0; i < sizeof side / sizeof *side; i++) {
        int s = side[i], part = s / threads;
        size_t w = (size_t)s, slab = (size_t)part * w;
        for (int nt = 0; nt < 2; nt++)
            add(l, (struct candidate){nt, part, s, s, w, w, w, slab, 0, slab, threads, 1});    /* rows of one product */
        add(l, (struct candidate){1, s, part, s, w, w, w, 0, slab, (size_t)part, threads, 1}); /* columns of it */
    }
    add(l, (struct candidate){1, 1024, 1024, 1024, 1024, 1024, 1024, 1 << 20, 1 << 20, 1 << 20, threads, 1});
}

/* Tiles of `group` heads x a block of queries against the keys of a long prompt, every thread its own. (With 128 keys
 * everything lies in the first-level cache and PV ran at 232 GFLOP/s, faster than any square product: no prefill of
 * thousands of tokens is that.) */
static void attention_candidates(struct limit *qk, struct limit *pv, const struct hparams *hp, int threads)
{
    static const int block[] = {32, 64, 128, 256}, keys[] = {512, 1024, 2048};
    int d = hp->head_dim;
    size_t w = (size_t)d;
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 3; j++) {
            int m = block[i] * (hp->n_group < 8 ? hp->n_group : 8), n = keys[j];
            size_t x = (size_t)m * w, y = (size_t)n * w, s = (size_t)m * (size_t)n;
            double flop = 2.0 * m * n * d;
            int calls = flop < 2e8 ? (int)(2e8 / flop) + 1 : 1; /* some milliseconds */
            add(qk, (struct candidate){1, m, n, d, w, w, (size_t)n, x, y, s, threads, calls});
            add(pv, (struct candidate){0, m, d, n, (size_t)n, w, w, s, y, x, threads, calls});
        }
}

static void rows32_candidates(struct limit *l, const struct hparams *hp, size_t bytes)
{
    static const int chunk[] = {64, 256, 1024};
    int k = hp->d_model;
    size_t most = bytes / sizeof(float) / (size_t)k / 1024 * 1024;
    int n = most < 65536 ? (int)most : 65536; /* a toy's narrow rows would make the result the larger matrix */
    size_t w = (size_t)k;
    for (int i = 0; i < 3; i++) {
        int c = chunk[i];
        size_t part = (size_t)c * w;
        add(l, (struct candidate){1, 32, c, k, w, w, (size_t)n, 0, part, (size_t)c, n / c, 1}); /* x w^T */
        add(l, (struct candidate){1, c, 32, k, w, w, 32, part, 0, (size_t)c * 32, n / c, 1});   /* w x^T */
        add(l, (struct candidate){0, 32, c, k, w, (size_t)n, (size_t)n, 0, (size_t)c, (size_t)c, n / c, 1});
    }
}

struct bench_limits *bench_limits_create(const struct hparams *hp)
{
    struct bench_limits *l = mem_new(1, sizeof *l);
    int threads = transformer_threads();
    size_t llc = llc_bytes();
    square_candidates(&l->limit[BENCH_SQUARE], threads);
    attention_candidates(&l->limit[BENCH_QK], &l->limit[BENCH_PV], hp, threads);
    rows32_candidates(&l->limit[BENCH_ROWS32], hp, bounded(4 * llc));
    for (int i = 0; i < BENCH_BANDWIDTH; i++)
        l->limit[i].best = -1;
    l->stream_bytes = bounded(16 * llc) / 4096 * 4096;
    kernels_init();
    return l;
}

void bench_limits_destroy(struct bench_limits *l)
{
    mem_free(l);
}

/* Floats of an operand: the last task's begin, all its rows but one, and the last row. */
static size_t extent(int task, size_t step, int rows, size_t ld, int columns)
{
    return (size_t)(task - 1) * step + (size_t)(rows - 1) * ld + (size_t)columns;
}

static float *operand(size_t n, struct err *e)
{
    float *x = mem_try_raw(n, sizeof *x, "bench's matrices", e);
    if (!x)
        return NULL;
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < n; i++) { /* in [-1, 1): no denormals, no overflow, and nothing that is easy to multiply */
        uint32_t h = (uint32_t)i * 2654435761u;
        h ^= h >> 15;
        x[i] = (float)(h & 0xffffff) * (2.0f / 0x1000000) - 1;
    }
    return x;
}

static double seconds_of(const struct candidate *p, const float *a, const float *b, float *c)
{
    double start = clock_seconds();
#pragma omp parallel for schedule(static)
    for (int t = 0; t < p->task; t++) {
        const float *at = a + (size_t)t * p->a_step, *bt = b + (size_t)t * p->b_step;
        float *ct = c + (size_t)t * p->c_step;
        for (int i = 0; i < p->calls; i++)
            (p->nt ? kernels_gemm_nt : kernels_gemm_nn)(ct, p->ldc, at, p->lda, bt, p->ldb, p->m, p->n, p->k, 0);
    }
    return clock_seconds() - start;
}

static int measure_sgemm(struct limit *l, double *rate, struct err *e)
{
    int rc = -1, first = l->best < 0;
    size_t na = 0, nb = 0, nc = 0;
    float *a = NULL, *b = NULL, *c = NULL;
    int from = first ? 0 : l->best, to = first ? l->n : l->best + 1;
    for (int i = from; i < to; i++) {
        const struct candidate *p = &l->candidate[i];
        size_t need_a = extent(p->task, p->a_step, p->m, p->lda, p->k);
        size_t need_b =
            p->nt ? extent(p->task, p->b_step, p->n, p->ldb, p->k) : extent(p->task, p->b_step, p->k, p->ldb, p->n);
        size_t need_c = extent(p->task, p->c_step, p->m, p->ldc, p->n);
        na = need_a > na ? need_a : na;
        nb = need_b > nb ? need_b : nb;
        nc = need_c > nc ? need_c : nc;
    }
    a = operand(na, e);
    b = a ? operand(nb, e) : NULL;
    c = b ? operand(nc, e) : NULL;
    if (!c)
        goto out;
    *rate = 0;
    for (int i = from; i < to; i++) {
        const struct candidate *p = &l->candidate[i];
        double flop = 2.0 * p->m * p->n * p->k * p->task * p->calls;
        for (int t = 0; t < (first ? TRIES_FIRST : TRIES_LATER); t++) {
            double r = flop / seconds_of(p, a, b, c);
            if (r > *rate) {
                *rate = r;
                l->best = i;
            }
        }
    }
    const struct candidate *p = &l->candidate[l->best];
    snprintf(l->shape, sizeof l->shape, "%d x %d x %d, %s", p->m, p->n, p->k, p->nt ? "a b^T" : "a b");
    rc = 0;
out:
    mem_free(a);
    mem_free(b);
    mem_free(c);
    return rc;
}

/* Sums 64-bit words of [from, to); eight chains, so that loads and not additions are what is waited for. */
static uint64_t read_words(const uint64_t *x, size_t from, size_t to)
{
    uint64_t sum[8] = {0};
    for (size_t i = from; i + 8 <= to; i += 8)
        for (int j = 0; j < 8; j++)
            sum[j] += x[i + (size_t)j];
    for (int j = 1; j < 8; j++)
        sum[0] += sum[j];
    return sum[0];
}

struct bench_stream {
    uint64_t *word;
    size_t part; /* words of one thread */
    int threads;
};

struct bench_stream *bench_stream_create(const struct bench_limits *l, struct err *e)
{
    struct bench_stream *s = mem_new(1, sizeof *s);
    size_t words = l->stream_bytes / sizeof *s->word;
    s->threads = transformer_threads();
    s->part = words / (size_t)s->threads / 8 * 8;
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
    for (int t = 0; t < TRIES_LATER; t++) {
        uint64_t sum = 0;
        double start = clock_seconds();
#pragma omp parallel for schedule(static) reduction(+ : sum)
        for (int i = 0; i < s->threads; i++)
            sum += read_words(s->word, (size_t)i * s->part, (size_t)(i + 1) * s->part);
        double r = (double)(s->part * (size_t)s->threads * sizeof *s->word) / (clock_seconds() - start);
        sink = sum;
        (void)sink;
        rate = r > rate ? r : rate;
    }
    return rate;
}

static int measure_bandwidth(struct bench_limits *l, double *rate, struct err *e)
{
    struct bench_stream *s = bench_stream_create(l, e);
    if (!s)
        return -1;
    *rate = bench_stream_rate(s);
    snprintf(l->stream_shape, sizeof l->stream_shape, "%zu MiB", l->stream_bytes >> 20);
    bench_stream_destroy(s);
    return 0;
}

int bench_limits_measure(struct bench_limits *l, unsigned wanted, double rate[BENCH_N_LIMIT], struct err *e)
{
    for (int i = 0; i < BENCH_N_LIMIT; i++) {
        rate[i] = (double)NAN;
        if (!(wanted >> i & 1))
            continue;
        if (i == BENCH_BANDWIDTH ? measure_bandwidth(l, &rate[i], e) : measure_sgemm(&l->limit[i], &rate[i], e))
            return -1;
    }
    return 0;
}

const char *bench_limits_shape(const struct bench_limits *l, enum bench_limit i)
{
    return i == BENCH_BANDWIDTH ? l->stream_shape : l->limit[i].shape;
}
