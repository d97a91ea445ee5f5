"""How many components: variational Bayes beside plain EM, thousands of them, and the selection among many mixtures."""

import functools

import fastem

from .common import (
    COVARIANCE_TYPES,
    USUAL,
    best_seconds,
    make_case,
    make_points,
    make_start,
    setup_cache,  # noqa: F401 (for asv)
)
from .fit import _Fit


class Bayesian(_Fit):
    """Ten iterations of variational Bayes: the pass of plain EM, and another M-step."""

    param_names = ("case",)
    params = ([f"{covariance_type} {USUAL}" for covariance_type in COVARIANCE_TYPES],)

    def prepare(self, case):
        self.X, self._plain = make_case(case)
        self.settings = {name: self._plain[name] for name in ("n_components", "covariance_type", "tol")}
        self.settings |= {"algorithm": "em", "init_params": "random", "random_state": 0, "max_iter": 10}

    def run(self, cls=fastem.BayesianGaussianMixture, **changes):
        return cls(**{**self.settings, **changes}).fit(self.X)

    def track_share_of_plain(self, case):
        """Seconds of ten iterations beside plain EM's from such a start."""
        bayesian, plain = best_seconds([self.run, functools.partial(self.run, fastem.GaussianMixture)], repeats=3)
        return bayesian / plain

    track_share_of_plain.unit = "times"


class Truncated(_Fit):
    """Ten iterations of truncated EM, whose cost should hardly grow. (256 components that overlap are all visited.)"""

    param_names = ("n_components", "covariance_type")
    params = ([512, 1024, 4096], ["diag", "full"])

    def prepare(self, n_components, covariance_type):
        self.X, means = make_points(200_000, 16, n_components)
        self.settings = make_start(self.X, means, covariance_type) | {
            "n_components": n_components,
            "covariance_type": covariance_type,
            "algorithm": "truncated",
            "max_iter": 10,
            "tol": 0,
        }

    def track_share_of_em(self, n_components, covariance_type):
        """Seconds of an iteration beside those of EM, which compares every point with every component."""
        few = {"max_iter": 2}
        truncated, exact = best_seconds([self.run, functools.partial(self.run, algorithm="em", **few)], repeats=1)
        return truncated / exact / 5

    track_share_of_em.unit = "times"


class Select:
    """Numbers of components 1 to 10 and four covariance types: forty mixtures."""

    param_names = ("n_samples",)
    params = ([1000, 200_000],)

    def setup(self, n_samples):
        self.X, _ = make_points(n_samples, 4, 8)
        self.run()

    def run(self):
        return fastem.select(self.X, range(1, 11), random_state=0)

    def time_select(self, n_samples):
        self.run()

    def track_bic(self, n_samples):
        """Of the mixture chosen, per point."""
        return float(self.run().results_["bic"].min()) / n_samples

    track_bic.unit = "nats times 2"
