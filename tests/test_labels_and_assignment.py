"""What is known of points' components, and how points count in the M-step: softly, for one component, or by lot."""

import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linear_sum_assignment
from scipy.stats import multivariate_normal
from sklearn.cluster import KMeans
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture, kernels
from fastem.fitting.acceleration import Stochastic
from fastem.kernels import cuts
from fastem.model.families import FAMILIES
from fastem.sources import ArraySource
from fastem.sources.annotations import HARD, Annotations, Assignment

from . import data_sets, naive
from .grids import exhaustive, grid
from .problems import make_problem, partly_known, three_groups

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES
each_type = grid("covariance_type", COVARIANCE_TYPES, quick=["tied", "diag"])
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def quietly(method, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return method(*args, **kwargs)


def mixture(X, covariance_type, n_components=3, **params):
    """An estimator with a start of its own."""
    params = {"tol": 0, "max_iter": 20, "covariance_type": covariance_type, **params}
    return GaussianMixture(n_components, **{**data_sets.start(X, n_components, covariance_type), **params})


def assert_same_fit(one, other, rtol):
    assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=rtol)
    for name in PARAMETERS:
        expected = getattr(other, name)
        assert_allclose(getattr(one, name), expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name)


def assert_follows_the_textbook(model, X, *, labels=None, shares=None, sample_weight=None):
    """Every iterate and bound of the model's fits equals naive's from the same start."""
    start = quietly(model.set_params(max_iter=0).fit, X)
    begin = start.weights_, start.means_, start.covariances_, model.covariance_type
    if labels is not None:
        shares = naive.allowed(labels, model.n_components)
    given = {"shares": shares, "sample_weight": sample_weight, "assignment": model.assignment}
    for n_iter in (1, 2, 3, 10):
        model.set_params(max_iter=n_iter)
        quietly(model.fit, X, labels=shares if labels is None else labels, sample_weight=sample_weight)
        *expected, bounds = naive.steps(n_iter, X, *begin, **given)
        assert_allclose(model.lower_bounds_, bounds, rtol=1e-10)
        for name, value in zip(("weights_", "means_", "covariances_"), expected, strict=True):
            assert_allclose(getattr(model, name), value, rtol=1e-9, atol=1e-9, err_msg=name)


def assert_never_falls(bounds):
    bounds = np.array(bounds)
    assert np.all(np.diff(bounds) >= -1e-13 * np.abs(bounds[1:]))


# -- some labels known ------------------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("weighted", [False, True])
def test_partly_known_labels_against_textbook_em(weighted, covariance_type):
    X, labels = three_groups()
    weights = np.random.default_rng(3).exponential(size=len(X)) if weighted else None
    model = mixture(X, covariance_type, algorithm="em")
    assert_follows_the_textbook(model, X, labels=partly_known(labels), sample_weight=weights)


@each_type
@pytest.mark.parametrize("params", [{"algorithm": "em"}, {"algorithm": "auto"}, {"assignment": "hard"}])
def test_known_points_count_for_their_component_wherever_they_lie(params, covariance_type):
    X, labels = three_groups(distance=20.0)  # no point is in doubt
    known = np.where(labels == 0, 1, -1)
    model = quietly(mixture(X, covariance_type, means_init=None, **params).fit, X, labels=known)
    assert_array_equal(model.predict(X[labels == 0]), 1)
    known = partly_known(np.random.default_rng(0).permutation(labels), share=0.5)  # against all that the data say
    model = quietly(mixture(X, covariance_type, means_init=None, **params).fit, X, labels=known)
    assert np.all(model.weights_ * len(X) >= np.bincount(known[known >= 0]) - 1e-9)


@each_type
@pytest.mark.parametrize("algorithm", ["auto", "em"])
@pytest.mark.parametrize("free", [0, 1, 2])
def test_a_component_without_labels_is_free_and_is_found(free, algorithm, covariance_type):
    X, labels = three_groups(distance=4.0)
    known = np.where(labels == free, -1, partly_known(labels))
    model = GaussianMixture(3, covariance_type=covariance_type, algorithm=algorithm, random_state=0)
    model.fit(X, labels=known)
    assert_allclose(model.means_[free], X[labels == free].mean(axis=0), atol=0.3)
    assert np.mean(model.predict(X) == labels) > 0.97


