/* How the process ends where it can't go on: a signal, or memory that nobody can do without. Unfinished files go, one
 * line on stderr says why, and nothing else runs: what is finished lies in files already, and destructors of libraries
 * that have just been refused memory crash. Everything in leave.c but leave_begin and leave_stopped may be called from
 * a signal handler. */
#ifndef HARNESS_BASE_LEAVE_H
#define HARNESS_BASE_LEAVE_H

#include <stddef.h>

enum { LEAVE_FAILED = 1, LEAVE_INTERRUPTED = 130 };

/* Once, first thing in main. Descriptors 0 to 2 that the caller closed become /dev/null, so that no file of ours gets
 * their numbers and with them what is printed; a write beyond the limit on file sizes becomes an error instead of
 * SIGXFSZ; SIGINT and SIGTERM end the process at once. */
void leave_begin(void);

/* From now on the first signal only asks (leave_asked), and work that asks often enough ends cleanly. What has not
 * ended a few seconds later, or at a second signal, is ended where it is. */
void leave_when_asked(void);
int leave_asked(void);
/* 0, or -1 and ERR_INTERRUPTED when somebody has asked: for work whose finished part is on disk. */
struct err;
int leave_stopped(struct err *e);

/* A file that is not finished: removed when the process is left. A number for leave_forget, once it is renamed or
 * removed; -1 where too many are open at once (then it stays). */
int leave_remove(const char *path);
void leave_forget(int number);

_Noreturn void leave_out_of_memory(size_t bytes, const char *what);
_Noreturn void leave_with(int status, const char *message); /* "depthkv: message" on stderr */

#endif
