"""The driver: start, then (pass, M-step) until the mean log-likelihood stops rising.

Dempster, Laird & Rubin 1977; Bishop 2006, section 9.2.2. The pass and the M-step live elsewhere: this file decides
when to stop and which of several runs to keep.
"""

import math
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from time import perf_counter

import numpy as np

from ..model.parameters import CollapsedComponent, Parameters
from ..model.saved import Saved
from ..sources import SourceError
from ..sources.annotations import NO_ANNOTATIONS, Assignment
from . import initialization
from .acceleration import Extrapolation, Plain, QuasiNewton, Stochastic
from .progress import SILENT
from .report import ALL, FitReport

# Iterations on the sample after which two starts are compared: enough to see which is the better one.
_TRIAL_ITERATIONS = 50

# A change of a weight, or of a mean in its component's deviations, that four printed digits would show.
VISIBLE = 1e-5

# Error of a mean log-likelihood of size 1 or, relative, of a larger one: a fall within it is none.
_ROUNDING = {np.dtype(np.float64): 1e-12, np.dtype(np.float32): 1e-7}


@dataclass(frozen=True)
class Settings:
    """How to fit: the estimator's arguments of the same names."""

    n_components: int
    tol: float = 1e-3
    reg_covar: float = 1e-6
    max_iter: int = 100
    n_init: int = 1
    init_params: str = "kmeans"
    accelerated: bool = False
    init: tuple = (None, None, None)
    """The user's weights, means and precisions, None for those to be found."""
    assignment: str = "soft"
    n_further: int = 0
    """Iterations that may follow those that `tol` asks for, while parameters still change visibly."""

    def steps(self, family, goes_on=False):
        """What chooses the next mixture of a family: EM's own steps, or those that the other settings ask for."""
        if self.assignment == "stochastic":
            return Stochastic()
        if self.accelerated and self.assignment == "soft":
            return self.longer_steps(family, goes_on)
        return Plain()

    def longer_steps(self, family, goes_on=False):
        """Steps that look further ahead than EM's, in coordinates of the family or, without these, in statistics."""
        return QuasiNewton(self.reg_covar, goes_on=goes_on) if family.has_coordinates else Extrapolation()


@dataclass(frozen=True)
class Unfinished(Saved):
    """A run between two iterations: all that those to come depend on."""

    accepted: Parameters
    parameters: Parameters
    candidate: Parameters
    steps: object
    lower_bounds: list
    kinds: list
    seed: int
    n_samples: int
    n_further: int = 0
    """Of the settings of the run."""
    n_last: int = 0
    """The iteration that ends the run, known once `tol` is met; 0 before."""

    @classmethod
    def from_state(cls, state):
        if not 0 < len(state["lower_bounds"]) == len(state["kinds"]):
            raise ValueError("an unfinished fit should have as many kinds as lower_bounds, at least one")
        return cls(**state)


@dataclass
class EMResult:
    """A fitted mixture and how it came to be."""

    parameters: Parameters
    lower_bounds: list = field(default_factory=list)
    """What is maximised, before each M-step, nats per unit of weight."""
    converged: bool = False
    stopped: bool = False
    """Whether a callback ended the fit early."""
    kinds: list = field(default_factory=list)
    """Of the step to each mixture in `lower_bounds`: 'plain' or 'accelerated'."""
    n_rejected: int = 0
    """Passes at accelerated steps that were undone."""
    remaining_gain: float = math.nan
    """Estimate of what the lower bound could still gain; NaN where none was made."""
    remaining_change: float = math.nan
    """Estimate of the largest change still to come, of a weight or of a mean in its component's deviations."""
    report: FitReport = field(default_factory=FitReport)
    start: Parameters = None
    steps: object = None
    """What chose the mixtures."""
    unfinished: Unfinished = None
    """Where the run was after its last iteration, if it was to go on."""
    last: Unfinished = None
    """Where the run was after its last iteration, whatever ended it; None where no step leads higher."""

    @property
    def n_iter(self):
        return len(self.lower_bounds)

    @property
    def lower_bound(self):
        """Of the parameters, or the mixture before them."""
        if not self.lower_bounds:
            return -math.inf
        return max(self.lower_bounds) if isinstance(self.steps, Stochastic) else self.lower_bounds[-1]


