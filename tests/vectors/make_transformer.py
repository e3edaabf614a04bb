#!/usr/bin/env python3
"""Writes transformer.json: logits of tiny random models by Hugging Face transformers, for tests/test_transformer_vectors.c.

    python3 make_transformer.py transformer.json        (needs torch and transformers; 4.57 and 5.2 give the same)

Weights are the formula of llama64.hashed; norms: 1 + 0.1 (2 u - 1), less 1 where the model adds it (Gemma); everything else:
0.2 (2 u - 1), matrices and biases alike.
The models run in float64 (the rotation's cosines are float32 in transformers whatever the model's type).
"""
import json
import sys

import numpy as np
import torch
import transformers

from llama64 import hashed

T = 40
ROWS = [0, 7, 38, 39]
NAMES = {"attn_norm": "input_layernorm", "wq": "self_attn.q_proj", "wk": "self_attn.k_proj", "wv": "self_attn.v_proj",
         "wo": "self_attn.o_proj", "q_norm": "self_attn.q_norm", "k_norm": "self_attn.k_norm",
         "ffn_norm": "post_attention_layernorm", "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj"}
BIASES = {"bq": "self_attn.q_proj", "bk": "self_attn.k_proj", "bv": "self_attn.v_proj"}

# architecture, layers, width, query heads, KV heads, head_dim, d_ff, vocabulary, tied, RoPE base, RoPE scaling
MODELS = [
    ("llama", 2, 32, 4, 4, 8, 24, 61, True, 10000.0, None),
    ("llama", 3, 64, 6, 3, 16, 72, 83, False, 500000.0, None),
    ("llama", 2, 108, 9, 3, 12, 50, 97, True, 100000.0, None),
    ("llama", 2, 40, 5, 1, 8, 33, 45, False, 10000.0,
     {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 64}),
    ("llama", 2, 32, 4, 2, 8, 24, 61, False, 10000.0, {"rope_type": "linear", "factor": 4.0}),
    ("qwen2", 2, 48, 6, 2, 8, 40, 71, True, 1000000.0, None),
    ("qwen3", 2, 40, 4, 2, 16, 40, 71, True, 1000000.0, None),
    ("gemma", 2, 48, 4, 1, 16, 60, 71, True, 10000.0, None),
]


def numbers(name, shape, scale, middle):
    return torch.from_numpy(hashed(name, shape, scale, middle).astype(np.float64))


def fill(model, kind):
    state = {k: None for k in model.state_dict()}
    shapes = {k: tuple(v.shape) for k, v in model.state_dict().items()}

    def put(ours, theirs):
        if theirs in state:
            norm = "norm" in ours
            state[theirs] = numbers(ours, shapes[theirs], 0.1 if norm else 0.2, float(norm and kind != "gemma"))

    put("embedding", "model.embed_tokens.weight")
    put("output_norm", "model.norm.weight")
    for layer in range(model.config.num_hidden_layers):
        for ours, theirs in NAMES.items():
            put(f"layers/{layer}/{ours}", f"model.layers.{layer}.{theirs}.weight")
        for ours, theirs in BIASES.items():
            put(f"layers/{layer}/{ours}", f"model.layers.{layer}.{theirs}.bias")
    if model.config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    else:
        put("output", "lm_head.weight")
    missing = [k for k, v in state.items() if v is None]
    assert not missing, missing
    model.load_state_dict(state)


def main():
    out = []
    for kind, layers, width, heads, kv_heads, head_dim, d_ff, vocab, tied, base, scaling in MODELS:
        config_class = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config,
                        "qwen3": transformers.Qwen3Config, "gemma": transformers.GemmaConfig}[kind]
        config = config_class(
            hidden_size=width, intermediate_size=d_ff, num_hidden_layers=layers, num_attention_heads=heads,
            num_key_value_heads=kv_heads, head_dim=head_dim, vocab_size=vocab, max_position_embeddings=128,
            rms_norm_eps=1e-5, rope_theta=base, rope_scaling=scaling, tie_word_embeddings=tied,
            attn_implementation="eager", pad_token_id=None, bos_token_id=None, eos_token_id=None)
        model = transformers.AutoModelForCausalLM.from_config(config).double().eval()
        fill(model, kind)
        tokens = [(i * i * 7 + 3 * i + 1) % vocab for i in range(T)]
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0]
        scaling = scaling or {"rope_type": "default"}
        out.append({
            "architecture": kind, "n_layer": layers, "d_model": width, "n_head": heads, "n_kv_head": kv_heads,
            "head_dim": head_dim, "d_ff": d_ff, "n_vocab": vocab, "tied": int(tied), "rope_base": base,
            "rope_scaling": scaling["rope_type"], "rope_factor": scaling.get("factor", 0),
            "rope_low": scaling.get("low_freq_factor", 0), "rope_high": scaling.get("high_freq_factor", 0),
            "rope_original": scaling.get("original_max_position_embeddings", 0),
            "tokens": tokens, "rows": ROWS, "logits": [[float(f"{x:.8g}") for x in logits[r].tolist()] for r in ROWS]})
    with open(sys.argv[1], "w") as f:
        f.write("[" + ",\n".join(json.dumps(m, separators=(",", ":")) for m in out) + "]\n")


if __name__ == "__main__":
    main()
