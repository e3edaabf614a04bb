#include "harness/experiment/axes.h"

#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/axes_nouns.h"
#include "harness/experiment/axes_values.h"

enum { MAX_VALUES = 1024 };

/* ---- what rows of the table need ------------------------------------------------------------ */

static int by_full(const struct policy_ops *p, const struct allocator_ops *a)
{
    (void)a;
    return p->keeps_all;
}

/* Layers that say their entries themselves take no total. */
static int where_none_is_spread(const struct policy_ops *p, const struct allocator_ops *a)
{
    return p->keeps_all || a->budget == ALLOCATOR_ABSOLUTE;
}

static int without_seed(const struct policy_ops *p, const struct allocator_ops *a)
{
    (void)a;
    return !p->uses_seed;
}

static int without_windows(const struct hparams *hp)
{
    return model_n_prunable(hp) == hp->n_layer;
}

static void no_budget(const struct experiment *x, struct cell *c)
{
    (void)x;
    c->budget = (struct budget){.kind = BUDGET_NONE};
    c->budget_text = mem_strdup("");
}

static void policys_heads(const struct experiment *x, struct cell *c)
{
    (void)x;
    c->heads = head_find(c->policy->head_budget);
}

static void tasks_new_tokens(const struct experiment *x, struct cell *c)
{
    const struct exp_task *t = &x->task[c->task];
    c->max_new_tokens = t->ops->max_new_tokens_of ? t->ops->max_new_tokens_of(t->config) : t->ops->max_new_tokens;
}

static void weights_of_arithmetic(struct cell *c)
{
    if (c->arithmetic == MODEL_BF16)
        c->weight_dtype = MODEL_BF16;
}

static const char *const budget_keys[] = {"keep", "keep_tokens", "keep_bytes", NULL};
static const char *const dtype_words[] = {[MODEL_F32] = "f32", [MODEL_F16] = "", [MODEL_BF16] = "bf16", NULL};

/* ---- the table ------------------------------------------------------------------------------ */

#define FIELD(name) .field = offsetof(struct cell, name), .size = sizeof(((struct cell *)0)->name)

static const struct axis axes[] = {
    {.key = "policy", .note = "policy", .kind = &axes_nouns_policy, FIELD(policy), .shown = AXIS_SHOWN_COLUMN},
    {.key = "params",
     .note = "parameters",
     .kind = &axes_nouns_params,
     FIELD(params),
     .shown = AXIS_SHOWN_COLUMN,
     .is_part = 1},
    {.key = "budget",
     .keys = budget_keys,
     .note = "budget",
     .kind = &axes_values_budget,
     FIELD(budget_text),
     .own = no_budget,
     .ignored = where_none_is_spread,
     .shown = AXIS_SHOWN_COLUMN},
    {.key = "layer_budget",
     .note = "layers",
     .kind = &axes_nouns_layer_budget,
     FIELD(layer_budget),
     .dflt = "uniform",
     .ignored = by_full,
     .shown = AXIS_SHOWN_COLUMN},
    {.key = "head_budget",
     .note = "heads",
     .kind = &axes_nouns_head_budget,
     FIELD(heads),
     .own = policys_heads,
     .dflt_is = AXIS_DEFAULT_OF_POLICY,
     .ignored = by_full},
    {.key = "protect",
     .note = "protect",
     .kind = &axes_values_protect,
     FIELD(protect_json),
     .dflt = "none",
     .ignored = by_full},
    {.key = "prune_after",
     .note = "after",
     .kind = &axes_values_word,
     FIELD(prune_after),
     .dflt = "all_but_last",
     .splits = AXIS_SPLITS_PREFILL,
     .row_rank = 3,
     .words = experiment_prune_after_names},
    {.key = "prefill",
     .note = "prefill",
     .kind = &axes_nouns_prefill,
     FIELD(prefill),
     .dflt = "full",
     .ignored = by_full,
     .row_rank = 2},
    {.key = "decode",
     .note = "decode",
     .kind = &axes_nouns_decode,
     FIELD(decode),
     .dflt = "frozen",
     .ignored = by_full,
     .row_rank = 2},
    {.key = "positions",
     .note = "positions",
     .kind = &axes_values_word,
     FIELD(packed),
     .dflt = "original",
     .ignored = by_full,
     .row_rank = 1,
     .words = experiment_positions_names},
    {.key = "policy_seed",
     .note = "seed",
     .kind = &axes_values_number,
     FIELD(policy_seed),
     .dflt = "1",
     .ignored = without_seed,
     .shown = AXIS_SHOWN_POOLED,
     .row_rank = 4,
     .min = 0,
     .max = INT64_MAX},
    {.key = "weight_dtype",
     .note = "weights",
     .kind = &axes_values_word,
     FIELD(weight_dtype),
     .dflt = "f32",
     .bound = weights_of_arithmetic,
     .splits = AXIS_SPLITS_WEIGHTS,
     .row_rank = 4,
     .words = dtype_words},
    {.key = "max_new_tokens",
     .note = "new tokens",
     .kind = &axes_values_number,
     FIELD(max_new_tokens),
     .own = tasks_new_tokens,
     .dflt_is = AXIS_DEFAULT_OF_TASK,
     .splits = AXIS_SPLITS_PROMPTS,
     .row_rank = 4,
     .min = 1,
     .max = 1000000},
    {.key = "windows",
     .note = "windows",
     .kind = &axes_values_word,
     FIELD(windows),
     .dflt = "keep",
     .ignored = by_full,
     .lacks = without_windows,
     .lacking = "no layer with a window",
     .is_later = 1,
     .is_labelled = 1,
     .row_rank = 1,
     .words = experiment_windows_names},
    {.key = "arithmetic",
     .note = "arithmetic",
     .kind = &axes_values_word,
     FIELD(arithmetic),
     .dflt = "f32",
     .is_later = 1,
     .is_labelled = 1,
     .splits = AXIS_SPLITS_WEIGHTS,
     .row_rank = 4,
     .words = dtype_words},
    {.key = "cache_dtype",
     .note = "cache",
     .kind = &axes_values_word,
     FIELD(cache_dtype),
     .dflt = "f32",
     .is_later = 1,
     .is_labelled = 1,
     .splits = AXIS_SPLITS_CACHE,
     .row_rank = 4,
     .words = dtype_words},
};

