#include "models/kernels.h"

#include <cblas.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

/* One binary for every x86-64: the loader picks the widest version. Contraction to fused multiply-add is asked for
 * here only, where every block shape contracts alike. */
#if defined(__x86_64__) && !defined(__SANITIZE_ADDRESS__)
#define CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CLONES
#endif
#pragma GCC optimize("fp-contract=fast")

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
enum { LANES = 16 };

void kernels_init(void)
{
    openblas_set_num_threads(1);
}

const char *kernels_blas(void)
{
    return openblas_get_config();
}

void kernels_gemm_nt(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, int m, int n, int k,
                     int add)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, m, n, k, 1.0f, a, (int)lda, b, (int)ldb, add ? 1.0f : 0.0f, c,
                (int)ldc);
}

void kernels_gemm_nn(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t ldb, int m, int n, int k,
                     int add)
{
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, a, (int)lda, b, (int)ldb,
                add ? 1.0f : 0.0f, c, (int)ldc);
}

void kernels_matmul_tile(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w)
{
    kernels_gemm_nt(y, ldy, x, ldx, w->f32, (size_t)w->cols, rows, w->rows, w->cols, 0);
}

static inline __attribute__((always_inline)) float reduce(lanes v)
{
    float s[LANES];
    memcpy(s, &v, sizeof s);
    for (int step = LANES / 2; step; step /= 2)
        for (int i = 0; i < step; i++)
            s[i] += s[i + step];
    return s[0];
}

/* R rows of x against C rows of w: R x C accumulators stay in registers. k is summed in 16 lanes from the front, the
 * ragged end last; the same for every R and C. */
static inline __attribute__((always_inline)) void block(float *y, size_t ldy, const float *x, size_t ldx,
                                                        const float *w, size_t k, const int R, const int C)
{
    lanes acc[6][4];
    size_t whole = k / LANES * LANES;
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++)
            acc[r][c] = (lanes){0};
    for (size_t i = 0; i < whole; i += LANES) {
        lanes b[4];
        for (int c = 0; c < C; c++)
            b[c] = *(const lanes *)(w + (size_t)c * k + i);
        for (int r = 0; r < R; r++) {
            lanes a = *(const lanes *)(x + (size_t)r * ldx + i);
            for (int c = 0; c < C; c++)
                acc[r][c] += a * b[c];
        }
    }
    for (int r = 0; r < R; r++)
        for (int c = 0; c < C; c++) {
            float sum = reduce(acc[r][c]);
            for (size_t i = whole; i < k; i++)
                sum += x[(size_t)r * ldx + i] * w[(size_t)c * k + i];
            y[(size_t)r * ldy + (size_t)c] = sum;
        }
}

static inline __attribute__((always_inline)) void block_rows(float *y, size_t ldy, const float *x, size_t ldx, int rows,
                                                             const float *w, size_t k, const int C)
{
    int r = 0;
    for (; r + 6 <= rows; r += 6)
        block(y + (size_t)r * ldy, ldy, x + (size_t)r * ldx, ldx, w, k, 6, C);
    y += (size_t)r * ldy;
    x += (size_t)r * ldx;
    switch (rows - r) {
    case 5: block(y, ldy, x, ldx, w, k, 5, C); break;
    case 4: block(y, ldy, x, ldx, w, k, 4, C); break;
    case 3: block(y, ldy, x, ldx, w, k, 3, C); break;
    case 2: block(y, ldy, x, ldx, w, k, 2, C); break;
    case 1: block(y, ldy, x, ldx, w, k, 1, C); break;
    default: break;
    }
}

/* Weight rows [from, to) against all rows of x. */
CLONES static void skinny_part(float *y, size_t ldy, const float *x, size_t ldx, int rows, const float *w, size_t k,
                               int from, int to)
{
    int c = from;
    for (; c + 4 <= to; c += 4)
        block_rows(y + c, ldy, x, ldx, rows, w + (size_t)c * k, k, 4);
    for (; c < to; c++)
        block_rows(y + c, ldy, x, ldx, rows, w + (size_t)c * k, k, 1);
}

