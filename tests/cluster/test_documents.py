"""What is said of files that are wrong: file, line, element, what is wrong and what would be right."""

import re
from pathlib import Path

import pytest
from lxml import etree

from taskflow.cluster.documents import SCHEMA, read
from taskflow.cluster.files import cluster_of_files
from taskflow.model.errors import ClusterFileError

ROOT = Path(__file__).parents[2]

#: A resources.xml and a project.xml in the form that the manuals of PyCOMPSs show, with every element there is.
EVERYTHING = ROOT / "tests" / "cluster" / "everything_resources.xml"
EVERYTHING_USED = ROOT / "tests" / "cluster" / "everything_project.xml"


def resources(inside):
    return f"<ResourcesList>\n{inside}\n</ResourcesList>"


def node(inside, processor='<Processor Name="cpu"><ComputingUnits>4</ComputingUnits></Processor>'):
    return resources(f'<ComputeNode Name="node1">\n{processor}\n{inside}\n</ComputeNode>')


def processor(inside):
    return node("", f'<Processor Name="cpu">\n{inside}\n</Processor>')


def validator():
    return etree.RelaxNG(etree.parse(SCHEMA))


@pytest.fixture
def problems(tmp_path):
    def problems(text, root="ResourcesList"):
        path = tmp_path / "machines.xml"
        path.write_text(text)
        with pytest.raises(ClusterFileError) as caught:
            read(str(path), root)
        return str(caught.value).replace(str(path), "machines.xml").splitlines()

    return problems


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            node("<Memry><Size>4</Size></Memry>"),
            "machines.xml:4: ComputeNode node1: there is no element Memry here; did you mean Memory?",
        ),
        (
            node("<Wheels/>"),
            (
                "machines.xml:4: ComputeNode node1: there is no element Wheels here; there is Processor, Adaptors, "
                "Memory, Storage, OperatingSystem, Software, SharedDisks, Price"
            ),
        ),
        (
            node("<MountPoint>/gpfs</MountPoint>"),
            "machines.xml:4: ComputeNode node1: there is no element MountPoint here; it belongs into AttachedDisk",
        ),
        (
            resources('<ComputeNode Name="node1"/>'),
            "machines.xml:2: ComputeNode node1: the element Processor is missing: <Processor>...</Processor>",
        ),
        (
            processor("<Type>CPU</Type>"),
            (
                "machines.xml:3: ComputeNode node1 > Processor cpu: the element ComputingUnits is missing: "
                "<ComputingUnits>...</ComputingUnits> with a whole number, 1 or more"
            ),
        ),
        (
            processor("<ComputingUnits>0</ComputingUnits>"),
            (
                "machines.xml:4: ComputeNode node1 > Processor cpu > ComputingUnits: it has to be a whole number, 1 or "
                "more, not '0'"
            ),
        ),
        (
            processor("<ComputingUnits>four</ComputingUnits>"),
            (
                "machines.xml:4: ComputeNode node1 > Processor cpu > ComputingUnits: it has to be a whole number, 1 or "
                "more, not 'four'"
            ),
        ),
        (
            processor("<ComputingUnits>4</ComputingUnits>\n<Type>gpu</Type>"),
            (
                "machines.xml:5: ComputeNode node1 > Processor cpu > Type: it has to be one of CPU, GPU, FPGA, OTHER, "
                "not 'gpu'; did you mean GPU?"
            ),
        ),
        (
            processor("<ComputingUnits>4</ComputingUnits><Speed>fast</Speed>"),
            "machines.xml:4: ComputeNode node1 > Processor cpu > Speed: it has to be a number, 0 or more, not 'fast'",
        ),
        (
            node("<Memory><Size>-1</Size></Memory>"),
            "machines.xml:4: ComputeNode node1 > Memory > Size: it has to be a number, 0 or more, not '-1'",
        ),
        (
            node("<Memory><Size>NaN</Size></Memory>"),
            "machines.xml:4: ComputeNode node1 > Memory > Size: it has to be a number, 0 or more, not 'NaN'",
        ),
        (
            node("<Memory><Size/></Memory>"),
            "machines.xml:4: ComputeNode node1 > Memory > Size: it is empty, and has to be a number, 0 or more",
        ),
        (
            node("<Memory><Size>1</Size></Memory>\n<Memory><Size>2</Size></Memory>"),
            "machines.xml:5: ComputeNode node1: Memory stands here twice, first in line 4; leave one out",
        ),
        (
            node("plenty of memory"),
            (
                "machines.xml:2: ComputeNode node1: there is the text 'plenty of memory', but it holds only the "
                "elements Processor, Adaptors, Memory, Storage, OperatingSystem, Software, SharedDisks, Price"
            ),
        ),
        (
            resources("<SharedDisk/>"),
            'machines.xml:2: SharedDisk: the attribute Name is missing: <SharedDisk Name="...">',
        ),
        (
            resources('<SharedDisk Name="" />'),
            "machines.xml:2: SharedDisk: the attribute Name is empty, and has to be a text",
        ),
        (
            resources('<SharedDisk Name="gpfs" Nmae="x"/>'),
            "machines.xml:2: SharedDisk gpfs: there is no attribute Nmae; did you mean Name?",
        ),
        (
            node(
                '<Adaptors><Adaptor Name="nio"><Ports><MinPort>70000</MinPort><MaxPort>1</MaxPort></Ports></Adaptor>'
                "</Adaptors>"
            ),
            (
                "machines.xml:4: ComputeNode node1 > Adaptors > Adaptor nio > Ports > MinPort: it has to be a whole "
                "number from 1 to 65535, not '70000'"
            ),
        ),
        (
            '<ResourcesList xmlns="urn:x"/>',
            (
                "machines.xml:1: the root element is ResourcesList, and has to be ResourcesList in no namespace; leave "
                "out xmlns=..."
            ),
        ),
        (
            "<Project/>",
            (
                "machines.xml:1: the root element is Project, and has to be ResourcesList; a file with that goes with "
                "--project"
            ),
        ),
        (
            "<ResourcesList>\n<ComputeNode>\n</ResourcesList>",
            (
                "machines.xml:3: this is no well-formed XML: Opening and ending tag mismatch: ComputeNode line 2 and "
                "ResourcesList"
            ),
        ),
        ("", "machines.xml is empty; it has to contain XML"),
        (
            '<!DOCTYPE ResourcesList [<!ENTITY x "y">]><ResourcesList/>',
            "machines.xml: a DOCTYPE and entities are not accepted; leave the line <!DOCTYPE ...> out",
        ),
    ],
)
def test_every_problem_is_explained(problems, text, told):
    (line,) = problems(text)
    assert line == told


