/* `depthkv samples`: prints a task's samples as JSON lines, as the model will see them. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/cmd/cli.h"
#include "harness/engine/encode.h"
#include "harness/experiment/experiment.h"
#include "harness/run/open_model.h"

static const char help[] =
    "Print a task's samples as JSON lines.\n\n"
    "usage: depthkv samples TASK -m MODEL [options]\n\n"
    "  -m MODEL           whose tokenizer counts the tokens\n"
    "  -n N               samples (default 3)\n"
    "  --seed N           of the data (default 1)\n"
    "  --param NAME=VALUE a parameter of the task; may be repeated (depthkv describe TASK lists them)\n"
    "  --max-new-tokens N what the run would generate (default: the task's own)\n"
    "  --chat             count with the model's chat template\n"
    "  --template TEXT    count with what may stand behind template: in an experiment: raw, chat,\n"
    "                     {chat: {system: ...}}, or pieces\n\n"
    "example:\n"
    "  depthkv samples niah_single_2 -m model.h5 --param length=2048 -n 1\n";

static void add_field(struct str *s, const char *name, const char *text)
{
    str_addf(s, ",\"%s\":", name);
    str_add_json(s, text, strlen(text));
}

static void add_list(struct str *s, const char *name, char *const *text, int n)
{
    str_addf(s, ",\"%s\":[", name);
    for (int i = 0; i < n; i++) {
        str_add(s, i ? "," : "");
        str_add_json(s, text[i], strlen(text[i]));
    }
    str_addc(s, ']');
}

/* The first answer as nll, the oracle and yap read it; null without one. */
static void add_target(struct str *s, const struct encode_context *c, const struct prompt *p)
{
    struct str text = {0};
    tokenizer_decode(c->model->tokenizer, p->target.id, p->target.n, 0, &text);
    str_add(s, ",\"target\":");
    if (p->target.n)
        str_add_json(s, text.p, text.n);
    else
        str_add(s, "null");
    str_free(&text);
}

static int print_item(const struct encode_context *c, const struct dataset_item *item, int sample, struct err *e)
{
    for (int i = 0; i < item->n_question; i++) {
        const struct dataset_question *q = &item->question[i];
        struct prompt p = {0};
        struct str s = {0};
        if (encode_prompt(c, item, i, &p, e))
            return -1;
        str_addf(&s, "{\"sample\":%d,\"prompt_tokens\":%d,\"context_tokens\":%d,\"evidence_tokens\":%d", sample,
                 p.ids.n, p.context_end, p.n_evidence);
        add_field(&s, "context_id", item->context_id);
        add_field(&s, "question_id", q->id);
        str_add(&s, ",\"context\":");
        str_add_json(&s, item->context, item->n_context);
        add_field(&s, "question", q->text);
        add_field(&s, "answer_prefix", q->answer_prefix);
        add_list(&s, "answers", q->answer, q->n_answer);
        add_target(&s, c, &p);
        add_list(&s, "stop", q->stop, q->n_stop);
        str_add(&s, "}");
        quote_show_lines(stdout, s.p);
        quote_show(stdout, "\n");
        encode_prompt_fini(&p);
        str_free(&s);
    }
    return 0;
}

struct options {
    const struct dataset_ops *ops;
    void *config;
    const char *model, *template_text;
    const char *typed;        /* the option that asked for the template */
    struct experiment around; /* its template, which stands around the prompts */
    int64_t n, seed, max_new_tokens;
};

static int samples(const struct options *o, struct err *e)
{
    int rc = -1;
    void *self = NULL;
    struct dataset_env env;
    struct encode_context c = {0};
    struct model *m = open_model(o->model, MODEL_F32, MODEL_F32, e);
    if (!m)
        return -1;
    if (!m->tokenizer) {
        err_set(e, ERR_CONFIG, "%s holds no tokenizer", o->model);
        goto out;
    }
    c.model = m;
    c.target_delimiter = dataset_target_delimiter(o->ops, o->config);
    if (experiment_pieces(&o->around, m->tokenizer, &c.pieces, e)) {
        err_wrap(e, "%s", o->typed);
        goto out;
    }
    encode_dataset_env(&c, ".", &env);
    if (o->ops->open(&self, o->config, &env, e))
        goto out;
    int n = o->ops->count(self), new_tokens = (int)o->max_new_tokens;
    if (!new_tokens)
        new_tokens = o->ops->max_new_tokens_of ? o->ops->max_new_tokens_of(o->config) : o->ops->max_new_tokens;
    for (int i = 0; i < o->n && (n < 0 || i < n); i++) {
        struct dataset_item item = {0};
        int bad = o->ops->item(self, i, (uint64_t)o->seed, new_tokens, &item, e) || print_item(&c, &item, i, e);
        dataset_item_fini(&item);
        if (bad)
            goto out;
    }
    rc = 0;
out:
    o->ops->close(self);
    model_close(m);
    return rc;
}

