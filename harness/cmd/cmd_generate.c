/* `depthkv generate`: continues a prompt with the full cache, greedily. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/clock.h"
#include "harness/base/h5.h"
#include "harness/base/leave.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/cmd/cli.h"
#include "harness/engine/decode.h"
#include "harness/engine/encode.h"
#include "harness/engine/prefill.h"
#include "harness/experiment/experiment.h"
#include "harness/run/open_model.h"

static const char help[] =
    "Continue a prompt, greedily, with the full cache.\n\n"
    "usage: depthkv generate -m MODEL [options] PROMPT\n"
    "       depthkv generate -m MODEL [options] < FILE\n\n"
    "  -m MODEL             model file\n"
    "  -n N                 at most N new tokens (default 64)\n"
    "  -c, --chat           put the prompt into the model's chat template\n"
    "  --template TEXT      put it into what may stand behind template: in an experiment: raw, chat,\n"
    "                       {chat: {system: ...}}, or pieces\n"
    "  --show-tokens        print the prompt's and the output's tokens, one a line: index, id, text\n"
    "  --weight-dtype bf16  hold weights as bf16 (default f32)\n"
    "  --arithmetic bf16    products in bf16 (default f32); weights are then held so\n"
    "  --cache-dtype bf16   hold keys and values as bf16 (default f32)\n"
    "  --logits FILE        write an HDF5 file with what every token of the prompt predicts: logits, float32\n"
    "                       [tokens][vocabulary], and token, int32 [tokens]\n"
    "  --reference          use the reference kernels (slow: plain loops, double precision)\n"
    "  --threads N          threads\n\n"
    "examples:\n"
    "  depthkv generate -m model.h5 'The capital of France is'\n"
    "  depthkv generate -m model.h5 -c --show-tokens 'What is a cache?'\n"
    "  depthkv generate -m model.h5 -n 1 --arithmetic bf16 --logits bf16.h5 < text\n"
    "  depthkv generate -m model.h5 --template '{user: [\"Q: \", \"\\n\"], assistant: \"A:\"}' 'What is a cache?'\n";

struct options {
    const char *model, *template_text;
    const char *typed;  /* the option that asked for the template */
    const char *logits; /* file that gets them; NULL: none asked for */
    enum model_dtype weight_dtype, arithmetic, cache_dtype;
    struct experiment around; /* its template, which stands around the prompt */
    int64_t n;
    int show, reference;
};

static void show_tokens(const struct tokenizer *t, const char *what, const int32_t *id, int n)
{
    for (int i = 0; i < n; i++) {
        struct str s = {0}, quoted = {0};
        tokenizer_decode(t, &id[i], 1, 1, &s);
        str_add_json(&quoted, str_c(&s), s.n);
        quote_show(stdout, "%s %d %d %s\n", what, i, id[i], quoted.p);
        str_free(&s);
        str_free(&quoted);
    }
}

/* The prompt's tokens, which must leave room for those that are asked for. */
static int encode(const struct options *o, const struct model *m, const struct dataset_item *item, struct prompt *p,
                  struct err *e)
{
    struct encode_context ec = {.model = m};
    if (!m->tokenizer)
        return err_set(e, ERR_CONFIG, "%s holds no tokenizer", o->model);
    if (experiment_pieces(&o->around, m->tokenizer, &ec.pieces, e)) {
        err_wrap(e, "%s", o->typed);
        return -1;
    }
    if (encode_prompt(&ec, item, 0, p, e))
        return -1;
    if (p->ids.n + o->n > m->hp.context_length)
        return err_set(e, ERR_CONFIG, "a prompt of %d tokens + -n %lld exceed the model's context of %d", p->ids.n,
                       (long long)o->n, m->hp.context_length);
    return 0;
}

/* What every token of the prompt predicts, into a file: a pass of its own, since other logits are of its last token
 * alone.
 */
