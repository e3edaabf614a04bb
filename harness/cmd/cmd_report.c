/* `depthkv report`: tables and plots from stored rows; nothing is run again. */
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/leave.h"
#include "harness/base/quote.h"
#include "harness/cmd/cli.h"
#include "harness/report/aggregate.h"
#include "harness/report/beside.h"
#include "harness/report/pool.h"
#include "harness/report/report.h"

static const char help[] =
    "Rebuild cells.csv, tables, plots and index.html from stored rows, and print the tables. Where the experiment has\n"
    "`report: {beside: ...}`, published figures follow beside ours.\n\n"
    "usage: depthkv report DIR... [-o OUT]\n"
    "       depthkv report DIR... --pool\n"
    "       depthkv report DIR... --pair A,B [--measure NAME] [--below KEEP] [--json]\n\n"
    "  -o, --output OUT write into this folder, and leave DIR as it is; DIR may then hold cells.csv alone\n"
    "  --pool           print only one table of all cells, pooled over tasks\n"
    "  --pair A,B       print only the paired difference of policy A minus policy B, over all budgets and\n"
    "                   tasks that both have; seeds averaged, whole contexts resampled\n"
    "  --measure NAME   score, nll, kl, top1 or kl_max (default kl)\n"
    "  --below KEEP     only budgets that keep less than this fraction (default 1)\n"
    "  --json           with --pair: one JSON object a folder\n\n"
    "examples:\n"
    "  depthkv report results/quickstart\n"
    "  depthkv report results/quickstart --pair random,snapkv --below 0.5\n";

struct options {
    char a[64], b[64];
    int pair, pool, json;
    const char *out;
    enum column_id measure;
    double below;
};

static int parse_pair(struct options *o, const char *text)
{
    const char *comma = strchr(text, ',');
    size_t n = comma ? (size_t)(comma - text) : 0;
    if (!n || n >= sizeof o->a || !comma[1] || strlen(comma + 1) >= sizeof o->b)
        return cli_usage("report", "--pair: expected two policies as random,snapkv, found '%s'", text);
    memcpy(o->a, text, n);
    o->a[n] = '\0';
    snprintf(o->b, sizeof o->b, "%s", comma + 1);
    o->pair = 1;
    return 0;
}

static int parse_measure(struct options *o, const char *text)
{
    const char *known[COLUMN_END];
    int n = 0;
    o->measure = columns_find_measure(text);
    if (o->measure != COLUMN_END)
        return 0;
    for (int m = 0; m < COLUMN_END; m++)
        if (columns_is_measure((enum column_id)m))
            known[n++] = columns_name((enum column_id)m);
    return cli_usage("report", "--measure: '%s' unknown%s", text, str_did_you_mean(text, known, n));
}

static void print_pair_json(const struct options *o, const char *dir, const struct stats_paired *p, int n_budget)
{
    struct str s = {0};
    const struct {
        const char *key;
        double value;
    } number[] = {{"diff", p->diff}, {"se", p->se}, {"lo", p->lo}, {"hi", p->hi}, {"p", p->p}, {"below", o->below}};
    str_add(&s, "{\"dir\":");
    str_add_json(&s, dir, strlen(dir));
    str_addf(&s, ",\"measure\":\"%s\",\"a\":", columns_name(o->measure));
    str_add_json(&s, o->a, strlen(o->a));
    str_add(&s, ",\"b\":");
    str_add_json(&s, o->b, strlen(o->b));
    for (size_t i = 0; i < sizeof number / sizeof *number; i++) {
        str_addf(&s, ",\"%s\":", number[i].key);
        str_add_json_double(&s, number[i].value);
    }
    str_addf(&s, ",\"contexts\":%d,\"n\":%d,\"budgets\":%d}", p->n_unit, p->n, n_budget);
    quote_show_lines(stdout, s.p);
    quote_show(stdout, "\n");
    str_free(&s);
}

