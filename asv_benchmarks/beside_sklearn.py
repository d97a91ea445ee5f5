"""The README's table: seconds per iteration beside scikit-learn's, from the same start, with the fit reached.

    python asv_benchmarks/beside_sklearn.py

One run, every row both libraries one after the other, all cores for each. A difference of two runs of different
length leaves the start and the set-up out.
"""

import platform

import numba
import sklearn.mixture
from benchmarks.common import fit, make_points, make_start, seconds_per_iteration

from fastem import GaussianMixture

WORKLOADS = [  # covariance type, points, features, components
    ("full", 1_000_000, 2, 8),
    ("full", 1_000_000, 10, 16),
    ("full", 200_000, 32, 16),
    ("tied", 1_000_000, 10, 16),
    ("diag", 1_000_000, 10, 16),
    ("spherical", 1_000_000, 10, 16),
]
SHORT, LONG = 1, 4


def time_fit(cls, X, n_components, params, repeats):
    """(seconds per iteration, mean log-likelihood after LONG iterations)."""
    models = {}

    def fit_for(n_iterations):
        models[n_iterations] = fit(X, n_components, cls, max_iter=n_iterations, tol=0, **params)

    return seconds_per_iteration(fit_for, SHORT, LONG, repeats), models[LONG].lower_bound_


def main():
    print(f"{_processor()}, {numba.config.NUMBA_NUM_THREADS} threads; scikit-learn {sklearn.__version__}\n")
    print("| covariance | points | features | components | scikit-learn | fastem | ratio | nats, both |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: |")
    for covariance_type, *shape in WORKLOADS:
        X, means = make_points.__wrapped__(*shape)
        params = dict(make_start(X, means, covariance_type), covariance_type=covariance_type)
        fit(X[:1000], len(means), max_iter=1, **params)  # compiles
        ours, bound = time_fit(GaussianMixture, X, len(means), params, 5)
        theirs, their_bound = time_fit(sklearn.mixture.GaussianMixture, X, len(means), params, 1)
        assert abs(bound - their_bound) < 1e-9 * abs(bound)
        n, d, k = shape
        print(
            f"| {covariance_type} | {n:,} | {d} | {k} | {theirs:.3f} s | {ours:.4f} s | {theirs / ours:.0f} "
            f"| {bound:.6f} |",
            flush=True,
        )


def _processor():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
