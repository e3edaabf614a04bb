"""SentencePiece's model file (a protocol buffer), written and read by hand, so that nothing but sentencepiece is needed."""
import struct

NORMAL, UNKNOWN, CONTROL, USER, UNUSED, BYTE = 1, 2, 3, 4, 5, 6


def varint(n):
    out = b""
    while n >= 0x80:
        out, n = out + bytes([n & 0x7F | 0x80]), n >> 7
    return out + bytes([n])


def field(number, value):
    if isinstance(value, float):
        return varint(number << 3 | 5) + struct.pack("<f", value)
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def write(pieces, blank, unk=0, bos=1, eos=2, trainer=b"", normalizer=b"", model_type=2):
    """pieces: (text, score, type); blank: whether one is put in front of a text. Returns the bytes of a model."""
    out = b"".join(field(1, field(1, t) + field(2, float(s)) + field(3, k)) for t, s, k in pieces)
    out += field(2, field(3, model_type) + field(35, 1) + field(40, unk) + field(41, bos) + field(42, eos) + trainer)
    return out + field(3, field(1, "identity") + field(3, int(blank)) + field(4, 0) + field(5, 1) + normalizer)


def fields(data):
    """(number, value) of everything in a message; a value is an int, bytes, or the four or eight bytes of a number."""
    at = 0

    def number():
        nonlocal at
        n = shift = 0
        while True:
            n |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 0x80:
                return n

    while at < len(data):
        key = number()
        if key & 7 == 0:
            yield key >> 3, number()
            continue
        n = {1: 8, 5: 4}.get(key & 7) or number()
        yield key >> 3, data[at:at + n]
        at += n


def read(data):
    """The (text, score, type) of every piece of a model."""
    for number, value in fields(data):
        if number == 1:
            p = dict(fields(value))
            yield p[1].decode(), struct.unpack("<f", p.get(2, bytes(4)))[0], p.get(3, NORMAL)
