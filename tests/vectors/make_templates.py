#!/usr/bin/env python3
"""Writes templates.json: chat templates, and what apply_chat_template writes around the message of a user.

    python3 make_templates.py templates.json LLAMA_CPP          needs transformers and tokenizers

LLAMA_CPP is a checkout of llama.cpp (1eeb523c3e0c, September 2025) whose models/templates and tests/test-chat-template.cpp hold the
templates of published models; Qwen2.5's is also the one in qwen2.5-coder-0.5b-instruct's GGUF, byte for byte, and with two
braces around a function call in qwen2.5-coder-1.5b-instruct's. It has neither Llama 2's
nor Gemma 3's: LLAMA2 and GEMMA3 are those that Llama-2-7b-chat-hf (tokenizer_config.json) and gemma-3-1b-it were published with, written
down here without a copy to compare with. A file that differs from them by a byte is refused, not read in their way.

Each entry is {"source", "prefix", "suffix", "trim", "system"}: for every message tried, prefix + message + suffix is the prompt with
add_generation_prompt=True (enable_thinking=False), where the message loses the blanks at its beginning if "trim" has 1, at its end if 2.
"system", null where the template raises an exception at a message of the system or leaves it out, is {"prefix", "between", "trim_system", "trim", "empty"}:
for every pair tried, prefix + system message + between + message + suffix, of which the first loses the blanks around it if "trim_system"; an
empty one too if "empty".
Those that are known to the program have "known": true; the others, most of them one step away from a known one, are to be refused.
"""
import hashlib
import json
import re
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


LLAMA2 = ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
          "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
          "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate "
          "user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = "
          "'<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}"
          "{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] "
          "== 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")


GEMMA3 = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '\n\n' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '\n\n' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '\n' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>\n' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{'<start_of_turn>model\n'}}
{%- endif -%}
"""


def published(llama_cpp):
    """(name, text) of the templates of models: files, and C strings after a name. Llama-3's has a later revision, which asks
    for add_generation_prompt."""
    for name in ("Qwen-Qwen2.5-7B-Instruct", "Qwen-Qwen3-0.6B", "google-gemma-2-2b-it", "meta-llama-Llama-3.1-8B-Instruct",
                 "microsoft-Phi-3.5-mini-instruct", "mistralai-Mistral-Nemo-Instruct-2407"):
        with open(f"{llama_cpp}/models/templates/{name}.jinja", encoding="utf-8", newline="") as f:
            text = f.read()
        yield name, text
        if name == "Qwen-Qwen2.5-7B-Instruct":
            call = '{\\"name\\": <function-name>, \\"arguments\\": <args-json-object>}'
            assert text.count(call) == 1
            yield "Qwen2.5-Coder-1.5B-Instruct", text.replace(call, "{" + call + "}")
    with open(llama_cpp + "/tests/test-chat-template.cpp", encoding="utf-8") as f:
        test = f.read()
    for name in ("Llama-3", "Phi-3-mini", "Phi-3-medium", "mistralai/Mistral-7B-Instruct-v0.2 (NOTE: Old pre-v1 without a system prompt)"):
        text = re.search(re.escape(name) + '",\\n.*?template_str= \\*/ ("(?:[^"\\\\\\n]|\\\\.)*")', test)
        yield name, json.loads(text.group(1))
        if name == "Llama-3":
            end = "{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}"
            yield name + ", later", json.loads(text.group(1)).replace(end, "{% if add_generation_prompt %}" + end + "{% endif %}")
    yield "Llama-2", LLAMA2
    yield "Gemma-3", GEMMA3


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


STRIPS = {0: lambda s: s, 1: str.lstrip, 2: str.rstrip, 3: str.strip}
SYSTEMS = ["Be brief.", " x\n ", "", "{{ s }}", "\u00e9\n\n'q'"]


def render(tokenizer, system, message):
    turns = [] if system is None else [{"role": "system", "content": system}]
    return tokenizer.apply_chat_template(turns + [{"role": "user", "content": message}], add_generation_prompt=True, tokenize=False,
                                         enable_thinking=False)


def around(tokenizer, source):
    tokenizer.chat_template = source
    texts = {m: render(tokenizer, None, m) for m in MESSAGES}
    prefix, found, suffix = texts[MESSAGES[0]].partition(MESSAGES[0])
    for trim in (0, 3):
        if found and all(text == prefix + STRIPS[trim](m) + suffix for m, text in texts.items()):
            return prefix, suffix, trim
    return None, None, 0


def system_turn(tokenizer, source, suffix):
    """The same with a message of the system; None where it has no place."""
    tokenizer.chat_template = source
    try:
        texts = {(s, m): render(tokenizer, s, m) for s in SYSTEMS for m in MESSAGES}
    except Exception as e:
        if type(e).__name__ != "TemplateError":
            raise
        return None
    prefix, found, rest = texts[SYSTEMS[0], MESSAGES[0]].partition(SYSTEMS[0])
    if not found:
        return None
    between = rest[:-len(MESSAGES[0] + suffix)]
    for own in (0, 3):
        for trim in STRIPS:
            wrong = [s for (s, m), text in texts.items() if text != prefix + STRIPS[own](s) + between + STRIPS[trim](m) + suffix]
            if not any(wrong):
                return {"prefix": prefix, "between": between, "trim_system": own == 3, "trim": trim, "empty": not wrong}
    raise ValueError(source)


def main(out, llama_cpp):
    t = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE()), bos_token="<s>", eos_token="</s>")
    rows = []
    models_own = list(published(llama_cpp))
    changed = [text + " " for _, text in models_own]
    for is_known, sources in ((True, known()), (True, [s for _, s in models_own]), (False, refused()), (False, changed)):
        for source in sources:
            prefix, suffix, trim = around(t, source) if is_known or source not in changed else (None, None, 0)
            assert not is_known or prefix is not None, source
            rows.append(json.dumps({"known": is_known, "source": source, "prefix": prefix, "suffix": suffix, "trim": trim,
                                    "system": system_turn(t, source, suffix) if is_known else None}))
    for name, text in models_own:
        print(hashlib.sha256(text.removesuffix("\n").encode()).hexdigest(), name, around(t, text))
    assert len(set(rows)) == len(rows)
    with open(out, "w", encoding="ascii") as f:
        f.write("[" + ",\n".join(rows) + "]\n")
    print(len(rows), "templates")


if __name__ == "__main__":
    main(*sys.argv[1:])
