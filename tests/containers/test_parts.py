"""The parts by themselves: command lines, what is called inside, and who cleans up. No engine is needed."""

import json
import os
import pickle
import shutil
import subprocess
import sys

import pytest

from taskflow.model.errors import ContainerError
from taskflow.runners import engines, inside, janitor
from taskflow.runners.engines import Abilities, Limits, Mount, Order

ALL = Abilities(memory=True, swap=True, cpus=True, cores=True, rootless=False)


def order(**changes):
    fields = {
        "name": "taskflow-run-1-ab", "image": "image:1", "argv": ("prog", "a b"), "cwd": "/work", "scratch": "/scratch",
        "mounts": (Mount("/in"), Mount("/out", "/aside", writable=True)), "variables": {"A": "secret"},
        "limits": Limits(), **changes,
    }  # fmt: skip
    return Order(**fields)


def made(kind, abilities=ALL):
    engine = kind(f"/usr/bin/{kind.programs[0]}")
    engine.__dict__["abilities"] = abilities
    return engine


@pytest.mark.parametrize("kind", [engines.Docker, engines.Podman])
def test_the_command_of_docker_and_podman(kind):
    command = made(kind).command(order())
    assert command[1:3] == ["run", "--rm"]
    assert command[-3:] == ["image:1", "prog", "a b"]
    for flag in ("--pull=never", "--mount=type=bind,source=/in,target=/in,readonly", "--env=A",
                 "--mount=type=bind,source=/aside,target=/out"):  # fmt: skip
        assert flag in command
    assert command[command.index("--network") + 1] == "none"
    assert command[command.index("--user") + 1] == f"{os.getuid()}:{os.getgid()}"
    assert "secret" not in " ".join(command)
    assert made(kind).environment(order())["A"] == "secret"


@pytest.mark.parametrize("kind", [engines.Docker, engines.Podman])
def test_limits_are_those_of_the_task_as_far_as_the_engine_can(kind):
    limits = Limits(memory=10**9, cpus=1)
    command = made(kind).command(order(limits=limits))
    assert {"--memory=1000000000", "--memory-swap=1000000000", "--cpus=1"} <= set(command)
    command = made(kind).command(order(limits=Limits(cpus=2, cores="0,3")))
    assert "--cpuset-cpus=0,3" in command
    assert not any(flag.startswith("--cpus=") for flag in command)
    poor = made(kind, Abilities(memory=False, swap=False, cpus=False, cores=False, rootless=True))
    assert not [flag for flag in poor.command(order(limits=limits)) if flag.startswith(("--memory", "--cpu"))]
    assert len(poor.notes(order(limits=limits))) == 2


def test_gpus_are_those_of_the_task():
    nvidia = Limits(gpus=("2", "3"))
    variables = {"CUDA_VISIBLE_DEVICES": "2,3", "A": "b"}
    command = made(engines.Docker).command(order(limits=nvidia))
    assert command[command.index("--gpus") + 1] == '"device=2,3"'
    seen = made(engines.Docker).environment(order(limits=nvidia, variables=variables))
    assert seen == {"CUDA_VISIBLE_DEVICES": "0,1", "A": "b"}  # inside they are counted from 0
    assert {"--device=nvidia.com/gpu=2", "--device=nvidia.com/gpu=3"} <= set(
        made(engines.Podman).command(order(limits=nvidia))
    )
    assert "--nv" in engines.Apptainer("apptainer").command(order(limits=nvidia))
    amd = Limits(gpus=("0",), amd=True)
    assert "--device=/dev/kfd" in made(engines.Docker).command(order(limits=amd))
    assert "--rocm" in engines.Apptainer("apptainer").command(order(limits=amd))


def test_the_last_word_is_the_users():
    options = ("--network=host", "--pull", "missing", "-u", "0", "--memory=1g")
    command = made(engines.Docker).command(order(options=options, limits=Limits(memory=10**9)))
    assert "none" not in command
    assert "--pull=never" not in command
    assert "--user" not in command
    assert command.index("--memory=1g") > command.index("--memory=1000000000")


def test_paths_with_commas_and_colons_are_mounted():
    odd = Mount("/a,b:c", writable=True)
    assert '--mount=type=bind,"source=/a,b:c","target=/a,b:c"' in made(engines.Docker).command(order(mounts=(odd,)))
    command = engines.Apptainer("apptainer").command(order(mounts=(odd, Mount("/plain"))))
    assert command[command.index("--mount") + 1] == 'type=bind,"source=/a,b:c","target=/a,b:c"'
    assert command[command.index("--bind") + 1] == "/plain:/plain:ro"


