"""Passes over points with missing features: the points that lack the same features are visited together.

Such points see the marginal mixture of what is observed. Its moments are those of an ordinary pass; the moments of all
features follow from them by each component's regression of the missing features (`add_completed`). So a pattern costs
K Cholesky factors, once for each leaf of its points (2,048), and no array of the size of the points is made.
"""

from typing import NamedTuple

import numpy as np

from . import passes
from .assignments import HARD, share_out
from .blocks import (
    add_block_moments,
    add_completed,
    allow,
    block_coordinates,
    block_log_densities,
    exclude_other_components,
    expect,
    fill_row,
    find_largest,
    marginal,
    prefer_noise,
    set_weights,
    sum_of_row,
    take_out_noise,
    work_rows,
)
from .compiler.calls import arguments
from .compiler.jit import chunk_kernel, kernel, part_of_kernel, run
from .cuts import MAX_CHUNKS, calls, chunk_bounds, cut
from .ordering import all_components, take_rows
from .passes import (
    LABELS,
    LOG_LIKELIHOODS,
    NO_LABELS,
    NO_POINT_ANNOTATIONS,
    RESPONSIBILITIES,
    STATISTICS,
    TOTALS,
    Pass,
    Sink,
    write_labels,
    write_log_likelihoods,
    write_responsibilities,
)
from .points import load_block, points, scratch, whole_groups
from .sums import LEAVES, ROW, add_leaf, add_totals
from .transposing import AHEAD
from .vectors import lanes

# What a pass is for, beside the kinds of sinks in passes.py.
_EXPECTATIONS, _VARIANCES = range(10, 12)

_WORD = 64  # features whose pattern fits in an integer
_VALUES = 1 << 20  # values looked at a time


class Mixture(NamedTuple):
    """What marginals are made of, beside the kernel inputs."""

    log_weights: np.ndarray  # (K,)
    covariances: np.ndarray  # (K, D, D), or variances (K, D) for axis-aligned components
    noise: np.ndarray  # (3, D) of the noise's box: logs of its sides, its centre, each side's variance; or empty


class Patterns(NamedTuple):
    """Points grouped by the features that they lack."""

    order: np.ndarray  # (n,) int32 numbers of the rows, those of a pattern together and ascending
    edges: np.ndarray  # (P + 1,) int64 where each pattern begins in `order`
    observed: np.ndarray  # (P, D) bool, whether the pattern has the feature

    def groups(self):
        """(numbers of the rows, whether they have each feature) of each pattern."""
        for number, observed in enumerate(self.observed):
            yield self.order[self.edges[number] : self.edges[number + 1]], observed


def patterns_of(X):
    """The `Patterns` of points, (n, D), in which NaN stands for what is missing."""
    keys = _words(X[:, :_WORD])
    for i in range(_WORD, X.shape[1], _WORD):
        _, keys = np.unique(keys, return_inverse=True)
        found, words = np.unique(_words(X[:, i : i + _WORD]), return_inverse=True)
        keys = keys.reshape(-1) * len(found) + words.reshape(-1)
    order = np.argsort(keys, kind="stable").astype(np.int32)  # by radix where keys are short
    keys = keys[order]
    edges = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1], [True]])).astype(np.int64)
    return Patterns(order, edges, ~np.isnan(X[order[edges[:-1]]]))


