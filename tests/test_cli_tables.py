"""Tables that the command line reads: text of many kinds, .npy, Parquet; columns, labels, weights."""

import bz2
import codecs
import csv
import gzip
import io
import lzma
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings

from fastem.cli import tables, text
from fastem.cli.messages import TableError

from .grids import exhaustive, grid
from .test_cli import ENVIRONMENT, from_stdin, in_empty_folder, write  # noqa: F401  (a fixture)


def read(path, columns=None, weights=None, labels=None, delimiter=None, header=None):
    """`Data` of a table; its points as an array are `X`."""
    table = tables.open_table(path, delimiter, header)
    weights, labels = (None if name is None else table.column(name) for name in (weights, labels))
    data = table.read(table.chosen(columns, (weights, labels), weights is not None), weights, labels)
    data.X = np.concatenate(list(data.points.read()))
    return data


def small_chunks(monkeypatch, size):
    monkeypatch.setattr(text, "_CHUNK", size)
    monkeypatch.setattr(text, "_HEAD", size)


def refused(path, *args, **kwargs):
    """The message with which a table is refused."""
    with pytest.raises(TableError) as caught:
        read(path, *args, **kwargs)
    return str(caught.value)


# -- dialects ---------------------------------------------------------------------------------------------------------

VALUES = [[1.5, -2e-3], [0.1, 4.0], [7.0, 1e10]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r", "\n\n\n", "   \n"], ids=repr)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("delimiter", [",", ", ", ";", "\t", " ", "   ", "|"], ids=repr)
def test_text_in_many_dialects(delimiter, header, encoding, end):
    names = ["första €", "b"]
    rows = [[f'"{name}"' for name in names]] if header else []
    rows += [[repr(value) for value in row] for row in VALUES]
    write(end.join(delimiter.join(row) for row in rows) + end, encoding=encoding)
    data = read("table.csv")
    assert data.X.dtype == np.float64
    assert data.X.tolist() == VALUES
    assert data.names == (names if header else ["x1", "x2"])
    assert data.points.feature_names == (names if header else None)


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["table.csv.gz", "table.csv"])
def test_compressed_text_whatever_its_name(compress, name):
    Path(name).write_bytes(compress(codecs.BOM_UTF8 + b"a;b\n1,5;2\n3;4\n"))
    data = read(name)
    assert (data.names, data.X.tolist()) == (["a", "b"], [[1.5, 2], [3, 4]])


@pytest.mark.parametrize(
    ("content", "names", "values"),
    [
        ("3.5\n4\n", ["x1"], [[3.5], [4]]),
        ("a\n3.5\n4\n", ["a"], [[3.5], [4]]),
        ("two words\n3.5\n4\n", ["two words"], [[3.5], [4]]),
        ("a,b\n1,2\n", ["a", "b"], [[1, 2]]),
        ("1,2", ["x1", "x2"], [[1, 2]]),
        ('"a,b";c\n1;2\n', ["a,b", "c"], [[1, 2]]),
        ('"a,b",c\n1,2\n3,4\n', ["a,b", "c"], [[1, 2], [3, 4]]),
        ('"a\nb",c\n1,2\n3,4\n', ["a b", "c"], [[1, 2], [3, 4]]),
        ('a,b\n"1","2"\n"3", "4"\n', ["a", "b"], [[1, 2], [3, 4]]),
        ('"a" "b c"\n"1" 2\n3  "4"\n', ["a", "b c"], [[1, 2], [3, 4]]),
        ("\n\na b\n\n1 2\n3 4\n", ["a", "b"], [[1, 2], [3, 4]]),
        ("year,2024\n1,2\n3,4\n", ["year", "2024"], [[1, 2], [3, 4]]),
        (" 1  2\n 3 4 \n", ["x1", "x2"], [[1, 2], [3, 4]]),
        # decimal commas
        ("a;b\n1,5;2\n3;-,5\n", ["a", "b"], [[1.5, 2], [3, -0.5]]),
        ("a\tb\n1,5\t2e3\n3\t4,25E-2\n", ["a", "b"], [[1.5, 2000], [3, 0.0425]]),
        ("a|b\n1.5|2\n", ["a", "b"], [[1.5, 2]]),
        # comments before the table; the names that numpy.savetxt writes
        ("# of today\n# cm kg\na,b\n1,2\n", ["a", "b"], [[1, 2]]),
        ("# a b\n1.0 2.0\n3 4\n", ["a", "b"], [[1, 2], [3, 4]]),
        ("# a,b\n1,2\n", ["a", "b"], [[1, 2]]),
        ("# of this day\n1,2\n", ["x1", "x2"], [[1, 2]]),
        # an end of the line that is a delimiter, too
        ("a;b;\n1;2;\n3;4;\n", ["a", "b"], [[1, 2], [3, 4]]),
        ("a,b\n1,2,\n3,4,\n", ["a", "b"], [[1, 2], [3, 4]]),
        ("1,2,\n3,4,\n", ["x1", "x2"], [[1, 2], [3, 4]]),
        # numbers as they are written
        ("1.,+2\n.5,-0\n1e-3,1E+2\n", ["x1", "x2"], [[1, 2], [0.5, 0], [1e-3, 100]]),
        ("a\n1e308\n1e308\n", ["a"], [[1e308], [1e308]]),  # whose sum is infinite
        ("sep=;\na;b\n1,5;2\n", ["a", "b"], [[1.5, 2]]),
        # names of pandas, and no names
        ("0,1\n1.5,2.0\n0.1,1e5\n", ["0", "1"], [[1.5, 2], [0.1, 1e5]]),
        ("0,1\n1.5,2\n0.5,1.5\n", ["x1", "x2"], [[0, 1], [1.5, 2], [0.5, 1.5]]),
        ("0,1\n", ["x1", "x2"], [[0, 1]]),
        # a label in the first line is no name
        ("1,2,cat\n3,4,\n5,6,\n", ["x1", "x2"], [[1, 2], [3, 4], [5, 6]]),
    ],
)
def test_text_of_many_shapes(content, names, values):
    n_labels = content.count("cat")
    data = read(write(content), labels="3" if n_labels else None)
    assert data.names == names
    assert data.X.tolist() == values


