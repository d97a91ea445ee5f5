"""Passes with a noise component, beside those without."""

import numpy as np

from fastem.fitting.noise import noise_of
from fastem.model.families import FAMILIES
from fastem.model.noise import NoisyFamily
from fastem.sources import ArraySource

from .common import (
    COVARIANCE_TYPES,
    best_seconds,
    make_points,
    setup_cache,  # noqa: F401 (for asv)
)


class Noise:
    param_names = ("covariance_type",)
    params = (COVARIANCE_TYPES,)

    def setup(self, covariance_type):
        X, means = make_points(1_000_000, 10, 16)
        self.source = ArraySource(X)
        self.plain = FAMILIES[covariance_type].with_variances(means, np.full(10, 1.5))
        self.noisy = NoisyFamily(self.plain.family, noise_of(self.source, None)).noisy(self.plain, 0.05)
        self.time_pass(covariance_type)  # loads the kernels

    def time_pass(self, covariance_type):
        self.source.accumulate(self.noisy)

    def time_volume(self, covariance_type):
        noise_of(self.source, None)

    def track_times_plain(self, covariance_type):
        """Seconds of a pass beside those of a pass without noise."""
        calls = [lambda parameters=parameters: self.source.accumulate(parameters) for parameters in self._both]
        plain, noisy = best_seconds(calls, repeats=7)
        return noisy / plain

    track_times_plain.unit = "ratio"

    @property
    def _both(self):
        return self.plain, self.noisy
