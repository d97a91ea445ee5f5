"""Gaussians whose axes are those of the features (diag, spherical): densities and moments of a block.

For a point and a component: 4 D flops for the density, 5 D for the moments, 25 for the exp. A point's 8 D bytes are
read once for all components. Share reached of the machine's matrix multiplication (see triangular.py): 0.32 at D = 2,
where exp takes most of the time, 0.68 at 10, 0.65 at 32 and 128. From D = 10 on the add units are the bound, since the
moments use them as much as the multiply units, and from D = 100 on main memory: 1 KiB a point.
With AVX2 (taken as in triangular.py): 0.36 at D = 2, 0.54 at 10, 0.66 at 32, 0.67 at 128.
"""

from typing import NamedTuple

import numpy as np

from ..compiler.jit import kernel, part_of_kernel
from ..tiles import VECTORS, moments_tile
from ..vectors import add, fma, fnma, lanes, load, mul, splat, store, sub, sum_of_lanes
from .common import EMPTY, LOG_2_PI, features_themselves, is_near, is_resolved, single

_SMALL, _LARGE = 1e-200, 1e200  # between which products of variances stay, far from underflow and overflow

_moments = moments_tile(squares=True)


@kernel
def log_densities_along_axes(log_scale, scale, bias, active, x, n_points, out):
    """out[a, b] = log weight + log-density of component active[a] at point b.

    x: (at least D, n_points); out: OUT (len(active), n_points).
    """
    n_lanes = lanes(x)
    for a in range(active.size):
        k = active[a]
        start = splat(log_scale[k], x)
        if VECTORS == 2:  # a group has two vectors of float32; four sums hide more of their latency
            for b in range(0, n_points, 2 * n_lanes):
                sum0 = sum1 = start
                for i in range(scale.shape[1]):
                    factor = splat(scale[k, i], x)
                    offset = splat(bias[k, i], x)
                    z0 = fma(load(x, i, b), factor, offset)
                    z1 = fma(load(x, i, b + n_lanes), factor, offset)
                    sum0 = fnma(z0, z0, sum0)
                    sum1 = fnma(z1, z1, sum1)
                store(out, a, b, sum0)
                store(out, a, b + n_lanes, sum1)
            continue
        for b in range(0, n_points, 4 * n_lanes):
            sum0 = sum1 = sum2 = sum3 = start
            for i in range(scale.shape[1]):
                factor = splat(scale[k, i], x)
                offset = splat(bias[k, i], x)
                z0 = fma(load(x, i, b), factor, offset)
                z1 = fma(load(x, i, b + n_lanes), factor, offset)
                z2 = fma(load(x, i, b + 2 * n_lanes), factor, offset)
                z3 = fma(load(x, i, b + 3 * n_lanes), factor, offset)
                sum0 = fnma(z0, z0, sum0)
                sum1 = fnma(z1, z1, sum1)
                sum2 = fnma(z2, z2, sum2)
                sum3 = fnma(z3, z3, sum3)
            store(out, a, b, sum0)
            store(out, a, b + n_lanes, sum1)
            store(out, a, b + 2 * n_lanes, sum2)
            store(out, a, b + 3 * n_lanes, sum3)


@kernel
def far_log_densities_along_axes(log_scale, scale, means, active, x, n_points, out):
    """`axis_aligned_log_densities` of points relative to each component's mean."""
    for a in range(active.size):
        k = active[a]
        for b in range(0, n_points, lanes(x)):
            total = splat(log_scale[k], x)
            for i in range(scale.shape[1]):
                z = mul(sub(load(x, i, b), splat(means[k, i], x)), splat(scale[k, i], x))
                total = fnma(z, z, total)
            store(out, a, b, total)


