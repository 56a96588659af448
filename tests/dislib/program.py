"""A program that uses dislib, as a user would write it. Prints what it finds."""

import sys

import dislib as ds
import numpy as np
import scipy.sparse
from dislib.classification import CascadeSVM
from dislib.cluster import DBSCAN, GaussianMixture, KMeans
from dislib.decomposition import PCA, qr
from dislib.model_selection import GridSearchCV
from dislib.neighbors import NearestNeighbors
from dislib.preprocessing import StandardScaler
from dislib.recommendation import ALS
from dislib.regression import LinearRegression
from dislib.trees import RandomForestClassifier
from dislib.utils import shuffle
from sklearn.datasets import load_iris, make_blobs


def show(name, *values):
    """One line for each result."""
    for value in values:
        local = value.collect() if hasattr(value, "collect") else value
        numbers = local.toarray() if scipy.sparse.issparse(local) else np.asarray(local, dtype=float)
        print("found", name, numbers.shape, np.array2string(np.round(numbers.ravel()[:6] + 0.0, 5)))


def spread(block, axis):
    """A function of the main program, applied in tasks."""
    return block.max(axis=axis) - block.min(axis=axis)


if __name__ == "__main__":
    path = sys.argv[1]
    order = np.random.RandomState(0).permutation(150)
    numbers, classes = (values[order] for values in load_iris(return_X_y=True))
    np.savetxt(path, numbers, delimiter=",")
    samples = ds.load_txt_file(path, (40, 2))
    labels = ds.array(classes.reshape(-1, 1), (40, 1))
    show("loaded", samples, labels)
    # The order depends on how often the tasks before used the numbers of this process: sorted, it does not.
    show("shuffled", np.sort(shuffle(samples, random_state=3).collect(), axis=None))
    show("spread", ds.apply_along_axis(spread, 0, samples))
    show("product", ds.matmul(samples, samples, transpose_a=True))
    scaled = StandardScaler().fit_transform(samples)
    show("scaled", scaled)
    show("pca", PCA(n_components=3).fit_transform(scaled))
    show("qr", *qr(ds.array(numbers[:16], (4, 4))))
    show("svd", ds.svd(samples, compute_uv=False))
    kmeans = KMeans(n_clusters=3, random_state=1)
    show("kmeans", kmeans.fit_predict(scaled), kmeans.centers)
    blobs = ds.array(make_blobs(120, 2, centers=3, random_state=0)[0], (30, 2))
    show("mixture", GaussianMixture(n_components=3, random_state=0).fit_predict(blobs))
    show("dbscan", DBSCAN(eps=0.8).fit_predict(blobs))
    show("neighbours", *NearestNeighbors(n_neighbors=3).fit(samples).kneighbors(samples[:20]))
    forest = RandomForestClassifier(n_estimators=4, distr_depth=1, random_state=0)
    forest.fit(samples, labels)
    show("forest", forest.predict(samples))
    line = LinearRegression()
    line.fit(samples[:, :2], samples[:, 2:3])
    show("line", line.coef_, line.intercept_)
    svm = CascadeSVM(max_iter=2, random_state=0)
    svm.fit(samples, ds.array((labels.collect() == 0).astype(int).reshape(-1, 1), (40, 1)))
    show("svm", svm.predict(samples))
    ratings = ds.array(scipy.sparse.random(20, 12, 0.6, "csr", random_state=2), (6, 5))
    recommendation = ALS(n_f=3, max_iter=4, random_state=1)
    recommendation.fit(ratings)
    show("als", recommendation.predict_user(1))
    search = GridSearchCV(KMeans(random_state=0), {"n_clusters": [2, 3]}, scoring=lambda model, *_: model.n_iter, cv=3)
    show("search", search.fit(scaled, labels).cv_results_["mean_test_score"])
