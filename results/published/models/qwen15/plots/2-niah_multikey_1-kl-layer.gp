set encoding utf8
set key outside right top Left reverse noenhanced samplen 2 spacing 1.2
set grid xtics ytics lt 1 lw 1 lc rgb '#dddddd'
set border 3 lc rgb '#555555'
set tics nomirror textcolor rgb '#333333'
set bars 0.6
set title noenhanced 'niah_multikey_1, qwen2.5-coder-1.5b-instruct, 1024 tokens'
set xlabel 'pruned layer'
set xrange [-0.5:*]
set ylabel noenhanced 'KL divergence from the full cache, nats per token'
set offsets graph 0, graph 0.03, 0, 0
set logscale y
set format y '%g'
set terminal svg size 900,500 font 'sans,13' background 'white'
set output '2-niah_multikey_1-kl-layer.svg'
plot '2-niah_multikey_1-kl-layer.dat' index 0 using ($1-0.2625):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 7 lc rgb '#0072b2' title 'h2o, uniform, keep 0.05', \
  '2-niah_multikey_1-kl-layer.dat' index 1 using ($1-0.1875):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 5 lc rgb '#d55e00' title 'h2o, uniform, keep 0.2', \
  '2-niah_multikey_1-kl-layer.dat' index 2 using ($1-0.1125):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 9 lc rgb '#009e73' title 'snapkv, uniform, keep 0.05', \
  '2-niah_multikey_1-kl-layer.dat' index 3 using ($1-0.0375):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 11 lc rgb '#cc79a7' title 'snapkv, uniform, keep 0.2', \
  '2-niah_multikey_1-kl-layer.dat' index 4 using ($1+0.0375):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 13 lc rgb '#e69f00' title 'keydiff, uniform, keep 0.05', \
  '2-niah_multikey_1-kl-layer.dat' index 5 using ($1+0.1125):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 4 lc rgb '#56b4e9' title 'keydiff, uniform, keep 0.2', \
  '2-niah_multikey_1-kl-layer.dat' index 6 using ($1+0.1875):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 6 lc rgb '#7f7f7f' title 'depthkv, shared, keep 0.05', \
  '2-niah_multikey_1-kl-layer.dat' index 7 using ($1+0.2625):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 8 lc rgb '#8c564b' title 'depthkv, shared, keep 0.2'
set terminal pngcairo size 1080,600 font 'sans,12'
set output '2-niah_multikey_1-kl-layer.png'
plot '2-niah_multikey_1-kl-layer.dat' index 0 using ($1-0.2625):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 7 lc rgb '#0072b2' title 'h2o, uniform, keep 0.05', \
  '2-niah_multikey_1-kl-layer.dat' index 1 using ($1-0.1875):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 5 lc rgb '#d55e00' title 'h2o, uniform, keep 0.2', \
  '2-niah_multikey_1-kl-layer.dat' index 2 using ($1-0.1125):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 9 lc rgb '#009e73' title 'snapkv, uniform, keep 0.05', \
  '2-niah_multikey_1-kl-layer.dat' index 3 using ($1-0.0375):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 11 lc rgb '#cc79a7' title 'snapkv, uniform, keep 0.2', \
  '2-niah_multikey_1-kl-layer.dat' index 4 using ($1+0.0375):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 13 lc rgb '#e69f00' title 'keydiff, uniform, keep 0.05', \
  '2-niah_multikey_1-kl-layer.dat' index 5 using ($1+0.1125):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 4 lc rgb '#56b4e9' title 'keydiff, uniform, keep 0.2', \
  '2-niah_multikey_1-kl-layer.dat' index 6 using ($1+0.1875):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 6 lc rgb '#7f7f7f' title 'depthkv, shared, keep 0.05', \
  '2-niah_multikey_1-kl-layer.dat' index 7 using ($1+0.2625):2:($3 <= 0 ? $2 / 10 : $3):4 with yerrorlines lw 1.8 ps 1 pt 8 lc rgb '#8c564b' title 'depthkv, shared, keep 0.2'