@pytest.mark.parametrize("delimiter", [" ", "\t", ":", "x"])
def test_the_delimiter_can_be_given(delimiter):
    write(delimiter.join("ab") + "\n" + delimiter.join("12") + "\n" + delimiter.join("34") + "\n")
    assert read("table.csv", delimiter=delimiter).X.tolist() == [[1, 2], [3, 4]]


def test_excel_in_german(capsys):
    rows = "".join(f"{i},5;{i},25;\r\n" for i in range(300))
    write("Größe;Gewicht;\r\n" + rows, encoding="utf-8-sig")
    data = read("table.csv")
    assert data.names == ["Größe", "Gewicht"]
    np.testing.assert_array_equal(data.X, np.arange(300)[:, None] + [0.5, 0.25])
    assert "note: column 3 has neither a name nor values and is left out" in capsys.readouterr().err
    write("Größe;Gewicht\r\n1,5;2\r\n", encoding="cp1252")
    assert read("table.csv", "Größe").X.tolist() == [[1.5]]


def test_nameless_first_column_is_row_names(capsys):
    for content in (
        ",a,b\n0,1,2\n1,3,4\n",  # pandas
        '"","a","b"\n"Mazda RX4",1,2\n"Fiat",3,4\n',  # R, write.csv
        '"a" "b"\n"Mazda RX4" 1 2\n"Fiat" 3 4\n',  # R, write.table
        "a\tb\nMazda\t1\t2\nFiat\t3\t4\n",
        "a b\n1 NA 2\n2 3 4\n".replace("NA", "1"),
    ):
        data = read(write(content))
        assert (data.names, data.X.tolist()) == (["a", "b"], [[1, 2], [3, 4]])
        assert "column 1 has no name and is left out as row names" in capsys.readouterr().err
    data = read(write(",a,b\n0,1,2\n1,3,4\n"), "1,b")
    assert (data.names, data.X.tolist()) == (["x1", "b"], [[0, 2], [1, 4]])


