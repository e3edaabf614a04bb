#include "harness/layer_metrics/repr.h"

#include <math.h>
#include <string.h>

#include "harness/base/lapack.h"
#include "harness/base/mem.h"
#include "models/kernels.h"

const char *const repr_definition_names[] = {"depthkv", "skean", NULL};
const char *const repr_metric_names[] = {"entropy", "erank", "curvature", "dime", "lidar", "infonce", NULL};

static const double tiny = 1e-12; /* torch's floor of a norm */

static double dot(const double *a, const double *b, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

static void unit(double *x, int n)
{
    double norm = fmax(sqrt(dot(x, x, n)), tiny);
    for (int i = 0; i < n; i++)
        x[i] /= norm;
}

static void widen(const float *x, int n_token, int width, int centre, int normalise, double *z)
{
    size_t n = (size_t)n_token, d = (size_t)width;
    for (size_t i = 0; i < n * d; i++)
        z[i] = (double)x[i];
    for (size_t k = 0; centre && k < d; k++) {
        double mean = 0;
        for (size_t i = 0; i < n; i++)
            mean += z[i * d + k];
        mean /= n_token;
        for (size_t i = 0; i < n; i++)
            z[i * d + k] -= mean;
    }
    for (size_t i = 0; normalise && i < n; i++)
        unit(z + i * d, width);
}

/* Entropy in nats, of order alpha, of weights that are scaled to sum 1; negative ones are rounding. */
static double entropy(const double *weight, int n, double alpha)
{
    double sum = 0, h = 0;
    for (int i = 0; i < n; i++)
        sum += fmax(weight[i], 0);
    for (int i = 0; i < n; i++) {
        double p = fmax(weight[i], 0) / sum;
        if (p > 0)
            h += alpha == 1 ? -p * log(p) : pow(p, alpha);
    }
    return sum <= 0 ? 0 : alpha == 1 ? h : log(h) / (1 - alpha);
}

static int spectrum(double *z, int n_token, int width, const struct repr_rule *r, double *h, struct err *e)
{
    int k = n_token < width ? n_token : width;
    double *s = mem_try((size_t)k, sizeof *s, "singular values", e);
    if (!s)
        return -1;
    int bad = lapack_singular_values(z, n_token, width, s, e);
    for (int i = 0; !bad && r->definition == REPR_SKEAN && i < k; i++)
        s[i] *= s[i];
    if (!bad)
        *h = entropy(s, k, r->definition == REPR_SKEAN ? r->alpha : 1);
    mem_free(s);
    return bad;
}

/* Sum of the k largest of x[n] but x[self]; k is small. */
static double largest(const float *x, int n, int self, int k, float *top)
{
    int held = 0;
    double sum = 0;
    for (int j = 0; j < n; j++) {
        if (j == self || (held == k && x[j] <= top[k - 1]))
            continue;
        int at = held < k ? held++ : k - 1;
        for (; at > 0 && top[at - 1] < x[j]; at--)
            top[at] = top[at - 1];
        top[at] = x[j];
    }
    for (int i = 0; i < held; i++)
        sum += (double)top[i];
    return sum;
}

/* Cosines in blocks of single-threaded sgemm: their error, 1e-7, is far below what a mean over tokens shows. */
static int nearest(const double *z, int n_token, int width, int knn, double *out, struct err *e)
{
    enum { BLOCK = 64 };
    size_t n = (size_t)n_token, d = (size_t)width;
    int rc = -1, k = knn < n_token ? knn : n_token - 1;
    double sum = 0;
    float *x = mem_try(n * d, sizeof *x, "tokens of unit length", e), *c = mem_try(BLOCK * n, sizeof *c, "cosines", e);
    float *top = mem_try((size_t)k, sizeof *top, "nearest tokens", e);
    if (!x || !c || !top)
        goto out;
    for (size_t i = 0; i < n * d; i++)
        x[i] = (float)z[i];
    for (int from = 0; from < n_token; from += BLOCK) {
        int rows = n_token - from < BLOCK ? n_token - from : BLOCK;
        kernels_gemm_nt(c, n, x + (size_t)from * d, d, x, d, rows, n_token, width, 0);
        for (int i = 0; i < rows; i++)
            sum += largest(c + (size_t)i * n, n_token, from + i, k, top) / k;
    }
    *out = 1 - sum / n_token;
    rc = 0;
out:
    mem_free(x);
    mem_free(c);
    mem_free(top);
    return rc;
}

static double angle(const double *a, const double *b, int n)
{
    double norm = sqrt(dot(a, a, n)) * sqrt(dot(b, b, n));
    return acos(fmin(1, fmax(-1, dot(a, b, n) / fmax(norm, tiny))));
}

static double turning(double *z, int n_token, int width, int differences)
{
    size_t d = (size_t)width;
    double sum = 0;
    for (int i = 0; differences && i + 1 < n_token; i++) /* row i becomes what leads to row i + 1 */
        for (size_t k = 0; k < d; k++)
            z[(size_t)i * d + k] = z[(size_t)(i + 1) * d + k] - z[(size_t)i * d + k];
    int pairs = n_token - 1 - (differences ? 1 : 0);
    for (int i = 0; i < pairs; i++)
        sum += angle(z + (size_t)i * d, z + (size_t)(i + 1) * d, width);
    return sum / pairs;
}

int repr_tokens(const float *x, int n_token, int width, const struct repr_rule *r, double *out, struct err *e)
{
    int rc = -1, skean = r->definition == REPR_SKEAN;
    if (n_token < 3)
        return err_set(e, ERR_CONFIG, "a sequence of %d tokens; metrics of layers need at least 3", n_token);
    double *z = mem_try((size_t)n_token * (size_t)width, sizeof *z, "hidden states", e);
    if (!z)
        return -1;
    widen(x, n_token, width, 1, skean, z);
    if (spectrum(z, n_token, width, r, &out[REPR_ENTROPY], e))
        goto out;
    out[REPR_ERANK] = exp(out[REPR_ENTROPY]);
    widen(x, n_token, width, skean, 1, z);
    if (skean)
        out[REPR_CURVATURE] = turning(z, n_token, width, r->turning);
    else if (nearest(z, n_token, width, r->knn, &out[REPR_CURVATURE], e))
        goto out;
    rc = 0;
out:
    mem_free(z);
    return rc;
}

void repr_pool(const float *x, int n_token, int width, int definition, double *out)
{
    size_t n = (size_t)n_token, d = (size_t)width;
    double *z = mem_new(n * d, sizeof *z);
    widen(x, n_token, width, definition == REPR_SKEAN, definition == REPR_SKEAN, z);
    memset(out, 0, d * sizeof *out);
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < d; k++)
            out[k] += z[i * d + k] / n_token;
    mem_free(z);
}

