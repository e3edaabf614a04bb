/* kept.h5: bitmaps come back, newer ones replace older ones, and a killed run loses nothing. */
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
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

static const char *key_now = "k";

/* 2 layers, 1 KV head, 70 entries (two words); layer l keeps entry `first` + l and nothing else. */
static void add(struct keptfile *k, const char *cell, int sample, const char *question, int first)
{
    struct cell c = {.line = 1};
    struct row r = {.cell = &c, .sample = sample, .question_id = question, .key = key_now};
    struct keepset *keep = first < 0 ? NULL : keepset_create(2, 1, 70, NULL);
    struct err e;
    snprintf(c.id, sizeof c.id, "%s", cell);
    for (int l = 0; keep && l < 2; l++)
        keepset_add(keep, l, 0, first + l);
    ck_assert_msg(keptfile_add(k, &r, keep, &e) == 0, "%s", e.msg);
    keepset_destroy(keep);
}

static struct keptfile *begin(void)
{
    struct err e;
    struct keptfile *k = keptfile_open(dir, &e);
    ck_assert_msg(k != NULL, "%s", e.msg);
    return k;
}

static void end(struct keptfile *k)
{
    struct err e;
    ck_assert_msg(keptfile_merge(k, &e) == 0, "%s", e.msg);
    keptfile_close(k);
    char *parts = rows_path("kept.parts");
    ck_assert(!fs_exists(parts));
    mem_free(parts);
}

/* The first kept entry of the only question whose name begins so; -1 when there is none. */
static int first_kept(const char *cell_and_sample, const char *question)
{
    char *path = rows_path("kept.h5"), **name;
    size_t n;
    int found = -1;
    struct str at = {0};
    struct h5 *f = h5_open(path, H5_MODE_READ, NULL);
    ck_assert_ptr_nonnull(f);
    if (h5_exists(f, cell_and_sample)) {
        ck_assert_int_eq(h5_list(f, cell_and_sample, &name, &n, NULL), 0);
        for (size_t i = 0; i < n; i++)
            if (strncmp(name[i], question, strlen(question)) == 0) {
                struct h5_info info;
                uint64_t bits[4];
                int64_t entries;
                str_clear(&at);
                str_addf(&at, "%s/%s", cell_and_sample, name[i]);
                ck_assert_int_eq(h5_stat(f, at.p, &info, NULL), 0);
                ck_assert(info.rank == 3 && info.dim[0] == 2 && info.dim[1] == 1 && info.dim[2] == 2);
                ck_assert_int_eq(h5_get_int(f, at.p, "n", &entries, NULL), 0);
                ck_assert_int_eq(entries, 70);
                ck_assert_int_eq(h5_read(f, at.p, H5_TYPE_U64, bits, 4, NULL), 0);
                ck_assert_int_eq(found, -1);
                for (int j = 0; j < 70 && found < 0; j++)
                    found = bits[j / 64] >> (j % 64) & 1 ? j : -1;
                ck_assert_int_ge(found, 0);
                ck_assert(bits[2 + (found + 1) / 64] == (uint64_t)1 << ((found + 1) % 64));
            }
        h5_free_strings(name, n);
    }
    h5_close(f, NULL);
    str_free(&at);
    mem_free(path);
    return found;
}

START_TEST(a_row_that_was_computed_again_has_its_new_bitmap_and_others_keep_theirs)
{
    struct keptfile *k = begin();
    add(k, "cell", 0, "q", 3);
    add(k, "cell", 0, "r", 4);
    add(k, "cell", 1, "q", 5);
    add(k, "other", 0, "q", 68);
    end(k);
    ck_assert_int_eq(first_kept("/cell/0", "q"), 3);
    k = begin();
    ck_assert(keptfile_has(k, "cell", 0, "q", "k") && keptfile_has(k, "cell", 1, "q", "k") &&
              !keptfile_has(k, "cell", 1, "r", "k"));
    ck_assert(!keptfile_has(k, "third", 0, "q", "k") && !keptfile_has(k, "cell", 0, "", "k"));
    add(k, "cell", 0, "q", 63);
    add(k, "third", 0, "q", 9);
    ck_assert(keptfile_has(k, "third", 0, "q", "k")); /* in a part */
    end(k);
    ck_assert_int_eq(first_kept("/cell/0", "q"), 63);
    ck_assert_int_eq(first_kept("/cell/0", "r"), 4);
    ck_assert_int_eq(first_kept("/cell/1", "q"), 5);
    ck_assert_int_eq(first_kept("/other/0", "q"), 68);
    ck_assert_int_eq(first_kept("/third/0", "q"), 9);
}
END_TEST

