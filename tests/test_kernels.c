/* Fast kernels against the plain ones over odd shapes, and bits that do not depend on what runs beside a row. */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/kernels.h"
#include "models/kernels_ref.h"
#include "tests/suites.h"
#include "tests/support.h"

static const int sizes[] = {1, 3, 16, 17, 31, 64, 65, 130};
enum { N_SIZE = sizeof sizes / sizeof *sizes };

static float *random_floats(size_t n, const char *stream)
{
    struct rng r;
    float *x = mem_new(n, sizeof *x);
    rng_init(&r, n, stream);
    support_random(&r, x, n);
    return x;
}

/* Sums of k products of values in [-1, 1): every partial sum stays below k and each of the k roundings is at most
 * 6e-8 of it; in practice errors grow like sqrt(k), so k * 6e-8 leaves room and still catches one lost product. */
static double sum_tolerance(int k)
{
    return 6e-8 * k + 1e-7;
}

static void products(int out, int k, int rows)
{
    float *w = random_floats((size_t)(out * k), "w"), *x = random_floats((size_t)(rows * k), "x");
    float *fast = mem_new((size_t)(rows * out), sizeof *fast), *plain = mem_new((size_t)(rows * out), sizeof *plain);
    struct matrix m = {.rows = out, .cols = k, .f32 = w};
    kernels_ref_matmul(plain, (size_t)out, x, (size_t)k, rows, &m);
    kernels_matmul_tile(fast, (size_t)out, x, (size_t)k, rows, &m);
    for (int i = 0; i < rows * out; i++)
        ck_assert_msg(fabs((double)fast[i] - (double)plain[i]) < sum_tolerance(k), "tile [%d][%d] x [%d]", out, k, rows);
    kernels_matmul_skinny(fast, (size_t)out, x, (size_t)k, rows, &m);
    for (int i = 0; i < rows * out; i++)
        ck_assert_msg(fabs((double)fast[i] - (double)plain[i]) < sum_tolerance(k), "skinny [%d][%d] x [%d]", out, k, rows);
    for (int r = 0; r < rows; r++) { /* alone: the same bits, and those of a lone dot product */
        kernels_matmul_skinny(plain, (size_t)out, x + r * k, (size_t)k, 1, &m);
        ck_assert_msg(memcmp(plain, fast + r * out, (size_t)out * sizeof *fast) == 0, "row %d of %d, [%d][%d]", r, rows, out, k);
        for (int o = 0; o < out; o++)
            ck_assert(kernels_dot(x + r * k, w + o * k, k) == plain[o]);
    }
    mem_free(w);
    mem_free(x);
    mem_free(fast);
    mem_free(plain);
}

START_TEST(products_agree_with_the_plain_loops_and_a_row_has_its_own_bits)
{
    for (int a = 0; a < N_SIZE; a++)
        for (int b = 0; b < N_SIZE; b++)
            for (int rows = 1; rows <= 13; rows += 1 + (rows > 6))
                products(sizes[a], sizes[b], rows);
    for (int k = 33; k < 48; k++) /* every ragged end of 16 lanes */
        products(9, k, 7);
}
END_TEST

START_TEST(attention_products_agree_with_the_definition)
{
    for (int a = 0; a < N_SIZE; a++)
        for (int b = 0; b < N_SIZE; b++)
            for (int add = 0; add < 2; add++) {
                int m = sizes[a], n = sizes[b], k = sizes[(a + b) % N_SIZE];
                float *x = random_floats((size_t)(m * k), "a"), *y = random_floats((size_t)(n * k), "b");
                float *nt = random_floats((size_t)(m * n), "c"), *nn = random_floats((size_t)(m * n), "c");
                float *c = random_floats((size_t)(m * n), "c");
                kernels_gemm_nt(nt, (size_t)n, x, (size_t)k, y, (size_t)k, m, n, k, add);
                kernels_gemm_nn(nn, (size_t)n, x, (size_t)k, y, (size_t)n, m, n, k, add);
                for (int i = 0; i < m; i++)
                    for (int j = 0; j < n; j++) {
                        double want_nt = add ? (double)c[i * n + j] : 0, want_nn = want_nt;
                        for (int l = 0; l < k; l++) {
                            want_nt += (double)x[i * k + l] * (double)y[j * k + l];
                            want_nn += (double)x[i * k + l] * (double)y[l * n + j];
                        }
                        ck_assert_double_eq_tol(nt[i * n + j], want_nt, sum_tolerance(k + 1));
                        ck_assert_double_eq_tol(nn[i * n + j], want_nn, sum_tolerance(k + 1));
                    }
                mem_free(x);
                mem_free(y);
                mem_free(nt);
                mem_free(nn);
                mem_free(c);
            }
}
END_TEST

