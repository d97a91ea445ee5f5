"""The six data sets of the comparisons with scikit-learn, none of them larger than 2,000 points."""

import functools

import numpy as np
from sklearn import datasets
from sklearn.decomposition import PCA

from fastem.datasets import load_faithful
from fastem.model.families import STANDARD


def overlapping(n_samples, n_features, n_components, seed=5):
    """Gaussians of different shapes about as far apart as they are wide."""
    rng = np.random.default_rng(seed)
    size = n_samples // n_components
    return np.concatenate(
        [
            rng.normal(size=(size, n_features)) @ (np.eye(n_features) + 0.4 * rng.normal(size=(n_features, n_features)))
            + 1.5 * rng.normal(size=n_features)
            for _ in range(n_components)
        ]
    )


@functools.cache
def load(name):
    """(X, number of components)."""
    X, n_components = {
        "faithful": lambda: (load_faithful().data, 2),
        "iris": lambda: (datasets.load_iris().data, 3),
        "wine": lambda: (datasets.load_wine().data, 3),
        "cancer": lambda: (datasets.load_breast_cancer().data[:, :10], 3),
        "digits": lambda: (PCA(8, random_state=0).fit_transform(datasets.load_digits().data), 10),
        "scaled": lambda: (overlapping(1500, 4, 3) * [1.0, 1e3, 1e-2, 10.0], 3),
    }[name]()
    X.flags.writeable = False
    return X, n_components


NAMES = ("faithful", "iris", "wine", "cancer", "digits", "scaled")
COVARIANCE_TYPES = STANDARD


def start(X, n_components, covariance_type, seed=0):
    """A start that every implementation takes: `weights_init`, `means_init`, `precisions_init`."""
    rng = np.random.default_rng(seed)
    variances = X.var(axis=0)
    return {
        "weights_init": np.full(n_components, 1 / n_components),
        "means_init": X[rng.choice(len(X), n_components, replace=False)],
        "precisions_init": {
            "full": np.tile(np.diag(1 / variances), (n_components, 1, 1)),
            "tied": np.diag(1 / variances),
            "diag": np.tile(1 / variances, (n_components, 1)),
            "spherical": np.full(n_components, 1 / variances.mean()),
        }[covariance_type],
    }
