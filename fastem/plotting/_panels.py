"""A mixture on one axes: over one feature (`LinePanel`) or two (`PlanePanel`); both can be redrawn for a film."""

import numpy as np

from ..extras import needed
from ._cloud import FEW, Cloud
from ._points import is_seen, limits, n_outside, size_of
from ._style import INK, SHADES, counted, note

ELLIPSES = {1: (1.6, 1.0), 2: (1.1, 0.75), 3: (0.8, 0.5)}
"""Standard deviations at which ellipses are drawn: line width and opacity of each."""
_REACH = 3.05  # standard deviations about the means that the axes must include
_GRID = 200
_NUMBERED = 30  # components, at most, that are drawn with their numbers


def bounds_of(values, mixture=None):
    """Limits of the axes, one pair for each column, whose missing values (NaN) don't count."""
    columns = [column[~np.isnan(column)] for column in values.T]
    if mixture is None or mixture.is_empty.all():
        return [limits(column) for column in columns]
    means, reach = mixture.means[~mixture.is_empty], _REACH * mixture.deviations[~mixture.is_empty]
    low, high = means - reach, means + reach
    return [limits(column, (low[:, j], high[:, j])) for j, column in enumerate(columns)]


class PlanePanel:
    """Points and components over two features.

    Parameters
    ----------
    ax : Axes
    xy : ndarray of shape (n, 2)
        Points that lack a value (NaN) are left out.
    names : list of two str
    bounds : list of two pairs of floats
    colors : ndarray of shape (K, 3)
    share : float
        Width of the axes relative to usual ones; smaller axes have smaller marks.
    weights : ndarray of shape (n,), default=None
        Of the points.

    Attributes
    ----------
    cloud : Cloud
    ellipses : list of list of PathPatch
        Ellipses of each component, the innermost first.
    means, numbers : list of Line2D, list of Text
    contours : QuadContourSet or None
    """

    def __init__(self, ax, xy, names, bounds, colors, *, share=1.0, ellipses=ELLIPSES, weights=None):
        self.ax, self.colors, self.bounds, self._share, self._looks = ax, colors, bounds, share, ellipses
        self.cloud = Cloud(ax, xy, bounds, share, weights)
        self.ellipses, self.means, self.numbers = [], [], []
        self.contours = self.outside = None
        ax.set(xlim=bounds[0], ylim=bounds[1], xlabel=names[0], ylabel=names[1])
        ax.set_autoscale_on(False)
        if outside := n_outside(xy[is_seen(xy)], *bounds):
            self.outside = note(ax, f"{counted(outside, 'point')} outside")

    @property
    def points(self):
        """The artist that shows the points."""
        return self.cloud.artist

    def show(self, mixture):
        """Draw the components, or move them if they are drawn already."""
        if not self.ellipses:
            self._draw(mixture)
        for k, outlines in enumerate(self.ellipses):
            for sigma, outline in zip(self._looks, outlines, strict=True):
                outline.set_path(self._outline(mixture, k, sigma))
                outline.set_visible(not mixture.is_empty[k])
            self.means[k].set_data(*mixture.means[k][:, None])
            self.means[k].set_visible(not mixture.is_empty[k])
            if self.numbers:
                self.numbers[k].set_position(mixture.means[k])
                self.numbers[k].set_visible(not mixture.is_empty[k])

    def _draw(self, mixture):
        patches = needed("matplotlib.patches", "plot")
        is_numbered = len(mixture) <= _NUMBERED and self._share > 0.3
        for k, color in enumerate(self.colors):
            outlines = []
            for sigma, (width, alpha) in self._looks.items():
                look = {"edgecolor": color, "linewidth": width * self._share**0.5, "alpha": alpha, "zorder": 4}
                outlines.append(
                    self.ax.add_patch(patches.PathPatch(self._outline(mixture, k, sigma), fill=False, **look))
                )
            self.ellipses.append(outlines)
            size = (9 if is_numbered else 5) * self._share**0.5
            look = {"color": color, "markeredgecolor": "white", "markeredgewidth": 0.8, "clip_on": True}
            self.means += self.ax.plot(*mixture.means[k], "o", markersize=size, zorder=5 + 0.01 * k, **look)
            if is_numbered:
                look = {"fontsize": 6.5 * self._share**0.5, "color": "white", "fontweight": "bold", "clip_on": True}
                at = {"ha": "center", "va": "center_baseline", "zorder": 5.005 + 0.01 * k}
                self.numbers.append(self.ax.text(*mixture.means[k], mixture.marks[k], **look, **at))

    @staticmethod
    def _outline(mixture, k, sigma):
        """The ellipse at sigma deviations: the image of a circle, so units and scales of the axes don't matter."""
        path = needed("matplotlib.path", "plot").Path
        circle = path.unit_circle()
        return path(mixture.means[k] + sigma * circle.vertices @ mixture.factors[k].T, circle.codes)

    def show_contours(self, mixture):
        """Draw the highest-density regions: shaded under markers, outlined over an image."""
        x, y = (np.linspace(low, high, _GRID) for low, high in self.bounds)
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        log_density = mixture.log_density(grid).reshape(_GRID, _GRID)
        levels = np.unique(mixture.levels())
        if self.cloud.counts is None:
            levels = np.append(levels, max(log_density.max(), levels[-1]) + 1)
            self.contours = self.ax.contourf(x, y, log_density, levels=levels, colors=SHADES, zorder=1)
        else:
            look = {"colors": INK, "linewidths": 0.6, "linestyles": "dashed", "alpha": 0.6, "zorder": 3}
            self.contours = self.ax.contour(x, y, log_density, levels=levels, **look)


