"""Passes and fits of t mixtures, beside those of Gaussian mixtures."""

import numpy as np

import fastem
from fastem.model.families import FAMILIES
from fastem.model.families.student import StudentFamily, StudentParameters
from fastem.sources import ArraySource

from .common import (
    best_seconds,
    make_points,
    setup_cache,  # noqa: F401 (for asv)
)


class StudentPass:
    param_names = ("covariance_type", "dtype")
    params = (["full", "tied", "diag", "spherical"], ["float64", "float32"])

    def setup(self, covariance_type, dtype):
        X, means = make_points(1_000_000, 10, 16)
        self.points = ArraySource(X.astype(dtype))
        gaussian = FAMILIES[covariance_type].with_variances(means, np.full(10, 1.5))
        arrays = gaussian.weights, gaussian.means, gaussian.covariances, gaussian.precisions_cholesky
        student = StudentParameters(StudentFamily(gaussian.family), *arrays, np.full(16, 5.0))
        self.mixtures = gaussian, student
        self.time_iteration(covariance_type, dtype)  # loads the kernels

    def time_iteration(self, covariance_type, dtype):
        self._iterate(self.mixtures[1])

    def _iterate(self, mixture):
        mixture.family.maximize(self.points.e_step(mixture), 1e-6)

    def track_times_gaussian(self, covariance_type, dtype):
        """Seconds of an iteration beside those of the Gaussian mixture's."""
        gaussian, student = best_seconds([lambda mixture=each: self._iterate(mixture) for each in self.mixtures], 5)
        return student / gaussian

    track_times_gaussian.unit = "ratio"


class StudentFit:
    """Fits to groups with heavy tails."""

    param_names = ("case",)
    cases = {"1k x 4, K=4": (1_000, 4, 4), "200k x 10, K=8": (200_000, 10, 8)}
    params = (list(cases),)

    def setup(self, case):
        n, d, k = self.cases[case]
        rng = np.random.default_rng(0)
        X, _ = make_points(n, d, k)
        self.X = X * np.sqrt(4 / rng.chisquare(4, size=(n, 1)))
        self.model = fastem.StudentTMixture(k, random_state=0)
        self.time_fit(case)

    def time_fit(self, case):
        self.model.fit(self.X)

    def track_log_likelihood(self, case):
        return self.model.score(self.X)

    track_log_likelihood.unit = "nats per point"
