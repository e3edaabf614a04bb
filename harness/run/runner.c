#include "harness/run/runner.h"
#include "harness/base/leave.h"
#include "harness/run/open_model.h"

#include <stdio.h>
#include <string.h>

#include "harness/base/free_memory.h"
#include "harness/base/fs.h"
#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/engine/encode.h"
#include "harness/engine/group.h"
#include "harness/engine/prompts.h"
#include "harness/rows/build_id.h"
#include "harness/rows/keptfile.h"
#include "harness/rows/manifest.h"
#include "harness/rows/plan.h"
#include "harness/rows/record.h"
#include "harness/rows/rowkey.h"
#include "harness/run/calibration.h"
#include "harness/run/estimate.h"
#include "harness/run/progress.h"

enum { N_PRUNE_AFTER = PRUNE_AFTER_PROMPT + 1 };
const int64_t runner_memory = (int64_t)2 << 30;

struct run {
    struct experiment *x;
    const struct runner_options *o;
    struct runner_summary *sum;
    struct journal *journal;
    struct keptfile *kept; /* NULL unless recorded */
    struct workspace *work;
    struct progress progress;
    char engine[HASH_HEX];
    struct plan *plan;
    char (*cell_key)[HASH_HEX]; /* [x->n_cell] of those whose model is loaded */
    /* of the task that runs now */
    struct model *model;
    struct encode_context encode;
    const struct exp_task *task;
    int i_model, i_task, new_tokens; /* only cells that may generate exactly so many */
    enum model_dtype dtype;
    /* of the group that runs now */
    struct cell **cell;     /* [n_cell] */
    char (*key)[HASH_HEX];  /* [n_cell][n_question] */
    char (*data)[HASH_HEX]; /* [n_question] */
    int n_cell, n_question;
    int longest; /* prompt that the workspace has grown to */
};

static int emit(void *ctx, int c, int q, struct row *row, const struct keepset *keep, struct err *e)
{
    struct run *r = ctx;
    row->key = r->key[(size_t)c * (size_t)r->n_question + (size_t)q];
    row->engine = r->engine;
    memcpy(row->data, r->data[q], HASH_HEX);
    if (journal_check(r->journal, e) || (r->kept && keptfile_add(r->kept, row, keep, e)))
        return -1;
    if (journal_append(r->journal, row, e))
        return -1;
    r->sum->rows++;
    if (row->status == ROW_SKIPPED && r->sum->skipped++ == 0)
        snprintf(r->sum->first_skip, sizeof r->sum->first_skip, "%s:%d: %s (cell %s)", r->x->path, row->cell->line,
                 row->reason, row->cell->id);
    if (row->status == ROW_FAILED && r->sum->failed++ == 0)
        snprintf(r->sum->first_failure, sizeof r->sum->first_failure, "%s:%d: %s (cell %s)", r->x->path,
                 row->cell->line, row->reason, row->cell->id);
    int reads_output = 0;
    for (int i = 0; i < r->task->n_metric; i++)
        reads_output |= r->task->metric[i]->score != NULL;
    if (reads_output && row->status == ROW_OK) { /* likelihoods don't care how long the output is */
        r->sum->outputs++;
        r->sum->cut_off += !strcmp(row->finish_reason, "length");
    }
    return 0;
}

