"""The engines that run containers: their command lines, what they can limit, and what their complaints mean.

An engine is a program of the node. It is given the path of nothing but what a task needs, the user's own id, no
network unless one is asked for, and the limits of the task as far as it can enforce them. Names and values of
environment variables are passed in the environment of the engine's program where it can take them from there: a command
line can be read by everybody.
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import os
import re
import shutil
import subprocess
from typing import Any, ClassVar

from taskflow.model.errors import ContainerError

PATIENCE_S = 30.0  #: longest that an engine may take to say what it can do
LEAST_MEMORY = 6 << 20  #: bytes; Docker takes no lower limit
_SELINUX = "/sys/fs/selinux/enforce"


@dataclasses.dataclass(frozen=True)
class Mount:
    """A file or a folder that is to be seen inside, at ``path``; ``source``: where it is outside ("": there, too)."""

    path: str
    source: str = ""
    writable: bool = False

    @property
    def outside(self) -> str:
        """Where it is outside."""
        return self.source or self.path


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the task may use. ``memory``: bytes, 0: any. ``cores``: their numbers, with commas; "": any ``cpus``.

    ``gpus``: those it has, by the names that drivers know them by; ``amd``: they are of AMD.
    """

    memory: int = 0
    cpus: int = 0
    cores: str = ""
    gpus: tuple[str, ...] = ()
    amd: bool = False


@dataclasses.dataclass(frozen=True)
class Order:
    """A container that is to be run. ``name`` is one that no other container has; ``scratch``: a folder of its own.

    ``variables``: environment variables that it sees. ``options``: more flags for the engine. ``attended``: it reads
    from standard input.
    """

    name: str
    image: str
    argv: tuple[str, ...]
    cwd: str
    scratch: str
    mounts: tuple[Mount, ...]
    variables: dict[str, str]
    limits: Limits
    options: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    network: bool = False
    attended: bool = False

    def has(self, *flags: str) -> bool:
        """Whether one of the flags is among the options, so that it must not be given a second time."""
        return any(option.partition("=")[0] in flags for option in self.options)


