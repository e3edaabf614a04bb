#include "tests/fuzz/fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "models/import.h"

struct err fuzz_said;

const struct fuzz_format fuzz_formats[] = {
    {"gguf", fuzz_gguf},   {"hf", fuzz_hf},           {"tokenizer", fuzz_tokenizer},
    {"yaml", fuzz_yaml},   {"jsonl", fuzz_jsonl},     {"journal", fuzz_journal},
    {"model", fuzz_model}, {"profile", fuzz_profile}, {"kept", fuzz_kept},
    {NULL, NULL},
};

const struct fuzz_format *fuzz_find(const char *name)
{
    for (const struct fuzz_format *f = fuzz_formats; f->name; f++)
        if (strcmp(f->name, name) == 0)
            return f;
    return NULL;
}

void fuzz_demand(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz: %s\n", what);
    abort();
}

/* ---- files ----------------------------------------------------------------------------------- */

static char folder[256];
static pid_t owner;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
    (void)st;
    (void)type;
    (void)f;
    return remove(path);
}

static void remove_folder(void)
{
    if (owner == getpid()) /* a child's exit leaves it to its parent */
        nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *fuzz_dir(void)
{
    if (owner == getpid())
        return folder;
    const char *base = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%s/depthkv-fuzz-XXXXXX", base && *base ? base : "/tmp");
    fuzz_demand(mkdtemp(folder) != NULL, "no temporary folder");
    owner = getpid();
    atexit(remove_folder);
    return folder;
}

char *fuzz_path(const char *name)
{
    return fs_join(fuzz_dir(), name);
}

const char *fuzz_file(const char *name, const char *data, size_t n)
{
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", fuzz_dir(), name);
    if (!data) {
        fuzz_demand(unlink(path) == 0 || errno == ENOENT, "a file can't be removed");
        return path;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    fuzz_demand(fd >= 0 && write(fd, data, n) == (ssize_t)n, "a file can't be written");
    close(fd);
    return path;
}

void fuzz_split(const char *data, size_t n, struct fuzz_part *part, int n_part)
{
    for (int i = 0; i < n_part; i++)
        part[i] = (struct fuzz_part){NULL, 0};
    for (int i = 0; data && i < n_part; i++) {
        const char *end = i + 1 < n_part ? memchr(data, FUZZ_SEPARATOR, n) : NULL;
        part[i] = (struct fuzz_part){data, end ? (size_t)(end - data) : n};
        n -= end ? part[i].n + 1 : n;
        data = end ? end + 1 : NULL;
    }
}

/* ---- sources of models ----------------------------------------------------------------------- */

void fuzz_fetch_all(const struct import_source *s)
{
    enum { MOST = 1 << 16, MOST_TENSORS = 64 }; /* values of one tensor; what is larger only takes longer */
    for (int i = 0; i < model_n_tensor(&s->hp) && i < MOST_TENSORS; i++) {
        struct model_tensor t;
        struct err e;
        model_tensor_at(&s->hp, i, &t);
        size_t n = (size_t)t.dim[0] * (size_t)t.dim[1];
        if (n > MOST)
            continue;
        float *exact = mem_new(n, sizeof *exact); /* so that a write behind its end is seen */
        (void)s->fetch(s->ctx, &t, exact, &e);
        mem_free(exact);
    }
}
