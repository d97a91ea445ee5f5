"""Draw the pictures of the README anew: `python .github/pictures/draw.py` from the repository's root."""

from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image

from fastem import GaussianMixture
from fastem.datasets import load_faithful, load_penguins
from fastem.plotting import MixtureDisplay, animate_fit

HERE = Path(__file__).parent
COLORS = 128  # of a picture's palette: a third of the size


def million():
    """A million points of nine Gaussians in a plane."""
    rng = np.random.default_rng(4)
    means, halves = 4 * rng.normal(size=(9, 2)), 0.9 * np.eye(2) + 0.35 * rng.normal(size=(9, 2, 2))
    labels = rng.choice(9, size=1_000_000, p=rng.dirichlet(np.full(9, 8.0)))
    return means[labels] + np.einsum("nij,nj->ni", halves[labels], rng.normal(size=(1_000_000, 2)))


def save(display, name, dpi):
    path = HERE / name
    display.figure_.savefig(path, dpi=dpi)
    with Image.open(path) as drawn:
        small = drawn.convert("RGB").quantize(COLORS)
    small.save(path, optimize=True)


if __name__ == "__main__":
    matplotlib.use("Agg")
    X = load_faithful()
    model = GaussianMixture(2, random_state=0).fit(X.data)
    animate_fit(model, X.data, HERE / "faithful.gif", feature_names=X.feature_names)
    X = load_penguins()
    model = GaussianMixture(3, random_state=0).fit(X.data)
    save(MixtureDisplay.from_estimator(model, X.data, feature_names=X.feature_names), "penguins.png", 110)
    X = million()
    save(MixtureDisplay.from_estimator(GaussianMixture(9, random_state=0).fit(X), X), "million.png", 130)