/* ---- going through it ----------------------------------------------------------------------- */

enum { N_AXIS = sizeof axes / sizeof *axes };
_Static_assert((int)N_AXIS < (int)AXES_MOST, "arrays by axis have room for all of them");
static const struct axis *more;

void axes_extend(const struct axis *a)
{
    more = a;
}

int axes_count(void)
{
    return N_AXIS + (more != NULL);
}

const struct axis *axes_at(int i)
{
    return i < N_AXIS ? &axes[i] : more;
}

int axes_in_row(int i)
{
    for (int rank = 0, n = 0;; rank++)
        for (int k = 0; k < axes_count(); k++)
            if (axes_at(k)->row_rank == rank && n++ == i)
                return k;
}

int axes_find(const char *key)
{
    for (int i = 0; i < axes_count(); i++)
        if (strcmp(axes_at(i)->key, key) == 0)
            return i;
    return -1;
}

const char *axes_key(int i, int k)
{
    const struct axis *a = axes_at(i);
    if (a->is_part)
        return NULL;
    return a->keys ? a->keys[k] : k == 0 ? a->key : NULL;
}

const char *axes_keys(int i, struct str *to)
{
    for (int k = 0; axes_key(i, k); k++)
        str_addf(to, "%s%s", k ? ", " : "", axes_key(i, k));
    return str_c(to);
}

const char *axes_word(int i)
{
    return axes_at(i)->is_part ? "parameters of the policy" : axes_key(i, 0);
}

/* ---- reading -------------------------------------------------------------------------------- */

void axes_read_key(struct load *l, int i, const char *key, const struct conf *c, struct choices *out)
{
    const struct axis *a = axes_at(i);
    if (a->kind->is_noun || c->kind != CONF_LIST) {
        a->kind->read(l, a, key, c, out);
        return;
    }
    if (c->n == 0)
        experiment_complain(l, c, c->line, "%s: an empty list is no axis", key);
    for (int k = 0; k < c->n && k < MAX_VALUES; k++)
        a->kind->read(l, a, key, c->item[k], out);
    if (c->n > MAX_VALUES)
        experiment_complain(l, c, c->line, "%s: more than %d values", key, MAX_VALUES);
}

int axes_read(struct load *l, int i, const struct conf *map, struct choices *out)
{
    int in_map = 0, given = 0;
    for (int k = 0; axes_key(i, k); k++)
        in_map |= conf_get(map, axes_key(i, k)) != NULL;
    for (int k = 0; axes_key(i, k); k++) {
        const char *key = axes_key(i, k);
        /* what the block says replaces every default, whichever key either of them has */
        const struct conf *c = conf_get(in_map ? map : l->root, key);
        struct str keys = {0};
        if (c && given++)
            experiment_complain(l, c, c->line, "%s: a block takes one of %s", key, axes_keys(i, &keys));
        else if (c)
            axes_read_key(l, i, key, c, out);
        str_free(&keys);
    }
    return given > 0;
}

