"""Fitting: a few iterations from a fixed start in every regime, and end to end with the defaults."""

import functools
import math

import numba
import numpy as np

from .common import (
    CASES,
    COVARIANCE_TYPES,
    FULL,
    USUAL,
    best_seconds,
    fit,
    make_case,
    make_points,
    make_start,
    setup_cache,  # noqa: F401 (for asv)
)


class _Fit:
    """Time, peak memory and the log-likelihood reached of one fit; a subclass says which: self.X, self.settings."""

    def setup(self, *params):
        self.prepare(*params)
        self.run(max_iter=1)  # loads the kernels

    def run(self, **changes):
        return fit(self.X, **{**self.settings, **changes})

    def time_fit(self, *params):
        self.run()

    def peakmem_fit(self, *params):
        self.run()

    def track_negative_log_likelihood(self, *params):
        """Mean per point: a faster fit to a worse one is not faster. Negative, since to asv less is better."""
        return -float(self.run().lower_bound_)

    track_negative_log_likelihood.unit = "nats"


class TenIterations(_Fit):
    """The pass itself: ten of them, everything else made negligible."""

    param_names = ("case",)
    params = (list(CASES),)
    dtype = "float64"

    def prepare(self, case):
        X, start = make_case(case)
        self.X = X.astype(self.dtype, copy=False)
        self.settings = dict(start, max_iter=10)


class TenIterationsFloat32(TenIterations):
    """Points of half the size."""

    params = ([*FULL, f"diag {USUAL}"],)
    dtype = "float32"


class Threads(_Fit):
    """The usual fit on some of the threads: what a second one brings."""

    param_names = ("case", "n_threads")
    params = ([f"full {USUAL}", "diag 1M x 2, K=8"], [1, 2])

    def prepare(self, case, n_threads):
        if n_threads > numba.config.NUMBA_NUM_THREADS:
            raise NotImplementedError("no such number of threads on this machine")
        self.X, start = make_case(case)
        self.settings = dict(start, max_iter=10, n_threads=n_threads)

    def track_efficiency(self, case, n_threads):
        """1: n threads take an n-th of one's time. For one thread, how far from 1 the noise takes it."""
        alone, together = best_seconds([functools.partial(self.run, n_threads=1), self.run], repeats=5)
        return alone / (n_threads * together)

    track_efficiency.unit = "share"


class ManyClusters(_Fit):
    """Clusters far from each other, from their true means: at nearly every point all densities but one are 0."""

    param_names = ("n_components", "n_features", "covariance_type")
    params = ([64, 1024], [2, 8], ["full", "diag"])

    def prepare(self, n_components, n_features, covariance_type):
        self.X, means = make_points(200_000, n_features, n_components, separated=True)
        start = make_start(self.X, means, covariance_type, shift=0, variances=np.ones(n_features))
        self.settings = dict(
            start, n_components=n_components, covariance_type=covariance_type, algorithm="em", tol=0, max_iter=4
        )


class Leading(_Fit):
    """Clusters apart in tens of features: a few of these tell that a component explains nothing of a point."""

    param_names = ("n_features", "covariance_type")
    params = ([32, 64], ["diag", "spherical"])

    def prepare(self, n_features, covariance_type):
        n_components, rng = 256, np.random.default_rng(0)
        means = 20 / math.sqrt(2 * n_features) * rng.normal(size=(n_components, n_features))
        self.X = means[rng.integers(n_components, size=50_000)] + rng.normal(size=(50_000, n_features))
        start = make_start(self.X, means, covariance_type, shift=0, variances=np.ones(n_features))
        self.settings = dict(
            start, n_components=n_components, covariance_type=covariance_type, algorithm="em", tol=0, max_iter=4
        )


class Defaults(_Fit):
    """What a user waits for: start, iterations to convergence."""

    param_names = ("covariance_type",)
    params = (COVARIANCE_TYPES,)

    def prepare(self, covariance_type):
        _, *shape = CASES[f"{covariance_type} {USUAL}"]
        self.X, means = make_points(*shape)
        self.settings = dict(n_components=len(means), covariance_type=covariance_type, random_state=0)

    def track_passes(self, *params):
        """Over all the points; those over samples beside them are in the time."""
        return self.run().fit_report_.n_passes

    track_passes.unit = "passes"


class Crawl(_Fit):
    """Two Gaussians overlapping by half, where EM needs 1,200 iterations: from one start, to a tight tolerance."""

    def prepare(self):
        rng = np.random.default_rng(0)
        self.X = rng.normal(size=(5000, 2)) + (rng.uniform(size=(5000, 1)) < 0.5) * [1.2, 0]
        self.settings = dict(n_components=2, init_params="kmeans", random_state=0, tol=1e-7, max_iter=5000)

    def track_passes(self):
        return self.run().fit_report_.n_passes

    track_passes.unit = "passes"


class HundredIterationsOfFewPoints(_Fit):
    """A fit where the passes are nothing: what the driver itself costs."""

    def prepare(self):
        self.X = np.random.default_rng(0).normal(size=(300, 2))
        self.settings = dict(n_components=3, init_params="random", random_state=0, tol=0, max_iter=100)
