"""Data, starts and the mixture every benchmark fits."""

import functools
import math
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture

COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]

# name: (points, features, components)
SHAPES = {"200k x 2, K=8": (200_000, 2, 8), "100k x 10, K=16": (100_000, 10, 16)}
USUAL_SHAPE = "100k x 10, K=16"


@functools.cache
def make_points(n_samples, n_features, n_components):
    """Points of overlapping Gaussians of random shape, and the Gaussians' means."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(n_components, n_features)) * 3 / math.sqrt(2 * n_features)
    labels = rng.integers(n_components, size=n_samples)
    X = np.empty((n_samples, n_features))
    for k in range(n_components):
        root = 0.5 * rng.normal(size=(n_features, n_features)) / math.sqrt(n_features) + np.eye(n_features)
        rows = np.flatnonzero(labels == k)
        X[rows] = rng.normal(size=(rows.size, n_features)) @ root.T + means[k]
    return X, means


def make_start(X, means, covariance_type):
    """A start every implementation takes: the true means moved, equal weights, the data's variances."""
    n_components = len(means)
    variances = X.var(axis=0)
    noise = np.random.default_rng(1).normal(size=means.shape)
    return {
        "weights_init": np.full(n_components, 1 / n_components),
        "means_init": means + 0.3 * np.sqrt(variances) * noise,
        "precisions_init": {
            "full": np.tile(np.diag(1 / variances), (n_components, 1, 1)),
            "tied": np.diag(1 / variances),
            "diag": np.tile(1 / variances, (n_components, 1)),
            "spherical": np.full(n_components, 1 / variances.mean()),
        }[covariance_type],
    }


def fit(X, n_components, cls=GaussianMixture, **params):
    """A fit, its ConvergenceWarning left out: benchmarks run a fixed number of iterations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cls(n_components, **params).fit(X)
