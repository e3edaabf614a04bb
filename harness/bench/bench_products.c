#include "harness/bench/bench_products.h"

#include "harness/base/clock.h"
#include "harness/bench/bench_formula.h"
#include "harness/bench/bench_loop.h"
#include "harness/bench/bench_product.h"
#include "harness/report/table.h"
#include "models/kernels_bf16.h"
#include "models/kernels_many.h"
#include "models/share.h"
#include "models/transformer.h"

enum { TOKENS = 2048, KEYS = 512, STACK = 192, MOST_OUTPUTS = 4096, N_PRODUCT = 6 };

struct named {
    const char *name;
    struct bench_product p;
};

/* What a column is: how all products of the table are computed in it. */
struct column {
    struct str head;
    int blas, many, way; /* many: of kernels_many, way: of kernels_bf16; -1: as it is */
    enum model_dtype arithmetic;
};
enum { MAX_COLUMN = 16 };

/* Rows of the operands are a line longer than they need be: as the engine has those of attention, and so that lengths
 * which are powers of two do not decide. A try takes a millisecond at least, so that the clock and the start of the
 * threads do not count. */
static struct named product_of(const char *name, enum bench_form form, int m, int n, int k)
{
    enum { APART = 16 };
    double flop = 2.0 * m * n * k;
    size_t lda = (size_t)k + APART, ldc = (size_t)n + APART, ldb = form == BENCH_VALUES ? (size_t)n : (size_t)k;
    return (struct named){name,
                          {.form = form,
                           .m = m,
                           .n = n,
                           .k = k,
                           .lda = lda,
                           .ldb = ldb,
                           .ldc = ldc,
                           .a_step = (size_t)m * lda,
                           .c_step = (size_t)m * ldc,
                           .task = transformer_threads(),
                           .calls = flop < 1e8 ? (int)(1e8 / flop) + 1 : 1}};
}

/* The products that a model's prefill is made of. */
static void list_products(const struct hparams *hp, struct named list[N_PRODUCT])
{
    int q = hp->n_head * hp->head_dim, kv = hp->n_kv_head * hp->head_dim, up = 2 * hp->d_ff;
    struct share_rows s = share_rows(TOKENS, transformer_threads());
    int rows = s.blocks ? s.block_rows : SHARE_LEAST_ROWS;
    up = up < MOST_OUTPUTS ? up : MOST_OUTPUTS; /* more of them are more of the same */
    list[0] = product_of("qkv", BENCH_WEIGHTS, rows, q + 2 * kv, hp->d_model);
    list[1] = product_of("attn_out", BENCH_WEIGHTS, rows, hp->d_model, q);
    list[2] = product_of("gate_up", BENCH_WEIGHTS, rows, up, hp->d_model);
    list[3] = product_of("down", BENCH_WEIGHTS, rows, hp->d_model, hp->d_ff);
    list[4] = product_of("q k^T", BENCH_SCORES, STACK, KEYS, hp->head_dim);
    list[5] = product_of("p v", BENCH_VALUES, STACK, hp->head_dim, KEYS);
}

static enum bench_limit limit_of(const struct bench_product *p)
{
    return p->form == BENCH_SCORES ? BENCH_QK : p->form == BENCH_VALUES ? BENCH_PV : BENCH_SQUARE;
}

static struct column *add_column(struct column *list, int *n, const char *name, int used)
{
    struct column *c = &list[(*n)++];
    *c = (struct column){.many = -1, .way = -1};
    str_addf(&c->head, "%s%s", name, used ? " (used)" : "");
    return c;
}

