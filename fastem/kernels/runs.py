"""Whole runs of EM on few points in one call: k-means++ seeds, k-means, then E-steps and M-steps until convergence.

On few points a pass takes microseconds, and calling it from Python takes longer than the pass itself. So here the loop
over iterations is compiled, too, around the same kernels for a block. Each chunk of `run` is a run from its own start.

A run ends with the status `UNUSUAL` where an M-step needs more care than the compiled ones take: components without
points, singular covariances, digits lost by distance. The Python loop (`fitting.em`) then takes over.
"""

from typing import NamedTuple

import numpy as np

from .blocks import (
    add_block_moments,
    block_coordinates,
    block_log_densities,
    m_step,
    normalise,
    run_of,
    work_rows,
)
from .compiler.calls import arguments
from .compiler.jit import chunk_kernel, kernel, run
from .cuts import Grid
from .kmeans import copy, in_units, kmeans, seeds, select, set_zero, total_weight
from .ordering import all_components
from .sums import N_TOTALS, Sums
from .vectors import GROUP, compiled_apart

_MOST_IN_BLOCK = 256  # points
_ROUNDING = 1e-12  # of a bound, relative where it exceeds 1: a smaller fall doesn't count as one
_INVISIBLE = 1e-14  # gain, nats, that is too small to show in a bound
_ROOT_2 = 2.0**0.5

# Entries of a run's status: number of iterations, the iteration that ends it (0 if unknown), and how it ended.
N_ITER, N_LAST, END = range(3)
GOES_ON, CONVERGED, FELL, UNUSUAL, ABANDONED = range(5)
_START = 3  # index of the start's moments and centres; those of iteration i are at i % 3


class Rules(NamedTuple):
    """When a run ends."""

    tol: float
    patient: bool  # go on until the estimate of what is left to gain is below tol, too; end where the bound falls
    visible: float  # change of the parameters below which a run ends although N_LAST allows more iterations
    reg_covar: float
    averaged: bool  # one variance for all features
    n_kmeans: int  # most iterations of k-means


class Runs(NamedTuple):
    """What all runs share: the points, block by block, and the room for each run's results (S runs)."""

    x: np.ndarray  # (blocks * D, points in a block) relative to the origin; the last block is padded
    weights: np.ndarray  # (blocks, points in a block), 0 for the padding
    uniforms: np.ndarray  # (S, draws) the random numbers of k-means++; no draws: the parameters are given
    units: np.ndarray  # (S, D) what k-means measures each feature in
    tolerances: np.ndarray  # (S,) sum of the squares of the means' moves that ends k-means
    moments: np.ndarray  # (S, 4, ...) of the last three iterations and of the start
    centres: np.ndarray  # (S, 4, K, D) what those moments are taken about, relative to the origin
    bounds: np.ndarray  # (S, max_iter) mean log-likelihoods, nats
    status: np.ndarray  # (S, 3) int64
    change: np.ndarray  # (S,) estimate of the largest change of the parameters that is still to come


@kernel
def add_moments_apart(parameters, components, x, responsibilities, factor, weights, work, moments):
    compiled_apart()
    n_points, centres = x.shape[1], parameters.means
    add_block_moments(parameters, components, x, n_points, responsibilities, factor, weights, centres, work, moments)


@kernel
def maximize_apart(parameters, moments, rules):
    compiled_apart()
    return m_step(parameters, moments, rules.reg_covar, rules.averaged)


@kernel
def _start(
    x, weights, uniforms, unit, tolerance, max_iter, parameters, work, responsibilities, factor, components, moments
):
    """Moments of the clusters of k-means about their means, which become those of `parameters`."""
    n_components, n_features = parameters.means.shape
    n_blocks, block = weights.shape
    z = in_units(x, unit)
    means = np.empty((n_components, n_features))
    labels = np.zeros((n_blocks, block))
    seeds(z, weights, uniforms, means)
    kmeans(z, weights, means, labels, max_iter, tolerance)
    for k in range(n_components):
        for i in range(n_features):
            parameters.means[k, i] = means[k, i] * unit[i]
    set_zero(moments)
    for j in range(n_blocks):
        row = weights[j : j + 1]
        for b in range(block):
            factor[0, b] = 1.0
        for k in range(n_components):
            select(labels, j, k, weights, responsibilities[k : k + 1])
        here = x[j * n_features : (j + 1) * n_features]
        add_moments_apart(parameters, components, here, responsibilities, factor, row, work, moments)


