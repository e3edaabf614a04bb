#include "harness/run/runner.h"
#include "harness/base/leave.h"
#include "harness/run/open_model.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/free_memory.h"
#include "harness/base/fs.h"
#include "harness/base/hash.h"
#include "harness/base/mem.h"
#include "harness/base/timing.h"
#include "harness/engine/encode.h"
#include "harness/engine/group.h"
#include "harness/engine/prompts.h"
#include "harness/experiment/axes.h"
#include "harness/rows/build_id.h"
#include "harness/rows/keptfile.h"
#include "harness/rows/manifest.h"
#include "harness/rows/plan.h"
#include "harness/rows/record.h"
#include "harness/rows/rowkey.h"
#include "harness/run/calibration.h"
#include "harness/run/deal.h"
#include "harness/run/estimate.h"
#include "harness/run/progress.h"
#include "harness/run/room.h"
#include "models/threads.h"
#include "models/transformer.h"

static void kvcache_count_here(void *bytes)
{
    kvcache_count_in(bytes);
}

const int64_t runner_memory = (int64_t)2 << 30;

/* What jobs that run side by side have in common, besides what none of them writes to. */
struct jobs {
    pthread_mutex_t lock; /* of the journal, kept.h5, the summary, and progress */
    atomic_int next;      /* the prompt that nobody has taken yet */
    atomic_int stop;      /* 1: one of them failed */
    struct room room;
};

struct run {
    struct jobs *jobs; /* NULL: there is one only */
    struct experiment *x;
    const struct runner_options *o;
    struct runner_summary *sum;
    struct journal *journal;
    struct shard_writer *shard; /* NULL: no part of one, but the whole */
    struct deal *deal;          /* whose samples are whose */
    struct keptfile *kept;      /* NULL unless recorded */
    struct workspace *work;
    struct progress *progress;
    char engine[HASH_HEX];
    struct plan *plan;
    char (*cell_key)[HASH_HEX]; /* [x->n_cell] of those whose model is loaded */
    /* of the task that runs now */
    struct model *model;
    struct encode_context encode;
    const struct exp_task *task;
    int i_model, i_task;
    const struct cell *loaded; /* the first one of those that the loaded weights are for */
    struct cell **cell;        /* [x->n_cell] room for those of the group that runs now */
    int longest;               /* prompt that the workspace has grown to */
    double work_bytes;         /* of the jobs' room: taken for the workspace, */
    double group_bytes;        /* and for the group that runs now */
    int n_job;
};

static void lock(const struct run *r)
{
    if (r->jobs)
        pthread_mutex_lock(&r->jobs->lock);
}

static void unlock(const struct run *r)
{
    if (r->jobs)
        pthread_mutex_unlock(&r->jobs->lock);
}

/* 1 for the cells of these prompts that the loaded weights are for. */
static int is_due(const struct run *r, const struct prompts_at *at, const struct cell *c)
{
    return axes_same_prompts(c, at->cell) && axes_same_weights(c, r->loaded);
}

/* Completes a row by what it depends on, and writes it. */
static int write_row_alone(struct run *r, struct row *row, const char *key, const char *data,
                           const struct keepset *keep, struct err *e)
{
    row->key = key;
    row->engine = r->engine;
    memcpy(row->data, data, HASH_HEX);
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
    return 0;
}

static int write_row(struct run *r, struct row *row, const char *key, const char *data, const struct keepset *keep,
                     struct err *e)
{
    lock(r);
    int rc = write_row_alone(r, row, key, data, keep, e);
    unlock(r);
    return rc;
}

/* What the rows of one group depend on, and which of them are missing. */
struct keys {
    char (*key)[HASH_HEX];  /* [n_cell][n_question] */
    char (*data)[HASH_HEX]; /* [n_question] */
    unsigned char *wanted;  /* [n_cell][n_question] */
};

static int write_done(struct run *r, const struct group *g, const struct keys *k, struct group_done *d, struct err *e)
{
    size_t i = (size_t)d->cell * (size_t)g->n_question + (size_t)d->question;
    timing_begin(TIMING_IO);
    int rc = write_row(r, d->row, k->key[i], k->data[d->question], d->keep, e);
    timing_end();
    return rc;
}

/* A group that could not be done at all becomes failed rows, so that the others go on and nothing is silent; rows that
 * were written before the failure stay as they are. */
