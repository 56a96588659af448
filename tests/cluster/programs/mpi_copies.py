"""MPI programs on two nodes that only one of them has: mpi_copies.py RUNNER COMPILER."""

import sys

from taskflow import FILE_IN, FILE_OUT, FILE_OUT_STDOUT, ProgramError, binary, compss_open, compss_wait_on, mpi, task

RUNNER, COMPILER = sys.argv[1:]
SOURCE = r"""
#include <mpi.h>
#include <stdio.h>

int main(int argc, char **argv) {
    int rank;
    char word[100] = "", name[MPI_MAX_PROCESSOR_NAME];
    MPI_Init(&argc, &argv);
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    MPI_Get_processor_name(name, &(int){0});
    FILE *file = fopen(argv[argc - 1], "r");
    if (!file || fscanf(file, "%99s", word) != 1) MPI_Abort(MPI_COMM_WORLD, 7);
    printf("%d on %s read %s\n", rank, name, word);
    MPI_Finalize();
    return 0;
}
"""


@binary(binary=COMPILER, args="-o {{program}} {{source}}")
@task(source=FILE_IN, program=FILE_OUT)
def build(source, program):
    pass


@mpi(runner=RUNNER, binary="{{program}}", args="{{words}}", processes=2, processes_per_node=1)
@task(program=FILE_IN, words=FILE_IN, out=FILE_OUT_STDOUT, on_failure="FAIL")
def read_words(program, words, out):
    pass


@mpi(runner=RUNNER, binary="/root/only-on-node1", processes=2, processes_per_node=1)
@task(returns=1, on_failure="FAIL")
def missing():
    pass


if __name__ == "__main__":
    for path, text in (("source.c", SOURCE), ("words", "everywhere")):
        with open(path, "w") as file:
            file.write(text)
    build("source.c", "program")
    read_words("program", "words", "said")
    with compss_open("said") as file:
        print(file.read())
    try:
        compss_wait_on(missing())
    except ProgramError as error:
        print(error)
