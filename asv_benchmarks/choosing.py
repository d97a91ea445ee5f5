"""Number of components chosen and agreement of labels: fastem beside loops over scikit-learn, with the same seeds.

    python asv_benchmarks/choosing.py [--seeds 1] [--jobs 2] [--json FILE] [DATA SET ...]

`fastem.select` by three criteria and `fastem.BayesianGaussianMixture` with 20 components are compared with what users
of scikit-learn write: a loop over its GaussianMixture by BIC, ICL or 5-fold cross-validation, and its own
BayesianGaussianMixture. `select` and the loops choose among the same combinations: 1 to 9 components (digits: 1 to 12)
of four covariance types. Ten sets are real, with classes. Forty-eight are simulated: K is 1 to 6, n 30 to 5,000, D 1 to
20, and the overlap (the Bayes error, see `fastem.datasets.make_mixture`) 0 to 0.5.

The output has a Markdown row for each set: the number that each method chose, and the adjusted Rand index of its labels
with the true ones. Then follow the share of right numbers, the mean index, and the number of winners with collapsed
components (`fastem.fitting.degeneracy`). The number of a Bayesian mixture is that of its components in use; for
scikit-learn these are the components of weight above 0.01.
"""

import argparse
import json
import math
import os
import warnings

import numpy as np
import sklearn.base
import sklearn.mixture
from joblib import Parallel, delayed
from sklearn import datasets
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score
from sklearn.model_selection import KFold

import fastem
from fastem.datasets import load_penguins, load_reaven_miller, make_mixture
from fastem.fitting.degeneracy import degeneracy

TYPES = "full", "tied", "diag", "spherical"
MOST = 9
CRITERIA = "bic", "icl", "held_out"
METHODS = [f"{library} {how}" for how in (*CRITERIA, "Bayesian") for library in ("fastem", "scikit-learn")]

SIMULATED = [  # points, features, components, covariance type, overlap
    (30, 1, 1, "full", 0), (30, 2, 2, "spherical", 0.001), (30, 4, 2, "diag", 0.001), (40, 8, 2, "spherical", 0.001),
    (40, 3, 1, "full", 0), (40, 2, 2, "full", 0.02), (40, 1, 2, "full", 0.05), (50, 2, 3, "tied", 0.001),
    (50, 5, 3, "diag", 0.01), (50, 10, 1, "full", 0), (60, 2, 2, "diag", 0.1), (60, 4, 2, "full", 0.01),
    (60, 3, 4, "spherical", 0.001), (80, 2, 3, "full", 0.02), (80, 6, 2, "tied", 0.05), (80, 1, 3, "full", 0.02),
    (100, 2, 1, "full", 0), (100, 2, 3, "spherical", 0.05), (100, 8, 3, "diag", 0.02), (100, 3, 2, "full", 0.2),
    (100, 15, 2, "spherical", 0.01), (150, 2, 4, "full", 0.02), (150, 5, 3, "tied", 0.02), (150, 20, 2, "diag", 0.01),
    (200, 2, 5, "spherical", 0.01), (200, 1, 4, "full", 0.02), (200, 4, 3, "full", 0.05), (200, 10, 4, "tied", 0.01),
    (200, 2, 2, "full", 0.4), (300, 3, 6, "spherical", 0.001), (300, 2, 4, "diag", 0.1), (300, 6, 3, "full", 0.05),
    (300, 20, 3, "spherical", 0.02), (400, 2, 6, "tied", 0.02), (400, 1, 2, "full", 0.2), (400, 8, 4, "diag", 0.05),
    (500, 2, 3, "full", 0.3), (500, 4, 5, "full", 0.02), (500, 12, 1, "full", 0), (600, 3, 4, "spherical", 0.5),
    (800, 2, 6, "full", 0.02), (800, 10, 3, "tied", 0.1), (1000, 1, 5, "full", 0.05), (1000, 5, 6, "diag", 0.02),
    (1500, 2, 5, "full", 0.1), (2000, 3, 4, "full", 0.2), (3000, 8, 5, "diag", 0.1), (5000, 2, 6, "full", 0.05),
]  # fmt: skip


