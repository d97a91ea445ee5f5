"""exp and log of a vector, branch-free, in float64 and float32.

`math.exp` in a Numba loop is a scalar call of 4 to 14 ns (no SVML in today's wheels); these take under 1 ns a value.
Accuracy, measured in tests/test_elementary.py against mpmath: within 1 ulp of either precision.
"""

import math

from numba.extending import overload

from ._jit import kernel
from .vectors import (
    DOUBLE,
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

# ln 2 in two parts, the first of so few bits that n times it is exact for the n of each precision.
_LN2_HIGH = float.fromhex("0x1.62e42fee00000p-1")
_LN2_LOW = float.fromhex("0x1.a39ef35793c76p-33")
_LN2_HIGH_SINGLE = 0.693359375
_LN2_LOW_SINGLE = -2.12194440e-4

_ROUND = 1.5 * 2.0**52  # adding it leaves the nearest integer in the low bits
_ROUND_SINGLE = 1.5 * 2.0**23

# exp of anything below is returned as 0: e**-690 is 2e-300 and e**-70 is 4e-31, so no result, and no product of one
# with a float32 of ordinary size, is a denormal: they slow everything that touches them several times over.
_EXP_LOWEST = -690.0
_EXP_LOWEST_SINGLE = -70.0

# (exp(r) - 1 - r) / r**2 on [-ln(2) / 2, ln(2) / 2]: Chebyshev fits, errors of exp 2**-62 and 2**-27.
_E2 = 0.5
_E3 = 0.1666666666666667
_E4 = 0.04166666666666667
_E5 = 0.008333333333326136
_E6 = 0.0013888888888883748
_E7 = 0.00019841269874820627
_E8 = 2.4801587325547743e-05
_E9 = 2.7557255400206422e-06
_E10 = 2.75572736431103e-07
_E11 = 2.5105217004720745e-08
_E12 = 2.0914686968086876e-09
_S2 = 0.5
_S3 = 0.16666576989698775
_S4 = 0.041666554617204574
_S5 = 0.008363179052722578
_S6 = 0.0013926183587713494

# log(1 + f) with s = f / (2 + f): coefficients of Sun's fdlibm, e_log.c and e_logf.c (errors 2**-58.45, 2**-34.24).
_L1 = 6.666666666666735130e-01
_L2 = 3.999999999940941908e-01
_L3 = 2.857142874366239149e-01
_L4 = 2.222219843214978396e-01
_L5 = 1.818357216161805012e-01
_L6 = 1.531383769920937332e-01
_L7 = 1.479819860511658591e-01
_M1 = 0.66666662693
_M2 = 0.40000972152
_M3 = 0.28498786688
_M4 = 0.24279078841


def exp(x):
    """e**x up to the largest power, 0 below -690 (float32: -70) and for NaN."""
    raise NotImplementedError("compiled code only")


def log(x):
    """Natural logarithm of positive normal x."""
    raise NotImplementedError("compiled code only")


@overload(exp)
def _overload_exp(x):
    return _exp if x == DOUBLE else _exp_single


@overload(log)
def _overload_log(x):
    return _log if x == DOUBLE else _log_single


# exp(r) 2**n with x = n ln 2 + r.


def _exp(x):
    shifted = fma(x, splat(_LOG2_E, x), splat(_ROUND, x))
    n = sub(shifted, splat(_ROUND, x))
    r = fma(n, splat(-_LN2_LOW, x), fma(n, splat(-_LN2_HIGH, x), x))
    p = fma(splat(_E12, x), r, splat(_E11, x))
    p = fma(p, r, splat(_E10, x))
    p = fma(p, r, splat(_E9, x))
    p = fma(p, r, splat(_E8, x))
    p = fma(p, r, splat(_E7, x))
    p = fma(p, r, splat(_E6, x))
    p = fma(p, r, splat(_E5, x))
    p = fma(p, r, splat(_E4, x))
    p = fma(p, r, splat(_E3, x))
    p = fma(p, r, splat(_E2, x))
    p = add(fma(mul(p, r), r, r), splat(1.0, x))
    return select_greater(x, splat(_EXP_LOWEST, x), mul(p, power_of_two(shifted)), splat(0.0, x))


def _exp_single(x):
    shifted = fma(x, splat(_LOG2_E, x), splat(_ROUND_SINGLE, x))
    n = sub(shifted, splat(_ROUND_SINGLE, x))
    r = fma(n, splat(-_LN2_LOW_SINGLE, x), fma(n, splat(-_LN2_HIGH_SINGLE, x), x))
    p = fma(splat(_S6, x), r, splat(_S5, x))
    p = fma(p, r, splat(_S4, x))
    p = fma(p, r, splat(_S3, x))
    p = fma(p, r, splat(_S2, x))
    p = add(fma(mul(p, r), r, r), splat(1.0, x))
    return select_greater(x, splat(_EXP_LOWEST_SINGLE, x), mul(p, power_of_two(shifted)), splat(0.0, x))


# e ln 2 + log(m), m = 1 + f in [sqrt(1/2), sqrt(2)).


def _log(x):
    e = exponent(x)
    f = sub(mantissa(x), splat(1.0, x))
    s = div(f, add(splat(2.0, x), f))
    z = mul(s, s)
    p = fma(splat(_L7, x), z, splat(_L6, x))
    p = fma(p, z, splat(_L5, x))
    p = fma(p, z, splat(_L4, x))
    p = fma(p, z, splat(_L3, x))
    p = fma(p, z, splat(_L2, x))
    p = mul(fma(p, z, splat(_L1, x)), z)
    return _join(e, f, s, p, splat(_LN2_HIGH, x), splat(_LN2_LOW, x))


def _log_single(x):
    e = exponent(x)
    f = sub(mantissa(x), splat(1.0, x))
    s = div(f, add(splat(2.0, x), f))
    z = mul(s, s)
    p = fma(splat(_M4, x), z, splat(_M3, x))
    p = fma(p, z, splat(_M2, x))
    p = mul(fma(p, z, splat(_M1, x)), z)
    return _join(e, f, s, p, splat(_LN2_HIGH_SINGLE, x), splat(_LN2_LOW_SINGLE, x))


@kernel
def _join(e, f, s, p, ln2_high, ln2_low):
    half_square = mul(mul(f, f), splat(0.5, f))
    correction = fma(s, add(half_square, p), mul(e, ln2_low))
    return fma(e, ln2_high, sub(f, sub(half_square, correction)))
