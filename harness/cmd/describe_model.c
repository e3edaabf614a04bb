#include "harness/cmd/describe_model.h"

#include <stdio.h>
#include <string.h>

#include "harness/base/data_dir.h"
#include "harness/base/fs.h"
#include "harness/base/mem.h"
#include "harness/base/quote.h"
#include "harness/base/str.h"
#include "harness/cmd/cli.h"
#include "harness/experiment/experiment_habits.h"
#include "models/model_facts.h"

static const double MIB = 1048576;

/* Lengths at which caches are told, as far as the model's context goes; the context itself comes last. */
static const int lengths[] = {1024, 4096, 32768, 131072};
enum { N_LENGTH = sizeof lengths / sizeof *lengths };

/* ---- figures ------------------------------------------------------------------------------------ */

static int count_layers(const struct hparams *hp, enum model_layer_kind kind)
{
    int n = 0;
    for (int l = 0; l < hp->n_layer; l++)
        n += model_layer_kind(hp, l) == kind;
    return n;
}

/* Keys and values of one position in one layer. */
static int64_t entry_bytes(const struct hparams *hp)
{
    return (int64_t)sizeof(float) * 2 * hp->n_kv_head * hp->head_dim;
}

/* Of a sequence of n tokens: a layer with a window holds the last of them. */
static int64_t cache_bytes(const struct hparams *hp, int n)
{
    return entry_bytes(hp) * (int64_t)model_holds(hp, n);
}

static int length_at(const struct hparams *hp, int i) /* 0: there are no more */
{
    if (i < N_LENGTH && lengths[i] < hp->context_length)
        return lengths[i];
    return i == 0 || (i <= N_LENGTH && lengths[i - 1] < hp->context_length) ? hp->context_length : 0;
}

/* ---- text --------------------------------------------------------------------------------------- */

/* 630167424 as "630,167,424". */
static void add_grouped(struct str *s, uint64_t n)
{
    if (n >= 1000) {
        add_grouped(s, n / 1000);
        str_addf(s, ",%03d", (int)(n % 1000));
    } else {
        str_addf(s, "%d", (int)n);
    }
}

/* Mostly MiB, but tiny models should not read as nothing. */
static void add_size(struct str *s, uint64_t bytes)
{
    if ((double)bytes < MIB / 10)
        str_addf(s, "%llu bytes", (unsigned long long)bytes);
    else
        str_addf(s, "%.*f MiB", (double)bytes < 1000 * MIB ? 2 : 0, (double)bytes / MIB);
}

/* The layers of a kind as "0-4, 6-10, 12". */
static void add_layers(struct str *s, const struct hparams *hp, enum model_layer_kind kind)
{
    const char *comma = "";
    for (int l = 0; l < hp->n_layer; l++) {
        int first = l;
        if (model_layer_kind(hp, l) != kind)
            continue;
        while (l + 1 < hp->n_layer && model_layer_kind(hp, l + 1) == kind)
            l++;
        str_addf(s, "%s%d", comma, first);
        if (l > first)
            str_addf(s, "-%d", l);
        comma = ", ";
    }
}

static void add_kinds(struct str *s, const struct hparams *hp)
{
    int full = count_layers(hp, MODEL_LAYER_FULL), unrotated = count_layers(hp, MODEL_LAYER_UNROTATED);
    int windowed = count_layers(hp, MODEL_LAYER_WINDOW);
    str_addf(s, "layers: %d", hp->n_layer);
    if (full == hp->n_layer)
        str_add(s, ", all with full attention");
    str_addc(s, '\n');
    if (full && full < hp->n_layer) {
        str_addf(s, "  %d with full attention: ", full);
        add_layers(s, hp, MODEL_LAYER_FULL);
        str_addc(s, '\n');
    }
    if (windowed) {
        str_addf(s, "  %d with a window of %d tokens: ", windowed, hp->window);
        add_layers(s, hp, MODEL_LAYER_WINDOW);
        str_addc(s, '\n');
    }
    if (unrotated) {
        str_addf(s, "  %d with full attention, without positions: ", unrotated);
        add_layers(s, hp, MODEL_LAYER_UNROTATED);
        str_addc(s, '\n');
    }
}

