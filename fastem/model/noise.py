"""A uniform noise component beside the Gaussians: mixtures of a family in which some points belong to no component.

Banfield & Raftery 1993, 'Model-based Gaussian and non-Gaussian clustering'; Fraley & Raftery 1998, section 3.4. The
noise has the same density everywhere, 1 / volume, so the M-step estimates its weight alone.
"""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from .families.base import EPS

# Weight of the noise in a start that says nothing of it.
START = 0.05
# Weight of the noise in a start, at least: a smaller one could take EM many iterations to raise.
_LEAST = 1e-6
# Logarithm of the ratio of two boxes' sides that is rounding.
_SAME = 1e-12


@dataclass(frozen=True)
class Noise:
    """Where the noise lies: a box of any orientation.

    Attributes
    ----------
    box : ndarray of shape (D + 1, D)
        A corner, and the D edges from it.
    """

    box: np.ndarray

    @cached_property
    def log_volume(self):
        """Logarithm of the volume, in units of the data to the power of D."""
        return float(np.linalg.slogdet(self.box[1:])[1])

    @property
    def volume(self):
        """The volume; infinity or 0 where it is beyond float64, as with hundreds of features."""
        with np.errstate(over="ignore", under="ignore"):
            return float(np.exp(self.log_volume))

    def of_volume(self, volume):
        """`Noise` of this volume in a box of the same proportions and centre."""
        log_scale = (math.log(volume) - self.log_volume) / len(self.box[1:])
        if abs(log_scale) < _SAME:
            return self
        edges = self.box[1:] * math.exp(log_scale)
        return Noise(np.vstack([self.centre - edges.sum(axis=0) / 2, edges]))

    @property
    def centre(self):
        """The middle of the box, (D,)."""
        return self.box[0] + self.box[1:].sum(axis=0) / 2

    @property
    def covariance(self):
        """Covariance of points in the box, (D, D)."""
        return self.box[1:].T @ self.box[1:] / 12

    @cached_property
    def log_sides(self):
        """Logarithms of the sides, (D,), of a box along the axes with the same volume and the extents' proportions."""
        sides = np.log(np.abs(self.box[1:]).sum(axis=0))
        return sides + (self.log_volume - sides.sum()) / len(sides)

    @property
    def by_features(self):
        """Each feature's part of the box along the axes, (3, D): log of the side, the middle, variance."""
        return np.stack([self.log_sides, self.centre, np.exp(2 * self.log_sides) / 12])

    def over(self, features):
        """The noise over some of the features: the box along the axes without the others."""
        return along_axes(self.centre[features], np.exp(self.log_sides[features]))

    def draw(self, random_state, n_samples):
        """Points drawn uniformly from the box, (n, D)."""
        return self.box[0] + random_state.uniform(size=(n_samples, len(self.box) - 1)) @ self.box[1:]


def along_axes(centre, sides):
    """`Noise` in the box along the axes with this centre and these sides, (D,) both."""
    return Noise(np.vstack([centre - sides / 2, np.diag(sides)]))


def noise_around(parameters, volume):
    """`Noise` of this volume round a mixture: centred at its mean, with sides in proportion to its deviations."""
    shares, means = parameters.weights / parameters.weights.sum(), parameters.means
    centre = shares @ means
    variances = shares @ (parameters.family.variances(parameters.covariances, *means.shape) + (means - centre) ** 2)
    return scaled_to(centre, np.sqrt(variances), volume)


def scaled_to(centre, sides, volume):
    """`Noise` of this volume in a box along the axes with this centre and sides in these proportions, (D,) both."""
    log_scale = (math.log(volume) - np.log(sides).sum()) / len(sides)
    return along_axes(centre, sides * math.exp(log_scale))


class NoisyFamily:
    """A covariance family, with a prior or without, whose mixtures have a noise component; all else is the family's.

    The weights of its `Parameters` sum to 1 - `noise_weight`.

    Parameters
    ----------
    family : CovarianceFamily or PenalizedFamily
    noise : Noise
    """

    compiled_m_step = None  # the compiled M-step knows no noise

    def __init__(self, family, noise):
        self.without_noise, self.noise = family, noise
        self.plain = self if family is family.plain else NoisyFamily(family.plain, noise)

    def __getattr__(self, name):
        if name == "without_noise":  # not set yet while the object is unpickled or copied
            raise AttributeError(name)
        return getattr(self.without_noise, name)

    def noisy(self, parameters, share=None):
        """These parameters with noise of this weight; None: what their weights leave to 1, or `START` if nothing."""
        total = float(parameters.weights.sum())
        if share is None:
            share = 1 - total if 1 - total > _LEAST else START
        share = min(max(float(share), _LEAST), 1 - _LEAST)
        return replace(parameters, family=self, weights=parameters.weights * ((1 - share) / total), noise_weight=share)

    def maximize(self, statistics, reg_covar, candidate=None):
        """M-step, also of the noise's weight; if the statistics are of a pass without noise, its weight is `START`."""
        if candidate is not None and candidate.family is self:
            candidate = replace(candidate, family=self.without_noise)
        result = self.without_noise.maximize(statistics, reg_covar, candidate)
        if math.isnan(statistics.noise):
            return self.noisy(result, START)
        mass = statistics.noise + 10 * EPS  # as for the components
        share = mass / (mass + float((statistics.mass + 10 * EPS).sum()))
        return replace(result, family=self, weights=result.weights * (1 - share), noise_weight=share)

    def statistics_of(self, parameters, weight, reg_covar):
        """Statistics of total weight `weight` from which `maximize` returns these parameters."""
        of_components = self.without_noise.statistics_of(parameters, weight, reg_covar)
        return replace(of_components, noise=weight * parameters.noise_weight)

    def statistics_of_pass(self, inputs, centres, sums):
        """Statistics about the centres, from the `kernels.Sums` of a pass with these kernel inputs."""
        of_components = self.without_noise.statistics_of_pass(inputs, centres, sums)
        return replace(of_components, noise=sums.noise)

    def kernel_inputs(self, parameters, exact):
        return self._with_noise(self.without_noise.kernel_inputs(parameters, exact), parameters)

    def far_kernel_inputs(self, parameters):
        return self._with_noise(self.without_noise.far_kernel_inputs(parameters), parameters)

    def _with_noise(self, inputs, parameters):
        """Kernel inputs with the noise's log-density, the weight included, behind the components' `log_scale`."""
        density = math.log(parameters.noise_weight) - self.noise.log_volume if parameters.noise_weight else -math.inf
        return inputs._replace(log_scale=np.append(inputs.log_scale, density))

    def n_free_in_all(self, n_components, n_features):
        """Number of free parameters, with two for the noise: its weight and its volume.

        As mclust's `nMclustParams` counts them (R/mclust.R of version 6.1.3).
        """
        return self.without_noise.n_free_in_all(n_components, n_features) + 2

    def with_precisions(self, weights, means, precisions):
        """Parameters with these precisions; what the weights leave to 1 is the noise's weight."""
        return self.noisy(self.without_noise.with_precisions(weights, means, precisions))

    def at_points(self, points, variance):
        """As the family's, with noise."""
        return self.noisy(self.without_noise.at_points(points, variance), START)
