"""One component of a mixture moved to where the fit is worse: EM itself never carries one across empty space.

A pair that loses little is merged, and the component that this frees splits another or goes to badly fitted points
(split and merge: Ueda et al. 2000; random swaps: Franti 2018, 'Efficiency of random swap clustering').
"""

import numpy as np
from scipy.special import chdtri

from .. import kernels
from ..model import reduction

# Pairs to merge: one of so many that lose least.
_PAIRS = 3

# Points, of those that fit worst, around which it is crowded or not; the most crowded is the seed.
_CANDIDATES = 8

# Shares of the points, the worst-fitting ones, that a seed is drawn from: uniform between these.
_WORST = 0.005, 0.05

# What the odds of a split count for a component whose points are just as a Gaussian's; 1 and this for very different.
_AS_A_GAUSSIAN = 0.1

# Expected number of points, of a mixture's own, so far from their component that they count as not fitted.
_STRAYS = 0.01


def relocated(parameters, points, random_state):
    """A mixture with one component moved elsewhere, by a draw: another is split, or badly fitted points get it.

    Parameters
    ----------
    parameters : Parameters
        Of two components or more.
    points : ArraySource
        Few enough to evaluate the mixture at each.
    random_state : RandomState

    Returns
    -------
    start : Parameters
        To run EM from; of as many components.
    """
    n_components = len(parameters.means)
    rank = random_state.randint(min(_PAIRS, n_components * (n_components - 1) // 2))
    misfit, labels = _misfit(parameters, points)
    if random_state.uniform() < 0.5:
        k = random_state.choice(n_components, p=_need_of_a_split(parameters, misfit, labels))
        more = reduction.split_one(parameters, k, random_state)
        return reduction.without_one(more, rank, spared=(k, n_components))
    n_worst = max(_least(parameters), int(random_state.uniform(*_WORST) * points.n_samples))
    worst = np.argsort(-misfit, kind="stable")[:n_worst]
    return _seeded(parameters, points, worst, rank, random_state)


def reseeded(parameters, points, random_state):
    """A mixture with its least useful component moved to points that no component fits; None where they are few.

    Points are not fitted where they are farther from the component they belong to than any point of so large a set
    should be. The parameters are as `relocated` takes them.
    """
    n_features = parameters.means.shape[1]
    farthest = chdtri(n_features, _STRAYS / points.n_samples)  # squared Mahalanobis distance
    misfit, _ = _misfit(parameters, points)
    strays = np.flatnonzero(misfit > 0.5 * (farthest - n_features))
    if len(strays) < _least(parameters):
        return None
    return _seeded(parameters, points, strays, 0, random_state)


def _least(parameters):
    """Points that a component should have to be worth a seed: twice what its covariance needs."""
    return 2 * (parameters.means.shape[1] + 1)


def _misfit(parameters, points):
    """Log-density that each point lacks to what is usual for its most probable component, (n,), nats; and these.

    At most half of what its squared Mahalanobis distance has over the number of features.
    """
    densities = points.evaluate(parameters, kernels.log_likelihoods, np.empty(points.n_samples))
    labels = points.evaluate(parameters, kernels.labels, np.empty(points.n_samples, np.int64))
    n_features = parameters.means.shape[1]
    usual = parameters.log_weights + parameters.log_determinants - 0.5 * n_features * (np.log(2 * np.pi) + 1)
    return usual[labels] - densities, labels


def _need_of_a_split(parameters, misfit, labels):
    """The odds, (K,), of splitting a component: by its weight, and by how little its points are as a Gaussian's.

    Squared distances of a Gaussian's points from it have the variance 2 D (Mardia 1970); several groups or a heavy tail
    in one component have another.
    """
    n_components, n_features = parameters.means.shape
    counts = np.maximum(np.bincount(labels, minlength=n_components), 1)
    means = np.bincount(labels, misfit, n_components) / counts
    variances = np.bincount(labels, (misfit - means[labels]) ** 2, n_components) / counts
    odds = parameters.weights * (_AS_A_GAUSSIAN + np.minimum(np.abs(2 * variances / n_features - 1), 1.0))
    return odds / odds.sum()


def _seeded(parameters, points, index, rank, random_state):
    """The mixture with one component where the points of this index are most crowded, a pair of others merged."""
    X = points.X[index].astype(np.float64)
    n_near = min(len(X), _least(parameters))
    variances = parameters.weights @ parameters.family.variances(parameters.covariances, *parameters.means.shape)
    chosen = random_state.choice(len(X), size=min(_CANDIDATES, len(X)), replace=False)
    distances = (((X[chosen, None] - X) ** 2) / variances).sum(axis=2)
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :n_near]
    radii = np.take_along_axis(distances, nearest, axis=1)[:, -1]
    seed = X[nearest[np.argmin(radii)]].mean(axis=0)
    more = reduction.with_component(parameters, seed, len(X) / points.n_samples)
    return reduction.without_one(more, rank, spared=(slice(None), len(parameters.means)))
