/* Private to attention*.c: buffers of one layer's attention statistics. */
#ifndef MODELS_ATTENTION_STATS_H
#define MODELS_ATTENTION_STATS_H

#include "models/attention.h"

struct attention_gather {
    unsigned stats;
    int n_row, last;         /* rows of this call; how many last ones are kept */
    int block_rows, n_block; /* blocks of rows: column sums are kept per block and reduced in block order */
    int *n_key;              /* [n_kv_head] */
    float **part;            /* [n_head] -> [n_block][n_key] column sums without the diagonal */
    float **off, **diag;     /* [n_head] -> [n_key] */
    float **rows;            /* [n_head] -> [last][n_key] */
    float **entropy;         /* [n_head] -> [n_row] */
    float **queries;         /* [n_head] -> [n_row][head_dim] */
    float *arena;            /* everything above in one allocation, grown as needed */
    size_t arena_cap;
};

/* A block of rows of one query head, its weights not yet normalised: softmax = weight * factor of (block of keys, row).
 * Zero beyond what a row sees. The diagonal is overwritten. */
struct attention_tile {
    int head, block, first, n,
        base;      /* query head; block of rows; first row; rows; entries older than this call's rows */
    float *weight; /* [n][ld] */
    size_t ld;
    int n_block;
    const int *begin;    /* [n_block + 1] keys of a block */
    const float *factor; /* [n_block][factor_step] -> [n] */
    size_t factor_step;
};

/* Lays the buffers out for this job, whose rows come in blocks of block_rows. Every (head, block of rows) must then be
 * given once. */
int attention_gather_begin(struct attention_gather *g, const struct attention_job *j, int block_rows, struct err *e);
void attention_gather_tile(struct attention_gather *g, const struct attention_tile *t);
/* One finished softmax row of query head q as a block of its own (block = row). */
void attention_gather_row(struct attention_gather *g, int q, int row, const float *weight, int base);
/* Reduces in block order and calls the tap. */
int attention_gather_end(struct attention_gather *g, const struct attention_job *j, struct err *e);
void attention_gather_fini(struct attention_gather *g);

#endif
