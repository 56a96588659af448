"""S03: arguments reach a task as they would reach a plain call."""

import os

import pytest

import taskflow
from taskflow import FILE_IN, IN, TaskflowWarning, compss_barrier, compss_wait_on, task

pytestmark = pytest.mark.usefixtures("engine")


@task(returns=1)
def f(x, y, z=100, w=1000):
    return x + y + z * w


@task(returns=1)
def total(*values):
    return sum(values)


@task(returns=1)
def count(**options):
    return len(options)


@task(returns=1)
def names(**options):
    return sorted(options.items())


@task(returns=1)
def g(a, b, *rest, **options):
    return a * b + sum(rest[1:]) + len(options) + rest[0]


@task(returns=1)
def only_keywords(*, left, right=2):
    return left - right


@task(returns=1)
def only_positional(left, right, /):
    return left - right


@task(returns=1)
def mixed(first, /, second, *rest, third, fourth=4, **others):
    return first, second, rest, third, fourth, others


@task(returns=1)
def table_default(table={"a": 1}, items=(1, 2)):  # noqa: B006  that no task changes it is what is tested
    table["a"] += len(items)
    return table["a"]


@task(returns=1, varargs_type=FILE_IN)
def joined(*paths):
    parts = []
    for path in paths:
        with open(path) as file:
            parts.append(file.read())
    return "".join(parts)


@task(returns=1, path=FILE_IN)
def read_keyword(**paths):
    with open(paths["path"]) as file:
        return file.read() + paths["other"]


@task(returns=1)
def one():
    return 1


@pytest.mark.parametrize(
    ("args", "kwargs", "expected"),
    [
        ((1, 2), {}, 100003),
        ((1, 2, 3), {}, 3003),
        ((1, 2, 3, 4), {}, 15),
        ((1,), {"y": 2}, 100003),
        ((), {"y": 2, "x": 1}, 100003),
        ((), {"w": 40, "z": 20, "x": 8, "y": 2}, 810),
        ((1, 2), {"w": 1}, 103),
        ((1,), {"z": 0, "y": 5}, 6),
    ],
)
def test_s03_eight_ways_to_call(args, kwargs, expected):
    assert compss_wait_on(f(*args, **kwargs)) == expected


def test_s03_any_number_of_futures_and_values():
    assert compss_wait_on(total()) == 0
    assert compss_wait_on(total(one(), 2, one(), 4)) == 8
    assert compss_wait_on(total(*range(300))) == sum(range(300))


def test_s03_any_number_of_keywords():
    assert compss_wait_on(count()) == 0
    assert compss_wait_on(count(a=one(), b=2, c="three")) == 3


def test_s03_positional_surplus_and_keyword_together():
    assert compss_wait_on(g(1, 2, 3, 4, 5, six=6, seven=7)) == 2 + 4 + 5 + 2 + 3


def test_s03_varargs_of_files(tmp_path):
    paths = []
    for name in "abc":
        (tmp_path / name).write_text(name)
        paths.append(str(tmp_path / name))
    assert compss_wait_on(joined(*paths)) == "abc"


def test_keyword_that_only_kwargs_takes_can_be_annotated(tmp_path):
    (tmp_path / "data").write_text("content")
    assert compss_wait_on(read_keyword(path=str(tmp_path / "data"), other="!")) == "content!"


def test_keyword_only_and_positional_only_parameters():
    assert compss_wait_on(only_keywords(left=5)) == 3
    assert compss_wait_on(only_keywords(right=one(), left=5)) == 4
    assert compss_wait_on(only_positional(5, 2)) == 3
    assert compss_wait_on(mixed(1, 2, 5, third=3, sixth=one())) == (1, 2, (5,), 3, 4, {"sixth": 1})


def test_futures_by_keyword():
    assert compss_wait_on(f(x=one(), y=one(), z=one(), w=one())) == 3


def test_keyword_with_a_name_that_the_runtime_uses_goes_to_the_function_that_has_it():
    @task(returns=1)
    def with_chunks(chunk_size, defaults=2):
        return chunk_size * defaults

    assert compss_wait_on(with_chunks(chunk_size=4, defaults=3)) == 12


