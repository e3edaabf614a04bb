/* The same tests on several numbers of threads: what more of them give. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/bench/bench.h"
#include "harness/report/plot.h"
#include "harness/report/table.h"

static void cell(struct table *t, double x, const char *format)
{
    if (isnan(x))
        table_add_text(t, "-");
    else
        table_add_value(t, x, format);
}

/* What is compared: the limits first, then the tests. A rate, so that more is better; NAN: not measured. */
static double rate_of(const struct bench_report *r, int line)
{
    double best, least;
    if (line < BENCH_N_LIMIT)
        return bench_extremes(r, line, &best, &least) ? best : (double)NAN;
    const struct bench_row *row = &r->row[line - BENCH_N_LIMIT];
    return row->skipped[0] ? (double)NAN : row->r.tokens / row->mean;
}

static const char *name_of(const struct bench_report *r, int line)
{
    return line < BENCH_N_LIMIT ? bench_limit_info[line].name : r->row[line - BENCH_N_LIMIT].test->name;
}

static void add_line(struct table *t, const struct bench_report *r, const struct bench_report *first, int line)
{
    const struct bench_row *row = line < BENCH_N_LIMIT ? NULL : &r->row[line - BENCH_N_LIMIT];
    double now = rate_of(r, line), up = now / rate_of(first, line);
    if (isnan(now))
        return;
    table_add_text(t, name_of(r, line));
    cell(t, r->threads, "%.0f");
    cell(t, row ? now : now / 1e9, row ? "%.2f" : "%.1f");
    table_add_text(t, row ? "t/s" : bench_limit_info[line].unit);
    cell(t, row ? row->mean : (double)NAN, "%.4f");
    cell(t, up, "%.2f");
    cell(t, up * first->threads / r->threads, "%.2f");
    cell(t, row ? row->ratio : (double)NAN, "%.3f");
    cell(t, row && row->r.rss > 0 ? row->r.rss / (1 << 20) : (double)NAN, "%.0f");
    table_add_text(t, row ? row->test->what : bench_limit_info[line].what);
}

void bench_print_scale(const struct bench_report *r, int n, struct quote *out)
{
    static const char *const head[] = {"of",       "threads",    "rate",  "unit", "seconds",
                                       "speed-up", "efficiency", "ratio", "MiB",  "what"};
    struct table t = {.n_column = 10, .left = 1};
    bench_print_machine(r, out);
    for (int i = 0; i < t.n_column; i++)
        table_add_text(&t, head[i]);
    for (int line = 0; line < BENCH_N_LIMIT + r->n_row; line++)
        for (int i = 0; i < n; i++)
            add_line(&t, &r[i], &r[0], line);
    quote_add(out, "\n");
    table_write(&t, out);
    table_free(&t);
}

void bench_plot_scale(const struct bench_report *r, int n, struct quote *dat, struct quote *gp)
{
    int k = 0, most = r->threads, least = r->threads;
    for (int i = 0; i < n; i++) {
        most = r[i].threads > most ? r[i].threads : most;
        least = r[i].threads < least ? r[i].threads : least;
    }
    quote_add(dat, "# threads, speed-up over %d of them, rate: FLOP/s, bytes/s or tokens/s\n", r->threads);
    for (int png = 0; png < 2; png++) {
        plot_terminal("bench-scaling", png, gp);
        if (png) {
            quote_add(gp, "replot\n");
            continue;
        }
        quote_add(gp, "set encoding utf8\nset key outside right top Left reverse noenhanced samplen 2 spacing 1.2\n");
        quote_add(gp, "set grid lc rgb '#dddddd'\nset logscale xy 2\nset xrange [%d:%d]\n", least, most);
        quote_add(gp, "set xlabel 'threads'\nset ylabel 'speed-up'\nset xtics (");
        quote_add(gp, "%d", r->threads);
        for (int i = 1; i < n; i++)
            quote_add(gp, ", %d", r[i].threads);
        quote_add(gp, ")\nplot x / %d.0 with lines dt 2 lw 1.5 lc rgb '#000000' title 'as many times as threads'",
                  r->threads);
        for (int line = 0; line < BENCH_N_LIMIT + r->n_row; line++) {
            int limit = line < BENCH_N_LIMIT;
            if (isnan(rate_of(r, line)))
                continue;
            quote_add(dat, "\n\n# %s\n", name_of(r, line));
            for (int i = 0; i < n; i++)
                quote_add(dat, "%d %.9g %.9g\n", r[i].threads, rate_of(&r[i], line) / rate_of(r, line),
                          rate_of(&r[i], line));
            quote_add(
                gp,
                ", \\\n  'bench-scaling.dat' index %d using 1:2 with linespoints lw 1.8 dt %d ps 1 pt %d lc rgb %s "
                "title %s",
                k, limit ? 3 : 1, plot_point[k % 9], plot_colour[k % 8], name_of(r, line));
            k++;
        }
        quote_add(gp, "\n");
    }
}
