/* Molecular dynamics of a protein, one bead for each residue: mpirun -n N md MODEL TRAJECTORY STEPS TIME_STEP TEMPERATURE
 *
 * A structure-based (Go) model: bonds and native contacts have their minimum in the native structure, all other pairs
 * repel each other. Langevin dynamics in reduced units: energies in contacts, lengths in angstroms, masses of 1.
 *
 * Each rank computes the forces on its own beads and moves them; then all tell each other the new places. The sums are
 * always done in the same order and the random numbers depend on nothing but the step and the bead, so a trajectory is
 * the same on any number of ranks, to the last bit.
 *
 * Exit value 4: the model has blown up; the time step is too long for it, or beads sit on each other.
 */
#include <math.h>
#include <mpi.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 512, REPORT_EVERY = 20, BLEW_UP = 4 };

static const double FRICTION = 0.5, REPULSION = 4.0;

static int beads;
static double place[MOST][3], speed[MOST][3], force[MOST][3];
static double native_length[MOST][MOST]; /* of bonds and contacts; 0: there is none */
static double strength[MOST][MOST];      /* of a bond if it is negative, else of a contact */

static int read_model(const char *path) {
    FILE *in = fopen(path, "r");
    char kind[16];
    while (in && fscanf(in, "%15s", kind) == 1) {
        int one, two;
        double length, how;
        if (kind[0] == 'b' && kind[1] == 'e') { /* bead x y z */
            double *at = place[beads < MOST ? beads++ : 0];
            if (fscanf(in, "%lf %lf %lf", &at[0], &at[1], &at[2]) != 3) return 0;
        } else { /* bond or contact: two beads, native length, strength */
            if (fscanf(in, "%d %d %lf %lf", &one, &two, &length, &how) != 4) return 0;
            if (one < 0 || two < 0 || one >= beads || two >= beads) return 0;
            native_length[one][two] = native_length[two][one] = length;
            strength[one][two] = strength[two][one] = kind[0] == 'b' ? -how : how;
        }
    }
    return in && !fclose(in) && beads > 0;
}

/* Force on one bead; gives its half of the energy of all its pairs. */
static double pull(int bead) {
    double energy = 0;
    force[bead][0] = force[bead][1] = force[bead][2] = 0;
    for (int other = 0; other < beads; other++) {
        if (other == bead) continue;
        double d[3], square = 0, slope;
        for (int axis = 0; axis < 3; axis++) d[axis] = place[bead][axis] - place[other][axis], square += d[axis] * d[axis];
        double native = native_length[bead][other], how = strength[bead][other];
        if (how < 0) { /* a bond: harmonic */
            double length = sqrt(square), stretch = length - native;
            energy += -how * stretch * stretch / 2;
            slope = -how * stretch / length;
        } else { /* a contact: 12-10; no contact: 12 */
            double ratio = (native > 0 ? native * native : REPULSION * REPULSION) / square;
            double ten = ratio * ratio * ratio * ratio * ratio, twelve = ten * ratio;
            if (native > 0) energy += how * (5 * twelve - 6 * ten), slope = -60 * how * (twelve - ten) / square;
            else energy += twelve, slope = -12 * twelve / square;
        }
        for (int axis = 0; axis < 3; axis++) force[bead][axis] -= slope * d[axis];
    }
    return energy / 2;
}

/* A random number of a normal distribution that depends on the numbers given only (splitmix64, Box-Muller). */
static double normal(uint64_t step, uint64_t bead, uint64_t axis) {
    double uniform[2];
    for (uint64_t which = 0; which < 2; which++) {
        uint64_t x = ((step * MOST + bead) * 4 + axis) * 2 + which;
        for (int round = 0; round < 2; round++) {
            x += 0x9e3779b97f4a7c15;
            x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
            x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
            x ^= x >> 31;
        }
        uniform[which] = ((double)(x >> 11) + 0.5) / 9007199254740992.0;
    }
    return sqrt(-2 * log(uniform[0])) * cos(2 * M_PI * uniform[1]);
}

