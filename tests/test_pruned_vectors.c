/* Pruned caches of every architecture against Hugging Face transformers under the equivalent mask
 * (tests/vectors/pruned.py): a prompt is read, other entries are removed in every layer and KV head, and the text goes
 * on from what stays. The text is longer than the first vectors', so windows and scaled rotations are crossed many
 * times. */
#include <stdio.h>

#include "harness/base/mem.h"
#include "models/keepset.h"
#include "models/kvcache.h"
#include "models/rope.h"
#include "models/transformer.h"
#include "tests/lib/support.h"
#include "tests/lib/vectors.h"
#include "tests/suites.h"

enum { MOST = 200 };

/* One model's text, prompt and continuation. */
struct text {
    const struct json *model, *pruned;
    const struct model *m;
    int32_t id[MOST];
    int n_prompt, n_fed;
    struct kvcache *full; /* the prompt, sealed */
    struct workspace *w;
};

static void text_begin(struct text *t, const struct json *v, const struct model *m)
{
    *t = (struct text){.model = v, .pruned = json_get(v, "pruned"), .m = m, .w = workspace_create()};
    struct err e;
    t->n_prompt = vectors_integer(t->pruned, "n");
    t->n_fed = vectors_tokens(json_get(t->pruned, "tokens"), t->id, MOST) - t->n_prompt;
    ck_assert_int_ge(t->n_fed, 2);
    t->full = kvcache_create(&m->hp, t->n_prompt, &e);
    kvcache_set_longest(t->full, &m->hp, t->n_prompt + t->n_fed);
    float *logits = mem_new((size_t)(t->n_prompt * m->hp.n_vocab), sizeof *logits);
    ck_assert_msg(support_feed(m, t->w, FORWARD_PREFILL, t->full, t->id, 0, t->n_prompt, NULL, logits, &e) == 0, "%s",
                  e.msg);
    ck_assert_int_eq(kvcache_seal(t->full, 0, NULL), 0);
    mem_free(logits);
}

static void text_end(struct text *t)
{
    kvcache_destroy(t->full);
    workspace_destroy(t->w);
}

/* Feeds what follows the prompt in pieces of `size` and compares; the cache is gone afterwards. */
static void go_on(struct text *t, struct kvcache *c, enum forward_phase phase, int size, const struct json *want,
                  const char *what, const char *how)
{
    int n_vocab = t->m->hp.n_vocab;
    char words[128];
    struct err e;
    float *logits = mem_new((size_t)(t->n_fed * n_vocab), sizeof *logits);
    snprintf(words, sizeof words, "%s, %s", what, how);
    for (int i = 0; i < t->n_fed; i += size) {
        int now = t->n_fed - i < size ? t->n_fed - i : size;
        ck_assert_msg(support_feed(t->m, t->w, phase, c, t->id, t->n_prompt + i, now, NULL, logits + i * n_vocab, &e) ==
                          0,
                      "%s: %s", words, e.msg);
    }
    vectors_compare(json_get(t->pruned, "rows"), want, logits, t->n_prompt, n_vocab, vectors_name(t->model), words);
    kvcache_destroy(c);
    mem_free(logits);
}

/* What stays by the vectors: a letter an entry, or null for a layer that is whole. */
static struct keepset *read_keep(const struct text *t, const struct json *keep)
{
    const struct hparams *hp = &t->m->hp;
    struct keepset *k = keepset_create(hp->n_layer, hp->n_kv_head, t->n_prompt, NULL);
    ck_assert_int_eq(json_size(keep), hp->n_layer);
    for (int l = 0; l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            const char *letters = json_string(vectors_nth(vectors_nth(keep, l), h));
            for (int j = 0; j < t->n_prompt; j++)
                if (!letters || letters[j] == '1')
                    keepset_add(k, l, h, j);
        }
    return k;
}

static void run_case(struct text *t, const struct json *v)
{
    const char *what = json_string(json_get(v, "name"));
    const struct json *want = json_get(v, "logits");
    struct keepset *keep = read_keep(t, json_get(v, "keep"));
    for (int gathered = 0; gathered < 2; gathered++) {
        for (int size = 1; size <= t->n_fed; size += t->n_fed / 2 - 1)
            go_on(t,
                  gathered ? kvcache_gather(t->full, keep, t->n_fed, t->n_fed, NULL, NULL)
                           : kvcache_derive(t->full, keep, t->n_fed, NULL, NULL),
                  FORWARD_CELL, size, want, what, gathered ? "a cache of its own" : "segments of the prompt");
        go_on(t,
              gathered ? kvcache_gather(t->full, keep, t->n_fed, t->n_fed, NULL, NULL)
                       : kvcache_derive(t->full, keep, t->n_fed, NULL, NULL),
              FORWARD_REFERENCE, t->n_fed, want, what, "reference kernels");
    }
    keepset_destroy(keep);
}

static void each_case(int model, void (*run)(struct text *t, const struct json *c))
{
    const struct json *v = vectors_model(model);
    struct model *m = vectors_folder(v);
    struct text t;
    text_begin(&t, v, m);
    for (const struct json *c = json_first(json_get(t.pruned, "cases")); c; c = json_next(c))
        run(&t, c);
    text_end(&t);
    model_close(m);
}

START_TEST(a_pruned_cache_gives_the_numbers_of_transformers_under_the_equivalent_mask)
{
    each_case(_i, run_case);
}
END_TEST

static void run_packed(struct text *t, const struct json *v)
{
    const struct json *want = json_get(v, "packed");
    if (!want)
        return;
    struct keepset *keep = read_keep(t, json_get(v, "keep"));
    struct rope_set rope = {0};
    ck_assert_int_eq(rope_set_reserve(&rope, t->m, kvcache_is_long(t->full), t->n_prompt + t->n_fed, NULL), 0);
    for (int size = 1; size <= t->n_fed; size += t->n_fed / 2 - 1)
        go_on(t, kvcache_derive_packed(t->full, keep, t->n_fed, NULL, &rope, NULL), FORWARD_CELL, size, want, "packed",
              "segments of the prompt");
    go_on(t, kvcache_gather(t->full, keep, t->n_fed, t->n_fed, &rope, NULL), FORWARD_CELL, 1, want, "packed",
          "a cache of its own");
    rope_set_fini(&rope);
    keepset_destroy(keep);
}

START_TEST(packed_positions_give_the_numbers_of_transformers_with_keys_and_queries_turned)
{
    each_case(_i, run_packed);
}
END_TEST

Suite *make_pruned_vectors_suite(void)
{
    Suite *s = suite_create("pruned_vectors");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_checked_fixture(t, vectors_open, vectors_close);
    tcase_add_loop_test(t, a_pruned_cache_gives_the_numbers_of_transformers_under_the_equivalent_mask, 0,
                        VECTORS_N_MODEL);
    tcase_add_loop_test(t, packed_positions_give_the_numbers_of_transformers_with_keys_and_queries_turned, 0,
                        VECTORS_N_MODEL);
    suite_add_tcase(s, t);
    return s;
}
