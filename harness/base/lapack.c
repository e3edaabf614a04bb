#include "harness/base/lapack.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>

#include <lapacke.h>

/* LAPACK loops for ever, or crashes, on some inputs with a NaN. */
static int check(const double *a, size_t n, struct err *e)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(a[i]))
            return err_set(e, ERR_FORMAT, "value %zu of a matrix is %g; expected finite numbers", i, a[i]);
    return 0;
}

static int result(lapack_int info, const char *what, int m, int n, struct err *e)
{
    if (info == LAPACK_WORK_MEMORY_ERROR || info == LAPACK_TRANSPOSE_MEMORY_ERROR)
        return err_set(e, ERR_NOMEM, "%s of a %d x %d matrix: not enough memory", what, m, n);
    return info ? err_set(e, ERR_FORMAT, "%s of a %d x %d matrix did not converge (%d)", what, m, n, (int)info) : 0;
}

int lapack_singular_values(double *a, int m, int n, double *s, struct err *e)
{
    double none;
    if (check(a, (size_t)m * (size_t)n, e))
        return -1;
    /* row-major [m][n] is column-major [n][m]: its transpose, which has the same values, and needs no copy */
    return result(LAPACKE_dgesdd(LAPACK_COL_MAJOR, 'N', n, m, a, n, s, &none, 1, &none, 1), "singular values", m, n, e);
}

int lapack_eigen(double *a, int n, int vectors, double *w, struct err *e)
{
    if (check(a, (size_t)n * (size_t)n, e))
        return -1;
    return result(LAPACKE_dsyevd(LAPACK_COL_MAJOR, vectors ? 'V' : 'N', 'L', n, a, n, w), "eigenvalues", n, n, e);
}

const char *lapack_version(void)
{
    static char text[48];
    lapack_int major = 0, minor = 0, patch = 0;
    LAPACKE_ilaver(&major, &minor, &patch);
    snprintf(text, sizeof text, "%d.%d.%d", (int)major, (int)minor, (int)patch);
    return text;
}
