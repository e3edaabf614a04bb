/* What bench found, judged and printed: a table in llama-bench's manner, CSV, or JSON with every raw time. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/bench/bench.h"
#include "harness/experiment/experiment.h"
#include "harness/report/table.h"
#include "harness/rows/manifest.h"
#include "harness/rows/source_id.h"
#include "models/kernels.h"

static const double DRIFT = 0.05;  /* limits that differ by more before and after are told of */
static const double OTHERS = 0.03; /* share of the CPUs that other processes may take without a word */

double bench_best(double before, double after)
{
    return before > after || isnan(after) ? before : after;
}

static double mean_of(const double *x, int n, double *sd)
{
    double sum = 0, square = 0;
    for (int i = 0; i < n; i++)
        sum += x[i];
    double mean = n ? sum / n : (double)NAN;
    for (int i = 0; i < n; i++)
        square += (x[i] - mean) * (x[i] - mean);
    *sd = n > 1 ? sqrt(square / (n - 1)) : (double)NAN; /* one repeat tells nothing of it */
    return mean;
}

static int differ(double a, double b)
{
    return fabs(a - b) > DRIFT * bench_best(a, b); /* never when either is no number */
}

/* What repeat i could have taken: its base, or work over rates. */
static double limit_seconds(const struct bench_row *row, int i)
{
    const struct bench_result *r = &row->r;
    const double work[BENCH_N_LIMIT] = {r->linear_flop, r->qk_flop, r->pv_flop, r->rows32_flop, r->bytes};
    double seconds = 0;
    if (r->relative)
        return r->base[i];
    for (int l = 0; l < BENCH_N_LIMIT; l++) {
        const double *pair = l == BENCH_BANDWIDTH && r->paired ? r->bandwidth[i] : NULL;
        if (work[l] > 0)
            seconds += work[l] / (pair ? bench_best(pair[0], pair[1]) : bench_best(row->before[l], row->after[l]));
    }
    return seconds;
}

void bench_row_judge(struct bench_row *row)
{
    const struct bench_result *r = &row->r;
    double ratio[BENCH_MAX_REPEAT], limit[BENCH_MAX_REPEAT], ignored;
    int n = 0, share = row->test->direction == BENCH_SHARE;
    row->mean = mean_of(r->second, r->n, &row->sd);
    row->moved = 0;
    for (int i = 0; i < r->n; i++)
        row->moved += r->paired && differ(r->bandwidth[i][0], r->bandwidth[i][1]);
    row->moved = row->moved < r->n ? row->moved : 0; /* where none was steady, all count */
    for (int i = 0; i < r->n; i++) {
        if (row->moved && differ(r->bandwidth[i][0], r->bandwidth[i][1]))
            continue;
        limit[n] = limit_seconds(row, i);
        ratio[n] = share ? limit[n] / r->second[i] : r->second[i] / limit[n];
        if (n == 0 || (share ? ratio[n] > row->ratio_best : ratio[n] < row->ratio_best))
            row->ratio_best = ratio[n];
        n++;
    }
    row->limit = mean_of(limit, n, &ignored);
    row->ratio = mean_of(ratio, n, &row->ratio_sd);
}

/* ---- the table ------------------------------------------------------------------------------ */

