#include "models/tokenizer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/tokenizer_hash.h"
#include "models/tokenizer_int.h"
#include "models/tokenizer_rule.h"

void tokenizer_data_fini(struct tokenizer_data *d)
{
    for (int i = 0; d->token && i < d->n_token; i++)
        mem_free(d->token[i]);
    for (int i = 0; d->merge && i < d->n_merge; i++)
        mem_free(d->merge[i]);
    mem_free(d->token);
    mem_free(d->type);
    mem_free(d->merge);
    mem_free(d->score);
    mem_free(d->pre);
    mem_free(d->chat_template);
    mem_free(d->eos_extra);
    *d = (struct tokenizer_data){0};
}

void tokenizer_data_bytes(struct tokenizer_data *d, const char *end)
{
    enum { N = 257 };
    char text[8];
    *d = (struct tokenizer_data){
        .kind = TOKENIZER_BYTES, .n_token = N, .bos = -1, .eos = N - 1, .pad = -1, .unk = -1};
    d->token = mem_new(N, sizeof *d->token);
    d->type = mem_new(N, sizeof *d->type);
    for (int i = 0; i < N - 1; i++) {
        snprintf(text, sizeof text, "<%02x>", (unsigned)i);
        d->token[i] = mem_strdup(text);
    }
    d->token[N - 1] = mem_strdup(end);
    d->type[N - 1] = TOKEN_CONTROL;
}

static const char *const kinds[] = {"bytes", "bpe", "spm"};

const char *tokenizer_kind_name(enum tokenizer_kind k)
{
    return kinds[k];
}

int tokenizer_kind_find(const char *name)
{
    for (int i = 0; i < 3; i++)
        if (strcmp(kinds[i], name) == 0)
            return i;
    return -1;
}

void token_ids_add(struct token_ids *ids, int32_t id)
{
    mem_grow(&ids->id, &ids->cap, (size_t)ids->n + 1, sizeof *ids->id);
    ids->id[ids->n++] = id;
}

void token_ids_free(struct token_ids *ids)
{
    mem_free(ids->id);
    *ids = (struct token_ids){0};
}

/* GPT-2's alphabet: printable bytes stand for themselves, the other 68 for U+0100 upward in byte order. Fills
 * byte_of[code point] for the 324 code points that occur, -1 elsewhere. */
static void byte_alphabet(int byte_of[0x144])
{
    int next = 0x100;
    for (int i = 0; i < 0x144; i++)
        byte_of[i] = -1;
    for (int b = 0; b < 256; b++) {
        int printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
        byte_of[printable ? b : next++] = b;
    }
}

/* A vocabulary entry in that alphabet as raw bytes; -1 when it holds anything else. */
static int to_bytes(const char *text, const int byte_of[0x144], struct str *out)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        int code = *p;
        if (code >= 0x80) {
            if ((code & 0xE0) != 0xC0 || (p[1] & 0xC0) != 0x80)
                return -1;
            code = (code & 0x1F) << 6 | (*++p & 0x3F);
        }
        if (code >= 0x144 || byte_of[code] < 0)
            return -1;
        str_addc(out, (char)byte_of[code]);
    }
    return 0;
}

int tokenizer_data_is_bytes(const struct tokenizer_data *d)
{
    int byte_of[0x144], same = d->kind != TOKENIZER_SPM && d->n_merge == 0 && d->n_token >= 256;
    struct str one = {0};
    byte_alphabet(byte_of);
    for (int b = 0; b < 256 && same; b++) {
        str_clear(&one);
        same = d->type[b] == TOKEN_NORMAL && to_bytes(d->token[b], byte_of, &one) == 0 && one.n == 1 &&
               one.p[0] == (char)b;
    }
    str_free(&one);
    return same;
}

/* SPM: a token, or a part of a merge, with its blanks as such. */
static void unescape(const char *text, struct str *out)
{
    for (; *text; text++)
        if (memcmp(text, "\xE2\x96\x81", strnlen(text, 3)) == 0 && strnlen(text, 3) == 3) {
            str_addc(out, ' ');
            text += 2;
        } else {
            str_addc(out, *text);
        }
}

/* The bytes that an ordinary token stands for; -1 when it is not written as its kind writes them. */
static int token_bytes(enum tokenizer_kind kind, const char *text, const int byte_of[0x144], struct str *out)
{
    if (kind == TOKENIZER_BPE)
        return to_bytes(text, byte_of, out);
    if (kind == TOKENIZER_SPM)
        unescape(text, out);
    else
        str_add(out, text);
    return 0;
}

