/* The machine's limits, measured beside the work that they are compared with:
 *   square     large square products
 *   qk, pv     attention's two products as a prefill shapes them: Q K^T has the inner length head_dim, P V has it as
 *              its width
 *   rows32     products of 32 rows with a weight matrix as large as the model's, or larger than any cache
 *   bandwidth  all threads reading as many bytes as a step does, or a buffer much larger than the last-level cache
 * A limit of products is in the arithmetic that the model computes them in (bench_arithmetic), and the best of what
 * three ways do: OpenBLAS, in float32 (each sgemm a single-threaded call on a tile, OpenMP spreads the tiles), our own
 * kernels as the engine calls them, and multiply-adds on registers alone, which nothing can exceed; the last does not
 * say what 32 rows could do, which read more than they compute. The first measurement tries several shapes and
 * remembers the best of each way; later ones repeat these. */
#ifndef HARNESS_BENCH_LIMITS_H
#define HARNESS_BENCH_LIMITS_H

#include "harness/base/err.h"
#include "harness/bench/bench_formula.h"
#include "models/model.h"

enum bench_way { BENCH_BLAS, BENCH_OWN, BENCH_LOOP, BENCH_N_WAY };
extern const char *const bench_way_name[BENCH_N_WAY];

struct bench_limit_info {
    const char *name, *unit; /* unit of what tables print: the rate / 1e9 */
    const char *what;
};
extern const struct bench_limit_info bench_limit_info[BENCH_N_LIMIT];

struct bench_limits;
struct bench_limits *bench_limits_create(const struct model *m);
void bench_limits_destroy(struct bench_limits *l);

/* Fills rate[i] (FLOP/s, or bytes/s) for every i with bit 1 << i in `wanted`, and NAN for the others. */
int bench_limits_measure(struct bench_limits *l, unsigned wanted, double rate[BENCH_N_LIMIT], struct err *e);

/* What a limit is: the best of its ways; NAN or 0: a way that was not measured. */
double bench_limits_of_ways(const double rate[BENCH_N_WAY]);

/* A buffer of about so many bytes, as long as the limit `bandwidth` allows, kept so that it can be read again and
 * again: beside every repeat of a test. What of as many bytes a cache holds, it holds of the buffer too. */
struct bench_stream;
struct bench_stream *bench_stream_create(const struct bench_limits *l, double bytes, struct err *e);
void bench_stream_destroy(struct bench_stream *s); /* accepts NULL */
double bench_stream_rate(
    const struct bench_stream *s); /* bytes/s, the best of a few passes: some tens of milliseconds */

/* The best that one way did so far; NAN: it was not measured. The limit is the best of the ways. */
double bench_limits_way(const struct bench_limits *l, enum bench_limit i, enum bench_way w);

/* The way and the shape that were best so far, as text, e.g. "OpenBLAS: 1024 x 2048 x 2048, a b"; "" before the first
 * measurement. */
const char *bench_limits_shape(const struct bench_limits *l, enum bench_limit i);

#endif
