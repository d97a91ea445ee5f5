"""Output files of a command: written to a temporary name, then renamed if the command succeeds."""

import os
import sys
from contextlib import contextmanager, suppress

import numpy as np

from .messages import TableError, printable
from .records import quoted

_ROWS = 1 << 16

# Suffixes that promise another kind of file than text, and another than a model.
_NO_TEXT = (
    ".npz", ".npy", ".parquet", ".parq", ".json", ".xls", ".xlsx", ".gz", ".bz2", ".xz", ".zip", ".png", ".pdf", ".svg",
    ".gif", ".mp4",
)  # fmt: skip
_NO_MODEL = ".csv", ".tsv", ".txt", ".dat", ".pkl", ".pickle", ".joblib", *_NO_TEXT[1:]


def check_names(text=(), models=()):
    """Refuse names of output files that promise another kind: a table in `x.npz`, a model in `x.csv`.

    Parameters
    ----------
    text, models : sequences of (option, path)
        Files that text and models are written to; a path may be None.
    """
    for option, path in text:
        if path and path.lower().endswith(_NO_TEXT):
            raise TableError(f"{option} writes text, but {path} is no name of a text file; call it labels.csv, say")
    for option, path in models:
        if path and path.lower().endswith(_NO_MODEL):
            raise TableError(f"{option} writes a model, but {path} is no name of one; call it model.npz, say")


def wrote(*paths):
    """Name the files that were written on standard output; None and '-' are no files."""
    named = [path for path in paths if path not in (None, "-")]
    if named:
        print(printable(f"wrote {', '.join(named)}"))


def free_name(path):
    """This path if there is no such file, else the first of name-2.png, name-3.png, ... that is free."""
    stem, suffix = os.path.splitext(path)
    number = 1
    while os.path.exists(path):
        number += 1
        path = f"{stem}-{number}{suffix}"
    return path


@contextmanager
def replacing(path, *keep):
    """The path of a new, empty file in the folder of `path`, with the same suffix; renamed to `path` after the block.

    If the block raises, the new file is deleted and `path` stays as it was.

    Parameters
    ----------
    path : str
    *keep : str or None
        Input files, which must not be overwritten.

    Raises
    ------
    TableError
        If the file can't be written; raised before the block begins.
    """
    target = os.path.realpath(path)  # through a link, as open() would
    for kept in keep:
        if kept and os.path.exists(kept) and os.path.exists(target) and os.path.samefile(kept, target):
            raise TableError(f"{path}: would overwrite the input")
    if os.path.isdir(target):
        raise TableError(f"{path}: is a directory")
    if os.path.exists(target) and not os.access(target, os.W_OK):
        raise TableError(f"{path}: is write-protected")
    if os.path.exists(target) and not os.path.isfile(target):  # /dev/null, a pipe: can't be replaced
        yield target
        return
    folder, name = os.path.split(target)
    stem, suffix = os.path.splitext(name)
    partial = os.path.join(folder, f".{stem}.{os.getpid()}.partial{suffix}")
    try:
        try:
            open(partial, "wb").close()
        except OSError as error:
            raise TableError(f"{path}: can't be written ({error.strerror})") from None
        yield partial
        os.replace(partial, target)
    finally:
        with suppress(OSError):
            os.unlink(partial)


@contextmanager
def named(path, partial):
    """Turn errors of writing in this block into TableErrors that name the user's path, not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, partial) or isinstance(error, BrokenPipeError):
            raise
        raise TableError(f"{path}: can't be written ({error.strerror or error})") from None
    except (ValueError, RuntimeError) as error:
        if partial not in str(error):
            raise
        raise TableError(str(error).replace(partial, path)) from None


@contextmanager
def text_to(path, *keep):
    """A binary stream for text: standard output (None or '-'), or a file as in `replacing`."""
    if path is None or path == "-":
        yield sys.stdout.buffer
        sys.stdout.flush()
        return
    with replacing(path, *keep) as partial, named(path, partial), open(partial, "wb") as stream:
        yield stream


def spread(values, kept):
    """Values of the rows that were kept as those of all rows: "" for the others. kept: bool array; None: all are."""
    if kept is None:
        return values
    out = np.full(len(kept), "", dtype=object)
    out[kept] = [each if isinstance(each, str) else repr(each) for each in values.tolist()]
    return out


def texts_of(arrays):
    """What Arrow arrays of a column hold, as a list of str."""
    return [text for array in arrays for text in map(_text, array.to_pylist())]


def _text(value):
    if value is None:
        return ""
    return value.decode("utf-8", "replace").strip() if isinstance(value, bytes) else str(value)


def write_rows(stream, columns, names=None):
    """Write columns (arrays of one length, of numbers or str objects) as CSV; `names` make a header line."""
    if names is not None:
        stream.write((",".join(map(quoted, names)) + "\n").encode())
    for start in range(0, len(columns[0]), _ROWS):
        texts = [
            map(quoted if column.dtype == object else repr, column[start : start + _ROWS].tolist())
            for column in columns
        ]
        stream.write(("\n".join(map(",".join, zip(*texts, strict=True))) + "\n").encode())