static int write_failed_group(struct run *r, const struct group *g, const struct keys *k, const struct err *why,
                              struct err *e)
{
    for (int c = 0; c < g->n_cell; c++)
        for (int q = 0; q < g->n_question; q++) {
            size_t i = (size_t)c * (size_t)g->n_question + (size_t)q;
            struct row row;
            struct group_done d = {.cell = c, .question = q, .row = &row};
            lock(r);
            int has = journal_has(r->journal, k->key[i], g->sample, g->item->question[g->question[q]].id);
            unlock(r);
            if (!k->wanted[i] || has)
                continue;
            row_begin(&row, g->x, g->cell[c], g->model->hp.n_layer, g->sample);
            row_ask(&row, g->item, g->question[q], &g->prompt[q]);
            row.status = ROW_FAILED;
            row.reason = why->msg;
            row.group_cells = g->n_cell;
            if (write_done(r, g, k, &d, e))
                return -1;
        }
    return 0;
}

/* A job's workspace goes, so that others may have its room. */
static void give_up_workspace(struct run *r)
{
    workspace_destroy(r->work);
    r->work = workspace_create();
    r->longest = 0;
    room_give_back(&r->jobs->room, r->work_bytes);
    r->work_bytes = 0;
}

static void give_back_group(struct run *r)
{
    if (r->jobs)
        room_give_back(&r->jobs->room, r->group_bytes);
    r->group_bytes = 0;
}

/* Bytes that a job may take of what is free, beside what other jobs have taken: for a group that needs `least` and
 * takes `most` of them beside its workspace, which grows to `work`. -1: even alone there are too few. */
static double take_room(struct run *r, double least, double most, double work)
{
    double grows = work > r->work_bytes ? work - r->work_bytes : 0;
    double got = room_take(&r->jobs->room, grows + least, grows + most);
    if (got < 0) {
        give_up_workspace(r);
        grows = work;
        got = room_wait(&r->jobs->room, grows + least, grows + most);
    }
    if (got < 0)
        return -1;
    r->work_bytes += grows;
    return r->group_bytes = got - grows;
}

static int does_not_fit(const struct run *r, const struct estimate_group *t, double need, double free, struct err *e)
{
    return err_set(e, ERR_NOMEM, "a prompt of %d tokens needs about %.0f MiB more, with cell %s, and %.0f MiB are free",
                   t->prompt, need / 1048576, r->x->cell[t->largest_cell].id, free / 1048576);
}

/* Whether the group fits into what is free now that its prompts are known, and the model loaded; what cells may hold at
 * once is bounded by it too. A group is refused as a whole: its rows fail, and the others go on. */
static int fits(struct run *r, struct group *g, struct err *e)
{
    struct estimate_group t;
    int prompt = 0;
    for (int q = 0; q < g->n_question; q++)
        prompt = g->prompt[q].ids.n > prompt ? g->prompt[q].ids.n : prompt;
    estimate_group(r->x, (int)(g->cell[0] - r->x->cell), prompt, transformer_threads(), &t);
    double base = estimate_base(&t) - t.weights - t.activations, batch = (double)g->batch_bytes, got = 0;
    double cells = t.cells < batch ? t.cells : batch;
    if (r->jobs) {
        got = take_room(r, base + t.largest, base + (cells > t.largest ? cells : t.largest), t.activations);
        if (got < 0)
            return does_not_fit(r, &t, base + t.activations + t.largest, r->jobs->room.free, e);
        g->work = r->work;
        g->batch_bytes = batch > got - base ? (size_t)(got - base) : g->batch_bytes;
    }
    double free = (double)free_memory();
    base += prompt <= r->longest ? 0 : t.activations;
    r->longest = prompt > r->longest ? prompt : r->longest;
    if (free > 0 && base + t.largest > free)
        return does_not_fit(r, &t, base + t.largest, free, e);
    if (free > 0 && (double)g->batch_bytes > free - base)
        g->batch_bytes = (size_t)(free - base);
    return 0;
}

