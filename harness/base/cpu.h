/* What compilers spell differently about levels of x86-64: version 3 has AVX2 and FMA, version 4 AVX-512. */
#ifndef HARNESS_BASE_CPU_H
#define HARNESS_BASE_CPU_H

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CPU_ASAN 1 /* gcc's sign */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CPU_ASAN 1 /* clang's */
#endif
#endif

/* Before a function: one version of it for each level, of which the loader picks the widest. Not under
 * AddressSanitizer, for the loader picks before the sanitizer is ready. */
#if defined(__x86_64__) && !defined(CPU_ASAN)
#define CPU_CLONES __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define CPU_CLONES
#endif

/* Whether this processor has a level. clang knows the names of levels from version 16 on only. */
#if defined(__x86_64__) && defined(__clang__)
#define CPU_HAS_V3 (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2"))
#define CPU_HAS_V4 \
    (CPU_HAS_V3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && \
     __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
#elif defined(__x86_64__)
#define CPU_HAS_V3 __builtin_cpu_supports("x86-64-v3")
#define CPU_HAS_V4 __builtin_cpu_supports("x86-64-v4")
#endif

#if defined(__x86_64__)
#define CPU_HAS_AVX __builtin_cpu_supports("avx")
#define CPU_IS_AMD (__builtin_cpu_is("amd") != 0)
#define CPU_IS_ZEN4 (CPU_HAS_V4 && __builtin_cpu_is("amdfam19h")) /* the family's only ones with version 4 */
/* Version 4 and what OpenBLAS's kernels of that name have beside it. */
#define CPU_HAS_COOPERLAKE (CPU_HAS_V4 && __builtin_cpu_supports("avx512vnni") && __builtin_cpu_supports("avx512bf16"))
#endif

#endif
