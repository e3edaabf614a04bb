/* `depthkv trace`: what one cell kept of one sample: layer, head, position, token, score, protected, kept. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/cmd/cli.h"
#include "harness/engine/group.h"
#include "harness/engine/prompts.h"
#include "harness/engine/prune.h"
#include "harness/experiment/axes.h"
#include "harness/run/open_model.h"

static const char help[] =
    "Print what one cell kept of one sample, position by position, as tab-separated values:\n"
    "layer, head, position, token, score, protected, kept.\n\n"
    "usage: depthkv trace FILE.yaml --cell ID [--sample I] [--layer L] [--set KEY=VALUE]... [--threads N]\n\n"
    "  --cell ID        as check prints it; a beginning that no other cell has suffices\n"
    "  --sample I       from 0 (default 0); of several questions the first\n"
    "  --layer L        one layer only\n"
    "  --set KEY=VALUE  as for run\n\n"
    "example:\n"
    "  depthkv trace experiments/demo.yaml --cell aa433ef5 --layer 0\n";

struct trace {
    const struct model *m;
    const struct cell *cell;
    const struct prompt *prompt;
    int layer;
};

/* Marks of one layer, as prune_cut had them. */
static void mark_protected(const struct trace *t, const struct keepset *keep, int n, int entries, unsigned char *mark)
{
    int32_t *pos = mem_new((size_t)n, sizeof *pos);
    struct prune_head head = {n, pos};
    int cut = 0;
    for (int j = 0; j < n; j++)
        pos[j] = keep->n - n + j;
    struct prune_request r = prune_request_of(t->cell, &t->m->hp);
    r.n = keep->n;
    r.question_begin = t->prompt->context_end;
    r.question_end = t->prompt->question_end;
    prune_protect(&r, &head, entries, mark, &cut);
    mem_free(pos);
}

static void print_entries(const struct trace *t, const struct group_done *d)
{
    const struct keepset *keep = d->keep;
    unsigned char *mark = mem_new((size_t)keep->n, 1);
    quote_show(stdout, "layer\thead\tposition\ttoken\tscore\tprotected\tkept\n");
    for (int l = 0; l < keep->n_layer; l++) {
        int n = prune_holds(&t->m->hp, l, keep->n), first = keep->n - n; /* what has left a window is no entry */
        memset(mark, 0, (size_t)keep->n);
        if (prune_takes(t->cell, &t->m->hp, l))
            mark_protected(t, keep, n, d->entries[l], mark + first);
        for (int h = 0; (t->layer < 0 || l == t->layer) && h < keep->n_kv_head; h++)
            for (int j = first; j < keep->n; j++) {
                struct str token = {0}, quoted = {0}, number = {0};
                tokenizer_decode(t->m->tokenizer, &t->prompt->ids.id[j], 1, 1, &token);
                str_add_json(&quoted, str_c(&token), token.n);
                if (d->score && !isnan(d->score[l][h][j])) /* nothing is known of what an earlier cut evicted */
                    str_add_double(&number, (double)d->score[l][h][j]);
                quote_show(stdout, "%d\t%d\t%d\t%s\t%s\t%d\t%d\n", l, h, j, quoted.p, str_c(&number), mark[j],
                           keepset_has(keep, l, h, j));
                str_free(&token);
                str_free(&quoted);
                str_free(&number);
            }
    }
    mem_free(mark);
}

/* Runs the group, and prints its last cell. */
static int run_group(const struct trace *t, const struct group *g, struct err *e)
{
    struct group_run *run = group_begin(g);
    struct group_done done;
    int more, wanted = g->n_cell - 1;
    while ((more = group_next(run, &done, e)) > 0) {
        if (done.cell != wanted)
            continue;
        if (done.row->status != ROW_OK) {
            more = err_set(e, ERR_POLICY, "%s", done.row->reason);
            break;
        }
        print_entries(t, &done);
    }
    group_end(run);
    return more;
}

