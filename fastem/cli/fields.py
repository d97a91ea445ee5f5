"""What one field of a text table is: a number, a missing value, or text."""

import math
import re

MISSING = {"", "na", "n/a", "nan", "null", "none", "?", ".", "-"}

# Fortran's exponents: 1.0D+00, 1D+00, 1.D0, and 1.5-101 where three digits leave no room for a letter.
_FORTRAN = re.compile(r"([+-]?(?:\d+\.\d*|\.\d+|\d+(?=[dD][+-])))(?:[dD]([+-]?\d{1,3})|([+-]\d{3}))")
D_EXPONENTS = re.compile(rb"(?<=[\d.])[dD](?=[+-]?\d)")


def number_in(field):
    """The number that a field is; ValueError where it is none."""
    if "_" in field:  # Python takes 1_000 for a number
        raise ValueError
    try:
        return float(field)
    except ValueError:
        if not (match := _FORTRAN.fullmatch(field)):
            raise
        return float(f"{match[1]}e{match[2] or match[3]}")


def has_fortran_exponent(field):
    """Whether a field is a number with an exponent that only Fortran writes."""
    return _FORTRAN.fullmatch(field) is not None


def is_number(field):
    """Whether a field is a number, decimal commas allowed; NaN is none."""
    try:
        return not math.isnan(value_of(field))
    except ValueError:
        return False


def value_of(field):
    """The number that a field is, decimal commas allowed; ValueError where it is none."""
    return number_in(field.replace(",", "."))


def is_text(field):
    """Whether a field is neither a number nor a way to write a missing one."""
    return not is_number(field) and field.lower() not in MISSING