static int list_columns(const struct model *m, struct column list[MAX_COLUMN])
{
    int n = 0, bf16 = m->arithmetic == MODEL_BF16;
    add_column(list, &n, "OpenBLAS", 0)->blas = 1;
    if (bf16)
        add_column(list, &n, "float32", 0);
    for (int i = 0; !bf16 && i < kernels_many_count() && n < MAX_COLUMN; i++)
        add_column(list, &n, kernels_many_name(i), i == kernels_many_now())->many = i;
    for (int i = 0; bf16 && i <= KERNELS_BF16_TILES && n < MAX_COLUMN; i++)
        if (kernels_bf16_has((enum kernels_bf16_way)i)) {
            struct column *c = add_column(list, &n, kernels_bf16_names[i], (int)kernels_bf16_chosen() == i);
            c->way = i;
            c->arithmetic = MODEL_BF16;
        }
    return n;
}

/* The product as the column has it; 0: it is never computed so. */
static int in_column(const struct model *m, const struct column *c, struct bench_product *p)
{
    if (c->arithmetic == MODEL_BF16) {
        if (bench_arithmetic(m, limit_of(p)) != MODEL_BF16)
            return 0;
        p->held = p->arithmetic = MODEL_BF16;
        p->a_step = kernels_bf16_words((size_t)p->m, (size_t)p->k);
    }
    if (c->blas)
        p->form = p->form == BENCH_VALUES ? BENCH_A_B : BENCH_A_BT;
    return 1;
}

/* FLOP/s of all threads, the best of some tries. */
static int rate_of(const struct column *c, const struct bench_product *p, double *rate, struct err *e)
{
    static const double ENOUGH = 0.06; /* seconds */
    struct bench_operands o;
    double begin = clock_seconds();
    int shape = kernels_many_now();
    if (bench_operands_make(p, 1, &o, e))
        return -1;
    if (c->many >= 0)
        kernels_many_choose(c->many);
    if (c->way >= 0)
        kernels_bf16_take((enum kernels_bf16_way)c->way);
    *rate = 0;
    do {
        double r = bench_product_rate(p, 1, &o);
        *rate = r > *rate ? r : *rate;
    } while (clock_seconds() - begin < ENOUGH);
    kernels_many_choose(shape);
    kernels_bf16_take(KERNELS_BF16_N_WAY);
    bench_operands_free(&o);
    return 0;
}

/* loop: rates on registers, of float32 and of bf16. */
static int measure(const struct model *m, const struct named *x, const double loop[2], const struct column *column,
                   int n, struct table *t, struct err *e)
{
    struct str name = {0};
    str_addf(&name, "%s %d x %d x %d", x->name, x->p.m, x->p.n, x->p.k);
    table_add(t, &name);
    table_add_number(t, loop[bench_arithmetic(m, limit_of(&x->p)) == MODEL_BF16] / 1e9, 1);
    for (int i = 0; i < n; i++) {
        struct bench_product p = x->p;
        double rate;
        if (!in_column(m, &column[i], &p)) {
            table_add_text(t, "-");
            continue;
        }
        if (rate_of(&column[i], &p, &rate, e))
            return -1;
        table_add_number(t, rate / 1e9, 1);
    }
    return 0;
}

int bench_products(const struct model *m, struct quote *out, struct err *e)
{
    struct named list[N_PRODUCT];
    struct column column[MAX_COLUMN];
    int rc = 0, n = list_columns(m, column), threads = transformer_threads();
    double loop[2] = {bench_loop_rate(MODEL_F32, threads), 0};
    struct table t = {.n_column = 2 + n, .left = 1};
    struct str head = {0};
    if (m->arithmetic == MODEL_BF16)
        loop[1] = bench_loop_rate(MODEL_BF16, threads);
    list_products(&m->hp, list);
    str_addf(&head, "GFLOP/s, %d thread%s", threads, threads > 1 ? "s" : "");
    table_add(&t, &head);
    table_add_text(&t, "loop");
    for (int i = 0; i < n; i++)
        table_add(&t, &column[i].head);
    for (int i = 0; i < N_PRODUCT && rc == 0; i++)
        rc = measure(m, &list[i], loop, column, n, &t, e);
    if (rc == 0)
        table_write(&t, out);
    table_free(&t);
    return rc;
}
