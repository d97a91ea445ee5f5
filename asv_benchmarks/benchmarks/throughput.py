"""How much of what the machine can multiply a pass with full covariances does."""

from .common import (
    FULL,
    fit,
    make_case,
    matmul_flops_per_second,
    seconds_per_iteration,
    setup_cache,  # noqa: F401 (for asv)
)


class Throughput:
    param_names = ("case",)
    params = (FULL,)

    def setup(self, case):
        self.X, self.start = make_case(case)
        self.fit_for(1)  # loads the kernels

    def fit_for(self, n_iterations):
        fit(self.X, max_iter=n_iterations, **self.start)

    def track_share_of_matmul(self, case):
        """A pass's useful multiplications and additions a second, beside those of NumPy's matrix product."""
        (n, d), k = self.X.shape, self.start["n_components"]
        flops = 2 * d * (d + 1) * n * k  # half the density's triangle, half the second moment's
        seconds = seconds_per_iteration(self.fit_for, short=1, long=11, repeats=5)
        return flops / seconds / matmul_flops_per_second()

    track_share_of_matmul.unit = "share"
