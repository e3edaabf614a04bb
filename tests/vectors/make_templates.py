#!/usr/bin/env python3
"""Writes templates.json: chat templates, and what apply_chat_template writes around the message of a user.

    python3 make_templates.py templates.json          needs transformers and tokenizers

Each entry is {"source", "prefix", "suffix"}: for every message tried, prefix + message + suffix is the prompt with
add_generation_prompt=True. Those that are known to the program have "known": true; the others, most of them one step away from a
known one, are to be refused.
"""
import json
import sys

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

MESSAGES = ["Who?", " a\n", "{{ x }}", "x<|im_end|>y", "\u00e9 'q' \\n"]
SMOLLM2 = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
DEFINED = "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}"


def plain(brk, space=""):
    message = f"{{{{{space}'<|im_start|>' + message['role'] + '{brk}' + message['content'] + '<|im_end|>' + '{brk}'{space}}}}}"
    return "{% for message in messages %}" + message + "{% endfor %}" + generate(brk)


def generate(brk, more=""):
    return "{% if add_generation_prompt %}{{ '<|im_start|>assistant" + brk + more + "' }}{% endif %}"


def with_system(text, brk):
    return plain(brk).replace("{% for message in messages %}", "{% for message in messages %}{% if loop.first and "
                              "messages[0]['role'] != 'system' %}{{ '<|im_start|>system" + brk + text + "<|im_end|>" + brk +
                              "' }}{% endif %}", 1)


def known():
    for brk in ("\n", "\\n"):
        yield from (plain(brk), plain(brk, " "), DEFINED + plain(brk))
        for text in (SMOLLM2, "You are a helpful assistant", "You are a helpful assistant."):
            yield with_system(text, brk)
    yield with_system(SMOLLM2, "\n") + "\n"


def refused():
    p = plain("\\n", " ")
    helpful = "You are a helpful assistant."
    yield ("{% set system_message = '" + helpful + "' %}{% if messages[0]['role'] == 'system' %}{% set system_message = messages[0]"
           "['content'] %}{% endif %}{{ '<|im_start|>system\\n' + system_message + '<|im_end|>\\n' }}" + p)
    yield ("{% if messages[0]['role'] != 'system' %}{{ '<|im_start|>system\\n' + '" + helpful + "' + '<|im_end|>\\n' }}{% endif %}" + p)
    yield p.replace("assistant\\n", "assistant\\n<think>\\n")
    yield "{# e.g. <|im_start|>system\nnever shown<|im_end|>\n#}" + p
    yield "{{ bos_token }}" + p
    yield p + "\n\n"
    yield " " + p
    yield p.replace("message['content']", "message['content'] | trim")
    yield p.replace("message['role']", "message['role'] | upper")
    yield p.replace("<|im_end|>' + '\\n'", "<|im_end|>'")
    yield p.replace("{% for message in messages %}", "{% for message in messages[:1] %}")
    yield p.replace("<|im_start|>assistant", "<|im_start|> assistant")
    yield p.replace("if add_generation_prompt", "if not add_generation_prompt")
    yield with_system("Another text.", "\n")
    yield with_system(SMOLLM2, "\n").replace("loop.first and ", "")
    yield with_system(SMOLLM2, "\n").replace("!= 'system'", "== 'system'")
    yield "{%- for message in messages -%}" + p[p.index("%}") + 2:]
    yield "{% set d = strftime_now('%Y') %}" + p
    yield "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + eos_token + '\n' }}{% endfor %}<|assistant|>\n"
    yield "{{ bos_token }}{% for m in messages %}[INST] {{ m['content'].strip() }} [/INST]{% endfor %}"


def around(tokenizer, source):
    found = set()
    for message in MESSAGES:
        tokenizer.chat_template = source
        text = tokenizer.apply_chat_template([{"role": "user", "content": message}], add_generation_prompt=True, tokenize=False)
        at = text.find(message)
        found.add((text[:at], text[at + len(message):]) if at >= 0 else None)
    return found.pop() if len(found) == 1 and None not in found else (None, None)


def main(out):
    t = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>")
    rows = []
    for is_known, sources in ((True, known()), (False, refused())):
        for source in sources:
            prefix, suffix = around(t, source)
            assert not is_known or prefix is not None
            rows.append(json.dumps({"known": is_known, "source": source, "prefix": prefix, "suffix": suffix}))
    assert len(set(rows)) == len(rows)
    with open(out, "w", encoding="ascii") as f:
        f.write("[" + ",\n".join(rows) + "]\n")
    print(len(rows), "templates")


if __name__ == "__main__":
    main(*sys.argv[1:])
