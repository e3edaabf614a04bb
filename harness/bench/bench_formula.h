/* What the work of a forward pass amounts to, counted from hyper-parameters: floating-point operations (a multiply
 * and an add are two) and bytes. Norms, rotations, softmax and activations are left out: they are what a limit made
 * of matrix products does not see. */
#ifndef HARNESS_BENCH_FORMULA_H
#define HARNESS_BENCH_FORMULA_H

#include <stddef.h>

#include "models/model.h"

/* What parts of the work are held against (bench_limits.h), and in which arithmetic this model computes what is held
 * against limit i. */
enum bench_limit { BENCH_SQUARE, BENCH_QK, BENCH_PV, BENCH_ROWS32, BENCH_BANDWIDTH, BENCH_N_LIMIT };
enum model_dtype bench_arithmetic(const struct model *m, enum bench_limit i);

/* All layers' weight matrices on `rows` rows; the output matrix is not among them. */
double bench_linear_flop(const struct hparams *hp, double rows);
double bench_output_flop(const struct hparams *hp, double rows);

/* Q K^T of n tokens that attend to themselves and everything before, or what is in their layer's window, all heads and
 * layers: only the causal half. The product of the weights with V takes the same again. */
double bench_causal_flop(const struct hparams *hp, double n);

/* One cached entry of every KV head of every layer, as float32 or bf16. */
double bench_entry_bytes(const struct hparams *hp, enum model_dtype held_as);

/* The cache of n tokens: layers with a window hold the last ones only. */
double bench_cache_bytes(const struct hparams *hp, double n, enum model_dtype held_as);

/* What one decode step reads of the weights: all layers and the output matrix, as held in memory. An embedding that
 * is not the output matrix is left out: a step reads one row of it. */
double bench_weight_bytes(const struct model *m);

/* Cache entries that `steps` decode steps read beside `cached` ones, each step seeing its own: mean of a step. */
double bench_mean_entries(double cached, double steps);

#endif
