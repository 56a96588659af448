/* Dust in the air: mpirun -n N dust DOMAIN STATE_BEFORE STATE_AFTER HOURS WIND LONGITUDE EMISSION
 *
 * Wind raises dust from deserts, carries it away, and it falls out. The wind is that of a cyclone that wanders from
 * LONGITUDE eastwards along the coast of Africa, with at most WIND m/s, among trade winds and westerlies. EMISSION says
 * how much dust the wind raises.
 *
 * Finite volumes on a grid of latitudes and longitudes, upwind, so no dust is lost or made on the way. Each rank has some
 * rows, and gets the rows next to its own from its neighbours in each step.
 */
#include <math.h>
#include <mpi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double EARTH = 6.371e6, DEGREE = 0.017453292519943295;
static const double SETTLING = 2.5 * 86400;      /* seconds in which most of the dust falls out */
static const double LEAST_WIND = 6.0;            /* m/s, slower wind raises no dust */
static const double RAISED = 5e-8;               /* g/m2/s for each (m/s)^3 */
static const double CYCLONE_RADIUS = 7.0e5, CYCLONE_LATITUDE = 34.0, CYCLONE_SPEED = 4.5;

static int rows, columns;
static double top, left, step;                   /* degrees */
static double wind, longitude, emission;         /* what is not known well */

/* The wind at a place and time: eastwards and northwards, in m/s. */
static void blow(double lat, double lon, double time, double *east, double *north) {
    double share = lat < 22 ? 0 : lat > 42 ? 1 : (lat - 22) / 20;
    *east = -5 + 12 * share;
    *north = lat < 25 ? -2 : 0;
    double centre = longitude + time * CYCLONE_SPEED / (EARTH * DEGREE * cos(CYCLONE_LATITUDE * DEGREE));
    double x = (lon - centre) * DEGREE * EARTH * cos(lat * DEGREE), y = (lat - CYCLONE_LATITUDE) * DEGREE * EARTH;
    double around = wind / CYCLONE_RADIUS * exp((1 - (x * x + y * y) / (CYCLONE_RADIUS * CYCLONE_RADIUS)) / 2);
    *east -= around * y;
    *north += around * x;
}

static double latitude(double row) { return top - row * step; }

/* What flows through a face of a cell, by the wind that blows over it. */
static double flow(double speed, double before, double behind) { return speed * (speed > 0 ? before : behind); }

/* One step of the rows of this rank. `dust` has a row more on each side. */
static void advance(double *dust, double *next, const double *source, int first, int count, double time, double seconds) {
    for (int i = 0; i < count; i++) {
        double lat = latitude(first + i + 0.5), high = EARTH * step * DEGREE;
        double wide = high * cos(lat * DEGREE), area = wide * high, east, north, other;
        double above = high * cos(latitude(first + i) * DEGREE), below = high * cos(latitude(first + i + 1) * DEGREE);
        for (int j = 0; j < columns; j++) {
            const double *cell = dust + (i + 1) * columns + j;
            double lon = left + (j + 0.5) * step;
            double west_of = j ? cell[-1] : 0, east_of = j + 1 < columns ? cell[1] : 0;
            double in = 0;
            blow(lat, lon - step / 2, time, &east, &other), in += high * flow(east, west_of, *cell);
            blow(lat, lon + step / 2, time, &east, &other), in -= high * flow(east, *cell, east_of);
            blow(lat - step / 2, lon, time, &other, &north), in += below * flow(north, cell[columns], *cell);
            blow(lat + step / 2, lon, time, &other, &north), in -= above * flow(north, *cell, cell[-columns]);
            blow(lat, lon, time, &east, &north);
            double speed = sqrt(east * east + north * north);
            double raised = speed > LEAST_WIND ? RAISED * emission * speed * speed * (speed - LEAST_WIND) : 0;
            next[(i + 1) * columns + j] =
                (*cell + seconds * (in / area + raised * source[i * columns + j])) * exp(-seconds / SETTLING);
        }
    }
}

static void give_up(const char *what, const char *path) {
    fprintf(stderr, "dust: %s %s\n", what, path);
    MPI_Abort(MPI_COMM_WORLD, 2);
}

static double *read_cells(FILE *in, const char *path) {
    double *cells = malloc(sizeof *cells * rows * columns);
    for (int one = 0; one < rows * columns; one++)
        if (fscanf(in, "%lf", &cells[one]) != 1) give_up("cannot read all cells of", path);
    fclose(in);
    return cells;
}

int main(int argc, char **argv) {
    int rank, ranks;
    double hour;
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &ranks);
    if (argc != 8) give_up("wrong number of arguments for", argv[0]);
    FILE *in = fopen(argv[1], "r");
    if (!in || fscanf(in, "%d %d %lf %lf %lf", &rows, &columns, &top, &left, &step) != 5) give_up("cannot read", argv[1]);
    double *sources = read_cells(in, argv[1]);
    in = fopen(argv[2], "r");
    if (!in || fscanf(in, " hour %lf", &hour) != 1) give_up("cannot read", argv[2]);
    double *state = read_cells(in, argv[2]);
    double hours = atof(argv[4]);
    wind = atof(argv[5]), longitude = atof(argv[6]), emission = atof(argv[7]);

    int *counts = malloc(ranks * sizeof *counts), *starts = malloc(ranks * sizeof *starts);
    for (int one = 0; one < ranks; one++) {
        starts[one] = rows * one / ranks * columns;
        counts[one] = rows * (one + 1) / ranks * columns - starts[one];
    }
    int first = starts[rank] / columns, count = counts[rank] / columns;
    int north = rank > 0 ? rank - 1 : MPI_PROC_NULL, south = rank + 1 < ranks ? rank + 1 : MPI_PROC_NULL;
    double *dust = calloc((count + 2) * columns, sizeof *dust), *next = calloc((count + 2) * columns, sizeof *next);
    memcpy(dust + columns, state + starts[rank], counts[rank] * sizeof *dust);

    /* In a step the wind must not blow farther than through a cell. */
    double smallest = EARTH * step * DEGREE * cos(top * DEGREE);
    long steps = (long)ceil(hours * 3600 * 2 * (wind + 12) / smallest);
    double seconds = hours * 3600 / steps;
    for (long one = 0; one < steps; one++) {
        MPI_Sendrecv(dust + columns, columns, MPI_DOUBLE, north, 0, dust + (count + 1) * columns, columns, MPI_DOUBLE,
                     south, 0, MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        MPI_Sendrecv(dust + count * columns, columns, MPI_DOUBLE, south, 1, dust, columns, MPI_DOUBLE, north, 1,
                     MPI_COMM_WORLD, MPI_STATUS_IGNORE);
        advance(dust, next, sources + starts[rank], first, count, hour * 3600 + one * seconds, seconds);
        double *last = dust;
        dust = next, next = last;
    }
    MPI_Gatherv(dust + columns, counts[rank], MPI_DOUBLE, state, counts, starts, MPI_DOUBLE, 0, MPI_COMM_WORLD);
    if (rank == 0) {
        FILE *out = fopen(argv[3], "w");
        if (!out) give_up("cannot write", argv[3]);
        fprintf(out, "hour %g\n", hour + hours);
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < columns; j++)
                fprintf(out, "%.4g%c", state[i * columns + j] < 1e-6 ? 0 : state[i * columns + j], j + 1 < columns ? ' ' : '\n');
        if (fclose(out)) give_up("cannot write", argv[3]);
        printf("%d ranks, %ld steps\n", ranks, steps);
    }
    MPI_Finalize();
    return 0;
}
