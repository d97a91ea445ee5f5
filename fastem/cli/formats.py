"""Recognises files that aren't delimited text, and tells what to do with them."""

import re

_WRITE = "export its table as CSV, Parquet or .npy"

# First bytes of a file: (its kind, the remedy).
_MAGIC = {
    b"PAR1": ("Parquet", "name it .parquet"),
    b"\x93NUMPY": (".npy", "name it .npy"),
    b"FCS": ("FCS (flow cytometry)", "export its events as CSV, Parquet or .npy"),
    b"MATLAB 5.0": ("a MATLAB file", f"{_WRITE}, for example with MATLAB's writematrix"),
    b"MATLAB 7.3": ("a MATLAB file", f"{_WRITE}, for example with MATLAB's writematrix"),
    b"\x89HDF\r\n\x1a\n": ("HDF5 (also MATLAB 7.3, netCDF 4, AnnData)", _WRITE),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an Excel workbook (.xls)", "save its sheet as CSV"),
    b"ARROW1": ("Arrow (Feather)", "write it as Parquet"),
    b"CDF\x01": ("netCDF", _WRITE),
    b"CDF\x02": ("netCDF", _WRITE),
    b"SIMPLE  =": ("FITS", _WRITE),
    b"$FL2": ("SPSS", _WRITE),
    b"$FL3": ("SPSS", _WRITE),
    b"<stata_dta>": ("Stata", _WRITE),
    b"SQLite format 3": ("a SQLite database", _WRITE),
    b"RDX2": ("R's .RData", f"{_WRITE}, for example with R's write.csv"),
    b"RDX3": ("R's .RData", f"{_WRITE}, for example with R's write.csv"),
    b"X\n\0\0\0": ("R's .rds", f"{_WRITE}, for example with R's write.csv"),
    b"\x80\x04\x95": ("a Python pickle", _WRITE),
    b"\x80\x05\x95": ("a Python pickle", _WRITE),
    b"%PDF": ("PDF", _WRITE),
    b"\x28\xb5\x2f\xfd": ("zstd", "decompress it"),
    b"7z\xbc\xaf\x27\x1c": ("7z", "unpack it"),
    b"Rar!": ("rar", "unpack it"),
}

# Bytes within the beginning of a zip archive: (its kind, the remedy).
_ZIPPED = {
    b"mimetypeapplication/vnd.oasis": ("an OpenDocument sheet (.ods)", "save its sheet as CSV"),
    b"xl/": ("an Excel workbook (.xlsx)", "save its sheet as CSV"),
    b"[Content_Types].xml": ("an Excel workbook (.xlsx)", "save its sheet as CSV"),
    b".npy": (".npz, several arrays or a model", "save the array of points as .npy"),
}

# Patterns at the beginning of text files that aren't tables: (kind, remedy).
_TEXT = {
    re.compile(rb"([ \t\r]*(%[^\n]*)?\n)*[ \t]*@relation\b", re.I): (
        "ARFF (Weka)",
        "save it as CSV: its rows follow @data",
    ),
    re.compile(rb"\s*(<\?xml|<!doctype|<html)", re.I): ("XML or HTML", _WRITE),
    re.compile(rb"\s*(\{\s*[\"}]|\[\s*[\[{])"): ("JSON", _WRITE),
}

# Suffixes of binary files that have no characteristic first bytes: (kind, remedy).
_SUFFIXES = {
    ".mat": ("a MATLAB file", f"{_WRITE}, for example with MATLAB's writematrix"),
    ".dta": ("Stata", _WRITE),
    ".sas7bdat": ("SAS", _WRITE),
    ".xpt": ("SAS", _WRITE),
    ".pkl": ("a Python pickle", _WRITE),
    ".pickle": ("a Python pickle", _WRITE),
}


def looks_like(head, path):
    """Kind and remedy of a file that isn't a text table: 'it looks like KIND; REMEDY'. None for a text table.

    Parameters
    ----------
    head : bytes
        The beginning of the file.
    path : str
    """
    found = _kind_of(head, path.lower())
    if found is not None:
        return f"it looks like {found[0]}; {found[1]}"
    return "not a text file" if b"\0" in head else None


def _kind_of(head, path):
    if head.startswith(b"PK\3\4"):
        return next((kind for part, kind in _ZIPPED.items() if part in head), ("zip", "unpack it"))
    for magic, kind in _MAGIC.items():
        if head.startswith(magic) and (magic != b"FCS" or re.match(rb"FCS\d\.\d", head)):
            return kind
    for pattern, kind in _TEXT.items():
        if pattern.match(head):
            return kind
    if b"\0" in head:
        return next((kind for suffix, kind in _SUFFIXES.items() if path.endswith(suffix)), None)
    return None