static int write_logits(const struct options *o, const struct model *m, struct workspace *w, const struct prompt *p,
                        struct err *e)
{
    const uint64_t dim[] = {(uint64_t)p->ids.n, (uint64_t)m->hp.n_vocab};
    struct forward_row *row = mem_try(dim[0], sizeof *row, "rows of a prompt", e);
    float *logits = row ? mem_try(dim[0] * dim[1], sizeof *logits, "logits of every token", e) : NULL;
    struct kvcache *cache[1] = {logits ? kvcache_create_held(&m->hp, o->cache_dtype, p->ids.n, e) : NULL};
    struct forward f = {.phase = o->reference ? FORWARD_REFERENCE : FORWARD_PREFILL,
                        .row = row,
                        .n_row = p->ids.n,
                        .cache = cache,
                        .n_cache = 1,
                        .logits = logits};
    for (int i = 0; row && i < p->ids.n; i++)
        row[i] = (struct forward_row){.token = p->ids.id[i], .pos = i, .want_logits = 1};
    int rc = cache[0] ? transformer_forward(m, w, &f, e) : -1;
    struct h5 *out = rc ? NULL : h5_open(o->logits, H5_MODE_CREATE, e);
    if (out && !h5_write(out, "/token", H5_TYPE_I32, 1, dim, p->ids.id, e) &&
        !h5_write(out, "/logits", H5_TYPE_F32, 2, dim, logits, e))
        rc = h5_close(out, e);
    else {
        h5_abandon(out);
        rc = -1;
    }
    kvcache_destroy(cache[0]);
    mem_free(logits);
    mem_free(row);
    return rc;
}

static void show(const struct options *o, const struct model *m, const struct prompt *p, const struct sequence *s,
                 double prefill_s, double decode_s)
{
    if (o->show) {
        show_tokens(m->tokenizer, "prompt", p->ids.id, p->ids.n);
        show_tokens(m->tokenizer, "output", s->out.id, s->out.n);
    } else {
        quote_show_lines(stdout, str_c(&s->text));
        quote_show(stdout, "\n");
    }
    quote_show(stderr, "prompt: %d tokens, %.2f s; output: %d tokens, %.2f s (%s)\n", p->ids.n, prefill_s, s->out.n,
               decode_s, s->finish_reason);
}

static int generate(const struct options *o, const char *text, size_t n_text, struct err *e)
{
    int rc = -1;
    struct dataset_question q = {.text = mem_strdup(""), .answer_prefix = mem_strdup("")};
    struct dataset_item item = {
        .context = mem_strndup(text, n_text), .n_context = n_text, .question = &q, .n_question = 1};
    struct prompt p = {0};
    struct sequence s = {0}, *run = &s;
    struct workspace *w = workspace_create();
    float *logits = NULL;
    struct model *m = open_model(o->model, o->weight_dtype, o->arithmetic, e);
    if (!m || encode(o, m, &item, &p, e) || (o->logits && write_logits(o, m, w, &p, e)))
        goto out;
    logits = mem_try((size_t)m->hp.n_vocab, sizeof *logits, "logits", e);
    s = (struct sequence){.n = p.ids.n, .first_logits = logits, .max_new_tokens = (int)o->n};
    s.cache = kvcache_create_held(&m->hp, o->cache_dtype, p.ids.n + (int)o->n, e);
    if (!logits || !s.cache)
        goto out;
    struct prefill read = {.model = m,
                           .work = w,
                           .token = p.ids.id,
                           .n = p.ids.n,
                           .cache = s.cache,
                           .want_logits = 1,
                           .logits = logits,
                           .phase = o->reference ? FORWARD_REFERENCE : FORWARD_PREFILL};
    double t0 = clock_seconds();
    if (prefill_run(&read, e))
        goto out;
    double t1 = clock_seconds();
    if (decode_greedy(m, w, &run, 1, NULL, e))
        goto out;
    show(o, m, &p, &s, t1 - t0, clock_seconds() - t1);
    rc = 0;
out:
    decode_sequence_fini(&s);
    encode_prompt_fini(&p);
    mem_free(logits);
    mem_free(item.context);
    mem_free(q.text);
    mem_free(q.answer_prefix);
    workspace_destroy(w);
    model_close(m);
    return rc;
}

