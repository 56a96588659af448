"""S23: limits of time, for one task and for the whole program."""

import os
import time

import pytest

from taskflow import (
    TaskflowError,
    TimeOutError,
    compss_set_wall_clock,
    compss_wait_on,
    task,
)


def count_run(folder):
    with open(os.path.join(folder, os.urandom(6).hex()), "x"):
        pass


@task(returns=1, time_out=0.3)
def sleep(folder, seconds):
    count_run(folder)
    time.sleep(seconds)
    return seconds


@task(returns=1, time_out=0.2, on_failure="FAIL")
def spin_in_native_code(folder):
    count_run(folder)
    return sum(range(10**12))  # a loop in C that looks at no signal


@task(returns=1)
def identity(x):
    return x


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local")
def test_s23_a_task_within_its_time_is_not_disturbed(tmp_path):
    assert compss_wait_on([sleep(str(tmp_path), 0.001) for _ in range(50)]) == [0.001] * 50


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local")
def test_s23_a_task_that_takes_too_long_is_tried_four_times(tmp_path):
    with pytest.raises(TimeOutError, match=r"the time of task sleep with time_out=0\.3 was over"):
        compss_wait_on(sleep(str(tmp_path), 20))
    assert len(list(tmp_path.iterdir())) == 4


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local")
def test_native_code_is_ended_too(tmp_path):
    begin = time.monotonic()
    with pytest.raises(
        TimeOutError, match=r"spin_in_native_code, called at .*test_time_out.py:\d+, ran longer than its"
    ):
        compss_wait_on(spin_in_native_code(str(tmp_path)))
    assert time.monotonic() - begin < 20
    assert len(list(tmp_path.iterdir())) == 1
    assert compss_wait_on(identity(1)) == 1


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local")
def test_a_time_out_obeys_the_policy(tmp_path):
    late = sleep(str(tmp_path), 20, on_failure="IGNORE", defaults={"returns": "late"})
    assert compss_wait_on(identity(late)) == "late"
    assert isinstance(late.exception(), TimeOutError)


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("simulated")
def test_in_virtual_time():
    @task(returns=1, time_out=1e-9, on_failure="FAIL")
    def instant(x):
        return x

    with pytest.raises(TimeOutError):
        compss_wait_on(instant(1))


def test_a_time_out_that_makes_no_sense_is_refused():
    with pytest.raises(ValueError, match="time_out must be 0"):
        task(time_out=-1)(lambda: None)
    with pytest.raises(TypeError, match="time_out is a number of seconds"):
        task(time_out="soon")(lambda: None)


PROGRAM = """
    import time
    import taskflow
    from taskflow import task, compss_set_wall_clock, compss_barrier

    @task()
    def sleep(seconds):
        time.sleep(seconds)

    if __name__ == "__main__":
        with taskflow.session(workers=2, progress=False) as session:
            sleep(0)
            sleep(0)
            compss_barrier()
            compss_set_wall_clock(1)
            for _ in range(48):
                sleep(60)
            try:
                {wait}
            finally:
                kernel = session.engine.kernel
                print(kernel.cancelled_count, "cancelled", flush=True)
"""


@pytest.mark.parametrize("wait", ["compss_barrier()", "time.sleep(60)"])
def test_s23_wall_clock_cancels_everything_and_ends_the_program(script, wait):
    begin = time.monotonic()
    done = script(PROGRAM.format(wait=wait))
    assert done.returncode == 1
    assert "WallClockError: the wall clock limit of 1 seconds was reached" in done.stderr
    assert done.stdout == "48 cancelled\n"
    assert time.monotonic() - begin < 25


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local", "sequential")
def test_wall_clock_that_is_not_reached_has_no_effect():
    compss_set_wall_clock(1000)
    assert compss_wait_on(identity(1)) == 1


@pytest.mark.usefixtures("engine")
@pytest.mark.engines("local")
def test_wall_clock_needs_the_main_thread():
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1) as pool, pytest.raises(TaskflowError, match="main thread"):
        pool.submit(compss_set_wall_clock, 10).result()