class LinePanel:
    """The histogram of one feature, the density of each component times its weight, and their sum, noise included.

    Parameters
    ----------
    ax : Axes
    x : ndarray of shape (n,)
        Missing values (NaN) are left out.
    name : str
    bounds : (float, float)
    colors : ndarray of shape (K, 3)
    weights : ndarray of shape (n,), default=None
        Of the points.

    Attributes
    ----------
    histogram : StepPatch
        Density of the points: the count (or sum of weights) of each bin over that of all points and its width.
    curves : list of Line2D
    areas : list of Polygon
    total : Line2D
        Density of the mixture.
    numbers : list of Text
    """

    contours, ellipses = None, ()

    def __init__(self, ax, x, name, bounds, colors, *, share=1.0, weights=None):
        self.ax, self.colors, self.bounds, self._share = ax, colors, bounds, share
        self.curves, self.areas, self.numbers = [], [], []
        self.total = self.outside = None
        seen = ~np.isnan(x)
        x, weights = x[seen], None if weights is None else weights[seen]
        heights, edges = np.histogram(x, _bins(x, bounds, weights), weights=weights)
        total = len(x) if weights is None else weights.sum()
        heights = heights / ((total or 1) * np.diff(edges))
        self.histogram = ax.stairs(heights, edges, fill=True, color="#dcdcdc", zorder=1)
        ax.set(xlim=bounds, ylim=(0, 1.08 * heights.max() or 1), xlabel=name, ylabel="density")
        ax.set_autoscale_on(False)
        if outside := n_outside(x[:, None], bounds):
            self.outside = note(ax, f"{counted(outside, 'point')} outside")

    @property
    def points(self):
        """The artist that shows the points."""
        return self.histogram

    def show(self, mixture, rises=True):
        """Draw or move the components and their sum; `rises`: let the density axis grow with them."""
        x = self._abscissae(mixture)
        parts = np.exp(mixture.log_densities(x[:, None]))
        total = parts.sum(axis=1) + np.exp(mixture.log_noise)
        if not self.curves:
            self._draw(mixture)
        for k, part in enumerate(parts.T):
            self.curves[k].set_data(x, part)
            self.areas[k].set_xy(np.column_stack([np.r_[x[0], x, x[-1]], np.r_[0, part, 0]]))
        self.total.set_data(x, total)
        if rises:
            # The limit is at most 3 times the histogram: a component narrower than a few bins would flatten it.
            tallest = np.max(self.histogram.get_data().values)
            highest = 1.12 * total.max()
            self.ax.set_ylim(0, max(1.08 * tallest, min(highest, 3 * tallest)) or highest or 1)
        top = self.ax.get_ylim()[1]
        for k, number in enumerate(self.numbers):
            peak = min(np.interp(mixture.means[k, 0], x, parts[:, k]), 0.94 * top)
            number.xy = mixture.means[k, 0], peak
            number.set_visible(not mixture.is_empty[k])

    def _draw(self, mixture):
        patches = needed("matplotlib.patches", "plot")
        for k, color in enumerate(self.colors):
            self.areas.append(
                self.ax.add_patch(patches.Polygon(np.zeros((3, 2)), color=color, alpha=0.22, lw=0, zorder=2))
            )
            self.curves += self.ax.plot([], [], color=color, linewidth=1.4 * self._share**0.5, zorder=4)
            if len(mixture) <= _NUMBERED and self._share > 0.3:
                look = {"fontsize": 7 * self._share**0.5, "color": "white", "fontweight": "bold", "clip_on": True}
                box = {"boxstyle": "circle,pad=0.25", "facecolor": color, "edgecolor": "white", "linewidth": 0.6}
                at = {"ha": "center", "va": "center", "zorder": 5 + 0.01 * k}
                place = {"xy": (0, 0), "xytext": (0, 8 * self._share**0.5), "textcoords": "offset points"}
                self.numbers.append(self.ax.annotate(mixture.marks[k], **place, bbox=box, **look, **at))
        # The sum is wider and behind, so that both are visible where one component is nearly all of it.
        (self.total,) = self.ax.plot([], [], color=INK, linewidth=2.3 * self._share**0.5, zorder=3)

    def _abscissae(self, mixture):
        """Abscissae of the curves: evenly spaced, and denser about the means, so that no narrow peak is missed."""
        near = mixture.means + np.linspace(-5, 5, 81) * mixture.deviations
        x = np.concatenate([np.linspace(*self.bounds, 500), near.ravel()])
        return np.unique(x[(x >= self.bounds[0]) & (x <= self.bounds[1])])

    def show_rug(self, x, colors):
        """Draw a tick for each point at the axis."""
        lines = needed("matplotlib.collections", "plot").LineCollection
        # In units of the axes: from the bottom up to 2.5 % of their height, for any limits.
        seen = ~np.isnan(x)
        x, colors = x[seen], colors[seen]
        segments = np.stack([np.column_stack([x, np.full(len(x), y)]) for y in (0.0, 0.025)], axis=1)
        rug = lines(segments, colors=colors, linewidths=0.6, alpha=0.8, zorder=6)
        rug.set_transform(self.ax.get_xaxis_transform())
        return self.ax.add_collection(rug, autolim=False)


