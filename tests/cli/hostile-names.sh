#!/usr/bin/env bash
# Names out of files are text, whatever they are printed into: no command runs, no cell is a formula, no escape reaches the
# terminal; and the rule that finds other ways to print finds them.
. "$ROOT/tests/cli/lib/model.sh"
name='`touch PWNED`\n\\immediate\\write18{touch PWNED}\e[31m'\''; system(\"touch PWNED\") #'
cat >x.yaml <<END
# What is asked$(printf '\r')schema: 1
experiment: "x"
model: tiny.h5
tasks:
  - jsonl: {file: d.jsonl, name: "$name"}
  - jsonl: {file: d.jsonl, name: "=1+1"}
samples: 2
max_new_tokens: 2
sweep:
  - policy: full
  - policy: h2o
    keep: 0.5
END
printf '%s\n' '{"context":"The sky is blue and the grass is green, the sea is deep.","question":"Which?","answers":["blue"]}' \
  '{"context":"The sky is red and the grass is blue, the sea is warm.","question":"Which?","answers":["red"]}' >d.jsonl
clean() { # FILE...: no control character but line breaks
  ! LC_ALL=C grep -qP '[\x00-\x08\x0b-\x1f\x7f]' "$@" || fail "control characters in $*"
}
"$DEPTHKV" run x.yaml -o a >out 2>err || fail "run: $(cat err)"
"$DEPTHKV" check x.yaml >checked 2>>err || fail "check"
"$DEPTHKV" check x.yaml --json >json 2>>err || fail "check --json"
"$DEPTHKV" report a --pool >pooled 2>>err || fail "pool"
"$DEPTHKV" compare a a >>out 2>>err || fail "compare: $(cat err)"
"$DEPTHKV" metrics x.yaml -o m -q >metrics 2>>err || fail "metrics: $(cat err)"
"$DEPTHKV" check "$(printf 'no\033[31msuch\nfile')" >>out 2>>err && fail "a file that is not there"
grep -qF 'no\x1b[31msuch\nfile' err || fail "the name of the missing file: $(cat err)"
clean out err checked json pooled metrics a/table.md a/table.tex a/index.html a/cells.csv a/config.yaml a/plots/*.gp a/plots/*.dat m/metrics.md m/metrics.csv
[ -z "$(find . -name 'PWNED*')" ] || fail "a name ran as a command: $(find . -name 'PWNED*')"
grep -q "\"'=1+1\"" a/cells.csv && ! grep -qE '(^|,)"?=' a/cells.csv || fail "a formula: $(cat a/cells.csv)"
[ "$(grep -c '^## ' out)" -eq 2 ] || fail "headings: $(grep -A1 '^## ' out)"
if command -v gnuplot >/dev/null; then
  for script in a/plots/*.gp m/plots/*.gp; do
    [ -s "${script%.gp}.svg" ] && [ -s "${script%.gp}.png" ] || fail "no picture of $script: $(cat err)"
  done
  grep -q warning err && grep warning err | grep -v 'cut off' && fail "warnings"
fi
if command -v pdflatex >/dev/null; then
  printf '%s\n' '\documentclass{article}\begin{document}' '\input{a/table.tex}' '\end{document}' >t.tex
  pdflatex -interaction=nonstopmode -halt-on-error t.tex >tex || fail "table.tex: $(grep -A3 '^!' tex)"
fi
# into another folder: the same pages, or those of cells.csv where there are no rows; the source stays
before=$(cat a/table.md a/index.html | cksum)
"$DEPTHKV" report a -o rep >reported 2>err || fail "report -o: $(cat err)"
cmp -s a/table.md rep/table.md && grep -q 'href="../a/rows.jsonl"' rep/index.html || fail "report -o: $(diff a/table.md rep/table.md)"
mkdir bare && cp a/cells.csv bare
"$DEPTHKV" report bare -o bare/rep >reported 2>err && grep -q 'no rows.jsonl' err || fail "report of cells.csv: $(cat err)"
[ "$(grep -c '^| tiny' bare/rep/table.md)" -eq 4 ] || fail "cells: $(cat bare/rep/table.md)"
clean reported bare/rep/*
"$DEPTHKV" report bare >reported 2>err && fail "a report without rows replaced what was there"
[ "$before" = "$(cat a/table.md a/index.html | cksum)" ] && [ ! -e bare/table.md ] || fail "the source changed"
# a comment ends where YAML says that it does: what stands behind the carriage return is there once
"$DEPTHKV" check a/config.yaml >/dev/null 2>err || fail "config.yaml: $(cat err)"

# every way around
ways=('fprintf(stderr, "%s", c->label);' 'puts(c->label);' 'fs_write_atomic(path, s.p, s.n, e);' 'str_add(&page->page, label);'
  'quote_addf(q, label);' 'system(label);' 'write(1, label, 3);')
for way in "${ways[@]}"; do
  printf 'static void f(void)\n{\n    %s\n}\n' "$way" >way.c
  bash "$ROOT/tests/lint.sh" --texts "$PWD/way.c" >lint 2>&1 && fail "lint does not find: $way"
  grep -q "way.c:3: text leaves unquoted" lint || fail "lint: $(cat lint)"
done
printf '/* printf( */\nstatic const char s[] = "puts(x)";\nvoid f(void) { snprintf(b, 2, "x"); quote_show(stderr, "%%s", s); }\n' >way.c
bash "$ROOT/tests/lint.sh" --texts "$PWD/way.c" || fail "lint complains of what is well"
# a format that is no literal does not compile
printf '#include "harness/base/quote.h"\nvoid f(struct quote *q, const char *s) { quote_add(q, s); }\n' >way.c
! ${CC:-cc} -I"$ROOT" -fsyntax-only way.c 2>/dev/null || fail "a format out of a variable compiles"
