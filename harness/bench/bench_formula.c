#include "harness/bench/bench_formula.h"

#include "models/kvcache.h"

/* The parts of a forward pass that are products, and the arithmetic of their limit where the model's is bf16.
 * Attention's products are bf16 then, too, but no candidate of theirs is: their limit is what float32 reaches, which is
 * too low. */
static const enum model_dtype if_bf16[BENCH_N_LIMIT] = {
    [BENCH_SQUARE] = MODEL_BF16, /* weights, a prompt's rows */
    [BENCH_QK] = MODEL_F32,      /* a prompt's queries with keys */
    [BENCH_PV] = MODEL_F32,      /* and what they weigh with values */
    [BENCH_ROWS32] = MODEL_BF16, /* weights, a row of each cell */
    [BENCH_BANDWIDTH] = MODEL_F32,
};

enum model_dtype bench_arithmetic(const struct model *m, enum bench_limit i)
{
    return m->arithmetic == MODEL_BF16 ? if_bf16[i] : MODEL_F32;
}

static double layer_weights(const struct hparams *hp)
{
    double d = hp->d_model, q = (double)hp->n_head * hp->head_dim, kv = (double)hp->n_kv_head * hp->head_dim;
    return d * (q + 2 * kv) + q * d + 3 * d * hp->d_ff; /* qkv, attention's output, gate and up and down */
}

double bench_linear_flop(const struct hparams *hp, double rows)
{
    return 2 * rows * layer_weights(hp) * hp->n_layer;
}

double bench_output_flop(const struct hparams *hp, double rows)
{
    return 2 * rows * (double)hp->d_model * hp->n_vocab;
}

double bench_causal_flop(const struct hparams *hp, double n)
{
    double pairs = 0; /* of a query and a key that it sees: of the last query as many as the layer then holds */
    for (int l = 0; l < hp->n_layer; l++) {
        double w = model_layer_holds(hp, l, n);
        pairs += w * (w + 1) / 2 + (n - w) * w;
    }
    return 2 * pairs * hp->head_dim * hp->n_head;
}

double bench_entry_bytes(const struct hparams *hp, enum model_dtype held_as)
{
    return (double)kvcache_entry_bytes(hp, held_as) * hp->n_kv_head * hp->n_layer;
}

double bench_cache_bytes(const struct hparams *hp, double n, enum model_dtype held_as)
{
    return (double)kvcache_entry_bytes(hp, held_as) * hp->n_kv_head * model_holds(hp, n);
}

double bench_weight_bytes(const struct model *m)
{
    const struct hparams *hp = &m->hp;
    double element = m->output.bf16 ? 2 : 4;
    double kv = (double)hp->n_kv_head * hp->head_dim, q = (double)hp->n_head * hp->head_dim;
    double of_layer = (hp->norms == MODEL_NORMS_AROUND ? 4.0 : 2.0) * hp->d_model; /* norms before, after, or both */
    of_layer += hp->qkv_bias ? q + 2 * kv : 0;
    of_layer += hp->qk_norm == MODEL_QK_NORM_WHOLE ? q + kv : hp->qk_norm ? 2.0 * hp->head_dim : 0;
    double vectors = (of_layer * hp->n_layer + hp->d_model) * sizeof(float);
    return (layer_weights(hp) * hp->n_layer + (double)hp->d_model * hp->n_vocab) * element + vectors;
}

double bench_mean_entries(double cached, double steps)
{
    return cached + (steps + 1) / 2;
}
