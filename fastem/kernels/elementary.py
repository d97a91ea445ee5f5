"""exp and log of a vector, branch-free.

`math.exp` in a Numba loop is a scalar call of 4 to 14 ns (no SVML in today's wheels); these take under 1 ns a value.
Accuracy, measured in tests/test_elementary.py against mpmath: both within 1 ulp.
"""

import math

from ._jit import kernel
from .vectors import (
    add,
    div,
    exponent,
    fma,
    mantissa,
    mul,
    power_of_two,
    select_greater,
    splat,
    sub,
)

_LOG2_E = 1.0 / math.log(2.0)
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")  # 32 bits, so that n * _LN2_HIGH is exact for |n| < 2**21
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_ROUND = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits

# exp of anything below is returned as 0: e**-690 is 2e-300, so no result is a denormal, which would slow
# everything that touches it several times over.
_EXP_LOWEST = -690.0

_E2, _E3, _E4, _E5, _E6, _E7, _E8, _E9, _E10, _E11, _E12, _E13 = (1.0 / math.factorial(i) for i in range(2, 14))

# log(1 + f) with s = f / (2 + f): coefficients of Sun's fdlibm e_log.c (error of the polynomial below 2**-58.45).
_L1 = 6.666666666666735130e-01
_L2 = 3.999999999940941908e-01
_L3 = 2.857142874366239149e-01
_L4 = 2.222219843214978396e-01
_L5 = 1.818357216161805012e-01
_L6 = 1.531383769920937332e-01
_L7 = 1.479819860511658591e-01


@kernel
def exp(x):
    """e**x for x <= 709, 0 for x < -690 (and for NaN): exp(r) 2**n with x = n ln 2 + r, Taylor's series for r."""
    shifted = fma(x, splat(_LOG2_E), splat(_ROUND))
    n = sub(shifted, splat(_ROUND))
    r = fma(n, splat(-_LN2_LOW), fma(n, splat(-_LN2_HIGH), x))
    p = fma(splat(_E13), r, splat(_E12))
    p = fma(p, r, splat(_E11))
    p = fma(p, r, splat(_E10))
    p = fma(p, r, splat(_E9))
    p = fma(p, r, splat(_E8))
    p = fma(p, r, splat(_E7))
    p = fma(p, r, splat(_E6))
    p = fma(p, r, splat(_E5))
    p = fma(p, r, splat(_E4))
    p = fma(p, r, splat(_E3))
    p = fma(p, r, splat(_E2))
    p = add(fma(mul(p, r), r, r), splat(1.0))
    return select_greater(x, splat(_EXP_LOWEST), mul(p, power_of_two(shifted)), splat(0.0))


@kernel
def log(x):
    """Natural logarithm of positive normal x: e ln 2 + log(m), m in [sqrt(1/2), sqrt(2))."""
    e = exponent(x)
    f = sub(mantissa(x), splat(1.0))
    s = div(f, add(splat(2.0), f))
    z = mul(s, s)
    p = fma(splat(_L7), z, splat(_L6))
    p = fma(p, z, splat(_L5))
    p = fma(p, z, splat(_L4))
    p = fma(p, z, splat(_L3))
    p = fma(p, z, splat(_L2))
    p = fma(p, z, splat(_L1))
    p = mul(p, z)
    half_square = mul(mul(f, f), splat(0.5))
    correction = fma(s, add(half_square, p), mul(e, splat(_LN2_LOW)))
    return fma(e, splat(_LN2_HIGH), sub(f, sub(half_square, correction)))
