/* `depthkv bench`: throughput and memory of the engine, each beside the limit of this machine. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/fs.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/bench/bench.h"
#include "harness/bench/bench_loop.h"
#include "harness/bench/bench_products.h"
#include "harness/bench/bench_shape.h"
#include "harness/cmd/cli.h"
#include "harness/experiment/experiment.h"
#include "harness/report/plot.h"
#include "harness/run/open_model.h"
#include "models/kernels.h"
#include "models/kernels_bf16.h"
#include "models/threads.h"
#include "models/transformer.h"

static const char help[] =
    "Time prefill, decoding and sweeps against limits of this machine that are measured in the same run.\n\n"
    "usage: depthkv bench -m MODEL | --shape NAME [options]\n\n"
    "  -m MODEL           model file\n"
    "  --shape NAME       a model of that shape, made in memory from random numbers: see below\n"
    "  -r N               repeats after a warm-up (default 3)\n"
    "  --only LIST        some tests, comma-separated; a name, or the beginning of several: pp2048,tg,sweep; `all` is\n"
    "                     all of them, `limits` measures the machine alone, `products` every kernel on the model's\n"
    "                     products\n"
    "  --threads N        threads; of several numbers (1,4,16) a table with speed-up and efficiency\n"
    "  --plot DIR         a plot of the speed-ups there\n"
    "  --weight-dtype D   f32 or bf16: how weights are held (default f32)\n"
    "  --arithmetic A     f32 or bf16: of products (default f32); bf16 holds weights as bf16\n"
    "  --cache-dtype D    f32 or bf16: how keys and values are held (default f32)\n"
    "  --timing           where the time goes, from one more repeat: by phase (prefill, decoding, forced passes)\n"
    "                     linear, attention, statistics, scoring, cutting, I/O (--profile, its old name, still works)\n"
    "  --json, --csv      for programs; --json holds every raw time\n"
    "  -q, --quiet        no progress on stderr, nor how long it will take\n\n"
    "Without --only about 40 prefills of 2048 tokens: 3 minutes with 135 million parameters on two cores that need 4\n"
    "seconds for one, and for each number of --threads again. A line is printed as soon as its test is done.\n\n"
    "tests:\n";
static const char help_end[] =
    "\nratio: of prefills limit / time (1 is the machine's limit), of the others time / limit. Where reading memory is "
    "the\n"
    "limit it is measured before and after every repeat. models/PERFORMANCE.md defines the limits.\n\n"
    "examples:\n"
    "  depthkv bench -m model.h5\n"
    "  depthkv bench -m model.h5 --only pp2048,tg -r 5 --json\n"
    "  depthkv bench --shape llama-1b --weight-dtype bf16 --threads 1,4,16 --only pp2048,tg32@2048 --plot .\n";

enum { MAX_TEST = 32, MAX_SERIES = 16, FORMAT_TABLE = 0, FORMAT_SERIES, FORMAT_JSON, FORMAT_CSV };

struct options {
    const char *model, *shape, *only, *plot;
    int threads[MAX_SERIES], n_threads; /* 0: as many as there are */
    int64_t repeats;
    int format, quiet, timing;
    enum model_dtype dtype, arithmetic, cache_dtype;
    unsigned char chosen[MAX_TEST];
    int all_limits, products; /* products: a table by itself */
};

static void print_help(void)
{
    quote_show_lines(stdout, help);
    for (int i = 0; i < bench_test_count(); i++)
        quote_show(stdout, "  %-15s %s%s\n", bench_test_at(i)->name, bench_test_at(i)->what,
                   bench_test_at(i)->asked ? " (only where --only asks for it)" : "");
    struct str shapes = {0};
    bench_shape_names(&shapes);
    quote_show(stdout, "\nshapes: %s\n", shapes.p);
    str_free(&shapes);
    quote_show_lines(stdout, help_end);
}

