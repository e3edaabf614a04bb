/* The axes that change the loop: how the prompt is read, what happens while decoding, how kept entries are numbered,
 * and how weights are held. */
#include <string.h>

#include "harness/base/mem.h"
#include "harness/experiment/experiment_int.h"

struct interval {
    int64_t every;
};

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

/* The block's value, or the default at the top level. */
static const struct conf *value(const struct load *l, const struct conf *block, const char *key)
{
    const struct conf *c = conf_get(block, key);
    return c ? c : conf_get(l->root, key);
}

void experiment_mode_choices(struct load *l, const struct conf *c, const char *key, struct choices *out)
{
    int prefill = strcmp(key, "prefill") == 0, n = 0;
    const struct mode *table = prefill ? experiment_prefills : experiment_decodes;
    const char *known[8];
    for (; table[n].name; n++)
        known[n] = table[n].name;
    experiment_choices(l, c, key, prefill ? experiment_find_prefill : experiment_find_decode, known, n, 0, out);
}

static void read_choices(struct load *l, const struct conf *block, const char *key, const char *dflt,
                         struct choices *out)
{
    struct conf one = {.kind = CONF_SCALAR, .text = mem_strdup(dflt), .file = block->file, .line = block->line};
    const struct conf *c = value(l, block, key);
    experiment_mode_choices(l, c ? c : &one, key, out);
    mem_free(one.text);
}

/* One of two words. */
static void read_word(struct load *l, const struct conf *c, const char *key, const char *const *names, int *out, int *n)
{
    if (c->kind == CONF_LIST && c->n == 0)
        experiment_complain(l, c, c->line, "%s: an empty list is no axis", key);
    if (c->kind == CONF_LIST) {
        for (int i = 0; i < c->n; i++)
            if (c->item[i]->kind == CONF_LIST)
                experiment_complain(l, c, c->item[i]->line, "%s: nested too deep", key);
            else
                read_word(l, c->item[i], key, names, out, n);
        return;
    }
    if (c->kind == CONF_MAP) {
        experiment_complain(l, c, c->line, "%s: expected %s or %s, found a map", key, names[0], names[1]);
        return;
    }
    for (int i = 0; i < 2; i++)
        if (strcmp(c->text, names[i]) == 0) {
            if (*n == 0 || (*n == 1 && out[0] != i)) /* the same word twice is one value */
                out[(*n)++] = i;
            return;
        }
    experiment_complain(l, c, c->line, "%s '%s' unknown%s; %s and %s are known", key, c->text,
                        experiment_hint(c->text, names, 2), names[0], names[1]);
}

void experiment_modes_read(struct load *l, const struct conf *block, struct modes *out)
{
    const struct conf *c;
    *out = (struct modes){0};
    read_choices(l, block, "prefill", "full", &out->prefill);
    read_choices(l, block, "decode", "frozen", &out->decode);
    if ((c = value(l, block, "positions")))
        read_word(l, c, "positions", experiment_positions_names, out->packed, &out->n_packed);
    else
        out->n_packed = 1;
    if ((c = value(l, block, "weight_dtype")))
        read_word(l, c, "weight_dtype", experiment_dtype_names, out->dtype, &out->n_dtype);
    else
        out->n_dtype = 1;
}

static int has(const struct choices *c, const struct mode *dflt)
{
    for (int i = 0; i < c->n; i++)
        if (c->v[i].noun.ops != dflt)
            return 1;
    return 0;
}

