/* `depthkv trace` shows what the run did: the positions that kept.h5 holds, protection, and the right sample. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/cmd/cli.h"
#include "tests/lib/rows.h"
#include "tests/suites.h"

static void setup(void)
{
    rows_enter();
}

static void teardown(void)
{
    rows_leave();
}

static const char yaml[] = "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: "
                           "2\nmax_new_tokens: 4\nrecord: {kept: true}\n"
                           "sweep:\n  - {policy: random, keep: 0.3, policy_seed: 7}\n"
                           "  - {policy: {snapkv: {window: 8}}, keep: 0.1, protect: {sinks: 3, question: true}}\n"
                           "  - {policy: full, prune_after: prompt}\n";

/* What the command prints; its exit status in *status. */
static char *trace(const char *cell, const char *more, const char *value, int *status)
{
    char *path = rows_path("x.yaml");
    const char *const word[] = {"trace", path, "--cell", cell, *more ? more : NULL, value, NULL};
    char *text = rows_command(cmd_trace, word, status);
    mem_free(path);
    return text;
}

struct bits {
    uint64_t *v;
    size_t words;
    int64_t n;
};

static struct bits kept_bits(const char *cell, int sample)
{
    char *path = rows_path("out/kept.h5"), **name;
    struct bits b;
    struct h5_info info;
    struct str at = {0};
    size_t n;
    struct h5 *f = h5_open(path, H5_MODE_READ, NULL);
    str_addf(&at, "/%s/%d", cell, sample);
    ck_assert_int_eq(h5_list(f, at.p, &name, &n, NULL), 0);
    str_addf(&at, "/%s", name[0]);
    ck_assert_int_eq(h5_stat(f, at.p, &info, NULL), 0);
    ck_assert_int_eq(h5_get_int(f, at.p, "n", &b.n, NULL), 0);
    b.words = (size_t)info.dim[2];
    b.v = mem_new((size_t)info.n, sizeof *b.v);
    ck_assert_int_eq(h5_read(f, at.p, H5_TYPE_U64, b.v, (size_t)info.n, NULL), 0);
    h5_free_strings(name, n);
    h5_close(f, NULL);
    str_free(&at);
    mem_free(path);
    return b;
}

START_TEST(a_trace_shows_what_the_run_kept_and_protected)
{
    struct rows r;
    rows_run_and_load(yaml, "out", &r);
    for (int i = 0; i < r.n; i++) {
        const char *cell = json_string(json_get(r.v[i], "cell")), *policy = json_string(json_get(r.v[i], "policy")),
                   *sample = rows_text(r.v[i], "sample");
        int status, lines = 0, is_full = !strcmp(policy, "full"), is_snap = !strcmp(policy, "snapkv");
        struct bits b = kept_bits(cell, atoi(sample));
        char *text = trace(cell, "--sample", sample, &status), *p = text, *end;
        ck_assert_int_eq(status, CLI_OK);
        ck_assert_int_eq(strncmp(p, "layer\thead\tposition\ttoken\tscore\tprotected\tkept\n", 47), 0);
        for (p = strchr(p, '\n') + 1; *p; p = end + 1, lines++) {
            int layer, head, position, used, protected, kept;
            end = strchr(p, '\n');
            ck_assert_int_eq(sscanf(p, "%d\t%d\t%d\t%n", &layer, &head, &position, &used), 3);
            char *tail = end;
            for (int tabs = 0; tabs < 3; tabs += *tail == '\t')
                tail--;
            ck_assert(is_full == (tail[1] == '\t')); /* the full cache has no scores */
            ck_assert_int_eq(sscanf(tail + 1 + strcspn(tail + 1, "\t"), "%d%d", &protected, &kept), 2);
            uint64_t word = b.v[((size_t)layer * 2 + (size_t)head) * b.words + (size_t)position / 64];
            ck_assert_msg(kept == (int)(word >> (position % 64) & 1), "%.*s", (int)(end - p), p);
            /* snapkv: 3 sinks, and what stands behind the context: "\nWhat is the pass key?" and the prefix are last */
            int want = is_snap &&
                       (position < 3 || position >= b.n - 8 || (position >= (int)b.n - 37 && position < (int)b.n - 15));
            ck_assert_msg(protected == want, "position %d of %d is %d", position, (int)b.n, protected);
            ck_assert(kept || !protected);
        }
        ck_assert_int_eq(lines, 3 * 2 * (int)b.n);
        mem_free(text);
        mem_free(b.v);
    }
    rows_free(&r);
}
END_TEST