# Tables whose first line, first column or ends leave room for doubt: the text, then what is right: the features' names,
# the number of rows, and a part of each note.
DOUBTFUL = {
    # names that are numbers
    "years beside names of rows": (
        "rownames,1940,1945,1950\nfood,22.2,44.5,59.6\nhouse,10.5,15.5,29\nhealth,3.5,5.8,9.7\nclothes,8.1,12,16\n",
        ["1940", "1945", "1950"],
        4,
        ["'rownames' has a different word in each row and is left out as row names"],
    ),
    "years beside names of rows, a name of one's own": (
        "country,1990,1991\nChad,5,6\nPeru,7,8\nMali,5,7\n",
        ["1990", "1991"],
        3,
        ["line 1 is read as column names (country, 1990, 1991); use --no-header", "'country' has a different"],
    ),
    "years beside few names of rows": (
        "land,1990,1991\nChad,5,6\nPeru,7,8\n",
        ["1990", "1991"],
        2,
        ["line 1", "'land' has"],
    ),
    "few rows with names": ("food,22,44\nhouse,10.5,15.5\n", ["x2", "x3"], 2, ["column 1 has a different word"]),
    "row numbers from R": ('"X","a"\n1,2\n2,3\n3,4\n', ["a"], 3, ["'X' counts the rows 1, 2, 3"]),
    "years above counts": (
        "2001,2002,2003\n5,6,7\n9,7,8\n4,2,9\n",
        ["2001", "2002", "2003"],
        3,
        ["line 1 is read as column names"],
    ),
    "years that fall": ("2003,2002\n5,6\n9,7\n4,2\n", ["2003", "2002"], 3, ["line 1 is read as column names"]),
    "numbers of columns beside a name": ("0,1,label\n.5,1,0\n.6,2,1\n", ["0", "1", "label"], 2, []),
    "a year beside a name": ("depth,2024\n1,2\n3,4\n", ["depth", "2024"], 2, ["line 1 is read as column names"]),
    "wavelengths": (
        "400;402;404\n1.1;.5;.6\n1.2;.4;.7\n1.3;.45;.6\n",
        ["400", "402", "404"],
        3,
        ["line 1 is read as column names"],
    ),
    "wavelengths with decimals": (
        "400.5 401.0 401.5\n.1 .2 .3\n.2 .1 .4\n.3 .1 .3\n",
        ["400.5", "401.0", "401.5"],
        3,
        ["line 1 is read as column names"],
    ),
    "quoted wavelengths beside quoted row numbers": (
        '"","400","402"\n"1",1.1,2.1\n"2",1.3,2.2\n"3",5.1,6.2\n',
        ["400", "402"],
        3,
        ["column 1 has no name and is left out as row names"],
    ),
    "quoted numbers": ('"2","1"\n1,2\n3,4\n', ["2", "1"], 2, []),
    "quoted numbers between blanks": ('"2" "1"\n1 2\n3 4\n', ["2", "1"], 2, []),
    "an empty first name above row numbers": (",4,2\n0,5,6\n1,7,9\n", ["4", "2"], 2, ["column 1 has no name"]),
    "an empty first name above words": (",4,2\nu,5,6\nv,7,9\n", ["4", "2"], 2, ["column 1 has no name"]),
    "of pandas": ("0,1\n1.5,2.5\n.5,1.5\n", ["0", "1"], 2, ["line 1 is read as column names"]),
    "of pandas, with its index": (",0,1\n0,1.5,2\n1,.5,1\n", ["0", "1"], 2, ["column 1 has no name"]),
    "from 1 on": ("1,2,3,4\n.5,.1,.2,.3\n.6,.1,.2,.3\n", ["1", "2", "3", "4"], 2, ["line 1 is read as column names"]),
    # first rows, although all of them differ from the others
    "rows from the first line on": ("1,2\n1.2,2.1\n5.1,6.2\n5.2,6.0\n", ["x1", "x2"], 4, []),
    "whole numbers in the first row": ("4,80\n1.8,54\n3.3,74\n2.2,62\n", ["x1", "x2"], 4, []),
    "larger ones below": ("1,2,3\n10,20,30\n12,21,33\n11,22,31\n", ["x1", "x2", "x3"], 4, []),
    "an outlier in the first row": ("99.5,1e6\n1.8,54\n3.3,74\n2.2,62\n", ["x1", "x2"], 4, []),
    "counts in order": ("2,4,6\n1,2,3\n2,5,7\n3,4,9\n", ["x1", "x2", "x3"], 4, []),
    "two rows": ("100,200\n1.5,2.5\n", ["x1", "x2"], 2, []),
    "one column": ("1990\n2.5\n3.5\n4.5\n", ["x1"], 4, []),
    "quoted rows": ('"1","2"\n"3","4"\n', ["x1", "x2"], 2, []),
    "rows with names": (
        "food,22.2,44.5\nhouse,10.5,15.5\nhealth,3.5,5.8\n",
        ["x2", "x3"],
        3,
        ["column 1 has a different word in each row and is left out as row names"],
    ),
    # names that look like values
    "a name with a sign": ("<5,5-9\n1,2\n3,4\n", ["<5", "5-9"], 2, []),
    "values with signs alone": (
        "<0.5\n1.2\n3.4\n",
        ["<0.5"],
        2,
        ["line 1 is read as column names (<0.5)"],
    ),
    "an odd value beside whole numbers": ("ND,3\n1,2\n4,5\n", ["ND", "3"], 2, ["line 1 is read as column names"]),
    # columns that number the rows
    "row numbers": (
        "rownames,a,b\n1,5,7\n2,6,9\n3,1,4\n",
        ["a", "b"],
        3,
        ["'rownames' counts the rows 1, 2, 3, ... and is left out; --columns can include it"],
    ),
    "row numbers in any order": (
        "rownames,a\n7,5\n2,6\n3,1\n",
        ["a"],
        3,
        ["'rownames' numbers the rows and is left out"],
    ),
    "row numbers that go on": ("id,a\n41,5\n42,6\n43,1\n", ["a"], 3, ["'id' counts the rows 41, 42, 43, ..."]),
    "row numbers at the end": ("a,ID\n5,1\n6,2\n1,3\n", ["a"], 3, ["'ID' counts the rows 1, 2, 3, ..."]),
    "of any name": (
        "t,a\n" + "".join(f"{i},{i % 7}\n" for i in range(10)),
        ["t", "a"],
        10,
        ["'t' counts the rows 0, 1, 2, ..., but is used as a feature; --exclude 1 leaves it out"],
    ),
    "without names": (
        "".join(f"{i} {i % 7}\n" for i in range(1, 11)),
        ["x1", "x2"],
        10,
        ["column 1 counts the rows 1, 2, 3, ..., but is used as a feature"],
    ),
    "too few to tell": ("t,a\n" + "".join(f"{i},{i % 7}\n" for i in range(9)), ["t", "a"], 9, []),
    "numbers of something else": ("id,a\n1,5\n1,6\n2,1\n", ["id", "a"], 3, []),
    "nothing else": ("id\n1\n2\n3\n", ["id"], 3, []),
    # empty columns and rows
    "empty columns": ("a,b,,\n1,2,,\n3,4,,\n", ["a", "b"], 2, ["columns 3 and 4 have neither a name nor values"]),
    "many": ("a,b,,,,\n1,2,,,,\n3,4,,,,\n", ["a", "b"], 2, ["columns 3, 4, 5 and 6 have neither"]),
    "under the names alone": ("a,b\n1,2,,\n3,4,,\n", ["a", "b"], 2, ["columns 3 and 4 have neither"]),
    "above the rows alone": ("a,b,,\n1,2\n3,4\n", ["a", "b"], 2, []),
    "between": ("a,,b\n1,,2\n3,,4\n", ["a", "b"], 2, ["column 2 has neither a name nor values"]),
    "before": (",a,b\n,1,2\n,3,4\n", ["a", "b"], 2, ["column 1 has neither a name nor values"]),
    "without any names": ("1,2,,\n3,4,,\n", ["x1", "x2"], 2, ["columns 3 and 4 have neither"]),
    "an empty row": ("a,b\n1,2\n3,4\n,\n", ["a", "b"], 2, ["table.csv: the last row is empty and left out"]),
    "empty rows": ("a;b\n1;2\n3;4\n;\n ; \n\n;", ["a", "b"], 2, ["the last 3 rows are empty and left out"]),
    "both": ("a,b,\n1,2,\n3,4,\n,,\n", ["a", "b"], 2, ["the last row is empty", "column 3 has neither"]),
    # numbers as Fortran writes them
    "D exponents": ("1.0D+00 2.1d-01\n-.5D2 1D+1\n", ["x1", "x2"], 2, []),
    "three digits": ("a,b\n1.0D+100,2.1-101\n1.5E+00,.5+100\n", ["a", "b"], 2, []),
}


@pytest.mark.parametrize("case", DOUBTFUL)
def test_what_is_taken_for_names_and_for_rows(case, capsys):
    content, names, n_rows, notes = DOUBTFUL[case]
    data = read(write(content))
    assert (data.names, data.n_rows) == (names, n_rows)
    assert data.X.shape == (n_rows, len(names)) and np.isfinite(data.X).all()
    said = capsys.readouterr().err.splitlines()
    assert len(said) == len(notes)
    assert all(any(note in line for line in said) for note in notes)


