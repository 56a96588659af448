"""The MPIs that tests run with, where `scripts/setup-components` puts them or in the system."""

import dataclasses
import functools
import shutil
import subprocess
import sys

import pytest

NAMES = ("openmpi", "mpich")

#: Prints "NAME RANK of SIZE THREADS"; the second argument says what rank 1 does then: die, sleep, or return that value.
SOURCE = r"""
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv) {
    int rank, size;
    const char *what = argc > 2 ? argv[2] : "0";
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Comm_size(MPI_COMM_WORLD, &size);
    printf("%s %d of %d %s\n", argc > 1 ? argv[1] : "c", rank, size, getenv("OMP_NUM_THREADS"));
    fflush(stdout);
    if (argc > 3) {
        char path[4096];
        snprintf(path, sizeof path, "%s/%d", argv[3], rank);
        FILE *file = fopen(path, "w");
        fprintf(file, "%d\n", (int)getpid());
        fclose(file);
    }
    if (!strcmp(what, "die") && rank == 1) kill(getpid(), SIGKILL);
    if (!strcmp(what, "sleep")) sleep(300);
    MPI_Barrier(MPI_COMM_WORLD);
    MPI_Finalize();
    return rank == 1 ? atoi(what) : 0;
}
"""


@dataclasses.dataclass(frozen=True)
class MPI:
    """One of them. ``program``: the C program above, compiled by its compiler."""

    name: str
    runner: str
    program: str


@functools.cache
def found(name, folder):
    """The MPI of that name; the test is skipped if there is none. ``folder``: where its program is put."""
    for runner in (f"{sys.prefix}/mpi/{name}/bin/mpirun", f"mpirun.{name}"):
        path = shutil.which(runner)
        compiler = shutil.which(runner.replace("mpirun", "mpicc"))
        if path and compiler:
            break
    else:
        pytest.skip(f"there is no {name}: scripts/setup-components installs it")
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    program = f"{folder}/program-{name}"
    source = f"{program}.c"
    with open(source, "w") as file:
        file.write(SOURCE)
    subprocess.run([compiler, source, "-o", program], check=True, timeout=60, capture_output=True)
    return MPI(name, path, program)


@pytest.fixture(scope="session")
def mpi_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mpi")


@pytest.fixture(params=NAMES)
def any_mpi(request, mpi_folder):
    """Each of them."""
    return found(request.param, mpi_folder)


@pytest.fixture
def mpich(mpi_folder):
    """The one that starts fastest."""
    return found("mpich", mpi_folder)
