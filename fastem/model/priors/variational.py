"""Variational Bayes: a posterior over weights, means and precisions in place of a single mixture.

The pass is that of EM: the expected log-density of a point under the posterior is a Gaussian's with another constant
(Bishop 2006, eqs. 10.64 to 10.66), and the posterior is computed from the same sufficient statistics (eqs. 10.58 to
10.63). Posteriors of tied, diagonal and spherical covariances are those of scikit-learn, which treats each as the
Wishart distribution of a full matrix; `lower_bound` is scikit-learn's too.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.special import betaln, digamma, gammaln

from ..families.conjugate import of_each
from ..parameters import LEAST_SHARE, CollapsedComponent, Parameters
from .regularized import RegularizedFamily, with_prior, without_prior

# Share of the largest component's points: numbers of points that differ by less count as equal.
_TIED = 1e-9

# Concentration of a weight; its expected logarithm, about -1e10, leaves the component no point.
_NO_WEIGHT = 1e-10

# Number of points below which a component is not needed by the data.
_ONE_POINT = 1.0


def n_effective(mass):
    """Number of components that the data need, from the number of points of each."""
    return int((mass >= _ONE_POINT).sum())


@dataclass(frozen=True)
class Priors:
    """The parameters of the priors, named as the arguments of `BayesianGaussianMixture` without `_prior`."""

    is_process: bool
    """Whether the weights' prior is a Dirichlet process (stick-breaking), else a Dirichlet distribution."""
    weight_concentration: float
    mean_precision: float
    mean: np.ndarray
    degrees_of_freedom: float
    covariance: np.ndarray


@dataclass(frozen=True)
class Posterior(Parameters):
    """The variational posterior: Dirichlet or stick-breaking for weights, Gauss-Wishart for means and precisions.

    The mixture's `weights` and `means` are expected values, `covariances` inverses of expected precisions.

    Attributes
    ----------
    weight_concentration : ndarray of shape (K,), or (2, K) for a Dirichlet process
    mean_precision : ndarray of shape (K,)
        Precision of each mean, as a number of points.
    degrees_of_freedom : ndarray of shape (K,), or () for tied
    lower_bound : float
        scikit-learn's lower bound, total nats, with the responsibilities that the posterior is from; NaN at the start.
    of_points : tuple of (SufficientStatistics, float)
        The statistics that the posterior is from, and the entropy of their responsibilities; None at the start.
    """

    weight_concentration: np.ndarray
    mean_precision: np.ndarray
    degrees_of_freedom: np.ndarray
    lower_bound: float = math.nan
    of_points: tuple | None = None

    @cached_property
    def evidence(self):
        """Lower bound of the log-evidence of the points, total nats, with no term left out; NaN at the start."""
        return math.nan if self.of_points is None else self.family.evidence(self, *self.of_points)

    def beyond(self, before, factor):
        """The posterior extrapolated by `factor` times the step from `before` to this one, in natural parameters.

        None if that is not a posterior, or if a component would lose nearly all its points.
        """
        family, priors = self.family.plain, self.family.priors

        def moved(value_of):
            return value_of(self) + factor * (value_of(self) - value_of(before))

        mean_precision = moved(lambda posterior: posterior.mean_precision)
        if (mean_precision - priors.mean_precision < LEAST_SHARE * self.mass).any():
            return None
        concentration = moved(lambda posterior: posterior.weight_concentration)
        degrees = moved(lambda posterior: posterior.degrees_of_freedom)
        offsets = moved(lambda posterior: posterior.mean_precision[:, None] * (posterior.means - priors.mean))
        offsets /= mean_precision[:, None]
        scatter = moved(lambda posterior: posterior._scatter())
        covariances = scatter - _of_offsets(family, mean_precision, offsets)
        covariances /= of_each(degrees, covariances)
        if not (concentration > 0).all() or not (np.atleast_1d(degrees) > priors.degrees_of_freedom).all():
            return None
        try:
            factors = family.precisions_cholesky(covariances)
        except CollapsedComponent:
            return None
        return Posterior(
            self.family,
            _expected_weights(concentration),
            priors.mean + offsets,
            covariances,
            factors,
            concentration,
            mean_precision,
            degrees,
        )

    def in_order(self):
        """The posterior with components by decreasing points; None if they are so, or without a Dirichlet process."""
        mass = self.mass
        order = np.argsort(-mass, kind="stable")
        if not self.family.priors.is_process or (np.diff(mass) <= _TIED * mass.max()).all():
            return None

        family = self.family
        return Posterior(
            family,
            self.weights[order],
            self.means[order],
            family.chosen(self.covariances, order),
            family.chosen(self.precisions_cholesky, order),
            family._concentration(mass[order]),
            self.mean_precision[order],
            family.chosen(self.degrees_of_freedom, order),
        )

    def without(self, components):
        """The posterior under which these components, (n,), get no responsibilities."""
        concentration = self.weight_concentration.copy()
        concentration[(0, components) if self.family.priors.is_process else components] = _NO_WEIGHT
        return replace(self, weight_concentration=concentration, lower_bound=math.nan, of_points=None)

    def _scatter(self):
        """Scatter of points and prior about the prior mean, averaged as covariances are: linear in the points."""
        of_offsets = _of_offsets(self.family.plain, self.mean_precision, self.means - self.family.priors.mean)
        return of_each(self.degrees_of_freedom, self.covariances) * self.covariances + of_offsets

    @property
    def mass(self):
        """Number of points of each component, (K,)."""
        return self.mean_precision - self.family.priors.mean_precision

    @cached_property
    def log_weights(self):
        """The log-weights of an E-step, (K,): the constants of Bishop's eq. 10.46."""
        n_features = self.means.shape[1]
        steps = np.arange(n_features)[:, None]
        log_precision = n_features * math.log(2) + digamma(0.5 * (self.degrees_of_freedom - steps)).sum(axis=0)
        log_precision = log_precision - n_features * np.log(self.degrees_of_freedom)
        return self.expected_log_weights + 0.5 * (log_precision - n_features / self.mean_precision)

    @cached_property
    def expected_log_weights(self):
        """E[log weight], (K,) (Bishop 2006, eq. 10.66; Blei & Jordan 2006, section 3)."""
        if self.weight_concentration.ndim == 1:
            return digamma(self.weight_concentration) - digamma(self.weight_concentration.sum())
        broken, left = self.weight_concentration
        of_both = digamma(broken + left)
        log_left = np.cumsum(digamma(left) - of_both)
        return digamma(broken) - of_both + np.concatenate([[0.0], log_left[:-1]])


