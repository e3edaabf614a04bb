#include "harness/report/aggregate.h"
#include "harness/experiment/axis.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "harness/base/fs.h"
#include "harness/base/hash.h"
#include "harness/base/lines.h"
#include "harness/base/mem.h"
#include "harness/metric/metric.h"
#include "harness/rows/plan.h"
#include "harness/rows/record.h"
#include "harness/rows/shard.h"

/* Two tables while reading: cells by id, rows by (cell, sample, context, question). */
struct place {
    char *key;
    int at;
    UT_hash_handle hh;
};

struct loader {
    struct aggregate *a;
    const char *path;
    int line, journal; /* number of the one that is read */
    struct place *cells, *rows;
    struct plan *plan; /* which rows belong; NULL: an older version wrote the folder */
    struct place
        *current; /* without a plan: the cells that the manifest names; NULL: it names none, then all rows count */
    struct place *gone;   /* cells of rows that the experiment has no more */
    struct place *builds; /* without a plan: of the rows that count */
    size_t row_cap, cell_cap;
};

static int place_of(struct place **table, const char *key, int next)
{
    struct place *p;
    HASH_FIND_STR(*table, key, p);
    if (!p) {
        p = mem_new(1, sizeof *p);
        p->key = mem_strdup(key);
        p->at = next;
        HASH_ADD_KEYPTR(hh, *table, p->key, strlen(p->key), p);
    }
    return p->at;
}

static void free_places(struct place **table)
{
    struct place *p, *next;
    HASH_ITER(hh, *table, p, next)
    {
        HASH_DEL(*table, p);
        mem_free(p->key);
        mem_free(p);
    }
}

static double number(const struct json *row, const char *key)
{
    return json_number(json_get(row, key), (double)NAN);
}

/* The one place that says which rows of the journal count: those of the experiment as it was last run in this folder.
 */
static int is_left_out(struct loader *l, const struct json *row)
{
    struct place *p = NULL;
    const char *id = json_string(json_get(row, "cell")), *build = json_string(json_get(row, "build"));
    enum plan_verdict v = PLAN_BELONGS;
    if (l->plan) {
        v = plan_judge(l->plan, row);
    } else if (l->current && id) {
        HASH_FIND_STR(l->current, id, p);
        v = p ? PLAN_BELONGS : PLAN_CELL;
    }
    l->a->left_out[v]++;
    if (v == PLAN_CELL && id)
        l->a->n_gone += place_of(&l->gone, id, l->a->n_gone) == l->a->n_gone;
    if (v == PLAN_BELONGS && !l->plan)
        l->a->n_build += place_of(&l->builds, build ? build : "", l->a->n_build) == l->a->n_build;
    return v != PLAN_BELONGS;
}

/* Every field that the aggregation leans on, checked once. */
static int check_row(const struct loader *l, const struct json *v, struct err *e)
{
    static const char *const texts[] = {"cell",   "model",  "task",       "policy",      "prune_after",
                                        "metric", "status", "context_id", "question_id", "prompt_sha256"};
    static const char *const wholes[] = {"schema", "cell_index", "sample"};
    int64_t i;
    if (!json_is_object(v))
        return err_set(e, ERR_FORMAT, "%s:%d: expected a row, found no JSON object", l->path, l->line);
    for (size_t k = 0; k < sizeof wholes / sizeof *wholes; k++)
        if (json_int64(json_get(v, wholes[k]), &i) || i < 0 || i > 1000000000)
            return err_set(e, ERR_FORMAT, "%s:%d: field '%s': expected a whole number, found %s", l->path, l->line,
                           wholes[k], json_get(v, wholes[k]) ? "something else" : "none");
    if (json_int64(json_get(v, "schema"), &i) || i != RECORD_SCHEMA)
        return err_set(e, ERR_FORMAT, "%s:%d: schema %d, expected %d", l->path, l->line, (int)i, RECORD_SCHEMA);
    for (size_t k = 0; k < sizeof texts / sizeof *texts; k++)
        if (!json_string(json_get(v, texts[k])))
            return err_set(e, ERR_FORMAT, "%s:%d: field '%s': expected text, found %s", l->path, l->line, texts[k],
                           json_get(v, texts[k]) ? "something else" : "none");
    for (int m = 0; m < COLUMN_END; m++) {
        const char *name = columns_name((enum column_id)m);
        const struct json *x = json_get(v, name);
        if (columns_is_measure((enum column_id)m) && !json_is_number(x) && !json_is_null(x))
            return err_set(e, ERR_FORMAT, "%s:%d: field '%s': expected a number or null, found %s", l->path, l->line,
                           name, x ? "something else" : "none");
    }
    return 0;
}

