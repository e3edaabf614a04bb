#!/usr/bin/env bash
# size.sh DEPTHKV TOOLS SHAPE FOLDER [LIMIT]: a random Llama of that shape goes the whole way: folder, import, describe,
# check, run. Prints what each step took and what check had said; exits 1 where a step fails, import holds more than a
# tensor, or check's memory is more than 10 % off.
#
# TOOLS is where random_model and measured are, FOLDER where everything is written (8b: 32 GB, and 16 GB stay). LIMIT is
# the address space of import and run in bytes (24000000000), in which mapped files count, too; 0 is none.
set -uo pipefail
depthkv=$1 tools=$2 shape=$3 folder=$4 limit=${5:-24000000000}

fail() {
  echo "size: $*" >&2
  exit 1
}
step() { # NAME LIMIT COMMAND...: seconds, bytes
  local name=$1 most=$2
  shift 2
  rm -f step
  "$tools/measured" "$most" step "$@" >"$name.out" 2>"$name.err" ||
    fail "$name failed ($(cat step 2>/dev/null)): $(tail -5 "$name.err")"
  read -r seconds bytes _ <step
  awk -v name="$name" -v s="$seconds" -v b="$bytes" 'BEGIN { printf "%-10s %8.1f s  %9.0f MiB at most\n", name, s, b / 1048576 }'
}
number() { # KEY FILE: the number behind it in JSON
  grep -o "\"$1\":[0-9.e+]*" "$2" | head -1 | cut -d: -f2
}
within() { # WHAT SAID MEASURED PERCENT: of what is not the program itself, with its libraries
  awk -v what="$1" -v said="$2" -v got="$3" -v most="$4" 'BEGIN {
    off = 100 * (said - got) / got
    printf "%s: said %.0f MiB, was %.0f MiB: %+.1f %%\n", what, said / 1048576, got / 1048576, off
    exit !(off <= most && (off >= -most || got - said < 32 * 1048576))
  }'
}

mkdir -p "$folder/hf" && cd "$folder" || exit 1
step make 0 "$tools/random_model" hf "$shape"
step import "$limit" "$depthkv" import hf -o model.h5 --dtype bf16 -q
import_bytes=$bytes
rm -rf hf
step describe 0 "$depthkv" describe model.h5 --json
parameters=$(number parameters describe.out)
most=$(number embedding_parameters describe.out)
cat >size.yaml <<'END'
# Does a model of this size run in the memory that check says?
schema: 1
experiment: size
model: model.h5
weight_dtype: bf16
tasks:
  - passkey: {length: 1040}
samples: 1
seed: 1
max_new_tokens: 16
measure: [score, kl]
sweep:
  - policy: full
  - policy: [streaming, keydiff, snapkv, h2o]
    keep: 0.25
END
step check "$limit" "$depthkv" check size.yaml --measure --json
rm -rf out
step run "$limit" "$depthkv" run size.yaml -o out -q
run_bytes=$bytes run_seconds=$seconds
[ "$(grep -c '"status":"ok"' out/rows.jsonl)" -eq 5 ] || fail "rows: $(cut -c1-200 out/rows.jsonl)"

prefill=$(number prefill_s out/rows.jsonl) decode=$(number decode_s out/rows.jsonl)
said_prefill=$(number prefill_seconds check.out) said_decode=$(number decode_seconds check.out)
echo "$parameters parameters, $(number prompt_tokens check.out) tokens, 5 cells"
awk -v sp="$said_prefill" -v sd="$said_decode" -v p="$prefill" -v d="$decode" -v all="$run_seconds" -v rough="$(number seconds check.out)" 'BEGIN {
  printf "time: said %.1f + %.1f = %.1f s (prompt, decoding), was %.1f + %.1f = %.1f s: %+.1f %%; without --measure %.1f s; with loading %.1f s\n",
    sp, sd, sp + sd, p, d, p + d, 100 * (sp + sd - p - d) / (p + d), rough, all }'
# one tensor as float32, what the program and its libraries take, and buffers of each thread (on 16 cores 306 MiB in all)
awk -v b="$import_bytes" -v most="$most" -v threads="$(nproc)" 'BEGIN { printf "import: largest tensor %.0f MiB as float32, held %.0f MiB\n", most / 262144, b / 1048576
  exit !(b < 4 * most + (200 + 16 * threads) * 1048576) }' || fail "import held more than one tensor"
within "run" "$(number memory_bytes check.out)" "$run_bytes" 10 || fail "memory is more than 10 % off"
