/* Where threads run: one a core where nobody has said anything else, and nothing is left behind in the caller. */
#include <omp.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "models/threads.h"
#include "tests/lib/support.h"
#include "tests/suites.h"

static int may(void)
{
    cpu_set_t mask;
    ck_assert_int_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    return CPU_COUNT(&mask);
}

static void nobody_asked(void)
{
    unsetenv("OMP_PROC_BIND");
    unsetenv("OMP_PLACES");
    unsetenv("GOMP_CPU_AFFINITY");
    threads_placing(2);
}

START_TEST(every_thread_but_the_first_has_a_core_of_its_own)
{
    int n = threads_cores() < 4 ? threads_cores() : 4, all = may();
    nobody_asked();
    ck_assert(n >= 1 && n <= (int)sysconf(_SC_NPROCESSORS_ONLN));
    int placed = threads_place(n);
    if (placed) { /* not on one core, not where another program has the cores or a mask was set */
        ck_assert_int_eq(placed, n - 1);
        int shared = 0, cpu[4] = {0}, of[4] = {0};
#pragma omp parallel num_threads(n)
        {
            cpu[omp_get_thread_num()] = sched_getcpu();
            of[omp_get_thread_num()] = may();
        }
        for (int i = 1; i < n; i++) {
            ck_assert_int_lt(of[i], all + (all == 1));
            for (int j = 1; j < i; j++)
                shared |= cpu[i] == cpu[j];
        }
        ck_assert_int_eq(shared, 0);
        ck_assert_int_eq(threads_place(n), placed); /* again: nothing to do */
    }
    ck_assert_int_eq(may(), all);
}
END_TEST

START_TEST(who_has_said_where_threads_belong_is_obeyed)
{
    static const char *const name[] = {"OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"};
    for (int i = 0; i < 3; i++) {
        nobody_asked();
        setenv(name[i], i == 2 ? "0" : "cores", 1);
        ck_assert_int_eq(threads_place(2), 0);
        unsetenv(name[i]);
    }
    nobody_asked();
    ck_assert_int_eq(threads_place(threads_cores() + 1), 0);
    threads_placing(0);
    ck_assert_int_eq(threads_place(threads_cores()), 0);
}
END_TEST

START_TEST(a_mask_that_is_not_the_whole_machine_is_kept)
{
    cpu_set_t mask;
    ck_assert_int_eq(sched_getaffinity(0, sizeof mask, &mask), 0);
    if (CPU_COUNT(&mask) < 2)
        return;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &mask)) {
            CPU_CLR(cpu, &mask);
            break;
        }
    ck_assert_int_eq(sched_setaffinity(0, sizeof mask, &mask), 0);
    nobody_asked();
    ck_assert_int_le(threads_cores(), CPU_COUNT(&mask));
    ck_assert_int_eq(threads_place(2), 0);
}
END_TEST

Suite *make_threads_suite(void)
{
    Suite *s = suite_create("threads");
    TCase *t = tcase_create("places");
    tcase_add_test(t, every_thread_but_the_first_has_a_core_of_its_own);
    tcase_add_test(t, who_has_said_where_threads_belong_is_obeyed);
    tcase_add_test(t, a_mask_that_is_not_the_whole_machine_is_kept);
    suite_add_tcase(s, t);
    return s;
}
