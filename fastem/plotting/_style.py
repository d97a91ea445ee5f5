"""Style of the pictures, and format of the numbers in them."""

import math
from contextlib import contextmanager

import numpy as np

from ..extras import needed

INK = "#262626"
FAINT = "#8c8c8c"
SHADES = "#f4f4f4", "#e9e9e9", "#dcdcdc"
MINUS = "\N{MINUS SIGN}"
_STYLE = {
    "figure.dpi": 150,
    "figure.facecolor": "white",
    "font.size": 9,
    "axes.facecolor": "white",
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": False,
    "text.color": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    "lines.solid_capstyle": "round",
}


@contextmanager
def styled():
    """Apply the settings of these pictures within the block; restore the previous ones afterwards."""
    with needed("matplotlib", "plot").rc_context(_STYLE):
        yield


def new_figure(width, height):
    """An empty pyplot figure of this size in inches, as scikit-learn's displays use."""
    return needed("matplotlib.pyplot", "plot").figure(figsize=(width, height), layout="constrained")


def own_figure(fig, width, height):
    """The figure or subfigure that was given, or a new one."""
    return new_figure(width, height) if fig is None else fig


def own_axes(ax, width, height):
    """The axes that were given, or those of a new figure."""
    return new_figure(width, height).add_subplot() if ax is None else ax


def number(value, spread):
    """A number rounded to about a tenth of its standard deviation, `spread`."""
    value, spread = float(value), float(spread)
    spread = spread if spread > 0 and math.isfinite(spread) else abs(value) or 1.0
    decimals = 1 - math.floor(math.log10(spread))
    if abs(value) < 1e7 and decimals <= 6:
        text = f"{round(value, decimals):.{max(0, decimals)}f}"
    else:
        magnitude = math.floor(math.log10(abs(value))) if value else 0
        text = f"{value:.{min(15, max(1, magnitude + decimals + 1))}g}"
    return (text[1:] if not float(text) else text).replace("-", MINUS) if text.startswith("-") else text


def point(values, spreads, most=4):
    """The coordinates of a point in brackets; of more than `most` the first ones."""
    texts = [number(value, spread) for value, spread in zip(values[:most], spreads[:most], strict=True)]
    texts += ["…"] if len(values) > most else []
    return f"({', '.join(texts)})" if len(texts) > 1 else texts[0]


def nats(value):
    """A mean log-likelihood as text."""
    return f"{value:.3f}".replace("-", MINUS)


def counted(n, what):
    """'1 point', '1,234 points'."""
    return f"{n:,} {what}" if n == 1 else f"{n:,} {what}s"


def note(ax, text, above=True):
    """Write small text at the right, above the axes or at their bottom."""
    at = {"xy": (1, 1) if above else (1, 0), "xycoords": "axes fraction"}
    look = {"ha": "right", "va": "bottom", "fontsize": 7, "color": FAINT, "zorder": 6}
    return ax.annotate(text, **at, xytext=(-2, 2), textcoords="offset points", **look)


def shifted(ax, points):
    """The transform of axes coordinates, 0 to 1, moved up by this many points (1/72 inch)."""
    move = needed("matplotlib.transforms", "plot").ScaledTranslation
    return ax.transAxes + move(0, points / 72, ax.figure.dpi_scale_trans)


def evenly(n, most):
    """At most `most` of the numbers 0..n-1, evenly spaced, including the first and the last."""
    return np.unique(np.round(np.linspace(0, n - 1, min(n, most))).astype(int))
