"""S31 Reductions, S32 Local functions, S33 Transformations, S34 Prolog and epilog, S35 Software, S38 Functions,
S39 Data sets, S46 Notebooks.

Each is a program as users of PyCOMPSs write it; it runs in parallel and sequentially, and checks itself.
"""

import sys

IMPORTS = """
    import os
    from pycompss.api.api import *
    from pycompss.api.parameter import *
    from pycompss.api.task import task

    def write(path, text):
        with open(path, "w") as file:
            file.write(text)

    def read(path):
        with open(path) as file:
            return file.read()

    @task(returns=int)
    def increment(v):
        return v + 1
"""


def test_s31_reduction(program):
    program(
        IMPORTS
        + """
    from pycompss.api.reduction import reduction

    @reduction(chunk_size="2")
    @task(returns=int, col=COLLECTION_IN)
    def my_sum(col):
        return sum(col)

    @reduction(chunk_size=2, is_reduce=True)
    @task(returns=1, col=COLLECTION_IN)
    def longest(minimum, col):
        return max([minimum, *col], key=len)

    futures = [increment(n) for n in range(5)]
    assert compss_wait_on(my_sum(futures)) == 15
    assert compss_wait_on(my_sum([1, 2, 3, 4, 5])) == 15
    assert compss_wait_on(my_sum([increment(0), 2, increment(2), 4, 5])) == 15
    compss_barrier()
    assert compss_wait_on(my_sum(futures)) == 15
    assert compss_wait_on(longest("aa", ["b", "ccc", "dd", "e", "f"])) == "ccc"
    """
    )


def test_s32_local(program):
    program(
        IMPORTS
        + """
    from pycompss.api.local import local

    class Holder:
        pass

    @task(values=INOUT)
    def scale(values, by):
        for place, value in enumerate(values):
            values[place] = value * by

    @local
    def consume(values, *args, **kwargs):
        assert args == (1, "two") and kwargs == {"three": 3.0}
        return sum(values)

    def main():
        vector = [1, 2, 3]
        alias, cells, holder = vector, [vector, None], Holder()
        holder.vector = vector
        scale(vector, 10)
        assert consume(vector, 1, "two", three=3.0) == 60
        assert vector == alias == cells[0] == holder.vector == [10, 20, 30]
        assert consume(vector, 1, "two", three=3.0) == 60
        result = increment(1)
        table = {"result": result}
        assert consume([result], 1, "two", three=3.0) == 2
        assert consume((result, 5), 1, "two", three=3.0) == 7
        assert (result, table) == (2, {"result": 2})

    main()
    """
    )


def test_s33_transformations(program):
    program(
        IMPORTS
        + """
    from pycompss.api.data_transformation import *

    def load(path):
        return read(path)

    def join(values):
        return " ".join(map(str, values))

    def lines(path):
        return read(path).split()

    def save(value, path):
        write(path, f"{value} serialized")

    def save_all(values, path):
        write(path, "".join(map(str, values)) + " serialized")

    def plus(text, what):
        return text + what

    def workflow(number, times):
        for _ in range(times):
            number = increment(number)
        return number

    @dt("text", load, type=FILE_TO_OBJECT)
    @task(returns=str)
    def file_to_object(text):
        return text

    @dt(target="text", function=join, type=COLLECTION_TO_OBJECT)
    @task(returns=str)
    def collection_to_object(text):
        return text

    @dt("values", lines, type=FILE_TO_COLLECTION, size=3)
    @task(returns=list, values=COLLECTION_IN)
    def file_to_collection(values):
        return list(values)

    @dt(target="path", function=save, type=OBJECT_TO_FILE, destination="object_out")
    @task(returns=str, path=FILE_IN)
    def object_to_file(path):
        return read(path)

    @dt("path", save_all, type=COLLECTION_TO_FILE)
    @task(returns=str, path=FILE_IN)
    def collection_to_file(path):
        return read(path)

    @dt("a", plus, what="1")
    @dt("a", plus, what="2")
    @dt("b", plus, what="{{a}}")
    @data_transformation("b", plus, what="!")
    @task(returns=1)
    def several(a, b):
        return a + b

    @dt("number", workflow, is_workflow=True, times=2)
    @task(returns=1)
    def after_workflow(number):
        return number

    write("in", "hello dt")
    assert compss_wait_on(file_to_object("in")) == "hello dt"
    assert compss_wait_on(collection_to_object([1, 2, 3, increment(3), 5])) == "1 2 3 4 5"
    write("words", "a b c")
    assert compss_wait_on(file_to_collection("words")) == ["a", "b", "c"]
    assert compss_wait_on(object_to_file("a_string")) == "a_string serialized"
    assert compss_wait_on(collection_to_file([1, 2, 3, 4, 5])) == "12345 serialized"
    assert compss_wait_on(several("a", "b")) == "a12" + "ba12!"
    assert compss_wait_on(after_workflow(1)) == 3
    assert compss_wait_on(several("a", "b", dt=dto("a", plus, what="?"))) == "a?b"
    given = [DTObject("a", plus, what="?"), dto("b", plus, what="{{a}}")]
    assert compss_wait_on(several("a", "b", dt=given)) == "a?ba?"
    """
    )


