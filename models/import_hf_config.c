#include "models/import_hf_config.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "harness/base/mem.h"
#include "models/architecture.h"

/* ---- values ---------------------------------------------------------------------------------- */

static int is_set(const struct json *v)
{
    return v && !json_is_null(v);
}

/* A key that is absent or null takes the default; a default below zero: it must be there. */
static int get_int(const struct json *o, const char *file, const char *key, int dflt, int *out, struct err *e)
{
    const struct json *v = json_get(o, key);
    int64_t i = dflt;
    if (is_set(v) && (json_int64(v, &i) || i < 0 || i > INT_MAX))
        return err_set(e, ERR_FORMAT, "%s: key '%s' is no integer from 0 to %d", file, key, INT_MAX);
    if (i < 0)
        return err_set(e, ERR_FORMAT, "%s: key '%s' missing", file, key);
    *out = (int)i;
    return 0;
}

static int get_real(const struct json *o, const char *file, const char *key, double dflt, double *out, struct err *e)
{
    const struct json *v = json_get(o, key);
    if (is_set(v) && !json_is_number(v))
        return err_set(e, ERR_FORMAT, "%s: key '%s' is no number", file, key);
    *out = json_number(v, dflt);
    return 0;
}

static int get_bool(const struct json *o, const char *file, const char *key, int *out, struct err *e)
{
    const struct json *v = json_get(o, key);
    if (is_set(v) && !json_is_bool(v))
        return err_set(e, ERR_FORMAT, "%s: key '%s' is neither true nor false", file, key);
    *out = json_bool(v, 0);
    return 0;
}

/* For messages: the value as JSON, cut. */
static int refuse(const char *file, const char *where, const struct json *v, const char *expected, struct err *e)
{
    char *text = json_print(v);
    err_set(e, ERR_UNSUPPORTED, "%s: %s%s is %.80s, expected %s", file, where, json_key(v), text, expected);
    mem_free(text);
    return -1;
}

/* ---- the keys -------------------------------------------------------------------------------- */

enum rule {
    USED,
    HARMLESS, /* changes nothing that is computed here */
    OFF,      /* refused unless null, false, 0, or empty */
    ONE       /* refused unless null or 1 */
};