def a_third_of(classes, seed):
    """The labels of a random third of each class."""
    rng = np.random.default_rng(seed)
    labels = np.full(len(classes), -1)
    for k in np.unique(classes):
        members = np.flatnonzero(classes == k)
        labels[rng.choice(members, len(members) // 3, replace=False)] = k
    return labels


def accuracy_when_matched(predicted, classes):
    """Of the best one-to-one naming of components."""
    table = np.array([[np.sum((predicted == i) & (classes == j)) for j in range(3)] for i in range(3)])
    return table[linear_sum_assignment(-table)].sum() / len(classes)


# Not tied: there the fit without labels happens to name all but one or two of the 150 rightly.
@grid("covariance_type", ["full", "diag", "spherical"], quick=["diag"])
@grid("algorithm", ["auto", "em"], quick=["em"])
def test_a_third_of_iris_labels_helps_with_the_others(algorithm, covariance_type):
    X, classes = load_iris(return_X_y=True)
    without, with_some = [], []
    for seed in range(6):
        labels = a_third_of(classes, seed)
        unknown = labels < 0
        params = {"covariance_type": covariance_type, "algorithm": algorithm, "random_state": seed}
        predicted = GaussianMixture(3, **params).fit(X).predict(X[unknown])
        without.append(accuracy_when_matched(predicted, classes[unknown]))
        predicted = GaussianMixture(3, **params).fit(X, labels=labels).predict(X[unknown])
        with_some.append(np.mean(predicted == classes[unknown]))  # component k is class k
    assert np.mean(with_some) > np.mean(without)
    if covariance_type == "full":  # the others are so far from the truth that chance decides on single flowers
        assert np.all(np.array(with_some) >= without)


@each_type
@pytest.mark.parametrize("algorithm", ["auto", "em"])
@pytest.mark.parametrize("init_params", ["kmeans", "random"])
def test_component_k_is_class_k(init_params, algorithm, covariance_type):
    X, labels = three_groups(distance=4.0)
    for order in ([0, 1, 2], [2, 0, 1], [1, 0, 2]):
        classes = np.array(order)[labels]
        params = {"covariance_type": covariance_type, "algorithm": algorithm, "init_params": init_params}
        model = GaussianMixture(3, random_state=0, **params).fit(X, labels=partly_known(classes, share=0.05))
        assert np.mean(model.predict(X) == classes) > 0.97


@each_type
@pytest.mark.parametrize("algorithm", ["auto", "em"])
def test_the_lower_bound_never_falls_beside_labels(algorithm, covariance_type):
    for name in ("iris", "wine", "faithful"):
        X, n_components = data_sets.load(name)
        labels = partly_known(np.random.default_rng(0).integers(n_components, size=len(X)), share=0.2)  # wrong ones
        params = {"reg_covar": 0, "algorithm": algorithm, "tol": 1e-12, "max_iter": 60}
        model = quietly(mixture(X, covariance_type, n_components, **params).fit, X, labels=labels)
        assert_never_falls(model.lower_bounds_)


@each_type
@pytest.mark.parametrize("name", ["faithful", "iris", "wine", "cancer"])
def test_auto_ends_as_high_as_em_beside_labels(name, covariance_type):
    X, n_components = data_sets.load(name)
    order = np.argsort(X[:, 0], kind="stable")
    labels = np.empty(len(X), int)
    labels[order] = np.arange(len(X)) * n_components // len(X)
    labels = partly_known(labels, share=0.1)
    params = {"covariance_type": covariance_type, "tol": 1e-5, "max_iter": 3000, "random_state": 0}
    auto, em = (GaussianMixture(n_components, algorithm=way, **params).fit(X, labels=labels) for way in ("auto", "em"))
    assert auto.lower_bound_ >= em.lower_bound_ - 1e-5


@each_type
@pytest.mark.parametrize("params", [{"algorithm": "em"}, {"assignment": "hard"}])
def test_the_order_of_points_does_not_matter_beside_labels(params, covariance_type):
    X, labels = three_groups()
    labels = partly_known(labels)
    model = quietly(mixture(X, covariance_type, **params).fit, X, labels=labels)
    order = np.random.default_rng(0).permutation(len(X))
    other = mixture(X, covariance_type, **params)
    assert_same_fit(quietly(other.fit, X[order], labels=labels[order]), model, rtol=1e-11)


def test_labels_with_a_warm_start():
    X, labels = three_groups()
    labels = partly_known(labels)
    whole = quietly(mixture(X, "full", algorithm="em", max_iter=12).fit, X, labels=labels)
    parts = mixture(X, "full", algorithm="em", max_iter=4, warm_start=True)
    bounds = []
    for _ in range(3):
        bounds += quietly(parts.fit, X, labels=labels).lower_bounds_
    assert_allclose(bounds, whole.lower_bounds_, rtol=1e-13)
    assert_allclose(parts.means_, whole.means_, rtol=1e-11)


# -- no label known ---------------------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("params", [{"algorithm": "em"}, {"algorithm": "auto"}, {"assignment": "hard"}])
def test_labels_that_say_nothing_change_nothing(params, covariance_type):
    X, _ = three_groups()
    expected = quietly(mixture(X, covariance_type, **params).fit, X)
    for labels in (np.full(len(X), -1), np.ones((len(X), 3)), np.full((len(X), 3), 0.25)):
        model = quietly(mixture(X, covariance_type, **params).fit, X, labels=labels)
        model.lower_bounds_ = np.array(model.lower_bounds_) - np.log(labels.max() if labels.ndim == 2 else 1)
        assert_same_fit(model, expected, rtol=1e-10)


@pytest.mark.parametrize("labels", [np.full(272, -1), np.ones((272, 2))], ids=["labels", "shares"])
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_a_start_is_found_where_labels_say_nothing(init_params, labels):
    X, _ = data_sets.load("faithful")
    params = {"tol": 1e-8, "max_iter": 500, "init_params": init_params, "random_state": 0}
    model = GaussianMixture(2, **params).fit(X, labels=labels)
    assert len(X) * model.score(X) == pytest.approx(-1130.264, abs=1e-3)  # mclust's


# -- allowed responsibilities -----------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("params", [{"algorithm": "em"}, {"algorithm": "auto"}, {"assignment": "hard"}])
def test_one_hot_rows_are_labels(params, covariance_type):
    X, labels = three_groups()
    labels = partly_known(labels)
    expected = quietly(mixture(X, covariance_type, **params).fit, X, labels=labels)
    model = quietly(mixture(X, covariance_type, **params).fit, X, labels=naive.allowed(labels, 3))
    assert_same_fit(model, expected, rtol=1e-12)


@each_type
def test_one_hot_rows_are_labels_for_the_start(covariance_type):
    X, labels = three_groups()
    labels = partly_known(labels)
    params = {"covariance_type": covariance_type, "random_state": 0}
    expected = quietly(GaussianMixture(3, **params).fit, X, labels=labels)
    model = quietly(GaussianMixture(3, **params).fit, X, labels=naive.allowed(labels, 3))
    assert_same_fit(model, expected, rtol=1e-12)


@each_type
@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_rows_of_zeros_and_ones_forbid_components(assignment, covariance_type):
    X, _ = three_groups()
    shares = np.random.default_rng(5).integers(0, 2, size=(len(X), 3)).astype(float)
    shares[shares.sum(axis=1) == 0] = 1
    model = mixture(X, covariance_type, algorithm="em", assignment=assignment)
    assert_follows_the_textbook(model, X, shares=shares)


@each_type
def test_a_forbidden_component_gets_nothing_of_a_point(covariance_type):
    X, labels = three_groups(distance=20.0)
    shares = np.ones((len(X), 3))
    shares[:, 2] = labels == 2  # all others are forbidden to component 2, and their groups to one another
    shares[labels == 0, 1] = shares[labels == 1, 0] = 0
    model = quietly(GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit, X, labels=shares)
    weights, means, covariances = naive.m_step(X, np.eye(3)[labels], covariance_type, reg_covar=1e-6)
    for name, expected in (("weights_", weights), ("means_", means), ("covariances_", covariances)):
        assert_allclose(getattr(model, name), expected, rtol=1e-8, atol=1e-8, err_msg=name)


@each_type
@pytest.mark.parametrize("weighted", [False, True])
def test_soft_rows_against_textbook_em(weighted, covariance_type):
    X, _ = three_groups()
    shares = np.random.default_rng(5).gamma(0.5, size=(len(X), 3))  # that need not sum to 1
    weights = np.random.default_rng(3).exponential(size=len(X)) if weighted else None
    model = mixture(X, covariance_type, algorithm="em")
    assert_follows_the_textbook(model, X, shares=shares, sample_weight=weights)


@exhaustive
def test_rows_of_float32_and_strided_rows():
    X, _ = three_groups()
    shares = np.random.default_rng(5).integers(1, 8, size=(len(X), 3)) / 8
    expected = quietly(mixture(X, "full").fit, X, labels=shares)
    for variant in (shares.astype(np.float32), np.asfortranarray(shares), np.repeat(shares, 2, axis=0)[::2]):
        before = variant.copy()
        assert_same_fit(quietly(mixture(X, "full").fit, X, labels=variant), expected, rtol=0)
        assert_array_equal(variant, before)


@pytest.mark.parametrize("dtype", [bool, np.int64, np.uint8, np.float32])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_one_hot_rows_of_any_numbers_are_labels(covariance_type, dtype):
    X, labels = three_groups()
    expected = mixture(X, covariance_type).fit(X, labels=labels)
    rows = np.eye(3, dtype=dtype)[labels]
    for given in (rows, pd.DataFrame(rows), rows.tolist()):
        model = quietly(mixture(X, covariance_type).fit, X, labels=given)
        assert_allclose(model.means_, expected.means_, rtol=1e-12)
    halves = mixture(X, covariance_type).partial_fit(X[::2], labels=rows[::2])
    assert_allclose(halves.partial_fit(X[1::2], labels=rows[1::2]).means_, expected.means_, rtol=0.1)


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        (np.zeros(299, int), r"labels should have the shape \(300,\)"),
        (np.array(["a"] * 300), "labels give component 1 no point|components have names"),
        (["a", 1] * 150, "labels should be all integers or all words"),
        (np.full(300, np.nan), "labels should be integers"),
        (np.eye(2, dtype=int)[[0] * 300], "labels of two dimensions, .* should have the shape"),
        (np.zeros((300, 3), int), "each row should have one above 0, but row 0"),
        (np.ma.masked_less(np.arange(300) % 3, 1), r"labels: masked values in 100 rows, the first is row 0.*-1"),
        (np.full(300, 3), r"labels should be from 0 to n_components - 1 = 2, or -1"),
        (np.full(300, -2), r"labels should be from 0 to n_components - 1 = 2, or -1"),
        (np.ones((300, 2)), r"labels of two dimensions, .* should have the shape \(300, 3\)"),
        (np.r_[np.ones((7, 3)), np.zeros((1, 3)), np.ones((292, 3))], "each row should have one above 0, but row 7"),
        (np.r_[np.ones((7, 3)), np.full((293, 3), np.inf)], "finite.*row 7"),
    ],
)
@pytest.mark.parametrize("method", ["fit", "fit_predict", "partial_fit"])
def test_bad_labels(method, labels, match):
    X, _ = three_groups()
    model = quietly(mixture(X, "full").fit, X)
    means = model.means_
    with pytest.raises(ValueError, match=match):
        getattr(model, method)(X, labels=labels)
    assert model.means_ is means
    assert model.n_samples_seen_ == 300


