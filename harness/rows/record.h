/* The result row, the journal that holds rows, and reading both back. A row is one (cell, sample, question). */
#ifndef HARNESS_RECORD_H
#define HARNESS_RECORD_H

#include <stdint.h>

#include "harness/base/err.h"
#include "harness/base/str.h"
#include "harness/engine/row.h"

enum { RECORD_SCHEMA = 1 };

void record_json(const struct row *r, struct str *out); /* one line, no newline */

struct journal;
/* Makes the folder, takes its lock (ERR_IO names the process that holds it), repairs a torn last line, reads the
 * keys of the rows that are there, those of shards too. shard: the name of one (shard_begin), whose rows then go to its
 * own journal; NULL: they go to rows.jsonl, and no shard may be running. */
struct journal *journal_open(const char *dir, const char *shard, struct err *e);
int journal_has(const struct journal *j, const char *key, int sample, const char *question_id);
int journal_append(struct journal *j, const struct row *r, struct err *e); /* written and flushed */
/* ERR_WRITE when somebody has removed or replaced the journal meanwhile: rows would go where nobody finds them. */
int journal_check(const struct journal *j, struct err *e);
int journal_count(const struct journal *j);
void journal_close(struct journal *j); /* releases the lock; accepts NULL */

#endif
