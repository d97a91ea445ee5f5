"""Passes over points with missing values, beside complete points."""

import numpy as np

from fastem.model.families import FAMILIES
from fastem.sources import ArraySource
from fastem.sources.incomplete import incomplete_rows

from .common import (
    best_seconds,
    make_points,
    setup_cache,  # noqa: F401 (for asv)
)


class Missing:
    param_names = ("case",)
    cases = {  # (covariance type, points, features, components, share of the cells that are missing)
        "full 100k x 10, K=16, 20 %": ("full", 100_000, 10, 16, 0.2),
        "full 100k x 10, K=16, 1 %": ("full", 100_000, 10, 16, 0.01),
        "diag 100k x 10, K=16, 20 %": ("diag", 100_000, 10, 16, 0.2),
        "full 1k x 30, K=4, 50 %": ("full", 1_000, 30, 4, 0.5),
    }
    params = (list(cases),)

    def setup(self, case):
        covariance_type, n, d, k, share = self.cases[case]
        X, means = make_points(n, d, k)
        self.complete = ArraySource(X)
        self.points = incomplete_rows(np.where(np.random.default_rng(0).random(X.shape) < share, np.nan, X))
        self.parameters = FAMILIES[covariance_type].with_variances(means, np.full(d, 1.5))
        self.time_pass(case)  # loads the kernels
        self.complete.accumulate(self.parameters)

    def time_pass(self, case):
        self.points.accumulate(self.parameters)

    def track_times_complete(self, case):
        """Seconds of a pass beside those of a pass over the same points without missing values."""
        calls = [lambda source=source: source.accumulate(self.parameters) for source in (self.complete, self.points)]
        complete, missing = best_seconds(calls, repeats=5)
        return missing / complete

    track_times_complete.unit = "ratio"