def test_labels_that_leave_a_component_out():
    X, labels = three_groups()
    with pytest.raises(ValueError, match="labels give component 1 no point"):
        GaussianMixture(3).fit(X, labels=np.where(labels == 1, 2, labels))
    weights = np.where(labels == 1, 0.0, 1.0)
    with pytest.raises(ValueError, match="labels give component 1 no point"):
        GaussianMixture(3).fit(X, labels=labels, sample_weight=weights)


# -- hard assignment --------------------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("algorithm", ["auto", "em"])
def test_hard_assignment_against_textbook_classification_em(algorithm, covariance_type):
    X, labels = three_groups()
    model = mixture(X, covariance_type, algorithm=algorithm, assignment="hard")
    assert_follows_the_textbook(model, X)
    assert_follows_the_textbook(model, X, labels=partly_known(labels))


@each_type
@pytest.mark.parametrize("name", ["faithful", "iris", "wine", "scaled"])
def test_the_classification_likelihood_never_falls(name, covariance_type):
    X, n_components = data_sets.load(name)
    params = {"covariance_type": covariance_type, "assignment": "hard", "tol": 1e-12, "reg_covar": 0}
    model = quietly(GaussianMixture(n_components, random_state=0, **params).fit, X)
    assert_never_falls(model.lower_bounds_)
    assert model.converged_
    densities = naive.log_densities(X, model.weights_, model.means_, model.covariances_, covariance_type)
    assert model.lower_bound_ == pytest.approx(densities.max(axis=1).mean(), rel=1e-10)
    assert model.lower_bound_ < model.score(X)


