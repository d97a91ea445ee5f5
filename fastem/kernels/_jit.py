"""The one place that names Numba options, the disk cache and the guard round parallel calls.

Kernels are compiled on first use and cached on disk. Numba stamps a cached kernel with the source of its own
file only, so an upgrade that changes a *callee's* file would go on running the old machine code; here the stamp
covers every kernel file instead.
"""

import functools
import hashlib
import os
import pickle
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


class _IndexFile(caching.IndexDataCacheFile):
    """Numba's list of cached kernels; one of another fastem, whose types are gone, is no list."""

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
    """Compile and cache a serial kernel (chunk, context) for `run`; `arguments(context)` are what `run` was given."""
    return _cached(njit(no_cpython_wrapper=True, no_cfunc_wrapper=True, **_OPTIONS)(function))


# A parallel function optimises all that it calls three times over, and every array that it is given costs it a
# twentieth of a second. So there is one for all chunk kernels: it calls them by address and hands them a pointer.


@intrinsic
def arguments(typingctx, context):
    """The tuple that a chunk kernel's context points to."""

    def codegen(context, builder, signature, args):
        place = context.get_value_type(signature.return_type).as_pointer()
        values = builder.load(builder.bitcast(args[0], place))
        context.nrt.incref(builder, signature.return_type, values)  # the kernel gives up what it has been given
        return values

    return context.dtype(context), codegen


@intrinsic
def placed(typingctx, args):
    """Pointer to a tuple put in the caller's frame."""

    def codegen(context, builder, signature, values):
        place = cgutils.alloca_once_value(builder, values[0])
        return builder.bitcast(place, context.get_value_type(signature.return_type))

    return types.CPointer(args)(args), codegen


def _status_of_call(context, builder, address, arg_types, args):
    """Code that calls the compiled function of an address with a tuple of arguments, and how that ended."""
    native = context.call_conv.get_function_type(types.none, arg_types)
    function = builder.inttoptr(address, native.as_pointer())
    passed = cgutils.unpack_tuple(builder, args)
    return context.call_conv.call_function(builder, function, types.none, arg_types, passed)[0]


@intrinsic
def _call(typingctx, address, args):
    """Call the compiled function of that address, whose arguments are as wide as integers."""

    def codegen(context, builder, signature, values):
        status = _status_of_call(context, builder, values[0], signature.args[1], values[1])
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(types.intp, args), codegen


@intrinsic
def _attempt(typingctx, address, args, failed):
    """`_call`, but an exception makes the integer at `failed` 1: what another thread raises would be lost."""

    def codegen(context, builder, signature, values):
        status = _status_of_call(context, builder, values[0], signature.args[1], values[1])
        with cgutils.if_unlikely(builder, status.is_error):
            builder.store(cgutils.intp_t(1), builder.inttoptr(values[2], cgutils.intp_t.as_pointer()))
        return context.get_dummy_value()

    return types.none(types.intp, args, types.intp), codegen


@intrinsic
def _as_integer(typingctx, pointer):
    return types.intp(pointer), lambda context, builder, signature, args: builder.ptrtoint(args[0], cgutils.intp_t)


@_cached
@njit(parallel=True, **_OPTIONS)
def _for_each_chunk(kernel, n_chunks, context, failed):
    for chunk in prange(n_chunks):
        _attempt(kernel, (np.int64(chunk), context), failed)


@_cached
@njit(**_OPTIONS)
def _one_by_one(kernel, n_chunks, context, failed):
    for chunk in range(n_chunks):
        _call(kernel, (np.int64(chunk), context))


@_cached
@njit(**_OPTIONS)
def _launch(for_each_chunk, kernel, n_chunks, args):
    failed = placed((np.int64(0),))
    _call(for_each_chunk, (kernel, n_chunks, _as_integer(placed(args)), _as_integer(failed)))
    if arguments(failed)[0]:  # kernels allocate, nothing else in them can fail
        raise MemoryError("Unable to allocate what a kernel works with")


_addresses = {}


def _address(kernel, args):
    """Where the machine code of a chunk kernel for arguments of these types is, compiled or loaded where need be."""
    key = (kernel, *map(_kind, args))
    if key not in _addresses:
        _addresses[key] = _compiled(kernel, (types.intp, types.CPointer(typeof(args))))
    return _addresses[key]


def _compiled(dispatcher, signature):
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)


@functools.cache
def _loop_address(is_serial):
    return _compiled(_one_by_one if is_serial else _for_each_chunk, (types.intp,) * 4)


def _kind(value):
    """What tells argument types apart, at a tenth of the cost of Numba's typeof."""
    if isinstance(value, tuple):
        return type(value), *map(_kind, value)
    if isinstance(value, np.ndarray):
        return value.dtype, value.ndim, value.flags.num
    return type(value)


def run(kernel, grid, *args):
    """Run a chunk kernel for every chunk, in parallel; on one thread where the grid says that there is little to do.

    The kernel's arguments are the grid and the others.
    """
    args = (grid, *args)
    is_serial = grid.serial or _is_orphaned()
    # A parallel loop on one thread would be slower: OpenMP ends the others, and starts them anew for the next.
    call = functools.partial(_launch, _loop_address(is_serial), _address(kernel, args), grid.n_chunks, args)
    if is_serial or _is_reentrant():
        return call()
    with _WORKQUEUE_LOCK:
        return call()


# GNU OpenMP ends a process that was forked from one with threads of it as soon as it enters a parallel region.
_state = {"has forked": False}


def _after_fork():
    global _WORKQUEUE_LOCK
    _WORKQUEUE_LOCK = threading.Lock()  # a thread that isn't here may have held the other
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
        "fastem uses one thread here: this process was forked from one whose OpenMP threads were running already, "
        "which GNU OpenMP doesn't survive. Start processes by 'spawn' or 'forkserver' (loky does), or let Numba find "
        "TBB (pip install tbb, and its library's folder in LD_LIBRARY_PATH).",
        RuntimeWarning,
        stacklevel=2,
    )


def _is_reentrant():
    try:
        return numba.threading_layer() != "workqueue"
    except ValueError:  # the layer is known only after the first parallel call
        return False