static void print_pair_text(const struct options *o, const char *dir, const struct stats_paired *p, int n_budget)
{
    const char *why = stats_why_no_interval(p->lo, p->hi, p->n_unit);
    quote_show(stdout, "%s: %s of %s - %s: %+.4g, 95 %% interval ", dir, columns_name(o->measure), o->a, o->b, p->diff);
    if (why)
        quote_show(stdout, "n/a (%s)", why);
    else
        quote_show(stdout, "[%+.4g, %+.4g]", p->lo, p->hi);
    if (isfinite(p->p))
        quote_show(stdout, ", p = %.4g", p->p);
    else
        quote_show(stdout, ", p n/a");
    quote_show(stdout, ", %d pairs in %d contexts, %d budgets below %g\n", p->n, p->n_unit, n_budget, o->below);
}

static int print_pair(const struct options *o, const char *dir, struct err *e)
{
    struct aggregate a;
    struct stats_paired p;
    int n_budget;
    struct message_list told = {0};
    if (aggregate_load(dir, &a, e))
        return -1;
    aggregate_tell(&a, &told);
    message_show(&told, dir, stderr);
    message_list_free(&told);
    int rc = aggregate_pair(&a, o->a, o->b, o->measure, o->below, &p, &n_budget, e);
    if (rc == 0 && o->json)
        print_pair_json(o, dir, &p, n_budget);
    else if (rc == 0)
        print_pair_text(o, dir, &p, n_budget);
    aggregate_free(&a);
    return rc;
}

static int print_text(const char *dir, int (*make)(const char *dir, struct quote *out, struct err *e), struct err *e)
{
    struct quote text = {.language = QUOTE_MARKDOWN};
    int rc = make(dir, &text, e);
    if (rc == 0)
        quote_print(&text, stdout);
    quote_free(&text);
    return rc;
}

/* Everything: what the folder gets, and what is printed. */
static int rebuild(const char *dir, const char *out, struct message_list *messages, struct err *e)
{
    return report_write_to(dir, out ? out : dir, messages, e) || report_print(out ? out : dir, stdout, e) ||
                   print_text(dir, beside_markdown, e)
               ? -1
               : 0;
}

int cmd_report(int argc, char **argv)
{
    enum { PAIR = 256, POOL, MEASURE, BELOW, JSON };
    static const struct option longs[] = {{"help", no_argument, NULL, 'h'},
                                          {"output", required_argument, NULL, 'o'},
                                          {"pair", required_argument, NULL, PAIR},
                                          {"pool", no_argument, NULL, POOL},
                                          {"measure", required_argument, NULL, MEASURE},
                                          {"below", required_argument, NULL, BELOW},
                                          {"json", no_argument, NULL, JSON},
                                          {NULL, 0, NULL, 0}};
    struct options o = {.measure = COLUMN_KL, .below = 1};
    struct err e = {0};
    int c, start = 1, bad = 0;
    while (!bad && (c = cli_option(argc, argv, ":ho:", longs, &start)) != -1)
        switch (c) {
        case 'h': quote_show_lines(stdout, help); return CLI_OK;
        case 'o': o.out = optarg; break;
        case PAIR: bad = parse_pair(&o, optarg); break;
        case POOL: o.pool = 1; break;
        case MEASURE: bad = parse_measure(&o, optarg); break;
        case JSON: o.json = 1; break;
        case BELOW:
            if (str_to_double(optarg, &o.below) || !(o.below > 0))
                bad = cli_usage("report", "--below: expected a fraction above 0, found '%s'", optarg);
            break;
        default: bad = cli_bad_option("report", c, argv, longs);
        }
    if (bad)
        return CLI_USAGE;
    if (optind == argc)
        return cli_usage("report", "expected a result folder");
    if (o.out && (o.pair || o.pool || argc - optind > 1))
        return cli_usage("report", "-o is for the whole report of one folder");
    if (o.json && !o.pair)
        return cli_usage("report", "--json goes with --pair; cells.csv and rows.jsonl have all numbers");
    leave_when_asked(); /* which ends what draws the plots, too */
    for (; optind < argc && !bad; optind++) {
        struct message_list messages = {0};
        bad = o.pair   ? print_pair(&o, argv[optind], &e)
              : o.pool ? print_text(argv[optind], pool_markdown, &e)
                       : rebuild(argv[optind], o.out, &messages, &e);
        message_show(&messages, argv[optind], stderr);
        message_list_free(&messages);
    }
    return bad ? cli_fail(&e) : CLI_OK;
}
