#!/usr/bin/env python3
"""Writes real_NAME.json: a real model on a stretch of a book, by Hugging Face transformers in float32, for
tests/test_real_models.c.

    python3 make_real.py NAME MODEL.h5 real_NAME.json       NAME of models/fetch.txt; needs torch, transformers, sentencepiece

The weights are those of MODEL.h5 (dequantised to float32 once, then the same for everybody), the tokens those of the tokenizers
and sentencepiece packages on its vocabulary.

nll: mean of -ln p over tokens 1 .. of the stretch (float64 from float32 logits), and of those from n on: with everything kept,
with the entries of `keep_rule` alone in every layer that can be pruned, and the same with packed positions (pruned.py).
greedy: 64 tokens after other stretches; `margin` is the smallest difference of the two best logits on the way.
"""
import json
import os
import sys

import h5py
import numpy as np
import sentencepiece
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers.initialization import no_init_weights

import make_tokenizers
import pruned
import spm_model
from smollm2 import book, texts

N_TEXT, N_PROMPT, N_GREEDY = 900, 700, 64
SINKS, RECENT, STEP = 4, 64, 3
TEXT = ("pg19_15562.txt", 120000)
PROMPTS = [("pg19_3890.txt", 30000, 200), ("pg19_30981.txt", 50000, 600)]
CLASSES = {"llama": transformers.LlamaConfig, "qwen2": transformers.Qwen2Config, "gemma3": transformers.Gemma3TextConfig}
LEAVES = {"attn_norm": "input_layernorm.weight", "wq": "self_attn.q_proj.weight", "wk": "self_attn.k_proj.weight",
          "wv": "self_attn.v_proj.weight", "wo": "self_attn.o_proj.weight", "bq": "self_attn.q_proj.bias",
          "bk": "self_attn.k_proj.bias", "bv": "self_attn.v_proj.bias", "q_norm": "self_attn.q_norm.weight",
          "k_norm": "self_attn.k_norm.weight", "gate": "mlp.gate_proj.weight", "up": "mlp.up_proj.weight",
          "down": "mlp.down_proj.weight", "ffn_norm": "post_attention_layernorm.weight"}
AROUND = {"attn_post_norm": "post_attention_layernorm.weight", "ffn_norm": "pre_feedforward_layernorm.weight",
          "ffn_post_norm": "post_feedforward_layernorm.weight"}
OTHERS = {"embedding": "model.embed_tokens.weight", "output_norm": "model.norm.weight", "output": "lm_head.weight"}


def attributes(f):
    return {k: v.decode() if isinstance(v, bytes) else v.item() if hasattr(v, "item") else v for k, v in f.attrs.items()}


def config_of(hp):
    assert hp["rope_scaling"] == "none" and hp["norm_offset"] == 0
    more, rope = {}, {"rope_type": "default", "rope_theta": hp["rope_base"]}
    if hp["architecture"] == "gemma3":
        kinds = {"w": "sliding_attention", "f": "full_attention"}
        more = {"layer_types": [kinds[k] for k in hp["layer_kinds"]], "sliding_window": hp["window"],
                "query_pre_attn_scalar": hp.get("query_scalar", hp["head_dim"])}
        rope = {"full_attention": rope, "sliding_attention": {**rope, "rope_theta": hp["rope_local_base"]}}
    return CLASSES[hp["architecture"]](
        hidden_size=hp["d_model"], intermediate_size=hp["d_ff"], num_hidden_layers=hp["n_layer"], num_attention_heads=hp["n_head"],
        num_key_value_heads=hp["n_kv_head"], head_dim=hp["head_dim"], vocab_size=hp["n_vocab"],
        max_position_embeddings=hp["context_length"], rms_norm_eps=hp["norm_eps"], rope_parameters=rope,
        tie_word_embeddings=bool(hp["tied"]), attn_implementation=pruned.NAME, bos_token_id=None, eos_token_id=None,
        pad_token_id=None, **more)


def load(f, hp):
    """transformers' model with the weights of the file, read one by one."""
    with no_init_weights():
        model = transformers.AutoModelForCausalLM.from_config(config_of(hp), dtype=torch.float32).eval()
    model.tie_weights()
    leaves = {**LEAVES, **(AROUND if hp.get("norms") == "around" else {})}
    sources = {theirs: ours for ours, theirs in OTHERS.items()}
    sources.update((f"model.layers.{l}.{theirs}", f"layers/{l}/{ours}") for l in range(hp["n_layer"]) for ours, theirs in leaves.items())
    used = set()
    for name, p in model.named_parameters():
        x = torch.from_numpy(f[sources[name]][()])
        assert x.dtype == torch.float32 and x.shape == p.shape, name
        # Gemma's norms multiply by 1 + w, and the file has what they multiply by
        p.data = x - 1 if hp["architecture"] == "gemma3" and "norm" in name else x
        used.add(sources[name])
    everything = []
    f.visititems(lambda name, o: everything.append(name) if isinstance(o, h5py.Dataset) and not name.startswith("tokenizer") else None)
    assert used == set(everything), used ^ set(everything)
    return model


