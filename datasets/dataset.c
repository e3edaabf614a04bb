/* The registry of tasks: one line each. */
#include "datasets/dataset.h"

#include <string.h>

#include "harness/base/mem.h"

#define ALL_DATASETS \
    DATASET(niah_single_1) \
    DATASET(niah_single_2) \
    DATASET(niah_single_3) \
    DATASET(niah_multikey_1) \
    DATASET(niah_multikey_2) \
    DATASET(niah_multikey_3) \
    DATASET(niah_multivalue) \
    DATASET(niah_multiquery) \
    DATASET(vt) \
    DATASET(cwe) \
    DATASET(fwe) \
    DATASET(qa_1) \
    DATASET(qa_2) \
    DATASET(passkey) \
    DATASET(copy) \
    DATASET(lines) \
    DATASET(kv) \
    DATASET(induction) \
    DATASET(arithmetic) \
    DATASET(text) \
    DATASET(jsonl)

#define DATASET(stem) extern const struct dataset_ops dataset_##stem;
ALL_DATASETS
#undef DATASET

static const struct dataset_ops *const table[] = {
#define DATASET(stem) &dataset_##stem,
    ALL_DATASETS
#undef DATASET
};

int dataset_count(void)
{
    return (int)(sizeof table / sizeof *table);
}

const struct dataset_ops *dataset_at(int i)
{
    return table[i];
}

const struct dataset_ops *dataset_find(const char *name)
{
    for (int i = 0; i < dataset_count(); i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

/* ---- parameters that every task takes ----------------------------------------------------------- */

struct common {
    char *target_delimiter;
};

static const struct param common[] = {
    {"target_delimiter", PARAM_STRING, offsetof(struct common, target_delimiter), " ", 0, 0, NULL,
     "between prompt and answer in nll, oracle and yap, unless white space stands there"},
    {0},
};
enum { N_COMMON = sizeof common / sizeof *common - 1, ALIGN = sizeof(int64_t) };

/* Where the common config begins. */
static size_t common_offset(const struct dataset_ops *d)
{
    return (d->config_size + ALIGN - 1) / ALIGN * ALIGN;
}

size_t dataset_config_size(const struct dataset_ops *d)
{
    return common_offset(d) + sizeof(struct common);
}

/* The two tables of a task as one; tables are made once and live in a list. */
static struct joined {
    const struct dataset_ops *ops;
    struct param *param;
    struct joined *next;
} * all;

const struct param *dataset_params(const struct dataset_ops *d)
{
    int n = 0;
    for (const struct joined *j = all; j; j = j->next)
        if (j->ops == d)
            return j->param;
    while (d->params && d->params[n].name)
        n++;
    struct joined *j = mem_new(1, sizeof *j);
    *j = (struct joined){d, mem_new((size_t)n + N_COMMON + 1, sizeof *j->param), all};
    for (int i = 0; i < n; i++)
        j->param[i] = d->params[i];
    for (int i = 0; i < N_COMMON; i++) {
        j->param[n + i] = common[i];
        j->param[n + i].offset += common_offset(d);
    }
    if (d->target_delimiter)
        j->param[n].dflt = d->target_delimiter;
    all = j;
    return j->param;
}

void dataset_params_json(const struct dataset_ops *d, const void *config, struct str *out)
{
    const struct param *p = dataset_params(d);
    const char *comma = d->params && d->params->name ? "," : "";
    param_json(d->params, config, out);
    for (out->p[--out->n] = '\0'; p->name; p++) {
        const char *value;
        if (param_find(d->params, p->name))
            continue;
        memcpy(&value, (const char *)config + p->offset, sizeof value);
        if (!value || strcmp(value, p->dflt) == 0)
            continue;
        str_addf(out, "%s\"%s\":", comma, p->name);
        param_value_json(p, config, out);
        comma = ",";
    }
    str_addc(out, '}');
}

const char *dataset_target_delimiter(const struct dataset_ops *d, const void *config)
{
    struct common c;
    memcpy(&c, (const char *)config + common_offset(d), sizeof c);
    return c.target_delimiter;
}

int dataset_validate(const struct dataset_ops *d, struct err *e)
{
    if (d->abi != DATASET_ABI)
        return err_set(e, ERR_CONFIG, "dataset ABI %d, expected %d", d->abi, DATASET_ABI);
    if (!d->name || !*d->name || strspn(d->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(d->name))
        return err_set(e, ERR_CONFIG, "task name '%s': lower-case letters, digits and _ are expected",
                       d->name ? d->name : "");
    if (!d->summary || !d->source || !d->metric || d->version < 1 || d->max_new_tokens < 1)
        return err_set(e, ERR_CONFIG, "task '%s' lacks its summary, source, metric, version or max_new_tokens",
                       d->name);
    if (!d->open || !d->count || !d->item || !d->close)
        return err_set(e, ERR_CONFIG, "task '%s' lacks one of open, count, item, close", d->name);
    for (const struct param *p = d->params; p && p->name; p++)
        if (p->offset >= d->config_size)
            return err_set(e, ERR_CONFIG, "task '%s': parameter '%s' lies outside its config", d->name, p->name);
    for (const struct param *p = common; p->name; p++)
        if (param_find(d->params, p->name))
            return err_set(e, ERR_CONFIG, "task '%s': parameter '%s' is one that every task has", d->name, p->name);
    return 0;
}
