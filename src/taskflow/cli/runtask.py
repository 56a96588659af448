"""``runtask``: run a Python program with a session around it.

::

    parse ─► signals ─► session starts ─► compile, run ─► final barrier ─► graph, summary ─► exit code
                              └─ executors start in the background

The session starts before the program is read, so that executors are there when its first task comes. Whatever
way the program ends, the session ends after it: `Launch` decides how, and the exit code. What only some runs
need is imported where it is needed: a run of a small program is over in a fifth of a second.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from typing import TYPE_CHECKING

from taskflow import finder
from taskflow._version import __version__
from taskflow.cli import start
from taskflow.cli.options import Options, UsageError, help_text, parse
from taskflow.cli.program import NotRunnableError, Program
from taskflow.cli.signals import LAST_CHANCE, Signals
from taskflow.model.errors import ClusterFileError, COMPSsException, FindingsError, NodeLostError, TaskflowError

if TYPE_CHECKING:
    from collections.abc import Callable

    from taskflow import runtime
    from taskflow.launch.spawn import Zygote
    from taskflow.model.cluster import Cluster

TRACE = 5  #: the level below logging.DEBUG


def main(argv: list[str] | None = None) -> int:
    """Run the program of a command line; return the exit code."""
    words = sys.argv[1:] if argv is None else argv
    if words[:1] == ["cluster"]:
        from taskflow.cli import cluster

        start.unwatch()
        return cluster.main(words[1:])
    machines: Cluster | None = None
    try:
        options = parse(words)
        if options.action == "help":
            sys.stdout.write(help_text())
            return 0
        if options.action == "version":
            sys.stdout.write(f"taskflow {__version__}\n")
            return 0
        program = Program(options.script, options.arguments, module=options.module)
        if options.cluster.names_machines:
            from taskflow.cli.cluster import load

            machines = load(options)
        for note in options.notes:
            say(note)
        if options.env_scripts or options.home_scripts or options.pythonpath or options.library_path:
            from taskflow.cli import environment

            environment.apply(options)
    except UsageError as error:
        say(f"{error}\nSee runtask --help.")
        return 2
    except ClusterFileError as error:
        say(f"the machines cannot be used as they are described:\n{error}")
        return 2
    return Launch(options, program, machines).run()


def main_of_pycompss(argv: list[str]) -> int:
    """``python -m pycompss [run] ...``; return the exit code."""
    if argv[:1] == ["enqueue"]:
        say("this version cannot submit jobs to a batch system; write `runtask ...` into the job's script")
        return 2
    return main(argv[1:] if argv[:1] == ["run"] else argv)


def say(text: str) -> None:
    """Write a message to standard error, if anybody listens."""
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.write(f"runtask: {text}\n")
        sys.stderr.flush()


class Launch:
    """One run of a program, from the start of its session to the exit code."""

    def __init__(self, options: Options, program: Program, machines: Cluster | None = None) -> None:
        self.options = options
        self.program = program
        self.machines = machines
        self.signals = Signals()

    def run(self) -> int:
        """Run the program and end the session as the program ended."""
        from taskflow.launch.spawn import Zygote

        zygote = Zygote()  # it imports what it needs while this process does
        finder.install()
        self.program.set_up()
        if self.options.log_level is not None:
            _set_up_logging(self.options.log_level)
        try:
            session = self._start(zygote)
        except (TaskflowError, OSError) as error:
            self.signals.restore()
            say(f"the run cannot start: {error}")
            return 1 if isinstance(error, NodeLostError) else 2
        except KeyboardInterrupt:  # while it waited for the nodes
            from taskflow import runtime

            if runtime.session is not None:  # the last of them had just come
                return self._interrupted(runtime.session)
            self.signals.shut_down()  # the session has cleaned up
            say(f"{self.signals.what} while the nodes were started")
            return self.signals.exit_code
        try:
            code = self._run_and_stop(session)
            return self._report(session, code)
        except KeyboardInterrupt:  # between the steps, or during the reports
            return self._interrupted(session)
        finally:
            self.signals.restore()

    def _start(self, zygote: Zygote) -> runtime.Session:
        from taskflow import runtime

        options = self.options
        run_dir = options.run_dir or _run_dir_in(options.log_dir, self.program.name)
        if self.machines is not None and self.machines.nodes:
            self.signals.release()  # nodes that do not answer may take long
        session = runtime.start(
            workers=options.workers, run_dir=run_dir, progress=options.progress,
            max_pending=options.max_pending, io_executors=options.io_executors, services=options.services,
            check=options.check,
            nesting=options.nesting, cluster=self.machines, cluster_options=options.cluster,
            argv=self.program.argv, zygote=zygote, launched=True,
        )  # fmt: skip
        self.signals.hold()
        self.signals.session = session
        if options.log_level is not None:
            _log(f"run {session.id}: {session.workers} executors, folder {session.run_dir}")
        return session

    # ------------------------------------------------------------------ the program and its end

    def _run_and_stop(self, session: runtime.Session) -> int:
        """Run the program, then stop the session; return the exit code."""
        code, error = self._guarded(self._run_program)
        if error is None:
            # The tasks finish whatever the exit code: sys.exit() ends the main program, not its tasks.
            self.signals.phase = LAST_CHANCE
            _, error = self._guarded(lambda: _stop_in_time(session, code))
            if error is None:
                return code or session.exit_code
        if isinstance(error, KeyboardInterrupt):
            return self._interrupted(session)
        self.signals.shut_down()
        # PyCOMPSs programs end a run early in this way: it is told, and no failure.
        planned = isinstance(error, COMPSsException)
        code = 0 if planned else code or 1
        try:
            _stop(session, code, cancel=True)
        finally:
            if planned:
                say(f"a task ended the run with COMPSsException: {error}")
            else:
                self._show(error)
        return code

    def _run_program(self) -> None:
        self.signals.release()
        if self.options.wall_clock:
            from taskflow.api.functions import compss_set_wall_clock

            compss_set_wall_clock(self.options.wall_clock)
        self.program.run()

    @staticmethod
    def _guarded(action: Callable[[], None]) -> tuple[int, BaseException | None]:
        """Exit code and exception that an action ends with. The caller goes on outside of any ``except``."""
        try:
            action()
        except SystemExit as end:
            return _exit_code(end), None
        except BaseException as error:  # noqa: BLE001  whatever it is, it is shown and the session ends
            return 0, error
        return 0, None

    def _interrupted(self, session: runtime.Session) -> int:
        self.signals.shut_down()
        if session.stopped:
            say(self.signals.what)
            return self.signals.exit_code
        say(f"{self.signals.what}; unfinished tasks are cancelled")
        code = self.signals.exit_code
        _stop(session, code, cancel=True)
        return code

    def _show(self, error: BaseException) -> None:
        if isinstance(error, (NotRunnableError, FindingsError)):
            say(str(error))
            return
        from taskflow.tracebacks import show

        show(error, whole=self.options.log_level in ("debug", "trace"))

    # ------------------------------------------------------------------ reports

    def _report(self, session: runtime.Session, code: int) -> int:
        """Make what the options ask for from the journal of the run."""
        if self.options.log_level is not None:
            _log(f"run {session.id} has ended with exit code {code}")
        journal = session.run_dir / "journal.jsonl"
        options = self.options
        try:
            if options.graph is not None:
                from taskflow.observe.graph import write_dot

                path = options.graph or str(session.run_dir / "graph.dot")
                write_dot(journal, path)
                say(f"the graph is in {path}")
            if options.summary:
                from taskflow.observe.summary import format_summary, summarise

                sys.stderr.write(format_summary(summarise(journal)) + "\n")
        except (OSError, ValueError) as error:
            say(f"the report of the run could not be made: {error}")
            return code or 1
        return code


def _run_dir_in(folder: str | None, program: str) -> str | None:
    """A new folder for the run in a folder that the user has named; None: where runs usually are."""
    if folder is None:
        return None
    import os
    import time

    stem = os.path.splitext(os.path.basename(program))[0]
    return os.path.join(folder, f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}-{os.urandom(3).hex()}")


def _stop_in_time(session: runtime.Session, code: int) -> None:
    """End of the main program: wait for its threads and tasks."""
    _wait_for_threads()
    _stop(session, code & 0xFF)


def _stop(session: runtime.Session, code: int, *, cancel: bool = False) -> None:
    session.launched = False
    session.stop(cancel=cancel, code=code)


def _wait_for_threads() -> None:
    """Threads of the program that still run may call tasks: the main program has not ended before they have.

    The interpreter would wait for them a little later, in the same way; doing it twice is harmless. A plain
    ``join`` would wait for ever for the idle threads of a pool, which only this function tells to end.
    """
    others = [thread for thread in threading.enumerate() if thread is not threading.main_thread()]
    if any(not thread.daemon for thread in others):
        threading._shutdown()  # type: ignore[attr-defined]  # noqa: SLF001  see above


def _exit_code(end: SystemExit) -> int:
    """Exit code of ``sys.exit(...)``; a text is shown, and means 1."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        # Beyond 64 bits the interpreter takes -1; some versions (3.13.0) then stumble over it at their end.
        return end.code if -(2**63) <= end.code < 2**63 else -1
    with contextlib.suppress(AttributeError, OSError, ValueError):  # closed, or nobody listens
        sys.stdout.flush()
        sys.stderr.write(f"{end.code}\n")
    return 1


def _set_up_logging(level: str) -> None:
    """Send the log of the runtime to standard error, however the script sets up its own."""
    import logging

    logger = logging.getLogger("taskflow")
    logging.addLevelName(TRACE, "TRACE")
    numbers = {"off": logging.CRITICAL + 10, "trace": TRACE}
    logger.setLevel(numbers.get(level) or level.upper())
    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logger.addHandler(handler)
    logger.propagate = False


def _log(text: str) -> None:
    import logging

    logging.getLogger("taskflow").info(text)