def test_keywords_of_the_runtime_do_not_reach_the_function():
    assert compss_wait_on(f(1, 2, computing_nodes=1, on_failure="FAIL")) == 100003


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1,), {}), ((1, 2, 3, 4, 5), {}), ((1, 2), {"x": 1}), ((1, 2), {"unknown": 1})],
)
def test_wrong_arguments_are_refused_at_the_call_as_python_does(args, kwargs):
    with pytest.raises(TypeError, match=r"f\(\)|missing|unexpected|multiple|positional"):
        f(*args, **kwargs)


@pytest.mark.engines("local", "simulated")
def test_default_is_not_shared_between_tasks():
    assert compss_wait_on([table_default() for _ in range(10)]) == [3] * 10
    assert compss_wait_on(table_default({"a": 5})) == 7
    assert compss_wait_on(table_default(items=())) == 1


@pytest.mark.engines("local", "simulated")
def test_argument_is_a_copy_and_never_shared():
    values = [1]

    @task(returns=1)
    def extended(items):
        items.append(2)
        return items

    assert compss_wait_on(extended(values)) == [1, 2]
    assert values == [1]


def test_function_keeps_its_name_and_documentation():
    @task(returns=1, x=IN)
    def documented(x):
        """What it does."""
        return x

    assert documented.__name__ == "documented"
    assert documented.__doc__ == "What it does."
    assert documented.__wrapped__(3) == 3


def test_decorator_without_parentheses():
    @task
    def triple(x):
        return 3 * x

    assert compss_wait_on(triple(2)) == 6


def test_lambda_as_a_task():
    square = task(returns=1)(lambda x: x * x)
    assert compss_wait_on(square(7)) == 49


def test_closure_as_a_task_sees_what_it_encloses():
    factor = 6

    @task(returns=1)
    def scaled(x):
        return factor * x

    assert compss_wait_on(scaled(7)) == 42


def test_s41_task_called_inside_a_task_is_a_plain_call():
    @task(returns=1)
    def fact(n):
        value = 1 if n <= 1 else n * fact(n - 1)
        assert isinstance(value, int)
        return taskflow.compss_wait_on(value)

    assert compss_wait_on(fact(5)) == 120


@task(returns=1)
def level_three(x):
    return x + 1


@task(returns=1)
def level_two(x):
    return level_three(x) + 1


@task(returns=1)
def level_one(x):
    taskflow.compss_barrier()
    return level_two(x) + 1


def test_s41_three_levels_of_tasks_called_in_tasks():
    assert compss_wait_on(level_one(1)) == 4
    assert compss_wait_on(level_one(100)) == 103


@pytest.mark.parametrize(
    ("annotation", "error"),
    [
        ({"x": 3}, TypeError),
        ({"x": {"depht": 2}}, ValueError),
        ({"x": {"depth": 0}}, ValueError),
        ({"x": "IN"}, TypeError),
    ],
)
def test_annotation_that_makes_no_sense_is_refused_naming_the_parameter(annotation, error):
    with pytest.raises(error, match="parameter 'x'"):
        task(**annotation)(lambda x: x)


def test_annotation_of_an_unknown_parameter_is_warned_of():
    with pytest.warns(TaskflowWarning, match="no argument 'y'"):
        task(y=IN)(lambda x: x)


def test_class_method_decorator_below_task_is_refused():
    with pytest.raises(TypeError, match="above @task"):
        task()(classmethod(lambda cls: cls))


class Model:
    """S36: its data are prepared on every node before the tasks that use them run there."""

    def __init__(self, folder):
        self.folder = folder

    @task(is_replicated=True, target_direction=IN)
    def prepare(self):
        with open(os.path.join(self.folder, f"prepared-{os.urandom(4).hex()}"), "x") as file:
            file.write("3")

    @task(returns=1, target_direction=IN)
    def use(self, number):
        (prepared,) = os.listdir(self.folder)
        with open(os.path.join(self.folder, prepared)) as file:
            return int(file.read()) * number


@pytest.mark.engines("sequential", "local", "simulated")
def test_s36_a_replicated_task_runs_once_on_the_one_node(tmp_path):
    model = Model(str(tmp_path))
    model.prepare()
    compss_barrier()
    assert compss_wait_on([model.use(number) for number in range(8)]) == [3 * number for number in range(8)]
    assert len(list(tmp_path.iterdir())) == 1
