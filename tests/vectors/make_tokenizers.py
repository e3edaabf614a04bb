"""Token ids of every kind of tokenizer that is read: tokenizers.json and spm_small.model for tests/test_tokenizer_kinds.c. Real
vocabularies are real_tokenizers.py's.

    python make_tokenizers.py small SPM.model TEXT.txt OUT_DIR
    python make_tokenizers.py text OUT.txt FILE...

`small`: byte-level BPE under each rule, on a vocabulary trained without any cutting, so that every cut shows; SentencePiece on
a vocabulary cut from SPM.model (tokenizer.model.v1 of the PyPI package mistral-common 1.13.1, Apache-2.0) with a few
user-defined pieces, by the sentencepiece package, and in the forms of tokenizer.json by the tokenizers package.
`text`: a megabyte of pieces of FILEs and of characters of many scripts.
Made with tokenizers 0.22.2, sentencepiece 0.2.3.
"""
import json
import random
import sys
import unicodedata

import sentencepiece
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

import spm_model
from make_tokenizer import texts

CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ADDED = ["<tool>", "<tool><tool>", "\u00e9!"]
WHOLE = ["Zarathustra", " fox", "1234567"]  # tokens that no merge leads to: ignore_merges finds them
SHORT = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
MARKS = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
CAPS, SMALL = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
SLASH = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
RULES = {  # as the tokenizer.json of Llama 3, Qwen2, Mistral Nemo and GPT-4o spell them
    "llama3": SHORT + "|" + WORD + r"|\p{N}{1,3}|" + MARKS,
    "qwen2": SHORT + "|" + WORD + r"|\p{N}|" + MARKS,
    "tekken": CAPS + "*" + SMALL + "+|" + CAPS + "+" + SMALL + r"*|\p{N}|" + SLASH,
    "gpt4o": CAPS + "*" + SMALL + "+" + SHORT + "?|" + CAPS + "+" + SMALL + "*" + SHORT + r"?|\p{N}{1,3}|" + SLASH,
}
MORE = ["\u2581", "a\u2581b", " \u2581 ", "\u2581\u2581", "e\u0301", "\u1e9b\u0323", "\ud55c\uad6d", "\u1112\u1161\u11ab", "a\u0327\u0301b", "\u0958",
        "\u2126\u212b", "q\u0323\u0307", "q\u0307\u0323", "It'S '\u017f '\u212a don'T", "\u00c5ngstro\u0308m", "a" + "\u0301\u0323" * 20, "HTTPServer camelCase ABCdef",
        "12345678901", "Zarathustra's fox 1234567", "a//b\r\n//\n/c", "x  \n\n  y", "\t\n \n", "wE'LL I'VE", "\u01c5abc \u01c4ABC", "<tool> <tool>", " <tool>x", "\n\n",
        "\n\n\n\n a", "a\n\n\nb", "    <tool>", "\U0001f600\u0301", "\u0e40\u0e01\u0e21", "\u2581<tool>\u2581", "x<|im_end|> y", "<|im_start|>x", "<|im_start|> x <|im_end|>\u2581z"]


def byte_level(rule):
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(RULES[rule]), "isolated"), level])


def encode(t, cases):
    return [t.encode(text, add_special_tokens=False).ids for text in cases]


def add_tokens(t, control, added):
    t.add_special_tokens([AddedToken(x, special=True, normalized=False) for x in control])
    t.add_tokens([AddedToken(x, special=False, normalized=False) for x in added])


