/* Attention by the definition, in double precision: what the other two are compared with. */
#include <math.h>

#include "harness/base/mem.h"
#include "models/attention_int.h"
#include "models/half.h"
#include "models/kernels_ref.h"

/* x[n] becomes softmax(x). */
static double weigh_wide(double *x, int n)
{
    kernels_ref_softmax(x, n);
    return 1;
}

/* In bf16 arithmetic scores are powers of two, and weights are rounded before they are divided by the sum that is
 * returned: so they are relative to a whole number, which changes none but in its exponent. */
static double weigh_narrow(double *x, int n)
{
    double top = x[0], sum = 0;
    for (int i = 1; i < n; i++)
        top = x[i] > top ? x[i] : top;
    for (int i = 0; i < n; i++)
        sum += x[i] = exp2(x[i] - ceil(top));
    return sum;
}

/* One number of a query, key, weight or value as a factor. */
static double factor(int narrow, double x)
{
    return narrow ? (double)half_round_bf16((float)x) : x;
}

/* One query by the definition, in double precision. It sees positions from `oldest` on. score becomes the softmax. */
static void reference_row(const struct attention_job *j, const float *q, const struct kv_segment *seg,
                          const struct kv_tail *tail, int n_tail, int32_t oldest, double *score, float *out)
{
    const struct hparams *hp = j->hp;
    int narrow = j->arithmetic == MODEL_BF16, n_seg = seg ? seg->n : 0, n = n_seg + n_tail;
    double root = sqrt(hp->query_scalar != 0 ? hp->query_scalar : (double)hp->head_dim);
    double cap = hp->attention_cap * (narrow ? 1 / log(2) : 1);
    float scale = narrow ? attention_query_scale(hp) : 1; /* of the query, which is rounded then, not of the score */
    size_t d = (size_t)hp->head_dim;
    for (int i = 0; i < n; i++) {
        struct kv_rows k = i < n_seg ? kvrows_at(seg->k, (size_t)i * d) : kvrows_at(tail->k, (size_t)(i - n_seg) * d);
        score[i] = 0;
        for (size_t x = 0; x < d; x++)
            score[i] += factor(narrow, (double)(q[x] * scale)) * factor(narrow, (double)kvrows_number(k, x));
        score[i] /= narrow ? 1 : root;
        if (cap != 0)
            score[i] = cap * tanh(score[i] / cap);
        if ((i < n_seg ? seg->pos[i] : tail->pos[i - n_seg]) < oldest)
            score[i] = -INFINITY;
    }
    double total = narrow ? weigh_narrow(score, n) : weigh_wide(score, n);
    for (size_t x = 0; x < d; x++) {
        double sum = 0;
        for (int i = 0; i < n; i++)
            sum += factor(narrow, score[i]) *
                   factor(narrow, (double)(i < n_seg ? kvrows_number(seg->v, (size_t)i * d + x)
                                                     : kvrows_number(tail->v, (size_t)(i - n_seg) * d + x)));
        out[x] = (float)(sum / total);
    }
    for (int i = 0; i < n; i++)
        score[i] /= total;
}

int attention_reference(struct attention_scratch *s, const struct attention_job *j, struct err *e)
{
    const struct hparams *hp = j->hp;
    int rc = -1, *first = mem_new((size_t)j->n_cache + 1, sizeof *first), widest = 1;
    int gather = attention_is_watched(j);
    attention_row_ranges(j, first);
    for (int c = 0; c < j->n_cache; c++)
        for (int h = 0; h < hp->n_kv_head; h++)
            widest =
                kvcache_n_entry(j->cache[c], j->layer, h) > widest ? kvcache_n_entry(j->cache[c], j->layer, h) : widest;
    double *score = mem_new((size_t)widest, sizeof *score);
    float *weight = mem_new((size_t)widest, sizeof *weight);
    if (gather && attention_gather_begin(&s->gather, j, 1, e))
        goto out;
    for (int q = 0; q < hp->n_head; q++)
        for (int c = 0; c < j->n_cache; c++) {
            const struct kv_segment *seg = kvcache_segment(j->cache[c], j->layer, q / hp->n_group);
            const struct kv_tail *tail = kvcache_tail(j->cache[c], j->layer, q / hp->n_group);
            int rows = first[c + 1] - first[c];
            for (int r = 0; r < rows; r++) {
                int row = first[c] + r, n_tail = tail->n - rows + r + 1, n = (seg ? seg->n : 0) + n_tail;
                size_t at = (size_t)q * (size_t)hp->head_dim;
                reference_row(j, j->q + (size_t)row * j->ldq + at, seg, tail, n_tail,
                              attention_oldest(hp, j->layer, j->row[row].pos), score,
                              j->out + (size_t)row * (size_t)hp->n_head * (size_t)hp->head_dim + at);
                for (int i = 0; i < n; i++)
                    weight[i] = (float)score[i];
                if (gather) /* one block a row: the reduction is then a sum of doubles */
                    attention_gather_row(&s->gather, q, r, weight, n - r - 1);
                if (j->tap && j->tap->weights && j->tap->weights(j->tap->ctx, j->layer, q, row, weight, n, e))
                    goto out;
            }
        }
    rc = gather ? attention_gather_end(&s->gather, j, e) : 0;
out:
    mem_free(first);
    mem_free(score);
    mem_free(weight);
    return rc;
}
