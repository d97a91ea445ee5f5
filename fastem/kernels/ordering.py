"""The order that points are read in where components are many: near ones together, window by window within a chunk.

They are ordered by the component that each was most probable from in the last pass (`NearestComponents`), or, in few
dimensions, by the leaves of a k-d tree over the means. No point is moved, only read in another order. That takes 16
bytes for each point of a window.
"""

import copy

import numpy as np

from .compiler.jit import kernel
from .points import load_block, number_rows, whole_groups
from .tiles import AHEAD

MOST_COMPONENTS = 2**15  # that `NearestComponents` can tell apart
MOST_FEATURES_IN_TREE = 4  # beyond, its planes cut every component to pieces
_MOST_CELL_BYTES = 32 << 20

BLOCK = 64
_POINTS_PER_COMPONENT = 64  # in a window
_LARGEST_WINDOW = 1 << 18

NO_ORDER, BY_TREE, BY_CELL = range(3)


def window_size(order, n_components):
    """How many points are put in order at a time; 0 for no order."""
    return min(n_components * _POINTS_PER_COMPONENT, _LARGEST_WINDOW) if order else 0


class NearestComponents:
    """What a pass over points leaves to the next: the component each is most probable from, 2 bytes a point.

    The lowest bit tells points that are far from it even so: one of them among others would make a block's bounds as
    wide as its distance. Nothing is kept where that would be more than 32 MiB (16 million points), and for some passes
    after one in which the bounds left too few components out to pay.
    """

    _PAUSE = 16  # passes
    _PAYS = 0.6  # share of the pairs of point and component that may remain

    def __init__(self, n_samples):
        self.labels = np.zeros(n_samples if 2 * n_samples <= _MOST_CELL_BYTES else 0, np.uint16)
        self._n_components = 0  # of the pass that left the labels
        self._pause = 0
        self._first = 0  # the number of the first point

    def of_rows(self, start, stop):
        """Those of the points from start to stop, for a pass over them elsewhere; their labels are a copy."""
        part = copy.copy(self)
        part.labels, part._first, part._pause = self.labels[start:stop].copy(), start, 0
        return part

    def labels_of(self, start, stop):
        """A view of the labels of the points from start to stop; empty where none are kept."""
        return self.labels[start - self._first : stop - self._first]

    def known_for(self, n_components):
        """Whether the labels are of a pass with as many components."""
        return self.labels.size > 0 and self._n_components == n_components

    def resting(self):
        """Whether this pass is one of those that don't try."""
        self._pause = max(0, self._pause - 1)
        return self._pause > 0

    def finish(self, n_components, share):
        """Note a pass: how many components it had, and which share of pairs was not left out."""
        if self.known_for(n_components) and share > self._PAYS:
            self._pause = self._PAUSE
            self._n_components = 0
        else:
            self._n_components = n_components


@kernel
def note_cells(parameters, rows, count, best, largest, cells):
    """cells: OUT 2 * component + whether it is far, for the rows of a block; best, largest: (1, count)."""
    half = parameters.bias.shape[1] / 2
    far = half + 5 * np.sqrt(half)  # five deviations beyond the mean of half a chi-squared
    for b in range(count):
        component = np.int64(best[0, b])
        distance = parameters.log_scale[component] - largest[0, b]
        cells[rows[b]] = np.uint16(2 * component + (1 if distance > far else 0))


# -- the tree -------------------------------------------------------------------------------------------------------


def make_tree(means, widths):
    """A balanced k-d tree over the means: each node halves its means across the feature they are most apart in.

    widths: (D,) the inverse of a usual deviation, to compare features by. Returns (features, thresholds), the root
    first, then each level in order.
    """
    n_levels = int(np.log2(len(means)))
    n_leaves = 2**n_levels
    members = np.arange(n_leaves * -(-len(means) // n_leaves)) % len(means)
    features, thresholds = [], []
    for level in range(n_levels):
        members = members.reshape(2**level, -1)
        positions = means[members]
        feature = (np.ptp(positions, axis=1) * widths).argmax(axis=1)
        split = np.take_along_axis(positions, feature[:, None, None], axis=2)[:, :, 0]
        order = np.argsort(split, axis=1, kind="stable")
        members = np.take_along_axis(members, order, axis=1)
        split = np.take_along_axis(split, order, axis=1)
        half = split.shape[1] // 2
        features.append(feature)
        thresholds.append((split[:, half - 1] + split[:, half]) / 2)
    return np.concatenate(features), np.concatenate(thresholds)


@kernel
def _leaf(features, thresholds, x, b):
    """The leaf that point b of a block is in, counted from 0."""
    node = 0
    while node < features.size:
        node = 2 * node + 1 + (1 if x[features[node], b] > thresholds[node] else 0)
    return node - features.size


# -- windows and their blocks ---------------------------------------------------------------------------------------


@kernel
def sort_window(points, pruning, cells, first, count, origin, rows, x, keys, starts, order):
    """order: OUT (count,) the rows first.. by leaf or cell; starts: OUT (2 K + 1,) where in it each of them begins.

    rows, x: a block's scratch; keys: scratch (count,).
    """
    for start in range(0, count, BLOCK):
        here = min(BLOCK, count - start)
        if pruning.order == BY_CELL:
            for p in range(start, start + here):
                keys[p] = cells[first + p]
        else:
            n_points = whole_groups(here)
            number_rows(first + start, here, n_points, rows)
            load_block(points, rows, n_points, origin, x)
            for b in range(here):
                keys[start + b] = _leaf(pruning.features, pruning.thresholds, x, b)
    starts[:] = 0
    for p in range(count):
        starts[keys[p] + 1] += 1
    for key in range(1, starts.size):
        starts[key] += starts[key - 1]
    for p in range(count):  # fills each cell from its start, which moves to the next one's
        order[starts[keys[p]]] = first + p
        starts[keys[p]] += 1
    for key in range(starts.size - 1, 0, -1):
        starts[key] = starts[key - 1]
    starts[0] = 0


@kernel
def block_length(pruning, position, count, starts, cell):
    """(points in the block at a position of a window, the cell to look for the next one's end from).

    A block ends with its cell, neighbours by number being far apart; leaves that are neighbours are near each other, so
    that one ends with a leaf where that leaves it at least half full.
    """
    end = min(position + BLOCK, count)
    if pruning.order == BY_CELL:
        while starts[cell + 1] <= position:
            cell += 1
        return min(end, starts[cell + 1]) - position, cell
    while cell + 1 < starts.size and starts[cell + 1] <= end:
        cell += 1
    if end < count and starts[cell] - position >= BLOCK // 2:
        end = starts[cell]
    return end - position, cell


@kernel
def take_rows(order, window, position, count, n_points, rows):
    """`number_rows` of a window whose rows are taken in an order of their own."""
    for b in range(n_points):
        rows[b] = order[position + min(b, count - 1)]
    for b in range(n_points, n_points + AHEAD):
        rows[b] = order[min(position + b, window - 1)]
