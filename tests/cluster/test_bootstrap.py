"""What is started on nodes over SSH: which Python, with what around it, and how the program's modules get there.

In place of the agent runs a small module, sent along as the package is.
"""

import json
import os
import shutil
import stat
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from types import SimpleNamespace

import pytest

from taskflow.launch import bundle
from taskflow.launch.agents import Errand, Failure, RemoteProcess, on_each, start, version_problem
from taskflow.launch.bundle import package_archive, program_archive, program_roots, unpack
from taskflow.launch.ssh import Attempt, Network
from taskflow.launch.ssh_config import SshError
from taskflow.model.cluster import NodeSetup
from taskflow.model.requirements import Node, Processor

#: Tells what it sees, then lives until its input ends.
STAND_IN = """
import json, locale, os, sys
def main(config):
    sys.stderr.write(json.dumps({
        "config": config, "path": sys.path, "python": sys.executable, "umask": os.umask(0),
        "environment": {**os.environ, "SSH_ORIGINAL_COMMAND": ""},
        "encoding": locale.getpreferredencoding(False),
    }) + "\\n")
    print("this is for people")
    sys.stdout.flush()
    while os.read(0, 100): pass
    sys.exit(7)
"""


def setup_of(host, **said):
    return NodeSetup(Node(host, (Processor(2),)), host, **said)


@pytest.fixture
def stand_in(tmp_path):
    """An archive with the stand-in, in place of that of the package."""
    (tmp_path / "standin.py").write_text(STAND_IN)
    return bundle._archive("package", [("standin.py", str(tmp_path / "standin.py"))], ("",), ())


@pytest.fixture
def begin(loopback_cluster, stand_in):
    """Starts the stand-in on a node; everything is ended with the test."""
    network = Network(str(loopback_cluster.ssh_config))
    made = []

    def begin(setup, *archives, config="a configuration", folders=(), limit=20, entry="standin:main"):
        errand = Errand(entry, config, (stand_in, *archives), folders=folders)

        def both(setup, attempt):
            return start(network.connect(setup, attempt), setup, errand, attempt)

        (process,) = on_each([setup], both, limit)
        if isinstance(process, Failure):
            raise SshError(process.why)
        made.append(process)
        return process

    yield begin
    for process in made:
        process.close()


def seen_by(process):
    """What the stand-in tells."""
    deadline = time.monotonic() + 10
    while "for people" not in process.said:
        assert time.monotonic() < deadline, process.said
        time.sleep(0.005)
    return process.said


@pytest.fixture(autouse=True)
def all_that_is_said(monkeypatch):
    monkeypatch.setattr("taskflow.launch.agents.SAID_BYTES", 1 << 20)


def facts_of(process):
    line = next(line for line in seen_by(process).splitlines() if '{"config"' in line)
    return json.loads(line[line.index("{") :])


# ---------------------------------------------------------------------- from start to end


def test_a_process_is_started_and_ends_with_its_input(begin):
    process = begin(setup_of("node1"), config='{"secret": "with \\" and \\n and é"}')
    facts = facts_of(process)
    assert facts["config"] == '{"secret": "with \\" and \\n and é"}'
    assert facts["umask"] == 0o077
    assert "" not in facts["path"]
    assert process.python == sys.version.split()[0]
    assert process.ended() == ""
    process.close()
    assert process.ended() == "exited with code 7"
    assert not process.connection.is_open


def test_secrets_are_on_no_command_line(begin, loopback_cluster):
    process = begin(setup_of("node1"), config="the-secret")
    assert facts_of(process)["config"] == "the-secret"
    for each in loopback_cluster.processes_of("node1"):
        assert "the-secret" not in " ".join(each.cmdline())
        assert "the-secret" not in " ".join(each.environ().values())


