"""S17 MPI, S18 Several nodes, S28 Dynamic processes.

Each is a program as users of PyCOMPSs write it, that checks itself.
"""

import sys

import pytest

from tests.mpis import mpi_folder, mpich

__all__ = ["mpi_folder", "mpich"]

IMPORTS = """
    import os
    from pycompss.api.api import *
    from pycompss.api.constraint import constraint
    from pycompss.api.parameter import *
    from pycompss.api.task import task
"""


@pytest.fixture
def program(runtask, mpich, monkeypatch):
    """Run a program whose runner is in ``$MPIRUN`` with so many workers; it must end well."""
    monkeypatch.setenv("MPIRUN", mpich.runner)
    monkeypatch.setenv("PROGRAM", mpich.program)

    def run(text, *words, workers=4):
        runtask.write(text)
        ended = runtask.words(f"--workers={workers}", "app.py", *words)
        assert ended.returncode == 0, ended.stderr
        return ended

    run.sequentially = lambda text: (runtask.write(text), runtask.words("app.py", command=(sys.executable,)))[1]
    return run


def test_s17_python_mpi(program):
    program(
        IMPORTS
        + """
    from pycompss.api.mpi import mpi

    @constraint(computing_units="2")
    @mpi(runner="$MPIRUN", processes=1, scale_by_cu=True)
    @task(returns=2)
    def scaled(seed):
        from mpi4py import MPI
        return seed + MPI.COMM_WORLD.rank

    @constraint(computing_units=2)
    @mpi(runner="$MPIRUN", processes="2", processes_per_node=2)
    @task(returns=list)
    def threads(seed):
        from mpi4py import MPI
        return seed + MPI.COMM_WORLD.rank + int(os.environ["OMP_NUM_THREADS"])

    @mpi(runner="$MPIRUN", processes=4, processes_per_node=4)
    @task(returns=list)
    def init(seed):
        from mpi4py import MPI
        return (MPI.COMM_WORLD.rank + 1) * seed

    @mpi(runner="$MPIRUN", processes=4, processes_per_node=4, data_layout={block_count: 4, block_length: 1, stride: 1})
    @task(data=COLLECTION_IN, returns=4)
    def scale(data, by):
        return data * by

    @task(value=INOUT)
    def increment(value):
        value[0] += 1

    @mpi(runner="$MPIRUN", processes=1)
    @task(data=COLLECTION_INOUT)
    def double(data):
        for place, value in enumerate(data):
            data[place] = value * 2

    def main():
        assert compss_wait_on(scaled(10)) == [10, 11]
        assert compss_wait_on(threads(10)) == [12, 13]
        numbers = compss_wait_on(init(3))
        assert numbers == [3, 6, 9, 12]
        assert compss_wait_on(scale(scale(numbers, 2), 2)) == [12, 24, 36, 48]
        double(numbers)
        assert compss_wait_on(numbers) == [6, 12, 18, 24]

    if __name__ == "__main__":
        main()
    """
    )


def test_s17_layouts(program):
    program(
        IMPORTS
        + """
    from pycompss.api.mpi import mpi

    def rank():
        from mpi4py import MPI
        return MPI.COMM_WORLD.rank

    def on_four(layout):
        return mpi(runner="$MPIRUN", processes=4, processes_per_node=4, items_layout=layout)

    @on_four({block_count: 4, block_length: 2, stride: 1})
    @task(items=COLLECTION_IN, returns=4)
    def neighbours(items):
        return sum(items) + rank()

    @on_four({block_count: 8, block_length: 1, stride: 1})
    @task(items=COLLECTION_IN, returns=4)
    def round_robin(items):
        return sum(items) * rank()

    @on_four({block_count: 4, block_length: 2, stride: 2})
    @task(items=COLLECTION_IN, returns=4)
    def blocks(items):
        return sum(items) * rank()

    @on_four({block_count: 2, block_length: 1, stride: 1})
    @task(items=COLLECTION_IN, returns=list)
    def too_few(items):
        return items

    assert compss_wait_on(neighbours([1, 2, 3, 4, 5])) == [3, 6, 9, 12]
    assert compss_wait_on(round_robin([*range(2, 10)])) == [0, 10, 24, 42]
    assert compss_wait_on(blocks([*range(2, 10)])) == [0, 9, 26, 51]
    assert compss_wait_on(too_few([7, 8])) == [7, 8, [], []]
    """
    )


