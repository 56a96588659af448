#!/bin/sh
# How far a state is from what stations have measured: compare.sh DOMAIN STATE OBSERVATIONS
#
# Writes the root of the mean squared difference, in g/m2, at the hour of the state. Fails if nothing was measured then.
set -eu
awk '
    FILENAME == ARGV[1] { if (FNR == 1) { top = $3; left = $4; step = $5 }; next }
    FILENAME == ARGV[2] { if (FNR == 1) hour = $2; else row[FNR - 2] = $0; next }
    $1 == hour {
        split(row[int((top - $3) / step)], cells)
        difference = cells[int(($4 - left) / step) + 1] - $5
        squares += difference * difference
        count++
    }
    END {
        if (!count) { print "compare.sh: nothing was measured at hour " hour > "/dev/stderr"; exit 1 }
        printf "%.4f\n", sqrt(squares / count)
    }' "$1" "$2" "$3"
