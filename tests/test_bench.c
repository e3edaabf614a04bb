/* What bench computes: work counted by formulas against loops that count one by one, how rows are judged and printed,
 * and how --timing attributes time. Nothing here depends on how fast the machine is. */
#include <math.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/bench/bench.h"
#include "harness/bench/bench_formula.h"
#include "harness/bench/bench_loop.h"
#include "models/kernels_bf16.h"
#include "tests/lib/support.h"
#include "tests/lib/vectors.h"
#include "tests/suites.h"

static const struct hparams tiny = {
    .n_layer = 2, .d_model = 4, .n_head = 2, .n_kv_head = 1, .n_group = 2, .head_dim = 3, .d_ff = 5, .n_vocab = 7};

START_TEST(formulas_equal_counting_by_hand)
{
    /* one layer: qkv (6 + 3 + 3) x 4 = 48, output 4 x 6 = 24, gate and up 2 x 5 x 4 = 40, down 4 x 5 = 20: 132 weights
     */
    ck_assert_double_eq(bench_linear_flop(&tiny, 1), 2 * 2 * 132);
    ck_assert_double_eq(bench_linear_flop(&tiny, 3), 3 * 2 * 2 * 132);
    ck_assert_double_eq(bench_output_flop(&tiny, 3), 2 * 3 * 4 * 7);
    double causal = 0;
    for (int l = 0; l < 2; l++)
        for (int q = 0; q < 2; q++)
            for (int i = 0; i < 5; i++)
                for (int j = 0; j <= i; j++)
                    causal += 2 * 3; /* a multiply and an add for each of three dimensions */
    ck_assert_double_eq(bench_causal_flop(&tiny, 5), causal);
    ck_assert_double_eq(bench_entry_bytes(&tiny, MODEL_F32),
                        2 * 1 * 2 * 3 * 4); /* layers, KV heads, K and V, dimensions, bytes */
    struct hparams windowed = tiny;
    windowed.window = 3;
    strcpy(windowed.layer_kinds, "fw");
    for (int q = 0; q < 2; q++)
        for (int i = 0; i < 5; i++)
            for (int j = 0; j <= i - 3; j++)
                causal -= 2 * 3; /* what the second layer no longer sees */
    ck_assert_double_eq(bench_causal_flop(&windowed, 5), causal);
    ck_assert_double_eq(bench_cache_bytes(&tiny, 5, MODEL_F32), 5 * bench_entry_bytes(&tiny, MODEL_F32));
    ck_assert_double_eq(bench_cache_bytes(&windowed, 5, MODEL_F32), (5 + 3) * 2 * 3 * 4);
    ck_assert_double_eq(bench_cache_bytes(&windowed, 5, MODEL_BF16), (5 + 3) * 2 * 3 * 2);
    ck_assert_double_eq(bench_entry_bytes(&tiny, MODEL_BF16), bench_entry_bytes(&tiny, MODEL_F32) / 2);
    ck_assert_double_eq(bench_cache_bytes(&windowed, 2, MODEL_F32), (2 + 2) * 2 * 3 * 4);
    double read = 0;
    for (int step = 0; step < 4; step++)
        read += 10 + step + 1; /* ten cached ones, those of earlier steps, its own */
    ck_assert_double_eq(bench_mean_entries(10, 4), read / 4);
}
END_TEST

START_TEST(a_step_reads_all_weights_but_an_embedding_that_is_not_the_output)
{
    struct model *m = support_tiny_model(3, 4, 2, 8, 24, 32, 1, 1);
    ck_assert_double_eq(bench_weight_bytes(m), (double)m->weight_bytes);
    model_close(m);
    m = support_tiny_model(3, 4, 2, 8, 24, 32, 0, 1);
    ck_assert_double_eq(bench_weight_bytes(m), (double)(m->weight_bytes - 32u * 32u * sizeof(float)));
    model_close(m);
}
END_TEST

