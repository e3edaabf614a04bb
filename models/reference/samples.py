"""What the reference model is trained and evaluated on: the compact tasks of datasets/, as rows of byte ids made by
libdepthkv_tasks.so (datasets/trainer.h).

A row is a function of (seed, index) and of the mixture below; training draws keys and values from one half of their space
and evaluation from the other (split), and their seeds differ as well.
"""
import atexit
import concurrent.futures
import ctypes
import os
import shutil
import tempfile

import numpy as np

EVAL_SEED = 1 << 40  # training uses seeds far below
HELD_OUT = "pg19_3890.txt"  # a book that training never sees

# (task, parameters, weight, ids kept free for answers, shortest row). A weight is a share of the rows.
MIXTURE = [
    ("niah_single_1", "", 0.7, 20, 256),
    ("niah_single_2", "", 1.0, 20, 256),
    ("niah_single_3", "", 0.7, 50, 256),
    ("niah_multikey_1", "num_needle_k=4,questions=3", 1.2, 110, 512),
    ("niah_multikey_1", "num_needle_k=2", 0.6, 20, 256),
    ("niah_multikey_1", "num_needle_k=8,questions=4", 1.0, 150, 1024),
    ("niah_multikey_1", "num_needle_k=4,type_haystack=noise,questions=2", 0.4, 70, 512),
    ("niah_multikey_2", "questions=3", 1.2, 110, 512),
    ("niah_multikey_2", "", 0.6, 20, 256),
    ("niah_multikey_3", "questions=2", 1.2, 150, 512),
    ("niah_multikey_3", "", 0.3, 60, 512),
    ("niah_multivalue", "num_needle_v=2", 0.6, 30, 256),
    ("niah_multivalue", "num_needle_v=4", 1.2, 50, 512),
    ("niah_multivalue", "num_needle_v=3,questions=2", 0.6, 100, 1024),
    ("niah_multiquery", "num_needle_q=2,num_needle_k=3", 0.6, 30, 512),
    ("niah_multiquery", "num_needle_q=4", 1.2, 50, 512),
    ("passkey", "", 0.5, 16, 256),
    ("lines", "questions=3", 1.2, 90, 256),
    ("kv", "questions=3,type_needle_k=numbers,type_needle_v=numbers", 0.8, 90, 256),
    ("kv", "questions=2", 1.0, 140, 512),
    ("kv", "", 0.2, 60, 256),
    ("induction", "questions=4,syllables=2", 0.6, 60, 256),
    ("induction", "questions=4", 0.9, 70, 256),
    ("copy", "num_words=3", 0.4, 40, 256),
    ("copy", "", 0.9, 70, 512),
    ("vt", "num_hops=1,num_chains=2,questions=2", 0.7, 50, 256),
    ("vt", "num_hops=2", 0.7, 30, 256),
    ("vt", "num_hops=3,num_chains=2,questions=2", 1.0, 80, 512),
    ("vt", "num_hops=4", 1.2, 40, 512),
    ("vt", "num_hops=4,num_chains=3,questions=3", 1.4, 140, 1024),
    ("vt", "num_hops=7,num_chains=2,questions=2", 0.8, 120, 1024),
    ("vt", "num_hops=4,num_chains=2,questions=2,type_haystack=essay", 0.5, 90, 1024),
    ("cwe", "num_cw=1", 0.5, 20, 256),
    ("cwe", "num_cw=3", 1.3, 40, 256),
    ("cwe", "num_cw=5", 0.6, 60, 512),
    ("cwe", "num_cw=10", 1.0, 100, 1024),
    ("cwe", "num_cw=3,freq_cw=12,freq_ucw=2", 0.5, 40, 512),
    ("fwe", "", 1.8, 40, 512),
    ("arithmetic", "num_hops=1,num_distractors=1", 0.6, 50, 256),
    ("arithmetic", "num_hops=2,num_distractors=2", 0.7, 70, 512),
    ("arithmetic", "", 1.2, 100, 512),
    ("arithmetic", "num_hops=4,num_distractors=5", 0.7, 120, 1024),
    ("text", "continuation=16", 3.5, 32, 256),
]

# What is reported: the tasks as depthkv runs them, one question each.
EVALUATION = [
    ("niah_single_1", ""), ("niah_single_2", ""), ("niah_single_3", ""), ("niah_multikey_1", ""), ("niah_multikey_2", ""),
    ("niah_multikey_3", ""), ("niah_multivalue", ""), ("niah_multiquery", ""), ("passkey", ""), ("lines", ""), ("kv", ""),
    ("kv", "type_needle_k=numbers,type_needle_v=numbers"), ("induction", ""), ("copy", ""), ("vt", ""),
    ("vt", "num_chains=3"), ("cwe", "num_cw=3"), ("cwe", ""), ("fwe", ""), ("arithmetic", ""),
]
EVALUATION_RESERVE = 128