def _bins(x, bounds, weights=None):
    """Edges of bins: as wide as Freedman & Diaconis (1981) suggest for one mode, or narrower in case there are several.

    If values are rounded, every bin covers the same number of possible values, so the histogram isn't a comb.
    """
    low, high = max(x.min(initial=np.inf), bounds[0]), min(x.max(initial=-np.inf), bounds[1])
    if not high > low:
        return np.linspace(*bounds, 31)
    lower, upper = np.quantile(x, [0.25, 0.75]) if weights is None else _weighted_quartiles(x, weights)
    size = size_of(len(x), weights)
    n_by_width = (high - low) * size ** (1 / 3) / (2 * (upper - lower)) if upper > lower else 1
    n = int(np.clip(max(n_by_width, min(30, 2 * size**0.5)), 8, 300))
    step = _rounding(x) if len(x) <= FEW else 0
    if not 0 < step < high - low:
        return np.linspace(low, high, n + 1)
    width = step * max(1, round((high - low) / n / step))
    return np.arange(low - step / 2, high + width, width)


def _weighted_quartiles(x, weights):
    """The first and third quartile of weighted points: the least values with 1/4 and 3/4 of the weight up to them."""
    order = np.argsort(x, kind="stable")
    total = np.cumsum(weights[order])
    return x[order[np.searchsorted(total, np.array([0.25, 0.75]) * total[-1])]]


def _rounding(x):
    """The step of which all values, less the least, are multiples; 0 if there is none."""
    values = np.unique(x)
    step = np.diff(values).min(initial=np.inf)
    multiples = (values - values[0]) / step
    is_rounded = len(values) > 1 and multiples[-1] < 1000 and np.abs(multiples - np.round(multiples)).max() < 0.01
    return step if is_rounded else 0
