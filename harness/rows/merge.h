/* One journal out of many: the rows of a folder's shards go into rows.jsonl. */
#ifndef HARNESS_MERGE_H
#define HARNESS_MERGE_H

#include "harness/base/err.h"

struct merge_summary {
    int journals;             /* of shards, that were merged */
    long rows, taken;         /* of all shards; of those the ones that rows.jsonl lacked */
    long equal, failed, torn; /* that it had already; failed rows of which another journal has a whole one, or that
                               * failed twice; last lines that their process did not finish */
};

/* Rows of the same cell, sample, question and key have to agree in all but times: ERR_CONFIG names both places where
 * they don't. Refuses while a shard is being written (ERR_IO), and then, as on any error, changes nothing. Memory grows
 * by some 100 bytes a row; rows themselves are read one at a time. kept.h5 gets what shards recorded. */
int merge_folder(const char *dir, struct merge_summary *out, struct err *e);

#endif
