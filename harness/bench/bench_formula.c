#include "harness/bench/bench_formula.h"

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
    double pairs = n * (n + 1) / 2; /* of a query and a key that it sees */
    return 2 * pairs * hp->head_dim * hp->n_head * hp->n_layer;
}

double bench_entry_bytes(const struct hparams *hp)
{
    return 2.0 * sizeof(float) * hp->head_dim * hp->n_kv_head * hp->n_layer;
}

double bench_weight_bytes(const struct model *m)
{
    const struct hparams *hp = &m->hp;
    double element = m->output.bf16 ? 2 : 4;
    double kv = (double)hp->n_kv_head * hp->head_dim, q = (double)hp->n_head * hp->head_dim;
    double vectors = (2.0 * hp->n_layer + 1) * hp->d_model * sizeof(float);
    vectors += hp->n_layer * (hp->qkv_bias ? (q + 2 * kv) * sizeof(float) : 0);
    vectors += hp->n_layer * (hp->qk_norm ? 2.0 * hp->head_dim * sizeof(float) : 0);
    return (layer_weights(hp) * hp->n_layer + (double)hp->d_model * hp->n_vocab) * element + vectors;
}

double bench_mean_entries(double cached, double steps)
{
    return cached + (steps + 1) / 2;
}
