/* Where threads run. One a core: two on one core, or one that wanders, take as long as the slowest of all. Nothing is
 * done where somebody else has said where threads belong (OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY, or an affinity
 * that is not the whole machine), where there are more threads than free cores, and in the caller's own thread: threads
 * and programs that it starts would inherit the place. */
#ifndef MODELS_THREADS_H
#define MODELS_THREADS_H

/* Cores that this process may use; hyper-threads of one count once. At least 1. */
int threads_cores(void);

/* Gives the caller's team of n threads a core each, but for the caller. Cheap when they have one already; the team
 * loses its places with threads_forget, after loops with another number of threads. Returns how many threads have one.
 */
int threads_place(int n);
void threads_forget(void);
/* The caller's team begins behind n cores of other teams of this process. After threads_cores was called once. */
void threads_behind(int n);

/* How many threads of the last team that was placed have a core. */
int threads_placed(void);

/* Tests: 0: nobody is placed; 1: as above; 2: also beside other processes. */
void threads_placing(int how);

#endif
