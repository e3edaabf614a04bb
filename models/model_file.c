#include "models/model_file.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"

static const char format_name[] = "depthkv-model";

/* ---- hyper-parameters ------------------------------------------------------------------------ */

enum field_type { FIELD_INT, FIELD_FLOAT, FIELD_DOUBLE, FIELD_WORD, FIELD_TEXT, FIELD_LIST };

static const char *const activation_words[] = {"silu", "gelu_tanh", NULL};
static const char *const norms_words[] = {"before", "around", "after", NULL};
static const char *const scaling_words[] = {"none", "linear", "llama3", "longrope", NULL};

/* One row a field: reading, writing and hashing all follow this table. n_group is derived and not stored. A field that
 * may be left out is written and hashed only where it is not zero: what it says is then what its absence says. */
static const struct field {
    const char *name;
    enum field_type type;
    size_t offset;
    const char *const *words;
    int may_lack;
} fields[] = {
    {"n_layer", FIELD_INT, offsetof(struct hparams, n_layer), NULL, 0},
    {"d_model", FIELD_INT, offsetof(struct hparams, d_model), NULL, 0},
    {"n_head", FIELD_INT, offsetof(struct hparams, n_head), NULL, 0},
    {"n_kv_head", FIELD_INT, offsetof(struct hparams, n_kv_head), NULL, 0},
    {"head_dim", FIELD_INT, offsetof(struct hparams, head_dim), NULL, 0},
    {"d_ff", FIELD_INT, offsetof(struct hparams, d_ff), NULL, 0},
    {"n_vocab", FIELD_INT, offsetof(struct hparams, n_vocab), NULL, 0},
    {"context_length", FIELD_INT, offsetof(struct hparams, context_length), NULL, 0},
    {"norm_eps", FIELD_FLOAT, offsetof(struct hparams, norm_eps), NULL, 0},
    {"norm_offset", FIELD_FLOAT, offsetof(struct hparams, norm_offset), NULL, 0},
    {"embedding_scale", FIELD_FLOAT, offsetof(struct hparams, embedding_scale), NULL, 0},
    {"activation", FIELD_WORD, offsetof(struct hparams, activation), activation_words, 0},
    {"tied", FIELD_INT, offsetof(struct hparams, tied), NULL, 0},
    {"qkv_bias", FIELD_INT, offsetof(struct hparams, qkv_bias), NULL, 0},
    {"qk_norm", FIELD_INT, offsetof(struct hparams, qk_norm), NULL, 0},
    {"rope_base", FIELD_DOUBLE, offsetof(struct hparams, rope_base), NULL, 0},
    {"rope_scaling", FIELD_WORD, offsetof(struct hparams, rope_scaling), scaling_words, 0},
    {"rope_factor", FIELD_DOUBLE, offsetof(struct hparams, rope_factor), NULL, 0},
    {"rope_low_freq_factor", FIELD_DOUBLE, offsetof(struct hparams, rope_low_freq_factor), NULL, 0},
    {"rope_high_freq_factor", FIELD_DOUBLE, offsetof(struct hparams, rope_high_freq_factor), NULL, 0},
    {"rope_original_context", FIELD_INT, offsetof(struct hparams, rope_original_context), NULL, 0},
    {"norms", FIELD_WORD, offsetof(struct hparams, norms), norms_words, 1},
    {"query_scalar", FIELD_DOUBLE, offsetof(struct hparams, query_scalar), NULL, 1},
    {"attention_cap", FIELD_DOUBLE, offsetof(struct hparams, attention_cap), NULL, 1},
    {"logit_cap", FIELD_DOUBLE, offsetof(struct hparams, logit_cap), NULL, 1},
    {"residual_scale", FIELD_DOUBLE, offsetof(struct hparams, residual_scale), NULL, 1},
    {"logit_scale", FIELD_DOUBLE, offsetof(struct hparams, logit_scale), NULL, 1},
    {"window", FIELD_INT, offsetof(struct hparams, window), NULL, 1},
    {"rope_local_base", FIELD_DOUBLE, offsetof(struct hparams, rope_local_base), NULL, 1},
    {"rope_dim", FIELD_INT, offsetof(struct hparams, rope_dim), NULL, 1},
    {"rope_divisor", FIELD_LIST, offsetof(struct hparams, rope_divisor), NULL, 1},
    {"rope_long_divisor", FIELD_LIST, offsetof(struct hparams, rope_long_divisor), NULL, 1},
    {"rope_attention_factor", FIELD_DOUBLE, offsetof(struct hparams, rope_attention_factor), NULL, 1},
    {"layer_kinds", FIELD_TEXT, offsetof(struct hparams, layer_kinds), NULL, 1},
};
enum { N_FIELD = sizeof fields / sizeof *fields };

