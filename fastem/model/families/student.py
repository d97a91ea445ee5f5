"""Student-t components: a covariance family's scales, with degrees of freedom.

Peel & McLachlan 2000, 'Robust mixture modelling using the t distribution', section 4; the M-step is the ECM algorithm's
of Liu & Rubin 1995, 'ML estimation of the t distribution using EM and its extensions, ECM and ECME'.
"""

from dataclasses import dataclass, replace

import numpy as np
import scipy  # which imports its parts at their first use

from ... import kernels
from ..parameters import Parameters
from ..statistics import SufficientStatistics
from ..student_coordinates import StudentCoordinates
from .base import EPS
from .conjugate import of_each
from .degrees_of_freedom import MOST, gap, geometric_mean, log_constant, solved

# Degrees of freedom at the start, if they are estimated: heavy tails, but a finite fourth moment.
START = 10.0
# Range of what components that were merged or split start from again.
_RESTART = 1.0, 50.0

_KIND = {
    "Triangular": "StudentTriangular",
    "FarTriangular": "FarStudentTriangular",
    "AxisAligned": "StudentAxisAligned",
    "FarAxisAligned": "FarStudentAxisAligned",
    "Shared": "StudentShared",
}
"""The type of kernel inputs for that of the Gaussian family."""


@dataclass(frozen=True)
class StudentParameters(Parameters):
    """A mixture of t distributions; `covariances` are their scales.

    Attributes
    ----------
    degrees_of_freedom : ndarray of shape (K,)
    hidden : ndarray of shape (3, K)
        Only from an M-step: means of the precision weights u, their `expansion`, and the values of `gap` at which the
        expected log-likelihood is highest.
    """

    degrees_of_freedom: np.ndarray
    hidden: np.ndarray = None

    _arrays = *Parameters._arrays, "degrees_of_freedom"

    @property
    def theta(self):
        """The arrays that its coordinates are computed from."""
        return *super().theta, self.degrees_of_freedom

    @property
    def sums(self):
        """The arrays that, as a successor by EM, it gives the gradient by; see `StudentCoordinates.gradient`."""
        return *super().sums, self.hidden

    def coordinates(self):
        """Coordinates relative to this mixture."""
        return StudentCoordinates(self)

    def farthest(self, share):
        """As `Parameters.farthest`: the squared distance over D has the F distribution with D and nu degrees."""
        n_features = self.means.shape[1]
        degrees = np.minimum(self.degrees_of_freedom, MOST)
        squares = n_features * scipy.special.fdtri(n_features, degrees, 1 - share)
        return -0.5 * n_features - log_density_at(squares, degrees, n_features)


@dataclass(frozen=True)
class StudentStatistics(SufficientStatistics):
    """Sums over points x_i, with u_ik the expected precision weight E[u | x_i, k] under the mixture of the pass.

    `mass`, `first` and `second` are those of weights w_i r_ik u_ik. All sums are linear in the points.

    Attributes
    ----------
    counts : ndarray of shape (K,)
        Sum of w_i r_ik.
    excess : ndarray of shape (K,)
        Sum of w_i r_ik E[u - 1 - log u | x_i, k].
    degrees_of_freedom : ndarray of shape (K,)
        Of the mixture of the pass.
    """

    counts: np.ndarray = None
    excess: np.ndarray = None
    degrees_of_freedom: np.ndarray = None

    _sums = *SufficientStatistics._sums, "counts", "excess"


