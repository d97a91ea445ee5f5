"""Runs of EM on few points, from their starts to their results: compiled calls, and what Python decides between them.

The iterations are those of `em.run` with plain steps, to rounding.
"""

import math
from time import perf_counter

import numpy as np

from .. import kernels
from ..kernels.runs import (
    ABANDONED,
    CONVERGED,
    END,
    FELL,
    GOES_ON,
    N_ITER,
    N_LAST,
    UNUSUAL,
    CompiledRuns,
    FewPoints,
    Rules,
    Starts,
)
from ..sources.annotations import n_counted
from ..sources.array import ArraySource, in_memory
from .acceleration import Plain, geometric_rest
from .degeneracy import n_degenerate
from .em import VISIBLE, EMResult, Unfinished, run
from .lengthening import ROOM, Lengthening
from .progress import SILENT

# Iterations of a compiled run, at most, and as a share of max_iter if quasi-Newton steps may follow in Python.
_MOST_ITERATIONS, _SHARE = 100, 0.5
# Work of a call, at most: Ctrl-C waits for its end, about a quarter of a second.
_WORK_OF_CALL = 5e9
# Iterations that may follow once tol is met, as long as parameters change visibly, before the longer steps of
# `lengthening`: compiled ones if they are likely to suffice, at least this many, or as many as take the time of some
# steps in Python, in work as `work_of_pass` has it.
_FURTHER, _WORK_OF_FURTHER = 20, 3e7
# Iterations that may follow where a run met tol in Python; half as many where a pass takes more work than `_SHORT`.
_FURTHER_LONGER, _SHORT = 40, 1e6
# Most iterations of k-means: for one of several starts, and as scikit-learn makes them.
_KMEANS, _KMEANS_TEXTBOOK = 3, 300
# Share of the features' mean variance that the means' moves must exceed for k-means to go on, as in scikit-learn.
_KMEANS_TOLERANCE = 1e-4
# Factor by which the true gain left may exceed its estimate, in the judgement that a run is hopeless.
DOUBT = 4.0
# Share of tol up to which bounds are those of the same optimum, so that the first start's order of components is kept.
_SAME = 0.1


def work_of_pass(source, family, n_components):
    """Work of a pass, in flops of a matrix product that takes as long."""
    kind = getattr(kernels, family.compiled_m_step[0])
    return source.n_samples * n_components * kind.work(source.n_features)


def held(source):
    """The points in memory, as the same array whatever holds them, so that all sources give the same bits."""
    is_held = isinstance(source, ArraySource) and source.dtype == source.precision and source.is_in_memory
    return source if is_held else in_memory(source)


def iterations_of_call(source, family, n_components, n_runs=1):
    """Iterations that a call may make: Ctrl-C waits for its end."""
    return max(1, int(_WORK_OF_CALL / (work_of_pass(source, family, n_components) * n_runs)))


class Fit:
    """What all runs of a fit share.

    Parameters
    ----------
    source : source
    family : CovarianceFamily
    settings : Settings
    annotations : Annotations
        Weights only.
    is_patient : bool
        Whether runs go on until the estimate of what is left to gain is below tol, and end where the bound falls.
    """

    def __init__(self, source, family, settings, annotations, is_patient):
        self.source = held(source)
        self.family, self.settings, self.annotations, self.is_patient = family, settings, annotations, is_patient
        self.points = FewPoints(self.source.X, annotations.weights)
        self.most_iterations = min(math.ceil(settings.max_iter * (_SHARE if is_patient else 1)), _MOST_ITERATIONS)
        # Of the run that is kept, if it is reopened.
        self.most_of_reopened = min(settings.max_iter, _MOST_ITERATIONS)

    def kmeans(self, generator, n_starts, n_components):
        """Starts by k-means: even ones measure all features in one unit, odd ones each in its own deviation."""
        uniforms = generator.uniform(size=(n_starts, 1 + (n_components - 1) * (2 + int(math.log(n_components)))))
        units = np.ones((n_starts, self.source.n_features))
        if self.has_units:
            units[1::2] = self.points.deviations
        return Starts(uniforms, units, _KMEANS_TOLERANCE * np.square(self.points.deviations / units).mean(axis=1))

    @property
    def has_units(self):
        """Whether features have deviations to be measured in."""
        return self.source.n_features > 1 and bool((self.points.deviations > 0).all())

    def runs(self, starts, n_components=None, most_iterations=None):
        """Runs from k-means `Starts` or from a list of mixtures."""
        return Runs(self, starts, n_components or self.settings.n_components, most_iterations or self.most_iterations)


