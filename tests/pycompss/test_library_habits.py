"""What libraries built on PyCOMPSs rely on, and rules about where code and data lie.

Each broke a real program when done otherwise. A program runs in parallel and sequentially, and checks itself.
"""

IMPORTS = """
    from pycompss.api.api import *
    from pycompss.api.parameter import *
    from pycompss.api.task import task
"""


def test_collections_are_followed_through_every_sequence_but_not_through_dictionaries(program):
    program(
        IMPORTS
        + """
    import numpy as np

    @task(returns=1)
    def make(x):
        return x

    @task(c=COLLECTION_IN, returns=1)
    def total(c):
        def walk(item):
            return sum(map(walk, item)) if hasattr(item, "__iter__") else item
        return walk(c)

    @task(c=COLLECTION_IN, returns=1)
    def kinds(c):
        return [type(item).__name__ for item in c]

    assert compss_wait_on(total([make(1), (make(2), [make(3)]), {4}, frozenset({5}), bytearray([6])])) == 21
    assert compss_wait_on(kinds([{"a": 1}, np.zeros(2), "text"])) == ["dict", "ndarray", "str"]
    blocks = np.empty((2, 2), dtype=object)
    for place in np.ndindex(2, 2):
        blocks[place] = make(sum(place))
    assert compss_wait_on(total(blocks[0])) == 1 and compss_wait_on(total(blocks[:, 1])) == 3
    assert compss_wait_on(total(make(number) for number in range(4))) == 6
    """
    )


def test_no_collection_at_all_is_an_empty_list_in_a_session(program):
    ended = program(
        IMPORTS
        + """
    @task(c=COLLECTION_IN, returns=1)
    def count(c=None):
        return c if c is None else len(c)

    print(compss_wait_on(count(None)), compss_wait_on(count()), compss_wait_on(count([])))
    """
    )
    assert ended.stdout == ("0 0 0\n" if program.parallel else "None None 0\n")


def test_placeholders_are_rebound_and_nested_lists_are_sliced_and_transposed_between_calls(program):
    program(
        IMPORTS
        + """
    import numpy as np

    @task(blocks={Type: COLLECTION_OUT, Depth: 2})
    def fill(blocks, start):
        for i in range(len(blocks)):
            for j in range(len(blocks[i])):
                blocks[i][j] = np.full(2, start + 10 * i + j)

    @task(blocks={Type: COLLECTION_INOUT, Depth: 1})
    def double(blocks):
        for i in range(len(blocks)):
            blocks[i] = 2 * blocks[i]

    @task(row=COLLECTION_IN, returns=1)
    def total(row):
        return float(sum(block.sum() for block in row))

    blocks = [[object() for _ in range(3)] for _ in range(2)]
    fill(blocks, 1)
    transposed = [list(column) for column in zip(*blocks)]
    assert compss_wait_on([total(column) for column in transposed]) == [24.0, 28.0, 32.0]
    double(blocks[0])
    assert compss_wait_on([total(row) for row in blocks]) == [24.0, 72.0]
    assert compss_wait_on(blocks)[0][1].tolist() == [4, 4]
    """
    )


def test_thousands_of_placeholders(program):
    program(
        IMPORTS
        + """
    @task(c=COLLECTION_OUT)
    def fill(c):
        for place in range(len(c)):
            c[place] = place

    @task(item=INOUT)
    def drop(item):
        pass

    groups = [[object() for _ in range(100)] for _ in range(100)]
    for group in groups:
        fill(group)
    for group in groups:
        assert compss_wait_on(group) == list(range(100))
        for item in group:
            compss_delete_object(item)
    """
    )


def test_results_take_any_sequence_and_a_function_is_no_class(program):
    program(
        IMPORTS
        + """
    import numpy as np

    class Model:
        def __init__(self):
            self.fitted = False

        @task(target_direction=INOUT)
        def fit(self):
            self.fitted = True

    @task(returns=3)
    def rows(matrix):
        return matrix

    @task(returns=np.array)
    def array(x):
        return np.full(2, x)

    @task(returns=Model)
    def model():
        return Model()

    parts = rows(np.arange(6).reshape(3, 2))
    assert isinstance(parts, (list, np.ndarray))
    assert [part.tolist() for part in compss_wait_on(list(parts))] == [[0, 1], [2, 3], [4, 5]]
    assert compss_wait_on(array(7)).tolist() == [7, 7]
    fitted = model()
    fitted.fit()
    assert compss_wait_on(fitted).fitted is True
    """
    )


def test_objects_are_deleted_from_anywhere_and_at_the_end(program):
    ended = program(
        IMPORTS
        + """
    import gc
    import threading

    @task(returns=1)
    def make(x):
        return [x]

    @task(item=INOUT)
    def touch(item):
        item.append(1)

    class Owner:
        def __init__(self):
            self.item = []
            touch(self.item)
            self.future = make(1)
            self.cycle = self

        def __del__(self):
            assert compss_delete_object(self.item) is True
            assert compss_delete_object(self.future, 1, None, [None], "text") is True

    owners = [Owner() for _ in range(200)]
    thread = threading.Thread(target=lambda: [compss_delete_object(owner.item) for owner in list(owners)])
    thread.start()
    del owners[:100]
    gc.collect()
    thread.join()
    kept = Owner()  # its __del__ is called when the interpreter ends
    print("end")
    """
    )
    assert (ended.stdout, ended.stderr) == ("end\n", "")


