"""Leaving out components that can't matter to a block, where there are many of them.

Points are taken in an order that puts near ones together, window by window within a chunk: by the component that each
was most probable from in the last pass over them, or, in few dimensions, by the leaves of a k-d tree over the means.
No point is moved, only read in another order. A window's order takes 16 bytes for each of its points, what is kept
from pass to pass (`Cells`) 2 bytes for each of all.

A component is left out of a block where an upper bound of its density there is below a lower bound of the best
density at every point of the block, times e**-margin: exact to the rounding of the sum, after the bounding of blocks
by Moore 1999, 'Very fast EM-based mixture model clustering using multiresolution kd-trees'. Work per block and
component: D (D + 1) multiply-adds, two points' densities, with a component in each lane.
"""

from typing import NamedTuple

import numpy as np
from numba.extending import overload

from ._jit import kernel
from .points import load_block, number_rows, whole_groups
from .shared import Shared
from .triangular import Triangular
from .vectors import (
    absolute,
    add,
    any_not_less,
    fma,
    fnma,
    lanes,
    load,
    max_of_lanes,
    mul,
    select_greater,
    splat,
    sqrt,
    store,
    sub,
)

_FEWEST_COMPONENTS = 32  # below, a pass is too quick to win from it
MOST_COMPONENTS = 2**15  # that `Cells` can tell apart
_MOST_FEATURES = 32  # beyond, blocks are too wide for bounds to tell components apart
_MOST_FEATURES_IN_TREE = 4  # beyond, its planes cut every component to pieces
_MOST_CELL_BYTES = 32 << 20

BLOCK = 64
_POINTS_PER_COMPONENT = 64  # in a window
_LARGEST_WINDOW = 1 << 18
_COMPONENTS_PADDED = 16  # to whole vectors of either precision

_NO_ORDER, _BY_TREE, BY_CELL = range(3)


class Cells:
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


class Pruning(NamedTuple):
    """What orders the points and bounds the components; all arrays are empty where nothing is left out.

    Distances are measured in features multiplied by `widths`; a component in each column of all that follows.
    """

    order: int  # one of those above
    margin: float  # nats; see above
    features: np.ndarray  # (2**levels - 1,) int64, the feature that a node of the tree splits, level by level
    thresholds: np.ndarray  # (2**levels - 1,) where, relative to the origin
    widths: np.ndarray  # (D,) about 1 / a usual deviation, so that all features count alike
    means: np.ndarray  # (D, K padded) in these measures
    least: np.ndarray  # (1, K padded) what a distance of 1 is at least in whitened features
    most: np.ndarray  # (1, K padded) and at most
    factor: np.ndarray  # (D (D + 1) / 2 or D, K padded) the whitening coefficients
    bias: np.ndarray  # (D, K padded)
    log_scale: np.ndarray  # (1, K padded), -inf in the padding


def no_pruning(parameters):
    """Every component counts in every block."""
    dtype = parameters.bias.dtype
    return Pruning(_NO_ORDER, 0.0, *_no_tree(dtype), np.empty(0, dtype), *[np.empty((0, 0), dtype)] * 6)


def _no_tree(dtype):
    return np.empty(0, np.int64), np.empty(0, dtype)


def is_worth_trying(parameters):
    """Whether these are so many components, in so few features, that bounds may leave some out."""
    n_components, n_features = parameters.bias.shape
    return n_components >= _FEWEST_COMPONENTS and n_features <= _MOST_FEATURES


def pruning(parameters, margin, by_cell=False):
    """The order and the bounds' coefficients for a pass with Triangular, Shared or AxisAligned parameters."""
    n_components, n_features = parameters.bias.shape
    if not is_worth_trying(parameters) or not (by_cell or n_features <= _MOST_FEATURES_IN_TREE):
        return no_pruning(parameters)
    means = parameters.means
    if isinstance(parameters, Triangular):
        matrices = parameters.factor.reshape(n_components, n_features, n_features)
        factor = matrices[:, *np.tril_indices(n_features)]
        widths = np.sqrt((matrices**2).sum(axis=1).mean(axis=0))
        matrices = matrices / widths
        least, most = 1 / _norm_bound(np.linalg.inv(matrices)), _norm_bound(matrices)
    else:
        factor = parameters.scale
        widths = factor.mean(axis=0)
        least, most = (factor / widths).min(axis=1), (factor / widths).max(axis=1)
        if isinstance(parameters, Shared):  # distances are those of whitened points
            means = -parameters.bias
    return Pruning(
        BY_CELL if by_cell else _BY_TREE,
        margin,
        *(_no_tree(widths.dtype) if by_cell else _tree(parameters.means, widths)),
        widths,
        _columns(means * widths),
        _columns(least[:, None]),
        _columns(most[:, None]),
        _columns(factor),
        _columns(parameters.bias),
        _columns(parameters.log_scale[:, None], -np.inf),
    )


