#!/usr/bin/env python3
"""Ours against transformers and kvpress on the same work: the same weights in float32, the same CPUs, one after the other,
alternating, in one run. `make bench-peers` sets up what it needs.

    bench_peers.py DEPTHKV MODEL.h5 [--repeats N] [--quick] [--only limits,prefill,decode,sweep] [--json FILE]

limits    what `depthkv bench` says of this machine against NumPy (limits.py): of products OpenBLAS's rate, since both have that library;
          a limit that is more than 5 % below makes the exit status 1
prefill   2048 tokens: bench's pp2048; transformers, sdpa attention, no logits
decode    one token after 2048 cached ones: bench's tg32@2048; transformers with its DynamicCache
sweep     one prompt of 2048 tokens, 16 new tokens, 32 cells that keep 0.75, 0.5, 0.25 and 0.1: bench's sweep32 (random,
          streaming, knorm, snapkv, tova, keydiff, h2o, depthkv, and the full cache on top); kvpress with observed and expected
          attention in place of the last two, as its pipeline does it: prefill under the press, then one token at a time.
          Observed attention needs eager attention, the others run with sdpa.

transformers hands grouped keys to torch's sdpa, which on a CPU then leaves its flash attention aside: so it comes. "tuned" repeats
the keys before, which takes less than half the time; the sweep runs tuned.

--quick   one repeat; of kvpress's sweep only the eight cells that keep 0.5, times four
Ratios are theirs / ours: how many times longer they take. Model loading, tokenising and a first warm-up are not counted.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../vectors"))
N, DECODE_STEPS, NEW_TOKENS = 2048, 32, 16
REMOVED = [0.25, 0.5, 0.75, 0.9]
LIMITS = {"square": "sgemm, square", "qk": "sgemm, inner length head_dim", "pv": "sgemm, width head_dim",
          "rows32": "sgemm, 32 rows", "bandwidth": "reading memory"}
AGREE = 0.05


def say(text):
    print(text, file=sys.stderr, flush=True)


class Ours:
    def __init__(self, program, model):
        self.command = [program, "bench", "-m", model, "--json", "-q"]

    def bench(self, only, repeats=1):
        out = subprocess.run(self.command + ["-r", str(repeats), "--only", only], stdout=subprocess.PIPE, check=True).stdout
        return json.loads(out)

    def seconds(self, test):
        [row] = [t for t in self.bench(test)["tests"] if t["test"] == test]
        if "skipped" in row:
            sys.exit(f"depthkv bench: {test}: {row['skipped']}")
        return row["seconds"]


class Peers:
    """The rivals; torch is loaded late, so that it does not stand beside measurements that do without."""

    def __init__(self, path):
        import torch
        import smollm2
        self.torch = torch
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        model = smollm2.Model(path)
        text = smollm2.book("pg19_10146.txt")[:12 * N].decode("utf-8", "ignore")
        self.ids = torch.tensor([model.encode(text)[:N]])
        assert self.ids.shape[1] == N
        self.hf = model.hugging_face("sdpa")
        self.tune(True)
        self.prefill()

    def tune(self, on):
        from transformers.integrations import sdpa_attention
        self.as_it_comes = getattr(self, "as_it_comes", sdpa_attention.use_gqa_in_sdpa)
        sdpa_attention.use_gqa_in_sdpa = (lambda *_: False) if on else self.as_it_comes

    def prefill(self, ids=None, press=None):
        """Returns (seconds, cache)."""
        import contextlib
        import transformers
        cache = transformers.DynamicCache()
        start = time.perf_counter()
        with self.torch.inference_mode(), press(self.hf) if press else contextlib.nullcontext():
            self.hf.model(input_ids=self.ids if ids is None else ids, past_key_values=cache)
        return time.perf_counter() - start, cache

    def greedy(self, cache, token, position, steps):
        """Feeds `token`, then what it predicts; seconds."""
        start = time.perf_counter()
        with self.torch.inference_mode():
            for i in range(steps):
                out = self.hf(input_ids=token, past_key_values=cache, position_ids=self.torch.tensor([[position + i]]))
                token = out.logits[:, -1:].argmax(-1)
        return time.perf_counter() - start

    def decode(self):
        _, cache = self.prefill()
        self.greedy(cache, self.ids[:, :1], N, 2)
        return self.greedy(cache, self.ids[:, :1], N + 2, DECODE_STEPS) / DECODE_STEPS

    def cell(self, make, removed, attention):
        self.hf.set_attn_implementation(attention)
        press = make(removed)
        seconds, cache = self.prefill(self.ids[:, :-1], press)
        return seconds + self.greedy(cache, self.ids[:, -1:], N - 1, NEW_TOKENS)

    def sweep(self, removed):
        import kvpress
        presses = {
            "random": (kvpress.RandomPress, "sdpa"), "streaming": (kvpress.StreamingLLMPress, "sdpa"),
            "knorm": (kvpress.KnormPress, "sdpa"), "snapkv": (kvpress.SnapKVPress, "sdpa"), "tova": (kvpress.TOVAPress, "sdpa"),
            "keydiff": (kvpress.KeyDiffPress, "sdpa"), "expected attention": (kvpress.ExpectedAttentionPress, "sdpa"),
            "observed attention": (kvpress.ObservedAttentionPress, "eager"),
        }
        total = 0.0
        for name, (make, attention) in presses.items():
            times = [self.cell(make, r, attention) for r in removed]
            say(f"  kvpress {name}: " + ", ".join(f"{t:.1f} s" for t in times))
            total += sum(times)
        self.hf.set_attn_implementation("sdpa")
        return total


def limits(ours, hp, repeats):
    """Best rate of each kind on either side, measured in turn."""
    best = {name: [0.0, 0.0] for name in LIMITS}
    shape = [str(x) for x in (hp["d_model"], hp["head_dim"], hp["n_head"] // hp["n_kv_head"])]
    for i in range(repeats):
        say(f"limits: {i + 1} of {repeats}")
        a = ours.bench("limits")["limits"]
        b = json.loads(subprocess.run([sys.executable, os.path.join(HERE, "limits.py"), *shape], stdout=subprocess.PIPE, check=True).stdout)
        for name, pair in best.items():
            best[name] = [max(pair[0], a[name].get("OpenBLAS") or a[name]["best"]), max(pair[1], b[name])]
    return best


def print_limits(best):
    apart = [n for n, (a, b) in best.items() if a / b < 1 - AGREE]
    print(f"{'limit':32} {'bench':>9} {'NumPy':>9}   bench / NumPy")
    for name, (a, b) in best.items():
        print(f"{LIMITS[name]:32} {a / 1e9:9.1f} {b / 1e9:9.1f}   {a / b:.3f}{'  more than 5 % below' if name in apart else ''}")
    print("(GFLOP/s; GB/s for reading)\n")
    return not apart


def print_ratio(what, ours, theirs, rival, note=""):
    a, b = statistics.median(ours), statistics.median(theirs)
    print(f"{what:32} {a:9.4f} {b:9.4f}   {b / a:.2f} x  {rival}{note}", flush=True)
    return {"what": what, "rival": rival + note, "ours_s": ours, "theirs_s": theirs, "ratio": b / a}


def alternate(what, repeats, mine, theirs):
    a, b = [], []
    for i in range(repeats):
        say(f"{what}: {i + 1} of {repeats}")
        a += mine()
        b.append(theirs())
    return a, b


def versions():
    from importlib.metadata import version
    return ", ".join(f"{p} {version(p)}" for p in ("torch", "transformers", "kvpress", "numpy"))


def main():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("program")
    a.add_argument("model")
    a.add_argument("--repeats", type=int, default=3)
    a.add_argument("--quick", action="store_true")
    a.add_argument("--only", default="limits,prefill,decode,sweep")
    a.add_argument("--json")
    o = a.parse_args()
    only = o.only.split(",")
    unknown = set(only) - {"limits", "prefill", "decode", "sweep"}
    if unknown or o.repeats < 1:
        a.error(f"--only: {', '.join(unknown)} unknown" if unknown else "--repeats: at least 1")
    repeats = 1 if o.quick else o.repeats
    ours, ok, found = Ours(o.program, o.model), True, {"versions": versions(), "rows": []}
    print(found["versions"] + f", {len(os.sched_getaffinity(0))} CPUs\n")
    if "limits" in only:
        import h5py
        with h5py.File(o.model) as f:
            found["limits"] = limits(ours, f.attrs, max(repeats, 3))  # other guests of the host come and go
        ok = print_limits(found["limits"])
    if set(only) - {"limits"}:
        say("loading the model")
        peers = Peers(o.model)
        print(f"{'work':32} {'ours, s':>9} {'theirs, s':>9}   theirs / ours")
    for name, what, test, work in (("prefill", f"prefill of {N} tokens", "pp2048", lambda: peers.prefill()[0]),
                                   ("decode", f"one token at {N} cached", "tg32@2048", lambda: peers.decode())):
        for tuned in (False, True) if name in only else ():
            peers.tune(tuned)
            rival = "transformers, " + ("tuned" if tuned else "as it comes")
            pair = alternate(f"{name}, {rival}", repeats, lambda: ours.seconds(test), work)
            found["rows"].append(print_ratio(what, *pair, rival))
    if "sweep" in only:
        peers.tune(True)
        some, times = ([0.5], 4) if o.quick else (REMOVED, 1)
        pair = alternate("sweep", 1, lambda: ours.seconds("sweep32"), lambda: times * peers.sweep(some))
        found["rows"].append(print_ratio("sweep of 32 cells", *pair, "kvpress", " (8 cells, times 4)" if o.quick else ""))
    if o.json:
        with open(o.json, "w", encoding="ascii") as f:
            json.dump(found, f, indent=1)
    if not ok:
        say("a limit of bench is more than 5 % below NumPy's (was the machine idle?)")
    return 0 if ok else 1


sys.exit(main())
