set encoding utf8
unset key
set cbrange [0:1]
set cbtics 0.2
set border lc rgb '#555555'
set tics nomirror out
set palette defined (0 '#00224e', 0.25 '#434e6c', 0.5 '#7d7c78', 0.75 '#bcaf6f', 1 '#fee838')
set xlabel 'length, tokens'
set ylabel 'depth of the needle, percent'
set cblabel 'score'
set xrange [-0.5:4.5]
set yrange [4.5:-0.5]
set xtics ('512' 0, '1024' 1, '1536' 2, '2048' 3, '3072' 4)
set ytics ('0' 0, '25' 1, '50' 2, '75' 3, '100' 4)
set terminal svg size 940,700 font 'sans,12' background 'white'
set output 'heat-niah_single_2-reference.svg'
set multiplot layout 2,2 title 'niah_single_2, reference' noenhanced
set title noenhanced 'full'
plot 'heat-niah_single_2-reference.dat' index 0 using 1:2:3 with image, \
  '' index 0 using 1:2:(sprintf('%.2f', $3)):($3 < 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'streaming, 0.25'
plot 'heat-niah_single_2-reference.dat' index 1 using 1:2:3 with image, \
  '' index 1 using 1:2:(sprintf('%.2f', $3)):($3 < 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'snapkv, 0.25'
plot 'heat-niah_single_2-reference.dat' index 2 using 1:2:3 with image, \
  '' index 2 using 1:2:(sprintf('%.2f', $3)):($3 < 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'h2o, 0.25'
plot 'heat-niah_single_2-reference.dat' index 3 using 1:2:3 with image, \
  '' index 3 using 1:2:(sprintf('%.2f', $3)):($3 < 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable
unset multiplot
unset output
set terminal pngcairo size 940,700 font 'sans,11'
set output 'heat-niah_single_2-reference.png'
set multiplot layout 2,2 title 'niah_single_2, reference' noenhanced
set title noenhanced 'full'
plot 'heat-niah_single_2-reference.dat' index 0 using 1:2:3 with image, \
  '' index 0 using 1:2:(sprintf('%.2f', $3)):($3 < 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'streaming, 0.25'
plot 'heat-niah_single_2-reference.dat' index 1 using 1:2:3 with image, \
  '' index 1 using 1:2:(sprintf('%.2f', $3)):($3 < 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'snapkv, 0.25'
plot 'heat-niah_single_2-reference.dat' index 2 using 1:2:3 with image, \
  '' index 2 using 1:2:(sprintf('%.2f', $3)):($3 < 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'h2o, 0.25'
plot 'heat-niah_single_2-reference.dat' index 3 using 1:2:3 with image, \
  '' index 3 using 1:2:(sprintf('%.2f', $3)):($3 < 0.6 ? 0xffffff : 0x000000) with labels textcolor rgb variable
unset multiplot
unset output
