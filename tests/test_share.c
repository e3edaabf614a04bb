/* What threads get of a product: everything once, and as much as the others. */
#include <string.h>

#include "harness/base/mem.h"
#include "models/kernels.h"
#include "models/kernels_many.h"
#include "models/kernels_rows.h"
#include "models/share.h"
#include "models/transformer.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { MOST = 32 }; /* threads */
static const double UNEVEN = 1.05;

static double most_of(const double *load, int threads)
{
    double most = 0, sum = 0;
    for (int t = 0; t < threads; t++) {
        most = load[t] > most ? load[t] : most;
        sum += load[t];
    }
    return most / (sum / threads);
}

/* Tasks of these sizes, each to the thread that is free first. */
static double uneven(const int *task, int n, int threads)
{
    double load[MOST] = {0};
    for (int i = 0; i < n; i++) {
        int idle = 0;
        for (int t = 1; t < threads; t++)
            idle = load[t] < load[idle] ? t : idle;
        load[idle] += task[i];
    }
    return most_of(load, threads);
}

START_TEST(the_rows_of_a_prefill_keep_all_threads_busy)
{
    static const int rows[] = {2048, 3000, 4096, 8192, 16384, 32768};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int threads = 1; threads <= MOST; threads++) {
            struct share_rows s = share_rows(rows[i], threads);
            int task[1024], left = rows[i];
            ck_assert_int_eq(s.blocks, 1);
            ck_assert_int_le(s.block_rows, SHARE_MOST_ROWS);
            ck_assert_int_le(s.n_block, 1024);
            for (int b = 0; b < s.n_block; b++, left -= s.block_rows)
                task[b] = left < s.block_rows ? left : s.block_rows;
            ck_assert_int_gt(task[s.n_block - 1], 0);
            ck_assert_int_le(left, 0);
            ck_assert_msg(uneven(task, s.n_block, threads) <= UNEVEN, "%d rows, %d threads: %d blocks of %d", rows[i],
                          threads, s.n_block, s.block_rows);
        }
}
END_TEST

static const struct matrix widths[] = {{.rows = 576, .cols = 576},    {.rows = 960, .cols = 576},
                                       {.rows = 3072, .cols = 576},   {.rows = 576, .cols = 1536},
                                       {.rows = 3072, .cols = 2048},  {.rows = 2048, .cols = 2048},
                                       {.rows = 16384, .cols = 2048}, {.rows = 2048, .cols = 8192},
                                       {.rows = 49152, .cols = 576},  {.rows = 128256, .cols = 2048}};
enum { N_WIDTH = sizeof widths / sizeof *widths };

/* Rows that are too few for blocks of their own: panels and parts of the rows, in runs of tasks (static). */
START_TEST(panels_and_parts_of_rows_keep_all_threads_busy)
{
    static const int rows[] = {256, 512, 1000};
    for (int i = 0; i < N_WIDTH; i++)
        for (int j = 0; j < 3; j++)
            for (int threads = 2; threads <= MOST; threads++) {
                const struct matrix *w = &widths[i];
                int parts = share_parts(w, rows[j], threads), n = parts * matrix_n_panel(w);
                double most = (n + threads - 1) / threads, mean = (double)n / threads;
                double limit = rows[j] >= 16 * threads ? 1.2 : 1.5;
                ck_assert_int_ge(rows[j] / parts, SHARE_LEAST_ROWS / 2);
                ck_assert_msg(most / mean <= limit, "%d x %d, %d rows, %d threads: %d parts, %.2f", w->rows, w->cols,
                              rows[j], threads, parts, most / mean);
            }
}
END_TEST

/* Every slice of every panel is one thread's, in their order, and nobody has a slice more than his part. */
START_TEST(pieces_of_a_matrix_are_of_one_size)
{
    for (int i = 0; i < N_WIDTH; i++)
        for (int threads = 1; threads <= MOST; threads++) {
            const struct matrix *w = &widths[i];
            size_t part = matrix_elements(w) / (size_t)threads, past = 0;
            struct share_unit begin = share_begin(w, threads, 0);
            ck_assert(begin.panel == 0 && begin.slice == 0);
            for (int t = 1; t <= threads; t++) {
                struct share_unit end = share_begin(w, threads, t);
                ck_assert_int_lt(end.slice, share_slices(w));
                size_t at = matrix_elements(w);
                if (end.panel < matrix_n_panel(w))
                    at = matrix_panel_at(w, end.panel) +
                         (size_t)end.slice * SHARE_SLICE * matrix_panel_width(w, end.panel);
                ck_assert_uint_ge(at, past);
                ck_assert_uint_le(at - past, part + SHARE_SLICE * MATRIX_PANEL);
                past = at;
            }
            ck_assert_uint_eq(past, matrix_elements(w));
        }
}
END_TEST

START_TEST(products_have_the_same_bits_on_any_number_of_threads)
{
    static const struct {
        int rows, out, k;
    } shapes[] = {{1, 250, 1200}, {3, 96, 2000}, {17, 576, 400}, {64, 100, 900}, {150, 192, 500}, {2, 1000, 384}};
    struct rng r;
    rng_init(&r, 9, "share");
    kernels_share_from(0);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int rows = shapes[i].rows, out = shapes[i].out, k = shapes[i].k;
        struct matrix m = {.rows = out, .cols = k};
        float *w = mem_new(matrix_elements(&m), sizeof *w), *x = mem_new((size_t)(rows * k), sizeof *x);
        float *one = mem_new((size_t)(rows * out), sizeof *one), *more = mem_new((size_t)(rows * out), sizeof *more);
        support_random(&r, w, matrix_elements(&m));
        support_random(&r, x, (size_t)(rows * k));
        m.f32 = w;
        for (int threads = 1; threads <= 13; threads++) {
            transformer_set_threads(threads);
            memset(more, 0, (size_t)(rows * out) * sizeof *more);
            kernels_rows_matmul(threads == 1 ? one : more, (size_t)out, x, (size_t)k, rows, &m);
            if (threads > 1)
                ck_assert_msg(!memcmp(one, more, (size_t)(rows * out) * sizeof *one), "%d x %d x %d, %d threads", rows,
                              out, k, threads);
        }
        mem_free(w);
        mem_free(x);
        mem_free(one);
        mem_free(more);
    }
}
END_TEST

Suite *make_share_suite(void)
{
    Suite *s = suite_create("share");
    TCase *t = tcase_create("share");
    tcase_add_test(t, the_rows_of_a_prefill_keep_all_threads_busy);
    tcase_add_test(t, panels_and_parts_of_rows_keep_all_threads_busy);
    tcase_add_test(t, pieces_of_a_matrix_are_of_one_size);
    tcase_add_test(t, products_have_the_same_bits_on_any_number_of_threads);
    suite_add_tcase(s, t);
    return s;
}
