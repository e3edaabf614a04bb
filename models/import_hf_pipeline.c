#include "models/import_hf_pipeline.h"

#include <string.h>

#include "harness/base/mem.h"
#include "harness/base/str.h"
#include "models/tokenizer_rule.h"

static const char blank[] = "\xE2\x96\x81"; /* U+2581, which stands for a blank */

static const char *word(const struct json *o, const char *key)
{
    const char *s = json_string(json_get(o, key));
    return s ? s : "";
}

static int is(const struct json *p, const char *type)
{
    return strcmp(word(p, "type"), type) == 0;
}

/* The parts of a normalizer, pre_tokenizer or decoder one after the other, Sequences taken apart. */
enum { MAX_PARTS = 6 };
struct parts {
    const struct json *part[MAX_PARTS];
    int n; /* more than there is room for: something that is not known here anyway */
};

static void flatten(const struct json *p, const char *list, struct parts *out)
{
    if (!p || json_is_null(p))
        return;
    if (!is(p, "Sequence")) {
        if (out->n < MAX_PARTS)
            out->part[out->n] = p;
        out->n++;
        return;
    }
    if (!json_is_array(json_get(p, list)))
        out->n = MAX_PARTS + 1;
    for (const struct json *i = json_first(json_get(p, list)); i; i = json_next(i))
        flatten(i, list, out);
}

static int refuse(const struct json *root, const char *key, const char *known, const char *file, struct err *e)
{
    char *text = json_print(json_get(root, key));
    err_set(e, ERR_UNSUPPORTED, "%s: %s %.600s; known: %s", file, key, text, known);
    mem_free(text);
    return -1;
}

/* ---- byte-level BPE -------------------------------------------------------------------------- */

static int is_byte_level(const struct json *p, int use_regex)
{
    return is(p, "ByteLevel") && !json_bool(json_get(p, "add_prefix_space"), 1) &&
           json_bool(json_get(p, "use_regex"), 1) == use_regex;
}

static int is_single_digits(const struct json *p)
{
    return is(p, "Digits") && json_bool(json_get(p, "individual_digits"), 0);
}

/* The rule that a Split at a regular expression is: its matches stand alone, and what lies between them too or, as
 * every rule that is spelt out matches all of a text, is removed. */
static const char *rule_of_split(const struct json *p)
{
    int isolated = strcmp(word(p, "behavior"), "Isolated") == 0 && !json_bool(json_get(p, "invert"), 1);
    int kept = strcmp(word(p, "behavior"), "Removed") == 0 && json_bool(json_get(p, "invert"), 0);
    const char *regex = word(json_get(p, "pattern"), "Regex");
    const struct tokenizer_rule *rule = is(p, "Split") && (isolated || kept) ? tokenizer_rule_of_regex(regex) : NULL;
    return rule ? rule->name : NULL;
}

/* The pre-token rules, recognised by their parts; NULL for all others. */
static const char *pre_rule(const struct json *pre)
{
    struct parts p = {0};
    flatten(pre, "pretokenizers", &p);
    if (p.n == 1 && is_byte_level(p.part[0], 1))
        return "gpt2";
    if (p.n == 2 && is_single_digits(p.part[0]) && is_byte_level(p.part[1], 1))
        return "smollm";
    return p.n == 2 && is_byte_level(p.part[1], 0) ? rule_of_split(p.part[0]) : NULL;
}

static int read_bpe(const struct json *root, const char *file, struct tokenizer_data *d, struct err *e)
{
    struct parts p = {0};
    flatten(json_get(root, "normalizer"), "normalizers", &p);
    if (p.n > 1 || (p.n == 1 && !is(p.part[0], "NFC")))
        return refuse(root, "normalizer", "none, or NFC", file, e);
    const char *rule = pre_rule(json_get(root, "pre_tokenizer"));
    if (!rule) {
        struct str known = {0};
        str_add(&known,
                "ByteLevel (gpt2), Digits + ByteLevel (smollm), Split + ByteLevel with the regular expression of "
                "one of ");
        tokenizer_rule_list(&known);
        refuse(root, "pre_tokenizer", str_c(&known), file, e);
        str_free(&known);
        return -1;
    }
    d->kind = TOKENIZER_BPE;
    d->pre = mem_strdup(rule);
    d->normalizer = p.n ? TOKENIZER_NFC : TOKENIZER_AS_IS;
    d->ignore_merges = json_bool(json_get(json_get(root, "model"), "ignore_merges"), 0);
    return 0;
}

