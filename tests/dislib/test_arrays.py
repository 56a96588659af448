"""ds-arrays: how they are made, cut, joined and calculated with, compared with numpy and scipy."""

import dislib as ds
import numpy as np
import pytest
import scipy.sparse
import scipy.special
from dislib.data.array import Array
from dislib.data.util import pad, remove_last_columns, remove_last_rows
from dislib.sorting import TeraSort
from dislib.utils import shuffle

from taskflow import Future

RANDOM = np.random.RandomState(7)
MATRIX = RANDOM.rand(11, 7)
SPARSE = scipy.sparse.random(11, 7, density=0.4, format="csr", random_state=3)

pytestmark = pytest.mark.usefixtures("engine")


def dense(array):
    """The ds-array as numpy array."""
    value = array.collect(squeeze=False) if isinstance(array, Array) else array
    return value.toarray() if scipy.sparse.issparse(value) else np.asarray(value)


@pytest.fixture(params=["numpy", "sparse"])
def pair(request):
    """A matrix with odd edges, as ds-array and as numpy array."""
    if request.param == "numpy":
        return ds.array(MATRIX, (3, 2)), MATRIX
    return ds.array(SPARSE, (3, 2)), SPARSE.toarray()


def test_array_is_cut_into_blocks_and_collected(pair):
    array, expected = pair
    assert array.shape == (11, 7)
    assert array._n_blocks == (4, 4)
    np.testing.assert_array_equal(dense(array), expected)


def test_blocks_are_made_by_tasks(engine):
    array = ds.random_array((6, 6), (2, 3), random_state=1)
    assert isinstance(array._blocks[0][0], Future) is (engine == "local")
    again = ds.random_array((6, 6), (2, 3), random_state=1)
    np.testing.assert_array_equal(dense(array), dense(again))
    assert 0 <= dense(array).min() < dense(array).max() < 1


@pytest.mark.parametrize(
    "key",
    [
        np.s_[4], np.s_[2:9], np.s_[:, 1:6], np.s_[2:9, 1:6], np.s_[:1, :1], np.s_[10:, 6:], np.s_[[0, 4, 9]],
        np.s_[:, [1, 6]],
    ],
    ids=str,
)  # fmt: skip
def test_indexing_gives_what_numpy_gives(pair, key):
    array, expected = pair
    part = array[key]
    np.testing.assert_array_equal(dense(part), expected[key].reshape(part.shape))


def test_single_elements_are_read_and_set(pair):
    array, expected = pair
    row, column = map(int, np.argwhere(expected)[-1])  # sparse blocks warn when a new element is set
    assert dense(array[row, column]) == expected[row, column]
    array[row, column] = 42.0
    changed = expected.copy()
    changed[row, column] = 42.0
    np.testing.assert_array_equal(dense(array), changed)


def test_slices_of_slices(pair):
    array, expected = pair
    np.testing.assert_array_equal(dense(array[1:10][2:7, 1:6][:, 2:4]), expected[1:10][2:7, 1:6][:, 2:4])


@pytest.mark.parametrize("mode", ["all", "rows", "columns"])
def test_transpose(pair, mode):
    array, expected = pair
    np.testing.assert_array_equal(dense(array.transpose(mode)), expected.T)
    np.testing.assert_array_equal(dense(array.T.T), expected)


def test_transpose_of_a_slice_with_an_odd_first_block(pair):
    array, expected = pair
    np.testing.assert_array_equal(dense(array[1:10, 1:6].T), expected[1:10, 1:6].T)


@pytest.mark.parametrize("name", ["min", "max", "sum", "mean"])
@pytest.mark.parametrize("axis", [0, 1])
def test_reductions(pair, name, axis):
    array, expected = pair
    result = dense(getattr(array, name)(axis=axis))
    np.testing.assert_allclose(result.ravel(), getattr(np, name)(expected, axis=axis))


def test_norm_median_sqrt_and_power():
    array = ds.array(MATRIX, (3, 2))
    np.testing.assert_allclose(dense(array.norm(axis=0)).ravel(), np.linalg.norm(MATRIX, axis=0))
    np.testing.assert_allclose(dense(array.median(axis=0)).ravel(), np.median(MATRIX, axis=0))
    np.testing.assert_allclose(dense(array.sqrt()), np.sqrt(MATRIX))
    np.testing.assert_allclose(dense(array**3), MATRIX**3)
    np.testing.assert_allclose(dense(array.conj()), MATRIX)


def test_elementwise_functions():
    array = ds.array(MATRIX + 1, (3, 2))
    np.testing.assert_allclose(dense(ds.exp(array)), np.exp(MATRIX + 1))
    np.testing.assert_allclose(dense(ds.log(array)), np.log(MATRIX + 1))
    np.testing.assert_allclose(dense(ds.gammaln(array)), scipy.special.gammaln(MATRIX + 1))


def test_arithmetic_with_arrays_and_rows():
    left, right = ds.array(MATRIX, (3, 2)), ds.array(MATRIX[::-1].copy(), (3, 2))
    row = ds.array(MATRIX[:1], (1, 2))
    np.testing.assert_allclose(dense(left + row), MATRIX + MATRIX[:1])
    np.testing.assert_allclose(dense(left - row), MATRIX - MATRIX[:1])
    np.testing.assert_allclose(dense(left / 4), MATRIX / 4)
    np.testing.assert_allclose(dense(ds.matadd(left, right)), MATRIX + MATRIX[::-1])
    np.testing.assert_allclose(dense(ds.matsubtract(left, right)), MATRIX - MATRIX[::-1])


