/* `depthkv list` and `depthkv describe`: what there is, from the same tables that parsing reads. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/cmd/cli.h"
#include "harness/cmd/describe_model.h"
#include "harness/experiment/conf.h"
#include "harness/experiment/experiment.h"
#include "harness/experiment/experiment_find.h"

static const char list_help[] =
    "List what there is.\n\nusage: depthkv list "
    "[policies|allocators|heads|prefill|decode|positions|tasks|metrics] [--json]\n"
    "       depthkv list experiments [--json]\n\n"
    "Without a word, everything but experiments: those that come with depthkv, each with the\n"
    "question that it asks. Their names stand for their files: depthkv run demo\n"
    "metrics are those of text; metrics of layers: depthkv metrics -h\n\n"
    "  --json   one JSON object a line: kind, name, summary\n";
static const char describe_help[] =
    "Print what a policy, allocator, head rule, mode, task or metric is, and its parameters; or what a model file\n"
    "holds: layers and windows, sizes, tokenizer, source, parameters, bytes in memory, and bytes of its cache.\n\n"
    "usage: depthkv describe NAME [--json]\n"
    "       depthkv describe MODEL.h5 [--json]\n\n"
    "  --json   one JSON object a line, one line for each kind that has a NAME\n";

/* -h and --json, and one word at most; 1 when *rc is the command's exit code already. */
static int parse(int argc, char **argv, const char *help, int *json, int *rc)
{
    enum { JSON = 256 };
    static const struct option longs[] = {
        {"help", no_argument, NULL, 'h'}, {"json", no_argument, NULL, JSON}, {NULL, 0, NULL, 0}};
    int c, start = 1;
    while ((c = cli_option(argc, argv, ":h", longs, &start)) != -1) {
        if (c == JSON) {
            *json = 1;
            continue;
        }
        if (c == 'h')
            quote_show_lines(stdout, help);
        *rc = c == 'h' ? CLI_OK : cli_bad_option(argv[0], c, argv, longs);
        return 1;
    }
    return 0;
}

/* One thing that has a name, whatever its kind. */
struct thing {
    const char *kind, *name, *summary, *source;
    const struct param *params;
    struct str more; /* lines of facts beside the parameters, as "key: value\n" */
};

enum kind { POLICIES, ALLOCATORS, HEADS, PREFILL, DECODE, POSITIONS, TASKS, METRICS, N_KIND };
static const char *const kinds[] = {"policies",  "allocators", "heads",   "prefill",    "decode",
                                    "positions", "tasks",      "metrics", "experiments"}; /* [N_KIND]: files */

static const struct mode positions[] = {
    {"original", "kept keys stay rotated to where their tokens stood", NULL, 0},
    {"packed", "kept entries are numbered anew, per layer and KV head; new tokens follow them", NULL, 0},
    {0},
};

static const struct mode *modes_of(enum kind kind)
{
    return kind == PREFILL ? experiment_prefills : kind == DECODE ? experiment_decodes : positions;
}

static int count(enum kind kind)
{
    int n = 0;
    switch (kind) {
    case POLICIES: return policy_count();
    case ALLOCATORS: return allocator_count();
    case TASKS: return dataset_count();
    case METRICS: return metric_count();
    case HEADS: return head_count();
    default:
        while (modes_of(kind)[n].name)
            n++;
        return n;
    }
}

static void get(enum kind kind, int i, struct thing *t)
{
    *t = (struct thing){0};
    if (kind == POLICIES) {
        const struct policy_ops *p = policy_at(i);
        *t = (struct thing){"policy", p->name, p->summary, p->paper, p->params, {0}};
        str_addf(&t->more, "head_budget: %s\n", p->head_budget);
    } else if (kind == ALLOCATORS) {
        const struct allocator_ops *a = allocator_at(i);
        *t = (struct thing){"layer_budget", a->name, a->summary, a->paper, a->params, {0}};
    } else if (kind == HEADS) {
        const struct head_ops *h = head_at(i);
        *t = (struct thing){"head_budget", h->name, h->summary, h->paper, NULL, {0}};
    } else if (kind == TASKS) {
        const struct dataset_ops *d = dataset_at(i);
        *t = (struct thing){"task", d->name, d->summary, d->source, dataset_params(d), {0}};
        str_addf(&t->more, "version: %d\nmax_new_tokens: %d\nmetric: %s\n", d->version, d->max_new_tokens, d->metric);
    } else if (kind != METRICS) {
        const struct mode *m = &modes_of(kind)[i];
        *t = (struct thing){kinds[kind], m->name, m->summary, "none", m->params, {0}};
    } else {
        const struct metric_ops *m = metric_at(i);
        *t = (struct thing){"metric", m->name, m->summary, m->source, NULL, {0}};
        str_addf(&t->more, "unit: %s\nbetter: %s\n", m->unit, m->higher_is_better ? "higher" : "lower");
    }
}

static void add_field(struct str *s, const char *key, const char *text)
{
    str_addf(s, "%s\"%s\":", s->n && s->p[s->n - 1] != '{' ? "," : "", key);
    str_add_json(s, text, strlen(text));
}