static int parse_dtype(const char *option, const char *text, enum model_dtype *out)
{
    *out = strcmp(text, "bf16") == 0 ? MODEL_BF16 : MODEL_F32;
    return *out == MODEL_BF16 || strcmp(text, "f32") == 0
               ? 0
               : cli_usage("generate", "%s: expected f32 or bf16, found '%s'", option, text);
}

static void read_stdin(struct str *out)
{
    char buf[65536];
    size_t n;
    while ((n = fread(buf, 1, sizeof buf, stdin)) > 0)
        str_addn(out, buf, n);
}

int cmd_generate(int argc, char **argv)
{
    enum { SHOW = 256, REFERENCE, THREADS, TEMPLATE, WEIGHT_DTYPE, ARITHMETIC, CACHE_DTYPE, LOGITS };
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'},
        {"chat", no_argument, NULL, 'c'},
        {"template", required_argument, NULL, TEMPLATE},
        {"show-tokens", no_argument, NULL, SHOW},
        {"reference", no_argument, NULL, REFERENCE},
        {"threads", required_argument, NULL, THREADS},
        {"weight-dtype", required_argument, NULL, WEIGHT_DTYPE},
        {"arithmetic", required_argument, NULL, ARITHMETIC},
        {"cache-dtype", required_argument, NULL, CACHE_DTYPE},
        {"logits", required_argument, NULL, LOGITS},
        {NULL, 0, NULL, 0},
    };
    struct options o = {.n = 64};
    struct str text = {0};
    struct err e = {0};
    int c, start = 1;
    while ((c = cli_option(argc, argv, ":hm:n:c", longs, &start)) != -1) {
        switch (c) {
        case 'h': quote_show_lines(stdout, help); return CLI_OK;
        case 'm': o.model = optarg; break;
        case 'n':
            if (cli_int("generate", "-n", optarg, 1, 1000000, &o.n))
                return CLI_USAGE;
            break;
        case 'c':
            o.template_text = "chat";
            o.typed = "-c (--template chat)";
            break;
        case TEMPLATE:
            o.template_text = optarg;
            o.typed = "--template";
            break;
        case SHOW: o.show = 1; break;
        case LOGITS: o.logits = optarg; break;
        case WEIGHT_DTYPE:
            if (parse_dtype("--weight-dtype", optarg, &o.weight_dtype))
                return CLI_USAGE;
            break;
        case CACHE_DTYPE:
            if (parse_dtype("--cache-dtype", optarg, &o.cache_dtype))
                return CLI_USAGE;
            break;
        case ARITHMETIC:
            if (parse_dtype("--arithmetic", optarg, &o.arithmetic))
                return CLI_USAGE;
            break;
        case REFERENCE: o.reference = 1; break;
        case THREADS:
            if (cli_threads("generate", optarg))
                return CLI_USAGE;
            break;
        default: return cli_bad_option("generate", c, argv, longs);
        }
    }
    if (o.arithmetic == MODEL_BF16)
        o.weight_dtype = MODEL_BF16;
    if (!o.model)
        return cli_usage("generate", "-m MODEL is missing");
    if (optind + 1 < argc)
        return cli_usage("generate", "one prompt at a time; quote it");
    if (experiment_template_of(o.template_text ? o.template_text : "raw", &o.around, &e)) {
        experiment_fini(&o.around);
        return cli_fail(&e);
    }
    if (optind < argc)
        str_add(&text, argv[optind]);
    else
        read_stdin(&text);
    leave_when_asked();
    int rc = generate(&o, str_c(&text), text.n, &e) ? cli_fail(&e) : CLI_OK;
    str_free(&text);
    experiment_fini(&o.around);
    return rc;
}
