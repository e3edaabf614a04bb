/* Figures that somebody published (harness/experiment/published.h), in one table with those of a result folder. */
#ifndef HARNESS_BESIDE_H
#define HARNESS_BESIDE_H

#include "harness/base/err.h"
#include "harness/base/quote.h"

/* The table as Markdown; nothing where the folder's config.yaml asks for none. */
int beside_markdown(const char *dir, struct quote *out, struct err *e);

#endif
