"""Components to be merged, pair by pair, and split: each family's part of `reduction`."""

from dataclasses import replace

import numpy as np

from ..parameters import CollapsedComponent


def mixture_of(family, weights, means, covariances):
    """The mixture with these weights, normalised, means, and covariances under the family's constraint.

    What the weights leave to 1 is the noise's weight, if the family has a noise component.
    """
    total = weights.sum()
    if not total > 0:  # the noise has all the points
        raise CollapsedComponent(0)
    weights = weights / total
    covariances = family.in_family(weights, covariances)
    mixture = replace(family.with_covariances(weights, means, covariances), family=family)
    return family.noisy(mixture, 1 - total)


class Parts:
    """Components to be merged and split, each with its own covariance.

    Parameters
    ----------
    parameters : Parameters
    """

    def __init__(self, parameters):
        self.family = parameters.family
        self.weights, self.means = parameters.weights.copy(), parameters.means.copy()
        self.covariances = parameters.covariances.copy()
        self.log_volumes = self.log_volume(self.covariances)

    def log_volume(self, covariances):
        """Logarithms of the determinants of covariances, (n,)."""
        raise NotImplementedError

    def spread(self, offsets):
        """Outer products of offsets, (n, D), with themselves, in the shape of covariances."""
        raise NotImplementedError

    def losses(self, i, others):
        """Log-likelihood lost, nats per unit of weight, if component i is merged with each of the others."""
        weights, _, _, covariances = self._scatters(i, others)
        apart = self.weights[i] * self.log_volumes[i] + self.weights[others] * self.log_volumes[others]
        with np.errstate(invalid="ignore"):
            losses = weights * self.log_volume(covariances) - apart
        losses[np.isnan(losses)] = 0.0  # flat components with a flat union
        return losses

    def merge(self, i, j):
        """Replace component i by the union of i and j."""
        (self.weights[i],), (self.means[i],), covariance = self._unions(i, np.array([j]))
        self.covariances[i] = covariance[0]
        self.log_volumes[i] = self.log_volume(covariance)[0]

    def _unions(self, i, others):
        """Weights, means and covariances of the unions of component i with each of the others."""
        weights, share, apart, covariances = self._scatters(i, others)
        return weights, self.means[i] + share[:, None] * apart, covariances

    def _scatters(self, i, others):
        """Of the same unions: weights, the others' shares of them, the others' means relative to i's, covariances."""
        of_others = self.weights[others]
        weights = self.weights[i] + of_others
        share = of_others / np.maximum(weights, 1e-300)
        apart = self.means[others] - self.means[i]
        share_ = share.reshape(-1, *[1] * (self.covariances.ndim - 1))
        rest = 1 - share_
        within = rest * self.covariances[i] + share_ * self.covariances[others]
        return weights, share, apart, within + share_ * rest * self.spread(apart)

    def mixture(self, alive):
        """The mixture of the components with these indices."""
        return mixture_of(self.family, self.weights[alive], self.means[alive], self.covariances[alive])

    def halves(self, offsets):
        """Covariances of the two halves of each component, whose means are its own + and - offsets."""
        return np.concatenate([self.covariances - self.spread(offsets)] * 2)

    def with_typical(self):
        """The covariances, and their weighted mean appended."""
        return np.concatenate([self.covariances, np.tensordot(self.weights, self.covariances, axes=1)[None]])