int aggregate_extra(struct aggregate *a, const char *name)
{
    int i = 0;
    while (i < a->n_extra && strcmp(a->extra_name[i], name) != 0)
        i++;
    if (i == AGG_MAX_EXTRA)
        return -1;
    if (i == a->n_extra)
        a->extra_name[a->n_extra++] = mem_strdup(name);
    return i;
}

static double layer_mean(const struct json *list)
{
    double sum = 0;
    int n = 0;
    for (const struct json *v = json_is_array(list) ? json_first(list) : NULL; v; v = json_next(v))
        if (json_is_number(v)) {
            sum += json_number(v, 0);
            n++;
        }
    return n ? sum / n : (double)NAN;
}

static int read_extras(const struct loader *l, const struct json *v, struct agg_row *r, struct err *e)
{
    const char *first = json_string(json_get(v, "metric"));
    int at;
    r->extra = mem_new(AGG_MAX_EXTRA, sizeof *r->extra);
    for (int i = 0; i < AGG_MAX_EXTRA; i++)
        r->extra[i] = (double)NAN;
    for (int k = 0; k < COLUMN_END; k++) {
        const struct column *c = columns_at((enum column_id)k);
        if (c->pooled != COLUMN_OVER_LAYERS)
            continue;
        if ((at = aggregate_extra(l->a, c->name)) < 0)
            goto full;
        r->extra[at] = layer_mean(json_get(v, c->name));
    }
    const struct json *metrics = json_get(v, "metrics");
    for (const struct json *m = json_is_object(metrics) ? json_first(metrics) : NULL; m; m = json_next(m)) {
        if (strcmp(json_key(m), first) == 0 || columns_find_measure(json_key(m)) != COLUMN_END)
            continue; /* they are columns of their own */
        if ((at = aggregate_extra(l->a, json_key(m))) < 0)
            goto full;
        r->extra[at] = json_number(m, (double)NAN);
    }
    return 0;
full:
    return err_set(e, ERR_FORMAT, "%s:%d: more than %d different metrics", l->path, l->line, AGG_MAX_EXTRA);
}

static void row_fini(struct agg_row *r)
{
    mem_free(r->context_id);
    mem_free(r->question_id);
    mem_free(r->reason);
    mem_free(r->extra);
}

/* How the row came to its end. */
static void take_end(const struct json *v, struct agg_row *r)
{
    const char *reason = json_string(json_get(v, columns_name(COLUMN_REASON)));
    const char *finish = json_string(json_get(v, columns_name(COLUMN_FINISH_REASON)));
    const struct json *metrics = json_get(v, columns_name(COLUMN_METRICS));
    if (!r->ok) {
        r->reason = mem_strdup(reason ? reason : "");
        return;
    }
    for (const struct json *m = json_is_object(metrics) ? json_first(metrics) : NULL; m; m = json_next(m)) {
        const struct metric_ops *ops = metric_find(json_key(m));
        r->is_read |= ops && ops->score; /* likelihoods don't care how long the output is */
    }
    r->is_cut_off = finish && strcmp(finish, "length") == 0;
    r->protection_cut = json_bool(json_get(v, columns_name(COLUMN_PROTECTION_CUT)), 0);
}

/* 1 when all that two runs have in common is the same. */
static int same_values(const struct agg_row *x, const struct agg_row *y)
{
    for (int m = 0; m < COLUMN_END; m++) {
        const struct column *c = columns_at((enum column_id)m);
        double a = x->value[m], b = y->value[m];
        if (c->kind != COLUMN_TIME && m != COLUMN_GROUP_CELLS && a != b && (isfinite(a) || isfinite(b)))
            return 0;
    }
    return 1;
}

