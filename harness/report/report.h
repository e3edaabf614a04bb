/* Tables, plots and pages of a result folder, from its rows alone. */
#ifndef HARNESS_REPORT_H
#define HARNESS_REPORT_H

#include <stdio.h>

#include "harness/base/err.h"
#include "harness/report/message.h"

/* cells.csv, table.md, table.tex, plots/, index.html, messages.json, and profile.h5 when layers were pruned one at a
 * time. `messages`, which is emptied first, gets what a reader should know or doubt (message.h); the pages tell it too.
 */
int report_write(const char *dir, struct message_list *messages, struct err *e);
/* The same into the folder `out`, which is made; `dir` stays as it is. Where it has cells.csv alone, as published
 * results do, the pages show the means that stand there. */
int report_write_to(const char *dir, const char *out, struct message_list *messages, struct err *e);
int report_print(const char *dir, FILE *out, struct err *e); /* the table that report_write made */

#endif
