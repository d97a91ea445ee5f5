"""Missing values: passes beside complete data, and hidden cells filled in beside scikit-learn's imputers.

    python asv_benchmarks/missing.py [speed] [memory] [accuracy]

Without a name all tables are printed. An imputer's error is the root mean square of its errors at hidden cells, in
standard deviations of the feature; medians of three patterns of hidden cells.
"""

import argparse
import functools
import resource
import time
import warnings

import numpy as np
import sklearn.datasets
from benchmarks.common import best_seconds, make_points
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer

from fastem import GaussianMixture, MixtureImputer
from fastem.datasets import load_faithful, load_penguins
from fastem.model.families import FAMILIES
from fastem.sources import ArraySource
from fastem.sources.incomplete import incomplete_rows

SIZES = [  # covariance type, points, features, components, share of the cells that are missing
    ("full", 1_000_000, 10, 16, 0.2),
    ("full", 200_000, 10, 16, 0.01),
    ("full", 2_000, 4, 3, 0.2),
    ("tied", 1_000_000, 10, 16, 0.2),
    ("diag", 1_000_000, 10, 16, 0.2),
    ("full", 20_000, 50, 16, 0.5),
]

SETS = {
    "penguins": lambda: load_penguins().data,
    "faithful": lambda: load_faithful().data,
    "iris": lambda: sklearn.datasets.load_iris().data,
    "wine": lambda: sklearn.datasets.load_wine().data,
    "breast cancer": lambda: sklearn.datasets.load_breast_cancer().data,
    "diabetes": lambda: sklearn.datasets.load_diabetes().data,
}

IMPUTERS = {
    "KNNImputer": KNNImputer,
    "IterativeImputer": functools.partial(IterativeImputer, random_state=0),
    "MixtureImputer": functools.partial(MixtureImputer, random_state=0),
}


def hidden(X, share, seed=0):
    """A copy of X with this share of its cells missing at random."""
    return np.where(np.random.default_rng(seed).random(X.shape) < share, np.nan, X)


def passes(covariance_type, n, d, k, share):
    """(seconds of a pass over complete points, the same with missing values, number of patterns)."""
    X, means = make_points.__wrapped__(n, d, k)
    parameters = FAMILIES[covariance_type].with_variances(means, np.full(d, 1.5))
    complete, incomplete = ArraySource(X), incomplete_rows(hidden(X, share))
    calls = [functools.partial(source.accumulate, parameters) for source in (complete, incomplete)]
    for call in calls:
        call()  # compiles
    return *best_seconds(calls, repeats=5), incomplete.n_patterns


def speed():
    print("| covariance | points | D | K | missing | patterns | complete | with missing values | ratio |")
    print("| --- | --: | --: | --: | --: | --: | --: | --: | --: |")
    for covariance_type, n, d, k, share in SIZES:
        complete, missing, n_patterns = passes(covariance_type, n, d, k, share)
        print(
            f"| {covariance_type} | {n:,} | {d} | {k} | {share:.0%} | {n_patterns:,} | {complete * 1e3:.2f} ms "
            f"| {missing * 1e3:.2f} ms | {missing / complete:.2f} |",
            flush=True,
        )


def memory():
    """Peak memory that a fit adds to the data, complete or not."""
    n, rng = 4_000_000, np.random.default_rng(0)
    X = np.empty((n, 10))
    for part in np.array_split(X, 400):  # in parts, so that making the data takes no more than the data
        part[:] = rng.normal(size=part.shape) + 2 * rng.integers(16, size=(len(part), 1))

    def peak(X):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            GaussianMixture(16, algorithm="em", max_iter=2, missing="em", random_state=0).fit(X)
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    peak(X[:100_000])  # compiles
    peak(hidden(X[:100_000], 0.2))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    complete = peak(X) - before
    for part in np.array_split(X, 400):
        part[rng.random(part.shape) < 0.2] = np.nan
    missing = peak(X) - before
    print(f"\n{n:,} x 10, K=16, full: peak {complete:.0f} MiB above the data, {missing:.0f} with missing values")


def accuracy():
    print(f"\n| data | hidden | {' | '.join(IMPUTERS)} |\n| --- | --: {'| --: ' * len(IMPUTERS)}|")
    for name, load in SETS.items():
        X = load()
        X = (X - X.mean(axis=0)) / X.std(axis=0)
        for share in (0.05, 0.2, 0.5):
            cells = []
            for make in IMPUTERS.values():
                errors, seconds = [], []
                for seed in range(3):
                    incomplete = hidden(X, share, seed)
                    begin = time.perf_counter()
                    with warnings.catch_warnings():
                        warnings.simplefilter("ignore")
                        filled = make().fit_transform(incomplete)
                    seconds.append(time.perf_counter() - begin)
                    errors.append(np.sqrt(np.mean((filled - X)[np.isnan(incomplete)] ** 2)))
                cells.append(f"{np.median(errors):.3f} ({np.median(seconds):.2f} s)")
            print(f"| {name} | {share:.0%} | {' | '.join(cells)} |", flush=True)


def main():
    tables = {"speed": speed, "memory": memory, "accuracy": accuracy}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE", help=f"one or more of {', '.join(tables)}")
    for name in parser.parse_args().tables or tables:
        tables[name]()


if __name__ == "__main__":
    main()
