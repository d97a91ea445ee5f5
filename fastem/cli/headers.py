"""Decides by a table's first lines whether line 1 holds the column names, and whether a column names the rows."""

import re
from itertools import pairwise

from .fields import is_number, is_text, value_of

# Usual names of columns that name or number the rows; the first set are names that only programs write.
_WRITTEN_BY_PROGRAMS = {"rownames", "row.names", "row_names", "unnamed: 0", "...1"}
_USUAL = {
    *_WRITTEN_BY_PROGRAMS, "", "rowname", "row", "rows", "rownum", "row_number", "rownumber", "row no", "row no.",
    "index", "idx", "id", "no", "no.", "nr", "nr.", "num", "number", "#", "obs", "obs.", "observation", "case",
    "record", "name", "names", "sample", "item", "s.no", "s.no.", "sr. no.", "serial",
}  # fmt: skip

# 'id' as a word of a name: id, ID, customer_id, CustomerID, patientId, 'Id no'.
_OF_IDS = re.compile(r"(?<![A-Za-z])([Ii]d|ID)(?![A-Za-z])|(?<=[a-z])(Id|ID)(?![A-Za-z])")

# Rows needed to recognise a pattern: with a usual name that supports it, and without one.
_FEW = 3
_SOME = 10

# A number with a mark, such as <0.5, ~3, 1.2*, $4 or 12%: it is a value, not a name.
_MARKED = re.compile(r"[<>≤≥~≈=±$€£]+ ?[+-]?\.?\d[\d.,]*[%*†]*|[+-]?\.?\d[\d.,]*[%*†]+")


def holds_names(first, quoted, rows, rows_quoted):
    """Whether the first line of a table holds the names of its columns, and whether that is in doubt.

    The first rule that applies decides:

    1. All non-empty fields are text: names. In doubt if all of them are numbers with marks, such as <0.5.
    2. A number in quotation marks stands above bare numbers: names, as R writes them.
    3. The first field is empty or a usual name of row numbers, no other field is empty, and below the first are row
       numbers or different words: names.
    4. A text stands above numbers: names. But the line is a row with an odd value if the text is a number with a mark,
       or if the line also has numbers with decimals that aren't a scale as in 5.
    5. All fields are numbers, except perhaps the first if different words are below it. They are names if they are

       - 0, 1, 2, ... (or 1, 2, 3, 4, ...) above numbers that are all written with decimals,
       - a scale, such as years or wavelengths: whole numbers above columns with decimals, years above any columns, or
         three or more evenly spaced decimals. A scale only rises or only falls, and each of its values is farther from
         its column's values than these are from each other.

    Otherwise the line is the first row. Bare numbers as names (rules 4 and 5) are in doubt, except 0, 1, 2, ... beside
    text.

    Parameters
    ----------
    first : list of str
        Fields of the first line.
    quoted : list of bool
        Which of these fields are in quotation marks.
    rows : list of list of str
        Fields of the lines below.
    rows_quoted : list of bool
        Which fields of the first line below are in quotation marks.

    Returns
    -------
    answer, in_doubt : bool
    """
    columns = list(zip(*rows, strict=False))
    filled = [field for field in first if field]
    if filled and all(map(is_text, filled)):
        return True, all(map(_MARKED.fullmatch, filled))
    if not columns:
        return False, False
    below = list(zip(first, quoted, rows_quoted, columns, strict=False))
    if any(q and not q_below and is_number(name) and _has_numbers(column) for name, q, q_below, column in below):
        return True, False
    if len(first) > 1 and first[0].lower() in _USUAL and all(first[1:]) and _name_rows(columns[0]):
        return True, False
    numbers = [(value_of(name), name, column) for name, _, _, column in below if is_number(name)]
    odd = [name for name, _, _, column in below if is_text(name) and _has_numbers(column)]
    if odd:
        has_decimals = any(not name.isdecimal() for _, name, _ in numbers)
        is_row = any(map(_MARKED.fullmatch, odd)) or (has_decimals and not _is_scale(numbers))
        return not is_row, not is_row and bool(numbers) and not _count_from(0, numbers)
    is_named = is_text(first[0]) and _name_rows(columns[0])
    if len(numbers) < len(first) - is_named or len(numbers) < 2 - is_named:
        return False, False
    answer = _count_columns(numbers) or _is_scale(numbers, is_named)
    return answer, answer


