"""Points from a random Gaussian mixture whose components have a given overlap.

The mixture is built in coordinates in which its components are about round. Positions and shapes are drawn, and
positions are scaled until the Bayes error is the one asked for. Then a random linear map, which leaves the error
unchanged, stretches and turns the mixture.
"""

from __future__ import annotations

from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np

from ..model.families import FAMILIES

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, DTypeLike
    from sklearn.utils import Bunch


# Pairs of components times reference points: limits the time of one evaluation of the error to some 10 ms.
_N_EVALUATED = 1 << 20
# Scale of the differences between shapes, tried in turn: very different shapes can't overlap much at any distance.
_DIVERSITIES = 1.0, 0.5, 0.25, 0.0


def make_mixture(
    n_samples: int = 1000,
    n_components: int = 3,
    n_features: int = 2,
    *,
    overlap: float = 0.05,
    covariance_type: str = "full",
    weights: ArrayLike | None = None,
    dtype: DTypeLike = np.float64,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Draw a Gaussian mixture whose components have a given overlap, and points from it.

    The overlap is the Bayes error: the probability that the component from which a point is drawn isn't the most
    probable one given the point,

        overlap = 1 - E[max_k r_k(x)],    r_k(x) = w_k N(x; m_k, S_k) / sum_l w_l N(x; m_l, S_l).

    No classifier has a lower error, and a perfect fit's `predict` has the accuracy 1 - overlap in the limit of many
    points. Two components of equal weight and covariance with means d standard deviations apart overlap by Phi(-d / 2).

    Parameters
    ----------
    n_samples : int, default=1000
    n_components : int, default=3
        K, at least 2.
    n_features : int, default=2
        D.
    overlap : float, default=0.05
        Above 0 and at most 0.999 * (1 - max(weights)); 1 - max(weights) is the error of always predicting the heaviest
        component.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        As in `GaussianMixture`.
    weights : array-like of shape (n_components,), default=None
        Positive, summing to 1; None: equal weights. The number of points of a component is random.
    dtype : {'float64', 'float32'} or dtype, default=float64
        Type of the points.
    random_state : int, RandomState or None, default=None
        An int draws the same mixture and points every time.

    Returns
    -------
    sklearn.utils.Bunch
        A dictionary whose keys are also attributes:

        data : ndarray of shape (n_samples, n_features), dtype
            The points, in random order.
        target : ndarray of shape (n_samples,), int64
            The component each point was drawn from.
        model : GaussianMixture
            The mixture itself.
        overlap : float
            Its overlap, estimated from some 2**20 / K points other than `data`; within 0.1 % of the given one.
        overlap_error : float
            Standard error of this estimate: with the defaults 0.3 % of it, with 100 components 3 %. The relative error
            grows as the overlap falls; an overlap below 1e-5 is only roughly met.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid; the message names it.

    Notes
    -----
    The overlap is that of all components together; some pairs overlap more than others. Maitra and Melnykov's MixSim
    [2]_ controls the overlap of pairs. Components are of about the same size; their shapes are more alike if they
    couldn't overlap as much otherwise.

    References
    ----------
    .. [1] K. Fukunaga, *Introduction to Statistical Pattern Recognition*, 2nd edition, Academic Press (1990),
       chapter 3: the Bayes error.
    .. [2] R. Maitra and V. Melnykov, *Simulating data to study performance of finite mixture modeling and clustering
       algorithms*, Journal of Computational and Graphical Statistics 19 (2010), 354-376.

    Examples
    --------
    >>> from fastem.datasets import make_mixture
    >>> mixture = make_mixture(100_000, n_components=4, overlap=0.1, random_state=0)
    >>> errors = mixture.model.predict(mixture.data) != mixture.target
    >>> bool(abs(errors.mean() - 0.1) < 0.005)
    True
    """
    from sklearn.utils import Bunch, check_random_state

    from ..estimators.gaussian_mixture import GaussianMixture

    weights = _checked(n_samples, n_components, n_features, overlap, covariance_type, weights, dtype)
    rng = check_random_state(random_state)
    family = FAMILIES[covariance_type]
    positions, roots, error = _separated(weights, n_features, overlap, family, rng)

    stretch = family.random_map(n_features, rng)
    means, roots = positions @ stretch.T, stretch @ roots
    model = GaussianMixture.from_parameters(
        weights, means, family.of_matrices(roots @ roots.transpose(0, 2, 1)), covariance_type=covariance_type
    )

    target = rng.choice(n_components, n_samples, p=weights).astype(np.int64, copy=False)
    data = np.empty((n_samples, n_features), dtype)
    for component, (mean, root) in enumerate(zip(means, roots, strict=True)):
        chosen = np.flatnonzero(target == component)
        data[chosen] = mean + rng.standard_normal((len(chosen), n_features)) @ root.T
    standard_error = error.std(ddof=1) / np.sqrt(len(error))
    return Bunch(data=data, target=target, model=model, overlap=error.mean(), overlap_error=standard_error)


def _checked(n_samples, n_components, n_features, overlap, covariance_type, weights, dtype):
    """The weights as float64; raises if an argument is out of its range."""
    from sklearn.utils import check_scalar

    from ..estimators.validation import check_weights

    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    check_scalar(n_components, "n_components", Integral, min_val=2)
    check_scalar(n_features, "n_features", Integral, min_val=1)
    if covariance_type not in list(FAMILIES):
        raise ValueError(f"covariance_type should be one of {', '.join(FAMILIES)}, but got {covariance_type!r}")
    if np.dtype(dtype) not in (np.float32, np.float64):
        raise ValueError(f"dtype should be float32 or float64, but got {np.dtype(dtype)}")
    if weights is None:
        weights = np.full(n_components, 1 / n_components)
    weights = check_weights(weights, n_components, "weights")
    if weights.min() == 0:
        raise ValueError(f"weights should be positive, but component {weights.argmin()} has weight 0")
    check_scalar(overlap, "overlap", Real)
    largest = 0.999 * (1 - weights.max())
    if not 0 < overlap <= largest:
        raise ValueError(
            f"overlap should be above 0 and at most 0.999 * (1 - max(weights)) = {largest:.5g}, but got {overlap}"
        )
    return weights


def _separated(weights, n_features, overlap, family, rng):
    """Means (K, D) and roots of covariances (K, D, D) with the given overlap, and the error at each reference point."""
    from scipy.optimize import brentq

    n_components = len(weights)
    directions = rng.standard_normal((n_components, n_features))
    logs, axes = family.random_shapes(n_components, n_features, rng)
    # Every evaluation uses the same points, so that the estimated error is a smooth function of the distance.
    points = rng.standard_normal((max(16, _N_EVALUATED // n_components**2), n_features))

    for diversity in _DIVERSITIES:
        roots = axes * np.exp(0.5 * diversity * logs)[:, None, :]
        error_at = _bayes_error(weights, directions, roots, points)
        if error_at(0.0).mean() > overlap:
            break
    near, far = 0.0, 1.0
    while error_at(far).mean() > overlap:
        near, far = far, 2 * far
    distance = brentq(lambda tried: error_at(tried).mean() - overlap, near, far, xtol=1e-9, rtol=1e-5)
    return distance * directions, roots, error_at(distance)


def _bayes_error(weights, directions, roots, points):
    """A function of the distance: the probability of error (n,) at each reference point, averaged over components.

    The reference point z of component k lies at distance * m_k + A_k z. In standard deviations of component l it is
    A_l^-1 (distance * (m_k - m_l) + A_k z) away from it. Half the squared norm is a polynomial in the distance, whose
    coefficients are computed once.
    """
    n_components = len(weights)
    inverses = np.linalg.inv(roots)
    peaks = np.log(weights) + np.linalg.slogdet(inverses).logabsdet
    constant, linear = np.empty((2, n_components, n_components, len(points)))
    quadratic = np.empty((n_components, n_components, 1))
    for k in range(n_components):
        for other in range(n_components):
            gap = inverses[other] @ (directions[k] - directions[other])
            whitened = points @ (inverses[other] @ roots[k]).T
            constant[k, other] = peaks[other] - 0.5 * np.einsum("nd,nd->n", whitened, whitened)
            linear[k, other] = -whitened @ gap
            quadratic[k, other] = -0.5 * gap @ gap

    def error_at(distance):
        log_joint = constant + distance * linear + distance**2 * quadratic
        log_joint -= log_joint.max(axis=1, keepdims=True)
        largest = 1 / np.exp(log_joint, out=log_joint).sum(axis=1)
        return weights @ (1 - largest)

    return error_at
