#!/bin/sh
# Prepare the domain of the model: prepare.sh LAND SOURCES TIMES DOMAIN STATE
#
# LAND is a map of half a degree, from 56 N 26 W, `#` for land. The domain has TIMES as many rows and columns, and for
# each cell how much dust the wind can raise there. The state at the beginning has no dust.
set -eu
land=$1 sources=$2 times=$3 domain=$4 state=$5

awk -v times="$times" '
    BEGIN { radian = atan2(0, -1) / 180 }
    FILENAME == ARGV[1] { if ($1 !~ /^#/) { lat[++n] = $1; lon[n] = $2; radius[n] = $3; strength[n] = $4 }; next }
    { rows[++height] = $1; width = length($1) }
    END {
        step = 0.5 / times
        print height * times, width * times, 56, -26, step
        for (i = 0; i < height * times; i++) {
            line = ""
            for (j = 0; j < width * times; j++) {
                raised = 0
                if (substr(rows[int(i / times) + 1], int(j / times) + 1, 1) == "#")
                    for (s = 1; s <= n; s++) {
                        y = (56 - (i + 0.5) * step - lat[s]) * 111.2
                        x = (-26 + (j + 0.5) * step - lon[s]) * 111.2 * cos(lat[s] * radian)
                        raised += strength[s] * exp(-(x * x + y * y) / (radius[s] * radius[s]))
                    }
                line = line (j ? " " : "") (raised > 0.01 ? sprintf("%.3f", raised) : 0)
            }
            print line
        }
    }' "$sources" "$land" > "$domain"

awk 'NR == 1 { print "hour", 0; next } { gsub(/[0-9.]+/, 0); print }' "$domain" > "$state"
