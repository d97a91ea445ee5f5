"""Reader of delimited text: detects the dialect, and reads the file once, in chunks of whole lines.

Chunks are parsed by Arrow's reader, at hundreds of MB a second. But Arrow doesn't say where a fault is, nor which. So a
chunk that it refuses is parsed again by a slow reader, value by value.
"""

import bz2
import codecs
import gzip
import io
import lzma
import math
import re
import sys
import weakref
import zlib
from array import array
from itertools import islice

import numpy as np

from ..extras import needed
from .advice import on_text
from .fields import D_EXPONENTS, MISSING, has_fortran_exponent, is_text, number_in
from .formats import looks_like
from .headers import holds_names
from .messages import TableError, many, note, one_line
from .missing import Unusable
from .records import aligned, empty_columns_of, fitness, quoted, quoted_fields, records, sample_of

pa, arrow = needed("pyarrow", "cli"), needed("pyarrow.csv", "cli")
pa.enable_signal_handlers(False)  # leave Ctrl-C to Python

# Delimiters that are tried; None: any whitespace. The semicolon comes first, as its files may have decimal commas.
DELIMITERS = (";", "\t", ",", "|", None)
_CHUNK = 16 << 20  # bytes that are read at a time
_FEW = 1 << 20  # bytes: chunks of at most this size are parsed by one thread, which is as fast as several
_HEAD = 1 << 16  # bytes at the beginning of a file that are looked at to detect its dialect, at least
_COLUMNS = 100_000  # columns, at most
_COMMENTS = "#", "sep="  # beginnings of comment lines before the table; the latter is Excel's
_HEAD_LINES = 3, 100  # lines that are looked at to detect the dialect, at least and at most
_COMPRESSED = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
_DAMAGED = EOFError, gzip.BadGzipFile, lzma.LZMAError, zlib.error


