"""Gaussians with a covariance matrix each (full): densities and moments of a block, in register tiles.

For a point and a component: D (D + 3) flops for the density (whitened features z = U'(x - mean), U the Cholesky factor
of the precision), D (D + 5) for the moments, 25 for the exp, and a square root if D > 4. A point's 8 D bytes are read
once for all components, so arithmetic is the bound for every D.

The table has the share reached of the machine's float64 (float32) matrix multiplication, 106 (212) GFLOP/s on two cores
with AVX-512, measured by asv_benchmarks/roofline.py. A share of 1 is impossible: a subtraction takes as long as a
multiply-add but counts as one flop, not two, and an exp counts as 25 flops but takes the time of 50.

| D | bound | share |
| --- | --- | --- |
| 1 | exp and log | 0.37 |
| 2 to 4 | exp; one tile, without roots or stores | 0.44, 0.51, 0.58 |
| 5 to 16 | tiles, a block in the first-level cache | 0.82 (0.80) at 10 |
| 17 to 64 | tiles, a block in the second-level cache | 0.85 (0.78) at 32 |
| 65 to 512 | the same, four rows of the factor in the first level | 0.82 (0.78) at 128, 0.65 at 512 |

With 16 registers (AVX2 code on one thread of a processor with AVX-512, by NUMBA_CPU_NAME=haswell, beside OpenBLAS's own
for AVX2) it is 0.29 at D = 1, 0.41, 0.48, 0.42 at 2 to 4, 0.67 (0.67) at 10, 0.85 (0.79) at 32, 0.82 (0.78) at 128.

The assembly (`inspect_asm` of the chunk kernels) shows that every multiply-add of the tiles uses the widest registers
(zmm, or ymm with AVX2), that factors are loaded as broadcasts, that LLVM unrolls the loops, and that no sum leaves its
register; only constants hoisted out of the loop over blocks are spilled, and with AVX2 sums of the diagonal tiles of
four rows (all features of D = 4, the first four of some D). A matrix multiplication would
be slower, also for D of 65 and more: it computes both triangles, twice the products.
"""

from typing import NamedTuple

import numpy as np

from ..compiler.jit import kernel, part_of_kernel
from ..tiles import COLUMNS, IN_PANELS, ROWS, VECTORS, centred_tile, outer_tile, subtract_squares_tile
from ..vectors import absolute, fma, lanes, load, splat, store, sub
from .common import (
    EMPTY,
    LOG_2_PI,
    features_themselves,
    invert_factor,
    is_near,
    is_resolved,
    mirrored,
    one_more_than_features,
)
from .regression import add_completed_moments, expected_and_variance, marginal_of_observed

_PANEL = 16384  # bytes of features: half of a first-level cache
_LEAST = 5 - ROWS  # rows of the first tile, if there are as many features
_first_columns = subtract_squares_tile(first=True)
_next_columns = subtract_squares_tile(first=False)
_only = centred_tile("only")
_first = centred_tile("first")
_next = centred_tile("next")
_outer = outer_tile((1, 2, 3, 4))


@kernel
def first_rows(n_features):
    """Height of the first tile, 1 to 4, before tiles of `ROWS`: the odd rows come where the triangle is narrow.

    Tiles of 3 follow 2, 3 or 4 rows: a tile beside one row would have 3 sums, too few to hide their latency.
    """
    return min((n_features - _LEAST) % ROWS + _LEAST, n_features)


