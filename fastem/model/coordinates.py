"""Coordinates of a mixture in which every point is a valid mixture and EM's step is, near the reference, the gradient.

Log-weights, means and factors of the precisions, each relative to a reference mixture and in units of its components'
own deviations, times the square root of their weights: so the complete data's information matrix is the identity
(Xu & Jordan 1996 write EM as a gradient step with that matrix's inverse), lengths mean the same for every component,
and neither the data's scale nor their origin matters.
"""

import math

import numpy as np

from .covariance import Parameters, inverse_of_lower

# Weights below are measured as if they were this: a component without points shouldn't need infinite steps.
_SMALLEST_WEIGHT = 1e-10


class Coordinates:
    """Coordinates about a reference mixture; arrays may have leading axes, for many mixtures at once.

    Parameters
    ----------
    reference : Parameters
    """

    def __init__(self, reference):
        self._reference = reference
        n_components, n_features = reference.means.shape
        self._root = np.sqrt(np.maximum(reference.weights, _SMALLEST_WEIGHT))
        self._factors = _Triangular(reference) if reference.family.is_triangular else _AxisAligned(reference)
        n_means = n_components * n_features
        self._cuts = n_components, n_components + n_means
        self.deviations = np.concatenate(
            [self._root, np.repeat(self._root, n_features), self._factors.deviations(self._root)]
        )
        """What one deviation of a component is in each coordinate."""

    def encode(self, weights, means, precisions_cholesky):
        """(..., P) coordinates of mixtures."""
        with np.errstate(divide="ignore"):
            log_ratio = np.log(np.maximum(weights, 1e-300)) - np.log(np.maximum(self._reference.weights, 1e-300))
        offsets = self._factors.whiten(means - self._reference.means)
        return _join(
            self._root * log_ratio,
            self._root[:, None] * offsets,
            self._factors.encode(precisions_cholesky, self._root),
        )

    def gradient(self, weights, means, precisions_cholesky, successor):
        """(..., P) gradient of the mean log-likelihood, from a mixture and what EM makes of it.

        Fisher's identity (Salakhutdinov, Roweis & Ghahramani 2003, eq. 3): it is the gradient of EM's auxiliary
        function, and that needs the M-step's weights, means and covariances alone. Where they hold reg_covar, it is
        zero where the M-step changes nothing.
        """
        new_weights, new_means, new_covariances = successor
        moved = new_means - means
        to_means, to_factors = self._factors.gradient(precisions_cholesky, new_weights, moved, new_covariances)
        share = new_weights[..., None] / self._root[:, None]
        return _join((new_weights - weights) / self._root, share * to_means, to_factors / self._factor_deviations)

    def in_features(self, offsets):
        """Offsets, (K, D), from units of each component's own deviations to those of the data."""
        return self._factors.unwhiten(offsets)

    @property
    def _factor_deviations(self):
        return self.deviations[self._cuts[1] :]

    def decode(self, coordinates):
        """The mixture with these coordinates, (P,)."""
        log_ratio, offsets, factors = np.split(coordinates, self._cuts)
        weights = self._weights(log_ratio)
        offsets = offsets.reshape(self._reference.means.shape) / self._root[:, None]
        means = self._reference.means + self.in_features(offsets)
        factors, covariances = self._factors.decode(factors / self._factor_deviations)
        return Parameters(self._reference.family, weights, means, covariances, factors)

    def _weights(self, log_ratio):
        with np.errstate(over="ignore", invalid="ignore"):
            weights = self._reference.weights * np.exp(log_ratio / self._root)
            return weights / weights.sum()

    def change(self, coordinates):
        """Largest change from the reference: of a weight, or of a mean in units of its component's deviations.

        Infinity for a step to no mixture.
        """
        log_ratio, offsets, _ = np.split(coordinates, self._cuts)
        of_weights = np.abs(self._weights(log_ratio) - self._reference.weights)
        of_means = np.linalg.norm(offsets.reshape(self._reference.means.shape), axis=1) / self._root
        return float(np.nan_to_num(max(of_weights.max(), of_means.max()), nan=np.inf))


def _join(weights, means, factors):
    return np.concatenate([weights, means.reshape(*means.shape[:-2], -1), factors], axis=-1)