static void add_positions(struct str *s, const struct hparams *hp)
{
    str_addf(s, "positions: rotated with base %.12g", hp->rope_base);
    if (hp->rope_scaling == MODEL_ROPE_LINEAR)
        str_addf(s, ", linear scaling by %.9g", hp->rope_factor);
    if (hp->rope_scaling == MODEL_ROPE_LLAMA3)
        str_addf(s, ", scaling llama3 by %.9g (low %.9g, high %.9g, first trained on %d tokens)", hp->rope_factor,
                 hp->rope_low_freq_factor, hp->rope_high_freq_factor, hp->rope_original_context);
    if (hp->rope_scaling == MODEL_ROPE_LONGROPE)
        str_addf(s, ", scaling longrope (short factors up to %d tokens%s; queries and keys times %.6g)",
                 hp->rope_original_context,
                 model_rope_long(hp, hp->context_length) ? ", long ones for longer sequences" : "",
                 hp->rope_attention_factor);
    if (hp->rope_dim)
        str_addf(s, ", of %d of %d dimensions", hp->rope_dim, hp->head_dim);
    if (hp->rope_local_base != 0)
        str_addf(s, "; in layers with a window with base %.12g", hp->rope_local_base);
    str_addc(s, '\n');
}

static void add_arithmetic(struct str *s, const struct hparams *hp)
{
    static const char *const where[] = {"before", "before and after", "after"};
    static const char *const qk[] = {"", "; of every query and key head", "; of all queries and keys as one vector"};
    str_addf(s, "norms: RMSNorm %s each sub-layer, epsilon %.6g%s%s\n", where[hp->norms], (double)hp->norm_eps,
             hp->norm_offset != 0 ? ", times 1 + weight" : "", qk[hp->qk_norm]);
    str_addf(s, "activation: %s, gated\n", hp->activation == MODEL_SILU ? "silu" : "gelu_tanh");
    const struct {
        const char *what;
        double v;
    } option[] = {{"scores divided by the root of", hp->query_scalar},
                  {"scores capped at", hp->attention_cap},
                  {"logits capped at", hp->logit_cap},
                  {"embeddings times", (double)hp->embedding_scale == 1 ? 0 : (double)hp->embedding_scale},
                  {"what sub-layers add times", hp->residual_scale},
                  {"logits times", hp->logit_scale}};
    const char *comma = "";
    size_t begin = s->n;
    for (size_t i = 0; i < sizeof option / sizeof *option; i++)
        if (option[i].v != 0) {
            str_addf(s, "%s%s %.6g", s->n == begin ? "further: " : comma, option[i].what, option[i].v);
            comma = ", ";
        }
    if (hp->qkv_bias)
        str_addf(s, "%squeries, keys and values with bias", s->n == begin ? "further: " : comma);
    if (s->n > begin)
        str_addc(s, '\n');
}

static void add_tokenizer(struct str *s, const struct model_facts *f)
{
    const struct tokenizer_data *d = &f->tokenizer;
    if (!f->has_tokenizer) {
        str_add(s, "tokenizer: none\n");
        return;
    }
    str_addf(s, "tokenizer: %s", tokenizer_kind_name(d->kind));
    if (d->kind == TOKENIZER_BPE)
        str_addf(s, ", rule %s%s%s", d->pre, d->normalizer == TOKENIZER_NFC ? ", NFC first" : "",
                 d->ignore_merges ? ", whole pre-tokens before merges" : "");
    if (d->kind == TOKENIZER_SPM)
        str_addf(s, ", joins by %s", d->score ? "scores" : "merges");
    str_addf(s, "; %d tokens, BOS %s\n", d->n_token,
             d->bos < 0   ? "none"
             : d->add_bos ? "in front of every prompt"
                          : "not added");
    if (f->knows_template)
        str_add(s, "template: known (template: chat)\n");
    else if (d->chat_template)
        str_add(s, "template: none of those known here; an experiment can spell its pieces out\n");
    else
        str_add(s, "template: none\n");
}

