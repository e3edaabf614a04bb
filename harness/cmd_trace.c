/* `depthkv trace`: what one cell kept of one sample: layer, head, position, token, score, kept. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/cli.h"
#include "harness/group.h"

static const char help[] = "Print what one cell kept of one sample, position by position, as tab-separated values.\n\n"
                           "usage: depthkv trace FILE.yaml --cell ID [--sample I] [--layer L] [--threads N]\n\n"
                           "  --cell ID    as check prints it; the beginning suffices\n"
                           "  --sample I   from 0 (default 0)\n"
                           "  --layer L    one layer only\n";

struct trace {
    const struct model *m;
    const struct prompt *prompt;
    int wanted, layer, n;
};

static int inspect(void *ctx, int cell, const float *const *const *score, const struct keepset *keep, const int *entries,
                   struct err *e)
{
    struct trace *t = ctx;
    (void)entries;
    (void)e;
    if (cell != t->wanted)
        return 0;
    puts("layer\thead\tposition\ttoken\tscore\tkept");
    for (int l = 0; l < keep->n_layer; l++)
        for (int h = 0; (t->layer < 0 || l == t->layer) && h < keep->n_kv_head; h++)
            for (int j = 0; j < keep->n; j++) {
                struct str token = {0}, quoted = {0}, number = {0};
                tokenizer_decode(t->m->tokenizer, &t->prompt->ids.id[j], 1, 1, &token);
                str_add_json(&quoted, str_c(&token), token.n);
                if (score)
                    str_add_double(&number, (double)score[l][h][j]);
                printf("%d\t%d\t%d\t%s\t%s\t%d\n", l, h, j, quoted.p, str_c(&number), keepset_has(keep, l, h, j));
                str_free(&token);
                str_free(&quoted);
                str_free(&number);
            }
    return 0;
}

static int ignore_row(void *ctx, int cell, int question, struct row *row, const struct keepset *keep, struct err *e)
{
    const struct trace *t = ctx;
    (void)question;
    (void)keep;
    return cell == t->wanted && row->status == ROW_FAILED ? err_set(e, ERR_POLICY, "%s", row->reason) : 0;
}

/* The group of just this cell and the full cache that goes with it. */
static int trace_cell(const struct experiment *x, struct cell *c, int sample, int layer, struct err *e)
{
    int rc = -1, question = 0;
    void *self = NULL;
    struct encode_context ec = {0};
    struct dataset_env env;
    struct dataset_item item = {0};
    struct prompt prompt = {0};
    const struct exp_task *task = &x->task[c->task];
    struct cell *cells[2] = {NULL, c};
    struct workspace *w = workspace_create();
    struct model *m = model_open(x->model[c->model].path, MODEL_F32, e);
    if (!m)
        goto out;
    ec.model = m;
    for (int i = 0; i < x->n_cell && !cells[0]; i++)
        if (x->cell[i].policy->keeps_all && x->cell[i].task == c->task && x->cell[i].model == c->model &&
            x->cell[i].prune_after == c->prune_after)
            cells[0] = &x->cell[i];
    if (tokenizer_template(m->tokenizer, x->template_name, &ec.pieces, e))
        goto out;
    encode_dataset_env(&ec, x->dir, &env);
    if (task->ops->open(&self, task->config, &env, e) ||
        task->ops->item(self, sample, x->seed, c->max_new_tokens, &item, e) || encode_prompt(m, &ec.pieces, &item, 0, &prompt, e))
        goto out;
    struct trace t = {.m = m, .prompt = &prompt, .wanted = cells[0] != c, .layer = layer};
    struct group g = {.x = x, .model = m, .work = w, .cell = cells, .n_cell = 1 + t.wanted, .item = &item, .question = &question,
                      .prompt = &prompt, .n_question = 1, .prune_after = c->prune_after, .sample = sample,
                      .batch_bytes = (size_t)2 << 30, .tick = cli_interrupted, .emit = ignore_row, .ctx = &t, .inspect = inspect};
    rc = group_run(&g, e);
out:
    encode_prompt_fini(&prompt);
    dataset_item_fini(&item);
    task->ops->close(self);
    workspace_destroy(w);
    model_close(m);
    return rc;
}

int cmd_trace(int argc, char **argv)
{
    enum { CELL = 256, SAMPLE, LAYER, THREADS };
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {"cell", required_argument, NULL, CELL},
                                          {"sample", required_argument, NULL, SAMPLE}, {"layer", required_argument, NULL, LAYER},
                                          {"threads", required_argument, NULL, THREADS}, {NULL, 0, NULL, 0}};
    const char *id = NULL;
    int64_t sample = 0, layer = -1;
    int c, bad = 0, rc = CLI_USAGE, found = -1;
    struct experiment x;
    struct str errors = {0};
    struct err e = {0};
    optind = 1;
    while (!bad && (c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        switch (c) {
        case 'h':
            fputs(help, stdout);
            return CLI_OK;
        case CELL: id = optarg; break;
        case SAMPLE: bad = cli_int("trace", "--sample", optarg, 0, 1000000000, &sample); break;
        case LAYER: bad = cli_int("trace", "--layer", optarg, 0, DIMS_MAX_LAYER, &layer); break;
        case THREADS: bad = cli_threads("trace", optarg); break;
        default: return cli_usage("trace", "that option is not known, or lacks its value");
        }
    }
    if (bad)
        return CLI_USAGE;
    if (argc - optind != 1 || !id)
        return cli_usage("trace", "expected FILE.yaml and --cell ID");
    if (experiment_load(argv[optind], NULL, 0, 0, &x, &errors, &e)) {
        fputs(errors.n ? errors.p : e.msg, stderr);
        str_free(&errors);
        return CLI_USAGE;
    }
    for (int i = 0; i < x.n_cell && found < 0; i++)
        if (strncmp(x.cell[i].id, id, strlen(id)) == 0)
            found = i;
    cli_catch_interrupt();
    if (found < 0)
        rc = cli_usage("trace", "no cell begins with '%s' (depthkv check prints them)", id);
    else
        rc = trace_cell(&x, &x.cell[found], (int)sample, (int)layer, &e) ? cli_fail(&e) : CLI_OK;
    experiment_fini(&x);
    str_free(&errors);
    return rc;
}
