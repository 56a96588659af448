"""resources.xml and project.xml together: which nodes there are, what they offer and how to get there."""

import getpass
import os
from pathlib import Path

import pytest

from taskflow.cluster.files import cluster_of_files
from taskflow.model.cluster import HttpService
from taskflow.model.errors import ArgumentError, ClusterFileError
from taskflow.model.requirements import Processor

HERE = Path(__file__).parent
CPU = '<Processor Name="cpu"><ComputingUnits>4</ComputingUnits></Processor>'
GPU = '<Processor Name="gpu"><ComputingUnits>2</ComputingUnits><Type>GPU</Type></Processor>'


def node(name, *inside):
    return f'<ComputeNode Name="{name}">{CPU}{"".join(inside)}</ComputeNode>'


def adaptor(*inside, name="nio"):
    return f'<Adaptors><Adaptor Name="{name}">{"".join(inside)}</Adaptor></Adaptors>'


@pytest.fixture
def files(tmp_path):
    """Writes the elements inside resources.xml (and project.xml), a line each, and reads them."""

    def files(resources, project=None):
        paths = [str(tmp_path / "resources.xml"), str(tmp_path / "project.xml") if project is not None else ""]
        for path, root, inside in zip(paths, ("ResourcesList", "Project"), (resources, project), strict=True):
            if path:
                Path(path).write_text("\n".join([f"<{root}>", *inside, f"</{root}>"]))
        return cluster_of_files(*paths)

    return files


@pytest.fixture
def refused(files, tmp_path):
    """What is said of files that make no sense together."""

    def refused(resources, project=None):
        with pytest.raises(ClusterFileError) as caught:
            files(resources, project)
        return str(caught.value).replace(f"{tmp_path}/", "")

    return refused


# --- which nodes there are ----------------------------------------------------------------------------------


def test_without_a_project_every_compute_node_is_used(files):
    cluster = files([node("node1"), node("node2")])
    assert [setup.name for setup in cluster.nodes] == ["node1", "node2"]
    assert cluster.home is None


def test_only_nodes_in_both_files_are_used(files):
    cluster = files([node("node1"), node("node2"), node("node3")], ['<ComputeNode Name="node2"/>'])
    assert [setup.host for setup in cluster.nodes] == ["node2"]


def test_a_node_of_the_project_that_is_nowhere_described(refused):
    told = refused([node("node1"), node("thin-2")], ['<ComputeNode Name="node1"/>', '<ComputeNode Name="thin_2"/>'])
    assert (
        told == "project.xml:3: ComputeNode thin_2: resources.xml has no ComputeNode of that name; did you mean thin-2?"
    )


def test_a_node_that_is_nowhere_described_and_near_to_nothing(refused):
    told = refused([node("node1"), node("node2")], ['<ComputeNode Name="saturn"/>'])
    assert told.endswith("has no ComputeNode of that name; it has node1, node2")


@pytest.mark.parametrize("kind", ["ComputeNode", "SharedDisk"])
def test_two_of_one_name(refused, kind):
    inside = CPU if kind == "ComputeNode" else ""
    told = refused([f'<{kind} Name="x">{inside}</{kind}>'] * 2)
    assert told == f"resources.xml:3: {kind} x: line 2 has that name, too; give each {kind} its own"


def test_a_node_twice_in_the_project(refused):
    assert "project.xml:3: ComputeNode node1: line 2 has that name" in refused(
        [node("node1")], ['<ComputeNode Name="node1"/>'] * 2
    )


def test_a_node_without_a_cpu(refused):
    told = refused([f'<ComputeNode Name="node1">{GPU}</ComputeNode>'])
    assert told.startswith("resources.xml:2: ComputeNode node1: it has no Processor of the Type CPU")


@pytest.mark.parametrize("project", [[], ["<MasterNode/>"]])
def test_nothing_that_could_run_tasks(refused, project):
    assert "no machine in it can run tasks" in refused([node("node1")], project)


def test_no_compute_node(refused):
    assert refused([]) == "resources.xml: there is no ComputeNode in it, so nothing can run tasks"


@pytest.mark.parametrize("name", ["-oProxyCommand=sh", "a b", "a/b", "..", "a;b"])
def test_a_name_that_no_host_can_have(refused, name):
    assert f"{name!r} cannot be the name of a host" in refused([node(name)])


def test_a_user_that_there_cannot_be(refused):
    told = refused([node("node1")], ['<ComputeNode Name="node1"><User>-l root</User></ComputeNode>'])
    assert told == "project.xml:2: ComputeNode node1 > User: '-l root' cannot be the name of a user"


def test_a_project_needs_resources():
    with pytest.raises(ArgumentError, match="needs --resources, too"):
        cluster_of_files("", "project.xml")


# --- home ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", os.uname().nodename])
def test_a_node_that_is_this_machine_is_home(files, name):
    cluster = files([node(name), node("node1")])
    assert cluster.home.name == name
    assert cluster.home.executors == 4
    assert [setup.name for setup in cluster.nodes] == ["node1"]


