"""How many threads a fit uses: for Numba as many as the user sets, for BLAS one."""

import contextlib
import functools
import os
import threading
import weakref

import numba
from threadpoolctl import ThreadpoolController


@contextlib.contextmanager
def thread_limits(n_threads):
    """Limit Numba, in this Python thread, to n_threads threads (None: its current setting), and BLAS to one.

    The M-step's small matrices gain nothing from BLAS threads. Between calls these spin and take cores from the
    kernels: a fit of 500 points was 90 times slower with them.
    """
    with numba_limit(n_threads):
        holder = _Holder([1] * len(_blas_libraries()))
        try:
            _BLAS.hold(holder)
            yield
        finally:
            _BLAS.release(holder)


@contextlib.contextmanager
def numba_limit(n_threads):
    """Limit Numba, in this Python thread, to n_threads threads; None: its current setting."""
    setting = _NUMBA.setting
    holder = None if n_threads is None else _Holder(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    try:
        setting.hold(holder)
        yield
    finally:
        setting.release(holder)


class _Holder:
    """A request, by one Python thread, that a setting have this value."""

    def __init__(self, value):
        self.value = value
        self.thread = threading.get_ident()


class _Setting:
    """A global setting with nested holders: the newest wins; the original value is restored when none remain.

    An interrupt may keep a holder from being released. But holders are referenced weakly: such a holder dies with its
    frame, and the next `hold` or `release` corrects the setting.
    """

    def __init__(self, read, write):
        self._read, self._write = read, write
        self._lock = threading.Lock()
        self._holders = []  # weak references
        self._before = None  # the original value; None if there are no holders
        self._now = None  # the value last written; None if unknown

    def hold(self, holder):
        """Set it to the value of a new holder; None: no new holder."""
        if holder is not None or self._holders:
            with self._lock:
                self._settle([*self._holders, weakref.ref(holder)] if holder else self._holders)

    def release(self, holder):
        """Remove a holder; set the value of the newest that remains, or the original one."""
        if holder is not None:
            with self._lock:
                self._settle([reference for reference in self._holders if reference() is not holder])

    def forget_other_threads(self):
        """In a forked process, which has one thread: renew the lock, which another thread may have held, and drop the
        holders of other threads. The next `hold` or `release` corrects the setting.
        """
        self._lock = threading.Lock()
        here = threading.get_ident()
        self._holders = [reference for reference in self._holders if getattr(reference(), "thread", None) == here]

    def _settle(self, references):
        holders = [holder for reference in references if (holder := reference()) is not None]
        if holders and self._before is None:
            self._before = self._read()
        self._holders = [weakref.ref(holder) for holder in holders]
        wanted = holders[-1].value if holders else self._before
        if wanted != self._now:
            self._now = None
            self._write(wanted)
            self._now = wanted
        if not holders:
            self._before = self._now = None


class _OfThisThread(threading.local):
    """Numba's setting, of which each Python thread has its own."""

    def __init__(self):
        self.setting = _Setting(numba.get_num_threads, numba.set_num_threads)


@functools.cache
def _blas_libraries():
    return [library for library in ThreadpoolController().lib_controllers if library.user_api == "blas"]


def _blas_threads():
    return [library.num_threads for library in _blas_libraries()]


def _set_blas_threads(numbers):
    for library, number in zip(_blas_libraries(), numbers, strict=True):
        library.set_num_threads(number)


_NUMBA = _OfThisThread()
_BLAS = _Setting(_blas_threads, _set_blas_threads)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: _BLAS.forget_other_threads())
