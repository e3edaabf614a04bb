#!/usr/bin/env python3
"""Tables (Markdown) of the lines of scaling.py: scaling_table.py RESULTS.jsonl [--plot FILE.svg|FILE.png]

Of several rounds and repeats the best time counts, on either side; ratio is theirs / ours: how many times as fast ours is.
--plot draws tokens a second of the prefill over threads, a panel a shape (needs gnuplot).
"""
import argparse
import json
import subprocess
import sys

NAMES = {"f32": "float32", "bf16": "bf16"}


def best(lines):
    """What was measured, by side, work, shape, form, threads, tokens: the quickest line."""
    out = {}
    for line in lines:
        if "seconds" in line:
            key = tuple(line[k] for k in ("side", "work", "shape", "form", "threads", "tokens"))
            if key not in out or min(line["seconds"]) < min(out[key]["seconds"]):
                out[key] = line
    return out


def fastest(line):
    return min(line["seconds"]) if line else None


def cell(x, form="{:.3f}"):
    return "-" if x is None else form.format(x)


def divided(a, b, form="{:.2f}"):
    return "-" if a is None or b is None else form.format(a / b)


def table(head, rows):
    if rows:
        print("| " + " | ".join(head) + " |\n| " + " | ".join(["---"] * 2 + ["---:"] * (len(head) - 2)) + " |")
        for row in rows:
            print("| " + " | ".join(row) + " |")
        print()


def machine(lines):
    said = [line for line in lines if line["side"] == "machine"]
    for m in {json.dumps({k: v for k, v in x.items() if k != "when"}, sort_keys=True): x for x in said}.values():
        print(f"{m['cores']} cores ({m['cpus']} CPUs), {m['cpu']} ({', '.join(m['flags'])}), {m['memory_gib']} GiB; {m['depthkv']}; "
              f"torch {m.get('torch', '-')}, transformers {m.get('transformers', '-')}" + (f"; {m['gpu']}" if "gpu" in m else ""))
    print()


def limit_of(line):
    return line.get("limit_s") if line else None


def passes(found, work):
    rows = []
    keys = sorted({k[2:] for k in found if k[1] == work}, key=lambda k: (k[0], k[1] != "f32", k[2]))
    for shape, form, threads, tokens in keys:
        a, b = (found.get((side, work, shape, form, threads, tokens)) for side in ("depthkv", "transformers"))
        ours, theirs = fastest(a), fastest(b)
        way = min(b["ways"], key=lambda w: min(b["ways"][w])) if b else "-"
        ratio = divided(limit_of(a), ours) if work == "prefill" else divided(ours, limit_of(a))
        rows.append([f"{shape}, {tokens} tokens", f"{NAMES[form]}, {threads}", cell(ours), cell(theirs), divided(theirs, ours), ratio, way])
    what = {"prefill": "prefill", "decode": "one token cached behind"}[work]
    table([what, "form, threads", "ours, s", "transformers, s", "theirs / ours",
           "limit / time" if work == "prefill" else "time / limit", "their best way"], rows)


def scaling(found, lines):
    """Speed-up over the fewest threads, of products, reading and prefills."""
    rates = {}
    for line in lines:
        if line.get("work") == "products" and "best" in line:
            for kind, rate in line["best"].items():
                at = rates.setdefault(("torch, " + ("reading" if kind == "read" else f"products in {NAMES[kind]}"), ""), {})
                at[line["threads"]] = max(rate, at.get(line["threads"], 0))
    for (side, work, shape, form, threads, tokens), line in found.items():
        if work == "prefill":
            rates.setdefault((f"{side}, prefill of {tokens} in {NAMES[form]}", shape), {})[threads] = tokens / fastest(line)
            for kind, rate in (line.get("limits") or {}).items():
                if kind in ("square", "bandwidth") and form == "f32":
                    at = rates.setdefault((f"depthkv's limit, {kind}", ""), {})
                    at[threads] = max(rate, at.get(threads, 0))
    every = sorted({t for at in rates.values() for t in at})
    rows = []
    for (what, shape), at in sorted(rates.items(), key=lambda x: x[0][::-1]):
        first = min(at)
        read = "reading" in what or "bandwidth" in what
        unit = (lambda x: f"{x:.0f} tokens/s") if shape else (lambda x, of="GB/s" if read else "GFLOP/s": f"{x / 1e9:.0f} {of}")
        rows.append([what, shape] + [f"{unit(at[t])} ({at[t] / at[first]:.2f})" if t in at else "-" for t in every])
    table(["rate (speed-up)", "shape"] + [f"{t} thread{'s' * (t > 1)}" for t in every], rows)


def sweeps(found):
    rows = []
    for (side, work, shape, form, threads, tokens), theirs in sorted(found.items(), key=str):
        if side != "kvpress":
            continue
        left = [p for p, times in theirs["presses"].items() if not times]
        for (_, _, _, our_form, our_threads, _), ours in [x for x in found.items() if x[0][:3] == ("depthkv", work, shape) and x[0][5] == tokens]:
            rows.append([f"{shape}, {tokens} tokens", f"{NAMES[our_form]}, {our_threads}", cell(fastest(ours), "{:.2f}"),
                         cell(fastest(theirs), "{:.2f}"), str(theirs["cells"]), divided(fastest(theirs), fastest(ours)),
                         ", ".join(left) or "-"])
    table(["32 cells", "our form, threads", "ours, s", "kvpress, s", "its cells", "theirs / ours", "out of memory"], rows)


def plot(found, path):
    shapes = sorted({k[2] for k in found if k[1] == "prefill"})
    script = [f"set terminal {'svg' if path.endswith('.svg') else 'pngcairo'} size {430 * len(shapes)},390 font 'sans,11'",
              f"set output {json.dumps(path)}", f"set multiplot layout 1,{len(shapes)}", "set logscale xy 2", "set grid lc '#dddddd'",
              "set key bmargin center horizontal maxcols 2 height 1", "set xlabel 'threads'", "set ylabel 'tokens a second'", "set format y '%.0f'"]
    for shape in shapes:
        curves, data = [], []
        for side, colour in (("depthkv", "#0072b2"), ("transformers", "#d55e00")):
            for form, dash, point in (("f32", 1, 7), ("bf16", 2, 5)):
                points = sorted((k[4], k[5] / fastest(v)) for k, v in found.items() if k[:4] == (side, "prefill", shape, form))
                if points:
                    name = f"$d{len(data)}"
                    data.append(f"{name} << EOD\n" + "\n".join(f"{t} {rate}" for t, rate in points) + "\nEOD")
                    curves.append(f"{name} with linespoints lw 2 lc '{colour}' dt {dash} pt {point} title '{side}, {NAMES[form]}'")
        threads = sorted({k[4] for k in found if k[1] == "prefill" and k[2] == shape})
        script += data + [f"set title '{shape}'", f"set xrange [{threads[0] * 0.9}:{threads[-1] * 1.1}]",
                          "set xtics (" + ", ".join(map(str, threads)) + ")", "plot " + ", ".join(curves)]
    subprocess.run(["gnuplot"], input="\n".join(script) + "\n", text=True, check=True)


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("results", nargs="+")
    a.add_argument("--plot")
    o = a.parse_args()
    lines = []
    for name in o.results:
        with open(name, encoding="utf-8") as f:
            lines += [json.loads(line) for line in f if line.strip()]
    found = best(lines)
    if not lines:
        sys.exit("no lines")
    machine(lines)
    passes(found, "prefill")
    passes(found, "decode")
    scaling(found, lines)
    sweeps(found)
    if o.plot:
        plot(found, o.plot)


if __name__ == "__main__":
    main()
