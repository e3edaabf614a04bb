/* Layers with a window, from prompt to row: prompts shorter than it, as long, and longer, and answers that cross it,
 * against the plain twin, whose lists hold what the definition says and are counted for the bytes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "policies/allocator.h"
#include "tests/lib/lab.h"
#include "tests/lib/plain.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

enum { NEW = 12, W = SUPPORT_WINDOW };
static const int lengths[] = {W - 5, W, W + 1, W + 2, 3 * W};
enum { N_LENGTH = sizeof lengths / sizeof *lengths };

static double bytes_of(struct plain *p)
{
    const struct hparams *hp = &p->m->hp;
    double entries = 0;
    for (int i = 0; i < hp->n_layer * hp->n_kv_head; i++)
        entries += plain_list(p, i / hp->n_kv_head, i % hp->n_kv_head)->n;
    return entries * 2 * hp->head_dim * (double)sizeof(float);
}

static void check_way(const struct lab *lab, int c, int i, int n)
{
    char what[160];
    struct plain_course course = lab_way[i].course;
    const int32_t *id = lab->prompt.ids.id;
    course.windows = lab_kind == LAB_PRUNE;
    snprintf(what, sizeof what, "%d tokens, %s, model %d", n, lab_way[i].rest, (int)lab_kind);
    struct plain *p = plain_read(lab->model, &course, id, n - 1, n + 40, lab_way[i].packed);
    ck_assert_msg(lab->result[c].keep != NULL, "%s: %s", what, lab->result[c].row);
    ck_assert_msg(lab_number(lab, c, "cache_bytes") == bytes_of(p), "%s: %g bytes, not %g", what,
                  lab_number(lab, c, "cache_bytes"), bytes_of(p));
    plain_continue(p, &course, id[n - 1]);
    ck_assert_int_gt(lab->result[c].n_out, 0);
    for (int t = 0; t < lab->result[c].n_out; t++) {
        ck_assert_msg(plain_argmax(p) == lab->result[c].out[t], "%s: token %d", what, t);
        if (t + 1 < (int)lab_number(lab, c, "output_tokens"))
            plain_continue(p, &course, plain_argmax(p));
    }
    ck_assert_msg(course.least > 2e-6, "%s: scores %g apart; choose another prompt", what, course.least);
    ck_assert_msg(lab_number(lab, c, "cache_bytes_end") == bytes_of(p), "%s: %g bytes at the end, not %g", what,
                  lab_number(lab, c, "cache_bytes_end"), bytes_of(p));
    ck_assert_double_ge(lab_number(lab, c, "cache_bytes_peak"), bytes_of(p));
    plain_destroy(p);
    course = lab_way[i].course;
    course.windows = lab_kind == LAB_PRUNE;
    p = plain_read(lab->model, &course, id, n - 1, n + 40, lab_way[i].packed);
    plain_continue(p, &course, id[n - 1]);
    ck_assert_double_eq_tol(lab_number(lab, c, "nll"), lab_nll(lab, p, &course), 2e-5);
    plain_destroy(p);
}

START_TEST(prompts_around_the_window_and_answers_that_cross_it_are_the_plain_twins)
{
    struct str s = {0};
    struct lab lab;
    int n = lengths[_i / 2];
    lab_kind = _i % 2 ? LAB_PRUNE : LAB_KEEP;
    for (int i = 0; i < LAB_N_WAY; i++)
        str_addf(&s, "  - {policy: {h2o: {recent: 0}}, %s}\n", lab_way[i].rest);
    lab_open(&lab, s.p, "max_new_tokens: 12\n", n, 5, 2);
    ck_assert_int_eq(lab.x.n_cell, LAB_N_WAY + 1);
    lab_run(&lab, PRUNE_AFTER_ALL_BUT_LAST);
    for (int i = 0; i < LAB_N_WAY; i++)
        check_way(&lab, i + 1, i, n);
    lab_close(&lab);
    str_free(&s);
}
END_TEST

/* Entries that a cell keeps of all KV heads of a layer. */
static int kept_of(const struct lab *lab, int c, int layer)
{
    int n = 0;
    for (int h = 0; h < lab->model->hp.n_kv_head; h++)
        n += keepset_count(lab->result[c].keep, layer, h);
    return n;
}

