"""Mixtures of factor analyzers to be merged and split; see `parts.Parts`."""

import numpy as np

from .loadings import inner, joined
from .parts import Parts

# Numbers in the loadings of the unions that are computed at a time.
_VALUES = 1 << 21
# Components, the heaviest, whose loadings are pooled for a typical one.
_TYPICAL = 8


class FactorParts(Parts):
    """A union has the sum of the parts' loadings and noise, and its means' offset as one more factor.

    Its strongest factors, in units of the noise, are kept, and the variances of the others become noise: so features
    keep their variances.
    """

    def log_volume(self, covariances):
        scaled = covariances[..., :-1] / np.sqrt(covariances[..., -1:])
        return np.log(covariances[..., -1]).sum(axis=-1) + np.linalg.slogdet(inner(scaled))[1]

    def losses(self, i, others):
        i, others = np.broadcast_arrays(i, others)
        n_features, width = self.covariances.shape[1:]
        step = max(1, _VALUES // (2 * n_features * width))
        parts = [self._losses(i[n : n + step], others[n : n + step]) for n in range(0, len(i), step)]
        return np.concatenate(parts) if parts else np.empty(0)

    def _losses(self, i, others):
        weights, _, covariances = self._wide_unions(i, others)
        apart = self.weights[i] * self.log_volumes[i] + self.weights[others] * self.log_volumes[others]
        return weights * self.log_volume(covariances) - apart

    def _wide_unions(self, i, others):
        """Weights, means and covariances, of 2 q + 1 factors, of the unions of components i and others, (n,)."""
        weights = self.weights[i] + self.weights[others]
        share = (self.weights[others] / np.maximum(weights, 1e-300))[:, None]
        apart = self.means[others] - self.means[i]
        one, other, share_ = self.covariances[i], self.covariances[others], share[:, :, None]
        loadings = np.concatenate(
            [
                np.sqrt(1 - share_) * one[..., :-1],
                np.sqrt(share_) * other[..., :-1],
                (np.sqrt(share * (1 - share)) * apart)[..., None],
            ],
            axis=-1,
        )
        noise = (1 - share) * one[..., -1] + share * other[..., -1]
        return weights, self.means[i] + share * apart, joined(loadings, noise)

    def _unions(self, i, others):
        weights, means, wide = self._wide_unions(np.broadcast_to(i, np.shape(others)), others)
        return weights, means, self._of_strongest(wide)

    def _of_strongest(self, wide):
        """Covariances (n, D, q + 1) of the strongest factors of these with more."""
        loadings, noise = wide[..., :-1], wide[..., -1]
        kept = self.covariances.shape[2] - 1
        deviations = np.sqrt(noise)[..., None]
        axes, lengths, _ = np.linalg.svd(loadings / deviations, full_matrices=False)
        turned = deviations * axes * lengths[:, None, :]
        left = (turned[..., kept:] ** 2).sum(axis=-1)
        result = np.zeros((len(wide), *self.covariances.shape[1:]))
        result[..., : min(kept, turned.shape[2])] = turned[..., :kept]
        result[..., -1] = noise + left
        return result

    def halves(self, offsets):
        """As in the base class: L (I - g g') L' where the offset is L g."""
        loadings = self.covariances[..., :-1]
        scaled = loadings / np.sqrt(self.covariances[..., -1:])
        offsets = offsets / np.sqrt(self.covariances[..., -1])
        along = (np.linalg.pinv(scaled) @ offsets[..., None])[..., 0]
        squares = np.minimum((along**2).sum(axis=1), 0.99)
        shrink = (1 - np.sqrt(1 - squares)) / np.where(squares > 0, squares, 1.0)
        narrower = loadings - shrink[:, None, None] * (loadings @ along[..., None]) * along[:, None, :]
        return np.concatenate([joined(narrower, self.covariances[..., -1])] * 2)

    def with_typical(self):
        """As in the base class, with the loadings of the heaviest components."""
        heaviest = np.argsort(-self.weights, kind="stable")[:_TYPICAL]
        shares = self.weights[heaviest] / self.weights[heaviest].sum()
        loadings = np.sqrt(shares)[:, None, None] * self.covariances[heaviest][..., :-1]
        wide = joined(np.concatenate(loadings, axis=1), shares @ self.covariances[heaviest][..., -1])
        return np.concatenate([self.covariances, self._of_strongest(wide[None])])
