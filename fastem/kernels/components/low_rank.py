"""Gaussians of few factors and a noise variance for each feature (factor analyzers): densities and moments of a block.

The covariance is L L' + diag(psi). With y = (x - mean) / sqrt(psi), A = L / sqrt(psi), I + A'A = C C' and G = A C'^-1,
the squared Mahalanobis distance is |y|**2 - |u|**2 for the q projections u = G'y (Woodbury), and the expectation of the
factors is C'^-1 u. Where the loadings are so strong that the difference would lose its digits, it is computed as
|y - G u|**2 + |C'^-1 u|**2, which costs half as much again.

For a point and a component: 2 D (q + 2) flops for the density and 2 D (q + 2) for the moments, where a full covariance
takes 2 D**2. A point's features are read twice for each component, from the second-level cache. In many features a
component holds few of a block's points; only these are then added, which takes a third of the time of all at K = 10.

With AVX-512 on one thread, float64: densities run at 40 to 48 GFLOP/s (D = 784 with q = 6, D = 64 with q = 5), moments
of all points at 40 (q = 6, one component), where a product of two matrices of 600 x 600 runs at 39.
"""

from typing import NamedTuple

import numpy as np

from ..compiler.jit import kernel, kernel_apart, part_of_kernel
from ..projections import MOST, cross_tile, projection_tile
from ..vectors import add, fma, fnma, lanes, load, mul, splat, store, sub, sum_of_lanes
from .common import features_themselves

_WIDTH = 8  # columns of the moments are a multiple of this: whole vectors of float64
_PANEL = 64  # features whose coefficients stay in the first-level cache while a block's points pass by
# Size of |y|**2, to be compared with 1 / eps, from which |y|**2 - |u|**2 is not computed as a difference: 1e-8 nats
# would be lost with float64, 1e-4 with float32.
_STIFF, _STIFF_IN_SINGLE = 2.0**27, 2.0**11

# Share of a block's points up to which those that a component holds are added one by one.
_FEW = 0.5
# Share of a point, times the number of components, that rounding hides.
_NOTHING = 2.0**-56

_first_projections = projection_tile(squares=True)
_next_projections = projection_tile(squares=False)
_first_products = cross_tile(moments=True)
_next_products = cross_tile(moments=False)


@part_of_kernel
def _work_rows(parameters):
    """The projections of every component, then |y|**2, the responsibilities, and a mark (see `_low_rank_moments`)."""
    return parameters.means.shape[0] * parameters.directions.shape[1] + 3


@kernel_apart
def _project(means, scale, directions, k, x, n_points, work, row, square):
    """work[row + j, b]: OUT the projections of the points on component k's directions; work[square, b]: OUT |y|**2."""
    n_features, n_factors = means.shape[1], directions.shape[1]
    nothing = splat(0.0, work)
    for b in range(0, n_points, lanes(work)):
        for j in range(n_factors):
            store(work, row + j, b, nothing)
        store(work, square, b, nothing)
    for begin in range(0, n_features, _PANEL):
        end = min(begin + _PANEL, n_features)
        first = (n_factors - 1) % MOST + 1
        _first_projections(first, x, begin, end, n_points, means, scale, k, directions, 0, work, row, square)
        for j in range(first, n_factors, MOST):
            _next_projections(MOST, x, begin, end, n_points, means, scale, k, directions, j, work, row + j, square)


@kernel_apart
def _residual_squares(means, scale, directions, posterior, k, x, n_points, work, row, square):
    """work[square, b]: OUT |y - G u|**2 + |C'^-1 u|**2, half the squared Mahalanobis distance without a difference."""
    n_features, n_factors = means.shape[1], directions.shape[1]
    n_lanes = lanes(x)
    for b in range(0, n_points, 2 * n_lanes):
        c = b + n_lanes
        sum0 = sum1 = splat(0.0, x)
        for i in range(n_features):
            mean, factor = splat(means[k, i], x), splat(scale[k, i], x)
            e0, e1 = mul(sub(load(x, i, b), mean), factor), mul(sub(load(x, i, c), mean), factor)
            for j in range(n_factors):
                direction = splat(directions[k * n_features + i, j], x)
                e0 = fnma(direction, load(work, row + j, b), e0)
                e1 = fnma(direction, load(work, row + j, c), e1)
            sum0, sum1 = fma(e0, e0, sum0), fma(e1, e1, sum1)
        half = splat(0.5, x)
        for i in range(n_factors):
            z0 = z1 = splat(0.0, x)
            for j in range(n_factors):
                coefficient = splat(posterior[k * n_factors + i, j], x)
                z0 = fma(coefficient, load(work, row + j, b), z0)
                z1 = fma(coefficient, load(work, row + j, c), z1)
            sum0, sum1 = fma(mul(half, z0), z0, sum0), fma(mul(half, z1), z1, sum1)
        store(work, square, b, sum0)
        store(work, square, c, sum1)


