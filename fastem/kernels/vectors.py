"""SIMD vectors as Numba values: one register of float64 or float32, a point in each lane.

LLVM vectorises an inner loop over points only if it can prove that rows of one scratch array don't overlap, and then
it stores every partial sum to memory. With these operations accumulators stay in registers for any number of features:
the loops run 2.5 to 5 times faster than plain ones, and compile quickly. Lanes are independent of each other, except in
sums and maxima at the end of a loop.

Scratch is indexed [row, point]. Tiles run over whole groups of points (`GROUP`). Bounds are checked if Numba's are,
with NUMBA_BOUNDSCHECK=1.
"""

import functools

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import models, register_model

from .compiler.cpu import REGISTER
from .compiler.extending import intrinsic

GROUP = 32
"""Points; tiles run over multiples of this: whole pairs of float32 vectors with AVX-512, else fours."""

INT64 = ir.IntType(64)
_INT32 = ir.IntType(32)


class _Vector(types.Type):
    """One register of an element type."""

    def __init__(self, element, llvm_element, mantissa_bits):
        self.element = element
        self.lanes = REGISTER * 8 // element.bitwidth
        self.llvm = ir.VectorType(llvm_element, self.lanes)
        self.bits = ir.VectorType(ir.IntType(element.bitwidth), self.lanes)
        self.mantissa_bits = mantissa_bits
        super().__init__(name=f"{element}x{self.lanes}")

    def constant(self, value):
        return ir.Constant(self.llvm, [float(value)] * self.lanes)

    def integer(self, value):
        """The same integer in the bits of every lane."""
        return ir.Constant(self.bits, [value] * self.lanes)


DOUBLE = _Vector(types.float64, ir.DoubleType(), 52)
SINGLE = _Vector(types.float32, ir.FloatType(), 23)
_VECTORS = {vector.element: vector for vector in (DOUBLE, SINGLE)}


@register_model(_Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, data_model_manager, frontend_type):
        super().__init__(data_model_manager, frontend_type, frontend_type.llvm)


def vector_of(like):
    """The vector type of an array's elements, or of a vector."""
    return like if isinstance(like, _Vector) else _VECTORS[like.dtype]


# -- code generation helpers ------------------------------------------------------------------------------------


def shuffle(builder, a, b, lanes):
    return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_INT32, len(lanes)), list(lanes)))


def broadcast(builder, vector, scalar):
    undefined = ir.Constant(vector.llvm, ir.Undefined)
    one = builder.insert_element(undefined, scalar, ir.Constant(_INT32, 0))
    return shuffle(builder, one, undefined, [0] * vector.lanes)


def call_llvm(builder, vector, name, *args):
    """Call LLVM's intrinsic of that name on vectors, e.g. llvm.fmuladd (fused if the CPU has such an instruction)."""
    signature = ir.FunctionType(vector.llvm, [vector.llvm] * len(args))
    suffix = f"v{vector.lanes}f{vector.element.bitwidth}"
    return builder.call(cgutils.get_or_insert_function(builder.module, signature, f"llvm.{name}.{suffix}"), args)


def prefetch(builder, pointer):
    """Ask for the cache line that holds an address."""
    number = ir.IntType(32)
    signature = ir.FunctionType(ir.VoidType(), [pointer.type, number, number, number])
    function = cgutils.get_or_insert_function(builder.module, signature, "llvm.prefetch.p0")
    builder.call(function, [pointer, number(0), number(3), number(1)])  # read, keep in all cache levels, data cache


def plus(builder, index, offset):
    return builder.add(index, ir.Constant(index.type, offset))


class Rows:
    """A two-dimensional C-contiguous array of float64 or float32, as generated code accesses it."""

    def __init__(self, context, builder, array_type, array):
        self.context = context
        self.builder = builder
        self.vector = vector_of(array_type)
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
        outside = self.builder.icmp_unsigned(">", plus(self.builder, first, count), length)
        with self.builder.if_then(outside, likely=False):
            self.context.call_conv.return_user_exc(self.builder, IndexError, (message,))

    def _vector_at(self, row, column, lanes):
        llvm = ir.VectorType(self.vector.llvm.element, lanes)
        return self.builder.bitcast(self.at(row, column, lanes), llvm.as_pointer())

    @property
    def alignment(self):
        return self.vector.element.bitwidth // 8

    def load(self, row, column, lanes=None):
        return self.builder.load(self._vector_at(row, column, lanes or self.vector.lanes), align=self.alignment)

    def store(self, row, column, value):
        self.builder.store(value, self._vector_at(row, column, value.type.count), align=self.alignment)

    def broadcast(self, row, column):
        return broadcast(self.builder, self.vector, self.builder.load(self.at(row, column)))


