"""Fields of a text table: is one a number, a missing value, or text?"""

import math
import re

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", ".", "-"}

# Numbers with Fortran's exponents: 1.0D+00, 1D+00, 1.D0, and 1.5-101 (an exponent of three digits has no letter).
_FORTRAN = re.compile(r"([+-]?(?:\d+\.\d*|\.\d+|\d+(?=[dD][+-])))(?:[dD]([+-]?\d{1,3})|([+-]\d{3}))")
D_EXPONENTS = re.compile(rb"(?<=[\d.])[dD](?=[+-]?\d)")


def number_in(field):
    """The value of a field with a number; ValueError for any other."""
    if "_" in field:  # Python would read 1_000 as a number
        raise ValueError
    try:
        return float(field)
    except ValueError:
        if not (match := _FORTRAN.fullmatch(field)):
            raise
        return float(f"{match[1]}e{match[2] or match[3]}")


def has_fortran_exponent(field):
    """Whether a field is a number with a Fortran exponent."""
    return _FORTRAN.fullmatch(field) is not None


def is_number(field):
    """Whether a field is a number, with a decimal point or comma; NaN is not."""
    try:
        return not math.isnan(value_of(field))
    except ValueError:
        return False


def value_of(field):
    """The value of a field with a number, with a decimal point or comma; ValueError for any other."""
    return number_in(field.replace(",", "."))


def is_text(field):
    """Whether a field is neither a number nor a mark of a missing value."""
    return not is_number(field) and field.lower() not in MISSING