def library(path):
    so = ctypes.CDLL(os.path.abspath(path))
    so.trainer_open.restype = ctypes.c_void_p
    so.trainer_open.argtypes = [ctypes.c_char_p] * 4 + [ctypes.c_size_t]
    so.trainer_close.argtypes = [ctypes.c_void_p]
    so.trainer_rows.argtypes = [ctypes.c_void_p] * 3 + [ctypes.c_int, ctypes.c_uint64, ctypes.c_int] + [ctypes.c_void_p] * 2 + \
        [ctypes.c_char_p, ctypes.c_size_t]
    return so


def open_task(so, task, params, length, split, books):
    message = ctypes.create_string_buffer(1024)
    own = "" if task == "text" else f",wording=compact,split={split}"
    text = f"length={length}{own}" + ("," + params if params else "")
    handle = so.trainer_open(task.encode(), text.encode(), books.encode(), message, len(message))
    if not handle:
        raise SystemExit(f"{task}: {message.value.decode()}")
    return handle


def rows(so, handles, index, prompt, seed, width):
    """ids and masks [n][width]; raises ValueError with the library's message."""
    n = len(handles)
    ids, mask = np.empty((n, width), np.int16), np.empty((n, width), np.uint8)
    message = ctypes.create_string_buffer(1024)
    index, prompt = np.ascontiguousarray(index, np.int32), np.ascontiguousarray(prompt, np.int32)
    if so.trainer_rows((ctypes.c_void_p * n)(*handles), index.ctypes.data, prompt.ctypes.data, n, seed, width, ids.ctypes.data,
                       mask.ctypes.data, message, len(message)):
        raise ValueError(message.value.decode())
    return ids, mask


def training_books(books):
    """A folder with the books that may be trained on."""
    folder = tempfile.mkdtemp(prefix="books-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    for name in sorted(os.listdir(books)):
        if name != HELD_OUT:
            os.symlink(os.path.abspath(os.path.join(books, name)), os.path.join(folder, name))
    return folder


class Mixture:
    """Rows of one length. batch(step, n) is a function of its arguments and the seed alone."""

    def __init__(self, so, length, books, seed):
        self.so, self.length, self.seed, self.tasks = so, length, seed, []
        for task, params, weight, reserve, shortest in MIXTURE:
            if length < shortest:
                continue
            handle = open_task(so, task, params, length, "train", books)
            most = length - reserve
            for least in (length // 2, length * 3 // 4, most):
                try:
                    rows(so, [handle] * 16, range(16), [min(least, most)] * 16, seed, length + 1)
                    break
                except ValueError as problem:
                    if least == most:
                        raise SystemExit(f"{task} {params} at {length}: {problem}") from problem
            self.tasks.append((handle, min(least, most), most, weight))
        weight = np.array([t[3] for t in self.tasks])
        self.share = weight / weight.sum()

    def batch(self, step, n):
        r = np.random.default_rng([self.seed, self.length, step])
        which = r.choice(len(self.tasks), n, p=self.share)
        least, most = (np.array([self.tasks[w][k] for w in which]) for k in (1, 2))
        short = least + (r.random(n) * (most - least + 1)).astype(np.int64)
        prompt = np.where(r.random(n) < 0.65, most, short)
        index = (step * n + np.arange(n)) % (1 << 31)
        handles = [self.tasks[w][0] for w in which]
        try:
            return rows(self.so, handles, index, prompt, self.seed, self.length + 1)
        except ValueError:  # a sample that does not fit gives way to one that does
            done = []
            for i in range(n):
                try:
                    done.append(rows(self.so, [handles[i]], [index[i]], [prompt[i]], self.seed, self.length + 1))
                except ValueError:
                    first = self.tasks[0]
                    done.append(rows(self.so, [first[0]], [index[i]], [first[2]], self.seed, self.length + 1))
            return np.concatenate([d[0] for d in done]), np.concatenate([d[1] for d in done])


class Loader:
    """Batches in the order of their steps, made ahead by threads (the library does not hold the interpreter's lock)."""

    def __init__(self, plan, threads, ahead):
        """plan(step) -> (mixture, rows)"""
        self.plan, self.ahead = plan, ahead
        self.pool = concurrent.futures.ThreadPoolExecutor(threads)
        self.waiting = {}

    def _make(self, step):
        mixture, n = self.plan(step)
        return mixture.batch(step, n)

    def get(self, step):
        for s in range(step, step + self.ahead):
            if s not in self.waiting:
                self.waiting[s] = self.pool.submit(self._make, s)
        return self.waiting.pop(step).result()

    def forget(self):
        """When the plan has changed: what was made ahead is of no use."""
        for f in self.waiting.values():
            f.cancel()
        self.waiting = {}


def evaluation_rows(so, length, books, n):
    """name -> (ids, mask), for every task that has room for its answer at this length."""
    out = {}
    for task, params in EVALUATION:
        handle = open_task(so, task, params, length, "eval", books)
        try:
            prompt = max(length - EVALUATION_RESERVE, length // 2)
            out[(task + " " + params).strip()] = rows(so, [handle] * n, range(n), [prompt] * n, EVAL_SEED, length + 1)
        except ValueError:
            pass
        so.trainer_close(handle)
    return out
