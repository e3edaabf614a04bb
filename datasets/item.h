/* Filling a dataset_item: the same few lines of every task. */
#ifndef DATASETS_ITEM_H
#define DATASETS_ITEM_H

#include "datasets/dataset.h"
#include "harness/base/str.h"

/* Gives the zeroed item room for n questions, its context (taken over; `context` is empty after) and its id, the index.
 */
void item_begin(struct dataset_item *item, int index, int n_question, struct str *context);
/* The next question; its id is the item's, with "-<i>" after it from the second on. */
struct dataset_question *item_question(struct dataset_item *item, const char *text, const char *answer_prefix);
void item_answer(struct dataset_question *q, const char *text, size_t n);
void item_evidence(struct dataset_item *item, size_t begin, size_t end);

/* What a model that is trained on the question should write: its target, or a blank and the answers with ", " between.
 */
void item_target(const struct dataset_question *q, struct str *out);

#endif
