"""Quasi-Newton steps: their coordinates and gradients, their guard, and how many passes they save."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from sklearn.datasets import load_sample_image
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture
from fastem.fitting import em
from fastem.fitting.acceleration import Extrapolation, QuasiNewton
from fastem.fitting.plain import best_start
from fastem.model.coordinates import Coordinates
from fastem.model.families import FAMILIES
from fastem.model.parameters import Parameters
from fastem.sources import ArraySource

from . import data_sets, naive
from .grids import grid
from .problems import make_problem

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES


def mixture(covariance_type, n_features=3, n_components=4, seed=0, n_samples=200):
    """Points, and a mixture that is not theirs."""
    problem = make_problem(n_samples, n_features, n_components, covariance_type, seed=seed)
    family = FAMILIES[covariance_type]
    factors = family.precisions_cholesky(problem.covariances)
    return problem.X, Parameters(family, problem.weights, problem.means, problem.covariances, factors)


def arrays(parameters):
    return parameters.weights, parameters.means, parameters.precisions_cholesky


def mean_log_likelihood(X, parameters):
    """By the textbook."""
    mixture = parameters.weights, parameters.means, parameters.covariances, parameters.family.name
    return naive.log_likelihoods(naive.log_densities(X, *mixture)).mean()


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n_features=st.integers(1, 4), n_components=st.integers(1, 4))
def test_every_point_of_the_coordinates_is_a_mixture_and_comes_back(covariance_type, seed, n_features, n_components):
    _, reference = mixture(covariance_type, n_features, n_components, seed=seed % 1000)
    coordinates = Coordinates(reference)
    assert_allclose(coordinates.encode(*arrays(reference)), 0, atol=1e-12)
    point = np.random.default_rng(seed).normal(size=coordinates.deviations.size) * coordinates.deviations
    decoded = coordinates.decode(point)
    assert decoded.weights.sum() == pytest.approx(1)
    inverse = decoded.precisions()
    for covariance, precision in zip(
        decoded.family.matrices(decoded.covariances, n_components, n_features),
        decoded.family.matrices(inverse, n_components, n_features),
        strict=True,
    ):
        assert_allclose(covariance @ precision, np.eye(n_features), atol=1e-6)
    back = coordinates.encode(*arrays(decoded))
    # Weights come back up to their normalisation, which shifts every log-weight alike.
    root = coordinates.deviations[:n_components]
    shift = ((point - back)[:n_components] / root).mean()
    back[:n_components] += shift * root
    assert_allclose(back, point, atol=1e-8 * max(1, np.abs(point).max()))


@pytest.mark.parametrize("at_reference", [True, False])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_gradient_is_that_of_the_log_likelihood(covariance_type, at_reference):
    X, reference = mixture(covariance_type)
    coordinates = Coordinates(reference)
    rng = np.random.default_rng(1)
    point = np.zeros(coordinates.deviations.size)
    if not at_reference:
        point = 0.3 * rng.normal(size=point.size) * coordinates.deviations
    parameters = coordinates.decode(point)
    successor = parameters.family.maximize(ArraySource(X).e_step(parameters), 0.0)
    new = successor.weights, successor.means, successor.covariances
    gradient = coordinates.gradient(*arrays(parameters), new)
    step = 1e-5
    for i in range(point.size):
        ahead, behind = point.copy(), point.copy()
        ahead[i] += step
        behind[i] -= step
        slope = (
            mean_log_likelihood(X, coordinates.decode(ahead)) - mean_log_likelihood(X, coordinates.decode(behind))
        ) / (2 * step)
        assert gradient[i] == pytest.approx(slope, abs=1e-7, rel=1e-5)


def test_many_mixtures_are_encoded_at_once():
    for covariance_type in COVARIANCE_TYPES:
        X, reference = mixture(covariance_type)
        others = [mixture(covariance_type, seed=seed)[1] for seed in (1, 2, 3)]
        source = ArraySource(X)
        successors = [other.family.maximize(source.e_step(other), 1e-6) for other in others]
        stacked = [np.stack(each) for each in zip(*map(arrays, others), strict=True)]
        new = [(s.weights, s.means, s.covariances) for s in successors]
        stacked_new = [np.stack(each) for each in zip(*new, strict=True)]
        coordinates = Coordinates(reference)
        points, gradients = coordinates.encode(*stacked), coordinates.gradient(*stacked, stacked_new)
        for i, other in enumerate(others):
            assert_allclose(points[i], coordinates.encode(*arrays(other)), rtol=1e-12)
            assert_allclose(gradients[i], coordinates.gradient(*arrays(other), new[i]), rtol=1e-9, atol=1e-12)


class Misled(QuasiNewton):
    """Proposes nonsense after every pass."""

    def __init__(self, proposal):
        super().__init__(0.0)
        self.proposal = proposal

    def _propose(self, parameters, successor):
        super()._propose(parameters, successor)
        self._was_cut = False
        return self.proposal


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_step_that_leads_lower_costs_one_pass_and_changes_nothing(covariance_type):
    X, start = mixture(covariance_type)
    nonsense = Parameters(start.family, start.weights, start.means + 50, start.covariances, start.precisions_cholesky)
    few = em.Settings(4, tol=0, max_iter=8)
    plain = em.run(ArraySource(X), start, few)
    misled = em.run(ArraySource(X), start, few, steps=Misled(nonsense))
    assert misled.lower_bounds == plain.lower_bounds
    assert misled.n_rejected == 7
    assert misled.kinds == ["plain"] * 8
    assert misled.report.n_passes == 15
    np.testing.assert_array_equal(misled.parameters.means, plain.parameters.means)


def test_a_step_that_collapses_a_component_is_undone():
    X, start = mixture("full", n_samples=60)
    far = start.means.copy()
    far[0] += 1e6
    nonsense = Parameters(start.family, start.weights, far, start.covariances, start.precisions_cholesky)
    few = em.Settings(4, tol=0, max_iter=5, reg_covar=0.0)
    misled = em.run(ArraySource(X), start, few, steps=Misled(nonsense))
    assert misled.lower_bounds == em.run(ArraySource(X), start, few).lower_bounds


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("name", data_sets.NAMES)
def test_the_trace_never_falls_and_ends_no_lower_than_em(name, covariance_type):
    X, n_components = data_sets.load(name)
    start = data_sets.start(X, n_components, covariance_type)
    family = FAMILIES[covariance_type]
    first = family.with_precisions(start["weights_init"], start["means_init"], start["precisions_init"])
    rules = em.Settings(n_components, tol=1e-7, max_iter=1000)
    accelerated = em.run(ArraySource(X), first, rules, steps=QuasiNewton(rules.reg_covar))
    bounds = np.array(accelerated.lower_bounds)
    assert np.all(np.diff(bounds) >= -1e-12 * np.abs(bounds[1:]))
    assert accelerated.converged
    assert accelerated.remaining_gain < rules.tol
    # scikit-learn's rule too, but where reg_covar makes EM itself lead lower
    assert bounds[-1] - bounds[-2] < rules.tol or accelerated.remaining_gain == 0.0
    assert "accelerated" in accelerated.kinds or name == "cancer"  # whose variances are near reg_covar


def hard(name):
    """(X, K, covariance type, seed of the start): EM needs hundreds of passes."""
    rng = np.random.default_rng(0)
    return {
        "overlapping by half": lambda: (
            rng.normal(size=(5000, 2)) + (rng.uniform(size=(5000, 1)) < 0.5) * [1.2, 0], 2, "full", 0
        ),
        "faithful, K=5": lambda: (data_sets.load("faithful")[0], 5, "full", 0),
        "pixels, K=32": lambda: (
            load_sample_image("china.jpg").reshape(-1, 3)[::16].astype(float), 32, "diag", 2
        ),
        "broad and narrow": lambda: (np.r_[rng.normal(size=4000), 1.25 * rng.normal(size=4000)][:, None], 2, "full", 0),
    }[name]()  # fmt: skip


@grid("name", ["overlapping by half", "faithful, K=5", "pixels, K=32", "broad and narrow"], quick=["faithful, K=5"])
def test_a_fifth_of_the_passes_where_em_crawls(name):
    X, n_components, covariance_type, seed = hard(name)
    source, family = ArraySource(X), FAMILIES[covariance_type]
    rules = em.Settings(n_components, tol=1e-7, max_iter=5000)
    start = best_start(source, family, rules, np.random.RandomState(seed))
    plain = em.run(source, start, rules)
    accelerated = em.run(source, start, rules, steps=QuasiNewton(rules.reg_covar))
    assert plain.n_iter > 300
    assert accelerated.lower_bound >= plain.lower_bound - 1e-6
    n_iter = int(np.argmax(np.array(accelerated.lower_bounds) >= plain.lower_bound - 1e-6)) + 1
    assert n_iter + accelerated.n_rejected <= plain.n_iter / 5


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_steps_are_no_shorter_than_em_s():
    """A component of few points makes quasi-Newton steps so long that what is left after the cut hardly leads on."""
    windows = np.lib.stride_tricks.sliding_window_view(load_sample_image("china.jpg").mean(axis=2) / 255, (8, 8))
    rng = np.random.default_rng(0)
    rows, columns = (rng.integers(n, size=3000) for n in windows.shape[:2])
    X = windows[rows, columns].reshape(3000, -1)
    source = ArraySource(X - X.mean(axis=1, keepdims=True) + 0.01 * rng.normal(size=X.shape))
    rules = em.Settings(10, tol=0, max_iter=20)
    start = best_start(source, FAMILIES["factors"].of_factors(6), rules, np.random.RandomState(0))
    accelerated = em.run(source, start, rules, steps=QuasiNewton(rules.reg_covar))
    assert accelerated.lower_bound > em.run(source, start, rules).lower_bound


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_where_reg_covar_makes_the_variances_steps_are_em_s():
    """Half the points are one: its component has no variance but reg_covar, and the bound can't follow it lower."""
    rng = np.random.default_rng(0)
    X = np.concatenate([np.zeros((200, 2)), rng.normal(size=(400, 2)) + rng.choice([-1.5, 1.5], size=(400, 1))])
    params = {"max_iter": 2000, "tol": 1e-9, "random_state": 0, "reg_covar": 1e-4}
    auto = GaussianMixture(3, **params).fit(X)
    plain = GaussianMixture(3, algorithm="em", **params).fit(X)
    assert np.all(np.diff(auto.lower_bounds_) >= -1e-12)
    assert auto.lower_bound_ >= plain.lower_bound_ - 1e-6


