"""ResponsibilityDisplay: hard and soft assignments of points, and where the model is unsure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.special import entr, softmax

from ..extras import needed
from . import _legend
from ._cloud import FEW
from ._colors import NOISE, palette, to_lab, to_rgb
from ._limits import bounds_of
from ._mixture import Mixture, as_fastem
from ._panels import LinePanel, PlanePanel
from ._points import MAX_POINTS, points_of, responsibilities
from ._points_display import chosen_features
from ._style import align_titles, ink, is_dark, own_figure, size, styled
from ._words import fitted, shortened

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import ArrayLike

    from ..sources.typing import Points

_UNSURE = "#d6d6da", "#8c6bb1", "#3f0a46"  # from sure to unsure: ever darker, also for colour-blind readers
_UNSURE_ON_DARK = "#46464c", "#9a7cc0", "#f3d9ff"  # ever lighter
_ELLIPSES = {2: (0.9, 0.8)}
_LONGEST = 20  # characters of a name
_HEADS = "most probable component", "mixed by responsibility", "entropy of the responsibilities"
_LINE_HEADS = _HEADS[0], "responsibilities", _HEADS[2]


class ResponsibilityDisplay:
    """Hard labels beside soft ones, and where the model is unsure: use `from_estimator` to make one.

    The left panel shows points in the colour of their most probable component, the middle one colours mixed by
    responsibility. The right one shows the entropy of the responsibilities, -sum r log r, in nats: 0 where the model is
    sure, log 2 = 0.69 where two components are equally likely, at most log K. Ellipses are at 2 standard deviations.
    With one feature the panels are the histogram by label, the responsibilities and their entropy as functions of the
    feature.

    Parameters
    ----------
    mixture : Mixture
        The marginal of the features shown.
    points : Points
        The features shown.
    labels : ndarray of int of shape (n,)
    lab : ndarray of shape (n, 3)
        OKLab colours of the points, mixed.
    entropy : ndarray of shape (n,), nats

    Attributes
    ----------
    axes_ : ndarray of three Axes
    figure_ : Figure or SubFigure
    panels_ : list
        The `PlanePanel` of each axes; with one feature, the artists drawn on each.
    colorbar_ : Colorbar or None
    legend_ : Legend
        The components of a histogram; in a plane their names, if they have any, and what the ellipses mean.
    """

    def __init__(self, *, mixture: Any, points: Any, labels: Any, lab: Any, entropy: Any) -> None:
        self.mixture, self.points, self.labels, self.lab, self.entropy = mixture, points, labels, lab, entropy

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Points,
        *,
        sample_weight: ArrayLike | str | None = None,
        features: Sequence[int | str] | None = None,
        feature_names: Sequence[str] | None = None,
        max_points: int = MAX_POINTS,
        fig: Figure | SubFigure | None = None,
    ) -> Self:
        """Draw a model's responsibilities for the points X.

        Parameters
        ----------
        model : GaussianMixture
            Fitted.
        X : array-like of shape (n, D), or a source as in `fit`
            Values may be missing (NaN) if the model has `missing='em'`; such a point is left out where they are needed.
        sample_weight : array-like of shape (n,), default=None
            Multiplicities, as in `fit`. Bars and cells count them; the area of a marker is proportional to them.
        features : list of int or str, default=None
            One or two features to show; by default the two that separate the components best. Responsibilities are
            computed from all features.
        feature_names : list of str of length D, default=None
        max_points : int, default=1_000_000
            If there are more points, an even sample is drawn.
        fig : Figure or SubFigure, default=None
            By default a new one.

        Returns
        -------
        display : ResponsibilityDisplay

        Raises
        ------
        NotFittedError
        ValueError
            If X or `features` don't suit the model.
        ImportError
            Without matplotlib.
        """
        model = as_fastem(model)
        points = points_of(X, model, feature_names, max_points, sample_weight)
        mixture = Mixture.of(model)
        shown, _ = chosen_features(mixture, points.names, features, most=2)
        colors = to_lab(_colors_of(mixture))
        labels, lab, entropy = np.empty(len(points), int), np.empty((len(points), 3)), np.empty(len(points))
        for rows, shares in responsibilities(model, points.values):
            if mixture.noise is not None:
                shares = np.column_stack([shares, np.maximum(1 - shares.sum(axis=1), 0.0)])
            labels[rows], lab[rows], entropy[rows] = shares.argmax(axis=1), shares @ colors, entr(shares).sum(axis=1)
        marginal = mixture.marginal(shown)
        display = cls(mixture=marginal, points=points.only(shown), labels=labels, lab=lab, entropy=entropy)
        return display.plot(fig=fig)

    def plot(self, *, fig: Figure | SubFigure | None = None) -> Self:
        """Draw it.

        Parameters
        ----------
        fig : Figure or SubFigure, default=None

        Returns
        -------
        display : ResponsibilityDisplay
            This one, with its attributes set.
        """
        colors = palette(len(self.mixture))
        is_line = len(self.points.names) == 1
        with styled():
            self.figure_ = own_figure(fig, 10.0, 3.5 if is_line else 3.7)
            self.axes_ = self.figure_.subplots(1, 3, sharex=True, sharey=not is_line)
            bounds = bounds_of(self.points.values, self.mixture, self.points.weights)
            self.colorbar_ = self.legend_ = None
            (self._plot_line if is_line else self._plot_plane)(bounds, colors)
            for ax, head in zip(self.axes_, _LINE_HEADS if is_line else _HEADS, strict=True):
                ax.set_title(head, loc="left")
            align_titles(self.figure_, self.axes_)
            if self.points.weights is not None or self.points.omission:
                self.figure_.suptitle(self.points.in_words, fontsize=size(9), x=0.01, ha="left")
        return self

    def _plot_plane(self, bounds, colors):
        mappable = self._entropy_colors()
        values = to_lab(_colors_of(self.mixture))[self.labels], self.lab, self.entropy[:, None]
        color_of = to_rgb, to_rgb, lambda entropy: mappable.to_rgba(entropy[:, 0])[:, :3]
        # Markers of unsure points, which are few, are drawn on top; in an image no point covers another.
        on_top = np.argsort(self.entropy, kind="stable") if len(self.points) <= FEW else slice(None)
        self.panels_ = []
        for ax, each, color in zip(self.axes_, values, color_of, strict=True):
            xy, weights = self.points.values[on_top], self.points.weights
            look = {"share": 0.7, "ellipses": _ELLIPSES, "in_front": self.mixture.in_front()}
            look["weights"] = None if weights is None else weights[on_top]
            panel = PlanePanel(ax, xy, self.points.names, bounds, colors, **look)
            panel.cloud.paint(each[on_top], color)
            panel.show(self.mixture)
            self.panels_.append(panel)
        for ax in self.axes_[1:]:
            ax.set_ylabel("")
        self.colorbar_ = self.figure_.colorbar(mappable, ax=self.axes_[2], label="nats", fraction=0.06, pad=0.03)
        self.colorbar_.outline.set_visible(False)
        parts = _legend.names(self.mixture, colors), _legend.ellipses(self.mixture, _ELLIPSES)
        self.legend_ = _legend.of_figure(self.figure_, self.axes_, *parts)

    def _entropy_colors(self):
        colors, cm = needed("matplotlib.colors", "plot"), needed("matplotlib.cm", "plot")
        most = max(np.log(2), self.entropy.max())
        unsure = colors.LinearSegmentedColormap.from_list("unsure", _UNSURE_ON_DARK if is_dark() else _UNSURE)
        return cm.ScalarMappable(colors.Normalize(0, most), unsure)

    def _plot_line(self, bounds, colors):
        hard, soft, unsure = self.axes_
        x, name = self.points.values[:, 0], self.points.names[0]
        panel = LinePanel(hard, x, name, bounds[0], colors, share=0.7, weights=self.points.weights)
        name = fitted(name, 0.7)
        colors = _colors_of(self.mixture)
        by_label = self._stack(hard, panel, x, colors)
        grid = panel.abscissae(self.mixture)
        densities = self.mixture.log_densities(grid[:, None])
        if self.mixture.noise is not None:
            densities = np.pad(densities, ((0, 0), (0, 1)), constant_values=self.mixture.log_noise)
        shares = softmax(densities, axis=1)
        lines = [soft.plot(grid, share, color=color)[0] for share, color in zip(shares.T, colors, strict=True)]
        soft.set(xlabel=name, ylabel="responsibility", ylim=(0, 1.02))
        entropy = entr(shares).sum(axis=1)
        (curve,) = unsure.plot(grid, entropy, color=ink())
        unsure.set(xlabel=name, ylabel="nats", ylim=(0, 1.05 * max(np.log(2), entropy.max())))
        shown = np.flatnonzero(self.mixture.in_front())
        names = [shortened(name, _LONGEST) for name in self.mixture.names or self.mixture.marks]
        if self.mixture.noise is not None:
            shown, names = [*shown, len(names)], [*names, "noise"]
        look = {"ncols": 1 if max(map(len, names)) > 6 else 2, "handlelength": 1.0}
        self.legend_ = hard.legend([by_label[k] for k in shown], [names[k] for k in shown], **look)
        self.panels_ = [by_label, lines, [curve]]

    def _stack(self, ax, panel, x, colors):
        """Draw the histogram with each bar divided among the labels."""
        edges, bottom, parts = panel.histogram.get_data().edges, 0.0, []
        weights = np.ones(len(x)) if self.points.weights is None else self.points.weights
        weights = np.where(np.isnan(x), 0.0, weights)  # missing values belong to no bar
        for k, color in enumerate(colors):
            counts, _ = np.histogram(x[self.labels == k], edges, weights=weights[self.labels == k])
            top = bottom + counts / ((weights.sum() or 1) * np.diff(edges))
            parts.append(ax.stairs(top, edges, baseline=bottom, fill=True, color=color, alpha=0.75, zorder=2))
            bottom = top
        return parts


def _colors_of(mixture):
    """The colours of the components, (K, 3), and grey behind them if there is noise."""
    colors = palette(len(mixture))
    return colors if mixture.noise is None else np.vstack([colors, NOISE])
