#include "tests/lib/plain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/rng.h"

struct plain *plain_create(const struct model *m, int room, int packed)
{
    const struct hparams *hp = &m->hp;
    struct plain *p = mem_new(1, sizeof *p);
    *p = (struct plain){.m = m, .packed = packed, .room = room};
    p->is_long = hp->rope_scaling == MODEL_ROPE_LONGROPE && room > hp->rope_original_context;
    p->list = mem_new((size_t)hp->n_layer * (size_t)hp->n_kv_head, sizeof *p->list);
    for (int i = 0; i < hp->n_layer * hp->n_kv_head; i++)
        p->list[i].entry = mem_new((size_t)room, sizeof *p->list[i].entry);
    p->attention = mem_new((size_t)hp->n_layer * (size_t)hp->n_head * (size_t)room * (size_t)room, sizeof(double));
    p->logits = mem_new((size_t)hp->n_vocab, sizeof(double));
    return p;
}

static void copy_doubles(double *to, const double *from, size_t n)
{
    memcpy(to, from, n * sizeof *to);
}

struct plain *plain_copy(const struct plain *p)
{
    const struct hparams *hp = &p->m->hp;
    struct plain *q = plain_create(p->m, p->room, p->packed);
    size_t room = (size_t)p->room, d = (size_t)hp->head_dim;
    q->n_seen = p->n_seen;
    for (int i = 0; i < hp->n_layer * hp->n_kv_head; i++)
        for (int j = 0; j < p->list[i].n; j++) {
            const struct plain_entry *from = &p->list[i].entry[j];
            struct plain_entry *to = &q->list[i].entry[q->list[i].n++];
            *to = (struct plain_entry){from->pos, mem_new(d, sizeof(double)), mem_new(d, sizeof(double))};
            copy_doubles(to->k, from->k, d);
            copy_doubles(to->v, from->v, d);
        }
    copy_doubles(q->attention, p->attention, (size_t)hp->n_layer * (size_t)hp->n_head * room * room);
    copy_doubles(q->logits, p->logits, (size_t)hp->n_vocab);
    return q;
}

struct plain_list *plain_list(struct plain *p, int layer, int kv_head)
{
    return &p->list[layer * p->m->hp.n_kv_head + kv_head];
}

static void drop(struct plain_entry *e)
{
    mem_free(e->k);
    mem_free(e->v);
}

void plain_destroy(struct plain *p)
{
    for (int i = 0; i < p->m->hp.n_layer * p->m->hp.n_kv_head; i++) {
        for (int j = 0; j < p->list[i].n; j++)
            drop(&p->list[i].entry[j]);
        mem_free(p->list[i].entry);
    }
    mem_free(p->list);
    mem_free(p->attention);
    mem_free(p->logits);
    mem_free(p);
}

static void rmsnorm(const struct hparams *hp, double *y, const double *x, const float *w, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += x[i] * x[i];
    for (int i = 0; i < n; i++)
        y[i] = x[i] / sqrt(sum / n + (double)hp->norm_eps) * ((double)hp->norm_offset + (double)w[i]);
}

/* Rows [first, first + n) of w times x. */
static void product(double *y, const struct matrix *w, int first, int n, const double *x)
{
    for (int i = 0; i < n; i++) {
        y[i] = 0;
        for (int k = 0; k < w->cols; k++)
            y[i] += (double)matrix_get(w, first + i, k) * x[k];
    }
}

static int has_window(const struct model *m, int layer)
{
    return m->hp.layer_kinds[0] && m->hp.layer_kinds[layer] == 'w';
}

static void rotate(const struct plain *p, int layer, double *y, const double *x, int pos)
{
    const struct model *m = p->m;
    int half = m->hp.head_dim / 2, still = m->hp.layer_kinds[0] && m->hp.layer_kinds[layer] == 'n';
    double local = m->hp.rope_local_base;
    for (int i = 0; i < half; i++) {
        double by = local > 0 && has_window(m, layer) ? pow(local, -(double)i / half) : m->rope_freq[i];
        if (p->is_long && i < model_rope_pairs(&m->hp))
            by *= (double)m->hp.rope_divisor[i] / (double)m->hp.rope_long_divisor[i];
        double c = still ? 1 : cos(pos * by), s = still ? 0 : sin(pos * by);
        if (m->hp.rope_scaling == MODEL_ROPE_LONGROPE && i < model_rope_pairs(&m->hp)) {
            c *= m->hp.rope_attention_factor;
            s *= m->hp.rope_attention_factor;
        }
        y[i] = x[i] * c - x[i + half] * s;
        y[i + half] = x[i + half] * c + x[i] * s;
    }
}

