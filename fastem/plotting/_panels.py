"""A mixture on one axes: over one feature (`LinePanel`) or two (`PlanePanel`); both can be redrawn for a film."""

import numpy as np

from ..extras import needed
from ._cloud import FEW, Cloud
from ._limits import is_outside
from ._points import is_seen, size_of
from ._style import grey, ink, outside_note, paper, shades
from ._words import fitted

ELLIPSES = {1: (1.6, 1.0), 2: (1.1, 0.75), 3: (0.8, 0.5)}
"""Standard deviations at which ellipses are drawn: line width and opacity of each."""
_GRID = 200
_NUMBERED = 30  # components, at most, that are drawn with their numbers
_SMALL = 0.75  # width of axes, relative to usual ones, below which only the heaviest components are numbered
_BACK = 0.45  # opacity of components in the background, relative to the others'
_VERTICES = 400  # of an ellipse on logarithmic axes
_NARROW = 0.25  # standard deviation of a component, in bins, below which the density axis may end below its peak
_LOWEST = 5  # the density axis ends at most that many times higher than the curves


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
    in_front : ndarray of bool of shape (K,), default=None
        Components drawn as usual; others are faded. None: all.
    weights : ndarray of shape (n,), default=None
        Of the points.

    Attributes
    ----------
    cloud : Cloud
    ellipses : list of list of PathPatch
        Ellipses of each component, the innermost first.
    means : list of Line2D
    badges : Badges or None
    contours : QuadContourSet or None
    outside : Text
        How many points and means lie outside the axes; empty if none do.
    """

    def __init__(self, ax, xy, names, bounds, colors, *, share=1.0, ellipses=ELLIPSES, weights=None, in_front=None):
        self.ax, self.colors, self.bounds, self._share, self._looks = ax, colors, bounds, share, ellipses
        self._in_front = np.ones(len(colors), dtype=bool) if in_front is None else in_front
        self._logs = [ax.get_xscale() == "log", ax.get_yscale() == "log"]
        self.cloud = Cloud(ax, xy, bounds, share, weights, self._logs)
        self.ellipses, self.means = [], []
        self.contours = self.badges = self.ellipses_in_words = None
        xlabel, ylabel = (fitted(name, share) for name in names)
        ax.set(xlim=bounds[0], ylim=bounds[1], xlabel=xlabel, ylabel=ylabel)
        ax.set_autoscale_on(False)
        self._n_outside = int(is_outside(xy[is_seen(xy)], bounds).sum())
        self.outside = outside_note(ax, self._n_outside)

    @property
    def points(self):
        """The artist that shows the points."""
        return self.cloud.artist

    @property
    def numbers(self):
        """The texts of the badges."""
        return [] if self.badges is None else self.badges.texts

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
        if self.badges is not None:
            self.badges.anchors, self.badges.is_shown = mixture.means, ~mixture.is_empty
        self.outside = outside_note(self.ax, self._n_outside, n_means_outside(mixture, self.bounds), self.outside)

    def _draw(self, mixture):
        patches = needed("matplotlib.patches", "plot")
        is_numbered = numbered(self._in_front, self._share)
        self.ellipses_in_words = mixture.ellipses_in_words(self._looks)
        for k, color in enumerate(self.colors):
            outlines = []
            for sigma, (width, alpha) in self._looks.items():
                is_faded = not self._in_front[k]
                alpha = 0 if is_faded and sigma != 2 else _BACK * alpha if is_faded else alpha
                look = {"edgecolor": color, "linewidth": width * self._share**0.5, "alpha": alpha, "zorder": 4}
                outlines.append(
                    self.ax.add_patch(patches.PathPatch(self._outline(mixture, k, sigma), fill=False, **look))
                )
            self.ellipses.append(outlines)
            look = {"color": color, "markeredgecolor": paper(), "markeredgewidth": 0.6, "clip_on": True}
            size = 5 * self._share**0.5 if self._in_front[k] else 2.5
            self.means += self.ax.plot(*mixture.means[k], "o", markersize=size, zorder=5 + 0.01 * k, **look)
        if is_numbered.any():
            from ._badges import Badges

            self.badges = self.ax.add_artist(Badges(self.ax, mixture.marks, self.colors, is_numbered, self._share))

    def _outline(self, mixture, k, sigma):
        """The ellipse at sigma deviations, or that holds as much: the image of a circle, in any units of the axes."""
        path = needed("matplotlib.path", "plot").Path
        circle = path.unit_circle()
        if not any(self._logs):
            return path(
                mixture.means[k] + mixture.radius(k, sigma) * circle.vertices @ mixture.factors[k].T, circle.codes
            )
        angles = np.linspace(0, 2 * np.pi, _VERTICES)
        points = (
            mixture.means[k]
            + mixture.radius(k, sigma) * np.column_stack([np.cos(angles), np.sin(angles)]) @ mixture.factors[k].T
        )
        for j in np.flatnonzero(self._logs):
            points[:, j] = np.maximum(points[:, j], 1e-3 * self.bounds[j][0])
        return path(points)

    def show_contours(self, mixture):
        """Draw the highest-density regions: shaded under markers, outlined over an image."""
        x, y = (
            np.geomspace(low, high, _GRID) if is_log else np.linspace(low, high, _GRID)
            for (low, high), is_log in zip(self.bounds, self._logs, strict=True)
        )
        grid = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        log_density = mixture.log_density(grid).reshape(_GRID, _GRID)
        levels = np.unique(mixture.levels())
        if self.cloud.counts is None:
            levels = np.append(levels, max(log_density.max(), levels[-1]) + 1)
            self.contours = self.ax.contourf(x, y, log_density, levels=levels, colors=shades(), zorder=1)
        else:
            look = {"colors": ink(), "linewidths": 0.6, "linestyles": "dashed", "alpha": 0.6, "zorder": 3}
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
    badges : Badges or None
    outside : Text
        How many points and means lie outside the axes; empty if none do.
    """

    contours, ellipses = None, ()

    def __init__(self, ax, x, name, bounds, colors, *, share=1.0, weights=None, in_front=None):
        self.ax, self.colors, self.bounds, self._share = ax, colors, bounds, share
        self._in_front = np.ones(len(colors), dtype=bool) if in_front is None else in_front
        self._is_log = ax.get_xscale() == "log"
        self.curves, self.areas = [], []
        self.total = self.badges = None
        seen = ~np.isnan(x)
        x, weights = x[seen], None if weights is None else weights[seen]
        self._n_outside = int(is_outside(x[:, None], [bounds]).sum())
        if self._is_log:
            positive = x > 0
            of = None if weights is None else weights[positive]
            edges = 10 ** _bins(np.log10(x[positive]), np.log10(bounds), of)
        else:
            edges = _bins(x, bounds, weights)
        heights, _ = np.histogram(x, edges, weights=weights)
        total = len(x) if weights is None else weights.sum()
        heights = heights / ((total or 1) * np.diff(np.log10(edges) if self._is_log else edges))
        self.histogram = ax.stairs(heights, edges, fill=True, color=grey(0.16), zorder=1)
        density = "density per decade" if self._is_log else "density"
        ax.set(xlim=bounds, ylim=(0, 1.08 * heights.max() or 1), xlabel=fitted(name, share), ylabel=density)
        ax.set_autoscale_on(False)
        self.outside = outside_note(ax, self._n_outside)

    @property
    def points(self):
        """The artist that shows the points."""
        return self.histogram

    @property
    def numbers(self):
        """The texts of the badges."""
        return [] if self.badges is None else self.badges.texts

    def show(self, mixture, rises=True):
        """Draw or move the components and their sum; `rises`: let the density axis grow with them."""
        x = self.abscissae(mixture)
        parts = np.exp(mixture.log_densities(x[:, None]))
        parts, noise = np.exp(mixture.log_densities(x[:, None])), np.exp(mixture.log_noise)
        if self._is_log:
            per_decade = np.log(10) * x
            parts, noise = parts * per_decade[:, None], noise * per_decade
        total = parts.sum(axis=1) + noise
        if not self.curves:
            self._draw(mixture)
        for k, part in enumerate(parts.T):
            self.curves[k].set_data(x, part)
            self.areas[k].set_xy(np.column_stack([np.r_[x[0], x, x[-1]], np.r_[0, part, 0]]))
        self.total.set_data(x, total)
        if rises:
            self.ax.set_ylim(0, self._top(mixture, parts))
        if self.badges is not None:
            peaks = [np.interp(mean, x, part) for mean, part in zip(mixture.means[:, 0], parts.T, strict=True)]
            heights = np.minimum(peaks, self.ax.get_ylim()[1])
            self.badges.anchors = np.column_stack([mixture.means[:, 0], heights])
            self.badges.is_shown = ~mixture.is_empty
        self.outside = outside_note(self.ax, self._n_outside, n_means_outside(mixture, [self.bounds]), self.outside)

    def _top(self, mixture, parts):
        """The upper limit of the density axis.

        Components narrower than the bins say little and flatten the rest: the axis may end below their peaks. So may it
        below a bar that is far taller than the curves.
        """
        bars, edges, _ = self.histogram.get_data()
        tallest, peaks = np.max(bars), parts.max(axis=0, initial=0)
        widths = mixture.deviations[:, 0]
        if self._is_log:
            edges, widths = np.log10(edges), widths / (np.log(10) * np.maximum(mixture.means[:, 0], edges[0]))
        is_broad = widths >= _NARROW * np.diff(edges).mean()
        broad = parts[:, is_broad].sum(axis=1).max(initial=0)
        highest = 1.12 * broad
        if not tallest:
            return highest or 1.12 * peaks.max(initial=0) or 1
        tallest = min(tallest, _LOWEST * peaks.max(initial=0)) or tallest
        return max(1.08 * tallest, min(highest, 3 * tallest))

    def _draw(self, mixture):
        patches = needed("matplotlib.patches", "plot")
        is_numbered = numbered(self._in_front, self._share)
        for k, color in enumerate(self.colors):
            fade = 1 if self._in_front[k] else _BACK
            self.areas.append(
                self.ax.add_patch(patches.Polygon(np.zeros((3, 2)), color=color, alpha=0.22 * fade, lw=0, zorder=2))
            )
            look = {"linewidth": 1.4 * self._share**0.5, "alpha": fade, "zorder": 4}
            self.curves += self.ax.plot([], [], color=color, **look)
        if is_numbered.any():
            from ._badges import Badges

            badges = Badges(self.ax, mixture.marks, self.colors, is_numbered, self._share, above=0.8)
            self.badges = self.ax.add_artist(badges)
        # The sum is wider and behind, so that both are visible where one component is nearly all of it.
        (self.total,) = self.ax.plot([], [], color=ink(), linewidth=2.3 * self._share**0.5, zorder=3)

    def abscissae(self, mixture):
        """Abscissae of the curves: evenly spaced, and denser about the means, so that no narrow peak is missed."""
        near = mixture.means + np.linspace(-5, 5, 81) * mixture.deviations
        even = (np.geomspace if self._is_log else np.linspace)(*self.bounds, 500)
        x = np.concatenate([even, near.ravel()])
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


def numbered(in_front, share):
    """Which components have a badge: none of more than 30; in small axes only those in front."""
    if share <= 0.3 or (len(in_front) > _NUMBERED and in_front.all()):
        return np.zeros(len(in_front), dtype=bool)
    return in_front if share < _SMALL or len(in_front) > _NUMBERED else np.ones(len(in_front), dtype=bool)


def n_means_outside(mixture, bounds):
    """Number of components whose mean lies outside the axes."""
    return int((is_outside(mixture.means, bounds) & ~mixture.is_empty).sum())


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