@kernel
def _low_rank_log_densities(
    log_scale, means, scale, directions, posterior, stiffness, active, x, n_points, work, out
):  # fmt: skip
    """out[a, b] = log weight + log-density of component active[a] at point b; leaves the projections in `work`.

    x: (D, n_points); out: OUT (len(active), n_points).
    """
    n_components, n_factors = means.shape[0], directions.shape[1]
    square = n_components * n_factors
    limit = _STIFF if x.itemsize == 8 else _STIFF_IN_SINGLE
    for a in range(active.size):
        k, row = active[a], a * n_factors
        start = splat(log_scale[k], x)
        _project(means, scale, directions, k, x, n_points, work, row, square)
        is_stiff = stiffness[k] > limit
        if is_stiff:
            _residual_squares(means, scale, directions, posterior, k, x, n_points, work, row, square)
        for b in range(0, n_points, lanes(x)):
            value = load(work, square, b)
            for j in range(0 if is_stiff else n_factors):
                u = load(work, row + j, b)
                value = fnma(u, u, value)
            store(out, a, b, sub(start, value))
    work[square + 2, 0] = 1.0


@kernel_apart
def _weigh(responsibilities, factor, a, n_points, work, row, n_factors, weight, moments, out):
    """Multiply the projections in work by the responsibilities, and add their own moments from row `out` on.

    work[weight, b]: OUT the responsibilities times factor[0, b].
    """
    n_lanes = lanes(work)
    mass = splat(0.0, work)
    for b in range(0, n_points, n_lanes):
        r = mul(load(responsibilities, a, b), load(factor, 0, b))
        store(work, weight, b, r)
        mass = add(mass, r)
    moments[out, 0] += sum_of_lanes(mass)
    for j in range(n_factors):
        first = splat(0.0, work)
        for b in range(0, n_points, n_lanes):
            first = fma(load(work, weight, b), load(work, row + j, b), first)
        moments[out, 2 + j] += sum_of_lanes(first)
        for other in range(j + 1):
            second = splat(0.0, work)
            for b in range(0, n_points, n_lanes):
                weighted = mul(load(work, weight, b), load(work, row + j, b))
                second = fma(weighted, load(work, row + other, b), second)
            moments[out + 1 + j, 2 + other] += sum_of_lanes(second)
    for j in range(n_factors):
        for b in range(0, n_points, n_lanes):
            store(work, row + j, b, mul(load(work, weight, b), load(work, row + j, b)))


@kernel
def _holders(responsibilities, a, n_points, most, holders):
    """holders: OUT the points of which component a holds more than nothing; returns their number, at most `most` + 1.

    Nothing is a share that rounding hides in the sum of a point's shares.
    """
    least, n = _NOTHING / responsibilities.shape[0], 0
    for b in range(n_points):
        if responsibilities[a, b] > least:
            if n == most:
                return most + 1
            holders[n] = b
            n += 1
    return n


