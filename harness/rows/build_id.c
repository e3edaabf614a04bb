#include "harness/rows/build_id.h"

#include <gnu/libc-version.h>
#include <string.h>

#include "harness/base/lapack.h"
#include "harness/base/regex.h"
#include "harness/base/unicode.h"
#include "harness/experiment/experiment.h"
#include "harness/rows/source_id.h"
#include "models/kernels.h"

/* Path prefixes of what only reads rows, prints, or asks: no row changes with them. Whatever is not named here counts,
 * so that a new file does. */
static const char *const reporting[] = {
    "harness/base/csv.",      "harness/base/quote.", "harness/stats/",        "harness/rows/keptfile.",
    "harness/rows/manifest.", "harness/rows/plan.",  "harness/run/progress.", "harness/report/",
    "harness/layer_metrics/", "harness/bench/",      "harness/cmd/",          "harness/main.",
    "models/import",          "models/gguf.",        "models/safetensors.",   "models/dequant.",
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

int build_id_covers(const char *path)
{
    for (size_t i = 0; i < sizeof reporting / sizeof *reporting; i++)
        if (strncmp(path, reporting[i], strlen(reporting[i])) == 0)
            return 0;
    return !is_of_one_cell(path);
}

static void add(struct str *s, const struct source_file *f)
{
    str_addf(s, "%s %s\n", f->path, f->sha256);
}

void build_id_sources(char hex[HASH_HEX])
{
    struct str s = {0};
    for (const struct source_file *f = source_files; f->path; f++)
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
    build_id_sources(sources);
    str_addf(out, "sources %s\n", sources);
    str_addf(out, "compiler %s\n", __VERSION__);
    str_addf(out, "flags %s\n", source_id_number_flags);
    describe_target(out);
    str_addf(out, "kernels %s\n", kernels_set());
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

void build_id_cell(const struct cell *c, char hex[HASH_HEX])
{
    struct str s = {0}, policy = {0}, allocator = {0};
    str_addf(&policy, "policies/%s.c", c->policy->name);
    str_addf(&allocator, "policies/alloc_%s.c", c->allocator->name);
    for (const struct source_file *f = source_files; f->path; f++)
        if (!strcmp(f->path, policy.p) || !strcmp(f->path, allocator.p))
            add(&s, f);
    hash_sha256(str_c(&s), s.n, hex);
    str_free(&s);
    str_free(&policy);
    str_free(&allocator);
}