/* One of the 32-bit FNV-1a collisions of ids that begin with the same 40 characters. */
static void colliding_ids(char id[2][64])
{
    enum { N = 1 << 18, SLOT = 1 << 19 };
    int *slot = mem_new(SLOT, sizeof *slot);
    uint32_t *hash = mem_new(N, sizeof *hash);
    for (int i = 1; i < N; i++) {
        snprintf(id[0], 64, "the-same-forty-characters-at-the-beginning-%016llx", i * 0x9E3779B97F4A7C15ull);
        hash[i] = (uint32_t)hash_fnv1a(id[0], strlen(id[0]));
        for (size_t at = hash[i] % SLOT;; at = (at + 1) % SLOT) {
            if (!slot[at]) {
                slot[at] = i;
                break;
            }
            if (hash[slot[at]] == hash[i]) {
                snprintf(id[1], 64, "the-same-forty-characters-at-the-beginning-%016llx",
                         slot[at] * 0x9E3779B97F4A7C15ull);
                mem_free(slot);
                mem_free(hash);
                return;
            }
        }
    }
    ck_abort_msg("no collision");
}

START_TEST(ids_that_begin_alike_and_share_a_short_hash_stay_apart)
{
    char id[2][64];
    colliding_ids(id);
    struct keptfile *k = begin();
    add(k, "cell", 0, id[0], 3);
    ck_assert(!keptfile_has(k, "cell", 0, id[1], "k"));
    add(k, "cell", 0, id[1], 4);
    end(k);
    k = begin();
    ck_assert(keptfile_has(k, "cell", 0, id[0], "k") && keptfile_has(k, "cell", 0, id[1], "k"));
    keptfile_close(k);
    char *path = rows_path("kept.h5"), **name;
    size_t n;
    struct h5 *f = h5_open(path, H5_MODE_READ, NULL);
    ck_assert_int_eq(h5_list(f, "/cell/0", &name, &n, NULL), 0);
    ck_assert_uint_eq(n, 2);
    h5_free_strings(name, n);
    h5_close(f, NULL);
    mem_free(path);
}
END_TEST

START_TEST(what_another_model_kept_is_not_what_this_one_keeps)
{
    struct keptfile *k = begin();
    add(k, "cell", 0, "q", 3);
    end(k);
    k = begin();
    ck_assert(keptfile_has(k, "cell", 0, "q", "k") && !keptfile_has(k, "cell", 0, "q", "other"));
    key_now = "other";
    add(k, "cell", 0, "q", 5);
    key_now = "k";
    ck_assert(!keptfile_has(k, "cell", 0, "q", "k") && keptfile_has(k, "cell", 0, "q", "other")); /* in a part */
    end(k);
    ck_assert_int_eq(first_kept("/cell/0", "q"), 5);
    k = begin();
    ck_assert(!keptfile_has(k, "cell", 0, "q", "k") && keptfile_has(k, "cell", 0, "q", "other"));
    keptfile_close(k);
}
END_TEST

START_TEST(entries_of_an_older_version_stay_until_they_are_replaced)
{
    static const uint64_t dim[] = {2, 1, 2}, bits[] = {8, 0, 16, 0};
    static const char *const at[] = {"/cell/0/q.01234567", "/gone/0/q.01234567"};
    char *path = rows_path("kept.h5");
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
    for (int i = 0; i < 2; i++)
        ck_assert(!h5_write(f, at[i], H5_TYPE_U64, 3, dim, bits, NULL) && !h5_set_int(f, at[i], "n", 70, NULL));
    ck_assert_int_eq(h5_close(f, NULL), 0);
    struct keptfile *k = begin();
    ck_assert(!keptfile_has(k, "cell", 0, "q", "k"));
    add(k, "cell", 0, "q", 9);
    end(k);
    ck_assert_int_eq(first_kept("/cell/0", "q"), 9);
    ck_assert_int_eq(first_kept("/gone/0", "q"), 3);
    mem_free(path);
}
END_TEST

