/* Hyper-parameters, the table of tensors that they imply, and their place in memory: one arena in which every tensor is
 * packed in the panels that the kernels read (matrix.h). Q, K and V of a layer are one matrix there, and so are gate
 * and up, so that the forward pass multiplies by each group in one product. */
#include "models/model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/half.h"
#include "models/model_file.h"
#include "models/model_int.h"
#include "models/threads.h"
#include "models/transformer.h"

/* ---- hyper-parameters ------------------------------------------------------------------------ */

static int check_range(const char *name, int v, int max, struct err *e)
{
    if (v >= 1 && v <= max)
        return 0;
    return err_set(e, ERR_SHAPE, "%s is %d, expected 1 to %d", name, v, max);
}

/* NaN compares false, so it is refused too. */
static int check_real(const char *name, double v, double min, double max, struct err *e)
{
    if (v >= min && v <= max)
        return 0;
    return err_set(e, ERR_SHAPE, "%s is %g, expected %g to %g", name, v, min, max);
}

int model_rope_pairs(const struct hparams *hp)
{
    return (hp->rope_dim ? hp->rope_dim : hp->head_dim) / 2;
}

int model_rope_long(const struct hparams *hp, int longest)
{
    return hp->rope_scaling == MODEL_ROPE_LONGROPE && longest > hp->rope_original_context;
}

/* Of one list of longrope there is a factor for every pair that rotates, and no more. */
static int check_divisors(const char *name, const float *divisor, int pairs, struct err *e)
{
    for (int i = 0; i < DIMS_MAX_HEAD_DIM / 2; i++) {
        double v = (double)divisor[i];
        if (i >= pairs && v != 0)
            return err_set(e, ERR_SHAPE, "%s has a factor for pair %d, expected one for each of %d pairs", name, i,
                           pairs);
        if (i < pairs && !(v >= 1e-6 && v <= 1e6))
            return err_set(e, ERR_SHAPE, "%s: factor %d of %d is %g, expected 1e-6 to 1e6", name, i, pairs, v);
    }
    return 0;
}

/* The long factors are there where a sequence can be long, and only there. */
static int check_longrope(const struct hparams *hp, struct err *e)
{
    if (check_range("head_dim", hp->head_dim, DIMS_MAX_HEAD_DIM, e) ||
        check_range("rope_original_context", hp->rope_original_context, DIMS_MAX_CONTEXT, e) ||
        check_real("rope_attention_factor", hp->rope_attention_factor, 1e-3, 1e3, e))
        return -1;
    if (hp->rope_dim < 0 || hp->rope_dim > hp->head_dim)
        return err_set(e, ERR_SHAPE, "rope_dim is %d, expected 0 to head_dim (%d)", hp->rope_dim, hp->head_dim);
    int longs = model_rope_long(hp, hp->context_length) ? model_rope_pairs(hp) : 0;
    if (check_divisors("rope_divisor", hp->rope_divisor, model_rope_pairs(hp), e) ||
        check_divisors("rope_long_divisor", hp->rope_long_divisor, longs, e))
        return -1;
    if (hp->rope_local_base != 0)
        return err_set(e, ERR_SHAPE, "rope_local_base is %g, expected 0 with rope_scaling longrope",
                       hp->rope_local_base);
    return 0;
}

static int check_rope(const struct hparams *hp, struct err *e)
{
    if (check_real("rope_base", hp->rope_base, 1, 1e12, e))
        return -1;
    if (hp->rope_scaling == MODEL_ROPE_PLAIN)
        return 0;
    if (hp->rope_scaling == MODEL_ROPE_LONGROPE)
        return check_longrope(hp, e);
    if (check_real("rope_factor", hp->rope_factor, 1e-3, 1e6, e))
        return -1;
    if (hp->rope_scaling == MODEL_ROPE_LINEAR)
        return 0;
    if (check_real("rope_low_freq_factor", hp->rope_low_freq_factor, 1e-3, 1e6, e) ||
        check_real("rope_high_freq_factor", hp->rope_high_freq_factor, 1e-3, 1e6, e) ||
        check_range("rope_original_context", hp->rope_original_context, DIMS_MAX_CONTEXT, e))
        return -1;
    if (hp->rope_high_freq_factor <= hp->rope_low_freq_factor)
        return err_set(e, ERR_SHAPE, "rope_high_freq_factor is %g, expected more than rope_low_freq_factor (%g)",
                       hp->rope_high_freq_factor, hp->rope_low_freq_factor);
    return 0;
}