void experiment_modes_check(struct load *l, const struct conf *block, const struct choices *policy,
                            const struct choices *allocator, const struct modes *m)
{
    const unsigned once = POLICY_NEEDS_ENTROPY | POLICY_NEEDS_QUERIES | POLICY_NEEDS_HIDDEN;
    int chunked = has(&m->prefill, &experiment_prefills[0]), cuts = has(&m->decode, &experiment_decodes[0]);
    for (int i = 0; i < policy->n; i++) {
        const struct policy_ops *p = policy->v[i].noun.ops;
        unsigned needs = policy_needs_of(p, policy->v[i].config);
        if (p->observe && (chunked || cuts))
            experiment_complain(
                l, block, policy->v[i].line,
                "policy '%s' watches attention rows with a memory of its own, which can't follow a cache that is "
                "cut several times: only prefill: full with decode: frozen",
                p->name);
        else if ((chunked || cuts) && needs & POLICY_NEEDS_ANSWER)
            experiment_complain(
                l, block, policy->v[i].line,
                "policy '%s' reads the answer's attention on the full cache of the whole prompt: only prefill: full "
                "with decode: frozen",
                p->name);
        else if (cuts && needs & once)
            experiment_complain(l, block, policy->v[i].line,
                                "policy '%s' needs %s, which is known of the prompt only: decode: frozen is expected",
                                p->name,
                                needs & POLICY_NEEDS_ENTROPY   ? "row entropies"
                                : needs & POLICY_NEEDS_QUERIES ? "queries"
                                                               : "hidden states");
    }
    for (int i = 0; i < allocator->n && chunked; i++) {
        const struct allocator_ops *a = allocator->v[i].noun.ops;
        if (a->observe || a->needs & ALLOCATOR_NEEDS_COSINE)
            experiment_complain(
                l, block, allocator->v[i].line,
                "layer_budget '%s' reads %s of the whole prompt, which a prompt that is cut after every chunk "
                "can't give: prefill: full is expected",
                a->name, a->observe ? "attention" : "the residual stream");
    }
}

/* The canonical JSON of a choice: a name that has no parameters is just the name. */
static char *text_of(const struct choice *c)
{
    const struct mode *mode = c->noun.ops;
    struct str s = {0};
    if (!mode->params)
        str_addf(&s, "\"%s\"", mode->name);
    else if (c->noun.bare)
        str_addf(&s, "{\"%s\":%lld}", mode->name, (long long)((const struct interval *)c->config)->every);
    else
        str_addf(&s, "{\"%s\":%s}", mode->name, c->params);
    return str_take(&s);
}

int experiment_mode_is(const struct choice *mode, int with_params, const char *text)
{
    char *mine = text_of(mode);
    size_t n = strlen(mode->noun.name), skip = *text == '{';
    int same = with_params ? strcmp(mine, text) == 0
                           : strncmp(text + skip + 1, mode->noun.name, n) == 0 && text[skip + 1 + n] == '"';
    mem_free(mine);
    return same;
}

void experiment_modes_apply(const struct modes *m, int prefill, int decode, int packed, int dtype, struct cell *c)
{
    const struct choice *p = prefill < 0 ? NULL : &m->prefill.v[prefill], *d = decode < 0 ? NULL : &m->decode.v[decode];
    c->decode = d ? text_of(d) : mem_strdup("\"frozen\"");
    if (p && p->noun.params) {
        struct str s = {0};
        c->chunk = *(const struct chunking *)p->config;
        if (!(policy_needs_of(c->policy, c->policy_config) & (POLICY_NEEDS_COLUMNS | POLICY_NEEDS_ROWS)))
            c->chunk.carry = 1; /* there is nothing to carry */
        str_addf(&s, "{\"%s\":", p->noun.name);
        param_json(chunked_params, &c->chunk, &s);
        str_addc(&s, '}');
        c->prefill = str_take(&s);
    } else {
        c->prefill = mem_strdup("\"full\"");
    }
    if (d && d->noun.params)
        c->cut_every = ((const struct interval *)d->config)->every;
    else if (d && d->noun.ops == &experiment_decodes[1])
        c->cut_every = 1;
    c->packed = packed >= 0 && m->packed[packed];
    c->weight_dtype = dtype >= 0 && m->dtype[dtype] ? MODEL_BF16 : MODEL_F32;
}

void experiment_modes_fini(struct modes *m)
{
    experiment_choices_fini(&m->prefill);
    experiment_choices_fini(&m->decode);
}