/* A test's whole name chooses it alone; the beginning of names chooses all of them. */
static int choose(struct options *o, const char *name)
{
    const char *known[MAX_TEST + 3];
    int n = bench_test_count(), found = 0;
    for (int i = 0; i < n; i++) {
        known[i] = bench_test_at(i)->name;
        if (!strcmp(known[i], name)) {
            o->chosen[i] = 1;
            return 0;
        }
    }
    known[n] = "limits";
    known[n + 1] = "products";
    known[n + 2] = "all";
    if (!strcmp(name, known[n]) || !strcmp(name, known[n + 1])) {
        *(strcmp(name, known[n]) ? &o->products : &o->all_limits) = 1;
        return 0;
    }
    if (!strcmp(name, known[n + 2])) {
        memset(o->chosen, 1, (size_t)n);
        return 0;
    }
    for (int asked = 0; asked < 2 && !found; asked++) /* the long ones only where no other begins so */
        for (int i = 0; i < n && *name; i++)
            if (bench_test_at(i)->asked == asked && !strncmp(known[i], name, strlen(name)))
                o->chosen[i] = 1, found = 1;
    if (found)
        return 0;
    return cli_usage("bench", "--only: test '%s' unknown%s", name, str_did_you_mean(name, known, n + 3));
}

static int choose_all(struct options *o)
{
    if (!o->only) {
        for (int i = 0; i < bench_test_count(); i++)
            o->chosen[i] = !bench_test_at(i)->asked;
        return 0;
    }
    char *list = mem_strdup(o->only), *rest = list, *name;
    int rc = 0;
    while (!rc && (name = strsep(&rest, ",")))
        rc = choose(o, name);
    mem_free(list);
    return rc;
}

static int quiet;

static void show_progress(const char *test, int repeat, int n)
{
    if (quiet)
        return;
    if (repeat == 0)
        quote_show(stderr, "%s: warming up\n", test);
    else if (repeat <= n)
        quote_show(stderr, "%s: %d of %d\n", test, repeat, n);
    else
        quote_show(stderr, "%s: timing\n", test);
}

/* What stands against a test on this model; "" when nothing does. */
static void why_not(const struct model *m, const struct bench_test *t, char *out, size_t size)
{
    int need = t->tokens + t->new_tokens;
    if (need > m->hp.context_length)
        snprintf(out, size, "%d tokens exceed the model's context of %d", need, m->hp.context_length);
    else if (t->needs_tokenizer && !m->tokenizer)
        snprintf(out, size, "the model file holds no tokenizer");
}

struct state {
    struct bench_row *row;
    int n_row;
    double (*point)[BENCH_N_LIMIT];
    int n_point, failed;
    int format; /* of lines that are printed as soon as their test is done: not of JSON, nor of a table of threads */
};

static unsigned limits_of(const struct state *s, int k)
{
    return k >= 0 && k < s->n_row && !s->row[k].skipped[0] ? s->row[k].test->limits : 0;
}

static int run_test(struct bench_row *row, struct bench_run *b, struct err *e)
{
    double start = clock_seconds(), others = clock_other_cpu_seconds();
    int rc = row->test->run(b, row->test, &row->r, e);
    double cpus = (double)sysconf(_SC_NPROCESSORS_ONLN) * (clock_seconds() - start);
    row->others = others < 0 ? (double)NAN : fmax(0, clock_other_cpu_seconds() - others) / cpus;
    if (rc)
        snprintf(row->skipped, sizeof row->skipped, "%s", e->msg);
    return rc;
}

static void print_now(struct quote *page)
{
    quote_print(page, stdout);
    fflush(stdout);
    quote_free(page);
}

/* What is known of a test once the limits behind it are measured. */
static void finish(struct bench_row *row, const double after[BENCH_N_LIMIT], int format)
{
    struct quote page = {.language = format == FORMAT_CSV ? QUOTE_CSV : QUOTE_MARKDOWN};
    memcpy(row->after, after, sizeof row->after);
    if (!row->skipped[0])
        bench_row_judge(row);
    if (format == FORMAT_CSV)
        bench_print_csv(row, transformer_threads(), &page);
    else if (format == FORMAT_TABLE)
        bench_print_row(row, &page);
    print_now(&page);
    if (!quiet && !row->skipped[0])
        quote_show(stderr, "%s: %.4f s, ratio %.3f\n", row->test->name, row->mean, row->ratio);
}

/* Limits are measured between any two tests, so that each test has them right before and right after it. A test that
 * fails ends itself only; Ctrl-C ends all, and what was measured is printed. */
