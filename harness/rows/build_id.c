#include "harness/rows/build_id.h"

#include <gnu/libc-version.h>
#include <string.h>

#include "harness/base/lapack.h"
#include "harness/base/regex.h"
#include "harness/base/unicode.h"
#include "harness/experiment/experiment.h"
#include "harness/rows/source_id.h"
#include "models/kernels.h"
#include "models/kernels_bf16.h"

/* Whether numbers go through the files of a folder. A folder that is not named counts, so that a new one does. */
static const struct {
    const char *path;
    int counts;
} folders[] = {
    {"harness/base/", 1},       {"harness/metric/", 1},        {"harness/stats/", 0}, /* intervals and ranks of rows
                                                                                         that are there */
    {"harness/experiment/", 1}, {"harness/engine/", 1},        {"harness/rows/", 1},  {"harness/run/", 1},
    {"harness/report/", 0},     {"harness/layer_metrics/", 0}, /* a study of its own, which makes no row */
    {"harness/bench/", 0},      {"harness/cmd/", 0},           {"models/", 1},        {"policies/", 1},
    {"datasets/", 1},
};

/* Files of folders that count, or that these include, and yet no row changes with them. */
static const struct {
    const char *stem, *why;
} exceptions[] = {
    {"harness/main.", "it calls a command"},
    {"harness/base/again.", "it starts the program again, which then computes"},
    {"harness/base/csv.", "tables alone are written in it"},
    {"harness/base/data_dir.", "it says where files lie; what is in them, prompts and profiles tell"},
    {"harness/base/quote.", "it prints for people"},
    {"harness/experiment/experiment_baseline.", "what a cell is compared with is no part of its rows"},
    {"harness/experiment/experiment_find.", "it says which file an experiment is"},
    {"harness/experiment/experiment_habits.", "it words complaints"},
    {"harness/experiment/published.", "figures that tables print beside ours"},
    {"harness/rows/keptfile.", "it stores what a row has counted already"},
    {"harness/rows/manifest.", "it tells of a run, not of a row"},
    {"harness/rows/plan.", "it tells which rows count by their keys"},
    {"harness/stats/stats.", "columns of tables have intervals; rows have none"},
    {"harness/stats/bounded.", "part of those intervals"},
    {"harness/run/calibration.", "it refuses experiments, and changes none"},
    {"harness/run/estimate.", "how many cells decode at once, on which no bit depends"},
    {"harness/run/feasible.", "what check says ahead"},
    {"harness/run/jobs.", "how many prompts are computed at once, on which no bit depends"},
    {"harness/run/progress.", "it prints for people"},
    {"harness/run/tryout.", "what check says ahead"},
    {"models/blas_choice.", "the kernels that it chooses stand in what OpenBLAS says of itself"},
    {"models/threads.", "where threads run, on which no bit depends"},
    {"models/import", "the file that it made is in the key by its hash"},
    {"models/gguf.", "read by import alone"},
    {"models/safetensors.", "read by import alone"},
    {"models/dequant.", "done by import alone"},
    {"datasets/trainer.", "for the training of the embedded model, whose file is in the key by its hash"},
};

/* 1 when the file is "policies/<name>.c" of a policy, or "policies/alloc_<name>.c". */
static int is_of_one_cell(const char *path)
{
    static const char folder[] = "policies/", prefix[] = "alloc_";
    const char *name = path + sizeof folder - 1;
    size_t n = strlen(path);
    char stem[64];
    if (strncmp(path, folder, sizeof folder - 1) != 0 || strcmp(path + n - 2, ".c") != 0 ||
        n - sizeof folder - 1 >= sizeof stem)
        return 0;
    memcpy(stem, name, n - sizeof folder - 1);
    stem[n - sizeof folder - 1] = '\0';
    return policy_find(stem) || (!strncmp(stem, prefix, sizeof prefix - 1) && allocator_find(stem + sizeof prefix - 1));
}

