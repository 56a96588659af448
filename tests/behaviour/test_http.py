"""Tasks with ``@http``: requests to a server of their own."""

# ruff: noqa: ARG001, ARG002, ARG005  the bodies of these functions are never run

import base64
import json
import os
import subprocess
import sys
import threading
import time
from urllib.parse import quote, quote_plus

import numpy as np
import pytest

import taskflow
from taskflow import (
    FILE_IN,
    FILE_OUT,
    INOUT,
    ServiceError,
    TaskCancelledError,
    TaskflowWarning,
    TaskGroup,
    TimeOutError,
    compss_barrier_group,
    compss_cancel_group,
    compss_wait_on,
    compss_wait_on_file,
    constraint,
    http,
    on_failure,
    prolog,
    runtime,
    task,
)
from taskflow.model.errors import ArgumentError, ArgumentWarning, COMPSsException
from taskflow.runners import own_imports
from taskflow.runners.web import SHOWN, Answer
from tests.behaviour.services import Server, free_port, write_certificate

ENGINES = pytest.mark.engines("local", "simulated", "cluster")


@pytest.fixture(scope="module")
def server():
    server = Server()
    yield server
    server.stop()


@pytest.fixture
def service(engine, server):
    """The session knows the service "test"."""
    if engine.parallel:
        runtime.session.add_services({"test": server.url})
    return server


@pytest.fixture
def alone(tmp_path):
    """Function that starts a session of the test's own, with services as given."""

    def start(**services):
        return taskflow.start(workers=1, run_dir=tmp_path / "run", progress=False, services=services)

    taskflow.stop()
    yield start
    taskflow.stop(cancel=True)


def request(resource, method="GET", **more):
    return http(service_name="test", resource=resource, request=method, **more)


@request("echo/{{a}}/{{b}}?q={{q}}&fixed=1")
@task(returns=1)
def echo(a, b, q):
    return "body"


@task(returns=1)
def upper(text):
    return str(text).upper()


@request("length/{{message}}", produces="{'length': '{{return_0}}'}")
@task(returns=int)
def length(message):
    pass


def test_without_a_session_the_body_is_run_and_no_request_is_made(server):
    taskflow.stop()
    before = server.stats()["requests"]
    assert echo(1, 2, 3) == "body"
    assert server.stats()["requests"] == before + 1  # that is the question itself


@ENGINES
class TestAsking:
    def test_arguments_are_put_into_the_path_and_the_query(self, service):
        answer = compss_wait_on(echo("x", 2.5, True))
        assert (answer["method"], answer["path"]) == ("GET", "/echo/x/2.5")
        assert answer["query"] == {"q": "true", "fixed": "1"}

    def test_an_argument_can_add_no_step_query_or_fragment(self, service):
        nasty = "a/../b?x=1&y=2#z%2F é\r\nHost: evil"
        answer = compss_wait_on(echo(nasty, "..x", nasty))
        assert answer["steps"] == [nasty, "..x"]
        assert answer["query"] == {"q": nasty, "fixed": "1"}

    @pytest.mark.parametrize("step", [".", ".."])
    def test_a_step_that_would_lead_elsewhere_is_refused(self, service, step):
        with pytest.raises(ArgumentError, match="has a step"):
            compss_wait_on(echo("a", step, ""))

    def test_futures_go_in_and_results_go_on(self, service):
        n = length(upper("straße"))
        assert compss_wait_on(n) == len("STRASSE")
        assert compss_wait_on(upper(n)) == "7"
        assert compss_wait_on(length(upper(length("x" * 12)))) == 2

    def test_many_at_once(self, service):
        assert compss_wait_on([length("x" * n) for n in range(1, 300)]) == list(range(1, 300))

    def test_a_default_of_a_parameter_is_used(self, service):
        @request("echo/{{a}}", "DELETE")
        @task(returns=1)
        def delete(a="given"):
            pass

        answer = compss_wait_on(delete())
        assert (answer["method"], answer["path"]) == ("DELETE", "/echo/given")

    def test_a_method_is_a_task_as_well(self, service):
        class Catalogue:
            @request("length/{{word}}", produces="{'length': {{return_0}}}")
            @task(returns=1)
            def length(self, word):
                pass

        assert compss_wait_on(Catalogue().length("four")) == 4


