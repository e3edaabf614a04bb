/* Plots: data and scripts, which are the product; and what happens without a gnuplot, or with one that fails. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/cmd/cli.h"
#include "harness/report/figure.h"
#include "harness/report/gnuplot.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static const char *dir;

static void setup(void)
{
    dir = rows_enter();
    setenv("PATH", dir, 1);
}

static void teardown(void)
{
    rows_leave();
}

static void draw(const struct rows_fake *f, int n, struct plot_list *p)
{
    struct str s = {0};
    struct aggregate a;
    struct err e;
    for (int i = 0; i < n; i++)
        rows_add_fake(&s, &f[i]);
    rows_write("rows.jsonl", s.p);
    str_free(&s);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    *p = (struct plot_list){0};
    ck_assert_msg(figure_write(dir, &a, p, &e) == 0, "%s", e.msg);
    aggregate_free(&a);
}

/* Equal values, so that every number is known: of a mean m of two the ends are m - m z^2 / (2 + z^2) and m + (1 - m)
 * z^2 / (2 + z^2), and kl, which nothing bounds, has none. */
static const struct rows_fake sweep[] = {
    {"f", 0, 0, "c0", "q", "full", "", 1, 0.875, 0, .bytes = 4194304},
    {"f", 0, 1, "c1", "q", "full", "", 1, 0.875, 0, .bytes = 4194304},
    {"a", 1, 0, "c0", "q", "knorm", "0.5", 1, 0.5, 0.25, .bytes = 2097152},
    {"a", 1, 1, "c1", "q", "knorm", "0.5", 1, 0.5, 0.25, .bytes = 2097152},
    {"b", 2, 0, "c0", "q", "knorm", "0.25", 1, 0.25, 1, .bytes = 1048576},
    {"b", 2, 1, "c1", "q", "knorm", "0.25", 1, 0.25, 1, .bytes = 1048576},
    {"r", 3, 0, "c0", "q", "random", "0.5", 1, 0.125, 0.5, .bytes = 2097152},
    {"r", 3, 1, "c1", "q", "random", "0.5", 1, 0.125, 0.5, .bytes = 2097152},
};

START_TEST(the_data_are_the_means_in_the_order_of_bytes)
{
    struct plot_list p;
    draw(sweep, 8, &p);
    ck_assert_int_eq(p.n, 2);
    ck_assert_str_eq(p.item[0].name, "1-t-score");
    ck_assert_str_eq(p.item[1].name, "1-t-kl");
    char *dat = rows_read("plots/1-t-score.dat");
    ck_assert_str_eq(dat, "# MiB | score | 95 % low | 95 % high | rows | keep\n"
                          "# knorm\n1 0.25 0.0855950569 0.743214829 2 0.25\n2 0.5 0.171190114 0.828809886 2 0.5\n"
                          "\n\n# random\n2 0.125 0.0427975284 0.700417301 2 0.5\n");
    mem_free(dat);
    dat = rows_read("plots/1-t-kl.dat");
    ck_assert_str_eq(dat, "# MiB | kl | 95 % low | 95 % high | rows | keep\n"
                          "# knorm\n1 1 NaN NaN 2 0.25\n2 0.25 NaN NaN 2 0.5\n"
                          "\n\n# random\n2 0.5 NaN NaN 2 0.5\n");
    mem_free(dat);
    plot_list_fini(&p);
}
END_TEST

