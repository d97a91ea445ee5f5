"""GaussianMixture: scikit-learn's estimator on fastem's passes."""

from __future__ import annotations

from dataclasses import asdict, replace
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from ..fitting import em
from ..fitting.noise import noise_of
from ..fitting.start_points import moments
from ..model.families import FAMILIES
from ..model.noise import Noise, NoisyFamily, noise_around
from ..model.priors.penalized import ConjugatePrior, PenalizedFamily, default_prior
from ..model.priors.shrunk import ShrunkFamily, with_shrinkage
from .maximum_likelihood import MaximumLikelihoodMixture
from .validation import check_prior

if TYPE_CHECKING:
    from typing import Any, Self

    from numpy.typing import ArrayLike


class GaussianMixture(MaximumLikelihoodMixture):
    """Gaussian mixture fitted by Expectation-Maximization: a drop-in for `sklearn.mixture.GaussianMixture`.

    Each iteration is one fused parallel pass over the points. Beside the data a fit needs some tens of MiB, whatever
    the number of points. Arrays of any real dtype and layout, memory-mapped ones included, are read in place.

    Parameters
    ----------
    n_components : int, default=1
        Number of Gaussians, K.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'factors'}, or one of mclust's codes, default='full'
        'full': a covariance matrix for each component; 'tied': one matrix for all components; 'diag': a variance for
        each component and feature; 'spherical': a variance for each component; 'factors': loadings of `n_factors`
        common factors and a noise variance for each feature, in each component (mixture of factor analyzers,
        Ghahramani & Hinton 1996), for 50 to 3,000 features.
        mclust's codes (Celeux & Govaert 1995) say whether volume, shape and axes of the covariances are Equal, Varying
        or the Identity's. VVV, EEE, VVI and VII are 'full', 'tied', 'diag' and 'spherical'; E and V are EII and VII.

        | codes    | volume | shape | axes     | free parameters of covariances | covariances_ |
        | -------- | ------ | ----- | -------- | ------------------------------ | ------------ |
        | EII, VII | E, V   | equal | features | 1, K                           | (K,)         |
        | EEI, VEI | E, V   | E     | features | D, K + D - 1                   | (K, D)       |
        | EVI, VVI | E, V   | V     | features | 1 + K (D - 1), K D             | (K, D)       |
        | EEE      | E      | E     | E        | D + A, with A = D (D - 1) / 2  | (D, D)       |
        | VEE      | V      | E     | E        | K + D - 1 + A                  | (K, D, D)    |
        | EVE, VVE | E, V   | V     | E        | 1 + K (D - 1) + A, K D + A     | (K, D, D)    |
        | EEV, VEV | E, V   | E     | V        | D + K A, K + D - 1 + K A       | (K, D, D)    |
        | EVV, VVV | E, V   | V     | V        | 1 + K (D - 1 + A), K (D + A)   | (K, D, D)    |

        VEI, VEE, VEV, EVE and VVE need an iteration in each M-step. It ends at a stationary point: where the gradient
        is below 1e-8 (EVE, VVE) or 1e-10 of the points.
    tol : float, default=1e-3
        Stop when the mean log-likelihood per point (or unit of sample weight) is expected to rise by less than this
        (nats). 'auto' stops when the estimated remaining gain and the last iteration's change are both below `tol`. If
        a pass takes some hundredths of a second at most, it then goes on, for about as long as the search took, while
        weights or means would still change in their first four printed digits. 'em' stops when the last iteration's
        change is below `tol`, as scikit-learn does.
    reg_covar : float, default=1e-6
        Added to every variance in each M-step, in squared units of the data.
    max_iter : int, default=100
        Most iterations over all the points; 0 returns the start. Passes over samples and rejected steps don't count.
    n_init : int, default=1
        Number of starts. The best result is kept; a larger number never gives a worse one. 'em' runs each start to its
        end. With 'auto' each further start is another search, which costs as much as the first one, its runs over all
        the points included: it tries a start of its own, then moves components of the best mixture to the points that
        this mixture fits worst.
    init_params : {'kmeans', 'k-means++', 'random', 'random_from_data'}, default='kmeans'
        How a start is found. 'kmeans': by k-means on the data, or a sample of them, once as they are and once with
        features scaled to unit variance; the better of the two is kept. 'auto' also tries k-means with twice as many
        centres as components, whose fitted components are merged. 'k-means++' and 'random_from_data': means at data
        points. 'random': random responsibilities.
    weights_init : array-like of shape (n_components,), default=None
    means_init : array-like of shape (n_components, n_features), default=None
    precisions_init : array-like, default=None
        The user's start values: any of the three, in the shapes of the fitted attributes. If one is given, no other
        start is tried.
    random_state : int, RandomState or None, default=None
    warm_start : bool, default=False
        Start from the previous fit's result, if there is one; n_init is then ignored.
    verbose : int, default=0
        1 prints starts, samples and iterations, 2 also times and changes.
    verbose_interval : int, default=10
        Number of iterations between two printed ones.
    assignment : {'soft', 'hard', 'stochastic'}, default='soft'
        How points count in the M-step. It decides what is maximised and recorded in `lower_bounds_`.
        'soft' (EM): by their responsibilities; maximises the mean log-likelihood.
        'hard' (classification EM, Celeux & Govaert 1992): only for the most probable component k; maximises the mean of
        log(weight_k N(x; mean_k, covariance_k)). This never falls, except by `reg_covar` and rounding where a component
        is flat.
        'stochastic' (stochastic EM, Celeux & Diebolt 1985): for one component, drawn with the responsibilities as
        probabilities. The mean log-likelihood then fluctuates; the mixture with the highest one (`lower_bound_`) is
        kept, and the fit ends when that hasn't risen by `tol` in 30 iterations.
        'hard' and 'stochastic' make no search and take no quasi-Newton steps.
    algorithm : {'auto', 'em', 'truncated'}, default='auto'
        'em': textbook iterations, the same as scikit-learn's from the same start. 'auto': reaches an optimum as good or
        better in fewer passes. It tries starts, on samples if there are many points, and improves them by splitting and
        merging components (Ueda et al. 2000). Then it takes quasi-Newton steps (Jamshidian & Jennrich 1997), undoes
        those that lower the likelihood, and stops by the estimated remaining gain (Boehning et al. 1994).
        'truncated': an approximation for hundreds to thousands of components, whose number hardly changes the cost of a
        pass. It compares each point with the 96 components nearest to its most probable one, and counts the others as
        if their densities were 0. The sum of log-densities is then a lower bound of the log-likelihood, a
        free energy, which is what rises and what `lower_bounds_` holds; `score` and all predictions stay exact. It is
        'em' with up to 96 components, and with up to 384 that overlap so much that truncation would lose more than 0.04
        nats at the start. A start is found on a sample, at the same low cost. Not for labels, noise, missing values,
        Dask or stochastic assignment; `partial_fit` is that of 'em'.
    n_threads : int, default=None
        Most threads to use; None: Numba's current setting. The result doesn't depend on it.
    forgetting : float, default=0.3
        How fast earlier points fade in `partial_fit`. After W points, the mixture counts as fitted to
        first ** forgetting * W ** (1 - forgetting) of them, whatever the size of the batches; `first` is the number of
        points of the first fit. 0: no point fades; each keeps the responsibilities it had when it came. Below 0.5 the
        mixture converges on an endless stream (Cappe & Moulines 2009); above, it keeps following changes.
        1: earlier points are forgotten; each batch makes a step of EM on its own points.
    prior : {'default'} or dict, default=None
        Penalised EM (Fraley & Raftery 2007): M-steps find the mode of the posterior under a conjugate prior. No
        component can collapse then, and `lower_bounds_` include the prior's log-density.
        'default': the prior of Fraley & Raftery, computed from the data, as in R's mclust. A dict may have these keys,
        the others have their defaults: 'shrinkage' (default 0.01), the number of points that the prior of the means
        counts for; 'mean' (D,) (default: the data's mean); 'degrees_of_freedom' (default D + 2) and 'scale' of the
        covariances' inverse Wishart distribution. 'scale' has the shape of one component's covariance (default: the
        data's covariance, for 'diag' and 'spherical' its mean variance, times K ** (-2 / D)).
    missing : {'error', 'em'}, default='error'
        What NaN means. 'error': a mistake, which is an error. 'em': a value that was not observed, in `fit` and in all
        predictions. The likelihood is that of the observed values, and EM maximises it if values are missing at random
        (Ghahramani & Jordan 1994). A row without any value has density 1, and the weights as responsibilities. Points
        that lack the same features are visited together; each such pattern costs K Cholesky factors an iteration. With
        a thousand patterns among a million points that is less than the pass itself; where every row has a pattern of
        its own, an iteration takes some hundred times that of complete data. Dask partitions are brought to this
        process one by one.
    noise : bool or float, default=False
        True, or a volume: some points are noise, from no Gaussian. The noise has the same density everywhere, 1 over
        the volume; its weight is estimated (Banfield & Raftery 1993; Fraley & Raftery 1998). True: the volume is that
        of the smaller of the points' bounding boxes along the axes and along the principal components, as in mclust.
        Densities include the noise, `predict` says -1 for it, `predict_proba` leaves it out, and `bic` counts two
        parameters for it. Where values are missing, the noise is uniform in a box along the axes with that volume and
        the proportions of the points' bounding box. k-means starts leave out points where the data are sparser than
        the noise would be. Two passes find the boxes; for them, Dask partitions are brought to this process one by one.
    n_factors : int, default=None
        Number of factors q with covariance_type='factors', which needs it: at least 1, and less than n_features. Each
        component's covariance is L L' + diag(psi). An iteration takes about 4 D (q + 2) operations for a point and a
        component, where 'full' takes 2 D ** 2. Then `reg_covar` is not added to variances: it is the floor of the noise
        variances psi. Other types ignore `n_factors`.
    shrinkage : {'oas', 'ledoit-wolf'} or float in [0, 1], default=None
        M-steps shrink the covariance S of a component's points to (1 - a) S + a trace(S) / D I; for 'tied' that of all
        points about their means, for 'diag' the variances towards their mean. Other types have no shrinkage, and
        'shrinkage' and 'prior' exclude each other. A number is a, as in `sklearn.covariance.shrunk_covariance`. 'oas'
        and 'ledoit-wolf' compute a from S and the component's number of points, the sum of its responsibilities, as
        scikit-learn's estimators of these names do; for 'diag' by the same reasoning about variances alone.
        'ledoit-wolf' also needs fourth moments, for which each iteration reads the points a second time; in
        `partial_fit` and with missing values it takes those of Gaussian points.
        `lower_bounds_` are mean log-likelihoods of the mixtures with shrunk covariances. They may fall, since such an
        M-step is not the mode under any prior. So the steps are EM's own with either `algorithm`, and a fit ends where
        the log-likelihood hardly changes any more.

    Attributes
    ----------
    weights_ : ndarray of shape (n_components,)
        Mixing weights, which sum to 1; with noise, to 1 - `noise_weight_`.
    means_ : ndarray of shape (n_components, n_features)
    covariances_, precisions_, precisions_cholesky_ : ndarray
        Covariances, their inverses, and upper triangular U with precision = U U'. Shape (K, D, D) for 'full', (D, D)
        for 'tied', (K, D) for 'diag', (K,) for 'spherical'; for mclust's codes see the table. Given ones may differ
        from the nearest of the family by 1e-6. For 'factors' they are matrices (K, D, D), made anew each time that they
        are asked for.
    loadings_ : ndarray of shape (n_components, n_features, n_factors)
        Only for 'factors': L. Factors may be rotated; here L' diag(1 / psi) L is diagonal and descends, and in each
        factor the loading largest in absolute value is positive.
    noise_variances_ : ndarray of shape (n_components, n_features)
        Only for 'factors': psi.
    converged_ : bool
        Whether the returned run met `tol`.
    n_iter_ : int
        Iterations of the returned run over all the points.
    lower_bound_ : float
        Mean log-likelihood before the last M-step: nats per point, or per unit of sample weight. With 'truncated' a
        lower bound of it.
    lower_bounds_ : list of float
        `lower_bound_` of every iteration of the returned run; with 'auto' it never falls. With 'truncated': the mean
        free energy of the truncated posteriors, at most the mean log-likelihood, which never falls either.
    fit_report_ : FitReport
        The stages of the fit, with their points, steps and seconds; `print` it. `remaining_gain` estimates how much
        `lower_bound_` is below its (local) maximum, `remaining_change` how far weights and means are from it. `starts`
        are the bounds that the starts reached, `degenerate` the components that don't describe the data.
    noise_weight_, noise_volume_ : float
        Weight of the noise, and the volume that it fills, in units of the data to the power of D: infinity or 0 if that
        is beyond float64, which densities don't depend on. Only with `noise`.
    noise_box_ : ndarray of shape (n_features + 1, n_features)
        The box of that volume, from which `sample` draws noise: a corner, and the edges from it.
    prior_ : dict
        The prior, if there is one, in the form of `prior`.
    shrinkage_ : ndarray of shape (n_components,)
        The coefficient a of each component in the last M-step, if there is shrinkage; equal for all if 'tied'.
    n_samples_seen_ : int
        Number of points in the last `fit` and in all `partial_fit` since.
    n_features_in_ : int
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Only if X has feature names that are all strings.
    component_names_ : ndarray of str of shape (n_components,)
        Names of the components in tables, files and pictures. A fit with words as labels sets it, so does the command
        line's `--labels`, and users may. A new `fit` without warm start deletes it.
    classes_ : ndarray of str of shape (n_components,)
        What `predict` returns in place of the components' numbers, if the labels of the fit were words.
    n_parameters_ : int
        Number of free parameters.

    Warns
    -----
    DegenerateFitWarning
        If `reg_covar` or too few points, not the data, decide on a component or a feature. The message says which, why,
        and what to do. At most one warning per fit.
    ConvergenceWarning
        If `max_iter` ends the fit.

    Notes
    -----
    float32 data give float32 parameters, or float64 ones if variances exceed float32's range. All sums are in float64.
    Formulas: Bishop 2006, section 9.2.2.

    Examples
    --------
    >>> from fastem import GaussianMixture
    >>> from fastem.datasets import load_faithful
    >>> X = load_faithful().data
    >>> model = GaussianMixture(2, random_state=0).fit(X)
    >>> model.means_.round(1)
    array([[ 2. , 54.5],
           [ 4.3, 80. ]])
    """

    _parameter_constraints: dict = {
        **MaximumLikelihoodMixture._parameter_constraints,
        "algorithm": [StrOptions({"auto", "em", "truncated"})],
        "prior": [StrOptions({"default"}), dict, None],
        "missing": [StrOptions({"error", "em"})],
        "noise": ["boolean", Interval(Real, 0.0, None, closed="neither")],
        "n_factors": [Interval(Integral, 1, None, closed="left"), None],
        "shrinkage": [Interval(Real, 0.0, 1.0, closed="both"), StrOptions({"oas", "ledoit-wolf"}), None],
    }

    def __init__(
        self,
        n_components: int = 1,
        *,
        covariance_type: str = "full",
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
        prior: str | dict[str, Any] | None = None,
        missing: str = "error",
        noise: bool | float = False,
        n_factors: int | None = None,
        shrinkage: str | float | None = None,
    ) -> None:
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
        self.prior = prior
        self.missing = missing
        self.noise = noise
        self.n_factors = n_factors
        self.shrinkage = shrinkage

    @classmethod
    def from_parameters(
        cls,
        weights: ArrayLike,
        means: ArrayLike,
        covariances: ArrayLike,
        *,
        covariance_type: str = "full",
        **params: Any,
    ) -> Self:
        """Make a fitted model from known parameters. It can predict, score and sample, or go on by `warm_start`.

        Parameters
        ----------
        weights : array-like of shape (K,)
            Summing to 1; with `noise=VOLUME` what they leave to 1 is the noise's weight. Its box is then centred at
            the mixture's mean, with sides in proportion to its deviations.
        means : array-like of shape (K, D)
        covariances : array-like
            In the shape of `covariances_`, symmetric positive definite. For 'factors' a pair of arrays in the shapes of
            `loadings_` and `noise_variances_`.
        covariance_type : str, default='full'
            As in the constructor.
        **params
            Further constructor arguments.

        Returns
        -------
        model : GaussianMixture
            With `n_iter_` 0, `converged_` False and `lower_bound_` -inf, as nothing was fitted.

        Raises
        ------
        ValueError
            If shapes disagree, weights don't sum to 1, a covariance isn't positive definite, or the covariances don't
            satisfy the constraint of their type, relatively to 1e-6.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> model = GaussianMixture.from_parameters([0.4, 0.6], [[0.0], [5.0]], [[[1.0]], [[4.0]]])
        >>> model.predict([[1.0], [3.0]])
        array([0, 1])
        """
        cls(covariance_type=covariance_type)._validate_params()
        covariances, determined = FAMILIES[covariance_type].given(covariances)
        params = {**determined, **params}
        model, parameters = cls._given(weights, means, covariances, "covariances", covariance_type, params)
        if model._finds_volume:
            raise ValueError("from_parameters needs the noise's volume as a number: noise=VOLUME")
        if model._has_noise:
            family = NoisyFamily(parameters.family, noise_around(parameters, float(model.noise)))
            left = max(0.0, 1 - parameters.weights.sum())
            parameters = replace(parameters, family=family, noise_weight=left)
        model._set_result(em.EMResult(parameters), np.float64)
        return model

    @property
    def _bound(self):
        bound = "free energy, nats per point" if self.algorithm == "truncated" else super()._bound
        return bound if self.prior is None else f"penalised {bound}"

    @property
    def _counts_weights(self):
        return self.prior is not None or isinstance(self.shrinkage, str)

    def _family(self, source, annotations):
        family = self._family_without_noise(source, annotations)
        if not self._has_noise:
            return family
        volume = None if self._finds_volume else float(self.noise)
        return NoisyFamily(family, noise_of(source, annotations.weights, volume))

    @property
    def _finds_volume(self):
        return self._has_noise and isinstance(self.noise, bool | np.bool_)

    def _family_without_noise(self, source, annotations):
        family = self._covariance_family(source.n_features)
        if self.shrinkage is not None:
            return self._shrunk_family()
        if self.prior is None:
            return family
        family.with_conjugate_prior()
        given = {} if self.prior == "default" else check_prior(self.prior, family, source.n_features)
        of_all = moments(source, family, annotations.weights)
        return PenalizedFamily(family, default_prior(family, self.n_components, *of_all, **given))

    def _shrunk_family(self):
        if self.prior is not None:
            raise ValueError("prior and shrinkage both regularise covariances: set one of them to None")
        return ShrunkFamily(FAMILIES[self.covariance_type], self.shrinkage)

    def _params_that_count(self):
        prior = repr(self.prior) if isinstance(self.prior, dict) else self.prior
        return *super()._params_that_count(), self.shrinkage, prior

    def _family_of_stream(self, parameters):
        family = parameters.family.plain if not self._has_noise else parameters.family.plain.without_noise
        if self.shrinkage is not None:
            family = self._shrunk_family()
        elif self.prior is not None:
            if not hasattr(self, "prior_"):
                raise ValueError(
                    "prior was set after the fit, but follows from points that partial_fit doesn't see any more: call "
                    "fit with it, or set prior=None"
                )
            given = {} if self.prior == "default" else check_prior(self.prior, family, parameters.means.shape[1])
            family = PenalizedFamily(family, ConjugatePrior(**{**self.prior_, **given}))
        if not self._has_noise:
            return family
        noise = parameters.family.noise
        return NoisyFamily(family, noise if self._finds_volume else noise.of_volume(float(self.noise)))

    def _fitted_family(self):
        family, fitted = self._covariance_family(), vars(self)
        if "shrinkage_" in fitted and self.shrinkage is not None:
            family = ShrunkFamily(family, self.shrinkage)
        elif "prior_" in fitted:
            family = PenalizedFamily(family, ConjugatePrior(**self.prior_))
        return NoisyFamily(family, Noise(self.noise_box_)) if "noise_box_" in fitted else family

    def _attributes(self, result, dtype):
        family, found = result.parameters.family, super()._attributes(result, dtype)
        if isinstance(family, NoisyFamily):
            found["noise_weight_"] = float(result.parameters.noise_weight)
            found["noise_volume_"] = family.noise.volume
            found["noise_box_"] = family.noise.box
            family = family.without_noise
        if isinstance(family, PenalizedFamily):
            found["prior_"] = asdict(family.prior)
        if getattr(result.parameters, "shrinkage", None) is not None:
            found["shrinkage_"] = np.array(result.parameters.shrinkage)
        return found

    def _parameters(self):
        parameters = super()._parameters()
        return parameters if not hasattr(self, "shrinkage_") else with_shrinkage(parameters, self.shrinkage_)
