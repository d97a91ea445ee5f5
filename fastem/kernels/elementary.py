"""exp, log and log1p of a vector, branch-free, in float64 and float32.

`math.exp` in a Numba loop is a scalar call of 4 to 14 ns (no SVML in today's wheels); these take under 1 ns a value.
Accuracy, measured in tests/test_elementary.py against mpmath: within 1 ulp of either precision.
"""

import math
from typing import NamedTuple

from .compiler.extending import overload
from .vectors import (
    DOUBLE,
    SINGLE,
    add,
    div,
    exponent,
    fma,
    mantissa,
    mul,
    polynomial,
    power_of_two,
    select_greater,
    splat,
    sub,
)

_LOG2_E = 1.0 / math.log(2.0)


class _Constants(NamedTuple):
    """The constants of one precision."""

    round: float  # adding it leaves the nearest integer in the low bits
    # ln 2 = ln2_high + ln2_low: ln2_high has so few bits that n * ln2_high is exact for every exponent n.
    ln2_high: float
    ln2_low: float
    # exp of anything below is 0, so that neither a result nor its product with an ordinary number is denormal:
    # arithmetic with denormals is several times slower.
    exp_lowest: float
    # Coefficients of (exp(r) - 1 - r) / r**2 on [-ln(2) / 2, ln(2) / 2], highest power first: Chebyshev fits.
    exp: tuple
    # Coefficients of (log(1 + f) - 2 s) / s**3 in z = s**2, s = f / (2 + f), highest power first: Sun's fdlibm,
    # e_log.c and e_logf.c.
    log: tuple


_CONSTANTS = {
    DOUBLE: _Constants(
        round=1.5 * 2.0**52,
        ln2_high=float.fromhex("0x1.62e42fee00000p-1"),
        ln2_low=float.fromhex("0x1.a39ef35793c76p-33"),
        exp_lowest=-690.0,  # 2e-300
        exp=(  # error of exp 2**-62
            2.0914686968086876e-09, 2.5105217004720745e-08, 2.75572736431103e-07, 2.7557255400206422e-06,
            2.4801587325547743e-05, 0.00019841269874820627, 0.0013888888888883748, 0.008333333333326136,
            0.04166666666666667, 0.1666666666666667, 0.5,
        ),
        log=(  # error 2**-58.45
            1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01, 2.222219843214978396e-01,
            2.857142874366239149e-01, 3.999999999940941908e-01, 6.666666666666735130e-01,
        ),
    ),
    SINGLE: _Constants(
        round=1.5 * 2.0**23,
        ln2_high=0.693359375,
        ln2_low=-2.12194440e-4,
        exp_lowest=-70.0,  # 4e-31
        exp=(  # error of exp 2**-27
            0.0013926183587713494, 0.008363179052722578, 0.041666554617204574, 0.16666576989698775, 0.5,
        ),
        log=(0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693),  # error 2**-34.24
    ),
}  # fmt: skip


def exp(x):
    """e**x for x up to the largest exponent of its precision; 0 for x below -690 (float32: -70) and for NaN."""
    raise NotImplementedError("compiled code only")


@overload(exp)
def _overload_exp(x):
    rounding, ln2_high, ln2_low, lowest, coefficients, _ = _CONSTANTS[x]
    evaluate = polynomial(coefficients)

    def exp(x):  # exp(r) 2**n with x = n ln 2 + r
        shifted = fma(x, splat(_LOG2_E, x), splat(rounding, x))
        n = sub(shifted, splat(rounding, x))
        r = fma(n, splat(-ln2_low, x), fma(n, splat(-ln2_high, x), x))
        p = add(fma(mul(evaluate(r), r), r, r), splat(1.0, x))
        return select_greater(x, splat(lowest, x), mul(p, power_of_two(shifted)), splat(0.0, x))

    return exp


def log(x):
    """Natural logarithm of positive normal x."""
    raise NotImplementedError("compiled code only")


@overload(log)
def _overload_log(x):
    _, ln2_high, ln2_low, _, _, coefficients = _CONSTANTS[x]
    evaluate = polynomial(coefficients)

    def log(x):  # e ln 2 + log(m), m = 1 + f in [sqrt(1/2), sqrt(2))
        e = exponent(x)
        f = sub(mantissa(x), splat(1.0, x))
        s = div(f, add(splat(2.0, x), f))
        z = mul(s, s)
        half_square = mul(mul(f, f), splat(0.5, x))
        correction = fma(s, add(half_square, mul(evaluate(z), z)), mul(e, splat(ln2_low, x)))
        return fma(e, splat(ln2_high, x), sub(f, sub(half_square, correction)))

    return log


def log1p(x):
    """log(1 + x) for x of 0 or more, so small that 1 + x is normal; relatively accurate for tiny x, too."""
    raise NotImplementedError("compiled code only")


_EXACT = 0.4
"""Up to this x, 1 + x lies below sqrt(2), so that the f of `log` is x itself, not rounded."""


@overload(log1p)
def _overload_log1p(x):
    _, ln2_high, ln2_low, _, _, coefficients = _CONSTANTS[x]
    evaluate = polynomial(coefficients)

    def log1p(x):  # as `log`
        one = splat(1.0, x)
        above = add(one, x)
        e = exponent(above)
        f = select_greater(splat(_EXACT, x), x, x, sub(mantissa(above), one))
        s = div(f, add(splat(2.0, x), f))
        z = mul(s, s)
        half_square = mul(mul(f, f), splat(0.5, x))
        correction = fma(s, add(half_square, mul(evaluate(z), z)), mul(e, splat(ln2_low, x)))
        return fma(e, splat(ln2_high, x), sub(f, sub(half_square, correction)))

    return log1p
