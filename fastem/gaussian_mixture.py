"""GaussianMixture: scikit-learn's estimator on fastem's passes."""

import math
import warnings
from numbers import Integral, Real

import numpy as np
from sklearn.base import _fit_context
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions

from . import em, kernels, search
from .base_mixture import BaseMixture
from .covariance import FAMILIES, Parameters
from .progress import CallbackTasks, PrintedLines, Progress
from .sources import as_source
from .threads import thread_limits
from .validation import check_finite, check_labels, check_matrices, check_means, check_sample_weight, check_weights


class GaussianMixture(BaseMixture):
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
    assignment : {'soft'}, default='soft'
        How points count in the M-step; 'soft': by their responsibilities.
    algorithm : {'auto', 'em'}, default='auto'
        'em': textbook iterates, equal to scikit-learn's from the same start. 'auto': ends at a point as good or
        better in fewer passes: starts tried and improved by splitting and merging components (Ueda et al. 2000) on
        samples where there are many points, then quasi-Newton steps (Jamshidian & Jennrich 1997), each undone where
        it leads lower, and a stop by the estimated remaining gain (Boehning et al. 1994).
    n_threads : int, default=None
        Most threads to use; None: Numba's current setting. The result doesn't depend on it.

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
        "assignment": [StrOptions({"soft"})],
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
        X : array-like of shape (n, D)
            Read in place where it is an array of numbers. At least `n_components` points.
        y : ignored
        sample_weight : array-like of shape (n,), default=None
            Non-negative multiplicity of each point.
        labels : array-like of int of shape (n,), default=None
            Each point's component, 0..n_components-1, where known: one M-step then is the whole fit.

        Returns
        -------
        self : GaussianMixture

        Raises
        ------
        ValueError
            Bad input, naming the argument; or a component that collapsed, naming it and the iteration. The
            estimator then is as it was before.
        """
        self._fit(X, y, sample_weight, labels)
        return self

    def fit_predict(self, X, y=None, sample_weight=None, labels=None):
        """Fit, then label each point with its most probable component; parameters as in `fit`.

        Returns
        -------
        labels : ndarray of shape (n,), int64
        """
        X = self._fit(X, y, sample_weight, labels)
        return self._evaluate(X, kernels.labels, np.empty(len(X), np.int64))

    @_fit_context(prefer_skip_nested_validation=True)
    def _fit(self, X, y, sample_weight, labels):
        """Fit and return the validated X; on any failure, an interrupt included, the estimator stays as it was."""
        inputs_before = {name: getattr(self, name, None) for name in ("n_features_in_", "feature_names_in_")}
        given_X = X
        try:
            X = self._validated(X, reset=True)
            source = as_source(X)
            weights, known = self._check_points(source, sample_weight, labels)
            settings = self._settings(source)
            check_finite(source, type(self).__name__)
            tasks = self._callback_tasks(given_X, y, X.dtype)
            with thread_limits(self.n_threads):
                result = self._run(source, settings, weights, known, tasks)
        except BaseException:
            for name, value in inputs_before.items():
                if value is not None:
                    setattr(self, name, value)
                elif hasattr(self, name):
                    delattr(self, name)
            raise
        if not result.converged and not result.stopped and self.max_iter > 0:
            warnings.warn(
                "Best performing initialization did not converge. Try different init parameters, or increase "
                "max_iter, tol, or check for degenerate data.",
                ConvergenceWarning,
                stacklevel=4,
            )
        self._set_result(result, X.dtype)
        for task in tasks:
            task.end_fit()
        return X

    def _run(self, source, settings, weights, known, tasks):
        family = FAMILIES[self.covariance_type]
        lines = [PrintedLines(self.verbose, self.verbose_interval)] if self.verbose else []
        progress = Progress(*lines, *tasks)
        if known is not None:
            return em.fit_known(source, family, settings, known, weights)
        if self._goes_on():
            start = self._warm_start(source)
            return search.go_on(source, start, settings, self.lower_bound_, weights=weights, progress=progress)
        fit = em.fit if self.algorithm == "em" else search.fit
        return fit(source, family, settings, check_random_state(self.random_state), weights=weights, progress=progress)

    def _callback_tasks(self, X, y, dtype):
        """A list with what calls scikit-learn's callbacks; empty, and free of cost, where none are set."""
        if not getattr(self, "_skl_callbacks", None):
            return []
        return [
            CallbackTasks(
                self,
                X,
                y,
                max_iter=self.max_iter,
                n_init=self.n_init if self.algorithm == "em" and not self._goes_on() else 1,
                attributes=lambda result: self._attributes(result, dtype),
            )
        ]

    def _goes_on(self):
        return self.warm_start and hasattr(self, "converged_")

    def _warm_start(self, source):
        family = FAMILIES[self.covariance_type]
        fitted = self.means_.shape
        if fitted != (self.n_components, source.n_features) or self.covariances_.shape != family.shape(*fitted):
            raise ValueError(
                f"warm_start=True goes on from the previous fit, which has n_components={fitted[0]}, "
                f"{fitted[1]} features and covariances_ of shape {self.covariances_.shape}; now "
                f"n_components={self.n_components}, covariance_type={self.covariance_type!r} and X has "
                f"{source.n_features} features. Set warm_start=False to start anew."
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
            init=(
                None if weights is None else check_weights(weights, self.n_components),
                None if means is None else check_means(means, *shape),
                None if precisions is None else check_matrices(precisions, family, *shape, "precision"),
            ),
        )

    def _check_points(self, source, sample_weight, labels):
        """Sample weights and labels, checked against the points; None where not given."""
        if source.n_samples < self.n_components:
            raise ValueError(
                f"Expected n_samples >= n_components but got n_components = {self.n_components}, "
                f"n_samples = {source.n_samples}"
            )
        weights = check_sample_weight(sample_weight, source.X, self.n_components)
        known = None if labels is None else check_labels(labels, source.n_samples, self.n_components)
        return weights, known

    def _attributes(self, result, dtype):
        """The fitted attributes: float32 for float32 data, else float64."""
        dtype = np.float32 if dtype == np.float32 else np.float64
        parameters = result.parameters
        return {
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
        for name, value in self._attributes(result, dtype).items():
            setattr(self, name, value)

    def bic(self, X):
        """Bayesian information criterion on X (Schwarz 1978), nats times -2: the lower the better."""
        n_samples, total = self._total_log_likelihood(X)
        return -2 * total + self._n_parameters() * math.log(n_samples)

    def aic(self, X):
        """Akaike information criterion on X (Akaike 1974), nats times -2: the lower the better."""
        _, total = self._total_log_likelihood(X)
        return -2 * total + 2 * self._n_parameters()

    def _n_parameters(self):
        return self._parameters().n_free

    def _total_log_likelihood(self, X):
        log_likelihoods = self.score_samples(X)
        return len(log_likelihoods), float(np.sum(log_likelihoods, dtype=np.float64))
