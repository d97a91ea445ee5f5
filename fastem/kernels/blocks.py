"""The steps of a pass over one block of points: log-densities, responsibilities, moments.

Log-densities and moments are computed by the methods of the parameters' type; responsibilities are the same for all.
"""

import numpy as np

from .compiler.extending import INLINED, overload
from .compiler.jit import kernel
from .elementary import exp, log
from .vectors import add, div, lanes, load, mul, select_greater, splat, store, sub, sum_of_lanes

# -- methods of the parameters' type ----------------------------------------------------------------------------------


def block_coordinates(parameters, x, n_points, work):
    """The coordinates that log-densities are computed from: rows of x itself or of `work`."""
    return parameters.coordinates(parameters, x, n_points, work)


@overload(block_coordinates, jit_options=INLINED)
def _overload_coordinates(parameters, x, n_points, work):
    offered = parameters.instance_class.coordinates
    return lambda parameters, x, n_points, work: offered(parameters, x, n_points, work)


def block_log_densities(parameters, active, coordinates, n_points, work, out):
    """Log weight + log-density of the active components at every point of a block, OUT (len(active), n_points)."""
    return parameters.log_densities(parameters, active, coordinates, n_points, work, out)


@overload(block_log_densities, jit_options=INLINED)
def _overload_log_densities(parameters, active, coordinates, n_points, work, out):
    offered = parameters.instance_class.log_densities

    def block(parameters, active, coordinates, n_points, work, out):
        offered(parameters, active, coordinates, n_points, work, out)

    return block


def add_block_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    """Add a block's statistics about `centres`; its responsibilities are responsibilities[a, b] * factor[0, b]."""
    parameters.add_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments)


