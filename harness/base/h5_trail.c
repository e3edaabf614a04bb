/* Paths. The library looks a name up among all of a group's; what goes on in one place needs that once, so the handles
 * of the last path's parts, from the root on, stay open. Nothing is ever removed or renamed, so they stay true. */
#include <string.h>

#include "harness/base/h5_int.h"
#include "harness/base/mem.h"

struct h5_trail {
    int n;
    struct {
        char *name;
        int64_t id;
    } part[H5_MAX_DEPTH + 1];
};

void h5_trail_begin(struct h5 *f, int64_t root)
{
    f->trail = mem_new(1, sizeof *f->trail);
    f->trail->part[0].id = root;
    f->trail->n = 1;
}

void h5_trail_forget(const struct h5 *f, int from)
{
    struct h5_trail *t = f->trail;
    while (t && t->n > from) {
        t->n--;
        mem_free(t->part[t->n].name);
        h5_drop(t->part[t->n].id);
    }
}

int64_t h5_trail_find(const struct h5 *f, const char *path, size_t length, int *odd)
{
    struct h5_trail *t = f->trail;
    const char *end = path + length;
    int depth = 0;
    *odd = 0;
    if (path[0] != '/')
        return -1;
    for (const char *p = path + 1; p < end;) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        size_t n = (size_t)((slash ? slash : end) - p);
        if (n == 0 || ++depth > H5_MAX_DEPTH)
            return -1;
        if (depth >= t->n || strncmp(t->part[depth].name, p, n) != 0 || t->part[depth].name[n]) {
            h5_trail_forget(f, depth);
            char *name = mem_strndup(p, n);
            int64_t id = h5_open_member(t->part[depth - 1].id, name, odd);
            if (id < 0) {
                mem_free(name);
                return -1;
            }
            t->part[depth].name = name;
            t->part[depth].id = id;
            t->n = depth + 1;
        }
        p += n + (slash != NULL);
    }
    return t->part[depth].id;
}

int h5_exists(const struct h5 *f, const char *path)
{
    int odd;
    return h5_trail_find(f, path, strlen(path), &odd) >= 0 || odd;
}