START_TEST(a_step_reads_all_weights_of_every_architecture)
{
    const struct json *v = vectors_model(_i);
    struct model *m = vectors_folder(v);
    double bytes = 0;
    for (int i = 0; i < model_n_tensor(&m->hp); i++) {
        struct model_tensor t;
        model_tensor_at(&m->hp, i, &t);
        if (m->hp.tied || strcmp(t.name, "embedding") != 0)
            bytes += (double)t.dim[0] * t.dim[1] * (double)sizeof(float);
    }
    ck_assert_msg(bench_weight_bytes(m) == bytes, "%s: %g, not %g", vectors_name(v), bench_weight_bytes(m), bytes);
    model_close(m);
}
END_TEST

static const struct bench_test share = {.name = "pp1", .what = "a share", .direction = BENCH_SHARE, .goal = 0.5};
static const struct bench_test times = {.name = "tg1", .what = "times", .direction = BENCH_TIMES, .goal = 2};

static struct bench_row row_of(const struct bench_test *t)
{
    struct bench_row r = {.test = t, .goal = t->goal};
    for (int i = 0; i < BENCH_N_LIMIT; i++)
        r.before[i] = r.after[i] = (double)NAN;
    return r;
}

START_TEST(a_limit_is_work_over_the_better_rate)
{
    struct bench_row r = row_of(&share);
    r.before[BENCH_SQUARE] = 100;
    r.after[BENCH_SQUARE] = 200;
    r.before[BENCH_QK] = 50;
    r.after[BENCH_PV] = 10;
    r.r = (struct bench_result){.second = {4, 8}, .n = 2, .linear_flop = 400, .qk_flop = 50, .pv_flop = 10};
    bench_row_judge(&r);
    ck_assert_double_eq(r.limit, 2 + 1 + 1);
    ck_assert_double_eq(r.mean, 6);
    ck_assert_double_eq_tol(r.sd, sqrt(8), 1e-12);
    ck_assert_double_eq(r.ratio, 0.75); /* mean of 4/4 and 4/8 */
    ck_assert_double_eq(r.ratio_best, 1);
    r.test = &times;
    bench_row_judge(&r);
    ck_assert_double_eq(r.ratio, 1.5); /* mean of 4/4 and 8/4 */
    ck_assert_double_eq(r.ratio_best, 1);
    ck_assert_double_eq(bench_best((double)NAN, 3), 3);
    ck_assert_double_eq(bench_best(3, (double)NAN), 3);
}
END_TEST

START_TEST(of_every_limit_the_better_rate_counts_whenever_it_was_measured)
{
    for (int i = 0; i < BENCH_N_LIMIT; i++)
        for (int later = 0; later < 2; later++) {
            struct bench_row r = row_of(&share);
            r.before[i] = later ? 100 : 400;
            r.after[i] = later ? 400 : 100;
            r.r = (struct bench_result){.second = {2}, .n = 1};
            double *work[BENCH_N_LIMIT] = {&r.r.linear_flop, &r.r.qk_flop, &r.r.pv_flop, &r.r.rows32_flop, &r.r.bytes};
            *work[i] = 400;
            bench_row_judge(&r);
            ck_assert_msg(r.limit == 1 && r.ratio == 0.5, "%s: %g s", bench_limit_info[i].name, r.limit);
        }
}
END_TEST

/* GFLOP/s as measured on a Sapphire Rapids that OpenBLAS takes for a Prescott, and work that runs as fast as our own
 * kernels do: 8.5 times the library's "limit". */
START_TEST(a_slow_library_lowers_no_limit)
{
    const double ways[][BENCH_N_WAY] = {
        {15, 128, 168}, {15, 128, (double)NAN}, {(double)NAN, 128, 120}, {168, 128, 100}, {0, 128, 0}};
    const double best[] = {168, 128, 128, 168, 128};
    ck_assert_int_eq(BENCH_BLAS, 0);
    ck_assert_int_eq(BENCH_OWN, 1);
    for (size_t i = 0; i < sizeof best / sizeof *best; i++) {
        struct bench_row r = row_of(&share);
        r.before[BENCH_SQUARE] = bench_limits_of_ways(ways[i]);
        ck_assert_double_eq(r.before[BENCH_SQUARE], best[i]);
        r.r = (struct bench_result){.second = {2}, .n = 1, .linear_flop = 2 * 128};
        bench_row_judge(&r);
        ck_assert_double_eq(r.ratio, 128 / best[i]);
        ck_assert(r.ratio <= 1);
    }
    const double none[BENCH_N_WAY] = {(double)NAN, 0, (double)NAN};
    ck_assert(isnan(bench_limits_of_ways(none)));
}
END_TEST

