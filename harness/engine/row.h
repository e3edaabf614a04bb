/* What one (cell, sample, question) gave: the result row, before anybody writes it down. */
#ifndef HARNESS_ROW_H
#define HARNESS_ROW_H

#include <stdint.h>

#include "harness/base/hash.h"
#include "harness/engine/encode.h"
#include "harness/experiment/experiment.h"

enum { ROW_MAX_METRIC = 16 };

enum row_status { ROW_OK, ROW_SKIPPED, ROW_FAILED };

/* Everything a row holds beyond what its cell says. NAN prints as null. Pointers are borrowed. */
struct row {
    const struct experiment *x;
    const struct cell *cell;
    const char *key;     /* 64 hex digits: all that the row depends on (rowkey.h) */
    const char *engine;  /* 64 hex digits (build_id.h), of which the row has 16 */
    char data[HASH_HEX]; /* the key's part of the question, likewise */
    enum row_status status;
    const char *reason; /* "" when ok */
    int sample;         /* from 0 */
    const char *question_id, *context_id;
    char prompt_sha256[HASH_HEX];
    int prompt_tokens, n;            /* whole prompt; entries at the moment of pruning */
    int max_new_tokens;              /* that its question might generate, where a record says its own; 0: the cell's */
    double keep;                     /* resolved whole: entries kept / entries, of the layers that the cell prunes */
    int64_t keep_tokens, keep_bytes; /* m; bytes of the pruned prompt cache, float32 */
    double level;                    /* `single`: keep of the studied layers alone; NAN otherwise */
    double predicted;   /* damage that the layer allocator expects of its own answer; NAN: it says nothing */
    const double *kept; /* [n_layer] entries per KV head after pruning (mean over heads) */
    int n_layer;
    int protection_cut;
    int64_t cache_bytes, cache_bytes_bf16, cache_bytes_end, cache_bytes_peak, resident_bytes;
    double cache_share;   /* cache_bytes of the full cache's at that moment: entries kept / entries, of all layers */
    int64_t policy_bytes; /* statistics that the policy keeps beside the cache while decoding */
    const char *output;
    int output_tokens;
    const char *finish_reason;     /* "eos", "stop", "length" */
    double metric[ROW_MAX_METRIC]; /* [task n_metric], in the task's order */
    struct {
        const char *name;
        double value;
    } extra[ROW_MAX_METRIC]; /* further columns of the metrics */
    int n_extra;
    double nll, kl, top1, kl_max;
    int first_divergence;                         /* step, -1: none */
    const double *attention_lost, *evidence_kept; /* [n_layer]; NULL: not known */
    double prefill_s, decode_s;
    int group_cells; /* cells that shared the prefill */
};

/* A row of this cell that tells nothing yet: ROW_OK, every measure NAN, nothing generated, no question. */
void row_begin(struct row *r, const struct experiment *x, const struct cell *cell, int n_layer, int sample);
/* Which question it answers, and by which prompt; prompt NULL: it was never made. Borrows the item's texts. */
void row_ask(struct row *r, const struct dataset_item *item, int question, const struct prompt *prompt);

#endif
