"""One component moved to where the fit is worse: the moves, and the optima that searches find by them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.stats import chi2

from fastem import GaussianMixture
from fastem.fitting import relocation
from fastem.model import reduction
from fastem.sources import ArraySource

from . import data_sets, naive
from .data_sets import COVARIANCE_TYPES
from .grids import exhaustive, grid
from .problems import make_problem, three_groups

each_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)


# -- moves ------------------------------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("seed", range(3))
def test_merging_one_pair_is_the_first_step_of_merging(seed, covariance_type):
    parameters = make_problem(10, 3, 6, covariance_type, seed).parameters
    one, merged = reduction.without_one(parameters), reduction.merged(parameters, 5)
    for name in ("weights", "means", "covariances", "precisions_cholesky"):
        assert_allclose(getattr(one, name), getattr(merged, name), rtol=1e-13)
    assert not np.allclose(reduction.without_one(parameters, 1).means, one.means)


@each_type
def test_splitting_one_leaves_the_others_as_they_are(covariance_type):
    problem = make_problem(10, 3, 4, covariance_type)
    result = reduction.split_one(problem.parameters, 2, np.random.RandomState(0))
    others = [0, 1, 3]
    assert_allclose(result.weights[others], problem.weights[others])
    assert_allclose(result.means[others], problem.means[others])
    assert_allclose(result.weights[[2, 4]], problem.weights[2] / 2)
    assert_allclose(result.means[[2, 4]].mean(axis=0), problem.means[2])
    all_halves = reduction.split(problem.parameters, np.random.RandomState(0))
    assert_allclose(result.means[[2, 4]], all_halves.means[[2, 6]])
    found, halves = (
        naive.matrices(each.covariances, covariance_type, *each.means.shape) for each in (result, all_halves)
    )
    assert_allclose(found[[2, 4]], halves[[2, 6]])
    assert_allclose(found[others], naive.matrices(problem.covariances, covariance_type, 4, 3)[others])


@each_type
def test_a_further_component_has_the_usual_covariance(covariance_type):
    problem = make_problem(10, 3, 4, covariance_type)
    result = reduction.with_component(problem.parameters, np.array([5.0, 6.0, 7.0]), 0.2)
    assert_allclose(result.weights, np.r_[0.8 * problem.weights, 0.2])
    assert_allclose(result.means, np.vstack([problem.means, [5, 6, 7]]))
    found = naive.matrices(result.covariances, covariance_type, 5, 3)
    before = naive.matrices(problem.covariances, covariance_type, 4, 3)
    assert_allclose(found[:4], before)
    assert_allclose(found[4], np.einsum("k,kij->ij", problem.weights, before))


@each_type
def test_no_component_is_moved_to_a_mixtures_own_points(covariance_type):
    for seed in range(20):
        problem = make_problem(10, 3, 4, covariance_type, seed)
        model = GaussianMixture.from_parameters(
            problem.weights, problem.means, problem.covariances, covariance_type=covariance_type, random_state=seed
        )
        X, _ = model.sample(2000)
        assert relocation.reseeded(problem.parameters, ArraySource(X), np.random.RandomState(seed)) is None


@each_type
@pytest.mark.parametrize("n_features", [1, 3, 8])
def test_a_component_is_moved_to_a_crowd_that_none_fits(n_features, covariance_type):
    problem = make_problem(10, n_features, 4, covariance_type)
    model = GaussianMixture.from_parameters(
        problem.weights, problem.means, problem.covariances, covariance_type=covariance_type, random_state=0
    )
    X, _ = model.sample(3000)
    rng = np.random.default_rng(0)
    crowd = 60 + 0.3 * rng.normal(size=(40, n_features))
    stray = rng.uniform(-500, -100, size=(15, n_features))  # farther away, but each by itself
    points = ArraySource(np.vstack([X, crowd, stray]))
    for seed in range(5):
        start = relocation.reseeded(problem.parameters, points, np.random.RandomState(seed))
        assert start.means.shape == problem.means.shape
        assert np.abs(start.means - 60).max(axis=1).min() < 1


def test_how_far_a_point_is_from_its_component():
    """Of components far apart: half of its squared distance, over the number of features."""
    problem = make_problem(200, 3, 2, "full")
    problem.means = problem.means + np.array([[0, 0, 0], [200, 0, 0]])
    problem.X[:100] = problem.means[0] + np.random.default_rng(0).normal(size=(100, 3))
    problem.X[100:] = problem.means[1] + 3 * np.random.default_rng(1).normal(size=(100, 3))
    owner = np.repeat([0, 1], 100)
    offsets = problem.X - problem.means[owner]
    squares = np.einsum("ni,nij,nj->n", offsets, np.linalg.inv(problem.covariances)[owner], offsets)
    misfit, labels = relocation._misfit(problem.parameters, ArraySource(problem.X))
    assert_allclose(misfit, (squares - 3) / 2, atol=1e-9)
    assert_array_equal(labels, owner)
    assert chi2.sf(squares.max(), 3) < 1e-3  # far ones are among them


# -- what searches find by them -------------------------------------------------------------------------------------


@grid(("n_features", "share"), [(1, 0.003), (3, 0.001), (6, 0.002)], quick=[(3, 0.001)])
@grid("covariance_type", ["full", "diag"], quick=["full"])
def test_a_rare_group_that_the_first_sample_lacks_is_found(covariance_type, n_features, share):
    rng = np.random.default_rng(1)
    n_samples, n_rare = 60_000, int(60_000 * share)
    groups = rng.integers(2, size=n_samples)
    X = rng.normal(size=(n_samples, n_features)) + 8.0 * groups[:, None]
    X[:n_rare] = 30 + 0.5 * rng.normal(size=(n_rare, n_features))
    groups[:n_rare] = 2
    order = rng.permutation(n_samples)
    truth = GaussianMixture(3, covariance_type=covariance_type).fit(X[order], labels=groups[order]).score(X)
    for seed in range(3):
        model = GaussianMixture(3, covariance_type=covariance_type, random_state=seed).fit(X[order])
        assert model.score(X) >= truth - 1e-4
        assert model.weights_.min() == pytest.approx(share, rel=0.05)


@each_type
@grid("name", ["digits", "iris"], quick=["iris"])
def test_a_larger_n_init_never_ends_lower(name, covariance_type):
    X, n_components = data_sets.load(name)
    params = {"covariance_type": covariance_type, "random_state": 0, "n_threads": 1}
    bounds = [GaussianMixture(n_components, n_init=n, **params).fit(X).lower_bound_ for n in (1, 2, 4)]
    assert bounds == sorted(bounds)


@exhaustive
def test_nor_where_starts_are_searched_for_on_samples():
    rng = np.random.default_rng(0)
    means = 4 * rng.normal(size=(8, 3))
    X = means[rng.integers(8, size=60_000)] + rng.normal(size=(60_000, 3)) * rng.uniform(0.5, 2, size=3)
    for seed in range(2):
        models = [GaussianMixture(8, random_state=seed, n_init=n).fit(X) for n in (1, 2, 4)]
        assert models[0].fit_report_.stages[0].n_samples < len(X)
        bounds = [model.lower_bound_ for model in models]
        assert bounds == sorted(bounds)


@exhaustive
def test_more_starts_find_what_one_misses():
    """Twenty unequal clusters: a single search leaves some seeds with two of them in one component."""
    rng = np.random.default_rng(4)
    labels = rng.choice(20, size=3000, p=rng.dirichlet(np.full(20, 2.0)))
    X = np.c_[5.0 * labels, rng.permutation(20)[labels]] + rng.normal(size=(3000, 2))
    truth = GaussianMixture(20, random_state=0).fit(X, labels=labels).score(X)
    bounds = np.array(
        [[GaussianMixture(20, random_state=seed, n_init=n).fit(X).lower_bound_ for n in (1, 10)] for seed in range(4)]
    )
    assert (bounds[:, 0] < truth).any()
    assert (bounds[:, 1] >= truth).all()


def test_who_listens_sees_the_fit_that_is_kept(capsys):
    X, _ = three_groups(300)
    silent = GaussianMixture(4, random_state=0, n_init=3).fit(X)
    told = GaussianMixture(4, random_state=0, n_init=3, verbose=1).fit(X)
    assert told.lower_bounds_ == silent.lower_bounds_
    assert capsys.readouterr().out.count("Initialization converged.") == 1
