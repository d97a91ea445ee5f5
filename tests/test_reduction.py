"""Mixtures with fewer components and with more, beside plain NumPy."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastem.model import reduction
from fastem.model.families import FAMILIES
from fastem.model.parameters import Parameters

from . import naive
from .data_sets import COVARIANCE_TYPES
from .problems import make_problem

each_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


def moments_of_all(weights, means, matrices):
    """Mean and covariance of a mixture."""
    mean = weights @ means
    offsets = means - mean
    return mean, np.einsum("k,kij->ij", weights, matrices) + np.einsum("k,ki,kj->ij", weights, offsets, offsets)


def union(i, j, weights, means, matrices, covariance_type):
    """Weight, mean and covariance matrix of two components together, in the family's shape."""
    pair = [i, j]
    weight = weights[pair].sum()
    mean, covariance = moments_of_all(weights[pair] / weight, means[pair], matrices[pair])
    if covariance_type == "diag":
        covariance = np.diag(np.diag(covariance))
    if covariance_type == "spherical":
        covariance = np.eye(len(mean)) * np.trace(covariance) / len(mean)
    return weight, mean, covariance


def naive_loss(i, j, weights, means, matrices, covariance_type, precision):
    """Runnalls 2007, eq. 16; of tied components the rise of the scatter within, by the first precision (Ward 1963)."""
    if covariance_type == "tied":
        offset = means[i] - means[j]
        return weights[i] * weights[j] / (weights[i] + weights[j]) * (offset @ precision @ offset)
    weight, _, covariance = union(i, j, weights, means, matrices, covariance_type)
    volumes = np.linalg.slogdet(covariance)[1], *np.linalg.slogdet(matrices[[i, j]])[1]
    return weight * volumes[0] - weights[i] * volumes[1] - weights[j] * volumes[2]


def naive_merged(weights, means, covariances, covariance_type, n_components):
    """The pair that loses least is merged, again and again."""
    matrices = naive.matrices(covariances, covariance_type, *means.shape).copy()
    precision = np.linalg.inv(matrices[0])
    while len(weights) > n_components:
        pairs = [(i, j) for i in range(len(weights)) for j in range(i + 1, len(weights))]
        i, j = min(pairs, key=lambda pair: naive_loss(*pair, weights, means, matrices, covariance_type, precision))
        weight, mean, covariance = union(i, j, weights, means, matrices, covariance_type)
        if covariance_type == "tied":
            offset = means[i] - means[j]
            matrices = matrices + weights[i] * weights[j] / weight * np.outer(offset, offset)
        weights, means, matrices = weights.copy(), means.copy(), matrices.copy()
        weights[i], means[i] = weight, mean
        if covariance_type != "tied":
            matrices[i] = covariance
        weights, means, matrices = (np.delete(values, j, axis=0) for values in (weights, means, matrices))
    return weights, means, matrices


@each_type
@pytest.mark.parametrize("n_components", [1, 3, 7, 8])
@pytest.mark.parametrize("seed", range(5))
def test_merged(seed, n_components, covariance_type):
    problem = make_problem(10, 3, 8, covariance_type, seed)
    problem.weights = np.random.default_rng(seed).dirichlet(np.ones(8))
    before = problem.parameters.covariances.copy()
    result = reduction.merged(problem.parameters, n_components)
    weights, means, matrices = naive_merged(*problem.mixture, n_components)
    assert_allclose(result.weights, weights, rtol=1e-12)
    assert_allclose(result.means, means, rtol=1e-10, atol=1e-12)
    found = naive.matrices(result.covariances, covariance_type, *result.means.shape)
    assert_allclose(found, matrices, rtol=1e-10, atol=1e-12)
    inverses = naive.matrices(result.precisions(), covariance_type, *result.means.shape)
    assert_allclose(found @ inverses, np.tile(np.eye(3), (n_components, 1, 1)), atol=1e-10)
    np.testing.assert_array_equal(problem.parameters.covariances, before)


def test_components_named_first_are_merged_first():
    """A component of few points far from others costs most to merge. Its union counts as an ordinary one."""
    means = np.array([[0.0, 0.0], [1.0, 0.0], [5.0, 0.0], [9.0, 0.0]])
    variances = np.array([[1.0, 1.0], [1.0, 1.0], [1.0, 1.0], [1e-9, 1e-9]])
    mixture = FAMILIES["diag"].with_precisions(np.array([0.3, 0.3, 0.35, 0.05]), means, 1 / variances)
    assert_allclose(reduction.merged(mixture, 3).weights, [0.6, 0.35, 0.05])
    assert_allclose(reduction.merged(mixture, 3, first=[3]).weights, [0.3, 0.3, 0.4])
    assert_allclose(reduction.merged(mixture, 2, first=[3]).weights, [0.6, 0.4])


@each_type
def test_split(covariance_type):
    problem = make_problem(10, 3, 4, covariance_type)
    parameters = problem.parameters
    result = reduction.split(parameters, np.random.RandomState(0))
    assert_allclose(result.weights, np.tile(problem.weights, 2) / 2)
    offsets = result.means[:4] - problem.means
    assert_allclose(result.means[4:], problem.means - offsets)
    assert_allclose(parameters.squared_lengths(offsets), 0.8**2)
    found = naive.matrices(result.covariances, covariance_type, 8, 3)
    before = naive.matrices(problem.covariances, covariance_type, 4, 3)
    if covariance_type == "tied":  # one covariance can't give all of them up their own directions
        assert_allclose(found[0], before[0])
        return
    outer = offsets[:, :, None] * offsets[:, None, :]
    for k in range(8):  # each pair of halves has the moments of the whole, as far as the family can say
        whole = before[k % 4] - outer[k % 4]
        if covariance_type == "diag":
            whole = np.diag(np.diag(whole))
        if covariance_type == "spherical":
            whole = np.eye(3) * np.trace(whole) / 3
        assert_allclose(found[k], whole, rtol=1e-10, atol=1e-12)


@each_type
def test_halves_come_together_again(covariance_type):
    before = make_problem(1, 3, 5, covariance_type).parameters
    apart = Parameters(before.family, before.weights, 20 * before.means, before.covariances, before.precisions_cholesky)
    halves = reduction.split(apart, np.random.RandomState(0))
    assert halves.means.shape == (10, 3) and halves.weights.shape == (10,)
    assert halves.weights.sum() == pytest.approx(1)
    again = reduction.merged(halves, 5)
    assert_allclose(again.weights, apart.weights)
    assert_allclose(again.means, apart.means)
    if covariance_type in ("full", "diag"):
        assert_allclose(again.covariances, apart.covariances)
