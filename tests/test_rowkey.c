/* Resume keys: what a row depends on changes its key, what it does not depend on leaves it, and no source that a number
 * goes through is forgotten. */
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/rows/build_id.h"
#include "harness/rows/rowkey.h"
#include "harness/rows/source_id.h"
#include "models/transformer.h"
#include "tests/lib/rows.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static const char yaml[] =
    "# A question.\n"
    "schema: 1\n"
    "experiment: x\n"
    "model: tiny.h5\n"
    "tasks:\n"
    "  - jsonl: {file: r.jsonl, prompt: \"{context}{question}{answer_prefix}\", metric: exact, max_new_tokens: 4}\n"
    "  - passkey: {length: 300}\n"
    "samples: 2\n"
    "measure: [score, nll]\n"
    "sweep:\n"
    "  - {policy: {snapkv: {window: 8}}, keep: 0.5}\n"
    "  - {policy: random, keep: 0.5}\n";

static const char records[] =
    "{\"id\":\"a\",\"context\":\"The captain is called Mora. The cook is not.\",\"question\":\"Who? \","
    "\"answer_prefix\":\"\",\"answers\":[\"Mora\"]}\n"
    "{\"id\":\"b\",\"context\":\"The pilot is called Tenn. The cook is not.\",\"question\":\"Who? \","
    "\"answer_prefix\":\"\",\"answers\":[\"Tenn\"]}\n";

static void setup(void)
{
    rows_enter();
    rows_write("r.jsonl", records);
}

static void teardown(void)
{
    rows_leave();
}

/* text with the first `from` replaced; "" for `from` puts `to` at the end. */
static char *edited(const char *text, const char *from, const char *to)
{
    struct str s = {0};
    const char *at = *from ? strstr(text, from) : text + strlen(text);
    ck_assert_msg(at != NULL, "'%s' does not stand in the text", from);
    str_addn(&s, text, (size_t)(at - text));
    str_add(&s, to);
    str_add(&s, at + strlen(from));
    return str_take(&s);
}

enum { JSONL, PASSKEY, SNAPKV = 0, RANDOM = 2, N_KEY = 4 };

/* Keys of sample 0 of both tasks under both policies: JSONL + SNAPKV and so on. */
static void keys_of(const char *text, const char *out, char key[N_KEY][HASH_HEX])
{
    struct rows r;
    memset(key, 0, N_KEY * sizeof key[0]);
    rows_run_and_load(text, out, &r);
    for (int i = 0; i < r.n; i++) {
        const char *policy = rows_text(r.v[i], "policy"), *task = rows_text(r.v[i], "task");
        if (strcmp(rows_text(r.v[i], "sample"), "0") != 0 || !strcmp(policy, "full") || !strcmp(policy, "knorm"))
            continue;
        int k = (strcmp(task, "passkey") == 0 ? PASSKEY : JSONL) + (strcmp(policy, "random") == 0 ? RANDOM : SNAPKV);
        snprintf(key[k], HASH_HEX, "%s", rows_text(r.v[i], "key"));
    }
    rows_free(&r);
}

/* Edits of the experiment (or, with `file`, of the records), and which of the four keys change: the letters are in the
 * order jsonl under snapkv, passkey under snapkv, jsonl under random, passkey under random; x changes, . stays. */
