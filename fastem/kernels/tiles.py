"""Register tiles: the innermost loops of a pass, generated so that their sums stay in registers.

Each tile loops over a block's points, one vector of points (for densities several) at a time, and keeps 8 to 16 sums in
registers: so many independent sums hide the latency of a fused multiply-add. Per multiply-add a tile loads 0.5 to 0.75
vectors. `add_lane_sums` writes the sums over the points to memory.
"""

import functools

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compiler.cpu import REGISTERS
from .compiler.extending import intrinsic
from .vectors import (
    DOUBLE,
    INT64,
    Rows,
    broadcast,
    call_llvm,
    check_rows,
    plus,
    prefetch,
    shuffle,
    sum_lanes,
    vector_of,
)

# Shapes of the tiles, by the number of registers: 32 with AVX-512, else 16. The sums of a tile leave room for what is
# loaded, or they would be spilled at every point: with 16 registers for 12 sums, 3 factors and 1 vector of points.
COLUMNS, VECTORS = (4, 2) if REGISTERS == 32 else (3, 4)
"""Columns, and vectors of points, of a tile of densities."""
ROWS = 4 if REGISTERS == 32 else 3
"""Rows of a tile of second moments; it has up to 4 columns."""
IN_PANELS = REGISTERS == 16
"""Whether tiles run over parts of a large block that fit in the first-level cache, which is half as large with AVX2."""


def over_points(builder, end, step, begin=None):
    """`with over_points(...) as (first, _)`: a loop over a block's points, from the first or `begin`."""
    begin = ir.Constant(INT64, 0) if begin is None else begin
    return cgutils.for_range_slice(builder, begin, end, ir.Constant(INT64, step), INT64)


def each(builder, width, widths):
    """`for w in each(...)`: generate code for each of these widths; at run time that for `width` is run."""
    for candidate in widths:
        with builder.if_then(builder.icmp_signed("==", width, width.type(candidate))):
            yield candidate


class Sums:
    """Accumulators, each a vector in a register."""

    def __init__(self, builder, vector, keys):
        self._builder = builder
        self._vector = vector
        self._places = {key: cgutils.alloca_once(builder, vector.llvm) for key in keys}

    def start(self, key, value=None):
        self._builder.store(self._vector.constant(0.0) if value is None else value, self._places[key])

    def start_all(self):
        for key in self._places:
            self.start(key)

    def __getitem__(self, key):
        return self._builder.load(self._places[key])

    def add(self, key, value):
        self._builder.store(self._builder.fadd(self[key], value), self._places[key])

    def add_products(self, cells, left, right, hold_left):
        """Add left(p) * right(c) to each cell (p, c); left and right load, and remember, a value.

        Either the left ones or the right ones are loaded first and stay in registers, the others one by one.
        """
        if hold_left:
            for p in dict.fromkeys(p for p, _ in cells):
                left(p)
            cells = sorted(cells, key=lambda cell: cell[::-1])
        else:
            for c in dict.fromkeys(c for _, c in cells):
                right(c)
        for p, c in cells:
            self.add_product((p, c), left(p), right(c))

    def add_product(self, key, a, b):
        self._builder.store(call_llvm(self._builder, self._vector, "fmuladd", a, b, self[key]), self._places[key])


# -- densities --------------------------------------------------------------------------------------------------


@functools.cache
def subtract_squares_tile(first):
    """Intrinsic for consecutive columns of a triangular transformation: 1 to `COLUMNS` if `first`, else `COLUMNS`.

    The intrinsic (width, start, factor, bias, k, j, x, begin, end, out, row) sets, for the points b in begin..end-1,

        out[row, b] -= sum over c in j..j+width-1 of (bias[k, c] + sum over i <= c of factor[k * D + c, i] x[i, b])**2

    with factor of shape (K * D, D): row c of component k holds the coefficients of its c-th whitened feature. The
    first tile (j = 0) subtracts from `start`, a number.
    """

    widths = range(1, COLUMNS + 1) if first else (COLUMNS,)

    @intrinsic
    def tile(typingctx, width, start, factor, bias, k, j, x, begin, end, out, row):
        check_rows(x, factor, bias, out)
        vector = vector_of(x)

        def codegen(context, builder, signature, args):
            factor, bias, x, out = (Rows(context, builder, signature.args[i], args[i]) for i in (2, 3, 6, 9))
            k, j, begin, end, row = args[4], args[5], args[7], args[8], args[10]
            first_factor = builder.add(builder.mul(k, factor.width), j)
            if first:
                start = broadcast(builder, vector, context.cast(builder, args[1], signature.args[1], vector.element))

            def add_columns(width):
                step = VECTORS * vector.lanes
                with over_points(builder, end, step, begin) as (point, _):
                    columns = [plus(builder, point, v * vector.lanes) for v in range(VECTORS)]
                    sums = Sums(builder, vector, [(c, v) for c in range(width) for v in range(VECTORS)])
                    for c in range(width):
                        offset = bias.broadcast(k, plus(builder, j, c))
                        for v in range(VECTORS):
                            sums.start((c, v), offset)

                    def add_feature(i, from_column):
                        cells = [(c, v) for c in range(from_column, width) for v in range(VECTORS)]
                        coefficient = functools.cache(lambda c: factor.broadcast(plus(builder, first_factor, c), i))
                        points = functools.cache(lambda v: x.load(i, columns[v]))
                        sums.add_products(cells, coefficient, points, hold_left=COLUMNS < VECTORS)

                    if not first:
                        with cgutils.for_range(builder, j, intp=INT64) as loop:
                            add_feature(loop.index, 0)
                    for c in range(width):  # the triangle on the diagonal
                        add_feature(plus(builder, j, c), c)
                    for v, column in enumerate(columns):
                        result = start if first else out.load(row, column)
                        for c in range(width):
                            z = sums[c, v]
                            result = call_llvm(builder, vector, "fmuladd", builder.fneg(z), z, result)
                        out.store(row, column, result)

            for width in each(builder, args[0], widths):
                add_columns(width)
            return context.get_dummy_value()

        intp = types.intp
        return types.void(intp, start, factor, bias, intp, intp, x, intp, intp, out, intp), codegen

    return tile


