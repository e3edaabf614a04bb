"""Writes the seeds of text formats and of GGUF into tests/fuzz/corpus/: python3 tests/fuzz/make_corpus.py (no packages).

Small on purpose: a fuzzer changes bytes, and every byte that can't matter is one more to choose from."""
import json
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "corpus")
SEPARATOR = b"\x1e"


def write(fmt, name, *parts):
    os.makedirs(os.path.join(HERE, fmt), exist_ok=True)
    with open(os.path.join(HERE, fmt, name), "wb") as f:
        f.write(SEPARATOR.join(p if isinstance(p, bytes) else p.encode() for p in parts))


# ---- GGUF: 1 layer of width 32, 4 query heads of 8, 2 KV heads, 6 tokens -----------------------------------------

D, KV, FF = 32, 16, 32
U32, F32, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
# the code of a type and the bytes of 32 values
TYPES = {"f32": (0, 128), "f16": (1, 64), "q4_0": (2, 18), "q4_1": (3, 20), "q5_0": (6, 22), "q5_1": (7, 24), "q8_0": (8, 34),
         "bf16": (30, 64)}


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def value(kind, v):
    if kind == STRING:
        return text(v)
    return struct.pack({U32: "<I", F32: "<f", BOOL: "<?", I32: "<i"}[kind], v)


def gguf(name, types, extra=(), tokens=("a", "b", "ab", "Ġ", "<|im_start|>", "<|im_end|>"), merges=("a b",), template=None,
         output=False):
    keys = [("general.architecture", STRING, "llama"), ("llama.block_count", U32, 1), ("llama.embedding_length", U32, D),
            ("llama.context_length", U32, 128), ("llama.feed_forward_length", U32, FF), ("llama.attention.head_count", U32, 4),
            ("llama.attention.head_count_kv", U32, 2), ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
            ("llama.rope.freq_base", F32, 10000.0)] + list(extra)
    if tokens:
        keys += [("tokenizer.ggml.model", STRING, "gpt2"), ("tokenizer.ggml.pre", STRING, "smollm"),
                 ("tokenizer.ggml.bos_token_id", U32, 4), ("tokenizer.ggml.eos_token_id", U32, 5),
                 ("tokenizer.ggml.add_bos_token", BOOL, True)]
    if template:
        keys.append(("tokenizer.chat_template", STRING, template))
    arrays = [("tokenizer.ggml.tokens", STRING, tokens), ("tokenizer.ggml.token_type", I32, [1] * (len(tokens) - 2) + [3, 3]),
              ("tokenizer.ggml.merges", STRING, merges)] if tokens else []
    rows = [("token_embd.weight", (D, len(tokens) or 6), 0), ("blk.0.attn_norm.weight", (D,), None), ("blk.0.attn_q.weight", (D, D), 1),
            ("blk.0.attn_k.weight", (D, KV), 2), ("blk.0.attn_v.weight", (D, KV), 3), ("blk.0.attn_output.weight", (D, D), 1),
            ("blk.0.ffn_norm.weight", (D,), None), ("blk.0.ffn_gate.weight", (D, FF), 2), ("blk.0.ffn_up.weight", (D, FF), 3),
            ("blk.0.ffn_down.weight", (FF, D), 0), ("output_norm.weight", (D,), None)]
    if output:
        rows.append(("output.weight", (D, len(tokens) or 6), 0))
    out = b"GGUF" + struct.pack("<IQQ", 3, len(rows), len(keys) + len(arrays))
    for key, kind, v in keys:
        out += text(key) + struct.pack("<I", kind) + value(kind, v)
    for key, kind, items in arrays:
        out += text(key) + struct.pack("<IIQ", ARRAY, kind, len(items)) + b"".join(value(kind, v) for v in items)
    data = b""
    for row, dims, which in rows:
        code, size = TYPES["f32" if which is None else types[which % len(types)]]
        out += text(row) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        out += struct.pack("<IQ", code, len(data))
        n = 1
        for d in dims:
            n *= d
        data += b"\0" * (n // 32 * size)
        data += b"\0" * (-len(data) % 32)
    write("gguf", name, out + b"\0" * (-len(out) % 32) + data)


TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
            "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def all_gguf():
    gguf("q4", ["q4_0", "q4_1", "q4_0", "q4_1"], template=TEMPLATE)
    gguf("q5", ["q5_0", "q5_1", "q8_0", "q4_0"], output=True)
    gguf("no_tokenizer", ["q4_0", "f16", "bf16", "q4_0"], tokens=(),
         extra=[("llama.rope.scaling.type", STRING, "linear"), ("llama.rope.scaling.factor", F32, 4.0)])


# ---- Hugging Face: 1 layer of width 8, 2 query heads of 4, 1 KV head, 6 tokens -------------------------------------

CONFIG = {"model_type": "llama", "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
          "num_key_value_heads": 1, "vocab_size": 6, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
          "tie_word_embeddings": True, "hidden_act": "silu", "bos_token_id": 0, "eos_token_id": 5}
TENSORS = [("embed_tokens.weight", [6, 8]), ("layers.0.input_layernorm.weight", [8]), ("layers.0.self_attn.q_proj.weight", [8, 8]),
           ("layers.0.self_attn.k_proj.weight", [4, 8]), ("layers.0.self_attn.v_proj.weight", [4, 8]),
           ("layers.0.self_attn.o_proj.weight", [8, 8]), ("layers.0.post_attention_layernorm.weight", [8]),
           ("layers.0.mlp.gate_proj.weight", [8, 8]), ("layers.0.mlp.up_proj.weight", [8, 8]), ("layers.0.mlp.down_proj.weight", [8, 8]),
           ("norm.weight", [8])]
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 32}