/* A group that could not be done at all becomes failed rows, so that the others go on and nothing is silent. */
static int emit_failed(struct run *r, const struct group *g, const struct err *why, struct err *e)
{
    for (int c = 0; c < g->n_cell; c++)
        for (int q = 0; q < g->n_question; q++) {
            if (g->wanted && !g->wanted[(size_t)c * (size_t)g->n_question + (size_t)q])
                continue;
            struct row row = {
                .x = g->x,
                .cell = g->cell[c],
                .status = ROW_FAILED,
                .reason = why->msg,
                .sample = g->sample,
                .question_id = g->item->question[g->question[q]].id,
                .context_id = g->item->context_id,
                .prompt_tokens = g->prompt[q].ids.n,
                .max_new_tokens = g->item->question[g->question[q]].max_new_tokens,
                .n_layer = g->model->hp.n_layer,
                .output = "",
                .finish_reason = "",
                .first_divergence = -1,
                .group_cells = g->n_cell,
            };
            row_unknown(&row);
            hash_sha256(g->prompt[q].ids.id, (size_t)g->prompt[q].ids.n * sizeof(int32_t), row.prompt_sha256);
            if (emit(r, c, q, &row, NULL, e))
                return -1;
        }
    return 0;
}

/* Whether the group fits into what is free now that its prompts are known, and the model loaded; what cells may hold at
 * once is bounded by it too. A group is refused as a whole: its rows fail, and the others go on. */
static int fits(struct run *r, struct group *g, struct err *e)
{
    struct estimate_group t;
    int prompt = 0;
    double free = (double)free_memory();
    for (int q = 0; q < g->n_question; q++)
        prompt = g->prompt[q].ids.n > prompt ? g->prompt[q].ids.n : prompt;
    estimate_group(r->x, (int)(g->cell[0] - r->x->cell), prompt, transformer_threads(), &t);
    double base = estimate_base(&t) - t.weights - (prompt <= r->longest ? t.activations : 0);
    r->longest = prompt > r->longest ? prompt : r->longest;
    if (free > 0 && base + t.largest > free)
        return err_set(e, ERR_NOMEM,
                       "a prompt of %d tokens needs about %.0f MiB more, with cell %s, and %.0f MiB are free", prompt,
                       (base + t.largest) / 1048576, r->x->cell[t.largest_cell].id, free / 1048576);
    if (free > 0 && (double)g->batch_bytes > free - base)
        g->batch_bytes = (size_t)(free - base);
    return 0;
}

/* One group: questions[0 .. n) of the item that share the tokens fed before pruning. */
static int run_group(struct run *r, const struct dataset_item *item, const struct prompt *prompt, const int *question,
                     int n_question, enum prune_after after, int sample, struct err *e)
{
    int rc = -1;
    long missing = 0;
    struct err why = {0};
    r->n_cell = 0;
    r->n_question = n_question;
    for (int c = 0; c < r->x->n_cell; c++) {
        struct cell *cell = &r->x->cell[c];
        if (cell->model == r->i_model && cell->task == r->i_task && cell->prune_after == after &&
            cell->max_new_tokens == r->new_tokens && cell->weight_dtype == r->dtype)
            r->cell[r->n_cell++] = cell;
    }
    if (r->n_cell == 0)
        return 0;
    size_t runs = (size_t)r->n_cell * (size_t)n_question;
    unsigned char *wanted = mem_new(runs, 1);
    struct prompt *mine = mem_new((size_t)n_question, sizeof *mine);
    r->key = mem_new(runs, sizeof *r->key);
    r->data = mem_new((size_t)n_question, sizeof *r->data);
    for (int q = 0; q < n_question; q++) {
        mine[q] = prompt[question[q]];
        rowkey_question(item, question[q], &mine[q], r->data[q]);
    }
    for (int c = 0; c < r->n_cell; c++)
        for (int q = 0; q < n_question; q++) {
            size_t i = (size_t)c * (size_t)n_question + (size_t)q;
            rowkey_join(r->cell_key[r->cell[c] - r->x->cell], r->data[q], r->key[i]);
            const char *id = item->question[question[q]].id;
            wanted[i] = !journal_has(r->journal, r->key[i], sample, id) ||
                        (r->kept && !keptfile_has(r->kept, r->cell[c]->id, sample, id,
                                                  r->key[i])); /* recording was switched on later */
            missing += wanted[i];
        }
    r->sum->reused += (long)runs - missing;
    struct group g = {
        .x = r->x,
        .model = r->model,
        .work = r->work,
        .cell = r->cell,
        .n_cell = r->n_cell,
        .item = item,
        .question = question,
        .prompt = mine,
        .n_question = n_question,
        .prune_after = after,
        .sample = sample,
        .sample_hash = experiment_sample_hash(r->x, r->i_task, sample),
        .batch_bytes = r->o->memory ? r->o->memory : (size_t)runner_memory,
        .tick = leave_asked,
        .emit = emit,
        .ctx = r,
        .wanted = wanted,
    };
    if (missing && (fits(r, &g, &why) || group_run(&g, &why))) {
        if (why.code == ERR_INTERRUPTED || why.code == ERR_IO || why.code == ERR_WRITE) {
            *e = why; /* stopping, or a full disk: no row can tell */
            goto out;
        }
        for (size_t i = 0; i < runs; i++) /* rows written before the failure stay as they are */
            wanted[i] = wanted[i] && !journal_has(r->journal, r->key[i], sample,
                                                  item->question[question[i % (size_t)n_question]].id);
        if (emit_failed(r, &g, &why, e))
            goto out;
    }
    rc = 0;
out:
    mem_free(wanted);
    mem_free(mine);
    mem_free(r->key);
    mem_free(r->data);
    r->key = r->data = NULL;
    return rc;
}

