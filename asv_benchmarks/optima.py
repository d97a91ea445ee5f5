"""Optima reached by 'auto', 'em' and scikit-learn, all with their defaults and with the same seeds.

    python asv_benchmarks/optima.py [--seeds 20] [--json FILE] [DATA SET ...]
    python asv_benchmarks/optima.py --starts [--seeds 5] [DATA SET ...]    # what a larger n_init buys
    python asv_benchmarks/optima.py --labelled [--seeds 10]    # adjusted Rand index, held-out log-likelihood

The output has a Markdown row for each data set and covariance type: medians over the seeds of the mean log-likelihood
reached, and 'auto' against each of the others. A difference within 1e-3 nats per point is a tie. Times are sums over
the seeds. With --labelled, prior and shrinkage are compared, too, on the data sets of `labelled.py`.
"""

import argparse
import functools
import json
import math
import time
import warnings

import labelled
import numpy as np
import sklearn.mixture
from sklearn import datasets
from sklearn.decomposition import PCA

import fastem
from fastem.datasets import load_faithful

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
TIE = 1e-3
STARTS = 1, 3, 10, 30
METHODS = {
    "auto": fastem.GaussianMixture,
    "em": functools.partial(fastem.GaussianMixture, algorithm="em"),
    "scikit-learn": sklearn.mixture.GaussianMixture,
}


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def pixels(name):
    return datasets.load_sample_image(name).reshape(-1, 3)[::14].astype(float)


def gaussians(n_samples, n_features, n_components, distance, *, weights=None, stretch=1.0, seed=0):
    """Points of Gaussians of random shape: axes shrunk by up to `stretch`, centres some `distance` deviations apart."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_components, n_features)) * distance / math.sqrt(2 * n_features)
    labels = rng.choice(n_components, size=n_samples, p=weights)
    X = np.empty((n_samples, n_features))
    for k in range(n_components):
        rows = np.flatnonzero(labels == k)
        root = np.eye(n_features) + 0.5 * rng.normal(size=(n_features, n_features)) / math.sqrt(n_features)
        turn = np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]
        axes = turn * stretch ** -rng.uniform(size=n_features)
        X[rows] = rng.normal(size=(rows.size, n_features)) @ (root @ axes).T + centres[k]
    return X


def with_noise():
    X = gaussians(4000, 3, 5, 8.0)
    return np.concatenate([X, np.random.default_rng(1).uniform(X.min(0), X.max(0), size=(400, 3))])


def heavy_tails():
    rng = np.random.default_rng(0)
    X = rng.standard_t(3, size=(4000, 3))
    return X + 4 * rng.normal(size=(4, 3))[rng.integers(4, size=4000)]


UNEQUAL = np.array([0.5, 0.25, 0.12, 0.08, 0.03, 0.01, 0.005, 0.005])

DATA_SETS = {  # name: (points, number of components)
    "Old Faithful": lambda: (load_faithful().data, 2),
    "Old Faithful, K=4": lambda: (load_faithful().data, 4),
    "iris": lambda: (datasets.load_iris().data, 3),
    "wine": lambda: (standardised(datasets.load_wine().data), 3),
    "breast cancer": lambda: (standardised(datasets.load_breast_cancer().data[:, :10]), 3),
    "diabetes": lambda: (standardised(np.delete(datasets.load_diabetes().data, 1, axis=1)), 4),
    "digits, 10 PC": lambda: (PCA(10, random_state=0).fit_transform(datasets.load_digits().data), 10),
    "china.jpg": lambda: (pixels("china.jpg"), 8),
    "flower.jpg": lambda: (pixels("flower.jpg"), 8),
    "overlap, easy": lambda: (gaussians(5000, 5, 8, 10.0), 8),
    "overlap, medium": lambda: (gaussians(5000, 5, 8, 5.0), 8),
    "overlap, hard": lambda: (gaussians(5000, 5, 8, 2.5), 8),
    "25 clusters": lambda: (gaussians(5000, 2, 25, 25.0), 25),
    "unequal weights": lambda: (gaussians(10_000, 3, 8, 10.0, weights=UNEQUAL), 8),
    "needles, pancakes": lambda: (gaussians(5000, 4, 6, 4.0, stretch=1000.0), 6),
    "heavy tails": lambda: (heavy_tails(), 4),
    "duplicates": lambda: (np.round(gaussians(5000, 2, 5, 8.0)), 5),
    "scales": lambda: (gaussians(3000, 4, 4, 6.0) * [1e-3, 1.0, 30.0, 1e3], 4),
    "noise": lambda: (with_noise(), 5),
    "sampled": lambda: (gaussians(100_000, 8, 10, 5.0), 10),
}


def fit(method, X, n_components, covariance_type, seed):
    """(lower bound, seconds, n_iter, whether the lower bounds ever fall); -inf for a fit that fails."""
    begin = time.perf_counter()
    try:
        model = METHODS[method](n_components, covariance_type=covariance_type, random_state=seed).fit(X)
    except ValueError:
        return -math.inf, time.perf_counter() - begin, 0, False
    bounds = np.array(model.lower_bounds_)
    falls = bool(np.any(np.diff(bounds) < -1e-10 * np.maximum(1, np.abs(bounds[1:]))))
    return float(model.lower_bound_), time.perf_counter() - begin, model.n_iter_, falls


def fit_with(n_init, method, X, n_components, covariance_type, seed):
    """(lower bound, seconds) of a fit with this n_init; -inf for one that fails."""
    begin = time.perf_counter()
    try:
        model = METHODS[method](n_components, covariance_type=covariance_type, random_state=seed, n_init=n_init).fit(X)
    except ValueError:
        return -math.inf, time.perf_counter() - begin
    return float(model.lower_bound_), time.perf_counter() - begin


def print_starts(data_sets, n_seeds):
    """Print gain and cost of a larger n_init: medians over the seeds beside scikit-learn's n_init=10, and times."""
    n_cells = n_falls = n_losses = 0
    heads = [f"n_init={n}" for n in STARTS]
    print(f"| data | covariance | {' | '.join(heads)} | scikit-learn, n_init=10 | times n_init=1 |")
    print(f"| --- | --- |{' --: |' * len(heads)} --: | --: |")
    for name in data_sets:
        X, n_components = DATA_SETS[name]()
        for covariance_type in COVARIANCE_TYPES:
            fit("auto", X, n_components, covariance_type, 0)  # compiles
            runs = np.array(
                [
                    [fit_with(n, "auto", X, n_components, covariance_type, seed) for seed in range(n_seeds)]
                    for n in STARTS
                ]
            )
            theirs = [fit_with(10, "scikit-learn", X, n_components, covariance_type, s)[0] for s in range(n_seeds)]
            bounds, seconds = np.median(runs[..., 0], axis=1), runs[..., 1].sum(axis=1)
            n_cells += 1
            n_falls += int((np.diff(runs[..., 0], axis=0) < 0).sum())
            is_lower = 10 in STARTS and bounds[STARTS.index(10)] < np.median(theirs) - TIE
            n_losses += is_lower
            numbers = " | ".join(f"{bound:.5f}" for bound in bounds)
            costs = ", ".join(f"{each / seconds[0]:.1f}" for each in seconds)
            mark = " (higher)" if is_lower else ""
            print(f"| {name} | {covariance_type} | {numbers} | {np.median(theirs):.5f}{mark} | {costs} |", flush=True)
    print(f"\n{n_cells} cells: {n_falls} falls, {n_losses} below scikit-learn's n_init=10 by more than {TIE:g}")


