"""The passes over the points: accumulate sufficient statistics, or evaluate a fitted mixture.

Three levels: the kernel `_pass_over_chunk` runs over the blocks of one chunk, `run` runs the chunks in parallel, and
`Pass` and the functions after it are the Python interface.
"""

import math
from typing import NamedTuple

import numpy as np

from . import leading
from .assignments import HARD, SOFT, share_out
from .blocks import (
    add_block_moments,
    allow,
    block_coordinates,
    block_log_densities,
    exclude_other_components,
    fill_row,
    find_largest,
    normalise,
    prefer_noise,
    set_weights,
    sum_of_row,
    take_out_noise,
    work_rows,
)
from .compiler.calls import arguments
from .compiler.jit import chunk_kernel, part_of_kernel, run
from .cuts import MAX_CHUNKS, calls, chunk_bounds, cut, most_chunks
from .leading_pass import leading_pass_over_chunk
from .ordering import (
    BLOCK,
    BY_CELL,
    MOST_COMPONENTS,
    MOST_FEATURES_IN_TREE,
    all_components,
    block_length,
    note_cells,
    sort_window,
    take_rows,
)
from .points import load_block, number_rows, points, scratch, whole_groups
from .pruning import active_components, expected_share, is_worth_trying, no_pruning, pays, pruning, pruning_scratch
from .sums import LEAVES, LOOKED_AT, N_TOTALS, ROW, Sums, add_leaf, add_totals, add_up
from .transposing import AHEAD

# Pruning margins, nats: a component may be skipped if its log-density is lower than the largest by more than this.
# Statistics (log K is added): all responsibilities skipped at a point sum to less than the rounding of their total.
_NEGLIGIBLE = 37.0
# Log-likelihoods: only what exp flushes to 0 is skipped, so that a point's value doesn't depend on its block.
_FLUSHED = {np.dtype(np.float64): 700.0, np.dtype(np.float32): 80.0}


class PointAnnotations(NamedTuple):
    """What is known about the points besides X; an array is empty if nothing is."""

    weights: np.ndarray  # (n,) float64, a point's multiplicity
    labels: np.ndarray  # (n,) int64, the component a point is known to be from, -1 where unknown, -2 for noise
    responsibilities: np.ndarray  # (n, K) float64, noise is a column more; see `e_step`
    e_step: bool  # responsibilities multiply the densities; False: they or the labels are used, without the parameters
    assignment: int  # SOFT; HARD: each point to its most probable component; STOCHASTIC: to one drawn at random
    seed: np.uint64  # of the draws

    def part(self, start, stop):
        """The annotations of the points from start to stop."""
        return PointAnnotations(
            self.weights[start:stop], self.labels[start:stop], self.responsibilities[start:stop], *self[3:]
        )


NO_POINT_ANNOTATIONS = PointAnnotations(np.empty(0), np.empty(0, np.int64), np.empty((0, 0)), True, SOFT, np.uint64(0))


def in_single(parameters):
    """The same kernel inputs in float32, so that passes compute in float32. The origin stays float64."""
    return type(parameters)(parameters.origin, *(value.astype(np.float32) for value in parameters[1:]))


# -- a block ----------------------------------------------------------------------------------------------------------

# The E-step stands in `_pass_over_chunk` itself: as a function it made passes that prune, whose blocks are small, take
# 1.4 times as long. Arrays are handed to functions one by one, since each use out of a tuple is counted.


# -- sinks ------------------------------------------------------------------------------------------------------------

STATISTICS, TOTALS, LOG_LIKELIHOODS, RESPONSIBILITIES, LABELS = range(5)


class Sink(NamedTuple):
    """What a pass is for, and where its results go. All passes share this one type, so that one kernel is compiled."""

    what: int
    centres: np.ndarray  # (K, D) the centres of the moments, relative to the origin
    moments: np.ndarray  # (n_chunks, 2, ...) sums and their errors, as the parameters' `zero_moments`
    out: np.ndarray  # (n, 1) log-likelihoods or (n, K) responsibilities
    labels: np.ndarray  # (n,) int64


