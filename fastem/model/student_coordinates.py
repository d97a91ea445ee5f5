"""Coordinates of mixtures of t distributions: the Gaussian ones, and one for each estimate of degrees of freedom.

That coordinate is log(1 + c / nu), which is 0 for a Gaussian and -log(nu) + log(c) in the heaviest tails. With
c**2 = D (D + 2) / 2 a point carries about as much information on it as on a mean in its deviations: exactly so near the
Gaussian, where the likelihood's derivative by 1 / nu is the excess of Mardia's kurtosis. EM moves nu by about a
constant in each iteration, however large nu is, so otherwise a nearly Gaussian component would need thousands.
"""

import math

import numpy as np

from .coordinates import Coordinates
from .families.degrees_of_freedom import LEAST, MOST, gap

# Gradient by a coordinate, nats, that isn't worth to leave the end of the range for: its square is about the gain. That
# of rounding is a tenth of it, where a component is Gaussian.
_FLAT = 1e-3
# Share of the range's upper end from which degrees of freedom are at that end but for rounding in an M-step.
_NEARLY = 0.9
# Degrees of freedom from which a step leads to the upper end: gradients in between would be rounding, in float32.
_GAUSSIAN = 1e5


class StudentCoordinates(Coordinates):
    """As `Coordinates`, of `StudentParameters`."""

    def __init__(self, reference):
        super().__init__(reference)
        n_components, n_features = reference.means.shape
        self._scale = math.sqrt(n_features * (n_features + 2) / 2)
        self._n_tails = reference.family.n_degrees(n_components)
        self._is_one = self._n_tails == 1 and reference.family.is_degree_shared
        self._n_others = len(self.deviations)
        self._root_of_tails = np.ones(1) if self._is_one else self._root[: self._n_tails]
        self.deviations = np.concatenate([self.deviations, self._root_of_tails])

    def encode(self, weights, means, precisions_cholesky, degrees):
        """(..., P) coordinates of mixtures."""
        others = super().encode(weights, means, precisions_cholesky)
        moved = self._of_tails(degrees) - self._of_tails(self._reference.degrees_of_freedom)
        return np.concatenate([others, self._root_of_tails * moved], axis=-1)

    def _of_tails(self, degrees):
        return np.log1p(self._scale / degrees[..., : self._n_tails])

    def gradient(self, weights, means, precisions_cholesky, degrees, successor):
        """(..., P) gradient of the mean log-likelihood, from the successor: (weights, means, scales, hidden).

        Means of points are weighted by u, whose own means are in `hidden`.
        """
        new_weights, new_means, new_scales, hidden = successor
        mean_u, expansion, gaps = hidden[..., 0, :], hidden[..., 1, :], hidden[..., 2, :]
        moved = np.sqrt(mean_u)[..., None] * (new_means - means)
        expansion = expansion[..., 0] if self._reference.family.is_shared else expansion
        expansion = expansion.reshape(*expansion.shape, *[1] * (new_scales.ndim - expansion.ndim))
        to_means, to_factors = self._factors.gradient(precisions_cholesky, new_weights, moved, expansion * new_scales)
        to_means = np.sqrt(mean_u)[..., None] * to_means
        others = self._joined(weights, new_weights, to_means, to_factors)
        return np.concatenate([others, self._to_tails(degrees, new_weights, gaps)], axis=-1)

    def _to_tails(self, degrees, new_weights, gaps):
        if not self._n_tails:
            return np.empty((*degrees.shape[:-1], 0))
        slope = -(degrees + degrees**2 / self._scale)  # of nu by the coordinate
        slope = 0.5 * new_weights * (gap(degrees) - gaps) * slope
        slope = slope.sum(axis=-1, keepdims=True) if self._is_one else slope[..., : self._n_tails]
        return slope / self._root_of_tails

    def held(self, gradient):
        """Which coordinates stay, (P,): at an end of the range of estimates, if the gradient doesn't lead into it."""
        at, slope = self._reference.degrees_of_freedom[: self._n_tails], gradient[self._n_others :]
        held = np.zeros(len(gradient), bool)
        is_last, is_first = at > _NEARLY * MOST, at < LEAST / _NEARLY
        held[self._n_others :] = (is_last & (slope < _FLAT)) | (is_first & (slope > -_FLAT))
        return held if held.any() else None

    def _decoded(self, coordinates):
        others, moved = np.split(coordinates, [self._n_others])
        if not self._n_tails:
            return super()._decoded(others)
        reference = self._reference.degrees_of_freedom
        tails = self._of_tails(reference) + moved / self._root_of_tails
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            degrees = self._scale / np.expm1(tails)
        degrees = np.where((tails > 0) & (degrees < _GAUSSIAN), np.maximum(degrees, LEAST), MOST)
        return {**super()._decoded(others), "degrees_of_freedom": np.array(np.broadcast_to(degrees, reference.shape))}

    def change(self, coordinates):
        """As `Coordinates.change`: of weights and means."""
        return super().change(coordinates[: self._n_others])