def simulated(n_samples, n_features, n_components, covariance_type, overlap, seed):
    """(points, the component of each). K=1 is one Gaussian of random shape, which `make_mixture` doesn't make."""
    if n_components == 1:
        rng = np.random.default_rng(seed)
        root = np.eye(n_features) + 0.6 * rng.normal(size=(n_features, n_features)) / math.sqrt(n_features)
        return rng.normal(size=(n_samples, n_features)) @ root, np.zeros(n_samples, int)
    found = make_mixture(
        n_samples, n_components, n_features, overlap=overlap, covariance_type=covariance_type, random_state=seed
    )
    return found.data, found.target


def standardised(X):
    return (X - X.mean(axis=0)) / X.std(axis=0)


def complete(bunch):
    X = np.asarray(bunch.data, dtype=float)
    rows = np.isfinite(X).all(axis=1)
    return X[rows], np.asarray(bunch.target)[rows]


def principal(bunch, n, classes=None, standard=False):
    rows = slice(None) if classes is None else np.isin(bunch.target, classes)
    X = standardised(bunch.data[rows]) if standard else bunch.data[rows]
    return PCA(n, random_state=0).fit_transform(X), bunch.target[rows]


def cancer():
    bunch = datasets.load_breast_cancer()
    return standardised(bunch.data[:, :10]), bunch.target


def wine():
    bunch = datasets.load_wine()
    return standardised(bunch.data), bunch.target


REAL = {  # (points, classes)
    "iris": lambda: datasets.load_iris(return_X_y=True),
    "wine": wine,
    "wine, 3 PC": lambda: principal(datasets.load_wine(), 3, standard=True),
    "breast cancer": cancer,
    "breast cancer, 4 PC": lambda: principal(datasets.load_breast_cancer(), 4, standard=True),
    "penguins": lambda: complete(load_penguins()),
    "Reaven & Miller": lambda: complete(load_reaven_miller()),
    "digits 0 1 2, 5 PC": lambda: principal(datasets.load_digits(), 5, classes=(0, 1, 2)),
    "digits 3 4 7 9, 6 PC": lambda: principal(datasets.load_digits(), 6, classes=(3, 4, 7, 9)),
    "digits, 10 PC": lambda: principal(datasets.load_digits(), 10),
}


def name_of(n_samples, n_features, n_components, covariance_type, overlap):
    kind = f", {covariance_type}, overlap {overlap:g}" if n_components > 1 else ""
    return f"{n_samples} x {n_features}, K={n_components}{kind}"


SETS = {name_of(*each): each for each in SIMULATED} | REAL


def load(name, seed):
    """(points, labels, the most components to try)."""
    X, y = simulated(*SETS[name], seed=1000 * seed + list(SETS).index(name)) if name not in REAL else REAL[name]()
    return X, y, max(MOST, len(set(y)) + 2)


def of_fastem(X, most, seed):
    """The model that `fastem.select` chooses by each criterion."""

    def select(criterion):
        return fastem.select(X, range(1, most + 1), TYPES, criterion, random_state=seed, n_threads=1)

    found = {"bic": select("bic"), "held_out": select("held_out")}
    found["icl"] = found["bic"] if is_best(found["bic"], "icl") else select("icl")
    return {criterion: selection.best_estimator_ for criterion, selection in found.items()}


def is_best(selection, criterion):
    """True if another criterion chooses the same fit."""
    results = selection.results_
    status = results["status"]
    values = np.where(status == status[selection.best_index_], results[criterion], np.inf)
    return int(np.argmin(values)) == selection.best_index_


