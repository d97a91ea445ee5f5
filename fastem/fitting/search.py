"""Accelerated EM without a start: starts are tried on samples, and the best is followed by EM over all the points.

In most iterations of EM a sample would do as well as all the points, and the start decides which optimum EM finds. So
starts and early iterations take place on samples, where passes cost little: several short fits to a small sample; the
best is improved by splitting and merging components; then it is followed through larger samples, until only the full
data can improve the fit.

What each part gains (medians of eight seeds; nats per point; passes over all the points, those over samples by size):
- samples: 9 passes in place of 20 at 200,000 x 10, K=16;
- seeds in excess: 0.07 nats on the pixels of a photo, K=8; three starts, not one: 0.02 nats on digits, full;
- split and merge: 0.013 nats on digits, diag;
- quasi-Newton steps: 9 passes in place of 17 at 200,000 x 10; a fifth to a thirtieth of the passes where EM is slow;
- stopping by the estimate of what is left to gain: 0.03 nats on the photo, 0.005 on components of unequal weights;
- stopping one pass earlier where gains fall superlinearly: 3 passes in place of 4 at 200,000 x 32, K=16.
"""

from dataclasses import replace
from functools import partial
from time import perf_counter

import numpy as np

from ..model import reduction
from ..sources.annotations import NO_ANNOTATIONS, n_counted
from ..sources.array import in_memory, sample
from . import em, few, initialization, relocation, wide
from .degeneracy import n_degenerate, on_few_points
from .em import VISIBLE, collapse_ignored, run
from .few_runs import DOUBT
from .plain import best_start
from .progress import SILENT, Progress
from .report import ALL, FitReport
from .sample_sizes import EXP, noise, sample_sizes

# Number of starts at n_init=1.
_STARTS = 3
# Number of starts, the best of all, that are followed on the second sample, if the budget allows.
_FINALISTS = 2

# Iterations with more components than wanted, before these are merged.
_IN_EXCESS = 12
# Iterations of a start, after merging, before starts are compared.
_SHORT = 5
# Most iterations of a run on a sample.
_LONG = 100
# Share of a sample's noise (`noise`) that is added to tol for runs on the sample.
_NOISE = 0.2

# Iterations after a component was moved, before the run may be judged hopeless.
_MOVED = 8

# Least number of iterations that may follow once tol is met, where a pass is quick; see `_n_further`.
_FURTHER = 20

# Share of tol that ends a run with a moved component, in place of tol.
_UNHURRIED = 0.01

# Most points that are evaluated to see where a mixture fits badly.
_LOOKED_AT = 20_000

# Most rounds of splitting and merging, and of reseeding; the first that leads no higher is the last.
_ROUNDS = 2

# Budget of what follows the first start: this many passes over all the points,
_PASSES = 4
# and in addition work for this many points times free parameters, some hundredths of a second.
_FREE = 2e8

# Work of a pass up to which a fit goes on after tol is met.
_QUICK_PASS = 5e7
# Number of features from which data with no more points than features get plain EM alone: reg_covar determines every
# bound, and an accelerated step in so many dimensions takes D**3 multiplications.
_WIDE = 64


def fit(source, family, settings, random_state, *, annotations=NO_ANNOTATIONS, progress=SILENT):
    """Accelerated EM: a search on samples, then all the points, by quasi-Newton steps.

    Only for softly assigned points without labels: merging and splitting would separate components from their labels.

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
    """
    return _Search(source, family, settings, random_state, annotations, progress).result()


