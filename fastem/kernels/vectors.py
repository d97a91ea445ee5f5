"""SIMD vectors of float64 as Numba values: `LANES` points side by side in one register.

Left to itself LLVM vectorises an inner loop over points only where it can prove that rows of one scratch array
don't overlap, and then stores every partial sum to memory. These few operations say what is meant instead:
accumulators stay in registers for any number of features, which makes the loops 2.5 to 5 times faster than
plain ones and quick to compile. A lane never looks at another lane, except in `add_outer_tile`'s final sums.

Rows of scratch are indexed [row, point]; blocks are whole multiples of `GROUP` points. Bounds are checked where
Numba's are, with NUMBA_BOUNDSCHECK=1.
"""

import functools

import llvmlite.binding
import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

# One register wide: 8 doubles with AVX-512; 4 with AVX2 and, as two registers each, with SSE or NEON.
LANES = 8 if llvmlite.binding.get_host_cpu_features().get("avx512f") else 4
# Loops over points take two vectors at a time, so that 8 sums are under way at once and hide an FMA's latency.
GROUP = 2 * LANES

_DOUBLE = ir.DoubleType()
_INT64 = ir.IntType(64)
_INT32 = ir.IntType(32)
_VECTOR = ir.VectorType(_DOUBLE, LANES)
_BITS = ir.VectorType(_INT64, LANES)


class _Vector(types.Type):
    def __init__(self):
        super().__init__(name=f"float64x{LANES}")


vector = _Vector()


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, data_model_manager, frontend_type):
        super().__init__(data_model_manager, frontend_type, _VECTOR)


# -- code generation helpers ------------------------------------------------------------------------------------


def _splat(builder, scalar):
    one = builder.insert_element(ir.Constant(_VECTOR, ir.Undefined), scalar, ir.Constant(_INT32, 0))
    first_lane = ir.Constant(ir.VectorType(_INT32, LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(_VECTOR, ir.Undefined), first_lane)


def _constant(value):
    return ir.Constant(_VECTOR, [float(value)] * LANES)


def _bits(value):
    return ir.Constant(_BITS, [value] * LANES)


def _call_llvm(builder, name, args):
    """Call LLVM's intrinsic of that name on vectors, e.g. llvm.fmuladd (fused wherever the CPU fuses)."""
    signature = ir.FunctionType(_VECTOR, [_VECTOR] * len(args))
    function = cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.v{LANES}f64")
    return builder.call(function, args)


class _Rows:
    """A two-dimensional C-contiguous float64 array seen from generated code."""

    def __init__(self, context, builder, array_type, array):
        self.context = context
        self.builder = builder
        array = context.make_array(array_type)(context, builder, array)
        self.data = array.data
        self.height, self.width = cgutils.unpack_tuple(builder, array.shape)

    def at(self, row, column, count=1):
        """Pointer to element [row, column], the first of `count` in its row."""
        if numba.config.BOUNDSCHECK:
            self._check(row, self.height, 1, "row of scratch out of bounds")
            self._check(column, self.width, count, "points of scratch out of bounds")
        return self.builder.gep(self.data, [self.builder.add(self.builder.mul(row, self.width), column)])

    def _check(self, first, length, count, message):
        outside = self.builder.icmp_unsigned(">", _plus(self.builder, first, count), length)
        with self.builder.if_then(outside, likely=False):
            self.context.call_conv.return_user_exc(self.builder, IndexError, (message,))

    def load(self, row, column):
        pointer = self.builder.bitcast(self.at(row, column, LANES), _VECTOR.as_pointer())
        return self.builder.load(pointer, align=8)

    def store(self, row, column, value):
        pointer = self.builder.bitcast(self.at(row, column, LANES), _VECTOR.as_pointer())
        self.builder.store(value, pointer, align=8)

    def broadcast(self, row, column):
        return _splat(self.builder, self.builder.load(self.at(row, column)))


def _plus(builder, index, offset):
    return builder.add(index, ir.Constant(index.type, offset))


def _check_rows(*arrays):
    for array in arrays:
        if not (isinstance(array, types.Array) and array.ndim == 2 and array.layout == "C"):
            raise TypeError(f"expected two-dimensional C-contiguous scratch, got {array}")


# -- memory -----------------------------------------------------------------------------------------------------


@intrinsic
def load(typingctx, rows, row, point):
    """The `LANES` values rows[row, point : point + LANES]."""
    _check_rows(rows)

    def codegen(context, builder, signature, args):
        return _Rows(context, builder, signature.args[0], args[0]).load(args[1], args[2])

    return vector(rows, types.intp, types.intp), codegen


@intrinsic
def store(typingctx, rows, row, point, value):
    """rows[row, point : point + LANES] = value."""
    _check_rows(rows)

    def codegen(context, builder, signature, args):
        _Rows(context, builder, signature.args[0], args[0]).store(args[1], args[2], args[3])
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, vector), codegen


