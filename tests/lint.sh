#!/usr/bin/env bash
# Rules of the tree that a compiler does not know: lint.sh OBJECT_FOLDER (objects must be built). Prints every breach
# and exits 1 when there is one. lint.sh --texts FILE... looks only for texts that leave unquoted.
set -euo pipefail
cd "$(dirname "$0")/.."
breaches=0

breach() {
  echo "lint: $*"
  breaches=$((breaches + 1))
}

# ---- texts on their way out -----------------------------------------------------------------
# A page (struct quote) knows its language and quotes every text that is put into it, and its formats are literals; types and
# compiler see to that. What is left to find are the ways around pages: printing to a stream or writing a file without one,
# opening a page's bytes, the functions behind the macros that insist on literals, and a shell. A file may do what its line
# here allows, for the reason that stands there.
may() { # FILE WAY
  case "$1 $2" in
  'harness/base/quote.c '*) ;;                              # the pages themselves
  'harness/base/leave.c stream') ;;                         # literals, when there is no memory for a page, or in a signal handler
  'harness/base/clock.c stream') ;;                         # a number into /proc
  'harness/bench/bench_work.c stream') ;;                         # rows as JSON, into a temporary file that is timed
  'harness/cmd/cli.c macro') ;;                                 # cli_usage hands its own checked format on
  harness/base/fs.*' file') ;;                              # the function itself
  'harness/rows/manifest.c file' | 'harness/report/report.c file' | 'harness/rows/plan.c file') ;;     # JSON: str_add_json
  'harness/run/runner.c file') ;;                               # config.yaml: conf_print
  'harness/base/again.c program') ;;                            # the program itself, as it was started
  'harness/report/gnuplot.c program') ;;                           # execv of gnuplot, the only one
  *) return 1 ;;
  esac
}
texts() { # FILE...
  local file line kind instead code
  while IFS=$'\t' read -r file line kind instead code; do
    may "$file" "$kind" || breach "$file:$line: text leaves unquoted; use $instead: $code"
  done < <(awk '
    BEGIN {
      OFS = "\t"; word = "(^|[^A-Za-z0-9_])"
      way["stream"] = word "(v?f?printf|v?dprintf|f?puts|f?putc|putchar|fwrite|perror|psignal)(_unlocked)? *[(]|" word "write *[(] *(STD[A-Z]*_FILENO|[012]) *,"
      way["file"] = word "fs_write_atomic *[(]"
      way["page"] = "(->|[.])page *([.]|->|[,;)&])|&[A-Za-z0-9_>.-]*(->|[.])page([^A-Za-z0-9_]|$)"
      way["macro"] = word "quote_(addf|showf|vshow) *[(]"
      way["program"] = word "(system|popen|exec[lv]p?e?|execvpe|fexecve|posix_spawnp?) *[(]"
      instead["stream"] = "quote_show or quote_print"; instead["file"] = "quote_save"; instead["page"] = "quote_add"
      instead["macro"] = "quote_add or quote_show"; instead["program"] = "gnuplot_run"
    }
    { code = $0; gsub(/"([^"\\]|\\.)*"/, "\"\"", code); gsub(/\/[*][^*]*[*]\//, "", code) }
    { for (kind in way) if (code ~ way[kind]) print FILENAME, FNR, kind, instead[kind], $0 }' "$@" | grep -v '^harness/base/quote\.h' || true)
}
if [ "$1" = --texts ]; then
  shift
  texts "$@"
  [ "$breaches" -eq 0 ]
  exit
fi
objects=$1

shopt -s nullglob
rooms=(base metric stats experiment engine rows run report layer_metrics bench cmd) # of harness/, in the order of harness/README.md
folders=("${rooms[@]/#/harness/}" harness models policies datasets)
sources=()
for folder in "${folders[@]}"; do sources+=("$folder"/*.[ch]); done

# ---- who may include whom -------------------------------------------------------------------
# A room of harness/ includes itself, the rooms before it, and models/, policies/ and datasets/, which know only harness/base.
allowed() { # FOLDER: what its includes may begin with
  local room=${1#harness/} rooms_so_far=
  case $1 in
  harness/base) echo 'harness/base/' ;;
  harness) echo '(harness|models|policies|datasets)/' ;;
  harness/*)
    for name in "${rooms[@]}"; do
      rooms_so_far+=${rooms_so_far:+|}$name
      [ "$name" != "$room" ] || break
    done
    echo "(harness/($rooms_so_far)|models|policies|datasets)/"
    ;;
  *) echo "($1|harness/base)/" ;;
  esac
}
includes() { # FILE
  sed -n 's/^ *# *include *"\(.*\)".*/\1/p' "$1"
}
for folder in "${folders[@]}"; do
  for file in "$folder"/*.[ch]; do
    while IFS= read -r line; do breach "$file includes $line, which $folder may not"; done \
      < <(includes "$file" | grep -vE "^$(allowed "$folder")" || true)
  done
done
for file in "${sources[@]}" tests/*.[ch] tests/lib/*.[ch] tests/fuzz/*.[ch]; do
  while IFS= read -r header; do [ -f "$header" ] || breach "$file includes \"$header\": not a path from the root"; done \
    < <(includes "$file")
done
for folder in harness/*/; do
  [[ " ${rooms[*]} " == *" $(basename "$folder") "* ]] || breach "$folder is no room that tests/lint.sh and the Makefile know"
done
# A file and its header count as one: what they need must not need them.
circles=$(for file in "${sources[@]}"; do
  [[ $file != harness/* ]] || includes "$file" | grep '^harness/' | sed "s#^#${file%.*} #; s#\.h\$##"
done | awk '$1 != $2' | tsort 2>&1 >/dev/null | sed -n 's/^tsort: \(.*\/.*\)/\1/p' | paste -sd' ' || true)
[ -z "$circles" ] || breach "these files need each other in a circle: $circles"

texts "${sources[@]}"

# ---- one source file per library ------------------------------------------------------------
libraries='hdf5\.h|hdf5_hl\.h cblas\.h|openblas_config\.h yaml\.h cJSON\.h pcre2\.h utf8proc\.h lapacke\.h openssl/.*\.h dlfcn\.h'
for library in $libraries; do
  users=$(grep -lE "^ *# *include *<([a-z0-9_]+/)?($library)>" "${sources[@]}" || true)
  [ "$(wc -w <<<"$users")" -le 1 ] || breach "$library is included by more than one file:" $users
  for user in $users; do [[ $user == *.c ]] || breach "$user is a header and includes $library"; done
done

# ---- symbols and registries -----------------------------------------------------------------
prefix_ok() { # FOLDER/STEM SYMBOL: it starts with the stem, its first words, or a struct or enum of its header
  local prefix=$1 name
  while :; do
    name=$(basename "$prefix")
    [[ $2 == "$name" || $2 == "${name}_"* ]] && return 0
    if [ -f "$prefix.h" ]; then
      for name in $(sed -n 's/^\(struct\|enum\) \([a-z0-9_]*\) *[{;].*/\2/p' "$prefix.h"); do
        [[ $2 == "${name}_"* ]] && return 0
      done
    fi
    [[ $(basename "$prefix") == *_* ]] || return 1
    prefix=${prefix%_*}
  done
}
for folder in "${folders[@]}"; do
  for source in "$folder"/*.c; do
    stem=$(basename "$source" .c)
    object=$objects/${source%.c}.o
    [ "$stem" != main ] || continue
    [ -f "$object" ] || { breach "$source was not built: there is no $object"; continue; }
    while IFS= read -r symbol; do
      case $source in
      policies/policy*.c | policies/allocator*.c | policies/head.c | policies/statistic.c | datasets/dataset.c) prefix_ok "${source%.c}" "$symbol" ;;
      policies/head_*.c) [ "$symbol" = "$stem" ] ;;
      harness/report/figure_*.c) [ "$symbol" = "figure_${stem#figure_}" ] ;;
      policies/alloc_*.c) [ "$symbol" = "allocator_${stem#alloc_}" ] ;;
      policies/*.c) [ "$symbol" = "policy_$stem" ] ;;
      datasets/*.c) [[ $symbol == dataset_${stem}* ]] || grep -q "^ *DATASET(${symbol#dataset_})" datasets/dataset.c ||
        prefix_ok "${source%.c}" "$symbol" ;;
      harness/base/mem_library.c) [[ $symbol =~ ^(malloc|calloc|realloc)$ ]] ;; # in front of the allocator's
      *) prefix_ok "${source%.c}" "$symbol" ;;
      esac || breach "$source exports $symbol"
    done < <(nm -g --defined-only "$object" | awk '{ print $3 }' | grep -v '^__\|\.resolver$' || true)
  done
done

listed() { # FILE MACRO: names in the registry's list
  sed -n "s/^ *$2(\([a-z0-9_]*\)).*/\1/p" "$1" | sort
}
compare() { # KIND LISTED FOUND
  while IFS= read -r line; do [ -z "$line" ] || breach "$1: $line"; done < <(diff <(echo "$2") <(echo "$3") |
    sed -n 's/^< /in the registry, but there is no file for /p; s/^> /a file that no registry lists: /p')
}
stems() { # files to names, without the given prefix
  for file in "${@:2}"; do basename "$file" .c | sed "s/^$1//"; done | sort
}
policies=() suites=() tasks=
for file in policies/*.c; do
  case $(basename "$file") in policy*.c | allocator*.c | alloc_*.c | head.c | head_*.c | statistic.c) ;; *) policies+=("$file") ;; esac
done
compare policy "$(listed policies/policy.c POLICY)" "$(stems '' "${policies[@]}")"
compare statistic "$(sed -n 's/^ *STATISTIC([A-Z_]*, \([a-z0-9_]*\),.*/\1/p' policies/statistic.h | sort)" \
  "$(stems statistic_ harness/engine/statistic_*.c)"
compare 'head rule' "$(listed policies/head.c HEAD)" "$(stems head_ policies/head_*.c)"
compare figure "$(listed harness/report/figure.c FIGURE)" "$(stems figure_ harness/report/figure_*.c)"
compare allocator "$(listed policies/allocator.c ALLOCATOR)" "$(stems alloc_ policies/alloc_*.c)"
for file in datasets/*.c; do
  object=$objects/${file%.c}.o
  [ "$file" = datasets/dataset.c ] || [ ! -f "$object" ] || tasks+=$(nm -g --defined-only "$object" | sed -n 's/.* [DRB] dataset_/ /p')
done
compare task "$(listed datasets/dataset.c DATASET)" "$(tr -s ' \n' '\n\n' <<<"$tasks" | sed '/^$/d' | sort)"

# What an addition is easily made without: its test, its place in the document that lists its kind, its line in smoke.
told() { # KIND NAME FILE PATTERN: something of FILE matches
  grep -qsE -- "$4" $3 || breach "$1 $2 does not stand in $3; CONTRIBUTING.md says where it belongs"
}
for name in $(listed policies/policy.c POLICY); do
  told policy "$name" 'tests/test_policy.c tests/test_oracle_policy.c' "^START_TEST\((.*_)?${name}(_.*)?\)"
  [ "$(grep -c "^| $name |" policies/README.md)" -ge 2 ] || breach "policy $name does not stand in both tables of policies/README.md"
  told policy "$name" experiments/smoke.yaml "policy: .*\b$name\b"
done
for name in $(listed policies/allocator.c ALLOCATOR); do
  told allocator "$name" 'tests/test_allocator.c tests/test_alloc_profile.c tests/test_alloc_peers.c' \
    "^START_TEST\((.*_)?${name}(_.*)?\)"
  told allocator "$name" policies/README.md "^\| $name \|"
  [ "$name" = uniform ] || told allocator "$name" experiments/smoke.yaml "(layer_budget: \{|- )$name\b"
done
for name in $(listed policies/allocator.c ALLOCATOR); do
  told allocator "$name" experiments/README.md "^\\| layer_budget \\|.*\\b$name\\b"
done
for name in $(listed policies/head.c HEAD); do
  told 'head rule' "$name" experiments/README.md "^\\| head_budget \\|.*\\b$name\\b"
  told 'head rule' "$name" tests/test_head.c "^START_TEST\((.*_)?${name}(_.*)?\)"
  told 'head rule' "$name" policies/README.md "^\| $name \|"
  [ "$name" = uniform ] || told 'head rule' "$name" experiments/smoke.yaml "head_budget: .*\b$name\b"
done
for name in $(sed -n 's/^ *STATISTIC([A-Z_]*, \([a-z0-9_]*\),.*/\1/p' policies/statistic.h); do
  told statistic "$name" policies/README.md "^\| $name \|"
  told statistic "$name" tests/test_observe.c "\bSTATISTIC_${name^^}\b"
done
for name in $(sed -n 's/^ *{\.key = "\([a-z_]*\)".*/\1/p' harness/experiment/axes.c | grep -vx 'params\|budget'); do
  told axis "$name" experiments/README.md "^\\| $name \\|"
  told axis "$name" experiments/smoke.yaml "\\b$name:"
  told axis "$name" harness/README.md "\\b$name\\b"
  told axis "$name" 'tests/test_*.c' "\\b$name: "
done
for name in $(sed -n 's/^ *\[COLUMN_[A-Z0-9_]*\] = {"\([a-z0-9_]*\)".*/\1/p' harness/rows/columns.c); do
  told column "$name" results/README.md "^\\| $name \\|"
done
for name in $(sed -n 's/^ *\[\(MESSAGE_[A-Z0-9_]*\)\] = {.*/\1/p' harness/report/message.c); do
  grep -qw "$name" $(printf '%s\n' harness/*/*.c | grep -v '/message\.c$') || breach "$name is never found out: nothing adds it to a list of messages"
done
for name in $(sed -n 's/^ *{*\.hf = "\([a-z0-9_]*\)".*/\1/p' models/architecture.c); do
  told architecture "$name" tests/vectors/make_transformer.py "^ *\\(\"$name\","
  told architecture "$name" models/README.md "\\b$name\\b"
done
for name in $(listed datasets/dataset.c DATASET); do
  told task "$name" experiments/smoke_tasks.yaml "^ *- $name:"
  told task "$name" datasets/README.md "^\| .*\b$name\b"
  told task "$name" 'tests/test_tasks.c tests/test_qa.c tests/test_jsonl.c tests/test_dataset.c' "\"${name}[\" ]"
done
for name in $(sed -n 's/^ *{"\([a-zA-Z0-9_]*\)", .*/\1/p' harness/metric/metric_list.c); do
  told metric "$name" 'tests/vectors/metrics.json tests/test_metric.c tests/test_journal.c' "\"$name\""
  told metric "$name" datasets/README.md "^\| $name \|"
done

for file in tests/test_*.c; do
  [ "$file" = tests/test_main.c ] || suites+=("$file")
done
compare suite "$(listed tests/suites.h SUITE)" "$(stems test_ "${suites[@]}")"

# ---- what compilers spell differently ---------------------------------------------------------
for file in "${sources[@]}"; do
  [ "$file" = harness/base/cpu.h ] || ! grep -qE '__builtin_cpu_supports|target_clones' "$file" ||
    breach "$file asks for levels of x86-64 by itself; harness/base/cpu.h does it for gcc and clang"
done

# ---- size, comments, paths ------------------------------------------------------------------
# As wide as .clang-format says; the bytes of a letter count once.
while IFS= read -r line; do breach "wider than 120 columns: $line"; done \
  < <(LC_ALL=C.UTF-8 grep -nHE '^.{121,}$' $(git ls-files '*.c' '*.h' 2>/dev/null) | cut -c1-100 || true)
tracked=$(git ls-files 2>/dev/null | grep -vE '\.(txt|json|jsonl|h5|gz|png|svg)$|^tests/fuzz/(corpus|regressions)/' || true)
if [ -n "$tracked" ]; then
  while IFS= read -r line; do breach "a path of one machine: $line"; done \
    < <(grep -nE '(^|[^[:alnum:]_./$}-])/(home|work|root|Users|mnt)/' $tracked 2>/dev/null | grep -v '^tests/lint.sh:' || true)
  while IFS= read -r line; do breach "unfinished: $line"; done \
    < <(grep -nE '\b(TODO|FIXME|XXX)\b' $tracked 2>/dev/null | grep -v '^tests/lint.sh:' || true)
fi

# ---- what users are told ----------------------------------------------------------------------
# Whatever the program reads from its environment stands in its help.
while IFS= read -r name; do
  grep -q "^    {\"$name\", \"" harness/main.c || breach "\$$name is read by$(grep -lE "getenv\(\"$name\"" "${sources[@]}" |
    sed 's/^/ /' | paste -sd,) and stands in no help; add it to variable[] of harness/main.c"
done < <(grep -hoE 'getenv\("[^"]*"' "${sources[@]}" | sed 's/.*"\(.*\)"/\1/' | sort -u)
if grep -nE 'getenv *\([^")]' "${sources[@]}"; then breach "a variable of the environment without a name (above)"; fi
release=$(sed -n 's/^VERSION *:= *//p' Makefile)
grep -qx "version: $release" CITATION.cff || breach "CITATION.cff does not name the release of the Makefile, $release"

# ---- documents ------------------------------------------------------------------------------
# Files that a document names with their folder, and what it links to, are there.
for page in $(git ls-files '*.md' 2>/dev/null); do
  while IFS= read -r path; do
    case $path in '' | http*:* | *NAME* | *'<'*) continue ;; esac
    [ -e "$path" ] || [ -e "$(dirname "$page")/$path" ] || breach "$page names $path, which is not there"
  done < <(grep -oE '`[A-Za-z0-9_./-]+/[A-Za-z0-9_.-]+\.(c|h|md|yaml|sh|py)`|\]\([^)#[:space:]]+' "$page" | sed 's/^](//; s/`//g')
done

# ---- scripts --------------------------------------------------------------------------------
if command -v shellcheck >/dev/null; then
  shellcheck -S warning -e SC2046,SC2086 tests/*.sh tests/cli/*.sh tests/cli/lib/* tests/fuzz/*.sh tests/faults/*.sh tests/size/*.sh tests/peers/*.sh models/*.sh \
    .ci/run || breach "shellcheck complains (above)"
fi

[ "$breaches" -eq 0 ] && echo "lint: clean"
