"""What better optima and regularisation are worth on labelled data: adjusted Rand index and held-out log-likelihood.

    python asv_benchmarks/labelled.py [--seeds 10] [--json FILE] [DATA SET ...]

Each seed draws the fits' own random numbers and a split of the points, 70 % to fit and 30 % to score. The likelihood
and the adjusted Rand index (Hubert & Arabie 1985) are of fits to all points, with as many components as there are
classes. Rows of the output are means over the seeds for a data set and covariance type, the last row is their mean. A
fit that fails counts as one component would: its index is 0, and its scores are those of a single Gaussian.
"""

import argparse
import csv
import functools
import json
import warnings
from pathlib import Path

import numpy as np
import sklearn.mixture
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

import fastem
from fastem.datasets import load_penguins, make_mixture

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
SHRUNK = ("full", "tied", "diag")
METHODS = {
    "scikit-learn": sklearn.mixture.GaussianMixture,
    "em": functools.partial(fastem.GaussianMixture, algorithm="em"),
    "auto": fastem.GaussianMixture,
    "prior='default'": functools.partial(fastem.GaussianMixture, prior="default"),
    "shrinkage='oas'": functools.partial(fastem.GaussianMixture, shrinkage="oas"),
    "shrinkage='ledoit-wolf'": functools.partial(fastem.GaussianMixture, shrinkage="ledoit-wolf"),
    "shrinkage=0.1": functools.partial(fastem.GaussianMixture, shrinkage=0.1),
}
SHARE = 0.7  # of the points that held-out scores are fitted to
MEASURES = "log-likelihood", "adjusted Rand index", "held-out log-likelihood"


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def of_sklearn(load, transform=standardised):
    X, labels = load(return_X_y=True)
    return transform(X), labels


def penguins():
    bunch = load_penguins()
    whole = ~np.isnan(bunch.data).any(axis=1)
    return standardised(bunch.data[whole]), bunch.target[whole]


def thyroid():
    with open(Path(__file__).parents[1] / "tests/data/thyroid.csv") as file:
        rows = list(csv.reader(file))[1:]
    return standardised(np.array([row[1:] for row in rows], dtype=float)), np.array([row[0] for row in rows])


def drawn(overlap, n_samples, n_components, n_features, covariance_type="full", weights=None, seed=0):
    bunch = make_mixture(
        n_samples, n_components, n_features, overlap=overlap, covariance_type=covariance_type, weights=weights,
        random_state=seed,
    )  # fmt: skip
    return bunch.data, bunch.target


UNEQUAL = [0.5, 0.3, 0.15, 0.05]

DATA_SETS = {  # name: (points, labels); of the drawn ones the overlap, the Bayes error, is in the name
    "iris": lambda: of_sklearn(datasets.load_iris, np.array),
    "wine": lambda: of_sklearn(datasets.load_wine),
    "digits, 10 PC": lambda: of_sklearn(datasets.load_digits, PCA(10, random_state=0).fit_transform),
    "breast cancer, 10 features": lambda: of_sklearn(datasets.load_breast_cancer, lambda X: standardised(X[:, :10])),
    "penguins": penguins,
    "thyroid": thyroid,
    "0.1 %: 1000 x 2, K=3": lambda: drawn(0.001, 1000, 3, 2),
    "1 %: 500 x 4, K=4": lambda: drawn(0.01, 500, 4, 4),
    "1 %: 1000 x 10, K=5": lambda: drawn(0.01, 1000, 5, 10),
    "2 %: 2000 x 5, K=8": lambda: drawn(0.02, 2000, 8, 5),
    "5 %: 300 x 2, K=3": lambda: drawn(0.05, 300, 3, 2),
    "5 %: 1000 x 3, K=4, unequal": lambda: drawn(0.05, 1000, 4, 3, weights=UNEQUAL),
    "5 %: 150 x 6, K=3": lambda: drawn(0.05, 150, 3, 6),
    "5 %: 2000 x 2, K=12": lambda: drawn(0.05, 2000, 12, 2),
    "10 %: 1000 x 5, K=5, diag": lambda: drawn(0.10, 1000, 5, 5, "diag"),
    "10 %: 1000 x 5, K=5, tied": lambda: drawn(0.10, 1000, 5, 5, "tied"),
    "15 %: 3000 x 8, K=6": lambda: drawn(0.15, 3000, 6, 8),
    "20 %: 2000 x 3, K=4": lambda: drawn(0.20, 2000, 4, 3),
}


def fit(method, X, n_components, covariance_type, seed):
    """A fitted model; None if the fit fails."""
    try:
        return METHODS[method](n_components, covariance_type=covariance_type, random_state=seed).fit(X)
    except ValueError:
        return None


def measures(method, X, labels, covariance_type, seed):
    """(log-likelihood, adjusted Rand index, held-out log-likelihood) of one method and seed."""
    n_components = len(set(labels))
    order = np.random.default_rng(seed).permutation(len(X))
    n_fitted = round(SHARE * len(X))
    some, others = X[order[:n_fitted]], X[order[n_fitted:]]
    one = functools.partial(fit, "scikit-learn", n_components=1, covariance_type=covariance_type, seed=0)
    model = fit(method, X, n_components, covariance_type, seed) or one(X)
    held_out = (fit(method, some, n_components, covariance_type, seed) or one(some)).score(others)
    return model.score(X), adjusted_rand_score(labels, model.predict(X)), held_out


def compare(names, n_seeds, echo=print):
    """Means over the seeds, {data set and covariance type: {method: [three measures]}}; rows are echoed as found."""
    heads = [f"{name}: {measure}" for measure in ("ARI", "held-out") for name in METHODS]
    echo(f"| data | covariance | {' | '.join(heads)} |\n| --- | --- |{' --: |' * len(heads)}")
    found = {}
    for name in names:
        X, labels = DATA_SETS[name]()
        for covariance_type in COVARIANCE_TYPES:
            methods = [each for each in METHODS if "shrinkage" not in each or covariance_type in SHRUNK]
            row = {
                method: np.mean([measures(method, X, labels, covariance_type, s) for s in range(n_seeds)], axis=0)
                for method in methods
            }
            found[f"{name}, {covariance_type}"] = row
            numbers = [f"{row[method][i]:.3f}" if method in row else "" for i in (1, 2) for method in METHODS]
            echo(f"| {name} | {covariance_type} | {' | '.join(numbers)} |")
    return found


def summary(found):
    """Lines of a table of means: over all rows, and over those that every method has."""
    lines = [f"| mean over | method | {' | '.join(MEASURES)} |", "| --- | --- | --: | --: | --: |"]
    rows = list(found.values())
    with_all = [row for row in rows if len(row) == len(METHODS)]
    for what, chosen in ((f"{len(rows)} rows", rows), (f"{len(with_all)} rows with shrinkage", with_all)):
        for method in METHODS:
            if chosen and all(method in row for row in chosen):
                numbers = " | ".join(f"{value:.3f}" for value in np.mean([row[method] for row in chosen], axis=0))
                lines.append(f"| {what} | {method} | {numbers} |")
    return lines


def report(names, n_seeds, path=None):
    """Print the rows and their means; write the means of each row to a file of JSON."""
    found = compare(names, n_seeds, functools.partial(print, flush=True))
    print("\n" + "\n".join(summary(found)))
    if path:
        with open(path, "w") as file:
            json.dump({name: {m: list(v) for m, v in row.items()} for name, row in found.items()}, file)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_sets", nargs="*", metavar="DATA SET", default=list(DATA_SETS))
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--json", help="file for the means of each row")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    report(args.data_sets, args.seeds, args.json)


if __name__ == "__main__":
    main()
