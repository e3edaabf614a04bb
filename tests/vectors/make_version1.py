#!/usr/bin/env python3
"""Files as the first format version and h5py have them: variable-length text, symbol tables, headers of version 1. Needs h5py.

    python3 make_version1.py tests/vectors     # version1.h5: a model of one layer; profile1.h5: a profile of four
"""
import os
import sys

import h5py
import numpy as np

TEXT = h5py.string_dtype("utf-8")


def model(path):
    rng = np.random.default_rng(1)
    with h5py.File(path, "w", libver="earliest") as f:
        for name, v in {"n_layer": 1, "d_model": 8, "n_head": 2, "n_kv_head": 1, "head_dim": 4, "d_ff": 8, "n_vocab": 257,
                        "context_length": 64, "tied": 1, "qkv_bias": 0, "qk_norm": 0, "rope_original_context": 0,
                        "format_version": 1}.items():
            f.attrs[name] = v
        for name, v in {"norm_eps": 1e-5, "norm_offset": 0.0, "embedding_scale": 1.0, "rope_base": 1e4, "rope_factor": 0.0,
                        "rope_low_freq_factor": 0.0, "rope_high_freq_factor": 0.0}.items():
            f.attrs[name] = v
        for name, v in {"format": "depthkv-model", "architecture": "llama", "activation": "silu", "rope_scaling": "none",
                        "source_name": "make_version1.py", "source_sha256": "0" * 64, "sha256": "0" * 64}.items():
            f.attrs[name] = v
        shapes = {"embedding": (257, 8), "output_norm": (8,)}
        shapes.update({"layers/0/" + k: v for k, v in {
            "attn_norm": (8,), "wq": (8, 8), "wk": (4, 8), "wv": (4, 8), "wo": (8, 8), "ffn_norm": (8,), "gate": (8, 8),
            "up": (8, 8), "down": (8, 8)}.items()})
        for name, shape in shapes.items():
            f[name] = rng.standard_normal(shape).astype("<f4")
        t = f.create_group("tokenizer")
        for name, v in {"bos": -1, "eos": 256, "pad": -1, "unk": -1, "add_bos": 0}.items():
            t.attrs[name] = v
        t.attrs["kind"] = "bytes"
        t.create_dataset("token", data=[f"<{i}>" for i in range(256)] + ["<end>"], dtype=TEXT)
        t.create_dataset("type", data=np.array([0] * 256 + [1], dtype="u1"))
        t.create_dataset("merge", shape=(0,), dtype=TEXT)
        t.create_dataset("eos_extra", data=np.array([2], dtype="<i4"))
        t.create_dataset("chat_template", data=["a template"], dtype=TEXT)


def profile(path):
    with h5py.File(path, "w", libver="earliest") as f:
        f.attrs["schema"], f.attrs["n_layer"], f.attrs["model"], f.attrs["model_sha256"] = 1, 4, "m", ""
        for k in range(3):
            g = f.create_group(str(k))
            g.attrs["level"], g.attrs["only"], g.attrs["higher_is_better"] = 0.1 * (k + 1), 0, 1
            g.attrs["task"], g.attrs["policy"] = f"task {k}", "h2o"
            g["layer"] = np.arange(4, dtype="<i8")
            g["kl/mean"] = np.arange(4, dtype="<f8") / (k + 1)
            g.create_dataset("prompt_sha256", data=[f"{i:064x}" for i in range(20 * k, 20 * k + 20)], dtype=TEXT)


if __name__ == "__main__":
    model(os.path.join(sys.argv[1], "version1.h5"))
    profile(os.path.join(sys.argv[1], "profile1.h5"))