void axes_read_default(struct load *l, int i, const struct conf *at, struct choices *out)
{
    const struct axis *a = axes_at(i);
    if (!a->dflt)
        return;
    struct conf one = {.kind = CONF_SCALAR, .text = mem_strdup(a->dflt), .file = at->file, .line = at->line};
    axes_read_key(l, i, axes_key(i, 0), &one, out);
    mem_free(one.text);
}

/* ---- cells ---------------------------------------------------------------------------------- */

static const char *text_of(const struct axis *a, const struct cell *c)
{
    char *text;
    memcpy(&text, (const char *)c + a->field, sizeof text);
    return text;
}

static int same_value(const struct axis *a, const struct cell *x, const struct cell *y)
{
    if (a->kind->same)
        return a->kind->same(x, y);
    if (a->kind->is_text)
        return strcmp(text_of(a, x), text_of(a, y)) == 0;
    return memcmp((const char *)x + a->field, (const char *)y + a->field, a->size) == 0;
}

int axes_same(int i, const struct cell *a, const struct cell *b)
{
    return same_value(axes_at(i), a, b);
}

void axes_free(struct cell *c)
{
    for (int i = 0; i < axes_count(); i++) {
        char *none = NULL, *text;
        void *field = (char *)c + axes_at(i)->field;
        if (!axes_at(i)->kind->is_text)
            continue;
        memcpy(&text, field, sizeof text);
        mem_free(text);
        memcpy(field, &none, sizeof none);
    }
}

int axes_is(int i, const struct choice *value, int exact, const struct cell *c)
{
    const struct axis *a = axes_at(i);
    if (a->kind->is_noun && a->kind->is_text && !exact) { /* "name" or {"name":...} */
        const char *text = text_of(a, c) + (text_of(a, c)[0] == '{') + 1;
        size_t n = strlen(value->noun.name);
        return strncmp(text, value->noun.name, n) == 0 && text[n] == '"';
    }
    struct cell like = {.policy = c->policy, .policy_config = c->policy_config};
    a->kind->set(a, value, &like);
    int is = same_value(a, &like, c);
    axes_free(&like);
    return is;
}

int axes_is_default(const struct experiment *x, int i, const struct cell *c)
{
    const struct axis *a = axes_at(i);
    struct cell like = {.model = c->model, .task = c->task, .policy = c->policy};
    struct str text = {0};
    int is;
    if (a->own) {
        a->own(x, &like);
        is = same_value(a, &like, c);
    } else {
        axes_text(i, c, &text);
        is = a->dflt && (strcmp(str_c(&text), a->dflt) == 0 || strcmp(str_c(&text), "{}") == 0);
    }
    str_free(&text);
    axes_free(&like);
    return is;
}

void axes_json(int i, const struct cell *c, struct str *out)
{
    axes_at(i)->kind->json(axes_at(i), c, out);
}

void axes_text(int i, const struct cell *c, struct str *out)
{
    struct str json = {0};
    axes_json(i, c, &json);
    if (json.p[0] == '"')
        str_addf(out, "%.*s", (int)json.n - 2, json.p + 1);
    else
        str_add(out, json.p);
    str_free(&json);
}

static int same_in(const struct cell *a, const struct cell *b, unsigned splits)
{
    int is = a->model == b->model, n = axes_count();
    for (int i = 0; i < n && is; i++)
        is = !(axes_at(i)->splits & splits) || axes_same(i, a, b);
    return is;
}

int axes_same_weights(const struct cell *a, const struct cell *b)
{
    return same_in(a, b, AXIS_SPLITS_WEIGHTS);
}

int axes_same_prompts(const struct cell *a, const struct cell *b)
{
    return a->task == b->task && same_in(a, b, AXIS_SPLITS_PROMPTS);
}

int axes_same_group(const struct cell *a, const struct cell *b)
{
    return a->task == b->task && same_in(a, b, ~0u);
}

int axes_is_first(const struct cell *cell, int i, int (*same)(const struct cell *a, const struct cell *b))
{
    for (int k = i - 1; k >= 0; k--) /* most cells share with the one right before */
        if (same(&cell[k], &cell[i]))
            return 0;
    return 1;
}
