#include "harness/run/room.h"

void room_init(struct room *r, double free, int jobs)
{
    *r = (struct room){.lock = PTHREAD_MUTEX_INITIALIZER, .free = free, .busy = jobs};
    pthread_cond_init(&r->changed, NULL);
}

void room_fini(struct room *r)
{
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
}

/* Under the lock. */
static double take(struct room *r, double least, double most)
{
    double left = r->free - r->taken, got = r->free > 0 && most > left ? left : most;
    if (got < least)
        return -1;
    r->taken += got;
    return got;
}

double room_take(struct room *r, double least, double most)
{
    pthread_mutex_lock(&r->lock);
    double got = take(r, least, most);
    pthread_mutex_unlock(&r->lock);
    return got;
}

double room_wait(struct room *r, double least, double most)
{
    double got;
    pthread_mutex_lock(&r->lock);
    while ((got = take(r, least, most)) < 0 && r->busy > 1) {
        r->busy--;
        pthread_cond_wait(&r->changed, &r->lock);
        r->busy++;
    }
    pthread_mutex_unlock(&r->lock);
    return got;
}

void room_give_back(struct room *r, double bytes)
{
    pthread_mutex_lock(&r->lock);
    r->taken -= bytes;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

void room_leave(struct room *r)
{
    pthread_mutex_lock(&r->lock);
    r->busy--;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}