@kernel
def add_mass(responsibilities, factor, active, n_points, total):
    """responsibilities[a] *= factor[0], point by point, and total[active[a], 0] += the sum over the points."""
    for a in range(active.size):
        mass = splat(0.0, factor)
        for b in range(0, n_points, lanes(factor)):
            r = mul(load(responsibilities, a, b), load(factor, 0, b))
            store(responsibilities, a, b, r)
            mass = add(mass, r)
        total[active[a], 0] += sum_of_lanes(mass)


@kernel
def add_axis_aligned_moments(active, x, n_points, responsibilities, factor, centres, moments):
    """Add a block's mass, first and second moments about `centres`, for each active component.

    x: (D, n_points); responsibilities: (len(active), n_points), IN unnormalised, OUT multiplied by `factor`,
    (1, n_points); centres: (K, D), relative to the same origin as x; moments: IN OUT (K, 1 + 2 D).
    """
    n_features = x.shape[0]
    add_mass(responsibilities, factor, active, n_points, moments)
    for i in range(0, n_features, 4):
        width = min(4, n_features - i)
        for a in range(active.size):
            _moments(width, x, i, n_points, responsibilities, a, centres, active[a], moments, 1, 1 + n_features)


@part_of_kernel
def axis_aligned_log_densities(parameters, active, x, n_points, work, out):
    log_scale, scale, bias = parameters.log_scale, parameters.scale, parameters.bias
    log_densities_along_axes(log_scale, scale, bias, active, x, n_points, out)


@part_of_kernel
def _far_log_densities(parameters, active, x, n_points, work, out):
    log_scale, scale, means = parameters.log_scale, parameters.scale, parameters.means
    far_log_densities_along_axes(log_scale, scale, means, active, x, n_points, out)


@part_of_kernel
def _add_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    add_axis_aligned_moments(active, x, n_points, responsibilities, factor, centres, moments)


@part_of_kernel
def axis_aligned_whitened(parameters, pruning, c, k, box):
    """(z_c in the middle of a box, how far z_c varies from that in it) for a vector of components from k on."""
    coefficient = load(pruning.factor, c, k)
    z = fma(coefficient, splat(box[0, c], coefficient), load(pruning.bias, c, k))
    return z, mul(coefficient, splat(box[1, c], z))


@kernel
def _axis_aligned_m_step(parameters, moments, reg_covar, averaged):
    n_components, n_features = parameters.means.shape
    variances = np.empty(n_features)
    total = 0.0
    for k in range(n_components):
        total += moments[k, 0] + EMPTY
    for k in range(n_components):
        mass = moments[k, 0] + EMPTY
        sum_of_variances = log_determinant = 0.0
        for i in range(n_features):
            shift = moments[k, 1 + i] / mass
            second = moments[k, 1 + n_features + i] / mass
            size = abs(parameters.origin[i]) + abs(parameters.means[k, i])
            variances[i] = second - shift * shift
            if not is_resolved(variances[i], second, size, reg_covar):
                return False
            sum_of_variances += variances[i]
            parameters.means[k, i] += shift
        variance = scale = product = 1.0  # of variances: a logarithm takes as long as all else for a feature
        for i in range(n_features):
            if i == 0 or not averaged:
                variance = (sum_of_variances / n_features if averaged else variances[i]) + reg_covar
                scale = np.sqrt(0.5 / variance)
            if _SMALL < product * variance < _LARGE:
                product *= variance
            else:
                log_determinant -= 0.5 * np.log(product)
                product = variance
            parameters.scale[k, i] = scale
            parameters.bias[k, i] = -scale * parameters.means[k, i]
            if not is_near(abs(parameters.bias[k, i])):
                return False
        log_determinant -= 0.5 * np.log(product)
        parameters.log_scale[k] = np.log(mass / total) - 0.5 * n_features * LOG_2_PI + log_determinant
    return True