@kernel_apart
def _add_points(x, responsibilities, factor, a, holders, n, centres, k, work, row, n_factors, shares, moments, out):
    """What `_weigh` and `cross_tile` do, for few points: each adds its features times a row of shares, four at a time.

    shares: scratch (n rounded up to 4, twice the width of moments).
    """
    n_features, width = x.shape[0], moments.shape[1]
    for t in range(-(-n // 4) * 4):
        for j in range(shares.shape[1]):
            shares[t, j] = 0.0
        if t >= n:
            holders[t] = holders[n - 1]
            continue
        b = holders[t]
        r = np.float64(responsibilities[a, b] * factor[0, b])
        shares[t, 0] = shares[t, width + 1] = r
        for j in range(n_factors):
            shares[t, 2 + j] = r * work[row + j, b]
        for column in range(0, width, lanes(moments)):
            own = load(shares, t, column)
            store(moments, out + n_features, column, add(own, load(moments, out + n_features, column)))
            for j in range(n_factors):
                u, here = splat(work[row + j, b], moments), out + n_features + 1 + j
                store(moments, here, column, fma(u, own, load(moments, here, column)))
    for t in range(0, n, 4):
        b0, b1, b2, b3 = holders[t], holders[t + 1], holders[t + 2], holders[t + 3]
        for column in range(0, width, lanes(moments)):
            own0, own1 = load(shares, t, column), load(shares, t + 1, column)
            own2, own3 = load(shares, t + 2, column), load(shares, t + 3, column)
            if column == 0:
                more0, more1 = load(shares, t, width), load(shares, t + 1, width)
                more2, more3 = load(shares, t + 2, width), load(shares, t + 3, width)
                for i in range(x.shape[0]):
                    centre = splat(centres[k, i], moments)
                    d0, d1 = sub(splat(x[i, b0], moments), centre), sub(splat(x[i, b1], moments), centre)
                    d2, d3 = sub(splat(x[i, b2], moments), centre), sub(splat(x[i, b3], moments), centre)
                    total = fma(d0, fma(d0, more0, own0), load(moments, out + i, 0))
                    total = fma(d1, fma(d1, more1, own1), total)
                    total = fma(d2, fma(d2, more2, own2), total)
                    store(moments, out + i, 0, fma(d3, fma(d3, more3, own3), total))
                continue
            for i in range(x.shape[0]):
                centre = splat(centres[k, i], moments)
                d0, d1 = sub(splat(x[i, b0], moments), centre), sub(splat(x[i, b1], moments), centre)
                d2, d3 = sub(splat(x[i, b2], moments), centre), sub(splat(x[i, b3], moments), centre)
                total = fma(d1, own1, fma(d0, own0, load(moments, out + i, column)))
                store(moments, out + i, column, fma(d3, own3, fma(d2, own2, total)))


@kernel_apart
def _add_last(x, i, n_points, centres, k, work, weight, row, n_factors, moments, out):
    """What `cross_tile` does for two features, for one."""
    centre = splat(centres[k, i], x)
    first = second = splat(0.0, x)
    for b in range(0, n_points, lanes(x)):
        d = sub(load(x, i, b), centre)
        weighted = mul(load(work, weight, b), d)
        first, second = add(first, weighted), fma(weighted, d, second)
    moments[out, 0] += sum_of_lanes(first)
    moments[out, 1] += sum_of_lanes(second)
    for j in range(n_factors):
        total = splat(0.0, x)
        for b in range(0, n_points, lanes(x)):
            total = fma(load(work, row + j, b), sub(load(x, i, b), centre), total)
        moments[out, 2 + j] += sum_of_lanes(total)


@kernel
def _low_rank_moments(
    means, scale, directions, active, x, n_points, responsibilities, factor, centres, work, moments
):  # fmt: skip
    """Add a block's moments about `centres`, and those of its projections, for each active component.

    x: (D, n_points); responsibilities: (len(active), n_points), unnormalised; factor: (1, n_points), multiplies them;
    centres: (K, D), relative to the same origin as x; work: the projections, which are computed here if there was no
    E-step, as its last row tells; moments: IN OUT (K (D + q + 1), q + 2 or more).
    """
    n_components, n_features = means.shape
    n_factors = directions.shape[1]
    square = n_components * n_factors
    most = int(_FEW * n_points)
    holders = np.empty(most + 4, np.int64)
    shares = np.empty((most + 4, 2 * moments.shape[1]))
    is_projected = work[square + 2, 0] == 1.0
    work[square + 2, 0] = 0.0
    for a in range(active.size):
        k, row = active[a], a * n_factors
        out = k * (n_features + n_factors + 1)
        if not is_projected:
            _project(means, scale, directions, k, x, n_points, work, row, square)
        n = _holders(responsibilities, a, n_points, most, holders)
        if n <= most:
            if n > 0:
                _add_points(
                    x, responsibilities, factor, a, holders, n, centres, k, work, row, n_factors, shares, moments, out
                )
            continue
        _weigh(responsibilities, factor, a, n_points, work, row, n_factors, square + 1, moments, out + n_features)
        first = (n_factors - 1) % MOST + 1
        for i in range(0, n_features - 1, 2):
            _first_products(first, x, i, n_points, centres, k, work, square + 1, row, 0, moments, out + i)
            for j in range(first, n_factors, MOST):
                _next_products(MOST, x, i, n_points, centres, k, work, square + 1, row, j, moments, out + i)
        if n_features % 2:
            last = n_features - 1
            _add_last(x, last, n_points, centres, k, work, square + 1, row, n_factors, moments, out + last)


@part_of_kernel
def _log_densities(parameters, active, x, n_points, work, out):
    log_scale, means, scale = parameters.log_scale, parameters.means, parameters.scale
    directions, posterior, stiffness = parameters.directions, parameters.posterior, parameters.stiffness
    _low_rank_log_densities(log_scale, means, scale, directions, posterior, stiffness, active, x, n_points, work, out)


@part_of_kernel
def _add_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    means, scale, directions = parameters.means, parameters.scale, parameters.directions
    _low_rank_moments(
        means, scale, directions, active, x, n_points, responsibilities, factor, centres, work, moments
    )  # fmt: skip


@part_of_kernel
def _whitened(parameters, pruning, c, k, box):
    """Never called: nothing is pruned."""
    nothing = splat(0.0, pruning.bias)
    return nothing, nothing


class LowRank(NamedTuple):
    """Parameters as the kernels take them: the log-density of component k at x is, with x' = x - origin,

    log_scale[k] - |y|**2 + |u|**2, where y[i] = scale[k, i] (x'[i] - means[k, i]),
    u[j] = sum over i of directions[k D + i, j] y[i].

    The precision of `scale`, float64 or float32, is that of a pass's densities and products.
    """

    origin: np.ndarray  # (D,) float64, a point amid the data
    means: np.ndarray  # (K, D) relative to the origin
    log_scale: np.ndarray  # (K,) log weight + log of the normalising constant
    scale: np.ndarray  # (K, D) 1 / sqrt(2 noise variance)
    directions: np.ndarray  # (K * D, q) G = A C'^-1
    posterior: np.ndarray  # (K * q, q) sqrt(2) C'^-1: the expectation of the factors is posterior u
    stiffness: np.ndarray  # (K,) expectation of |y|**2: D + the trace of A'A

    is_far = False  # points are taken relative to the origin, not to each component's own mean
    has_bounds = False  # there is no pruning

    @property
    def bias(self):
        """An array of a row for each component and a column for each feature, as other parameters have."""
        return self.scale

    def zero_moments(self, n_slots):
        """Accumulators of `n_slots` chunks: for each component D rows of features, then q + 1 of its projections.

        A feature's row: first and second moment, products with the projections. Then the mass, nothing, and the first
        moments of the projections; then their second moments, lower triangle, after two zeros.
        """
        n_components, n_features = self.scale.shape
        n_factors = self.directions.shape[1]
        width = -(-(n_factors + 2) // _WIDTH) * _WIDTH
        return np.zeros((n_slots, n_components * (n_features + n_factors + 1), width))

    coordinates = staticmethod(features_themselves)
    log_densities = staticmethod(_log_densities)
    add_moments = staticmethod(_add_moments)
    work_rows = staticmethod(_work_rows)
    whitened = staticmethod(_whitened)

    @property
    def work_of_pair(self):
        """Work of a point and a component, in about the flops of a matrix product that takes as long."""
        return 5 * self.scale.shape[1] * (self.directions.shape[1] + 2) + 100

    @property
    def relative_work(self):
        """`work_of_pair` in units of that of a full covariance."""
        n_features = self.scale.shape[1]
        return self.work_of_pair / (2 * n_features * (n_features + 1) + 60)

    @property
    def largest_coefficient(self):
        """The largest absolute value in `scale`."""
        return self.scale.max()

    def sum_of_terms(self, reach):
        """Sum of the absolute terms of each y, (K, D), for |x - origin| = `reach`, (K, D)."""
        return self.scale * (reach + np.abs(self.means))

    def split_moments(self, moments):
        """In summed accumulators the mass (K,), first and second moments (K, D), and moments of the projections.

        These are a tuple of the products with the features (K, D, q), first (K, q) and second moments (K, q, q).
        """
        n_components, n_features = self.scale.shape
        moments = moments.reshape(n_components, -1, moments.shape[1])
        moments = moments[:, :, : self.directions.shape[1] + 2]
        of_features, own = moments[:, :n_features], moments[:, n_features:]
        lower = np.tril(own[:, 1:, 2:])
        second = lower + np.tril(lower, -1).transpose(0, 2, 1)
        projected = of_features[:, :, 2:], own[:, 0, 2:], second
        return own[:, 0, 0], of_features[:, :, 0], of_features[:, :, 1], projected


class FarLowRank(LowRank):
    """`LowRank` for components so far apart that no origin is near enough to all: the origin is 0, means are absolute.

    So x - origin isn't rounded.
    """

    __slots__ = ()
    is_far = True
