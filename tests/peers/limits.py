#!/usr/bin/env python3
"""The machine's limits by NumPy, to check those that `depthkv bench` states: python3 limits.py WIDTH HEAD_DIM GROUP

Prints JSON: the best rate of each kind, in FLOP/s and bytes/s. One process a CPU works on matrices of its own, all at the same
time, with a single-threaded sgemm: NumPy's own OpenBLAS, and that of the system, which depthkv links, where ctypes finds it
(they are different versions; with an inner length of 64 they differ by 5 to 12 % here). Both pick their kernels by themselves.
    square     large square products
    qk, pv     GROUP heads x a block of queries against 512 to 2048 keys: inner length HEAD_DIM, and width HEAD_DIM
    rows32     32 rows with a weight matrix [65536][WIDTH], which no cache holds
    bandwidth  sums over 512 MiB
"""
import ctypes
import ctypes.util
import json
import multiprocessing
import os
import sys
import time

os.environ.pop("OPENBLAS_CORETYPE", None)
os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when the libraries are loaded
import numpy as np  # noqa: E402

CPUS = len(os.sched_getaffinity(0))
TRIES = 6


def random(*shape):
    return np.random.default_rng().random(shape, np.float32) - np.float32(0.5)


def numpy_product(a, b, c):
    """c = a b, or a b^T when b is a transposed view."""
    return lambda: np.matmul(a, b, out=c)


def system_product(a, b, c):
    transposed = b.strides[0] < b.strides[1]
    inner = b.T if transposed else b
    m, k, n = *a.shape, c.shape[1]
    lead = [x.strides[0] // 4 for x in (a, inner, c)]
    sgemm, one, zero, at = LIBRARY.cblas_sgemm, ctypes.c_float(1), ctypes.c_float(0), [ctypes.c_void_p(x.ctypes.data) for x in (a, inner, c)]
    return lambda: sgemm(101, 111, 112 if transposed else 111, m, n, k, one, at[0], lead[0], at[1], lead[1], zero, at[2], lead[2])


def load_library():
    for name in (ctypes.util.find_library("openblas"), "libopenblas.so.0"):
        try:
            library = ctypes.CDLL(name) if name else None
        except OSError:
            continue
        if library:
            library.openblas_set_num_threads(1)
            return library
    return None


LIBRARY = load_library()
PRODUCTS = [numpy_product] + ([system_product] if LIBRARY else [])


def works(width, head_dim, group):
    """Yields (kind, what all processes do together in FLOP or bytes, function that does this process's part)."""
    def tiles(kind, m, n, k, transposed):
        calls = 1 + int(2e8 / (2 * m * n * k))
        a, b, c = random(m, k), random(n, k).T if transposed else random(k, n), np.empty((m, n), np.float32)
        for product in PRODUCTS:
            one = product(a, b, c)
            yield kind, 2.0 * m * n * k * calls * CPUS, lambda: [one() for _ in range(calls)]

    for side in (1024, 1536, 2048):
        yield from tiles("square", side, side, side, True)
    for block in (32, 64, 128, 256):
        for keys in (512, 1024, 2048):
            yield from tiles("qk", block * group, keys, head_dim, True)
            yield from tiles("pv", block * group, head_dim, keys, False)
    rows = 65536 // CPUS // 1024 * 1024
    weight, x, y = random(rows, width), random(32, width), np.empty((32, rows), np.float32)
    for chunk in (64, 256, 1024):
        for product in PRODUCTS:
            parts = [product(x, weight[s:s + chunk].T, y[:, s:s + chunk]) for s in range(0, rows, chunk)]
            yield "rows32", 2.0 * 32 * rows * width * CPUS, lambda: [part() for part in parts]
    data = random((512 << 18) // CPUS)
    integers = data[:len(data) // 2 * 2].view(np.int64)
    for one in (lambda: data.dot(data), integers.sum, data.max):
        yield "bandwidth", float(data.nbytes * CPUS), one


def process(barrier, queue, shape):
    found = []
    for kind, amount, work in works(*shape):
        for _ in range(TRIES):
            barrier.wait()
            start = time.perf_counter()  # the same clock in every process
            work()
            found.append((kind, amount, start, time.perf_counter()))
    queue.put(found)


def main(*shape):
    context = multiprocessing.get_context("fork")
    barrier, queue = context.Barrier(CPUS), context.Queue()
    workers = [context.Process(target=process, args=(barrier, queue, shape)) for _ in range(CPUS)]
    for w in workers:
        w.start()
    found = [queue.get() for _ in workers]
    for w in workers:
        w.join()
    best = {}
    for together in zip(*found):
        kind, amount = together[0][:2]
        took = max(end for _, _, _, end in together) - min(start for _, _, start, _ in together)
        best[kind] = max(best.get(kind, 0.0), amount / took)
    print(json.dumps(best))


main(*(int(a) for a in sys.argv[1:]))