@kernel
def _axis_aligned_add_prior(parameters, prior, moments):
    n_components, n_features = parameters.means.shape
    for k in range(n_components):
        mass = moments[k, 0]
        made, degrees = mass + prior.mean_precision, mass + prior.degrees_of_freedom
        for i in range(n_features):
            shift, of_prior = moments[k, 1 + i] / (mass + EMPTY), prior.mean[i] - parameters.means[k, i]
            scatter = moments[k, 1 + n_features + i] - mass * shift * shift + mass * prior.reg_covar + prior.scale[i, i]
            scatter += prior.mean_precision * mass / made * (shift - of_prior) ** 2
            first = mass * shift + prior.mean_precision * of_prior
            moments[k, 1 + i] = first
            moments[k, 1 + n_features + i] = made * scatter / degrees + first * first / made
        moments[k, 0] = made


@part_of_kernel
def mass_in_rows(parameters, moments, k):
    return moments[k, 0]


@part_of_kernel
def _run_of(parameters, number):
    return AxisAligned(
        parameters.origin,
        parameters.means[number],
        parameters.log_scale[number],
        parameters.scale[number],
        parameters.bias[number],
    )


# -- some features missing ---------------------------------------------------------------------------------------------


@kernel
def _axis_aligned_marginal(parameters, mixture, features, n_observed, room):
    """(log_scale, scale, bias, means) of the marginal over the observed features, in `room`, as in `AxisAligned`."""
    n_components, width = parameters.means.shape[0], max(n_observed, 1)
    log_scale, room = room[:n_components], room[n_components:]
    means, room = room[: n_components * width].reshape((n_components, width)), room[n_components * width :]
    bias, room = room[: n_components * width].reshape((n_components, width)), room[n_components * width :]
    scale = room[: n_components * width].reshape((n_components, width))
    for k in range(n_components):
        log_scale[k] = mixture.log_weights[k] - 0.5 * n_observed * LOG_2_PI
        means[k, 0] = scale[k, 0] = bias[k, 0] = 0.0  # without any observed feature: one that is always 0
        for i in range(n_observed):
            variance = mixture.covariances[k, features[i]]
            log_scale[k] -= 0.5 * np.log(variance)
            means[k, i] = parameters.means[k, features[i]]
            scale[k, i] = np.sqrt(0.5 / variance)
            bias[k, i] = -scale[k, i] * means[k, i]
    return log_scale, scale, bias, means


@part_of_kernel
def _marginal(parameters, mixture, features, n_observed, room, regression):
    log_scale, scale, bias, means = _axis_aligned_marginal(parameters, mixture, features, n_observed, room)
    return AxisAligned(parameters.origin, means, log_scale, scale, bias)


@part_of_kernel
def _far_marginal(parameters, mixture, features, n_observed, room, regression):
    log_scale, scale, bias, means = _axis_aligned_marginal(parameters, mixture, features, n_observed, room)
    bias[:] = 0.0
    return FarAxisAligned(parameters.origin, means, log_scale, scale, bias)


@part_of_kernel
def _add_completed(parameters, mixture, features, n_observed, regression, observed, centres, moments):
    n_components, n_features = parameters.means.shape
    width = max(n_observed, 1)
    for k in range(n_components):
        mass = observed[k, 0]
        moments[k, 0] += mass
        for i in range(n_observed):
            moments[k, 1 + features[i]] += observed[k, 1 + i]
            moments[k, 1 + n_features + features[i]] += observed[k, 1 + width + i]
        for j in range(n_observed, n_features):
            missing = features[j]
            shift = parameters.means[k, missing] - centres[k, missing]
            moments[k, 1 + missing] += mass * shift
            moments[k, 1 + n_features + missing] += mass * (shift * shift + mixture.covariances[k, missing])


@part_of_kernel
def _expect(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values):
    missing = features[n_observed + j]
    for b in range(n_points):
        values[b] = parameters.means[k, missing]
    return mixture.covariances[k, missing]