class TextFile:
    """A text file or standard input: its dialect, the names of its columns, and its values.

    Parameters
    ----------
    path : str
        '-' is standard input. Files compressed by gzip, bzip2 or xz are decompressed.
    delimiter : str, default=None
        None: detected.
    header : bool, default=None
        Whether the first line holds the names of the columns. None: `headers.holds_names` decides.

    Attributes
    ----------
    names : list of str
        Names of the columns; x1, x2, ... for those without a name.
    has_names : bool
        Whether the file names its columns.
    has_row_names : bool
        Whether the first column has no name while others have, as R and pandas write row names.
    empty_columns : list of int
        Numbers of the columns without a name and without values. Spreadsheets write such columns; delimiters at the end
        of lines also make one.
    sample : list of list of str
        Fields of the first rows.
    delimiter, decimal_point : str
    titles : list of str or None
        Names of the columns as they are written, "" for those without one; None if the file has no names.
    preamble : bytes
        The lines before the rows, once the first rows have been read.
    """

    def __init__(self, path, delimiter=None, header=None):
        self.path = "standard input" if path == "-" else path
        if path == "-" and sys.stdin is None:
            raise TableError("standard input: is closed")
        self._raw = sys.stdin.buffer if path == "-" else open(path, "rb")  # noqa: SIM115  (read to its end later)
        if path != "-":
            weakref.finalize(self, self._raw.close)
        self._bytes = self._text_of(self._raw)
        head, is_all = self._beginning()
        if no_table := looks_like(head, self.path):
            raise TableError(f"{self.path}: {no_table}")
        if not _is_utf8(head):
            self._bytes, head = _from_windows(self._bytes), _from_windows(io.BytesIO(head)).read()
        self._rest, self.preamble = head, b""
        self._has_old_ends = b"\r" in head[:-1] and b"\n" not in head  # CR only, as in Excel for Macintosh
        self._sniff(head, is_all, delimiter, header)

    @property
    def position(self):
        """Bytes of the file that have been read, counted before decompression."""
        return self._raw.tell()

    def blocks(self, numbers, words=(), weights=None, allows_missing=False):
        """Yield the rows in blocks: (array of shape (m, len(numbers)), for each of `words` an Arrow array of m texts).

        Parameters
        ----------
        numbers : list of int
            Columns that hold finite numbers.
        words : sequence of int
            Columns that may hold anything.
        weights : int, default=None
            A further column of finite numbers, which becomes the last one of the array.
        allows_missing : bool
            Whether values of `numbers` may be missing. They become NaN.

        Raises
        ------
        TableError
            If a value of these columns is no number; or, after all rows were read, if some can't be used.
        """
        unusable = Unusable(self.path, allows_missing, None if weights is None else len(numbers))
        numbers = [*numbers, *([] if weights is None else [weights])]
        for first_line, chunk in self._chunks():
            rows, strings = self._parsed(chunk, first_line, numbers, words, unusable)
            if len(rows) and not unusable.n:
                yield rows, strings
        unusable.refuse()

    def records(self, numbers):
        """Yield the rows in blocks: (array of shape (m, len(numbers)), lists of the m rows' fields as CSV has them).

        Values of `numbers` may be missing. They become NaN.
        """
        unusable = Unusable(self.path, allows_missing=True)
        special = '"\r\n' + self.delimiter
        for first_line, chunk in self._chunks():
            rows, _ = self._parsed(chunk, first_line, numbers, (), unusable)
            lines = io.StringIO(chunk.decode("utf-8", "surrogateescape"), newline="")
            cells = [fields for _, fields in records(self.path, lines, self._delimiter, first_line)]
            if len(cells) != len(rows):  # what is no row for Python may be one for Arrow
                rows, _ = self._parsed_slowly(chunk, first_line, numbers, (), unusable)
            if b'"' in chunk:
                cells = [[quoted(field, special) for field in fields] for fields in cells]
            if len(rows) and not unusable.n:
                yield rows, cells
        unusable.refuse()

    @property
    def delimiter(self):
        return self._delimiter or " "

    @property
    def decimal_point(self):
        return self._decimal_point

    def _text_of(self, file):
        """The file as a stream of UTF-8: decompressed, and converted from UTF-16 if it begins with a UTF-16 BOM."""
        start = file.peek(8)[:8]
        for magic, opened in _COMPRESSED.items():
            if start.startswith(magic):
                file = io.BufferedReader(opened(file))
                break
        try:
            start = file.peek(8)[:8]
        except (OSError, *_DAMAGED) as error:
            raise TableError(f"{self.path}: can't be decompressed ({one_line(error)})") from None
        if start.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return codecs.EncodedFile(file, "utf-8", "utf-16", errors="replace")
        if start.startswith(codecs.BOM_UTF8):
            file.read(len(codecs.BOM_UTF8))
        return file

    def _read(self, size):
        try:
            data = self._bytes.read(size)
        except _DAMAGED as error:
            raise TableError(f"{self.path}: can't be decompressed ({one_line(error)})") from None
        except OSError as error:
            raise TableError(f"{self.path}: can't be read ({error.strerror or one_line(error)})") from None
        return data

    def _beginning(self):
        """(bytes of the first lines, the last of which may be cut off; whether they are the whole file)."""
        head, is_all = b"", False
        while not is_all and (len(head) < _HEAD or (_n_lines(head) < _HEAD_LINES[0] and len(head) < 2 * _CHUNK)):
            size = max(_HEAD, len(head))
            data = self._read(size)
            head, is_all = head + data, len(data) < size
        return head, is_all

    def _chunks(self):
        """Yield (number of the first line, bytes of whole lines), without the header and empty rows at the end."""
        line, kept = 1, b""
        while True:
            data = self._rest or self._read(_CHUNK)
            self._rest = b""
            if self._has_old_ends:
                data = data.replace(b"\r", b"\n")
            chunk, kept = kept + data, b""
            if data:
                end = self._end_of_lines(chunk)
                if not end and len(chunk) > 2 * _CHUNK:
                    raise TableError(f"{self.path}: line {line} has no end; is a closing quotation mark missing?")
                chunk, kept = chunk[:end], chunk[end:]
            if chunk and line <= self._n_lines_before:
                chunk, line = self._without_header(chunk, line)
            chunk, empty = self._without_empty_end(chunk)
            if chunk:
                yield line, chunk
                line += chunk.count(b"\n")
            if not data:
                delimiter = (self._delimiter or "\n").encode()
                n_empty = sum(delimiter in row for row in empty.split(b"\n"))
                if n_empty:
                    rows = "the last row is" if n_empty == 1 else f"the last {n_empty:,} rows are"
                    note(f"{self.path}: {rows} empty and left out")
                return
            kept = empty + kept

    @property
    def _filler(self):
        """The bytes that rows without values consist of."""
        return (self._delimiter or "").encode() + b" \t\r\n"

    def _without_empty_end(self, chunk):
        """(lines up to the last one with a value, the lines after it)."""
        filled = len(chunk.rstrip(self._filler))
        end = chunk.find(b"\n", filled) + 1 or len(chunk) if filled else 0
        return chunk[:end], chunk[end:]

    def _end_of_lines(self, chunk):
        """The end of the last line that ends outside quotation marks."""
        end = chunk.rfind(b"\n") + 1
        is_inside = chunk.count(b'"', 0, end) % 2
        while end and is_inside:
            start = chunk.rfind(b"\n", 0, end - 1) + 1
            is_inside ^= chunk.count(b'"', start, end) % 2
            end = start
        return end

    def _without_header(self, chunk, line):
        start = 0
        while line <= self._n_lines_before and start < len(chunk):
            start = chunk.find(b"\n", start) + 1 or len(chunk)
            line += 1
        self.preamble += chunk[:start]
        return chunk[start:], line

    def _parsed(self, chunk, first_line, numbers, words, unusable):
        columns = [*numbers, *words]
        if self._delimiter is None:
            plain = None if b'"' in chunk else re.sub(rb"(?m)^ | (?=\r?$)", b"", re.sub(rb"[ \t]+", b" ", chunk))
        else:
            plain = chunk
        if plain is not None and self._has_fortran_exponents and not words:
            plain = D_EXPONENTS.sub(b"e", plain)
        # If an end of line (CR LF) within quotation marks is split between two of Arrow's blocks, Arrow loses its
        # second half. So chunks with quotation marks are parsed as one block.
        block_size = len(chunk) if b'"' in chunk else _CHUNK // 4
        try:
            if plain is None:
                raise pa.ArrowInvalid("fields in quotation marks between blanks")
            table = arrow.read_csv(
                pa.py_buffer(plain),
                arrow.ReadOptions(
                    column_names=list(map(str, range(self._width))),
                    block_size=block_size,
                    use_threads=len(chunk) > _FEW,  # with threads, older versions rarely hang
                ),
                arrow.ParseOptions(delimiter=self._delimiter or " ", newlines_in_values=b'"' in chunk),
                arrow.ConvertOptions(
                    check_utf8=False,
                    column_types={str(j): pa.binary() if j in words else pa.float64() for j in columns},
                    include_columns=list(map(str, dict.fromkeys(columns))),
                    null_values=[spelling for word in MISSING for spelling in (word, word.upper(), word.title())],
                    decimal_point=self._decimal_point,
                ),
            )
        except pa.ArrowInvalid:
            if not chunk.strip():
                return np.empty((0, len(numbers))), [pa.array([], pa.binary()) for _ in words]
            return self._parsed_slowly(chunk, first_line, numbers, words, unusable)
        rows = np.empty((len(table), len(numbers)))
        for i, j in enumerate(numbers):
            rows[:, i] = table[str(j)].to_numpy()
        with np.errstate(over="ignore", invalid="ignore"):
            is_finite = np.isfinite(rows.sum())
        if not is_finite and (bad := unusable.among(rows)).any():
            if not unusable.n:  # the slow reader finds where the first is
                return self._parsed_slowly(chunk, first_line, numbers, words, unusable)
            unusable.count(rows[bad])
        return rows, [table[str(j)].combine_chunks() for j in words]

    def _parsed_slowly(self, chunk, first_line, numbers, words, unusable):
        """Parse value by value: TableError if one is no number; counts those that can't be used."""
        values, strings, numbers_of_lines = array("d"), [[] for _ in words], []
        lines = io.StringIO(chunk.decode("utf-8", "replace"), newline="")
        for line, fields in records(self.path, lines, self._delimiter, first_line):
            if len(fields) != self._width:
                raise TableError(f"{self.path}: line {line} has {many(len(fields), 'column')}, not {self._width:,}")
            values.extend(self._number(fields[j], j, line, numbers) for j in numbers)
            numbers_of_lines.append(line)
            for texts, j in zip(strings, words, strict=True):
                texts.append(fields[j].encode())
        rows = np.array(values).reshape(-1, len(numbers))
        bad = unusable.among(rows)
        if bad.any():
            i, j = np.argwhere(bad)[0]
            unusable.first = unusable.first or self._place(numbers_of_lines[i], numbers[j])
            unusable.count(rows[bad])
        return rows, [pa.array(texts, pa.binary()) for texts in strings]

    def _place(self, line, j):
        return f"line {line}, column {j + 1} ({self.names[j]})"

    def _number(self, field, j, line, asked):
        try:
            return number_in(field.replace(",", ".") if self._decimal_point == "," else field)
        except ValueError:
            if field.lower() not in MISSING:
                also = ", or use --header if this line holds names" if line == self._doubtful_line else ""
                hint = f"is another --delimiter needed?{also}"
                if self._width > 1:
                    hint = on_text(self.names, self.has_names, self.sample, asked, also)
                where = f"{self.path}: {self._place(line, j)}"
                raise TableError(f"{where}: {field[:50]!r} is not a number; {hint}") from None
            return math.nan

    def _sniff(self, head, is_all, delimiter, header):
        """Detect delimiter, column names, lines before the data, number of columns and decimal point."""
        text = head.decode("utf-8", "replace")
        lines = list(islice(io.StringIO(text, newline=""), _HEAD_LINES[1]))
        if not is_all and 1 < len(lines) < _HEAD_LINES[1]:
            lines.pop()  # it may be cut off
        n_comments = next((i for i, line in enumerate(lines) if not line.startswith(_COMMENTS)), len(lines))
        comments, lines = lines[:n_comments], lines[n_comments:]
        choices = DELIMITERS if delimiter is None else (None if delimiter == " " else delimiter,)
        samples = [sample_of(self.path, lines, choice, n_comments + 1) for choice in choices]
        scores = list(map(fitness, samples))
        is_clear = any(max(scores)) or delimiter is not None
        best = scores.index(max(scores)) if is_clear else choices.index(",")  # one column
        self._delimiter, sample = choices[best], samples[best]
        if not sample:
            list(records(self.path, lines, self._delimiter, n_comments + 1))  # raises if the lines can't be parsed
            raise TableError(f"{self.path}: the file is empty")
        (first_line, first), others = sample[0], [fields for _, fields in sample[1:]]
        while others and not any(others[-1]):
            others.pop()
        in_quotes = [quoted_fields(lines[number - n_comments - 1], self._delimiter) for number, _ in sample[:2]]
        first, shift = aligned(first, others)
        self.has_names, in_doubt = header, False
        if header is None:
            in_quotes[0] = [False] * shift + in_quotes[0]
            in_quotes = [[*each, *[False] * (len(first) - len(each))] for each in in_quotes]
            self.has_names, in_doubt = holds_names(first, in_quotes[0], others, in_quotes[-1])
        if self.has_names and not others:
            raise TableError(f"{self.path}: no rows after the header")
        if in_doubt:
            few = ", ".join(first[:4]) + (", ..." if len(first) > 4 else "")
            said = f"line {first_line} is read as column names ({few})"
            note(f"{self.path}: {said}; use --no-header if it is a row")
        self._n_lines_before = sample[1][0] - 1 if self.has_names else n_comments
        self._doubtful_line = None if self.has_names or header is not None else first_line
        self._width = len(first)
        if self._width > _COLUMNS:
            raise TableError(f"{self.path}: line {first_line} has {self._width:,} columns, more than {_COLUMNS:,}")
        names = first if self.has_names else self._names_of(comments) if header is None else None
        self.sample = others if self.has_names else [first, *others]
        self.has_names, self.titles = names is not None, names
        self.empty_columns = empty_columns_of(names, self.sample)
        self.names = [(" ".join(names[j].split()) if names else "") or f"x{j + 1}" for j in range(self._width)]
        is_nameless = bool(names) and not names[0].strip() and self._width > 1 and 0 not in self.empty_columns
        self.has_row_names = shift > 0 or is_nameless
        values = [field for fields in self.sample for field in fields]
        commas = self._delimiter != "," and any(re.fullmatch(r"[+-]?\d*,\d+(e[+-]?\d+)?", v, re.I) for v in values)
        self._decimal_point = "," if commas else "."
        self._has_fortran_exponents = any(map(has_fortran_exponent, values))

    def _names_of(self, comments):
        """Column names from the last comment line, as numpy.savetxt writes them; None if it holds none."""
        if comments:
            for delimiter in (self._delimiter, None):
                lines = list(records(self.path, [comments[-1].lstrip("# ")], delimiter))
                if lines and len(lines[0][1]) == self._width and all(map(is_text, lines[0][1])):
                    return lines[0][1]
        return None


def _n_lines(text):
    return max(text.count(b"\n"), text.count(b"\r"))


def _is_utf8(head):
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return True


def _from_windows(file):
    """A file in Windows' encoding of western languages (cp1252), as a stream of UTF-8."""
    return codecs.EncodedFile(file, "utf-8", "cp1252", errors="replace")
