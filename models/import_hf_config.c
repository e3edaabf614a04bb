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

static int get_bool(const struct json *o, const char *file, const char *key, int dflt, int *out, struct err *e)
{
    const struct json *v = json_get(o, key);
    if (is_set(v) && !json_is_bool(v))
        return err_set(e, ERR_FORMAT, "%s: key '%s' is neither true nor false", file, key);
    *out = json_bool(v, dflt);
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
    unsigned used_with; /* enum architecture_option: read where the architecture has one of them, else the rule holds */
} keys[] = {
    /* read below, or with the tokenizer */
    {"model_type", USED, 0},
    {"hidden_act", USED, 0},
    {"num_hidden_layers", USED, 0},
    {"hidden_size", USED, 0},
    {"num_attention_heads", USED, 0},
    {"num_key_value_heads", USED, 0},
    {"head_dim", USED, 0},
    {"intermediate_size", USED, 0},
    {"vocab_size", USED, 0},
    {"max_position_embeddings", USED, 0},
    {"rms_norm_eps", USED, 0},
    {"rope_theta", USED, 0},
    {"rope_scaling", USED, 0},
    {"rope_parameters", USED, 0},
    {"partial_rotary_factor", USED, 0},
    {"original_max_position_embeddings", USED, 0},
    {"tie_word_embeddings", USED, 0},
    {"bos_token_id", USED, 0},
    {"eos_token_id", USED, 0},
    {"sliding_window", USED, 0},
    {"use_sliding_window", USED, 0},
    {"layer_types", USED, 0},
    {"hidden_activation", USED, 0},
    {"sliding_window_pattern", OFF, ARCHITECTURE_LOCAL_ROPE},
    {"_sliding_window_pattern", HARMLESS, 0}, /* where layer_types says it already */
    {"cache_implementation", HARMLESS, 0},
    /* about training, files, generation, and other libraries */
    {"architectures", HARMLESS, 0},
    {"torch_dtype", HARMLESS, 0},
    {"dtype", HARMLESS, 0},
    {"transformers_version", HARMLESS, 0},
    {"_name_or_path", HARMLESS, 0},
    {"use_cache", HARMLESS, 0},
    {"initializer_range", HARMLESS, 0},
    {"attention_dropout", HARMLESS, 0},
    {"hidden_dropout", HARMLESS, 0},
    {"hidden_dropout_prob", HARMLESS, 0},
    {"attention_probs_dropout_prob", HARMLESS, 0},
    {"embd_pdrop", HARMLESS, 0},
    {"resid_pdrop", HARMLESS, 0},
    {"attn_pdrop", HARMLESS, 0},
    {"pretraining_tp", HARMLESS, 0},
    {"pad_token_id", HARMLESS, 0},
    {"unk_token_id", HARMLESS, 0},
    {"sep_token_id", HARMLESS, 0},
    {"decoder_start_token_id", HARMLESS, 0},
    {"attn_implementation", HARMLESS, 0},
    {"_attn_implementation", HARMLESS, 0},
    {"_attn_implementation_autoset", HARMLESS, 0},
    {"transformers.js_config", HARMLESS, 0},
    {"is_llama_config", HARMLESS, 0},
    {"is_decoder", HARMLESS, 0},
    {"output_attentions", HARMLESS, 0},
    {"output_hidden_states", HARMLESS, 0},
    {"return_dict", HARMLESS, 0},
    {"torchscript", HARMLESS, 0},
    {"use_bfloat16", HARMLESS, 0},
    {"_commit_hash", HARMLESS, 0},
    {"task_specific_params", HARMLESS, 0},
    {"id2label", HARMLESS, 0},
    {"label2id", HARMLESS, 0},
    {"problem_type", HARMLESS, 0},
    {"finetuning_task", HARMLESS, 0},
    {"gradient_checkpointing", HARMLESS, 0},
    {"tokenizer_class", HARMLESS, 0},
    {"max_window_layers", HARMLESS, 0},
    {"do_sample", HARMLESS, 0},
    {"temperature", HARMLESS, 0},
    {"top_k", HARMLESS, 0},
    {"top_p", HARMLESS, 0},
    {"typical_p", HARMLESS, 0},
    {"max_length", HARMLESS, 0},
    {"min_length", HARMLESS, 0},
    {"num_beams", HARMLESS, 0},
    {"num_beam_groups", HARMLESS, 0},
    {"num_return_sequences", HARMLESS, 0},
    {"diversity_penalty", HARMLESS, 0},
    {"early_stopping", HARMLESS, 0},
    {"length_penalty", HARMLESS, 0},
    {"repetition_penalty", HARMLESS, 0},
    {"no_repeat_ngram_size", HARMLESS, 0},
    {"encoder_no_repeat_ngram_size", HARMLESS, 0},
    {"exponential_decay_length_penalty", HARMLESS, 0},
    {"remove_invalid_values", HARMLESS, 0},
    {"output_scores", HARMLESS, 0},
    {"return_dict_in_generate", HARMLESS, 0},
    {"bad_words_ids", HARMLESS, 0},
    {"suppress_tokens", HARMLESS, 0},
    {"begin_suppress_tokens", HARMLESS, 0},
    {"forced_bos_token_id", HARMLESS, 0},
    {"forced_eos_token_id", HARMLESS, 0},
    {"prefix", HARMLESS, 0},
    {"tf_legacy_loss", HARMLESS, 0},
    {"chunk_size_feed_forward", HARMLESS, 0},
    {"unsloth_version", HARMLESS, 0},
    {"unsloth_fixed", HARMLESS, 0},
    /* other arithmetic */
    {"attention_bias", OFF, 0},
    {"mlp_bias", OFF, 0},
    {"qkv_bias", OFF, 0},
    {"bias", OFF, 0},
    {"use_bias", OFF, 0},
    {"no_bias", OFF, 0},
    {"rope_interleaved", OFF, 0},
    {"is_encoder_decoder", OFF, 0},
    {"add_cross_attention", OFF, 0},
    {"cross_attention_hidden_size", OFF, 0},
    {"tie_encoder_decoder", OFF, 0},
    {"pruned_heads", OFF, 0},
    {"use_bidirectional_attention", OFF, 0},
    {"use_qk_norm", OFF, 0},
    {"qk_norm", OFF, 0},
    {"qk_layernorm", OFF, 0},
    {"use_parallel_residual", OFF, 0},
    {"parallel_attn", OFF, 0},
    {"alibi", OFF, 0},
    {"attn_logit_softcapping", OFF, ARCHITECTURE_CAPS},
    {"final_logit_softcapping", OFF, ARCHITECTURE_CAPS},
    {"query_pre_attn_scalar", OFF, ARCHITECTURE_QUERY_SCALAR},
    {"attention_multiplier", OFF, ARCHITECTURE_MULTIPLIERS},
    {"clip_qkv", OFF, 0},
    {"attention_chunk_size", OFF, 0},
    {"no_rope_layers", OFF, ARCHITECTURE_UNROTATED},
    {"no_rope_layer_interval", OFF, ARCHITECTURE_UNROTATED},
    {"num_local_experts", OFF, 0},
    {"num_experts", OFF, 0},
    {"n_routed_experts", OFF, 0},
    {"num_nextn_predict_layers", OFF, 0},
    {"q_lora_rank", OFF, 0},
    {"kv_lora_rank", OFF, 0},
    {"quantization_config", OFF, 0},
    {"rope_local_base_freq", OFF, ARCHITECTURE_LOCAL_ROPE},
    {"attn_temperature_tuning", OFF, 0},
    {"attention_sink", OFF, 0},
    {"attention_sinks", OFF, 0},
    {"auto_map", OFF, 0},
    {"residual_multiplier", ONE, ARCHITECTURE_MULTIPLIERS},
    {"embedding_multiplier", ONE, ARCHITECTURE_MULTIPLIERS},
    {"logits_scaling", ONE, ARCHITECTURE_MULTIPLIERS},
    {"logit_scale", ONE, 0},
    {"scale_emb", ONE, 0},
    {"rotary_pct", ONE, 0},
    {"rope_pct", ONE, 0},
    {"rope_ratio", ONE, 0},
};
enum { N_KEY = sizeof keys / sizeof *keys };