@kernel
def triangular_log_densities(log_scale, factor, bias, active, x, n_points, out):
    """out[a, b] = log weight + log-density of component active[a] at point b.

    x: (D, n_points); out: OUT (len(active), n_points).
    """
    n_features = x.shape[0]
    first = (n_features - 1) % COLUMNS + 1
    step = VECTORS * lanes(x)
    # With many features, a panel of points, half of the first-level cache, passes through all tiles.
    panel = max(1, _PANEL // (n_features * x.itemsize * step)) * step
    for a in range(active.size):
        k = active[a]
        _first_columns(first, log_scale[k], factor, bias, k, 0, x, 0, n_points, out, a)
        if not IN_PANELS:
            for j in range(first, n_features, COLUMNS):
                _next_columns(COLUMNS, log_scale[k], factor, bias, k, j, x, 0, n_points, out, a)
            continue
        for start in range(0, n_points, panel):
            stop = min(start + panel, n_points)
            for j in range(first, n_features, COLUMNS):
                _next_columns(COLUMNS, log_scale[k], factor, bias, k, j, x, start, stop, out, a)


@kernel
def far_triangular_log_densities(log_scale, factor, bias, means, active, x, n_points, offsets, out):
    """`_log_densities` of points relative to each component's mean.  offsets: scratch (at least D, n_points)."""
    n_features = x.shape[0]
    first = (n_features - 1) % COLUMNS + 1
    for a in range(active.size):
        k = active[a]
        for i in range(n_features):
            mean = splat(means[k, i], x)
            for b in range(0, n_points, lanes(x)):
                store(offsets, i, b, sub(load(x, i, b), mean))
        _first_columns(first, log_scale[k], factor, bias, k, 0, offsets, 0, n_points, out, a)
        for j in range(first, n_features, COLUMNS):
            _next_columns(COLUMNS, log_scale[k], factor, bias, k, j, offsets, 0, n_points, out, a)


@kernel
def add_left_of_diagonal(e, i, j, stop, n_points, out, row):
    """out[row + p, c] += sum over b of e[i + p, b] e[c, b] for p < ROWS and j <= c < stop."""
    while j < stop:
        left = stop - j
        width = 3 if left == 5 else min(left, 4)  # 5 = 3 + 2: one column has too few sums to hide their latency
        _outer(width, e, i, j, n_points, out, row)
        j += width


@kernel
def add_triangular_moments(active, x, n_points, responsibilities, factor, centres, e, moments):
    """Add a block's mass, first and second moments about `centres`, for each active component.

    x: (D, n_points); responsibilities: (len(active), n_points), unnormalised; factor: (1, n_points), multiplies them;
    centres: (K, D), relative to the same origin as x; e: scratch (D + 1, n_points);
    moments: IN OUT (K (D + 2), D), lower triangles.
    """
    n_features = x.shape[0]
    first = first_rows(n_features)
    # With many features, a panel of columns stays in the first-level cache while the rows pass by.
    panel = 16 if IN_PANELS and n_features > 64 else n_features
    for a in range(active.size):
        k = active[a]
        row = k * (n_features + 2)
        if n_features <= 4:
            _only(n_features, x, 0, n_points, responsibilities, a, factor, centres, k, e, moments, row)
            continue
        _first(first, x, 0, n_points, responsibilities, a, factor, centres, k, e, moments, row)
        for j in range(0, n_features, panel):
            i = first + max(0, j - first + ROWS) // ROWS * ROWS  # the first tile below row j
            while i < n_features:
                if j == 0:
                    _next(ROWS, x, i, n_points, responsibilities, a, factor, centres, k, e, moments, row)
                add_left_of_diagonal(e, i, j, min(i, j + panel), n_points, moments, row + 2 + i)
                i += ROWS


@part_of_kernel
def _log_densities(parameters, active, x, n_points, work, out):
    log_scale, factor, bias = parameters.log_scale, parameters.factor, parameters.bias
    triangular_log_densities(log_scale, factor, bias, active, x, n_points, out)


@part_of_kernel
def _far_log_densities(parameters, active, x, n_points, work, out):
    log_scale, factor, bias, means = parameters.log_scale, parameters.factor, parameters.bias, parameters.means
    far_triangular_log_densities(log_scale, factor, bias, means, active, x, n_points, work, out)


@part_of_kernel
def _add_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    add_triangular_moments(active, x, n_points, responsibilities, factor, centres, work, moments)


@part_of_kernel
def _whitened(parameters, pruning, c, k, box):
    """(z_c in the middle of a box, how far z_c varies from that in it) for a vector of components from k on."""
    z = load(pruning.bias, c, k)
    spread = splat(0.0, z)
    for i in range(c + 1):
        coefficient = load(pruning.factor, c * (c + 1) // 2 + i, k)
        z = fma(coefficient, splat(box[0, i], z), z)
        spread = fma(absolute(coefficient), splat(box[1, i], z), spread)
    return z, spread


@kernel
def _triangular_m_step(parameters, moments, reg_covar, averaged):
    n_components, n_features = parameters.means.shape
    matrix, shift = np.empty((n_features, n_features)), np.empty(n_features)
    total = 0.0
    for k in range(n_components):
        total += moments[k * (n_features + 2), 0] + EMPTY
    for k in range(n_components):
        row = k * (n_features + 2)
        mass = moments[row, 0] + EMPTY
        for i in range(n_features):
            shift[i] = moments[row + 1, i] / mass
            second = moments[row + 2 + i, i] / mass
            size = abs(parameters.origin[i]) + abs(parameters.means[k, i])
            if not is_resolved(second - shift[i] * shift[i], second, size, reg_covar):
                return False
            for j in range(i + 1):
                matrix[i, j] = moments[row + 2 + i, j] / mass - shift[i] * shift[j]
            matrix[i, i] += reg_covar
            parameters.means[k, i] += shift[i]
        log_determinant = invert_factor(matrix)
        if not np.isfinite(log_determinant):
            return False
        parameters.log_scale[k] = np.log(mass / total) - 0.5 * n_features * LOG_2_PI + log_determinant
        for c in range(n_features):
            bias = reach = 0.0
            for i in range(c + 1):
                coefficient = np.sqrt(0.5) * matrix[c, i]
                parameters.factor[k * n_features + c, i] = coefficient
                bias -= coefficient * parameters.means[k, i]
                reach += abs(coefficient * parameters.means[k, i])
            parameters.bias[k, c] = bias
            if not is_near(reach):
                return False
    return True


@kernel
def _triangular_add_prior(parameters, prior, moments):
    n_components, n_features = parameters.means.shape
    shift, offset, first = np.empty(n_features), np.empty(n_features), np.empty(n_features)
    for k in range(n_components):
        row = k * (n_features + 2)
        mass = moments[row, 0]
        made, degrees = mass + prior.mean_precision, mass + prior.degrees_of_freedom
        share = prior.mean_precision * mass / made
        for i in range(n_features):
            of_prior = prior.mean[i] - parameters.means[k, i]
            shift[i] = moments[row + 1, i] / (mass + EMPTY)
            offset[i] = shift[i] - of_prior
            first[i] = mass * shift[i] + prior.mean_precision * of_prior
            moments[row + 1, i] = first[i]
            moments[row + 2 + i, i] += mass * prior.reg_covar
            for j in range(i + 1):
                scatter = moments[row + 2 + i, j] - mass * shift[i] * shift[j] + prior.scale[i, j]
                scatter += share * offset[i] * offset[j]
                moments[row + 2 + i, j] = made * scatter / degrees + first[i] * first[j] / made
        moments[row, 0] = made


@part_of_kernel
def _mass_of(parameters, moments, k):
    return moments[k * (parameters.bias.shape[1] + 2), 0]


@part_of_kernel
def _run_of(parameters, number):
    return Triangular(
        parameters.origin,
        parameters.means[number],
        parameters.log_scale[number],
        parameters.factor[number],
        parameters.bias[number],
    )


# -- some features missing ---------------------------------------------------------------------------------------------


@part_of_kernel
def _marginal(parameters, mixture, features, n_observed, room, regression):
    log_scale, factor, bias, means = marginal_of_observed(parameters, mixture, features, n_observed, room, regression)
    return Triangular(parameters.origin, means, log_scale, factor, bias)


@part_of_kernel
def _far_marginal(parameters, mixture, features, n_observed, room, regression):
    log_scale, factor, bias, means = marginal_of_observed(parameters, mixture, features, n_observed, room, regression)
    bias[:] = 0.0
    return FarTriangular(parameters.origin, means, log_scale, factor, bias)


@part_of_kernel
def _add_completed(parameters, mixture, features, n_observed, regression, observed, centres, moments):
    for k in range(parameters.means.shape[0]):
        add_completed_moments(parameters.means, features, n_observed, regression, observed, centres, k, moments)


def _norm_bound(matrices):
    """Upper bound of the spectral norm of matrices (K, D, D)."""
    absolutes = np.abs(matrices)
    return np.sqrt(absolutes.sum(axis=1).max(axis=1) * absolutes.sum(axis=2).max(axis=1))


class Triangular(NamedTuple):
    """Parameters as the kernels take them: the log-density of component k at x is, with x' = x - origin,

    log_scale[k] - sum over c of (bias[k, c] + sum over i <= c of factor[k D + c, i] x'[i])**2

    The precision of `factor`, float64 or float32, is that of a pass's densities and products.
    """

    origin: np.ndarray  # (D,) float64, a point amid the data
    means: np.ndarray  # (K, D) relative to the origin
    log_scale: np.ndarray  # (K,) log weight + log of the normalising constant
    factor: np.ndarray  # (K * D, D) transposed Cholesky factors of the precisions / sqrt(2), lower triangular
    bias: np.ndarray  # (K, D) -factor mean

    is_far = False  # points are taken relative to the origin, not to each component's own mean
    has_bounds = True  # of densities in a box, for pruning

    def zero_moments(self, n_slots):
        """Accumulators of `n_slots` chunks: per component rows of mass (one), first (one) and second moments (D)."""
        n_components, n_features = self.bias.shape
        return np.zeros((n_slots, n_components * (n_features + 2), n_features))

    coordinates = staticmethod(features_themselves)
    log_densities = staticmethod(_log_densities)
    add_moments = staticmethod(_add_moments)
    work_rows = staticmethod(one_more_than_features)
    whitened = staticmethod(_whitened)
    m_step = staticmethod(_triangular_m_step)
    add_prior, mass_of = staticmethod(_triangular_add_prior), staticmethod(_mass_of)
    run_of = staticmethod(_run_of)
    marginal = staticmethod(_marginal)
    add_completed = staticmethod(_add_completed)
    expect = staticmethod(expected_and_variance)

    @classmethod
    def of_runs(cls, n_runs, n_components, origin):
        """Room for the parameters of several runs, stacked."""
        shape = n_runs, n_components, len(origin)
        factor = np.zeros((n_runs, n_components * len(origin), len(origin)))
        return cls(origin, np.zeros(shape), np.zeros(shape[:2]), factor, np.zeros(shape))

    def about(self, origin):
        """The same parameters with another origin."""
        shift = self.origin - origin
        bias = self.bias - (self.factor @ shift).reshape(self.bias.shape)
        return self._replace(origin=origin, means=self.means + shift, bias=bias)

    def bounding_coefficients(self):
        """(means, coefficients, widths, least, most) as in `Pruning`."""
        n_components, n_features = self.bias.shape
        matrices = self.factor.reshape(n_components, n_features, n_features)
        coefficients = matrices[:, *np.tril_indices(n_features)]
        widths = np.sqrt((matrices**2).sum(axis=1).mean(axis=0))
        matrices = matrices / widths
        return self.means, coefficients, widths, 1 / _norm_bound(np.linalg.inv(matrices)), _norm_bound(matrices)

    @staticmethod
    def work(n_features):
        """Work of a point and a component, in about the flops of a matrix product that takes as long."""
        return 2 * n_features**2 + 8 * n_features + 50

    @property
    def work_of_pair(self):
        """`work` in these parameters' features."""
        return self.work(self.bias.shape[1])

    def whitened_squares(self, x):
        """Half the squared Mahalanobis distance of points relative to the origin, (m, D), from each mean: (m, K)."""
        factor = self.factor.reshape(*self.bias.shape, -1)
        return ((np.einsum("kci,mi->mkc", factor, x) + self.bias) ** 2).sum(axis=2)

    @property
    def largest_coefficient(self):
        """The largest absolute value in `factor`."""
        return max(self.factor.max(), -self.factor.min())

    def sum_of_terms(self, reach):
        """Sum of the absolute terms of each whitened feature, (K, D), for |x - origin| = `reach`, (K, D)."""
        factor = np.abs(self.factor).reshape(*self.bias.shape, -1)
        return np.einsum("kci,ki->kc", factor, reach) + np.abs(self.bias)

    @staticmethod
    def split_moments(moments):
        """The mass (K,), first (K, D) and second moments (K, D, D) in summed accumulators."""
        n_features = moments.shape[1]
        moments = moments.reshape(-1, n_features + 2, n_features)
        return moments[:, 0, 0], moments[:, 1], mirrored(np.ascontiguousarray(moments[:, 2:]))


class FarTriangular(Triangular):
    """`Triangular` for components so far apart that no origin is near enough to all: with x' = x - means[k],

    log_scale[k] - sum over c of (sum over i <= c of factor[k D + c, i] x'[i])**2

    The origin is 0, so that x - origin isn't rounded and the means are absolute; bias is 0.
    """

    __slots__ = ()
    is_far, has_bounds = True, False
    log_densities = staticmethod(_far_log_densities)
    marginal = staticmethod(_far_marginal)

    def bounding_coefficients(self):
        """None: there is no pruning for components far apart."""
