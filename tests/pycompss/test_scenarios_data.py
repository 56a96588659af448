"""S05 File chain, S06 File names, S07 Directories and None, S10 Barriers and groups, S11 Deletion, S12 File API,
S13 Collections and dictionaries, S14 Collections of files.

Each is a program as users of PyCOMPSs write it; it runs in parallel and sequentially, and checks itself.
"""

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

    @task(path=FILE_INOUT)
    def increment(path):
        write(path, str(int(read(path)) + 1))
"""


def test_s05_file_chain(program):
    program(
        IMPORTS
        + """
    @task(path=FILE_OUT)
    def produce(path, text):
        write(path, text)

    @task(path=FILE_IN, returns=1)
    def consume(path):
        return read(path)

    @task(path=FILE_INOUT)
    def append(path, text):
        with open(path, "a") as file:
            file.write(text)

    write("counter", "1")
    increment("counter")
    with compss_open("counter") as file:
        assert file.read() == "2"

    produce("chain", "made")
    first = consume("chain")
    append("chain", "+task")
    second = consume("chain")
    with compss_open("chain", "a") as file:
        file.write("+main")
    third = consume("chain")
    with compss_open("chain", "w") as file:
        file.write("anew")
    fourth = consume("chain")
    assert compss_wait_on(first, second, third, fourth) == ["made", "made+task", "made+task+main", "anew"]

    write("alternating", "0")
    for number in range(5):
        increment("alternating")
        with compss_open("alternating", "r+") as file:
            value = int(file.read())
            assert value == 2 * number + 1, value
            file.seek(0)
            file.write(str(value + 1))
    assert compss_wait_on(consume("alternating")) == "10"
    """
    )


def test_s05_a_file_that_is_only_read_is_unchanged_outside(program):
    text = (
        IMPORTS
        + """
    @task(path=FILE_IN, returns=1)
    def scribble(path):
        write(path, "scribbled")
        return read(path)

    write("file", "original")
    assert compss_wait_on(scribble("file")) == "scribbled"
    print(read("file"))
    """
    )
    ended = program(text)
    # Without a session a task is a plain call: it gets the file itself.
    assert ended.stdout == ("original\n" if program.parallel else "scribbled\n")


def test_s05_files_are_in_place_at_the_end_without_any_wait(program):
    program(
        IMPORTS
        + """
    write("counter", "1")
    for _ in range(3):
        increment("counter")
    """
    )
    assert (program.folder / "counter").read_text() == "4"


def test_s06_file_names(program):
    ended = program(
        IMPORTS
        + """
    @task(path=FILE_IN, returns=1)
    def name(path):
        return os.path.basename(path)

    @task(path={Type: FILE_IN, Keep_rename: True}, returns=1)
    def renamed(path):
        return path

    @task(a=FILE_IN, b=FILE_IN, returns=1)
    def both(a, b):
        return os.path.basename(a), os.path.basename(b), read(a), read(b), os.path.isabs(a)

    @task(a=FILE_IN, b=FILE_INOUT, returns=1)
    def same_file(a, b):
        before = read(a)
        with open(b, "a") as file:
            file.write("+")
        return os.path.basename(a), os.path.basename(b), before

    os.makedirs("a"), os.makedirs("b")
    write("a/x.txt", "in a")
    write("b/x.txt", "in b")
    assert compss_wait_on(name("a/x.txt")) == "x.txt"
    assert compss_wait_on(both("a/x.txt", "b/x.txt"))[:4] == ("x.txt", "x.txt", "in a", "in b")
    assert compss_wait_on(same_file("a/x.txt", "a/x.txt")) == ("x.txt", "x.txt", "in a")
    with compss_open("a/x.txt") as file:
        assert file.read() == "in a+"
    assert os.path.exists("b/x.txt") and compss_wait_on(renamed("b/x.txt"))
    print(compss_wait_on(both("a/x.txt", "b/x.txt"))[4])
    """
    )
    assert ended.stdout == f"{program.parallel}\n"


def test_s07_directories_and_none(program):
    program(
        IMPORTS
        + """
    @task(folder=DIRECTORY_OUT)
    def make(folder, names):
        os.mkdir(folder)
        for name in names:
            write(os.path.join(folder, name), name)

    @task(folder=DIRECTORY_INOUT)
    def mark(folder, text):
        for name in os.listdir(folder):
            with open(os.path.join(folder, name), "a") as file:
                file.write(text)

    @task(folder=DIRECTORY_IN, returns=1)
    def listed(folder):
        return {name: read(os.path.join(folder, name)) for name in sorted(os.listdir(folder))}

    make("folder", ["one", "two"])
    for number in range(10):
        mark("folder", str(number))
    assert compss_wait_on(listed("folder")) == {"one": "one0123456789", "two": "two0123456789"}
    compss_wait_on_directory("folder")
    assert sorted(os.listdir("folder")) == ["one", "two"]
    assert read("folder/two") == "two0123456789"

    @task(a=FILE_IN, b=FILE_OUT, c=FILE_INOUT, d=DIRECTORY_IN, e=DIRECTORY_OUT, f=DIRECTORY_INOUT, returns=1)
    def nothing(a, b, c=None, d=None, e=None, f=None):
        return a, b, c, d, e, f

    nones = (None,) * 6
    assert compss_wait_on(nothing(None, None)) == nones
    assert compss_wait_on(nothing(None, b=None, f=None)) == nones
    assert compss_wait_on(nothing(None, None, None, None, None, None)) == nones
    """
    )


def test_s10_barriers(program):
    program(
        IMPORTS
        + """
    import time

    @task()
    def pause():
        time.sleep(0.05)

    def waited(barrier):
        start = time.monotonic()
        for _ in range(8):
            pause()
        barrier()
        return time.monotonic() - start

    def group():
        with TaskGroup("implicit"):
            for _ in range(8):
                pause()

    for barrier in (compss_barrier, lambda: compss_barrier(False), lambda: compss_barrier(no_more_tasks=True)):
        assert waited(barrier) >= 0.2
    start = time.monotonic()
    group()
    assert time.monotonic() - start >= 0.2
    """
    )


def test_s10_groups(program):
    ended = program(
        IMPORTS
        + """
    @task(path=FILE_INOUT)
    def append(path):
        with open(path, "a") as file:
            file.write("3")

    write("file", "")
    with TaskGroup("big", False):
        for number in range(3):
            with TaskGroup(f"g{number}", False):
                for _ in range(3):
                    append("file")
        for number in range(3):
            compss_barrier_group(f"g{number}")
    compss_barrier_group("big")
    with TaskGroup("another"):
        for _ in range(3):
            append("file")
    compss_barrier_group("no such group")
    with compss_open("file") as file:
        print(len(file.read()))
    """
    )
    assert ended.stdout == "12\n"


def test_s11_deletion(program):
    program(
        IMPORTS
        + """
    @task(returns=1)
    def last(items):
        return items[-1]

    @task(items=IN_DELETE, returns=1)
    def last_of_all(items):
        return items[-1]

    @task(items=INOUT)
    def touch(items):
        items.append("touched")

    for _ in range(3):
        write("file", "1")
        increment("file")
        increment("file")
        with compss_open("file") as file:
            assert file.read() == "3"
        assert compss_delete_file("file") is True
        assert not os.path.exists("file")
    write("file", "1")
    increment("file")
    compss_delete_file("file")

    items = [-1]
    results = []
    for number in range(5):
        items[-1] = number
        results.append(last(items))
        assert compss_delete_object(items) is True
    assert compss_wait_on(results) == [0, 1, 2, 3, 4]

    items = [-1]
    results = []
    for number in range(5):
        items[-1] = number
        results.append(last_of_all(items))
    assert compss_wait_on(results) == [0, 1, 2, 3, 4]

    assert compss_delete_object(1, None, [], {}, "text", items, results) is True
    """
    )
    assert not (program.folder / "file").exists()


def test_s11_an_object_that_was_deleted_is_sent_anew(program):
    program(
        IMPORTS
        + """
    @task(items=INOUT)
    def add(items, value):
        items.append(value)

    items = [0]
    add(items, 1)
    compss_barrier()
    compss_delete_object(items)
    items[:] = ["fresh"]
    add(items, 2)
    items = compss_wait_on(items)
    assert items == ["fresh", 2], items
    """
    )


def test_s12_file_api(program):
    program(
        IMPORTS
        + """
    import subprocess
    import time

    @task(path=FILE_OUT)
    def produce(path):
        time.sleep(0.2)
        write(path, "made")

    write("plain", "1")
    produce("made")
    assert compss_file_exists("plain") is True
    assert compss_file_exists("made") is True
    assert compss_file_exists("missing") is False
    assert compss_file_exists("plain", ["made", ("missing",)]) == [True, [True, (False,)]]
    assert compss_wait_on_file("plain") == "plain"
    assert compss_wait_on_file("plain", "made") == ["plain", "made"]
    assert compss_wait_on_file(["plain", ("made", "plain")]) == ["plain", ("made", "plain")]
    assert read("made") == "made"
    increment("plain")
    increment("plain")
    compss_wait_on_file("plain")
    assert subprocess.check_output(["cat", "plain"], text=True) == "3"
    assert compss_delete_file("plain", ["made"]) == [True, [True]]
    assert compss_file_exists("plain", "made") == [False, False]
    """
    )


def test_s13_collections(program):
    program(
        IMPORTS
        + """
    import numpy as np

    @task(returns=1)
    def make(value):
        return np.full(2, float(value))

    @task(c=COLLECTION_IN, returns=1)
    def select(c, i):
        return c[i]

    @task(m={Type: COLLECTION_IN, Depth: 4}, returns=1)
    def select_deep(m, *path):
        for place in path:
            m = m[place]
        return m

    @task(c=COLLECTION_INOUT)
    def add_one(c):
        for item in c:
            item += 1.0

    @task(item=INOUT)
    def add_one_to(item):
        item += 1.0

    collection = [make(number) for number in range(10)]
    assert compss_wait_on(select(collection, 3)).tolist() == [3.0, 3.0]
    matrix = [[[[make(100 * a + 10 * b + c) for c in range(2)] for b in range(1)] for a in range(2)]]
    assert compss_wait_on(select_deep(matrix, 0, 1, 0, 1)).tolist() == [101.0, 101.0]
    add_one(collection)
    add_one_to(collection[4])
    assert compss_wait_on(select(collection, 4)).tolist() == [6.0, 6.0]
    assert compss_wait_on(select(collection, 5)).tolist() == [6.0, 6.0]
    values = compss_wait_on(collection)
    assert [value[0] for value in values] == [1.0, 2.0, 3.0, 4.0, 6.0, 6.0, 7.0, 8.0, 9.0, 10.0]
    assert compss_wait_on(select(np.array([make(1), make(2)], dtype=object)[:1], 0)).tolist() == [1.0, 1.0]
    """
    )


def test_s13_collections_out(program):
    program(
        IMPORTS
        + """
    @task(c=COLLECTION_OUT)
    def fill(c):
        for place in range(len(c)):
            c[place] = place * 10

    class Box:
        def __init__(self):
            self.value = 0

    @task(c={Type: COLLECTION_OUT, Depth: 2})
    def fill_deep(c):
        c[0].append(1)
        c[1].value = 7

    @task(returns={Type: COLLECTION_OUT, Depth: 1})
    def collection():
        return [1, 2, 3]

    places = [object() for _ in range(4)]
    fill(places)
    assert compss_wait_on(places) == [0, 10, 20, 30]
    assert compss_wait_on(collection()) == [1, 2, 3]

    @task(c={Type: COLLECTION_INOUT, Depth: 2})
    def grow(c):
        c[0][0] = "new"
        c[1].value = 7

    nested = [["old", "kept"], Box()]
    grow(nested)
    nested = compss_wait_on(nested)
    assert nested[0] == ["new", "kept"] and nested[1].value == 7, nested
    """
    )


def test_s13_dictionaries(program):
    program(
        IMPORTS
        + """
    class Wrapper:
        def __init__(self, value):
            self.value = value

        def __hash__(self):
            return hash(self.value)

        def __eq__(self, other):
            return self.value == other.value

    @task(returns=1)
    def make(value):
        return Wrapper(value)

    @task(d=DICTIONARY_IN, returns=1)
    def check(d):
        return {key: item.value for key, item in d.items()}

    @task(d=DICTIONARY_INOUT)
    def increment_all(d):
        for item in d.values():
            item.value += 1

    @task(d=DICTIONARY_IN, e=DICTIONARY_IN, returns=1)
    def merged(d, e):
        return {**d, **e}

    d = {"a": make(1), "b": make(2)}
    assert compss_wait_on(check(d)) == {"a": 1, "b": 2}
    increment_all(d)
    assert compss_wait_on(check(d)) == {"a": 2, "b": 3}
    d["a"] = make(7)
    d["b"] = make(8)
    e = {"c": make(5), "d": make(6)}
    result = compss_wait_on(merged(d, e))
    assert {key: item.value for key, item in result.items()} == {"a": 7, "b": 8, "c": 5, "d": 6}

    keyed = {Wrapper(1): Wrapper(10), Wrapper(2): Wrapper(20)}
    increment_all(keyed)
    keyed = compss_wait_on(keyed)
    assert sorted((key.value, item.value) for key, item in keyed.items()) == [(1, 11), (2, 21)]
    """
    )


def test_s14_collections_of_files(program):
    program(
        IMPORTS
        + """
    def flat(paths):
        for path in paths:
            if isinstance(path, list):
                yield from flat(path)
            else:
                yield path

    @task(paths={Type: COLLECTION_FILE_OUT, Depth: 2})
    def make(paths):
        for path in flat(paths):
            write(path, "1")

    @task(paths={Type: COLLECTION_FILE_INOUT, Depth: 2})
    def append(paths):
        for path in flat(paths):
            with open(path, "a") as file:
                file.write("1")

    @task(paths={Type: COLLECTION_FILE_IN, Depth: 2}, returns=1)
    def texts(paths):
        return [read(path) for path in flat(paths)]

    paths = [["f1", "f2"], ["f3", "f4"], "f5"]
    make(paths)
    append(paths)
    assert compss_wait_on(texts(paths), texts(paths)) == [["11"] * 5] * 2
    for path in flat(paths):
        with compss_open(path) as file:
            assert file.read() == "11"
    """
    )
