#include "models/threads.h"

#include <omp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { MAX_CORE = 1024 };

static struct {
    int known, whole; /* whole: nobody has restricted this process */
    int n;
    int first[MAX_CORE];   /* the first hardware thread of a core */
    int claimed[MAX_CORE]; /* 1: ours */
} cores;
static int how = 1;
static int n_placed;
static _Thread_local int before; /* cores that belong to teams of other jobs */
static _Thread_local int team;   /* threads of the caller's team that were seen to; 0: not yet */

/* The first number in a file of the system, which begins a list of hardware threads; -1: there is none. */
static int first_sibling(int cpu)
{
    char path[96];
    int n = -1;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    FILE *f = fopen(path, "r");
    if (f && fscanf(f, "%d", &n) != 1)
        n = -1;
    if (f)
        fclose(f);
    return n;
}

static void look(void)
{
    cpu_set_t mask;
    if (cores.known)
        return;
    cores.known = 1;
    if (sched_getaffinity(0, sizeof mask, &mask))
        CPU_ZERO(&mask);
    cores.whole = CPU_COUNT(&mask) == (int)sysconf(_SC_NPROCESSORS_ONLN);
    for (int cpu = 0; cpu < CPU_SETSIZE && cores.n < MAX_CORE; cpu++) {
        int first = CPU_ISSET(cpu, &mask) ? first_sibling(cpu) : -1;
        if (CPU_ISSET(cpu, &mask) && (first < 0 || first == cpu || !CPU_ISSET(first, &mask)))
            cores.first[cores.n++] = cpu;
    }
}

int threads_cores(void)
{
    look();
    return cores.n ? cores.n : 1;
}

static int others_said_where(void)
{
    return getenv("OMP_PROC_BIND") || getenv("OMP_PLACES") || getenv("GOMP_CPU_AFFINITY") || !cores.whole;
}

/* Whether more is running on this machine than cores are left beside n threads of ours, which may be running, too. */
static int is_crowded(void)
{
    int running = 0;
    FILE *f = fopen("/proc/loadavg", "r");
    if (f && fscanf(f, "%*s %*s %*s %d/", &running) != 1)
        running = 0;
    if (f)
        fclose(f);
    return running > cores.n;
}

/* A core is one process's at a time: a name among the system's sockets, which goes with the process, says whose. */
static int claim(int core)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int n = snprintf(name.sun_path + 1, sizeof name.sun_path - 1, "depthkv-core-%d", cores.first[core]);
    int s = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return 0;
    if (bind(s, (struct sockaddr *)&name, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n)) == 0)
        return 1; /* stays open as long as the process lives */
    close(s);
    return 0;
}

/* n cores of our own, in core[]; 0: there are not as many. */
static int claim_cores(int n, int *core)
{
    int have = 0;
    for (int i = before; i < cores.n && have < n; i++) {
        cores.claimed[i] = cores.claimed[i] || claim(i);
        if (cores.claimed[i])
            core[have++] = i;
    }
    return have == n;
}

/* All hardware threads of a core: which of them it is does not matter. */
static int go_to(int core)
{
    cpu_set_t mask;
    CPU_ZERO(&mask);
    CPU_SET(cores.first[core], &mask);
    for (int cpu = cores.first[core] + 1; cpu < CPU_SETSIZE && cpu < (int)sysconf(_SC_NPROCESSORS_CONF); cpu++)
        if (first_sibling(cpu) == cores.first[core])
            CPU_SET(cpu, &mask);
    return sched_setaffinity(0, sizeof mask, &mask) == 0;
}

int threads_place(int n)
{
    int core[MAX_CORE];
    if (team == n || !how)
        return n_placed;
    look();
    team = n;
    n_placed = 0;
    if (n < 2 || before + n > cores.n || others_said_where() || (how < 2 && is_crowded()) || !claim_cores(n, core))
        return 0;
    int placed = 0;
#pragma omp parallel num_threads(n) reduction(+ : placed)
    if (omp_get_thread_num() > 0)
        placed += go_to(core[omp_get_thread_num()]);
    n_placed = placed;
    return placed;
}

void threads_behind(int n)
{
    before = n;
    team = 0;
}

void threads_forget(void)
{
    team = 0;
}

int threads_placed(void)
{
    return n_placed;
}

void threads_placing(int value)
{
    how = value;
    team = n_placed = 0;
}
