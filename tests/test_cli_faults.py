"""The command line under bad input: one line that says what, where and why, exit code 2, and no file touched."""

import gzip
import os
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fastem
from fastem import cli
from fastem.cli import outputs, tables
from fastem.datasets import load_faithful
from fastem.model.families import FAMILIES

from .grids import exhaustive
from .test_cli import ENVIRONMENT, FASTEM, from_stdin, in_empty_folder  # noqa: F401  (a fixture)

ROWS = "1,2\n3,4\n5,7\n6,1\n"


@pytest.fixture(scope="module")
def bad_files(tmp_path_factory):
    """A folder of bad files, and of good ones to be bad with."""
    before = os.getcwd()
    os.chdir(tmp_path_factory.mktemp("bad"))
    _make_files()
    folder = os.getcwd()
    os.chdir(before)
    return folder


@pytest.fixture
def files(bad_files):
    """A copy of these in the working directory."""
    shutil.copytree(bad_files, ".", symlinks=True, dirs_exist_ok=True)


def _make_files():
    fastem.GaussianMixture(2, random_state=0).fit(load_faithful().data).save("nameless.npz")
    frame = pd.DataFrame(load_faithful().data, columns=["eruptions", "waiting"])
    fastem.GaussianMixture(2, random_state=0).fit(frame).save("model.npz")
    model = Path("model.npz").read_bytes()
    texts = {
        "good.csv": "a,b\n" + ROWS,
        "empty.csv": "",
        "blank.csv": "\n  \n\n",
        "header.csv": "a,b\n",
        "one.csv": "a,b\n1,2\n",
        "short.csv": "a,b\n1,2\n3\n4,5\n",
        "long.csv": "a,b\n1,2\n3,4\n5,6,7\n",
        "word.csv": "a,b\n1,2\n\n3,x y\n5,6\n",
        "words.csv": "5.1,setosa\n4.9,setosa\n",
        "id.csv": "id,a\n1_1,2\n1_2,3\n",
        "thousands.csv": "a;b\n1.000,5;2\n1.001,5;4\n",
        "currency.csv": "a,b\n$1,2\n$3,4\n",
        "missing.csv": "a,b\n1,\n3,4\nNA,nan\n",
        "infinite.csv": "a,b\n1,2\n3,-inf\n5,1e999\n",
        "first.csv": "NA,1\n2,3\n",
        "hollow.csv": "a,b\n1,\n3,NA\n5,\n",
        "colons.csv": "a:b\n1:2\n3:4\n",
        "quote.csv": "a,b\n1,2\n" + '3,"4\n' + 40_000 * "5,6\n",
        "title.csv": "My data\na,b\n1,2\n3,4\n",
        "footer.csv": "a,b\n1,2\n3,4\nTotal: 2\n",
        "units.csv": "a,b\ncm,kg\n1,2\n",
        "comment.csv": "a,b\n1,2\n# later\n3,4\n",
        "twice.csv": "a,b,b\n1,2,3\n4,5,7\n6,6,6\n",
        "labels.csv": "a,b\n1,u\n2,v\n3,w\n4,\n",
        "none.csv": "a,b\n1,\n2,NA\n3,-1\n",
        "gap.csv": "a,b\n1,0\n2,0\n3,2\n4,2\n",
        "weights.csv": "a,w\n1,1\n2,-3\n3,-1\n",
        "zeros.csv": "a,w\n1,0\n2,0\n3,0\n",
        "wordy.csv": "a,w\n1,1\n2,heavy\n3,1\n",
        "same.csv": "a,b\n" + 9 * "1,2\n",
        "text.npy": "1,2\n",
        "empty.npy": "",
        "text.parquet": "1,2\n",
        "text.npz": "1,2\n",
        "old.npz": "old",
        "old.csv": "old",
        "fit.png": "old",
    }
    for name, text in texts.items():
        Path(name).write_text(text)
    for name, content in {
        "good.csv.gz": gzip.compress(("a,b\n" + 9999 * "1,2\n").encode())[:-9],
        "garbage.gz": b"\x1f\x8b" + 99 * b"garbage",
        "garbage.xz": b"\xfd7zXZ" + 99 * b"garbage",
        "zip.csv": b"PK\3\4\0\0",
        "nul.csv": b"a,b\n1,2\n\0\0\0\n",
        "parquet.csv": b"PAR1\0\0",
        "cut.npz": model[: len(model) // 2],
        "flipped.npz": bytes([*model[:300], model[300] ^ 255, *model[301:]]),
    }.items():
        Path(name).write_bytes(content)
    X = np.array([[1.0, 2], [np.nan, 4], [5, 6], [1, np.inf]])
    for name, array in {
        "missing.npy": X,
        "cube.npy": np.zeros((2, 2, 2)),
        "number.npy": np.array(1.0),
        "words.npy": np.array(["a"]),
        "complex.npy": np.array([1j]),
        "objects.npy": np.array([[None]]),
    }.items():
        np.save(name, array, allow_pickle=True)
    pq.write_table(pa.table({"a": X[:, 0], "b": X[:, 1]}), "missing.parquet")
    pq.write_table(pa.table({"word": ["u", "v"]}), "words.parquet")
    pq.write_table(pa.table({"a": [1, 2, 3], "word": ["u", "v", "w"]}), "mixed.parquet")
    Path("cut.parquet").write_bytes(Path("missing.parquet").read_bytes()[:200])
    Path("folder").mkdir()
    Path("folder.npz").mkdir()
    os.symlink("loop.csv", "loop.csv")


NOT_A_NUMBER = "is not a number; choose columns with --columns, or leave some out with --exclude…"
HEADER = ", or use --header if this line holds names…"
UNUSABLE = "drop those rows, or fill them in"
MISSING = "leave those rows out by --drop-missing, fill them in, or fit with --missing em"
INFINITE = "drop those rows, or leave those cells empty"
COLLAPSED = "some components have ill-defined empirical covariance …"  # as scikit-learn says it

# What each command prints after "fastem: error: "; "…" stands for anything.
FAULTS = [
    # files that aren't there, or no tables
    ("fit absent.csv -k 1", "absent.csv: No such file or directory"),
    ("fit absent.npy -k 1", "absent.npy: No such file or directory"),
    ("fit absent.parquet -k 1", "absent.parquet: No such file or directory"),
    ("fit no/such/folder.csv -k 1", "no/such/folder.csv: No such file or directory"),
    ("fit folder -k 1", "folder: no .parquet file in this folder"),
    ("fit loop.csv -k 1", "loop.csv: Too many levels of symbolic links"),
    ("fit empty.csv -k 1", "empty.csv: the file is empty"),
    ("fit blank.csv -k 1", "blank.csv: the file is empty"),
    ("fit /dev/null -k 1", "/dev/null: the file is empty"),
    ("fit header.csv -k 1", "header.csv: no rows after the header"),
    ("fit zip.csv -k 1", "zip.csv: it looks like zip; unpack it"),
    (
        "fit model.npz -k 1",
        "model.npz: it looks like .npz, several arrays or a model; save the array of points as .npy",
    ),
    ("fit parquet.csv -k 1", "parquet.csv: it looks like Parquet; name it .parquet"),
    ("fit nul.csv -k 1", "nul.csv: not a text file"),
    ("fit good.csv.gz -k 1", "good.csv.gz: can't be decompressed (Compressed file ended before the end-of-stream …)"),
    ("fit garbage.gz -k 1", "garbage.gz: can't be decompressed (Unknown compression method)"),
    ("fit garbage.xz -k 1", "garbage.xz: can't be decompressed (Input format not supported by decoder)"),
    ("fit text.npy -k 1", "text.npy: can't be read as .npy (…)"),
    ("fit empty.npy -k 1", "empty.npy: can't be read as .npy (…)"),
    ("fit objects.npy -k 1", "objects.npy: can't be read as .npy (…)"),
    ("fit cube.npy -k 1", "cube.npy: should hold real numbers in 1 or 2 dimensions, but holds float64 in 3"),
    ("fit number.npy -k 1", "number.npy: should hold real numbers in 1 or 2 dimensions, but holds float64 in 0"),
    ("fit words.npy -k 1", "words.npy: should hold real numbers in 1 or 2 dimensions, but holds <U1 in 1"),
    ("fit complex.npy -k 1", "complex.npy: should hold real numbers in 1 or 2 dimensions, but holds complex128 in 1"),
    ("fit text.parquet -k 1", "text.parquet: can't be read as Parquet (…)"),
    ("fit cut.parquet -k 1", "cut.parquet: can't be read as Parquet (…)"),
    ("fit words.parquet -k 1", "words.parquet: no columns of numbers"),
    # rows
    ("fit one.csv -k 1", "one.csv: 1 row, but a fit needs 2 or more"),
    ("fit one.csv -k 2", "one.csv: 1 row, fewer than -k 2"),
    ("fit good.csv -k 5", "good.csv: 4 rows, fewer than -k 5"),
    ("select good.csv -k 5-7", "good.csv: 4 rows, fewer than -k 5"),
    ("fit short.csv -k 1", "short.csv: line 3 has 1 column, not 2"),
    ("fit long.csv -k 1", "long.csv: line 4 has 3 columns, not 2"),
    ("fit title.csv -k 1", "title.csv: line 2 has 2 columns, not 1"),
    ("fit footer.csv -k 1", "footer.csv: line 4 has 1 column, not 2"),
    ("fit comment.csv -k 1", "comment.csv: line 3 has 1 column, not 2"),
    ("fit quote.csv -k 1", "quote.csv: line 3: field larger than field limit (131072); is a quotation mark missing?"),
    # values
    ("fit word.csv -k 1", f"word.csv: line 4, column 2 (b): 'x y' {NOT_A_NUMBER}"),
    ("fit words.csv -k 1", f"words.csv: line 1, column 2 (x2): 'setosa' {NOT_A_NUMBER}{HEADER}"),
    ("fit id.csv -k 1", f"id.csv: line 2, column 1 (id): '1_1' {NOT_A_NUMBER}"),
    ("fit thousands.csv -k 1", f"thousands.csv: line 2, column 1 (a): '1.000,5' {NOT_A_NUMBER}"),
    ("fit currency.csv -k 1", f"currency.csv: line 2, column 1 (a): '$1' {NOT_A_NUMBER}"),
    ("fit units.csv -k 1", f"units.csv: line 2, column 1 (a): 'cm' {NOT_A_NUMBER}"),
    (
        "fit colons.csv -k 1",
        "colons.csv: line 2, column 1 (a:b): '1:2' is not a number; is another --delimiter needed?",
    ),
    (
        "fit missing.csv -k 1",
        f"missing.csv: 3 missing or infinite values, the first in line 2, column 2 (b); {MISSING}",
    ),
    (
        "fit infinite.csv -k 1",
        f"infinite.csv: 2 missing or infinite values, the first in line 3, column 2 (b); {UNUSABLE}",
    ),
    ("fit first.csv -k 1", f"first.csv: 1 missing or infinite value, the first in line 1, column 1 (x1); {MISSING}"),
    (
        "fit missing.npy -k 1",
        f"missing.npy: 2 missing or infinite values, the first in row 2, column 1 (x1); {MISSING}",
    ),
    (
        "fit missing.parquet -k 1",
        f"missing.parquet: 2 missing or infinite values, the first in row 2, column 1 (a); {MISSING}",
    ),
    (
        "fit infinite.csv -k 1 --missing em",
        f"infinite.csv: 2 infinite values, the first in line 3, column 2 (b); {INFINITE}",
    ),
    (
        "fit missing.npy -k 1 --missing em",
        f"missing.npy: 1 infinite value, the first in row 4, column 2 (x2); {INFINITE}",
    ),
    (
        "fit missing.csv -k 1 --columns a --weights b --missing em",
        f"missing.csv: 2 missing or infinite values, the first in line 2, column 2 (b); {UNUSABLE}",
    ),
    ("fit none.csv -k 1 --columns a --weights b --missing em", "none.csv: 2 missing or infinite values, …(b); …"),
    ("fit hollow.csv -k 1 --missing em", "hollow.csv: column 'b' has no values; leave it out with --columns"),
    ("select hollow.csv -k 1 --missing em", "hollow.csv: column 'b' has no values; leave it out with --columns"),
    (
        "select missing.parquet -k 1",
        f"missing.parquet: 2 missing or infinite values, the first in row 2, column 1 (a); {MISSING}",
    ),
    (
        "fit missing.parquet -k 1 --columns b",
        f"missing.parquet: 1 missing or infinite value, the first in row 4, column 2 (b); {UNUSABLE}",
    ),
    ("fit same.csv -k 2 --reg-covar 0", f"same.csv: Fitting the mixture model failed because {COLLAPSED}"),
    (
        "select same.csv -k 2 --covariance full --reg-covar 0",
        "same.csv: no combination could be fitted. The reason for the last: …",
    ),
    # columns
    ("fit good.csv -k 1 --columns c", "good.csv: no column 'c' among its 2 columns (a, b)"),
    ("fit good.csv -k 1 --columns 3", "good.csv: no column '3' among its 2 columns (a, b)"),
    ("fit twice.csv -k 1 --columns b", "twice.csv: 2 columns are called 'b'; give the number of one"),
    ("fit good.csv -k 1 --columns a,a", "--columns should name one or more columns, each once, got 'a,a'"),
    (
        "fit mixed.parquet -k 1 --columns word",
        "mixed.parquet, row group 0, …: column 'word' is of type …, not a number",
    ),
    (
        "fit good.csv -k 1 --columns a,b --labels b",
        "good.csv: column 2 (b) is in --columns, but also in --weights, --labels or --id",
    ),
    ("fit good.csv -k 1 --labels a --weights b", "good.csv: no column is left for the features"),
    # labels and weights
    ("fit good.csv -k 1 --labels c", "good.csv: no column 'c' among its 2 columns (a, b)"),
    ("fit labels.csv -k 2 --labels b", "labels.csv: column 2 (b) has 3 different labels (u, v, w), more than -k 2"),
    ("fit none.csv -k 1 --labels b", "none.csv: column 2 (b) has no labels: all values are missing or -1"),
    ("fit gap.csv -k 3 --labels b", "gap.csv: labels give component 1 no point, …"),
    (
        "fit weights.csv -k 1 --weights w",
        "weights.csv: column 2 (w): 2 weights are negative or missing, the first in row 2",
    ),
    ("fit zeros.csv -k 1 --weights w", "zeros.csv: column 2 (w): all weights are 0"),
    ("fit wordy.csv -k 1 --weights w", f"wordy.csv: line 3, column 2 (w): 'heavy' {NOT_A_NUMBER}"),
    (
        "fit missing.csv -k 1 --weights b",
        f"missing.csv: 3 missing or infinite values, the first in line 2, column 2 (b); {MISSING}",
    ),
    (
        "fit missing.npy -k 1 --weights 2",
        "missing.npy: column 2 (x2): 1 weight is negative or missing, the first in row 4",
    ),
    (
        "fit mixed.parquet -k 1 --weights word",
        "mixed.parquet, row group 0, …: column 'word' is of type …, not a number",
    ),
    (
        "select weights.csv -k 1 --weights w",
        "weights.csv: column 2 (w): 2 weights are negative or missing, the first in row 2",
    ),
    ("score nameless.npz weights.csv --columns a,a", "--columns should name one or more columns, each once, got 'a,a'"),
    # outputs
    ("fit good.csv -k 1 --save no/such/m.npz", "no/such/m.npz: can't be written (No such file or directory)"),
    ("fit good.csv -k 1 --save folder.npz", "folder.npz: is a directory"),
    ("fit good.csv -k 1 --save good.csv", "good.csv: would overwrite the input"),
    ("fit good.csv -k 1 --save /dev/null", "/dev/null: is not a regular file, so a model can't replace it"),
    ("fit good.csv -k 1 --assign ./good.csv", "./good.csv: would overwrite the input"),
    ("fit good.csv -k 1 --assign folder", "folder: is a directory"),
    ("fit good.csv -k 1 --assign /dev/full", "/dev/full: can't be written (No space left on device)"),
    ("fit good.csv -k 1 --save x --assign ./x", "--save and --assign name the same file, ./x"),
    (
        "fit good.csv -k 1 --assign - --json",
        "--assign - and --json would both write to standard output; give --assign a file name",
    ),
    ("fit good.csv -k 1 --plot fit.bmp", "--plot: fit.bmp should end in .png, .pdf or .svg"),
    ("fit good.csv -k 1 --animate film.png", "--animate: film.png should end in .gif or .mp4"),
    ("predict nameless.npz good.csv -o model.npz/x.csv", "model.npz/x.csv: can't be written (Not a directory)"),
    ("predict nameless.npz good.csv -o ./good.csv", "./good.csv: would overwrite the input"),
    ("predict nameless.npz good.csv -o nameless.npz", "nameless.npz: would overwrite the input"),
    ("predict nameless.npz good.csv -o /dev/full", "/dev/full: can't be written (No space left on device)"),
    ("sample model.npz -o model.npz", "model.npz: would overwrite the input"),
    ("plot nameless.npz good.csv -o fit.bmp", "--out: fit.bmp should end in .png, .pdf or .svg"),
    # models
    ("predict absent.npz good.csv", "absent.npz: No such file or directory"),
    ("predict good.csv good.csv", "good.csv: is a table, not a model; MODEL, which fit --save wrote, comes first"),
    ("predict folder good.csv", "folder: is a directory, not a model"),
    ("info text.npz", "text.npz: can't be read as a model (File is not a zip file)"),
    ("info cut.npz", "cut.npz: can't be read as a model (File is not a zip file)"),
    ("info flipped.npz", "flipped.npz: can't be read as a model (Bad CRC-32 for file 'header.npy')"),
    ("sample absent.npz", "absent.npz: No such file or directory"),
    ("predict model.npz absent.csv", "absent.csv: No such file or directory"),
    (
        "predict model.npz good.csv",
        "good.csv: no column 'eruptions', a feature of model.npz; choose columns with --columns",
    ),
    (
        "score model.npz good.csv",
        "good.csv: no column 'eruptions', a feature of model.npz; choose columns with --columns",
    ),
    (
        "plot model.npz good.csv",
        "good.csv: no column 'eruptions', a feature of model.npz; choose columns with --columns",
    ),
    (
        "predict nameless.npz twice.csv",
        "twice.csv: 3 columns, but nameless.npz has 2 features; choose columns with --columns",
    ),
    (
        "predict model.npz good.csv --columns a",
        "good.csv: 1 column, but model.npz has 2 features; choose columns with --columns",
    ),
    ("predict nameless.npz word.csv -o old.csv", f"word.csv: line 4, column 2 (b): 'x y' {NOT_A_NUMBER}"),
    (
        "predict nameless.npz missing.npy -o old.csv",
        f"missing.npy: 2 missing or infinite values, the first in row 2, column 1 (x1); {MISSING}",
    ),
    (
        "score nameless.npz missing.parquet",
        f"missing.parquet: 2 missing or infinite values, the first in row 2, column 1 (a); {MISSING}",
    ),
    (
        "plot nameless.npz missing.parquet -o fit.png",
        f"missing.parquet: 2 missing or infinite values, the first in row 2, column 1 (a); {MISSING}",
    ),
    ("impute nameless.npz missing.npy -o old.csv", f"missing.npy: 1 infinite value, the first in row 4, …; {INFINITE}"),
    ("impute nameless.npz infinite.csv -o old.csv", f"infinite.csv: 2 infinite values, …; {INFINITE}"),
    ("impute nameless.npz missing.parquet", f"missing.parquet: 1 infinite value, the first in row 4, …; {INFINITE}"),
    ("impute nameless.npz word.csv -o old.csv", f"word.csv: line 4, column 2 (b): 'x y' {NOT_A_NUMBER}"),
    ("impute nameless.npz good.csv -o good.csv", "good.csv: would overwrite the input"),
    ("impute model.npz good.csv", "good.csv: no column 'eruptions', a feature of model.npz; …"),
    ("impute nameless.npz good.csv --draws 2 --std", "--draws and --std exclude each other: …"),
    ("impute nameless.npz good.csv -o old.npy", "old.npy: the filled table is written as text; give it a name such …"),
    ("impute nameless.npz good.csv --draws 0", "Invalid value for '--draws': should be 1 or more, got 0; …"),
    ("plot model.npz -o fit.png", "--kind mixture needs a FILE of points"),
    # usage; typer words some of these
    ("fit", "Missing argument 'FILE'…; fastem fit --help says more"),
    ("fit good.csv", "Missing option '--components' / '-k'…; fastem fit --help says more"),
    (
        "fit good.csv -k 0",
        "Invalid value for '--components' / '-k': should be 1 or more, got 0; fastem fit --help says more",
    ),
    (
        "fit good.csv -k 1 --prior nix",
        "Invalid value for '--prior': should be default, or like shrinkage=0.1 or …, got 'nix'; …",
    ),
    (
        "select good.csv -k 1 --prior shrinkage=much",
        "Invalid value for '--prior': should be default, or …, got 'shrinkage=much'; …",
    ),
    (
        "fit good.csv -k 1 --shrinkage 1.5",
        "Invalid value for '--shrinkage': should be oas, ledoit-wolf or a number from 0 to 1, got '1.5'; …",
    ),
    (
        "select good.csv -k 1 --shrinkage lw",
        "Invalid value for '--shrinkage': should be oas, ledoit-wolf or a number from 0 to 1, got 'lw'; …",
    ),
    ("fit good.csv -k 1 --prior default --shrinkage 0.1", "good.csv: prior and shrinkage both regularise …"),
    ("fit good.csv -k 1 --prior shrinkage=-1", "good.csv: prior: shrinkage should be a number of 0 or more, …"),
    ("plot nameless.npz good.csv --weights c", "good.csv: no column 'c' among its 2 columns (a, b)"),
    ("fit good.csv -k two", "Invalid value for '--components' / '-k': …; fastem fit --help says more"),
    ("fit good.csv -k 1 --tol -1", "Invalid value for '--tol': should be finite and 0 or more, got -1.0; fastem fit …"),
    (
        "fit good.csv -k 1 --reg-covar nan",
        "Invalid value for '--reg-covar': should be finite and 0 or more, got nan; …",
    ),
    ("fit good.csv -k 1 --tol inf", "Invalid value for '--tol': should be finite and 0 or more, got inf; fastem fit …"),
    ("fit good.csv -k 1 --max-iter 0", "Invalid value for '--max-iter': should be 1 or more, got 0; fastem fit …"),
    ("fit good.csv -k 1 --seed -1", "Invalid value for '--seed': should be between 0 and 4294967295, got -1; …"),
    ("fit good.csv -k 1 --seed 4294967296", "Invalid value for '--seed': should be between 0 and 4294967295, got 4…"),
    ("fit good.csv -k 1 --threads 0", "Invalid value for '--threads': should be 1 or more, got 0; fastem fit …"),
    (
        "fit good.csv -k 1 --covariance round",
        "Invalid value for '--covariance': …'round' …; fastem fit --help says more",
    ),
    ("fit good.csv -k 1 --init luck", "Invalid value for '--init': …'luck' …; fastem fit --help says more"),
    (
        "fit good.csv -k 1 --delimiter ab",
        "Invalid value for '--delimiter': should be one character, or \\t for a tab, got 'ab'; fastem fit …",
    ),
    ("fit good.csv -k 1 --delimiter ''", "Invalid value for '--delimiter': should be one character, …, got ''; …"),
    ("fit good.csv -k 1 --columnz a", "No such option: --columnz…; fastem fit --help says more"),
    ("fit good.csv more.csv -k 1", "Got unexpected extra argument… (more.csv); fastem fit --help says more"),
    ("fot good.csv", "No such command 'fot'…? fastem --help says more"),
    (
        "sample model.npz -n 0",
        "Invalid value for '--number' / '-n': should be 1 or more, got 0; fastem sample --help …",
    ),
    ("select good.csv -k 2-1", "Invalid value for '--components' / '-k': should be like 1-9 or 2,4,8, got '2-1'; …"),
    ("select good.csv -k one", "Invalid value for '--components' / '-k': should be like 1-9 or 2,4,8, got 'one'; …"),
    ("select good.csv -k 0-2", "Invalid value for '--components' / '-k': should be like 1-9 or 2,4,8, got '0-2'; …"),
    ("select good.csv -k 1-", "Invalid value for '--components' / '-k': should be like 1-9 or 2,4,8, got '1-'; …"),
    ("select good.csv -k 1,,2", "Invalid value for '--components' / '-k': should be like 1-9 or 2,4,8, got '1,,2'; …"),
    ("select absent.csv -k 2:3", "Invalid value for '--components' / '-k': should be like 1-9 or 2,4,8, got '2:3'; …"),
    (
        "select good.csv --covariance full,round",
        "Invalid value for '--covariance': 'round' is not a covariance type; choose from full, tied, …",
    ),
    ("select good.csv --criterion dic", "Invalid value for '--criterion': …'dic' …; fastem select --help says more"),
    (
        "warm-up fuII",
        f"Invalid value for 'TYPE': 'fuII' is not a covariance type; choose from {', '.join(FAMILIES)}; …",
    ),
]


def contents(folder="."):
    """What all files hold."""
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


@pytest.mark.parametrize(("command", "message"), FAULTS, ids=[command for command, _ in FAULTS])
def test_a_fault_is_one_line_and_touches_no_file(files, capsys, command, message):
    argv = shlex.split(command)
    if argv[0] in ("fit", "select") and "--save" not in argv and "--assign" not in argv and len(argv) > 2:
        argv += ["--save", "old.npz", "--assign", "old.csv", "--plot", "fit.png"][: 4 if "--plot" in argv else 6]
    before = contents()
    code = cli.main(argv)
    out, err = capsys.readouterr()
    assert (code, out) == (2, "")
    pattern = ".*".join(re.escape(part) for part in f"fastem: error: {message}\n".split("…"))
    assert re.fullmatch(pattern, err), err
    assert contents() == before


@pytest.mark.parametrize("name", ["standard input", "pipe"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "the file is empty"),
        (b"a,b\n1,2\n3,x\n", f"line 3, column 2 (b): 'x' {NOT_A_NUMBER}"),
        (b"1,2\n3,4\n", "2 rows, fewer than -k 3"),
        (b"1,2\n1,2\n1,2\n1,2\n", "Fitting the mixture model failed …"),
    ],
)
def test_faults_of_a_stream(capsys, monkeypatch, content, message, name):
    if name == "pipe":
        os.mkfifo("pipe")
        thread = threading.Thread(target=Path("pipe").write_bytes, args=(content,))
        thread.start()
    else:
        from_stdin(monkeypatch, content)
    code = cli.main(["fit", "pipe" if name == "pipe" else "-", "-k", "3", "--reg-covar", "0"])
    if name == "pipe":
        thread.join()
    assert code == 2
    pattern = ".*".join(re.escape(part) for part in f"fastem: error: {name}: {message}\n".split("…"))
    assert re.fullmatch(pattern, capsys.readouterr().err)


