#!/usr/bin/env python3
"""Writes repr.json: representation metrics in both definitions, and rank statistics (numpy, scipy 1.11 or newer).

    python3 make_repr.py repr.json

The formulas are those of harness/layer_metrics/repr.h, written as the papers have them: whole matrices, no shortcut that the C code
takes (LiDAR's matrix and its inverse square root are formed; DiME permutes with a matrix). Small p-values of
permutations come from full enumeration.
"""
import itertools
import json
import math
import sys

import numpy as np
from scipy import linalg, special, stats


def entropy(p, alpha=1.0):
    p = np.maximum(p, 0)
    p = p[p > 0] / p.sum()
    return float(-(p * np.log(p)).sum() if alpha == 1 else np.log((p ** alpha).sum()) / (1 - alpha))


def unit(z):
    return z / np.linalg.norm(z, axis=-1, keepdims=True)


def angle(a, b):
    return np.arccos(np.clip((unit(a) * unit(b)).sum(-1), -1, 1))


def depthkv_tokens(x, knn):
    h = entropy(linalg.svdvals(x - x.mean(0)))
    c = unit(x) @ unit(x).T
    np.fill_diagonal(c, -np.inf)
    near = -np.sort(-c, axis=1)[:, :min(knn, len(x) - 1)]
    return [h, math.exp(h), float(1 - near.mean())]


def skean_tokens(x, alpha, turning):
    z = unit(x - x.mean(0))
    h = entropy(linalg.eigvalsh(z @ z.T), alpha)
    v = np.diff(z, axis=0) if turning else z
    return [h, math.exp(h), float(angle(v[:-1], v[1:]).mean())]


def depthkv_pooled(a, b, temperature, standard):
    o, v = unit(a), unit(b)
    positive = (o * v).sum(1)
    s = o @ o.T
    if standard:
        np.fill_diagonal(s, positive)
    return {"dime": (1 - positive).tolist(), "lidar": np.linalg.norm(a - b, axis=1).tolist(),
            "infonce": (special.logsumexp(s / temperature, axis=1) - positive / temperature).tolist()}


def skean_dime(a, b, alpha, permutations):
    def joint(k, l):
        m = k * l
        return entropy(linalg.eigvalsh(m / np.trace(m)), alpha)
    ka, kb = a @ a.T, b @ b.T
    p = [np.eye(len(a))[list(order)] for order in permutations]
    return float(np.mean([joint(ka, q @ kb @ q.T) for q in p]) - joint(ka, kb))


def skean_infonce(a, b, temperature):
    n = len(a)
    s = np.exp(np.vstack([a, b]) @ np.vstack([a, b]).T / temperature)
    loss = []
    for r in range(2 * n):
        pos = s[r, (r + n) % (2 * n)]
        neg = sum(s[r, c] for c in range(2 * n) if c % n != r % n)
        loss.append(-math.log(pos / (pos + neg)))
    return [(loss[i] + loss[i + n]) / 2 for i in range(n)]


def skean_lidar(x, alpha):
    mu, every = x.mean(1), x.mean(1).mean(0)
    sb = np.mean([np.outer(m - every, m - every) for m in mu], axis=0)
    sw = np.mean([np.outer(v - m, v - m) for m, views in zip(mu, x) for v in views], axis=0) + 1e-4 * np.eye(x.shape[2])
    root = linalg.inv(linalg.sqrtm(sw).real)
    return entropy(linalg.eigvalsh(root @ sb @ root), alpha)


def residual(x, z):
    slope, level = np.polyfit(z, x, 1)
    return x - slope * z - level


def enumerate_p(x, y):
    seen = abs(stats.pearsonr(x, y)[0])
    r = [abs(stats.pearsonr(x, np.array(q))[0]) >= seen - 1e-9 for q in itertools.permutations(y)]
    return float(np.mean(r))


