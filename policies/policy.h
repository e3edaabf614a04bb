/* The policy ABI: the only header that a pruning policy must include.
 *
 * A policy scores cached entries; higher = keep. It never sees a budget, never touches the cache, and
 * knows nothing of files or models: how many entries stay, which ones are protected, how heads and
 * layers share the total, and what happens to positions are separate axes that the harness applies.
 *
 * Words: a *position* is the index of a token in the sequence, an *entry* is one cached (key, value,
 * position) of one KV head, a *slot* is where an entry lies in an array. Query heads and KV heads are
 * different counts: query head q belongs to KV head q / n_group. */
#ifndef POLICIES_POLICY_H
#define POLICIES_POLICY_H

#include <stddef.h>
#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/param.h"
#include "policies/statistic.h"

#define POLICY_ABI 1

/* One KV head of one layer. Arrays are contiguous; slot j is entry j, oldest first. */
struct policy_head {
    int n_entry;
    const int32_t *pos;  /* [n_entry] strictly increasing */
    const float *keys;   /* [n_entry][head_dim] rotated (RoPE applied); NULL unless asked for */
    const float *values; /* [n_entry][head_dim]; NULL unless asked for */
};

/* One query head: attention that its queries gave to the entries of its KV head. A(i,j) = softmax over the visible
 * entries of q_i . k_j / sqrt(head_dim), or with the scale and the cap that the model has instead. */
struct policy_attention {
    const float *off_diagonal; /* [n_entry] sum over queries i > j of A(i,j); NULL unless COLUMNS */
    const float *diagonal;     /* [n_entry] A(j,j); NULL unless COLUMNS */
    const float *rows;         /* [n_row][n_entry] of the last n_row queries, oldest first; NULL unless ROWS */
    const float *entropy;      /* [n_query] in nats; NULL unless ENTROPY */
    const float *queries;      /* [n_query][head_dim]; NULL unless QUERIES */
};

/* A layer at the moment of pruning, which may come once a prompt, once a chunk, or after every token; valid only during
 * the call. */
struct policy_view {
    int layer, n_layer;
    int n_head, n_kv_head, n_group, head_dim, d_model;
    int n_seen;  /* tokens fed so far, pruned ones included */
    int n_query; /* tokens of the pass that was just read: rows of entropy, queries, hidden; n_seen when the whole
                    prompt is pruned once, a chunk or what was fed since the last cut otherwise */
    int n_row;   /* rows in policy_attention.rows: what this policy asked for, or fewer where fewer are known */
    const struct policy_head *head;           /* [n_kv_head] */
    const struct policy_attention *attention; /* [n_head] */
    const float *hidden;                      /* [n_query][d_model]; NULL unless HIDDEN */
    uint64_t policy_seed;                     /* the experiment's, for random scores */
    uint64_t sample;                          /* hash of the sample, for random scores */
    int first_query; /* position of the first query that column sums saw: 0, but for chunks without `carry` */
    const float *const
        *answer; /* [n_kv_head] -> [n_entry] share of the full cache's attention on these entries, from the
                    queries that predict the reference answers: a layer's sum to 1; NULL unless ANSWER */
};

/* What a policy protects by itself at a budget of m entries (each clamped to [0, m] by the harness). */
struct policy_protection {
    int sinks;  /* first positions */
    int recent; /* last positions */
};

struct policy_ops {
    int abi;                 /* POLICY_ABI */
    const char *name;        /* the file's stem */
    const char *summary;     /* one line for `list` */
    const char *paper;       /* "Xiao et al. 2023, arXiv:2309.17453" */
    unsigned needs;          /* STATISTIC_* bits (statistic.h) */
    const char *head_budget; /* name of the policy's own head rule (head.h) */
    size_t config_size;      /* 0: no parameters */
    const struct param *params;
    int uses_seed; /* 1: scores depend on policy_seed, which then is an axis */
    int keeps_all; /* 1: the full cache; takes no budget */
    /* (optional) what is needed with these parameters; NULL: always `needs` */
    unsigned (*needs_of)(const void *config);
    /* (optional, required with ROWS) how many last rows */
    int (*rows)(const void *config);
    /* (optional) default: nothing protected */
    void (*protect)(const void *config, int m, struct policy_protection *out);
    /* (optional) a scorer with memory of its own; default: *self = (void *)config and no destroy */
    int (*create)(void **self, const void *config, const struct policy_view *shape, struct err *e);
    void (*destroy)(void *self);
    /* (optional) raw attention rows, one at a time in the order of (layer, query head, query): slow;
     * for ideas that no statistic serves. row has n_entry values. */
    int (*observe)(void *self, int layer, int head, int query, const float *row, int n_entry, struct err *e);
    /* Writes score[h][0 .. head[h].n_entry) for every KV head h; no NaN; no allocation that outlives
     * the call. self is the config when there is no `create`. */
    int (*score)(void *self, const struct policy_view *view, float *const *score, struct err *e);
};

/* The registry: a static table in policy.c, one line a policy. */
int policy_count(void);
const struct policy_ops *policy_at(int i);
const struct policy_ops *policy_find(const char *name); /* NULL when unknown */
unsigned policy_needs_of(const struct policy_ops *p, const void *config);
/* For policies with one score per layer: 0 when all KV heads hold the same positions, else -1 and ERR_POLICY with the
 * first difference (adding up slots of different positions would score nothing). */
int policy_same_entries(const struct policy_view *view, struct err *e);
/* 0, or -1 and why this struct breaks the ABI's rules; run on every entry of the registry. */
int policy_validate(const struct policy_ops *p, struct err *e);

#endif