/* The keys of a group's rows, and which are missing: how many. */
static long find_missing(struct run *r, const struct group *g, struct keys *k)
{
    long missing = 0;
    size_t runs = (size_t)g->n_cell * (size_t)g->n_question;
    k->key = mem_new(runs, sizeof *k->key);
    k->data = mem_new((size_t)g->n_question, sizeof *k->data);
    k->wanted = mem_new(runs, 1);
    for (int q = 0; q < g->n_question; q++)
        rowkey_question(g->item, g->question[q], &g->prompt[q], k->data[q]);
    lock(r);
    for (int c = 0; c < g->n_cell; c++)
        for (int q = 0; q < g->n_question; q++) {
            size_t i = (size_t)c * (size_t)g->n_question + (size_t)q;
            const char *id = g->item->question[g->question[q]].id;
            rowkey_join(r->cell_key[g->cell[c] - r->x->cell], k->data[q], k->key[i]);
            k->wanted[i] = !journal_has(r->journal, k->key[i], g->sample, id) ||
                           (r->kept && !keptfile_has(r->kept, g->cell[c]->id, g->sample, id,
                                                     k->key[i])); /* recording was switched on later */
            missing += k->wanted[i];
        }
    r->sum->reused += (long)runs - missing;
    unlock(r);
    return missing;
}

/* Every row is written as soon as it is known. -1: the group, or the run as a whole, can't go on. */
static int write_rows(struct run *r, struct group *g, const struct keys *k, struct err *e)
{
    struct group_done done;
    int more;
    if (fits(r, g, e))
        return -1;
    struct group_run *run = group_begin(g);
    while ((more = group_next(run, &done, e)) > 0)
        if (write_done(r, g, k, &done, e)) {
            more = -1;
            break;
        }
    group_end(run);
    return more;
}

/* One group: question[0 .. n) of the prompts, which share the tokens that are fed before pruning. */
static int run_group(struct run *r, const struct prompts_at *at, const int *question, int n_question,
                     const struct cell *first, struct err *e)
{
    int rc = 0, n_cell = 0;
    struct err why = {0};
    struct keys k;
    for (int c = 0; c < r->x->n_cell; c++)
        if (axes_same_group(&r->x->cell[c], first))
            r->cell[n_cell++] = &r->x->cell[c];
    struct prompt *mine = mem_new((size_t)n_question, sizeof *mine);
    for (int q = 0; q < n_question; q++)
        mine[q] = at->prompt[question[q]];
    struct group g = {
        .x = r->x,
        .model = r->model,
        .work = r->work,
        .cell = r->cell,
        .n_cell = n_cell,
        .item = at->item,
        .question = question,
        .prompt = mine,
        .n_question = n_question,
        .prune_after = first->prune_after,
        .sample = at->sample,
        .sample_hash = experiment_sample_hash(r->x, r->i_task, at->sample),
        .batch_bytes = (r->o->memory ? r->o->memory : (size_t)runner_memory) / (size_t)r->n_job,
    };
    long missing = find_missing(r, &g, &k);
    g.wanted = k.wanted;
    int bad = missing && write_rows(r, &g, &k, &why);
    give_back_group(r);
    if (bad) {
        int is_the_groups = why.code != ERR_INTERRUPTED && why.code != ERR_IO && why.code != ERR_WRITE;
        rc = -1;
        if (is_the_groups)
            rc = write_failed_group(r, &g, &k, &why, e);
        else if (e)
            *e = why; /* stopping, or a full disk: no row can tell */
    }
    mem_free(mine);
    mem_free(k.key);
    mem_free(k.data);
    mem_free(k.wanted);
    return rc;
}

/* 1 when a question's sequence is one that rotates as long ones do. */
static int is_long(const struct run *r, const struct prompts_at *at, int q, const struct cell *cell)
{
    int own = at->item->question[q].max_new_tokens;
    return model_rope_long(&r->model->hp, group_longest(&at->prompt[q], own ? own : cell->max_new_tokens));
}

/* Questions that share what is fed before the cut: one group or, where they do not all rotate alike, two. */
static int run_shared(struct run *r, const struct prompts_at *at, const struct cell *first, struct err *e)
{
    int rc = 0, *part = mem_new((size_t)at->item->n_question + 1, sizeof *part);
    for (int longs = 0; longs < 2 && rc == 0; longs++) {
        int n = 0;
        for (int q = 0; q < at->item->n_question; q++)
            if (is_long(r, at, q, first) == longs)
                part[n++] = q;
        rc = n ? run_group(r, at, part, n, first, e) : 0;
    }
    mem_free(part);
    return rc;
}

/* All groups of one item. With prune_after: context its questions share one, if they share all that is fed before it.
 */
