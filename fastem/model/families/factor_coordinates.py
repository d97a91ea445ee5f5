"""Coordinates of loadings and noise variances, for quasi-Newton steps; see `coordinates.Coordinates`."""

import math

import numpy as np

from .base import flat
from .loadings import inner, joined, times_root

# Relative difference of two noise variances that are the same but for rounding: both are at the floor.
_SAME = 1e-13


class FactorCoordinates:
    """Differences of the loadings in deviations of the reference's noise, and log-ratios of the noise variances.

    Every vector is a mixture of the family. The complete data's information about the loadings is the identity then, as
    the factors have unit variance, and 1/2 about the log-ratios. Means are whitened by the whole covariance.
    """

    def __init__(self, reference):
        values = reference.precisions_cholesky.astype(np.float64)
        self._scaled, self._inverse = values[..., :-1], values[..., -1]

    def _split(self, values):
        """Parts of vectors (.., P): the differences (.., K, D, q), and the log-ratios (.., K, D)."""
        n = self._scaled.size
        leading = values.shape[:-1]
        return (
            values[..., :n].reshape(*leading, *self._scaled.shape),
            values[..., n:].reshape(*leading, *self._inverse.shape),
        )

    def _joined(self, loadings, logs):
        leading = logs.shape[:-2]
        return np.concatenate([loadings.reshape(*leading, -1), flat(logs)], axis=-1)

    def deviations(self, root):
        return self._joined(
            np.broadcast_to(root[:, None, None], self._scaled.shape),
            np.broadcast_to(math.sqrt(0.5) * root[:, None], self._inverse.shape),
        )

    def whiten(self, offsets):
        return times_root(self._scaled, offsets * self._inverse, -1)

    def unwhiten(self, offsets):
        return times_root(self._scaled, offsets, 1) / self._inverse

    def encode(self, precisions_cholesky, root):
        scaled, inverse = precisions_cholesky[..., :-1], precisions_cholesky[..., -1]
        ratio = self._inverse / inverse  # of noise deviations
        return self._joined(ratio[..., None] * scaled - self._scaled, 2 * np.log(ratio)) * self.deviations(root)

    def gradient(self, precisions_cholesky, weights, moved, covariances):
        """With C the covariance of a component's points about its mean, and E[z z'] the factors' second moments,

        the successor's loadings are C P L (E[z z'])**-1, where P = precision. So both follow from the successor.
        """
        scaled, inverse = precisions_cholesky[..., :-1], precisions_cholesky[..., -1]
        new = inverse[..., None] * covariances[..., :-1]  # the successor's loadings, in this mixture's noise
        ratio = inverse**2 * covariances[..., -1]
        offsets = inverse * moved
        transposed = np.swapaxes(scaled, -1, -2)
        posterior = np.linalg.inv(inner(scaled))
        second = np.linalg.inv(np.eye(scaled.shape[-1]) + transposed @ (scaled - new))
        products = new @ second
        total = ratio + (products * new).sum(axis=-1) + offsets**2
        along = (np.swapaxes(scaled @ posterior, -1, -2) @ offsets[..., None])[..., 0]
        products = products + offsets[..., None] * along[..., None, :]
        factors = posterior @ transposed @ products + posterior
        fitted = scaled @ factors
        left = total - 2 * (products * scaled).sum(axis=-1) + (fitted * scaled).sum(axis=-1)
        share = weights[..., None]
        slope = 0.5 * share * (left - 1)
        slope = np.where(np.abs(ratio - 1) < _SAME, 0.0, slope)
        to_loadings = share[..., None] * (inverse / self._inverse)[..., None] * (products - fitted)
        explained = (scaled @ (posterior @ (transposed @ offsets[..., None])))[..., 0]
        to_means = times_root(self._scaled, inverse / self._inverse * (offsets - explained), 1)
        return to_means, self._joined(to_loadings, slope)

    def decode(self, values):
        differences, logs = self._split(values)
        with np.errstate(over="ignore", invalid="ignore"):
            inverse = self._inverse * np.exp(-0.5 * logs)
            loadings = (self._scaled + differences) / self._inverse[..., None]
            return joined(loadings * inverse[..., None], inverse), joined(loadings, inverse**-2)
