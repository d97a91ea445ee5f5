"""Output files of a command: written to a temporary name, then renamed if the command succeeds."""

import os
import sys
from contextlib import contextmanager, suppress

from .messages import TableError
from .records import quoted

_ROWS = 1 << 16


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
