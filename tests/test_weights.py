"""Sample weights: multiplicities of points, in everything that takes them and through scikit-learn's routing."""

import warnings

import numpy as np
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV, KFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.fixes import parse_version

from fastem import GaussianMixture

from . import data_sets, naive
from .grids import grid
from .problems import partly_known, three_groups

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES
each_type = grid("covariance_type", COVARIANCE_TYPES, quick=["full", "spherical"])
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")
WAYS = {  # to fit, all of which take weights
    "em": {"algorithm": "em"},
    "auto": {"algorithm": "auto"},
    "hard": {"assignment": "hard"},
}


def quietly(method, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return method(*args, **kwargs)


def integers(n_samples, seed=2):
    return np.random.default_rng(seed).integers(0, 4, n_samples)


def mixture(X, covariance_type, **params):
    """An estimator that has a start of its own and goes on until the last digits."""
    params = {"tol": 1e-8, "max_iter": 60, "covariance_type": covariance_type, **params}
    return GaussianMixture(3, **data_sets.start(X, 3, covariance_type), **params)


def assert_same_fit(one, other, rtol):
    assert one.n_iter_ == other.n_iter_
    assert one.converged_ == other.converged_
    assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=rtol)
    for name in PARAMETERS:
        expected = getattr(other, name)
        assert_allclose(getattr(one, name), expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name)


# -- integers: repeated rows ----------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("has_labels", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_integer_weights_are_repeated_rows(way, has_labels, covariance_type):
    X, labels = three_groups()
    weights = integers(len(X))
    labels = partly_known(labels) if has_labels else None
    model = mixture(X, covariance_type, **WAYS[way])
    weighted = quietly(model.fit, X, sample_weight=weights, labels=labels)
    repeated = quietly(
        mixture(X, covariance_type, **WAYS[way]).fit,
        np.repeat(X, weights, axis=0),
        labels=None if labels is None else np.repeat(labels, weights),
    )
    assert weighted.n_iter_ > 3  # else there is little to compare
    assert_same_fit(weighted, repeated, rtol=1e-10)


@each_type
def test_integer_weights_are_repeated_rows_in_scores(covariance_type):
    X, _ = three_groups()
    weights = integers(len(X))
    model = quietly(mixture(X, covariance_type, max_iter=3).fit, X)
    for score in (model.score, model.aic, model.bic, model.icl):
        weighted = score(X, sample_weight=weights)
        assert weighted == pytest.approx(score(np.repeat(X, weights, axis=0)), rel=1e-12)
        assert abs(weighted / score(X) - 1) > 1e-3


@each_type
def test_integer_weights_are_repeated_rows_in_batches(covariance_type):
    X, _ = three_groups(900)
    weights = integers(len(X))
    start = mixture(X, covariance_type, max_iter=3)
    weighted, repeated = quietly(start.fit, X), quietly(mixture(X, covariance_type, max_iter=3).fit, X)
    for rows in np.array_split(np.arange(len(X)), 9):
        weighted.partial_fit(X[rows], sample_weight=weights[rows])
        repeated.partial_fit(np.repeat(X[rows], weights[rows], axis=0))
    assert_same_fit(weighted, repeated, rtol=1e-10)
    assert weighted.n_samples_seen_ == 1800  # points, whatever they weigh
    assert repeated.n_samples_seen_ == 900 + weights.sum()


def test_integer_weights_are_repeated_rows_in_the_first_batches():
    X, _ = three_groups(120)
    weights = integers(len(X))
    weighted, repeated = mixture(X, "full"), mixture(X, "full")
    for rows in np.array_split(np.arange(len(X)), 4):  # held, and fitted together
        quietly(weighted.partial_fit, X[rows], sample_weight=weights[rows])
        quietly(repeated.partial_fit, np.repeat(X[rows], weights[rows], axis=0))
    # How often held points are fitted anew goes by their number: only what a fit ends at is the same.
    assert_allclose(weighted.means_, repeated.means_, rtol=1e-3)
    assert weighted.lower_bound_ == pytest.approx(repeated.lower_bound_, abs=1e-6)