static int is_off(const struct json *v)
{
    const char *s = json_string(v);
    return !is_set(v) || (json_is_bool(v) && !json_bool(v, 1)) || (json_is_number(v) && json_number(v, 1) == 0) ||
           (s && !*s) || ((json_is_array(v) || json_is_object(v)) && json_size(v) == 0);
}

static int check_key(const struct json *v, const struct architecture *a, const char *file, struct str *notes,
                     struct err *e)
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
    if (keys[k].used_with & a->options)
        return 0;
    if (keys[k].rule == OFF && !is_off(v))
        return refuse(file, "", v, "nothing (null, false or 0): the forward pass here has no such thing", e);
    if (keys[k].rule == ONE && is_set(v) && !(json_is_number(v) && json_number(v, 0) == 1))
        return refuse(file, "", v, "1: the forward pass here has no such factor", e);
    return 0;
}

static int check_keys(const struct json *c, const struct architecture *a, const char *file, struct str *notes,
                      struct err *e)
{
    const char *dup;
    if (json_has_duplicate(c, &dup))
        return err_set(e, ERR_FORMAT, "%s: key '%s' appears twice", file, dup);
    for (const struct json *v = json_first(c); v; v = json_next(v))
        if (check_key(v, a, file, notes, e))
            return -1;
    return 0;
}

