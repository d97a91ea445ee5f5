"""Calls of compiled functions by address, which rely on how Numba passes arguments and reports errors.

Numba optimises everything that a parallel function calls three times, and each array argument adds 0.05 s. So one
parallel function serves all chunk kernels: it calls them by address and passes a pointer to their arguments. A new
Numba may break this; `jit._calls_by_address` tests it.
"""

from numba import types
from numba.core import cgutils

from .extending import intrinsic


def _kept(context, builder, kind, values):
    context.nrt.incref(builder, kind, values)  # the kernel releases its arguments when it returns
    return values


@intrinsic
def arguments(typingctx, context):
    """The tuple of arguments of a chunk kernel: its context, or what that points to."""
    if isinstance(context, types.BaseTuple):
        return context(context), lambda target, builder, signature, args: _kept(target, builder, context, args[0])

    def codegen(context, builder, signature, args):
        place = context.get_value_type(signature.return_type).as_pointer()
        return _kept(context, builder, signature.return_type, builder.load(builder.bitcast(args[0], place)))

    return context.dtype(context), codegen


@intrinsic
def placed(typingctx, args):
    """Pointer to a copy of the tuple in the caller's stack frame."""

    def codegen(context, builder, signature, values):
        place = cgutils.alloca_once_value(builder, values[0])
        return builder.bitcast(place, context.get_value_type(signature.return_type))

    return types.CPointer(args)(args), codegen


def _status_of_call(context, builder, address, arg_types, args):
    """Generate a call of the compiled function at an address with a tuple of arguments; returns its status."""
    native = context.call_conv.get_function_type(types.none, arg_types)
    function = builder.inttoptr(address, native.as_pointer())
    passed = cgutils.unpack_tuple(builder, args)
    return context.call_conv.call_function(builder, function, types.none, arg_types, passed)[0]


@intrinsic
def call(typingctx, address, args):
    """Call the compiled function at that address, and raise its exceptions; a pointer is passed as an integer."""

    def codegen(context, builder, signature, values):
        status = _status_of_call(context, builder, values[0], signature.args[1], values[1])
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(types.intp, args), codegen


@intrinsic
def attempt(typingctx, address, args, failed):
    """`call`, but an exception sets the integer at `failed` to 1: one raised in another thread would be lost."""

    def codegen(context, builder, signature, values):
        status = _status_of_call(context, builder, values[0], signature.args[1], values[1])
        with cgutils.if_unlikely(builder, status.is_error):
            builder.store(cgutils.intp_t(1), builder.inttoptr(values[2], cgutils.intp_t.as_pointer()))
        return context.get_dummy_value()

    return types.none(types.intp, args, types.intp), codegen


@intrinsic
def as_integer(typingctx, pointer):
    return types.intp(pointer), lambda context, builder, signature, args: builder.ptrtoint(args[0], cgutils.intp_t)


def address_of(dispatcher, signature):
    """Address of a function's machine code for arguments of these types; compiles it or loads it from the cache."""
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
