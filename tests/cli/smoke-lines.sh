#!/usr/bin/env bash
# What was published stays to the letter when columns and cells come and go; fields may hold commas.
cat >published.csv <<'X'
cell,policy,params,keep,score
a,h2o,"{""recent"":""half"",""x"":1}",0.4,0.70
b,knorm,,0.4,0.50
gone,tova,,0.4,0.50
X
cat >new.csv <<'X'
cell,policy,params,rank,keep,kept
c,random,"{""y"":1,""z"":2}",worst,0.4,9
a,h2o,"{""recent"":""half"",""x"":1}",best,0.40001,7
b,knorm,,best,0.4,8
X
"$ROOT/tests/smoke_lines.sh" published.csv new.csv || exit 1
cat >want <<'X'
cell,policy,params,rank,keep,kept
c,random,"{""y"":1,""z"":2}",worst,0.4,9
a,h2o,"{""recent"":""half"",""x"":1}",best,0.4,7
b,knorm,,best,0.4,8
X
diff want published.csv
