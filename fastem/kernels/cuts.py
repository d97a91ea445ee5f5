"""How points are cut: into leaves of a fixed length, and leaves into chunks (for threads) and calls (to be short).

A leaf's sums are rounded in the order of its points, so the leaves must not depend on threads or calls. Chunks and
calls may, because the sums of leaves are added to the same bits in any grouping (see sums.py).

Many cores: a call has at most 128 chunks, fewer if their accumulators would take more than 40 MiB together. The
accumulators start as untouched pages. The thread that runs a chunk writes its pages first, so they lie in the memory of
that core. Chunks share nothing, their totals are a cache line apart, and only the sum over chunks runs on one thread.
"""

from typing import NamedTuple

import numba

from .compiler.jit import kernel
from .ordering import BLOCK, window_size

MAX_CHUNKS = 128
_LEAST_IN_CHUNK = 1024  # points: enough that the time to make and add up accumulators is negligible
MAX_ACCUMULATOR_BYTES = 40 << 20  # of all chunks together; 8 chunks are allowed whatever their size
_LEAF = 2048  # points in a leaf: adding a leaf's sums to the chunk's then costs 1 % of making them
_FEWEST_LEAVES = 8  # leaves, so that threads can share few points
# Ctrl-C waits for a kernel call, so calls are capped at about 0.25 s, but each still has work for every thread. If a
# point takes long, leaves are shorter.
_FLOPS_PER_CALL = 2e9  # of a call; more only if threads would be without leaves
_FLOPS_PER_THREAD = 8e9  # of a thread in a call, at most, and so of a leaf (unless of _LEAST_IN_LEAF points)
_LEAVES_A_THREAD = 4  # leaves for each thread in a call of more than _FLOPS_PER_CALL, at most
_LEAST_IN_LEAF = 256  # points: the time to add up a leaf's sums is still negligible
_FLOPS_PER_WINDOW = 2e11  # of a window before pruning, which skips most of them
_LEAST_IN_WINDOW = 16  # points in a window for each component
_FLOPS_WORTH_A_CHUNK = 2e8  # of a call: with fewer, one chunk a thread, since each chunk allocates scratch
_FLOPS_WORTH_A_THREAD = 2e7  # of a call: with fewer, threads of a busy machine wait longer than they save


class Grid(NamedTuple):
    """How points are cut: into leaves, each leaf into windows, each window into blocks of at most `block` points."""

    block: int
    leaf: int  # points whose sums are rounded together
    window: int  # points of a leaf that are sorted together; without an order, the whole leaf
    n_chunks: int  # runs of consecutive leaves; threads share the chunks
    first_row: int  # index of the first of these points among all points
    serial: bool  # too little work for more than one thread


def _block_size(n_features, itemsize):
    """Points in a block, a multiple of 64: about 20 KiB of features, which fit in the first-level cache.

    At least 1 KiB of each feature, so that the loops over points outweigh the sums at their ends; at most 256 points.
    """
    return min(max(20480 // itemsize // n_features // 64 * 64, 1024 // itemsize), 256)


def cut(n_samples, n_features, n_components, itemsize, order):
    """The `Grid` of all the points; `calls` sets its chunks and first row."""
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
    """Cut points into calls of whole leaves, short enough that Ctrl-C is prompt: yields (start, stop, grid, points)."""
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
        if n_chunks > 8:  # 2, 4 or 8 threads get equally many
            n_chunks -= n_chunks % 8
        serial = n_points * flops < _FLOPS_WORTH_A_THREAD
        call = grid._replace(n_chunks=n_chunks, first_row=first_row + start, serial=serial)
        yield start, stop, call, data._replace(address=data.address + start * data.row_stride, n_samples=n_points)


@kernel
def chunk_bounds(grid, n_samples, chunk):
    """The first leaf of a chunk, and the one after its last."""
    n_leaves = (n_samples + grid.leaf - 1) // grid.leaf
    return n_leaves * chunk // grid.n_chunks, n_leaves * (chunk + 1) // grid.n_chunks


def most_chunks(accumulator_bytes):
    """Largest number of chunks whose accumulators take so many bytes each."""
    return min(MAX_CHUNKS, max(8, MAX_ACCUMULATOR_BYTES // accumulator_bytes))