static const struct {
    const char *key;
    enum rule rule;
} keys[] = {
    /* read below, or with the tokenizer */
    {"model_type", USED},
    {"hidden_act", USED},
    {"num_hidden_layers", USED},
    {"hidden_size", USED},
    {"num_attention_heads", USED},
    {"num_key_value_heads", USED},
    {"head_dim", USED},
    {"intermediate_size", USED},
    {"vocab_size", USED},
    {"max_position_embeddings", USED},
    {"rms_norm_eps", USED},
    {"rope_theta", USED},
    {"rope_scaling", USED},
    {"rope_parameters", USED},
    {"partial_rotary_factor", USED},
    {"original_max_position_embeddings", USED},
    {"tie_word_embeddings", USED},
    {"bos_token_id", USED},
    {"eos_token_id", USED},
    {"sliding_window", USED},
    {"use_sliding_window", USED},
    {"layer_types", USED},
    /* about training, files, generation, and other libraries */
    {"architectures", HARMLESS},
    {"torch_dtype", HARMLESS},
    {"dtype", HARMLESS},
    {"transformers_version", HARMLESS},
    {"_name_or_path", HARMLESS},
    {"use_cache", HARMLESS},
    {"initializer_range", HARMLESS},
    {"attention_dropout", HARMLESS},
    {"hidden_dropout", HARMLESS},
    {"hidden_dropout_prob", HARMLESS},
    {"attention_probs_dropout_prob", HARMLESS},
    {"embd_pdrop", HARMLESS},
    {"resid_pdrop", HARMLESS},
    {"attn_pdrop", HARMLESS},
    {"pretraining_tp", HARMLESS},
    {"pad_token_id", HARMLESS},
    {"unk_token_id", HARMLESS},
    {"sep_token_id", HARMLESS},
    {"decoder_start_token_id", HARMLESS},
    {"attn_implementation", HARMLESS},
    {"_attn_implementation", HARMLESS},
    {"_attn_implementation_autoset", HARMLESS},
    {"transformers.js_config", HARMLESS},
    {"is_llama_config", HARMLESS},
    {"is_decoder", HARMLESS},
    {"output_attentions", HARMLESS},
    {"output_hidden_states", HARMLESS},
    {"return_dict", HARMLESS},
    {"torchscript", HARMLESS},
    {"use_bfloat16", HARMLESS},
    {"_commit_hash", HARMLESS},
    {"task_specific_params", HARMLESS},
    {"id2label", HARMLESS},
    {"label2id", HARMLESS},
    {"problem_type", HARMLESS},
    {"finetuning_task", HARMLESS},
    {"gradient_checkpointing", HARMLESS},
    {"tokenizer_class", HARMLESS},
    {"max_window_layers", HARMLESS},
    {"do_sample", HARMLESS},
    {"temperature", HARMLESS},
    {"top_k", HARMLESS},
    {"top_p", HARMLESS},
    {"typical_p", HARMLESS},
    {"max_length", HARMLESS},
    {"min_length", HARMLESS},
    {"num_beams", HARMLESS},
    {"num_beam_groups", HARMLESS},
    {"num_return_sequences", HARMLESS},
    {"diversity_penalty", HARMLESS},
    {"early_stopping", HARMLESS},
    {"length_penalty", HARMLESS},
    {"repetition_penalty", HARMLESS},
    {"no_repeat_ngram_size", HARMLESS},
    {"encoder_no_repeat_ngram_size", HARMLESS},
    {"exponential_decay_length_penalty", HARMLESS},
    {"remove_invalid_values", HARMLESS},
    {"output_scores", HARMLESS},
    {"return_dict_in_generate", HARMLESS},
    {"bad_words_ids", HARMLESS},
    {"suppress_tokens", HARMLESS},
    {"begin_suppress_tokens", HARMLESS},
    {"forced_bos_token_id", HARMLESS},
    {"forced_eos_token_id", HARMLESS},
    {"prefix", HARMLESS},
    {"tf_legacy_loss", HARMLESS},
    {"chunk_size_feed_forward", HARMLESS},
    {"unsloth_version", HARMLESS},
    {"unsloth_fixed", HARMLESS},
    /* other arithmetic */
    {"attention_bias", OFF},
    {"mlp_bias", OFF},
    {"qkv_bias", OFF},
    {"bias", OFF},
    {"use_bias", OFF},
    {"no_bias", OFF},
    {"rope_interleaved", OFF},
    {"is_encoder_decoder", OFF},
    {"add_cross_attention", OFF},
    {"cross_attention_hidden_size", OFF},
    {"tie_encoder_decoder", OFF},
    {"pruned_heads", OFF},
    {"use_qk_norm", OFF},
    {"qk_norm", OFF},
    {"qk_layernorm", OFF},
    {"use_parallel_residual", OFF},
    {"parallel_attn", OFF},
    {"alibi", OFF},
    {"attn_logit_softcapping", OFF},
    {"final_logit_softcapping", OFF},
    {"query_pre_attn_scalar", OFF},
    {"attention_multiplier", OFF},
    {"clip_qkv", OFF},
    {"attention_chunk_size", OFF},
    {"no_rope_layers", OFF},
    {"no_rope_layer_interval", OFF},
    {"num_local_experts", OFF},
    {"num_experts", OFF},
    {"n_routed_experts", OFF},
    {"num_nextn_predict_layers", OFF},
    {"q_lora_rank", OFF},
    {"kv_lora_rank", OFF},
    {"quantization_config", OFF},
    {"rope_local_base_freq", OFF},
    {"attn_temperature_tuning", OFF},
    {"attention_sink", OFF},
    {"attention_sinks", OFF},
    {"auto_map", OFF},
    {"residual_multiplier", ONE},
    {"embedding_multiplier", ONE},
    {"logits_scaling", ONE},
    {"logit_scale", ONE},
    {"scale_emb", ONE},
    {"rotary_pct", ONE},
    {"rope_pct", ONE},
    {"rope_ratio", ONE},
};
enum { N_KEY = sizeof keys / sizeof *keys };

static int is_off(const struct json *v)
{
    const char *s = json_string(v);
    return !is_set(v) || (json_is_bool(v) && !json_bool(v, 1)) || (json_is_number(v) && json_number(v, 1) == 0) ||
           (s && !*s) || ((json_is_array(v) || json_is_object(v)) && json_size(v) == 0);
}