/* ln sum exp(x[i]), without overflow. */
static double log_sum_exp(const double *x, int n)
{
    double top = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        top = fmax(top, x[i]);
    for (int i = 0; i < n; i++)
        sum += exp(x[i] - top);
    return top + log(sum);
}

int repr_depthkv(const double *a, const double *b, int n, int width, const struct repr_rule *r, double *dime,
                 double *lidar, double *infonce, struct err *e)
{
    size_t d = (size_t)width;
    int rc = -1;
    double *u = mem_try((size_t)n * d, sizeof *u, "pooled vectors", e),
           *v = mem_try(d + (size_t)n, sizeof *v, "pooled vectors", e);
    if (!u || !v)
        goto out;
    double *sim = v + d;
    memcpy(u, a, (size_t)n * d * sizeof *u);
    for (int i = 0; i < n; i++)
        unit(u + (size_t)i * d, width);
    for (int i = 0; i < n; i++) {
        double square = 0;
        const double *o = u + (size_t)i * d;
        for (size_t k = 0; k < d; k++) {
            double gap = a[(size_t)i * d + k] - b[(size_t)i * d + k];
            square += gap * gap;
        }
        lidar[i] = sqrt(square);
        memcpy(v, b + (size_t)i * d, d * sizeof *v);
        unit(v, width);
        double positive = dot(o, v, width);
        dime[i] = 1 - positive;
        for (int j = 0; j < n; j++)
            sim[j] = (r->standard && j == i ? positive : dot(o, u + (size_t)j * d, width)) / r->temperature;
        infonce[i] = log_sum_exp(sim, n) - positive / r->temperature;
    }
    rc = 0;
out:
    mem_free(u);
    mem_free(v);
    return rc;
}

static void gram(const double *a, int n, int width, double *k)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++)
            k[(size_t)i * (size_t)n + (size_t)j] =
                dot(a + (size_t)i * (size_t)width, a + (size_t)j * (size_t)width, width);
}

/* S of the elementwise product of k with l, whose rows and columns are permuted (NULL: not). work[n][n], w[n]. */
static int joint_entropy(const double *k, const double *l, const int *permuted, int n, double alpha, double *work,
                         double *w, double *out, struct err *e)
{
    size_t m = (size_t)n;
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < m; j++) {
            size_t pi = permuted ? (size_t)permuted[i] : i, pj = permuted ? (size_t)permuted[j] : j;
            work[i * m + j] = k[i * m + j] * l[pi * m + pj];
        }
    if (lapack_eigen(work, n, 0, w, e))
        return -1;
    *out = entropy(w, n, alpha);
    return 0;
}