START_TEST(a_row_that_fails_when_it_is_computed_again_has_no_bitmap)
{
    struct keptfile *k = begin();
    add(k, "cell", 0, "q", 3);
    add(k, "cell", 1, "q", 4);
    end(k);
    k = begin();
    add(k, "cell", 0, "q", -1);
    end(k);
    ck_assert_int_eq(first_kept("/cell/0", "q"), -1);
    ck_assert_int_eq(first_kept("/cell/1", "q"), 4);
    k = begin(); /* and when it works again, it has one */
    add(k, "cell", 0, "q", 7);
    end(k);
    ck_assert_int_eq(first_kept("/cell/0", "q"), 7);
}
END_TEST

START_TEST(parts_of_a_killed_run_are_merged_by_the_next_one)
{
    struct keptfile *k = begin();
    add(k, "cell", 0, "q", 3);
    keptfile_close(k); /* killed before the merge, and in the middle of a part */
    rows_write("kept.parts/cell-1-q.00000000.tmp", "half a file");
    k = begin();
    add(k, "cell", 2, "q", 5);
    end(k);
    ck_assert_int_eq(first_kept("/cell/0", "q"), 3);
    ck_assert_int_eq(first_kept("/cell/1", "q"), -1);
    ck_assert_int_eq(first_kept("/cell/2", "q"), 5);
}
END_TEST

START_TEST(names_of_questions_may_be_anything)
{
    static const char *const id[] = {"a/b", "a b", "", "\xc3\xa9", "../../x", "."};
    struct keptfile *k = begin();
    char *path = rows_path("kept.h5"), **name;
    size_t n;
    for (int i = 0; i < 6; i++)
        add(k, "cell", 0, id[i], i);
    end(k);
    struct h5 *f = h5_open(path, H5_MODE_READ, NULL);
    ck_assert_int_eq(h5_list(f, "/cell/0", &name, &n, NULL), 0);
    ck_assert_uint_eq(n, 6);
    h5_free_strings(name, n);
    h5_close(f, NULL);
    mem_free(path);
}
END_TEST

START_TEST(a_broken_file_is_an_error_that_names_it)
{
    struct keptfile *k = begin();
    struct err e = {.msg = "garbage"};
    add(k, "cell", 0, "q", 3);
    rows_write("kept.parts/broken.h5", "no HDF5 at all");
    ck_assert_int_eq(keptfile_merge(k, &e), -1);
    ck_assert_msg(strstr(e.msg, "kept.parts/broken.h5") != NULL, "%s", e.msg);
    char *tmp = rows_path("kept.h5.tmp"), *parts = rows_path("kept.parts");
    ck_assert(!fs_exists(tmp) && fs_exists(parts)); /* what was computed is still there */
    mem_free(tmp);
    mem_free(parts);
    keptfile_close(k);
    rows_write("kept.h5", "no HDF5 at all");
    ck_assert_ptr_null(keptfile_open(dir, &e)); /* before anything is computed */
    ck_assert_msg(strstr(e.msg, "/kept.h5: ") != NULL, "%s", e.msg);
}
END_TEST

/* The sum over layers and heads of a bitmap's ones is what the row says. */
static int check_counts(const struct rows *r, const char *file)
{
    struct h5 *f = h5_open(file, H5_MODE_READ, NULL);
    int checked = 0;
    ck_assert_ptr_nonnull(f);
    for (int i = 0; i < r->n; i++) {
        struct str at = {0};
        char **name;
        size_t n;
        struct h5_info info;
        str_addf(&at, "/%s/%s", rows_text(r->v[i], "cell"), rows_text(r->v[i], "sample"));
        ck_assert_int_eq(h5_list(f, at.p, &name, &n, NULL), 0);
        ck_assert_uint_eq(n, 1);
        str_addf(&at, "/%s", name[0]);
        ck_assert_int_eq(h5_stat(f, at.p, &info, NULL), 0);
        uint64_t *bits = mem_new((size_t)info.n, sizeof *bits);
        ck_assert_int_eq(h5_read(f, at.p, H5_TYPE_U64, bits, (size_t)info.n, NULL), 0);
        const struct json *kept = json_first(json_get(r->v[i], "kept"));
        for (uint64_t l = 0; l < info.dim[0]; l++, kept = json_next(kept)) {
            int ones = 0;
            for (uint64_t w = 0; w < info.dim[1] * info.dim[2]; w++)
                ones += __builtin_popcountll(bits[l * info.dim[1] * info.dim[2] + w]);
            ck_assert_double_eq(ones / 2.0, json_number(kept, -1)); /* two KV heads */
            checked++;
        }
        mem_free(bits);
        h5_free_strings(name, n);
        str_free(&at);
    }
    h5_close(f, NULL);
    return checked;
}

