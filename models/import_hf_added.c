#include "models/import_hf_added.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/dims.h"

static const char *const named[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                    "pad_token", "cls_token", "mask_token"};
enum { N_NAMED = sizeof named / sizeof *named };

/* A token's text: a string, or an object with its content. */
static const char *content_of(const struct json *v)
{
    return json_string(json_is_object(v) ? json_get(v, "content") : v);
}

int import_hf_added_type(const struct json *v, const char *file, struct err *e)
{
    static const struct {
        const char *key;
        int flag;
    } flags[] = {{"lstrip", TOKEN_LSTRIP},
                 {"rstrip", TOKEN_RSTRIP},
                 {"single_word", TOKEN_SINGLE_WORD},
                 {"normalized", TOKEN_NORMALIZED},
                 {"special", 0}};
    const char *text = content_of(v);
    if (!text || !*text)
        return err_set(e, ERR_FORMAT, "%s: an added token has no content", file);
    int special = json_bool(json_get(v, "special"), 0), type = special ? TOKEN_CONTROL : TOKEN_ADDED;
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++) {
        const struct json *x = json_get(v, flags[i].key);
        if (x && !json_is_bool(x))
            return err_set(e, ERR_FORMAT, "%s: added token '%s': '%s' is neither true nor false", file, text,
                           flags[i].key);
        /* what is not special is normalized unless it says otherwise */
        type |= json_bool(x, flags[i].flag == TOKEN_NORMALIZED && !special) ? flags[i].flag : 0;
    }
    return type;
}

/* ---- what is asked for ----------------------------------------------------------------------- */

struct table {
    struct tokenizer_data *d;
    int *by_text;             /* ids of the first n_sorted tokens that have a text, in order of it */
    int n_sorted, n_first;    /* n_first: tokens when the table was made; later ones are few */
    int n_vocab, n_added_end; /* ids in the vocabulary; one more than the largest added id */
};

static int compare_text(const void *a, const void *b, void *ctx)
{
    char **token = ctx;
    return strcmp(token[*(const int *)a], token[*(const int *)b]);
}

static int make_table(struct table *t, const struct import_hf_names *f, struct tokenizer_data *d, struct err *e)
{
    *t = (struct table){.d = d, .n_first = d->n_token};
    t->by_text = mem_new((size_t)d->n_token + 1, sizeof *t->by_text);
    t->n_vocab = f->n_vocab;
    for (int i = 0; i < d->n_token; i++) {
        if (d->token[i])
            t->by_text[t->n_sorted++] = i;
        if (d->type[i] != TOKEN_NORMAL)
            t->n_added_end = i + 1;
    }
    if (t->n_sorted)
        qsort_r(t->by_text, (size_t)t->n_sorted, sizeof *t->by_text, compare_text, d->token);
    for (int i = 1; i < t->n_sorted; i++)
        if (strcmp(d->token[t->by_text[i - 1]], d->token[t->by_text[i]]) == 0)
            return err_set(e, ERR_FORMAT, "%s/tokenizer.%s: token '%s' has two ids, %d and %d", f->folder,
                           f->tokenizer ? "json" : "model", d->token[t->by_text[i]], t->by_text[i - 1], t->by_text[i]);
    return 0;
}