static const struct edit {
    const char *what, *from, *to, *want;
    int file;
} edits[] = {
    {"nothing", "", "", "....", 0},
    {"the question", "A question", "Another one", "....", 0},
    {"the name", "experiment: x", "experiment: y", "....", 0},
    {"fewer samples", "samples: 2", "samples: 1", "....", 0},
    {"more cells", "keep: 0.5}\n  -", "keep: 0.5}\n  - {policy: knorm, keep: 0.25}\n  -", "....", 0},
    {"a default spelled out", "keep: 0.5}", "keep: 0.5, prefill: full, decode: frozen, layer_budget: uniform}", "....",
     0},
    {"a budget spelled otherwise", "keep: 0.5}", "keep: 0.50}", "....", 0},
    {"the baseline", "samples: 2", "samples: 2\nbaseline: {policy: random}", "....", 0},
    {"entries that are kept", "samples: 2", "samples: 2\nrecord: {kept: true}", "....", 0},
    {"a parameter of one policy", "window: 8", "window: 9", "xx..", 0},
    {"the budget of one policy", "keep: 0.5}", "keep: 0.4}", "xx..", 0},
    {"its layer budget", "keep: 0.5}", "keep: 0.5, layer_budget: pyramidkv}", "xx..", 0},
    {"its heads", "keep: 0.5}", "keep: 0.5, head_budget: shared}", "xx..", 0},
    {"its protection", "keep: 0.5}", "keep: 0.5, protect: {sinks: 2}}", "xx..", 0},
    {"its place of pruning", "keep: 0.5}", "keep: 0.5, prune_after: prompt}", "xx..", 0},
    {"its prefill", "keep: 0.5}", "keep: 0.5, prefill: {chunked: {size: 32}}}", "xx..", 0},
    {"its decoding", "keep: 0.5}", "keep: 0.5, decode: evict}", "xx..", 0},
    {"its positions", "keep: 0.5}", "keep: 0.5, positions: packed}", "xx..", 0},
    {"its weights", "keep: 0.5}", "keep: 0.5, weight_dtype: bf16}", "xx..", 0},
    {"its arithmetic", "keep: 0.5}", "keep: 0.5, arithmetic: bf16}", "xx..", 0},
    {"how its cache is held", "keep: 0.5}", "keep: 0.5, cache_dtype: bf16}", "xx..", 0},
    {"its new tokens", "keep: 0.5}", "keep: 0.5, max_new_tokens: 3}", "xx..", 0},
    {"the seed of random", "random, keep: 0.5}", "random, keep: 0.5, policy_seed: 2}", "..xx", 0},
    {"the seed of data, which is in the name of every cell", "samples: 2", "samples: 2\nseed: 2", "xxxx", 0},
    {"a parameter of one task", "length: 300", "length: 310", ".x.x", 0},
    {"the metric of one task", "metric: exact", "metric: f1", "x.x.", 0},
    {"what is measured", "[score, nll]", "[score, nll, kl]", "xxxx", 0},
    {"the template", "samples: 2", "samples: 2\ntemplate: {user: [\"U \", \" \"], assistant: \"A \"}", "xxxx", 0},
    {"a prompt", "The captain", "A captain", "x.x.", 1},
    {"a question", "Who? ", "Who is? ", "x.x.", 1},
    {"an answer", "[\"Mora\"]", "[\"Moro\"]", "x.x.", 1},
    {"another record", "The pilot", "A pilot", "....", 1},
};

START_TEST(a_key_changes_with_what_its_row_depends_on)
{
    char was[N_KEY][HASH_HEX], now[N_KEY][HASH_HEX], found[N_KEY + 1] = {0}, out[16];
    keys_of(yaml, "out", was);
    for (int k = 0; k < N_KEY; k++)
        for (int i = 0; i < k; i++)
            ck_assert_msg(*was[k] && strcmp(was[k], was[i]) != 0, "keys %d and %d: %s and %s", i, k, was[i], was[k]);
    for (size_t i = 0; i < sizeof edits / sizeof *edits; i++) {
        const struct edit *d = &edits[i];
        char *text = edited(d->file ? records : yaml, d->from, d->to);
        snprintf(out, sizeof out, "out-%zu", i);
        rows_write("r.jsonl", d->file ? text : records);
        transformer_set_threads(1 + (int)(i % 2));
        keys_of(d->file ? yaml : text, out, now);
        for (int k = 0; k < N_KEY; k++)
            found[k] = strcmp(was[k], now[k]) ? 'x' : '.';
        ck_assert_msg(!strcmp(found, d->want), "%s: %s, expected %s", d->what, found, d->want);
        mem_free(text);
    }
    transformer_set_threads(2);
}
END_TEST

