"""Policies in NumPy from their definitions, for the scripts beside. a: attention [query heads][queries][entries], zero above
the diagonal; values [KV heads][entries][head_dim]. Scores are [KV heads][entries]; higher = keep.
"""
import base64

import numpy as np


def h2o(a, group, normalise):
    n = a.shape[-1]
    s = a.sum(1).reshape(-1, group, n).mean(1)
    return s / (n - np.arange(n)) if normalise == "visible" else s


def depthkv(a, values, group, value):
    later = np.stack([np.tril(x, -1).sum(0) for x in a])
    norm = {"none": np.ones(values.shape[:2]), "l1": np.abs(values).sum(-1), "l2": np.sqrt((values ** 2).sum(-1))}[value]
    return np.repeat((later * np.repeat(norm, group, 0)).sum(0, keepdims=True), values.shape[0], 0)


def kept(score, m, recent, shared, gap=1e-4):
    """What stays in every head, ascending: the last `recent`, then the best, the later position on a tie.

    Refuses scores whose last kept and first dropped one are nearer than `gap` (relative): float32 might swap them.
    """
    n = score.shape[1]
    recent = min(recent, m)
    out = []
    for s in [score.mean(0)] * score.shape[0] if shared else score:
        rest = sorted(range(n - recent), key=lambda j: (s[j], j), reverse=True)
        take = m - recent
        if 0 < take < len(rest):
            away = abs(s[rest[take - 1]] - s[rest[take]])
            assert away > gap * abs(s[rest[take]]), "too near: choose another seed"
        out.append(sorted(rest[:take]) + list(range(n - recent, n)))
    return out


def pack(sets):
    """Booleans [layer][head][n] as base64 bitmaps: bit j % 8 of byte j / 8 is entry j. A list per layer of lists per head; a
    list whose elements are all equal is cut to one."""
    def once(items):
        return items[:1] if all(i == items[0] for i in items) else items
    return once([once([base64.b64encode(np.packbits(h, bitorder="little").tobytes()).decode() for h in layer]) for layer in sets])
