#!/usr/bin/awk -f
# A Manhattan plot: awk -v threshold=7.3 -f manhattan.awk CHROMOSOMES MERGED1 MERGED2 ... > plot.svg
#
# Each variant is a point: where it is on the genome, and how unlikely it is that its association is chance.

function vertical(value) { return 300 - 280 * value / highest }

NR == FNR { offset[$1] = whole; whole += $2; last = $1; next }
{ x[++count] = (offset[$2] + $3) / whole; of[count] = $2; y[count] = $9; if ($9 > highest) highest = $9 }
END {
    if (highest < threshold * 1.2) highest = threshold * 1.2
    print "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 340\" font-family=\"sans-serif\" font-size=\"11\">"
    print "<rect width=\"1000\" height=\"340\" fill=\"white\"/>"
    for (chromosome = 1; chromosome <= last; chromosome++) {
        end = chromosome < last ? offset[chromosome + 1] : whole
        printf "<text x=\"%.1f\" y=\"318\" text-anchor=\"middle\">%s</text>\n", \
            40 + 940 * (offset[chromosome] + end) / 2 / whole, chromosome
    }
    for (tick = 0; tick <= highest; tick += 5)
        printf "<text x=\"34\" y=\"%.1f\" text-anchor=\"end\">%d</text>\n", vertical(tick) + 4, tick
    print "<text x=\"510\" y=\"335\" text-anchor=\"middle\">chromosome</text>"
    print "<text x=\"10\" y=\"160\" transform=\"rotate(-90 10 160)\" text-anchor=\"middle\">-log10 p</text>"
    printf "<line x1=\"40\" x2=\"980\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"firebrick\" stroke-dasharray=\"4\"/>\n", \
        vertical(threshold), vertical(threshold)
    for (one = 1; one <= count; one++)
        printf "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"2\" fill=\"%s\"/>\n", 40 + 940 * x[one], vertical(y[one]), \
            (y[one] > threshold ? "firebrick" : of[one] % 2 ? "steelblue" : "darkgray")
    print "</svg>"
}
