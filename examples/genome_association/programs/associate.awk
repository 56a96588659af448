#!/usr/bin/awk -f
# Association of each variant with a trait: awk -f associate.awk TRAIT GENOTYPES > OUT
#
# Fits trait = a + b * genotype by least squares. Output: name chromosome position alleles b, and b's standard error.

NR == FNR { trait[FNR] = $2; sum += $2; squares += $2 * $2; people = FNR; next }
{
    gx = gxx = gxy = 0
    for (person = 1; person <= people; person++) {
        dose = substr($6, person, 1)
        if (dose > 0) { gx += dose; gxx += dose * dose; gxy += dose * trait[person] }
    }
    sxx = gxx - gx * gx / people
    if (sxx <= 0) next
    sxy = gxy - gx * sum / people
    syy = squares - sum * sum / people
    slope = sxy / sxx
    printf "%s %s %s %s %s %.6f %.6f\n", $1, $2, $3, $4, $5, slope, sqrt((syy - slope * sxy) / (people - 2) / sxx)
}