static int add_row(struct loader *l, struct json *v, struct err *e)
{
    struct aggregate *a = l->a;
    struct agg_row r = {0};
    struct str key = {0};
    if (json_is_object(v) && is_left_out(l, v)) {
        json_free(v);
        return 0;
    }
    if (check_row(l, v, e) || read_extras(l, v, &r, e)) {
        row_fini(&r);
        json_free(v);
        return -1;
    }
    r.ok = strcmp(json_string(json_get(v, "status")), "ok") == 0;
    r.skipped = strcmp(json_string(json_get(v, "status")), "skipped") == 0;
    take_end(v, &r);
    r.sample = (int64_t)number(v, "sample");
    r.context_id = mem_strdup(json_string(json_get(v, "context_id")));
    r.question_id = mem_strdup(json_string(json_get(v, "question_id")));
    r.cluster = (int64_t)(hash_fnv1a(r.context_id, strlen(r.context_id)) >> 1);
    strncpy(r.prompt_sha256, json_string(json_get(v, "prompt_sha256")), sizeof r.prompt_sha256 - 1);
    if (json_string(json_get(v, "key")))
        strncpy(r.key, json_string(json_get(v, "key")), sizeof r.key - 1);
    if (json_string(json_get(v, "data")))
        strncpy(r.data, json_string(json_get(v, "data")), sizeof r.data - 1);
    for (int m = 0; m < COLUMN_END; m++) {
        const struct column *c = columns_at((enum column_id)m);
        int is_read = r.ok && (c->pooled == COLUMN_MEAN || c->pooled == COLUMN_INTERVALS);
        r.value[m] = is_read ? number(v, c->name) : (double)NAN;
    }
    for (int i = 0; i < AGG_MAX_EXTRA && !r.ok; i++)
        r.extra[i] = (double)NAN;
    const char *id = json_string(json_get(v, "cell"));
    r.cell = place_of(&l->cells, id, a->n_cell);
    if (r.cell == a->n_cell) {
        mem_grow(&a->cell, &l->cell_cap, (size_t)a->n_cell + 1, sizeof *a->cell);
        a->cell[a->n_cell++] = (struct agg_cell){.seeds = 1, .baseline = -1};
    }
    str_addf(&key, "%s %lld %zu %s%s", id, (long long)r.sample, strlen(r.context_id), r.context_id, r.question_id);
    int at = place_of(&l->rows, key.p, a->n_row);
    str_free(&key);
    r.journal = l->journal;
    if (at < a->n_row && l->plan && a->row[at].journal != r.journal) { /* two parts computed it */
        int differs = r.ok && a->row[at].ok && !same_values(&r, &a->row[at]);
        if (differs || (!r.ok && !r.skipped)) { /* a failure replaces nothing */
            row_fini(&r);
            json_free(v);
            return !differs ? 0
                            : err_set(e, ERR_FORMAT,
                                      "%s:%d: another journal of this folder has other numbers for the same cell, "
                                      "sample and question; depthkv merge names both places",
                                      l->path, l->line);
        }
    }
    if (at == a->n_row) {
        mem_grow(&a->row, &l->row_cap, (size_t)a->n_row + 1, sizeof *a->row);
        a->n_row++;
    } else {
        row_fini(&a->row[at]); /* computed again: the later row counts */
        a->n_replaced += !l->plan;
    }
    a->row[at] = r;
    struct agg_cell *c = &a->cell[r.cell];
    if (c->axes && !r.ok) { /* a failed row knows its axes, but not what was kept */
        json_free(v);
        return 0;
    }
    json_free(c->axes);
    json_overwrite(v, "max_new_tokens",
                   "cell_max_new_tokens"); /* of a record that says its own: the cell's is the axis */
    c->axes = v;
    c->id = json_string(json_get(v, "cell"));
    c->order = l->plan ? plan_order(l->plan, c->id) : (int)number(v, "cell_index");
    return 0;
}

static int read_journal(struct loader *l, struct err *e)
{
    struct lines *lines = lines_open(l->path, e);
    const char *text;
    size_t n;
    int more = lines ? 0 : -1;
    while (lines && (more = lines_next(lines, &text, &n, e)) > 0) {
        if (!lines_is_whole(lines))
            break; /* torn: a run that is still going, or was killed */
        l->line = lines_number(lines);
        struct json *v = json_parse(l->path, text, n, NULL);
        if (!v)
            more = err_set(e, ERR_FORMAT, "%s:%d: not valid JSON", l->path, l->line);
        else if (add_row(l, v, e))
            more = -1;
        if (more < 0)
            break;
    }
    lines_close(lines);
    return more < 0 ? -1 : 0;
}

