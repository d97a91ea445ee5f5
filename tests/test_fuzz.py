"""A little of tests/fuzz.py: files that chance has damaged are read or refused, and no more."""

import random
import sys

import pytest

from .fuzz import TARGETS, run_case
from .grids import exhaustive

# What fuzzing has found, each as it was.
FOUND = {
    "npy": [
        *(b"{'descr': '|V0', 'fortran_order': False, 'shape': (-1,)}", b"{'descr': '<f8', 'shape': (", b"((((" * 90),
        *(
            b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d, %d)}" % two
            for two in [(2**32, 2**32), (0, 10**12)]
        ),
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (1.5, True)}",
        b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d, 2)}" % 10**30,
    ],
    "csv": [b"x,y,g\n1,2," + b"9" * 5001 + b"\n3,4,5\n5,6,--7\n", b"\x1f\x8b\x08\0\0\0\0\0\0\xff" + b"\xaa" * 40],
}


@exhaustive
@pytest.mark.skipif(sys.platform == "win32", reason="a mapped file can't be written anew there")
@pytest.mark.parametrize("name", TARGETS)
def test_damaged_files(name, tmp_path):
    pytest.importorskip("pyarrow")
    target = TARGETS[name](tmp_path)
    path = tmp_path / f"case{target.suffix}"
    contents = [target.case(random.Random(f"pytest {number}")) for number in range(300)]
    for found in FOUND.get(name, []):
        header = b"\x93NUMPY\2\0" + len(found).to_bytes(4, "little") if name == "npy" else b""
        contents.append(header + found + (bytes(48) if name == "npy" else b""))
    for content in contents:
        path.write_bytes(content)
        run_case(target, str(path))