@pytest.mark.parametrize("way", WAYS)
def test_fit_predict_takes_weights(way):
    X, _ = three_groups()
    weights = integers(len(X))
    labels = quietly(mixture(X, "full", **WAYS[way]).fit_predict, X, sample_weight=weights)
    model = quietly(mixture(X, "full", **WAYS[way]).fit, X, sample_weight=weights)
    assert_array_equal(labels, model.predict(X))


# -- fractions ------------------------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_fractional_weights_against_textbook_em(assignment, covariance_type):
    X, _ = three_groups()
    weights = np.random.default_rng(3).exponential(size=len(X))
    for n_iter in (1, 2, 3, 10):
        model = mixture(X, covariance_type, algorithm="em", assignment=assignment, tol=0, max_iter=n_iter)
        start = quietly(model.set_params(max_iter=0).fit, X)
        begin = start.weights_, start.means_, start.covariances_, covariance_type
        quietly(model.set_params(max_iter=n_iter).fit, X, sample_weight=weights)
        *expected, bounds = naive.steps(n_iter, X, *begin, sample_weight=weights, assignment=assignment)
        assert_allclose(model.lower_bounds_, bounds, rtol=1e-11)
        for name, value in zip(("weights_", "means_", "covariances_"), expected, strict=True):
            assert_allclose(getattr(model, name), value, rtol=1e-10, atol=1e-10, err_msg=name)


@each_type
def test_fractional_weights_in_scores_against_the_formulas(covariance_type):
    X, _ = three_groups()
    weights = np.random.default_rng(3).exponential(size=len(X))
    model = quietly(mixture(X, covariance_type, max_iter=3).fit, X)
    densities = naive.log_densities(X, model.weights_, model.means_, model.covariances_, covariance_type)
    likelihood = weights @ naive.log_likelihoods(densities)
    n_free = 2 + 9 + {"full": 18, "tied": 6, "diag": 9, "spherical": 3}[covariance_type]
    penalty = n_free * np.log(weights.sum())
    assert model.score(X, sample_weight=weights) == pytest.approx(likelihood / weights.sum(), rel=1e-12)
    assert model.aic(X, sample_weight=weights) == pytest.approx(-2 * likelihood + 2 * n_free, rel=1e-12)
    assert model.bic(X, sample_weight=weights) == pytest.approx(-2 * likelihood + penalty, rel=1e-12)
    completed = weights @ densities.max(axis=1)
    assert model.icl(X, sample_weight=weights) == pytest.approx(-2 * completed + penalty, rel=1e-12)


# -- scale ----------------------------------------------------------------------------------------------------------


@grid("factor", [1e-30, 1e-12, 3.7, 1e12, 1e30], quick=[1e-30])
@each_type
@pytest.mark.parametrize("way", WAYS)
def test_the_scale_of_weights_does_not_matter(way, covariance_type, factor):
    X, _ = three_groups()
    weights = np.random.default_rng(3).exponential(size=len(X))
    expected = quietly(mixture(X, covariance_type, **WAYS[way]).fit, X, sample_weight=weights)
    scaled = quietly(mixture(X, covariance_type, **WAYS[way]).fit, X, sample_weight=factor * weights)
    assert_same_fit(scaled, expected, rtol=1e-10)
    assert scaled.score(X, sample_weight=factor * weights) == pytest.approx(
        expected.score(X, sample_weight=weights), rel=1e-12
    )


@grid("factor", [1e-30, 3.7, 1e30], quick=[1e30])
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_the_scale_of_weights_does_not_matter_to_starts(init_params, factor):
    X, _ = three_groups()
    weights = np.random.default_rng(3).exponential(size=len(X))
    params = {"init_params": init_params, "random_state": 0, "max_iter": 30}
    expected = quietly(GaussianMixture(3, **params).fit, X, sample_weight=weights)
    scaled = quietly(GaussianMixture(3, **params).fit, X, sample_weight=factor * weights)
    assert_same_fit(scaled, expected, rtol=1e-8)


