"""Gaussians that share one covariance matrix (tied): densities and moments of a block.

The common Cholesky factor whitens a block once; in whitened features every component is a unit sphere. For a point:
D (D + 1) flops to whiten and as many for the common scatter. For a point and a component: 4 D for the density, 3 D for
the first moment, 25 for the exp, far less than with a matrix for each component. Share reached of the machine's matrix
multiplication (see triangular.py): 0.6 at D = 10 and at 128, for the reasons given in axis_aligned.py
(0.47 and 0.49 of AVX2's, with AVX2 code).
"""

from typing import NamedTuple

import numpy as np

from ..compiler.jit import kernel, part_of_kernel
from ..tiles import ROWS, moments_tile, outer_tile
from ..vectors import fma, lanes, load, mul, splat, sqrt, store
from .axis_aligned import add_mass, axis_aligned_log_densities, axis_aligned_whitened, mass_in_rows
from .common import EMPTY, LOG_2_PI, invert_factor, is_near, is_resolved, mirrored, one_more_than_features
from .triangular import add_left_of_diagonal, first_rows

_first_moments = moments_tile(squares=False)
_first_triangle = outer_tile((1, 2, 3, 4), diagonal=True)
_next_triangle = outer_tile((ROWS,), diagonal=True)


@kernel
def _whiten(factor, x, n_points, y):
    """y[j, b] = sum over i <= j of factor[j, i] x[i, b].  x: (D, n_points), y: OUT (at least D, n_points)."""
    n_lanes = lanes(x)
    for j in range(factor.shape[0]):
        for b in range(0, n_points, 2 * n_lanes):
            sum0 = sum1 = splat(0.0, x)
            for i in range(j + 1):
                coefficient = splat(factor[j, i], x)
                sum0 = fma(load(x, i, b), coefficient, sum0)
                sum1 = fma(load(x, i, b + n_lanes), coefficient, sum1)
            store(y, j, b, sum0)
            store(y, j, b + n_lanes, sum1)


@kernel
def _add_scatter(e, n_features, n_points, first_row, out):
    """out[first_row + i, j] += sum over b of e[i, b] e[j, b] for j <= i < n_features."""
    first = first_rows(n_features)
    _first_triangle(first, e, 0, 0, n_points, out, first_row)
    for i in range(first, n_features, ROWS):
        add_left_of_diagonal(e, i, 0, i, n_points, out, first_row + i)
        _next_triangle(ROWS, e, i, i, n_points, out, first_row + i)


@kernel
def add_shared_moments(active, x, n_points, responsibilities, factor, weights, centres, e, moments):
    """Add a block's mass and first moments about `centres`, and the scatter of all its points about the origin.

    x: (D, n_points); responsibilities: (len(active), n_points), IN unnormalised, OUT multiplied by `factor`,
    (1, n_points); weights: (1, n_points), the sum of each point's multiplied responsibilities; centres: (K, D),
    relative to the same origin as x; e: scratch (at least D, n_points); moments: IN OUT (K + D, 1 + D).
    """
    n_components, n_features = centres.shape
    add_mass(responsibilities, factor, active, n_points, moments)
    for i in range(0, n_features, 4):
        width = min(4, n_features - i)
        for a in range(active.size):
            _first_moments(width, x, i, n_points, responsibilities, a, centres, active[a], moments, 1, 0)
    for b in range(0, n_points, lanes(e)):
        root = sqrt(load(weights, 0, b))
        for i in range(n_features):
            store(e, i, b, mul(root, load(x, i, b)))
    _add_scatter(e, n_features, n_points, n_components, moments)


@part_of_kernel
def _whitened_block(parameters, x, n_points, work):
    _whiten(parameters.factor, x, n_points, work)
    return work


@part_of_kernel
def _add_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    add_shared_moments(active, x, n_points, responsibilities, factor, weights, centres, work, moments)


@kernel
def _shared_m_step(parameters, moments, reg_covar, averaged):
    n_components, n_features = parameters.means.shape
    matrix, total = np.empty((n_features, n_features)), 0.0
    for k in range(n_components):
        mass = moments[k, 0] + EMPTY
        total += mass
        for i in range(n_features):
            parameters.means[k, i] += moments[k, 1 + i] / mass
    for i in range(n_features):
        size = abs(parameters.origin[i])
        for j in range(i + 1):
            value = moments[n_components + i, j]
            for k in range(n_components):
                value -= (moments[k, 0] + EMPTY) * parameters.means[k, i] * parameters.means[k, j]
                size = max(size, abs(parameters.origin[i]) + abs(parameters.means[k, i]))
            matrix[i, j] = value / total
        if not is_resolved(matrix[i, i], moments[n_components + i, i] / total, size, reg_covar):
            return False
        matrix[i, i] += reg_covar
    log_determinant = invert_factor(matrix)
    if not np.isfinite(log_determinant):
        return False
    for i in range(n_features):
        for j in range(i + 1):
            parameters.factor[i, j] = np.sqrt(0.5) * matrix[i, j]
    for k in range(n_components):
        mass = moments[k, 0] + EMPTY
        parameters.log_scale[k] = np.log(mass / total) - 0.5 * n_features * LOG_2_PI + log_determinant
        for i in range(n_features):
            bias = reach = 0.0
            for j in range(i + 1):
                bias -= parameters.factor[i, j] * parameters.means[k, j]
                reach += abs(parameters.factor[i, j] * parameters.means[k, j])
            parameters.bias[k, i] = bias
            if not is_near(reach):
                return False
    return True


