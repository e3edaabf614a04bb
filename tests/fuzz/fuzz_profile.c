/* A profile of the one layer of a model, as allocators and the check of prompts read it. */
#include "harness/base/h5.h"
#include "policies/allocator_profile.h"
#include "tests/fuzz/fuzz.h"

int fuzz_profile(const char *data, size_t n)
{
    static char name[] = "profile.h5", all[] = "all", metric[] = "/metrics/m";
    const struct allocator_setup setup = {.n_layer = 1, .model = "m", .model_sha256 = "", .dir = fuzz_dir()};
    const char *path = fuzz_file(name, data, n);
    char **sha256 = NULL;
    size_t n_sha256 = 0;
    struct err e;
    for (int measure = 0; measure <= ALLOCATOR_STUDY_N_MEASURE; measure++) {
        int by_metric = measure == ALLOCATOR_STUDY_N_MEASURE;
        struct allocator_profile_choice c = {.path = name,
                                             .task = all,
                                             .policy = all,
                                             .level = -1,
                                             .measure = by_metric ? 0 : measure,
                                             .metric = by_metric ? metric : NULL,
                                             .shuffle = measure};
        allocator_profile_free(allocator_profile_read(&c, &setup, 0, &e));
    }
    int ok = allocator_profile_prompts(path, &sha256, &n_sha256, &fuzz_said) == 0;
    if (ok)
        h5_free_strings(sha256, n_sha256);
    return ok;
}
