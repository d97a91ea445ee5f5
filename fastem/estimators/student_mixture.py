"""StudentTMixture: mixtures of multivariate t distributions, for data with outliers or heavy tails."""

from __future__ import annotations

from dataclasses import replace
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from ..fitting import em
from ..model import student_conditioning
from ..model.checks import check_shape
from ..model.families import FAMILIES, STANDARD
from ..model.families.degrees_of_freedom import MOST
from ..model.families.student import StudentFamily, StudentParameters
from .maximum_likelihood import MaximumLikelihoodMixture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn, Self

    from numpy.typing import ArrayLike, NDArray


class StudentTMixture(MaximumLikelihoodMixture):
    """Mixture of multivariate Student-t distributions, fitted by Expectation-Maximization (Peel & McLachlan 2000).

    The tails of a t distribution are heavier than a Gaussian's, the more so the fewer its degrees of freedom nu. Far
    points get the small weight (nu + D) / (nu + squared distance) in means and scales, so outliers hardly move these. A
    Gaussian mixture gives outliers components of their own, or widens others. Use, sources and speed are those of
    `GaussianMixture`: an iteration takes 1.2 to 1.7 times as long.

    Parameters
    ----------
    n_components : int, default=1
        Number of t distributions, K.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}, default='full'
        Form of the scales, as of the covariances of `GaussianMixture`.
    degrees_of_freedom : float, array-like of shape (n_components,), 'shared' or None, default=None
        None: estimated for each component. 'shared': one estimate for all, with fewer points more reliable. A number,
        or one for each component: fixed; infinity means Gaussian. If these differ, `init_params` alone makes the
        start, since components can't be merged and split.
    tol : float, default=1e-3
        Stop when the mean log-likelihood per point is expected to rise by less than this (nats), as in
        `GaussianMixture`.
    reg_covar : float, default=1e-6
        Added to the diagonal of every scale in each M-step, in squared units of the data.
    max_iter : int, default=100
        Most iterations over all the points; 0 returns the start.
    n_init : int, default=1
        Number of starts; the best result is kept.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, default='kmeans'
        How a start is found, as for `GaussianMixture`.
    weights_init : array-like of shape (n_components,), default=None
    means_init : array-like of shape (n_components, n_features), default=None
    precisions_init : array-like, default=None
        The user's start values: any of the three; precisions are inverse scales, in their shape. Degrees of freedom
        that are estimated start at 10; with `from_parameters` and `warm_start=True` they start anywhere.
    random_state : int, RandomState or None, default=None
    warm_start : bool, default=False
        Start from the previous fit's result, if there is one; n_init is then ignored.
    verbose : int, default=0
        1 prints starts, samples and iterations, 2 also times and changes.
    verbose_interval : int, default=10
        Number of iterations between two printed ones.
    assignment : {'soft', 'hard', 'stochastic'}, default='soft'
        How points count in the M-step: by their responsibilities, only for their most probable component, or only for
        one component that is drawn.
    algorithm : {'auto', 'em'}, default='auto'
        'em': the ECM algorithm as published (Peel & McLachlan 2000, section 4; Liu & Rubin 1995). 'auto': a search for
        the start, as in `GaussianMixture`, then iterations of parameter-expanded EM (Liu, Rubin & Wu 1998), which rise
        faster, and longer steps wherever these reach a higher likelihood.
    n_threads : int, default=None
        Most threads to use; None: Numba's current setting. The result doesn't depend on it.
    forgetting : float, default=0.3
        How fast earlier points fade in `partial_fit`, as for `GaussianMixture`.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Mixing weights, which sum to 1.
    means_ : ndarray of shape (n_components, n_features)
        Locations; they are means if there are more than 1 degrees of freedom.
    scales_ : ndarray
        Scale matrices, in the shape of `covariances_` of `GaussianMixture`: (K, D, D) for 'full', (D, D) for 'tied',
        (K, D) for 'diag' and (K,) for 'spherical', the last two in squared units, too. The covariance of a component is
        its scale times nu / (nu - 2), if nu > 2.
    degrees_of_freedom_ : ndarray of shape (n_components,)
        Estimates lie between 0.01 and 1e6. At 1e6 a component is Gaussian: so it ends if the data's tails are no
        heavier.
    precisions_, precisions_cholesky_ : ndarray
        Inverses of the scales, and upper triangular U with inverse scale = U U'.
    converged_, n_iter_, lower_bound_, lower_bounds_, fit_report_, n_samples_seen_, n_features_in_, feature_names_in_
        As for `GaussianMixture`.

    Warns
    -----
    DegenerateFitWarning
        If `reg_covar` or too few points, not the data, decide on a scale or a feature, as for `GaussianMixture`.
    ConvergenceWarning
        If `max_iter` ends the fit.

    Notes
    -----
    The density of a component (Kotz & Nadarajah 2004, eq. 1.1), with delta = (x - mean)' scale**-1 (x - mean):

        Gamma((nu + D) / 2) / (Gamma(nu / 2) (nu pi)**(D / 2) |scale|**(1 / 2)) (1 + delta / nu)**(-(nu + D) / 2)

    Values may not be missing. With labels for all points the fit is a run of EM, not a single M-step.

    Examples
    --------
    >>> import numpy as np
    >>> from fastem import StudentTMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> outliers = np.random.default_rng(0).uniform([0, 0], [10, 150], size=(14, 2))
    >>> model = StudentTMixture(2, random_state=0).fit(np.vstack([X, outliers]))
    >>> model.means_.round(1)
    array([[ 2. , 54.2],
           [ 4.3, 79.9]])
    """

    _parameter_constraints: dict = {
        **MaximumLikelihoodMixture._parameter_constraints,
        "covariance_type": [StrOptions(set(STANDARD))],
        "degrees_of_freedom": [Interval(Real, 0.0, np.inf, closed="right"), "array-like", StrOptions({"shared"}), None],
    }
    _covariances = "scales_"

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
        degrees_of_freedom: float | ArrayLike | str | None = None,
        tol: float = 1e-3,
        reg_covar: float = 1e-6,
        max_iter: int = 100,
        n_init: int = 1,
        init_params: str = "kmeans",
        weights_init: ArrayLike | None = None,
        means_init: ArrayLike | None = None,
        precisions_init: ArrayLike | None = None,
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
        self.degrees_of_freedom = degrees_of_freedom
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
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        scales: ArrayLike,
        degrees_of_freedom: ArrayLike | float,
        *,
        covariance_type: str = "full",
        **params: Any,
    ) -> Self:
        """Make a fitted model from known parameters. It can predict, score and sample, or go on by `warm_start`.

        Parameters
        ----------
        weights : array-like of shape (K,)
            Summing to 1.
        means : array-like of shape (K, D)
        scales : array-like
            In the shape of `scales_`, symmetric positive definite.
        degrees_of_freedom : float, or array-like of shape (K,)
            `degrees_of_freedom_` of the model. A fit that goes on from it estimates them anew; to fix them, set the
            constructor's argument of that name by `set_params`.
        covariance_type : str, default='full'
            As in the constructor.
        **params
            Further constructor arguments.

        Returns
        -------
        model : StudentTMixture
            With `n_iter_` 0, `converged_` False and `lower_bound_` -inf, as nothing was fitted.

        Raises
        ------
        ValueError
            If shapes disagree, weights don't sum to 1, a scale isn't positive definite or a number of degrees of
            freedom isn't positive.

        Examples
        --------
        >>> from fastem import StudentTMixture
        >>> model = StudentTMixture.from_parameters([0.4, 0.6], [[0.0], [5.0]], [[[1.0]], [[4.0]]], [3.0, 10.0])
        >>> model.predict([[1.0], [3.0]])
        array([0, 1])
        """
        model, gaussian = cls._given(weights, means, scales, "scales", covariance_type, params)
        n_components = model.n_components
        degrees = np.array(np.broadcast_to(_checked(degrees_of_freedom, n_components), n_components))
        arrays = gaussian.weights, gaussian.means, gaussian.covariances, gaussian.precisions_cholesky
        parameters = StudentParameters(model._fitted_family(), *arrays, degrees)
        model._set_result(em.EMResult(parameters), np.float64)
        return model

    # -- fitting ------------------------------------------------------------------------------------------------------

    def _family(self, source, annotations):
        return self._fitted_family()

    def _fitted_family(self):
        degrees = self.degrees_of_freedom
        if degrees is not None and not isinstance(degrees, str):
            degrees = _checked(degrees, self.n_components)
            degrees = degrees if len(np.unique(degrees)) > 1 else np.array(degrees.flat[0])
        return StudentFamily(FAMILIES[self.covariance_type], degrees, is_expanded=self._is_accelerated)

    def _warm_start(self, source, *args, **kwargs):
        parameters = super()._warm_start(source, *args, **kwargs)
        degrees, family = np.minimum(parameters.degrees_of_freedom, MOST), parameters.family
        if isinstance(family.degrees_of_freedom, np.ndarray):
            degrees = np.broadcast_to(family.degrees_of_freedom, degrees.shape)
        return replace(parameters, degrees_of_freedom=degrees)

    def _parameters(self):
        self._check_covariance_type()
        arrays = self.weights_, self.means_, self.scales_, self._factors()
        return StudentParameters(self._fitted_family(), *arrays, self.degrees_of_freedom_)

    def _attributes(self, result, dtype):
        attributes = super()._attributes(result, dtype)
        degrees = result.parameters.degrees_of_freedom.astype(attributes["weights_"].dtype)
        return {**attributes, "degrees_of_freedom_": degrees}

    def _params_that_count(self):
        return *super()._params_that_count(), repr(self.degrees_of_freedom), self.algorithm

    # -- use ----------------------------------------------------------------------------------------------------------

    @property
    def _tails(self):
        return self.degrees_of_freedom_

    @property
    def _form(self):
        return f"Student-t, {self.covariance_type} scale"

    def _drawn(self, rng, k, n_samples):
        offsets = super()._drawn(rng, k, n_samples) - self.means_[k]
        degrees = float(self.degrees_of_freedom_[k])
        if np.isfinite(degrees):
            offsets *= np.sqrt(degrees / rng.chisquare(degrees, size=(n_samples, 1)))
        return self.means_[k] + offsets

    def component_log_densities(self, X: ArrayLike) -> NDArray[np.float64]:
        """Log-density of each component at each point, without the components' weights.

        Parameters
        ----------
        X : array-like of shape (n, D)

        Returns
        -------
        log_densities : ndarray of shape (n, K), float64, nats

        Examples
        --------
        >>> from fastem import StudentTMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> model = StudentTMixture(2, random_state=0).fit(X)
        >>> model.component_log_densities([[3.0, 70.0]]).round(1)
        array([[-7.7, -9.4]])
        """
        check_is_fitted(self)
        X = validate_data(self, X, reset=False, dtype=np.float64)
        return student_conditioning.component_log_densities(self._parameters(), X)

    def sorted(self, by: str | int | Sequence[int] = "weight") -> Self:
        order, model = self._order(by), super().sorted(by)
        degrees = self.degrees_of_freedom
        if np.ndim(degrees):  # one for each component
            model.degrees_of_freedom = np.asarray(degrees)[order]
        return model

    sorted.__doc__ = MaximumLikelihoodMixture.sorted.__doc__

    _marginal = staticmethod(student_conditioning.marginal)
    _conditional = staticmethod(student_conditioning.conditional)

    def _over(self, parameters, indices):
        model = StudentTMixture.from_parameters(
            parameters.weights,
            parameters.means,
            parameters.covariances,
            parameters.degrees_of_freedom,
            covariance_type=parameters.family.name,
            random_state=self.random_state,
            n_threads=self.n_threads,
        )
        return self._named(model, indices)

    def impute(self, X: ArrayLike, **kwargs: Any) -> NoReturn:
        """Not supported: raises NotImplementedError."""
        raise NotImplementedError(
            "StudentTMixture can't fill in missing values: use GaussianMixture(missing='em') for that"
        )

    def to_sklearn(self) -> NoReturn:
        """Not supported: raises TypeError."""
        raise TypeError("scikit-learn has no mixture of t distributions, so a StudentTMixture can't be converted")

    @classmethod
    def from_sklearn(cls, model: Any, **params: Any) -> NoReturn:
        """Not supported: raises TypeError."""
        raise TypeError("scikit-learn has no mixture of t distributions: convert it to a GaussianMixture")


def _checked(degrees, n_components):
    """Degrees of freedom, positive, of shape () or (K,), float64."""
    try:
        values = np.array(degrees, dtype=np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"degrees_of_freedom should be numbers above 0, but got {degrees!r}") from None
    if values.ndim:
        check_shape(values, (n_components,), "degrees_of_freedom")
    if not (values > 0).all():
        raise ValueError(f"degrees_of_freedom should be above 0, but got {degrees!r}")
    return values