_Static_assert(sizeof(enum model_activation) == sizeof(int) && sizeof(enum model_norms) == sizeof(int) &&
                   sizeof(enum model_rope_scaling) == sizeof(int),
               "words are read and written through an int");

static int64_t get_integer(const struct hparams *hp, const struct field *d)
{
    int v;
    memcpy(&v, (const char *)hp + d->offset, sizeof v);
    return v;
}

static double get_real(const struct hparams *hp, const struct field *d)
{
    double x;
    float y;
    if (d->type == FIELD_DOUBLE) {
        memcpy(&x, (const char *)hp + d->offset, sizeof x);
        return x;
    }
    memcpy(&y, (const char *)hp + d->offset, sizeof y);
    return (double)y;
}

static const char *get_text(const struct hparams *hp, const struct field *d)
{
    return (const char *)hp + d->offset;
}

/* A list ends before its first zero. */
static const float *get_list(const struct hparams *hp, const struct field *d)
{
    return (const float *)(const void *)((const char *)hp + d->offset);
}

static int is_left_out(const struct hparams *hp, const struct field *d)
{
    if (!d->may_lack)
        return 0;
    if (d->type == FIELD_TEXT)
        return !*get_text(hp, d);
    if (d->type == FIELD_LIST)
        return *get_list(hp, d) == 0;
    return d->type == FIELD_DOUBLE ? get_real(hp, d) == 0 : get_integer(hp, d) == 0;
}

/* The shortest digits that read back as x, whole numbers in full. Written here and not with str_add_double: a model's
 * identity must not change when numbers are printed more nicely. */
static void add_real(struct str *out, double x)
{
    char buf[40];
    if (x == floor(x) && fabs(x) < 1e15) {
        str_addf(out, "%.0f", x);
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(buf, sizeof buf, "%.*g", digits, x);
        if (strtod(buf, NULL) == x)
            break;
    }
    str_add(out, buf);
}

static void add_list(struct str *out, const float *x)
{
    for (int i = 0; i < DIMS_MAX_HEAD_DIM / 2 && x[i] != 0; i++) {
        if (i)
            str_addc(out, ' ');
        add_real(out, (double)x[i]);
    }
}

void model_file_hparams_text(const struct hparams *hp, struct str *out)
{
    str_addf(out, "%s 1\n", format_name); /* of the text, not of the file: an identity outlives a file's version */
    for (int i = 0; i < N_FIELD; i++) {
        const struct field *d = &fields[i];
        if (is_left_out(hp, d))
            continue;
        str_addf(out, "%s ", d->name);
        if (d->type == FIELD_TEXT)
            str_add(out, get_text(hp, d));
        else if (d->type == FIELD_LIST)
            add_list(out, get_list(hp, d));
        else if (d->type == FIELD_WORD)
            str_add(out, d->words[get_integer(hp, d)]);
        else if (d->type == FIELD_INT)
            str_addf(out, "%lld", (long long)get_integer(hp, d));
        else
            add_real(out, get_real(hp, d));
        str_addc(out, '\n');
    }
}

