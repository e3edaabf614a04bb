set encoding utf8
set key outside right top noenhanced
set grid lc rgb '#dddddd'
set border 3
set tics nomirror
set title noenhanced 'niah_single_2, smollm2-135m-instruct, 1024 tokens'
set xlabel 'cache after pruning, MiB (float32)'
set ylabel noenhanced 'kl'
set logscale y
set format y '10^{%L}'
set xrange [0:*]
set terminal svg size 900,520 font 'sans,13' background 'white'
set output '1-niah_single_2-kl.svg'
plot '1-niah_single_2-kl.dat' index 0 using 1:2:3:4 with yerrorlines lw 2 pt 4 ps 0.8 title 'streaming', \
  '1-niah_single_2-kl.dat' index 1 using 1:2:3:4 with yerrorlines lw 2 pt 5 ps 0.8 title 'knorm', \
  '1-niah_single_2-kl.dat' index 2 using 1:2:3:4 with yerrorlines lw 2 pt 6 ps 0.8 title 'snapkv', \
  '1-niah_single_2-kl.dat' index 3 using 1:2:3:4 with yerrorlines lw 2 pt 7 ps 0.8 title 'h2o', \
  '1-niah_single_2-kl.dat' index 4 using 1:2:3:4 with yerrorlines lw 2 pt 8 ps 0.8 title 'random', \
  '1-niah_single_2-kl.dat' index 5 using 1:2:3:4 with yerrorlines lw 2 pt 9 ps 0.8 title 'random seed 2', \
  '1-niah_single_2-kl.dat' index 6 using 1:2:3:4 with yerrorlines lw 2 pt 10 ps 0.8 title 'random seed 3', \
  '1-niah_single_2-kl.dat' index 7 using 1:2:3:4 with yerrorlines lw 2 pt 11 ps 0.8 title 'random seed 4', \
  '1-niah_single_2-kl.dat' index 8 using 1:2:3:4 with yerrorlines lw 2 pt 12 ps 0.8 title 'random seed 5'
set terminal pngcairo size 900,520 font 'sans,11'
set output '1-niah_single_2-kl.png'
plot '1-niah_single_2-kl.dat' index 0 using 1:2:3:4 with yerrorlines lw 2 pt 4 ps 0.8 title 'streaming', \
  '1-niah_single_2-kl.dat' index 1 using 1:2:3:4 with yerrorlines lw 2 pt 5 ps 0.8 title 'knorm', \
  '1-niah_single_2-kl.dat' index 2 using 1:2:3:4 with yerrorlines lw 2 pt 6 ps 0.8 title 'snapkv', \
  '1-niah_single_2-kl.dat' index 3 using 1:2:3:4 with yerrorlines lw 2 pt 7 ps 0.8 title 'h2o', \
  '1-niah_single_2-kl.dat' index 4 using 1:2:3:4 with yerrorlines lw 2 pt 8 ps 0.8 title 'random', \
  '1-niah_single_2-kl.dat' index 5 using 1:2:3:4 with yerrorlines lw 2 pt 9 ps 0.8 title 'random seed 2', \
  '1-niah_single_2-kl.dat' index 6 using 1:2:3:4 with yerrorlines lw 2 pt 10 ps 0.8 title 'random seed 3', \
  '1-niah_single_2-kl.dat' index 7 using 1:2:3:4 with yerrorlines lw 2 pt 11 ps 0.8 title 'random seed 4', \
  '1-niah_single_2-kl.dat' index 8 using 1:2:3:4 with yerrorlines lw 2 pt 12 ps 0.8 title 'random seed 5'