def _words(X):
    """Which of up to 64 features each point lacks, as the bits of an integer, the shortest that holds them."""
    n_samples, n_features = X.shape
    n_bytes = next(size for size in (1, 2, 4, 8) if 8 * size >= n_features)
    words = np.empty(n_samples, f"u{n_bytes}")
    step = max(1, _VALUES // n_features)
    for start in range(0, n_samples, step):
        rows = X[start : start + step]
        bits = np.zeros((len(rows), 8 * n_bytes), np.uint8)
        bits[:, :n_features] = np.isnan(rows)
        words[start : start + step] = np.packbits(bits, axis=1).view(words.dtype)[:, 0]
    return words


# -- a chunk ----------------------------------------------------------------------------------------------------------


@kernel
def _whole_vectors(length, like):
    return -(-length // lanes(like)) * lanes(like)


@kernel
def _pattern_at(edges, position):
    """The pattern of the point at this position of the order, by bisection."""
    low, high = 0, edges.size - 1
    while high - low > 1:
        middle = (low + high) // 2
        if edges[middle] <= position:
            low = middle
        else:
            high = middle
    return low


@kernel
def _split(observed, pattern, features):
    """features: OUT the numbers of the observed features, then those of the missing ones; returns how many of them."""
    n_observed = 0
    for i in range(features.size):
        if observed[pattern, i]:
            features[n_observed] = i
            n_observed += 1
    position = n_observed
    for i in range(features.size):
        if not observed[pattern, i]:
            features[position] = i
            position += 1
    return n_observed


@kernel
def _keep(features, n_observed, values, n_columns, kept):
    """kept[i] = values[features[i]] of the observed features, a row of zeros if there are none; kept may be values."""
    for i in range(n_observed):
        row = features[i]
        for b in range(n_columns):
            kept[i, b] = values[row, b]
    if n_observed == 0:
        for b in range(n_columns):
            kept[0, b] = 0.0


@kernel
def _keep_columns(features, n_observed, values, kept):
    """kept: OUT (K, at least one), the columns of the observed features; one of zeros if there are none."""
    for k in range(values.shape[0]):
        kept[k, 0] = 0.0
        for i in range(n_observed):
            kept[k, i] = values[k, features[i]]


@kernel
def _noise_at(parameters, mixture, features, n_observed):
    """Log weight + log-density of the noise over the observed features."""
    result = np.float64(parameters.log_scale[parameters.log_scale.size - 1])
    for j in range(n_observed, features.size):
        result += mixture.noise[0, features[j]]
    return result


@part_of_kernel
def _write_expectations(
    what, parameters, mixture, features, n_observed, regression, x, rows, count, n_points, responsibilities, factor,
    lines, out,
):  # fmt: skip
    """Write the expectation of what is missing to out[row, feature], or its variance if `what` asks for that."""
    values, mean, variance = lines[0], lines[1], lines[2]
    n_components = parameters.means.shape[0]
    n_noise = responsibilities.shape[0] - n_components
    for j in range(features.size - n_observed):
        missing = features[n_observed + j]
        for b in range(n_points):
            mean[b] = variance[b] = 0.0
        for k in range(n_components):
            expect(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values)
            for b in range(n_points):
                mean[b] += responsibilities[k, b] * factor[0, b] * values[b]
        if n_noise:
            centre = mixture.noise[1, missing] - parameters.origin[missing]
            for b in range(n_points):
                mean[b] += responsibilities[n_components, b] * factor[0, b] * centre
        if what == _EXPECTATIONS:
            for b in range(count):
                out[rows[b], missing] = parameters.origin[missing] + mean[b]
            continue
        if n_noise:
            centre = mixture.noise[1, missing] - parameters.origin[missing]
            for b in range(n_points):
                within = mixture.noise[2, missing] + (centre - mean[b]) ** 2
                variance[b] += responsibilities[n_components, b] * factor[0, b] * within
        for k in range(n_components):
            within = expect(parameters, mixture, features, n_observed, regression, k, j, x, n_points, values)
            for b in range(n_points):
                variance[b] += responsibilities[k, b] * factor[0, b] * (within + (values[b] - mean[b]) ** 2)
        for b in range(count):
            out[rows[b], missing] = variance[b]


@chunk_kernel
def _pass_over_patterns(chunk, context):
    """`passes._pass_over_chunk` for points with missing features, in the order of their patterns."""
    grid, points, parameters, mixture, patterns, first_position, n_positions, annotations, totals, sink = arguments(
        context
    )
    what, centres, moments, out, labels = sink
    (n_components, n_features), block = centres.shape, grid.block
    n_noise = parameters.log_scale.size - n_components
    x = scratch(n_features, block, centres)
    work = scratch(work_rows(parameters), block, centres)
    responsibilities = scratch(n_components + n_noise, block, centres)
    weights = scratch(np.int64(1), block, centres)
    factor = scratch(np.int64(1), block, centres)
    log_likelihoods = scratch(np.int64(1), block, centres)
    lines = scratch(np.int64(3), block, centres)
    rows = np.empty(block + AHEAD, np.int64)
    components, features = all_components(n_components + n_noise), np.empty(n_features, np.int64)
    active = components[:n_components]
    room = np.empty(mixture.covariances.size + n_components * (3 * n_features + 4))
    length = _whole_vectors(n_features, centres) if mixture.covariances.ndim == 3 else 0
    n_rows = n_components * n_features
    regression = (
        np.zeros((n_rows, length)), np.zeros((n_rows, length)), np.zeros((n_features, length)),
        np.zeros((n_features, length)), np.zeros((2, length)),
    )  # fmt: skip
    about = np.empty(n_components * n_features)
    completes = what == STATISTICS
    shape = (moments.shape[2], moments.shape[3]) if completes else (0, 0)
    sums, flat = np.zeros(shape), np.zeros(shape[0] * shape[1])
    per_component = mixture.covariances.ndim == 3
    first_leaf, last_leaf = chunk_bounds(grid, n_positions, chunk)
    position = first_position + first_leaf * grid.leaf
    end = first_position + min(last_leaf * grid.leaf, n_positions)
    pattern = np.int64(-1)
    while position < end:
        pattern = _pattern_at(patterns.edges, position)
        last = min(end, patterns.edges[pattern + 1])
        n_observed = _split(patterns.observed, pattern, features)
        width = max(n_observed, 1)
        seen = marginal(parameters, mixture, features, n_observed, room, regression)
        log_noise = _noise_at(parameters, mixture, features, n_observed) if n_noise else 0.0
        seen_centres = about[: n_components * width].reshape((n_components, width))
        _keep_columns(features, n_observed, centres, seen_centres)
        n_rows, n_columns = (n_components * (width + 2), width) if per_component else (n_components, 1 + 2 * width)
        if not completes:
            n_rows = 0
        observed = flat[: n_rows * n_columns].reshape((n_rows, n_columns))
        while position < last:
            # Leaves lie on a grid over all positions, so that they don't depend on how these are cut into calls.
            stop = min(last, (position // grid.leaf + 1) * grid.leaf)
            log_likelihood = weight = noise = 0.0
            for i in range(n_rows):
                for j in range(n_columns):
                    observed[i, j] = 0.0
            while position < stop:
                count = min(block, stop - position)
                n_points = whole_groups(count)
                take_rows(patterns.order, patterns.order.size, position, count, n_points, rows)
                position += count
                load_block(points, rows, n_points, parameters.origin, x)
                _keep(features, n_observed, x, n_points, x)
                set_weights(annotations, rows, count, n_points, weights)
                weight += sum_of_row(weights, n_points) if annotations.weights.size else count
                if annotations.e_step:
                    coordinates = block_coordinates(seen, x[:width], n_points, work)
                    block_log_densities(seen, active, coordinates, n_points, work, responsibilities)
                    if n_noise:
                        fill_row(responsibilities, n_components, n_points, log_noise)
                    if annotations.labels.size:
                        exclude_other_components(annotations.labels, rows, count, responsibilities)
                    if annotations.responsibilities.size:
                        allow(annotations.responsibilities, rows, count, responsibilities)
                    if annotations.assignment == HARD or what == LABELS:
                        find_largest(responsibilities, active, n_points, factor, log_likelihoods)
                        if n_noise:
                            prefer_noise(
                                responsibilities, n_components, n_components, n_points, factor, log_likelihoods
                            )
                if what == LABELS:
                    write_labels(rows, count, factor, n_components, labels)
                    continue
                log_likelihood += share_out(
                    annotations, grid, rows, count, n_points, components, n_components + n_noise, weights,
                    responsibilities, factor, log_likelihoods,
                )  # fmt: skip
                if completes:
                    if n_noise:
                        noise += take_out_noise(responsibilities, n_components, n_points, factor, weights)
                    add_block_moments(
                        seen, active, x[:width], n_points, responsibilities, factor, weights, seen_centres, work,
                        observed,
                    )  # fmt: skip
                elif what == LOG_LIKELIHOODS:
                    write_log_likelihoods(rows, count, log_likelihoods, out)
                elif what == RESPONSIBILITIES:
                    write_responsibilities(
                        rows, count, components, n_components, responsibilities, factor, log_likelihoods, out
                    )
                elif what >= _EXPECTATIONS:
                    _write_expectations(
                        what, parameters, mixture, features, n_observed, regression, x, rows, count, n_points,
                        responsibilities, factor, lines, out,
                    )  # fmt: skip
            if completes:
                add_completed(parameters, mixture, features, n_observed, regression, observed, centres, sums)
                if position % grid.leaf == 0 or position == end:
                    add_leaf(sums, moments[chunk, 0], moments[chunk, 1])
            add_totals(totals[chunk], log_likelihood, weight, noise)
            totals[chunk, LEAVES] += 2  # so that the errors of `moments` are added, too


# -- from Python ------------------------------------------------------------------------------------------------------


# Work of making a pattern's marginal and completing its moments, for a component: this times D**3 multiplications.
_WORK_OF_PATTERN = 10


def _effort(n_patterns, n_samples, n_features):
    """How many times the work of a point in a complete pass a point takes, patterns included; a whole number."""
    of_point, of_pattern = 2 * n_features * (n_features + 1) + 60, _WORK_OF_PATTERN * n_features**3
    return 1 + int(n_patterns * of_pattern / (n_samples * of_point))


def _over_patterns(grid, effort, X, parameters, mixture, patterns, annotations, totals, sink, most_chunks):
    """Run `_pass_over_patterns` over all points of the patterns, in short calls; returns the most chunks of a call."""
    used, data = 0, points(X)
    in_order = data._replace(n_samples=len(patterns.order))
    for start, stop, call, _ in calls(grid, in_order, effort * len(parameters.log_scale), most_chunks):
        used = max(used, call.n_chunks)
        call = call._replace(first_row=grid.first_row)
        where = patterns, start, stop - start
        run(_pass_over_patterns, call, data, parameters, mixture, *where, annotations, totals, sink)
    return used


class PatternPass(Pass):
    """`Pass` over points with missing features, added window by window.

    Parameters
    ----------
    parameters : Triangular or AxisAligned
    mixture : Mixture
    centres : ndarray of shape (K, D)
        The centres of the moments, relative to `parameters.origin`.
    n_samples, n_patterns : int
        In all windows together.
    moments : bool
        False: only the totals (log-likelihood, weight) are summed.
    """

    def __init__(self, parameters, mixture, centres, n_samples, n_patterns, *, moments=True):
        self.effort = _effort(n_patterns, n_samples, centres.shape[1])
        super().__init__(parameters, centres, n_samples, constrained=True, moments=moments)
        self._mixture = mixture

    def add(self, X, patterns, annotations=NO_POINT_ANNOTATIONS, first=0):
        """Add the statistics of a window of points, (n, D), with these `Patterns`; `first`: its first row's number."""
        what = STATISTICS if self._has_moments else TOTALS
        sink = Sink(what, self._centres, self._moments, np.empty((0, 0)), NO_LABELS)
        grid = self._grid._replace(first_row=first)
        used = _over_patterns(
            grid,
            self.effort,
            X,
            self._parameters,
            self._mixture,
            patterns,
            annotations,
            self._totals,
            sink,
            len(self._totals),
        )
        self._n_chunks = max(self._n_chunks, used)


def evaluate_patterns(kernel, X, patterns, parameters, mixture, out):
    """Fill `out` as the kernel of passes.py of this name does for complete points, or as `expectations` says."""
    kinds = {
        passes.log_likelihoods: LOG_LIKELIHOODS,
        passes.responsibilities: RESPONSIBILITIES,
        passes.labels: LABELS,
        expectations: _EXPECTATIONS,
        variances: _VARIANCES,
    }
    what, labels = kinds[kernel], NO_LABELS
    if what == LABELS:
        out, labels = np.empty((0, 0)), out
    elif what == LOG_LIKELIHOODS:
        out = out.reshape(-1, 1)
    n_components, n_features = parameters.means.shape
    effort = _effort(len(patterns.observed), len(X), n_features)
    grid = cut(len(X), n_features, effort * n_components, 8, 0)
    sink = Sink(what, parameters.means, np.zeros((1, 2, 0, 0)), out, labels)
    totals = np.zeros((MAX_CHUNKS, ROW))
    _over_patterns(grid, effort, X, parameters, mixture, patterns, NO_POINT_ANNOTATIONS, totals, sink, MAX_CHUNKS)


def expectations(X, patterns, parameters, mixture, out):
    """out[i, j] = expectation of a missing X[i, j] given its row's observed values; others stay.  out: (n, D)."""
    evaluate_patterns(expectations, X, patterns, parameters, mixture, out)


def variances(X, patterns, parameters, mixture, out):
    """out[i, j] = variance of a missing X[i, j] given its row's observed values; others stay.  out: (n, D)."""
    evaluate_patterns(variances, X, patterns, parameters, mixture, out)
