#!/usr/bin/env bash
# -h prints usage on stdout, nothing on stderr, and succeeds, for the program and each command that it lists.
"$DEPTHKV" -h >all || exit 1
commands=$(sed -n 's/^  \([a-z]*\)  .*/\1/p' all)
for command in run check report compare list describe import generate samples trace metrics bench; do
  grep -qw "$command" <<<"$commands" || { echo "$command is not listed"; exit 1; }
done
for command in $commands; do
  for flag in -h --help; do
    "$DEPTHKV" "$command" $flag >out 2>err || { echo "$command $flag: status $?"; exit 1; }
    grep -q "^usage: depthkv $command" out || { echo "$command $flag prints no usage"; exit 1; }
    [ ! -s err ] || { echo "$command $flag writes to stderr"; exit 1; }
  done
done
# what can be imported is said by the tables of it, and so in full
"$DEPTHKV" import -h >out
for name in $(sed -n 's/^ *{*\.gguf = "\([a-z0-9_]*\)".*/\1/p' "$ROOT/models/architecture.c") Q2_K IQ4_XS BF16; do
  grep -qw "$name" out || { echo "import -h lacks $name"; exit 1; }
done
