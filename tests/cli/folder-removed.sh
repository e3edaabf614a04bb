#!/usr/bin/env bash
# A result folder that goes away while a run writes to it: an error that says so, and no success.
. "$ROOT/tests/cli/lib/model.sh"
experiment | sed 's/samples: 2/samples: 100/' >x.yaml
for what in removed replaced; do
  rm -rf a b
  "$DEPTHKV" run x.yaml -o a -q >out 2>err &
  pid=$!
  for _ in $(seq 600); do
    [ -s a/rows.jsonl ] && break
    sleep 0.1
  done
  [ -s a/rows.jsonl ] || fail "no row: $(cat err)"
  mv a b
  [ $what = removed ] && rm -r b
  [ $what = replaced ] && cp -r b a
  wait $pid
  got=$?
  [ $got -eq 1 ] || fail "$what: status $got, expected 1: $(cat out err)"
  grep -q '^depthkv: a/rows.jsonl was removed or replaced while this run was writing to it' err || fail "$what: $(cat err)"
done

# after the last row, while plots are drawn: the same, and not the name of some file that could not be opened
mkdir bin
printf '#!/bin/sh\nrm -rf "%s/last"\n' "$PWD" >bin/gnuplot
chmod +x bin/gnuplot
experiment >x.yaml
PATH=$PWD/bin:$PATH "$DEPTHKV" run x.yaml -o last -q >out 2>err
got=$?
[ $got -eq 1 ] && [ "$(grep '^depthkv' err)" = "depthkv: last/rows.jsonl was removed while this run was writing to its folder; run again for a whole one" ] ||
  fail "removed at the end: status $got: $(cat out err)"