def lloyd(family, X, centres, max_iter=300):
    """k-means: hard assignment with equal weights and equal variances, until the centres stay where they are."""
    source = ArraySource(X)
    for _ in range(max_iter):
        parameters = family.with_variances(centres, np.ones(X.shape[1]))
        before, centres = centres, source.accumulate(parameters, assignment=HARD).means
        if np.allclose(before, centres, rtol=1e-14, atol=0):
            break
    return centres, source.evaluate(parameters, kernels.labels, np.empty(len(X), np.int64))


@pytest.mark.parametrize(
    ("name", "covariance_type"),
    [
        *((name, "spherical") for name in ("faithful", "wine", "digits", "cancer")),
        *(("iris", t) for t in COVARIANCE_TYPES),
    ],
)
def test_k_means_is_hard_assignment_with_equal_variances(name, covariance_type):
    X, n_components = data_sets.load(name)
    seeds = X[np.random.default_rng(0).choice(len(X), n_components, replace=False)]
    expected = KMeans(n_components, init=seeds, n_init=1, algorithm="lloyd", tol=0).fit(X)
    centres, labels = lloyd(FAMILIES[covariance_type], X, seeds)
    assert_allclose(centres, expected.cluster_centers_, rtol=1e-10, atol=1e-10)
    assert_array_equal(labels, expected.labels_)