/* The byte of "<0x0A>", or -1. */
static int byte_token(const char *text)
{
    unsigned byte;
    char end;
    int fits = strlen(text) == 6 && strncmp(text, "<0x", 3) == 0 && sscanf(text + 3, "%2x%c%c", &byte, &end, &end) == 2;
    return fits && end == '>' ? (int)byte : -1;
}

static uint64_t hash_bytes(const char *p, size_t n)
{
    uint64_t h = 0x9E3779B97F4A7C15u ^ n;
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)p[i]) * 0xFF51AFD7ED558CCDu, h ^= h >> 29;
    return h;
}

int tokenizer_lookup(const struct tokenizer *t, const char *bytes, size_t n)
{
    for (size_t i = hash_bytes(bytes, n) & t->slot_mask;; i = (i + 1) & t->slot_mask) {
        int id = t->slot[i];
        if (id < 0)
            return -1;
        if (t->length[id] == n && memcmp(t->bytes + t->offset[id], bytes, n) == 0)
            return id;
    }
}

/* Puts id into the table; the id that stood there with the same bytes, or -1. */
static int insert(struct tokenizer *t, int id)
{
    int there = tokenizer_lookup(t, t->bytes + t->offset[id], t->length[id]);
    if (there >= 0)
        return there;
    size_t i = hash_bytes(t->bytes + t->offset[id], t->length[id]) & t->slot_mask;
    while (t->slot[i] >= 0)
        i = (i + 1) & t->slot_mask;
    t->slot[i] = id;
    return -1;
}

const struct tokenizer_merge *tokenizer_merge_of(const struct tokenizer *t, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t i = (key * 0x9E3779B97F4A7C15u >> 40) & t->merge_mask;; i = (i + 1) & t->merge_mask) {
        const struct tokenizer_merge *m = &t->merge[i];
        if (m->rank < 0)
            return NULL;
        if (m->left == left && m->right == right)
            return m;
    }
}

static size_t table_size(size_t n)
{
    size_t size = 16;
    while (size < 2 * n)
        size *= 2;
    return size;
}

/* Appends what token id stands for, and checks its type. */
static int load_token(struct tokenizer *t, const struct tokenizer_data *d, int id, const int byte_of[0x144],
                      const char *name, struct str *bytes, struct err *e)
{
    int type = d->type ? d->type[id] : TOKEN_NORMAL, kind = type & TOKEN_TYPE;
    const char *text = d->token[id];
    t->type[id] = (uint8_t)kind;
    t->flags[id] = (uint8_t)(type & ~TOKEN_TYPE);
    t->offset[id] = bytes->n;
    if ((kind == TOKEN_BYTE && d->kind != TOKENIZER_SPM) || !text ||
        ((kind == TOKEN_NORMAL || kind == TOKEN_BYTE) && t->flags[id]) || type > 63)
        return err_set(e, ERR_FORMAT, "%s: token %d has no text, or type %d", name, id, type);
    if (kind == TOKEN_BYTE) {
        int byte = byte_token(text);
        if (byte < 0 || t->byte_id[byte] >= 0)
            return err_set(e, ERR_FORMAT, "%s: token %d '%s' is no byte, written <0x0A>, or one that was there before",
                           name, id, text);
        t->byte_id[byte] = id;
        str_addc(bytes, (char)byte);
    } else if (d->kind == TOKENIZER_BYTES && id < 256) {
        str_addc(bytes, (char)id);
    } else if (kind == TOKEN_CONTROL || (kind == TOKEN_ADDED && !d->score)) {
        str_add(bytes, text);
    } else if (token_bytes(d->kind, text, byte_of, bytes)) {
        return err_set(e, ERR_FORMAT, "%s: token %d is not written in GPT-2's byte alphabet", name, id);
    }
    t->length[id] = (uint32_t)(bytes->n - t->offset[id]);
    return 0;
}

/* 1 when ordinary text may come to this token: a byte of SentencePiece's never does, and a token of it that holds a
 * blank as such neither, because a text's blanks are U+2581. */
static int is_reached(const struct tokenizer *t, const struct tokenizer_data *d, int id)
{
    if (t->length[id] == 0 || (t->kind == TOKENIZER_SPM && t->type[id] == TOKEN_NORMAL && strchr(d->token[id], ' ')))
        return 0;
    return t->type[id] != TOKEN_BYTE && !(t->by_score && t->type[id] == TOKEN_CONTROL);
}

/* Fills the table of what ordinary text comes to. A control or added token may be spelt like an ordinary one; the text
 * then means the ordinary one. Where there is none, merges may still lead to it: it was one before it was added. */