def of_sklearn(X, most, seed):
    """The model that loops over scikit-learn's GaussianMixture choose by each criterion, without fits that fail."""
    fits = []
    folds = list(KFold(5, shuffle=True, random_state=seed).split(X))
    for covariance_type in TYPES:
        for n_components in range(1, most + 1):
            model = sklearn.mixture.GaussianMixture(n_components, covariance_type=covariance_type, random_state=seed)
            try:
                model.fit(X)
                costs = {"bic": model.bic(X), "held_out": math.inf}
                costs["icl"] = costs["bic"] - 2 * np.log(model.predict_proba(X).max(axis=1)).sum()
                fits.append((costs, model))
                scores = [sklearn.base.clone(model).fit(X[train]).score(X[test]) for train, test in folds]
                costs["held_out"] = -np.mean(scores)
            except ValueError:
                continue
    return {criterion: min(fits, key=lambda each: each[0][criterion])[1] for criterion in CRITERIA}


def bayesian(library, X, seed):
    """(number of components in use, labels)."""
    params = {"n_components": min(20, len(X)), "max_iter": 500, "random_state": seed}
    if library == "fastem":
        model = fastem.BayesianGaussianMixture(**params, n_threads=1).fit(X)
        return int(model.n_components_effective_), model.predict(X)
    model = sklearn.mixture.BayesianGaussianMixture(**params).fit(X)
    return int((model.weights_ > 0.01).sum()), model.predict(X)


def is_collapsed(model, X):
    if isinstance(model, sklearn.mixture.GaussianMixture):
        model = fastem.GaussianMixture.from_sklearn(model)
    return bool(degeneracy(model._parameters(), len(X), model.reg_covar).components.size)


def outcomes(name, seed):
    """(name, true number, dict of method to (number chosen, adjusted Rand index, whether the winner collapsed))."""
    warnings.simplefilter("ignore")
    X, y, most = load(name, seed)
    found = {}
    for library, choose in ("fastem", of_fastem), ("scikit-learn", of_sklearn):
        for criterion, model in choose(X, most, seed).items():
            labels = model.predict(X)
            found[f"{library} {criterion}"] = model.n_components, adjusted_rand_score(y, labels), is_collapsed(model, X)
        count, labels = bayesian(library, X, seed)
        found[f"{library} Bayesian"] = count, adjusted_rand_score(y, labels), False
    return name, len(set(y)), found


def summary(title, rows):
    """Print a table of shares and means over these rows, with a column for each method."""
    if not rows:
        return
    print(f"\n| {title}, {len(rows)} sets | {' | '.join(METHODS)} |")
    print(f"| --- {'| --: ' * len(METHODS)}|")
    each = {method: [(right, *found[method]) for _, right, found in rows] for method in METHODS}
    lines = {
        "right K": lambda tried: f"{np.mean([right == count for right, count, *_ in tried]):.3f}",
        "mean adjusted Rand index": lambda tried: f"{np.mean([index for *_, index, _ in tried]):.3f}",
        "collapsed winners": lambda tried: str(sum(collapsed for *_, collapsed in tried)),
    }
    for line, of in lines.items():
        print(f"| {line} | {' | '.join(of(each[method]) for method in METHODS)} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data_sets", nargs="*", metavar="DATA SET", default=list(SETS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--json", help="file for the raw results")
    args = parser.parse_args()
    print(f"| data | K | {' | '.join(METHODS)} |")
    print(f"| --- | --: {'| --: ' * len(METHODS)}|")
    rows = []
    work = (delayed(outcomes)(name, seed) for seed in range(args.seeds) for name in args.data_sets)
    for name, right, found in Parallel(n_jobs=args.jobs, return_as="generator")(work):
        cells = (f"{found[method][0]} ({found[method][1]:.2f})" for method in METHODS)
        print(f"| {name} | {right} | {' | '.join(cells)} |", flush=True)
        rows.append((name, right, found))
    summary("simulated", [row for row in rows if row[0] not in REAL])
    summary("real", [row for row in rows if row[0] in REAL])
    summary("all", rows)
    if args.json:
        with open(args.json, "w") as file:
            json.dump(rows, file)


if __name__ == "__main__":
    main()
