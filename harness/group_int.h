/* Private to group*.c: the state of one group while it runs. */
#ifndef HARNESS_GROUP_INT_H
#define HARNESS_GROUP_INT_H

#include "harness/decode.h"
#include "harness/group.h"
#include "harness/measure.h"
#include "harness/observe.h"

struct cut {
    struct keepset *keep;
    int *entries; /* [n_layer] */
    struct prune_result result;
    struct err err; /* ERR_OK while the cell is well */
};

struct outcome { /* of one (cell, question) */
    struct divergence divergence; /* along y */
    double loss, nll;             /* summed, and a token's mean, over the reference answer */
    int n_loss;                   /* answer tokens measured so far */
};

struct group_state {
    const struct group *g;
    int n; /* prompt tokens fed before pruning */
    struct kvcache *full;
    struct observer *observer;
    float *first_logits;        /* [n_vocab] with prune_after: prompt, else NULL */
    struct cut *cut;            /* [n_cell] */
    struct sequence *sequence;  /* [n_cell][n_question] */
    size_t *bytes, *bytes_end;  /* [n_cell][n_question] after pruning; when decoding has ended */
    struct outcome *result;     /* [n_cell][n_question] */
    struct token_ids *answer;   /* [n_question] first reference answer, encoded by itself */
    struct reference *reference; /* [n_question] the full cache along y */
    struct token_ids *y;        /* [n_question] the full cache's greedy tokens */
    double **mass;              /* [n_question] -> [n_layer][n_kv_head][n] attention of the queries that predict y,
                                   each row normalised to 1 over the n prompt entries; mean over queries and heads
                                   of a layer sums to 1 per layer */
    size_t resident;
    double prefill_s, decode_s;
};

struct sequence *group_sequence(const struct group_state *s, int cell, int question);
struct outcome *group_outcome(const struct group_state *s, int cell, int question);
void group_state_fini(struct group_state *s);

/* While sequences decode, every step whose tokens so far are those of y, or of the reference answer, is measured from
 * the logits that decoding computed anyway. run: sequences of the state, as decode_greedy gets them. */
struct group_watch {
    struct group_state *s;
    struct sequence *const *run;
    int want_kl, want_nll;
};
int group_watch_step(void *ctx, const int *active, const float *const *logits, int n, struct err *e);
void group_watch_begin(struct group_watch *w, struct group_state *s, struct sequence *const *run, int n_run);
/* After decoding: what is left of nll and kl, attention mass, for cells [begin, end). */
int group_measure(struct group_state *s, int begin, int end, struct err *e);

void group_row_init(const struct group_state *s, int cell, int question, struct row *row);
void group_row_fill(const struct group_state *s, int cell, int question, struct row *row);
void group_row_fini(struct row *row);

#endif