static int load_slots(struct tokenizer *t, const struct tokenizer_data *d, const char *name, struct err *e)
{
    for (int id = 0; id < d->n_token; id++) {
        if (t->type[id] != TOKEN_NORMAL && d->kind != TOKENIZER_BYTES)
            continue;
        int there = is_reached(t, d, id) ? insert(t, id) : -1;
        if (there >= 0 && t->type[there] == TOKEN_NORMAL && t->type[id] == TOKEN_NORMAL)
            return err_set(e, ERR_FORMAT, "%s: tokens %d and %d are the same", name, there, id);
    }
    for (int id = 0; id < d->n_token; id++) {
        if (t->type[id] != TOKEN_NORMAL && d->kind != TOKENIZER_BYTES && is_reached(t, d, id))
            insert(t, id);
        if (is_reached(t, d, id) && t->length[id] > t->longest)
            t->longest = t->length[id];
    }
    for (int b = 0; b < 256 && t->kind == TOKENIZER_SPM; b++)
        if (t->byte_id[b] < 0)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: token <0x%02X> missing; a SentencePiece vocabulary needs one for every byte here, for "
                           "characters that it does not have",
                           name, (unsigned)b);
    return 0;
}

static int load_tokens(struct tokenizer *t, const struct tokenizer_data *d, const char *name, struct err *e)
{
    struct str bytes = {0};
    int byte_of[0x144], rc = -1;
    byte_alphabet(byte_of);
    size_t size = table_size((size_t)d->n_token);
    t->offset = mem_try((size_t)d->n_token + 1, sizeof *t->offset, "vocabulary", e);
    t->length = mem_try((size_t)d->n_token + 1, sizeof *t->length, "vocabulary", e);
    t->type = mem_try((size_t)d->n_token + 1, 1, "vocabulary", e);
    t->flags = mem_try((size_t)d->n_token + 1, 1, "vocabulary", e);
    t->slot = mem_try(size, sizeof *t->slot, "vocabulary", e);
    if (!t->offset || !t->length || !t->type || !t->flags || !t->slot)
        goto out;
    t->slot_mask = size - 1;
    for (size_t i = 0; i < size; i++)
        t->slot[i] = -1;
    for (int b = 0; b < 256; b++)
        t->byte_id[b] = -1;
    for (int id = 0; id < d->n_token; id++)
        if (load_token(t, d, id, byte_of, name, &bytes, e))
            goto out;
    t->bytes = str_take(&bytes);
    rc = load_slots(t, d, name, e);
out:
    str_free(&bytes);
    return rc;
}

static int compare_score(const void *a, const void *b, void *ctx)
{
    const float *score = ctx;
    float x = score[*(const int *)a], y = score[*(const int *)b];
    return (x < y) - (x > y);
}

static int load_scores(struct tokenizer *t, const struct tokenizer_data *d, const char *name, struct err *e)
{
    if (!d->score)
        return 0;
    if (d->kind != TOKENIZER_SPM || d->n_merge > 0)
        return err_set(e, ERR_FORMAT, "%s: scores and merges, or scores without SentencePiece's rules", name);
    int *order = mem_try((size_t)d->n_token + 1, sizeof *order, "scores", e);
    t->rank = order ? mem_try((size_t)d->n_token + 1, sizeof *t->rank, "scores", e) : NULL;
    int rc = t->rank ? 0 : -1;
    for (int i = 0; i < d->n_token && rc == 0; i++) {
        order[i] = i;
        if (isnan(d->score[i]))
            rc = err_set(e, ERR_FORMAT, "%s: the score of token %d is not a number", name, i);
    }
    if (rc == 0) {
        qsort_r(order, (size_t)d->n_token, sizeof *order, compare_score, d->score);
        for (int i = 1; i < d->n_token; i++)
            t->rank[order[i]] = t->rank[order[i - 1]] + (d->score[order[i]] < d->score[order[i - 1]]);
    }
    mem_free(order);
    return rc;
}