START_TEST(the_script_names_its_data_and_the_full_cache)
{
    static const char *const lines[] = {"set title noenhanced 't, m'\n",
                                        "set xlabel 'cache after pruning, MiB (float32)'\n",
                                        "set ylabel noenhanced 'score: f1'\n",
                                        "set terminal svg ",
                                        "set output '1-t-score.svg'\n",
                                        "set terminal pngcairo ",
                                        "set output '1-t-score.png'\n",
                                        "plot 0.875 with lines dt 2 lw 2 lc rgb '#000000' title 'full cache', \\\n",
                                        "'1-t-score.dat' index 0 using ($1-0.006):2:3:4 with yerrorlines lw 1.8 ps 1 "
                                        "pt 7 lc rgb '#0072b2' title 'knorm', \\\n",
                                        "'1-t-score.dat' index 1 using ($1+0.006):2:3:4 with yerrorlines lw 1.8 ps 1 "
                                        "pt 5 lc rgb '#d55e00' title 'random'\n"};
    struct plot_list p;
    draw(sweep, 8, &p);
    char *gp = rows_read("plots/1-t-score.gp");
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        ck_assert_msg(strstr(gp, lines[i]) != NULL, "no %s in:\n%s", lines[i], gp);
    mem_free(gp);
    gp = rows_read("plots/1-t-kl.gp");
    ck_assert_ptr_nonnull(strstr(gp, "set logscale y\n"));
    ck_assert_ptr_nonnull(strstr(
        gp,
        ":2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines")); /* a low end of 0 has no place there; the data keep it */
    ck_assert_ptr_null(strstr(gp, "full cache'"));          /* its kl is zero, which no logarithmic axis has */
    mem_free(gp);
    plot_list_fini(&p);
}
END_TEST

/* Cells that may generate more have a full cache of their own, with a score of its own. */
START_TEST(every_full_cache_that_differs_has_a_line)
{
    struct rows_fake f[6] = {{0}};
    static const char *const ids[] = {"f4", "f8", "a4", "a8", "b4", "b8"};
    struct plot_list p;
    for (int i = 0; i < 6; i++) {
        f[i] = sweep[i & ~1];
        f[i].cell = ids[i];
        f[i].index = i;
        f[i].new_tokens = i & 1 ? 8 : 4;
    }
    f[1].score = 0.625;
    draw(f, 6, &p);
    char *gp = rows_read("plots/1-t-score.gp");
    ck_assert_ptr_nonnull(
        strstr(gp, "plot 0.875 with lines dt 2 lw 2 lc rgb '#000000' title 'full cache, new tokens 4'"));
    ck_assert_ptr_nonnull(strstr(gp, "  0.625 with lines dt 3 lw 2 lc rgb '#000000' title 'full cache, new tokens 8'"));
    mem_free(gp);
    plot_list_fini(&p);
    rows_write("rows.jsonl", "");
    f[1].score = f[0].score;
    draw(f, 6, &p);
    gp = rows_read("plots/1-t-score.gp");
    const char *first = strstr(gp, "title 'full cache', ");
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_null(strstr(gp, "full cache, new"));
    mem_free(gp);
    plot_list_fini(&p);
}
END_TEST

#define SINGLE(l) "{\"single\":{\"layer\":" #l ",\"only\":false}}"
static const struct rows_fake study[] = {
    {"f", 0, 0, "c0", "q", "full", "", 1, 0.75, 0, .bytes = 3072},
    {"s1", 1, 0, "c0", "q", "knorm", "0.5", 1, 0.5, 0.25, .layer_budget = SINGLE(2), .bytes = 2560, .level = 0.5},
    {"s2", 2, 0, "c0", "q", "knorm", "0.5", 1, 0.25, 0.5, .layer_budget = SINGLE(0), .bytes = 2560, .level = 0.5},
    {"s3", 3, 0, "c0", "q", "knorm", "0.5", 1, 0.625, 0.125, .layer_budget = SINGLE(1), .bytes = 2560, .level = 0.5},
    {"s4", 4, 0, "c0", "q", "knorm", "0.1", 1, 0.0625, 2, .layer_budget = SINGLE(1), .bytes = 2560, .level = 0.1},
    {"u", 5, 0, "c0", "q", "knorm", "0.5", 1, 0.375, 0.75, .bytes = 1536},
    {"o", 6, 0, "c0", "q", "knorm", "0.5", 1, 0.125, 4, .layer_budget = "{\"single\":{\"layer\":1,\"only\":true}}",
     .bytes = 1536, .level = 0.5},
};

