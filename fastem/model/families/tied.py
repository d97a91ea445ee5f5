"""One covariance matrix for all components."""

import math

import numpy as np

from ... import kernels
from ..parameters import CollapsedComponent, Parameters
from ..statistics import SufficientStatistics
from .base import log_scale, origin_and_offsets
from .conjugate import SharedWishart
from .ellipsoidal import Ellipsoidal, from_precisions, precision_factors, regular
from .parts import mixture_of
from .shrinking import SharedMatrix


class Tied(Ellipsoidal):
    """One covariance matrix for all components: covariances (D, D)."""

    name = "tied"
    compiled_m_step = "Shared", False
    is_shared = True
    conjugate = SharedWishart()
    shrinking = SharedMatrix()

    def covariances(self, statistics, mass, reg_covar):
        mass = mass.sum(keepdims=True)
        return regular((statistics.second / mass)[None], statistics, mass, reg_covar)[0]

    def precisions_cholesky(self, covariances):
        try:
            return precision_factors(covariances[None])[0]
        except CollapsedComponent:
            raise CollapsedComponent(None) from None

    def precisions(self, precisions_cholesky):
        return precisions_cholesky @ precisions_cholesky.T

    def with_precisions(self, weights, means, precisions):
        covariances, factors = from_precisions(precisions[None])
        return Parameters(self, weights, means, covariances[0], factors[0])

    def statistics(self, origin, centres, mass, first, second, log_likelihood, weight):
        if second.ndim == 3:
            pooled = scatter = second.sum(axis=0)
        else:  # from the scatter about the origin to that about each component's centre
            scatter = second
            offsets = centres - origin
            cross = first.T @ offsets
            pooled = scatter - cross
            pooled -= cross.T  # in place: with thousands of features, new matrices take longer than the sums
            pooled -= np.matmul(offsets.T * mass, offsets, out=cross)
        magnitude = np.diagonal(scatter)[None, :]
        return SufficientStatistics(centres, mass, first, pooled, "pooled", magnitude, log_likelihood, weight)

    def shape(self, n_components, n_features):
        return n_features, n_features

    def matrices(self, covariances, n_components, n_features):
        return np.broadcast_to(covariances, (n_components, n_features, n_features))

    def of_matrices(self, matrices):
        return matrices[0]

    def n_free(self, n_components, n_features):
        return n_features * (n_features + 1) // 2

    def points_lacking(self, mass, n_features):
        return np.full(len(mass), mass.sum() < len(mass) + n_features)

    def points_needed(self, n_components, n_features):
        return f"{n_components + n_features} in all"

    def axis_aligned(self, variances, n_components):
        return np.diag(variances)

    def parts(self, parameters):
        return _TiedParts(parameters)

    def random_shapes(self, n_components, n_features, rng):
        axes = np.broadcast_to(np.eye(n_features), (n_components, n_features, n_features))
        return np.zeros((n_components, n_features)), axes

    def kernel_inputs(self, parameters, exact):
        if exact:
            return self._triangular_inputs(parameters)
        origin, offsets = origin_and_offsets(parameters)
        factor = parameters.precisions_cholesky.astype(np.float64).T
        factor = np.ascontiguousarray(factor * math.sqrt(0.5))
        return kernels.Shared(
            origin, offsets, log_scale(parameters), factor, np.ones(offsets.shape), -offsets @ factor.T
        )

    def _lower_factors(self, parameters):
        return np.tile(parameters.precisions_cholesky.astype(np.float64).T, (len(parameters.means), 1, 1))


class _TiedParts:
    """As `Parts`, but with a common covariance, which every merger increases."""

    def __init__(self, parameters):
        self.family = parameters.family
        self.weights, self.means = parameters.weights.copy(), parameters.means.copy()
        self.covariance = parameters.covariances.copy()
        self.at_first = parameters.covariances  # the metric of all losses (Ward), unchanged by mergers

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
        return mixture_of(self.family, self.weights[alive], self.means[alive], self.covariance)

    def halves(self, offsets):
        return self.covariance

    def with_typical(self):
        return self.covariance
