"""A mixture with fewer components, or more: those that together lose least are merged, each one is split in two."""

import numpy as np

from .coordinates import Coordinates
from .covariance import Parameters

# How far apart, in deviations, the halves of a component lie from its mean.
_HALF = 0.8


def merged(parameters, n_components):
    """The mixture with the pairs merged, one after another, whose union loses the least log-likelihood.

    The loss is that of giving every point to one component (Runnalls 2007, eq. 16; for one common covariance that is
    Ward 1963). Seeds in excess, fitted and then merged, find better optima than as many seeds as components.
    """
    parts = _PARTS[parameters.family.name](parameters)
    alive = np.arange(len(parameters.means))
    losses = _all_losses(parts, alive)
    while len(alive) > n_components:
        i, j = np.unravel_index(np.argmin(losses), losses.shape)
        parts.merge(i, j)
        alive = alive[alive != j]
        losses[j, :] = losses[:, j] = np.inf
        others = alive[alive != i]
        losses[np.minimum(i, others), np.maximum(i, others)] = parts.losses(i, others)
    return parts.mixture(alive)


def _all_losses(parts, alive):
    """The loss of every pair, (K, K), above the diagonal; infinity elsewhere."""
    losses = np.full((alive.size, alive.size), np.inf)
    for i in alive[:-1]:
        losses[i, i + 1 :] = parts.losses(i, alive[i + 1 :])
    return losses


def without_one(parameters, rank=0, spared=()):
    """The mixture with one pair merged: the one whose union loses least, or the rank-th after it.

    spared: an index into the pairs (i, j), i < j, that stay apart.
    """
    parts = _PARTS[parameters.family.name](parameters)
    alive = np.arange(len(parameters.means))
    losses = _all_losses(parts, alive)
    if spared:
        losses[spared] = np.inf
    i, j = np.unravel_index(np.argsort(losses, axis=None, kind="stable")[rank], losses.shape)
    parts.merge(i, j)
    return parts.mixture(alive[alive != j])


def split(parameters, random_state):
    """Every component as two halves, moved apart along a random direction in units of its own deviations."""
    offsets = _halves_apart(parameters, random_state)
    means = np.concatenate([parameters.means + offsets, parameters.means - offsets])
    covariances = _PARTS[parameters.family.name](parameters).halves(offsets)
    return _mixture(parameters.family, np.tile(parameters.weights, 2), means, covariances)


def split_one(parameters, k, random_state):
    """Component k as two halves, as in `split`; the others as they are."""
    parts = _PARTS[parameters.family.name](parameters)
    offsets = np.zeros(parameters.means.shape)
    offsets[k] = _halves_apart(parameters, random_state)[k]
    weights = np.append(parameters.weights, parameters.weights[k] / 2)
    weights[k] /= 2
    means = np.concatenate([parameters.means + offsets, parameters.means[k : k + 1] - offsets[k]])
    is_half = np.append(np.arange(len(parameters.means)), len(parameters.means) + k)
    return _mixture(parameters.family, weights, means, parts.chosen(parts.halves(offsets), is_half))


def with_component(parameters, mean, weight):
    """The mixture with one component more, of this weight: at `mean`, (D,), with the covariance of the others' mean."""
    parts = _PARTS[parameters.family.name](parameters)
    weights = np.append((1 - weight) * parameters.weights, weight)
    return _mixture(parameters.family, weights, np.vstack([parameters.means, mean]), parts.with_typical())


def _halves_apart(parameters, random_state):
    """Offset of one half of each component from its mean, (K, D)."""
    directions = random_state.normal(size=parameters.means.shape)
    directions *= _HALF / np.linalg.norm(directions, axis=1, keepdims=True)
    return Coordinates(parameters).in_features(directions)


def _mixture(family, weights, means, covariances):
    return Parameters(family, weights / weights.sum(), means, covariances, family.precisions_cholesky(covariances))


