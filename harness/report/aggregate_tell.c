/* What a reader should know of the rows behind the numbers. */
#include <string.h>

#include "harness/base/str.h"
#include "harness/metric/metric.h"
#include "harness/report/aggregate.h"
#include "harness/report/message.h"

enum { FEW = 5 }; /* contexts */

static void tell_origin(const struct aggregate *a, struct message_list *out)
{
    struct str left_out = {0};
    plan_tell(a->left_out, a->n_gone, &left_out);
    if (left_out.n)
        message_add(out, MESSAGE_LEFT_OUT, &(struct message_values){.text = {left_out.p}});
    if (a->unlisted)
        message_add(out, MESSAGE_NO_PLAN, NULL);
    if (a->unlisted && a->n_replaced)
        message_add(out, MESSAGE_REPLACED, &(struct message_values){.number = {a->n_replaced}});
    if (a->unlisted && a->n_build > 1)
        message_add(out, MESSAGE_MIXED_BUILDS, &(struct message_values){.number = {a->n_build}});
    str_free(&left_out);
}

/* Rows that have no values, with the reason of the first. */
static void tell_missing(const struct aggregate *a, int skipped, enum message_kind kind, struct message_list *out)
{
    const struct agg_row *first = NULL;
    long n = 0;
    for (int i = 0; i < a->n_row; i++)
        if (!a->row[i].ok && a->row[i].skipped == skipped && n++ == 0)
            first = &a->row[i];
    if (first)
        message_add(out, kind,
                    &(struct message_values){.number = {n}, .text = {first->reason, a->cell[first->cell].id}});
}

/* More than one output in a hundred that the limit has ended, of those whose metrics read the output. */
static void tell_cut_off(const struct aggregate *a, struct message_list *out)
{
    long outputs = 0, cut_off = 0;
    for (int i = 0; i < a->n_row; i++) {
        outputs += a->row[i].is_read;
        cut_off += a->row[i].is_read && a->row[i].is_cut_off;
    }
    if (cut_off * 100 > outputs)
        message_add(out, MESSAGE_CUT_OFF, &(struct message_values){.number = {cut_off, outputs}});
}

static void tell_protection(const struct aggregate *a, struct message_list *out)
{
    const struct agg_row *first = NULL;
    long n = 0, rows = 0;
    for (int i = 0; i < a->n_row; i++) {
        rows += a->row[i].ok;
        if (a->row[i].ok && a->row[i].protection_cut && n++ == 0)
            first = &a->row[i];
    }
    if (first)
        message_add(out, MESSAGE_PROTECTION_CUT,
                    &(struct message_values){.number = {n, rows}, .text = {a->cell[first->cell].id}});
}

static void tell_few(const struct aggregate *a, struct message_list *out)
{
    long few = 0, cells = 0;
    for (int c = 0; c < a->n_cell; c++) {
        int n = 0;
        for (int m = 0; m < COLUMN_END; m++)
            if (columns_is_measure((enum column_id)m) && a->cell[c].summary[m].n_unit > n)
                n = a->cell[c].summary[m].n_unit;
        cells += n > 0;
        few += n > 0 && n < FEW;
    }
    if (few)
        message_add(out, MESSAGE_FEW_SAMPLES, &(struct message_values){.number = {few, cells, FEW}});
}

static int is_of(const struct agg_cell *c, const char *key, const char *value)
{
    return strcmp(aggregate_text(c, key), value) == 0;
}

/* 1 when a cell of the model is pruned and keeps its windows. */
static int keeps_windows(const struct aggregate *a, const char *model)
{
    for (int c = 0; c < a->n_cell; c++)
        if (is_of(&a->cell[c], "model", model) && !is_of(&a->cell[c], "policy", "full") &&
            is_of(&a->cell[c], "windows", "keep"))
            return 1;
    return 0;
}

/* Of models with windows, whose `keep` is not of the whole cache. The full cache's row tells which layers these are:
 * nothing can be lost there. */
static void tell_windows(const struct aggregate *a, struct message_list *out)
{
    const char *last = "";
    for (int c = 0; c < a->n_cell; c++) {
        const struct agg_cell *full = &a->cell[c];
        const struct json *kept = json_get(full->axes, columns_name(COLUMN_KEPT)),
                          *lost = json_get(full->axes, columns_name(COLUMN_ATTENTION_LOST));
        const char *model = aggregate_text(full, "model");
        if (!is_of(full, "policy", "full") || strcmp(model, last) == 0 || !json_is_array(kept) ||
            json_size(lost) != json_size(kept) || !keeps_windows(a, model))
            continue;
        double pruned = 0, all = 0;
        long windows = 0, layers = (long)json_size(kept);
        const struct json *k = json_first(kept), *v = json_first(lost);
        for (; k && v; k = json_next(k), v = json_next(v)) {
            all += json_number(k, 0);
            pruned += json_is_null(v) ? 0 : json_number(k, 0);
            windows += json_is_null(v);
        }
        last = model;
        if (!windows || all <= 0)
            continue;
        struct str share = {0}, n = {0};
        str_addf(&share, "%.0f", 100 * pruned / all);
        str_addf(&n, "%.0f", json_number(json_get(full->axes, columns_name(COLUMN_ENTRIES)), 0));
        message_add(
            out, MESSAGE_WINDOWS,
            &(struct message_values){.number = {windows, layers, layers - windows}, .text = {model, share.p, n.p}});
        str_free(&share);
        str_free(&n);
    }
}

void aggregate_tell(const struct aggregate *a, struct message_list *out)
{
    tell_origin(a, out);
    tell_missing(a, 0, MESSAGE_FAILED, out);
    tell_missing(a, 1, MESSAGE_NOT_APPLICABLE, out);
    tell_cut_off(a, out);
    tell_protection(a, out);
    tell_few(a, out);
    tell_windows(a, out);
}
