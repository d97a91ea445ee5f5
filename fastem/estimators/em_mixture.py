"""Base class of mixtures fitted by EM: a fit, from checking the arguments to setting the fitted attributes."""

from __future__ import annotations

import functools
import inspect
import warnings
from dataclasses import replace
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions, validate_parameter_constraints

from .. import kernels
from ..fitting import em, labelled, resuming, strategies, truncated
from ..fitting.degeneracy import DegenerateFitWarning, degeneracy, notes
from ..fitting.progress import CallbackTasks, PrintedLines, Progress
from ..kernels.threads import thread_limits
from ..model.families import FAMILIES
from ..model.families.base import COVARIANCE_ATTRIBUTES
from ..sources import ArraySource, SourceError
from ..sources.annotations import Annotations, n_counted
from ..sources.array import in_memory
from .base_mixture import BaseMixture
from .callback_protocol import callbacks_torn_down
from .labels import coded
from .streaming import StreamingMixin
from .validation import check_labels, check_sample_weight, features_kept_if_it_fails

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike, NDArray

    from ..sources.typing import Points

_OF_NOISE = "noise_weight_", "noise_volume_", "noise_box_"

# Bytes: points of at most this size are held in memory, whatever their source. (A search copies samples of that size.)
_SMALL = 16 << 20


@functools.cache
def _defaults(estimator):
    """The constructor's arguments, in alphabetical order, and their defaults."""
    parameters = inspect.signature(estimator).parameters
    return {name: parameters[name].default for name in estimator._get_param_names()}


def in_memory_if_small(source):
    """The source, read into memory if it has at most `_SMALL` bytes."""
    is_small = not isinstance(source, ArraySource) and source.nbytes <= _SMALL
    return in_memory(source) if is_small else source


