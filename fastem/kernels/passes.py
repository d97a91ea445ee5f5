"""The passes over the points: accumulate sufficient statistics, or evaluate a fitted mixture.

Three tiers: `_pass_over_chunk` runs over one chunk's blocks, `_jit.run` runs the chunks in parallel, `accumulate` and
the functions after it are Python. The data are cut into chunks by their number alone, each chunk has accumulators of
its own and they are summed in order, so the result is the same bits for any number of threads.

Many cores: there are 128 chunks at most, as long as their accumulators stay below 40 MiB together. Those come as pages
not yet touched and each is first written by the thread that has its chunk, so it lies in that core's memory; nothing
is shared between chunks, their totals are a cache line apart, and only the sum over chunks is on one thread. On two
threads 2, 16, 64, 128 and 256 chunks took the same time within the noise (4 to 8 %); 64 cores get two chunks each, 48
cores lose a ninth to the last ones.
"""

from typing import NamedTuple

import numpy as np

from ._jit import arguments, chunk_kernel, kernel, run
from .blocks import (
    add_block_moments,
    assign,
    block_coordinates,
    block_log_densities,
    copy_responsibilities,
    copy_row,
    exclude_other_components,
    find_largest,
    normalise,
    set_weights,
)
from .ordering import BLOCK, MOST_COMPONENTS, block_length, note_cells, sort_window, take_rows, window_size
from .points import load_block, number_rows, points, scratch, whole_groups
from .pruning import active_components, is_worth_trying, no_pruning, pruning, pruning_scratch
from .tiles import AHEAD

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
    window = window_size(pruning.order, n_components)
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
                take_rows(order, window, position, count, n_points, rows)
            else:
                count = min(block, window - position)
                n_points = whole_groups(count)
                number_rows(first + position, count, n_points, rows)
            position += count
            load_block(points, rows, n_points, parameters.origin, x)
            set_weights(given, rows, count, n_points, weights)
            if given.e_step:
                coordinates = block_coordinates(parameters, x, n_points, work)
                if prune:
                    n_active = active_components(parameters, pruning, coordinates, n_points, box, upper, components)
                block_log_densities(parameters, components[:n_active], coordinates, n_points, responsibilities)
                if given.labels.size:
                    exclude_other_components(given.labels, rows, count, responsibilities)
                if given.hard or cells.size or what == _LABELS:
                    find_largest(responsibilities, components[:n_active], n_points, factor, log_likelihoods)
                if cells.size:
                    note_cells(parameters, rows, count, factor, log_likelihoods, cells)
            active = components[:n_active]
            if what == _LABELS:
                for b in range(count):
                    labels[rows[b]] = np.int64(factor[0, b])
                continue
            if not given.e_step:
                copy_responsibilities(given, rows, count, weights, factor, responsibilities)
            elif given.hard:
                totals[chunk, 0] += assign(responsibilities, active, weights, n_points, factor, log_likelihoods)
                copy_row(weights, factor)
            else:
                totals[chunk, 0] += normalise(responsibilities, n_active, weights, n_points, factor, log_likelihoods)
            if what == _STATISTICS:
                totals[chunk, 1] += count * n_active
                add_block_moments(
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
