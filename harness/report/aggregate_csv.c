/* cells.csv, and the axes of a cell as people read them. results/README.md documents the columns. */
#include <math.h>
#include <string.h>

#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/report/aggregate.h"

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

static void csv_axis(const struct json *v, struct quote *out)
{
    char *printed = json_is_string(v) || json_is_number(v) || json_is_null(v) ? NULL : json_print(v);
    if (json_is_string(v))
        quote_add(out, "%s", json_string(v));
    else if (json_is_number(v))
        quote_add_number(out, json_number(v, 0));
    else if (v && printed)
        quote_add(out, "%s", printed);
    mem_free(printed);
}

static void csv_number(double x, struct quote *out)
{
    quote_add(out, ",");
    quote_add_number(out, x);
}

static void csv_summary(const struct stats_summary *s, struct quote *out)
{
    csv_number(s->mean, out);
    csv_number(s->se, out);
    csv_number(s->lo, out);
    csv_number(s->hi, out);
}

static void csv_paired(const struct stats_paired *d, struct quote *out)
{
    const double none = (double)NAN;
    csv_number(d->n ? d->diff : none, out);
    csv_number(d->n ? d->se : none, out);
    csv_number(d->n ? d->lo : none, out);
    csv_number(d->n ? d->hi : none, out);
    csv_number(d->n ? d->p : none, out);
}

/* Which samples a cell's rows are of, "0..3 7", and one hash of their questions in that order, failed ones too: what
 * two cells must have in common before one of them can be better. Without the hash where rows don't say theirs. */
static void csv_data(const struct aggregate *a, const struct agg_cell *c, struct quote *out)
{
    enum { MAX_RANGE = 16 };
    const struct agg_row *row = a->row + c->first;
    struct hash_sha256_ctx *h = hash_sha256_create();
    char hex[HASH_HEX];
    struct str samples = {0};
    int known = c->n_row > 0, ranges = 0;
    for (int i = 0, end; i < c->n_row; i = end) {
        for (end = i + 1; end < c->n_row && row[end].sample <= row[end - 1].sample + 1; end++)
            ;
        if (ranges++ < MAX_RANGE)
            str_addf(&samples, "%s%lld", i ? " " : "", (long long)row[i].sample);
        if (ranges <= MAX_RANGE && row[end - 1].sample > row[i].sample)
            str_addf(&samples, "..%lld", (long long)row[end - 1].sample);
    }
    for (int i = 0; i < c->n_row; i++) {
        known = known && row[i].data[0];
        hash_sha256_update(h, &row[i].sample, sizeof row[i].sample);
        hash_sha256_update(h, row[i].question_id, strlen(row[i].question_id) + 1);
        hash_sha256_update(h, row[i].data, strlen(row[i].data) + 1);
    }
    hash_sha256_finish(h, hex);
    str_add(&samples, ranges > MAX_RANGE ? " ..." : "");
    hex[16] = '\0';
    quote_add(out, ",");
    quote_add_word(out, str_c(&samples));
    quote_add(out, ",");
    quote_add_word(out, known ? hex : "");
    str_free(&samples);
}

/* Of a summary, then of a paired difference. */
static const char *const endings[] = {"", "_se", "_lo", "_hi", "_diff", "_diff_se", "_diff_lo", "_diff_hi", "_diff_p"};
enum { N_SUMMARY = 4 };

static void add_heads(const char *name, size_t n, struct quote *out)
{
    for (size_t i = 0; i < n; i++) {
        struct str head = {0};
        str_addf(&head, "%s%s", name, endings[i]);
        quote_add(out, ",");
        quote_add_word(out, head.p);
        str_free(&head);
    }
}

void aggregate_csv(const struct aggregate *a, struct quote *out)
{
    static const char *const axes[] = {
        "cell",    "model",  "task",      "length",       "task_params",  "template",       "seed",
        "policy",  "params", "budget",    "layer_budget", "head_budget",  "protect",        "prune_after",
        "prefill", "decode", "positions", "policy_seed",  "weight_dtype", "max_new_tokens", "metric"};
    enum { N_AXES = sizeof axes / sizeof *axes };
    for (int k = 0; k < N_AXES; k++) {
        if (k)
            quote_add(out, ",");
        quote_add_word(out, axes[k]);
    }
    quote_add(out, ",baseline,samples,data,n,n_failed,keep,keep_tokens,keep_bytes,level,cache_bytes,cache_bytes_bf16,"
                   "cache_bytes_end");
    for (int m = 0; m < AGG_N_MEASURE; m++) {
        const char *name = aggregate_measure_names[m];
        add_heads(name, sizeof endings / sizeof *endings, out);
    }
    for (int i = 0; i < a->n_extra; i++) {
        const char *name = a->extra_name[i];
        add_heads(name, N_SUMMARY, out);
    }
    quote_add(out, ",prefill_s,decode_s\n");
    for (int c = 0; c < a->n_cell; c++) {
        const struct agg_cell *cell = &a->cell[c];
        for (int k = 0; k < N_AXES; k++) {
            if (k)
                quote_add(out, ",");
            csv_axis(json_get(cell->axes, axes[k]), out);
        }
        quote_add(out, ",");
        quote_add_word(out, cell->baseline >= 0 ? a->cell[cell->baseline].id : "");
        csv_data(a, cell, out);
        quote_add(out, ",%d,%d", cell->n_ok, cell->n_failed);
        const double means[] = {cell->keep,  cell->tokens,     cell->keep_bytes, cell->level,
                                cell->bytes, cell->bytes_bf16, cell->bytes_end};
        for (size_t k = 0; k < sizeof means / sizeof *means; k++)
            csv_number(means[k], out);
        for (int m = 0; m < AGG_N_MEASURE; m++) {
            csv_summary(&cell->summary[m], out);
            csv_paired(&cell->diff[m], out);
        }
        for (int i = 0; i < a->n_extra; i++)
            csv_summary(&cell->extra[i], out);
        csv_number(cell->prefill_s, out);
        csv_number(cell->decode_s, out);
        quote_add(out, "\n");
    }
}

void aggregate_tell(const struct aggregate *a, struct str *out)
{
    plan_tell(a->left_out, a->n_gone, out);
    if (!a->unlisted)
        return;
    str_addf(out,
             "%sthere is no plan.jsonl (an older version ran this): all rows of its cells count, whichever samples, "
             "model or build "
             "they are of",
             out->n ? "; " : "");
    if (a->n_replaced)
        str_addf(out, "; %d rows gave way to later ones of the same cell, sample and question", a->n_replaced);
    if (a->n_build > 1)
        str_addf(out, "; rows of %d builds are mixed", a->n_build);
}
