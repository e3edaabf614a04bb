/* Errors as values. A function that can fail takes `struct err *` last, returns 0 or -1 (or NULL),
 * and leaves a message that names the thing, what was expected and what was found. Only
 * commands (harness/cmd/) print messages, and harness/main.c alone exits. `e` may be NULL everywhere: then only the
 * return value tells. On success the struct is not touched. */
#ifndef HARNESS_BASE_ERR_H
#define HARNESS_BASE_ERR_H

enum err_code {
    ERR_OK = 0,
    ERR_USAGE,       /* the command line is wrong */
    ERR_CONFIG,      /* an experiment or a parameter is wrong */
    ERR_IO,          /* the operating system refused */
    ERR_WRITE,       /* the disk is full, a limit reached, a device broken: nothing about the command is wrong */
    ERR_FORMAT,      /* a file's content is not what its format promises */
    ERR_SHAPE,       /* a tensor's shape is not what the hyper-parameters imply */
    ERR_NOMEM,       /* memory, or a size that can't be represented */
    ERR_UNSUPPORTED, /* valid, but nothing here can do it */
    ERR_POLICY,      /* a policy or allocator broke its contract, or refused its input */
    ERR_INTERRUPTED, /* Ctrl-C */
    ERR_INFEASIBLE   /* sound, but no answer exists for these numbers: the cell is n/a, the run goes on */
};

enum { ERR_MSG_SIZE = 1024 };

struct err {
    enum err_code code;
    char msg[ERR_MSG_SIZE];
};

/* Sets code and message; always returns -1, so that `return err_set(...)` reads well. */
int err_set(struct err *e, enum err_code code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "<text>: " in front of the message that is there; returns -1. */
int err_wrap(struct err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
