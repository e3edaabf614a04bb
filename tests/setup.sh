#!/usr/bin/env bash
# Installs what is missing of the packages named on the command line (Debian's names), with apt-get, as root or
# through sudo. Elsewhere prints the line to run and exits 1. What counts is whether the thing works, not which package
# it came from, so a machine that has everything needs neither apt nor a network.
set -euo pipefail

# Debian | Fedora | Arch | Homebrew | how to tell that it is there
table='
gcc|gcc|gcc|gcc|command -v gcc
make|make|make|make|command -v make
pkg-config|pkgconf-pkg-config|pkgconf|pkgconf|command -v pkg-config
libopenblas-dev|openblas-devel|openblas|openblas|pkg-config --exists openblas
libhdf5-dev|hdf5-devel|hdf5|hdf5|pkg-config --exists hdf5
libyaml-dev|libyaml-devel|libyaml|libyaml|pkg-config --exists yaml-0.1
libcjson-dev|cjson-devel|cjson|cjson|pkg-config --exists libcjson
libpcre2-dev|pcre2-devel|pcre2|pcre2|pkg-config --exists libpcre2-8
libutf8proc-dev|utf8proc-devel|libutf8proc|utf8proc|pkg-config --exists libutf8proc
liblapacke-dev|lapack-devel|lapacke|lapack|header lapacke.h
uthash-dev|uthash-devel|uthash|uthash|header uthash.h
libssl-dev|openssl-devel|openssl|openssl@3|pkg-config --exists libcrypto
check|check-devel|check|check|pkg-config --exists check
gnuplot-nox|gnuplot|gnuplot|gnuplot|command -v gnuplot
python3-pip|python3-pip|python-pip|python|python3 -m pip --version
clang|clang|clang|llvm|command -v clang
libclang-rt-dev|compiler-rt|compiler-rt|llvm|clang_links -fsanitize=fuzzer
libomp-dev|libomp-devel|openmp|libomp|clang_links -fsanitize=fuzzer -fopenmp
'

header() {
  echo "#include <$1>" | ${CC:-gcc} -E -x c - -I/usr/include/lapacke $(pkg-config --cflags lapacke 2>/dev/null)
}

clang_links() { # FLAG...
  echo 'int LLVMFuzzerTestOneInput(const void *d, unsigned long n) { return !d && n; }' | clang -x c - "$@" -o /dev/null
}

column() { # NUMBER PACKAGE
  awk -F'|' -v p="$2" -v c="$1" '$1 == p { print $c }' <<<"$table"
}

missing=()
for package in "$@"; do
  probe=$(column 5 "$package")
  if [ -z "$probe" ]; then
    echo "setup: nobody said how to find '$package'" >&2
    exit 1
  fi
  $probe >/dev/null 2>&1 || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

names() { # NUMBER
  for package in "${missing[@]}"; do column "$1" "$package"; done | paste -sd' '
}

give_up() {
  if command -v apt-get >/dev/null; then
    line="sudo apt-get install -y --no-install-recommends ${missing[*]}"
  elif command -v dnf >/dev/null; then
    line="sudo dnf install -y $(names 2)"
  elif command -v pacman >/dev/null; then
    line="sudo pacman -S --needed $(names 3)"
  elif command -v brew >/dev/null; then
    line="brew install $(names 4)"
  else
    line="install the packages that hold: ${missing[*]}"
  fi
  printf 'setup: %s. Run this, then try again:\n  %s\n' "$1" "$line" >&2
  exit 1
}

command -v apt-get >/dev/null || give_up "something is missing"
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || give_up "installing needs root, and there is no sudo"
  as_root=(sudo)
  [ -t 0 ] || as_root=(sudo -n)
fi
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q)
echo "setup: installing ${missing[*]}"
"${apt[@]}" update || echo "setup: the package lists could not be refreshed; trying those that are there" >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" || give_up "apt-get failed"
