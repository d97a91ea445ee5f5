"""Held-out log-likelihood where full covariances end: factor analyzers beside full, diagonal, and PCA then full.

    python asv_benchmarks/many_features.py [--patches 4000] [--factors 2 5 10 20] [digits] [grey] [colour]

Three data sets: scikit-learn's digits (64 features, 1,300 points to fit, 497 held out), and patches of 8 x 8 pixels of
its two photos, grey (64 features) or in colour (192), less their mean. Noise of deviation 0.01 is added, so that no
pixel is constant. For each model: log-likelihood in nats per point, of the points fitted and of those held out (20,000
patches), seconds, passes over the points. PCA to m dimensions, then a full mixture of these, is given a Gaussian of one
variance in the directions left out (Tipping & Bishop 1999), or it would be no density of the points.
"""

import argparse
import time
import warnings

import numpy as np
from sklearn.datasets import load_digits, load_sample_images
from sklearn.decomposition import PCA

from fastem import GaussianMixture

SIDE, HELD_OUT, NOISE = 8, 20_000, 0.01
COMPONENTS = 10
KEPT = 10, 20, 40


def patches(n_samples, in_colour, rng):
    images = [image / 255 for image in load_sample_images().images]
    if not in_colour:
        images = [image.mean(axis=2, keepdims=True) for image in images]
    windows = [np.lib.stride_tricks.sliding_window_view(image, (SIDE, SIDE), axis=(0, 1)) for image in images]
    chosen = []
    for which, windows_of_image in enumerate(windows):
        n_rows, n_columns = windows_of_image.shape[:2]
        n = (n_samples + which) // len(windows)
        chosen.append(windows_of_image[rng.integers(n_rows, size=n), rng.integers(n_columns, size=n)].reshape(n, -1))
    chosen = rng.permutation(np.concatenate(chosen))
    return chosen - chosen.mean(axis=1, keepdims=True)


def points(name, n_patches):
    """(points to fit, points held out)."""
    rng = np.random.default_rng(0)
    if name == "digits":
        X, n_train = rng.permutation(load_digits().data / 16), 1300
    else:
        X, n_train = patches(n_patches + HELD_OUT, name == "colour", rng), n_patches
    X = X + NOISE * rng.normal(size=X.shape)
    return X[:n_train], X[n_train:]


def of_projected(n_components, model, pca, X):
    """Mean log-density of points whose projection follows the mixture, and the rest one variance."""
    n_left = X.shape[1] - n_components
    offsets = X - pca.mean_
    projected = offsets @ pca.components_[:n_components].T
    variance = pca.explained_variance_[n_components:].mean()
    rest = (offsets**2).sum(axis=1) - (projected**2).sum(axis=1)
    return model.score(projected) - 0.5 * (n_left * np.log(2 * np.pi * variance) + rest.mean() / variance)


def row(what, train, held_out, model, seconds):
    cut = "" if model.converged_ else ", not converged"
    passes = f"{model.fit_report_.n_passes:.0f}{cut}"
    print(f"| {what} | {train:.2f} | {held_out:.2f} | {seconds:.1f} | {passes} |", flush=True)


def fitted(X, **params):
    model = GaussianMixture(COMPONENTS, random_state=0, **params)
    start = time.perf_counter()
    model.fit(X)
    return model, time.perf_counter() - start


def table(name, n_patches, factors):
    train, test = points(name, n_patches)
    n_samples, n_features = train.shape
    print(f"\n| {name}: {n_samples:,} x {n_features}, K={COMPONENTS} | fitted | held out | seconds | passes |")
    print("| --- | --: | --: | --: | --: |")
    settings = [(each, {"covariance_type": each}) for each in ("full", "diag")]
    settings += [(f"factors, q = {q}", {"covariance_type": "factors", "n_factors": q}) for q in factors]
    for what, params in settings:
        model, seconds = fitted(train, reg_covar=NOISE**2, max_iter=1000, **params)
        row(what, model.score(train), model.score(test), model, seconds)
    pca = PCA().fit(train)
    for kept in KEPT:
        model, seconds = fitted((train - pca.mean_) @ pca.components_[:kept].T)
        row(f"PCA to {kept}, full", *(of_projected(kept, model, pca, X) for X in (train, test)), model, seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", default=["digits", "grey", "colour"], help="digits, grey, colour")
    parser.add_argument("--patches", type=int, default=4000)
    parser.add_argument("--factors", type=int, nargs="*", default=[2, 5, 10, 20])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    for name in args.sets:
        table(name, args.patches, args.factors)


if __name__ == "__main__":
    main()