static void cell(struct table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void cell(struct table *t, const char *fmt, ...)
{
    char text[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    table_add_text(t, text);
}

static void heads(struct table *t, const char *const *head)
{
    for (int i = 0; i < t->n_column; i++)
        table_add_text(t, head[i]);
}

static double parameters(const struct hparams *hp)
{
    double n = 0;
    for (int i = 0; i < model_n_tensor(hp); i++) {
        struct model_tensor x;
        model_tensor_at(hp, i, &x);
        n += (double)x.dim[0] * (x.rank == 2 ? x.dim[1] : 1);
    }
    return n;
}

static const char *weights_held(const struct model *m)
{
    return experiment_dtype_names[m->output.bf16 != NULL];
}

void bench_print_machine(const struct bench_report *r, struct quote *out)
{
    static const char *const head[] = {"model", "weights", "MiB", "params", "threads", "build", "cpu"};
    struct table t = {.n_column = 7, .left = 2};
    struct str cpu = {0};
    manifest_cpu(&cpu);
    heads(&t, head);
    cell(&t, "%s", fs_basename(r->model->path));
    cell(&t, "%s%s%s", weights_held(r->model), r->model->arithmetic == MODEL_BF16 ? ", bf16 arithmetic" : "",
         r->cache_dtype == MODEL_BF16 ? ", bf16 caches" : "");
    cell(&t, "%.1f", (double)r->model->weight_bytes / (1 << 20));
    cell(&t, "%.1f M", parameters(&r->model->hp) / 1e6);
    cell(&t, "%d", r->threads);
    cell(&t, "%s", source_id_git);
    cell(&t, "%s; %s", str_c(&cpu), kernels_blas());
    table_write(&t, out);
    table_free(&t);
    str_free(&cpu);
}

int bench_extremes(const struct bench_report *r, int i, double *best, double *least)
{
    int n = 0;
    for (int p = 0; p < r->n_point; p++) {
        double x = r->point[p][i];
        if (isnan(x))
            continue;
        *best = n && *best > x ? *best : x;
        *least = n && *least < x ? *least : x;
        n++;
    }
    return n;
}

static void print_limits(const struct bench_report *r, struct quote *out)
{
    static const char *const head[] = {"limit", "best", "least", "unit", "OpenBLAS", "own", "loop", "best is", "what"};
    struct table t = {.n_column = 9, .left = 1};
    heads(&t, head);
    for (int i = 0; i < BENCH_N_LIMIT; i++) {
        double best = 0, least = 0;
        if (!bench_extremes(r, i, &best, &least))
            continue;
        cell(&t, "%s", bench_limit_info[i].name);
        cell(&t, "%.1f", best / 1e9);
        cell(&t, "%.1f", least / 1e9);
        cell(&t, "%s", bench_limit_info[i].unit);
        for (int w = 0; w < BENCH_N_WAY; w++) {
            double rate = bench_limits_way(r->limits, (enum bench_limit)i, (enum bench_way)w);
            if (isnan(rate))
                cell(&t, "-");
            else
                cell(&t, "%.1f", rate / 1e9);
        }
        cell(&t, "%s", bench_limits_shape(r->limits, (enum bench_limit)i));
        cell(&t, "%s", bench_limit_info[i].what);
    }
    if (t.n_row > 1) {
        quote_add(out, "\n");
        table_write(&t, out);
    }
    table_free(&t);
}

static void print_notes(const struct bench_report *r, struct quote *out)
{
    int moved[BENCH_N_LIMIT] = {0}, n = 0;
    for (int k = 0; k < r->n_row; k++) {
        const struct bench_row *row = &r->row[k];
        if (row->skipped[0])
            quote_add(out, "\n%s: no figures: %s\n", row->test->name, row->skipped);
        if (row->others > OTHERS)
            quote_add(out, "\n%s: other processes took %.0f %% of the CPUs meanwhile: end them and measure again\n",
                      row->test->name, 100 * row->others);
        if (row->moved)
            quote_add(out, "\n%s: the bandwidth moved during %d of %d repeats, which are not in the ratio\n",
                      row->test->name, row->moved, row->r.n);
        for (int i = 0; i < BENCH_N_LIMIT; i++)
            if (!moved[i] && differ(row->before[i], row->after[i]) && !(i == BENCH_BANDWIDTH && row->r.paired))
                moved[i] = 1, n++;
    }
    if (!n)
        return;
    quote_add(out, "\nlimits that moved by more than %.0f %% during a test:", 100 * DRIFT);
    for (int i = 0; i < BENCH_N_LIMIT; i++)
        if (moved[i])
            quote_add(out, " %s", bench_limit_info[i].name);
    quote_add(out, "; the better of before and after counts\n");
}

static void print_memory(const struct bench_report *r, struct quote *out)
{
    static const char *const head[] = {"test", "resident MiB", "weights + caches MiB", "percent", "goal", "what"};
    struct table t = {.n_column = 6, .left = 1};
    heads(&t, head);
    for (int k = 0; k < r->n_row; k++) {
        const struct bench_row *row = &r->row[k];
        if (!(row->r.expected > 0) || !(row->r.rss > 0))
            continue;
        cell(&t, "%s", row->test->name);
        cell(&t, "%.0f", row->r.rss / (1 << 20));
        cell(&t, "%.0f", row->r.expected / (1 << 20));
        cell(&t, "%.1f", 100 * row->r.rss / row->r.expected);
        cell(&t, "<= 110");
        cell(&t, "peak resident memory of the process");
    }
    if (t.n_row > 1) {
        quote_add(out, "\n");
        table_write(&t, out);
    }
    table_free(&t);
}

static double sum(const double *x, int n)
{
    double total = 0;
    for (int i = 0; i < n; i++)
        total += x[i];
    return total;
}

/* What no section covers: encoding, allocation, rows being filled. */
static double unaccounted(const struct bench_result *r)
{
    double rest = r->timing_s;
    for (int p = 0; p < TIMING_N_PHASE; p++)
        rest -= sum(r->timing[p], TIMING_N_KIND);
    return rest > 0 ? rest : 0;
}

/* A phase's own share that is neither linear nor attention nor anything else that has a column. */
static double rest_of(const struct bench_result *r, int p)
{
    const double *x = r->timing[p];
    return x[TIMING_OTHER] + x[TIMING_DECODING] + x[TIMING_FORCED] + (p == TIMING_PHASE_PREFILL ? unaccounted(r) : 0);
}

static void print_timing(const struct bench_report *r, struct quote *out)
{
    static const char *const head[] = {"% of the time", "phase",   "all", "linear", "attention", "statistics",
                                       "scoring",       "cutting", "I/O", "rest",   "seconds"};
    static const int column[] = {TIMING_LINEAR,  TIMING_ATTENTION, TIMING_STATISTICS,
                                 TIMING_SCORING, TIMING_CUTTING,   TIMING_IO};
    struct table t = {.n_column = 11, .left = 2};
    heads(&t, head);
    for (int k = 0; k < r->n_row; k++)
        for (int p = 0; p < TIMING_N_PHASE; p++) {
            const struct bench_result *x = &r->row[k].r;
            double all = sum(x->timing[p], TIMING_N_KIND) + (p == TIMING_PHASE_PREFILL ? unaccounted(x) : 0);
            if (!(x->timing_s > 0) || all < 0.001 * x->timing_s)
                continue;
            cell(&t, "%s", r->row[k].test->name);
            cell(&t, "%s", p == TIMING_PHASE_PREFILL ? "prefill, cut, rows" : timing_phase_name[p]);
            cell(&t, "%.1f", 100 * all / x->timing_s);
            for (size_t i = 0; i < sizeof column / sizeof *column; i++)
                cell(&t, "%.1f", 100 * x->timing[p][column[i]] / x->timing_s);
            cell(&t, "%.1f", 100 * rest_of(x, p) / x->timing_s);
            cell(&t, "%.3f", all);
        }
    if (t.n_row > 1) {
        quote_add(out, "\n");
        table_write(&t, out);
    }
    table_free(&t);
}

/* As many digits more as a deviation needs that would read 0 and is not. */
static void with_sd(struct table *t, int digits, double mean, double sd)
{
    while (sd > 0 && digits < 9 && sd < 0.5 * pow(10, -digits))
        digits++;
    if (isnan(sd))
        cell(t, "%.*f ± n/a", digits, mean);
    else
        cell(t, "%.*f ± %.*f", digits, mean, digits, sd);
}

/* Rows are printed as they come, so the columns are as wide as rows need that are not there yet. */
static const int width[] = {15, 15, 17, 8, 13, 5, 7, 0};
enum { N_WIDTH = sizeof width / sizeof *width };

void bench_print_head(const struct bench_report *r, struct quote *out)
{
    static const char *const head[] = {"test", "t/s", "seconds", "limit", "ratio", "best", "goal", "what"};
    struct table t = {.n_column = N_WIDTH, .left = 1, .least = width};
    bench_print_machine(r, out);
    quote_add(out, "\n");
    heads(&t, head);
    table_write(&t, out);
    table_free(&t);
}

void bench_print_row(const struct bench_row *row, struct quote *out)
{
    struct table t = {.n_column = N_WIDTH, .left = 1, .least = width, .goes_on = 1};
    if (row->skipped[0])
        return;
    cell(&t, "%s", row->test->name);
    with_sd(&t, 2, row->r.tokens / row->mean, row->r.tokens / row->mean * (row->sd / row->mean));
    with_sd(&t, 4, row->mean, row->sd);
    cell(&t, "%.4f", row->limit);
    with_sd(&t, 3, row->ratio, row->ratio_sd);
    cell(&t, "%.3f", row->ratio_best);
    cell(&t, "%s %.2f", row->test->direction == BENCH_SHARE ? ">=" : "<=", row->goal);
    cell(&t, "%s", row->test->what);
    table_write(&t, out);
    table_free(&t);
}

void bench_print_rest(const struct bench_report *r, struct quote *out)
{
    print_memory(r, out);
    print_timing(r, out);
    print_limits(r, out);
    print_notes(r, out);
}

/* ---- for programs --------------------------------------------------------------------------- */

static const char *direction_name(const struct bench_row *row)
{
    return row->test->direction == BENCH_SHARE ? "limit/time" : "time/limit";
}

void bench_print_csv(const struct bench_row *row, int threads, struct quote *out)
{
    const double x[] = {
        row->r.tokens / row->mean, row->mean, row->sd, row->limit, row->ratio, row->ratio_sd, row->ratio_best};
    quote_add_word(out, row->test->name);
    quote_add(out, ",");
    quote_add(out, "%s", row->skipped);
    quote_add(out, ",%d", row->r.n);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) {
        quote_add(out, ",");
        if (!row->skipped[0])
            quote_add_number(out, x[i]);
    }
    quote_add(out, ",");
    quote_add_word(out, direction_name(row));
    quote_add(out, ",%g,%.0f,%.0f", row->goal, row->r.rss, row->r.expected);
    for (int i = 0; i < BENCH_N_LIMIT; i++) {
        const double pair[2] = {row->before[i], row->after[i]};
        for (int j = 0; j < 2; j++) {
            quote_add(out, ",");
            if (!isnan(pair[j]))
                quote_add_number(out, pair[j]);
        }
    }
    quote_add(out, ",%d\n", threads);
}

void bench_print_csv_head(struct quote *out)
{
    quote_add(out, "test,skipped,repeats,tokens_per_s,seconds,seconds_sd,limit_s,ratio,ratio_sd,ratio_best,ratio_is,"
                   "goal,rss_bytes,expected_bytes");
    for (int i = 0; i < BENCH_N_LIMIT; i++)
        for (int j = 0; j < 2; j++) {
            struct str head = {0};
            str_addf(&head, j ? "%s_after" : "%s_before", bench_limit_info[i].name);
            quote_add(out, ",");
            quote_add_word(out, head.p);
            str_free(&head);
        }
    quote_add(out, ",threads\n");
}

static void member(struct str *out, const char *key, double x)
{
    str_addf(out, ", \"%s\": ", key);
    str_add_json_double(out, x);
}

static void numbers(struct str *out, const char *key, const double *x, int n)
{
    str_addf(out, ", \"%s\": [", key);
    for (int i = 0; i < n; i++) {
        str_add(out, i ? ", " : "");
        str_add_json_double(out, x[i]);
    }
    str_add(out, "]");
}

/* Seconds: linear ... io of the prefill; decoding and forced whole, and what is linear and attention in them. */
static void timing_json(const struct bench_result *r, struct str *out)
{
    str_addf(out, ", \"timing\": {\"seconds\": ");
    str_add_json_double(out, r->timing_s);
    for (int k = TIMING_LINEAR; k < TIMING_N_KIND; k++)
        if (k != TIMING_DECODING && k != TIMING_FORCED)
            member(out, timing_kind_name[k], r->timing[TIMING_PHASE_PREFILL][k]);
    for (int p = TIMING_PHASE_DECODING; p < TIMING_N_PHASE; p++) {
        char name[64];
        member(out, timing_phase_name[p], sum(r->timing[p], TIMING_N_KIND));
        for (int k = TIMING_LINEAR; k <= TIMING_ATTENTION; k++) {
            snprintf(name, sizeof name, "%s_%s", timing_phase_name[p], timing_kind_name[k]);
            member(out, name, r->timing[p][k]);
        }
    }
    member(out, "other", unaccounted(r) + r->timing[TIMING_PHASE_PREFILL][TIMING_OTHER]);
    str_add(out, "}");
}

static void test_json(const struct bench_row *row, struct str *out)
{
    str_addf(out, "{\"test\": \"%s\"", row->test->name);
    if (row->skipped[0]) {
        str_add(out, ", \"skipped\": ");
        str_add_json(out, row->skipped, strlen(row->skipped));
        str_add(out, "}");
        return;
    }
    numbers(out, "seconds", row->r.second, row->r.n);
    if (row->r.relative)
        numbers(out, "base_seconds", row->r.base, row->r.n);
    if (row->r.paired) {
        double rate[2][BENCH_MAX_REPEAT];
        for (int i = 0; i < row->r.n; i++)
            for (int j = 0; j < 2; j++)
                rate[j][i] = row->r.bandwidth[i][j];
        numbers(out, "bandwidth_before", rate[0], row->r.n);
        numbers(out, "bandwidth_after", rate[1], row->r.n);
        member(out, "repeats_moved", row->moved);
    }
    member(out, "mean_s", row->mean);
    member(out, "sd_s", row->sd);
    member(out, "tokens_per_s", row->r.tokens / row->mean);
    member(out, "limit_s", row->limit);
    member(out, "ratio", row->ratio);
    member(out, "ratio_sd", row->ratio_sd);
    member(out, "ratio_best", row->ratio_best);
    str_addf(out, ", \"ratio_is\": \"%s\"", direction_name(row));
    member(out, "goal", row->goal);
    member(out, "others_cpu_share", row->others);
    if (row->r.expected > 0) {
        member(out, "rss_bytes", row->r.rss > 0 ? row->r.rss : (double)NAN);
        member(out, "expected_bytes", row->r.expected);
    }
    for (int i = 0; i < BENCH_N_LIMIT; i++) {
        const double pair[2] = {row->before[i], row->after[i]};
        if (!isnan(pair[0]) || !isnan(pair[1]))
            numbers(out, bench_limit_info[i].name, pair, 2);
    }
    if (row->r.timing_s > 0)
        timing_json(&row->r, out);
    str_add(out, "}");
}

void bench_print_json(const struct bench_report *r, struct str *out)
{
    struct str cpu = {0};
    manifest_cpu(&cpu);
    str_add(out, "{\"model\": ");
    str_add_json(out, r->model->path, strlen(r->model->path));
    str_addf(out, ", \"weight_dtype\": \"%s\", \"arithmetic\": \"%s\", \"cache_dtype\": \"%s\"", weights_held(r->model),
             experiment_dtype_names[r->model->arithmetic == MODEL_BF16],
             experiment_dtype_names[r->cache_dtype == MODEL_BF16]);
    member(out, "weight_bytes", (double)r->model->weight_bytes);
    member(out, "parameters", parameters(&r->model->hp));
    str_addf(out, ", \"threads\": %d, \"repeats\": %d, \"build\": \"%s\", \"cpu\": ", r->threads, r->repeats,
             source_id_git);
    str_add_json(out, str_c(&cpu), cpu.n);
    str_add(out, ", \"blas\": ");
    str_add_json(out, kernels_blas(), strlen(kernels_blas()));
    str_add(out, ",\n \"limits\": {");
    for (int i = 0, n = 0; i < BENCH_N_LIMIT; i++) {
        double best = 0, least = 0;
        if (!bench_extremes(r, i, &best, &least))
            continue;
        str_addf(out, "%s\"%s\": {\"shape\": \"%s\"", n++ ? ", " : "", bench_limit_info[i].name,
                 bench_limits_shape(r->limits, (enum bench_limit)i));
        member(out, "best", best);
        member(out, "least", least);
        for (int w = 0; w < BENCH_N_WAY; w++)
            member(out, bench_way_name[w], bench_limits_way(r->limits, (enum bench_limit)i, (enum bench_way)w));
        str_add(out, "}");
    }
    str_add(out, "},\n \"tests\": [");
    for (int k = 0; k < r->n_row; k++) {
        str_add(out, k ? ",\n  " : "\n  ");
        test_json(&r->row[k], out);
    }
    str_add(out, "]}\n");
    str_free(&cpu);
}
