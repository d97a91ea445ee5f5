"""The families: statistics to parameters, parameters to kernel inputs and back."""

import numpy as np
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose

from fastem.covariance import FAMILIES, CollapsedComponent
from fastem.known import Known
from fastem.sources import ArraySource

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
    statistics = ArraySource(problem.X).accumulate(problem.parameters, known=Known(labels=labels, e_step=False))
    family = FAMILIES[covariance_type]
    if covariance_type == "tied":
        family.maximize(statistics, 0.0)  # the others have points enough
        constant = np.c_[problem.X[:, 0], np.full(100, 7.0)]
        means = statistics.means * [1, 0] + [0, 7]
        statistics = ArraySource(constant).accumulate(
            problem.parameters, centres=means, known=Known(labels=labels, e_step=False), exact=True
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
