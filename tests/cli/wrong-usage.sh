#!/usr/bin/env bash
# Wrong command lines end with status 2, one message that names what is wrong, and nothing on stdout.
failed=0
t() { # EXPRESSION ARGUMENTS...
  local want=$1 status
  shift
  "$DEPTHKV" "$@" >out 2>err </dev/null
  status=$?
  if [ $status -ne 2 ] || [ -s out ] || ! grep -qE -- "$want" err || [ "$(wc -l <err)" -gt 25 ]; then
    echo "depthkv $*: status $status, stderr: $(head -c 300 err)"
    failed=1
  fi
}
t "did you mean 'import'" imprt
t "unknown" frobnicate
t "depthkv" # nothing at all
t "did you mean 'snapkv'" describe snapvk
t "." describe
t "nosuch" list nosuch
t "nosuch.yaml" check nosuch.yaml
t "nosuch.yaml" run nosuch.yaml
t "no-such-option" run --no-such-option
t "FILE" check
t "-o" import somewhere
t "dtype" import somewhere -o x.h5 --dtype f8
t "." generate
t "." samples
t "." trace
t "MODEL is missing" bench
t "did you mean 'sweep32'" bench -m x.h5 --only pp512,sweeep32
t "unknown" bench -m x.h5 --only ''
t "too much" bench -m x.h5 pp512
t "whole number" bench -m x.h5 -r 0
many=$(printf -- '--set samples=1 %.0s' {1..65})
for command in run check metrics trace; do
  # shellcheck disable=SC2086
  t "$command: more than 64 --set" $command $many x.yaml
done
[ -z "$(find . -type f ! -name out ! -name err)" ] || { echo "files left: $(find . -type f)"; failed=1; }
exit $failed