def test_arithmetic_in_place():
    array = ds.array(MATRIX.copy(), (3, 2))
    array += ds.array(MATRIX.copy(), (3, 2))
    np.testing.assert_allclose(dense(array), 2 * MATRIX)
    array -= ds.array(MATRIX.copy(), (3, 2))
    np.testing.assert_allclose(dense(array), MATRIX)


@pytest.mark.parametrize("sparse", [False, True])
def test_matrix_products(sparse):
    matrix = SPARSE if sparse else MATRIX
    numbers = SPARSE.toarray() if sparse else MATRIX
    array, square = ds.array(matrix, (3, 2)), ds.array(matrix[:7], (2, 2))
    np.testing.assert_allclose(dense(array @ ds.array(matrix.T.copy(), (2, 3))), numbers @ numbers.T)
    np.testing.assert_allclose(dense(ds.matmul(array, array, transpose_a=True)), numbers.T @ numbers)
    np.testing.assert_allclose(dense(ds.matmul(square, square, transpose_b=True)), numbers[:7] @ numbers[:7].T)
    both = ds.matmul(square, square, transpose_a=True, transpose_b=True)
    np.testing.assert_allclose(dense(both), numbers[:7].T @ numbers[:7].T)


def test_kronecker_product():
    small = np.arange(6.0).reshape(2, 3)
    result = ds.kron(ds.array(MATRIX, (3, 2)), ds.array(small, (1, 2)), block_size=(5, 4))
    np.testing.assert_allclose(dense(result), np.kron(MATRIX, small))


@pytest.mark.parametrize("axis", [0, 1])
def test_functions_of_the_program_applied_along_an_axis(pair, axis):
    array, expected = pair
    scale = 3

    def spread(numbers, offset, axis):
        numbers = numbers.toarray() if hasattr(numbers, "toarray") else np.asarray(numbers)
        return scale * (numbers.max(axis=axis) - numbers.min(axis=axis)) + offset

    result = ds.apply_along_axis(spread, axis, array, offset=1)
    np.testing.assert_allclose(dense(result).ravel(), spread(expected, 1, axis))


def test_filled_arrays():
    np.testing.assert_array_equal(dense(ds.zeros((5, 4), (2, 3))), np.zeros((5, 4)))
    np.testing.assert_array_equal(dense(ds.full((5, 4), (2, 3), 2.5)), np.full((5, 4), 2.5))
    np.testing.assert_array_equal(dense(ds.identity(5, (2, 2))), np.eye(5))
    np.testing.assert_array_equal(dense(ds.eye(5, 8, (2, 3))), np.eye(5, 8))


def test_arrays_joined_by_rows_and_columns():
    array = ds.array(MATRIX, (3, 2))
    np.testing.assert_array_equal(dense(ds.concat_rows(array, array)), np.vstack([MATRIX, MATRIX]))
    np.testing.assert_array_equal(dense(ds.concat_columns(array[:, :6], array)), np.hstack([MATRIX[:, :6], MATRIX]))


@pytest.mark.parametrize("shape", [(2, 5), (11, 7), (4, 1)])
def test_rechunk(shape):
    changed = ds.array(MATRIX, (3, 2)).rechunk(shape)
    assert changed._reg_shape == shape
    np.testing.assert_array_equal(dense(changed), MATRIX)


def test_a_copy_is_independent():
    array = ds.array(MATRIX.copy(), (3, 2))
    copy = array.copy()
    copy[0, 0] = 9.0
    assert dense(copy)[0, 0] == 9.0
    np.testing.assert_array_equal(dense(array), MATRIX)


def test_rows_and_columns_are_deleted():
    rows = ds.array(MATRIX, (3, 2)).delete(i=[1, 5])
    np.testing.assert_array_equal(dense(rows), np.delete(MATRIX, [1, 5], axis=0))
    columns = ds.array(MATRIX, (3, 2)).delete(j=[0, 6])
    np.testing.assert_array_equal(dense(columns), np.delete(MATRIX, [0, 6], axis=1))


def test_padding_and_its_removal():
    array = ds.array(MATRIX.copy(), (3, 2))
    pad(array, ((0, 1), (0, 1)), constant_value=5)
    np.testing.assert_array_equal(dense(array), np.pad(MATRIX, ((0, 1), (0, 1)), constant_values=5))
    remove_last_rows(array, 1)
    remove_last_columns(array, 1)
    np.testing.assert_array_equal(dense(array), MATRIX)


def test_a_block_is_replaced():
    array = ds.array(MATRIX.copy(), (3, 2))
    array.replace_block(1, 1, np.zeros((3, 2)))
    expected = MATRIX.copy()
    expected[3:6, 2:4] = 0
    np.testing.assert_array_equal(dense(array), expected)


def test_shuffle_keeps_the_rows_and_their_labels_together(pair):
    array, expected = pair
    labels = np.arange(11.0).reshape(-1, 1)
    rows, shuffled = shuffle(array, ds.array(labels, (4, 1)), random_state=0)
    order = dense(shuffled).ravel().astype(int)
    assert sorted(order) == list(range(11))
    assert list(order) != list(range(11))
    np.testing.assert_array_equal(dense(rows), expected[order])


def test_shuffle_without_labels(pair):
    array, expected = pair
    rows = dense(shuffle(array, random_state=5))
    assert not np.array_equal(rows, expected)
    np.testing.assert_array_equal(rows[np.lexsort(rows.T)], expected[np.lexsort(expected.T)])


def test_terasort_sorts_all_values():
    numbers = np.random.RandomState(4).randint(0, 100, (12, 4)).astype(float)
    result = TeraSort().sort(ds.array(numbers, (3, 2)))
    np.testing.assert_array_equal(dense(result).ravel(), np.sort(numbers, axis=None))