static int run_item(void *ctx, const struct dataset_item *item, const struct prompt *prompt, int sample, int new_tokens,
                    struct err *e)
{
    struct run *r = ctx;
    int rc = -1, *all = mem_new((size_t)item->n_question + 1, sizeof *all);
    r->new_tokens = new_tokens;
    for (int q = 0; q < item->n_question; q++)
        all[q] = q;
    for (int a = 0; a < N_PRUNE_AFTER; a++) {
        enum prune_after after = (enum prune_after)a;
        int shared = after == PRUNE_AFTER_CONTEXT;
        for (int q = 0; shared && q < item->n_question; q++) /* one without a question holds back its last token */
            shared = encode_n_before(&prompt[q], after) == prompt[q].context_end;
        if (shared) {
            if (run_group(r, item, prompt, all, item->n_question, after, sample, e))
                goto out;
            continue;
        }
        for (int q = 0; q < item->n_question; q++)
            if (run_group(r, item, prompt, &all[q], 1, after, sample, e))
                goto out;
    }
    rc = 0;
out:
    mem_free(all);
    return rc;
}

/* The second part of the keys of a sample that has no prompt: why. */
static void failed_data(const struct err *why, char hex[HASH_HEX])
{
    hash_sha256(why->msg, strlen(why->msg), hex);
}

static void failed_question(const struct dataset_item *item, int q, int sample, struct str *id)
{
    str_clear(id);
    if (item)
        str_add(id, item->question[q].id);
    else
        str_addf(id, "%d", sample);
}

/* A sample that can't be made, or not encoded: a failed row for each cell and question. */
static int run_failed(void *ctx, const struct dataset_item *item, int sample, int new_tokens, const struct err *why,
                      struct err *e)
{
    struct run *r = ctx;
    struct str reason = {0}, id = {0};
    char key[1][HASH_HEX], data[1][HASH_HEX];
    int rc = 0;
    str_addf(&reason, "sample %d can't be made: %s", sample, why->msg);
    failed_data(why, data[0]);
    r->key = key;
    r->data = data;
    r->n_question = 1;
    for (int c = 0; c < r->x->n_cell && rc == 0; c++) {
        const struct cell *cell = &r->x->cell[c];
        if (cell->model != r->i_model || cell->task != r->i_task || cell->max_new_tokens != new_tokens ||
            cell->weight_dtype != r->dtype)
            continue;
        for (int q = 0; q < (item ? item->n_question : 1) && rc == 0; q++) {
            failed_question(item, q, sample, &id);
            struct row row = {.x = r->x,
                              .cell = cell,
                              .status = ROW_FAILED,
                              .reason = reason.p,
                              .sample = sample,
                              .question_id = id.p,
                              .context_id = item ? item->context_id : id.p,
                              .n_layer = r->model->hp.n_layer,
                              .output = "",
                              .finish_reason = "",
                              .first_divergence = -1,
                              .group_cells = 1};
            row_unknown(&row);
            rowkey_join(r->cell_key[c], data[0], key[0]);
            rc = emit(r, 0, 0, &row, NULL, e);
        }
    }
    r->key = r->data = NULL;
    str_free(&reason);
    str_free(&id);
    return rc;
}

