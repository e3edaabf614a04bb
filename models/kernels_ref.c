#include "models/kernels_ref.h"

#include <math.h>

#include "models/half.h"

void kernels_ref_matmul(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w)
{
#pragma omp parallel for schedule(static)
    for (int o = 0; o < w->rows; o++)
        for (int r = 0; r < rows; r++) {
            double sum = 0;
            for (int i = 0; i < w->cols; i++)
                sum += (double)x[(size_t)r * ldx + (size_t)i] * (double)matrix_get(w, o, i);
            y[(size_t)r * ldy + (size_t)o] = (float)sum;
        }
}

void kernels_ref_matmul_bf16(float *y, size_t ldy, const float *x, size_t ldx, int rows, const struct matrix *w)
{
#pragma omp parallel for schedule(static)
    for (int o = 0; o < w->rows; o++)
        for (int r = 0; r < rows; r++) {
            double sum = 0;
            for (int i = 0; i < w->cols; i++)
                sum += (double)half_round_bf16(x[(size_t)r * ldx + (size_t)i]) *
                       (double)half_round_bf16(matrix_get(w, o, i));
            y[(size_t)r * ldy + (size_t)o] = (float)sum;
        }
}

void kernels_ref_rmsnorm(float *y, const float *x, const float *w, int n, float eps, float offset)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += (double)x[i] * (double)x[i];
    double scale = 1 / sqrt(sum / n + (double)eps);
    for (int i = 0; i < n; i++)
        y[i] = (float)((double)x[i] * scale * ((double)offset + (double)w[i]));
}

void kernels_ref_gated(float *y, const float *gate, const float *up, int n, enum model_activation act)
{
    for (int i = 0; i < n; i++) {
        double x = (double)gate[i], t = sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x);
        double a = act == MODEL_SILU ? x / (1 + exp(-x)) : 0.5 * x * (1 + tanh(t));
        y[i] = (float)(a * (double)up[i]);
    }
}

void kernels_ref_softmax(double *x, int n)
{
    double top = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i++)
        sum += x[i] = exp(x[i] - top);
    for (int i = 0; i < n; i++)
        x[i] /= sum;
}
