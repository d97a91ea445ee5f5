"""Whole runs of variational Bayes on few points in one call: E-steps and the posterior's M-steps until convergence.

As `runs.py`, but for posteriors (Bishop 2006, section 10.2). The M-step is that of EM, from moments to which the prior
is added as points, `add_prior`; the weights' constants then take the place of the logarithms of the weights.
"""

import math
from typing import NamedTuple

import numpy as np

from .blocks import add_prior, block_coordinates, block_log_densities, mass_of, normalise, run_of, work_rows
from .compiler.calls import arguments
from .compiler.jit import chunk_kernel, kernel, run
from .components.common import EMPTY, LOG_2_PI
from .cuts import Grid
from .kmeans import copy, set_zero
from .ordering import all_components
from .runs import (
    CONVERGED,
    END,
    GOES_ON,
    N_ITER,
    UNUSUAL,
    add_moments_apart,
    maximize_apart,
)
from .sums import N_TOTALS, Sums
from .vectors import add, fma, lanes, load, mul, splat, sum_of_lanes

_LOG_2 = math.log(2.0)
_SERIES_FROM = 10.0  # argument of digamma from which its asymptotic series is accurate to 1e-16


class Prior(NamedTuple):
    """The priors of weights, means and precisions."""

    is_process: bool  # Dirichlet process (stick-breaking), else Dirichlet distribution
    is_pooled: bool  # one precision for all components, which counts 1 / K of the points
    concentration: float
    mean_precision: float  # number of points
    mean: np.ndarray  # (D,) relative to the origin
    degrees_of_freedom: float
    scale: np.ndarray  # (D, D) the prior's scatter
    reg_covar: float  # added to the variances of each component's points


class Posteriors(NamedTuple):
    """What a run reads, and room for its results."""

    x: np.ndarray  # (blocks * D, points in a block) relative to the origin; the last block is padded
    weights: np.ndarray  # (blocks, points in a block), 0 for the padding
    moments: np.ndarray  # (1, 2, ...) of the last two iterations, that of iteration i at i % 2
    centres: np.ndarray  # (1, 2, K, D) what those moments are taken about, relative to the origin
    log_likelihoods: np.ndarray  # (1, 2) sums of the points' terms in those iterations, nats
    bounds: np.ndarray  # (1, max_iter) lower bounds of the posteriors, nats in all
    status: np.ndarray  # (1, 3) int64, as in `runs.py`


@kernel
def digamma(x):
    """The derivative of log gamma at x > 0 (Abramowitz & Stegun 1972, 6.3.5 and 6.3.18)."""
    value = 0.0
    while x < _SERIES_FROM:
        value -= 1.0 / x
        x += 1.0
    t = 1.0 / (x * x)
    series = t * (1 / 12 - t * (1 / 120 - t * (1 / 252 - t * (1 / 240 - t * (1 / 132 - t * (691 / 32760 - t / 12))))))
    return value + np.log(x) - 0.5 / x - series


@kernel
def _expected(log_densities, responsibilities, factor):
    """Sum over points and components of responsibility times log-density."""
    total = splat(0.0, factor)
    for b in range(0, factor.shape[1], lanes(factor)):
        sum_of_point = splat(0.0, factor)
        for a in range(log_densities.shape[0]):
            sum_of_point = fma(load(log_densities, a, b), load(responsibilities, a, b), sum_of_point)
        total = add(total, mul(sum_of_point, load(factor, 0, b)))
    return sum_of_lanes(total)


@kernel
def _weigh(parameters, mass, prior):
    """Turn the logarithms of weights in `log_scale` into what posteriors have there (Bishop 2006, eq. 10.46).

    mass: (K,), points of each component. Returns scikit-learn's lower bound without the responsibilities' entropy.
    """
    n_components, n_features = parameters.means.shape
    behind, total, made = np.zeros(n_components), 0.0, 0.0
    for k in range(n_components - 1, -1, -1):
        behind[k] = total
        total += mass[k]
        made += mass[k] + prior.mean_precision + EMPTY
    bound = log_left = of_all = 0.0
    if not prior.is_process:
        concentration = n_components * prior.concentration + total
        of_all = digamma(concentration)
        bound -= math.lgamma(concentration)
    for k in range(n_components):
        if prior.is_process:
            broken, left = 1.0 + mass[k], prior.concentration + behind[k]
            of_both = digamma(broken + left)
            log_weight = log_left + digamma(broken) - of_both
            log_left += digamma(left) - of_both
            bound += math.lgamma(broken) + math.lgamma(left) - math.lgamma(broken + left)
        else:
            log_weight = digamma(prior.concentration + mass[k]) - of_all
            bound += math.lgamma(prior.concentration + mass[k])
        points = mass[k] + prior.mean_precision
        degrees = prior.degrees_of_freedom + (total / n_components if prior.is_pooled else mass[k])
        constant = parameters.log_scale[k] - np.log((points + EMPTY) / made)
        log_precision = 0.0
        for i in range(n_features):
            log_precision += digamma(0.5 * (degrees - i))
            bound += math.lgamma(0.5 * (degrees - i))
        log_degrees = n_features * (np.log(degrees) - _LOG_2)
        bound += degrees * (constant + 0.5 * n_features * LOG_2_PI - 0.5 * log_degrees)
        bound -= 0.5 * n_features * np.log(points)
        parameters.log_scale[k] = constant + log_weight + 0.5 * (log_precision - log_degrees - n_features / points)
    return bound


