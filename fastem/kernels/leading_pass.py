"""The pass whose log-densities end after their leading features (see `leading.py`), compiled only where it is used."""

import numpy as np

from .assignments import HARD, share_out
from .blocks import (
    add_block_moments,
    fill_row,
    find_largest,
    prefer_noise,
    set_weights,
    sum_of_row,
    take_out_noise,
    work_rows,
)
from .compiler.calls import arguments
from .compiler.jit import chunk_kernel, part_of_kernel
from .cuts import chunk_bounds
from .leading import FIRST, begin_log_densities, go_on, next_end, raise_limit, sort_by_cell, work_of_block
from .ordering import BLOCK, all_components, note_cells, take_rows
from .points import load_block, scratch, whole_groups
from .sums import LEAVES, LOOKED_AT, add_leaf, add_totals
from .transposing import AHEAD


@part_of_kernel
def _set_limit(parameters, leading, cells, rows, count, x, n_points, is_owner, owners, limit):
    """limit: OUT the largest log-density among the components that the block's points are in the cells of.

    is_owner: scratch (K,), all False; owners: OUT those components; returns their number.
    """
    n_owners = 0
    fill_row(limit, 0, n_points, -np.inf)
    for b in range(count):
        k = np.int64(cells[rows[b]]) >> 1
        if not is_owner[k]:
            is_owner[k] = True
            owners[n_owners] = k
            n_owners += 1
            raise_limit(parameters.log_scale, leading, k, x, n_points, limit)
    for a in range(n_owners):
        is_owner[owners[a]] = False
    return n_owners


@chunk_kernel
def leading_pass_over_chunk(chunk, context):
    """As `_pass_over_chunk` in passes.py, for statistics alone, of points that cells are known for.

    cells: IN OUT the labels of `NearestComponents`. totals[chunk, LOOKED_AT] gets the work done.
    """
    grid, points, parameters, leading, annotations, cells, totals, sink = arguments(context)
    _, centres, moments, _, _ = sink
    n_components, n_features = centres.shape
    n_noise = parameters.log_scale.size - n_components
    x = scratch(points.n_features, BLOCK, centres)
    work = scratch(work_rows(parameters), BLOCK, centres)
    responsibilities = scratch(n_components + n_noise, BLOCK, centres)
    weights = scratch(np.int64(1), BLOCK, centres)
    factor = scratch(np.int64(1), BLOCK, centres)
    log_likelihoods = scratch(np.int64(1), BLOCK, centres)
    limit = scratch(np.int64(1), BLOCK, centres)
    rows = np.empty(BLOCK + AHEAD, np.int64)
    components = all_components(n_components + n_noise)
    is_owner = np.zeros(n_components, np.bool_)
    owners = np.empty(BLOCK, np.int64)
    order, keys = np.empty(grid.window, np.int64), np.empty(grid.window, np.int64)
    starts = np.empty(2 * n_components + 1, np.int64)
    first_leaf, last_leaf = chunk_bounds(grid, points.n_samples, chunk)
    sums = moments[chunk, 0]  # the first leaf is summed in place
    apart = False
    for leaf in range(first_leaf, last_leaf):
        if not apart and totals[chunk, LEAVES] > 0:
            sums, apart = np.zeros(moments.shape[2:]), True
        stop = min((leaf + 1) * grid.leaf, points.n_samples)
        log_likelihood = weight = noise = 0.0
        for first in range(leaf * grid.leaf, stop, grid.window):
            window = min(grid.window, stop - first)
            sort_by_cell(cells, leading.ranks, first, window, keys, starts, order)
            for position in range(0, window, BLOCK):
                count = min(BLOCK, window - position)
                n_points = whole_groups(count)
                take_rows(order, window, position, count, n_points, rows)
                load_block(points, rows, n_points, parameters.origin, x)
                set_weights(annotations, rows, count, n_points, weights)
                weight += sum_of_row(weights, n_points) if annotations.weights.size else count
                n_owners = _set_limit(parameters, leading, cells, rows, count, x, n_points, is_owner, owners, limit)
                end = min(np.int64(FIRST), n_features)
                begin_log_densities(parameters.log_scale, leading, x, n_points, end, responsibilities)
                added = (n_owners * n_features + n_components * end) * n_points
                n_active = n_components
                for k in range(n_components):
                    components[k] = k
                begin = np.int64(0)
                while begin < end:  # the last time round nothing is added, and only what is below the limit dropped
                    begin, end = end, next_end(end, n_features)
                    n_active, n_pairs = go_on(
                        leading, x, n_points, begin, end, limit, components, n_active, responsibilities
                    )
                    added += n_pairs * (end - begin)
                active = components[:n_active]
                totals[chunk, LOOKED_AT] += work_of_block(n_features, added, n_points * n_active)
                if n_noise:
                    fill_row(responsibilities, n_active, n_points, parameters.log_scale[n_components])
                find_largest(responsibilities, active, n_points, factor, log_likelihoods)
                note_cells(parameters, rows, count, factor, log_likelihoods, cells)
                if n_noise:
                    if annotations.assignment == HARD:
                        prefer_noise(responsibilities, n_active, n_components, n_points, factor, log_likelihoods)
                    components[n_active] = n_components
                log_likelihood += share_out(
                    annotations, grid, rows, count, n_points, components, n_active + n_noise, weights, responsibilities,
                    factor, log_likelihoods,
                )  # fmt: skip
                if n_noise:
                    noise += take_out_noise(responsibilities, n_active, n_points, factor, weights)
                add_block_moments(
                    parameters, components[:n_active], x, n_points, responsibilities, factor, weights, centres, work,
                    sums,
                )  # fmt: skip
        if apart:
            add_leaf(sums, moments[chunk, 0], moments[chunk, 1])
        add_totals(totals[chunk], log_likelihood, weight, noise)
        totals[chunk, LEAVES] += 1
