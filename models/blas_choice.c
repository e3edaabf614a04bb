#include "models/blas_choice.h"

#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "harness/base/cpu.h"
#include "models/kernels.h"

/* By OpenBLAS's names. Those with a reason to be chosen come first, the best of a level before the others; the rest is
 * there to be recognised. SapphireRapids needs more than a level says, and is left to OpenBLAS's own choice. */
static const struct {
    const char *name;
    enum blas_level level;
    int chosen, amd; /* amd: on its processors */
} core_list[] = {
    {"Cooperlake", BLAS_AVX512_BF16, 1, 0},
    {"SkylakeX", BLAS_AVX512, 1, 0},
    {"Zen", BLAS_AVX2, 1, 1},
    {"Haswell", BLAS_AVX2, 1, 0},
    {"Sandybridge", BLAS_AVX, 1, 0},
    {"SapphireRapids", BLAS_AVX512_BF16, 0, 0},
    {"Excavator", BLAS_AVX2, 0, 0},
    {"Bulldozer", BLAS_AVX, 0, 0},
    {"Piledriver", BLAS_AVX, 0, 0},
    {"Steamroller", BLAS_AVX, 0, 0},
    {"Nehalem", BLAS_SSE, 0, 0},
    {"Prescott", BLAS_SSE, 0, 0},
    {"Core2", BLAS_SSE, 0, 0},
    {"Penryn", BLAS_SSE, 0, 0},
    {"Dunnington", BLAS_SSE, 0, 0},
    {"Atom", BLAS_SSE, 0, 0},
    {"Nano", BLAS_SSE, 0, 0},
    {"Opteron", BLAS_SSE, 0, 0},
    {"Opteron_SSE3", BLAS_SSE, 0, 0},
    {"Barcelona", BLAS_SSE, 0, 0},
    {"Bobcat", BLAS_SSE, 0, 0},
    {"Athlon", BLAS_SSE, 0, 0},
    {"Katmai", BLAS_SSE, 0, 0},
    {"Coppermine", BLAS_SSE, 0, 0},
    {"Northwood", BLAS_SSE, 0, 0},
    {"Banias", BLAS_SSE, 0, 0},
};
enum { N_CORE = sizeof core_list / sizeof *core_list };

static const char *const level_name[BLAS_N_LEVEL] = {"SSE", "AVX", "AVX2", "AVX-512", "AVX-512 with bfloat16"};

const char *blas_choice_level_name(enum blas_level l)
{
    return level_name[l];
}

enum blas_level blas_choice_processor(int *amd)
{
    *amd = 0;
#if defined(__x86_64__)
    *amd = CPU_IS_AMD;
    if (CPU_HAS_V4)
        return CPU_HAS_COOPERLAKE ? BLAS_AVX512_BF16 : BLAS_AVX512;
    if (CPU_HAS_V3)
        return BLAS_AVX2;
    if (CPU_HAS_AVX)
        return BLAS_AVX;
#endif
    return BLAS_SSE;
}

int blas_choice_level(const char *core)
{
    for (int i = 0; i < N_CORE; i++)
        if (strcasecmp(core_list[i].name, core) == 0)
            return (int)core_list[i].level;
    return -1;
}

const char *blas_choice_better(const char *core, enum blas_level processor, int amd, int below,
                               int (*has)(const char *core))
{
    int now = blas_choice_level(core);
    if (now < 0)
        return NULL;
    for (int level = (int)processor; level > now; level--)
        for (int i = 0; i < N_CORE; i++)
            if (core_list[i].chosen && (int)core_list[i].level == level && level < below &&
                (!core_list[i].amd || amd) && has(core_list[i].name))
                return core_list[i].name;
    return NULL;
}

/* OpenBLAS's names for one kernel of each set that may be chosen; no address where the library lacks or hides it. */
extern void sgemm_kernel_COOPERLAKE(void) __attribute__((weak));
extern void sgemm_kernel_SKYLAKEX(void) __attribute__((weak));
extern void sgemm_kernel_ZEN(void) __attribute__((weak));
extern void sgemm_kernel_HASWELL(void) __attribute__((weak));
extern void sgemm_kernel_SANDYBRIDGE(void) __attribute__((weak));

/* Where none of them shows, the library hides its kernels and has to be asked by loading it again. */
int blas_choice_has(const char *core)
{
    const struct {
        const char *name;
        int there;
    } kernel[] = {
        {"Cooperlake", sgemm_kernel_COOPERLAKE != NULL},
        {"SkylakeX", sgemm_kernel_SKYLAKEX != NULL},
        {"Zen", sgemm_kernel_ZEN != NULL},
        {"Haswell", sgemm_kernel_HASWELL != NULL},
        {"Sandybridge", sgemm_kernel_SANDYBRIDGE != NULL},
    };
    int any = 0, there = 0;
    for (size_t i = 0; i < sizeof kernel / sizeof *kernel; i++) {
        any |= kernel[i].there;
        there |= kernel[i].there && strcasecmp(kernel[i].name, core) == 0;
    }
    return there || !any;
}

static const char *instead;

void blas_choice_note(const char *instead_of)
{
    instead = instead_of;
}

const char *blas_choice_core(void)
{
    return kernels_blas_core();
}

const char *blas_choice_instead_of(void)
{
    return instead;
}