static void add_weights(struct str *s, const struct model_facts *f)
{
    str_add(s, "parameters: ");
    add_grouped(s, f->parameters);
    str_add(s, " (embedding ");
    add_grouped(s, f->embedding);
    if (f->output) {
        str_add(s, ", output ");
        add_grouped(s, f->output);
        str_add(s, ")\n");
    } else {
        str_add(s, ", which is the output matrix as well)\n");
    }
    str_add(s, "file: ");
    add_size(s, f->file_bytes);
    str_add(s, ", matrices");
    const struct {
        const char *name;
        int n;
    } stored[] = {{"float32", f->n_f32}, {"float16", f->n_f16}, {"bfloat16", f->n_bf16}};
    const char *comma = " ";
    for (int i = 0; i < 3; i++)
        if (stored[i].n) {
            str_addf(s, "%s%s", comma, stored[i].name);
            comma = " and ";
        }
    str_add(s, "\nweights in memory: ");
    add_size(s, f->held_f32);
    str_add(s, " as float32, ");
    add_size(s, f->held_bf16);
    str_add(s, " with weight_dtype: bf16\n");
}

static const char *plural(int n)
{
    return n == 1 ? "" : "s";
}

static void add_cache(struct str *s, const struct hparams *hp)
{
    int windowed = count_layers(hp, MODEL_LAYER_WINDOW), rest = hp->n_layer - windowed, n;
    str_addf(s, "cache: %lld bytes a token (%d layer%s x %d KV head%s x 2 x %d x 4)",
             (long long)(rest * entry_bytes(hp)), rest, plural(rest), hp->n_kv_head, plural(hp->n_kv_head),
             hp->head_dim);
    if (windowed) {
        str_add(s, ", and at most ");
        add_size(s, (uint64_t)(windowed * entry_bytes(hp) * hp->window));
        str_addf(s, " of the %d layer%s with a window", windowed, plural(windowed));
    }
    str_addc(s, '\n');
    for (int i = 0; (n = length_at(hp, i)) > 0; i++) {
        str_addf(s, "  %d tokens: ", n);
        add_size(s, (uint64_t)cache_bytes(hp, n));
        str_addc(s, '\n');
    }
}

static void print_text(const struct model_facts *f)
{
    const struct hparams *hp = &f->hp;
    struct str s = {0};
    quote_show(stdout, "model %s\n", f->path);
    quote_show(stdout, "source: %s, sha256 %.12s...\n", f->source_name, f->source_sha256);
    quote_show(stdout, "identity: %s\n", f->sha256);
    quote_show(stdout, "architecture: %s\n", hp->architecture);
    add_kinds(&s, hp);
    str_addf(&s, "heads: %d of queries, %d of keys and values, of %d dimensions\n", hp->n_head, hp->n_kv_head,
             hp->head_dim);
    str_addf(&s, "width: %d, feed-forward %d\nvocabulary: %d\ncontext: %d tokens\n", hp->d_model, hp->d_ff, hp->n_vocab,
             hp->context_length);
    add_positions(&s, hp);
    add_arithmetic(&s, hp);
    add_tokenizer(&s, f);
    add_weights(&s, f);
    add_cache(&s, hp);
    quote_show_lines(stdout, s.p);
    str_free(&s);
}

/* ---- JSON --------------------------------------------------------------------------------------- */

static void member_text(struct str *s, const char *key, const char *text)
{
    str_addf(s, ",\"%s\":", key);
    str_add_json(s, text, strlen(text));
}

static void member_int(struct str *s, const char *key, uint64_t n)
{
    str_addf(s, ",\"%s\":%llu", key, (unsigned long long)n);
}

