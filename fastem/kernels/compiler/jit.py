"""Compilation of kernels: Numba's options, the disk cache, and safe parallel calls.

Kernels are compiled on first use and cached on disk. Numba invalidates a cached kernel only if the kernel's own source
file changes, so after an upgrade that changes a *callee's* file the old machine code would run. Here the stamp covers
every kernel file instead.
"""

import contextlib
import functools
import gc
import hashlib
import logging
import os
import pickle
import threading
import time
import warnings
from pathlib import Path

import numba
import numpy as np
from numba import njit, prange, typeof, types
from numba.core import caching

from . import interpreted
from .calls import address_of, arguments, as_integer, attempt, call, placed
from .linked import PIPELINE

# 'contract' allows fused multiply-adds, but no reordering of sums, and NaN and infinity stay valid. Sums are vectorised
# by hand (vectors.py), so 'reassoc' would gain nothing.
_OPTIONS = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}

# Numba's workqueue layer aborts the process when two Python threads enter parallel regions at once.
_WORKQUEUE_LOCK = threading.Lock()


@functools.cache
def _source_stamp():
    """Digest of every kernel source file, so that a change in any of them invalidates all cached kernels."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parents[1].rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


class _IndexFile(caching.IndexDataCacheFile):
    """Numba's index of cached kernels; one written by another fastem, whose types are gone, counts as empty."""

    def _load_index(self):
        try:
            return super()._load_index()
        except (AttributeError, ImportError, EOFError, pickle.UnpicklingError):
            return {}


class _KernelCache(caching.FunctionCache):
    """Numba's function cache, stamped with all kernel files."""

    def __init__(self, py_func):
        super().__init__(py_func)
        self._cache_file = _IndexFile(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=_source_stamp(),
        )


@functools.cache
def _warn_uncached():
    warnings.warn(
        "fastem can't cache its compiled kernels: neither its own folder nor the user's cache folder is writable. "
        "So every process compiles them again. Set the environment variable NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=2,
    )


def _cached(dispatcher):
    if numba.config.DISABLE_JIT:
        return dispatcher
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except RuntimeError:  # Numba found no writable folder
        _warn_uncached()
    return dispatcher


def kernel(function):
    """Compile a serial function that other kernels call; its code and its cache are part of theirs."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **PIPELINE, **_OPTIONS)(function)


def kernel_apart(function):
    """A `kernel` that is never compiled into its callers: for long ones with several callers."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": False}  # callers would pass it on
    return njit(**options, **PIPELINE, **_OPTIONS)(function)


def part_of_kernel(function):
    """Compile a function into its callers, always: what it is given is then neither copied nor counted.

    That matters where it is called for every block with many arrays: blocks may be as small as 64 points.
    """
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, "forceinline": True}
    return njit(**options, **PIPELINE, **_OPTIONS)(function)


def chunk_kernel(function):
    """Compile and cache a serial kernel (chunk, context) for `run`; `arguments(context)` are the arguments of `run`."""
    return _cached(njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function))


# One parallel function for all chunk kernels, called by address: see calls.py.


@_cached
@njit(parallel=True, **_OPTIONS)
def _for_each_chunk(kernel, n_chunks, context, failed):
    for chunk in prange(n_chunks):
        attempt(kernel, (np.int64(chunk), context), failed)


@_cached
@njit(**_OPTIONS)
def _one_by_one(kernel, n_chunks, context, failed):
    for chunk in range(n_chunks):
        call(kernel, (np.int64(chunk), context))


@_cached
@njit(**_OPTIONS)
def _launch(for_each_chunk, kernel, n_chunks, args):
    failed = placed((np.int64(0),))
    call(for_each_chunk, (kernel, n_chunks, as_integer(placed(args)), as_integer(failed)))
    if arguments(failed)[0]:  # nothing in a kernel but an allocation can fail
        raise MemoryError("Unable to allocate the working memory of a kernel")


_addresses = {}


def _address(kernel, args):
    """Address of a chunk kernel's machine code for arguments of these types; compiles it or loads it from the cache."""
    key = (kernel, *map(_kind, args))
    if key not in _addresses:
        with _compiling():
            _addresses[key] = address_of(kernel, (types.intp, types.CPointer(typeof(args))))
    return _addresses[key]


# Seconds of compiling after which it is logged.
_LONG = 1.0
_said = threading.Event()
_spent = [0.0]  # seconds


