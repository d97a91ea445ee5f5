"""The pictures of a film: points, components and log-likelihood at any moment of a fit, between iterations too."""

import numpy as np

from ..extras import needed
from ._colors import palette
from ._limits import bounds_of
from ._panels import LinePanel, PlanePanel
from ._points import mixed_colors
from ._style import faint, ink, note, styled
from ._words import counted, nats

_ELLIPSES = {2: (1.4, 1.0)}  # standard deviations: (line width, opacity); one ellipse per component halves the file
_MOVING = 2  # z-order of the lowest artists that move: from it on, artists are drawn for each picture, others once
_SHADE = 0.03  # OKLab: colours are rounded to it; hardly visible, and the file gets smaller


class Film:
    """A figure outside pyplot whose artists are moved from picture to picture.

    Parameters
    ----------
    run : Run
    points : Points
        The one or two features shown.
    features : ndarray of int
        Their numbers.
    values : ndarray of shape (n, D)
        The points, with all features.
    size : (int, int)
        Width and height, pixels.
    heading : str
        What is shown.
    """

    def __init__(self, run, points, features, values, size, heading=""):
        self._run, self._values, self._features = run, values, features
        self._colors = palette(len(run.mixtures[-1]))
        self._still = None
        with styled():
            dpi = 100
            figure = needed("matplotlib.figure", "plot").Figure
            canvas = needed("matplotlib.backends.backend_agg", "plot").FigureCanvasAgg
            self.figure = figure(figsize=(size[0] / dpi, size[1] / dpi), dpi=dpi, layout="constrained")
            self.canvas = canvas(self.figure)
            left, right = self.figure.subplots(1, 2, width_ratios=(1.7, 1))
            self._draw_mixture(left, points, heading)
            self._draw_curve(right)
            self.figure.draw_without_rendering()
            self.figure.set_layout_engine("none")  # axes must not move during the film

    def _draw_mixture(self, ax, points, heading):
        mixture = self._run.mixtures[-1].marginal(self._features)
        bounds = bounds_of(points.values, mixture, points.weights)
        self._is_line = len(points.names) == 1
        look = {"weights": points.weights}
        if self._is_line:
            self.panel = LinePanel(ax, points.values[:, 0], points.names[0], bounds[0], self._colors, **look)
            self.panel.show(mixture)  # fixes the axis for the last mixture
        else:
            self.panel = PlanePanel(ax, points.values, points.names, bounds, self._colors, ellipses=_ELLIPSES, **look)
            note(ax, f"ellipses at {mixture.ellipses_in_words(_ELLIPSES)}", above=False)
        missing = f"\n{points.omission}" if points.omission else ""
        heading = f"{heading}\n" if heading else ""
        ax.set_title(f"{heading}{counted(len(mixture), 'component')}, {points}{missing}", loc="left", zorder=1)

    def _draw_curve(self, ax):
        n_iter, curve = self._run.n_iter, self._run.log_likelihood
        # The first iteration may gain more than all others together: the curve then starts below the axes.
        low = curve.min() if len(curve) < 3 else max(curve.min(), curve[-1] - 2 * (curve[-1] - curve[:2].max()))
        high = curve.max()
        span = high - low or 1.0
        self._floor = low - 0.04 * span
        right = max(n_iter[-1], 1)
        ax.set(xlim=(-0.03 * right, 1.05 * right), ylim=(low - 0.07 * span, high + 0.1 * span))
        ax.set(xlabel="iteration", ylabel="log-likelihood, nats per point")
        ax.locator_params(axis="x", integer=True, nbins=6)
        ax.axhline(curve[-1], color=faint(), linewidth=0.6, linestyle="dashed", zorder=1)
        (self._trace,) = ax.plot([], [], color=ink(), linewidth=1.4, zorder=3)
        (self._dot,) = ax.plot([], [], "o", color=ink(), markersize=5, zorder=4)
        self._title = ax.set_title("iteration 0", loc="left")

    def show(self, moment):
        """Draw a moment: its integer part is the number of a frame, its fraction the share of the way to the next.

        Between two frames every parameter, and the log-likelihood, is interpolated linearly.
        """
        run = self._run
        i = min(int(moment), len(run.mixtures) - 1)
        share = moment - i
        j = min(i + 1, len(run.mixtures) - 1)
        mixture = run.mixtures[i].toward(run.mixtures[j], share) if share else run.mixtures[i]
        shown = mixture.marginal(self._features)
        if self._is_line:
            self.panel.show(shown, rises=False)
        else:
            self.panel.cloud.paint(self._lab(i, j, share))
            self.panel.show(shown)
        x = run.n_iter[i] + share * (run.n_iter[j] - run.n_iter[i])
        y = run.log_likelihood[i] + share * (run.log_likelihood[j] - run.log_likelihood[i])
        self._trace.set_data(np.append(run.n_iter[: i + 1], x), np.append(run.log_likelihood[: i + 1], y))
        self._dot.set_data([x], [max(y, self._floor)])
        self._dot.set_marker("o" if y >= self._floor else "v")  # a triangle if the point is below the axes
        until = f" to {run.n_iter[j]}" if share else f": {nats(y)}"
        self._title.set_text(f"iteration {run.n_iter[i]}{until}")
        return mixture

    def _lab(self, i, j, share):
        lab = (1 - share) * self._colors_of(i) + share * (self._colors_of(j) if share else 0)
        return np.round(lab / _SHADE) * _SHADE

    def _colors_of(self, i):
        """OKLab colours of the points in a frame; those of two frames are cached."""
        kept = self.__dict__.setdefault("_kept", {})
        if i not in kept:
            while len(kept) > 1:
                del kept[min(kept)]
            kept[i] = mixed_colors(self._run.models[i], self._values, self._run.order)
        return kept[i]

    @property
    def n_components(self):
        """Number of components."""
        return len(self._colors)

    def pixels(self):
        """The picture, (height, width, 3) of uint8."""
        if self._still is None:
            self._keep_still()
        self.canvas.restore_region(self._still)
        for artist in self._moving:
            artist.draw(self.canvas.get_renderer())
        return np.asarray(self.canvas.buffer_rgba())[:, :, :3].copy()

    def _keep_still(self):
        """Draw once what every picture has below the artists that move: axes, ticks, labels."""
        artists = [artist for ax in self.figure.axes for artist in sorted(ax.get_children(), key=_z_order)]
        self._moving = [artist for artist in artists if _z_order(artist) >= _MOVING]
        for artist in self._moving:
            artist.set_animated(True)
        self.canvas.draw()
        self._still = self.canvas.copy_from_bbox(self.figure.bbox)


def _z_order(artist):
    return artist.get_zorder()
