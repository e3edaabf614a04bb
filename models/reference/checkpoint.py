#!/usr/bin/env python3
"""Files: a checkpoint that lets training go on, and the Hugging Face folder that `depthkv import` reads.

The weights are float32 safetensors in parts of at most 15 MiB, so that the folder of a checkpoint is at the same time the
model to import. Beside them lie the second moments of the optimiser in bfloat16 (its first moments start again from zero:
they forget within ten steps) and state.json. Nothing here needs a package.

    python3 models/reference/checkpoint.py DIR    # writes config.json, the tokenizer and the index beside DIR's weights
"""
import json
import os
import struct
import sys

BOS, EOS, PAD, N_ID = 256, 257, 258, 264  # N_ID: rounded up to a multiple of 8
PART = 14 << 20
INDEX = "model.safetensors.index.json"


def write_safetensors(path, tensors):
    """tensors: {name: (dtype, shape, bytes)}"""
    header, at = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at + len(data)]}
        at += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path + ".tmp", "wb") as f:
        f.write(struct.pack("<Q", len(text)) + text)
        for _, _, data in tensors.values():
            f.write(data)
    os.replace(path + ".tmp", path)


def read_safetensors(path):
    with open(path, "rb") as f:
        n = struct.unpack("<Q", f.read(8))[0]
        header, body = json.loads(f.read(n)), f.read()
    return {k: (v["dtype"], v["shape"], body[v["data_offsets"][0]:v["data_offsets"][1]]) for k, v in header.items()
            if k != "__metadata__"}


def write_parts(folder, stem, tensors):
    """The tensors in files `stem`-0000k-of-0000n.safetensors; names of the files."""
    parts, size = [{}], 0
    for name, t in tensors.items():
        if size + len(t[2]) > PART and parts[-1]:
            parts.append({})
            size = 0
        parts[-1][name] = t
        size += len(t[2])
    names = [f"{stem}-{i + 1:05}-of-{len(parts):05}.safetensors" for i in range(len(parts))]
    for name, part in zip(names, parts):
        write_safetensors(os.path.join(folder, name), part)
    return names


def read_parts(folder, stem):
    out = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith(stem + "-") and name.endswith(".safetensors"):
            out.update(read_safetensors(os.path.join(folder, name)))
    return out


def write_json(folder, name, value):
    path = os.path.join(folder, name)
    with open(path + ".tmp", "w", encoding="utf-8") as f:
        json.dump(value, f, indent=1, ensure_ascii=False)
        f.write("\n")
    os.replace(path + ".tmp", path)


def byte_alphabet():
    """GPT-2's: printable bytes stand for themselves, the others for U+0100 upward."""
    out, fresh = [], 0x100
    for b in range(256):
        if 0x21 <= b <= 0x7E or 0xA1 <= b <= 0xAC or b >= 0xAE:
            out.append(chr(b))
        else:
            out.append(chr(fresh))
            fresh += 1
    return out


def describe(folder, shape):
    """Everything of a Hugging Face folder but the weights: config.json, the tokenizer (byte-level BPE without merges, so that
    a token is a byte) and the index of the weights that are there."""
    special = {"<|bos|>": BOS, "<|eos|>": EOS, "<|pad|>": PAD}
    write_json(folder, "config.json", {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "torch_dtype": "float32", "hidden_act": "silu",
        "hidden_size": shape["d"], "intermediate_size": shape["ff"], "num_hidden_layers": shape["layers"],
        "num_attention_heads": shape["heads"], "num_key_value_heads": shape["kv_heads"], "head_dim": shape["d"] // shape["heads"],
        "vocab_size": N_ID, "max_position_embeddings": shape["context"], "rope_theta": shape["rope_base"], "rms_norm_eps": 1e-5,
        "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "bos_token_id": BOS, "eos_token_id": EOS,
        "pad_token_id": PAD})
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    write_json(folder, "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": t, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                          "special": True} for t, i in special.items()],
        "normalizer": None, "pre_tokenizer": level,
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<|bos|>", "type_id": 0}},
                                                                    {"Sequence": {"id": "A", "type_id": 0}}],
                           "pair": [{"SpecialToken": {"id": "<|bos|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                                    {"Sequence": {"id": "B", "type_id": 1}}],
                           "special_tokens": {"<|bos|>": {"id": "<|bos|>", "ids": [BOS], "tokens": ["<|bos|>"]}}},
        "decoder": level,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {c: b for b, c in enumerate(byte_alphabet())}, "merges": []}})
    write_json(folder, "tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|bos|>", "eos_token": "<|eos|>", "pad_token": "<|pad|>",
        "add_bos_token": True, "model_max_length": shape["context"], "clean_up_tokenization_spaces": False})
    where = {}
    for name in sorted(os.listdir(folder)):
        if name.startswith("model-") and name.endswith(".safetensors"):
            where.update({k: name for k in read_safetensors(os.path.join(folder, name))})
    if where:
        write_json(folder, INDEX, {"metadata": {}, "weight_map": where})


if __name__ == "__main__":
    with open(os.path.join(sys.argv[1], "state.json"), encoding="utf-8") as state:
        describe(sys.argv[1], json.load(state)["shape"])
