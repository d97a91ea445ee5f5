"""Student-t components: the quadratic forms and moments of the Gaussian kernels, with a weight for each point.

A multivariate t is a Gaussian whose precision is multiplied, at each point, by a hidden u with the distribution
Gamma(nu / 2, nu / 2) (Peel & McLachlan 2000, 'Robust mixture modelling using the t distribution', section 4). With
delta the squared Mahalanobis distance, s = 1 / nu and D features,

    log-density = constant - (nu + D) / 2 log(1 + s delta),    E[u | x] = (1 + s D) / (1 + s delta)

A component with s = 0 is Gaussian. After the quadratic form come, for a point and a component, a division, a log and
the two numbers that the moments need: 1 / (1 + s delta), by which responsibilities are multiplied in first and second
moments, and the excess

    log(1 + s delta) - (1 + s D) s delta / (1 + s delta) = u - 1 - log u + a constant,    u = E[u | x],

whose sum the degrees of freedom are estimated from. Its rounding errors are relative to s delta, so that in float32,
too, nearly Gaussian tails can be told from Gaussian ones.
"""

from collections import namedtuple

import numpy as np

from ..compiler.jit import kernel, part_of_kernel
from ..elementary import log1p
from ..vectors import add, div, fma, fnma, lanes, load, mul, splat, store, sum_of_lanes
from .axis_aligned import (
    AxisAligned,
    add_axis_aligned_moments,
    far_log_densities_along_axes,
    log_densities_along_axes,
)
from .common import features_themselves
from .shared import Shared, add_shared_moments
from .triangular import (
    Triangular,
    add_triangular_moments,
    far_triangular_log_densities,
    triangular_log_densities,
)

# Columns of moments that belong to a component besides the Gaussian ones, each in a row of its own: the sum of the
# responsibilities, and that of responsibilities times the excess.
_ROWS = 2


@kernel
def _student_log_densities(constant, inverse, power, gain, active, n_points, work, first, out):
    """out: IN -delta / 2, OUT log weight + log-density; work: OUT rows `first` on, what the moments need.

    constant, inverse (s), power, gain: (K,), as in the parameters; active: the components of the rows of `out`.
    """
    one = splat(1.0, out)
    for a in range(active.size):
        k = active[a]
        start = splat(constant[k], out)
        weights, excess = first + a, first + constant.size + a
        if inverse[k] == 0:
            zero = splat(0.0, out)
            for b in range(0, n_points, lanes(out)):
                store(out, a, b, add(start, load(out, a, b)))
                store(work, weights, b, one)
                store(work, excess, b, zero)
            continue
        scale, factor, most = splat(-2.0 * inverse[k], out), splat(power[k], out), splat(gain[k], out)
        for b in range(0, n_points, 2 * lanes(out)):  # two at a time: they share log's constants
            c = b + lanes(out)
            x0, x1 = mul(load(out, a, b), scale), mul(load(out, a, c), scale)
            logarithm0, logarithm1 = log1p(x0), log1p(x1)
            store(out, a, b, fnma(factor, logarithm0, start))
            store(out, a, c, fnma(factor, logarithm1, start))
            weight0, weight1 = div(one, add(one, x0)), div(one, add(one, x1))
            store(work, weights, b, weight0)
            store(work, weights, c, weight1)
            store(work, excess, b, fnma(most, mul(x0, weight0), logarithm0))
            store(work, excess, c, fnma(most, mul(x1, weight1), logarithm1))


@kernel
def _weigh(active, n_components, n_points, responsibilities, factor, work, first, moments):
    """responsibilities: IN OUT, multiplied by the weights in `work`; their sums before go to the last rows of moments.

    responsibilities: (len(active), n_points), unnormalised; factor: (1, n_points), multiplies them.
    """
    last = moments.shape[0] - _ROWS * n_components
    for a in range(active.size):
        mass = excess = splat(0.0, factor)
        for b in range(0, n_points, lanes(factor)):
            unnormalised = load(responsibilities, a, b)
            r = mul(unnormalised, load(factor, 0, b))
            mass = add(mass, r)
            excess = fma(r, load(work, first + n_components + a, b), excess)
            store(responsibilities, a, b, mul(unnormalised, load(work, first + a, b)))
        moments[last + _ROWS * active[a], 0] += sum_of_lanes(mass)
        moments[last + _ROWS * active[a] + 1, 0] += sum_of_lanes(excess)


@kernel
def _weights_of_points(gain, active, n_points, responsibilities, factor, weights):
    """weights: OUT (1, n_points), the weight of each point in the scatter common to all components."""
    for b in range(0, n_points, lanes(factor)):
        total = splat(0.0, factor)
        for a in range(active.size):
            total = fma(splat(gain[active[a]], factor), load(responsibilities, a, b), total)
        store(weights, 0, b, mul(total, load(factor, 0, b)))


@part_of_kernel
def _work_rows(parameters):
    n_components, n_features = parameters.bias.shape
    return n_features + 1 + 2 * n_components


@part_of_kernel
def _triangular(parameters, active, x, n_points, work, out):
    nothing, factor, bias = parameters.nothing, parameters.factor, parameters.bias
    triangular_log_densities(nothing, factor, bias, active, x, n_points, out)
    constant, inverse, power, gain = parameters.log_scale, parameters.inverse, parameters.power, parameters.gain
    _student_log_densities(constant, inverse, power, gain, active, n_points, work, bias.shape[1] + 1, out)


@part_of_kernel
def _far_triangular(parameters, active, x, n_points, work, out):
    nothing, factor, bias, means = parameters.nothing, parameters.factor, parameters.bias, parameters.means
    far_triangular_log_densities(nothing, factor, bias, means, active, x, n_points, work, out)
    constant, inverse, power, gain = parameters.log_scale, parameters.inverse, parameters.power, parameters.gain
    _student_log_densities(constant, inverse, power, gain, active, n_points, work, bias.shape[1] + 1, out)