class Engine:
    """An engine on this node; ``program``: the path of its program."""

    title: ClassVar[str]
    programs: ClassVar[tuple[str, ...]]
    remedy: ClassVar[str]  #: how to get it
    mounts_files: ClassVar[bool] = True  #: not only folders

    def __init__(self, program: str) -> None:
        self.program = program

    def prepare(self, order: Order) -> None:
        """See that the engine works here, and has the image if it can tell. Raises ContainerError."""

    def command(self, order: Order) -> list[str]:
        """What runs the container, and ends when it has ended."""
        raise NotImplementedError

    def environment(self, order: Order) -> dict[str, str]:
        """Variables for the engine's program."""
        return order.variables

    def ends(self, name: str) -> list[list[str]]:
        """Commands that end a container, and remove what it has left."""
        raise NotImplementedError

    def notes(self, order: Order) -> list[str]:
        """What was asked for and the engine cannot do here."""
        raise NotImplementedError

    def problem(self, code: int, said: str, order: Order) -> str:
        """What the end of the engine's program means if it was the engine that failed, not the program inside."""
        raise NotImplementedError

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Have the engine's program say something."""
        command = [self.program, *arguments]
        try:
            return subprocess.run(
                command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE_S, check=False,
                errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise ContainerError(
                f"{self.title} on {_here()} has not answered {' '.join(command)} within {PATIENCE_S:g} seconds"
            ) from None
        except OSError as error:
            raise ContainerError(f"{self.program} on {_here()} cannot be started: {error.strerror}") from None


def engine(name: str) -> Engine:
    """The engine of that name on this node. Raises ContainerError if it is not there."""
    found = _found.get(name)
    if found is None:
        kind = ENGINES[name]
        for program in kind.programs:
            path = shutil.which(program)
            if path is not None:
                found = _found[name] = kind(path)
                break
        else:
            wanted = " or ".join(kind.programs)
            raise ContainerError(
                f"{kind.title} is not on {_here()}: there is no program {wanted} in the folders of PATH "
                f"({os.environ.get('PATH', '')}). {kind.remedy}"
            )
    return found


_found: dict[str, Engine] = {}  # those that this process has looked for with success


# ---------------------------------------------------------------------- Docker, Podman


@dataclasses.dataclass(frozen=True)
class Abilities:
    """What a Docker or a Podman can do on this node."""

    memory: bool
    swap: bool
    cpus: bool
    cores: bool
    rootless: bool


class OpenContainers(Engine):
    """What Docker and Podman have in common."""

    limits_hint: ClassVar[str]  #: where it is said what limits containers begin with

    @functools.cached_property
    def abilities(self) -> Abilities:
        """What it can do. Raises ContainerError if it does not work at all."""
        said = self._ask("info", "--format", "{{json .}}")
        if said.returncode != 0:
            raise ContainerError(self._unusable(said.stderr.strip() or said.stdout.strip()))
        try:
            return self._abilities(json.loads(said.stdout))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ContainerError(f"{self.title} on {_here()} says of itself what makes no sense: {error!r}") from None

    def _abilities(self, info: Any) -> Abilities:
        raise NotImplementedError

    def _unusable(self, said: str) -> str:
        return f"{self.title} does not work on {_here()}: {said}"

    def prepare(self, order: Order) -> None:  # noqa: ARG002  the image is looked for when it is run
        """See `Engine.prepare`."""
        self.abilities  # noqa: B018

    def command(self, order: Order) -> list[str]:
        """See `Engine.command`."""
        can, limits = self.abilities, order.limits
        flags = ["run", "--rm", "--name", order.name, "--workdir", order.cwd, "--entrypoint", ""]
        flags += [f"--label={name}={value}" for name, value in order.labels]
        if not order.has("--pull"):
            flags.append("--pull=never")
        if not order.has("--network", "--net"):
            flags += ["--network", "host" if order.network else "none"]
        if not order.has("--user", "-u"):
            flags += self._user()
        flags += [f"--mount={_mount_text(mount)}" for mount in order.mounts]
        flags += [f"--env={name}" for name in order.variables]
        if limits.memory and can.memory:
            flags.append(f"--memory={limits.memory}")
            if can.swap:
                flags.append(f"--memory-swap={limits.memory}")  # together with swap, that is: none of it
        if limits.cores and can.cores:
            flags.append(f"--cpuset-cpus={limits.cores}")
        elif limits.cpus and can.cpus:
            flags.append(f"--cpus={min(limits.cpus, os.cpu_count() or limits.cpus)}")
        if limits.gpus:
            flags += ["--device=/dev/kfd", "--device=/dev/dri"] if limits.amd else self._gpus(limits.gpus)
        if os.path.exists(_SELINUX) and not order.has("--security-opt"):
            flags.append("--security-opt=label=disable")  # or it would have to relabel the user's files
        if order.attended:
            flags.append("--interactive")
        return [self.program, *flags, *order.options, order.image, *order.argv]

    def environment(self, order: Order) -> dict[str, str]:
        """See `Engine.environment`. Inside, the GPUs that it is given have the numbers from 0 on."""
        variables = dict(order.variables)
        if order.limits.gpus and not order.limits.amd:
            numbers = ",".join(map(str, range(len(order.limits.gpus))))
            variables.update({
                name: numbers for name in ("CUDA_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL") if name in variables
            })  # fmt: skip
        return variables

    def _user(self) -> list[str]:
        raise NotImplementedError

    def _gpus(self, gpus: tuple[str, ...]) -> list[str]:
        raise NotImplementedError

    def ends(self, name: str) -> list[list[str]]:
        """See `Engine.ends`."""
        return [[self.program, "kill", name], [self.program, "rm", "--force", name]]

    def notes(self, order: Order) -> list[str]:
        """See `Engine.notes`."""
        found = []
        if order.limits.memory and not self.abilities.memory:
            found.append("cannot limit the memory of containers, so memory_size does not stop tasks there")
        if order.limits.cpus and not (self.abilities.cpus or (order.limits.cores and self.abilities.cores)):
            found.append("cannot limit the processors of containers, so tasks may use more than their computing_units")
        return found

    def _not_started(self, said: str, order: Order) -> str:
        """It is the engine that has failed, whatever is in the image."""
        hint = f". {self.limits_hint}" if "rlimit" in said else ""
        return f"{self.title} on {_here()} could not start a container of the image {order.image}: {said}{hint}"

    def problem(self, code: int, said: str, order: Order) -> str:
        """See `Engine.problem`."""
        if code in (126, 127) and re.search(r"OCI runtime|OCI permission|runc|crun", said):
            if _OF_A_PROGRAM.search(said) and not _OF_THE_ENGINE.search(said):
                return f"{_no_program(order)}: {_last_line(said)}"
            return self._not_started(_last_line(said), order)
        if code != 125:
            return ""
        if _OF_THE_ENGINE.search(said):
            return self._not_started(_last_line(said), order)
        if re.search(r"[Nn]o such image|[Uu]nable to find image|image not known|does not resolve to an image|"
                     r"pull access denied|manifest unknown", said):  # fmt: skip
            return (
                f"{self.title} has no image {order.image} on {_here()}. Get it there with {self.programs[0]} pull "
                f'{order.image}, or load or import it from a file; options="--pull=missing" of @container lets '
                f"{self.title} fetch it when the task runs"
            )
        if re.search(r"select device driver|unresolvable CDI devices|nvidia\.com/gpu", said):
            return (
                f"{self.title} on {_here()} cannot give GPUs to containers (is the NVIDIA Container Toolkit installed "
                f"and configured there?): {_last_line(said)}"
            )
        return self._unusable(_last_line(said))


#: What the low-level programs of engines (crun, runc) say of a program that is not in the image, or cannot be run.
_OF_A_PROGRAM = re.compile(r"executable|\bexec:? |\bstat .*[Nn]o such file|command that was not found")
#: And of what the engine or its configuration wants and this system does not allow.
_OF_THE_ENGINE = re.compile(r"\brlimits?\b|cgroup", re.IGNORECASE)


class Docker(OpenContainers):
    """Docker: a daemon runs the containers; its client may die without them."""

    title = "Docker"
    programs = ("docker",)
    remedy = "Install Docker there (apt install docker.io, or docs.docker.com/engine/install), or use another engine"
    limits_hint = (
        "The limits (ulimits) that it is to set are in /etc/docker/daemon.json (default-ulimits) or in the options of "
        "@container; this system does not allow them"
    )

    def _abilities(self, info: Any) -> Abilities:
        rootless = any("rootless" in option for option in info.get("SecurityOptions") or ())
        return Abilities(
            bool(info["MemoryLimit"]), bool(info.get("SwapLimit")), bool(info.get("CpuCfsQuota")),
            bool(info.get("CPUSet")), rootless,
        )  # fmt: skip

    def _unusable(self, said: str) -> str:
        if "permission denied" in said:
            user = _user_name()
            return (
                f"user {user} may not use Docker on {_here()}: {_last_line(said)}. An administrator can allow it "
                f"(usermod -aG docker {user}, which is as much as root); Podman and Apptainer need no permission"
            )
        if re.search(r"Cannot connect|failed to connect|Is the docker daemon running", said):
            return (
                f"the Docker daemon does not run on {_here()} (systemctl start docker starts it), or DOCKER_HOST="
                f"{os.environ.get('DOCKER_HOST', '')!r} names another: {_last_line(said)}"
            )
        return super()._unusable(said)

    def _user(self) -> list[str]:
        if self.abilities.rootless:
            return []  # its root is the user
        groups = [f"--group-add={group}" for group in sorted(set(os.getgroups()) - {os.getgid()})]
        return ["--user", f"{os.getuid()}:{os.getgid()}", *groups]

    def _gpus(self, gpus: tuple[str, ...]) -> list[str]:
        return ["--gpus", f'"device={",".join(gpus)}"']


class Podman(OpenContainers):
    """Podman: no daemon, but what looks after a container leaves the processes that have started it."""

    title = "Podman"
    programs = ("podman",)
    remedy = "Install Podman there (apt install podman), or use another engine"
    limits_hint = (
        "The limits (ulimits) that it is to set are in containers.conf (default_ulimits, in /etc/containers or "
        "~/.config/containers) or in the options of @container; this system does not allow them"
    )

    def _abilities(self, info: Any) -> Abilities:
        host = info["host"]
        rootless = bool(host["security"]["rootless"])
        controllers = host.get("cgroupControllers") or ()
        if host.get("cgroupVersion") == "v1":
            controllers = () if rootless else controllers or ("memory", "cpu", "cpuset")
        memory = "memory" in controllers
        return Abilities(memory, memory, "cpu" in controllers, "cpuset" in controllers, rootless)

    def _user(self) -> list[str]:
        user = ["--user", f"{os.getuid()}:{os.getgid()}"]
        if self.abilities.rootless:
            return ["--userns=keep-id", *user]
        return [*user, *(f"--group-add={group}" for group in sorted(set(os.getgroups()) - {os.getgid()}))]

    def _gpus(self, gpus: tuple[str, ...]) -> list[str]:
        return [f"--device=nvidia.com/gpu={gpu}" for gpu in gpus]


# ---------------------------------------------------------------------- Apptainer


class Apptainer(Engine):
    """Apptainer, once called Singularity: a container is a child process, and its image a file or a folder.

    Its memory is looked after as that of every program a task starts (see `node.memory`).
    """

    title = "Apptainer"
    programs = ("apptainer", "singularity")
    remedy = "Install Apptainer there (see apptainer.org/docs), or use another engine"

    def prepare(self, order: Order) -> None:
        """See `Engine.prepare`."""
        if not _is_address(order.image) and not os.path.exists(order.image):
            raise ContainerError(
                f"there is no image {order.image!r} on {_here()}: for {self.title} it is the path of a .sif file or of "
                f"a folder with a root file system (apptainer build IMAGE.sif docker://NAME makes one), or an address "
                f"like docker://NAME, which is fetched when the task runs"
            )

    def command(self, order: Order) -> list[str]:
        """See `Engine.command`."""
        flags = ["exec", "--containall", "--cleanenv", "--no-home", "--workdir", order.scratch, "--pwd", order.cwd]
        if not order.network and not order.has("--net", "-n", "--network"):
            flags += ["--net", "--network", "none"]
        for mount in order.mounts:
            if set(",:").isdisjoint(mount.outside + mount.path):
                flags += ["--bind", f"{mount.outside}:{mount.path}{'' if mount.writable else ':ro'}"]
            else:
                flags += ["--mount", _mount_text(mount, "ro")]
        if order.limits.gpus:
            flags.append("--rocm" if order.limits.amd else "--nv")
        return [self.program, "--silent", *flags, *order.options, order.image, *order.argv]

    def environment(self, order: Order) -> dict[str, str]:
        """See `Engine.environment`."""
        prefix = "SINGULARITYENV_" if os.path.basename(self.program) == "singularity" else "APPTAINERENV_"
        return {prefix + name: value for name, value in order.variables.items()}

    def ends(self, name: str) -> list[list[str]]:  # noqa: ARG002  it ends with its program
        """See `Engine.ends`."""
        return []

    def notes(self, order: Order) -> list[str]:
        """See `Engine.notes`."""
        if _is_address(order.image):
            return [f"fetches the image {order.image}, unless it is in its cache"]
        return []

    def problem(self, code: int, said: str, order: Order) -> str:
        """See `Engine.problem`."""
        if code != 255 or "FATAL" not in said:
            return ""
        if "executable file not found" in said or re.search(r"stat .*: no such file or directory", said):
            return _no_program(order)
        return f"{self.title} could not run the image {order.image} on {_here()}: {_last_line(said)}"


class Singularity(Apptainer):
    """Apptainer under its former name, or the other heir of it."""

    title = "Singularity"
    programs = ("singularity", "apptainer")


def _is_address(image: str) -> bool:
    return "://" in image


# ---------------------------------------------------------------------- uDocker


class Udocker(Engine):
    """uDocker: images of Docker without privileges. What is inside is not shut off from the machine."""

    title = "uDocker"
    programs = ("udocker",)
    remedy = "Install it there with pip install udocker, or use another engine"
    mounts_files = False

    def __init__(self, program: str) -> None:
        super().__init__(program)
        self._containers: set[str] = set()

    @property
    def _start(self) -> list[str]:
        return [self.program, *(["--allow-root"] if os.getuid() == 0 else []), "--quiet"]

    def _ask(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return super()._ask(*self._start[1:], *arguments)

    def prepare(self, order: Order) -> None:
        """See `Engine.prepare`. An image may also be a container that the user has made of one."""
        if order.image in self._containers or order.has("--pull"):
            return
        said = self._ask("ps")
        if order.image in re.findall(r"(?<=')[^',]+(?=')|(?m:^[0-9a-f-]{36})", said.stdout):
            self._containers.add(order.image)
            return
        images = [line.split()[0] for line in self._ask("images").stdout.splitlines() if line.split()]
        if not {order.image, f"{order.image}:latest"} & set(images):
            raise ContainerError(
                f"uDocker has neither an image nor a container {order.image} on {_here()}. Get it there with udocker "
                f'pull {order.image}, or with udocker load or import from a file; options="--pull=missing" of '
                f"@container lets uDocker fetch it when the task runs"
            )

    def command(self, order: Order) -> list[str]:
        """See `Engine.command`."""
        flags = ["run", "--nobanner", f"--workdir={order.cwd}"]
        if order.image not in self._containers:
            flags += ["--rm", f"--name={order.name}"]
        if not order.has("--pull"):
            flags.append("--pull=never")
        flags += [f"--volume={mount.outside}:{mount.path}" for mount in order.mounts]
        flags += [f"--env={name}={value}" for name, value in order.variables.items()]
        if order.limits.cores:
            flags.append(f"--cpuset-cpus={order.limits.cores}")
        return [*self._start, *flags, *order.options, order.image, *order.argv]

    def ends(self, name: str) -> list[list[str]]:
        """See `Engine.ends`."""
        return [[*self._start, "rm", name]]

    def notes(self, order: Order) -> list[str]:
        """See `Engine.notes`."""
        return [
            "cannot protect what is mounted from being written to" + (
                "" if order.network else ", nor shut containers off from the network"
            )
        ]  # fmt: skip

    def problem(self, code: int, said: str, order: Order) -> str:
        """See `Engine.problem`."""
        if code == 0 or "Error: " not in said:
            return ""
        if "command not found or has no execute bit set" in said:
            return _no_program(order)
        if re.search(r"Error: (image|container|no files|in download|engine|invalid|bad|create|mapping)", said):
            return f"uDocker could not run the image {order.image} on {_here()}: {_last_line(said)}"
        return ""


ENGINES: dict[str, type[Engine]] = {
    "DOCKER": Docker,
    "PODMAN": Podman,
    "SINGULARITY": Singularity,
    "APPTAINER": Apptainer,
    "UDOCKER": Udocker,
}


# ---------------------------------------------------------------------- texts


def _mount_text(mount: Mount, read_only: str = "readonly") -> str:
    """The value of a flag ``--mount``: fields with commas between them, in quotation marks if need be."""
    fields = ["type=bind", f"source={mount.outside}", f"target={mount.path}", *([] if mount.writable else [read_only])]
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(fields)
    return text.getvalue()


def _no_program(order: Order) -> str:
    return f"there is no program {order.argv[0]!r} that can be run in the image {order.image}"


def _here() -> str:
    return f"node {os.uname().nodename}"


def _user_name() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _last_line(said: str) -> str:
    """The line that matters: clients add advice on how to use them."""
    lines = [line for line in said.splitlines() if line.strip() and not re.match(r"(Run|See) '", line)]
    return lines[-1].strip() if lines else "it said nothing"
