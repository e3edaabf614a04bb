#include "models/import_hf_tokenizer.h"

#include <stdio.h>
#include <string.h>

#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "harness/base/unicode.h"
#include "models/dims.h"
#include "models/import.h"
#include "models/import_hf_added.h"
#include "models/import_hf_pipeline.h"
#include "models/import_sentencepiece.h"

static const char *word(const struct json *o, const char *key)
{
    const char *s = json_string(json_get(o, key));
    return s ? s : "";
}

/* ---- the parts of tokenizer.json ------------------------------------------------------------- */

/* Id of a vocabulary entry or added token, or -1. */
static int64_t id_of(const struct json *v)
{
    int64_t id;
    return json_int64(v, &id) || id < 0 || id >= DIMS_MAX_VOCAB ? -1 : id;
}

static int place(struct tokenizer_data *d, int64_t id, const char *text, const char *file, struct err *e)
{
    if (d->token[id])
        return err_set(e, ERR_FORMAT, "%s: id %lld belongs to '%s' and to '%s'", file, (long long)id, d->token[id],
                       text);
    d->token[id] = mem_strdup(text);
    return 0;
}

/* Sizes the table by the largest id, so that a hostile id costs at most DIMS_MAX_VOCAB pointers. Added tokens may stand
 * right behind the rows of the embedding (a padding token, mostly): the tokenizer refuses a text that holds one. */
static int size_table(const struct json *vocab, const struct json *added, int n_vocab, const char *file,
                      struct tokenizer_data *d, struct err *e)
{
    int64_t n = n_vocab;
    const struct json *lists[] = {vocab, added};
    for (int k = 0; k < 2; k++)
        for (const struct json *v = json_first(lists[k]); v; v = json_next(v)) {
            int64_t id = id_of(k == 0 ? v : json_get(v, "id"));
            if (id < 0)
                return err_set(e, ERR_FORMAT, "%s: token '%s' has no id below %d", file,
                               k == 0 ? json_key(v) : word(v, "content"), (int)DIMS_MAX_VOCAB);
            if (k == 0 && id >= n_vocab)
                return err_set(e, ERR_SHAPE, "%s: token '%s' has id %lld, but vocab_size is %d", file, json_key(v),
                               (long long)id, n_vocab);
            n = id >= n ? id + 1 : n;
        }
    if (n > n_vocab + (int64_t)json_size(added))
        return err_set(e, ERR_SHAPE, "%s: added token of id %lld, but vocab_size is %d", file, (long long)n - 1,
                       n_vocab);
    d->token = mem_try((size_t)n + IMPORT_HF_ADDED_MAX_NEW, sizeof *d->token, "tokens", e);
    d->type = d->token ? mem_try((size_t)n + IMPORT_HF_ADDED_MAX_NEW, 1, "token types", e) : NULL;
    if (!d->type)
        return -1;
    d->n_token = (int)n;
    return 0;
}

/* An added token may repeat one of the vocabulary, under the same id. The tokenizers package gives all others the next
 * free id, in order of the file and whatever that says, so a file that says otherwise means two things. n_vocab: tokens
 * of the vocabulary. */
static int read_added(const struct json *added, const char *file, int n_vocab, struct tokenizer_data *d, struct err *e)
{
    int64_t next = n_vocab;
    for (const struct json *v = json_first(added); v; v = json_next(v)) {
        int64_t id = id_of(json_get(v, "id"));
        const char *text = word(v, "content");
        int type = import_hf_added_type(v, file, e);
        if (type < 0)
            return -1;
        if (d->type[id] != TOKEN_NORMAL || (d->token[id] && strcmp(d->token[id], text) != 0))
            return err_set(e, ERR_FORMAT, "%s: added token '%s': its id %lld belongs to '%s'", file, text,
                           (long long)id, d->token[id]);
        if (!d->token[id] && id != next)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: added token '%s' has id %lld, but the tokenizers package gives it %lld, the next one "
                           "that is free; list added tokens in order of ids, without gaps",
                           file, text, (long long)id, (long long)next);
        if (!d->token[id] && place(d, id, text, file, e))
            return -1;
        d->type[id] = (uint8_t)type;
        next = id >= next ? id + 1 : next;
    }
    return 0;
}