static void begin_task(void *ctx, int n_sample)
{
    struct run *r = ctx;
    r->progress.total += n_sample - r->x->samples;
}

static int end_sample(void *ctx, int sample, struct err *e)
{
    struct run *r = ctx;
    struct str label = {0};
    str_addf(&label, "%s, sample %d", r->task->label, sample);
    progress_step(&r->progress, label.p);
    str_free(&label);
    return leave_asked() ? err_set(e, ERR_INTERRUPTED, "stopped; run the same command again to continue") : 0;
}

/* 1 when some cell asks for this model with its weights held in this way. */
static int is_used(const struct experiment *x, int model, enum model_dtype dtype)
{
    for (int c = 0; c < x->n_cell; c++)
        if (x->cell[c].model == model && x->cell[c].weight_dtype == dtype)
            return 1;
    return 0;
}

static int plan_item(void *ctx, const struct dataset_item *item, const struct prompt *prompt, int sample,
                     int new_tokens, struct err *e)
{
    struct run *r = ctx;
    (void)e;
    for (int q = 0; q < item->n_question; q++) {
        char sha256[HASH_HEX];
        rowkey_question(item, q, &prompt[q], sha256);
        plan_add_question(r->plan, r->i_model, r->i_task, new_tokens, sample, item->question[q].id, sha256);
    }
    return 0;
}

static int plan_failed(void *ctx, const struct dataset_item *item, int sample, int new_tokens, const struct err *why,
                       struct err *e)
{
    struct run *r = ctx;
    struct str id = {0};
    char sha256[HASH_HEX];
    (void)e;
    failed_data(why, sha256);
    for (int q = 0; q < (item ? item->n_question : 1); q++) {
        failed_question(item, q, sample, &id);
        plan_add_question(r->plan, r->i_model, r->i_task, new_tokens, sample, id.p, sha256);
    }
    str_free(&id);
    return 0;
}

static int plan_sample(void *ctx, int sample, struct err *e)
{
    (void)ctx;
    (void)sample;
    return leave_asked() ? err_set(e, ERR_INTERRUPTED, "stopped; run the same command again to continue") : 0;
}

/* Says in the folder what runs now, and which rows belong to it as far as the models are loaded. */
static int announce(const struct run *r, struct err *e)
{
    char *config = fs_join(r->o->dir, "config.yaml");
    struct str text = {0};
    experiment_print(r->x, r->o->dir, &text);
    int bad = journal_check(r->journal, e) || fs_write_atomic(config, str_c(&text), text.n, e) ||
              manifest_write(r->o->dir, r->x, r->o->argc, r->o->argv, 0, e) || plan_write(r->plan, r->o->dir, e);
    str_free(&text);
    mem_free(config);
    return bad ? -1 : 0;
}

/* Before the first row of a model: which cells and questions it has, so that a run that is stopped leaves tables of all
 * its rows that are there, and of no others. Prompts are made and encoded once more for it, which is little beside
 * running them. */
