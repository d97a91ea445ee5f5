"""Passes that visit a few candidates for each point, for mixtures of hundreds or thousands of components.

Every point lies in the cell of one component, and every cell has a list of candidates: the components that its points
are compared with. Other components count as if their density there were 0, so that the sum of the points'
log-likelihoods is a free energy, a lower bound of the exact one (see `fitting/truncated.py`).

A leaf's points are sorted by cell. So a block's points have the same candidates, and the kernels of the exact passes do
the work, for a list of components in place of all. A pass takes about as long as an exact one over so many components.
"""

import numpy as np

from .assignments import HARD
from .blocks import (
    add_block_moments,
    assign,
    block_coordinates,
    block_log_densities,
    copy_row,
    find_largest,
    normalise,
    set_weights,
    sum_of_row,
    work_rows,
)
from .compiler.calls import arguments
from .compiler.jit import chunk_kernel, run
from .cuts import Grid, calls, chunk_bounds
from .ordering import BLOCK, sort_by_key, take_rows
from .passes import NO_LABELS, NO_POINT_ANNOTATIONS, STATISTICS, TOTALS, Pass, Sink
from .points import load_block, points, scratch, whole_groups
from .sums import LEAVES, LOOKED_AT, add_leaf, add_totals
from .transposing import AHEAD

MOST_CELLS = 2**16
"""Components that 16-bit labels can number."""

_POINTS_IN_CELL = 64  # points of each cell in a leaf, about: whole blocks
_LARGEST_LEAF = 1 << 18  # points
_COMPARED = 1 << 20  # labels compared at a time
_LEAST_LEAVES, _MOST_LEAVES = 4, 64  # leaves of all the points: threads share them, and each adds up all components


class Candidates:
    """The components that each point is compared with: the cell of each point, and the list of each cell.

    A pass reads `cells` and writes `nearest`, the most probable candidate of each point. That takes 2 bytes each; with
    the cells before them, which can be put back, 6 bytes a point.

    Parameters
    ----------
    labels : sources.labels.Labels
        `n_labels` rows, of all the points.
    lists : array-like of shape (K, n_candidates)

    Attributes
    ----------
    cells, nearest : ndarray of shape (n,), uint16
    lists : ndarray of shape (K, n_candidates), int64
        Ascending numbers of components.
    """

    n_labels = 3

    def __init__(self, labels, lists):
        self._labels = labels
        self.cells, self.nearest, self._earlier_cells = labels.rows
        self.lists = self._earlier_lists = np.ascontiguousarray(lists, dtype=np.int64)

    @property
    def share_moving(self):
        """Share of the points whose most probable candidate isn't the component of their cell."""
        n_samples, n_moving = len(self.cells), 0
        for start in range(0, n_samples, _COMPARED):
            part = slice(start, start + _COMPARED)
            n_moving += np.count_nonzero(self.cells[part] != self.nearest[part])
            self.release()
        return n_moving / n_samples

    def release(self):
        """Hand the memory of labels in a file back."""
        self._labels.release()

    def move(self, lists=None):
        """Put every point in the cell of its most probable candidate, and replace the lists, if new ones are given."""
        self._earlier_lists = self.lists
        self._earlier_cells, self.cells, self.nearest = self.cells, self.nearest, self._earlier_cells
        if lists is not None:
            self.lists = np.ascontiguousarray(lists, dtype=np.int64)

    def move_back(self):
        """Undo the last `move`."""
        self.lists = self._earlier_lists
        self.cells, self.nearest, self._earlier_cells = self._earlier_cells, self.cells, self.nearest


