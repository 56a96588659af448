"""What a type checker makes of a program that uses the public names."""

import importlib.resources
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = str(ROOT / "src")
CACHE = f"--cache-dir={ROOT / '.mypy_cache' / 'public-names'}"


@pytest.fixture
def check(tmp_path):
    """Run mypy --strict on a program; its complaints."""

    def run(text):
        program = tmp_path / "program.py"
        program.write_text(textwrap.dedent(text))
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "mypy",
                "--strict",
                "--follow-imports=silent",
                "--no-error-summary",
                CACHE,
                "program.py",
            ],
            cwd=tmp_path,
            env={**os.environ, "MYPYPATH": SOURCE},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stderr == ""
        return done.stdout.splitlines()

    return run


def test_public_names_have_the_types_that_a_user_expects(check):
    complaints = check(
        """
        from __future__ import annotations

        import taskflow
        from taskflow import (
            COLLECTION_IN, COMMUTATIVE, CONCURRENT, DICTIONARY_INOUT, FILE_IN, FILE_INOUT, FILE_OUT, IN,
            IN_DELETE, INOUT, OUT,
            Depth, Future, TaskGroup, Type, as_completed, compss_barrier, compss_barrier_group,
            compss_delete_file, compss_delete_object, compss_file_exists, compss_open, compss_wait_on,
            compss_wait_on_directory, compss_wait_on_file, future_of, put, task,
        )

        @task(returns=1, a=IN, b=INOUT, blocks={Type: COLLECTION_IN, Depth: 2})
        def add(a: int, b: int = 2, *, blocks: list[list[int]] | None = None) -> int:
            return a + b

        @task
        def bare(text: str) -> str:
            return text

        class Counter:
            @task(returns=1, target_direction=INOUT)
            def increase(self, n: int) -> int:
                return n

            @classmethod
            @task(returns=1)
            def made(cls, n: int) -> Counter:
                return cls()

            @staticmethod
            @task(returns=1)
            def half(n: int) -> float:
                return n / 2

        @task(path=FILE_OUT)
        def write(path: str) -> None: ...

        number: int = add(1, 2)
        waited: int = compss_wait_on(number)
        several: list[int] = compss_wait_on([add(n) for n in range(3)])
        pairs: dict[str, int] = compss_wait_on({"a": add(1)})
        both = compss_wait_on(add(1), bare("x"))
        kept: int = compss_wait_on(number, mode="r", timeout=2.5)
        text: str = compss_wait_on(bare("x"))
        counter: Counter = Counter.made(1)
        counted: int = Counter().increase(1)
        halved: float = Counter.half(1)
        future: Future[int] = future_of(number)
        value: int = future.result(timeout=1)
        done: bool = future.done()
        stored: Future[list[int]] = put([1])

        async def wait() -> int:
            return await future

        for finished in as_completed([future]):
            print(finished)
        with TaskGroup("g", implicit_barrier=True):
            write("x")
        compss_barrier()
        compss_barrier_group("g")
        deleted: bool = compss_delete_object(number)
        with taskflow.session(workers=2) as session:
            print(session.workers)
        taskflow.start(workers=2)
        taskflow.stop()
        """
    )
    assert complaints == []


def test_mistakes_are_found(check):
    complaints = check(
        """
        from taskflow import compss_wait_on, task

        @task(returns=1)
        def add(a: int, b: int = 2) -> int:
            return a + b

        add("text")
        add(1, 2, 3)
        text: str = compss_wait_on(add(1))
        """
    )
    assert len(complaints) == 3
    assert 'incompatible type "str"; expected "int"' in complaints[0]
    assert "Too many arguments" in complaints[1]
    assert "Incompatible types in assignment" in complaints[2]


def test_package_says_that_it_is_typed():
    assert (importlib.resources.files("taskflow") / "py.typed").is_file()