def check_rows(*arrays):
    for array in arrays:
        if not (isinstance(array, types.Array) and array.ndim == 2 and array.layout == "C"):
            raise TypeError(f"expected two-dimensional C-contiguous scratch, got {array}")
        if vector_of(array) != vector_of(arrays[0]):
            raise TypeError(f"expected scratch of one precision, got {arrays}")


def sum_lanes(builder, vector, values):
    """One vector whose lane l is the sum of the lanes of values[l]; there are at most `vector.lanes` values.

    Pairs of values are interleaved and added: 3 operations a value, where separate sums take 2 log2(lanes) + 1.
    """
    undefined = ir.Constant(vector.llvm, ir.Undefined)
    values = values + [None] * (vector.lanes - len(values))
    group = 1
    while len(values) > 1:
        starts = range(0, vector.lanes, 2 * group)
        low = [lane for s in starts for v in (0, vector.lanes) for lane in range(v + s, v + s + group)]
        merged = []
        for a, b in zip(values[::2], values[1::2], strict=True):
            if a is None and b is None:
                merged.append(None)
                continue
            pair = (undefined if a is None else a), (undefined if b is None else b)
            upper = shuffle(builder, *pair, [lane + group for lane in low])
            merged.append(builder.fadd(shuffle(builder, *pair, low), upper))
        values, group = merged, 2 * group
    return values[0]


@intrinsic
def compiled_apart(typingctx):
    """Prevent inlining of the kernel that calls this: worth it if that kernel is long and called more than once."""

    def codegen(context, builder, signature, args):
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


# -- memory -----------------------------------------------------------------------------------------------------


@intrinsic
def lanes(typingctx, rows):
    """Number of points in a vector of this scratch, a compile-time constant."""
    count = vector_of(rows).lanes
    return types.intp(rows), lambda context, builder, signature, args: ir.Constant(INT64, count)


@intrinsic
def load(typingctx, rows, row, point):
    """The values rows[row, point : point + lanes(rows)]."""
    check_rows(rows)

    def codegen(context, builder, signature, args):
        return Rows(context, builder, signature.args[0], args[0]).load(args[1], args[2])

    return vector_of(rows)(rows, types.intp, types.intp), codegen


@intrinsic
def store(typingctx, rows, row, point, value):
    """rows[row, point : point + lanes(rows)] = value."""
    check_rows(rows)

    def codegen(context, builder, signature, args):
        Rows(context, builder, signature.args[0], args[0]).store(args[1], args[2], args[3])
        return context.get_dummy_value()

    return types.void(rows, types.intp, types.intp, vector_of(rows)), codegen


@intrinsic
def splat(typingctx, scalar, like):
    """A vector with the scalar in every lane, of the type of `like` (a vector or scratch)."""
    vector = vector_of(like)

    def codegen(context, builder, signature, args):
        return broadcast(builder, vector, context.cast(builder, args[0], signature.args[0], vector.element))

    return vector(scalar, like), codegen


# -- arithmetic, lane by lane -----------------------------------------------------------------------------------


def _lanewise(generate, *args):
    vector = args[0]

    def codegen(context, builder, signature, values):
        return generate(builder, *values)

    return vector(*[vector] * len(args)), codegen


@intrinsic
def add(typingctx, a, b):
    return _lanewise(lambda builder, a, b: builder.fadd(a, b), a, b)


@intrinsic
def sub(typingctx, a, b):
    return _lanewise(lambda builder, a, b: builder.fsub(a, b), a, b)


@intrinsic
def mul(typingctx, a, b):
    return _lanewise(lambda builder, a, b: builder.fmul(a, b), a, b)


@intrinsic
def div(typingctx, a, b):
    return _lanewise(lambda builder, a, b: builder.fdiv(a, b), a, b)


@intrinsic
def fma(typingctx, a, b, c):
    """a * b + c."""
    return _lanewise(lambda builder, *values: call_llvm(builder, a, "fmuladd", *values), a, b, c)


@intrinsic
def fnma(typingctx, a, b, c):
    """c - a * b."""
    return _lanewise(
        lambda builder, x, y, z: call_llvm(builder, a, "fmuladd", builder.fneg(x), y, z),
        a, b, c,
    )  # fmt: skip


