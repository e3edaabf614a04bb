#!/usr/bin/env bash
# A model that is nothing but a shape, on several numbers of threads: a table of speed-ups, JSON and CSV by threads, a plot.
fail() {
  echo "$*"
  exit 1
}
bench() { "$DEPTHKV" bench --shape tiny -r 1 -q "$@" 2>err; }
bench --threads 1,2 --only tg32@2048 --plot . >out.md || fail "table: $(cat err)"
for threads in 1 2; do
  grep -Eq "^\| tg32@2048 +\| +$threads \|" out.md && grep -Eq "^\| bandwidth +\| +$threads \|" out.md || fail "a line is missing: $(cat out.md)"
done
awk -F'|' '$2 ~ /tg32/ && $3 == 1 && ($7 + 0 != 1 || $8 + 0 != 1) { exit 1 }
  $2 ~ /tg32/ && $3 == 2 && ($7 / 2 - $8 > 0.011 || $8 - $7 / 2 > 0.011) { exit 1 }' out.md || fail "speed-up and efficiency: $(cat out.md)"
grep -q '^# tg32@2048$' bench-scaling.dat && grep -q 'index 1 using 1:2 ' bench-scaling.gp || fail "the plot's data: $(cat bench-scaling.dat)"
if command -v gnuplot >/dev/null; then
  [ -s bench-scaling.svg ] && [ -s bench-scaling.png ] || fail "no picture: $(cat err)"
fi
# sweeps need a tokenizer and an experiment, which a shape has as well; prefills tell their memory
bench --threads 2,1 --only sweep32 --json >out.json || fail "--json: $(cat err)"
[ "$(grep -o '"threads": [0-9]*' out.json | paste -sd' ')" = '"threads": 2 "threads": 1' ] || fail "threads: $(cat out.json)"
bench --threads 1 --only pp512 --weight-dtype bf16 --csv >out.csv || fail "pp512: $(cat err)"
[ "$(awk -F, '{ print $NF }' out.csv | paste -sd' ')" = 'threads 1' ] || fail "threads: $(cat out.csv)"
awk -F, 'NR == 2 { exit !($13 > 0 && $14 > 0) }' out.csv || fail "memory: $(cat out.csv)"
bench() { "$DEPTHKV" bench "$@" 2>err; }
# what it writes meanwhile lies where TMPDIR says, and is gone afterwards
mkdir here
TMPDIR=$PWD/here bench --shape tiny -r 1 --only sweep32 >out.md || fail "TMPDIR: $(cat err)"
[ -z "$(ls -A here)" ] || fail "files stay: $(ls here)"
TMPDIR=$PWD/nowhere bench --shape tiny -r 1 --only tg32@2048 >out.md && fail "a TMPDIR that is not there"
grep -q "$PWD/nowhere/depthkv-shape-" err || fail "the message does not name the file: $(cat err)"
bench --shape llama-7b && fail "a shape that is not there"
grep -q "shape 'llama-7b' unknown.*llama-8b" err || fail "which shapes there are: $(cat err)"
bench --shape tiny -m tiny.h5 && fail "two models"
bench --shape tiny --threads 1 --plot . && fail "nothing to plot"
grep -q 'several numbers of --threads' err || fail "why not: $(cat err)"
bench --shape tiny --threads 1,x && fail "x threads"
grep -q -- "--threads: expected a whole number" err || fail "which number: $(cat err)"
exit 0