/* ---- SentencePiece --------------------------------------------------------------------------- */

/* " " becomes U+2581. */
static int is_replace(const struct json *p)
{
    return is(p, "Replace") && strcmp(word(json_get(p, "pattern"), "String"), " ") == 0 &&
           strcmp(word(p, "content"), blank) == 0;
}

/* Does nothing once there are no blanks left, unless it removes all that is no blank. */
static int is_split_at_blanks(const struct json *p)
{
    int removes = strcmp(word(p, "behavior"), "Removed") == 0 && json_bool(json_get(p, "invert"), 1);
    return is(p, "Split") && strcmp(word(json_get(p, "pattern"), "String"), " ") == 0 && !removes;
}

/* Where a Metaspace that cuts nothing puts a blank; -1: it does something else. */
static int space_of_metaspace(const struct json *p)
{
    const char *scheme = word(p, "prepend_scheme");
    if (!is(p, "Metaspace") || strcmp(word(p, "replacement"), blank) != 0 || json_bool(json_get(p, "split"), 1))
        return -1;
    int old = json_bool(json_get(p, "add_prefix_space"), 1);
    if (!*scheme) /* files from before there were schemes */
        scheme = old ? "always" : "never";
    if (!old && strcmp(scheme, "never") != 0)
        return -1;
    return strcmp(scheme, "first") == 0    ? TOKENIZER_SPACE_FIRST_WORD
           : strcmp(scheme, "always") == 0 ? TOKENIZER_SPACE_EACH_WORD
           : strcmp(scheme, "never") == 0  ? TOKENIZER_SPACE_NONE
                                           : -1;
}

static int read_spm(const struct json *root, const char *file, struct tokenizer_data *d, struct err *e)
{
    struct parts n = {0}, p = {0};
    int space = -1;
    flatten(json_get(root, "normalizer"), "normalizers", &n);
    flatten(json_get(root, "pre_tokenizer"), "pretokenizers", &p);
    int replaced = (n.n == 1 || n.n == 2) && is_replace(n.part[n.n - 1]);
    int prepended = n.n == 2 && is(n.part[0], "Prepend") && strcmp(word(n.part[0], "prepend"), blank) == 0;
    if (n.n > 0 && !(replaced && (n.n == 1 || prepended)))
        return refuse(root, "normalizer", "none, Replace of blanks by U+2581, and Prepend of U+2581 before that", file,
                      e);
    if (replaced && (p.n == 0 || (p.n == 1 && is_split_at_blanks(p.part[0]))))
        space = prepended ? TOKENIZER_SPACE_EACH : TOKENIZER_SPACE_NONE;
    else if (!replaced && p.n == 1)
        space = space_of_metaspace(p.part[0]);
    if (space < 0)
        return refuse(root, "pre_tokenizer",
                      "none, or Split at blanks, where the normalizer replaces them; Metaspace with split false, and "
                      "add_prefix_space as its prepend_scheme, where it does not",
                      file, e);
    d->kind = TOKENIZER_SPM;
    d->space = (enum tokenizer_space)space;
    return 0;
}

/* ---- decoders -------------------------------------------------------------------------------- */

/* What a part does to a text is what is done here without being asked: byte-level tokens are bytes, U+2581 is a blank,
 * "<0x0A>" a byte. The blank in front that some take away is left to whoever reads the text. */