def test_what_is_sent_is_kept_and_found_again(begin, loopback_cluster):
    facts_of(begin(setup_of("node1")))
    cache = loopback_cluster.home("node1") / ".cache" / "taskflow"
    (kept,) = cache.iterdir()
    stamp = (kept / "standin.py").stat().st_mtime_ns
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE((kept / "standin.py").stat().st_mode) == 0o600
    process = begin(setup_of("node1"))
    assert str(kept) in facts_of(process)["path"]
    assert (kept / "standin.py").stat().st_mtime_ns == stamp
    assert [*cache.iterdir()] == [kept]


def test_what_was_damaged_is_sent_again(begin, loopback_cluster):
    facts_of(begin(setup_of("node1")))
    (kept,) = (loopback_cluster.home("node1") / ".cache" / "taskflow").iterdir()
    (kept / "standin.py").unlink()
    assert facts_of(begin(setup_of("node1")))["config"] == "a configuration"
    assert (kept / "standin.py").exists()


def test_several_runs_may_bring_the_same_at_once(begin, loopback_cluster):
    found = []

    def one():
        found.append(facts_of(begin(setup_of("node1")))["config"])

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["a configuration"] * 6
    assert len([*(loopback_cluster.home("node1") / ".cache" / "taskflow").iterdir()]) == 1


def test_where_the_home_folder_cannot_be_used_another_folder_keeps_it(begin, loopback_cluster):
    (loopback_cluster.home("node1") / ".cache").write_text("not a folder\n")
    process = begin(setup_of("node1"))
    place = f"{loopback_cluster.temporary('node1')}/taskflow-{os.getuid()}/cache/package-"
    assert any(entry.startswith(place) for entry in facts_of(process)["path"])
    named = begin(setup_of("node1", working_dir=str(loopback_cluster.temporary("node1") / "of mine ä")))
    assert any("of mine ä/cache/package-" in entry for entry in facts_of(named)["path"])


def test_all_nodes_are_started_at_once(loopback_cluster, stand_in):
    network = Network(str(loopback_cluster.ssh_config))
    setups = [setup_of(f"node{number}") for number in (1, 2, 3)] * 4
    errand = Errand("standin:main", "x", (stand_in,))
    made = on_each(setups, lambda setup, attempt: start(network.connect(setup, attempt), setup, errand, attempt))
    for process in made:
        assert isinstance(process, RemoteProcess), process
        facts_of(process)
    for process in made:
        process.close()


def test_a_process_that_does_not_heed_the_end_of_its_input_is_killed(begin, loopback_cluster, monkeypatch):
    monkeypatch.setattr("taskflow.launch.agents.LATER_S", 0.5)
    process = begin(setup_of("node1"))
    facts_of(process)
    os.kill(process.pid, 19)  # SIGSTOP
    process.close()
    assert process.ended() == "was killed"
    assert not [each for each in loopback_cluster.processes_of("node1") if each.pid == process.pid]


def test_a_process_learns_that_the_main_program_is_gone(begin, loopback_cluster):
    process = begin(setup_of("node1"))
    facts_of(process)
    process.connection.transport.sock.close()  # as the death of this process would do
    deadline = time.monotonic() + 10
    while any(each.pid == process.pid for each in loopback_cluster.processes_of("node1")):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_node_that_dies_is_noticed(begin, loopback_cluster):
    process = begin(setup_of("node1"))
    facts_of(process)
    loopback_cluster.crash("node1")
    assert process.wait(5)
    # Which of the two depends on whether the server of the session outlives the process by a moment.
    assert process.ended() in ("was left alone: the SSH connection to it has broken", "was killed")
    process.close()


def test_an_entry_that_cannot_be_imported_is_told_of_with_the_reason(begin):
    with pytest.raises(SshError, match="ModuleNotFoundError: No module named 'nowhere'"):
        begin(setup_of("node1"), entry="nowhere:main")


def test_a_login_script_that_chatters_does_no_harm(begin, loopback_cluster):
    # The shell that sshd starts reads the command from the variable, as some sites' wrappers do.
    loopback_cluster.serve_otherwise(
        "node1", ForceCommand="echo 'welcome to node1'; printf 'no newline here '; eval \"$SSH_ORIGINAL_COMMAND\""
    )
    process = begin(setup_of("node1"))
    assert facts_of(process)["config"] == "a configuration"
    assert "welcome to node1" in process.said


