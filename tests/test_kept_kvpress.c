/* What stays of a prompt, and how likely its continuation then is, against kvpress on the real model
 * (tests/vectors/make_kvpress.py) and against NumPy on tiny ones (make_tiny.py). Ours goes the whole way: an experiment
 * file, the runner, its journal and kept.h5. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/h5.h"
#include "harness/base/mem.h"
#include "harness/run/runner.h"
#include "models/import.h"
#include "tests/lib/hashed.h"
#include "tests/lib/smollm2.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

/* One experiment and its vectors: a model, "n" prompt tokens, "texts" with an "expect" each. */
struct comparison {
    const struct json *root; /* n, texts */
    int n_text;              /* at most, and then how many there are */
    struct hparams hp;
    double nll_tolerance, kept_share;
    struct h5 *kept;
    int pruned, full; /* rows seen */
};

static char folder[] = "/tmp/depthkv-kept-XXXXXX";

static void setup(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void teardown(void)
{
    struct str rm = {0};
    str_addf(&rm, "rm -rf %s", folder);
    ck_assert_int_eq(system(rm.p), 0);
    str_free(&rm);
}

static const struct json *nth(const struct json *list, int i)
{
    const struct json *v = json_first(list);
    while (v && i-- > 0)
        v = json_next(v);
    ck_assert_ptr_nonnull(v);
    return v;
}

/* Context and answer of a text: given as such, or as a stretch of a book cut at "middle". */
static void read_text(const struct json *t, char **context, char **answer)
{
    if (json_string(json_get(t, "context"))) {
        *context = mem_strdup(json_string(json_get(t, "context")));
        *answer = mem_strdup(json_string(json_get(t, "answer")));
        return;
    }
    char *both = smollm2_excerpt(t);
    size_t cut = (size_t)(smollm2_integer(t, "middle") - smollm2_integer(t, "begin"));
    ck_assert_uint_lt(cut, strlen(both));
    *context = mem_strndup(both, cut);
    *answer = mem_strdup(both + cut);
    mem_free(both);
}

/* The texts as records, and an experiment that runs every policy and budget of the first one on all of them. */
static void write_inputs(const struct json *texts, int n_text, const char *model, const char *records, struct str *yaml)
{
    struct str s = {0};
    for (int i = 0; i < n_text; i++) {
        const struct json *t = nth(texts, i);
        char *context, *answer;
        read_text(t, &context, &answer);
        str_add(&s, "{\"context\":");
        str_add_json(&s, context, strlen(context));
        str_add(&s, ",\"answers\":[");
        str_add_json(&s, answer, strlen(answer));
        str_add(&s, "]}\n");
        mem_free(context);
        mem_free(answer);
    }
    ck_assert_int_eq(fs_write_atomic(records, s.p, s.n, NULL), 0);
    str_free(&s);
    str_addf(yaml,
             "schema: 1\nexperiment: kept\nmodel: %s\ntasks:\n  - jsonl: {file: %s, prompt: "
             "'{context}{question}{answer_prefix}', max_new_tokens: 1}\n",
             model, records);
    str_addf(
        yaml,
        "samples: %d\nmeasure: [score, nll]\nprune_after: prompt\nrecord: {kept: true}\nsweep:\n  - policy: full\n",
        n_text);
    for (const struct json *x = json_first(json_get(json_first(texts), "expect")); x; x = json_next(x)) {
        char *params = json_print(json_get(x, "params"));
        str_addf(yaml, "  - {policy: {%s: %s}, keep_tokens: %d}\n", json_string(json_get(x, "policy")), params,
                 smollm2_integer(x, "keep_tokens"));
        mem_free(params);
    }
}

/* Standard base64 without line breaks; returns the bytes. */
static size_t decode(const char *text, unsigned char *out)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    unsigned bits = 0;
    size_t n = 0;
    int held = 0;
    for (; *text && *text != '='; text++) {
        const char *at = strchr(alphabet, *text);
        ck_assert_ptr_nonnull(at);
        bits = bits << 6 | (unsigned)(at - alphabet);
        held += 6;
        if (held >= 8) {
            held -= 8;
            out[n++] = (unsigned char)(bits >> held);
        }
    }
    return n;
}

/* Element i of a list in which a single element stands for all. */
static const struct json *element(const struct json *list, int i, int n)
{
    ck_assert(json_size(list) == 1 || json_size(list) == n);
    return nth(list, json_size(list) == n ? i : 0);
}

