"""Compiled runs of variational Bayes on few points: as the Python loop makes them, and as scikit-learn does."""

import numba
import numpy as np
import pytest
import scipy.special
import sklearn.mixture

from fastem import BayesianGaussianMixture
from fastem.fitting import em, few_posteriors, posterior_search
from fastem.fitting.report import FitReport
from fastem.kernels import posteriors, runs
from fastem.model.families import STANDARD

from . import data_sets
from .fits import quietly
from .grids import grid

PRIOR_TYPES = ["dirichlet_process", "dirichlet_distribution"]
# Kernels that are plain Python take two seconds for 10 iterations over 60 points.
FEW, MANY, MOST_ITERATIONS = (60, 1026, 8) if numba.config.DISABLE_JIT else (300, 1501, 60)
CASES = ["plain", "weights", "one feature", "far", "many blocks", "priors"]


def points(n=FEW, n_features=3, seed=0):
    rng = np.random.default_rng(seed)
    means = 4 * rng.normal(size=(3, n_features))
    return means[rng.integers(3, size=n)] + rng.normal(size=(n, n_features)) * rng.uniform(0.5, 2, n_features)


def starts_of(monkeypatch, model, X, **kwargs):
    """The arguments of each run from a start that this fit makes."""
    calls, run = [], posterior_search._run

    def noted(*args):
        calls.append(args)
        return run(*args)

    with monkeypatch.context() as patch:
        patch.setattr(posterior_search, "_run", noted)
        quietly(model, X, **kwargs)
    return calls


def both(source, start, settings, annotations):
    """The run as it is compiled, and as the loop makes it."""
    compiled = few_posteriors.run(source, start, settings, annotations, FitReport(), "compiled")
    return compiled, em.run(source, start, settings, annotations=annotations)


@grid("covariance_type", STANDARD, quick=["full", "tied", "spherical"])
@grid("case", CASES, quick=["weights", "priors"])
def test_compiled_runs_are_those_of_the_loop(covariance_type, case, monkeypatch):
    X, weights = points(), None
    params = {"n_components": 5, "covariance_type": covariance_type, "random_state": 2, "max_iter": MOST_ITERATIONS}
    if case == "weights":
        weights = np.random.default_rng(1).uniform(size=len(X)) * (np.arange(len(X)) % 7 > 0)
    elif case == "one feature":
        X = X[:, :1]
    elif case == "far":
        X = X + 1e4
    elif case == "many blocks":
        X = points(MANY, 5)
    elif case == "priors":
        params |= {"mean_prior": X.mean(axis=0) + 3, "mean_precision_prior": 20.0, "degrees_of_freedom_prior": 7.5}
        params |= {"weight_concentration_prior": 1e-3, "reg_covar": 0.01}
    for prior_type in PRIOR_TYPES:
        model = BayesianGaussianMixture(weight_concentration_prior_type=prior_type, **params)
        calls = starts_of(monkeypatch, model, X, **({} if weights is None else {"sample_weight": weights}))
        assert len(calls) >= 2
        for source, start, settings, annotations, *_ in calls:
            compiled, expected = both(source, start, settings, annotations)
            assert (compiled.n_iter, compiled.converged) == (expected.n_iter, expected.converged)
            rtol = 1e-7 if case == "far" else 1e-9
            np.testing.assert_allclose(compiled.lower_bounds, expected.lower_bounds, rtol=rtol)
            ours, theirs = compiled.parameters, expected.parameters
            for name in ("weight_concentration", "means", "covariances", "mean_precision", "log_weights"):
                np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=rtol, atol=rtol)
            assert ours.evidence == pytest.approx(theirs.evidence, rel=rtol)


@grid("covariance_type", STANDARD, quick=["diag"])
def test_the_first_run_is_scikit_learns(covariance_type):
    X, _ = data_sets.load("iris")
    params = {"n_components": 4, "covariance_type": covariance_type, "random_state": 0, "max_iter": 30, "tol": 1e-6}
    model = quietly(BayesianGaussianMixture(**params), X)
    theirs = quietly(sklearn.mixture.BayesianGaussianMixture(**params), X)
    first = next(stage for stage in model.fit_report_.stages if stage.name == "start 0")
    assert first.n_iter == theirs.n_iter_
    assert first.lower_bound == pytest.approx(np.ravel(theirs.lower_bound_)[0], abs=1e-7)


@pytest.mark.parametrize("case", ["float32", "far apart", "unusual"])
def test_what_is_not_compiled_is_left_to_the_loop(case, monkeypatch):
    X = points(200)
    if case == "float32":
        X = X.astype(np.float32)
    elif case == "far apart":
        X[:100] += 1e9
    else:
        monkeypatch.setattr(posteriors.CompiledPosterior, "end", runs.UNUSUAL)
    model = BayesianGaussianMixture(n_components=2, random_state=0, max_iter=20)
    calls = starts_of(monkeypatch, model, X)
    report = FitReport()
    for source, start, settings, annotations, *_ in calls:
        assert few_posteriors.run(source, start, settings, annotations, report, "compiled") is None
    assert calls and not report.stages
    monkeypatch.setattr(few_posteriors, "run", lambda *args: None)
    expected = quietly(BayesianGaussianMixture(n_components=2, random_state=0, max_iter=20), X)
    np.testing.assert_array_equal(model.means_, expected.means_)


def test_listeners_change_nothing():
    X = points(250, 2)
    fits = [
        quietly(BayesianGaussianMixture(n_components=5, random_state=1, verbose=verbose, verbose_interval=1000), X)
        for verbose in (0, 1)
    ]
    for name in ("weights_", "means_", "covariances_", "lower_bound_", "n_iter_"):
        np.testing.assert_array_equal(getattr(fits[0], name), getattr(fits[1], name))


def test_digamma():
    x = np.concatenate([10.0 ** np.linspace(-10, 6, 200), np.linspace(9, 11, 50)])
    ours = [getattr(posteriors.digamma, "py_func", posteriors.digamma)(value) for value in x]
    np.testing.assert_allclose(ours, scipy.special.digamma(x), rtol=1e-13, atol=1e-14)
