/* Singular values and eigenvalues in double precision (LAPACKE). The only user of lapacke.h. Every call works on one
 * matrix on one thread, given that BLAS has been set to one (kernels_init), so the bits depend on the matrix alone;
 * calls may run beside each other. */
#ifndef HARNESS_BASE_LAPACK_H
#define HARNESS_BASE_LAPACK_H

#include "harness/base/err.h"

/* s[min(m, n)] of a[m][n] in descending order; a is overwritten. A value that is not finite is ERR_FORMAT. */
int lapack_singular_values(double *a, int m, int n, double *s, struct err *e);

/* w[n] of the symmetric a[n][n], ascending. vectors 1: row i of a becomes the unit eigenvector of w[i]; 0: a is
 * overwritten. */
int lapack_eigen(double *a, int n, int vectors, double *w, struct err *e);

const char *lapack_version(void); /* "3.11.0" */

#endif