# -- stochastic assignment: the draws ---------------------------------------------------------------------------------


def drawn_components(problem, seed, *, labels=None, responsibilities=None, n_at_once=50):
    """The component that each point was drawn for.

    The points have powers of 2 for weights, some of them in each pass and 0 for the others, so that the components'
    masses tell which points each of them has.
    """
    n_samples, n_components = len(problem.X), len(problem.weights)
    chosen = np.full(n_samples, -1)
    source = ArraySource(problem.X)
    for first in range(0, n_samples, n_at_once):
        weights = np.zeros(n_samples)
        few = np.arange(first, min(first + n_at_once, n_samples))
        weights[few] = 2.0 ** np.arange(len(few))
        known = Annotations(weights, labels, responsibilities)
        drawn = Assignment("stochastic", seed)
        masses = source.accumulate(problem.parameters, annotations=known, assignment=drawn).mass
        assert masses.sum() == 2.0 ** len(few) - 1
        for k in range(n_components):
            assert masses[k] == int(masses[k])  # whole points
            chosen[few[[int(masses[k]) >> i & 1 == 1 for i in range(len(few))]]] = k
    return chosen


def split_mix(seed, number):
    """In [0, 1): the generator's output after so many others (Steele, Lea & Flood 2014, figure 17)."""
    z = (seed + (number + 1) * 0x9E3779B97F4A7C15) % 2**64
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return ((z ^ z >> 31) >> 11) / 2**53


def test_draws_are_the_generators_numbers():
    problem = make_problem(400, 2, 4, "full")
    seed = 2**63 + 12345
    _, responsibilities = naive.e_step(problem.X, *problem.mixture)
    numbers = np.array([split_mix(seed, i) for i in range(400)])
    expected = (np.cumsum(responsibilities, axis=1) <= numbers[:, None]).sum(axis=1)
    assert_array_equal(drawn_components(problem, seed=seed), expected)


def assert_frequencies(counts, probabilities, n):
    """Within 5 deviations of the binomial distribution."""
    expected, deviation = n * probabilities, np.sqrt(n * probabilities * (1 - probabilities))
    assert np.all(np.abs(counts - expected) <= 5 * deviation + 1e-9)


@each_type
def test_points_are_drawn_by_their_responsibilities(covariance_type):
    problem = make_problem(1, 3, 4, covariance_type)
    n = 40_000
    for place in np.random.default_rng(0).normal(size=(5, 3)) * 2:
        _, responsibilities = naive.e_step(place[None], *problem.mixture)
        source = ArraySource(np.tile(place, (n, 1)))
        statistics = source.accumulate(problem.parameters, assignment=Assignment("stochastic", 7))
        assert_array_equal(statistics.mass, np.round(statistics.mass))
        assert statistics.mass.sum() == n
        assert_frequencies(statistics.mass, responsibilities[0], n)


