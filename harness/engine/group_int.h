/* Private to group_*.c: the state of one group while it runs. */
#ifndef HARNESS_GROUP_INT_H
#define HARNESS_GROUP_INT_H

#include "harness/engine/decode.h"
#include "harness/engine/group.h"
#include "harness/engine/measure.h"
#include "harness/engine/observe.h"
#include "harness/engine/prune.h"

/* What one cell keeps of the prompt. */
struct cut {
    struct keepset *keep;
    int *entries; /* [n_layer] */
    struct prune_result result;
    struct group_scores *scores; /* of the last cut, where somebody wants to see them */
    struct tally *tally;         /* statistics of what it keeps, for a cell that is cut while it decodes; else NULL */
    float *first_logits;         /* [n_vocab] of a chunked prefill that held nothing back; NULL: the full prefill's */
    size_t peak_bytes;           /* the largest cache of its prefill */
    double prefill_s;            /* of the passes that led to it */
    struct err err;              /* ERR_OK while the cell is well */
};

/* One question asked of one cell. */
struct cell_run {
    int cell, question; /* indices into group.cell, group.question */
    struct sequence sequence;
    size_t bytes, policy_bytes;   /* after pruning: keys and values, the policy's statistics */
    struct divergence divergence; /* along the reference's own answer */
    double loss, nll;             /* summed, and a token's mean, over the task's answer */
    int n_loss;                   /* answer tokens measured so far */
};

/* What the full cache says to one question: what all cells are measured along. */
struct full_answer {
    struct token_ids y;         /* its greedy tokens */
    struct reference reference; /* its predictions along them */
    double *mass; /* [n_layer][n_kv_head][n] attention of the queries that predict y, each row normalised to 1 over the
                     n prompt entries; mean over queries and heads of a layer sums to 1 per layer. In a layer with a
                     window only queries count that still see a prompt entry; 0 everywhere when none does */
};

/* A cell whose cut is known, ready to decode. leaf: its own sealed cache; NULL: it is cut from the full one. */
struct ready {
    int cell;
    const struct kvcache *leaf;
};

/* Cells that decode together. */
struct batch {
    int *cell, n;              /* [n_cell] */
    size_t bytes;              /* that they hold together */
    struct kvcache_pool *pool; /* segments that they share */
    int next;                  /* cell_runs of the batch whose rows were given */
    struct row row;            /* the one that was given last */
};

struct chunked;

struct group_run {
    const struct group *g;
    int n;       /* prompt tokens fed before pruning */
    int longest; /* tokens that a sequence of the group may have (group_longest) */
    int is_read;
    struct kvcache *full;
    struct observer *observer;
    struct tally *tally;        /* the full prefill's, when cells ask for it that are cut while they decode */
    struct rope_set rope;       /* turns the keys of packed cells */
    float *first_logits;        /* [n_vocab] with prune_after: prompt, else NULL */
    struct cut *cut;            /* [n_cell] */
    struct cell_run *run;       /* [n_cell][n_question] */
    struct full_answer *answer; /* [n_question] */
    int next_cell;              /* cells before this one were in a batch, if they are cut from the full cache */
    struct ready waits;         /* did not fit into the last batch */
    int has_waiting;
    struct batch batch;
    struct chunked *chunked; /* NULL until all other cells are done */
    size_t resident;
    double prefill_s, decode_s;
};

static inline struct cell_run *group_run_of(const struct group_run *s, int cell, int question)
{
    return &s->run[(size_t)cell * (size_t)s->g->n_question + (size_t)question];
}

/* What a cut starts from. */
struct cut_input {
    int n, n_seen;                 /* tokens that the budget is of; tokens fed */
    const int *available;          /* [n_layer] */
    const struct prune_head *head; /* [n_layer][n_kv_head] */
    const float *const *const *score;
    const double *const *stat; /* of the layer allocator; NULL: it reads none */
    const double *cosine;
};
/* Budgets, scores, protection -> a new keep set of one cell in s->cut[c]. A cell that fails is marked; the group goes
 * on. */
int group_cut(struct group_run *s, int c, const struct cut_input *in, struct err *e);

/* ---- group_chunked.c: every cell with `prefill: chunked` ---- */
struct chunked *group_chunked_begin(const struct group_run *s);
int group_chunked_next(struct group_run *s, struct ready *out, struct err *e); /* 1: one more; 0: no more; -1 */
void group_chunked_end(struct chunked *k);

/* ---- group_batch.c ---- */
int group_batch_fits(const struct group_run *s, const struct ready *r); /* the first one always does */
int group_batch_add(struct group_run *s, const struct ready *r, struct err *e);
int group_batch_decode(struct group_run *s, struct err *e);        /* and measure */
int group_batch_next(struct group_run *s, struct group_done *out); /* 1: the next row; 0: there is none */
void group_batch_end(struct group_run *s);                         /* empties it */

/* Pure functions of what the group is. */
int group_wanted(const struct group *g, int c); /* 1: some row of this cell is missing */
int group_wanted_row(const struct group *g, int c, int q);
int group_wants_kl(const struct group *g);
int group_wants_nll(const struct group *g);
size_t group_entry_bytes(const struct group *g);
int group_new_tokens(const struct group *g, int q); /* that all cells may generate */

/* ---- group_measure.c ---- */
/* While sequences decode, every step whose tokens so far are those of y, or of the task's answer, is measured from the
 * logits that decoding computed anyway. */
struct group_watch {
    struct group_run *s;
    struct cell_run *const *run; /* those whose sequences decode_greedy gets, in its order */
};
int group_watch_step(void *ctx, const int *active, const float *const *logits, int n, struct err *e);
void group_measure_begin(struct cell_run *r);
/* Before the cut, where a scorer reads the task's answers: gives the observer the attention that predicts them. */
int group_read_answers(struct group_run *s, struct err *e);
/* After decoding: what is left of nll and kl, attention mass, for the cells of the batch. */
int group_measure(struct group_run *s, struct err *e);

/* ---- group_row.c ---- */
void group_row_init(const struct group_run *s, const struct cell_run *r, struct row *row);
void group_row_fill(const struct group_run *s, const struct cell_run *r, struct row *row);
void group_row_fini(struct row *row);

/* Scores of cell c by position, for whoever looks at them; of the entries of `cache`, a prompt or a part of one. */
struct group_scores {
    float *value;
    const float **head;
    const float *const **layer; /* [n_layer] */
};
struct group_scores *group_scores_copy(const struct group_run *s, int c, struct kvcache *cache,
                                       const float *const *const *score);
void group_scores_free(struct group_scores *k); /* NULL is fine */

#endif
