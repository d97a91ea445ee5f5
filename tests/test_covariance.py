"""The families: statistics to parameters, parameters to kernel inputs and back."""

import warnings

import numpy as np
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose, assert_array_equal

from fastem import DegenerateFitWarning, GaussianMixture
from fastem.model.families import FAMILIES
from fastem.model.parameters import CollapsedComponent
from fastem.sources import ArraySource
from fastem.sources.annotations import Annotations

from . import naive
from .data_sets import COVARIANCE_TYPES
from .problems import make_problem


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("size", [(300, 1, 1), (300, 1, 3), (500, 3, 1), (500, 3, 4), (800, 13, 2)], ids=str)
@pytest.mark.parametrize("reg_covar", [0.0, 0.5])
def test_m_step(size, covariance_type, reg_covar):
    problem = make_problem(*size, covariance_type)
    family = FAMILIES[covariance_type]
    _, responsibilities = naive.e_step(problem.X, *problem.mixture)
    expected = naive.m_step(problem.X, responsibilities, covariance_type, reg_covar)
    result = family.maximize(ArraySource(problem.X).accumulate(problem.parameters), reg_covar)
    for value, reference in zip((result.weights, result.means, result.covariances), expected, strict=True):
        assert_allclose(value, reference, rtol=1e-11, atol=1e-12)
    matrices = naive.matrices(result.covariances, covariance_type, *result.means.shape)
    precisions = naive.matrices(result.precisions(), covariance_type, *result.means.shape)
    assert_allclose(matrices @ precisions, np.tile(np.eye(size[1]), (size[2], 1, 1)), atol=1e-11)
    assert_allclose(family.matrices(result.covariances, *result.means.shape), matrices)
    assert result.covariances.shape == family.shape(size[2], size[1])


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_factors_are_scikit_learns(covariance_type):
    problem = make_problem(50, 4, 3, covariance_type)
    factors = problem.parameters.precisions_cholesky
    if covariance_type in ("full", "tied"):
        assert_allclose(factors, np.triu(factors), atol=0)
    again = FAMILIES[covariance_type].with_precisions(problem.weights, problem.means, problem.parameters.precisions())
    assert_allclose(again.precisions_cholesky, factors, rtol=1e-10, atol=1e-12)
    assert_allclose(again.covariances, problem.covariances, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_number_of_free_parameters(covariance_type):
    for n_features, n_components in ((1, 1), (2, 3), (7, 5)):
        problem = make_problem(50, n_features, n_components, covariance_type)
        reference = sklearn.mixture.GaussianMixture(n_components, covariance_type=covariance_type)
        reference.means_ = problem.means
        assert problem.parameters.n_free == reference._n_parameters()


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_axis_aligned(covariance_type):
    family = FAMILIES[covariance_type]
    covariances = family.axis_aligned(np.full(3, 2.0), 4)
    assert covariances.shape == family.shape(4, 3)
    assert_allclose(naive.matrices(covariances, covariance_type, 4, 3), np.tile(2 * np.eye(3), (4, 1, 1)))
    if covariance_type == "spherical":
        with pytest.raises(ValueError, match="one variance"):
            family.axis_aligned(np.array([1.0, 2.0]), 4)
    else:
        variances = np.array([1.0, 2.0, 3.0])
        matrices = naive.matrices(family.axis_aligned(variances, 4), covariance_type, 4, 3)
        assert_allclose(matrices, np.tile(np.diag(variances), (4, 1, 1)))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_component_without_points_has_collapsed(covariance_type):
    problem = make_problem(100, 2, 3, covariance_type)
    labels = np.repeat([0, 2], 50)
    statistics = ArraySource(problem.X).accumulate(
        problem.parameters, annotations=Annotations(labels=labels, e_step=False)
    )
    family = FAMILIES[covariance_type]
    if covariance_type == "tied":
        family.maximize(statistics, 0.0)  # the others have points enough
        constant = np.c_[problem.X[:, 0], np.full(100, 7.0)]
        means = statistics.means * [1, 0] + [0, 7]
        statistics = ArraySource(constant).accumulate(
            problem.parameters, centres=means, annotations=Annotations(labels=labels, e_step=False), exact=True
        )
    with pytest.raises(CollapsedComponent) as collapse:
        family.maximize(statistics, 0.0)
    assert collapse.value.component == (None if covariance_type == "tied" else 1)
    family.maximize(statistics, 1e-6)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_tight_groups_far_apart_keep_their_variance(covariance_type):
    """Moments about a common centre, or about a mean far from the new one, would have nothing left of it."""
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(400, 2))
    labels = np.arange(400) % 2
    X = 1e-3 * noise + np.array([[0.0, 0.0], [1e6, 1e6]])[labels]
    family = FAMILIES[covariance_type]
    start = family.with_variances(np.array([[1e3, 0.0], [1e6, 0.0]]), np.ones(2))
    result = family.maximize(ArraySource(X).e_step(start), 0.0)
    expected = naive.m_step(1e-3 * noise, np.eye(2)[labels], covariance_type)[2]
    # the coordinates themselves are rounded to 1e6 * 2**-53, a ten-millionth of the deviation
    assert_allclose(result.covariances, expected, rtol=1e-5, atol=1e-11)