void kernels_matmul_skinny(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w)
{
    enum { PART = 64 }; /* weight rows of one task: 64 x 576 floats stay in the second-level cache */
    int parts = (w->rows + PART - 1) / PART;
#pragma omp parallel for schedule(static)
    for (int p = 0; p < parts; p++) {
        int to = (p + 1) * PART < w->rows ? (p + 1) * PART : w->rows;
        skinny_part(y, ldy, x, ldx, rows, w->f32, (size_t)w->cols, p * PART, to);
    }
}

CLONES float kernels_dot(const float *a, const float *b, int n)
{
    lanes acc = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        acc += *(const lanes *)(a + i) * *(const lanes *)(b + i);
    float sum = reduce(acc);
    for (; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

CLONES void kernels_axpy(float *y, float a, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

CLONES void kernels_add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i++)
        x[i] += y[i];
}

CLONES void kernels_scale(float *x, int n, float by)
{
    for (int i = 0; i < n; i++)
        x[i] *= by;
}

CLONES void kernels_rmsnorm(float *y, const float *x, const float *w, int n, float eps, float offset)
{
    double part[8] = {0}, sum = 0; /* eight chains, so that the additions overlap */
    int i = 0;
    for (; i + 8 <= n; i += 8)
        for (int j = 0; j < 8; j++)
            part[j] += (double)x[i + j] * (double)x[i + j];
    for (; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    for (int j = 0; j < 8; j++)
        sum += part[j];
    float scale = (float)(1.0 / sqrt(sum / n + (double)eps));
    for (i = 0; i < n; i++)
        y[i] = x[i] * scale * (offset + w[i]);
}

CLONES void kernels_rope(float *x, const float *cosine, const float *sine, int n)
{
    int half = n / 2;
    for (int i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = a * cosine[i] - b * sine[i];
        x[i + half] = b * cosine[i] + a * sine[i];
    }
}

/* exp by 2^n e^r: n = round(x / ln 2), |r| <= ln(2)/2, e^r by a Taylor polynomial of degree 7 (truncation below
 * 6e-9), ln 2 in two parts so that r is exact to rounding. Branch-free, so that loops over it vectorise. */
static inline __attribute__((always_inline)) float fast_exp(float x)
{
    x = x < -87.0f ? -87.0f : x > 88.0f ? 88.0f : x;
    float n = x * 1.44269504088896341f + 12582912.0f;
    int32_t bits;
    memcpy(&bits, &n, sizeof bits);
    n -= 12582912.0f;
    float r = x - n * 0.693359375f;
    r = r + n * 2.12194440e-4f;
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    bits = (bits - 0x4B400000 + 127) * (1 << 23);
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return p * scale;
}

CLONES float kernels_exp_sum(float *x, int n, float top)
{
    float part[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            x[i + j] = fast_exp(x[i + j] - top);
            part[j] += x[i + j];
        }
    for (int j = 0; i + j < n; j++) {
        x[i + j] = fast_exp(x[i + j] - top);
        part[j] += x[i + j];
    }
    lanes v;
    memcpy(&v, part, sizeof v);
    return reduce(v);
}

CLONES float kernels_max(const float *x, int n)
{
    float part[LANES];
    for (int j = 0; j < LANES; j++)
        part[j] = x[0];
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            part[j] = x[i + j] > part[j] ? x[i + j] : part[j];
    for (; i < n; i++)
        part[0] = x[i] > part[0] ? x[i] : part[0];
    for (int j = 1; j < LANES; j++)
        part[0] = part[j] > part[0] ? part[j] : part[0];
    return part[0];
}

CLONES void kernels_gated(float *y, const float *gate, const float *up, int n, enum model_activation act)
{
    if (act == MODEL_SILU) {
        for (int i = 0; i < n; i++)
            y[i] = gate[i] / (1.0f + fast_exp(-gate[i])) * up[i];
    } else {
        for (int i = 0; i < n; i++) { /* GELU, tanh form: 0.5 x (1 + tanh(t)) = x / (1 + exp(-2 t)) */
            float x = gate[i], t = 0.7978845608028654f * (x + 0.044715f * x * x * x);
            y[i] = x / (1.0f + fast_exp(-2.0f * t)) * up[i];
        }
    }
}