@chunk_kernel
def _run_posterior(number, context):
    """Run variational Bayes from the parameters until its bound changes by less than tol, or for `n_iter` iterations.

    made: scratch, shaped as the moments of an iteration.
    """
    _, runs, all_parameters, prior, rules, made, n_iter = arguments(context)
    x, weights = runs.x, runs.weights
    parameters = run_of(all_parameters, number)
    n_components, n_features = parameters.means.shape
    n_blocks, block = weights.shape
    bounds, status = runs.bounds[number], runs.status[number]
    work = np.zeros((work_rows(parameters), block))
    responsibilities, log_densities = np.zeros((n_components, block)), np.zeros((n_components, block))
    factor, log_likelihoods = np.zeros((1, block)), np.zeros((1, block))
    components, mass = all_components(n_components), np.zeros(n_components)
    while status[END] == GOES_ON and status[N_ITER] < n_iter:
        n = status[N_ITER]
        sums, centres = runs.moments[number, n % 2], runs.centres[number, n % 2]
        set_zero(sums)
        copy(parameters.means, centres)
        total = entropy = 0.0
        for j in range(n_blocks):
            here, row = x[j * n_features : (j + 1) * n_features], weights[j : j + 1]
            coordinates = block_coordinates(parameters, here, block, work)
            block_log_densities(parameters, components, coordinates, block, work, responsibilities)
            copy(responsibilities, log_densities)
            of_block = normalise(responsibilities, n_components, row, block, factor, log_likelihoods)
            total += of_block
            entropy += of_block - _expected(log_densities, responsibilities, factor)
            add_moments_apart(parameters, components, here, responsibilities, factor, row, work, sums)
        runs.log_likelihoods[number, n % 2] = total
        copy(sums, made)
        for k in range(n_components):
            mass[k] = mass_of(parameters, sums, k)
        add_prior(parameters, prior, made)
        if not (np.isfinite(entropy) and maximize_apart(parameters, made, rules)):
            status[END] = UNUSUAL
            break
        bounds[n], status[N_ITER] = entropy + _weigh(parameters, mass, prior), n + 1
        if n > 0 and abs(bounds[n] - bounds[n - 1]) < rules.tol:
            status[END] = CONVERGED


class CompiledPosterior:
    """A run of variational Bayes on few points.

    Parameters
    ----------
    points : FewPoints
        About the origin of `start`.
    start : Triangular, Shared or AxisAligned
        Kernel inputs.
    prior : Prior
    rules : Rules
        With reg_covar 0: that of `prior` is added before the prior is.
    most_iterations : int
    """

    def __init__(self, points, start, prior, rules, most_iterations):
        self._points, self._kind = points, type(start)
        self._parameters = self._kind(start.origin, *(np.array(values[None], order="C") for values in start[1:]))
        shape = start.zero_moments(1).shape[1:]
        self._runs = Posteriors(
            points.x,
            points.weights,
            np.zeros((1, 2, *shape)),
            np.zeros((1, 2, *start.means.shape)),
            np.zeros((1, 2)),
            np.zeros((1, most_iterations)),
            np.zeros((1, 3), np.int64),
        )
        self._prior, self._rules, self._made = prior, rules, np.zeros(shape)

    def go_on(self, n_iter):
        """Make further iterations unless the run has ended, up to `n_iter` in all."""
        grid = Grid(0, 0, 0, 1, 0, True)
        run(_run_posterior, grid, self._runs, self._parameters, self._prior, self._rules, self._made, n_iter)

    @property
    def n_iter(self):
        return int(self._runs.status[0, N_ITER])

    @property
    def end(self):
        """How the run ended, as in `runs.py`."""
        return int(self._runs.status[0, END])

    @property
    def bounds(self):
        """Lower bounds of the run's posteriors, total nats, in order."""
        return self._runs.bounds[0, : self.n_iter]

    def sums(self, n_iter):
        """(inputs, centres, `Sums`) of one of the last two iterations, counted from 1."""
        index = (n_iter - 1) % 2
        totals = np.zeros((2, N_TOTALS))
        totals[0, :2] = self._runs.log_likelihoods[0, index], self._points.weight
        moments = self._runs.moments[0, index]
        inputs = self._kind(self._points.origin, *(values[0] for values in self._parameters[1:]))
        centres = self._points.origin + self._runs.centres[0, index]
        return inputs, centres, Sums(np.stack([moments, np.zeros_like(moments)]), totals)
