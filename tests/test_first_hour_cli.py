"""What a stranger meets on the command line: columns to leave out, rows to drop, names of what was written, words."""

import csv
import io
import itertools
import json
import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import fastem
from fastem import cli
from fastem.cli import fitting, reporting
from fastem.cli.app import app

from .grids import grid
from .test_cli import on_screen, terminal

pq = pytest.importorskip("pyarrow.parquet")
RNG = np.random.default_rng(0)
N = 90
KIND = np.repeat(["auk", "bee", "cow"], N // 3)
X = RNG.normal(size=(N, 2)) + 8 * np.repeat([0, 1, 2], N // 3)[:, None]
TABLE = pd.DataFrame(
    {
        "code": [f"P{i:03d}" for i in RNG.permutation(N)],
        "day": pd.date_range("2024-01-01", periods=N).astype(str),
        "length": X[:, 0],
        "width": X[:, 1],
        "kind": KIND,
    }
)
FEATURES = ["length", "width"]


@pytest.fixture(autouse=True)
def in_a_folder_with_tables(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    TABLE.to_csv("table.csv", index=False)
    holes = TABLE.copy()
    holes.loc[[3, 40], "width"] = np.nan
    holes.to_csv("holes.csv", index=False)
    holes.to_parquet("holes.parquet")


def run(capsys, line, code=0):
    """(what a line printed, what it noted)."""
    assert cli.main(shlex.split(line)) == code
    return capsys.readouterr()


def rows(text):
    return list(csv.reader(io.StringIO(text)))


# -- columns and rows -------------------------------------------------------------------------------------------------


def test_a_column_of_text_is_named_and_so_are_those_of_numbers(capsys):
    _, err = run(capsys, "fit table.csv -k 3", 2)
    assert "line 2, column 1 (code): 'P" in err or "line 2, column 2 (day): '2024-01-01' is not a number" in err
    assert err.rstrip().endswith("leave some out with --exclude day,kind; numeric columns are 3, 4")
    run(capsys, "fit table.csv -k 3 -q --exclude day,kind")  # the advice works


@pytest.mark.parametrize(
    ("head", "advised"),
    [
        ("kind of bird,day", "'kind of bird,day'"),
        ("a,a", "2,3"),
        ("first-name,day", "2,day"),
        ('"a,b",day', "2,day"),
    ],
)
def test_the_columns_advised_are_named_so_that_the_shell_takes_them(capsys, head, advised):
    Path("text.csv").write_text(f"length,{head},width\n" + "".join(f"{i * i}.5,u{i % 3},v,{i}.2\n" for i in range(9)))
    _, err = run(capsys, "fit text.csv -k 1", 2)
    assert f"leave some out with --exclude {advised}; numeric columns are 1, 4" in err
    run(capsys, f"fit text.csv -k 1 -q --exclude {advised}")


@pytest.mark.parametrize(
    ("name", "values", "is_noted"),
    [
        ("customer_id", range(1000, 1000 + 7 * N, 7), True),
        ("CustomerID", range(1000, 1000 + 7 * N, 7), True),
        ("id", RNG.permutation(N) + 500, True),
        ("humidity", range(1000, 1000 + 7 * N, 7), False),
        ("customer_id", [5] * N, False),  # repeats
        ("customer_id", np.arange(N) + 0.5, False),  # no whole numbers
    ],
)
def test_numbers_that_identify_the_rows_are_noted(capsys, name, values, is_noted):
    table = TABLE[FEATURES].copy()
    table.insert(1, name, list(values))
    table.to_csv("ids.csv", index=False)
    _, err = run(capsys, "fit ids.csv -k 1 -q")
    said = f"'{name}' has another number in each row, but is used as a feature; --exclude 2 leaves it out"
    assert (said in err) == is_noted
    assert said not in run(capsys, "fit ids.csv -k 1 -q --exclude 2").err


def test_seconds_of_compiling_are_told_apart(capsys, monkeypatch):
    times = iter([10.0, 12.5])
    monkeypatch.setattr(fitting, "seconds_of_compiling", lambda: next(times))
    clock = itertools.count(0, 3)
    monkeypatch.setattr(fitting.time, "perf_counter", lambda: next(clock))
    out, _ = run(capsys, "fit table.csv -k 1 --columns 3-4")
    assert re.search(r"seconds +[\d.]+, of which 2.5 for compiling kernels, once on this machine\n", out)
    monkeypatch.undo()
    result = json.loads(run(capsys, "fit faithful -k 1 --json").out)
    assert 0 <= result["seconds_compiling"] < 0.5  # the kernels are there


@pytest.mark.parametrize("command", ["", *(each.name or each.callback.__name__ for each in app.registered_commands)])
def test_flags_stand_in_the_help_without_a_type(capsys, command):
    out, _ = run(capsys, f"{command} --help")
    flags = [line for line in out.splitlines() if re.search(r"--(help|quiet|json|drop-missing|proba|version)\b", line)]
    assert flags and not any("bool" in line for line in flags)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fit table.csv -k 3-5", "should be a whole number, got '3-5'; fastem select tries several"),
        ("fits table.csv", "fastem: error: No such command 'fits'; did you mean 'fit'? fastem --help says more"),
        ("fit faithful -k 2 --factors 1", "--factors is for --covariance factors: other covariances have none"),
        ("select faithful -k 2 --factors 1-2", "--factors is for --covariance factors: other covariances have none"),
        ("fit faithful -k 2 --save model.pkl", "--save writes a model, but model.pkl is no name of one"),
        ("fit faithful -k 2 --save model.joblib", "--save writes a model, but model.joblib is no name of one"),
    ],
)
def test_a_slip_of_usage_says_what_to_write_instead(capsys, line, said):
    assert said in run(capsys, line, 2).err
    assert not list(Path().glob("model.*"))


@pytest.mark.parametrize("excluded", ["code,day,kind", "1,2,5", "1-2,kind"])
def test_exclude(capsys, excluded):
    out, err = run(capsys, f"fit table.csv -k 3 --exclude {excluded} --json")
    assert json.loads(out)["feature_names"] == FEATURES and err == ""
    out, _ = run(capsys, f"fit table.csv -k 3 --columns length,width,kind --exclude {excluded} --json")
    assert json.loads(out)["feature_names"] == FEATURES


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fit table.csv -k 2 --exclude size", "table.csv: no column 'size' among its 5 columns"),
        ("fit table.csv -k 2 --exclude 7-9", "table.csv: --exclude 7-9: the table has 5 columns, numbered from 1"),
        ("fit table.csv -k 2 --exclude code,code", "--exclude should name one or more columns, each once"),
        ("fit table.csv -k 2 --exclude 1-5", "table.csv: no column is left for the features"),
        ("fit table.csv -k 2 --columns 3 --exclude 3", "table.csv: no column is left for the features"),
        ("fit table.csv -k 2 --id code --exclude day,kind", "--id names a column that goes into the file of --assign"),
        ("fit table.csv -k 2 --id size --assign l.csv", "table.csv: no column 'size'"),
        ("fit table.csv -k 2 --columns 3-4 --id length --assign l.csv", "is in --columns, but also in --weights"),
        ("fit table.csv -k 2 --columns 3-4 --drop-missing --missing em", "--drop-missing and --missing em exclude"),
    ],
)
def test_faults(capsys, line, said):
    out, err = run(capsys, line, 2)
    assert out == "" and err.startswith("fastem: error: ") and said in err and err.count("\n") == 1
    assert not Path("l.csv").exists()


