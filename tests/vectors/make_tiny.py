#!/usr/bin/env python3
"""Writes tiny.json: what h2o and depthkv keep on three tiny random models, and how likely the text then goes on.

    python3 make_tiny.py tiny.json          needs numpy

Everything is float64 NumPy: the models llama64.py (weights: `hashed`, norms 1 + 0.1 (2 u - 1), the rest 0.2 (2 u - 1)), the
policies definitions.py. Tokens are the bytes of a text. The prompt is prefilled whole and cut once (prune_after: prompt); nll is
the mean over the answer's bytes, the first predicted by the prefill, the others, with their true positions, by the pruned cache.
"""
import json
import sys

import numpy as np

from definitions import depthkv, h2o, kept, pack
from llama64 import Llama, hashed, nll

VOCABULARY = 257
# layers, query heads, KV heads, head_dim, d_ff, tied, RoPE base
MODELS = [(2, 4, 4, 8, 24, True, 10000.0), (3, 6, 3, 16, 72, False, 500000.0), (2, 9, 3, 12, 50, True, 100000.0)]
CONTEXT = "It was a bright cold day in April, and the clocks were striking thirteen; number %d."
ANSWER = " He hurried."
BUDGETS = [9, 30, 61]
GAP = 2e-5  # float32 sums of at most 100 positive terms are within 1e-5 or so


def recents(params, m):
    return m // 2 if params["recent"] == "half" else int(params["recent"])


def cases():
    for normalise in ("none", "visible"):
        for recent in ("half", "0", "5"):
            yield "h2o", {"recent": recent, "normalise": normalise}
    for value in ("none", "l1", "l2"):
        yield "depthkv", {"value": value}


def weights(layers, heads, kv_heads, d, d_ff, tied):
    width = heads * d
    shape = {"attn_norm": (width,), "wq": (heads * d, width), "wk": (kv_heads * d, width), "wv": (kv_heads * d, width),
             "wo": (width, heads * d), "ffn_norm": (width,), "gate": (d_ff, width), "up": (d_ff, width), "down": (width, d_ff)}
    shapes = {f"layers/{i}/{k}": v for i in range(layers) for k, v in shape.items()}
    shapes |= {"embedding": (VOCABULARY, width), "output_norm": (width,)} | ({} if tied else {"output": (VOCABULARY, width)})
    return {k: hashed(k, v, 0.1 if "norm" in k else 0.2, float("norm" in k)) for k, v in shapes.items()}


def score(policy, params, a, values, group):
    return h2o(a, group, params["normalise"]) if policy == "h2o" else depthkv(a, values, group, params["value"])


def expectations(model, prompt, answer):
    first, kv, a = model.forward(prompt, attention=True, rows=[len(prompt) - 1])

    def predicted(past):
        return nll(np.concatenate([first, model.forward(answer[:-1], len(prompt), past)[0]]), answer)

    expect = []
    for policy, params in cases():
        scores = [score(policy, params, a[i], kv[i][1], model.n_head // model.n_kv) for i in range(model.n_layer)]
        for m in BUDGETS:
            sets = [kept(s, m, recents(params, m) if policy == "h2o" else 0, policy == "depthkv", GAP) for s in scores]
            past = [tuple(np.stack([x[h][entries] for h, entries in enumerate(layer)]) for x in pair)
                    for pair, layer in zip(kv, sets)]
            expect.append({"policy": policy, "params": params, "keep_tokens": m, "nll": round(predicted(past), 9),
                           "kept": pack([[np.isin(np.arange(len(prompt)), entries) for entries in layer] for layer in sets])})
    return predicted(kv), expect


def main(out):
    models = []
    for layers, heads, kv_heads, d, d_ff, tied, base in MODELS:
        model = Llama(weights(layers, heads, kv_heads, d, d_ff, tied), layers, heads, kv_heads, d, float(np.float32(1e-5)), base)
        for number in range(100):  # the first text without near ties
            context = CONTEXT % number
            try:
                full, expect = expectations(model, list(context.encode()), list(ANSWER.encode()))
                break
            except AssertionError:
                continue
        else:
            sys.exit("no text without near ties")
        print(f"{layers} layers, {heads}/{kv_heads} heads: text {number}, full {full:.6f}, {len(expect)} cells, largest change "
              f"{max(abs(x['nll'] - full) for x in expect):.4f}")
        models.append({"n_layer": layers, "n_head": heads, "n_kv_head": kv_heads, "head_dim": d, "d_ff": d_ff, "tied": int(tied),
                       "rope_base": base, "n_vocab": VOCABULARY, "n": len(context),
                       "texts": [{"context": context, "answer": ANSWER, "full": round(full, 9), "expect": expect}]})
    with open(out, "w", encoding="ascii") as f:
        f.write("[" + ",\n".join(json.dumps(m, separators=(",", ":")) for m in models) + "]\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
