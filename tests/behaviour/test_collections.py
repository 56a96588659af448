"""S13: collections, tracked element by element."""

import numpy as np
import pytest

from taskflow import (
    COLLECTION_IN,
    COLLECTION_IN_DELETE,
    COLLECTION_INOUT,
    COLLECTION_OUT,
    INOUT,
    OUT,
    DeletedDataError,
    Depth,
    Type,
    compss_barrier,
    compss_wait_on,
    task,
)

pytestmark = pytest.mark.usefixtures("engine")


class Cell:
    def __init__(self, value=0):
        self.value = value


@task(returns=1)
def make(n):
    return n


@task(returns=1)
def make_list(n):
    return [n] * n


@task(returns=1)
def make_cell(n):
    return Cell(n)


@task(c=COLLECTION_IN, returns=1)
def select(c, i):
    return c[i]


@task(c=COLLECTION_IN, returns=1)
def deep(c):
    return c[0][1][0][1]


@task(c=COLLECTION_IN, returns=1)
def shape(c):
    return [shape.__wrapped__(item) if isinstance(item, (list, tuple, set)) else type(item).__name__ for item in c]


@task(c=COLLECTION_IN, returns=1)
def kind(c):
    return type(c).__name__, [type(item).__name__ for item in c]


@task(c=COLLECTION_INOUT)
def add_to_all(c, amount):
    for item in c:
        item += amount  # noqa: PLW2901


@task(c=COLLECTION_INOUT)
def add_to_cells(c, amount):
    for item in c:
        item.value += amount


@task(cell=INOUT)
def add_to_cell(cell, amount):
    cell.value += amount


@task(cell=OUT)
def new_cell(cell, value):
    cell.value = value


@task(array=INOUT)
def add(array, amount):
    array += amount


@task(c=COLLECTION_OUT)
def fill(c):
    for place in range(len(c)):
        c[place] = place * 10


@task(c={Type: COLLECTION_OUT, Depth: 2})
def fill_deep(c):
    c[0][0].append("appended")
    c[0][1].value = 5
    c[1][0] = "new"


@task(c={Type: COLLECTION_INOUT, Depth: 1})
def append_to_parts(c, value):
    for part in c:
        part.append(value)


@task(c={Type: COLLECTION_INOUT, Depth: 2})
def replace_corner(c, value):
    c[0][0] = value


@task(c=COLLECTION_INOUT)
def grow(c):
    c.append(99)


@task(c=COLLECTION_INOUT)
def shrink(c):
    c.pop()


@task(returns=1)
def total(values):
    return sum(values)


def test_s13_select_from_ten_futures():
    futures = [make(n) for n in range(10)]
    assert compss_wait_on([select(futures, n) for n in (0, 4, 9)]) == [0, 4, 9]


def test_s13_four_levels_of_nesting():
    m = [[[[make(0), make(1)], [make(2), make(3)]], [[make(4), make(5)]]]]
    assert compss_wait_on(deep(m)) == 5


def test_s13_inout_of_all_then_of_one_then_select():
    arrays = [np.full(3, float(n)) for n in range(6)]
    add_to_all(arrays, 1.0)
    add(arrays[4], 1.0)
    assert compss_wait_on(select(arrays, 4)).tolist() == [6.0] * 3
    assert compss_wait_on(select(arrays, 3)).tolist() == [4.0] * 3
    assert compss_wait_on(arrays[4]).tolist() == [6.0] * 3


def test_s13_out_of_placeholders():
    places = [object() for _ in range(3)]
    fill(places)
    assert compss_wait_on(select(places, 2)) == 20
    if type(places[0]) is object:
        assert compss_wait_on(places) == [0, 10, 20]


@pytest.mark.engines("local", "simulated")
def test_s13_out_with_depth_two_shows_appended_and_modified_items():
    c = [[["old"], Cell(3)], [object()]]
    fill_deep(c)
    first, second = compss_wait_on(c)
    assert first[0] == ["appended"]
    assert first[1].value == 5
    assert second == ["new"]


def test_inout_element_that_is_rebound():
    blocks = [[Cell(1), Cell(2)], [Cell(3)]]
    replace_corner(blocks, 7)
    assert compss_wait_on(select(blocks, 0))[0] == 7
    assert compss_wait_on(blocks)[0][0] == 7


def test_lists_may_be_sliced_and_transposed_between_calls():
    blocks = [[Cell(10 * row + column) for column in range(3)] for row in range(3)]
    for row in blocks:
        add_to_cells(row, 100)
    for column in zip(*blocks, strict=True):
        add_to_cells(list(column), 1000)
    add_to_cells(blocks[1][1:], 5)
    values = [[cell.value for cell in row] for row in compss_wait_on(blocks)]
    assert values == [[1100, 1101, 1102], [1110, 1116, 1117], [1120, 1121, 1122]]


def test_elements_are_versioned_one_by_one():
    cells = [Cell(n) for n in range(3)]
    before = select(cells, 1)
    add_to_cell(cells[1], 10)
    assert compss_wait_on(before).value == 1 or compss_wait_on(before) is cells[1]
    assert [cell.value for cell in compss_wait_on(cells)] == [0, 11, 2]


def test_numbers_in_an_inout_collection():
    @task(c=COLLECTION_INOUT)
    def increase(c):
        for place, value in enumerate(c):
            c[place] = value + 1

    numbers = [1, 2, 3]
    increase(numbers)
    increase(numbers)
    assert compss_wait_on(select(numbers, 0)) == 3
    assert compss_wait_on(total(numbers)) == 12
    assert compss_wait_on(numbers) == [3, 4, 5]