class _Search:
    """One search; `points` is always a pair (source, annotations) here."""

    def __init__(self, source, family, settings, random_state, annotations, progress):
        self._all = source, annotations
        self._family = family
        self._settings = settings
        self._random_state = random_state
        self._progress = progress
        self._report = FitReport()
        self._n_free = family.n_free_in_all(settings.n_components, source.n_features)
        self._sizes = sample_sizes(source, family, settings.n_components, settings.tol)
        self._is_few = not self._sizes and few.apply(source, family, settings, annotations)
        self._spent = 0
        self._looked_at = None, None

    def result(self):
        """The EMResult over all the points, with the report of the whole search."""
        self._progress.begin(0)
        result = None
        if self._needs_search():
            # A mixture found on a sample may collapse on all the points.
            with collapse_ignored():
                result = self._over_all() if self._sizes else self._of_few()
        if result is None:
            result = self._plain()
        self._progress.end(result)
        return self._report.of(result)

    def _plain(self):
        """A run over all the points from the start of textbook EM."""
        if self._is_flat:
            if wide.applies(self._all[0], self._family, self._settings, self._all[1]):
                return self._in_few_directions()
            return self._run(ALL, self._all, self._plain_start(self._all), self._settings, progress=self._progress)
        return self._to_the_end(self._plain_start(self._all), self._steps(), progress=self._progress)

    def _in_few_directions(self):
        begin = perf_counter()
        given = self._all[0], self._family, self._settings, self._random_state, self._all[1]
        result = wide.fit(*given, self._progress)
        self._report.add(ALL, self._all[0], result, perf_counter() - begin)
        return result

    def _of_few(self):
        """The best run if no sample is used: every run is over all the points. None if all starts collapse."""
        best = self._compiled_run(0) if self._is_few else None
        if best is None:
            if self._settings.n_components == 1:
                return None
            best = self._first_best(self._all, self._all)
        if best is None:
            return None
        best = self._further(best)
        for better in self._bettered(best, self._all, self._all, self._further):
            best = better
        if best.tell is not None:
            return best if self._progress.is_silent else best.tell(self._report, ALL, self._progress)
        if best.converged and best.n_iter <= self._settings.max_iter and self._progress.is_silent:
            return best
        # Run it again from its start: to be heard by the listeners, or under the user's max_iter, not the search's.
        return self._to_the_end(best.start, self._steps(), self._progress)

    def _compiled_run(self, i):
        """The best of the runs from several starts that are compiled whole; None if they can't be."""
        source, annotations = self._all
        begin = perf_counter()
        found = few.search(source, self._family, self._settings, self._random_state, annotations)
        if found is None:
            return None
        runs, number, n_iter = found
        seconds, bound = perf_counter() - begin, runs.lower_bounds[number]
        self._report.add_search(source, self._settings.n_components, n_iter, seconds, bound)
        result = runs.result(number, self._report, f"start {i}")
        self._spent += (n_iter + result.n_iter) * source.n_samples * self._settings.n_components
        result.tell = partial(runs.told, number)
        return result

    def _further(self, result):
        """The run, which ended when `tol` was met, continued by the iterations that may follow."""
        is_last = result.tell is not None or result.n_iter >= self._settings.max_iter
        if is_last or result.last is None or not result.converged:
            return result
        if not result.remaining_change > VISIBLE:
            return result
        unfinished = replace(result.last, n_last=result.n_iter + self._n_further())
        return self._run("further", self._all, result.start, self._settings, unfinished=unfinished)

    def _n_further(self):
        """Iterations that may follow once `tol` is met, while parameters change visibly.

        As many as take about as long as the search did, but at least `_FURTHER`. 0 where a pass takes long: there only
        the user's `tol` decides.
        """
        source, n_components = self._all[0], self._settings.n_components
        if self._sizes and source.n_samples * (self._n_free + EXP * n_components) > _QUICK_PASS:
            return 0
        return max(_FURTHER, self._spent // (source.n_samples * n_components))

    def _over_all(self):
        """The best run over all the points, of one from each mixture that became the best on the samples.

        None if all starts collapse.
        """
        first = self._sample(self._sizes[0])
        points = self._sample(self._sizes[1]) if self._sizes[1:] else first
        best = self._first_best(first, points)
        if best is None:
            return None
        for size in self._sizes[2:]:
            points = self._sample(size)
            best = self._reseeded(self._climb("sample", best.parameters, points, best.steps), points)
        is_only = self._settings.n_init == 1
        start = best.parameters, best.steps.copy()
        result = self._to_the_end(*start, self._progress if is_only else SILENT)
        kept = self._report.stages[-1]
        try:
            for better in self._bettered(best, first, points):
                other_start = better.parameters, better.steps.copy()
                with collapse_ignored():
                    other = self._to_the_end(*other_start)
                    if self._winner(other, result, self._all) is other:
                        result, start, kept = other, other_start, self._report.stages[-1]
        except em.SourceError as error:
            error.result = replace(result, converged=False)
            raise
        if not (is_only or self._progress.is_silent):
            result = self._to_the_end(*start, self._progress)
            kept = self._report.stages[-1]
        self._report.stages.sort(key=lambda stage: stage is kept)
        return result

    def _to_the_end(self, start, steps, progress=SILENT):
        """A run over all the points, until it has converged."""
        steps = steps.copy()
        steps.start_anew()
        settings = replace(self._settings, n_further=self._n_further())
        return self._run(ALL, self._all, start, settings, steps=steps, progress=progress)

    def _first_best(self, first, points):
        """The best run on these points that `n_init=1` finds, its starts tried on the first sample."""
        best = self._best(range(_STARTS), first, points)
        return None if best is None else self._reseeded(self._split_and_merge(best, points), points)

    def _bettered(self, best, first, points, finished=lambda result: result):
        """Yield each run on these points that ends higher than all before it, in `n_init - 1` further searches.

        Each search may do as much work as the first one, including its run over all the points. It first follows a new
        start to the end; then, time after time, it moves one component of the best mixture. `finished` continues a run
        to the iteration at which runs are compared.
        """
        work = self._spent
        for i in range(1, self._settings.n_init):
            number = _STARTS + i - 1
            other = self._from_start(number, first, points)
            if (other := self._winner(other, best, points, finished)) is not best:
                best, self._report.best_start = other, number
                yield best
            while self._spent < (i + 1) * work:
                before = self._spent
                other = self._moved(best, points, relocation.relocated)
                if (other := self._winner(other, best, points, finished)) is not best:
                    best = other
                    yield best
                if self._spent == before:
                    break

    def _from_start(self, i, first, points):
        """A run on these points from start number i, found on the first sample; None if it collapses."""
        if self._is_few and (found := self._compiled_run(i)) is not None:
            return found
        with collapse_ignored():
            return self._climb(f"run {i}", self._short_fit(i, first).parameters, points)
        return None

    def _winner(self, other, best, points, finished=lambda result: result):
        """The other run, finished, if it ends higher at all, else the best; so a larger n_init is never worse."""
        if other is None or _is_hopeless(other, best.lower_bound):
            return best
        other = finished(other)
        last = max(self._settings.max_iter, 1)  # max_iter may end the run early, so it is compared there, too
        ends_higher = other.lower_bounds[:last][-1] > best.lower_bounds[:last][-1]
        is_higher = other.lower_bound > best.lower_bound and ends_higher
        return other if is_higher and not self._is_more_degenerate(other, best, points) else best

    def _reseeded(self, best, points):
        """The best run, after moving its least useful component to points that none fits, as long as this is better."""
        for _ in range(_ROUNDS):
            other = self._moved(best, points, relocation.reseeded)
            if other is None or not self._is_better(other, best, points):
                break
            best = other
        return best

    def _moved(self, best, points, move):
        """A run from the best mixture with one component moved, ended once it can't catch up; None if it fails."""
        with collapse_ignored():
            start = move(best.parameters, self._few_points(points).completed(best.parameters), self._random_state)
            if start is not None:
                # It may rise slowly at first, so tol is small; as a rule it ends because it can't reach the best.
                settings = self._few(_LONG, _UNHURRIED * self._settings.tol)
                listener = Progress(_Hopeless(best.lower_bound))
                steps = self._steps()
                return self._run("moved", points, start, settings, steps=steps, progress=listener)
        return None

    def _steps(self):
        return self._settings.longer_steps(self._family)

    def _few_points(self, points):
        """These points, or a sample drawn evenly from them, in memory: to see where a mixture fits badly."""
        if self._looked_at[0] is not points:
            source, annotations = points
            size = min(source.n_samples, _LOOKED_AT)
            is_all = size == source.n_samples and annotations.weights is None
            state = np.random.RandomState(0)
            self._looked_at = points, in_memory(source) if is_all else sample(source, size, state, annotations.weights)
        return self._looked_at[1]

    def _needs_search(self):
        settings = self._settings
        is_one = settings.n_components == 1 and not self._is_few  # its optimum doesn't depend on the start
        can_be = self._family.components_are_alike and not (is_one or self._is_flat)
        return can_be and all(value is None for value in settings.init)

    @property
    def _is_flat(self):
        """Whether every covariance matrix is singular without reg_covar, and so large that each step takes long."""
        source, family = self._all[0], self._family
        is_singular = max(source.n_samples, _WIDE) < family.least_points(source.n_features)
        return family is family.plain and is_singular

    def _sample(self, size):
        source, annotations = self._all
        return sample(source, size, self._random_state, annotations.weights), NO_ANNOTATIONS

    def _plain_start(self, points):
        return best_start(points[0], self._family, self._settings, self._random_state, points[1])

    def _best(self, numbers, first, points):
        """The best run on these points from starts with these numbers, which are first tried on the first sample.

        An earlier run is kept unless a later one is clearly better.
        """
        reached = []
        for i in numbers:
            before = self._spent
            with collapse_ignored():
                reached.append((self._short_fit(i, first), i))
            if not self._affords(self._spent - before):
                break
        # Otherwise scikit-learn's own start stays the first, which others have to beat.
        if self._sizes or self._family.expects_outliers:
            reached.sort(key=lambda each: (self._n_degenerate(each[0], first), -each[0].lower_bound))
        best = None
        for short, i in reached[: _FINALISTS if self._sizes else _STARTS]:
            before = self._spent
            # On the same points, the run begins at the start, so that it includes every iteration.
            start = short.parameters if points is not first else short.start
            with collapse_ignored():
                result = self._climb(f"run {i}", start, points)
                if best is None or self._is_better(result, best, points):
                    best, self._report.best_start = result, i
            if self._sizes and best is not None and not self._affords(self._spent - before):
                break
        return best

    def _affords(self, cost):
        """Whether the budget of the search covers this further cost, in points times components."""
        n_components = self._settings.n_components
        free = _FREE * n_components / self._n_free
        return self._spent + cost <= _PASSES * self._all[0].n_samples * n_components + free

    def _short_fit(self, i, points):
        """A few iterations from start number i; start 0 is scikit-learn's if no sample is used."""
        settings = self._settings
        if settings.init_params != "kmeans" or (i == 0 and points is self._all):
            found = self._plain_start(points)
        else:
            seeds = initialization.in_excess(*points, self._family, settings, self._random_state, i)
            found = self._run(f"seeds {i}", points, seeds, self._few(_IN_EXCESS)).parameters
            found = self._merged(found, points)
        return self._run(f"start {i}", points, found, self._few(_SHORT), steps=self._steps())

    def _merged(self, parameters, points):
        """The mixture with as many components as asked for, none of them on too few points as far as this can be."""
        return reduction.merged(parameters, self._settings.n_components, on_few_points(parameters, n_counted(*points)))

    def _split_and_merge(self, best, points):
        """The best run, after splitting all components, EM, merging as many and EM, as long as this is better.

        After Ueda et al. 2000, who try a few components, one at a time.
        """
        settings = self._settings
        for _ in range(_ROUNDS):
            cost = 3 * _IN_EXCESS * points[0].n_samples * settings.n_components
            if not self._affords(cost):
                break
            with collapse_ignored():
                halves = reduction.split(best.parameters, self._random_state)
                halves = self._run("split", points, halves, self._few(_IN_EXCESS)).parameters
                other = self._climb("merged", self._merged(halves, points), points)
                if not self._is_better(other, best, points):
                    break
                best = other
        return best

    def _climb(self, name, start, points, steps=None):
        """A quasi-Newton run until what is left to gain is small beside the noise of these points."""
        steps = steps or self._steps()
        steps.start_anew()
        settings = self._few(_LONG, self._settings.tol + _NOISE * self._noise(points))
        return self._run(name, points, start, settings, steps=steps)

    def _few(self, n_iter, tol=0.0):
        return replace(self._settings, tol=tol, max_iter=n_iter)

    def _run(self, name, points, start, settings, **kwargs):
        """`em.run`, with a stage in the report."""
        result = run(points[0], start, settings, annotations=points[1], report=self._report, name=name, **kwargs)
        stage = self._report.stages[-1]
        self._spent += stage.n_passes * stage.n_samples * stage.n_components
        if name != ALL:
            self._progress.end_stage(stage)
        return result

    def _is_better(self, other, best, points):
        """Whether the other run is clearly better: by more than tol, and by more than a tenth of a sample's noise.

        It must not have more degenerate components: where points repeat, lie in a plane or are few, these raise the
        log-likelihood as far as reg_covar lets them, and say nothing about the data.
        """
        margin = max(self._settings.tol, 0.1 * self._noise(points))
        higher = other.lower_bound > best.lower_bound + margin
        return higher and not self._is_more_degenerate(other, best, points)

    def _is_more_degenerate(self, other, best, points):
        return self._n_degenerate(other, points) > self._n_degenerate(best, points)

    def _n_degenerate(self, result, points):
        return n_degenerate(result.parameters, n_counted(*points), self._settings.reg_covar)

    def _noise(self, points):
        return 0.0 if points[0] is self._all[0] else noise(self._n_free, points[0].n_samples)


class _Hopeless:
    """Listener that ends a run once it can't reach a bound, judged by what it has left to gain.

    Parameters
    ----------
    bound : float
        Mean log-likelihood, nats.
    """

    def __init__(self, bound):
        self._bound = bound

    def begin_iteration(self, result):
        pass

    def end_iteration(self, iteration, change, result):
        return iteration >= _MOVED and _is_hopeless(result, self._bound)


def _is_hopeless(result, bound):
    """Whether a run can't reach a bound, even if it gains `DOUBT` times what is left to gain by the estimate."""
    return result.lower_bound + DOUBT * result.remaining_gain < bound