class StudentFamily:
    """t distributions whose scales are a family's covariances. What isn't defined here is the Gaussian family's.

    Parameters
    ----------
    gaussian : CovarianceFamily
    degrees_of_freedom : None, 'shared', or ndarray of shape (K,) or ()
        Estimated for each component; one for all; or fixed.
    is_expanded : bool
        Whether the M-step is that of parameter-expanded EM (Liu, Rubin & Wu 1998; Kent, Tyler & Vardi 1994), which
        rises faster: scales are divided by the sum of the weights u, not by the number of points.
    start : float
        What estimated degrees of freedom start from.
    """

    compiled_m_step = conjugate = None
    needs_iterations = expects_outliers = True

    def __init__(self, gaussian, degrees_of_freedom=None, is_expanded=True, start=START):
        self.gaussian, self.degrees_of_freedom = gaussian, degrees_of_freedom
        self.is_expanded, self.start = is_expanded, start

    def __getattr__(self, name):
        if name == "gaussian":  # not set yet while the object is unpickled or copied
            raise AttributeError(name)
        return getattr(self.gaussian, name)

    @property
    def plain(self):
        """The family itself, without a prior."""
        return self

    @property
    def without_noise(self):
        """The family itself: it has no noise component."""
        return self

    def noisy(self, parameters, share=None):
        """The parameters themselves."""
        return parameters

    def n_degrees(self, n_components):
        """Number of estimated degrees of freedom."""
        if self._is_fixed:
            return 0
        return n_components if self.degrees_of_freedom is None else 1

    @property
    def is_degree_shared(self):
        """Whether one estimate of degrees of freedom is all components'."""
        return not self._is_fixed and self.degrees_of_freedom is not None

    @property
    def components_are_alike(self):
        """Whether components can be merged, split and reordered; not if each has its own fixed degrees of freedom."""
        return not (self._is_fixed and self.degrees_of_freedom.ndim)

    @property
    def _is_fixed(self):
        return isinstance(self.degrees_of_freedom, np.ndarray)

    # -- M-step -------------------------------------------------------------------------------------------------------

    def maximize(self, statistics, reg_covar, candidate=None):
        """M-step, reg_covar added to every variance; from a Gaussian mixture's statistics, a start."""
        if not isinstance(statistics, StudentStatistics):
            return self._of_gaussian(self.gaussian.maximize(statistics, reg_covar))
        counts, mass = statistics.counts + 10 * EPS, statistics.mass + 10 * EPS
        means = statistics.centres + statistics.first / mass[:, None]
        expansion = self._expansion(counts, mass, statistics.degrees_of_freedom)
        scales = self.gaussian.covariances(statistics.about(means), counts * expansion, reg_covar)
        # The expected log-likelihood has the derivative (gap(nu) - value) / 2 by nu, with this value without expansion.
        gaps = statistics.excess / counts
        hidden = np.stack([mass / counts, expansion, gaps])
        degrees = self._solved(gaps + np.log(expansion) + mass / counts * (1 / expansion - 1), counts)
        factors = self.gaussian.precisions_cholesky(scales)
        return StudentParameters(self, counts / counts.sum(), means, scales, factors, degrees, hidden)

    def _expansion(self, counts, mass, degrees):
        """The expanded model's factor of each precision weight u, (K,), at its maximum: 1 without expansion."""
        if not self.is_expanded:
            return np.ones(len(counts))
        if not self.gaussian.is_shared:
            return mass / counts
        degrees = np.minimum(degrees, MOST)  # of one scale the factor is common, too
        return np.full(len(counts), (degrees @ mass) / (degrees @ counts))

    def _solved(self, gaps, counts):
        """Degrees of freedom, (K,), from the values of `gap` that maximise the expected log-likelihood."""
        if self._is_fixed:
            return np.broadcast_to(self.degrees_of_freedom, gaps.shape)
        if self.degrees_of_freedom is None:
            return solved(gaps)
        return np.full(len(gaps), solved(counts @ gaps / counts.sum()))

    def _of_gaussian(self, mixture):
        """A start from a mixture of Gaussians: their tails become heavier, so the scales are smaller."""
        n_components = len(mixture.means)
        degrees = self._starting(n_components)
        shrunk = 1 / (1 + 2 / degrees)
        shrunk = mixture.weights @ shrunk / mixture.weights.sum() if self.gaussian.is_shared else shrunk
        scales = mixture.covariances * of_each(shrunk, mixture.covariances)
        factors = mixture.precisions_cholesky / of_each(np.sqrt(shrunk), mixture.precisions_cholesky)
        return StudentParameters(self, mixture.weights, mixture.means, scales, factors, degrees)

    def _starting(self, n_components):
        fixed = self.degrees_of_freedom if self._is_fixed else self.start
        return np.array(np.broadcast_to(fixed, n_components), dtype=np.float64)

    def with_covariances(self, weights, means, covariances):
        """Parameters with these scales; raises CollapsedComponent."""
        factors = self.gaussian.precisions_cholesky(covariances)
        return StudentParameters(self, weights, means, covariances, factors, self._starting(len(means)))

    def with_precisions(self, weights, means, precisions):
        """Parameters with scales that are the inverses of these matrices."""
        given = self.gaussian.with_precisions(weights, means, precisions)
        scales, factors = given.covariances, given.precisions_cholesky
        return StudentParameters(self, weights, means, scales, factors, self._starting(len(means)))

    # -- statistics ---------------------------------------------------------------------------------------------------

    def statistics_of(self, parameters, weight, reg_covar):
        """Statistics of total weight `weight` from which `maximize` returns these parameters."""
        found = self.gaussian.statistics_of(parameters, weight, reg_covar)
        excess = found.mass * gap(parameters.degrees_of_freedom)
        return _with_hidden(found, found.mass, excess, parameters.degrees_of_freedom)

    def statistics_of_pass(self, inputs, centres, sums):
        """Statistics about the centres, from the `kernels.Sums` of a pass with these kernel inputs."""
        (counts, mass, excess), first, second, log_likelihood, weight = sums.rounded(inputs)
        inverse, n_features = inputs.inverse.astype(np.float64), centres.shape[1]
        with np.errstate(divide="ignore"):
            degrees = 1 / inverse
        gain = 1 + n_features * inverse
        mass, first = mass * gain, first * gain[:, None]
        if not self.gaussian.is_shared or second.ndim == 3:
            second = second * of_each(gain, second)
        constant = n_features * inverse - np.log1p(n_features * inverse) + gap(degrees + n_features)
        excess = excess + counts * constant
        found = self.gaussian.statistics(inputs.origin, centres, mass, first, second, log_likelihood, weight)
        return replace(_with_hidden(found, counts, excess, degrees), is_far=inputs.is_far)

    # -- free parameters ----------------------------------------------------------------------------------------------

    def n_free_in_all(self, n_components, n_features):
        """Number of free parameters of a mixture: weights, means, scales and estimated degrees of freedom."""
        return self.gaussian.n_free_in_all(n_components, n_features) + self.n_degrees(n_components)

    # -- steps, merging, splitting ------------------------------------------------------------------------------------

    def parts(self, parameters):
        """The components as a `parts.Parts`; new ones begin with the mean of the degrees of freedom."""
        parts = self.gaussian.parts(parameters)
        mean = geometric_mean(parameters.degrees_of_freedom, parameters.weights)
        start = min(max(mean, _RESTART[0]), _RESTART[1])
        parts.family = StudentFamily(self.gaussian, self.degrees_of_freedom, self.is_expanded, start)
        return parts

    # -- kernels ------------------------------------------------------------------------------------------------------

    def kernel_inputs(self, parameters, exact):
        """The parameters as the kernels take them; see `Parameters.kernel_inputs`."""
        return self._with_tails(self.gaussian.kernel_inputs(parameters, exact), parameters)

    def far_kernel_inputs(self, parameters):
        """The same for components far apart: points are taken relative to each component's own mean."""
        return self._with_tails(self.gaussian.far_kernel_inputs(parameters), parameters)

    def _with_tails(self, inputs, parameters):
        n_components, n_features = parameters.means.shape
        degrees = parameters.degrees_of_freedom.astype(np.float64)
        power = np.where(np.isfinite(degrees), 0.5 * (degrees + n_features), 0.0)
        inputs = inputs._replace(log_scale=inputs.log_scale + log_constant(degrees, n_features))
        arrays = np.zeros(n_components), 1 / degrees, power, 1 + n_features / degrees
        return getattr(kernels, _KIND[type(inputs).__name__])(*inputs, *arrays)


def _with_hidden(found, counts, excess, degrees):
    """Gaussian statistics with those of the hidden weights."""
    values = {name: getattr(found, name) for name in SufficientStatistics.__dataclass_fields__}
    return StudentStatistics(**values, counts=counts, excess=excess, degrees_of_freedom=degrees)


def log_density_at(squares, degrees, n_features):
    """Log-density of a t distribution over that of a Gaussian at its mean, at squared distances of this size.

    squares: delta; an infinite number of degrees of freedom stands for the Gaussian.
    """
    finite = np.isfinite(degrees)
    nu = np.where(finite, degrees, 1.0)
    of_t = -0.5 * (nu + n_features) * np.log1p(squares / nu)
    return log_constant(degrees, n_features) + np.where(finite, of_t, -0.5 * squares)
