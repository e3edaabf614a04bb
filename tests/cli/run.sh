#!/usr/bin/env bash
# Command-line tests: run.sh BINARY [NAME...]
#
# Every NAME.sh here runs in an empty folder of its own with DEPTHKV set to the binary's path and ROOT to the source
# tree. Beside it may lie: NAME.exit (exit status, 0 without it), NAME.stdout and NAME.stderr (exact text),
# NAME.stdout.glob and NAME.stderr.glob (lines with * and ?, each of which some line must match, in that order).
# A script that cannot run here prints a line that starts with SKIP on stderr and ends with 77.
# As many run at once as there are cores (DEPTHKV_TEST_JOBS=N: N); what goes wrong is told in the order of their names.
set -uo pipefail

here=$(cd "$(dirname "$0")" && pwd)
DEPTHKV=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
ROOT=$(cd "$here/../.." && pwd)
# waiting threads must not spin where others run, too
export DEPTHKV ROOT LC_ALL=C.UTF-8 OMP_WAIT_POLICY=passive
shift
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
passed=0 failed=0 skipped=0

globs_match() { # PATTERNS TEXT: each pattern matches a line after the line of the one before
  local pattern line found
  exec 3<"$2"
  while IFS= read -r pattern; do
    found=0
    while IFS= read -r line <&3; do
      # shellcheck disable=SC2053 # the right side is a pattern on purpose
      if [[ $line == $pattern ]]; then
        found=1
        break
      fi
    done
    [ $found -eq 1 ] || { exec 3<&-; echo "no line matches: $pattern"; return 1; }
  done <"$1"
  exec 3<&-
}

judge() { # NAME STATUS FOLDER: prints what is wrong
  local want=0 stream
  [ -f "$here/$1.exit" ] && want=$(<"$here/$1.exit")
  [ "$2" -eq "$want" ] || echo "exit status $2, expected $want"
  for stream in stdout stderr; do
    [ -f "$here/$1.$stream" ] && ! diff -u "$here/$1.$stream" "$3/$stream" && echo "$stream differs"
    [ -f "$here/$1.$stream.glob" ] && ! globs_match "$here/$1.$stream.glob" "$3/$stream" && echo "$stream does not match"
  done
  return 0
}

run_one() { # NAME: leaves what is to be told in its folder's `told`, and pass, skip or fail in `verdict`
  local folder=$scratch/$1 status wrong
  mkdir -p "$folder/work"
  (cd "$folder/work" && exec timeout 300 bash "$here/$1.sh") >"$folder/stdout" 2>"$folder/stderr" </dev/null
  status=$?
  if [ $status -eq 77 ] && grep '^SKIP' "$folder/stderr" >"$folder/told"; then
    echo skip >"$folder/verdict"
    return
  fi
  wrong=$(judge "$1" $status "$folder")
  if [ -z "$wrong" ]; then
    echo pass >"$folder/verdict"
  else
    printf 'FAIL %s\n%s\n--- stdout\n%s\n--- stderr\n%s\n' "$1" "$wrong" "$(head -c 2000 "$folder/stdout")" \
      "$(head -c 2000 "$folder/stderr")" >"$folder/told"
    echo fail >"$folder/verdict"
  fi
  rm -rf "$folder/work"
}

tell() { # NAME: counts one that has ended; without a verdict it failed
  local verdict
  verdict=$(cat "$scratch/$1/verdict" 2>/dev/null)
  case $verdict in
  pass) passed=$((passed + 1)) ;;
  skip) skipped=$((skipped + 1)) ;;
  *) failed=$((failed + 1)) ;;
  esac
  [ -n "$verdict" ] || echo "FAIL $1: it could not be run"
  [ ! -s "$scratch/$1/told" ] || cat "$scratch/$1/told"
}

names=("$@")
if [ ${#names[@]} -eq 0 ]; then
  for script in "$here"/*.sh; do
    [ "$script" = "$here/run.sh" ] || names+=("$(basename "$script" .sh)")
  done
fi
jobs=${DEPTHKV_TEST_JOBS:-$(nproc 2>/dev/null || echo 1)}
for name in "${names[@]}"; do
  while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
  run_one "$name" &
done
wait
for name in "${names[@]}"; do tell "$name"; done
echo "$passed passed, $failed failed$([ $skipped -eq 0 ] || echo ", $skipped skipped")"
[ $failed -eq 0 ] && [ $((passed + skipped)) -gt 0 ]
