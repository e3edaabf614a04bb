/* `depthkv metrics`: metrics of layers, from the hidden states of an experiment's model on its tasks, and whether they
 * predict the damage that a study of single layers has measured. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/cmd/cli.h"
#include "harness/layer_metrics/repr_output.h"
#include "harness/layer_metrics/repr_report.h"
#include "harness/run/open_model.h"
#include "harness/run/progress.h"

static const char help[] =
    "Metrics of layers (`depthkv list metrics` has those of text): spectral entropy, effective rank, curvature, DiME,\n"
    "LiDAR and InfoNCE of the hidden states at four stages of every layer (pre, att, res, mlp), correlated with the\n"
    "damage in a profile.h5, beside cheap rivals: depth, attention entropy, attention lost (from the rows beside the\n"
    "profile), and the output error of a layer whose cache is cut as the profile's was, which takes one more pass "
    "over\n"
    "each prompt.\n\n"
    "usage: depthkv metrics FILE.yaml [options]\n\n"
    "  -o DIR             where metrics.csv, metrics.h5, metrics.md, correlations.csv and plots go (default: "
    "results/<experiment>)\n"
    "  --profile FILE     of a run with layer_budget: single (default: DIR/profile.h5, where there is one);\n"
    "                     of another model or depth, without a task's study or without ranks (flat, NaN): refused "
    "first\n"
    "  --param NAME=VALUE one of the parameters below; may be repeated\n"
    "  --set KEY=VALUE    override a value of the file, as for run\n"
    "  --limit N          at most N samples a task\n"
    "  --threads N        threads; the numbers do not depend on it\n"
    "  -q, --quiet        no progress on stderr\n\n"
    "The file's model, tasks, samples, seed and template are used; its sweep is not run. Parameters:\n\n";
static const char examples[] =
    "\nexample:\n"
    "  depthkv metrics experiments/quickstart.yaml --param definition=both --param batch=8 -o out\n";

struct options {
    const char *file, *dir, *profile;
    struct cli_set set;
    int quiet;
    int64_t limit;
    struct repr_options repr;
};

static void print_help(void)
{
    quote_show_lines(stdout, help);
    for (const struct param *p = repr_study_params; p->name; p++) {
        struct str domain = {0};
        param_domain(p, &domain);
        quote_show(stdout, "  %-13s %s (%s; default %s)\n", p->name, p->help, str_c(&domain), p->dflt);
        str_free(&domain);
    }
    quote_show_lines(stdout, examples);
}

static int measure(struct repr_report *r, const char *profile, int quiet, struct err *e)
{
    struct progress progress;
    int bad = 0;
    progress_begin(&progress, "samples", (long)r->x->n_task * r->x->samples, quiet);
    for (int t = 0; t < r->x->n_task && !bad; t++) {
        struct repr_output *output = profile ? repr_output_open(profile, r->x, r->m, t, e) : NULL;
        bad = (profile && !output) || repr_study_run(r->x, r->m, t, r->o, output, &progress, &r->study[t], e) ||
              (profile && repr_relate(profile, r->x, r->m, t, &r->study[t], output, &r->relations[t], e));
        repr_output_close(output);
    }
    progress_end(&progress);
    if (!bad && profile)
        repr_relate_adjust(r->relations, r->x->n_task);
    return bad ? -1 : 0;
}

static int run(const struct options *o, const struct experiment *x, const char *dir, const char *profile, struct err *e)
{
    int rc = -1;
    struct message_list messages = {0};
    struct quote text = {.language = QUOTE_MARKDOWN};
    if (x->n_model != 1)
        return err_set(e, ERR_CONFIG, "%s:%d: metrics are of one model; the file lists %d", x->path, x->model[1].line,
                       x->n_model);
    struct model *m = open_model(x->model->path, MODEL_F32, MODEL_F32, e);
    struct repr_report r = {.x = x, .m = m, .o = &o->repr, .profile = profile};
    r.study = mem_new((size_t)x->n_task + 1, sizeof *r.study);
    struct repr_relations *relations = mem_new((size_t)x->n_task + 1, sizeof *relations);
    r.relations = profile ? relations : NULL;
    if (!m) {
        err_wrap(e, "%s:%d", x->path, x->model->line);
        goto out;
    }
    if (!m->tokenizer) {
        err_set(e, ERR_CONFIG, "%s:%d: %s holds no tokenizer", x->path, x->model->line, m->path);
        goto out;
    }
    if ((profile && repr_damage_check(profile, x, m, e)) || measure(&r, profile, o->quiet, e) || fs_mkdirs(dir, e) ||
        repr_report_write(dir, &r, &messages, e))
        goto out;
    repr_report_markdown(&r, &text);
    quote_print(&text, stdout);
    message_show(&messages, NULL, stderr);
    rc = 0;
out:
    for (int t = 0; t < x->n_task; t++) {
        repr_study_fini(&r.study[t]);
        repr_relations_fini(&relations[t]);
    }
    mem_free(r.study);
    mem_free(relations);
    message_list_free(&messages);
    quote_free(&text);
    model_close(m);
    return rc;
}

/* 0, or 1 + the exit code. */
static int parse(int argc, char **argv, struct options *o)
{
    enum { PROFILE = 256, PARAM, SET, LIMIT, THREADS };
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'},          {"profile", required_argument, NULL, PROFILE},
        {"param", required_argument, NULL, PARAM}, {"set", required_argument, NULL, SET},
        {"limit", required_argument, NULL, LIMIT}, {"threads", required_argument, NULL, THREADS},
        {"quiet", no_argument, NULL, 'q'},         {NULL, 0, NULL, 0}};
    int c, start = 1, bad = 0;
    struct err e = {0};
    param_defaults(repr_study_params, &o->repr);
    while (!bad && (c = cli_option(argc, argv, ":ho:q", longs, &start)) != -1) {
        switch (c) {
        case 'h': print_help(); return CLI_OK + 1;
        case 'o': o->dir = optarg; break;
        case 'q': o->quiet = 1; break;
        case PROFILE: o->profile = optarg; break;
        case LIMIT: bad = cli_int("metrics", "--limit", optarg, 1, 1000000000, &o->limit); break;
        case THREADS: bad = cli_threads("metrics", optarg); break;
        case PARAM:
            if (cli_param(repr_study_params, &o->repr, "metrics", "metrics -h", optarg, &e))
                return cli_fail(&e) + 1;
            break;
        case SET: bad = cli_add_set("metrics", &o->set, optarg); break;
        default: return cli_bad_option("metrics", c, argv, longs) + 1;
        }
    }
    if (bad)
        return CLI_USAGE + 1;
    if (argc - optind != 1)
        return cli_usage("metrics", "expected one FILE.yaml") + 1;
    o->file = argv[optind];
    return 0;
}

int cmd_metrics(int argc, char **argv)
{
    struct options o = {0};
    struct experiment x;
    struct err e = {0};
    int rc = parse(argc, argv, &o);
    if (rc)
        return rc - 1;
    if (cli_load(o.file, NULL, &o.set, o.limit, &x))
        return CLI_USAGE;
    char *dir = o.dir ? mem_strdup(o.dir) : fs_join("results", x.name), *beside = fs_join(dir, "profile.h5");
    const char *profile = o.profile ? o.profile : fs_exists(beside) ? beside : NULL;
    leave_when_asked();
    rc = run(&o, &x, dir, profile, &e) ? cli_fail(&e) : CLI_OK;
    mem_free(dir);
    mem_free(beside);
    experiment_fini(&x);
    return rc;
}
