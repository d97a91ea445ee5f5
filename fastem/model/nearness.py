"""Which components lie near each other: by the density that each has, on average, at the points of another."""

import numpy as np

from .families.base import log_scale

_VALUES = 1 << 22  # pairs of components that are compared at a time: 32 MiB


def nearest_components(parameters, n_nearest, random_state):
    """For each component the `n_nearest` that matter most to its points, itself among them: (K, n_nearest), ascending.

    Nearness of component k to c is the mean of log(weight_k N(x; mean_k, covariance_k)) over x from c. The last place
    goes to a component drawn at random, so that far ones are tried, too.
    """
    n_components = len(parameters.means)
    if n_nearest >= n_components:
        return np.tile(np.arange(n_components), (n_components, 1))
    lists = np.empty((n_components, n_nearest), np.int64)
    drawn = random_state.randint(n_components, size=n_components)
    low_rank = parameters.family.low_rank_precisions(parameters)
    means_of, coefficients = _expectations(parameters, low_rank)
    along = None if low_rank is None else _Along(parameters, low_rank[1])
    step = max(1, _VALUES // n_components // (1 if along is None else along.width))
    for start in range(0, n_components, step):
        stop = min(start + step, n_components)
        with np.errstate(invalid="ignore", over="ignore"):
            distances = -(means_of[start:stop] @ coefficients.T)
            if along is not None:
                distances -= along.of(start, stop)
        rows = np.arange(stop - start)
        distances[rows, rows + start] = -np.inf
        chosen = np.argpartition(distances, n_nearest - 1, axis=1)[:, :n_nearest]
        last = np.take_along_axis(distances, chosen, axis=1).argmax(axis=1)
        is_new = (chosen != drawn[start:stop, None]).all(axis=1)
        chosen[rows, last] = np.where(is_new, drawn[start:stop], chosen[rows, last])
        lists[start:stop] = np.sort(chosen, axis=1)
    return lists


def _expectations(parameters, low_rank=None):
    """(a, b), each with a row for every component, such that a_c . b_k is the nearness of k to c.

    a_c are the means of 1, x and x x' (or its diagonal) over x from c, b_k the coefficients of log(weight_k N(x)).
    Precisions of low rank, (p, W), count with p and what W W' takes off from the noise; the rest is `_Along`'s.
    """
    family, (n_components, n_features) = parameters.family, parameters.means.shape
    means = parameters.means.astype(np.float64)
    means = means - np.median(means, axis=0)
    factors = parameters.precisions_cholesky.astype(np.float64)
    covariances = parameters.covariances.astype(np.float64)
    if family.is_shared:  # in whitened features every component is a unit sphere
        means = family.whitened(means, factors)
        variances = precisions = np.ones(means.shape)
    elif family.is_axis_aligned:
        variances = family.variances(covariances, n_components, n_features)
        precisions = family.variances(family.precisions(factors), n_components, n_features)
    elif low_rank is not None:
        variances, precisions = family.variances(covariances, n_components, n_features), low_rank[0]
    else:
        matrices, triangle = family.precisions(factors), np.tril_indices(n_features)
        linear = np.einsum("kij,kj->ki", matrices, means)
        constant = log_scale(parameters) - 0.5 * np.einsum("ki,ki->k", linear, means)
        second = (covariances + means[:, :, None] * means[:, None, :])[:, *triangle]
        twice = np.where(triangle[0] == triangle[1], 0.5, 1.0)  # elements off the diagonal stand for two
        ones = np.ones((n_components, 1))
        quadratic = -twice * matrices[:, *triangle]
        return np.hstack([ones, means, second]), np.hstack([constant[:, None], linear, quadratic])
    constant = log_scale(parameters) - 0.5 * (precisions * means**2).sum(axis=1)
    second = variances + means**2
    ones = np.ones((n_components, 1))
    of, coefficients = [ones, means, second], [constant[:, None], precisions * means, -0.5 * precisions]
    if low_rank is not None:
        of, coefficients = [*of, covariances[..., -1]], [*coefficients, 0.5 * (low_rank[1] ** 2).sum(axis=2)]
    return np.hstack(of), np.hstack(coefficients)


class _Along:
    """What the directions W of precisions diag(p) - W W' add to nearness, but for the noise.

    Half the mean square of W_k'(x - mean_k) over x from c without its noise: a sum over c's mean and its loadings.
    """

    def __init__(self, parameters, directions):
        n_components, n_features, self.width = directions.shape
        means = parameters.means.astype(np.float64)
        self._means = means - np.median(means, axis=0)
        self._loadings = parameters.covariances.astype(np.float64)[..., :-1]
        self._own = np.einsum("kd,kdj->kj", self._means, directions).ravel()
        self._directions = directions.transpose(1, 0, 2).reshape(n_features, n_components * self.width)

    def of(self, start, stop):
        """(stop - start, K), for components c from `start` on."""
        squares = (self._means[start:stop] @ self._directions - self._own) ** 2
        for i in range(self._loadings.shape[2]):
            squares += (self._loadings[start:stop, :, i] @ self._directions) ** 2
        return 0.5 * squares.reshape(stop - start, -1, self.width).sum(axis=2)
