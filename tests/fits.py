"""Small fits, and whether two of them are the same bits."""

import warnings

import numpy as np
from numpy.testing import assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture

PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def quietly(model, *args, **kwargs):
    """Fit, whether it converges or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


def mixture(n_components=3, **params):
    """One thread: for so few points another only waits."""
    return GaussianMixture(n_components, **{"random_state": 0, "n_threads": 1, **params})


def fitted(X, n_components=3, *, sample_weight=None, labels=None, **params):
    return quietly(mixture(n_components, **params), X, sample_weight=sample_weight, labels=labels)


def points(n_samples=3000, n_features=4, n_components=3, seed=0):
    """(X, the group that each is from): overlapping groups in an order that says nothing."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_components, size=n_samples)
    spread = rng.uniform(0.5, 2, size=(n_components, n_features))
    return rng.normal(size=(n_samples, n_features)) * spread[groups] + 2.5 * groups[:, None], groups


def assert_same_bits(one, other):
    assert one.lower_bounds_ == other.lower_bounds_
    assert (one.n_iter_, one.converged_, one.lower_bound_) == (other.n_iter_, other.converged_, other.lower_bound_)
    for name in PARAMETERS:
        value, expected = getattr(one, name), getattr(other, name)
        assert value.dtype == expected.dtype
        assert_array_equal(value, expected, err_msg=name)
