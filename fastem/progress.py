"""What a fit says while it runs: scikit-learn's verbose lines."""

from time import perf_counter


class Progress:
    """Told of every restart and iteration; says nothing."""

    def begin(self, init):
        """A run from start number `init` begins."""

    def iteration(self, iteration, change, result):
        """An iteration is done; change: of the lower bound, result: the EMResult so far."""

    def end(self, result):
        """The run is over."""


SILENT = Progress()


class PrintedProgress(Progress):
    """Prints what scikit-learn prints, to standard output.

    Parameters
    ----------
    verbose : int
        1 prints starts and iterations, 2 and more also seconds and the change of the lower bound.
    interval : int
        Every how many iterations to print.
    """

    def __init__(self, verbose, interval):
        self._verbose = verbose
        self._interval = interval

    def begin(self, init):
        print(f"Initialization {init}", flush=True)
        self._begun = self._last = perf_counter()

    def iteration(self, iteration, change, result):
        if iteration % self._interval:
            return
        details = ""
        if self._verbose >= 2:
            now = perf_counter()
            details = f"\t time lapse {now - self._last:.5f}s\t ll change {change:.5f}"
            self._last = now
        print(f"  Iteration {iteration}{details}", flush=True)

    def end(self, result):
        details = ""
        if self._verbose >= 2:
            lapse = perf_counter() - self._begun
            details = f" time lapse {lapse:.5f}s\t lower bound {result.lower_bound:.5f}."
        print(f"Initialization {'converged' if result.converged else 'did not converge'}.{details}", flush=True)