enum model_layer_kind model_layer_kind(const struct hparams *hp, int layer)
{
    return hp->layer_kinds[0] ? (enum model_layer_kind)hp->layer_kinds[layer] : MODEL_LAYER_FULL;
}

int model_layers_alike(const struct hparams *hp)
{
    return strspn(hp->layer_kinds, "f") == strlen(hp->layer_kinds);
}

int model_layer_prunable(const struct hparams *hp, int layer)
{
    return model_layer_kind(hp, layer) != MODEL_LAYER_WINDOW;
}

double model_layer_holds(const struct hparams *hp, int layer, double n)
{
    return model_layer_kind(hp, layer) == MODEL_LAYER_WINDOW && n > hp->window ? hp->window : n;
}

double model_holds(const struct hparams *hp, double n)
{
    double sum = 0;
    for (int l = 0; l < hp->n_layer; l++)
        sum += model_layer_holds(hp, l, n);
    return sum;
}

int model_n_prunable(const struct hparams *hp)
{
    int n = 0;
    for (int l = 0; l < hp->n_layer; l++)
        n += model_layer_prunable(hp, l);
    return n;
}

static int check_layers(const struct hparams *hp, struct err *e)
{
    size_t n = strlen(hp->layer_kinds), known = strspn(hp->layer_kinds, "fwn");
    int windowed = strchr(hp->layer_kinds, MODEL_LAYER_WINDOW) != NULL;
    if (n && n != (size_t)hp->n_layer)
        return err_set(e, ERR_SHAPE, "layer_kinds has %zu letters, expected one for each of %d layers", n, hp->n_layer);
    if (known < n)
        return err_set(e, ERR_SHAPE, "layer_kinds: layer %zu is '%c', expected f, w or n", known,
                       hp->layer_kinds[known]);
    if (windowed ? check_range("window", hp->window, DIMS_MAX_CONTEXT, e) : 0)
        return -1;
    if (!windowed && (hp->window || hp->rope_local_base != 0))
        return err_set(e, ERR_SHAPE, "window is %d and rope_local_base is %g, but no layer has a window", hp->window,
                       hp->rope_local_base);
    return hp->rope_local_base != 0 ? check_real("rope_local_base", hp->rope_local_base, 1, 1e12, e) : 0;
}

/* Values of which zero says that there is no such thing. */
static int check_options(const struct hparams *hp, struct err *e)
{
    const struct {
        const char *name;
        double v;
    } reals[] = {{"query_scalar", hp->query_scalar},
                 {"attention_cap", hp->attention_cap},
                 {"logit_cap", hp->logit_cap},
                 {"residual_scale", hp->residual_scale},
                 {"logit_scale", hp->logit_scale}};
    for (size_t i = 0; i < sizeof reals / sizeof *reals; i++)
        if (reals[i].v != 0 && check_real(reals[i].name, reals[i].v, 1e-6, 1e9, e))
            return -1;
    if (hp->qk_norm < MODEL_QK_NORM_NONE || hp->qk_norm > MODEL_QK_NORM_WHOLE)
        return err_set(e, ERR_SHAPE, "qk_norm is %d, expected 0 to %d", hp->qk_norm, MODEL_QK_NORM_WHOLE);
    if (hp->rope_dim < 0 || hp->rope_dim > hp->head_dim || hp->rope_dim % 2 != 0)
        return err_set(e, ERR_SHAPE, "rope_dim is %d, expected an even number up to head_dim (%d)", hp->rope_dim,
                       hp->head_dim);
    return 0;
}

