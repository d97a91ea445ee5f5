"""What every fitted mixture does: label, score and sample points."""

from functools import partial

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import kernels
from ..files import saving
from ..kernels.threads import thread_limits
from ..model.families import FAMILIES
from ..model.parameters import Parameters
from ..sources import ArraySource, as_source, check_numbers
from ..sources.annotations import SOFT, Annotations
from ..sources.base import VALUES
from .callback_protocol import CallbackSupportMixin
from .conversion import ConversionMixin
from .validation import check_sample_weight


class BaseMixture(ConversionMixin, CallbackSupportMixin, DensityMixin, BaseEstimator):
    """Prediction from `weights_`, `means_` and `precisions_cholesky_`, in the shapes of `covariance_type`."""

    def predict(self, X):
        """Most probable component of each point.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`

        Returns
        -------
        labels : ndarray of shape (n,), int64
            For Dask input a Dask array, computed when it is asked for.
        """
        return self._evaluated(X, kernels.labels, np.int64)

    def predict_proba(self, X):
        """Responsibilities: the probability of each component given the point (Bishop 2006, eq. 9.23).

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`

        Returns
        -------
        responsibilities : ndarray of shape (n, K)
            Rows sum to 1. For Dask input a Dask array.
        """
        check_is_fitted(self)
        return self._evaluated(X, kernels.responsibilities, n_columns=len(self.means_))

    def score_samples(self, X):
        """Log-density of the mixture at each point.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`

        Returns
        -------
        log_density : ndarray of shape (n,), nats
            For Dask input a Dask array.
        """
        return self._evaluated(X, kernels.log_likelihoods)

    def score(self, X, y=None, sample_weight=None):
        """Mean log-likelihood of the points, nats per unit of weight.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Non-negative multiplicity of each point, of any scale.

        Returns
        -------
        score : float
        """
        total, n_points = self._total_log_likelihood(X, sample_weight)
        return total / n_points

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
        self._check_covariance_type()
        rng = check_random_state(self.random_state)
        weights = self.weights_.astype(np.float64)
        counts = rng.multinomial(n_samples, weights / weights.sum())
        n_components, n_features = self.means_.shape
        X = np.empty((n_samples, n_features))
        family = FAMILIES[self.covariance_type]
        most = max(8 * VALUES // n_features, 8 * n_features)  # drawn at a time: then an interrupt is seen
        start = 0
        for k, count in enumerate(counts):
            covariance = self.covariances_ if family.is_shared else self.covariances_[k]
            for stop in [*range(start + most, start + count, most), start + count]:
                X[start:stop] = family.draw(rng, self.means_[k], covariance, stop - start)
                start = stop
        return X, np.repeat(np.arange(n_components, dtype=np.int64), counts)

    def save(self, path):
        """Write the fitted model to a file, with its history and, where a fit was cut off, all that it needs to go on.

        Parameters
        ----------
        path : str or Path
            The name as it is, no suffix is added. A file of that name is replaced, as a whole or not at all.

        Raises
        ------
        NotFittedError
        OSError
            Where the file can't be written.
        ValueError, TypeError
            Where a file can't hold the model: parameters that aren't valid, or not those it was fitted with.

        Notes
        -----
        `fastem.load` reads the file; so can whatever reads .npz, an uncompressed zip archive of arrays, and JSON. No
        code is in it. The array `header` is a string of JSON, with the NaN and Infinity of Python's:

        - 'format' is 'fastem', 'version' the format's (this is 1), 'written_by' the program's, 'class' the estimator's;
        - 'params' are the constructor's arguments;
        - 'attributes' are the fitted ones; `_unfinished`, what a fit that was cut off goes on from, is private.

        Instead of an array there is {"@array": NAME}, NAME being that of an array of the archive, used once; instead of
        feature names {"@strings": [...]}; and instead of an object, such as `fit_report_`,
        {"@class": NAME, "fields": {...}}.

        Every fastem reads the versions up to its own. What is added within one is ignored by those that don't know it,
        but for params, which they refuse; params that a file lacks have their defaults.

        Examples
        --------
        >>> import json, numpy
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> GaussianMixture(2, random_state=0).fit(load_faithful().data).save("model.npz")  # doctest: +SKIP
        >>> with numpy.load("model.npz") as file:                                           # doctest: +SKIP
        ...     attributes = json.loads(str(file["header"]))["attributes"]
        ...     means = file[attributes["means_"]["@array"]]
        """
        check_is_fitted(self)
        saving.save(self, path)

    def _evaluated(self, X, kernel, dtype=None, n_columns=None):
        check_is_fitted(self)
        source = self._source(X)
        if hasattr(source, "lazily"):
            self._check_features(source)
            dtype = dtype or self._result_dtype(source)
            return source.lazily(partial(self._evaluate_rows, kernel, dtype, n_columns), dtype, n_columns)
        self._scan(source)
        return self._evaluate_source(source, kernel, dtype or self._result_dtype(source), n_columns)

    def _evaluate_source(self, source, kernel, dtype, n_columns=None):
        shape = source.n_samples if n_columns is None else (source.n_samples, n_columns)
        with thread_limits(self.n_threads):
            return source.evaluate(self._parameters(), kernel, np.empty(shape, dtype))

    def _evaluate_rows(self, kernel, dtype, n_columns, rows):
        source = ArraySource(np.asarray(rows))
        source.scan(type(self).__name__)
        return self._evaluate_source(source, kernel, dtype, n_columns)

    def _total_log_likelihood(self, X, sample_weight=None, assignment=SOFT):
        """(log-likelihood, nats, number of points or the sum of their weights)."""
        check_is_fitted(self)
        source = self._source(X)
        self._scan(source)
        weights = check_sample_weight(source.column(sample_weight), source.n_samples, rescale=False)
        with thread_limits(self.n_threads):
            return source.log_likelihood(self._parameters(), Annotations(weights), assignment)

    def _fitted_family(self):
        """The covariance family of the fitted mixture, with its prior where it has one."""
        return FAMILIES[self.covariance_type]

    def _check_covariance_type(self):
        """Raise ValueError where it is not that of the fitted mixture any more."""
        factors, (n_components, n_features) = self.precisions_cholesky_, self.means_.shape
        is_same = factors.shape == FAMILIES[self.covariance_type].shape(n_components, n_features)
        if is_same and factors.shape == (n_components, n_components) and n_components > 1:  # tied or diag
            is_same = FAMILIES[self.covariance_type].may_be_factors(factors)
        if not is_same:
            raise ValueError(
                f"covariance_type={self.covariance_type!r} is not that of the fitted mixture, whose precisions have "
                f"the shape {factors.shape}: it was changed after the fit. Fit again, or change it back."
            )

    def _parameters(self):
        self._check_covariance_type()
        covariances = getattr(self, "covariances_", None)
        return Parameters(self._fitted_family(), self.weights_, self.means_, covariances, self._factors())

    def _factors(self):
        """`precisions_cholesky_`, upper triangular even where the user set another factor."""
        return FAMILIES[self.covariance_type].upper_factors(np.asarray(self.precisions_cholesky_))

    def _result_dtype(self, source):
        single = source.dtype == np.float32 and self.means_.dtype == np.float32
        return np.float32 if single else np.float64

    def _source(self, X, reset=False, excluded_columns=(), least=1):
        """The source for X: arrays of real numbers neither converted nor copied; not scanned yet.

        aside: sample weights and labels; columns by these names are no features. least: number of points.
        """
        source = as_source(X)
        if source is not None:
            only = None if reset else list(getattr(self, "feature_names_in_", ()))
            return source.choosing(
                only=only, without=[values for values in excluded_columns if isinstance(values, str)]
            )
        check_numbers(X, "X")
        X = validate_data(
            self,
            X,
            reset=reset,
            dtype="numeric",
            ensure_all_finite=False,
            ensure_min_samples=least,
        )
        source = ArraySource(X)
        source.is_validated = True
        return source

    def _scan(self, source, reset=False):
        """Look at all the points, and check or learn the features of what scikit-learn hasn't validated."""
        source.scan(type(self).__name__)
        self._check_features(source, reset)

    def _check_features(self, source, reset=False):
        if source.is_validated:
            return
        names = source.feature_names
        if reset:
            self.n_features_in_ = source.n_features
            if names is not None:
                self.feature_names_in_ = np.array(names, dtype=object)
            elif hasattr(self, "feature_names_in_"):
                del self.feature_names_in_
            return
        if source.n_features != self.n_features_in_:
            raise ValueError(
                f"X has {source.n_features} features, but {type(self).__name__} is expecting {self.n_features_in_} "
                "features as input."
            )
        fitted = getattr(self, "feature_names_in_", None)
        if names is not None and fitted is not None and list(fitted) != names:
            raise ValueError(
                "The feature names should match those that were passed during fit, in the same order: "
                f"{', '.join(fitted)}; but X has {', '.join(names)}."
            )
