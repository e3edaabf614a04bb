/* harness/base/h5: arrays, strings and attributes come back; what does not fit is refused by name. */
#include <glob.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "harness/base/h5.h"
#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "tests/suites.h"

static char path[] = "/tmp/depthkv-h5-XXXXXX";

static void setup(void)
{
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    close(fd);
}

static void teardown(void)
{
    unlink(path);
}

START_TEST(arrays_of_every_type_come_back)
{
    static const unsigned char bytes[48] = {1, 2, 3, 0x40, 5, 6, 7, 0x3F, 9, 10, 11, 0x12};
    unsigned char back[48];
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
    for (int t = 0; t < H5_TYPE_STRING; t++) {
        char name[32];
        snprintf(name, sizeof name, "/a/b/%s", h5_type_name((enum h5_type)t));
        ck_assert_int_eq(h5_write(f, name, (enum h5_type)t, 2, (const uint64_t[]){2, 3}, bytes, NULL), 0);
    }
    ck_assert_int_eq(h5_close(f, NULL), 0);
    f = h5_open(path, H5_MODE_READ, NULL);
    for (int t = 0; t < H5_TYPE_STRING; t++) {
        char name[32];
        struct h5_info info;
        snprintf(name, sizeof name, "/a/b/%s", h5_type_name((enum h5_type)t));
        ck_assert_int_eq(h5_stat(f, name, &info, NULL), 0);
        ck_assert_int_eq(info.type, t);
        ck_assert_int_eq(info.rank, 2);
        ck_assert_uint_eq(info.dim[0], 2);
        ck_assert_uint_eq(info.dim[1], 3);
        ck_assert_uint_eq(info.stored, 6 * h5_type_size((enum h5_type)t));
        ck_assert_int_eq(h5_read(f, name, (enum h5_type)t, back, 6, NULL), 0);
        ck_assert_mem_eq(back, bytes, 6 * h5_type_size((enum h5_type)t));
    }
    h5_close(f, NULL);
}
END_TEST

START_TEST(strings_attributes_and_lists_come_back)
{
    static const char *const words[] = {"", "a b", "\xC4\xA0t", "long enough to leave the first heap block"};
    char **back = NULL;
    size_t n = 0;
    int64_t i;
    double x;
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
    ck_assert_int_eq(h5_write_strings(f, "/g/words", words, 4, NULL), 0);
    ck_assert_int_eq(h5_make_group(f, "/g/empty", NULL), 0);
    ck_assert_int_eq(h5_set_int(f, "/", "i", 1, NULL), 0);
    ck_assert_int_eq(h5_set_int(f, "/", "i", INT64_MIN, NULL), 0); /* replaces */
    ck_assert_int_eq(h5_set_double(f, "/g", "x", 0.1, NULL), 0);
    ck_assert_int_eq(h5_set_string(f, "/g/words", "s", "caf\xC3\xA9", NULL), 0);
    ck_assert_int_eq(h5_close(f, NULL), 0);
    f = h5_open(path, H5_MODE_APPEND, NULL);
    ck_assert_int_eq(h5_copy(f, "/g/words", f, "/copy/words", NULL), 0);
    ck_assert_int_eq(h5_read_strings(f, "/copy/words", &back, &n, NULL), 0);
    ck_assert_uint_eq(n, 4);
    for (size_t k = 0; k < n; k++)
        ck_assert_str_eq(back[k], words[k]);
    h5_free_strings(back, n);
    ck_assert_int_eq(h5_list(f, "/g", &back, &n, NULL), 0);
    ck_assert_uint_eq(n, 2);
    ck_assert_str_eq(back[0], "empty");
    ck_assert_str_eq(back[1], "words");
    h5_free_strings(back, n);
    ck_assert_int_eq(h5_get_int(f, "/", "i", &i, NULL), 0);
    ck_assert(i == INT64_MIN);
    ck_assert_int_eq(h5_get_double(f, "/g", "x", &x, NULL), 0);
    ck_assert(x == 0.1);
    char *s = h5_get_string(f, "/copy/words", "s", NULL);
    ck_assert_str_eq(s, "caf\xC3\xA9");
    mem_free(s);
    ck_assert_int_eq(h5_exists(f, "/"), 1);
    ck_assert_int_eq(h5_exists(f, "/g/words"), 1);
    ck_assert_int_eq(h5_exists(f, "/g/none/below"), 0);
    h5_close(f, NULL);
}
END_TEST