static void measure_all(struct state *s, struct bench_run *b, struct bench_limits *limits, int all_limits,
                        struct err *e)
{
    struct err why = {0};
    for (int k = 0; k <= s->n_row; k++) {
        unsigned wanted = all_limits ? (1u << BENCH_N_LIMIT) - 1 : limits_of(s, k - 1) | limits_of(s, k);
        double *point = s->point[s->n_point++];
        if (wanted && !quiet)
            quote_show(stderr, "limits of the machine\n");
        int bad = bench_limits_measure(limits, why.code == ERR_INTERRUPTED ? 0 : wanted, point, &why);
        if (k > 0)
            finish(&s->row[k - 1], point, s->format);
        if (k < s->n_row) {
            struct bench_row *row = &s->row[k];
            memcpy(row->before, point, sizeof row->before);
            if (!row->skipped[0] && (bad || why.code == ERR_INTERRUPTED))
                snprintf(row->skipped, sizeof row->skipped, "%s", why.msg);
            else if (!row->skipped[0])
                bad = run_test(row, b, &why);
        }
        if (bad && !s->failed++)
            *e = why;
    }
}

/* How long it will take, on stderr. */
static void tell_time(const struct state *s, const struct bench_run *b)
{
    double seconds = 0, rate = quiet ? 0 : bench_loop_rate(b->model->arithmetic, transformer_threads());
    int n = 0, threads = transformer_threads();
    for (int k = 0; k < s->n_row && !quiet; k++)
        if (!s->row[k].skipped[0]) {
            seconds += bench_test_seconds(s->row[k].test, b->model, rate, 1 + b->repeats + (b->timing ? 1 : 0));
            n++;
        }
    if (n)
        quote_show(stderr, "%d test%s on %d thread%s: about %.0f %s\n", n, n > 1 ? "s" : "", threads,
                   threads > 1 ? "s" : "", ceil(seconds < 100 ? seconds : seconds / 60),
                   seconds < 100 ? "seconds" : "minutes");
}

static void choose_rows(struct state *s, const struct options *o, const struct model *m, int *longest)
{
    for (int i = 0; i < bench_test_count(); i++) {
        if (!o->chosen[i])
            continue;
        struct bench_row *row = &s->row[s->n_row++];
        row->test = bench_test_at(i);
        row->goal = bench_test_goal(row->test, m);
        for (int l = 0; l < BENCH_N_LIMIT; l++)
            row->before[l] = row->after[l] = (double)NAN;
        why_not(m, row->test, row->skipped, sizeof row->skipped);
        int need = row->test->tokens + row->test->new_tokens;
        if (!row->skipped[0] && need > *longest)
            *longest = need;
    }
}

/* Before any test: what the lines belong to. */
static void print_heads(const struct bench_report *r, int format)
{
    struct quote page = {.language = format == FORMAT_CSV ? QUOTE_CSV : QUOTE_MARKDOWN};
    if (format == FORMAT_CSV)
        bench_print_csv_head(&page);
    else if (format == FORMAT_TABLE && r->n_row)
        bench_print_head(r, &page);
    else if (format == FORMAT_TABLE)
        bench_print_machine(r, &page);
    print_now(&page);
}

/* What is printed when all is done, also of a bench that was stopped: what it has. */
static void print_reports(const struct bench_report *r, int n, int format)
{
    struct quote page = {.language = QUOTE_MARKDOWN};
    struct str json = {0};
    for (int i = 0; i < n && format == FORMAT_JSON; i++) {
        str_add(&json, n == 1 ? "" : i ? ",\n" : "[");
        bench_print_json(&r[i], &json);
        str_add(&json, n > 1 && i == n - 1 ? "]\n" : "");
    }
    if (format == FORMAT_TABLE && n == 1)
        bench_print_rest(r, &page);
    else if (format == FORMAT_SERIES)
        bench_print_scale(r, n, &page);
    print_now(&page);
    quote_show_lines(stdout, str_c(&json));
    str_free(&json);
}

static int plot(const struct bench_report *r, int n, const char *folder, struct err *e)
{
    struct quote dat = {.language = QUOTE_LINE}, gp = {.language = QUOTE_GNUPLOT};
    struct plot_list list = {0};
    struct str name = {0};
    str_add(&name, "bench-scaling");
    bench_plot_scale(r, n, &dat, &gp);
    int rc = fs_mkdirs(folder, e) || plot_save(folder, &name, NULL, &dat, &gp, &list, e) ? -1 : 0;
    if (rc == 0 && !list.item[0].drawn)
        rc = err_set(e, ERR_IO, "%s/bench-scaling.gp could not be drawn: %s", folder,
                     list.why ? list.why : "there is no gnuplot");
    plot_list_fini(&list);
    return rc;
}

