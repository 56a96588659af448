"""Annotations in all their forms."""

import pytest

from taskflow.api.parameter import (
    COLLECTION_IN,
    DIRECTION,
    FILE_IN,
    FILE_OUT,
    INOUT,
    OUT,
    STDOUT,
    Cache,
    Depth,
    Direction,
    Keep_rename,
    Prefix,
    StdIOStream,
    Type,
    Weight,
)
from taskflow.model.parameters import Kind, Parameter, parse_annotation


def parse(annotation):
    return parse_annotation(annotation, "parameter 'a' of task f")


@pytest.mark.parametrize(
    "annotation",
    [
        INOUT,
        DIRECTION.INOUT,
        {Type: INOUT},
        {Direction: DIRECTION.INOUT},
        {Direction: INOUT},
        {"direction": 2},
    ],
)
def test_forms_of_an_object_that_is_updated(annotation):
    assert parse(annotation) == Parameter(direction=DIRECTION.INOUT)


def test_dictionary_form_without_a_type_is_an_input_object():
    assert parse({}) == Parameter()
    assert parse({Weight: "3.0"}).weight == 3.0


def test_every_key():
    parameter = parse(
        {
            Type: COLLECTION_IN,
            Direction: OUT,
            Depth: 2,
            Weight: 2,
            Keep_rename: False,
            Cache: False,
            Prefix: "#",
            StdIOStream: STDOUT,
        }
    )
    assert parameter.kind is Kind.COLLECTION
    assert parameter.direction is DIRECTION.OUT
    assert (parameter.depth, parameter.weight, parameter.keep_rename, parameter.cache) == (
        2,
        2.0,
        False,
        False,
    )
    assert (parameter.prefix, parameter.stream) == ("#", STDOUT)


def test_literal_keys_work_too():
    assert parse({"type": FILE_IN, "keep_rename": True}).keep_rename is True


def test_direction_replaces_that_of_the_type():
    assert parse({Type: FILE_IN, Direction: DIRECTION.OUT}) == FILE_OUT


@pytest.mark.parametrize(
    ("annotation", "message"),
    [
        ("INOUT", "'INOUT' is a text, not a direction"),
        (None, "is not a direction"),
        ({"depht": 1}, "unknown key 'depht'; the keys are type, direction"),
        ({Type: "IN"}, "Type must be a direction object"),
        ({Type: COLLECTION_IN, Depth: 0}, "Depth must be 1 or more"),
    ],
)
def test_mistakes_name_the_parameter(annotation, message):
    with pytest.raises((TypeError, ValueError), match="parameter 'a' of task f") as caught:
        parse(annotation)
    assert message in str(caught.value)


def test_text_of_a_parameter_is_its_public_name():
    assert repr(INOUT) == "<INOUT>"
    assert repr(FILE_OUT) == "<FILE_OUT>"
    assert repr(parse({Type: COLLECTION_IN, Depth: 2})) == "<COLLECTION_IN depth=2>"
