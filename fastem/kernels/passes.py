"""The passes over the points: accumulate sufficient statistics, or evaluate a fitted mixture.

Three tiers: `_pass_over_chunk` runs over one chunk's blocks, `_jit.run` runs the chunks in parallel, `accumulate` and
the functions after it are Python. The data are cut into chunks by their number alone, each chunk has accumulators of
its own and they are summed in order, so the result is the same bits for any number of threads.

Many cores: there are 128 chunks at most, as long as their accumulators stay below 40 MiB together. Those come as pages
not yet touched and each is first written by the thread that has its chunk, so it lies in that core's memory; nothing
is shared between chunks, their totals are a cache line apart, and only the sum over chunks is on one thread (under a
millisecond, below 5 ms at the limit). With two threads 128 chunks take as long as 2 (see tests/test_kernels.py for
the bits, the note in git for the times), so 64 cores get two chunks each, 48 cores lose a ninth to the last ones.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from ._jit import arguments, chunk_kernel, kernel, run
from .axis_aligned import AxisAligned, add_axis_aligned_moments, axis_aligned_log_densities
from .elementary import exp, log
from .points import load_block, number_rows, points, scratch, whole_groups
from .pruning import (
    BLOCK,
    MOST_COMPONENTS,
    active_components,
    block_length,
    is_worth_trying,
    no_pruning,
    note_cells,
    pruning,
    pruning_scratch,
    sort_window,
    window_size,
)
from .shared import Shared, add_shared_moments, whiten
from .tiles import AHEAD
from .triangular import Triangular, add_triangular_moments, triangular_log_densities
from .vectors import add, div, lanes, load, mul, select_greater, splat, store, sub, sum_of_lanes

_MAX_CHUNKS = 128
_LEAST_IN_CHUNK = 1024  # points, so that making and adding up its accumulators doesn't show
_MAX_ACCUMULATOR_BYTES = 40 << 20  # all chunks together, as long as 8 of them fit
_FLOPS_PER_CALL = 2e9  # a call into compiled code can't be interrupted: about a quarter of a second
# Responsibilities below e**-37 / K are left out of statistics, where components are many: together below the rounding
# of their sum. A log-likelihood leaves out what would be flushed to 0 anyway: a row's doesn't depend on its block.
_NEGLIGIBLE = 37.0
_FLUSHED = {np.dtype(np.float64): 700.0, np.dtype(np.float32): 80.0}
_FLOPS_WORTH_A_THREAD = 5e5  # less takes no longer than to wake a second thread, and to wait for it on a busy machine


class _Grid(NamedTuple):
    """How the points are cut: chunks, calls within each chunk, windows, and blocks of at most `block` points."""

    block: int
    window: int  # points of a chunk that are put in order at a time
    n_chunks: int
    n_calls: int
    call: int  # which of them this is
    serial: bool  # too little work for more than one thread


class Given(NamedTuple):
    """What is known of the points beside their position; an empty array where nothing is."""

    weights: np.ndarray  # (n,) float64, a point's multiplicity
    labels: np.ndarray  # (n,) int64, the component a point is known to be from, -1 where unknown
    responsibilities: np.ndarray  # (n, K) float64, taken in place of an E-step's
    e_step: bool  # False: labels or responsibilities say all, and the parameters are not looked at
    hard: bool  # a point counts for its most probable component alone


NOTHING_GIVEN = Given(np.empty(0), np.empty(0, np.int64), np.empty((0, 0)), True, False)


def in_single(parameters):
    """The same kernel inputs in float32: passes over them compute in it. The origin stays float64."""
    return type(parameters)(parameters.origin, *(value.astype(np.float32) for value in parameters[1:]))


def _block_size(n_features, itemsize):
    """Points in a block, a multiple of 64: the features about 20 KiB, to stay in the first-level cache.

    But never less than a kilobyte of each, so that the loops over points outweigh the sums at their ends.
    """
    return int(np.clip(20480 // itemsize // n_features // 64 * 64, 1024 // itemsize, 256))


def _grid(points, n_components, accumulator_bytes, itemsize, pruning):
    window = window_size(pruning, n_components)
    block = BLOCK if window else _block_size(points.n_features, itemsize)
    n_blocks = -(-points.n_samples // block)
    affordable = max(8, _MAX_ACCUMULATOR_BYTES // max(1, accumulator_bytes))
    flops = points.n_samples * n_components * (2.0 * points.n_features * (points.n_features + 1) + 60.0)
    n_calls = int(np.clip(flops / _FLOPS_PER_CALL, 1, n_blocks))
    n_chunks = max(1, min(_MAX_CHUNKS, affordable, n_blocks, max(16, points.n_samples // _LEAST_IN_CHUNK)))
    if n_chunks > 8:  # so that few threads have as many each
        n_chunks -= n_chunks % 8
    if window:  # a chunk's share of a call is a window, unless chunks are very few
        n_chunks = min(n_chunks, max(16, points.n_samples // window // 8 * 8))
        n_calls = int(np.clip(points.n_samples // (n_chunks * window), 1, n_calls))
    return _Grid(block, window or points.n_samples, n_chunks, n_calls, 0, flops < _FLOPS_WORTH_A_THREAD)


@kernel
def _chunk_bounds(grid, n_samples, chunk):
    """First and last point (exclusive) of a chunk's share in this call: whole blocks."""
    n_blocks = (n_samples + grid.block - 1) // grid.block
    start = n_blocks * chunk // grid.n_chunks
    length = n_blocks * (chunk + 1) // grid.n_chunks - start
    first = start + length * grid.call // grid.n_calls
    last = start + length * (grid.call + 1) // grid.n_calls
    return first * grid.block, min(last * grid.block, n_samples)