static int run_item(struct run *r, const struct prompts_at *at, struct err *e)
{
    int rc = 0, n = at->item->n_question;
    for (int c = 0; c < r->x->n_cell && rc == 0; c++) {
        const struct cell *first = &r->x->cell[c];
        enum prune_after after = first->prune_after;
        int shared = after == PRUNE_AFTER_CONTEXT;
        if (!is_due(r, at, first) || !axes_is_first(r->x->cell, c, axes_same_group))
            continue;
        for (int q = 0; shared && q < n; q++) /* one without a question holds back its last token */
            shared = encode_n_before(&at->prompt[q], after) == at->prompt[q].context_end;
        if (shared)
            rc = run_shared(r, at, first, e);
        for (int q = 0; !shared && q < n && rc == 0; q++)
            rc = run_group(r, at, &q, 1, first, e);
    }
    return rc;
}

/* The second part of the keys of a sample that has no prompt: why. */
static void failed_data(const struct err *why, char hex[HASH_HEX])
{
    hash_sha256(why->msg, strlen(why->msg), hex);
}

static void failed_question(const struct prompts_at *at, int q, struct str *id)
{
    str_clear(id);
    if (at->item)
        str_add(id, at->item->question[q].id);
    else
        str_addf(id, "%d", at->sample);
}

/* A sample that can't be made, or not encoded: a failed row for each cell and question. */
static int write_failed_sample(struct run *r, const struct prompts_at *at, struct err *e)
{
    struct str reason = {0}, id = {0};
    char key[HASH_HEX], data[HASH_HEX];
    int rc = 0;
    str_addf(&reason, "sample %d can't be made: %s", at->sample, at->why->msg);
    failed_data(at->why, data);
    for (int c = 0; c < r->x->n_cell && rc == 0; c++) {
        const struct cell *cell = &r->x->cell[c];
        for (int q = 0; is_due(r, at, cell) && q < (at->item ? at->item->n_question : 1) && rc == 0; q++) {
            struct row row;
            failed_question(at, q, &id);
            row_begin(&row, r->x, cell, r->model->hp.n_layer, at->sample);
            if (at->item)
                row_ask(&row, at->item, q, NULL);
            else
                row.context_id = row.question_id = id.p;
            row.status = ROW_FAILED;
            row.reason = reason.p;
            rowkey_join(r->cell_key[c], data, key);
            rc = write_row(r, &row, key, data, NULL, e);
        }
    }
    str_free(&reason);
    str_free(&id);
    return rc;
}

/* The questions of a sample, and those of one that has no prompt. */
static void plan_prompts(struct run *r, const struct prompts_at *at)
{
    struct str id = {0};
    char sha256[HASH_HEX];
    for (int q = 0; q < (at->item ? at->item->n_question : 1); q++) {
        failed_question(at, q, &id);
        if (at->prompt)
            rowkey_question(at->item, q, &at->prompt[q], sha256);
        else
            failed_data(at->why, sha256);
        plan_add_question(r->plan, at->cell, at->sample, id.p, sha256);
    }
    str_free(&id);
}

static int plan_task(struct run *r, struct err *e)
{
    struct prompts *p = prompts_begin(r->x, r->i_model, r->i_task, &r->encode, NULL, e);
    struct prompts_at at;
    int more = p ? 0 : -1;
    while (p && (more = prompts_next(p, &at, e)) > 0) {
        plan_prompts(r, &at);
        if (leave_stopped(e)) {
            more = -1;
            break;
        }
    }
    prompts_end(p);
    return more;
}

/* Says in the folder what runs now, and which rows belong to it as far as the models are loaded. */
static int announce(const struct run *r, struct err *e)
{
    char *config = fs_join(r->o->dir, "config.yaml");
    struct str text = {0};
    experiment_print(r->x, r->o->dir, &text);
    int bad = (r->shard && plan_complete(r->plan, r->o->dir, e)) || /* what other parts know of models of theirs */
              journal_check(r->journal, e) || fs_write_atomic(config, str_c(&text), text.n, e) ||
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
    for (int c = 0; c < r->x->n_cell; c++) {
        const struct cell *cell = &r->x->cell[c];
        if (!axes_same_weights(cell, r->loaded))
            continue;
        rowkey_cell(r->x, cell, r->model, r->engine, r->cell_key[c]);
        plan_add_cell(r->plan, cell, r->cell_key[c]);
    }
    for (r->i_task = 0; r->i_task < r->x->n_task; r->i_task++)
        if (plan_task(r, e))
            return -1;
    return announce(r, e);
}

