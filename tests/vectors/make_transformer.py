#!/usr/bin/env python3
"""Writes transformer.json: tiny random models of every architecture by Hugging Face transformers, for
tests/test_transformer_vectors.c.

    python3 make_transformer.py transformer.json        (needs torch, transformers and gguf)

Of each model: config.json as transformers writes it, the names of its tensors (ours, Hugging Face's, and GGUF's by the gguf
package), the metadata that llama.cpp's converter writes for it (null where GGUF can't say what the model is), logits of some
rows, and what every layer reads (hidden states) of two rows.

Weights are the formula of llama64.hashed; norms: 1 + 0.1 (2 u - 1), less 1 where the model adds it (Gemma); everything else:
0.2 (2 u - 1), matrices and biases alike.
The models run in float64 (the rotation's cosines are float32 in transformers whatever the model's type).
"""
import json
import re
import sys

import gguf
import numpy as np
import torch
import transformers

from llama64 import hashed

T = 40
ROWS = [0, 7, 38, 39]
HIDDEN_ROWS = [11, 39]
NAMES = {"attn_norm": "input_layernorm.weight", "wq": "self_attn.q_proj.weight", "wk": "self_attn.k_proj.weight",
         "wv": "self_attn.v_proj.weight", "bq": "self_attn.q_proj.bias", "bk": "self_attn.k_proj.bias",
         "bv": "self_attn.v_proj.bias", "wo": "self_attn.o_proj.weight", "q_norm": "self_attn.q_norm.weight",
         "k_norm": "self_attn.k_norm.weight", "gate": "mlp.gate_proj.weight", "up": "mlp.up_proj.weight",
         "down": "mlp.down_proj.weight", "qkv": "self_attn.qkv_proj.weight", "gate_up": "mlp.gate_up_proj.weight",
         "ffn_norm": "post_attention_layernorm.weight"}
AROUND = {"ffn_norm": "pre_feedforward_layernorm.weight", "attn_post_norm": "post_attention_layernorm.weight",
          "ffn_post_norm": "post_feedforward_layernorm.weight"}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}