FILLED = {
    "a third cluster": lambda X, value: np.r_[X, np.full((6, 2), value)],
    "a filled column": lambda X, value: np.where((np.arange(400) % 40 == 7)[:, None] & [False, True], value, X),
    "one point": lambda X, value: np.where((np.arange(400) == 7)[:, None] & [False, True], -value, X),
}


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("algorithm", ["auto", "em"])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("value", [1e10, 1e16, 1e20])
@pytest.mark.parametrize("name", FILLED)
def test_two_groups_are_found_beside_fill_values(name, value, dtype, algorithm, covariance_type):
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    near = rng.normal(size=(400, 2)) + 12.0 * labels[:, None] * [1, 0]
    X = FILLED[name](near, value).astype(dtype)
    model = GaussianMixture(3, covariance_type=covariance_type, algorithm=algorithm, random_state=0)
    with warnings.catch_warnings(action="ignore", category=DegenerateFitWarning):
        model.fit(X)
    usual = np.abs(X[:400]).max(axis=1) < 100
    _, means, covariances = naive.m_step(near[usual], np.eye(2)[labels[usual]], covariance_type)
    order = np.argsort(np.where(np.abs(model.means_).max(axis=1) < 100, model.means_[:, 0], np.inf))
    assert_allclose(model.means_[order[:2]], means, atol=1e-3)
    variances = FAMILIES[covariance_type].variances(model.covariances_, 3, 2)[order[:2]]
    expected = FAMILIES[covariance_type].variances(covariances, 2, 2)
    assert_allclose(variances, expected, rtol=0.3 if covariance_type == "tied" else 1e-3)  # pooled with the third's
    assert (model.predict(X[:400])[usual] == order[labels[usual]]).mean() > 0.99


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("distance", [1e8, 1e18, 1e20])
def test_components_that_begin_together_are_seen_apart(distance, covariance_type):
    """The variance of points near 0 shrinks in one step by as many digits as there are, from the far ones' distance."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    X[300:, 0] += distance
    family = FAMILIES[covariance_type]
    mixture = family.with_variances(np.array([[0.1, 0], [0.9, 0]]) * distance, np.full(2, distance**2 / 4))
    bounds = []
    for _ in range(6):
        statistics = ArraySource(X).e_step(mixture)
        bounds.append(statistics.lower_bound)
        mixture = family.maximize(statistics, 1e-6)
    assert (np.diff(bounds) >= -1e-12).all()
    expected = naive.m_step(X[:300], np.ones((300, 1)), covariance_type, 1e-6)
    assert_allclose(mixture.means[0], expected[1][0], rtol=1e-9)
    if covariance_type != "tied":
        assert_allclose(mixture.covariances[0], expected[2][0], rtol=1e-9)
    assert_allclose(mixture.weights, [0.75, 0.25], rtol=1e-9)


def test_many_components_far_apart_need_no_pruning():
    rng = np.random.default_rng(0)
    means = np.r_[rng.uniform(0, 50, (40, 2)), [[1e15, 0.0]]]
    weights = np.full(41, 1 / 41)
    model = GaussianMixture.from_parameters(weights, means, np.ones((41, 2)), covariance_type="diag")
    X = rng.uniform(0, 50, (3000, 2))
    near = naive.log_densities(X, weights[:40], means[:40], np.ones((40, 2)), "diag")
    assert_allclose(model.score_samples(X), naive.log_likelihoods(near), rtol=1e-12)
    assert_array_equal(model.predict(X), near.argmax(axis=1))


def test_a_stream_beside_fill_values():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 2))
    X[::20, 1] = 1e19
    model = GaussianMixture(2, random_state=0)
    with warnings.catch_warnings(action="ignore", category=DegenerateFitWarning):
        for start in range(0, 4000, 400):
            model.partial_fit(X[start : start + 400])
    near = int(np.argmin(np.abs(model.means_[:, 1])))
    assert_allclose(model.means_[near], 0, atol=0.1)
    assert_allclose(model.covariances_[near], np.eye(2), atol=0.1)
    assert_allclose(model.weights_[near], 0.95, rtol=1e-6)


@pytest.mark.parametrize("n_features", [256, 257, 400])
def test_long_triangles(n_features):
    root = np.random.default_rng(0).normal(size=(2, n_features, n_features))
    covariances = root @ root.transpose(0, 2, 1) / n_features + np.eye(n_features)
    factors = FAMILIES["full"].precisions_cholesky(covariances)
    assert_allclose(factors, np.triu(factors), atol=0)
    assert_allclose(factors @ factors.transpose(0, 2, 1) @ covariances, [np.eye(n_features)] * 2, atol=1e-12)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_fewer_points_than_many_features_are_not_searched(covariance_type):
    X = np.random.default_rng(1).normal(size=(30, 90))
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0)
    with pytest.warns(DegenerateFitWarning):
        model.fit(X)
    assert [stage.name for stage in model.fit_report_.stages] == ["all"]
    other = sklearn.mixture.GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    assert model.lower_bound_ == pytest.approx(other.lower_bound_, rel=1e-8)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize(
    ("deviations", "distance", "is_single"),
    [
        ((1.0, 1.0), 600.0, True),  # the terms of z add up to 2**10 at 721 deviations from the origin
        ((1.0, 1.0), 800.0, False),
        ((1e11, 1e11), 1.0, True),
        ((1e-11, 1e-11), 1.0, True),
        ((1.0, 1e13), 1.0, False),
        ((1.0, 1e-13), 1.0, False),
    ],
)
def test_what_float32_can_tell_apart(deviations, distance, is_single, covariance_type):
    """Two components that far on either side of their centre, in deviations."""
    if covariance_type == "spherical" and deviations[0] != deviations[1]:
        deviations = deviations[1], deviations[1]
    variances = np.square(deviations)
    means = distance * np.outer([-1.0, 1.0], deviations) * [1.0, 0.0]
    mixture = FAMILIES[covariance_type].with_variances(means, variances)
    for single, dtype in ((True, np.float32 if is_single else np.float64), (False, np.float64)):
        assert mixture.kernel_inputs(single=single).bias.dtype == dtype
