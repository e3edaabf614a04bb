/* How products are shared out among threads. No bit depends on it: every output is one sum, in one order, whoever
 * computes it and whatever is computed beside it. */
#ifndef MODELS_SHARE_H
#define MODELS_SHARE_H

#include "models/matrix.h"

enum {
    SHARE_SLICE = 384,     /* terms of a product that are summed up by themselves (kernels_rows.h) */
    SHARE_MOST_ROWS = 256, /* of a block */
    SHARE_LEAST_ROWS = 64
};

/* Rows of a prefill: in equal blocks, the same number of them for each thread; or, where a block would have so few rows
 * that threads would do little but read the same weights, in one, and the panels of each product are shared out. */
struct share_rows {
    int block_rows, n_block;
    int blocks; /* 1: a block is one thread's */
};
struct share_rows share_rows(int rows, int threads);

/* Into how many parts the rows of a product are cut, so that (panel, part) are tasks that end together. */
int share_parts(const struct matrix *w, int rows, int threads);

/* Slice i of panel p, which lies behind slice i - 1. */
struct share_unit {
    int panel, slice;
};
int share_slices(const struct matrix *w);
/* What is read by thread t of a product with few rows begins here and ends where the next one's begins: one piece of
 * memory, as long as everybody's to within a slice. That of thread `threads` is behind the last panel. */
struct share_unit share_begin(const struct matrix *w, int threads, int t);

#endif
