#include "harness/cmd/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/param.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/experiment/experiment.h"
#include "models/kernels_bf16.h"
#include "models/transformer.h"

int cli_fail(const struct err *e)
{
    quote_show(stderr, "depthkv: %s\n", e->msg);
    if (e->code == ERR_INTERRUPTED)
        return CLI_INTERRUPTED;
    return e->code == ERR_NOMEM || e->code == ERR_POLICY || e->code == ERR_WRITE ? CLI_FAILED : CLI_USAGE;
}

int cli_usage(const char *sub, const char *fmt, ...)
{
    va_list ap;
    quote_show(stderr, "depthkv %s: ", sub);
    va_start(ap, fmt);
    quote_vshow(stderr, fmt, ap);
    va_end(ap);
    quote_show(stderr, " (see: depthkv %s -h)\n", sub);
    return CLI_USAGE;
}

int cli_option(int argc, char **argv, const char *shorts, const struct option *longs, int *start)
{
    if (*start) {
        optind = 1;
        opterr = 0;
        *start = 0;
    }
    return getopt_long(argc, argv, shorts, longs, NULL);
}

int cli_bad_option(const char *sub, int c, char **argv, const struct option *longs)
{
    enum { MAX_OPTION = 32 };
    const char *text = argv[optind - 1];
    char name[MAX_OPTION][40], *given;
    const char *known[MAX_OPTION];
    int n = 0, is_long = strncmp(text, "--", 2) == 0;
    if (c == ':')
        return cli_usage(sub, "option '%s' lacks its value", text);
    if (optopt && is_long && strchr(text, '='))
        return cli_usage(sub, "option '%.*s' takes no value", (int)strcspn(text, "="), text);
    if (optopt || !is_long)
        return cli_usage(sub, "unknown option '-%c'", optopt);
    for (; longs[n].name && n < MAX_OPTION; n++) {
        snprintf(name[n], sizeof name[n], "--%s", longs[n].name);
        known[n] = name[n];
    }
    given = mem_strndup(text, strcspn(text, "="));
    cli_usage(sub, "unknown option '%s'%s", given, str_did_you_mean(given, known, n));
    mem_free(given);
    return CLI_USAGE;
}

int cli_int(const char *sub, const char *option, const char *text, int64_t min, int64_t max, int64_t *out)
{
    int64_t v;
    if (str_to_int64(text, &v) || v < min || v > max) {
        cli_usage(sub, "%s: expected a whole number in [%lld, %lld], found '%s'", option, (long long)min,
                  (long long)max, text);
        return -1;
    }
    *out = v;
    return 0;
}

int cli_threads(const char *sub, const char *text)
{
    int64_t n;
    if (cli_int(sub, "--threads", text, 1, 1024, &n))
        return -1;
    transformer_set_threads((int)n);
    return 0;
}

int cli_add_set(const char *sub, struct cli_set *s, const char *text)
{
    if (s->n == CLI_MAX_SET) {
        cli_usage(sub, "more than %d --set", CLI_MAX_SET);
        return -1;
    }
    s->text[s->n++] = text;
    return 0;
}

void cli_warn(const char *lines)
{
    for (const char *p = lines; *p;) {
        size_t n = strcspn(p, "\n");
        quote_show(stderr, "warning: %.*s\n", (int)n, p);
        p += n + (p[n] == '\n');
    }
}

/* What the environment says of bf16 arithmetic is looked at before work begins that would end with its refusal. */
static int check_arithmetic(const struct experiment *x, struct err *e)
{
    for (int c = 0; c < x->n_cell; c++)
        if (x->cell[c].arithmetic == MODEL_BF16 && kernels_bf16_check(e))
            return err_wrap(e, "%s:%d: arithmetic: bf16", x->path, x->cell[c].line);
    return 0;
}

int cli_load(const char *path, const char *yaml, const struct cli_set *s, int64_t limit, struct experiment *x)
{
    struct str errors = {0};
    struct err e = {0};
    int rc = yaml ? experiment_load_text(path, yaml, s->text, s->n, (int)limit, x, &errors, &e)
                  : experiment_load(path, s->text, s->n, (int)limit, x, &errors, &e);
    if (rc && errors.n)
        quote_show_lines(stderr, errors.p);
    else if (rc)
        cli_fail(&e);
    if (rc == 0 && check_arithmetic(x, &e)) {
        rc = cli_fail(&e);
        experiment_fini(x);
    }
    if (rc == 0)
        cli_warn(str_c(&x->unused));
    str_free(&errors);
    return rc ? -1 : 0;
}

int cli_param(const struct param *table, void *config, const char *owner, const char *see, const char *text,
              struct err *e)
{
    enum { MAX_KNOWN = 64 };
    const char *eq = strchr(text, '=');
    if (!eq)
        return err_set(e, ERR_USAGE, "--param: expected NAME=VALUE, found '%s'", text);
    char *name = mem_strndup(text, (size_t)(eq - text));
    const struct param *p = param_find(table, name);
    const char *value = eq + 1, *known[MAX_KNOWN];
    int n = 0, rc;
    for (const struct param *k = table; k && k->name && n < MAX_KNOWN; k++)
        known[n++] = k->name;
    if (p)
        rc = param_set(p, config, &value, 1, e);
    else
        rc = err_set(e, ERR_USAGE, "%s has no parameter '%s'%s (see: depthkv %s)", owner, name,
                     str_did_you_mean(name, known, n), see);
    mem_free(name);
    return rc;
}
