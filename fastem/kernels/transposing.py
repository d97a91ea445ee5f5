"""Loads that transpose: from points in rows, as users keep them, to features in rows, as kernels compute with them."""

import functools

from llvmlite import ir
from numba import types

from .compiler.extending import intrinsic
from .vectors import DOUBLE, INT64, Rows, check_rows, plus, prefetch, shuffle, vector_of

AHEAD = 32  # points: a point's cache line is prefetched so many points before it is loaded


@functools.cache
def transposing_load(width):
    """Intrinsic that loads `width` (2 or 4) features of as many points as a vector has lanes.

    The intrinsic (address, row_stride, rows, point, feature, like, origin, x) sets, for these features i from
    `feature` on and points b from `point` on,

        x[i, b] = X[rows[b], i] - origin[i]

    X is a matrix of the dtype of `like` whose rows are contiguous, row_stride bytes apart; rows: int64 row numbers,
    `AHEAD` more than there are points. The difference is taken in float64, whatever the precisions of X and x.
    """

    @intrinsic
    def load_features(typingctx, address, row_stride, rows, point, feature, like, origin, x):
        check_rows(x)
        vector = vector_of(x)

        def codegen(context, builder, signature, args):
            address, row_stride, rows, point, feature, _, origin, x = args
            value_type = signature.args[5]
            llvm_value = context.get_data_type(value_type)
            rows = context.make_array(signature.args[2])(context, builder, rows)
            origin = context.make_array(signature.args[6])(context, builder, origin)
            x = Rows(context, builder, signature.args[7], x)
            skip = builder.mul(feature, ir.Constant(INT64, value_type.bitwidth // 8))
            start = builder.add(address, skip)

            def pointer(lane, llvm):
                row = builder.load(builder.gep(rows.data, [plus(builder, point, lane)]))
                return builder.inttoptr(builder.add(start, builder.mul(row, row_stride)), ir.PointerType(llvm))

            def load(pointer, llvm, align):
                several = ir.VectorType(llvm, width).as_pointer()
                return builder.load(builder.bitcast(pointer, several), align=align)

            offset = load(builder.gep(origin.data, [feature]), ir.DoubleType(), 8)

            def features_of(lane):
                prefetch(builder, pointer(lane + AHEAD, ir.IntType(8)))
                values = load(pointer(lane, llvm_value), llvm_value, 1)
                if value_type != types.float64:
                    values = builder.fpext(values, offset.type)
                values = builder.fsub(values, offset)
                return values if vector == DOUBLE else builder.fptrunc(values, ir.VectorType(ir.FloatType(), width))

            # A vector has groups of `width` lanes; a group covers `width` points. First, points[j] gets the features of
            # point j of every group, side by side; then all groups are transposed at once.
            groups = range(vector.lanes // width)
            points = []
            for j in range(width):
                parts = [features_of(width * group + j) for group in groups]
                while len(parts) > 1:
                    both = range(2 * parts[0].type.count)
                    parts = [shuffle(builder, a, b, both) for a, b in zip(parts[::2], parts[1::2], strict=True)]
                points.append(parts[0])

            def choose(a, b, lanes):  # in each group: lanes of a, or from `width` on those of b
                lanes = [lane + (vector.lanes - width) * (lane >= width) for lane in lanes]
                return shuffle(builder, a, b, [width * group + lane for group in groups for lane in lanes])

            if width == 2:
                transposed = [choose(*points, (0, 2)), choose(*points, (1, 3))]
            else:
                even = [choose(points[j], points[j + 1], (0, 4, 2, 6)) for j in (0, 2)]
                odd = [choose(points[j], points[j + 1], (1, 5, 3, 7)) for j in (0, 2)]
                transposed = [choose(*pair, lanes) for lanes in ((0, 1, 4, 5), (2, 3, 6, 7)) for pair in (even, odd)]
            for i, values in enumerate(transposed):
                x.store(plus(builder, feature, i), point, values)
            return context.get_dummy_value()

        signature = types.void(types.intp, types.intp, rows, types.intp, types.intp, like, origin, x)
        return signature, codegen

    return load_features
