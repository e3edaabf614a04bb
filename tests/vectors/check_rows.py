#!/usr/bin/env python3
"""nll of every row of a result folder by transformers under what kept.h5 says that the cell kept: a check by hand that an
experiment's own numbers are those of the reference, whatever the policy, the budget, the positions and the windows.

    python3 check_rows.py MODEL.h5 RESULTS RECORDS.jsonl      needs what make_real.py needs

RESULTS: of an experiment with `record: {kept: true}`, `measure: [score, nll]`, `prune_after: prompt` and the task `jsonl:
{file: RECORDS.jsonl, prompt: '{context}{question}{answer_prefix}', target_delimiter: ""}`, records with context and answers
alone. Prints a line a row; the last one is the largest difference.
"""
import json
import os
import sys

import h5py
import numpy as np
import torch

import pruned
from make_real import attributes, load, losses, tokenizer_of


def kept(f, row, n):
    """[layer][KV head][n] of the row's entries, by bits. The only question of its sample; its name may end in a hash."""
    [words] = [x[()] for x in f[f"{row['cell']}/{row['sample']}"].values()]
    bits = np.unpackbits(words.view(np.uint8), axis=-1, bitorder="little")
    return torch.from_numpy(bits[..., :n].astype(bool))


def main(path, results, records):
    with h5py.File(path) as f:
        hp = attributes(f)
        encode, bos = tokenizer_of(f)
        model = load(f, hp)
    texts = [json.loads(line) for line in open(records, encoding="utf-8")]
    worst = 0.0
    with h5py.File(os.path.join(results, "kept.h5")) as f:
        for row in map(json.loads, open(os.path.join(results, "rows.jsonl"), encoding="utf-8")):
            t = texts[row["sample"]]
            prompt, answer = bos + encode(t["context"]), encode(t["answers"][0])
            n = len(prompt)
            assert row["status"] == "ok" and row["prompt_tokens"] == n, (row["status"], row["prompt_tokens"], n)
            keep = None if row["policy"] == "full" else kept(f, row, n)
            packed = pruned.frequencies(model) if row.get("positions") == "packed" else None
            with pruned.cut(keep, packed):
                want = losses(model, prompt + answer)[n - 1:].mean()
            worst = max(worst, abs(want - row["nll"]))
            share = 1.0 if keep is None else float(keep.float().mean())
            print(f"{row['cell']} {row['policy']} {row.get('windows')} {row.get('positions')} keep {row['keep']}: {share:.3f} of the "
                  f"prompt, nll {row['nll']:.6f}, transformers {want:.6f}", flush=True)
    print(f"largest difference {worst:.2g} nats")


if __name__ == "__main__":
    main(*sys.argv[1:])