def test_a_drawn_point_counts_whole_for_one_component():
    problem = make_problem(200, 3, 4, "full")
    chosen = drawn_components(problem, seed=1)
    assert np.all(chosen >= 0)
    weights = np.random.default_rng(0).exponential(size=200)
    drawn = Assignment("stochastic", 1)
    statistics = ArraySource(problem.X).accumulate(
        problem.parameters, annotations=Annotations(weights), assignment=drawn
    )
    assert_allclose(statistics.mass, np.bincount(chosen, weights, minlength=4), rtol=1e-12)  # draws know no weights
    means = [np.average(problem.X[chosen == k], axis=0, weights=weights[chosen == k]) for k in range(4)]
    assert_allclose(statistics.means, means, rtol=1e-10, atol=1e-10)
    likelihoods, _ = naive.e_step(problem.X, *problem.mixture)
    assert statistics.log_likelihood == pytest.approx(weights @ likelihoods, rel=1e-12)


def test_draws_of_points_of_passes_and_of_seeds_are_independent():
    problem = make_problem(1000, 1, 2, "full")
    problem.X[:] = 0.0
    problem.weights[:], problem.means[:], problem.covariances[:] = 0.5, [[-1.0], [1.0]], 1.0
    drawn = Assignment("stochastic", 3)
    first, same, other, later = (
        drawn_components(problem, seed) for seed in (3, 3, 4, drawn.next_pass().seed)
    )  # a point has the same responsibilities, one half, whichever draw it is
    assert_array_equal(first, same)
    for one, two in ((first, other), (first, later), (first[:-1], first[1:]), (first[:-64], first[64:])):
        assert_frequencies(np.sum(one == two), np.float64(0.5), len(one))


def test_a_point_is_drawn_alike_however_a_pass_is_cut(monkeypatch):
    problem = make_problem(20_000, 5, 3, "full")
    drawn = Assignment("stochastic", 3)
    whole = ArraySource(problem.X).accumulate(problem.parameters, assignment=drawn)
    monkeypatch.setattr(cuts, "_FLOPS_PER_CALL", 1e6)
    parts = ArraySource(problem.X).accumulate(problem.parameters, assignment=drawn)
    assert_array_equal(parts.mass, whole.mass)
    assert_array_equal(parts.second, whole.second)


def test_draws_beside_labels_and_allowed_responsibilities():
    problem = make_problem(300, 3, 4, "full")
    labels = np.random.default_rng(0).integers(-1, 4, 300)
    chosen = drawn_components(problem, seed=2, labels=labels)
    assert_array_equal(chosen[labels >= 0], labels[labels >= 0])
    assert len(np.unique(chosen[labels < 0])) == 4
    shares = np.random.default_rng(1).integers(0, 2, (300, 4)).astype(float)
    shares[shares.sum(axis=1) == 0] = 1
    chosen = drawn_components(problem, seed=2, responsibilities=shares)
    assert np.all(shares[np.arange(300), chosen] == 1)


# -- stochastic assignment: the run -----------------------------------------------------------------------------------


@each_type
def test_the_same_draws_for_any_number_of_threads(covariance_type):
    X, _ = three_groups(30_000)
    one, two, other = (
        quietly(mixture(X, covariance_type, assignment="stochastic", random_state=seed, n_threads=n, max_iter=4).fit, X)
        for seed, n in ((0, 1), (0, 2), (1, 2))
    )
    for name in (*PARAMETERS, "lower_bounds_"):
        assert_array_equal(getattr(one, name), getattr(two, name))
    assert one.lower_bounds_[0] == other.lower_bounds_[0]  # of the start
    assert one.lower_bounds_[1] != other.lower_bounds_[1]


@each_type
def test_the_m_step_is_of_whole_points(covariance_type):
    X, _ = three_groups()
    model = mixture(X, covariance_type, assignment="stochastic", random_state=0, max_iter=2)
    quietly(model.fit, X)
    assert model.lower_bounds_[1] > model.lower_bounds_[0]  # so that the second mixture is kept
    counts = model.weights_ * len(X)
    assert_allclose(counts, np.round(counts), atol=1e-9)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@each_type
@pytest.mark.parametrize("n_init", [1, 3])
def test_the_highest_mixture_of_a_wandering_run_is_kept(n_init, covariance_type):
    X, _ = three_groups(distance=1.0)
    params = {"covariance_type": covariance_type, "assignment": "stochastic", "random_state": 0, "n_init": n_init}
    model = quietly(GaussianMixture(3, **params).fit, X)
    bounds = np.array(model.lower_bounds_)
    assert np.any(np.diff(bounds) < 0)  # it does wander
    assert model.lower_bound_ == bounds.max()
    assert bounds.argmax() < len(bounds) - 1  # and the last isn't the one
    assert model.score(X) == pytest.approx(model.lower_bound_, rel=1e-12)


