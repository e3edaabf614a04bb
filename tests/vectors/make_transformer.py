#!/usr/bin/env python3
"""Writes transformer.json: tiny random models of every architecture by Hugging Face transformers, for
tests/test_transformer_vectors.c.

    python3 make_transformer.py transformer.json        (needs torch, transformers and gguf)

Of each model: config.json as transformers writes it, the names of its tensors (ours, Hugging Face's, and GGUF's by the gguf
package), the metadata that llama.cpp's converter writes for it (null where GGUF can't say what the model is), logits of some
rows, and what every layer reads (hidden states) of two rows.

`pruned`: a longer text, of which the first n tokens are a prompt; what stays of it in every layer and KV head (a letter an entry,
1 stays; null: the layer is whole), and logits of two rows behind it by pruned.py. Cases: `full`, nothing is removed;
`prunable`, layers with a window stay whole; `windows`, those are pruned too. `packed`: the same with packed positions.

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

import pruned
from llama64 import hashed

T = 40
N_PROMPT, N_FED = 160, 30
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


def longrope(pairs):
    """The ratio is large so that the attention factor is far from 1. Of transformers' answers only those of one pass count: it
    takes the factors by the tokens that it has seen so far, so that text fed in pieces is rotated by both lists."""
    return {"rope_type": "longrope", "factor": 32.0, "short_factor": [round(1 + 0.09 * i * i, 2) for i in range(pairs)],
            "long_factor": [2.0 + i for i in range(pairs)]}


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
    ("phi3", 2, 48, 4, 2, 12, 40, 61, False, {"rope_theta": 10000.0, **longrope(6)}, {"original_max_position_embeddings": 200}),
    ("phi3", 2, 48, 3, 1, 16, 40, 53, True, {"rope_theta": 10000.0, **longrope(6), "attention_factor": 1.25},
     {"original_max_position_embeddings": 200, "partial_rotary_factor": 0.75}),
    # longer than the original context: the whole text; prompt and continuation together, but neither the prompt nor the first text
    ("phi3", 2, 48, 4, 2, 12, 40, 61, False, {"rope_theta": 10000.0, **longrope(6)}, {"original_max_position_embeddings": 39}),
    ("phi3", 2, 48, 3, 1, 16, 40, 53, True, {"rope_theta": 10000.0, **longrope(6), "attention_factor": 1.25},
     {"original_max_position_embeddings": 12, "partial_rotary_factor": 0.75}),
    ("phi3", 2, 42, 3, 1, 14, 30, 59, False, {"rope_theta": 500.0, **longrope(7)},
     {"original_max_position_embeddings": 175, "sliding_window": 37}),
    ("olmo2", 2, 40, 4, 2, 10, 36, 61, False, {"rope_theta": 500000.0}, {}),
    ("smollm3", 5, 32, 4, 2, 8, 24, 53, True, {"rope_theta": 2000000.0}, {}),
    ("granite", 2, 32, 4, 2, 8, 24, 61, True, {"rope_theta": 10000.0},
     {"embedding_multiplier": 12.0, "attention_multiplier": 0.2, "residual_multiplier": 0.22, "logits_scaling": 8.0}),
    # shapes at the edge of what there can be
    ("llama", 1, 6, 1, 1, 2, 1, 3, True, {"rope_theta": 10000.0}, {}),
    ("qwen2", 1, 33, 3, 1, 6, 17, 29, False, {"rope_theta": 10000.0, **LLAMA3}, {}),
    ("qwen3", 1, 30, 3, 1, 22, 17, 29, False, {"rope_theta": 1000000.0}, {}),
    ("gemma", 1, 20, 5, 5, 14, 7, 31, False, {"rope_theta": 10000.0}, {}),
    ("gemma2", 1, 24, 3, 3, 10, 19, 31, True, {"rope_theta": 10000.0}, {"sliding_window": 1000, "query_pre_attn_scalar": 10}),
    ("gemma3_text", 3, 27, 3, 1, 18, 11, 37, False,
     {"full_attention": {"rope_type": "default", "rope_theta": 1000000.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
     {"sliding_window": 1, "query_pre_attn_scalar": 18,
      "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}),
    ("gemma3_text", 6, 40, 2, 2, 10, 30, 37, True,
     {"full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000000.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}},
     {"sliding_window": 70, "query_pre_attn_scalar": 10}),
    ("gemma3_text", 4, 26, 5, 1, 8, 23, 29, True,  # no layer is full, and transformers writes keys beside the two rotations
     {"full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
      "sliding_attention": {"rope_type": "default", "rope_theta": 77.0}},
     {"sliding_window": 2, "query_pre_attn_scalar": 7, "final_logit_softcapping": 1.5}),
    ("mistral", 1, 14, 2, 1, 6, 5, 23, True, {"rope_theta": 10000.0}, {"sliding_window": 70}),
    ("phi3", 1, 30, 5, 1, 12, 9, 23, False, {"rope_theta": 10000.0}, {"partial_rotary_factor": 0.5}),
    ("olmo2", 1, 30, 3, 1, 10, 7, 23, True, {"rope_theta": 500000.0}, {}),
    ("smollm3", 2, 21, 3, 1, 8, 13, 23, False, {"rope_theta": 2000000.0}, {"no_rope_layers": [0, 0]}),
    ("granite", 1, 18, 3, 3, 6, 5, 23, False, {"rope_theta": 10000.0},
     {"embedding_multiplier": 3.0, "attention_multiplier": 0.7, "residual_multiplier": 1.5, "logits_scaling": 0.5}),
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


def layer_types_meant(a, c):
    """What a GGUF file of the architecture means by its name alone; None where it means nothing."""
    kinds = {"gemma2": ["sliding_attention", "full_attention"], "gemma3": ["sliding_attention"] * 5 + ["full_attention"]}
    if a == "smollm3" and c.no_rope_layers != [int(l % 4 != 3) for l in range(c.num_hidden_layers)]:
        return []
    period = kinds.get(a)
    return [period[l % len(period)] for l in range(c.num_hidden_layers)] if period else None


def gguf_keys(kind, c, rope, attention_factor):
    """What llama.cpp's converter writes: [key, type, value]; None where it can't say what the model is."""
    a = gguf_name(kind)
    full = rope.get("full_attention", rope)
    scalar = getattr(c, "query_pre_attn_scalar", None)
    if not a or getattr(c, "use_sliding_window", False):
        return None
    if scalar and scalar != c.head_dim:
        return None
    meant = layer_types_meant(a, c)
    if (meant is not None and meant != c.layer_types) or (a == "gemma" and not c.tie_word_embeddings):
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
    if full.get("rope_type") == "longrope":
        keys += [(k.Rope.SCALING_ORIG_CTX_LEN, "u32", c.original_max_position_embeddings),
                 (k.Rope.SCALING_ATTN_FACTOR, "f32", attention_factor)]
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


def keep_rule(layer, heads):
    """About two fifths, other ones and another number of them in every layer and head."""
    j = torch.arange(N_PROMPT)
    return torch.stack([(j * (3 + layer) + 2 * h + j // 7 + layer) % (5 + h % 2) < 2 for h in range(heads)])


def has_window(layer):
    a = layer.self_attn
    return (getattr(a, "sliding_window", None) or
            (a.config.sliding_window if a.config.model_type in ("mistral", "phi3") else None)) is not None


def pruned_of(model, c):
    tokens = [(i * i * 5 + 11 * i + i // 9 + 2) % c.vocab_size for i in range(N_PROMPT + N_FED)]
    everywhere = [keep_rule(l, c.num_key_value_heads) for l in range(c.num_hidden_layers)]
    windows = [has_window(layer) for layer in model.model.layers]
    for keep, windowed in zip(everywhere, windows):
        if windowed:  # it holds the last W entries alone
            keep[:, :max(0, N_PROMPT - c.sliding_window)] = False
    prunable = [None if w else k for w, k in zip(windows, everywhere)]
    cases = [("full", [None] * len(windows))]
    if not all(windows):
        cases.append(("prunable", prunable))
    if any(windows):
        cases.append(("windows", everywhere))
    out = {"n": N_PROMPT, "tokens": tokens, "rows": [N_PROMPT, N_PROMPT + N_FED - 1], "cases": []}

    def logits(keep, packed):
        with torch.no_grad(), pruned.cut(keep, packed):
            got = model(torch.tensor([tokens])).logits[0]
        return [short(got[r]) for r in out["rows"]]

    for name, keep in cases:
        case = {"name": name, "logits": logits(keep, None), "keep": [
            None if k is None else ["".join("01"[int(x)] for x in head) for head in k] for k in keep]}
        if name != "full":
            case["packed"] = logits(keep, pruned.frequencies(model))
        out["cases"].append(case)
    return out


def main():
    out = []
    for kind, layers, width, heads, kv_heads, head_dim, d_ff, vocab, tied, rope, more in MODELS:
        config = transformers.AutoConfig.for_model(
            kind, hidden_size=width, intermediate_size=d_ff, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=kv_heads, head_dim=head_dim, vocab_size=vocab, max_position_embeddings=256,
            rms_norm_eps=1e-5, rope_parameters=json.loads(json.dumps(rope)), tie_word_embeddings=tied,
            pad_token_id=None, bos_token_id=None, eos_token_id=None, **more)
        model = transformers.AutoModelForCausalLM.from_config(config, attn_implementation="eager").double().eval()
        names = fill(model, kind)
        tokens = [(i * i * 7 + 3 * i + 1) % vocab for i in range(T)]
        with torch.no_grad():
            got = model(torch.tensor([tokens]), output_hidden_states=True)
        out.append({
            "config": json.loads(config.to_json_string()), "tensors": tensors_of(kind, names, model.state_dict()),
            "gguf": gguf_keys(kind, config, rope, getattr(model.model.rotary_emb, "attention_scaling", 1.0)), "rope_factors": rope_factors(model, config, rope), "one_plus": int(kind in ONE_PLUS),
            "permuted": int(kind in ("llama", "smollm3", "granite")),
            "tokens": tokens, "rows": ROWS, "logits": [short(got.logits[0][r]) for r in ROWS],
            "hidden_rows": HIDDEN_ROWS,
            "hidden": [[short(got.hidden_states[l][0][r]) for r in HIDDEN_ROWS] for l in range(layers)]})
        model.set_attn_implementation(pruned.NAME)
        with torch.no_grad():
            again = model(torch.tensor([tokens])).logits
        assert (again - got.logits).abs().max() < 1e-5 * got.logits.abs().max(), f"{kind}: pruned.py is not what eager attention is"
        out[-1]["pruned"] = pruned_of(model, config)
    with open(sys.argv[1], "w") as f:
        f.write("[" + ",\n".join(json.dumps(m, separators=(",", ":")) for m in out) + "]\n")


if __name__ == "__main__":
    main()
