"""Pruning: with many components, and near points in a block, components that can't matter to the block are skipped.

A component is skipped in a block if an upper bound of its density there is below e**-margin times a lower bound of the
largest density, valid at every point of the block. The result is exact to the rounding of the sum. Blocks are bounded
as in Moore 1999, 'Very fast EM-based mixture model clustering using multiresolution kd-trees'. The work for a block and
a component is D (D + 1) multiply-adds, as much as two points' densities, with a component in each lane.
"""

import math
from typing import NamedTuple

import numpy as np

from .compiler.extending import INLINED, overload
from .compiler.jit import kernel
from .ordering import BY_CELL, BY_TREE, MOST_FEATURES_IN_TREE, NO_ORDER, make_tree
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

_FEWEST_COMPONENTS = 32  # components; with fewer, a pass is too quick to gain from pruning
_MOST_FEATURES = 32  # features; with more, blocks are too wide for the bounds to tell components apart
_COMPONENTS_PADDED = 16  # components are padded to a multiple of this: whole vectors of either precision
_LOOKED_AT = 64  # means, at most, at which the share of components that remain is estimated
_RADIUS = 1.6  # radius of a block: this times sqrt(D), and 1 more, deviations

# Work in a point, in the units of `work_of_pair` (about 0.01 ns on two cores with AVX-512), that pruning costs: sorting
# and reading in another order; for each feature; for each component; for each one that isn't skipped.
_SPENT = 700.0
_SPENT_A_FEATURE = 200.0
_SPENT_A_COMPONENT = 8.0
_SPENT_A_PAIR = 25.0


class Pruning(NamedTuple):
    """What sorts the points and bounds the components; all arrays are empty if nothing is pruned.

    Distances are measured in features multiplied by `widths`. The arrays after it have a column for each component.
    """

    order: int  # NO_ORDER, BY_TREE or BY_CELL
    margin: float  # nats; see the top of this file
    features: np.ndarray  # (2**levels - 1,) int64, the feature that each node of the tree splits, level by level
    thresholds: np.ndarray  # (2**levels - 1,) where each node splits it, relative to the origin
    widths: np.ndarray  # (D,) about 1 / a typical deviation, so that features are comparable
    means: np.ndarray  # (D, K padded) multiplied by `widths`
    least: np.ndarray  # (1, K padded) the least length in whitened features of a vector of length 1
    most: np.ndarray  # (1, K padded) the greatest
    factor: np.ndarray  # (D (D + 1) / 2 or D, K padded) the whitening coefficients
    bias: np.ndarray  # (D, K padded)
    log_scale: np.ndarray  # (1, K padded), -inf in the padding


def no_pruning(parameters):
    """A `Pruning` with which every component is active in every block."""
    dtype = parameters.bias.dtype
    return Pruning(NO_ORDER, 0.0, *_no_tree(dtype), np.empty(0, dtype), *[np.empty((0, 0), dtype)] * 6)


def _no_tree(dtype):
    return np.empty(0, np.int64), np.empty(0, dtype)


def is_worth_trying(parameters):
    """Whether there are enough components, in few enough features, for bounds to skip some."""
    n_components, n_features = parameters.bias.shape
    return n_components >= _FEWEST_COMPONENTS and n_features <= _MOST_FEATURES and parameters.has_bounds


def pays(parameters, share):
    """Whether a pass that evaluates this share of the pairs (point, component) is quicker than one of all pairs."""
    n_components, n_features = parameters.bias.shape
    saved = (1 - share) * n_components * parameters.work_of_pair
    spent = _SPENT + _SPENT_A_FEATURE * n_features + (_SPENT_A_COMPONENT + _SPENT_A_PAIR * share) * n_components
    return saved > 1.1 * spent


