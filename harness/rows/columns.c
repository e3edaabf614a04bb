#include "harness/rows/columns.h"

#include <math.h>
#include <string.h>

#include "harness/metric/metric.h"

static void print_status(const struct row *r, struct str *out)
{
    static const char *const names[] = {[ROW_OK] = "ok", [ROW_SKIPPED] = "skipped", [ROW_FAILED] = "failed"};
    str_addf(out, "\"%s\"", names[r->status]);
}

static void print_metric(const struct row *r, struct str *out)
{
    const struct exp_task *t = &r->x->task[r->cell->task];
    const char *name = t->n_metric ? t->metric[0]->name : "";
    str_add_json(out, name, strlen(name));
}

static void print_metrics(const struct row *r, struct str *out)
{
    const struct exp_task *t = &r->x->task[r->cell->task];
    str_addc(out, '{');
    for (int i = 0; i < t->n_metric; i++) {
        str_addf(out, "%s\"%s\":", i ? "," : "", t->metric[i]->name);
        str_add_json_double(out, r->metric[i]);
    }
    for (int i = 0; i < r->n_extra; i++) {
        str_addf(out, "%s\"%s\":", t->n_metric + i ? "," : "", r->extra[i].name);
        str_add_json_double(out, r->extra[i].value);
    }
    str_addc(out, '}');
}

static const double none = 0, all = 1;

#define AT(field) offsetof(struct row, field)

