"""Base class of all mixtures: a fitted one labels, scores and samples points."""

from __future__ import annotations

import functools
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import kernels
from ..files import saving
from ..kernels.threads import numba_limit, thread_limits
from ..model.families import FAMILIES
from ..model.families.base import COVARIANCE_ATTRIBUTES, CovarianceFamily, family_arrays
from ..model.noise import Noise
from ..model.parameters import Parameters
from ..sources import ArraySource, IncompleteSource, as_rows, as_source, check_numbers
from ..sources.annotations import SOFT, Annotations
from ..sources.base import VALUES
from .callback_protocol import CallbackSupportMixin
from .conditioning import ConditioningMixin
from .conversion import ConversionMixin
from .describing import DescribingMixin
from .validation import check_sample_weight

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from ..sources.typing import Points


class BaseMixture(
    ConditioningMixin, ConversionMixin, DescribingMixin, CallbackSupportMixin, DensityMixin, BaseEstimator
):
    """Predicts from `weights_`, `means_` and `precisions_cholesky_`, whose shapes depend on `covariance_type`."""

    _covariances = "covariances_"
    """Name of the attribute that families know as `covariances_`."""

    n_factors: int | None = None
    """Parameter of a mixture that takes factor analyzers."""

    _tails = None
    """Degrees of freedom of t distributions, (K,); None for Gaussians."""

    @property
    def _form(self):
        """The form of the components, in words."""
        return f"{self.covariance_type} covariance"

    def predict(self, X: Points) -> NDArray[np.int64]:
        """Most probable component of each point.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`

        Returns
        -------
        labels : ndarray of shape (n,), int64
            The number of the component; its name (an array of str objects) if the mixture was fitted with words as
            labels (`classes_`). -1, or 'noise', for points that are most probably noise, if the mixture has a noise
            component. For Dask input: a Dask array, evaluated lazily.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> model.predict([[4.5, 80.0], [2.0, 50.0]])
        array([1, 0])
        """
        return self._in_words(self._evaluated(X, kernels.labels, np.int64))

    def _in_words(self, components):
        """The classes of components given by number, if the labels of the fit were words."""
        classes = vars(self).get("classes_")
        if classes is None:
            return components
        words = np.append(classes, "noise")  # noise is component -1
        if isinstance(components, np.ndarray):
            return words[components]
        return components.map_blocks(words.__getitem__, dtype=object)  # a Dask array

    def predict_proba(self, X: Points) -> NDArray[np.floating]:
        """Responsibilities: the probability of each component given the point (Bishop 2006, eq. 9.23).

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`

        Returns
        -------
        responsibilities : ndarray of shape (n, K)
            Each row sums to 1, or to 1 less the probability of noise. For Dask input: a Dask array.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> model.predict_proba([[4.5, 80.0], [3.0, 66.0]]).round(2)
        array([[0.  , 1.  ],
               [0.16, 0.84]])
        """
        check_is_fitted(self)
        return self._evaluated(X, kernels.responsibilities, n_columns=len(self.means_))

    def score_samples(self, X: Points) -> NDArray[np.floating]:
        """Log-density of the mixture at each point.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`

        Returns
        -------
        log_density : ndarray of shape (n,), nats
            For Dask input: a Dask array.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> model.score_samples([[4.5, 80.0], [3.0, 66.0]]).round(2)
        array([-3.26, -8.59])
        """
        return self._evaluated(X, kernels.log_likelihoods)

    def score(self, X: Points, y: Any = None, sample_weight: ArrayLike | str | None = None) -> float:
        """Mean log-likelihood of the points: nats per point, or per unit of sample weight.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source as in `fit`
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Non-negative weight of each point. The score doesn't depend on their scale.

        Returns
        -------
        score : float

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> round(model.score(X), 3)
        -4.155
        """
        total, n_points = self._total_log_likelihood(X, sample_weight)
        return total / n_points

    def sample(self, n_samples: int = 1) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Draw points from the mixture, grouped by component; an int `random_state` gives the same points every time.

        Parameters
        ----------
        n_samples : int, default=1

        Returns
        -------
        X : ndarray of shape (n_samples, D), float64
        labels : ndarray of shape (n_samples,), int64
            The component each point was drawn from; names, as in `predict`, if the labels of the fit were words. -1 or
            'noise', behind the others: noise, drawn uniformly from `noise_box_`.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> points, labels = model.sample(5)
        >>> points.shape, labels
        ((5, 2), array([0, 0, 1, 1, 1]))
        """
        check_is_fitted(self)
        if n_samples < 1:
            raise ValueError(f"Invalid value for 'n_samples': {n_samples} . The sampling requires at least one sample.")
        self._check_covariance_type()
        rng = check_random_state(self.random_state)
        weights = self.weights_.astype(np.float64)
        noise = getattr(self, "noise_weight_", None)
        if noise is not None:
            weights = np.append(weights, noise)
        n_components, n_features = self.means_.shape
        labels = np.append(np.arange(n_components, dtype=np.int64), [] if noise is None else [-1]).astype(np.int64)
        counts = rng.multinomial(n_samples, weights / weights.sum())
        X = np.empty((n_samples, n_features))
        most = max(8 * VALUES // n_features, 8 * n_features)  # rows drawn at a time, so that Ctrl-C takes effect
        start = 0
        for k, count in enumerate(counts[:n_components]):
            for stop in [*range(start + most, start + count, most), start + count]:
                X[start:stop] = self._drawn(rng, k, stop - start)
                start = stop
        if noise is not None:
            X[start:] = Noise(self.noise_box_).draw(rng, n_samples - start)
        return X, self._in_words(np.repeat(labels, counts))

    def _drawn(self, rng, k, n_samples):
        """Random points of component k, (n_samples, D)."""
        family = self._covariance_family()
        covariances = family.covariances_of(self._fitted_arrays())
        return family.draw(rng, self.means_[k], covariances if family.is_shared else covariances[k], n_samples)

    def save(self, path: str | Path) -> None:
        """Write the fitted model to a file, with its fit report and the state of an interrupted fit, which can go on.

        Parameters
        ----------
        path : str or Path
            Used as given: no suffix is added. An existing file is replaced only when the new one is complete.

        Raises
        ------
        NotFittedError
        OSError
            If the file can't be written.
        ValueError, TypeError
            If the model can't be stored: invalid parameters, or some that were changed after the fit.

        Notes
        -----
        `fastem.load` reads the file. It is an .npz file (an uncompressed zip archive of arrays) and contains no code,
        so other programs can read it, too. Its arrays have the names of the fitted attributes, without the underscore:
        `weights`, `means`, `covariances`, `precisions`, `precisions_cholesky`, ... (Files of fastem 0.1 have other
        names; the header leads to the arrays of both.) Its array `header` is a JSON string, with NaN and Infinity as
        Python writes them:

        - 'format' is 'fastem', 'version' the format's version (this is 1), 'written_by' the program's name and version,
          'class' the estimator's class;
        - 'params' are the constructor's arguments;
        - 'attributes' are the fitted attributes; `_unfinished`, the state of an interrupted fit, is private.

        In the header {"@array": NAME} stands for the archive's array NAME, each of which is used once;
        {"@strings": [...]} for an array of strings, such as the feature names; {"@class": NAME, "fields": {...}} for an
        object, such as `fit_report_`.

        Each fastem reads all format versions up to its own. Within a version entries may be added: a fastem that
        doesn't know them ignores them, except unknown params, which it refuses. Params that a file lacks have their
        defaults.

        Examples
        --------
        >>> import json, numpy
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> GaussianMixture(2, random_state=0).fit(load_faithful().data).save("model.npz")
        >>> with numpy.load("model.npz") as file:
        ...     means = file["means"]
        ...     covariance_type = json.loads(str(file["header"]))["params"]["covariance_type"]
        >>> means.round(1)
        array([[ 2. , 54.5],
               [ 4.3, 80. ]])
        >>> covariance_type
        'full'
        """
        check_is_fitted(self)
        saving.save(self, path)

    @property
    def _allows_missing(self):
        """Whether NaN stands for a missing value."""
        return getattr(self, "missing", "error") == "em"

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = self._allows_missing
        return tags

    def _evaluated(self, X, kernel, dtype=None, n_columns=None):
        check_is_fitted(self)
        source = self._source(X)
        if hasattr(source, "lazily"):
            self._check_features(source)
            dtype = dtype or self._result_dtype(source)
            return source.lazily(partial(self._evaluate_rows, kernel, dtype, n_columns), dtype, n_columns)
        source = self._scan(source)
        return self._evaluate_source(source, kernel, dtype or self._result_dtype(source), n_columns)

    def _evaluate_source(self, source, kernel, dtype, n_columns=None):
        shape = source.n_samples if n_columns is None else (source.n_samples, n_columns)
        with numba_limit(self.n_threads):
            return source.evaluate(self._parameters(), kernel, np.empty(shape, dtype))

    def _evaluate_rows(self, kernel, dtype, n_columns, rows):
        source = ArraySource(as_rows(rows, "a partition")[0])
        source.is_validated = True
        return self._evaluate_source(self._scan(source), kernel, dtype, n_columns)

    def _total_log_likelihood(self, X, sample_weight=None, assignment=SOFT):
        """(log-likelihood in all, nats; number of points or sum of their weights)."""
        check_is_fitted(self)
        source = self._scan(self._source(X))
        weights = check_sample_weight(source.column(sample_weight), source.n_samples, rescale=False)
        with thread_limits(self.n_threads):
            return source.log_likelihood(self._parameters(), Annotations(weights), assignment)

    def _fitted_family(self):
        """The covariance family of the fitted mixture, with its prior, if any."""
        return self._covariance_family()

    def _covariance_family(self, n_features=None):
        """The family that the arguments name, without a prior; raises ValueError if it can't be that of n_features."""
        return FAMILIES[self.covariance_type].of_factors(self.n_factors, n_features)

    @classmethod
    @functools.cache
    def _get_param_names(cls):
        """scikit-learn reads the signature at every validation, which takes a tenth of a small fit."""
        return super()._get_param_names()

    def _fitted_arrays(self):
        """The fitted attributes by the names that families know."""
        return family_arrays(vars(self))

    def _own_name(self, name):
        """The name here of what families know by this name."""
        return self._covariances if name == "covariances_" else name

    def _check_covariance_type(self):
        """Raise ValueError if `covariance_type` was changed after the fit."""
        family = self._covariance_family()
        if not family.fits(self._fitted_arrays(), *self.means_.shape):
            name = next(name for name in COVARIANCE_ATTRIBUTES[1:] if name in vars(self))
            raise ValueError(
                f"covariance_type={self.covariance_type!r} doesn't fit {name}, which have the shape "
                f"{getattr(self, name).shape}. If it was changed after the fit, change it back, or fit again."
            )

    def _parameters(self):
        self._check_covariance_type()
        parameters = self._covariance_family().parameters_of(self.weights_, self.means_, self._fitted_arrays())
        family, noise = self._fitted_family(), vars(self).get("noise_weight_")
        if family is parameters.family and noise is None:
            return parameters
        return replace(parameters, family=family, noise_weight=noise)

    def _factors(self):
        """`precisions_cholesky_` as upper triangular factors, even if the user has set factors of another form."""
        return FAMILIES[self.covariance_type].upper_factors(np.asarray(self.precisions_cholesky_))

    def __getattr__(self, name):
        """Attributes that are made when asked for: the matrices of a mixture whose covariances are kept otherwise."""
        if name in CovarianceFamily.attributes and "means_" in self.__dict__:
            family = self._covariance_family()
            if name not in family.attributes and family.fits(self.__dict__, *self.means_.shape):
                return self._matrices(family)[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _matrices(self, family):
        covariances = family.covariances_of(self.__dict__)
        of_matrices = FAMILIES[family.as_sklearn]
        matrices = of_matrices.of_matrices(family.matrices(covariances.astype(np.float64), *self.means_.shape))
        factors = of_matrices.precisions_cholesky(matrices)
        mixture = Parameters(of_matrices, self.weights_, self.means_, matrices, factors)
        values = of_matrices.fitted_attributes(mixture)
        return {name: value.astype(self.means_.dtype) for name, value in values.items()}

    def _result_dtype(self, source):
        single = source.dtype == np.float32 and self.means_.dtype == np.float32
        return np.float32 if single else np.float64

    def _source(self, X, reset=False, excluded_columns=(), least=1):
        """The source for X, not scanned yet. Arrays of real numbers are neither converted nor copied.

        excluded_columns: sample weights and labels; those that are column names of X are no features.
        least: the fewest points that scikit-learn's validation lets pass.
        """
        source = as_source(X)
        if source is not None:
            only = None if reset else list(getattr(self, "feature_names_in_", ()))
            return source.choosing(
                only=only, without=[values for values in excluded_columns if isinstance(values, str)]
            )
        if self._is_plain(X, reset, least):
            source = ArraySource(X)
        else:
            check_numbers(X, "X")
            names = [str(name) for name in X.columns] if hasattr(X, "columns") else None
            X = validate_data(self, X, reset=reset, dtype="numeric", ensure_all_finite=False, ensure_min_samples=least)
            source = ArraySource(X)
            source.feature_names = names
        source.is_validated = True
        return source

    def _is_plain(self, X, reset, least):
        """Whether X is an array in which scikit-learn's validation finds nothing; that takes longer than a prediction.

        If so, features are learned (`reset`).
        """
        if type(X) is not np.ndarray or X.ndim != 2 or X.dtype != np.float64 or len(X) < least or not X.shape[1]:
            return False
        if hasattr(self, "feature_names_in_"):
            return False
        if reset:
            self.n_features_in_ = X.shape[1]
        return X.shape[1] == self.n_features_in_

    def _scan(self, source, reset=False):
        """The source, all its points checked; if values are missing and may be, as an `IncompleteSource`.

        The features are checked or learned (`reset`), too, unless scikit-learn has validated them.
        """
        source.allows_missing = self._allows_missing
        if source.allows_missing:
            self._covariance_family().with_missing_values()
        source.scan(type(self).__name__)
        self._check_features(source, reset)
        return IncompleteSource(source) if source.lacks_values else source

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
                "The feature names should match those that were passed during fit, in the same order. "
                f"They were {', '.join(fitted)}, but X has {', '.join(names)}."
            )
