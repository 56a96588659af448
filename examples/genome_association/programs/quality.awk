#!/usr/bin/awk -f
# Quality control of one genotype file: awk -v people=N -f quality.awk IN > OUT
#
# Leaves out variants that are missing in more than 10 % of the people, are rarer than 2 %, or are so far from
# Hardy-Weinberg equilibrium (chi-square above 30) that the measurement must be wrong. A file that is cut off is an error.

NF != 6 || length($6) != people {
    print FILENAME ", line " NR ": this is no variant of " people " people; was the file cut off?" > "/dev/stderr"
    failed = 1
    exit 3
}
{
    column = $6
    none = gsub(/0/, "0", column)
    one = gsub(/1/, "1", column)
    two = gsub(/2/, "2", column)
    known = none + one + two
    if (known < 0.9 * people) next
    p = (one + 2 * two) / (2 * known)
    if (p < 0.02 || p > 0.98) next
    q = 1 - p
    difference = none - known * q * q
    chi = difference * difference / (known * q * q)
    difference = one - known * 2 * p * q
    chi += difference * difference / (known * 2 * p * q)
    difference = two - known * p * p
    chi += difference * difference / (known * p * p)
    if (chi <= 30) print
}
END { if (!failed && NR == 0) { print FILENAME ": there is no variant" > "/dev/stderr"; exit 3 } }
