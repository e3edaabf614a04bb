/* The modes of `prefill` and `decode`, which change the loop: how the prompt is read, what happens while decoding. */
#include <string.h>

#include "harness/experiment/experiment_int.h"

static const char *const budgets[] = {"seen", "final", NULL};

static const struct param chunked_params[] = {
    {"size", PARAM_INT, offsetof(struct chunking, size), "1024", 1, 1e8, NULL, "tokens of a chunk"},
    {"budget", PARAM_ENUM, offsetof(struct chunking, budget), "seen", 0, 0, budgets,
     "keep is a fraction of the tokens fed so far, or of the whole prompt"},
    {"carry", PARAM_BOOL, offsetof(struct chunking, carry), "true", 0, 0, NULL,
     "true: survivors keep their attention statistics; false: the last chunk's alone"},
    {0},
};

static const struct param interval_params[] = {
    {"every", PARAM_INT, offsetof(struct interval, every), NULL, 1, 1e8, NULL, "tokens fed between two cuts"},
    {0},
};

const struct mode experiment_prefills[] = {
    {"full", "the whole prompt attends to itself, then the cache is cut once", NULL, 0},
    {"chunked", "a cut after every chunk; later chunks see what is left", chunked_params, sizeof(struct chunking)},
    {0},
};

const struct mode experiment_decodes[] = {
    {"frozen", "the cut prompt stays as it is, new tokens are added", NULL, 0},
    {"evict", "every token fed after the cut evicts one entry: the budget is never exceeded", NULL, 0},
    {"interval", "cut back to the budget after every so many tokens", interval_params, sizeof(struct interval)},
    {0},
};

const char *const experiment_positions_names[] = {"original", "packed", NULL};
const char *const experiment_windows_names[] = {[WINDOWS_KEEP] = "keep", [WINDOWS_PRUNE] = "prune", NULL};
const char *const experiment_dtype_names[] = {"f32", "bf16", NULL};

static int find(const struct mode *table, const char *name, struct noun *out)
{
    for (; table->name; table++)
        if (strcmp(table->name, name) == 0) {
            *out = (struct noun){.ops = table,
                                 .name = table->name,
                                 .params = table->params,
                                 .config_size = table->config_size,
                                 .bare = table->params == interval_params};
            return 0;
        }
    return -1;
}

int experiment_find_prefill(const char *name, struct noun *out)
{
    return find(experiment_prefills, name, out);
}

int experiment_find_decode(const char *name, struct noun *out)
{
    return find(experiment_decodes, name, out);
}

static int has(const struct choices *c, const struct mode *dflt)
{
    for (int i = 0; i < c->n; i++)
        if (c->v[i].noun.ops != dflt)
            return 1;
    return 0;
}

void experiment_modes_check(struct load *l, const struct conf *block, const struct choices *policy,
                            const struct choices *allocator, const struct choices *prefill,
                            const struct choices *decode)
{
    int chunked = has(prefill, &experiment_prefills[0]), cuts = has(decode, &experiment_decodes[0]);
    for (int i = 0; i < policy->n; i++) {
        const struct policy_ops *p = policy->v[i].noun.ops;
        unsigned needs = policy_needs_of(p, policy->v[i].config);
        if (p->observe && (chunked || cuts))
            experiment_complain(
                l, block, policy->v[i].line,
                "policy '%s' watches attention rows with a memory of its own, which can't follow a cache that is "
                "cut several times: only prefill: full with decode: frozen",
                p->name);
        else if ((chunked || cuts) && statistic_first(needs, STATISTIC_OF_PROMPT))
            experiment_complain(
                l, block, policy->v[i].line,
                "policy '%s' reads %s on the full cache of the whole prompt: only prefill: full with decode: frozen",
                p->name, statistic_first(needs, STATISTIC_OF_PROMPT));
        else if (cuts && statistic_first(needs, STATISTIC_OF_PASS))
            experiment_complain(l, block, policy->v[i].line,
                                "policy '%s' needs %s, which is known of the prompt only: decode: frozen is expected",
                                p->name, statistic_first(needs, STATISTIC_OF_PASS));
    }
    for (int i = 0; i < allocator->n && chunked; i++) {
        const struct allocator_ops *a = allocator->v[i].noun.ops;
        if (a->observe || statistic_first(a->needs, STATISTIC_OF_PROMPT))
            experiment_complain(
                l, block, allocator->v[i].line,
                "layer_budget '%s' reads %s of the whole prompt, which a prompt that is cut after every chunk "
                "can't give: prefill: full is expected",
                a->name, a->observe ? "attention" : statistic_first(a->needs, STATISTIC_OF_PROMPT));
    }
}