class _Triangular:
    """Lower triangular P = U'L, U the mixture's precision factor and L the reference's covariance factor.

    One for each component or one for all. Coordinates: sqrt(2) log of P's diagonal, and P left of it.
    """

    def __init__(self, reference):
        self._shape = reference.precisions_cholesky.shape
        n_features = self._shape[-1]
        self._upper = reference.precisions_cholesky.reshape(-1, n_features, n_features)
        self._lower = inverse_of_lower(self._upper.transpose(0, 2, 1))
        self._diagonal = np.arange(n_features)
        self._left = np.tril_indices(n_features, -1)

    @property
    def _is_shared(self):
        return len(self._shape) == 2

    def deviations(self, root):
        root = np.ones(1) if self._is_shared else root
        n_features = len(self._diagonal)
        return np.concatenate([np.repeat(root, n_features) * math.sqrt(2), np.repeat(root, len(self._left[0]))])

    def whiten(self, offsets):
        return (offsets[..., None, :] @ self._upper)[..., 0, :]

    def unwhiten(self, offsets):
        return (self._lower @ offsets[..., None])[..., 0]

    def _relative(self, precisions_cholesky):
        upper = precisions_cholesky.reshape(*precisions_cholesky.shape[: -len(self._shape)], *self._upper.shape)
        return upper, np.swapaxes(upper, -1, -2) @ self._lower

    def _values(self, diagonal, matrices):
        left = matrices[..., *self._left]
        return np.concatenate([_flat(diagonal), _flat(left)], axis=-1)

    def encode(self, precisions_cholesky, root):
        _, relative = self._relative(precisions_cholesky)
        diagonal = np.log(np.diagonal(relative, axis1=-2, axis2=-1))
        return self._values(diagonal, relative) * self.deviations(root)

    def gradient(self, precisions_cholesky, weights, moved, covariances):
        upper, relative = self._relative(precisions_cholesky)
        whitened = np.swapaxes(upper, -1, -2) @ moved[..., None]
        to_means = (np.swapaxes(relative, -1, -2) @ whitened)[..., 0]
        if self._is_shared:
            scatter = covariances + np.swapaxes(moved * weights[..., None], -1, -2) @ moved
            scatter, share = scatter[..., None, :, :], np.ones(1)
        else:
            scatter, share = covariances + moved[..., :, None] * moved[..., None, :], weights
        slope = -share[..., None, None] * (relative @ (np.swapaxes(self._upper, -1, -2) @ scatter @ self._upper))
        diagonal = np.diagonal(relative, axis1=-2, axis2=-1) * np.diagonal(slope, axis1=-2, axis2=-1)
        return to_means, self._values(diagonal + share[..., None], slope)

    def decode(self, values):
        count, n_features = self._upper.shape[:2]
        relative = np.zeros(self._upper.shape)
        diagonal, left = np.split(values, [count * n_features])
        with np.errstate(over="ignore"):
            relative[:, self._diagonal, self._diagonal] = np.exp(diagonal.reshape(count, n_features))
        relative[:, *self._left] = left.reshape(count, -1)
        factors = relative @ self._upper.transpose(0, 2, 1)
        lower = self._lower @ inverse_of_lower(relative)
        with np.errstate(over="ignore", invalid="ignore"):
            covariances = lower @ lower.transpose(0, 2, 1)
        return factors.transpose(0, 2, 1).reshape(self._shape), covariances.reshape(self._shape)


class _AxisAligned:
    """Ratios of inverse deviations, the mixture's to the reference's, one for each feature or one for all of them."""

    def __init__(self, reference):
        self._shape = reference.precisions_cholesky.shape
        n_components, n_features = reference.means.shape
        self._scale = reference.precisions_cholesky.reshape(n_components, -1)
        self._multiplicity = n_features // self._scale.shape[1]

    def deviations(self, root):
        return np.repeat(root, self._scale.shape[1]) * math.sqrt(2 * self._multiplicity)

    def whiten(self, offsets):
        return offsets * self._scale

    def unwhiten(self, offsets):
        return offsets / self._scale

    def _scales(self, precisions_cholesky):
        return precisions_cholesky.reshape(*precisions_cholesky.shape[: -len(self._shape)], *self._scale.shape)

    def encode(self, precisions_cholesky, root):
        return _flat(np.log(self._scales(precisions_cholesky) / self._scale)) * self.deviations(root)

    def gradient(self, precisions_cholesky, weights, moved, covariances):
        scales = self._scales(precisions_cholesky)
        squares = moved**2 if self._multiplicity == 1 else (moved**2).mean(axis=-1, keepdims=True)
        scatter = self._scales(covariances) + squares
        slope = self._multiplicity * weights[..., None] * (1 - scales**2 * scatter)
        return scales**2 * moved / self._scale, _flat(slope)

    def decode(self, values):
        with np.errstate(over="ignore"):
            scales = (self._scale * np.exp(values.reshape(self._scale.shape))).reshape(self._shape)
        return scales, 1 / scales**2


def _flat(values):
    return values.reshape(*values.shape[:-2], -1)