def seconds_of_compiling():
    """Seconds that this process has spent compiling kernels or loading them from the cache."""
    return _spent[0]


def _say():
    if not _said.is_set():
        _said.set()
        logging.getLogger("fastem").info(
            "compiling kernels, once on this machine; fastem.warm_up() or 'fastem warm-up' does it ahead of time"
        )


@contextlib.contextmanager
def _compiling():
    """Compile without garbage collection, which takes an eighth of the time; if it takes long, say so, once."""
    was_enabled = gc.isenabled()
    timer = threading.Timer(_LONG, _say)
    timer.daemon = True
    began = time.perf_counter()
    gc.disable()
    try:
        with contextlib.suppress(RuntimeError):  # no thread can be started
            timer.start()
        yield
    finally:
        timer.cancel()
        _spent[0] += time.perf_counter() - began
        if was_enabled:
            gc.enable()


@functools.cache
def _loop_address(is_serial):
    with _compiling():
        return address_of(_one_by_one if is_serial else _for_each_chunk, (types.intp,) * 4)


def _kind(value):
    """A key that differs between Numba types of arguments, at a tenth of the cost of Numba's typeof."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.num
    kind = type(value)
    return (kind, *map(_kind, value)) if issubclass(kind, tuple) else kind


def run(kernel, grid, *args):
    """Run a chunk kernel for every chunk: in parallel, or on one thread if `grid.serial`.

    The kernel's arguments are (grid, *args).
    """
    args = (grid, *args)
    if numba.config.DISABLE_JIT:
        return interpreted.run(kernel, grid.n_chunks, args)
    is_serial = grid.serial or _is_orphaned()
    # A serial run has a loop of its own: for a parallel loop on one thread, OpenMP would end its other threads and
    # start them again at the next call.
    if _calls_by_address():
        launch = functools.partial(_launch, _loop_address(is_serial), _address(kernel, args), grid.n_chunks, args)
    else:
        launch = functools.partial(_plain_loop(kernel, is_serial), grid.n_chunks, args)
    if is_serial or _is_reentrant():
        return launch()
    with _WORKQUEUE_LOCK:
        return launch()


@chunk_kernel
def _note(chunk, context):
    (noted,) = arguments(context)
    noted[chunk] = chunk + 1


@functools.cache
def _calls_by_address():
    """Whether calls by address work with this Numba, tested once; warns if not."""
    noted = np.zeros(3)
    try:
        _launch(_loop_address(True), _address(_note, (noted,)), len(noted), (noted,))
    except Exception as error:  # changed internals may raise anything
        reason = f"{type(error).__name__}: {error}"
    else:
        if noted.tolist() == [1, 2, 3]:
            return True
        reason = f"got {noted.tolist()}"
    warnings.warn(
        f"fastem can't call compiled kernels by address with Numba {numba.__version__} ({reason}). It compiles "
        "a loop for each kernel instead: this takes several times as long, and every process does it again. Try "
        "another version of Numba.",
        RuntimeWarning,
        stacklevel=2,
    )
    return False


@functools.cache
def _plain_loop(kernel, is_serial):
    @njit(parallel=not is_serial, **_OPTIONS)
    def loop(n_chunks, args):
        for chunk in prange(n_chunks):
            kernel(np.int64(chunk), args)

    return loop


# GNU OpenMP kills a process at its first parallel region if the process was forked from one with OpenMP threads.
_state = {"has forked": False}


def _after_fork():
    global _WORKQUEUE_LOCK
    _WORKQUEUE_LOCK = threading.Lock()  # a thread of the parent process may have held the old one
    _state["has forked"] = numba.np.ufunc.parallel._is_initialized


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def _is_orphaned():
    if not _state["has forked"] or numba.threading_layer() != "omp":
        return False
    from numba.np.ufunc import omppool

    if omppool.openmp_vendor != "GNU":
        return False
    _warn_orphaned()
    return True


@functools.cache
def _warn_orphaned():
    warnings.warn(
        "fastem uses one thread here. This process was forked from one with running OpenMP threads, and GNU OpenMP "
        "can't start threads after such a fork. Start processes by 'spawn' or 'forkserver' (loky does), or let Numba "
        "find TBB (pip install tbb, and add its library's folder to LD_LIBRARY_PATH).",
        RuntimeWarning,
        stacklevel=2,
    )


def _is_reentrant():
    try:
        return numba.threading_layer() != "workqueue"
    except ValueError:  # the layer is known only after the first parallel call
        return False
