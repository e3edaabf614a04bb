/* Products of bf16 by blocks, with AMX's tiles, or step by step as these do. TDPBF16PS takes a tile of 16 rows of 32
 * terms and one of 16 pairs of terms of 16 outputs. It adds up a row's even terms, from zero and from the front, and
 * its odd ones, each addition rounded; then the one sum to the other, and that to the tile of sums. Four tiles of sums,
 * 32 rows and 32 outputs, share two tiles of rows and two of weights:
 *
 *       4 5 <- rows       0 1
 *       6 7 <- weights    2 3 <- sums, [rows' tile][weights' tile]
 *
 * 32 outputs are taken at a time, and of them the weights of some blocks, which stay in the first-level cache for all
 * rows. The rows come from the second-level cache meanwhile, past the first, and a few lines of the weights that are
 * wanted next come to the second. */
#include <string.h>

#include "harness/base/cpu.h"
#include "models/kernels_bf16_int.h"

#define INLINE static inline __attribute__((always_inline))

enum { SUMS = 0, ROWS = 4, WEIGHTS = 6, N_TILE = 8, SIDE = 16, LINE = 64 };
enum {
    MOST_BLOCKS = 18, /* of 32 outputs, 2 KiB each: three quarters of a first-level cache of 48 KiB */
    AHEAD = 4         /* lines of the next weights per block: all of a panel's slice on the way through 256 rows */
};

/* The eight tiles as memory, each of 16 rows of 64 bytes. */
struct twin {
    union {
        float sum[SIDE][SIDE];
        uint16_t term[SIDE][2 * SIDE];
    } tile[N_TILE];
};

