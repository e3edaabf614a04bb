/* What fuzzing found, and what it started from: every file of tests/fuzz/regressions/<format> and
 * tests/fuzz/corpus/<format> goes through the reader again. A crash or a broken promise ends the process, which Check
 * reports with the format's name. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "tests/fuzz/fuzz.h"
#include "tests/suites.h"

/* Feeds the files of one folder to the format. Good ones are accepted: a seed that is refused leads a fuzzer nowhere.
 */
static void feed_all(const struct fuzz_format *f, const char *folder, int good)
{
    struct dirent **entry;
    struct str path = {0};
    str_addf(&path, "tests/fuzz/%s/%s", folder, f->name);
    int n = scandir(path.p, &entry, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char *file = fs_join(path.p, entry[i]->d_name);
        struct err e;
        size_t size;
        if (entry[i]->d_name[0] != '.') {
            char *text = fs_read(file, &size, &e);
            ck_assert_msg(text != NULL, "%s", e.msg);
            int accepted = f->feed(text, size);
            ck_assert_msg(accepted || !good, "%s, a seed (tests/fuzz/make_*corpus* make them anew), is refused: %s",
                          file, fuzz_said.msg);
            mem_free(text);
        }
        mem_free(file);
        free(entry[i]);
    }
    if (n >= 0)
        free(entry);
    str_free(&path);
}

START_TEST(every_reader_survives_its_seeds_and_what_fuzzing_found)
{
    const struct fuzz_format *f = &fuzz_formats[_i];
    feed_all(f, "corpus", 1);
    feed_all(f, "regressions", 0);
}
END_TEST

Suite *make_fuzz_findings_suite(void)
{
    Suite *s = suite_create("fuzz_findings");
    TCase *t = tcase_create("formats");
    int n = 0;
    while (fuzz_formats[n].name)
        n++;
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, every_reader_survives_its_seeds_and_what_fuzzing_found, 0, n);
    suite_add_tcase(s, t);
    return s;
}