START_TEST(errors_name_file_dataset_and_both_sides)
{
    struct err e;
    int32_t v[2] = {0};
    int64_t i;
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
    h5_write(f, "/v", H5_TYPE_I32, 1, (const uint64_t[]){2}, v, NULL);
    h5_set_string(f, "/", "s", "x", NULL);
    ck_assert_int_eq(h5_read(f, "/v", H5_TYPE_F32, v, 2, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, ":/v: elements are i32, expected f32"));
    ck_assert_int_eq(h5_read(f, "/v", H5_TYPE_I32, v, 3, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "2 elements, expected 3"));
    ck_assert_int_eq(h5_read(f, "/w", H5_TYPE_I32, v, 2, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, ":/w: missing"));
    ck_assert_int_eq(h5_get_int(f, "/", "s", &i, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "attribute 's' is not one integer"));
    ck_assert_int_eq(h5_get_int(f, "/", "t", &i, &e), -1);
    ck_assert_ptr_nonnull(strstr(e.msg, "attribute 't' missing"));
    ck_assert_int_eq(h5_write(f, "/v", H5_TYPE_I32, 1, (const uint64_t[]){2}, v, &e), -1);
    h5_close(f, NULL);
}
END_TEST

START_TEST(what_is_no_hdf5_file_is_refused)
{
    static const char *const bad[] = {"/tmp", "/dev/null", "/nonexistent/x.h5"};
    struct err e;
    for (size_t i = 0; i < 3; i++) {
        memset(&e, 0xFF, sizeof e);
        ck_assert_msg(!h5_open(bad[i], H5_MODE_READ, &e), "case %zu", i);
        ck_assert_int_eq(e.code, ERR_IO);
    }
    FILE *f = fopen(path, "w");
    fputs("no HDF5", f);
    fclose(f);
    ck_assert_ptr_null(h5_open(path, H5_MODE_READ, &e));
    ck_assert_int_eq(e.code, ERR_FORMAT);
    ck_assert_ptr_null(h5_open("/nonexistent/x.h5", H5_MODE_CREATE, &e));
}
END_TEST

