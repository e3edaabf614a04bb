/* How much of what a cell keeps its baseline keeps as well: of every layer and KV head the entries that both kept, as a
 * share of those that at least one of them kept (Jaccard's index), and the mean of these. 1 is the same set; of two
 * that a budget f draws by chance it is f / (2 - f). */
#include <math.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/report/aggregate.h"
#include "harness/rows/keptfile.h"

const char aggregate_kept_overlap[] = "kept_overlap";

/* NAN where they are of different models or lengths. */
static double overlap(const struct keepset *x, const struct keepset *y)
{
    size_t heads = (size_t)x->n_layer * (size_t)x->n_kv_head;
    double sum = 0;
    if (x->n_layer != y->n_layer || x->n_kv_head != y->n_kv_head || x->n != y->n)
        return (double)NAN;
    for (size_t h = 0; h < heads; h++) {
        int both = 0, any = 0;
        for (size_t i = h * x->words; i < (h + 1) * x->words; i++) {
            both += __builtin_popcountll(x->bits[i] & y->bits[i]);
            any += __builtin_popcountll(x->bits[i] | y->bits[i]);
        }
        sum += any ? (double)both / any : 1;
    }
    return heads ? sum / (double)heads : (double)NAN;
}

static int read_row(const struct aggregate *a, const struct keptfile *k, const struct agg_row *r, struct keepset **out,
                    struct err *e)
{
    *out = NULL;
    return r && r->ok ? keptfile_read(k, a->cell[r->cell].id, (int)r->sample, r->question_id, r->key, out, e) : 0;
}

/* 1 when the cell is compared with one that prunes. */
static int is_asked(const struct aggregate *a, const struct agg_cell *c)
{
    return c->baseline >= 0 && strcmp(aggregate_text(&a->cell[c->baseline], "policy"), "full") != 0;
}

static int of_cell(struct aggregate *a, const struct keptfile *k, const struct agg_cell *c, struct err *e)
{
    for (int i = c->first; i < c->first + c->n_row; i++) {
        struct agg_row *r = &a->row[i];
        struct keepset *own, *its;
        int bad = read_row(a, k, r, &own, e);
        if (bad || !own)
            its = NULL;
        else
            bad = read_row(a, k, aggregate_partner(a, c->baseline, r), &its, e);
        int at = !bad && its ? aggregate_extra(a, aggregate_kept_overlap) : -1;
        if (at >= 0)
            r->extra[at] = overlap(own, its);
        else if (!bad && its)
            bad = err_set(e, ERR_FORMAT, "%s: more than %d different metrics, no room for %s", c->id, AGG_MAX_EXTRA,
                          aggregate_kept_overlap);
        keepset_destroy(own);
        keepset_destroy(its);
        if (bad)
            return -1;
    }
    return 0;
}

int aggregate_kept(struct aggregate *a, const char *dir, struct err *e)
{
    int rc = 0, n_asked = 0;
    for (int c = 0; c < a->n_cell; c++)
        n_asked += is_asked(a, &a->cell[c]);
    struct err mine = {0};
    struct keptfile *k = n_asked ? keptfile_look(dir, &mine) : NULL;
    if (!k && mine.code) {
        if (e)
            *e = mine;
        return -1;
    }
    for (int c = 0; c < a->n_cell && k && rc == 0; c++)
        if (is_asked(a, &a->cell[c]))
            rc = of_cell(a, k, &a->cell[c], e);
    keptfile_close(k);
    return rc;
}
