#include "harness/bench/bench_product.h"

#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/mem.h"
#include "models/kernels.h"
#include "models/kernels_bf16.h"
#include "models/kernels_many.h"
#include "models/kernels_rows.h"

static int is_weights(const struct bench_product *p)
{
    return p->form == BENCH_WEIGHTS || p->form == BENCH_PANEL;
}

static struct matrix matrix_of(const struct bench_product *p, const void *b)
{
    int bf16 = p->held == MODEL_BF16;
    return (struct matrix){.rows = p->form == BENCH_PANEL ? p->n * p->task : p->n,
                           .cols = p->k,
                           .is_bf16 = bf16,
                           .f32 = bf16 ? NULL : b,
                           .bf16 = bf16 ? b : NULL};
}

/* Elements of an operand: the last task's begin, all its rows but one, and the last row. */
static size_t extent(int task, size_t step, int rows, size_t ld, int columns)
{
    return (size_t)(task - 1) * step + (size_t)(rows - 1) * ld + (size_t)columns;
}

/* Elements of a, b and c, and floats of a task's room. */
static void extents(const struct bench_product *p, size_t need[4])
{
    struct matrix w = matrix_of(p, NULL);
    need[0] = p->arithmetic == MODEL_BF16
                  ? (size_t)(p->task - 1) * p->a_step + kernels_bf16_words((size_t)p->m, (size_t)p->k)
                  : extent(p->task, p->a_step, p->m, p->lda, p->k);
    if (is_weights(p))
        need[1] = matrix_elements(&w);
    else if (p->form == BENCH_A_BT || p->form == BENCH_SCORES)
        need[1] = extent(p->task, p->b_step, p->n, p->ldb, p->k);
    else
        need[1] = extent(p->task, p->b_step, p->k, p->ldb, p->n);
    need[2] = extent(p->task, p->c_step, p->m, p->ldc, p->n);
    need[3] = p->form == BENCH_SCORES ? (kernels_many_room(p->m, p->k) + 15) / 16 * 16 : 0;
}

/* n numbers in [-1, 1), each thread's part written by itself: no denormals, no overflow, and nothing that is easy to
 * multiply. NULL: no memory. */
static void *operand(size_t n, int bf16, struct err *e)
{
    void *x = mem_try_raw(n + 1, bf16 ? sizeof(uint16_t) : sizeof(float), "bench's matrices", e);
#pragma omp parallel for schedule(static)
    for (size_t i = 0; i < (x ? n : 0); i++) {
        uint32_t h = (uint32_t)i * 2654435761u;
        h ^= h >> 15;
        float f = (float)(h & 0xffffff) * (2.0f / 0x1000000) - 1;
        memcpy(&h, &f, sizeof h);
        if (bf16)
            ((uint16_t *)x)[i] = (uint16_t)(h >> 16); /* a bf16 is the upper half of a float */
        else
            ((float *)x)[i] = f;
    }
    return x;
}

int bench_operands_make(const struct bench_product *list, int n, struct bench_operands *o, struct err *e)
{
    size_t most[4] = {0}, tasks = 1;
    for (int i = 0; i < n; i++) {
        size_t need[4];
        extents(&list[i], need);
        for (int j = 0; j < 4; j++)
            most[j] = need[j] > most[j] ? need[j] : most[j];
        tasks = (size_t)list[i].task > tasks ? (size_t)list[i].task : tasks;
    }
    *o = (struct bench_operands){.room_step = most[3]};
    o->a = operand(most[0], n && list[0].arithmetic == MODEL_BF16, e);
    o->b = operand(most[1], n && list[0].held == MODEL_BF16, e);
    o->c = operand(most[2], 0, e);
    o->room = operand(tasks * most[3], 0, e);
    if (o->a && o->b && o->c && o->room)
        return 0;
    bench_operands_free(o);
    return -1;
}

void bench_operands_free(struct bench_operands *o)
{
    mem_free(o->a);
    mem_free(o->b);
    mem_free(o->c);
    mem_free(o->room);
    *o = (struct bench_operands){0};
}

static void weights(const struct bench_product *p, int t, const struct bench_operands *o, float *c)
{
    struct matrix w = matrix_of(p, o->b);
    const float *a = (const float *)o->a + (p->arithmetic == MODEL_BF16 ? 0 : (size_t)t * p->a_step);
    const uint16_t *a16 = (const uint16_t *)o->a + (size_t)t * p->a_step;
    if (p->arithmetic == MODEL_BF16 && p->form == BENCH_PANEL)
        kernels_bf16_panel(c, p->ldc, a16, p->m, &w, t);
    else if (p->arithmetic == MODEL_BF16)
        kernels_bf16_tile(c, p->ldc, a16, p->m, &w);
    else if (p->form == BENCH_PANEL)
        kernels_rows_panel(c, p->ldc, a, p->lda, p->m, &w, t);
    else
        kernels_rows_tile(c, p->ldc, a, p->lda, p->m, &w);
}

static void product(const struct bench_product *p, int t, const struct bench_operands *o)
{
    float *c = o->c + (size_t)t * p->c_step;
    if (is_weights(p)) {
        weights(p, t, o, c);
        return;
    }
    const float *a = (const float *)o->a + (size_t)t * p->a_step, *b = (const float *)o->b + (size_t)t * p->b_step;
    if (p->form == BENCH_A_BT)
        kernels_gemm_nt(c, p->ldc, a, p->lda, b, p->ldb, p->m, p->n, p->k, 0);
    else if (p->form == BENCH_A_B)
        kernels_gemm_nn(c, p->ldc, a, p->lda, b, p->ldb, p->m, p->n, p->k, 0);
    else if (p->form == BENCH_SCORES)
        kernels_many_turned(c, p->ldc, a, p->lda, p->m, b, p->ldb, p->n, p->k, o->room + (size_t)t * o->room_step);
    else if (p->n % KERNELS_MANY_LANES)
        kernels_rows(c, p->ldc, a, p->lda, 1, p->m, b, p->ldb, p->n, p->k);
    else
        kernels_many(c, p->ldc, a, p->lda, p->m, b, p->ldb, p->n, p->k, 0, NULL, 0);
}

double bench_product_flop(const struct bench_product *p)
{
    return 2.0 * p->m * p->n * p->k * p->task * p->calls;
}

double bench_product_rate(const struct bench_product *p, int tries, const struct bench_operands *o)
{
    double best = 0;
    for (int i = 0; i < tries; i++) {
        double start = clock_seconds();
#pragma omp parallel for schedule(static)
        for (int t = 0; t < p->task; t++)
            for (int c = 0; c < p->calls; c++)
                product(p, t, o);
        double r = bench_product_flop(p) / (clock_seconds() - start);
        best = r > best ? r : best;
    }
    return best;
}
