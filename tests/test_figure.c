/* harness/report/figure: what every figure of the registry keeps to. A new one is tested as soon as it is listed; where
 * the rows below have nothing to say for it, it wants rows that have. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/report/figure.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

#define SINGLE(l) "{\"single\":{\"layer\":" #l ",\"only\":false}}"

enum { NOTHING, GRID, STUDY, N_FOLDER }; /* no rows; two tasks at two depths and lengths; layers one at a time */
static struct aggregate folder[N_FOLDER];
static const char no_params[] = "\"task_params\":{}";

static void add_row(struct str *s, const struct rows_fake *f, int depth)
{
    struct str line = {0};
    rows_add_fake(&line, f);
    const char *params = strstr(line.p, no_params);
    ck_assert_ptr_nonnull(params);
    str_addn(s, line.p, (size_t)(params - line.p));
    str_addf(s, "\"task_params\":{\"depth\":%d}%s", depth, params + strlen(no_params));
    str_free(&line);
}

static void add_grid(struct str *s)
{
    for (int i = 0; i < 16; i++) {
        char cell[16];
        int pruned = i & 1, long_one = i >> 1 & 1, deep = i >> 2 & 1;
        struct rows_fake f = {.cell = cell,
                              .index = i,
                              .context = "c0",
                              .question = "q",
                              .policy = pruned ? "knorm" : "full",
                              .budget = pruned ? "0.5" : "",
                              .score = pruned ? 0.5 : 1,
                              .kl = pruned ? 0.25 : 0,
                              .task = i >> 3 ? "u" : "t",
                              .bytes = pruned ? 2048 : 4096,
                              .length = long_one ? 512 : 256};
        snprintf(cell, sizeof cell, "c%d", i);
        add_row(s, &f, deep ? 90 : 10);
    }
}

static void add_study(struct str *s)
{
    static const struct rows_fake f[] = {
        {"f", 0, 0, "c0", "q", "full", "", 1, 0.75, 0, .bytes = 3072},
        {"a", 1, 0, "c0", "q", "knorm", "0.5", 1, 0.5, 0.25, .layer_budget = SINGLE(0), .bytes = 2560, .level = 0.5},
        {"b", 2, 0, "c0", "q", "knorm", "0.5", 1, 0.25, 0.5, .layer_budget = SINGLE(1), .bytes = 2560, .level = 0.5}};
    for (size_t i = 0; i < sizeof f / sizeof *f; i++)
        add_row(s, &f[i], 10);
}

static void setup(void)
{
    const char *dir = rows_enter();
    setenv("PATH", dir, 1); /* no gnuplot there: pictures are not this suite's */
    for (int i = 0; i < N_FOLDER; i++) {
        struct str s = {0};
        struct err e;
        if (i == GRID)
            add_grid(&s);
        else if (i == STUDY)
            add_study(&s);
        rows_write("rows.jsonl", str_c(&s));
        ck_assert_msg(aggregate_load(dir, &folder[i], &e) == 0, "%s", e.msg);
        str_free(&s);
    }
}

static void teardown(void)
{
    for (int i = 0; i < N_FOLDER; i++)
        aggregate_free(&folder[i]);
    rows_leave();
}

/* One figure over one folder, for all of its tasks as figure_write does it. */
static void draw(const struct figure_ops *f, const struct aggregate *a, struct plot_list *out)
{
    char *plots = rows_path("plots");
    struct figure_job j = {.folder = plots, .a = a, .out = out};
    struct err e;
    *out = (struct plot_list){0};
    ck_assert_int_eq(fs_mkdirs(plots, &e), 0);
    for (int l = 0; l < a->n_line && f->scope == FIGURE_OF_TASK; l++) {
        int opens = 1;
        for (int k = 0; k < l; k++)
            opens &= strcmp(a->line[k].task_key, a->line[l].task_key) != 0;
        if (!opens)
            continue;
        j.task = &a->line[l];
        j.number++;
        ck_assert_msg(f->draw(&j, &e) == 0, "%s: %s", f->name, e.msg);
    }
    if (f->scope == FIGURE_ACROSS_TASKS)
        ck_assert_msg(f->draw(&j, &e) == 0, "%s: %s", f->name, e.msg);
    mem_free(plots);
}

static char *read_plot(const char *name, const char *ending)
{
    struct str path = {0};
    str_addf(&path, "plots/%s%s", name, ending);
    char *text = rows_read(path.p);
    str_free(&path);
    return text;
}