static int write_list(struct h5 *f, const char *name, const float *x, struct err *e)
{
    struct str text = {0};
    add_list(&text, x);
    int rc = h5_set_string(f, "/", name, str_c(&text), e);
    str_free(&text);
    return rc;
}

int model_file_write_hparams(struct h5 *f, const struct hparams *hp, struct err *e)
{
    int version = MODEL_FILE_PLAIN, rc = h5_set_string(f, "/", "format", format_name, e);
    for (int i = 0; i < N_FIELD; i++)
        if (fields[i].may_lack && !is_left_out(hp, &fields[i]))
            version = MODEL_FILE_VERSION;
    rc = rc ? rc : h5_set_int(f, "/", "format_version", version, e);
    rc = rc ? rc : h5_set_string(f, "/", "architecture", hp->architecture, e);
    for (int i = 0; i < N_FIELD && rc == 0; i++) {
        const struct field *d = &fields[i];
        if (is_left_out(hp, d))
            continue;
        if (d->type == FIELD_TEXT)
            rc = h5_set_string(f, "/", d->name, get_text(hp, d), e);
        else if (d->type == FIELD_LIST)
            rc = write_list(f, d->name, get_list(hp, d), e);
        else if (d->type == FIELD_WORD)
            rc = h5_set_string(f, "/", d->name, d->words[get_integer(hp, d)], e);
        else if (d->type == FIELD_INT)
            rc = h5_set_int(f, "/", d->name, get_integer(hp, d), e);
        else
            rc = h5_set_double(f, "/", d->name, get_real(hp, d), e);
    }
    return rc;
}

static int read_word(const struct h5 *f, const struct field *d, int *out, struct err *e)
{
    char *s = h5_get_string(f, "/", d->name, e);
    if (!s)
        return -1;
    int i = 0;
    while (d->words[i] && strcmp(d->words[i], s) != 0)
        i++;
    int rc = d->words[i] ? 0
                         : err_set(e, ERR_UNSUPPORTED, "%s:/: attribute '%s' is '%s', which is unknown here",
                                   h5_path(f), d->name, s);
    *out = i;
    mem_free(s);
    return rc;
}

/* Numbers with a blank between two; hparams_check says how many there must be. */
static int read_list(const struct h5 *f, const struct field *d, float *out, struct err *e)
{
    char *s = h5_get_string(f, "/", d->name, e), *at = s;
    int n = 0, rc = s ? 0 : -1;
    while (rc == 0 && *at) {
        char *end;
        float x = strtof(at, &end);
        if (end == at || (*end && *end != ' ') || !(x > 0) || n == DIMS_MAX_HEAD_DIM / 2)
            rc = err_set(e, ERR_FORMAT, "%s:/: attribute '%s': number %d is '%.20s', expected at most %d above zero",
                         h5_path(f), d->name, n, at, DIMS_MAX_HEAD_DIM / 2);
        else
            out[n++] = x;
        at = *end ? end + 1 : end;
    }
    mem_free(s);
    return rc;
}

/* The only text is a letter a layer. */
static int read_text(const struct h5 *f, const struct field *d, char *out, struct err *e)
{
    char *s = h5_get_string(f, "/", d->name, e);
    if (!s)
        return -1;
    size_t n = strlen(s);
    int rc = n <= DIMS_MAX_LAYER ? 0
                                 : err_set(e, ERR_FORMAT, "%s:/: attribute '%s' has %zu letters, at most %d",
                                           h5_path(f), d->name, n, (int)DIMS_MAX_LAYER);
    if (rc == 0)
        memcpy(out, s, n + 1);
    mem_free(s);
    return rc;
}