@intrinsic
def splat(typingctx, scalar):
    """The scalar in every lane."""

    def codegen(context, builder, signature, args):
        return _splat(builder, args[0])

    return vector(types.float64), codegen


# -- arithmetic, lane by lane -----------------------------------------------------------------------------------


def _lanewise(n_args, generate):
    def typed(*args):
        def codegen(context, builder, signature, values):
            return generate(builder, *values)

        return vector(*[vector] * n_args), codegen

    return typed


@intrinsic
def add(typingctx, a, b):
    return _lanewise(2, lambda builder, a, b: builder.fadd(a, b))()


@intrinsic
def sub(typingctx, a, b):
    return _lanewise(2, lambda builder, a, b: builder.fsub(a, b))()


@intrinsic
def mul(typingctx, a, b):
    return _lanewise(2, lambda builder, a, b: builder.fmul(a, b))()


@intrinsic
def div(typingctx, a, b):
    return _lanewise(2, lambda builder, a, b: builder.fdiv(a, b))()


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c."""
    return _lanewise(3, lambda builder, *args: _call_llvm(builder, "fmuladd", args))()


@intrinsic
def sqrt(typingctx, a):
    return _lanewise(1, lambda builder, *args: _call_llvm(builder, "sqrt", args))()


@intrinsic
def select_greater(typingctx, a, b, x, y):
    """x where a > b, else y (also where a or b is NaN)."""
    return _lanewise(4, lambda builder, a, b, x, y: builder.select(builder.fcmp_ordered(">", a, b), x, y))()


# -- the bits of a float64, for exp and log ---------------------------------------------------------------------


@intrinsic
def power_of_two(typingctx, shifted):
    """2**n for integers n in [-1022, 1023], given as n + 1.5 * 2**52, whose low bits hold n."""

    def generate(builder, shifted):
        biased = builder.add(builder.bitcast(shifted, _BITS), _bits(1023))
        return builder.bitcast(builder.shl(biased, _bits(52)), _VECTOR)

    return _lanewise(1, generate)()


_SQRT_HALF_BITS = 0x3FE6A09E667F3BCD


@intrinsic
def exponent(typingctx, a):
    """e, as float64, such that a = m * 2**e with m in [sqrt(1/2), sqrt(2)); a positive and normal."""

    def generate(builder, a):
        e = builder.ashr(builder.sub(builder.bitcast(a, _BITS), _bits(_SQRT_HALF_BITS)), _bits(52))
        # An integer added to the bits of 1.5 * 2**52 is that number plus the integer.
        shifted = builder.bitcast(builder.add(e, _bits(0x4338000000000000)), _VECTOR)
        return builder.fsub(shifted, _constant(1.5 * 2**52))

    return _lanewise(1, generate)()


@intrinsic
def mantissa(typingctx, a):
    """m in [sqrt(1/2), sqrt(2)) such that a = m * 2**e; a positive and normal."""

    def generate(builder, a):
        bits = builder.bitcast(a, _BITS)
        e = builder.ashr(builder.sub(bits, _bits(_SQRT_HALF_BITS)), _bits(52))
        return builder.bitcast(builder.sub(bits, builder.shl(e, _bits(52))), _VECTOR)

    return _lanewise(1, generate)()


# -- register tiles: the two loops where a pass spends its time -------------------------------------------------


@functools.cache
def subtract_squares_tile(width):
    """Intrinsic for `width` (1 to 4) consecutive columns of a triangular transformation.

    The intrinsic (factor, bias, k, j, x, n_points, out) sets, for every point b of the block,

        out[k, b] -= sum over c in j..j+width-1 of (bias[k, c] + sum over i <= c of factor[k * D + c, i] x[i, b])**2

    with factor of shape (K * D, D): row c of component k holds the coefficients of its c-th whitened feature.
    """

    @intrinsic
    def tile(typingctx, factor, bias, k, j, x, n_points, out):
        _check_rows(factor, bias, x, out)

        def codegen(context, builder, signature, args):
            factor, bias, x, out = (_Rows(context, builder, signature.args[i], args[i]) for i in (0, 1, 4, 6))
            k, j, n_points = args[2], args[3], args[5]
            row = builder.add(builder.mul(k, factor.width), j)

            with cgutils.for_range_slice(
                builder, ir.Constant(_INT64, 0), n_points, ir.Constant(_INT64, GROUP), _INT64
            ) as (first, _):
                columns = (first, _plus(builder, first, LANES))
                sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in columns] for _ in range(width)]
                for c in range(width):
                    start = bias.broadcast(k, _plus(builder, j, c))
                    for v in range(2):
                        builder.store(start, sums[c][v])

                def add_feature(i, from_column):
                    points = [x.load(i, column) for column in columns]
                    for c in range(from_column, width):
                        coefficient = factor.broadcast(_plus(builder, row, c), i)
                        for v in range(2):
                            total = _call_llvm(builder, "fmuladd", [points[v], coefficient, builder.load(sums[c][v])])
                            builder.store(total, sums[c][v])

                with cgutils.for_range(builder, j, intp=_INT64) as loop:
                    add_feature(loop.index, 0)
                for c in range(width):  # the triangle on the diagonal
                    add_feature(_plus(builder, j, c), c)
                for v, column in enumerate(columns):
                    result = out.load(k, column)
                    for c in range(width):
                        y = builder.load(sums[c][v])
                        result = _call_llvm(builder, "fmuladd", [builder.fneg(y), y, result])
                    out.store(k, column, result)
            return context.get_dummy_value()

        return types.void(factor, bias, types.intp, types.intp, x, types.intp, out), codegen

    return tile


@functools.cache
def add_outer_tile(height, width):
    """Intrinsic for a `height` by `width` (1 to 4) tile of a sum of outer products.

    The intrinsic (e, i, j, n_points, out, row) adds, for r < height and c < width,

        out[row + r, j + c] += sum over points b of e[i + r, b] e[j + c, b]

    and, on the diagonal (width 0), the lower triangle of the square tile with j = i.
    """
    diagonal = width == 0
    width = width or height

    @intrinsic
    def tile(typingctx, e, i, j, n_points, out, row):
        _check_rows(e, out)

        def codegen(context, builder, signature, args):
            e = _Rows(context, builder, signature.args[0], args[0])
            out = _Rows(context, builder, signature.args[4], args[4])
            i, j, n_points, row = args[1], args[2], args[3], args[5]
            cells = [(r, c) for r in range(height) for c in range(width) if c <= r or not diagonal]
            sums = {cell: cgutils.alloca_once(builder, _VECTOR) for cell in cells}
            for cell in cells:
                builder.store(_constant(0.0), sums[cell])

            with cgutils.for_range_slice(
                builder, ir.Constant(_INT64, 0), n_points, ir.Constant(_INT64, LANES), _INT64
            ) as (point, _):
                right = [e.load(_plus(builder, j, c), point) for c in range(width)]
                left = right if diagonal else [e.load(_plus(builder, i, r), point) for r in range(height)]
                for r, c in cells:
                    total = _call_llvm(builder, "fmuladd", [left[r], right[c], builder.load(sums[r, c])])
                    builder.store(total, sums[r, c])

            for r, c in cells:
                pointer = out.at(_plus(builder, row, r), _plus(builder, j, c))
                builder.store(
                    builder.fadd(builder.load(pointer), _sum_of_lanes(builder, builder.load(sums[r, c]))),
                    pointer,
                )
            return context.get_dummy_value()

        return types.void(e, types.intp, types.intp, types.intp, out, types.intp), codegen

    return tile


def _sum_of_lanes(builder, value):
    """Sum of the lanes: the upper half is added to the lower until one is left."""
    half = LANES // 2
    while half:
        upper = ir.Constant(ir.VectorType(_INT32, LANES), [(lane + half) % LANES for lane in range(LANES)])
        value = builder.fadd(value, builder.shuffle_vector(value, value, upper))
        half //= 2
    return builder.extract_element(value, ir.Constant(_INT32, 0))


@intrinsic
def sum_of_lanes(typingctx, a):
    """Sum of the lanes of a vector, a float64."""

    def codegen(context, builder, signature, args):
        return _sum_of_lanes(builder, args[0])

    return types.float64(vector), codegen