@part_of_kernel
def _axis_aligned(parameters, active, x, n_points, work, out):
    nothing, scale, bias = parameters.nothing, parameters.scale, parameters.bias
    log_densities_along_axes(nothing, scale, bias, active, x, n_points, out)
    constant, inverse, power, gain = parameters.log_scale, parameters.inverse, parameters.power, parameters.gain
    _student_log_densities(constant, inverse, power, gain, active, n_points, work, bias.shape[1] + 1, out)


@part_of_kernel
def _far_axis_aligned(parameters, active, x, n_points, work, out):
    nothing, scale, bias, means = parameters.nothing, parameters.scale, parameters.bias, parameters.means
    far_log_densities_along_axes(nothing, scale, means, active, x, n_points, out)
    constant, inverse, power, gain = parameters.log_scale, parameters.inverse, parameters.power, parameters.gain
    _student_log_densities(constant, inverse, power, gain, active, n_points, work, bias.shape[1] + 1, out)


@part_of_kernel
def _add_triangular_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    first = parameters.bias.shape[1] + 1
    _weigh(active, parameters.bias.shape[0], n_points, responsibilities, factor, work, first, moments)
    add_triangular_moments(active, x, n_points, responsibilities, factor, centres, work, moments)


@part_of_kernel
def _add_axis_aligned_moments(
    parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments
):
    first = parameters.bias.shape[1] + 1
    _weigh(active, parameters.bias.shape[0], n_points, responsibilities, factor, work, first, moments)
    add_axis_aligned_moments(active, x, n_points, responsibilities, factor, centres, moments)


@part_of_kernel
def _add_shared_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    first = parameters.bias.shape[1] + 1
    _weigh(active, parameters.bias.shape[0], n_points, responsibilities, factor, work, first, moments)
    _weights_of_points(parameters.gain, active, n_points, responsibilities, factor, weights)
    add_shared_moments(active, x, n_points, responsibilities, factor, weights, centres, work, moments)


def _of(gaussian):
    """Base class with the Python methods of t parameters, from the class of the Gaussian ones."""

    class Student:
        __slots__ = ()
        is_far = has_bounds = False
        work_rows = staticmethod(_work_rows)
        whitened = staticmethod(gaussian.whitened)  # compiled but never called, as there are no bounds

        whitened_squares = gaussian.whitened_squares
        largest_coefficient = gaussian.largest_coefficient
        sum_of_terms = gaussian.sum_of_terms

        def zero_moments(self, n_slots):
            """Accumulators of `n_slots` chunks: the Gaussian ones, then two rows for each component."""
            base = gaussian.zero_moments(self, 0)
            return np.zeros((n_slots, base.shape[1] + _ROWS * len(self.bias), base.shape[2]))

        @staticmethod
        def work(n_features):
            """Work of a point and a component, in about the flops of a matrix product that takes as long."""
            return gaussian.work(n_features) + 80

        @property
        def work_of_pair(self):
            """`work` in these parameters' features."""
            return self.work(self.bias.shape[1])

        def split_moments(self, moments):
            """(sums (3, K), first moments, second moments) in summed accumulators.

            The sums are of responsibilities, of these times 1 / (1 + s delta), and times the excess; moments are as the
            Gaussian ones, of responsibilities times 1 / (1 + s delta).
            """
            last = len(moments) - _ROWS * len(self.bias)
            weighted, first, second = gaussian.split_moments(moments[:last])
            mass, excess = moments[last:, 0].reshape(-1, _ROWS).T
            return np.stack([mass, weighted, excess]), first, second

    return Student


def _fields_of(gaussian):
    """Base class with the arrays of t parameters: those of the Gaussian ones, and four of (K,)."""
    return namedtuple(f"Student{gaussian.__name__}", [*gaussian._fields, "nothing", "inverse", "power", "gain"])


class StudentTriangular(_of(Triangular), _fields_of(Triangular)):
    """As `Triangular`, whose log_scale is the constant of the t density here, and

    nothing: (K,) zeros; inverse: (K,) s = 1 / nu, 0 for a Gaussian; power: (K,) (nu + D) / 2; gain: (K,) 1 + s D.
    """

    __slots__ = ()
    coordinates = staticmethod(features_themselves)
    log_densities = staticmethod(_triangular)
    add_moments = staticmethod(_add_triangular_moments)


class FarStudentTriangular(StudentTriangular):
    """`StudentTriangular` for components far apart, as `FarTriangular`."""

    __slots__ = ()
    is_far = True
    log_densities = staticmethod(_far_triangular)


class StudentAxisAligned(_of(AxisAligned), _fields_of(AxisAligned)):
    """As `AxisAligned`, with the further arrays of `StudentTriangular`."""

    __slots__ = ()
    coordinates = staticmethod(features_themselves)
    log_densities = staticmethod(_axis_aligned)
    add_moments = staticmethod(_add_axis_aligned_moments)


class FarStudentAxisAligned(StudentAxisAligned):
    """`StudentAxisAligned` for components far apart, as `FarAxisAligned`."""

    __slots__ = ()
    is_far = True
    log_densities = staticmethod(_far_axis_aligned)


class StudentShared(_of(Shared), _fields_of(Shared)):
    """As `Shared`, with the further arrays of `StudentTriangular`.

    The common scatter is of responsibilities times E[u], gain / (1 + s delta); first moments are without the gain.
    """

    __slots__ = ()
    coordinates = staticmethod(Shared.coordinates)
    log_densities = staticmethod(_axis_aligned)
    add_moments = staticmethod(_add_shared_moments)