START_TEST(a_key_changes_with_the_weights_and_not_with_their_place)
{
    char was[N_KEY][HASH_HEX], now[N_KEY][HASH_HEX];
    char *from = rows_path("tiny.h5"), *to = rows_path("sub/tiny.h5");
    keys_of(yaml, "out", was);
    rows_write("sub/empty", "");
    ck_assert_int_eq(rename(from, to), 0);
    char *moved = edited(yaml, "tiny.h5", "sub/tiny.h5");
    keys_of(moved, "moved", now);
    ck_assert_int_eq(memcmp(was, now, sizeof was), 0);
    support_model_file(to, 2, 2);
    keys_of(moved, "other", now);
    for (int k = 0; k < N_KEY; k++)
        ck_assert_msg(strcmp(was[k], now[k]) != 0, "key %d", k);
    mem_free(moved);
    mem_free(from);
    mem_free(to);
}
END_TEST

/* A source file that was edited, and whether the engine changes, a cell of snapkv, one of pyramidkv's budget. */
static const struct {
    const char *path;
    int engine, snapkv, pyramidkv;
} sources[] = {
    {"policies/snapkv.c", 0, 1, 1},
    {"policies/h2o.c", 0, 0, 0},
    {"policies/alloc_pyramidkv.c", 0, 0, 1},
    {"policies/alloc_cake.c", 0, 0, 0},
    {"policies/alloc_uniform.c", 0, 1, 0},
    {"policies/policy.c", 1, 0, 0},
    {"policies/allocator.c", 1, 0, 0},
    {"models/kernels.c", 1, 0, 0},
    {"models/kvcache.h", 1, 0, 0},
    {"models/import_gguf.c", 0, 0, 0},
    {"datasets/jsonl.c", 1, 0, 0},
    {"harness/engine/decode.c", 1, 0, 0},
    {"harness/metric/metric_rouge.c", 1, 0, 0},
    {"harness/report/report.c", 0, 0, 0},
    {"harness/bench/bench_work.c", 0, 0, 0},
    {"harness/cmd/cmd_run.c", 0, 0, 0},
    {"harness/stats/stats.c", 0, 0, 0},
    {"harness/run/runner.c", 1, 0, 0},
};

START_TEST(a_key_changes_with_the_sources_that_its_row_goes_through)
{
    static const char digits[] = "0000000000000000000000000000000000000000000000000000000000000000";
    struct cell snapkv = {.policy = policy_find("snapkv"), .allocator = allocator_find("uniform")}, pyramidkv = snapkv;
    struct source_file file[2048];
    char was[3][HASH_HEX], now[3][HASH_HEX];
    int n = 0;
    pyramidkv.allocator = allocator_find("pyramidkv");
    do
        file[n] = source_files[n];
    while (source_files[n++].path);
    build_id_sources(file, was[0]);
    build_id_cell(&snapkv, file, was[1]);
    build_id_cell(&pyramidkv, file, was[2]);
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        const int want[3] = {sources[i].engine, sources[i].snapkv, sources[i].pyramidkv};
        int at = 0;
        while (file[at].path && strcmp(file[at].path, sources[i].path) != 0)
            at++;
        ck_assert_msg(file[at].path != NULL, "there is no %s", sources[i].path);
        const char *sha256 = file[at].sha256;
        file[at].sha256 = digits;
        build_id_sources(file, now[0]);
        build_id_cell(&snapkv, file, now[1]);
        build_id_cell(&pyramidkv, file, now[2]);
        file[at].sha256 = sha256;
        for (int k = 0; k < 3; k++)
            ck_assert_msg((strcmp(was[k], now[k]) != 0) == want[k], "%s: hash %d", sources[i].path, k);
    }
}
END_TEST

/* ---- sources that the engine includes ---------------------------------------------------------- */

static int source_index(const char *path)
{
    for (int i = 0; source_files[i].path; i++)
        if (!strcmp(source_files[i].path, path))
            return i;
    return -1;
}

/* Marks a file, what it includes, and the source file of every header: whatever it may call. */
static void reach(int at, char *reached)
{
    if (at < 0 || reached[at])
        return;
    reached[at] = 1;
    const char *path = source_files[at].path;
    size_t n, dot = strlen(path) - 2;
    char *text = fs_read(path, &n, NULL), beside[256];
    ck_assert_msg(text != NULL, "%s: these tests run in the project's folder", path);
    for (const char *p = text; (p = strstr(p, "#include \""));) {
        p += strlen("#include \"");
        char *name = mem_strndup(p, strcspn(p, "\""));
        reach(source_index(name), reached);
        mem_free(name);
    }
    snprintf(beside, sizeof beside, "%.*s.c", (int)dot, path);
    reach(source_index(beside), reached);
    mem_free(text);
}

