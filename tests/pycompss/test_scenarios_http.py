"""S37 HTTP: programs for PyCOMPSs whose tasks are requests to a service."""

import sys

import pytest

from tests.behaviour.services import Server

RESOURCES = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<ResourcesList>
    <ComputeNode Name="localhost">
        <Processor Name="MainProcessor"><ComputingUnits>2</ComputingUnits></Processor>
        <Adaptors>
            <Adaptor Name="es.bsc.compss.nio.master.NIOAdaptor">
                <SubmissionSystem><Interactive/></SubmissionSystem>
                <Ports><MinPort>43001</MinPort><MaxPort>43002</MaxPort></Ports>
            </Adaptor>
        </Adaptors>
    </ComputeNode>
    <Http BaseUrl="{url}">
        <ServiceName>service_1</ServiceName>
        <ServiceName>service_2</ServiceName>
    </Http>
</ResourcesList>
"""
PROJECT = """\
<?xml version="1.0" encoding="UTF-8" standalone="yes"?>
<Project>
    <MasterNode/>
    <ComputeNode Name="localhost">
        <InstallDir>/opt/COMPSs/</InstallDir>
        <WorkingDir>/tmp/COMPSsWorker/</WorkingDir>
    </ComputeNode>
    <Http BaseUrl="{url}">
        <LimitOfTasks>2</LimitOfTasks>
    </Http>
</Project>
"""

PROGRAM = """
from pycompss.api.api import compss_wait_on
from pycompss.api.http import http
from pycompss.api.on_failure import on_failure
from pycompss.api.parameter import INOUT
from pycompss.api.task import task


@http(service_name="service_1", request="GET", resource="length/{{message}}", produces="{'length': '{{return_0}}'}")
@task(returns=int)
def get_length(message):
    pass


@http(service_name="service_1", request="GET", resource="text/{{message}}")
@task(returns=str)
def get_text(message):
    pass


@http(
    service_name="service_1", request="POST", resource="json/", payload="{{payload}}",
    payload_type="application/json",
)
@task(returns=1)
def post_json(payload):
    pass


@http(
    service_name="service_2", request="POST", resource="json/",
    payload="{'a': {{inner}}, 'message': 'A string with {{inner}}'}",
    produces="{'message': '{{return_0}}', 'a': '{{return_1}}'}",
)
@task(returns=2)
def post_inner(inner):
    pass


@http(
    service_name="service_2", request="GET", resource="nested",
    produces="{'length':'{{return_0}}', 'child': {'depth_1': 'one', 'message': '{{param}}'}}",
    updates='{{event}}.some_key = {{param}}',
)
@task(event=INOUT, returns=1)
def update(event):
    pass


@on_failure(management="IGNORE", returns=7)
@http(service_name="service_1", request="GET", resource="status/500")
@task(returns=1)
def fails():
    pass


@http(service_name="service_1", request="GET", resource="slow/0.05")
@task(returns=1)
def slow():
    pass


@task(returns=1)
def regular(n, text):
    return text * n


if __name__ == "__main__":
    length = get_length("four")
    assert compss_wait_on(regular(length, get_text("ab"))) == "abababab"
    assert compss_wait_on(get_length(regular(3, "xyz"))) == 9
    for payload in ("a string", {"a": 1, "b": [True, None]}, '{"c": 2.5}', 5):
        expected = {"c": 2.5} if payload == '{"c": 2.5}' else payload
        assert compss_wait_on(post_json(payload)) == expected
    message, inner = post_inner("o'clock")
    assert compss_wait_on(message, inner) == ["A string with o'clock", "o'clock"]
    event = {"old": True}
    assert compss_wait_on(update(event)) == 4
    assert compss_wait_on(event) == {"old": True, "some_key": "hello"}
    assert compss_wait_on(fails()) == 7
    compss_wait_on([slow() for _ in range(6)])
    print("well")
"""


@pytest.fixture
def server():
    server = Server()
    yield server
    server.stop()


def test_s37_services_of_the_xml_files_get_requests_and_answer(runtask, server):
    runtask.write(RESOURCES.format(url=server.url), "resources.xml")
    runtask.write(PROJECT.format(url=server.url), "project.xml")
    ended = runtask(PROGRAM, options=["--resources=resources.xml", "--project=project.xml"])
    assert (ended.returncode, ended.stdout) == (0, "well\n"), ended.stderr
    assert server.stats()["most"] == 2


def test_s37_services_are_named_on_the_command_line(runtask, server):
    options = ["--workers=2", f"--service=service_1={server.url}", "--service", f"service_2={server.url}/"]
    ended = runtask(PROGRAM, options=options)
    assert (ended.returncode, ended.stdout) == (0, "well\n"), ended.stderr


def test_s37_a_file_with_services_alone_is_no_description_of_machines(runtask, server):
    service = f'<Http BaseUrl="{server.url}"><ServiceName>service_1</ServiceName></Http>'
    runtask.write(f"<ResourcesList>{service}</ResourcesList>", "resources.xml")
    ended = runtask(PROGRAM, options=["--resources=resources.xml"])
    assert ended.returncode == 2
    assert "services alone are named with --service NAME=URL" in ended.stderr


def test_s37_without_runtask_no_request_is_made(runtask, server):
    text = PROGRAM.partition("if __name__")[0] + "print(get_length('x'), post_json({}), update({}))\n"
    runtask.write(text)
    ended = runtask.words("app.py", command=(sys.executable,))
    assert (ended.returncode, ended.stdout) == (0, "None None None\n"), ended.stderr
    assert server.stats()["requests"] == 1
