"""Tables of numbers from files: delimited text of most kinds, and .npy."""

import csv
import math
import os
import re
from array import array
from itertools import islice

from .messages import many, note, one_line

# None is any whitespace. The semicolon comes first: files that use it may hold decimal commas.
DELIMITERS = (";", "\t", ",", None)
MISSING = {"", "na", "n/a", "nan", "null", "none", "?", ".", "-"}


def load(path, columns=None):
    """Load a table of numbers.

    Parameters
    ----------
    path : str
        A .npy file, which is memory-mapped; ``'faithful'``, if there is no such file, for the data
        set that ships with fastem; anything else is read as delimited text.
    columns : str, optional
        Comma-separated names, or numbers counted from 1, of the columns to keep, in that order.

    Returns
    -------
    X : ndarray of shape (n_samples, n_features)
    feature_names : list of str
        Made up (x1, x2, ...) where the file has none.
    """
    if path == "faithful" and not os.path.exists(path):
        from fastem.datasets import load_faithful

        bunch = load_faithful()
        X, names = bunch.data, bunch.feature_names
    elif path.lower().endswith(".npy"):
        X = _read_npy(path)
        names = [f"x{j + 1}" for j in range(X.shape[1])]
    else:
        return _read_text(path, columns)
    if columns is None:
        return X, names
    chosen = _choose(columns, names, path)
    return X[:, chosen], [names[j] for j in chosen]


def _read_npy(path):
    """Memory-map a .npy file as a table; a vector is one column."""
    import numpy as np

    try:
        X = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path}: not a readable .npy array ({one_line(error)})") from None
    if X.dtype.kind not in "fiub" or X.ndim not in (1, 2):
        raise ValueError(f"{path}: needs real numbers in 1 or 2 dimensions, has {X.dtype} in {X.ndim}")
    return X if X.ndim == 2 else X.reshape(-1, 1)


def _read_text(path, columns=None):
    """Read delimited text; see `load`."""
    import numpy as np

    encoding = _encoding(path)
    delimiter, header, n_header_lines, width = _sniff(path, encoding)
    names = [(header[j] if header else "") or f"x{j + 1}" for j in range(width)]
    if columns is not None:
        chosen = _choose(columns, names, path)
    elif header and not header[0] and width > 1:
        # What R and pandas write before the first column when they are not told otherwise.
        chosen = list(range(1, width))
        note("column 1 has no name and is taken for row names; --columns can ask for it")
    else:
        chosen = list(range(width))

    # numpy's reader is quick, but says neither where a fault is nor what: then read again, slowly.
    try:
        X = np.loadtxt(
            path,
            delimiter=delimiter,
            skiprows=n_header_lines,
            comments=None,
            quotechar='"',
            ndmin=2,
            encoding=encoding,
        )
        good = X.shape[1] == width
    except ValueError:
        good = False
    if good:
        X = X if chosen == list(range(width)) else X[:, chosen]
        good = np.isfinite(X).all()
    if not good:
        X = _read_slowly(path, encoding, delimiter, bool(header), width, names, chosen)
    return X, [names[j] for j in chosen]


def _read_slowly(path, encoding, delimiter, has_header, width, names, chosen):
    """Parse the text value by value; raise a ValueError that says where the first fault is."""
    import numpy as np

    values, n_bad, first_bad = array("d"), 0, None
    with open(path, newline="", encoding=encoding, errors="replace") as lines:
        for line, fields in islice(_records(path, lines, delimiter), int(has_header), None):
            if len(fields) != width:
                raise ValueError(f"{path}: line {line} has {many(len(fields), 'column')}, not {width}")
            for j in chosen:
                try:
                    value = float(fields[j])
                except ValueError:
                    if fields[j].lower() not in MISSING:
                        where = f"column {j + 1} ({names[j]}), line {line}"
                        hint = "; choose columns with --columns" if width > 1 else ""
                        raise ValueError(f"{path}: {where}: {fields[j]!r} is not a number{hint}") from None
                    value = math.nan
                if not math.isfinite(value):
                    n_bad += 1
                    first_bad = first_bad or f"line {line}, column {j + 1} ({names[j]})"
                values.append(value)
    if n_bad:
        raise ValueError(f"{path}: {many(n_bad, 'missing or infinite value')}, the first in {first_bad}")
    return np.array(values).reshape(-1, len(chosen))


