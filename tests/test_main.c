/* The runner: all suites in one process tree. Fails when nothing ran, because a misspelt CK_RUN_CASE would
 * otherwise pass. Ends with Check's own summary line. */
#include <stdio.h>
#include <stdlib.h>

#include "tests/suites.h"

int main(void)
{
    setenv("CK_DEFAULT_TIMEOUT", "60", 0); /* also of a suite that runs bare: 4 seconds are few on a busy machine */
    SRunner *r = srunner_create(NULL);
#define SUITE(stem) srunner_add_suite(r, make_##stem##_suite());
    ALL_SUITES
#undef SUITE
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r), ran = srunner_ntests_run(r);
    srunner_free(r);
    if (ran == 0)
        fputs("no test ran\n", stderr);
    return failed || !ran ? EXIT_FAILURE : EXIT_SUCCESS;
}
