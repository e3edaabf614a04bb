#!/usr/bin/env python3
"""Writes policies.json: small random layers, the scores that each policy gives them, and what stays at several budgets.

    python3 make_policies.py policies.json         needs numpy, torch, kvpress 0.5.5

knorm, keydiff, tova and snapkv (average pooling) are kvpress's own classes; h2o, depthkv and snapkv with maximum pooling
are NumPy, float64, from the definitions (h2o and depthkv in definitions.py). h2o with normalise: visible is checked against kvpress's
ObservedAttention. `compared` entries have comparable scores: kvpress puts a constant on the entries that it protects.
Entry lists are those of the budget m: protected recents first, then the best, the later position on a tie. Seeds whose
last kept and first dropped score are nearer than 1e-4 (relative) are refused, so that float32 can't change a list.
"""
import json
import sys
from types import SimpleNamespace

import numpy as np
import torch
from kvpress import KeyDiffPress, KnormPress, ObservedAttentionPress, SnapKVPress, TOVAPress

from definitions import depthkv, h2o, kept


def layer(seed, n, n_kv, group, d):
    r = np.random.default_rng(seed)
    keys, values = (r.normal(size=(n_kv, n, d)).astype(np.float32) for _ in range(2))
    logits = r.normal(size=(n_kv * group, n, d)) @ np.repeat(keys, group, 0).astype(np.float64).transpose(0, 2, 1) / np.sqrt(d)
    logits[:, np.triu(np.ones((n, n), bool), 1)] = -np.inf
    a = np.exp(logits - logits.max(-1, keepdims=True))
    return keys, values, (a / a.sum(-1, keepdims=True)).astype(np.float32)


def snapkv_max(a, group, w, kernel):
    n = a.shape[-1]
    mean = a[:, -w:, :-w].mean(1)
    at = [np.arange(max(0, j - kernel // 2), min(n - w, j - kernel // 2 + kernel)) for j in range(n - w)]
    pooled = np.stack([mean[:, i].max(1) for i in at], 1).reshape(-1, group, n - w).mean(1)
    return np.pad(pooled, ((0, 0), (0, w)), constant_values=pooled.max() + 1)


def press(cls, keys, values, a, n_kv, **args):
    module = SimpleNamespace(config=SimpleNamespace(num_attention_heads=a.shape[0], num_key_value_heads=n_kv), head_dim=keys.shape[-1])
    k, v, att = (torch.from_numpy(x)[None] for x in (keys, values, a))
    p = cls(compression_ratio=0.5, **args)
    hidden = torch.zeros(1, keys.shape[1], 1)
    return p.score(module, hidden, k, v, att, {})[0].numpy().astype(np.float64)


def case(seed, n, n_kv, group, d, w):
    keys, values, a = layer(seed, n, n_kv, group, d)
    a64, v64 = a.astype(np.float64), values.astype(np.float64)
    budgets = [1, 2, 7, n // 2, n - 1]
    observed = press(ObservedAttentionPress, keys, values, a, n_kv)
    assert np.allclose(observed, h2o(a64, group, "visible"), rtol=1e-5)

    expect = []

    def add(policy, params, score, recent, compared=n, heads="uniform", least=1):
        rows = [{"m": m, "entries": kept(score, m, recent(m), heads == "shared")} for m in budgets if m >= least]
        if heads == "uniform" and policy in ("knorm", "keydiff", "snapkv"):  # kvpress's own way: the m largest
            for row in rows:
                top = torch.from_numpy(score).topk(row["m"], dim=-1).indices.sort().values.tolist()
                assert top == row["entries"], (policy, row["m"])
        expect.append({"policy": policy, "params": params, "heads": heads, "compared": compared,
                       "score": [[float(f"{x:.9g}") for x in s] for s in score], "kept": rows})

    add("knorm", {}, press(KnormPress, keys, values, a, n_kv), lambda m: 0)
    add("keydiff", {}, press(KeyDiffPress, keys, values, a, n_kv), lambda m: 0)
    add("tova", {}, press(TOVAPress, keys, values, a, n_kv), lambda m: 1, n - 1, "shared")
    for kernel in (1, 5):
        args = {"window": str(w), "kernel": str(kernel)}
        add("snapkv", {**args, "pooling": "avg"}, press(SnapKVPress, keys, values, a, n_kv, window_size=w, kernel_size=kernel),
            lambda m: w, n - w, least=w)
        # pooled maxima tie with their neighbours by nature: only the scores are compared
        add("snapkv", {**args, "pooling": "max"}, snapkv_max(a64, group, w, kernel), lambda m: w, n - w, least=n + 1)
    for normalise in ("none", "visible"):
        for recent, count in (("half", lambda m: m // 2), ("0", lambda m: 0), ("3", lambda m: 3)):
            for heads in ("uniform", "shared"):
                add("h2o", {"recent": recent, "normalise": normalise}, h2o(a64, group, normalise), count, heads=heads)
    for value in ("none", "l1", "l2"):
        add("depthkv", {"value": value}, depthkv(a64, v64, group, value), lambda m: 0, heads="shared")
    tri = [[float(str(x)) for i in range(n) for x in q[i, :i + 1]] for q in a]
    return {"n": n, "n_kv_head": n_kv, "n_group": group, "head_dim": d, "keys": [[float(str(x)) for x in k.ravel()] for k in keys],
            "values": [[float(str(x)) for x in v.ravel()] for v in values], "attention": tri, "expect": expect}


def main():
    cases = [case(1, 20, 2, 2, 4, 6), case(2, 13, 1, 3, 8, 5), case(3, 15, 3, 1, 2, 4)]
    lines = []
    for c in cases:
        expect = ",\n".join(json.dumps(x) for x in c.pop("expect"))
        lines.append(json.dumps(c)[:-1] + ', "expect": [\n' + expect + "]}")
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write("[\n" + ",\n".join(lines) + "\n]\n")


main()
