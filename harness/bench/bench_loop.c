#include "harness/bench/bench_loop.h"

#include <stddef.h>
#include <stdint.h>

#include "harness/base/clock.h"
#include "harness/base/cpu.h"
#include "models/kernels_bf16.h"

/* Numbers that compilers do not know: a chain whose every round they could foretell would be left out. */
static const volatile float by_what = 0.999f, add_what = 0.001f;

/* Each sum is a variable of its own: an array of them may end up in memory, which is what is not to be measured.
 * Twelve, or 24, are more than the multiply-adds that can be under way at once (two a cycle, four to six cycles each),
 * and with the two factors no more than there are registers. They begin with different numbers: equal ones would be
 * computed once. */
#define TWELVE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11)
#define BOTH(X) TWELVE(X) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21) X(22) X(23)
#define BEGIN(c) sum##c = zero + (float)c,
#define GATHER(c) total += sum##c;

/* n rounds of all sums, each of so many floating-point operations; returns all of them. What was computed is added to
 * *sink. */
#define LOOP(TARGET, NAME, LANES, FACTOR, EACH, CHAINS, ROUND, FLOP) \
    TARGET static double NAME(size_t n, float *sink) \
    { \
        LANES zero = {0}, EACH(BEGIN) total = zero; \
        FACTOR; \
        for (size_t i = 0; i < n; i++) { \
            EACH(ROUND) \
        } \
        EACH(GATHER) \
        *sink += total[0]; \
        return (double)n * CHAINS * (double)(FLOP * sizeof zero / sizeof *sink); \
    }

typedef float lanes4 __attribute__((vector_size(16)));
#define FLOATS(LANES) LANES by = zero + by_what, add = zero + add_what
#define ROUND4(c) sum##c = sum##c * by + add;
LOOP(, narrow, lanes4, FLOATS(lanes4), TWELVE, 12, ROUND4, 2)

/* By the instructions' own names: clang computes what is only said to be a vector of 64 bytes in two halves. */
#if defined(__x86_64__)
#include <immintrin.h>

#define FOR(LEVEL) __attribute__((target(LEVEL)))
#define ROUND8(c) sum##c = _mm256_fmadd_ps(sum##c, by, add);
#define ROUND16(c) sum##c = _mm512_fmadd_ps(sum##c, by, add);
LOOP(FOR("avx2,fma"), middle, __m256, FLOATS(__m256), TWELVE, 12, ROUND8, 2)
LOOP(FOR("avx512f"), wide, __m512, FLOATS(__m512), BOTH, 24, ROUND16, 2)

/* AVX512-BF16: a lane of a sum takes two products; of 1/2 with 1/2 and with -1/2, so that sums stay as they are. */
#define PAIR(a, b) _mm512_set1_epi32((a) << 16 | (b))
#define PAIRS \
    volatile int half = 0x3F00; \
    __m512bh by = (__m512bh)PAIR(half, half), add = (__m512bh)PAIR(half, half | 0x8000)
#define ROUND_PAIRS(c) sum##c = _mm512_dpbf16_ps(sum##c, by, add);
LOOP(FOR("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16"), pairs, __m512, PAIRS, BOTH, 24, ROUND_PAIRS, 4)

/* AMX: six tiles of sums, and one each of rows and weights, which stay where they are. Each product of tiles takes 16
 * cycles and is done after 52, so four sums would do. */
static double tiles(size_t n, float *sink)
{
    enum { SIDE = 16, LINE = 64 };
    static const uint16_t half = 0x3F00;
    uint16_t term[SIDE * LINE / 2];
    float sum[SIDE * SIDE];
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    for (int i = 0; i < 8; i++) {
        shape.bytes[i] = LINE;
        shape.rows[i] = SIDE;
    }
    for (int i = 0; i < SIDE * LINE / 2; i++)
        term[i] = i % 4 < 2 ? half : half | 0x8000;
    __asm__ volatile("ldtilecfg %0" ::"m"(shape));
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm6\n\ttileloadd (%0,%1,1), %%tmm7\n\t"
                     "tilezero %%tmm0\n\ttilezero %%tmm1\n\ttilezero %%tmm2\n\t"
                     "tilezero %%tmm3\n\ttilezero %%tmm4\n\ttilezero %%tmm5" ::"r"(term),
                     "r"((size_t)LINE)
                     : "memory");
    for (size_t i = 0; i < n; i++)
        __asm__ volatile("tdpbf16ps %tmm7, %tmm6, %tmm0\n\ttdpbf16ps %tmm7, %tmm6, %tmm1\n\t"
                         "tdpbf16ps %tmm7, %tmm6, %tmm2\n\ttdpbf16ps %tmm7, %tmm6, %tmm3\n\t"
                         "tdpbf16ps %tmm7, %tmm6, %tmm4\n\ttdpbf16ps %tmm7, %tmm6, %tmm5");
    __asm__ volatile("tilestored %%tmm0, (%0,%1,1)" ::"r"(sum), "r"((size_t)LINE) : "memory");
    __asm__ volatile("tilerelease");
    *sink += 1 + sum[0];
    return 2.0 * (double)n * 6 * SIDE * SIDE * 2 * SIDE;
}
#endif

enum needs { ANYTHING, V3, V4, BY_PAIRS, BY_TILES };

/* Rounds: a third of a millisecond of each, less than a system lets a thread run where others wait. */
static const struct loop {
    double (*run)(size_t n, float *sink);
    size_t rounds;
    enum needs needs;
} loops[] = {
    {narrow, 1 << 17, ANYTHING},
#if defined(__x86_64__)
    {middle, 1 << 17, V3},       {wide, 1 << 16, V4},
    {pairs, 1 << 16, BY_PAIRS},  {tiles, 1 << 12, BY_TILES}, /* the last comma keeps a line each */
#endif
};

/* Whether the processor has the loop's instructions, and the arithmetic goes by them. */
static int counts(enum needs needs, enum model_dtype arithmetic)
{
    enum kernels_bf16_way way = arithmetic == MODEL_BF16 ? kernels_bf16_chosen() : KERNELS_BF16_PLAIN;
    switch (needs) {
#if defined(__x86_64__)
    case V3: return CPU_HAS_V3 != 0;
    case V4: return CPU_HAS_V4 != 0;
#endif
    case BY_PAIRS: return way == KERNELS_BF16_PAIRS;
    case BY_TILES: return way == KERNELS_BF16_TILES;
    default: return 1;
    }
}

/* The rate of one try; what was computed is added to *sink. */
static double once(const struct loop *l, int threads, float *sink)
{
    double flop = 0, start = clock_seconds();
    float sum = 0;
#pragma omp parallel for schedule(static) reduction(+ : flop, sum)
    for (int i = 0; i < threads; i++)
        flop += l->run(l->rounds, &sum);
    *sink += sum;
    return flop / (clock_seconds() - start);
}

double bench_loop_rate(enum model_dtype arithmetic, int threads)
{
    enum { LEAST_TRIES = 100 };
    static const double ENOUGH = 0.04; /* seconds, of a loop; longer where other programs take their share */
    double best = 0;
    float sink = 0;
    for (size_t i = 0; i < sizeof loops / sizeof *loops; i++) {
        double begin = clock_seconds();
        for (int t = 0; counts(loops[i].needs, arithmetic) && (t < LEAST_TRIES || clock_seconds() - begin < ENOUGH);
             t++) {
            double r = once(&loops[i], threads, &sink);
            best = r > best ? r : best;
        }
    }
    return sink > 0 ? best : 0; /* always: the sums are used, so the loops run */
}
