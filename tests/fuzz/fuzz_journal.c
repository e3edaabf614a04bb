/* A result folder. Parts: rows.jsonl, manifest.json. First as reports read it, then as a run that goes on does: that
 * may cut a torn last line off, and what it leaves opens again, with the same rows. */
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/report/aggregate.h"
#include "harness/rows/record.h"
#include "tests/fuzz/fuzz.h"

enum { ROWS, MANIFEST, N_PART };

int fuzz_journal(const char *data, size_t n)
{
    struct fuzz_part part[N_PART];
    struct aggregate a = {0};
    struct quote csv = {.language = QUOTE_CSV};
    struct err e;
    char *dir = fuzz_path("out");
    fuzz_split(data, n, part, N_PART);
    fuzz_demand(fs_mkdirs(dir, &e) == 0, "no folder");
    fuzz_file("out/rows.jsonl", part[ROWS].p ? part[ROWS].p : "", part[ROWS].n);
    fuzz_file("out/manifest.json", part[MANIFEST].n ? part[MANIFEST].p : NULL, part[MANIFEST].n);
    int ok = aggregate_load(dir, &a, &fuzz_said) == 0;
    if (ok) {
        aggregate_csv(&a, &csv);
        aggregate_free(&a);
    }
    quote_free(&csv);
    struct journal *j = journal_open(dir, NULL, &fuzz_said);
    ok &= j != NULL;
    if (j) {
        int count = journal_count(j);
        journal_close(j);
        j = journal_open(dir, NULL, &e);
        fuzz_demand(j && journal_count(j) == count, "a journal that was mended is another");
        journal_close(j);
    }
    mem_free(dir);
    return ok;
}
