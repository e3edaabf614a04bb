/* Private to group*.c: the state of one group while it runs. */
#ifndef HARNESS_GROUP_INT_H
#define HARNESS_GROUP_INT_H

#include "harness/engine/decode.h"
#include "harness/engine/group.h"
#include "harness/engine/measure.h"
#include "harness/engine/observe.h"
#include "harness/engine/prune.h"

struct cut {
    struct keepset *keep;
    int *entries; /* [n_layer] */
    struct prune_result result;
    struct tally *tally; /* statistics of what it keeps, for a cell that is cut while it decodes; else NULL */
    float *first_logits; /* [n_vocab] of a chunked prefill that held nothing back; NULL: the full prefill's */
    size_t peak_bytes;   /* the largest cache of its prefill */
    double prefill_s;    /* of the passes that led to it */
    struct err err;      /* ERR_OK while the cell is well */
};

struct outcome {                  /* of one (cell, question) */
    struct divergence divergence; /* along y */
    double loss, nll;             /* summed, and a token's mean, over the reference answer */
    int n_loss;                   /* answer tokens measured so far */
};

struct group_state {
    const struct group *g;
    int n; /* prompt tokens fed before pruning */
    struct kvcache *full;
    struct observer *observer;
    struct tally *tally;          /* the full prefill's, when cells ask for it that are cut while they decode */
    struct rope_table rope;       /* turns the keys of packed cells */
    int *batch, n_batch;          /* [n_cell] cells that wait for decoding */
    size_t batch_used;            /* bytes that they will hold */
    float *first_logits;          /* [n_vocab] with prune_after: prompt, else NULL */
    struct cut *cut;              /* [n_cell] */
    struct sequence *sequence;    /* [n_cell][n_question] */
    size_t *bytes, *policy_bytes; /* [n_cell][n_question] after pruning: keys and values, the policy's statistics */
    struct outcome *result;       /* [n_cell][n_question] */
    struct reference *reference;  /* [n_question] the full cache along y */
    struct token_ids *y;          /* [n_question] the full cache's greedy tokens */
    double **mass;                /* [n_question] -> [n_layer][n_kv_head][n] attention of the queries that predict y,
                                     each row normalised to 1 over the n prompt entries; mean over queries and heads
                                     of a layer sums to 1 per layer */
    size_t resident;
    double prefill_s, decode_s;
};

struct sequence *group_sequence(const struct group_state *s, int cell, int question);
struct outcome *group_outcome(const struct group_state *s, int cell, int question);
void group_state_fini(struct group_state *s);

/* What a cut starts from. */
struct cut_input {
    int n, n_seen;                 /* tokens that the budget is of; tokens fed */
    const int *available;          /* [n_layer] */
    const struct prune_head *head; /* [n_layer][n_kv_head]; NULL: the whole prompt */
    const float *const *const *score;
    const double *const *stat; /* of the layer allocator; NULL: it reads none */
    const double *cosine;
};
/* Budgets, scores, protection -> a new keep set of one cell in s->cut[c]. A cell that fails is marked; the group goes
 * on. */
int group_cut(struct group_state *s, int c, const struct cut_input *in, struct err *e);

/* Every cell with `prefill: chunked`, decoded and measured too. */
int group_chunked(struct group_state *s, struct err *e);

int group_wanted(const struct group *g, int c);
size_t group_entry_bytes(const struct group_state *s);
int group_interrupted(const struct group *g, struct err *e);
/* Puts a cell whose cut is known into the batch that waits, decoding those before when they would not fit together.
 * leaf: the cell's own sealed cache, shared by reference; NULL: cut from the full one when its batch decodes. */
int group_enqueue(struct group_state *s, int c, const struct kvcache *leaf, struct err *e);
/* Decodes, measures and emits the batch that waits. */
int group_flush(struct group_state *s, struct err *e);

/* While sequences decode, every step whose tokens so far are those of y, or of the reference answer, is measured from
 * the logits that decoding computed anyway. run: sequences of the state, as decode_greedy gets them. */
struct group_watch {
    struct group_state *s;
    struct sequence *const *run;
    int want_kl, want_nll;
};
int group_watch_step(void *ctx, const int *active, const float *const *logits, int n, struct err *e);
void group_watch_begin(struct group_watch *w, struct group_state *s, struct sequence *const *run, int n_run);
/* Before the cut, where a scorer reads the reference answers: gives the observer the attention that predicts them. */
int group_read_answers(struct group_state *s, struct err *e);
/* After decoding: what is left of nll and kl, attention mass, for the cells of the batch. */
int group_measure(struct group_state *s, struct err *e);

void group_row_init(const struct group_state *s, int cell, int question, struct row *row);
void group_row_fill(const struct group_state *s, int cell, int question, struct row *row);
void group_row_fini(struct row *row);

#endif