def compact(v):
    return json.dumps(v, separators=(",", ":"), ensure_ascii=False)


def header(types, untied=False):
    out, at = {}, 0
    for i, (name, shape) in enumerate(TENSORS):
        kind = types[i % len(types)]
        n = 4 if kind == "F32" else 2
        for d in shape:
            n *= d
        out["model." + name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + n]}
        at += n
    if untied:
        out["lm_head.weight"] = {"dtype": "F16", "shape": [6, 8], "data_offsets": [at, at + 96]}
    return out


def tokenizer(pre="gpt2", pairs=False, added=True):
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    digits = {"type": "Digits", "individual_digits": True}
    vocab = {"a": 0, "b": 1, "ab": 2, "Ġ": 3, "aba": 4}
    merges = [["a", "b"], ["ab", "a"]] if pairs else ["a b", "ab a"]
    return {"version": "1.0",
            "added_tokens": [{"id": 5, "content": "<|im_end|>", "single_word": False, "lstrip": False, "rstrip": False,
                              "normalized": False, "special": True}] if added else [],
            "normalizer": None,
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [digits, level]} if pre == "smollm" else level,
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "a"}}, {"Sequence": {"id": "A"}}],
                               "special_tokens": {"a": {"id": "a", "ids": [0], "tokens": ["a"]}}},
            "decoder": level,
            "model": {"type": "BPE", "vocab": vocab, "merges": merges}}


def all_hf():
    own = {"bos_token": "a", "eos_token": {"content": "<|im_end|>"}, "add_bos_token": True, "chat_template": TEMPLATE}
    write("hf", "plain", compact(CONFIG), compact(header(["F32"])), compact(tokenizer()), compact(own),
          compact({"eos_token_id": [5, 1]}))
    write("hf", "scaled", compact({**CONFIG, "rope_scaling": LLAMA3}), compact(header(["F16", "BF16"])))
    write("hf", "untied", compact({**{k: v for k, v in CONFIG.items() if k != "rope_theta"}, "rope_parameters": {**LLAMA3, "rope_theta": 5e5},
                                     "tie_word_embeddings": False}),
          compact(header(["BF16"], True)), compact(tokenizer("smollm", True)), "", "", TEMPLATE)
    head = header(["F16"])
    write("hf", "shards", compact({**CONFIG, "rope_scaling": {"type": "linear", "factor": 2.0}}), compact(head), "", "", "", "",
          compact({"metadata": {"total_size": 1}, "weight_map": {k: "s" for k in head}}))
    raw = compact(head).encode()
    write("hf", "raw", compact(CONFIG), struct.pack("<Q", len(raw)) + raw + b"\0" * max(t["data_offsets"][1] for t in head.values()))


