"""Sessions on this machine as a resources.xml describes it: no SSH is needed for that."""

import itertools
import os
import time

import pytest

import taskflow
from taskflow import RequirementsError, compss_wait_on, constraint, task

RESOURCES = """
<ResourcesList>
  <ComputeNode Name="localhost">
    <Processor Name="Xeon"><ComputingUnits>3</ComputingUnits></Processor>
    <Processor Name="Grace"><ComputingUnits>1</ComputingUnits></Processor>
    <Processor Name="Tesla"><ComputingUnits>2</ComputingUnits><Type>GPU</Type></Processor>
    <Processor Name="AMD Instinct MI250X"><ComputingUnits>1</ComputingUnits><Type>GPU</Type></Processor>
    <Processor Name="Stratix"><ComputingUnits>2</ComputingUnits><Type>FPGA</Type></Processor>
    <Processor Name="Sensor"><ComputingUnits>1</ComputingUnits><Type>OTHER</Type></Processor>
    <Adaptors><Adaptor Name="batch"><SubmissionSystem><Batch><Queue>debug</Queue></Batch></SubmissionSystem></Adaptor>
    </Adaptors>
    <Software><Application>Gromacs</Application></Software>
  </ComputeNode>
</ResourcesList>
"""


@pytest.fixture(scope="module")
def here(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("here")
    (folder / "resources.xml").write_text(RESOURCES)
    with taskflow.session(
        resources=folder / "resources.xml", engine=request.param, run_dir=folder / "run", progress=False
    ) as session:
        yield session


everywhere = pytest.mark.parametrize("here", ["local", "simulated"], indirect=True, scope="module")
#: The simulated engine runs one body after the other, in this process.
local = pytest.mark.parametrize("here", ["local"], indirect=True, scope="module")


def call_of(function=lambda: 1, /, **constraints):
    return constraint(**constraints)(task(returns=1)(function))


VARIABLES = (
    "CUDA_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "COMPSS_BINDED_GPUS", "COMPSS_BINDED_FPGAS", "COMPSS_BINDED_OTHERS",
)  # fmt: skip


def seen():
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def now():
    begun = time.monotonic()
    time.sleep(0.1)
    return begun, time.monotonic(), seen()


@everywhere
def test_executors_as_many_as_computing_units(here):
    assert here.workers == 4
    assert here.node.name == "localhost"


@everywhere
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "constraints",
    [
        {"app_software": "gromacs"},
        {"host_queues": "Debug"},
        {"processor_name": "Grace"},
        {"computing_units": 3},
        {"is_local": True},
        {"processors": [{"type": "FPGA", "computing_units": 2}, {"type": "GPU", "name": "Tesla"}]},
    ],
)
def test_what_the_file_declares_can_be_asked_for(constraints):
    assert compss_wait_on(call_of(**constraints)()) == 1


@everywhere
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("constraints", "told"),
    [
        ({"app_software": "blast"}, r"app_software\s+BLAST\s+GROMACS"),
        ({"host_queues": "long"}, r"host_queues\s+LONG\s+DEBUG"),
        ({"computing_units": 4}, r"computing_units\s+4\s+3"),
        ({"processor_name": "Pentium"}, r"processor_name\s+Pentium\s+Xeon"),
        ({"processors": [{"type": "FPGA", "computing_units": 3}]}, r"computing_units of type FPGA\s+3\s+2"),
        ({"processors": [{"type": "GPU", "computing_units": 3}]}, r"computing_units of type GPU\s+3\s+2"),
    ],
)
def test_what_the_file_does_not_declare_cannot(constraints, told):
    with pytest.raises(RequirementsError, match=told) as caught:
        call_of(**constraints)()
    assert "needs what no node has" in str(caught.value)
    assert "resources.xml what the nodes have" in str(caught.value)


@local
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("need", "wanted"),
    [
        ({"type": "GPU", "name": "Tesla", "computing_units": 2}, {"CUDA_VISIBLE_DEVICES": "0,1"}),
        ({"type": "GPU", "name": "AMD Instinct MI250X"}, {"ROCR_VISIBLE_DEVICES": "2"}),
        ({"type": "FPGA", "computing_units": 2}, {"COMPSS_BINDED_FPGAS": "0,1"}),
        ({"type": "OTHER"}, {"COMPSS_BINDED_OTHERS": "0"}),
    ],
)
def test_a_task_is_told_which_devices_it_has(need, wanted):
    variables = compss_wait_on(call_of(seen, processors=[need])())
    variables.pop("COMPSS_BINDED_GPUS", None)
    assert variables == wanted


def overlaps(spans):
    spans = sorted(span[:2] for span in spans)
    return any(later[0] < earlier[1] for earlier, later in itertools.pairwise(spans))


@local
@pytest.mark.usefixtures("here")
def test_a_device_has_one_task_at_a_time():
    on_fpga = call_of(now, processors=[{"type": "FPGA"}])
    results = compss_wait_on([on_fpga() for _ in range(6)])
    for number in "01":
        spans = [result for result in results if result[2] == {"COMPSS_BINDED_FPGAS": number}]
        assert len(spans) >= 2
        assert not overlaps(spans)
    assert overlaps(results)


@local
@pytest.mark.usefixtures("here")
def test_tasks_for_one_processor_share_its_units_although_others_are_free():
    on_grace = call_of(now, processor_name="Grace")
    on_xeon = call_of(now, processor_name="Xeon")
    results = compss_wait_on([on_grace() for _ in range(3)])
    assert not overlaps(results)
    assert overlaps(compss_wait_on([on_xeon() for _ in range(3)]))


@local
@pytest.mark.usefixtures("here")
def test_any_processor_will_do_for_the_others_meanwhile():
    """Those that wait for one have executors reserved for them, and not all of them."""
    on_grace = call_of(now, processor_name="Grace")
    anywhere = call_of(now)
    waiting = [on_grace() for _ in range(3)]
    others = compss_wait_on([anywhere() for _ in range(3)])
    assert max(end for _, end, _ in others) < max(end for _, end, _ in compss_wait_on(waiting))