/* rows.jsonl and, of parts that are not merged yet, their journals. */
static int read_rows(struct loader *l, const char *dir, struct err *e)
{
    struct shard_journals all;
    char *rows = NULL;
    int rc = shard_journals_find(dir, &all, e);
    if (rc == 0 && !all.n) { /* which says that there is none */
        l->path = rows = fs_join(dir, "rows.jsonl");
        rc = read_journal(l, e);
    }
    for (l->journal = 0; l->journal < all.n && rc == 0; l->journal++) {
        l->path = all.path[l->journal];
        rc = read_journal(l, e);
    }
    shard_journals_free(&all);
    mem_free(rows);
    return rc;
}

static int is_of_line(const struct axis *a)
{
    return a->shown != AXIS_SHOWN_POOLED;
}

static int is_of_study(const struct axis *a)
{
    return is_of_line(a) && strcmp(a->key, "layer_budget") != 0;
}

static int is_of_group(const struct axis *a)
{
    return a->splits != 0;
}

static int is_none(const struct axis *a)
{
    (void)a;
    return 0;
}

static int by_order(const void *x, const void *y)
{
    const struct agg_cell *a = x, *b = y;
    return a->order != b->order ? (a->order > b->order) - (a->order < b->order) : strcmp(a->id, b->id);
}

static int by_place(const void *x, const void *y)
{
    const struct agg_row *a = x, *b = y;
    if (a->cell != b->cell)
        return a->cell - b->cell;
    if (a->sample != b->sample)
        return (a->sample > b->sample) - (a->sample < b->sample);
    int d = strcmp(a->question_id, b->question_id);
    return d ? d : strcmp(a->context_id, b->context_id);
}

static int by_text(const void *x, const void *y)
{
    return strcmp(*(char *const *)x, *(char *const *)y);
}

/* Further metrics in the order of their names, whichever row brought them first. */
static void sort_extras(struct aggregate *a)
{
    char *old[AGG_MAX_EXTRA];
    double moved[AGG_MAX_EXTRA];
    int to[AGG_MAX_EXTRA];
    memcpy(old, a->extra_name, sizeof old);
    qsort(a->extra_name, (size_t)a->n_extra, sizeof *a->extra_name, by_text);
    for (int i = 0; i < a->n_extra; i++)
        for (int k = 0; k < a->n_extra; k++)
            if (old[i] == a->extra_name[k])
                to[i] = k;
    for (int r = 0; r < a->n_row; r++) {
        for (int i = 0; i < a->n_extra; i++)
            moved[to[i]] = a->row[r].extra[i];
        memcpy(a->row[r].extra, moved, (size_t)a->n_extra * sizeof *moved);
    }
}

/* Cells into the experiment's order and rows behind them: nothing below depends on the order of the journal. */
static void put_in_order(struct aggregate *a)
{
    static const char *const task[] = {"model", "task", "task_params", "length", NULL};
    static const char *const study[] = {"model", "task", "task_params", "length", "template", "seed", NULL};
    static const char *const line[] = {"model", "task", "task_params", "length", "template", "seed", "metric", NULL};
    int *moved = mem_new((size_t)a->n_cell + 1, sizeof *moved);
    for (int c = 0; c < a->n_cell; c++)
        a->cell[c].first = c; /* its number so far */
    if (a->n_cell)
        qsort(a->cell, (size_t)a->n_cell, sizeof *a->cell, by_order);
    for (int c = 0; c < a->n_cell; c++) {
        moved[a->cell[c].first] = c;
        a->cell[c].task_key = aggregate_axes_join(&a->cell[c], task, is_none);
        a->cell[c].line_key = aggregate_axes_join(&a->cell[c], line, is_of_line);
        const struct json *budget = json_get(a->cell[c].axes, "layer_budget");
        a->cell[c].layer_budget = json_is_object(budget) ? json_first(budget) : NULL;
        a->cell[c].study_key = aggregate_axes_join(&a->cell[c], study, is_of_study);
    }
    for (int i = 0; i < a->n_row; i++)
        a->row[i].cell = moved[a->row[i].cell];
    if (a->n_row)
        qsort(a->row, (size_t)a->n_row, sizeof *a->row, by_place);
    for (int i = a->n_row; i-- > 0;) {
        a->cell[a->row[i].cell].first = i;
        a->cell[a->row[i].cell].n_row++;
    }
    mem_free(moved);
}

