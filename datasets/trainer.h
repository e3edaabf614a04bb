/* Samples for training a byte-level model, as rows of token ids; made to be called from Python (ctypes) through the
 * shared object that `make trainer` builds, which needs libc and libm alone.
 *
 * A row is BOS, the context, and for every question its text, its answer prefix, the answer and EOS; then padding. The
 * mask is 1 on the bytes of answers and their EOS. Of a book's text (the task `text`) nothing is masked.
 *
 *     t = trainer_open("kv", "wording=compact,split=train,length=1024,questions=3", "datasets/books", msg, sizeof msg);
 *     trainer_rows(&t, (int32_t[]){7}, (int32_t[]){1000}, 1, seed, 1025, ids, mask, msg, sizeof msg);
 *
 * Everything is a function of its arguments; a handle may be used from several threads at once. */
#ifndef DATASETS_TRAINER_H
#define DATASETS_TRAINER_H

#include <stddef.h>
#include <stdint.h>

enum trainer_id { TRAINER_BOS = 256, TRAINER_EOS, TRAINER_PAD, TRAINER_N_ID };

struct trainer;

/* params: "name=value,name=value" as in `depthkv samples --param`. NULL and a message on error. */
struct trainer *trainer_open(const char *task, const char *params, const char *books, char *msg, size_t n_msg);
void trainer_close(struct trainer *t); /* accepts NULL */
/* What a model file and an experiment name the task: its name and parameters as JSON; lives as long as t. */
const char *trainer_label(const struct trainer *t);

/* n rows of `width` ids and masks. Row i is sample index[i] of t[i]; its prompt has at most prompt[i] ids, BOS counted,
 * and is shortened where its first answer would not fit. Questions that do not fit are left out. 0, or -1 and a
 * message. */
int trainer_rows(struct trainer *const *t, const int32_t *index, const int32_t *prompt, int n, uint64_t seed, int width,
                 int16_t *id, uint8_t *mask, char *msg, size_t n_msg);

#endif
