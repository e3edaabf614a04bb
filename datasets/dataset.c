/* The registry of tasks: one line each. */
#include "datasets/dataset.h"

#include <string.h>

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

int dataset_validate(const struct dataset_ops *d, struct err *e)
{
    if (d->abi != DATASET_ABI)
        return err_set(e, ERR_CONFIG, "dataset ABI %d, expected %d", d->abi, DATASET_ABI);
    if (!d->name || !*d->name || strspn(d->name, "abcdefghijklmnopqrstuvwxyz0123456789_") != strlen(d->name))
        return err_set(e, ERR_CONFIG, "task name '%s': lower-case letters, digits and _ are expected", d->name ? d->name : "");
    if (!d->summary || !d->source || !d->metric || d->version < 1 || d->max_new_tokens < 1)
        return err_set(e, ERR_CONFIG, "task '%s' lacks its summary, source, metric, version or max_new_tokens", d->name);
    if (!d->open || !d->count || !d->item || !d->close)
        return err_set(e, ERR_CONFIG, "task '%s' lacks one of open, count, item, close", d->name);
    for (const struct param *p = d->params; p && p->name; p++)
        if (p->offset >= d->config_size)
            return err_set(e, ERR_CONFIG, "task '%s': parameter '%s' lies outside its config", d->name, p->name);
    return 0;
}