def _norm_bound(matrices):
    """Upper bound of the spectral norm of matrices (K, D, D)."""
    absolutes = np.abs(matrices)
    return np.sqrt(absolutes.sum(axis=1).max(axis=1) * absolutes.sum(axis=2).max(axis=1))


def _columns(values, padding=0.0):
    """(K, n) values as (n, K padded) columns."""
    n_components, n = values.shape
    columns = np.full((n, -(-n_components // _COMPONENTS_PADDED) * _COMPONENTS_PADDED), padding, values.dtype)
    columns[:, :n_components] = values.T
    return columns


def _tree(means, widths):
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


def window_size(pruning, n_components):
    """How many points are put in order at a time; 0 for no order."""
    return min(n_components * _POINTS_PER_COMPONENT, _LARGEST_WINDOW) if pruning.order else 0


@kernel
def pruning_scratch(pruning, window, n_components, n_features, like):
    """(order, keys, starts, box, upper) as the functions below take them."""
    length = window if pruning.order else 0
    return (
        np.empty(length, np.int64),
        np.empty(length, np.int64),
        np.empty(2 * n_components + 1, np.int64),
        np.empty((2, n_features), like.dtype),
        np.empty((1, pruning.bias.shape[1]), like.dtype),
    )


# -- the order of the points --------------------------------------------------------------------------------------


@kernel
def _leaf(features, thresholds, x, b):
    """The leaf that point b of a block is in, counted from 0."""
    node = 0
    while node < features.size:
        node = 2 * node + 1 + (1 if x[features[node], b] > thresholds[node] else 0)
    return node - features.size


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
def note_cells(parameters, rows, count, best, largest, cells):
    """cells: OUT 2 * component + whether it is far, for the rows of a block; best, largest: (1, count)."""
    half = parameters.bias.shape[1] / 2
    far = half + 5 * np.sqrt(half)  # five deviations beyond the mean of half a chi-squared
    for b in range(count):
        component = np.int64(best[0, b])
        distance = parameters.log_scale[component] - largest[0, b]
        cells[rows[b]] = np.uint16(2 * component + (1 if distance > far else 0))


# -- bounds -------------------------------------------------------------------------------------------------------


@kernel
def _measure(x, n_points, widths, box):
    """The box round a block: its middle, OUT box[0], and half its widths, OUT box[1]; returns its radius, measured."""
    for i in range(widths.size):
        low = high = load(x, i, 0)
        for b in range(lanes(x), n_points, lanes(x)):
            value = load(x, i, b)
            low = select_greater(low, value, value, low)
            high = select_greater(value, high, value, high)
        lowest, highest = -max_of_lanes(sub(splat(0.0, x), low)), max_of_lanes(high)
        box[0, i] = (lowest + highest) / 2
        box[1, i] = (highest - lowest) / 2
    largest = splat(0.0, x)
    for b in range(0, n_points, lanes(x)):
        square = splat(0.0, x)
        for i in range(widths.size):
            d = mul(sub(load(x, i, b), splat(box[0, i], x)), splat(widths[i], x))
            square = fma(d, d, square)
        largest = select_greater(square, largest, square, largest)
    return np.sqrt(max_of_lanes(largest))


# The bounds' own rounding in float32, relative to the squares they bound.
_LESS, _MORE = 1 - 2.0**-18, 1 + 2.0**-18


@kernel
def _bounds(log_scale, near, far):
    """(upper, lower) bound of a log-density whose whitened length is between near and far; near may be negative."""
    zero = splat(0.0, near)
    near = select_greater(near, zero, mul(near, splat(_LESS, near)), zero)
    far = mul(far, splat(_MORE, near))
    return fnma(near, near, log_scale), fnma(far, far, log_scale)


@kernel
def _bounds_of_distance(pruning, k, radius, box):
    """Bounds of the log-densities of a vector of components from k on, by their means' distance from the middle."""
    square = splat(0.0, radius)
    for i in range(pruning.widths.size):
        d = sub(load(pruning.means, i, k), splat(box[0, i] * pruning.widths[i], radius))
        square = fma(d, d, square)
    distance = sqrt(square)
    near = mul(load(pruning.least, 0, k), sub(distance, radius))
    far = mul(load(pruning.most, 0, k), add(distance, radius))
    return _bounds(load(pruning.log_scale, 0, k), near, far)


def _whitened(parameters, pruning, c, k, box):
    """(whitened feature c of the middle, how much it varies in the box) for a vector of components from k on."""
    raise NotImplementedError("compiled code only")


@overload(_whitened)
def _overload_whitened(parameters, pruning, c, k, box):
    if parameters.instance_class is Triangular:

        def whitened(parameters, pruning, c, k, box):
            z = load(pruning.bias, c, k)
            spread = splat(0.0, z)
            for i in range(c + 1):
                coefficient = load(pruning.factor, c * (c + 1) // 2 + i, k)
                z = fma(coefficient, splat(box[0, i], z), z)
                spread = fma(absolute(coefficient), splat(box[1, i], z), spread)
            return z, spread

    else:

        def whitened(parameters, pruning, c, k, box):
            coefficient = load(pruning.factor, c, k)
            z = fma(coefficient, splat(box[0, c], coefficient), load(pruning.bias, c, k))
            return z, mul(coefficient, splat(box[1, c], z))

    return whitened


@kernel
def _bounds_in_box(parameters, pruning, k, radius, box):
    """The same by whitening the middle, far closer where components are long and thin.

    In the box |z_c| lies between |z_c(middle)| -+ sum_i |factor_ci| half_i, and the length of z between
    |z(middle)| -+ most * radius; of the two the better counts.
    """
    zero = splat(0.0, radius)
    near = far = square = zero
    for c in range(pruning.bias.shape[0]):
        z, spread = _whitened(parameters, pruning, c, k, box)
        z = absolute(z)
        square = fma(z, z, square)
        least, most = sub(z, spread), add(z, spread)
        least = select_greater(least, zero, least, zero)
        near = fma(least, least, near)
        far = fma(most, most, far)
    near, far, length = sqrt(near), sqrt(far), sqrt(square)
    reach = mul(load(pruning.most, 0, k), radius)
    least, most = sub(length, reach), add(length, reach)
    near = select_greater(least, near, least, near)
    far = select_greater(far, most, most, far)
    return _bounds(load(pruning.log_scale, 0, k), near, far)


@kernel
def active_components(parameters, pruning, x, n_points, box, upper, active):
    """The components that may matter to a block, in order: OUT active[: the number returned].

    x: (at least D, n_points) the block, whitened where parameters are Shared; box: scratch (2, D);
    upper: scratch (1, K padded).
    """
    radius = splat(_measure(x, n_points, pruning.widths, box), x)
    best = splat(-np.inf, x)
    for k in range(0, upper.shape[1], lanes(x)):
        highest, lowest = _bounds_of_distance(pruning, k, radius, box)
        store(upper, 0, k, highest)
        best = select_greater(lowest, best, lowest, best)
    limit = splat(max_of_lanes(best) - pruning.margin, x)
    for k in range(0, upper.shape[1], lanes(x)):
        if any_not_less(load(upper, 0, k), limit):
            highest, lowest = _bounds_in_box(parameters, pruning, k, radius, box)
            store(upper, 0, k, highest)
            best = select_greater(lowest, best, lowest, best)
    least = max_of_lanes(best) - pruning.margin
    limit = splat(least, x)
    n_active = 0
    for k in range(0, upper.shape[1], lanes(x)):
        if any_not_less(load(upper, 0, k), limit):
            for component in range(k, min(k + lanes(x), active.size)):
                if not upper[0, component] < least:
                    active[n_active] = component
                    n_active += 1
    return n_active