def test_numbers_as_fortran_writes_them():
    content = "1.0D+00 2.1d-01\n-.5D2 1D+1\n1.5-101 2.E0\n"
    expected = [[1, 0.21], [-50, 10], [1.5e-101, 2]]
    assert read(write(content)).X.tolist() == expected
    rows = "".join(f"{i + 0.25:.2f}D+00 {i}.5D-02\n" for i in range(1000))
    np.testing.assert_array_equal(read(write(rows)).X, [[i + 0.25, float(f"{i}.5e-02")] for i in range(1000)])
    words = "a,word\n" + "".join(f"{i}.5D+00,1D{i % 2}\n" for i in range(300))  # words stay as they are
    data = read(write(words), labels="word")
    assert data.X[:2].tolist() == [[0.5], [1.5]] and set(data.labels.components(2)[1].values()) == {"1D0", "1D1"}


@pytest.mark.parametrize("size", [61, 200, 1 << 20])
def test_empty_rows_at_the_end_straddle_chunks(monkeypatch, capsys, size):
    small_chunks(monkeypatch, size)
    X = np.arange(400.0).reshape(-1, 2) / 8
    rows = "".join(f"{a},{b}\n" for a, b in X)
    for end in ("\n", "\r\n"):
        write("a,b\n" + rows.replace("\n", end) + 300 * f",{end}")
        np.testing.assert_array_equal(read("table.csv").X, X)
        assert "note: table.csv: the last 300 rows are empty and left out" in capsys.readouterr().err
    message = refused(write("a,b\n1,2\n" + 300 * ",\n" + "3,4\n"))
    assert message.startswith("table.csv: 600 missing or infinite values, the first in line 3, column 1 (a)")


@pytest.mark.parametrize(
    "content", ["a,b\n1,2\n3,4\n", "1,2\n3,4\n5,6\n", '"1","2"\n3,4\n', "1990,1991\n1,2\n3,4\n5,6\n"]
)
def test_whether_there_is_a_header_can_be_said(content, capsys):
    first, *rows = [line.replace('"', "").split(",") for line in content.splitlines()]
    data = read(write(content), header=True)
    assert (data.names, data.X.tolist()) == (first, [list(map(float, row)) for row in rows])
    if first[0] == "a":
        assert "line 1, column 1 (x1): 'a' is not a number; choose columns with --columns" in refused(
            "table.csv", header=False
        )
    else:
        data = read("table.csv", header=False)
        assert (data.names, data.X.tolist()) == (["x1", "x2"], [list(map(float, row)) for row in [first, *rows]])
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "content", ["<0.5,2.1\n1.2,2.0\n5.1,6.0\n", "1.2*;2.1\n1,2;2,0\n", "ND,2.1\n1.2,2.0\n5.1,6.0\n"]
)
def test_a_row_with_one_odd_value_is_no_header(content):
    message = refused(write(content))
    assert re.search(r"line 1, column 1 \(x1\): '.*' is not a number; .* --header if this line holds names", message)
    assert read("table.csv", header=True).names[1] == "2.1"


@pytest.mark.parametrize("seed", range(40))
def test_numbers_alone_are_rows_however_they_are_written(seed, capsys):
    rng = np.random.default_rng(seed)
    shape = rng.integers(3, 60), rng.integers(2, 7)
    X = [rng.normal(size=shape), rng.integers(0, 9, shape), rng.gamma(1, 50, shape), 2000 + rng.normal(size=shape)][
        seed % 4
    ]
    X = np.sort(X, axis=seed % 3 - 1) if seed % 3 else X
    for form in ("%g", "%.1f", "%r", "%.4e", "%.3G"):
        rows = [",".join(form % value for value in row) for row in X.tolist()]
        data = read(write("\n".join(rows) + "\n"))
        assert data.n_rows == len(X), rows[:4]
        assert capsys.readouterr().err == ""


OTHER_FORMATS = {
    "weka.arff": (b"% of today\n\n@RELATION two\n@attribute x numeric\n@data\n1,2\n", "ARFF (Weka); save it as CSV"),
    "cells.fcs": (b"FCS3.1          58    1024", "FCS (flow cytometry); export its events"),
    "old.mat": (b"\0\0\0\0\x02\0\0\0", "a MATLAB file; export its table"),
    "five.mat": (b"MATLAB 5.0 MAT-file, Platform: GLNXA64\0\0", "a MATLAB file; export its table"),
    "seven.txt": (b"MATLAB 7.3 MAT-file, Platform: GLNXA64", "a MATLAB file; export its table"),
    "cells.h5ad": (b"\x89HDF\r\n\x1a\n\0\0", "HDF5 (also MATLAB 7.3, netCDF 4, AnnData); export its table"),
    "old.xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", "an Excel workbook (.xls); save its sheet as CSV"),
    "new.csv": (b"PK\3\4\x14\0\6\0\0\0[Content_Types].xml", "an Excel workbook (.xlsx); save its sheet as CSV"),
    "sheet.ods": (b"PK\3\4\0mimetypeapplication/vnd.oasis.opendocument", "an OpenDocument sheet (.ods); save its"),
    "some.rds": (gzip.compress(b"X\n\0\0\0\2\0\4"), "R's .rds; export its table"),
    "some.RData": (gzip.compress(b"RDX3\nX\n\0"), "R's .RData; export its table"),
    "table.json": (b'[{"a": 1, "b": 2}]', "JSON; export its table"),
    "page.html": (b"<!DOCTYPE html><table>", "XML or HTML; export its table"),
    "table.arrow": (b"ARROW1\0\0", "Arrow (Feather); write it as Parquet"),
    "table.csv.zst": (b"\x28\xb5\x2f\xfd\0", "zstd; decompress it"),
    "model.pkl": (b"\x80\x03cnumpy\0", "a Python pickle; export its table"),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_files_of_other_formats_are_recognised(name):
    content, said = OTHER_FORMATS[name]
    Path(name).write_bytes(content)
    assert refused(name).startswith(f"{name}: it looks like {said}")