static double *at(const struct plain *p, int layer, int head, int query, int key)
{
    size_t T = (size_t)p->room;
    return &p->attention[(((size_t)layer * (size_t)p->m->hp.n_head + (size_t)head) * T + (size_t)query) * T +
                         (size_t)key];
}

/* One query head over its list, the newest entry included. */
static void attend(struct plain *p, int layer, int head, const double *q, double *out)
{
    const struct hparams *hp = &p->m->hp;
    struct plain_list *list = plain_list(p, layer, head / hp->n_group);
    int d = hp->head_dim, n = list->n;
    double *turned_q = mem_new((size_t)d, sizeof(double)), *turned_k = mem_new((size_t)d, sizeof(double)),
           *w = mem_new((size_t)n, sizeof(double)), top = -INFINITY, sum = 0;
    rotate(p, layer, turned_q, q, p->packed ? n - 1 : p->n_seen);
    for (int j = 0; j < n; j++) {
        rotate(p, layer, turned_k, list->entry[j].k, p->packed ? j : list->entry[j].pos);
        for (int i = 0; i < d; i++)
            w[j] += turned_q[i] * turned_k[i];
        w[j] /= sqrt(hp->query_scalar > 0 ? hp->query_scalar : d);
        if (hp->attention_cap > 0)
            w[j] = hp->attention_cap * tanh(w[j] / hp->attention_cap);
        if (has_window(p->m, layer) && list->entry[j].pos <= p->n_seen - hp->window)
            w[j] = -INFINITY;
        top = fmax(top, w[j]);
    }
    for (int j = 0; j < n; j++)
        sum += w[j] = exp(w[j] - top);
    memset(out, 0, (size_t)d * sizeof *out);
    for (int j = 0; j < n; j++) {
        w[j] /= sum;
        *at(p, layer, head, p->n_seen, list->entry[j].pos) = w[j];
        for (int i = 0; i < d; i++)
            out[i] += w[j] * list->entry[j].v[i];
    }
    mem_free(turned_q);
    mem_free(turned_k);
    mem_free(w);
}

static void block(struct plain *p, int l, double *x)
{
    const struct hparams *hp = &p->m->hp;
    const struct model_layer *layer = &p->m->layer[l];
    int d = hp->d_model, hd = hp->head_dim, q_width = hp->n_head * hd, kv_width = hp->n_kv_head * hd;
    double *norm = mem_new((size_t)d, sizeof(double)), *q = mem_new((size_t)q_width, sizeof(double)),
           *heads = mem_new((size_t)q_width, sizeof(double)), *delta = mem_new((size_t)d, sizeof(double)),
           *gate = mem_new((size_t)hp->d_ff, sizeof(double)), up;
    rmsnorm(hp, norm, x, layer->attn_norm, d);
    product(q, &layer->qkv, 0, q_width, norm);
    for (int h = 0; h < hp->n_kv_head; h++) {
        struct plain_list *list = plain_list(p, l, h);
        struct plain_entry *e = &list->entry[list->n++];
        *e = (struct plain_entry){p->n_seen, mem_new((size_t)hd, sizeof(double)), mem_new((size_t)hd, sizeof(double))};
        product(e->k, &layer->qkv, q_width + h * hd, hd, norm);
        product(e->v, &layer->qkv, q_width + kv_width + h * hd, hd, norm);
    }
    for (int h = 0; h < hp->n_head; h++)
        attend(p, l, h, q + h * hd, heads + h * hd);
    product(delta, &layer->attn_out, 0, d, heads);
    for (int i = 0; i < d; i++)
        x[i] += delta[i];
    rmsnorm(hp, norm, x, layer->ffn_norm, d);
    for (int i = 0; i < hp->d_ff; i++) {
        product(&gate[i], &layer->gate_up, matrix_gate_up_row(hp->d_ff, 0, i), 1, norm);
        product(&up, &layer->gate_up, matrix_gate_up_row(hp->d_ff, 1, i), 1, norm);
        gate[i] = gate[i] / (1 + exp(-gate[i])) * up;
    }
    product(delta, &layer->down, 0, d, gate);
    for (int i = 0; i < d; i++)
        x[i] += delta[i];
    mem_free(norm);
    mem_free(q);
    mem_free(heads);
    mem_free(delta);
    mem_free(gate);
}