def test_arguments_are_copies_and_a_random_state_does_not_leak_back(program):
    ended = program(
        IMPORTS
        + """
    import numpy as np

    @task(returns=1)
    def draw(state):
        return state.random_sample()

    state = np.random.RandomState(0)
    first, second = compss_wait_on(draw(state), draw(state))
    print(first == second, first == np.random.RandomState(0).random_sample())
    """
    )
    assert ended.stdout == ("True True\n" if program.parallel else "False True\n")


def test_a_memory_mapped_file_is_written_in_place(program):
    program(
        IMPORTS
        + """
    import numpy as np

    @task(path=FILE_INOUT)
    def fill(path, row):
        mapped = np.memmap(path, dtype="float64", mode="r+", shape=(3, 4))
        mapped[row] = row + 1
        mapped.flush()

    np.memmap("matrix", dtype="float64", mode="w+", shape=(3, 4)).flush()
    for row in range(3):
        fill("matrix", row)
    compss_wait_on_file("matrix")
    assert np.fromfile("matrix").reshape(3, 4).sum(axis=1).tolist() == [4.0, 8.0, 12.0]
    """
    )


def test_lambdas_call_time_results_and_inferred_ones(program):
    program(
        IMPORTS
        + """
    @task()
    def split(items, parts):
        return [items[place::parts] for place in range(parts)]

    @task(returns="value_of(parts)")
    def declared(items, parts):
        return [items[place::parts] for place in range(parts)]

    @task(returns=1)
    def mapped(function, items):
        return [function(item) for item in items]

    halves = split(list(range(4)), 2, returns=2)
    assert compss_wait_on([mapped(lambda x: 10 * x, half) for half in list(halves)]) == [[0, 20], [10, 30]]
    assert compss_wait_on(list(declared([1, 2, 3], 3))) == [[1], [2], [3]]
    """
    )


def test_what_native_code_prints_is_in_the_log_of_the_executor(runtask):
    ended = runtask(
        IMPORTS
        + """
    import os

    @task()
    def native():
        os.write(1, b"from native code\\n")

    native()
    """
    )
    assert ended.returncode == 0
    (log,) = (runtask.folder / ".taskflow").glob("*/executor-*.log")
    assert "from native code\n" in log.read_text()


# --- where code and data lie --------------------------------------------------------------------------------


def test_functions_and_classes_of_the_main_file_need_no_guard(program):
    program(
        IMPORTS
        + """
    class Point:
        def __init__(self, x=0):
            self.x = x

        @task(returns=int, target_direction=IN)
        def doubled(self):
            return 2 * self.x

    scale = 3

    @task(returns=Point)
    def scaled(point):
        return Point(point.x * scale)

    point = scaled(Point(2))
    assert compss_wait_on(point.doubled()) == 12
    assert isinstance(compss_wait_on(point), Point)
    """
    )


def test_relative_paths_are_those_of_the_folder_the_program_was_started_in(program):
    program(
        IMPORTS
        + """
    import os

    @task(path=FILE_IN, returns=1)
    def first(path):
        with open(path) as file:
            return os.path.isabs(path), file.readline()

    os.makedirs("data/inner", exist_ok=True)
    with open("data/inner/file", "w") as file:
        file.write("content")
    assert compss_wait_on(first("data/inner/file"))[1] == "content"
    assert compss_wait_on(first("./data/../data/inner/file"))[1] == "content"
    """
    )


def test_a_script_in_a_package_imports_the_package_it_lies_in(runtask):
    runtask.write("", "project/__init__.py")
    runtask.write("", "project/core/__init__.py")
    runtask.write(
        """
        from pycompss.api.task import task
        from project.core.helpers import factor

        @task(returns=1)
        def scaled(x):
            return __name__, factor * x
        """,
        "project/core/tasks.py",
    )
    runtask.write("factor = 3", "project/core/helpers.py")
    runtask.write(
        """
        from pycompss.api.api import compss_wait_on
        from project.core.tasks import scaled
        import helpers

        if __name__ == "__main__":
            print(compss_wait_on(scaled(2)), helpers.factor)
        """,
        "project/core/app.py",
    )
    ended = runtask.words("--workers=1", "project/core/app.py")
    assert (ended.stdout, ended.stderr) == ("('project.core.tasks', 6) 3\n", "")


def test_another_pycompss_is_used_by_tasks_only_if_the_program_uses_it(runtask):
    runtask.write("other = True", "pycompss/__init__.py")
    text = """
        import pycompss
        import taskflow

        @taskflow.task(returns=1)
        def which():
            import pycompss
            return getattr(pycompss, "other", False)

        if taskflow.runtime.session is None:
            taskflow.start(workers=1, progress=False)
        print(getattr(pycompss, "other", False), which().result())
        taskflow.stop()
        """
    text = text.replace("import taskflow\n", "import taskflow\n        import taskflow.runtime\n", 1)
    assert runtask(text).stdout == "False False\n"
    import sys

    assert runtask.words("app.py", command=(sys.executable,)).stdout == "True True\n"