START_TEST(bytes_are_judged_by_the_bandwidth_beside_each_repeat)
{
    struct bench_row r = row_of(&times);
    r.before[BENCH_BANDWIDTH] = r.after[BENCH_BANDWIDTH] = 1000; /* of the whole test: not used */
    r.r = (struct bench_result){
        .second = {3, 3, 5}, .bandwidth = {{100, 100}, {49, 50}, {100, 50}}, .n = 3, .bytes = 100, .paired = 1};
    bench_row_judge(&r);
    ck_assert_int_eq(r.moved, 1); /* the third */
    ck_assert_double_eq(r.limit, 1.5);
    ck_assert_double_eq(r.ratio, 2.25); /* mean of 3/1 and 3/2 */
    ck_assert_double_eq(r.ratio_best, 1.5);
    ck_assert_double_eq_tol(r.mean, 11.0 / 3, 1e-12);
    r.r.bandwidth[0][0] = 10;
    r.r.bandwidth[1][1] = 20;
    bench_row_judge(&r);
    ck_assert_int_eq(r.moved, 0); /* none was steady: all count, by the better rate of each */
    ck_assert_double_eq_tol(r.ratio, (3 + 3 * 0.49 + 5) / 3, 1e-12);
}
END_TEST

START_TEST(a_relative_row_is_judged_repeat_by_repeat)
{
    struct bench_row r = row_of(&times);
    r.r = (struct bench_result){.second = {4, 9}, .base = {2, 3}, .n = 2, .relative = 1};
    bench_row_judge(&r);
    ck_assert_double_eq(r.limit, 2.5);
    ck_assert_double_eq(r.ratio, 2.5);
    ck_assert_double_eq_tol(r.ratio_sd, sqrt(0.5), 1e-12);
}
END_TEST

START_TEST(every_test_of_the_list_has_a_direction_a_goal_and_limits_or_a_base)
{
    for (int i = 0; i < bench_test_count(); i++) {
        const struct bench_test *t = bench_test_at(i);
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(t->name, bench_test_at(j)->name);
        ck_assert_msg(t->run && t->what && t->tokens > 0, "%s", t->name);
        ck_assert_msg(t->goal_bf16 > 0 && (t->direction != BENCH_SHARE || t->goal_bf16 < 1), "%s", t->name);
        ck_assert_msg(t->direction == BENCH_SHARE ? t->goal < 1 && t->limits : t->goal > (t->limits ? 1 : 0), "%s",
                      t->name);
        ck_assert_msg(!strpbrk(t->name, ", \""), "%s", t->name);
    }
}
END_TEST

static double number(const struct json *v, const char *key)
{
    return json_number(json_get(v, key), (double)NAN);
}

static void print_table(const struct bench_report *r, struct quote *page)
{
    bench_print_head(r, page);
    for (int i = 0; i < r->n_row; i++)
        bench_print_row(&r->row[i], page);
    bench_print_rest(r, page);
}