def run(
    source,
    start,
    settings,
    *,
    steps=None,
    annotations=NO_ANNOTATIONS,
    seed=0,
    lower_bound=-math.inf,
    unfinished=None,
    progress=SILENT,
    report=None,
    name=ALL,
):
    """EM from one start until `steps` sees what is maximised converged, to `settings.tol`.

    Parameters
    ----------
    source : source
    start : Parameters
    settings : Settings
    steps : Plain, QuasiNewton or Stochastic, default=Plain()
        What chooses the next mixture.
    annotations : Annotations
        Of the points.
    seed : int
        Of the draws of stochastic assignment.
    lower_bound : float
        What the first iteration's bound is compared with.
    unfinished : Unfinished, default=None
        An earlier run to go on with, in place of start, steps and lower bound; the result has its trace, too.
    progress : Progress
    report : FitReport, default=None
        Where a stage is added; a new one by default.
    name : str
        The stage's.

    Returns
    -------
    result : EMResult

    Raises
    ------
    SourceError
        Where points can't be read, or not used, any more; its `result` is what was reached before.
    ValueError
        Where a component's covariance is no longer positive definite.
    """
    parameters = accepted = candidate = start
    if unfinished is not None:
        parameters, accepted, candidate = unfinished.parameters, unfinished.accepted, unfinished.candidate
        steps, lower_bound = unfinished.steps.copy(), unfinished.lower_bounds[-1]
        seed = unfinished.seed
    assignment = Assignment(settings.assignment, seed)
    steps = steps or Plain()
    report = FitReport() if report is None else report
    result = EMResult(parameters, report=report, start=start, steps=steps, unfinished=unfinished)
    if unfinished is not None:
        result.lower_bounds, result.kinds = list(unfinished.lower_bounds), list(unfinished.kinds)
    n_further, n_last = settings.n_further, 0
    if unfinished is not None:
        n_further, n_last = max(n_further, unfinished.n_further), unfinished.n_last
    begin = perf_counter()
    rounding = _ROUNDING[source.precision]
    try:
        while result.n_iter < settings.max_iter:
            progress.begin_iteration(result)
            bound, successor = _pass(source, candidate, annotations, assignment, settings, steps, result)
            while steps.kind == "accelerated" and not steps.accepts(bound, rounding):
                steps.reject(candidate, successor)
                result.n_rejected += 1
                candidate = result.parameters
                bound, successor = _pass(source, candidate, annotations, assignment, settings, steps, result)
            if not steps.accepts(bound, rounding):
                # reg_covar takes the M-step away from the maximum: from the mixture before, EM leads lower.
                result.converged = result.converged or settings.tol > 0
                result.remaining_gain = result.remaining_change = 0.0
                result.last = None
                if not accepted.family.bounds_the_successor:
                    result.parameters = accepted
                break
            result.lower_bounds.append(bound)
            result.kinds.append(steps.kind)
            result.parameters, accepted = successor, candidate
            candidate = steps.observe(candidate, successor, bound)
            change, lower_bound, assignment = bound - lower_bound, bound, assignment.next_pass()
            result.remaining_gain, result.remaining_change = steps.remaining_gain, steps.remaining_change
            if not n_last and steps.has_converged(change, settings.tol):
                n_last = result.n_iter + n_further
            result.converged = n_last > 0
            is_done = result.converged and (result.n_iter >= n_last or not steps.remaining_change > VISIBLE)
            result.unfinished = None
            trace = list(result.lower_bounds), list(result.kinds)
            result.last = Unfinished(
                accepted,
                successor,
                candidate,
                steps.copy(),
                *trace,
                assignment.seed,
                source.n_samples,
                n_further,
                n_last,
            )
            if not is_done:
                result.unfinished = result.last
            result.stopped = progress.end_iteration(result.n_iter, change, result)
            if is_done or result.stopped:
                break
    except SourceError as error:
        if name == ALL and result.n_iter:
            result.parameters = steps.kept(result.parameters)
            result.report.add(name, source, result, perf_counter() - begin)
            result.converged = False
            error.result = result.report.of(result)
        raise
    result.unfinished = None
    result.parameters = steps.kept(result.parameters)
    n_before = 0 if name == ALL or unfinished is None else len(unfinished.lower_bounds)
    result.report.add(name, source, result, perf_counter() - begin, n_before)
    return result.report.of(result)


def _pass(source, candidate, annotations, assignment, settings, steps, result):
    """(lower bound of a mixture, what EM makes of it); (-inf, None) where an accelerated step collapsed it."""
    statistics, family = source.e_step(candidate, annotations, assignment), candidate.family
    try:
        successor = family.maximize(statistics, settings.reg_covar, candidate)
        return np.float64(family.lower_bound(statistics, candidate, successor)), successor
    except CollapsedComponent as collapse:
        if steps.kind == "accelerated":
            return -math.inf, None
        raise collapsed_error(collapse, f"at iteration {result.n_iter + 1}") from None