def spm(pieces, blank):
    """SentencePiece's file: pieces, BPE with byte fallback, texts as they are."""
    field = lambda n, b: bytes([n << 3 | 2, len(b)]) + b
    out = b"".join(field(1, field(1, t.encode()) + b"\x15" + struct.pack("<f", s) + bytes([0x18, k])) for t, s, k in pieces)
    return out + field(2, bytes([0x18, 2, 0x98, 2, 1])) + field(3, bytes([0x18, blank, 0x20, 0, 0x28, 1]))


def all_tokenizer():
    words = "ab aba abab 12 don't <|im_end|> \u00e9\u4e2d\n\tabbaabbaabbaabbaabbaabbaabba"
    write("tokenizer", "gpt2", words, compact(tokenizer()), compact({"add_bos_token": True, "chat_template": TEMPLATE}))
    write("tokenizer", "smollm", words.encode() + b"\xff\xc3", compact(tokenizer("smollm", True)), "", TEMPLATE)
    pieces = [("<unk>", 0, 2), ("<s>", 0, 3), ("</s>", 0, 3)] + [(f"<0x{b:02X}>", 0, 6) for b in range(256)]
    pieces += [(p, -i, 1) for i, p in enumerate(["ab", "\u2581ab", "a", "b", "\u2581"])] + [("<t>", 0, 4)]
    write("tokenizer", "spm", "ab ab<t> \u2581\u00e9</s>".encode() + b"\xff", spm(pieces, 1))
    blank = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "first", "split": False}
    vocab = {p: i for i, (p, _, _) in enumerate(pieces)}
    join = {"type": "BPE", "byte_fallback": True, "vocab": vocab, "merges": ["a b", "\u2581 ab"]}
    write("tokenizer", "spm_json", "ab ab\u2581\u00e9", compact({"pre_tokenizer": blank, "model": join}))
    rule = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    split = {"type": "Split", "pattern": {"Regex": rule}, "behavior": "Isolated", "invert": False}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    nfc = dict(tokenizer(), normalizer={"type": "NFC"}, pre_tokenizer={"type": "Sequence", "pretokenizers": [split, level]})
    write("tokenizer", "nfc", "abe\u0301\u0323 \u1112\u1161\u11ab ab".encode() + b"\xcc", compact(nfc))
    write("tokenizer", "no_added", "abab", compact(tokenizer(added=False)))
    system = "{% set d = '<|im_start|>system\\nYou help.<|im_end|>\\n' %}" + TEMPLATE
    start = tokenizer()
    start["added_tokens"].append({"id": 6, "content": "<|im_start|>", "special": True})
    write("tokenizer", "system", words, compact(start), "", system)


# ---- experiments ---------------------------------------------------------------------------------------------------

def all_yaml():
    write("yaml", "grid", """# What does a window cost?
schema: 1
experiment: grid
model: m.h5
tasks: [{passkey: {length: 64, wording: compact}}]
samples: 1
measure: [score, nll, kl]
sweep:
  - {policy: full}
  - {policy: [knorm, {snapkv: {window: [4, 8]}}], keep: [0.2, 0.5], layer_budget: [uniform, {pyramidkv: {beta: 5}}]}
""")
    write("yaml", "modes", """schema: 1
experiment: modes
model: m.h5
tasks:
  - jsonl: {file: r.jsonl, name: mine, metric: "exact,f1", stop: ["."]}
samples: 1
seed: 3
template: raw
baseline: {policy: random, keep: 0.5, policy_seed: 1}
sweep:
  - {policy: {streaming: {sinks: 2}}, keep_tokens: 8, prune_after: question, protect: {sinks: 1, recent: 4}}
  - {policy: random, keep: 0.5, policy_seed: [1, 2], prefill: {chunked: {size: 16}}, decode: {interval: 4}, positions: packed}
  - {policy: tova, keep: 0.5, head_budget: shared, layer_budget: {single: {layer: all}}, weight_dtype: bf16}
""")
    write("yaml", "forms", """schema: 1
experiment: &name "forms \\u00e9"
model: [m.h5]
tasks: [passkey: {length: [64, 96]}, {text: {length: 64}}]
samples: 2
first_sample: 1
record: {kept: true}
sweep:
  - policy: [h2o, keydiff]
    keep: [.1, 1e-1, "0.3"]
...
""")


