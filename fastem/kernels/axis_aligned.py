"""Gaussians whose axes are the features' (diag, spherical): densities and moments of a block.

Work per point and component: 2 D fused multiply-adds for the density, 4 D operations for the moments, one exp.
"""

from typing import NamedTuple

import numpy as np

from ._jit import kernel
from .vectors import GROUP, LANES, add, fma, load, mul, splat, store, sub, sum_of_lanes


class AxisAligned(NamedTuple):
    """Parameters as the kernels take them: the log-density of component k at x is, with x' = x - origin,

    log_scale[k] - sum over i of (scale[k, i] x'[i] + bias[k, i])**2
    """

    origin: np.ndarray  # (D,) a point amid the data
    log_scale: np.ndarray  # (K,) log weight + log of the normalising constant
    scale: np.ndarray  # (K, D) 1 / (sqrt(2) standard deviation)
    bias: np.ndarray  # (K, D) -scale (mean - origin)

    def zero_moments(self, n_slots):
        """Accumulators of `n_slots` chunks: per component its mass, first and second moments."""
        n_components, n_features = self.scale.shape
        return np.zeros((n_slots, n_components, 1 + 2 * n_features))

    @staticmethod
    def split_moments(moments):
        """Views of the mass (K,), first (K, D) and second moments (K, D) in summed accumulators."""
        n_features = moments.shape[1] // 2
        return moments[:, 0], moments[:, 1 : 1 + n_features], moments[:, 1 + n_features :]


@kernel
def axis_aligned_log_densities(log_scale, scale, bias, x, n_points, out):
    """out[k, b] = log weight + log-density of component k at point b.  x: (D, n_points), out: OUT (K, n_points)."""
    n_components, n_features = scale.shape
    for k in range(n_components):
        for b in range(0, n_points, GROUP):
            sum0 = splat(0.0)
            sum1 = splat(0.0)
            for i in range(n_features):
                factor = splat(scale[k, i])
                offset = splat(bias[k, i])
                z0 = fma(load(x, i, b), factor, offset)
                z1 = fma(load(x, i, b + LANES), factor, offset)
                sum0 = fma(z0, z0, sum0)
                sum1 = fma(z1, z1, sum1)
            store(out, k, b, sub(splat(log_scale[k]), sum0))
            store(out, k, b + LANES, sub(splat(log_scale[k]), sum1))


@kernel
def add_mass(responsibilities, k, factor, n_points, r, total):
    """r[0] = responsibilities[k] * factor[0], point by point, and total[k, 0] += its sum."""
    sum0 = splat(0.0)
    for b in range(0, n_points, LANES):
        r_k = mul(load(responsibilities, k, b), load(factor, 0, b))
        store(r, 0, b, r_k)
        sum0 = add(sum0, r_k)
    total[k, 0] += sum_of_lanes(sum0)


@kernel
def add_axis_aligned_moments(x, n_points, responsibilities, factor, centres, r, moments):
    """Add a block's mass, first and second moments about `centres`, for each component.

    x: (D, n_points); responsibilities: (K, n_points), to be multiplied by factor (1, n_points);
    centres: (K, D), relative to the same origin as x; r: scratch (1, n_points); moments: IN OUT (K, 1 + 2 D).
    """
    n_components, n_features = centres.shape
    for k in range(n_components):
        add_mass(responsibilities, k, factor, n_points, r, moments)
        for i in range(n_features):
            centre = splat(centres[k, i])
            first0 = first1 = second0 = second1 = splat(0.0)
            for b in range(0, n_points, GROUP):
                d0 = sub(load(x, i, b), centre)
                d1 = sub(load(x, i, b + LANES), centre)
                rd0 = mul(load(r, 0, b), d0)
                rd1 = mul(load(r, 0, b + LANES), d1)
                first0 = add(first0, rd0)
                first1 = add(first1, rd1)
                second0 = fma(rd0, d0, second0)
                second1 = fma(rd1, d1, second1)
            moments[k, 1 + i] += sum_of_lanes(add(first0, first1))
            moments[k, 1 + n_features + i] += sum_of_lanes(add(second0, second1))
