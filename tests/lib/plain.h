/* The slow, plain twin of everything that changes the loop: a forward pass by the definition, one token at a time, in
 * double precision, over lists of entries per layer and KV head; whole attention matrices; policies by their formulas.
 * No code of models/attention*, kvcache*, or harness/ takes part. Llama-shaped models without biases and norms of
 * heads; layers may have a window or no rotation. */
#ifndef TESTS_PLAIN_H
#define TESTS_PLAIN_H

#include <stdint.h>

#include "models/model.h"

struct plain_entry {
    int pos;
    double *k, *v; /* [head_dim]; k before its rotation */
};

struct plain_list {
    int n;
    struct plain_entry *entry; /* oldest first */
};

struct plain {
    const struct model *m;
    int is_long;             /* longrope: rotates as a sequence of `room` tokens does */
    int packed;              /* 1: an entry stands at its place in its list, 0: at its token's position */
    int n_seen, room;        /* tokens fed; at most */
    struct plain_list *list; /* [n_layer][n_kv_head] */
    double *attention;       /* [n_layer][n_head][room][room]: query position, key position; 0 where not visible */
    double *logits;          /* [n_vocab] of the last token */
};

struct plain *plain_create(const struct model *m, int room, int packed);
struct plain *plain_copy(const struct plain *p); /* goes its own way from here */
void plain_destroy(struct plain *p);
void plain_feed(struct plain *p, int32_t token);
struct plain_list *plain_list(struct plain *p, int layer, int kv_head);
int plain_argmax(const struct plain *p);
double plain_nll(const struct plain *p, int32_t token); /* -ln p(token) by the last token's logits */

/* What is cut, and how. */
struct plain_rule {
    /* "h2o", "depthkv", "snapkv", "tova", "streaming", "random", "knorm"; "heavy": h2o without recents, "visible":
     * that, normalised */
    const char *policy;
    int sinks, window, kernel; /* streaming's; snapkv's */
    int recent;                /* protected by the experiment, beside the policy's own */
    uint64_t policy_seed, sample;
};
/* Cuts every list of layer l to m[l] entries. Attention before query position `first_query` does not count. Returns the
 * smallest relative distance between the worst score that stays and the best that goes, over all lists: a test whose
 * engine sums in float32 wants it well above 1e-6. */
double plain_cut(struct plain *p, const struct plain_rule *r, const int *m, int first_query);

/* A cell's way through a prompt and what follows. */
struct plain_course {
    struct plain_rule rule;
    double keep;
    int size, final, carry; /* chunks; size 0: the whole prompt is read and cut once */
    int every;              /* decode: 0 frozen, else a cut after every so many tokens */
    int windows;            /* 1: layers with a window are pruned too */
    int m[16], fed, from;   /* on the way: budgets, tokens since the prompt, first query that counts */
    double least;           /* of plain_cut */
};
/* Reads n prompt tokens, with all cuts. */
struct plain *plain_read(const struct model *m, struct plain_course *c, const int32_t *token, int n, int room,
                         int packed);
void plain_continue(struct plain *p, struct plain_course *c,
                    int32_t token); /* one more token, and the cut that is due */

#endif
