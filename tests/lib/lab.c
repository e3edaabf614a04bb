#include "tests/lib/lab.h"

#include <check.h>
#include <math.h>
#include <string.h>

#include "harness/base/json.h"
#include "harness/base/mem.h"
#include "harness/base/rng.h"
#include "harness/rows/record.h"
#include "tests/lib/rows.h"
#include "tests/lib/support.h"

enum lab_kind lab_kind;

const struct lab_way lab_way[LAB_N_WAY] = {
    {"keep: 0.4", {{.policy = "heavy"}, .keep = 0.4}, 0},
    {"keep: 0.4, positions: packed", {{.policy = "heavy"}, .keep = 0.4}, 1},
    {"keep: 0.4, decode: evict", {{.policy = "heavy"}, .keep = 0.4, .every = 1}, 0},
    {"keep: 0.4, decode: {interval: 4}, positions: packed", {{.policy = "heavy"}, .keep = 0.4, .every = 4}, 1},
    {"keep: 0.4, prefill: {chunked: {size: 10}}", {{.policy = "heavy"}, .keep = 0.4, .size = 10, .carry = 1}, 0},
    {"keep: 0.5, prefill: {chunked: {size: 7}}, decode: evict, positions: packed",
     {{.policy = "heavy"}, .keep = 0.5, .size = 7, .carry = 1, .every = 1},
     1},
    {"keep: 1.0, decode: {interval: 3}, positions: packed", {{.policy = "heavy"}, .keep = 1, .every = 3}, 1},
};

static char answer_text[] = "42 or so", question_text[] = "", id_text[] = "q";

void lab_open(struct lab *l, const char *sweep, const char *top, int n_prompt, int n_question, int n_suffix)
{
    static char *answers[] = {answer_text};
    static struct dataset_question question;
    struct str y = {0}, errors = {0};
    struct rng r;
    struct err e;
    question = (struct dataset_question){
        .id = id_text, .text = question_text, .answer_prefix = question_text, .answer = answers, .n_answer = 1};
    rows_enter();
    str_addf(&y,
             "# A group.\nschema: 1\nexperiment: x\nmodel: %s\ntasks:\n  - passkey: {length: 400}\nsamples: 1\n%s%s"
             "measure: [score, nll, kl]\nsweep:\n%s",
             lab_kind ? "windows.h5" : "tiny.h5", top, lab_kind == LAB_PRUNE ? "windows: prune\n" : "", sweep);
    char *model = rows_path("windows.h5");
    if (lab_kind)
        support_window_model_file(model);
    mem_free(model);
    rows_write("x.yaml", y.p);
    char *path = rows_path("x.yaml");
    *l = (struct lab){0};
    ck_assert_msg(experiment_load(path, NULL, 0, 0, &l->x, &errors, &e) == 0, "%s", str_c(&errors));
    l->model = model_open(l->x.model[0].path, MODEL_F32, &e);
    ck_assert_msg(l->model != NULL, "%s", e.msg);
    rng_init(&r, (uint64_t)n_prompt, "prompt");
    for (int i = 0; i < n_prompt; i++) /* all different, or equal keys would tie but for rounding */
        token_ids_add(&l->prompt.ids, i);
    ck_assert_int_le(n_prompt, 256);
    for (int i = n_prompt - 1; i > 0; i--) {
        int k = (int)rng_below(&r, (uint64_t)i + 1), t = l->prompt.ids.id[i];
        l->prompt.ids.id[i] = l->prompt.ids.id[k];
        l->prompt.ids.id[k] = t;
    }
    l->prompt.context_end = n_prompt - n_suffix - n_question;
    l->prompt.question_end = n_prompt - n_suffix;
    ck_assert_int_eq(tokenizer_encode(l->model->tokenizer, answer_text, strlen(answer_text), &l->prompt.target, &e), 0);
    l->item =
        (struct dataset_item){.context_id = id_text, .context = question_text, .question = &question, .n_question = 1};
    l->result = mem_new((size_t)l->x.n_cell, sizeof *l->result);
    rows_leave(); /* all is in memory */
    mem_free(path);
    str_free(&y);
    str_free(&errors);
}

