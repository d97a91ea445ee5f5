"""All pairs of several features: a triangle of planes, with the single features on the diagonal."""

import math

import numpy as np

from ._limits import bounds_of
from ._panels import LinePanel, PlanePanel
from ._style import own_figure, shifted, size

_CHARACTER = 0.55  # width of a character of text, in its size
_LINE = 1.45  # height of a line, relative to the size of its font
_HANDLE = 5 * " "  # about as wide as a handle of a legend


def corner(fig, mixture, points, lab, colors, *, title, handles=None, logs=None):
    """Draw a triangle of panels and its legend.

    Parameters
    ----------
    fig : Figure, SubFigure or None
    mixture : Mixture or None
        None: draw the points alone.
    points : Points
    lab : ndarray of shape (n, 3)
    colors : ndarray of shape (K, 3)
    title : str
    handles : (list of artists, list of str), default=None
        The legend.
    logs : ndarray of bool of shape (D,), default=None
        Which features have logarithmic axes.

    Returns
    -------
    figure, axes, panels, legend
    """
    n = len(points.names)
    inches = min(11.0, 1.2 + 1.75 * n)
    fig = own_figure(fig, inches, inches * 0.92)
    axes = np.full((n, n), None, dtype=object)
    panels = np.full((n, n), None, dtype=object)
    logs = np.zeros(n, dtype=bool) if logs is None else logs
    bounds = bounds_of(points.values, mixture, points.weights, logs)
    grid = fig.add_gridspec(n, n)
    share = max(0.35, 1.6 / n)
    for i in range(n):
        for j in range(i + 1):
            is_log = {"x": logs[j], "y": logs[i] and i != j}
            scales = {f"{axis}scale": "log" for axis in is_log if is_log[axis]}
            ax = axes[i, j] = fig.add_subplot(grid[i, j], **scales)
            panels[i, j] = _line(ax, mixture, points, j, bounds, colors, share) if i == j else None
            if i != j:
                panels[i, j] = _plane(ax, mixture, points, (j, i), bounds, colors, share, lab)
            ax.tick_params(labelbottom=i == n - 1, labelleft=j == 0 < i, labelsize=size(7))
            for axis in (axis for axis in is_log if not is_log[axis]):
                ax.locator_params(axis=axis, nbins=4)
            ax.set_xlabel(ax.get_xlabel() if i == n - 1 else "", fontsize=size(8))
            ax.set_ylabel(ax.get_ylabel() if j == 0 < i else "", fontsize=size(8))
    for ax in axes.diagonal():
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
    fig.align_labels()
    return fig, axes, panels, _words(fig, grid[: n - 1, 1:] if n > 2 else grid[0, 1], title, handles)


def _line(ax, mixture, points, j, bounds, colors, share):
    look = {"share": share, "weights": points.weights, "in_front": None if mixture is None else mixture.in_front()}
    panel = LinePanel(ax, points.values[:, j], points.names[j], bounds[j], colors, **look)
    if mixture is not None:
        panel.show(mixture.marginal([j]))
    return panel


def _plane(ax, mixture, points, pair, bounds, colors, share, lab):
    names = [points.names[j] for j in pair]
    look = {"share": share, "weights": points.weights, "in_front": None if mixture is None else mixture.in_front()}
    panel = PlanePanel(ax, points.values[:, pair], names, [bounds[j] for j in pair], colors, **look)
    panel.cloud.paint(lab)
    if mixture is not None:
        panel.show(mixture.marginal(pair))
    return panel


def _words(fig, place, title, handles):
    """Put title and legend in the empty triangle above the diagonal, if need be in smaller text; return the legend."""
    ax = fig.add_subplot(place)
    ax.set_axis_off()
    lines = [*title.split("\n"), *(f"{_HANDLE}{text}" for text in (handles[1] if handles else []))]
    room = 72 * ax.get_window_extent().width / fig.dpi
    largest, widest = size(8), _CHARACTER * max(map(len, lines))
    fontsize = min(largest, room / widest)
    n_rows, n_columns = place.get_topmost_subplotspec().get_gridspec().get_geometry()
    row = 72 * ax.get_window_extent().height / fig.dpi / max(1, n_rows - 1)
    column = room / max(1, n_columns - 1)
    n_free = max(1, n_rows - math.ceil(fontsize * widest / column))  # rows above the diagonal where the words stand
    fontsize = max(0.4 * largest, min(fontsize, n_free * row / (_LINE * (len(lines) + 1))))
    ax.text(1, 1, title, ha="right", va="top", transform=ax.transAxes, fontsize=9 / 8 * fontsize, in_layout=False)
    if handles is None:
        return None
    place = {"loc": "upper right", "bbox_to_anchor": (1, 1), "borderaxespad": 0.0, "fontsize": fontsize}
    down = shifted(ax, -1.6 * fontsize * (title.count("\n") + 1.8))
    legend = ax.legend(*handles, **place, bbox_transform=down, handlelength=1.4)
    legend.set_in_layout(False)  # it takes no room from the panels
    return legend