START_TEST(budgets_are_of_the_layers_that_are_pruned)
{
    enum { N = 101 };
    struct str s = {0}, lost = {0};
    struct lab lab;
    lab_kind = _i ? LAB_PRUNE : LAB_KEEP;
    str_add(&s, "  - policy: [h2o, tova]\n    keep: 0.4\n    layer_budget: [");
    int spreads = 0;
    for (int i = 0; i < allocator_count(); i++) {
        const struct allocator_ops *a = allocator_at(i);
        if (a->budget == ALLOCATOR_SPREADS && !a->create && !a->check)
            str_addf(&s, "%s%s", spreads++ ? ", " : "", a->name);
    }
    str_add(&s, "]\n  - {policy: h2o, keep: 0.4, layer_budget: {single: {layer: 2}}}\n");
    str_add(&s, "  - {policy: h2o, keep_bytes: 40000}\n");
    ck_assert_int_gt(spreads, 5);
    lab_open(&lab, s.p, "max_new_tokens: 2\n", N, 10, 3);
    lab_run(&lab, PRUNE_AFTER_ALL_BUT_LAST);
    const int heads = lab.model->hp.n_kv_head, n = N - 1;
    const int whole[4] = {n, W, n, W}, part[4] = {n * 2 / 5, W * 2 / 5, n * 2 / 5, W * 2 / 5};
    for (int c = 1; c < lab.x.n_cell; c++) {
        const struct cell *cell = &lab.x.cell[c];
        const char *what = cell->layer_budget;
        if (strstr(what, "d2o")) { /* its three whole layers leave too little */
            ck_assert_ptr_null(lab.result[c].keep);
            continue;
        }
        ck_assert_msg(lab.result[c].keep != NULL, "%s: %s", what, lab.result[c].row);
        int sum = 0, of = 0, budget = 0;
        for (int l = 0; l < 4; l++) {
            int pruned = _i || l % 2 == 0, kept = kept_of(&lab, c, l);
            sum += pruned ? kept : 0;
            of += pruned ? whole[l] * heads : 0;
            budget += pruned ? part[l] * heads : 0;
            ck_assert_msg(pruned || kept == whole[l] * heads, "%s: layer %d keeps %d", what, l, kept);
            if (!strcmp(what, "uniform") && cell->budget.kind == BUDGET_KEEP)
                ck_assert_int_eq(kept, (pruned ? part[l] : whole[l]) * heads);
            if (strstr(what, "single"))
                ck_assert_int_eq(kept, (l == 2 ? part[l] : whole[l]) * heads);
        }
        ck_assert_double_eq(lab_number(&lab, c, "keep"), (double)sum / of);
        ck_assert_double_eq(lab_number(&lab, c, "keep_bytes"), sum * 2 * 8 * 4.0);
        if (cell->budget.kind == BUDGET_BYTES)
            ck_assert_int_le(sum * 2 * 8 * 4, 40000);
        else if (!strstr(what, "single"))
            ck_assert_msg(sum == budget, "%s: %d entries, not %d", what, sum, budget);
        lab_text(&lab, c, "attention_lost", &lost);
        ck_assert_msg((strstr(lost.p, "null") != NULL) == !_i, "%s: %s", what, lost.p);
        str_clear(&lost);
    }
    lab_close(&lab);
    str_free(&s);
    str_free(&lost);
}
END_TEST

/* 1 - the share of attention on kept entries, of the queries that predict the full cache's answer and see any. */
START_TEST(attention_lost_of_a_window_is_of_the_queries_that_still_see_the_prompt)
{
    enum { N = 60 };
    struct lab lab;
    lab_kind = LAB_PRUNE;
    lab_open(&lab, "  - {policy: h2o, keep: 0.3}\n", "max_new_tokens: 40\n", N, 10, 3);
    lab_run(&lab, PRUNE_AFTER_ALL_BUT_LAST);
    struct plain_course all = {.rule = {.policy = "knorm"}, .keep = 1, .windows = 1};
    struct plain *p = plain_read(lab.model, &all, lab.prompt.ids.id, N - 1, N + 50, 0);
    int n_out = lab.result[0].n_out;
    ck_assert_int_gt(n_out, W + 2); /* the window moves on from the prompt */
    plain_continue(p, &all, lab.prompt.ids.id[N - 1]);
    for (int t = 0; t + 1 < n_out; t++)
        plain_continue(p, &all, lab.result[0].out[t]);
    const struct hparams *hp = &lab.model->hp;
    struct str lost = {0};
    lab_text(&lab, 1, "attention_lost", &lost);
    const char *at = lost.p + 1;
    for (int l = 0; l < hp->n_layer; l++) {
        double kept = 0, rows = 0;
        for (int q = 0; q < hp->n_head; q++)
            for (int i = N - 1; i < N - 1 + n_out; i++) {
                double seen = 0, stays = 0;
                for (int j = 0; j < N - 1; j++) {
                    size_t T = (size_t)p->room;
                    double a =
                        p->attention[(((size_t)l * (size_t)hp->n_head + (size_t)q) * T + (size_t)i) * T + (size_t)j];
                    seen += a;
                    stays += keepset_has(lab.result[1].keep, l, q / hp->n_group, j) ? a : 0;
                }
                kept += seen > 0 ? stays / seen : 0;
                rows += seen > 0;
            }
        char *end;
        double got = strtod(at, &end);
        ck_assert_msg(fabs(got - (1 - kept / rows)) < 1e-5, "layer %d: %g, not %g", l, got, 1 - kept / rows);
        at = end + 1;
    }
    plain_destroy(p);
    lab_close(&lab);
    str_free(&lost);
}
END_TEST