@kernel
def _shared_add_prior(parameters, prior, moments):
    n_components, n_features = parameters.means.shape
    means, made_means = np.empty((n_components, n_features)), np.empty((n_components, n_features))
    total = made_total = 0.0
    for k in range(n_components):
        mass = moments[k, 0]
        made = mass + prior.mean_precision
        total += mass
        made_total += made
        for i in range(n_features):
            means[k, i] = parameters.means[k, i] + moments[k, 1 + i] / (mass + EMPTY)
            made_means[k, i] = (mass * means[k, i] + prior.mean_precision * prior.mean[i]) / made
    degrees = n_components * prior.degrees_of_freedom + total
    for i in range(n_features):
        for j in range(i + 1):
            scatter = moments[n_components + i, j] + n_components * prior.scale[i, j]
            if i == j:
                scatter += total * prior.reg_covar
            between = 0.0
            for k in range(n_components):
                mass = moments[k, 0]
                made = mass + prior.mean_precision
                scatter -= mass * means[k, i] * means[k, j]
                share = prior.mean_precision * mass / made
                scatter += share * (means[k, i] - prior.mean[i]) * (means[k, j] - prior.mean[j])
                between += made * made_means[k, i] * made_means[k, j]
            moments[n_components + i, j] = made_total * scatter / degrees + between
    for k in range(n_components):
        made = moments[k, 0] + prior.mean_precision
        moments[k, 0] = made
        for i in range(n_features):
            moments[k, 1 + i] = made * (made_means[k, i] - parameters.means[k, i])


@part_of_kernel
def _run_of(parameters, number):
    return Shared(
        parameters.origin,
        parameters.means[number],
        parameters.log_scale[number],
        parameters.factor[number],
        parameters.scale[number],
        parameters.bias[number],
    )


class Shared(NamedTuple):
    """Parameters as the kernels take them: the log-density of component k at x is, with y = factor (x - origin),

    log_scale[k] - sum over i of (scale[k, i] y[i] + bias[k, i])**2

    The precision of `factor`, float64 or float32, is that of a pass's densities and products.
    """

    origin: np.ndarray  # (D,) float64, a point amid the data
    means: np.ndarray  # (K, D) relative to the origin
    log_scale: np.ndarray  # (K,) log weight + log of the normalising constant
    factor: np.ndarray  # (D, D) transposed Cholesky factor of the precision / sqrt(2), lower triangular
    scale: np.ndarray  # (K, D) ones: whitened components are spheres
    bias: np.ndarray  # (K, D) -factor mean

    is_far = False  # points are taken relative to the origin, not to each component's own mean
    has_bounds = True  # of densities in a box, for pruning

    def zero_moments(self, n_slots):
        """Accumulators of `n_slots` chunks: K rows (mass, first moment), then D rows of the common scatter."""
        n_components, n_features = self.bias.shape
        return np.zeros((n_slots, n_components + n_features, 1 + n_features))

    coordinates = staticmethod(_whitened_block)
    log_densities = staticmethod(axis_aligned_log_densities)  # whitened components are spheres
    add_moments = staticmethod(_add_moments)
    work_rows = staticmethod(one_more_than_features)
    whitened = staticmethod(axis_aligned_whitened)
    m_step = staticmethod(_shared_m_step)
    add_prior, mass_of = staticmethod(_shared_add_prior), staticmethod(mass_in_rows)
    run_of = staticmethod(_run_of)

    @classmethod
    def of_runs(cls, n_runs, n_components, origin):
        """Room for the parameters of several runs, stacked."""
        shape = n_runs, n_components, len(origin)
        factor = np.zeros((n_runs, len(origin), len(origin)))
        return cls(origin, np.zeros(shape), np.zeros(shape[:2]), factor, np.ones(shape), np.zeros(shape))

    def about(self, origin):
        """The same parameters with another origin."""
        shift = self.origin - origin
        bias = self.bias - self.scale * (self.factor @ shift)
        return self._replace(origin=origin, means=self.means + shift, bias=bias)

    def bounding_coefficients(self):
        """(means, coefficients, widths, least, most) as in `Pruning`, all for whitened features."""
        widths = self.scale.mean(axis=0)
        relative = self.scale / widths
        return -self.bias, self.scale, widths, relative.min(axis=1), relative.max(axis=1)

    @staticmethod
    def work(n_features):
        """Work of a point and a component, in about the flops of a matrix product that takes as long."""
        return 10 * n_features + 55

    @property
    def work_of_pair(self):
        """`work` in these parameters' features."""
        return self.work(self.bias.shape[1])

    def whitened_squares(self, x):
        """Half the squared Mahalanobis distance of points relative to the origin, (m, D), from each mean: (m, K)."""
        return (((x @ self.factor.T)[:, None] * self.scale + self.bias) ** 2).sum(axis=2)

    @property
    def largest_coefficient(self):
        """The largest absolute value in `factor`."""
        return max(self.factor.max(), -self.factor.min())

    def sum_of_terms(self, reach):
        """Sum of the absolute terms of each whitened feature, (K, D), for |x - origin| = `reach`, (K, D)."""
        return reach @ np.abs(self.factor).T + np.abs(self.bias)

    @staticmethod
    def split_moments(moments):
        """The mass (K,), first moments (K, D) and common scatter about the origin (D, D)."""
        n_features = moments.shape[1] - 1
        scatter = mirrored(np.ascontiguousarray(moments[-n_features:, :-1]))
        return moments[:-n_features, 0], moments[:-n_features, 1:], scatter
