#!/usr/bin/env bash
# Every name that `list` prints stands in the smoke experiments: who adds one adds a line there, and its figures.
"$DEPTHKV" list >all || exit 1
group=
while IFS= read -r line; do
  name=${line%% *}
  case $line in
  '  '*)
    read -r name _ <<<"$line"
    file=smoke.yaml
    [ "$group" = tasks ] && file=smoke_tasks.yaml
    # uniform, full, frozen and original are what stands where nothing is said
    case $group/$name in */uniform | */full | decode/frozen | positions/original | metrics/*) continue ;; esac
    grep -qE "(^|[^a-z0-9_])$name([^a-z0-9_]|$)" <(grep -v '^ *#' "$ROOT/experiments/$file") ||
      { echo "$group '$name' is missing in experiments/$file"; bad=1; }
    ;;
  *) group=$name ;;
  esac
done <all
exit "${bad:-0}"
