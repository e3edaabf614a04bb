#include "harness/layer_metrics/repr_report.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/report/plot.h"
#include "harness/report/table.h"

static void field(struct quote *s, double x)
{
    quote_add(s, ",");
    quote_add_number(s, x);
}

static void word(struct quote *s, const char *text)
{
    quote_add(s, ",");
    quote_add_word(s, text);
}

static void metrics_line(struct quote *s, const char *task, const char *definition, const char *stage,
                         const char *metric, int layer, const struct hparams *hp, const struct stats_summary *v)
{
    quote_add(s, "%s", task);
    word(s, definition);
    word(s, stage);
    word(s, metric);
    quote_add(s, ",%d,%d", layer, v->n);
    field(s, v->mean);
    field(s, v->se);
    field(s, v->lo);
    field(s, v->hi);
    if (model_layer_prunable(hp, layer))
        quote_add(s, ",\n");
    else
        quote_add(s, ",%d\n", hp->window);
}

static void task_name(const struct repr_report *r, int task, struct str *s)
{
    str_addf(s, "%s %s", r->x->task[task].label, r->x->task[task].params);
}

static void metrics_csv(const struct repr_report *r, struct quote *s)
{
    quote_add(s, "task,definition,stage,metric,layer,n,value,se,lo,hi,window\n");
    for (int t = 0; t < r->x->n_task; t++) {
        const struct repr_study *v = &r->study[t];
        struct str name = {0};
        task_name(r, t, &name);
        for (int def = 0; def < REPR_N_DEFINITION; def++)
            for (int k = 0; k < REPR_N_METRIC; k++)
                for (int stage = 0; stage < TAP_N_STAGE && v->value[def][k][stage]; stage++)
                    for (int l = 0; l < v->n_layer; l++)
                        metrics_line(s, name.p, repr_definition_names[def], repr_study_stages[stage],
                                     repr_metric_names[k], l, &r->m->hp, &v->value[def][k][stage][l]);
        for (int l = 0; l < v->n_layer; l++)
            metrics_line(s, name.p, "rival", "", "attention_entropy", l, &r->m->hp, &v->entropy[l]);
        str_free(&name);
    }
}

/* No Spearman correlation is larger than this, on average, when the metric itself has no error. */
static double ceiling(const struct repr_damage *d, int measure)
{
    double r = d->reliability[measure];
    return isnan(r) ? r : sqrt(fmax(r, 0));
}

static void correlations_csv(const struct repr_report *r, struct quote *s)
{
    quote_add(s, "task,study,policy,level,only,measure,definition,stage,metric,n,rho,p,q,p_shift,q_shift,partial_depth,"
                 "partial_p,"
                 "partial_q,split_half_rank,ceiling,prompts,prompts_shared\n");
    for (int t = 0; t < r->x->n_task; t++) {
        const struct repr_relations *all = &r->relations[t];
        struct str name = {0};
        task_name(r, t, &name);
        for (int i = 0; i < all->n_row; i++) {
            const struct repr_relation *c = &all->row[i];
            const struct repr_damage *d = &all->damage[c->damage];
            const double v[] = {c->r.rho,
                                c->r.p,
                                c->q,
                                c->r.p_shift,
                                c->q_shift,
                                c->r.partial,
                                c->r.partial_p,
                                c->q_partial,
                                d->reliability[c->measure],
                                ceiling(d, c->measure)};
            quote_add(s, "%s", name.p);
            word(s, d->name);
            word(s, d->policy);
            quote_add(s, ",");
            if (!isnan(d->level))
                quote_add(s, "%.9g", d->level);
            quote_add(s, ",%d", d->only);
            word(s, allocator_study_measures[c->measure]);
            word(s, c->definition);
            word(s, c->stage);
            word(s, c->metric);
            quote_add(s, ",%d", c->r.n);
            for (size_t k = 0; k < sizeof v / sizeof *v; k++)
                field(s, v[k]);
            quote_add(s, ",%d,%d\n", r->study[t].n_sample, d->shared);
        }
        str_free(&name);
    }
}

static void cell(struct table *t, const char *format, double x)
{
    char text[64];
    snprintf(text, sizeof text, format, x);
    table_add_text(t, isfinite(x) ? text : "n/a");
}