def tokenizer_of(f):
    """(text to ids, BOS in front or nothing)."""
    g = f["tokenizer"]
    kind, pieces, types = g.attrs["kind"].decode(), texts(g["token"]), g["type"][()]
    if kind == "spm":
        kinds = {0: spm_model.NORMAL, 1: spm_model.CONTROL, 2: spm_model.USER, 3: spm_model.BYTE}
        unk, bos, eos = (int(g.attrs[k]) for k in ("unk", "bos", "eos"))
        # added pieces are texts as they are; sentencepiece spells the blanks of its own pieces
        rows = [(t.replace(" ", "\u2581") if int(k) & 3 == 2 else t, s, spm_model.UNKNOWN if i == unk else kinds[int(k) & 3])
                for i, (t, s, k) in enumerate(zip(pieces, g["score"][()], types))]
        sp = sentencepiece.SentencePieceProcessor(model_proto=spm_model.write(rows, "space" in g.attrs, unk, bos, eos))
        return sp.encode, [bos] if g.attrs["add_bos"] else []
    t = Tokenizer(models.BPE({x: i for i, x in enumerate(pieces)}, [tuple(m.split(" ")) for m in texts(g["merge"])]))
    t.pre_tokenizer = make_tokenizers.byte_level("qwen2") if g.attrs["pre"] == b"qwen2" else pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return lambda text: t.encode(text, add_special_tokens=False).ids, []


def stretch(encode, bos, name, after, n):
    """From the first paragraph behind `after`, so many lines that they come to just under n tokens, BOS included."""
    text = book(name)
    begin = end = text.index(b"\n\n", after) + 2
    while text[begin:begin + 1] in b"\n ":
        begin = end = text.index(b"\n\n", begin) + 2
    ids = None
    while True:
        line = text.index(b"\n", end) + 1
        more = bos + encode(text[begin:line - 1].decode())
        if len(more) > n:
            return {"book": name, "begin": begin, "end": end - 1, "ids": ids}
        end, ids = line, more


def keep_rule(layer, heads, n):
    """The first SINKS, the last RECENT, and every STEPth, others in every layer and head."""
    j = torch.arange(n)
    return torch.stack([(j < SINKS) | (j >= n - RECENT) | ((j + layer + h) % STEP == 0) for h in range(heads)])


def losses(model, ids):
    """-ln p of tokens 1 .. by the rows before them."""
    with torch.no_grad():
        x = model.model(torch.tensor([ids]), use_cache=False).last_hidden_state[0]
        assert getattr(model.config, "final_logit_softcapping", None) is None
        out = []
        for at in range(0, len(ids) - 1, 50):
            p = torch.log_softmax(model.lm_head(x[at:min(at + 50, len(ids) - 1)]).double(), -1)
            out += (-p[torch.arange(len(p)), torch.tensor(ids[at + 1:at + 1 + len(p)])]).tolist()
    return np.array(out)


def greedy(model, ids):
    cache, out, margin, feed = None, [], np.inf, ids
    for _ in range(N_GREEDY):
        with torch.no_grad():
            r = model(torch.tensor([feed]), past_key_values=cache, use_cache=True, logits_to_keep=1)
        cache = r.past_key_values
        best = r.logits[0, -1].topk(2)
        out.append(int(best.indices[0]))
        margin = min(margin, float(best.values[0] - best.values[1]))
        feed = out[-1:]
    return out, margin


def main(name, path, out):
    with h5py.File(path) as f:
        hp = attributes(f)
        encode, bos = tokenizer_of(f)
        text = stretch(encode, bos, *TEXT, N_TEXT)
        prompts = [stretch(encode, bos, *p) for p in PROMPTS]
        model = load(f, hp)
    prunable = [k != "w" for k in hp.get("layer_kinds") or "f" * hp["n_layer"]]
    keep = [keep_rule(l, hp["n_kv_head"], N_PROMPT) if p else None for l, p in enumerate(prunable)]
    full = losses(model, text["ids"])
    with pruned.cut(keep):
        cut = losses(model, text["ids"])
    with pruned.cut(keep, pruned.frequencies(model)):
        packed = losses(model, text["ids"])
    assert np.array_equal(full[:N_PROMPT - 1], cut[:N_PROMPT - 1])
    after = slice(N_PROMPT - 1, None)
    nll = {"all": full.mean(), "full": full[after].mean(), "pruned": cut[after].mean(), "packed": packed[after].mean()}
    print(name, len(text["ids"]), "tokens", nll)
    for p in prompts:
        p["greedy"], p["margin"] = greedy(model, p["ids"])
        print(f"margin {p['margin']:.4f}")
        assert p["margin"] > 1e-3, "choose a prompt without near ties"
    with open(out, "w", encoding="ascii") as f:
        json.dump({"name": name, "file": os.path.basename(path), "model_sha256": hp["sha256"], "text": text, "n": N_PROMPT, "sinks": SINKS, "recent": RECENT,
                   "step": STEP, "nll": {k: float(v) for k, v in nll.items()}, "greedy": prompts}, f, separators=(",", ":"))
        f.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
