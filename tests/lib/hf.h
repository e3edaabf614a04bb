/* A Hugging Face folder in a temporary place: a tiny model (1 layer, width 8, 2 query heads of 4, 1 KV head,
 * feed-forward 6, 5 tokens, untied), its parts as a test wants them, and what import makes of it. */
#ifndef TESTS_HF_H
#define TESTS_HF_H

#include "harness/base/str.h"
#include "models/model.h"

extern char hf_folder[64], hf_output[96]; /* between setup and teardown */
void hf_setup(void);
void hf_teardown(void);

void hf_write(const char *name, const char *data, size_t n);
void hf_write_text(const char *name, const char *text);

enum { HF_N_ROW = 12 };
const char *hf_row_name(int r); /* of the tensors, in order of name */
float hf_value_at(int tensor, int i);

/* What a file of weights does differently. */
struct hf_change {
    const char *skip;      /* a tensor */
    int bare;              /* names without "model." */
    int head_is_embedding; /* lm_head.weight has the embedding's values */
    int tensor, at;        /* value `at` of `tensor` is `value`, where `value` is not zero */
    float value;
};
/* Rows first .. end - 1 as one safetensors file; element type by row: F32, F16, BF16 in turn. change may be NULL. */
void hf_build(struct str *out, int first, int end, const struct hf_change *change);
void hf_write_folder(void);

struct err;
int hf_import(struct err *e);
const char *hf_import_says(void); /* "" when it works, otherwise the message; there must be no output then */
struct model *hf_import_and_open(void);

#define HF_SIZES HF_SIZES_TIED("false")
#define HF_SIZES_TIED(tied) \
    "\"model_type\":\"llama\",\"num_hidden_layers\":1,\"hidden_size\":8,\"num_attention_heads\":2," \
    "\"num_key_value_heads\":1,\"intermediate_size\":6,\"vocab_size\":5,\"max_position_embeddings\":128," \
    "\"hidden_act\":\"silu\",\"rms_norm_eps\":1e-05,\"tie_word_embeddings\":" tied ",\"eos_token_id\":3"
#define HF_LLAMA3 \
    "\"factor\":8.0,\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":64," \
    "\"rope_type\":\"llama3\""
#define HF_V4 "{" HF_SIZES ",\"rope_theta\":500000.0,\"rope_scaling\":{" HF_LLAMA3 "}}"
#define HF_V5 "{" HF_SIZES ",\"rope_parameters\":{\"rope_theta\":500000.0," HF_LLAMA3 "}}"

#define HF_SMOLLM_PRE \
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Digits\",\"individual_digits\":" \
    "true},{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]}"
#define HF_VOCAB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}"
#define HF_ADDED HF_ADDED_AND("")
#define HF_ADDED_AND(more) \
    "\"added_tokens\":[{\"id\":3,\"content\":\"<|im_end|>\",\"special\":true}," \
    "{\"id\":4,\"content\":\"<x>\",\"special\":false}" more "]"
#define HF_TOKENIZER(merges) \
    "{" HF_ADDED ",\"normalizer\":null," HF_SMOLLM_PRE ",\"model\":{\"type\":\"BPE\"," HF_VOCAB ",\"merges\":" merges \
    "}}"

#endif
