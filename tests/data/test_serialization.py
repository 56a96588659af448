import pickle
import threading

import numpy as np
import pytest

from taskflow.api.futures import Future
from taskflow.core.graph import Datum, Version
from taskflow.data.serialization import decode, decode_blob, encode, is_plain
from taskflow.data.tracking import Registry
from taskflow.model.errors import SerializationError


def future():
    return Future(Version(1))


class Plain:
    pass


@pytest.mark.parametrize("value", [0, 1.5, True, None, 2j, "", "text", b"bytes", "x" * 4096])
def test_small_immutable_values_are_plain(value):
    assert is_plain(value)


@pytest.mark.parametrize(
    "value", ["x" * 4097, b"x" * 4097, [], (), np.float64(1), np.int32(1), type("S", (str,), {})("s")]
)
def test_large_mutable_or_derived_values_are_not(value):
    assert not is_plain(value)


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(20.0)[::3],
        np.array(1.5), np.array([]), np.array(["a", "bc"]), np.arange(3).astype("M8[s]"),
        np.zeros(2, dtype=[("x", "i4"), ("y", "f8")]), np.ma.array([1, 2], mask=[0, 1]),
        np.array([1, "x", None], dtype=object),
    ],
    ids=lambda array: f"{type(array).__name__}-{array.dtype}-{array.shape}",
)  # fmt: skip
def test_arrays_of_every_kind_come_back_as_they_were(array):
    back = decode_blob(encode(array, "value").blob())
    assert type(back) is type(array)
    assert (back.dtype, back.shape, back.flags.fnc) == (array.dtype, array.shape, array.flags.fnc)
    assert repr(back) == repr(array)
    assert back.flags.writeable


def test_value_without_buffers_is_a_single_piece():
    encoded = encode([1, "two"], "value")
    assert encoded.buffers == []
    assert encoded.blob() == encoded.header
    assert encoded.nbytes == len(encoded.header)
    assert decode_blob(encoded.blob()) == [1, "two"]


def test_arrays_travel_out_of_band_and_come_back_writable():
    array = np.arange(1000.0)
    encoded = encode({"a": array}, "value")
    assert encoded.nbytes >= array.nbytes
    assert len(encoded.header) < 1000
    back = decode_blob(encoded.blob())["a"]
    back += 1
    assert back[0] == 1
    assert array[0] == 0


def test_decoding_over_given_buffers_does_not_copy():
    memory = bytearray(np.zeros(10).tobytes())
    encoded = encode(np.zeros(10), "value")
    back = decode(encoded.header, [memory])
    back[0] = 1.0
    assert memory[:8] != bytes(8)


def test_futures_are_collected_once_each_and_replaced():
    first, second = future(), future()
    encoded = encode([first, {"k": (second, first)}], "value")
    assert encoded.futures == [first, second]
    assert decode_blob(encoded.blob(), ["one", "two"]) == ["one", {"k": ("two", "one")}]


def test_future_outside_of_an_argument_is_refused():
    with pytest.raises(SerializationError, match="compss_wait_on"):
        pickle.dumps(future())


def test_encoding_inside_an_encoding_keeps_its_futures_apart():
    inner, outer = future(), future()

    class Nested:
        def __reduce__(self):
            assert encode([inner], "inner").futures == [inner]
            return list, ()

    assert encode([outer, Nested(), outer], "value").futures == [outer]


def test_tracked_objects_are_collected_like_futures():
    registry = Registry(lambda datum: None)  # noqa: ARG005
    thing, items, datum, other = Plain(), [1], Datum(Version(1)), Datum(Version(2))
    registry.add(thing, datum)
    registry.add(items, other)
    encoded = encode({"a": [thing, items], "b": [1]}, "value", registry)
    assert encoded.futures == [datum, other]
    assert decode_blob(encoded.blob(), ["the thing", "the list"]) == {
        "a": ["the thing", "the list"],
        "b": [1],
    }
    assert encode([thing], "value").futures == []


def test_generator_is_a_snapshot_of_what_is_left():
    generator = iter(n for n in range(4))
    next(generator)
    back = decode_blob(encode(generator, "value").blob())
    assert list(back) == [1, 2, 3]
    assert type(back).__name__ == "generator"


def test_code_that_cannot_be_imported_travels_by_value():
    offset = 3

    class Local:
        def shifted(self, x):
            return x + offset

    back = decode_blob(encode([lambda x: x * offset, Local()], "value").blob())
    assert back[0](2) == 6
    assert back[1].shifted(1) == 4


def test_class_that_comes_back_does_not_replace_attributes_of_the_original():
    class Local:
        number = 1

    blob = encode(Local(), "value").blob()
    Local.number = 2
    back = decode_blob(blob)
    assert type(back) is Local
    assert Local.number == 2


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), "value"),
        ([1, threading.Lock()], "value[1]"),
        ({"k": {2: threading.Lock()}}, "value['k'][2]"),
        (({1}, (threading.Lock(),)), "value[1][0]"),
    ],
)
def test_path_of_what_cannot_be_pickled(value, path):
    with pytest.raises(SerializationError) as caught:
        encode(value, "value")
    assert caught.value.path == path
    assert str(caught.value).startswith(f"{path} is a _thread.lock")


def test_path_through_attributes_slots_and_closures():
    class Slotted:
        __slots__ = ("lock",)

    plain, slotted = Plain(), Slotted()
    slotted.lock = threading.Lock()
    plain.inner = [slotted]
    with pytest.raises(SerializationError) as caught:
        encode(plain, "args[0]")
    assert caught.value.path == "args[0].inner[0].lock"

    def closure():
        return plain

    with pytest.raises(SerializationError) as caught:
        encode(closure, "f")
    assert caught.value.path.startswith("f.<closure>.plain.inner[0].lock")


def test_looking_for_the_culprit_ends_in_a_structure_that_contains_itself():
    loop = [threading.Lock()]
    loop.insert(0, loop)
    with pytest.raises(SerializationError, match="lock"):
        encode(loop, "value")


def test_state_of_the_thread_is_restored_after_an_error():
    with pytest.raises(SerializationError):
        encode(threading.Lock(), "value")
    with pytest.raises(SerializationError, match="future has no value"):
        pickle.dumps(future())
