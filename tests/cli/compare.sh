#!/usr/bin/env bash
# compare: the same is the same, worse fails, better does not, and what can't be compared says where.
. "$ROOT/tests/cli/lib/model.sh"
experiment >x.yaml
"$DEPTHKV" run x.yaml -o a -q >out 2>err || fail "run: $(cat err)"
compare() { # STATUS ARGS...
  local want=$1 got
  shift
  "$DEPTHKV" compare "$@" >out 2>err
  got=$?
  [ $got -eq "$want" ] || fail "compare $*: status $got, expected $want: $(cat out err)"
}
compare 0 a a/cells.csv --all --rtol 0 --atol 0
[ ! -s out ] && grep -q '^5 cells compared: 0 worse, 0 better, 0 differ, 0 missing, 0 extra$' err || fail "equal: $(cat out err)"

# rows in another order, times of another day
{ head -1 a/cells.csv; tail -n +2 a/cells.csv | tac | sed -E 's/,[^,]*,[^,]*$/,77,78/'; } >order.csv
compare 0 a order.csv --all --rtol 0 --atol 0

column() { head -1 a/cells.csv | tr , '\n' | grep -nx "$1" | cut -d: -f1; }
# fields with commas are in quotes and come first; those that change are counted from the end
total=$(head -1 a/cells.csv | tr , '\n' | wc -l)
change() { # COLUMN VALUE: of the last cell
  awk -F, -v OFS=, -v back=$((total - $(column "$1"))) -v v="$2" 'NR == 6 { $(NF - back) = v } 1' a/cells.csv
}
change kl 9 >worse.csv
compare 1 a worse.csv
grep -q '^worse .*: kl 9, expected ' out || fail "worse: $(cat out)"
compare 0 worse.csv a
grep -q '^better .*: kl ' out || fail "better: $(cat out)"
compare 1 worse.csv a --both
compare 0 a worse.csv --atol 9
change score_se 0.4 >still.csv # the run's own is empty where all scores are equal
change score_se 0.5 >moved.csv
compare 0 still.csv moved.csv
compare 0 still.csv moved.csv --both
compare 1 still.csv moved.csv --all
grep -q '^moved .*: score_se 0.5, expected 0.4' out || fail "moved: $(cat out)"
change cache_bytes 1 >bytes.csv
compare 1 a bytes.csv --json
grep -q '"verdict":"differs","cell":"[0-9a-f]*","column":"cache_bytes","base":"[0-9]*","new":"1"}' out || fail "json: $(cat out)"
change kl '' >empty.csv
compare 1 a empty.csv
grep -q ': kl (empty), expected ' out || fail "empty: $(cat out)"
head -5 a/cells.csv >fewer.csv
compare 1 a fewer.csv
grep -q '^missing ' out || fail "missing: $(cat out)"
compare 0 fewer.csv a
grep -q '^extra ' out || fail "extra: $(cat out)"

# other samples are no better and no worse
"$DEPTHKV" run x.yaml -o b -q --set first_sample=2 >out 2>err || fail "run: $(cat err)"
compare 2 a b
[ "$(grep -c '^differs .*: samples 2..3, expected 0..1$' out)" -eq 5 ] && [ "$(wc -l <out)" -eq 5 ] || fail "other samples: $(cat out)"
grep -q '^warning: 5 cells were not compared: they are of other samples, prompts or answers$' err || fail "other samples: $(cat err)"
compare 2 b a --json
"$DEPTHKV" run x.yaml -o b -q --limit 1 >out 2>err || fail "run: $(cat err)"
compare 2 a b

change kl nan >nan.csv
compare 2 a nan.csv
grep -q "nan.csv:6: kl: expected a number, found 'nan'" err || fail "nan: $(cat err)"
{ cat a/cells.csv; tail -1 a/cells.csv; } >twice.csv
compare 2 twice.csv a
grep -q 'twice.csv:7: cell [0-9a-f]* twice' err || fail "twice: $(cat err)"
echo '1,2' >>fewer.csv
compare 2 fewer.csv a
grep -q "fewer.csv:6: 2 fields, expected $total as in the header" err || fail "short: $(cat err)"
compare 2 a x.yaml
compare 2 a none
compare 2 a
compare 2 a a --rtol -1
