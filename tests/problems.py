"""Random mixtures and points for the tests of kernels, statistics and families."""

from dataclasses import dataclass

import numpy as np

from fastem.model.families import FAMILIES
from fastem.model.parameters import Parameters


@dataclass
class Problem:
    X: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    covariance_type: str

    @property
    def parameters(self):
        family = FAMILIES[self.covariance_type]
        factors = family.precisions_cholesky(self.covariances)
        return Parameters(family, self.weights, self.means, self.covariances, factors)

    @property
    def mixture(self):
        """What naive's functions take."""
        return self.weights, self.means, self.covariances, self.covariance_type


def make_problem(n_samples, n_features, n_components, covariance_type, seed=0):
    """A mixture with different weights, means and covariances, and points all over it."""
    rng = np.random.default_rng([seed, n_samples, n_features, n_components])
    means = 2 * rng.normal(size=(n_components, n_features))
    weights = rng.dirichlet(np.full(n_components, 5.0))
    roots = np.eye(n_features) + 0.5 * rng.normal(size=(n_components, n_features, n_features)) / np.sqrt(n_features)
    full = roots @ roots.transpose(0, 2, 1)
    covariances = {
        "full": lambda: full,
        "tied": lambda: full[0],
        "diag": lambda: rng.uniform(0.3, 3, size=(n_components, n_features)),
        "spherical": lambda: rng.uniform(0.3, 3, size=n_components),
    }[covariance_type]()
    labels = rng.integers(n_components, size=n_samples)
    X = means[labels] + 1.5 * rng.normal(size=(n_samples, n_features))
    return Problem(X, weights, means, covariances, covariance_type)


def three_groups(n_samples=300, n_features=3, seed=0, distance=2.5):
    """Points of three groups that overlap a little, and the group of each."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n_samples)
    spread = rng.uniform(0.5, 1.5, size=(3, n_features))
    return rng.normal(size=(n_samples, n_features)) * spread[labels] + distance * labels[:, None], labels


def partly_known(labels, share=0.3, seed=1):
    """The labels of some of the points, -1 for the others."""
    return np.where(np.random.default_rng(seed).uniform(size=len(labels)) < share, labels, -1)