START_TEST(a_study_of_single_layers_is_drawn_over_the_layers)
{
    struct plot_list p;
    draw(study, 7, &p);
    ck_assert_int_eq(p.n, 4);
    ck_assert_str_eq(p.item[0].name, "1-t-score");
    ck_assert_str_eq(p.item[2].name, "1-t-score-layer");
    char *dat = rows_read("plots/1-t-score-layer.dat");
    ck_assert_str_eq(dat, "# layer | score lost | 95 % low | 95 % high | rows | keep\n"
                          "# knorm, keep 0.5\n0 0.5 NaN NaN 1 0.5\n1 0.125 NaN NaN 1 0.5\n2 0.25 NaN NaN 1 0.5\n"
                          "\n\n# knorm, keep 0.1\n1 0.6875 NaN NaN 1 0.1\n"
                          "\n\n# knorm, all but one pruned, keep 0.5\n1 0.625 NaN NaN 1 0.5\n");
    mem_free(dat);
    char *gp = rows_read("plots/1-t-score-layer.gp");
    ck_assert_ptr_nonnull(strstr(gp, "set xlabel 'pruned layer'\nset xrange [-0.5:*]\n"));
    ck_assert_ptr_nonnull(strstr(gp, "plot 0 with lines"));
    mem_free(gp);
    dat = rows_read("plots/1-t-score.dat"); /* the uniform cell alone, in KiB */
    ck_assert_str_eq(dat, "# KiB | score | 95 % low | 95 % high | rows | keep\n# knorm\n1.5 0.375 NaN NaN 1 0.5\n");
    mem_free(dat);
    plot_list_fini(&p);
}
END_TEST

START_TEST(curves_are_named_by_what_sets_them_apart)
{
    struct rows_fake f[3];
    struct plot_list p;
    memcpy(f, sweep + 4, sizeof f);
    f[0].window = 16;
    f[1] = f[0];
    f[1].cell = "x";
    f[1].index = 9;
    f[1].window = 48;
    f[1].policy = f[0].policy = "snap'kv";
    f[2] = f[1];
    f[2].cell = "y";
    f[2].index = 10;
    f[2].layer_budget = "{\"proportional\":{\"weights\":[1,2]}}";
    draw(f, 3, &p);
    char *gp = rows_read("plots/1-t-score.gp");
    ck_assert_ptr_nonnull(strstr(gp, "title \"snap'kv window=16, uniform\""));
    ck_assert_ptr_nonnull(strstr(gp, "title \"snap'kv window=48, proportional weights=[1,2]\""));
    mem_free(gp);
    plot_list_fini(&p);
}
END_TEST

/* Two policies by `budgets` layer budgets each, on two tasks, and full. */
static void draw_budgets(int budgets, struct plot_list *p)
{
    enum { MOST = 8 };
    static char cell[2][2][MOST][8], budget[MOST][64];
    struct rows_fake f[2 * 2 * MOST + 2];
    int n = 0;
    ck_assert_int_le(budgets, MOST);
    for (int t = 0; t < 2; t++) {
        const char *task = t ? "u" : "t";
        f[n++] = (struct rows_fake){t ? "F" : "f", 0, 0, "c0", "q", "full", "", 1, 1, 0, .task = task, .bytes = 2048};
        for (int pol = 0; pol < 2; pol++)
            for (int b = 0; b < budgets; b++) {
                snprintf(cell[t][pol][b], sizeof cell[t][pol][b], "%d%d%d", t, pol, b);
                snprintf(budget[b], sizeof budget[b], "{\"free_first\":{\"layers\":%d}}", b + 1);
                f[n++] = (struct rows_fake){cell[t][pol][b],
                                            1 + pol * MOST + b,
                                            0,
                                            "c0",
                                            "q",
                                            pol ? "knorm" : "h2o",
                                            "0.5",
                                            1,
                                            0.5,
                                            1,
                                            .task = task,
                                            .bytes = 1024,
                                            .layer_budget = budget[b]};
            }
    }
    draw(f, n, p);
}

static int is_listed(const struct plot_list *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->item[i].name, name) == 0)
            return 1;
    return 0;
}