static int check_key(const struct json *v, const char *file, struct str *notes, struct err *e)
{
    int k = 0;
    while (k < N_KEY && strcmp(keys[k].key, json_key(v)) != 0)
        k++;
    if (k == N_KEY) {
        char *text = json_print(v);
        if (!is_off(v)) {
            str_addf(notes, "%s: key ", file);
            str_add_json(notes, json_key(v), strlen(json_key(v)));
            str_addf(notes, " (%.60s) is not known and changes nothing here\n", text);
        }
        mem_free(text);
        return 0;
    }
    if (strcmp(json_key(v), "quantization_config") == 0 && is_set(v))
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: quantization_config: quantised weights are not read; import the model "
                       "as it was before",
                       file);
    if (keys[k].rule == OFF && !is_off(v))
        return refuse(file, "", v, "nothing (null, false or 0): the forward pass here has no such thing", e);
    if (keys[k].rule == ONE && is_set(v) && !(json_is_number(v) && json_number(v, 0) == 1))
        return refuse(file, "", v, "1: the forward pass here has no such factor", e);
    return 0;
}

static int check_keys(const struct json *c, const char *file, struct str *notes, struct err *e)
{
    const struct json *window = json_get(c, "sliding_window"), *types = json_get(c, "layer_types"),
                      *uses = json_get(c, "use_sliding_window");
    const char *dup;
    if (json_has_duplicate(c, &dup))
        return err_set(e, ERR_FORMAT, "%s: key '%s' appears twice", file, dup);
    for (const struct json *v = json_first(c); v; v = json_next(v))
        if (check_key(v, file, notes, e))
            return -1;
    if (!is_off(uses))
        return refuse(file, "", uses, "false: windows are not computed here", e);
    if (!is_off(window) && !json_is_bool(uses))
        return refuse(file, "", window, "null: windows are not computed here (or use_sliding_window: false)", e);
    for (const struct json *t = json_first(types); t; t = json_next(t))
        if (!json_string(t) || strcmp(json_string(t), "full_attention") != 0)
            return refuse(file, "", types, "full_attention alone", e);
    return 0;
}

/* ---- rotation -------------------------------------------------------------------------------- */

/* One place for what may stand in three: rope_scaling (transformers 4) with rope_theta beside it, and rope_parameters
 * (transformers 5) with rope_theta inside. Of two that are there, transformers takes rope_scaling when it is not empty;
 * what the other then says besides must not contradict. */
struct rope_source {
    const struct json *main, *other; /* NULL: absent, null or empty */
    const char *name, *other_name;
};

static int find_rope(const struct json *c, const char *file, struct rope_source *r, struct err *e)
{
    static const char *const names[] = {"rope_scaling", "rope_parameters"};
    const struct json *o[2];
    for (int i = 0; i < 2; i++) {
        const char *dup;
        o[i] = json_get(c, names[i]);
        if (is_set(o[i]) && !json_is_object(o[i]))
            return err_set(e, ERR_FORMAT, "%s: key '%s' is no object", file, names[i]);
        if (o[i] && json_has_duplicate(o[i], &dup))
            return err_set(e, ERR_FORMAT, "%s: %s: key '%s' appears twice", file, names[i], dup);
        for (const struct json *v = json_first(o[i]); v; v = json_next(v))
            if (json_is_object(v))
                return err_set(e, ERR_UNSUPPORTED,
                               "%s: %s.%s: one rotation for each sort of layer; all layers rotate "
                               "alike here",
                               file, names[i], json_key(v));
        if (json_size(o[i]) == 0)
            o[i] = NULL;
    }
    int first = o[0] ? 0 : 1;
    *r = (struct rope_source){o[first], first == 0 ? o[1] : NULL, names[first], names[1]};
    return 0;
}

/* A number of the object, or, where there is a `beside`, one that stands in config.json itself; *found says whether
 * there is any, otherwise *out stays. Both must agree, and so must the object that was not taken. */
static int rope_number(const struct json *beside, const struct rope_source *r, const char *file, const char *key,
                       double *out, int *found, struct err *e)
{
    const struct json *in[] = {json_get(r->main, key), json_get(beside, key), json_get(r->other, key)};
    const char *where[] = {r->name, "", r->other_name};
    *found = 0;
    for (int i = 0; i < 3; i++) {
        const char *dot = *where[i] ? "." : "";
        if (!in[i] || (json_is_null(in[i]) && strcmp(key, "rope_theta") != 0))
            continue;
        if (!json_is_number(in[i]))
            return err_set(e, ERR_FORMAT, "%s: key '%s%s%s' is no number", file, where[i], dot, key);
        double v = json_number(in[i], 0);
        if ((*found || i == 2) && v != *out)
            return err_set(e, ERR_UNSUPPORTED, "%s: %s is %g, but %s%s%s is %g: which one holds can't be told", file,
                           key, *out, where[i], dot, key, v);
        *out = v;
        *found = 1;
    }
    return 0;
}

