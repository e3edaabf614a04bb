#include "models/import_sentencepiece.h"

#include <math.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "models/dims.h"

/* ---- protocol buffers ------------------------------------------------------------------------ */

struct reader {
    const uint8_t *at, *end;
    const char *path;
};

struct field {
    uint32_t number;
    enum { VARINT = 0, FIXED64 = 1, BYTES = 2, FIXED32 = 5 } wire;
    uint64_t value;      /* VARINT */
    const uint8_t *data; /* the others */
    size_t n;
};

static int broken(const struct reader *r, const char *what, struct err *e)
{
    return err_set(e, ERR_FORMAT, "%s: %s; no SentencePiece model, or a damaged one", r->path, what);
}

static int varint(struct reader *r, uint64_t *out, struct err *e)
{
    *out = 0;
    for (int shift = 0; shift < 64 && r->at < r->end; shift += 7) {
        uint8_t b = *r->at++;
        *out |= (uint64_t)(b & 0x7F) << shift;
        if (b < 0x80)
            return 0;
    }
    return broken(r, "a number does not end", e);
}

/* The next field of a message: 1 and *f, 0 at its end, or -1. */
static int next_field(struct reader *r, struct field *f, struct err *e)
{
    uint64_t key;
    if (r->at == r->end)
        return 0;
    if (varint(r, &key, e))
        return -1;
    *f = (struct field){.number = (uint32_t)(key >> 3), .wire = (int)(key & 7)};
    if (key >> 3 == 0 || key >> 3 > UINT32_MAX)
        return broken(r, "a field without a number", e);
    if (f->wire == VARINT)
        return varint(r, &f->value, e) ? -1 : 1;
    uint64_t n = f->wire == FIXED64 ? 8 : 4;
    if (f->wire == BYTES && varint(r, &n, e))
        return -1;
    if (f->wire != FIXED64 && f->wire != FIXED32 && f->wire != BYTES)
        return broken(r, "a field of an unknown sort", e);
    if (n > (uint64_t)(r->end - r->at))
        return broken(r, "a field that is longer than the file", e);
    f->data = r->at;
    f->n = (size_t)n;
    r->at += n;
    return 1;
}

static struct reader inside(const struct reader *r, const struct field *f)
{
    return (struct reader){f->data, f->data + f->n, r->path};
}

static float real(const struct field *f)
{
    uint32_t bits = 0;
    float v;
    for (int i = 0; i < 4; i++)
        bits |= (uint32_t)f->data[i] << 8 * i;
    memcpy(&v, &bits, sizeof v);
    return v;
}

/* ---- the messages ---------------------------------------------------------------------------- */

enum { PIECES = 1, TRAINER = 2, NORMALIZER = 3 };

/* A piece: text 1, score 2, type 3 (1 normal, 2 unknown, 3 control, 4 user-defined, 5 unused, 6 byte). */
static int read_piece(struct reader r, struct tokenizer_data *d, struct err *e)
{
    static const int types[] = {-1, TOKEN_NORMAL, TOKEN_CONTROL, TOKEN_CONTROL, TOKEN_ADDED, -1, TOKEN_BYTE};
    struct field f;
    uint64_t type = 1;
    int found, id = d->n_token++; /* counted at once, so that its text is freed whatever comes */
    while ((found = next_field(&r, &f, e)) > 0) {
        if (f.number == 1 && f.wire == BYTES) {
            if (f.n == 0 || memchr(f.data, 0, f.n))
                return err_set(e, ERR_UNSUPPORTED, "%s: piece %d is empty, or holds a NUL", r.path, id);
            mem_free(d->token[id]);
            d->token[id] = mem_strndup((const char *)f.data, f.n);
        } else if (f.number == 2 && f.wire == FIXED32) {
            d->score[id] = real(&f);
        } else if (f.number == 3 && f.wire == VARINT) {
            type = f.value;
        }
    }
    if (found < 0)
        return -1;
    if (!d->token[id])
        return err_set(e, ERR_FORMAT, "%s: piece %d has no text", r.path, id);
    if (type > 6 || types[type] < 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: piece %d '%s' is of type %llu%s", r.path, id, d->token[id],
                       (unsigned long long)type,
                       type == 5 ? ", unused; vocabularies with parts switched off are not read" : "");
    d->type[id] = (uint8_t)types[type];
    if (type == 2)
        d->unk = id;
    return 0;
}

/* How it was trained: kind of model 3 (2: BPE), white space behind words 24, byte fallback 35, ids 40 to 43. An id that
 * is absent is SentencePiece's default. */