static const struct column table[COLUMN_END] = {
    [COLUMN_BASELINE] = {"baseline", "", COLUMN_DISCRETE, .pooled = COLUMN_BY_CELL},
    [COLUMN_SAMPLES] = {"samples", "", COLUMN_SOURCE, .pooled = COLUMN_BY_CELL},
    [COLUMN_DATA] = {"data", "", COLUMN_SOURCE, .pooled = COLUMN_BY_CELL},
    [COLUMN_ROWS] = {"n", "rows", COLUMN_DISCRETE, .pooled = COLUMN_BY_CELL},
    [COLUMN_FAILED] = {"n_failed", "rows", COLUMN_DISCRETE, .pooled = COLUMN_BY_CELL},

    [COLUMN_KEEP] = {"keep", "fraction", COLUMN_DISCRETE, COLUMN_NO_WAY, COLUMN_MEAN, COLUMN_DOUBLE, AT(keep),
                     .behind = "params"},
    [COLUMN_KEEP_TOKENS] = {"keep_tokens", "entries", COLUMN_DISCRETE, COLUMN_NO_WAY, COLUMN_MEAN, COLUMN_INT64,
                            AT(keep_tokens), COLUMN_KNOWN_IF_OK, "params"},
    [COLUMN_KEEP_BYTES] = {"keep_bytes", "bytes", COLUMN_DISCRETE, COLUMN_NO_WAY, COLUMN_MEAN, COLUMN_INT64,
                           AT(keep_bytes), COLUMN_KNOWN_IF_OK, "params"},
    [COLUMN_LEVEL] = {"level", "fraction", COLUMN_DISCRETE, COLUMN_NO_WAY, COLUMN_MEAN, COLUMN_DOUBLE, AT(level),
                      .behind = "budget"},

    [COLUMN_STATUS] = {"status", "", COLUMN_DISCRETE, .type = COLUMN_OWN, .print = print_status},
    [COLUMN_REASON] = {"reason", "", COLUMN_DISCRETE, .type = COLUMN_TEXT, .offset = AT(reason)},
    [COLUMN_PROMPT_TOKENS] = {"prompt_tokens", "tokens", COLUMN_DISCRETE, .type = COLUMN_INT,
                              .offset = AT(prompt_tokens)},
    [COLUMN_ENTRIES] = {"n", "entries", COLUMN_DISCRETE, COLUMN_NO_WAY, COLUMN_NOT_POOLED, COLUMN_INT, AT(n),
                        COLUMN_KNOWN_IF_OK},
    [COLUMN_KEPT] = {"kept", "entries", COLUMN_DISCRETE, .type = COLUMN_LAYERS, .offset = AT(kept)},
    [COLUMN_PROTECTION_CUT] = {"protection_cut", "", COLUMN_DISCRETE, .type = COLUMN_SWITCH,
                               .offset = AT(protection_cut)},
    [COLUMN_CACHE_BYTES] = {"cache_bytes", "bytes", COLUMN_DISCRETE, COLUMN_LOWER, COLUMN_MEAN, COLUMN_INT64,
                            AT(cache_bytes), COLUMN_KNOWN_IF_OK},
    [COLUMN_CACHE_SHARE] = {"cache_share", "fraction", COLUMN_DISCRETE, COLUMN_LOWER, COLUMN_MEAN, COLUMN_DOUBLE,
                            AT(cache_share)},
    [COLUMN_CACHE_BYTES_BF16] = {"cache_bytes_bf16", "bytes", COLUMN_DISCRETE, COLUMN_LOWER, COLUMN_MEAN, COLUMN_INT64,
                                 AT(cache_bytes_bf16), COLUMN_KNOWN_IF_OK},
    [COLUMN_CACHE_BYTES_END] = {"cache_bytes_end", "bytes", COLUMN_DISCRETE, COLUMN_LOWER, COLUMN_MEAN, COLUMN_INT64,
                                AT(cache_bytes_end), COLUMN_KNOWN_IF_OK},
    [COLUMN_CACHE_BYTES_PEAK] = {"cache_bytes_peak", "bytes", COLUMN_DISCRETE, COLUMN_LOWER, COLUMN_NOT_POOLED,
                                 COLUMN_INT64, AT(cache_bytes_peak), COLUMN_KNOWN_IF_OK},
    [COLUMN_POLICY_BYTES] = {"policy_bytes", "bytes", COLUMN_DISCRETE, COLUMN_LOWER, COLUMN_NOT_POOLED, COLUMN_INT64,
                             AT(policy_bytes), COLUMN_KNOWN_IF_OK},
    [COLUMN_CACHES_RSS] = {"caches_rss", "bytes", COLUMN_TIME, COLUMN_LOWER, COLUMN_NOT_POOLED, COLUMN_INT64,
                           AT(resident_bytes), COLUMN_KNOWN_IF_OK},
    [COLUMN_OUTPUT] = {"output", "", COLUMN_DISCRETE, .type = COLUMN_TEXT, .offset = AT(output)},
    [COLUMN_OUTPUT_TOKENS] = {"output_tokens", "tokens", COLUMN_DISCRETE, COLUMN_NO_WAY, COLUMN_NOT_POOLED, COLUMN_INT,
                              AT(output_tokens), COLUMN_KNOWN_IF_OK},
    [COLUMN_FINISH_REASON] = {"finish_reason", "", COLUMN_DISCRETE, .type = COLUMN_TEXT, .offset = AT(finish_reason)},
    [COLUMN_PREDICTED] = {"predicted", "", COLUMN_FLOAT, COLUMN_NO_WAY, COLUMN_NOT_POOLED, COLUMN_DOUBLE, AT(predicted),
                          COLUMN_KNOWN_OR_LEFT_OUT},
    [COLUMN_METRIC] = {"metric", "", COLUMN_DISCRETE, .type = COLUMN_OWN, .print = print_metric},
    [COLUMN_SCORE] = {"score", "", COLUMN_MEASURED, COLUMN_METRIC_SAYS, COLUMN_INTERVALS, COLUMN_DOUBLE, AT(metric)},
    [COLUMN_METRICS] = {"metrics", "", COLUMN_FLOAT, .type = COLUMN_OWN, .print = print_metrics},
    [COLUMN_NLL] = {"nll", "nats per token", COLUMN_MEASURED, COLUMN_LOWER, COLUMN_INTERVALS, COLUMN_DOUBLE, AT(nll)},
    [COLUMN_KL] = {"kl", "nats per token", COLUMN_MEASURED, COLUMN_LOWER, COLUMN_INTERVALS, COLUMN_DOUBLE, AT(kl),
                   .full = &none},
    [COLUMN_TOP1] = {"top1", "fraction", COLUMN_MEASURED, COLUMN_HIGHER, COLUMN_INTERVALS, COLUMN_DOUBLE, AT(top1),
                     .full = &all},
    [COLUMN_KL_MAX] = {"kl_max", "nats", COLUMN_MEASURED, COLUMN_LOWER, COLUMN_INTERVALS, COLUMN_DOUBLE, AT(kl_max),
                       .full = &none},
    [COLUMN_FIRST_DIVERGENCE] = {"first_divergence", "tokens", COLUMN_DISCRETE, COLUMN_HIGHER, COLUMN_NOT_POOLED,
                                 COLUMN_INT, AT(first_divergence), COLUMN_KNOWN_IF_REACHED},
    [COLUMN_ATTENTION_LOST] = {"attention_lost", "fraction", COLUMN_FLOAT, COLUMN_LOWER, COLUMN_OVER_LAYERS,
                               COLUMN_LAYERS, AT(attention_lost), .full = &none},
    [COLUMN_EVIDENCE_KEPT] = {"evidence_kept", "fraction", COLUMN_FLOAT, COLUMN_HIGHER, COLUMN_OVER_LAYERS,
                              COLUMN_LAYERS, AT(evidence_kept), .full = &all},
    [COLUMN_PREFILL_S] = {"prefill_s", "s", COLUMN_TIME, COLUMN_LOWER, COLUMN_MEAN, COLUMN_DOUBLE, AT(prefill_s)},
    [COLUMN_DECODE_S] = {"decode_s", "s", COLUMN_TIME, COLUMN_LOWER, COLUMN_MEAN, COLUMN_DOUBLE, AT(decode_s)},
    [COLUMN_GROUP_CELLS] = {"group_cells", "cells", COLUMN_DISCRETE, .type = COLUMN_INT, .offset = AT(group_cells)},
};

