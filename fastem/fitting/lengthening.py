"""Longer steps of a compiled run on few points, once `tol` is met: Python proposes each, and some iterations follow it.

A step in Python takes as long as several compiled iterations. These also lead away from directions in which EM is fast,
so that a few quasi-Newton steps between them end as high as twenty in a row.
"""

import numpy as np

from ..kernels.runs import ABANDONED, CONVERGED, END, GOES_ON, N_ITER, N_LAST, UNUSUAL
from .em import VISIBLE

# Iterations after a step: as many as make this work together, as `few_runs` counts it, within these bounds.
_WORK, _FEWEST, _MOST = 2e7, 4, 12
# Most steps, and iterations that these may take in all.
_STEPS = 8
ROOM = _STEPS * _MOST
# Iterations, the last ones, that a step is chosen by.
_SEEN = 2


class Lengthening:
    """Longer steps of a run that has met `tol`.

    Parameters
    ----------
    runs : few_runs.Runs
    number : int
        Of the run.
    steps : QuasiNewton
    work : float
        Of a pass.
    room : int
        Most iterations of the run.
    progress : Progress

    Attributes
    ----------
    proposals : dict
        The mixtures that longer steps led to, by the iteration, counted from 0, that began with the step.
    n_rejected : int
        Number of longer steps that led lower and were undone.
    stopped : bool
        Whether a listener ended the fit.
    """

    def __init__(self, runs, number, steps, work, room, progress):
        self._runs, self._number, self._steps, self._room, self._progress = runs, number, steps, room, progress
        self._compiled = runs.compiled
        self._status = runs.compiled.runs.status[number]
        self._n_plain = int(np.clip(_WORK / work, _FEWEST, _MOST))
        self._begun = 0  # the last iteration that listeners heard begin
        self.proposals, self.n_rejected, self.stopped = {}, 0, False

    def run(self):
        """Make the steps until parameters change visibly no more, or `_STEPS` are made."""
        all_status = self._compiled.runs.status
        all_status[all_status[:, END] == GOES_ON, END] = ABANDONED
        for step in range(_STEPS + 1):
            n = int(self._status[N_ITER])
            if n <= _SEEN:
                break
            mixtures = [self._runs.mixture(self._number, i) for i in range(n - _SEEN, n + 1)]
            proposal = self._steps.observe_plain(mixtures, self._compiled.bounds(self._number)[-3:])
            self._compiled.runs.change[self._number] = self._steps.remaining_change
            is_last = step == _STEPS or n + _FEWEST > self._room
            if is_last or not self._steps.remaining_change > VISIBLE:
                break
            if not self._follow(proposal, mixtures, n, min(n + self._n_plain, self._room)):
                break

    def _follow(self, proposal, mixtures, n, n_last):
        """Go on from a proposal, None for EM's own step, to iteration `n_last`; whether further steps may follow."""
        if proposal is not None and self._compiled.goes_on_from(self._number, proposal.kernel_inputs()):
            self.proposals[n] = proposal
        self._go_on(n, n_last)
        if n in self.proposals and self._status[N_ITER] == n:
            del self.proposals[n]
            self.n_rejected += 1
            self._steps.reject(mixtures[-2], None)
            self._compiled.goes_on_from(self._number, mixtures[-1].kernel_inputs())
            self._go_on(n, n_last)
        return self._status[END] == CONVERGED and self._status[N_ITER] == n_last and not self.stopped

    def _go_on(self, n, n_last):
        """Make iterations from n to `n_last`, one by one if somebody listens; undo them if one isn't compiled."""
        self._status[END], self._status[N_LAST] = GOES_ON, n_last
        if self._progress.is_silent:
            self._compiled.go_on(n_last, visible=-1.0)
        else:
            self._tell(n_last)
        if self._status[END] == UNUSUAL:
            self._status[END], self._status[N_ITER] = CONVERGED, n
            self._runs.forget_after(self._number, n)

    def _tell(self, n_last):
        result = self._runs.so_far(self._number)
        while result.n_iter < n_last and not self.stopped:
            if result.n_iter >= self._begun:
                self._progress.begin_iteration(result)
                self._begun = result.n_iter + 1
            self._compiled.go_on(result.n_iter + 1, visible=-1.0)
            before, result = result, self._runs.so_far(self._number)
            if result.n_iter == before.n_iter or self._status[END] == UNUSUAL:
                break
            change = result.lower_bound - before.lower_bound
            self.stopped = self._progress.end_iteration(result.n_iter, change, result)
