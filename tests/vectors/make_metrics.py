#!/usr/bin/env python3
"""Writes metrics.json: outputs, answers and the scores that reference implementations give them.

ROUGE comes from the package rouge-score, the ratio of edit_similarity from fuzzywuzzy on difflib (python-Levenshtein
must not be installed). LongBench's and RULER's metrics are written out below from their definitions.

    pip install rouge-score==0.1.2 fuzzywuzzy==0.18.0
    python3 make_metrics.py metrics.json
"""
import collections
import json
import random
import re
import string
import sys

from fuzzywuzzy import fuzz
from rouge_score import rouge_scorer


def normalize_answer(s):
    s = "".join(c for c in s.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", s).split())


def f1(output, answer, classes):
    p, a = normalize_answer(output).split(), normalize_answer(answer).split()
    same = sum((collections.Counter(p) & collections.Counter(a)).values())
    if same == 0:
        return [0.0, 0.0, 0.0]
    precision, recall = same / len(p), same / len(a)
    return [2 * precision * recall / (precision + recall), precision, recall]


def rouge(kind):
    scorer = rouge_scorer.RougeScorer([kind], use_stemmer=False)
    return lambda output, answer, classes: [scorer.score(answer, output)[kind].fmeasure]


def classification(output, answer, classes):
    found = [c for c in classes if c in output]
    for c in found:  # the published loop removes from the list that it walks
        if c in answer and c != answer:
            found.remove(c)
    return [1 / len(found) if answer in found else 0.0]


def edit_similarity(output, answer, classes):
    first = ""
    for line in output.lstrip("\n").split("\n"):
        if "`" not in line and "#" not in line and "//" not in line:
            first = line
            break
    return [fuzz.ratio(first, answer) / 100]


def share(output, truth):
    numbers = re.findall(r"\d+", output)
    return [sum(n == truth for n in numbers) / len(numbers) if numbers else 0.0]


def count(output, answer, classes):
    return share(output, answer)


def retrieval(output, answer, classes):
    return share(output, re.findall(r"Paragraph (\d+)", answer)[0])


def last_number(output, answer, classes):
    numbers = re.findall(r"-?[0-9][0-9,]*(?:\.[0-9]+)?", output)
    return [float(bool(numbers) and numbers[-1].replace(",", "") == answer.replace(",", ""))]


def ruler(output):
    return re.sub(r"[\x00-\x1f]", "\n", output).strip().lower()


def string_match_all(output, answers):
    return [sum(a.lower() in ruler(output) for a in answers) / len(answers)]


def string_match_part(output, answers):
    return [float(max(a.lower() in ruler(output) for a in answers))]


def exact(output, answers):
    return [float(any(output.strip() == a.strip() for a in answers))]


def contains(output, answers):
    return [float(any(a in output for a in answers))]


BEST = {"f1": f1, "rouge1": rouge("rouge1"), "rouge2": rouge("rouge2"), "rougeL": rouge("rougeL"),
        "classification": classification, "edit_similarity": edit_similarity, "count": count, "retrieval": retrieval,
        "last_number": last_number}
WHOLE = {"string_match_all": string_match_all, "string_match_part": string_match_part, "exact": exact,
         "contains": contains}

PROSE = [
    ("The cat sat on the mat.", ["A cat sat on a mat"]),
    ("", ["Paris"]), ("Paris", [""]), ("", [""]), ("the", ["a"]), ("The answer is: Paris, France!", ["paris", "Paris France"]),
    ("an apple a day keeps the doctor away", ["the doctor", "apple a day", "day keeps doctor"]),
    ("the_answer an-swer a's", ["theanswer answer as"]), ("  tabs\tand\nlines\x0b\x1c ", ["tabs and lines"]),
    ("naïve café ΣΊΣΥΦΟΣ", ["NAÏVE CAFÉ σίσυφος"]), ("İstanbul ISTANBUL", ["istanbul"]), ("Straße STRASSE ẞ", ["straße"]),
    ("東京 は 首都 です", ["東京", "首都 です"]), ("a\u0301 the\u0301 an\u200bthe", ["a the"]), ("½ ² Ⅷ ٣ a½", ["½ ² ⅷ ٣"]),
    ("\u00a0non\u2003breaking\u3000spaces\u0085", ["non breaking spaces"]), ("K\u212aelvin \u00c5ngström", ["kkelvin ångström"]),
    ("😀 emoji 😀 the 😀", ["😀 emoji"]), ("a a a the b b", ["b a b"]), ("1,234.5 and 12-34", ["12345 1234"]),
    ("don't stop; can't stop", ["dont stop cant"]), ("x y z x y z x y", ["x y z", "z y x", "x y x y x y"]),
    ("The quick brown fox jumps over the lazy dog", ["The lazy dog jumps over the quick brown fox"]),
    ("one two three four", ["two four", "one three two four five"]), ("UPPER lower 42", ["upper LOWER 42"]),
    ("ΑΣ. ΑΣΑ Σ ΑΣ'Σ", ["ας ασα σ ας'ς"]), ("Ǆ ǅ ǆ Ꭰ Ა", ["ǆ ǆ ǆ ꭰ ა"]),
]
MATCH = [
    ("The numbers are 1234567 and 7654321.", ["1234567", "7654321", "1111111", "2222222"]),
    ("paris", ["Paris"]), ("PARIS", ["london", "Paris"]), ("", ["x"]), ("x", [""]), (" Paris \n", ["Paris"]),
    ("line\x01break", ["line\nbreak", "line\x01break"]), ("İZMİR", ["izmir", "İzmir"]), ("3b7e-44aa", ["3B7E-44AA"]),
    ("\u00a0Paris\u2003", ["Paris"]),
]
TREC = ["NUM", "DATE", "LOC", "LOC:city", "city", "HUM", "HUM:ind", "ind", "abbreviation", "Abbreviation expressed"]
CLASS = [
    ("LOC:city", ["LOC:city"], TREC), ("LOC", ["LOC:city"], TREC), ("HUM or LOC:city", ["LOC:city"], TREC), ("", ["NUM"], TREC),
    ("HUM:ind HUM ind", ["HUM:ind"], TREC), ("NUM DATE LOC", ["DATE"], TREC), ("NUM", ["DATE", "NUM"], TREC),
    ("HUM:ind HUM ind", ["HUM:ind"], ["HUM", "ind", "HUM:ind"]), ("HUM:ind", ["HUM:ind"], ["HUM", "H", "ind", "HUM:ind", "HUM"]),
    ("nothing", ["other"], ["nothing"]),
]
CODE = [
    ("    return x + 1\n", ["    return x + 1"]), ("# a comment\n    return y", ["    return x"]), ("\n\n```python\nint a = b;", ["int a = c;"]),
    ("// no\n`no`\n#no", [""]), ("// no\n`no`\n#no", ["x = 1"]), ("", [""]), ("", ["a"]), ("abcd", ["bcda", "dcba"]),
    ("self.assertEqual(a, b)", ["self.assertEqual(b, a)"]), ("été = naïve", ["ete = naive"]), ("aab", ["baa"]), ("qabxcd", ["abycdf"]),
    ("ab" * 120, ["ba" * 130]), ("x = " + "foo(bar, " * 30 + ")" * 30, ["y = " + "foo(baz, " * 28 + ")" * 28]),
    (" " * 150 + "return self.value", [" " * 200 + "return self.other_value_of_it"]), ("a b", ["ab c"]), ("abcde\r", ["abcde"]),
]
NUMBERS = [("There are 5 paragraphs", ["5"]), ("5, 6 or 7", ["6"]), ("none", ["3"]), ("05", ["5"]), ("12 12", ["12", "1"]), ("٣ 3", ["3"]),
           ("3.5", ["5"]), ("", ["1"])]
RETRIEVAL = [("Paragraph 12", ["Paragraph 12"]), ("Paragraph 1, 2", ["Paragraph 2"]), ("12", ["Paragraph 12"]), ("no idea", ["Paragraph 3"]),
             ("3", ["In 1999, Paragraph 3 and Paragraph 4"]), ("4", ["Paragraph x, Paragraph 4"])]

LAST = [("A=B+5, B=17, A=22", ["22"]), ("22 and then 3", ["22"]), ("It is 1,234.", ["1234"]), ("1234", ["1,234"]), ("-5", ["5"]), ("x-5", ["-5"]),
        ("", ["1"]), ("none", ["1"]), ("3.50", ["3.5"]), ("about 3.5!", ["3.5"]), ("7.", ["7"]), ("12,", ["12"]), ("1,2", ["12"]), ("007", ["7"]),
        ("4 5", ["4", "5"]), ("\u0663 8", ["8"]), ("8 \u0663", ["8"]), ("--9", ["-9"])]


def random_cases():
    r = random.Random(7)
    word = ["the", "a", "an", "cat", "dog", "Dog", "runs", "fast", "fast.", "x1", "été", "—", "'s", "of"]
    for _ in range(40):
        PROSE.append((" ".join(r.choices(word, k=r.randrange(0, 25))), [" ".join(r.choices(word, k=r.randrange(1, 20))) for _ in range(r.randrange(1, 4))]))
    for n in [5, 12, 40, 199, 200, 201, 260, 400]:
        for letters in ["ab", "abcdefgh (){};=", string.ascii_letters + string.digits + " _."]:
            truth = [r.choice(letters) for _ in range(n)]
            guess = [c if r.random() < 0.8 else r.choice(letters) for c in truth if r.random() < 0.95]
            CODE.append(("".join(guess), ["".join(truth)]))


def main():
    random_cases()
    cases = []

    def add(metric, output, answers, classes=()):
        if metric in WHOLE:
            value = WHOLE[metric](output, answers)
        else:
            value = max((BEST[metric](output, a, classes) for a in answers), key=lambda v: v[0])
        cases.append({"metric": metric, "output": output, "answers": answers, "value": value, **({"classes": classes} if classes else {})})

    for output, answers in PROSE:
        for metric in ["f1", "rouge1", "rouge2", "rougeL"]:
            add(metric, output, answers)
    for output, answers in MATCH:
        for metric in WHOLE:
            add(metric, output, answers)
    for output, answers, classes in CLASS:
        add("classification", output, answers, classes)
    for output, answers in CODE:
        add("edit_similarity", output, answers)
    for output, answers in NUMBERS:
        add("count", output, answers)
    for output, answers in RETRIEVAL:
        add("retrieval", output, answers)
    for output, answers in LAST:
        add("last_number", output, answers)
    with open(sys.argv[1], "w", encoding="ascii") as f:
        f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


main()