def test_warm_start_sees_convergence_one_iteration_at_a_time():
    X, n_components = data_sets.load("iris")
    model = GaussianMixture(n_components, max_iter=1, warm_start=True, random_state=0, tol=1e-5)
    bounds = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for _ in range(300):
            model.fit(X)
            bounds.append(model.lower_bound_)
            if model.converged_:
                break
    assert model.converged_
    assert np.all(np.diff(bounds) >= -1e-12)
    assert model.fit(X).n_iter_ == 1


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("weight", [0.0, 1e-30])
def test_a_component_without_points_has_coordinates(weight, covariance_type):
    problem = make_problem(50, 3, 2, covariance_type)
    reference = replace(problem.parameters, weights=np.array([1.0, weight]))
    coordinates = Coordinates(reference)
    assert coordinates.deviations.min() >= 1e-5 * (1 - 1e-12)
    arrays = reference.weights, reference.means, reference.precisions_cholesky
    assert_allclose(coordinates.encode(*arrays), 0, atol=1e-12)
    successor = reference.weights, reference.means + 1.0, reference.covariances
    assert np.isfinite(coordinates.gradient(*arrays, successor)).all()
    decoded = coordinates.decode(np.zeros(coordinates.deviations.size))
    assert_allclose(decoded.weights, reference.weights)
    assert_allclose(decoded.covariances, reference.covariances, rtol=1e-12, atol=1e-12)