/* The first file that is reached from these folders and files and that `covers` leaves out without a reason; -1: none.
 */
static int forgotten(int (*covers)(const char *path), int *n_reached)
{
    static const char *const from[] = {"harness/engine/", "harness/run/runner.c", "models/", "policies/", "datasets/"};
    static char reached[4096];
    int first = -1;
    *n_reached = 0;
    memset(reached, 0, sizeof reached);
    for (int i = 0; source_files[i].path; i++)
        for (size_t k = 0; k < sizeof from / sizeof *from; k++)
            if (!strncmp(source_files[i].path, from[k], strlen(from[k])))
                reach(i, reached);
    for (int i = 0; source_files[i].path; i++) {
        *n_reached += reached[i];
        if (reached[i] && first < 0 && !covers(source_files[i].path) && !build_id_exception(source_files[i].path))
            first = i;
    }
    return first;
}

static int covers_no_kernels(const char *path)
{
    return build_id_covers(path) && strcmp(path, "models/kernels_rows.c") != 0;
}

START_TEST(every_source_that_numbers_go_through_is_covered_or_excepted_by_name)
{
    int n, at = forgotten(build_id_covers, &n);
    ck_assert_msg(at < 0, "%s is reached from the engine, and build_id.c neither counts it nor says why not",
                  source_files[at < 0 ? 0 : at].path);
    ck_assert_msg(n > 100, "only %d files are reached", n);
    at = forgotten(covers_no_kernels, &n);
    ck_assert_msg(at >= 0 && !strcmp(source_files[at].path, "models/kernels_rows.c"), "the walk finds nothing");
}
END_TEST

START_TEST(every_exception_names_a_file)
{
    for (int i = 0; build_id_exception_at(i); i++) {
        const char *stem = build_id_exception_at(i);
        int found = 0;
        for (int k = 0; source_files[k].path; k++)
            found += !strncmp(source_files[k].path, stem, strlen(stem));
        ck_assert_msg(found > 0, "there is no %s any more", stem);
    }
}
END_TEST

START_TEST(a_key_covers_model_tokenizer_engine_profile_and_what_is_measured)
{
    enum { N = 8 };
    struct experiment x;
    struct err e;
    static struct model m[2];
    struct dataset_question q = {
        .answer = (char *[]){(char[]){"a"}, (char[]){"b"}}, .n_answer = 2, .max_new_tokens = 3};
    struct dataset_item item = {.context_id = (char[]){"c"}, .question = &q, .n_question = 1};
    struct prompt p = {.ids = {.id = (int32_t[]){1, 2, 3}, .n = 3}, .context_end = 2, .question_end = 3};
    char key[N][HASH_HEX], of[6][HASH_HEX];
    rows_run(yaml, "out", 0, NULL);
    char *path = rows_path("x.yaml");
    ck_assert_int_eq(experiment_load(path, NULL, 0, 0, &x, NULL, &e), 0);
    mem_free(path);
    struct cell *c = &x.cell[1];
    rowkey_cell(&x, c, &m[0], "engine", key[0]);
    m[1].sha256[0] = 'a';
    rowkey_cell(&x, c, &m[1], "engine", key[1]);
    m[1].sha256[0] = '\0';
    m[1].tokenizer_sha256[0] = 'a';
    rowkey_cell(&x, c, &m[1], "engine", key[2]);
    rowkey_cell(&x, c, &m[0], "another", key[3]);
    strcpy(c->inputs, "profile");
    rowkey_cell(&x, c, &m[0], "engine", key[4]);
    c->inputs[0] = '\0';
    x.measure |= MEASURE_KL;
    rowkey_cell(&x, c, &m[0], "engine", key[5]);
    x.measure &= ~(unsigned)MEASURE_KL;
    rowkey_cell(&x, &x.cell[2], &m[0], "engine", key[6]);
    c->policy = policy_find("h2o"); /* the same axes by other sources */
    rowkey_cell(&x, c, &m[0], "engine", key[7]);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < i; k++)
            ck_assert_msg(strcmp(key[i], key[k]) != 0, "keys %d and %d are equal", i, k);
    rowkey_question(&item, 0, &p, of[0]);
    q.n_answer = 1;
    rowkey_question(&item, 0, &p, of[1]);
    q.n_stop = 1; /* what was an answer ends the output now */
    q.stop = q.answer + 1;
    rowkey_question(&item, 0, &p, of[2]);
    q.max_new_tokens = 4;
    rowkey_question(&item, 0, &p, of[3]);
    p.context_end = 1;
    rowkey_question(&item, 0, &p, of[4]);
    p.evidence = (unsigned char[]){1};
    rowkey_question(&item, 0, &p, of[5]);
    for (int i = 0; i < 6; i++)
        for (int k = 0; k < i; k++)
            ck_assert_msg(strcmp(of[i], of[k]) != 0, "hashes %d and %d are equal", i, k);
    experiment_fini(&x);
}
END_TEST