@part_of_kernel
def write_log_likelihoods(rows, count, log_likelihoods, out):
    for b in range(count):
        out[rows[b], 0] = log_likelihoods[0, b]


@part_of_kernel
def write_responsibilities(rows, count, components, n_active, responsibilities, factor, log_likelihoods, out):
    for b in range(count):
        for a in range(n_active):
            out[rows[b], components[a]] = responsibilities[a, b] * factor[0, b]
        if log_likelihoods[0, b] == -np.inf:  # every density is 0: component 0, as `labels` says
            out[rows[b], 0] = 1.0


@part_of_kernel
def write_labels(rows, count, best, n_components, labels):
    for b in range(count):
        label = np.int64(best[0, b])
        labels[rows[b]] = label if label < n_components else -1  # noise


# -- a chunk ----------------------------------------------------------------------------------------------------------

# With a noise component `log_scale` has one entry more than there are components: the log of its weight and density,
# which is the same everywhere. Its responsibilities are the row after those of the active components.


@chunk_kernel
def _pass_over_chunk(chunk, context):
    """Visit one chunk's blocks: E-step, then into the sink. Log-likelihood and weight are added to totals[chunk].

    cells: IN OUT the labels of `NearestComponents`, or empty.
    """
    grid, points, parameters, pruning, annotations, cells, totals, sink = arguments(context)
    what, centres, moments, out, labels = sink
    n_components, block = centres.shape[0], grid.block
    n_noise = parameters.log_scale.size - n_components
    x = scratch(points.n_features, block, centres)
    work = scratch(work_rows(parameters), block, centres)
    responsibilities = scratch(n_components + n_noise, block, centres)
    weights = scratch(np.int64(1), block, centres)
    factor = scratch(np.int64(1), block, centres)
    log_likelihoods = scratch(np.int64(1), block, centres)
    rows = np.empty(block + AHEAD, np.int64)
    components = all_components(n_components + n_noise)
    n_active = n_components
    prune = pruning.order > 0
    order, keys, starts, box, upper = pruning_scratch(pruning, grid.window, n_components, points.n_features, centres)
    first_leaf, last_leaf = chunk_bounds(grid, points.n_samples, chunk)
    accumulates = what == STATISTICS
    sums = moments[chunk, 0] if accumulates else np.zeros((0, 0))  # the first leaf is summed in place
    apart = False
    for leaf in range(first_leaf, last_leaf):
        if accumulates and not apart and totals[chunk, LEAVES] > 0:
            sums, apart = np.zeros(moments.shape[2:]), True
        stop = min((leaf + 1) * grid.leaf, points.n_samples)
        log_likelihood = weight = noise = 0.0
        for first in range(leaf * grid.leaf, stop, grid.window):
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
                set_weights(annotations, rows, count, n_points, weights)
                weight += sum_of_row(weights, n_points) if annotations.weights.size else count
                if annotations.e_step:  # log-densities of the components that may matter
                    coordinates = block_coordinates(parameters, x, n_points, work)
                    if prune:
                        n_active = active_components(
                            parameters, pruning, coordinates, n_points, box, upper, components[:n_components]
                        )
                    active = components[:n_active]
                    block_log_densities(parameters, active, coordinates, n_points, work, responsibilities)
                    if n_noise:
                        fill_row(responsibilities, n_active, n_points, parameters.log_scale[n_components])
                    if annotations.labels.size:
                        exclude_other_components(annotations.labels, rows, count, responsibilities)
                    if annotations.responsibilities.size:
                        allow(annotations.responsibilities, rows, count, responsibilities)
                    if annotations.assignment == HARD or cells.size or what == LABELS:
                        find_largest(responsibilities, active, n_points, factor, log_likelihoods)
                    if cells.size:
                        note_cells(parameters, rows, count, factor, log_likelihoods, cells)
                    if n_noise and (annotations.assignment == HARD or what == LABELS):
                        prefer_noise(responsibilities, n_active, n_components, n_points, factor, log_likelihoods)
                if n_noise:
                    components[n_active] = n_components
                if what == LABELS:
                    write_labels(rows, count, factor, n_components, labels)
                    continue
                log_likelihood += share_out(
                    annotations, grid, rows, count, n_points, components, n_active + n_noise, weights, responsibilities,
                    factor, log_likelihoods,
                )  # fmt: skip
                if accumulates:
                    totals[chunk, LOOKED_AT] += count * n_active
                    if n_noise:
                        noise += take_out_noise(responsibilities, n_active, n_points, factor, weights)
                    add_block_moments(
                        parameters, components[:n_active], x, n_points, responsibilities, factor, weights, centres,
                        work, sums,
                    )  # fmt: skip
                elif what == LOG_LIKELIHOODS:
                    write_log_likelihoods(rows, count, log_likelihoods, out)
                elif what == RESPONSIBILITIES:
                    write_responsibilities(
                        rows, count, components, n_active, responsibilities, factor, log_likelihoods, out
                    )
        if apart:
            add_leaf(sums, moments[chunk, 0], moments[chunk, 1])
        add_totals(totals[chunk], log_likelihood, weight, noise)
        totals[chunk, LEAVES] += 1