def ranks(x, y):
    n = len(x)
    z = np.arange(n, dtype=float)
    rx, ry, rz = (stats.rankdata(v) for v in (x, y, z))
    seen = abs(stats.spearmanr(x, y)[0])
    reach = [abs(stats.spearmanr(x, np.roll(y, s))[0]) >= seen - 1e-9 for s in range(n)]
    ex, ey = residual(rx, rz), residual(ry, rz)
    out = {"x": x, "y": y, "rank": rx.tolist(), "rho": float(stats.spearmanr(x, y)[0]), "p_shift": float(np.mean(reach)),
           "partial": float(stats.pearsonr(ex, ey)[0])}
    if n <= 8:
        out["p"], out["partial_p"] = enumerate_p(rx, ry), enumerate_p(ex, ey)
    else: # of the permutation's limit, which 10,000 random ones know to about 0.01
        out["p"], out["partial_p"] = float(stats.spearmanr(x, y)[1]), float(stats.pearsonr(ex, ey)[1])
    return out


def main():
    r = np.random.default_rng(6)
    out = {"tokens": [], "pooled": [], "ranks": [], "bh": []}
    for t, d, knn, alpha in [(12, 7, 5, 1.0), (5, 9, 3, 2.0), (4, 3, 5, 0.5), (90, 6, 5, 1.0)]:
        x = np.round(np.cumsum(r.normal(0, 1, (t, d)), 0) * 0.3 + r.normal(0, 1, d), 3)
        f = x.astype(np.float32).astype(np.float64)
        out["tokens"].append({"n": t, "width": d, "knn": knn, "alpha": alpha, "x": x.ravel().tolist(),
                              "depthkv": depthkv_tokens(f, knn), "skean": skean_tokens(f, alpha, True),
                              "skean_code": skean_tokens(f, alpha, False), "pool_depthkv": f.mean(0).tolist(),
                              "pool_skean": unit(f - f.mean(0)).mean(0).tolist()})
    for n, v, d, alpha, temperature in [(6, 3, 5, 1.0, 0.1), (4, 2, 9, 2.0, 1.0), (9, 4, 3, 1.0, 0.5)]:
        x = np.round(r.normal(0, 1, (n, 1, d)) + 0.4 * r.normal(0, 1, (n, v, d)), 3)
        a, b = x[:, 0], x[:, 1]
        orders = [r.permutation(n).tolist() for _ in range(4)]
        out["pooled"].append({"n": n, "views": v, "width": d, "alpha": alpha, "temperature": temperature, "x": x.ravel().tolist(),
                              "permutation": sum(orders, []), "printed": depthkv_pooled(a, b, temperature, False),
                              "standard": depthkv_pooled(a, b, temperature, True), "dime": skean_dime(a, b, alpha, orders),
                              "infonce": skean_infonce(a, b, temperature), "lidar": skean_lidar(x, alpha)})
    for x, y in [([1, 2, 4, 3, 6, 5], [2, 1, 4, 3, 7, 5]), ([3, 1, 1, 2, 9, 4, 4], [0.5, 0, 0.25, 0.25, 0.1, 1, 2]),
                 ([5, 3, 4, 1], [1, 7, 2.5, 2]),
                 (np.round(r.normal(0, 1, 30) + np.arange(30) / 9, 2).tolist(), np.round(r.normal(0, 1, 30) + np.arange(30) / 9, 2).tolist())]:
        out["ranks"].append(ranks(x, y))
    for p in [[0.01, 0.04, 0.03, 0.005, 0.5], [0.2, 0.2, 1, 0.9], [0.001], np.round(r.uniform(0, 1, 12) ** 3, 4).tolist()]:
        out["bh"].append({"p": p, "q": stats.false_discovery_control(p).tolist()})
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write("{\n" + ",\n".join(json.dumps(k) + ": [\n" + ",\n".join(json.dumps(c) for c in v) + "\n]" for k, v in out.items()) + "\n}\n")


main()
