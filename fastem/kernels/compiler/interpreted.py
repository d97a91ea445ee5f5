"""Kernels as plain Python, for NUMBA_DISABLE_JIT=1: slow, but a debugger can step through them.

That switch doesn't replace intrinsics: the SIMD operations and register tiles that fastem generates itself. Here each
of them is its docstring's formula in NumPy, with an array of lanes for a vector. So coverage sees the kernels' lines,
every index is checked, and the generated code can be compared with a second implementation.
"""

import ctypes
import functools
import inspect
import sys

import numpy as np

from .cpu import REGISTER

# -- memory -----------------------------------------------------------------------------------------------------------


def lanes(like):
    return REGISTER // like.itemsize


def part(rows, row, point, count):
    """A view of rows[row, point : point + count], which must be within bounds."""
    assert 0 <= row < rows.shape[0] and 0 <= point <= point + count <= rows.shape[1], "scratch out of bounds"
    return rows[row, point : point + count]


def vector(rows, row, point):
    return part(rows, row, point, lanes(rows))


def store(rows, row, point, value):
    assert value.dtype == rows.dtype
    vector(rows, row, point)[:] = value


def splat(scalar, like):
    return np.full(lanes(like), scalar, like.dtype)


def peek(address, dtype):
    return np.float64(np.frombuffer(ctypes.string_at(int(address), dtype.itemsize), dtype)[0])


def peek_code(address, code):
    from ..points import READ_IN_PLACE

    return peek(address, READ_IN_PLACE[code])


# -- the bits of a number ---------------------------------------------------------------------------------------------

BITS = {np.dtype(np.float64): (np.int64, 52, 1023), np.dtype(np.float32): (np.int32, 23, 127)}


def power_of_two(shifted):
    integer, mantissa_bits, bias = BITS[shifted.dtype]
    return ((shifted.view(integer) + integer(bias)) << integer(mantissa_bits)).view(shifted.dtype)


def mantissa_and_exponent(a):
    m, e = np.frexp(a)
    small = m < np.sqrt(a.dtype.type(0.5))
    return np.where(small, 2 * m, m).astype(a.dtype), (e - small).astype(a.dtype)


def polynomial(x, coefficients):
    return functools.reduce(lambda total, c: total * x + x.dtype.type(c), coefficients[1:], splat(coefficients[0], x))


# -- tiles ------------------------------------------------------------------------------------------------------------


def points_of(rows, first, count, n_points):
    """(count, n_points) of a block's rows from `first` on; tiles run over whole groups of points."""
    from ..vectors import GROUP

    assert n_points % GROUP == 0
    return np.stack([part(rows, first + c, 0, n_points) for c in range(count)])


def add_to(out, row, column, values):
    part(out, row, column, len(values))[:] += values.astype(np.float64)


def subtract_squares(width, start, factor, bias, k, j, x, begin, end, out, row, *, first):
    from ..tiles import COLUMNS, VECTORS

    assert 1 <= width <= COLUMNS and (first or width == COLUMNS)
    n_points = end - begin
    assert n_points % (VECTORS * lanes(x)) == 0
    result = np.full(n_points, start, x.dtype) if first else part(out, row, begin, n_points)
    for c in range(j, j + width):
        coefficients = part(factor, k * factor.shape[1] + c, 0, c + 1)
        z = bias[k, c] + coefficients @ np.stack([part(x, i, begin, n_points) for i in range(c + 1)])
        result = result - z * z
    part(out, row, begin, n_points)[:] = result


def centred(height, x, i, n_points, responsibilities, a, factor, centres, k, e, out, row, *, kind):
    from ..tiles import ROWS

    n_features = centres.shape[1]
    assert {"only": height == n_features <= 4, "first": 1 <= height <= 4, "next": height == ROWS}[kind]
    if kind == "next":
        root = part(e, n_features, 0, n_points)
    else:
        r = part(responsibilities, a, 0, n_points) * part(factor, 0, 0, n_points)
        add_to(out, row, 0, r.sum(keepdims=True))
        root = np.sqrt(r)
    if kind == "first":
        part(e, n_features, 0, n_points)[:] = root
    d = root * (points_of(x, i, height, n_points) - part(centres, k, i, height)[:, None])
    add_to(out, row + 1, i, d @ root)
    for c in range(height):
        if kind != "only":
            part(e, i + c, 0, n_points)[:] = d[c]
        add_to(out, row + 2 + i + c, i, d[: c + 1] @ d[c])


def moments(width, x, i, n_points, r, a, centres, k, out, first, second, *, squares):
    d = points_of(x, i, width, n_points) - part(centres, k, i, width)[:, None]
    weighted = part(r, a, 0, n_points) * d  # before squaring: a point of weight 0 adds 0 even if its square overflows
    add_to(out, k, first + i, weighted.sum(axis=1))
    if squares:
        add_to(out, k, second + i, (weighted * d).sum(axis=1))