static int set_param(const struct options *o, const char *text, struct err *e)
{
    struct str owner = {0}, see = {0};
    str_addf(&owner, "task '%s'", o->ops->name);
    str_addf(&see, "describe %s", o->ops->name);
    int rc = cli_param(dataset_params(o->ops), o->config, owner.p, see.p, text, e);
    str_free(&owner);
    str_free(&see);
    return rc;
}

/* A parameter without default must be given. */
static int check_required(const struct options *o, const char *const *param, int n_param, struct err *e)
{
    for (const struct param *p = dataset_params(o->ops); p && p->name; p++) {
        int given = p->dflt != NULL;
        for (int i = 0; i < n_param; i++)
            given |= strncmp(param[i], p->name, strlen(p->name)) == 0 && param[i][strlen(p->name)] == '=';
        if (!given)
            return err_set(e, ERR_USAGE, "task '%s': parameter '%s' is required: --param %s=...", o->ops->name, p->name,
                           p->name);
    }
    return 0;
}

static int find_task(const char *name, struct options *o)
{
    const char *names[256];
    int n = dataset_count() < 256 ? dataset_count() : 256;
    for (int i = 0; i < n; i++)
        names[i] = dataset_at(i)->name;
    o->ops = dataset_find(name);
    if (o->ops)
        return 0;
    return cli_usage("samples", "task '%s' unknown%s", name, str_did_you_mean(name, names, n));
}

/* With the task's parameters as they were typed. */
static int samples_of(struct options *o, const char *const *param, int n_param, struct err *e)
{
    if (experiment_template_of(o->template_text ? o->template_text : "raw", &o->around, e))
        return -1;
    o->config = mem_new(1, dataset_config_size(o->ops));
    param_defaults(dataset_params(o->ops), o->config);
    for (int i = 0; i < n_param; i++)
        if (set_param(o, param[i], e))
            return -1;
    return check_required(o, param, n_param, e) || samples(o, e) ? -1 : 0;
}

int cmd_samples(int argc, char **argv)
{
    enum { SEED = 256, PARAM, NEW_TOKENS, CHAT, TEMPLATE, MAX_PARAM = 32 };
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'},
        {"seed", required_argument, NULL, SEED},
        {"param", required_argument, NULL, PARAM},
        {"max-new-tokens", required_argument, NULL, NEW_TOKENS},
        {"chat", no_argument, NULL, CHAT},
        {"template", required_argument, NULL, TEMPLATE},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.n = 3, .seed = 1};
    const char *param[MAX_PARAM];
    int c, start = 1, bad = 0, n_param = 0;
    struct err e = {0};
    while (!bad && (c = cli_option(argc, argv, ":hm:n:", longs, &start)) != -1) {
        switch (c) {
        case 'h': quote_show_lines(stdout, help); return CLI_OK;
        case 'm': o.model = optarg; break;
        case 'n': bad = cli_int("samples", "-n", optarg, 1, 1000000, &o.n); break;
        case SEED: bad = cli_int("samples", "--seed", optarg, 0, INT64_MAX, &o.seed); break;
        case NEW_TOKENS: bad = cli_int("samples", "--max-new-tokens", optarg, 1, 1000000, &o.max_new_tokens); break;
        case CHAT:
            o.template_text = "chat";
            o.typed = "--chat (--template chat)";
            break;
        case TEMPLATE:
            o.template_text = optarg;
            o.typed = "--template";
            break;
        case PARAM:
            if (n_param == MAX_PARAM)
                return cli_usage("samples", "more than %d --param", MAX_PARAM);
            param[n_param++] = optarg;
            break;
        default: return cli_bad_option("samples", c, argv, longs);
        }
    }
    if (bad)
        return CLI_USAGE;
    if (optind + 1 != argc)
        return cli_usage("samples", "expected one TASK");
    if (!o.model)
        return cli_usage("samples", "-m MODEL is missing");
    if (find_task(argv[optind], &o))
        return CLI_USAGE;
    int rc = samples_of(&o, param, n_param, &e) ? cli_fail(&e) : CLI_OK;
    experiment_fini(&o.around);
    if (o.config)
        param_fini(dataset_params(o.ops), o.config);
    mem_free(o.config);
    return rc;
}