static void study_table(const struct repr_relations *all, int damage, int measure, struct quote *out)
{
    static const char *const head[] = {
        "metric",  "definition", "stage",       "layers",        "rho",           "p", "q",
        "p shift", "q shift",    "given depth", "p given depth", "q given depth", ""};
    enum { N = sizeof head / sizeof *head };
    struct table t = {.n_column = N, .left = 3};
    for (int i = 0; i < N; i++)
        table_add_text(&t, head[i]);
    for (int i = 0; i < all->n_row; i++) {
        const struct repr_relation *c = &all->row[i];
        if (c->damage != damage || c->measure != measure)
            continue;
        table_add_text(&t, c->metric);
        table_add_text(&t, c->definition);
        table_add_text(&t, c->stage);
        cell(&t, "%.0f", c->r.n);
        cell(&t, "%+.3f", c->r.rho);
        cell(&t, "%.4f", c->r.p);
        cell(&t, "%.4f", c->q);
        cell(&t, "%.4f", c->r.p_shift);
        cell(&t, "%.4f", c->q_shift);
        cell(&t, "%+.3f", c->r.partial);
        cell(&t, "%.4f", c->r.partial_p);
        cell(&t, "%.4f", c->q_partial);
        table_add_text(&t, c->q < 0.05 && c->r.p_shift < 0.05 ? "both nulls" : c->q < 0.05 ? "permutation alone" : "");
    }
    table_write(&t, out);
    table_free(&t);
}

static int has_damage(const struct repr_relations *all, int damage, int measure)
{
    for (int i = 0; i < all->n_row; i++)
        if (all->row[i].damage == damage && all->row[i].measure == measure && isfinite(all->row[i].r.rho))
            return 1;
    return 0;
}

static void relations_markdown(const struct repr_report *r, int task, struct quote *out)
{
    const struct repr_relations *all = &r->relations[task];
    for (int d = 0; d < all->n_damage; d++)
        for (int m = 0; m < ALLOCATOR_STUDY_N_MEASURE; m++) {
            const struct repr_damage *x = &all->damage[d];
            quote_add(out, "\n### %s: damage by %s\n\n", x->label, allocator_study_measures[m]);
            if (!has_damage(all, d, m)) {
                quote_add(out, "n/a: not measured on %d layers or more, or the same on all of them.\n", RANKSTATS_MIN);
                continue;
            }
            quote_add(
                out,
                "Split-half reliability of the damage's ranks (Spearman's r of two halves, raised to all samples): ");
            if (isnan(x->reliability[m]))
                quote_add(out, "n/a (the profile has none; `depthkv report` writes it for four samples or more)");
            else
                quote_add(out, "%.3f, so no metric can be expected to reach more than |rho| %.3f", x->reliability[m],
                          ceiling(x, m));
            quote_add(out, ". Of the metrics' %d prompts the study stands on %d.\n\n", r->study[task].n_sample,
                      x->shared);
            study_table(all, d, m, out);
            if (!x->attention_lost)
                quote_add(out, "\nattention_lost: n/a (%s).\n",
                          all->without_rows ? all->without_rows
                          : x->only         ? "all layers but one were pruned"
                                            : "the rows hold none");
            if (!x->output_error)
                quote_add(out, "\noutput_error: n/a (%s).\n", x->without_output);
        }
}

/* Means over the layers that can be pruned: the form of DepthKV's tables 8 to 10. */
static void means_markdown(const struct repr_study *s, const struct hparams *hp, struct quote *out)
{
    struct table t = {.n_column = 3 + TAP_N_STAGE, .left = 2};
    table_add_text(&t, "metric");
    table_add_text(&t, "definition");
    for (int stage = 0; stage < TAP_N_STAGE; stage++)
        table_add_text(&t, repr_study_stages[stage]);
    table_add_text(&t, "");
    for (int def = 0; def < REPR_N_DEFINITION; def++)
        for (int k = 0; k < REPR_N_METRIC; k++) {
            if (!s->value[def][k][0])
                continue;
            table_add_text(&t, repr_metric_names[k]);
            table_add_text(&t, repr_definition_names[def]);
            for (int stage = 0; stage < TAP_N_STAGE; stage++) {
                double sum = 0;
                for (int l = 0; l < s->n_layer; l++)
                    sum += model_layer_prunable(hp, l) ? s->value[def][k][stage][l].mean : 0;
                cell(&t, "%.4g", sum / model_n_prunable(hp));
            }
            table_add_text(&t, "");
        }
    table_write(&t, out);
    table_free(&t);
}

