#!/usr/bin/env python3
"""Writes kvpress.json: what kvpress 0.5.5 keeps of three texts on SmolLM2-135M-Instruct, and how well it goes on from there.

    python3 make_kvpress.py MODEL.h5 kvpress.json       needs h5py, numpy, tokenizers, torch 2.8, transformers 5.2, kvpress 0.5.5

Every text is 900 tokens of a book, prefilled in float32 under a press that removes 0.5 (450 entries stay) or 0.8 of them
(int(900 * (1 - 0.8)) is 179), and the 64 tokens that follow. nll: mean of -ln p over the 64, in nats. The first is predicted
by the prefill itself, the others, with their true positions, by the pruned cache.

`kept` (definitions.pack): which of the 900 entries the cache really holds: its keys and values are looked up among those of a
prefill without a press.
"""
import json
import sys

import kvpress
import numpy as np
import torch
import transformers

import smollm2
from definitions import pack
from llama64 import nll

N, CONTINUATION = 900, 64
TEXTS = [("pg19_10146.txt", 80000), ("pg19_30752.txt", 40000), ("pg19_3890.txt", 90000)]
POLICIES = {"knorm": ({}, lambda r: kvpress.KnormPress(r)), "keydiff": ({}, lambda r: kvpress.KeyDiffPress(r)),
            "streaming": ({"sinks": 4}, lambda r: kvpress.StreamingLLMPress(r, n_sink=4)), "tova": ({}, lambda r: kvpress.TOVAPress(r)),
            "snapkv": ({"window": 64, "kernel": 5, "pooling": "avg"}, lambda r: kvpress.SnapKVPress(r, window_size=64, kernel_size=5))}
BUDGETS = {450: 0.5, 179: 0.8}


def prefill(hf, ids):
    cache = transformers.DynamicCache()
    with torch.no_grad():
        logits = hf(torch.tensor([ids]), past_key_values=cache, logits_to_keep=1).logits[0]
    return cache, logits


def continue_from(hf, cache, first, target, step):
    """Logits that predict the targets; fed `step` tokens at a time."""
    rows = [first]
    for at in range(0, len(target) - 1, step):
        feed = target[at:min(at + step, len(target) - 1)]
        positions = torch.arange(N + at, N + at + len(feed))[None]
        with torch.no_grad():
            rows.append(hf(torch.tensor([feed]), past_key_values=cache, position_ids=positions).logits[0])
    return torch.cat(rows).numpy()


def kept(cache, whole):
    """[layer][head][N] booleans: which rows of the whole cache the pruned one holds."""
    out = np.zeros((len(whole.layers), whole.layers[0].keys.shape[1], N), bool)
    for layer, (a, b) in enumerate(zip(cache.layers, whole.layers)):
        for head in range(out.shape[1]):
            at = {(k.tobytes(), v.tobytes()): j for j, (k, v) in enumerate(zip(b.keys[0, head].numpy(), b.values[0, head].numpy()))}
            assert len(at) == N, "two entries are equal"
            entries = [at[k.tobytes(), v.tobytes()] for k, v in zip(a.keys[0, head].numpy(), a.values[0, head].numpy())]
            out[layer, head, entries] = True
    return out


def main(path, out):
    model = smollm2.Model(path)
    hf = model.hugging_face("sdpa")
    texts = []
    for name, after in TEXTS:
        (begin, end, ids), (_, last, target) = smollm2.pieces(model, name, after, N, CONTINUATION)
        whole, first = prefill(hf, ids)
        full = nll(continue_from(hf, prefill(hf, ids)[0], first, target, CONTINUATION), target)
        print(f"{name}: full cache {full:.5f}", flush=True)
        expect = []
        for policy, (params, make) in POLICIES.items():
            for m, ratio in BUDGETS.items():
                press = make(ratio)
                with press(hf):
                    cache, logits = prefill(hf, ids)
                assert torch.equal(logits, first) and all(l.keys.shape[2] == m for l in cache.layers)
                sets = kept(cache, whole)
                assert (sets.sum(-1) == m).all()
                chunk = nll(continue_from(hf, cache, first, target, CONTINUATION), target)
                if not texts:  # one chunk of 63 tokens is what 63 single ones are: its mask and positions are right
                    with press(hf):
                        again, _ = prefill(hf, ids)
                    single = nll(continue_from(hf, again, first, target, 1), target)
                    assert abs(chunk - single) < 1e-4, (chunk, single)
                print(f"  {policy} {m}: {chunk:.5f}", flush=True)
                expect.append({"policy": policy, "params": params, "keep_tokens": m, "nll": round(chunk, 6), "kept": pack(sets)})
        texts.append({"book": name, "begin": begin, "middle": end, "end": last, "ids": ids, "target": target, "full": round(full, 6),
                      "expect": expect})
    with open(out, "w", encoding="ascii") as f:
        f.write('{"model_sha256":' + json.dumps(model.hp["sha256"]) + f',"n":{N},"texts":[\n')
        f.write(",\n".join(json.dumps(t, separators=(",", ":")) for t in texts) + "\n]}\n")


main(*sys.argv[1:])
