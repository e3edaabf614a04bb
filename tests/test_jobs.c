/* How many prompts are computed at once, by the models' sizes, threads, samples and memory. */
#include "harness/run/jobs.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static const struct {
    int width, ff, threads, samples, best;
} choices[] = {
    {576, 1536, 2, 100, 1},                              /* two cores: one prompt has work for both */
    {576, 1536, 4, 100, 1},                              /* SmolLM2-135M: 4 threads to a prompt */
    {576, 1536, 16, 100, 4},   {576, 1536, 16, 3, 3},    /* no more than there are prompts */
    {576, 1536, 16, 1, 1},     {2048, 8192, 16, 100, 1}, /* a billion parameters fill 16 cores */
    {2048, 8192, 256, 100, 3}, {128, 352, 16, 100, 16},  /* a toy */
};

START_TEST(small_models_on_many_cores_take_several_prompts_at_once)
{
    struct exp_model m = {.hp = {.n_layer = 30,
                                 .d_model = choices[_i].width,
                                 .n_head = choices[_i].width / 64,
                                 .n_kv_head = choices[_i].width / 64,
                                 .head_dim = 64,
                                 .d_ff = choices[_i].ff}};
    struct experiment x = {.model = &m, .n_model = 1, .samples = choices[_i].samples};
    struct jobs_choice c;
    jobs_choose(&x, choices[_i].threads, 1e9, 0, &c);
    ck_assert_msg(c.best == choices[_i].best, "case %d: %d at once", _i, c.best);
    ck_assert_int_eq(c.most, choices[_i].threads); /* memory is not known */
}
END_TEST

START_TEST(jobs_share_weights_and_the_memory_of_cells)
{
    struct estimate_group g = {
        .n_cell = 4, .weights = 1000, .activations = 10, .full_cache = 20, .cells = 400, .largest = 50};
    double one = estimate_peak(&g, 200) - g.weights, two = estimate_peak(&g, 100) - g.weights;
    ck_assert_double_eq(jobs_peak(&g, 200, 1), 1000 + one);
    ck_assert_double_eq(jobs_peak(&g, 200, 2), 1000 + 2 * two);
    ck_assert(two < one);
}
END_TEST

Suite *make_jobs_suite(void)
{
    Suite *s = suite_create("jobs");
    TCase *t = tcase_create("jobs");
    tcase_add_loop_test(t, small_models_on_many_cores_take_several_prompts_at_once, 0,
                        (int)(sizeof choices / sizeof *choices));
    tcase_add_test(t, jobs_share_weights_and_the_memory_of_cells);
    suite_add_tcase(s, t);
    return s;
}
