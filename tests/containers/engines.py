"""The engines that tests run containers with, each with storage of its own and an image made of this machine's files.

None of them reaches a registry, or a network. What an engine needs in order to work where the tests run (as root, or
where hard limits cannot be raised) is written here, not expected of the machine.
"""

import contextlib
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IMAGE = "taskflow-test:1"
APPTAINER = "/opt/taskflow-apptainer/usr/bin"  #: where scripts/setup-apptainer puts it, if the system has none


class Docker:
    """A daemon of our own."""

    name = "DOCKER"
    image = IMAGE
    programs = ("docker", "dockerd")

    def __init__(self, archive, folder):
        # The path of a socket is short, and not every place can hold layers: not a folder of pytest's.
        self.folder = Path(tempfile.mkdtemp(prefix="tf-docker-"))
        self.variables = {"DOCKER_HOST": f"unix://{self.folder}/docker.sock"}
        self._log = folder / "dockerd.log"
        for driver in ("overlay2", "vfs"):
            if self._start(driver):
                break
        else:
            self.close()
            raise RuntimeError(f"dockerd does not start: {self._log.read_text()[-2000:]}")
        run(["docker", "import", str(archive), IMAGE], self.variables)

    def _start(self, driver):
        with self._log.open("wb") as log:
            self._daemon = subprocess.Popen(
                [which("dockerd"), "--host", self.variables["DOCKER_HOST"], "--data-root", f"{self.folder}/data",
                 "--exec-root", f"{self.folder}/exec", "--pidfile", f"{self.folder}/pid", "--storage-driver", driver,
                 "--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false"],
                env={**os.environ, "PATH": search_path()}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + 20
        while self._daemon.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(AssertionError):
                run(["docker", "version"], self.variables)
                return True
            time.sleep(0.05)
        self._end()
        return False

    def left(self):
        """Names of all containers, whatever their state."""
        said = run(["docker", "ps", "--all", "--format", "{{.Names}}"], self.variables)
        return said.split()

    def _end(self):
        self._daemon.terminate()
        try:
            self._daemon.wait(10)
        except subprocess.TimeoutExpired:
            self._daemon.kill()
            self._daemon.wait()

    def close(self):
        self._end()
        unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


class Podman:
    """No daemon, storage of our own."""

    name = "PODMAN"
    image = IMAGE
    programs = ("podman", "runc")

    def __init__(self, archive, folder):  # noqa: ARG002  all engines are made alike
        self.folder = Path(tempfile.mkdtemp(prefix="tf-podman-"))
        most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 20000)
        (self.folder / "containers.conf").write_text(
            f'[containers]\ndefault_ulimits = ["nofile={most}:{most}", "nproc={most}:{most}"]\nnetns = "none"\n'
            'cgroups = "enabled"\n[engine]\nruntime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
        )
        (self.folder / "storage.conf").write_text(
            f'[storage]\ndriver = "overlay"\ngraphroot = "{self.folder}/graph"\nrunroot = "{self.folder}/run"\n'
        )
        self.variables = {
            "CONTAINERS_CONF": f"{self.folder}/containers.conf",
            "CONTAINERS_STORAGE_CONF": f"{self.folder}/storage.conf",
        }
        run(["podman", "import", "--quiet", str(archive), IMAGE], self.variables)

    def left(self):
        """Names of all containers, whatever their state."""
        return run(["podman", "ps", "--all", "--format", "{{.Names}}"], self.variables).split()

    def close(self):
        unmount_below(self.folder)
        shutil.rmtree(self.folder, ignore_errors=True)


class Apptainer:
    """An image is a folder; a container is a process like others."""

    name = "APPTAINER"
    programs = ("apptainer",)

    def __init__(self, archive, folder):  # noqa: ARG002  all engines are made alike
        self.image = str(archive.parent / "root")
        self.variables = {}

    def left(self):
        """Nothing remains but processes."""
        return []

    def close(self):
        pass


class Udocker:
    """What Apptainer runs, from images kept by uDocker. To unpack an image for each task would take seconds."""

    name = "UDOCKER"
    image = "box"
    programs = ("udocker", "apptainer")

    def __init__(self, archive, folder):
        self.folder = folder / "udocker"
        (self.folder / "lib").mkdir(parents=True)
        (self.folder / "lib/VERSION").write_text("1.2.11")  # or it would try to fetch programs that are not needed
        self.variables = {
            "UDOCKER_DIR": str(self.folder),
            "UDOCKER_DEFAULT_EXECUTION_MODE": "S1",
            "UDOCKER_USE_SINGULARITY_EXECUTABLE": which("apptainer"),
        }
        run(["udocker", "--allow-root", "import", str(archive), IMAGE], self.variables)
        run(["udocker", "--allow-root", "create", f"--name={self.image}", IMAGE], self.variables)

    def left(self):
        """Names of all containers."""
        said = run(["udocker", "--allow-root", "ps"], self.variables)
        return [line for line in said.splitlines() if "['taskflow-" in line]

    def close(self):
        pass


ENGINES = {kind.name: kind for kind in (Docker, Podman, Apptainer, Udocker)}


def search_path():
    """The folders of programs: those of the system, of this interpreter, and where Apptainer was unpacked."""
    return os.pathsep.join([
        os.environ.get("PATH", ""), "/usr/sbin", "/sbin", os.path.dirname(sys.executable), APPTAINER,
    ])  # fmt: skip


def which(program):
    return shutil.which(program, path=search_path())


def missing(name):
    """Programs of an engine that are not there."""
    return [program for program in ENGINES[name].programs if which(program) is None]


def run(command, variables):
    """Run a program of an engine to its end, which must be a good one; give what it has written."""
    done = subprocess.run(
        [which(command[0]), *command[1:]], env={**os.environ, "PATH": search_path(), **variables}, check=False,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def unmount_below(folder):
    """What a daemon that was killed has left mounted."""
    with open("/proc/self/mounts") as file:
        places = [line.split()[1] for line in file]
    for place in sorted((place for place in places if place.startswith(f"{folder}/")), reverse=True):
        with contextlib.suppress(subprocess.SubprocessError, OSError):
            subprocess.run(["umount", "--lazy", place], check=False, timeout=10, capture_output=True)
