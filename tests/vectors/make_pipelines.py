"""pipelines.json for tests/test_tokenizer_pipelines.c: a small tokenizer.json of both kinds, and what single changes of it make of
texts. A change that is read has the ids of the tokenizers package; one that is refused has words of the message.

    python make_pipelines.py OUT.json

Made with tokenizers 0.22.2. A change that the package itself can't load has to be refused.
"""
import json
import sys

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from make_tokenizers import RULES

TEXTS = ["Hello world", " hello  world\n", "12 345", "don't we'LL", "e\u0301\u00e9 \u1e9b\u0323", "a<tool> b <tool>", "<s>x <s> y", "\u2581a b", "", "HELLO\u00a0\ufb01x\u0004",
         "the the\u2581the", "\u4e2d\u6587abc", "<\u00e9 a>", "-a--b."]
TRAIN = ["Hello world hello the we'll don't 12 345 e\u00e9 a b x y <tool> the the -a--b."] * 4
BLANK = "\u2581"
LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
CUT = {**LEVEL, "use_regex": False}
DIGITS = {"type": "Digits", "individual_digits": True}
REPLACE = {"type": "Replace", "pattern": {"String": " "}, "content": BLANK}
PREPEND = {"type": "Prepend", "prepend": BLANK}
META = {"type": "Metaspace", "replacement": BLANK, "prepend_scheme": "first", "split": False}
NFC = {"type": "NFC"}


def seq(kind, *parts):
    return {"type": "Sequence", kind: list(parts)}


def norms(*parts):
    return {"normalizer": seq("normalizers", *parts)}


def pres(*parts):
    return {"pre_tokenizer": seq("pretokenizers", *parts)}


def split(regex=RULES["llama3"], behavior="Isolated", invert=False, **pattern):
    return {"type": "Split", "pattern": pattern or {"Regex": regex}, "behavior": behavior, "invert": invert}


def token(id, content, **flags):
    return {"id": id, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True, **flags}