static int plan_model(struct run *r, struct err *e)
{
    struct prompts_visitor visitor = {.ctx = r, .item = plan_item, .end = plan_sample, .failed = plan_failed};
    for (int c = 0; c < r->x->n_cell; c++) {
        const struct cell *cell = &r->x->cell[c];
        if (cell->model != r->i_model || cell->weight_dtype != r->dtype)
            continue;
        rowkey_cell(r->x, cell, r->model, r->engine, r->cell_key[c]);
        plan_add_cell(r->plan, cell, r->cell_key[c]);
    }
    for (r->i_task = 0; r->i_task < r->x->n_task; r->i_task++)
        if (prompts_visit(r->x, r->i_model, r->i_task, &r->encode, &visitor, e))
            return -1;
    return announce(r, e);
}

static int run_model(struct run *r, struct err *e)
{
    struct exp_model *m = &r->x->model[r->i_model];
    int rc = -1;
    r->model = open_model(m->path, r->dtype, e);
    if (!r->model)
        return err_wrap(e, "%s:%d", r->x->path, m->line);
    memcpy(m->sha256, r->model->sha256, sizeof m->sha256); /* from here on what was loaded, not what the file says */
    if (!r->model->tokenizer) {
        err_set(e, ERR_CONFIG, "%s:%d: %s holds no tokenizer", r->x->path, m->line, m->path);
        goto out;
    }
    r->encode.model = r->model;
    if (experiment_pieces(r->x, r->model->tokenizer, &r->encode.pieces, e)) {
        err_wrap(e, "%s", r->x->path);
        goto out;
    }
    if (plan_model(r, e))
        goto out;
    struct prompts_visitor visitor = {
        .ctx = r, .begin = begin_task, .item = run_item, .end = end_sample, .failed = run_failed};
    for (r->i_task = 0; r->i_task < r->x->n_task; r->i_task++) {
        r->task = &r->x->task[r->i_task];
        if (prompts_visit(r->x, r->i_model, r->i_task, &r->encode, &visitor, e))
            goto out;
    }
    rc = 0;
out:
    model_close(r->model);
    r->model = NULL;
    return rc;
}

int runner_run(struct experiment *x, const struct runner_options *o, struct runner_summary *out, struct err *e)
{
    int rc = -1;
    long loads = 0; /* of a model, once for every way of holding its weights */
    struct run r = {.x = x, .o = o, .sum = out};
    *out = (struct runner_summary){0};
    if (estimate_check(x, (double)free_memory(), transformer_threads(), e) || calibration_check(x, e))
        return -1;
    r.journal = journal_open(o->dir, e);
    if (!r.journal)
        return -1;
    build_id_engine(r.engine);
    r.plan = plan_create(x, r.engine);
    r.cell_key = mem_new((size_t)x->n_cell + 1, sizeof *r.cell_key);
    r.work = workspace_create();
    r.cell = mem_new((size_t)x->n_cell + 1, sizeof *r.cell);
    if (x->record_kept) {
        r.kept = keptfile_open(o->dir, e);
        if (!r.kept)
            goto out;
    }
    if (!plan_is_there(o->dir) &&
        announce(&r, e)) /* otherwise the folder tells of the run before until this one knows its rows */
        goto out;
    for (int i = 0; i < x->n_model; i++)
        loads += is_used(x, i, MODEL_F32) + is_used(x, i, MODEL_BF16);
    progress_begin(&r.progress, "samples", loads * x->n_task * x->samples, o->quiet);
    for (r.i_model = 0; r.i_model < x->n_model; r.i_model++)
        for (int d = 0; d < 2; d++) {
            r.dtype = d ? MODEL_BF16 : MODEL_F32;
            if (is_used(x, r.i_model, r.dtype) && run_model(&r, e))
                goto out;
        }
    if (journal_check(r.journal, e) || (r.kept && keptfile_merge(r.kept, e)))
        goto out;
    rc = 0;
out:
    progress_end(&r.progress);
    keptfile_close(r.kept);
    plan_destroy(r.plan);
    mem_free(r.cell_key);
    mem_free(r.cell);
    workspace_destroy(r.work);
    journal_close(r.journal);
    return rc;
}
