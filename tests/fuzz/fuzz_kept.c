/* kept.h5 and a part beside it, both with the same bytes, as a run that goes on finds and merges them. */
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/rows/keptfile.h"
#include "tests/fuzz/fuzz.h"

int fuzz_kept(const char *data, size_t n)
{
    struct err e;
    char *dir = fuzz_path("kept"), *parts = fuzz_path("kept/kept.parts");
    fuzz_demand(fs_mkdirs(parts, &e) == 0, "no folder");
    fuzz_file("kept/kept.h5", data, n);
    fuzz_file("kept/kept.parts/a.h5", data, n);
    struct keptfile *k = keptfile_open(dir, &fuzz_said);
    int ok = 0;
    if (k) {
        (void)keptfile_has(k, "0123456789abcdef", 0, "q", "key");
        ok = keptfile_merge(k, &fuzz_said) == 0;
        keptfile_close(k);
    }
    mem_free(parts);
    mem_free(dir);
    return ok;
}
