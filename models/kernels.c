#include "models/kernels.h"

#include <cblas.h>
#include <math.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "harness/base/cpu.h"
#include "models/exp2.h"

/* One binary for every x86-64: the loader picks the widest version. Contraction to fused multiply-add is asked for
 * here only, where every block shape contracts alike. */
#ifdef __clang__
#pragma clang fp contract(fast)
#else
#pragma GCC optimize("fp-contract=fast")
#endif

typedef float lanes __attribute__((vector_size(64), aligned(4), may_alias));
enum { LANES = 16, EIGHT = 8 };
static const float LOG2E = 1.44269504088896341f;

void kernels_init(void)
{
    openblas_set_num_threads(1);
}

/* OpenBLAS maps a buffer for every thread that multiplies, of 128 MiB for x86-64 with a choice of kernels, 32 MiB at
 * least, and where the system refuses it asks again for ever. */
int kernels_check_room(int threads, struct err *e)
{
    enum { BUFFER_MIB = 128 };
    size_t bytes = (size_t)threads * BUFFER_MIB << 20;
    struct rlimit space;
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p != MAP_FAILED) {
        munmap(p, bytes);
        return 0;
    }
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY)
        return err_set(e, ERR_NOMEM,
                       "OpenBLAS takes %d MiB of address space, %d a thread, and the limit of %llu KiB leaves less "
                       "than that: raise it (ulimit -v)%s",
                       threads * BUFFER_MIB, BUFFER_MIB, (unsigned long long)space.rlim_cur / 1024,
                       threads > 1 ? ", or take fewer threads (--threads 1)" : "");
    return err_set(e, ERR_NOMEM, "OpenBLAS takes %d MiB of address space, %d a thread, and the system refuses them%s",
                   threads * BUFFER_MIB, BUFFER_MIB, threads > 1 ? ": take fewer threads (--threads 1)" : "");
}

static size_t share_from = SIZE_MAX;

void kernels_share_from(size_t multiply_adds)
{
    share_from = multiply_adds;
}

int kernels_worth_sharing(size_t items, size_t cost)
{
    return items > 1 && items * cost > (share_from == SIZE_MAX ? 1 << 17 : share_from);
}

const char *kernels_blas(void)
{
    return openblas_get_config();
}

const char *kernels_blas_core(void)
{
    return strstr(openblas_get_config(), "DYNAMIC_ARCH") ? openblas_get_corename() : "";
}

const char *kernels_set(void)
{
#if defined(__x86_64__)
    return CPU_HAS_V4 ? "x86-64-v4" : CPU_HAS_V3 ? "x86-64-v3" : "x86-64";
#else
    return "default";
#endif
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
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, m, n, k, 1.0f, a, (int)lda, b, (int)ldb, add ? 1.0f : 0.0f,
                c, (int)ldc);
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

CPU_CLONES void kernels_widen_pairs(float *y, const uint16_t *x, size_t n, size_t width)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < width; j++) {
            uint32_t first = (uint32_t)x[2 * (i * width + j)] << 16,
                     second = (uint32_t)x[2 * (i * width + j) + 1] << 16;
            memcpy(y + 2 * i * width + j, &first, sizeof first);
            memcpy(y + (2 * i + 1) * width + j, &second, sizeof second);
        }
}

CPU_CLONES void kernels_axpy(float *y, float a, const float *x, int n)
{
    for (int i = 0; i < n; i++)
        y[i] += a * x[i];
}

CPU_CLONES void kernels_add(float *x, const float *y, int n)
{
    for (int i = 0; i < n; i++)
        x[i] += y[i];
}

CPU_CLONES void kernels_scale(float *x, int n, float by)
{
    for (int i = 0; i < n; i++)
        x[i] *= by;
}

CPU_CLONES void kernels_rmsnorm(float *y, const float *x, const float *w, int n, float eps, float offset)
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

CPU_CLONES void kernels_rope(float *x, const float *cosine, const float *sine, int n)
{
    int half = n / 2;
    for (int i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = a * cosine[i] - b * sine[i];
        x[i + half] = b * cosine[i] + a * sine[i];
    }
}

static inline __attribute__((always_inline)) float fast_exp2(float x)
{
    return exp2_from(x, -126.0f);
}

CPU_CLONES float kernels_exp2_sum(float *x, int n, float top)
{
    float part[LANES] = {0};
    int i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) {
            x[i + j] = fast_exp2(x[i + j] - top);
            part[j] += x[i + j];
        }
    for (int j = 0; i + j < n; j++) {
        x[i + j] = fast_exp2(x[i + j] - top);
        part[j] += x[i + j];
    }
    lanes v;
    memcpy(&v, part, sizeof v);
    return reduce(v);
}

CPU_CLONES void kernels_exp2_columns(float *score, size_t ld, int n, int whole, float *top, float *total)
{
    for (size_t c = 0; c < ld; c += EIGHT) {
        float high[EIGHT], sum[EIGHT] = {0}; /* in registers */
        for (int j = 0; j < EIGHT; j++)
            high[j] = -INFINITY;
        for (int k = 0; k < n; k++) {
            const float *x = score + (size_t)k * ld + c;
            for (int j = 0; j < EIGHT; j++)
                high[j] = x[j] > high[j] ? x[j] : high[j];
        }
        for (int j = 0; whole && j < EIGHT; j++)
            high[j] = ceilf(high[j]);
        for (int k = 0; k < n; k++) {
            float *x = score + (size_t)k * ld + c;
            for (int j = 0; j < EIGHT; j++) {
                x[j] = fast_exp2(x[j] - high[j]);
                sum[j] += x[j];
            }
        }
        memcpy(top + c, high, sizeof high);
        memcpy(total + c, sum, sizeof sum);
    }
}

CPU_CLONES void kernels_exp2(float *x, int n, float top)
{
    for (int i = 0; i < n; i++)
        x[i] = fast_exp2(x[i] - top);
}

CPU_CLONES float kernels_max(const float *x, int n)
{
    enum { WIDE = 4 * LANES };
    float part[WIDE];
    for (int j = 0; j < WIDE; j++)
        part[j] = x[0];
    int i = 0;
    for (; i + WIDE <= n; i += WIDE)
        for (int j = 0; j < WIDE; j++)
            part[j] = x[i + j] > part[j] ? x[i + j] : part[j];
    for (; i < n; i++)
        part[0] = x[i] > part[0] ? x[i] : part[0];
    for (int step = WIDE / 2; step; step /= 2)
        for (int j = 0; j < step; j++)
            part[j] = part[j + step] > part[j] ? part[j + step] : part[j];
    return part[0];
}

CPU_CLONES void kernels_gated(float *y, const float *gate, const float *up, int n, enum model_activation act)
{
    if (act == MODEL_SILU) {
        for (int i = 0; i < n; i++)
            y[i] = gate[i] / (1.0f + fast_exp2(-LOG2E * gate[i])) * up[i];
    } else {
        for (int i = 0; i < n; i++) { /* GELU, tanh form: 0.5 x (1 + tanh(t)) = x / (1 + exp(-2 t)) */
            float x = gate[i], t = 0.7978845608028654f * (x + 0.044715f * x * x * x);
            y[i] = x / (1.0f + fast_exp2(-2.0f * LOG2E * t)) * up[i];
        }
    }
}
