"""What is common to mixtures fitted by EM: a fit from checked arguments to fitted attributes."""

import warnings
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from .. import kernels
from ..fitting import em, labelled, resuming, strategies
from ..fitting.degeneracy import DegenerateFitWarning, degeneracy, notes
from ..fitting.progress import CallbackTasks, PrintedLines, Progress
from ..kernels.threads import thread_limits
from ..model.families import FAMILIES
from ..sources import ArraySource, SourceError
from ..sources.annotations import Annotations, n_counted
from ..sources.array import in_memory
from .base_mixture import BaseMixture
from .callback_protocol import callbacks_torn_down
from .streaming import StreamingMixin
from .validation import check_labels, check_sample_weight

# Points that take no more are held in memory, wherever they come from: a search for a start would take as many.
_SMALL = 16 << 20


def in_memory_if_small(source):
    """The source, in memory where it takes so little."""
    is_small = not isinstance(source, ArraySource) and source.nbytes <= _SMALL
    return in_memory(source) if is_small else source


class EMMixture(StreamingMixin, BaseMixture):
    """Fits by EM. A subclass has the constructor, what constrains its own arguments, and the family of its M-steps."""

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

    _bound = "log-likelihood, nats per point"
    """What `lower_bounds_` are, and their unit."""

    _counts_weights = False
    """Whether weights are counts of points, which a prior is weighed against: not to be scaled."""

    def _family(self, source, annotations):
        """The covariance family of a fit to these points, with the prior where there is one."""
        return FAMILIES[self.covariance_type]

    @property
    def _is_accelerated(self):
        """Whether a fit searches for its start and takes quasi-Newton steps."""
        return self.algorithm == "auto"

    def _user_start(self, source):
        """The user's weights, means and precisions, None for those to be found."""
        return None, None, None

    def fit(self, X, y=None, sample_weight=None, labels=None):
        """Fit the mixture to X.

        Parameters
        ----------
        X : array-like of shape (n, D), or a source
            At least `n_components` points. Read in place where it is an array of numbers, a memory-mapped one in
            order and without growing the process. A source is anything else that can be read again for each pass
            (`fastem.sources`): a function that returns a fresh iterator of blocks (arrays, DataFrames, Arrow batches),
            the path of a `.npy` file or of a Parquet file or folder, an Arrow table or dataset, a Dask array or
            dataframe. All give the same numbers as the same points in memory.
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Non-negative multiplicity of each point, of any scale; 0 leaves a point out. The name of a column where X
            is Parquet.
        labels : array-like of int of shape (n,), or of shape (n, n_components), default=None
            Each point's component, 0..n_components-1, where known, -1 where not. Known points count for their
            component alone; components without any are free. Where all are known, one M-step is the whole fit.
            In two dimensions: allowed responsibilities, one-hot labels among them. Those of each E-step are multiplied
            by them and then normalised (and `lower_bound_` is as much lower as rows sum to less than 1). The name of a
            column where X is Parquet.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            Bad input, naming the argument; or a component that collapsed, naming it and the iteration. The
            estimator then is as it was before.
        SourceError
            A ValueError: a source that can't be read or holds NaN, saying where. If it could be read at first, the
            estimator keeps the mixture of the last complete iteration, with `converged_` False, and `warm_start=True`
            goes on from there.
        """
        self._fit(X, y, sample_weight, labels)
        return self

    def fit_predict(self, X, y=None, sample_weight=None, labels=None):
        """Fit, then label each point with its most probable component; parameters as in `fit`.

        Returns
        -------
        labels : ndarray of shape (n,), int64
            For Dask input a Dask array.
        """
        source = self._fit(X, y, sample_weight, labels)
        if isinstance(source, ArraySource):
            return self._evaluate_source(source, kernels.labels, np.int64)
        return self.predict(X)

    @contextmanager
    def _unless_it_fails(self):
        """On any failure, an interrupt included, what is known of the features stays as it was."""
        before = {name: getattr(self, name, None) for name in ("n_features_in_", "feature_names_in_")}
        try:
            yield
        except BaseException as error:
            if getattr(error, "result", None) is None:
                for name, value in before.items():
                    if value is not None:
                        setattr(self, name, value)
                    elif hasattr(self, name):
                        delattr(self, name)
            raise

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(self, X, y, sample_weight, labels):
        """Fit and return the scanned source; on failure the estimator stays as it was, or see `SourceError`."""
        with callbacks_torn_down(self):
            tasks = []
            with self._unless_it_fails():
                source = self._source(X, reset=True, excluded_columns=(sample_weight, labels), least=2)
                self._scan(source, reset=True)
                annotations = self._annotations(source, sample_weight, labels)
                source = in_memory_if_small(source)
                settings = self._settings(source)
                tasks = self._callback_tasks(X, y, source)
                try:
                    with thread_limits(self.n_threads):
                        result = self._run(source, settings, annotations, tasks)
                except SourceError as error:
                    if error.result is not None:
                        self._set_fit(error.result, source, annotations)
                    raise
                if not result.converged and not result.stopped and self.max_iter > 0:
                    warnings.warn(
                        "Best performing initialization did not converge. Try different init parameters, or increase "
                        "max_iter, tol, or check for degenerate data.",
                        ConvergenceWarning,
                        stacklevel=4,
                    )
                self._note_degeneracy(result, source, annotations)
            self._set_fit(result, source, annotations)
            for task in tasks:
                task.end_fit()
            return source

    def _run(self, source, settings, annotations, tasks):
        family = self._family(source, annotations)
        lines = [PrintedLines(self.verbose, self.verbose_interval, self._bound.split(",")[0])] if self.verbose else []
        progress = Progress(*lines, *tasks)
        if annotations.are_complete:
            return labelled.fit(source, family, settings, annotations)
        if self._goes_on():
            start = replace(self._warm_start(source), family=family)
            unfinished = getattr(self, "_unfinished", None)
            if unfinished is not None and unfinished.n_samples != source.n_samples:
                unfinished = None  # other points
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
    """How a fit begins where `strategies.chosen` leaves it to the estimator; None for what is usual."""

    def _note_degeneracy(self, result, source, annotations):
        """Warn once of what reg_covar or too few points decide, and put it into the report."""
        if not result.lower_bounds:
            return  # no M-step made the mixture
        n_points = n_counted(source, annotations)
        found = degeneracy(result.parameters, n_points, self.reg_covar)
        result.report.degenerate = found.components.tolist()
        names = getattr(self, "feature_names_in_", None)
        result.report.notes = notes(found, result.parameters, n_points, self.reg_covar, names)
        if result.report.notes:
            warnings.warn(". ".join([*result.report.notes, ""]).rstrip(), DegenerateFitWarning, stacklevel=5)

    def _callback_tasks(self, X, y, source):
        """A list with what calls scikit-learn's callbacks; empty, and free of cost, where none are set."""
        if not getattr(self, "_skl_callbacks", None):
            return []
        return [
            CallbackTasks(
                self,
                X,
                y,
                n_samples=source.n_samples,
                max_iter=self.max_iter,
                n_init=self.n_init if self.algorithm == "em" and not self._goes_on() else 1,
                attributes=lambda result: self._attributes(result, source.dtype),
            )
        ]

    def _goes_on(self):
        return self.warm_start and hasattr(self, "converged_")

    def _warm_start(self, source, what="warm_start=True", remedy="Set warm_start=False to start anew."):
        """The fitted parameters, to go on from."""
        family = FAMILIES[self.covariance_type]
        fitted = self.means_.shape
        if fitted != (self.n_components, source.n_features) or self.covariances_.shape != family.shape(*fitted):
            raise ValueError(
                f"{what} goes on from the previous fit, which has n_components={fitted[0]}, "
                f"{fitted[1]} features and covariances_ of shape {self.covariances_.shape}; now "
                f"n_components={self.n_components}, covariance_type={self.covariance_type!r} and X has "
                f"{source.n_features} features. {remedy}"
            )
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
            assignment=self.assignment,
            init=self._user_start(source),
        )

    def _annotations(self, source, sample_weight, labels, is_batch=False):
        """What sample weights and labels say of the points, checked against them; a batch may lack anything."""
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
                source.column(labels), source.n_samples, self.n_components, weights, complete=not is_batch
            )
        return annotations

    def _attributes(self, result, dtype):
        """The fitted attributes: float32 for float32 data, where it can hold them, else float64."""
        parameters = result.parameters
        dtype = np.float32 if dtype == np.float32 and parameters.fits_single else np.float64
        unfinished = {} if result.unfinished is None else {"_unfinished": result.unfinished}
        return {
            **unfinished,
            "weights_": parameters.weights.astype(dtype),
            "means_": parameters.means.astype(dtype),
            "covariances_": parameters.covariances.astype(dtype),
            "precisions_cholesky_": parameters.precisions_cholesky.astype(dtype),
            "precisions_": parameters.precisions().astype(dtype),
            "converged_": result.converged,
            "n_iter_": result.n_iter,
            "lower_bound_": result.lower_bound,
            "lower_bounds_": list(result.lower_bounds),
            "fit_report_": result.report,
        }

    def _set_result(self, result, dtype):
        for name in ("_unfinished", "_online", "prior_"):
            self.__dict__.pop(name, None)
        for name, value in self._attributes(result, dtype).items():
            setattr(self, name, value)

    def _set_fit(self, result, source, annotations):
        if not self._goes_on():
            self.__dict__.pop("component_names_", None)  # other components
        self._set_result(result, source.dtype)
        self.n_samples_seen_ = source.n_samples
        self._weight_seen = float(source.n_samples if annotations.weights is None else annotations.weights.sum())

    def __sklearn_is_fitted__(self):
        return hasattr(self, "means_")