def test_nested_numbers_in_an_inout_collection():
    @task(c=COLLECTION_INOUT)
    def negate(c):
        for row in c:
            for place, value in enumerate(row):
                row[place] = -value

    table = [[1, 2], [3, 4]]
    negate(table)
    assert compss_wait_on(total(table[1])) == -7
    negate(table[1:])
    assert compss_wait_on(table) == [[-1, -2], [3, 4]]


def test_depth_one_treats_inner_lists_as_single_objects():
    parts = [[1], [2]]
    append_to_parts(parts, 0)
    append_to_parts(parts, 9)
    assert compss_wait_on(parts) == [[1, 0, 9], [2, 0, 9]]
    futures = [make_list(2), make_list(3)]
    append_to_parts(futures, 0)
    assert compss_wait_on(futures) == [[2, 2, 0], [3, 3, 3, 0]]


def test_future_of_a_whole_list_as_collection():
    assert compss_wait_on(select(make_list(3), 2)) == 3


def test_tracked_list_as_collection():
    @task(items=INOUT)
    def extend(items):
        items.append(5)

    items = [1]
    extend(items)
    assert compss_wait_on(select(items, 1)) == 5


def test_waiting_for_a_nested_structure():
    structure = {"a": [make(1), (make(2), {"b": make(3)})], "c": make(4), "d": "plain"}
    assert compss_wait_on(structure) == {"a": [1, (2, {"b": 3})], "c": 4, "d": "plain"}


def test_empty_collections():
    assert compss_wait_on(shape([])) == []
    assert compss_wait_on(shape([[], [[]]])) == [[], [[]]]
    add_to_all([], 1)
    assert compss_wait_on([]) == []


@pytest.mark.engines("local", "simulated")
@pytest.mark.parametrize("collection", [(1, 2), {1, 2}, frozenset({1, 2}), bytearray(b"\x01\x02"), range(1, 3)])
def test_any_iterable_arrives_as_a_list(collection):
    assert compss_wait_on(kind(collection)) == ("list", ["int", "int"])


@pytest.mark.engines("local", "simulated")
def test_none_is_an_empty_collection():
    assert compss_wait_on(kind(None)) == ("list", [])


def test_array_of_objects_that_holds_futures():
    grid = np.empty((2, 2), dtype=object)
    for row in range(2):
        for column in range(2):
            grid[row, column] = make(10 * row + column)
    assert compss_wait_on(select(grid[1], 1)) == 11
    assert compss_wait_on(select(list(grid[:, 0]), 1)) == 10
    assert compss_wait_on(list(grid[0])) == [0, 1]


def test_array_of_objects_made_from_a_list_of_futures():
    row = np.array([make(1), make(2)], dtype=object)
    assert row.shape == (2,)
    assert compss_wait_on(select(row, 1)) == 2


def test_arrays_are_leaves():
    assert compss_wait_on(kind([np.zeros(2), np.zeros(1)])) == ("list", ["ndarray", "ndarray"])


@pytest.mark.engines("local", "simulated")
def test_size_of_an_inout_collection_is_fixed():
    cells = [Cell(1)]
    grow(cells)
    compss_barrier()
    assert len(compss_wait_on(cells)) == 1


@pytest.mark.engines("local", "simulated")
def test_removing_an_element_of_an_inout_collection_fails_the_task():
    cells = [Cell(1), Cell(2)]
    shrink(cells)
    with pytest.raises(Exception, match="removed element"):
        compss_wait_on(cells)


@pytest.mark.engines("local", "simulated")
def test_what_is_no_collection_is_refused_at_the_call():
    with pytest.raises(TypeError, match="argument 'c' of task select is declared as a collection"):
        select(5, 0)


def test_element_made_by_a_task_and_changed_by_another():
    cells = [make_cell(n) for n in range(3)]
    add_to_cells(cells, 10)
    add_to_cell(cells[0], 100)
    assert [cell.value for cell in compss_wait_on(cells)] == [110, 11, 12]


def test_out_object_begins_as_an_empty_instance():
    cell = Cell(9)
    new_cell(cell, 4)
    assert compss_wait_on(cell).value == 4


def test_one_object_twice_in_an_inout_collection():
    cell = Cell(1)
    add_to_cells([cell, cell], 1)
    assert compss_wait_on(cell).value in (2, 3)


@pytest.mark.engines("local", "simulated")
def test_in_delete_forgets_the_elements():
    @task(c=COLLECTION_IN_DELETE, returns=1)
    def last(c):
        return sum(item.value for item in c)

    futures = [make_cell(1), make_cell(2)]
    assert compss_wait_on(last(futures)) == 3
    with pytest.raises(DeletedDataError, match="IN_DELETE"):
        select(futures, 0)


def test_waiting_for_one_object_in_several_places():
    @task(items=INOUT)
    def extend(items):
        items.append(5)

    items = [1]
    extend(items)
    first, second = compss_wait_on([items, items])
    assert first == second == [1, 5]
    extend(items)
    assert len(compss_wait_on(items, items)[1]) >= 2


def test_thousand_elements():
    futures = [make(n) for n in range(1000)]
    assert compss_wait_on(select(futures, 999)) == 999
    assert compss_wait_on(futures) == list(range(1000))
