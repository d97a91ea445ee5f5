"""Points that look like noise before any fit: those where the data are sparser than uniform noise would be.

A start by k-means wants to know them, since every point, however far from all others, pulls at its nearest mean. Such
points are left out of the start; EM then sees all of them. (Byers & Raftery 1998, 'Nearest-neighbor clutter removal',
fit two densities to the distances of nearest neighbours; here the noise's own density is the limit.)
"""

import math

import numpy as np

from ..sources.array import ArraySource

# Points, about, among which neighbours are looked for, evenly spread over the rows; rows looked at a time.
_AMONG, _ROWS = 1000, 1000
# The neighbour whose distance tells the density; fewer if the points are few.
_NEIGHBOUR = 10
# Share of the points that must be left; with fewer, nothing can be said.
_LEAST_LEFT = 0.1


def clear(points, weights, family, n_components):
    """(points, weights, share) without the points that look like noise, if the family has a noise component.

    Parameters
    ----------
    points : ArraySource
        Complete, in memory.
    weights : ndarray of shape (n,) or None
    family : CovarianceFamily
    n_components : int

    Returns
    -------
    points : ArraySource
    weights : ndarray or None
    share : float or None
        Of the points left out; None for a family without noise, or if too few would be left.
    """
    if family is family.without_noise:
        return points, weights, None
    left = ~_are_sparse(points.X, family.noise)
    if left.sum() < max(_LEAST_LEFT * len(left), 2 * n_components * family.least_points(points.n_features)):
        return points, weights, None
    kept = None if weights is None else weights[left]
    share = 1 - left.mean() if weights is None else 1 - kept.sum() / weights.sum()
    return ArraySource(points.X[left]), kept, share


def _are_sparse(X, noise):
    """Whether the points' density at each of them, (n,), is lower than that of as many points of the noise.

    It is estimated from the distance of a near neighbour, in units of the sides of the noise's box, where the noise has
    the density 1.
    """
    X = np.linalg.solve(noise.box[1:].T, (X - noise.box[0]).T).T
    n_samples, n_features = X.shape
    among = X[:: -(-n_samples // _AMONG)]
    number = min(_NEIGHBOUR, max(1, len(among) // 20))
    log_ball = 0.5 * n_features * math.log(math.pi) - math.lgamma(0.5 * n_features + 1)
    squares, limit = (among**2).sum(axis=1), math.log(number / len(among)) - log_ball
    result = np.empty(n_samples, bool)
    for start in range(0, n_samples, _ROWS):
        rows = X[start : start + _ROWS]
        distances = (rows**2).sum(axis=1)[:, None] + squares - 2 * (rows @ among.T)
        nearest = np.partition(distances, number, axis=1)[:, number]
        result[start : start + _ROWS] = limit < 0.5 * n_features * np.log(np.maximum(nearest, 1e-300))
    return result