static int is_known_decoder(const struct json *p, enum tokenizer_kind kind)
{
    if (kind == TOKENIZER_BPE)
        return is(p, "ByteLevel");
    if (is(p, "Metaspace"))
        return strcmp(word(p, "replacement"), blank) == 0;
    if (is(p, "Strip"))
        return strcmp(word(p, "content"), " ") == 0 && json_number(json_get(p, "start"), 9) <= 1 &&
               json_number(json_get(p, "stop"), 9) == 0;
    if (is(p, "Replace"))
        return strcmp(word(json_get(p, "pattern"), "String"), blank) == 0 && strcmp(word(p, "content"), " ") == 0;
    return is(p, "ByteFallback") || is(p, "Fuse");
}

static int check_decoder(const struct json *root, const char *file, enum tokenizer_kind kind, struct err *e)
{
    struct parts p = {0};
    flatten(json_get(root, "decoder"), "decoders", &p);
    int known = p.n <= MAX_PARTS;
    for (int i = 0; i < p.n && known; i++)
        known = is_known_decoder(p.part[i], kind);
    if (known)
        return 0;
    return refuse(root, "decoder",
                  kind == TOKENIZER_BPE ? "none, ByteLevel"
                                        : "none, or Replace of U+2581 by a blank, ByteFallback, Fuse, Strip of one "
                                          "blank in front, Metaspace, alone or in a Sequence",
                  file, e);
}

/* ---- the whole ------------------------------------------------------------------------------- */

/* What the model says beside its vocabulary, and that it is of the sort it has to be. */
static int check_model(const struct json *model, const char *file, struct err *e)
{
    static const char *const empty[] = {"continuing_subword_prefix", "end_of_word_suffix"}, *const flags[] = {
                                                                                                "byte_fallback",
                                                                                                "ignore_merges",
                                                                                                "fuse_unk"};
    const struct json *dropout = json_get(model, "dropout");
    if (strcmp(word(model, "type"), "BPE") != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: model type '%s', expected 'BPE'", file, word(model, "type"));
    for (int i = 0; i < 2; i++) {
        const struct json *v = json_get(model, empty[i]);
        if (*word(model, empty[i]))
            return err_set(e, ERR_UNSUPPORTED, "%s: model.%s is '%s', expected null or ''", file, empty[i],
                           word(model, empty[i]));
        if (v && !json_is_null(v) && !json_is_string(v))
            return err_set(e, ERR_FORMAT, "%s: model.%s is no text, expected null or ''", file, empty[i]);
    }
    for (int i = 0; i < 3; i++) {
        const struct json *v = json_get(model, flags[i]);
        if (v && !json_is_null(v) && !json_is_bool(v))
            return err_set(e, ERR_FORMAT, "%s: model.%s is neither true nor false", file, flags[i]);
    }
    if (dropout && !json_is_null(dropout) && json_number(dropout, -1) != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: model.dropout is %g, expected null or 0; ids would be drawn at random",
                       file, json_number(dropout, -1));
    return 0;
}

/* Bytes that stand for themselves already have no use for a fallback. */
static int is_bytes_already(const struct json *root)
{
    struct parts p = {0};
    int found = 0;
    flatten(json_get(root, "pre_tokenizer"), "pretokenizers", &p);
    for (int i = 0; i < p.n && i < MAX_PARTS; i++)
        found |= is(p.part[i], "ByteLevel");
    return found;
}

int import_hf_pipeline_read(const struct json *root, const char *file, struct tokenizer_data *d, struct err *e)
{
    const struct json *model = json_get(root, "model");
    int fallback = json_bool(json_get(model, "byte_fallback"), 0);
    if (check_model(model, file, e))
        return -1;
    if (fallback && is_bytes_already(root))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: model.byte_fallback is true, with ByteLevel in pre_tokenizer; expected one of them", file);
    if (fallback && json_bool(json_get(model, "ignore_merges"), 0))
        return err_set(e, ERR_UNSUPPORTED, "%s: model.ignore_merges is true, with byte_fallback; expected false", file);
    if (fallback ? read_spm(root, file, d, e) : read_bpe(root, file, d, e))
        return -1;
    return check_decoder(root, file, d->kind, e);
}
