"""Progress display of a command on a terminal; nothing is shown if standard error isn't one."""

import logging
import sys
from contextlib import contextmanager
from time import perf_counter


class Live:
    """A line on standard error: rows read, then iterations, lower bound, points per second and seconds so far.

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

    def callbacks(self, n_samples):
        """Callbacks for `set_callbacks` that show the iterations."""
        return [] if self._progress is None else [_Iterations(self, n_samples)]

    def selecting(self):
        """Callbacks for `select` that show the combinations."""
        return [] if self._progress is None else [lambda step: self.say(str(step), step.n_done, step.n_all)]


class _Listener(logging.Handler):
    """Shows what is logged, such as that kernels are being compiled."""

    def __init__(self, live):
        super().__init__(logging.INFO)
        self._live = live

    def emit(self, record):
        self._live.say(record.getMessage().partition(";")[0])  # the line is narrow


class _Iterations:
    """A callback that shows every iteration over all the points.

    It tells no time left: how many iterations there will be is known only when they are done.
    """

    def __init__(self, live, n_samples):
        self._live, self._n_samples = live, n_samples
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
        bounds, seconds = fitted_estimator.lower_bounds_, perf_counter() - self._began
        rise = f" ({bounds[-1] - bounds[-2]:+.2g})" if len(bounds) > 1 else ""
        rate = _short(self._n_samples * len(bounds) / seconds)
        text = f"iteration {len(bounds)}: {bounds[-1]:.6f}{rise} nats per point, {rate} points/s, {seconds:.0f} s"
        self._live.say(text)

    def teardown(self, estimator, context):
        pass


def _short(rate):
    for unit, size in ("G", 1e9), ("M", 1e6), ("k", 1e3):
        if rate >= size:
            return f"{rate / size:.3g} {unit}"
    return f"{rate:.3g}"
