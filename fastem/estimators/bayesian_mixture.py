"""BayesianGaussianMixture: scikit-learn's variational estimator on fastem's passes."""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..fitting import plain, posterior_search
from ..fitting.start_points import moments
from ..model.checks import check_shape
from ..model.families import FAMILIES
from ..model.priors.variational import Posterior, Priors, VariationalFamily, n_effective
from .em_mixture import EMMixture
from .validation import check_matrices, check_vector

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


# Smallest eigenvalue of the features' correlation matrix below which these count as linearly dependent.
_SINGULAR = 1e-12


class BayesianGaussianMixture(EMMixture):
    """Variational Bayesian Gaussian mixture: a drop-in for `sklearn.mixture.BayesianGaussianMixture`.

    The prior on the weights prefers few components, so `n_components` is an upper bound of their number. Iterations of
    variational Bayes alone empty only components that overlap others; with about ten features or more they usually
    empty none. algorithm='auto' therefore also merges, deletes and splits components, and empties those without which
    the evidence's lower bound is higher. Sources and speed are those of `GaussianMixture`, as the passes are the same.

    Parameters
    ----------
    n_components : int, default=1
        Largest number of Gaussians, K.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        As for `GaussianMixture`.
    tol : float, default=1e-3
        Stop when `lower_bound_` changes by less than this (nats in all, not per point), as in scikit-learn.
    reg_covar : float, default=1e-6
        Added to every variance in each M-step, in squared units of the data.
    max_iter : int, default=100
        Most iterations over all the points; 0 returns the start.
    n_init : int, default=1
        Number of starts; the best result is kept.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, default='kmeans'
        How a start is found, as for `GaussianMixture`.
    weight_concentration_prior_type : {'dirichlet_process', 'dirichlet_distribution'}, default='dirichlet_process'
        Prior of the weights: a Dirichlet process, by stick breaking (Blei & Jordan 2006), or a symmetric Dirichlet
        distribution.
    weight_concentration_prior : float, default=None
        Concentration of this prior; the lower, the fewer components. None: 1 / n_components.
    mean_precision_prior : float, default=None
        Number of points that the prior of each mean counts for. None: 1.
    mean_prior : array-like of shape (n_features,), default=None
        None: the mean of X.
    degrees_of_freedom_prior : float, default=None
        Degrees of freedom of the precisions' Wishart distribution, above n_features - 1. None: n_features.
    covariance_prior : float or array-like, default=None
        Scatter that the prior adds to that of each component, in the shape of one covariance. None: the covariance of
        X, for 'diag' its variances, for 'spherical' their mean. If it is singular, algorithm='auto' adds reg_covar to
        its diagonal, as every component's prior has to be positive definite.
    random_state : int, RandomState or None, default=None
    warm_start : bool, default=False
        Start from the previous fit's result, if there is one.
    verbose : int, default=0
        1 prints starts, samples and iterations, 2 also times and changes.
    verbose_interval : int, default=10
        Number of iterations between two printed ones.
    assignment : {'soft', 'hard', 'stochastic'}, default='soft'
        How points count in the M-step: by their responsibilities, only for their most probable component, or only for
        one component that is drawn.
    algorithm : {'auto', 'em'}, default='auto'
        'em': the same iterations as scikit-learn's from the same start. 'auto' works in three steps, the first two on
        a sample (weighted to stand for all the points) if there are many points:

        1. It runs from scikit-learn's start and from a mixture found by the search of `GaussianMixture`, and keeps the
           posterior with the higher bound.
        2. It merges pairs of components, deletes single ones, and splits all and merges again (Ghahramani & Beal 2000;
           Hughes & Sudderth 2013, 'Memoized online variational inference for Dirichlet process mixture models'). It
           keeps what raises `evidence_lower_bound_`; a change that doesn't lower the number of components has to raise
           `lower_bound_`, too. This finds better posteriors, but not always the best one.
        3. It extrapolates steps over all the points, and undoes those that lower the bound. It stops when the
           estimated remaining gain is also below `tol`. `lower_bounds_` are of these iterations.

        For a Dirichlet process the components are then in the order of their weights.
    n_threads : int, default=None
        Most threads to use; None: Numba's current setting. The result doesn't depend on it.
    forgetting : float, default=0.3
        How fast earlier points fade in `partial_fit`, as for `GaussianMixture`. The faded statistics are scaled to the
        number of points seen (streaming variational Bayes; Hoffman et al. 2013), so the posterior is that of so many
        points.

    Attributes
    ----------
    weights_, means_ : ndarray of shape (n_components,), (n_components, n_features)
        Expected values.
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Precisions are expected values, covariances their inverses. Shapes are as for `GaussianMixture`.
    n_components_effective_ : int
        Number of components whose expected number of points is at least 1.
    converged_, n_iter_, fit_report_, n_samples_seen_, n_features_in_, feature_names_in_
        As for `GaussianMixture`.
    lower_bound_ : float
        scikit-learn's lower bound, nats in all. It leaves out terms that are constant for given K and prior.
    lower_bounds_ : list of float
        `lower_bound_` of every iteration.
    evidence_lower_bound_ : float
        Lower bound of the log-evidence of X, nats in all, with all terms (Bishop 2006, eqs. 10.70 to 10.77). It can
        compare numbers of components, covariance types and priors. NaN before the first iteration and after
        `partial_fit`; meaningless if `covariance_prior_` is singular.
    weight_concentration_ : tuple of two ndarrays of shape (n_components,), or ndarray
        Parameters of the beta distributions of the sticks, or of the Dirichlet distribution.
    mean_precision_ : ndarray of shape (n_components,)
    degrees_of_freedom_ : ndarray of shape (n_components,), or float for 'tied'
    weight_concentration_prior_, mean_precision_prior_, mean_prior_, degrees_of_freedom_prior_, covariance_prior_
        The priors that were used.

    Notes
    -----
    Sample weights are counts of points here: doubling them doubles the evidence against the prior.
    With few points the default priors, among them the covariance of all points, make the evidence prefer fewer
    components than there are. Up to 4,000 points, components are therefore removed only if the evidence gains at least
    three times what the log-likelihood of left-out points loses. `select` still chooses better with so few points.
    `score_samples` is the expected log-density, as in scikit-learn, not the logarithm of a density.

    Examples
    --------
    >>> from fastem import BayesianGaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = BayesianGaussianMixture(n_components=8, max_iter=1000, random_state=0).fit(X)
    >>> model.n_components_effective_
    2
    """

    _bound = "lower bound, nats"
    _counts_weights = True

    _parameter_constraints: dict = {
        **EMMixture._parameter_constraints,
        "weight_concentration_prior_type": [StrOptions({"dirichlet_process", "dirichlet_distribution"})],
        "weight_concentration_prior": [None, Interval(Real, 0.0, None, closed="neither")],
        "mean_precision_prior": [None, Interval(Real, 0.0, None, closed="neither")],
        "mean_prior": [None, "array-like"],
        "degrees_of_freedom_prior": [None, Interval(Real, 0.0, None, closed="neither")],
        "covariance_prior": [None, "array-like", Interval(Real, 0.0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        n_components: int = 1,
        covariance_type: str = "full",
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weight_concentration_prior_type: str = "dirichlet_process",
        weight_concentration_prior: float | None = None,
        mean_precision_prior: float | None = None,
        mean_prior: ArrayLike | None = None,
        degrees_of_freedom_prior: float | None = None,
        covariance_prior: ArrayLike | None = None,
        random_state: int | np.random.RandomState | None = None,
        warm_start: bool = False,
        verbose: int = 0,
        verbose_interval: int = 10,
        assignment: str = "soft",
        algorithm: str = "auto",
        n_threads: int | None = None,
        forgetting: float = 0.3,
    ) -> None:
        self.n_components = n_components
        self.covariance_type = covariance_type
        self.tol = tol
        self.reg_covar = reg_covar
        self.max_iter = max_iter
        self.n_init = n_init
        self.init_params = init_params
        self.weight_concentration_prior_type = weight_concentration_prior_type
        self.weight_concentration_prior = weight_concentration_prior
        self.mean_precision_prior = mean_precision_prior
        self.mean_prior = mean_prior
        self.degrees_of_freedom_prior = degrees_of_freedom_prior
        self.covariance_prior = covariance_prior
        self.random_state = random_state
        self.warm_start = warm_start
        self.verbose = verbose
        self.verbose_interval = verbose_interval
        self.assignment = assignment
        self.algorithm = algorithm
        self.n_threads = n_threads
        self.forgetting = forgetting

    _is_accelerated = False

    @property
    def _search(self):
        return posterior_search.fit if self.algorithm == "auto" else plain.fit

    def _family(self, source, annotations):
        family, n_features = FAMILIES[self.covariance_type].with_conjugate_prior(), source.n_features
        degrees = n_features if self.degrees_of_freedom_prior is None else self.degrees_of_freedom_prior
        if degrees <= n_features - 1:
            raise ValueError(
                f"The parameter 'degrees_of_freedom_prior' should be greater than {n_features - 1}, "
                f"but got {degrees:.3f}."
            )
        mean, covariance = self._checked_priors(family, n_features)
        if mean is None or covariance is None:
            of_all, scatter = moments(source, family, annotations.weights)
            mean = of_all if mean is None else mean
            scatter = family.conjugate.of_data(scatter)
            covariance = self._covariance_of_data(scatter) if covariance is None else covariance
        concentration, precision = self.weight_concentration_prior, self.mean_precision_prior
        priors = Priors(
            is_process=self.weight_concentration_prior_type == "dirichlet_process",
            weight_concentration=1.0 / self.n_components if concentration is None else concentration,
            mean_precision=1.0 if precision is None else precision,
            mean=mean,
            degrees_of_freedom=degrees,
            covariance=covariance,
        )
        return VariationalFamily(family, priors)

    def _checked_priors(self, family, n_features):
        """The user's mean and covariance; None for each that isn't given."""
        mean = covariance = None
        if self.mean_prior is not None:
            mean = check_vector(self.mean_prior, n_features, "means")
        if self.covariance_prior is not None:
            covariance = np.asarray(self.covariance_prior, dtype=np.float64)
            check_shape(covariance, family.shape_of_one(n_features), f"{family.name} covariance_prior")
            check_matrices(covariance.reshape(family.shape(1, n_features)), family, 1, n_features, "precision")
        return mean, covariance

    def _covariance_of_data(self, covariance):
        """The default prior covariance: that of the data, with reg_covar added if it is singular (only for 'auto').

        A component without points has the prior's covariance, which has to be positive definite.
        """
        variances = np.diagonal(covariance) if covariance.ndim == 2 else np.atleast_1d(covariance)
        is_singular = not (variances > 0).all()
        if covariance.ndim == 2 and not is_singular:
            deviations = np.sqrt(variances)
            is_singular = np.linalg.eigvalsh(covariance / np.outer(deviations, deviations))[0] < _SINGULAR
        if self.algorithm == "em" or not is_singular:
            return covariance
        return covariance + self.reg_covar * (np.eye(len(covariance)) if covariance.ndim == 2 else 1.0)

    def _fitted_family(self):
        priors = Priors(
            is_process=isinstance(self.weight_concentration_, tuple),
            weight_concentration=self.weight_concentration_prior_,
            mean_precision=self.mean_precision_prior_,
            mean=self.mean_prior_,
            degrees_of_freedom=self.degrees_of_freedom_prior_,
            covariance=self.covariance_prior_,
        )
        return VariationalFamily(FAMILIES[self.covariance_type], priors)

    def _parameters(self):
        self._check_covariance_type()
        return Posterior(
            self._fitted_family(),
            self.weights_,
            self.means_,
            self.covariances_,
            self._factors(),
            np.asarray(self.weight_concentration_),
            self.mean_precision_,
            np.asarray(self.degrees_of_freedom_),
        )

    def _attributes(self, result, dtype):
        posterior, priors = result.parameters, result.parameters.family.priors
        concentration = posterior.weight_concentration
        return {
            **super()._attributes(result, dtype),
            "weight_concentration_": tuple(concentration) if priors.is_process else concentration,
            "mean_precision_": posterior.mean_precision,
            "degrees_of_freedom_": posterior.degrees_of_freedom[()],
            "n_components_effective_": n_effective(posterior.mass),
            "evidence_lower_bound_": posterior.evidence,
            "weight_concentration_prior_": priors.weight_concentration,
            "mean_precision_prior_": priors.mean_precision,
            "mean_prior_": priors.mean,
            "degrees_of_freedom_prior_": priors.degrees_of_freedom,
            "covariance_prior_": priors.covariance,
        }
