"""DataDisplay: points before any fit, and the Gaussians of known groups."""

import numpy as np

from ._colors import palette, to_lab
from ._mixture import Mixture
from ._points import MAX_POINTS, points_of
from ._points_display import PointsDisplay, chosen_features
from ._style import counted

_PLAIN = to_lab([0.30, 0.34, 0.40])
_UNKNOWN = to_lab([0.62, 0.62, 0.62])


class DataDisplay(PointsDisplay):
    """The points alone, or in the colours of known groups with the Gaussian of each: use `from_data` to make one.

    Drawn as `MixtureDisplay` draws, without the densest regions.

    Parameters
    ----------
    points : Points
        Of the features shown.
    lab : ndarray of shape (n, 3)
        OKLab colours of the points; those of unknown group are grey.
    mixture : Mixture or None
        For each group its share of the known points, their mean, and their covariance (divided by their number): what
        `fit` makes of labelled points, but for `reg_covar`.
    title : str
    names : list of str
        Of the groups.

    Attributes
    ----------
    ax_, axes_, figure_, panels_, points_, ellipses_, legend_
        As those of `MixtureDisplay`.

    Examples
    --------
    >>> from fastem.datasets import load_penguins
    >>> from fastem.plotting import DataDisplay
    >>> penguins = load_penguins()
    >>> _ = DataDisplay.from_data(penguins.data, penguins.target)  # doctest: +SKIP
    """

    @classmethod
    def from_data(
        cls,
        X,
        labels=None,
        *,
        features=None,
        feature_names=None,
        max_points=MAX_POINTS,
        ax=None,
        fig=None,
        legend=True,
    ):
        """Draw the points X.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as `fit` takes
        labels : array-like of int or str of shape (n,), default=None
            The known group of each point; -1, '' or None where unknown.
        features : list of int or str, default=None
            Those to show, by number or name; by default all, of more than 6 the first 6, or those that separate the
            groups most.
        feature_names : list of str of length D, default=None
            By default X's.
        max_points : int, default=1_000_000
            Of more points an even sample is drawn.
        ax : Axes, default=None
            For one or two features; by default those of a new figure.
        fig : Figure or SubFigure, default=None
            For more features.
        legend : bool, default=True

        Returns
        -------
        display : DataDisplay

        Raises
        ------
        ValueError
            Where X holds NaN, or there aren't as many labels as points.
        ImportError
            Without matplotlib.
        """
        points = points_of(X, None, feature_names, max_points)
        mixture, names, words = None, None, ""
        lab = np.broadcast_to(_PLAIN, (len(points), 3))
        if labels is not None:
            codes, names = _coded(labels, points)
            mixture = _gaussians(points.values, codes, len(names))
            lab = np.concatenate([to_lab(palette(len(names))), _UNKNOWN[None]])[codes]
            unknown = np.count_nonzero(codes < 0)
            words = f", {counted(len(names), 'group')}" + (f", {unknown:,} unknown" if unknown else "")
        shown, choice = chosen_features(mixture, points.names, features)
        if mixture is not None:
            mixture = mixture.marginal(shown)
        display = cls(
            points=points.only(shown), lab=lab, mixture=mixture, title=f"{points}{words}{choice}", names=names
        )
        return display.plot(ax=ax, fig=fig, legend=legend)


def _coded(labels, points):
    """(number of the group of each point drawn, -1 where unknown, names of the groups)."""
    labels = np.asarray(labels)
    if labels.shape != (points.n_all,):
        raise ValueError(f"labels should be one for each of {points.n_all} points, but got the shape {labels.shape}")
    labels = labels[points.index]
    if labels.dtype.kind in "OUS":
        labels = np.array(["" if label is None else str(label) for label in labels])
    unknown = (labels == "") | (labels == "-1") if labels.dtype.kind == "U" else ~(labels >= 0)
    names, codes = np.unique(labels[~unknown], return_inverse=True)
    if not len(names):
        raise ValueError("labels should be known for at least one point")
    of_all = np.full(len(labels), -1)
    of_all[~unknown] = codes
    # Numbers stand at the means already, from 0 on: other ones need a word.
    return of_all, [
        str(name) if isinstance(name, str) or name == k else f"group {name}" for k, name in enumerate(names)
    ]


def _gaussians(values, codes, n_groups):
    """Shares, means and covariances of the groups.

    By hand rather than by `fit`: a group of one point, or in a plane, has a covariance but no density.
    """
    groups = [values[codes == k] for k in range(n_groups)]
    means = np.array([group.mean(axis=0) for group in groups])
    offsets = [group - mean for group, mean in zip(groups, means, strict=True)]
    covariances = np.array([offset.T @ offset / len(offset) for offset in offsets])
    counts = np.array([len(group) for group in groups])
    return Mixture(counts / counts.sum(), means, covariances)