int hparams_check(struct hparams *hp, struct err *e)
{
    if (check_range("n_layer", hp->n_layer, DIMS_MAX_LAYER, e) ||
        check_range("d_model", hp->d_model, DIMS_MAX_WIDTH, e) || check_range("n_head", hp->n_head, DIMS_MAX_HEAD, e) ||
        check_range("n_kv_head", hp->n_kv_head, DIMS_MAX_HEAD, e) ||
        check_range("head_dim", hp->head_dim, DIMS_MAX_HEAD_DIM, e) ||
        check_range("d_ff", hp->d_ff, DIMS_MAX_WIDTH, e) || check_range("n_vocab", hp->n_vocab, DIMS_MAX_VOCAB, e) ||
        check_range("context_length", hp->context_length, DIMS_MAX_CONTEXT, e) ||
        check_real("norm_eps", (double)hp->norm_eps, 0, 1, e) ||
        check_real("norm_offset", (double)hp->norm_offset, 0, 1, e) ||
        check_real("embedding_scale", (double)hp->embedding_scale, 1e-6, 1e6, e) || check_rope(hp, e))
        return -1;
    if (hp->n_head % hp->n_kv_head != 0)
        return err_set(e, ERR_SHAPE, "n_head %d is no multiple of n_kv_head %d", hp->n_head, hp->n_kv_head);
    if (hp->head_dim % 2 != 0)
        return err_set(e, ERR_SHAPE, "head_dim is %d, expected an even number (rotation works on pairs)", hp->head_dim);
    hp->n_group = hp->n_head / hp->n_kv_head;
    return check_options(hp, e) || check_layers(hp, e) ? -1 : 0;
}

/* ---- the table of tensors -------------------------------------------------------------------- */

enum size { ONE, D_MODEL, Q_ROWS, KV_ROWS, Q_NORM_SIZE, K_NORM_SIZE, D_FF, N_VOCAB };
enum when { ALWAYS, WHEN_BIAS, WHEN_QK_NORM, WHEN_BEFORE, WHEN_AFTER, WHEN_UNTIED };
enum place {
    EMBEDDING,
    ATTN_NORM,
    WQ,
    WK,
    WV,
    BQ,
    BK,
    BV,
    Q_NORM,
    K_NORM,
    WO,
    ATTN_POST_NORM,
    FFN_NORM,
    GATE,
    UP,
    DOWN,
    FFN_POST_NORM,
    OUTPUT_NORM,
    OUTPUT,
    N_PLACE
};

static const struct row {
    const char *name;
    enum size dim[2];
    enum when when;
    const char *why;
} table[N_PLACE] = {
    [EMBEDDING] = {"embedding", {N_VOCAB, D_MODEL}, ALWAYS, "n_vocab x d_model"},
    [ATTN_NORM] = {"attn_norm", {D_MODEL, ONE}, WHEN_BEFORE, "d_model"},
    [WQ] = {"wq", {Q_ROWS, D_MODEL}, ALWAYS, "n_head*head_dim x d_model"},
    [WK] = {"wk", {KV_ROWS, D_MODEL}, ALWAYS, "n_kv_head*head_dim x d_model"},
    [WV] = {"wv", {KV_ROWS, D_MODEL}, ALWAYS, "n_kv_head*head_dim x d_model"},
    [BQ] = {"bq", {Q_ROWS, ONE}, WHEN_BIAS, "n_head*head_dim"},
    [BK] = {"bk", {KV_ROWS, ONE}, WHEN_BIAS, "n_kv_head*head_dim"},
    [BV] = {"bv", {KV_ROWS, ONE}, WHEN_BIAS, "n_kv_head*head_dim"},
    [Q_NORM] = {"q_norm", {Q_NORM_SIZE, ONE}, WHEN_QK_NORM, "head_dim, or n_head*head_dim"},
    [K_NORM] = {"k_norm", {K_NORM_SIZE, ONE}, WHEN_QK_NORM, "head_dim, or n_kv_head*head_dim"},
    [WO] = {"wo", {D_MODEL, Q_ROWS}, ALWAYS, "d_model x n_head*head_dim"},
    [ATTN_POST_NORM] = {"attn_post_norm", {D_MODEL, ONE}, WHEN_AFTER, "d_model"},
    [FFN_NORM] = {"ffn_norm", {D_MODEL, ONE}, WHEN_BEFORE, "d_model"},
    [GATE] = {"gate", {D_FF, D_MODEL}, ALWAYS, "d_ff x d_model"},
    [UP] = {"up", {D_FF, D_MODEL}, ALWAYS, "d_ff x d_model"},
    [DOWN] = {"down", {D_MODEL, D_FF}, ALWAYS, "d_model x d_ff"},
    [FFN_POST_NORM] = {"ffn_post_norm", {D_MODEL, ONE}, WHEN_AFTER, "d_model"},
    [OUTPUT_NORM] = {"output_norm", {D_MODEL, ONE}, ALWAYS, "d_model"},
    [OUTPUT] = {"output", {N_VOCAB, D_MODEL}, WHEN_UNTIED, "n_vocab x d_model"},
};
enum { FIRST_IN_LAYER = ATTN_NORM, LAST_IN_LAYER = FFN_POST_NORM };

