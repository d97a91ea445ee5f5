"""A mixture for drawing: its marginals, and its densities in one or two features."""

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.special import logsumexp, softmax

from ..estimators.base_mixture import BaseMixture
from ..estimators.bayesian_mixture import BayesianGaussianMixture
from ..estimators.gaussian_mixture import GaussianMixture
from ..model.families.student import log_density_at
from ..model.noise import Noise

MASSES = (0.5, 0.9, 0.99)
"""Probabilities of the highest-density regions whose contours are drawn."""

MOST = 10
"""Components that stand in front, at most: the heaviest. The others are faded, and have no line in the legend."""

_BLOCK = 1 << 22  # densities of components computed at a time
_WIDEST = 1e6  # deviations: radius of an ellipse, at most
_GAUSSIAN = 1e8  # degrees of freedom that points are drawn with in place of more
_SHORT = 3  # characters of a name that fit in the marker of a component's mean


@dataclass(frozen=True)
class Mixture:
    """Weights, means and covariance matrices in float64, for any family.

    Attributes
    ----------
    weights : ndarray of shape (K,)
    means : ndarray of shape (K, D)
    covariances : ndarray of shape (K, D, D)
    is_empty : ndarray of bool of shape (K,)
        Components of a Bayesian mixture that hold less than one point: they equal the prior and are not drawn.
    names : list of str or None
        Names of the components, if they have any besides their numbers.
    noise : (float, model.noise.Noise) or None
        Weight of the noise component, and the box that it fills; the weights then sum to 1 less that.
    degrees : ndarray of shape (K,) or None
        Degrees of freedom of t distributions, whose scales `covariances` then are; None for Gaussians.
    """

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    is_empty: np.ndarray = None
    names: list = None
    noise: tuple = None
    degrees: np.ndarray = None
    factors: np.ndarray = field(init=False, repr=False)

    @classmethod
    def of(cls, model):
        """The mixture of a fitted model."""
        means = np.asarray(model.means_, dtype=np.float64)
        family = model._covariance_family()
        covariances = family.covariances_of(model._fitted_arrays()).astype(np.float64)
        matrices = family.matrices(covariances, *means.shape)
        is_empty = None
        if hasattr(model, "mean_precision_"):
            is_empty = model.mean_precision_ - model.mean_precision_prior_ < 1
        names = list(model.component_names_) if hasattr(model, "component_names_") else None
        degrees = None if model._tails is None else np.asarray(model._tails, dtype=np.float64)
        noise = (model.noise_weight_, Noise(model.noise_box_)) if hasattr(model, "noise_box_") else None
        arrays = np.asarray(model.weights_, dtype=np.float64), means, np.asarray(matrices)
        return cls(*arrays, is_empty, names, noise, degrees)

    def __post_init__(self):
        # `_factors` handles singular matrices, too, in one or two features; Cholesky's method fails for them.
        if self.is_empty is None:
            object.__setattr__(self, "is_empty", np.zeros(len(self.weights), dtype=bool))
        object.__setattr__(self, "factors", _factors(self.covariances) if self.means.shape[1] <= 2 else None)

    def __len__(self):
        return len(self.weights)

    @property
    def marks(self):
        """Label of each component in a picture: its name if all names are short, else its number."""
        if self.names is not None and max(map(len, self.names)) <= _SHORT:
            return self.names
        return [str(k) for k in range(len(self))]

    def in_front(self, most=MOST):
        """Which components stand in front: all, or the `most` heaviest if there are more; bool, (K,)."""
        shown = np.flatnonzero(~self.is_empty)
        if len(shown) > most:
            shown = shown[np.argsort(-self.weights[shown], kind="stable")[:most]]
        return np.isin(np.arange(len(self)), shown)

    def ellipses_in_words(self, sigmas):
        """What the ellipses over two features at these numbers of standard deviations are, and what they hold."""
        held = ", ".join(f"{100 * -np.expm1(-(sigma**2) / 2):.0f}" for sigma in sigmas)
        if self.degrees is not None:
            return f"coverages: {held} %"
        return f"{', '.join(f'{sigma:g}' for sigma in sigmas)} standard deviations: {held} %"

    @property
    def deviations(self):
        """Standard deviation of each feature in each component, of t distributions the root of the scale, (K, D)."""
        return np.sqrt(np.maximum(np.diagonal(self.covariances, axis1=1, axis2=2), 0.0))

    def marginal(self, features):
        """The marginal mixture of these features: the same weights, parts of means and covariances (exact)."""
        features = np.asarray(features)
        covariances = self.covariances[:, features[:, None], features]
        noise = None if self.noise is None else (self.noise[0], self.noise[1].over(features))
        return replace(self, means=self.means[:, features], covariances=covariances, noise=noise)

    def reordered(self, order):
        """The same mixture with its components in this order."""
        names = self.names and [self.names[k] for k in order]
        degrees = None if self.degrees is None else self.degrees[order]
        arrays = self.weights[order], self.means[order], self.covariances[order], self.is_empty[order]
        return Mixture(*arrays, names, self.noise, degrees)

    def toward(self, other, share):
        """The parameters interpolated linearly between this mixture (share 0) and another one (share 1)."""
        parts = ((self.weights, other.weights), (self.means, other.means), (self.covariances, other.covariances))
        arrays = ((1 - share) * before + share * after for before, after in parts)
        degrees = None
        if self.degrees is not None:
            degrees = 1 / ((1 - share) / self.degrees + share / other.degrees)
        return Mixture(*arrays, self.is_empty, self.names, self.noise, degrees)

    def radius(self, k, sigma):
        """Radius, in deviations, of the ellipse over two features that holds as much as a Gaussian's at `sigma`.

        A t distribution in two dimensions holds 1 - (1 + r**2 / nu)**(-nu / 2) within r (its r**2 / 2 has the F
        distribution with 2 and nu degrees of freedom), a Gaussian 1 - exp(-r**2 / 2).
        """
        if self.degrees is None or np.isinf(self.degrees[k]):
            return sigma
        with np.errstate(over="ignore"):
            r = np.sqrt(self.degrees[k] * np.expm1(sigma**2 / self.degrees[k]))
        return min(float(r), _WIDEST)

    def log_densities(self, X):
        """log(weight_k density_k(x)) at points of one or two features, (n, K)."""
        X = np.asarray(X, dtype=np.float64)
        with np.errstate(over="ignore"):  # points far from a component without width
            z = (X[:, None, 0] - self.means[:, 0]) / self.factors[:, 0, 0]
            squares, log_scales = z * z, np.log(self.factors[:, 0, 0])
            if X.shape[1] == 2:
                along = X[:, None, 1] - self.means[:, 1] - self.factors[:, 1, 0] * z
                squares += (along / self.factors[:, 1, 1]) ** 2
                log_scales = log_scales + np.log(self.factors[:, 1, 1])
        with np.errstate(divide="ignore"):
            log_weights = np.log(self.weights)
        constants = log_weights - log_scales - 0.5 * X.shape[1] * np.log(2 * np.pi)
        if self.degrees is None:
            return constants - 0.5 * squares
        return constants + log_density_at(squares, self.degrees, X.shape[1])

    def log_density(self, X):
        """Log-density of the mixture, noise included, at points of one or two features, (n,) nats."""
        return np.logaddexp(logsumexp(self.log_densities(X), axis=1), self.log_noise)

    @property
    def log_noise(self):
        """Log weight + log-density of the noise, nats; -inf without noise."""
        with np.errstate(divide="ignore"):
            return -np.inf if self.noise is None else float(np.log(self.noise[0]) - self.noise[1].log_volume)

    def log_conditional(self, x, y):
        """Log-density of the second of two features at y given the first at x, (len(y), len(x)) nats."""
        of_x, step = self.marginal([0]).log_density(x[:, None]), max(1, _BLOCK // (len(y) * len(self)))
        log_density = np.empty((len(y), len(x)))
        for start in range(0, len(x), step):
            columns = slice(start, start + step)
            grid = np.stack(np.meshgrid(x[columns], y), axis=-1)
            log_density[:, columns] = self.log_density(grid.reshape(-1, 2)).reshape(grid.shape[:2])
        return log_density - of_x

    def regression(self, x):
        """Mean and standard deviation of the second of two features given the first at x, (n,) each."""
        of_x = self.marginal([0])
        densities = of_x.log_densities(x[:, None])
        z = (x[:, None] - self.means[:, 0]) / self.factors[:, 0, 0]
        means, variances = self.means[:, 1] + z * self.factors[:, 1, 0], self.factors[:, 1, 1] ** 2
        if self.noise is not None:
            box, last = self.noise[1], ((0, 0), (0, 1))
            densities = np.pad(densities, last, constant_values=of_x.log_noise)
            means = np.pad(means, last, constant_values=box.centre[1])
            variances = np.append(variances, box.by_features[2, 1])
        shares = softmax(densities, axis=1)
        mean = np.sum(shares * means, axis=1)
        if self.degrees is not None:  # of a t distribution with nu + 1 degrees of freedom, whose scale grows with z
            more = np.where(self.degrees > 1, self.degrees - 1, np.nan)
            variances = variances * np.where(np.isinf(self.degrees), 1.0, (self.degrees + z**2) / more)
        squares = variances + (means - mean[:, None]) ** 2
        return mean, np.sqrt(np.sum(shares * squares, axis=1))

    def levels(self, masses=MASSES, n_points=20_000):
        """Log-densities at the boundaries of the highest-density regions of these probabilities, (len(masses),) nats.

        They are quantiles of the log-density at points drawn from the mixture (Hyndman 1996).
        """
        rng = np.random.RandomState(0)
        counts = rng.multinomial(n_points, self.weights / self.weights.sum())
        k = np.repeat(np.arange(len(self)), counts)
        standard = rng.standard_normal((n_points, self.means.shape[1], 1))
        if self.degrees is not None:
            nu = np.minimum(self.degrees, _GAUSSIAN)[k]
            standard *= np.sqrt(nu / rng.chisquare(nu))[:, None, None]
        X = self.means[k] + (self.factors[k] @ standard)[:, :, 0]
        return np.quantile(self.log_density(X), 1 - np.asarray(masses))


def as_fastem(model):
    """A fitted model; one of scikit-learn's mixtures is converted, any other is returned as it is."""
    if not isinstance(model, BaseMixture):
        from sklearn import mixture  # slow to import

        for cls in GaussianMixture, BayesianGaussianMixture:
            if isinstance(model, getattr(mixture, cls.__name__)):
                return cls.from_sklearn(model)
    return model


def _factors(covariances):
    """Lower triangular L with L L' = covariance, (K, D, D), D being 1 or 2."""
    factors = np.zeros(covariances.shape)
    factors[:, 0, 0] = np.sqrt(np.maximum(covariances[:, 0, 0], np.finfo(float).tiny))
    if covariances.shape[1] == 2:
        factors[:, 1, 0] = covariances[:, 1, 0] / factors[:, 0, 0]
        least = np.maximum(np.finfo(float).eps * covariances[:, 1, 1], np.finfo(float).tiny)
        factors[:, 1, 1] = np.sqrt(np.maximum(covariances[:, 1, 1] - factors[:, 1, 0] ** 2, least))
    return factors


def most_separating(mixture, n):
    """The n features that separate the components best, in ascending order.

    The criterion is the variance between the means over the variance within components. For n = 2 it is the trace of
    within**-1 between (Fisher's criterion) of both together, so that the two aren't redundant.
    """
    weights = mixture.weights / mixture.weights.sum()
    centre = weights @ mixture.means
    offsets = mixture.means - centre
    between = np.einsum("k,ki,kj->ij", weights, offsets, offsets)
    within = np.einsum("k,kij->ij", weights, mixture.covariances)
    scale = np.sqrt(np.maximum(np.diagonal(within), np.finfo(float).tiny))
    within, between = within / np.outer(scale, scale), between / np.outer(scale, scale)
    ratios = np.diagonal(between)
    best = np.sort(np.argsort(-ratios, kind="stable")[: max(n, 8)])
    if n != 2 or len(best) < 2:
        return np.sort(np.argsort(-ratios, kind="stable")[:n])
    pairs = [(i, j) for i in best for j in best if i < j]
    return np.array(max(pairs, key=lambda pair: _fisher(within[np.ix_(pair, pair)], between[np.ix_(pair, pair)])))


def _fisher(within, between):
    return np.trace(np.linalg.lstsq(within, between, rcond=None)[0])