static void print_json(const struct model_facts *f)
{
    const struct hparams *hp = &f->hp;
    struct str s = {0};
    int windowed = count_layers(hp, MODEL_LAYER_WINDOW), n;
    str_add(&s, "{\"kind\":\"model\"");
    member_text(&s, "name", f->path);
    member_text(&s, "source", f->source_name);
    member_text(&s, "source_sha256", f->source_sha256);
    member_text(&s, "sha256", f->sha256);
    member_text(&s, "architecture", hp->architecture);
    const struct {
        const char *key;
        int n;
    } size[] = {{"n_layer", hp->n_layer},   {"d_model", hp->d_model},
                {"n_head", hp->n_head},     {"n_kv_head", hp->n_kv_head},
                {"head_dim", hp->head_dim}, {"d_ff", hp->d_ff},
                {"n_vocab", hp->n_vocab},   {"context_length", hp->context_length}};
    for (size_t i = 0; i < sizeof size / sizeof *size; i++)
        member_int(&s, size[i].key, (uint64_t)size[i].n);
    str_add(&s, ",\"layer_kinds\":\"");
    for (int l = 0; l < hp->n_layer; l++)
        str_addc(&s, (char)model_layer_kind(hp, l));
    str_addf(&s, "\",\"window\":%s", windowed ? "" : "null");
    if (windowed)
        str_addf(&s, "%d", hp->window);
    str_add(&s, ",\"rope_base\":");
    str_add_json_double(&s, hp->rope_base);
    str_addf(&s, ",\"tied\":%s,\"tokenizer\":", hp->tied ? "true" : "false");
    if (f->has_tokenizer) {
        str_addf(&s, "{\"kind\":\"%s\",\"tokens\":%d,\"rule\":", tokenizer_kind_name(f->tokenizer.kind),
                 f->tokenizer.n_token);
        const char *rule = f->tokenizer.kind == TOKENIZER_BPE ? f->tokenizer.pre : NULL;
        str_add(&s, rule ? "" : "null");
        if (rule)
            str_add_json(&s, rule, strlen(rule));
        str_addf(&s, ",\"sha256\":\"%s\",\"knows_template\":%s}", f->tokenizer_sha256,
                 f->knows_template ? "true" : "false");
    } else {
        str_add(&s, "null");
    }
    member_int(&s, "parameters", f->parameters);
    member_int(&s, "embedding_parameters", f->embedding);
    member_int(&s, "output_parameters", f->output);
    member_int(&s, "file_bytes", f->file_bytes);
    member_int(&s, "weight_bytes_f32", f->held_f32);
    member_int(&s, "weight_bytes_bf16", f->held_bf16);
    member_int(&s, "cache_bytes_per_token", (uint64_t)(hp->n_layer - windowed) * (uint64_t)entry_bytes(hp));
    member_int(&s, "window_cache_bytes", (uint64_t)windowed * (uint64_t)entry_bytes(hp) * (uint64_t)hp->window);
    str_add(&s, ",\"cache_bytes\":{");
    for (int i = 0; (n = length_at(hp, i)) > 0; i++)
        str_addf(&s, "%s\"%d\":%lld", i ? "," : "", n, (long long)cache_bytes(hp, n));
    str_add(&s, "}}");
    quote_show_lines(stdout, s.p);
    quote_show(stdout, "\n");
    str_free(&s);
}

/* ---- the command -------------------------------------------------------------------------------- */

int describe_model_is_meant(const char *name)
{
    static const char *const ends[] = {".h5", ".gguf", ".safetensors"};
    int meant = strchr(name, '/') != NULL || fs_exists(name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        size_t n = strlen(name), k = strlen(ends[i]);
        meant |= n > k && strcmp(name + n - k, ends[i]) == 0;
    }
    return meant;
}

int describe_model(const char *name, int json)
{
    struct model_facts f;
    struct err e = {0};
    char *path = data_dir_model("", name);
    int rc = model_facts_read(path, &f, &e);
    if (rc) {
        struct str hint = {0};
        struct err mine = e;
        experiment_habits_model(path, &hint);
        if (hint.n && e.code != ERR_NOMEM)
            err_set(&e, mine.code, "%s%s", mine.msg, hint.p);
        str_free(&hint);
        rc = cli_fail(&e);
    } else {
        (json ? print_json : print_text)(&f);
        model_facts_fini(&f);
        rc = CLI_OK;
    }
    mem_free(path);
    return rc;
}
