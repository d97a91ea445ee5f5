"""Longer steps of a compiled run on few points, once `tol` is met: Python proposes each, and some iterations follow it.

A step in Python takes as long as many compiled iterations. These also clean what they see of the curvature from
directions in which EM is fast, so that a few quasi-Newton steps between them lead higher than twenty in a row.
"""

import numpy as np

from ..kernels.runs import ABANDONED, CONVERGED, GOES_ON, N_ITER, N_LAST, UNUSUAL
from ..kernels.runs import END as _END
from .em import VISIBLE

# Iterations after a step: as many as take about as long, in work as in `few`, within these bounds.
_WORK, _FEWEST, _MOST = 1.2e7, 4, 12
# Most steps.
_STEPS = 8
# Iterations, the last ones, that are looked at.
_SEEN = 2


class Lengthening:
    """Longer steps of a run that has met `tol`.

    Parameters
    ----------
    compiled : CompiledRuns
    number : int
        Of the run.
    mixture : function of a number of iterations
        The mixture that the M-step of the run's iteration makes.
    steps : QuasiNewton
    work : float
        Of a pass.
    room : int
        Most iterations of the run.

    Attributes
    ----------
    proposals : dict
        The mixture that a longer step led to, by the iteration, counted from 0, that began with it.
    n_rejected : int
        Number of longer steps that led lower and were undone.
    """

    def __init__(self, compiled, number, mixture, steps, work, room):
        self._compiled, self._number, self._mixture, self._steps, self._room = compiled, number, mixture, steps, room
        self._status = compiled.runs.status[number]
        self._n_plain = int(np.clip(_WORK / work, _FEWEST, _MOST))
        self.proposals, self.n_rejected = {}, 0

    def run(self, go_on):
        """Make the steps until parameters change visibly no more, or `_STEPS` are made.

        go_on: function (number of iterations in all) that makes them; returns whether a listener ends the fit.
        """
        others = self._compiled.runs.status
        others[others[:, _END] == GOES_ON, _END] = ABANDONED
        for step in range(_STEPS + 1):
            n = int(self._status[N_ITER])
            if n <= _SEEN:
                break
            mixtures = [self._mixture(i) for i in range(n - _SEEN, n + 1)]
            proposal = self._steps.observe_plain(mixtures, self._compiled.bounds(self._number)[-3:])
            self._compiled.runs.change[self._number] = self._steps.remaining_change
            is_last = step == _STEPS or n + _FEWEST > self._room
            if is_last or not self._steps.remaining_change > VISIBLE:
                break
            if self._follow(proposal, mixtures, n, min(n + self._n_plain, self._room), go_on):
                break

    def _follow(self, proposal, mixtures, n, n_last, go_on):
        """Go on from a proposal, None for EM's own step, to iteration `n_last`; whether this ends the steps."""
        if proposal is not None and self._compiled.goes_on_from(self._number, proposal.kernel_inputs()):
            self.proposals[n] = proposal
        is_stopped = self._reopened(n, n_last, go_on)
        if n in self.proposals and self._status[N_ITER] == n:
            del self.proposals[n]
            self.n_rejected += 1
            self._steps.reject(mixtures[-2], None)
            self._compiled.goes_on_from(self._number, mixtures[-1].kernel_inputs())
            is_stopped = self._reopened(n, n_last, go_on)
        return is_stopped or self._status[_END] != CONVERGED or self._status[N_ITER] == n

    def _reopened(self, n, n_last, go_on):
        """Whether a listener ends the fit in iterations from n, which are undone if they need what is not compiled."""
        self._status[_END], self._status[N_LAST] = GOES_ON, n_last
        is_stopped = go_on(n_last)
        if self._status[_END] == UNUSUAL:
            self._status[_END], self._status[N_ITER] = CONVERGED, n
        return is_stopped