#: By the number of their parameters.
FUNCTIONS = [lambda: 0, lambda v0: 0, lambda v0, v1: 0, lambda v0, v1, v2: 0, lambda v0, v1, v2, v3: 0]


@ENGINES
class TestPayload:
    def sent(self, template, *values, kind="application/json", **directions):
        post = request("echo", "POST", payload=template, payload_type=kind)(
            task(returns=1, **directions)(FUNCTIONS[len(values)])
        )
        answer = compss_wait_on(post(*values))
        assert answer["headers"]["content-type"] == kind
        return answer["body"]

    @pytest.mark.parametrize(
        "value", ["text", 'with "quotes" and \\', {"a": [1, None, {"b": True}]}, [1, 2.5], 7, None, "{'a': 1}", "é\n"]
    )
    def test_a_value_in_a_document_is_that_value(self, service, value):
        assert json.loads(self.sent("{'a': {{v0}}, \"b\": [{{v0}}]}", value)) == {"a": value, "b": [value]}

    def test_in_quotes_it_is_part_of_a_text(self, service):
        body = self.sent("{'a': 'x {{v0}} \"{{v1}}\"', 'n': '{{v2}}', '{{v3}}': 1}", 'q"', "it's", 5, "key")
        assert json.loads(body) == {"a": 'x q" "it\'s"', "n": "5", "key": 1}

    def test_values_of_numpy_are_numbers_and_lists(self, service):
        body = self.sent("{'a': {{v0}}, 'n': {{v1}}}", np.arange(3), np.float64(0.5))
        assert json.loads(body) == {"a": [0, 1, 2], "n": 0.5}

    @pytest.mark.parametrize("value", ["text", {"a": 1}, [1], 3])
    def test_the_whole_payload_may_be_one_value(self, service, value):
        assert json.loads(self.sent("{{v0}}", value)) == value

    def test_text_that_is_a_document_is_sent_as_it_is(self, service):
        assert self.sent("{{v0}}", '{"a":  1}') == '{"a":  1}'

    def test_other_types_have_their_own_way_to_write_values(self, service):
        assert self.sent("it's {{v0}}", "a&b", kind="text/plain") == "it's a&b"
        assert self.sent("a={{v0}}&b=2", "x&b=3", kind="application/x-www-form-urlencoded") == "a=x%26b%3D3&b=2"
        assert self.sent("<a b='{{v0}}'/>", "'<&", kind="application/xml") == "<a b='&apos;&lt;&amp;'/>"
        assert self.sent("{{v0}}", b"raw\r\n", kind="application/octet-stream") == "raw\r\n"

    def test_a_file_is_sent_as_it_is(self, service, tmp_path):
        (tmp_path / "data.csv").write_text("a,b\n" * 100_000)
        assert self.sent("{{v0}}", str(tmp_path / "data.csv"), kind="text/csv", v0=FILE_IN) == "a,b\n" * 100_000

    def test_large_values_and_files_that_tasks_have_made_are_sent(self, service, tmp_path):
        @task(returns=2, path=FILE_OUT)
        def make(path):
            with open(path, "w") as file:
                file.write("line\n" * 10_000)
            return np.arange(30_000), list(range(30_000))

        @request("echo", "POST", payload="{'array': {{array}}, 'list': {{numbers}}}", produces="{'body': {{return_0}}}")
        @task(returns=1)
        def post(array, numbers):
            pass

        @request("echo", "PUT", payload="{{path}}", payload_type="text/plain", produces="{'body': {{return_0}}}")
        @task(returns=1, path=FILE_IN)
        def put(path):
            pass

        path = str(tmp_path / "made")
        body = post(*make(path))
        assert compss_wait_on(put(path)) == "line\n" * 10_000
        assert json.loads(compss_wait_on(body)) == {"array": list(range(30_000)), "list": list(range(30_000))}

    def test_a_file_in_a_document_is_its_content(self, service, tmp_path):
        (tmp_path / "text").write_text('say "x"')
        (tmp_path / "document").write_text('{"x": [1]}')
        paths = [str(tmp_path / "text"), str(tmp_path / "document")]
        body = self.sent("{'t': {{v0}}, 'd': {{v1}}}", *paths, v0=FILE_IN, v1=FILE_IN)
        assert json.loads(body) == {"t": 'say "x"', "d": {"x": [1]}}

    def test_what_is_no_json_is_named(self, service):
        with pytest.raises(ArgumentError, match="payload cannot be sent as JSON: a set is none of its values"):
            self.sent("{'a': {{v0}}}", {1, 2})


