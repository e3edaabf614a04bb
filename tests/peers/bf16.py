#!/usr/bin/env python3
"""What bf16 moves, ours beside transformers' own: the same texts through both, in float32 and in bf16.

    python3 tests/peers/bf16.py MODEL.h5 [--depthkv ./depthkv] [--texts 16] [--pruned 8] [--policies keydiff,snapkv] [--work DIR]

MODEL.h5 is SmolLM2 as `make smollm2` imports it. Needs what tests/vectors/make_kvpress.py needs. Prints two tables in Markdown:

1. The full cache. For every form the mean over positions of KL(float32 || form) of the next token's distribution, in nats,
   each side against its own float32; the share of positions where both have the same most likely token; and the form's nll
   of the next token less float32's, behind the semicolon the mean of its absolute value over texts. Ours come from
   `depthkv generate --logits`.
2. Pruned caches. `overlap`: of every layer and KV head the entries that the form and float32 both keep, as a share of those
   that at least one of them keeps (harness/README.md, kept_overlap), the mean of these. nll: of the 64 tokens behind the
   text, from the pruned cache, less float32's, likewise. Ours come from an experiment (rows.jsonl and kept.h5), theirs
   from kvpress.

Forms: weights (rounded to bf16, arithmetic in float32); bf16 (theirs: from_pretrained(dtype=torch.bfloat16), where all
activations, the residual stream and the cache are bf16; ours: arithmetic: bf16); and with the cache in bf16, where the
program has that axis. [ ]: 95 %, percentile bootstrap over texts, 10,000 resamples. The last column of either
table is ours less theirs on the same texts: below zero (overlap: above) ours moves less.
"""
import argparse
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile

import h5py
import numpy as np
import torch

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "../vectors"))
import smollm2  # noqa: E402  (found by the line above)

CONTINUATION = 64
PLACES = [(book, at) for at in (30000, 60000, 90000, 120000) for book in
          ("pg19_10146.txt", "pg19_15562.txt", "pg19_30752.txt", "pg19_30981.txt", "pg19_3890.txt")]
KEEPS = {0.5: 0.5, 0.2: 0.8}  # what stays: kvpress's ratio, of what goes
POLICIES = {  # ours, and the press that does the same; to h2o observed attention is the nearest; streaming goes by places alone
    "keydiff": ("keydiff", lambda k, r: k.KeyDiffPress(r)),
    "snapkv": ("{snapkv: {window: 64, kernel: 5, pooling: avg}}", lambda k, r: k.SnapKVPress(r, window_size=64, kernel_size=5)),
    "tova": ("tova", lambda k, r: k.TOVAPress(r)),
    "h2o": ("h2o", lambda k, r: k.ObservedAttentionPress(r)),
}
EXPERIMENT = """# What does bf16 move in pruned caches?
schema: 1
experiment: bf16
model: {model}
tasks: [{{jsonl: {{file: {records}, prompt: '{{context}}{{question}}{{answer_prefix}}', target_delimiter: ""}}}}]
samples: {n}
max_new_tokens: 1
measure: [score, nll]
record: {{kept: true}}
prune_after: prompt
sweep:
  - policy: [{policies}]
    keep: [{keeps}]
"""
FORMS = {"float32": {}, "weights": {"weight_dtype": "bf16"}, "bf16": {"arithmetic": "bf16"},
         "bf16, cache too": {"arithmetic": "bf16", "cache_dtype": "bf16"}}


def interval(x):
    """Mean over texts and its 95 % interval."""
    x = np.asarray(x, np.float64)
    draw = x[np.random.default_rng(1).integers(0, len(x), (10000, len(x)))].mean(1)
    return x.mean(), np.quantile(draw, 0.025), np.quantile(draw, 0.975)


def shown(x, form="{:.3g}"):
    return "{} [{}, {}]".format(*(form.format(v) for v in interval(x)))


def losses(x):
    return f"{shown(x, '{:+.2g}')}; {np.abs(x).mean():.2g}"


def moved(exact, logits, ids):
    """Of one text: mean KL from `exact`, share of equal top tokens, nll less that of `exact`."""
    p, q = (torch.as_tensor(x).double().log_softmax(-1) for x in (exact, logits))
    kl = (p.exp() * (p - q)).sum(-1).mean().item()
    same = (p.argmax(-1) == q.argmax(-1)).double().mean().item()
    at = (torch.arange(len(ids) - 1), torch.tensor(ids[1:]))
    return kl, same, (p[at] - q[at]).mean().item()


