/* The example policy of CONTRIBUTING.md: the text is the file's, and the policy works. */
#include <math.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "policies/policy.h"
#include "tests/suites.h"

/* Under a name of the test's own, so that whoever tries the recipe may copy the example as it stands. */
#define policy_vnorm example_policy_vnorm
#include "tests/example_policy.c"

START_TEST(the_block_in_contributing_is_the_file)
{
    static const char fence[] = "```c\n";
    size_t n, whole;
    char *code = fs_read("tests/example_policy.c", &n, NULL), *page = fs_read("CONTRIBUTING.md", &whole, NULL);
    ck_assert(code && page);
    char *block = strstr(page, fence);
    ck_assert_ptr_nonnull(block);
    block += strlen(fence);
    ck_assert_msg(strncmp(block, code, n) == 0 && strncmp(block + n, "```\n", 4) == 0,
                  "the example in CONTRIBUTING.md is not tests/example_policy.c");
    mem_free(code);
    mem_free(page);
}
END_TEST

START_TEST(the_example_scores_by_value_norm_and_protects_its_recents)
{
    static const float values[2][6] = {{3, 4, 0, 0, -1, 0}, {0, 2, 5, 12, 0, -0.5f}};
    static const float want[2][3] = {{5, 0, 1}, {2, 13, 0.5f}};
    static const int32_t pos[3] = {0, 1, 2};
    struct policy_head head[2] = {{.n_entry = 3, .pos = pos, .values = values[0]},
                                  {.n_entry = 3, .pos = pos, .values = values[1]}};
    struct policy_view view = {.n_layer = 1, .n_head = 2, .n_kv_head = 2, .n_group = 1, .head_dim = 2, .head = head};
    float out[2][3], *score[2] = {out[0], out[1]};
    struct policy_protection p = {0};
    struct err e;
    void *config = mem_new(1, policy_vnorm.config_size);
    ck_assert_msg(policy_validate(&policy_vnorm, &e) == 0, "%s", e.msg);
    param_defaults(policy_vnorm.params, config);
    ck_assert_int_eq(policy_vnorm.score(config, &view, score, &e), 0);
    for (int h = 0; h < 2; h++)
        for (int j = 0; j < 3; j++)
            ck_assert_msg(fabsf(out[h][j] - want[h][j]) < 1e-6f, "head %d entry %d: %g", h, j, (double)out[h][j]);
    policy_vnorm.protect(config, 5, &p);
    ck_assert(p.sinks == 0 && p.recent == 5);
    policy_vnorm.protect(config, 100, &p);
    ck_assert(p.sinks == 0 && p.recent == 8);
    param_fini(policy_vnorm.params, config);
    mem_free(config);
}
END_TEST

Suite *make_example_policy_suite(void)
{
    Suite *s = suite_create("example_policy");
    TCase *t = tcase_create("example");
    tcase_add_test(t, the_block_in_contributing_is_the_file);
    tcase_add_test(t, the_example_scores_by_value_norm_and_protects_its_recents);
    suite_add_tcase(s, t);
    return s;
}