def test_s34_prolog_and_epilog(program):
    ended = program(
        IMPORTS
        + """
    from pycompss.api.epilog import Epilog, epilog
    from pycompss.api.prolog import prolog

    @prolog(binary="echo", args="prolog {{value}} {{text}}")
    @epilog(binary="echo", args="epilog {{value}}")
    @task(returns=1)
    def both(value, text):
        print("body")
        return value * 10

    @prolog(binary="false", fail_by_exit_value=False)
    @task(returns=1)
    def in_spite():
        return "done"

    @epilog(binary="cp", args="{{given}} {{made}}")
    @task(made=FILE_OUT, given=FILE_IN)
    def copied(given, made):
        pass

    assert compss_wait_on(both(increment(1), "a text")) == 20
    assert compss_wait_on(in_spite()) == "done"
    write("given", "content")
    copied("given", "made")
    with compss_open("made") as file:
        assert file.read() == "content"
    """
    )
    assert ended.stdout == "prolog 2 a text\nbody\nepilog 2\n"


def test_s35_software(program):
    program(
        IMPORTS
        + f"""
    import json
    from pycompss.api.software import software

    PARALLEL = {program.parallel}
    """
        + """
    for name, document in {
        "append": {"execution": {"type": "task"}, "parameters": {"values": "INOUT"},
                   "constraints": {"computing_units": 1}},
        "flow": {"execution": {"type": "workflow"}},
        "file": {"execution": {"type": "task"}, "parameters": {"path": "FILE_OUT", "returns": 1}},
    }.items():
        write(f"{name}.json", json.dumps(document))

    @software(config_file=os.getcwd() + "/append.json")
    def append(values, value):
        values.append(value)

    @software(config_file="$PWD_OF_TEST/flow.json")
    def flow(count):
        return [increment(n) for n in range(count)]

    @software(config_file="file.json")
    @task()
    def make(path, text):
        write(path, text)
        return len(text)

    os.environ["PWD_OF_TEST"] = os.getcwd()
    values = []
    for n in range(5):
        append(values, n)
    assert values == ([] if PARALLEL else [0, 1, 2, 3, 4])
    assert compss_wait_on(values) == [0, 1, 2, 3, 4]
    assert compss_wait_on(flow(3)) == [1, 2, 3]
    assert compss_wait_on(make("out", "four")) == 4
    with compss_open("out") as file:
        assert file.read() == "four"
    """
    )


def test_s38_functions(program):
    program(
        IMPORTS
        + """
    from pycompss.functions.data import chunks, generator
    from pycompss.functions.elapsed_time import timeit
    from pycompss.functions.map import map
    from pycompss.functions.reduce import merge_n_reduce, merge_reduce

    @task(returns=1)
    def add(a, b):
        return a + b

    @task(returns=1)
    def add_all(*values):
        return sum(values)

    @timeit()
    @task(returns=1)
    def above(x):
        return x

    @task(returns=1)
    @timeit()
    def below(x):
        return x

    for distribution in "random", "normal", "uniform":
        fragments = compss_wait_on(generator((10, 2), 5, 10, distribution))
        assert len(fragments) == 5 and all(len(fragment) == 2 for fragment in fragments)
        assert fragments == generator((10, 2), 5, seed=10, distribution=distribution, wait=True)
    assert compss_wait_on(merge_reduce(add, map(increment, [1, 2, 3, 4, 5]))) == 20
    assert compss_wait_on(merge_n_reduce(add_all, 4, list(range(2, 12)))) == 65
    for function in above, below:
        value, seconds = compss_wait_on(function(5))
        assert value == 5 and seconds > 0
    assert [list(part) for part in chunks([1, 2, 3, 4, 5], 2)] == [[1, 2], [3, 4], [5]]
    """
    )


def test_s39_data_sets(program):
    program(
        IMPORTS
        + """
    import random
    from pycompss.dds import DDS

    assert DDS().load(range(10)).count() == 10
    os.mkdir("texts")
    for number in range(5):
        write(f"texts/{number}", "one two three four five")
    words = DDS().load_files_from_dir("texts").flat_map(lambda pair: pair[1].split())
    assert words.count_by_value(as_dict=True) == dict.fromkeys("one two three four five".split(), 5)
    chance = random.Random(3)
    pairs = [(chance.random(), n) for n in range(200)]
    keys = DDS().load(pairs, 8).sort_by_key().map(lambda pair: pair[0]).collect()
    assert keys == sorted(keys) and len(keys) == 200
    index = words.map(lambda word: (len(word), {word})).reduce_by_key(lambda a, b: a | b).collect_as_dict()
    assert index == {3: {"one", "two"}, 4: {"four", "five"}, 5: {"three"}}
    """
    )


def test_s46_notebook(runtask):
    runtask.write("""
        import pycompss.interactive as ipycompss

        ipycompss.start(graph=True, debug=False, monitor=1000, trace=False, workers=2)

        from pycompss.api.api import compss_wait_on
        from pycompss.api.task import task

        @task(returns=1)
        def increment(v):
            return v + 1

        values = [increment(n) for n in range(3)]
        first = compss_wait_on(increment(1))

        @task(returns=1)
        def increment(v):
            return v + 2

        second = increment(1)
        ipycompss.tasks_info()
        ipycompss.tasks_status()
        ipycompss.statistics()
        ipycompss.resources_status()
        ipycompss.current_task_graph()
        ipycompss.complete_task_graph(fit=True)
        ipycompss.stop(sync=True)
        assert (values, first, second) == ([1, 2, 3], 2, 3)
    """)
    ended = runtask.words("app.py", command=(sys.executable,))
    assert ended.returncode == 0, ended.stderr
    assert "task increment was defined anew" in ended.stdout
