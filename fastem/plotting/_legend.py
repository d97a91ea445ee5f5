"""Legends: the colour, weight and mean of each component."""

from itertools import chain

import numpy as np

from ..extras import needed
from ._colors import NOISE
from ._mixture import MASSES
from ._style import INK, SHADES, point, shifted

MOST = 12
"""Components in a legend, at most: the heaviest."""


def component_text(k, mixture):
    """'0: weight 0.36, mean (2.04, 54.5)'; with a name '0 setosa: weight ...', or 'name: ...' if names are short."""
    mark = mixture.marks[k]
    head = mark if mixture.names is None or mixture.names[k] == mark else f"{mark} {mixture.names[k]}"
    mean = point(mixture.means[k], mixture.deviations[k])
    return f"{head}: weight {_weight(mixture.weights[k])}, mean {mean}"


def _weight(weight):
    return f"{weight:.2f}" if weight >= 0.095 else f"{weight:.2g}" if weight < 0.0095 else f"{weight:.3f}"


def entries(mixture, colors):
    """(handles, texts) for a legend of the components, or of the heaviest `MOST` of them."""
    line = needed("matplotlib.lines", "plot").Line2D
    shown = np.flatnonzero(~mixture.is_empty)
    n_more, n_empty = max(0, len(shown) - MOST), len(mixture) - len(shown)
    if n_more:
        shown = np.sort(shown[np.argsort(-mixture.weights[shown], kind="stable")[:MOST]])
    handles = [line([], [], color=colors[k], marker="o", markersize=5, linewidth=1.6) for k in shown]
    texts = [component_text(k, mixture) for k in shown]
    if mixture.noise is not None:
        handles.append(line([], [], color=NOISE, marker="o", markersize=5, linestyle="none"))
        texts.append(f"noise: weight {_weight(mixture.noise[0])}")
    for number, what in (n_more, "more"), (n_empty, "empty"):
        if number:
            handles.append(line([], [], linestyle="none"))
            texts.append(f"+ {number} {what}")
    return handles, texts


def lines(panel):
    """(handles, texts) for the rest: the sum in one dimension, ellipses and highest-density regions in two."""
    line = needed("matplotlib.lines", "plot").Line2D
    if not panel.ellipses:
        return [line([], [], color=INK, linewidth=2.4)], ["all together"]
    look = {"color": INK, "linewidth": 0.8}
    handles = [line([], [], marker="o", markersize=8, fillstyle="none", linestyle="none", **look)]
    texts = ["1, 2, 3 standard deviations"]
    if panel.contours is not None:
        texts.append(f"the densest {', '.join(f'{100 * mass:.0f}' for mass in MASSES)} % of the mixture")
        patch = needed("matplotlib.patches", "plot").Patch
        shades = tuple(patch(facecolor=shade) for shade in SHADES[::-1])
        handles.append(shades if panel.contours.filled else line([], [], linestyle="dashed", **look))
    return handles, texts


def omitted(points):
    """(handles, texts) that say how many points lack a value of the features shown; empty lists if none does."""
    line = needed("matplotlib.lines", "plot").Line2D
    return ([line([], [], linestyle="none")], [points.omission]) if points.omission else ([], [])


def joined(*parts):
    """(handles, texts) of several such pairs, one after the other."""
    handles, texts = zip(*parts, strict=True)
    return list(chain(*handles)), list(chain(*texts))


def below(ax, handles, texts):
    """A legend below the axes, where it covers nothing."""
    place = {
        "loc": "upper center",
        "bbox_to_anchor": (0.5, 0),
        "bbox_transform": shifted(ax, -36),
        "borderaxespad": 0.0,
    }
    return ax.legend(handles, texts, ncols=n_columns(len(texts)), handlelength=1.6, columnspacing=1.6, **place)


def n_columns(n):
    """Columns of a legend below the axes."""
    return 1 if n == 1 else 2


def inches_below(n):
    """Height of a legend of n entries below the axes, inches."""
    return 0.2 + 0.18 * -(-n // n_columns(n))


def within(ax, handles, texts):
    """A legend inside the axes, for axes that the user passed."""
    return ax.legend(
        handles,
        texts,
        handlelength=1.4,
        handler_map=_side_by_side(),
        fontsize=7,
        frameon=True,
        framealpha=0.85,
        edgecolor="none",
    )


def _side_by_side():
    return {tuple: needed("matplotlib.legend_handler", "plot").HandlerTuple(ndivide=None, pad=0)}
