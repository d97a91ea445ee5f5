"""Moves of one component to where the fit is poor: EM itself never moves a component across empty space.

A pair of components whose union loses little is merged. The component that this frees either splits another one or goes
to badly fitted points (split and merge: Ueda et al. 2000; random swaps: Franti 2018, 'Efficiency of random swap
clustering').
"""

import numpy as np

from .. import kernels
from ..model import reduction

# Number of pairs that lose least, of which one is drawn and merged.
_PAIRS = 3

# Badly fitted points that are drawn as candidates; the seed is the mean of the densest neighbourhood of one.
_CANDIDATES = 8

# Share of the points, the worst-fitting ones, among which a seed is sought: drawn uniformly between these two.
_WORST = 0.005, 0.05

# Factor of a component's odds of a split if its points look Gaussian; it rises to 1 + this if they don't at all.
_AS_A_GAUSSIAN = 0.1

# Expected number of points drawn from the mixture itself that would be so far from their component as to count as not
# fitted.
_STRAYS = 0.01


def relocated(parameters, points, random_state):
    """A mixture with one component moved at random: it splits another one, or goes to badly fitted points.

    Parameters
    ----------
    parameters : Parameters
        A mixture of two components or more.
    points : ArraySource
        Few enough to evaluate the mixture at each.
    random_state : RandomState

    Returns
    -------
    start : Parameters
        A start for EM, with as many components.
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
    """A mixture with its least useful component moved to points that no component fits; None if they are few.

    A point counts as not fitted if it is farther from its most probable component than any of so many points should
    be. The parameters are those of `relocated`.
    """
    misfit, labels = _misfit(parameters, points)
    strays = np.flatnonzero(misfit > parameters.farthest(_STRAYS / points.n_samples)[labels])
    if len(strays) < _least(parameters):
        return None
    return _seeded(parameters, points, strays, 0, random_state)


def _least(parameters):
    """Number of points that make a new component worthwhile: twice what a covariance matrix needs."""
    return 2 * (parameters.means.shape[1] + 1)


def _misfit(parameters, points):
    """(misfit of each point, its most probable component), (n,) both.

    The misfit, in nats, is how far a point's log-density is below the average for that component, were it Gaussian. It
    is then at most half of the point's squared Mahalanobis distance less the number of features. A noise component is
    left out: among its points there may be a group that no component fits.
    """
    parameters = parameters.without_noise()
    densities = points.evaluate(parameters, kernels.log_likelihoods, np.empty(points.n_samples))
    labels = points.evaluate(parameters, kernels.labels, np.empty(points.n_samples, np.int64))
    n_features = parameters.means.shape[1]
    usual = parameters.log_weights + parameters.log_determinants - 0.5 * n_features * (np.log(2 * np.pi) + 1)
    with np.errstate(invalid="ignore"):
        misfit = usual[labels] - densities
    misfit[np.isnan(misfit)] = 0.0  # where all points are noise, no component has a weight, and none can be judged
    return misfit, labels


def _need_of_a_split(parameters, misfit, labels):
    """Probability of choosing each component for a split, (K,): larger the greater its weight and the less Gaussian.

    Squared Mahalanobis distances of a Gaussian's points have the variance 2 D (Mardia 1970). If a component holds
    several groups or a heavy tail, they have another variance.
    """
    n_components, n_features = parameters.means.shape
    counts = np.maximum(np.bincount(labels, minlength=n_components), 1)
    means = np.bincount(labels, misfit, n_components) / counts
    variances = np.bincount(labels, (misfit - means[labels]) ** 2, n_components) / counts
    odds = parameters.weights * (_AS_A_GAUSSIAN + np.minimum(np.abs(2 * variances / n_features - 1), 1.0))
    return odds / odds.sum()


def _seeded(parameters, points, index, rank, random_state):
    """The mixture with a new component where the points of this index are densest, and a pair of others merged."""
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