def test_standard_streams_that_are_closed(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert cli.main(["fit", "-", "-k", "1"]) == 2
    assert capsys.readouterr().err == "fastem: error: standard input: is closed\n"
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", None)
        assert cli.main(["fit", "faithful", "-k", "1", "--assign", "labels.csv"]) == 0
        sys.stdout.close()
    assert len(Path("labels.csv").read_text()) > 272


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_permissions(files, capsys):
    for name in ("good.csv", "old.csv"):
        os.chmod(name, 0)
    assert cli.main(["fit", "good.csv", "-k", "1"]) == 2
    assert capsys.readouterr().err == "fastem: error: good.csv: Permission denied\n"
    assert cli.main(["fit", "one.csv", "-k", "1", "--assign", "old.csv"]) == 2
    assert capsys.readouterr().err == "fastem: error: old.csv: is write-protected\n"


@pytest.mark.parametrize(
    ("failure", "code", "message"),
    [
        (KeyboardInterrupt, 130, "fastem: interrupted\n"),
        (ValueError("no\n  good"), 2, "fastem: error: faithful: no good\n"),
        (MemoryError, 2, "fastem: error: MemoryError\n"),
    ],
)
def test_a_failure_leaves_earlier_outputs_alone(capsys, monkeypatch, failure, code, message):
    def fit(*args, **kwargs):
        raise failure

    monkeypatch.setattr(fastem.GaussianMixture, "fit", fit)
    Path("labels.csv").write_text("old")
    assert cli.main(shlex.split("fit faithful -k 2 --assign labels.csv --save model.npz --plot fit.png")) == code
    assert contents() == {Path("labels.csv"): b"old"}
    assert capsys.readouterr() == ("", message)


def test_nothing_is_saved_unless_everything_can_be(capsys, monkeypatch):
    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastem.cli.fitting.write_rows", full_disk)
    assert cli.main(shlex.split("fit faithful -k 1 --save model.npz --assign labels.csv --plot fit.png")) == 2
    assert capsys.readouterr() == ("", "fastem: error: labels.csv: can't be written (No space left on device)\n")
    assert os.listdir() == []


def interrupted_after(function):
    """The function, and Ctrl-C before its caller goes on."""

    def interrupted(*args):
        function(*args)
        raise KeyboardInterrupt

    return interrupted


def test_an_interrupt_once_the_file_is_made_leaves_none(monkeypatch):
    touch = interrupted_after(lambda path, mode: Path(path).touch())
    monkeypatch.setattr(outputs, "open", touch, raising=False)
    with pytest.raises(KeyboardInterrupt), outputs.replacing("out.csv"):
        pass
    assert os.listdir() == []


def test_an_interrupt_once_the_file_is_in_its_place_is_one(monkeypatch):
    monkeypatch.setattr(os, "replace", interrupted_after(os.replace))
    with pytest.raises(KeyboardInterrupt), outputs.replacing("out.csv") as partial:
        Path(partial).write_text("new")
    assert contents() == {Path("out.csv"): b"new"}


# -- what only a process of its own can meet --------------------------------------------------------------------------


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of 32 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"can't mount a small disk here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_full_disk(files, small_disk, capsys, monkeypatch):
    X = np.random.default_rng(0).normal(size=(40_000, 2))
    pd.DataFrame(X, columns=["eruptions", "waiting"]).to_csv("big.csv", index=False)
    (small_disk / "old.csv").write_text("old")
    full = "can't be written (No space left on device)"
    for line, name in (
        ("predict model.npz big.csv -o disk/old.csv", "old.csv"),
        ("fit big.csv -k 2 --save disk/m.npz --assign disk/old.csv", "old.csv"),
        ("fit big.csv -k 9 --covariance full --save disk/m.npz --assign disk/old.csv --plot disk/fit.png", "…"),
        ("sample model.npz -n 20000 -o disk/s.csv", "s.csv"),
        ("plot model.npz good.csv --columns a,b -o disk/fit.svg", "fit.svg"),
    ):
        assert cli.main(shlex.split(line)) == 2
        out, err = capsys.readouterr()
        expected = f"fastem: error: disk/{name.replace('…', '.*')}: {re.escape(full)}\n"
        assert out == "" and re.fullmatch(rf"(fastem: note: iterations stopped.*\n)?{expected}", err), err
        assert contents(small_disk) == {small_disk / "old.csv": b"old"}
    monkeypatch.setattr(tables, "_IN_MEMORY", 1000)
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    assert cli.main(["fit", "big.csv", "-k", "2"]) == 2
    message = (
        f"fastem: error: {small_disk}: No space left on device; set TMPDIR to another folder for temporary files\n"
    )
    assert capsys.readouterr().err == message


@exhaustive
def test_standard_output_that_is_full(files):
    commands = "predict model.npz good.csv --columns a,b", "fit good.csv -k 1 --json"
    with open("/dev/full", "wb") as full:
        processes = [
            subprocess.Popen([*FASTEM, *shlex.split(command)], stdout=full, stderr=subprocess.PIPE, env=ENVIRONMENT)
            for command in commands
        ]
    for process in processes:
        assert process.communicate()[1] == b"fastem: error: standard output: No space left on device\n"
        assert process.returncode == 2


@exhaustive
def test_files_that_may_not_grow(files):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    X = np.random.default_rng(0).normal(size=(4000, 2))
    X[::2] += 9
    np.save("big.npy", X)
    before = contents()
    line = "fit big.npy -k 2 --save old.npz --assign old.csv"
    done = subprocess.run(
        [*FASTEM, *shlex.split(line)], preexec_fn=limit, capture_output=True, text=True, env=ENVIRONMENT
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "fastem: error: old.npz: can't be written (File too large)\n"
    assert contents() == before


@exhaustive
def test_a_pipe_that_nobody_reads_any_more(files):
    X = np.random.default_rng(0).normal(size=(100_000, 2))
    np.save("big.npy", X)
    script = f"""
fastem() {{ {shlex.join(FASTEM)} "$@"; }}
fastem predict nameless.npz big.npy | head -n 1
echo ${{PIPESTATUS[@]}}
fastem sample model.npz -n 100000 | head -n 1
echo ${{PIPESTATUS[@]}}
"""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert (done.stdout, done.stderr) == ("label\n141 0\neruptions,waiting\n141 0\n", "")


READING = "fit - -k 2 --save old.npz --assign old.csv --plot fit.png"
FITTING = "fit big.npy -k 30 --tol 0 --max-iter 100000 --save old.npz --assign old.csv"
INTERRUPTED = signal.SIGINT, 130, b"fastem: interrupted\n"
TERMINATED = signal.SIGTERM, 143, b""


@exhaustive
@pytest.mark.parametrize(
    ("line", "how"),
    [
        (READING, INTERRUPTED),
        ("predict nameless.npz - -o old.csv", INTERRUPTED),
        (FITTING, INTERRUPTED),
        (READING, TERMINATED),
        (FITTING, TERMINATED),
    ],
)
def test_a_signal_leaves_nothing_half_written(files, line, how):
    number, code, message = how
    np.save("big.npy", np.random.default_rng(0).normal(size=(100_000, 4)))
    before = contents()
    process = subprocess.Popen(
        [*FASTEM, *shlex.split(line)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )
    if " - " in line:
        process.stdin.write(b"1.5,2\n2.5,3\n" * 100_000)
        process.stdin.flush()
    deadline = time.monotonic() + 600
    while not list(Path().glob(".*.partial*")):  # which it makes before it reads
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(number)
    out, err = process.communicate(timeout=600)
    assert (process.returncode, out, err) == (code, b"", message)
    assert contents() == before
