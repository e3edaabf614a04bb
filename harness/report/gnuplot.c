#include "harness/report/gnuplot.h"
#include "harness/base/leave.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "harness/base/clock.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"

int gnuplot_limit_s = 60;

enum { TELL_MOST = 4096, REASON_MOST = 400, LOOK_EVERY_MS = 50 };

void gnuplot_remove(const char *folder, const char *name)
{
    static const char *const ending[] = {"svg", "png"};
    for (int i = 0; i < 2; i++) {
        struct str path = {0};
        str_addf(&path, "%s/%s.%s", folder, name, ending[i]);
        unlink(path.p);
        str_free(&path);
    }
}

/* The program that PATH finds; NULL without; release with free, it is realpath's own.
 * Looked up before the fork, behind which little may be called. */
static char *find_program(void)
{
    const char *path = getenv("PATH");
    for (const char *p = path ? path : ""; *p;) {
        size_t n = strcspn(p, ":");
        char *folder = mem_strndup(p, n), *file = fs_join(n ? folder : ".", "gnuplot");
        char *found =
            access(file, X_OK) == 0 && !fs_is_dir(file) ? realpath(file, NULL) : NULL; /* the child stands elsewhere */
        mem_free(folder);
        mem_free(file);
        if (found)
            return found;
        p += n + (p[n] == ':');
    }
    return NULL;
}

/* The child: a process group of its own, so that whatever it starts ends with it; it ends with us, however that comes.
 */
static void become(const char *program, const char *folder, const char *script, pid_t parent, int out)
{
    char *argv[3] = {NULL, NULL, NULL};
    int null = open("/dev/null", O_RDONLY);
    argv[0] = (char *)(uintptr_t) "gnuplot"; /* execv takes no const, and writes nothing */
    argv[1] = (char *)(uintptr_t)script;
    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0 ||
        chdir(folder) != 0)
        _exit(126);
    execv(program, argv);
    _exit(126);
}

/* What it prints, up to TELL_MOST bytes; the rest is read and dropped, so that it never waits for us. */
static void listen(int fd, struct str *told)
{
    char buf[1024];
    ssize_t n = read(fd, buf, sizeof buf);
    if (n > 0 && told->n < TELL_MOST)
        str_addn(told, buf, (size_t)n);
}

/* Waits for the child's end. *late: it took too long; *stopped: we were asked to stop; either way it is killed. */
static int wait_for(pid_t pid, int fd, struct str *told, int *late, int *stopped)
{
    double end = clock_seconds() + gnuplot_limit_s;
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int status = 0;
    for (;;) {
        if (poll(&p, 1, LOOK_EVERY_MS) > 0) {
            if (p.revents & POLLIN)
                listen(fd, told);
            else
                p.fd = -1; /* closed; a poll of nothing is a pause */
        }
        siginfo_t ended = {0}; /* not reaped yet, so that its group is still its own */
        if (waitid(P_PID, pid, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && ended.si_pid == pid)
            break;
        *stopped = leave_asked();
        *late = clock_seconds() > end;
        if (*stopped || *late)
            break;
    }
    kill(-pid, SIGKILL); /* and whatever it has started */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    for (p = (struct pollfd){.fd = fd, .events = POLLIN};
         told->n < TELL_MOST && poll(&p, 1, 0) > 0 && (p.revents & POLLIN);)
        listen(fd, told);
    return status;
}

/* Of all that it said the last line: before it stand the command and a caret. */
static void add_reason(const struct str *told, int status, int late, struct str *why)
{
    const char *text = str_c(told);
    size_t n = strlen(text);
    while (n && strchr(" \t\r\n", text[n - 1]))
        n--;
    size_t begin = n;
    while (begin && text[begin - 1] != '\n')
        begin--;
    if (late)
        str_addf(why, "it took more than %d s and was ended", gnuplot_limit_s);
    else if (n)
        str_addn(why, text + begin, n - begin < REASON_MOST ? n - begin : REASON_MOST);
    else if (WIFSIGNALED(status))
        str_addf(why, "ended by signal %d", WTERMSIG(status));
    else
        str_addf(why, "exit status %d", WEXITSTATUS(status));
}

static enum gnuplot_end run(const char *program, const char *folder, const char *script, struct str *why)
{
    int fd[2], late = 0, stopped = 0;
    struct str told = {0};
    pid_t parent = getpid();
    if (pipe2(fd, O_CLOEXEC)) {
        str_add(why, strerror(errno));
        return GNUPLOT_FAILED;
    }
    pid_t pid = fork();
    if (pid == 0)
        become(program, folder, script, parent, fd[1]);
    close(fd[1]);
    if (pid < 0) {
        str_add(why, strerror(errno));
        close(fd[0]);
        return GNUPLOT_FAILED;
    }
    setpgid(pid, pid); /* as the child does; whoever comes first */
    int status = wait_for(pid, fd[0], &told, &late, &stopped);
    close(fd[0]);
    int done = !late && !stopped && WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!done)
        add_reason(&told, status, late, why);
    str_free(&told);
    return stopped ? GNUPLOT_INTERRUPTED : late ? GNUPLOT_LATE : done ? GNUPLOT_DONE : GNUPLOT_FAILED;
}

enum gnuplot_end gnuplot_run(const char *folder, const char *name, struct str *why)
{
    struct str script = {0};
    char *program = find_program();
    gnuplot_remove(folder, name);
    str_addf(&script, "%s.gp", name);
    enum gnuplot_end end = leave_asked() ? GNUPLOT_INTERRUPTED
                           : program     ? run(program, folder, script.p, why)
                                         : GNUPLOT_ABSENT;
    if (end != GNUPLOT_DONE)
        gnuplot_remove(folder, name);
    free(program);
    str_free(&script);
    return end;
}