/* A merge is "left right", or in newer files the pair ["left", "right"]. */
static int read_merges(const struct json *merges, const char *file, struct tokenizer_data *d, struct err *e)
{
    if (!json_is_array(merges))
        return err_set(e, ERR_FORMAT, "%s: model.merges missing, or no list", file);
    d->merge = mem_try((size_t)json_size(merges) + 1, sizeof *d->merge, "merges", e);
    if (!d->merge)
        return -1;
    for (const struct json *v = json_first(merges); v; v = json_next(v)) {
        const char *left = json_string(json_first(v)), *right = json_string(json_next(json_first(v)));
        struct str s = {0};
        if (json_is_string(v)) {
            str_add(&s, json_string(v));
        } else if (json_is_array(v) && json_size(v) == 2 && left && right && !strchr(left, ' ') &&
                   !strchr(right, ' ')) {
            str_addf(&s, "%s %s", left, right);
        } else {
            return err_set(e, ERR_FORMAT, "%s: merge %d is neither a string nor a pair of them without blanks", file,
                           d->n_merge);
        }
        d->merge[d->n_merge++] = str_take(&s);
    }
    return 0;
}

/* Byte-level BPE: a byte without a token is left out, unless model.unk_token names what stands for it. */
static int check_unknown(const struct json *model, const char *file, const struct tokenizer_data *d, struct err *e)
{
    int n = 0;
    for (int i = 0; i < d->n_token; i++) {
        const unsigned char *s = (const unsigned char *)d->token[i];
        int code = !s || d->type[i] != TOKEN_NORMAL         ? 0
                   : s[0] < 0x80                            ? (s[1] ? 0 : s[0])
                   : (s[0] & 0xE0) == 0xC0 && s[1] && !s[2] ? (s[0] & 0x1F) << 6 | (s[1] & 0x3F)
                                                            : 0;
        n += (code > 0x20 && code < 0x7F) || (code > 0xA0 && code < 0x144 && code != 0xAD);
    }
    if (n < 256 && json_string(json_get(model, "unk_token")))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: model.unk_token is '%s', but the vocabulary has %d of the 256 bytes; expected null, or all "
                       "of them",
                       file, word(model, "unk_token"), n);
    return 0;
}

/* The tokens that a character falls back to: "<0x00>" to "<0xFF>". One that is an added token as well stays that. */
static void mark_bytes(struct tokenizer_data *d)
{
    static const char digits[] = "0123456789ABCDEF";
    for (int i = 0; i < d->n_token; i++) {
        const char *s = d->token[i];
        if (s && d->type[i] == TOKEN_NORMAL && strlen(s) == 6 && strncmp(s, "<0x", 3) == 0 && s[5] == '>' &&
            strchr(digits, s[3]) && strchr(digits, s[4]))
            d->type[i] = TOKEN_BYTE;
    }
}

static int read_tokens(const struct json *root, const char *file, int n_vocab, struct tokenizer_data *d, struct err *e)
{
    const struct json *model = json_get(root, "model"), *vocab = json_get(model, "vocab"),
                      *added = json_get(root, "added_tokens");
    if (import_hf_pipeline_read(root, file, d, e))
        return -1;
    if (!json_is_object(vocab))
        return err_set(e, ERR_FORMAT, "%s: model.vocab missing, or no object", file);
    if (added && !json_is_null(added) && !json_is_array(added))
        return err_set(e, ERR_FORMAT, "%s: added_tokens is no list", file);
    if (size_table(vocab, added, n_vocab, file, d, e))
        return -1;
    for (const struct json *v = json_first(vocab); v; v = json_next(v))
        if (place(d, id_of(v), json_key(v), file, e))
            return -1;
    if (d->kind == TOKENIZER_BPE && check_unknown(model, file, d, e))
        return -1;
    if (read_added(added, file, json_size(vocab), d, e))
        return -1;
    if (d->kind == TOKENIZER_SPM)
        mark_bytes(d);
    return read_merges(json_get(model, "merges"), file, d, e);
}