@pytest.mark.parametrize(
    "text",
    [
        node("<Memry><Size>4</Size></Memry>"),
        resources('<ComputeNode Name="node1"/>'),
        processor("<ComputingUnits>0</ComputingUnits>"),
        processor("<ComputingUnits>4</ComputingUnits><Type>gpu</Type>"),
        node("<Memory><Size>NaN</Size></Memory>"),
        node("<Memory><Size>-1</Size></Memory>"),
        node("<Memory><Size>1</Size></Memory><Memory><Size>2</Size></Memory>"),
        node("plenty"),
        resources('<SharedDisk Name=""/>'),
        resources('<SharedDisk Name="gpfs" Nmae="x"/>'),
    ],
)
def test_the_schema_by_itself_refuses_what_is_explained(text):
    """Editors check files against it, too."""
    assert not validator().validate(etree.fromstring(text))


def test_all_problems_of_a_file_are_told_at_once_in_their_order(problems):
    found = problems(resources('<SharedDisk/>\n<ComputeNode Name="a"/>\n<ComputeNode Name="b"/>'))
    assert [int(re.match(r"machines.xml:(\d+):", line)[1]) for line in found] == [2, 3, 4]


def test_of_very_many_problems_some_are_told(problems):
    found = problems(resources("<SharedDisk/>\n" * 100))
    assert len(found) == 21
    assert found[-1] == "and 80 more"


def test_entities_are_neither_expanded_nor_fetched(problems, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("4")
    declaration = f'<!DOCTYPE r [<!ENTITY units SYSTEM "file://{secret}">]>'
    text = declaration + processor("<ComputingUnits>&units;</ComputingUnits>")
    assert "DOCTYPE" in problems(text)[0]


def test_entities_that_grow_without_end_are_refused_at_once(problems):
    levels = "".join(f'<!ENTITY e{i} "{f"&e{i - 1};" * 10}">' for i in range(1, 12))
    text = f'<!DOCTYPE r [<!ENTITY e0 "x">{levels}]>' + resources('<SharedDisk Name="&e11;"/>')
    assert problems(text)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ClusterFileError, match=r"none.xml cannot be read: No such file or directory"):
        read(str(tmp_path / "none.xml"), "ResourcesList")


def test_the_file_of_this_repository_is_valid():
    assert read(str(ROOT / "resources.xml"), "ResourcesList").all("ComputeNode")


@pytest.mark.parametrize(("path", "root"), [(EVERYTHING, "ResourcesList"), (EVERYTHING_USED, "Project")])
def test_a_file_with_every_element_is_valid(path, root):
    read(str(path), root)


@pytest.mark.parametrize(("path", "root"), [(EVERYTHING, "ResourcesList"), (EVERYTHING_USED, "Project")])
def test_children_come_in_any_order(tmp_path, path, root):
    tree = etree.parse(path)
    for element in tree.iter():
        element[:] = reversed(element[:])
    (tmp_path / "reversed.xml").write_bytes(etree.tostring(tree))
    read(str(tmp_path / "reversed.xml"), root)


def test_the_examples_of_the_documentation_are_valid(tmp_path):
    blocks = re.findall(r"```xml\n(.*?)```", (ROOT / "docs" / "cluster.md").read_text(), re.DOTALL)
    assert len(blocks) == 2
    for block, root in zip(blocks, ("ResourcesList", "Project"), strict=True):
        (tmp_path / f"{root}.xml").write_text(block)
        read(str(tmp_path / f"{root}.xml"), root)
    cluster = cluster_of_files(str(tmp_path / "ResourcesList.xml"), str(tmp_path / "Project.xml"))
    assert [setup.user for setup in cluster.nodes] == ["me"]


def test_the_example_files_use_every_element_of_the_schema():
    ours = {element.tag for path in (EVERYTHING, EVERYTHING_USED) for element in etree.parse(path).iter("*")}
    pattern = "{http://relaxng.org/ns/structure/1.0}element"
    assert {element.get("name") for element in etree.parse(SCHEMA).iter(pattern)} == ours
