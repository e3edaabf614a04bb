#include "models/kernels_many.h"

#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "harness/base/cpu.h"
#include "models/lanes.h"

struct product {
    float *y;
    size_t ldy;
    const float *x;
    size_t ldx;
    const float *w;
    size_t ldw, k;
    int add;
    const char *next; /* what the next tile asks for, `step` bytes with every term of the sums */
    size_t step;
};

/* R rows of V vectors. Four rows share a pointer, so that the addresses of all fit the registers: row r is at
 * x[r / 4] + r % 4 rows. */
#define TILE(NAME, VECTOR, LANES) \
    INLINE void NAME(const struct product *p, int row, int col, const int R, const int V) \
    { \
        VECTOR sum[14][6]; \
        size_t ldx = p->ldx, ldw = p->ldw, n = p->k, step = p->step; \
        const float *x[4], *w = p->w + col; \
        const char *next = p->next; \
        for (int b = 0; b < 4; b++) \
            x[b] = p->x + (size_t)(row + 4 * b) * ldx; \
        for (int r = 0; r < R; r++) \
            for (int v = 0; v < V; v++) \
                sum[r][v] = (VECTOR){0}; \
        for (size_t i = 0; i < n; i++) { \
            VECTOR b[6]; \
            for (int v = 0; v < V; v++) \
                b[v] = *(const VECTOR *)(w + LANES * v); \
            __builtin_prefetch(next, 0, 2); \
            for (int r = 0; r < R; r++) { \
                float a = x[r / 4][(size_t)(r % 4) * ldx]; \
                for (int v = 0; v < V; v++) \
                    sum[r][v] += b[v] * a; \
            } \
            for (int at = 0; at < 4; at++) \
                x[at]++; \
            w += ldw; \
            next += step; \
        } \
        float *y = p->y + (size_t)row * p->ldy + col; \
        for (int r = 0; r < R; r++) \
            for (int v = 0; v < V; v++) { \
                VECTOR *to = (VECTOR *)(y + (size_t)r * p->ldy + LANES * v); \
                if (p->add) \
                    sum[r][v] += *to; \
                *to = sum[r][v]; \
            } \
    }

TILE(tile16, lanes16, 16)
TILE(tile8, lanes8, 8)
TILE(tile4, lanes4, 4)

INLINE void tile(const struct product *p, int row, int col, const int R, const int V, const int lanes)
{
    if (lanes == 16)
        tile16(p, row, col, R, V);
    else if (lanes == 8)
        tile8(p, row, col, R, V);
    else
        tile4(p, row, col, R, V);
}

static int parts(int n, int most)
{
    return (n + most - 1) / most;
}

/* V vectors of columns for all rows, in tiles as equal as can be: one of a single row takes as long as one of four. */
INLINE void strip(struct product *p, int rows, int most, int col, const int MOST, const int V, const int lanes)
{
    int n = parts(rows, most);
    for (int i = 0; i < n; i++) {
        int row = (int)((long)rows * i / n), end = (int)((long)rows * (i + 1) / n);
#define ROWS(R) \
    case R: \
        if (R <= MOST) \
            tile(p, row, col, R, V, lanes); \
        break;
        switch (end - row) {
            ROWS(1)
            ROWS(2)
            ROWS(3)
            ROWS(4)
            ROWS(5)
            ROWS(6)
            ROWS(7)
            ROWS(8)
            ROWS(9)
            ROWS(10)
            ROWS(11)
            ROWS(12)
            ROWS(13)
            ROWS(14)
        default: break;
        }
#undef ROWS
        p->next += p->k * p->step;
    }
}

/* Strips of V vectors from column *col on, as long as there are enough columns. */
INLINE void strips(struct product *p, int rows, int most, int *col, int n, const int MOST, const int V, const int lanes)
{
    for (; *col + V * lanes <= n; *col += V * lanes)
        strip(p, rows, most, *col, MOST, V, lanes);
}

/* What each shape is: as many strips as there are, and the rest of the columns in narrower ones. */
typedef void run_fn(struct product *p, int rows, int most, int col, int n);

#if defined(__x86_64__)
#define WIDE __attribute__((target("arch=x86-64-v4"))) static void
#define MIDDLE __attribute__((target("arch=x86-64-v3"))) static void

WIDE run_2_wide(struct product *p, int rows, int most, int col, int n)
{
    strips(p, rows, most, &col, n, 14, 2, 16);
    strips(p, rows, 14, &col, n, 14, 1, 16);
}

/* As many strips of three as leave whole ones of two: 64 columns are twice 32, for 16 by themselves are slow. */
WIDE run_3_wide(struct product *p, int rows, int most, int col, int n)
{
    int threes = n / 48;
    threes -= threes > 0 && (n - 48 * threes) % 32 != 0;
    strips(p, rows, most, &col, 48 * threes, 8, 3, 16);
    run_2_wide(p, rows, 14, col, n);
}