START_TEST(norms_and_gates_agree_with_the_plain_loops)
{
    for (int s = 0; s < N_SIZE; s++) {
        int n = sizes[s];
        float *x = random_floats((size_t)n, "x"), *w = random_floats((size_t)n, "w");
        float *fast = mem_new((size_t)n, sizeof *fast), *plain = mem_new((size_t)n, sizeof *plain);
        for (int offset = 0; offset < 2; offset++) {
            kernels_rmsnorm(fast, x, w, n, 1e-5f, (float)offset);
            kernels_ref_rmsnorm(plain, x, w, n, 1e-5f, (float)offset);
            for (int i = 0; i < n; i++) /* the scale is rounded once, then two products: three half units of a float */
                ck_assert_double_eq_tol(fast[i], plain[i], 2e-7 * (1e-6 + fabs((double)plain[i])) + 1e-7);
        }
        for (int i = 0; i < n; i++)
            x[i] *= 30; /* far into both tails of the gate */
        for (enum model_activation act = MODEL_SILU; act <= MODEL_GELU_TANH; act++) {
            kernels_gated(fast, x, w, n, act);
            kernels_ref_gated(plain, x, w, n, act);
            for (int i = 0; i < n; i++) /* exp is within 3e-7; GELU's exponent, up to 88, adds its own rounding to it */
                ck_assert_double_eq_tol(fast[i], plain[i], 3e-6 * fabs((double)plain[i]) + 1e-6);
        }
        mem_free(x);
        mem_free(w);
        mem_free(fast);
        mem_free(plain);
    }
}
END_TEST

START_TEST(a_softmax_sums_to_one_and_its_exponentials_are_within_their_stated_error)
{
    double worst = 0;
    for (int i = 0; i < 87000; i++) {
        float x[1] = {-(float)i / 1000.0f};
        double want = exp((double)x[0]);
        kernels_exp_sum(x, 1, 0);
        worst = fmax(worst, fabs((double)x[0] / want - 1));
    }
    ck_assert_double_lt(worst, 3e-7);
    for (int s = 0; s < N_SIZE; s++) {
        int n = sizes[s];
        float *x = random_floats((size_t)n, "x"), top = -1e30f;
        double *want = mem_new((size_t)n, sizeof *want), total = 0;
        for (int i = 0; i < n; i++) {
            x[i] = 40 * x[i];
            want[i] = (double)x[i];
            top = x[i] > top ? x[i] : top;
        }
        ck_assert(kernels_max(x, n) == top);
        float sum = kernels_exp_sum(x, n, top);
        kernels_scale(x, n, 1 / sum);
        kernels_ref_softmax(want, n);
        for (int i = 0; i < n; i++) { /* the argument, up to 80, is rounded by 4e-6 before exp sees it */
            ck_assert_double_eq_tol(x[i], want[i], 1e-5 * want[i] + 1e-37);
            total += (double)x[i];
        }
        ck_assert_double_eq_tol(total, 1, 1e-5);
        mem_free(x);
        mem_free(want);
    }
    float far[2] = {0, -1000}; /* what cannot be told from zero is not worth a branch, but it must be harmless */
    kernels_exp_sum(far, 2, 0);
    ck_assert(far[0] == 1 && far[1] >= 0 && far[1] < 2e-38f);
}
END_TEST

START_TEST(rotation_pairs_the_two_halves_of_a_head)
{
    enum { D = 12 };
    float *x = random_floats(D, "x"), cosine[D / 2], sine[D / 2], y[D];
    for (int i = 0; i < D / 2; i++) {
        cosine[i] = cosf((float)i + 1);
        sine[i] = sinf((float)i + 1);
    }
    memcpy(y, x, sizeof y);
    kernels_rope(y, cosine, sine, D);
    for (int i = 0; i < D / 2; i++) {
        double a = (double)x[i], b = (double)x[i + D / 2], c = (double)cosine[i], s = (double)sine[i];
        ck_assert_double_eq_tol(y[i], a * c - b * s, 3e-7);
        ck_assert_double_eq_tol(y[i + D / 2], b * c + a * s, 3e-7);
    }
    mem_free(x);
}
END_TEST

START_TEST(sums_of_vectors_are_elementwise)
{
    for (int s = 0; s < N_SIZE; s++) {
        int n = sizes[s];
        float *x = random_floats((size_t)n, "x"), *y = random_floats((size_t)n, "y"), *z = random_floats((size_t)n, "x");
        kernels_add(x, y, n);
        for (int i = 0; i < n; i++)
            ck_assert(x[i] == z[i] + y[i]);
        kernels_axpy(z, 0.5f, y, n); /* exact product: with or without a fused add the same */
        for (int i = 0; i < n; i++)
            ck_assert_double_eq_tol(z[i], (double)x[i] - 0.5 * (double)y[i], 2e-7);
        mem_free(x);
        mem_free(y);
        mem_free(z);
    }
}
END_TEST

Suite *make_kernels_suite(void)
{
    Suite *s = suite_create("kernels");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, kernels_init, NULL);
    tcase_add_test(t, products_agree_with_the_plain_loops_and_a_row_has_its_own_bits);
    tcase_add_test(t, attention_products_agree_with_the_definition);
    tcase_add_test(t, norms_and_gates_agree_with_the_plain_loops);
    tcase_add_test(t, a_softmax_sums_to_one_and_its_exponentials_are_within_their_stated_error);
    tcase_add_test(t, rotation_pairs_the_two_halves_of_a_head);
    tcase_add_test(t, sums_of_vectors_are_elementwise);
    suite_add_tcase(s, t);
    return s;
}