def test_an_account_that_runs_no_commands_is_told_of(begin, loopback_cluster):
    loopback_cluster.serve_otherwise("node1", ForceCommand="echo This account is currently not available.; exit 1")
    with pytest.raises(SshError, match=r"exited with code 1; it wrote: This account is currently not available\."):
        begin(setup_of("node1"))


# ---------------------------------------------------------------------- which Python


def write_program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(text))
    path.chmod(0o755)
    return str(path)


@pytest.fixture
def old_python(tmp_path):
    """Something that passes for Python 3.9.2."""
    return write_program(tmp_path / "old" / "python3", "#!/bin/sh\necho 3.9.2\n")


def test_the_interpreter_of_the_description_is_used(begin, tmp_path):
    wrapper = write_program(
        tmp_path / "with a space ü" / "python", f"""\
        #!/bin/sh
        WRAPPED=yes exec {sys.executable} "$@"
        """
    )  # fmt: skip
    assert facts_of(begin(setup_of("node1", interpreter=wrapper)))["environment"]["WRAPPED"] == "yes"


def test_the_same_interpreter_as_here_is_preferred(begin):
    assert facts_of(begin(setup_of("node1")))["python"] == sys.executable


def test_python_is_found_on_the_path_where_the_one_from_here_is_missing(begin, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/bin/python")
    assert begin(setup_of("node1")).python.startswith(f"{sys.version_info[0]}.{sys.version_info[1]}.")


def test_an_interpreter_that_is_too_old_is_named(begin, old_python):
    with pytest.raises(SshError, match=rf"PythonInterpreter names {old_python}, which is 3\.9\.2; name a"):
        begin(setup_of("node1", interpreter=old_python))


def test_functions_cannot_travel_to_another_version_of_python():
    other = SimpleNamespace(python="3.99.1", executable="/there/python")
    assert version_problem(other).startswith("/there/python is Python 3.99.1, and the main program runs on ")
    assert version_problem(SimpleNamespace(python=sys.version.split()[0], executable="/there/python")) == ""


def test_what_an_interpreter_that_does_not_work_says_is_told(begin, tmp_path):
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'libpython.so:' >&2\necho 'cannot open (shared) * file' >&2\nexit 127\n")
    broken.chmod(0o755)
    with pytest.raises(SshError) as caught:
        begin(setup_of("node1", interpreter=str(broken)))
    said = "libpython.so: cannot open (shared) * file"
    assert f"PythonInterpreter names {broken}, which does not work: {said}; name a Python" in str(caught.value)


def test_an_interpreter_that_is_not_there_is_named(begin):
    with pytest.raises(SshError, match="PythonInterpreter names /no/python, which is not there"):
        begin(setup_of("node1", interpreter="/no/python"))


def test_a_node_with_old_pythons_only_says_which(begin, loopback_cluster, old_python, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/bin/python")
    folder = os.path.dirname(old_python)
    for program in ("sh", "env"):
        os.symlink(shutil.which(program), f"{folder}/{program}")
    loopback_cluster.serve_otherwise("node1", {"PATH": folder})
    with pytest.raises(SshError) as caught:
        begin(setup_of("node1"))
    assert f"needs Python 3.10 or newer, and there are only {old_python} (3.9.2)" in str(caught.value)
    assert "<PythonInterpreter> in project.xml" in str(caught.value)


def test_a_node_without_python_says_so(begin, loopback_cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/bin/python")
    (tmp_path / "bin").mkdir()
    for program in ("sh", "env"):
        os.symlink(shutil.which(program), tmp_path / "bin" / program)
    loopback_cluster.serve_otherwise("node1", {"PATH": str(tmp_path / "bin")})
    with pytest.raises(SshError, match="there is none on the PATH"):
        begin(setup_of("node1"))


# ---------------------------------------------------------------------- what is around it


def test_an_environment_script_is_sourced(begin, loopback_cluster):
    script = loopback_cluster.home("node1") / "set up ß.sh"
    script.write_text('declare -x FROM_SCRIPT="a value"\nread -t 5 line\necho loaded; set -u\n')
    for name in (str(script), f"~/{script.name}", script.name):
        process = begin(setup_of("node1", environment_script=name))
        assert facts_of(process)["environment"]["FROM_SCRIPT"] == "a value"
        assert "loaded" in process.said


def test_a_python_that_the_script_brings_is_used(begin, loopback_cluster, tmp_path):
    write_program(tmp_path / "own" / "python3", f'#!/bin/sh\nOWN=yes exec {sys.executable} "$@"\n')
    script = loopback_cluster.home("node1") / "activate"
    script.write_text(f"PATH={tmp_path / 'own'}:$PATH\n")
    assert facts_of(begin(setup_of("node1", environment_script=str(script))))["environment"]["OWN"] == "yes"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo no module of that name >&2; return 3\n", "ended with exit code 3; it wrote: no module of that name"),
        ("exit 0\n", "calls exit; let it use return instead"),
        (None, "cannot be read there"),
    ],
)
def test_an_environment_script_that_fails_is_told_of(begin, loopback_cluster, text, message):
    script = loopback_cluster.home("node1") / "script.sh"
    if text is not None:
        script.write_text(text)
    with pytest.raises(SshError, match=message):
        begin(setup_of("node1", environment_script=str(script)))


def test_the_locale_of_the_main_program_travels(begin, monkeypatch):
    for name in [name for name in os.environ if name.startswith(("LC_", "LANG"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("LANG", "C.UTF-8")
    monkeypatch.setenv("LC_TIME", "a b'c")
    facts = facts_of(begin(setup_of("node1")))
    assert facts["environment"]["LANG"] == "C.UTF-8"
    assert facts["environment"]["LC_TIME"] == "a b'c"
    assert facts["encoding"].lower() == "utf-8"


def test_folders_of_modules_and_libraries_come_first(begin, loopback_cluster, tmp_path):
    loopback_cluster.serve_otherwise("node1", {"LD_LIBRARY_PATH": "/there/already"})
    modules = tmp_path / "modules 'of' mine ö"
    modules.mkdir()
    facts = facts_of(
        begin(setup_of("node1", pythonpath=(str(modules),), library_path=("/lib/a b", "$HOME"), classpath=("~/x.jar",)))
    )
    assert str(modules) in facts["path"]
    assert facts["environment"]["LD_LIBRARY_PATH"] == "/lib/a b:$HOME:/there/already"
    assert facts["environment"]["CLASSPATH"] == f"{loopback_cluster.home('node1')}/x.jar"


def test_a_folder_that_should_be_there_is_missed(begin):
    with pytest.raises(SshError, match="AppDir names /no/folder, and there is no such folder on the node"):
        begin(setup_of("node1"), folders=(("AppDir", "/no/folder"),))


@pytest.mark.parametrize("shell", ["dash", "bash", "fish", "zsh", "csh", "tcsh", "ksh", "mksh", "busybox"])
def test_the_command_line_means_the_same_to_every_login_shell(begin, loopback_cluster, shell, monkeypatch):
    path = shutil.which(shell)
    if path is None:
        pytest.skip(f"{shell} is not installed")
    words = f"{path} sh -c" if shell == "busybox" else f"{path} -c"
    loopback_cluster.serve_otherwise("node1", ForceCommand=f'exec {words} "$SSH_ORIGINAL_COMMAND"')
    monkeypatch.setenv("LC_TIME", 'it\'s $HOME "here"')
    assert facts_of(begin(setup_of("node1")))["environment"]["LC_TIME"] == 'it\'s $HOME "here"'


# ---------------------------------------------------------------------- the package


def test_a_node_without_the_package_gets_it(loopback_cluster):
    """With a Python that has no packages at all."""
    network = Network(str(loopback_cluster.ssh_config))
    script = (
        "import taskflow, cloudpickle, sys; sys.stderr.write(taskflow.__file__ + ' ' + cloudpickle.__file__ + '\\n')"
    )
    bare = loopback_cluster.temporary("node1") / "bare"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", bare], check=True)
    setup = setup_of("node1", interpreter=str(bare / "bin" / "python"))
    errand = Errand("builtins:exec", script, (package_archive(),))
    (process,) = on_each([setup], lambda setup, attempt: start(network.connect(setup, attempt), setup, errand, attempt))
    assert isinstance(process, RemoteProcess), process
    assert process.wait(20)
    kept = f"{loopback_cluster.home('node1')}/.cache/taskflow/package-{package_archive().digest}"
    assert process.said.split() == [f"{kept}/taskflow/__init__.py", f"{kept}/cloudpickle/__init__.py"]
    process.close()


def test_the_same_content_has_the_same_hash():
    first, second = package_archive(), package_archive()
    assert first.digest == second.digest
    assert first.pack() == second.pack()


# ---------------------------------------------------------------------- the program's modules


@pytest.fixture
def program(tmp_path):
    """A folder with a script, modules, packages and what does not belong to them."""
    root = tmp_path / "my program é"
    for name, text in {
        "main.py": "1", "helper.py": "2", "notes.txt": "no", "pack/__init__.py": "", "pack/deep/inner.py": "3",
        "pack/data/table.csv": "a,b", "pack/run.sh": "echo", "space/mod.py": "4", "big/data.bin": "no",
        ".hidden/x.py": "no", ".taskflow/run/y.py": "no", "env/pyvenv.cfg": "", "env/lib/z.py": "no",
        "__pycache__/main.pyc": "no", "node_modules/a.py": "no", "not-a-name/b.py": "no", "pack/more-data/c.txt": "5",
    }.items():  # fmt: skip
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (root / "pack" / "run.sh").chmod(0o755)
    (root / "space" / "again").symlink_to(root, target_is_directory=True)
    return root


def names_in(archive, folder):
    path = folder / "archive.zip"
    path.write_bytes(archive.pack())
    with zipfile.ZipFile(path) as source:
        return sorted(source.namelist())


def test_modules_and_the_data_of_packages_travel_and_nothing_else(program, tmp_path):
    archive = program_archive([str(program)])
    assert archive.roots == ("0",)
    assert archive.left_out == ()
    assert names_in(archive, tmp_path) == [
        "0/helper.py", "0/main.py", "0/pack/__init__.py", "0/pack/data/table.csv", "0/pack/deep/inner.py",
        "0/pack/more-data/c.txt", "0/pack/run.sh", "0/space/mod.py",
    ]  # fmt: skip


def test_an_archive_is_unpacked_with_modes_and_modules_can_be_imported_from_it(program, tmp_path):
    archive = program_archive([str(program), str(program / "space")])
    (tmp_path / "a.zip").write_bytes(archive.pack())
    unpack(str(tmp_path / "a.zip"), str(tmp_path / "app"))
    assert archive.roots == ("0", "0/space")
    assert os.access(tmp_path / "app" / "0" / "pack" / "run.sh", os.X_OK)
    done = subprocess.run(
        [sys.executable, "-c", "import mod, helper, pack.deep.inner; print(mod.__file__)"], check=True,
        capture_output=True, text=True,
        env={"PYTHONPATH": ":".join(str(tmp_path / "app" / root) for root in archive.roots)},
    )  # fmt: skip
    assert done.stdout.strip() == str(tmp_path / "app" / "0" / "space" / "mod.py")


def test_of_a_home_folder_only_modules_and_packages_travel(program, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(program))
    (program / "projects" / "one").mkdir(parents=True)
    (program / "projects" / "one" / "main.py").write_text("another program")
    assert names_in(program_archive([str(program)]), tmp_path) == [
        "0/helper.py", "0/main.py", "0/pack/__init__.py", "0/pack/data/table.csv", "0/pack/deep/inner.py",
        "0/pack/more-data/c.txt", "0/pack/run.sh",
    ]  # fmt: skip


def test_a_changed_module_changes_the_hash(program):
    before = program_archive([str(program)]).digest
    assert program_archive([str(program)]).digest == before
    (program / "helper.py").write_text("changed")
    assert program_archive([str(program)]).digest != before


def test_what_a_limit_cuts_off_is_told(program, tmp_path, monkeypatch):
    (program / "pack" / "large.bin").write_bytes(bytes(bundle.DATA_BYTES + 1))
    (told,) = program_archive([str(program)]).left_out
    assert told.startswith(f"too large to be sent to nodes with the program's modules: {program}/pack/large.bin (1 MiB")
    assert "AppDir" in told
    monkeypatch.setattr(bundle, "TOTAL_FILES", 3)
    archive = program_archive([str(program)])
    assert "the program's modules are more than 3 files" in archive.left_out[1]
    # What lies near the script comes first.
    assert names_in(archive, tmp_path) == ["0/helper.py", "0/main.py", "0/pack/__init__.py"]
    monkeypatch.setattr(bundle, "TOTAL_LOOKED_AT", 5)
    assert "was given up in" in program_archive([str(program)]).left_out[-1]


def test_installed_packages_and_the_standard_library_are_no_part_of_the_program(program):
    path = ["", os.path.dirname(os.__file__), os.path.dirname(os.path.dirname(pytest.__file__)), str(program),
            os.path.dirname(sys.executable), "/no/such/folder", str(program)]  # fmt: skip
    roots = program_roots(path)
    assert roots == [os.getcwd(), str(program)]


def test_this_package_itself_does_not_travel_with_the_program():
    source = os.path.dirname(bundle._package_folder())
    assert [name for name, _ in bundle_files(source) if name.startswith("0/taskflow/")] == []


def bundle_files(root):
    collection = bundle._Collection()
    collection.search(root, "0", set())
    return collection.files


def test_a_program_travels_once_and_its_place_is_told(begin, program, loopback_cluster):
    archive = program_archive([str(program)])
    for _ in range(2):
        place = facts_of(begin(setup_of("node1"), archive, config='["given"]'))["config"]
        (path,) = json.loads(place)
        assert path == f"{loopback_cluster.home('node1')}/.cache/taskflow/program-{archive.digest}.zip"
        assert zipfile.is_zipfile(path)


def test_a_damaged_program_is_sent_again(begin, program, loopback_cluster):
    archive = program_archive([str(program)])
    facts_of(begin(setup_of("node1"), archive))
    kept = loopback_cluster.home("node1") / ".cache" / "taskflow" / f"program-{archive.digest}.zip"
    whole = kept.read_bytes()
    kept.write_bytes(whole[:-100])
    facts_of(begin(setup_of("node1"), archive))
    assert kept.read_bytes() == whole


def test_what_arrives_changed_is_refused(begin, program):
    archive = program_archive([str(program)])
    other = program_archive([str(program / "pack")])
    mixed = bundle.Archive("program", archive.digest, ("0",), (), other.pack)
    with pytest.raises(SshError, match="what arrived is not what was sent"):
        begin(setup_of("node1"), mixed)


def test_an_attempt_that_takes_too_long_says_where_it_was(begin, loopback_cluster):
    loopback_cluster.serve_otherwise("node1", ForceCommand="sleep 60")
    began = time.monotonic()
    with pytest.raises(SshError, match=r"longer than 1 seconds; the last was starting Python on node1"):
        begin(setup_of("node1"), limit=1)
    assert time.monotonic() - began < 5


def test_nothing_is_left_of_an_attempt_that_took_too_long(loopback_cluster):
    attempt = Attempt(0.2)
    network = Network(str(loopback_cluster.ssh_config))
    connection = network.connect(setup_of("node1"), attempt)
    attempt.abandon()
    deadline = time.monotonic() + 5
    while connection.is_open:
        assert time.monotonic() < deadline
        time.sleep(0.01)