# -- moments ----------------------------------------------------------------------------------------------------


def add_lane_sums(builder, vector, out, pieces):
    """Add the lane sums of vectors to float64 `out`: each piece is (row, first column, vectors of up to 4 columns)."""
    groups = [[]]
    for row, column, values in pieces:
        if sum(len(values) for *_, values in groups[-1]) + len(values) > vector.lanes:
            groups.append([])
        groups[-1].append((row, column, values))
    for group in groups:
        sums = sum_lanes(builder, vector, [value for *_, values in group for value in values])
        lane = 0
        for row, column, values in group:
            part = shuffle(builder, sums, sums, range(lane, lane + len(values)))
            if vector != DOUBLE:
                part = builder.fpext(part, ir.VectorType(ir.DoubleType(), len(values)))
            out.store(row, column, builder.fadd(out.load(row, column, len(values)), part))
            lane += len(values)


def _triangle(height):
    return [(r, c) for r in range(height) for c in range(r + 1)]


def _triangle_pieces(builder, vector, sums, row, column, height):
    """The rows of a lower triangular tile, padded with zeros above the diagonal."""
    zero = vector.constant(0.0)
    for r in range(height):
        values = [sums[r, c] if c <= r else zero for c in range(height)]
        yield plus(builder, row, r), column, values


@functools.cache
def centred_tile(kind):
    """Intrinsic for the moments of consecutive features of one component: 1 to 4, or `ROWS` if kind is 'next'.

    The intrinsic (height, x, i, n_points, responsibilities, a, factor, centres, k, e, out, row) takes, with d the
    features i..i+height-1 minus the component's centre and r = responsibilities[a] * factor[0],

        out[row, 0]                   += sum of r            (unless kind is 'next')
        out[row + 1, i + c]           += sum of r d[c]
        out[row + 2 + i + p, i + c]   += sum of r d[p] d[c]  for c <= p

    and stores sqrt(r) d in rows i.. of scratch e, for the tiles off the diagonal, and sqrt(r) in its row D. These
    operations overlap with the multiply-adds of the diagonal, so that they cost almost nothing.

    kind: 'first' stores sqrt(r), 'next' loads it, and 'only' (one tile has all D features) doesn't use e.
    """

    heights = (ROWS,) if kind == "next" else (1, 2, 3, 4)

    @intrinsic
    def tile(typingctx, height, x, i, n_points, responsibilities, a, factor, centres, k, e, out, row):
        check_rows(x, responsibilities, factor, centres, e)
        check_rows(out)
        vector = vector_of(x)

        def codegen(context, builder, signature, args):
            x, responsibilities, factor, centres, e, out = (
                Rows(context, builder, signature.args[n], args[n]) for n in (1, 4, 6, 7, 9, 10)
            )
            i, n_points, a, k, row = args[2], args[3], args[5], args[8], args[11]
            zero = ir.Constant(INT64, 0)
            root_row = centres.width

            def add_moments(height):
                sums = Sums(builder, vector, ["mass", *range(height), *_triangle(height)])
                sums.start_all()
                centre = [centres.broadcast(k, plus(builder, i, c)) for c in range(height)]

                with over_points(builder, n_points, vector.lanes) as (point, _):
                    if kind == "next":
                        root = e.load(root_row, point)
                    else:
                        r = builder.fmul(responsibilities.load(a, point), factor.load(zero, point))
                        sums.add("mass", r)
                    if kind == "first":
                        root = call_llvm(builder, vector, "sqrt", r)
                        e.store(root_row, point, root)
                    d = [builder.fsub(x.load(plus(builder, i, c), point), centre[c]) for c in range(height)]
                    if kind == "only":
                        left, right = [builder.fmul(r, value) for value in d], d
                        for c in range(height):
                            sums.add(c, left[c])
                    else:
                        left = right = [builder.fmul(root, value) for value in d]
                        for c in range(height):
                            e.store(plus(builder, i, c), point, left[c])
                            sums.add_product(c, root, left[c])
                    for p, c in _triangle(height):
                        sums.add_product((p, c), left[p], right[c])

                first_row = plus(builder, builder.add(row, i), 2)
                pieces = list(_triangle_pieces(builder, vector, sums, first_row, i, height))
                pieces.append((plus(builder, row, 1), i, [sums[c] for c in range(height)]))
                if kind != "next":
                    pieces.append((row, zero, [sums["mass"]]))
                add_lane_sums(builder, vector, out, pieces)

            for height in each(builder, args[0], heights):
                add_moments(height)
            return context.get_dummy_value()

        intp = types.intp
        signature = types.void(intp, x, intp, intp, responsibilities, intp, factor, centres, intp, e, out, intp)
        return signature, codegen

    return tile


