#include "harness/experiment/published.h"

#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"

const char *published_text(const struct conf *map, const char *key, const char *dflt)
{
    const struct conf *c = conf_get(map, key);
    return c && c->kind == CONF_SCALAR ? c->text : dflt;
}

int published_in_table(const struct published *p, int r)
{
    return strcmp(csv_at(&p->file, r, p->table), published_text(p->c, "table", "")) == 0;
}

int published_open(struct published *p, const struct conf *c, const char *dir, struct err *e)
{
    static const char *const names[] = {"table", "row", "column", "value"};
    int *const at[] = {&p->table, &p->row, &p->column, &p->value};
    *p = (struct published){.c = c, .rows = conf_get(c, "rows"), .columns = conf_get(c, "columns")};
    char *path = fs_join(dir, published_text(c, "file", ""));
    int rc = csv_read(path, &p->file, e);
    for (int k = 0; k < 4 && !rc; k++) {
        *at[k] = csv_column(&p->file, names[k]);
        if (*at[k] < 0)
            rc = err_set(e, ERR_FORMAT, "%s: no column '%s'", path, names[k]);
    }
    mem_free(path);
    return rc;
}

/* Every key of rows or columns is one of the table. */
static int check_names(const struct published *p, const struct conf *map, int column, const char *what, struct err *e)
{
    for (int i = 0; map && i < map->n; i++) {
        int found = 0;
        for (int r = 1; r < p->file.n_row && !found; r++)
            found = published_in_table(p, r) && strcmp(csv_at(&p->file, r, column), map->key[i]) == 0;
        if (!found)
            return err_set(e, ERR_CONFIG, "%s:%d: beside: table %s of %s has no %s '%s'", map->file, map->key_line[i],
                           published_text(p->c, "table", ""), p->file.path, what, map->key[i]);
        const char *statistic = published_text(map->item[i], "statistic", "mean");
        if (strcmp(statistic, "mean") != 0 && strcmp(statistic, "z") != 0 && strcmp(statistic, "pearson") != 0)
            return err_set(e, ERR_CONFIG, "%s:%d: beside: statistic '%s' unknown; mean, z and pearson are known",
                           map->file, map->key_line[i], statistic);
        if (map->item[i]->kind != CONF_MAP)
            return err_set(e, ERR_CONFIG, "%s:%d: beside: %s '%s': expected a map of columns and patterns", map->file,
                           map->key_line[i], what, map->key[i]);
    }
    return 0;
}

int published_check(const struct conf *c, const char *dir, struct err *e)
{
    static const char *const known[] = {"file", "table", "from", "value", "scale", "rows", "columns"};
    enum { N_KNOWN = sizeof known / sizeof *known };
    struct published p = {0};
    int found = 0;
    if (c->kind != CONF_MAP)
        return err_set(e, ERR_CONFIG, "%s:%d: beside: expected a map", c->file, c->line);
    for (int i = 0; i < c->n; i++) {
        int ok = 0;
        for (int k = 0; k < N_KNOWN; k++)
            ok |= strcmp(c->key[i], known[k]) == 0;
        if (!ok)
            return err_set(e, ERR_CONFIG, "%s:%d: beside: key '%s' unknown%s", c->file, c->key_line[i], c->key[i],
                           str_did_you_mean(c->key[i], known, N_KNOWN));
        if ((c->item[i]->kind == CONF_MAP) != (strcmp(c->key[i], "rows") == 0 || strcmp(c->key[i], "columns") == 0))
            return err_set(e, ERR_CONFIG, "%s:%d: beside: %s: expected %s", c->file, c->key_line[i], c->key[i],
                           c->item[i]->kind == CONF_MAP ? "one value" : "a map");
    }
    for (int k = 0; k < 2; k++)
        if (!conf_get(c, known[k]))
            return err_set(e, ERR_CONFIG, "%s:%d: beside: %s is missing", c->file, c->line, known[k]);
    int rc = published_open(&p, c, dir, e);
    for (int r = 1; r < p.file.n_row && !rc; r++)
        found |= published_in_table(&p, r);
    if (!rc && !found)
        rc = err_set(e, ERR_CONFIG, "%s:%d: beside: %s has no table '%s'", c->file, c->line, p.file.path,
                     published_text(c, "table", ""));
    rc = rc || check_names(&p, p.rows, p.row, "row", e) || check_names(&p, p.columns, p.column, "column", e);
    csv_free(&p.file);
    return rc ? -1 : 0;
}