# -- zeros and ones ---------------------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("has_labels", [False, True])
@grid("distance", [0.0, 1e6], quick=[1e6])
@pytest.mark.parametrize("way", WAYS)
def test_a_point_of_weight_zero_is_not_there(way, distance, has_labels, covariance_type):
    X, labels = three_groups()
    labels = partly_known(labels)
    away = np.arange(0, len(X), 7)
    weights = np.ones(len(X))
    weights[away] = 0
    model = mixture(X, covariance_type, **WAYS[way])
    X[away] += distance
    there = weights > 0
    kept, without = ({"labels": labels}, {"labels": labels[there]}) if has_labels else ({}, {})
    quietly(model.fit, X, sample_weight=weights, **kept)
    expected = mixture(X, covariance_type, **WAYS[way]).set_params(**model.get_params())
    quietly(expected.fit, X[there], sample_weight=weights[there], **without)
    assert_same_fit(model, expected, rtol=1e-12)
    for name in ("score", "aic", "bic", "icl"):
        value = getattr(model, name)(X, sample_weight=weights)
        assert value == pytest.approx(getattr(model, name)(X[there]), rel=1e-12), name


# Not random responsibilities in a search: each point has its draws, so that more points give later starts others.
ALL_STARTS = [
    *(("em", init_params) for init_params in ("kmeans", "k-means++", "random", "random_from_data")),
    *(("auto", init_params) for init_params in ("kmeans", "k-means++", "random_from_data")),
]


