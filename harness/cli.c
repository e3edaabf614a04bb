#include "harness/cli.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/str.h"
#include "models/transformer.h"

int cli_fail(const struct err *e)
{
    fprintf(stderr, "depthkv: %s\n", e->msg);
    if (e->code == ERR_INTERRUPTED)
        return CLI_INTERRUPTED;
    return e->code == ERR_USAGE || e->code == ERR_CONFIG ? CLI_USAGE : CLI_FAILED;
}

int cli_usage(const char *sub, const char *fmt, ...)
{
    va_list ap;
    fprintf(stderr, "depthkv %s: ", sub);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fprintf(stderr, "; see 'depthkv %s -h'\n", sub);
    return CLI_USAGE;
}

int cli_int(const char *sub, const char *option, const char *text, int64_t min, int64_t max, int64_t *out)
{
    int64_t v;
    if (str_to_int64(text, &v) || v < min || v > max) {
        cli_usage(sub, "%s: expected a whole number in [%lld, %lld], found '%s'", option, (long long)min,
                  (long long)max, text);
        return -1;
    }
    *out = v;
    return 0;
}

int cli_threads(const char *sub, const char *text)
{
    int64_t n;
    if (cli_int(sub, "--threads", text, 1, 1024, &n))
        return -1;
    transformer_set_threads((int)n);
    return 0;
}

static volatile sig_atomic_t interrupts;

static void on_interrupt(int sig)
{
    (void)sig;
    if (++interrupts > 1)
        _exit(CLI_INTERRUPTED);
}

void cli_catch_interrupt(void)
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_interrupt;
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
}

int cli_interrupted(void)
{
    return interrupts > 0;
}