static int read_field(const struct h5 *f, const struct field *d, struct hparams *hp, struct err *e)
{
    char *at = (char *)hp + d->offset;
    int64_t v;
    double x;
    int n;
    if (d->may_lack && !h5_has(f, "/", d->name))
        return 0;
    switch (d->type) {
    case FIELD_TEXT: return read_text(f, d, at, e);
    case FIELD_LIST: return read_list(f, d, (float *)(void *)at, e);
    case FIELD_WORD:
        if (read_word(f, d, &n, e))
            return -1;
        memcpy(at, &n, sizeof n);
        return 0;
    case FIELD_INT:
        if (h5_get_int(f, "/", d->name, &v, e))
            return -1;
        if (v < INT32_MIN || v > INT32_MAX)
            return err_set(e, ERR_FORMAT, "%s:/: attribute '%s' is %lld, out of range", h5_path(f), d->name,
                           (long long)v);
        n = (int)v;
        memcpy(at, &n, sizeof n);
        return 0;
    default:
        if (h5_get_double(f, "/", d->name, &x, e))
            return -1;
        if (d->type == FIELD_DOUBLE) {
            memcpy(at, &x, sizeof x);
        } else {
            float y = (float)x;
            memcpy(at, &y, sizeof y);
        }
        return 0;
    }
}

int model_file_read_hparams(const struct h5 *f, struct hparams *hp, struct err *e)
{
    int64_t version;
    struct hparams h = {0};
    char *format = NULL, *architecture = NULL;
    int rc = -1;
    if (!h5_has(f, "/", "format") || !(format = h5_get_string(f, "/", "format", e)) ||
        strcmp(format, format_name) != 0) {
        err_set(e, ERR_FORMAT, "%s: not a model file (make one with: depthkv import)", h5_path(f));
        goto out;
    }
    if (h5_get_int(f, "/", "format_version", &version, e))
        goto out;
    if (version < 1 || version > MODEL_FILE_VERSION) {
        err_set(e, ERR_UNSUPPORTED, "%s:/: format_version %lld, expected 1 to %d; import the model again", h5_path(f),
                (long long)version, (int)MODEL_FILE_VERSION);
        goto out;
    }
    architecture = h5_get_string(f, "/", "architecture", e);
    if (!architecture)
        goto out;
    memcpy(h.architecture, architecture,
           strlen(architecture) < sizeof h.architecture ? strlen(architecture) : sizeof h.architecture - 1);
    for (int i = 0; i < N_FIELD; i++)
        if (read_field(f, &fields[i], &h, e))
            goto out;
    if (hparams_check(&h, e)) {
        err_wrap(e, "%s", h5_path(f));
        goto out;
    }
    *hp = h;
    rc = 0;
out:
    mem_free(architecture);
    mem_free(format);
    return rc;
}

/* ---- tokenizer ------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    size_t offset;
} token_ids[] = {
    {"bos", offsetof(struct tokenizer_data, bos)},         {"eos", offsetof(struct tokenizer_data, eos)},
    {"pad", offsetof(struct tokenizer_data, pad)},         {"unk", offsetof(struct tokenizer_data, unk)},
    {"add_bos", offsetof(struct tokenizer_data, add_bos)},
};
enum { N_TOKEN_ID = sizeof token_ids / sizeof *token_ids };

static const char group[] = "/tokenizer";

/* What a tokenizer may have and most don't: an attribute that is there when it isn't 0, as one of these words. */
static const char *const normalizers[] = {"none", "nfc", NULL};
static const char *const spaces[] = {"none", "first", "each", "first_word", "each_word", NULL};
static const char *const flags[] = {"0", "1", NULL};
static const struct {
    const char *name;
    size_t offset;
    const char *const *word;
} token_words[] = {
    {"normalizer", offsetof(struct tokenizer_data, normalizer), normalizers},
    {"space", offsetof(struct tokenizer_data, space), spaces},
    {"ignore_merges", offsetof(struct tokenizer_data, ignore_merges), flags},
};
enum { N_TOKEN_WORD = sizeof token_words / sizeof *token_words };