@chunk_kernel
def _truncated_pass_over_chunk(chunk, context):
    """Visit one chunk's points, cell by cell: E-step over the cell's candidates, then moments.

    nearest: OUT each point's most probable candidate. Log-likelihood and weight are added to totals[chunk].
    """
    grid, points, parameters, lists, cells, nearest, annotations, totals, sink = arguments(context)
    what, centres, moments, _, _ = sink
    n_candidates, block = lists.shape[1], grid.block
    x = scratch(points.n_features, block, centres)
    work = scratch(work_rows(parameters), block, centres)
    responsibilities = scratch(n_candidates, block, centres)
    weights = scratch(np.int64(1), block, centres)
    factor = scratch(np.int64(1), block, centres)
    log_likelihoods = scratch(np.int64(1), block, centres)
    rows = np.empty(block + AHEAD, np.int64)
    order = np.empty(min(grid.leaf, points.n_samples), np.int64)
    starts = np.empty(lists.shape[0] + 1, np.int64)
    first_leaf, last_leaf = chunk_bounds(grid, points.n_samples, chunk)
    accumulates = what == STATISTICS
    sums = moments[chunk, 0] if accumulates else np.zeros((0, 0))  # the first leaf is summed in place
    apart = False
    for leaf in range(first_leaf, last_leaf):
        if accumulates and not apart and totals[chunk, LEAVES] > 0:
            sums, apart = np.zeros(moments.shape[2:]), True
        first = leaf * grid.leaf
        n_rows = min(grid.leaf, points.n_samples - first)
        sort_by_key(cells[first : first + n_rows], first, starts, order)
        log_likelihood = weight = 0.0
        position = cell = np.int64(0)
        while position < n_rows:
            while starts[cell + 1] <= position:
                cell += 1
            count = min(block, starts[cell + 1] - position)
            n_points = whole_groups(count)
            take_rows(order, n_rows, position, count, n_points, rows)
            position += count
            active = lists[cell]
            load_block(points, rows, n_points, parameters.origin, x)
            set_weights(annotations, rows, count, n_points, weights)
            weight += sum_of_row(weights, n_points) if annotations.weights.size else count
            coordinates = block_coordinates(parameters, x, n_points, work)
            block_log_densities(parameters, active, coordinates, n_points, work, responsibilities)
            find_largest(responsibilities, active, n_points, factor, log_likelihoods)
            for b in range(count):
                nearest[rows[b]] = np.uint16(factor[0, b])
            if annotations.assignment == HARD:
                log_likelihood += assign(responsibilities, active, weights, n_points, factor, log_likelihoods)
                copy_row(weights, factor)
            else:
                log_likelihood += normalise(responsibilities, n_candidates, weights, n_points, factor, log_likelihoods)
            if accumulates:
                add_block_moments(
                    parameters, active, x, n_points, responsibilities, factor, weights, centres, work, sums
                )
        if apart:
            add_leaf(sums, moments[chunk, 0], moments[chunk, 1])
        row = totals[chunk]
        row[LOOKED_AT] += n_rows * n_candidates
        add_totals(row, log_likelihood, weight, 0.0)
        row[LEAVES] += 1


def _leaf_length(n_samples, n_components):
    """Points in a leaf: as many as fill a block for every cell, but few enough that threads can share them."""
    leaf = max(n_components * _POINTS_IN_CELL, -(-n_samples // _MOST_LEAVES))
    leaf = min(leaf, _LARGEST_LEAF, -(-n_samples // _LEAST_LEAVES))
    return -(-leaf // BLOCK) * BLOCK


class TruncatedPass(Pass):
    """A `Pass` over the candidates of each point's cell; sums and totals are those of the truncated E-step.

    Parameters
    ----------
    parameters, centres, n_samples, moments
        As of `Pass`.
    candidates : Candidates
        Of all the points.
    """

    def __init__(self, parameters, centres, n_samples, candidates, *, moments=True):
        self._parameters, self._centres, self._n_samples = parameters, centres, n_samples
        self._candidates, self.prunes, self.cells = candidates, False, None
        self.leaf = _leaf_length(n_samples, len(centres))
        self._grid = Grid(BLOCK, self.leaf, self.leaf, 1, 0, False)
        self._make_room(moments)

    def add(self, X, annotations=NO_POINT_ANNOTATIONS, first=0):
        what, nothing = STATISTICS if self._has_moments else TOTALS, np.empty((0, 0), self._centres.dtype)
        sink = Sink(what, self._centres, self._moments, nothing, NO_LABELS)
        lists, cells, nearest = self._candidates.lists, self._candidates.cells, self._candidates.nearest
        for start, stop, grid, data in calls(self._grid, points(X), lists.shape[1], self._most_chunks, first):
            self._n_chunks = max(self._n_chunks, grid.n_chunks)
            here = slice(first + start, first + stop)
            run(
                _truncated_pass_over_chunk, grid, data, self._parameters, lists, cells[here], nearest[here],
                annotations.part(start, stop), self._totals, sink,
            )  # fmt: skip
        self._candidates.release()
