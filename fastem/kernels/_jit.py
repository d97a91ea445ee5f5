"""The one place that names Numba options, the disk cache and the guard round parallel calls.

Kernels are compiled on first use and cached on disk. Numba stamps a cached kernel with the source of its own
file only, so an upgrade that changes a *callee's* file would go on running the old machine code; here the stamp
covers every kernel file instead.
"""

import functools
import hashlib
import threading
import warnings
from pathlib import Path

import numba
from numba import njit
from numba.core import caching

# 'contract' alone: fused multiply-adds, nothing that reorders a sum or assumes away NaN and infinity.
# Sums are vectorised by hand (vectors.py), so 'reassoc' would buy nothing here.
_OPTIONS = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}

# Numba's workqueue layer aborts the process when two Python threads enter parallel regions at once.
_WORKQUEUE_LOCK = threading.Lock()


@functools.cache
def _source_stamp():
    """Digest of every kernel source file, so that a change in any of them invalidates all cached kernels."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.digest()


class _KernelCache(caching.FunctionCache):
    """Numba's function cache, stamped with all kernel files."""

    def __init__(self, py_func):
        super().__init__(py_func)
        self._cache_file = caching.IndexDataCacheFile(
            cache_path=self._cache_path,
            filename_base=self._impl.filename_base,
            source_stamp=_source_stamp(),
        )


@functools.cache
def _warn_uncached():
    warnings.warn(
        "fastem can't cache its compiled kernels: neither its own folder nor the user's cache folder is writable. "
        "Every process compiles them again; set the environment variable NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=2,
    )


def _cached(dispatcher):
    if numba.config.DISABLE_JIT:
        return dispatcher
    try:
        dispatcher._cache = _KernelCache(dispatcher.py_func)
    except RuntimeError:  # Numba found no place
        _warn_uncached()
    return dispatcher


def kernel(function):
    """Compile a serial function that other kernels call; it is compiled into its callers, not cached itself."""
    return njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function)


def entry_point(function):
    """Compile and cache a kernel whose loops over chunks run in parallel; called from Python only."""
    return _cached(njit(parallel=True, **_OPTIONS)(function))


def call(entry, serial, *args):
    """Call a parallel kernel: on one thread if `serial`, and by one Python thread at a time where need be."""
    n_threads = numba.get_num_threads()
    try:
        if serial:
            numba.set_num_threads(1)
        if _is_reentrant():
            return entry(*args)
        with _WORKQUEUE_LOCK:
            return entry(*args)
    finally:
        numba.set_num_threads(n_threads)


def _is_reentrant():
    try:
        return numba.threading_layer() != "workqueue"
    except ValueError:  # the layer is known only after the first parallel call
        return False
