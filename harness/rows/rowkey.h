/* What a row depends on, as one hash: the key that resuming skips by and that tables count by. It is joined from two
 * parts, so that a list of cells and one of questions say the key of every row:
 *   cell      its axes, the files that its allocator reads, weights and tokenizer of its model, what is measured, the
 *             engine (build_id.h), the sources of its policy and allocator
 *   question  the tokens of its prompt and where its parts end, its evidence, answers, classes, stops, number of new
 *             tokens */
#ifndef HARNESS_ROWKEY_H
#define HARNESS_ROWKEY_H

#include "harness/base/hash.h"
#include "harness/engine/encode.h"
#include "harness/experiment/experiment.h"

void rowkey_cell(const struct experiment *x, const struct cell *c, const struct model *m, const char *engine,
                 char hex[HASH_HEX]);
void rowkey_question(const struct dataset_item *item, int q, const struct prompt *p, char hex[HASH_HEX]);
void rowkey_join(const char *cell, const char *question, char hex[HASH_HEX]);

#endif
