#!/usr/bin/env python3
"""Writes stats.json: small samples and their statistics by full enumeration, with the standard library alone.

    python3 make_stats.py stats.json

boot: the 2 %, 3 %, 97 % and 98 % points of the mean over all n^n resamples: 10,000 random ones must have their 2.5 %
point between the first two and their 97.5 % point between the others (0.5 % is three standard errors of a share).
p: share of all 2^n sign patterns whose |sum| reaches the observed one. wilson: from the closed form.
"""
import itertools
import json
import math
import random
import statistics
import sys
from fractions import Fraction


def sign_flip(sums):
    seen = abs(sum(sums))
    patterns = list(itertools.product([1, -1], repeat=len(sums)))
    return sum(abs(sum(s * x for s, x in zip(p, sums))) >= seen for p in patterns) / len(patterns)


def boot(groups):
    means = sorted(float(sum(sum(g) for g in pick) / sum(len(g) for g in pick))
                   for pick in itertools.product(groups, repeat=len(groups)))
    return [means[math.ceil(q * len(means)) - 1] for q in (0.02, 0.03, 0.97, 0.98)]


def cluster_se(groups):
    n, g = sum(len(c) for c in groups), len(groups)
    mean = sum(sum(c) for c in groups) / n
    return math.sqrt(g / (g - 1) * float(sum((sum(c) - len(c) * mean) ** 2 for c in groups))) / n


def main():
    r = random.Random(3)
    samples = [[0, 1], [1, 1, 1, 1], [0.25, 0.5, 1, 0], [3, 1, 4, 1, 5], [0.1, 0.7, -0.4, 0.2, 0.9, -0.3], [1e6, 1e6 + 1, 1e6 + 2],
               [round(r.gauss(0, 1), 3) for _ in range(6)], [0, 0, 0, 0, 0, 1]]
    out = {"samples": [], "clusters": [], "wilson": []}
    for x in samples:
        f = [Fraction(str(v)) for v in x]
        out["samples"].append({"x": x, "mean": float(sum(f) / len(f)), "se": statistics.stdev(f) / math.sqrt(len(f)),
                               "boot": boot([[v] for v in f]), "p": sign_flip(f)})
    for x, group in [([1, 2, 3, 4], [1, 1, 2, 2]), ([0.5, -0.25, 1, 0.75, 0.125], [9, -4, 9, 3, 3]), ([1, 1, 1, 2, 5, 0], [0, 0, 0, 1, 2, 2])]:
        f = [Fraction(str(v)) for v in x]
        groups = [[v for v, g in zip(f, group) if g == name] for name in dict.fromkeys(group)]
        out["clusters"].append({"x": x, "group": group, "mean": float(sum(f) / len(f)), "se": cluster_se(groups), "boot": boot(groups),
                                "p": sign_flip([sum(g) for g in groups])})
    z = statistics.NormalDist().inv_cdf(0.975)
    for k, n in [(0, 10), (10, 10), (5, 10), (1, 1), (0, 1), (81, 263), (999, 1000)]:
        p, d = k / n, 1 + z * z / n
        mid, half = (p + z * z / (2 * n)) / d, z / d * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        out["wilson"].append({"k": k, "n": n, "lo": max(0.0, mid - half), "hi": min(1.0, mid + half)})
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write("{\n" + ",\n".join(json.dumps(k) + ": [\n" + ",\n".join(json.dumps(c) for c in v) + "\n]" for k, v in out.items()) + "\n}\n")


main()