class EMMixture(StreamingMixin, BaseMixture):
    """Fits by EM. A subclass adds the constructor, its own arguments' constraints, and the family of its M-steps."""

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions(FAMILIES.keys())],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions({"kmeans", "random", "random_from_data", "k-means++"})],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "assignment": [StrOptions({"soft", "hard", "stochastic"})],
        "forgetting": [Interval(Real, 0.0, 1.0, closed="both")],
        "algorithm": [StrOptions({"auto", "em"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    def _validate_params(self):
        """Validate the arguments, but for the constructor's defaults, which are valid: small fits wait for it."""
        defaults = _defaults(type(self))
        changed = {name: value for name in defaults if (value := getattr(self, name)) is not defaults[name]}
        validate_parameter_constraints(self._parameter_constraints, changed, caller_name=type(self).__name__)

    _bound = "log-likelihood, nats per point"
    """Quantity and unit of `lower_bounds_`."""

    _counts_weights = False
    """True if there is a prior: sample weights then are counts of points and must not be rescaled."""

    _finds_volume = False
    """Whether the volume of the noise is to be found from the points."""

    @property
    def _has_noise(self):
        """Whether fits have a noise component."""
        noise = getattr(self, "noise", False)
        return not isinstance(noise, bool | np.bool_) or bool(noise)

    def _family(self, source, annotations):
        """The covariance family of a fit to these points, with its prior, if any."""
        return self._covariance_family(source.n_features)

    @property
    def _is_accelerated(self):
        """Whether a fit searches for its start and takes quasi-Newton steps."""
        return self.algorithm == "auto"

    def _user_start(self, source):
        """The user's start weights, means and precisions; None for each that isn't given."""
        return None, None, None

    def fit(
        self,
        X: Points,
        y: Any = None,
        sample_weight: ArrayLike | str | None = None,
        labels: ArrayLike | str | None = None,
    ) -> Self:
        """Fit the mixture to X.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source
            At least `n_components` points, and at least 2. Arrays of numbers are read in place; memory-mapped ones are
            read in order and don't add to the memory of the process. A source is anything else that can be read again
            for each pass (`fastem.sources`): a function that returns a fresh iterator of blocks (arrays, DataFrames,
            Arrow batches), the path of a `.npy` file or of a Parquet file or folder, an Arrow table or dataset, a Dask
            array or dataframe. Every kind of source gives the same numbers as the same points in memory.
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Non-negative weight of each point; 0 leaves a point out. For Parquet also the name of a column.
        labels : array-like of shape (n,), or array-like of shape (n, n_components), default=None
            One dimension: the component of each point, 0..n_components-1, or its group in words; -1, NaN, None, NA or
            "" if unknown. Words are numbered in alphabetical order, pandas' categories in their own; `classes_` has the
            names of all components, and `predict` returns names then. A labelled point counts for its component only;
            components without labelled points are fitted freely. If all points are labelled, the fit is a single
            M-step (EM for 'factors'). With `noise`, -2 or the word 'noise' is a point known to be noise.
            Two dimensions: non-negative factors that multiply the responsibilities of each E-step before these are
            normalised; one-hot rows are labels. Where rows sum to less than 1, `lower_bound_` is lower accordingly.
            With `noise`, a last column is for the noise.
            For Parquet also the name of a column.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If an argument is invalid (the message names it), or if a component collapses (the message names it and the
            iteration). The estimator stays as it was before.
        SourceError
            A ValueError: if the source can't be read or holds NaN (the message says where). If this happens after the
            first iteration, the estimator keeps the mixture of the last complete iteration, with `converged_` False;
            `warm_start=True` goes on from there.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = GaussianMixture(2, random_state=0).fit(X)
        >>> model.converged_, round(model.lower_bound_, 3)
        (True, -4.155)
        """
        self._fit(X, y, sample_weight, labels)
        return self

    def fit_predict(
        self,
        X: Points,
        y: Any = None,
        sample_weight: ArrayLike | str | None = None,
        labels: ArrayLike | str | None = None,
    ) -> NDArray[np.int64]:
        """Fit, then label each point with its most probable component.

        Parameters
        ----------
        X, y, sample_weight, labels : as in `fit`

        Returns
        -------
        labels : ndarray of shape (n,), int64
            As `predict` returns them. For Dask input: a Dask array.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> GaussianMixture(2, random_state=0).fit_predict(X)[:5]
        array([1, 0, 1, 0, 1])
        """
        source = self._fit(X, y, sample_weight, labels)
        if isinstance(source, ArraySource):
            return self._in_words(self._evaluate_source(source, kernels.labels, np.int64))
        return self.predict(X)

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(self, X, y, sample_weight, labels):
        """Fit and return the scanned source; for failures see `fit`."""
        with callbacks_torn_down(self):
            tasks = []
            with features_kept_if_it_fails(self):
                source = self._source(X, reset=True, excluded_columns=(sample_weight, labels), least=2)
                source = self._scan(source, reset=True)
                labels, named = self._coded(source, labels)
                annotations = self._annotations(source, sample_weight, labels)
                self._check_values(source, annotations)
                source = in_memory_if_small(source)
                settings = self._settings(source)
                tasks = self._callback_tasks(X, y, source, named)
                try:
                    with thread_limits(self.n_threads):
                        result = self._run(source, settings, annotations, tasks)
                except SourceError as error:
                    if error.result is not None:
                        self._set_fit(error.result, source, annotations, named)
                    raise
                if not result.converged and not result.stopped and self.max_iter > 0:
                    warnings.warn(
                        "Best performing initialization did not converge. Try different init parameters, or increase "
                        "max_iter, tol, or check for degenerate data.",
                        ConvergenceWarning,
                        stacklevel=4,
                    )
                self._note_degeneracy(result, source, annotations)
            self._set_fit(result, source, annotations, named)
            for task in tasks:
                task.end_fit()
            return source

    def _check_values(self, source, annotations):
        """Raise SourceError if a feature has no value in any point that counts."""
        if not source.is_complete:
            source.check_features(getattr(self, "feature_names_in_", None), annotations.weights)

    def _run(self, source, settings, annotations, tasks):
        family = self._family(source, annotations)
        lines = [PrintedLines(self.verbose, self.verbose_interval, self._bound.split(",")[0])] if self.verbose else []
        progress = Progress(*lines, *tasks)
        if settings.truncated:
            truncated.check(source, family, settings, annotations)
        if annotations.are_complete and source.is_complete:
            return labelled.fit(source, family, settings, annotations)
        if self._goes_on():
            start = replace(self._warm_start(source), family=family)
            if settings.truncated:
                more = {"annotations": annotations, "progress": progress}
                return truncated.fit(source, family, settings, None, start=start, **more)
            unfinished = getattr(self, "_unfinished", None)
            if unfinished is not None and unfinished.n_samples != source.n_samples:
                unfinished = None  # of a fit to other points
            return resuming.fit(
                source,
                start,
                settings,
                self.lower_bound_,
                annotations=annotations,
                unfinished=unfinished,
                progress=progress,
            )
        random_state = check_random_state(self.random_state)
        begin = strategies.chosen(settings, annotations, self._search)
        return begin(source, family, settings, random_state, annotations=annotations, progress=progress)

    _search = None
    """The estimator's own search, see `thorough` of `strategies.chosen`; None for the default."""

    def _note_degeneracy(self, result, source, annotations):
        """Report and warn (once) if reg_covar or too few points, not the data, decide on components or features."""
        if not result.lower_bounds:
            return  # no M-step was made
        n_points = n_counted(source, annotations)
        found = degeneracy(result.parameters, n_points, self.reg_covar)
        result.report.degenerate = found.components.tolist()
        names = getattr(self, "feature_names_in_", None)
        result.report.notes = notes(found, result.parameters, n_points, self.reg_covar, names)
        if result.report.notes:
            warnings.warn(". ".join([*result.report.notes, ""]).rstrip(), DegenerateFitWarning, stacklevel=5)
        result.report.notes += result.parameters.family.remarks(result.parameters, self.reg_covar, names)

    def _callback_tasks(self, X, y, source, named):
        """A list of the listener that calls scikit-learn's callbacks; empty, and at no cost, if none are set."""
        if not getattr(self, "_skl_callbacks", None):
            return []
        return [
            CallbackTasks(
                self,
                X,
                y,
                n_samples=source.n_samples,
                max_iter=self.max_iter,
                n_init=self.n_init if self.algorithm != "auto" and not self._goes_on() else 1,
                attributes=lambda result: {**self._attributes(result, source.dtype), **named},
            )
        ]

    def _goes_on(self):
        return self.warm_start and hasattr(self, "converged_")

    def _warm_start(self, source, what="warm_start=True", remedy="Set warm_start=False to start anew."):
        """The fitted parameters, to go on from."""
        family = self._covariance_family(source.n_features)
        fitted = self.means_.shape
        arrays = self._fitted_arrays()
        if fitted != (self.n_components, source.n_features) or not family.fits(arrays, *fitted):
            kept = next(name for name in COVARIANCE_ATTRIBUTES[::3] if name in arrays)
            raise ValueError(
                f"{what} can't go on from the previous fit, which is of another shape. It has "
                f"n_components={fitted[0]}, {fitted[1]} features and {self._own_name(kept)} of shape "
                f"{arrays[kept].shape}. "
                f"Now n_components={self.n_components}, covariance_type={self.covariance_type!r}, and X has "
                f"{source.n_features} features. {remedy}"
            )
        if self._has_noise != hasattr(self, "noise_weight_"):
            had = "had a" if hasattr(self, "noise_weight_") else "had no"
            raise ValueError(f"{what} can't go on from the previous fit, which {had} noise component. {remedy}")
        return self._parameters()

    def _settings(self, source):
        return em.Settings(
            n_components=self.n_components,
            tol=self.tol,
            reg_covar=self.reg_covar,
            max_iter=self.max_iter,
            n_init=self.n_init,
            init_params=self.init_params,
            accelerated=self._is_accelerated,
            truncated=self.algorithm == "truncated",
            assignment=self.assignment,
            init=self._user_start(source),
        )

    def _annotations(self, source, sample_weight, labels, is_batch=False):
        """Sample weights and labels, checked; a batch may have fewer points than components, and none of a label."""
        least = 0 if is_batch else self.n_components
        if source.n_samples < least:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {source.n_samples}"
            )
        if source.n_samples < 2 and not is_batch:
            raise ValueError(
                f"Found array with {source.n_samples} sample(s) while a minimum of 2 is required by "
                f"{type(self).__name__}."
            )
        rescale = not is_batch and not self._counts_weights
        weights = check_sample_weight(source.column(sample_weight), source.n_samples, least, rescale=rescale)
        annotations = Annotations(weights)
        if labels is not None:
            annotations = check_labels(
                source.column(labels), source.n_samples, self.n_components, weights, not is_batch, self._has_noise
            )
        return annotations

    def _coded(self, source, labels):
        """(labels as numbers of components; the attributes with the components' names if labels are words)."""
        if labels is None:
            return None, {}
        known = getattr(self, "component_names_", None) if self._goes_on() else None
        labels, names = coded(source.labels(labels), self.n_components, known, self._has_noise)
        if names is None:
            return labels, {}
        if known is None and self._goes_on():
            raise ValueError(
                "labels are words, but the components that warm_start=True goes on from have no names: set "
                "component_names_, or give their numbers"
            )
        return labels, {"component_names_": names, "classes_": names.copy()}

    def _attributes(self, result, dtype):
        """The fitted attributes: float32 for float32 data if the values fit in it, else float64."""
        parameters = result.parameters
        dtype = np.float32 if dtype == np.float32 and parameters.fits_single else np.float64
        of_covariances = parameters.family.fitted_attributes(parameters)
        unfinished = {} if result.unfinished is None else {"_unfinished": result.unfinished}
        return {
            **unfinished,
            "weights_": parameters.weights.astype(dtype),
            "means_": parameters.means.astype(dtype),
            **{self._own_name(name): values.astype(dtype, copy=False) for name, values in of_covariances.items()},
            "converged_": result.converged,
            "n_iter_": result.n_iter,
            "lower_bound_": result.lower_bound,
            "lower_bounds_": list(result.lower_bounds),
            "fit_report_": result.report,
        }

    def _set_result(self, result, dtype):
        for name in ("_unfinished", "_online", "prior_", "shrinkage_", *_OF_NOISE, *COVARIANCE_ATTRIBUTES):
            self.__dict__.pop(name, None)
        for name, value in self._attributes(result, dtype).items():
            setattr(self, name, value)

    def _set_fit(self, result, source, annotations, named=None):
        if not self._goes_on():
            for name in ("component_names_", "classes_"):  # the components are new ones
                self.__dict__.pop(name, None)
        self._set_result(result, source.dtype)
        self.__dict__.update(named or {})
        self.n_samples_seen_ = source.n_samples
        self._weight_seen = float(source.n_samples if annotations.weights is None else annotations.weights.sum())

    def __sklearn_is_fitted__(self):
        return hasattr(self, "means_")