@functools.cache
def moments_tile(squares):
    """Intrinsic for the first moments of 1 to 4 consecutive features and, if `squares`, their second moments.

    The intrinsic (width, x, i, n_points, r, a, centres, k, out, first, second) adds, with d the features i.. minus the
    centre,

        out[k, first + i + c]  += sum over points b of r[a, b] d[c, b]
        out[k, second + i + c] += sum over points b of r[a, b] d[c, b]**2
    """

    powers = (1, 2) if squares else (1,)

    @intrinsic
    def tile(typingctx, width, x, i, n_points, r, a, centres, k, out, first, second):
        check_rows(x, r, centres)
        check_rows(out)
        vector = vector_of(x)

        def codegen(context, builder, signature, args):
            x, r, centres, out = (Rows(context, builder, signature.args[n], args[n]) for n in (1, 4, 6, 8))
            i, n_points, a, k, *starts = args[2], args[3], args[5], args[7], args[9], args[10]

            def add_moments(width):
                sums = Sums(builder, vector, [(power, c) for power in powers for c in range(width)])
                sums.start_all()
                centre = [centres.broadcast(k, plus(builder, i, c)) for c in range(width)]
                with over_points(builder, n_points, vector.lanes) as (point, _):
                    weight = r.load(a, point)
                    for c in range(width):
                        d = builder.fsub(x.load(plus(builder, i, c), point), centre[c])
                        if squares:
                            weighted = builder.fmul(weight, d)
                            sums.add((1, c), weighted)
                            sums.add_product((2, c), weighted, d)
                        else:
                            sums.add_product((1, c), weight, d)
                pieces = [
                    (k, builder.add(start, i), [sums[power, c] for c in range(width)])
                    for power, start in zip(powers, starts, strict=False)
                ]
                add_lane_sums(builder, vector, out, pieces)

            for width in each(builder, args[0], (1, 2, 3, 4)):
                add_moments(width)
            return context.get_dummy_value()

        intp = types.intp
        return types.void(intp, x, intp, intp, r, intp, centres, intp, out, intp, intp), codegen

    return tile


@functools.cache
def outer_tile(widths, diagonal=False):
    """Intrinsic for a tile of a sum of outer products, `ROWS` high and of one of these widths.

    The intrinsic (width, e, i, j, n_points, out, row) adds, for p < ROWS and c < width,

        out[row + p, j + c] += sum over points b of e[i + p, b] e[j + c, b]

    or, if `diagonal` (j = i), the lower triangle of the square tile of that width.
    """

    @intrinsic
    def tile(typingctx, width, e, i, j, n_points, out, row):
        check_rows(e)
        check_rows(out)
        vector = vector_of(e)

        def codegen(context, builder, signature, args):
            e = Rows(context, builder, signature.args[1], args[1])
            out = Rows(context, builder, signature.args[5], args[5])
            i, j, n_points, row = args[2], args[3], args[4], args[6]

            def add_products(width):
                height = width if diagonal else ROWS
                cells = _triangle(height) if diagonal else [(p, c) for p in range(height) for c in range(width)]
                sums = Sums(builder, vector, cells)
                sums.start_all()
                for p in range(height if width == 4 and not diagonal else 0):  # else the loop would end in a wait
                    prefetch(builder, builder.bitcast(out.at(plus(builder, row, p), j), ir.IntType(8).as_pointer()))
                with over_points(builder, n_points, vector.lanes) as (point, _):
                    right = functools.cache(lambda c: e.load(plus(builder, j, c), point))
                    left = right if diagonal else functools.cache(lambda p: e.load(plus(builder, i, p), point))
                    sums.add_products(cells, left, right, hold_left=height < width)
                if diagonal:
                    pieces = list(_triangle_pieces(builder, vector, sums, row, j, height))
                else:
                    pieces = [(plus(builder, row, p), j, [sums[p, c] for c in range(width)]) for p in range(height)]
                add_lane_sums(builder, vector, out, pieces)

            for width in each(builder, args[0], widths):
                add_products(width)
            return context.get_dummy_value()

        intp = types.intp
        return types.void(intp, e, intp, intp, intp, out, intp), codegen

    return tile