def _encoding(path):
    """Guess the encoding of a text file from its beginning; refuse what isn't text."""
    import codecs

    with open(path, "rb") as file:
        head = file.read(1 << 16)
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in head:
        raise ValueError(f"{path}: not a text file; fastem reads .csv and .npy")
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"  # the numbers are ASCII in either; only names can suffer
    return "utf-8-sig"


def _sniff(path, encoding):
    """Return delimiter, header or None, number of lines before the data, and number of columns."""
    with open(path, newline="", encoding=encoding, errors="replace") as file:
        lines = list(islice(file, 100))
    samples = [list(_records(path, lines, delimiter)) for delimiter in DELIMITERS]
    if not samples[0]:
        raise ValueError(f"{path}: the file is empty")

    def fitness(sample):
        """How well a delimiter does: splits all lines alike, splits most, splits few."""
        widths = [len(fields) for _, fields in sample[1:] or sample]
        return min(widths) > 1 and min(widths) == max(widths), 2 * sum(w > 1 for w in widths) > len(widths)

    scores = [fitness(sample) for sample in samples]
    best = scores.index(max(scores)) if any(max(scores)) else DELIMITERS.index(",")  # ',': one column
    sample = samples[best]
    first_line, first = sample[0]
    second = sample[1][1] if len(sample) > 1 else []
    # Names are text all along the line, or text where the next line has a number.
    is_header = all(map(_is_text, first)) or any(
        _is_text(name) and not _is_text(value) for name, value in zip(first, second, strict=False)
    )
    if is_header and len(sample) == 1:
        raise ValueError(f"{path}: no rows after the header")
    header = [" ".join(name.split()) for name in first] if is_header else None
    return DELIMITERS[best], header, first_line if is_header else 0, len(first)


def _records(path, lines, delimiter):
    """Yield (line number, fields) for each line that isn't blank."""
    if delimiter is None:
        for number, line in enumerate(lines, start=1):
            fields = [field.strip('"') for field in re.findall(r'"[^"]*"|\S+', line)]
            if fields:
                yield number, fields
    else:
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        try:
            for fields in reader:
                fields = [field.strip() for field in fields]
                if fields and fields != [""]:
                    yield reader.line_num, fields
        except csv.Error as error:  # most likely a quotation mark without its partner
            where = f"{path}: line {reader.line_num}"
            raise ValueError(f"{where}: {error}; is a quotation mark missing?") from None


def _is_text(field):
    """Tell whether a field is neither a number nor a way to write a missing one."""
    try:
        float(field)
    except ValueError:
        return field.lower() not in MISSING
    return False


def _choose(columns, names, path):
    """Turn 'waiting,1' into column indices."""
    chosen = []
    for column in (text.strip() for text in next(csv.reader([columns], skipinitialspace=True), [])):
        if names.count(column) > 1:
            raise ValueError(f"{path}: {names.count(column)} columns are called {column!r}; use numbers")
        if column in names:
            chosen.append(names.index(column))
        elif column.isdecimal() and 1 <= int(column) <= len(names):
            chosen.append(int(column) - 1)
        else:
            known = ", ".join(names[:10]) + (", ..." if len(names) > 10 else "")
            raise ValueError(f"{path}: no column {column!r} among its {len(names)}: {known}")
    if len(set(chosen)) < max(len(chosen), 1):
        raise ValueError(f"--columns needs one or more different columns, got {columns!r}")
    return chosen