/* Share of the m entries of every layer and head that are the same in the cell's bitmaps and in `want`. */
static double same_kept(const struct comparison *c, const struct json *row, int n, int m, const struct json *want)
{
    int heads = c->hp.n_kv_head;
    long same = 0, all = 0;
    struct str path = {0};
    struct err e = {0};
    char **names;
    size_t n_name, words = ((size_t)n + 63) / 64, n_word = (size_t)(c->hp.n_layer * heads) * words;
    uint64_t *bits = mem_new(n_word, sizeof *bits);
    unsigned char *bytes = mem_new((size_t)n, 1);
    str_addf(&path, "/%s/%d", json_string(json_get(row, "cell")), smollm2_integer(row, "sample"));
    ck_assert_msg(h5_list(c->kept, path.p, &names, &n_name, &e) == 0, "%s", e.msg);
    ck_assert_uint_eq(n_name, 1);
    str_addf(&path, "/%s", names[0]);
    ck_assert_msg(h5_read(c->kept, path.p, H5_TYPE_U64, bits, n_word, &e) == 0, "%s", e.msg);
    for (int i = 0; i < c->hp.n_layer * heads; i++) {
        const uint64_t *ours = bits + (size_t)i * words;
        int n_ours = 0, n_theirs = 0;
        const char *text = json_string(element(element(want, i / heads, c->hp.n_layer), i % heads, heads));
        ck_assert_uint_eq(decode(text, bytes), ((size_t)n + 7) / 8);
        for (int j = 0; j < n; j++) {
            int a = ours[j / 64] >> (j % 64) & 1, b = bytes[j / 8] >> (j % 8) & 1;
            n_ours += a;
            n_theirs += b;
            same += a && b;
        }
        ck_assert(n_ours == m && n_theirs == m);
        all += m;
    }
    h5_free_strings(names, n_name);
    mem_free(bits);
    mem_free(bytes);
    str_free(&path);
    return (double)same / (double)all;
}

/* One row of the journal. Cells are in the order of the file, `full` first. */
static void compare_row(struct comparison *c, const struct json *row)
{
    int sample = smollm2_integer(row, "sample"), index = smollm2_integer(row, "cell_index"),
        n = smollm2_integer(c->root, "n");
    const struct json *t = nth(json_get(c->root, "texts"), sample);
    const char *policy = json_string(json_get(row, "policy"));
    double nll = json_number(json_get(row, "nll"), (double)NAN), want = json_number(json_get(t, "full"), (double)NAN);
    int m = n;
    ck_assert_str_eq(json_string(json_get(row, "status")), "ok");
    ck_assert_int_eq(smollm2_integer(row, "n"), n);
    if (index > 0) {
        const struct json *x = nth(json_get(t, "expect"), index - 1);
        m = smollm2_integer(x, "keep_tokens");
        ck_assert_str_eq(policy, json_string(json_get(x, "policy")));
        want = json_number(json_get(x, "nll"), (double)NAN);
        double share = same_kept(c, row, n, m, json_get(x, "kept"));
        ck_assert_msg(share >= c->kept_share, "text %d, cell %d, %s, %d: %.6f of the kept entries are the same", sample,
                      index, policy, m, share);
        c->pruned++;
    } else {
        c->full++;
    }
    ck_assert_msg(fabs(nll - want) <= c->nll_tolerance, "text %d, cell %d, %s, %d: nll %.8f, expected %.8f", sample,
                  index, policy, m, nll, want);
}

static void compare(struct comparison *c, const char *model)
{
    struct err e = {0};
    struct str yaml = {0}, errors = {0};
    struct experiment x;
    struct runner_summary sum;
    size_t n;
    const struct json *texts = json_get(c->root, "texts");
    char *records = fs_join(folder, "texts.jsonl"), *results = fs_join(folder, "results");
    c->n_text = json_size(texts) < c->n_text ? json_size(texts) : c->n_text;
    ck_assert_int_eq(fs_mkdirs(results, NULL), 0);
    write_inputs(texts, c->n_text, model, records, &yaml);
    ck_assert_msg(experiment_load_text("kept", yaml.p, NULL, 0, 0, &x, &errors, &e) == 0, "%s", str_c(&errors));
    struct runner_options options = {.dir = results, .quiet = 1};
    ck_assert_msg(runner_run(&x, &options, &sum, &e) == 0, "%s", e.msg);
    char *rows = fs_join(results, "rows.jsonl"), *kept = fs_join(results, "kept.h5"), *text = fs_read(rows, &n, &e);
    c->kept = h5_open(kept, H5_MODE_READ, &e);
    ck_assert_msg(text && c->kept, "%s", e.msg);
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1) {
        struct json *row = json_parse(rows, line, (size_t)(end - line), &e);
        ck_assert_msg(row != NULL, "%s", e.msg);
        compare_row(c, row);
        json_free(row);
    }
    ck_assert_int_eq(c->full, c->n_text);
    ck_assert_int_eq(c->pruned, c->n_text * json_size(json_get(json_first(texts), "expect")));
    ck_assert_int_eq(h5_close(c->kept, &e), 0);
    mem_free(rows);
    mem_free(kept);
    mem_free(text);
    mem_free(records);
    mem_free(results);
    experiment_fini(&x);
    str_free(&yaml);
    str_free(&errors);
}