START_TEST(more_curves_than_can_be_told_apart_are_a_picture_of_each_policy)
{
    struct plot_list p;
    draw_budgets(6, &p); /* twelve curves */
    ck_assert(is_listed(&p, "2-t-score") && is_listed(&p, "1-u-kl") && is_listed(&p, "0-all-tasks-score"));
    ck_assert_int_eq(p.n, 5);
    plot_list_fini(&p);
    draw_budgets(7, &p);
    ck_assert_int_eq(p.n, 10);
    static const char *const own[][2] = {{"0-all-tasks-score-h2o", "0-all-tasks-score-knorm"},
                                         {"2-t-score-h2o", "2-t-score-knorm"},
                                         {"1-u-kl-h2o", "1-u-kl-knorm"}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        for (int k = 0; k < 2; k++)
            ck_assert_msg(is_listed(&p, own[i][k]), "%s is not there; the first is %s", own[i][k], p.item[0].name);
    char *dat = rows_read("plots/0-all-tasks-score-h2o.dat");
    ck_assert_msg(strstr(dat, "# full") != NULL, "%s", dat);
    ck_assert_ptr_nonnull(strstr(dat, "h2o"));
    ck_assert_ptr_null(strstr(dat, "knorm"));
    mem_free(dat);
    plot_list_fini(&p);
}
END_TEST

START_TEST(without_gnuplot_there_is_a_warning_and_the_scripts_stay)
{
    struct plot_list p;
    draw(sweep, 8, &p);
    ck_assert_ptr_nonnull(strstr(rows_told(&p.messages), "gnuplot is not installed; the plots' scripts are in "));
    plot_list_fini(&p);
    rows_write("gnuplot", "#!/bin/sh\nexit 3\n");
    char *fake = rows_path("gnuplot"), *called = rows_path("plots/called");
    ck_assert_int_eq(chmod(fake, 0755), 0);
    draw(sweep, 8, &p);
    ck_assert_ptr_nonnull(strstr(rows_told(&p.messages), "gnuplot could not make the picture of "));
    ck_assert_ptr_nonnull(strstr(rows_told(&p.messages), "1-t-score.gp: exit status 3 (and 1 more)"));
    plot_list_fini(&p);
    rows_write("gnuplot", "#!/bin/sh\necho \"$1\" >>called\n"); /* in the folder of the plots */
    ck_assert_int_eq(chmod(fake, 0755), 0);
    draw(sweep, 8, &p);
    ck_assert_str_eq(rows_told(&p.messages), "");
    char *text = rows_read("plots/called");
    ck_assert_str_eq(text, "1-t-score.gp\n1-t-kl.gp\n");
    mem_free(text);
    mem_free(fake);
    mem_free(called);
    plot_list_fini(&p);
}
END_TEST

static void fake_gnuplot(const char *script)
{
    rows_write("gnuplot", script);
    char *path = rows_path("gnuplot");
    ck_assert_int_eq(chmod(path, 0755), 0);
    mem_free(path);
    struct str both = {0};
    str_addf(&both, "%s:/usr/bin:/bin", dir); /* which the script needs */
    setenv("PATH", both.p, 1);
    str_free(&both);
}

static int exists(const char *name)
{
    char *path = rows_path(name);
    int is = fs_exists(path);
    mem_free(path);
    return is;
}

START_TEST(no_picture_stays_beside_data_that_it_does_not_show)
{
    struct plot_list p;
    fake_gnuplot("#!/bin/sh\nn=${1%.gp}\necho new >$n.svg\necho new >$n.png\n");
    draw(sweep, 8, &p);
    ck_assert(p.item[0].drawn && p.item[1].drawn && exists("plots/1-t-score.svg") && exists("plots/1-t-score.png"));
    plot_list_fini(&p);
    /* half of a picture is none, and its last line says why */
    fake_gnuplot("#!/bin/sh\necho half >${1%.gp}.svg\necho 'plot x' >&2\necho '     ^' >&2\necho 'line 9: no such "
                 "data' >&2\nexit 1\n");
    draw(sweep, 8, &p);
    ck_assert(!p.item[0].drawn && !p.item[1].drawn && !exists("plots/1-t-score.svg") && !exists("plots/1-t-score.png"));
    ck_assert_msg(strstr(rows_told(&p.messages), "1-t-score.gp: line 9: no such data (and 1 more)") != NULL, "%s",
                  rows_told(&p.messages));
    plot_list_fini(&p);
    rows_write("plots/1-t-kl.svg", "old");
    setenv("PATH", "/nonexistent", 1);
    draw(sweep, 8, &p);
    ck_assert(!exists("plots/1-t-kl.svg"));
    const char *told = strstr(rows_told(&p.messages), "not installed");
    ck_assert(told && !strstr(told + 1, "not installed")); /* once for all figures */
    plot_list_fini(&p);
}
END_TEST

/* The process whose number is in the file; 0 when it is gone. */
static int runs(const char *name)
{
    char *text = rows_read(name);
    int pid = atoi(text);
    mem_free(text);
    ck_assert_int_gt(pid, 1);
    for (int i = 0; i < 500 && kill(pid, 0) == 0; i++) { /* killed, and to be reaped by init */
        struct str stat = {0};
        char state = 0;
        str_addf(&stat, "/proc/%d/stat", pid);
        FILE *f = fopen(stat.p, "r");
        str_free(&stat);
        if (!f || fscanf(f, "%*d %*s %c", &state) != 1 || state == 'Z')
            pid = 0;
        if (f)
            fclose(f);
        if (!pid)
            return 0;
        usleep(10000);
    }
    return kill(pid, 0) == 0;
}

#define SLEEPY "#!/bin/sh\necho x >>calls\necho $$ >me\nsleep 1000 &\necho $! >child\n"

START_TEST(a_gnuplot_that_hangs_is_ended_with_what_it_started)
{
    struct plot_list p;
    fake_gnuplot(SLEEPY "wait\n");
    gnuplot_limit_s = 1;
    draw(sweep, 8, &p);
    ck_assert_msg(strstr(rows_told(&p.messages), "1-t-score.gp: it took more than 1 s and was ended (and 1 more)") !=
                      NULL,
                  "%s", rows_told(&p.messages));
    char *calls = rows_read("plots/calls");
    ck_assert_str_eq(calls, "x\n"); /* the second figure would hang as well */
    ck_assert(!runs("plots/me") && !runs("plots/child"));
    mem_free(calls);
    plot_list_fini(&p);
}
END_TEST

START_TEST(a_signal_ends_gnuplot_and_the_report)
{
    struct aggregate a;
    struct plot_list p = {0};
    struct err e = {0};
    draw(sweep, 8, &p); /* rows.jsonl */
    plot_list_fini(&p);
    fake_gnuplot(SLEEPY "kill -TERM $PPID\nwait\n");
    leave_when_asked();
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(figure_write(dir, &a, &p, &e), -1);
    ck_assert_int_eq(e.code, ERR_INTERRUPTED);
    ck_assert(!runs("plots/me") && !runs("plots/child") && !exists("plots/1-t-score.svg"));
    aggregate_free(&a);
    plot_list_fini(&p);
}
END_TEST

START_TEST(file_names_are_safe_bounded_and_each_its_own)
{
    struct rows_fake f[8];
    char *longer[2];
    struct plot_list p;
    for (int i = 0; i < 2; i++) {
        struct str s = {0};
        for (int k = 0; k < 300; k++)
            str_addc(&s, 'x');
        str_addc(&s, i ? 'a' : 'b');
        longer[i] = str_take(&s);
    }
    const char *const task[] = {"a/b", "a_b", "../..", "", longer[0], longer[1], "'q", ".hidden"};
    for (int i = 0; i < 8; i++) {
        static const char *const cell[] = {"c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"};
        f[i] = sweep[2];
        f[i].cell = cell[i];
        f[i].index = i;
        f[i].task = task[i];
    }
    draw(f, 8, &p);
    ck_assert_int_ge(p.n, 16);
    for (int i = 0; i < p.n; i++) {
        ck_assert_uint_lt(strlen(p.item[i].name), 110);
        ck_assert_uint_eq(strspn(p.item[i].name, "abcdefghijklmnopqrstuvwxyz0123456789_-"), strlen(p.item[i].name));
        for (int k = 0; k < i; k++)
            ck_assert_str_ne(p.item[i].name, p.item[k].name);
    }
    plot_list_fini(&p);
    mem_free(longer[0]);
    mem_free(longer[1]);
}
END_TEST

START_TEST(nothing_but_full_is_nothing_to_plot)
{
    struct plot_list p;
    draw(sweep, 2, &p);
    ck_assert_int_eq(p.n, 0);
    ck_assert_str_eq(rows_told(&p.messages), "nothing to plot: no policy but full has a score");
    plot_list_fini(&p);
}
END_TEST

/* The folder shows one report: what an earlier one has left is gone, and what somebody else has put there stays. */
START_TEST(a_report_removes_the_figures_that_it_makes_no_more)
{
    static const char *const own[] = {"plots/1-t-score.dat", "plots/1-t-score.gp", "plots/1-t-score.svg",
                                      "plots/1-t-score.png", "plots/1-t-kl.dat"};
    struct rows_fake other[8];
    struct plot_list p;
    fake_gnuplot("#!/bin/sh\nn=${1%.gp}\necho new >$n.svg\necho new >$n.png\n");
    draw(sweep, 8, &p);
    plot_list_fini(&p);
    rows_write("plots/mine.svg", "a picture of the user's");
    rows_write("plots/1-t-score.txt", "notes on one of ours");
    rows_write("plots/metrics-1-depthkv.dat", "of another command");
    for (int i = 0; i < 8; i++) {
        other[i] = sweep[i];
        other[i].task = "other";
    }
    draw(other, 8, &p);
    plot_list_fini(&p);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        ck_assert_msg(!exists(own[i]), "%s", own[i]);
    ck_assert(exists("plots/1-other-score.dat") && exists("plots/1-other-score.svg"));
    ck_assert(exists("plots/mine.svg") && exists("plots/1-t-score.txt") && exists("plots/metrics-1-depthkv.dat"));
    draw(sweep, 2, &p); /* nothing to plot any more */
    plot_list_fini(&p);
    ck_assert(!exists("plots/1-other-score.dat") && !exists("plots/1-other-score.gp"));
}
END_TEST

START_TEST(a_list_of_figures_leads_out_of_no_folder)
{
    struct plot_list p;
    draw(sweep, 8, &p);
    plot_list_fini(&p);
    rows_write("kept.dat", "above the figures");
    rows_write("plots/my notes.dat", "no name of a figure");
    rows_write("plots/report.list", "# a comment\n../kept\n\nmy notes\n1-t-score\n.\nnever-was\n1-t-kl");
    draw(sweep, 2, &p);
    plot_list_fini(&p);
    ck_assert(exists("kept.dat") && exists("plots/my notes.dat"));
    ck_assert(!exists("plots/1-t-score.dat") && !exists("plots/1-t-kl.dat"));
    char *list = rows_read("plots/report.list");
    ck_assert(list[0] == '#' && strchr(list, '\n')[1] == '\0'); /* only what it says of itself */
    mem_free(list);
}
END_TEST

Suite *make_plot_suite(void)
{
    Suite *s = suite_create("plot");
    TCase *t = tcase_create("plot");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, the_data_are_the_means_in_the_order_of_bytes);
    tcase_add_test(t, the_script_names_its_data_and_the_full_cache);
    tcase_add_test(t, every_full_cache_that_differs_has_a_line);
    tcase_add_test(t, a_study_of_single_layers_is_drawn_over_the_layers);
    tcase_add_test(t, curves_are_named_by_what_sets_them_apart);
    tcase_add_test(t, more_curves_than_can_be_told_apart_are_a_picture_of_each_policy);
    tcase_add_test(t, without_gnuplot_there_is_a_warning_and_the_scripts_stay);
    tcase_add_test(t, no_picture_stays_beside_data_that_it_does_not_show);
    tcase_add_test(t, a_gnuplot_that_hangs_is_ended_with_what_it_started);
    tcase_add_test(t, a_signal_ends_gnuplot_and_the_report);
    tcase_add_test(t, file_names_are_safe_bounded_and_each_its_own);
    tcase_add_test(t, nothing_but_full_is_nothing_to_plot);
    tcase_add_test(t, a_report_removes_the_figures_that_it_makes_no_more);
    tcase_add_test(t, a_list_of_figures_leads_out_of_no_folder);
    suite_add_tcase(s, t);
    return s;
}