def outcome(ours, theirs):
    difference = ours - theirs if ours != theirs else 0.0
    return "win" if difference > TIE else "loss" if difference < -TIE else "tie"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_sets", nargs="*", metavar="DATA SET", default=list(DATA_SETS))
    parser.add_argument("--seeds", type=int)
    parser.add_argument("--starts", action="store_true", help="what a larger n_init buys, beside scikit-learn's 10")
    parser.add_argument("--labelled", action="store_true", help="adjusted Rand index and held-out log-likelihood, too")
    parser.add_argument("--json", help="file for the raw results")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    if args.labelled:
        return labelled.report(list(labelled.DATA_SETS), args.seeds or 10, args.json)
    if args.starts:
        return print_starts(args.data_sets, args.seeds or 5)
    n_seeds = args.seeds or 20
    totals = {(other, result): 0 for other in ("em", "scikit-learn") for result in ("win", "tie", "loss")}
    raw, worst, n_falls = {}, (0.0, "none"), 0
    print("| data | covariance | auto | em | scikit-learn | beside em | beside scikit-learn | seconds: auto, em, sk. |")
    print("| --- | --- | --: | --: | --: | --- | --- | --: |")
    for name in args.data_sets:
        X, n_components = DATA_SETS[name]()
        for covariance_type in COVARIANCE_TYPES:
            fit("auto", X, n_components, covariance_type, 0)  # compiles
            runs = {
                method: [fit(method, X, n_components, covariance_type, seed) for seed in range(n_seeds)]
                for method in METHODS
            }
            raw[f"{name} {covariance_type}"] = runs
            medians = {method: float(np.median([bound for bound, *_ in each])) for method, each in runs.items()}
            seconds = ", ".join(f"{sum(each[1] for each in runs[method]):.1f}" for method in METHODS)
            n_falls += sum(falls for *_, falls in runs["auto"])
            outcomes = {other: outcome(medians["auto"], medians[other]) for other in ("em", "scikit-learn")}
            for other, result in outcomes.items():
                totals[other, result] += 1
                if result == "loss":
                    worst = min(worst, (medians["auto"] - medians[other], f"{name} {covariance_type} {other}"))
            numbers = " | ".join(f"{medians[method]:.5f}" for method in METHODS)
            print(
                f"| {name} | {covariance_type} | {numbers} | {' | '.join(outcomes.values())} | {seconds} |", flush=True
            )
    print()
    for other in ("em", "scikit-learn"):
        counts = ", ".join(f"{totals[other, result]} {result}" for result in ("win", "tie", "loss"))
        print(f"auto beside {other}: {counts}")
    print(f"worst loss: {worst[0]:.5f} ({worst[1]}); falling traces of auto: {n_falls}")
    if args.json:
        with open(args.json, "w") as file:
            json.dump(raw, file)


if __name__ == "__main__":
    main()
