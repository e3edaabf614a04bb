/* The registry of policies: one line each, in the order in which `list` prints them. */
#include "policies/policy.h"

#include <string.h>

#include "harness/base/param_check.h"
#include "policies/head.h"

#define ALL_POLICIES \
    POLICY(full) \
    POLICY(random) \
    POLICY(streaming) \
    POLICY(knorm) \
    POLICY(keydiff) \
    POLICY(tova) \
    POLICY(snapkv) \
    POLICY(h2o) \
    POLICY(depthkv) \
    POLICY(oracle)

#define POLICY(stem) extern const struct policy_ops policy_##stem;
ALL_POLICIES
#undef POLICY

static const struct policy_ops *const table[] = {
#define POLICY(stem) &policy_##stem,
    ALL_POLICIES
#undef POLICY
};

int policy_count(void)
{
    return (int)(sizeof table / sizeof *table);
}

const struct policy_ops *policy_at(int i)
{
    return table[i];
}

const struct policy_ops *policy_find(const char *name)
{
    for (int i = 0; i < policy_count(); i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

unsigned policy_needs_of(const struct policy_ops *p, const void *config)
{
    return p->needs_of ? p->needs_of(config) : p->needs;
}

int policy_same_entries(const struct policy_view *v, struct err *e)
{
    const struct policy_head *first = &v->head[0];
    for (int h = 1; h < v->n_kv_head; h++) {
        const struct policy_head *head = &v->head[h];
        if (head->n_entry != first->n_entry)
            return err_set(
                e, ERR_POLICY,
                "layer %d: one score per layer needs heads with the same entries; head %d holds %d, head 0 %d",
                v->layer, h, head->n_entry, first->n_entry);
        for (int j = 0; head->pos != first->pos && j < head->n_entry; j++)
            if (head->pos[j] != first->pos[j])
                return err_set(e, ERR_POLICY,
                               "layer %d: one score per layer needs heads with the same entries; slot %d is position "
                               "%d in head %d, %d in head 0",
                               v->layer, j, (int)head->pos[j], h, (int)first->pos[j]);
    }
    return 0;
}

int policy_validate(const struct policy_ops *p, struct err *e)
{
    if (p->abi != POLICY_ABI)
        return err_set(e, ERR_POLICY, "policy ABI %d, expected %d", p->abi, POLICY_ABI);
    if (!p->name || !*p->name || strspn(p->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(p->name))
        return err_set(e, ERR_POLICY, "policy name '%s': lower-case letters, digits and _ are expected",
                       p->name ? p->name : "");
    if (!p->summary || !p->paper)
        return err_set(e, ERR_POLICY, "policy '%s' lacks its summary or paper", p->name);
    if (!p->head_budget || !head_find(p->head_budget))
        return err_set(e, ERR_POLICY, "policy '%s': head_budget must name a head rule (policies/head.c)", p->name);
    if (!p->keeps_all && !p->score)
        return err_set(e, ERR_POLICY, "policy '%s' has no score function", p->name);
    if ((p->needs & STATISTIC_ROWS) && !p->rows)
        return err_set(e, ERR_POLICY, "policy '%s' needs rows but does not say how many", p->name);
    if ((p->needs & STATISTIC_ANSWER) && (p->needs != STATISTIC_ANSWER || p->needs_of || p->observe))
        return err_set(e, ERR_POLICY, "policy '%s' needs the answer, which goes with no other need", p->name);
    if (p->needs & ~(unsigned)(STATISTIC_OF_VIEW | STATISTIC_ANSWER))
        return err_set(e, ERR_POLICY, "policy '%s' asks for what no policy gets", p->name);
    if (!!p->create != !!p->destroy)
        return err_set(e, ERR_POLICY, "policy '%s' has only one of create and destroy", p->name);
    if (p->keeps_all && (p->needs || p->protect || p->uses_seed))
        return err_set(e, ERR_POLICY, "policy '%s' keeps all, so it can need or protect nothing", p->name);
    if (param_check(p->params, p->config_size, e))
        return err_wrap(e, "policy '%s'", p->name);
    return 0;
}
