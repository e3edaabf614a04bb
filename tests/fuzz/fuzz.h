/* One function a format, which hands n hostile bytes to the reader that the program uses: 1 when it accepts them, 0
 * when it refuses them, with a message in fuzz_said. The process ends when a promise is broken that any input has to
 * keep (fuzz_demand), as it does where a sanitizer finds something. libFuzzer calls them through entry.c, and the unit
 * tests with what it has found. */
#ifndef TESTS_FUZZ_FUZZ_H
#define TESTS_FUZZ_FUZZ_H

#include <stddef.h>

#include "harness/base/err.h"

int fuzz_gguf(const char *data, size_t n);
int fuzz_hf(const char *data, size_t n);
int fuzz_tokenizer(const char *data, size_t n);
int fuzz_yaml(const char *data, size_t n);
int fuzz_jsonl(const char *data, size_t n);
int fuzz_journal(const char *data, size_t n);
int fuzz_model(const char *data, size_t n);
int fuzz_profile(const char *data, size_t n);
int fuzz_kept(const char *data, size_t n);

struct fuzz_format {
    const char *name;
    int (*feed)(const char *data, size_t n);
};
extern const struct fuzz_format fuzz_formats[]; /* NULL name at the end */
const struct fuzz_format *fuzz_find(const char *name);

extern struct err fuzz_said; /* by the last reader that refused */

/* A folder of this process below TMPDIR or /tmp, which goes with the process. */
const char *fuzz_dir(void);
/* Path of a name in it; mem_free. */
char *fuzz_path(const char *name);
/* A file in it; data NULL: it is not there. Returns its path, which the next call for the same name makes anew. */
const char *fuzz_file(const char *name, const char *data, size_t n);

/* Inputs of several files: bytes between separators, which no text of ours holds. Parts that are missing are NULL. The
 * last one takes the rest, separators and all. */
enum { FUZZ_SEPARATOR = 0x1E };
struct fuzz_part {
    const char *p;
    size_t n;
};
void fuzz_split(const char *data, size_t n, struct fuzz_part *part, int n_part);

/* Ends the process with a message unless `ok`. */
void fuzz_demand(int ok, const char *what);

struct import_source;
/* Every tensor of a source that is small, as an import would take it. */
void fuzz_fetch_all(const struct import_source *s);

#endif