/* Both sides are float32 with other orders of summation, so near ties may fall either way (1 entry in 10,000 did). */
START_TEST(five_policies_keep_and_predict_on_smollm2_what_they_do_in_kvpress)
{
    char *vectors;
    struct json *root = smollm2_vectors("kvpress.json", &vectors);
    struct model *m = smollm2_open("five_policies_keep_and_predict_on_smollm2_what_they_do_in_kvpress", root);
    if (m) {
        /* one text passes every line of code that three do */
        struct comparison c = {.root = root,
                               .hp = m->hp,
                               .n_text = support_is_long() ? 100 : 1,
                               .nll_tolerance = 0.002,
                               .kept_share = 0.999};
        char *path = realpath(m->path, NULL);
        ck_assert_int_ge(json_size(json_get(root, "texts")), 3);
        model_close(m);
        compare(&c, path);
        ck_assert_int_ge(c.pruned, 10 * c.n_text);
        free(path);
    }
    json_free(root);
    mem_free(vectors);
}
END_TEST

static int fetch(void *ctx, const struct model_tensor *t, float *dst, struct err *e)
{
    (void)ctx;
    (void)e;
    hashed_weights(t->name, 1, dst, (size_t)t->dim[0] * (size_t)t->dim[1]);
    return 0;
}

/* A model file of hashed weights whose tokens are bytes. */
static void write_model(const struct json *v, const char *path, struct hparams *hp)
{
    struct err e = {0};
    *hp = (struct hparams){
        .architecture = "llama",
        .n_layer = smollm2_integer(v, "n_layer"),
        .d_model = smollm2_integer(v, "n_head") * smollm2_integer(v, "head_dim"),
        .n_head = smollm2_integer(v, "n_head"),
        .n_kv_head = smollm2_integer(v, "n_kv_head"),
        .n_group = smollm2_integer(v, "n_head") / smollm2_integer(v, "n_kv_head"),
        .head_dim = smollm2_integer(v, "head_dim"),
        .d_ff = smollm2_integer(v, "d_ff"),
        .n_vocab = smollm2_integer(v, "n_vocab"),
        .tied = smollm2_integer(v, "tied"),
        .context_length = 512,
        .norm_eps = 1e-5f,
        .embedding_scale = 1,
        .rope_base = json_number(json_get(v, "rope_base"), 0),
    };
    struct import_source source = {.hp = *hp, .name = mem_strdup("hashed"), .fetch = fetch, .has_tokenizer = 1};
    memset(source.sha256, '0', HASH_HEX - 1);
    struct tokenizer_data *t = &source.tokenizer;
    *t = (struct tokenizer_data){
        .kind = TOKENIZER_BYTES, .n_token = hp->n_vocab, .bos = -1, .eos = hp->n_vocab - 1, .pad = -1, .unk = -1};
    t->token = mem_new((size_t)t->n_token, sizeof *t->token);
    t->type = mem_new((size_t)t->n_token, 1);
    for (int i = 0; i < t->n_token; i++) {
        struct str name = {0};
        str_addf(&name, "<%d>", i);
        t->token[i] = name.p;
        t->type[i] = i < 256 ? TOKEN_NORMAL : TOKEN_CONTROL;
    }
    struct import_options o = {.dtype = MODEL_F32};
    ck_assert_msg(hparams_check(hp, &e) == 0 && import_write(&source, path, &o, &e) == 0, "%s", e.msg);
    mem_free(source.name);
    tokenizer_data_fini(t);
}

/* Float64 against float32: the vectors refuse near ties, so every entry is the same; nll was off by 6e-7 at most. */
START_TEST(h2o_and_depthkv_keep_and_predict_on_tiny_models_what_their_definitions_say)
{
    char *vectors, *path = fs_join(folder, "tiny.h5");
    struct json *root = smollm2_vectors("tiny.json", &vectors);
    struct comparison c = {.root = nth(root, _i), .n_text = 100, .nll_tolerance = 5e-6, .kept_share = 1};
    write_model(c.root, path, &c.hp);
    compare(&c, path);
    ck_assert_int_ge(c.pruned, 27);
    json_free(root);
    mem_free(vectors);
    mem_free(path);
}
END_TEST

Suite *make_kept_kvpress_suite(void)
{
    Suite *s = suite_create("kept_kvpress");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 300);
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_add_loop_test(t, h2o_and_depthkv_keep_and_predict_on_tiny_models_what_their_definitions_say, 0, 3);
    tcase_add_test(t, five_policies_keep_and_predict_on_smollm2_what_they_do_in_kvpress);
    suite_add_tcase(s, t);
    return s;
}