def expected_share(parameters, margin):
    """Estimate of the share of the pairs (block, component) that bounds won't skip, from the parameters alone.

    A block is taken to hold the points of one component, a ball around its mean in whitened features. The estimate
    costs no pass, and is the same wherever the points lie: in memory, in files or on workers.
    """
    n_components, n_features = parameters.bias.shape
    some = parameters.means[:: -(-n_components // _LOOKED_AT)]
    radius = (_RADIUS * math.sqrt(n_features) + 1.0) * math.sqrt(0.5)
    nearest = np.maximum(np.sqrt(parameters.whitened_squares(some)) - radius, 0.0) ** 2
    log_scale = parameters.log_scale[:n_components]  # without the noise component's
    upper = log_scale - nearest
    lower = log_scale[:: -(-n_components // _LOOKED_AT)] - radius**2
    return float(np.mean(upper > lower[:, None] - margin))


def pruning(parameters, margin, by_cell=False):
    """The `Pruning` for a pass: by the cells of the last pass, or else by a tree over the means."""
    n_components, n_features = parameters.bias.shape
    if not is_worth_trying(parameters) or not (by_cell or n_features <= MOST_FEATURES_IN_TREE):
        return no_pruning(parameters)
    means, coefficients, widths, least, most = parameters.bounding_coefficients()
    return Pruning(
        BY_CELL if by_cell else BY_TREE,
        margin,
        *(_no_tree(widths.dtype) if by_cell else make_tree(parameters.means, widths)),
        widths,
        _columns(means * widths),
        _columns(least[:, None]),
        _columns(most[:, None]),
        _columns(coefficients),
        _columns(parameters.bias),
        _columns(parameters.log_scale[:n_components, None], -np.inf),
    )


def _columns(values, padding=0.0):
    """(K, n) values as (n, K padded) columns."""
    n_components, n = values.shape
    columns = np.full((n, -(-n_components // _COMPONENTS_PADDED) * _COMPONENTS_PADDED), padding, values.dtype)
    columns[:, :n_components] = values.T
    return columns


@kernel
def pruning_scratch(pruning, window, n_components, n_features, like):
    """(order, keys, starts) for `sort_window`, (box, upper) for `active_components`."""
    length = window if pruning.order else 0
    return (
        np.empty(length, np.int64),
        np.empty(length, np.int64),
        np.empty(2 * n_components + 1, np.int64),
        np.empty((2, n_features), like.dtype),
        np.empty((1, pruning.bias.shape[1]), like.dtype),
    )


# -- bounds -------------------------------------------------------------------------------------------------------


@kernel
def _measure(x, n_points, widths, box):
    """The bounding box of a block: box[0]: OUT its middle; box[1]: OUT half its widths.

    Returns the largest distance of a point from the middle, in features multiplied by `widths`.
    """
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


# Factors that allow for the rounding of the bounds themselves in float32.
_LESS, _MORE = 1 - 2.0**-18, 1 + 2.0**-18


@kernel
def _bounds(log_scale, near, far):
    """(upper, lower) bound of the log-density of points at whitened distances from near (may be negative) to far."""
    zero = splat(0.0, near)
    near = select_greater(near, zero, mul(near, splat(_LESS, near)), zero)
    far = mul(far, splat(_MORE, near))
    return fnma(near, near, log_scale), fnma(far, far, log_scale)


@kernel
def _bounds_of_distance(pruning, k, radius, box):
    """(upper, lower) bounds for a vector of components from k on, from the distance of their means to the middle."""
    square = splat(0.0, radius)
    for i in range(pruning.widths.size):
        d = sub(load(pruning.means, i, k), splat(box[0, i] * pruning.widths[i], radius))
        square = fma(d, d, square)
    distance = sqrt(square)
    near = mul(load(pruning.least, 0, k), sub(distance, radius))
    far = mul(load(pruning.most, 0, k), add(distance, radius))
    return _bounds(load(pruning.log_scale, 0, k), near, far)


def _whitened(parameters, pruning, c, k, box):
    """(z_c in the middle of the box, how far z_c varies from that in the box) for a vector of components from k on."""
    return parameters.whitened(parameters, pruning, c, k, box)


@overload(_whitened, jit_options=INLINED)
def _overload_whitened(parameters, pruning, c, k, box):
    offered = parameters.instance_class.whitened
    return lambda parameters, pruning, c, k, box: offered(parameters, pruning, c, k, box)


@kernel
def _bounds_in_box(parameters, pruning, k, radius, box):
    """(upper, lower) bounds by whitening the middle: far tighter for long and thin components.

    In the box |z_c| lies between |z_c(middle)| -+ sum_i |factor_ci| half_i, and the length of z between
    |z(middle)| -+ most * radius; the tighter of the two is used.
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
    """active: OUT the components that may matter to a block, in ascending order; returns their number.

    x: (at least D, n_points) the coordinates of the block; box: scratch (2, D);
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
