"""Progress display of a command on a terminal; nothing is shown if standard error isn't one."""

import logging
import math
import sys
from contextlib import contextmanager
from time import perf_counter


class Live:
    """A line on standard error: rows read, then iterations, lower bound, points per second and time left.

    Parameters
    ----------
    is_wanted : bool
    """

    def __init__(self, is_wanted=True):
        self._progress = None
        if is_wanted and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

            columns = SpinnerColumn(), TextColumn("{task.description}"), BarColumn(24)
            self._progress = Progress(*columns, console=Console(stderr=True), transient=True)

    @contextmanager
    def showing(self):
        """Show the line during this block."""
        if self._progress is None:
            yield
            return
        log, listener = logging.getLogger("fastem"), _Listener(self)
        level = log.level
        with self._progress:
            self._task = self._progress.add_task("starting", total=None)
            log.addHandler(listener)
            log.setLevel(logging.INFO)
            try:
                yield
            finally:
                log.removeHandler(listener)
                log.setLevel(level)

    def say(self, text, done=None, of=None):
        """Show what is being done now, and how much of it has been done."""
        if self._progress is not None:
            self._progress.update(self._task, description=text, completed=done or 0, total=of)

    def reading(self, table):
        """A function to call with the number of rows read so far; None if nothing is shown."""
        began = perf_counter()

        def watch(n_rows):
            rate = n_rows / (perf_counter() - began)
            done = table.position if table.n_bytes else None
            self.say(f"reading: {n_rows:,} rows, {_short(rate)} rows/s", done, table.n_bytes)

        return watch if self._progress is not None else None

    def callbacks(self, n_samples, tol, max_iter):
        """Callbacks for `set_callbacks` that show the iterations."""
        return [] if self._progress is None else [_Iterations(self, n_samples, tol, max_iter)]


class _Listener(logging.Handler):
    """Shows what is logged, such as that kernels are being compiled."""

    def __init__(self, live):
        super().__init__(logging.INFO)
        self._live = live

    def emit(self, record):
        self._live.say(record.getMessage())


class _Iterations:
    """A callback that shows every iteration over all the points."""

    def __init__(self, live, n_samples, tol, max_iter):
        self._live, self._n_samples, self._tol, self._max_iter = live, n_samples, tol, max_iter
        self._began = None

    def setup(self, estimator, context):
        self._live.say("searching for a start")

    def on_fit_task_begin(self, estimator, context):
        if context.task_name == "init":
            self._began = None
        elif context.task_name == "iteration" and self._began is None:  # the start has been found
            self._began = perf_counter()

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        if context.task_name != "iteration":
            return
        bounds = fitted_estimator.lower_bounds_
        n_iter, seconds = len(bounds), perf_counter() - self._began
        rate = self._n_samples * n_iter / seconds
        left = _iterations_left(bounds, self._tol, self._max_iter) * seconds / n_iter
        text = f"iteration {n_iter}: {bounds[-1]:.6f} nats per point, {_short(rate)} points/s, {_duration(left)} left"
        self._live.say(text, n_iter, self._max_iter)

    def teardown(self, estimator, context):
        pass


def _iterations_left(bounds, tol, max_iter):
    """Estimated number of iterations until changes are below tol, if they go on shrinking at the last rate."""
    left = max_iter - len(bounds)
    if len(bounds) >= 3 and tol > 0:
        before, last = bounds[-2] - bounds[-3], bounds[-1] - bounds[-2]
        if 0 < last < before:
            left = min(left, max(0, math.ceil(math.log(tol / last) / math.log(last / before))))
    return left


def _short(rate):
    for unit, size in ("G", 1e9), ("M", 1e6), ("k", 1e3):
        if rate >= size:
            return f"{rate / size:.3g} {unit}"
    return f"{rate:.3g}"


def _duration(seconds):
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.0f} min"
