#!/usr/bin/env python3
"""Writes smollm2.json: SmolLM2-135M-Instruct on 1000 tokens of a book, and 64 greedy tokens after three prompts.

    python3 make_smollm2.py MODEL.h5 smollm2.json [MODEL.gguf]     needs h5py, numpy, tokenizers, torch 2.8, transformers 5.2

MODEL.h5 is what `make smollm2` makes. With the GGUF file that it came from, the weights are first compared with those that
transformers reads from it.

logits: float64 logits (llama64.py) of 51 of the 1000 positions x every 96th vocabulary id, to 1e-7; float32_error: the
largest |error| of transformers in float32 on the same numbers, of its sdpa and eager attention the smaller one.
greedy: transformers' tokens; `margin` is the smallest difference of the two best logits on the way.
"""
import json
import sys

import numpy as np
import torch

import smollm2

POSITIONS = list(range(0, 1000, 20)) + [999]
VOCABULARY_STEP = 96
N_GREEDY = 64


def exact_logits(model, ids):
    full = model.exact().forward(ids, rows=POSITIONS)[0]
    return np.round(full[:, ::VOCABULARY_STEP], 7), full


def greedy(hf, ids):
    cache, out, margin, feed = None, [], np.inf, ids
    for _ in range(N_GREEDY):
        with torch.no_grad():
            r = hf(torch.tensor([feed]), past_key_values=cache, use_cache=True)
        cache = r.past_key_values
        best = r.logits[0, -1].topk(2)
        out.append(int(best.indices[0]))
        margin = min(margin, float(best.values[0] - best.values[1]))
        feed = out[-1:]
    return out, margin


def bf16(model, ids):
    """What transformers' own bf16 does: mean KL of its predictions from those in float32, over all positions."""
    hf, ids = model.hugging_face(), torch.tensor([ids])
    with torch.no_grad():
        p = hf(ids).logits[0].double().log_softmax(-1)
        q = hf.to(torch.bfloat16)(ids).logits[0].double().log_softmax(-1)
    return {"tokens": ids.shape[1], "kl": (p.exp() * (p - q)).sum(-1).mean().item()}


def main(path, out, gguf=None):
    model = smollm2.Model(path)
    if gguf:
        model.check_gguf(gguf)
        print("the weights are those of", gguf)
    name = "pg19_15562.txt"
    [(begin, end, ids)] = smollm2.pieces(model, name, 60000, 1000)
    logits, full = exact_logits(model, ids)
    error = {}
    for attention in ("sdpa", "eager"):
        hf = model.hugging_face(attention)
        with torch.no_grad():
            got = hf(torch.tensor([ids])).logits[0, POSITIONS].numpy().astype(np.float64)
        error[attention] = float(np.abs(got[:, ::VOCABULARY_STEP] - logits).max())
        print(f"transformers float32, {attention}: largest error {error[attention]:.3g} on the subset, "
              f"{np.abs(got - full).max():.3g} on the whole vocabulary; largest logit {np.abs(full).max():.1f}")
    hf = model.hugging_face("sdpa")
    prompts = [{"book": b, "begin": begin, "end": end, "ids": ids} for b, after in (("pg19_3890.txt", 30000), ("pg19_30981.txt", 50000))
               for begin, end, ids in smollm2.pieces(model, b, after, 200)]
    question = "Explain in a few sentences why the sky is blue, and why it turns red in the evening."
    chat = ("<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
            f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n")
    prompts.append({"question": question, "ids": model.encode(chat)})
    for p in prompts:
        p["greedy"], p["margin"] = greedy(hf, p["ids"])
        assert model.eos not in p["greedy"], "choose a prompt with a longer answer"
        assert p["margin"] > 1e-3, "choose a prompt without near ties"
        print(f"margin {p['margin']:.4f}:", repr(model.tokenizer.decode(p["greedy"])))
    with open(out, "w", encoding="ascii") as f:
        json.dump({
            "model_sha256": model.hp["sha256"], "book": name, "begin": begin, "end": end, "ids": ids,
            "positions": POSITIONS, "vocabulary_step": VOCABULARY_STEP, "float32_error": min(error.values()),
            "float32_error_by_attention": error, "bf16": bf16(model, ids[:200]), "logits": logits.tolist(), "greedy": prompts,
        }, f, separators=(",", ":"))
        f.write("\n")


main(*sys.argv[1:])
