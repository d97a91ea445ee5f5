"""Mixtures with fewer or more components: merge the pairs whose union loses least, or split components in two."""

import functools

import numpy as np

from .families.parts import mixture_of

# Distance of each half of a split component from its mean, in deviations.
_HALF = 0.8


def merged(parameters, n_components, first=()):
    """The mixture reduced to n_components by merging, one at a time, the pair whose union loses least log-likelihood.

    The loss is that of the classification likelihood (Runnalls 2007, eq. 16; for a common covariance it is Ward's,
    1963). More seeds than components, fitted and then merged, find better optima than as many seeds as components.

    first: components that are merged before others. Those on too few points are so dense that their loss is large.
    """
    parts = parameters.family.parts(parameters)
    alive = list(range(len(parameters.means)))
    is_first = np.isin(alive, first) if len(first) else np.zeros(len(alive), bool)
    losses = _all_losses(parts, len(alive))
    losses = np.minimum(losses, losses.T)  # of pairs in either order
    while len(alive) > n_components:
        eligible = np.where(is_first[:, None] | is_first, losses, np.inf) if is_first.any() else losses
        i, j = divmod(int(eligible.argmin()), len(losses))
        parts.merge(i, j)
        is_first[i], is_first[j] = is_first[i] and is_first[j], False
        alive.remove(j)
        if len(alive) == n_components:
            break
        losses[j] = losses[:, j] = np.inf
        others = np.array([k for k in alive if k != i], np.intp)
        losses[i, others] = losses[others, i] = parts.losses(i, others)
    return parts.mixture(alive)


def _all_losses(parts, n_components):
    """The loss of every pair, (K, K), above the diagonal; infinity elsewhere."""
    losses = np.full((n_components, n_components), np.inf)
    pairs = _pairs(n_components)
    losses[pairs] = parts.losses(*pairs)
    return losses


@functools.lru_cache(maxsize=16)
def _pairs(n_components):
    """Indices i and j > i of all pairs of components."""
    return np.triu_indices(n_components, 1)


def without_one(parameters, rank=0, spared=()):
    """The mixture with one pair merged: that of the least loss, or the one `rank` places after it.

    spared: an index into the (K, K) losses of pairs (i, j), i < j, that must not be merged.
    """
    parts = parameters.family.parts(parameters)
    alive = np.arange(len(parameters.means))
    losses = _all_losses(parts, len(alive))
    if spared:
        losses[spared] = np.inf
    i, j = np.unravel_index(np.argsort(losses, axis=None, kind="stable")[rank], losses.shape)
    parts.merge(i, j)
    return parts.mixture(alive[alive != j])


def split(parameters, random_state):
    """The mixture with every component split into two halves, apart along a direction random in its own deviations."""
    offsets = parameters.family.random_offsets(parameters, random_state, _HALF)
    means = np.concatenate([parameters.means + offsets, parameters.means - offsets])
    parts = parameters.family.parts(parameters)
    covariances = parts.halves(offsets)
    return mixture_of(parts.family, np.tile(parameters.weights / 2, 2), means, covariances)


def split_one(parameters, k, random_state):
    """The mixture with component k split as in `split`; the others are unchanged."""
    parts = parameters.family.parts(parameters)
    offsets = np.zeros(parameters.means.shape)
    offsets[k] = parameters.family.random_offsets(parameters, random_state, _HALF)[k]
    weights = np.append(parameters.weights, parameters.weights[k] / 2)
    weights[k] /= 2
    means = np.concatenate([parameters.means + offsets, parameters.means[k : k + 1] - offsets[k]])
    is_half = np.append(np.arange(len(parameters.means)), len(parameters.means) + k)
    return mixture_of(parts.family, weights, means, parameters.family.chosen(parts.halves(offsets), is_half))


def with_component(parameters, mean, weight):
    """The mixture with a component added: its mean (D,), its weight, and the mean of the other covariances."""
    parts = parameters.family.parts(parameters)
    weights = np.append((1 - weight) * parameters.weights, weight)
    return mixture_of(parts.family, weights, np.vstack([parameters.means, mean]), parts.with_typical())
