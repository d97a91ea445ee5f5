"""How many threads a fit uses: Numba's by the user's wish, BLAS's one."""

import contextlib
import functools
import os
import threading

import numba
from threadpoolctl import ThreadpoolController


@contextlib.contextmanager
def thread_limits(n_threads):
    """Hold Numba, in this Python thread, to at most n_threads threads (None: its current setting) and BLAS to one.

    The M-step's small matrices gain nothing from BLAS threads, and those, spinning between calls, take the cores
    from the kernels: a fit of 500 points was 90 times slower with them.
    """
    with numba_limit(n_threads), _ONE_BLAS_THREAD:
        yield


class numba_limit:
    """Hold Numba, in this Python thread, to at most n_threads threads; None: its current setting."""

    def __init__(self, n_threads):
        self._n_threads = n_threads

    def __enter__(self):
        if self._n_threads is not None:
            self._before = numba.get_num_threads()
            numba.set_num_threads(min(self._n_threads, numba.config.NUMBA_NUM_THREADS))

    def __exit__(self, *exception):
        if self._n_threads is not None:
            numba.set_num_threads(self._before)


class _OneBlasThread:
    """Counts those within, since the setting is the whole process's: the last to leave restores it."""

    def __init__(self):
        self._lock = threading.Lock()
        self._inside = 0

    def __enter__(self):
        with self._lock:
            if self._inside == 0:
                self._limiter = _controller().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *exception):
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limiter.restore_original_limits()


@functools.cache
def _controller():
    return ThreadpoolController()


_ONE_BLAS_THREAD = _OneBlasThread()

if hasattr(os, "register_at_fork"):  # a thread that isn't in the child may have held the lock

    def _after_fork():
        _ONE_BLAS_THREAD._lock = threading.Lock()

    os.register_at_fork(after_in_child=_after_fork)
