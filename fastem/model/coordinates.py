"""Coordinates of mixtures: every vector is a valid mixture, and near the reference EM's step is the gradient.

The coordinates are log-weights, means and precision factors, each relative to a reference mixture, in units of its
components' own deviations and multiplied by the square root of their weights. So the information matrix of the complete
data is the identity (Xu & Jordan 1996 write EM as a gradient step with that matrix's inverse), lengths are comparable
between components, and neither the scale nor the origin of the data matters. A noise component has a weight alone.
"""

from dataclasses import replace

import numpy as np

# Weight, as which all smaller ones are scaled: otherwise a component without points would need infinite steps.
_SMALLEST_WEIGHT = 1e-10


class Coordinates:
    """Coordinates relative to a reference mixture. Arrays may have leading axes, for many mixtures at once.

    Parameters
    ----------
    reference : Parameters
    """

    def __init__(self, reference):
        self._reference = reference
        n_components, n_features = reference.means.shape
        self._weights_before = reference.all_weights
        self._roots = np.sqrt(np.maximum(self._weights_before, _SMALLEST_WEIGHT))  # the noise's too, if there is one
        self._root = self._roots[:n_components]
        self._factors = reference.family.factor_coordinates(reference)
        n_means = n_components * n_features
        self._cuts = len(self._roots), len(self._roots) + n_means
        self.deviations = np.concatenate(
            [self._roots, np.repeat(self._root, n_features), self._factors.deviations(self._root)]
        )
        """(P,) length, in each coordinate, of one deviation of its component."""

    def encode(self, weights, means, precisions_cholesky):
        """(..., P) coordinates of mixtures, from their `all_weights`, means and factors."""
        with np.errstate(divide="ignore"):
            log_ratio = np.log(np.maximum(weights, 1e-300)) - np.log(np.maximum(self._weights_before, 1e-300))
        offsets = self._factors.whiten(means - self._reference.means)
        return _join(
            self._roots * log_ratio,
            self._root[:, None] * offsets,
            self._factors.encode(precisions_cholesky, self._root),
        )

    def gradient(self, weights, means, precisions_cholesky, successor):
        """(..., P) gradient of the mean log-likelihood at a mixture, from its successor: (weights, means, covariances).
        Both weights are `all_weights`.

        By Fisher's identity (Salakhutdinov, Roweis & Ghahramani 2003, eq. 3) it is the gradient of EM's auxiliary
        function, which depends on the M-step's weights, means and covariances alone. With reg_covar in the
        covariances, it is zero where the M-step changes nothing.
        """
        new_weights, new_means, new_covariances = successor
        moved = new_means - means
        of_components = new_weights[..., : len(self._root)]
        to_means, to_factors = self._factors.gradient(precisions_cholesky, of_components, moved, new_covariances)
        return self._joined(weights, new_weights, to_means, to_factors)

    def _joined(self, weights, new_weights, to_means, to_factors):
        """The gradient, from its parts by means in their components' deviations and by factors."""
        share = new_weights[..., : len(self._root), None] / self._root[:, None]
        return _join((new_weights - weights) / self._roots, share * to_means, to_factors / self._factor_deviations)

    def held(self, gradient):
        """Which coordinates must stay as they are in the next step, (P,), given the reference's gradient; None: none.

        They are at an end of their range that the gradient doesn't lead away from.
        """

    def in_features(self, offsets):
        """Convert offsets, (K, D), from units of each component's own deviations to units of the data."""
        return self._factors.unwhiten(offsets)

    @property
    def _factor_deviations(self):
        return self._factors.deviations(self._root)

    def decode(self, coordinates):
        """The mixture with these coordinates, (P,)."""
        return replace(self._reference, **self._decoded(coordinates))

    def _decoded(self, coordinates):
        log_ratio, offsets, factors = np.split(coordinates, self._cuts)
        weights = self._weights(log_ratio)
        offsets = offsets.reshape(self._reference.means.shape) / self._root[:, None]
        means = self._reference.means + self.in_features(offsets)
        factors, covariances = self._factors.decode(factors / self._factor_deviations)
        n_components = len(means)
        noise = None if len(weights) == n_components else float(weights[-1])
        return {
            "weights": weights[:n_components],
            "means": means,
            "covariances": covariances,
            "precisions_cholesky": factors,
            "noise_weight": noise,
            "scales": None,
        }

    def _weights(self, log_ratio):
        with np.errstate(over="ignore", invalid="ignore"):
            weights = self._weights_before * np.exp(log_ratio / self._roots)
            return weights / weights.sum()

    def change(self, coordinates):
        """Largest change from the reference: of a weight, or of a mean in units of its component's deviations.

        Infinity if the weights overflow.
        """
        log_ratio, offsets, _ = np.split(coordinates, self._cuts)
        of_weights = np.abs(self._weights(log_ratio) - self._weights_before)
        of_means = np.linalg.norm(offsets.reshape(self._reference.means.shape), axis=1) / self._root
        return float(np.nan_to_num(max(of_weights.max(), of_means.max()), nan=np.inf))


def _join(weights, means, factors):
    return np.concatenate([weights, means.reshape(*means.shape[:-2], -1), factors], axis=-1)