static int begins(const char *path, const char *with)
{
    return strncmp(path, with, strlen(with)) == 0;
}

const char *build_id_exception(const char *path)
{
    for (size_t i = 0; i < sizeof exceptions / sizeof *exceptions; i++)
        if (begins(path, exceptions[i].stem))
            return exceptions[i].why;
    return is_of_one_cell(path) ? "it is in the keys of the cells that use it" : NULL;
}

const char *build_id_exception_at(int i)
{
    return i < (int)(sizeof exceptions / sizeof *exceptions) ? exceptions[i].stem : NULL;
}

int build_id_covers(const char *path)
{
    int counts = 1;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++)
        if (begins(path, folders[i].path))
            counts = folders[i].counts;
    return counts && !build_id_exception(path);
}

static void add(struct str *s, const struct source_file *f)
{
    str_addf(s, "%s %s\n", f->path, f->sha256);
}

void build_id_sources(const struct source_file *file, char hex[HASH_HEX])
{
    struct str s = {0};
    for (const struct source_file *f = file; f->path; f++)
        if (build_id_covers(f->path))
            add(&s, f);
    hash_sha256(str_c(&s), s.n, hex);
    str_free(&s);
}

/* What -march=native and the like stand for, and what a sanitizer switches off. */
static void describe_target(struct str *out)
{
    str_add(out, "target "
#if defined(__x86_64__)
                 "x86-64"
#elif defined(__aarch64__)
                 "aarch64"
#else
                 "other"
#endif
#ifdef __SSE4_2__
                 " sse4.2"
#endif
#ifdef __AVX__
                 " avx"
#endif
#ifdef __AVX2__
                 " avx2"
#endif
#ifdef __FMA__
                 " fma"
#endif
#ifdef __AVX512F__
                 " avx512f"
#endif
#ifdef __AVX512VL__
                 " avx512vl"
#endif
#ifdef __AVX512BW__
                 " avx512bw"
#endif
#ifdef __AVX512DQ__
                 " avx512dq"
#endif
#ifdef __OPTIMIZE__
                 " optimized"
#endif
#ifdef __FAST_MATH__
                 " fast-math"
#endif
#ifdef __SANITIZE_ADDRESS__
                 " sanitized"
#endif
                 "\n");
}

void build_id_describe(struct str *out)
{
    char sources[HASH_HEX];
    build_id_sources(source_files, sources);
    str_addf(out, "sources %s\n", sources);
    str_addf(out, "compiler %s\n", __VERSION__);
    str_addf(out, "flags %s\n", source_id_number_flags);
    describe_target(out);
    str_addf(out, "kernels %s\n", kernels_set());
    str_addf(out, "bf16 %s\n", kernels_bf16_names[kernels_bf16_chosen()]);
    str_addf(out, "blas %s\n", kernels_blas());
    str_addf(out, "lapack %s\n", lapack_version());
    str_addf(out, "libc %s\n", gnu_get_libc_version());
    str_addf(out, "pcre2 %s\n", regex_version());
    str_addf(out, "utf8proc %s\n", unicode_version());
}

void build_id_engine(char hex[HASH_HEX])
{
    struct str s = {0};
    build_id_describe(&s);
    hash_sha256(str_c(&s), s.n, hex);
    str_free(&s);
}

void build_id_cell(const struct cell *c, const struct source_file *file, char hex[HASH_HEX])
{
    struct str s = {0}, policy = {0}, allocator = {0};
    str_addf(&policy, "policies/%s.c", c->policy->name);
    str_addf(&allocator, "policies/alloc_%s.c", c->allocator->name);
    for (const struct source_file *f = file; f->path; f++)
        if (!strcmp(f->path, policy.p) || !strcmp(f->path, allocator.p))
            add(&s, f);
    hash_sha256(str_c(&s), s.n, hex);
    str_free(&s);
    str_free(&policy);
    str_free(&allocator);
}
