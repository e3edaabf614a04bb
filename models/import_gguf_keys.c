#include "models/import_gguf_keys.h"

#include <limits.h>
#include <string.h>

/* The row of a key without its prefix; NULL: there is none. */
static const struct import_gguf_key *row_of(const struct import_gguf_key *table, const char *leaf)
{
    for (const struct import_gguf_key *k = table; k->name; k++) {
        size_t n = strlen(k->name);
        if (k->name[n - 1] == '.' ? strncmp(k->name, leaf, n) == 0 : strcmp(k->name, leaf) == 0)
            return k;
    }
    return NULL;
}

int import_gguf_keys_check(const struct gguf *g, const char *path, const char *prefix,
                           const struct import_gguf_key *table, unsigned options, struct err *e)
{
    for (int i = 0; i < gguf_n_key(g); i++) {
        const char *key = gguf_key_at(g, i);
        double v = 0;
        if (strncmp(key, prefix, strlen(prefix)) != 0)
            continue;
        const struct import_gguf_key *k = row_of(table, key + strlen(prefix));
        if (!k)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: metadata key '%.200s' is not known here, and might change the numbers", path, key);
        if (k->rule != IMPORT_GGUF_OFF && k->rule != IMPORT_GGUF_ONE)
            continue;
        if (k->used_with & options)
            continue;
        if (gguf_get_real(g, key, &v, e) < 0)
            return -1;
        if (v != 0 && !(k->rule == IMPORT_GGUF_ONE && v == 1))
            return err_set(e, ERR_UNSUPPORTED, "%s: metadata key '%s' is %g, expected %s: there is no such thing here",
                           path, key, v, k->rule == IMPORT_GGUF_ONE ? "1" : "0");
    }
    return 0;
}

int import_gguf_keys_int(const struct gguf *g, const char *path, const char *key, int dflt, int *out, struct err *e)
{
    int64_t v = dflt;
    int found = gguf_get_int(g, key, &v, e);
    if (found < 0)
        return -1;
    if (!found && dflt < 0)
        return err_set(e, ERR_FORMAT, "%s: metadata key '%s' missing", path, key);
    if (v < 0 || v > INT_MAX)
        return err_set(e, ERR_FORMAT, "%s: metadata key '%s' is %lld, out of range", path, key, (long long)v);
    *out = (int)v;
    return 0;
}
