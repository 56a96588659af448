"""Command lines are vectors of arguments, made from templates or from the parameters of tasks."""

import inspect

import pytest

from taskflow import COLLECTION_IN, FILE_IN, FILE_OUT, FILE_OUT_STDOUT
from taskflow.model.errors import ArgumentError
from taskflow.model.parameters import Parameter
from taskflow.runners.command import arguments, default_arguments, places, texts_of, truth


def test_a_template_is_split_before_values_are_put_in():
    values = {"a": "one two", "n": 3}
    assert arguments("-x {{a}} --n={{ n }}{{n}}", values) == ["-x", "one two", "--n=33"]
    assert arguments(["-x {{a}}", "plain text"], values) == ["-x one two", "plain text"]
    assert places("-x {{a}} --n={{ n }}") == ["a", "n"]


def test_variables_and_wildcards_are_expanded_in_the_template_only(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TASKFLOW_TEST", "value")
    for name in ("b.txt", "a.txt"):
        (tmp_path / name).touch()
    assert arguments("$TASKFLOW_TEST *.txt *.none {{p}}", {"p": "$TASKFLOW_TEST*"}) == [
        "value", "a.txt", "b.txt", "*.none", "$TASKFLOW_TEST*",
    ]  # fmt: skip


def texts(function, parameters, *args, **kwargs):
    return texts_of(inspect.signature(function), parameters, args, kwargs)


def test_there_is_an_argument_for_each_value_of_a_list():
    values = {"files": ["a b", "c"], "none": [], "x": "1"}
    assert arguments("{{files}} --in={{files}} {{none}} --no={{none}} {{x}}", values) == [
        "a b", "c", "--in=a b", "--in=c", "1",
    ]  # fmt: skip


def test_wildcards_next_to_values_are_expanded(tmp_path):
    odd = tmp_path / "o[d]d"
    odd.mkdir()
    (odd / "1.txt").touch()
    assert arguments("{{folder}}/*.txt", {"folder": str(odd)}) == [str(odd / "1.txt")]
    assert arguments("o*d", {}, str(tmp_path)) == ["o[d]d"]
    assert arguments("o*d", {}, str(tmp_path), absolute=True) == [str(odd)]


def test_every_argument_of_a_call_has_its_texts(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def function(a, path, *rest, none=None, **more): ...

    parameters = {"path": FILE_IN, "rest": COLLECTION_IN, "extra": FILE_OUT, "none": FILE_IN}
    assert texts(function, parameters, 1.5, "x", ["a b", 2], 3, key=True, extra="y") == {
        "a": ["1.5"], "path": [str(tmp_path / "x")], "rest": ["a b", "2", "3"], "none": [],
        "key": ["True"], "extra": [str(tmp_path / "y")],
    }  # fmt: skip


def test_without_a_template_each_parameter_is_an_argument_behind_its_prefix():
    parameters = {
        "a": Parameter(prefix="--a="), "b": Parameter(prefix="#"), "c": Parameter(prefix="null"), "d": FILE_OUT_STDOUT
    }  # fmt: skip
    values = {"a": ["1", "2"], "b": ["3"], "c": ["4 5"], "d": ["/out"], "e": [""]}
    assert default_arguments(parameters, values) == ["--a=1", "--a=2", "4 5", ""]


@pytest.mark.parametrize(
    ("value", "meant"),
    [(True, True), (False, False), (0, False), (1, True), ("true", True), ("False", False), ("0", False), ("$T", True)],
)
def test_exit_values_count_or_not(value, meant, monkeypatch):
    monkeypatch.setenv("T", "true")
    assert truth(value, "here") is meant


def test_another_word_is_refused():
    with pytest.raises(ArgumentError, match="here: fail_by_exit_value is True or False, not 'maybe'"):
        truth("maybe", "here")


def test_a_name_that_a_call_has_not_is_told():
    with pytest.raises(ArgumentError, match=r"{{c}}: this call has no argument 'c', only a, b"):
        arguments("{{c}}", {"a": 1, "b": 2})
