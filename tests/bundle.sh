#!/usr/bin/env bash
# bundle.sh BINARY FOLDER: makes of FOLDER, where `make install` has put the program and its data, one that runs where
# nothing is installed: adds the libraries that BINARY loads, the loader, the licences of all of them, and a script that
# starts the program with these alone. Then packs it as FOLDER.tar.xz (FOLDER.tar.gz where there is no xz). XZ_OPT=-0
# packs quickly.
set -euo pipefail
binary=$1 folder=$2

fail() {
  echo "bundle: $*" >&2
  exit 1
}

command -v ldd >/dev/null || fail "there is no ldd, which tells what libraries a program loads (glibc has it)"
listed=$(ldd "$binary") || fail "$binary loads no libraries: $listed"
missing=$(sed -n 's/^[[:space:]]*\(.*\) => not found$/\1/p' <<<"$listed")
[ -z "$missing" ] || fail "libraries that $binary needs are not here: $(paste -sd' ' <<<"$missing")"
# a line is `name => path (address)`; of the loader it is the path alone
loader=$(sed -n 's/^[[:space:]]*\(\/[^ ]*\) (.*/\1/p' <<<"$listed" | head -1)
[ -n "$loader" ] || fail "which loader starts $binary? $listed"

mkdir -p "$folder/lib" "$folder/licences"
while read -r name path; do
  install -m 644 "$path" "$folder/lib/$name" # under the name that is asked for, whatever the file is called here
done < <(sed -n 's/^[[:space:]]*\([^ ]*\) => \(\/[^ ]*\) (.*/\1 \2/p' <<<"$listed")
install -m 755 "$loader" "$folder/lib/$(basename "$loader")"
strip --strip-debug "$folder/bin/depthkv" 2>/dev/null || true # smaller, and no number changes

# Whoever hands libraries on hands on their terms. Packages of Debian have them in a file; elsewhere their names must do.
while read -r path; do
  package=$(dpkg -S "$path" "$(readlink -f "$path")" "/usr${path#/usr}" 2>/dev/null | head -1 | cut -d: -f1) || true
  terms=/usr/share/doc/$package/copyright
  if [ -n "$package" ] && [ -f "$terms" ]; then
    install -m 644 "$terms" "$folder/licences/$package"
  else
    echo "$(basename "$path"): from $(readlink -f "$path"), whose terms were not found on the machine that packed it" \
      >>"$folder/licences/others"
  fi
done < <(grep -oE '/[^ ]+' <<<"$listed" | grep -v '^/[0-9a-fx]*)$' | sort -u)

cat >"$folder/depthkv" <<END
#!/bin/sh
# Starts the program with the loader and the libraries beside it, and none of this machine's.
me=\$0
[ ! -L "\$me" ] || me=\$(readlink -f "\$me")
here=\${me%/*}
unset LD_PRELOAD # made for this machine's libc, which is not the one that is loaded
exec "\$here/lib/$(basename "$loader")" --inhibit-cache --library-path "\$here/lib" "\$here/bin/depthkv" "\$@"
END
chmod 755 "$folder/depthkv"

rm -f "$folder.tar.xz" "$folder.tar.gz"
if command -v xz >/dev/null; then
  archive=$folder.tar.xz how=-J
else
  archive=$folder.tar.gz how=-z
fi
tar -C "$(dirname "$folder")" --owner=0 --group=0 --sort=name "$how" -cf "$archive" "$(basename "$folder")"
echo "$archive"
