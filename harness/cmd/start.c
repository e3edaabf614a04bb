#include "harness/cmd/start.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/again.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "models/blas_choice.h"
#include "models/kernels_many.h"
#include "models/threads.h"
#include "models/transformer.h"

/* How often a waiting thread looks before it sleeps. OpenMP's 300000 looks take 5 to 15 ms: more than a whole loop of
 * ours, and where another process wants the core, time that it does not get. 10000 outlast the pauses between loops. */
static const char SPIN[] = "10000";

/* What the program that started this one has left in DEPTHKV_RESTART: "1 Prescott Cooperlake", the kernels that there
 * were and those that were asked for ("1 - -": no others). */
struct past {
    int never, again;
    char had[32], asked[32]; /* "" where kernels were not asked for */
};

static void read_past(struct past *p)
{
    const char *text = getenv("DEPTHKV_RESTART");
    memset(p, 0, sizeof *p);
    if (!text)
        return;
    p->never = strcmp(text, "0") == 0;
    p->again = sscanf(text, "1 %31s %31s", p->had, p->asked) == 2;
    if (!p->again || blas_choice_level(p->asked) < 0)
        p->had[0] = p->asked[0] = '\0';
}

/* set: what the user has said, which is obeyed; else why: the program could not start again. */
static void warn(const char *better, const char *set, const char *why)
{
    const char *core = blas_choice_core();
    const char *level = blas_choice_level_name((enum blas_level)blas_choice_level(core));
    const char *could = blas_choice_level_name((enum blas_level)blas_choice_level(better));
    if (set)
        quote_show(
            stderr,
            "warning: OPENBLAS_CORETYPE=%s makes OpenBLAS use its kernels %s (%s), and this processor can run %s "
            "(%s): without OPENBLAS_CORETYPE the program takes those\n",
            set, core, level, better, could);
    else
        quote_show(stderr,
                   "warning: OpenBLAS uses its kernels %s (%s), and this processor can run %s (%s), but the program "
                   "did not start again to tell it so: %s; set OPENBLAS_CORETYPE=%s\n",
                   core, level, better, could, why, better);
}

/* The kernels that are better than those that there are, NULL: none. Also tells what an earlier start was for. */
static const char *better_core(const struct past *past)
{
    static char had[sizeof past->had];
    const char *core = blas_choice_core();
    int amd, below = past->asked[0] ? blas_choice_level(past->asked) : BLAS_N_LEVEL;
    enum blas_level processor = blas_choice_processor(&amd);
    if (past->asked[0] && strcmp(core, past->had) != 0) {
        memcpy(had, past->had, sizeof had);
        blas_choice_note(had);
    }
    if (!*core || (past->asked[0] && blas_choice_level(core) >= below))
        return NULL;
    return blas_choice_better(core, processor, amd, below,
                              blas_choice_has); /* below: what was asked for is not there */
}

static int ask_for_core(const struct past *past, const char *core)
{
    char record[96];
    const char *had = past->asked[0] ? past->had : blas_choice_core();
    snprintf(record, sizeof record, "1 %s %s", core ? had : "-", core ? core : "-");
    return setenv("DEPTHKV_RESTART", record, 1) || (core && setenv("OPENBLAS_CORETYPE", core, 1));
}

/* 1: a variable that is read while OpenMP is loaded was set. Not where the user has said anything about it. */
static int ask_for_threads(void)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return 0;
    return setenv("GOMP_SPINCOUNT", SPIN, 1) == 0;
}

/* No number depends on the shape. */
static int choose_tile(void)
{
    const char *name = getenv("DEPTHKV_TILE"), *known[16];
    int n = kernels_many_count(), i = name && *name ? kernels_many_find(name) : -1;
    for (int k = 0; k < n && k < 16; k++)
        known[k] = kernels_many_name(k);
    if (name && *name && i < 0) {
        quote_show(stderr, "depthkv: DEPTHKV_TILE=%s: this processor has no such shape%s; it has", name,
                   str_did_you_mean(name, known, n < 16 ? n : 16));
        for (int k = 0; k < n; k++)
            quote_show(stderr, "%s %s", k ? "," : "", kernels_many_name(k));
        quote_show(stderr, "\n");
        return -1;
    }
    kernels_many_choose(i);
    return 0;
}

int start_prepare(void)
{
    struct past past;
    struct err why = {0};
    read_past(&past);
    const char *core = better_core(&past), *set = past.asked[0] ? NULL : getenv("OPENBLAS_CORETYPE");
    set = set && *set ? set : NULL;
    int spin = !past.again && ask_for_threads();
    err_set(&why, ERR_IO, "DEPTHKV_RESTART=0 forbids it");
    if (((core && !set) || spin) && !past.never && ask_for_core(&past, set ? NULL : core) == 0)
        again_start(&why);
    unsetenv("DEPTHKV_RESTART");
    if (!getenv("OMP_NUM_THREADS"))
        transformer_set_threads(threads_cores());
    if (core)
        warn(core, set, why.msg);
    else if (past.asked[0] && !blas_choice_instead_of())
        quote_show(stderr,
                   "warning: OpenBLAS uses its kernels %s, also where OPENBLAS_CORETYPE asks for others that this "
                   "processor can run\n",
                   blas_choice_core());
    return choose_tile();
}
