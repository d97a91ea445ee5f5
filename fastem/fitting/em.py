"""One run of EM: from a start, E-step and M-step alternate until the mean log-likelihood stops rising.

Dempster, Laird & Rubin 1977; Bishop 2006, section 9.2.2. The source does the E-step, in a pass over its points; the
covariance family does the M-step; this file decides when to stop. The start is chosen in `plain`, `search`,
`posterior_search`, `resuming` and `labelled`.
"""

import math
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np

from ..model.parameters import CollapsedComponent, Parameters
from ..sources import SourceError
from ..sources.annotations import NO_ANNOTATIONS, Assignment
from .acceleration import Extrapolation, FixedPoint, Plain, QuasiNewton, Stochastic
from .checkpoint import Unfinished
from .progress import SILENT
from .report import ALL, FitReport

# Change of a weight, or of a mean in its component's standard deviations, that would show in four printed digits.
VISIBLE = 1e-5

# Rounding error of a mean log-likelihood in nats, relative where it exceeds 1: a smaller fall doesn't count as one.
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
    """Whether to take accelerated steps and to search for a start."""
    truncated: bool = False
    """Whether each point is compared with a few candidates, not with every component."""
    init: tuple = (None, None, None)
    """The user's initial weights, means and precisions; None for each that is to be found."""
    assignment: str = "soft"
    n_further: int = 0
    """Iterations that may follow once `tol` is met, as long as parameters still change by more than `VISIBLE`."""

    def steps(self, family, goes_on=False):
        """The step rule, which chooses the next mixture: EM's own steps, or those that the other settings ask for."""
        if self.assignment == "stochastic":
            return Stochastic()
        if self.accelerated and self.assignment == "soft":
            return self.longer_steps(family, goes_on)
        return Plain()

    def longer_steps(self, family, goes_on=False):
        """Accelerated steps: quasi-Newton in the family's coordinates; extrapolation where it has none (posteriors).

        Where the M-step doesn't maximise the bound, no other step can be judged by it: these are EM's own.
        """
        if not family.maximizes:
            return FixedPoint(goes_on)
        return QuasiNewton(self.reg_covar, goes_on=goes_on) if family.has_coordinates else Extrapolation()


