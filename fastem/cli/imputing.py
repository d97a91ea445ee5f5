"""`fastem impute`: write a table with its missing cells filled in."""

import copy
import tempfile
from contextlib import ExitStack

import numpy as np

from .describing import load
from .live import Live
from .messages import TableError, note
from .outputs import text_to, wrote
from .predicting import table_for
from .records import quoted

# Bytes of further draws that are held in memory; more go to a temporary file.
_IN_MEMORY = 64 << 20

# Suffixes of formats that tables are read from, but not written in.
_BINARY = ".npy", ".npz", ".parquet", ".parq"


def impute(options):
    """Fill in a table, block by block."""
    if options.draws is not None and options.std:
        raise TableError("--draws and --std exclude each other: the draws show the deviation")
    if (options.out or "").lower().endswith(_BINARY):
        raise TableError(f"{options.out}: the filled table is written as text; give it a name such as filled.csv")
    model = load(options.model)
    live = Live(options.out not in (None, "-"))
    with text_to(options.out, options.file, options.model) as stream, live.showing(), ExitStack() as stack:
        table, features = table_for(model, options)
        table.allows_missing = True
        fill = _Filler(model, options)
        output = stack.enter_context(_Tables(stream, table, features, options))
        watch, n_rows, n_filled = live.reading(table), 0, 0
        for rows, cells in table.records(features):
            if np.isinf(rows).any():
                table.refuse_missing(features, [rows], n_rows)
            n_filled += output.write(rows, cells, *fill(rows))
            n_rows += len(rows)
            if watch:
                watch(n_rows)
        output.finish()
    if not n_rows:
        raise TableError(f"{table.path}: no rows")
    if not n_filled:
        note(f"{table.path}: no cell was missing in the columns of {options.model}")
    wrote(options.out)


class _Filler:
    """Calls `model.impute` with one generator for all blocks."""

    def __init__(self, model, options):
        self._model = copy.copy(model)
        self._model.__dict__.pop("feature_names_in_", None)  # the columns have been matched; blocks have no names
        self._how = {"return_std": True} if options.std else {}
        if options.draws is not None:
            self._how = {"n_draws": options.draws, "random_state": np.random.RandomState(options.seed)}

    def __call__(self, rows):
        """(filled tables: (number of draws or 1, m, D); standard deviations, (m, D), or None)."""
        if not np.isnan(rows).any():
            n_tables = self._how.get("n_draws", 1)
            return np.broadcast_to(rows, (n_tables, *rows.shape)), np.zeros(rows.shape)
        result = self._model.impute(rows, **self._how)
        filled, std = result if "return_std" in self._how else (result, None)
        return (filled if filled.ndim == 3 else filled[None]), std


class _Tables:
    """Writes the completed table, or one after the other if there are several draws."""

    def __init__(self, stream, table, features, options):
        self._stream, self._table, self._features = stream, table, features
        self._is_drawn, self._has_std = options.draws is not None, options.std
        self._names = [table.names[j] for j in features]
        self._has_header = False
        self._later = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115  (closed on exit)
        self._parts = [[] for _ in range((options.draws or 1) - 1)]  # (offset, length) in that file, for each draw

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._later.close()

    def write(self, rows, cells, tables, std):
        """Write a block: values and fields as they were read, completed values. Returns the number of those missing."""
        if not self._has_header:
            self._stream.write(self._header())
            self._has_header = True
        places = np.nonzero(np.isnan(rows))
        of_cells = list(zip(places[0].tolist(), [self._features[j] for j in places[1]], strict=True))
        ends = self._spelled(std) if self._has_std else None
        for number, values in enumerate(tables):
            for (i, j), text in zip(of_cells, self._spelled(values[places]), strict=True):
                cells[i][j] = text
            lines = cells
            if self._is_drawn:
                lines = ([str(number + 1), *fields] for fields in cells)
            elif self._has_std:
                lines = ([*fields, *more] for fields, more in zip(cells, ends, strict=True))
            text = "\n".join(map(self._table.delimiter.join, lines)) + "\n"
            self._put(number, text.encode("utf-8", "surrogateescape"))
        return len(of_cells)

    def finish(self):
        """Write the later draws, which were kept until the first was complete."""
        for parts in self._parts:
            for offset, length in parts:
                self._later.seek(offset)
                self._stream.write(self._later.read(length))

    def _put(self, number, data):
        if number == 0:
            self._stream.write(data)
            return
        try:
            self._parts[number - 1].append((self._later.tell(), len(data)))
            self._later.write(data)
        except OSError as error:
            folder = tempfile.gettempdir()
            raise TableError(f"{folder}: {error.strerror}; set TMPDIR to another folder for temporary files") from None

    def _header(self):
        """The lines before the rows, as they were; with the names of new columns, if there are some."""
        table = self._table
        if not (self._is_drawn or self._has_std):
            return table.preamble.replace(b"\r\n", b"\n")
        names = table.names if table.titles is None else [" ".join(title.split()) for title in table.titles]
        names = [*(["draw"] if self._is_drawn else []), *names]
        names += [f"std_{name}" for name in self._names] if self._has_std else []
        return (table.delimiter.join(quoted(name, '"\r\n' + table.delimiter) for name in names) + "\n").encode()

    def _spelled(self, values):
        """Numbers as text: a list, or a list of lists."""
        if values.ndim == 2:
            return [self._spelled(row) for row in values]
        texts = map(repr, values.tolist())
        return list(texts) if self._table.decimal_point == "." else [text.replace(".", ",") for text in texts]