@overload(add_block_moments, jit_options=INLINED)
def _overload_add_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    offered = parameters.instance_class.add_moments

    def block(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
        offered(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments)

    return block


def work_rows(parameters):
    """Rows of scratch for a block."""
    return parameters.work_rows(parameters)


@overload(work_rows, jit_options=INLINED)
def _overload_work_rows(parameters):
    offered = parameters.instance_class.work_rows
    return lambda parameters: offered(parameters)


def m_step(parameters, moments, reg_covar, averaged):
    """Set the parameters to those that maximise the expected log-likelihood, from moments about their means.

    averaged: all features get the mean of their variances. Returns False, and leaves useless parameters, where a
    component has no points, a covariance is nearly singular, or too many digits were lost.
    """
    return parameters.m_step(parameters, moments, reg_covar, averaged)


@overload(m_step, jit_options=INLINED)
def _overload_m_step(parameters, moments, reg_covar, averaged):
    offered = parameters.instance_class.m_step
    return lambda parameters, moments, reg_covar, averaged: offered(parameters, moments, reg_covar, averaged)


def add_prior(parameters, prior, moments):
    """Turn moments of points about their means into those from which `m_step` makes the posterior's expectations.

    prior: `posteriors.Prior`.
    """
    parameters.add_prior(parameters, prior, moments)


@overload(add_prior, jit_options=INLINED)
def _overload_add_prior(parameters, prior, moments):
    offered = parameters.instance_class.add_prior

    def add(parameters, prior, moments):
        offered(parameters, prior, moments)

    return add


def mass_of(parameters, moments, k):
    """Points of component k, from moments."""
    return parameters.mass_of(parameters, moments, k)


@overload(mass_of, jit_options=INLINED)
def _overload_mass_of(parameters, moments, k):
    offered = parameters.instance_class.mass_of
    return lambda parameters, moments, k: offered(parameters, moments, k)


def run_of(parameters, number):
    """The parameters of one run, from those of several runs, stacked."""
    return parameters.run_of(parameters, number)


@overload(run_of, jit_options=INLINED)
def _overload_run_of(parameters, number):
    offered = parameters.instance_class.run_of
    return lambda parameters, number: offered(parameters, number)


def marginal(parameters, mixture, features, n_observed, room, regression):
    """The parameters of the marginal over the observed features, in `room`; sets `regression` for the other features.

    features: (D,) their numbers, the `n_observed` observed ones first; both kinds ascend. regression: coefficients and
    covariances of the missing features, (K D, at least D) both, and three arrays of scratch; empty if axis-aligned.
    """
    return parameters.marginal(parameters, mixture, features, n_observed, room, regression)


@overload(marginal, jit_options=INLINED)
def _overload_marginal(parameters, mixture, features, n_observed, room, regression):
    offered = parameters.instance_class.marginal

    def of(parameters, mixture, features, n_observed, room, regression):
        return offered(parameters, mixture, features, n_observed, room, regression)

    return of


def add_completed(parameters, mixture, features, n_observed, regression, observed, centres, moments):
    """Add to `moments` about `centres` the expected ones of points of which `observed` are the marginal's moments.

    Both moments are about the same centres. E[x | observed] = A x_observed + b for a component, so the sums over points
    are A S A' + ..., and the covariance that is left is added for every point (Ghahramani & Jordan 1994).
    """
    parameters.add_completed(parameters, mixture, features, n_observed, regression, observed, centres, moments)


@overload(add_completed, jit_options=INLINED)
def _overload_add_completed(parameters, mixture, features, n_observed, regression, observed, centres, moments):
    offered = parameters.instance_class.add_completed

    def add(parameters, mixture, features, n_observed, regression, observed, centres, moments):
        offered(parameters, mixture, features, n_observed, regression, observed, centres, moments)

    return add


def expect(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values):
    """values: OUT (n_points,), component k's expectation of missing feature j given the observed ones, x.

    Relative to the origin. Returns the variance about it.
    """
    return parameters.expect(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values)


@overload(expect, jit_options=INLINED)
def _overload_expect(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values):
    offered = parameters.instance_class.expect

    def of(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values):
        return offered(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values)

    return of


# -- responsibilities ------------------------------------------------------------------------------------------------


@kernel
def normalise(log_densities, n_components, weights, n_points, factor, log_likelihoods):
    """Turn log-densities into unnormalised responsibilities and a factor for each point that normalises them.

    log_densities: IN (n_components, n_points), OUT exp(log-density - the point's largest); weights: (1, n_points);
    factor: OUT (1, n_points), weight / sum of the exps over the components; log_likelihoods: OUT (1, n_points),
    log-sum-exp, -inf where every density is 0. Returns the weighted sum of the log-likelihoods; points of weight 0
    are left out.
    """
    zero = splat(0.0, log_densities)
    nowhere = splat(-np.inf, log_densities)
    total = zero
    n_lanes = lanes(log_densities)
    for b in range(0, n_points, 2 * n_lanes):  # two at a time: they share exp's constants, too many for registers
        c = b + n_lanes
        largest0 = largest1 = nowhere
        for a in range(n_components):
            value0, value1 = load(log_densities, a, b), load(log_densities, a, c)
            largest0 = select_greater(value0, largest0, value0, largest0)
            largest1 = select_greater(value1, largest1, value1, largest1)
        sum0 = sum1 = zero
        for a in range(n_components):
            value0 = exp(sub(load(log_densities, a, b), largest0))
            value1 = exp(sub(load(log_densities, a, c), largest1))
            store(log_densities, a, b, value0)
            store(log_densities, a, c, value1)
            sum0 = add(sum0, value0)
            sum1 = add(sum1, value1)
        store(log_likelihoods, 0, b, largest0)
        store(log_likelihoods, 0, c, largest1)
        store(factor, 0, b, sum0)
        store(factor, 0, c, sum1)
    for b in range(0, n_points, n_lanes):
        largest, sum_of_exp = load(log_likelihoods, 0, b), load(factor, 0, b)
        weight = load(weights, 0, b)
        log_likelihood = select_greater(sum_of_exp, zero, add(largest, log(sum_of_exp)), nowhere)
        store(log_likelihoods, 0, b, log_likelihood)
        store(factor, 0, b, select_greater(sum_of_exp, zero, div(weight, sum_of_exp), zero))
        total = add(total, select_greater(weight, zero, mul(weight, log_likelihood), zero))
    return sum_of_lanes(total)


@kernel
def fill_row(values, row, n_points, value):
    """values[row]: OUT `value` at every point of a block."""
    for b in range(0, n_points, lanes(values)):
        store(values, row, b, splat(value, values))


@kernel
def prefer_noise(log_densities, row, component, n_points, best, largest):
    """Go on from `find_largest`: `component` is the best one where its log-density, in this row, is larger still."""
    for b in range(0, n_points, lanes(log_densities)):
        value, top = load(log_densities, row, b), load(largest, 0, b)
        store(best, 0, b, select_greater(value, top, splat(component, top), load(best, 0, b)))
        store(largest, 0, b, select_greater(value, top, value, top))


@kernel
def take_out_noise(responsibilities, row, n_points, factor, weights):
    """Subtract from each weight, (1, n_points), the noise's share, in this row; returns the sum of these shares."""
    total = zero = splat(0.0, weights)
    for b in range(0, n_points, lanes(weights)):
        share = mul(load(responsibilities, row, b), load(factor, 0, b))
        left = sub(load(weights, 0, b), share)
        store(weights, 0, b, select_greater(left, zero, left, zero))
        total = add(total, share)
    return sum_of_lanes(total)


@kernel
def find_largest(log_densities, active, n_points, best, largest):
    """best: OUT (1, n_points), the component with the largest log-density (the first if tied); largest: that value."""
    for b in range(0, n_points, lanes(log_densities)):
        top = load(log_densities, 0, b)
        index = splat(active[0], top)
        for a in range(1, active.size):
            value = load(log_densities, a, b)
            index = select_greater(value, top, splat(active[a], top), index)
            top = select_greater(value, top, value, top)
        store(best, 0, b, index)
        store(largest, 0, b, top)


@kernel
def assign(log_densities, active, weights, n_points, best, largest):
    """Hard assignment: log_densities: OUT 1 for each point's most probable component, 0 for the others.

    best, largest: (1, n_points), from `find_largest`. Returns the weighted sum of `largest`.
    """
    total = 0.0
    for b in range(n_points):
        if weights[0, b] > 0:
            total += weights[0, b] * largest[0, b]
    one, zero = splat(1.0, log_densities), splat(0.0, log_densities)
    for a in range(active.size):
        below, above = splat(active[a] - 0.5, log_densities), splat(active[a] + 0.5, log_densities)
        for b in range(0, n_points, lanes(log_densities)):
            index = load(best, 0, b)
            not_before = select_greater(index, below, one, zero)
            store(log_densities, a, b, select_greater(index, above, zero, not_before))
    return total


@kernel
def _uniform(seed, number):
    """A pseudo-random number in [0, 1) that depends on (seed, number) alone (Steele, Lea & Flood 2014, SplitMix64)."""
    z = seed + np.uint64(number + 1) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@kernel
def draw(seed, first_row, rows, count, n_components, responsibilities, weights, factor):
    """Stochastic assignment: each point is assigned to one component, drawn with its responsibilities as probabilities.

    responsibilities: (n_components, count), IN unnormalised, OUT 1 for the component drawn and 0 for the others;
    weights: (1, count); factor: OUT (1, count), the weight, 0 for a point whose responsibilities are all 0.
    """
    for b in range(count):
        total = 0.0
        for a in range(n_components):
            total += responsibilities[a, b]
        left = total * _uniform(seed, first_row + rows[b])
        chosen = -1
        for a in range(n_components):
            r = responsibilities[a, b]
            responsibilities[a, b] = 0.0
            if left >= 0 and r > 0:  # if rounding leaves left >= 0 to the end: the last with r > 0
                chosen = a
            left -= r
        if chosen >= 0:
            responsibilities[chosen, b] = 1.0
        factor[0, b] = weights[0, b] if chosen >= 0 else 0.0


# -- annotations of the points -----------------------------------------------------------------------------------------


@kernel
def set_weights(annotations, rows, count, n_points, weights):
    """weights: OUT (1, n_points), 0 for the padding from `count` on."""
    if annotations.weights.size:
        for b in range(count):
            weights[0, b] = annotations.weights[rows[b]]
    else:
        for b in range(count):
            weights[0, b] = 1.0
    for b in range(count, n_points):
        weights[0, b] = 0.0


@kernel
def sum_of_row(values, n_points):
    """The sum of values (1, n_points)."""
    total = splat(0.0, values)
    for b in range(0, n_points, lanes(values)):
        total = add(total, load(values, 0, b))
    return sum_of_lanes(total)


@kernel
def allow(shares, rows, count, log_densities):
    """Multiply the density of each point in each component, noise included, by shares[point, component]."""
    for b in range(count):
        for k in range(log_densities.shape[0]):
            share = shares[rows[b], k]
            log_densities[k, b] += np.log(share) if share > 0 else -np.inf


@kernel
def exclude_other_components(labels, rows, count, log_densities):
    """Set the density of a labelled point to 0 in every component but its own; -2: noise, the last row."""
    for b in range(count):
        label = labels[rows[b]]
        if label != -1:
            own = label if label >= 0 else log_densities.shape[0] - 1
            for k in range(log_densities.shape[0]):
                if k != own:
                    log_densities[k, b] = -np.inf


@kernel
def copy_row(source, target):
    for b in range(target.shape[1]):
        target[0, b] = source[0, b]


@kernel
def copy_responsibilities(annotations, rows, count, weights, factor, responsibilities):
    """Copy responsibilities (K, ..) from the annotations, and multiply each point's weight by their sum."""
    copy_row(weights, factor)
    for b in range(count):
        total = 0.0
        for k in range(responsibilities.shape[0]):
            if annotations.labels.size:
                r = 1.0 if annotations.labels[rows[b]] == k else 0.0
            else:
                r = annotations.responsibilities[rows[b], k]
            responsibilities[k, b] = r
            total += r
        weights[0, b] *= total
