#!/usr/bin/env bash
# run.sh BINARY SECONDS WORKERS FORMAT...: fuzzes each format in turn, prints "FORMAT: N runs, C crashes" for each, and exits
# 1 when anything crashed. What is learned stays in build/fuzz/corpus/FORMAT; inputs that crash, hang, leak or take too
# much memory lie in build/fuzz/crashes/FORMAT, the smallest found of each as *.min.
set -euo pipefail
cd "$(dirname "$0")/../.."

LIMITS=(-rss_limit_mb=1536 -malloc_limit_mb=512 -timeout=20)
SMALLEST_S=20 # seconds for making one input smaller

longest() { # FORMAT: bytes of an input
  case $1 in
  model | profile | kept) echo 65536 ;;
  gguf) echo 16384 ;;
  *) echo 4096 ;;
  esac
}

fuzz() { # FORMAT: one summary line; 1 when something crashed
  local format=$1 work=build/fuzz/corpus/$1 found=build/fuzz/crashes/$1 log=build/fuzz/$1.log runs crashes=0 file
  mkdir -p "$work" "$found" "tests/fuzz/regressions/$format"
  touch "$found/.begin"
  FUZZ_FORMAT=$format "$binary" -fork="$workers" -ignore_crashes=1 -ignore_ooms=1 -ignore_timeouts=1 \
    -max_total_time="$seconds" -max_len="$(longest "$format")" "${LIMITS[@]}" -artifact_prefix="$found/" \
    "$work" "tests/fuzz/corpus/$format" "tests/fuzz/regressions/$format" >"$log" 2>&1 || true
  runs=$(sed -n 's/^#\([0-9]*\): cov.*/\1/p' "$log" | tail -1)
  while IFS= read -r file; do
    crashes=$((crashes + 1))
    FUZZ_FORMAT=$format "$binary" -minimize_crash=1 -max_total_time=$SMALLEST_S "${LIMITS[@]}" -exact_artifact_path="$file.min" \
      "$file" >"$file.log" 2>&1 || true
  done < <(find "$found" -newer "$found/.begin" -type f \( -name 'crash-*' -o -name 'oom-*' -o -name 'timeout-*' -o -name 'leak-*' \) \
    ! -name '*.min' ! -name '*.log')
  echo "$format: ${runs:-0} runs, $crashes crashes"
  if [ -z "$runs" ]; then
    tail -20 "$log" >&2
    return 1
  fi
  [ "$crashes" -eq 0 ] || { echo "  see $found" >&2; return 1; }
}

binary=$1 seconds=$2 workers=$3
shift 3
[ "$workers" -le 2 ] || { echo "fuzz: W=$workers; at most 2 workers" >&2; exit 1; }
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export TMPDIR=$scratch
export ASAN_OPTIONS=allocator_may_return_null=1:detect_leaks=1:strict_string_checks=1:quarantine_size_mb=32
export UBSAN_OPTIONS=print_stacktrace=1 LSAN_OPTIONS=suppressions=$PWD/tests/lsan.supp:print_suppressions=0
export OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1
bad=0
for format in "$@"; do fuzz "$format" || bad=1; done
exit $bad
