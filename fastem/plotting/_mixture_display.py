"""MixtureDisplay: the fitted mixture over its points."""

from ._mixture import Mixture
from ._points import MAX_POINTS, mean_log_likelihood, mixed_colors, points_of
from ._points_display import PointsDisplay, chosen_features
from ._style import counted, nats


class MixtureDisplay(PointsDisplay):
    """A fitted mixture and the points: use `from_estimator` to make one.

    One feature: histogram, the components' densities times their weights, and their sum. Two: points in the colours
    of their components, mixed by responsibility; ellipses at 1, 2 and 3 standard deviations; the highest-density
    regions that hold 50, 90 and 99 % of the mixture, shaded under few points and outlined over many. More: all pairs
    of features, in which the mixture is the one with the same weights and the parts of means and covariances (the
    marginal of a Gaussian mixture), and each feature by itself on the diagonal; colours are by all features together.

    More than 5,000 points are drawn as an image, the more opaque the more points (logarithmically), in the mean colour
    of the points in each cell. Axes hold all ellipses and all points, but for the outermost 0.1 % on each side where
    these lie far off; the picture says how many are outside.

    Parameters
    ----------
    points : Points
        Of the features shown.
    lab : ndarray of shape (n, 3)
        OKLab colours of the points.
    mixture : Mixture
        Of the features shown.
    title : str

    Attributes
    ----------
    ax_ : Axes
        Of one or two features.
    axes_ : ndarray of Axes of shape (D, D)
        Of more features; None above the diagonal.
    figure_ : Figure or SubFigure
    panels_ : list of one, or ndarray of the shape of `axes_`
        What was drawn on each axes: `ellipses`, `means`, `contours`, `cloud`, or `curves`, `total`, `histogram`.
    points_ : PathCollection, AxesImage or StepPatch
        The points on `ax_`: markers, an image or a histogram.
    ellipses_ : list of list of PathPatch
        For each component its ellipses on `ax_`, the innermost first.
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
        model,
        X,
        *,
        sample_weight=None,
        features=None,
        feature_names=None,
        max_points=MAX_POINTS,
        ax=None,
        fig=None,
        legend=True,
    ):
        """Draw a fitted mixture over the points X.

        Parameters
        ----------
        model : GaussianMixture
            Fitted.
        X : array-like of shape (n, D), or a source as in `fit`
        sample_weight : array-like of shape (n,), default=None
            Multiplicities, as in `fit`: bars and cells count them, markers' areas are proportional to them.
        features : list of int or str, default=None
            Those to show, by number or name; by default all, of more than 6 the 6 that separate the components most.
        feature_names : list of str of length D, default=None
            By default those seen in `fit`, or X's.
        max_points : int, default=1_000_000
            Of more points an even sample is drawn.
        ax : Axes, default=None
            For one or two features; by default those of a new figure.
        fig : Figure or SubFigure, default=None
            For more features.
        legend : bool, default=True

        Returns
        -------
        display : MixtureDisplay

        Raises
        ------
        NotFittedError
        ValueError
            Where X or `features` don't suit the model.
        ImportError
            Without matplotlib.
        """
        points = points_of(X, model, feature_names, max_points, sample_weight)
        mixture = Mixture.of(model)
        shown, words = chosen_features(mixture, points.names, features)
        title = (
            f"{counted(len(mixture), 'component')}, {model.covariance_type} covariance, {points}{words}\n"
            f"log-likelihood {nats(mean_log_likelihood(model, points.values, points.weights))} nats per point"
        )
        lab = mixed_colors(model, points.values)
        display = cls(points=points.only(shown), lab=lab, mixture=mixture.marginal(shown), title=title)
        return display.plot(ax=ax, fig=fig, legend=legend)
