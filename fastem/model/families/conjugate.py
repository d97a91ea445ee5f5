"""Conjugate priors of covariances: Wishart distributed precision matrices, Gamma distributed precisions.

A prior counts as points, and adds its scale to the scatter of the components' points (Gelman et al. 2013, 'Bayesian
Data Analysis', section 3.6). Here is what depends on a covariance's shape; what is common is in `model.priors`.
"""

import math

import numpy as np
from scipy.special import digamma, gammaln

# Least eigenvalue of features' correlations below which they are linearly dependent.
_DEPENDENT = 1e-10


class Conjugate:
    """The prior of each component's own covariance."""

    def degrees(self, prior, mass):
        """Degrees of freedom of the posterior, from the prior's and the points of each component, (K,)."""
        return prior + mass

    def n_averaged(self, n_components, n_features):
        """How many scatters one covariance is the mean of."""
        return 1

    def scatter(self, mass, covariances, n_features):
        """Of so many points of each component, (K,), with these covariances."""
        return of_each(mass, covariances) * covariances

    def scatter_of_offsets(self, shares, offsets):
        """Sum of share_k offset_k offset_k' in the shape of covariances, from shares (K,) and offsets (K, D)."""
        raise NotImplementedError

    def counts(self, of_means, mass, n_features):
        """Factors |covariance|**(-1/2) in the posterior's density, those of the prior's degrees of freedom left out.

        of_means: how many the prior of one mean has.
        """
        raise NotImplementedError

    def of_data(self, covariance):
        """The covariance of all points, as `family.of_all_points` has it, in the shape of one component's."""
        return covariance

    def scale_of_data(self, covariance):
        """As `of_data`, for a prior that doesn't tell features apart where they have a variance each."""
        raise NotImplementedError

    def log_density(self, parameters, degrees, scale):
        """Log-density of all covariances under inverse Wishart (or Gamma) priors, nats.

        But for a constant where features without spread make the scale singular.
        """
        raise NotImplementedError

    def log_normalizers(self, degrees, covariances, n_features):
        """log B of the Wishart distribution of each precision (Bishop 2006, eq. B.79), (K,), but for powers of pi.

        degrees: (K,). covariances: inverses of the expected precisions.
        """
        raise NotImplementedError

    def squares(self, precisions, second):
        """Sum over components of the traces of precision and second moments."""
        return float((precisions * second).sum())

    def expected(self, posterior, priors):
        """(E[log |precision_k|], (K,); KL(posterior || prior) of all precisions) under conjugate distributions."""
        raise NotImplementedError


class Wishart(Conjugate):
    """Of a precision matrix for each component."""

    def scatter_of_offsets(self, shares, offsets):
        return shares[:, None, None] * offsets[:, :, None] * offsets[:, None, :]

    def counts(self, of_means, mass, n_features):
        return n_features + 1 + of_means + mass

    def scale_of_data(self, covariance):
        """Where it is singular, its variances serve, as in mclust where there are too few points."""
        return np.diag(np.diagonal(covariance)) if _is_singular(covariance) else covariance

    def log_density(self, parameters, degrees, scale):
        n_features = parameters.means.shape[1]
        precisions = parameters.precisions().reshape(-1, n_features, n_features)
        log_scale, traces = np.linalg.slogdet(scale)[1], (precisions * scale).sum(axis=(1, 2))
        log_scale = log_scale if math.isfinite(log_scale) else 0.0
        log_determinants = 2 * parameters.log_determinants[: len(precisions)]
        return _log_inverse_wishart(degrees, n_features, log_scale, log_determinants, traces)

    def log_normalizers(self, degrees, covariances, n_features):
        log_inverse_scale = n_features * np.log(degrees) + np.linalg.slogdet(covariances)[1]
        return log_wishart_normalizer(degrees, n_features, log_inverse_scale)

    def expected(self, posterior, priors):
        n_components, n_features = posterior.means.shape
        precisions = posterior.precisions().reshape(-1, n_features, n_features)
        log_scale = np.linalg.slogdet(priors.covariance)[1]
        traces = (precisions * priors.covariance).sum(axis=(1, 2))
        log_mean = 2 * posterior.log_determinants[: len(precisions)]
        found = np.atleast_1d(self.n_averaged(n_components, n_features) * posterior.degrees_of_freedom)
        log_precision, divergence = _expected(found, priors.degrees_of_freedom, n_features, log_mean, log_scale, traces)
        return np.broadcast_to(log_precision, n_components), divergence


class SharedWishart(Wishart):
    """Of one precision matrix: scikit-learn's posterior takes a K-th of all the points for each component's."""

    def degrees(self, prior, mass):
        return prior + mass.mean()

    def n_averaged(self, n_components, n_features):
        return n_components

    def scatter(self, mass, covariances, n_features):
        return mass.sum() * covariances

    def scatter_of_offsets(self, shares, offsets):
        return (shares * offsets.T) @ offsets

    def counts(self, of_means, mass, n_features):
        return n_features + 1 + of_means * len(mass) + mass.sum()


