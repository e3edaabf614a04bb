/* Files with a wrong byte: whatever it is and wherever it stands, reading ends with an answer or an error, soon, and
 * without asking for memory that the file does not have. Every byte that is changed follows from the file's name and a
 * number, so that what fails can be had again; DEPTHKV_SPOILED=10000 tries that many changes of every kind of file. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/base/str.h"
#include "models/model.h"
#include "policies/allocator_profile.h"
#include "policies/allocator_study.h"
#include "tests/lib/allocators.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { USUAL = 150, BATCH = 50, SECONDS = 30, MOST_MEMORY = 64 << 20 };

static char path[] = "/tmp/depthkv-spoiled-XXXXXX";

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

/* Everything below a group, as its readers would ask for it. */
static void walk(const struct h5 *f, const char *group, int depth)
{
    char **name = NULL, **text = NULL;
    size_t n = 0, n_text;
    if (depth > 40 || h5_list(f, group, &name, &n, NULL))
        return;
    for (size_t i = 0; i < n; i++) {
        struct str at = {0};
        struct h5_info info;
        str_addf(&at, "%s/%s", group[1] ? group : "", name[i]);
        if (h5_stat(f, at.p, &info, NULL) == 0 && h5_type_size(info.type) &&
            info.stored == info.n * h5_type_size(info.type)) {
            void *data = mem_try((size_t)info.stored + 1, 1, "elements", NULL);
            if (data)
                h5_read(f, at.p, info.type, data, (size_t)info.n, NULL);
            mem_free(data);
        }
        if (h5_read_strings(f, at.p, &text, &n_text, NULL) == 0)
            h5_free_strings(text, n_text);
        mem_free(h5_get_string(f, at.p, "task", NULL));
        walk(f, at.p, depth + 1);
        str_free(&at);
    }
    h5_free_strings(name, n);
}

static void read_model(void)
{
    model_close(model_open(path, MODEL_F32, NULL));
}

static void read_profile(void)
{
    char **hash = NULL;
    size_t n_hash;
    if (allocator_profile_prompts(path, &hash, &n_hash, NULL) == 0)
        h5_free_strings(hash, n_hash);
    struct h5 *f = h5_open(path, H5_MODE_READ, NULL);
    struct allocator_study *s = NULL;
    int n = 0;
    if (f && allocator_study_list(f, &s, &n, NULL) == 0) {
        for (int i = 0; i < n; i++) {
            double damage[ALLOCATORS_MOST_LAYERS];
            if (allocator_study_layers(f, ALLOCATORS_MOST_LAYERS, &s[i], NULL) == 0)
                allocator_study_damage(f, &s[i], ALLOCATOR_STUDY_KL, damage, NULL);
        }
        allocator_study_free(s, n);
    }
    h5_close(f, NULL);
}

static void read_none(void)
{
}

/* Changes [first, first + BATCH) of the file, one at a time; in a process of its own, which a crash ends. */
static void batch(const char *what, const char *whole, size_t n, int first, void (*read_it)(void))
{
    alarm(SECONDS);
    for (int i = first; i < first + BATCH; i++) {
        struct rng r;
        rng_init(&r, (uint64_t)i, what);
        char *copy = mem_new(n, 1);
        memcpy(copy, whole, n);
        copy[rng_below(&r, n)] = (char)rng_below(&r, 256);
        FILE *f = fopen(path, "wb");
        if (!f || fwrite(copy, 1, n, f) != n || fclose(f))
            _exit(3);
        mem_free(copy);
        struct h5 *h = h5_open(path, H5_MODE_READ, NULL);
        if (h)
            walk(h, "/", 0);
        h5_close(h, NULL);
        read_it();
        if (mem_peak() > n + MOST_MEMORY)
            _exit(4);
    }
    _exit(0);
}

static void spoil(const char *what, const char *file, void (*read_it)(void))
{
    const char *many = getenv("DEPTHKV_SPOILED");
    int count = many ? atoi(many) : USUAL;
    size_t n;
    char *whole = fs_read(file, &n, NULL);
    ck_assert_msg(whole != NULL, "%s", file);
    for (int first = 0; first < count; first += BATCH) {
        int status = 0;
        pid_t child = fork();
        if (child == 0)
            batch(what, whole, n, first, read_it);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert_msg(status == 0, "%s, changes %d to %d: signal %d, exit %d (4: too much memory)", what, first,
                      first + BATCH - 1, WIFSIGNALED(status) ? WTERMSIG(status) : 0,
                      WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    }
    mem_free(whole);
}

START_TEST(a_model_file_with_a_wrong_byte_ends_with_an_answer)
{
    support_model_file(path, 2, 1);
    spoil("model", path, read_model);
}
END_TEST

START_TEST(a_model_file_of_version_1_too)
{
    spoil("version 1", "tests/vectors/version1.h5", read_model);
}
END_TEST

START_TEST(a_profile_with_a_wrong_byte_ends_with_an_answer)
{
    static const double v[] = {0.1, 0.2, 0.3, 0.4};
    static const struct allocators_study s[] = {{"t", "h2o", 0.25, 0, v, v}, {"u", "h2o", 0.5, 0, v, v}};
    allocators_profile(path, NULL, 4, s, 2);
    spoil("profile", path, read_profile);
}
END_TEST

START_TEST(a_profile_with_variable_length_texts_too)
{
    spoil("old profile", "tests/vectors/profile1.h5", read_profile);
}
END_TEST

START_TEST(kept_positions_with_a_wrong_byte_end_with_an_answer)
{
    static const uint64_t dim[] = {2, 1, 2}, bits[4] = {1, 2, 3, 4};
    struct h5 *f = h5_open(path, H5_MODE_CREATE, NULL);
    for (int i = 0; i < 12; i++) {
        char at[64];
        snprintf(at, sizeof at, "/c%d/%d/q", i % 3, i);
        ck_assert_int_eq(h5_write(f, at, H5_TYPE_U64, 3, dim, bits, NULL), 0);
        ck_assert_int_eq(h5_set_int(f, at, "n", 70, NULL), 0);
    }
    ck_assert_int_eq(h5_close(f, NULL), 0);
    spoil("kept", path, read_none);
}
END_TEST

Suite *make_spoiled_files_suite(void)
{
    Suite *s = suite_create("spoiled_files");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, getenv("DEPTHKV_SPOILED") ? 3600 : 60);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_model_file_with_a_wrong_byte_ends_with_an_answer);
    tcase_add_test(t, a_model_file_of_version_1_too);
    tcase_add_test(t, a_profile_with_a_wrong_byte_ends_with_an_answer);
    tcase_add_test(t, a_profile_with_variable_length_texts_too);
    tcase_add_test(t, kept_positions_with_a_wrong_byte_end_with_an_answer);
    suite_add_tcase(s, t);
    return s;
}
