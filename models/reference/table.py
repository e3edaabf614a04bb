#!/usr/bin/env python3
"""Prints the README's table of accuracies, and which tasks miss the aim, from the cells.csv of experiments/reference.yaml.

    python3 models/reference/table.py results/reference/cells.csv
"""
import csv
import json
import sys

AIM = {512: 0.95, 1024: 0.95, 2048: 0.90, 4096: 0.90}
SHOWN = ("num_chains", "num_cw")


def main():
    cells, sizes = {}, {}
    with open(sys.argv[1], newline="", encoding="utf-8") as f:
        for row in csv.DictReader(f):
            params = json.loads(row["task_params"])
            name = " ".join([row["task"]] + [f"{p}={params[p]}" for p in SHOWN if p in params])
            length = int(row["length"])
            cells.setdefault(name, {})[length] = row
            sizes.setdefault(length, set()).add(int(row["n"] or 0))
    lengths = sorted(n for n in sizes if sizes[n] != {0})
    print("| task | " + " | ".join(map(str, lengths)) + " |")
    print("| --- |" + " ---: |" * len(lengths))
    for name, by_length in cells.items():
        shown = []
        for length in lengths:
            row = by_length.get(length)
            shown.append("{:.3f} [{:.3f}, {:.3f}]".format(*(float(row[c]) for c in ("score", "score_lo", "score_hi")))
                         if row and row["score"] else "not measured" if row else "")
        print(f"| {name} | " + " | ".join(shown) + " |")
    print()
    for length in lengths:
        scores = {name: float(c[length]["score"]) for name, c in cells.items() if length in c and c[length]["score"]}
        short = [f"{name} ({s:.3f})" for name, s in scores.items() if s < AIM[length]]
        n = sorted(sizes[length])
        print(f"- {length} tokens, {'-'.join(map(str, sorted({n[0], n[-1]})))} samples: {len(scores) - len(short)} of {len(scores)} "
              f"reach {AIM[length]:.2f}; short of it: {', '.join(short) or 'none'}")


main()
