/* Memory. Two kinds of request:
 *   mem_new / mem_grow / mem_strdup ...  small bookkeeping; refused, they end the process with a message (leave.h)
 *   mem_try                              whatever a file or an experiment sizes; NULL and ERR_NOMEM
 *   mem_try_raw                          the same, its content left as it is
 * All multiply with an overflow check; all but the last kind return zeroed memory. Aligned to 64 bytes (a cache
 * line, and the widest vector register). Release with mem_free. Thread-safe. */
#ifndef HARNESS_BASE_MEM_H
#define HARNESS_BASE_MEM_H

#include <stddef.h>

#include "harness/base/err.h"

/* Who asks stands in the message. */
#define MEM_WHO_(line) #line
#define MEM_WHO(line) __FILE__ ":" MEM_WHO_(line)
#define mem_new(n, size) mem_new_for(n, size, MEM_WHO(__LINE__))
void *mem_new_for(size_t n, size_t size, const char *what);
char *mem_strdup(const char *s);                                       /* NULL gives NULL */
char *mem_strndup(const char *s, size_t n);                            /* exactly n bytes and a NUL */
void *mem_try(size_t n, size_t size, const char *what, struct err *e); /* `what` names it in the error */
/* The same, not zeroed, for what is about to be filled whole; large ones lie on huge pages where the system has them.
 */
void *mem_try_raw(size_t n, size_t size, const char *what, struct err *e);
void mem_free(void *p); /* NULL is fine */

/* Grows the array *p of *cap elements so that it holds at least `need`; keeps the content; ends the process
 * when refused. *p may be NULL with *cap 0. */
#define mem_grow(p_to_pointer, cap, need, size) mem_grow_for(p_to_pointer, cap, need, size, MEM_WHO(__LINE__))
void mem_grow_for(void *p_to_pointer, size_t *cap, size_t need, size_t size, const char *what);

/* malloc for libraries that don't look what they got: ends the process when refused. Released with free. */
void *mem_malloc(size_t bytes);

/* The same for arrays that grow by one and whose capacity nobody keeps: *p holds n elements, and has room for one more
 * after. Every growth of such an array goes through here, since capacities are what n has passed: 8, 16, 32, ... */
void mem_room(void *p_to_pointer, size_t n, size_t size);

/* 1 and *out = a * b, or 0 when the product does not fit. */
int mem_mul(size_t a, size_t b, size_t *out);

/* Freed memory stays with the process for the next request of its kind. A sweep frees and asks for gigabytes of caches
 * with every sample, and having the system clear new pages each time takes longer than filling them. Called once, by
 * main. */
void mem_keep_freed(void);

/* Bytes handed out and not yet freed, and the largest value that this had. */
size_t mem_live(void);
size_t mem_peak(void);

void mem_trim(void); /* gives freed memory back to the system, so that the resident set shows what is in use */

/* Fault injection for tests: the n-th mem_try from now on (1 = the next) fails; 0 switches it off. */
void mem_fail_at(long n);

#endif
