#!/usr/bin/env python3
"""Trains the reference model: a Llama of 8.6 million parameters over bytes that solves the compact tasks.

    make trainer                                              # build/release/libdepthkv_tasks.so, needs gcc alone
    python3 models/reference/train.py --budget 1450           # one GPU; stop and repeat it as often as you like
    python3 models/reference/checkpoint.py build/reference/model
    ./depthkv import build/reference/model -o models/reference/reference.h5 --dtype bf16

--work keeps a full checkpoint (written every two minutes) from which the same command continues; --out gets the model and a
smaller checkpoint in files below 16 MiB, which a training without the full one continues from. --minutes ends this call
early. The learning rate and the curriculum follow the seconds used of --budget, over all calls.
"""
import argparse
import csv
import json
import math
import os
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import checkpoint  # noqa: E402
import samples  # noqa: E402

SHAPE = {"layers": 12, "d": 256, "heads": 8, "kv_heads": 2, "ff": 704, "context": 4096, "rope_base": 50000.0}
SMOKE = {"layers": 2, "d": 64, "heads": 4, "kv_heads": 2, "ff": 128, "context": 512, "rope_base": 50000.0}
# share of the budget, lengths that take turns
CURRICULUM = [(0.18, [256]), (0.18, [512]), (0.20, [1024, 512]), (0.44, [1024, 2048, 4096, 512])]
EVAL_LENGTHS = [512, 1024, 2048, 4096]


def arguments():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("--budget", type=float, default=1450, help="seconds of training, over all calls")
    a.add_argument("--minutes", type=float, default=1e9, help="stop this call after so many, with a checkpoint")
    a.add_argument("--work", default="build/reference", help="folder of the full checkpoint and the compiler's cache")
    a.add_argument("--out", help="folder of the model and the small checkpoint (default: WORK/model)")
    a.add_argument("--library", default="build/release/libdepthkv_tasks.so")
    a.add_argument("--books", default="datasets/books")
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--lr", type=float, default=2e-3)
    a.add_argument("--tokens", type=int, default=131072, help="ids a step")
    a.add_argument("--threads", type=int, default=max(1, (os.cpu_count() or 2) - 2), help="that make samples")
    a.add_argument("--eval-every", type=float, default=150, help="seconds")
    a.add_argument("--save-every", type=float, default=120, help="seconds")
    a.add_argument("--eval-rows", type=int, default=64, help="a task and length")
    a.add_argument("--compile", choices=["layers", "whole", "none"], default="layers")
    a.add_argument("--smoke", action="store_true", help="a tiny model on the CPU, a minute")
    o = a.parse_args()
    o.shape, o.curriculum, o.eval_lengths = SHAPE, CURRICULUM, EVAL_LENGTHS
    if o.smoke:
        o.shape, o.curriculum, o.eval_lengths = SMOKE, [(0.5, [256]), (0.5, [512, 256])], [256, 512]
        o.tokens, o.eval_rows, o.eval_every, o.save_every, o.threads = 4096, 4, 20, 15, 2
        o.budget, o.compile = min(o.budget, 40), "none" if o.compile == "layers" else o.compile
    o.out = o.out or os.path.join(o.work, "model")
    return o