def test_an_id_goes_beside_the_labels(capsys):
    run(capsys, "fit table.csv -k 3 --exclude day --labels kind --id code --assign labels.csv --save model.npz -q")
    head, *labels = rows(Path("labels.csv").read_text())
    assert head == ["code", "label"] and labels == [list(pair) for pair in zip(TABLE["code"], KIND, strict=True)]
    out, _ = run(capsys, "predict model.npz table.csv --id code --proba")
    head, *labels = rows(out)
    assert head == ["code", "label", "p_auk", "p_bee", "p_cow"]
    assert [row[:2] for row in labels] == [list(pair) for pair in zip(TABLE["code"], KIND, strict=True)]
    _, err = run(capsys, "predict model.npz table.csv --id width", 2)
    assert "--id width is a feature of model.npz" in err


@grid("table", ["holes.csv", "holes.parquet", "holes.npy", "blanks.txt"], quick=["holes.csv", "holes.parquet"])
def test_rows_that_lack_a_value_are_dropped_and_keep_their_place(capsys, table):
    holes = pd.read_csv("holes.csv")
    columns, ids = "length,width", "--id code"
    if table == "holes.npy":
        np.save(table, holes[FEATURES].assign(row=np.arange(N)).to_numpy())
        columns, ids = "1-2", "--id 3"
    if table == "blanks.txt":
        holes.to_csv(table, sep=" ", index=False, na_rep="NA")
    line = f"fit {table} -k 3 --columns {columns} --drop-missing --save model.npz --assign labels.csv {ids} --json"
    out, err = run(capsys, line)
    assert err == f"fastem: note: {table}: 2 rows lack a value and are left out\n"
    result, kept = json.loads(out), holes[FEATURES].dropna()
    assert result["n_samples"] == N - 2
    model = fastem.GaussianMixture(3, random_state=0).fit(kept)
    assert result["log_likelihood"] == pytest.approx(model.score(kept) * (N - 2), rel=1e-9)
    _, *labels = rows(Path("labels.csv").read_text())
    assert [label for _, label in labels if label] == [str(k) for k in model.predict(kept)]
    assert [i for i, (_, label) in enumerate(labels) if not label] == [3, 40]
    if table == "holes.npy":
        assert [float(row) for row, _ in labels] == list(range(N))
    else:
        assert [code for code, _ in labels] == holes["code"].tolist()
    out, err = run(capsys, f"predict model.npz {table} --columns {columns} --drop-missing --density")
    assert [i for i, row in enumerate(rows(out)[1:]) if row == ["", ""]] == [3, 40]
    assert "the labels of 2 rows that lack a value are empty" in err
    out, _ = run(capsys, f"score model.npz {table} --columns {columns} --drop-missing --json")
    assert json.loads(out)["log_likelihood"] == pytest.approx(result["log_likelihood"], rel=1e-9)