/* Of a chunked prefill the scores of the last cut are shown; what an earlier one evicted has none, and is not kept. */
START_TEST(what_an_earlier_chunk_evicted_has_no_score)
{
    int status, without = 0, kept_lines = 0, dropped = 0;
    char *path = rows_path("x.yaml"), *text, *end;
    struct experiment x;
    rows_write("x.yaml", "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [passkey: {length: 400}]\nsamples: "
                         "1\nmax_new_tokens: 4\nsweep: [{policy: knorm, keep: 0.3, prefill: {chunked: {size: 64}}}]\n");
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, NULL), 0);
    text = trace(x.cell[1].id, "", "", &status);
    ck_assert_int_eq(status, CLI_OK);
    for (char *p = strchr(text, '\n') + 1; *p; p = end + 1) {
        int protected, kept;
        end = strchr(p, '\n');
        char *tail = end;
        for (int tabs = 0; tabs < 3; tabs += *tail == '\t')
            tail--;
        int has_score = tail[1] != '\t';
        ck_assert_int_eq(sscanf(tail + 1 + strcspn(tail + 1, "\t"), "%d%d", &protected, &kept), 2);
        ck_assert(has_score || !kept);
        without += !has_score;
        kept_lines += kept;
        dropped += has_score && !kept;
    }
    ck_assert_int_eq(kept_lines, 3 * 2 * 118); /* floor(0.3 of 395) */
    ck_assert_int_gt(without, 0);
    ck_assert_int_gt(dropped, 0); /* by the last cut */
    mem_free(text);
    mem_free(path);
    experiment_fini(&x);
}
END_TEST

START_TEST(a_layer_a_sample_or_a_cell_that_is_not_there_is_told)
{
    int status;
    char *text;
    rows_write("qa.jsonl", "{\"context\": \"a hare and a hound\", \"answers\": [\"x\"]}\n");
    rows_write("x.yaml", "schema: 1\nexperiment: x\nmodel: tiny.h5\ntasks: [jsonl: {file: qa.jsonl}]\nsamples: "
                         "5\nsweep: [{policy: knorm, keep: 0.5}]\n");
    struct experiment x;
    char *path = rows_path("x.yaml");
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, NULL), 0);
    static const struct {
        const char *more, *value;
        int status, lines;
    } c[] = {{"--layer", "2", CLI_OK, 1 + 2 * 20},
             {"--layer", "3", CLI_USAGE, 0},
             {"--sample", "0", CLI_OK, 1 + 3 * 2 * 20},
             {"--sample", "1", CLI_USAGE, 0},
             {"--set", "sweep.0.keep=0.25", CLI_USAGE, 0 /* another cell */},
             {"", "", CLI_OK, 1 + 3 * 2 * 20}};
    ck_assert_ptr_nonnull(freopen("/dev/null", "w", stderr));
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        int lines = 0;
        text = trace(x.cell[1].id, c[i].more, c[i].value, &status);
        for (const char *p = text; *p; p++)
            lines += *p == '\n';
        ck_assert_msg(status == c[i].status && lines == c[i].lines, "case %zu: status %d, %d lines", i, status, lines);
        mem_free(text);
    }
    text = trace("", "", "", &status); /* both cells begin so */
    ck_assert_int_eq(status, CLI_USAGE);
    mem_free(text);
    text = trace("zzz", "", "", &status);
    ck_assert_int_eq(status, CLI_USAGE);
    mem_free(text);
    experiment_fini(&x);
    mem_free(path);
}
END_TEST

Suite *make_trace_suite(void)
{
    Suite *s = suite_create("trace");
    TCase *t = tcase_create("trace");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_trace_shows_what_the_run_kept_and_protected);
    tcase_add_test(t, what_an_earlier_chunk_evicted_has_no_score);
    tcase_add_test(t, a_layer_a_sample_or_a_cell_that_is_not_there_is_told);
    suite_add_tcase(s, t);
    return s;
}
