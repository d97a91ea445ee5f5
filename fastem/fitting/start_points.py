"""The points that starts are made from: a sample, completed, and its moments."""

from contextlib import suppress

import numpy as np
from sklearn.utils.random import sample_without_replacement

from ..model.conditioning import one_gaussian
from ..model.parameters import CollapsedComponent
from ..sources.annotations import Annotations
from ..sources.array import ArraySource, in_memory
from ..sources.base import VALUES

# Distance of a value from its feature's median, in distances of the nearer quartile, beyond which rounding the moments
# would hide the differences between the usual values.
FAR = 2.0**20

# Distance, in the same unit, within which a value is a usual one.
USUAL = 2.0**10

# Points, about, from which median and quartiles are computed.
_FOR_QUARTILES = 256

# Most iterations of EM for the Gaussian that missing values are filled in from, and for the moments of all the points;
# the change of the mean log-likelihood, nats, that ends them.
_FILLING, _FILLED = 20, 1e-3

# Work of an iteration with one Gaussian (the number of patterns times D**3) beyond which features' means fill in.
_MOST_WORK = 2e8

# Points that are enough for a start, or that have so many values (32 MiB), unless there are many components.
_ENOUGH, _ENOUGH_VALUES = 20_000, 1 << 22


def sample_of(source, family, n_components, random_state, weights):
    """(source in memory, weights): all the points if few, else a sample that suffices for means and covariances."""
    many = min(_ENOUGH, _ENOUGH_VALUES // source.n_features)
    size = max(many, n_components * max(100, 10 * family.n_directions(source.n_features)))
    if source.n_samples <= size:
        return counted(source, weights)
    if weights is None:
        index = sample_without_replacement(source.n_samples, size, random_state=random_state)
    else:  # a row may come several times: drawn by weight, each counts the same
        steps = np.cumsum(weights)
        index = np.searchsorted(steps, random_state.uniform(high=steps[-1], size=size), side="right")
    return in_memory(source, np.sort(index)), None


def counted(source, weights):
    """(the points as a source in memory, their weights), without those of weight 0."""
    if weights is None or weights.all():
        return in_memory(source), weights
    index = np.flatnonzero(weights)
    return in_memory(source, index), weights[index]


def completed(points, weights):
    """The points as an `ArraySource`, missing values drawn given the observed ones by one Gaussian fitted to them all.

    Where that would be slow, features are independent. Only for seeds and k-means, which need complete points: EM then
    sees the incomplete ones. Drawn values have the right variance, so that the start has.
    """
    if points.is_complete:
        return points
    mean, variances = points.feature_moments()
    is_slow = points.n_patterns * points.n_features**3 > _MOST_WORK
    gaussian = one_gaussian(mean, variances, is_axis_aligned=is_slow)
    if not is_slow:
        reg_covar = 1e-6 * float(variances.mean() or 1.0)
        statistics = _statistics_of_one(points, gaussian, weights, reg_covar)
        with suppress(CollapsedComponent):
            gaussian = gaussian.family.maximize(statistics, reg_covar)
    noise = np.random.RandomState(0).standard_normal((points.n_samples, points.n_features))
    return ArraySource(points.completed(gaussian).X + noise * points.deviations(gaussian))


def _statistics_of_one(source, gaussian, weights, reg_covar=0.0):
    """Statistics of all the points as one component; expected ones, from EM, if values are missing."""
    statistics = source.e_step(gaussian, Annotations(weights))
    if source.is_complete:
        return statistics
    for _ in range(_FILLING):
        try:
            gaussian = gaussian.family.maximize(statistics, reg_covar)
        except CollapsedComponent:
            break
        before, statistics = statistics, source.e_step(gaussian, Annotations(weights))
        if statistics.lower_bound - before.lower_bound < _FILLED:
            break
    return statistics


def moments(source, family, weights):
    """Mean, (D,), and covariance of all the points: (D, D), or variances, (D,), for diag and spherical.

    Sums of squares are divided by the total weight less 1, but at least by half the weight.
    """
    family = family.of_all_points
    statistics = _statistics_of_one(source, roughly(source, family, 1, weights), weights)
    mean = statistics.means
    second = statistics.about(mean).second / max(statistics.weight - 1, statistics.weight / 2)
    return mean[0], second.reshape(family.shape_of_one(source.n_features))


def roughly(source, family, n_components, weights):
    """Parameters with every mean at the data's centre and the data's mean variance, for passes without an E-step."""
    mean, variances = first_moments(source, weights)
    return family.plain.without_noise.at_points(np.tile(mean, (n_components, 1)), variances.mean() or 1.0)


def first_moments(source, weights):
    """Mean and variance of each feature in the first rows of positive weight; of all values if some are missing."""
    if not source.is_complete:
        return source.feature_moments()
    n_rows = max(1, VALUES // source.n_features)
    if weights is None:
        return moments_of_features(source.rows(slice(0, n_rows)), None)
    index = np.flatnonzero(weights)[:n_rows]
    return moments_of_features(source.rows(index), weights[index])


def moments_of_features(X, weights):
    """Mean and variance of each feature, (D,) both.

    If a feature has values so far off (such as fill values) that beside them the usual ones would round to one point,
    its moments are those of the usual values.
    """
    if weights is None:
        mean, variance = X.mean(axis=0, dtype=np.float64), X.var(axis=0, dtype=np.float64)
    else:
        mean = np.average(X, axis=0, weights=weights)
        variance = np.average((X - mean) ** 2, axis=0, weights=weights)
    middle, spread = _middle(X)
    for i in np.flatnonzero(np.maximum(X.max(axis=0) - middle, middle - X.min(axis=0)) > FAR * spread):
        usual = np.abs(X[:, i] - middle[i]) <= USUAL * spread[i]
        values, shares = X[usual, i].astype(np.float64), None if weights is None else weights[usual]
        if shares is None or shares.any():
            mean[i] = np.average(values, weights=shares)
            variance[i] = np.average((values - mean[i]) ** 2, weights=shares)
    return mean, variance


def _middle(X):
    """Each feature's median and the distance of the nearer quartile from it, of those that differ; infinite if none.

    Both are approximate, from a part of the rows.
    """
    some = np.sort(X[:: -(-len(X) // _FOR_QUARTILES)], axis=0).astype(np.float64)
    low, middle, high = (some[(len(some) - 1) * quarter // 4] for quarter in (1, 2, 3))
    distances = np.array([middle - low, high - middle])
    return middle, np.where(distances > 0, distances, np.inf).min(axis=0)
