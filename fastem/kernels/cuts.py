"""How points are cut: into leaves by their number alone, those into chunks for threads and calls that end soon.

A leaf's sums are rounded in the order of its points, so leaves must not depend on anything but the points; chunks and
calls may, since what they add up comes out the same bits however it is grouped (see sums.py).

Many cores: a call is cut into 128 chunks at most, as long as their accumulators stay below 40 MiB together. Those come
as pages not yet touched and each is first written by the thread that has its chunk, so it lies in that core's memory;
nothing is shared between chunks, their totals are a cache line apart, and only the sum over chunks is on one thread.
"""

from typing import NamedTuple

import numba
import numpy as np

from .compiler.jit import kernel
from .ordering import BLOCK, window_size

MAX_CHUNKS = 128
_LEAST_IN_CHUNK = 1024  # points, so that making and adding up its accumulators doesn't show
MAX_ACCUMULATOR_BYTES = 40 << 20  # all chunks together, as long as 8 of them fit
# Adding up a leaf's sums costs one part in a hundred of making them where it has so many points; where there are few,
# so many leaves at least, for the threads to share.
_LEAF = 2048
_FEWEST_LEAVES = 8
# A call into compiled code can't be interrupted: about a quarter of a second, or leaves for all threads. Where a point
# takes long, a leaf has fewer of them, down to what adding up its sums still doesn't show beside.
_FLOPS_PER_CALL = 2e9
_FLOPS_PER_THREAD = 8e9
_LEAVES_A_THREAD = 4
_LEAST_IN_LEAF = 256
_FLOPS_PER_WINDOW = 2e11  # of which pruning leaves a small part
_LEAST_IN_WINDOW = 16  # points for each component
_FLOPS_WORTH_A_CHUNK = 2e8  # less is one chunk a thread, since each makes scratch and accumulators of its own
_FLOPS_WORTH_A_THREAD = 5e5  # less takes no longer than to wake a second thread, and to wait for it on a busy machine


class Grid(NamedTuple):
    """How points are cut: leaves from their first on, windows within each, blocks of at most `block` points."""

    block: int
    leaf: int  # points whose sums are rounded together
    window: int  # points of a leaf that are put in order at a time
    n_chunks: int  # runs of leaves, for threads to share
    first_row: int  # the first of these points among all
    serial: bool  # too little work for more than one thread


def _block_size(n_features, itemsize):
    """Points in a block, a multiple of 64: the features about 20 KiB, to stay in the first-level cache.

    But never less than a kilobyte of each, so that the loops over points outweigh the sums at their ends.
    """
    return int(np.clip(20480 // itemsize // n_features // 64 * 64, 1024 // itemsize, 256))


def cut(n_samples, n_features, n_components, itemsize, order):
    """How so many points are cut; their chunks are those of a call."""
    flops = _flops(1, n_features, n_components)
    window = window_size(order, n_components)
    window = min(window, max(_LEAST_IN_WINDOW * n_components, int(_FLOPS_PER_WINDOW / flops)) // BLOCK * BLOCK)
    block = BLOCK if window else _block_size(n_features, itemsize)
    soon = int(_FLOPS_PER_THREAD / flops) // _LEAST_IN_LEAF * _LEAST_IN_LEAF
    leaf = max(min(_LEAF, max(soon, _LEAST_IN_LEAF)), window)
    leaf = min(leaf, -(-n_samples // _FEWEST_LEAVES // BLOCK) * BLOCK)
    if window < leaf:  # whole windows, or whole blocks where it has many
        leaf -= leaf % (window or (block if leaf == _LEAF else BLOCK))
    return Grid(block, min(window or leaf, leaf), leaf, 1, 0, False)


def _flops(n_samples, n_features, n_components):
    return n_samples * n_components * (2.0 * n_features * (n_features + 1) + 60.0)


def calls(grid, data, n_components, most_chunks, first_row=0):
    """Cut points into calls of whole leaves, each short enough to be interrupted after: (start, stop, grid, points)."""
    flops = _flops(1, data.n_features, n_components)
    n_threads = numba.get_num_threads()
    leaves_a_thread = min(max(1, int(_FLOPS_PER_THREAD / flops / grid.leaf)), _LEAVES_A_THREAD)
    n_leaves = max(leaves_a_thread * n_threads, int(_FLOPS_PER_CALL / flops / grid.leaf))
    for start in range(0, data.n_samples, n_leaves * grid.leaf):
        stop = min(start + n_leaves * grid.leaf, data.n_samples)
        n_points = stop - start
        n_chunks = min(most_chunks, -(-n_points // grid.leaf), max(16, n_points // _LEAST_IN_CHUNK))
        if n_points * flops < _FLOPS_WORTH_A_CHUNK:
            n_chunks = min(n_chunks, n_threads)
        if n_chunks > 8:  # so that few threads have as many each
            n_chunks -= n_chunks % 8
        serial = n_points * flops < _FLOPS_WORTH_A_THREAD
        call = grid._replace(n_chunks=n_chunks, first_row=first_row + start, serial=serial)
        yield start, stop, call, data._replace(address=data.address + start * data.row_stride, n_samples=n_points)


@kernel
def chunk_bounds(grid, n_samples, chunk):
    """First and last leaf (exclusive) of a chunk."""
    n_leaves = (n_samples + grid.leaf - 1) // grid.leaf
    return n_leaves * chunk // grid.n_chunks, n_leaves * (chunk + 1) // grid.n_chunks


def most_chunks(accumulator_bytes):
    """How many chunks may have accumulators of this size."""
    return min(MAX_CHUNKS, max(8, MAX_ACCUMULATOR_BYTES // accumulator_bytes))