def overlap(a, b):
    """[layer][KV head][entry] booleans of two keep sets."""
    return ((a & b).sum(-1) / np.maximum((a | b).sum(-1), 1)).mean()


class Theirs:
    """transformers with the model's weights, loaded as its users load it."""

    def __init__(self, model, work):
        self.folder = os.path.join(work, "hf")
        self.loaded, self.whole = {}, {}
        if not os.path.exists(self.folder):
            model.hugging_face().save_pretrained(self.folder)

    def load(self, form, attention="sdpa"):
        if form not in self.loaded:
            self.loaded[form] = self.open(form)
        self.loaded[form].set_attn_implementation(attention)
        return self.loaded[form]

    def open(self, form):
        import transformers
        transformers.utils.logging.disable_progress_bar()
        kind = torch.bfloat16 if form == "bf16" else torch.float32
        hf = transformers.LlamaForCausalLM.from_pretrained(self.folder, dtype=kind).eval()
        assert hf.model.rotary_emb.inv_freq.dtype == torch.float32  # angles are never rounded, by us or by them
        if form == "weights":
            for p in hf.parameters():
                if p.dim() > 1:  # norms stay as they are, as ours do
                    p.data = p.data.to(torch.bfloat16).float()
        return hf

    def logits(self, form, text):
        with torch.no_grad():
            return self.load(form)(torch.tensor([text["ids"]])).logits[0].float().numpy()

    def pruned(self, form, texts, keep, policy):
        """Yields keep set and nll of the continuation, a text each."""
        import kvpress
        attention = "eager" if policy == "h2o" else "sdpa"  # observed attention needs the probabilities
        hf = self.load(form, attention)
        press = POLICIES[policy][1](kvpress, KEEPS[keep])
        for i, t in enumerate(texts):
            if (form, attention, i) not in self.whole:
                self.whole[form, attention, i] = places(prefill(hf, t["ids"])[0])
            with press(hf):
                cache, first = prefill(hf, t["ids"])
            sets = kept(cache, self.whole[form, attention, i], len(t["ids"]))  # before the cache grows
            yield sets, continued(hf, cache, first, len(t["ids"]), t["target"])


def prefill(hf, ids):
    import transformers
    cache = transformers.DynamicCache()
    with torch.no_grad():
        return cache, hf(torch.tensor([ids]), past_key_values=cache, logits_to_keep=1).logits[0]


def continued(hf, cache, first, n, target):
    with torch.no_grad():
        rest = hf(torch.tensor([target[:-1]]), past_key_values=cache,
                  position_ids=torch.arange(n, n + len(target) - 1)[None]).logits[0]
    p = torch.cat([first, rest]).double().log_softmax(-1)
    return -p[torch.arange(len(target)), torch.tensor(target)].mean().item()