/* ---- layers ---------------------------------------------------------------------------------- */

/* An architecture without windows may say that it has none, in any of the ways in use. */
static int check_no_window(const struct json *c, const char *file, struct err *e)
{
    const struct json *window = json_get(c, "sliding_window"), *types = json_get(c, "layer_types"),
                      *uses = json_get(c, "use_sliding_window");
    if (!is_off(uses))
        return refuse(file, "", uses, "false: this architecture has no windows here", e);
    if (!is_off(window) && !json_is_bool(uses))
        return refuse(file, "", window, "null: this architecture has no windows here (or use_sliding_window: false)",
                      e);
    for (const struct json *t = json_first(types); t; t = json_next(t))
        if (!json_string(t) || strcmp(json_string(t), "full_attention") != 0)
            return refuse(file, "", types, "full_attention alone", e);
    return 0;
}

/* layer_types where it is there; otherwise the architecture's rule. */
static int read_layer_types(const struct json *c, const struct architecture *a, const char *file, struct hparams *hp,
                            struct err *e)
{
    const struct json *types = json_get(c, "layer_types");
    int from = a->period, l = 0;
    if (a->windows == ARCHITECTURE_LAST_WINDOWED && get_int(c, file, "max_window_layers", 28, &from, e))
        return -1;
    if ((a->options & ARCHITECTURE_LOCAL_ROPE) && get_int(c, file, "sliding_window_pattern", a->period, &from, e))
        return -1;
    if (architecture_set_windows(a, hp, from, e))
        return err_wrap(e, "%s", file);
    if (!is_set(types))
        return 0;
    if (json_size(types) != hp->n_layer)
        return err_set(e, ERR_SHAPE, "%s: layer_types has %d entries, expected num_hidden_layers (%d)", file,
                       json_size(types), hp->n_layer);
    for (const struct json *t = json_first(types); t; t = json_next(t), l++) {
        const char *s = json_string(t);
        int windowed = s && strcmp(s, "sliding_attention") == 0;
        if (!windowed && !(s && strcmp(s, "full_attention") == 0))
            return refuse(file, "", types, "full_attention and sliding_attention alone", e);
        if (windowed && !hp->window)
            return refuse(file, "", types, "full_attention alone, since there is no sliding_window", e);
        if (a->windows == ARCHITECTURE_ALL_WINDOWED && windowed != (hp->layer_kinds[l] == MODEL_LAYER_WINDOW))
            return refuse(file, "", types, "what sliding_window says: all layers of this architecture are alike", e);
        hp->layer_kinds[l] = windowed ? MODEL_LAYER_WINDOW : MODEL_LAYER_FULL;
    }
    return 0;
}

/* A window that is left out is the architecture's own; null is none. */
static int read_windows(const struct json *c, const struct architecture *a, const char *file, struct hparams *hp,
                        struct err *e)
{
    const struct json *window = json_get(c, "sliding_window");
    int used = 1;
    if ((a->options & ARCHITECTURE_WINDOW_SWITCH) && get_bool(c, file, "use_sliding_window", 0, &used, e))
        return -1;
    if (!window)
        hp->window = a->window;
    else if (is_set(window) && get_int(c, file, "sliding_window", 0, &hp->window, e))
        return -1;
    else if (is_set(window) && hp->window < 1)
        return refuse(file, "", window, "an integer of at least 1, or null", e);
    hp->window = used ? hp->window : 0;
    return read_layer_types(c, a, file, hp, e);
}