static int find(const struct table *t, const char *text)
{
    int low = 0, high = t->n_sorted;
    while (low < high) {
        int middle = low + (high - low) / 2, order = strcmp(t->d->token[t->by_text[middle]], text);
        if (order == 0)
            return t->by_text[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    /* those that came since: at the end, or in a gap of the vocabulary */
    for (int i = t->n_vocab; i < t->n_added_end && i < t->d->n_token; i++)
        if (t->d->token[i] && strcmp(t->d->token[i], text) == 0)
            return i;
    return -1;
}

/* Makes `text` an added token of this type. id: the one that its source states, or -1. */
static int add(struct table *t, const char *file, const char *text, int64_t id, int type, struct err *e)
{
    struct tokenizer_data *d = t->d;
    int there = find(t, text), next = t->n_added_end > t->n_vocab ? t->n_added_end : t->n_vocab;
    int at = there >= 0 ? there : next;
    if (id >= 0 && id != at)
        return err_set(e, ERR_UNSUPPORTED, "%s: added token '%s' has id %lld, but %s %d", file, text, (long long)id,
                       there >= 0 ? "tokenizer.json gives it" : "the next one that tokenizer.json leaves free is", at);
    if (there < 0 && (at > d->n_token || at >= t->n_first + IMPORT_HF_ADDED_MAX_NEW))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: added token '%s': more than %d tokens that tokenizer.json does not have", file, text,
                       (int)IMPORT_HF_ADDED_MAX_NEW);
    if (there < 0) {
        d->token[at] = mem_strdup(text);
        d->n_token = at >= d->n_token ? at + 1 : d->n_token;
    }
    d->type[at] = (uint8_t)type;
    t->n_added_end = at >= t->n_added_end ? at + 1 : t->n_added_end;
    return 0;
}

/* A special token that stands in a list or has a name: as it is when it is an added token already. */
static int add_special(struct table *t, const char *file, const struct json *v, struct err *e)
{
    const char *text = content_of(v);
    if (!text || !*text)
        return 0;
    int there = find(t, text);
    if (there >= 0 && t->d->type[there] != TOKEN_NORMAL)
        return 0;
    int type = json_is_object(v) ? import_hf_added_type(v, file, e) : TOKEN_CONTROL;
    if (type < 0)
        return -1;
    if (json_is_object(v) && !json_is_bool(json_get(v, "normalized")))
        type &= ~TOKEN_NORMALIZED;
    return add(t, file, text, -1, (type & ~TOKEN_TYPE) | TOKEN_CONTROL, e);
}

/* ---- the files ------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    const struct json *const *x = a, *const *y = b;
    int64_t i = strtoll(json_key(*x), NULL, 10), k = strtoll(json_key(*y), NULL, 10);
    return (i > k) - (i < k);
}

/* tokenizer_config.json's added_tokens_decoder: {"367": {content, ...}}, which also says how tokens of tokenizer.json
 * are recognised. */
static int read_decoder(struct table *t, const char *file, const struct json *decoder, struct err *e)
{
    int n = 0, rc = 0;
    if (!json_is_object(decoder))
        return err_set(e, ERR_FORMAT, "%s: added_tokens_decoder is no object", file);
    const struct json **entry = mem_new((size_t)json_size(decoder) + 1, sizeof *entry);
    for (const struct json *v = json_first(decoder); v; v = json_next(v))
        entry[n++] = v;
    if (n)
        qsort(entry, (size_t)n, sizeof *entry, by_id);
    for (int i = 0; i < n && rc == 0; i++) {
        const char *key = json_key(entry[i]);
        int64_t id = strlen(key) < 10 && *key && strspn(key, "0123456789") == strlen(key) ? strtoll(key, NULL, 10) : -1;
        int type = json_is_object(entry[i]) ? import_hf_added_type(entry[i], file, e) : -2;
        if (id < 0 || id >= DIMS_MAX_VOCAB || type == -2)
            rc = err_set(e, ERR_FORMAT, "%s: added_tokens_decoder: '%.40s' is no id with a token's description", file,
                         key);
        else
            rc = type < 0 ? -1 : add(t, file, content_of(entry[i]), id, type, e);
    }
    mem_free(entry);
    return rc;
}

/* added_tokens.json: {"<text>": id}. transformers reads it where there is no added_tokens_decoder, in order of ids, and
 * lets tokenizer.json say how its own are recognised. */
static int read_list(struct table *t, const char *file, const struct json *list, struct err *e)
{
    if (!json_is_object(list))
        return err_set(e, ERR_FORMAT, "%s: no JSON object", file);
    if (json_size(list) > DIMS_MAX_VOCAB)
        return err_set(e, ERR_FORMAT, "%s: %d tokens", file, json_size(list));
    for (int pass = 0; pass < 2; pass++) /* those that are new come last, whatever the order of the file */
        for (const struct json *v = json_first(list); v; v = json_next(v)) {
            int there = find(t, json_key(v));
            int64_t id;
            if (json_int64(v, &id) || id < 0)
                return err_set(e, ERR_FORMAT, "%s: '%.80s' has no id", file, json_key(v));
            if ((there < 0) != pass)
                continue;
            int type =
                there >= 0 && t->d->type[there] != TOKEN_NORMAL ? t->d->type[there] : TOKEN_ADDED | TOKEN_NORMALIZED;
            if (add(t, file, json_key(v), id, type, e))
                return -1;
        }
    return 0;
}

/* Whose value of a name counts: special_tokens_map.json's goes over tokenizer_config.json's, unless the latter has an
 * added_tokens_decoder. */
static const struct json *value_of(const struct import_hf_names *f, const char *key)
{
    const struct json *v = json_get(f->config, "added_tokens_decoder") ? NULL : json_get(f->map, key);
    return v ? v : json_get(f->config, key);
}

static int is_named(const char *key)
{
    int i = 0;
    while (i < N_NAMED && strcmp(named[i], key) != 0)
        i++;
    return i < N_NAMED;
}

static int ends_in_token(const char *key)
{
    size_t n = strlen(key);
    return n > 6 && strcmp(key + n - 6, "_token") == 0;
}

static int read_names(struct table *t, const struct import_hf_names *f, const char *file, struct err *e)
{
    static const char *const lists[] = {"extra_special_tokens", "additional_special_tokens"};
    const struct json *files[] = {f->config, json_get(f->config, "added_tokens_decoder") ? NULL : f->map};
    for (int i = 0; i < N_NAMED; i++)
        if (add_special(t, file, value_of(f, named[i]), e))
            return -1;
    for (int k = 0; k < 2; k++) { /* names of a model's own, as "image_token" */
        for (const struct json *v = json_first(json_is_object(files[k]) ? files[k] : NULL); v; v = json_next(v))
            if (!is_named(json_key(v)) && ends_in_token(json_key(v)) && json_is_string(v) && add_special(t, file, v, e))
                return -1;
    }
    for (int i = 0; i < 2; i++)
        for (const struct json *v = json_first(value_of(f, lists[i])); v; v = json_next(v))
            if (add_special(t, file, v, e))
                return -1;
    return 0;
}

int import_hf_added_read(const struct import_hf_names *f, struct tokenizer_data *d, struct err *e)
{
    struct table t;
    const struct json *decoder = json_get(f->config, "added_tokens_decoder");
    char config[4096], list[4096];
    snprintf(config, sizeof config, "%s/tokenizer_config.json", f->folder);
    snprintf(list, sizeof list, "%s/added_tokens.json", f->folder);
    int rc = make_table(&t, f, d, e);
    rc = rc ? rc : decoder ? read_decoder(&t, config, decoder, e) : f->list ? read_list(&t, list, f->list, e) : 0;
    rc = rc ? rc : read_names(&t, f, config, e);
    mem_free(t.by_text);
    return rc;
}

int import_hf_added_named(const struct import_hf_names *f, const struct tokenizer_data *d, const char *key)
{
    const char *text = content_of(value_of(f, key));
    for (int i = 0; text && i < d->n_token; i++)
        if (d->token[i] && strcmp(d->token[i], text) == 0)
            return i;
    return -1;
}
