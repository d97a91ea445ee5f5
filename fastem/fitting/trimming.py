"""Starts where points are dense, for components with heavy tails: k-means gives far outliers centres of their own.

Trimmed k-means (Cuesta-Albertos, Gordaliza & Matran 1997) in one step: the share of the points that have the farthest
neighbours is left out before seeds are drawn.
"""

import numpy as np

from ..sources.array import ArraySource

# Share of the points that is left out: more than the outliers that a fit should withstand.
_LEFT_OUT = 0.3
# Points that are kept or left out, and points among which neighbours are looked for, at most; and most differences of
# values, which take a nanosecond each.
_ROWS, _AMONG, _MOST_WORK = 4000, 300, 1e7


def dense(points, weights=None):
    """(source, weights) of those points, or of an even sample of them, that lie where points are dense.

    Parameters
    ----------
    points : ArraySource
    weights : ndarray of shape (n,), default=None
    """
    n_features = points.n_features
    n_rows = int(min(_ROWS, max(_AMONG, _MOST_WORK / (_AMONG * n_features))))
    rows, among = _evenly(points.n_samples, n_rows), _evenly(points.n_samples, _AMONG)
    scale = points.X.std(axis=0, dtype=np.float64)
    X = points.X / np.where(scale > 0, scale, 1.0)
    squares = np.zeros((len(rows), len(among)))
    for i in range(n_features):  # one by one: the sum then doesn't depend on a library's threads
        squares += (X[rows, i, None] - X[among, i]) ** 2
    nearest = min(2 * (n_features + 1), len(among) // 10)
    distances = np.partition(squares, nearest, axis=1)[:, nearest]
    order = np.argsort(distances, kind="stable")
    counts = np.ones(len(rows)) if weights is None else weights[rows]
    passed = np.cumsum(counts[order])
    kept = np.sort(rows[order[passed <= (1 - _LEFT_OUT) * passed[-1]]])
    return ArraySource(np.ascontiguousarray(points.X[kept])), None if weights is None else weights[kept]


def _evenly(n, most):
    """At most so many of n numbers, evenly spaced."""
    return np.arange(n) if n <= most else np.arange(most) * n // most
