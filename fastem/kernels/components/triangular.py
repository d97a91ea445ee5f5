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
from ..vectors import absolute, fma, fnma, lanes, load, splat, store, sub
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
def _subtract_row(share, rows, c, values, i, first):
    """values[i] -= share * rows[c], by whole vectors from the one that holds column `first` on."""
    n_lanes = lanes(values)
    factor = splat(share, values)
    for j in range(first // n_lanes * n_lanes, values.shape[1], n_lanes):
        store(values, i, j, fnma(factor, load(rows, c, j), load(values, i, j)))


@kernel
def _condition(covariance, features, n_observed, upper, inverse, coefficients, left, first):
    """A component's marginal over the observed features, and its regression of the missing ones on these.

    upper, inverse: scratch, of at least D rows of whole vectors; the first rows of `inverse` become the inverse
    Cholesky factor of the observed features' covariance. From row `first` on: coefficients: OUT, a row for each missing
    feature; left: OUT the missing features' covariance given the observed ones, lower triangle. Returns the log of the
    factor's determinant, NaN if it has none.
    """
    n_features = features.size
    for i in range(n_features):
        for j in range(i, n_features):
            upper[i, j] = covariance[features[i], features[j]]
    log_determinant = 0.0
    # Elimination of the observed features: their rows become Cholesky's factor, the others' rows the covariance left.
    for c in range(n_observed):
        if not upper[c, c] > 0:
            return np.nan
        scale = 1.0 / np.sqrt(upper[c, c])
        log_determinant += np.log(scale)
        for j in range(c, n_features):
            upper[c, j] *= scale
        for i in range(c + 1, n_features):
            _subtract_row(upper[c, i], upper, c, upper, i, i)
    for i in range(n_observed):
        for j in range(inverse.shape[1]):
            inverse[i, j] = 0.0
        for c in range(i):
            _subtract_row(upper[c, i], inverse, c, inverse, i, 0)
        inverse[i, i] = 1.0
        for j in range(i + 1):
            inverse[i, j] /= upper[i, i]
    for j in range(n_features - n_observed):
        for i in range(coefficients.shape[1]):
            coefficients[first + j, i] = 0.0
        for c in range(n_observed):
            _subtract_row(-upper[c, n_observed + j], inverse, c, coefficients, first + j, 0)
        for other in range(j + 1):
            left[first + j, other] = upper[n_observed + other, n_observed + j]
    return log_determinant


@kernel
def _triangular_marginal(parameters, mixture, features, n_observed, room, regression):
    """(log_scale, factor, bias, means) of the marginal, in `room`, as in `Triangular`; sets `regression`."""
    n_components, n_features = parameters.means.shape
    coefficients, left, upper, inverse, _ = regression
    width = max(n_observed, 1)  # without any observed feature: one that is always 0
    log_scale, room = room[:n_components], room[n_components:]
    means, room = room[: n_components * width].reshape((n_components, width)), room[n_components * width :]
    bias, room = room[: n_components * width].reshape((n_components, width)), room[n_components * width :]
    factor = room[: n_components * width * width].reshape((n_components * width, width))
    root = np.sqrt(0.5)
    factor[:, 0] = means[:, 0] = bias[:, 0] = 0.0
    for k in range(n_components):
        log_determinant = _condition(
            mixture.covariances[k], features, n_observed, upper, inverse, coefficients, left, k * n_features
        )
        log_scale[k] = mixture.log_weights[k] - 0.5 * n_observed * LOG_2_PI + log_determinant
        for c in range(n_observed):
            means[k, c] = parameters.means[k, features[c]]
        for c in range(n_observed):
            bias[k, c] = 0.0
            for i in range(c + 1):
                factor[k * width + c, i] = root * inverse[c, i]
                bias[k, c] -= factor[k * width + c, i] * means[k, i]
    return log_scale, factor, bias, means


@part_of_kernel
def _marginal(parameters, mixture, features, n_observed, room, regression):
    log_scale, factor, bias, means = _triangular_marginal(parameters, mixture, features, n_observed, room, regression)
    return Triangular(parameters.origin, means, log_scale, factor, bias)


@part_of_kernel
def _far_marginal(parameters, mixture, features, n_observed, room, regression):
    log_scale, factor, bias, means = _triangular_marginal(parameters, mixture, features, n_observed, room, regression)
    bias[:] = 0.0
    return FarTriangular(parameters.origin, means, log_scale, factor, bias)


@kernel
def _add_completed_triangular(means, features, n_observed, regression, observed, centres, k, moments):
    coefficients, left, second, across, line = regression
    n_features, width = features.size, max(n_observed, 1)
    source, row, at = k * (width + 2), k * (n_features + 2), k * n_features
    mass, n_missing = observed[source, 0], n_features - n_observed
    moments[row, 0] += mass
    for i in range(n_observed):
        moments[row + 1, features[i]] += observed[source + 1, i]
        for j in range(i + 1):
            second[i, j] = second[j, i] = observed[source + 2 + i, j]
            moments[row + 2 + features[i], features[j]] += second[i, j]
    for j in range(n_missing):
        missing = features[n_observed + j]
        shift, moved = means[k, missing] - centres[k, missing], 0.0
        for i in range(n_observed):
            shift += coefficients[at + j, i] * (centres[k, features[i]] - means[k, features[i]])
            moved += coefficients[at + j, i] * observed[source + 1, i]
        line[0, j], line[1, j] = shift, moved
        for c in range(across.shape[1]):
            across[j, c] = 0.0
        for i in range(n_observed):
            _subtract_row(-coefficients[at + j, i], second, i, across, j, 0)
        moments[row + 1, missing] += moved + mass * shift
        for i in range(n_observed):
            low, high = min(missing, features[i]), max(missing, features[i])
            moments[row + 2 + high, low] += across[j, i] + shift * observed[source + 1, i]
        for other in range(j + 1):
            value = (
                moved * line[0, other] + shift * line[1, other] + mass * (shift * line[0, other] + left[at + j, other])
            )
            for i in range(n_observed):
                value += across[j, i] * coefficients[at + other, i]
            moments[row + 2 + missing, features[n_observed + other]] += value


@part_of_kernel
def _add_completed(parameters, mixture, features, n_observed, regression, observed, centres, moments):
    for k in range(parameters.means.shape[0]):
        _add_completed_triangular(parameters.means, features, n_observed, regression, observed, centres, k, moments)


@part_of_kernel
def _expect(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values):
    row, missing = k * features.size + j, features[n_observed + j]
    for b in range(n_points):
        values[b] = parameters.means[k, missing]
    for i in range(n_observed):
        coefficient, mean = regression[0][row, i], parameters.means[k, features[i]]
        for b in range(n_points):
            values[b] += coefficient * (x[i, b] - mean)
    return regression[1][row, j]


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
    expect = staticmethod(_expect)

    @classmethod
    def of_runs(cls, n_runs, n_components, origin):
        """Room for the parameters of several runs, stacked."""
        shape = n_runs, n_components, len(origin)
        factor = np.zeros((n_runs, n_components * len(origin), len(origin)))
        return cls(origin, np.zeros(shape), np.zeros(shape[:2]), factor, np.zeros(shape))

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
