#!/usr/bin/env bash
# smoke_lines.sh PUBLISHED.csv NEW.csv: gives the published file the columns and the cells of the new one, in its order.
# Fields that were published stay as they are to the letter, for their figures are another machine's; a cell is known by
# its id, the first field, a column by its name.
set -euo pipefail
published=$1 new=$2
awk '
  function split_fields(line, to,   n, i, c, quoted) { # commas inside quotes part nothing
    split("", to)
    n = 1
    for (i = 1; i <= length(line); i++) {
      c = substr(line, i, 1)
      if (c == "\"") quoted = !quoted
      if (c == "," && !quoted) n++
      else to[n] = to[n] c
    }
    return n
  }
  NR == FNR && FNR == 1 { n = split_fields($0, name); for (i = 1; i <= n; i++) old[name[i]] = i; next }
  NR == FNR { split_fields($0, field); line[field[1]] = $0; next }
  FNR == 1 { n = split_fields($0, name); print; next }
  {
    split_fields($0, field)
    if (field[1] in line) {
      split_fields(line[field[1]], was)
      for (i = 1; i <= n; i++) if (name[i] in old) field[i] = was[old[name[i]]]
    }
    for (i = 1; i <= n; i++) printf "%s%s", field[i], i < n ? "," : "\n"
  }' "$published" "$new" >"$published.new"
mv "$published.new" "$published"
git diff --stat -- "$published" 2>/dev/null || true
