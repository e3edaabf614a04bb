#!/usr/bin/env bash
# disks.sh BINARY [STEPS]: files that may grow to N bytes only (a limit on file sizes), and as root file systems of N bytes, for
# STEPS sizes each (default 12) from nothing to what the command needs. A command ends with 0, or with 1 and a message that
# names a reason; it leaves no unfinished file, and a run that is continued where there is room gives the rows of a whole one.
set -uo pipefail
DEPTHKV=$(realpath "$1") steps=${2:-12} ROOT=$(realpath "$(dirname "$0")/../..")
export DEPTHKV ROOT OMP_WAIT_POLICY=passive
work=$(mktemp -d)
trap 'umount "$work/small" 2>/dev/null; rm -rf "$work"' EXIT
cd "$work" || exit 1
. "$ROOT/tests/cli/lib/model.sh"
{ experiment | sed 's/samples: 2/samples: 1/; s/, 0.5//'; echo 'record: {kept: true}'; } >x.yaml
"$DEPTHKV" run x.yaml -o whole -q >/dev/null 2>&1 || fail "run"
failures=0
declare -A total

limited() { # KIB COMMAND...: what it says goes through a pipe, which has no limit
  local n=$1
  shift
  (ulimit -f "$n" && exec "$@") 2>&1 >out | cat >err
  return "${PIPESTATUS[0]}"
}

bad() { failures=$((failures + 1)); echo "$*"; }

judge() { # NAME STATUS WHERE
  total[$1 $2]=$((${total[$1 $2]:-0} + 1))
  case $2 in
  0) ;;
  1) grep -qE 'No space left on device|File too large|Disk quota|write' err || bad "$1, $3: no reason: $(tail -c 300 err)" ;;
  *) bad "$1, $3: status $2: $(tail -c 300 err)" ;;
  esac
}

continued() { # FOLDER WHERE
  "$DEPTHKV" run x.yaml -o "$1" -q >out 2>err && [ "$(comparable "$1/rows.jsonl")" = "$(comparable whole/rows.jsonl)" ] ||
    bad "run, $2: other rows when continued: $(tail -c 300 err)"
}

for ((i = 0; i < steps; i++)); do
  n=$((4 * i * i)) # ulimit counts KiB
  rm -rf o o.h5
  limited $n "$DEPTHKV" run x.yaml -o o -q
  judge run-limit $? "files of at most $n KiB"
  continued o "after files of at most $n KiB"
  limited $n "$DEPTHKV" import hf -o o.h5 -q
  judge import-limit $? "files of at most $n KiB"
  [ -z "$(find . -maxdepth 1 -name '*.tmp*')" ] || bad "import, files of at most $n KiB: $(ls -d ./*.tmp*) is left"
  cp -r whole report
  limited $n "$DEPTHKV" report report
  judge report-limit $? "files of at most $n KiB"
  [ "$(cat report/rows.jsonl)" = "$(cat whole/rows.jsonl)" ] || bad "report, files of at most $n KiB: rows were touched"
  rm -rf report
done
mkdir -p small
if mount -t tmpfs -o size=64k tmpfs small 2>/dev/null; then
  umount small
  for ((i = 0; i < steps; i++)); do
    n=$((4 + 4 * i * i)) # whole pages
    mount -t tmpfs -o size=${n}k tmpfs small
    "$DEPTHKV" run x.yaml -o small/o -q >out 2>err
    judge run-disk $? "a disk of $n KiB"
    mount -o remount,size=64m small
    continued small/o "after a disk of $n KiB"
    umount small
    mount -t tmpfs -o size=${n}k tmpfs small
    "$DEPTHKV" import hf -o small/o.h5 -q >out 2>err
    judge import-disk $? "a disk of $n KiB"
    [ -z "$(find small -name '*.tmp*')" ] || bad "import, a disk of $n KiB: $(ls small) is left"
    umount small
  done
else
  echo "no file systems of a given size without root: left out"
fi
for key in "${!total[@]}"; do echo "$key ${total[$key]}"; done | sort | awk '{ n[$1] = n[$1] "  " $2 ": " $3 } END { for (c in n) print c n[c] }' | sort
echo "$failures failures"
[ $failures -eq 0 ]