def test_s17_programs(program):
    text = """
    from pycompss.api.mpi import mpi
    from pycompss.api.mpmd_mpi import mpmd_mpi

    @mpi(runner="${MPIRUN}", binary="$PROGRAM", processes=2, processes_per_node=2, fail_by_exit_value=False)
    @task(out={Type: FILE_OUT, StdIOStream: STDOUT}, returns=int)
    def solve(name, what, out):
        pass

    @mpi(runner="${MPIRUN}", binary="$PROGRAM", args="{{name}}-of-template 0", processes=2, processes_per_node=2)
    @task(name=IN)
    def quiet(name):
        pass

    @mpmd_mpi(
        runner="$MPIRUN", processes_per_node=4, working_dir="place",
        programs=[
            dict(binary="$PROGRAM", processes=1, args="{{first}} 0 ."), dict(binary="$PROGRAM", processes=3, args="b"),
        ],
    )
    @task(out=FILE_OUT_STDOUT, returns=1)
    def coupled(first, out):
        pass

    def main():
        assert compss_wait_on(solve("a b", 3, "out")) == 3
        with compss_open("out") as file:
            assert sorted(file.read().split()) == sorted("a b 0 of 2 1 a b 1 of 2 1".split())
        assert compss_wait_on(quiet("x")) is None
        assert compss_wait_on(coupled("a", "both")) == 0
        with compss_open("both") as file:
            text = file.read()
        assert text.count("a 0 of 4") == 1 and text.count("b ") == 3, text
        assert os.path.exists("place/0")

    if __name__ == "__main__":
        main()
    """
    ended = program(IMPORTS + text)
    assert "x-of-template 1 of 2 1" in ended.stdout


def test_s17_sequential_mode(program):
    ended = program.sequentially(
        IMPORTS
        + """
    from pycompss.api.mpi import mpi
    from pycompss.api.mpmd_mpi import mpmd_mpi
    from pycompss.api.multinode import multinode
    from pycompss.util.exceptions import NotInPyCOMPSsException

    @mpi(runner="$MPIRUN", binary="$PROGRAM", processes=2)
    @task(returns=int)
    def solve(name):
        pass

    @mpi(runner="$MPIRUN", processes=2)
    @task(returns=int)
    def plain(x):
        return x + 1

    @mpmd_mpi(runner="$MPIRUN", programs=[{"binary": "$PROGRAM"}])
    @task(returns=int)
    def several():
        pass

    @multinode(computing_nodes=2)
    @task()
    def nodes():
        pass

    assert solve("s") == 0
    assert plain(1) == 2
    for function, error in ((several, NotImplementedError), (nodes, NotInPyCOMPSsException)):
        try:
            function()
        except error:
            continue
        raise AssertionError(function)
    """
    )
    assert ended.returncode == 0, ended.stderr
    assert "s 1 of 2" in ended.stdout
    assert "the function runs once, and there are no MPI ranks" in ended.stderr


def test_s28_dynamic_processes(program):
    program(
        IMPORTS
        + """
    from pycompss.api.mpi import mpi

    cn = 2
    os.environ["CN"] = "3"

    def size(processes, **more):
        def decorate(function):
            return mpi(runner="$MPIRUN", processes=processes, processes_per_node=processes, **more)(function)
        return decorate

    @size("cn")
    @task(returns=list)
    def by_global():
        return 1

    @size("$CN")
    @task(returns=list)
    def by_variable():
        return 1

    @size("${CN}")
    @task(returns=list)
    def by_braces():
        return 1

    @size("2")
    @task(returns=list)
    def by_text():
        return 1

    @size(1)
    @task(returns=list)
    def by_number():
        return 1

    if __name__ == "__main__":
        first = by_global()
        cn = 4
        second = by_global()
        others = by_variable(), by_braces(), by_text(), by_number()
        assert [len(value) for value in compss_wait_on([first, second, *others])] == [2, 4, 3, 3, 2, 1]
    """
    )
