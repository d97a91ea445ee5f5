"""Speed of a pass relative to the machine's peak, for each regime; the source of the tables in the kernels' headers.

    python asv_benchmarks/roofline.py

Operations are counted by the formulas for each pair of point and component. Full covariances: D (D + 3) for the density
and D (D + 5) for the moments. Axis-aligned: 4 D and 5 D. Tied: 4 D and 3 D, and 2 D (D + 1) for each point. An exp
counts 25. Bytes are those of the points, read once. The two peaks are measured: NumPy's float64 or float32 matrix
multiplication on all threads, and a sum over an array larger than the caches. A share of 1 of the first peak is only
possible with fused multiply-adds alone: a subtraction uses half of one, an exp half of 25.
"""

import functools

import numpy as np
from benchmarks.common import best_seconds, make_points, matmul_flops_per_second

from fastem.model.families import FAMILIES
from fastem.sources import ArraySource

REGIMES = [  # covariance type, points, features, components, dtype
    ("full", 2_000_000, 1, 8, "f8"),
    ("full", 1_000_000, 2, 8, "f8"),
    ("full", 1_000_000, 3, 8, "f8"),
    ("full", 1_000_000, 4, 8, "f8"),
    ("full", 500_000, 10, 16, "f8"),
    ("full", 500_000, 10, 16, "f4"),
    ("full", 100_000, 32, 16, "f8"),
    ("full", 100_000, 32, 16, "f4"),
    ("full", 25_000, 128, 16, "f8"),
    ("full", 25_000, 128, 16, "f4"),
    ("full", 4_000, 512, 4, "f8"),
    ("full", 100, 2, 2, "f8"),
    ("full", 10_000_000, 2, 2, "f8"),
    ("diag", 1_000_000, 2, 8, "f8"),
    ("diag", 1_000_000, 10, 16, "f8"),
    ("diag", 1_000_000, 10, 16, "f4"),
    ("diag", 200_000, 32, 16, "f8"),
    ("diag", 50_000, 128, 16, "f8"),
    ("spherical", 1_000_000, 10, 16, "f8"),
    ("tied", 1_000_000, 10, 16, "f8"),
    ("tied", 1_000_000, 10, 16, "f4"),
    ("tied", 50_000, 128, 16, "f8"),
]


def flops(covariance_type, n, d, k):
    """Floating-point operations of one pass."""
    if covariance_type == "full":
        return n * k * (d * (d + 3) + d * (d + 5) + 25)
    if covariance_type == "tied":
        return n * (k * (7 * d + 25) + 2 * d * (d + 1))
    return n * k * (9 * d + 25)


def main():
    matrix_rate = {dtype: matmul_flops_per_second(dtype) / 1e9 for dtype in ("f8", "f4")}
    big = np.ones(1 << 25)
    (seconds,) = best_seconds([big.sum], repeats=7)
    memory_rate = big.nbytes / seconds / 1e9
    print(
        f"matrix multiplication {matrix_rate['f8']:.0f} and {matrix_rate['f4']:.0f} GFLOP/s (float64, float32), ",
        end="",
    )
    print(f"reading on one thread {memory_rate:.0f} GB/s\n")
    print("| covariance | points | D | K | dtype | seconds | ns a pair | GFLOP/s | of the roof | GB/s |")
    print("| --- | --: | --: | --: | --- | --: | --: | --: | --: | --: |")
    for covariance_type, n, d, k, dtype in REGIMES:
        X, means = make_points.__wrapped__(n, d, k)
        source = ArraySource(X.astype(dtype))
        parameters = FAMILIES[covariance_type].with_variances(means, np.full(d, 1.5))
        source.accumulate(parameters)  # compiles
        (seconds,) = best_seconds([functools.partial(source.accumulate, parameters)], repeats=7)
        rate = flops(covariance_type, n, d, k) / seconds / 1e9
        print(
            f"| {covariance_type} | {n:,} | {d} | {k} | {dtype} | {seconds:.5f} | {seconds / (n * k) * 1e9:.2f} "
            f"| {rate:.1f} | {rate / matrix_rate[dtype]:.2f} | {source.X.nbytes / seconds / 1e9:.1f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