def bpe(corpus, cases):
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    lines = [corpus[i:i + 60] for i in range(0, 60000, 60)] + [c[:80] for c in cases] * 3
    trainer = trainers.BpeTrainer(vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    t.train_from_iterator(lines, trainer)
    model = json.loads(t.to_str())["model"]
    vocab, merges = model["vocab"], [tuple(m) for m in model["merges"]]
    for w in WHOLE:
        vocab.setdefault(w.replace(" ", "\u0120"), len(vocab))
    out = []
    for rule, normal, ignore in (("llama3", 0, 1), ("llama3", 0, 0), ("qwen2", 1, 0), ("tekken", 0, 1), ("gpt4o", 0, 0)):
        t = Tokenizer(models.BPE(vocab, merges, ignore_merges=bool(ignore)))
        t.pre_tokenizer = byte_level(rule)
        if normal:
            t.normalizer = normalizers.NFC()
        add_tokens(t, CONTROL, ADDED)
        parts = json.loads(t.to_str())
        out.append({"name": rule, "normalizer": parts["normalizer"], "pre_tokenizer": parts["pre_tokenizer"],
                    "model": {"ignore_merges": bool(ignore)}, "ids": encode(t, cases)})
    return {"vocab": vocab, "merges": merges, "added_tokens": parts["added_tokens"], "forms": out}


def cut(path, cases):
    """Special pieces, bytes, user-defined pieces of ours, the best 700 and those that the shorter texts come to."""
    pieces = list(spm_model.read(open(path, "rb").read()))
    sp = sentencepiece.SentencePieceProcessor(model_file=path)
    used = {i for c in cases for i in sp.encode(c[:40])[:12]}
    head = [p for p in pieces if p[2] != spm_model.NORMAL]
    body = [p for i, p in enumerate(pieces) if p[2] == spm_model.NORMAL and (i < 259 + 700 or i in used)]
    users = ["<tool>", "\u2581\u2581\u2581", "\n\n", "<|im_end|>"]
    return head + [(u, 0.0, spm_model.USER) for u in users] + [p for p in body if p[0] not in users]


def merges_of(pieces):
    """The merges that transformers makes of scores: every way to make a piece of two, best piece first."""
    ids, out = {p[0]: i for i, p in enumerate(pieces)}, []
    for text, score, kind in pieces:
        if kind == spm_model.NORMAL:
            ways = [(text[:k], text[k:]) for k in range(1, len(text)) if text[:k] in ids and text[k:] in ids]
            out += [(w, score) for w in sorted(ways, key=lambda w: (ids[w[0]], ids[w[1]]))]
    return [w for w, _ in sorted(out, key=lambda x: -x[1])]


def spm(path, cases, out):
    pieces, forms = cut(path, cases), []
    for blank in (True, False):
        data = spm_model.write(pieces, blank)
        if blank:
            with open(out + "/spm_small.model", "wb") as f:
                f.write(data)
        sp = sentencepiece.SentencePieceProcessor(model_proto=data)
        forms.append({"blank": blank, "ids": [sp.encode(c) for c in cases]})
    vocab, merges = {p[0]: i for i, p in enumerate(pieces)}, merges_of(pieces)
    assert not any(" " in a or " " in b for a, b in merges)
    replace = normalizers.Replace(" ", "\u2581")
    space = lambda scheme: pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme=scheme, split=False)
    shapes = [(normalizers.Sequence([normalizers.Prepend("\u2581"), replace]), None), (replace, pre_tokenizers.Split(" ", "merged_with_previous")),
              (None, space("first")), (None, space("always")), (None, space("never"))]
    result = []
    for normal, pre in shapes:
        t = Tokenizer(models.BPE(vocab, merges, byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
        if normal:
            t.normalizer = normal
        if pre:
            t.pre_tokenizer = pre
        add_tokens(t, ["<unk>", "<s>", "</s>", "<|im_end|>"], ["<tool>"])
        parts = json.loads(t.to_str())
        result.append({"normalizer": parts["normalizer"], "pre_tokenizer": parts["pre_tokenizer"], "model": {"byte_fallback": True},
                       "ids": encode(t, cases)})
    return {"model": forms, "json": {"vocab": vocab, "merges": merges, "added_tokens": parts["added_tokens"], "forms": result}}


def small(model, corpus, out):
    cases = texts() + MORE
    book = open(corpus, encoding="utf-8").read()
    result = {"texts": cases, "bpe": bpe(book, cases), "spm": spm(model, cases, out)}
    with open(out + "/tokenizers.json", "w") as f:
        json.dump(result, f, indent=None, separators=(",", ":"))


BLOCKS = [(0x20, 0x7E)] * 4 + [(0xA1, 0x24F), (0x300, 0x36F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5F4), (0x600, 0x6FF), (0x900, 0x97F),
                               (0x980, 0x9FF), (0xB80, 0xBFF), (0xE00, 0xE5B), (0x1100, 0x11FF), (0x1E00, 0x1EFF), (0x2000, 0x206F), (0x20A0, 0x20BF), (0x2100, 0x214F),
                               (0x2200, 0x22FF), (0x2580, 0x259F), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0xFB1D, 0xFB4F), (0x1D400, 0x1D4FF),
                               (0x1F300, 0x1F6FF)]


def text(out, *files):
    r, parts, n = random.Random(3), [], 0
    sources = [open(f, encoding="utf-8", newline="").read() for f in files]
    while n < 1000000:
        if r.random() < 0.6:
            s = r.choice(sources)
            at = r.randrange(max(1, len(s) - 2000))
            part = s[at:at + r.randint(100, 2000)]
        else:
            blocks = [r.choice(BLOCKS), r.choice(BLOCKS), (32, 32), (97, 122)]
            chars = [chr(r.randint(*r.choice(blocks))) for _ in range(r.randint(5, 80))]
            part = "".join(c for c in chars if unicodedata.category(c) != "Cn") + r.choice(["\n", "  ", "\t", " ", "\r\n", "\n\n\n"])
        parts.append(part.replace("<", "< ").replace("INST]", "INST ]"))  # control tokens, which sentencepiece never finds in a text
        n += len(parts[-1].encode())
    with open(out, "w", encoding="utf-8", newline="") as f:
        f.write("".join(parts))


if __name__ == "__main__":
    {"small": small, "text": text}[sys.argv[1]](*sys.argv[2:])