const struct column *columns_at(enum column_id id)
{
    return &table[id];
}

const char *columns_name(enum column_id id)
{
    return table[id].name;
}

int columns_is_measure(enum column_id id)
{
    return table[id].pooled == COLUMN_INTERVALS;
}

int columns_higher_is_better(enum column_id id, const char *metric)
{
    const struct metric_ops *m = table[id].better == COLUMN_METRIC_SAYS ? metric_find(metric) : NULL;
    return table[id].better == COLUMN_HIGHER || (table[id].better == COLUMN_METRIC_SAYS && (!m || m->higher_is_better));
}

enum column_id columns_find_measure(const char *name)
{
    int id = 0;
    while (id < COLUMN_END && (!columns_is_measure((enum column_id)id) || strcmp(table[id].name, name) != 0))
        id++;
    return (enum column_id)id;
}

int columns_is_fraction(enum column_id id)
{
    return strcmp(table[id].unit, "fraction") == 0;
}

static void add_layers(const double *value, int n, struct str *out)
{
    if (!value) {
        str_add(out, "null");
        return;
    }
    str_addc(out, '[');
    for (int i = 0; i < n; i++) {
        if (i)
            str_addc(out, ',');
        str_add_json_double(out, value[i]);
    }
    str_addc(out, ']');
}

/* A field of any type is read as what the table says that it is. */
static void add_field(const struct column *c, const struct row *r, struct str *out)
{
    const char *at = (const char *)r + c->offset;
    union {
        int i;
        int64_t i64;
        double d;
        const char *text;
        const double *layers;
    } v = {0};
    switch (c->type) {
    case COLUMN_NOT_IN_ROWS: break;
    case COLUMN_OWN: c->print(r, out); break;
    case COLUMN_DOUBLE:
        memcpy(&v.d, at, sizeof v.d);
        str_add_json_double(out, v.d);
        break;
    case COLUMN_INT:
    case COLUMN_SWITCH:
        memcpy(&v.i, at, sizeof v.i);
        if (c->type == COLUMN_SWITCH)
            str_add(out, v.i ? "true" : "false");
        else if (v.i < 0 && c->unknown == COLUMN_KNOWN_IF_REACHED)
            str_add(out, "null");
        else
            str_addf(out, "%d", v.i);
        break;
    case COLUMN_INT64:
        memcpy(&v.i64, at, sizeof v.i64);
        str_addf(out, "%lld", (long long)v.i64);
        break;
    case COLUMN_TEXT:
        memcpy(&v.text, at, sizeof v.text);
        str_add_json(out, v.text, strlen(v.text));
        break;
    case COLUMN_LAYERS:
        memcpy(&v.layers, at, sizeof v.layers);
        add_layers(v.layers, r->n_layer, out);
        break;
    }
}

static int is_left_out(const struct column *c, const struct row *r)
{
    double d;
    if (c->unknown != COLUMN_KNOWN_OR_LEFT_OUT)
        return 0;
    memcpy(&d, (const char *)r + c->offset, sizeof d);
    return isnan(d);
}

void columns_json(const struct row *r, const char *behind, struct str *out)
{
    for (int i = 0; i < COLUMN_END; i++) {
        const struct column *c = &table[i];
        int is_here = behind && c->behind ? strcmp(behind, c->behind) == 0 : behind == c->behind;
        if (c->type == COLUMN_NOT_IN_ROWS || !is_here || is_left_out(c, r))
            continue;
        str_addf(out, ",\"%s\":", c->name);
        if (c->unknown == COLUMN_KNOWN_IF_OK && r->status != ROW_OK)
            str_add(out, "null");
        else
            add_field(c, r, out);
    }
}
