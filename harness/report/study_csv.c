#include "harness/report/study_csv.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/experiment/axes.h"
#include "harness/report/study.h"

/* Empty where there is no number, as in cells.csv. */
static void number(struct quote *s, double x)
{
    quote_add(s, ",");
    quote_add_number(s, x);
}

static int is_measured(const struct study *s, enum column_id m)
{
    int n = 0;
    for (int i = 0; i < s->n; i++)
        n += isfinite(s->line[i]->summary[m].mean);
    return n > 0;
}

/* What else tells studies apart, behind the numbers: all axes but the policy, the level and the layers. */
static int is_told(const struct axis *a)
{
    return strcmp(a->key, "policy") != 0 && strcmp(a->key, "budget") != 0 && strcmp(a->key, "layer_budget") != 0 &&
           a->shown != AXIS_SHOWN_POOLED;
}

static void add_study(const struct aggregate *a, const struct study *s, struct quote *out)
{
    static const char *const axes[] = {"model", "task", "policy"};
    for (int m = 0; m < COLUMN_END; m++) {
        if (!columns_is_measure((enum column_id)m) || !is_measured(s, (enum column_id)m))
            continue;
        struct study_agreement g = study_agree(a, s, (enum column_id)m);
        for (size_t k = 0; k < sizeof axes / sizeof *axes; k++)
            quote_add(out, "%s,", aggregate_text(s->line[0], axes[k]));
        if (isfinite(study_level(s)))
            quote_add(out, "%.6g", study_level(s));
        quote_add(out, ",%d,", s->only);
        quote_add_word(out, columns_name((enum column_id)m));
        quote_add(out, ",%d,%d", s->n, g.test.n_sample);
        number(out, g.test.variance);
        number(out, g.test.null_mean);
        number(out, g.test.null_sd);
        number(out, g.test.effect);
        number(out, g.test.p);
        number(out, g.split_half);
        for (int i = 0; i < axes_count(); i++)
            if (is_told(axes_at(i))) {
                quote_add(out, ",");
                aggregate_csv_axis(s->line[0], axes_at(i)->key, out);
            }
        quote_add(out, "\n");
    }
}

int study_csv_write(const char *dir, const struct aggregate *a, struct err *e)
{
    struct study_list list;
    struct quote out = {.language = QUOTE_CSV};
    int rc = 0;
    study_find(a, &list);
    quote_add(&out,
              "model,task,policy,level,only,measure,layers,samples,variance,null_mean,null_sd,effect,p,split_half");
    for (int i = 0; i < axes_count(); i++)
        if (is_told(axes_at(i))) {
            quote_add(&out, ",");
            quote_add_word(&out, axes_at(i)->key);
        }
    quote_add(&out, "\n");
    for (int i = 0; i < list.n; i++)
        add_study(a, &list.v[i], &out);
    char *path = fs_join(dir, "studies.csv");
    if (list.n)
        rc = quote_save(&out, path, e);
    else
        unlink(path); /* of an earlier experiment in this folder, if of any */
    mem_free(path);
    study_list_fini(&list);
    quote_free(&out);
    return rc;
}