START_TEST(a_figure_says_what_it_is)
{
    for (int i = 0; i < figure_count(); i++) {
        const struct figure_ops *f = figure_at(i);
        struct str file = {0};
        str_addf(&file, "harness/report/figure_%s.c", f->name);
        ck_assert_msg(fs_exists(file.p), "%s is not the name of its file (these tests run in the project's folder)",
                      f->name);
        str_free(&file);
        ck_assert_ptr_eq(figure_find(f->name), f); /* names are unique */
        ck_assert_msg(f->summary && *f->summary && f->when && *f->when && f->draw, "%s", f->name);
    }
    ck_assert_ptr_null(figure_find("no such figure"));
}
END_TEST

START_TEST(a_figure_adds_nothing_where_it_does_not_apply_and_something_where_it_does)
{
    for (int i = 0; i < figure_count(); i++) {
        const struct figure_ops *f = figure_at(i);
        int n = 0;
        for (int k = 0; k < N_FOLDER; k++) {
            struct plot_list p;
            draw(f, &folder[k], &p);
            ck_assert_msg(k != NOTHING || p.n == 0, "%s draws without rows", f->name);
            n += p.n;
            plot_list_fini(&p);
        }
        ck_assert_msg(n > 0, "%s: no folder of this suite has rows that it can draw", f->name);
    }
}
END_TEST

/* Data and script of every picture are there, the script draws these data into both pictures and names no other file,
 * and pages know which task it belongs to. */
START_TEST(every_picture_has_data_and_a_script_of_its_name)
{
    for (int i = 0; i < figure_count(); i++)
        for (int k = 0; k < N_FOLDER; k++) {
            struct plot_list p;
            draw(figure_at(i), &folder[k], &p);
            for (int n = 0; n < p.n; n++) {
                const char *name = p.item[n].name;
                char *gp = read_plot(name, ".gp"), *dat = read_plot(name, ".dat");
                struct str want[3] = {{0}, {0}, {0}};
                str_addf(&want[0], "set output '%s.svg'\n", name);
                str_addf(&want[1], "set output '%s.png'\n", name);
                str_addf(&want[2], "'%s.dat' index 0 ", name);
                for (int w = 0; w < 3; w++)
                    ck_assert_msg(strstr(gp, want[w].p) != NULL, "%s.gp lacks %s", name, want[w].p);
                ck_assert_msg(dat[0] == '#' && strchr(dat, '\n'), "%s.dat begins with no comment", name);
                ck_assert_msg(!p.item[n].task_key == (figure_at(i)->scope == FIGURE_ACROSS_TASKS), "%s", name);
                for (int other = 0; other < n; other++)
                    ck_assert_str_ne(p.item[other].name, name);
                for (int w = 0; w < 3; w++)
                    str_free(&want[w]);
                mem_free(gp);
                mem_free(dat);
            }
            plot_list_fini(&p);
        }
}
END_TEST

/* Data and script of all of its pictures. */
static void read_plots(const struct plot_list *p, struct str *out)
{
    for (int n = 0; n < p->n; n++) {
        char *gp = read_plot(p->item[n].name, ".gp"), *dat = read_plot(p->item[n].name, ".dat");
        str_addf(out, "%s\n%s%s", p->item[n].name, gp, dat);
        mem_free(gp);
        mem_free(dat);
    }
}

START_TEST(the_same_rows_give_the_same_bytes)
{
    for (int i = 0; i < figure_count(); i++)
        for (int k = 0; k < N_FOLDER; k++) {
            struct str text[2] = {{0}, {0}};
            for (int again = 0; again < 2; again++) {
                struct plot_list p;
                draw(figure_at(i), &folder[k], &p);
                read_plots(&p, &text[again]);
                plot_list_fini(&p);
            }
            ck_assert_str_eq(str_c(&text[0]), str_c(&text[1]));
            str_free(&text[0]);
            str_free(&text[1]);
        }
}
END_TEST

Suite *make_figure_suite(void)
{
    Suite *s = suite_create("figure");
    TCase *t = tcase_create("figure");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_figure_says_what_it_is);
    tcase_add_test(t, a_figure_adds_nothing_where_it_does_not_apply_and_something_where_it_does);
    tcase_add_test(t, every_picture_has_data_and_a_script_of_its_name);
    tcase_add_test(t, the_same_rows_give_the_same_bytes);
    suite_add_tcase(s, t);
    return s;
}
