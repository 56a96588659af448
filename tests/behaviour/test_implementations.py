"""Several implementations of one task, scenario S26 among them."""

import time

import pytest

import taskflow
from taskflow import RequirementsError, compss_wait_on, constraint, implement, task
from taskflow.model.errors import ArgumentError

HERE = __name__


@implement(source_class=HERE, method="solve")
@constraint(app_software="NUMPY")
@task(returns=1)
def solve_with_numpy(x):
    return "numpy", x


@implement(source_class=HERE, method="solve")
@constraint(computing_units="100")
@task(returns=1)
def solve_on_many(x):
    return "many", x


@task(returns=1)
def solve(x):
    return "plain", x


@task(returns=1)
def wait(x):
    time.sleep(0.02)
    return "slow", x


@implement(source_class=HERE, method="wait")
@task(returns=1)
def wait_less(x):
    return "quick", x


@constraint(computing_units=64)
@task(returns=1)
def impossible(x):
    return x


@implement(source_class=HERE, method="impossible")
@constraint(memory_size=10**7)
@task(returns=1)
def impossible_too(x):
    return x


class Solver:
    factor = 3

    @task(returns=1)
    def scale(self, x):
        time.sleep(0.01)
        return self.factor * x

    @implement(source_class=f"{HERE}.Solver", method="scale")
    @constraint(computing_units=2)
    @task(returns=1)
    def scale_wide(self, x):
        return self.factor * x


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
def test_s26_only_implementations_that_fit_are_run():
    assert compss_wait_on([solve(n) for n in range(5)]) == [("plain", n) for n in range(5)]


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
def test_s26_calling_an_implementation_calls_the_task():
    assert compss_wait_on(solve_with_numpy(1)) == ("plain", 1)
    assert compss_wait_on(solve_on_many(x=2)) == ("plain", 2)


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local")
def test_each_implementation_is_tried_and_the_quickest_is_kept():
    seen = [compss_wait_on(wait(n)) for n in range(8)]
    assert [value for _, value in seen] == list(range(8))
    assert [name for name, _ in seen[:2]] == ["slow", "quick"]
    assert {name for name, _ in seen[2:]} == {"quick"}


@pytest.mark.usefixtures("engine")
def test_methods_have_implementations():
    solver = Solver()
    assert compss_wait_on([solver.scale(n) for n in range(6)]) == [3 * n for n in range(6)]


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "simulated")
def test_if_no_implementation_can_run_the_call_says_why_for_each():
    with pytest.raises(RequirementsError) as caught:
        impossible(1)
    assert "task impossible needs" in str(caught.value)
    assert "task impossible_too needs" in str(caught.value)


def test_without_a_session_each_is_the_function_it_is():
    taskflow.stop()
    assert solve(1) == ("plain", 1)
    assert solve_with_numpy(1) == ("numpy", 1)


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local")
def test_an_implementation_must_have_the_same_parameters():
    @task(returns=1)
    def original(x):
        return x

    @implement(source_class="tests.somewhere", method="original")
    @task(returns=1)
    def other(x, y):
        return x + y

    original.__taskflow_function__.__module__ = "tests.somewhere"
    original.__taskflow_function__.__qualname__ = "original"
    with pytest.raises(ArgumentError, match=r"other cannot stand in for .*original: their parameters differ"):
        original(1)


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local")
def test_an_implementation_of_nothing_cannot_be_called():
    @implement(source_class="no.such", method="thing")
    @task(returns=1)
    def stray(x):
        return x

    with pytest.raises(ArgumentError, match=r"there is no task no\.such\.thing"):
        stray(1)


@pytest.mark.parametrize("missing", ["source_class", "method"])
def test_both_arguments_are_needed(missing):
    arguments = {"source_class": "a", "method": "b"}
    del arguments[missing]
    with pytest.raises(ArgumentError, match=f"@implement needs the argument '{missing}'"):
        implement(**arguments)


PROGRAM = """
from taskflow import compss_wait_on, implement, task

@implement(source_class="script", method="work")
@task(returns=1)
def work_differently(x):
    return -x

@task(returns=1)
def work(x):
    return x

if __name__ == "__main__":
    import taskflow
    with taskflow.session(workers=1, progress=False):
        first = compss_wait_on(work(1))
        second = compss_wait_on(work(1))
    print(sorted([first, second]))
"""


def test_the_main_program_is_known_by_the_name_of_its_file(script):
    done = script(PROGRAM)
    assert done.stderr == ""
    assert done.stdout == "[-1, 1]\n"