START_TEST(an_engine_is_all_that_a_number_goes_through)
{
    static const char *const in[] = {"harness/experiment/experiment_load.c",
                                     "harness/experiment/experiment_cells.c",
                                     "harness/run/runner.c",
                                     "harness/engine/prompts.c",
                                     "harness/experiment/conf.c",
                                     "harness/engine/group_run.c",
                                     "harness/metric/metric_text.c",
                                     "harness/rows/rowkey.c",
                                     "harness/rows/record.c",
                                     "harness/rows/journal.c",
                                     "harness/base/rng.c",
                                     "harness/a_new_file.c",
                                     "models/kernels_few.c",
                                     "models/a_new_file.h",
                                     "datasets/qa.c",
                                     "policies/policy.c",
                                     "policies/allocator_window.c",
                                     "policies/policy.h"};
    static const char *const out[] = {
        "harness/report/report.c",      "harness/stats/stats.c", "harness/bench/bench_work.c",
        "harness/layer_metrics/repr.c", "harness/base/quote.c",  "harness/report/figure_heat.c",
        "harness/cmd/cmd_compare.c",    "policies/snapkv.c",     "policies/alloc_cake.c"};
    static const char *const line[] = {"sources ", "\ncompiler ", "\nflags ", "\ntarget ", "\nkernels ", "\nbf16 ",
                                       "\nblas ",  "\nlapack ",   "\nlibc ",  "\npcre2 ",  "\nutf8proc "};
    struct str s = {0};
    char once[HASH_HEX], twice[HASH_HEX];
    for (size_t i = 0; i < sizeof in / sizeof *in; i++)
        ck_assert_msg(build_id_covers(in[i]), "%s", in[i]);
    for (size_t i = 0; i < sizeof out / sizeof *out; i++)
        ck_assert_msg(!build_id_covers(out[i]), "%s", out[i]);
    build_id_describe(&s);
    for (size_t i = 0; i < sizeof line / sizeof *line; i++) {
        const char *at = strstr(s.p, line[i]);
        ck_assert_msg(at && at[strlen(line[i])] != '\n', "%s in %s", line[i], s.p);
    }
    ck_assert_ptr_nonnull(strstr(s.p, " -O")); /* builds differ at least in this */
    ck_assert_ptr_null(strstr(s.p, "-Wall"));
    build_id_engine(once);
    build_id_engine(twice);
    ck_assert_str_eq(once, twice);
    hash_sha256(s.p, s.n, twice);
    ck_assert_str_eq(once, twice);
    str_free(&s);
}
END_TEST

Suite *make_rowkey_suite(void)
{
    Suite *s = suite_create("rowkey");
    TCase *t = tcase_create("rowkey");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_test(t, a_key_changes_with_what_its_row_depends_on);
    tcase_add_test(t, a_key_changes_with_the_weights_and_not_with_their_place);
    tcase_add_test(t, a_key_changes_with_the_sources_that_its_row_goes_through);
    tcase_add_test(t, every_source_that_numbers_go_through_is_covered_or_excepted_by_name);
    tcase_add_test(t, every_exception_names_a_file);
    tcase_add_test(t, a_key_covers_model_tokenizer_engine_profile_and_what_is_measured);
    tcase_add_test(t, an_engine_is_all_that_a_number_goes_through);
    suite_add_tcase(s, t);
    return s;
}