class _Parts:
    """Components that can be merged, each with a covariance of its own."""

    def __init__(self, parameters):
        self.family = parameters.family
        self.weights, self.means = parameters.weights.copy(), parameters.means.copy()
        self.covariances = parameters.covariances.copy()
        self.log_volumes = self.log_volume(self.covariances)

    def losses(self, i, others):
        weights, _, covariances = self._unions(i, others)
        apart = self.weights[i] * self.log_volumes[i] + self.weights[others] * self.log_volumes[others]
        with np.errstate(invalid="ignore"):
            losses = weights * self.log_volume(covariances) - apart
        return np.where(np.isnan(losses), 0.0, losses)  # of flat components, whose union is as flat

    def merge(self, i, j):
        (self.weights[i],), (self.means[i],), covariance = self._unions(i, np.array([j]))
        self.covariances[i] = covariance[0]
        self.log_volumes[i] = self.log_volume(covariance)[0]

    def _unions(self, i, others):
        """Weights, means and covariances of component i joined with each of the others."""
        weights = self.weights[i] + self.weights[others]
        share = self.weights[others] / np.maximum(weights, 1e-300)
        apart = self.means[others] - self.means[i]
        share_ = share.reshape(-1, *[1] * (self.covariances.ndim - 1))
        within = (1 - share_) * self.covariances[i] + share_ * self.covariances[others]
        return weights, self.means[i] + share[:, None] * apart, within + share_ * (1 - share_) * self.spread(apart)

    def mixture(self, alive):
        return _mixture(self.family, self.weights[alive], self.means[alive], self.covariances[alive])

    def halves(self, offsets):
        """Covariances of two halves of each component whose means lie +-offsets from its own."""
        return np.concatenate([self.covariances - self.spread(offsets)] * 2)

    @staticmethod
    def chosen(covariances, index):
        """The covariances of these components."""
        return covariances[index]

    def with_typical(self):
        """The covariances, and one more: their mean."""
        return np.concatenate([self.covariances, np.tensordot(self.weights, self.covariances, axes=1)[None]])


class _FullParts(_Parts):
    @staticmethod
    def log_volume(covariances):
        return np.linalg.slogdet(covariances)[1]

    @staticmethod
    def spread(apart):
        return apart[:, :, None] * apart[:, None, :]


class _DiagonalParts(_Parts):
    @staticmethod
    def log_volume(covariances):
        return np.log(covariances).sum(axis=1)

    @staticmethod
    def spread(apart):
        return apart**2


class _SphericalParts(_Parts):
    def log_volume(self, covariances):
        return self.means.shape[1] * np.log(covariances)

    @staticmethod
    def spread(apart):
        return (apart**2).mean(axis=1)


class _TiedParts(_Parts):
    """Components with a common covariance, to which every merger adds."""

    def __init__(self, parameters):
        self.family = parameters.family
        self.weights, self.means = parameters.weights.copy(), parameters.means.copy()
        self.covariance = parameters.covariances.copy()
        self.at_first = parameters.covariances  # all losses are measured by it (Ward), whatever was merged before

    def losses(self, i, others):
        weights = self.weights[i] + self.weights[others]
        apart = self.means[others] - self.means[i]
        distances = (apart * np.linalg.solve(self.at_first, apart.T).T).sum(axis=1)
        return self.weights[i] * self.weights[others] / np.maximum(weights, 1e-300) * distances

    def merge(self, i, j):
        weight = self.weights[i] + self.weights[j]
        share, apart = self.weights[j] / max(weight, 1e-300), self.means[j] - self.means[i]
        self.covariance += weight * share * (1 - share) * np.outer(apart, apart)
        self.means[i] += share * apart
        self.weights[i] = weight

    def mixture(self, alive):
        return _mixture(self.family, self.weights[alive], self.means[alive], self.covariance)

    def halves(self, offsets):
        return self.covariance

    @staticmethod
    def chosen(covariances, index):
        return covariances

    def with_typical(self):
        return self.covariance


_PARTS = {"full": _FullParts, "tied": _TiedParts, "diag": _DiagonalParts, "spherical": _SphericalParts}
