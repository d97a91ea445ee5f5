"""Gaussians with a covariance matrix each (full): densities and moments of a block, in register tiles of four.

Work per point and component: D (D + 1) / 2 fused multiply-adds for the density (whitened features
z = U'(x - mean), U the Cholesky factor of the precision), as many for the second moment, one exp, one square root.
"""

from typing import NamedTuple

import numpy as np

from ._jit import kernel
from .vectors import (
    LANES,
    add_outer_tile,
    load,
    mul,
    splat,
    sqrt,
    store,
    sub,
    subtract_squares_tile,
)

_columns_1 = subtract_squares_tile(1)
_columns_2 = subtract_squares_tile(2)
_columns_3 = subtract_squares_tile(3)
_columns_4 = subtract_squares_tile(4)

_outer_4x1 = add_outer_tile(4, 1)
_outer_4x2 = add_outer_tile(4, 2)
_outer_4x3 = add_outer_tile(4, 3)
_outer_4x4 = add_outer_tile(4, 4)
_triangle_1 = add_outer_tile(1, 0)
_triangle_2 = add_outer_tile(2, 0)
_triangle_3 = add_outer_tile(3, 0)
_triangle_4 = add_outer_tile(4, 0)


class Triangular(NamedTuple):
    """Parameters as the kernels take them: the log-density of component k at x is, with x' = x - origin,

    log_scale[k] - sum over c of (bias[k, c] + sum over i <= c of factor[k D + c, i] x'[i])**2
    """

    origin: np.ndarray  # (D,) a point amid the data
    log_scale: np.ndarray  # (K,) log weight + log of the normalising constant
    factor: np.ndarray  # (K * D, D) transposed Cholesky factors of the precisions / sqrt(2), lower triangular
    bias: np.ndarray  # (K, D) -factor (mean - origin)

    def zero_moments(self, n_slots):
        """Accumulators of `n_slots` chunks: the lower triangle of sum r [1 d]'[1 d] per component, stacked."""
        n_components, n_features = self.bias.shape
        return np.zeros((n_slots, n_components * (n_features + 1), n_features + 1))

    @staticmethod
    def split_moments(moments):
        """The mass (K,), first (K, D) and second moments (K, D, D) in summed accumulators."""
        order = moments.shape[1]
        moments = moments.reshape(-1, order, order)
        lower = np.tril(moments[:, 1:, 1:], -1)
        second = np.tril(moments[:, 1:, 1:]) + lower.transpose(0, 2, 1)
        return moments[:, 0, 0], moments[:, 1:, 0], second


@kernel
def triangular_log_densities(log_scale, factor, bias, x, n_points, out):
    """out[k, b] = log weight + log-density of component k at point b.  x: (D, n_points), out: OUT (K, n_points)."""
    n_components, n_features = bias.shape
    remainder = n_features % 4
    for k in range(n_components):
        for b in range(0, n_points, LANES):
            store(out, k, b, splat(log_scale[k]))
        # The odd columns come first, where the triangle is narrow.
        if remainder == 1:
            _columns_1(factor, bias, k, 0, x, n_points, out)
        elif remainder == 2:
            _columns_2(factor, bias, k, 0, x, n_points, out)
        elif remainder == 3:
            _columns_3(factor, bias, k, 0, x, n_points, out)
        for j in range(remainder, n_features, 4):
            _columns_4(factor, bias, k, j, x, n_points, out)


@kernel
def add_outer_products(e, order, n_points, first_row, out):
    """out[first_row + i, j] += sum over b of e[i, b] e[j, b] for j <= i < order.

    e: (at least order, n_points); out: IN OUT (at least first_row + order, at least order).
    """
    remainder = order % 4
    if remainder == 1:
        _triangle_1(e, 0, 0, n_points, out, first_row)
    elif remainder == 2:
        _triangle_2(e, 0, 0, n_points, out, first_row)
    elif remainder == 3:
        _triangle_3(e, 0, 0, n_points, out, first_row)
    for i in range(remainder, order, 4):
        row = first_row + i
        if remainder == 1:
            _outer_4x1(e, i, 0, n_points, out, row)
        elif remainder == 2:
            _outer_4x2(e, i, 0, n_points, out, row)
        elif remainder == 3:
            _outer_4x3(e, i, 0, n_points, out, row)
        for j in range(remainder, i, 4):
            _outer_4x4(e, i, j, n_points, out, row)
        _triangle_4(e, i, i, n_points, out, row)


@kernel
def add_triangular_moments(x, n_points, responsibilities, factor, centres, e, moments):
    """Add a block's mass, first and second moments about `centres`, for each component.

    With e = sqrt(r) [1, x - centre], the sum of e e' holds all three.
    x: (D, n_points); responsibilities: (K, n_points), to be multiplied by factor (1, n_points);
    centres: (K, D), relative to the same origin as x; e: scratch (D + 1, n_points);
    moments: IN OUT (K (D + 1), D + 1), lower triangles.
    """
    n_components, n_features = centres.shape
    for k in range(n_components):
        for b in range(0, n_points, LANES):
            root = sqrt(mul(load(responsibilities, k, b), load(factor, 0, b)))
            store(e, 0, b, root)
            for i in range(n_features):
                store(e, i + 1, b, mul(root, sub(load(x, i, b), splat(centres[k, i]))))
        add_outer_products(e, n_features + 1, n_points, k * (n_features + 1), moments)
