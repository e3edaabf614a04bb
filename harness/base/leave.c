#include "harness/base/leave.h"

#include "harness/base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILE = 8, GRACE_S = 2 };
enum { FREE, TAKEN, NAMED }; /* a name is read only when it stands whole */

static struct {
    atomic_int state;
    char path[PATH_MAX];
} unfinished[MAX_FILE];

static volatile sig_atomic_t asked, polite;

static void say(const char *text)
{
    for (size_t n = strlen(text); n;) {
        ssize_t w = write(STDERR_FILENO, text, n);
        if (w < 0 && errno == EINTR)
            continue;
        if (w <= 0)
            return;
        text += w;
        n -= (size_t)w;
    }
}

static _Noreturn void leave(int status)
{
    for (int i = 0; i < MAX_FILE; i++)
        if (atomic_load(&unfinished[i].state) == NAMED)
            unlink(unfinished[i].path);
    _exit(status);
}

void leave_with(int status, const char *message)
{
    say("depthkv: ");
    say(message);
    say("\n");
    leave(status);
}

void leave_out_of_memory(size_t bytes, const char *what)
{
    char digits[24], *p = digits + sizeof digits - 1;
    *p = '\0';
    do /* printf may ask for memory */
        *--p = (char)('0' + bytes % 10);
    while (bytes /= 10);
    say("depthkv: out of memory: ");
    say(p);
    say(" bytes for ");
    say(what);
    say("\n");
    leave(LEAVE_FAILED);
}

static void on_signal(int sig)
{
    (void)sig;
    if (polite && !asked) {
        asked = 1;
        alarm(GRACE_S);
        return;
    }
    leave_with(LEAVE_INTERRUPTED, "stopped");
}

static void on_alarm(int sig)
{
    (void)sig;
    leave_with(LEAVE_INTERRUPTED, "stopped");
}

static void handle(int sig, void (*handler)(int))
{
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = handler;
    a.sa_flags = SA_RESTART; /* libraries seldom look for EINTR */
    sigaction(sig, &a, NULL);
}

static void handle_signals(void)
{
    handle(SIGALRM, on_alarm);
    handle(SIGINT, on_signal);
    handle(SIGTERM, on_signal);
}

void leave_begin(void)
{
    int fd;
    sigset_t mine;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        close(fd);
    else if (fcntl(STDIN_FILENO, F_GETFD) < 0 || fcntl(STDOUT_FILENO, F_GETFD) < 0 || fcntl(STDERR_FILENO, F_GETFD) < 0)
        leave_with(LEAVE_FAILED,
                   "standard input, output or error is closed, and /dev/null can't be opened in its place");
    handle(SIGXFSZ, SIG_IGN);
    handle_signals();
    sigemptyset(&mine); /* whoever started us may have blocked them */
    sigaddset(&mine, SIGALRM);
    sigaddset(&mine, SIGINT);
    sigaddset(&mine, SIGTERM);
    sigprocmask(SIG_UNBLOCK, &mine, NULL);
}

void leave_when_asked(void)
{
    polite = 1;
    handle_signals();
}

int leave_asked(void)
{
    return asked;
}

int leave_stopped(struct err *e)
{
    return asked ? err_set(e, ERR_INTERRUPTED, "stopped; run the same command again to continue") : 0;
}

int leave_remove(const char *path)
{
    if (strlen(path) >= PATH_MAX)
        return -1;
    for (int i = 0; i < MAX_FILE; i++) {
        int was = FREE;
        if (atomic_compare_exchange_strong(&unfinished[i].state, &was, TAKEN)) {
            strcpy(unfinished[i].path, path);
            atomic_store(&unfinished[i].state, NAMED);
            return i;
        }
    }
    return -1;
}

void leave_forget(int number)
{
    if (number >= 0)
        atomic_store(&unfinished[number].state, FREE);
}