/* no_rope_layers: 1 for layers that rotate, 0 for those that don't; without it every interval-th doesn't. */
static int read_unrotated(const struct json *c, const struct architecture *a, const char *file, struct hparams *hp,
                          struct err *e)
{
    const struct json *list = json_get(c, "no_rope_layers");
    int interval = a->period, l = 0;
    if (get_int(c, file, "no_rope_layer_interval", a->period, &interval, e))
        return -1;
    if (architecture_set_unrotated(hp, interval, e))
        return err_wrap(e, "%s", file);
    if (is_set(list) && json_size(list) != hp->n_layer)
        return err_set(e, ERR_SHAPE, "%s: no_rope_layers has %d entries, expected num_hidden_layers (%d)", file,
                       json_size(list), hp->n_layer);
    for (const struct json *v = is_set(list) ? json_first(list) : NULL; v; v = json_next(v), l++) {
        if (!json_is_number(v) || (json_number(v, 2) != 0 && json_number(v, 2) != 1))
            return refuse(file, "", list, "0 and 1 alone", e);
        hp->layer_kinds[l] = json_number(v, 1) == 0 ? MODEL_LAYER_UNROTATED : MODEL_LAYER_FULL;
    }
    return 0;
}

static int read_layers(const struct json *c, const struct architecture *a, const char *file, struct hparams *hp,
                       struct err *e)
{
    if (a->options & ARCHITECTURE_WINDOW)
        return read_windows(c, a, file, hp, e);
    if (check_no_window(c, file, e))
        return -1;
    return a->options & ARCHITECTURE_UNROTATED ? read_unrotated(c, a, file, hp, e) : 0;
}

/* ---- caps and scales ------------------------------------------------------------------------- */

/* A number that some architectures have; null is none, and what is left out is the architecture's own. */
static int read_option(const struct json *c, const char *file, const char *key, double own, double *out, struct err *e)
{
    const struct json *v = json_get(c, key);
    *out = v ? 0 : own;
    return is_set(v) ? get_real(c, file, key, 0, out, e) : 0;
}

