#include "harness/base/lines.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"

enum { BUFFER = 1 << 20 };

struct lines {
    char *path, *buffer;
    int fd, number, whole;
    size_t cap, from, end; /* what is read and not given yet: [from, end) */
    int64_t offset;
};

struct lines *lines_open(const char *path, struct err *e)
{
    int64_t size;
    int fd = fs_open(path, &size, e);
    if (fd < 0)
        return NULL;
    struct lines *l = mem_new(1, sizeof *l);
    l->fd = fd;
    l->path = mem_strdup(path);
    l->cap = BUFFER;
    l->buffer = mem_new(l->cap + 1, 1);
    return l;
}

/* More of the file behind what is there; 0: it ends. */
static int fill(struct lines *l, struct err *e)
{
    memmove(l->buffer, l->buffer + l->from, l->end - l->from);
    l->end -= l->from;
    l->from = 0;
    if (l->end == l->cap) {
        size_t cap = l->cap + 1;
        mem_grow(&l->buffer, &cap, 2 * l->cap + 1, 1);
        l->cap = cap - 1;
    }
    ssize_t got;
    do
        got = read(l->fd, l->buffer + l->end, l->cap - l->end);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return fs_fail(l->path, e);
    l->end += (size_t)got;
    return got > 0;
}

int lines_next(struct lines *l, const char **line, size_t *n, struct err *e)
{
    size_t seen = 0;
    char *stop;
    int more = 1;
    while (!(stop = memchr(l->buffer + l->from + seen, '\n', l->end - l->from - seen)) && more) {
        seen = l->end - l->from;
        more = fill(l, e);
        if (more < 0)
            return -1;
    }
    l->whole = stop != NULL;
    *n = stop ? (size_t)(stop - (l->buffer + l->from)) : l->end - l->from;
    if (!stop && *n == 0)
        return 0;
    *line = l->buffer + l->from;
    l->buffer[l->from + *n] = '\0';
    l->from += *n + (size_t)l->whole;
    l->offset += (int64_t)*n + l->whole;
    l->number++;
    return 1;
}

int lines_is_whole(const struct lines *l)
{
    return l->whole;
}

int lines_number(const struct lines *l)
{
    return l->number;
}

int64_t lines_offset(const struct lines *l)
{
    return l->offset;
}

void lines_close(struct lines *l)
{
    if (!l)
        return;
    close(l->fd);
    mem_free(l->path);
    mem_free(l->buffer);
    mem_free(l);
}
