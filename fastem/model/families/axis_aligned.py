"""Families without covariances between features; their precision factors are inverse deviations."""

import math

import numpy as np

from ... import kernels
from ..parameters import CollapsedComponent, Parameters
from ..statistics import SufficientStatistics
from . import FAMILIES
from .base import EPS, CovarianceFamily, flat, log_scale, origin_and_offsets


class AxisAlignedFamily(CovarianceFamily):
    """A family with variances instead of matrices."""

    is_axis_aligned = True
    is_flat_by_feature = True

    def covariances(self, statistics, mass, reg_covar):
        # As in scikit-learn, a component on a single point keeps the least variance that rounding leaves (here the
        # resolution), and one without mass has variance 0.
        variances = np.maximum(statistics.second / mass[:, None], statistics.resolution)
        variances[statistics.mass <= 10 * EPS] = 0.0
        return variances + reg_covar

    def plus(self, covariances, variance):
        return covariances + variance

    def precisions_cholesky(self, covariances):
        collapsed = ~(covariances > 0).reshape(len(covariances), -1).all(axis=1)
        if collapsed.any():
            raise CollapsedComponent(int(collapsed.argmax()))
        return 1 / np.sqrt(covariances)

    def precisions(self, precisions_cholesky):
        return precisions_cholesky**2

    def with_precisions(self, weights, means, precisions):
        return Parameters(self, weights, means, 1 / precisions, np.sqrt(precisions))

    def statistics(self, origin, centres, mass, first, second, log_likelihood, weight):
        return SufficientStatistics(centres, mass, first, second, "diag", second, log_likelihood, weight)

    def _second_moments(self, mass, covariances, means, reg_covar):
        return mass[:, None] * (self.variances(covariances, *means.shape) - reg_covar)

    def check(self, values, n_components, n_features, what, name=None, rounding=None, may_be_flat=False):
        values = values.reshape(n_components, -1)
        valid = (values >= 0 if may_be_flat else values > 0).all(axis=1)
        if not valid.all():
            where = "" if n_components == 1 else f", but component {int(np.argmin(valid))}'s is not"
            raise ValueError(
                f"'{name or f'{self.name} {what}'}' should be {'0 or more' if may_be_flat else 'positive'}{where}"
            )

    def are_factors(self, factors):
        return bool((factors > 0).all())

    def upper_factors(self, factors):
        return factors

    def least_points(self, n_features):
        return 2

    @property
    def of_all_points(self):
        return FAMILIES["diag"]

    def factor_coordinates(self, reference):
        return AxisAlignedCoordinates(reference)

    def draw(self, random_state, mean, covariance, n_samples):
        deviations = np.sqrt(np.asarray(covariance, dtype=np.float64))
        return mean + random_state.standard_normal((n_samples, len(mean))) * deviations

    def random_shapes(self, n_components, n_features, rng):
        axes = np.broadcast_to(np.eye(n_features), (n_components, n_features, n_features))
        logs = rng.standard_normal((n_components, *(self.shape_of_one(n_features) or (1,)))) / np.sqrt(n_features)
        return np.broadcast_to(logs, (n_components, n_features)), axes

    def kernel_inputs(self, parameters, exact):
        origin, offsets = origin_and_offsets(parameters)
        scale = self._scale(parameters)
        return kernels.AxisAligned(origin, offsets, log_scale(parameters), scale, -scale * offsets)

    def far_kernel_inputs(self, parameters):
        means = parameters.means.astype(np.float64)
        scale, nothing = self._scale(parameters), np.zeros(means.shape)
        return kernels.FarAxisAligned(np.zeros(means.shape[1]), means, log_scale(parameters), scale, nothing)

    def _scale(self, parameters):
        scale = np.empty(parameters.means.shape)
        scale[:] = self.diagonals(parameters.precisions_cholesky, *parameters.means.shape)
        scale *= math.sqrt(0.5)
        return scale


class AxisAlignedCoordinates:
    """Log-ratios of inverse deviations, the mixture's to the reference's: for each feature, or one for all features."""

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
        return flat(np.log(self._scales(precisions_cholesky) / self._scale)) * self.deviations(root)

    def gradient(self, precisions_cholesky, weights, moved, covariances):
        scales = self._scales(precisions_cholesky)
        squares = moved**2 if self._multiplicity == 1 else (moved**2).mean(axis=-1, keepdims=True)
        scatter = self._scales(covariances) + squares
        slope = self._multiplicity * weights[..., None] * (1 - scales**2 * scatter)
        return scales**2 * moved / self._scale, flat(slope)

    def decode(self, values):
        with np.errstate(over="ignore"):
            scales = (self._scale * np.exp(values.reshape(self._scale.shape))).reshape(self._shape)
        return scales, 1 / scales**2
