/* Fill in missing genotypes: impute IN OUT
 *
 * A missing genotype is voted for by the people who are most alike (k nearest neighbours) at the variants that tell most
 * about it (linkage disequilibrium). This is the method of LinkImpute (Money et al., G3, 2015) without its tuning.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LINKED = 6, NEIGHBOURS = 12, LONGEST = 1 << 16 };

static char **start, **genotypes; /* of each variant: what comes before the genotypes, and these */
static int variants, people;

/* How much one variant tells about another: the square of their correlation. */
static double linkage(const char *left, const char *right) {
    double n = 0, x = 0, y = 0, xx = 0, yy = 0, xy = 0;
    for (int person = 0; person < people; person++) {
        if (left[person] == '.' || right[person] == '.') continue;
        double a = left[person] - '0', b = right[person] - '0';
        n++, x += a, y += b, xx += a * a, yy += b * b, xy += a * b;
    }
    double spread = (n * xx - x * x) * (n * yy - y * y);
    return spread > 0 ? (n * xy - x * y) * (n * xy - x * y) / spread : 0;
}

/* The genotype of a person at a variant, voted for by the nearest neighbours. */
static char vote(int variant, int person, const int *linked, int links) {
    double nearest[NEIGHBOURS];
    char said[NEIGHBOURS];
    int count = 0;
    for (int other = 0; other < people; other++) {
        if (genotypes[variant][other] == '.') continue;
        double distance = 0;
        for (int link = 0; link < links; link++) {
            char mine = genotypes[linked[link]][person], theirs = genotypes[linked[link]][other];
            distance += mine == '.' || theirs == '.' ? 1 : abs(mine - theirs);
        }
        int place = count < NEIGHBOURS ? count++ : NEIGHBOURS;
        for (; place > 0 && nearest[place - 1] > distance; place--)
            if (place < NEIGHBOURS) nearest[place] = nearest[place - 1], said[place] = said[place - 1];
        if (place < NEIGHBOURS) nearest[place] = distance, said[place] = genotypes[variant][other];
    }
    double votes[3] = {0, 0, 0};
    for (int one = 0; one < count; one++) votes[said[one] - '0'] += 1 / (1 + nearest[one]);
    int best = 0;
    for (int genotype = 1; genotype < 3; genotype++)
        if (votes[genotype] > votes[best]) best = genotype;
    return (char)('0' + best);
}

static int read_table(FILE *in) {
    static char line[LONGEST];
    int room = 0;
    while (fgets(line, sizeof line, in)) {
        line[strcspn(line, "\n")] = 0;
        char *last = strrchr(line, ' ');
        if (!last) return 0;
        if (variants == room) {
            room = room ? 2 * room : 64;
            start = realloc(start, room * sizeof *start);
            genotypes = realloc(genotypes, room * sizeof *genotypes);
            if (!start || !genotypes) return 0;
        }
        genotypes[variants] = strdup(last + 1);
        *last = 0;
        start[variants] = strdup(line);
        int length = (int)strlen(genotypes[variants]);
        if (variants && length != people) return 0;
        people = length;
        variants++;
    }
    return 1;
}

int main(int argc, char **argv) {
    FILE *in = argc == 3 ? fopen(argv[1], "r") : NULL;
    if (!in || !read_table(in)) {
        fprintf(stderr, "impute: %s cannot be read as a table of genotypes\n", argc == 3 ? argv[1] : "(no file)");
        return 2;
    }
    FILE *out = fopen(argv[2], "w");
    if (!out) {
        perror(argv[2]);
        return 2;
    }
    char *filled = malloc(people + 1);
    double *link = malloc((variants + 1) * sizeof *link);
    for (int variant = 0; variant < variants; variant++) {
        int linked[LINKED], links = 0;
        for (int other = 0; other < variants; other++) {
            link[other] = other == variant ? 0 : linkage(genotypes[variant], genotypes[other]);
            int place = links < LINKED ? links++ : LINKED;
            for (; place > 0 && link[linked[place - 1]] < link[other]; place--)
                if (place < LINKED) linked[place] = linked[place - 1];
            if (place < LINKED) linked[place] = other;
        }
        for (int person = 0; person < people; person++) {
            char known = genotypes[variant][person];
            filled[person] = known == '.' ? vote(variant, person, linked, links) : known;
        }
        filled[people] = 0;
        fprintf(out, "%s %s\n", start[variant], filled);
    }
    return fclose(out) ? 2 : 0;
}
