"""Fitting: ten iterations from a fixed start, and end to end with the defaults."""

import numpy as np

from .common import COVARIANCE_TYPES, SHAPES, USUAL_SHAPE, fit, make_points, make_start

N_ITERATIONS = 10


class _Fit:
    """Time, peak memory and the log-likelihood reached of one fit; a subclass says which."""

    timeout = 300

    def setup(self, *params):
        self.prepare(*params)
        self.run()  # compiles, or loads what is compiled

    def time_fit(self, *params):
        self.run()

    def peakmem_fit(self, *params):
        self.run()

    def track_log_likelihood(self, *params):
        """Mean per point: a faster fit to a worse one is not faster."""
        return float(self.run().lower_bound_)

    track_log_likelihood.unit = "nats"


class TenIterations(_Fit):
    """The pass itself: ten of them, everything else made negligible."""

    param_names = ("shape", "covariance_type")
    params = (list(SHAPES), COVARIANCE_TYPES)
    dtype = "float64"

    def prepare(self, shape, covariance_type):
        X, means = make_points(*SHAPES[shape])
        start = make_start(X, means, covariance_type)
        self.X = X.astype(self.dtype)
        self.settings = dict(start, covariance_type=covariance_type, algorithm="em", tol=0, max_iter=N_ITERATIONS)

    def run(self):
        return fit(self.X, len(self.settings["weights_init"]), **self.settings)


class TenIterationsFloat32(TenIterations):
    params = ([USUAL_SHAPE], ["full", "diag"])
    dtype = "float32"


class Defaults(_Fit):
    """What a user waits for: start, iterations to convergence."""

    param_names = ("covariance_type",)
    params = (COVARIANCE_TYPES,)

    def prepare(self, covariance_type):
        self.X, means = make_points(*SHAPES[USUAL_SHAPE])
        self.n_components, self.covariance_type = len(means), covariance_type

    def run(self):
        return fit(self.X, self.n_components, covariance_type=self.covariance_type, random_state=0)

    def track_iterations(self, *params):
        return self.run().n_iter_

    track_iterations.unit = "iterations"


class Small:
    """A fit where the passes are nothing: what the driver itself costs."""

    def setup(self):
        self.X = np.random.default_rng(0).normal(size=(300, 2))
        self.time_hundred_iterations()

    def time_hundred_iterations(self):
        fit(self.X, 3, init_params="random", random_state=0, tol=0, max_iter=100)
