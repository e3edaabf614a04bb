#include "harness/rows/rowid.h"

#include <stdlib.h>
#include <string.h>

#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"

/* Open addressing; the table is at most half full. */
struct rowid_slot {
    struct rowid id; /* half[0] 0: free */
    size_t number;
};

enum { FIRST = 1024 };

struct rowid rowid_of(const char *key, int64_t sample, const char *question)
{
    struct str s = {0};
    struct rowid id;
    char hex[HASH_HEX];
    str_addf(&s, "%s %lld %s", key, (long long)sample, question);
    hash_sha256(s.p, s.n, hex);
    str_free(&s);
    for (int h = 0; h < 2; h++) {
        char half[17];
        memcpy(half, hex + 16 * h, 16);
        half[16] = '\0';
        id.half[h] = strtoull(half, NULL, 16);
    }
    id.half[0] |= 1;
    return id;
}

static struct rowid_slot *place(const struct rowid_table *t, struct rowid id)
{
    size_t i = id.half[1] & t->mask;
    while (t->slot[i].id.half[0] && (t->slot[i].id.half[0] != id.half[0] || t->slot[i].id.half[1] != id.half[1]))
        i = (i + 1) & t->mask;
    return &t->slot[i];
}

static void grow(struct rowid_table *t)
{
    struct rowid_table old = *t;
    size_t size = old.slot ? old.mask + 1 : 0;
    t->mask = (size ? 2 * size : FIRST) - 1;
    t->slot = mem_new(t->mask + 1, sizeof *t->slot);
    for (size_t i = 0; i < size; i++)
        if (old.slot[i].id.half[0])
            *place(t, old.slot[i].id) = old.slot[i];
    mem_free(old.slot);
}

size_t *rowid_find(const struct rowid_table *t, struct rowid id)
{
    struct rowid_slot *s = t->slot ? place(t, id) : NULL;
    return s && s->id.half[0] ? &s->number : NULL;
}

size_t *rowid_put(struct rowid_table *t, struct rowid id)
{
    if (!t->slot || 2 * (t->n + 1) > t->mask)
        grow(t);
    struct rowid_slot *s = place(t, id);
    t->n += !s->id.half[0];
    s->id = id;
    return &s->number;
}

void rowid_table_free(struct rowid_table *t)
{
    mem_free(t->slot);
    *t = (struct rowid_table){0};
}