def _count_columns(numbers):
    """Whether the names are 0, 1, 2, ... (pandas' default names) above numbers that are all written with decimals."""
    counts = _count_from(0, numbers) or (_count_from(1, numbers) and len(numbers) > 3)
    return counts and not any(field.isdecimal() for _, _, column in numbers for field in column)


def _count_from(start, numbers):
    names = [name for _, name, _ in numbers]
    return len(names) > 1 and names == [str(j) for j in range(start, start + len(names))]


def _is_scale(numbers, is_named=False):
    """Whether the names are a scale: the years, wavelengths, ... of the columns.

    numbers: (value, name, column below) of each name. Years beside a name of the column of row names (`is_named`) need
    only one row.
    """
    values = [value for value, _, _ in numbers]
    steps = [b - a for a, b in pairwise(values)]
    if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
        return False
    columns = [[value_of(field) for field in column if is_number(field)] for _, _, column in numbers]
    are_years = all(name.isdecimal() and 1000 <= value < 3000 for value, name, _ in numbers)
    if min(map(len, columns)) < (1 if is_named and are_years else _FEW):
        return False
    if not all(map(_is_far, values, columns)):
        return False
    if all(name.isdecimal() for _, name, _ in numbers):
        return are_years or all(any(value % 1 for value in column) for column in columns)
    return len(steps) > 1 and max(steps) - min(steps) < 1e-6 * max(map(abs, values))


def _is_far(value, column):
    """Whether a value is farther from all values of a column than these are from each other."""
    low, high = min(column), max(column)
    return max(low - value, value - high) > high - low


def _has_numbers(column):
    return any(map(is_number, column))


def _name_rows(column):
    """Whether a column's fields are row numbers or different words."""
    return are_words(column) or (len(column) > 1 and _start_of(column) is not None)


def are_words(column):
    """Whether a column's fields are words and all different, such as row names. Words begin with a letter."""
    return len(column) > 1 and all(field[:1].isalpha() and is_text(field) for field in column) and _differ(column)


def _differ(column):
    return len(set(column)) == len(column)


def _start_of(column):
    """The first number of a column that counts up by 1; None for any other column."""
    if not all(map(str.isdecimal, column)):
        return None
    start = int(column[0]) if column else 0
    return start if list(map(int, column)) == list(range(start, start + len(column))) else None


def is_usual_for_rows(name):
    """Whether this is a usual name of columns that name or number the rows. R calls a column without a name X."""
    return name.lower() in _USUAL or name == "X"


def identifies_rows(name, column):
    """Whether a column looks like identifiers: 'id' is a word of its name, such as customer_id, and no number repeats.

    Parameters
    ----------
    name : str
    column : list of str
        The first fields of the column.
    """
    return (
        _OF_IDS.search(name) is not None and len(column) >= _FEW and all(map(str.isdecimal, column)) and _differ(column)
    )


def numbering_of(name, column):
    """(words such as 'counts the rows 1, 2, 3, ...' if a column numbers the rows, else None; whether that is clear).

    It is clear if the column has a usual name for row numbers and counts up by 1 in at least 3 rows. If only programs
    write the name, the numbers may be in any order. It is not clear if a column with another name counts up from 0 or 1
    in at least 10 rows, as that might be a time.

    Parameters
    ----------
    name : str
    column : list of str
        The first fields of the column.
    """
    if len(column) < _FEW:
        return None, False
    start, is_usual = _start_of(column), is_usual_for_rows(name)
    if start is not None and (is_usual or (start in (0, 1) and len(column) >= _SOME)):
        return f"counts the rows {start}, {start + 1}, {start + 2}, ...", is_usual
    numbers_them = name.lower() in _WRITTEN_BY_PROGRAMS and all(map(str.isdecimal, column)) and _differ(column)
    return ("numbers the rows", True) if numbers_them else (None, False)