class Gamma(Conjugate):
    """Of a precision for each component and feature."""

    def scatter_of_offsets(self, shares, offsets):
        return shares[:, None] * offsets**2

    def counts(self, of_means, mass, n_features):
        return 2 + of_means + mass

    def scale_of_data(self, covariance):
        return np.full(covariance.shape, covariance.mean())

    def log_density(self, parameters, degrees, scale):
        scale, precisions = np.asarray(scale), parameters.precisions()
        log_scale = np.log(np.where(scale > 0, scale, 1.0))
        return _log_inverse_wishart(degrees, 1, log_scale, np.log(precisions), precisions * scale)

    def log_normalizers(self, degrees, covariances, n_features):
        found = degrees[:, None] * self.n_averaged(len(degrees), n_features)
        normalizers = log_wishart_normalizer(found, 1, np.log(found * covariances.reshape(len(degrees), -1)))
        return normalizers.sum(axis=1)

    def expected(self, posterior, priors):
        n_components, n_features = posterior.means.shape
        times = self.n_averaged(n_components, n_features)  # one variance is seen by every feature
        precisions = posterior.precisions().reshape(n_components, -1)
        scale = times * np.asarray(priors.covariance)
        with np.errstate(divide="ignore"):  # of a feature without spread: the evidence is -inf, as of singular scales
            log_scale = np.log(scale)
        found, prior = times * posterior.degrees_of_freedom[:, None], times * priors.degrees_of_freedom
        log_precision, divergence = _expected(found, prior, 1, np.log(precisions), log_scale, precisions * scale)
        return np.broadcast_to(times * log_precision.sum(axis=1), n_components), divergence


class SharedGamma(Gamma):
    """Of a precision for each component: every feature's square counts."""

    def n_averaged(self, n_components, n_features):
        return n_features

    def scatter(self, mass, covariances, n_features):
        return n_features * mass * covariances

    def scatter_of_offsets(self, shares, offsets):
        return super().scatter_of_offsets(shares, offsets).sum(axis=1)

    def counts(self, of_means, mass, n_features):
        return 2 + (of_means + mass) * n_features

    def of_data(self, covariance):
        return covariance.mean()

    def scale_of_data(self, covariance):
        return covariance.mean()

    def squares(self, precisions, second):
        return super().squares(precisions[:, None], second)


def of_each(values, covariances):
    """One value for each component, or one for all, against covariances."""
    return np.reshape(values, (-1, *[1] * (covariances.ndim - 1))) if np.ndim(values) else values


def log_wishart_normalizer(degrees, dimension, log_inverse_scale):
    """log B(W, degrees) (Bishop 2006, eq. B.79) but for powers of pi."""
    gammas = sum(gammaln(0.5 * (degrees - i)) for i in range(dimension))
    return 0.5 * degrees * (log_inverse_scale - dimension * math.log(2)) - gammas


def _log_inverse_wishart(degrees, dimension, log_scale, log_precision, traces):
    """Sum of the log-densities of covariances, by log |precision| and the trace of scale times precision."""
    normalizer = log_wishart_normalizer(degrees, dimension, log_scale)
    normalizer -= 0.25 * dimension * (dimension - 1) * math.log(math.pi)
    return float((normalizer + 0.5 * (degrees + dimension + 1) * log_precision - 0.5 * traces).sum())


def _expected(found, prior, dimension, log_mean, log_scale, traces):
    """(E[log |precision|] of each, KL of all) for Wishart distributions with so many degrees of freedom and these
    logarithms of the determinants of their means; log_scale and traces, with the means, are of the prior's scale.
    """
    log_precision = _expected_log(found, dimension) + log_mean - dimension * np.log(found)
    divergence = (
        log_wishart_normalizer(found, dimension, dimension * np.log(found) - log_mean)
        - log_wishart_normalizer(prior, dimension, log_scale)
        + 0.5 * (found - prior) * log_precision
        - 0.5 * dimension * found
        + 0.5 * traces
    ).sum()
    return log_precision, divergence


def _expected_log(degrees, dimension):
    """E[log |precision|] less log |scale| (Bishop 2006, eq. B.81)."""
    return dimension * math.log(2) + sum(digamma(0.5 * (degrees - i)) for i in range(dimension))


def _is_singular(covariance):
    """Whether features that vary are linearly dependent."""
    deviations = np.sqrt(np.diagonal(covariance))
    vary = np.flatnonzero(deviations)
    correlations = covariance[np.ix_(vary, vary)] / deviations[vary, None] / deviations[vary]
    return bool((np.linalg.eigvalsh(correlations) < _DEPENDENT).any())