void lab_clear(struct lab *l)
{
    for (int c = 0; c < l->x.n_cell; c++) {
        keepset_destroy(l->result[c].keep);
        mem_free(l->result[c].row);
        mem_free(l->result[c].out);
        l->result[c] = (struct lab_result){0};
    }
}

static int take(struct lab *l, const struct group_done *d, struct err *e)
{
    struct lab_result *out = &l->result[d->cell];
    struct str s = {0};
    struct token_ids ids = {0};
    ck_assert_int_eq(d->question, 0);
    ck_assert_ptr_null(out->row); /* every cell once */
    d->row->key = "0";
    record_json(d->row, &s);
    out->row = str_take(&s);
    if (d->keep) {
        const struct keepset *keep = d->keep;
        struct keepset *k = keepset_create(keep->n_layer, keep->n_kv_head, keep->n, e);
        if (!k)
            return -1; /* memory is refused on purpose */
        for (int h = 0; h < keep->n_layer * keep->n_kv_head; h++)
            for (int j = 0; j < keep->n; j++)
                if (keepset_has(keep, h / keep->n_kv_head, h % keep->n_kv_head, j))
                    keepset_add(k, h / keep->n_kv_head, h % keep->n_kv_head, j);
        out->keep = k;
    }
    /* tokens are bytes, and the text holds all but an end of text */
    ck_assert_int_eq(tokenizer_encode(l->model->tokenizer, d->row->output, strlen(d->row->output), &ids, e), 0);
    out->out = ids.id;
    out->n_out = ids.n;
    return 0;
}

int lab_try(struct lab *l, enum prune_after after, struct err *e)
{
    struct workspace *w = workspace_create();
    struct cell **cell = mem_new((size_t)l->x.n_cell, sizeof(struct cell *));
    int question = 0;
    lab_clear(l);
    for (int c = 0; c < l->x.n_cell; c++)
        cell[c] = &l->x.cell[c];
    struct group g = {.x = &l->x,
                      .model = l->model,
                      .work = w,
                      .cell = cell,
                      .n_cell = l->x.n_cell,
                      .item = &l->item,
                      .question = &question,
                      .prompt = &l->prompt,
                      .n_question = 1,
                      .prune_after = after,
                      .sample_hash = LAB_SAMPLE,
                      .batch_bytes = l->batch_bytes ? l->batch_bytes : (size_t)1 << 40};
    struct group_run *run = group_begin(&g);
    struct group_done done;
    int more;
    while ((more = group_next(run, &done, e)) > 0)
        if (take(l, &done, e)) {
            more = -1;
            break;
        }
    group_end(run);
    mem_free(cell);
    workspace_destroy(w);
    return more;
}

void lab_run(struct lab *l, enum prune_after after)
{
    struct err e = {0};
    ck_assert_msg(lab_try(l, after, &e) == 0, "%s", e.msg);
}

void lab_close(struct lab *l)
{
    lab_clear(l);
    token_ids_free(&l->prompt.ids);
    token_ids_free(&l->prompt.target);
    mem_free(l->result);
    model_close(l->model);
    experiment_fini(&l->x);
    ck_assert_uint_eq(kvcache_resident_bytes(), 0);
}

void lab_text(const struct lab *l, int cell, const char *key, struct str *out)
{
    const char *row = l->result[cell].row;
    struct json *j = json_parse("row", row, strlen(row), NULL);
    char *text = json_print(json_get(j, key));
    str_add(out, text);
    mem_free(text);
    json_free(j);
}

double lab_number(const struct lab *l, int cell, const char *key)
{
    struct str s = {0};
    double v;
    lab_text(l, cell, key, &s);
    if (str_to_double(str_c(&s), &v))
        v = (double)NAN;
    str_free(&s);
    return v;
}

double lab_nll(const struct lab *l, struct plain *p, struct plain_course *c)
{
    struct token_ids ids = {0};
    double sum = 0;
    ck_assert_int_eq(tokenizer_encode(l->model->tokenizer, answer_text, strlen(answer_text), &ids, NULL), 0);
    for (int t = 0; t < ids.n; t++) {
        sum += plain_nll(p, ids.id[t]);
        plain_continue(p, c, ids.id[t]);
    }
    sum /= ids.n;
    token_ids_free(&ids);
    return sum;
}
