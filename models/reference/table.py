#!/usr/bin/env python3
"""Prints the README's tables: of accuracies measured by depthkv, and of those that the trainer measured last.

    python3 models/reference/table.py results/reference/cells.csv
    python3 models/reference/table.py models/reference/curve.csv
"""
import csv
import json
import sys

AIM = {512: 0.95, 1024: 0.95, 2048: 0.90, 4096: 0.90}
SHOWN = ("num_chains", "num_cw")


def table(lengths, lines):
    """lines: name -> {length: text}"""
    print("| task | " + " | ".join(map(str, lengths)) + " |")
    print("| --- |" + " ---: |" * len(lengths))
    for name in sorted(lines):
        print(f"| {name} | " + " | ".join(lines[name].get(n, "") for n in lengths) + " |")


def measured(rows):
    lines, cells, sizes = {}, {}, {}
    for row in rows:
        if not row["score"]:
            continue
        params, n = json.loads(row["task_params"]), int(row["length"])
        name = " ".join([row["task"]] + [f"{p}={params[p]}" for p in SHOWN if p in params])
        text = "{:.3f} [{:.3f}, {:.3f}] n {}".format(*(float(row[c]) for c in ("score", "score_lo", "score_hi")), row["n"])
        lines.setdefault(name, {})[n] = text
        cells.setdefault(n, {})[name] = float(row["score"])
        sizes.setdefault(n, set()).add(int(row["n"]))
    table(sorted(cells), lines)
    print()
    for n, scores in sorted(cells.items()):
        short = [f"{name} ({s:.3f})" for name, s in sorted(scores.items()) if s < AIM[n]]
        size = "-".join(map(str, sorted({min(sizes[n]), max(sizes[n])})))
        print(f"- {n} tokens, {size} samples a task: {len(scores) - len(short)} of {len(scores)} reach {AIM[n]:.2f}; "
              f"short of it: {', '.join(short) or 'none'}")


def trained(rows):
    rows = [r for r in rows if r["what"] == "eval"]
    lines = {}
    for row in rows:
        if row["step"] == rows[-1]["step"]:
            lines.setdefault(row["task"], {})[int(row["length"])] = f"{float(row['value']):.3f}"
    table(sorted({n for line in lines.values() for n in line}), lines)


def main():
    with open(sys.argv[1], newline="", encoding="utf-8") as f:
        rows = list(csv.DictReader(f))
    (trained if rows and "what" in rows[0] else measured)(rows)


main()
