"""Programs that are started in a way of their own: for OmpSs, by Julia, by Decaf."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import sys
from typing import ClassVar

from taskflow.model.errors import ProgramError
from taskflow.runners.binary import Program

NO_LIBRARY = "null"


@dataclasses.dataclass(frozen=True)
class OmpSs(Program):
    """A program of OmpSs: its runtime has as many threads as the task has computing units."""

    decorator: ClassVar[str] = "ompss"

    def variables(self) -> dict[str, str]:
        """See `Program.variables`. Nanos++ and Nanos6 read variables of different names."""
        threads = os.environ.get("COMPSS_NUM_THREADS", "1")
        return {"OMP_NUM_THREADS": threads, "NX_SMP_WORKERS": threads, "NANOS6_CPUS": threads}


@dataclasses.dataclass(frozen=True)
class Julia(Program):
    """A script of Julia. ``binary`` is the executor, ``script`` what it runs."""

    script: str = ""

    decorator: ClassVar[str] = "julia"

    def argv(self, texts: dict[str, list[str]], folder: str) -> list[str]:
        """See `Program.argv`."""
        executor = self.tool(self.binary, folder, "Julia is to be had from julialang.org; executor= names another path")
        return [executor, self.file(self.script, folder, "script"), *self.arguments(texts, folder)]

    def variables(self) -> dict[str, str]:
        """See `Program.variables`."""
        return {"JULIA_NUM_THREADS": os.environ.get("COMPSS_NUM_THREADS", "1")}


@dataclasses.dataclass(frozen=True)
class Decaf(Program):
    """A dataflow of Decaf: a script in Python, which writes the executor, and then the executor.

    ``binary`` is the script; it gets the arguments of the task. ``executor`` is looked for in the folder that both run
    in. ``library``: a file that is put there for the executor, or "null".
    """

    executor: str = ""
    runner: str = ""
    library: str = NO_LIBRARY

    decorator: ClassVar[str] = "decaf"

    def run(self, texts: dict[str, list[str]]) -> int:
        """See `Program.run`. The exit value is that of the executor; a script that fails is always a failure."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(self.folder(texts))
            script = self.file(self.binary, folder, "df_script")
            runner = self.tool(self.runner, folder, "install Open MPI or MPICH there; runner= names another path")
            variables = {**self.variables(), "DECAF_RUNNER": runner, "DECAF_EXECUTOR": self.executor}
            if self.library != NO_LIBRARY:
                library = self.file(self.library, folder, "df_lib")
                variables["DECAF_LIBRARY"] = there = os.path.join(folder, os.path.basename(library))
                if not os.path.exists(there):
                    os.symlink(library, there)
            argv = [sys.executable, script, *self.arguments(texts, folder)]
            dataclasses.replace(self, fail_by_exit_value=True).execute(argv, texts, folder, {}, variables)
            return self.execute([self._executor(folder)], texts, folder, self.streams(texts, stack), variables)

    def _executor(self, folder: str) -> str:
        path = os.path.join(folder, os.path.expandvars(self.executor))
        if not os.path.isfile(path):
            raise ProgramError(
                f"{self.where}: {self.binary} has not written the executor {path}; df_executor= is what it is called"
            )
        os.chmod(path, os.stat(path).st_mode | 0o100)
        return path
