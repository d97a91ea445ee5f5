"""Calls of compiled functions by their address: what relies on how Numba passes arguments and reports errors.

A parallel function optimises all that it calls three times over, and every array that it is given costs it a
twentieth of a second. So there is one for all chunk kernels: it calls them by address and hands them a pointer.
A release of Numba may change either; `works` tells.
"""

from numba import types
from numba.core import cgutils

from .extending import intrinsic


def _kept(context, builder, kind, values):
    context.nrt.incref(builder, kind, values)  # the kernel gives up what it has been given
    return values


@intrinsic
def arguments(typingctx, context):
    """The tuple that a chunk kernel's context points to, or is."""
    if isinstance(context, types.BaseTuple):
        return context(context), lambda target, builder, signature, args: _kept(target, builder, context, args[0])

    def codegen(context, builder, signature, args):
        place = context.get_value_type(signature.return_type).as_pointer()
        return _kept(context, builder, signature.return_type, builder.load(builder.bitcast(args[0], place)))

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
def call(typingctx, address, args):
    """Call the compiled function of that address, whose arguments are as wide as integers."""

    def codegen(context, builder, signature, values):
        status = _status_of_call(context, builder, values[0], signature.args[1], values[1])
        with cgutils.if_unlikely(builder, status.is_error):
            context.call_conv.return_status_propagate(builder, status)
        return context.get_dummy_value()

    return types.none(types.intp, args), codegen


@intrinsic
def attempt(typingctx, address, args, failed):
    """`call`, but an exception makes the integer at `failed` 1: what another thread raises would be lost."""

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
    """Where the machine code of a function for arguments of these types is, compiled or loaded where need be."""
    dispatcher.compile(signature)
    compiled = dispatcher.overloads[signature]
    return compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