static int read_trainer(struct reader r, struct tokenizer_data *d, int *is_bpe, int *fallback, struct err *e)
{
    struct field f;
    int found;
    while ((found = next_field(&r, &f, e)) > 0) {
        int64_t v = (int32_t)f.value; /* negative numbers are written with 64 bits */
        if (f.wire != VARINT)
            continue;
        if (f.number == 3)
            *is_bpe = f.value == 2;
        else if (f.number == 35)
            *fallback = f.value != 0;
        else if (f.number == 24 && f.value)
            return err_set(e, ERR_UNSUPPORTED, "%s: treat_whitespace_as_suffix is not read", r.path);
        else if (f.number == 41)
            d->bos = v < 0 ? -1 : (int)v;
        else if (f.number == 42)
            d->eos = v < 0 ? -1 : (int)v;
        else if (f.number == 43)
            d->pad = v < 0 ? -1 : (int)v;
    }
    return found;
}

/* What is done to a text: rules 2 (compiled) and 6 (as text), a blank in front 3, blanks taken away 4, blanks as
 * U+2581 5.
 */
static int read_normalizer(struct reader r, int *blank, struct err *e)
{
    struct field f;
    int found, fewer = 1, escaped = 1, rules = 0;
    *blank = 1;
    while ((found = next_field(&r, &f, e)) > 0) {
        if ((f.number == 2 || f.number == 6) && f.wire == BYTES)
            rules |= f.n > 0;
        if (f.number == 3 && f.wire == VARINT)
            *blank = f.value != 0;
        if (f.number == 4 && f.wire == VARINT)
            fewer = f.value != 0;
        if (f.number == 5 && f.wire == VARINT)
            escaped = f.value != 0;
    }
    if (found == 0 && (rules || fewer || !escaped))
        return err_set(
            e, ERR_UNSUPPORTED, "%s: %s", r.path,
            rules   ? "it normalises texts by rules of its own; a model that takes them as they are (identity) is read"
            : fewer ? "it takes blanks away (remove_extra_whitespaces), which is not read"
                    : "it does not write blanks as U+2581, which is not read");
    return found;
}

static int count_pieces(struct reader r, int *n, struct err *e)
{
    struct field f;
    int found;
    *n = 0;
    while ((found = next_field(&r, &f, e)) > 0)
        if (f.number == PIECES && f.wire == BYTES && ++*n > DIMS_MAX_VOCAB)
            return err_set(e, ERR_FORMAT, "%s: more than %d pieces", r.path, (int)DIMS_MAX_VOCAB);
    return found;
}

static int read_model(struct reader r, int n_vocab, int room, struct tokenizer_data *d, struct err *e)
{
    struct field f;
    struct reader all = r;
    int n, found, is_bpe = 0, fallback = 0, blank = 1, normalizers = 0;
    if (count_pieces(r, &n, e))
        return -1;
    if (n == 0)
        return broken(&r, "no pieces", e);
    size_t most = (size_t)(n > n_vocab ? n : n_vocab) + (size_t)room;
    d->token = mem_try(most, sizeof *d->token, "tokens", e);
    d->type = d->token ? mem_try(most, 1, "token types", e) : NULL;
    d->score = d->type ? mem_try(most, sizeof *d->score, "token scores", e) : NULL;
    if (!d->score)
        return -1;
    d->unk = d->pad = -1;
    d->bos = 1;
    d->eos = 2;
    while ((found = next_field(&all, &f, e)) > 0) {
        struct reader in = inside(&all, &f);
        if (f.wire != BYTES)
            continue;
        if ((f.number == PIECES && read_piece(in, d, e)) ||
            (f.number == TRAINER && read_trainer(in, d, &is_bpe, &fallback, e)) ||
            (f.number == NORMALIZER && read_normalizer(in, &blank, e)))
            return -1;
        normalizers += f.number == NORMALIZER;
    }
    if (found < 0)
        return -1;
    if (!is_bpe || !normalizers)
        return err_set(e, ERR_UNSUPPORTED, "%s: %s", r.path,
                       is_bpe ? "it does not say how texts are normalised"
                              : "not a model of the BPE type (Unigram, mostly)");
    for (int i = 0; i < n && !fallback; i++)
        if (d->type[i] == TOKEN_BYTE)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: piece %d '%s' is a byte, but trainer_spec.byte_fallback is false, expected true",
                           r.path, i, d->token[i]);
    for (size_t i = (size_t)n; i < most; i++)
        d->score[i] = -INFINITY;
    if (d->bos >= n || d->eos >= n || d->pad >= n)
        return err_set(e, ERR_FORMAT, "%s: special ids %d, %d and %d of %d pieces", r.path, d->bos, d->eos, d->pad, n);
    d->kind = TOKENIZER_SPM;
    d->space = blank ? TOKENIZER_SPACE_FIRST : TOKENIZER_SPACE_NONE;
    return 0;
}

int import_sentencepiece_read(const char *path, int n_vocab, int room, struct tokenizer_data *d, struct err *e)
{
    size_t n = 0;
    char *data = fs_read(path, &n, e);
    if (!data)
        return -1;
    const uint8_t *p = (const uint8_t *)data;
    int rc = read_model((struct reader){p, p + n, path}, n_vocab, room, d, e);
    mem_free(data);
    return rc;
}
