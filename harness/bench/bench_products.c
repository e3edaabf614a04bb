#include "harness/bench/bench_products.h"

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "harness/bench/bench_limits.h"
#include "harness/bench/bench_loop.h"
#include "harness/report/table.h"
#include "models/kernels.h"
#include "models/kernels_many.h"
#include "models/kernels_rows.h"
#include "models/share.h"
#include "models/transformer.h"

enum { TOKENS = 2048, KEYS = 512, STACK = 192, MOST_OUTPUTS = 4096 };

enum form { WEIGHTS, SCORES, VALUES };

struct product {
    const char *name;
    enum form form;
    int rows, n, k; /* of a thread */
    int calls;
};

/* Rows of the operands are a line longer than they need be: as the engine has those of attention, and so that lengths
 * which are powers of two do not decide. */
static size_t padded(int n)
{
    return (size_t)n + 16;
}

static void once(const struct product *p, int blas, const float *x, const float *w, float *y, float *room)
{
    struct matrix m = {.rows = p->n, .cols = p->k, .f32 = w};
    size_t k = (size_t)p->k, n = (size_t)p->n;
    if (blas && p->form == VALUES)
        kernels_gemm_nn(y, padded(p->n), x, padded(p->k), w, n, p->rows, p->n, p->k, 0);
    else if (blas)
        kernels_gemm_nt(y, padded(p->n), x, padded(p->k), w, k, p->rows, p->n, p->k, 0);
    else if (p->form == WEIGHTS)
        kernels_rows_tile(y, padded(p->n), x, padded(p->k), p->rows, &m);
    else if (p->form == SCORES)
        kernels_many_turned(y, padded(p->n), x, padded(p->k), p->rows, w, k, p->n, p->k, room);
    else
        kernels_many(y, padded(p->n), x, padded(p->k), p->rows, w, n, p->n, p->k, 0, NULL, 0);
}

struct operands {
    float *x, *w, *y, *room; /* all but w are a thread's own, one behind the other */
    size_t x_step, y_step, room_step;
};

static void operands_free(struct operands *o)
{
    mem_free(o->x);
    mem_free(o->w);
    mem_free(o->y);
    mem_free(o->room);
}

static int operands_make(const struct product *p, int threads, struct operands *o, struct err *e)
{
    struct matrix m = {.rows = p->n, .cols = p->k};
    size_t t = (size_t)threads;
    *o = (struct operands){.x_step = (size_t)p->rows * padded(p->k),
                           .y_step = (size_t)p->rows * padded(p->n),
                           .room_step = (kernels_many_room(p->rows, p->k) + 15) / 16 * 16};
    o->x = bench_operand(t * o->x_step, e);
    o->w = bench_operand(matrix_elements(&m), e);
    o->y = mem_try_raw(t * o->y_step, sizeof *o->y, "bench's products", e);
    o->room = mem_try_raw(t * o->room_step, sizeof *o->room, "bench's room", e);
    if (!o->x || !o->w || !o->y || !o->room) {
        operands_free(o);
        return -1;
    }
    return 0;
}

/* FLOP/s of all threads, the best of some tries. */
static double rate_of(const struct product *p, const struct operands *o, int threads, int blas)
{
    enum { TRIES = 4 };
    static const double ENOUGH = 0.2; /* seconds */
    double best = 0, begin = clock_seconds();
    for (int t = 0; t < TRIES || clock_seconds() - begin < ENOUGH; t++) {
        double start = clock_seconds();
#pragma omp parallel for schedule(static)
        for (int i = 0; i < threads; i++)
            for (int c = 0; c < p->calls; c++)
                once(p, blas, o->x + (size_t)i * o->x_step, o->w, o->y + (size_t)i * o->y_step,
                     o->room + (size_t)i * o->room_step);
        double r = 2.0 * p->rows * p->n * p->k * p->calls * threads / (clock_seconds() - start);
        best = t && r < best ? best : r;
    }
    return best;
}

static int measure(const struct product *p, int threads, struct table *t, struct err *e)
{
    struct operands o;
    struct str name = {0};
    int used = kernels_many_now();
    if (operands_make(p, threads, &o, e))
        return -1;
    str_addf(&name, "%s %d x %d x %d", p->name, p->rows, p->n, p->k);
    table_add(t, &name);
    table_add_number(t, bench_loop_rate(threads) / 1e9, 1);
    table_add_number(t, rate_of(p, &o, threads, 1) / 1e9, 1);
    for (int i = 0; i < kernels_many_count(); i++) {
        kernels_many_choose(i);
        table_add_number(t, rate_of(p, &o, threads, 0) / 1e9, 1);
    }
    kernels_many_choose(used);
    operands_free(&o);
    return 0;
}

/* A try takes a millisecond at least, so that the clock and the start of the threads do not count. */
static struct product product_of(const char *name, enum form form, int rows, int n, int k)
{
    double flop = 2.0 * rows * n * k;
    return (struct product){name, form, rows, n, k, flop < 1e8 ? (int)(1e8 / flop) + 1 : 1};
}

int bench_products(const struct hparams *hp, struct quote *out, struct err *e)
{
    int threads = transformer_threads(), rc = 0, q = hp->n_head * hp->head_dim, kv = hp->n_kv_head * hp->head_dim;
    struct share_rows s = share_rows(TOKENS, threads);
    int rows = s.blocks ? s.block_rows : SHARE_LEAST_ROWS, up = 2 * hp->d_ff;
    up = up < MOST_OUTPUTS ? up : MOST_OUTPUTS; /* more of them are more of the same */
    const struct product list[] = {
        product_of("qkv", WEIGHTS, rows, q + 2 * kv, hp->d_model),
        product_of("attn_out", WEIGHTS, rows, hp->d_model, q),
        product_of("gate_up", WEIGHTS, rows, up, hp->d_model),
        product_of("down", WEIGHTS, rows, hp->d_model, hp->d_ff),
        product_of("q k^T", SCORES, STACK, KEYS, hp->head_dim),
        product_of("p v", VALUES, STACK,
                   (hp->head_dim + KERNELS_MANY_LANES - 1) / KERNELS_MANY_LANES * KERNELS_MANY_LANES, KEYS),
    };
    enum { N_LIST = sizeof list / sizeof *list };
    struct table t = {.n_column = 3 + kernels_many_count(), .left = 1};
    struct str head = {0};
    str_addf(&head, "GFLOP/s, %d thread%s", threads, threads > 1 ? "s" : "");
    table_add(&t, &head);
    table_add_text(&t, "loop");
    table_add_text(&t, "OpenBLAS");
    for (int i = 0; i < kernels_many_count(); i++) {
        str_addf(&head, "%s%s", kernels_many_name(i), i == kernels_many_now() ? " (used)" : "");
        table_add(&t, &head);
    }
    for (int i = 0; i < N_LIST && rc == 0; i++)
        rc = measure(&list[i], threads, &t, e);
    if (rc == 0)
        table_write(&t, out);
    table_free(&t);
    return rc;
}