@contextmanager
def collapse_ignored():
    """Leave the block where a component collapses."""
    try:
        yield
    except SourceError:
        raise
    except ValueError:
        pass


@contextmanager
def collapse_reported(when):
    """Raise `collapsed_error` in the block where a component collapses."""
    try:
        yield
    except CollapsedComponent as collapse:
        raise collapsed_error(collapse, when) from None


def collapsed_error(collapse, when):
    """scikit-learn's message, with what it leaves out: which component and when."""
    which = "The common covariance" if collapse.component is None else f"Component {collapse.component}"
    return ValueError(
        "Fitting the mixture model failed because some components have ill-defined empirical covariance "
        "(for instance caused by singleton or collapsed samples). Try to decrease the number of components, "
        f"increase reg_covar, or scale the input data. {which} collapsed {when}."
    )


def best_start(source, family, settings, random_state, annotations=NO_ANNOTATIONS):
    """The start to run from: of several candidates the one that gets further in a few iterations on the sample."""
    if all(value is not None for value in settings.init):
        return initialization.user_parameters(family, None, *settings.init)
    with collapse_reported(f"at the start ({settings.init_params})"):
        starts, sample, sample_annotations = initialization.candidates(
            source, family, settings.n_components, settings.init_params, random_state, settings.reg_covar, annotations
        )
    starts = [initialization.user_parameters(family, start, *settings.init) for start in starts]
    if len(starts) == 1:
        return starts[0]

    def bound_reached(start):
        with collapse_ignored():
            kind = "soft" if settings.assignment == "stochastic" else settings.assignment
            trial = replace(settings, max_iter=_TRIAL_ITERATIONS, assignment=kind)
            return run(sample, start, trial, annotations=sample_annotations).lower_bound
        return -math.inf

    bounds = [bound_reached(start) for start in starts]
    best = int(np.argmax(bounds))
    # The first is scikit-learn's own start: another has to be better by more than tol, the user's idea of equal.
    return starts[best] if bounds[best] > bounds[0] + settings.tol else starts[0]


def fit(source, family, settings, random_state, *, annotations=NO_ANNOTATIONS, progress=SILENT):
    """The best of `settings.n_init` runs from starts of their own.

    Parameters
    ----------
    source : source
    family : CovarianceFamily
    settings : Settings
    random_state : RandomState
    annotations : Annotations
    progress : Progress

    Returns
    -------
    result : EMResult
        Of the run with the highest lower bound, the first of equals.
    """
    best, report = None, FitReport()
    for init in range(settings.n_init):
        progress.begin(init)
        start = best_start(source, family, settings, random_state, annotations)
        seed = random_state.randint(2**31) if settings.assignment == "stochastic" else 0
        try:
            result = run(
                source, start, settings, steps=settings.steps(family), annotations=annotations, seed=seed,
                progress=progress, report=report,
            )  # fmt: skip
        except SourceError as error:
            if best is not None and (error.result is None or best.lower_bound > error.result.lower_bound):
                error.result = replace(best, converged=False)
            raise
        if best is None or result.lower_bound > best.lower_bound or best.lower_bound == -math.inf:
            best, report.best_start = result, init
        if progress.end(result):
            break
    return report.of(best)


def go_on(source, start, settings, lower_bound, *, annotations=NO_ANNOTATIONS, unfinished=None, progress=SILENT):
    """EM from the mixture where an earlier fit stopped, with this lower bound, or in the middle of its run."""
    progress.begin(0)
    steps = settings.steps(start.family, goes_on=True)
    result = run(
        source, start, settings, steps=steps, annotations=annotations, lower_bound=lower_bound, unfinished=unfinished,
        progress=progress,
    )  # fmt: skip
    progress.end(result)
    return result


def fit_labelled(source, family, settings, annotations):
    """Supervised fit: every point's component is known, so one M-step maximises the likelihood of both.

    The lower bound is the mean of log(weight_k N(x; mean_k, covariance_k)), k the point's own component, or what the
    family's prior makes of it.
    """
    with collapse_reported("in the supervised fit"):
        parameters = initialization.from_labels(source, family, settings.n_components, annotations, settings.reg_covar)
    if family is family.plain:
        log_likelihood, weight = source.log_likelihood(parameters, annotations, Assignment(settings.assignment))
        return EMResult(parameters, [np.float64(log_likelihood / weight)], converged=True)
    statistics = source.e_step(parameters, annotations, Assignment(settings.assignment))
    parameters = family.maximize(statistics, settings.reg_covar, parameters)
    return EMResult(parameters, [np.float64(family.lower_bound(statistics, parameters, parameters))], converged=True)