@kernel
def _last_gains(bounds, n):
    """The last two gains of n bounds; (1, 0) if the only one is invisible, (0, 1) if there are too few to tell."""
    if n < 3:
        return (1.0, 0.0) if n == 2 and abs(bounds[1] - bounds[0]) < _INVISIBLE else (0.0, 1.0)
    return bounds[n - 2] - bounds[n - 3], bounds[n - 1] - bounds[n - 2]


@kernel
def _rest(before, last):
    """What is left to gain, if gains go on as a geometric series; infinite if that can't be told."""
    if last <= 0:
        return 0.0
    return last * last / (before - last) if last < before else np.inf


@kernel
def _rate(before, last):
    """Ratio of successive steps, from the gains, which are its square; 1 if steps don't shrink."""
    if last <= 0:
        return 0.0
    return np.sqrt(last / before) if last < before else 1.0


@kernel
def _largest_change(parameters, old_scale, old_bias):
    """Upper bound, about, of the largest change of a weight, or of a mean in deviations, by an M-step."""
    changed = 0.0
    for k in range(old_scale.size):
        changed = max(changed, abs(parameters.log_scale[k] - old_scale[k]))
        for i in range(old_bias.shape[1]):
            changed = max(changed, _ROOT_2 * abs(parameters.bias[k, i] - old_bias[k, i]))
    return changed


@chunk_kernel
def _run_em(number, context):
    """Run EM from start `number` until it ends by the rules, or for `n_iter` iterations in all.

    A run without iterations begins by k-means, unless there are no random numbers for it; else it goes on from its
    parameters.
    """
    _, runs, all_parameters, rules, n_iter = arguments(context)
    x, weights = runs.x, runs.weights
    if runs.status[number, END] != GOES_ON:
        return
    parameters = run_of(all_parameters, number)
    n_components, n_features = parameters.means.shape
    n_blocks, block = weights.shape
    moments, centres, bounds, status = (
        runs.moments[number],
        runs.centres[number],
        runs.bounds[number],
        runs.status[number],
    )
    work = np.zeros((work_rows(parameters), block))
    responsibilities = np.zeros((n_components, block))
    factor, log_likelihoods = np.zeros((1, block)), np.zeros((1, block))
    components = all_components(n_components)
    old_scale, old_bias = np.empty(n_components), np.empty((n_components, n_features))
    weight = total_weight(weights)
    if status[N_ITER] == 0 and runs.uniforms.shape[1] > 0:
        start = moments[_START]
        draws, unit, least = runs.uniforms[number], runs.units[number], runs.tolerances[number]
        most, rest = rules.n_kmeans, (parameters, work, responsibilities, factor, components, start)
        _start(x, weights, draws, unit, least, most, *rest)
        copy(parameters.means, centres[_START])
        if not maximize_apart(parameters, start, rules):
            status[END] = UNUSUAL
    while status[END] == GOES_ON and status[N_ITER] < n_iter:
        n = status[N_ITER]
        sums = moments[n % 3]
        set_zero(sums)
        copy(parameters.means, centres[n % 3])
        total = 0.0
        for j in range(n_blocks):
            here, row = x[j * n_features : (j + 1) * n_features], weights[j : j + 1]
            coordinates = block_coordinates(parameters, here, block, work)
            block_log_densities(parameters, components, coordinates, block, work, responsibilities)
            total += normalise(responsibilities, n_components, row, block, factor, log_likelihoods)
            add_moments_apart(parameters, components, here, responsibilities, factor, row, work, sums)
        bound = total / weight
        if not np.isfinite(bound):
            status[END] = UNUSUAL
            break
        change = bound - bounds[n - 1] if n > 0 else np.inf
        if rules.patient and change < -_ROUNDING * max(1.0, abs(bound)):
            status[END] = FELL
            break
        n += 1
        bounds[n - 1], status[N_ITER] = bound, n
        for k in range(n_components):
            old_scale[k] = parameters.log_scale[k]
        copy(parameters.bias, old_bias)
        if not maximize_apart(parameters, sums, rules):
            status[END] = UNUSUAL
            break
        before, last = _last_gains(bounds, n)
        if status[N_LAST] == 0 and abs(change) < rules.tol and (not rules.patient or _rest(before, last) < rules.tol):
            status[N_LAST] = n
        if status[N_LAST] > 0:
            runs.change[number] = _largest_change(parameters, old_scale, old_bias) / (1.0 - _rate(before, last))
            if n >= status[N_LAST] or runs.change[number] <= rules.visible:
                status[END] = CONVERGED