def test_apptainer_is_told_variables_in_its_environment():
    assert engines.Apptainer("/x/apptainer").environment(order()) == {"APPTAINERENV_A": "secret"}
    assert engines.Apptainer("/x/singularity").environment(order()) == {"SINGULARITYENV_A": "secret"}


def test_an_engine_that_is_not_there_is_named_with_the_remedy(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engines, "_found", {})
    for name, kind in engines.ENGINES.items():
        with pytest.raises(ContainerError, match=rf"{kind.title} is not on node {os.uname().nodename}: .*[Ii]nstall"):
            engines.engine(name)


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("Got permission denied while trying to connect to the Docker daemon socket", "may not use Docker .*usermod"),
        ("Cannot connect to the Docker daemon at unix:///x. Is the docker daemon running?", "daemon does not run on"),
        ("something else", "Docker does not work on node .*: something else"),
    ],
)
def test_why_docker_cannot_be_used(said, wanted, tmp_path):
    client = tmp_path / "docker"
    client.write_text(f"#!/bin/sh\necho '{said}' >&2\nexit 1\n")
    client.chmod(0o755)
    with pytest.raises(ContainerError, match=wanted):
        engines.Docker(str(client)).prepare(order())


# ---------------------------------------------------------------------- inside


@pytest.fixture
def call(tmp_path):
    """Have a function called as it is inside a container: by path, with another interpreter. Gives the answer."""

    script = tmp_path / "kit/taskflow/runners/inside.py"
    script.parent.mkdir(parents=True)
    shutil.copy(inside.__file__, script)

    def run(definition, *args, python=None):
        request = {
            "path": [str(tmp_path)], "bytecode": str(tmp_path / "bytecode"), "argv": ["app.py"],
            "python": python or list(sys.version_info[:2]), "function": definition,
            "arguments": pickle.dumps((args, {})),
        }  # fmt: skip
        (tmp_path / inside.REQUEST).write_bytes(pickle.dumps(request))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        subprocess.run(
            [sys.executable, "-S", str(script), str(tmp_path)], check=True, timeout=20, env=environment
        )  # fmt: skip
        return pickle.loads((tmp_path / inside.ANSWER).read_bytes())

    return run


def test_a_generator_becomes_a_list(call, tmp_path):
    (tmp_path / "mine.py").write_text("def count(n):\n    yield from range(n)\n")
    kind, blob = call(("ref", "mine", "count"), 3)
    assert (kind, pickle.loads(blob)) == (inside.VALUE, [0, 1, 2])


def test_bytecode_is_kept_for_the_next_call_if_there_is_none(call, tmp_path):
    (tmp_path / "mine.py").write_text("def f():\n    return 1\n")
    call(("ref", "mine", "f"))
    assert [path.name.split(".")[0] for path in (tmp_path / "bytecode").rglob("mine*.pyc")] == ["mine"]


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("import no_such_module", "the function cannot be loaded .*No module named 'no_such_module'"),
        ("def f(:", "does not understand .*mine.py, line 1"),
        ("raise RuntimeError('at import')", "RuntimeError: at import"),
        ("def f():\n    return (lambda: 1)", "what it returned cannot be pickled"),
    ],
)
def test_why_a_function_cannot_be_called_there(call, tmp_path, text, wanted):
    (tmp_path / "mine.py").write_text(text)
    kind, why = call(("ref", "mine", "f"))
    assert kind == inside.UNUSABLE
    import re

    assert re.search(wanted, why), why


def test_bytecode_of_another_python_is_not_tried(call):
    kind, why = call(("value", b"not to be read"), python=[3, 5])
    assert kind == inside.UNUSABLE
    assert "the program runs with Python 3.5" in why
    assert "move the task into a module" in why


def test_an_exception_that_does_not_travel_does_so_as_text(call, tmp_path):
    (tmp_path / "mine.py").write_text(
        "class Odd(Exception):\n    def __init__(self, a, b):\n        super().__init__(a)\n"
        "def f():\n    raise Odd('first', 2)\n"
    )
    kind, blob, text, trace = call(("ref", "mine", "f"))
    assert (kind, blob, text) == (inside.RAISED, None, "Odd: first")
    assert "in f" in trace
    assert "inside.py" not in trace


# ---------------------------------------------------------------------- who cleans up


def test_what_has_not_ended_is_ended_when_the_pipe_closes(tmp_path):
    process = subprocess.Popen([sys.executable, "-I", "-S", janitor.__file__], stdin=subprocess.PIPE)
    for name in ("kept", "ended"):
        line = json.dumps([name, [["touch", f"{tmp_path}/{name}"], ["no-such-program"]]])
        process.stdin.write(f"{line}\n".encode())
    process.stdin.write(b'["ended", []]\n["cut')
    process.stdin.close()
    assert process.wait(20) == 0
    assert os.listdir(tmp_path) == ["kept"]