/* The group of just this cell and the full cache that goes with it, on the first question of one prompt. */
static int trace_prompt(const struct experiment *x, const struct model *m, struct cell *c, const struct prompts_at *at,
                        int layer, struct err *e)
{
    struct workspace *w = workspace_create();
    struct cell *cells[2] = {NULL, c};
    int question = 0;
    for (int i = 0; i < x->n_cell && !cells[0]; i++)
        if (x->cell[i].policy->keeps_all && axes_same_group(&x->cell[i], c))
            cells[0] = &x->cell[i];
    struct trace t = {.m = m, .cell = c, .prompt = at->prompt, .layer = layer};
    struct group g = {.x = x,
                      .model = m,
                      .work = w,
                      .cell = cells,
                      .n_cell = cells[0] == c ? 1 : 2,
                      .item = at->item,
                      .question = &question,
                      .prompt = at->prompt,
                      .n_question = 1,
                      .prune_after = c->prune_after,
                      .sample = at->sample,
                      .sample_hash = experiment_sample_hash(x, c->task, at->sample),
                      .keep_scores = 1,
                      .batch_bytes = (size_t)2 << 30};
    int rc = run_group(&t, &g, e);
    workspace_destroy(w);
    return rc;
}

static int trace_cell(const struct experiment *x, struct cell *c, int sample, int layer, struct err *e)
{
    int rc = -1;
    struct encode_context encode = {0};
    struct prompts_some some = {.cell = c, .is_from = 1, .from = sample, .most = 1};
    struct prompts_at at;
    struct prompts *p = NULL;
    struct model *m = open_model(x->model[c->model].path, c->weight_dtype, c->arithmetic, e);
    if (!m)
        return -1;
    encode.model = m;
    if (!m->tokenizer) {
        err_set(e, ERR_CONFIG, "%s holds no tokenizer", m->path);
        goto out;
    }
    if (layer >= m->hp.n_layer) {
        err_set(e, ERR_USAGE, "--layer %d of a model with layers 0 to %d", layer, m->hp.n_layer - 1);
        goto out;
    }
    if (experiment_pieces(x, m->tokenizer, &encode.pieces, e))
        goto out;
    p = prompts_begin(x, c->model, c->task, &encode, &some, e);
    if (!p || prompts_next(p, &at, e) < 0)
        goto out;
    rc = at.prompt ? trace_prompt(x, m, c, &at, layer, e) : prompts_fail(p, &at, e);
out:
    prompts_end(p);
    model_close(m);
    return rc;
}

/* The one cell whose id begins so; -1 and the message printed otherwise. */
static int find_cell(const struct experiment *x, const char *id)
{
    int found = -1;
    for (int i = 0; i < x->n_cell; i++) {
        if (strncmp(x->cell[i].id, id, strlen(id)) != 0)
            continue;
        if (found >= 0) {
            cli_usage("trace", "--cell %s: %s and %s begin so", id, x->cell[found].id, x->cell[i].id);
            return -1;
        }
        found = i;
    }
    if (found < 0)
        cli_usage("trace", "no cell begins with '%s'; depthkv check prints them", id);
    return found;
}

int cmd_trace(int argc, char **argv)
{
    enum { CELL = 256, SAMPLE, LAYER, THREADS, SET };
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
                                          {"cell", required_argument, NULL, CELL},
                                          {"sample", required_argument, NULL, SAMPLE},
                                          {"layer", required_argument, NULL, LAYER},
                                          {"threads", required_argument, NULL, THREADS},
                                          {"set", required_argument, NULL, SET},
                                          {NULL, 0, NULL, 0}};
    const char *id = NULL;
    struct cli_set set = {0};
    int64_t sample = 0, layer = -1;
    int c, start = 1, bad = 0, rc = CLI_USAGE;
    struct experiment x;
    struct err e = {0};
    while (!bad && (c = cli_option(argc, argv, ":h", longs, &start)) != -1) {
        switch (c) {
        case 'h': quote_show_lines(stdout, help); return CLI_OK;
        case CELL: id = optarg; break;
        case SAMPLE: bad = cli_int("trace", "--sample", optarg, 0, 1000000000, &sample); break;
        case LAYER: bad = cli_int("trace", "--layer", optarg, 0, DIMS_MAX_LAYER, &layer); break;
        case THREADS: bad = cli_threads("trace", optarg); break;
        case SET: bad = cli_add_set("trace", &set, optarg); break;
        default: return cli_bad_option("trace", c, argv, longs);
        }
    }
    if (bad)
        return CLI_USAGE;
    if (argc - optind != 1 || !id)
        return cli_usage("trace", "expected FILE.yaml and --cell ID");
    if (cli_load(argv[optind], NULL, &set, 0, &x))
        return CLI_USAGE;
    int found = find_cell(&x, id);
    leave_when_asked();
    if (found >= 0)
        rc = trace_cell(&x, &x.cell[found], (int)sample, (int)layer, &e) ? cli_fail(&e) : CLI_OK;
    experiment_fini(&x);
    return rc;
}
