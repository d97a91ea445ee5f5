"""Mixtures of factor analyzers: iterations, whole fits and their memory, beside full covariances."""

import functools
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastem import DegenerateFitWarning, GaussianMixture

from .common import best_seconds, setup_cache  # noqa: F401 (for asv)

CASES = {
    "6k x 784, K=10, q=6": (6000, 784, 10, 6),
    "50k x 64, K=100, q=5": (50_000, 64, 100, 5),
    "20k x 192, K=50, q=20": (20_000, 192, 50, 20),
}


@functools.cache
def make_points(n_samples, n_features, n_components, n_factors):
    """(X, weights, means, loadings, noise variances) of a mixture of factor analyzers."""
    rng = np.random.default_rng(0)
    means = rng.normal(size=(n_components, n_features))
    loadings = 0.5 * rng.normal(size=(n_components, n_features, n_factors))
    noise = 0.5 * np.exp(0.5 * rng.normal(size=means.shape))
    labels = rng.integers(n_components, size=n_samples)
    X = np.empty((n_samples, n_features))
    for k in range(n_components):
        rows = np.flatnonzero(labels == k)
        factors = rng.normal(size=(rows.size, n_factors))
        X[rows] = means[k] + factors @ loadings[k].T + rng.normal(size=(rows.size, n_features)) * np.sqrt(noise[k])
    return X, np.full(n_components, 1 / n_components), means, loadings, noise


def quietly(model, X):
    """Fit, whether it converges or not, on however few points."""
    with warnings.catch_warnings():
        for category in (ConvergenceWarning, DegenerateFitWarning):
            warnings.simplefilter("ignore", category)
        return model.fit(X)


class Factors:
    """Five iterations of EM from near the truth, and a whole fit."""

    param_names = ("case",)
    params = (list(CASES),)
    timeout = 600

    def setup(self, case):
        self.X, *self.truth = make_points(*CASES[case])
        self.iterate()

    def iterate(self, points=None, n_iter=5, covariance_type="factors"):
        weights, means, loadings, noise = self.truth
        covariances = loadings, noise
        if covariance_type == "full":
            covariances = np.array([L @ L.T + np.diag(psi) for L, psi in zip(loadings, noise, strict=True)])
        params = {"warm_start": True, "tol": 0, "max_iter": n_iter, "algorithm": "em"}
        start = GaussianMixture.from_parameters(weights, means, covariances, covariance_type=covariance_type, **params)
        return quietly(start, self.X if points is None else points)

    def fit(self):
        n_components, _, n_factors = self.truth[2].shape
        model = GaussianMixture(n_components, covariance_type="factors", n_factors=n_factors, random_state=0)
        return quietly(model, self.X)

    def time_five_iterations(self, case):
        self.iterate()

    def time_fit(self, case):
        self.fit()

    def peakmem_fit(self, case):
        self.fit()

    def track_log_likelihood(self, case):
        """Of a whole fit, per point."""
        return self.fit().score(self.X)

    track_log_likelihood.unit = "nats"

    def track_full_beside_factors(self, case):
        """Seconds of an iteration with full covariances, in those with factors; on a part of the points."""
        some = self.X[: max(1000, len(self.X) // 20)]
        seconds = []
        for covariance_type in ("full", "factors"):
            run = functools.partial(self.iterate, some, covariance_type=covariance_type)
            one, three = best_seconds([functools.partial(run, n_iter=1), functools.partial(run, n_iter=3)], repeats=3)
            seconds.append(three - one)
        return seconds[0] / seconds[1]

    track_full_beside_factors.unit = "times"
