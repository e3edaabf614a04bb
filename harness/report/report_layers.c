/* The part of a report that is about layer studies. */
#include <math.h>
#include <string.h>

#include "harness/report/report_int.h"
#include "harness/report/table.h"

static const enum column_id measures[] = {COLUMN_SCORE, COLUMN_NLL, COLUMN_KL, COLUMN_TOP1};
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
    str_add(&title, ", ");
    study_add_budget(s->line[0], &title);
    report_notes(a, s->line[0], &title);
    report_heading(title.p, out);
    str_free(&title);
}

/* A column of the table of layers: a mean, an interval of the mean, or of the difference to the baseline. */
struct shown {
    const char *head; /* with the baseline's name behind it, for differences */
    enum { MEAN, INTERVAL, DIFFERENCE } what;
    enum column_id column;
    const char *format;
};

/* Differences where there is a baseline; what means something by itself as it is. */
static const struct shown shown[] = {
    {"score", MEAN, COLUMN_SCORE, "%.3f"},       {"score - ", DIFFERENCE, COLUMN_SCORE, "%+.3f"},
    {"nll - ", DIFFERENCE, COLUMN_NLL, "%+.3g"}, {"kl", INTERVAL, COLUMN_KL, "%.3g"},
    {"top1", INTERVAL, COLUMN_TOP1, "%.3f"},
};
enum { N_SHOWN = sizeof shown / sizeof *shown };

static void add_shown(const struct shown *s, const struct agg_cell *c, struct table *t)
{
    const struct stats_summary *v = &c->summary[s->column];
    const struct stats_paired *d = &c->diff[s->column];
    if (s->what == MEAN)
        table_add_value(t, v->mean, s->format);
    else if (s->what == INTERVAL)
        table_add_ends(t, v->mean, v->lo, v->hi, s->format);
    else
        table_add_ends(t, d->n ? d->diff : (double)NAN, d->lo, d->hi, s->format);
}

static void add_layers(const struct aggregate *a, const struct study *s, const struct report_texts *out)
{
    static const char *const own[] = {"layer", "n"};
    enum { N_OWN = sizeof own / sizeof *own };
    struct table t = {.n_column = N_OWN + N_SHOWN};
    for (int h = 0; h < N_OWN; h++)
        table_add_text(&t, own[h]);
    for (int h = 0; h < N_SHOWN; h++) {
        struct str head = {0};
        str_addf(&head, "%s%s", shown[h].head, shown[h].what != DIFFERENCE ? "" : a->baseline ? "baseline" : "full");
        table_add(&t, &head);
    }
    for (int i = 0; i < s->n; i++) {
        table_add_number(&t, s->layer[i], 0);
        table_add_number(&t, s->line[i]->n_ok, 0);
        for (int h = 0; h < N_SHOWN; h++)
            add_shown(&shown[h], s->line[i], &t);
    }
    for (int h = N_OWN + N_SHOWN - 1; h >= N_OWN; h--)
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
        table_add_text(&t, columns_name(measures[m]));
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