@ENGINES
class TestAnswers:
    def test_values_are_taken_out_of_a_document(self, service):
        @request(
            "nested", produces="{'length': '{{return_1}}', 'child': {'depth_1': 'any', 'list': [0, '{{return_0}}']}}"
        )
        @task(returns=2)
        def get():
            pass

        assert compss_wait_on(get()) == [{"x": 2}, 4]

    def test_updates_set_keys_of_a_dict(self, service):
        @request(
            "nested",
            produces="{'length': '{{n}}', 'child': {'message': '{{text}}'}}",
            updates="{{event}}.some_key = {{text}}; {{event}}.deep.er = {{n}}",
        )
        @task(event=INOUT)
        def get(event):
            pass

        event = {"old": 1}
        get(event)
        get(event)
        assert compss_wait_on(event) == {"old": 1, "some_key": "hello", "deep": {"er": 4}}

    @pytest.mark.parametrize(
        ("text", "returns", "value"),
        [
            ("12", int, 12), ("12", str, "12"), ("12", 1, "12"), ("2.5", float, 2.5), ("3", float, 3.0),
            ("True", bool, True), ("[1, 2]", list, [1, 2]), ('{"a": 1}', dict, {"a": 1}), ("é", bytes, b"\xe9"),
            ("é", str, "é"),
        ],
    )  # fmt: skip
    def test_a_text_becomes_what_is_declared(self, service, text, returns, value):
        def get(text):
            pass

        ask = request("text/{{text}}")(task(returns=returns)(get))
        found = compss_wait_on(ask(text))
        assert (found, type(found)) == (value, type(value))

    def test_what_cannot_be_that_is_an_error_with_the_answer(self, service):
        @request("text/{{text}}")
        @task(returns=int, on_failure="FAIL")
        def get(text):
            pass

        with pytest.raises(ServiceError, match="answered with no int: twelve"):
            compss_wait_on(get("twelve"))

    def test_an_answer_goes_into_a_file(self, service, tmp_path):
        @request("huge/{{n}}", produces="{{out}}")
        @task(out=FILE_OUT)
        def fetch(n, out):
            pass

        fetch(100_000, str(tmp_path / "out"))
        compss_wait_on_file(str(tmp_path / "out"))
        assert (tmp_path / "out").read_bytes() == b"x" * 100_000

    def test_large_answers_are_shared(self, service):
        @request("huge/{{n}}")
        @task(returns=bytes)
        def fetch(n):
            pass

        assert len(compss_wait_on(fetch(3_000_000))) == 3_000_000
        assert compss_wait_on(upper(fetch(200_000))).count("X") == 200_000


