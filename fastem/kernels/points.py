"""Any array of points, read in place, block by block.

A pass sees its data as (address, strides, dtype): one compiled kernel serves C- and Fortran-ordered, strided,
read-only and memory-mapped arrays of every dtype in `READ_IN_PLACE`, without a copy and without a compile of
its own. A block is transposed into scratch [feature, point], so that the loops over points are contiguous.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from ._jit import kernel

_DTYPES = (np.float64, np.float32, np.uint8, np.int32, np.int64)
READ_IN_PLACE = tuple(np.dtype(dtype) for dtype in _DTYPES)
"""The dtypes that kernels read as they are; other numeric arrays are converted block by block by their source."""

_FLOAT64, _FLOAT32, _UINT8, _INT32, _INT64 = range(len(_DTYPES))


class Points(NamedTuple):
    """Where the points lie. The array must outlive every kernel call that is given its Points."""

    address: int
    row_stride: int  # bytes
    column_stride: int  # bytes
    dtype_code: int  # index in READ_IN_PLACE
    n_samples: int
    n_features: int


def points(X):
    """Describe a two-dimensional array of a dtype in `READ_IN_PLACE`, of any layout, to the kernels."""
    address, _ = X.__array_interface__["data"]
    return Points(address, *X.strides, READ_IN_PLACE.index(X.dtype), *X.shape)


@intrinsic
def _peek(typingctx, address, like):
    """The value of the type of `like` at an address, as float64."""
    signature = types.float64(types.intp, like)

    def codegen(context, builder, signature, args):
        value_type = context.get_data_type(signature.args[1])
        pointer = builder.inttoptr(args[0], ir.PointerType(value_type))
        value = builder.load(pointer, align=1)
        return context.cast(builder, value, signature.args[1], types.float64)

    return signature, codegen


@kernel
def _copy_block(points, first, count, origin, x, like):
    n_features = x.shape[0]
    for b in range(count):
        row = points.address + (first + b) * points.row_stride
        for i in range(n_features):
            x[i, b] = _peek(row + i * points.column_stride, like) - origin[i]


@kernel
def load_block(points, first, count, origin, x):
    """x[i, b] = X[first + b, i] - origin[i] for b < count.  x: OUT (n_features, at least count)."""
    code = points.dtype_code
    if code == _FLOAT64:
        _copy_block(points, first, count, origin, x, np.float64(0))
    elif code == _FLOAT32:
        _copy_block(points, first, count, origin, x, np.float32(0))
    elif code == _UINT8:
        _copy_block(points, first, count, origin, x, np.uint8(0))
    elif code == _INT32:
        _copy_block(points, first, count, origin, x, np.int32(0))
    else:
        _copy_block(points, first, count, origin, x, np.int64(0))


# Rows of scratch start on a cache line of their own and lie an odd number of lines apart: rows a power of two
# bytes apart fall into the same cache sets and evict each other.
_LINE = 8  # doubles


@intrinsic
def _address_of(typingctx, a):
    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(array.data, cgutils.intp_t)

    return types.intp(a), codegen


@kernel
def scratch(n_rows, n_points):
    """Zeroed rows for a block of n_points (a multiple of 8) points: aligned, and padded against cache conflicts."""
    lines = n_points // _LINE
    width = (lines + 1 - lines % 2) * _LINE
    buffer = np.zeros(n_rows * width + _LINE)
    skip = (-_address_of(buffer) // 8) % _LINE
    return buffer[skip : skip + n_rows * width].reshape((n_rows, width))
