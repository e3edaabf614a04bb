#include "harness/build_id.h"

#include <string.h>

#include "harness/base/str.h"
#include "harness/experiment.h"
#include "harness/source_id.h"

/* Path prefixes of what every number goes through. Tables, plots and commands are left out: they change no row. */
static const char *const engine[] = {
    "harness/base/", "models/", "datasets/", "policies/policy.", "policies/allocator", "harness/encode.",
    "harness/observe.", "harness/tally.", "harness/evict.", "harness/prune", "harness/decode.", "harness/measure.", "harness/group", "harness/metric",
};

static void add(struct str *s, const struct source_file *f)
{
    str_addf(s, "%s %s\n", f->path, f->sha256);
}

void build_id_engine(char hex[HASH_HEX])
{
    struct str s = {0};
    for (const struct source_file *f = source_files; f->path; f++)
        for (size_t i = 0; i < sizeof engine / sizeof *engine; i++)
            if (strncmp(f->path, engine[i], strlen(engine[i])) == 0) {
                add(&s, f);
                break;
            }
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
