"""MahalanobisDisplay: Q-Q plots that show whether the points of each component are Gaussian."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.stats import beta, chi2, f, kstwo, kstwobign

from .. import kernels
from ..extras import needed
from ._colors import palette
from ._mixture import Mixture, as_fastem
from ._points import MAX_POINTS, points_of, size_of, source_of
from ._style import faint, grey, ink, own_figure, size, styled
from ._words import counted, short, shortened

if TYPE_CHECKING:
    from typing import Any, Self

    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import ArrayLike

    from ..sources.typing import Points

_MOST_COMPONENTS = 12
_MOST_DOTS = 400
_FAR = 3  # the axis is logarithmic beyond the band if a point lies more than that many times as far
_FEWEST = 5  # points for which there is a p-value
_LONGEST = 16  # characters of a component's name


class MahalanobisDisplay:
    """Q-Q plots of squared Mahalanobis distances against chi-square, one for each component: use `from_estimator`.

    Let n points have a component as their most probable one. The i-th smallest of their squared Mahalanobis distances
    from its mean, (x - mean)' covariance**-1 (x - mean), is drawn over the quantile of chi-square with D degrees of
    freedom at (i - 1/2) / n. The band holds each distance with probability 95 % (pointwise) if the points are Gaussian:
    the i-th smallest of n uniform numbers is Beta(i, n + 1 - i). With very many points the band is too narrow to be
    seen; then the Kolmogorov distance, the largest difference between the two distribution functions, summarises the
    deviation. Its p-value is the probability that as many points of exactly this Gaussian deviate as much or more. If
    the model was fitted to the same points, it is too large: then only a small one says something. Where a far point
    would flatten all others, the axis is logarithmic beyond the band. A curve that ends above the diagonal means
    heavier tails. If components overlap, points in the tails belong to other components, so curves end below it.

    The distance of a point that lacks values is that of its d observed features, for which chi-square has d degrees of
    freedom. It is drawn as the distance in D features that is exceeded with the same probability. Points without any
    value are left out. Likewise a distance in a t distribution is drawn as one in a Gaussian that is as rare, so that
    the diagonal means that the component has the right tails.

    Parameters
    ----------
    distances : list of ndarray
        For each component the squared distances of its points, ascending.
    n_features : int
    shown : ndarray of int
        Numbers of the components to draw.
    weights : list of ndarray, default=None
        For each component the weights of these points, in the same order. The quantile of a point is then taken at the
        sum of the weights before it plus half its own, divided by the sum of all. Integer weights are multiplicities.
        For others the band is that of the effective number of points, (sum w)**2 / sum w**2 (Kish 1965).
    names : list of str, default=None
        Names of the components; by default their numbers.
    remark : str, default=''
        On points that lack values.

    Attributes
    ----------
    axes_ : ndarray of Axes
        One for each component shown.
    figure_ : Figure or SubFigure
    lines_ : list of Line2D
        The dots of each plot: x are quantiles of chi-square, y squared distances.
    bands_ : list of PolyCollection
    """

    def __init__(
        self,
        *,
        distances: Any,
        n_features: Any,
        shown: Any,
        weights: Any = None,
        names: Any = None,
        remark: Any = "",
    ) -> None:
        self.distances, self.n_features, self.shown, self.weights = distances, n_features, shown, weights
        self.remark = remark
        self.names = [str(k) for k in range(len(distances))] if names is None else names

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Points,
        *,
        sample_weight: ArrayLike | str | None = None,
        max_points: int = MAX_POINTS,
        fig: Figure | SubFigure | None = None,
    ) -> Self:
        """Draw Q-Q plots for the components of a fitted model on the points X.

        Parameters
        ----------
        model : GaussianMixture
            Fitted.
        X : array-like of shape (n, D), or a source as in `fit`
            Values may be missing (NaN) if the model has `missing='em'`.
        sample_weight : array-like of shape (n,), default=None
            Multiplicities, as in `fit`.
        max_points : int, default=1_000_000
            If there are more points, an even sample is taken.
        fig : Figure or SubFigure, default=None
            By default a new one.

        Returns
        -------
        display : MahalanobisDisplay

        Raises
        ------
        NotFittedError
        ValueError
            If X doesn't suit the model.
        ImportError
            Without matplotlib.
        """
        model = as_fastem(model)
        points = points_of(X, model, None, max_points, sample_weight)
        mixture = Mixture.of(model)
        labels = model._evaluate_source(source_of(points.values), kernels.labels, np.int64)
        is_missing = np.isnan(points.values)
        labels[is_missing.all(axis=1)] = -1
        members = [np.flatnonzero(labels == k) for k in range(len(mixture))]
        distances = [_squared_distances(points.values[of], mixture, k) for k, of in enumerate(members)]
        remark = _remark(is_missing)
        if mixture.degrees is not None:
            distances = [
                _as_rare(values, nu, mixture.means.shape[1])
                for values, nu in zip(distances, mixture.degrees, strict=True)
            ]
            remark = "distances drawn as those that are as rare in a Gaussian"
        order = [np.argsort(values, kind="stable") for values in distances]
        weights = None
        if points.weights is not None:
            weights = [points.weights[of][by] for of, by in zip(members, order, strict=True)]
        display = cls(
            distances=[values[by] for values, by in zip(distances, order, strict=True)],
            n_features=mixture.means.shape[1],
            shown=np.sort(np.argsort(-mixture.weights, kind="stable")[:_MOST_COMPONENTS]),
            weights=weights,
            names=mixture.names,
            remark=remark,
        )
        return display.plot(fig=fig)

    def plot(self, *, fig: Figure | SubFigure | None = None) -> Self:
        """Draw it.

        Parameters
        ----------
        fig : Figure or SubFigure, default=None

        Returns
        -------
        display : MahalanobisDisplay
            This one, with its attributes set.
        """
        n = len(self.shown)
        n_columns = min(n, 4) if n != 6 else 3
        n_rows = -(-n // n_columns)
        colors = palette(len(self.distances))
        with styled():
            self.figure_ = own_figure(fig, max(3.6, 0.4 + 2.3 * n_columns), 0.8 + 2.2 * n_rows)
            grid = self.figure_.subplots(n_rows, n_columns, squeeze=False)
            for ax in grid.flat[n:]:
                ax.set_axis_off()
            self.axes_ = grid.ravel()[:n]
            self.lines_, self.bands_ = [], []
            for ax, k in zip(self.axes_, self.shown, strict=True):
                self._plot_one(ax, k, colors[k])
            self.figure_.supxlabel(f"quantile of chi-square, {self._freedom()}", fontsize=size(9))
            self.figure_.supylabel("squared Mahalanobis distance", fontsize=size(9))
            heads = [self.remark] if self.remark else []
            if n < len(self.distances):
                heads.insert(0, f"the heaviest {n} of {len(self.distances)} components")
            if heads:
                self.figure_.suptitle("\n".join(heads), fontsize=size(9))
        return self

    def _freedom(self):
        return "1 degree of freedom" if self.n_features == 1 else f"{self.n_features} degrees of freedom"

    def _plot_one(self, ax, k, color):
        distances = self.distances[k]
        n = len(distances)
        weights = np.ones(n) if self.weights is None else self.weights[k]
        effective, total, dots = size_of(n, weights), np.cumsum(weights), _dots(n)
        rank = (total - weights / 2)[dots] / (total[-1] if n else 1) * effective + 0.5
        low, middle, high = (chi2.ppf(p, self.n_features) for p in _probabilities(rank, effective))
        y = distances[dots]
        self.bands_.append(ax.fill_between(middle, low, high, color=grey(0.13), linewidth=0, zorder=1))
        end = 1.04 * max(middle[-1], y[-1]) if n else 1.0
        usual = 1.04 * max(middle[-1], high[-1]) if n else 1.0
        if end > _FAR * usual:
            _compress(ax, usual, end)
        ax.plot([0, end], [0, end], color=ink(), linewidth=0.7, linestyle="dashed", zorder=2)
        self.lines_ += ax.plot(middle, y, "o", color=color, markersize=3, markeredgewidth=0, zorder=3)
        ax.set(xlim=(0, 1.04 * middle[-1] if n else 1), ylim=(0, end))
        of = "" if self.weights is None else f", weight {total[-1] if n else 0:,g}"
        ax.set_title(f"{shortened(self.names[k], _LONGEST)}: {counted(n, 'point')}{of}", loc="left", pad=size(14))
        text = self._deviation(distances, weights, effective) if n else "no points"
        ax.annotate(text, (0, 1), (0, 3), "axes fraction", "offset points", va="bottom", fontsize=size(7))
        ax.locator_params(axis="x", nbins=4)
        if ax.get_yscale() == "linear":
            ax.locator_params(axis="y", nbins=4)

    def _deviation(self, distances, weights, n):
        """'Kolmogorov distance 0.059, p = 0.21'; without p for so few points that any model fits them."""
        distance = _kolmogorov(distances, weights, self.n_features)
        p = f", {_p_value(distance, n)}" if n >= max(_FEWEST, self.n_features + 2) else ""
        return f"Kolmogorov distance {distance:.3f}{p}"


def _dots(n):
    """Which of n sorted points to draw: all, or a selection that is denser towards the tail, where points lie apart."""
    if n <= _MOST_DOTS:
        return np.arange(n)
    return n - np.unique(np.round(np.geomspace(1, n, _MOST_DOTS)).astype(int))[::-1]


def _probabilities(rank, n):
    """Probabilities of the lower end of the band, its middle and its upper end, for these ranks among n points."""
    lower, upper = beta.ppf([[0.025], [0.975]], rank, n + 1 - rank)
    return lower, (rank - 0.5) / n if n else rank, upper


def _kolmogorov(distances, weights, n_features):
    """The largest difference between the distribution function of the distances and that of chi-square."""
    expected, total = chi2.cdf(distances, n_features), np.cumsum(weights)
    return max((total / total[-1] - expected).max(), (expected - (total - weights) / total[-1]).max())


def _p_value(distance, n):
    """'p = 0.21': how often n points of the component itself have a Kolmogorov distance as large as this one."""
    p = kstwo.sf(distance, n) if n == int(n) else kstwobign.sf(distance * np.sqrt(n))
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.1 else f"p = {p:.2f}"


def _compress(ax, usual, end):
    """Make the vertical axis logarithmic beyond what is usual; that keeps the lower half."""
    decades = np.log10(end / usual)
    ax.set_yscale("symlog", linthresh=usual, linscale=decades)
    ticks = needed("matplotlib.ticker", "plot")
    linear = ticks.MaxNLocator(3).tick_values(0, usual)
    exponents = np.arange(np.floor(np.log10(usual)), np.ceil(np.log10(end)) + 1)
    exponents = exponents[:: max(1, round(len(exponents) / 4))]
    beyond = np.multiply.outer(10.0**exponents, [1] if decades > 2 else [1, 2, 5]).ravel()
    ax.set_yticks([*linear[(linear >= 0) & (linear <= usual)], *beyond[(beyond > 1.3 * usual) & (beyond <= end)]])
    ax.yaxis.set_major_formatter(ticks.FuncFormatter(lambda y, _: short(f"{y:.0e}") if y >= 1e4 else f"{y:g}"))
    ax.yaxis.set_minor_locator(ticks.NullLocator())
    ax.axhline(usual, color=faint(), linewidth=0.6, linestyle="dotted", zorder=1)
    ax.annotate(
        "logarithmic above",
        (1, usual),
        (-2, 2),
        ("axes fraction", "data"),
        "offset points",
        ha="right",
        fontsize=size(6),
        color=faint(),
    )


def _squared_distances(X, mixture, k):
    """Squared distances of points from component k; of incomplete ones what is as rare in all features."""
    n_features, distances = X.shape[1], np.empty(len(X))
    patterns, which = np.unique(~np.isnan(X), axis=0, return_inverse=True)
    for number, observed in enumerate(patterns):
        rows = np.flatnonzero(which.ravel() == number)
        factor = cholesky(mixture.covariances[k][np.ix_(observed, observed)], lower=True)
        offsets = X[np.ix_(rows, observed)] - mixture.means[k][observed]
        distances[rows] = np.sum(solve_triangular(factor, offsets.T, lower=True) ** 2, axis=0)
        if not observed.all():
            tail = chi2.sf(distances[rows], np.count_nonzero(observed))
            distances[rows] = chi2.isf(np.maximum(tail, np.finfo(float).tiny), n_features)
    return distances


def _as_rare(squares, degrees, n_features):
    """Squared distances in a Gaussian that are exceeded with the same probability as these in a t distribution.

    A t distribution's squared distance over the number of features has the F distribution.
    """
    if np.isinf(degrees):
        return squares
    tail = f.sf(squares / n_features, n_features, degrees)
    return chi2.isf(np.maximum(tail, np.finfo(float).tiny), n_features)


def _remark(is_missing):
    n, without = (int(np.count_nonzero(rows)) for rows in (is_missing.any(axis=1), is_missing.all(axis=1)))
    if not n:
        return ""
    verb = "lacks" if n == 1 else "lack"
    which = f"{n:,} of {counted(len(is_missing), 'point')} {verb} values"
    text = f"{which}: drawn at distances exceeded as rarely in {counted(is_missing.shape[1], 'feature')}"
    return f"{text}; {without:,} without any left out" if without else text