struct watched {
    const struct hparams *hp;
    int n, reached;
};

/* Before a layer is read: those without a window have their room, of the others those that were read hold W. */
static int on_stage(void *ctx, int layer, enum tap_stage stage, const float *x, int n_row, struct err *e)
{
    struct watched *on = ctx;
    size_t entries = 0;
    (void)stage;
    (void)x;
    (void)n_row;
    (void)e;
    for (int l = 0; l < on->hp->n_layer; l++)
        entries += (size_t)(model_layer_prunable(on->hp, l) ? on->n : l < layer ? W : 0);
    ck_assert_uint_eq(kvcache_resident_bytes(),
                      entries * (size_t)on->hp->n_kv_head * 2 * (size_t)on->hp->head_dim * sizeof(float));
    on->reached++;
    return 0;
}

START_TEST(a_prompt_that_forgets_holds_one_window_whole_at_a_time_and_gives_the_same_bits)
{
    enum { N = 100 };
    struct lab lab;
    lab_kind = LAB_KEEP;
    lab_open(&lab, "  - policy: full\n", "max_new_tokens: 1\n", N, 10, 3);
    const struct hparams *hp = &lab.model->hp;
    struct watched on = {hp, N, 0};
    struct tap tap = {.ctx = &on, .stages = 1u << TAP_PRE, .stage = on_stage};
    struct workspace *w = workspace_create();
    struct forward_row row[N];
    float *logits[2];
    for (int i = 0; i < N; i++)
        row[i] = (struct forward_row){.token = lab.prompt.ids.id[i], .pos = i, .want_logits = i == N - 1};
    for (int forgets = 0; forgets < 2; forgets++) {
        struct kvcache *c = forgets ? kvcache_create_forgetful(hp, MODEL_F32, N, NULL) : kvcache_create(hp, N, NULL);
        logits[forgets] = mem_new((size_t)hp->n_vocab, sizeof(float));
        struct forward f = {.row = row,
                            .n_row = N,
                            .cache = &c,
                            .n_cache = 1,
                            .tap = forgets ? &tap : NULL,
                            .forgets = forgets,
                            .logits = logits[forgets]};
        ck_assert_int_eq(transformer_forward(lab.model, w, &f, NULL), 0);
        ck_assert_int_eq(kvcache_n_held(c, 1, 0), W);
        ck_assert_int_eq(kvcache_tail(c, 1, 0)->pos[0], forgets ? N - W : 0);
        kvcache_destroy(c);
    }
    ck_assert_int_eq(on.reached, hp->n_layer);
    ck_assert_mem_eq(logits[0], logits[1], (size_t)hp->n_vocab * sizeof(float));
    mem_free(logits[0]);
    mem_free(logits[1]);
    workspace_destroy(w);
    lab_close(&lab);
}
END_TEST

Suite *make_window_cells_suite(void)
{
    Suite *s = suite_create("window_cells");
    TCase *t = tcase_create("core");
    tcase_set_timeout(t, 60);
    tcase_add_loop_test(t, prompts_around_the_window_and_answers_that_cross_it_are_the_plain_twins, 0, 2 * N_LENGTH);
    tcase_add_loop_test(t, budgets_are_of_the_layers_that_are_pruned, 0, 2);
    tcase_add_test(t, attention_lost_of_a_window_is_of_the_queries_that_still_see_the_prompt);
    tcase_add_test(t, a_prompt_that_forgets_holds_one_window_whole_at_a_time_and_gives_the_same_bits);
    suite_add_tcase(s, t);
    return s;
}