static int present(const struct hparams *hp, enum place p)
{
    switch (table[p].when) {
    case WHEN_BIAS: return hp->qkv_bias != 0;
    case WHEN_QK_NORM: return hp->qk_norm != MODEL_QK_NORM_NONE;
    case WHEN_BEFORE: return hp->norms != MODEL_NORMS_AFTER;
    case WHEN_AFTER: return hp->norms != MODEL_NORMS_BEFORE;
    case WHEN_UNTIED: return !hp->tied;
    default: return 1;
    }
}

static int size_of(const struct hparams *hp, enum size s)
{
    switch (s) {
    case D_MODEL: return hp->d_model;
    case Q_ROWS: return hp->n_head * hp->head_dim;
    case KV_ROWS: return hp->n_kv_head * hp->head_dim;
    case Q_NORM_SIZE: return (hp->qk_norm == MODEL_QK_NORM_WHOLE ? hp->n_head : 1) * hp->head_dim;
    case K_NORM_SIZE: return (hp->qk_norm == MODEL_QK_NORM_WHOLE ? hp->n_kv_head : 1) * hp->head_dim;
    case D_FF: return hp->d_ff;
    case N_VOCAB: return hp->n_vocab;
    default: return 1;
    }
}

static int per_layer(const struct hparams *hp)
{
    int n = 0;
    for (int p = FIRST_IN_LAYER; p <= LAST_IN_LAYER; p++)
        n += present(hp, (enum place)p);
    return n;
}

int model_n_tensor(const struct hparams *hp)
{
    return 2 + hp->n_layer * per_layer(hp) + present(hp, OUTPUT);
}

/* Which row of the table tensor i is, and of which layer (-1: of none). */
static enum place locate(const struct hparams *hp, int i, int *layer)
{
    int n = per_layer(hp);
    *layer = -1;
    if (i == 0)
        return EMBEDDING;
    if (i > hp->n_layer * n)
        return i == hp->n_layer * n + 1 ? OUTPUT_NORM : OUTPUT;
    *layer = (i - 1) / n;
    int skip = (i - 1) % n, p = FIRST_IN_LAYER;
    for (;; p++)
        if (present(hp, (enum place)p) && skip-- == 0)
            return (enum place)p;
}

void model_tensor_at(const struct hparams *hp, int i, struct model_tensor *out)
{
    int layer;
    const struct row *r = &table[locate(hp, i, &layer)];
    if (layer < 0)
        snprintf(out->name, sizeof out->name, "%s", r->name);
    else
        snprintf(out->name, sizeof out->name, "layers/%d/%s", layer, r->name);
    out->rank = r->dim[1] == ONE ? 1 : 2;
    out->dim[0] = size_of(hp, r->dim[0]);
    out->dim[1] = size_of(hp, r->dim[1]);
    out->why = r->why;
}

struct hash_sha256_ctx *model_hash_begin(const struct hparams *hp)
{
    struct hash_sha256_ctx *c = hash_sha256_create();
    struct str s = {0};
    model_file_hparams_text(hp, &s);
    hash_sha256_update(c, s.p, s.n);
    str_free(&s);
    return c;
}