/* A key of the object that this type of rotation reads. */
static int required(const struct rope_source *r, const char *file, const char *key, double *out, struct err *e)
{
    int found;
    if (!json_get(r->main, key))
        return err_set(e, ERR_FORMAT, "%s: key '%s.%s' missing", file, r->name, key);
    if (rope_number(NULL, r, file, key, out, &found, e))
        return -1;
    return found ? 0 : err_set(e, ERR_FORMAT, "%s: key '%s.%s' is null", file, r->name, key);
}

/* "rope_type", once called "type". *out is "default" when there is neither. */
static int rope_type(const struct json *o, const char *file, const char *name, const char **out, struct err *e)
{
    static const char *const both[] = {"rope_type", "type"};
    *out = NULL;
    for (int i = 0; i < 2; i++) {
        const struct json *v = json_get(o, both[i]);
        const char *s = json_string(v);
        if (!v)
            continue;
        if (!s)
            return err_set(e, ERR_FORMAT, "%s: key '%s.%s' is no text", file, name, both[i]);
        if (*out && strcmp(*out, s) != 0)
            return err_set(e, ERR_UNSUPPORTED,
                           "%s: %s.rope_type is '%s', and %s.type is '%s': which one holds can't be told", file, name,
                           *out, name, s);
        *out = s;
    }
    *out = *out ? *out : "default";
    return 0;
}

/* Every key of the object has a part in this type, or a value that changes nothing. */
static int check_rope_keys(const struct json *o, const char *file, const char *name, const char *type, struct err *e)
{
    static const char *const always[] = {"rope_type", "type", "rope_theta", "partial_rotary_factor",
                                         "original_max_position_embeddings"};
    static const char *const llama3[] = {"low_freq_factor", "high_freq_factor"};
    static const char *const scales[] = {"factor", "attention_factor", "mscale", "mscale_all_dim"};
    for (const struct json *v = json_first(o); v; v = json_next(v)) {
        const char *key = json_key(v);
        int known = json_is_null(v), neutral = 0;
        for (size_t i = 0; i < sizeof always / sizeof *always; i++)
            known |= strcmp(key, always[i]) == 0;
        for (size_t i = 0; i < 2; i++)
            known |= strcmp(type, "llama3") == 0 && strcmp(key, llama3[i]) == 0;
        known |= strcmp(type, "default") != 0 && strcmp(key, "factor") == 0;
        for (size_t i = 0; i < sizeof scales / sizeof *scales; i++)
            neutral |= strcmp(key, scales[i]) == 0 && json_is_number(v) && json_number(v, 0) == 1;
        if (!known && !neutral) {
            char *text = json_print(v);
            err_set(e, ERR_UNSUPPORTED, "%s: %s.%.80s is %.60s, which has no part in rope_type '%s'", file, name, key,
                    text, type);
            mem_free(text);
            return -1;
        }
    }
    return 0;
}

static int read_llama3(const struct json *c, const struct rope_source *r, const char *file, struct hparams *hp,
                       struct err *e)
{
    double original = hp->context_length;
    int found;
    hp->rope_scaling = MODEL_ROPE_LLAMA3;
    if (required(r, file, "low_freq_factor", &hp->rope_low_freq_factor, e) ||
        required(r, file, "high_freq_factor", &hp->rope_high_freq_factor, e) ||
        rope_number(c, r, file, "original_max_position_embeddings", &original, &found, e))
        return -1;
    if (!(original >= 1 && original <= DIMS_MAX_CONTEXT) || original != floor(original))
        return err_set(e, ERR_SHAPE, "%s: original_max_position_embeddings is %g, expected an integer from 1 to %d",
                       file, original, (int)DIMS_MAX_CONTEXT);
    hp->rope_original_context = (int)original;
    return 0;
}

