#!/usr/bin/env python3
"""A rival in a process of its own, which scaling.py asks for one measurement at a time.

Reads requests and writes answers, one JSON object a line; {"error": ...} where one could not be had. "do" is

hello     versions of what is installed, and the GPU
model     folder, dtype (f32, bf16), device (cpu, cuda): loads a model for what follows
prefill   tokens, threads, cores, repeats, tuned: a forward pass without logits into an empty DynamicCache, sdpa attention
decode    tokens, threads, cores, steps, tuned: one token after `tokens` cached ones (of the last prefill, if it had as many), logits included
products  threads, cores: torch's square products in float32 and bf16, and reading memory
sweep     tokens, new_tokens: kvpress, 8 presses at 4 ratios, one cell after another, as its pipeline does it: the prompt under
          the press, then one token at a time. What runs out of memory is null

transformers hands grouped keys to torch's sdpa, which on a CPU may then leave its flash attention aside: so it comes. "tuned"
repeats the keys before.
"""
import contextlib
import json
import os
import sys
import time
import types

REMOVED = [0.25, 0.5, 0.75, 0.9]
DTYPES = {"f32": "float32", "bf16": "bfloat16"}
STATE = {}


def pin(cores):
    """All threads that there are, those of torch's pool too; new ones inherit it."""
    for task in os.listdir("/proc/self/task"):
        with contextlib.suppress(OSError):  # it has just ended
            os.sched_setaffinity(int(task), cores)


def place(ask):
    import torch
    if ask.get("cores"):
        pin(ask["cores"])
    torch.set_num_threads(ask["threads"])


def tune(on):
    """Whether keys are repeated before they go to sdpa; False where this version has no such switch."""
    from transformers.integrations import sdpa_attention
    if not hasattr(sdpa_attention, "use_gqa_in_sdpa"):
        return not on
    STATE.setdefault("as it comes", sdpa_attention.use_gqa_in_sdpa)
    sdpa_attention.use_gqa_in_sdpa = (lambda *_, **__: False) if on else STATE["as it comes"]
    return True


def wait():
    import torch
    if STATE["device"] == "cuda":
        torch.cuda.synchronize()


def hello(_):
    import torch
    import transformers
    out = {"python": sys.version.split()[0], "torch": torch.__version__, "transformers": transformers.__version__}
    if torch.cuda.is_available():
        out["gpu"] = torch.cuda.get_device_name(0)
    return out


def load(ask):
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging
    logging.disable_progress_bar()
    start = time.perf_counter()
    model = AutoModelForCausalLM.from_pretrained(ask["folder"], dtype=getattr(torch, DTYPES[ask["dtype"]]),
                                                 attn_implementation="sdpa")
    STATE.update(model=model.to(ask["device"]).eval(), device=ask["device"])
    return {"seconds": time.perf_counter() - start}


def ids(n):
    import torch
    return torch.randint(0, 256, (1, n), generator=torch.Generator().manual_seed(1)).to(STATE["device"])


def pass_over(tokens, cache, press=None):
    import torch
    start = time.perf_counter()
    with torch.inference_mode(), press(STATE["model"]) if press else contextlib.nullcontext():
        STATE["model"].model(input_ids=tokens, past_key_values=cache)
    wait()
    return time.perf_counter() - start


def greedy(cache, token, position, steps):
    import torch
    start = time.perf_counter()
    with torch.inference_mode():
        for i in range(steps):
            at = torch.tensor([[position + i]], device=STATE["device"])
            out = STATE["model"](input_ids=token, past_key_values=cache, position_ids=at)
            token = out.logits[:, -1:].argmax(-1)
    wait()
    return time.perf_counter() - start


def prefill(ask):
    from transformers import DynamicCache
    if not tune(ask["tuned"]):
        return {"error": "this transformers has no use_gqa_in_sdpa"}
    place(ask)
    pass_over(ids(min(256, ask["tokens"])), DynamicCache())  # warms up at little cost
    seconds = []
    while len(seconds) < ask["repeats"] and sum(seconds) < 20:
        STATE["cache"] = ask["tokens"], DynamicCache()
        seconds.append(pass_over(ids(ask["tokens"]), STATE["cache"][1]))
    return {"seconds": seconds}


