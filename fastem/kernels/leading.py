"""Leading features: with hundreds of components in dozens of features, most log-densities end after a few features.

A log-density along axes is a constant minus a sum of squares, one for each feature. So the sum over some features is an
upper bound, and a component is skipped at a tile of points as soon as that is lower, by the margin, than the density of
the component that had the largest one in the last pass. Features come in the order of how far they tell the means
apart, as in SuperKMeans for k-means. The result is exact to the rounding of a sum, as that of `pruning.py`, whose boxes
tell nothing in many features: a ball of points is as wide there as the components are apart.

Measured against passes of all pairs on one core with AVX-512, 100,000 points, K = 256: 8 x 8 patches of photos 3.5
times as fast, in colour (192 features) 7.3; components 30 deviations apart in 32 features 4.1, in 128 features 6.1.
Components that overlap so that most responsibilities are above rounding gain nothing, and are not tried.

Tried as well: the boxes and balls of `pruning.py` in so many features leave 24 % of the pairs on the patches, where 4
to 10 % matter (1.9 and 1.7 times as fast), and all of them at 30 deviations in 128 features (0.6 times). Distances
along the means' principal axes in place of features need one metric for all components: with variances of their own,
which the least of their ratios bounds, 24 % of the tiles were left after 16 axes, and 26 % after 16 features. Bounds
carried over from the last iteration by how far the parameters moved would leave 11 to 19 % without any feature, but
take K x K numbers for every thread.
"""

from typing import NamedTuple

import numpy as np

from .compiler.jit import kernel
from .ordering import sort_by_key
from .vectors import any_not_less, fma, fnma, lanes, load, select_greater, splat, store

_FEWEST_COMPONENTS = 256  # components; with fewer, passes are left as they were
_FEWEST_FEATURES = 32  # features; with fewer, little of a sum is left after the first ones
_FEWEST_POINTS = 32  # points for each component; with fewer, a block's points come from too many cells
FIRST = 16  # features that all components are compared in, and that are added before the next comparison, at least
GROWTH = 0.5  # features added before the next comparison, as a share of those added so far
_NEIGHBOURS = 8  # components, at most, that aren't brought in an order by the bisections of `_near_one_another`

# Work of a pair (point, component), in the time of a sixth of a feature here; and the share that is worth a pass.
_FEATURE, _FEATURE_AT_ONCE, _FEATURE_OF_MOMENTS, _EXP = 6, 5, 6, 60
_WORTH = 0.9

# Points drawn from the mixture to estimate the work before any pass: so many blocks, each of so many neighbours with so
# many points each. They are compared with at most so many components.
_BLOCKS, _CELLS_IN_BLOCK, _POINTS_IN_CELL, _OTHERS = 4, 3, 10, 256


class Leading(NamedTuple):
    """What a pass needs beside the parameters; columns are in the order of `features`."""

    margin: float  # nats, as in `Pruning`
    features: np.ndarray  # (D,) int64, the feature that tells the means apart best first
    scale: np.ndarray  # (K, D) as of `AxisAligned`
    bias: np.ndarray  # (K, D)
    ranks: np.ndarray  # (K,) int64, positions of the components in an order with near ones side by side


def is_worth_trying(parameters, n_samples):
    """Whether log-densities are sums over enough features, of enough components, at enough points."""
    n_components, n_features = parameters.bias.shape
    enough = n_components >= _FEWEST_COMPONENTS and n_features >= _FEWEST_FEATURES
    enough = enough and n_samples >= _FEWEST_POINTS * n_components
    return enough and getattr(parameters, "adds_features", False)


def prepare(parameters, margin):
    """The `Leading` of a mixture."""
    means = parameters.means * parameters.scale.mean(axis=0)  # in units of a typical deviation
    features = np.argsort(-means.var(axis=0), kind="stable")
    scale, bias = (np.ascontiguousarray(values[:, features]) for values in (parameters.scale, parameters.bias))
    return Leading(float(margin), features, scale, bias, _near_one_another(means))


