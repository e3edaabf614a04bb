#!/usr/bin/env bash
# SIGTERM and SIGINT end every command wherever it is, and leave no unfinished file; a second one does not wait.
. "$ROOT/tests/cli/lib/model.sh"
set -m # jobs in the background would ignore a SIGINT that comes before main does
experiment | sed 's/samples: 2/samples: 400/' >x.yaml
experiment | sed 's/, h2o//; s/, 0.5//' >small.yaml
"$DEPTHKV" run small.yaml -o whole -q >/dev/null || fail "run"
{ echo 'a: ['; yes '{b: [1, 2, 3]},' | head -15000; echo ']'; } >large.yaml
ls >before

t() { # DELAY SIGNAL COMMAND...
  local delay=$1 signal=$2 status pid
  shift 2
  "$@" >out 2>err </dev/null &
  pid=$!
  sleep "$delay"
  kill -"$signal" $pid 2>/dev/null
  (sleep 20 && kill -KILL $pid) >/dev/null 2>&1 & # a command that ignores it
  local watcher=$!
  wait $pid
  status=$?
  kill $watcher 2>/dev/null
  case $status in # over before the signal, stopped, or stopped by the loader's default before main began
  0 | 2 | 130 | 143) ;;
  *) fail "SIG$signal after $delay s: $*: status $status, $(cat err)" ;;
  esac
  left=$(find . -name '*.tmp*')
  [ -z "$left" ] || fail "SIG$signal after $delay s: $*: left $left"
  stopped=$((${stopped:-0} + (status == 130)))
}
for delay in 0.02 0.1; do
  for signal in TERM INT; do
    t $delay $signal "$DEPTHKV" run x.yaml -o o -q
    t $delay $signal "$DEPTHKV" report whole
    t $delay $signal "$DEPTHKV" check x.yaml
    t $delay $signal "$DEPTHKV" check large.yaml
    t $delay $signal "$DEPTHKV" import hf -o o.h5 -q
    t $delay $signal "$DEPTHKV" generate -m tiny.h5 -n 400 abc
    rm -f o.h5
  done
done
[ "$stopped" -gt 0 ] || fail "no command was stopped: all were over too early"
"$DEPTHKV" report whole >/dev/null 2>err || fail "report after all that: $(cat err)"

# a run that has a first signal to answer ends at the second one: both are there before it can look at either
"$DEPTHKV" run x.yaml -o twice -q --threads 1 >out 2>err &
pid=$!
for _ in $(seq 3000); do
  [ -s twice/rows.jsonl ] && break
  sleep 0.02
done
kill -STOP $pid
kill -INT $pid
kill -TERM $pid
kill -CONT $pid
wait $pid
status=$?
[ $status -eq 130 ] && grep -qx 'depthkv: stopped' err || fail "two signals: status $status, $(cat out err)"
[ ! -e twice/table.md ] || fail "two signals: what a clean end writes was written"
