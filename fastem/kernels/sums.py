"""Sums that carry their rounding errors, so that threads, parts and machines add up to the same bits.

A pair (high, low) has twice the digits of a float64. Rounded to a float64 at the end, it is the same in any order and
grouping of the additions, but for a probability of about 2**-50.
"""

from typing import NamedTuple

import numpy as np

from .compiler.calls import arguments
from .compiler.jit import chunk_kernel, kernel

# Columns of a chunk's totals, each followed by the column of its error: log-likelihood, weight, number of pairs (point,
# component) evaluated (in leading_pass.py, the work done), number of leaves added to the moments, and weight of the
# points in the noise component.
LOG_LIKELIHOOD, WEIGHT, LOOKED_AT, LEAVES, NOISE = range(0, 10, 2)
N_TOTALS = 5
ROW = 16  # numbers in a chunk's row of totals: two cache lines


@kernel
def two_sum(high, low, value):
    """The pair high + low + value, to twice the digits of a float64 (Knuth 1969, section 4.2.2, theorem B)."""
    total = high + value
    added = total - high
    return total, low + ((high - (total - added)) + (value - added))


@kernel
def _add_pairs(values, have_errors, sums):
    """sums += values, then values = 0. Both are pairs (2, ...), C-contiguous."""
    high, low = sums[0].reshape(-1), sums[1].reshape(-1)
    values, errors = values[0].reshape(-1), values[1].reshape(-1)
    for i in range(values.size):
        high[i], low[i] = two_sum(high[i], low[i], values[i])
        values[i] = 0.0
    if have_errors:
        for i in range(values.size):
            low[i] += errors[i]
            errors[i] = 0.0


@kernel
def _add_scaled(factor, values, sums):
    """sums += factor * values, each value rounded to a float64 first, then values = 0. Both are pairs as above."""
    high, low = sums[0].reshape(-1), sums[1].reshape(-1)
    values, errors = values[0].reshape(-1), values[1].reshape(-1)
    for i in range(values.size):
        high[i], low[i] = two_sum(high[i], low[i], factor * (values[i] + errors[i]))
        values[i] = errors[i] = 0.0


@kernel
def add_leaf(leaf, high, low):
    """high + low += leaf, element by element, then leaf = 0."""
    leaf, high, low = leaf.reshape(-1), high.reshape(-1), low.reshape(-1)
    for i in range(leaf.size):
        high[i], low[i] = two_sum(high[i], low[i], leaf[i])
        leaf[i] = 0.0


@kernel
def add_totals(row, log_likelihood, weight, noise):
    """Add a leaf's totals to the row of its chunk."""
    row[LOG_LIKELIHOOD], row[LOG_LIKELIHOOD + 1] = two_sum(row[LOG_LIKELIHOOD], row[LOG_LIKELIHOOD + 1], log_likelihood)
    row[WEIGHT], row[WEIGHT + 1] = two_sum(row[WEIGHT], row[WEIGHT + 1], weight)
    row[NOISE], row[NOISE + 1] = two_sum(row[NOISE], row[NOISE + 1], noise)


@chunk_kernel
def add_up(chunk, context):
    """sums, (2, ...), and total, (2, N_TOTALS): IN OUT, plus factor times the sums over all chunks, then reset to 0.

    It runs as a single chunk: one call adds up all chunks.
    """
    _, factor, moments, totals, sums, total = arguments(context)
    n_chunks = totals.shape[0]
    for i in range(total.shape[1]):
        high = low = 0.0
        for other in range(n_chunks):
            high, low = two_sum(high, low + totals[other, 2 * i + 1], totals[other, 2 * i])
        if factor != 1.0:
            high, low = factor * (high + low), 0.0
        total[0, i], total[1, i] = two_sum(total[0, i], total[1, i] + low, high)
    if moments.shape[0] == n_chunks:
        for other in range(1, n_chunks):
            _add_pairs(moments[other], totals[other, LEAVES] > 1, moments[0])
        if factor == 1.0:
            _add_pairs(moments[0], True, sums)
        else:
            _add_scaled(factor, moments[0], sums)
    totals[:] = 0.0


class Sums(NamedTuple):
    """Unrounded sums of a pass over some of the points, as pairs of a sum and its error.

    `Sums` of different leaves can be added in any order and grouping, to the same bits.
    """

    moments: np.ndarray  # (2, ...) each shaped as in the parameters' `zero_moments`
    totals: np.ndarray  # (2, N_TOTALS) log-likelihood, weight, pairs (point, component) evaluated, leaves, noise

    def __add__(self, other):
        """The sums over both sets of points."""
        return Sums(_sum_of_pairs(self.moments, other.moments), _sum_of_pairs(self.totals, other.totals))

    @property
    def noise(self):
        """Sum of weight times responsibility of the noise component."""
        return float(self.totals[:, NOISE // 2].sum())

    def rounded(self, parameters):
        """The sums rounded to float64, split into the moments of `parameters`.

        Returns
        -------
        mass : ndarray of shape (K,)
            Sum of weight times responsibility.
        first : ndarray of shape (K, D)
            Sum of weight times responsibility times (x - centre).
        second : ndarray
            Sum of weight times responsibility times (x - centre)(x - centre)', (K, D, D). Axis-aligned parameters: its
            diagonals, (K, D). Shared ones: the scatter of all points about the origin, (D, D).
        log_likelihood : float
            Weighted sum over the points, nats; 0 without an E-step.
        weight : float
            Sum of the points' weights.
        """
        log_likelihood, weight = (high + low if np.isfinite(high) else high for high, low in self.totals.T[:2].tolist())
        return *parameters.split_moments(self.moments.sum(axis=0)), log_likelihood, weight


def _sum_of_pairs(one, other):
    total = one[0] + other[0]
    added = total - one[0]
    with np.errstate(invalid="ignore"):
        error = (one[0] - (total - added)) + (other[0] - added)
    return np.stack([total, one[1] + other[1] + error])