def base_bpe():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TRAIN, trainers.BpeTrainer(vocab_size=290, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    root = json.loads(t.to_str())
    n = len(root["model"]["vocab"])
    root["added_tokens"] = [token(n, "<s>"), token(n + 1, "<tool>", special=False)]
    return root


def base_spm():
    t = Tokenizer(models.BPE())
    t.normalizer = normalizers.Replace(" ", BLANK)
    t.train_from_iterator([x.replace("<tool>", "") for x in TRAIN], trainers.BpeTrainer(vocab_size=60, show_progress=False))
    trained = json.loads(t.to_str())["model"]
    pieces = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % b for b in range(256)] + [p for p, _ in sorted(trained["vocab"].items(), key=lambda x: x[1])]
    vocab = {p: i for i, p in enumerate(pieces)}
    root = json.loads(Tokenizer(models.BPE({p: i for p, i in vocab.items()}, [tuple(m) for m in trained["merges"]], byte_fallback=True, fuse_unk=True,
                                           unk_token="<unk>")).to_str())
    root |= {"normalizer": seq("normalizers", PREPEND, REPLACE), "added_tokens": [token(i, pieces[i]) for i in range(3)] + [token(len(pieces), "<tool>", special=False)]}
    root["decoder"] = seq("decoders", {"type": "Replace", "pattern": {"String": BLANK}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"},
                          {"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return root


def changed(root, change):
    out = {**root, **{k: v for k, v in change.items() if k != "model"}}
    return {**out, "model": {**root["model"], **change.get("model", {})}}


def cases(bpe, spm):
    """(base, change, words of the refusal or None)"""
    vocab, merges = bpe["model"]["vocab"], [tuple(m) for m in bpe["model"]["merges"]]
    n, added = len(vocab), bpe["added_tokens"]
    B, S = "bpe", "spm"
    yield B, {}, None
    # pre-tokenizers
    yield B, pres(LEVEL), None
    yield B, pres(seq("pretokenizers", DIGITS), seq("pretokenizers", seq("pretokenizers", LEVEL))), None
    yield B, pres(), "pre_tokenizer"
    yield B, {"pre_tokenizer": None}, "pre_tokenizer null"
    yield B, {"pre_tokenizer": {"type": "Sequence"}}, "pre_tokenizer"
    yield B, {"pre_tokenizer": LEVEL | {"add_prefix_space": True}}, "add_prefix_space"
    yield B, {"pre_tokenizer": LEVEL | {"use_regex": False}}, "use_regex"
    yield B, {"pre_tokenizer": {k: v for k, v in LEVEL.items() if k != "use_regex"}}, None
    yield B, {"pre_tokenizer": {k: v for k, v in LEVEL.items() if k != "add_prefix_space"}}, "pre_tokenizer"
    yield B, {"pre_tokenizer": LEVEL | {"trim_offsets": False}}, None
    yield B, pres({"type": "Digits", "individual_digits": False}, LEVEL), "individual_digits"
    yield B, pres({"type": "Digits"}, LEVEL), "Digits"
    yield B, pres(DIGITS, CUT), "pre_tokenizer"
    yield B, pres(LEVEL, DIGITS), "pre_tokenizer"
    yield B, pres(LEVEL, LEVEL), "pre_tokenizer"
    for x in ({"type": "Punctuation", "behavior": "Isolated"}, {"type": "CharDelimiterSplit", "delimiter": "-"}, {"type": "BertPreTokenizer"}, {"type": "UnicodeScripts"},
              {"type": "Whitespace"}, {"type": "WhitespaceSplit"}, {"type": "FixedLength", "length": 3}, META):
        yield B, pres(x, CUT), "pre_tokenizer"
        yield B, {"pre_tokenizer": x}, "\"type\":\"" + x["type"]
        yield S, {"pre_tokenizer": x}, "pre_tokenizer"
    yield B, {"pre_tokenizer": {"type": "Nobody"}}, "pre_tokenizer {\"type\":\"Nobody\"}"
    for rule in sorted(RULES):
        yield B, pres(split(RULES[rule]), CUT), None
        yield B, pres(split(RULES[rule], "Removed", True), CUT), None
    yield B, pres(seq("pretokenizers", split()), seq("pretokenizers", CUT)), None
    yield B, pres(split(), LEVEL), "pre_tokenizer"
    yield B, pres(split(RULES["llama3"] + "|x"), CUT), "Split"
    yield B, pres(split(r"\s+"), CUT), "Split"
    for behavior in ("Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous", "Isolated"):
        for invert in (False, True):
            if (behavior, invert) not in (("Isolated", False), ("Removed", True)):
                yield B, pres(split(behavior=behavior, invert=invert), CUT), "\"behavior\":\"" + behavior
    yield B, pres(split(behavior="isolated"), CUT), "isolated"
    yield B, pres(split(String=RULES["llama3"]), CUT), "String"
    yield B, pres(split() | {"invert": "true"}, CUT), "invert"
    yield B, pres({k: v for k, v in split().items() if k != "invert"}, CUT), "pre_tokenizer"
    yield B, pres(split(), split(), CUT), "pre_tokenizer"
    # normalizers
    yield B, {"normalizer": NFC}, None
    yield B, norms(NFC), None
    yield B, norms(seq("normalizers", NFC), seq("normalizers")), None
    yield B, norms(), None
    yield B, norms(NFC, NFC), "normalizer"
    yield B, {"normalizer": {"type": "Sequence"}}, "normalizer"
    yield B, {"normalizer": "NFC"}, "normalizer"
    for x in ({"type": "NFD"}, {"type": "NFKC"}, {"type": "NFKD"}, {"type": "StripAccents"}, {"type": "Lowercase"}, {"type": "Nmt"}, {"type": "ByteLevel"},
              {"type": "Strip", "strip_left": True, "strip_right": False}, {"type": "Prepend", "prepend": "x"}, {"type": "Precompiled", "precompiled_charsmap": ""},
              {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
              {"type": "Replace", "pattern": {"Regex": "l+"}, "content": "L"}, {"type": "Nobody"}):
        for base in (B, S):
            yield base, {"normalizer": x}, "normalizer {\"type\":\"" + x["type"]
        yield B, norms(NFC, x), "\"type\":\"" + x["type"]
        yield S, norms(x, PREPEND, REPLACE), "\"type\":\"" + x["type"]
        yield S, norms(x, REPLACE), "\"type\":\"" + x["type"]
    yield S, {}, None
    yield S, norms(seq("normalizers", PREPEND), seq("normalizers", REPLACE)), None
    yield S, norms(REPLACE, PREPEND), "normalizer"
    yield S, norms(PREPEND), "normalizer"
    yield S, norms(PREPEND | {"prepend": " "}, REPLACE), "normalizer"
    yield S, norms(PREPEND, REPLACE | {"pattern": {"Regex": " "}}), "Regex"
    yield S, norms(PREPEND, REPLACE | {"content": "_"}), "normalizer"
    yield S, norms(NFC, REPLACE), "normalizer"
    yield S, {"normalizer": REPLACE}, None
    for behavior in ("MergedWithPrevious", "MergedWithNext", "Isolated", "Removed", "Contiguous"):
        yield S, {"normalizer": REPLACE, "pre_tokenizer": split(behavior=behavior, String=" ")}, None
        yield S, {"normalizer": REPLACE, "pre_tokenizer": split(behavior=behavior, invert=True, String=" ")}, "pre_tokenizer {\"type\":\"Split" if behavior == "Removed" else None
    yield S, {"normalizer": REPLACE, "pre_tokenizer": split(behavior="MergedWithPrevious", String=BLANK)}, "pre_tokenizer"
    yield S, {"normalizer": REPLACE, "pre_tokenizer": split(behavior="MergedWithPrevious", regex=" ")}, "pre_tokenizer"
    yield S, {"normalizer": None}, "pre_tokenizer"
    for scheme in ("first", "always", "never"):
        yield S, {"normalizer": None, "pre_tokenizer": META | {"prepend_scheme": scheme}}, None
        yield S, {"normalizer": None, "pre_tokenizer": META | {"prepend_scheme": scheme, "add_prefix_space": False}}, None if scheme == "never" else "add_prefix_space"
        yield S, {"normalizer": None, "pre_tokenizer": META | {"prepend_scheme": scheme, "add_prefix_space": True}}, None
        yield S, {"normalizer": None, "pre_tokenizer": META | {"prepend_scheme": scheme, "replacement": "_"}}, "pre_tokenizer"
        yield S, {"normalizer": REPLACE, "pre_tokenizer": META | {"prepend_scheme": scheme}}, "pre_tokenizer"
    # models
    yield B, {"model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100}}, "'WordPiece', expected 'BPE'"
    yield B, {"model": {"type": "WordLevel", "unk_token": "a"}}, "'WordLevel', expected 'BPE'"
    yield B, {"model": {"type": "Unigram", "unk_id": 0, "vocab": [["a", 0.0], ["b", -1.0]]}}, "'Unigram', expected 'BPE'"
    yield B, {"model": {"type": None}}, "expected 'BPE'"
    yield B, {"model": {"vocab": [["a", 0.0]]}}, "model.vocab"
    short = {k: v for k, v in vocab.items() if k != "\u0104"}  # byte 0x04
    yield B, {"model": {"unk_token": "H"}}, None
    yield B, {"model": {"unk_token": "<s>"}}, None
    yield B, {"model": {"vocab": short, "merges": merges}, "added_tokens": []}, None
    yield B, {"model": {"vocab": short, "merges": merges, "unk_token": "H"}, "added_tokens": []}, "unk_token"
    yield B, {"model": {"continuing_subword_prefix": ""}}, None
    yield B, {"model": {"end_of_word_suffix": ""}}, None
    yield B, {"model": {"continuing_subword_prefix": "##"}}, "model.continuing_subword_prefix is '##'"
    yield B, {"model": {"end_of_word_suffix": "</w>"}}, "model.end_of_word_suffix is '</w>'"
    yield B, {"model": {"end_of_word_suffix": 1}}, "end_of_word_suffix"
    yield B, {"model": {"fuse_unk": True}}, None
    yield B, {"model": {"byte_fallback": True}}, "byte_fallback"
    yield B, {"model": {"byte_fallback": "yes"}}, "byte_fallback"
    yield B, {"model": {"ignore_merges": True}}, None
    yield B, {"model": {"ignore_merges": "yes"}}, "ignore_merges"
    yield B, {"model": {"dropout": 0.1}}, "model.dropout is 0.1"
    yield B, {"model": {"dropout": "0.1"}}, "dropout"
    yield B, {"model": {"dropout": 0.0}}, None
    yield S, {"model": {"byte_fallback": False}}, "normalizer"
    yield S, {"model": {"unk_token": None}}, None
    yield S, {"model": {"fuse_unk": False}}, None
    yield S, {"model": {"ignore_merges": True}}, "ignore_merges"
    # vocabularies
    hole = {k: v if v < 280 else v + 3 for k, v in vocab.items()}
    yield B, {"model": {"vocab": hole}, "added_tokens": []}, None
    yield B, {"model": {"vocab": hole}, "added_tokens": [token(n + 3, "<s>")]}, "<s>"
    yield B, {"model": {"vocab": hole}, "added_tokens": [token(n, "<s>")]}, "'<s>': its id 290 belongs to"
    yield B, {"model": {"vocab": {**vocab, "twice": 5}}}, "belongs to"
    yield B, {"model": {"vocab": {**vocab, "far": 100000}}}, "vocab_size"
    yield B, {"model": {"vocab": {**vocab, "below": -1}}}, "'below' has no id"
    yield B, {"model": {"vocab": {**vocab, "half": 0.5}}}, "'half' has no id"
    yield B, {"model": {"vocab": {**vocab, "text": "7"}}}, "'text' has no id"
    # merges
    yield B, {"model": {"merges": [" ".join(m) for m in merges]}}, None
    yield B, {"model": {"merges": merges + [merges[0]]}}, None
    yield B, {"model": {"merges": merges[::-1] + merges}}, None
    yield B, {"model": {"merges": []}}, None
    for twice in (["a b", "b c"], ["b c", "a b"], ["a b", "b c", "a b"], ["b c", "a b", "b c"]):
        for base, root in ((B, bpe), (S, spm)):
            old = root["model"]["vocab"]
            new = [x for x in ("c", "ab", "bc") if x not in old]
            more = {"vocab": {**old, **{x: len(old) + i for i, x in enumerate(new)}}, "merges": twice}
            yield base, {"model": more, "added_tokens": root["added_tokens"][:3] if base == S else []}, None
    yield B, {"model": {"merges": merges + [("q", "q")]}}, "'q q'"
    yield B, {"model": {"merges": merges + [("zq", "a")]}}, "'zq a'"
    yield B, {"model": {"merges": [" ".join(m) for m in merges] + ["q q"]}}, "'q q'"
    for bad in ("ab", "a b c", "", " ", "a ", " a", 7, None, ["a"], ["a", "b", "c"], ["a", 1], ["a b", "c"], {"a": "b"}):
        yield B, {"model": {"merges": [bad]}}, "merge 0"
    for bad in (None, "a b", {"a": "b"}):
        yield B, {"model": {"merges": bad}}, "model.merges"
    yield S, {"model": {"merges": [" ".join(m) for m in spm["model"]["merges"]]}}, None
    yield S, {"model": {"merges": spm["model"]["merges"][::-1] + spm["model"]["merges"]}}, None
    yield S, {"model": {"merges": ["t h e"]}}, "merge 0"
    # added tokens
    yield B, {"added_tokens": []}, None
    yield B, {"added_tokens": {}}, "added_tokens"
    yield B, {"added_tokens": added + [token(n + 1, "<tool>")]}, "<tool>"
    yield B, {"added_tokens": added + [token(n + 2, "<tool>")]}, "<tool>"
    yield B, {"added_tokens": added + [token(n + 1, "<two>")]}, "<two>"
    yield B, {"added_tokens": added + [token(n + 3, "<two>")]}, "<two>"
    yield B, {"added_tokens": added + [token(n + 2, "a")]}, "'a'"
    yield B, {"added_tokens": added + [token(n + 2, "")]}, "no content"
    yield B, {"added_tokens": added + [token(n + 2, "<\u00e9 a>", lstrip=True, rstrip=True, single_word=True, normalized=True)]}, None
    yield B, {"added_tokens": added + [token(n + 2, "e\u0301", normalized=True)], "normalizer": NFC}, "is normalized, and the normalizer changes it"
    yield B, {"added_tokens": added + [token(n + 2, "e\u0301", normalized=False)], "normalizer": NFC}, None
    yield B, {"added_tokens": added + [token(n + 2, "x", special="yes")]}, "'special'"
    yield B, {"added_tokens": [token(n + 1, "<tool>"), token(n, "<s>")]}, "'<tool>' has id 291"
    m = len(spm["model"]["vocab"])
    for form in ({}, {"normalizer": REPLACE}, {"normalizer": None, "pre_tokenizer": META}, {"normalizer": None, "pre_tokenizer": META | {"prepend_scheme": "always"}},
                 {"normalizer": None, "pre_tokenizer": META | {"prepend_scheme": "never"}}):
        for content in ("<tool>", "the the", BLANK + "a"):
            for flags in ({}, {"lstrip": True}, {"rstrip": True}, {"single_word": True}):
                plain = content == "<tool>" and "lstrip" not in flags and "rstrip" not in flags
                says = "puts a blank in front" if not form else "the normalizer changes it" if form["normalizer"] and not plain else None
                yield S, form | {"added_tokens": spm["added_tokens"][:3] + [token(m, content, special=False, normalized=True, **flags)]}, says
        yield S, form | {"added_tokens": [token(i, x, normalized=True) for i, x in enumerate(["<unk>", "<s>", "</s>"])]}, None if form else "puts a blank in front"
    # what is made of ids, and what callers ask for
    yield B, {"truncation": {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}}, None
    yield B, {"padding": {"strategy": {"Fixed": 40}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "!"}}, None
    for x in (None, {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, seq("decoders", LEVEL), seq("decoders")):
        yield B, {"decoder": x}, None
    byte, fuse = {"type": "ByteFallback"}, {"type": "Fuse"}
    back, strip = {"type": "Replace", "pattern": {"String": BLANK}, "content": " "}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    for x in (None, seq("decoders", back, byte, fuse), seq("decoders", seq("decoders", back), seq("decoders", byte, seq("decoders", fuse, strip))), {**META, "type": "Metaspace"},
              seq("decoders", byte, META | {"split": True}), seq("decoders", back, byte, fuse, strip | {"start": 0})):
        yield S, {"decoder": x}, None
    for x in ({"type": "WordPiece", "prefix": "##", "cleanup": True}, {"type": "BPEDecoder", "suffix": "</w>"}, {"type": "CTC", "pad_token": "<pad>", "word_delimiter_token": "|", "cleanup": True},
              back | {"content": "_"}, back | {"pattern": {"Regex": BLANK}}, back | {"pattern": {"String": "a"}}, strip | {"content": "a"}, strip | {"start": 2}, strip | {"stop": 1},
              {"type": "Nobody"}):
        for base in (B, S):
            yield base, {"decoder": x}, "decoder {\"type\":\"" + x["type"]
            yield base, {"decoder": seq("decoders", x)}, "decoder {\"type\":\"Sequence"
    yield B, {"decoder": byte}, "decoder"
    yield S, {"decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}}, "decoder"


def encoded(root):
    t = Tokenizer.from_str(json.dumps(root))
    t.no_truncation(), t.no_padding()  # as transformers does where a call does not ask for them
    return [t.encode(x).ids for x in TEXTS]


def main(out):
    base = {"bpe": base_bpe(), "spm": base_spm()}
    result = {"texts": TEXTS, "base": base, "cases": []}
    for kind, change, says in cases(**base):
        try:
            result["cases"].append({"base": kind, "change": change, **({"says": says} if says else {"ids": encoded(changed(base[kind], change))})})
        except Exception as e:
            print("CANT", change, e)
    with open(out, "w") as f:
        json.dump(result, f, indent=None, separators=(",", ":"))


if __name__ == "__main__":
    main(*sys.argv[1:])