void repr_report_markdown(const struct repr_report *r, struct quote *out)
{
    const struct hparams *hp = &r->m->hp;
    int n = model_n_prunable(hp);
    quote_add(out, "# Metrics of layers: %s\n\nModel %s, seed %llu. ", r->x->name, r->x->model->name,
              (unsigned long long)r->x->seed);
    struct str text = {0};
    param_json(repr_study_params, r->o, &text);
    quote_add(out, "Parameters: %s\n", text.p);
    if (r->relations)
        quote_add(out,
                  "\nDamage from %s. rho: Spearman over layers, damage higher = worse. p: %d permutations of the "
                  "layers; p shift: all "
                  "circular shifts, which keep a curve's smoothness over depth (its least value is 1 / layers: fewer "
                  "than 21 can't pass 0.05, and q shift hardly ever does); given depth: partial "
                  "correlation. q: Benjamini and Hochberg over everything in correlations.csv. Last column: q below "
                  "0.05, and p shift too."
                  " output_error: relative L2 error of the attention's output (after W_o) at the "
                  "first tokens after the cut, the layer's cache alone being cut as the study's was.\n",
                  r->profile, RANKSTATS_PERMUTATIONS);
    for (int t = 0; t < r->x->n_task; t++) {
        str_clear(&text);
        task_name(r, t, &text);
        quote_add(out, "\n## %s\n\n%d samples, prompts up to %d tokens, batches of %d. Means over ", text.p,
                  r->study[t].n_sample, r->study[t].n_token, r->study[t].batch);
        if (n == hp->n_layer)
            quote_add(out, "layers:\n\n");
        else
            quote_add(out, "the %d of %d layers that can be pruned (the others have a window of %d):\n\n", n,
                      hp->n_layer, hp->window);
        means_markdown(&r->study[t], hp, out);
        if (r->relations)
            relations_markdown(r, t, out);
    }
    str_free(&text);
}

/* All tasks' prompts, where a run looks for those that a profile was measured on. */
static int write_prompts(struct h5 *f, const struct repr_report *r, struct err *e)
{
    const char **hash = NULL;
    size_t cap = 0, n = 0;
    for (int t = 0; t < r->x->n_task; t++)
        for (int i = 0; i < r->study[t].n_sample; i++) {
            mem_grow(&hash, &cap, n + 1, sizeof *hash);
            hash[n++] = r->study[t].prompt[i];
        }
    int rc = h5_write_strings(f, "/metrics/prompt_sha256", hash, n, e);
    mem_free(hash);
    return rc;
}

static int write_means(struct h5 *f, const struct repr_report *r, int task, struct err *e)
{
    const struct repr_study *s = &r->study[task];
    const uint64_t dim[1] = {(uint64_t)s->n_layer};
    double *v = mem_new((size_t)s->n_layer, sizeof *v);
    struct str group = {0}, path = {0};
    str_addf(&group, "/metrics/%d", task);
    int bad = h5_make_group(f, group.p, e) || h5_set_string(f, group.p, "task", r->x->task[task].label, e) ||
              h5_set_string(f, group.p, "task_params", r->x->task[task].params, e);
    for (int i = 0; i < REPR_N_DEFINITION * REPR_N_METRIC * TAP_N_STAGE && !bad; i++) {
        int def = i / (REPR_N_METRIC * TAP_N_STAGE), k = i / TAP_N_STAGE % REPR_N_METRIC, stage = i % TAP_N_STAGE;
        if (!s->value[def][k][stage])
            continue;
        for (int l = 0; l < s->n_layer; l++)
            v[l] = s->value[def][k][stage][l].mean;
        str_clear(&path);
        str_addf(&path, "%s/%s/%s/%s", group.p, repr_definition_names[def], repr_study_stages[stage],
                 repr_metric_names[k]);
        bad = h5_write(f, path.p, H5_TYPE_F64, 1, dim, v, e);
    }
    mem_free(v);
    str_free(&group);
    str_free(&path);
    return bad ? -1 : 0;
}