void model_hash_name(struct hash_sha256_ctx *c, const struct model_tensor *t, const char *type)
{
    struct str s = {0};
    str_addf(&s, "%s %s %d %d\n", t->name, type, t->dim[0], t->dim[1]);
    hash_sha256_update(c, s.p, s.n);
    str_free(&s);
}

void model_hash_tensor(struct hash_sha256_ctx *c, const struct model_tensor *t, const char *type, const void *data,
                       size_t bytes)
{
    model_hash_name(c, t, type);
    hash_sha256_update(c, data, bytes);
}

/* ---- the arena ------------------------------------------------------------------------------- */

enum { ALIGN = 64 };

/* Rows of the matrix that tensor p begins or is part of; 0 for a vector. */
static int matrix_rows(const struct hparams *hp, enum place p)
{
    switch (p) {
    case WQ:
    case WK:
    case WV: return (hp->n_head + 2 * hp->n_kv_head) * hp->head_dim;
    case GATE:
    case UP: return 2 * hp->d_ff;
    default: return table[p].dim[1] == ONE ? 0 : size_of(hp, table[p].dim[0]);
    }
}

static struct matrix as_matrix(const struct hparams *hp, enum place p, const void *at, enum model_dtype held_as)
{
    struct matrix m = {
        .rows = matrix_rows(hp, p), .cols = size_of(hp, table[p].dim[1]), .is_bf16 = held_as == MODEL_BF16};
    if (held_as == MODEL_BF16)
        m.bf16 = at;
    else
        m.f32 = at;
    return m;
}

/* Moves *at to where tensor p begins and returns where it ends. Every matrix begins aligned, and so does every vector
 * but the biases bk and bv, which follow bq without a gap. wk, wv and up have their room in wq's and gate's matrix.
 * Vectors are always float. */
static size_t reserve(const struct hparams *hp, enum place p, enum model_dtype held_as, size_t *at)
{
    if (p == WK || p == WV || p == UP)
        return *at;
    if (p != BK && p != BV)
        *at = (*at + ALIGN - 1) / ALIGN * ALIGN;
    if (!matrix_rows(hp, p))
        return *at + (size_t)size_of(hp, table[p].dim[0]) * sizeof(float);
    struct matrix m = as_matrix(hp, p, NULL, held_as);
    return *at + matrix_elements(&m) * (held_as == MODEL_BF16 ? 2 : 4);
}

/* Points the struct's fields at their places; called for the tensors in order, `at` being theirs. */
static void attach(struct model *m, enum place p, int layer, void *at, enum model_dtype held_as)
{
    struct model_layer *l = layer < 0 ? NULL : &m->layer[layer];
    struct matrix self = as_matrix(&m->hp, p, at, held_as);
    switch (p) {
    case EMBEDDING: m->embedding = self; break;
    case ATTN_NORM: l->attn_norm = at; break;
    case WQ: l->qkv = self; break;
    case BQ: l->qkv_bias = at; break;
    case Q_NORM: l->q_norm = at; break;
    case K_NORM: l->k_norm = at; break;
    case WO: l->attn_out = self; break;
    case ATTN_POST_NORM: l->attn_post_norm = at; break;
    case FFN_NORM: l->ffn_norm = at; break;
    case GATE: l->gate_up = self; break;
    case DOWN: l->down = self; break;
    case FFN_POST_NORM: l->ffn_post_norm = at; break;
    case OUTPUT_NORM: m->output_norm = at; break;
    case OUTPUT: m->output = self; break;
    default: break; /* wk, wv, bk, bv, up: parts of what the first of them set */
    }
}

size_t model_held_bytes(const struct hparams *hp, enum model_dtype held_as)
{
    size_t total = 0;
    int layer;
    for (int i = 0; i < model_n_tensor(hp); i++)
        total = reserve(hp, locate(hp, i, &layer), held_as, &total);
    return total;
}

/* A model with its arena laid out and only the matrices' padding written; place[i] is where tensor i, if it is a
 * vector, belongs. */