static void print_json(const struct thing *t, int all)
{
    struct str s = {0};
    str_addc(&s, '{');
    add_field(&s, "kind", t->kind);
    add_field(&s, "name", t->name);
    add_field(&s, "summary", t->summary);
    if (all) {
        add_field(&s, "source", t->source);
        for (const char *p = str_c(&t->more); *p; p += strcspn(p, "\n") + 1) {
            size_t key = strcspn(p, ":");
            str_addf(&s, ",\"%.*s\":", (int)key, p);
            str_add_json(&s, p + key + 2, strcspn(p, "\n") - key - 2);
        }
        str_add(&s, ",\"parameters\":[");
        for (const struct param *p = t->params; p && p->name; p++) {
            struct str domain = {0};
            param_domain(p, &domain);
            str_add(&s, p == t->params ? "{" : ",{");
            add_field(&s, "name", p->name);
            add_field(&s, "help", p->help);
            add_field(&s, "domain", str_c(&domain));
            if (p->dflt)
                add_field(&s, "default", p->dflt);
            else
                str_add(&s, ",\"default\":null");
            str_addc(&s, '}');
            str_free(&domain);
        }
        str_addc(&s, ']');
    }
    str_addc(&s, '}');
    quote_show_lines(stdout, s.p);
    quote_show(stdout, "\n");
    str_free(&s);
}

static void print_params(const struct param *p)
{
    quote_show(stdout, "%s\n", p && p->name ? "parameters:" : "parameters: none");
    for (; p && p->name; p++) {
        struct str domain = {0};
        param_domain(p, &domain);
        const char *dflt = !p->dflt ? "required" : *p->dflt ? p->dflt : "none";
        const char *quote = strspn(dflt, " ") == strlen(dflt) ? "'" : ""; /* a blank is seen only between quotes */
        quote_show(stdout, "  %-16s %s\n  %-16s   %s; default: %s%s%s\n", p->name, p->help, "", str_c(&domain), quote,
                   dflt, quote);
        str_free(&domain);
    }
}

enum { NAME_WIDTH = 18 };

static void print_thing(const struct thing *t, int width, int json)
{
    if (json)
        print_json(t, 0);
    else
        quote_show(stdout, "  %-*s %s\n", width, t->name, t->summary);
}

/* Those that come with the program; what an experiment asks is its first comment. */
static int list_experiments(int json)
{
    int n, width = NAME_WIDTH;
    char *folder = experiment_find_folder(), **name = experiment_find_all(&n);
    for (int i = 0; i < n; i++)
        width = (int)strlen(name[i]) > width ? (int)strlen(name[i]) : width;
    if (!json)
        quote_show(stdout, "experiments of %s\n", folder);
    for (int i = 0; i < n; i++) {
        size_t size;
        char *path = experiment_find_path(folder, name[i]), *text = fs_read(path, &size, NULL);
        char *question = text ? conf_first_comment(text) : mem_strdup("");
        struct thing t = {.kind = "experiment", .name = name[i], .summary = question};
        print_thing(&t, width, json);
        mem_free(question);
        mem_free(text);
        mem_free(path);
    }
    experiment_find_free(name, n);
    mem_free(folder);
    return CLI_OK;
}

int cmd_list(int argc, char **argv)
{
    int rc, json = 0, found = 0;
    if (parse(argc, argv, list_help, &json, &rc))
        return rc;
    const char *only = optind < argc ? argv[optind] : NULL;
    if (argc - optind > 1)
        return cli_usage("list", "one kind at a time; '%s' is too much", argv[optind + 1]);
    if (only && strcmp(only, kinds[N_KIND]) == 0)
        return list_experiments(json);
    for (int k = 0; k < N_KIND; k++) {
        if (only && strcmp(only, kinds[k]) != 0)
            continue;
        found = 1;
        if (!json)
            quote_show(stdout, "%s\n", kinds[k]);
        for (int i = 0; i < count(k); i++) {
            struct thing t;
            get(k, i, &t);
            print_thing(&t, NAME_WIDTH, json);
            str_free(&t.more);
        }
    }
    return found ? CLI_OK : cli_usage("list", "'%s' unknown%s", only, str_did_you_mean(only, kinds, N_KIND + 1));
}

int cmd_describe(int argc, char **argv)
{
    int rc, json = 0, found = 0, n = 0;
    const char *names[256];
    if (parse(argc, argv, describe_help, &json, &rc))
        return rc;
    if (argc - optind != 1)
        return cli_usage("describe", "expected one NAME, or one MODEL.h5");
    const char *name = argv[optind];
    for (int k = 0; k < N_KIND; k++)
        for (int i = 0; i < count(k); i++) {
            struct thing t;
            get(k, i, &t);
            if (n < 256)
                names[n++] = t.name;
            if (strcmp(t.name, name) == 0 && json) {
                print_json(&t, 1);
            } else if (strcmp(t.name, name) == 0) {
                if (found)
                    quote_show(stdout, "\n");
                quote_show(stdout, "%s %s: %s\nsource: %s\n", t.kind, t.name, t.summary, t.source);
                quote_show_lines(stdout, str_c(&t.more));
                print_params(t.params);
            }
            found += strcmp(t.name, name) == 0;
            str_free(&t.more);
        }
    if (!found && describe_model_is_meant(name))
        return describe_model(name, json);
    return found ? CLI_OK : cli_usage("describe", "'%s' unknown%s", name, str_did_you_mean(name, names, n));
}
