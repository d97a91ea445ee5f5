"""Data, starts and the mixture every benchmark fits, and how seconds are taken."""

import functools
import math
import time
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture, warm_up

COVARIANCE_TYPES = ["full", "tied", "diag", "spherical"]

# What a pass does most of depends on its shape: points, features, components, and the types to see it with.
REGIMES = [
    (100, 2, 3, ["full", "diag"]),  # no points to speak of: what the driver costs
    (10_000_000, 1, 4, ["full"]),  # as little as can be done with a point: memory, and nothing of size N x K
    (1_000_000, 1, 8, COVARIANCE_TYPES),  # one feature, where all types are the same model: exp and log
    (1_000_000, 2, 8, COVARIANCE_TYPES),  # a few features: still mostly exp
    (1_000_000, 4, 1, ["full", "diag"]),  # one component: the moments alone, every responsibility is 1
    (20_000, 3, 1024, ["full", "spherical"]),  # small components in great number: loops over K
    (100_000, 10, 16, COVARIANCE_TYPES),  # the usual: more multiplying than exp
    (20_000, 16, 256, ["full", "tied"]),  # factors and moments as large as a second-level cache
    (30_000, 32, 16, COVARIANCE_TYPES),  # mostly multiplying, few enough features for the first-level cache
    (20_000, 64, 4, ["full", "tied"]),  # many features, few components
    (5_000, 128, 16, COVARIANCE_TYPES),  # one component's factor no longer fits the first-level cache
    (2_000, 512, 2, ["full", "diag"]),  # the most features: the M-step's factorisations count too
]


def _short(number):
    """100, 30k, 10M."""
    for unit, letter in [(1_000_000, "M"), (1000, "k")]:
        if number % unit == 0:
            return f"{number // unit}{letter}"
    return str(number)


# name: (covariance type, points, features, components); the size is in the name, so that another is another result
CASES = {
    f"{covariance_type} {_short(n)} x {d}, K={k}": (covariance_type, n, d, k)
    for n, d, k, covariance_types in REGIMES
    for covariance_type in covariance_types
}
USUAL = "100k x 10, K=16"
FULL = [f"full {USUAL}", "full 30k x 32, K=16", "full 5k x 128, K=16"]  # more and more multiplying


def setup_cache():
    """Once for all modules that import it, in a process of its own: a compiler's memory is no fit's."""
    warm_up()


setup_cache.timeout = 900


@functools.cache
def make_points(n_samples, n_features, n_components, separated=False):
    """Points of Gaussians of random shape, overlapping or far from each other, and the Gaussians' means."""
    rng = np.random.default_rng(0)
    if separated:
        means = _far_means(rng, n_components, n_features)
    else:
        means = rng.normal(size=(n_components, n_features)) * 3 / math.sqrt(2 * n_features)
    labels = rng.integers(n_components, size=n_samples)
    X = np.empty((n_samples, n_features))
    for k in range(n_components):
        root = 0.5 * rng.normal(size=(n_features, n_features)) / math.sqrt(n_features) + np.eye(n_features)
        rows = np.flatnonzero(labels == k)
        X[rows] = rng.normal(size=(rows.size, n_features)) @ root.T + means[k]
    return X, means


def _far_means(rng, n_components, n_features):
    """Different corners of a lattice 20 apart, where deviations are about 1."""
    side = math.ceil(n_components ** (1 / n_features))
    corners = rng.choice(side**n_features, size=n_components, replace=False)
    return 20.0 * np.column_stack(np.unravel_index(corners, (side,) * n_features))


def make_start(X, means, covariance_type, shift=0.3, variances=None):
    """A start every implementation takes: the true means moved, equal weights, the data's variances or those given."""
    n_components = len(means)
    noise = np.random.default_rng(1).normal(size=means.shape)
    variances = X.var(axis=0) if variances is None else variances
    return {
        "weights_init": np.full(n_components, 1 / n_components),
        "means_init": means + shift * np.sqrt(variances) * noise,
        "precisions_init": {
            "full": np.tile(np.diag(1 / variances), (n_components, 1, 1)),
            "tied": np.diag(1 / variances),
            "diag": np.tile(1 / variances, (n_components, 1)),
            "spherical": np.full(n_components, 1 / variances.mean()),
        }[covariance_type],
    }


def make_case(case):
    """A case's points, and the arguments of a fit to them that goes on for as many iterations as are asked for."""
    covariance_type, *shape = CASES[case]
    X, means = make_points(*shape)
    start = make_start(X, means, covariance_type)
    return X, dict(start, n_components=len(means), covariance_type=covariance_type, algorithm="em", tol=0)


def fit(X, n_components, cls=GaussianMixture, **params):
    """A fit, its ConvergenceWarning left out: benchmarks run a fixed number of iterations."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return cls(n_components, **params).fit(X)


def best_seconds(runs, repeats):
    """The fewest seconds of each, taken in turns: what disturbs the machine disturbs all alike."""
    best = [math.inf] * len(runs)
    for _ in range(repeats):
        for i, run in enumerate(runs):
            begin = time.perf_counter()
            run()
            best[i] = min(best[i], time.perf_counter() - begin)
    return best


def seconds_per_iteration(fit_for, short, long, repeats):
    """From the difference of two runs of different length, which leaves the start and the set-up out."""
    runs = [functools.partial(fit_for, short), functools.partial(fit_for, long)]
    few, many = best_seconds(runs, repeats)
    return (many - few) / (long - short)


def matmul_flops_per_second(dtype="float64", size=2000):
    """Of NumPy's matrix product, on all threads that it takes: what the machine can multiply."""
    left, right = np.random.default_rng(0).normal(size=(2, size, size)).astype(dtype)
    (seconds,) = best_seconds([lambda: left @ right], repeats=5)
    return 2 * size**3 / seconds