@grid("covariance_type", ["full", "diag"], quick=["diag"])
@pytest.mark.parametrize(("algorithm", "init_params"), ALL_STARTS)
def test_a_point_of_weight_zero_is_not_there_for_starts(algorithm, init_params, covariance_type):
    """At the end of the data, where it changes no other point's draws, and far from a cloud without groups."""
    X = np.random.default_rng(0).normal(size=(300, 3))
    params = {"init_params": init_params, "algorithm": algorithm, "covariance_type": covariance_type}
    params |= {"random_state": 0, "max_iter": 5}
    expected = quietly(GaussianMixture(3, **params).fit, X, sample_weight=np.ones(300))
    far = np.concatenate([X, np.full((5, 3), [1e6, 0.0, -3e5])])
    weights = np.r_[np.ones(300), np.zeros(5)]
    model = quietly(GaussianMixture(3, **params).fit, far, sample_weight=weights)
    assert_same_fit(model, expected, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_point_of_weight_zero_is_not_there_for_starts_beside_labels(covariance_type):
    X = np.random.default_rng(0).normal(size=(300, 3))
    labels = np.where(X[:, 0] > 1, 0, -1)  # the other two are to be found
    params = {"covariance_type": covariance_type, "random_state": 0, "max_iter": 5}
    expected = quietly(GaussianMixture(3, **params).fit, X, sample_weight=np.ones(300), labels=labels)
    far = np.concatenate([X, np.full((5, 3), [1e6, 0.0, -3e5])])
    weights = np.r_[np.ones(300), np.zeros(5)]
    model = quietly(GaussianMixture(3, **params).fit, far, sample_weight=weights, labels=np.r_[labels, [-1] * 5])
    assert_same_fit(model, expected, rtol=1e-9)


def test_a_label_of_weight_zero_says_nothing():
    X, labels = three_groups()
    lies = np.concatenate([np.tile([0, 1, 2], 4), labels])  # of points far off
    far = np.concatenate([np.full((12, 3), 1e6), X])
    weights = np.r_[np.zeros(12), np.ones(len(X))]
    model = GaussianMixture(3).fit(far, sample_weight=weights, labels=lies)
    assert_same_fit(model, GaussianMixture(3).fit(X, labels=labels), rtol=1e-12)
    unknown = np.where(weights > 0, lies, -1)  # all others are known: one M-step, too
    assert_same_fit(GaussianMixture(3).fit(far, sample_weight=weights, labels=unknown), model, rtol=1e-12)


def test_a_point_of_weight_zero_is_not_there_in_batches():
    X, _ = three_groups(900)
    weights = np.ones(len(X))
    weights[::3] = 0
    X[::3] += 1e6
    start = quietly(mixture(X[1::3], "full", max_iter=3).fit, X[1::3])
    other = quietly(mixture(X[1::3], "full", max_iter=3).fit, X[1::3])
    for rows in np.array_split(np.arange(len(X)), 9):
        start.partial_fit(X[rows], sample_weight=weights[rows])
        other.partial_fit(X[rows[weights[rows] > 0]])
    assert_same_fit(start, other, rtol=1e-12)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random"])
@pytest.mark.parametrize("way", WAYS)
def test_weights_of_one_are_none(way, init_params):
    X, _ = three_groups()
    params = {"init_params": init_params, "random_state": 0, "max_iter": 30, **WAYS[way]}
    weighted = quietly(GaussianMixture(3, **params).fit, X, sample_weight=np.ones(len(X)))
    assert_same_fit(weighted, quietly(GaussianMixture(3, **params).fit, X), rtol=1e-12)
    for score in (weighted.score, weighted.aic, weighted.bic, weighted.icl):
        assert score(X, sample_weight=np.ones(len(X))) == score(X)


def test_weights_may_be_anything_like_an_array():
    X, _ = three_groups()
    weights = integers(len(X))
    expected = quietly(mixture(X, "full").fit, X, sample_weight=weights)
    for variant in (weights.tolist(), weights.astype(np.float32), weights[::-1].copy()[::-1], 1.0 * weights):
        before = np.array(variant)
        assert_same_fit(quietly(mixture(X, "full").fit, X, sample_weight=variant), expected, rtol=0)
        assert_array_equal(variant, before)


def test_one_number_is_every_points_weight():
    X, _ = three_groups()
    model = quietly(mixture(X, "full").fit, X, sample_weight=2.0)
    assert_same_fit(model, quietly(mixture(X, "full").fit, X), rtol=1e-12)


# -- errors -----------------------------------------------------------------------------------------------------------

BAD_WEIGHTS = [
    (np.ones(299), "sample_weight.*299"),
    (np.ones((300, 1)), "[Ss]ample.weight"),
    (np.r_[-1.0, np.ones(299)], "[Nn]egative"),
    (np.r_[np.ones(299), np.nan], "NaN"),
    (np.r_[np.ones(299), np.inf], "infinity"),
    (np.zeros(300), "[Ss]ample.weight"),
    (np.full(300, 1e307), "sample_weight sums to infinity: divide the weights"),
]


@pytest.mark.parametrize(("weights", "match"), BAD_WEIGHTS)
@grid("method", ["fit", "fit_predict", "score", "aic", "bic", "icl"], quick=["fit", "score"])
def test_bad_weights(method, weights, match):
    X, _ = three_groups()
    model = quietly(mixture(X, "full").fit, X)
    means = model.means_
    with pytest.raises(ValueError, match=match):
        getattr(model, method)(X, sample_weight=weights)
    assert model.means_ is means


@pytest.mark.parametrize(("weights", "match"), [bad for bad in BAD_WEIGHTS if bad[0].any()])
def test_bad_weights_of_a_batch(weights, match):
    X, _ = three_groups()
    model = quietly(mixture(X, "full").fit, X)
    means = model.means_
    with pytest.raises(ValueError, match=match):
        model.partial_fit(X, sample_weight=weights)
    assert model.means_ is means
    assert model.n_samples_seen_ == 300


def test_fewer_points_of_any_weight_than_components():
    X, _ = three_groups()
    with pytest.raises(ValueError, match="positive for n_components = 3 points or more, but is for 2"):
        GaussianMixture(3).fit(X, sample_weight=np.r_[1.0, 1.0, np.zeros(298)])
    for method in ("score", "bic"):  # to score needs but one
        model = quietly(mixture(X, "full").fit, X)
        assert np.isfinite(getattr(model, method)(X, sample_weight=np.r_[1.0, np.zeros(299)]))


def test_a_batch_may_weigh_nothing_at_all():
    """As may happen to any part of a stream: it counts as points seen, and changes nothing."""
    X, _ = three_groups()
    model = quietly(mixture(X, "full").fit, X)
    means = model.means_
    model.partial_fit(X[:50], sample_weight=np.zeros(50))
    assert_array_equal(model.means_, means)
    assert model.n_samples_seen_ == 350


# -- scikit-learn's routing -------------------------------------------------------------------------------------------


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.fixture
def half_garbage():
    """Points, of which those without weight are far from the others, and what is known of each."""
    X, labels = three_groups(240)
    weights = np.ones(len(X))
    weights[1::2] = 0
    X[1::2] = np.random.default_rng(4).normal(size=(120, 3)) * 50 + 300
    return X, weights, labels


def routed(**params):
    model = GaussianMixture(3, random_state=0, **params)
    return model.set_fit_request(sample_weight=True, labels=True).set_score_request(sample_weight=True)


def test_every_method_with_weights_can_ask_for_them(routing):
    model = GaussianMixture()
    model.set_fit_request(sample_weight=True, labels=True)
    model.set_partial_fit_request(sample_weight=True, labels=True)
    model.set_score_request(sample_weight=True)
    requests = model.get_metadata_routing()
    for method in (requests.fit, requests.partial_fit):
        assert method.requests == {"sample_weight": True, "labels": True}
    assert requests.score.requests == {"sample_weight": True}


def test_a_pipeline_hands_weights_and_labels_on(routing, half_garbage):
    X, weights, labels = half_garbage
    there = weights > 0
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), routed())
    pipeline.fit(X, sample_weight=weights, labels=labels)
    expected = make_pipeline(StandardScaler(), routed()).fit(X[there], labels=labels[there])
    assert_allclose(pipeline[-1].means_, expected[-1].means_, rtol=1e-10, atol=1e-10)
    assert_array_equal(pipeline.predict(X[there]), expected.predict(X[there]))
    assert pipeline.score(X, sample_weight=weights) == pytest.approx(expected.score(X[there]), rel=1e-10)
    misled = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), routed()).fit(X, labels=labels)
    assert np.abs(misled[-1].means_ - expected[-1].means_).max() > 0.1


