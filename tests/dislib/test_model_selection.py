"""Searches over parameters, cross-validation and scalers, compared with scikit-learn."""

import dislib as ds
import numpy as np
import pytest
import scipy.sparse
import scipy.stats
import sklearn.datasets
import sklearn.preprocessing
import sklearn.svm
from dislib.classification import CascadeSVM, RandomForestClassifier
from dislib.cluster import KMeans
from dislib.model_selection import (
    GridSearchCV,
    KFold,
    RandomizedSearchCV,
    SimulationGridSearch,
    train_test_split,
)
from dislib.preprocessing import MinMaxScaler, StandardScaler

pytestmark = pytest.mark.usefixtures("engine")

IRIS, SPECIES = sklearn.datasets.load_iris(return_X_y=True)
ORDER = np.random.RandomState(0).permutation(len(IRIS))
IRIS, SPECIES = IRIS[ORDER], SPECIES[ORDER]


def iris(rows=10):
    """The training data: samples and classes. Folds begin and end with blocks: dislib mixes up rows otherwise."""
    return ds.array(IRIS, (rows, 4)), ds.array(SPECIES.reshape(-1, 1), (rows, 1))


def test_k_folds_cover_every_row_once():
    samples, classes = iris()
    seen = []
    for (train, train_classes), (test, test_classes) in KFold(n_splits=5).split(samples, classes):
        assert train.shape[0] + test.shape[0] == len(IRIS)
        np.testing.assert_array_equal(train_classes.collect().shape[0], train.shape[0])
        rows = test.collect()
        seen.append(rows)
        assert test_classes.shape[0] == len(rows)
    np.testing.assert_array_equal(np.vstack(seen), IRIS)


def test_shuffled_k_folds_keep_samples_and_classes_together():
    samples, classes = iris()
    labels = {tuple(row): label for row, label in zip(IRIS, SPECIES, strict=True)}
    folds = list(KFold(n_splits=3, shuffle=True, random_state=0).split(samples, classes))
    assert len(folds) == 3
    for _, (test, test_classes) in folds:
        found = test_classes.collect()
        assert [labels[tuple(row)] for row in test.collect()] == list(found)


def test_train_test_split_keeps_rows_together():
    samples, classes = iris()
    train, test, train_classes, test_classes = train_test_split(samples, classes, test_size=0.25, random_state=1)
    labels = {tuple(row): label for row, label in zip(IRIS, SPECIES, strict=True)}
    assert train.shape[0] + test.shape[0] == pytest.approx(len(IRIS), abs=4)
    for rows, found in ((train, train_classes), (test, test_classes)):
        assert [labels[tuple(row)] for row in rows.collect()] == list(found.collect())


def test_grid_search_over_forests():
    samples, classes = iris()
    grid = {"n_estimators": (1, 4), "max_depth": (1, 4)}
    search = GridSearchCV(RandomForestClassifier(random_state=0), grid, cv=3).fit(samples, classes)
    assert search.best_params_["max_depth"] == 4
    assert len(search.cv_results_["params"]) == 4
    scores = search.cv_results_["mean_test_score"]
    assert scores[search.best_index_] == search.best_score_ == max(scores) > 0.9
    assert search.best_estimator_.predict(samples).collect().shape == (150,)


def test_grid_search_over_an_estimator_of_scikit_learn_scores_as_scikit_learn():
    samples, classes = iris()
    grid = {"C": [0.001, 1.0]}
    search = GridSearchCV(sklearn.svm.SVC(gamma=0.2), grid, cv=KFold(3), refit=False).fit(samples, classes)
    expected = []
    for strength in grid["C"]:
        scores = []
        for fold in np.array_split(np.arange(150), 3):
            rest = np.setdiff1d(np.arange(150), fold)
            model = sklearn.svm.SVC(gamma=0.2, C=strength).fit(IRIS[rest], SPECIES[rest])
            scores.append(model.score(IRIS[fold], SPECIES[fold]))
        expected.append(np.mean(scores))
    np.testing.assert_allclose(search.cv_results_["mean_test_score"], expected)


def test_randomized_search_over_an_svm():
    samples, _ = iris(rows=25)
    first = ds.array((SPECIES == 0).astype(int).reshape(-1, 1), (25, 1))
    choices = {"c": scipy.stats.expon(scale=0.5), "gamma": scipy.stats.expon(scale=1), "kernel": ["rbf"]}
    model = CascadeSVM(max_iter=1, random_state=0)
    search = RandomizedSearchCV(model, choices, n_iter=3, cv=3, random_state=0).fit(samples, first)
    assert len(search.cv_results_["params"]) == 3
    assert search.best_score_ > 0.95


def test_grid_search_with_a_scorer_of_the_program():
    samples, classes = iris()

    def closeness(model, rows, _):
        found = model.predict(rows).collect()
        return -np.linalg.norm(rows.collect() - model.centers[found], axis=1).mean()

    grid = [{"n_clusters": [count], "init": [IRIS[:count]]} for count in (1, 3)]
    search = GridSearchCV(KMeans(), grid, scoring=closeness, cv=3, refit=False)
    search.fit(samples, classes)
    assert list(search.cv_results_["rank_test_score"]) == [2, 1]


def square(number):
    """What `SimulationGridSearch` simulates."""
    return number * number


def test_a_grid_of_simulations():
    search = SimulationGridSearch(square, {"number": [1, 2, 3]}, sim_number=2, order="min")
    search.fit(None)
    assert search.raw_results is not None


@pytest.mark.parametrize("sparse", [False, True])
def test_scalers_scale_as_scikit_learn_and_back(sparse):
    samples = ds.array(scipy.sparse.csr_matrix(IRIS) if sparse else IRIS, (40, 3))
    for ours, theirs in (
        (StandardScaler(), sklearn.preprocessing.StandardScaler()),
        (MinMaxScaler(feature_range=(-1, 2)), sklearn.preprocessing.MinMaxScaler(feature_range=(-1, 2))),
    ):
        scaled = ours.fit_transform(samples)
        numbers = scaled.collect()
        numbers = numbers.toarray() if scipy.sparse.issparse(numbers) else numbers
        np.testing.assert_allclose(numbers, theirs.fit_transform(IRIS), atol=1e-12)
        back = ours.inverse_transform(scaled).collect()
        back = back.toarray() if scipy.sparse.issparse(back) else back
        np.testing.assert_allclose(back, IRIS)