def decode(ask):
    from transformers import DynamicCache
    if not tune(ask["tuned"]):
        return {"error": "this transformers has no use_gqa_in_sdpa"}
    place(ask)
    (n, cache), prompt = STATE.pop("cache", (0, None)), ids(ask["tokens"])
    if n != ask["tokens"]:
        cache = DynamicCache()
        pass_over(prompt, cache)
    greedy(cache, prompt[:, :1], ask["tokens"], 2)
    half = ask["steps"] // 2
    return {"seconds": [greedy(cache, prompt[:, :1], ask["tokens"] + 2 + i * half, half) / half for i in range(2)]}


def best_rate(work, amount, at_least):
    work()
    best, spent = 0.0, 0.0
    while spent < at_least:
        start = time.perf_counter()
        work()
        took = time.perf_counter() - start
        best, spent = max(best, amount / took), spent + took
    return best


def products(ask):
    """FLOP/s of the best of some shapes, and bytes/s."""
    import torch
    place(ask)
    out, side = {}, ask.get("side", 3072)
    for name, dtype in DTYPES.items():
        best = 0.0
        for m, n, k in ((side, side, side), (2 * side // 3, 8 * side // 3, 2 * side // 3)):
            a, b = torch.randn(m, k).to(getattr(torch, dtype)), torch.randn(n, k).to(getattr(torch, dtype))
            best = max(best, best_rate(lambda: torch.mm(a, b.T), 2.0 * m * n * k, 0.5))
        out[name] = best
    x = torch.ones(ask.get("read", 1 << 30) // 4)
    out["read"] = best_rate(x.sum, 4.0 * x.numel(), 0.5)
    return out


def presses():
    for name in ("datasets", "fire"):  # of kvpress's evaluation, not of its presses; neither need be installed
        if name not in sys.modules:
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].load_dataset = sys.modules[name].Fire = None
    import kvpress
    return [("random", kvpress.RandomPress, "sdpa"), ("streaming", kvpress.StreamingLLMPress, "sdpa"),
            ("knorm", kvpress.KnormPress, "sdpa"), ("snapkv", kvpress.SnapKVPress, "sdpa"),
            ("tova", kvpress.TOVAPress, "sdpa"), ("keydiff", kvpress.KeyDiffPress, "sdpa"),
            ("expected attention", kvpress.ExpectedAttentionPress, "sdpa"),
            ("observed attention", kvpress.ObservedAttentionPress, "eager")]


def cell(make, removed, attention, prompt, new_tokens):
    from transformers import DynamicCache
    STATE["model"].set_attn_implementation(attention)
    cache, n = DynamicCache(), prompt.shape[1] - 1
    took = pass_over(prompt[:, :-1], cache, make(removed))
    return took + greedy(cache, prompt[:, -1:], n, new_tokens)


def cells(press, prompt, new_tokens):
    """Seconds of the four cells, None where memory does not suffice."""
    import torch
    try:
        return [cell(press[1], r, press[2], prompt, new_tokens) for r in REMOVED]
    except torch.OutOfMemoryError:
        return None
    finally:
        if STATE["device"] == "cuda":
            torch.cuda.empty_cache()


def sweep(ask):
    """cold: of a first pass over the first press, in which kernels are loaded; it is in no other number."""
    from importlib.metadata import version
    every, prompt = presses(), ids(ask["tokens"])
    out = {"cold": cells(every[0], prompt, ask["new_tokens"]), "presses": {}, "kvpress": version("kvpress")}
    for press in every:
        out["presses"][press[0]] = cells(press, prompt, ask["new_tokens"])
    done = [times for times in out["presses"].values() if times]
    out["seconds"], out["cells"] = [sum(map(sum, done))], sum(map(len, done))
    return out


DO = {"hello": hello, "model": load, "prefill": prefill, "decode": decode, "products": products, "sweep": sweep}


def main():
    import logging
    import warnings
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever libraries print is no answer
    for line in sys.stdin:
        try:
            ask = json.loads(line)
            answer = DO[ask["do"]](ask)
        except Exception as e:  # told to whoever asked, who goes on with the next
            answer = {"error": f"{type(e).__name__}: {e}"[:500]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
