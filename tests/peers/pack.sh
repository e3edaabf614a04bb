#!/usr/bin/env bash
# pack.sh FOLDER: what scaling.py needs on a machine without a network, beside this tree: FOLDER/depthkv.tar.xz (make bundle,
# without data) and FOLDER/site.tar.xz (kvpress and what it needs that an installation of torch and transformers lacks or has in
# other versions; nothing in it is made for one version of Python). 22 MB. There, in a copy of the tree:
#   python3 tests/peers/scaling.py FOLDER/depthkv.tar.xz --site FOLDER/site.tar.xz --work DIR --budget SECONDS
set -euo pipefail
top=$(cd "$(dirname "$0")/../.." && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
packed=$(make --no-print-directory -C "$top" bundle DATA= | tail -1)
cp "$top/$packed" "$out/depthkv.tar.xz"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
pinned() { grep "^$1==" "$top/tests/peers/requirements.txt"; }
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --implementation cp --python-version 3.12 \
  --platform any --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux_2_28_x86_64 \
  -d "$work" "$(pinned kvpress)" "$(pinned transformers)" "$(pinned tokenizers)" 'cachetools>=5.5.2,<6'
mkdir "$work/site"
for wheel in "$work"/*.whl; do python3 -m zipfile -e "$wheel" "$work/site"; done
tar -C "$work/site" -cJf "$out/site.tar.xz" .
du -cm "$out"/*