# -- one block, by kind of parameters -----------------------------------------------------------------------------


def _coordinates(parameters, x, n_points, work):
    """What the log-densities are computed from: x, or the whitened features, left in work."""
    raise NotImplementedError("compiled code only")


@overload(_coordinates)
def _overload_coordinates(parameters, x, n_points, work):
    if parameters.instance_class is Shared:

        def block(parameters, x, n_points, work):
            whiten(parameters.factor, x, n_points, work)
            return work

        return block
    return lambda parameters, x, n_points, work: x


def _log_densities(parameters, active, coordinates, n_points, out):
    """Log weight + log-density of the active components at every point of a block, OUT (len(active), n_points)."""
    raise NotImplementedError("compiled code only")


@overload(_log_densities)
def _overload_log_densities(parameters, active, coordinates, n_points, out):
    if parameters.instance_class is Triangular:

        def block(parameters, active, coordinates, n_points, out):
            triangular_log_densities(
                parameters.log_scale, parameters.factor, parameters.bias, active, coordinates, n_points, out
            )

    else:

        def block(parameters, active, coordinates, n_points, out):
            axis_aligned_log_densities(
                parameters.log_scale, parameters.scale, parameters.bias, active, coordinates, n_points, out
            )

    return block


def _add_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    """Add a block's statistics about `centres`, given its responsibilities up to a factor for each point."""
    raise NotImplementedError("compiled code only")