@chunk_kernel
def _evaluate_chunk(chunk, context):
    """`_pass_over_chunk` of every component into a sink for points: to the same bits, but compiled in less time."""
    grid, points, parameters, sink = arguments(context)
    what, centres, _, out, labels = sink
    n_components, block = centres.shape[0], grid.block
    n_noise = parameters.log_scale.size - n_components
    x = scratch(points.n_features, block, centres)
    work = scratch(work_rows(parameters), block, centres)
    responsibilities = scratch(n_components + n_noise, block, centres)
    weights = scratch(np.int64(1), block, centres)
    factor = scratch(np.int64(1), block, centres)
    log_likelihoods = scratch(np.int64(1), block, centres)
    rows = np.empty(block + AHEAD, np.int64)
    components = all_components(n_components)
    for b in range(block):
        weights[0, b] = 1.0
    first_leaf, last_leaf = chunk_bounds(grid, points.n_samples, chunk)
    stop = min(last_leaf * grid.leaf, points.n_samples)
    for first in range(first_leaf * grid.leaf, stop, block):
        count = min(block, stop - first)
        n_points = whole_groups(count)
        number_rows(first, count, n_points, rows)
        load_block(points, rows, n_points, parameters.origin, x)
        coordinates = block_coordinates(parameters, x, n_points, work)
        block_log_densities(parameters, components, coordinates, n_points, work, responsibilities)
        if n_noise:
            fill_row(responsibilities, n_components, n_points, parameters.log_scale[n_components])
        if what == LABELS:
            find_largest(responsibilities, components, n_points, factor, log_likelihoods)
            if n_noise:
                prefer_noise(responsibilities, n_components, n_components, n_points, factor, log_likelihoods)
            write_labels(rows, count, factor, n_components, labels)
            continue
        normalise(responsibilities, n_components + n_noise, weights, n_points, factor, log_likelihoods)
        if what == LOG_LIKELIHOODS:
            write_log_likelihoods(rows, count, log_likelihoods, out)
        else:
            write_responsibilities(
                rows, count, components, n_components, responsibilities, factor, log_likelihoods, out
            )


_NO_CELLS = np.empty(0, np.uint16)
NO_LABELS = np.empty(0, np.int64)


def _over_chunks(kernel, grid, data, parameters, bounds, annotations, cells, totals, sink):
    try:
        run(kernel, grid, data, parameters, bounds, annotations, cells, totals, sink)
    except MemoryError:
        sums = sink.moments.shape[2:]
        itemsize = parameters.log_scale.itemsize
        shapes = [("sums", sums, 8), ("responsibilities", (len(parameters.log_scale), grid.block), itemsize)]
        sizes = [f"{name} of shape {shape} ({math.prod(shape) * size / 2**20:.1f} MiB)" for name, shape, size in shapes]
        raise MemoryError(f"Unable to allocate the arrays that each thread works with: {', '.join(sizes)}") from None