/* Only entries of positions `oldest` on stay. */
static void leave_window(struct plain_list *list, int oldest)
{
    int left = 0;
    while (left < list->n && list->entry[left].pos < oldest)
        drop(&list->entry[left++]);
    list->n -= left;
    memmove(list->entry, list->entry + left, (size_t)list->n * sizeof *list->entry);
}

void plain_feed(struct plain *p, int32_t token)
{
    const struct hparams *hp = &p->m->hp;
    double *x = mem_new((size_t)hp->d_model, sizeof(double)), *norm = mem_new((size_t)hp->d_model, sizeof(double));
    for (int i = 0; i < hp->d_model; i++)
        x[i] = (double)matrix_get(&p->m->embedding, token, i) * (double)hp->embedding_scale;
    for (int l = 0; l < hp->n_layer; l++)
        block(p, l, x);
    rmsnorm(hp, norm, x, p->m->output_norm, hp->d_model);
    product(p->logits, &p->m->output, 0, hp->n_vocab, norm);
    p->n_seen++;
    for (int l = 0; l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head && has_window(p->m, l); h++)
            leave_window(plain_list(p, l, h), p->n_seen - hp->window);
    mem_free(x);
    mem_free(norm);
}

int plain_argmax(const struct plain *p)
{
    int best = 0;
    for (int i = 1; i < p->m->hp.n_vocab; i++)
        if (p->logits[i] > p->logits[best])
            best = i;
    return best;
}

double plain_nll(const struct plain *p, int32_t token)
{
    double top = p->logits[plain_argmax(p)], sum = 0;
    for (int i = 0; i < p->m->hp.n_vocab; i++)
        sum += exp(p->logits[i] - top);
    return top + log(sum) - p->logits[token];
}

/* ---- policies -------------------------------------------------------------------------------- */

/* Sum over queries i in [from, n_seen) that are later than j (or j itself, with `own`) of A(i, j). */
static double column(const struct plain *p, int layer, int head, int j, int from, int own)
{
    double sum = 0;
    for (int i = own ? j : j + 1; i < p->n_seen; i++)
        sum += i >= from ? *at(p, layer, head, i, j) : 0;
    return sum;
}

static double snapkv(struct plain *p, const struct plain_rule *r, int layer, int kv_head, int slot, int from)
{
    const struct hparams *hp = &p->m->hp;
    const struct plain_list *list = plain_list(p, layer, kv_head);
    int first = p->n_seen - r->window > from ? p->n_seen - r->window : from, rows = p->n_seen - first;
    int before = list->n > rows ? list->n - rows : 0;
    double sum = 0;
    if (slot >= before)
        return 1e9; /* the window */
    for (int g = 0; g < hp->n_group; g++)
        for (int k = slot - r->kernel / 2; k < slot - r->kernel / 2 + r->kernel; k++)
            for (int i = first; i < p->n_seen && k >= 0 && k < before; i++)
                sum += *at(p, layer, kv_head * hp->n_group + g, i, list->entry[k].pos) / rows;
    return sum / r->kernel / hp->n_group;
}

static double score(struct plain *p, const struct plain_rule *r, int layer, int kv_head, int slot, int from)
{
    const struct hparams *hp = &p->m->hp;
    const struct plain_entry *e = &plain_list(p, layer, kv_head)->entry[slot];
    double sum = 0;
    if (!strcmp(r->policy, "streaming"))
        return e->pos;
    if (!strcmp(r->policy, "snapkv"))
        return snapkv(p, r, layer, kv_head, slot, from);
    if (!strcmp(r->policy, "random"))
        return (double)(float)rng_unit(
            rng_mix(rng_mix(rng_mix(rng_mix(r->policy_seed, r->sample), (uint64_t)layer), (uint64_t)kv_head),
                    (uint64_t)e->pos));
    if (!strcmp(r->policy, "knorm")) {
        for (int i = 0; i < hp->head_dim; i++)
            sum += e->k[i] * e->k[i];
        return -sqrt(sum);
    }
    if (!strcmp(r->policy, "tova"))
        for (int q = 0; q < hp->n_head; q++)
            sum += *at(p, layer, q, p->n_seen - 1, e->pos) / hp->n_head;
    else if (!strcmp(r->policy, "depthkv"))
        for (int q = 0; q < hp->n_head; q++)
            sum += column(p, layer, q, e->pos, from, 0);
    else /* h2o */
        for (int g = 0; g < hp->n_group; g++)
            sum += column(p, layer, kv_head * hp->n_group + g, e->pos, from, 1) / hp->n_group;
    if (!strcmp(r->policy, "visible"))
        sum /= p->n_seen - (e->pos > from ? e->pos : from);
    return sum;
}