static int write_words(struct h5 *f, const struct tokenizer_data *d, struct err *e)
{
    int rc = 0;
    for (int i = 0; i < N_TOKEN_WORD && rc == 0; i++) {
        int v;
        memcpy(&v, (const char *)d + token_words[i].offset, sizeof v);
        if (v)
            rc = h5_set_string(f, group, token_words[i].name, token_words[i].word[v], e);
    }
    return rc;
}

static int read_words(const struct h5 *f, struct tokenizer_data *d, struct err *e)
{
    for (int i = 0; i < N_TOKEN_WORD; i++) {
        const char *const *word = token_words[i].word;
        int v = 0;
        if (!h5_has(f, group, token_words[i].name))
            continue;
        char *s = h5_get_string(f, group, token_words[i].name, e);
        if (!s)
            return -1;
        while (word[v] && strcmp(word[v], s) != 0)
            v++;
        if (!word[v])
            err_set(e, ERR_UNSUPPORTED, "%s:%s: attribute '%s' is '%s', which is unknown here", h5_path(f), group,
                    token_words[i].name, s);
        mem_free(s);
        if (!word[v])
            return -1;
        memcpy((char *)d + token_words[i].offset, &v, sizeof v);
    }
    return 0;
}

int model_file_write_tokenizer(struct h5 *f, const struct tokenizer_data *d, struct err *e)
{
    const char *const *token = (const char *const *)d->token, *const *merge = (const char *const *)d->merge;
    int rc = h5_make_group(f, group, e);
    rc = rc ? rc : h5_set_string(f, group, "kind", tokenizer_kind_name(d->kind), e);
    if (rc == 0 && d->pre)
        rc = h5_set_string(f, group, "pre", d->pre, e);
    for (int i = 0; i < N_TOKEN_ID && rc == 0; i++) {
        int v;
        memcpy(&v, (const char *)d + token_ids[i].offset, sizeof v);
        rc = h5_set_int(f, group, token_ids[i].name, v, e);
    }
    rc = rc ? rc : h5_write_strings(f, "/tokenizer/token", token, (size_t)d->n_token, e);
    rc = rc ? rc : h5_write(f, "/tokenizer/type", H5_TYPE_U8, 1, (const uint64_t[]){(uint64_t)d->n_token}, d->type, e);
    rc = rc ? rc : h5_write_strings(f, "/tokenizer/merge", merge, (size_t)d->n_merge, e);
    rc = rc ? rc : write_words(f, d, e);
    if (rc == 0 && d->score)
        rc = h5_write(f, "/tokenizer/score", H5_TYPE_F32, 1, (const uint64_t[]){(uint64_t)d->n_token}, d->score, e);
    rc = rc ? rc
            : h5_write(f, "/tokenizer/eos_extra", H5_TYPE_I32, 1, (const uint64_t[]){(uint64_t)d->n_eos_extra},
                       d->eos_extra, e);
    /* a dataset, because a template may be larger than an attribute can be */
    if (rc == 0 && d->chat_template) {
        const char *one = d->chat_template;
        rc = h5_write_strings(f, "/tokenizer/chat_template", &one, 1, e);
    }
    return rc;
}

