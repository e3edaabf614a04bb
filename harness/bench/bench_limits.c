#include "harness/bench/bench_limits.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "harness/bench/bench_loop.h"
#include "models/kernels.h"
#include "models/kernels_rows.h"
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
    TRIES_LATER = 4  /* of the best one */
};

/* How the operands lie. */
enum form {
    A_BT,   /* c[m][n] = a[m][k] b[n][k]^T */
    A_B,    /* c[m][n] = a[m][k] b[k][n] */
    PANELS, /* c[m][n] = a[m][k] times a weight matrix of n rows, held as models/matrix.h has it */
    PANEL,  /* the same of panel t alone */
    KEYS    /* c[n][m] = b[n][k] a[k][m]: scores with the queries side by side */
};

/* One thing to try: `task` products of one shape, spread over the threads, each done `calls` times. The operands of
 * task t begin t steps behind those of task 0. */
struct candidate {
    enum bench_way way;
    enum form form;
    int m, n, k;
    size_t lda, ldb, ldc, a_step, b_step, c_step;
    int task, calls;
};

struct limit {
    struct candidate candidate[MAX_CANDIDATE];
    int n;
    int best[BENCH_N_WAY];    /* -1: no measurement yet, or nothing to measure */
    double rate[BENCH_N_WAY]; /* the best so far */
    char shape[96];
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
    enum { ROWS = 256 }; /* of a prefill's block */
    for (size_t i = 0; i < sizeof side / sizeof *side; i++) {
        int s = side[i], part = s / threads, rows = part > ROWS ? part : ROWS;
        size_t w = (size_t)s, slab = (size_t)part * w, tall = (size_t)rows * w;
        for (int form = A_BT; form <= A_B; form++) /* rows of one product */
            add(l, (struct candidate){BENCH_BLAS, (enum form)form, part, s, s, w, w, w, slab, 0, slab, threads, 1});
        add(l,
            (struct candidate){BENCH_BLAS, A_BT, s, part, s, w, w, w, 0, slab, (size_t)part, threads, 1}); /* columns */
        add(l, (struct candidate){BENCH_OWN, PANELS, rows, s, s, w, w, w, tall, 0, tall, threads, 1});
    }
    add(l, (struct candidate){BENCH_BLAS, A_BT, 1024, 1024, 1024, 1024, 1024, 1024, 1 << 20, 1 << 20, 1 << 20, threads,
                              1});
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
            size_t x = (size_t)m * w, y = (size_t)n * w, s = (size_t)m * (size_t)n, ld = (size_t)m;
            double flop = 2.0 * m * n * d;
            int calls = flop < 2e8 ? (int)(2e8 / flop) + 1 : 1; /* some milliseconds */
            add(qk, (struct candidate){BENCH_BLAS, A_BT, m, n, d, w, w, (size_t)n, x, y, s, threads, calls});
            add(qk, (struct candidate){BENCH_OWN, KEYS, m, n, d, ld, w, ld, x, y, s, threads, calls});
            for (int own = 0; own < 2; own++)
                add(pv, (struct candidate){own ? BENCH_OWN : BENCH_BLAS, A_B, m, d, n, (size_t)n, w, w, s, y, x,
                                           threads, calls});
        }
}

