#include "datasets/draw.h"

#include "datasets/words.h"
#include "harness/base/mem.h"

const char *const draw_wordings[] = {"ruler", "compact", NULL};
const char *const draw_splits[] = {"eval", "train", NULL};
const char *const draw_types[] = {"words", "numbers", "uuids", NULL};

enum { MAX_TRIES = 10000 };

int draw_check(int wording, int split, struct err *e)
{
    if (split == DRAW_TRAIN && wording != DRAW_COMPACT)
        return err_set(e, ERR_CONFIG, "split: train needs wording: compact (nothing is trained in RULER's wording)");
    return 0;
}

void draw_init(struct draw *d, struct rng *r, int wording, int split)
{
    *d = (struct draw){.rng = r, .half = wording == DRAW_COMPACT ? split : -1};
}

void draw_fini(struct draw *d)
{
    mem_free(d->slot);
    *d = (struct draw){0};
}

static uint64_t hash_of(const char *text, size_t n)
{
    uint64_t h = 0xCBF29CE484222325u; /* FNV-1a, and a finish that every bit goes through */
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)text[i]) * 0x100000001B3u;
    return rng_mix(h, n) | 1;
}

int draw_half(const char *text, size_t n)
{
    return (int)(hash_of(text, n) >> 63);
}

static void place(struct draw *d, uint64_t hash)
{
    size_t i = (size_t)(hash >> 1) & (d->n_slot - 1);
    while (d->slot[i])
        i = (i + 1) & (d->n_slot - 1);
    d->slot[i] = hash;
}

/* 1 when the hash is there already; otherwise it is put in. */
static int seen(struct draw *d, uint64_t hash)
{
    if (2 * d->n >= d->n_slot) {
        uint64_t *old = d->slot;
        size_t n_old = d->n_slot;
        d->n_slot = n_old ? 2 * n_old : 64;
        d->slot = mem_new(d->n_slot, sizeof *d->slot);
        for (size_t i = 0; i < n_old; i++)
            if (old[i])
                place(d, old[i]);
        mem_free(old);
    }
    for (size_t i = (size_t)(hash >> 1) & (d->n_slot - 1); d->slot[i]; i = (i + 1) & (d->n_slot - 1))
        if (d->slot[i] == hash)
            return 1;
    place(d, hash);
    d->n++;
    return 0;
}

static void add_uuid(struct rng *r, struct str *out)
{
    static const char digit[] = "0123456789abcdef";
    uint64_t a = rng_u64(r), b = rng_u64(r);
    a = (a & ~(uint64_t)0xF000) | 0x4000;               /* version 4 */
    b = (b & ~((uint64_t)3 << 62)) | (uint64_t)2 << 62; /* variant 1 */
    for (int i = 0; i < 32; i++) {
        if (i == 8 || i == 12 || i == 16 || i == 20)
            str_addc(out, '-');
        str_addc(out, digit[(i < 16 ? a : b) >> 4 * (15 - i % 16) & 15]);
    }
}

static void add_text(struct rng *r, enum draw_type type, int n, struct str *out)
{
    static const char consonant[] = "bcdfghjklmnprstvwz", vowel[] = "aeiou";
    switch (type) {
    case DRAW_WORDS: {
        const char *noun = words_noun[rng_below(r, WORDS_N)]; /* first, as in version 1 of the tasks */
        str_add(out, words_adjective[rng_below(r, WORDS_N)]);
        str_addc(out, '-');
        str_add(out, noun);
        return;
    }
    case DRAW_NUMBERS: {
        uint64_t low = 1, at = out->n;
        for (int i = 1; i < (n ? n : 7); i++)
            low *= 10;
        uint64_t x = low + rng_below(r, 9 * low); /* exactly that many digits */
        for (int i = 0; i < (n ? n : 7); i++)
            str_addc(out, '0');
        for (uint64_t i = out->n; i-- > at; x /= 10)
            out->p[i] = (char)('0' + x % 10);
        return;
    }
    case DRAW_UUIDS: add_uuid(r, out); return;
    case DRAW_LETTERS:
    case DRAW_CAPITALS:
        for (int i = 0; i < n; i++)
            str_addc(out, (char)((type == DRAW_LETTERS ? 'a' : 'A') + rng_below(r, 26)));
        return;
    case DRAW_SYLLABLES:
        for (int i = 0; i < n; i++) {
            str_addc(out, consonant[rng_below(r, sizeof consonant - 1)]);
            str_addc(out, vowel[rng_below(r, sizeof vowel - 1)]);
        }
        return;
    }
}

int draw_new(struct draw *d, enum draw_type type, int n, struct str *out, struct err *e)
{
    size_t before = out->n;
    for (int tries = 0; tries < MAX_TRIES; tries++) {
        out->n = before;
        add_text(d->rng, type, n, out);
        uint64_t hash = hash_of(out->p + before, out->n - before);
        if ((d->half < 0 || (int)(hash >> 63) == d->half) && !seen(d, hash))
            return 0;
    }
    out->n = before;
    str_addn(out, "", 0); /* the NUL back in its place */
    return err_set(e, ERR_CONFIG, "no further key or value is left after %zu: their space is too small", d->n);
}
