/* Products with many rows: every shape of tile and every order of the work has the bits of one row alone. */
#include <string.h>

#include "harness/base/mem.h"
#include "models/half.h"
#include "models/kernels_many.h"
#include "models/kernels_rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { PAD = 3 };

static float *numbers(struct rng *r, size_t n)
{
    float *x = mem_new(n, sizeof *x);
    support_random(r, x, n);
    return x;
}

static void every_row_has_the_bits_of_itself_alone(struct rng *r, int rows, int out, int k, int half)
{
    size_t ldx = (size_t)k + PAD, ldy = (size_t)out + PAD;
    struct matrix m = {.rows = out, .cols = k, .is_bf16 = half};
    size_t n = matrix_elements(&m);
    float *w = numbers(r, n), *x = numbers(r, (size_t)rows * ldx), *y = numbers(r, (size_t)rows * ldy),
          *alone = mem_new((size_t)rows * (size_t)out, sizeof *alone);
    uint16_t *narrow = mem_new(n, sizeof *narrow);
    for (size_t i = 0; i < n; i++)
        narrow[i] = half_to_bf16(w[i]);
    if (half)
        m.bf16 = narrow;
    else
        m.f32 = w;
    for (int i = 0; i < rows; i++) {
        kernels_rows_matmul(alone + (size_t)i * (size_t)out, (size_t)out, x + (size_t)i * ldx, ldx, 1, &m);
        y[(size_t)i * ldy + (size_t)out] = 7;
    }
    for (int shape = 0; shape < kernels_many_count(); shape++) {
        kernels_many_choose(shape);
        kernels_rows_tile(y, ldy, x, ldx, rows, &m);
        for (int i = 0; i < rows; i++) {
            const float *got = y + (size_t)i * ldy;
            ck_assert_msg(!memcmp(got, alone + (size_t)i * (size_t)out, (size_t)out * sizeof *got),
                          "%s: row %d of %d x %d x %d", kernels_many_name(shape), i, rows, out, k);
            ck_assert_msg(got[out] == 7, "%s writes beyond its columns", kernels_many_name(shape));
        }
        y[0] = 3;
    }
    kernels_many_choose(-1);
    mem_free(w);
    mem_free(x);
    mem_free(y);
    mem_free(alone);
    mem_free(narrow);
}

START_TEST(every_shape_of_tile_has_the_bits_of_a_row_alone)
{
    static const int rows[] = {64, 65, 71, 77, 90, 127}, out[] = {1, 16, 30, 64, 96, 113, 192, 250},
                     k[] = {1, 37, 385, 800};
    struct rng r;
    rng_init(&r, 5, "many");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t j = 0; j < sizeof out / sizeof *out; j++)
            every_row_has_the_bits_of_itself_alone(&r, rows[i], out[j], k[(i + j) % 4], _i);
}
END_TEST

START_TEST(rows_that_outgrow_the_cache_have_the_same_bits)
{
    enum { COLS = 800 };
    struct rng r;
    rng_init(&r, 6, "many");
    int rows = (int)(kernels_many_cache() / 2 / COLS / sizeof(float)) + 2;
    every_row_has_the_bits_of_itself_alone(&r, rows, 115, COLS, _i);
}
END_TEST

START_TEST(a_prefill_has_the_same_bits_with_every_shape)
{
    enum { T = 150, VOCAB = 97 };
    struct model *m = support_tiny_model(2, 8, 2, 64, 320, VOCAB, 1, 3);
    struct workspace *w = workspace_create();
    int32_t t[T];
    float *first = mem_new(T * VOCAB, sizeof *first), *other = mem_new(T * VOCAB, sizeof *other);
    for (int i = 0; i < T; i++)
        t[i] = i * i % VOCAB;
    for (int shape = 0; shape < kernels_many_count(); shape++) {
        struct kvcache *c = kvcache_create(&m->hp, T, NULL);
        kernels_many_choose(shape);
        ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, c, t, 0, T, NULL, shape ? other : first, NULL), 0);
        if (shape)
            ck_assert_msg(!memcmp(first, other, T * VOCAB * sizeof *first), "%s", kernels_many_name(shape));
        kvcache_destroy(c);
    }
    kernels_many_choose(-1);
    mem_free(first);
    mem_free(other);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

START_TEST(turned_rows_are_columns)
{
    enum { LD = 40, LDX = 31 };
    float x[29 * LDX], to[LDX * LD];
    for (int i = 0; i < 29 * LDX; i++)
        x[i] = (float)i;
    for (int rows = 1; rows <= 29; rows++)
        for (int n = 1; n <= LDX; n++) {
            memset(to, 0, sizeof to);
            kernels_many_turn(to, LD, x, LDX, rows, n);
            for (int i = 0; i < LDX; i++)
                for (int r = 0; r < LD; r++)
                    ck_assert(to[i * LD + r] == (i < n && r < rows ? x[r * LDX + i] : 0));
        }
}
END_TEST

START_TEST(a_shape_is_found_by_its_name)
{
    for (int i = 0; i < kernels_many_count(); i++)
        ck_assert_int_eq(kernels_many_find(kernels_many_name(i)), i);
    ck_assert_int_eq(kernels_many_find("1x1"), -1);
    kernels_many_choose(kernels_many_count() - 1);
    ck_assert_int_eq(kernels_many_now(), kernels_many_count() - 1);
    kernels_many_choose(-1);
}
END_TEST

Suite *make_kernels_many_suite(void)
{
    Suite *s = suite_create("kernels_many");
    TCase *t = tcase_create("kernels_many");
    tcase_add_loop_test(t, every_shape_of_tile_has_the_bits_of_a_row_alone, 0, 2);
    tcase_add_loop_test(t, rows_that_outgrow_the_cache_have_the_same_bits, 0, 2);
    tcase_add_test(t, a_prefill_has_the_same_bits_with_every_shape);
    tcase_add_test(t, turned_rows_are_columns);
    tcase_add_test(t, a_shape_is_found_by_its_name);
    suite_add_tcase(s, t);
    return s;
}