def folds_without_garbage(X, weights, params, cv):
    scores = []
    for train, test in cv.split(X):
        train, test = train[weights[train] > 0], test[weights[test] > 0]
        scores.append(GaussianMixture(**params).fit(X[train]).score(X[test]))
    return scores


def test_cross_validation_hands_weights_to_fits_and_scores(routing, half_garbage):
    X, weights, _ = half_garbage
    cv = KFold(3)
    params = {"n_components": 1}
    model = GaussianMixture(**params).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
    expected = folds_without_garbage(X, weights, params, cv)
    scores = cross_val_score(model, X, cv=cv, params={"sample_weight": weights})
    assert_allclose(scores, expected, rtol=1e-10)
    result = cross_validate(model, X, cv=cv, params={"sample_weight": weights}, return_train_score=True)
    assert_allclose(result["test_score"], expected, rtol=1e-10)
    assert np.all(result["train_score"] > -20)  # a fit to the garbage scores the others far lower
    unweighted = cross_val_score(GaussianMixture(**params), X, cv=cv)
    assert np.all(np.abs(unweighted - expected) > 1)


@pytest.mark.skipif(
    parse_version(sklearn.__version__) < parse_version("1.9"), reason="an older scikit-learn routes less in a search"
)
def test_a_grid_search_hands_weights_to_fits_and_scores(routing, half_garbage):
    X, weights, _ = half_garbage
    cv = KFold(3)
    there = weights > 0
    pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=True), routed())
    grid = {"gaussianmixture__n_components": [1, 3], "gaussianmixture__covariance_type": ["diag"]}
    search = GridSearchCV(pipeline, grid, cv=cv).fit(X, sample_weight=weights)
    for params, score in zip(search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True):
        scores = []
        for train, test in cv.split(X):
            train, test = train[there[train]], test[there[test]]
            fold = make_pipeline(StandardScaler(), GaussianMixture(random_state=0)).set_params(**params).fit(X[train])
            scores.append(fold.score(X[test]))
        # From a search of its own: the same draws give other seeds where there are other points.
        assert score == pytest.approx(np.mean(scores), abs=0.05)
    assert search.best_params_["gaussianmixture__n_components"] == 3
    best = make_pipeline(StandardScaler(), GaussianMixture(3, covariance_type="diag", random_state=0)).fit(X[there])
    assert search.score(X, sample_weight=weights) == pytest.approx(best.score(X[there]), abs=0.02)


def test_weights_that_nobody_asked_for_are_an_error(routing, half_garbage):
    X, weights, _ = half_garbage
    with pytest.raises(ValueError, match="sample_weight"):
        cross_val_score(GaussianMixture(2), X, params={"sample_weight": weights})
