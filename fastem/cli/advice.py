"""What messages advise where columns hold text, as the first rows of the table show."""

import shlex

from .fields import MISSING, is_number, is_text

_SHOWN = 20  # columns that a message lists, at most


def on_text(names, has_names, sample, asked, also=""):
    """Which columns to leave out, and which hold numbers.

    Parameters
    ----------
    names : list of str
        Of all columns.
    has_names : bool
        Whether the file names its columns.
    sample : list of list of str
        Fields of the first rows.
    asked : list of int
        The columns that should hold numbers.
    also : str, default=""
        Other advice, which follows that on columns.
    """
    columns = [[row[j] for row in sample if j < len(row) and row[j].lower() not in MISSING] for j in range(len(names))]
    text = [j for j in asked if columns[j] and all(map(is_text, columns[j]))]
    numeric = [str(j + 1) for j, values in enumerate(columns) if values and all(map(is_number, values))]
    hint = "choose columns with --columns, or leave some out with --exclude"
    if text and len(text) <= _SHOWN:
        hint += f" {shlex.quote(','.join(_option_name(j, names, has_names) for j in text))}"
    hint += also
    if numeric:
        are = "numeric columns are" if len(numeric) > 1 else "the numeric column is"
        hint += f"; {are} {', '.join(numeric[:_SHOWN])}" + (", ..." if len(numeric) > _SHOWN else "")
    return hint


def _option_name(j, names, has_names):
    """How options name a column: by its name, or by its number where the name is not clear or needs quotation marks."""
    is_clear = has_names and names.count(names[j]) == 1 and not set(names[j]) & set(',"-')
    return names[j] if is_clear else str(j + 1)
