#!/usr/bin/env bash
# Writes the seeds of HDF5 formats into tests/fuzz/corpus/, as the program writes such files: make_h5_corpus.sh BINARY
set -euo pipefail
binary=$(realpath "$1")
cd "$(dirname "$0")"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
mkdir -p corpus/model corpus/profile corpus/kept
"$binary" import corpus/gguf/q4 -o "$scratch/m.h5" --dtype f16 >/dev/null
cat >"$scratch/x.yaml" <<'Y'
schema: 1
experiment: seeds
model: m.h5
tasks: [passkey: {length: 64, wording: compact}]
samples: 1
measure: [score, kl]
record: {kept: true}
sweep: [{policy: knorm, keep: 0.5, layer_budget: {single: {layer: all}}}]
Y
"$binary" run "$scratch/x.yaml" -q -o "$scratch/out" >/dev/null
cp "$scratch/m.h5" corpus/model/q4
cp "$scratch/out/profile.h5" corpus/profile/study
cp "$scratch/out/kept.h5" corpus/kept/two