static void rows32_candidates(struct limit *l, const struct hparams *hp, size_t bytes)
{
    static const int chunk[] = {64, 256, 1024};
    int k = hp->d_model;
    size_t most = bytes / sizeof(float) / (size_t)k / 1024 * 1024;
    int n = most < 65536 ? (int)most : 65536; /* a toy's narrow rows would make the result the larger matrix */
    size_t w = (size_t)k, ld = (size_t)n;
    for (int i = 0; i < 3; i++) {
        int c = chunk[i];
        size_t part = (size_t)c * w, step = (size_t)c;
        add(l, (struct candidate){BENCH_BLAS, A_BT, 32, c, k, w, w, ld, 0, part, step, n / c, 1});      /* x w^T */
        add(l, (struct candidate){BENCH_BLAS, A_BT, c, 32, k, w, w, 32, part, 0, step * 32, n / c, 1}); /* w x^T */
        add(l, (struct candidate){BENCH_BLAS, A_B, 32, c, k, w, ld, ld, 0, step, step, n / c, 1});
    }
    n = n / MATRIX_PANEL * MATRIX_PANEL;
    add(l, (struct candidate){BENCH_OWN, PANEL, 32, MATRIX_PANEL, k, w, w, (size_t)n, 0, MATRIX_PANEL * w, MATRIX_PANEL,
                              n / MATRIX_PANEL, 1});
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
        for (int w = 0; w < BENCH_N_WAY; w++) {
            l->limit[i].best[w] = -1;
            l->limit[i].rate[w] = (double)NAN;
        }
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

float *bench_operand(size_t n, struct err *e)
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

static void product(const struct candidate *p, int t, const float *a, const float *b, float *c)
{
    struct matrix w = {.rows = p->form == PANEL ? p->n * p->task : p->n, .cols = p->k, .f32 = b};
    switch (p->form) {
    case A_BT: kernels_gemm_nt(c, p->ldc, a, p->lda, b, p->ldb, p->m, p->n, p->k, 0); break;
    case A_B:
        if (p->way == BENCH_OWN)
            kernels_rows(c, p->ldc, a, p->lda, 1, p->m, b, p->ldb, p->n, p->k);
        else
            kernels_gemm_nn(c, p->ldc, a, p->lda, b, p->ldb, p->m, p->n, p->k, 0);
        break;
    case PANELS: kernels_rows_tile(c, p->ldc, a, p->lda, p->m, &w); break;
    case PANEL:
        w.f32 = b - (size_t)t * p->b_step; /* the whole matrix again, of which panel t begins at b */
        kernels_rows_panel(c, p->ldc, a, p->lda, p->m, &w, t);
        break;
    case KEYS: kernels_rows(c, p->ldc, b, p->ldb, 1, p->n, a, p->lda, p->m, p->k); break;
    }
}

static double seconds_of(const struct candidate *p, const float *a, const float *b, float *c)
{
    double start = clock_seconds();
#pragma omp parallel for schedule(static)
    for (int t = 0; t < p->task; t++)
        for (int i = 0; i < p->calls; i++)
            product(p, t, a + (size_t)t * p->a_step, b + (size_t)t * p->b_step, c + (size_t)t * p->c_step);
    return clock_seconds() - start;
}

/* Floats that the operands of one candidate take. */
static void extents(const struct candidate *p, size_t need[3])
{
    struct matrix w = {.rows = p->n * (p->form == PANEL ? p->task : 1), .cols = p->k};
    int keys = p->form == KEYS, panels = p->form == PANELS || p->form == PANEL;
    need[0] = extent(p->task, p->a_step, keys ? p->k : p->m, p->lda, keys ? p->m : p->k);
    need[1] = panels           ? matrix_elements(&w)
              : p->form == A_B ? extent(p->task, p->b_step, p->k, p->ldb, p->n)
                               : extent(p->task, p->b_step, p->n, p->ldb, p->k);
    need[2] = extent(p->task, p->c_step, keys ? p->n : p->m, p->ldc, keys ? p->m : p->n);
}

/* The best rate of one candidate in some tries. */
static double try(const struct candidate *p, int tries, const float *a, const float *b, float *c)
{
    double flop = 2.0 * p->m * p->n * p->k * p->task * p->calls, best = 0;
    for (int t = 0; t < tries; t++) {
        double r = flop / seconds_of(p, a, b, c);
        best = r > best ? r : best;
    }
    return best;
}

/* Rates of now, by way; l->best and l->rate remember. */
static void measure_products(struct limit *l, int first, const float *a, const float *b, float *c,
                             double rate[BENCH_N_WAY])
{
    for (int i = 0; i < l->n; i++) {
        enum bench_way w = l->candidate[i].way;
        if (!first && i != l->best[w])
            continue;
        double r = try(&l->candidate[i], first ? TRIES_FIRST : TRIES_LATER, a, b, c);
        if (r > rate[w]) {
            rate[w] = r;
            l->best[w] = i;
        }
    }
}

static void name_shape(struct limit *l, enum bench_way w)
{
    const struct candidate *p = &l->candidate[l->best[w] < 0 ? 0 : l->best[w]];
    if (w == BENCH_LOOP)
        snprintf(l->shape, sizeof l->shape, "loop: registers alone");
    else
        snprintf(l->shape, sizeof l->shape, "%s: %d x %d x %d, %s", bench_way_name[w], p->m, p->n, p->k,
                 p->form == A_BT   ? "a b^T"
                 : p->form == A_B  ? "a b"
                 : p->form == KEYS ? "b a^T"
                                   : "panels");
}

/* loop: what registers alone do now; 0 where that is no limit. */
static int measure_limit(struct limit *l, double loop, double *rate, struct err *e)
{
    int rc = -1, first = l->best[BENCH_BLAS] < 0, best = 0;
    size_t most[3] = {0};
    double now[BENCH_N_WAY] = {0};
    float *x[3] = {NULL};
    for (int i = 0; i < l->n; i++) {
        size_t need[3];
        extents(&l->candidate[i], need);
        for (int j = 0; j < 3; j++)
            most[j] = need[j] > most[j] ? need[j] : most[j];
    }
    for (int j = 0; j < 3; j++)
        if (!(x[j] = bench_operand(most[j], e)))
            goto out;
    measure_products(l, first, x[0], x[1], x[2], now);
    now[BENCH_LOOP] = loop;
    for (int w = 0; w < BENCH_N_WAY; w++) {
        if (now[w] > 0 && !(l->rate[w] > now[w]))
            l->rate[w] = now[w];
        best = l->rate[w] > l->rate[best] ? w : best;
    }
    *rate = 0;
    for (int w = 0; w < BENCH_N_WAY; w++)
        *rate = now[w] > *rate ? now[w] : *rate;
    name_shape(l, (enum bench_way)best);
    rc = 0;
out:
    for (int j = 0; j < 3; j++)
        mem_free(x[j]);
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
    int by_loop = (wanted & (1u << BENCH_SQUARE | 1u << BENCH_QK | 1u << BENCH_PV)) != 0;
    double loop = by_loop ? bench_loop_rate(transformer_threads()) : 0;
    for (int i = 0; i < BENCH_N_LIMIT; i++) {
        rate[i] = (double)NAN;
        if (!(wanted >> i & 1))
            continue;
        if (i == BENCH_BANDWIDTH ? measure_bandwidth(l, &rate[i], e)
                                 : measure_limit(&l->limit[i], i == BENCH_ROWS32 ? 0 : loop, &rate[i], e))
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