@ENGINES
class TestFailing:
    def test_another_status_is_a_failure_that_says_why(self, service):
        @request("status/{{n}}")
        @task(returns=1, on_failure="FAIL")
        def get(n):
            pass

        with pytest.raises(
            ServiceError, match=r"(?s)GET .*/status/418 of the service test answered 418 Because.*why"
        ) as told:
            compss_wait_on(get(418))
        assert told.value.status == 418
        assert "by a request to the service test" in str(told.value.__cause__)
        assert "test_http.py" in str(told.value.__cause__)

    def test_malformed_json_is_a_failure_with_the_beginning_of_the_answer(self, service):
        @request("malformed", produces="{'length': {{return_0}}}")
        @task(returns=1, on_failure="FAIL")
        def get():
            pass

        with pytest.raises(ServiceError, match=r'(?s)what is not JSON .*: \{"length": $'):
            compss_wait_on(get())

    def test_a_document_without_what_is_needed_is_one(self, service):
        @request("nested", produces="{'child': {'nothing': {{return_0}}}}")
        @task(returns=1, on_failure="FAIL")
        def get():
            pass

        with pytest.raises(ServiceError, match=r"a document without \['child'\]\['nothing'\]"):
            compss_wait_on(get())

    def test_an_answer_that_is_too_large_is_one(self, service):
        @request("huge/{{n}}", max_response=1000)
        @task(returns=bytes, on_failure="FAIL")
        def get(n):
            pass

        assert len(compss_wait_on(get(1000))) == 1000
        with pytest.raises(ServiceError, match="more than 1,000 bytes") as raised:
            compss_wait_on(get(1001))
        assert 'File "' not in str(raised.value.__cause__)

    def test_redirections_are_followed_but_not_for_ever(self, service):
        @request("redirect/{{n}}", produces="{'arrived': {{return_0}}}")
        @task(returns=1, on_failure="FAIL")
        def get(n):
            pass

        assert compss_wait_on(get(5)) is True
        with pytest.raises(ServiceError, match="was redirected 5 times"):
            compss_wait_on(get(6))

    def test_a_failed_attempt_is_repeated(self, service):
        @request("fail/3/{{key}}", produces="{'times': {{return_0}}}")
        @task(returns=1)
        def get(key):
            pass

        assert compss_wait_on(get(os.urandom(4).hex())) == 4

    def test_an_ignored_failure_leaves_the_default(self, service):
        @on_failure(management="IGNORE", returns=7)
        @request("status/500")
        @task(returns=1)
        def get():
            pass

        assert compss_wait_on(get()) == 7

    def test_successors_are_cancelled_if_the_policy_says_so(self, service):
        @request("status/500")
        @task(returns=1, on_failure="CANCEL_SUCCESSORS")
        def get():
            pass

        with pytest.raises(TaskCancelledError):
            upper(get()).result()

    def test_connections_that_break_are_made_again_for_what_may_be_repeated(self, service):
        def ask(key):
            pass

        get = request("close/2/{{key}}", produces="{'times': {{return_0}}}")(task(returns=1, on_failure="FAIL")(ask))
        assert compss_wait_on(get(os.urandom(4).hex())) == 3
        key = os.urandom(4).hex()
        post = request("close/1/{{key}}", "POST", produces="{'times': {{return_0}}}")(
            task(returns=1, on_failure="FAIL")(ask)
        )
        with pytest.raises(ServiceError, match="it may have been done all the same"):
            compss_wait_on(post(key))
        assert compss_wait_on(post(key)) == 2

    def test_a_service_that_does_not_run_is_a_failure_that_says_so(self, service):
        runtime.session.add_services({"nobody": f"http://127.0.0.1:{free_port()}"})

        @http(service_name="nobody", request="POST", resource="x", payload="{'a': 1}")
        @task(on_failure="FAIL", returns=1)
        def post():
            pass

        with pytest.raises(ServiceError, match=r"POST x of the service nobody got no answer .*asked 5 times") as told:
            compss_wait_on(post())
        assert told.value.status == 0

    def test_what_is_wrong_with_one_does_not_touch_others(self, service):
        @request("status/{{n}}")
        @task(returns=1, on_failure="IGNORE")
        def get(n):
            pass

        results = [get(200 + 300 * (n % 2)) if n % 3 else length("x" * n) for n in range(30)]
        with pytest.warns(TaskflowWarning, match="9 more"):
            found = compss_wait_on(results)
        assert found[3::6] == [3, 9, 15, 21, 27]


@ENGINES
class TestStopping:
    def test_a_request_that_takes_too_long_is_given_up(self, service):
        @request("slow/{{seconds}}")
        @task(returns=1, time_out=0.3, on_failure="FAIL")
        def get(seconds):
            pass

        begun = time.monotonic()
        with pytest.raises(TimeOutError, match=r"time_out=0\.3"):
            compss_wait_on(get(30))
        assert time.monotonic() - begun < 10
        assert compss_wait_on(get(0))["slept"] == 0


@request("slow/{{seconds}}")
@task(returns=1)
def slow(seconds):
    pass


