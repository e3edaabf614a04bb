#!/usr/bin/env python3
"""Ours beside transformers, torch and kvpress on a larger machine, on the same cores, in turns, within a given time.

    scaling.py DEPTHKV [--work DIR] [--budget SECONDS] [--shapes 1b,135m] [--threads 16,4,1] ...

DEPTHKV is the program, or an archive that `make bundle` made, which is unpacked into DIR. Models are random numbers of known shapes
(random_llama.py); nothing is fetched. Rivals run in the Python that runs this script (torch, transformers; kvpress for the
sweeps); --site names a folder, or an archive of one, that has what is missing (pack.sh makes it).

Results go to DIR/results.jsonl, a line each, the most telling first, and to every --also FILE. Whoever calls it again with the
same DIR (or with --seen FILE) goes on with what is missing; a step that is expected to outlast --budget is left out, and the last
line says which. scaling_table.py makes tables and a plot of the lines.

A step is one number of threads, one form (f32; bf16: arithmetic and weights, and the cache where the program can) and one shape: ours
is `depthkv bench --shape`, pp2048 and tg32@2048; theirs the same passes (worker.py), as transformers comes and tuned, and from
eight threads on also with half of them; the best of these counts. Both are held to the same cores, one thread a core as long as
there are cores. Sweeps take 32 cells with 16 new tokens each: ours from sweep.yaml on all cores (the second sample counts, from the
first one's last row to its own), theirs on the GPU (--device). Loading is in no number.
"""
import argparse
import json
import os
import re
import select
import shutil
import subprocess
import sys
import tarfile
import time
from collections import namedtuple

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import random_llama  # noqa: E402

NEW_TOKENS, DECODE_STEPS = 16, 16
GFLOP = {"f32": 70, "bf16": 250}  # a second and core, to guess how long a step takes; what is seen corrects it

Step = namedtuple("Step", "work shape form threads tokens guess run")


def say(text):
    print(f"[{time.time() - START:6.1f} s] {text}", file=sys.stderr, flush=True)


# ---- the machine --------------------------------------------------------------------------------------