/* The experiment of the sweeps names a model file: of a shape, one that has no weights, as long as it is read. */
static struct bench_cells *create_cells(const struct options *o, const struct model *m, struct err *e)
{
    struct str path = {0};
    if (!o->shape)
        return bench_cells_create(o->model, e);
    int f = fs_temporary("depthkv-shape", &path, e), number = f < 0 ? -1 : leave_remove(path.p);
    if (f < 0)
        return NULL;
    close(f);
    struct bench_cells *c = bench_shape_file(&m->hp, path.p, e) ? NULL : bench_cells_create(path.p, e);
    unlink(path.p);
    if (number >= 0)
        leave_forget(number);
    str_free(&path);
    return c;
}

static void describe(const struct state *s, const struct bench_run *b, struct bench_report *out)
{
    *out = (struct bench_report){.model = b->model,
                                 .row = s->row,
                                 .n_row = s->n_row,
                                 .limits = b->limits,
                                 .point = (const double(*)[BENCH_N_LIMIT])s->point,
                                 .n_point = s->n_point,
                                 .repeats = b->repeats,
                                 .threads = transformer_threads(),
                                 .cache_dtype = b->cache_dtype};
}

static int print_products(const struct options *o, const struct model *m, struct err *e)
{
    int rc = 0;
    kernels_init();
    for (int i = 0; rc == 0 && i < (o->n_threads ? o->n_threads : 1) && !leave_asked(); i++) {
        struct quote page = {.language = QUOTE_MARKDOWN};
        if (o->n_threads)
            transformer_set_threads(o->threads[i]);
        threads_place(transformer_threads());
        rc = bench_products(m, &page, e);
        quote_print(&page, stdout);
        quote_show(stdout, "\n");
        quote_free(&page);
    }
    return rc;
}

/* All tests on one number of threads after the other; limits are measured on as many each time. */
static int bench(const struct options *o, struct err *e)
{
    int rc = -1, longest = 0, n = o->n_threads > 1 ? o->n_threads : 1, done = 0;
    struct state s[MAX_SERIES] = {0};
    struct bench_report report[MAX_SERIES];
    struct bench_run b = {.repeats = (int)o->repeats,
                          .timing = o->timing,
                          .progress = show_progress,
                          .shape = o->shape,
                          .cache_dtype = o->cache_dtype};
    struct bench_limits *limits[MAX_SERIES] = {NULL};
    struct model *m =
        o->shape ? bench_shape_model(o->shape, o->dtype, e) : open_model(o->model, o->dtype, o->arithmetic, e);
    if (!m)
        return -1;
    if (o->arithmetic == MODEL_BF16 && kernels_bf16_check(e)) {
        model_close(m);
        return -1;
    }
    m->arithmetic = o->arithmetic;
    if (o->products) {
        rc = print_products(o, m, e);
        goto out;
    }
    b.model = m;
    b.cells = create_cells(o, m, e);
    if (!b.cells)
        goto out;
    rc = 0;
    for (; done < n && !leave_asked(); done++) {
        s[done] = (struct state){.row = mem_new(MAX_TEST, sizeof *s->row),
                                 .point = mem_new(MAX_TEST + 1, sizeof *s->point),
                                 .format = o->format == FORMAT_TABLE && n > 1 ? FORMAT_SERIES : o->format};
        choose_rows(&s[done], o, m, &longest);
        if (!done)
            bench_prompt(m, longest + 1, &b.prompt);
        if (o->n_threads)
            transformer_set_threads(o->threads[done]);
        b.limits = limits[done] = bench_limits_create(m);
        describe(&s[done], &b, &report[done]);
        if (!done)
            print_heads(&report[done], s[done].format);
        tell_time(&s[done], &b);
        measure_all(&s[done], &b, limits[done], o->all_limits, e);
        describe(&s[done], &b, &report[done]);
        rc = s[done].failed ? -1 : rc;
    }
    print_reports(report, done, done ? s[0].format : o->format);
    if (o->plot && rc == 0)
        rc = plot(report, done, o->plot, e);
out:
    for (int i = 0; i < n; i++) {
        bench_limits_destroy(limits[i]);
        mem_free(s[i].row);
        mem_free(s[i].point);
    }
    bench_cells_destroy(b.cells);
    token_ids_free(&b.prompt);
    model_close(m);
    return rc;
}