# architecture, layers, width, query heads, KV heads, head_dim, d_ff, vocabulary, tied, rotation, what else the config says
MODELS = [
    ("llama", 2, 32, 4, 4, 8, 24, 61, True, {"rope_theta": 10000.0}, {}),
    ("llama", 3, 64, 6, 3, 16, 72, 83, False, {"rope_theta": 500000.0}, {}),
    ("llama", 2, 108, 9, 3, 12, 50, 97, True, {"rope_theta": 100000.0}, {}),
    ("llama", 2, 40, 5, 1, 8, 33, 45, False, {"rope_theta": 10000.0, **LLAMA3}, {}),
    ("llama", 2, 32, 4, 2, 8, 24, 61, False, {"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}, {}),
    ("mistral", 2, 32, 4, 2, 8, 24, 61, False, {"rope_theta": 10000.0}, {"sliding_window": 9}),
    ("qwen2", 2, 48, 6, 2, 8, 40, 71, True, {"rope_theta": 1000000.0}, {}),
    ("qwen2", 3, 32, 4, 1, 8, 40, 47, False, {"rope_theta": 1000000.0},
     {"use_sliding_window": True, "sliding_window": 6, "max_window_layers": 1}),
    ("qwen3", 2, 40, 4, 2, 16, 40, 71, True, {"rope_theta": 1000000.0}, {}),
    ("gemma", 2, 48, 4, 1, 16, 60, 71, True, {"rope_theta": 10000.0}, {}),
    ("gemma2", 3, 32, 4, 2, 12, 40, 61, True, {"rope_theta": 10000.0},
     {"sliding_window": 7, "query_pre_attn_scalar": 24, "attn_logit_softcapping": 1.5, "final_logit_softcapping": 1.0}),
    ("gemma2", 2, 32, 2, 1, 16, 40, 61, True, {"rope_theta": 10000.0}, {"sliding_window": 5, "query_pre_attn_scalar": 16}),
    ("gemma3_text", 7, 32, 4, 1, 16, 24, 53, True,
     {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
     {"sliding_window": 8, "query_pre_attn_scalar": 16}),
    ("gemma3_text", 3, 32, 4, 2, 8, 24, 53, True,
     {"full_attention": {"rope_type": "default", "rope_theta": 500000.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 3000.0}},
     {"sliding_window": 5, "query_pre_attn_scalar": 20, "final_logit_softcapping": 2.0,
      "layer_types": ["full_attention", "sliding_attention", "full_attention"]}),
    ("phi3", 2, 48, 4, 2, 12, 40, 61, False, {"rope_theta": 10000.0}, {"sliding_window": 9}),
    ("phi3", 2, 48, 3, 1, 16, 40, 53, True, {"rope_theta": 10000.0},
     {"partial_rotary_factor": 0.75}),
    ("olmo2", 2, 40, 4, 2, 10, 36, 61, False, {"rope_theta": 500000.0}, {}),
    ("smollm3", 5, 32, 4, 2, 8, 24, 53, True, {"rope_theta": 2000000.0}, {}),
    ("granite", 2, 32, 4, 2, 8, 24, 61, True, {"rope_theta": 10000.0},
     {"embedding_multiplier": 12.0, "attention_multiplier": 0.2, "residual_multiplier": 0.22, "logits_scaling": 8.0}),
]
ONE_PLUS = ("gemma", "gemma2", "gemma3_text")
GGUF_NAMES = {"gemma3_text": "gemma3", "mistral": None}


def names_of(kind, state):
    """Our name of every tensor of the state and Hugging Face's. Joined matrices are made of whole ones in the test."""
    around = any("feedforward_layernorm" in k for k in state)
    leaves = {theirs: ours for ours, theirs in {**NAMES, **(AROUND if around else {})}.items()}
    fixed = {"model.embed_tokens.weight": "embedding", "model.norm.weight": "output_norm", "lm_head.weight": "output"}
    out = {}
    for theirs in state:
        layer = re.fullmatch(r"model\.layers\.(\d+)\.(.*)", theirs)
        out[fixed[theirs] if not layer else f"layers/{layer[1]}/{leaves[layer[2]]}"] = theirs
    return out


def fill(model, kind):
    state = model.state_dict()
    if model.config.tie_word_embeddings:
        state.pop("lm_head.weight")
    names = names_of(kind, state)
    for ours, theirs in names.items():
        norm = "norm" in ours
        x = hashed(ours, tuple(state[theirs].shape), 0.1 if norm else 0.2, float(norm and kind not in ONE_PLUS))
        state[theirs] = torch.from_numpy(x.astype(np.float64))
    if model.config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return names


def gguf_name(kind):
    return GGUF_NAMES.get(kind, kind)


def gguf_keys(kind, c, rope):
    """What llama.cpp's converter writes: [key, type, value]; None where it can't say what the model is."""
    a = gguf_name(kind)
    full = rope.get("full_attention", rope)
    scalar = getattr(c, "query_pre_attn_scalar", None)
    if not a or getattr(c, "use_sliding_window", False):
        return None
    if scalar and scalar != c.head_dim:
        return None
    k = gguf.Keys
    keys = [(k.LLM.BLOCK_COUNT, "u32", c.num_hidden_layers), (k.LLM.CONTEXT_LENGTH, "u32", c.max_position_embeddings),
            (k.LLM.EMBEDDING_LENGTH, "u32", c.hidden_size), (k.LLM.FEED_FORWARD_LENGTH, "u32", c.intermediate_size),
            (k.Attention.HEAD_COUNT, "u32", c.num_attention_heads),
            (k.Attention.HEAD_COUNT_KV, "u32", c.num_key_value_heads),
            (k.Attention.LAYERNORM_RMS_EPS, "f32", c.rms_norm_eps), (k.Rope.FREQ_BASE, "f32", full["rope_theta"])]
    if getattr(c, "head_dim", None):
        keys += [(k.Attention.KEY_LENGTH, "u32", c.head_dim), (k.Attention.VALUE_LENGTH, "u32", c.head_dim)]
    if full.get("rope_type") == "linear":
        keys += [(k.Rope.SCALING_TYPE, "string", "linear"), (k.Rope.SCALING_FACTOR, "f32", full["factor"])]
    if full.get("rope_type") == "llama3":
        keys.append((k.Rope.SCALING_ORIG_CTX_LEN, "u32", full["original_max_position_embeddings"]))
    if a == "phi3":
        keys.append((k.Rope.DIMENSION_COUNT, "u32", int(c.rope_parameters["partial_rotary_factor"] * c.head_dim)))
    if a in ("gemma2", "gemma3") or (a == "phi3" and c.sliding_window):
        keys.append((k.Attention.SLIDING_WINDOW, "u32", c.sliding_window))
    if a == "gemma2":
        keys += [(k.LLM.ATTN_LOGIT_SOFTCAPPING, "f32", c.attn_logit_softcapping),
                 (k.LLM.FINAL_LOGIT_SOFTCAPPING, "f32", c.final_logit_softcapping)]
    if a == "granite":
        keys += [(k.Attention.SCALE, "f32", c.attention_multiplier), (k.LLM.EMBEDDING_SCALE, "f32", c.embedding_multiplier),
                 (k.LLM.RESIDUAL_SCALE, "f32", c.residual_multiplier), (k.LLM.LOGIT_SCALE, "f32", c.logits_scaling)]
    return [["general.architecture", "string", a]] + [[key.format(arch=a), t, v] for key, t, v in keys]


def rope_factors(model, c, rope):
    """What llama.cpp's converter divides frequencies by: those of the base over those that transformers has."""
    if rope.get("rope_type") != "llama3":
        return None
    plain = rope["rope_theta"] ** (-2.0 * np.arange(c.head_dim // 2) / c.head_dim)
    return [float(f"{x:.8g}") for x in plain / model.model.rotary_emb.inv_freq.numpy()]


def tensors_of(kind, names, state):
    a = gguf_name(kind)
    arch = next((k for k, v in gguf.MODEL_ARCH_NAMES.items() if v == a), None)
    table = gguf.get_tensor_name_map(arch, 16) if arch else None
    out = []
    for ours, theirs in names.items():
        stem, _, suffix = theirs.rpartition(".")
        out.append([ours, theirs, f"{table.get_name(stem)}.{suffix}" if table else None, list(state[theirs].shape)])
    return out


def short(row):
    return [float(f"{x:.8g}") for x in row.tolist()]


def main():
    out = []
    for kind, layers, width, heads, kv_heads, head_dim, d_ff, vocab, tied, rope, more in MODELS:
        config = transformers.AutoConfig.for_model(
            kind, hidden_size=width, intermediate_size=d_ff, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=kv_heads, head_dim=head_dim, vocab_size=vocab, max_position_embeddings=128,
            rms_norm_eps=1e-5, rope_parameters=json.loads(json.dumps(rope)), tie_word_embeddings=tied,
            pad_token_id=None, bos_token_id=None, eos_token_id=None, **more)
        config._attn_implementation = "eager"
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").double().eval()
        names = fill(model, kind)
        tokens = [(i * i * 7 + 3 * i + 1) % vocab for i in range(T)]
        with torch.no_grad():
            got = model(torch.tensor([tokens]), output_hidden_states=True)
        out.append({
            "config": json.loads(config.to_json_string()), "tensors": tensors_of(kind, names, model.state_dict()),
            "gguf": gguf_keys(kind, config, rope), "rope_factors": rope_factors(model, config, rope), "one_plus": int(kind in ONE_PLUS),
            "permuted": int(kind in ("llama", "smollm3", "granite")),
            "tokens": tokens, "rows": ROWS, "logits": [short(got.logits[0][r]) for r in ROWS],
            "hidden_rows": HIDDEN_ROWS,
            "hidden": [[short(got.hidden_states[l][0][r]) for r in HIDDEN_ROWS] for l in range(layers)]})
    with open(sys.argv[1], "w") as f:
        f.write("[" + ",\n".join(json.dumps(m, separators=(",", ":")) for m in out) + "]\n")


if __name__ == "__main__":
    main()
