"""Gaussians that share one covariance matrix (tied): densities and moments of a block.

The common Cholesky factor whitens a block once; in whitened features every component is a unit sphere. Work per
point: D (D + 1) / 2 multiply-adds to whiten and as many for the common scatter; per point and component 2 D for
the density, 3 D for the first moment, one exp: far less than a matrix per component.
"""

from typing import NamedTuple

import numpy as np

from ._jit import kernel
from .axis_aligned import add_mass
from .triangular import add_outer_products
from .vectors import GROUP, LANES, add, fma, load, mul, splat, sqrt, store, sub, sum_of_lanes


class Shared(NamedTuple):
    """Parameters as the kernels take them: the log-density of component k at x is, with y = factor (x - origin),

    log_scale[k] - sum over i of (scale[k, i] y[i] + bias[k, i])**2
    """

    origin: np.ndarray  # (D,) a point amid the data
    log_scale: np.ndarray  # (K,) log weight + log of the normalising constant
    factor: np.ndarray  # (D, D) transposed Cholesky factor of the precision / sqrt(2), lower triangular
    scale: np.ndarray  # (K, D) ones: whitened components are spheres
    bias: np.ndarray  # (K, D) -factor (mean - origin)

    def zero_moments(self, n_slots):
        """Accumulators of `n_slots` chunks: K rows (mass, first moment), then D rows of the common scatter."""
        n_components, n_features = self.bias.shape
        return np.zeros((n_slots, n_components + n_features, 1 + n_features))

    @staticmethod
    def split_moments(moments):
        """The mass (K,), first moments (K, D) and common scatter about the origin (D, D)."""
        n_features = moments.shape[1] - 1
        lower = np.tril(moments[-n_features:, :-1])
        scatter = lower + np.tril(lower, -1).T
        return moments[:-n_features, 0], moments[:-n_features, 1:], scatter


@kernel
def whiten(factor, x, n_points, y):
    """y[j, b] = sum over i <= j of factor[j, i] x[i, b].  x: (D, n_points), y: OUT (at least D, n_points)."""
    for j in range(factor.shape[0]):
        for b in range(0, n_points, GROUP):
            sum0 = splat(0.0)
            sum1 = splat(0.0)
            for i in range(j + 1):
                coefficient = splat(factor[j, i])
                sum0 = fma(load(x, i, b), coefficient, sum0)
                sum1 = fma(load(x, i, b + LANES), coefficient, sum1)
            store(y, j, b, sum0)
            store(y, j, b + LANES, sum1)


@kernel
def add_shared_moments(x, n_points, responsibilities, factor, weights, centres, e, moments):
    """Add a block's mass and first moments about `centres`, and the scatter of all its points about the origin.

    x: (D, n_points); responsibilities: (K, n_points), to be multiplied by factor (1, n_points); weights:
    (1, n_points), what a point's responsibilities sum to; centres: (K, D), relative to the same origin as x;
    e: scratch (D, n_points); moments: IN OUT (K + D, 1 + D).
    """
    n_components, n_features = centres.shape
    for k in range(n_components):
        add_mass(responsibilities, k, factor, n_points, e, moments)
        for i in range(n_features):
            centre = splat(centres[k, i])
            sum0 = splat(0.0)
            sum1 = splat(0.0)
            for b in range(0, n_points, GROUP):
                sum0 = fma(load(e, 0, b), sub(load(x, i, b), centre), sum0)
                sum1 = fma(load(e, 0, b + LANES), sub(load(x, i, b + LANES), centre), sum1)
            moments[k, 1 + i] += sum_of_lanes(add(sum0, sum1))
    for b in range(0, n_points, LANES):
        root = sqrt(load(weights, 0, b))
        for i in range(n_features):
            store(e, i, b, mul(root, load(x, i, b)))
    add_outer_products(e, n_features, n_points, n_components, moments)
