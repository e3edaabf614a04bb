/* The registry of head rules: one line each, in the order in which `list` prints them. */
#include "policies/head.h"

#include <string.h>

#define ALL_HEADS \
    HEAD(uniform) \
    HEAD(shared)

#define HEAD(stem) extern const struct head_ops head_##stem;
ALL_HEADS
#undef HEAD

static const struct head_ops *const table[] = {
#define HEAD(stem) &head_##stem,
    ALL_HEADS
#undef HEAD
};

/* In the table's order, whatever the structs say of themselves; a test compares the two. */
static const char *const names[] = {
#define HEAD(stem) #stem,
    ALL_HEADS
#undef HEAD
        NULL};

int head_count(void)
{
    return (int)(sizeof table / sizeof *table);
}

const struct head_ops *head_at(int i)
{
    return table[i];
}

const struct head_ops *head_find(const char *name)
{
    for (int i = 0; i < head_count(); i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

const char *const *head_names(void)
{
    return names;
}

int head_validate(const struct head_ops *h, struct err *e)
{
    if (h->abi != HEAD_ABI)
        return err_set(e, ERR_POLICY, "head rule ABI %d, expected %d", h->abi, HEAD_ABI);
    if (!h->name || !*h->name || strspn(h->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(h->name))
        return err_set(e, ERR_POLICY, "head rule name '%s': lower-case letters, digits and _ are expected",
                       h->name ? h->name : "");
    if (!h->summary || !h->paper)
        return err_set(e, ERR_POLICY, "head rule '%s' lacks its summary or paper", h->name);
    return 0;
}