static int read_rope(const struct json *c, const char *file, struct hparams *hp, struct err *e)
{
    struct rope_source r = {0};
    const char *type, *other;
    double partial = 1;
    int found;
    hp->rope_base = 10000;
    hp->rope_factor = 1;
    hp->rope_scaling = MODEL_ROPE_PLAIN;
    if (find_rope(c, file, &r, e) || rope_type(r.main, file, r.name, &type, e) ||
        rope_type(r.other, file, r.other_name, &other, e) ||
        rope_number(c, &r, file, "rope_theta", &hp->rope_base, &found, e) ||
        rope_number(c, &r, file, "partial_rotary_factor", &partial, &found, e))
        return -1;
    if (partial != 1)
        return err_set(e, ERR_UNSUPPORTED, "%s: partial_rotary_factor is %g, expected 1: whole heads rotate here", file,
                       partial);
    if (strcmp(other, "default") != 0 && strcmp(other, type) != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: %s says '%s', and %s says '%s': which one holds can't be told", file,
                       r.name, type, r.other_name, other);
    int linear = strcmp(type, "linear") == 0, llama3 = strcmp(type, "llama3") == 0;
    if (!linear && !llama3 && strcmp(type, "default") != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: %s: rope_type '%s'; known: default, linear, llama3", file, r.name,
                       type);
    if (check_rope_keys(r.main, file, r.name, type, e) || check_rope_keys(r.other, file, r.other_name, type, e))
        return -1;
    if (!linear && !llama3)
        return 0;
    hp->rope_scaling = MODEL_ROPE_LINEAR;
    if (required(&r, file, "factor", &hp->rope_factor, e))
        return -1;
    return llama3 ? read_llama3(c, &r, file, hp, e) : 0;
}

/* ---- the whole ------------------------------------------------------------------------------- */

static const struct architecture *find_architecture(const struct json *c, const char *file, struct err *e)
{
    const char *type = json_string(json_get(c, "model_type"));
    const struct architecture *a = type ? architecture_of_hf(type) : NULL;
    struct str known = {0};
    if (a)
        return a;
    architecture_list_hf(&known);
    err_set(e, type ? ERR_UNSUPPORTED : ERR_FORMAT, "%s: model_type is '%s'; known: %s", file, type ? type : "(none)",
            str_c(&known));
    str_free(&known);
    return NULL;
}

/* The activation that is named is the one that the architecture has. */
static int check_activation(const struct json *c, const char *file, const struct hparams *hp, struct err *e)
{
    static const struct {
        const char *word;
        enum model_activation is;
    } words[] = {{"silu", MODEL_SILU}, {"swish", MODEL_SILU}};
    const struct json *act = json_get(c, "hidden_act");
    const char *s = json_string(act);
    for (size_t i = 0; s && i < sizeof words / sizeof *words; i++)
        if (strcmp(s, words[i].word) == 0 && words[i].is == hp->activation)
            return 0;
    return act ? refuse(file, "", act, "'silu'", e) : 0;
}

int import_hf_config_read(const struct json *c, const char *file, struct hparams *hp, struct str *notes, struct err *e)
{
    double eps = 0;
    if (!json_is_object(c))
        return err_set(e, ERR_FORMAT, "%s: no JSON object", file);
    const struct architecture *a = find_architecture(c, file, e);
    if (!a)
        return -1;
    architecture_begin(a, hp);
    if (check_activation(c, file, hp, e) || check_keys(c, file, notes, e))
        return -1;
    if (get_int(c, file, "num_hidden_layers", -1, &hp->n_layer, e) ||
        get_int(c, file, "hidden_size", -1, &hp->d_model, e) ||
        get_int(c, file, "num_attention_heads", -1, &hp->n_head, e) ||
        get_int(c, file, "num_key_value_heads", hp->n_head, &hp->n_kv_head, e) ||
        get_int(c, file, "head_dim", hp->n_head ? hp->d_model / hp->n_head : 0, &hp->head_dim, e) ||
        get_int(c, file, "intermediate_size", -1, &hp->d_ff, e) ||
        get_int(c, file, "vocab_size", -1, &hp->n_vocab, e) ||
        get_int(c, file, "max_position_embeddings", 2048, &hp->context_length, e) ||
        get_real(c, file, "rms_norm_eps", 1e-6, &eps, e) || get_bool(c, file, "tie_word_embeddings", &hp->tied, e) ||
        read_rope(c, file, hp, e))
        return -1;
    hp->norm_eps = (float)eps;
    return hparams_check(hp, e) ? err_wrap(e, "%s", file) : 0;
}
