/* The runner: every suite in a process of its own, as many at once as there are cores (DEPTHKV_TEST_JOBS=N: N), and
 * what each of them said, in the order of suites.h however they end. Ends with Check's own summary line, of all. Fails
 * when nothing ran, because a misspelt CK_RUN_CASE would otherwise pass.
 *
 * CK_RUN_SUITE=name runs one suite in this process; CK_FORK=no all, one after the other, as a debugger wants it. */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/suites.h"

/* Of one suite, or of all. */
struct result {
    int ran, failures, errors;
};

static struct part {
    const char *name;
    Suite *(*make)(void);
    FILE *said;            /* what it printed; NULL: it did not begin */
    struct result *result; /* in memory that is shared with its process */
    pid_t pid;             /* 0: it did not begin, or has ended */
    int bad;               /* 1: its process did not end as one does whose tests passed */
} parts[] = {
#define SUITE(stem) {.name = #stem, .make = make_##stem##_suite},
    ALL_SUITES
#undef SUITE
};
enum { N_PART = sizeof parts / sizeof *parts };

static int is_asked_for(const struct part *p)
{
    const char *only = getenv("CK_RUN_SUITE");
    return !only || strcmp(only, p->name) == 0;
}

static void run_here(const struct part *p, struct result *out)
{
    SRunner *r = srunner_create(p->make());
    srunner_run_all(r, CK_ENV);
    TestResult **failed = srunner_failures(r);
    for (int i = 0; i < srunner_ntests_failed(r); i++)
        *(tr_rtype(failed[i]) == CK_FAILURE ? &out->failures : &out->errors) += 1;
    out->ran += srunner_ntests_run(r);
    free(failed);
    srunner_free(r);
}

static int is_good(const struct result *r)
{
    return r->failures == 0 && r->errors == 0;
}

/* A process for the suite, whose output goes to a file. */
static void begin(struct part *p)
{
    pid_t parent = getpid();
    p->said = tmpfile();
    fflush(stdout);
    if (!p->said || (p->pid = fork()) < 0) {
        perror("run-tests: no process for a suite");
        exit(EXIT_FAILURE);
    }
    if (p->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (getppid() != parent || dup2(fileno(p->said), STDOUT_FILENO) < 0 || dup2(fileno(p->said), STDERR_FILENO) < 0)
        _exit(EXIT_FAILURE);
    run_here(p, p->result);
    exit(is_good(p->result) ? EXIT_SUCCESS : EXIT_FAILURE);
}

static void wait_for_one(void)
{
    int status;
    pid_t pid = wait(&status);
    for (int i = 0; i < N_PART; i++)
        if (pid > 0 && parts[i].pid == pid) {
            parts[i].pid = 0;
            parts[i].bad = !WIFEXITED(status) || WEXITSTATUS(status) != EXIT_SUCCESS;
        }
}

/* What a suite that has ended said, unless it had nothing to run. A process that broke down is an error of its own. */
static void tell(struct part *p, struct result *sum)
{
    char text[4096];
    size_t n;
    if (p->bad && is_good(p->result)) {
        p->result->errors++;
        fprintf(p->said, "suite %s broke down\n", p->name);
    }
    rewind(p->said);
    while ((p->result->ran || p->bad) && (n = fread(text, 1, sizeof text, p->said)) > 0)
        fwrite(text, 1, n, stdout);
    fflush(stdout);
    fclose(p->said);
    sum->ran += p->result->ran;
    sum->failures += p->result->failures;
    sum->errors += p->result->errors;
}

static int jobs(void)
{
    const char *set = getenv("DEPTHKV_TEST_JOBS");
    cpu_set_t cores;
    int n = set ? atoi(set) : sched_getaffinity(0, sizeof cores, &cores) == 0 ? CPU_COUNT(&cores) : 1;
    return n > 1 ? n : 1;
}

static void run_side_by_side(struct result *sum)
{
    int begun = 0, told = 0, running = 0, most = jobs();
    struct result *shared =
        mmap(NULL, sizeof *shared * N_PART, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("run-tests");
        exit(EXIT_FAILURE);
    }
    while (told < N_PART) {
        for (; begun < N_PART && running < most; begun++, running++) {
            parts[begun].result = &shared[begun];
            begin(&parts[begun]);
        }
        wait_for_one();
        running--;
        for (; told < begun && parts[told].pid == 0; told++)
            tell(&parts[told], sum);
    }
    munmap(shared, sizeof *shared * N_PART);
}

int main(void)
{
    struct result sum = {0};
    const char *fork_mode = getenv("CK_FORK");
    int one_by_one = getenv("CK_RUN_SUITE") || (fork_mode && strcmp(fork_mode, "no") == 0);
    setenv("CK_DEFAULT_TIMEOUT", "60", 0);   /* against what hangs: Check's 4 seconds are few, */
    setenv("CK_TIMEOUT_MULTIPLIER", "5", 0); /* and a busy machine has less for each suite */
    if (!one_by_one)
        run_side_by_side(&sum);
    for (int i = 0; i < N_PART && one_by_one; i++)
        if (is_asked_for(&parts[i]))
            run_here(&parts[i], &sum);
    if (sum.ran == 0)
        fputs("no test ran\n", stderr);
    else if (!getenv("CK_RUN_SUITE"))
        printf("%d%%: Checks: %d, Failures: %d, Errors: %d\n", 100 * (sum.ran - sum.failures - sum.errors) / sum.ran,
               sum.ran, sum.failures, sum.errors);
    return sum.ran && is_good(&sum) ? EXIT_SUCCESS : EXIT_FAILURE;
}
