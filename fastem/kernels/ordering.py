"""With many components, the order in which a chunk's points are read: near points together, window by window.

Points are sorted by their most probable component in the last pass (`NearestComponents`) or, with few features, by the
leaves of a k-d tree over the means. The points are not moved, only read in another order, which takes 16 bytes for each
point of a window.
"""

import copy

import numpy as np

from .compiler.jit import kernel
from .points import load_block, number_rows, whole_groups
from .transposing import AHEAD

MOST_COMPONENTS = 2**15  # components that fit in the 16-bit labels of `NearestComponents`
MOST_FEATURES_IN_TREE = 4  # features for the tree: with more, its planes cut through every component
_MOST_CELL_BYTES = 32 << 20  # of labels

BLOCK = 64  # points in a block, at most, when they are sorted
_POINTS_PER_COMPONENT = 64  # points in a window for each component
_LARGEST_WINDOW = 1 << 18  # points

NO_ORDER, BY_TREE, BY_CELL = range(3)


def window_size(order, n_components):
    """How many points are sorted at a time; 0 without an order."""
    return min(n_components * _POINTS_PER_COMPONENT, _LARGEST_WINDOW) if order else 0


class NearestComponents:
    """Each point's most probable component, 2 bytes a point: one pass records it, the next sorts the points by it.

    The lowest bit of a label marks points far from their component. They get blocks of their own, because one such
    point would widen the bounds of a whole block. No labels are kept if they would take more than 32 MiB (16 million
    points), and none are used for some passes after one whose bounds skipped too few components to pay.
    """

    _PAUSE = 16  # passes without labels after one that didn't pay, or wouldn't have

    def __init__(self, n_samples):
        self.labels = np.zeros(n_samples if 2 * n_samples <= _MOST_CELL_BYTES else 0, np.uint16)
        self._n_components = 0  # of the pass that recorded the labels; 0: none did
        self._pause = 0  # passes
        self._first = 0  # index of the first point

    def of_rows(self, start, stop):
        """The same for the points from start to stop, with a copy of their labels, for a pass run elsewhere."""
        part = copy.copy(self)
        part.labels, part._first, part._pause = self.labels[start:stop].copy(), start, 0
        return part

    def labels_of(self, start, stop):
        """A view of the labels of the points from start to stop; empty where none are kept."""
        return self.labels[start - self._first : stop - self._first]

    def known_for(self, n_components):
        """Whether the labels come from a pass with this many components."""
        return self.labels.size > 0 and self._n_components == n_components

    def resting(self):
        """Count down the pause by a pass; True while it lasts and the labels are not used."""
        self._pause = max(0, self._pause - 1)
        return self._pause > 0

    def rest(self):
        """Begin a pause."""
        self._pause = self._PAUSE
        self._n_components = 0

    def finish(self, n_components, has_paid):
        """Record a pass: its number of components, and whether pruning paid where the points were sorted by labels."""
        if self.known_for(n_components) and not has_paid:
            self.rest()
        else:
            self._n_components = n_components


@kernel
def note_cells(parameters, rows, count, best, largest, cells):
    """cells: OUT 2 * component + 1 if far from it, else + 0, for the rows of a block; best, largest: (1, count)."""
    half = parameters.means.shape[1] / 2
    far = half + 5 * np.sqrt(half)  # mean + 5 deviations of half a chi-squared variable with D degrees of freedom
    for b in range(count):
        component = np.int64(best[0, b])
        distance = parameters.log_scale[component] - largest[0, b]
        cells[rows[b]] = np.uint16(2 * component + (1 if distance > far else 0))


# -- the tree -------------------------------------------------------------------------------------------------------


def make_tree(means, widths):
    """A balanced k-d tree over the means: each node halves its means along the feature with the largest range.

    widths: (D,) 1 / a typical deviation, so that ranges are comparable. Returns (features, thresholds) of the nodes,
    the root first, then level by level.
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
    """Index of the leaf that point b of a block is in, from 0."""
    node = 0
    while node < features.size:
        node = 2 * node + 1 + (1 if x[features[node], b] > thresholds[node] else 0)
    return node - features.size


# -- windows and their blocks ---------------------------------------------------------------------------------------


@kernel
def sort_by_key(keys, first, starts, order):
    """order: OUT the rows from `first` on, sorted by their keys; starts: OUT where each key begins, and the end."""
    starts[:] = 0
    for p in range(keys.size):
        starts[np.int64(keys[p]) + 1] += 1
    for key in range(1, starts.size):
        starts[key] += starts[key - 1]
    for p in range(keys.size):  # each starts[key] moves on to the start of the next key
        key = np.int64(keys[p])
        order[starts[key]] = first + p
        starts[key] += 1
    for key in range(starts.size - 1, 0, -1):
        starts[key] = starts[key - 1]
    starts[0] = 0


@kernel
def sort_window(points, pruning, cells, first, count, origin, rows, x, keys, starts, order):
    """order: OUT (count,) the rows from `first` on, sorted by leaf or cell; starts: OUT (2 K + 1,) where each begins.

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
    sort_by_key(keys[:count], first, starts, order)


@kernel
def block_length(pruning, position, count, starts, cell):
    """(number of points in the block at `position` of a window, cell or leaf where the search for the next end starts).

    A block never spans two cells, since components with consecutive numbers may lie far apart. Consecutive leaves of
    the tree are near each other, so a block may span several; it ends with a leaf if it is at least half full then.
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
    """`number_rows` for a window whose rows are read in the given order."""
    for b in range(n_points):
        rows[b] = order[position + min(b, count - 1)]
    for b in range(n_points, n_points + AHEAD):
        rows[b] = order[min(position + b, window - 1)]


@kernel
def all_components(n_components):
    components = np.empty(n_components, np.int64)
    for k in range(n_components):
        components[k] = k
    return components