struct model *model_lay_out(const struct hparams *hp, enum model_dtype held_as, void ***place, struct err *e)
{
    int n = model_n_tensor(hp), layer;
    size_t total = model_held_bytes(hp, held_as), end = 0;
    struct model *m = mem_new(1, sizeof *m);
    m->hp = *hp;
    m->layer = mem_new((size_t)hp->n_layer, sizeof *m->layer);
    m->rope_freq = m->rope_local = m->rope_long = mem_new((size_t)hp->head_dim / 2, sizeof *m->rope_freq);
    if (hp->rope_local_base != 0)
        m->rope_local = mem_new((size_t)hp->head_dim / 2, sizeof *m->rope_local);
    if (model_rope_long(hp, hp->context_length))
        m->rope_long = mem_new((size_t)hp->head_dim / 2, sizeof *m->rope_long);
    m->arena = mem_try_raw(total, 1, "the weights", e);
    if (!m->arena) {
        model_close(m);
        return NULL;
    }
    m->weight_bytes = total;
    threads_place(transformer_threads());
    *place = mem_new((size_t)n, sizeof **place);
    for (int i = 0; i < n; i++) {
        enum place p = locate(hp, i, &layer);
        size_t at = end;
        end = reserve(hp, p, held_as, &at);
        (*place)[i] = (char *)m->arena + at;
        attach(m, p, layer, (*place)[i], held_as);
        if (end > at && matrix_rows(hp, p)) {
            struct matrix x = as_matrix(hp, p, NULL, held_as);
            matrix_touch(&x, (*place)[i]);
        }
    }
    if (hp->tied)
        m->output = m->embedding;
    return m;
}

/* The matrix that tensor p of a layer belongs to; *first: where its first row lies there, but for gate and up. */
static const struct matrix *matrix_of(const struct model *m, enum place p, int layer, int *first)
{
    const struct model_layer *l = layer < 0 ? NULL : &m->layer[layer];
    int q = m->hp.n_head * m->hp.head_dim, kv = m->hp.n_kv_head * m->hp.head_dim;
    *first = p == WK ? q : p == WV ? q + kv : 0;
    switch (p) {
    case EMBEDDING: return &m->embedding;
    case OUTPUT: return &m->output;
    case WQ:
    case WK:
    case WV: return &l->qkv;
    case WO: return &l->attn_out;
    case GATE:
    case UP: return &l->gate_up;
    default: return &l->down;
    }
}

/* Rows [from, from + n) of tensor i, row-major in src (f32, or bf16 for matrices of a model held so), to their place.
 */
void model_put(struct model *m, int i, void *place, const void *src, int from, int n)
{
    int layer, first;
    enum place p = locate(&m->hp, i, &layer);
    if (!matrix_rows(&m->hp, p)) {
        memcpy((float *)place + from, src, (size_t)n * sizeof(float));
        return;
    }
    const struct matrix *x = matrix_of(m, p, layer, &first);
    int *where = NULL;
    if (p == GATE || p == UP) {
        where = mem_new((size_t)n, sizeof *where);
        for (int r = 0; r < n; r++)
            where[r] = matrix_gate_up_row(m->hp.d_ff, p == UP, from + r);
    }
    size_t at = (size_t)((x->f32 ? (const char *)x->f32 : (const char *)x->bf16) - (const char *)m->arena);
    if (x->f32)
        matrix_pack_f32(x, (float *)((char *)m->arena + at), src, n, first + from, where);
    else
        matrix_pack_bf16(x, (uint16_t *)((char *)m->arena + at), src, n, first + from, where);
    mem_free(where);
}

/* Pair i of those that rotate turns by base^(-2 i / dimensions). */
static double plain_frequency(const struct hparams *hp, double base, int pair)
{
    int dims = hp->rope_dim ? hp->rope_dim : hp->head_dim;
    return pair < dims / 2 ? pow(base, -2.0 * pair / dims) : 0;
}

/* "linear" divides by the factor. "llama3" (Llama 3.1) divides the frequencies whose wavelength exceeds the original
 * context / low_freq_factor, keeps those below original context / high_freq_factor, and blends between. */
