"""Lines of text as records of fields, and what the first of them tell about the others."""

import csv
import re

from .fields import is_number, is_text
from .messages import TableError


def sample_of(path, lines, delimiter, first_line):
    """The records of some lines; an empty list if they can't be parsed with this delimiter."""
    try:
        return list(records(path, lines, delimiter, first_line))
    except TableError:
        return []


def fitness(sample):
    """How well a delimiter fits: (whether it splits all lines into equally many fields, whether it splits most lines).

    The first line is not counted, as it may be a header.
    """
    widths = [len(fields) for _, fields in sample[1:] or sample] or [0]
    return min(widths) > 1 and min(widths) == max(widths), 2 * sum(width > 1 for width in widths) > len(widths)


def records(path, lines, delimiter, first_line=1):
    """Yield (number of the first line, fields) for each record that isn't blank."""
    if delimiter is None:
        for number, line in enumerate(lines, start=first_line):
            fields = [field.strip('"') for field in re.findall(r'"[^"]*"|\S+', line)]
            if fields:
                yield number, fields
    else:
        reader, number = csv.reader(lines, delimiter=delimiter, skipinitialspace=True), first_line
        try:
            for fields in reader:
                fields = [field.strip() for field in fields]
                if fields and fields != [""]:
                    yield number, fields
                number = reader.line_num + first_line
        except csv.Error as error:  # most likely an unclosed quotation mark
            raise TableError(f"{path}: line {number}: {error}; is a quotation mark missing?") from None


def quoted_fields(line, delimiter):
    """For each field of a line: whether it is in quotation marks."""
    if delimiter is None:
        return [field.startswith('"') for field in re.findall(r'"[^"]*"|\S+', line)]
    # Delimiters within quotation marks don't separate fields.
    bare = re.sub(r'"[^"]*"', '""', line)
    return [field.strip().startswith('"') for field in bare.split(delimiter)]


def aligned(first, others):
    """(the first line's fields, fitted to the number of fields in the other lines; number of fields put before them).

    Empty fields at the end are added or removed. One empty field is added at the beginning if a name is missing there,
    as R's write.table gives none to the column of row names. If the other lines differ in their number of fields, or
    nothing fits, the first line stays as it is.
    """
    widths = set(map(len, others))
    if len(widths) != 1 or (width := widths.pop()) == len(first):
        return first, 0
    if width < len(first):
        return (first, 0) if any(first[width:]) else (first[:width], 0)
    if not any(field for fields in others for field in fields[len(first) :]):
        return [*first, *[""] * (width - len(first))], 0
    if width == len(first) + 1 and all(map(is_text, first)) and any(map(is_number, others[0][1:])):
        return ["", *first], 1
    return first, 0


def empty_columns_of(names, rows):
    """Numbers of the columns without a name and without values."""
    width = len(rows[0])
    if width == 1:
        return []
    empty = [j for j in range(width) if not any(fields[j] for fields in rows if j < len(fields))]
    return [j for j in empty if names is None or not names[j].strip()]


def quoted(field, special=',"\r\n'):
    """A field as CSV has it: in quotation marks if it holds a special character, or nothing between blanks."""
    if any(character in field for character in special) or (not field and " " in special):
        return '"' + field.replace('"', '""') + '"'
    return field
