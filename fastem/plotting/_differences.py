"""A criterion's axis that bad models don't squash: differences to the best, logarithmic where they are large."""

import numpy as np

from ..extras import needed
from ._words import MINUS, short

_SQUASHED = 20  # the largest difference is that many times the lower quartile: then the axis is logarithmic
_LINEAR = 0.25  # quantile of the differences up to which the axis stays linear, rounded down to a power of ten
_ROOM = 0.08  # at each end of the axis, of its length


class DifferenceScale:
    """The scale: linear up to `unit` from the best value, then logarithmic.

    Values stay what they are; only the scale changes, and ticks are labelled by differences, '+10', '+100'.

    Parameters
    ----------
    values : ndarray of shape (m,)
        Those that the axis shows, finite.
    best : float
    unit : float
    """

    def __init__(self, values, best, unit):
        self._values, self._best, self._unit = values, best, unit

    @classmethod
    def of(cls, values, best):
        """The scale for these values, or None if a linear one shows them all."""
        differences = np.abs(values - best)
        differences = differences[differences > 0]
        if not differences.size:
            return None
        usual = np.quantile(differences, _LINEAR)
        if differences.max() < _SQUASHED * usual:
            return None
        return cls(values, best, 10.0 ** np.floor(np.log10(usual)))

    def forward(self, y):
        """Position of a value: up to 1 on the linear part, then 1 more for each power of ten."""
        share = (np.asarray(y, dtype=float) - self._best) / self._unit
        size = np.abs(share)
        return np.sign(share) * np.where(size <= 1, size, 1 + np.log10(np.maximum(size, 1)))

    def backward(self, z):
        """Value of a position."""
        z = np.asarray(z, dtype=float)
        size = np.abs(z)
        share = np.where(size <= 1, size, 10 ** np.clip(size - 1, 0, 300))
        return self._best + self._unit * np.sign(z) * share

    def limits(self):
        """Limits of the axis, with some room beyond the values."""
        low, high = self.forward(np.array([self._values.min(), self._values.max()]))
        room = _ROOM * (high - low)
        return tuple(self.backward(np.array([low - room, high + room])).tolist())

    def apply(self, ax):
        """Give the vertical axis this scale, its limits and its ticks."""
        ax.set_yscale("function", functions=(self.forward, self.backward))
        ax.set_ylim(*self.limits())
        sign = 1 if self._values.max() - self._best > self._best - self._values.min() else -1
        decades = int(np.ceil(np.log10(np.abs(self._values - self._best).max() / self._unit)))
        sizes = self._unit * 10.0 ** np.arange(decades + 1)
        ax.set_yticks(self._best + sign * np.append(0, sizes), ["best", *(_text(sign * size) for size in sizes)])
        fine = np.multiply.outer(sizes, np.arange(2, 10)).ravel()
        low, high = self.limits()
        fine = self._best + sign * fine
        ax.set_yticks(fine[(fine > low) & (fine < high)], minor=True)
        ax.yaxis.set_minor_formatter(needed("matplotlib.ticker", "plot").NullFormatter())
        ax.set_ylim(low, high)


def _text(difference):
    size = abs(difference)
    return ("+" if difference > 0 else MINUS) + (f"{size:,.0f}" if 1 <= size < 1e7 else short(f"{size:g}"))
