/* Layer allocators, made ready for each model before anything runs: what they read of files, and of which prompts. */
#include <stdlib.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/experiment/experiment_int.h"
#include "harness/experiment/layers.h"
#include "policies/allocator_profile.h"

static void keep_self(struct experiment *x, const struct allocator_ops *ops, void *self)
{
    size_t cap = (size_t)x->n_self;
    mem_grow(&x->self, &cap, (size_t)x->n_self + 1, sizeof *x->self);
    x->self[x->n_self++] = (struct exp_self){ops, self};
}

/* The files that an allocator reads, as one hash. */
static void hash_inputs(const struct experiment *x, const struct choice *c, char hex[HASH_HEX])
{
    struct str all = {0};
    for (const struct param *p = c->noun.params; p && p->name; p++)
        if (p->type == PARAM_PATH) {
            char *path = fs_join(x->dir, *(char *const *)(const void *)((const char *)c->config + p->offset)),
                 one[HASH_HEX] = "";
            hash_sha256_file(path, one, NULL);
            str_addf(&all, "%s %s\n", p->name, one);
            mem_free(path);
        }
    hex[0] = '\0';
    if (all.n)
        hash_sha256(all.p, all.n, hex);
    str_free(&all);
}

static int by_text(const void *key, const void *item)
{
    return strcmp(key, *(char *const *)item);
}

int experiment_is_calibration(const struct exp_prompts *p, const char *sha256)
{
    return p && p->n && bsearch(sha256, p->sha256, p->n, sizeof *p->sha256, by_text) != NULL;
}

/* The prompts of the profile that an allocator reads, once for each file; NULL when it reads none, or none can be read.
 */
static const struct exp_prompts *calibration_of(struct experiment *x, const struct choice *c)
{
    const struct param *p = param_find(c->noun.params, "profile");
    size_t cap = (size_t)x->n_prompts;
    if (!p || p->type != PARAM_PATH)
        return NULL;
    struct exp_prompts *new = mem_new(1, sizeof *new);
    new->path = fs_join(x->dir, *(char *const *)(const void *)((const char *)c->config + p->offset));
    int known = -1;
    for (int i = 0; i < x->n_prompts && known < 0; i++)
        known = strcmp(x->prompts[i]->path, new->path) == 0 ? i : -1;
    if (known >= 0 || allocator_profile_prompts(new->path, &new->sha256, &new->n, NULL)) {
        mem_free(new->path);
        mem_free(new);
        return known >= 0 ? x->prompts[known] : NULL;
    }
    mem_grow(&x->prompts, &cap, (size_t)x->n_prompts + 1, sizeof *x->prompts);
    return x->prompts[x->n_prompts++] = new;
}

/* A profile belongs to weights, and an edited model's are not those that its file states. */
static int hash_weights(struct exp_model *m, struct err *e)
{
    if (m->is_hashed)
        return 0;
    m->is_hashed = 1;
    return model_open_hash(m->path, m->sha256, e);
}

static int place_of(const struct experiment *x, const struct ready *r, int model, enum windows windows, int allocator)
{
    return ((int)windows * x->n_model + model) * r->n + allocator;
}

void experiment_allocators_give(const struct experiment *x, const struct ready *r, int allocator, struct cell *c)
{
    int at = place_of(x, r, c->model, c->windows, allocator);
    if (c->allocator->create)
        c->allocator_self = r->self[at];
    c->infeasible = r->infeasible[at];
    memcpy(c->inputs, r->inputs[allocator], sizeof c->inputs);
    c->calibration = r->calibration[allocator];
}

static const char *keep_reason(struct experiment *x, const char *reason)
{
    mem_room(&x->infeasible, (size_t)x->n_infeasible, sizeof *x->infeasible);
    return x->infeasible[x->n_infeasible++] = mem_strdup(reason);
}

/* One allocator for one model. */
static void make_ready(struct load *l, const struct conf *at, const struct choice *c, struct exp_model *model,
                       enum windows windows, void **self, const char **infeasible)
{
    const struct allocator_ops *ops = c->noun.ops;
    struct layers layers;
    struct err e = {0};
    layers_of(&model->hp, windows, &layers);
    const struct allocator_setup setup = {.n_layer = layers.n,
                                          .number = layers.number,
                                          .n_model_layer = layers.n_model,
                                          .windows = experiment_windows_names[windows],
                                          .model = model->name,
                                          .model_sha256 = model->sha256,
                                          .dir = l->x->dir};
    if (layers.n == 0)
        return; /* complained of elsewhere */
    int bad = param_find(c->noun.params, "profile") && hash_weights(model, &e);
    bad = bad || (ops->check && ops->check(c->config, &setup, &e));
    if (!bad && ops->create && ops->create(self, c->config, &setup, &e))
        bad = e.code == ERR_INFEASIBLE ? -1 : err_wrap(&e, "%s", ops->name);
    if (bad && e.code == ERR_INFEASIBLE)
        *infeasible = keep_reason(l->x, e.msg);
    else if (bad)
        experiment_complain(l, at, c->line, "layer_budget: %s (model %s%s)", e.msg, model->name,
                            windows == WINDOWS_PRUNE ? ", windows: prune" : "");
    else if (*self)
        keep_self(l->x, ops, *self);
}

void experiment_allocators(struct load *l, const struct conf *at, const struct choices *allocator,
                           const unsigned *windows, struct ready *b)
{
    struct experiment *x = l->x;
    int n = b->n = allocator->n;
    b->self = mem_new((size_t)(WINDOWS_N * n * x->n_model) + 1, sizeof *b->self);
    b->infeasible = mem_new((size_t)(WINDOWS_N * n * x->n_model) + 1, sizeof *b->infeasible);
    b->inputs = mem_new((size_t)n + 1, sizeof *b->inputs);
    b->calibration = mem_new((size_t)n + 1, sizeof *b->calibration);
    for (int a = 0; a < n; a++) {
        hash_inputs(x, &allocator->v[a], b->inputs[a]);
        b->calibration[a] = calibration_of(x, &allocator->v[a]);
        for (int m = 0; m < x->n_model; m++)
            for (int w = 0; w < WINDOWS_N; w++)
                if (windows[m] & 1u << w) {
                    int i = place_of(x, b, m, (enum windows)w, a);
                    make_ready(l, at, &allocator->v[a], &x->model[m], (enum windows)w, &b->self[i], &b->infeasible[i]);
                }
    }
}

void experiment_allocators_fini(struct ready *b)
{
    mem_free(b->self);
    mem_free(b->infeasible);
    mem_free(b->inputs);
    mem_free(b->calibration);
}
