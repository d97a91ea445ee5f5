"""DataDisplay: points without a fit, and the Gaussians of known groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..fitting.start_points import moments
from ..model.families import FAMILIES
from ._colors import palette, to_lab
from ._mixture import Mixture
from ._points import MAX_POINTS, points_of, source_of
from ._points_display import PointsDisplay, chosen_features, chosen_logs
from ._style import is_dark
from ._words import counted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Self

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import ArrayLike

_PLAIN, _PLAIN_ON_DARK = to_lab([0.30, 0.34, 0.40]), to_lab([0.70, 0.74, 0.80])
_UNKNOWN = to_lab([0.62, 0.62, 0.62])


class DataDisplay(PointsDisplay):
    """The points alone, or in the colours of known groups with each group's Gaussian: use `from_data` to make one.

    It looks like `MixtureDisplay`, without the highest-density regions.

    Parameters
    ----------
    points : Points
        Of the features shown.
    lab : ndarray of shape (n, 3)
        OKLab colours of the points; points of unknown group are grey.
    mixture : Mixture or None
        For each group its share of the known points, their mean and their covariance (divided by their number). `fit`
        with labels gives the same, plus `reg_covar`. Of a group that lacks values, mean and covariance are found by EM.
    title : str, default=''
    log : bool or ndarray of bool, default=False
        Which of these features have logarithmic axes.

    Attributes
    ----------
    ax_, axes_, figure_, panels_, points_, ellipses_, legend_
        As in `MixtureDisplay`.

    Examples
    --------
    >>> from fastem.datasets import load_penguins
    >>> from fastem.plotting import DataDisplay
    >>> penguins = load_penguins()
    >>> display = DataDisplay.from_data(penguins.data, penguins.target)
    >>> display.axes_.shape
    (4, 4)
    """

    @classmethod
    def from_data(
        cls,
        X: ArrayLike,
        labels: ArrayLike | None = None,
        *,
        sample_weight: ArrayLike | str | None = None,
        features: Sequence[int | str] | None = None,
        feature_names: Sequence[str] | None = None,
        max_points: int = MAX_POINTS,
        log: bool | Sequence[int | str] = False,
        ax: Axes | None = None,
        fig: Figure | SubFigure | None = None,
        legend: bool = True,
    ) -> Self:
        """Draw the points X.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`
            NaN where a value is missing; such a point is left out of the panels that need the value.
        labels : array-like of int or str of shape (n,), default=None
            The group of each point; -1, '' or None if it is unknown.
        sample_weight : array-like of shape (n,), default=None
            Multiplicities, as in `fit`. Bars and cells count them, the area of a marker is proportional to them, and
            the shares, means and covariances of groups are weighted.
        features : list of int or str, default=None
            Features to show, by number or name. Default: all if there are at most 6; otherwise the 6 that separate the
            groups most, or the first 6 without labels.
        feature_names : list of str of length D, default=None
            By default X's.
        max_points : int, default=1_000_000
            If there are more points, an even sample is drawn.
        log : bool or list of int or str, default=False
            Features, by number or name, whose axes are logarithmic; True: all of them. Points whose value there isn't
            positive are counted as outside. Logarithmic axes that are passed as `ax` stay so.
        ax : Axes, default=None
            Axes for one or two features; by default those of a new figure.
        fig : Figure or SubFigure, default=None
            Figure for more features; by default a new one.
        legend : bool, default=True

        Returns
        -------
        display : DataDisplay

        Raises
        ------
        ValueError
            If X holds infinity, a feature has no value (in a group), or the number of labels is not that of the points.
        ImportError
            Without matplotlib.

        Examples
        --------
        >>> from fastem.datasets import load_penguins
        >>> from fastem.plotting import DataDisplay
        >>> penguins = load_penguins()
        >>> display = DataDisplay.from_data(penguins.data, penguins.target, features=[0, 1])
        >>> display.figure_.savefig("penguins.png")
        """
        points = points_of(X, None, feature_names, max_points, sample_weight)
        mixture, words = None, ""
        lab = np.broadcast_to(_PLAIN_ON_DARK if is_dark() else _PLAIN, (len(points), 3))
        if labels is not None:
            codes, names = _coded(labels, points)
            mixture = _gaussians(points, codes, names)
            lab = np.concatenate([to_lab(palette(len(names))), _UNKNOWN[None]])[codes]
            unknown = np.count_nonzero(codes < 0)
            words = f", {counted(len(names), 'group')}" + (f", {unknown:,} unknown" if unknown else "")
        shown, choice = chosen_features(mixture, points.names, features)
        if mixture is not None:
            mixture = mixture.marginal(shown)
        look = {"title": f"{points}{words}{choice}", "log": chosen_logs(log, points.names)[shown]}
        display = cls(points=points.only(shown), lab=lab, mixture=mixture, **look)
        return display.plot(ax=ax, fig=fig, legend=legend)


def _coded(labels, points):
    """(number of each drawn point's group, -1 if unknown; names of the groups)."""
    labels = np.asarray(labels)
    if labels.shape != (points.n_all,):
        raise ValueError(f"labels should have the shape ({points.n_all},), one for each point, but got {labels.shape}")
    labels = labels[points.index]
    if labels.dtype.kind in "OUS":
        labels = np.array(["" if label is None else str(label) for label in labels])
    unknown = (labels == "") | (labels == "-1") if labels.dtype.kind == "U" else ~(labels >= 0)
    names, codes = np.unique(labels[~unknown], return_inverse=True)
    if not len(names):
        raise ValueError("labels should be known for at least one point")
    of_all = np.full(len(labels), -1)
    of_all[~unknown] = codes
    return of_all, [str(name) for name in names.tolist()]


def _gaussians(points, codes, names):
    """The mixture of the groups with these names: their shares, means and covariances.

    It isn't made by `fit`, because a group of one point, or in a plane, has a covariance but no density.
    """
    _check_values(points, codes, names)
    weights = np.ones(len(points)) if points.weights is None else points.weights
    members = [codes == k for k in range(len(names))]
    masses = np.array([weights[of].sum() for of in members])
    means, covariances = zip(*(_moments(points.values[of], weights[of]) for of in members), strict=True)
    return Mixture(masses / masses.sum(), np.array(means), np.array(covariances), names=names)


def _check_values(points, codes, names):
    for k, name in enumerate(names):
        empty = np.isnan(points.values[codes == k]).all(axis=0)
        if empty.any():
            raise ValueError(
                f"labels: the points of group {name!r} have no value of {points.names[empty.argmax()]}: leave the "
                "feature out of X, or these points unlabelled"
            )


def _moments(values, weights):
    """Mean and covariance of points, the latter divided by their weight."""
    if np.isnan(values).any():
        mean, covariance = moments(source_of(values), FAMILIES["full"], weights)
        total = weights.sum()
        return mean, covariance * (max(total - 1, total / 2) / total)  # it was divided by the greater of these
    mean = np.average(values, axis=0, weights=weights)
    offset = values - mean
    return mean, (weights[:, None] * offset).T @ offset / weights.sum()