int repr_skean_dime(const double *a, const double *b, int n, int width, double alpha, const int *permutation,
                    int n_permutation, double *out, struct err *e)
{
    size_t square = (size_t)n * (size_t)n;
    int rc = -1;
    double matched, sum = 0, *k = mem_try(3 * square + (size_t)n, sizeof *k, "Gram matrices", e);
    if (!k)
        return -1;
    double *l = k + square, *work = l + square, *w = work + square;
    gram(a, n, width, k);
    gram(b, n, width, l);
    if (joint_entropy(k, l, NULL, n, alpha, work, w, &matched, e))
        goto out;
    for (int p = 0; p < n_permutation; p++) {
        double h;
        if (joint_entropy(k, l, permutation + (size_t)p * (size_t)n, n, alpha, work, w, &h, e))
            goto out;
        sum += h;
    }
    *out = sum / n_permutation - matched;
    rc = 0;
out:
    mem_free(k);
    return rc;
}

void repr_skean_infonce(const double *a, const double *b, int n, int width, double temperature, double *out)
{
    size_t d = (size_t)width;
    double *sim = mem_new(2 * (size_t)n, sizeof *sim);
    for (int i = 0; i < n; i++) {
        out[i] = 0;
        for (int view = 0; view < 2; view++) {
            const double *z = (view ? b : a) + (size_t)i * d, *other = (view ? a : b) + (size_t)i * d;
            int k = 0;
            sim[k++] = dot(z, other, width) / temperature;
            for (int j = 0; j < n; j++) {
                if (j == i)
                    continue;
                sim[k++] = dot(z, a + (size_t)j * d, width) / temperature;
                sim[k++] = dot(z, b + (size_t)j * d, width) / temperature;
            }
            out[i] += (log_sum_exp(sim, k) - sim[0]) / 2;
        }
    }
    mem_free(sim);
}

/* Adds x x^T to s[width][width]. */
static void add_outer(double *s, const double *x, int width, double scale)
{
    size_t d = (size_t)width;
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j < d; j++)
            s[i * d + j] += scale * x[i] * x[j];
}

/* The LDA matrix has rank n - 1 at most: its eigenvalues are the squared singular values of the n centred class means,
 * whitened by S_w and divided by sqrt(n). */
int repr_skean_lidar(const double *x, int n, int n_view, int width, double alpha, double *out, struct err *e)
{
    static const double ridge = 1e-4; /* of the repository */
    size_t d = (size_t)width, rows = (size_t)n;
    int rc = -1, k = n < width ? n : width;
    double *sw = mem_try(d * d, sizeof *sw, "scatter", e), *w = mem_try(d, sizeof *w, "scatter", e);
    double *mean = mem_try(rows * d, sizeof *mean, "class means", e),
           *white = mem_try(rows * d, sizeof *white, "class means", e);
    double *all = mem_try(2 * d, sizeof *all, "class means", e),
           *s = mem_try((size_t)k, sizeof *s, "singular values", e);
    if (!sw || !w || !mean || !white || !all || !s)
        goto out;
    double *gap = all + d;
    for (size_t i = 0; i < rows; i++) {
        for (int v = 0; v < n_view; v++)
            for (size_t c = 0; c < d; c++)
                mean[i * d + c] += x[(i * (size_t)n_view + (size_t)v) * d + c] / n_view;
        for (size_t c = 0; c < d; c++)
            all[c] += mean[i * d + c] / n;
        for (int v = 0; v < n_view; v++) {
            for (size_t c = 0; c < d; c++)
                gap[c] = x[(i * (size_t)n_view + (size_t)v) * d + c] - mean[i * d + c];
            add_outer(sw, gap, width, 1.0 / ((double)n * n_view));
        }
    }
    for (size_t c = 0; c < d; c++)
        sw[c * d + c] += ridge;
    if (lapack_eigen(sw, width, 1, w, e))
        goto out;
    for (size_t i = 0; i < rows; i++) {
        for (size_t c = 0; c < d; c++)
            gap[c] = mean[i * d + c] - all[c];
        for (size_t c = 0; c < d; c++)
            white[i * d + c] = dot(gap, sw + c * d, width) / sqrt(w[c] * n);
    }
    if (lapack_singular_values(white, n, width, s, e))
        goto out;
    for (int i = 0; i < k; i++)
        s[i] *= s[i];
    *out = entropy(s, k, alpha);
    rc = 0;
out:
    mem_free(sw);
    mem_free(w);
    mem_free(mean);
    mem_free(white);
    mem_free(all);
    mem_free(s);
    return rc;
}
