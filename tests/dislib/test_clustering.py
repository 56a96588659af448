"""KMeans, DBSCAN, GaussianMixture and Daura find the clusters that scikit-learn finds."""

import dislib as ds
import numpy as np
import pytest
import scipy.sparse
import sklearn.cluster
import sklearn.datasets
import sklearn.mixture
from dislib.cluster import DBSCAN, Daura, GaussianMixture, KMeans
from sklearn.metrics import adjusted_rand_score

from taskflow import compss_wait_on

pytestmark = pytest.mark.usefixtures("engine")

BLOBS, BLOB_LABELS = sklearn.datasets.make_blobs(300, 4, centers=4, cluster_std=0.6, random_state=2)
START = BLOBS[[np.flatnonzero(label == BLOB_LABELS)[0] for label in range(4)]]


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("arity", [2, 50])
def test_kmeans_finds_the_centers_of_scikit_learn(sparse, arity):
    data = scipy.sparse.csr_matrix(BLOBS) if sparse else BLOBS
    start = scipy.sparse.csr_matrix(START) if sparse else START
    model = KMeans(n_clusters=4, init=start, max_iter=5, tol=0, arity=arity)
    labels = model.fit_predict(ds.array(data, (40, 3))).collect()
    reference = sklearn.cluster.KMeans(4, init=START, n_init=1, max_iter=5, tol=0, algorithm="lloyd").fit(BLOBS)
    centers = model.centers.toarray() if sparse else model.centers
    np.testing.assert_allclose(centers, reference.cluster_centers_)
    np.testing.assert_array_equal(labels, reference.labels_)


def test_kmeans_with_random_centers_is_reproducible():
    first = KMeans(n_clusters=4, random_state=8).fit(ds.array(BLOBS, (50, 4)))
    second = KMeans(n_clusters=4, random_state=8).fit(ds.array(BLOBS, (100, 2)))
    np.testing.assert_allclose(first.centers, second.centers)


@pytest.mark.parametrize("save_format", ["json", "cbor", "pickle"])
def test_a_saved_model_predicts_the_same(tmp_path, save_format):
    path = str(tmp_path / "model")
    data = ds.array(BLOBS, (50, 4))
    model = KMeans(n_clusters=4, init=START).fit(data)
    model.save_model(path, save_format=save_format)
    loaded = KMeans()
    loaded.load_model(path, load_format=save_format)
    np.testing.assert_array_equal(loaded.predict(data).collect(), model.predict(data).collect())


@pytest.mark.parametrize("sparse", [False, True])
def test_dbscan_finds_the_clusters_of_scikit_learn(sparse):
    moons, _ = sklearn.datasets.make_moons(240, noise=0.05, random_state=1)
    # dislib gives labels back in the order of regions within a block, which this makes the order of the samples.
    moons = moons[np.argsort(moons[:, 0])]
    data = scipy.sparse.csr_matrix(moons) if sparse else moons
    model = DBSCAN(eps=0.2, min_samples=5, n_regions=3, dimensions=[0], max_samples=60)
    labels = model.fit_predict(ds.array(data, (60, 2))).collect()
    reference = sklearn.cluster.DBSCAN(eps=0.2, min_samples=5).fit_predict(moons)
    assert model.n_clusters == len(set(reference) - {-1}) == 2
    assert adjusted_rand_score(reference, labels) == 1.0


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_gaussian_mixture_converges_to_that_of_scikit_learn(covariance_type):
    settings = {"n_components": 4, "covariance_type": covariance_type, "random_state": 0}
    model = GaussianMixture(**settings, arity=2)
    labels = model.fit_predict(ds.array(BLOBS, (70, 4))).collect()
    reference = sklearn.mixture.GaussianMixture(**settings).fit(BLOBS)
    means, weights = compss_wait_on(model.means_, model.weights_)
    order, expected = np.argsort(means[:, 0]), np.argsort(reference.means_[:, 0])
    np.testing.assert_allclose(means[order], reference.means_[expected], rtol=1e-4)
    np.testing.assert_allclose(weights[order], reference.weights_[expected], rtol=1e-4)
    assert adjusted_rand_score(reference.predict(BLOBS), labels) == 1.0


def test_daura_finds_the_largest_neighbourhoods_first():
    points = np.array([[0.0], [0.1], [0.2], [5.0], [5.1], [9.0]])
    distances = np.abs(points - points.T)
    clusters = Daura(cutoff=0.15).fit_predict(ds.array(distances, (2, 3)))
    assert clusters == [[1, 0, 2], [3, 4]]
