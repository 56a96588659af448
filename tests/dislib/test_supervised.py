"""Classifiers, regressions, recommendations and neighbours, compared with scikit-learn."""

import dislib as ds
import numpy as np
import pytest
import scipy.sparse
import sklearn.datasets
import sklearn.linear_model
import sklearn.neighbors
import sklearn.svm
from dislib.classification import CascadeSVM, KNeighborsClassifier
from dislib.neighbors import NearestNeighbors
from dislib.recommendation import ALS
from dislib.regression import Lasso, LinearRegression
from dislib.trees import RandomForestClassifier, RandomForestRegressor
from dislib.trees.mmap import RfClassifierDataset, transform_to_rf_dataset
from sklearn.metrics import accuracy_score, r2_score

from taskflow import compss_wait_on, compss_wait_on_file

pytestmark = pytest.mark.usefixtures("engine")

IRIS, SPECIES = sklearn.datasets.load_iris(return_X_y=True)
ORDER = np.random.RandomState(0).permutation(len(IRIS))
IRIS, SPECIES = IRIS[ORDER], SPECIES[ORDER]
LINE, TARGET = sklearn.datasets.make_regression(200, 6, n_informative=4, noise=5.0, random_state=3)


def column(values, rows):
    """A ds-array of one column."""
    return ds.array(values.reshape(-1, 1), (rows, 1))


def iris():
    """The training data: samples and classes."""
    return ds.array(IRIS, (40, 2)), column(SPECIES, 40)


@pytest.mark.parametrize("intercept", [False, True])
def test_linear_regression_has_the_coefficients_of_scikit_learn(intercept):
    model = LinearRegression(fit_intercept=intercept, arity=2)
    model.fit(ds.array(LINE, (60, 4)), column(TARGET, 60))
    reference = sklearn.linear_model.LinearRegression(fit_intercept=intercept).fit(LINE, TARGET)
    np.testing.assert_allclose(model.coef_.collect(), reference.coef_)
    if intercept:
        np.testing.assert_allclose(model.intercept_.collect(), reference.intercept_)
    np.testing.assert_allclose(model.predict(ds.array(LINE, (50, 6))).collect(), reference.predict(LINE))