def outer(width, e, i, j, n_points, out, row, *, widths, diagonal):
    from ..tiles import ROWS

    assert width in widths and (i == j or not diagonal)
    right = points_of(e, j, width, n_points)
    left = right if diagonal else points_of(e, i, ROWS, n_points)
    for p, values in enumerate(left):
        add_to(out, row + p, j, right[: p + 1 if diagonal else width] @ values)


def project(width, x, begin, end, n_points, means, scale, k, directions, j, out, row, square, *, squares):
    from ..projections import MOST

    assert 1 <= width <= MOST
    y = points_of(x, begin, end - begin, n_points) - part(means, k, begin, end - begin)[:, None]
    y = y * part(scale, k, begin, end - begin)[:, None]
    here = k * means.shape[1]
    for c in range(width):
        coefficients = np.stack([part(directions, here + i, j + c, 1)[0] for i in range(begin, end)])
        part(out, row + c, 0, n_points)[:] += coefficients @ y
    if squares:
        part(out, square, 0, n_points)[:] += (y * y).sum(axis=0)


def cross(width, x, i, n_points, centres, k, work, weight, first, j, out, row, *, moments):
    d = points_of(x, i, 2, n_points) - part(centres, k, i, 2)[:, None]
    for p in range(2):
        if moments:
            weighted = part(work, weight, 0, n_points) * d[p]
            add_to(out, row + p, 0, np.stack([weighted.sum(), (weighted * d[p]).sum()]))
        add_to(out, row + p, 2 + j, points_of(work, first + j, width, n_points) @ d[p])


def load_features(address, row_stride, rows, point, feature, like, origin, x, *, width):
    from ..transposing import AHEAD

    for i in range(feature, feature + width):
        here = vector(x, i, point)
        for lane in range(len(here)):
            rows[point + lane + AHEAD]  # would be prefetched: checks the index
            place = address + rows[point + lane] * row_stride + i * like.itemsize
            here[lane] = peek(place, like.dtype) - origin[i]


# -- calls ------------------------------------------------------------------------------------------------------------


def run(kernel, n_chunks, args):
    """Run a chunk kernel for every chunk, without NumPy's warnings, as compiled code gives none."""
    with np.errstate(all="ignore"):
        for chunk in range(n_chunks):
            kernel(chunk, args)


STAND_INS = {
    "arguments": lambda args: args,
    "compiled_apart": lambda: None,
    "lanes": lanes,
    "load": lambda rows, row, point: vector(rows, row, point).copy(),
    "store": store,
    "splat": splat,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "fma": lambda a, b, c: a * b + c,
    "fnma": lambda a, b, c: c - a * b,
    "polynomial.<locals>.evaluate": polynomial,
    "sqrt": np.sqrt,
    "absolute": np.abs,
    "select_greater": lambda a, b, x, y: np.where(a > b, x, y),
    "sum_of_lanes": lambda a: np.float64(a.sum()),
    "max_of_lanes": np.fmax.reduce,
    "any_not_less": lambda a, b: bool(np.any(~(a < b))),
    "power_of_two": power_of_two,
    "exponent": lambda a: mantissa_and_exponent(a)[1],
    "mantissa": lambda a: mantissa_and_exponent(a)[0],
    "_peek": peek_code,
    "_address_of": lambda a: a.ctypes.data,
    "subtract_squares_tile.<locals>.tile": subtract_squares,
    "centred_tile.<locals>.tile": centred,
    "moments_tile.<locals>.tile": moments,
    "outer_tile.<locals>.tile": outer,
    "projection_tile.<locals>.tile": project,
    "cross_tile.<locals>.tile": cross,
    "transposing_load.<locals>.load_features": load_features,
}


def intrinsic(generator):
    """The stand-in for an intrinsic, with its factory's arguments bound; None for one that calls native code."""
    stand_in = STAND_INS.get(generator.__qualname__)
    known = {*inspect.signature(stand_in).parameters} if inspect.isfunction(stand_in) else set()
    fixed = {name: value for name, value in _nonlocals(generator).items() if name in known}
    return functools.partial(stand_in, **fixed) if fixed else stand_in


def _nonlocals(function):
    """The local variables of the function that encloses this one, whether or not it uses them."""
    frame = sys._getframe(2)
    return frame.f_locals if "<locals>" in function.__qualname__ else {}


def overload(function, jit_options=None):
    """Replace a compiled-only function by one that picks its body by its arguments, as Numba does by their types."""

    def register(choose):
        @functools.wraps(function)
        def call(*args):
            with np.errstate(all="ignore"):  # compiled code gives no warnings
                return choose(*map(type_of, args))(*args)

        sys.modules[function.__module__].__dict__[function.__name__] = call
        return choose

    return register


class _Type:
    def __init__(self, instance_class):
        self.instance_class = instance_class


def type_of(value):
    """A stand-in for the value's Numba type, with what overloads use of it."""
    from ..vectors import DOUBLE, SINGLE

    if isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype in BITS:
        return DOUBLE if value.dtype == np.float64 else SINGLE
    return _Type(type(value))