def _near_one_another(means):
    """(K,) positions of the components: their means are halved along about the longest axis, then each half again."""
    members, ranks = [np.arange(len(means))], np.empty(len(means), np.int64)
    while len(members[0]) > _NEIGHBOURS:
        halves = []
        for some in members:
            differences = means[some] - means[some].mean(axis=0)
            axis = differences[(differences**2).sum(axis=1).argmax()]
            axis = (differences * (differences * axis).sum(axis=1)[:, None]).sum(axis=0)
            along = np.argsort((differences * axis).sum(axis=1), kind="stable")
            halves += [some[along[: len(some) // 2]], some[along[len(some) // 2 :]]]
        members = halves
    ranks[np.concatenate(members)] = np.arange(len(means))
    return ranks


# -- does it pay? ------------------------------------------------------------------------------------------------------


def _next_end(end, n_features):
    """Up to which feature to go on after `end`."""
    return min(end + max(FIRST, int(end * GROWTH)), n_features)


next_end = kernel(_next_end)


def _stages(n_features):
    """The numbers of features after which log-densities are compared, and the number of all."""
    ends = [min(FIRST, n_features)]
    while ends[-1] < n_features:
        ends.append(_next_end(ends[-1], n_features))
    return ends


def _work_of_ends(n_features):
    """Work of a pair whose log-density is kept, beside its features: the exp and the moments."""
    return _FEATURE_OF_MOMENTS * n_features + _EXP


_compiled_work_of_ends = kernel(_work_of_ends)


def share_of_work(work, n_pairs, n_features):
    """The work counted by a pass as a share of that of all pairs in an ordinary one."""
    return work / (n_pairs * (_FEATURE_AT_ONCE * n_features + _work_of_ends(n_features)))


def pays(share):
    """Whether a pass of this share of the work is quicker than an ordinary one."""
    return share < _WORTH


def expected_share(parameters, margin):
    """Estimate of the share of the work that a pass will do, from the parameters alone: from points drawn from them."""
    n_components, n_features = parameters.bias.shape
    prepared = prepare(parameters, margin)
    others = np.arange(0, n_components, -(-n_components // _OTHERS))
    log_scale = parameters.log_scale[others].astype(np.float64)
    scale, bias = (values[others].astype(np.float64) for values in (prepared.scale, prepared.bias))
    n_points = _CELLS_IN_BLOCK * _POINTS_IN_CELL
    deviations = np.random.default_rng(0).normal(scale=np.sqrt(0.5), size=(n_points, n_features))
    work, in_order = 0.0, np.argsort(prepared.ranks)
    for block in range(_BLOCKS):
        start = block * (n_components - _CELLS_IN_BLOCK) // _BLOCKS
        own = np.repeat(in_order[start : start + _CELLS_IN_BLOCK], _POINTS_IN_CELL)
        x = (deviations - prepared.bias[own]) / prepared.scale[own]
        limit = parameters.log_scale[own] - (deviations**2).sum(axis=1) - margin
        begin, left, bound = 0, np.arange(len(others)), np.tile(log_scale, (n_points, 1))
        for end in _stages(n_features):
            work += _FEATURE * len(left) * (end - begin)
            z = x[:, None, begin:end] * scale[left, begin:end] + bias[left, begin:end]
            bound = bound - (z * z).sum(axis=2)
            alive = (bound >= limit[:, None]).any(axis=0)
            begin, left, bound = end, left[alive], bound[:, alive]
        work += len(left) * _work_of_ends(n_features)
    return share_of_work(work, _BLOCKS * len(others), n_features)


# -- kernels -----------------------------------------------------------------------------------------------------------


@kernel
def work_of_block(n_features, features_added, n_kept):
    """Work of a block, an integer: of the features that were added, and of the `n_kept` pairs kept, summed over it."""
    return _FEATURE * features_added + _compiled_work_of_ends(n_features) * n_kept


@kernel
def sort_by_cell(cells, ranks, first, count, keys, starts, order):
    """order: OUT (count,) the rows from `first` on, by cell: near cells side by side, points far from theirs last.

    cells: labels of `NearestComponents`; keys, starts: scratch (at least count,) and (2 K + 1,).
    """
    for p in range(count):
        cell = np.int64(cells[first + p])
        keys[p] = ranks[cell >> 1] + ranks.size * (cell & 1)
    sort_by_key(keys[:count], first, starts, order)


@kernel
def raise_limit(log_scale, leading, k, x, n_points, limit):
    """limit: IN OUT (1, n_points), at least component k's log-density minus the margin."""
    n_lanes = lanes(x)
    start = splat(log_scale[k] - leading.margin, x)
    for b in range(0, n_points, 2 * n_lanes):
        sum0 = sum1 = start
        for i in range(leading.features.size):
            factor, offset = splat(leading.scale[k, i], x), splat(leading.bias[k, i], x)
            feature = leading.features[i]
            z0 = fma(load(x, feature, b), factor, offset)
            z1 = fma(load(x, feature, b + n_lanes), factor, offset)
            sum0 = fnma(z0, z0, sum0)
            sum1 = fnma(z1, z1, sum1)
        top0, top1 = load(limit, 0, b), load(limit, 0, b + n_lanes)
        store(limit, 0, b, select_greater(sum0, top0, sum0, top0))
        store(limit, 0, b + n_lanes, select_greater(sum1, top1, sum1, top1))


@kernel
def begin_log_densities(log_scale, leading, x, n_points, stop, out):
    """out[k]: OUT log-densities of all components, from the features before `stop` alone; four rows at a time."""
    n_lanes = lanes(x)
    scale, bias = leading.scale, leading.bias
    for group in range(0, scale.shape[0], 4):
        k = min(group, scale.shape[0] - 4)
        for b in range(0, n_points, 2 * n_lanes):
            p0 = p1 = splat(log_scale[k], x)
            q0 = q1 = splat(log_scale[k + 1], x)
            r0 = r1 = splat(log_scale[k + 2], x)
            s0 = s1 = splat(log_scale[k + 3], x)
            for i in range(stop):
                feature = leading.features[i]
                x0, x1 = load(x, feature, b), load(x, feature, b + n_lanes)
                factor, offset = splat(scale[k, i], x), splat(bias[k, i], x)
                z0, z1 = fma(x0, factor, offset), fma(x1, factor, offset)
                p0, p1 = fnma(z0, z0, p0), fnma(z1, z1, p1)
                factor, offset = splat(scale[k + 1, i], x), splat(bias[k + 1, i], x)
                z0, z1 = fma(x0, factor, offset), fma(x1, factor, offset)
                q0, q1 = fnma(z0, z0, q0), fnma(z1, z1, q1)
                factor, offset = splat(scale[k + 2, i], x), splat(bias[k + 2, i], x)
                z0, z1 = fma(x0, factor, offset), fma(x1, factor, offset)
                r0, r1 = fnma(z0, z0, r0), fnma(z1, z1, r1)
                factor, offset = splat(scale[k + 3, i], x), splat(bias[k + 3, i], x)
                z0, z1 = fma(x0, factor, offset), fma(x1, factor, offset)
                s0, s1 = fnma(z0, z0, s0), fnma(z1, z1, s1)
            store(out, k, b, p0)
            store(out, k, b + n_lanes, p1)
            store(out, k + 1, b, q0)
            store(out, k + 1, b + n_lanes, q1)
            store(out, k + 2, b, r0)
            store(out, k + 2, b + n_lanes, r1)
            store(out, k + 3, b, s0)
            store(out, k + 3, b + n_lanes, s1)


@kernel
def go_on(leading, x, n_points, start, stop, limit, active, n_active, out):
    """Add the features from start to stop to the log-densities, the first `n_active` rows of `out`.

    A row that is below the limit at all points is dropped, from `active` too; in others, tiles that are get -inf.
    Returns (the number of rows left, the number of pairs of point and component whose features were added).
    """
    n_lanes = lanes(x)
    left = n_pairs = 0
    nowhere = splat(-np.inf, x)
    for a in range(n_active):
        k = active[a]
        any_left = False
        for b in range(0, n_points, 2 * n_lanes):
            sum0, sum1 = load(out, a, b), load(out, a, b + n_lanes)
            if any_not_less(sum0, load(limit, 0, b)) or any_not_less(sum1, load(limit, 0, b + n_lanes)):
                any_left = True
                n_pairs += 2 * n_lanes
                for i in range(start, stop):
                    feature = leading.features[i]
                    factor, offset = splat(leading.scale[k, i], x), splat(leading.bias[k, i], x)
                    z0 = fma(load(x, feature, b), factor, offset)
                    z1 = fma(load(x, feature, b + n_lanes), factor, offset)
                    sum0 = fnma(z0, z0, sum0)
                    sum1 = fnma(z1, z1, sum1)
            else:
                sum0 = sum1 = nowhere
            store(out, left, b, sum0)
            store(out, left, b + n_lanes, sum1)
        if any_left:
            active[left] = k
            left += 1
    return left, n_pairs