@dataclass
class EMResult:
    """A fitted mixture and the record of its run."""

    parameters: Parameters
    lower_bounds: list = field(default_factory=list)
    """The maximised bound in each iteration: nats per unit of weight, of the mixture before its M-step.

    For variational posteriors it is nats in all, of the posterior after the M-step.
    """
    converged: bool = False
    stopped: bool = False
    """Whether a callback ended the fit early."""
    kinds: list = field(default_factory=list)
    """The kind of step that led to each mixture in `lower_bounds`: 'plain' or 'accelerated'."""
    n_rejected: int = 0
    """Number of accelerated steps that were undone, each at the cost of a pass."""
    remaining_gain: float = math.nan
    """Estimate of what the lower bound could still gain; NaN if no estimate was made."""
    remaining_change: float = math.nan
    """Estimate of the largest change to come: of a weight, or of a mean in its component's standard deviations."""
    report: FitReport = field(default_factory=FitReport)
    start: Parameters = None
    steps: object = None
    """The step rule of the run."""
    unfinished: Unfinished = None
    """Checkpoint after the last iteration, as long as the run is to go on; else None."""
    last: Unfinished = None
    """Checkpoint after the last iteration, whatever ended the run; None if no step leads higher."""

    tell: Callable = None
    """Function (report, name, progress) that makes the run again, for those who listen, if it was compiled whole."""

    @property
    def n_iter(self):
        return len(self.lower_bounds)

    @property
    def lower_bound(self):
        """The last of `lower_bounds`; in stochastic EM the highest, which belongs to the mixture returned."""
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
    """EM from one start until it has converged to `settings.tol`, as `steps` judges it.

    Parameters
    ----------
    source : source
    start : Parameters
    settings : Settings
    steps : Plain, QuasiNewton, Extrapolation or Stochastic, default=Plain()
        The step rule, which chooses the next mixture.
    annotations : Annotations
        What is known of the points.
    seed : int
        Seed of the draws of stochastic assignment.
    lower_bound : float
        The bound that the first iteration's is compared with.
    unfinished : Unfinished, default=None
        Checkpoint of a run to continue, in place of start, steps and lower bound; the result includes its trace.
    progress : Progress
    report : FitReport, default=None
        The report that the run is added to as a stage; a new one by default.
    name : str
        Name of the stage.

    Returns
    -------
    result : EMResult

    Raises
    ------
    SourceError
        If points can't be read or used any more; its `result` is what was reached before.
    ValueError
        If a component's covariance is no longer positive definite.
    """
    report = FitReport() if report is None else report
    # A pass evaluates the candidate, and the M-step makes its successor. If the candidate's bound is high enough, it is
    # accepted; the result's parameters are then its successor, and the steps choose the next candidate.
    if unfinished is None:
        accepted = candidate = start
        steps, n_further, n_last = steps or Plain(), settings.n_further, 0
        result = EMResult(start, report=report, start=start, steps=steps)
    else:
        accepted, candidate = unfinished.accepted, unfinished.candidate
        steps, lower_bound, seed = unfinished.steps.copy(), unfinished.lower_bounds[-1], unfinished.seed
        n_further, n_last = max(settings.n_further, unfinished.n_further), unfinished.n_last
        result = EMResult(unfinished.parameters, report=report, start=start, steps=steps, unfinished=unfinished)
        result.lower_bounds, result.kinds = list(unfinished.lower_bounds), list(unfinished.kinds)
    assignment = Assignment(settings.assignment, seed)
    begin = perf_counter()
    rounding = _ROUNDING[source.precision]
    try:
        while result.n_iter < settings.max_iter:
            progress.begin_iteration(result)
            bound, successor = _pass(source, candidate, annotations, assignment, settings, steps, result)
            while steps.is_guarded and not steps.accepts(bound, rounding):
                steps.reject(candidate, successor)
                result.n_rejected += 1
                candidate = result.parameters
                bound, successor = _pass(source, candidate, annotations, assignment, settings, steps, result)
            if not steps.accepts(bound, rounding):
                # EM's own step led lower: with reg_covar added, the M-step isn't the maximum. The run ends before it.
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
            if not is_done and steps.can_resume:
                result.unfinished = result.last
            result.stopped = progress.end_iteration(result.n_iter, change, result)
            if is_done or result.stopped:
                break
    except SourceError as error:
        if name == ALL and result.n_iter:
            result.parameters = steps.final(result.parameters)
            result.report.add(name, source, result, perf_counter() - begin)
            result.converged = False
            error.result = result.report.of(result)
        raise
    result.unfinished = None
    result.parameters = steps.final(result.parameters)
    n_before = 0 if name == ALL or unfinished is None else len(unfinished.lower_bounds)
    result.report.add(name, source, result, perf_counter() - begin, n_before)
    return result.report.of(result)


def _pass(source, candidate, annotations, assignment, settings, steps, result):
    """(lower bound of a mixture, its successor by EM); (-inf, None) if a component of an accelerated step collapsed."""
    statistics, family = source.e_step(candidate, annotations, assignment), candidate.family
    try:
        successor = family.maximize(statistics, settings.reg_covar, candidate)
        return np.float64(family.lower_bound(statistics, candidate, successor)), successor
    except CollapsedComponent as collapse:
        if steps.is_guarded:
            return -math.inf, None
        raise collapsed_error(collapse, f"at iteration {result.n_iter + 1}") from None


@contextmanager
def collapse_ignored():
    """End the block quietly if a component collapses in it."""
    try:
        yield
    except SourceError:
        raise
    except ValueError:
        pass


@contextmanager
def collapse_reported(when):
    """Raise `collapsed_error` if a component collapses in the block."""
    try:
        yield
    except CollapsedComponent as collapse:
        raise collapsed_error(collapse, when) from None


def collapsed_error(collapse, when):
    """The error with scikit-learn's message, plus which component collapsed, and when."""
    which = "The common covariance" if collapse.component is None else f"Component {collapse.component}"
    return ValueError(
        "Fitting the mixture model failed because some components have ill-defined empirical covariance "
        "(for instance caused by singleton or collapsed samples). Try to decrease the number of components, "
        f"increase reg_covar, or scale the input data. {which} collapsed {when}."
    )
