"""Limits of the axes: all points and components, but for strays that would hide the others."""

import numpy as np

_REACH = 3.05  # standard deviations about the means that the axes must include
_EDGE = 0.001  # share of points on each side that may lie outside, and one more
_MANY = 100  # points of which the outermost may be left out
_STRETCH = 1.5  # the axis is at least that much shorter without them
_STRAYS = 0.03  # share of points, of both sides together, that may be strays
_FAR = 10  # points are strays if the axis with them is more than that many times as long as the others' range
_ROOM = 1.5  # room for components and points on each side of the others, relative to the range of these
_FEWEST = 10  # points among which one may be a stray
_OFFSETS = 7  # ways to divide the strays between the two sides


def bounds_of(values, mixture=None, weights=None, logs=None):
    """Limits of the axes, one pair for each column, whose missing values (NaN) don't count.

    logs : list of bool, default=None
        Whether each axis is logarithmic; values that aren't positive then don't count.
    """
    logs = [False] * values.shape[1] if logs is None else logs
    bounds = []
    for j, (column, is_log) in enumerate(zip(values.T, logs, strict=True)):
        seen = column > 0 if is_log else ~np.isnan(column)
        intervals = []
        if mixture is not None and not mixture.is_empty.all():
            mean, reach = mixture.means[~mixture.is_empty, j], _REACH * mixture.deviations[~mixture.is_empty, j]
            intervals = [(mean - reach, mean + reach)]
        of = None if weights is None else weights[seen]
        bounds.append((_log_limits if is_log else limits)(column[seen], *intervals, weights=of))
    return bounds


def limits(values, *intervals, weights=None):
    """Lower and upper limit of an axis, which includes the intervals and the points, with two exceptions.

    Of many points the outermost 0.1 % on each side are left out if including them makes the axis more than 1.5 times
    as long. Up to 3 % are strays if the axis would be more than 10 times as long as the shortest interval that holds
    all others: then it ends at most 1.5 times that length beyond them, whatever the intervals are.

    Parameters
    ----------
    values : ndarray of shape (n,)
        Without NaN.
    *intervals : (ndarray, ndarray)
        Lower and upper ends of intervals that the axis must include.
    weights : ndarray of shape (n,), default=None
        Of the points; the shares are shares of their sum.
    """
    least, most = values.min(initial=np.inf), values.max(initial=-np.inf)
    fence = _fence(values, weights, most - least)
    if fence is not None:
        inside = values[(values >= fence[0]) & (values <= fence[1])]
        low, high = inside.min(), inside.max()
        for lower, upper in intervals:
            reaches = (lower <= fence[1]) & (upper >= fence[0])
            low = min(low, np.clip(lower[reaches], *fence).min(initial=np.inf))
            high = max(high, np.clip(upper[reaches], *fence).max(initial=-np.inf))
        return _with_margin(low, high)
    low, high = least, most
    if len(values) >= _MANY:
        low, high = _edges(values, weights)
    low = min([low, *(np.min(lower) for lower, _ in intervals)])
    high = max([high, *(np.max(upper) for _, upper in intervals)])
    if not np.isfinite([low, high]).all():  # no value and no interval
        return 0.0, 1.0
    if max(high, most) - min(low, least) <= _STRETCH * (high - low):
        low, high = min(low, least), max(high, most)
    return _with_margin(low, high)


def _log_limits(values, *intervals, weights=None):
    """The same for a logarithmic axis and positive values; where an interval begins at or below 0, its end counts."""
    values, logs = np.log10(values), []
    for lower, upper in intervals:
        upper, lower = np.log10(upper[upper > 0]), lower[upper > 0]
        begin = np.log10(np.where(lower > 0, lower, 1.0))
        lower = np.where(lower > 0, begin, np.minimum(upper, values.min(initial=np.inf)))
        logs += [(lower, upper)] if upper.size else []
    low, high = limits(values, *logs, weights=weights)
    return 10.0**low, 10.0**high


def _with_margin(low, high):
    margin = 0.04 * (high - low)
    if not margin > 8 * np.finfo(float).eps * max(abs(low), abs(high)):
        margin = max(abs(low) * 1e-3, 1e-3)
    return low - margin, high + margin


def _fence(values, weights, span):
    """Where the axis ends at most, (low, high), if there are strays among the points; else None."""
    if len(values) < _FEWEST:
        return None
    starts, ends = _intervals(values) if weights is None else _weighted_intervals(values, weights)
    shortest = np.argmin(ends - starts)
    start, end = starts[shortest], ends[shortest]
    width = end - start
    if not 0 < _FAR * width < span:
        return None
    return start - _ROOM * width, end + _ROOM * width


def _intervals(values):
    """Ends of intervals that hold all points but `_STRAYS`, from the leftmost to the rightmost."""
    n = len(values)
    spare = max(1, int(_STRAYS * n))
    first = np.unique(np.linspace(0, spare, _OFFSETS).round().astype(int))
    last = first + n - 1 - spare
    ordered = np.partition(values, np.unique(np.concatenate([first, last])))
    return ordered[first], ordered[last]


def _edges(values, weights):
    """The least and the greatest value without the outermost points."""
    n = len(values)
    if weights is None:
        edge = int(_EDGE * n) + 1
        return np.partition(values, (edge, n - 1 - edge))[[edge, n - 1 - edge]]
    order = np.argsort(values, kind="stable")
    total, share = np.cumsum(weights[order]), _EDGE + 1 / n
    first, last = np.searchsorted(total, np.array([share, 1 - share]) * total[-1])
    return values[order[[first, last]]]


def _weighted_intervals(values, weights):
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    first = np.searchsorted(total, np.linspace(0, _STRAYS, _OFFSETS) * total[-1])
    last = np.searchsorted(total, np.linspace(1 - _STRAYS, 1, _OFFSETS) * total[-1] * (1 - 1e-12))
    return values[order[first]], values[order[last]]


def is_outside(values, bounds):
    """Which points lie outside the axes, bool, (n,); `bounds` holds a pair of limits for each column."""
    inside = np.ones(len(values), dtype=bool)
    for column, (low, high) in zip(values.T, bounds, strict=True):
        inside &= (column >= low) & (column <= high)
    return ~inside