def test_lasso_drops_what_does_not_matter():
    model = Lasso(lmbd=50.0, max_iter=60, atol=1e-6, rtol=1e-6)
    model.fit(ds.array(LINE, (100, 6)), column(TARGET, 100))
    reference = sklearn.linear_model.Lasso(alpha=50.0 / len(LINE), fit_intercept=False).fit(LINE, TARGET)
    np.testing.assert_allclose(model.coef_.collect(), reference.coef_, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("sparse", [False, True])
def test_nearest_neighbours_are_those_of_scikit_learn(sparse):
    data = scipy.sparse.csr_matrix(IRIS) if sparse else IRIS
    model = NearestNeighbors(n_neighbors=5).fit(ds.array(data, (40, 4)))
    distances, indices = model.kneighbors(ds.array(data[:30], (7, 4)))
    expected, _ = sklearn.neighbors.NearestNeighbors(n_neighbors=5).fit(IRIS).kneighbors(IRIS[:30])
    np.testing.assert_allclose(distances.collect(), expected, atol=1e-7)
    found = np.linalg.norm(IRIS[indices.collect()] - IRIS[:30, None], axis=2)
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_k_neighbours_classify_as_in_scikit_learn():
    model = KNeighborsClassifier(5)
    model.fit(ds.array(IRIS[:100], (30, 4)), column(SPECIES[:100], 30))
    found = model.predict(ds.array(IRIS[100:], (20, 4))).collect()
    expected = sklearn.neighbors.KNeighborsClassifier(5).fit(IRIS[:100], SPECIES[:100]).predict(IRIS[100:])
    assert accuracy_score(expected, found) >= 0.98  # they differ in which of equally near neighbours counts


@pytest.mark.parametrize("sparse", [False, True])
def test_cascade_svm_classifies_as_one_svm(sparse):
    samples, classes = IRIS[SPECIES != 0], (SPECIES[SPECIES != 0] == 1).astype(int)
    data = scipy.sparse.csr_matrix(samples) if sparse else samples
    model = CascadeSVM(cascade_arity=2, max_iter=5, kernel="rbf", gamma=0.25, c=1.0, random_state=1)
    model.fit(ds.array(data, (20, 2)), column(classes, 20))
    reference = sklearn.svm.SVC(gamma=0.25, C=1.0).fit(samples, classes)
    found = model.predict(ds.array(data, (30, 4))).collect()
    assert accuracy_score(reference.predict(samples), found) >= 0.97
    score = compss_wait_on(model.score(ds.array(data, (20, 2)), column(classes, 20)))
    assert score == accuracy_score(classes, found)


def test_als_restores_the_ratings():
    random = np.random.RandomState(4)
    ratings = random.rand(24, 3) @ random.rand(3, 18) + 1
    known = np.where(random.rand(24, 18) < 0.8, ratings, 0)
    model = ALS(random_state=1, n_f=4, max_iter=15, lambda_=0.001, arity=2)
    model.fit(ds.array(scipy.sparse.csr_matrix(known), (7, 5)))
    predicted = np.asarray(model.users) @ np.asarray(model.items).T
    np.testing.assert_allclose(model.predict_user(2), predicted[2], rtol=1e-5)
    assert np.sqrt(np.mean((predicted - known)[known > 0] ** 2)) < 0.05
    assert np.sqrt(np.mean((predicted - ratings)[known == 0] ** 2)) < 0.5


@pytest.mark.parametrize("distr_depth", ["auto", 2])
@pytest.mark.parametrize("hard_vote", [False, True])
def test_random_forest_classifies(distr_depth, hard_vote):
    samples, classes = iris()
    model = RandomForestClassifier(n_estimators=6, distr_depth=distr_depth, hard_vote=hard_vote, random_state=0)
    model.fit(samples, classes)
    found = model.predict(ds.array(IRIS, (50, 4))).collect()
    assert accuracy_score(SPECIES, np.asarray(found, dtype=int)) >= 0.97
    assert compss_wait_on(model.score(samples, classes)) >= 0.97
    if not hard_vote:
        chances = model.predict_proba(ds.array(IRIS, (50, 4))).collect()
        np.testing.assert_allclose(chances.sum(axis=1), 1)


@pytest.mark.parametrize("distr_depth", ["auto", 2])
def test_random_forest_regresses(distr_depth):
    model = RandomForestRegressor(n_estimators=8, distr_depth=distr_depth, random_state=0)
    samples = ds.array(LINE, (60, 3))
    model.fit(samples, column(TARGET, 60))
    assert r2_score(TARGET, model.predict(samples).collect()) > 0.85


def test_a_forest_gives_the_same_trees_for_the_same_seed():
    samples, classes = iris()
    chances = []
    for _ in range(2):
        model = RandomForestClassifier(n_estimators=3, distr_depth=1, random_state=5)
        model.fit(samples, classes)
        chances.append(model.predict_proba(samples).collect())
    np.testing.assert_array_equal(*chances)


def test_samples_are_written_into_one_mapped_file_in_place():
    samples, classes = iris()
    dataset = transform_to_rf_dataset(samples, classes, RfClassifierDataset, features_file=True)
    assert compss_wait_on(dataset.get_n_classes()) == 3
    np.testing.assert_array_equal(compss_wait_on(dataset.get_y_targets()), SPECIES)
    for path, expected in ((dataset.samples_path, IRIS), (dataset.features_path, IRIS.T)):
        compss_wait_on_file(path)
        np.testing.assert_array_equal(np.load(path), expected.astype("float32"))
    dataset.validate_features_file()


def test_distributed_forests_and_trees():
    samples, classes = iris()
    bounds = {"range_min": samples.min(), "range_max": samples.max()}
    forest = RandomForestClassifier(n_classes=3, n_estimators=4, distr_depth=2, random_state=0, mmap=False, **bounds)
    forest.fit(samples, classes)
    found = np.asarray(forest.predict(samples).collect(), dtype=int)
    assert accuracy_score(SPECIES, found.ravel()) >= 0.85


def test_nested_forest():
    samples, classes = iris()
    bounds = {"range_min": samples.min(), "range_max": samples.max()}
    forest = RandomForestClassifier(
        n_classes=3, n_estimators=2, distr_depth=2, random_state=0, mmap=False, nested=True, **bounds
    )
    forest.fit(samples, classes)
    found = np.asarray(forest.predict(samples).collect(), dtype=int)
    assert accuracy_score(SPECIES, found.ravel()) >= 0.85