/* How much is left of the native structure: the share of contacts that are not 20 % longer, and the change of lengths. */
static void compare(const double (*native)[3], double *contacts, double *change) {
    int all = 0, kept = 0, pairs = 0;
    double squares = 0;
    for (int one = 0; one < beads; one++)
        for (int two = one + 1; two < beads; two++) {
            double now = 0, then = 0;
            for (int axis = 0; axis < 3; axis++) {
                now += pow(place[one][axis] - place[two][axis], 2);
                then += pow(native[one][axis] - native[two][axis], 2);
            }
            squares += pow(sqrt(now) - sqrt(then), 2), pairs++;
            if (strength[one][two] > 0) all++, kept += sqrt(now) < 1.2 * native_length[one][two];
        }
    *contacts = all ? (double)kept / all : 0;
    *change = sqrt(squares / pairs);
}

int main(int argc, char **argv) {
    int rank, ranks;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (argc != 6 || !read_model(argv[1])) {
        if (rank == 0) fprintf(stderr, "md: %s is no model\n", argc == 6 ? argv[1] : "(wrong arguments)");
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    long steps = atol(argv[3]);
    double time_step = atof(argv[4]), temperature = atof(argv[5]);
    FILE *out = rank == 0 ? fopen(argv[2], "w") : NULL;
    if (rank == 0 && !out) {
        perror(argv[2]);
        MPI_Abort(MPI_COMM_WORLD, 2);
    }
    if (rank == 0) fprintf(out, "# ranks %d\n# step potential temperature contacts change\n", ranks);

    int *counts = malloc(ranks * sizeof *counts), *starts = malloc(ranks * sizeof *starts);
    for (int one = 0; one < ranks; one++) {
        starts[one] = 3 * (beads * one / ranks);
        counts[one] = 3 * (beads * (one + 1) / ranks) - starts[one];
    }
    int first = starts[rank] / 3, end = first + counts[rank] / 3;
    static double native[MOST][3];
    for (int bead = 0; bead < beads; bead++)
        for (int axis = 0; axis < 3; axis++) native[bead][axis] = place[bead][axis];
    for (int bead = first; bead < end; bead++) {
        pull(bead);
        for (int axis = 0; axis < 3; axis++) speed[bead][axis] = sqrt(temperature) * normal(0, bead, axis);
    }
    double keep = exp(-FRICTION * time_step), noise = sqrt(temperature * (1 - keep * keep));
    for (long step = 1; step <= steps; step++) { /* the scheme called BAOAB */
        for (int bead = first; bead < end; bead++)
            for (int axis = 0; axis < 3; axis++) {
                speed[bead][axis] += time_step / 2 * force[bead][axis];
                place[bead][axis] += time_step / 2 * speed[bead][axis];
                speed[bead][axis] = keep * speed[bead][axis] + noise * normal(step, bead, axis);
                place[bead][axis] += time_step / 2 * speed[bead][axis];
            }
        MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DOUBLE, place, counts, starts, MPI_DOUBLE, MPI_COMM_WORLD);
        double energies[2] = {0, 0}, sums[2];
        for (int bead = first; bead < end; bead++) {
            energies[0] += pull(bead);
            for (int axis = 0; axis < 3; axis++) {
                speed[bead][axis] += time_step / 2 * force[bead][axis];
                energies[1] += speed[bead][axis] * speed[bead][axis];
            }
        }
        if (step % REPORT_EVERY && step != steps) continue;
        MPI_Allreduce(energies, sums, 2, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
        if (!(fabs(sums[0]) < 1e6 * beads && sums[1] < 1e4 * beads * (1 + temperature))) {
            if (rank == 0) {
                fclose(out);
                fprintf(stderr, "md: the model has blown up before step %ld; the energy is %g\n", step, sums[0]);
            }
            MPI_Finalize();
            return BLEW_UP;
        }
        if (rank == 0) {
            double contacts, change;
            compare((const double (*)[3])native, &contacts, &change);
            fprintf(out, "%ld %.4f %.4f %.4f %.4f\n", step, sums[0], sums[1] / (3 * beads), contacts, change);
        }
    }
    int failed = rank == 0 && fclose(out);
    MPI_Finalize();
    return failed ? 2 : 0;
}
