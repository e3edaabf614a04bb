/* Rows by what makes them the row that they are, for millions of them: half a SHA-256 each, and a table of them. */
#ifndef HARNESS_ROWID_H
#define HARNESS_ROWID_H

#include <stddef.h>
#include <stdint.h>

/* Never all zeros; no two rows of a folder have the same one. */
struct rowid {
    uint64_t half[2];
};

struct rowid rowid_of(const char *key, int64_t sample, const char *question);

/* A number for every id that was put in. */
struct rowid_table {
    struct rowid_slot *slot;
    size_t mask, n;
};

/* The number of an id; NULL: it was not put in. Lent until the next rowid_put. */
size_t *rowid_find(const struct rowid_table *t, struct rowid id);
/* The same, putting it in with the number 0 where it is missing. */
size_t *rowid_put(struct rowid_table *t, struct rowid id);
void rowid_table_free(struct rowid_table *t);

#endif
