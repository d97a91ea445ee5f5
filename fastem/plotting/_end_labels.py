"""Names of curves at their right ends, for more curves than a legend can tell apart."""

import numpy as np

_LINE = 1.15  # distance of two names, in font sizes
_SIZE = 7.5  # points


def label_ends(ax, curves):
    """Write each name in its curve's colour beside the axes, as near to the curve's last point as there is room.

    Parameters
    ----------
    ax : Axes
        With its final limits.
    curves : dict of str to Line2D
    """
    _ = ax.get_xlim(), ax.get_ylim()  # so that limits are set, not only due
    ends = {name: end for name, curve in curves.items() if (end := _last(ax, curve)) is not None}
    height = ax.get_window_extent().height / ax.figure.dpi * 72  # points
    if not ends:
        return
    names = sorted(ends, key=lambda name: ends[name][1])
    places = _spread(np.array([ends[name][1] for name in names]), _LINE * _SIZE / height)
    for name, place in zip(names, places, strict=True):
        color = curves[name].get_color()
        to_the_end = {
            "arrowstyle": "-",
            "color": color,
            "linewidth": 0.6,
            "relpos": (0, 0.5),
            "shrinkA": 1,
            "shrinkB": 4,
        }
        ax.annotate(
            name, ends[name], (1.05, place), "axes fraction", "axes fraction", color=color, fontsize=_SIZE, va="center",
            arrowprops=to_the_end, annotation_clip=False,
        )  # fmt: skip


def _last(ax, curve):
    """The curve's last finite point as fractions of the axes, moved to its edge if beyond; None if there is none."""
    points = np.column_stack(curve.get_data())
    points = points[np.isfinite(points).all(axis=1)]
    if not len(points):
        return None
    x, y = ax.transAxes.inverted().transform(ax.transData.transform(points[-1]))
    return x, float(np.clip(y, 0, 1))


def _spread(places, least):
    """Rising places moved apart to at least this distance, as little as is needed, and into [0, 1] if they fit."""
    groups = []  # (sum of wanted first places, number), each a run of names at the least distance
    for place in places:
        groups.append((place, 1))
        while len(groups) > 1 and groups[-2][0] / groups[-2][1] + groups[-2][1] * least > groups[-1][0] / groups[-1][1]:
            (total, count), (other, others) = groups[-2:]
            groups[-2:] = [(total + other - others * count * least, count + others)]
    found = np.concatenate([total / count + least * np.arange(count) for total, count in groups])
    found = np.maximum(found, least * np.arange(len(found)))
    return np.minimum(found, 1 - least * np.arange(len(found))[::-1])