START_TEST(a_run_stores_what_its_rows_say_also_when_the_data_has_changed)
{
    static const char yaml[] =
        "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks:\n  - jsonl: {file: qa.jsonl}\nsamples: 1\n"
        "max_new_tokens: 2\nrecord: {kept: true}\nsweep:\n  - {policy: [knorm, random], keep: [0.5, 0.1]}\n";
    static const char *const text[] = {
        "{\"context\":\"A hare, a fox and a hound.\",\"answers\":[\"x\"]}\n",
        "{\"context\":\"A hare, a fox, a hound, and then the snail that came last.\",\"answers\":[\"x\"]}\n"};
    char *file = rows_path("out/kept.h5");
    for (int i = 0; i < 2; i++) {
        struct rows r, last = {0};
        rows_write("qa.jsonl", text[i]);
        rows_run_and_load(yaml, "out", &r);
        ck_assert_int_eq(r.n, (i + 1) * 5);
        last.v = r.v + (long)i * 5; /* the rows of this run */
        last.n = 5;
        ck_assert_int_eq(check_counts(&last, file), 5 * 3);
        rows_free(&r);
    }
    mem_free(file);
}
END_TEST

START_TEST(recording_that_is_switched_on_later_records_all_of_it)
{
    static const char yaml[] = "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 300}]\nsamples: "
                               "2\nmax_new_tokens: 2\nsweep: [{policy: knorm, keep: 0.5}]\n%s";
    struct str y = {0};
    struct rows r, last = {0};
    struct runner_summary sum;
    char *file = rows_path("out/kept.h5");
    str_addf(&y, yaml, "");
    rows_run(y.p, "out", 0, NULL);
    ck_assert(!fs_exists(file));
    str_clear(&y);
    str_addf(&y, yaml, "record: {kept: true}\n");
    rows_run(y.p, "out", 0, &sum);
    ck_assert_int_eq((int)sum.rows, 4);
    rows_load("out", &r);
    ck_assert_int_eq(r.n, 8);
    last.v = r.v + 4;
    last.n = 4;
    rows_check_all(&last, &r, 1, "computed again"); /* the first rows of the journal */
    ck_assert_int_eq(check_counts(&last, file), 4 * 3);
    rows_run(y.p, "out", 0, &sum); /* and then nothing is left to do */
    ck_assert_int_eq((int)sum.rows, 0);
    rows_free(&r);
    str_free(&y);
    mem_free(file);
}
END_TEST

Suite *make_keptfile_suite(void)
{
    Suite *s = suite_create("keptfile");
    TCase *t = tcase_create("keptfile");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_row_that_was_computed_again_has_its_new_bitmap_and_others_keep_theirs);
    tcase_add_test(t, ids_that_begin_alike_and_share_a_short_hash_stay_apart);
    tcase_add_test(t, what_another_model_kept_is_not_what_this_one_keeps);
    tcase_add_test(t, entries_of_an_older_version_stay_until_they_are_replaced);
    tcase_add_test(t, a_row_that_fails_when_it_is_computed_again_has_no_bitmap);
    tcase_add_test(t, parts_of_a_killed_run_are_merged_by_the_next_one);
    tcase_add_test(t, names_of_questions_may_be_anything);
    tcase_add_test(t, a_broken_file_is_an_error_that_names_it);
    tcase_add_test(t, a_run_stores_what_its_rows_say_also_when_the_data_has_changed);
    tcase_add_test(t, recording_that_is_switched_on_later_records_all_of_it);
    suite_add_tcase(s, t);
    return s;
}
