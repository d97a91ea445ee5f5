"""Shrinkage of covariances towards a scaled identity: the parts that depend on the covariances' shape.

S shrinks to (1 - a) S + a m I, where m = trace(S) / D is its mean variance. Formulas for the coefficient a: Ledoit &
Wolf 2004, 'A well-conditioned estimator for large-dimensional covariance matrices'; Chen, Wiesel, Eldar & Hero 2010,
'Shrinkage algorithms for MMSE covariance estimation' (OAS), as scikit-learn computes them. `model.priors.shrunk` has
the rest.
"""

import numpy as np


class Matrices:
    """Covariance matrices of a family that shrink, each by a coefficient of its own.

    Arrays named `each` are (n,), with a value for each covariance: n is K, or 1 if all components share one.
    """

    def stack(self, covariances):
        """Covariances as (n, ...)."""
        return covariances

    def of_each(self, values):
        """Sums over the points of each covariance, from those of each component, (K,)."""
        return values

    def fourth(self, offsets):
        """What the noise of S comes from, (m,), for offsets of points from the mean, (m, D): |x - mean|**4."""
        return np.einsum("ij,ij->i", offsets, offsets) ** 2

    def usual_fourth(self, traces, squares):
        """The expectation of `fourth` if the points are Gaussian, of each."""
        return traces**2 + 2 * squares

    def sizes(self, covariances):
        """(trace, sum of squared elements) of each."""
        stack = self.stack(covariances)
        return np.trace(stack, axis1=1, axis2=2), (stack**2).sum(axis=(1, 2))

    def oas(self, traces, squares, counts, n_features):
        """Coefficients of the Oracle Approximating Shrinkage estimator, of each."""
        of_noise = squares + traces**2
        return _share(of_noise, (counts + 1) * (squares - traces**2 / n_features))

    def shrunk(self, covariances, coefficients, n_features):
        """Covariances shrunk by coefficients, (n,)."""
        means = np.trace(self.stack(covariances), axis1=1, axis2=2) / n_features
        kept, added = (values[:, None, None] for values in (1 - coefficients, coefficients * means))
        return (kept * self.stack(covariances) + added * np.eye(n_features)).reshape(covariances.shape)


class SharedMatrix(Matrices):
    """One matrix of all components' points about their means."""

    def stack(self, covariances):
        return covariances[None]

    def of_each(self, values):
        return values.sum(keepdims=True)


class Variances(Matrices):
    """Variances that shrink towards their mean. The formulas are those of matrices, applied to D variances alone."""

    def fourth(self, offsets):
        """The sum of the features' (x - mean)**4."""
        squares = offsets**2
        return np.einsum("ij,ij->i", squares, squares)

    def usual_fourth(self, traces, squares):
        return 3 * squares

    def sizes(self, covariances):
        return covariances.sum(axis=1), (covariances**2).sum(axis=1)

    def oas(self, traces, squares, counts, n_features):
        # Of independent Gaussian features, variances have the variance 2 s**2 / n, so the oracle's coefficient is
        # c A / ((1 + c) A - trace**2 / D), with A = sum of true s**2 and c = 2 (1 - 1/D) / n. As in Chen et al.,
        # section III.C, A is replaced by the sum of s times the shrunk s; this is where that iteration ends.
        noise = 2 * (n_features - 1)
        of_all = n_features * counts + noise
        return _share(noise * squares, of_all * (squares - traces**2 / n_features))

    def shrunk(self, covariances, coefficients, n_features):
        means = covariances.mean(axis=1)
        return (1 - coefficients)[:, None] * covariances + (coefficients * means)[:, None]


def ledoit_wolf(shrinking, traces, squares, counts, fourth, n_features):
    """Coefficients of Ledoit & Wolf's estimator, of each.

    Parameters
    ----------
    shrinking : Matrices
    traces, squares : ndarray of shape (n,)
        As `sizes` returns them.
    counts : ndarray of shape (n,)
        Number of points of each covariance.
    fourth : ndarray of shape (n,) or None
        The mean of `fourth` over these points; None: of Gaussian points.
    n_features : int
    """
    fourth = shrinking.usual_fourth(traces, squares) if fourth is None else fourth
    distance = squares - traces**2 / n_features
    noise = np.minimum((fourth - squares) / counts, distance)
    return np.where(noise > 0, _share(noise, distance), 0.0)


def _share(noise, distance):
    """noise / distance, at most 1; 1 where the covariance is a multiple of the identity already."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distance > 0, np.clip(noise / distance, 0.0, 1.0), 1.0)
