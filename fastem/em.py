"""The driver: start, then (pass, M-step) until the mean log-likelihood stops rising.

Dempster, Laird & Rubin 1977; Bishop 2006, section 9.2.2. The pass and the M-step live elsewhere: this file decides
when to stop and which of several runs to keep.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from . import initialization
from .covariance import CollapsedComponent, Parameters
from .progress import SILENT

# Iterations on the sample after which two starts are compared: enough to see which is the better one.
_TRIAL_ITERATIONS = 50


@dataclass(frozen=True)
class Settings:
    """How to fit: the estimator's arguments of the same names."""

    n_components: int
    tol: float = 1e-3
    reg_covar: float = 1e-6
    max_iter: int = 100
    n_init: int = 1
    init_params: str = "kmeans"
    init: tuple = (None, None, None)
    """The user's weights, means and precisions, None for those to be found."""


@dataclass
class EMResult:
    """A fitted mixture and how it came to be."""

    parameters: Parameters
    lower_bounds: list = field(default_factory=list)
    """Mean log-likelihood before each M-step, nats per unit of weight."""
    converged: bool = False
    stopped: bool = False
    """Whether a callback ended the fit early."""

    @property
    def n_iter(self):
        return len(self.lower_bounds)

    @property
    def lower_bound(self):
        return self.lower_bounds[-1] if self.lower_bounds else -math.inf


def run(source, start, settings, *, weights=None, lower_bound=-math.inf, progress=SILENT):
    """EM from one start until the mean log-likelihood changes by less than `settings.tol`.

    Parameters
    ----------
    source : source
    start : Parameters
    settings : Settings
    weights : ndarray of shape (n,), default=None
        Sample weights.
    lower_bound : float
        What the first iteration's mean log-likelihood is compared with.
    progress : Progress

    Returns
    -------
    result : EMResult

    Raises
    ------
    ValueError
        Where a component's covariance is no longer positive definite.
    """
    result = EMResult(start)
    given = initialization.known(weights)
    for iteration in range(1, settings.max_iter + 1):
        progress.begin_iteration()
        statistics = source.e_step(result.parameters, given)
        try:
            result.parameters = start.family.maximize(statistics, settings.reg_covar)
        except CollapsedComponent as collapse:
            raise collapsed_error(collapse, f"at iteration {iteration}") from None
        result.lower_bounds.append(np.float64(statistics.lower_bound))
        change, lower_bound = statistics.lower_bound - lower_bound, statistics.lower_bound
        result.converged = bool(abs(change) < settings.tol)
        result.stopped = progress.end_iteration(iteration, change, result)
        if result.converged or result.stopped:
            break
    return result


def collapsed_error(collapse, when):
    """scikit-learn's message, with what it leaves out: which component and when."""
    which = "The common covariance" if collapse.component is None else f"Component {collapse.component}"
    return ValueError(
        "Fitting the mixture model failed because some components have ill-defined empirical covariance "
        "(for instance caused by singleton or collapsed samples). Try to decrease the number of components, "
        f"increase reg_covar, or scale the input data. {which} collapsed {when}."
    )


def best_start(source, family, settings, random_state, weights=None):
    """The start to run from: of several candidates the one that gets further in a few iterations on the sample."""
    if all(value is not None for value in settings.init):
        return initialization.user_parameters(family, None, *settings.init)
    try:
        starts, sample, sample_weights = initialization.candidates(
            source,
            family,
            settings.n_components,
            settings.init_params,
            random_state,
            settings.reg_covar,
            weights,
        )
    except CollapsedComponent as collapse:
        raise collapsed_error(collapse, f"at the start ({settings.init_params})") from None
    starts = [initialization.user_parameters(family, start, *settings.init) for start in starts]
    if len(starts) == 1:
        return starts[0]

    def bound_reached(start):
        try:
            trial = replace(settings, max_iter=_TRIAL_ITERATIONS)
            return run(sample, start, trial, weights=sample_weights).lower_bound
        except ValueError:  # collapsed
            return -math.inf

    bounds = [bound_reached(start) for start in starts]
    best = int(np.argmax(bounds))
    # The first is scikit-learn's own start: another has to be better by more than tol, the user's idea of equal.
    return starts[best] if bounds[best] > bounds[0] + settings.tol else starts[0]


def fit(source, family, settings, random_state, *, weights=None, progress=SILENT):
    """The best of `settings.n_init` runs from starts of their own.

    Parameters
    ----------
    source : source
    family : CovarianceFamily
    settings : Settings
    random_state : RandomState
    weights : ndarray of shape (n,), default=None
    progress : Progress

    Returns
    -------
    result : EMResult
        Of the run with the highest lower bound, the first of equals.
    """
    best = None
    for init in range(settings.n_init):
        progress.begin(init)
        start = best_start(source, family, settings, random_state, weights)
        result = run(source, start, settings, weights=weights, progress=progress)
        if best is None or result.lower_bound > best.lower_bound or best.lower_bound == -math.inf:
            best = result
        if progress.end(result):
            break
    return best


def fit_known(source, family, settings, labels, weights=None):
    """Supervised fit: every point's component is known, so one M-step maximises the likelihood of both.

    The lower bound is the mean of log(weight_k N(x; mean_k, covariance_k)), k the point's own component.
    """
    try:
        parameters = initialization.from_labels(
            source, family, settings.n_components, labels, settings.reg_covar, weights
        )
    except CollapsedComponent as collapse:
        raise collapsed_error(collapse, "in the supervised fit") from None
    statistics = source.accumulate(parameters, given=initialization.known(weights, labels))
    return EMResult(parameters, [statistics.lower_bound], converged=True)
