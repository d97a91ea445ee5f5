"""The container of a saved model: an uncompressed .npz of arrays and a JSON header. Files are read as untrusted input.

Reading never runs code: there is no pickle, and the dictionary at the head of an array is matched, not evaluated. Sizes
that a file claims are compared with its length before anything is allocated.
"""

import contextlib
import errno
import json
import math
import os
import re
import threading
import zipfile
from pathlib import Path

import numpy as np

FORMAT_VERSION = 1

# The header that numpy writes before an array's bytes (format 1.0), for booleans, integers, floats, and text.
_NPY = re.compile(
    rb"\x93NUMPY\x01\x00(..)"
    rb"\{'descr': '([<>|][biufU]\d{1,10})', 'fortran_order': (True|False), "
    rb"'shape': \((|\d{1,15},|\d{1,15}(?:, \d{1,15}){1,7})\), \} *\n",
    re.DOTALL,
)


class _Unfinished(zipfile.ZipFile):
    """An archive being written. After an interrupt it isn't closed when deleted, since closing would fail."""

    def __del__(self):
        pass


def write(path, header, arrays):
    """Write a file under a temporary name in the same folder, then rename it to `path`.

    Parameters
    ----------
    path : str or Path
    header : dict
        Of values that JSON can hold.
    arrays : dict of ndarray
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        raise OSError(errno.EINVAL, "Not a regular file, so it is not replaced", str(path))
    beside = path.with_name(f".{path.name[:100]}.{os.getpid()}.{threading.get_ident()}.partial")
    header = {"format": "fastem", "version": FORMAT_VERSION, **header}
    try:
        with open(beside, "wb") as file:
            archive = _Unfinished(file, "w")
            for name, array in {"header": np.array(json.dumps(header)), **arrays}.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
            archive.close()
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from None  # name the user's file, not the temporary one
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def read(path):
    """(header, dict of arrays) of a file. For an invalid one: mostly ValueError, or what zipfile and json raise."""
    with open(path, "rb") as file, zipfile.ZipFile(file) as archive:
        members = _members(archive, os.fstat(file.fileno()).st_size)
        if "header" not in members:
            raise ValueError("it has no header")
        try:
            header = json.loads(_text(archive.read(members.pop("header"))))
        except RecursionError:
            raise ValueError("its header is nested too deeply") from None
        if not isinstance(header, dict) or header.get("format") != "fastem":
            raise ValueError("it is not a model of fastem")
        version = header.get("version")
        if type(version) is not int or version < 1:
            raise ValueError("its header has no valid format version")
        if version > FORMAT_VERSION:
            raise ValueError(
                f"it has format version {version}, but this fastem reads up to {FORMAT_VERSION}: upgrade fastem"
            )
        return header, {name: _array(archive.read(member)) for name, member in members.items()}


def _members(archive, size):
    """The archive's members by array name; ValueError if one is compressed, or all together exceed the file."""
    members = {}
    for member in archive.infolist():
        name = member.filename.removesuffix(".npy")
        if name in members:
            raise ValueError(f"two of its members are named {name!a}")
        if member.compress_type != zipfile.ZIP_STORED or member.compress_size != member.file_size:
            raise ValueError(f"its member {name!a} is compressed")
        members[name] = member
    if sum(member.file_size for member in members.values()) > size:
        raise ValueError("its table of contents gives its members more bytes than the file has")
    return members


def _array(content):
    """The array in a member's bytes: in native byte order, in C or Fortran order as it was saved."""
    dtype, shape, order, values = _parsed(content)
    if dtype.kind == "U":
        raise ValueError("an array holds text")
    return np.frombuffer(values, dtype).reshape(shape, order=order).astype(dtype.newbyteorder("="))


def _text(content):
    """The text in the bytes of a member that holds a single string."""
    dtype, shape, _, values = _parsed(content)
    if dtype.kind != "U" or shape:
        raise ValueError("its header is not a string")
    return values.tobytes().decode("utf-32-be" if dtype.byteorder == ">" else "utf-32-le")


def _parsed(content):
    """(dtype, shape, order, bytes of the values) of a member."""
    match = _NPY.match(content)
    if match is None or int.from_bytes(match[1], "little") != match.end() - match.end(1):
        raise ValueError("one of its members is not an array of numbers")
    dtype = np.dtype(match[2].decode())
    shape = tuple(int(length) for length in re.findall(rb"\d+", match[4]))
    values = memoryview(content)[match.end() :]
    if math.prod(shape) * dtype.itemsize != len(values):
        raise ValueError(f"an array of {len(values)} bytes has a header for dtype {dtype} and shape {shape}")
    return dtype, shape, "F" if match[3] == b"True" else "C", values