/* What is still without a text: rows of the embedding that have no token. */
static void fill_gaps(struct tokenizer_data *d)
{
    for (int i = 0; i < d->n_token; i++)
        if (!d->token[i]) {
            struct str s = {0};
            str_addf(&s, "[PAD%d]", i);
            d->token[i] = str_take(&s);
        }
    if (tokenizer_data_is_bytes(d)) { /* the pre-token rule has nothing to do then */
        d->kind = TOKENIZER_BYTES;
        mem_free(d->pre);
        d->pre = NULL;
    }
}

/* ---- special tokens and the chat template ---------------------------------------------------- */

/* "eos_token_id": an integer or a list of them; the first one. */
static int first_id(const struct tokenizer_data *d, const struct json *config, const char *key)
{
    const struct json *v = json_get(config, key);
    int64_t id = id_of(json_is_array(v) ? json_first(v) : v);
    return id < d->n_token ? (int)id : -1;
}

static void add_ends(struct tokenizer_data *d, const struct json *v)
{
    if (json_is_array(v))
        for (const struct json *i = json_first(v); i; i = json_next(i))
            import_add_end(d, id_of(i));
    else
        import_add_end(d, id_of(v));
}

/* What a post-processor does to a single text: *bos becomes the id that it puts in front. Everything else that would
 * change the ids is refused. */
static int read_post_processor(const struct json *p, const char *file, int *bos, struct err *e)
{
    const char *type = word(p, "type");
    if (!p || json_is_null(p) || strcmp(type, "ByteLevel") == 0)
        return 0;
    if (strcmp(type, "Sequence") == 0) {
        for (const struct json *i = json_first(json_get(p, "processors")); i; i = json_next(i))
            if (read_post_processor(i, file, bos, e))
                return -1;
        return 0;
    }
    if (strcmp(type, "TemplateProcessing") != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: post_processor '%s'; known: ByteLevel, TemplateProcessing, Sequence",
                       file, type);
    int texts = 0;
    for (const struct json *i = json_first(json_get(p, "single")); i; i = json_next(i)) {
        const char *name = word(json_get(i, "SpecialToken"), "id");
        const struct json *ids = json_get(json_get(json_get(p, "special_tokens"), name), "ids");
        texts += json_get(i, "Sequence") != NULL;
        if (!json_get(i, "SpecialToken"))
            continue;
        if (texts || *bos >= 0)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: post_processor puts '%s' %s; one token in front is all that is read here", file, name,
                           texts ? "behind a text" : "in front of a text, besides another one");
        if (json_size(ids) != 1 || id_of(json_first(ids)) < 0)
            return err_set(e, ERR_FORMAT, "%s: post_processor: special token '%s' is not exactly one id", file, name);
        *bos = (int)id_of(json_first(ids));
    }
    return texts == 1 ? 0
                      : err_set(e, ERR_UNSUPPORTED,
                                "%s: post_processor: a single text stands %d times in its template, "
                                "expected once",
                                file, texts);
}

/* A string, or a list of {name, template} of which the one named "default" counts. */
static char *config_template(const struct json *config)
{
    const struct json *v = json_get(config, "chat_template");
    if (json_is_string(v))
        return mem_strdup(json_string(v));
    for (const struct json *i = json_is_array(v) ? json_first(v) : NULL; i; i = json_next(i))
        if (strcmp(word(i, "name"), "default") == 0 && *word(i, "template"))
            return mem_strdup(word(i, "template"));
    return NULL;
}

/* A JSON file of the folder, or NULL when it is absent; *bad when it is there and unreadable. */
static struct json *optional(const char *folder, const char *name, int *bad, struct err *e)
{
    char *path = fs_join(folder, name), *text = NULL;
    struct json *root = NULL;
    size_t n = 0;
    if (fs_exists(path)) {
        text = fs_read(path, &n, e);
        root = text ? json_parse(path, text, n, e) : NULL;
        *bad |= root == NULL;
    }
    mem_free(text);
    mem_free(path);
    return root;
}