@pytest.mark.engines("local", "cluster")
class TestInFlight:
    def test_a_group_is_cancelled(self, service):
        with TaskGroup("slow ones", implicit_barrier=False):
            results = [slow(60) for _ in range(20)]
        time.sleep(0.2)
        begun = time.monotonic()
        compss_cancel_group("slow ones")
        compss_barrier_group("slow ones")
        assert time.monotonic() - begun < 10
        with pytest.warns(TaskflowWarning, match="cancelled the group 'slow ones'"):
            assert compss_wait_on(results) == [None] * 20
        assert compss_wait_on(length("next")) == 4

    def test_what_has_hardly_begun_can_be_cancelled(self, service):
        for number in range(20):
            with TaskGroup(f"short-lived {number}", implicit_barrier=False):
                for _ in range(5):
                    slow(60)
            compss_cancel_group(f"short-lived {number}")
            compss_barrier_group(f"short-lived {number}")
        assert runtime.session.engine.kernel.unfinished == 0

    def test_an_exception_of_the_group_ends_its_requests(self, service):
        @task(returns=1)
        def refuse(text):
            raise COMPSsException("enough")

        with pytest.raises(COMPSsException, match="enough"), TaskGroup("mixed"):
            result = slow(60)
            refuse(length("abc"))
        with pytest.warns(TaskflowWarning, match="raised COMPSsException: enough"):
            assert compss_wait_on(result) is None

    def test_python_tasks_go_on_while_requests_are_slow(self, service):
        with TaskGroup("slow", implicit_barrier=False):
            results = [slow(60) for _ in range(50)]
        assert compss_wait_on([upper(n) for n in range(50)]) == [str(n) for n in range(50)]
        assert not any(result.done() for result in results)
        compss_cancel_group("slow")


def test_a_thousand_slow_requests_occupy_no_executor_and_one_thread(alone, server, monkeypatch):
    monkeypatch.setenv("COMPSS_HTTP_POOL_SIZE", "1000")
    alone(test=server.url)
    threads = threading.active_count()
    slow(0).result()
    gather = request("gather/1000", produces="{'gathered': {{return_0}}}")(task(returns=1)(lambda: None))
    results = [gather() for _ in range(1000)]
    assert upper("x").result() == "X"  # the only executor is free
    assert threading.active_count() <= threads + 1
    assert compss_wait_on(results) == [True] * 1000


def test_no_more_requests_than_the_pool_has_connections(alone, monkeypatch):
    monkeypatch.setenv("COMPSS_HTTP_POOL_SIZE", "3")
    server = Server()
    try:
        alone(test=server.url)
        compss_wait_on([slow(0.05) for _ in range(12)])
        assert server.stats()["most"] == 3
    finally:
        server.stop()


def test_no_more_requests_than_the_limit_of_a_service(alone):
    server, other = Server(), Server()
    try:
        alone(test={"url": server.url, "limit": 2}, other={"url": [server.url, other.url], "limit": 2})
        ask = http(service_name="other", request="GET", resource="slow/0.05")(task(returns=1)(lambda: None))
        compss_wait_on([[slow(0.05), ask(), ask()] for _ in range(8)])
        assert (server.stats()["most"], other.stats()["most"]) == (2, 2)
    finally:
        server.stop()
        other.stop()


def test_services_in_one_place_share_its_limit(alone):
    server = Server()
    try:
        alone(test={"url": server.url, "limit": 3}, other={"url": f"{server.url}/", "limit": 2})
        ask = http(service_name="other", request="GET", resource="slow/0.05")(task(returns=1)(lambda: None))
        compss_wait_on([[slow(0.05), ask()] for _ in range(8)])
        assert server.stats()["most"] == 2
    finally:
        server.stop()


def test_several_servers_share_the_requests_and_one_that_dies_is_replaced_by_the_others(alone):
    servers = [Server(), Server()]
    try:
        alone(test=[server.url for server in servers])
        results = [length("x" * n) for n in range(1, 100)]
        compss_wait_on(results)
        assert all(server.stats()["requests"] > 20 for server in servers)
        running = [slow(0.5) for _ in range(10)]
        while servers[0].stats()["most"] < 5:
            time.sleep(0.01)
        servers[0].stop()
        assert compss_wait_on(running) == [{"slept": 0.5}] * 10
        assert compss_wait_on([length("x" * n) for n in range(1, 100)]) == list(range(1, 100))
    finally:
        for server in servers:
            server.stop()


def test_a_server_that_is_overloaded_has_its_requests_taken_over(alone):
    overloaded, server = Server(0, 503), Server()
    try:
        alone(test=[overloaded.url, server.url])
        post = request("json", "POST", payload="{{n}}")(task(returns=1, on_failure="FAIL")(lambda n: None))
        assert compss_wait_on([post(n) for n in range(20)]) == list(range(20))
        overloaded.stop()
        server.stop()
        server = Server(server.port, 502)
        with pytest.raises(ServiceError, match="answered 502"):
            post(1).result()
    finally:
        overloaded.stop()
        server.stop()