static int write_h5(const char *path, const struct repr_report *r, struct err *e)
{
    struct h5 *f = h5_open(path, H5_MODE_CREATE, e);
    int bad = !f || h5_set_int(f, "/", "schema", 1, e) || h5_set_int(f, "/", "n_layer", r->m->hp.n_layer, e) ||
              h5_set_string(f, "/", "model", r->x->model->name, e) ||
              h5_set_string(f, "/", "model_sha256", r->m->sha256, e) || write_prompts(f, r, e);
    for (int t = 0; t < r->x->n_task && !bad; t++)
        bad = write_means(f, r, t, e);
    if (!bad)
        return h5_close(f, e);
    h5_abandon(f);
    return -1;
}

static void add_point(int layer, const struct stats_summary *v, struct quote *dat)
{
    if (isfinite(v->mean))
        quote_add(dat, "%d %.9g", layer, v->mean);
    else
        quote_add(dat, "%d NaN", layer);
    plot_ends(v->lo, v->hi, dat);
    quote_add(dat, "\n");
}

/* Seven panels: the six metrics and the attention's entropy over the layers that can be pruned, a curve per stage; an
 * eighth with the damage of every study by kl, where there is a profile. */
static void plot_data(const struct repr_report *r, int task, int def, struct quote *dat)
{
    const struct repr_study *s = &r->study[task];
    for (int k = 0; k < REPR_N_METRIC; k++)
        for (int stage = 0; stage < TAP_N_STAGE; stage++) {
            quote_add(dat, "# %s %s: layer, value, 95 %% low, 95 %% high\n", repr_metric_names[k],
                      repr_study_stages[stage]);
            for (int l = 0; l < s->n_layer; l++) {
                const struct stats_summary *v = &s->value[def][k][stage][l];
                if (model_layer_prunable(&r->m->hp, l))
                    add_point(l, v, dat);
            }
            quote_add(dat, "\n\n");
        }
    quote_add(dat, "# attention entropy\n");
    for (int l = 0; l < s->n_layer; l++)
        if (model_layer_prunable(&r->m->hp, l))
            add_point(l, &s->entropy[l], dat);
    for (int d = 0; r->relations && d < r->relations[task].n_damage; d++) {
        const struct repr_damage *x = &r->relations[task].damage[d];
        quote_add(dat, "\n\n# damage by kl, %s\n", x->label);
        for (int i = 0; i < x->k; i++)
            quote_add(dat, "%lld %.9g\n", (long long)x->layer[i], x->damage[2][i]);
    }
}

