"""Every public output beside scikit-learn's, from the same start."""

import functools
import warnings

import numpy as np
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture

from . import data_sets
from .grids import exhaustive, grid

PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def fit_both(X, n_components, **params):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return (
            GaussianMixture(n_components, algorithm="em", **params).fit(X),
            sklearn.mixture.GaussianMixture(n_components, **params).fit(X),
        )


def assert_same_parameters(ours, theirs, rtol):
    """To rtol of each attribute's largest entry by component: entries that nearly cancel carry its rounding."""
    for name in PARAMETERS:
        expected = getattr(theirs, name)
        assert getattr(ours, name).shape == expected.shape
        assert_allclose(getattr(ours, name), expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name)


@pytest.mark.parametrize("covariance_type", data_sets.COVARIANCE_TYPES)
@pytest.mark.parametrize("name", data_sets.NAMES)
def test_same_iterates_from_the_same_start(name, covariance_type):
    X, n_components = data_sets.load(name)
    start = data_sets.start(X, n_components, covariance_type)
    ours, theirs = fit_both(X, n_components, covariance_type=covariance_type, max_iter=200, **start)
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.converged_ == theirs.converged_
    assert_allclose(ours.lower_bounds_, theirs.lower_bounds_, rtol=1e-9)
    assert_same_parameters(ours, theirs, rtol=1e-7)
    assert ours.lower_bound_ == ours.lower_bounds_[-1]
    assert ours._n_parameters() == theirs._n_parameters()
    for criterion in ("score", "bic", "aic"):
        value = getattr(ours, criterion)(X)
        assert type(value) is float
        assert value == pytest.approx(getattr(theirs, criterion)(X), rel=1e-9)
    assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-6, atol=1e-6)
    assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-5, atol=1e-7)
    labels = ours.predict(X)
    assert labels.dtype == np.int64
    sure = np.diff(np.sort(theirs.predict_proba(X), axis=1)[:, -2:])[:, 0] > 1e-6
    np.testing.assert_array_equal(labels[sure], theirs.predict(X)[sure])


@grid("covariance_type", data_sets.COVARIANCE_TYPES, quick=["full"])
def test_same_iterates_in_float32(covariance_type):
    X, n_components = data_sets.load("iris")
    start = data_sets.start(X, n_components, covariance_type)
    params = {"covariance_type": covariance_type, "max_iter": 10, "tol": 0, **start}
    ours, _ = fit_both(X.astype(np.float32), n_components, **params)
    double, _ = fit_both(X, n_components, **params)
    for name in PARAMETERS:
        assert getattr(ours, name).dtype == np.float32
        assert_allclose(getattr(ours, name), getattr(double, name), rtol=1e-4, atol=1e-4)
    assert ours.predict_proba(X.astype(np.float32)).dtype == np.float32
    assert ours.score_samples(X.astype(np.float32)).dtype == np.float32
    assert ours.predict_proba(X).dtype == np.float64
    assert double.score_samples(X.astype(np.float32)).dtype == np.float64
    assert_allclose(ours.score_samples(X.astype(np.float32)), double.score_samples(X), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("init_params", ["random", "random_from_data", "k-means++", "kmeans"])
def test_same_start_from_the_same_seed(init_params):
    """On data small enough to be used whole the seed gives scikit-learn's start ('kmeans': where it is the better)."""
    X, n_components = data_sets.load("faithful")
    params = {"init_params": init_params, "random_state": 7, "tol": 1e-6, "max_iter": 300}
    ours, theirs = fit_both(X, n_components, **params)
    assert ours.n_iter_ == theirs.n_iter_
    # Seeds start with weights 1/n each in scikit-learn, which don't sum to 1: its first bound is off by log(n / K).
    first = 1 if init_params in ("random_from_data", "k-means++") else 0
    assert_allclose(ours.lower_bounds_[first:], theirs.lower_bounds_[first:], rtol=1e-9)
    assert_same_parameters(ours, theirs, rtol=1e-7)


def test_random_responsibilities_cross_blocks(monkeypatch):
    """Drawn block by block they are the numbers that scikit-learn draws at once."""
    from fastem.sources import annotations

    monkeypatch.setattr(annotations, "_VALUES", 100)
    X, n_components = data_sets.load("iris")
    ours, theirs = fit_both(X, n_components, init_params="random", random_state=3, max_iter=0)
    assert_same_parameters(ours, theirs, rtol=1e-10)


@pytest.mark.parametrize("given", ["weights_init", "means_init", "precisions_init"])
def test_one_start_value_of_the_users_own(given):
    X, n_components = data_sets.load("faithful")
    start = data_sets.start(X, n_components, "full")
    params = {given: start[given], "random_state": 0, "init_params": "random"}
    assert_same_parameters(*fit_both(X, n_components, **params), rtol=1e-7)


def test_restarts_keep_scikit_learns_best():
    X, n_components = data_sets.load("iris")
    params = {"init_params": "random_from_data", "n_init": 6, "random_state": 0, "covariance_type": "diag"}
    ours, theirs = fit_both(X, n_components, **params)
    assert_allclose(ours.lower_bound_, theirs.lower_bound_, rtol=1e-9)
    assert ours.n_iter_ == theirs.n_iter_


def test_random_state_advances_between_restarts_and_fits():
    X, n_components = data_sets.load("iris")
    draws = []
    for module in (None, sklearn.mixture):
        rng = np.random.RandomState(0)
        cls = functools.partial(GaussianMixture, algorithm="em") if module is None else module.GaussianMixture
        for init_params in ("random", "random_from_data", "k-means++", "kmeans"):
            cls(n_components, n_init=2, init_params=init_params, random_state=rng).fit(X)
        draws.append(rng.uniform())
    assert draws[0] == draws[1]


@pytest.mark.parametrize("covariance_type", data_sets.COVARIANCE_TYPES)
def test_sample_draws_scikit_learns_points(covariance_type):
    X, n_components = data_sets.load("iris")
    start = data_sets.start(X, n_components, covariance_type)
    ours, theirs = fit_both(X, n_components, covariance_type=covariance_type, random_state=3, max_iter=2, **start)
    (points, labels), (expected_points, expected_labels) = ours.sample(50), theirs.sample(50)
    np.testing.assert_array_equal(labels, expected_labels)
    assert labels.dtype == np.int64
    assert points.dtype == np.float64
    assert_allclose(points, expected_points, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("verbose", [1, 2])
def test_verbose_prints_what_scikit_learn_prints(verbose, capsys):
    import re

    X, n_components = data_sets.load("faithful")
    params = {"verbose": verbose, "verbose_interval": 2, "random_state": 0, "init_params": "random", "n_init": 2}
    printed = []
    for cls in (functools.partial(GaussianMixture, algorithm="em"), sklearn.mixture.GaussianMixture):
        cls(n_components, **params).fit(X)
        # seconds differ, and so may the last digit of a change
        printed.append(re.sub(r"lapse [0-9.]+s", "lapse s", capsys.readouterr().out))
    assert printed[0] == printed[1]
    assert printed[0].count("Initialization converged.") == 2


@exhaustive
def test_the_kmeans_start_is_as_good():
    """Over 20 seeds the median log-likelihood reached is not below scikit-learn's, on any data set."""
    for name in data_sets.NAMES:
        X, n_components = data_sets.load(name)
        reached = [], []
        for seed in range(20):
            for model, bounds in zip(fit_both(X, n_components, random_state=seed), reached, strict=True):
                bounds.append(model.lower_bound_)
        ours, theirs = np.median(reached, axis=1)
        assert ours >= theirs - 1e-9 * abs(theirs), (name, ours, theirs)