WIDE run_6_wide(struct product *p, int rows, int most, int col, int n)
{
    strips(p, rows, most, &col, n, 4, 6, 16);
    run_2_wide(p, rows, 14, col, n);
}

MIDDLE run_2_middle(struct product *p, int rows, int most, int col, int n)
{
    strips(p, rows, most, &col, n, 6, 2, 8);
    strips(p, rows, 6, &col, n, 6, 1, 8);
}

MIDDLE run_3_middle(struct product *p, int rows, int most, int col, int n)
{
    strips(p, rows, most, &col, n, 4, 3, 8);
    run_2_middle(p, rows, 6, col, n);
}
#endif

static void run_narrow(struct product *p, int rows, int most, int col, int n)
{
    strips(p, rows, most, &col, n, 2, 4, 4);
}

enum level { NARROW, MIDDLE_VECTORS, WIDE_VECTORS };

/* The shapes of one level come in the order of preference. `ahead`: what comes next is asked for on the way. */
static const struct shape {
    const char *name;
    enum level level;
    int rows, vectors; /* a strip is `vectors` wide */
    int ahead;
    run_fn *run;
} shapes[] = {
#if defined(__x86_64__)
    {"8x48-ahead", WIDE_VECTORS, 8, 3, 1, run_3_wide},
    {"8x48", WIDE_VECTORS, 8, 3, 0, run_3_wide},
    {"14x32-ahead", WIDE_VECTORS, 14, 2, 1, run_2_wide},
    {"14x32", WIDE_VECTORS, 14, 2, 0, run_2_wide},
    {"4x96", WIDE_VECTORS, 4, 6, 0, run_6_wide},
    {"6x16", MIDDLE_VECTORS, 6, 2, 0, run_2_middle},
    {"6x16-ahead", MIDDLE_VECTORS, 6, 2, 1, run_2_middle},
    {"4x24", MIDDLE_VECTORS, 4, 3, 0, run_3_middle},
#endif
    {"2x16", NARROW, 2, 4, 0, run_narrow},
};

enum { N_SHAPE = sizeof shapes / sizeof *shapes };

static int lanes_of(const struct shape *s)
{
    return s->level == WIDE_VECTORS ? 16 : s->level == MIDDLE_VECTORS ? 8 : 4;
}

/* Found once; several threads may ask first at the same time, so both numbers are one value. */
struct found {
    int first, preferred; /* of the shapes that this processor has; all behind it but NARROW have the same bits */
};
static atomic_int found = -1; /* first * N_SHAPE + preferred */
static atomic_int chosen = -1;

static int first_of(enum level l)
{
    int i = 0;
    while (shapes[i].level != l)
        i++;
    return i;
}

/* Zen 4 computes a vector of 64 bytes in two halves: its second-level cache keeps up with low tiles, which read weights
 * in their order. */
static struct found look(void)
{
    int f, best, known = atomic_load_explicit(&found, memory_order_relaxed);
    if (known >= 0)
        return (struct found){.first = known / N_SHAPE, .preferred = known % N_SHAPE};
    f = first_of(NARROW);
#if defined(__x86_64__)
    f = CPU_HAS_V4 ? first_of(WIDE_VECTORS) : CPU_HAS_V3 ? first_of(MIDDLE_VECTORS) : f;
#endif
    best = f;
#if defined(__x86_64__)
    for (int i = f; CPU_IS_ZEN4 && shapes[i].level == WIDE_VECTORS; i++)
        best = i; /* the last is the lowest */
#endif
    atomic_store_explicit(&found, f * N_SHAPE + best, memory_order_relaxed);
    return (struct found){.first = f, .preferred = best};
}

int kernels_many_count(void)
{
    struct found f = look();
    return f.first == N_SHAPE - 1 ? 1 : N_SHAPE - 1 - f.first;
}

const char *kernels_many_name(int i)
{
    return shapes[look().first + i].name;
}

int kernels_many_now(void)
{
    struct found f = look();
    int c = chosen;
    return (c >= 0 ? c : f.preferred) - f.first;
}

void kernels_many_choose(int i)
{
    chosen = i < 0 ? -1 : look().first + i;
}

int kernels_many_find(const char *name)
{
    for (int i = 0; i < kernels_many_count(); i++)
        if (strcmp(kernels_many_name(i), name) == 0)
            return i;
    return -1;
}

size_t kernels_many_cache(void)
{
    long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return bytes >= 1 << 17 ? (size_t)bytes : (size_t)1 << 20; /* some virtual machines tell nothing */
}

