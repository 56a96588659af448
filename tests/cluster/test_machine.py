"""What the runtime finds out about this machine."""

import os
from pathlib import Path

import pytest
from lxml import etree

from taskflow.cluster import machine
from taskflow.cluster.files import cluster_of_files
from taskflow.model.requirements import Processor


@pytest.fixture
def described(tmp_path):
    """The node that the description of this machine describes."""

    def described():
        path = tmp_path / "resources.xml"
        path.write_text(machine.resources_xml())
        cluster = cluster_of_files(str(path), "")
        assert cluster.nodes == ()
        return cluster.home

    return described


def test_the_description_of_this_machine_is_valid_and_true(described):
    node = described()
    system = os.uname()
    assert node.name == system.nodename
    assert node.units == machine.usable_cores()
    assert node.processors[0].architecture == system.machine
    assert node.processors[0].name
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    assert 0 < node.memory_size <= total + 0.1
    assert node.storage_size > 0
    assert node.operating_system_type == "Linux"
    assert node.software == frozenset()


def test_gpus_of_one_model_are_described_together(described, tmp_path, monkeypatch):
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(
        "#!/bin/sh\nprintf '0, NVIDIA H100 80GB HBM3, 81559\\n1, NVIDIA H100 80GB HBM3, 81559\\n2, Tesla T4, 15360\\n'"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2")
    assert described().processors[1:] == (
        Processor(2, "GPU", "NVIDIA H100 80GB HBM3", internal_memory_size=85.5),
        Processor(1, "GPU", "Tesla T4", internal_memory_size=16.1),
    )


@pytest.mark.parametrize("program", ["#!/bin/sh\nexit 9", None])
def test_gpus_that_nobody_tells_more_of(described, tmp_path, monkeypatch, program):
    (tmp_path / "bin").mkdir()
    if program:
        (tmp_path / "bin" / "nvidia-smi").write_text(program)
        (tmp_path / "bin" / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,5")
    assert described().processors[1:] == (Processor(2, "GPU", "GPU"),)


def test_gpus_are_found_by_their_devices(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia1", "nvidia0", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert machine.visible_gpus(str(tmp_path)) == [0, 1]


def test_a_quota_of_the_control_group_counts(tmp_path):
    (tmp_path / "cpu.max").write_text("250000 100000\n")
    assert machine._cgroup_quota(str(tmp_path)) == 2
    (tmp_path / "cpu.max").write_text("max 100000\n")
    assert machine._cgroup_quota(str(tmp_path)) is None


def test_markup_in_the_name_of_a_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "_cpu_name", lambda: 'R&D <CPU> "1"')
    path = tmp_path / "r.xml"
    path.write_text(machine.resources_xml())
    assert etree.parse(path).find("*/Processor").get("Name") == 'R&D <CPU> "1"'


def test_where_the_system_tells_nothing_of_the_processor(tmp_path):
    nothing = str(tmp_path / "nothing")
    assert machine._cpu_name(nothing) == os.uname().machine
    assert machine._cpu_speed(nothing, nothing) == 0.0
    Path(tmp_path, "cpuinfo").write_text("processor\t: 0\nmodel name\t: Fast One\ncpu MHz\t\t: 2600.5\n")
    assert machine._cpu_name(str(tmp_path / "cpuinfo")) == "Fast One"
    assert machine._cpu_speed(str(tmp_path / "cpuinfo"), nothing) == 2.6005