static int run_prompt(struct run *r, const struct prompts_at *at, struct err *e)
{
    if (at->prompt ? run_item(r, at, e) : write_failed_sample(r, at, e))
        return -1;
    if (!at->is_last)
        return 0;
    struct str label = {0};
    str_addf(&label, "%s, sample %d", r->task->label, at->sample);
    lock(r);
    progress_step(r->progress, label.p);
    if (r->shard)
        shard_count(r->shard, r->progress->total, r->progress->done, r->sum->rows, r->sum->reused, r->sum->failed,
                    r->sum->failed ? r->sum->first_failure : NULL);
    unlock(r);
    str_free(&label);
    return leave_stopped(e);
}

/* 1 when prompt number i is this process's: all of a sample are one's. */
static int is_own(const struct run *r, const struct prompts *p, int i)
{
    int of_one = prompts_count(p) ? prompts_total(p) / prompts_count(p) : 1;
    return deal_is_own(r->deal, i / of_one);
}

/* One job: its own run, whose task, model and journal are those of the others, and its own way through the prompts. */
struct job {
    struct run run;
    int number, threads;
    atomic_size_t cache_bytes;
    pthread_t thread;
    int rc;
    struct err err;
};

static void *run_job(void *arg)
{
    struct job *j = arg;
    struct run *r = &j->run;
    struct prompts_at at;
    int more = 0;
    transformer_set_threads(j->threads);
    threads_behind(j->number * j->threads);
    transformer_on_every_thread(kvcache_count_here, &j->cache_bytes);
    struct prompts *p = prompts_begin(r->x, r->i_model, r->i_task, &r->encode, NULL, &j->err);
    j->rc = p ? 0 : -1;
    while (j->rc == 0 && !atomic_load(&r->jobs->stop)) {
        int next = atomic_fetch_add(&r->jobs->next, 1);
        if (next < prompts_total(p) && !is_own(r, p, next))
            continue;
        prompts_seek(p, next);
        more = prompts_next(p, &at, &j->err);
        if (more <= 0)
            break;
        j->rc = run_prompt(r, &at, &j->err);
    }
    j->rc = more < 0 ? -1 : j->rc;
    if (j->rc)
        atomic_store(&r->jobs->stop, 1);
    prompts_end(p);
    workspace_destroy(r->work);
    room_give_back(&r->jobs->room, r->work_bytes);
    room_leave(&r->jobs->room);
    mem_free(r->cell);
    return NULL;
}

/* The task's prompts by several jobs: each takes the next one that nobody has, and computes it with its share of the
 * threads. Threads of one process, so that they have the model, the journal and its keys in common; each has its own
 * team of OpenMP, and rows do not depend on who computed them. */
static int run_side_by_side(struct run *r, int n, struct err *e)
{
    struct jobs shared = {.lock = PTHREAD_MUTEX_INITIALIZER};
    struct job *job = mem_new((size_t)n, sizeof *job);
    int all = transformer_threads(), started = 0, rc = 0;
    room_init(&shared.room, (double)free_memory(), n);
    threads_cores(); /* looked up once, before there are several */
    for (; started < n; started++) {
        struct job *j = &job[started];
        *j = (struct job){.run = *r, .number = started, .threads = all / n};
        j->run.jobs = &shared;
        j->run.n_job = n;
        j->run.longest = 0;
        j->run.work_bytes = j->run.group_bytes = 0;
        j->run.work = workspace_create();
        j->run.cell = mem_new((size_t)r->x->n_cell + 1, sizeof *j->run.cell);
        if (pthread_create(&j->thread, NULL, run_job, j)) { /* the others do its work */
            workspace_destroy(j->run.work);
            mem_free(j->run.cell);
            break;
        }
    }
    if (!started)
        rc = err_set(e, ERR_NOMEM, "the system gives no thread for a job: take --jobs 1");
    for (int i = started; i < n; i++)
        room_leave(&shared.room);
    for (int i = 0; i < started; i++) {
        pthread_join(job[i].thread, NULL);
        if (job[i].rc && rc == 0 && e)
            *e = job[i].err;
        rc |= job[i].rc;
    }
    transformer_set_threads(all);
    pthread_mutex_destroy(&shared.lock);
    room_fini(&shared.room);
    mem_free(job);
    return rc;
}

