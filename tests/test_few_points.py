"""Runs of EM that are compiled whole, for few points: as the Python loop makes them, and as scikit-learn does."""

from dataclasses import replace

import numpy as np
import pytest
import sklearn.mixture
from sklearn.cluster import KMeans, kmeans_plusplus

from fastem import GaussianMixture
from fastem.fitting import acceleration, few, few_runs, initialization
from fastem.kernels import kmeans
from fastem.model.families import STANDARD

from . import data_sets, naive
from .fits import quietly


def points(n=400, n_features=3, n_components=3, seed=0):
    rng = np.random.default_rng(seed)
    means = 4 * rng.normal(size=(n_components, n_features))
    return means[rng.integers(n_components, size=n)] + rng.normal(size=(n, n_features)) * rng.uniform(
        0.5, 2, n_features
    )


@pytest.fixture
def one_unit(monkeypatch):
    """K-means measures all features in one unit, as scikit-learn does, and no other start is tried."""
    from_kmeans = initialization.kmeans_starts
    monkeypatch.setattr(few_runs.Fit, "has_units", False)
    monkeypatch.setattr(initialization, "kmeans_starts", lambda *args: from_kmeans(*args)[:1])


def in_python(monkeypatch, model, X, **kwargs):
    """The model, fitted by the Python loop."""
    with monkeypatch.context() as patch:
        patch.setattr(few, "_FEW", 0)
        return quietly(model, X, **kwargs)


@pytest.mark.parametrize("covariance_type", STANDARD)
@pytest.mark.parametrize(
    "case", ["plain", "weights", "one feature", "integers", "many blocks", "far", "one component", "float32"]
)
def test_textbook_runs_are_those_of_the_loop(covariance_type, case, one_unit, monkeypatch):
    X, weights, n_components = points(), None, 3
    if case == "weights":
        weights = np.random.default_rng(1).uniform(size=len(X)) * (np.arange(len(X)) % 7 > 0)
    elif case == "one feature":
        X = X[:, :1]
    elif case == "integers":
        X = np.round(10 * X).astype(np.int32)
    elif case == "many blocks":
        X = points(3001, 5)
    elif case == "far":
        X = X + 1e5
    elif case == "one component":
        n_components = 1
    params = {"covariance_type": covariance_type, "algorithm": "em", "random_state": 3, "tol": 1e-6, "max_iter": 90}
    kwargs = {} if weights is None else {"sample_weight": weights}
    model = quietly(GaussianMixture(n_components, **params), X, **kwargs)
    expected = in_python(monkeypatch, GaussianMixture(n_components, **params), X, **kwargs)
    assert model.n_iter_ == expected.n_iter_ and model.converged_ == expected.converged_
    rtol = 1e-7 if case == "far" else 1e-10
    np.testing.assert_allclose(model.lower_bounds_, expected.lower_bounds_, rtol=1e-10)
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        np.testing.assert_allclose(getattr(model, name), getattr(expected, name), rtol=rtol, atol=rtol)
    assert model.fit_report_.n_passes > 0


@pytest.mark.parametrize("covariance_type", STANDARD)
@pytest.mark.parametrize("name", ["faithful", "iris"])
def test_textbook_runs_are_scikit_learns(covariance_type, name, one_unit):
    X, n_components = data_sets.load(name)
    params = {"covariance_type": covariance_type, "random_state": 0}
    model = quietly(GaussianMixture(n_components, algorithm="em", **params), X)
    theirs = quietly(sklearn.mixture.GaussianMixture(n_components, **params), X)
    assert model.n_iter_ == theirs.n_iter_
    assert model.lower_bound_ == pytest.approx(theirs.lower_bound_, abs=1e-10)
    order, other = np.argsort(model.means_[:, 0]), np.argsort(theirs.means_[:, 0])
    np.testing.assert_allclose(model.means_[order], theirs.means_[other], atol=1e-8)


@pytest.mark.parametrize("covariance_type", STANDARD)
def test_bounds_are_the_mean_log_likelihoods_and_rise(covariance_type):
    X = points(500)
    model = quietly(GaussianMixture(4, covariance_type=covariance_type, random_state=1, tol=1e-8), X)
    assert np.diff(model.lower_bounds_).min() >= -1e-12
    assert model.score(X) >= model.lower_bound_ - 1e-12
    assert model.score(X) == pytest.approx(model.lower_bound_, abs=1e-4)
    densities = naive.log_densities(X, model.weights_, model.means_, model.covariances_, covariance_type)
    assert model.score(X) == pytest.approx(naive.log_likelihoods(densities).mean(), abs=1e-10)


