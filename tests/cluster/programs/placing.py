"""Tasks with constraints; prints where each of them ran, and what it found there."""

import getpass
import os
import socket

import helper
from pycompss.api.api import compss_wait_on
from pycompss.api.constraint import constraint
from pycompss.api.parameter import FILE_IN, FILE_INOUT
from pycompss.api.task import task


@constraint(app_software="blast")
@task(returns=1)
def software():
    return socket.gethostname()


@constraint(memory_size="10")
@task(returns=1)
def memory():
    return socket.gethostname()


@constraint(processor_architecture="arm64")
@task(returns=1)
def architecture():
    return socket.gethostname()


@constraint(processors=[{"processorType": "GPU", "computingUnits": "1"}])
@task(returns=1)
def gpu():
    return socket.gethostname(), os.environ["CUDA_VISIBLE_DEVICES"]


@constraint(computing_units="4")
@task(returns=1)
def wide():
    return socket.gethostname(), os.environ["OMP_NUM_THREADS"]


@constraint(is_local=True)
@task(returns=1)
def local():
    return socket.gethostname()


@constraint(app_software="blast")
@task(returns=1)
def surroundings():
    return getpass.getuser(), os.getcwd(), os.stat(".").st_mode & 0o777, os.getuid(), helper.double(4)


@constraint(app_software="blast")
@task(file=FILE_INOUT, other=FILE_IN)
def append(file, other):
    with open(file, "a") as text, open(other) as more:
        text.write(more.read() + socket.gethostname() + "\n")


def main():
    for name in ("a.txt", "b.txt"):
        with open(name, "w") as text:
            text.write(f"{name} of {socket.gethostname()}\n")
    print("software", *sorted(set(compss_wait_on([software() for _ in range(6)]))))
    print("memory", *sorted(set(compss_wait_on([memory() for _ in range(6)]))))
    print("architecture", *sorted(set(compss_wait_on([architecture() for _ in range(6)]))))
    print("gpu", *sorted(set(compss_wait_on([gpu() for _ in range(6)]))))
    print("wide", *sorted(set(compss_wait_on([wide() for _ in range(3)]))))
    print("local", compss_wait_on(local()))
    append("a.txt", "b.txt")
    user, cwd, mode, uid, eight = compss_wait_on(surroundings())
    print("surroundings", user, cwd, f"{mode:o}", uid, eight)


if __name__ == "__main__":
    main()
