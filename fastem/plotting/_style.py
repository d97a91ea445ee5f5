"""Style of the pictures."""

from contextlib import contextmanager

import numpy as np

from ..extras import needed
from ._words import clipped, counted

_INK = "#262626"
_STYLE = {
    "figure.dpi": 150,
    "font.size": 9,
    "axes.titlesize": "medium",
    "axes.labelsize": "medium",
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.labelsize": 8 / 9,
    "ytick.labelsize": 8 / 9,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.fontsize": 8 / 9,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.solid_capstyle": "round",
}
_EM = 0.5  # width of a character, relative to the size of its font, on average
_RELATIVE = "xtick.labelsize", "ytick.labelsize", "legend.fontsize"


@contextmanager
def styled():
    """Apply the settings of these pictures within the block; those that the user or a style has changed stay."""
    mpl = needed("matplotlib", "plot")
    own = {name: value for name, value in _STYLE.items() if mpl.rcParams[name] == mpl.rcParamsDefault[name]}
    size = own.get("font.size", mpl.rcParams["font.size"])
    own |= {name: share * size for name, share in own.items() if name in _RELATIVE}
    if not _has_usual_colors(mpl):
        own = {name: value for name, value in own.items() if value != _INK}
    with mpl.rc_context(own):
        yield


def ink():
    """Colour of lines and text that belong to no component: that of matplotlib's text, (3,)."""
    mpl = needed("matplotlib", "plot")
    return _rgb(_INK if _has_usual_colors(mpl) else mpl.rcParams["text.color"])


def paper():
    """Colour of the background: that of matplotlib's axes, (3,)."""
    return _rgb(needed("matplotlib", "plot").rcParams["axes.facecolor"])


def _has_usual_colors(mpl):
    return all(mpl.rcParams[name] == mpl.rcParamsDefault[name] for name in ("text.color", "axes.facecolor"))


def _rgb(color):
    return needed("matplotlib.colors", "plot").to_rgb(color)


def faint():
    """Colour of what should be seen last: grey."""
    return grey(0.53)


def grey(share):
    """A colour between that of the background (share 0) and that of text (share 1)."""
    return tuple((1 - share) * np.array(paper()) + share * np.array(ink()))


def shades():
    """Colours of the regions that hold most of a mixture, from the outermost."""
    return [grey(share) for share in (0.05, 0.10, 0.16)]


def is_dark():
    """Whether the background is dark."""
    return float(np.dot(paper(), (0.299, 0.587, 0.114))) < 0.5


def size(points):
    """The size of text, in points, that has this size where usual text has 9."""
    mpl = needed("matplotlib", "plot")
    usual = mpl.rcParams["font.size"]
    return points if usual == mpl.rcParamsDefault["font.size"] else points * usual / 9


def new_figure(width, height):
    """An empty pyplot figure, as scikit-learn's displays use; of this size in inches, or larger for larger text."""
    scale = max(1.0, size(1))
    figsize = scale * width, scale * height
    return needed("matplotlib.pyplot", "plot").figure(figsize=figsize, layout="constrained")


def own_figure(fig, width, height):
    """The figure or subfigure that was given, or a new one."""
    return new_figure(width, height) if fig is None else fig


def own_axes(ax, width, height):
    """The axes that were given, or those of a new figure."""
    return new_figure(width, height).add_subplot() if ax is None else ax


def note(ax, text, above=True):
    """Write small text at the right, above the axes or at their bottom."""
    at = {"xy": (1, 1) if above else (1, 0), "xycoords": "axes fraction"}
    look = {"ha": "right", "va": "bottom", "fontsize": size(7), "color": faint(), "zorder": 6}
    return ax.annotate(text, **at, xytext=(-2, 2), textcoords="offset points", **look)


def outside_note(ax, n_points, n_means=0, text=None):
    """Say in a corner how many points and means lie outside the axes; change the text if one is given."""
    words = " and ".join(counted(n, what) for n, what in ((n_points, "point"), (n_means, "mean")) if n)
    words = f"{words} outside" if words else ""
    if text is None:
        box = {"boxstyle": "square,pad=0.15", "facecolor": paper(), "edgecolor": "none", "alpha": 0.8}
        look = {"ha": "right", "va": "top", "fontsize": size(7), "color": grey(0.75), "zorder": 6, "bbox": box}
        return ax.annotate(words, (1, 1), (-2, -2), "axes fraction", "offset points", **look)
    if text.get_text() != words:
        text.set_text(words)
    return text


def room(ax, points):
    """How many characters of text of this size, in points, stand side by side over the axes; an estimate."""
    return int(72 * ax.get_window_extent().width / ax.figure.dpi / (_EM * points))


def set_title(ax, text, is_own):
    """Set the title at the left; on the user's axes without the clauses and lines that are wider than these."""
    ax.set_title(text if is_own else clipped(text, room(ax, ax.title.get_fontsize())), loc="left")


def align_titles(fig, axes):
    """Let the titles of a row stand at the same height, even if only some axes have an exponent below theirs."""
    if hasattr(fig, "align_titles"):  # since matplotlib 3.9
        fig.align_titles(axes)


def shifted(ax, points):
    """The transform of axes coordinates, 0 to 1, moved up by this many points (1/72 inch)."""
    move = needed("matplotlib.transforms", "plot").ScaledTranslation
    return ax.transAxes + move(0, points / 72, ax.figure.dpi_scale_trans)


def evenly(n, most):
    """At most `most` of the numbers 0..n-1, evenly spaced, including the first and the last."""
    return np.unique(np.round(np.linspace(0, n - 1, min(n, most))).astype(int))
