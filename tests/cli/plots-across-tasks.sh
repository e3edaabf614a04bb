#!/usr/bin/env bash
# Several depths and lengths give a heat map with a panel a policy; several tasks a curve of their mean score.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/passkey: {length: 400}/passkey: {length: [400, 300], depth: [0, 50, 100]}/; s/keep: \[0.25, 0.5\]/keep: 0.5/' >x.yaml
"$DEPTHKV" run x.yaml -o a -q >out 2>err || fail "run: $(cat err)"
heat=a/plots/heat-passkey-tiny.dat
[ -s "$heat" ] || fail "no heat map: $(ls a/plots)"
[ "$(grep -c '^# ' $heat)" -eq 3 ] || fail "$(grep '^# ' $heat), expected a header and two panels"
[ "$(grep -vc '^#\|^$' $heat)" -eq 12 ] || fail "expected 2 panels of 6 places"
grep -q "n = 2 a place; full cache: [01]\.[0-9][0-9]" ${heat%.dat}.gp || fail "title: $(grep multiplot ${heat%.dat}.gp)"
# rising lengths and depths, whatever their order in the experiment
awk '!/^#/ && NF { if ($7 != ($1 ? 400 : 300) || $8 != 50 * $2) bad = 1 } END { exit bad }' $heat || fail "places: $(cat $heat)"
grep -q "plots/heat-passkey-tiny.svg" a/index.html || fail "index.html lacks the heat map"

# the lengths and depths of one task are one task: no mean over tasks
[ ! -e a/plots/0-all-tasks-score.dat ] || fail "one task: $(cat a/plots/0-all-tasks-score.dat)"
sed 's/^  - passkey.*/&\n  - niah_single_1: {length: 500}/' x.yaml >w.yaml
"$DEPTHKV" run w.yaml -o w -q >out 2>err || fail "two tasks: $(cat err)"
plot=w/plots/0-all-tasks-score
[ "$(grep -c '^# ' $plot.dat)" -eq 4 ] || fail "curves: $(cat $plot.dat)"
grep -q "mean over 2 tasks" $plot.gp || fail "title: $(grep title $plot.gp)"
# the mean of both tasks' means of random's scores, as cells.csv has them
back=$(($(head -1 w/cells.csv | tr , '\n' | wc -l) - $(head -1 w/cells.csv | tr , '\n' | grep -nx score | cut -d: -f1)))
want=$(grep '"random"' w/cells.csv | awk -F, -v back=$back '{ t = /"passkey"/; sum[t] += $(NF - back); n[t]++ } END { printf "%.6f", (sum[0] / n[0] + sum[1] / n[1]) / 2 }')
got=$(grep -A1 '^# random' $plot.dat | awk 'NR == 2 { printf "%.6f", $2 }')
[ "$want" = "$got" ] || fail "random: mean $got, expected $want"

# another form of the task is a map of its own
sed 's/depth: \[0, 50, 100\]/depth: [0, 50], digits: [3, 5]/' x.yaml >z.yaml
"$DEPTHKV" run z.yaml -o c -q >out 2>err || fail "run: $(cat err)"
for map in heat-passkey-tiny heat-passkey-tiny-2; do
  [ "$(grep -vc '^#\|^$' c/plots/$map.dat)" -eq 8 ] || fail "$map: $(cat c/plots/$map.dat), expected 2 panels of 4 places"
done

# one task alone needs neither
experiment >y.yaml
"$DEPTHKV" run y.yaml -o b -q >out 2>err || fail "run: $(cat err)"
for plot in b/plots/heat* b/plots/0-all*; do
  [ ! -e "$plot" ] || fail "one task: $plot"
done