# ---- records, and the journal of a run -------------------------------------------------------------------------------

def all_jsonl():
    ask = {"id": "a", "context": "The lamp is green. It hangs high.", "question": "What is green?", "answer_prefix": " The",
           "answers": ["the lamp", "lamp"], "stop": ["\n"], "max_new_tokens": 8, "classes": ["lamp", "cat"]}
    more = {"id": 2, "group": "g", "context": "One text.", "answers": "alone"}
    write("jsonl", "plain", "", compact(ask) + "\n" + compact({**ask, "id": "b", "question": None}) + "\n")
    write("jsonl", "groups", "prompt={context} {question}{answer_prefix}\ntruncate=middle\nmax_length=60", compact(more) + "\n\n" +
          compact({**more, "id": 3, "question": "And?"}) + "\r\n" + compact({**ask, "context": "long " * 40}))
    write("jsonl", "longbench", "question_field=input\nclasses_field=all_classes\nid_field=_id\nmetric=classification\nstop=x",
          compact({"_id": "e", "input": "Type?", "context": "\U0001F600 \u00e9",
                   "answers": ["A"], "all_classes": ["A", "B"]}))


def row(**changes):
    r = {"schema": 1, "cell": "0123456789abcdef", "key": "k", "build": "x", "cell_index": 0, "model": "m", "task": "t",
         "task_version": 1, "task_params": {"length": 9}, "length": 9, "sample": 0, "seed": 2, "question_id": "q",
         "context_id": "c", "prompt_sha256": "ab", "policy": "snapkv", "params": {"window": 3}, "keep": 0.275, "keep_tokens": 2,
         "keep_bytes": 88, "budget": "0.5", "level": None, "layer_budget": "uniform", "head_budget": "uniform", "protect": {},
         "positions": "original", "prefill": "full", "decode": "frozen", "prune_after": "context", "policy_seed": 4,
         "weight_dtype": "f32", "max_new_tokens": 7, "template": "raw", "status": "ok", "reason": "", "prompt_tokens": 12, "n": 10,
         "kept": [3, 2.5], "protection_cut": False, "cache_bytes": 100, "cache_bytes_bf16": 50, "cache_bytes_end": 120,
         "cache_bytes_peak": 640, "policy_bytes": 0, "caches_rss": 900, "output": "a", "output_tokens": 2, "finish_reason": "eos",
         "metric": "exact", "score": 1, "metrics": {"exact": 1, "f1": 0.5}, "nll": 2.5, "kl": 0.125, "top1": 0.5, "kl_max": 0.25,
         "first_divergence": 1, "attention_lost": [0.25, 0], "evidence_kept": None, "prefill_s": 0.5, "decode_s": 0.25,
         "group_cells": 3}
    r.update(changes)
    return compact(r) + "\n"


def all_journal():
    full = {"cell": "fedcba9876543210", "cell_index": 1, "policy": "full", "params": {}, "budget": "", "keep": 1}
    manifest = {"schema": 1, "baseline": "{policy: full}", "baselines": {"0123456789abcdef": "fedcba9876543210", "fedcba9876543210": None}}
    write("journal", "rows", row() + row(**full) + row(sample=1, score=0, layer_budget={"single": {"layer": 1}}) + row(sample=1, **full))
    write("journal", "states", row() + row(sample=1, status="failed", reason="no", n=None, score=None) + row(**full) + row(sample=2)[:60],
          compact(manifest))
    write("journal", "one", row(question_id="\u00e9", layer_budget={"sensitivity": {"shuffle": 3}}))


if __name__ == "__main__":
    all_gguf()
    all_hf()
    all_tokenizer()
    all_yaml()
    all_jsonl()
    all_journal()