def after_a_pass(bound):
    """Quasi-Newton steps that have seen one pass, with this bound."""
    _, parameters = mixture("full")
    steps = QuasiNewton(1e-6)
    steps.observe(parameters, parameters, bound)
    steps.kind, steps.remaining_gain = "plain", 0.0
    return steps


@pytest.mark.parametrize(("bound", "slack"), [(1000.0, 1e-9), (-1000.0, 1e-9), (1.0, 1e-12), (0.01, 1e-12)])
def test_a_fall_within_rounding_is_none(bound, slack):
    steps = after_a_pass(bound)
    assert steps.accepts(bound - 0.5 * slack, 1e-12)
    assert not steps.accepts(bound - 1.5 * slack, 1e-12)
    steps.kind = "accelerated"
    assert steps.accepts(bound, 1e-12)
    assert not steps.accepts(bound - 0.5 * slack, 1e-12)


def test_converged_where_the_bound_rests_and_little_is_left():
    steps = after_a_pass(0.0)
    assert steps.has_converged(1e-4, 1e-3) and steps.has_converged(-1e-4, 1e-3)
    assert not steps.has_converged(1e-3, 1e-3) and not steps.has_converged(-1.0, 1e-3)
    steps.remaining_gain = 1e-3
    assert not steps.has_converged(1e-4, 1e-3)
    steps.remaining_gain = np.nan  # none was made
    assert steps.has_converged(1e-4, 1e-3)