def test_text_that_begins_as_other_formats_do_is_text():
    assert read(write("FCS,b\n1,2\n")).names == ["FCS", "b"]
    assert read(write("MATLAB x,b\n1,2\n")).names == ["MATLAB x", "b"]
    assert read(write("<5,b\n1,2\n")).names == ["<5", "b"]
    assert read(write("1,2\n3,4\n", "table.mat")).n_rows == 2  # as MATLAB saves with -ascii


def test_a_title_is_no_table():
    assert refused(write("My measurements\na,b\n1,2\n3,4\n")) == "table.csv: line 2 has 2 columns, not 1"


def test_thousands_of_columns_whose_names_fill_more_than_the_head():
    names = [f"a rather long name of column {j}" for j in range(5000)]
    X = np.random.default_rng(0).normal(size=(5, 5000))
    pd.DataFrame(X, columns=names).to_csv("table.csv", index=False)
    assert Path("table.csv").read_text().index("\n") > 2 * text._HEAD
    data = read("table.csv")
    assert data.names == names
    np.testing.assert_array_equal(data.X, X)
    write("1," * text._COLUMNS + "1\n")
    assert refused("table.csv") == "table.csv: line 1 has 100,001 columns, more than 100,000"


# -- chunks -----------------------------------------------------------------------------------------------------------


def table_text(n_rows, *, end="\n", quoted=False):
    """(text of a table with a column of words, the numbers, the words)."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n_rows, 2)) * 10.0 ** rng.integers(-9, 9, size=(n_rows, 2))
    words = [f'a "b"{end}{i % 3}, c' if quoted else f"é{i % 3}" for i in range(n_rows)]
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator=end)
    writer.writerow(["a", "word", f"b{end}c" if quoted else "b"])
    writer.writerows([repr(a), word, repr(b)] for (a, b), word in zip(X.tolist(), words, strict=True))
    return stream.getvalue(), X, words


@grid("size", [61, 64, 200, 1 << 10, 1 << 20], quick=[200])
@pytest.mark.parametrize("encode", ["utf-8", "utf-16", "cp1252", "gzip"])
@pytest.mark.parametrize(
    ("end", "quoted"), [("\n", False), ("\r\n", False), ("\r", False), ("\n", True), ("\r\n", True)]
)
def test_lines_straddle_chunks(monkeypatch, size, encode, end, quoted):
    content, X, words = table_text(300, end=end, quoted=quoted)
    content = gzip.compress(content.encode()) if encode == "gzip" else content.encode(encode)
    Path("table.csv").write_bytes(content)
    small_chunks(monkeypatch, size)
    data = read("table.csv", "1,3", labels="2")
    np.testing.assert_array_equal(data.X, X)
    component, names = data.labels.components(3)
    assert [names[k] for k in component] == words


def test_quotes_cost_no_more_than_once(monkeypatch):
    # Each line's end lies inside quotation marks if one that is missing is looked for from the end.
    write("a,b\n1,2\n3,4\n" + '5,"6\n' + 300_000 * "7,8\n")
    small_chunks(monkeypatch, 1 << 20)
    assert "is a quotation mark missing?" in refused("table.csv")


@grid("size", [64, 1 << 20], quick=[64])
@grid("end", ["\n", "\r\n", "\r"], quick=["\r\n"])
@pytest.mark.parametrize("quoted", [False, True])
def test_faults_have_the_right_line_numbers(monkeypatch, size, end, quoted):
    name, n_rows = '"b\nc"' if quoted else "b", 500
    name = name.replace("\n", end)
    before = 3 if quoted else 2  # lines before the first row: a comment and the names
    small_chunks(monkeypatch, size)
    lines = [f"{i},{i / 7:.3f}" for i in range(n_rows)]

    def told(faulty):
        write(end.join(["# comment", f"a,{name}", *faulty, ""]))
        message = refused("table.csv")
        return int(re.search(r"line ([\d,]+)", message)[1].replace(",", "")) - before - 1, message

    for row in (0, 1, 57, 250, n_rows - 1):
        bad = [*lines[:row], f"{row},word", *lines[row + 1 :]]
        assert told(bad)[0] == row
        assert "column 2 (b" in told(bad)[1]
        assert told([*lines[:row], "1,2,3", *lines[row + 1 :]])[0] == row
        if row < n_rows - 1:
            missing = [*lines[:row], f"{row},NA", *lines[row + 1 : -1], f"inf,{row}"]
            assert told(missing)[0] == row
            assert "2 missing or infinite values" in told(missing)[1]


def test_a_blank_line_counts_as_a_line():
    assert "line 5, column 1 (a)" in refused(write("\n\na,b\n\nx,1\n2,3\n4,5\n"))


def test_the_slow_reader_gives_the_same_bits(monkeypatch):
    content, X, words = table_text(300)
    write(content)
    quick = read("table.csv", "1,3", labels="2")

    def refuse(*args):
        raise pa.ArrowInvalid

    monkeypatch.setattr(pyarrow.csv, "read_csv", refuse)
    slow = read("table.csv", "1,3", labels="2")
    np.testing.assert_array_equal(quick.X, X)
    np.testing.assert_array_equal(slow.X, X)
    assert [data.labels.components(3)[0].tolist() for data in (quick, slow)] == [[int(w[1]) for w in words]] * 2


@pytest.mark.parametrize("limit", [0, 1000, 4799, 4800])
def test_what_is_spooled_to_a_file_has_the_same_bits(monkeypatch, limit):
    content, X, _ = table_text(300)
    write(content)
    monkeypatch.setattr(tables, "_IN_MEMORY", limit)
    data = read("table.csv", "1,3")
    assert isinstance(data.points.X, np.memmap) == (limit < X.nbytes)
    np.testing.assert_array_equal(data.X, X)
    assert data.n_rows == 300


FINITE = st.floats(allow_nan=False, allow_infinity=False)
NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=12)


@exhaustive
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_table_is_read_as_pandas_reads_it(data, monkeypatch):
    n_columns = data.draw(st.integers(2, 5))
    rows = data.draw(st.lists(st.lists(FINITE, min_size=n_columns, max_size=n_columns), min_size=1, max_size=12))
    names = data.draw(st.lists(NAMES, min_size=n_columns, max_size=n_columns, unique=True))
    names = [f"n{name.strip()}" for name in names]
    written = pd.DataFrame(rows, columns=names)
    options = {
        "sep": data.draw(st.sampled_from(",;\t|")),
        "lineterminator": data.draw(st.sampled_from(["\n", "\r\n"])),
        "quoting": data.draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC])),
        "encoding": data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"])),
    }
    written.to_csv("table.csv", index=False, **options)
    expected = pd.read_csv(
        "table.csv", sep=options["sep"], encoding=options["encoding"], dtype=str, keep_default_na=False
    )
    size = data.draw(st.sampled_from([1 << 9, 1 << 20]))
    small_chunks(monkeypatch, size)
    found = read("table.csv", ",".join(map(str, range(1, n_columns + 1))), delimiter=options["sep"])
    np.testing.assert_array_equal(found.X, expected.to_numpy().astype(np.float64))
    np.testing.assert_array_equal(found.X, np.array(rows))
    assert found.names == [" ".join(name.split()) for name in expected.columns]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    X=st.lists(st.tuples(FINITE, FINITE, FINITE), min_size=2, max_size=30),
    delimiter=st.sampled_from([",", ";", "\t", "|", " ", "  "]),
    has_names=st.booleans(),
)
def test_the_dialect_is_found_out(X, delimiter, has_names):
    lines = [delimiter.join("abc")] if has_names else []
    write("\n".join(lines + [delimiter.join(map(repr, row)) for row in X]) + "\n")
    data = read("table.csv")
    np.testing.assert_array_equal(data.X, X)
    assert data.names == (list("abc") if has_names else ["x1", "x2", "x3"])


@exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc of Linux")
def test_text_larger_than_the_memory_there_is(tmp_path):
    # The process may have 150 MiB beside what it has after a first fit: 92 MiB of numbers from 240 MB of text.
    rng = np.random.default_rng(0)
    block = pa.table({name: rng.normal(size=250_000) + 5 * rng.integers(2) for name in "abcd"})
    with pyarrow.csv.CSVWriter("big.csv", block.schema) as writer:
        for _ in range(12):
            writer.write_table(block)
    script = """
