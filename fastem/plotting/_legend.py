"""Legends: the colour, weight and mean of each component."""

from itertools import chain

import numpy as np

from ..extras import needed
from ._colors import NOISE
from ._mixture import MASSES
from ._panels import ELLIPSES
from ._style import ink, paper, room, shades, shifted, size
from ._words import decimals, point, shortened

_LONGEST = 28  # characters of a component's name
_WIDEST = 84  # characters of the lines of a legend side by side
_HANDLE = 5  # characters that a line's mark is wide
_LINE = 1.5  # height of a line, relative to the size of its font
_COVERED = 0.5  # of the height of axes that a legend inside may cover


def component_text(k, mixture, digits):
    """'0: weight 0.36, mean (2.04, 54.5)'; with a name '0 setosa: weight ...', or 'name: ...' if names are short.

    digits : sequence of int
        Decimals of each feature.
    """
    return f"{name_of(k, mixture)}: weight {_weight(mixture.weights[k])}, mean {point(mixture.means[k], digits)}"


def name_of(k, mixture):
    """'0', '0 setosa', or the name alone if names are so short that they stand in the badges."""
    mark = mixture.marks[k]
    is_number = mixture.names is None or mixture.names[k] == mark
    return mark if is_number else f"{mark} {shortened(mixture.names[k], _LONGEST)}"


def names(mixture, colors):
    """(handles, texts) for the names of the components in front, if they have any beside what stands in the badges."""
    if mixture.names is None or mixture.names == mixture.marks:
        return [], []
    line = needed("matplotlib.lines", "plot").Line2D
    shown = np.flatnonzero(mixture.in_front())
    handles = [line([], [], color=colors[k], marker="o", markersize=5, linestyle="none") for k in shown]
    return handles, [name_of(k, mixture) for k in shown]


def _weight(weight):
    return f"{weight:.2f}" if weight >= 0.095 else f"{weight:.2g}" if weight < 0.0095 else f"{weight:.3f}"


def entries(mixture, colors):
    """(handles, texts) for a legend of the components, or of the heaviest of them."""
    line = needed("matplotlib.lines", "plot").Line2D
    shown = np.flatnonzero(mixture.in_front())
    n_empty = int(mixture.is_empty.sum())
    n_more = len(mixture) - n_empty - len(shown)
    handles = [line([], [], color=colors[k], marker="o", markersize=5, linewidth=1.6) for k in shown]
    digits = decimals(mixture.means[shown], mixture.deviations[shown], mixture.weights[shown]) if len(shown) else []
    texts = [component_text(k, mixture, digits) for k in shown]
    if mixture.noise is not None:
        handles.append(line([], [], color=NOISE, marker="o", markersize=5, linestyle="none"))
        texts.append(f"noise: weight {_weight(mixture.noise[0])}")
    for number, what in (n_more, "more, faded"), (n_empty, "empty"):
        if number:
            handles.append(line([], [], linestyle="none"))
            texts.append(f"+ {number} {what}")
    return handles, texts


def lines(panel):
    """(handles, texts) for the rest: the sum in one dimension, ellipses and highest-density regions in two."""
    line = needed("matplotlib.lines", "plot").Line2D
    if not panel.ellipses:
        return [line([], [], color=ink(), linewidth=2.4)], ["all together"]
    handles, texts = [_ellipses(line)], [panel.ellipses_in_words]
    if panel.contours is not None:
        texts.append(f"the densest {', '.join(f'{100 * mass:.0f}' for mass in MASSES)} % of the mixture")
        patch = needed("matplotlib.patches", "plot").Patch
        regions = tuple(patch(facecolor=shade) for shade in shades()[::-1])
        outline = line([], [], linestyle="dashed", color=ink(), linewidth=0.8)
        handles.append(regions if panel.contours.filled else outline)
    return handles, texts


def lines_of_pairs(mixture):
    """(handles, texts) for a corner plot: ellipses, and the sum on the diagonal."""
    line = needed("matplotlib.lines", "plot").Line2D
    return joined(ellipses(mixture, ELLIPSES), ([line([], [], color=ink(), linewidth=2)], ["all together"]))


def ellipses(mixture, sigmas):
    """(handles, texts) for ellipses at these numbers of standard deviations."""
    line = needed("matplotlib.lines", "plot").Line2D
    return [_ellipses(line)], [f"{mixture.ellipses_in_words(sigmas)} of a component"]


def _ellipses(line):
    look = {"color": ink(), "linewidth": 0.8}
    return line([], [], marker="o", markersize=8, fillstyle="none", linestyle="none", **look)


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
    return ax.legend(handles, texts, ncols=n_columns(texts), handlelength=1.6, columnspacing=1.6, **place)


def n_columns(texts):
    """Columns of a legend below the axes: two, if they are narrow enough."""
    half = -(-len(texts) // 2)
    wide = max(map(len, texts[:half]), default=0) + max(map(len, texts[half:]), default=0)
    return 1 if len(texts) == 1 or wide > _WIDEST else 2


def inches_below(texts):
    """Height of a legend with these texts below the axes, inches."""
    return 0.2 + 0.18 * -(-len(texts) // n_columns(texts))


def of_figure(fig, axes, *parts):
    """A legend below all axes of a figure; in the first of the axes if the figure has no layout to make room for it."""
    handles, texts = joined(*parts)
    if not texts:
        return None
    if fig.get_layout_engine() is None:
        return within(axes[0], handles, texts)
    n_columns = max(1, min(len(texts), int(15 * fig.bbox.width / fig.dpi / size(1)) // (max(map(len, texts)) + 5)))
    return fig.legend(handles, texts, loc="outside lower left", ncols=n_columns, handlelength=1.4, columnspacing=1.6)


def within(ax, handles, texts, n_kept=0):
    """A legend inside the axes, for axes that the user passed; short where they are small.

    n_kept: how many of the last lines are never left out.
    """
    height = 72 * ax.get_window_extent().height / ax.figure.dpi
    n_lines = int(_COVERED * height / (_LINE * size(7)))
    kept, texts = brief(texts, room(ax, size(7)) - _HANDLE, n_lines, n_kept)
    return ax.legend(
        [handles[i] for i in kept],
        texts,
        handlelength=1.4,
        handler_map=_side_by_side(),
        fontsize=size(7),
        frameon=True,
        facecolor=paper(),
        framealpha=0.85,
        edgecolor="none",
    )


def brief(texts, width, n_lines, n_kept=0):
    """(numbers of the lines that stay, their texts), so that at most so many characters by so many lines are needed.

    Means are left out first, then weights, then the lines that explain what is no component. Names always stay.
    """
    is_component = [": weight " in text for text in texts]
    for end in ", mean ", ": weight ":
        if any(is_one and len(text) > width for is_one, text in zip(is_component, texts, strict=True)):
            pairs = zip(is_component, texts, strict=True)
            texts = [text.rpartition(end)[0] or text if is_one else text for is_one, text in pairs]
    is_low = len(texts) <= n_lines
    first_kept = len(texts) - n_kept
    kept = [i for i in range(len(texts)) if is_component[i] or i >= first_kept or (is_low and len(texts[i]) <= width)]
    return kept, [texts[i] for i in kept]


def _side_by_side():
    return {tuple: needed("matplotlib.legend_handler", "plot").HandlerTuple(ndivide=None, pad=0)}
