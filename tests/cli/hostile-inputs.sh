#!/usr/bin/env bash
# What is no regular file is refused by name wherever a file is read, without waiting for it; hostile YAML ends quickly.
. "$ROOT/tests/cli/lib/model.sh"
experiment >x.yaml
mkfifo pipe pipe.gguf
mkdir folder folder.gguf
t() { # EXPRESSION COMMAND...
  local want=$1 status
  shift
  timeout 20 "$@" >out 2>err </dev/null
  status=$?
  [ $status -eq 2 ] && grep -qE -- "$want" err || fail "$*: status $status: $(head -c 300 err)"
}
for what in pipe folder /dev/zero /dev/full; do
  kind=device
  [ $what = pipe ] && kind=pipe
  [ $what = folder ] && kind=folder
  said="$what: not a regular file but a $kind"
  t "$said" "$DEPTHKV" run $what
  t "$said" "$DEPTHKV" check $what
  t "$what: not a regular file" "$DEPTHKV" generate -m $what abc
  sed "s|tiny.h5|$what|" x.yaml >m.yaml
  t "$what: not a regular file" "$DEPTHKV" check m.yaml
  sed "s|- passkey.*|- jsonl: {file: $what}|" x.yaml >j.yaml
  t "$what: not a regular file" "$DEPTHKV" run j.yaml -o o
  { echo "include: $what"; cat x.yaml; } >i.yaml
  t "$said" "$DEPTHKV" check i.yaml
done
t "pipe.gguf: not a regular file but a pipe" "$DEPTHKV" import pipe.gguf -o o.h5
t "/dev/zero: not a regular file but a device" "$DEPTHKV" import /dev/zero -o o.h5
mkdir results && mkfifo results/rows.jsonl && "$DEPTHKV" check x.yaml >/dev/null
t "rows.jsonl: not a regular file but a pipe|no such|plan|config" "$DEPTHKV" report results

# include: of what is no map; of itself
printf -- '- a\n- b\n' >list.yaml
{ echo 'include: list.yaml'; cat x.yaml; } >i.yaml
t 'list.yaml:1: included by .*i.yaml:1: expected a map' "$DEPTHKV" check i.yaml
{ echo 'include: i.yaml'; cat x.yaml; } >i.yaml
t 'i.yaml:1: include: a cycle' "$DEPTHKV" check i.yaml

# nesting, and grids that multiply
{ printf 'a: '; head -c 200000 /dev/zero | tr '\0' '['; } >deep.yaml
t 'deep.yaml:1: nested deeper than 64' "$DEPTHKV" check deep.yaml
axis=$(seq 0.0011 0.0001 0.1 | paste -sd,)
seeds=$(seq 1 900 | paste -sd,)
sed "s/, h2o//; s/keep: .*/keep: [$axis]\n    policy_seed: [$seeds]/" x.yaml >grid.yaml
t 'grid.yaml:[0-9]*: sweep: .* cells .* at most 200000' "$DEPTHKV" check grid.yaml
sed "s/keep: .*/keep: [$axis]\n    policy_seed: [1,2,3,4,5,6,7,8]/" x.yaml >grid.yaml
timeout 60 "$DEPTHKV" check grid.yaml >out 2>err || fail "a grid of some thousand cells: $(head -c 300 err)"