static int read_template(const char *folder, const struct json *config, struct tokenizer_data *d, struct err *e)
{
    char *path = fs_join(folder, "chat_template.jinja");
    size_t n = 0;
    int rc = 0;
    if (fs_exists(path)) {
        d->chat_template = fs_read(path, &n, e);
        rc = d->chat_template ? 0 : -1;
    } else {
        d->chat_template = config_template(config);
    }
    mem_free(path);
    return rc;
}

/* "add_bos_token": true or false where tokenizer.json does the other leaves open which of the two made the model's
 * texts. */
static int check_flags(const struct json *own, const char *folder, int adds_bos, struct err *e)
{
    const struct json *v = json_get(own, "add_bos_token");
    if (json_is_bool(v) && json_bool(v, 0) != adds_bos)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s/tokenizer_config.json: add_bos_token is %s, but tokenizer.json's post_processor "
                       "puts %s in front; make the two agree",
                       folder, adds_bos ? "false" : "true", adds_bos ? "a token" : "nothing");
    if (json_bool(json_get(own, "add_eos_token"), 0))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s/tokenizer_config.json: add_eos_token is true; nothing is put behind a prompt here", folder);
    if (json_bool(json_get(own, "split_special_tokens"), 0))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s/tokenizer_config.json: split_special_tokens is true; they are kept whole here", folder);
    return 0;
}

/* front: the token that goes in front of a text, or -1. */
static int read_special(const char *file, int front, const struct json *config, const struct import_hf_names *names,
                        const struct json *generation, struct tokenizer_data *d, struct err *e)
{
    const int own[] = {d->bos, d->eos, d->pad, d->unk}; /* what SentencePiece's file says */
    d->bos = import_hf_added_named(names, d, "bos_token");
    d->eos = import_hf_added_named(names, d, "eos_token");
    d->pad = import_hf_added_named(names, d, "pad_token");
    d->unk = import_hf_added_named(names, d, "unk_token");
    d->bos = d->bos >= 0 ? d->bos : first_id(d, config, "bos_token_id");
    d->eos = d->eos >= 0 ? d->eos : first_id(d, generation, "eos_token_id");
    d->eos = d->eos >= 0 ? d->eos : first_id(d, config, "eos_token_id");
    if (!names->tokenizer) {
        d->bos = d->bos >= 0 ? d->bos : own[0];
        d->eos = d->eos >= 0 ? d->eos : own[1];
        d->pad = d->pad >= 0 ? d->pad : own[2];
        d->unk = d->unk >= 0 ? d->unk : own[3];
    }
    d->add_bos = front >= 0;
    if (front >= d->n_token)
        return err_set(e, ERR_FORMAT, "%s: post_processor puts token %d in front, of %d", file, front, d->n_token);
    if (front >= 0)
        d->bos = front; /* what is put there, by whatever name */
    add_ends(d, json_get(generation, "eos_token_id"));
    add_ends(d, json_get(config, "eos_token_id"));
    import_add_turn_ends(d);
    return 0;
}

/* The text of an added token that is "normalized" is looked for as the normalizer leaves it, in what that leaves of a
 * text. 1 when both are more than the text itself in what is read here. */
static int is_changed(const struct tokenizer_data *d, int id, int replaces)
{
    const char *text = d->token[id];
    struct str s = {0};
    int changed =
        replaces && (d->type[id] & (TOKEN_LSTRIP | TOKEN_RSTRIP) || strpbrk(text, " ") || strstr(text, "\xE2\x96\x81"));
    for (size_t at = 0, n = strlen(text); d->normalizer == TOKENIZER_NFC && at < n;)
        at += unicode_nfc_piece(text + at, n - at, &s);
    changed |= s.n > 0 && strcmp(s.p, text) != 0;
    str_free(&s);
    return changed;
}

/* A normalizer that puts a blank in front does so in front of an added token that is "normalized", which then stands in
 * no text but behind a blank or at its beginning. */
