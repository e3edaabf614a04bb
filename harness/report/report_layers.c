/* The part of a report that is about layer studies. */
#include <math.h>
#include <string.h>

#include "harness/report/report_int.h"
#include "harness/report/table.h"

static const enum aggregate_measure measures[] = {AGG_SCORE, AGG_NLL, AGG_KL, AGG_TOP1};
enum { N_MEASURE = sizeof measures / sizeof *measures };

const char report_intervals[] =
    "[ ]: 95 % interval over samples (over contexts, where one has several rows): of fractions the score interval "
    "(Wilson's for hits and misses, Tango's for their paired differences), of what has no range bootstrap percentiles; "
    "n/a: fewer than two samples, or all equal where nothing bounds another; exact: by definition";

void report_table(struct table *t, const char *note, const struct report_texts *out)
{
    quote_add(out->md, "\n");
    table_write(t, out->md);
    quote_add(out->md, "\n%s\n", note);
    quote_add(out->tex, "\n%% %s\n", note);
    table_write(t, out->tex);
    table_write(t, out->html);
    quote_add(out->html, "<p>%s</p>\n", note);
    table_free(t);
}

void report_heading(const char *text, const struct report_texts *out)
{
    quote_add(out->md, "\n### %s\n", text);
    quote_add(out->tex, "\n%% %s\n", text);
    quote_add(out->html, "<h3>%s</h3>\n", text);
}

static void add_title(const struct aggregate *a, const struct study *s, const struct report_texts *out)
{
    struct str title = {0};
    str_add(&title, s->only ? "All layers but one pruned: " : "One layer pruned at a time: ");
    aggregate_policy_label(a, s->line[0], &title);
    str_addf(&title, ", keep %.3g", s->line[0]->level);
    report_notes(a, s->line[0], &title);
    report_heading(title.p, out);
    str_free(&title);
}

/* Differences where there is a baseline; what means something by itself as it is. */
static void add_layers(const struct aggregate *a, const struct study *s, const struct report_texts *out)
{
    enum { SCORE = 2, N_HEAD = 7 };
    static const char *const heads[N_HEAD] = {"layer", "n", "score", "score - ", "nll - ", "kl", "top1"};
    const char *base = a->baseline ? "baseline" : "full";
    struct table t = {.n_column = N_HEAD};
    for (int h = 0; h < N_HEAD; h++) {
        struct str head = {0};
        str_addf(&head, "%s%s", heads[h], h == SCORE + 1 || h == SCORE + 2 ? base : "");
        table_add(&t, &head);
    }
    for (int i = 0; i < s->n; i++) {
        const struct agg_cell *c = s->line[i];
        const struct stats_summary *v = c->summary;
        const struct stats_paired *d = c->diff;
        const double none = (double)NAN;
        table_add_number(&t, s->layer[i], 0);
        table_add_number(&t, c->n_ok, 0);
        table_add_number(&t, v[AGG_SCORE].mean, 3);
        table_add_ends(&t, d[AGG_SCORE].n ? d[AGG_SCORE].diff : none, d[AGG_SCORE].lo, d[AGG_SCORE].hi, "%+.3f");
        table_add_ends(&t, d[AGG_NLL].n ? d[AGG_NLL].diff : none, d[AGG_NLL].lo, d[AGG_NLL].hi, "%+.3g");
        table_add_ends(&t, v[AGG_KL].mean, v[AGG_KL].lo, v[AGG_KL].hi, "%.3g");
        table_add_ends(&t, v[AGG_TOP1].mean, v[AGG_TOP1].lo, v[AGG_TOP1].hi, "%.3f");
    }
    for (int h = N_HEAD - 1; h >= SCORE; h--)
        if (table_column_is_empty(&t, h, "n/a"))
            table_drop_column(&t, h);
    struct str note = {0};
    str_addf(&note, "%s; differences are paired on the same samples.", report_intervals);
    report_table(&t, note.p, out);
    str_free(&note);
}

static void add_agreement(const struct aggregate *a, const struct study *s, const struct report_texts *out)
{
    static const char *const heads[] = {"measure", "samples", "sd over layers", "by chance",
                                        "effect",  "p",       "reliability"};
    enum { N_HEAD = sizeof heads / sizeof *heads };
    struct table t = {.n_column = N_HEAD, .left = 1};
    struct str note = {0};
    for (int h = 0; h < N_HEAD; h++)
        table_add_text(&t, heads[h]);
    for (int m = 0; m < N_MEASURE; m++) {
        const struct study_agreement g = study_agree(a, s, measures[m]);
        if (!g.test.n_sample)
            continue; /* not measured */
        table_add_text(&t, aggregate_measure_names[measures[m]]);
        table_add_number(&t, g.test.n_sample, 0);
        table_add_value(&t, sqrt(g.test.variance), "%.3g");
        table_add_value(&t, sqrt(g.test.null_mean), "%.3g");
        table_add_number(&t, g.test.effect, 2);
        table_add_number(&t, g.test.p, 4);
        table_add_number(&t, g.split_half, 3);
    }
    str_addf(
        &note,
        "Do layers differ? The variance of the layers' means against %d permutations of the layers within each sample: "
        "p = (b + 1) / (%d + 1); effect: in standard deviations of the permuted variance above its mean (by chance: "
        "the "
        "root of that mean). reliability: Pearson's r between two random halves of the samples, mean of %d, raised to "
        "all "
        "samples by Spearman and Brown.",
        PERMUTATION_ROUNDS, PERMUTATION_ROUNDS, PERMUTATION_HALVES);
    if (t.n_row > 1)
        report_table(&t, note.p, out);
    else
        table_free(&t);
    str_free(&note);
}

void report_layers(const struct aggregate *a, const struct study_list *studies, const char *task_key,
                   const struct report_texts *out)
{
    for (int i = 0; i < studies->n; i++) {
        const struct study *s = &studies->v[i];
        if (strcmp(s->line[0]->task_key, task_key) != 0)
            continue;
        add_title(a, s, out);
        add_layers(a, s, out);
        if (s->n > 1)
            add_agreement(a, s, out);
    }
}
