set encoding utf8
unset key
set border 0
set style fill solid border rgb '#ffffff'
set tics scale 0 textcolor rgb '#333333'
set cbrange [0:1]
set cbtics 0.2
set palette defined (0 '#00224e', 0.25 '#434e6c', 0.5 '#7d7c78', 0.75 '#bcaf6f', 1 '#fee838')
set xrange [-0.5:4.5]
set yrange [4.5:-0.5]
set xtics ('512' 0, '1024' 1, '1536' 2, '2048' 3, '3072' 4)
set ytics ('0 %%' 0, '25 %%' 1, '50 %%' 2, '75 %%' 3, '100 %%' 4)
set terminal svg size 1260,370 font 'sans,13' background 'white'
set output 'heat-niah_single_2-reference.svg'
set multiplot layout 1,3 margins 0.0635,0.9286,0.1486,0.7973 spacing 0.0476,0.2568 title noenhanced 'niah_single_2, reference; score, n = 8 a place; full cache: 1.00 everywhere'
set title noenhanced 'streaming, keep 0.25'
set ylabel 'depth of the needle'
set xlabel 'length, tokens'
set colorbox user origin 0.9444,0.1486 size 0.0119,0.6486
plot 'heat-niah_single_2-reference.dat' index 0 using 1:2:(0.5):(0.5):3 with boxxyerror fillcolor palette, \
  '' index 0 using 1:2:(sprintf('%.2f', $3)):($3 < 0.5 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'snapkv, keep 0.25'
set ylabel ''
set xlabel 'length, tokens'
unset colorbox
plot 'heat-niah_single_2-reference.dat' index 1 using 1:2:(0.5):(0.5):3 with boxxyerror fillcolor palette, \
  '' index 1 using 1:2:(sprintf('%.2f', $3)):($3 < 0.5 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'h2o, keep 0.25'
set ylabel ''
set xlabel 'length, tokens'
unset colorbox
plot 'heat-niah_single_2-reference.dat' index 2 using 1:2:(0.5):(0.5):3 with boxxyerror fillcolor palette, \
  '' index 2 using 1:2:(sprintf('%.2f', $3)):($3 < 0.5 ? 0xffffff : 0x000000) with labels textcolor rgb variable
unset multiplot
unset output
set terminal pngcairo size 1512,444 font 'sans,12'
set output 'heat-niah_single_2-reference.png'
set multiplot layout 1,3 margins 0.0635,0.9286,0.1486,0.7973 spacing 0.0476,0.2568 title noenhanced 'niah_single_2, reference; score, n = 8 a place; full cache: 1.00 everywhere'
set title noenhanced 'streaming, keep 0.25'
set ylabel 'depth of the needle'
set xlabel 'length, tokens'
set colorbox user origin 0.9444,0.1486 size 0.0119,0.6486
plot 'heat-niah_single_2-reference.dat' index 0 using 1:2:(0.5):(0.5):3 with boxxyerror fillcolor palette, \
  '' index 0 using 1:2:(sprintf('%.2f', $3)):($3 < 0.5 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'snapkv, keep 0.25'
set ylabel ''
set xlabel 'length, tokens'
unset colorbox
plot 'heat-niah_single_2-reference.dat' index 1 using 1:2:(0.5):(0.5):3 with boxxyerror fillcolor palette, \
  '' index 1 using 1:2:(sprintf('%.2f', $3)):($3 < 0.5 ? 0xffffff : 0x000000) with labels textcolor rgb variable
set title noenhanced 'h2o, keep 0.25'
set ylabel ''
set xlabel 'length, tokens'
unset colorbox
plot 'heat-niah_single_2-reference.dat' index 2 using 1:2:(0.5):(0.5):3 with boxxyerror fillcolor palette, \
  '' index 2 using 1:2:(sprintf('%.2f', $3)):($3 < 0.5 ? 0xffffff : 0x000000) with labels textcolor rgb variable
unset multiplot
unset output
