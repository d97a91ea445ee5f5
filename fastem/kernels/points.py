"""Reads any array of points in place, block by block.

A kernel gets its data as (address, strides, dtype). So one compiled kernel reads C- and Fortran-ordered, strided,
read-only and memory-mapped arrays of every dtype in `READ_IN_PLACE`, without a copy and without compiling again. A
block is transposed into scratch [feature, point], so that the loops over points are contiguous.
"""

from typing import NamedTuple

import numpy as np
from llvmlite import ir
from numba import typeof, types
from numba.core import cgutils

from .compiler.extending import intrinsic
from .compiler.jit import kernel
from .transposing import AHEAD, transposing_load
from .vectors import GROUP, compiled_apart, lanes

_DTYPES = (np.float64, np.float32, np.uint8, np.int32, np.int64)
READ_IN_PLACE = tuple(np.dtype(dtype) for dtype in _DTYPES)
"""The dtypes that kernels read directly; a source converts other numeric arrays block by block."""

_FLOAT64, _FLOAT32 = 0, 1


_load_2 = transposing_load(2)
_load_4 = transposing_load(4)


class Points(NamedTuple):
    """The memory layout of an array of points. The array must outlive every kernel call that gets its `Points`."""

    address: int
    row_stride: int  # bytes
    column_stride: int  # bytes
    dtype_code: int  # index in READ_IN_PLACE
    n_samples: int
    n_features: int


def points(X):
    """The `Points` of a two-dimensional array of any layout, with a dtype in `READ_IN_PLACE`."""
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
    """rows: OUT first, first + 1, .. for n_points + `AHEAD`; from count to n_points the last point is repeated."""
    for b in range(n_points + AHEAD):
        rows[b] = first + b
    for b in range(count, n_points):
        rows[b] = first + count - 1


@kernel
def whole_groups(count):
    """The count rounded up to whole groups, which tiles run over."""
    return -(-count // GROUP) * GROUP


@kernel
def _copy_block(points, rows, n_points, origin, x):
    for b in range(n_points):
        row = points.address + rows[b] * points.row_stride
        for i in range(x.shape[0]):
            x[i, b] = _peek(row + i * points.column_stride, points.dtype_code) - origin[i]


@kernel
def _transpose_block(points, rows, n_points, origin, x, like):
    """`_copy_block` for at least two features that are contiguous in memory."""
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


# Each row of scratch starts on a cache line, an odd number of lines after the row before: rows a power of two bytes
# apart would share cache sets and evict each other.
_LINE = 64  # bytes


@intrinsic
def _address_of(typingctx, a):
    def codegen(context, builder, signature, args):
        array = context.make_array(signature.args[0])(context, builder, args[0])
        return builder.ptrtoint(array.data, cgutils.intp_t)

    return types.intp(a), codegen


@kernel
def scratch(n_rows, n_points, like):
    """Zeroed scratch (n_rows, at least n_points) of like's dtype, aligned and padded against cache conflicts.

    n_points: a multiple of 64.
    """
    line = _LINE // like.itemsize
    lines = n_points // line
    width = (lines + 1 - lines % 2) * line
    buffer = np.zeros(n_rows * width + line, like.dtype)
    skip = (-_address_of(buffer) // like.itemsize) % line
    return buffer[skip : skip + n_rows * width].reshape((n_rows, width))