class AxisAligned(NamedTuple):
    """Parameters as the kernels take them: the log-density of component k at x is, with x' = x - origin,

    log_scale[k] - sum over i of (scale[k, i] x'[i] + bias[k, i])**2

    The precision of `scale`, float64 or float32, is that of a pass's densities and products.
    """

    origin: np.ndarray  # (D,) float64, a point amid the data
    means: np.ndarray  # (K, D) relative to the origin
    log_scale: np.ndarray  # (K,) log weight + log of the normalising constant
    scale: np.ndarray  # (K, D) 1 / (sqrt(2) standard deviation)
    bias: np.ndarray  # (K, D) -scale mean

    is_far = False  # points are taken relative to the origin, not to each component's own mean
    has_bounds = True  # of densities in a box, for pruning
    adds_features = True  # a log-density is `log_scale` minus a square for each feature, so it can end early

    def zero_moments(self, n_slots):
        """Accumulators of `n_slots` chunks: a row for each component, of mass, first and second moments."""
        n_components, n_features = self.scale.shape
        return np.zeros((n_slots, n_components, 1 + 2 * n_features))

    coordinates = staticmethod(features_themselves)
    log_densities = staticmethod(axis_aligned_log_densities)
    add_moments = staticmethod(_add_moments)
    work_rows = staticmethod(single)
    whitened = staticmethod(axis_aligned_whitened)
    m_step = staticmethod(_axis_aligned_m_step)
    add_prior, mass_of = staticmethod(_axis_aligned_add_prior), staticmethod(mass_in_rows)
    run_of = staticmethod(_run_of)
    marginal = staticmethod(_marginal)
    add_completed = staticmethod(_add_completed)
    expect = staticmethod(_expect)

    @classmethod
    def of_runs(cls, n_runs, n_components, origin):
        """Room for the parameters of several runs, stacked."""
        shape = n_runs, n_components, len(origin)
        return cls(origin, np.zeros(shape), np.zeros(shape[:2]), np.zeros(shape), np.zeros(shape))

    def about(self, origin):
        """The same parameters with another origin."""
        shift = self.origin - origin
        return self._replace(origin=origin, means=self.means + shift, bias=self.bias - self.scale * shift)

    def bounding_coefficients(self):
        """(means, coefficients, widths, least, most) as in `Pruning`."""
        widths = self.scale.mean(axis=0)
        relative = self.scale / widths
        return self.means, self.scale, widths, relative.min(axis=1), relative.max(axis=1)

    @staticmethod
    def work(n_features):
        """Work of a point and a component, in about the flops of a matrix product that takes as long."""
        return 12 * n_features + 60

    @property
    def work_of_pair(self):
        """`work` in these parameters' features."""
        return self.work(self.bias.shape[1])

    def whitened_squares(self, x):
        """Half the squared Mahalanobis distance of points relative to the origin, (m, D), from each mean: (m, K)."""
        return ((x[:, None] * self.scale + self.bias) ** 2).sum(axis=2)

    @property
    def largest_coefficient(self):
        """The largest absolute value in `scale`."""
        return max(self.scale.max(), -self.scale.min())

    def sum_of_terms(self, reach):
        """Sum of the absolute terms of each whitened feature, (K, D), for |x - origin| = `reach`, (K, D)."""
        return self.scale * reach + np.abs(self.bias)

    @staticmethod
    def split_moments(moments):
        """Views of the mass (K,), first (K, D) and second moments (K, D) in summed accumulators."""
        n_features = moments.shape[1] // 2
        return moments[:, 0], moments[:, 1 : 1 + n_features], moments[:, 1 + n_features :]


class FarAxisAligned(AxisAligned):
    """`AxisAligned` for components so far apart that no origin is near enough to all: with x' = x - means[k],

    log_scale[k] - sum over i of (scale[k, i] x'[i])**2

    The origin is 0, so that x - origin isn't rounded and the means are absolute; bias is 0.
    """

    __slots__ = ()
    is_far, has_bounds, adds_features = True, False, False
    log_densities = staticmethod(_far_log_densities)
    marginal = staticmethod(_far_marginal)

    def bounding_coefficients(self):
        """None: there is no pruning for components far apart."""
