"""Points in a plane: markers if they are few, an image of their number and colour per cell if they are many."""

import numpy as np

from ._colors import to_rgb
from ._points import is_seen

FEW = 5_000
"""Points drawn as markers, at most; more are drawn as an image."""
# Area of a marker relative to one of mean weight, least and most: still visible, and not hiding others.
_SIZES = 0.05, 20


class Cloud:
    """Points on axes, which can be recoloured.

    Parameters
    ----------
    ax : Axes
    xy : ndarray of shape (n, 2)
        Points that lack a value (NaN) are left out.
    bounds : ((float, float), (float, float))
        Limits of both axes.
    share : float
        Width of the axes relative to usual ones; smaller axes need fewer cells.
    weights : ndarray of shape (n,), default=None
        Of the points.
    logs : (bool, bool)
        Whether the axes are logarithmic; points whose value there isn't positive are left out.

    Attributes
    ----------
    artist : PathCollection or AxesImage
    counts : ndarray of shape (rows, columns) or None
        Points in each cell of the image; with weights, their sum divided by the mean weight. None for markers.
    """

    def __init__(self, ax, xy, bounds, share=1.0, weights=None, logs=(False, False)):
        self._seen, self._logs = is_seen(xy) & (xy[:, logs] > 0).all(axis=1), logs
        if self._seen.all():
            self._seen = slice(None)
        self._ax, self._xy, self._bounds, self._share = ax, xy[self._seen], bounds, share
        self._weights = None if weights is None or not len(self._xy) else weights[self._seen]
        if self._weights is not None:
            self._weights = self._weights / self._weights.mean()
        self.artist = self.counts = None
        if len(self._xy) > FEW:
            self._count()

    def _count(self):
        n_cells = int(np.clip(70 * len(self._xy) ** 0.115, 180, 340) * max(self._share, 0.5))
        self._shape = int(0.75 * n_cells), n_cells
        cells = []
        inside = np.ones(len(self._xy), dtype=bool)
        for values, limits, n, is_log in zip(self._xy.T, self._bounds, self._shape[::-1], self._logs, strict=True):
            low, high = np.log10(limits) if is_log else limits
            values = np.log10(values) if is_log else values
            index = np.floor((values - low) * (n / (high - low)))
            inside &= (index >= 0) & (index < n)
            cells.append(index)
        self._inside = slice(None) if inside.all() else inside
        column, row = (index[self._inside].astype(np.int32) for index in cells)
        self._cells = row * self._shape[1] + column
        if self._weights is not None:
            self._weights = self._weights[self._inside]
        counts = np.bincount(self._cells, self._weights, minlength=self._shape[0] * self._shape[1])
        self.counts = counts.reshape(self._shape)
        filled = counts[counts > 0]
        densest = np.quantile(filled, 0.995) if filled.size else 1
        shade = np.log1p(counts) / np.log1p(max(densest, 1))
        self._opacity = np.where(counts > 0, np.clip(0.12 + 0.88 * shade, 0, 1), 0).reshape(self._shape)

    def paint(self, values, color_of=to_rgb):
        """Colour the points; a cell of an image gets the colour of its points' mean value.

        Parameters
        ----------
        values : ndarray of shape (n, c)
            Of all the points, also those that are left out.
        color_of : callable
            Maps values (m, c) to colours (m, 3) in sRGB; the default takes OKLab values.
        """
        values = values[self._seen]
        if self.counts is None:
            self._markers(color_of(values))
        else:
            self._image(values, color_of)
        return self.artist

    def _weighted(self, channel):
        return channel if self._weights is None else channel * self._weights

    def _markers(self, colors):
        if self.artist is not None:
            self.artist.set_facecolor(colors)
            return
        size = float(np.clip(4000 / max(1, len(self._xy)), 3, 18)) * self._share
        if self._weights is not None:
            size = size * np.clip(self._weights, *_SIZES)
        self.artist = self._ax.scatter(*self._xy.T, s=size, c=colors, alpha=0.75, linewidths=0, zorder=2)

    def _image(self, values, color_of):
        n = self.counts.size
        sums = [np.bincount(self._cells, self._weighted(channel[self._inside]), minlength=n) for channel in values.T]
        counts = self.counts.reshape(-1, 1)
        means = np.column_stack(sums) / np.where(counts > 0, counts, 1)
        pixels = np.dstack([color_of(means).reshape(*self._shape, 3), self._opacity])
        if self.artist is not None:
            self.artist.set_array(pixels) if any(self._logs) else self.artist.set_data(pixels)
            return
        if any(self._logs):
            edges = [
                (np.geomspace if is_log else np.linspace)(*limits, n + 1)
                for limits, n, is_log in zip(self._bounds, self._shape[::-1], self._logs, strict=True)
            ]
            self.artist = self._ax.pcolormesh(*edges, pixels, zorder=2, rasterized=True)
            return
        (left, right), (bottom, top) = self._bounds
        self.artist = self._ax.imshow(
            pixels,
            extent=(left, right, bottom, top),
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            zorder=2,
        )
