#!/usr/bin/env python3
"""Writes added.json: ids that transformers gives to texts with added tokens, for many ways of declaring them.

    python3 make_added.py added.json          needs transformers and tokenizers

{"tokenizer": tokenizer.json of a small byte-level BPE, "texts": [...], "cases": [{"files": {name: content}, "tokenizer": what
replaces top-level keys of tokenizer.json, "ids": [ids of every text]}]}. "ids" are those of a call of the tokenizer, special tokens
added. "refused": true marks declarations that contradict each other or do what is not read, which import refuses.
"""
import itertools
import json
import logging
import os
import random
import sys
import tempfile

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

TEXT = ["The captain is called Mora. The lamp on the pier is green.", "user assistant system hello world 1234"] * 20
TEXTS = ["The <mask> is", "The<mask>is", "  <mask>  x", "a <mask><mask> b", "The\u3000 <mask>\u00a0\n<tool>.", "x<tool>y <tool> z",
         "<tool>", "\u00e9<tool> <tool>\u0301 _<tool>", "<tool><mask> <tool>", "<to<tool>ol> <tool>s <tool", "The  is<tool", "<|end|><|end|>",
         "<ma <mas <mask", " \t<mask>\r\n<tool>\u2028", "The <|end|> is <tool>", "\u24b6<tool>\u24b6 <tool>\u0967<tool>"]


def base():
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(TEXT, trainers.BpeTrainer(vocab_size=300, special_tokens=["<|begin|>", "<|end|>"], show_progress=False,
                                                    initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    return json.loads(t.to_str())


def token(content, **flags):
    return {"content": content, **{"lstrip": False, "rstrip": False, "single_word": False, "normalized": False, "special": True},
            **flags}


def template(*single, **ids):
    part = [{"Sequence": {"id": "A", "type_id": 0}} if s == "A" else {"SpecialToken": {"id": s, "type_id": 0}} for s in single]
    return {"type": "TemplateProcessing", "single": part, "pair": part + [{"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {s: {"id": s, "ids": ids.get("ids", [0 if "begin" in s else 1]), "tokens": [s]} for s in single if s != "A"}}


def cases(root):
    n, added = len(root["model"]["vocab"]), root["added_tokens"]
    names = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    rng = random.Random(1)

    def case(tokenizer=None, refused=False, config=None, **files):
        out = {"tokenizer_config.json": {**names, **(config or {})}}
        out |= {k + ".json": v for k, v in files.items()}
        return {"tokenizer": tokenizer or {}, "files": out, "refused": refused}

    def plus(*more):
        vocab, ids = root["model"]["vocab"], itertools.count(n)
        return {"added_tokens": added + [{"id": vocab[m["content"]] if m["content"] in vocab else next(ids), **m} for m in more]}

    yield case()
    for key in ("lstrip", "rstrip", "single_word", "normalized", "special"):
        yield case(plus(token("<mask>", **{key: key != "special"})))
        yield case(plus(token("<mask>"), token("<tool>", **{key: key != "special"})))
    for _ in range(60):
        flags = [{k: rng.random() < 0.5 for k in ("lstrip", "rstrip", "single_word", "normalized", "special")} for _ in range(4)]
        yield case(plus(*(token(c, **f) for c, f in zip(["<mask>", "<tool>", rng.choice(["<to", " <mask>", "is", "<tool>."]),
                                                         rng.choice(["The", "<ma", "> ", "ask> "])], flags))))
    # outside tokenizer.json
    decoder = {str(t["id"]): {k: v for k, v in t.items() if k != "id"} for t in added}
    yield case(config={"added_tokens_decoder": {str(n): token("<tool>")}})
    yield case(config={"added_tokens_decoder": {**decoder, str(n): token("<tool>", lstrip=True), str(n + 1): token("<mask>", rstrip=True)}})
    yield case(config={"added_tokens_decoder": {str(n): {"content": "<tool>"}}})
    yield case(plus(token("<tool>")), config={"added_tokens_decoder": {str(n): token("<tool>", single_word=True, special=False)}})
    yield case(config={"added_tokens_decoder": {str(n + 5): token("<tool>")}}, refused=True)
    yield case(config={"added_tokens_decoder": {"5": token("<tool>")}}, refused=True)
    yield case(added_tokens={"<tool>": n, "<mask>": n + 1})
    yield case(plus(token("<mask>", lstrip=True)), added_tokens={"<mask>": n, "<tool>": n + 1})
    yield case(special_tokens_map={"mask_token": {k: v for k, v in token("<mask>", lstrip=True).items() if k != "special"}, "bos_token": "<|begin|>"})
    yield case(special_tokens_map={"mask_token": "<mask>", "additional_special_tokens": ["<tool>"]})
    yield case(config={"mask_token": {"__type": "AddedToken", **token("<mask>", lstrip=True)}})
    yield case(config={"pad_token": "<mask>", "additional_special_tokens": ["<tool>", "is"]})
    yield case(config={"extra_special_tokens": {"image_token": "<tool>"}})
    yield case(config={"image_token": "<tool>", "cls_token": "The"})
    yield case(config={"pad_token": "is"})
    yield case({"added_tokens": added + [{"id": n, **token("is")}]}, refused=True)
    # what is put around a text
    yield case({"post_processor": level})
    yield case({"post_processor": template("<|begin|>", "A")})
    yield case({"post_processor": {"type": "Sequence", "processors": [level, template("<|begin|>", "A")]}})
    yield case({"post_processor": template("<|begin|>", "A")}, config={"bos_token": None})
    yield case({"post_processor": template("<|end|>", "A")})
    yield case({"post_processor": template("A")})
    yield case({"post_processor": template("A", "<|end|>")}, refused=True)
    yield case({"post_processor": template("<|begin|>", "A", "<|end|>")}, refused=True)
    yield case({"post_processor": template("<|end|>", "<|begin|>", "A")}, refused=True)
    yield case({"post_processor": template("<|begin|>", "A", ids=[0, 5])}, refused=True)
    yield case({"post_processor": template("<|begin|>", "A")}, config={"add_bos_token": False}, refused=True)
    yield case({"post_processor": template("<|begin|>", "A")}, config={"add_bos_token": True})
    yield case(config={"add_bos_token": True}, refused=True)
    yield case(config={"add_bos_token": False})
    yield case(config={"add_eos_token": True}, refused=True)
    yield case({"post_processor": {"type": "RobertaProcessing", "sep": ["<|end|>", 1], "cls": ["<|begin|>", 0], "trim_offsets": True,
                                   "add_prefix_space": False}}, refused=True)
    yield case({"normalizer": {"type": "Sequence", "normalizers": []}})


def main(out):
    logging.disable(logging.CRITICAL)
    root, done = base(), []
    for c in cases(root):
        with tempfile.TemporaryDirectory() as folder:
            for name, content in {**c["files"], "tokenizer.json": {**root, **c["tokenizer"]}}.items():
                with open(os.path.join(folder, name), "w", encoding="utf-8") as f:
                    json.dump(content, f)
            t = PreTrainedTokenizerFast.from_pretrained(folder)
            c["ids"] = [t(text)["input_ids"] for text in TEXTS]
        done.append(json.dumps(c, separators=(",", ":")))
    with open(out, "w", encoding="ascii") as f:
        f.write('{"tokenizer":%s,\n"texts":%s,\n"cases":[%s]}\n' % (json.dumps(root, separators=(",", ":")), json.dumps(TEXTS),
                                                                     ",\n".join(done)))
    print(len(done), "cases,", len(root["model"]["vocab"]), "tokens")


if __name__ == "__main__":
    main(*sys.argv[1:])