START_TEST(json_and_csv_hold_every_row_and_quote_what_is_odd)
{
    struct str out = {0};
    struct err e = {0};
    struct model *m = support_tiny_model(1, 2, 1, 8, 8, 9, 1, 1);
    struct bench_limits *limits = bench_limits_create(m);
    struct bench_row row[2] = {row_of(&share), row_of(&times)};
    double point[2][BENCH_N_LIMIT] = {{100, NAN, NAN, NAN, NAN}, {200, NAN, NAN, NAN, NAN}};
    m->path = mem_strdup("a \"model\".h5");
    row[0].before[BENCH_SQUARE] = 100;
    row[0].after[BENCH_SQUARE] = 200;
    row[0].r = (struct bench_result){.second = {4}, .n = 1, .linear_flop = 400, .tokens = 8, .timing_s = 5};
    row[0].r.timing[TIMING_PHASE_PREFILL][TIMING_LINEAR] = 3;
    row[0].r.timing[TIMING_PHASE_DECODING][TIMING_ATTENTION] = 1;
    bench_row_judge(&row[0]);
    strcpy(row[1].skipped, "it says \"no\"");
    struct bench_report r = {.model = m,
                             .row = row,
                             .n_row = 2,
                             .limits = limits,
                             .n_point = 2,
                             .repeats = 1,
                             .point = (const double(*)[BENCH_N_LIMIT])point};
    bench_print_json(&r, &out);
    struct json *root = json_parse("bench", out.p, out.n, &e);
    ck_assert_msg(root != NULL, "%s in %s", e.msg, out.p);
    ck_assert_str_eq(json_string(json_get(root, "model")), m->path);
    ck_assert_double_eq(number(json_get(json_get(root, "limits"), "square"), "least"), 100);
    const struct json *first = json_first(json_get(root, "tests")), *second = json_next(first);
    ck_assert_double_eq(number(first, "ratio"), 0.5);
    ck_assert_double_eq(number(first, "tokens_per_s"), 2);
    ck_assert_double_eq(number(json_get(first, "timing"), "linear"), 3);
    ck_assert_double_eq(number(json_get(first, "timing"), "decoding"), 1);
    ck_assert_double_eq(number(json_get(first, "timing"), "decoding_attention"), 1);
    ck_assert_double_eq(number(json_get(first, "timing"), "other"), 1);
    ck_assert_str_eq(json_string(json_get(second, "skipped")), row[1].skipped);
    json_free(root);
    str_free(&out);
    struct quote page = {.language = QUOTE_CSV};
    bench_print_csv_head(&page);
    for (int i = 0; i < 2; i++)
        bench_print_csv(&row[i], 1, &page);
    ck_assert_msg(strstr(page.page.p, "\npp1,\"\",1,2,4,,2,0.5,,0.5,limit/time,0.5,0,0,100,200,") != NULL, "%s",
                  page.page.p);
    ck_assert_msg(strstr(page.page.p, "\ntg1,\"it says \"\"no\"\"\",0,,,,,,,,time/limit,2,0,0,,,") != NULL, "%s",
                  page.page.p);
    quote_free(&page);
    page.language = QUOTE_MARKDOWN;
    print_table(&r, &page);
    ck_assert_msg(strstr(page.page.p, "| pp1 ") && strstr(page.page.p, "tg1: no figures: it says"), "%s", page.page.p);
    ck_assert_msg(strstr(page.page.p, " 2.00 ± n/a | ") && strstr(page.page.p, " 4.0000 ± n/a |"), "%s",
                  page.page.p); /* one repeat */
    quote_free(&page);
    row[0].r.n = 2;
    row[0].r.second[1] = 4.00002;
    bench_row_judge(&row[0]);
    print_table(&r, &page);
    ck_assert_msg(strstr(page.page.p, " 4.00001 ± 0.00001 |") != NULL, "%s",
                  page.page.p); /* four digits would read 0 */
    quote_free(&page);
    bench_limits_destroy(limits);
    model_close(m);
}
END_TEST

START_TEST(measured_limits_are_positive_numbers)
{
    struct err e = {0};
    double rate[BENCH_N_LIMIT];
    struct model *m = support_tiny_model(1, 2, 1, 8, 8, 9, 1, 1);
    struct bench_limits *l = bench_limits_create(m);
    ck_assert_msg(bench_limits_measure(l, 1u << BENCH_QK | 1u << BENCH_ROWS32, rate, &e) == 0, "%s", e.msg);
    ck_assert(rate[BENCH_QK] > 0 && rate[BENCH_ROWS32] > 0);
    ck_assert(isnan(rate[BENCH_SQUARE]) && isnan(rate[BENCH_BANDWIDTH]));
    for (int i = BENCH_QK; i <= BENCH_ROWS32; i += BENCH_ROWS32 - BENCH_QK) {
        double ways[BENCH_N_WAY];
        for (int w = 0; w < BENCH_N_WAY; w++) {
            ways[w] = bench_limits_way(l, (enum bench_limit)i, (enum bench_way)w);
            ck_assert(ways[w] > 0 || (i == BENCH_ROWS32 && w == BENCH_LOOP && isnan(ways[w])));
        }
        ck_assert_double_eq(rate[i], bench_limits_of_ways(ways)); /* the best of the ways, the first time */
        ck_assert(strchr(bench_limits_shape(l, (enum bench_limit)i), ':') != NULL);
        ck_assert(!strstr(bench_limits_shape(l, (enum bench_limit)i), "bf16"));
    }
    struct bench_stream *s = bench_stream_create(l, 1, &e);
    ck_assert_msg(s != NULL, "%s", e.msg);
    ck_assert(bench_stream_rate(s) > 0);
    bench_stream_destroy(s);
    bench_limits_destroy(l);
    model_close(m);
}
END_TEST

