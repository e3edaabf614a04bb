#!/usr/bin/env python3
"""A Hugging Face folder of a Llama of some shape whose weights are random numbers: random_llama.py SHAPE FOLDER

How long a pass takes follows from the shape alone, so a machine without a network can be measured too. Both sides read this
one folder. Tokens are the 256 bytes and an end of text; the other rows of the vocabulary have none, but take their time.
"""
import json
import os
import sys

#         layers, width, heads, KV heads, head_dim, inner, vocabulary
SHAPES = {
    "tiny": (3, 128, 4, 2, 32, 352, 1000),            # to try the scripts
    "135m": (30, 576, 9, 3, 64, 1536, 49152),         # SmolLM2-135M
    "1b": (16, 2048, 32, 8, 64, 8192, 128256),        # Llama 3.2 1B
}
CONTEXT = 16384
POOL = 1 << 24


def tensors(shape):
    """Yields name, rows, columns; of a norm columns is 0."""
    layers, width, heads, kv_heads, head_dim, inner, vocabulary = SHAPES[shape]
    yield "model.embed_tokens.weight", vocabulary, width  # also the output matrix
    yield "model.norm.weight", width, 0
    for i in range(layers):
        at = f"model.layers.{i}."
        yield at + "input_layernorm.weight", width, 0
        yield at + "post_attention_layernorm.weight", width, 0
        for name, n in (("q", heads), ("k", kv_heads), ("v", kv_heads)):
            yield at + f"self_attn.{name}_proj.weight", n * head_dim, width
        yield at + "self_attn.o_proj.weight", width, heads * head_dim
        yield at + "mlp.gate_proj.weight", inner, width
        yield at + "mlp.up_proj.weight", inner, width
        yield at + "mlp.down_proj.weight", width, inner


def weights(shape):
    """bf16 numbers of deviation 1 / sqrt(columns), cut out of one pool of random numbers: drawing a billion takes long."""
    import torch
    pool = torch.randn(POOL, generator=torch.Generator().manual_seed(1))
    out, at = {}, 0
    for name, rows, columns in tensors(shape):
        if not columns:
            out[name] = torch.ones(rows, dtype=torch.bfloat16)
            continue
        scaled = (pool * columns ** -0.5).to(torch.bfloat16)
        parts, need = [], rows * columns
        while need:
            take = min(need, POOL - at)
            parts.append(scaled[at:at + take])
            at, need = (at + take) % POOL, need - take
        out[name] = torch.cat(parts).reshape(rows, columns)
        at = (at + 12345) % POOL
    return out


def config(shape):
    layers, width, heads, kv_heads, head_dim, inner, vocabulary = SHAPES[shape]
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": width,
            "intermediate_size": inner, "num_hidden_layers": layers, "num_attention_heads": heads,
            "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": vocabulary, "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0, "max_position_embeddings": CONTEXT, "tie_word_embeddings": True,
            "attention_bias": False, "mlp_bias": False, "bos_token_id": 256, "eos_token_id": 256,
            "torch_dtype": "bfloat16"}


def byte_letters():
    """The letter that stands for each byte in a byte-level vocabulary: printable ones for themselves, the others from 256 on."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [b for b in range(256) if b not in shown]
    return {b: chr(b) if b in shown else chr(256 + others.index(b)) for b in range(256)}


def tokenizer():
    end = "<|end_of_text|>"
    return {"version": "1.0", "truncation": None, "padding": None, "normalizer": None,
            "added_tokens": [{"id": 256, "content": end, "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True}],
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
            "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                                                "use_regex": True},
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                      "vocab": {letter: b for b, letter in byte_letters().items()} | {end: 256}, "merges": []}}


def write(shape, folder):
    from safetensors.torch import save_file
    os.makedirs(folder, exist_ok=True)
    save_file(weights(shape), os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    for name, what in (("config.json", config(shape)), ("tokenizer.json", tokenizer())):
        with open(os.path.join(folder, name), "w", encoding="ascii") as f:
            json.dump(what, f)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        sys.exit(f"usage: random_llama.py SHAPE FOLDER, SHAPE one of: {' '.join(SHAPES)}")
    write(*sys.argv[1:])
