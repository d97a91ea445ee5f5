"""Base of the displays of points: one axes for one or two features, a corner plot for more."""

from __future__ import annotations

from functools import partial
from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np

from . import _legend
from ._colors import palette, to_rgb
from ._corner import corner
from ._limits import bounds_of
from ._mixture import most_separating
from ._panels import LinePanel, PlanePanel
from ._style import own_axes, set_title, styled

if TYPE_CHECKING:
    from typing import Any, Self

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

MOST_FEATURES = 6
_RUG = 500  # points, at most, that get a tick each; more would merge into a bar


class PointsDisplay:
    """Points with an optional mixture over them.

    Parameters
    ----------
    points : Points
        The features shown.
    lab : ndarray of shape (n, 3)
        OKLab colours of the points.
    mixture : Mixture or None
        The marginal of the features shown.
    title : str
    log : bool or ndarray of bool, default=False
        Which of the features have logarithmic axes.
    """

    with_contours = False

    def __init__(self, *, points: Any, lab: Any, mixture: Any = None, title: Any = "", log: Any = False) -> None:
        self.points, self.lab, self.mixture, self.title = points, lab, mixture, title
        self.log = np.broadcast_to(np.asarray(log, dtype=bool), len(points.names))

    def plot(self, *, ax: Axes | None = None, fig: Figure | SubFigure | None = None, legend: bool = True) -> Self:
        """Draw it.

        Parameters
        ----------
        ax : Axes, default=None
            Axes for one or two features; by default those of a new figure.
        fig : Figure or SubFigure, default=None
            Figure for more features; by default a new one.
        legend : bool, default=True

        Returns
        -------
        display : this one, with its attributes set

        Examples
        --------
        >>> from fastem.datasets import load_faithful
        >>> from fastem.plotting import DataDisplay
        >>> display = DataDisplay.from_data(load_faithful().data)
        >>> display.plot(legend=False).legend_ is None
        True
        """
        if ax is not None and len(self.points.names) > 2:
            raise ValueError(
                f"ax holds one or two features, not {len(self.points.names)}: choose them by features=[0, 1], or pass "
                "fig, a figure or a part of one"
            )
        colors = palette(0 if self.mixture is None else len(self.mixture))
        handles, title = None, self.title
        if self.mixture is not None and legend:
            handles = _legend.entries(self.mixture, colors)
        elif self.points.omission:
            title = f"{title}\n{self.points.omission}"
        with styled():
            if len(self.points.names) > 2:
                parts = handles and (handles, _legend.lines_of_pairs(self.mixture), _legend.omitted(self.points))
                look = {"title": title, "handles": parts and _legend.joined(*parts), "logs": self.log}
                drawn = corner(fig, self.mixture, self.points, self.lab, colors, **look)
                self.figure_, self.axes_, self.panels_, self.legend_ = drawn
            else:
                self._plot_one(ax, colors, title, handles)
        return self

    def _plot_one(self, ax, colors, title, handles):
        texts = [] if handles is None else [*handles[1], *[""] * (1 + self.with_contours + bool(self.points.omission))]
        space = 0 if handles is None else _legend.inches_below(texts)
        is_own = ax is None
        self.ax_ = own_axes(ax, 6.0, 4.0 + space)
        self.figure_ = self.ax_.figure
        scales = (self.ax_.set_xscale, self.ax_.set_yscale)[: len(self.log)]
        for set_scale in (each for each, is_log in zip(scales, self.log, strict=True) if is_log):
            set_scale("log")
        logs = [scale == "log" for scale in (self.ax_.get_xscale(), self.ax_.get_yscale())][: len(scales)]
        bounds = bounds_of(self.points.values, self.mixture, self.points.weights, logs)
        panel = draw_panel(self.ax_, self.mixture, self.points, self.lab, bounds, colors, self.with_contours)
        self.panels_, self.points_ = [panel], panel.points
        self.ellipses_, self.contours_ = panel.ellipses, panel.contours
        set_title(self.ax_, title, is_own)
        self.legend_ = None
        if handles is not None:
            place = _legend.below if is_own else partial(_legend.within, n_kept=bool(self.points.omission))
            parts = handles, _legend.lines(panel), _legend.omitted(self.points)
            self.legend_ = place(self.ax_, *_legend.joined(*parts))


def draw_panel(ax, mixture, points, lab, bounds, colors, with_contours=True):
    """Draw points, and a mixture or None, on axes for one or two features; return the panel."""
    look = {"weights": points.weights, "in_front": None if mixture is None else mixture.in_front()}
    if len(points.names) == 1:
        panel = LinePanel(ax, points.values[:, 0], points.names[0], bounds[0], colors, **look)
        if mixture is not None:
            panel.show(mixture)
        if len(points) <= _RUG:
            panel.show_rug(points.values[:, 0], to_rgb(lab))
        return panel
    panel = PlanePanel(ax, points.values, points.names, bounds, colors, **look)
    panel.cloud.paint(lab)
    if mixture is not None:
        if with_contours:
            panel.show_contours(mixture)
        panel.show(mixture)
    return panel


def chosen_features(mixture, names, features, most=MOST_FEATURES):
    """(numbers of the features to show, a note for the title if they were chosen for the user)."""
    if features is not None:
        features = [features] if isinstance(features, str | Integral) else features
        return np.array([_feature(feature, names) for feature in features]), ""
    if len(names) <= most:
        return np.arange(len(names)), ""
    if mixture is None:
        return np.arange(most), f"\nthe first {most} of {len(names)} features"
    return most_separating(mixture, most), f"\n{most} of {len(names)} features, which separate the components most"


def chosen_logs(log, names):
    """Which features have logarithmic axes, bool, (D,): all, none, or those listed by number or name."""
    if isinstance(log, bool | np.bool_):
        return np.full(len(names), bool(log))
    return np.isin(np.arange(len(names)), chosen_features(None, names, log)[0])


def _feature(feature, names):
    if isinstance(feature, str):
        if feature not in names:
            raise ValueError(f"features: there is no feature {feature!r} among {', '.join(names)}")
        return names.index(feature)
    if not -len(names) <= feature < len(names):
        raise ValueError(f"features: there is no feature {feature}; they are numbered 0 to {len(names) - 1}")
    return int(feature) % len(names)