def _load(parameters, n_components):
    """The number of components with full covariances whose pass takes as long."""
    return n_components * getattr(parameters, "relative_work", 1)


# -- accumulate ---------------------------------------------------------------------------------------------------


class Pass:
    """E-step and accumulation of the sufficient statistics, over all points at once or in parts, in any order.

    Parameters
    ----------
    parameters : Triangular, Shared or AxisAligned
        Products are computed in their precision, float64 or float32; sums over more than a block are in float64.
    centres : ndarray of shape (K, D)
        The centres of the moments, relative to `parameters.origin`, in the parameters' precision.
    n_samples : int
        The number of points in all parts together.
    constrained : bool
        Labels or responsibilities will be given.
    cells : NearestComponents, default=None
        The labels that earlier passes over the same points recorded; used with many components.
    moments : bool
        False: only the totals (log-likelihood, weight) are summed.

    Attributes
    ----------
    prunes : bool
        Whether components are skipped, in this pass or, by the labels that it records, in the next.
    cells : NearestComponents or None
        None if this pass doesn't use them.
    leaf : int
        Points in a leaf. Every part begins at a multiple of it, and ends at one or at the last point.
    """

    effort = 1
    """How many times the usual work a point takes."""

    def __init__(self, parameters, centres, n_samples, *, constrained=False, cells=None, moments=True):
        n_components, n_features = centres.shape
        self._parameters, self._centres, self._n_samples = parameters, centres, n_samples
        margin = _NEGLIGIBLE + np.log(n_components)
        has_room = cells is not None and cells.labels.size > 0
        self._may_lead = has_room and leading.is_worth_trying(parameters, n_samples)
        possible = (self._may_lead or is_worth_trying(parameters)) and n_components <= MOST_COMPONENTS
        possible = possible and moments and not constrained
        self.prunes = possible and not (cells is not None and cells.resting())
        by_cell = self.prunes and cells is not None and cells.known_for(n_components)
        if self.prunes and not by_cell and not self._is_expected_to_pay(margin):
            self.prunes = False
            if cells is not None:
                cells.rest()
        self.cells = cells if self.prunes else None
        self._leads = self._may_lead and by_cell
        if self._leads:
            order, self._bounds = BY_CELL, leading.prepare(parameters, margin)
        else:
            self._bounds = pruning(parameters, margin, by_cell) if self.prunes else no_pruning(parameters)
            order = self._bounds.order
        self._load = self.effort * _load(parameters, n_components)
        self._grid = cut(n_samples, n_features, self._load, centres.itemsize, order)
        self.leaf = self._grid.leaf
        self._make_room(moments)

    def _is_expected_to_pay(self, margin):
        if self._may_lead:
            return leading.pays(leading.expected_share(self._parameters, margin))
        return pays(self._parameters, expected_share(self._parameters, margin))

    def _make_room(self, moments):
        self._has_moments = moments
        shape = self._parameters.zero_moments(0).shape[1:]
        self._most_chunks = most_chunks(16 * int(np.prod(shape)))
        self._n_chunks = 0
        n_slots = min(self._most_chunks, -(-self._n_samples // self.leaf))
        self._moments = np.zeros((n_slots if moments else 1, 2, *shape))
        self._totals = np.zeros((n_slots, ROW))

    def add(self, X, annotations=NO_POINT_ANNOTATIONS, first=0):
        """Add the statistics of some points.

        Parameters
        ----------
        X : ndarray of shape (n, D), of a dtype in `READ_IN_PLACE`, any layout
            Finite values.
        annotations : PointAnnotations
            Weights, labels, responsibilities, assignment.
        first : int
            Index of the first of these points among all points.
        """
        kernel = leading_pass_over_chunk if self._leads else _pass_over_chunk
        what, nothing = STATISTICS if self._has_moments else TOTALS, np.empty((0, 0), self._centres.dtype)
        sink = Sink(what, self._centres, self._moments, nothing, NO_LABELS)
        for start, stop, grid, data in calls(self._grid, points(X), self._load, self._most_chunks, first):
            self._n_chunks = max(self._n_chunks, grid.n_chunks)
            cells = _NO_CELLS if self.cells is None else self.cells.labels_of(first + start, first + stop)
            part = annotations.part(start, stop)
            _over_chunks(kernel, grid, data, self._parameters, self._bounds, part, cells, self._totals, sink)

    @property
    def log_likelihood(self):
        """Weighted sum over the points, nats."""
        return math.fsum(self._totals[: self._n_chunks, :2].ravel().tolist())

    @property
    def is_finite(self):
        """Whether no point's log-likelihood was infinite or NaN."""
        return math.isfinite(self.log_likelihood)

    def no_sums(self):
        """Zero `Sums`, as of no points."""
        return Sums(np.zeros(self._moments.shape[1:]), np.zeros((2, N_TOTALS)))

    def sums(self):
        """`Sums` of all points added so far; resets the pass to no points."""
        result = self.no_sums()
        self.add_to(result, 1.0)
        self.finish(result)
        return result

    def finish(self, sums):
        """Record in the cells, if used, whether it paid to skip pairs (point, component)."""
        if self.cells is None:
            return
        n_pairs, looked_at = self._n_samples * len(self._centres), sums.totals[0, LOOKED_AT // 2]
        if self._leads:
            has_paid = leading.pays(leading.share_of_work(looked_at, n_pairs, self._centres.shape[1]))
        else:
            has_paid = pays(self._parameters, looked_at / n_pairs)
        self.cells.finish(len(self._centres), has_paid)

    def add_to(self, sums, factor):
        """Add factor times the sums of all points added so far to `sums`; resets the pass to no points."""
        n_chunks = max(1, self._n_chunks)
        moments = self._moments[: n_chunks if self._has_moments else 0]
        grid = self._grid._replace(n_chunks=1, serial=True)
        run(add_up, grid, factor, moments, self._totals[:n_chunks], *sums)


# -- evaluate -----------------------------------------------------------------------------------------------------


def _evaluate(X, parameters, what, out, labels):
    n_components, n_features = parameters.means.shape
    pruned = None
    if what != RESPONSIBILITIES:  # that output has a column for each component
        margin = 1.0 if what == LABELS else _FLUSHED[parameters.bias.dtype]
        possible = len(X) >= BLOCK and n_features <= MOST_FEATURES_IN_TREE and is_worth_trying(parameters)
        if possible and pays(parameters, expected_share(parameters, margin)):
            pruned = pruning(parameters, margin)
    order = 0 if pruned is None else pruned.order
    load = _load(parameters, n_components)
    grid = cut(len(X), n_features, load, parameters.means.itemsize, order)
    moments, totals = np.zeros((1, 2, 0, 0)), np.zeros((MAX_CHUNKS if pruned else 1, ROW))
    for start, stop, call, data in calls(grid, points(X), load, MAX_CHUNKS):
        sink = Sink(what, parameters.means, moments, out[start:stop], labels[start:stop])
        if pruned is None:
            run(_evaluate_chunk, call, data, parameters, sink)
        else:
            nothing = NO_POINT_ANNOTATIONS, _NO_CELLS
            _over_chunks(_pass_over_chunk, call, data, parameters, pruned, *nothing, totals, sink)


def log_likelihoods(X, parameters, out):
    """out[i] = log-density of the mixture at X[i], nats.  out: OUT (n,) float64 or float32."""
    _evaluate(X, parameters, LOG_LIKELIHOODS, out.reshape(-1, 1), NO_LABELS)


def responsibilities(X, parameters, out):
    """out[i, k] = probability that point i is from component k.  out: OUT (n, K) float64 or float32."""
    _evaluate(X, parameters, RESPONSIBILITIES, out, NO_LABELS)


def labels(X, parameters, out):
    """out[i] = component with the largest responsibility at X[i]; needs no exp.  out: OUT (n,) int64."""
    _evaluate(X, parameters, LABELS, np.empty((0, 0), parameters.bias.dtype), out)
