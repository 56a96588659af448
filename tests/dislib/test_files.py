"""Files become ds-arrays and ds-arrays files."""

import dislib as ds
import numpy as np
import pytest
import sklearn.datasets
from dislib.data import load_hstack_npy_files, load_npy_files, save_npy_file

pytestmark = pytest.mark.usefixtures("engine")

MATRIX = np.random.RandomState(9).rand(10, 6)


@pytest.mark.parametrize("delimiter", [",", " "])
def test_text_files(tmp_path, delimiter):
    path = tmp_path / "data.txt"
    np.savetxt(path, MATRIX, delimiter=delimiter)
    array = ds.load_txt_file(str(path), (3, 4), delimiter=delimiter)
    assert array.shape == (10, 6)
    np.testing.assert_allclose(array.collect(), MATRIX)


def test_a_text_file_with_a_header(tmp_path):
    path = tmp_path / "data.csv"
    np.savetxt(path, MATRIX, delimiter=",", header="a,b,c,d,e,f", comments="")
    np.testing.assert_allclose(ds.load_txt_file(str(path), (4, 6), discard_first_row=True).collect(), MATRIX)


@pytest.mark.parametrize("sparse", [False, True])
def test_svmlight_files(tmp_path, sparse):
    path = tmp_path / "data.svm"
    labels = np.arange(10) % 3
    sklearn.datasets.dump_svmlight_file(MATRIX, labels, str(path))
    samples, classes = ds.load_svmlight_file(str(path), (3, 2), n_features=6, store_sparse=sparse)
    numbers = samples.collect()
    np.testing.assert_allclose(numbers.toarray() if sparse else numbers, MATRIX)
    np.testing.assert_array_equal(classes.collect(), labels)


def test_npy_files(tmp_path):
    path = tmp_path / "data.npy"
    np.save(path, MATRIX)
    np.testing.assert_array_equal(ds.load_npy_file(str(path), (3, 4)).collect(), MATRIX)


def test_folders_of_npy_files(tmp_path):
    np.save(tmp_path / "0.npy", MATRIX)
    np.save(tmp_path / "1.npy", MATRIX + 1)
    joined = load_hstack_npy_files(str(tmp_path), cols_per_block=4)
    np.testing.assert_array_equal(joined.collect(), np.hstack([MATRIX, MATRIX + 1]))


@pytest.mark.parametrize("copy", [False, True])
def test_trajectories(tmp_path, copy):
    """The files of molecular dynamics: a title, then ten numbers of eight columns in a line."""
    path = tmp_path / "frames.mdcrd"
    frames = np.round(np.random.RandomState(2).rand(6, 27) * 100, 3)
    with path.open("w") as file:
        file.write("title".ljust(80) + "\n")
        for frame in frames:
            for start in range(0, 27, 10):
                file.write("".join(f"{number:8.3f}" for number in frame[start : start + 10]) + "\n")
    array = ds.load_mdcrd_file(str(path), (2, 12), n_atoms=9, copy=copy)
    assert array.shape == (6, 27)
    np.testing.assert_allclose(array.collect(), frames)


def test_saved_blocks_are_loaded_again(tmp_path):
    array = ds.array(MATRIX, (5, 3))
    save_npy_file(array, str(tmp_path / "npy"))
    np.testing.assert_array_equal(load_npy_files(str(tmp_path / "npy"), shape=(10, 6)).collect(), MATRIX)


@pytest.mark.parametrize("merge_rows", [False, True])
def test_text_of_blocks(tmp_path, merge_rows):
    ds.save_txt(ds.array(MATRIX, (5, 3)) + ds.zeros((1, 6), (1, 3)), str(tmp_path / "txt"), merge_rows=merge_rows)
    files = sorted(path.name for path in (tmp_path / "txt").iterdir())
    assert files == (["0", "1"] if merge_rows else ["0_0", "0_1", "1_0", "1_1"])
    first = np.loadtxt(tmp_path / "txt" / files[0])
    np.testing.assert_allclose(first, MATRIX[:5] if merge_rows else MATRIX[:5, :3])