class VariationalFamily(RegularizedFamily):
    """A covariance family whose M-step computes the posterior.

    Parameters
    ----------
    family : CovarianceFamily
    priors : Priors
    """

    bounds_the_successor = True

    def __init__(self, family, priors):
        super().__init__(family)
        self.priors = priors

    def maximize(self, statistics, reg_covar, candidate=None):
        """The posterior from statistics; with its bounds if `candidate`, the source of the responsibilities, is given.

        Raises CollapsedComponent if a covariance matrix is not positive definite.
        """
        priors, family = self.priors, self.plain
        mass, means, covariances = family.moments(statistics, reg_covar)
        degrees = family.conjugate.degrees(priors.degrees_of_freedom, mass)
        means, covariances = with_prior(family, mass, means, covariances, **self._prior(degrees, *means.shape))
        mean_precision = priors.mean_precision + mass
        concentration = self._concentration(mass)
        posterior = Posterior(
            self,
            _expected_weights(concentration),
            means,
            covariances,
            family.precisions_cholesky(covariances),
            concentration,
            mean_precision,
            np.asarray(degrees),
        )
        return posterior if candidate is None else self._with_bounds(posterior, statistics, candidate)

    def statistics_of(self, parameters, weight, reg_covar):
        """Statistics from which `maximize` returns this posterior; their weight is that of its points, not `weight`."""
        mass = np.maximum(parameters.mean_precision.astype(np.float64) - self.priors.mean_precision, 0.0)
        means, covariances = parameters.means.astype(np.float64), parameters.covariances.astype(np.float64)
        prior = self._prior(parameters.degrees_of_freedom.astype(np.float64), *means.shape)
        points = without_prior(self.plain, mass, means, covariances, **prior)
        return self.plain.statistics_of(points, mass.sum(), reg_covar)

    def _prior(self, degrees, n_components, n_features):
        """The arguments of `with_prior`.

        Tied pools K components, spherical D features: scale and counts are multiplied accordingly.
        """
        priors = self.priors
        times = self.plain.conjugate.n_averaged(n_components, n_features)
        scale, counts = times * priors.covariance, times * degrees
        return {"shrinkage": priors.mean_precision, "mean": priors.mean, "scale": scale, "counts": counts}

    def lower_bound(self, statistics, candidate, successor):
        """scikit-learn's lower bound of the successor, total nats."""
        return successor.lower_bound

    def _concentration(self, mass):
        prior = self.priors.weight_concentration
        if not self.priors.is_process:
            return prior + mass
        behind = np.zeros(mass.shape)
        behind[..., :-1] = np.cumsum(mass[..., ::-1], axis=-1)[..., -2::-1]
        return np.stack([1.0 + mass, prior + behind])

    def log_evidence_of_weights(self, mass):
        """The weights' term of the log-evidence, nats, from the number of points of each component, (..., K).

        With a Dirichlet process, components are first sorted by decreasing points. Constants are left out.
        """
        mass = -np.sort(-mass, axis=-1) if self.priors.is_process else mass
        return _log_normalizer_of_weights(self._concentration(mass), self.priors.is_process)

    def log_evidence_of_groups(self, statistics, reg_covar):
        """Log-evidence of each component's points under a single Gaussian with precisions of its own, (K,), nats.

        Terms that don't depend on the points of a single component are left out (Bishop 2006, eq. B.79; Murphy 2007,
        'Conjugate Bayesian analysis of the Gaussian distribution', eq. 266).
        """
        family, priors = self.plain, self.priors
        mass, means, covariances = family.moments(statistics, reg_covar)
        n_features, degrees = means.shape[1], priors.degrees_of_freedom + mass
        _, covariances = with_prior(family, mass, means, covariances, **self._prior(degrees, *means.shape))
        normalizers = family.conjugate.log_normalizers(degrees, covariances, n_features)
        return -normalizers - 0.5 * n_features * np.log(priors.mean_precision + mass)

    def _with_bounds(self, posterior, statistics, candidate):
        entropy = statistics.log_likelihood - _expected_log_joint(candidate, statistics)
        object.__setattr__(posterior, "lower_bound", float(entropy + _log_normalizers(posterior)))
        object.__setattr__(posterior, "of_points", (statistics, entropy))
        return posterior

    def evidence(self, posterior, statistics, entropy):
        """The bound of the log-evidence, from statistics and entropy of the responsibilities (Bishop, 10.70 to 10.77).

        Diagonal and spherical precisions are Gamma distributed, tied ones Wishart distributed, as their priors are.
        The posterior found need not be the best of these distributions, but every one gives a lower bound.
        """
        priors, mass, n_features = self.priors, statistics.mass, posterior.means.shape[1]
        log_precision, divergence = self.plain.conjugate.expected(posterior, priors)
        squares = _squares(posterior, statistics.about(posterior.means))
        data = mass @ (log_precision - n_features / posterior.mean_precision - n_features * math.log(2 * math.pi))
        ratio = priors.mean_precision / posterior.mean_precision
        offsets = posterior.means - priors.mean
        of_means = n_features * (ratio - 1 - np.log(ratio)) + priors.mean_precision * posterior.squared_lengths(offsets)
        expected = (
            0.5 * (data - squares)
            + mass @ posterior.expected_log_weights
            - 0.5 * of_means.sum()
            - divergence
            - self._divergence_of_weights(posterior)
        )
        return float(entropy + expected)

    def _divergence_of_weights(self, posterior):
        """KL(posterior || prior) of the weights, nats."""
        prior, found = self.priors.weight_concentration, posterior.weight_concentration
        if self.priors.is_process:
            broken, left = found
            of_both = digamma(broken + left)
            terms = betaln(1.0, prior) - betaln(broken, left)
            terms = terms + (broken - 1) * (digamma(broken) - of_both) + (left - prior) * (digamma(left) - of_both)
            return terms.sum()
        n_components = len(found)
        normalizers = gammaln(found.sum()) - gammaln(found).sum()
        normalizers -= gammaln(n_components * prior) - n_components * gammaln(prior)
        return normalizers + (found - prior) @ posterior.expected_log_weights


