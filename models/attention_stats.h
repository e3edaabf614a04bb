/* Private to attention*.c: buffers of one layer's attention statistics. */
#ifndef MODELS_ATTENTION_STATS_H
#define MODELS_ATTENTION_STATS_H

#include "models/attention.h"

struct attention_gather {
    unsigned stats;
    int n_row, last;      /* rows of this call; how many last ones are kept */
    int n_block;          /* query blocks: column sums are kept per block and reduced in block order */
    int *n_key;           /* [n_kv_head] */
    float **part;         /* [n_head] -> [n_block][n_key] column sums without the diagonal */
    float **off, **diag;  /* [n_head] -> [n_key] */
    float **rows;         /* [n_head] -> [last][n_key] */
    float **entropy;      /* [n_head] -> [n_row] */
    float **queries;      /* [n_head] -> [n_row][head_dim] */
    float *arena;         /* everything above in one allocation, grown as needed */
    size_t arena_cap;
};

/* Lays the buffers out for this job; column sums and diagonals are zero. */
int attention_gather_begin(struct attention_gather *g, const struct attention_job *j, int n_block, struct err *e);
/* One finished softmax row of query head q; base = entries older than this call's rows. */
void attention_gather_row(struct attention_gather *g, int q, int block, int row, const float *weight, int base);
/* Reduces in block order and calls the tap. */
int attention_gather_end(struct attention_gather *g, const struct attention_job *j, struct err *e);
void attention_gather_fini(struct attention_gather *g);

#endif