class FewPoints:
    """Few points, held as the kernels of this file read them.

    Parameters
    ----------
    X : ndarray of shape (n, D)
    weights : ndarray of shape (n,), or None
    origin : ndarray of shape (D,), default=the mean of the points
    """

    def __init__(self, X, weights, origin=None):
        n_samples, n_features = X.shape
        if origin is not None:
            self.origin = origin
        elif weights is None:
            self.origin = X.mean(axis=0, dtype=np.float64)
        else:
            self.origin = np.average(X, axis=0, weights=weights)
        n_blocks = -(-n_samples // _MOST_IN_BLOCK)
        block = -(-n_samples // (n_blocks * GROUP)) * GROUP
        x = np.empty((n_blocks * block, n_features))
        np.subtract(X, self.origin, out=x[:n_samples])
        x[n_samples:] = 0.0
        padded = np.zeros(n_blocks * block)
        padded[:n_samples] = 1.0 if weights is None else weights
        self.weights = padded.reshape(n_blocks, block)
        self.weight = float(padded.sum())
        by_block = x.reshape(n_blocks, block, n_features).transpose(0, 2, 1)
        self.x = np.array(by_block, order="C").reshape(n_blocks * n_features, block)
        self.deviations = np.sqrt(padded @ np.multiply(x, x, out=x) / self.weight)


class Starts(NamedTuple):
    """Starts by k-means."""

    uniforms: np.ndarray  # (S, draws) random numbers for k-means++: one, then one for each candidate of further seeds
    units: np.ndarray  # (S, D) what k-means measures each feature in
    tolerances: np.ndarray  # (S,) sum of the squares of the means' moves, in these units, that ends k-means


class CompiledRuns:
    """Runs of EM on few points.

    Parameters
    ----------
    points : FewPoints
    kind : type
        Triangular, Shared or AxisAligned.
    n_components : int
    starts : Starts, or list of kernel inputs of that type
    rules : Rules
    most_iterations : int
        That a run may make.
    """

    def __init__(self, points, kind, n_components, starts, rules, most_iterations):
        by_kmeans = isinstance(starts, Starts)
        n_runs, n_features = len(starts.units if by_kmeans else starts), len(points.origin)
        self._points, self._kind, self._rules = points, kind, rules
        self._parameters = kind.of_runs(n_runs, n_components, points.origin)
        if not by_kmeans:
            for number, inputs in enumerate(starts):
                for values, given in zip(self._parameters[1:], inputs[1:], strict=True):
                    values[number] = given
            starts = Starts(np.empty((n_runs, 0)), np.ones((n_runs, n_features)), np.zeros(n_runs))
        shape = n_runs, 4, *self._of_run(0).zero_moments(1).shape[1:]
        self.runs = Runs(
            points.x,
            points.weights,
            *starts,
            np.zeros(shape),
            np.zeros((n_runs, 4, n_components, n_features)),
            np.zeros((n_runs, most_iterations)),
            np.zeros((n_runs, 3), np.int64),
            np.full(n_runs, np.inf),
        )

    def _of_run(self, number):
        return self._kind(self._points.origin, *(values[number] for values in self._parameters[1:]))

    def go_on(self, n_iter, visible=None):
        """Make further iterations of every run that hasn't ended, up to `n_iter` in all.

        visible: in place of that of the rules.
        """
        if not (self.runs.status[:, END] == GOES_ON).any():
            return
        n_runs, rules = len(self.runs.status), self._rules
        rules = rules if visible is None else rules._replace(visible=visible)
        run(_run_em, Grid(0, 0, 0, n_runs, 0, True), self.runs, self._parameters, rules, n_iter)

    def goes_on_from(self, number, inputs):
        """Whether a run can go on from these kernel inputs in place of its own parameters; then it does."""
        if type(inputs) is not self._kind:
            return False
        for values, given in zip(self._parameters[1:], inputs.about(self._points.origin)[1:], strict=True):
            values[number] = given
        return True

    def bounds(self, number):
        """The mean log-likelihoods of a run's mixtures, nats, in order."""
        return self.runs.bounds[number, : self.runs.status[number, N_ITER]]

    def sums(self, number, n_iter):
        """(inputs, centres, `Sums`) of one of a run's last two iterations; 0: of the clusters that it started from."""
        index = _START if n_iter == 0 else (n_iter - 1) % 3
        totals = np.zeros((2, N_TOTALS))
        totals[0, :2] = (
            self.runs.bounds[number, n_iter - 1] * self._points.weight if n_iter else 0.0,
            self._points.weight,
        )
        moments = self.runs.moments[number, index]
        centres = self._points.origin + self.runs.centres[number, index]
        return self._of_run(number), centres, Sums(moments[None], totals)  # without errors