/* Samples of a task as long as nobody has looked how many there are. */
static long expected(const struct run *r)
{
    int of = r->o->shard.of;
    return of ? (r->x->samples + of - 1) / of : r->x->samples;
}

static int run_task(struct run *r, struct err *e)
{
    struct prompts *p = prompts_begin(r->x, r->i_model, r->i_task, &r->encode, NULL, e);
    struct prompts_at at;
    int more = p ? 0 : -1, total = p ? prompts_total(p) : 0, own = 0;
    r->task = &r->x->task[r->i_task];
    if (p)
        own = deal_task(r->deal, r->x, r->loaded, r->i_task, prompts_count(p));
    r->progress->total += own - (p ? expected(r) : 0);
    int n = r->o->jobs < total ? r->o->jobs : total, threads = transformer_threads();
    n = n < threads ? n : threads;
    if (p && n > 1) {
        prompts_end(p);
        return run_side_by_side(r, n, e);
    }
    for (int i = 0; i < total && p && more == 0; i++) {
        if (!is_own(r, p, i))
            continue;
        prompts_seek(p, i);
        more = prompts_next(p, &at, e) < 0 || run_prompt(r, &at, e) ? -1 : 0;
    }
    prompts_end(p);
    return more;
}

static int run_model(struct run *r, struct err *e)
{
    struct exp_model *m = &r->x->model[r->i_model];
    int rc = -1;
    r->model = open_model(m->path, r->loaded->weight_dtype, r->loaded->arithmetic, e);
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
    for (r->i_task = 0; r->i_task < r->x->n_task; r->i_task++)
        if (run_task(r, e))
            goto out;
    rc = 0;
out:
    model_close(r->model);
    r->model = NULL;
    return rc;
}

/* A part has a name before anything is written, and looks for others that don't belong to the same whole. */
static int begin_shard(struct run *r, struct err *e)
{
    struct str text = {0};
    char experiment[HASH_HEX];
    if (!r->o->shard.of)
        return 0;
    if (fs_mkdirs(r->o->dir, e)) /* paths are printed as seen from there */
        return -1;
    experiment_print(r->x, r->o->dir, &text);
    hash_sha256(str_c(&text), text.n, experiment);
    str_free(&text);
    if (shard_refuse_others(r->o->dir, experiment, r->engine, e))
        return -1;
    r->shard = shard_begin(r->o->dir, r->o->shard, experiment, r->engine, e);
    return r->shard ? 0 : -1;
}

int runner_run(struct experiment *x, const struct runner_options *o, struct runner_summary *out, struct err *e)
{
    int rc = -1;
    long loads = 0; /* of a model, once for every way of holding its weights */
    struct progress progress;
    struct run r = {.x = x, .o = o, .sum = out, .progress = &progress, .n_job = 1};
    *out = (struct runner_summary){0};
    memset(&progress, 0, sizeof progress);
    if (estimate_check(x, (double)free_memory(), transformer_threads(), e) || calibration_check(x, e))
        return -1;
    build_id_engine(r.engine);
    r.deal = deal_create(o->shard);
    if (begin_shard(&r, e) || !(r.journal = journal_open(o->dir, r.shard ? shard_name(r.shard) : NULL, e))) {
        (void)shard_end(r.shard, 0, NULL);
        deal_destroy(r.deal);
        return -1;
    }
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
    for (int c = 0; c < x->n_cell; c++)
        loads += axes_is_first(x->cell, c, axes_same_weights);
    progress_begin(&progress, "samples", loads * x->n_task * expected(&r), o->quiet);
    if (r.shard)
        shard_count(r.shard, progress.total, 0, 0, 0, 0, NULL);
    for (int c = 0; c < x->n_cell; c++) {
        r.loaded = &x->cell[c];
        r.i_model = r.loaded->model;
        if (axes_is_first(x->cell, c, axes_same_weights) && run_model(&r, e))
            goto out;
    }
    if (journal_check(r.journal, e) || (r.kept && !r.shard && keptfile_merge(r.kept, e)))
        goto out;
    rc = 0;
out:
    progress_end(&progress);
    if (shard_end(r.shard, rc == 0, rc == 0 ? e : NULL))
        rc = -1;
    deal_destroy(r.deal);
    keptfile_close(r.kept);
    plan_destroy(r.plan);
    mem_free(r.cell_key);
    mem_free(r.cell);
    workspace_destroy(r.work);
    journal_close(r.journal);
    return rc;
}
