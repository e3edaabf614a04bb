/* kept_overlap: how much of what a cell keeps its baseline keeps too, from kept.h5. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/report/aggregate.h"
#include "harness/report/pool.h"
#include "harness/rows/keptfile.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static const char *dir;

static void setup(void)
{
    dir = rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

/* Of one row: entries that its two layers keep, of 70, ended by -1. */
struct kept {
    const char *cell, *key;
    int sample, layer[2][4];
};

static void write_kept(const struct kept *kept, int n)
{
    struct keptfile *f = keptfile_open(dir, NULL);
    for (int i = 0; i < n; i++) {
        struct cell c = {.line = 1};
        struct row r = {.cell = &c, .sample = kept[i].sample, .question_id = "q", .key = kept[i].key};
        struct keepset *k = keepset_create(2, 1, 70, NULL);
        snprintf(c.id, sizeof c.id, "%s", kept[i].cell);
        for (int l = 0; l < 2; l++)
            for (const int *j = kept[i].layer[l]; *j >= 0; j++)
                keepset_add(k, l, 0, *j);
        ck_assert_int_eq(keptfile_add(f, &r, k, NULL), 0);
        keepset_destroy(k);
    }
    ck_assert_int_eq(keptfile_merge(f, NULL), 0);
    keptfile_close(f);
}

/* A full cache, knorm, and snapkv, which is compared with `baseline`; three samples. */
static void write_rows(const char *baseline)
{
    static const char *const policy[] = {"full", "knorm", "snapkv"}, *const context[] = {"0", "1", "2"};
    struct str s = {0}, manifest = {0};
    for (int c = 0; c < 3; c++)
        for (int i = 0; i < 3; i++) {
            struct rows_fake f = {.cell = (const char *const[]){"f", "a", "b"}[c],
                                  .index = c,
                                  .sample = i,
                                  .context = context[i],
                                  .question = "q",
                                  .policy = policy[c],
                                  .budget = c ? "0.5" : "",
                                  .seed = 1,
                                  .score = 1,
                                  .kl = 0.5};
            rows_add_fake(&s, &f);
        }
    str_addf(&manifest, "{\"baseline\":\"%s\",\"baselines\":{\"f\":null,\"a\":null,\"b\":\"%s\"}}",
             strcmp(baseline, "f") ? "{policy: knorm}" : "{policy: full}", baseline);
    rows_write("rows.jsonl", s.p);
    rows_write("manifest.json", manifest.p);
    str_free(&s);
    str_free(&manifest);
}

static const struct kept kept[] = {
    {"a", "k", 0, {{0, 1, 2, -1}, {5, -1}}}, {"b", "k", 0, {{1, 2, 69, -1}, {5, -1}}}, /* 2 of 4 and 1 of 1 */
    {"a", "k", 1, {{0, -1}, {1, -1}}},       {"b", "k", 1, {{3, -1}, {1, 2, -1}}},     /* none of 2, 1 of 2 */
    {"a", "older", 2, {{0, -1}, {1, -1}}},   {"b", "k", 2, {{0, -1}, {1, -1}}},        /* not what a's row now keeps */
};
enum { N_KEPT = sizeof kept / sizeof *kept };

/* The place of the metric; -1 where nobody has it. */
static int place(const struct aggregate *a)
{
    int i = a->n_extra;
    while (i-- > 0 && strcmp(a->extra_name[i], "kept_overlap") != 0)
        ;
    return i;
}

