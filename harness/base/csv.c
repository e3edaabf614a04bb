#include "harness/base/csv.h"

#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"

struct reader {
    struct csv *c;
    char *p; /* next byte */
    int line;
    size_t n, room, room_line;
};

/* Takes one field apart in place. 1: another follows on this row; 0: the row ends; -1: a quote that never closes. */
static int take_field(struct reader *r, char **out)
{
    char *to = r->p, *p = r->p;
    int quoted = *p == '"', open = quoted;
    *out = to;
    for (p += quoted; *p && (open || (*p != ',' && *p != '\n' && *p != '\r')); p++) {
        if (*p == '\n')
            r->line++;
        if (quoted && *p == '"') {
            if (p[1] != '"') {
                open = 0;
                continue;
            }
            p++;
        }
        *to++ = *p;
    }
    if (open)
        return -1;
    int more = *p == ',';
    if (*p == '\r' && p[1] == '\n')
        p++;
    if (*p == '\n')
        r->line++;
    r->p = *p ? p + 1 : p;
    *to = '\0';
    *out += quoted && **out == '\'' && quote_is_formula(*out);
    return more;
}

static int read_row(struct reader *r, struct err *e)
{
    struct csv *c = r->c;
    int n = 0, more, begin = r->line;
    do {
        char *field;
        more = take_field(r, &field);
        if (more < 0)
            return err_set(e, ERR_FORMAT, "%s:%d: a quote that is not closed", c->path, begin);
        mem_grow(&c->field, &r->room, r->n + 1, sizeof *c->field);
        c->field[r->n++] = field;
        n++;
    } while (more);
    if (c->n_row == 0)
        c->n_column = n;
    if (n != c->n_column)
        return err_set(e, ERR_FORMAT, "%s:%d: %d fields, expected %d as in the header", c->path, begin, n, c->n_column);
    mem_grow(&c->line, &r->room_line, (size_t)c->n_row + 1, sizeof *c->line);
    c->line[c->n_row++] = begin;
    return 0;
}

int csv_read(const char *path, struct csv *out, struct err *e)
{
    size_t n;
    *out = (struct csv){0};
    out->text = fs_read(path, &n, e);
    if (!out->text)
        return -1;
    out->path = mem_strdup(path);
    struct reader r = {.c = out, .p = out->text, .line = 1};
    int rc = strlen(out->text) == n ? 0 : err_set(e, ERR_FORMAT, "%s: holds a NUL byte", path);
    while (rc == 0 && *r.p)
        rc = read_row(&r, e);
    if (rc == 0 && out->n_row == 0)
        rc = err_set(e, ERR_FORMAT, "%s: empty, expected a header", path);
    for (int i = 0; rc == 0 && i < out->n_column; i++)
        for (int j = 0; rc == 0 && j < i; j++)
            if (!strcmp(out->field[i], out->field[j]))
                rc = err_set(e, ERR_FORMAT, "%s:1: column '%s' twice", path, out->field[i]);
    if (rc)
        csv_free(out);
    return rc;
}

int csv_column(const struct csv *c, const char *name)
{
    for (int i = 0; i < c->n_column; i++)
        if (!strcmp(c->field[i], name))
            return i;
    return -1;
}

const char *csv_at(const struct csv *c, int row, int column)
{
    return c->field[(size_t)row * (size_t)c->n_column + (size_t)column];
}

void csv_free(struct csv *c)
{
    mem_free(c->path);
    mem_free(c->text);
    mem_free(c->field);
    mem_free(c->line);
    *c = (struct csv){0};
}
