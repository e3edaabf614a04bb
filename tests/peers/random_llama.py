#!/usr/bin/env python3
"""A Hugging Face folder of a Llama of some shape whose weights are random numbers: random_llama.py SHAPE FOLDER

How long a pass takes follows from the shape alone, so a machine without a network can be measured too. Both sides read this
one folder. Tokens are the 256 bytes and an end of text; the other rows of the vocabulary have none, but take their time.
"""
import json
import os
import re
import sys
from collections import namedtuple

TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../harness/bench/bench_shapes.h")
Shape = namedtuple("Shape", "layer width head kv_head head_dim ff vocab tied")
CONTEXT = 16384
POOL = 1 << 24


def shapes():
    """The table that `depthkv bench --shape` has, by both of its names."""
    found = {}
    with open(TABLE, encoding="ascii") as f:
        for name, also, numbers in re.findall(r'^ *\{"([^"]+)", "([^"]*)", ([0-9, ]+)\}', f.read(), re.M):
            shape = Shape(*[int(n) for n in numbers.split(",")][:len(Shape._fields)])
            found.update({n: shape for n in (name, also) if n})
    return found


def tensors(s):
    """Yields name, rows, columns; of a norm columns is 0."""
    yield "model.embed_tokens.weight", s.vocab, s.width
    if not s.tied:
        yield "lm_head.weight", s.vocab, s.width
    yield "model.norm.weight", s.width, 0
    for i in range(s.layer):
        at = f"model.layers.{i}."
        yield at + "input_layernorm.weight", s.width, 0
        yield at + "post_attention_layernorm.weight", s.width, 0
        for name, n in (("q", s.head), ("k", s.kv_head), ("v", s.kv_head)):
            yield at + f"self_attn.{name}_proj.weight", n * s.head_dim, s.width
        yield at + "self_attn.o_proj.weight", s.width, s.head * s.head_dim
        yield at + "mlp.gate_proj.weight", s.ff, s.width
        yield at + "mlp.up_proj.weight", s.ff, s.width
        yield at + "mlp.down_proj.weight", s.width, s.ff


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


def config(s):
    return {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": s.width,
            "intermediate_size": s.ff, "num_hidden_layers": s.layer, "num_attention_heads": s.head,
            "num_key_value_heads": s.kv_head, "head_dim": s.head_dim, "vocab_size": s.vocab, "rms_norm_eps": 1e-5,
            "rope_theta": 500000.0, "max_position_embeddings": CONTEXT, "tie_word_embeddings": bool(s.tied),
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


def write(name, folder):
    from safetensors.torch import save_file
    os.makedirs(folder, exist_ok=True)
    s = shapes()[name]
    save_file(weights(s), os.path.join(folder, "model.safetensors"), metadata={"format": "pt"})
    for file, what in (("config.json", config(s)), ("tokenizer.json", tokenizer())):
        with open(os.path.join(folder, file), "w", encoding="ascii") as f:
            json.dump(what, f)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in shapes():
        sys.exit(f"usage: random_llama.py SHAPE FOLDER, SHAPE one of: {' '.join(shapes())}")
    write(*sys.argv[1:])
