/* Book text cut into sentences: the hay in which needles are hidden. Line breaks and runs of blanks are one space. */
#ifndef DATASETS_HAYSTACK_H
#define DATASETS_HAYSTACK_H

#include <stddef.h>

#include "harness/base/err.h"
#include "harness/base/str.h"

struct haystack {
    char *text;
    size_t n;
    size_t *begin; /* [n_sentence + 1] of each sentence in text; the last one is n */
    int n_sentence;
    size_t cap;
};

/* All .txt files of the folder in the order of their names. */
int haystack_open(struct haystack *h, const char *data_dir, struct err *e);
/* One file. */
int haystack_open_file(struct haystack *h, const char *path, struct err *e);
void haystack_close(struct haystack *h); /* accepts a zeroed one */
/* Appends sentence i (modulo their number) without its trailing blank. */
void haystack_sentence(const struct haystack *h, long i, struct str *out);

#endif
