"""Register tiles of low-rank components: projections of a block's points, and products of these with the points.

As in tiles.py each tile keeps its sums in registers: projections 2 to 7 for each of two vectors of points, products 4
to 16 for two features. Few factors make both skinny matrix products, in which a point's feature, once loaded, is used
for all of them.
"""

import functools

from llvmlite import ir
from numba import types
from numba.core import cgutils

from .compiler.cpu import REGISTERS
from .compiler.extending import intrinsic
from .tiles import Sums, add_lane_sums, each, over_points
from .vectors import INT64, Rows, check_rows, plus, vector_of

MOST = 6 if REGISTERS == 32 else 4
"""Most factors of a tile."""
_VECTORS = 2


@functools.cache
def projection_tile(squares):
    """Intrinsic for 1 to `MOST` projections of the points, a panel of features after another.

    The intrinsic (width, x, begin, end, n_points, means, scale, k, directions, j, out, row, square) adds, for the
    features i in begin..end-1 and y[i] = (x[i] - means[k, i]) scale[k, i],

        out[row + c, b] += sum over i of directions[k * D + i, j + c] y[i, b]   for c < width
        out[square, b]  += sum over i of y[i, b]**2                             if `squares`
    """

    @intrinsic
    def tile(typingctx, width, x, begin, end, n_points, means, scale, k, directions, j, out, row, square):
        check_rows(x, means, scale, directions, out)
        vector = vector_of(x)

        def codegen(context, builder, signature, args):
            x, means, scale, directions, out = (
                Rows(context, builder, signature.args[n], args[n]) for n in (1, 5, 6, 8, 10)
            )
            begin, end, n_points, k, j, row, square = (args[n] for n in (2, 3, 4, 7, 9, 11, 12))
            first = builder.mul(k, means.width)

            def project(width):
                with over_points(builder, n_points, _VECTORS * vector.lanes) as (point, _):
                    columns = [plus(builder, point, v * vector.lanes) for v in range(_VECTORS)]
                    places = [(c, plus(builder, row, c)) for c in range(width)]
                    places += [("square", square)] if squares else []
                    sums = Sums(builder, vector, [(c, v) for c, _ in places for v in range(_VECTORS)])
                    for c, place in places:
                        for v, column in enumerate(columns):
                            sums.start((c, v), out.load(place, column))
                    with cgutils.for_range_slice(builder, begin, end, ir.Constant(INT64, 1), INT64) as (i, _):
                        mean, deviation = means.broadcast(k, i), scale.broadcast(k, i)
                        y = [builder.fmul(builder.fsub(x.load(i, column), mean), deviation) for column in columns]
                        if squares:
                            for v in range(_VECTORS):
                                sums.add_product(("square", v), y[v], y[v])
                        here = builder.add(first, i)
                        for c in range(width):
                            direction = directions.broadcast(here, plus(builder, j, c))
                            for v in range(_VECTORS):
                                sums.add_product((c, v), direction, y[v])
                    for c, place in places:
                        for v, column in enumerate(columns):
                            out.store(place, column, sums[c, v])

            for width in each(builder, args[0], range(1, MOST + 1)):
                project(width)
            return context.get_dummy_value()

        n = types.intp
        return types.void(n, x, n, n, n, means, scale, n, directions, n, out, n, n), codegen

    return tile


@functools.cache
def cross_tile(moments):
    """Intrinsic for sums over a block's points of two features times 1 to `MOST` weighted projections.

    The intrinsic (width, x, i, n_points, centres, k, work, weight, first, j, out, row) adds, with d the features i and
    i + 1 minus the centre, for p < 2,

        out[row + p, 2 + j + c] += sum over points b of work[first + j + c, b] d[p, b]   for c < width
        out[row + p, 0]         += sum over points b of work[weight, b] d[p, b]          if `moments`
        out[row + p, 1]         += sum over points b of work[weight, b] d[p, b]**2       if `moments`
    """

    @intrinsic
    def tile(typingctx, width, x, i, n_points, centres, k, work, weight, first, j, out, row):
        check_rows(x, centres, work)
        check_rows(out)
        vector = vector_of(x)

        def codegen(context, builder, signature, args):
            x, centres, work, out = (Rows(context, builder, signature.args[n], args[n]) for n in (1, 4, 6, 10))
            i, n_points, k, weight, first, j, row = (args[n] for n in (2, 3, 5, 7, 8, 9, 11))
            start = builder.add(first, j)

            def add_products(width):
                own = ["first", "second"] if moments else []
                sums = Sums(builder, vector, [(p, c) for p in range(2) for c in [*own, *range(width)]])
                sums.start_all()
                centre = [centres.broadcast(k, plus(builder, i, p)) for p in range(2)]
                with over_points(builder, n_points, vector.lanes) as (point, _):
                    d = [builder.fsub(x.load(plus(builder, i, p), point), centre[p]) for p in range(2)]
                    if moments:
                        r = work.load(weight, point)
                        for p in range(2):
                            weighted = builder.fmul(r, d[p])
                            sums.add((p, "first"), weighted)
                            sums.add_product((p, "second"), weighted, d[p])
                    for c in range(width):
                        z = work.load(plus(builder, start, c), point)
                        for p in range(2):
                            sums.add_product((p, c), z, d[p])
                pieces = []
                for p in range(2):
                    here = plus(builder, row, p)
                    if moments:
                        pieces.append((here, ir.Constant(INT64, 0), [sums[p, "first"], sums[p, "second"]]))
                    for c in range(0, width, 4):
                        values = [sums[p, other] for other in range(c, min(c + 4, width))]
                        pieces.append((here, plus(builder, j, 2 + c), values))
                add_lane_sums(builder, vector, out, pieces)

            for width in each(builder, args[0], range(1, MOST + 1)):
                add_products(width)
            return context.get_dummy_value()

        n = types.intp
        return types.void(n, x, n, n, centres, n, work, n, n, n, out, n), codegen

    return tile