def _of_offsets(family, mean_precision, offsets):
    """Scatter of the means' offsets from the prior mean, averaged as covariances are."""
    scatter = family.conjugate.scatter_of_offsets(mean_precision, offsets)
    return scatter / family.conjugate.n_averaged(*offsets.shape)


def _expected_weights(concentration):
    if concentration.ndim == 1:
        return concentration / concentration.sum()
    broken, left = concentration
    both = broken + left
    weights = broken / both * np.concatenate([[1.0], np.cumprod((left / both)[:-1])])
    return weights / weights.sum()


def _expected_log_joint(candidate, statistics):
    """Sum over points and components of r_ik log(weighted density under the candidate), nats."""
    n_features = candidate.means.shape[1]
    constants = candidate.log_weights + candidate.log_determinants - 0.5 * n_features * math.log(2 * math.pi)
    empty = statistics.mass == 0
    constants = np.where(empty, 0.0, constants)  # they may be -inf
    return statistics.mass @ constants - 0.5 * _squares(candidate, statistics.about(candidate.means))


def _squares(parameters, statistics):
    """Sum of r_ik (x_i - m_k)' precision_k (x_i - m_k), from statistics about the means."""
    return parameters.family.conjugate.squares(parameters.precisions(), statistics.second)


def _log_normalizers(posterior):
    """scikit-learn's lower bound without the entropy: the posterior's normalisers; prior terms are left out."""
    n_components, n_features = posterior.means.shape
    degrees = np.broadcast_to(posterior.degrees_of_freedom, n_components)
    log_det = posterior.log_determinants - 0.5 * n_features * np.log(degrees)
    steps = np.arange(n_features)[:, None]
    wishart = degrees * (log_det + 0.5 * n_features * math.log(2)) + gammaln(0.5 * (degrees - steps)).sum(axis=0)
    weights = _log_normalizer_of_weights(posterior.weight_concentration, posterior.family.priors.is_process)
    return wishart.sum() + weights - 0.5 * n_features * np.log(posterior.mean_precision).sum()


def _log_normalizer_of_weights(concentration, is_process):
    if is_process:
        return betaln(*concentration).sum(axis=-1)
    return gammaln(concentration).sum(axis=-1) - gammaln(concentration.sum(axis=-1))
