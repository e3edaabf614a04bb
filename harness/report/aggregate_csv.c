/* cells.csv, and the axes of a cell as people read them. results/README.md documents the columns. */
#include <math.h>
#include <string.h>

#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/experiment/axes.h"
#include "harness/report/aggregate.h"
#include "harness/report/cell_columns.h"

double aggregate_mean(const struct agg_cell *c, enum column_id column)
{
    return c->summary[column].mean;
}

const char *aggregate_text(const struct agg_cell *c, const char *key)
{
    const char *t = json_string(json_get(c->axes, key));
    return t ? t : "";
}

int aggregate_single(const struct agg_cell *c, int *layer)
{
    int64_t l;
    if (json_int64(json_get(json_get(json_get(c->axes, "layer_budget"), "single"), "layer"), &l))
        return 0;
    *layer = (int)l;
    return 1;
}

static void add_value(const struct json *v, struct str *out)
{
    if (json_is_string(v)) {
        str_add(out, json_string(v));
    } else if (json_is_object(v)) {
        for (const struct json *m = json_first(v); m; m = json_next(m)) {
            str_addf(out, "%s%s%s", m == json_first(v) ? "" : " ", json_key(m), json_is_object(m) ? " " : "=");
            add_value(m, out);
        }
    } else {
        char *p = json_print(v);
        str_add(out, p);
        mem_free(p);
    }
}

void aggregate_axis(const struct agg_cell *c, const char *key, struct str *out)
{
    const struct json *v = json_get(c->axes, key);
    if (v && !json_is_null(v))
        add_value(v, out);
}

int aggregate_shuffled(const struct agg_cell *c, struct str *out)
{
    const struct json *budget = json_get(c->axes, "layer_budget"),
                      *params = json_is_object(budget) ? json_first(budget) : NULL;
    int64_t seed;
    if (!json_is_object(params) || json_int64(json_get(params, "shuffle"), &seed) || seed == 0)
        return 0;
    if (out)
        str_add(out, json_key(params));
    for (const struct json *p = json_first(params); p && out; p = json_next(p))
        if (strcmp(json_key(p), "shuffle") != 0) {
            str_addf(out, " %s=", json_key(p));
            add_value(p, out);
        }
    return 1;
}

char *aggregate_form(const struct agg_cell *c)
{
    struct str s = {0};
    const struct json *params = json_get(c->axes, "task_params");
    for (const struct json *p = json_is_object(params) ? json_first(params) : NULL; p; p = json_next(p)) {
        char *v = json_print(p);
        if (strcmp(json_key(p), "depth") != 0 && strcmp(json_key(p), "length") != 0)
            str_addf(&s, "%s %s\n", json_key(p), v);
        mem_free(v);
    }
    return s.n ? str_take(&s) : mem_strdup("");
}

void aggregate_policy_label(const struct aggregate *a, const struct agg_cell *c, struct str *out)
{
    const char *policy = aggregate_text(c, "policy");
    const struct json *params = json_get(c->axes, "params");
    str_add(out, policy);
    for (const struct json *p = json_is_object(params) ? json_first(params) : NULL; p; p = json_next(p)) {
        int differs = 0;
        for (int i = 0; i < a->n_line && !differs; i++)
            differs = !strcmp(a->line[i].task_key, c->task_key) &&
                      !strcmp(aggregate_text(&a->line[i], "policy"), policy) &&
                      !json_same(json_get(json_get(a->line[i].axes, "params"), json_key(p)), p);
        if (differs) {
            str_addf(out, " %s=", json_key(p));
            add_value(p, out);
        }
    }
}

void aggregate_csv_axis(const struct agg_cell *c, const char *key, struct quote *out)
{
    const struct json *v = json_get(c->axes, key);
    char *printed = json_is_string(v) || json_is_number(v) || json_is_null(v) ? NULL : json_print(v);
    if (json_is_string(v))
        quote_add(out, "%s", json_string(v));
    else if (json_is_number(v))
        quote_add_number(out, json_number(v, 0));
    else if (v && printed)
        quote_add(out, "%s", printed);
    mem_free(printed);
}

/* Which samples a cell's rows are of, "0..3 7". */
static void add_samples(const struct aggregate *a, const struct agg_cell *c, struct str *samples)
{
    enum { MAX_RANGE = 16 };
    const struct agg_row *row = a->row + c->first;
    int ranges = 0;
    for (int i = 0, end; i < c->n_row; i = end) {
        for (end = i + 1; end < c->n_row && row[end].sample <= row[end - 1].sample + 1; end++)
            ;
        if (ranges++ < MAX_RANGE)
            str_addf(samples, "%s%lld", i ? " " : "", (long long)row[i].sample);
        if (ranges <= MAX_RANGE && row[end - 1].sample > row[i].sample)
            str_addf(samples, "..%lld", (long long)row[end - 1].sample);
    }
    str_add(samples, ranges > MAX_RANGE ? " ..." : "");
}