static int read_token_lists(const struct h5 *f, struct tokenizer_data *d, struct err *e)
{
    size_t n = 0;
    struct h5_info info;
    if (h5_read_strings(f, "/tokenizer/token", &d->token, &n, e))
        return -1;
    d->n_token = (int)n; /* bounded below; h5_free_strings semantics equal those of tokenizer_data_fini */
    if (n > DIMS_MAX_VOCAB)
        return err_set(e, ERR_FORMAT, "%s:/tokenizer/token: %zu tokens, at most %d", h5_path(f), n,
                       (int)DIMS_MAX_VOCAB);
    d->type = mem_try(n + 1, 1, "token types", e);
    if (!d->type || h5_read(f, "/tokenizer/type", H5_TYPE_U8, d->type, n, e))
        return -1;
    if (h5_exists(f, "/tokenizer/score")) {
        d->score = mem_try(n + 1, sizeof *d->score, "token scores", e);
        if (!d->score || h5_read(f, "/tokenizer/score", H5_TYPE_F32, d->score, n, e))
            return -1;
    }
    if (h5_read_strings(f, "/tokenizer/merge", &d->merge, &n, e))
        return -1;
    d->n_merge = (int)n;
    if (n > 4 * (size_t)DIMS_MAX_VOCAB)
        return err_set(e, ERR_FORMAT, "%s:/tokenizer/merge: %zu merges are too many", h5_path(f), n);
    if (h5_stat(f, "/tokenizer/eos_extra", &info, e))
        return -1;
    if (info.n > 1024)
        return err_set(e, ERR_FORMAT, "%s:/tokenizer/eos_extra: %llu ids, at most 1024", h5_path(f),
                       (unsigned long long)info.n);
    d->eos_extra = mem_new((size_t)info.n + 1, sizeof *d->eos_extra);
    if (h5_read(f, "/tokenizer/eos_extra", H5_TYPE_I32, d->eos_extra, (size_t)info.n, e))
        return -1;
    d->n_eos_extra = (int)info.n;
    return 0;
}

int model_file_read_tokenizer(const struct h5 *f, struct tokenizer_data *out, struct err *e)
{
    struct tokenizer_data d = {0};
    char *kind = NULL, **one = NULL;
    size_t n = 0;
    int rc = -1;
    if (!h5_exists(f, group))
        return 0;
    kind = h5_get_string(f, group, "kind", e);
    if (!kind)
        goto out;
    if (tokenizer_kind_find(kind) < 0) {
        err_set(e, ERR_UNSUPPORTED, "%s:%s: kind '%s', expected bpe, spm or bytes", h5_path(f), group, kind);
        goto out;
    }
    d.kind = (enum tokenizer_kind)tokenizer_kind_find(kind);
    if (h5_has(f, group, "pre") && !(d.pre = h5_get_string(f, group, "pre", e)))
        goto out;
    for (int i = 0; i < N_TOKEN_ID; i++) {
        int64_t v;
        if (h5_get_int(f, group, token_ids[i].name, &v, e))
            goto out;
        int id = v >= -1 && v < DIMS_MAX_VOCAB ? (int)v : DIMS_MAX_VOCAB; /* the tokenizer refuses that */
        memcpy((char *)&d + token_ids[i].offset, &id, sizeof id);
    }
    if (read_words(f, &d, e) || read_token_lists(f, &d, e))
        goto out;
    if (h5_exists(f, "/tokenizer/chat_template")) {
        if (h5_read_strings(f, "/tokenizer/chat_template", &one, &n, e))
            goto out;
        d.chat_template = n == 1 ? mem_strdup(one[0]) : NULL;
    }
    *out = d;
    memset(&d, 0, sizeof d);
    rc = 1;
out:
    h5_free_strings(one, n);
    mem_free(kind);
    tokenizer_data_fini(&d);
    return rc;
}

int model_file_tokenizer(const struct h5 *f, int n_vocab, struct tokenizer **out, struct err *e)
{
    struct tokenizer_data d;
    int found = model_file_read_tokenizer(f, &d, e);
    if (found <= 0)
        return found;
    struct tokenizer *t = tokenizer_create(&d, h5_path(f), e);
    tokenizer_data_fini(&d);
    if (!t)
        return -1;
    if (tokenizer_set_rows(t, n_vocab, h5_path(f), e)) {
        tokenizer_destroy(t);
        return -1;
    }
    *out = t;
    return 0;
}

int model_open_tokenizer(const char *path, struct tokenizer **out, struct err *e)
{
    struct h5 *f = h5_open(path, H5_MODE_READ, e);
    struct hparams hp;
    struct tokenizer *t = NULL;
    int bad = !f || model_file_read_hparams(f, &hp, e) || model_file_tokenizer(f, hp.n_vocab, &t, e);
    h5_close(f, NULL);
    if (bad)
        return -1;
    *out = t;
    return 0;
}