static int read_options(const struct json *c, const struct architecture *a, const char *file, struct hparams *hp,
                        struct err *e)
{
    double embedding = 0, scores = 0, logits = 0;
    if ((a->options & ARCHITECTURE_CAPS) &&
        (read_option(c, file, "attn_logit_softcapping", a->attention_cap, &hp->attention_cap, e) ||
         read_option(c, file, "final_logit_softcapping", a->logit_cap, &hp->logit_cap, e)))
        return -1;
    if ((a->options & ARCHITECTURE_QUERY_SCALAR) &&
        get_real(c, file, "query_pre_attn_scalar", a->query_scalar, &hp->query_scalar, e))
        return -1;
    if (!(a->options & ARCHITECTURE_MULTIPLIERS))
        return 0;
    if (get_real(c, file, "embedding_multiplier", 1, &embedding, e) ||
        get_real(c, file, "residual_multiplier", 1, &hp->residual_scale, e) ||
        get_real(c, file, "attention_multiplier", 1, &scores, e) || get_real(c, file, "logits_scaling", 1, &logits, e))
        return -1;
    architecture_set_multipliers(hp, embedding, scores, logits);
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

/* What transformers writes beside the two objects when no layer uses one of them; it says nothing. */
static int is_left_over(const struct json *v)
{
    const char *type = json_string(v);
    return (strcmp(json_key(v), "rope_theta") == 0 && json_is_null(v)) ||
           (strcmp(json_key(v), "rope_type") == 0 && type && strcmp(type, "default") == 0);
}

static const struct json *rope_of_full_layers(const struct json *o, const char *file, struct err *e)
{
    const struct json *full = json_get(o, "full_attention");
    for (const struct json *v = json_first(o); v; v = json_next(v))
        if (!is_left_over(v) && (!json_is_object(v) || (strcmp(json_key(v), "full_attention") != 0 &&
                                                        strcmp(json_key(v), "sliding_attention") != 0))) {
            err_set(e, ERR_UNSUPPORTED,
                    "%s: rope_parameters.%.80s: expected the objects full_attention and sliding_attention", file,
                    json_key(v));
            return NULL;
        }
    if (!full)
        err_set(e, ERR_FORMAT, "%s: rope_parameters.full_attention missing", file);
    return full;
}

static int find_rope(const struct json *c, const struct architecture *a, const char *file, struct rope_source *r,
                     struct err *e)
{
    const char *names[] = {"rope_scaling", "rope_parameters"};
    const struct json *o[2];
    for (int i = 0; i < 2; i++) {
        const char *dup;
        o[i] = json_get(c, names[i]);
        if (is_set(o[i]) && !json_is_object(o[i]))
            return err_set(e, ERR_FORMAT, "%s: key '%s' is no object", file, names[i]);
        if (o[i] && json_has_duplicate(o[i], &dup))
            return err_set(e, ERR_FORMAT, "%s: %s: key '%s' appears twice", file, names[i], dup);
        if (i == 1 && (a->options & ARCHITECTURE_LOCAL_ROPE) && json_size(o[i]) > 0) {
            names[i] = "rope_parameters.full_attention";
            if (!(o[i] = rope_of_full_layers(o[i], file, e)))
                return -1;
            if (json_has_duplicate(o[i], &dup))
                return err_set(e, ERR_FORMAT, "%s: %s: key '%s' appears twice", file, names[i], dup);
        }
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
    static const char *const longrope[] = {"short_factor", "long_factor", "factor", "attention_factor"};
    static const char *const scales[] = {"factor", "attention_factor", "mscale", "mscale_all_dim"};
    for (const struct json *v = json_first(o); v; v = json_next(v)) {
        const char *key = json_key(v);
        int known = json_is_null(v), neutral = 0;
        for (size_t i = 0; i < sizeof always / sizeof *always; i++)
            known |= strcmp(key, always[i]) == 0;
        for (size_t i = 0; i < 2; i++)
            known |= strcmp(type, "llama3") == 0 && strcmp(key, llama3[i]) == 0;
        for (size_t i = 0; i < sizeof longrope / sizeof *longrope; i++)
            known |= strcmp(type, "longrope") == 0 && strcmp(key, longrope[i]) == 0;
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

/* original_max_position_embeddings, which may stand inside or beside; *out comes in as what its absence means. */
static int read_original(const struct json *c, const struct rope_source *r, const char *file, int *out, struct err *e)
{
    double original = *out;
    int found;
    if (rope_number(c, r, file, "original_max_position_embeddings", &original, &found, e))
        return -1;
    if (!(original >= 1 && original <= DIMS_MAX_CONTEXT) || original != floor(original))
        return err_set(e, ERR_SHAPE, "%s: original_max_position_embeddings is %g, expected an integer from 1 to %d",
                       file, original, (int)DIMS_MAX_CONTEXT);
    *out = (int)original;
    return 0;
}

static int read_llama3(const struct json *c, const struct rope_source *r, const char *file, struct hparams *hp,
                       struct err *e)
{
    hp->rope_scaling = MODEL_ROPE_LLAMA3;
    hp->rope_original_context = hp->context_length;
    if (required(r, file, "low_freq_factor", &hp->rope_low_freq_factor, e) ||
        required(r, file, "high_freq_factor", &hp->rope_high_freq_factor, e) ||
        read_original(c, r, file, &hp->rope_original_context, e))
        return -1;
    return 0;
}

/* One list of longrope: a positive number for each pair that rotates. */
static int read_factors(const struct rope_source *r, const char *file, const char *key, int pairs, float *out,
                        struct err *e)
{
    const struct json *list = json_get(r->main, key), *other = json_get(r->other, key);
    int i = 0;
    if (!json_is_array(list))
        return err_set(e, ERR_FORMAT, "%s: %s.%s %s, expected a list of %d factors", file, r->name, key,
                       is_set(list) ? "is no list" : "missing", pairs);
    if (is_set(other) && !json_same(list, other))
        return err_set(e, ERR_UNSUPPORTED, "%s: %s.%s and %s.%s differ: which one holds can't be told", file, r->name,
                       key, r->other_name, key);
    if (json_size(list) != pairs)
        return err_set(e, ERR_SHAPE, "%s: %s.%s has %d factors, expected %d, one for each pair that rotates", file,
                       r->name, key, json_size(list), pairs);
    for (const struct json *v = json_first(list); v; v = json_next(v), i++) {
        float x = (float)json_number(v, 0);
        if (!json_is_number(v) || !(x > 0 && isfinite(x)))
            return err_set(e, ERR_FORMAT, "%s: %s.%s: factor %d is no number above zero", file, r->name, key, i);
        out[i] = x;
    }
    return 0;
}

/* Attention grows with the root of how much longer texts may be than those of the first training, on a logarithmic
 * scale; config.json may give that ratio, or what follows from it. */
static int read_longrope(const struct json *c, const struct rope_source *r, const char *file, struct hparams *hp,
                         struct err *e)
{
    int original = 4096, pairs = model_rope_pairs(hp), found, rc = -1; /* 4096: Phi-3's where it is left out */
    double ratio, attention = 1;
    float *factor = NULL, *longs;
    if (pairs < 1 || pairs > DIMS_MAX_HEAD_DIM / 2)
        return err_set(e, ERR_SHAPE, "%s: %d pairs of a head rotate, expected 1 to %d", file, pairs,
                       DIMS_MAX_HEAD_DIM / 2);
    if (read_original(c, r, file, &original, e))
        return -1;
    ratio = (double)hp->context_length / original;
    if (rope_number(NULL, r, file, "factor", &ratio, &found, e))
        return -1;
    if (ratio > 1 && original > 1)
        attention = sqrt(1 + log(ratio) / log((double)original));
    if (rope_number(NULL, r, file, "attention_factor", &attention, &found, e))
        return -1;
    factor = mem_new(2 * (size_t)pairs, sizeof *factor);
    longs = factor + pairs;
    if (read_factors(r, file, "long_factor", pairs, longs, e) == 0 &&
        read_factors(r, file, "short_factor", pairs, factor, e) == 0)
        rc = architecture_set_longrope(hp, factor, longs, original, attention, e);
    mem_free(factor);
    return rc;
}

/* Phi-3's first files say "su". */
static const char *scaling_meant(const struct architecture *a, const char *type)
{
    return (a->options & ARCHITECTURE_LONGROPE) && strcmp(type, "su") == 0 ? "longrope" : type;
}

/* Layers with a window have their own base, and nothing else. */
static int read_local_rope(const struct json *c, const struct architecture *a, const char *file, struct hparams *hp,
                           struct err *e)
{
    static const char where[] = "rope_parameters.sliding_attention";
    struct rope_source r = {
        .main = json_get(json_get(c, "rope_parameters"), "sliding_attention"), .name = where, .other_name = ""};
    const char *type;
    int found;
    if (!(a->options & ARCHITECTURE_LOCAL_ROPE))
        return 0;
    if (get_real(c, file, "rope_local_base_freq", a->rope_local_base, &hp->rope_local_base, e))
        return -1;
    if (!r.main)
        return 0;
    if (rope_type(r.main, file, where, &type, e) || check_rope_keys(r.main, file, where, type, e))
        return -1;
    if (strcmp(type, "default") != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: %s: rope_type '%s', expected default", file, where, type);
    double base = a->rope_local_base;
    if (rope_number(NULL, &r, file, "rope_theta", &base, &found, e))
        return -1;
    if (is_set(json_get(c, "rope_local_base_freq")) && base != hp->rope_local_base)
        return err_set(e, ERR_UNSUPPORTED,
                       "%s: rope_local_base_freq is %g, but %s.rope_theta is %g: which one holds can't be told", file,
                       hp->rope_local_base, where, base);
    hp->rope_local_base = base;
    return 0;
}

static int read_rope(const struct json *c, const struct architecture *a, const char *file, struct hparams *hp,
                     struct err *e)
{
    struct rope_source r = {0};
    const char *type, *other;
    double partial = 1;
    int found;
    hp->rope_base = a->rope_base;
    hp->rope_factor = 1;
    hp->rope_scaling = MODEL_ROPE_PLAIN;
    if (read_local_rope(c, a, file, hp, e) || find_rope(c, a, file, &r, e) ||
        rope_type(r.main, file, r.name, &type, e) || rope_type(r.other, file, r.other_name, &other, e) ||
        rope_number(c, &r, file, "rope_theta", &hp->rope_base, &found, e) ||
        rope_number(c, &r, file, "partial_rotary_factor", &partial, &found, e))
        return -1;
    if (a->options & ARCHITECTURE_PARTIAL_ROPE && partial > 0 && partial <= 1)
        hp->rope_dim = (int)(hp->head_dim * partial);
    else if (partial != 1)
        return err_set(e, ERR_UNSUPPORTED, "%s: partial_rotary_factor is %g, expected 1: whole heads rotate here", file,
                       partial);
    type = scaling_meant(a, type);
    other = scaling_meant(a, other);
    if (strcmp(other, "default") != 0 && strcmp(other, type) != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: %s says '%s', and %s says '%s': which one holds can't be told", file,
                       r.name, type, r.other_name, other);
    int linear = strcmp(type, "linear") == 0, llama3 = strcmp(type, "llama3") == 0;
    int longrope = strcmp(type, "longrope") == 0 && (a->options & ARCHITECTURE_LONGROPE);
    if (!linear && !llama3 && !longrope && strcmp(type, "default") != 0)
        return err_set(e, ERR_UNSUPPORTED, "%s: %s: rope_type '%s'; known: default, linear, llama3%s", file, r.name,
                       type, a->options & ARCHITECTURE_LONGROPE ? ", longrope" : "");
    if (check_rope_keys(r.main, file, r.name, type, e) || check_rope_keys(r.other, file, r.other_name, type, e))
        return -1;
    if (longrope)
        return read_longrope(c, &r, file, hp, e);
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
static int check_activation(const struct json *c, const struct architecture *a, const char *file, struct err *e)
{
    static const struct {
        const char *word;
        enum model_activation is;
    } words[] = {{"silu", MODEL_SILU},
                 {"swish", MODEL_SILU},
                 {"gelu_pytorch_tanh", MODEL_GELU_TANH},
                 {"gelu_new", MODEL_GELU_TANH},
                 {"gelu_fast", MODEL_GELU_TANH}};
    const struct json *act = json_get(c, a->activation_key ? a->activation_key : "hidden_act");
    const char *s = json_string(act);
    for (size_t i = 0; s && i < sizeof words / sizeof *words; i++)
        if (strcmp(s, words[i].word) == 0 && words[i].is == a->activation)
            return 0;
    return act ? refuse(file, "", act, a->activation == MODEL_SILU ? "'silu'" : "'gelu_pytorch_tanh'", e) : 0;
}

static int read_sizes(const struct json *c, const struct architecture *a, const char *file, struct hparams *hp,
                      struct err *e)
{
    double eps = 0;
    if (get_int(c, file, "num_hidden_layers", -1, &hp->n_layer, e) ||
        get_int(c, file, "hidden_size", -1, &hp->d_model, e) ||
        get_int(c, file, "num_attention_heads", -1, &hp->n_head, e) ||
        get_int(c, file, "num_key_value_heads", a->kv_as_heads ? hp->n_head : -1, &hp->n_kv_head, e) ||
        get_int(c, file, "head_dim",
                a->head_dim  ? a->head_dim
                : hp->n_head ? hp->d_model / hp->n_head
                             : 0,
                &hp->head_dim, e) ||
        get_int(c, file, "intermediate_size", -1, &hp->d_ff, e) ||
        get_int(c, file, "vocab_size", -1, &hp->n_vocab, e) ||
        get_int(c, file, "max_position_embeddings", a->context ? a->context : -1, &hp->context_length, e) ||
        get_real(c, file, "rms_norm_eps", a->norm_eps, &eps, e) ||
        get_bool(c, file, "tie_word_embeddings", a->tied, &hp->tied, e))
        return -1;
    hp->norm_eps = (float)eps;
    hp->norm_offset = a->one_plus ? 1 : 0;
    return 0;
}

int import_hf_config_read(const struct json *c, const char *file, struct hparams *hp, struct str *notes, struct err *e)
{
    if (!json_is_object(c))
        return err_set(e, ERR_FORMAT, "%s: no JSON object", file);
    const struct architecture *a = find_architecture(c, file, e);
    if (!a)
        return -1;
    architecture_begin(a, hp);
    if (check_activation(c, a, file, e) || check_keys(c, a, file, notes, e) || read_sizes(c, a, file, hp, e) ||
        read_rope(c, a, file, hp, e) || read_layers(c, a, file, hp, e) || read_options(c, a, file, hp, e))
        return -1;
    architecture_finish(a, hp);
    return hparams_check(hp, e) ? err_wrap(e, "%s", file) : 0;
}
