"""Digests of some 400 fits, recorded before a change of structure and compared after it: the numbers must not change.

    python asv_benchmarks/fingerprints.py record FILE
    python asv_benchmarks/fingerprints.py compare FILE [--only TEXT]

A digest covers every bit of the fitted attributes, of labels, densities and responsibilities, and of a sample drawn.
Digests of different machines may differ, because the width of vectors decides the order of sums.
"""

import argparse
import hashlib
import itertools
import json
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np

import fastem
from fastem import BayesianGaussianMixture, GaussianMixture

TYPES = "full", "tied", "diag", "spherical"


def clusters(n_samples, n_features, n_components, seed, dtype=np.float64):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_components, size=n_samples)
    means = rng.normal(scale=4.0, size=(n_components, n_features))
    shapes = rng.normal(size=(n_components, n_features, n_features)) / np.sqrt(n_features)
    points = np.einsum("nd,nde->ne", rng.normal(size=(n_samples, n_features)), shapes[labels])
    return (means[labels] + points + 100.0).astype(dtype), labels


DATA = {
    "400 x 1, K=2": (*clusters(400, 1, 2, 0), 2),
    "900 x 2, K=4": (*clusters(900, 2, 4, 1), 4),
    "3000 x 5, K=6": (*clusters(3000, 5, 6, 2), 6),
    "25000 x 3, K=5": (*clusters(25_000, 3, 5, 3), 5),
    "2000 x 4, K=3, float32": (*clusters(2000, 4, 3, 4, np.float32), 3),
}


def fits():
    """(name, a function that returns a fitted model and the points to evaluate it at)."""
    for (name, (X, labels, k)), kind in itertools.product(DATA.items(), TYPES):
        rng = np.random.default_rng(9)
        weights = rng.uniform(0.0, 2.0, size=len(X)).round(2)
        some = np.where(rng.uniform(size=len(X)) < 0.1, labels, -1)
        shares = np.where(some[:, None] >= 0, np.eye(k)[some], 1.0)
        usual = {"n_components": k, "covariance_type": kind, "random_state": 0}

        def fitted(model, X=X, **given):
            return model.fit(X, **given), X

        def mixture(usual=usual, fit=fitted, given=None, **params):
            return fit(GaussianMixture(**usual | params), **given or {})

        def bayesian(usual=usual, fit=fitted, given=None, **params):
            return fit(BayesianGaussianMixture(**usual | {"n_components": 6} | params), **given or {})

        def in_parts(usual=usual, X=X, **params):
            model = GaussianMixture(**usual | params)
            for part in np.array_split(X, 7):
                model.partial_fit(part)
            return model, X

        def warm(usual=usual, X=X):
            model = GaussianMixture(**usual, max_iter=2, warm_start=True)
            return model.fit(X).fit(X), X

        def from_user(usual=usual, fit=fitted, X=X, k=k):
            return fit(GaussianMixture(**usual, means_init=X[:k].astype(float), weights_init=np.full(k, 1 / k)))

        variants = {
            "auto": mixture,
            "em": lambda m=mixture: m(algorithm="em"),
            "weights": lambda m=mixture, w=weights: m(given={"sample_weight": w}),
            "em, weights": lambda m=mixture, w=weights: m(algorithm="em", given={"sample_weight": w}),
            "labels": lambda m=mixture, y=some: m(given={"labels": y}),
            "all labels": lambda m=mixture, y=labels: m(given={"labels": y}),
            "shares": lambda m=mixture, y=shares: m(given={"labels": y}),
            "hard": lambda m=mixture: m(assignment="hard"),
            "stochastic": lambda m=mixture: m(assignment="stochastic", max_iter=20),
            "n_init=3": lambda m=mixture: m(n_init=3),
            "k-means++": lambda m=mixture: m(init_params="k-means++"),
            "random": lambda m=mixture: m(init_params="random", max_iter=30),
            "random_from_data, em": lambda m=mixture: m(init_params="random_from_data", algorithm="em"),
            "prior": lambda m=mixture: m(prior="default"),
            "partial_fit": in_parts,
            "warm start": warm,
            "user's start": from_user,
            "Bayesian": bayesian,
            "Bayesian em, Dirichlet": lambda b=bayesian: b(
                algorithm="em", weight_concentration_prior_type="dirichlet_distribution"
            ),
        }
        for variant, fit in variants.items():
            yield f"{name} {kind}: {variant}", fit
    yield from from_sources()
    yield from selections()


def from_sources():
    X, _, k = DATA["25000 x 3, K=5"]
    for kind in TYPES:
        for algorithm in "auto", "em":
            model = GaussianMixture(k, covariance_type=kind, algorithm=algorithm, random_state=0)

            def blocks(model=model):
                return model.fit(lambda: np.array_split(X, 9)), X

            def file(model=model):
                with tempfile.TemporaryDirectory() as folder:
                    path = Path(folder) / "points.npy"
                    np.save(path, X)
                    return model.fit(np.load(path, mmap_mode="r")), X

            yield f"source: blocks, {kind}, {algorithm}", blocks
            yield f"source: memory map, {kind}, {algorithm}", file


def selections():
    for name in "400 x 1, K=2", "900 x 2, K=4":
        X = DATA[name][0]
        for criterion in "bic", "icl", "held_out":

            def choose(X=X, criterion=criterion):
                return fastem.select(X, range(1, 6), criterion=criterion, random_state=0).best_estimator_, X

            yield f"select: {name}, {criterion}", choose


def digest(model, X):
    sha = hashlib.sha256()
    for name in sorted(vars(model)):
        if name.endswith("_") and not name.startswith("_"):
            value = getattr(model, name)
            if isinstance(value, np.ndarray | int | float | bool | list | tuple | np.generic):
                for part in value if isinstance(value, tuple) else (value,):
                    sha.update(name.encode() + np.ascontiguousarray(part).tobytes())
    for found in (model.predict(X), model.score_samples(X), model.predict_proba(X[:500]), model.sample(50)[0]):
        sha.update(np.ascontiguousarray(found).tobytes())
    return sha.hexdigest()[:16]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["record", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", default="", metavar="TEXT", help="fits with this in their names")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    began = time.perf_counter()
    found = {}
    for name, fit in fits():
        if args.only not in name:
            continue
        try:
            found[name] = digest(*fit())
        except ValueError as error:
            found[name] = f"{type(error).__name__}: {error}"
    print(f"{len(found)} fits in {time.perf_counter() - began:.0f} s")
    if args.action == "record":
        args.file.write_text(json.dumps(found, indent=1))
        return
    before = {name: each for name, each in json.loads(args.file.read_text()).items() if args.only in name}
    changed = [name for name in before.keys() | found.keys() if before.get(name) != found.get(name)]
    for name in sorted(changed):
        print(f"{name}: {before.get(name)} -> {found.get(name)}")
    print(f"{len(changed)} of {len(before)} changed")
    sys.exit(bool(changed))


if __name__ == "__main__":
    main()