/* A model that says it is bf16 is enough: operands are bench's own. */
START_TEST(limits_are_in_the_arithmetic_of_the_products_that_they_are_for)
{
    struct err e = {0};
    double rate[BENCH_N_LIMIT];
    struct model *m = support_tiny_model(1, 2, 1, 32, 32, 9, 1, 1);
    uint16_t held = 0;
    for (int i = 0; i < BENCH_N_LIMIT; i++)
        ck_assert_int_eq(bench_arithmetic(m, (enum bench_limit)i), MODEL_F32);
    m->arithmetic = MODEL_BF16;
    m->output.bf16 = &held;
    ck_assert_int_eq(bench_arithmetic(m, BENCH_SQUARE), MODEL_BF16);
    ck_assert_int_eq(bench_arithmetic(m, BENCH_ROWS32), MODEL_BF16);
    struct bench_limits *l = bench_limits_create(m);
    ck_assert_msg(bench_limits_measure(l, 1u << BENCH_SQUARE | 1u << BENCH_ROWS32, rate, &e) == 0, "%s", e.msg);
    for (int i = BENCH_SQUARE; i <= BENCH_ROWS32; i += BENCH_ROWS32 - BENCH_SQUARE) {
        ck_assert(isnan(bench_limits_way(l, (enum bench_limit)i, BENCH_BLAS))); /* it has no such products */
        ck_assert(bench_limits_way(l, (enum bench_limit)i, BENCH_OWN) > 0);
        ck_assert(strstr(bench_limits_shape(l, (enum bench_limit)i), "bf16 by ") != NULL);
    }
    ck_assert(bench_limits_way(l, BENCH_SQUARE, BENCH_LOOP) > 0);
    bench_limits_destroy(l);
    for (int way = KERNELS_BF16_PLAIN; way <= KERNELS_BF16_TILES; way++)
        if (kernels_bf16_has((enum kernels_bf16_way)way)) {
            kernels_bf16_take((enum kernels_bf16_way)way);
            ck_assert(bench_loop_rate(MODEL_BF16, 1) > 0);
        }
    kernels_bf16_take(KERNELS_BF16_N_WAY);
    m->output.bf16 = NULL;
    model_close(m);
}
END_TEST

START_TEST(how_long_a_test_takes_is_told_of_all_of_them)
{
    struct model *m = support_tiny_model(3, 4, 2, 8, 24, 32, 1, 1);
    for (int i = 0; i < bench_test_count(); i++) {
        const struct bench_test *t = bench_test_at(i);
        double once = bench_test_seconds(t, m, 1e9, 1), twice = bench_test_seconds(t, m, 1e9, 2);
        ck_assert_msg(once > 0 && twice > once && twice <= 2 * once, "%s: %g, %g", t->name, once, twice);
        if (!strncmp(t->name, "pp", 2)) {
            double flop = bench_linear_flop(&m->hp, t->tokens) + 2 * bench_causal_flop(&m->hp, t->tokens);
            ck_assert_msg(once > flop / 1e9 && once < 2 * flop / 1e9, "%s: %g", t->name, once);
        }
        ck_assert_double_eq(bench_test_goal(t, m), t->goal);
        m->arithmetic = MODEL_BF16;
        ck_assert_double_eq(bench_test_goal(t, m), t->goal_bf16);
        m->arithmetic = MODEL_F32;
    }
    model_close(m);
}
END_TEST

enum { SPIN_MS = 3 };

static void spin(void)
{
    double end = clock_seconds() + SPIN_MS * 1e-3;
    while (clock_seconds() < end)
        ;
}

