#!/usr/bin/env python3
"""Writes rope.json: what transformers makes of every combination of the places in which a config.json speaks of rotation.

    python3 make_rope.py rope.json          needs torch and transformers

Each entry is [keys of config.json beside the sizes below, frequencies of the pairs in radians per position], or instead of the
frequencies the text "error" where transformers fails, and the name of the type where the rotation depends on the length of a
text or scales the attention.
"""
import itertools
import json
import logging
import sys

from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

SIZES = {"vocab_size": 5, "hidden_size": 16, "intermediate_size": 6, "num_hidden_layers": 1, "num_attention_heads": 2,
         "num_key_value_heads": 1, "max_position_embeddings": 128}
ABSENT = object()
LLAMA3 = {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 64,
          "rope_type": "llama3"}
OBJECTS = [ABSENT, None, {}, {"rope_theta": 500000.0}, {"type": "linear", "factor": 4.0},
           {"rope_type": "linear", "factor": 4.0, "rope_theta": 20000.0}, {"type": "linear", "rope_type": "default", "factor": 4.0},
           {"factor": 4.0}, {"rope_type": "default", "rope_theta": None}, LLAMA3, {**LLAMA3, "rope_theta": 500000.0},
           {k: v for k, v in LLAMA3.items() if k[0] != "o"}, {"rope_type": "dynamic", "factor": 2.0},
           {"rope_type": "yarn", "factor": 2.0}, {"rope_type": "linear"}, {"type": None},
           {"rope_type": "linear", "factor": 4.0, "partial_rotary_factor": 1.0},
           {"full_attention": {"rope_type": "linear", "factor": 4.0}}]
THETA = [ABSENT, None, 10000.0, 500000]
ORIGINAL = [ABSENT, 96]


def reading(keys):
    try:
        rotary = LlamaRotaryEmbedding(LlamaConfig(**json.loads(json.dumps({**SIZES, **keys}))))
    except Exception:  # whatever it is, there is no model
        return "error"
    if rotary.rope_type in ("dynamic", "yarn", "longrope") or rotary.attention_scaling != 1:
        return rotary.rope_type
    return [float(f"{f:.7g}") for f in rotary.inv_freq.tolist()]


def main(out):
    logging.disable(logging.CRITICAL)
    cases = itertools.chain(itertools.product(OBJECTS, OBJECTS, [ABSENT, 500000], [ABSENT]),
                            itertools.product(OBJECTS, [ABSENT], THETA, ORIGINAL),
                            itertools.product([ABSENT], OBJECTS, THETA, ORIGINAL))
    lines = []
    for values in cases:
        names = ("rope_scaling", "rope_parameters", "rope_theta", "original_max_position_embeddings")
        keys = {k: v for k, v in zip(names, values) if v is not ABSENT}
        line = json.dumps([keys, reading(keys)], separators=(",", ":"))
        if line not in lines:
            lines.append(line)
    with open(out, "w", encoding="ascii") as f:
        f.write("[" + ",\n".join(lines) + "]\n")
    print(len(lines), "configs")


if __name__ == "__main__":
    main(*sys.argv[1:])