@overload(_add_moments)
def _overload_add_moments(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
    if parameters.instance_class is Triangular:

        def block(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
            add_triangular_moments(x, n_points, responsibilities, factor, active, centres, work, moments)

    elif parameters.instance_class is Shared:

        def block(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
            add_shared_moments(x, n_points, responsibilities, factor, weights, active, centres, work, moments)

    elif parameters.instance_class is AxisAligned:

        def block(parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments):
            add_axis_aligned_moments(x, n_points, responsibilities, factor, active, centres, moments)

    return block


@kernel
def _normalise(log_densities, n_components, weights, n_points, factor, log_likelihoods):
    """Turn log-densities into responsibilities, but for a factor for each point.

    log_densities: IN (n_components, n_points), OUT exp(log-density - the point's largest); weights: (1, n_points);
    factor: OUT (1, n_points), weight / sum of those; log_likelihoods: OUT (1, n_points), log-sum-exp, -inf where
    every density is 0. Returns the weighted sum of the latter, points of weight 0 left out.
    """
    zero = splat(0.0, log_densities)
    nowhere = splat(-np.inf, log_densities)
    total = zero
    for b in range(0, n_points, lanes(log_densities)):
        largest = nowhere
        for a in range(n_components):
            value = load(log_densities, a, b)
            largest = select_greater(value, largest, value, largest)
        sum_of_exp = zero
        for a in range(n_components):
            value = exp(sub(load(log_densities, a, b), largest))
            store(log_densities, a, b, value)
            sum_of_exp = add(sum_of_exp, value)
        weight = load(weights, 0, b)
        log_likelihood = select_greater(sum_of_exp, zero, add(largest, log(sum_of_exp)), nowhere)
        store(log_likelihoods, 0, b, log_likelihood)
        store(factor, 0, b, select_greater(sum_of_exp, zero, div(weight, sum_of_exp), zero))
        total = add(total, select_greater(weight, zero, mul(weight, log_likelihood), zero))
    return sum_of_lanes(total)


@kernel
def _largest(log_densities, active, n_points, best, largest):
    """The component of the largest log-density, the first of equals, and that log-density: OUT (1, n_points)."""
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
def _assign(log_densities, active, weights, n_points, best, largest):
    """Hard assignment: log_densities: OUT 1 for each point's most probable component, 0 for the others.

    best, largest: (1, n_points), as from `_largest`. Returns the weighted sum of the latter.
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
def _set_weights(given, rows, count, n_points, weights):
    """weights: OUT (1, n_points), 0 for the points that only fill the block up."""
    if given.weights.size:
        for b in range(count):
            weights[0, b] = given.weights[rows[b]]
    else:
        for b in range(count):
            weights[0, b] = 1.0
    for b in range(count, n_points):
        weights[0, b] = 0.0


@kernel
def _exclude_other_components(labels, rows, count, log_densities):
    """A point known to be from one component has density 0 in every other."""
    for b in range(count):
        label = labels[rows[b]]
        if label >= 0:
            for k in range(log_densities.shape[0]):
                if k != label:
                    log_densities[k, b] = -np.inf


@kernel
def _copy_row(source, target):
    for b in range(target.shape[1]):
        target[0, b] = source[0, b]


@kernel
def _copy_responsibilities(given, rows, count, weights, factor, responsibilities):
    """Take responsibilities (K, ..) from what is given, and multiply each point's weight by their sum."""
    _copy_row(weights, factor)
    for b in range(count):
        total = 0.0
        for k in range(responsibilities.shape[0]):
            if given.labels.size:
                r = 1.0 if given.labels[rows[b]] == k else 0.0
            else:
                r = given.responsibilities[rows[b], k]
            responsibilities[k, b] = r
            total += r
        weights[0, b] *= total


@kernel
def _take_rows(order, window, position, count, n_points, rows):
    """`number_rows` of a window whose rows are taken in an order of their own."""
    for b in range(n_points):
        rows[b] = order[position + min(b, count - 1)]
    for b in range(n_points, n_points + AHEAD):
        rows[b] = order[min(position + b, window - 1)]


@kernel
def _all_components(n_components):
    components = np.empty(n_components, np.int64)
    for k in range(n_components):
        components[k] = k
    return components


# -- a chunk ------------------------------------------------------------------------------------------------------

_STATISTICS, _LOG_LIKELIHOODS, _RESPONSIBILITIES, _LABELS = range(4)


@kernel
def _write(what, responsibilities, active, factor, log_likelihoods, rows, count, out):
    """A block's log-likelihoods or responsibilities to the rows of out that they belong to."""
    for b in range(count):
        if what == _LOG_LIKELIHOODS:
            out[rows[b], 0] = log_likelihoods[0, b]
            continue
        for a in range(active.size):
            out[rows[b], active[a]] = responsibilities[a, b] * factor[0, b]
        if log_likelihoods[0, b] == -np.inf:  # farther than any density reaches: to the one that `labels` names
            out[rows[b], 0] = 1.0


@chunk_kernel
def _pass_over_chunk(chunk, context):
    """Whatever a pass is for, over one chunk.

    Statistics: add those of the chunk's points to moments[chunk], their log-likelihood to totals[chunk, 0] and the
    number of pairs of point and component that were looked at to totals[chunk, 1]; cells: IN OUT as in `Cells`, or
    empty. Else: each point's log-likelihood or responsibilities to out, its label to labels.
    """
    grid, points, parameters, pruning, given, what, centres, cells, moments, totals, out, labels = arguments(context)
    n_components = centres.shape[0]
    block = grid.block
    x = scratch(points.n_features, block, centres)
    work = scratch(points.n_features + 1, block, centres)
    responsibilities = scratch(n_components, block, centres)
    weights = scratch(np.int64(1), block, centres)
    factor = scratch(np.int64(1), block, centres)
    log_likelihoods = scratch(np.int64(1), block, centres)
    rows = np.empty(block + AHEAD, np.int64)
    components = _all_components(n_components)
    n_active = n_components
    prune = pruning.order > 0
    order, keys, starts, box, upper = pruning_scratch(pruning, grid.window, n_components, points.n_features, centres)
    start, stop = _chunk_bounds(grid, points.n_samples, chunk)
    for first in range(start, stop, grid.window):
        window = min(grid.window, stop - first)
        if prune:
            sort_window(points, pruning, cells, first, window, parameters.origin, rows, x, keys, starts, order)
        position = cell = np.int64(0)
        while position < window:
            if prune:
                count, cell = block_length(pruning, position, window, starts, cell)
                n_points = whole_groups(count)
                _take_rows(order, window, position, count, n_points, rows)
            else:
                count = min(block, window - position)
                n_points = whole_groups(count)
                number_rows(first + position, count, n_points, rows)
            position += count
            load_block(points, rows, n_points, parameters.origin, x)
            _set_weights(given, rows, count, n_points, weights)
            if given.e_step:
                coordinates = _coordinates(parameters, x, n_points, work)
                if prune:
                    n_active = active_components(parameters, pruning, coordinates, n_points, box, upper, components)
                _log_densities(parameters, components[:n_active], coordinates, n_points, responsibilities)
                if given.labels.size:
                    _exclude_other_components(given.labels, rows, count, responsibilities)
                if given.hard or cells.size or what == _LABELS:
                    _largest(responsibilities, components[:n_active], n_points, factor, log_likelihoods)
                if cells.size:
                    note_cells(parameters, rows, count, factor, log_likelihoods, cells)
            active = components[:n_active]
            if what == _LABELS:
                for b in range(count):
                    labels[rows[b]] = np.int64(factor[0, b])
                continue
            if not given.e_step:
                _copy_responsibilities(given, rows, count, weights, factor, responsibilities)
            elif given.hard:
                totals[chunk, 0] += _assign(responsibilities, active, weights, n_points, factor, log_likelihoods)
                _copy_row(weights, factor)
            else:
                totals[chunk, 0] += _normalise(responsibilities, n_active, weights, n_points, factor, log_likelihoods)
            if what == _STATISTICS:
                totals[chunk, 1] += count * n_active
                _add_moments(
                    parameters, active, x, n_points, responsibilities, factor, weights, centres, work, moments[chunk]
                )
            else:
                _write(what, responsibilities, active, factor, log_likelihoods, rows, count, out)


def _run(X, parameters, pruned, given, what, centres, cells, out, labels):
    """Run a pass: (accumulated moments of each chunk, totals of each chunk)."""
    data = points(X)
    accumulator_bytes = parameters.zero_moments(0).strides[0] if what == _STATISTICS else 0
    grid = _grid(data, len(centres), accumulator_bytes, centres.itemsize, pruned)
    moments = parameters.zero_moments(grid.n_chunks if what == _STATISTICS else 0)
    totals = np.zeros((grid.n_chunks, 8))  # a cache line each
    for call in range(grid.n_calls):
        grid = grid._replace(call=call)
        arrays = centres, cells, moments, totals, out, labels
        run(_pass_over_chunk, grid, data, parameters, pruned, given, what, *arrays)
    return moments, totals


_NO_CELLS = np.empty(0, np.uint16)
_NO_LABELS = np.empty(0, np.int64)


# -- accumulate ---------------------------------------------------------------------------------------------------


def accumulate(X, parameters, centres, given=NOTHING_GIVEN, cells=None):
    """One pass: E-step and accumulation of the sufficient statistics.

    Parameters
    ----------
    X : ndarray of shape (n, D), of a dtype in `READ_IN_PLACE`, any layout
        Finite values.
    parameters : Triangular, Shared or AxisAligned
        Their precision is that of the products; all sums over more than a block are in float64.
    centres : ndarray of shape (K, D)
        What first and second moments are taken about, relative to `parameters.origin`, in the parameters' precision.
    given : Given
        Weights, labels, responsibilities.
    cells : Cells, default=None
        What earlier passes over the same points left, where components are many.

    Returns
    -------
    mass : ndarray of shape (K,)
        Sum of weight times responsibility.
    first : ndarray of shape (K, D)
        Sum of weight times responsibility times (x - centre).
    second : ndarray
        The same of the outer products, (K, D, D); their diagonals, (K, D), for axis-aligned parameters; for
        shared ones the scatter of all points about the origin, (D, D).
    log_likelihood : float
        Weighted sum over the points, nats; 0 without an E-step.
    """
    n_components = len(centres)
    possible = is_worth_trying(parameters) and n_components <= MOST_COMPONENTS
    if not possible or not given.e_step or given.labels.size or (cells is not None and cells.resting()):
        cells = None
        pruned = no_pruning(parameters)
    else:
        by_cell = cells is not None and cells.known_for(n_components)
        pruned = pruning(parameters, _NEGLIGIBLE + np.log(n_components), by_cell)
    nothing = np.empty((0, 0), centres.dtype)
    labels = _NO_CELLS if cells is None else cells.labels
    moments, totals = _run(X, parameters, pruned, given, _STATISTICS, centres, labels, nothing, _NO_LABELS)
    log_likelihood, n_pairs = totals.sum(axis=0)[:2]
    if cells is not None:
        cells.finish(n_components, n_pairs / (len(X) * n_components))
    return *parameters.split_moments(moments.sum(axis=0)), float(log_likelihood)


# -- evaluate -----------------------------------------------------------------------------------------------------


def _evaluate(X, parameters, what, out, labels):
    if what == _RESPONSIBILITIES:  # all are asked for
        pruned = no_pruning(parameters)
    else:
        pruned = pruning(parameters, 1.0 if what == _LABELS else _FLUSHED[parameters.bias.dtype])
    _run(X, parameters, pruned, NOTHING_GIVEN, what, parameters.means, _NO_CELLS, out, labels)


def log_likelihoods(X, parameters, out):
    """out[i] = log of the mixture's density at X[i], nats.  out: OUT (n,) float64 or float32."""
    _evaluate(X, parameters, _LOG_LIKELIHOODS, out.reshape(-1, 1), _NO_LABELS)


def responsibilities(X, parameters, out):
    """out[i, k] = probability that point i is from component k.  out: OUT (n, K) float64 or float32."""
    _evaluate(X, parameters, _RESPONSIBILITIES, out, _NO_LABELS)


def labels(X, parameters, out):
    """out[i] = component of the highest responsibility, without computing any exp.  out: OUT (n,) int64."""
    _evaluate(X, parameters, _LABELS, np.empty((0, 0), parameters.bias.dtype), out)
