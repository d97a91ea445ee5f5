"""Conjugate priors of covariances: Wishart for precision matrices, Gamma for scalar precisions.

A prior counts as points, and adds its scale to the scatter of the components' points (Gelman et al. 2013, 'Bayesian
Data Analysis', section 3.6). This file has the parts that depend on the covariances' shape, `model.priors` the rest.
"""

import math

import numpy as np
import scipy  # which imports its parts at their first use

# Eigenvalue of the features' correlation matrix below which features count as linearly dependent.
_DEPENDENT = 1e-10


class Conjugate:
    """The conjugate prior of covariances; its methods' defaults are those of one covariance for each component."""

    def degrees(self, prior, mass):
        """Degrees of freedom of the posterior, from those of the prior and the points of each component, (K,)."""
        return prior + mass

    def n_averaged(self, n_components, n_features):
        """Number of scatters that one covariance averages: tied pools K components, spherical D features."""
        return 1

    def scatter(self, mass, covariances, n_features):
        """Scatter of each component's points, from their number, (K,), and covariances."""
        return of_each(mass, covariances) * covariances

    def scatter_of_offsets(self, shares, offsets):
        """Sum of share_k offset_k offset_k' in the shape of covariances, from shares (K,) and offsets (K, D)."""
        raise NotImplementedError

    def counts(self, of_means, mass, n_features):
        """Powers of |covariance|**(-1/2) in the posterior density, without those of the prior's degrees of freedom.

        of_means: the power in the prior of one mean, 1 or 0.
        """
        raise NotImplementedError

    def of_data(self, covariance):
        """The covariance of all points, from the form of `family.of_all_points` to that of one component."""
        return covariance

    def scale_of_data(self, covariance):
        """As `of_data`, for the default scale of a prior: diag gets the same value for every feature."""
        raise NotImplementedError

    def log_density(self, parameters, degrees, scale):
        """Log-density of all covariances under inverse Wishart (or Gamma) priors, nats.

        Up to a constant if features without spread make the scale singular.
        """
        raise NotImplementedError

    def log_normalizers(self, degrees, covariances, n_features):
        """log B of the Wishart distribution of each precision (Bishop 2006, eq. B.79), (K,), without powers of pi.

        degrees: (K,). covariances: inverses of the expected precisions.
        """
        raise NotImplementedError

    def squares(self, precisions, second):
        """Sum over components of trace(precision second moments)."""
        return float((precisions * second).sum())

    def expected(self, posterior, priors):
        """(E[log |precision_k|], (K,); KL(posterior || prior) summed over precisions) under conjugate distributions."""
        raise NotImplementedError


class Wishart(Conjugate):
    """The prior of a precision matrix for each component."""

    def scatter_of_offsets(self, shares, offsets):
        return shares[:, None, None] * offsets[:, :, None] * offsets[:, None, :]

    def counts(self, of_means, mass, n_features):
        return n_features + 1 + of_means + mass

    def scale_of_data(self, covariance):
        """The covariance or, if singular, its diagonal, as mclust does with too few points."""
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
    """The prior of one shared precision matrix: as in scikit-learn, the posterior counts 1 / K of all points."""

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
    """The prior of a precision for each component and feature."""

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
        with np.errstate(divide="ignore"):  # a feature without spread, whose scale is 0
            log_scale = np.log(found * covariances.reshape(len(degrees), -1))
        normalizers = log_wishart_normalizer(found, 1, log_scale)
        return normalizers.sum(axis=1)

    def expected(self, posterior, priors):
        n_components, n_features = posterior.means.shape
        times = self.n_averaged(n_components, n_features)  # features that share one variance
        precisions = posterior.precisions().reshape(n_components, -1)
        scale = times * np.asarray(priors.covariance)
        with np.errstate(divide="ignore"):  # a feature without spread: the evidence is -inf, as with singular scales
            log_scale = np.log(scale)
        found, prior = times * posterior.degrees_of_freedom[:, None], times * priors.degrees_of_freedom
        log_precision, divergence = _expected(found, prior, 1, np.log(precisions), log_scale, precisions * scale)
        return np.broadcast_to(times * log_precision.sum(axis=1), n_components), divergence


class SharedGamma(Gamma):
    """The prior of one precision for each component, pooled over the features."""

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
    """One value for each component, or one for all, in a shape that multiplies covariances."""
    return np.reshape(values, (-1, *[1] * (covariances.ndim - 1))) if np.ndim(values) else values


def log_wishart_normalizer(degrees, dimension, log_inverse_scale):
    """log B(W, degrees) (Bishop 2006, eq. B.79) without powers of pi."""
    gammas = sum(scipy.special.gammaln(0.5 * (degrees - i)) for i in range(dimension))
    return 0.5 * degrees * (log_inverse_scale - dimension * math.log(2)) - gammas


def _log_inverse_wishart(degrees, dimension, log_scale, log_precision, traces):
    """Sum of the log-densities of covariances, from log |precision| and trace(scale precision)."""
    normalizer = log_wishart_normalizer(degrees, dimension, log_scale)
    normalizer -= 0.25 * dimension * (dimension - 1) * math.log(math.pi)
    return float((normalizer + 0.5 * (degrees + dimension + 1) * log_precision - 0.5 * traces).sum())


def _expected(found, prior, dimension, log_mean, log_scale, traces):
    """(E[log |precision|] of each, summed KL(posterior || prior)) of Wishart distributions.

    found, prior: degrees of freedom; log_mean: log |E[precision]|; log_scale: log |prior scale|; traces:
    trace(prior scale E[precision]).
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
    """E[log |precision|] - log |scale| (Bishop 2006, eq. B.81)."""
    return dimension * math.log(2) + sum(scipy.special.digamma(0.5 * (degrees - i)) for i in range(dimension))


def _is_singular(covariance):
    """Whether the features that vary are linearly dependent."""
    deviations = np.sqrt(np.diagonal(covariance))
    vary = np.flatnonzero(deviations)
    correlations = covariance[np.ix_(vary, vary)] / deviations[vary, None] / deviations[vary]
    return bool((np.linalg.eigvalsh(correlations) < _DEPENDENT).any())
