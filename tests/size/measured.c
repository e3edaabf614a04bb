/* measured LIMIT FILE COMMAND...: runs a command with at most LIMIT bytes of address space (0: as many as it likes),
 * adds the line "seconds peak_rss_bytes status" to FILE, and exits as the command did. Mapped files count in the limit.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fprintf(stderr, "usage: measured LIMIT FILE COMMAND...\n");
        return 2;
    }
    unsigned long long limit = strtoull(argv[1], NULL, 10);
    double begin = now();
    pid_t child = fork();
    if (child == 0) {
        struct rlimit space = {limit, limit};
        if (limit && setrlimit(RLIMIT_AS, &space)) {
            perror("setrlimit");
            _exit(126);
        }
        execvp(argv[3], argv + 3);
        perror(argv[3]);
        _exit(127);
    }
    int status = 0;
    struct rusage used = {0};
    while (child > 0 && wait4(child, &status, 0, &used) < 0 && errno == EINTR)
        ;
    if (child < 0) {
        perror("fork");
        return 126;
    }
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    FILE *f = fopen(argv[2], "a");
    if (!f || fprintf(f, "%.2f %lld %d\n", now() - begin, 1024LL * used.ru_maxrss, code) < 0 || fclose(f)) {
        perror(argv[2]);
        return 126;
    }
    return code;
}