def test_weights_and_groups_are_dropped_with_their_rows(capsys):
    holes = pd.read_csv("holes.csv").assign(n=np.arange(N) % 5)
    holes.to_csv("weighted.csv", index=False)
    line = "fit weighted.csv -k 3 --columns 3-4 --labels kind --weights n --drop-missing --json"
    result, kept = json.loads(run(capsys, line).out), holes.dropna()
    model = fastem.GaussianMixture(3).fit(kept[FEATURES], labels=kept["kind"], sample_weight=kept["n"])
    np.testing.assert_allclose(result["means"], model.means_)
    assert result["sum_of_weights"] == kept["n"].sum() and list(result["labels"].values()) == ["auk", "bee", "cow"]


def test_a_table_of_incomplete_rows_alone(capsys):
    Path("gaps.csv").write_text("a,b\n1,\n,2\n,3\n")
    _, err = run(capsys, "fit gaps.csv -k 1 --drop-missing", 2)
    assert "gaps.csv: every row lacks a value of a feature, so --drop-missing leaves none" in err


# -- files ------------------------------------------------------------------------------------------------------------


def test_what_was_written_is_named(capsys):
    line = "fit table.csv -k 3 --columns 3-4 --save model.npz --assign labels.csv --plot fit.svg"
    assert "wrote           model.npz, labels.csv, fit.svg\n" in run(capsys, line).out
    files = json.loads(run(capsys, f"{line} --json").out)["files"]
    assert files == {"save": "model.npz", "assign": "labels.csv", "plot": "fit.svg"}
    assert "wrote" not in run(capsys, "fit table.csv -k 3 --columns 3-4").out
    assert run(capsys, f"{line} -q").out == ""
    for line, name in (
        ("predict model.npz table.csv", "l.csv"),
        ("sample model.npz", "s.csv"),
        ("impute model.npz holes.csv", "full.csv"),
        ("plot model.npz table.csv", "p.png"),
    ):
        assert run(capsys, f"{line} -o {name}").out == f"wrote {name}\n"
        assert Path(name).exists()


def test_a_picture_without_a_name_replaces_none(capsys):
    run(capsys, "fit table.csv -k 3 --columns 3-4 --save model.npz -q")
    Path("fit.png").write_text("mine")
    assert run(capsys, "plot model.npz table.csv").out == "wrote fit-2.png\n"
    assert run(capsys, "plot model.npz table.csv").out == "wrote fit-3.png\n"
    assert Path("fit.png").read_text() == "mine"
    assert run(capsys, "plot model.npz table.csv -o fit.png").out == "wrote fit.png\n"  # its name was given
    assert Path("fit.png").read_bytes()[1:4] == b"PNG"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "fit table.csv -k 3 --columns 3-4 --assign m.npz",
            "--assign writes text, but m.npz is no name of a text file",
        ),
        ("select table.csv -k 1-2 --columns 3-4 --assign m.PNG", "--assign writes text, but m.PNG is no name"),
        ("fit table.csv -k 3 --columns 3-4 --save m.csv", "--save writes a model, but m.csv is no name of one"),
        ("sample model.npz -o m.parquet", "--out writes text, but m.parquet is no name of a text file"),
        ("predict model.npz table.csv -o m.csv.gz", "--out writes text, but m.csv.gz is no name of a text file"),
        (
            "predict table.csv model.npz",
            "table.csv: is a table, not a model; MODEL, which fit --save wrote, comes first",
        ),
    ],
)
def test_names_of_other_kinds_are_refused(capsys, line, said):
    run(capsys, "fit table.csv -k 3 --columns 3-4 --save model.npz -q")
    out, err = run(capsys, line, 2)
    assert out == "" and said in err
    assert not list(Path().glob("[.m]*.[cpPg]*"))


