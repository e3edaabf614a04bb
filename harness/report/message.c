#include "harness/report/message.h"

#include <string.h>

#include "harness/base/mem.h"

/* {1} to {3}: numbers, {s1} to {s3}: the s of their plural, {a} to {c}: texts. */
static const struct message_ops table[MESSAGE_END] = {
    [MESSAGE_LEFT_OUT] = {"left_out", MESSAGE_WARNING, 1, "left out: {a}"},
    [MESSAGE_NO_PLAN] = {"no_plan", MESSAGE_WARNING, 1,
                         "there is no plan.jsonl (an older version ran this): all rows of its cells count, whichever "
                         "samples, model or build they are of"},
    [MESSAGE_REPLACED] = {"replaced", MESSAGE_WARNING, 1,
                          "{1} row{s1} gave way to later ones of the same cell, sample and question"},
    [MESSAGE_MIXED_BUILDS] = {"mixed_builds", MESSAGE_WARNING, 1, "rows of {1} builds are mixed"},
    [MESSAGE_NO_ROWS] = {"no_rows", MESSAGE_WARNING, 1,
                         "there is no rows.jsonl: the tables are the means of cells.csv, without plots"},

    [MESSAGE_FAILED] = {"failed", MESSAGE_WARNING, 1, "{1} row{s1} failed, first: {a} (cell {b})"},
    [MESSAGE_NOT_APPLICABLE] = {"not_applicable", MESSAGE_NOTE, 1, "n/a: {1} row{s1}, first: {a} (cell {b})"},
    [MESSAGE_CUT_OFF] = {"cut_off", MESSAGE_WARNING, 1,
                         "{1} of {2} outputs were cut off by max_new_tokens; raise it if answers may be longer"},
    [MESSAGE_PROTECTION_CUT] = {"protection_cut", MESSAGE_WARNING, 1,
                                "in {1} of {2} rows the protected entries did not fit into the budget: sinks stayed "
                                "first, then the question, then the newest; first: cell {a}"},
    [MESSAGE_FEW_SAMPLES] = {"few_samples", MESSAGE_NOTE, 1,
                             "{1} of {2} cells stand on fewer than {3} contexts: so few say little of others"},
    [MESSAGE_WINDOWS] = {"windows", MESSAGE_NOTE, 1,
                         "model {a}: {1} of {2} layers have a window and are never pruned: keep is of the other {3}, "
                         "which hold {b} % of the full cache's bytes at {c} tokens"},

    [MESSAGE_STALE_PROFILE] = {"stale_profile", MESSAGE_WARNING, 0,
                               "profile.h5 is of an earlier experiment: this one studies no layers"},
    [MESSAGE_NOTHING_TO_PLOT] = {"nothing_to_plot", MESSAGE_WARNING, 0,
                                 "nothing to plot: no policy but full has a score"},
    [MESSAGE_NO_GNUPLOT] = {"no_gnuplot", MESSAGE_WARNING, 0,
                            "gnuplot is not installed; the plots' scripts are in {a}"},
    [MESSAGE_NO_PICTURE] = {"no_picture", MESSAGE_WARNING, 0, "gnuplot could not make the picture of {a}.gp: {b}{c}"},

    [MESSAGE_UNKNOWN_DATA] = {"unknown_data", MESSAGE_NOTE, 0,
                              "of {1} cell{s1} it is unknown whether both sides are of the same data: an older version "
                              "wrote one"},
    [MESSAGE_OTHER_DATA] = {"other_data", MESSAGE_WARNING, 0,
                            "{1} cells were not compared: they are of other samples, prompts or answers"},
};

static const char *const severities[] = {[MESSAGE_NOTE] = "note", [MESSAGE_WARNING] = "warning"};

const struct message_ops *message_at(enum message_kind kind)
{
    return &table[kind];
}

/* One {...} of the words, whose inside `name` is. */
static void add_value(const char *name, const struct message_values *v, struct str *out)
{
    if (*name >= '1' && *name < '1' + MESSAGE_N_NUMBER)
        str_addf(out, "%ld", v->number[*name - '1']);
    else if (*name == 's')
        str_add(out, v->number[name[1] - '1'] == 1 ? "" : "s");
    else
        str_add(out, v->text[*name - 'a'] ? v->text[*name - 'a'] : "");
}

void message_add(struct message_list *l, enum message_kind kind, const struct message_values *values)
{
    static const struct message_values none;
    struct str s = {0};
    for (const char *p = table[kind].text; *p;) {
        size_t n = strcspn(p, "{");
        str_addn(&s, p, n);
        p += n;
        if (!*p)
            break;
        add_value(p + 1, values ? values : &none, &s);
        p = strchr(p, '}') + 1;
    }
    mem_grow(&l->v, &l->cap, (size_t)l->n + 1, sizeof *l->v);
    l->v[l->n++] = (struct message){kind, str_take(&s)};
}

void message_append(struct message_list *l, const struct message_list *more)
{
    for (int i = 0; i < more->n; i++) {
        mem_grow(&l->v, &l->cap, (size_t)l->n + 1, sizeof *l->v);
        l->v[l->n++] = (struct message){more->v[i].kind, mem_strdup(more->v[i].text)};
    }
}

void message_drop(struct message_list *l, enum message_kind kind)
{
    int kept = 0;
    for (int i = 0; i < l->n; i++)
        if (l->v[i].kind == kind)
            mem_free(l->v[i].text);
        else
            l->v[kept++] = l->v[i];
    l->n = kept;
}

int message_has(const struct message_list *l, enum message_kind kind)
{
    for (int i = 0; i < l->n; i++)
        if (l->v[i].kind == kind)
            return 1;
    return 0;
}

void message_list_free(struct message_list *l)
{
    for (int i = 0; i < l->n; i++)
        mem_free(l->v[i].text);
    mem_free(l->v);
    *l = (struct message_list){0};
}

/* ---- printers -------------------------------------------------------------------------------- */

void message_show(const struct message_list *l, const char *about, FILE *out)
{
    for (int i = 0; i < l->n; i++) {
        const char *severity = severities[table[l->v[i].kind].severity];
        if (about)
            quote_show(out, "%s: %s: %s\n", severity, about, l->v[i].text);
        else
            quote_show(out, "%s: %s\n", severity, l->v[i].text);
    }
}

void message_page(const struct message_list *l, struct quote *out)
{
    for (int i = 0; i < l->n; i++) {
        const struct message_ops *m = &table[l->v[i].kind];
        if (!m->of_results)
            continue;
        if (out->language == QUOTE_LATEX)
            quote_add(out, "\n%% %s: %s\n", severities[m->severity], l->v[i].text);
        else if (out->language == QUOTE_HTML)
            quote_add(out, "<p>%s: %s</p>\n", severities[m->severity], l->v[i].text);
        else
            quote_add(out, "\n**%s**: %s\n", severities[m->severity], l->v[i].text);
    }
}

void message_json(const struct message_list *l, struct str *out)
{
    int told = 0;
    str_addc(out, '[');
    for (int i = 0; i < l->n; i++) {
        const struct message_ops *m = &table[l->v[i].kind];
        if (!m->of_results)
            continue;
        str_addf(out, "%s\n {\"id\": \"%s\", \"severity\": \"%s\", \"text\": ", told++ ? "," : "", m->id,
                 severities[m->severity]);
        str_add_json(out, l->v[i].text, strlen(l->v[i].text));
        str_addc(out, '}');
    }
    str_add(out, told ? "\n]\n" : "]\n");
}