double model_rope_frequency(const struct hparams *hp, int pair, int is_long)
{
    const double two_pi = 6.283185307179586476925286766559;
    double f = plain_frequency(hp, hp->rope_base, pair);
    if (hp->rope_scaling == MODEL_ROPE_LINEAR)
        f /= hp->rope_factor;
    if (hp->rope_scaling == MODEL_ROPE_LLAMA3) {
        double turns = hp->rope_original_context * f / two_pi;
        double s = (turns - hp->rope_low_freq_factor) / (hp->rope_high_freq_factor - hp->rope_low_freq_factor);
        s = s < 0 ? 0 : s > 1 ? 1 : s;
        f = (1 - s) * f / hp->rope_factor + s * f;
    }
    if (hp->rope_scaling == MODEL_ROPE_LONGROPE && pair < model_rope_pairs(hp))
        f /= (double)(is_long ? hp->rope_long_divisor : hp->rope_divisor)[pair];
    return f;
}

/* Where fewer than all dimensions rotate, the pairs of the others stand still: the importers put the members of a
 * pair head_dim / 2 apart all the same. */
void model_fill_rope(struct model *m)
{
    for (int i = 0; i < m->hp.head_dim / 2; i++) {
        m->rope_freq[i] = model_rope_frequency(&m->hp, i, 0);
        if (m->rope_long != m->rope_freq)
            m->rope_long[i] = model_rope_frequency(&m->hp, i, 1);
        if (m->rope_local != m->rope_freq)
            m->rope_local[i] = plain_frequency(&m->hp, m->hp.rope_local_base, i);
    }
}

void model_close(struct model *m)
{
    if (!m)
        return;
    tokenizer_destroy(m->tokenizer);
    mem_free(m->path);
    mem_free(m->source_name);
    if (m->rope_local != m->rope_freq)
        mem_free(m->rope_local);
    if (m->rope_long != m->rope_freq)
        mem_free(m->rope_long);
    mem_free(m->rope_freq);
    mem_free(m->layer);
    mem_free(m->arena);
    mem_free(m);
}

struct model *model_build(const struct hparams *hp,
                          int (*fetch)(void *ctx, const char *name, float *dst, size_t n, struct err *e), void *ctx,
                          struct err *e)
{
    return model_build_held(hp, MODEL_F32, fetch, ctx, e);
}

struct model *model_build_held(const struct hparams *given, enum model_dtype held_as,
                               int (*fetch)(void *ctx, const char *name, float *dst, size_t n, struct err *e),
                               void *ctx, struct err *e)
{
    struct hparams hp = *given;
    void **place = NULL;
    if (hparams_check(&hp, e))
        return NULL;
    struct model *m = model_lay_out(&hp, held_as, &place, e);
    if (!m)
        return NULL;
    struct hash_sha256_ctx *hash = model_hash_begin(&hp);
    int rc = 0;
    for (int i = 0, n = model_n_tensor(&hp); i < n && rc == 0; i++) {
        struct model_tensor t;
        model_tensor_at(&hp, i, &t);
        size_t count = (size_t)t.dim[0] * (size_t)t.dim[1];
        float *x = mem_try(count, sizeof *x, t.name, e);
        rc = x ? fetch(ctx, t.name, x, count, e) : -1;
        if (rc == 0) {
            model_hash_tensor(hash, &t, "f32", x, count * 4);
            uint16_t *narrow = (uint16_t *)(void *)x; /* written behind what is still to be read */
            for (size_t k = 0; held_as == MODEL_BF16 && t.rank == 2 && k < count; k++) {
                uint16_t h = half_to_bf16(x[k]);
                memcpy(narrow + k, &h, sizeof h);
            }
            model_put(m, i, place[i], x, 0, t.dim[0]);
        }
        mem_free(x);
    }
    hash_sha256_finish(hash, m->sha256);
    mem_free(place);
    model_fill_rope(m);
    if (rc) {
        model_close(m);
        return NULL;
    }
    return m;
}
