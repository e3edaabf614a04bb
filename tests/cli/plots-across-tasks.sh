#!/usr/bin/env bash
# Several depths and lengths give a heat map with a panel a policy; several tasks a curve of their mean score.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/passkey: {length: 400}/passkey: {length: [400, 300], depth: [0, 50, 100]}/; s/keep: \[0.25, 0.5\]/keep: 0.5/' >x.yaml
"$DEPTHKV" run x.yaml -o a -q >out 2>err || fail "run: $(cat err)"
heat=a/plots/heat-passkey-tiny.dat
[ -s "$heat" ] || fail "no heat map: $(ls a/plots)"
[ "$(grep -c '^# ' $heat)" -eq 4 ] || fail "$(grep '^# ' $heat), expected a header and three panels"
[ "$(grep -vc '^#\|^$' $heat)" -eq 18 ] || fail "expected 3 panels of 6 places"
# rising lengths and depths, whatever their order in the experiment
awk '!/^#/ && NF { if ($7 != ($1 ? 400 : 300) || $8 != 50 * $2) bad = 1 } END { exit bad }' $heat || fail "places: $(cat $heat)"
grep -q "plots/heat-passkey-tiny.svg" a/index.html || fail "index.html lacks the heat map"

# the mean over tasks of random's scores, as cells.csv has them
[ "$(grep -c '^# ' a/plots/0-all-tasks-score.dat)" -eq 4 ] || fail "curves: $(cat a/plots/0-all-tasks-score.dat)"
score=$(($(head -1 a/cells.csv | tr , '\n' | wc -l) - $(head -1 a/cells.csv | tr , '\n' | grep -nx score | cut -d: -f1)))
want=$(grep '"random"' a/cells.csv | awk -F, -v back=$score '{ sum += $(NF - back); n++ } END { printf "%.6f", sum / n }')
got=$(grep -A1 '^# random' a/plots/0-all-tasks-score.dat | awk 'NR == 2 { printf "%.6f", $2 }')
[ "$want" = "$got" ] || fail "random: mean $got, expected $want"

# one task alone needs neither
experiment >y.yaml
"$DEPTHKV" run y.yaml -o b -q >out 2>err || fail "run: $(cat err)"
for plot in b/plots/heat* b/plots/0-all*; do
  [ ! -e "$plot" ] || fail "one task: $plot"
done
