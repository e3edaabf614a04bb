/* What a policy or a layer allocator may ask to see at the moment of pruning: one list for both, in `needs`.
 *
 * The engine gathers a statistic once for everybody who asks, while a layer is still at hand; only what somebody asked
 * for costs anything. Where each lies in what a policy gets is said in policy.h (struct policy_view); how it is
 * gathered is one file each, harness/engine/statistic_<name>.c. */
#ifndef POLICIES_STATISTIC_H
#define POLICIES_STATISTIC_H

/* How long a statistic is known, and so which caches can be cut by it. */
enum statistic_life {
    STATISTIC_OF_CACHE,  /* lies in the cache itself: known always */
    STATISTIC_OF_ENTRY,  /* gathered by an entry from every query since; kept beside it through all later cuts */
    STATISTIC_OF_PASS,   /* of the tokens that were just read, a prompt or a chunk; not known while decoding */
    STATISTIC_OF_PROMPT, /* of the whole prompt, read at once with the full cache: prefill: full, decode: frozen */
};

/* STATISTIC(NAME, name, life, words): one line each. The bit is STATISTIC_NAME, the file statistic_<name>.c. */
#define ALL_STATISTICS \
    STATISTIC(KEYS, keys, OF_CACHE, "keys") \
    STATISTIC(VALUES, values, OF_CACHE, "values") \
    STATISTIC(COLUMNS, columns, OF_ENTRY, "column sums of attention and its diagonal") \
    STATISTIC(ROWS, rows, OF_ENTRY, "attention rows of the last queries") \
    STATISTIC(ENTROPY, entropy, OF_PASS, "row entropies") \
    STATISTIC(QUERIES, queries, OF_PASS, "queries") \
    STATISTIC(HIDDEN, hidden, OF_PASS, "hidden states") \
    STATISTIC(ANSWER, answer, OF_PROMPT, "the answer's attention") \
    STATISTIC(COSINE, cosine, OF_PROMPT, "the residual stream")

enum statistic_index {
#define STATISTIC(NAME, name, life, words) STATISTIC_AT_##NAME,
    ALL_STATISTICS
#undef STATISTIC
        STATISTIC_N
};

enum statistic {
#define STATISTIC(NAME, name, life, words) STATISTIC_##NAME = 1 << STATISTIC_AT_##NAME,
    ALL_STATISTICS
#undef STATISTIC
        STATISTIC_SCORES = 1 << STATISTIC_N /* the policy's own scores of all layers, for a layer allocator */
};

/* Those that stand in a struct policy_view while a layer is read: for policies and for allocators that `observe`. The
 * others are of the prompt's end: ANSWER is for policies alone, COSINE and SCORES for allocators' `allocate`. */
enum statistic_group {
#define STATISTIC(NAME, name, life, words) | (STATISTIC_##life == STATISTIC_OF_PROMPT ? 0 : STATISTIC_##NAME)
    STATISTIC_OF_VIEW = 0 ALL_STATISTICS
#undef STATISTIC
};

struct statistic_words {
    const char *name, *words;
    enum statistic_life life;
};
/* In the order of enum statistic_index. */
extern const struct statistic_words statistic_words[STATISTIC_N];

/* The words of the first statistic of `needs` that lives like this; NULL: there is none. */
const char *statistic_first(unsigned needs, enum statistic_life life);

#endif