static void plot_panels(const struct repr_report *r, int task, int def, const char *name, struct quote *gp)
{
    static const char *const colour[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7"};
    const char *units[] = {"nats",
                           "",
                           def == REPR_SKEAN ? "radians" : "1 - cosine",
                           def == REPR_SKEAN ? "nats" : "1 - cosine",
                           def == REPR_SKEAN ? "nats" : "distance",
                           "nats"};
    int n_damage = r->relations ? r->relations[task].n_damage : 0;
    struct str dat = {0};
    str_addf(&dat, "%s.dat", name);
    for (int k = 0; k < REPR_N_METRIC; k++) {
        quote_add(gp, "set title %s\nset ylabel %s\n", repr_metric_names[k], units[k]);
        if (k == 0)
            quote_add(gp, "set key below horizontal\nunset xlabel\nplot ");
        else
            quote_add(gp, "unset key\nset xlabel 'layer'\nplot ");
        for (int stage = 0; stage < TAP_N_STAGE; stage++) {
            if (stage)
                quote_add(gp, ", ");
            quote_add(gp, "%s index %d using 1:2:3:4 with yerrorlines lw 1.6 ps 0.7 pt %d lc rgb %s title %s", dat.p,
                      k * TAP_N_STAGE + stage, 7 + 2 * stage - (stage == 1 ? 4 : 0), colour[stage],
                      repr_study_stages[stage]);
        }
        quote_add(gp, "\n");
    }
    quote_add(gp,
              "set title 'attention entropy'\nset ylabel 'nats'\nplot %s index %d using 1:2:3:4 with yerrorlines lw "
              "1.6 ps 0.7 "
              "pt 7 lc rgb '#555555'\n",
              dat.p, REPR_N_METRIC * TAP_N_STAGE);
    if (n_damage)
        quote_add(
            gp, "set title 'damage of pruning the layer'\nset ylabel 'KL divergence, nats'\nset key below horizontal\n"
                "unset xlabel\nplot ");
    for (int d = 0; d < n_damage; d++) {
        const struct repr_damage *x = &r->relations[task].damage[d];
        struct str title = {0};
        str_add(&title, x->policy);
        if (!isnan(x->level))
            str_addf(&title, " %.3g", x->level);
        str_add(&title, x->only ? " all but it" : "");
        if (d)
            quote_add(gp, ", ");
        quote_add(gp, "%s index %d using 1:2 with linespoints lw 1.6 ps 0.7 pt %d lc rgb %s title %s", dat.p,
                  REPR_N_METRIC * TAP_N_STAGE + 1 + d, 4 + d, colour[d % 4], title.p);
        str_free(&title);
    }
    if (n_damage)
        quote_add(gp, "\n");
    str_free(&dat);
}

static int plot(const char *folder, const struct repr_report *r, int task, int def, struct plot_list *plots,
                struct err *e)
{
    struct quote dat = {.language = QUOTE_LINE}, gp = {.language = QUOTE_GNUPLOT};
    struct str name = {0}, title = {0};
    str_addf(&name, "metrics-%d-%s", task + 1, repr_definition_names[def]);
    str_addf(&title, "%s, %s, definitions of %s", r->x->task[task].label, r->x->model->name,
             def == REPR_SKEAN ? "Skean et al." : "DepthKV");
    plot_data(r, task, def, &dat);
    quote_add(
        &gp,
        "set encoding utf8\nset grid xtics ytics lt 1 lw 1 lc rgb '#dddddd'\nset border 3 lc rgb '#555555'\n"
        "set tics nomirror textcolor rgb '#333333'\nset bars 0.4\nset xlabel 'layer'\nset xrange [-0.5:*]\n"
        "set key top right noenhanced samplen 1.5 opaque\nset offsets graph 0, graph 0.02, graph 0.03, graph 0.03\n");
    for (int i = 0; i < 2; i++) {
        struct str file = {0};
        str_addf(&file, i ? "%s.png" : "%s.svg", name.p);
        if (i)
            quote_add(&gp, "set terminal pngcairo size 1760,820 font 'sans,11'\n");
        else
            quote_add(&gp, "set terminal svg size 1500,700 font 'sans,12' background 'white'\n");
        quote_add(&gp, "set output %s\nset multiplot layout 2,4 title %s noenhanced\n", file.p, title.p);
        plot_panels(r, task, def, name.p, &gp);
        quote_add(&gp, "unset multiplot\n");
        str_free(&file);
    }
    str_free(&title);
    return plot_save(folder, &name, NULL, &dat, &gp, plots, e);
}

static int write_text(const char *dir, const char *name, enum quote_language language, const struct repr_report *r,
                      void (*print)(const struct repr_report *, struct quote *), struct err *e)
{
    struct quote s = {.language = language};
    char *path = fs_join(dir, name);
    print(r, &s);
    int rc = quote_save(&s, path, e);
    mem_free(path);
    quote_free(&s);
    return rc;
}

int repr_report_write(const char *dir, const struct repr_report *r, struct message_list *messages, struct err *e)
{
    struct plot_list list = {0};
    char *h5 = fs_join(dir, "metrics.h5"), *plots = fs_join(dir, "plots");
    int bad = fs_mkdirs(plots, e) || write_text(dir, "metrics.csv", QUOTE_CSV, r, metrics_csv, e) ||
              write_h5(h5, r, e) || write_text(dir, "metrics.md", QUOTE_MARKDOWN, r, repr_report_markdown, e) ||
              (r->relations && write_text(dir, "correlations.csv", QUOTE_CSV, r, correlations_csv, e));
    for (int t = 0; t < r->x->n_task; t++)
        for (int def = 0; def < REPR_N_DEFINITION && !bad; def++)
            bad = r->study[t].value[def][0][0] && plot(plots, r, t, def, &list, e);
    bad = plot_own(plots, "metrics", &list, !bad, bad ? NULL : e) || bad;
    plot_list_tell(&list);
    message_append(messages, &list.messages);
    plot_list_fini(&list);
    mem_free(h5);
    mem_free(plots);
    return bad ? -1 : 0;
}