START_TEST(time_belongs_to_the_innermost_section_and_to_its_phase)
{
    double s[TIMING_N_PHASE][TIMING_N_KIND], sum = 0, start = clock_seconds();
    timing_enable(1);
    timing_begin(TIMING_LINEAR);
    timing_begin(TIMING_ATTENTION);
    spin();
    timing_end();
    timing_end();
    timing_begin(TIMING_DECODING);
    timing_begin(TIMING_LINEAR);
    spin();
    timing_end();
    timing_end();
    spin(); /* in no section */
    timing_read(s);
    double wall = clock_seconds() - start;
    for (int p = 0; p < TIMING_N_PHASE; p++)
        for (int k = 0; k < TIMING_N_KIND; k++)
            sum += s[p][k];
    ck_assert(s[TIMING_PHASE_PREFILL][TIMING_ATTENTION] >= SPIN_MS * 1e-3);
    ck_assert(s[TIMING_PHASE_DECODING][TIMING_LINEAR] >= SPIN_MS * 1e-3);
    ck_assert(s[TIMING_PHASE_DECODING][TIMING_ATTENTION] == 0 && s[TIMING_PHASE_PREFILL][TIMING_DECODING] == 0);
    ck_assert(sum <= wall - SPIN_MS * 1e-3); /* nothing counts twice */
    timing_enable(0);
    timing_begin(TIMING_LINEAR);
    spin();
    timing_end();
    timing_read(s);
    ck_assert(s[TIMING_PHASE_PREFILL][TIMING_LINEAR] == 0);
}
END_TEST

START_TEST(parts_of_a_parallel_loop_are_taken_from_the_section_around_it)
{
    double s[TIMING_N_PHASE][TIMING_N_KIND];
    timing_enable(1);
    double start = clock_seconds();
    timing_begin(TIMING_ATTENTION);
#pragma omp parallel for num_threads(3)
    for (int i = 0; i < 3; i++) {
        double t = timing_part_begin();
        spin();
        timing_part_end(TIMING_STATISTICS, t);
    }
    timing_end();
    timing_read(s);
    double wall = clock_seconds() - start;
    timing_enable(0);
    const double *x = s[TIMING_PHASE_PREFILL];
    ck_assert(x[TIMING_STATISTICS] >= SPIN_MS * 1e-3); /* three threads, a third of the wall time each */
    ck_assert(x[TIMING_STATISTICS] + x[TIMING_ATTENTION] <= wall);
    ck_assert(x[TIMING_ATTENTION] >= 0);
}
END_TEST

Suite *make_bench_suite(void)
{
    Suite *s = suite_create("bench");
    TCase *work = tcase_create("work"), *rows = tcase_create("rows"), *time = tcase_create("time"),
          *all = tcase_create("all");
    tcase_add_test(work, formulas_equal_counting_by_hand);
    tcase_add_test(work, a_step_reads_all_weights_but_an_embedding_that_is_not_the_output);
    tcase_add_checked_fixture(all, vectors_open, vectors_close);
    tcase_add_loop_test(all, a_step_reads_all_weights_of_every_architecture, 0, VECTORS_N_MODEL);
    tcase_add_test(rows, a_limit_is_work_over_the_better_rate);
    tcase_add_test(rows, of_every_limit_the_better_rate_counts_whenever_it_was_measured);
    tcase_add_test(rows, a_slow_library_lowers_no_limit);
    tcase_add_test(rows, how_long_a_test_takes_is_told_of_all_of_them);
    tcase_add_test(rows, bytes_are_judged_by_the_bandwidth_beside_each_repeat);
    tcase_add_test(rows, a_relative_row_is_judged_repeat_by_repeat);
    tcase_add_test(rows, every_test_of_the_list_has_a_direction_a_goal_and_limits_or_a_base);
    tcase_add_test(rows, json_and_csv_hold_every_row_and_quote_what_is_odd);
    tcase_add_test(time, measured_limits_are_positive_numbers);
    tcase_add_test(time, limits_are_in_the_arithmetic_of_the_products_that_they_are_for);
    tcase_add_test(time, time_belongs_to_the_innermost_section_and_to_its_phase);
    tcase_add_test(time, parts_of_a_parallel_loop_are_taken_from_the_section_around_it);
    suite_add_tcase(s, work);
    suite_add_tcase(s, all);
    suite_add_tcase(s, rows);
    suite_add_tcase(s, time);
    return s;
}
