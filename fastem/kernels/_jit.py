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
import numpy as np
from numba import njit, prange, typeof, types
from numba.core import caching, cgutils
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.extending import intrinsic

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


class _LinkedOnly(JITCodeLibrary):
    """The code of a kernel that only other kernels call: linked into theirs and optimised there, never by itself.

    Numba would optimise every kernel and make machine code of it at each level of calls, which took half of the
    seconds a first fit waits for.
    """

    def finalize(self):
        for library in dict.fromkeys(self._linking_libraries):
            self._reload_init.update(library._reload_init)
            self._final_module.link_in(library._get_module_for_linking(), preserve=True)
        self._finalized = True

    def get_pointer_to_function(self, name):
        self._ensure_finalized()
        return 0  # there is none, and no one calls it

    @property
    def codegen(self):
        return _NoEnvironment(self._codegen)


class _NoEnvironment:
    """A code generator for code without an environment of its own: it takes its caller's."""

    def __init__(self, codegen):
        self._codegen = codegen

    def __getattr__(self, name):
        return getattr(self._codegen, name)

    def set_env(self, name, environment):
        pass


class _LinkedCompiler(CompilerBase):
    """Numba's pipeline, with a library of the kind above."""

    def define_pipelines(self):
        self.state.library = _LinkedOnly(self.state.targetctx.codegen(), self.state.func_id.func_qualname)
        return [DefaultPassBuilder.define_nopython_pipeline(self.state)]


def kernel(function):
    """Compile a serial function that other kernels call; it is compiled into its callers, not cached itself."""
    options = {"no_cpython_wrapper": True, "no_cfunc_wrapper": True, **_OPTIONS}
    return njit(pipeline_class=_LinkedCompiler, **options)(function)


def chunk_kernel(function):
    """Compile and cache a serial kernel (chunk, grid, points, parameters, pruning, given, arrays) for `run`."""
    return _cached(njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function))


@intrinsic
def _call_at(typingctx, address, chunk, args):
    """Call the compiled chunk kernel at an address."""

    def codegen(context, builder, signature, values):
        types_ = (signature.args[1], *signature.args[2])
        native = context.call_conv.get_function_type(types.none, types_)
        kernel = builder.inttoptr(values[0], native.as_pointer())
        values = [values[1], *cgutils.unpack_tuple(builder, values[2])]
        status, _ = context.call_conv.call_function(builder, kernel, types.none, types_, values)
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(types.intp, types.intp, args), codegen


# A parallel function optimises what it calls three times over. So this one calls a chunk kernel by its address, which
# takes 4 s off the compilation of each. (Numba takes named tuples apart at the door of a parallel loop, but not those
# within another tuple.)
@_cached
@njit(parallel=True, **_OPTIONS)
def _for_each_chunk(address, grid, points, parameters, pruning, given, arrays):
    for chunk in prange(grid.n_chunks):
        _call_at(address, np.int64(chunk), (grid, points, parameters, pruning, given, arrays))


_addresses = {}


def _address(chunk_kernel, args):
    """Where the machine code of a chunk kernel for arguments of these types is, compiled or loaded where need be."""
    key = (chunk_kernel, *map(_kind, args))
    if key not in _addresses:
        signature = (types.intp, *map(typeof, args))
        chunk_kernel.compile(signature)
        compiled = chunk_kernel.overloads[signature]
        _addresses[key] = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    return _addresses[key]


def _kind(value):
    """What tells argument types apart, at a tenth of the cost of Numba's typeof."""
    if isinstance(value, tuple):
        return type(value), *map(_kind, value)
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.num
    return type(value)


def run(chunk_kernel, grid, points, parameters, pruning, given, arrays):
    """Run a chunk kernel for every chunk, in parallel; on one thread where the grid says that there is little to do."""
    args = grid, points, parameters, pruning, given, arrays
    address = _address(chunk_kernel, args)
    n_threads = numba.get_num_threads()
    try:
        if grid.serial:
            numba.set_num_threads(1)
        if _is_reentrant():
            return _for_each_chunk(address, *args)
        with _WORKQUEUE_LOCK:
            return _for_each_chunk(address, *args)
    finally:
        numba.set_num_threads(n_threads)


def _is_reentrant():
    try:
        return numba.threading_layer() != "workqueue"
    except ValueError:  # the layer is known only after the first parallel call
        return False