class Recorder:
    """Listener that notes what it is told."""

    def __init__(self, last=None):
        self.bounds, self.means, self.last, self.begun = [], [], last, 0

    def begin(self, init):
        pass

    def begin_iteration(self, result):
        self.begun += 1

    def end_iteration(self, iteration, change, result):
        assert iteration == result.n_iter
        self.bounds.append(result.lower_bound)
        self.means.append(result.parameters.means)
        return iteration == self.last

    def end_stage(self, stage):
        pass

    def end(self, result):
        return False


@pytest.mark.parametrize("algorithm", ["auto", "em"])
def test_listeners_hear_of_every_iteration_and_change_nothing(algorithm, monkeypatch):
    X = points(500)
    silent = quietly(GaussianMixture(3, random_state=0, algorithm=algorithm), X)
    recorder = Recorder()
    monkeypatch.setattr("fastem.estimators.em_mixture.PrintedLines", lambda *_: recorder)
    told = quietly(GaussianMixture(3, random_state=0, algorithm=algorithm, verbose=1), X)
    assert told.lower_bounds_ == silent.lower_bounds_ == recorder.bounds
    assert recorder.begun == len(recorder.bounds)
    np.testing.assert_array_equal(told.means_, silent.means_)
    np.testing.assert_array_equal(recorder.means[-1], told.means_)
    recorder = Recorder(last=2)
    stopped = quietly(GaussianMixture(3, random_state=0, algorithm=algorithm, verbose=1), X)
    assert stopped.lower_bounds_ == silent.lower_bounds_[:2]
    assert not stopped.converged_


@pytest.mark.parametrize("max_iter", [1, 2, 3, 7, 40])
def test_max_iter_counts(max_iter):
    X, n_components = data_sets.load("iris")
    params = {"max_iter": max_iter, "tol": 0, "random_state": 0}
    assert quietly(GaussianMixture(n_components, algorithm="em", **params), X).n_iter_ == max_iter
    assert 0 < quietly(GaussianMixture(n_components, **params), X).n_iter_ <= max_iter


@pytest.mark.parametrize("covariance_type", STANDARD)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_component_is_the_points_mean_and_covariance(covariance_type, dtype):
    X = points().astype(dtype)
    model = quietly(GaussianMixture(1, covariance_type=covariance_type, random_state=0, reg_covar=0), X)
    rtol = 1e-5 if dtype == np.float32 else 1e-12
    assert model.means_.dtype == dtype
    np.testing.assert_allclose(model.means_[0], X.mean(axis=0, dtype=np.float64), rtol=rtol)
    _, _, expected = naive.m_step(X.astype(np.float64), np.ones((len(X), 1)), covariance_type)
    np.testing.assert_allclose(model.covariances_, expected, rtol=10 * rtol, atol=10 * rtol)


