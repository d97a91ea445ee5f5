"""IterationDisplay: the mixtures of some iterations side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from . import _legend
from ._colors import palette
from ._limits import bounds_of
from ._panels import LinePanel, PlanePanel
from ._points import MAX_POINTS, mixed_colors, points_of
from ._points_display import chosen_features
from ._run import moments, run_of
from ._style import align_titles, evenly, own_figure, size, styled
from ._words import nats

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import ArrayLike

    from ..sources.typing import Points

_ELLIPSES = {1: (1.5, 1.0), 2: (1.0, 0.7)}


class IterationDisplay:
    """A strip of frames from a fit: use `from_frames` to make one.

    Each panel shows the mixture after some iterations: its log-likelihood in nats per point, the points in the colours
    of its components, and ellipses at 1 and 2 standard deviations. All panels have the axes of the last frame.

    Parameters
    ----------
    run : Run
    chosen : ndarray of int
        Numbers of the run's frames to show.
    points : Points
        The points, with all features.
    features : ndarray of int
        The one or two features shown.

    Attributes
    ----------
    axes_ : ndarray of Axes
        One for each iteration shown, in their order.
    figure_ : Figure or SubFigure
    panels_ : list of PlanePanel or LinePanel
    n_iter_ : ndarray of int
        Iterations shown.
    legend_ : Legend or None
        What the ellipses mean, and the names of the components if they have any.
    """

    def __init__(self, *, run: Any, chosen: Any, points: Any, features: Any) -> None:
        self.run, self.chosen, self.points, self.features = run, chosen, points, features

    @classmethod
    def from_frames(
        cls,
        frames: Any,
        X: Points,
        *,
        sample_weight: ArrayLike | str | None = None,
        n_frames: int = 6,
        chosen: Sequence[int] | None = None,
        features: Sequence[int | str] | None = None,
        feature_names: Sequence[str] | None = None,
        max_points: int = MAX_POINTS,
        fig: Figure | SubFigure | None = None,
    ) -> Self:
        """Draw some iterations of a fit.

        Parameters
        ----------
        frames : Frames or list of fitted models
            `fastem.callbacks.Frames` of a fit (its best run is shown), or the models of the iterations of a run.
        X : array-like of shape (n, D), or a source as in `fit`
            Values may be missing (NaN) if the model has `missing='em'`; such a point is left out where they are needed.
        sample_weight : array-like of shape (n,), default=None
            Multiplicities, as in `fit`. Bars and cells count them; the area of a marker is proportional to them.
        n_frames : int, default=6
            Number of panels. Iterations are chosen with about the same motion between neighbours.
        chosen : list of int, default=None
            Iterations (`n_iter_`) to show in place of `n_frames` chosen ones.
        features : list of int or str, default=None
            One or two features to show; by default the two that separate the last frame's components best.
        feature_names : list of str of length D, default=None
        max_points : int, default=1_000_000
            If there are more points, an even sample is drawn.
        fig : Figure or SubFigure, default=None

        Returns
        -------
        display : IterationDisplay

        Raises
        ------
        ValueError
            If X doesn't suit the models, there are no frames, or a chosen iteration has none.
        ImportError
            Without matplotlib.
        """
        models = list(getattr(frames, "best", frames))
        points = points_of(X, models[-1] if models else None, feature_names, max_points, sample_weight)
        run = run_of(models, points.values, weights=points.weights)
        shown, _ = chosen_features(run.mixtures[-1], points.names, features, most=2)
        which = _of_iterations(run, chosen) if chosen is not None else _where_it_moves(run, n_frames)
        return cls(run=run, chosen=which, points=points, features=shown).plot(fig=fig)

    def plot(self, *, fig: Figure | SubFigure | None = None) -> Self:
        """Draw it.

        Parameters
        ----------
        fig : Figure or SubFigure, default=None

        Returns
        -------
        display : IterationDisplay
            This one, with its attributes set.
        """
        n = len(self.chosen)
        n_rows = 1 if n <= 4 else 2 if n <= 8 else -(-n // 5)
        n_columns = -(-n // n_rows)
        colors = palette(len(self.run.mixtures[-1]))
        with styled():
            self.figure_ = own_figure(fig, 0.6 + 2.5 * n_columns, 0.7 + 2.1 * n_rows)
            grid = self.figure_.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False)
            for ax in grid.flat[n:]:
                ax.set_axis_off()
            self.axes_ = grid.ravel()[:n]
            points = self.points.only(self.features)
            bounds = bounds_of(points.values, self.run.mixtures[-1].marginal(self.features), points.weights)
            self.panels_ = [
                self._panel(*pair, points, bounds, colors) for pair in zip(self.axes_, self.chosen, strict=True)
            ]
            for ax in self.axes_:
                ax.label_outer()
            for row in grid:
                align_titles(self.figure_, row)
            parts = [_legend.names(self.run.mixtures[-1], colors)]
            if len(points.names) == 2:
                parts.append(_legend.ellipses(self.run.mixtures[-1], _ELLIPSES))
            self.legend_ = _legend.of_figure(self.figure_, self.axes_, *parts)
            if points.weights is not None or points.omission:
                self.figure_.suptitle(points.in_words, fontsize=size(9), x=0.01, ha="left")
        self.n_iter_ = self.run.n_iter[self.chosen]
        return self

    def _panel(self, ax, i, points, bounds, colors):
        mixture = self.run.mixtures[i].marginal(self.features)
        look = {"share": 0.6, "weights": points.weights, "in_front": self.run.mixtures[-1].in_front()}
        if len(points.names) == 1:
            panel = LinePanel(ax, points.values[:, 0], points.names[0], bounds[0], colors, **look)
        else:
            panel = PlanePanel(ax, points.values, points.names, bounds, colors, ellipses=_ELLIPSES, **look)
            panel.cloud.paint(mixed_colors(self.run.models[i], self.points.values, self.run.order))
        panel.show(mixture)
        ax.set_title(f"iteration {self.run.n_iter[i]}: {nats(self.run.log_likelihood[i])}", loc="left")
        return panel


def _of_iterations(run, chosen):
    where = {n_iter: i for i, n_iter in enumerate(run.n_iter.tolist())}
    missing = [n_iter for n_iter in chosen if n_iter not in where]
    if missing:
        raise ValueError(
            f"chosen should list iterations that have a frame ({', '.join(map(str, where))}), but got {missing[0]}"
        )
    return np.array([where[n_iter] for n_iter in chosen])


def _where_it_moves(run, n):
    """Numbers of at most n frames, with about the same motion between neighbours."""
    if len(run.mixtures) <= n:
        return np.arange(len(run.mixtures))
    for more in range(n, 50 * n):
        which = np.unique(np.round(moments(run, more)).astype(int))
        if len(which) >= n:
            break
    return which[evenly(len(which), n)]
