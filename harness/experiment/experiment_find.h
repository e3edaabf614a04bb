/* Experiments by name: `depthkv run demo` instead of the path of a file. */
#ifndef HARNESS_EXPERIMENT_FIND_H
#define HARNESS_EXPERIMENT_FIND_H

#include "harness/base/err.h"

/* The file that `name` means: the file of that name, or with .yaml behind it, in the working folder; or else
 * NAME.yaml among the experiments that come with the program ("demo", "depthkv/cloud"). What ends in .yaml, or begins
 * with '/' or '.', is a path and is never looked for elsewhere. Caller frees; NULL and `e` when there is none. */
char *experiment_find(const char *name, struct err *e);

/* Those that come with the program, sorted: what experiment_find takes. Caller frees with experiment_find_free. */
char **experiment_find_all(int *n);
void experiment_find_free(char **name, int n);
/* The folder that they lie in, and the file of one; caller frees. */
char *experiment_find_folder(void);
char *experiment_find_path(const char *folder, const char *name);

#endif