static int check_normalized(const char *file, const struct json *root, const struct tokenizer_data *d, struct err *e)
{
    const struct json *normalizer = json_get(root, "normalizer");
    int replaces = d->kind == TOKENIZER_SPM && normalizer && !json_is_null(normalizer);
    int prepends = d->kind == TOKENIZER_SPM && d->space == TOKENIZER_SPACE_EACH;
    for (int i = 0; i < d->n_token; i++)
        if (d->token[i] && d->type[i] & TOKEN_NORMALIZED && (prepends || is_changed(d, i, replaces)))
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: added token '%s' is normalized, and the normalizer %s; set "
                           "\"normalized\" to false if it is to be found in texts",
                           file, d->token[i],
                           prepends ? "puts a blank in front" : "changes it, or the white space that it takes");
    return 0;
}

/* The optional files beside the vocabulary. */
struct files {
    struct json *own, *generation, *map, *list;
};

static int read_files(const char *folder, struct files *f, struct err *e)
{
    int bad = 0;
    f->own = optional(folder, "tokenizer_config.json", &bad, e);
    f->generation = bad ? NULL : optional(folder, "generation_config.json", &bad, e);
    f->map = bad ? NULL : optional(folder, "special_tokens_map.json", &bad, e);
    f->list = bad ? NULL : optional(folder, "added_tokens.json", &bad, e);
    return bad ? -1 : 0;
}

/* The vocabulary, from tokenizer.json (root) or SentencePiece's file; *front as in read_special. */
static int read_vocabulary(const char *folder, const char *file, const struct json *root, const struct json *own,
                           int n_vocab, struct tokenizer_data *d, int *front, struct err *e)
{
    if (root)
        return read_tokens(root, file, n_vocab, d, e) ||
                       read_post_processor(json_get(root, "post_processor"), file, front, e) ||
                       check_flags(own, folder, *front >= 0, e)
                   ? -1
                   : 0;
    if (import_sentencepiece_read(file, n_vocab, IMPORT_HF_ADDED_MAX_NEW, d, e))
        return -1;
    if (d->n_token > n_vocab)
        return err_set(e, ERR_SHAPE, "%s: %d pieces, but vocab_size is %d", file, d->n_token, n_vocab);
    *front = json_bool(json_get(own, "add_bos_token"), 1) ? d->bos : -1;
    return check_flags(json_get(own, "add_bos_token") ? own : NULL, folder, *front >= 0, e);
}

static int read_all(const char *folder, const char *file, const struct json *root, const struct json *config,
                    int n_vocab, struct tokenizer_data *d, struct err *e)
{
    struct files f = {0};
    int front = -1, rc = -1;
    if (read_files(folder, &f, e) || read_vocabulary(folder, file, root, f.own, n_vocab, d, &front, e))
        goto out;
    struct import_hf_names names = {folder, root, f.own, f.map, f.list, d->n_token};
    if (root)
        names.n_vocab = json_size(json_get(json_get(root, "model"), "vocab"));
    if (import_hf_added_read(&names, d, e) || check_normalized(file, root, d, e) || read_template(folder, f.own, d, e))
        goto out;
    d->n_token = !root && d->n_token < n_vocab ? n_vocab : d->n_token;
    fill_gaps(d);
    rc = read_special(file, front, config, &names, f.generation, d, e) ? -1 : 1;
out:
    json_free(f.list);
    json_free(f.map);
    json_free(f.generation);
    json_free(f.own);
    return rc;
}

int import_hf_tokenizer_read(const char *folder, const struct json *config, int n_vocab, struct tokenizer_data *d,
                             struct err *e)
{
    int bad = 0, rc = 0;
    char *file = fs_join(folder, "tokenizer.json"), *model = fs_join(folder, "tokenizer.model");
    struct json *root = optional(folder, "tokenizer.json", &bad, e);
    if (bad)
        rc = -1;
    else if (root || fs_exists(model))
        rc = read_all(folder, root ? file : model, root, config, n_vocab, d, e);
    json_free(root);
    mem_free(model);
    mem_free(file);
    return rc;
}