static void find_baselines(struct aggregate *a)
{
    static const char *const keys[] = {"template", "seed", NULL};
    struct place *full = NULL, *p;
    for (int pass = 0; pass < 2; pass++)
        for (int c = 0; c < a->n_cell; c++) {
            int is_full = strcmp(aggregate_text(&a->cell[c], "policy"), "full") == 0;
            char *rest = aggregate_axes_join(&a->cell[c], keys, is_of_group);
            struct str key = {0};
            str_addf(&key, "%s%s", a->cell[c].task_key, rest);
            if (pass == 0 && is_full) {
                place_of(&full, key.p, c);
            } else if (pass == 1 && !is_full) {
                HASH_FIND_STR(full, key.p, p);
                a->cell[c].baseline = p ? p->at : -1;
            }
            str_free(&key);
            mem_free(rest);
        }
    free_places(&full);
}

/* What the experiment has chosen instead, from the manifest of the run. */
static void read_baselines(struct aggregate *a, const struct json *manifest)
{
    struct place *ids = NULL, *p;
    const char *baseline = json_string(json_get(manifest, "baseline"));
    const struct json *of = json_get(manifest, "baselines");
    if (baseline && strcmp(baseline, "{policy: full}") != 0)
        a->baseline = mem_strdup(baseline);
    for (int c = 0; c < a->n_cell && a->baseline; c++)
        place_of(&ids, a->cell[c].id, c);
    for (int c = 0; c < a->n_cell && a->baseline; c++) {
        const struct json *v = json_get(of, a->cell[c].id);
        p = NULL;
        if (json_string(v))
            HASH_FIND_STR(ids, json_string(v), p);
        a->cell[c].baseline = p ? p->at : -1;
    }
    free_places(&ids);
}

/* Its manifest, which may be missing; the caller frees *root. */
static int read_manifest(struct loader *l, const char *dir, struct json **root, struct err *e)
{
    size_t n = 0;
    char *path = fs_join(dir, "manifest.json"), *text = fs_exists(path) ? fs_read(path, &n, e) : NULL;
    int rc = fs_exists(path) && !text ? -1 : 0;
    *root = text ? json_parse(path, text, n, e) : NULL;
    if (text && !*root)
        rc = -1;
    const struct json *of = json_get(*root, "baselines");
    int k = 0;
    l->a->unlisted = *root && !l->plan;
    for (const struct json *m = json_is_object(of) ? json_first(of) : NULL; m; m = json_next(m))
        place_of(&l->current, json_key(m), k++);
    mem_free(text);
    mem_free(path);
    return rc;
}

const struct agg_row *aggregate_partner(const struct aggregate *a, int cell, const struct agg_row *r)
{
    struct agg_row like = *r;
    if (cell < 0)
        return NULL;
    like.cell = cell;
    return bsearch(&like, a->row + a->cell[cell].first, (size_t)a->cell[cell].n_row, sizeof like, by_place);
}

/* Of what has no interval: budgets, bytes, times. */
static struct stats_summary plain_mean(const double *x, int n)
{
    const double none = (double)NAN;
    double sum = 0;
    int count = 0;
    for (int i = 0; i < n; i++)
        if (!isnan(x[i])) {
            sum += x[i];
            count++;
        }
    return (struct stats_summary){count, count, count ? sum / count : none, none, none, none};
}