/* Protected: 1; a sink takes precedence, then the newest. */
static void protection(const struct plain *p, const struct plain_rule *r, int m, int *sinks, int *recent)
{
    *sinks = !strcmp(r->policy, "streaming") ? r->sinks : 0;
    *recent = !strcmp(r->policy, "h2o")         ? m / 2
              : !strcmp(r->policy, "streaming") ? m - r->sinks
              : !strcmp(r->policy, "tova")      ? 1
              : !strcmp(r->policy, "snapkv")    ? r->window
                                                : 0;
    *recent = r->recent > *recent ? r->recent : *recent;
    *recent = *recent > p->n_seen ? p->n_seen : *recent;
}

/* Removes the worst unprotected entry; of equal ones the earliest. Of protected ones the oldest recent goes first. */
static void remove_worst(struct plain *p, const struct plain_rule *r, int layer, int kv_head, int m,
                         const double *value, double *removed)
{
    struct plain_list *list = plain_list(p, layer, kv_head);
    int sinks, recent, worst = -1;
    protection(p, r, m, &sinks, &recent);
    for (int pass = 0; pass < 2 && worst < 0; pass++)
        for (int j = 0; j < list->n; j++) {
            int pos = list->entry[j].pos, safe = pos < sinks || (pass == 0 && pos >= p->n_seen - recent);
            if (!safe && (worst < 0 || (pass == 0 && value[pos] < value[list->entry[worst].pos])))
                worst = j;
        }
    if (worst < 0)
        worst = list->n - 1; /* nothing but sinks */
    *removed = value[list->entry[worst].pos];
    drop(&list->entry[worst]);
    memmove(&list->entry[worst], &list->entry[worst + 1], (size_t)(list->n - worst - 1) * sizeof *list->entry);
    list->n--;
}

static double margin(struct plain *p, const struct plain_rule *r, int layer, int kv_head, int m, const double *value,
                     double removed)
{
    const struct plain_list *list = plain_list(p, layer, kv_head);
    int sinks, recent;
    double worst = INFINITY;
    protection(p, r, m, &sinks, &recent);
    for (int j = 0; j < list->n; j++)
        if (list->entry[j].pos >= sinks && list->entry[j].pos < p->n_seen - recent)
            worst = fmin(worst, value[list->entry[j].pos]);
    return isinf(worst) ? worst : fabs(worst - removed) / (fabs(worst) + fabs(removed) + 1e-300);
}

double plain_cut(struct plain *p, const struct plain_rule *r, const int *m, int first_query)
{
    const struct hparams *hp = &p->m->hp;
    double *value = mem_new((size_t)p->room, sizeof *value), least = INFINITY;
    for (int l = 0; l < hp->n_layer; l++)
        for (int h = 0; h < hp->n_kv_head; h++) {
            struct plain_list *list = plain_list(p, l, h);
            double removed = 0;
            int cut = list->n > m[l];
            for (int j = 0; j < list->n; j++)
                value[list->entry[j].pos] = score(p, r, l, h, j, first_query);
            while (list->n > m[l])
                remove_worst(p, r, l, h, m[l], value, &removed);
            double here = cut ? margin(p, r, l, h, m[l], value, removed) : (double)INFINITY;
            least = here < least ? here : least;
        }
    mem_free(value);
    return least;
}

static void cut_now(struct plain *p, struct plain_course *c)
{
    double here = plain_cut(p, &c->rule, c->m, c->from);
    c->least = here < c->least ? here : c->least;
}

struct plain *plain_read(const struct model *m, struct plain_course *c, const int32_t *token, int n, int room,
                         int packed)
{
    struct plain *p = plain_create(m, room, packed);
    int size = c->size ? c->size : n;
    c->least = (double)INFINITY;
    c->fed = 0;
    for (int e = 0; e < n;) {
        int begin = e, end = e + size < n ? e + size : n;
        for (; e < end; e++)
            plain_feed(p, token[e]);
        for (int l = 0; l < m->hp.n_layer; l++) {
            int of = c->final ? n : e, k = has_window(m, l) && of > m->hp.window ? m->hp.window : of;
            k = (int)floor(c->keep * k + 1e-9);
            c->m[l] = has_window(m, l) && !c->windows ? room : k < 1 ? 1 : k;
        }
        c->from = c->carry || !c->size ? 0 : begin;
        cut_now(p, c);
    }
    return p;
}

void plain_continue(struct plain *p, struct plain_course *c, int32_t token)
{
    plain_feed(p, token);
    if (c->every && ++c->fed % c->every == 0)
        cut_now(p, c);
}