def test_stochastic_em_finds_what_em_finds():
    for name in ("faithful", "iris"):
        X, n_components = data_sets.load(name)
        expected = GaussianMixture(n_components, random_state=0).fit(X)
        model = GaussianMixture(n_components, assignment="stochastic", random_state=0, max_iter=500).fit(X)
        assert model.lower_bound_ == pytest.approx(expected.lower_bound_, abs=0.02)


def test_a_wandering_run_ends_when_nothing_higher_has_come_for_long():
    X, _ = three_groups(distance=1.0)
    params = {"assignment": "stochastic", "random_state": 0}
    for tol in (1e-2, 1e-3):
        model = GaussianMixture(3, tol=tol, max_iter=1000, **params).fit(X)
        assert model.converged_
        assert 30 < model.n_iter_ < 1000
        assert model.lower_bound_ <= max(model.lower_bounds_[:-30]) + tol
        marks = [0]  # where the highest so far had risen by tol
        for i, bound in enumerate(model.lower_bounds_):
            if bound > model.lower_bounds_[marks[-1]] + tol:
                marks.append(i)
        assert all(later - before <= 30 for before, later in pairwise(marks))
        assert model.n_iter_ - 1 - marks[-1] == 30
    with pytest.warns(ConvergenceWarning):
        model = GaussianMixture(3, tol=1e-3, max_iter=30, **params).fit(X)
    assert (model.converged_, model.n_iter_) == (False, 30)
    assert Stochastic._PATIENCE == 30  # as the docstring has it


def test_a_wandering_run_without_tol_goes_on():
    X, _ = three_groups()
    model = quietly(mixture(X, "full", assignment="stochastic", random_state=0, tol=0, max_iter=80).fit, X)
    assert (model.converged_, model.n_iter_) == (False, 80)


def test_stochastic_assignment_with_labels_and_weights():
    X, labels = three_groups(distance=4.0)
    weights = np.random.default_rng(3).exponential(size=len(X))
    model = GaussianMixture(3, assignment="stochastic", random_state=0, max_iter=300)
    model.fit(X, sample_weight=weights, labels=partly_known(labels, share=0.1))
    assert np.mean(model.predict(X) == labels) > 0.97
    assert model.lower_bound_ == max(model.lower_bounds_)


# -- the integrated completed likelihood ------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("assignment", ["soft", "hard", "stochastic"])
def test_icl_is_bic_and_what_is_unsure_about_the_labels(assignment, covariance_type):
    X, _ = three_groups(distance=1.5)
    model = quietly(mixture(X, covariance_type, assignment=assignment, random_state=0).fit, X)
    _, responsibilities = naive.e_step(X, model.weights_, model.means_, model.covariances_, covariance_type)
    unsure = np.sum(np.log(responsibilities.max(axis=1)))
    assert model.icl(X) == pytest.approx(model.bic(X) - 2 * unsure, rel=1e-12)
    assert model.icl(X) > model.bic(X)


def test_icl_of_old_faithful_by_hand():
    X, _ = data_sets.load("faithful")
    model = GaussianMixture(2, random_state=0).fit(X)
    one, two = (
        weight * multivariate_normal(mean, covariance).pdf(X)
        for weight, mean, covariance in zip(model.weights_, model.means_, model.covariances_, strict=True)
    )
    n_free = 1 + 2 * 2 + 2 * 3
    assert model.bic(X) == pytest.approx(-2 * np.log(one + two).sum() + n_free * np.log(272), rel=1e-12)
    expected = -2 * np.log(np.maximum(one, two)).sum() + n_free * np.log(272)
    assert model.icl(X) == pytest.approx(expected, rel=1e-12)


def test_icl_prefers_components_that_do_not_overlap():
    """One flat-topped group: two Gaussians describe it better, but no point is sure of its own."""
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(-1.2, 1, 500), rng.normal(1.2, 1, 500), rng.normal(20, 1, 500)])[:, None]
    models = [GaussianMixture(k, random_state=0, tol=1e-4, max_iter=500).fit(X) for k in (1, 2, 3, 4)]
    assert np.argmin([model.bic(X) for model in models]) + 1 == 3
    assert np.argmin([model.icl(X) for model in models]) + 1 == 2