void aggregate_summarise(const struct aggregate *a, const int *cell, int n_cell, struct agg_cell *out)
{
    int n = 0, total = 0;
    out->n_ok = out->n_failed = out->n_skipped = 0;
    for (int k = 0; k < n_cell; k++)
        total += a->cell[cell[k]].n_row;
    const struct agg_row **row = mem_new((size_t)total + 1, sizeof *row);
    double *x = mem_new((size_t)total + 1, sizeof *x), *y = mem_new((size_t)total + 1, sizeof *y);
    int64_t *cluster = mem_new((size_t)total + 1, sizeof *cluster);
    for (int k = 0; k < n_cell; k++)
        for (int i = 0; i < a->cell[cell[k]].n_row; i++) {
            const struct agg_row *r = &a->row[a->cell[cell[k]].first + i];
            out->n_ok += r->ok;
            out->n_failed += !r->ok && !r->skipped;
            out->n_skipped += r->skipped;
            cluster[n] = r->cluster;
            row[n++] = r;
        }
    for (int m = 0; m < COLUMN_END; m++) {
        if (!columns_is_measure((enum column_id)m)) {
            for (int i = 0; i < n; i++)
                x[i] = row[i]->value[m];
            out->summary[m] = plain_mean(x, n);
            continue;
        }
        for (int i = 0; i < n; i++) {
            const struct agg_row *b = aggregate_partner(a, a->cell[row[i]->cell].baseline, row[i]);
            x[i] = row[i]->value[m];
            y[i] = b ? b->value[m] : (double)NAN;
        }
        const struct stats_range *range = n ? aggregate_range(&a->cell[row[0]->cell], (enum column_id)m) : NULL;
        out->summary[m] = stats_mean_clustered(x, cluster, n, range);
        if (out->baseline >= 0)
            out->diff[m] = stats_paired_clustered(x, y, cluster, n, range);
    }
    out->extra = mem_new(AGG_MAX_EXTRA, sizeof *out->extra);
    for (int m = 0; m < a->n_extra; m++) {
        for (int i = 0; i < n; i++)
            x[i] = row[i]->extra[m];
        out->extra[m] = stats_mean_clustered(x, cluster, n, aggregate_range_of_column(a->extra_name[m]));
    }
    aggregate_range_identities(a, out);
    mem_free(row);
    mem_free(x);
    mem_free(y);
    mem_free(cluster);
}

static void pool(struct aggregate *a)
{
    struct place *lines = NULL;
    int *line = mem_new((size_t)a->n_cell + 1, sizeof *line), *member = mem_new((size_t)a->n_cell + 1, sizeof *member);
    a->line = mem_new((size_t)a->n_cell + 1, sizeof *a->line);
    for (int c = 0; c < a->n_cell; c++) {
        line[c] = place_of(&lines, a->cell[c].line_key, a->n_line);
        if (line[c] < a->n_line) {
            a->line[line[c]].seeds++;
            continue;
        }
        a->line[a->n_line] = a->cell[c];
        a->line[a->n_line++].extra = NULL;
    }
    for (int l = 0; l < a->n_line; l++) {
        int n = 0;
        for (int c = 0; c < a->n_cell && n < a->line[l].seeds; c++)
            if (line[c] == l)
                member[n++] = c;
        if (n == 1) { /* the cell itself: no need to resample again */
            a->line[l].extra = mem_new(AGG_MAX_EXTRA, sizeof *a->line[l].extra);
            memcpy(a->line[l].extra, a->cell[member[0]].extra, AGG_MAX_EXTRA * sizeof *a->line[l].extra);
            continue;
        }
        aggregate_summarise(a, member, n, &a->line[l]);
    }
    mem_free(line);
    mem_free(member);
    free_places(&lines);
}

int aggregate_load(const char *dir, struct aggregate *a, struct err *e)
{
    int rc = -1;
    *a = (struct aggregate){0};
    struct loader l = {.a = a};
    struct json *manifest = NULL;
    if (plan_read(dir, &l.plan, e) || read_manifest(&l, dir, &manifest, e) || read_rows(&l, dir, e))
        goto out;
    put_in_order(a);
    find_baselines(a);
    read_baselines(a, manifest);
    if (aggregate_kept(a, dir, e))
        goto out;
    sort_extras(a);
    for (int c = 0; c < a->n_cell; c++)
        aggregate_summarise(a, &c, 1, &a->cell[c]);
    pool(a);
    rc = 0;
out:
    free_places(&l.cells);
    free_places(&l.rows);
    free_places(&l.current);
    free_places(&l.gone);
    free_places(&l.builds);
    plan_destroy(l.plan);
    json_free(manifest);
    if (rc)
        aggregate_free(a);
    return rc;
}

void aggregate_free(struct aggregate *a)
{
    for (int i = 0; i < a->n_row; i++)
        row_fini(&a->row[i]);
    for (int c = 0; c < a->n_cell; c++) {
        json_free(a->cell[c].axes);
        mem_free(a->cell[c].task_key);
        mem_free(a->cell[c].line_key);
        mem_free(a->cell[c].study_key);
        mem_free(a->cell[c].extra);
    }
    for (int l = 0; l < a->n_line; l++)
        mem_free(a->line[l].extra);
    for (int i = 0; i < a->n_extra; i++)
        mem_free(a->extra_name[i]);
    mem_free(a->baseline);
    mem_free(a->row);
    mem_free(a->cell);
    mem_free(a->line);
    *a = (struct aggregate){0};
}