def test_a_server_that_comes_back_in_time_is_asked_again(alone):
    port = free_port()
    alone(test=f"http://127.0.0.1:{port}")
    result = length("word")
    time.sleep(0.2)
    server = Server(port)
    try:
        assert result.result() == 4
    finally:
        server.stop()


# ---------------------------------------------------------------------- secrets


def test_a_token_is_sent_and_written_nowhere(alone, server, tmp_path, monkeypatch, capfd, caplog):
    caplog.set_level(1)
    token = os.urandom(12).hex()
    monkeypatch.setenv("TEST_TOKEN", token)
    alone(test=server.url)
    secret = {"Authorization": "Bearer ${TEST_TOKEN}", "X-Of": "{{who}} $$"}

    def ask(path, who):
        pass

    get = request("echo", headers=secret)(task(returns=1)(ask))
    headers = compss_wait_on(get("x", "me"))["headers"]
    assert headers["authorization"] == f"Bearer {token}"
    assert headers["x-of"] == "me $"
    fails = request("status/{{path}}", headers=secret)(task(returns=1, on_failure="FAIL")(ask))
    with pytest.raises(ServiceError, match=r"Bearer \*\*\*") as told:
        compss_wait_on(fails(500, "me"))
    assert token not in f"{told.value} {told.value.__cause__}"
    taskflow.stop()
    said = capfd.readouterr()
    assert token not in said.out + said.err + caplog.text
    assert "httpcore" in caplog.text
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert files
    assert not any(token.encode() in path.read_bytes() for path in files)


@pytest.mark.parametrize("user", ["user:pass word+of 'us'", "key-without-password"])
def test_the_password_of_a_url_is_in_no_error_and_no_file_if_the_server_sends_it_back(alone, server, tmp_path, user):
    name, _, password = user.partition(":")
    alone(test=server.url.replace("//", f"//{quote(name)}:{quote(password)}@"))
    fails = request("status/401")(task(returns=1, on_failure="FAIL")(lambda: None))
    with pytest.raises(ServiceError, match=r"(?s)401 .*Basic \*\*\*") as told:
        compss_wait_on(fails())
    taskflow.stop()
    token = base64.b64encode(f"{name}:{password}".encode()).decode()
    texts = [path.read_text(errors="replace") for path in (tmp_path / "run").rglob("*") if path.is_file()]
    assert texts
    forms = [token.rstrip("="), password or name, quote_plus(password or name)]
    assert not [form for form in forms for text in (str(told.value), *texts) if form in text]


def test_half_a_secret_at_the_end_of_what_is_shown_is_hidden():
    answer = Answer(500, "", "text/plain", "", b"x" * (SHOWN - 3) + b"secret", "http://h", ("secret",))
    assert answer.beginning() == "x" * (SHOWN - 3) + "***"


def test_a_token_does_not_go_to_another_server(alone, server, monkeypatch):
    monkeypatch.setenv("TEST_TOKEN", "secret")
    other = Server()
    try:
        host = server.url.replace("//", "//user:word@")
        alone(test=host)
        get = request("elsewhere?port={{port}}", "POST", payload="{'a': 1}", headers={"X-Token": "$TEST_TOKEN"})(
            task(returns=1)(lambda port: None)
        )
        answer = compss_wait_on(get(other.port))
        assert answer["body"] == '{"a": 1}'
        assert not {"x-token", "authorization"} & answer["headers"].keys()
        see = request("echo", headers={"X-Token": "$TEST_TOKEN"})(task(returns=1)(lambda: None))
        headers = compss_wait_on(see())["headers"]
        assert headers["x-token"] == "secret"
        assert headers["authorization"].startswith("Basic ")
    finally:
        other.stop()