def build_model(shape, torch):
    nn, F = torch.nn, torch.nn.functional
    d, heads, kv = shape["d"], shape["heads"], shape["kv_heads"]
    hd = d // heads

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(d))

        def forward(self, x):
            return F.rms_norm(x, (d,), self.weight.to(x.dtype), 1e-5)

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.input_layernorm, self.post_attention_layernorm = Norm(), Norm()
            self.self_attn, self.mlp = nn.Module(), nn.Module()
            for name, n in ("q_proj", heads * hd), ("k_proj", kv * hd), ("v_proj", kv * hd):
                setattr(self.self_attn, name, nn.Linear(d, n, bias=False))
            self.self_attn.o_proj = nn.Linear(heads * hd, d, bias=False)
            self.mlp.gate_proj, self.mlp.up_proj = (nn.Linear(d, shape["ff"], bias=False) for _ in range(2))
            self.mlp.down_proj = nn.Linear(shape["ff"], d, bias=False)

        def forward(self, x, cos, sin):
            b, t, _ = x.shape
            a, h = self.self_attn, self.input_layernorm(x)
            q = a.q_proj(h).view(b, t, heads, hd).transpose(1, 2)
            k, v = (p(h).view(b, t, kv, hd).transpose(1, 2) for p in (a.k_proj, a.v_proj))

            def turn(y):  # Hugging Face's rotate_half, in float32
                lo, hi = y[..., :hd // 2].float(), y[..., hd // 2:].float()
                return torch.cat([lo * cos - hi * sin, hi * cos + lo * sin], -1).to(y.dtype)

            q, k = turn(q), turn(k)
            k, v = k.repeat_interleave(heads // kv, 1), v.repeat_interleave(heads // kv, 1)
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + a.o_proj(y.transpose(1, 2).reshape(b, t, heads * hd))
            h = self.post_attention_layernorm(x)
            return x + self.mlp.down_proj(F.silu(self.mlp.gate_proj(h)) * self.mlp.up_proj(h))

    class Llama(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = nn.Module()
            self.model.embed_tokens = nn.Embedding(checkpoint.N_ID, d)
            self.model.layers = nn.ModuleList([Block() for _ in range(shape["layers"])])
            self.model.norm = Norm()
            self.lm_head = nn.Linear(d, checkpoint.N_ID, bias=False)
            for name, p in self.named_parameters():
                if p.dim() == 2:
                    nn.init.normal_(p, 0, 0.02 if "embed" in name else 1 / math.sqrt(p.shape[1]))
                if name.endswith(("o_proj.weight", "down_proj.weight")):
                    p.data *= 1 / math.sqrt(2 * shape["layers"])
            self.lm_head.weight.data *= 0.1
            f = shape["rope_base"] ** (-torch.arange(0, hd, 2).float() / hd)
            angle = torch.arange(shape["context"]).float()[:, None] * f
            self.register_buffer("cos", angle.cos(), persistent=False)
            self.register_buffer("sin", angle.sin(), persistent=False)

        def forward(self, ids):
            t, x = ids.shape[1], self.model.embed_tokens(ids)
            cos, sin = self.cos[:t], self.sin[:t]
            for layer in self.model.layers:  # evaluation has many shapes, which are not worth compiling for
                x = (layer if self.training else layer.forward)(x, cos, sin)
            return self.lm_head(self.model.norm(x))

    return Llama()


class Training:
    def __init__(self, o, torch):
        self.o, self.torch = o, torch
        self.device = "cpu" if o.smoke or not torch.cuda.is_available() else "cuda"
        if self.device == "cpu" and not o.smoke:
            raise SystemExit("no GPU is there; --smoke runs on the CPU")
        torch.manual_seed(o.seed)
        torch.backends.cuda.matmul.allow_tf32 = True
        self.net = build_model(o.shape, torch).to(self.device)
        matrices = [p for p in self.net.parameters() if p.dim() == 2]
        vectors = [p for p in self.net.parameters() if p.dim() < 2]
        self.optimiser = torch.optim.AdamW([{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}],
                                           lr=o.lr, betas=(0.9, 0.95), fused=self.device == "cuda")
        self.step, self.used, self.phase = 0, 0.0, 0
        self.curve = []
        os.makedirs(o.work, exist_ok=True)
        os.makedirs(o.out, exist_ok=True)
        self.resume()
        if o.compile == "layers":
            for name in ("cache_size_limit", "recompile_limit"):  # torch has renamed it
                if hasattr(torch._dynamo.config, name):
                    setattr(torch._dynamo.config, name, 64)
            for layer in self.net.model.layers:
                layer.compile(dynamic=False)
        self.call = torch.compile(self.net, dynamic=False) if o.compile == "whole" else self.net
        self.so = samples.library(o.library)
        self.books = samples.training_books(o.books)
        self.mixtures, self.evaluation = {}, {}
        self.loader = samples.Loader(self.plan, o.threads, 2 * o.threads)

    # ---- what is trained on ------------------------------------------------------------------------

    def plan(self, step):
        length = self.lengths()[step % len(self.lengths())]
        return self.mixtures[length], self.o.tokens // length

    def lengths(self):
        return self.o.curriculum[self.phase][1]

    def progress(self):
        return min(1.0, self.used / self.o.budget)

    def set_phase(self):
        end, phase = 0.0, 0
        for phase, (share, _) in enumerate(self.o.curriculum):
            end += share
            if self.progress() < end:
                break
        changed = phase != self.phase
        self.phase = phase
        for length in self.lengths():
            if length not in self.mixtures:
                self.mixtures[length] = samples.Mixture(self.so, length, self.books, self.o.seed)
        if changed:
            self.loader.forget()

    def rate(self):
        warm, p = min(1.0, (self.step + 1) / 200), self.progress()
        return self.o.lr * warm * (1.0 if p < 0.5 else max(0.02, (1 - p) / 0.5))

    # ---- a step --------------------------------------------------------------------------------------

    def forward(self, ids):
        torch = self.torch
        with torch.autocast(self.device, torch.bfloat16, enabled=self.device == "cuda"):
            return (self.call if self.net.training else self.net)(ids)

    def tensors(self, ids, mask):
        torch = self.torch
        ids, mask = torch.from_numpy(ids), torch.from_numpy(mask)
        if self.device == "cuda":
            ids, mask = (x.pin_memory().to(self.device, non_blocking=True) for x in (ids, mask))
        return ids.long(), mask

    def train_step(self):
        torch, F = self.torch, self.torch.nn.functional
        rate = self.rate()
        for g in self.optimiser.param_groups:
            g["lr"] = rate
        ids, mask = self.tensors(*self.loader.get(self.step))
        logits = self.forward(ids[:, :-1])
        target = ids[:, 1:]
        loss = F.cross_entropy(logits.float().reshape(-1, checkpoint.N_ID), target.reshape(-1), reduction="none").view(target.shape)
        wanted, real = mask[:, 1:].float(), (target != checkpoint.PAD).float()
        # a long answer counts more than a short one, but not in proportion
        share = wanted / wanted.sum(1, keepdim=True).clamp(min=1).sqrt()
        answer = (loss * share).sum() / share.sum().clamp(min=1e-6)
        everything = (loss * real).sum() / real.sum()
        self.optimiser.zero_grad(set_to_none=True)
        (answer + 0.1 * everything).backward()
        torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        self.optimiser.step()
        self.step += 1
        return answer.detach(), everything.detach()

    # ---- evaluation ------------------------------------------------------------------------------------

    def evaluate(self, lengths, n):
        """Share of answers whose every byte, EOS too, is the most probable one: what greedy decoding would write."""
        torch, scores = self.torch, {}
        self.net.eval()
        with torch.no_grad():
            for length in lengths:
                if (length, n) not in self.evaluation:
                    self.evaluation[(length, n)] = samples.evaluation_rows(self.so, length, self.o.books, n)
                for name, (ids, mask) in self.evaluation[(length, n)].items():
                    right = 0
                    for i in range(0, n, max(1, 65536 // length)):
                        x, m = self.tensors(ids[i:i + max(1, 65536 // length)], mask[i:i + max(1, 65536 // length)])
                        best = self.forward(x[:, :-1]).argmax(-1)
                        right += ((best == x[:, 1:]) | (m[:, 1:] == 0)).all(1).sum().item()
                    scores[(name, length)] = right / n
        self.net.train()
        return scores

    def report(self, scores):
        names, lengths = sorted({k[0] for k in scores}), sorted({k[1] for k in scores})
        print(f"step {self.step}, {self.used:.0f} s: share of answers wholly right; columns " + " ".join(map(str, lengths)))
        for name in names:
            print(f"  {name:60s}" + " ".join(f"{scores[(name, l)]:6.3f}" if (name, l) in scores else "     -" for l in lengths))
        for length in lengths:
            good = [scores[k] >= (0.95 if length <= 1024 else 0.90) for k in scores if k[1] == length]
            print(f"  {length}: {sum(good)} of {len(good)} pass")
        sys.stdout.flush()
        for (name, length), value in scores.items():
            self.curve.append([self.step, f"{self.used:.1f}", "eval", length, name, f"{value:.4f}"])

    # ---- checkpoints -----------------------------------------------------------------------------------

    def state(self):
        return {"step": self.step, "used": self.used, "seed": self.o.seed, "budget": self.o.budget, "lr": self.o.lr,
                "tokens": self.o.tokens, "shape": self.o.shape, "curve": self.curve}

    def names(self):
        return {p: n for n, p in self.net.named_parameters()}

    def save(self):
        torch, o, began = self.torch, self.o, time.time()
        full = os.path.join(o.work, "checkpoint.pt")
        torch.save({"net": self.net.state_dict(), "optimiser": self.optimiser.state_dict(), "state": self.state()}, full + ".tmp")
        os.replace(full + ".tmp", full)

        def raw(t, kind):
            t = t.detach().to("cpu", kind).contiguous()
            return (t.view(torch.int16) if kind == torch.bfloat16 else t).numpy().tobytes()

        weights = {n: ("F32", p.shape, raw(p, torch.float32)) for n, p in self.net.named_parameters()}
        moments = {n: ("BF16", p.shape, raw(self.optimiser.state[p]["exp_avg_sq"], torch.bfloat16))
                   for p, n in self.names().items() if p in self.optimiser.state}
        checkpoint.write_parts(o.out, "model", weights)
        checkpoint.write_parts(o.out, "optimiser", moments)
        checkpoint.write_json(o.out, "state.json", self.state())
        with open(os.path.join(o.out, "curve.csv"), "w", newline="", encoding="utf-8") as f:
            w = csv.writer(f, lineterminator="\n")
            w.writerow(["step", "seconds", "what", "length", "task", "value"])
            w.writerows(self.curve)
        print(f"step {self.step}: checkpoint in {time.time() - began:.1f} s", flush=True)

    def restore(self, state):
        if state["shape"] != self.o.shape:
            raise SystemExit(f"the checkpoint holds a model of another shape: {state['shape']}")
        self.step, self.used, self.curve = state["step"], state["used"], state["curve"]

    def resume(self):
        torch, o = self.torch, self.o
        full, small = os.path.join(o.work, "checkpoint.pt"), None
        for folder in (o.out, os.path.join(o.work, "model"), o.work):
            if small is None and os.path.exists(os.path.join(folder, "state.json")):
                small = folder
        if os.path.exists(full):
            c = torch.load(full, map_location=self.device, weights_only=True)
            self.restore(c["state"])
            self.net.load_state_dict(c["net"])
            self.optimiser.load_state_dict(c["optimiser"])
            print(f"continues from {full}: step {self.step}, {self.used:.0f} s used", flush=True)
        elif small:
            with open(os.path.join(small, "state.json"), encoding="utf-8") as f:
                self.restore(json.load(f))
            self.load_small(small)
            print(f"continues from {small}: step {self.step}, {self.used:.0f} s used", flush=True)

    def load_small(self, folder):
        torch = self.torch
        kinds = {"F32": torch.float32, "BF16": torch.bfloat16}

        def tensor(entry):
            kind, shape, data = entry
            return torch.frombuffer(bytearray(data), dtype=kinds[kind]).view(*shape).to(self.device, torch.float32)

        weights, moments = checkpoint.read_parts(folder, "model"), checkpoint.read_parts(folder, "optimiser")
        with torch.no_grad():
            for name, p in self.net.named_parameters():
                p.copy_(tensor(weights[name]))
                if name in moments:
                    self.optimiser.state[p] = {"step": torch.tensor(float(self.step), device=self.device if self.device == "cuda"
                                                                    else "cpu"),
                                               "exp_avg": torch.zeros_like(p), "exp_avg_sq": tensor(moments[name])}

    # ---- the loop --------------------------------------------------------------------------------------

    def run(self):
        o = self.o
        began = last = time.time()
        saved = evaluated = shown = began
        shown_step = self.step
        print(f"{sum(p.numel() for p in self.net.parameters()) / 1e6:.2f} million parameters on {self.device}, "
              f"{o.threads} threads make samples", flush=True)
        while self.progress() < 1 and time.time() - began < o.minutes * 60:
            self.set_phase()
            answer, everything = self.train_step()
            now = time.time()
            self.used += now - last
            last = now
            if self.step % 100 == 0 or self.step == 1:
                a, e = answer.item(), everything.item()
                if not math.isfinite(a + e):
                    raise SystemExit(f"step {self.step}: the loss is {a} and {e}")
                rate = (self.step - shown_step) * o.tokens / max(1e-9, time.time() - shown)
                shown, shown_step = time.time(), self.step
                self.curve.append([self.step, f"{self.used:.1f}", "loss_answers", max(self.lengths()), "", f"{a:.5f}"])
                self.curve.append([self.step, f"{self.used:.1f}", "loss_all", max(self.lengths()), "", f"{e:.5f}"])
                print(f"step {self.step} of lengths {self.lengths()}: answers {a:.4f}, all {e:.4f}, lr {self.rate():.2e}, "
                      f"{rate / 1e6:.2f} million ids/s, {self.used:.0f} of {o.budget:.0f} s", flush=True)
            if now - evaluated > o.eval_every:
                longest = max(self.lengths())
                self.report(self.evaluate([t for t in o.eval_lengths if t <= longest] or o.eval_lengths[:1], o.eval_rows))
                evaluated = last = time.time()  # evaluating and saving use none of the budget
            if time.time() - saved > o.save_every:
                self.save()
                saved = last = time.time()
        self.save()
        if self.progress() >= 1:
            self.report(self.evaluate(o.eval_lengths, 2 * o.eval_rows))
            self.save()
            print("done", flush=True)


def main():
    o = arguments()
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", os.path.abspath(os.path.join(o.work, "compiled")))
    import torch
    Training(o, torch).run()


main()