void kernels_many(float *y, size_t ldy, const float *x, size_t ldx, int rows, const float *w, size_t ldw, int n, int k,
                  int add, const void *next, size_t bytes)
{
    enum { LINE = 64 };
    const struct shape *s = &shapes[look().first + kernels_many_now()];
    struct product p = {y, ldy, x, ldx, w, ldw, (size_t)k, add, s->ahead && next ? next : (const void *)w, 0};
    if (s->ahead && next && k > 0 && rows > 0 && n > 0) {
        size_t terms = (size_t)parts(rows, s->rows) * (size_t)parts(n, s->vectors * lanes_of(s)) * (size_t)k;
        p.step = bytes / terms + 1;
        p.step = p.step < LINE ? p.step : LINE;
    }
    s->run(&p, rows, s->rows, 0, n);
}

size_t kernels_many_apart(size_t n)
{
    enum { LINE = 16 };
    return ((n + LINE - 1) / LINE | 1) * LINE;
}

/* Pairs, pairs of pairs and halves of registers change places. */
INLINE void turn8(float *to, size_t ld, const float *x, size_t ldx)
{
    lanes8 a[8], b[8];
    for (size_t i = 0; i < 8; i++)
        a[i] = *(const lanes8 *)(x + i * ldx);
    for (int i = 0; i < 8; i += 2) {
        b[i] = __builtin_shufflevector(a[i], a[i + 1], 0, 8, 2, 10, 4, 12, 6, 14);
        b[i + 1] = __builtin_shufflevector(a[i], a[i + 1], 1, 9, 3, 11, 5, 13, 7, 15);
    }
    for (int i = 0; i < 8; i++) {
        int from = i / 4 * 4 + i % 2;
        a[i] = i % 4 < 2 ? __builtin_shufflevector(b[from], b[from + 2], 0, 1, 8, 9, 4, 5, 12, 13)
                         : __builtin_shufflevector(b[from], b[from + 2], 2, 3, 10, 11, 6, 7, 14, 15);
    }
    for (size_t i = 0; i < 8; i++)
        *(lanes8 *)(to + i * ld) = i < 4 ? __builtin_shufflevector(a[i], a[i + 4], 0, 1, 2, 3, 8, 9, 10, 11)
                                         : __builtin_shufflevector(a[i - 4], a[i], 4, 5, 6, 7, 12, 13, 14, 15);
}

INLINE void turn(float *to, size_t ld, const float *x, size_t ldx, int rows, int n)
{
    int r = 0;
    for (; r + 8 <= rows; r += 8) {
        int i = 0;
        for (; i + 8 <= n; i += 8)
            turn8(to + (size_t)i * ld + r, ld, x + (size_t)r * ldx + i, ldx);
        for (; i < n; i++)
            for (int j = r; j < r + 8; j++)
                to[(size_t)i * ld + (size_t)j] = x[(size_t)j * ldx + (size_t)i];
    }
    for (; r < rows; r++)
        for (int i = 0; i < n; i++)
            to[(size_t)i * ld + (size_t)r] = x[(size_t)r * ldx + (size_t)i];
}

#if defined(__x86_64__)
MIDDLE turn_middle(float *to, size_t ld, const float *x, size_t ldx, int rows, int n)
{
    turn(to, ld, x, ldx, rows, n);
}
#endif

void kernels_many_turn(float *to, size_t ld, const float *x, size_t ldx, int rows, int n)
{
#if defined(__x86_64__)
    if (CPU_HAS_V3) {
        turn_middle(to, ld, x, ldx, rows, n);
        return;
    }
#endif
    turn(to, ld, x, ldx, rows, n);
}

enum { PANEL = 96 }; /* rows that are turned at a time: they lie in the first-level cache for all of x */

size_t kernels_many_room(int rows, int k)
{
    return (size_t)k * PANEL + (size_t)rows * KERNELS_MANY_LANES;
}

void kernels_many_turned(float *y, size_t ldy, const float *x, size_t ldx, int rows, const float *z, size_t ldz, int n,
                         int k, float *room)
{
    enum { LANES = KERNELS_MANY_LANES };
    float *turned = room, *edge = room + (size_t)k * PANEL;
    for (int from = 0; from < n; from += PANEL) {
        int now = n - from < PANEL ? n - from : PANEL, whole = now / LANES * LANES, left = now - whole;
        for (size_t i = 0; left && i < (size_t)k; i++)
            memset(turned + i * PANEL + whole, 0, LANES * sizeof *turned);
        kernels_many_turn(turned, PANEL, z + (size_t)from * ldz, ldz, now, k);
        kernels_many(y + from, ldy, x, ldx, rows, turned, PANEL, whole, k, 0, NULL, 0);
        if (left) /* y has no room for a whole vector */
            kernels_many(edge, LANES, x, ldx, rows, turned + whole, PANEL, LANES, k, 0, NULL, 0);
        for (size_t r = 0; left && r < (size_t)rows; r++)
            memcpy(y + r * ldy + from + whole, edge + r * LANES, (size_t)left * sizeof *y);
    }
}
