import gc

import pytest

from taskflow.core.graph import Datum, Version
from taskflow.data.tracking import Registry


class Weak:
    pass


class Slotted:
    __slots__ = ()


@pytest.fixture
def released():
    return []


@pytest.fixture
def registry(released):
    return Registry(released.append)


def datum(number=1):
    return Datum(Version(number))


@pytest.mark.parametrize("make", [Weak, Slotted, list, dict, object, set, lambda: (1, [])])
def test_objects_are_found_by_identity(registry, make):
    value, other, known = make(), make(), datum()
    assert not registry
    registry.add(value, known)
    assert registry.find(value) is known
    assert registry.find(other) is None
    assert registry
    assert len(registry) == 1


def test_object_that_allows_weak_references_goes_by_itself(registry, released):
    value, known = Weak(), datum()
    registry.add(value, known)
    del value
    gc.collect()
    assert released == [known]
    assert len(registry) == 0


@pytest.mark.parametrize("make", [Slotted, list, dict, object])
def test_other_objects_go_when_nobody_else_refers_to_them(registry, released, make):
    kept, dropped = make(), make()
    known, lost = datum(1), datum(2)
    registry.add(kept, known)
    registry.add(dropped, lost)
    del dropped
    registry.sweep()
    assert released == [lost]
    assert registry.find(kept) is known


def test_sweep_happens_by_itself_as_the_registry_grows(registry):
    for number in range(5000):
        registry.add([number], datum(number))
    assert len(registry) < 1500


def test_discarding(registry, released):
    value, known = [1], datum()
    assert registry.discard(value) is False
    registry.add(value, known)
    assert registry.discard(value) is True
    assert released == [known]
    assert registry.find(value) is None
    assert not registry.containers


def test_identity_used_again_by_another_object_is_not_confused(registry):
    value = Weak()
    registry.add(value, datum())
    entry = registry._entries[id(value)]
    other = Weak()
    registry._entries[id(other)] = entry
    assert registry.find(other) is None


def test_tracking_an_object_again_replaces_its_datum(registry):
    value, first, second = Weak(), datum(1), datum(2)
    registry.add(value, first)
    registry.add(value, second)
    gc.collect()
    assert registry.find(value) is second
    assert len(registry) == 1


def test_containers_are_known_to_the_pickler(registry):
    items, thing = [1], Weak()
    registry.add(items, datum())
    registry.add(thing, datum())
    assert registry.containers == {id(items)}
    registry.clear()
    assert registry.containers == set()


def test_cells_are_known_by_container_place_and_value(registry):
    items, table, known = [1000, 2000], {"k": 1000}, datum()
    registry.add_cell(items, 0, items[0], known)
    assert registry.has_cells(items)
    assert not registry.has_cells(table)
    assert registry.find_cell(items, 0, items[0]) is known
    assert registry.find_cell(items, 1, items[1]) is None
    assert registry.find_cell(table, "k", table["k"]) is None
    items[0] = 3000
    assert registry.find_cell(items, 0, items[0]) is None


def test_cells_go_with_their_container(registry, released):
    first, second = datum(1), datum(2)
    items = [1000, 2000]
    registry.add_cell(items, 0, items[0], first)
    registry.add_cell(items, 1, items[1], second)
    registry.sweep()
    assert released == []
    del items
    registry.sweep()
    assert released == [first, second]
    assert len(registry) == 0


def test_discarding_a_container_lets_its_cells_go(registry, released):
    items, known = [1000], datum()
    registry.add_cell(items, 0, items[0], known)
    assert registry.discard(items) is True
    assert released == [known]


def test_items_lists_what_exists(registry):
    value, gone, known = Weak(), Weak(), datum()
    registry.add(value, known)
    registry.add(gone, datum())
    del gone
    gc.collect()
    assert registry.items() == [(value, known)]


def test_clear_forgets_without_releasing(registry, released):
    registry.add([1], datum())
    registry.add_cell([5], 0, 5, datum())
    registry.clear()
    assert len(registry) == 0
    assert released == []
