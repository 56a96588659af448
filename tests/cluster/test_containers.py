"""Tasks in containers on nodes that have nothing but Python and an engine."""

import shutil
import tempfile
from pathlib import Path

import pytest

from tests.cluster.hosts.namespaces import MASTER
from tests.cluster.runs import FOLDER
from tests.containers import engines
from tests.containers.image import make_root


@pytest.fixture
def image():
    """The folder of an image at a path that is the same on all hosts."""
    folder = Path(tempfile.mkdtemp(prefix="taskflow-image-", dir="/opt"))
    folder.chmod(0o755)
    make_root(folder / "root")
    (folder / "root/image-of-the-test").touch()
    yield folder / "root"
    shutil.rmtree(folder)


def test_tasks_on_nodes_run_in_containers(runs, image):
    if engines.missing("APPTAINER"):
        pytest.skip("apptainer is missing: scripts/setup-components installs it")
    names = ["node1", "node2"]
    python = f"<PythonInterpreter>{runs.cluster.python}</PythonInterpreter>"
    application = f"<Application>{python}<EnvironmentScript>/root/env.sh</EnvironmentScript></Application>"
    for name in names:
        runs.cluster.path(name, "/root/env.sh").write_text(f"export PATH={engines.APPTAINER}:$PATH\n")
    options = runs.describe(names, settings=dict.fromkeys(names, application), interpreter="")
    run = runs.start("contained.py", image, options=options)
    assert run.end() == 0, str(run)
    lines = dict(line.split(" ", 1) for line in run.output.splitlines())
    assert lines["seen"] == "('node1', True, '2') ('node2', True, '2')"
    assert lines["doubled"] == "0 2 4 6"
    assert lines["files"] == "0 text TEXT"
    assert lines["missing"].startswith("ContainerError @container of task nowhere")
    assert "no image '/no/such/image.sif' on node node" in lines["missing"]
    assert runs.cluster.path(MASTER, f"{FOLDER}/made0.txt").read_text() == "TEXT\n"
