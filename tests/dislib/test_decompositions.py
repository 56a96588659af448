"""Decompositions multiply back to their matrix, and have the values of numpy and scikit-learn."""

import dislib as ds
import numpy as np
import pytest
import scipy.sparse
import sklearn.datasets
import sklearn.decomposition
from dislib.decomposition import PCA, lanczos_svd, qr, random_svd, tsqr

pytestmark = pytest.mark.usefixtures("engine")

MATRIX = np.random.RandomState(11).rand(16, 8)


def with_spectrum(rows, columns):
    """A matrix of which only a few singular values matter."""
    random = np.random.RandomState(5)
    left, _ = np.linalg.qr(random.rand(rows, columns))
    right, _ = np.linalg.qr(random.rand(columns, columns))
    values = np.logspace(2, -8, columns)
    return left * values @ right, values


@pytest.mark.parametrize("mode", ["full", "economic"])
@pytest.mark.parametrize("shape", [(16, 8), (13, 7)])
def test_qr(mode, shape):
    matrix = MATRIX[: shape[0], : shape[1]].copy()
    q, r = qr(ds.array(matrix, (4, 4)), mode=mode)
    q, r = q.collect(), r.collect()
    np.testing.assert_allclose(q @ r, matrix, atol=1e-12)
    np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-12)
    np.testing.assert_allclose(np.tril(r, -1), 0, atol=1e-12)
    expected = np.linalg.qr(matrix)[1]
    np.testing.assert_allclose(np.abs(r[: shape[1]]), np.abs(expected), atol=1e-12)


def test_qr_of_which_only_r_is_wanted():
    r = qr(ds.array(MATRIX, (4, 4)), mode="r").collect()
    np.testing.assert_allclose(np.abs(r[:8]), np.abs(np.linalg.qr(MATRIX)[1]), atol=1e-12)


@pytest.mark.parametrize("mode", ["complete", "complete_inverse", "reduced", "reduced_inverse"])
def test_tall_qr(mode):
    matrix = np.random.RandomState(3).rand(32, 4)
    q, r = tsqr(ds.array(matrix, (8, 4)), mode=mode)
    q, r = q.collect(), r.collect()
    np.testing.assert_allclose(q @ r, matrix, atol=1e-12)
    np.testing.assert_allclose(q.T @ q, np.eye(q.shape[1]), atol=1e-12)


@pytest.mark.parametrize("mode", ["r_complete", "r_reduced"])
def test_tall_qr_of_which_only_r_is_wanted(mode):
    matrix = np.random.RandomState(3).rand(32, 4)
    r = tsqr(ds.array(matrix, (8, 4)), mode=mode).collect()
    np.testing.assert_allclose(np.abs(r[:4]), np.abs(np.linalg.qr(matrix)[1]), atol=1e-12)


def test_svd():
    u, s, v = ds.svd(ds.array(MATRIX, (4, 2)))
    u, s, v = u.collect(), s.collect(), v.collect()
    np.testing.assert_allclose(s, np.linalg.svd(MATRIX, compute_uv=False))
    np.testing.assert_allclose(u * s @ v.T, MATRIX, atol=1e-8)


def test_svd_without_vectors():
    s = ds.svd(ds.array(MATRIX[:15, :7], (4, 2)), compute_uv=False, sort=False)
    np.testing.assert_allclose(np.sort(s.collect())[::-1], np.linalg.svd(MATRIX[:15, :7], compute_uv=False))


def test_lanczos_svd_finds_the_largest_singular_values():
    matrix, values = with_spectrum(64, 16)
    u, s, v = lanczos_svd(
        ds.array(matrix, (32, 4)), k=12, bs=4, rank=8, num_sv=4, tolerance=1e-3, epsilon=1e-1, max_num_iterations=1
    )
    s = np.diag(s.collect())
    np.testing.assert_allclose(s[:4], values[:4], rtol=1e-3)
    assert u.shape[0] == 64
    assert v.shape[0] == 16


def test_lanczos_svd_stops_with_a_failure_that_cancels_what_follows(engine):
    matrix, values = with_spectrum(64, 16)
    settings = {"k": 12, "bs": 4, "rank": 8, "num_sv": 4, "tolerance": 1e-3, "epsilon": 1e-1, "max_num_iterations": 6}
    if engine == "sequential":
        with pytest.raises(Exception, match="Converged"):  # a plain call has no successors that could be cancelled
            lanczos_svd(ds.array(matrix, (32, 4)), **settings)
        return
    _, s, _ = lanczos_svd(ds.array(matrix, (32, 4)), **settings)
    np.testing.assert_allclose(np.diag(s.collect())[:4], values[:4], rtol=1e-6)


def test_random_svd_finds_the_largest_singular_values():
    matrix, values = with_spectrum(64, 16)
    u, s, v = random_svd(ds.array(matrix, (16, 4)), iters=30, epsilon=0.5, tol=1e-3, nsv=4, k=8)
    np.testing.assert_allclose(np.diag(s.collect())[:4], values[:4], rtol=1e-2)
    assert u.shape[0] == 64
    assert v.shape[0] == 16


@pytest.mark.parametrize(("method", "sparse"), [("eig", False), ("eig", True), ("svd", False)])
def test_pca_has_the_components_of_scikit_learn(method, sparse):
    numbers = sklearn.datasets.load_iris().data
    data = scipy.sparse.csr_matrix(numbers) if sparse else numbers
    model = PCA(n_components=3, arity=2, method=method)
    transformed = model.fit_transform(ds.array(data, (40, 2))).collect()
    reference = sklearn.decomposition.PCA(n_components=3).fit(numbers)
    transformed = transformed.toarray() if scipy.sparse.issparse(transformed) else transformed
    np.testing.assert_allclose(np.abs(model.components_.collect()), np.abs(reference.components_), atol=1e-8)
    np.testing.assert_allclose(model.explained_variance_.collect(), reference.explained_variance_)
    np.testing.assert_allclose(np.abs(transformed), np.abs(reference.transform(numbers)), atol=1e-8)