START_TEST(kept_overlap_is_the_share_that_both_keep_of_what_either_keeps)
{
    struct aggregate a;
    struct pool_line *line;
    struct quote csv = {.language = QUOTE_CSV}, md = {.language = QUOTE_MARKDOWN};
    write_rows("a");
    write_kept(kept, N_KEPT);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    int at = place(&a);
    ck_assert_int_ge(at, 0);
    const struct stats_summary *s = &a.cell[2].extra[at];
    ck_assert_int_eq(s->n, 2);
    ck_assert_double_eq_tol(s->mean, (0.75 + 0.25) / 2, 1e-12);
    ck_assert(s->lo == 0.25 && s->hi == 0.75); /* of two contexts the bootstrap has no others */
    ck_assert_int_eq(a.cell[0].extra[at].n + a.cell[1].extra[at].n, 0); /* compared with nothing that prunes */
    ck_assert_int_eq(pool_lines(&a, &line), 3);
    ck_assert_double_eq_tol(line[2].overlap.mean, 0.5, 1e-12);
    ck_assert(line[2].overlap.lo < 0.5 && isnan(line[1].overlap.mean));
    aggregate_csv(&a, &csv);
    ck_assert_ptr_nonnull(strstr(csv.page.p, ",kept_overlap,kept_overlap_se,kept_overlap_lo,kept_overlap_hi,"));
    ck_assert_int_eq(pool_markdown(dir, &md, NULL), 0);
    ck_assert_ptr_nonnull(strstr(md.page.p, "overlap"));
    quote_free(&csv);
    quote_free(&md);
    mem_free(line);
    aggregate_free(&a);
}
END_TEST

START_TEST(kept_overlap_is_not_there_where_nobody_can_know_it)
{
    struct aggregate a;
    struct quote md = {.language = QUOTE_MARKDOWN};
    write_rows("a"); /* nothing is recorded */
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(place(&a), -1);
    aggregate_free(&a);
    ck_assert_int_eq(pool_markdown(dir, &md, NULL), 0);
    ck_assert_ptr_null(strstr(md.page.p, "overlap"));
    quote_free(&md);
    write_rows("f"); /* of the full cache every cell keeps a part, which is its budget */
    write_kept(kept, N_KEPT);
    ck_assert_int_eq(aggregate_load(dir, &a, NULL), 0);
    ck_assert_int_eq(place(&a), -1);
    aggregate_free(&a);
}
END_TEST

/* Somebody else's kept.h5: the right name, another shape. */
START_TEST(a_keep_set_of_another_shape_is_an_error_that_names_it)
{
    static const uint64_t bits[8];
    static const struct {
        int rank, n;
        uint64_t dim[3];
    } bad[] = {{2, 70, {2, 2}}, {3, 700, {2, 1, 2}}, {3, 0, {2, 1, 2}}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct aggregate a;
        struct err e = {0};
        char *path = rows_path("kept.h5"), **name;
        size_t n;
        struct str at = {0};
        write_rows("a");
        write_kept(kept, N_KEPT);
        struct h5 *f = h5_open(path, H5_MODE_READ, NULL);
        ck_assert_int_eq(h5_list(f, "/b/0", &name, &n, NULL), 0);
        str_addf(&at, "/b/0/%s", name[0]);
        h5_free_strings(name, n);
        h5_close(f, NULL);
        f = h5_open(path, H5_MODE_CREATE, NULL);
        ck_assert(!h5_write(f, at.p, H5_TYPE_U64, bad[i].rank, bad[i].dim, bits, NULL) &&
                  !h5_set_int(f, at.p, "n", bad[i].n, NULL) && !h5_set_string(f, at.p, "key", "k", NULL));
        ck_assert_int_eq(h5_close(f, NULL), 0);
        ck_assert_int_eq(aggregate_load(dir, &a, &e), -1);
        ck_assert_int_eq(e.code, ERR_FORMAT);
        ck_assert_msg(strstr(e.msg, at.p) && strstr(e.msg, "expected a keep set"), "%s", e.msg);
        str_free(&at);
        mem_free(path);
    }
}
END_TEST

Suite *make_kept_overlap_suite(void)
{
    Suite *s = suite_create("kept_overlap");
    TCase *t = tcase_create("kept_overlap");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, kept_overlap_is_the_share_that_both_keep_of_what_either_keeps);
    tcase_add_test(t, kept_overlap_is_not_there_where_nobody_can_know_it);
    tcase_add_test(t, a_keep_set_of_another_shape_is_an_error_that_names_it);
    suite_add_tcase(s, t);
    return s;
}
