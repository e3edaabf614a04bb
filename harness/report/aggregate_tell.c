/* What a reader should know of the rows behind the numbers. */
#include <string.h>

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

void aggregate_tell(const struct aggregate *a, struct message_list *out)
{
    tell_origin(a, out);
    tell_missing(a, 0, MESSAGE_FAILED, out);
    tell_missing(a, 1, MESSAGE_NOT_APPLICABLE, out);
    tell_cut_off(a, out);
    tell_protection(a, out);
    tell_few(a, out);
}
