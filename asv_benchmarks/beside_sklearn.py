"""The README's tables: seconds and log-likelihood beside scikit-learn's.

    python asv_benchmarks/beside_sklearn.py [fits | iterations]

`fits` times whole fits with each library's defaults: medians of three seeds. `iterations` times iterations from the
same start: the difference of two runs of different length, so that start and set-up don't count. In each row the two
libraries run one after the other, on all cores.
"""

import platform
import sys
import time

import numba
import numpy as np
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


def time_whole_fit(cls, X, n_components, covariance_type, seeds=range(3)):
    """(seconds, mean log-likelihood), the median over the seeds of each."""
    rows = []
    for seed in seeds:
        begin = time.perf_counter()
        model = fit(X, n_components, cls, covariance_type=covariance_type, random_state=seed)
        rows.append((time.perf_counter() - begin, model.lower_bound_))
    return np.median(rows, axis=0)


def print_fits():
    print("| covariance | points | features | components | scikit-learn | nats | fastem | nats | ratio |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: |")
    for covariance_type, *shape in WORKLOADS:
        X, means = make_points.__wrapped__(*shape)
        fit(X[:1000], len(means), covariance_type=covariance_type, max_iter=1)  # compiles
        ours, bound = time_whole_fit(GaussianMixture, X, len(means), covariance_type)
        theirs, their_bound = time_whole_fit(sklearn.mixture.GaussianMixture, X, len(means), covariance_type)
        n, d, k = shape
        print(
            f"| {covariance_type} | {n:,} | {d} | {k} | {theirs:.1f} s | {their_bound:.4f} | {ours:.2f} s "
            f"| {bound:.4f} | {theirs / ours:.0f} |",
            flush=True,
        )


def print_iterations():
    print("| covariance | points | features | components | scikit-learn | fastem | ratio | nats, both |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: |")
    for covariance_type, *shape in WORKLOADS:
        X, means = make_points.__wrapped__(*shape)
        params = dict(make_start(X, means, covariance_type), covariance_type=covariance_type, algorithm="em")
        fit(X[:1000], len(means), max_iter=1, **params)  # compiles
        ours, bound = time_fit(GaussianMixture, X, len(means), params, 5)
        del params["algorithm"]
        theirs, their_bound = time_fit(sklearn.mixture.GaussianMixture, X, len(means), params, 1)
        assert abs(bound - their_bound) < 1e-9 * abs(bound)
        n, d, k = shape
        print(
            f"| {covariance_type} | {n:,} | {d} | {k} | {theirs:.3f} s | {ours:.4f} s | {theirs / ours:.0f} "
            f"| {bound:.6f} |",
            flush=True,
        )


def main():
    tables = {"fits": print_fits, "iterations": print_iterations}
    print(f"{_processor()}, {numba.config.NUMBA_NUM_THREADS} threads; scikit-learn {sklearn.__version__}")
    for name in sys.argv[1:] or tables:
        print()
        tables[name]()


def _processor():
    try:
        with open("/proc/cpuinfo") as lines:
            return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