static int choose_threads(struct options *o, const char *text)
{
    char *list = mem_strdup(text), *rest = list, *one;
    int bad = 0;
    o->n_threads = 0;
    while (!bad && (one = strsep(&rest, ","))) {
        int64_t n = 0;
        bad = cli_int("bench", "--threads", one, 1, 1024, &n);
        if (!bad && o->n_threads == MAX_SERIES)
            bad = cli_usage("bench", "--threads: more than %d numbers", MAX_SERIES);
        if (!bad)
            o->threads[o->n_threads++] = (int)n;
    }
    mem_free(list);
    return bad;
}

static int choose_dtype(const char *option, const char *name, enum model_dtype *out)
{
    if (strcmp(name, experiment_dtype_names[0]) != 0 && strcmp(name, experiment_dtype_names[1]) != 0)
        return cli_usage("bench", "%s: '%s' is neither %s nor %s", option, name, experiment_dtype_names[0],
                         experiment_dtype_names[1]);
    *out = strcmp(name, experiment_dtype_names[1]) == 0 ? MODEL_BF16 : MODEL_F32;
    return 0;
}

/* 0, or an exit code + 1 so that -h can end with 0. */
static int parse(int argc, char **argv, struct options *o)
{
    enum { ONLY = 256, THREADS, JSON, CSV, TIMING, WEIGHT_DTYPE, SHAPE, PLOT, ARITHMETIC, CACHE_DTYPE };
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'},
        {"only", required_argument, NULL, ONLY},
        {"threads", required_argument, NULL, THREADS},
        {"json", no_argument, NULL, JSON},
        {"csv", no_argument, NULL, CSV},
        {"timing", no_argument, NULL, TIMING},
        {"profile", no_argument, NULL, TIMING}, /* what it was called */
        {"quiet", no_argument, NULL, 'q'},
        {"weight-dtype", required_argument, NULL, WEIGHT_DTYPE},
        {"shape", required_argument, NULL, SHAPE},
        {"plot", required_argument, NULL, PLOT},
        {"arithmetic", required_argument, NULL, ARITHMETIC},
        {"cache-dtype", required_argument, NULL, CACHE_DTYPE},
        {NULL, 0, NULL, 0},
    };
    int c, start = 1;
    while ((c = cli_option(argc, argv, ":hm:r:q", longs, &start)) != -1) {
        int bad = 0;
        switch (c) {
        case 'h': print_help(); return CLI_OK + 1;
        case 'm': o->model = optarg; break;
        case 'r': bad = cli_int("bench", "-r", optarg, 1, BENCH_MAX_REPEAT, &o->repeats); break;
        case 'q': o->quiet = 1; break;
        case ONLY: o->only = optarg; break;
        case THREADS: bad = choose_threads(o, optarg); break;
        case SHAPE: o->shape = optarg; break;
        case PLOT: o->plot = optarg; break;
        case JSON: o->format = FORMAT_JSON; break;
        case TIMING: o->timing = 1; break;
        case WEIGHT_DTYPE: bad = choose_dtype("--weight-dtype", optarg, &o->dtype); break;
        case ARITHMETIC: bad = choose_dtype("--arithmetic", optarg, &o->arithmetic); break;
        case CACHE_DTYPE: bad = choose_dtype("--cache-dtype", optarg, &o->cache_dtype); break;
        case CSV: o->format = FORMAT_CSV; break;
        default: return cli_bad_option("bench", c, argv, longs) + 1;
        }
        if (bad)
            return CLI_USAGE + 1;
    }
    if (optind < argc)
        return cli_usage("bench", "'%s' is too much; tests are chosen by --only", argv[optind]) + 1;
    if (!o->model && !o->shape)
        return cli_usage("bench", "-m MODEL is missing, or --shape NAME") + 1;
    if (o->model && o->shape)
        return cli_usage("bench", "-m and --shape are two models; take one") + 1;
    if (o->plot && o->n_threads < 2)
        return cli_usage("bench",
                         "--plot: there are speed-ups to plot only with several numbers of --threads (1,2,4)") +
               1;
    if (o->arithmetic == MODEL_BF16)
        o->dtype = MODEL_BF16;
    return choose_all(o) ? CLI_USAGE + 1 : 0;
}

int cmd_bench(int argc, char **argv)
{
    struct options o = {.repeats = 3, .dtype = MODEL_F32, .cache_dtype = MODEL_F32};
    struct err e = {0};
    int rc = parse(argc, argv, &o);
    if (rc)
        return rc - 1;
    quiet = o.quiet;
    leave_when_asked();
    int bad = bench(&o, &e);
    rc = bad ? cli_fail(&e) : CLI_OK;
    return rc;
}
