/* longrope from prompt to row: how long a sequence becomes at most decides which factors all of it rotates by, whether
 * it is read at once or in chunks, cut, packed, or cut again while it decodes; against the plain twin, which rotates
 * whole sequences. */
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "tests/lib/lab.h"
#include "tests/lib/plain.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { N = 40, NEW = 12 }; /* the answer has fewer tokens than may be generated */

static void set_longrope(struct hparams *hp, int original)
{
    hp->rope_scaling = MODEL_ROPE_LONGROPE;
    hp->rope_original_context = original;
    hp->rope_attention_factor = 1.25;
    for (int i = 0; i < model_rope_pairs(hp); i++) {
        hp->rope_divisor[i] = 1 + 0.5F * (float)i;
        hp->rope_long_divisor[i] = 3 + 2 * (float)i;
    }
}

/* The model of a lab, which is open already, with that scaling; its frequencies as a file's would be. */
static void make_longrope(struct model *m, int original)
{
    set_longrope(&m->hp, original);
    ck_assert_int_eq(hparams_check(&m->hp, NULL), 0);
    if (m->rope_long == m->rope_freq)
        m->rope_long = mem_new((size_t)m->hp.head_dim / 2, sizeof *m->rope_long);
    for (int i = 0; i < m->hp.head_dim / 2; i++) {
        m->rope_freq[i] = model_rope_frequency(&m->hp, i, 0);
        m->rope_long[i] = model_rope_frequency(&m->hp, i, 1);
    }
}

static struct plain *read(const struct lab *lab, struct plain_course *course, int way)
{
    const int32_t *id = lab->prompt.ids.id;
    *course = lab_way[way].course;
    struct plain *p = plain_read(lab->model, course, id, N - 1, N + NEW, lab_way[way].packed);
    plain_continue(p, course, id[N - 1]);
    return p;
}

static void check_way(const struct lab *lab, int c, int i)
{
    char what[160];
    struct plain_course course;
    snprintf(what, sizeof what, "%s, original context %d", lab_way[i].rest, lab->model->hp.rope_original_context);
    ck_assert_msg(lab->result[c].keep != NULL, "%s: %s", what, lab->result[c].row);
    struct plain *p = read(lab, &course, i);
    ck_assert_int_gt(lab->result[c].n_out, 0);
    for (int t = 0; t < lab->result[c].n_out; t++) {
        ck_assert_msg(plain_argmax(p) == lab->result[c].out[t], "%s: token %d", what, t);
        if (t + 1 < (int)lab_number(lab, c, "output_tokens"))
            plain_continue(p, &course, plain_argmax(p));
    }
    ck_assert_msg(course.least > 2e-6, "%s: scores %g apart; choose another prompt", what, course.least);
    plain_destroy(p);
    p = read(lab, &course, i);
    double nll = lab_nll(lab, p, &course);
    ck_assert_msg(lab_number(lab, c, "nll") > nll - 2e-5 && lab_number(lab, c, "nll") < nll + 2e-5,
                  "%s: nll %g, not %g", what, lab_number(lab, c, "nll"), nll);
    plain_destroy(p);
}

START_TEST(a_sequence_rotates_by_how_long_it_becomes)
{
    /* within the prompt; behind it, where only what is generated is longer; where nothing is; and one token less */
    static const int original[] = {N / 2, N + 3, N + NEW, N + NEW - 1};
    double nll[4][LAB_N_WAY + 1];
    struct str s = {0};
    struct lab lab;
    lab_kind = LAB_ALIKE;
    for (int i = 0; i < LAB_N_WAY; i++)
        str_addf(&s, "  - {policy: {h2o: {recent: 0}}, %s}\n", lab_way[i].rest);
    lab_open(&lab, s.p, "max_new_tokens: 12\n", N, 5, 2);
    ck_assert_int_eq(lab.x.n_cell, LAB_N_WAY + 1);
    for (int k = 0; k < 4; k++) {
        make_longrope(lab.model, original[k]);
        lab_run(&lab, PRUNE_AFTER_ALL_BUT_LAST);
        for (int i = 0; i < LAB_N_WAY; i++)
            check_way(&lab, i + 1, i);
        for (int c = 0; c < lab.x.n_cell; c++)
            nll[k][c] = lab_number(&lab, c, "nll");
    }
    for (int c = 0; c <= LAB_N_WAY; c++) { /* the long factors are the same wherever the original context ends */
        ck_assert_double_eq(nll[0][c], nll[1][c]);
        ck_assert_double_eq(nll[1][c], nll[3][c]);
        ck_assert_double_ne(nll[1][c], nll[2][c]);
    }
    lab_close(&lab);
    str_free(&s);
}
END_TEST

START_TEST(no_cache_holds_keys_of_both_factors)
{
    enum { MORE = 4 };
    int32_t id[N + MORE] = {0};
    float logits[(N + MORE) * 31];
    struct model *m = support_tiny_model(2, 4, 2, 8, 24, 31, 1, 3);
    struct workspace *w = workspace_create();
    struct err e;
    m->hp.context_length = 2 * N;
    make_longrope(m, N);
    struct kvcache *c = kvcache_create(&m->hp, N, &e);
    ck_assert_int_eq(kvcache_is_long(c), 0);
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, c, id, 0, N, NULL, logits, &e), 0);
    ck_assert_int_eq(kvcache_seal(c, MORE, &e), 0);
    ck_assert_int_eq(support_feed(m, w, FORWARD_CELL, c, id, N, MORE, NULL, logits, &e), -1);
    ck_assert_msg(strstr(e.msg, "position 40, but the keys before it are rotated for sequences of at most 40") != NULL,
                  "%s", e.msg);
    kvcache_destroy(c);
    c = kvcache_create(&m->hp, N, &e);
    kvcache_set_longest(c, &m->hp, N + MORE);
    ck_assert_int_eq(kvcache_is_long(c), 1);
    ck_assert_int_eq(support_feed(m, w, FORWARD_PREFILL, c, id, 0, N, NULL, logits, &e), 0);
    ck_assert_int_eq(kvcache_seal(c, MORE, &e), 0);
    struct kvcache *child = kvcache_derive(c, NULL, MORE, NULL, &e);
    ck_assert_int_eq(kvcache_is_long(child), 1);
    ck_assert_int_eq(support_feed(m, w, FORWARD_CELL, child, id, N, MORE, NULL, logits, &e), 0);
    kvcache_destroy(child);
    kvcache_destroy(c);
    workspace_destroy(w);
    model_close(m);
}
END_TEST

Suite *make_longrope_suite(void)
{
    Suite *s = suite_create("longrope");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, a_sequence_rotates_by_how_long_it_becomes);
    tcase_add_test(t, no_cache_holds_keys_of_both_factors);
    suite_add_tcase(s, t);
    return s;
}
