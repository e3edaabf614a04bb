/* `depthkv list` and `depthkv describe`: what there is, from the same tables that parsing reads. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "harness/cli.h"
#include "harness/experiment.h"

static const char list_help[] = "List what there is.\n\nusage: depthkv list [policies|allocators|heads|tasks|metrics]\n";
static const char describe_help[] = "Print the parameters of a policy, allocator, task or metric.\n\nusage: depthkv describe NAME\n";

static int help_asked(int argc, char **argv, const char *help, int *rc)
{
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    int c;
    optind = 1;
    while ((c = getopt_long(argc, argv, "h", longs, NULL)) != -1) {
        if (c == 'h')
            fputs(help, stdout);
        *rc = c == 'h' ? CLI_OK : cli_usage(argv[0], "that option is not known");
        return 1;
    }
    return 0;
}

static void line(const char *name, const char *summary)
{
    printf("  %-18s %s\n", name, summary);
}

int cmd_list(int argc, char **argv)
{
    static const char *const kinds[] = {"policies", "allocators", "heads", "tasks", "metrics"};
    int rc, found = 0;
    if (help_asked(argc, argv, list_help, &rc))
        return rc;
    const char *only = optind < argc ? argv[optind] : NULL;
    for (int k = 0; k < 5; k++) {
        if (only && strcmp(only, kinds[k]) != 0)
            continue;
        found = 1;
        printf("%s\n", kinds[k]);
        for (int i = 0; k == 0 && i < policy_count(); i++)
            line(policy_at(i)->name, policy_at(i)->summary);
        for (int i = 0; k == 1 && i < allocator_count(); i++)
            line(allocator_at(i)->name, allocator_at(i)->summary);
        if (k == 2) {
            line("uniform", "every KV head its own top entries");
            line("shared", "all heads of a layer keep the same positions");
        }
        for (int i = 0; k == 3 && i < dataset_count(); i++)
            line(dataset_at(i)->name, dataset_at(i)->summary);
        for (int i = 0; k == 4 && i < metric_count(); i++)
            line(metric_at(i)->name, metric_at(i)->summary);
    }
    if (!found) {
        const char *near = str_nearest(only, kinds, 5);
        return cli_usage("list", "'%s' unknown%s%s%s", only, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
    }
    return CLI_OK;
}

static void print_params(const struct param *p)
{
    if (!p || !p->name)
        puts("parameters: none");
    else
        puts("parameters:");
    for (; p && p->name; p++) {
        struct str domain = {0};
        param_domain(p, &domain);
        printf("  %-16s %s\n  %-16s   %s; default: %s\n", p->name, p->help, "", str_c(&domain), p->dflt ? p->dflt : "required");
        str_free(&domain);
    }
}

int cmd_describe(int argc, char **argv)
{
    int rc, n = 0;
    const char *names[256];
    if (help_asked(argc, argv, describe_help, &rc))
        return rc;
    if (argc - optind != 1)
        return cli_usage("describe", "expected one NAME");
    const char *name = argv[optind];
    const struct policy_ops *p = policy_find(name);
    const struct allocator_ops *a = allocator_find(name);
    const struct dataset_ops *d = dataset_find(name);
    const struct metric_ops *m = metric_find(name);
    if (p) {
        printf("policy %s: %s\nsource: %s\nhead_budget: %s\n", p->name, p->summary, p->paper, p->head_budget);
        print_params(p->params);
    }
    if (a) {
        printf("layer_budget %s: %s\nsource: %s\n", a->name, a->summary, a->paper);
        print_params(a->params);
    }
    if (d) {
        printf("task %s: %s\nsource: %s\nversion %d, max_new_tokens %d, metric %s\n", d->name, d->summary, d->source, d->version,
               d->max_new_tokens, d->metric);
        print_params(d->params);
    }
    if (m)
        printf("metric %s: %s\nsource: %s\nunit: %s, %s is better\n", m->name, m->summary, m->source, m->unit,
               m->higher_is_better ? "higher" : "lower");
    if (p || a || d || m)
        return CLI_OK;
    for (int i = 0; i < policy_count() && n < 256; i++)
        names[n++] = policy_at(i)->name;
    for (int i = 0; i < allocator_count() && n < 256; i++)
        names[n++] = allocator_at(i)->name;
    for (int i = 0; i < dataset_count() && n < 256; i++)
        names[n++] = dataset_at(i)->name;
    for (int i = 0; i < metric_count() && n < 256; i++)
        names[n++] = metric_at(i)->name;
    const char *near = str_nearest(name, names, n);
    return cli_usage("describe", "'%s' unknown%s%s%s", name, near ? "; did you mean '" : "", near ? near : "", near ? "'?" : "");
}
