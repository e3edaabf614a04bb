/* Which kernels OpenBLAS shall take, by what the processor can, what the library has and what it has chosen. */
#include <string.h>

#include "models/blas_choice.h"
#include "models/kernels.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static const char *lacking;

static int has(const char *core)
{
    return !lacking || !strstr(lacking, core);
}

static const struct {
    const char *has_now;
    enum blas_level processor;
    int amd, below;
    const char *lacking, *want;
} choices[] = {
    {"Prescott", BLAS_AVX512_BF16, 0, BLAS_N_LEVEL, NULL, "Cooperlake"}, /* a Sapphire Rapids that nobody knows */
    {"prescott", BLAS_AVX512_BF16, 0, BLAS_N_LEVEL, "Cooperlake", "SkylakeX"},
    {"Prescott", BLAS_AVX512_BF16, 0, BLAS_AVX512_BF16, NULL, "SkylakeX"}, /* Cooperlake was asked for in vain */
    {"Prescott", BLAS_AVX512, 0, BLAS_N_LEVEL, NULL, "SkylakeX"},
    {"Haswell", BLAS_AVX512, 0, BLAS_N_LEVEL, "SkylakeX", NULL},
    {"Barcelona", BLAS_AVX2, 1, BLAS_N_LEVEL, NULL, "Zen"},
    {"Barcelona", BLAS_AVX2, 1, BLAS_N_LEVEL, "Zen", "Haswell"},
    {"Nehalem", BLAS_AVX2, 0, BLAS_N_LEVEL, NULL, "Haswell"},
    {"Nehalem", BLAS_AVX, 0, BLAS_N_LEVEL, NULL, "Sandybridge"},
    {"Zen", BLAS_AVX512_BF16, 1, BLAS_N_LEVEL, NULL, "Cooperlake"},
    {"SkylakeX", BLAS_AVX512, 0, BLAS_N_LEVEL, NULL, NULL}, /* nothing is better */
    {"SapphireRapids", BLAS_AVX512_BF16, 0, BLAS_N_LEVEL, NULL, NULL},
    {"Haswell", BLAS_AVX2, 1, BLAS_N_LEVEL, NULL, NULL},  /* as good as Zen's */
    {"SkylakeX", BLAS_AVX2, 0, BLAS_N_LEVEL, NULL, NULL}, /* never something narrower */
    {"Prescott", BLAS_SSE, 0, BLAS_N_LEVEL, NULL, NULL},
    {"NeoverseN9", BLAS_AVX512, 0, BLAS_N_LEVEL, NULL, NULL}, /* what is not known is left alone */
};

START_TEST(the_best_kernels_that_there_are_and_that_the_processor_can_run)
{
    lacking = choices[_i].lacking;
    const char *got = blas_choice_better(choices[_i].has_now, choices[_i].processor, choices[_i].amd, choices[_i].below,
                                         has),
               *want = choices[_i].want;
    ck_assert_msg(got == want || (got && want && strcmp(got, want) == 0), "case %d: %s, not %s", _i, got ? got : "none",
                  want ? want : "none");
}
END_TEST

START_TEST(this_processor_runs_what_is_chosen_for_it)
{
    int amd;
    enum blas_level most = blas_choice_processor(&amd);
    ck_assert(most >= BLAS_SSE && most < BLAS_N_LEVEL);
    const char *own = kernels_set();
    ck_assert_int_eq(most >= BLAS_AVX512, strcmp(own, "x86-64-v4") == 0);
    ck_assert_int_eq(most >= BLAS_AVX2, strcmp(own, "x86-64-v4") == 0 || strcmp(own, "x86-64-v3") == 0);
    /* the library may have taken a set that is too old to be asked for: then there is a better one to start again with
     */
    const char *core = blas_choice_core(), *better;
    better = *core ? blas_choice_better(core, most, amd, BLAS_N_LEVEL, blas_choice_has) : NULL;
    if (better) {
        ck_assert_int_eq(blas_choice_has(better), 1);
        ck_assert_int_gt(blas_choice_level(better), blas_choice_level(core));
        ck_assert_ptr_null(blas_choice_better(better, most, amd, BLAS_N_LEVEL, blas_choice_has));
    }
}
END_TEST

Suite *make_blas_choice_suite(void)
{
    Suite *s = suite_create("blas_choice");
    TCase *t = tcase_create("choice");
    tcase_add_loop_test(t, the_best_kernels_that_there_are_and_that_the_processor_can_run, 0,
                        (int)(sizeof choices / sizeof *choices));
    tcase_add_test(t, this_processor_runs_what_is_chosen_for_it);
    suite_add_tcase(s, t);
    return s;
}
