#!/usr/bin/awk -f
# Meta-analysis of the cohorts: awk -f combine.awk COHORT1 COHORT2 ... > OUT
#
# Each cohort counts as much as it is certain (inverse variance). Output, in the order of positions: name chromosome
# position alleles effect error cohorts, and minus the logarithm to base 10 of the probability that this is chance.

function minus_log10_of_chance(z,    x, t) {
    # The complementary error function by Chebyshev fitting, in logarithms: chances of 1e-400 are no 0.
    x = (z < 0 ? -z : z) / sqrt(2)
    t = 1 / (1 + x / 2)
    return (x * x + 1.26551223 - t * (1.00002368 + t * (0.37409196 + t * (0.09678418 + t * (-0.18628806 + \
        t * (0.27886807 + t * (-1.13520398 + t * (1.48851587 + t * (-0.82215223 + t * 0.17087277)))))))) - log(t)) / log(10)
}
$7 > 0 {
    if (!($1 in weight)) { start[$1] = $1 " " $2 " " $3 " " $4 " " $5; position[$1] = $3; names[++count] = $1 }
    weight[$1] += 1 / ($7 * $7)
    effect[$1] += $6 / ($7 * $7)
    cohorts[$1]++
}
END {
    for (one = 2; one <= count; one++) {
        name = names[one]
        for (place = one - 1; place > 0 && position[names[place]] > position[name]; place--) names[place + 1] = names[place]
        names[place + 1] = name
    }
    for (one = 1; one <= count; one++) {
        name = names[one]
        error = 1 / sqrt(weight[name])
        slope = effect[name] / weight[name]
        printf "%s %.5f %.5f %d %.3f\n", start[name], slope, error, cohorts[name], minus_log10_of_chance(slope / error)
    }
}
