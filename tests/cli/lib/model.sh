# shellcheck shell=bash
# Sourced by scripts that need a model: leaves tiny.h5 in the current folder, and the helpers below.
"$ROOT/tests/cli/lib/tiny_model" hf
"$DEPTHKV" import hf -o tiny.h5 -q

fail() {
  echo "$*"
  exit 1
}

experiment() { # prints a small experiment: 5 cells, 2 samples
  cat <<'END'
# Do all commands work?
schema: 1
experiment: tiny
model: tiny.h5
tasks:
  - passkey: {length: 400}
samples: 2
max_new_tokens: 4
measure: [score, nll, kl]
sweep:
  - policy: full
  - policy: [random, h2o]
    keep: [0.25, 0.5]
END
}

comparable() { # rows.jsonl in a fixed order, without times and memory, which alone may differ between two runs
  sed -E 's/"[a-z0-9_]*(_s|rss[a-z_]*)":[^,}]*//g' "$1" | sort
}