class Runs:
    """Runs of one fit, each from its own start."""

    def __init__(self, fit, starts, n_components, most_iterations):
        settings = fit.settings
        self._fit, self._starts = fit, starts
        self._n_components, self.most_iterations = n_components, most_iterations
        kind, averaged = fit.family.compiled_m_step
        n_kmeans = _KMEANS if fit.is_patient else _KMEANS_TEXTBOOK
        # Floats, even if the user wrote 0: for integers all would be compiled once more.
        tol, reg_covar = float(settings.tol), float(settings.reg_covar)
        rules = Rules(tol, fit.is_patient, VISIBLE, reg_covar, averaged, n_kmeans)
        kind = getattr(kernels, kind)
        given = starts if isinstance(starts, Starts) else [start.kernel_inputs() for start in starts]
        room = max(most_iterations, fit.most_of_reopened) + ROOM
        self.compiled = CompiledRuns(fit.points, kind, n_components, given, rules, room)
        self._status = self.compiled.runs.status
        self._mixtures = {}  # (number of a run, iteration): the mixture that its M-step makes
        self._lengthening = None  # of the run that is kept
        self._reopened = {}  # number of a run that was let go on: its iterations when it had met tol

    def go_on(self, n_iter=_MOST_ITERATIONS):
        """Make further iterations of every run that hasn't ended, up to `n_iter` in all; in calls that are short."""
        n_iter = min(n_iter, self._fit.most_of_reopened if self._reopened else self.most_iterations)
        step = iterations_of_call(self._fit.source, self._fit.family, self._n_components, len(self._status))
        for n in range(min(step, n_iter), n_iter + step, step):
            self.compiled.go_on(min(n, n_iter))
        return self

    def reopen(self, number):
        """Whether a run that has met tol may go on, alone: its parameters change visibly, but not for long.

        After every `_FURTHER` iterations it is asked again, as the change may turn out to fall more slowly.
        """
        status, change = self._status[number], self.compiled.runs.change[number]
        if not (self._fit.is_patient and status[END] == CONVERGED and change > VISIBLE):
            return False
        n_iter, work = int(status[N_ITER]), work_of_pass(self._fit.source, self._fit.family, self._n_components)
        n_most = self._reopened.get(number, n_iter) + max(_FURTHER, int(_WORK_OF_FURTHER / work))
        n_further = min(n_most, self._fit.most_of_reopened) - n_iter
        before, last = np.diff(self.compiled.bounds(number)[-3:])
        if not (n_further > 0 and 0 < last < before and change * math.sqrt(last / before) ** n_further < VISIBLE):
            return False
        self._status[self._status[:, END] == GOES_ON, END] = ABANDONED
        status[END], status[N_LAST] = GOES_ON, n_iter + min(_FURTHER, n_further)
        self._reopened.setdefault(number, n_iter)
        return True

    @property
    def n_iter(self):
        """Iterations of all runs together."""
        return int(self._status[:, N_ITER].sum())

    def n_iter_of(self, number):
        """Iterations of one run."""
        return int(self._status[number, N_ITER])

    @property
    def lower_bounds(self):
        """The last bound of each run, (S,); -inf if it needs steps that are not compiled."""
        bounds = self.compiled.runs.bounds[np.arange(len(self._status)), self._status[:, N_ITER] - 1]
        return np.where(self.are_unusual, -np.inf, bounds)

    @property
    def are_unusual(self):
        """Whether each run needs steps that are not compiled, (S,)."""
        return self._status[:, END] == UNUSUAL

    def abandon_hopeless(self, bound=-math.inf):
        """End runs that can't reach this bound or the highest of all, whatever their gains are likely to be."""
        bounds = self.lower_bounds
        for number in np.flatnonzero(self._status[:, END] == GOES_ON):
            last = self.compiled.bounds(number)[-3:]
            if len(last) == 3 and last[-1] + DOUBT * geometric_rest(*np.diff(last)) < max(bound, bounds.max()):
                self._status[number, END] = ABANDONED
        return self

    def best(self):
        """(number, bound, number of degenerate components) of the highest run among those with fewest of these.

        It is the first one as high as that, but for what convergence to tol leaves open: components keep their order.
        """
        bounds, fit = self.lower_bounds, self._fit
        found, left = None, bounds > -np.inf
        while left.any():
            number = int(np.argmax(left & (bounds >= bounds[left].max() - _SAME * fit.settings.tol)))
            left[number] = False
            n = n_degenerate(self.mixture(number), n_counted(fit.source, fit.annotations), fit.settings.reg_covar)
            if found is None or n < found[2]:
                found = number, bounds[number], n
            if n == 0:
                break
        return found

    def mixture(self, number, n_iter=None):
        """The mixture that the M-step of an iteration makes, by default the last one; 0: the start."""
        if n_iter == 0 and not isinstance(self._starts, Starts):
            return self._starts[number]
        n_iter = self.n_iter_of(number) if n_iter is None else n_iter
        if (number, n_iter) not in self._mixtures:
            inputs, centres, sums = self.compiled.sums(number, n_iter)
            statistics = self._fit.family.statistics_of_pass(inputs, centres, sums)
            self._mixtures[number, n_iter] = self._fit.family.maximize(statistics, self._fit.settings.reg_covar)
        return self._mixtures[number, n_iter]

    def forget_after(self, number, n_iter):
        """Forget mixtures of later iterations, which are made anew."""
        self._mixtures = {key: value for key, value in self._mixtures.items() if key[0] != number or key[1] <= n_iter}

    def so_far(self, number):
        """The EMResult of a run's iterations so far."""
        bounds = self.compiled.bounds(number).tolist()
        n, end = len(bounds), self._status[number, END]
        result = EMResult(self._evaluated(number, n) if end == FELL else self.mixture(number, n), bounds)
        result.converged, result.steps = end in (CONVERGED, FELL), Plain()
        result.kinds = ["accelerated" if i in self._proposals else "plain" for i in range(n)]
        if self._lengthening is not None:
            result.converged, result.stopped = True, self._lengthening.stopped
            result.n_rejected = self._lengthening.n_rejected
        if self._fit.is_patient and n > 2:
            result.remaining_gain = 0.0 if end == FELL else geometric_rest(*np.diff(bounds[-3:]))
            result.remaining_change = 0.0 if end == FELL else float(self.compiled.runs.change[number])
        return result

    @property
    def _proposals(self):
        return {} if self._lengthening is None else self._lengthening.proposals

    def _evaluated(self, number, n_iter):
        """The mixture whose bound is that of an iteration."""
        return self._proposals.get(n_iter - 1) or self.mixture(number, n_iter - 1)

    def result(self, number, report, name, progress=SILENT, begin=None):
        """The EMResult of a run, continued in Python if it isn't done, and added to the report as a stage.

        begin: the time from which the stage's seconds count; None: now.
        """
        begin = perf_counter() if begin is None else begin
        while self.reopen(number):
            self.go_on()
        self.go_on()
        is_changing = self.compiled.runs.change[number] > VISIBLE
        if self._fit.is_patient and self._status[number, END] == CONVERGED and is_changing:
            self._lengthen(number, progress)
        result = self.so_far(number)
        if not result.converged and result.n_iter < self._fit.settings.max_iter:
            return self._continued(number, result, report, name, progress)
        report.add(name, self._fit.source, result, perf_counter() - begin)
        return report.of(result)

    def _lengthen(self, number, progress):
        fit, work = self._fit, work_of_pass(self._fit.source, self._fit.family, self._n_components)
        steps, room = fit.settings.longer_steps(fit.family), min(fit.settings.max_iter, fit.most_of_reopened + ROOM)
        self._lengthening = Lengthening(self, number, steps, work, room, progress)
        self._lengthening.run()

    def _continued(self, number, result, report, name, progress):
        fit = self._fit
        accepted, successor = self.mixture(number, result.n_iter - 1), result.parameters
        steps = fit.settings.steps(fit.family)
        candidate = steps.observe(accepted, successor, result.lower_bound)
        trace = list(result.lower_bounds), list(result.kinds)
        is_short = work_of_pass(fit.source, fit.family, self._n_components) <= _SHORT
        n_further = (_FURTHER_LONGER if is_short else _FURTHER_LONGER // 2) if fit.is_patient else 0
        unfinished = Unfinished(accepted, successor, candidate, steps, *trace, 0, fit.source.n_samples, n_further)
        return run(
            fit.source, self.mixture(number, 0), fit.settings, annotations=fit.annotations, unfinished=unfinished,
            progress=progress, report=report, name=name,
        )  # fmt: skip

    def told(self, number, report, name, progress):
        """`result` of a run that is made again, iteration by iteration, for those who listen."""
        fit, only, begin = self._fit, slice(number, number + 1), perf_counter()
        is_kmeans = isinstance(self._starts, Starts)
        start = Starts(*(values[only] for values in self._starts)) if is_kmeans else self._starts[only]
        again = fit.runs(start).go_on(0)
        result = again.so_far(0)
        for n in range(1, fit.most_of_reopened + 1):
            progress.begin_iteration(result)
            again.go_on(n).reopen(0)
            before, result = result, again.so_far(0)
            result.stopped = progress.end_iteration(n, result.lower_bound - before.lower_bound, result)
            is_at_end = n == again.most_iterations and not again._reopened
            if result.stopped or is_at_end or again._status[0, END] != GOES_ON:
                break
        if result.stopped:
            report.add(name, fit.source, result, perf_counter() - begin)
            return report.of(result)
        return again.result(0, report, name, progress, begin)
