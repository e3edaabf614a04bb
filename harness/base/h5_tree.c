#include <stdlib.h>
#include <string.h>

#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

struct h5_node *h5_node_new(const char *name, size_t n, enum h5_kind kind)
{
    struct h5_node *node = mem_new(1, sizeof *node);
    node->name = mem_strndup(name, n);
    node->kind = kind;
    node->at = H5_NOWHERE;
    return node;
}

void h5_node_free(struct h5_node *node)
{
    if (!node)
        return;
    for (size_t i = 0; i < node->n_child; i++)
        h5_node_free(node->child[i]);
    for (size_t i = 0; i < node->n_attr; i++) {
        mem_free(node->attr[i].name);
        mem_free(node->attr[i].data);
    }
    mem_free(node->child);
    mem_free(node->attr);
    mem_free(node->compact);
    mem_free(node->name);
    mem_free(node);
}

/* Where a child of that name is, or would be. */
static size_t place_of(const struct h5_node *group, const char *name, size_t n, int *found)
{
    size_t lo = 0, hi = group->n_child;
    *found = 0;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const char *other = group->child[mid]->name;
        int order = strncmp(other, name, n);
        if (order == 0 && other[n])
            order = 1;
        if (order == 0) {
            *found = 1;
            return mid;
        }
        if (order < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void h5_node_append(struct h5_node *group, struct h5_node *child)
{
    mem_grow(&group->child, &group->cap_child, group->n_child + 1, sizeof(struct h5_node *));
    group->child[group->n_child++] = child;
}

int h5_node_add(struct h5_node *group, struct h5_node *child)
{
    int found;
    size_t at = place_of(group, child->name, strlen(child->name), &found);
    if (found)
        return -1;
    h5_node_append(group, child);
    memmove(group->child + at + 1, group->child + at, (group->n_child - 1 - at) * sizeof(struct h5_node *));
    group->child[at] = child;
    return 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(struct h5_node *const *)a)->name, (*(struct h5_node *const *)b)->name);
}

int h5_node_sort(struct h5_node *group)
{
    if (group->n_child)
        qsort(group->child, group->n_child, sizeof(struct h5_node *), by_name);
    for (size_t i = 1; i < group->n_child; i++)
        if (strcmp(group->child[i - 1]->name, group->child[i]->name) == 0)
            return -1;
    return 0;
}

struct h5_node *h5_node_find(const struct h5_node *root, const char *path)
{
    const struct h5_node *node = root;
    if (path[0] != '/')
        return NULL;
    for (const char *p = path + 1; *p;) {
        size_t n = strcspn(p, "/");
        int found = 0;
        size_t at = n && node->kind == H5_GROUP ? place_of(node, p, n, &found) : 0;
        if (!found)
            return NULL;
        node = node->child[at];
        p += n + (p[n] == '/');
    }
    return (struct h5_node *)(uintptr_t)node;
}

struct h5_attr *h5_node_attr(const struct h5_node *node, const char *name)
{
    for (size_t i = 0; i < node->n_attr; i++)
        if (strcmp(node->attr[i].name, name) == 0)
            return &node->attr[i];
    return NULL;
}

struct h5_attr *h5_node_attr_new(struct h5_node *node, const char *name, size_t n)
{
    mem_grow(&node->attr, &node->cap_attr, node->n_attr + 1, sizeof *node->attr);
    struct h5_attr *a = &node->attr[node->n_attr++];
    *a = (struct h5_attr){.name = mem_strndup(name, n)};
    return a;
}