import resource, sys
from fastem.cli import main, tables
tables._IN_MEMORY = 8 << 20
def data():
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith("VmData:")).split()[1]) << 10
open("small.csv", "w").writelines([line for _, line in zip(range(2001), open("big.csv"))])
assert main(["fit", "small.csv", "-k", "2", "-q", "--save", "m.npz", "--assign", "a.csv"]) == 0
resource.setrlimit(resource.RLIMIT_DATA, 2 * [data() + (150 << 20)])
assert main(["fit", "big.csv", "-k", "2", "-q", "--max-iter", "3", "--assign", "a.csv"]) == 0
assert main(["predict", "m.npz", "big.csv", "-o", "b.csv"]) == 0
try:
    bytes(170 << 20)
except MemoryError:
    print("limited")
"""
    environment = {
        **ENVIRONMENT,
        "OMP_NUM_THREADS": "2",
        "NUMBA_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "1",
    }  # stacks
    with open("big.csv") as lines, open("some.csv", "w") as some:  # compiles what needs more memory than numbers do
        some.writelines(line for _, line in zip(range(200_001), lines, strict=False))
    for line in "fit some.csv -k 2 -q --max-iter 3 --assign a.csv --save m.npz", "predict m.npz some.csv -o b.csv":
        subprocess.run(
            [sys.executable, "-m", "fastem", *line.split()], env=environment, check=True, capture_output=True
        )
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "wrote b.csv\nlimited\n"), done.stderr
    assert Path("a.csv").read_bytes().count(b"\n") == Path("b.csv").read_bytes().count(b"\n") == 3_000_001


# -- other files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "int16", "uint8", "bool"])
def test_npy_is_mapped_as_it_is(dtype):
    np.save("table.npy", np.eye(3).astype(dtype))
    data = read("table.npy")
    assert np.array_equal(data.X, np.eye(3))
    assert isinstance(data.points.X, np.memmap) and not data.points.X.flags.writeable
    assert (data.names, data.points.feature_names, data.n_rows) == (["x1", "x2", "x3"], None, 3)
    assert read("table.npy", "3,1").X.tolist() == np.eye(3)[:, [2, 0]].tolist()


def test_npy_vector_is_one_column():
    np.save("table.npy", np.arange(5.0))
    assert read("table.npy").X.tolist() == [[0], [1], [2], [3], [4]]


def test_parquet_files_and_folders():
    frame = pd.DataFrame({"word": ["u", "v", "w"], "b": [1.5, 2, 3], "a": [4, 5, 6], "yes": [True, False, True]})
    frame.to_parquet("table.parquet")
    Path("folder/part").mkdir(parents=True)
    frame[:1].to_parquet("folder/part/1.parquet")
    frame[1:].to_parquet("folder/part/2.parq")
    Path("folder/README").touch()
    for path in ("table.parquet", "folder"):
        data = read(path)
        assert (data.names, data.n_rows) == (["b", "a", "yes"], 3)
        assert data.X.tolist() == [[1.5, 4, 1], [2, 5, 0], [3, 6, 1]]
        data = read(path, "a,b")
        assert (data.names, data.X.tolist()) == (["a", "b"], [[4, 1.5], [5, 2], [6, 3]])
        data = read(path, weights="a", labels="word")
        assert (data.names, data.weights.tolist()) == (["b", "yes"], [4, 5, 6])
        assert data.labels.components(3)[1] == {0: "u", 1: "v", 2: "w"}


def test_what_numbers_the_rows_of_parquet_is_left_out(capsys):
    frame = pd.DataFrame({"rownames": np.arange(1, 41), "a": np.arange(40) % 7, "b": np.arange(40) / 3})
    frame.to_parquet("table.parquet")
    assert read("table.parquet").names == ["a", "b"]
    assert "'rownames' counts the rows 1, 2, 3, ... and is left out" in capsys.readouterr().err
    assert read("table.parquet", "1-2").names == ["rownames", "a"]
    frame[["a", "b"]].sample(frac=1, random_state=0).to_parquet("table.parquet")
    assert read("table.parquet").names == ["a", "b"]
    assert "'__index_level_0__' is the table's index and is left out; --columns" in capsys.readouterr().err
    assert read("table.parquet", "__index_level_0__,a").names == ["__index_level_0__", "a"]


def test_the_numbers_of_a_weighted_table_are_values(capsys):
    write("x,n\n" + "".join(f"{i},{i % 3 + 1}\n" for i in range(1, 15)))
    assert read("table.csv", weights="n").names == ["x"]
    write("x,y,n\n" + "".join(f"{i},{i % 5},{i % 3 + 1}\n" for i in range(1, 15)))
    assert read("table.csv", weights="n").names == ["x", "y"]
    assert capsys.readouterr().err == ""


def test_standard_input_and_pipes(monkeypatch):
    content, X, _ = table_text(300)
    from_stdin(monkeypatch, content.encode())
    np.testing.assert_array_equal(read("-", "a,b").X, X)
    from_stdin(monkeypatch, gzip.compress(content.encode()))
    np.testing.assert_array_equal(read("-", "a,b").X, X)
    os.mkfifo("pipe")
    thread = threading.Thread(target=lambda: Path("pipe").write_text(content))
    thread.start()
    np.testing.assert_array_equal(read("pipe", "a,b").X, X)
    thread.join()


# -- columns ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "columns, expected",
    [("b", [1]), ("c,a", [2, 0]), ("3,1", [2, 0]), ('"b", 1', [1, 0]), ("2-3", [1, 2]), ("3,1 - 2", [2, 0, 1])],
)
@pytest.mark.parametrize("suffix", ["csv", "npy", "parquet"])
def test_columns(columns, expected, suffix):
    X = np.arange(12.0).reshape(4, 3)
    frame = pd.DataFrame(X, columns=list("abc"))
    frame.to_csv("table.csv", index=False)
    frame.to_parquet("table.parquet")
    np.save("table.npy", X)
    if suffix == "npy":
        for name, number in zip("abc", "123", strict=True):
            columns = columns.replace(name, number)
    data = read(f"table.{suffix}", columns)
    np.testing.assert_array_equal(data.X, X[:, expected])
    assert data.names == [f"x{j + 1}" if suffix == "npy" else "abc"[j] for j in expected]


def test_a_name_comes_before_a_number():
    assert read(write("a,1\n5,6\n7,8\n"), "1").X.tolist() == [[6], [8]]


def test_a_name_comes_before_a_range():
    assert read(write("a,b,1-2\n5,6,9\n7,8,1\n"), "1-2").X.tolist() == [[9], [1]]


def test_a_name_with_a_comma():
    assert read(write('"a,b",c\n5,6\n7,8\n'), 'c,"a,b"').X.tolist() == [[6, 5], [8, 7]]


@pytest.mark.parametrize(
    ("columns", "part"),
    [
        ("d", "table.csv: no column 'd' among its 4 columns (a, b, c, c)"),
        ("0", "table.csv: no column '0' among its 4 columns (a, b, c, c)"),
        ("5", "table.csv: no column '5' among its 4 columns (a, b, c, c)"),
        ("c", "table.csv: 2 columns are called 'c'; give the number of one"),
        ("2-5", "table.csv: --columns 2-5: the table has 4 columns, numbered from 1"),
        ("3-2", "table.csv: --columns 3-2: the table has 4 columns, numbered from 1"),
        ("0-2", "table.csv: --columns 0-2: the table has 4 columns, numbered from 1"),
        ("2-", "table.csv: no column '2-' among its 4 columns (a, b, c, c)"),
        ("2,1-3", "--columns should name one or more columns, each once, got '2,1-3'"),
        ("a,1", "--columns should name one or more columns, each once, got 'a,1'"),
        ("", "--columns should name one or more columns, each once, got ''"),
    ],
)
def test_bad_columns_are_explained(columns, part):
    assert refused(write("a,b,c,c\n1,2,3,4\n5,6,7,8\n"), columns) == part


def test_a_column_is_one_thing():
    write("a,b\n1,2\n3,4\n")
    message = "table.csv: column 2 (b) is in --columns, but also in --weights, --labels or --id"
    assert refused("table.csv", "a,b", weights="b") == message
    assert refused("table.csv", "a,b", labels="b") == message
    assert refused("table.csv", weights="1", labels="2") == "table.csv: no column is left for the features"


def test_many_columns_are_not_all_listed():
    write(",".join(f"n{j}" for j in range(50)) + "\n" + ",".join("1" * 50) + "\n")
    assert refused("table.csv", "x").endswith("among its 50 columns (n0, n1, n2, n3, n4, n5, n6, n7, n8, n9, ...)")


# -- labels and weights -----------------------------------------------------------------------------------------------


def labelled(words, n_components, suffix="csv"):
    """(component of each point, the label of each component) for a column of labels."""
    if suffix == "csv":
        write("a,label\n" + "".join(f"{i},{word}\n" for i, word in enumerate(words)), name="labels.csv")
    elif suffix == "parquet":
        pq.write_table(pa.table({"a": np.arange(len(words)), "label": words}), "labels.parquet")
    else:
        np.save("labels.npy", np.column_stack([np.arange(len(words)), words]))
    column = "2" if suffix == "npy" else "label"
    component, names = read(f"labels.{suffix}", labels=column).labels.components(n_components)
    return component.tolist(), names


@pytest.mark.parametrize(
    ("words", "components", "names"),
    [
        (["b", "a", "b"], [1, 0, 1], {0: "a", 1: "b"}),
        (["b", "", "NA", "?", "-1", "a"], [1, -1, -1, -1, -1, 0], {0: "a", 1: "b"}),
        (["0", "1", "-1", ""], [0, 1, -1, -1], {0: "0", 1: "1"}),
        (["2", "0", "2"], [2, 0, 2], {0: "0", 2: "2"}),  # numbers of components
        (["1.0", "0", "0.0", "1", "-1.0"], [1, 0, 0, 1, -1], {0: "0", 1: "1"}),
        (["10", "9", "9"], [1, 0, 0], {0: "9", 1: "10"}),  # by size
        (["-2", "5"], [0, 1], {0: "-2", 1: "5"}),
        (["1.5", "0.5"], [1, 0], {0: "0.5", 1: "1.5"}),
        (["1_0", "1_1"], [0, 1], {0: "1_0", 1: "1_1"}),  # no numbers
        ([" b", "a ", "b"], [1, 0, 1], {0: "a", 1: "b"}),
        (["é", "日本"], [0, 1], {0: "é", 1: "日本"}),
        (['"x, y"', "[red]"], [1, 0], {0: "[red]", 1: "x, y"}),
        (["True", "False", ""], [1, 0, -1], {0: "False", 1: "True"}),
    ],
)
def test_labels_in_text(words, components, names):
    assert labelled(words, 3) == (components, names)


@pytest.mark.parametrize(
    ("words", "components", "names"),
    [
        (["b", None, "a"], [1, -1, 0], {0: "a", 1: "b"}),
        ([1, 0, -1, None], [1, 0, -1, -1], {0: "0", 1: "1"}),
        ([1.0, 0.0, np.nan, None], [1, 0, -1, -1], {0: "0", 1: "1"}),
        ([True, False, None], [1, 0, -1], {0: "0", 1: "1"}),
        ([b"b", b"a"], [1, 0], {0: "a", 1: "b"}),
        (pd.Categorical(["v", None, "u"], categories=["u", "v", "w", "x"]), [1, -1, 0], {0: "u", 1: "v"}),
    ],
)
def test_labels_in_parquet(words, components, names):
    assert labelled(pa.array(words, from_pandas=isinstance(words, pd.Categorical)), 2, "parquet") == (components, names)


def test_labels_in_npy():
    assert labelled([1.0, 0.0, -1.0, np.nan], 2, "npy") == ([1, 0, -1, -1], {0: "0", 1: "1"})
    assert labelled(np.array([3, 5, -1]), 2, "npy") == ([0, 1, -1], {0: "3", 1: "5"})


def test_labels_across_chunks_and_beyond_the_head_in_another_encoding(monkeypatch):
    words = [f"w{i % 7}" for i in range(1000)]
    content = "a,label\n" + "".join(f"{i},{word}\n" for i, word in enumerate(words))
    Path("table.csv").write_bytes(content.encode() + "1,é\n".encode("cp1252"))
    small_chunks(monkeypatch, 256)
    component, names = read("table.csv", labels="label").labels.components(8)
    assert [names[k] for k in component] == [*words, "\ufffd"]


def test_bad_labels_are_explained():
    with pytest.raises(TableError, match=r"labels.csv: column 2 \(label\) has 3 different labels \(a, b, c\), more th"):
        labelled(["a", "b", "c", "c"], 2)
    with pytest.raises(TableError, match=r"has 9 different labels \(0, 1, 2, 3, 4, ...\), more than -k 2"):
        labelled([str(i) for i in range(9)], 2)
    with pytest.raises(TableError, match=r"labels.csv: column 2 \(label\) has no labels"):
        labelled(["", "NA", "-1"], 2)
    with pytest.raises(TableError, match=r"labels.csv: column 2 \(label\) has more than 10,000 different values"):
        labelled([f"w{i}" for i in range(10_001)], 2)


@pytest.mark.parametrize("suffix", ["csv", "npy", "parquet"])
@pytest.mark.parametrize(
    ("weights", "part"),
    [
        ([1, 2, -3.0], "1 weight is negative or missing, the first in row 3"),
        ([1, -1, -1], "2 weights are negative or missing, the first in row 2"),
        ([0, 0, 0], "all weights are 0"),
        ([1, np.nan, 2], "the first in"),
        ([1, 2, np.inf], "the first in"),
    ],
)
def test_bad_weights_are_explained(weights, part, suffix):
    frame = pd.DataFrame({"a": [1.0, 2, 3], "w": weights})
    frame.to_csv("table.csv", index=False)
    frame.to_parquet("table.parquet")
    np.save("table.npy", frame.to_numpy())
    message = refused(f"table.{suffix}", weights="2")
    assert message.startswith(f"table.{suffix}: ") and part in message
    assert ("column 2 (x2)" if suffix == "npy" else "column 2 (w)") in message


@pytest.mark.parametrize("suffix", ["csv", "npy", "parquet"])
def test_weights_are_no_feature(suffix):
    frame = pd.DataFrame({"a": [1.0, 2, 3], "w": [0.0, 2, 1.5]})
    frame.to_csv("table.csv", index=False)
    frame.to_parquet("table.parquet")
    np.save("table.npy", frame.to_numpy())
    data = read(f"table.{suffix}", weights="2")
    assert (data.X.tolist(), data.weights.tolist()) == ([[1], [2], [3]], [0, 2, 1.5])