def test_words_of_the_command_line_are_words_in_python(capsys):
    run(capsys, "fit table.csv -k 3 --columns 3-4 --labels kind --save model.npz -q")
    model = fastem.load("model.npz")
    assert model.classes_.tolist() == ["auk", "bee", "cow"]
    assert (model.predict(TABLE[FEATURES]) == KIND).all()
    model = fastem.GaussianMixture(3).fit(TABLE[FEATURES], labels=KIND)
    model.save("other.npz")
    assert rows(run(capsys, "predict other.npz table.csv").out)[1:] == [[word] for word in KIND]


# -- words ------------------------------------------------------------------------------------------------------------


def test_version(capsys):
    assert run(capsys, "--version").out == f"fastem {fastem.__version__}\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fit table.csv -k x", "'--components' / '-k': should be a whole number, got 'x'; fastem fit --help says more"),
        ("fit table.csv -k 2.5", "should be a whole number, got '2.5'"),
        ("fit table.csv -k 2 --tol much", "'--tol': should be a number, got 'much'"),
        ("fit table.csv -k 2 --init luck", "'luck' is none of kmeans, k-means++, random, random_from_data; "),
        ("plot model.npz --kind film", "'film' is none of mixture, responsibilities, qq, log-likelihood; "),
    ],
)
def test_errors_are_in_our_words(capsys, line, said):
    _, err = run(capsys, line, 2)
    assert said in err
    for foreign in ("Value error", "Input should", "parse", "validation", "is not a valid"):
        assert foreign not in err


def test_one_meaning_for_each_key(capsys):
    result = json.loads(run(capsys, "select table.csv -k 1-4 --columns 3-4 --covariance full,diag --json").out)
    (best,) = [row for row in result["results"] if row["rank"] == 1]
    for key in set(best) & set(result) - {"seconds"}:
        assert best[key] == pytest.approx(result[key]) if isinstance(best[key], float) else best[key] == result[key]
    assert {"log_likelihood", "log_likelihood_per_sample", "bic"} <= set(best) & set(result)
    for row in result["results"]:
        assert row["log_likelihood"] == pytest.approx(N * row["log_likelihood_per_sample"], rel=1e-12)


def test_the_largest_number_is_noted(capsys):
    out, err = run(capsys, "select table.csv -k 1-3 --columns 3-4 --covariance full --json")
    said = "the best number of components, 3, is the largest that was tried: try larger ones, too"
    assert err == f"fastem: note: {said}\n" and said in json.loads(out)["warnings"]
    assert run(capsys, "select table.csv -k 1-5 --columns 3-4 --covariance full --json").err == ""


# -- the terminal -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "n_tables"), [(80, 4), (150, 2), (400, 1)])
def test_a_table_is_as_wide_as_the_terminal(capsys, monkeypatch, width, n_tables):
    np.save("table.npy", RNG.normal(size=(100, 12)))
    run(capsys, "fit table.npy -k 2 --save model.npz -q")
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    lines = re.sub(r"\x1b\[[\d;]*m", "", run(capsys, "info model.npz").out).splitlines()
    assert sum(line.lstrip().startswith("component") for line in lines) == n_tables
    assert max(map(len, lines)) <= width
    assert reporting._console().width == width


def test_progress_of_select(monkeypatch):
    with terminal(monkeypatch) as shown:
        assert cli.main(shlex.split("select table.csv -k 1-4 --columns 3-4 --covariance full,diag")) == 0
    said = r"\d/8: K=\d (full|diag), BIC [\d.,]+; best so far K=\d (full|diag), BIC [\d.,]+"
    assert re.search(said, shown[0]) and "fitting one mixture" in shown[0]
    assert on_screen(shown[0]) == ""