/* One hash of their questions in that order, failed ones too: what two cells must have in common before one of them can
 * be better. Nothing where rows don't say theirs. */
static void add_data(const struct aggregate *a, const struct agg_cell *c, struct str *data)
{
    const struct agg_row *row = a->row + c->first;
    struct hash_sha256_ctx *h = hash_sha256_create();
    char hex[HASH_HEX];
    int known = c->n_row > 0;
    for (int i = 0; i < c->n_row; i++) {
        known = known && row[i].data[0];
        hash_sha256_update(h, &row[i].sample, sizeof row[i].sample);
        hash_sha256_update(h, row[i].question_id, strlen(row[i].question_id) + 1);
        hash_sha256_update(h, row[i].data, strlen(row[i].data) + 1);
    }
    hash_sha256_finish(h, hex);
    if (known)
        str_addn(data, hex, 16);
}

/* What the table calls a cell's own. */
static void csv_own(const struct aggregate *a, const struct agg_cell *c, enum column_id id, struct quote *out)
{
    struct str text = {0};
    if (id == COLUMN_BASELINE)
        str_add(&text, c->baseline >= 0 ? a->cell[c->baseline].id : "");
    else if (id == COLUMN_SAMPLES)
        add_samples(a, c, &text);
    else if (id == COLUMN_DATA)
        add_data(a, c, &text);
    else if (id == COLUMN_ROWS)
        str_addf(&text, "%d", c->n_ok);
    else if (id == COLUMN_FAILED)
        str_addf(&text, "%d", c->n_failed);
    quote_add_word(out, str_c(&text));
    str_free(&text);
}

/* The parts of a measure or metric; their names in the header, where there is no cell. */
static void csv_parts(const char *name, const struct agg_cell *c, const struct stats_summary *s,
                      const struct stats_paired *d, int has_diff, struct quote *out)
{
    for (int p = 0; p < CELL_COLUMNS_N_PART; p++) {
        if (cell_columns_part[p].is_paired && !has_diff)
            continue;
        quote_add(out, ",");
        if (c) {
            quote_add_number(out, cell_columns_part_of(&cell_columns_part[p], s, d));
            continue;
        }
        struct str head = {0};
        str_addf(&head, "%s%s", name, cell_columns_part[p].ending);
        quote_add_word(out, head.p);
        str_free(&head);
    }
}

/* One column of the table; its name in the header, where there is no cell. */
static void csv_column_of(const struct aggregate *a, const struct agg_cell *c, enum column_id id, struct quote *out)
{
    const struct column *column = columns_at(id);
    if (column->pooled == COLUMN_INTERVALS) {
        csv_parts(column->name, c, c ? &c->summary[id] : NULL, c ? &c->diff[id] : NULL, 1, out);
    } else if (column->pooled == COLUMN_BY_CELL || column->pooled == COLUMN_MEAN) {
        quote_add(out, ",");
        if (!c)
            quote_add_word(out, column->name);
        else if (column->pooled == COLUMN_MEAN)
            quote_add_number(out, aggregate_mean(c, id));
        else
            csv_own(a, c, id, out);
    }
}

/* Everything behind the axes: the table's columns, then further metrics, then times. */
static void csv_values(const struct aggregate *a, const struct agg_cell *c, struct quote *out)
{
    for (int times = 0; times < 2; times++) {
        for (int i = 0; i < COLUMN_END; i++)
            if ((columns_at((enum column_id)i)->kind == COLUMN_TIME) == times)
                csv_column_of(a, c, (enum column_id)i, out);
        for (int i = 0; i < a->n_extra && !times; i++)
            csv_parts(a->extra_name[i], c, c ? &c->extra[i] : NULL, NULL, 0, out);
    }
    quote_add(out, "\n");
}

/* What a cell is: the columns before those of what it came to. */
static int csv_axes(const char *key[AXES_MOST + 8])
{
    static const char *const before[] = {"cell", "model", "task", "length", "task_params", "template", "seed"};
    int n = 0;
    for (size_t k = 0; k < sizeof before / sizeof *before; k++)
        key[n++] = before[k];
    for (int i = 0; i < axes_count(); i++)
        key[n++] = axes_at(i)->key;
    key[n++] = "metric";
    return n;
}

void aggregate_csv(const struct aggregate *a, struct quote *out)
{
    const char *axes[AXES_MOST + 8];
    int n_axes = csv_axes(axes);
    for (int k = 0; k < n_axes; k++) {
        if (k)
            quote_add(out, ",");
        quote_add_word(out, axes[k]);
    }
    csv_values(a, NULL, out);
    for (int c = 0; c < a->n_cell; c++) {
        for (int k = 0; k < n_axes; k++) {
            if (k)
                quote_add(out, ",");
            aggregate_csv_axis(&a->cell[c], axes[k], out);
        }
        csv_values(a, &a->cell[c], out);
    }
}