def bits(x):
    return x.contiguous().view(torch.int16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


def rows(layer, head):
    return ((k.tobytes(), v.tobytes()) for k, v in zip(bits(layer.keys[0, head]), bits(layer.values[0, head])))


def places(cache):
    """Of every layer and KV head where each entry stands, by a hash of its bytes."""
    out = [[{hash(e): j for j, e in enumerate(rows(layer, h))} for h in range(layer.keys.shape[1])] for layer in cache.layers]
    assert all(len(at) == layer.keys.shape[2] for of, layer in zip(out, cache.layers) for at in of), "two entries are equal"
    return out


def kept(cache, whole, n):
    """Which entries of the whole cache the pruned one holds: [layer][KV head][n] booleans."""
    out = np.zeros((len(whole), len(whole[0]), n), bool)
    for i, layer in enumerate(cache.layers):
        for h, at in enumerate(whole[i]):
            out[i, h, [at[hash(e)] for e in rows(layer, h)]] = True
    return out


class Ours:
    def __init__(self, program, path, work):
        self.program, self.path, self.work = os.path.abspath(program), os.path.abspath(path), work
        with open(self.program, "rb") as f:
            self.version = hashlib.sha256(f.read()).hexdigest()[:16]

    def forms(self):
        """Those that this build has."""
        help_text = subprocess.run([self.program, "generate", "-h"], capture_output=True, text=True, check=True).stdout
        return {f: a for f, a in FORMS.items() if "cache_dtype" not in a or "--cache-dtype" in help_text}

    def has_axes(self, form):
        """Experiments of this build know what the form names."""
        with open(os.path.join(HERE, "../../harness/experiment/axes.c"), encoding="utf-8") as f:
            axes = f.read()
        return all(f'.key = "{a}"' in axes for a in FORMS[form])

    def logits(self, form, text):
        out = os.path.join(self.work, "logits.h5")
        options = [w for k, v in FORMS[form].items() for w in ("--" + k.replace("_", "-"), v)]
        subprocess.run([self.program, "generate", "-m", self.path, "-n", "1", "--logits", out, *options],
                       input=text["text"].encode(), capture_output=True, check=True)
        with h5py.File(out) as f:
            assert f["token"][()].tolist() == text["ids"]
            return f["logits"][()]

    def pruned(self, form, texts):
        """{(policy, keep): [(keep set, nll)]}, by text."""
        name = form.replace(", ", "-").replace(" ", "-")
        records, experiment, results = (os.path.join(self.work, x) for x in ("records.jsonl", name + ".yaml", "results-" + name))
        with open(records, "w", encoding="utf-8") as f:
            f.writelines(json.dumps({"context": t["text"], "answers": [t["continuation"]]}) + "\n" for t in texts)
        with open(experiment, "w", encoding="utf-8") as f:
            f.write(EXPERIMENT.format(model=self.path, records=records, n=len(texts), keeps=", ".join(map(str, KEEPS)),
                                      policies=", ".join(p for p, _ in POLICIES.values())))
            f.writelines(f"    {k}: {v}\n" for k, v in FORMS[form].items())
        shutil.rmtree(results, ignore_errors=True)  # rows of other texts
        subprocess.run([self.program, "run", experiment, "-o", results], check=True, capture_output=True)
        return read_rows(results, texts)


def read_rows(results, texts):
    out = {}
    with h5py.File(os.path.join(results, "kept.h5")) as f:
        for row in map(json.loads, open(os.path.join(results, "rows.jsonl"), encoding="utf-8")):
            n = len(texts[row["sample"]]["ids"])
            assert row["status"] == "ok" and row["prompt_tokens"] == n, row
            if row["policy"] == "full":
                continue
            [words] = [x[()] for x in f[f"{row['cell']}/{row['sample']}"].values()]
            sets = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")[..., :n].astype(bool)
            out.setdefault((row["policy"], float(row["budget"])), {})[row["sample"]] = (sets, row["nll"])
    return {k: [v[i] for i in range(len(texts))] for k, v in out.items()}


class Store:
    """Numbers that are found already, a line each: what was stopped goes on, and theirs stay when ours is built anew."""

    def __init__(self, work):
        self.path = os.path.join(work, "numbers.jsonl")
        self.known = {}
        if os.path.exists(self.path):
            with open(self.path, encoding="ascii") as f:
                self.known = {json.dumps(k): v for k, v in map(json.loads, f)}

    def get(self, key, make):
        at = json.dumps(key)
        if at not in self.known:
            self.known[at] = make()
            with open(self.path, "a", encoding="ascii") as f:
                f.write(json.dumps([key, self.known[at]]) + "\n")
        return self.known[at]


def full_numbers(side, name, forms, texts, store, version):
    """{(name, form): [text][kl, same, nll]}; a text's logits in float32 are computed where one of its forms is missing."""
    exact = functools.lru_cache(maxsize=1)(lambda i: side.logits("float32", texts[i]))
    out = {(name, form): [] for form in forms}
    for i, t in enumerate(texts):
        for form in forms:
            out[name, form].append(store.get(["full", name, version, form, len(t["ids"]), i],
                                             lambda i=i, form=form: moved(exact(i), side.logits(form, texts[i]), texts[i]["ids"])))
    return {k: np.array(v) for k, v in out.items()}


def their_full(theirs, texts, store):
    return full_numbers(theirs, "transformers", ["weights", "bf16"], texts, store, "")


def full_table(ours, theirs, texts, store):
    got = their_full(theirs, texts, store)
    got |= full_numbers(ours, "depthkv", [f for f in ours.forms() if f != "float32"], texts, store, ours.version)
    gap = store.get(["gap", ours.version, len(texts[0]["ids"])], lambda: moved(
        theirs.logits("float32", texts[0]), ours.logits("float32", texts[0]), texts[0]["ids"])[0])
    print("| full cache | KL to float32, nats | same top token | nll less float32's | KL, ours less theirs |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for (name, form), of in got.items():
        kl, top, nll = of.T
        rival = got["transformers", form if form == "weights" else "bf16"][:, 0]
        less = shown(kl - rival, "{:+.2g}") if name == "depthkv" else ""
        print(f"| {name}, {form} | {shown(kl)} | {shown(top, '{:.4f}')} | {losses(nll)} | {less} |")
    print(f"\nIn float32 the two sides differ by a KL of {gap:.1g} (first text).\n", flush=True)


def differences(exact, rounded):
    return [[overlap(a[0], b[0]), b[1] - a[1]] for a, b in zip(exact, rounded)]


def their_pruned(theirs, texts, store, policy, keep):
    return np.array(store.get(["pruned", "transformers", len(texts), len(texts[0]["ids"]), policy, keep], lambda: differences(
        theirs.pruned("float32", texts, keep, policy), theirs.pruned("bf16", texts, keep, policy))))


def pruned_table(ours, theirs, texts, store):
    what = [len(texts), len(texts[0]["ids"])]

    def of_ours():  # all policies of a form are one experiment
        of = {form: ours.pruned(form, texts) for form in ours.forms() if form != "weights" and ours.has_axes(form)}
        return {form: {f"{p} {k}": differences(of["float32"][p, k], of[form][p, k]) for p in POLICIES for k in KEEPS}
                for form in of if form != "float32"}
    our = store.get(["pruned", "depthkv", ours.version, *what, *POLICIES], of_ours)
    print("| pruned | transformers, bf16: overlap | depthkv: overlap | ours less theirs | transformers, bf16: nll less float32's "
          "| depthkv: nll less float32's |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for policy in POLICIES:
        for keep in KEEPS:
            their = their_pruned(theirs, texts, store, policy, keep)
            for form, of in our.items():
                x = np.array(of[f"{policy} {keep}"])
                print(f"| {policy}, {keep}{form[len('bf16'):]} | {shown(their[:, 0], '{:.4f}')} | {shown(x[:, 0], '{:.4f}')} "
                      f"| {shown(x[:, 0] - their[:, 0], '{:+.4f}')} | {losses(their[:, 1])} | {losses(x[:, 1])} |", flush=True)


def main():
    a = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    a.add_argument("model")
    a.add_argument("--depthkv", default="./depthkv")
    a.add_argument("--texts", type=int, default=16)
    a.add_argument("--pruned", type=int, default=8, help="texts of the second table; at most --texts")
    a.add_argument("--policies", default=",".join(POLICIES), help="of the second table (default: %(default)s)")
    a.add_argument("--tokens", type=int, default=512)
    a.add_argument("--work", help="folder of the files; the same command goes on there")
    o = a.parse_args()
    if not 2 <= o.pruned <= o.texts <= len(PLACES):
        a.error(f"--texts: 2 to {len(PLACES)}, of which --pruned takes 2 or more")
    for policy in set(POLICIES) - set(o.policies.split(",")):
        del POLICIES[policy]
    model = smollm2.Model(o.model)
    texts = []
    for book, after in PLACES[:o.texts]:
        (begin, end, ids), (_, last, target) = smollm2.pieces(model, book, after, o.tokens, CONTINUATION)
        text = smollm2.book(book)
        texts.append({"ids": ids, "target": target, "text": text[begin:end].decode(), "continuation": text[end:last].decode()})
    with tempfile.TemporaryDirectory() as scratch:
        work = os.path.abspath(o.work or scratch)
        os.makedirs(work, exist_ok=True)
        theirs, ours = Theirs(model, work), Ours(o.depthkv, o.model, work)
        store = Store(work)
        their_full(theirs, texts, store)  # first what does not change with our program
        for policy in POLICIES:
            for keep in KEEPS:
                their_pruned(theirs, texts[:o.pruned], store, policy, keep)
        full_table(ours, theirs, texts, store)
        pruned_table(ours, theirs, texts[:o.pruned], store)


if __name__ == "__main__":
    main()