@functools.cache
def polynomial(coefficients):
    """Intrinsic (x): the polynomial with these coefficients, highest power first, by Horner's rule."""

    @intrinsic
    def evaluate(typingctx, x):
        def generate(builder, value):
            total = x.constant(coefficients[0])
            for coefficient in coefficients[1:]:
                total = call_llvm(builder, x, "fmuladd", total, value, x.constant(coefficient))
            return total

        return _lanewise(generate, x)

    return evaluate


@intrinsic
def sqrt(typingctx, a):
    return _lanewise(lambda builder, value: call_llvm(builder, a, "sqrt", value), a)


@intrinsic
def absolute(typingctx, a):
    return _lanewise(lambda builder, value: call_llvm(builder, a, "fabs", value), a)


@intrinsic
def select_greater(typingctx, a, b, x, y):
    """x where a > b, else y (also where a or b is NaN)."""
    return _lanewise(
        lambda builder, a, b, x, y: builder.select(builder.fcmp_ordered(">", a, b), x, y),
        a, b, x, y,
    )  # fmt: skip


@intrinsic
def sum_of_lanes(typingctx, a):
    """Sum of the lanes of a vector, a float64."""

    def codegen(context, builder, signature, args):
        total = builder.extract_element(sum_lanes(builder, a, [args[0]]), ir.Constant(_INT32, 0))
        return context.cast(builder, total, a.element, types.float64)

    return types.float64(a), codegen


@intrinsic
def max_of_lanes(typingctx, a):
    """The largest lane of a vector, in its precision."""

    def codegen(context, builder, signature, args):
        reduce = f"llvm.vector.reduce.fmax.v{a.lanes}f{a.element.bitwidth}"
        function = ir.FunctionType(a.llvm.element, [a.llvm])
        return builder.call(cgutils.get_or_insert_function(builder.module, function, reduce), args)

    return a.element(a), codegen


@intrinsic
def any_not_less(typingctx, a, b):
    """Whether any lane has not a < b (NaN included)."""

    def codegen(context, builder, signature, args):
        lanes = builder.fcmp_unordered(">=", *args)
        return builder.icmp_unsigned("!=", builder.bitcast(lanes, ir.IntType(a.lanes)), ir.IntType(a.lanes)(0))

    return types.boolean(a, b), codegen


# -- the bits of a number, for exp and log ----------------------------------------------------------------------


def _round_bits(vector):
    """The bits of the number 1.5 * 2**mantissa_bits; these bits plus an integer are the bits of that number plus it."""
    bias = (1 << (vector.element.bitwidth - vector.mantissa_bits - 2)) - 1
    return ((bias + vector.mantissa_bits) << vector.mantissa_bits) | (1 << (vector.mantissa_bits - 1))


@intrinsic
def power_of_two(typingctx, shifted):
    """2**n (a normal number) for an integer n, given as n + 1.5 * 2**52 (float32: 2**23), whose low bits hold n."""
    vector = shifted
    bias = (1 << (vector.element.bitwidth - vector.mantissa_bits - 2)) - 1

    def generate(builder, value):
        biased = builder.add(builder.bitcast(value, vector.bits), vector.integer(bias))
        return builder.bitcast(builder.shl(biased, vector.integer(vector.mantissa_bits)), vector.llvm)

    return _lanewise(generate, vector)


_SQRT_HALF_BITS = {DOUBLE: 0x3FE6A09E667F3BCD, SINGLE: 0x3F3504F3}


def _exponent_bits(builder, vector, bits):
    above = builder.sub(bits, vector.integer(_SQRT_HALF_BITS[vector]))
    return builder.ashr(above, vector.integer(vector.mantissa_bits))


@intrinsic
def exponent(typingctx, a):
    """The float e such that a = m * 2**e with m in [sqrt(1/2), sqrt(2)); a must be positive and normal."""
    magic = _round_bits(a)

    def generate(builder, value):
        e = _exponent_bits(builder, a, builder.bitcast(value, a.bits))
        shifted = builder.bitcast(builder.add(e, a.integer(magic)), a.llvm)
        return builder.fsub(shifted, a.constant(1.5 * 2**a.mantissa_bits))

    return _lanewise(generate, a)


@intrinsic
def mantissa(typingctx, a):
    """The m in [sqrt(1/2), sqrt(2)) such that a = m * 2**e for an integer e; a must be positive and normal."""

    def generate(builder, value):
        bits = builder.bitcast(value, a.bits)
        power = builder.shl(_exponent_bits(builder, a, bits), a.integer(a.mantissa_bits))
        return builder.bitcast(builder.sub(bits, power), a.llvm)

    return _lanewise(generate, a)
