"""Vectors for tests/test_dequant.c: random blocks of every GGUF element type and what the gguf package makes of
them. Usage: make_dequant.py OUT.h  (needs numpy and gguf; written with gguf 0.19)"""
import sys
import textwrap

import gguf
import numpy as np

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K", "Q2_K", "Q3_K", "IQ4_NL",
         "IQ4_XS"]


def halves(name, block):
    """Replace the 16-bit scales by ordinary numbers; random bits would be NaN now and then."""
    at = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2],
          "Q6_K": [208], "Q2_K": [80, 82], "Q3_K": [108], "IQ4_NL": [0], "IQ4_XS": [0]}.get(name, [])
    for i, offset in enumerate(at):
        value = np.float16([0.0371, -1.25][i] * (1 + block[-1] / 64))
        block[offset:offset + 2] = np.frombuffer(value.tobytes(), np.uint8)
    return block


def array(out, name, numbers):
    out.write(f"{name} = {{\n")
    for line in textwrap.wrap(", ".join(numbers), 112):
        out.write(f"    {line}\n")
    out.write("};\n")


def main():
    rng = np.random.default_rng(1)
    with open(sys.argv[1], "w") as out:
        out.write("/* Made by make_dequant.py: blocks, and their values as bits of floats. */\n")
        for name in TYPES:
            kind = gguf.GGMLQuantizationType[name]
            values, size = gguf.GGML_QUANT_SIZES[kind]
            n = 2 if values > 1 else 8
            if name == "F32":
                raw = rng.standard_normal(n).astype(np.float32).view(np.uint8).reshape(n, size)
            elif name == "F16":
                special = np.array([0x0001, 0x83FF, 0x0400, 0x7BFF, 0x7C00, 0x8000, 0x3C01, 0xFC00], np.uint16)
                raw = special.view(np.uint8).reshape(n, size)
            elif name == "BF16":
                raw = rng.standard_normal(n).astype(np.float32).view(np.uint16)[1::2].copy().view(np.uint8)
                raw = raw.reshape(n, size)
            else:
                raw = np.stack([halves(name, rng.integers(0, 256, size, dtype=np.uint8)) for _ in range(n)])
            flat = raw.reshape(-1)
            if name == "F32":
                got = flat.view(np.float32)
            elif name == "F16":
                got = flat.view(np.float16).astype(np.float32)
            else:
                got = gguf.quants.dequantize(flat, kind).astype(np.float32)
            bits = got.reshape(-1).view(np.uint32)
            array(out, f"static const uint8_t raw_{name}[]", [str(b) for b in flat])
            array(out, f"static const uint32_t bits_{name}[]", [f"{b:#x}" for b in bits])
        out.write("#define DEQUANT_CASES \\\n" + " \\\n".join(f"    CASE({t}, {int(gguf.GGMLQuantizationType[t])})"
                                                              for t in TYPES) + "\n")


main()
