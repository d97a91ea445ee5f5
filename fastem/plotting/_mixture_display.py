"""MixtureDisplay: the fitted mixture over its points."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ._mixture import Mixture, as_fastem
from ._points import MAX_POINTS, mean_log_likelihood, mixed_colors, points_of
from ._points_display import PointsDisplay, chosen_features, chosen_logs
from ._words import counted, nats

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure
    from numpy.typing import ArrayLike

    from ..sources.typing import Points


class MixtureDisplay(PointsDisplay):
    """A fitted mixture and the points: use `from_estimator` to make one.

    With one feature it shows a histogram, the density of each component times its weight, and their sum. With two it
    shows the points in the colours of their components, mixed by responsibility; ellipses at 1, 2 and 3 standard
    deviations (of t distributions, those that hold as much: 39, 86 and 99 %); and the highest-density regions that hold
    50, 90 and 99 % of the mixture, shaded under few points and outlined over many. With more it shows the marginal
    mixture of each pair of features, and of each single feature on the diagonal; colours are by all features.

    More than 5,000 points are drawn as an image. Each cell has the mean colour of its points, and its opacity grows
    with the logarithm of their number. The axes hold all ellipses and all points, but for the outermost 0.1 % on each
    side if these lie far off, and for strays that would hide all others: up to 3 % of the points, more than 10 times as
    far apart as the rest. A corner says how many points and means lie outside. Of more than 10 components the heaviest
    10 stand in front; the others are faded. Components much narrower than a bar don't stretch the axis of a density.

    Colours of text, lines and the background are those of matplotlib's style, as are sizes that it sets.

    Parameters
    ----------
    points : Points
        The features shown.
    lab : ndarray of shape (n, 3)
        OKLab colours of the points.
    mixture : Mixture
        The marginal of the features shown.
    title : str

    Attributes
    ----------
    ax_ : Axes
        The axes, for one or two features.
    axes_ : ndarray of Axes of shape (D, D)
        The axes, for more features; None above the diagonal.
    figure_ : Figure or SubFigure
    panels_ : list of one, or ndarray of the shape of `axes_`
        The artists on each axes: `ellipses`, `means`, `contours`, `cloud`, or `curves`, `total`, `histogram`.
    points_ : PathCollection, AxesImage or StepPatch
        The points on `ax_`: markers, an image or a histogram.
    ellipses_ : list of list of PathPatch
        Ellipses of each component on `ax_`, the innermost first.
    contours_ : QuadContourSet or None
    legend_ : Legend or None

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> from fastem.plotting import MixtureDisplay
    >>> X = load_faithful().data
    >>> display = MixtureDisplay.from_estimator(GaussianMixture(2).fit(X), X)  # doctest: +SKIP
    >>> display.figure_.savefig("faithful.pdf")                                # doctest: +SKIP
    """

    with_contours = True

    @classmethod
    def from_estimator(
        cls,
        model: Any,
        X: Points,
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
        """Draw a fitted mixture over the points X.

        Parameters
        ----------
        model : GaussianMixture
            Fitted; scikit-learn's, too.
        X : array-like of shape (n, D), or a source as in `fit`
            Values may be missing (NaN) if the model has `missing='em'`; such a point is left out where they are needed.
        sample_weight : array-like of shape (n,), default=None
            Multiplicities, as in `fit`. Bars and cells count them; the area of a marker is proportional to them.
        features : list of int or str, default=None
            Features to show, by number or name. Default: all, or the 6 that separate the components most.
        feature_names : list of str of length D, default=None
            By default those seen in `fit`, or those of X.
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
        display : MixtureDisplay

        Raises
        ------
        NotFittedError
        ValueError
            If X or `features` don't suit the model.
        ImportError
            Without matplotlib.
        """
        model = as_fastem(model)
        points = points_of(X, model, feature_names, max_points, sample_weight)
        mixture = Mixture.of(model)
        shown, words = chosen_features(mixture, points.names, features)
        title = (
            f"{counted(len(mixture), 'component')}, {model._form}, {points}{words}\n"
            f"log-likelihood {nats(mean_log_likelihood(model, points.values, points.weights))} nats per point"
        )
        lab = mixed_colors(model, points.values)
        logs = chosen_logs(log, points.names)[shown]
        display = cls(points=points.only(shown), lab=lab, mixture=mixture.marginal(shown), title=title, log=logs)
        return display.plot(ax=ax, fig=fig, legend=legend)
