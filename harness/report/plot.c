#include "harness/report/plot.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/report/gnuplot.h"

const char *const plot_colour[8] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                    "#e69f00", "#56b4e9", "#7f7f7f", "#8c564b"};
const int plot_point[9] = {7, 5, 9, 11, 13, 4, 6, 8, 10};

void plot_list_fini(struct plot_list *p)
{
    for (int i = 0; i < p->n; i++)
        mem_free(p->item[i].name);
    mem_free(p->item);
    mem_free(p->failed);
    mem_free(p->why);
    message_list_free(&p->messages);
    *p = (struct plot_list){0};
}

void plot_ends(double lo, double hi, struct quote *dat)
{
    if (isfinite(lo) && isfinite(hi))
        quote_add(dat, " %.9g %.9g", lo, hi);
    else
        quote_add(dat, " NaN NaN");
}

/* Where the picture goes: 0: SVG, 1: PNG. */
void plot_terminal(const char *name, int png, struct quote *gp)
{
    struct str file = {0};
    str_addf(&file, png ? "%s.png" : "%s.svg", name);
    if (png)
        quote_add(gp, "set terminal pngcairo size 1080,600 font 'sans,12'\n");
    else
        quote_add(gp, "set terminal svg size 900,500 font 'sans,13' background 'white'\n");
    quote_add(gp, "set output %s\n", file.p);
    str_free(&file);
}

/* gnuplot's end, and what is to be told of it: the first failure, and how many there were. */
static int draw(const char *folder, const char *name, struct plot_list *out, struct err *e)
{
    struct str why = {0};
    enum gnuplot_end end = GNUPLOT_LATE;
    if (out->stuck)
        gnuplot_remove(folder, name);
    else
        end = gnuplot_run(folder, name, &why);
    out->stuck |= end == GNUPLOT_LATE;
    if (end == GNUPLOT_ABSENT && !message_has(&out->messages, MESSAGE_NO_GNUPLOT)) {
        message_add(&out->messages, MESSAGE_NO_GNUPLOT, &(struct message_values){.text = {folder}});
    } else if ((end == GNUPLOT_FAILED || end == GNUPLOT_LATE) && out->n_failed++ == 0) {
        out->failed = fs_join(folder, name);
        out->why = mem_strdup(str_c(&why));
    }
    str_free(&why);
    out->item[out->n - 1].drawn = end == GNUPLOT_DONE;
    return end == GNUPLOT_INTERRUPTED
               ? err_set(e, ERR_INTERRUPTED, "interrupted while %s/%s.gp was drawn", folder, name)
               : 0;
}

int plot_save(const char *folder, struct str *name, const char *task_key, struct quote *dat, struct quote *gp,
              struct plot_list *out, struct err *e)
{
    struct str data = {0}, script = {0};
    str_addf(&data, "%s/%s.dat", folder, name->p);
    str_addf(&script, "%s/%s.gp", folder, name->p);
    gnuplot_remove(folder, name->p); /* before its data change: whenever this ends, no picture shows others */
    int bad = quote_save(dat, data.p, e) || quote_save(gp, script.p, e);
    mem_grow(&out->item, &out->cap, (size_t)out->n + 1, sizeof *out->item);
    out->item[out->n++] = (struct plot_item){.name = str_take(name), .task_key = task_key};
    bad = bad || draw(folder, out->item[out->n - 1].name, out, e);
    quote_free(dat);
    quote_free(gp);
    str_free(&data);
    str_free(&script);
    return bad ? -1 : 0;
}

/* The first picture that is missing and why, and how many more there are. */
void plot_list_tell(struct plot_list *p)
{
    struct str more = {0};
    if (p->n_failed > 1)
        str_addf(&more, " (and %d more)", p->n_failed - 1);
    if (p->n_failed)
        message_add(&p->messages, MESSAGE_NO_PICTURE,
                    &(struct message_values){.text = {p->failed, p->why, str_c(&more)}});
    str_free(&more);
}

static const char safe[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-";

void plot_safe_name(struct str *name)
{
    enum {
        MOST = 100,
        HASH = 9
    }; /* with a folder in front and .gp.tmp.1234567 behind, far below the 255 of a file system */
    uint64_t hash = hash_fnv1a(name->p, name->n);
    for (char *p = name->p; *p; p++)
        if (!strchr(safe, *p))
            *p = '_';
    if (name->n <= MOST)
        return;
    name->n = MOST - HASH;
    str_addf(name, "-%08x", (unsigned)(hash & 0xFFFFFFFF));
}

/* ---- what was drawn here before ---- */

static int is_listed(const struct plot_list *p, const char *name)
{
    for (int i = 0; i < p->n; i++)
        if (strcmp(p->item[i].name, name) == 0)
            return 1;
    return 0;
}

static void remove_figure(const char *folder, const char *name)
{
    gnuplot_remove(folder, name);
    for (int i = 0; i < 2; i++) {
        struct str path = {0};
        str_addf(&path, i ? "%s/%s.gp" : "%s/%s.dat", folder, name);
        remove(path.p);
        str_free(&path);
    }
}

int plot_own(const char *folder, const char *maker, const struct plot_list *now, int is_whole, struct err *e)
{
    struct quote page = {.language = QUOTE_LINE};
    struct str path = {0};
    size_t n = 0;
    str_addf(&path, "%s/%s.list", folder, maker);
    char *old = fs_exists(path.p) ? fs_read(path.p, &n, NULL) : NULL;
    int rc = 0;
    quote_add(&page, "# Figures of depthkv %s. It removes those of them that it makes no more, and no other file.\n",
              maker);
    for (char *line = old; line && *line;) {
        size_t length = strcspn(line, "\n");
        char *next = line + length + (line[length] == '\n');
        line[length] = '\0';
        /* somebody may have written into the list: only what could be a figure's name leads to a file of this folder */
        int is_name = length > 0 && strspn(line, safe) == length && !is_listed(now, line);
        if (is_name && is_whole)
            remove_figure(folder, line);
        else if (is_name)
            quote_add(&page, "%s\n", line);
        line = next;
    }
    for (int i = 0; i < now->n; i++)
        quote_add(&page, "%s\n", now->item[i].name);
    if (old || now->n)
        rc = quote_save(&page, path.p, e);
    quote_free(&page);
    mem_free(old);
    str_free(&path);
    return rc;
}
