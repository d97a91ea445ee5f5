"""Arrays in .npy files, memory-mapped after their headers were checked."""

import math
import os

import numpy as np
from numpy.lib import format as npy


def mapped(path):
    """The array of a .npy file, memory-mapped; ValueError if it isn't one, or if the array is longer than the file.

    numpy.load isn't used, as a forged header makes it raise errors of all kinds, and a certain one kills the process.
    """
    with open(path, "rb") as file:
        try:
            version = npy.read_magic(file)
            read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
            shape, is_by_columns, dtype = read(file)
        except Exception as error:  # including those of Python's tokenizer and parser
            raise ValueError(" ".join(str(error).split())[:200] or "its header is not that of an array") from None
        start, size = file.tell(), os.fstat(file.fileno()).st_size
    if dtype.hasobject or not dtype.itemsize:
        raise ValueError(f"an array of dtype {dtype} can't be memory-mapped")
    if not all(type(length) is int and 0 <= length < 2**63 for length in shape):
        raise ValueError(f"its header gives the impossible shape {shape!r:.100}")
    if math.prod(shape) * dtype.itemsize > size - start:
        raise ValueError(f"the file is too short for an array of shape {shape} and dtype {dtype}")
    with np.errstate(over="ignore"):  # lengths whose product is 0 may overflow on the way
        return np.memmap(path, dtype, "r", start, shape, "F" if is_by_columns else "C")
