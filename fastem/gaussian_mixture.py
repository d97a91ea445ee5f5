"""GaussianMixture: scikit-learn's estimator on fastem's passes."""

import math
import warnings
from contextlib import contextmanager
from dataclasses import replace
from numbers import Integral, Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from . import em, kernels, search
from .base_mixture import BaseMixture
from .callback_protocol import callbacks_torn_down
from .covariance import FAMILIES, Parameters
from .known import Known
from .progress import CallbackTasks, PrintedLines, Progress
from .sources import ArraySource, SourceError
from .sources.array import in_memory
from .streaming import StreamingMixin
from .threads import thread_limits
from .validation import check_labels, check_matrices, check_means, check_sample_weight, check_weights

# Points that take no more are held in memory, wherever they come from: a search for a start would take as many.
_SMALL = 16 << 20


class GaussianMixture(StreamingMixin, BaseMixture):
    """Gaussian mixture fitted by Expectation-Maximization: a drop-in for `sklearn.mixture.GaussianMixture`.

    One fused parallel pass over the points an iteration; beside the data a fit needs some tens of MiB, whatever
    their number. Arrays of any real dtype and layout, memory-mapped ones included, are read in place.

    Parameters
    ----------
    n_components : int, default=1
        Number of Gaussians, K.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        A covariance matrix for each component; one for all; a variance for each component and feature; a variance
        for each component.
    tol : float, default=1e-3
        Mean log-likelihood (nats per unit of sample weight) that is too little to go on for. 'auto' stops when the
        estimated remaining gain and the last iteration's change are both below; 'em', as scikit-learn does, when the
        last iteration's change is.
    reg_covar : float, default=1e-6
        Added to every variance in each M-step, in squared units of the data.
    max_iter : int, default=100
        Most iterations over all the points; 0 returns the start. Passes over samples and rejected steps don't count.
    n_init : int, default=1
        Number of starts; the best result is kept. 'auto' tries the others on its first sample and follows the best
        two, 'em' follows each to its end.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, default='kmeans'
        How a start is found. 'kmeans': k-means on (a sample of) the data, once as they are and once with features
        of unit variance, whichever leads further; for 'auto' also twice as many seeds as components, fitted and then
        merged. 'k-means++' and 'random_from_data': means at data points. 'random': random responsibilities.
    weights_init : array-like of shape (n_components,), default=None
    means_init : array-like of shape (n_components, n_features), default=None
    precisions_init : array-like, default=None
        Start values of the user's own, any of the three, in the shapes of the fitted attributes. With any of them no
        other start is tried.
    random_state : int, RandomState or None, default=None
    warm_start : bool, default=False
        Start from the previous fit's result where there is one; n_init is then ignored.
    verbose : int, default=0
        1 prints starts, samples and iterations, 2 also times and changes.
    verbose_interval : int, default=10
        Every how many iterations to print.
    assignment : {'soft', 'hard', 'stochastic'}, default='soft'
        How points count in the M-step, and by that what is maximised, of which `lower_bounds_` is the trace.
        'soft': by their responsibilities; EM, the mean log-likelihood. 'hard': for their most probable component
        alone; classification EM (Celeux & Govaert 1992), the mean of log(weight_k N(x; mean_k, covariance_k)), k that
        component: it never falls. 'stochastic': for a component drawn by their responsibilities (Celeux & Diebolt
        1985); nothing is maximised step by step, the mean log-likelihood wanders, and the mixture with the highest met
        is kept: `lower_bound_`. It ends when that hasn't risen by `tol` in 30 iterations. The last two make no search
        and take no quasi-Newton steps.
    algorithm : {'auto', 'em'}, default='auto'
        'em': textbook iterates, equal to scikit-learn's from the same start. 'auto': ends at a point as good or
        better in fewer passes: starts tried and improved by splitting and merging components (Ueda et al. 2000) on
        samples where there are many points, then quasi-Newton steps (Jamshidian & Jennrich 1997), each undone where
        it leads lower, and a stop by the estimated remaining gain (Boehning et al. 1994).
    n_threads : int, default=None
        Most threads to use; None: Numba's current setting. The result doesn't depend on it.
    forgetting : float, default=0.3
        How fast `partial_fit` lets earlier points fade. After W points as many count as
        first ** forgetting * W ** (1 - forgetting), first being the points that the mixture was fitted to at first,
        whatever the size of the batches. 0: all, each with the responsibilities that it had when it came. Below 0.5 the
        mixture of an endless stream settles (Cappe & Moulines 2009); above, it goes on following what changes.
        1: no earlier ones at all, each batch is a step of EM on itself.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Shares, summing to 1.
    means_ : ndarray of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Covariances, their inverses, and upper triangular U with precision = U U'. Shape (K, D, D) for 'full', (D, D)
        for 'tied', (K, D) for 'diag', (K,) for 'spherical'.
    converged_ : bool
        Whether the kept run met `tol`.
    n_iter_ : int
        Iterations of the kept run over all the points.
    lower_bound_ : float
        Mean log-likelihood (nats per unit of sample weight) before the last M-step.
    lower_bounds_ : list of float
        The same of every iteration of the kept run; with 'auto' none is lower than the one before.
    fit_report_ : FitReport
        What was done on which points, by which steps, in how many seconds; `print` it. `remaining_gain` is the
        estimate of what `lower_bound_` still lacks to its (local) maximum, `starts` what each start reached.
    n_samples_seen_ : int
        Points taken in by `fit`, and by `partial_fit` since.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Where X has feature names that are all strings.

    Notes
    -----
    float32 data give float32 parameters; all sums are in float64. Formulas: Bishop 2006, section 9.2.2.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = GaussianMixture(2, random_state=0).fit(X)
    >>> model.means_.round(1)
    array([[ 4.3, 80. ],
           [ 2. , 54.5]])
    """

    _parameter_constraints: dict = {
        "n_components": [Interval(Integral, 1, None, closed="left")],
        "covariance_type": [StrOptions({"full", "tied", "diag", "spherical"})],
        "tol": [Interval(Real, 0.0, None, closed="left")],
        "reg_covar": [Interval(Real, 0.0, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left")],
        "n_init": [Interval(Integral, 1, None, closed="left")],
        "init_params": [StrOptions({"kmeans", "random", "random_from_data", "k-means++"})],
        "weights_init": ["array-like", None],
        "means_init": ["array-like", None],
        "precisions_init": ["array-like", None],
        "random_state": ["random_state"],
        "warm_start": ["boolean"],
        "verbose": ["verbose"],
        "verbose_interval": [Interval(Integral, 1, None, closed="left")],
        "assignment": [StrOptions({"soft", "hard", "stochastic"})],
        "forgetting": [Interval(Real, 0.0, 1.0, closed="both")],
        "algorithm": [StrOptions({"auto", "em"})],
        "n_threads": [Interval(Integral, 1, None, closed="left"), None],
    }

    def __init__(
        self,
        n_components=1,
        *,
        covariance_type="full",
        tol=1e-3,
        reg_covar=1e-6,
        max_iter=100,
        n_init=1,
        init_params="kmeans",
        weights_init=None,
        means_init=None,
        precisions_init=None,
        random_state=None,
        warm_start=False,
        verbose=0,
        verbose_interval=10,
        assignment="soft",
        algorithm="auto",
        n_threads=None,
        forgetting=0.3,
    ):
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weights_init = weights_init
        self.means_init = means_init
        self.precisions_init = precisions_init
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.assignment = assignment
        self.algorithm = algorithm
        self.n_threads = n_threads
        self.forgetting = forgetting

    @classmethod
    def from_parameters(cls, weights, means, covariances, *, covariance_type="full", **params):
        """A fitted model from known numbers, ready to predict, score, sample, or go on from with `warm_start`.

        Parameters
        ----------
        weights : array-like of shape (K,)
            Summing to 1.
        means : array-like of shape (K, D)
        covariances : array-like
            In the shape of `covariances_`, symmetric positive definite.
        covariance_type : {'full', 'tied', 'diag', 'spherical'}
        **params
            Further constructor arguments.

        Returns
        -------
        model : GaussianMixture
            With `n_iter_` 0, `converged_` False and `lower_bound_` -inf: nothing was fitted.

        Raises
        ------
        ValueError
            Where shapes disagree, weights don't sum to 1 or a covariance isn't positive definite.
        """
        means = np.asarray(means, dtype=np.float64)
        if means.ndim != 2:
            raise ValueError(f"means should have the shape (n_components, n_features), but got {means.shape}")
        n_components, n_features = means.shape
        model = cls(n_components, covariance_type=covariance_type, **params)
        model._validate_params()
        family = FAMILIES[covariance_type]
        weights = check_weights(weights, n_components, "weights")
        means = check_means(means, n_components, n_features, "means")
        covariances = check_matrices(covariances, family, n_components, n_features, "covariances")
        factors = family.precisions_cholesky(covariances)
        model.n_features_in_ = n_features
        model._set_result(em.EMResult(Parameters(family, weights, means, covariances, factors)), np.float64)
        return model

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
        labels : array-like of int of shape (n,) or of float of shape (n, n_components), default=None
            Each point's component, 0..n_components-1, where known, -1 where not. Known points count for their
            component alone; components without any are free. Where all are known, one M-step is the whole fit.
            As floats: allowed responsibilities, by which each E-step's are multiplied before they are normalised (and
            `lower_bound_` is as much lower as rows sum to less than 1). The name of a column where X is Parquet.

        Returns
        -------
        self : GaussianMixture

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
            return self._of_source(source, kernels.labels, np.int64)
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
                source = self._source(X, reset=True, aside=(sample_weight, labels), least=2)
                self._scan(source, reset=True)
                known = self._known(source, sample_weight, labels)
                if not isinstance(source, ArraySource) and source.nbytes <= _SMALL:
                    source = in_memory(source)
                settings = self._settings(source)
                tasks = self._callback_tasks(X, y, source)
                try:
                    with thread_limits(self.n_threads):
                        result = self._run(source, settings, known, tasks)
                except SourceError as error:
                    if error.result is not None:
                        self._set_fit(error.result, source, known)
                    raise
            if not result.converged and not result.stopped and self.max_iter > 0:
                warnings.warn(
                    "Best performing initialization did not converge. Try different init parameters, or increase "
                    "max_iter, tol, or check for degenerate data.",
                    ConvergenceWarning,
                    stacklevel=4,
                )
            self._set_fit(result, source, known)
            for task in tasks:
                task.end_fit()
            return source

    def _run(self, source, settings, known, tasks):
        family = FAMILIES[self.covariance_type]
        lines = [PrintedLines(self.verbose, self.verbose_interval)] if self.verbose else []
        progress = Progress(*lines, *tasks)
        if known.says_all:
            return em.fit_known(source, family, settings, known)
        if self._goes_on():
            start = self._warm_start(source)
            unfinished = getattr(self, "_unfinished", None)
            if unfinished is not None and unfinished.n_samples != source.n_samples:
                unfinished = None  # other points
            return em.go_on(
                source, start, settings, self.lower_bound_, known=known, unfinished=unfinished, progress=progress
            )
        random_state = check_random_state(self.random_state)
        return search.fit(source, family, settings, random_state, known=known, progress=progress)

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
        family = FAMILIES[self.covariance_type]
        shape = self.n_components, source.n_features
        weights, means, precisions = self.weights_init, self.means_init, self.precisions_init
        return em.Settings(
            n_components=self.n_components,
            tol=self.tol,
            reg_covar=self.reg_covar,
            max_iter=self.max_iter,
            n_init=self.n_init,
            init_params=self.init_params,
            accelerated=self.algorithm == "auto",
            assignment=self.assignment,
            init=(
                None if weights is None else check_weights(weights, self.n_components),
                None if means is None else check_means(means, *shape),
                None if precisions is None else check_matrices(precisions, family, *shape, "precision"),
            ),
        )

    def _known(self, source, sample_weight, labels, is_batch=False):
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
        weights = check_sample_weight(source.column(sample_weight), source.n_samples, least, rescale=not is_batch)
        known = Known(weights)
        if labels is not None:
            known = check_labels(
                source.column(labels), source.n_samples, self.n_components, weights, complete=not is_batch
            )
        return replace(known, assignment=self.assignment)

    def _attributes(self, result, dtype):
        """The fitted attributes: float32 for float32 data, else float64."""
        dtype = np.float32 if dtype == np.float32 else np.float64
        parameters = result.parameters
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
        for name in ("_unfinished", "_online"):
            self.__dict__.pop(name, None)
        for name, value in self._attributes(result, dtype).items():
            setattr(self, name, value)

    def _set_fit(self, result, source, known):
        self._set_result(result, source.dtype)
        self.n_samples_seen_ = source.n_samples
        self._weight_seen = float(source.n_samples if known.weights is None else known.weights.sum())

    def __sklearn_is_fitted__(self):
        return hasattr(self, "means_")

    def bic(self, X, sample_weight=None):
        """Bayesian information criterion on X (Schwarz 1978), nats times -2: the lower the better.

        With weights their sum is the number of points, so it is that of repeated rows.
        """
        total, n_points = self._total_log_likelihood(X, sample_weight)
        return -2 * total + self._n_parameters() * math.log(n_points)

    def aic(self, X, sample_weight=None):
        """Akaike information criterion on X (Akaike 1974), nats times -2: the lower the better; weights as in `bic`."""
        total, _ = self._total_log_likelihood(X, sample_weight)
        return -2 * total + 2 * self._n_parameters()

    def icl(self, X, sample_weight=None):
        """Integrated completed likelihood on X (Biernacki, Celeux & Govaert 2000, eq. 10), nats times -2.

        `bic` with the likelihood of the points and their most probable labels together in place of the points' alone:
        it prefers components that don't overlap. The lower the better; weights as in `bic`.
        """
        total, n_points = self._total_log_likelihood(X, sample_weight, assignment="hard")
        return -2 * total + self._n_parameters() * math.log(n_points)

    def _n_parameters(self):
        return self._parameters().n_free
