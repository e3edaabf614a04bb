/* Is a parameter table well-formed? Run on everything that a registry holds, because a table that points outside its
 * config, or whose default its own bounds refuse, would otherwise show in the middle of a run. */
#ifndef HARNESS_BASE_PARAM_CHECK_H
#define HARNESS_BASE_PARAM_CHECK_H

#include "harness/base/param.h"

/* 0, or -1 and ERR_POLICY naming the parameter and the rule: names lower-case and unique, every field inside the config
 * and aligned, min <= max, words where there must be some, words beside numbers only with min >= 0 (they are stored as
 * negative numbers), help given, the default (each item of a list's) accepted. `table` may be NULL. */
int param_check(const struct param *table, size_t config_size, struct err *e);

#endif