@pytest.mark.parametrize(
    "said",
    ["<User>somebody</User>", adaptor("<BatchProperties><Port>2222</Port></BatchProperties>")],
)
def test_another_user_or_port_of_this_machine_is_reached_over_ssh(files, said):
    cluster = files([node("localhost")], [f'<ComputeNode Name="localhost">{said}</ComputeNode>'])
    assert cluster.home is None
    assert [setup.host for setup in cluster.nodes] == ["localhost"]


def test_this_user_on_this_machine_is_home(files):
    user = f"<User>{getpass.getuser()}</User>"
    assert files([node("localhost")], [f'<ComputeNode Name="localhost">{user}</ComputeNode>']).home is not None


def test_this_machine_under_two_names(refused):
    assert "localhost and 127.0.0.1 are one machine" in refused([node("localhost"), node("127.0.0.1")])


def test_a_master_with_processors_runs_tasks(files):
    cluster = files([node("node1")], [f"<MasterNode>{CPU}{GPU}</MasterNode>", '<ComputeNode Name="node1"/>'])
    assert cluster.home.executors == 4
    assert list(cluster.home.devices["GPU"]) == [0, 1]
    assert [member.name for member in cluster.members] == [os.uname().nodename, "node1"]


def test_a_master_without_processors_runs_none(files):
    cluster = files([node("node1")], ["<MasterNode/>", '<ComputeNode Name="node1"/>'])
    assert cluster.home is None


def test_a_master_with_processors_beside_localhost_offers_both(files):
    cluster = files([node("localhost")], [f"<MasterNode>{CPU}</MasterNode>", '<ComputeNode Name="localhost"/>'])
    assert cluster.home.units == 8


# --- what a node offers -------------------------------------------------------------------------------------


def test_everything_that_can_be_said_of_a_node():
    cluster = cluster_of_files(str(HERE / "everything_resources.xml"), str(HERE / "everything_project.xml"))
    setup, *thin = cluster.nodes
    node = setup.node
    assert node.processors == (
        Processor(16, "CPU", "MainProcessor", "amd64", 2.6, frozenset({("vector", "avx512")}), 0.032),
        Processor(2, "GPU", "Tesla"),
    )
    assert (node.memory_size, node.memory_type) == (96.5, "Volatile")
    assert (node.storage_size, node.storage_type, node.storage_bw) == (500.0, "Persistent", 300.0)
    assert node.operating_system_type == "Linux"
    assert node.operating_system_distribution == "OpenSUSE"
    assert node.operating_system_version == "13.2"
    assert node.software == {"BLAST", "PYTHON"}
    assert node.disks == (("gpfs", "/gpfs"),)
    assert (node.limit_of_tasks, node.executors) == (12, 12)
    assert setup.queues == {"LONG"}
    assert (setup.user, setup.port, setup.min_port, setup.max_port) == ("user", 2222, 50000, 50010)
    assert setup.identities == ("/home/me/.ssh/id_ed25519", "/home/me/.ssh/id_rsa")
    assert setup.known_hosts == "/home/me/.ssh/known_hosts"
    assert setup.working_dir == "/tmp/COMPSsWorker/"
    assert setup.app_dir == "/home/user/apps/"
    assert setup.pythonpath == ("/home/user/apps/", "/home/user/lib")
    assert setup.library_path == ("/usr/lib", "/opt/lib")
    assert setup.classpath == ("/home/user/a.jar",)
    assert setup.environment_script == "/home/user/env.sh"
    assert setup.interpreter == "python3.11"
    assert [each.host for each in thin] == ["thin01", "thin02"]
    assert thin[0].node.units == 48
    assert thin[0].node.software == {"PYTHON"}
    assert (thin[0].port, thin[0].user, thin[0].working_dir) == (22, "user", "/gpfs/tmp/")
    assert thin[0].queues == {"SLURM"}
    assert cluster.home.software == {"PLOTTER"}
    assert cluster.home_disks == (("gpfs", "/home/gpfs"),)
    assert cluster.http_services == (HttpService("http://example.org:8080", ("square", "cube"), 3),)
    assert {part.name for part in cluster.unused} == {"Cloud", "CloudProvider", "DataNode", "Service"}
    assert [note.split(" in ")[0] for note in cluster.notes] == [
        "DataNode archive", "Service http://example.org/words?wsdl", "Cloud",
    ]  # fmt: skip


def test_what_is_not_said_is_not_known(files):
    (setup,) = files([node("node2")]).nodes
    assert setup.node.memory_size is None
    assert setup.node.storage_bw is None
    assert setup.node.executors == 4
    assert (setup.user, setup.port, setup.working_dir, setup.interpreter) == ("", 0, "", "")