static int load_merges(struct tokenizer *t, const struct tokenizer_data *d, const char *name, struct err *e)
{
    int byte_of[0x144], rc = -1;
    struct str left = {0}, right = {0};
    size_t size = table_size((size_t)d->n_merge);
    byte_alphabet(byte_of);
    t->merge = mem_try(size, sizeof *t->merge, "merges", e);
    if (!t->merge)
        return -1;
    t->merge_mask = size - 1;
    for (size_t i = 0; i < size; i++)
        t->merge[i].rank = -1;
    for (int r = 0; r < d->n_merge; r++) {
        const char *space = strchr(d->merge[r], ' ');
        char *first = space ? mem_strndup(d->merge[r], (size_t)(space - d->merge[r])) : NULL;
        str_clear(&left);
        str_clear(&right);
        int bad =
            !space || token_bytes(t->kind, first, byte_of, &left) || token_bytes(t->kind, space + 1, byte_of, &right);
        mem_free(first);
        int a = bad ? -1 : tokenizer_lookup(t, str_c(&left), left.n);
        int b = bad ? -1 : tokenizer_lookup(t, str_c(&right), right.n);
        str_addn(&left, str_c(&right), right.n);
        int whole = bad ? -1 : tokenizer_lookup(t, str_c(&left), left.n);
        if (a < 0 || b < 0 || whole < 0) {
            err_set(e, ERR_FORMAT, "%s: merge %d '%s': its parts and result must be tokens", name, r, d->merge[r]);
            goto out;
        }
        uint64_t key = (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
        size_t i = (key * 0x9E3779B97F4A7C15u >> 40) & t->merge_mask;
        /* of one that is repeated the last rank counts, as in the tokenizers package */
        while (t->merge[i].rank >= 0 && (t->merge[i].left != a || t->merge[i].right != b))
            i = (i + 1) & t->merge_mask;
        t->merge[i] = (struct tokenizer_merge){a, b, r, whole};
    }
    rc = 0;
out:
    str_free(&left);
    str_free(&right);
    return rc;
}

static int load_pre(struct tokenizer *t, const struct tokenizer_data *d, const char *name, struct err *e)
{
    if (d->kind != TOKENIZER_BPE)
        return 0;
    const struct tokenizer_rule *rule = d->pre ? tokenizer_rule_find(d->pre) : NULL;
    if (!rule) {
        struct str known = {0};
        tokenizer_rule_list(&known);
        err_set(e, ERR_UNSUPPORTED, "%s: pre-token rule '%s' is not known; known are %s", name, d->pre ? d->pre : "",
                str_c(&known));
        str_free(&known);
        return -1;
    }
    t->words = tokenizer_rule_compile(rule, e);
    if (rule->digits)
        t->digits = regex_compile("\\p{N}", e); /* every digit stands alone */
    return t->words && (t->digits || !rule->digits) ? 0 : -1;
}

static int compare_special(const void *a, const void *b, void *ctx)
{
    const struct tokenizer *t = ctx;
    int i = *(const int *)a, j = *(const int *)b;
    uint32_t n = t->length[i] < t->length[j] ? t->length[i] : t->length[j];
    int order = memcmp(t->bytes + t->offset[i], t->bytes + t->offset[j], n);
    if (order == 0 && t->length[i] != t->length[j])
        return t->length[i] < t->length[j] ? -1 : 1;
    return order ? order : (i > j) - (i < j);
}

static int load_special(struct tokenizer *t, const char *name, struct err *e)
{
    for (int id = 0; id < t->n_token; id++)
        if ((t->type[id] == TOKEN_CONTROL || t->type[id] == TOKEN_ADDED) && t->length[id]) {
            mem_grow(&t->special, &t->special_cap, (size_t)t->n_special + 1, sizeof *t->special);
            t->special[t->n_special++] = id;
        }
    if (t->n_special == 0)
        return 0;
    qsort_r(t->special, (size_t)t->n_special, sizeof *t->special, compare_special, t);
    for (int i = 0; i < t->n_special; i++) {
        int a = t->special[i], b = i ? t->special[i - 1] : -1;
        if (b >= 0 && t->length[a] == t->length[b] &&
            memcmp(t->bytes + t->offset[a], t->bytes + t->offset[b], t->length[a]) == 0)
            return err_set(e, ERR_FORMAT, "%s: special tokens %d and %d are the same", name, b, a);
        t->special_first[(unsigned char)t->bytes[t->offset[a]] + 1] = i + 1;
    }
    for (int b = 1; b <= 256; b++)
        if (t->special_first[b] == 0)
            t->special_first[b] = t->special_first[b - 1];
    return 0;
}

static int check_id(const char *name, const char *what, int id, int n, struct err *e)
{
    return id < -1 || id >= n ? err_set(e, ERR_FORMAT, "%s: %s token %d of a vocabulary of %d", name, what, id, n) : 0;
}

struct tokenizer *tokenizer_create(const struct tokenizer_data *d, const char *name, struct err *e)
{
    struct tokenizer *t = mem_new(1, sizeof *t);
    t->kind = d->kind;
    t->n_token = d->n_token;
    t->n_row = d->n_token;
    t->bos = d->bos;
    t->add_bos = d->add_bos;
    t->normalizer = d->normalizer;
    t->space = d->kind == TOKENIZER_SPM ? d->space : TOKENIZER_SPACE_NONE;
    t->ignore_merges = d->ignore_merges;
    t->by_score = d->score != NULL;
    if (d->n_merge < 0 || d->n_token < 1 || (d->kind == TOKENIZER_BYTES && d->n_token < 256)) {
        err_set(e, ERR_FORMAT, "%s: a vocabulary of %d tokens and %d merges; expected at least %d tokens", name,
                d->n_token, d->n_merge, d->kind == TOKENIZER_BYTES ? 256 : 1);
        goto fail;
    }
    if (check_id(name, "bos", d->bos, d->n_token, e) || check_id(name, "eos", d->eos, d->n_token, e) ||
        check_id(name, "unknown", d->unk, d->n_token, e) || check_id(name, "pad", d->pad, d->n_token, e))
        goto fail;
    t->is_end = mem_new((size_t)d->n_token, 1);
    if (d->eos >= 0)
        t->is_end[d->eos] = 1;
    if (d->n_eos_extra > TOKENIZER_MAX_ENDS) {
        err_set(e, ERR_FORMAT, "%s: more than %d tokens that end a turn", name, TOKENIZER_MAX_ENDS);
        goto fail;
    }
    for (int i = 0; i < d->n_eos_extra; i++) {
        if (d->eos_extra[i] < 0 || check_id(name, "eos", d->eos_extra[i], d->n_token, e))
            goto fail;
        t->is_end[d->eos_extra[i]] = 1;
    }
    if (load_tokens(t, d, name, e) || load_pre(t, d, name, e) || load_special(t, name, e) ||
        tokenizer_prepare_added(t, e) || load_merges(t, d, name, e) || load_scores(t, d, name, e))
        goto fail;
    tokenizer_read_template(t, d->chat_template);
    tokenizer_hash(d, t->sha256);
    return t;
fail:
    tokenizer_destroy(t);
    return NULL;
}

void tokenizer_destroy(struct tokenizer *t)
{
    if (!t)
        return;
    mem_free(t->offset);
    mem_free(t->length);
    mem_free(t->type);
    mem_free(t->flags);
    regex_destroy(t->word_character);
    mem_free(t->slot);
    mem_free(t->bytes);
    mem_free(t->merge);
    mem_free(t->rank);
    mem_free(t->is_end);
    mem_free(t->special);
    mem_free(t->chat.prefix);
    mem_free(t->chat.system_prefix);
    mem_free(t->template_begin);
    regex_destroy(t->words);
    regex_destroy(t->digits);
    mem_free(t);
}

void tokenizer_decode(const struct tokenizer *t, const int32_t *id, int n, int with_control, struct str *out)
{
    for (int i = 0; i < n; i++)
        if (id[i] >= 0 && id[i] < t->n_token && (with_control || t->type[id[i]] != TOKEN_CONTROL))
            str_addn(out, t->bytes + t->offset[id[i]], t->length[id[i]]);
}

int tokenizer_n_token(const struct tokenizer *t)
{
    return t->n_token;
}

void tokenizer_sha256(const struct tokenizer *t, char hex[HASH_HEX])
{
    memcpy(hex, t->sha256, HASH_HEX);
}

int tokenizer_set_rows(struct tokenizer *t, int n_vocab, const char *name, struct err *e)
{
    for (int id = n_vocab; id < t->n_token; id++)
        if (t->type[id] == TOKEN_NORMAL || t->is_end[id] || (id == t->bos && t->add_bos))
            return err_set(e, ERR_SHAPE,
                           "%s: the tokenizer has %d tokens, the embedding %d rows; only control and added tokens "
                           "that nothing uses may be without one, and token %d is not of these",
                           name, t->n_token, n_vocab, id);
    t->n_row = n_vocab < t->n_token ? n_vocab : t->n_token;
    return 0;
}

int tokenizer_bos(const struct tokenizer *t)
{
    return t->bos;
}

int tokenizer_add_bos(const struct tokenizer *t)
{
    return t->add_bos;
}

int tokenizer_is_end(const struct tokenizer *t, int32_t id)
{
    return id >= 0 && id < t->n_token && t->is_end[id];
}

int tokenizer_find(const struct tokenizer *t, const char *token)
{
    size_t n = strlen(token);
    for (int i = 0; i < t->n_special; i++) {
        int id = t->special[i];
        if (t->length[id] == n && memcmp(t->bytes + t->offset[id], token, n) == 0)
            return id;
    }
    return n ? tokenizer_lookup(t, token, n) : -1;
}
