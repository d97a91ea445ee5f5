"""Any array of points, read in place, block by block.

A pass sees its data as (address, strides, dtype): one compiled kernel serves C- and Fortran-ordered, strided,
read-only and memory-mapped arrays of every dtype in `READ_IN_PLACE`, without a copy and without a compile of
its own. A block is transposed into scratch [feature, point], so that the loops over points are contiguous.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import typeof, types
from numba.core import cgutils

from .compiler.extending import intrinsic
from .compiler.jit import kernel
from .tiles import AHEAD, transposing_load
from .vectors import GROUP, compiled_apart, lanes

_DTYPES = (np.float64, np.float32, np.uint8, np.int32, np.int64)
READ_IN_PLACE = tuple(np.dtype(dtype) for dtype in _DTYPES)
"""The dtypes that kernels read as they are; other numeric arrays are converted block by block by their source."""

_FLOAT64, _FLOAT32 = 0, 1


_load_2 = transposing_load(2)
_load_4 = transposing_load(4)


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
def _peek(typingctx, address, code):
    """The value of the dtype READ_IN_PLACE[code] at an address, as float64."""

    def codegen(context, builder, signature, args):
        address, code = args
        result = cgutils.alloca_once(builder, ir.DoubleType())
        with builder.goto_block(builder.append_basic_block("other")):
            builder.unreachable()
            other = builder.block
        after = builder.append_basic_block("after")
        switch = builder.switch(code, other)
        for number, dtype in enumerate(_DTYPES):
            value_type = typeof(dtype(0))
            block = builder.append_basic_block(dtype.__name__)
            switch.add_case(code.type(number), block)
            with builder.goto_block(block):
                pointer = builder.inttoptr(address, context.get_data_type(value_type).as_pointer())
                value = builder.load(pointer, align=1)
                builder.store(context.cast(builder, value, value_type, types.float64), result)
                builder.branch(after)
        builder.position_at_end(after)
        return builder.load(result)

    return types.float64(types.intp, types.intp), codegen


@kernel
def number_rows(first, count, n_points, rows):
    """rows: OUT first, first + 1, .. for n_points and the `AHEAD` to come; the count-th is repeated to fill up."""
    for b in range(n_points + AHEAD):
        rows[b] = first + b
    for b in range(count, n_points):
        rows[b] = first + count - 1


@kernel
def whole_groups(count):
    """The number of points that tiles run over for a count: whole pairs of vectors."""
    return -(-count // GROUP) * GROUP


@kernel
def _copy_block(points, rows, n_points, origin, x):
    for b in range(n_points):
        row = points.address + rows[b] * points.row_stride
        for i in range(x.shape[0]):
            x[i, b] = _peek(row + i * points.column_stride, points.dtype_code) - origin[i]


@kernel
def _transpose_block(points, rows, n_points, origin, x, like):
    """`_copy_block` for two features or more whose values lie side by side."""
    n_features = x.shape[0]
    for b in range(0, n_points, lanes(x)):
        if n_features < 4:
            _load_2(points.address, points.row_stride, rows, b, 0, like, origin, x)
            _load_2(points.address, points.row_stride, rows, b, n_features - 2, like, origin, x)
        else:
            for i in range(0, n_features, 4):  # the last few features may be written twice
                feature = min(i, n_features - 4)
                _load_4(points.address, points.row_stride, rows, b, feature, like, origin, x)


@kernel
def load_block(points, rows, n_points, origin, x):
    """x[i, b] = X[rows[b], i] - origin[i], in x's precision.  x: OUT (n_features, n_points)."""
    compiled_apart()
    code = points.dtype_code
    if code <= _FLOAT32 and points.n_features > 1 and points.column_stride == (8 if code == _FLOAT64 else 4):
        if code == _FLOAT64:
            _transpose_block(points, rows, n_points, origin, x, np.float64(0))
        else:
            _transpose_block(points, rows, n_points, origin, x, np.float32(0))
    else:
        _copy_block(points, rows, n_points, origin, x)


# Rows of scratch start on a cache line of their own and lie an odd number of lines apart: rows a power of two
# bytes apart fall into the same cache sets and evict each other.
_LINE = 64  # bytes


@intrinsic
def _address_of(typingctx, a):
    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(array.data, cgutils.intp_t)

    return types.intp(a), codegen


@kernel
def scratch(n_rows, n_points, like):
    """Zeroed rows of like's dtype for a block of n_points (a multiple of 64) points: aligned, padded against
    cache conflicts."""
    line = _LINE // like.itemsize
    lines = n_points // line
    width = (lines + 1 - lines % 2) * line
    buffer = np.zeros(n_rows * width + line, like.dtype)
    skip = (-_address_of(buffer) // like.itemsize) % line
    return buffer[skip : skip + n_rows * width].reshape((n_rows, width))


@kernel
def features_themselves(parameters, x, n_points, work):
    """The coordinates of a component that takes a block's features as they are."""
    return x


@kernel
def one_more_than_features(parameters):
    """Rows of scratch of a component that keeps a row for each feature, and a root of the responsibilities."""
    return parameters.bias.shape[1] + 1
