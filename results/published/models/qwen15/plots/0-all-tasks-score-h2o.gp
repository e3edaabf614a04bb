set encoding utf8
set key outside right top Left reverse noenhanced samplen 2 spacing 1.2
set grid xtics ytics lt 1 lw 1 lc rgb '#dddddd'
set border 3 lc rgb '#555555'
set tics nomirror textcolor rgb '#333333'
set bars 0.6
set title 'mean over 4 tasks' noenhanced
set xlabel 'mean cache after pruning, MiB (float32)'
set xrange [0:*]
set ylabel 'mean score'
set yrange [-0.03:1.03]
set ytics 0.2
set offsets graph 0, graph 0.03, 0, 0
set terminal svg size 900,500 font 'sans,13' background 'white'
set output '0-all-tasks-score-h2o.svg'
plot '0-all-tasks-score-h2o.dat' index 0 using ($1-0.8129):2:3:4 with yerrorlines lw 1.8 ps 1 pt 7 lc rgb '#0072b2' title 'full, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 1 using ($1-0.6503):2:3:4 with yerrorlines lw 1.8 ps 1 pt 5 lc rgb '#d55e00' title 'h2o, cake, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 2 using ($1-0.4878):2:3:4 with yerrorlines lw 1.8 ps 1 pt 9 lc rgb '#009e73' title 'h2o, free_first, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 3 using ($1-0.3252):2:3:4 with yerrorlines lw 1.8 ps 1 pt 11 lc rgb '#cc79a7' title 'h2o, knapsack policy=h2o, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 4 using ($1-0.1626):2:3:4 with yerrorlines lw 1.8 ps 1 pt 13 lc rgb '#e69f00' title 'h2o, mga policy=h2o, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 5 using ($1+0):2:3:4 with yerrorlines lw 1.8 ps 1 pt 4 lc rgb '#56b4e9' title 'h2o, mlma policy=h2o, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 6 using ($1+0.1626):2:3:4 with yerrorlines lw 1.8 ps 1 pt 6 lc rgb '#7f7f7f' title 'h2o, mlp, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 7 using ($1+0.3252):2:3:4 with yerrorlines lw 1.8 ps 1 pt 8 lc rgb '#8c564b' title 'h2o, pyramidkv, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 8 using ($1+0.4878):2:3:4 with yerrorlines lw 1.8 ps 1 pt 10 lc rgb '#0072b2' title 'h2o, sensitivity policy=h2o, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 9 using ($1+0.6503):2:3:4 with yerrorlines lw 1.8 ps 1 pt 7 lc rgb '#d55e00' title 'h2o, weight_dtype: bf16'
set terminal pngcairo size 1080,600 font 'sans,12'
set output '0-all-tasks-score-h2o.png'
plot '0-all-tasks-score-h2o.dat' index 0 using ($1-0.8129):2:3:4 with yerrorlines lw 1.8 ps 1 pt 7 lc rgb '#0072b2' title 'full, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 1 using ($1-0.6503):2:3:4 with yerrorlines lw 1.8 ps 1 pt 5 lc rgb '#d55e00' title 'h2o, cake, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 2 using ($1-0.4878):2:3:4 with yerrorlines lw 1.8 ps 1 pt 9 lc rgb '#009e73' title 'h2o, free_first, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 3 using ($1-0.3252):2:3:4 with yerrorlines lw 1.8 ps 1 pt 11 lc rgb '#cc79a7' title 'h2o, knapsack policy=h2o, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 4 using ($1-0.1626):2:3:4 with yerrorlines lw 1.8 ps 1 pt 13 lc rgb '#e69f00' title 'h2o, mga policy=h2o, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 5 using ($1+0):2:3:4 with yerrorlines lw 1.8 ps 1 pt 4 lc rgb '#56b4e9' title 'h2o, mlma policy=h2o, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 6 using ($1+0.1626):2:3:4 with yerrorlines lw 1.8 ps 1 pt 6 lc rgb '#7f7f7f' title 'h2o, mlp, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 7 using ($1+0.3252):2:3:4 with yerrorlines lw 1.8 ps 1 pt 8 lc rgb '#8c564b' title 'h2o, pyramidkv, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 8 using ($1+0.4878):2:3:4 with yerrorlines lw 1.8 ps 1 pt 10 lc rgb '#0072b2' title 'h2o, sensitivity policy=h2o, weight_dtype: bf16', \
  '0-all-tasks-score-h2o.dat' index 9 using ($1+0.6503):2:3:4 with yerrorlines lw 1.8 ps 1 pt 7 lc rgb '#d55e00' title 'h2o, weight_dtype: bf16'