static float widen(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static void twin_product(struct twin *t, int to, int rows, int weights)
{
    for (int r = 0; r < SIDE; r++)
        for (int c = 0; c < SIDE; c++) {
            float even = 0, odd = 0;
            for (int i = 0; i < SIDE; i++) {
                even += widen(t->tile[rows].term[r][2 * i]) * widen(t->tile[weights].term[i][2 * c]);
                odd += widen(t->tile[rows].term[r][2 * i + 1]) * widen(t->tile[weights].term[i][2 * c + 1]);
            }
            t->tile[to].sum[r][c] += even + odd;
        }
}

/* The instructions name their tiles, so each number is a case of its own, of which one is left when it is a constant.
 * Written as assembler: compilers differ in how they have these as functions. */
#if defined(__x86_64__)
#define EACH_TILE(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7)
#define LOAD(n) \
    case n: \
        __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #n ::"r"(p), "r"(stride) : "memory"); \
        break;
/* Not to be kept in the first-level cache, which is the weights'. */
#define LOAD_ONCE(n) \
    case n: \
        __asm__ volatile("tileloaddt1 (%0,%1,1), %%tmm" #n ::"r"(p), "r"(stride) : "memory"); \
        break;
#define ZERO(n) \
    case n: \
        __asm__ volatile("tilezero %tmm" #n); \
        break;
#define STORE(n) \
    case n: \
        __asm__ volatile("tilestored %%tmm" #n ", (%0,%1,1)" ::"r"(p), "r"(stride) : "memory"); \
        break;
#else
#define EACH_TILE(X)
#endif

/* t NULL: the processor's own tiles. */
INLINE void load(struct twin *t, const int n, const void *p, size_t stride, const int once)
{
    if (t)
        for (int r = 0; r < SIDE; r++)
            memcpy(t->tile[n].sum[r], (const char *)p + (size_t)r * stride, LINE);
    else if (once)
        switch (n) {
            EACH_TILE(LOAD_ONCE)
        default: break;
        }
    else
        switch (n) {
            EACH_TILE(LOAD)
        default: break;
        }
}

INLINE void zero(struct twin *t, const int n)
{
    if (t)
        memset(&t->tile[n], 0, sizeof t->tile[n]);
    else
        switch (n) {
            EACH_TILE(ZERO)
        default: break;
        }
}

INLINE void store(struct twin *t, const int n, void *p, size_t stride)
{
    if (t)
        for (int r = 0; r < SIDE; r++)
            memcpy((char *)p + (size_t)r * stride, t->tile[n].sum[r], LINE);
    else
        switch (n) {
            EACH_TILE(STORE)
        default: break;
        }
}

/* Sums g, h: rows' tile g of two, weights' tile h of two. */
INLINE void product(struct twin *t, const int g, const int h)
{
    if (t) {
        twin_product(t, SUMS + 2 * g + h, ROWS + g, WEIGHTS + h);
        return;
    }
#if defined(__x86_64__)
    switch (2 * g + h) {
    case 0: __asm__ volatile("tdpbf16ps %tmm6, %tmm4, %tmm0"); break;
    case 1: __asm__ volatile("tdpbf16ps %tmm7, %tmm4, %tmm1"); break;
    case 2: __asm__ volatile("tdpbf16ps %tmm6, %tmm5, %tmm2"); break;
    default: __asm__ volatile("tdpbf16ps %tmm7, %tmm5, %tmm3"); break;
    }
#endif
}

/* One tile of sums from y or to it; where y ends within the tile, by way of a whole one. */
INLINE void load_sums(struct twin *t, const int n, const float *y, size_t ldy, int rows)
{
    float whole[SIDE * SIDE];
    if (rows >= SIDE) {
        load(t, n, y, ldy * sizeof *y, 0);
        return;
    }
    memset(whole, 0, sizeof whole);
    for (int r = 0; r < rows; r++)
        memcpy(whole + r * SIDE, y + (size_t)r * ldy, LINE);
    load(t, n, whole, LINE, 0);
}

INLINE void store_sums(struct twin *t, const int n, float *y, size_t ldy, int rows)
{
    float whole[SIDE * SIDE];
    if (rows >= SIDE) {
        store(t, n, y, ldy * sizeof *y);
        return;
    }
    store(t, n, whole, LINE);
    for (int r = 0; r < rows; r++)
        memcpy(y + (size_t)r * ldy, whole + r * SIDE, LINE);
}

/* Some blocks of one job, and how far its next weights have been asked for. */
struct part {
    const uint16_t *x, *w;
    int blocks, add;
    const char *next, *end;
};

INLINE void load_rows(struct twin *t, const struct kernels_bf16_job *j, const uint16_t *x, const int g)
{
    load(t, ROWS + g, x + (size_t)g * j->group, LINE, 1);
}

INLINE void load_weights(struct twin *t, const struct kernels_bf16_job *j, const uint16_t *w, const int h)
{
    load(t, WEIGHTS + h, w + h * 2 * SIDE, 2 * j->ldw * sizeof *w, 0);
}

/* The products of G x H tiles over the part's blocks. A tile is loaded for the next block as soon as this one is done
 * with it. */
INLINE void products(struct twin *t, const struct kernels_bf16_job *j, struct part *a, const uint16_t *x,
                     const uint16_t *w, const int G, const int H)
{
    size_t step = a->next < a->end ? LINE : 0; /* 0: asks for what is there */
    const char *next = step ? a->next : (const char *)w;
    for (int h = 0; h < H; h++)
        load_weights(t, j, w, h);
    for (int g = 0; g < G; g++)
        load_rows(t, j, x, g);
    for (int b = 1; b < a->blocks; b++) {
        x += BF16_TILE;
        w += BF16_TERMS * j->ldw;
        for (int i = 0; i < AHEAD; i++, next += step)
            __builtin_prefetch(next, 0, 2);
        for (int g = 0; g < G; g++) {
            for (int h = 0; h < H; h++) {
                product(t, g, h);
                if (g == G - 1)
                    load_weights(t, j, w, h);
            }
            load_rows(t, j, x, g);
        }
    }
    for (int g = 0; g < G; g++)
        for (int h = 0; h < H; h++)
            product(t, g, h);
    a->next = step ? next : a->next;
}

/* G groups of rows, of which the last has `rows`, x H times 16 outputs. */
INLINE void square(struct twin *t, const struct kernels_bf16_job *j, struct part *a, int row, int col, int rows,
                   const int G, const int H)
{
    float *y = j->y + (size_t)row * j->ldy + (size_t)col;
    for (int g = 0; g < G; g++)
        for (int h = 0; h < H; h++)
            if (a->add)
                load_sums(t, SUMS + 2 * g + h, y + (size_t)(g * SIDE) * j->ldy + h * SIDE, j->ldy,
                          g < G - 1 ? SIDE : rows);
            else
                zero(t, SUMS + 2 * g + h);
    products(t, j, a, a->x + (size_t)(row / BF16_ROWS) * j->group, a->w + 2 * (size_t)col, G, H);
    for (int g = 0; g < G; g++)
        for (int h = 0; h < H; h++)
            store_sums(t, SUMS + 2 * g + h, y + (size_t)(g * SIDE) * j->ldy + h * SIDE, j->ldy,
                       g < G - 1 ? SIDE : rows);
}

/* All rows against 16 H outputs, whose weights stay in the first-level cache meanwhile. */
INLINE void column(struct twin *t, const struct kernels_bf16_job *j, struct part *a, int col, const int H)
{
    int r = 0;
    for (; r + SIDE < j->rows; r += 2 * SIDE)
        square(t, j, a, r, col, j->rows - r < 2 * SIDE ? j->rows - r - SIDE : SIDE, 2, H);
    if (r < j->rows)
        square(t, j, a, r, col, j->rows - r, 1, H);
}

/* Parts as equal as can be. Where a sum is interrupted changes no bit. */
INLINE void run(struct twin *t, const struct kernels_bf16_job *j)
{
    int n = j->rows > 2 * SIDE ? (j->blocks + MOST_BLOCKS - 1) / MOST_BLOCKS : 1;
    struct part a = {.next = j->next, .end = j->next ? (const char *)j->next + j->bytes : NULL};
    for (int i = 0; i < n; i++) {
        int from = j->blocks * i / n, col = 0;
        a.x = j->x + (size_t)from * BF16_TILE;
        a.w = j->w + (size_t)from * BF16_TERMS * j->ldw;
        a.blocks = j->blocks * (i + 1) / n - from;
        a.add = j->add || i > 0;
        for (; col + 2 * SIDE <= j->n; col += 2 * SIDE)
            column(t, j, &a, col, 2);
        if (col < j->n)
            column(t, j, &a, col, 1);
    }
}

void kernels_bf16_tiles_twin(const struct kernels_bf16_job *j)
{
    struct twin t = {0};
    run(&t, j);
}

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The processor has tiles and bf16 for them, the system saves them, and lets this process use them. */
static int ask(void)
{
    enum { OSXSAVE = 27, AMX_BF16 = 22, AMX_TILE = 24, TILE_STATES = 3 << 17, REQUEST = 0x1023, TILE_DATA = 18 };
    unsigned a, b, c, d, low, high;
    if (!CPU_HAS_V4 || !__get_cpuid(1, &a, &b, &c, &d) || !(c >> OSXSAVE & 1) ||
        !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(d >> AMX_BF16 & 1) || !(d >> AMX_TILE & 1))
        return 0;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & TILE_STATES) == TILE_STATES && syscall(SYS_arch_prctl, REQUEST, TILE_DATA) == 0;
}

int kernels_bf16_tiles_has(void)
{
    static int known; /* 1: no; 2: yes */
    if (!known)
        known = 1 + ask();
    return known == 2;
}

/* Eight tiles of 16 rows of 64 bytes, for as long as the product takes. */
void kernels_bf16_tiles(const struct kernels_bf16_job *j)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shape = {.palette = 1};
    _Static_assert(sizeof shape == LINE, "as LDTILECFG reads it");
    for (int i = 0; i < N_TILE; i++) {
        shape.bytes[i] = LINE;
        shape.rows[i] = SIDE;
    }
    __asm__ volatile("ldtilecfg %0" ::"m"(shape));
    run(NULL, j);
    __asm__ volatile("tilerelease");
}
#else
int kernels_bf16_tiles_has(void)
{
    return 0;
}

void kernels_bf16_tiles(const struct kernels_bf16_job *j)
{
    kernels_bf16_tiles_twin(j);
}
#endif
