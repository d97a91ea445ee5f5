"""Sufficient statistics of a Gaussian mixture: the result of a pass over the points, and the input of an M-step."""

import math
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

_EPS = np.finfo(np.float64).eps

_NEAR_ZERO = 2.0**-20  # share of the farthest centre's distance from 0, in a feature


@dataclass(frozen=True)
class SufficientStatistics:
    """Sums over points x_i with weights w_i and responsibilities r_ik. They can be added and scaled.

    Each component's moments are taken about a centre near its mean, so that no digits are lost, however far the data
    lie from the origin (Chan, Golub & LeVeque 1983, 'Algorithms for computing the sample variance').

    Attributes
    ----------
    centres : ndarray of shape (K, D)
        c_k, the centres that the moments are taken about.
    mass : ndarray of shape (K,)
        N_k = sum of w_i r_ik.
    first : ndarray of shape (K, D)
        Sum of w_i r_ik (x_i - c_k).
    second : ndarray of shape (K, D, D), (K, D) or (D, D)
        Sum of w_i r_ik (x_i - c_k)(x_i - c_k)': matrices, or their diagonals, or one matrix summed over components.
    structure : {'full', 'diag', 'pooled'}
        Which of these three `second` is.
    magnitude : ndarray of shape (K, D) or (1, D)
        The diagonal of `second` as it was accumulated; the rounding error of `second` is about eps times this.
    log_likelihood : float
        Sum of w_i log p(x_i), nats; 0 if the responsibilities were given.
    weight : float
        Sum of w_i.
    is_far : bool
        Whether the pass took points relative to each centre, not to a common origin. Then a component's coordinates are
        not rounded at the scale of another's, larger ones.
    noise : float
        Sum of w_i times the responsibility of the noise component; NaN if the mixture has none.
    fourth : ndarray of shape (K,) or None
        Sum of w_i r_ik f((x_i - mean_k) / unit), f the family's function `fourth`; None if it has none, or it wasn't
        summed.
    unit : float
        About the points' deviation: fourth powers of large or small data would overflow or vanish.
    """

    centres: np.ndarray
    mass: np.ndarray
    first: np.ndarray
    second: np.ndarray
    structure: Literal["full", "diag", "pooled"]
    magnitude: np.ndarray
    log_likelihood: float
    weight: float
    is_far: bool = False
    noise: float = math.nan
    fourth: np.ndarray | None = None
    unit: float = 1.0

    _sums = "mass", "first", "second", "magnitude", "log_likelihood", "weight", "noise"
    _of_components = "centres", "mass", "first", "second", "magnitude"

    @property
    def is_pooled(self):
        """Whether second moments are sums over all components."""
        return self.structure == "pooled"

    @property
    def lower_bound(self):
        """Mean log-likelihood per unit of weight, nats."""
        return self.log_likelihood / self.weight

    @property
    def means(self):
        """Weighted mean of each component's points, (K, D); the centre if it has none."""
        return self.centres + self.first / np.where(self.mass > 0, self.mass, 1.0)[:, None]

    @property
    def diagonal(self):
        """The diagonals of `second`, (K, D), or (1, D) if pooled."""
        if self.structure == "diag":
            return self.second
        return np.atleast_2d(np.diagonal(self.second, axis1=-2, axis2=-1))

    @property
    def deviation(self):
        """Deviation of the points from their centres over all components and features, in round figures: 2**j."""
        total = self.mass.sum() * self.centres.shape[1]
        return power_of_two(math.sqrt(float(self.diagonal.sum() / total))) if total > 0 else 1.0

    @property
    def resolution(self):
        """Variance that rounding of coordinates alone causes, (K, D) or (1, D): smaller ones can't be told from 0."""
        sizes = np.abs(self.centres)
        if not self.is_far:
            sizes = sizes.max(axis=0, keepdims=True)
        elif self.is_pooled:
            sizes = sizes.min(axis=0, keepdims=True)
        return (4 * _EPS * sizes) ** 2

    @property
    def is_hidden(self):
        """Whether a component's coordinates may be much finer than `resolution`, (K, D), or (1, D) if pooled.

        Without `is_far`, the resolution is that of the farthest centre.
        """
        sizes = np.abs(self.centres)
        hidden = (sizes < _NEAR_ZERO * sizes.max(axis=0)) & (not self.is_far)
        return hidden.any(axis=0, keepdims=True) if self.is_pooled else hidden

    @property
    def digits_kept(self):
        """Smallest ratio of a second moment about the means to the accumulated one: 1e-7 means 7 digits lost."""
        return self.digits_kept_from(0.0)

    def digits_kept_from(self, mass):
        """`digits_kept` of the components of at least this mass; of all together, if second moments are pooled."""
        moved = self.first * (self.first / np.where(self.mass > 0, self.mass, 1.0)[:, None])  # no overflow
        left = self.diagonal - (moved.sum(axis=0) if self.is_pooled else moved)
        some = self.magnitude > 0
        if not self.is_pooled:
            some = some & (self.mass >= mass)[:, None]
        return float(np.min(np.abs(left[some]) / self.magnitude[some], initial=1.0))

    def about(self, centres):
        """The same statistics about other centres, (K, D)."""
        shift = centres - self.centres
        moved = self.first - self.mass[:, None] * shift
        # sum r (d - s)(d - s)' = second - first s' - s first' + N s s', the last two terms joined as -s moved'.
        if self.structure == "diag":
            change = self.first * shift + shift * moved
        elif self.structure == "full":
            change = self.first[:, :, None] * shift[:, None, :] + shift[:, :, None] * moved[:, None, :]
        else:
            change = self.first.T @ shift
            change += shift.T @ moved
        return replace(self, centres=centres, first=moved, second=np.subtract(self.second, change, out=change))

    def of(self, index):
        """The statistics of the components with these indices; pooled moments and totals over points are unchanged."""
        own = [*self._of_components[: 3 if self.is_pooled else None]]
        own += [] if self.fourth is None else ["fourth"]
        return replace(self, **{name: getattr(self, name)[index] for name in own})

    def scaled(self, factor):
        """The statistics of the same points with every weight multiplied by factor."""
        fourth = None if self.fourth is None else self.fourth * factor
        return replace(self, **{name: getattr(self, name) * factor for name in self._sums}, fourth=fourth)

    def __add__(self, other):
        """Statistics of both sets of points, about this one's centres."""
        if self.structure != other.structure or self.centres.shape != other.centres.shape:
            raise ValueError(
                f"can't add {other.structure} statistics of shape {other.centres.shape} "
                f"to {self.structure} ones of shape {self.centres.shape}"
            )
        if not np.array_equal(self.centres, other.centres):
            other = other.about(self.centres)
        sums = {name: getattr(self, name) + getattr(other, name) for name in self._sums}
        return replace(self, **sums, is_far=self.is_far or other.is_far, fourth=None)


def power_of_two(value):
    """The least power of two above a value, division by which is exact; 1 for 0."""
    return math.ldexp(1.0, math.frexp(value)[1])