def test_certificates_are_verified_and_redirections_do_not_leave_https(alone, server, tmp_path, monkeypatch):
    write_certificate(tmp_path / "certificate.pem")
    safe = Server(certificate=tmp_path / "certificate.pem")
    elsewhere = request("elsewhere?port={{port}}")(task(returns=1, on_failure="FAIL")(lambda port: None))
    fails = request("text/5")(task(returns=int, on_failure="FAIL")(lambda: None))
    try:
        alone(test=safe.url)
        with pytest.raises(ServiceError, match=r"(?i)certificate verify failed"):
            fails().result()
        taskflow.stop()
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "certificate.pem"))
        taskflow.start(workers=1, run_dir=tmp_path / "trusting", progress=False, services={"test": safe.url})
        assert fails().result() == 5
        with pytest.raises(ServiceError, match="was redirected from https to http"):
            elsewhere(server.port).result()
    finally:
        safe.stop()


@ENGINES
def test_a_header_needs_its_variable_and_no_other_characters(service, monkeypatch):
    monkeypatch.delenv("TEST_TOKEN", raising=False)

    @request("echo", headers={"X-A": "{{a}}", "X-B": "$TEST_TOKEN"})
    @task(returns=1, on_failure="FAIL")
    def get(a):
        pass

    with pytest.raises(ArgumentError, match="header X-B needs the environment variable TEST_TOKEN, which is not set"):
        compss_wait_on(get(1))
    monkeypatch.setenv("TEST_TOKEN", "t")
    with pytest.raises(ArgumentError, match="header X-A has characters") as told:
        compss_wait_on(get("a\r\nX-C: 1"))
    assert "X-C" not in str(told.value)


# ---------------------------------------------------------------------- declarations


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"resource": "a/{{y}}"}, r"\{\{y\}\} in resource, payload or headers is no parameter"),
        (
            {"payload": {"a": "{{x}}"}},
            r"""payload is a text; write it in quotes, as in payload='\{"key": \{\{name\}\}\}'""",
        ),
        ({"payload": "{'a': "}, "payload is no JSON"),
        ({"payload": "{'a': {{y}}}"}, "is no parameter of the task"),
        ({"produces": "{{a}} {{b}}"}, "produces is no JSON"),
        ({"produces": "{'{{a}}': 1}"}, "for a key"),
        ({"produces": "{'a': {{return_1}}}"}, "produces does not say where result 0 is"),
        ({"updates": "x = 1"}, "updates is written"),
        ({"produces": "{'a': {{b}}}", "updates": "{{x}}.a = {{b}}"}, "say x=INOUT"),
        ({"updates": "{{d}}.a = {{nothing}}"}, "is no parameter of the task"),
        ({"updates": "{{d}} = {{x}}"}, "names no key"),
        ({"request": "GET /"}, "request is a method"),
        ({"service_name": " "}, "service_name is empty"),
        ({"headers": {"X Y": "1"}}, "is no name of a header"),
        ({"headers": {"Content-Length": "1"}}, "is written by the runtime"),
        ({"headers": ["secret"]}, "headers is a dict of texts$"),
        ({"max_response": 0}, "max_response is a number of bytes"),
        ({"resource": 5}, "resource is a text"),
    ],
)
def test_what_makes_no_sense_is_told_where_it_is_written(given, problem):
    given = {"service_name": "test", "resource": "a", "request": "GET", **given}
    with pytest.raises(ArgumentError, match=f"@http of task .*{problem}"):
        http(**given)(task(returns=1, d=INOUT)(lambda x, d: None))


def test_other_decorators_that_need_an_executor_are_refused(alone, server):
    alone(test=server.url)

    @prolog(binary="true")
    @request("echo")
    @task(returns=1)
    def get():
        pass

    with pytest.raises(ArgumentError, match="no executor runs it"):
        get()


def test_constraints_have_no_effect_and_are_warned_of(alone, server):
    alone(test=server.url)

    @constraint(computing_units=500)
    @request("length/abc", produces="{'length': {{return_0}}}")
    @task(returns=1)
    def get():
        pass

    with pytest.warns(ArgumentWarning, match="constraints have no effect"):
        result = get()
    assert result.result() == 3


def test_a_service_that_nobody_has_named_is_told_with_those_there_are(alone, server):
    alone(one=server.url, two=server.url)
    with pytest.raises(ArgumentError, match=r"no service is called 'test'; .*services=.*there are: one, two"):
        length("x")


@pytest.mark.parametrize(
    "url", ["localhost:8080", "ftp://host/", "http:///path", "http://host:port/", "http://h:99999/", "http://h/?q=1"]
)
def test_a_url_that_is_none_is_told(alone, url):
    alone(test=url)
    with pytest.raises(ArgumentError, match="URL of a service"):
        length("x")


