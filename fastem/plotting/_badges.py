"""Badges: the numbers of components in coloured discs, which don't cover one another and stay inside the axes."""

import numpy as np
from matplotlib.artist import Artist
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import IdentityTransform

from ._colors import on_top
from ._style import paper, size

_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))
_ROUNDS = 100
_LEADER = 0.5  # radii from its place at which a badge gets a line that leads to it
_SMALLEST = 0.6  # width of axes, relative to usual ones, below which badges don't get smaller


class Badges(Artist):
    """One artist for the badges of an axes. They are placed when they are drawn, for the size that the axes has then.

    Parameters
    ----------
    ax : Axes
    marks : list of str
        What stands in the badges.
    colors : ndarray of shape (K, 3)
    numbered : ndarray of bool of shape (K,)
        Which components have a badge.
    share : float
        Width of the axes relative to usual ones.
    above : float, default=0
        How far above its place a badge stands, in its diameters.

    Attributes
    ----------
    anchors : ndarray of shape (K, 2)
        The places, in data coordinates.
    is_shown : ndarray of bool of shape (K,)
    texts : list of Text
    """

    def __init__(self, ax, marks, colors, numbered, share, above=0.0):
        super().__init__()
        self.set_figure(ax.figure)
        self.set_zorder(5.5)
        self.set_in_layout(False)
        self._ax, self._above, self._numbered = ax, above, numbered
        scale = max(share, _SMALLEST) ** 0.5
        self._diameter = size(7.5 + 1.5 * max(map(len, marks))) * scale
        self.anchors, self.is_shown = np.zeros((len(marks), 2)), np.ones(len(marks), dtype=bool)
        here = {"transform": IdentityTransform()}
        edge = {"markeredgecolor": paper(), "markeredgewidth": 0.8}
        self._discs = [Line2D([], [], color=c, marker="o", markersize=self._diameter, **edge, **here) for c in colors]
        self._leaders = [Line2D([], [], color=c, linewidth=0.8, **here) for c in colors]
        look = {"fontsize": size(6.5) * scale, "fontweight": "bold", "ha": "center", "va": "center_baseline"}
        self.texts = [Text(0, 0, mark, color=on_top(c), **look) for mark, c in zip(marks, colors, strict=True)]
        for child in self.get_children():
            child.set_figure(ax.figure)

    def get_children(self):
        """The discs, the lines that lead to them, and the texts."""
        return [*self._leaders, *self._discs, *self.texts]

    def centres(self, dots=None):
        """(numbers of the badges that are drawn, their centres in pixels).

        A badge isn't drawn if its place lies outside the axes. `dots` is the number of pixels of a point (1/72 inch).
        """
        box, dots = self._ax.bbox, self.get_figure().dpi / 72 if dots is None else dots
        places = self._ax.transData.transform(self.anchors)
        slack = 0.5  # pixel
        inside = ((places >= box.min - slack) & (places <= box.max + slack)).all(axis=1)
        which = np.flatnonzero(inside & self.is_shown & self._numbered)
        diameter = (self._diameter + 0.8) * dots
        wished = places[which] + [0, self._above * diameter]
        return which, spread(wished, diameter, box.min + 0.5 * diameter, box.max - 0.5 * diameter)

    def draw(self, renderer):
        """Draw them."""
        if not self.get_visible():
            return
        which, centres = self.centres(renderer.points_to_pixels(1.0))
        places = self._ax.transData.transform(self.anchors)
        radius = 0.5 * self._diameter * renderer.points_to_pixels(1.0)
        wished = places[which] + [0, 2 * self._above * radius]
        for k, centre, wish in zip(which, centres, wished, strict=True):
            if np.hypot(*(centre - wish)) > _LEADER * radius:
                self._leaders[k].set_data(*np.column_stack([places[k], centre]))
                self._leaders[k].draw(renderer)
        for k, (x, y) in zip(which, centres, strict=True):
            self._discs[k].set_data([x], [y])
            self._discs[k].draw(renderer)
            self.texts[k].set_position((x, y))
            self.texts[k].draw(renderer)


def spread(wished, diameter, low, high):
    """Centres of discs near those wished, (n, 2), that lie between the corners low and high and don't overlap.

    Discs that do are pushed apart, each half of the way, until none does or no room is left.
    """
    centres = np.clip(wished, low, high)
    angles = _GOLDEN_ANGLE * np.arange(len(centres))
    aside = 1e-3 * diameter * np.column_stack([np.cos(angles), np.sin(angles)])  # coincident ones need a direction
    for _ in range(_ROUNDS):
        offsets = centres[:, None] - centres
        distances = np.hypot(offsets[:, :, 0], offsets[:, :, 1])
        np.fill_diagonal(distances, np.inf)
        if not (distances < diameter * (1 - 1e-6)).any():
            break
        if (distances < 1e-3 * diameter).any():
            centres = centres + aside
            continue
        lacking = np.maximum(diameter * 1.01 - distances, 0)
        centres = centres + 0.5 * np.sum((lacking / distances)[:, :, None] * offsets, axis=1)
        centres = np.clip(centres, low, high)
    return centres