def test_users_in_the_order_of_their_weight(files):
    resources = [node(f"node{i}", adaptor("<User>described</User>")) for i in range(3)]
    project = [
        '<ComputeNode Name="node0"/>',
        f'<ComputeNode Name="node1">{adaptor("<User>adapted</User>")}</ComputeNode>',
        f'<ComputeNode Name="node2"><User>said</User>{adaptor("<User>adapted</User>")}</ComputeNode>',
    ]
    assert [setup.user for setup in files(resources, project).nodes] == ["described", "adapted", "said"]


def test_ports_the_wrong_way_round(refused):
    ports = adaptor("<Ports><MinPort>5</MinPort><MaxPort>4</MaxPort></Ports>")
    told = refused([node("node1", ports)])
    assert told == "resources.xml:2: Adaptor nio > Ports: MinPort 5 is above MaxPort 4"


def test_a_disk_that_nobody_declares(refused):
    disk = '<SharedDisks><AttachedDisk Name="gpsf"><MountPoint>gpfs</MountPoint></AttachedDisk></SharedDisks>'
    told = refused(['<SharedDisk Name="gpfs"/>', node("node1", disk)]).splitlines()
    assert told == [
        "resources.xml:3: AttachedDisk gpsf: its MountPoint begins with /; 'gpfs' does not",
        "resources.xml:3: AttachedDisk gpsf: there is no SharedDisk of that name; did you mean gpfs?",
    ]


def test_a_disk_unlike_all_others(refused):
    disk = '<SharedDisks><AttachedDisk Name="lustre"><MountPoint>/x</MountPoint></AttachedDisk></SharedDisks>'
    told = refused(['<SharedDisk Name="gpfs"/>', node("node1", disk)])
    assert told.endswith('declare it at the top of resources.xml: <SharedDisk Name="lustre"/>')


# --- clusters, clouds, services -----------------------------------------------------------------------------


def cluster(name, most=4):
    return (
        f'<ComputingCluster Name="mn"><ClusterNode Name="{name}"><MaxNumNodes>{most}</MaxNumNodes>{CPU}</ClusterNode>'
        "</ComputingCluster>"
    )


def used(name, count):
    return (
        f'<ComputingCluster Name="mn"><ClusterNode Name="{name}"><NumberOfNodes>{count}</NumberOfNodes></ClusterNode>'
        "</ComputingCluster>"
    )


@pytest.mark.parametrize(
    ("there", "here", "count", "told"),
    [
        ("thin[1-4]", "thin[1-4]", 5, "NumberOfNodes is 5, but MaxNumNodes there is 4"),
        ("thin", "thin", 3, "what the hosts are called, such as thin[1-3]"),
        ("thin[1-4]", "thick[1-4]", 1, "has no ClusterNode of that name in mn; did you mean thin[1-4]?"),
        ("thin[4-1]", "thin[4-1]", 1, "'4-1' is no range of numbers"),
    ],
)
def test_nodes_of_a_cluster_that_make_no_sense(refused, there, here, count, told):
    found = refused([cluster(there)], [used(here, count)])
    assert found.startswith("project.xml:2: ComputingCluster mn > ClusterNode")
    assert told in found


def test_a_node_named_as_such_and_in_a_cluster(refused):
    told = refused([cluster("node1"), node("node1")], [used("node1", 1), '<ComputeNode Name="node1"/>'])
    assert "the node node1 is named more than once" in told


@pytest.mark.parametrize(
    ("element", "told"),
    [
        ('<Http BaseUrl="http://b"/>', "Http http://b: resources.xml has no Http of that name; did you mean http://a?"),
        ('<Service wsdl="w"/>', "Service w: resources.xml has no Service of that name; it has none"),
        ('<DataNode Name="d"/>', "DataNode d: resources.xml has no DataNode of that name; it has none"),
        (
            '<Cloud><CloudProvider Name="c"><Images/><InstanceTypes/></CloudProvider></Cloud>',
            "CloudProvider c: resources.xml has no CloudProvider of that name; it has none",
        ),
    ],
)
def test_what_else_the_project_names_has_to_be_described(refused, element, told):
    found = refused(['<Http BaseUrl="http://a"/>', node("node1")], ['<ComputeNode Name="node1"/>', element])
    assert found == f"project.xml:3: {told}"


def test_images_of_a_cloud_have_to_be_described(refused):
    endpoint = "<Endpoint><Server>s</Server><ConnectorJar/><ConnectorClass/></Endpoint>"
    there = f'<CloudProvider Name="c">{endpoint}<Images><Image Name="debian"/></Images><InstanceTypes/></CloudProvider>'
    here = '<CloudProvider Name="c"><Images><Image Name="debain"/></Images><InstanceTypes/></CloudProvider>'
    found = refused([there, node("node1")], ['<ComputeNode Name="node1"/>', f"<Cloud>{here}</Cloud>"])
    assert found.endswith("Image debain: resources.xml has no Image of that name; did you mean debian?")
