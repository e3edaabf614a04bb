/* What must be known before libraries are loaded, and is known only afterwards: which kernels OpenBLAS shall take, and
 * how long threads of OpenMP that wait shall spin. */
#ifndef HARNESS_CMD_START_H
#define HARNESS_CMD_START_H

/* First thing in a command that computes. May start the program again, once as a rule: the same process, the same
 * arguments, and an environment in which that is said. What can't be mended is a warning. -1: the
 * environment asks for what there is not, and the user was told. */
int start_prepare(void);

#endif
