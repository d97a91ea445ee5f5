"""What every fitted mixture does: label, score and sample points."""

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from . import kernels
from .covariance import FAMILIES, Parameters
from .progress import CallbackSupportMixin
from .sources import as_source
from .threads import thread_limits
from .validation import check_finite


class BaseMixture(CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Prediction from `weights_`, `means_` and `precisions_cholesky_`, in the shapes of `covariance_type`."""

    def predict(self, X):
        """Most probable component of each point.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        labels : ndarray of shape (n,), int64
        """
        X = self._checked(X)
        return self._evaluate(X, kernels.labels, np.empty(len(X), np.int64))

    def predict_proba(self, X):
        """Responsibilities: the probability of each component given the point (Bishop 2006, eq. 9.23).

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        responsibilities : ndarray of shape (n, K)
            Rows sum to 1.
        """
        X = self._checked(X)
        out = np.empty((len(X), len(self.means_)), self._result_dtype(X))
        return self._evaluate(X, kernels.responsibilities, out)

    def score_samples(self, X):
        """Log-density of the mixture at each point.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        log_density : ndarray of shape (n,), nats
        """
        X = self._checked(X)
        return self._evaluate(X, kernels.log_likelihoods, np.empty(len(X), self._result_dtype(X)))

    def score(self, X, y=None):
        """Mean log-likelihood of the points, nats per point.

        Parameters
        ----------
        X : array-like of shape (n, D)
        y : ignored

        Returns
        -------
        score : float
        """
        return float(np.mean(self.score_samples(X)))

    def sample(self, n_samples=1):
        """Draw points from the mixture, grouped by component; an int `random_state` draws the same every time.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : ndarray of shape (n_samples, D), float64
        labels : ndarray of shape (n_samples,), int64
            The component each point was drawn from.
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.")
        rng = check_random_state(self.random_state)
        weights = self.weights_.astype(np.float64)
        counts = rng.multinomial(n_samples, weights / weights.sum())
        n_components, n_features = self.means_.shape
        if self.covariance_type in ("full", "tied"):
            matrices = FAMILIES[self.covariance_type].matrices(self.covariances_, n_components, n_features)
            parts = [rng.multivariate_normal(*args) for args in zip(self.means_, matrices, counts, strict=True)]
        else:
            deviations = np.sqrt(np.asarray(self.covariances_, dtype=np.float64))
            parts = [
                mean + rng.standard_normal((count, n_features)) * deviation
                for mean, deviation, count in zip(self.means_, deviations, counts, strict=True)
            ]
        return np.vstack(parts), np.repeat(np.arange(n_components, dtype=np.int64), counts)

    def _checked(self, X):
        check_is_fitted(self)
        X = self._validated(X, reset=False)
        check_finite(as_source(X), type(self).__name__)
        return X

    def _evaluate(self, X, kernel, out):
        with thread_limits(self.n_threads):
            return as_source(X).evaluate(self._parameters(), kernel, out)

    def _parameters(self):
        covariances = getattr(self, "covariances_", None)
        return Parameters(
            FAMILIES[self.covariance_type], self.weights_, self.means_, covariances, self.precisions_cholesky_
        )

    def _result_dtype(self, X):
        single = X.dtype == np.float32 and self.means_.dtype == np.float32
        return np.float32 if single else np.float64

    def _validated(self, X, reset):
        """X as an array of real numbers, unconverted and uncopied where it is one already."""
        return validate_data(
            self,
            X,
            reset=reset,
            dtype="numeric",
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
        )