def read(path, otherwise=""):
    try:
        with open(path, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError:
        return otherwise


def cores():
    """CPUs that this process may use, one of each core first."""
    def place(cpu):
        at = f"/sys/devices/system/cpu/cpu{cpu}/topology/"
        return (read(at + "physical_package_id", "0").strip(), read(at + "core_id", str(cpu)).strip())
    seen, first, rest = set(), [], []
    for cpu in sorted(os.sched_getaffinity(0)):
        (rest if place(cpu) in seen else first).append(cpu)
        seen.add(place(cpu))
    return first + rest, len(first)


def machine(n_core):
    info = read("/proc/cpuinfo")
    flags = (re.findall(r"^flags\s*:(.*)$", info, re.M) or [""])[0].split()
    memory = int((re.findall(r"MemTotal:\s*(\d+)", read("/proc/meminfo")) or ["0"])[0]) // 1048576
    return {"cpu": (re.findall(r"^model name\s*:\s*(.*)$", info, re.M) or ["unknown"])[0], "cpus": len(os.sched_getaffinity(0)),
            "cores": n_core, "memory_gib": memory,
            "flags": [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if f in flags]}


# ---- ours ---------------------------------------------------------------------------------------------

class Ours:
    def __init__(self, program, work):
        self.work = work
        self.command = [self.unpacked(program) if ".tar" in os.path.basename(program) else os.path.abspath(program)]
        self.version = self.said("--version").splitlines()[0]
        self.help = self.said("bench", "-h")

    def unpacked(self, archive):
        folder = os.path.join(self.work, "depthkv")
        if not os.path.isdir(folder):
            with tarfile.open(archive) as f:
                f.extractall(folder)
        [name] = os.listdir(folder)
        return os.path.join(folder, name, "depthkv")

    def said(self, *words):
        return subprocess.run(self.command + list(words), stdout=subprocess.PIPE, check=True, text=True).stdout

    def bf16(self):
        """Options of bench, or None where the program has no such arithmetic."""
        if "--arithmetic" not in self.help:
            return None
        return ["--arithmetic", "bf16"] + (["--cache-dtype", "bf16"] if "--cache-dtype" in self.help else [])

    def bench(self, shape, form, on, tokens, repeats, limit_s):
        options = self.bf16() if form == "bf16" else ["--weight-dtype", "f32"]
        if options is None:
            return {"error": "this depthkv has no --arithmetic bf16"}
        command = self.command + ["bench", "--shape", shape, "--json", "-q", "-r", str(repeats), "--threads", str(len(on)), "--only",
                                  f"pp{tokens}" + (",tg32@2048" if tokens == 2048 else "")] + options
        out = run(command, on, limit_s)
        if "error" in out:
            return out
        said = json.loads(out["stdout"])
        answer = {"build": said["build"], "limits": {k: v["best"] for k, v in said["limits"].items()}}
        for row in said["tests"]:
            name = "decode" if row["test"].startswith("tg") else "prefill"
            answer[name] = {"error": row["skipped"]} if "skipped" in row else {
                "seconds": row["seconds"], "limit_s": row["limit_s"], "ratio_best": row["ratio_best"],
                "others_cpu_share": row["others_cpu_share"]}
        return answer

    def sweep(self, model, form, on, tokens, limit_s):
        """Seconds of the second sample's rows: from the last row of the first one on."""
        out = os.path.join(self.work, "sweep")
        shutil.rmtree(out, ignore_errors=True)
        yaml = os.path.join(self.work, "sweep.yaml")  # where only the program and a model are, too
        text = read(os.path.join(HERE, "sweep.yaml")).replace("../../models/reference/reference.h5", os.path.abspath(model))
        with open(yaml, "w", encoding="utf-8") as f:
            f.write(text.replace("2064", str(tokens + NEW_TOKENS)))
        command = self.command + ["run", yaml, "-o", out, "-q", "--threads", str(len(on))]
        if form == "bf16":
            command += ["--set", "sweep.0.arithmetic=bf16"]
            if "--cache-dtype" in self.help:
                command += ["--set", "sweep.0.cache_dtype=bf16"]
        times, start = {}, time.perf_counter()

        def look():
            n = read(os.path.join(out, "rows.jsonl")).count('"status":"ok"')
            times.setdefault(n, time.perf_counter())
        answer = run(command, on, limit_s, look)
        look()
        rows = [json.loads(line) for line in read(os.path.join(out, "rows.jsonl")).splitlines()]
        bad = [r for r in rows if r.get("status") != "ok"]
        if "error" in answer or bad or len(rows) != 66:
            return {"error": answer.get("error") or f"{len(rows)} rows, {bad[0]['reason'] if bad else 'no reason told'}"}
        first = min(t for n, t in times.items() if n >= 33)
        return {"seconds": [min(t for n, t in times.items() if n >= 66) - first], "first": first - start, "cells": 32,
                "prefill_s": max(r["prefill_s"] for r in rows[33:]), "whole_process_s": time.perf_counter() - start}


def run(command, on, limit_s, look=None):
    """{"stdout": ...} or {"error": ...}; look() is called some fifty times a second meanwhile."""
    with open(LOG, "a", encoding="utf-8") as log:
        log.write(" ".join(command) + "\n")
        log.flush()
        out = os.path.join(os.path.dirname(LOG), "stdout")
        with open(out, "w", encoding="utf-8") as f:
            child = subprocess.Popen(command, stdout=f, stderr=log, preexec_fn=lambda: os.sched_setaffinity(0, on))
            end = time.time() + limit_s
            while child.poll() is None and time.time() < end:
                if look:
                    look()
                time.sleep(0.02)
    if child.poll() is None:
        child.kill()
        child.wait()
        return {"error": f"ended after {limit_s:.0f} s"}
    if child.returncode:
        return {"error": f"exit status {child.returncode}: {read(LOG)[-300:]}"}
    return {"stdout": read(out)}


# ---- theirs -------------------------------------------------------------------------------------------

class Worker:
    """worker.py in a process of its own; one that does not answer in time is ended."""

    def __init__(self, site=None):
        env = dict(os.environ)
        if site:
            env["PYTHONPATH"] = os.pathsep.join(filter(None, [site, env.get("PYTHONPATH")]))
        with open(LOG, "a", encoding="utf-8") as log:
            self.child = subprocess.Popen([sys.executable, os.path.join(HERE, "worker.py")], stdin=subprocess.PIPE,
                                          stdout=subprocess.PIPE, stderr=log, env=env, text=True)

    def ask(self, limit_s, **request):
        if self.child.poll() is not None:
            return {"error": "it has ended"}
        print(json.dumps(request), file=self.child.stdin, flush=True)
        if not select.select([self.child.stdout], [], [], max(limit_s, 1))[0]:
            self.end()
            return {"error": f"ended after {limit_s:.0f} s"}
        line = self.child.stdout.readline()
        return json.loads(line) if line else {"error": "it ended (memory?): " + read(LOG)[-300:]}

    def end(self):
        self.child.kill()
        self.child.wait()


class Theirs:
    def __init__(self, models, site):
        self.models, self.site, self.workers = models, site, {}
        self.cpu_site = None
        answer = self.plain("hello")
        if "error" in answer and site:
            self.cpu_site, self.workers = site, {}
            answer = self.plain("hello")
        self.hello = answer

    def plain(self, do, limit_s=120, **request):
        """Asks a worker that holds no model."""
        if None not in self.workers:
            self.workers[None] = Worker(self.cpu_site)
        return self.workers[None].ask(limit_s, do=do, **request)

    def of(self, shape, form, limit_s):
        """A worker that holds this model; of a shape that is done with none stays, so that memory suffices."""
        key = (shape, form)
        if key not in self.workers or self.workers[key].child.poll() is not None:
            for other in [k for k in self.workers if k and k[0] != shape]:
                self.workers.pop(other).end()
            self.workers[key] = Worker(self.cpu_site)
            answer = self.workers[key].ask(limit_s, do="model", folder=self.models(shape), dtype=form, device="cpu")
            if "error" in answer:
                self.workers.pop(key).end()
                return None, answer
        return self.workers[key], None

    def passes(self, shape, form, on, tokens, repeats, limit_s, best_way):
        """Every way in turn, or where one was the best on more threads that one alone."""
        end = time.time() + limit_s
        worker, error = self.of(shape, form, limit_s)
        if error:
            return error
        ways = [(len(on), True), (len(on), False)] + ([(len(on) // 2, True)] if len(on) >= 8 else [])
        if best_way is not None:
            ways = [(len(on), best_way)]
        out = {"prefill": {}, "decode": {}}
        for threads, tuned in ways:
            for work in ("prefill", "decode"):
                answer = worker.ask(end - time.time(), do=work, tokens=tokens, threads=threads, cores=on, tuned=tuned,
                                    repeats=repeats, steps=DECODE_STEPS)
                if "error" in answer:
                    out.setdefault("error", answer["error"])
                else:
                    out[work][f"{threads} threads, {'tuned' if tuned else 'as it comes'}"] = answer["seconds"]
        if out["prefill"]:
            out.pop("error", None)
        return out

    def sweep(self, shape, form, tokens, device, limit_s):
        worker, end = Worker(self.site), time.time() + limit_s
        try:
            answer = worker.ask(limit_s, do="model", folder=self.models(shape), dtype=form, device=device)
            if "error" not in answer:
                answer = worker.ask(end - time.time(), do="sweep", tokens=tokens, new_tokens=NEW_TOKENS)
        finally:
            worker.end()
        return answer

    def end(self):
        for worker in self.workers.values():
            worker.end()


# ---- models -------------------------------------------------------------------------------------------

class Models:
    """Folders for theirs, files for ours: made when they are first asked for."""

    def __init__(self, work, ours):
        self.work, self.ours = work, ours

    def folder(self, shape):
        path = os.path.join(self.work, f"hf-{shape}")
        if not os.path.exists(os.path.join(path, "tokenizer.json")):
            say(f"making {path}")
            random_llama.write(shape, path)
        return path

    def file(self, shape):
        path = os.path.join(self.work, f"{shape}.h5")
        if not os.path.exists(path):
            say(f"importing {path}")
            subprocess.run(self.ours.command + ["import", self.folder(shape), "-o", path, "--dtype", "bf16", "-q"], check=True)
        return path


# ---- what is done -------------------------------------------------------------------------------------

class Book:
    """Lines that are there already, and new ones."""

    def __init__(self, path, seen, also):
        self.files, self.done, self.ways = [path, *also], set(), {}
        for line in "\n".join(read(f) for f in [path, *seen]).splitlines():
            self.note(json.loads(line))
        old = read(path)
        for f in also:  # each of them has all lines
            with open(f, "w", encoding="utf-8") as out:
                out.write(old)

    @staticmethod
    def key(line):
        return tuple(line.get(k) for k in ("side", "work", "shape", "form", "threads", "tokens", "round"))

    def note(self, line):
        """What failed is tried again by the next call; which way of theirs is the best, the most threads tell."""
        if "error" in line:
            return
        self.done.add(self.key(line))
        if line.get("ways"):
            best = min(line["ways"], key=lambda w: min(line["ways"][w]))
            threads, tuned = self.ways.get((line["shape"], line["form"]), (0, None))
            if line["threads"] > threads:
                self.ways[line["shape"], line["form"]] = line["threads"], "tuned" in best

    def write(self, **line):
        self.note(line)
        line["when"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        for f in self.files:
            with open(f, "a", encoding="utf-8") as out:
                print(json.dumps(line), file=out)
        figure = line.get("error") or (f"{min(line['seconds']):.4f} s" if "seconds" in line else line.get("best", ""))
        say(f"  {line['side']}: {figure}")


class Bench:
    def __init__(self, o):
        self.o, self.order = o, cores()
        self.ours = Ours(o.program, o.work)
        self.models = Models(o.work, self.ours)
        self.theirs = Theirs(self.models.folder, o.site)
        self.book = Book(os.path.join(o.work, "results.jsonl"), o.seen, o.also)
        self.bf16 = self.ours.bf16() is not None
        self.seen_of_guessed = [1.0]
        self.left_out = []

    def on(self, threads):
        return self.order[0][:threads]

    def left(self):
        return self.o.budget - (time.time() - START)

    def missing(self, *keys):
        return [k for k in keys if k not in self.book.done]

    # -- kinds of steps

    def products(self, s, nth):
        key = ("torch", "products", None, None, s.threads, None, nth)
        if self.missing(key):
            answer = self.theirs.plain("products", self.left(), threads=s.threads, cores=self.on(s.threads),
                                       **({"side": 192, "read": 1 << 22} if self.o.tiny else {}))
            best = {} if "error" in answer else {"best": answer}
            self.book.write(side="torch", work="products", threads=s.threads, round=nth, **best,
                            **({"error": answer["error"]} if "error" in answer else {}))

    def passes(self, s, nth):
        on, n = self.on(s.threads), s.tokens
        keys = {side: [(side, work, s.shape, s.form, s.threads, n, nth) for work in ("prefill", "decode")]
                for side in ("depthkv", "transformers")}
        if self.missing(*keys["depthkv"][:2 if n == 2048 else 1]):
            answer = self.ours.bench(s.shape, s.form, on, n, self.repeats(s), self.left())
            for work in ("prefill", "decode") if n == 2048 else ("prefill",):  # bench decodes behind 2048 tokens alone
                part = answer.get(work, {"error": answer.get("error", "not measured")})
                self.book.write(side="depthkv", work=work, shape=s.shape, form=s.form, threads=s.threads, tokens=n, round=nth,
                                build=answer.get("build"), limits=answer.get("limits"), **part)
        if self.missing(*keys["transformers"]):
            most, way = self.book.ways.get((s.shape, s.form), (0, None))
            answer = self.theirs.passes(s.shape, s.form, on, n, self.repeats(s), self.left(),
                                        way if most > s.threads else None)
            for work in ("prefill", "decode"):
                ways = answer.get(work) or {}
                line = {"seconds": min(ways.values(), key=min), "ways": ways} if ways else {"error": answer.get("error", "not measured")}
                self.book.write(side="transformers", work=work, shape=s.shape, form=s.form, threads=s.threads, tokens=n, round=nth, **line)

    def sweep(self, s, nth):
        ours = "bf16" if self.bf16 else "f32"
        for side, form, threads in (("depthkv", ours, s.threads), ("kvpress", "bf16", None)):
            if not self.missing((side, "sweep", s.shape, form, threads, s.tokens, nth)) or (side == "kvpress" and not self.o.device):
                continue
            if side == "kvpress":
                answer = self.theirs.sweep(s.shape, form, s.tokens, self.o.device, self.left())
            else:
                answer = self.ours.sweep(self.models.file(s.shape), form, self.on(s.threads), s.tokens, self.left())
            self.book.write(side=side, work="sweep", shape=s.shape, form=form, threads=threads, tokens=s.tokens, round=nth, **answer)

    # -- the order

    def repeats(self, s):
        """A pass that takes long needs no second one, and time is short."""
        return 1 if self.guess(s.shape, s.form, s.threads, s.tokens) > 20 else self.o.repeats

    def guess_both(self, shape, form, threads, tokens):
        """Seconds of a step of passes: loading and limits, ours with its warm-up, and theirs in every way."""
        one = Step("passes", shape, form, threads, tokens, 0, None)
        ways = 3 if threads == max(self.o.threads) else 1
        return 12 + self.guess(shape, form, threads, tokens) * (1 + self.repeats(one) * (1 + 0.7 * ways))

    def guess(self, shape, form, threads, tokens):
        """Seconds of a prefill."""
        s = random_llama.shapes()[shape]
        one = s.width * s.head_dim * (2 * s.head + 2 * s.kv_head) + 3 * s.width * s.ff
        flop = s.layer * (2.0 * one * tokens + 2.0 * tokens * tokens * s.head * s.head_dim)
        return flop / (GFLOP[form] * 1e9 * threads ** 0.85)

    def steps(self):
        o, most = self.o, max(self.o.threads)
        gpu = 25 if o.device == "cuda" else 1
        for t in o.threads:
            yield Step("products", None, None, t, None, 5, self.products)
        for t in o.threads:
            for shape in o.shapes:
                for form in ("bf16", "f32"):
                    n = o.tokens[0]
                    yield Step("passes", shape, form, t, n, self.guess_both(shape, form, t, n), self.passes)
            if t == most:
                for shape in o.shapes:
                    for n in o.tokens if shape == o.shapes[0] else o.tokens[:1]:
                        yield Step("sweep", shape, "bf16", t, n,
                                   15 + gpu + 4 * self.guess(shape, "bf16" if self.bf16 else "f32", t, n), self.sweep)

    def go(self):
        theirs = {k: self.theirs.hello.get(k) for k in ("python", "torch", "transformers", "gpu", "error")}
        self.book.write(side="machine", **machine(self.order[1]), depthkv=self.ours.version, **{k: v for k, v in theirs.items() if v})
        for nth in range(1, self.o.rounds + 1):
            for s in self.steps():
                self.step(s, nth)
        self.theirs.end()
        say("left out for lack of time: " + (", ".join(self.left_out) or "nothing"))

    def step(self, s, nth):
        name = " ".join(str(x) for x in (s.work, s.shape, s.form, s.tokens, f"{s.threads} threads", f"round {nth}") if x)
        expected = s.guess * sorted(self.seen_of_guessed)[len(self.seen_of_guessed) // 2]
        if expected > self.left():
            self.left_out.append(name)
            return
        n_done, begin = len(self.book.done), time.time()
        say(f"{name}, about {expected:.0f} s of {self.left():.0f}")
        s.run(s, nth)
        if len(self.book.done) > n_done:
            self.seen_of_guessed.append((time.time() - begin) / s.guess)


def numbers(text):
    return [int(n) for n in text.split(",")]


def options():
    a = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    a.add_argument("program", metavar="DEPTHKV")
    a.add_argument("--work", default="build/peers-work")
    a.add_argument("--budget", type=float, default=3600, help="seconds (3600)")
    a.add_argument("--shapes", default="1b,135m", help="the first one also sweeps at the longer lengths (1b,135m)")
    a.add_argument("--threads", type=numbers, help="most first (16,4,1, or what the machine has)")
    a.add_argument("--tokens", type=numbers, default=[2048, 8192], help="of passes and sweeps; the others of sweeps alone (2048,8192)")
    a.add_argument("--repeats", type=int, default=2)
    a.add_argument("--rounds", type=int, default=2)
    a.add_argument("--device", help="of kvpress: cuda, cpu, or none (cuda where there is one)")
    a.add_argument("--site", help="folder or archive with Python packages that are missing")
    a.add_argument("--seen", nargs="*", default=[], help="results of earlier calls, which are not measured again")
    a.add_argument("--also", nargs="*", default=[], help="further files for the lines")
    a.add_argument("--tiny", action="store_true", help="small products, to try the script")
    o = a.parse_args()
    o.shapes = o.shapes.split(",")
    unknown = set(o.shapes) - set(random_llama.shapes())
    if unknown:
        a.error(f"--shapes: {', '.join(unknown)} unknown; there are {', '.join(random_llama.shapes())}")
    there = len(os.sched_getaffinity(0))
    o.threads = sorted(o.threads or {t for t in (16, 4, 1) if t <= there}, reverse=True)
    if o.threads[0] > there or o.threads[-1] < 1:
        a.error(f"--threads: this process may use {there} CPUs")
    return o


def main():
    global START, LOG
    START = time.time()
    o = options()
    os.makedirs(o.work, exist_ok=True)
    LOG = os.path.join(o.work, "log")
    if o.site and not os.path.isdir(o.site):
        folder = os.path.join(o.work, "site")
        if not os.path.isdir(folder):
            with tarfile.open(o.site) as f:
                f.extractall(folder)
        o.site = folder
    bench = Bench(o)
    if o.device is None:
        o.device = "cuda" if "gpu" in bench.theirs.hello else "none"
    o.device = None if o.device == "none" else o.device
    bench.go()


if __name__ == "__main__":
    main()