# ---------------------------------------------------------------------- with the rest


def test_nested_tasks_make_requests_and_wait_for_them(alone, server):
    alone(test=server.url)

    @task(returns=1, nested=True)
    def parent(words):
        return sum(compss_wait_on([length(word) for word in words]))

    @task(returns=1, nested=True)
    def of_nobody():
        http(service_name="nobody", request="GET", resource="x")(task(returns=1)(lambda: None))()

    assert parent(["a", "bb", "ccc"]).result() == 6
    with pytest.raises(ArgumentError, match="no service is called 'nobody'"):
        of_nobody().result()


def test_a_session_ends_while_requests_are_made(alone, server):
    alone(test=server.url)
    results = [slow(60) for _ in range(50)]
    time.sleep(0.2)
    begun = time.monotonic()
    taskflow.stop(cancel=True)
    assert time.monotonic() - begun < 5
    with pytest.raises(taskflow.TaskflowError):
        results[0].result()
    assert not [thread for thread in threading.enumerate() if thread.name == "taskflow-services"]


def test_a_checked_session_has_nothing_to_say_of_requests(server, tmp_path):
    with taskflow.session(
        workers=1, run_dir=tmp_path / "run", progress=False, check=True, services={"test": server.url}
    ):
        assert compss_wait_on(length(upper("abc"))) == 3
    assert not taskflow.check.findings()


def test_the_journal_and_the_summary_know_requests_but_no_executor_for_them(alone, server, tmp_path):
    from taskflow.observe.summary import summarise

    alone(test=server.url)
    compss_wait_on([length("x" * n) for n in range(1, 11)])
    assert upper("x").result() == "X"
    taskflow.stop()
    summary = summarise(tmp_path / "run" / "journal.jsonl")
    assert {each.name: each.count for each in summary.functions} == {"length": 10, "upper": 1}
    assert [each.tasks for each in summary.executors] == [1]


# ---------------------------------------------------------------------- modules of the program

PROGRAM = """
import sys
print("main runs")
from taskflow import compss_wait_on, http, task

@http(service_name="test", resource="echo", request="GET")
@task(returns=1)
def get():
    pass

if __name__ == "__main__":
    {before}
    assert compss_wait_on(get())["method"] == "GET"
    {after}
    assert compss_wait_on([get() for _ in range(3)])[2]["method"] == "GET"
    print("done")
"""


def run_program(folder, server, name, before="", after=""):
    script = folder / f"{name}.py"
    script.write_text(PROGRAM.format(before=before, after=after))
    done = subprocess.run(
        [sys.executable, "-m", "taskflow", f"--service=test={server.url}", str(script)],
        cwd=folder, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("name", ["h2", "anyio", "certifi", "httpx", "sniffio"])
def test_a_script_with_the_name_of_a_package_of_ours_runs_once(tmp_path, server, name):
    assert run_program(tmp_path, server, name) == ["main runs", "done"]


def test_modules_beside_the_program_are_the_programs_and_packages_are_ours(tmp_path, server):
    for name in sorted(own_imports.NAMES):
        (tmp_path / f"{name}.py").write_text(f"print('beside:', __name__)\nvalue = {name!r}\n")
    said = run_program(
        tmp_path, server, "app", before="import anyio, sniffio",
        after="import anyio as again, h11, httpx; assert again is anyio; print(anyio.value, h11.value, httpx.value)",
    )  # fmt: skip
    assert said == [
        "main runs", "beside: anyio", "beside: sniffio", "beside: h11", "beside: httpx", "anyio h11 httpx", "done",
    ]  # fmt: skip


def test_a_program_that_uses_httpx_itself_shares_it(tmp_path, server):
    said = run_program(
        tmp_path, server, "app", before="import httpx; ours = httpx.AsyncClient; asked = []; "
        "httpx.AsyncClient = lambda **options: asked.append(1) or ours(**options)", after="print('asked' * len(asked))",
    )  # fmt: skip
    assert said == ["main runs", "asked", "done"]


def test_a_program_without_requests_does_not_import_httpx(tmp_path, server):
    said = run_program(tmp_path, server, "app", before="print('httpx' in sys.modules)")
    assert said == ["main runs", "False", "done"]
