"""ConditionalDisplay: the density of one feature along another, over the data."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..extras import needed
from . import _legend
from ._cloud import Cloud
from ._colors import palette
from ._limits import bounds_of, is_outside
from ._mixture import Mixture, as_fastem
from ._points import feature_names_of, is_seen, mixed_colors, points_of
from ._points_display import chosen_features
from ._style import grey, ink, outside_note, own_axes, paper, styled
from ._words import fitted, wrapped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Self

    from matplotlib.axes import Axes
    from numpy.typing import ArrayLike

    from ..sources.typing import Points

_BAND = 0.1  # opacity
_EDGE = {"linewidth": 0.7, "linestyle": "dashed"}
_TITLE, _LABEL = 72, 60  # characters of a line
_GRID = 320  # cells of the image in each direction
_MASS = 0.99  # of the horizontal feature: where it is rarer, the picture fades
_FAINTEST = 0.02  # opacity below which the mean and its band end
_MAX_POINTS = 2_000  # more would hide the image
_RARE = 1e-3  # weight, relative to the greatest, of components that the axes needn't include


class ConditionalDisplay:
    """The density of one feature given another: use `from_estimator` to make one.

    Each column of the image shows p(y | x), relative to its maximum at this x. A line shows the mean of y given x (the
    regression), a band one standard deviation on each side. The image fades where x lies outside the densest 99 % of
    the mixture, for there the model knows little; the line ends where the density of x is a fiftieth of that at the
    boundary. Points have the colours of their components, mixed by responsibility. Other features are integrated out,
    or held at the values given.

    Parameters
    ----------
    mixture : Mixture
        Of the two features, the horizontal one first.
    names : list of two str
    points : Points or None
        Of these features.
    lab : ndarray of shape (n, 3) or None
        OKLab colours of the points.
    held : dict of str to float, default=None
        The values given of other features, by name.

    Attributes
    ----------
    ax_ : Axes
    figure_ : Figure or SubFigure
    image_ : AxesImage
        Its opacity is that of the column.
    density_ : ndarray of shape (rows, columns)
        p(y | x) at the centres of the image's cells, from the least y and x.
    mean_ : Line2D
    band_ : FillBetweenPolyCollection
    points_ : PathCollection, AxesImage or None
    colorbar_ : Colorbar or None
        None on axes that the user passed.
    legend_ : Legend or None

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> from fastem.plotting import ConditionalDisplay
    >>> X = load_faithful().data
    >>> model = GaussianMixture(2).fit(X)
    >>> _ = ConditionalDisplay.from_estimator(model, X, features=[0, 1])  # doctest: +SKIP
    """

    def __init__(self, *, mixture: Any, names: Any, points: Any = None, lab: Any = None, held: Any = None) -> None:
        self.mixture, self.names, self.points, self.lab, self.held = mixture, names, points, lab, held or {}

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Points | None = None,
        *,
        features: Sequence[int | str] | None = None,
        given: Mapping[Any, float] | None = None,
        sample_weight: ArrayLike | str | None = None,
        feature_names: Sequence[str] | None = None,
        max_points: int = _MAX_POINTS,
        ax: Axes | None = None,
        legend: bool = True,
    ) -> Self:
        """Draw the density of one feature of a fitted mixture along another.

        Parameters
        ----------
        model : GaussianMixture
            Fitted.
        X : array-like of shape (n, D), or a source as in `fit`, default=None
            Points to draw over it; those that lack one of the two features are left out.
        features : (int or str, int or str), default=None
            The horizontal feature and the one whose density is shown, by number or name. Default: the two that separate
            the components best.
        given : dict, default=None
            Values of other features, by number or name, at which the density is shown. The points are drawn whatever
            their values of these.
        sample_weight : array-like of shape (n,), default=None
            Multiplicities, as in `fit`; the area of a marker is proportional to them.
        feature_names : list of str of length D, default=None
            By default those seen in `fit`, or those of X.
        max_points : int, default=2_000
            If there are more points, an even sample is drawn.
        ax : Axes, default=None
            By default those of a new figure, with a colour bar beside them.
        legend : bool, default=True

        Returns
        -------
        display : ConditionalDisplay

        Raises
        ------
        NotFittedError
        ValueError
            If X, `features` or `given` don't suit the model.
        ImportError
            Without matplotlib.
        """
        model = as_fastem(model)
        points = None if X is None else points_of(X, model, feature_names, max_points, sample_weight)
        names = feature_names_of(model, feature_names) if points is None else points.names
        held = _given(given, names)
        free = [j for j in range(len(names)) if j not in held]
        mixture = Mixture.of(model.conditional(held) if held else model)
        if features is None:
            pair = np.array(free)[chosen_features(mixture, free, None, most=2)[0]]
        else:
            pair, _ = chosen_features(None, names, features)
        if len(pair) != 2 or pair[0] == pair[1]:
            raise ValueError(
                "features should name two different features: the horizontal one, then the one shown along it"
            )
        if not set(pair) <= set(free):
            raise ValueError("given should hold other features than the two shown")
        mixture = mixture.marginal([free.index(j) for j in pair])
        return cls(
            mixture=_without_rare(mixture),
            names=[names[j] for j in pair],
            points=None if points is None else points.only(pair),
            lab=None if points is None else mixed_colors(model, points.values),
            held={names[j]: value for j, value in held.items()},
        ).plot(ax=ax, legend=legend)

    def plot(self, *, ax: Axes | None = None, legend: bool = True) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, default=None
            By default those of a new figure, with a colour bar beside them.
        legend : bool, default=True

        Returns
        -------
        display : ConditionalDisplay
            This one, with its attributes set.
        """
        if ax is not None and {ax.get_xscale(), ax.get_yscale()} != {"linear"}:
            raise ValueError("ax should have linear axes for a ConditionalDisplay: its image has cells of equal size")
        values = np.empty((0, 2)) if self.points is None else self.points.values
        bounds = bounds_of(values, self.mixture, self.points and self.points.weights)
        n_names = len(_legend.names(self.mixture, palette(len(self.mixture)))[1])
        with styled():
            self.ax_ = own_axes(ax, 6.0, 4.0 + (_legend.inches_below([""] * (5 + n_names)) if legend else 0))
            self.figure_ = self.ax_.figure
            self.ax_.set(
                xlim=bounds[0], ylim=bounds[1], xlabel=fitted(self.names[0]), ylabel=fitted(self.names[1], 0.7)
            )
            self.ax_.set_autoscale_on(False)
            given = [self.names[0], *(f"{name} = {value:g}" for name, value in self.held.items())]
            title = f"{self.names[1]} given {', '.join(given)}"
            self.ax_.set_title("\n".join(wrapped(title, _TITLE, 3)), loc="left")
            colors = self._draw_density(bounds)
            self._draw_mean(bounds[0])
            self._draw_points(values, bounds)
            self.colorbar_ = self._bar(colors) if ax is None else None
            place = _legend.below if ax is None else _legend.within
            self.legend_ = place(self.ax_, *self._entries()) if legend else None
        return self

    def _opacity(self, x):
        """1 within the densest 99 % of the horizontal feature, else its density relative to that at their boundary."""
        feature = self.mixture.marginal([0])
        return np.exp(np.minimum(feature.log_density(x[:, None]) - feature.levels([_MASS])[0], 0))

    def _draw_density(self, bounds):
        x, y = (np.linspace(low, high, 2 * _GRID + 1)[1::2] for low, high in bounds)
        log_density = self.mixture.log_conditional(x, y)
        self.density_ = np.exp(log_density)
        mpl, cm = needed("matplotlib.colors", "plot"), needed("matplotlib.cm", "plot")
        colors = cm.ScalarMappable(mpl.Normalize(0, 1), mpl.LinearSegmentedColormap.from_list("density", _shades()))
        pixels = colors.to_rgba(np.exp(log_density - log_density.max(axis=0)))
        pixels[:, :, 3] = self._opacity(x)
        look = {"origin": "lower", "aspect": "auto", "interpolation": "nearest", "zorder": 1}
        self.image_ = self.ax_.imshow(pixels, extent=(*bounds[0], *bounds[1]), **look)
        return colors

    def _draw_mean(self, bounds):
        x = np.linspace(*bounds, 4 * _GRID)
        mean, deviation = self.mixture.regression(x)
        mean[self._opacity(x) < _FAINTEST] = np.nan
        edges = mean - deviation, mean + deviation
        self.band_ = self.ax_.fill_between(x, *edges, color=ink(), alpha=_BAND, linewidth=0, zorder=3)
        for edge in edges:
            self.ax_.plot(x, edge, color=ink(), zorder=3, **_EDGE)
        (self.mean_,) = self.ax_.plot(x, mean, color=ink(), linewidth=1.8, zorder=4)

    def _draw_points(self, values, bounds):
        self.points_ = None
        if self.points is None:
            return
        self.points_ = Cloud(self.ax_, values, bounds, weights=self.points.weights).paint(self.lab)
        outside_note(self.ax_, int(is_outside(values[is_seen(values)], bounds).sum()))

    def _bar(self, colors):
        label = "\n".join(wrapped(f"density given {self.names[0]}, relative to its maximum there", _LABEL, 2))
        bar = self.figure_.colorbar(colors, ax=self.ax_, label=label, fraction=0.05, pad=0.02, ticks=[0, 0.5, 1])
        bar.outline.set_visible(False)
        return bar

    def _entries(self):
        """(handles, texts) of the legend."""
        to_rgba = needed("matplotlib.colors", "plot").to_rgba
        line, patch = needed("matplotlib.lines", "plot").Line2D, needed("matplotlib.patches", "plot").Patch
        band = patch(facecolor=to_rgba(ink(), _BAND), edgecolor=ink(), **_EDGE)
        handles = [self.mean_, band, patch(facecolor=to_rgba(_shades()[2], 0.4))]
        texts = ["mean", "\N{PLUS-MINUS SIGN} 1 standard deviation", "fades where points are rare"]
        if self.points is None:
            return handles, texts
        dot = line([], [], marker="o", color=ink(), markersize=3, linestyle="none")
        regardless = ", condition ignored" if self.held else ""
        shown = [dot], [f"{self.points}{regardless}"]
        names = _legend.names(self.mixture, palette(len(self.mixture)))
        return _legend.joined((handles, texts), shown, names, _legend.omitted(self.points))


def _shades():
    """Colours of the density, from 0 to its maximum."""
    return [paper(), grey(0.19), grey(0.5)]


def _given(given, names):
    """The values of features that are held, by number."""
    given = given or {}
    numbers, _ = chosen_features(None, names, list(given))
    held = {int(j): float(value) for j, value in zip(numbers, given.values(), strict=True)}
    for j, value in held.items():
        if not np.isfinite(value):
            raise ValueError(f"given should hold finite values, but that of {names[j]} is {value}")
    if len(held) > len(names) - 2:
        raise ValueError(f"given should leave two features to show, but holds {len(held)} of {len(names)}")
    return held


def _without_rare(mixture):
    """The mixture with components marked as empty, which the axes needn't include, if they have nearly no weight."""
    is_rare = mixture.weights < _RARE * mixture.weights.max()
    return replace(mixture, is_empty=mixture.is_empty | is_rare)
