# gnuplot curve.gp, in this folder: curve.csv as curve.svg
set datafile separator comma
set datafile missing NaN
set encoding utf8
set key outside right top
set grid lc rgb '#dddddd'
set border 3
set tics nomirror
set title 'Training of the reference model'
set xlabel 'seconds of training'
set ylabel 'cross-entropy, nats a token'
set logscale y
set format y '%g'
set terminal svg size 900,520 font 'sans,13' background 'white'
set output 'curve.svg'
from(x, y, name) = sprintf('set arrow from first %g, graph 0 to first %g, graph 1 nohead dt 3 lc rgb "#888888"; set label "%s" at first %g, graph %g left offset 0.5,0 font ",10" tc rgb "#555555"', x, x, name, x, y)
eval from(0, 0.97, 'lengths 256')
eval from(252, 0.97, '512')
eval from(504, 0.91, '512, 1024')
eval from(544, 0.97, '512 to 4096')
plot 'curve.csv' using 2:(strcol(3) eq 'loss_all' ? $6 : NaN) every ::1 with lines lw 1.5 lc rgb '#999999' title 'all bytes', \
  'curve.csv' using 2:(strcol(3) eq 'loss_answers' ? $6 : NaN) every ::1 with lines lw 1.5 lc rgb '#1f77b4' title 'answers'