class Line:
    """A posterior on a line, that tells how far it is asked to go."""

    def __init__(self, factors, order=None):
        self.factors, self.order = factors, order

    def in_order(self):
        return self.order

    def change_to(self, other):
        return 0.3

    def beyond(self, before, factor):
        self.factors.append(factor)
        return self


def test_extrapolations_are_as_long_as_the_geometric_series_and_as_trust_allows():
    factors = []
    line, steps = Line(factors), Extrapolation()

    def two_plain_steps(first, second):
        for bound in (0.0, first, first + second):
            steps.observe(line, line, bound)

    two_plain_steps(1.0, 0.25)
    assert factors == [pytest.approx(1.0)]  # steps shrink by a half
    assert steps.kind == "accelerated" and steps.remaining_gain == pytest.approx(0.25**2 / 0.75)
    assert steps.remaining_change == pytest.approx(0.6)
    longest = []
    for _ in range(8):  # each accepted, where steps hardly shrink
        two_plain_steps(1.0, 1 - 1e-9)
        longest.append(factors[-1])
    assert longest == [8, 16, 32, 64, 128, 256, 256, 256]
    last = 2.0
    for expected in (64, 16, 4, 1, 1):
        assert not steps.accepts(-1.0, 1e-12)
        steps.reject(line, line)
        assert steps.kind == "plain"
        for bound in (last + 0.9, last + 1.8 - 1e-6):
            steps.observe(line, line, bound)
        last = bound
        assert factors[-1] == expected


def test_an_order_that_leads_lower_is_not_tried_again():
    line = Line([], order=Line([]))
    steps = Extrapolation()
    assert steps.observe(line, line, 0.0) is line.order and steps.kind == "accelerated"
    steps.reject(line, line)
    assert steps.observe(line, line, 0.1) is line and steps.kind == "plain"


def test_few_mixtures_are_remembered():
    X, parameters = mixture("full")
    source, steps = ArraySource(X), QuasiNewton(1e-6)
    for i in range(12):
        statistics = source.accumulate(parameters)
        successor = parameters.family.maximize(statistics, 1e-6)
        steps.observe(parameters, successor, statistics.lower_bound)
        parameters = successor
        assert len(steps._visited) == min(i + 1, 7)


def test_gains_large_and_small_in_turn_are_taken_in_pairs():
    _, parameters = mixture("full")
    steps = QuasiNewton(1e-6)
    for bound in (0.0, 0.4, 0.5, 0.6, 0.65):  # pairs gain 0.5 and 0.15
        steps.observe(parameters, parameters, bound)
    assert steps.remaining_gain == pytest.approx(0.15**2 / (0.5 - 0.15))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_small_step_of_em_is_the_gradient(covariance_type):
    """The information matrix of the complete data is the identity in these coordinates."""
    X, parameters = mixture(covariance_type, n_samples=400)
    source = ArraySource(X)
    for _ in range(300):
        last, statistics = parameters, source.accumulate(parameters)
        parameters = parameters.family.maximize(statistics, 0.0)
    coordinates = Coordinates(last)
    step = coordinates.encode(parameters.weights, parameters.means, parameters.precisions_cholesky)
    assert 0 < np.abs(step).max() < 1e-2
    successor = parameters.weights, parameters.means, parameters.covariances
    gradient = coordinates.gradient(last.weights, last.means, last.precisions_cholesky, successor)
    assert_allclose(step, gradient, rtol=1e-2, atol=0.02 * np.abs(step).max())
