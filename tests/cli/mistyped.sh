#!/usr/bin/env bash
# Whoever mistypes is told what was meant, with status 2 and nothing on stdout.
. "$ROOT/tests/cli/lib/model.sh"
experiment >x.yaml
failed=0
t() { # TEXT ARGUMENTS...: stderr must be exactly the text
  local want=$1 status
  shift
  "$DEPTHKV" "$@" >out 2>err </dev/null
  status=$?
  if [ $status -ne 2 ] || [ -s out ] || [ "$(cat err)" != "$want" ]; then
    printf 'depthkv %s: status %s\n  expected %s\n  found    %s\n' "$*" $status "$want" "$(head -c 400 err)"
    failed=1
  fi
}
t "depthkv: unknown command 'imprt'; did you mean 'import'? (see: depthkv -h)" imprt
t "depthkv: unknown command '--verson' (see: depthkv -h)" --verson
t "depthkv check: unknown option '--lmit'; did you mean '--limit'? (see: depthkv check -h)" check x.yaml --lmit 3
t "depthkv run: unknown option '--sampels'; did you mean '--samples'? (see: depthkv run -h)" run x.yaml --sampels=3
t "depthkv run: unknown option '-x' (see: depthkv run -h)" run -x
t "depthkv run: unknown option '-x' (see: depthkv run -h)" run --quiet -qx
t "depthkv check: option '--limit' lacks its value (see: depthkv check -h)" check x.yaml --limit
t "depthkv run: option '-k' lacks its value (see: depthkv run -h)" run -k
t "depthkv check: option '--json' takes no value (see: depthkv check -h)" check x.yaml --json=3
t "depthkv check: --limit: expected a whole number in [1, 1000000000], found '0' (see: depthkv check -h)" check x.yaml --limit 0
t "depthkv run: --memory: expected a size as 8G or 512M, found 'lots' (see: depthkv run -h)" run x.yaml --memory lots
t "depthkv run: one experiment at a time; 'y.yaml' is too much (see: depthkv run -h)" run x.yaml y.yaml
t "depthkv run: either a file or -m -t -p -k, not both (see: depthkv run -h)" run x.yaml -p h2o
t "depthkv run: expected FILE.yaml, or all of -m, -t, -p, -k (see: depthkv run -h)" run -m tiny.h5 -t passkey
t "command line:10: policy 'snapvk' unknown; did you mean 'snapkv'? (see: depthkv list)" run -m tiny.h5 -t passkey -p snapvk -k 0.1
t "command line:5: task 'passky' unknown; did you mean 'passkey'? (see: depthkv list)" run -m tiny.h5 -t passky -p snapkv -k 0.1
t "command line:11: keep: expected a fraction in (0, 1], found '10'; 10 % is keep: 0.1, and 10 entries of every head are keep_tokens: 10" run -m tiny.h5 -t passkey -p snapkv -k 10
t "--set sweep.1.keep:1: keep: expected a fraction in (0, 1], found '7'; 7 % is keep: 0.07, and 7 entries of every head are keep_tokens: 7" run x.yaml --set sweep.1.keep=7
none="the model has no chat template (a base model, mostly); take raw, or spell its pieces out: \
{begin: \"...\", system: \"...\", user: [\"...\", \"...\"], assistant: \"...\"}"
t "--set template:1: template: model 'tiny': $none" check x.yaml --set template=chat
t "depthkv: -c (--template chat): $none" generate -m tiny.h5 -c hi
t "depthkv: --template: $none" generate -m tiny.h5 --template chat hi
t "depthkv: --template: $none" generate -m tiny.h5 -c --template '{chat: {system: x}}' hi
t "depthkv: --chat (--template chat): $none" samples passkey -m tiny.h5 --chat
t "depthkv: --template: $none" samples passkey -m tiny.h5 --template chat
t "depthkv list: 'polices' unknown; did you mean 'policies'? (see: depthkv list -h)" list polices
t "depthkv list: one kind at a time; 'x' is too much (see: depthkv list -h)" list tasks x
t "depthkv describe: 'snapvk' unknown; did you mean 'snapkv'? (see: depthkv describe -h)" describe snapvk
t "depthkv: task 'passkey' has no parameter 'lenth'; did you mean 'length'? (see: depthkv describe passkey)" \
  samples passkey -m tiny.h5 --param lenth=5
t "depthkv: task 'jsonl': parameter 'file' is required: --param file=..." samples jsonl -m tiny.h5
t "depthkv samples: task 'niah_singel_1' unknown; did you mean 'niah_single_1'? (see: depthkv samples -h)" samples niah_singel_1 -m tiny.h5
t "depthkv: nosuch.h5: No such file or directory" samples passkey -m nosuch.h5
t "depthkv: x.yaml: not an HDF5 file, or truncated; model files end in .h5: depthkv import makes them" generate -m x.yaml abc
t "depthkv: a prompt of 3 tokens + -n 5000 exceed the model's context of 4096" generate -m tiny.h5 -n 5000 abc
t "depthkv trace: no cell begins with 'zzz'; depthkv check prints them (see: depthkv trace -h)" trace x.yaml --cell zzz
t "depthkv: nosuch/rows.jsonl: No such file or directory" report nosuch
t "depthkv report: --measure: 'kll' unknown; did you mean 'nll'? (see: depthkv report -h)" report . --pair a,b --measure kll
t "depthkv report: --pair: expected two policies as random,snapkv, found 'a' (see: depthkv report -h)" report . --pair a
t "depthkv report: --json goes with --pair; cells.csv and rows.jsonl have all numbers (see: depthkv report -h)" report . --json
t "depthkv compare: expected BASE and NEW, found 1 arguments (see: depthkv compare -h)" compare a
t "depthkv compare: expected BASE and NEW, found 3 arguments (see: depthkv compare -h)" compare a b c
t "depthkv compare: unknown option '--rtoll'; did you mean '--rtol'? (see: depthkv compare -h)" compare a b --rtoll 1
t "depthkv compare: --rtol: expected a number of at least 0, found '-1' (see: depthkv compare -h)" compare a b --rtol -1
t "depthkv compare: --atol: expected a number of at least 0, found 'x' (see: depthkv compare -h)" compare a b --atol x
t "depthkv: nosuch.csv: No such file or directory" compare nosuch.csv x.yaml
t "depthkv: ./cells.csv: No such file or directory" compare . x.yaml
t "depthkv: x.yaml: Not a directory" run x.yaml -o x.yaml -q
[ ! -e results ] || { echo "a refused command left results"; failed=1; }
exit $failed
