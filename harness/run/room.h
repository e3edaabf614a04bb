/* Memory for prompts that are computed at once. What the system says is free is the same for all of them until they
 * have taken it; so each says first what it will take, and together they stay below what was free when none had begun.
 * What does not fit beside the others waits for them. Bytes are doubles, as estimates are. */
#ifndef HARNESS_ROOM_H
#define HARNESS_ROOM_H

#include <pthread.h>

struct room {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    double free;  /* bytes when none had begun; 0: not known, and everything fits */
    double taken; /* of them */
    int busy;     /* jobs that neither wait nor have ended */
};

/* jobs: how many there are; each calls room_leave once. Everything here may be called by several threads. */
void room_init(struct room *r, double free, int jobs);
void room_fini(struct room *r);

/* Takes as many of `most` bytes as there are, but no less than `least`: how many it took; -1: so many are not there. */
double room_take(struct room *r, double least, double most);
/* The same, but waits while others may give some back: until they end, or wait too. The last one that is not waiting
 * does not wait, so somebody always goes on. Whoever waits should hold nothing. */
double room_wait(struct room *r, double least, double most);
void room_give_back(struct room *r, double bytes);
/* A job has ended, having given back what it took. */
void room_leave(struct room *r);

#endif