def test_a_run_that_converges_slowly_goes_on_by_longer_steps():
    X = np.random.default_rng(0).normal(size=(1000, 2))
    model = quietly(GaussianMixture(3, random_state=0, tol=1e-9, max_iter=200), X)
    assert "accelerated" in model.fit_report_.kinds
    assert np.diff(model.lower_bounds_).min() >= -1e-12


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize("covariance_type", STANDARD)
def test_spikes_and_constant_features(covariance_type, one_unit, monkeypatch):
    X = points(300)
    X[:200] = X[0]
    X[:, 2] = 7.0
    params = {"covariance_type": covariance_type, "random_state": 0, "algorithm": "em"}
    model, expected = quietly(GaussianMixture(3, **params), X), in_python(monkeypatch, GaussianMixture(3, **params), X)
    np.testing.assert_allclose(model.lower_bounds_, expected.lower_bounds_, rtol=1e-9)
    np.testing.assert_allclose(model.means_, expected.means_, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", STANDARD)
def test_points_that_need_more_care_take_the_other_way(covariance_type, monkeypatch):
    """Without reg_covar, a feature that is nearly constant leaves too few digits for the compiled M-step."""
    X = points(300)
    X[:, 2] = 1e9 + np.round(1e-5 * X[:, 2], 6)
    params = {"covariance_type": covariance_type, "random_state": 0, "algorithm": "em", "reg_covar": 0}
    model, expected = quietly(GaussianMixture(3, **params), X), in_python(monkeypatch, GaussianMixture(3, **params), X)
    np.testing.assert_array_equal(model.means_, expected.means_)


def test_seeds_are_scikit_learns():
    X = points(300, 2, 5)
    z, weights = np.ascontiguousarray(X[:288].T), np.ones((1, 288))
    for seed in range(5):
        state = np.random.RandomState(seed)
        uniforms = np.random.RandomState(seed).uniform(size=1 + 4 * 3)
        means = np.empty((5, 2))
        run_python(kmeans.seeds)(z, weights, uniforms, means)
        expected, _ = kmeans_plusplus(X[:288], 5, random_state=state)
        np.testing.assert_allclose(means, expected)


def run_python(kernel):
    """The kernel as a function of Python: compiled or not, depending on NUMBA_DISABLE_JIT."""
    import numba

    return kernel if numba.config.DISABLE_JIT else numba.njit(lambda *args: kernel(*args))


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_many_features(covariance_type, one_unit, monkeypatch):
    X = np.random.default_rng(0).normal(size=(40, 300))
    params = {"covariance_type": covariance_type, "algorithm": "em", "random_state": 0}
    model, expected = quietly(GaussianMixture(2, **params), X), in_python(monkeypatch, GaussianMixture(2, **params), X)
    np.testing.assert_allclose(model.lower_bounds_, expected.lower_bounds_, rtol=1e-12)


@pytest.mark.parametrize("n", [31, 32, 257, 1025])
def test_padding_counts_for_nothing(n, one_unit, monkeypatch):
    X = points(n, 2, 2)
    model = quietly(GaussianMixture(2, algorithm="em", random_state=0), X)
    expected = in_python(monkeypatch, GaussianMixture(2, algorithm="em", random_state=0), X)
    np.testing.assert_allclose(model.lower_bounds_, expected.lower_bounds_, rtol=1e-12)


def test_a_larger_n_init_is_no_worse():
    X, n_components = data_sets.load("iris")
    bounds = [
        quietly(GaussianMixture(n_components, n_init=n_init, random_state=0, tol=1e-6), X).lower_bound_
        for n_init in (1, 3, 5)
    ]
    assert bounds == sorted(bounds)


@pytest.mark.parametrize("max_iter", [30, 60, 100])
def test_a_reopened_run_keeps_to_max_iter_and_is_told_as_it_was_made(max_iter):
    X, n_components = data_sets.load("iris")
    params = {"covariance_type": "diag", "max_iter": max_iter, "random_state": 1}
    model = quietly(GaussianMixture(n_components, **params), X)
    told = quietly(GaussianMixture(n_components, verbose=1, verbose_interval=1000, **params), X)
    assert model.n_iter_ == told.n_iter_ == len(model.lower_bounds_) <= max_iter
    np.testing.assert_array_equal(model.means_, told.means_)
    np.testing.assert_array_equal(model.lower_bounds_, told.lower_bounds_)


def test_a_reopened_run_goes_on_past_its_share_of_max_iter():
    X, n_components = data_sets.load("iris")
    params = {"covariance_type": "diag", "random_state": 1}
    model = quietly(GaussianMixture(n_components, **params), X)
    stage = model.fit_report_.stages[-1]
    # The run that is kept converges by compiled steps alone, until digits that are printed don't change.
    assert stage.n_accelerated == 0 and model.converged_ and 50 < model.n_iter_ < 100
    again = quietly(GaussianMixture(n_components, means_init=model.means_, weights_init=model.weights_, **params), X)
    assert again.lower_bound_ == pytest.approx(model.lower_bound_, abs=1e-6)


def slow(n_samples=3000):
    """Points on which EM converges slowly, and a mixture of too many components."""
    return np.random.default_rng(0).normal(size=(n_samples, 2)), 3


@pytest.mark.parametrize("covariance_type", STANDARD)
def test_longer_steps_end_where_nothing_changes_visibly(covariance_type):
    X, n_components = slow()
    model = quietly(GaussianMixture(n_components, covariance_type=covariance_type, random_state=0), X)
    assert "accelerated" in model.fit_report_.kinds
    assert np.diff(model.lower_bounds_).min() >= -1e-12
    assert model.fit_report_.n_passes >= len(model.lower_bounds_)
    assert np.isfinite(model.fit_report_.remaining_change)
    start = {"weights_init": model.weights_, "means_init": model.means_, "precisions_init": model.precisions_}
    params = {"covariance_type": covariance_type, "algorithm": "em", "tol": 0, "max_iter": 2, "reg_covar": 0}
    further = quietly(GaussianMixture(n_components, **params, **start), X)
    np.testing.assert_allclose(further.means_, model.means_, atol=2e-3)
    assert further.lower_bound_ == pytest.approx(model.lower_bound_, abs=1e-5)


@pytest.mark.parametrize("last", [None, 1])
def test_listeners_hear_of_longer_steps(last, monkeypatch):
    X, n_components = slow()
    silent = quietly(GaussianMixture(n_components, random_state=0), X)
    first = silent.fit_report_.kinds.index("accelerated") + 1
    recorder = Recorder(last=last and first + last)
    monkeypatch.setattr("fastem.estimators.em_mixture.PrintedLines", lambda *_: recorder)
    told = quietly(GaussianMixture(n_components, random_state=0, verbose=1), X)
    assert recorder.begun == len(recorder.bounds) == len(told.lower_bounds_)
    np.testing.assert_array_equal(recorder.means[-1], told.means_)
    if last is None:
        assert told.lower_bounds_ == silent.lower_bounds_ == recorder.bounds
        assert told.fit_report_.kinds == silent.fit_report_.kinds
        np.testing.assert_array_equal(told.means_, silent.means_)
    else:
        assert told.lower_bounds_ == silent.lower_bounds_[: first + last]


@pytest.mark.parametrize("what", ["lower", "NaN"])
@pytest.mark.parametrize("listens", [False, True])
def test_longer_steps_that_fail_are_undone(what, listens, monkeypatch):
    X, n_components = slow()
    observe, n_proposals = acceleration.QuasiNewton.observe_plain, []

    def bad(self, mixtures, bounds):
        observe(self, mixtures, bounds)
        self.kind = "accelerated"
        n_proposals.append(len(mixtures))
        shift = 1.0 if what == "lower" else np.nan
        return replace(mixtures[-1], means=mixtures[-1].means + shift)

    monkeypatch.setattr(acceleration.QuasiNewton, "observe_plain", bad)
    recorder = Recorder()
    if listens:
        monkeypatch.setattr("fastem.estimators.em_mixture.PrintedLines", lambda *_: recorder)
    model = quietly(GaussianMixture(n_components, random_state=0, verbose=int(listens)), X)
    stage = model.fit_report_.stages[-1]
    assert stage.n_rejected >= 4 and stage.n_accelerated == 0 and len(n_proposals) > 4
    assert np.diff(model.lower_bounds_).min() >= -1e-12
    assert model.score(X) >= model.lower_bound_ - 1e-12
    if listens:
        assert recorder.begun == len(recorder.bounds) == len(model.lower_bounds_)


@pytest.mark.parametrize("covariance_type", STANDARD)
def test_kernel_inputs_have_any_origin(covariance_type):
    X = points()
    inputs = (
        quietly(GaussianMixture(3, covariance_type=covariance_type, random_state=0), X)._parameters().kernel_inputs()
    )
    origin = np.array([1.0, -2.0, 0.5])
    moved = inputs.about(origin)
    np.testing.assert_array_equal(moved.origin, origin)
    np.testing.assert_allclose(moved.means + origin, inputs.means + inputs.origin)
    expected = inputs.whitened_squares(X - inputs.origin)
    np.testing.assert_allclose(moved.whitened_squares(X - origin), expected, rtol=1e-9, atol=1e-9)


def test_k_means_ends_by_scikit_learns_rule():
    X = points(300, 2, 4)
    z, weights = np.ascontiguousarray(X[:288].T), np.ones((1, 288))
    tolerance = 1e-4 * X[:288].var(axis=0).mean()
    means, labels = X[:4].copy(), np.empty((1, 288))
    run_python(kmeans.kmeans)(z, weights, means, labels, 300, tolerance)
    theirs = KMeans(4, init=X[:4], n_init=1).fit(X[:288])
    np.testing.assert_allclose(means, theirs.cluster_centers_, atol=np.sqrt(tolerance))
    np.testing.assert_array_equal(labels[0], theirs.labels_)