/* Models are told apart by the hash of their files. */
START_TEST(the_same_content_at_another_time_gives_the_same_bytes)
{
    static const char *const words[] = {"a", "bc"};
    char sha256[2][HASH_HEX];
    for (int i = 0; i < 2; i++) {
        time_t before = time(NULL);
        struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
        ck_assert_int_eq(h5_write(f, "/a/b/x", H5_TYPE_F32, 1, (const uint64_t[]){2}, (const float[]){1, 2}, NULL), 0);
        ck_assert_int_eq(h5_write_strings(f, "/words", words, 2, NULL), 0);
        ck_assert_int_eq(h5_make_group(f, "/g/h", NULL), 0);
        ck_assert_int_eq(h5_set_int(f, "/g", "n", 3, NULL), 0);
        ck_assert_int_eq(h5_close(f, NULL), 0);
        ck_assert_int_eq(hash_sha256_file(path, sha256[i], NULL), 0);
        while (i == 0 && time(NULL) == before) /* the format's times are whole seconds */
            nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    ck_assert_str_eq(sha256[0], sha256[1]);
}
END_TEST

/* What was there stays until something whole takes its place. */
START_TEST(what_can_not_be_written_leaves_the_old_file)
{
    static const float v[4096] = {0};
    struct rlimit was, small;
    struct err e;
    double x = 0;
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
    h5_set_double(f, "/", "x", 0.5, NULL);
    ck_assert_int_eq(h5_close(f, NULL), 0);
    signal(SIGXFSZ, SIG_IGN);
    getrlimit(RLIMIT_FSIZE, &was);
    for (rlim_t limit = 0; limit < 20000; limit += 700) {
        small = was;
        small.rlim_cur = limit;
        setrlimit(RLIMIT_FSIZE, &small);
        f = h5_open(path, H5_MODE_CREATE, NULL);
        int bad = h5_write(f, "/a/v", H5_TYPE_F32, 1, (const uint64_t[]){4096}, v, &e),
            closed = h5_close(f, bad ? NULL : &e);
        setrlimit(RLIMIT_FSIZE, &was);
        ck_assert_int_eq(closed, limit < 4096 * 4 + 48 ? -1 : closed);
        if (!closed)
            break;
        ck_assert_msg(strstr(e.msg, "File too large") && strstr(e.msg, path), "%s", e.msg);
        f = h5_open(path, H5_MODE_READ, NULL);
        ck_assert_int_eq(h5_get_double(f, "/", "x", &x, NULL), 0);
        h5_close(f, NULL);
    }
    f = h5_open(path, H5_MODE_READ, NULL);
    ck_assert(h5_exists(f, "/a/v") && !h5_has(f, "/", "x"));
    h5_close(f, NULL);
    f = h5_open(path, H5_MODE_CREATE, NULL);
    h5_abandon(f);
    f = h5_open(path, H5_MODE_READ, NULL);
    ck_assert(h5_exists(f, "/a/v"));
    h5_close(f, NULL);
    glob_t g;
    char pattern[64];
    snprintf(pattern, sizeof pattern, "%s.*", path);
    ck_assert_int_eq(glob(pattern, 0, NULL, &g), GLOB_NOMATCH); /* no temporary file */
}
END_TEST

/* Bytes that h5py (HDF5 2.0, libver earliest) wrote, from tests/vectors/make_version1.py. */
START_TEST(files_that_the_library_wrote_are_read)
{
    struct h5 *f = h5_open("tests/vectors/version1.h5", H5_MODE_READ, NULL);
    char **token = NULL, *name = h5_get_string(f, "/", "source_name", NULL);
    size_t n = 0;
    struct h5_info info;
    ck_assert_str_eq(name, "make_version1.py");
    mem_free(name);
    ck_assert_int_eq(h5_read_strings(f, "/tokenizer/token", &token, &n, NULL), 0);
    ck_assert_uint_eq(n, 257);
    ck_assert_str_eq(token[65], "<65>");
    ck_assert_str_eq(token[256], "<end>");
    h5_free_strings(token, n);
    ck_assert_int_eq(h5_stat(f, "/layers/0/wk", &info, NULL), 0);
    ck_assert_int_eq(info.type, H5_TYPE_F32);
    ck_assert(info.rank == 2 && info.dim[0] == 4 && info.dim[1] == 8);
    h5_close(f, NULL);
}
END_TEST

/* More links than a header begins with room for, with texts between: the checker passes what is written, names stay in
 * order. */
START_TEST(groups_of_many_members_come_back)
{
    enum { MANY = 400 };
    static const double v[3] = {1, 2, 3};
    char name[64], **back = NULL;
    size_t n = 0;
    struct err e = {0};
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL), *g;
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "/group/member of the group %04d", (i * 7) % MANY);
        ck_assert_int_eq(h5_write(f, name, H5_TYPE_F64, 1, (const uint64_t[]){3}, v, NULL), 0);
        ck_assert_int_eq(h5_set_string(f, name, "key", name, NULL), 0);
    }
    ck_assert_msg(h5_close(f, &e) == 0, "%s", e.msg);
    f = h5_open(path, H5_MODE_READ, &e);
    ck_assert_msg(f != NULL, "%s", e.msg);
    g = h5_open(path, H5_MODE_APPEND, &e);
    ck_assert_msg(g && h5_close(g, &e) == 0, "%s", e.msg);
    ck_assert_int_eq(h5_list(f, "/group", &back, &n, NULL), 0); /* what was open stays */
    ck_assert_uint_eq(n, MANY);
    for (size_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "member of the group %04zu", i);
        ck_assert_str_eq(back[i], name);
    }
    h5_free_strings(back, n);
    h5_close(f, NULL);
    f = h5_open(path, H5_MODE_READ, &e);
    char *key = h5_get_string(f, "/group/member of the group 0399", "key", &e);
    ck_assert_msg(key != NULL, "%s", e.msg);
    ck_assert_str_eq(key, "/group/member of the group 0399");
    mem_free(key);
    h5_close(f, NULL);
}
END_TEST

Suite *make_h5_suite(void)
{
    Suite *s = suite_create("h5");
    TCase *t = tcase_create("core");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, arrays_of_every_type_come_back);
    tcase_add_test(t, strings_attributes_and_lists_come_back);
    tcase_add_test(t, errors_name_file_dataset_and_both_sides);
    tcase_add_test(t, what_is_no_hdf5_file_is_refused);
    tcase_add_test(t, the_same_content_at_another_time_gives_the_same_bytes);
    tcase_add_test(t, what_can_not_be_written_leaves_the_old_file);
    tcase_add_test(t, files_that_the_library_wrote_are_read);
    tcase_add_test(t, groups_of_many_members_come_back);
    suite_add_tcase(s, t);
    return s;
}
