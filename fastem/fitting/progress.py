"""Reports from a running fit: scikit-learn's verbose lines and its callbacks."""

from time import perf_counter

import numpy as np


class Progress:
    """Tells its listeners of starts and iterations; there may be none."""

    def __init__(self, *listeners):
        self._listeners = listeners

    @property
    def is_silent(self):
        """Whether nobody listens."""
        return not self._listeners

    def begin(self, init):
        """Run number `init` begins with the search for its start."""
        for listener in self._listeners:
            listener.begin(init)

    def begin_iteration(self, result):
        """An iteration begins, from the EMResult so far."""
        for listener in self._listeners:
            listener.begin_iteration(result)

    def end_iteration(self, iteration, change, result):
        """An iteration is done, with this change of the lower bound and this EMResult so far.

        True: a listener wants the run to end.
        """
        return any([listener.end_iteration(iteration, change, result) for listener in self._listeners])

    def end_stage(self, stage):
        """A run on a sample, or on all the points, is over."""
        for listener in self._listeners:
            listener.end_stage(stage)

    def end(self, result):
        """The run is over. True: a listener wants no further run."""
        return any([listener.end(result) for listener in self._listeners])


SILENT = Progress()


class PrintedLines:
    """Prints what scikit-learn prints, to standard output.

    Parameters
    ----------
    verbose : int
        1 prints starts and iterations, 2 and more also seconds and the change of the lower bound.
    interval : int
        A line is printed after every `interval`-th iteration.
    bound : str
        What the lower bound is called in the lines.
    """

    def __init__(self, verbose, interval, bound):
        self._verbose = verbose
        self._interval = interval
        self._bound = bound

    def begin(self, init):
        print(f"Initialization {init}", flush=True)
        self._begun = self._last = perf_counter()

    def begin_iteration(self, result):
        pass

    def end_iteration(self, iteration, change, result):
        if iteration % self._interval:
            return
        details = ""
        if self._verbose >= 2:
            now = perf_counter()
            details = f"\t time lapse {now - self._last:.5f}s\t ll change {change:.5f}"
            self._last = now
        print(f"  Iteration {iteration}{details}", flush=True)

    def end_stage(self, stage):
        print(
            f"  {stage.name}: {stage.n_samples:,} points, {stage.n_components} components, {stage.n_iter} iterations, "
            f"{self._bound} {stage.lower_bound:.6f}",
            flush=True,
        )

    def end(self, result):
        if not result.lower_bounds:
            return
        details = ""
        if self._verbose >= 2:
            lapse = perf_counter() - self._begun
            details = f" time lapse {lapse:.5f}s\t lower bound {result.lower_bound:.5f}."
        print(f"Initialization {'converged' if result.converged else 'did not converge'}.{details}", flush=True)


class CallbackTasks:
    """Calls an estimator's scikit-learn callbacks: a task for the fit, one for each start, one for each iteration.

    Parameters
    ----------
    estimator : estimator
    X, y : array-like
        As the user passed them.
    n_samples : int
    max_iter, n_init : int
    attributes : callable
        The estimator's fitted attributes, a dict, for an EMResult.
    """

    def __init__(self, estimator, X, y, *, n_samples, max_iter, n_init, attributes):
        # ScoringMonitor doesn't score if y is None, so zeros stand in for it: GaussianMixture.score ignores y.
        # scikit-learn calls a callable value when a callback asks for it.
        self._data = {
            "estimator": estimator,
            "X": (lambda: X) if callable(X) else X,
            "y": (lambda: np.zeros(n_samples)) if y is None else y,
        }
        self._max_iter = max_iter
        self._attributes = attributes
        self._fit = estimator._init_callback_context(task_name="fit", max_subtasks=n_init)
        self._fit.call_on_fit_task_begin(**self._data)

    def begin(self, init):
        self._run = self._fit.subcontext(task_name="init", max_subtasks=self._max_iter)
        self._run.call_on_fit_task_begin(**self._data)

    def begin_iteration(self, result):
        self._iteration = self._run.subcontext(task_name="iteration")
        self._iteration.call_on_fit_task_begin(**self._data, reconstruction_attributes=lambda: self._attributes(result))

    def end_iteration(self, iteration, change, result):
        return self._end(self._iteration, lambda: self._attributes(result))

    def end_stage(self, stage):
        pass

    def end(self, result):
        return self._end(self._run, lambda: self._attributes(result))

    def end_fit(self):
        """The estimator has its fitted attributes."""
        self._end(self._fit, {})

    def _end(self, task, attributes):
        return task.call_on_fit_task_end(**self._data, reconstruction_attributes=attributes)
