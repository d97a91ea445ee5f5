"""The command line: what each command does with its options, what it prints and writes."""

import copy
import csv
import errno
import inspect
import io
import json
import os
import pty
import re
import shlex
import subprocess
import sys
import threading
import warnings
from contextlib import contextmanager
from functools import partialmethod
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from PIL import Image
from rich.progress import Progress
from scipy.stats import multivariate_normal
from sklearn.exceptions import ConvergenceWarning

import fastem
import fastem.plotting
from fastem import cli
from fastem.cli import app, live, predicting, reporting
from fastem.datasets import load_faithful
from fastem.model.families import FAMILIES, STANDARD

from .grids import exhaustive, grid

FAITHFUL_LOG_LIKELIHOOD = -1130.264  # mclust, 2 components, unconstrained covariances
COMMANDS = ["fit", "predict", "impute", "score", "sample", "select", "plot", "info", "warm-up"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(fastem.__file__).resolve().parents[1]), "COLUMNS": "80"}
LARGEST = "is the largest that was tried: try larger ones, too"
FASTEM = [sys.executable, "-m", "fastem"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")


@pytest.fixture
def run(capsys):
    """Run a command, as a line of a shell without its name, that must go well; return what it printed."""

    def run(line):
        code = cli.main(shlex.split(line))
        out, err = capsys.readouterr()
        assert code == 0, err
        err = "".join(line for line in err.splitlines(keepends=True) if LARGEST not in line)
        return out if not err else (out, err)

    return run


@pytest.fixture
def model(run):
    """A model of two components in model.npz, and what it was fitted to in table.csv."""
    bunch = load_faithful()
    pd.DataFrame(bunch.data, columns=bunch.feature_names).to_csv("table.csv", index=False)
    run("fit table.csv -k 2 -q --save model.npz")
    return nameless(fastem.load("model.npz"))


def write(text, name="table.csv", **options):
    Path(name).write_text(text, newline="", **options)
    return name


def from_stdin(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(content))))


def blobs(n_components, n_features, n=50, seed=0):
    rng = np.random.default_rng(seed)
    centres = 20 * rng.normal(size=(n_components, n_features))
    return np.repeat(centres, n, axis=0) + rng.normal(size=(n * n_components, n_features))


def column(text, name=None):
    """Of CSV: the values of a column, by default of the only one."""
    names, *rows = csv.reader(io.StringIO(text))
    j = names.index(name) if name else 0
    assert name or len(names) == 1
    return np.array([float(row[j]) for row in rows])


def picture(path):
    """The number of pictures in a file, which must be large enough to see something."""
    with Image.open(path) as image:
        assert min(image.size) > 200
        return getattr(image, "n_frames", 1)


def nameless(model):
    """A copy of a model that takes arrays without a warning."""
    model = copy.deepcopy(model)
    del model.feature_names_in_
    return model


# -- fit --------------------------------------------------------------------------------------------------------------


def test_faithful_reaches_the_published_log_likelihood(run):
    result = json.loads(run("fit faithful -k 2 --tol 1e-9 --max-iter 1000 --json"))
    assert result["log_likelihood"] == pytest.approx(FAITHFUL_LOG_LIKELIHOOD, abs=1e-3)
    assert result["log_likelihood_per_sample"] == pytest.approx(FAITHFUL_LOG_LIKELIHOOD / 272, abs=1e-5)
    assert result["bic"] == pytest.approx(-2 * FAITHFUL_LOG_LIKELIHOOD + 11 * np.log(272), abs=2e-3)
    assert result["converged"] is True and result["n_iter"] >= 1 and result["seconds"] > 0
    assert sorted(result["weights"]) == pytest.approx([0.3559, 0.6441], abs=1e-4)
    assert sorted(result["means"])[0] == pytest.approx([2.0364, 54.4785], abs=1e-3)
    assert (result["n_samples"], result["n_features"], result["sum_of_weights"]) == (272, 2, None)


def test_the_line_of_the_issue(run):
    bunch = load_faithful()
    pd.DataFrame(bunch.data, columns=bunch.feature_names).to_csv("FILE.csv", index=False)
    line = "fit FILE.csv -k 2 --covariance full --seed 0 --save model.npz --assign labels.csv --plot fit.png"
    result = json.loads(run(f"{line} --animate fit.gif --json"))
    assert result["log_likelihood"] == pytest.approx(FAITHFUL_LOG_LIKELIHOOD, abs=0.01)
    assert run("predict model.npz FILE.csv") == Path("labels.csv").read_text()
    assert picture("fit.png") == 1
    assert picture("fit.gif") > 5
    assert sorted(os.listdir()) == ["FILE.csv", "fit.gif", "fit.png", "labels.csv", "model.npz"]


def test_a_file_called_faithful_comes_before_the_shipped_data(run):
    write("1\n2\n4\n", "faithful")
    assert json.loads(run("fit faithful -k 1 --json"))["n_samples"] == 3


def test_truncated_fits(run):
    assert run("fit faithful -k 2 --algorithm truncated -q") == ""


def test_options_reach_the_estimator(run, monkeypatch):
    seen = {}

    class Recorder(fastem.GaussianMixture):
        def __init__(self, **options):
            seen.update(options)
            super().__init__(**options)

    monkeypatch.setattr(fastem, "GaussianMixture", Recorder)
    options = "-k 3 --covariance diag --tol 0.5 --max-iter 7 --n-init 2 --reg-covar 0.002 --algorithm em"
    assert (
        run(f"fit faithful {options} --assignment hard --init random_from_data --missing em --seed 11 --threads 1 -q")
        == ""
    )
    assert seen == {
        "n_components": 3,
        "covariance_type": "diag",
        "tol": 0.5,
        "max_iter": 7,
        "n_init": 2,
        "reg_covar": 0.002,
        "init_params": "random_from_data",
        "random_state": 11,
        "n_threads": 1,
        "algorithm": "em",
        "assignment": "hard",
        "missing": "em",
    }


@pytest.mark.parametrize("command", [app.fit, app.select])
def test_defaults_are_the_estimators(command):
    names = {"covariance": "covariance_type", "init": "init_params", "threads": "n_threads"}
    given = {names.get(name, name): p.default for name, p in inspect.signature(command).parameters.items()}
    known = inspect.signature(fastem.GaussianMixture).parameters
    shared = known.keys() & given.keys() - ({"covariance_type"} if command is app.select else set())
    assert len(shared) >= 5
    assert {name: given[name] for name in shared} == {name: known[name].default for name in shared}


def test_selects_defaults_are_the_functions():
    given, known = (inspect.signature(function).parameters for function in (app.select, fastem.select))
    assert given["covariance"].default == ",".join(known["covariance_type"].default)
    assert given["components"].default == f"{known['n_components'].default[0]}-{known['n_components'].default[-1]}"
    assert given["criterion"].default == known["criterion"].default


def test_the_same_command_gives_the_same_result(run):
    line = "fit faithful -k 3 --init random_from_data --json"
    assert json.loads(run(line))["means"] == json.loads(run(line))["means"]


def test_stopping_early_is_a_note(run):
    out, err = run("fit faithful -k 2 --init random --max-iter 1")
    assert err == "fastem: note: not converged after 1 iteration: raise --max-iter or --tol\n"
    assert "1, not converged" in out


def test_known_labels(run):
    X = blobs(3, 2)
    words = np.repeat(["sole", "[b]cod", "hake"], 50).astype(object)
    words[::2] = ""
    pd.DataFrame({"a": X[:, 0], "fish": words, "b": X[:, 1]}).to_csv("table.csv", index=False)
    result = json.loads(run("fit table.csv -k 3 --labels fish --assign labels.csv --json"))
    assert result["labels"] == {"0": "[b]cod", "1": "hake", "2": "sole"}
    assert result["feature_names"] == ["a", "b"]
    assert Path("labels.csv").read_text().splitlines() == ["label", *np.repeat(["sole", "[b]cod", "hake"], 50)]
    expected = fastem.GaussianMixture(3, random_state=0).fit(
        X, labels=np.where(words == "", -1, np.repeat([2, 0, 1], 50))
    )
    np.testing.assert_allclose(result["means"], expected.means_, rtol=1e-12)
    lines = run("fit table.csv -k 3 --labels fish").splitlines()
    assert [line.split()[:2] for line in lines if re.match(r" +[012] ", line)] == [
        ["0", "[b]cod"],
        ["1", "hake"],
        ["2", "sole"],
    ]


def test_labels_that_are_the_components_need_no_mapping(run):
    X = blobs(2, 1)
    pd.DataFrame({"a": X[:, 0], "k": np.repeat([1, 0], 50)}).to_csv("table.csv", index=False)
    result = json.loads(run("fit table.csv -k 2 --labels k --json"))
    assert "labels" not in result
    assert result["means"][1] == pytest.approx(X[:50].mean(axis=0))


@pytest.mark.parametrize(
    "words", [["1", "2", "3"], ["10", "9", "11"], ["007", "7", "x"], ["sole", "co,d", 'a "b"'], ["a", "b", "c"]]
)
def test_labels_come_back_as_they_were(run, words):
    X = blobs(3, 2)
    truth = np.repeat(words, 50)
    known = np.where(np.arange(150) % 3 == 0, truth, "NA")
    pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "kind": known}).to_csv("table.csv", index=False)
    line = "fit table.csv -k 3 --labels kind --save model.npz --assign labels.csv --plot fit.png --json"
    result = json.loads(run(line))
    names = sorted(words, key=int) if words[0] in ("1", "10") else sorted(words)
    assert result["labels"] == {str(k): name for k, name in enumerate(names)}
    for text in (Path("labels.csv").read_text(), run("predict model.npz table.csv")):
        assert [row[0] for row in csv.reader(io.StringIO(text))] == ["label", *truth]
    head, *rows = csv.reader(io.StringIO(run("predict model.npz table.csv --proba")))
    assert head == ["label", *(f"p_{name}" for name in names)]
    assert all(max(row[1:], key=float) == row[1 + names.index(row[0])] for row in rows)
    assert json.loads(run("info model.npz --json"))["labels"] == result["labels"]
    shown = [line.split()[:2] for line in run("info model.npz").splitlines() if re.match(r" +[012] ", line)]
    assert shown == [[str(k), name.split()[0]] for k, name in enumerate(names)]
    sampled = list(csv.DictReader(io.StringIO(run("sample model.npz -n 300 --labels"))))
    assert {row["label"] for row in sampled} == set(words)
    predicted = fastem.load("model.npz").predict(pd.DataFrame(X, columns=["a", "b"]))
    assert predicted.dtype == np.int64 if words[0] in ("1", "10") else (predicted == truth).all()


@pytest.mark.parametrize(
    ("words", "called"),
    [(["3", "5"], ["6", "7"]), (["cod", "new 1"], ["new 2", "new 3"]), (["2", "x"], ["new 1", "new 2"])],
)
def test_components_beside_those_of_the_labels_get_names_and_a_note(run, words, called):
    X = 30 * np.repeat(np.arange(4.0), 50) + np.random.default_rng(0).normal(size=200)
    known = np.repeat([*words, "", ""], 50)
    pd.DataFrame({"a": X, "kind": known}).to_csv("table.csv", index=False)
    out, err = run("fit table.csv -k 4 --labels kind --assign labels.csv --json")
    assert list(json.loads(out)["labels"].values()) == [*words, *called]
    assert f"column kind has no label for 2 components, called {', '.join(called)}" in err
    labels = Path("labels.csv").read_text().splitlines()[1:]
    assert [labels[0], labels[50], set(labels[100:])] == [*words, set(called)]


def test_a_model_without_labels_is_called_by_numbers(run, model):
    assert "labels" not in json.loads(run("info model.npz --json"))
    assert set(run("predict model.npz table.csv").split()) == {"label", "0", "1"}


def test_warnings_are_notes_and_in_json(run, monkeypatch):
    class Warner(fastem.GaussianMixture):
        def fit(self, *args, **kwargs):
            warnings.warn("component 1 is\na spike", fastem.DegenerateFitWarning, stacklevel=2)
            return super().fit(*args, **kwargs)

    assert json.loads(run("fit faithful -k 2 --json"))["warnings"] == []
    monkeypatch.setattr(fastem, "GaussianMixture", Warner)
    out, err = run("fit faithful -k 2 --json --max-iter 1 --init random")
    said = ["component 1 is a spike", "not converged after 1 iteration: raise --max-iter or --tol"]
    assert json.loads(out)["warnings"] == said
    assert err == "".join(f"fastem: note: {each}\n" for each in said)
    select = fastem.select

    def warned(*args, **kwargs):
        warnings.warn("the best is\nno good", fastem.DegenerateFitWarning, stacklevel=2)
        return select(*args, **kwargs)

    monkeypatch.setattr(fastem, "select", warned)
    out, err = run("select faithful -k 2 --covariance tied --json")
    assert json.loads(out)["warnings"] == ["the best is no good"]
    assert "fastem: note: the best is no good\n" in err


def test_shrinkage(run):
    X = load_faithful().data
    for text, shrinkage in (("oas", "oas"), ("ledoit-wolf", "ledoit-wolf"), ("0.25", 0.25)):
        result = json.loads(run(f"fit faithful -k 2 --shrinkage {text} --save model.npz --json"))
        expected = fastem.GaussianMixture(2, shrinkage=shrinkage, random_state=0).fit(X)
        np.testing.assert_allclose(result["covariances"], expected.covariances_, rtol=1e-12)
        assert fastem.load("model.npz").shrinkage == shrinkage
    result = json.loads(run("select faithful -k 1-2 --covariance full --shrinkage 0.1 --json"))
    expected = fastem.select(X, [1, 2], "full", shrinkage=0.1, random_state=0)
    assert result["log_likelihood_per_sample"] == pytest.approx(expected.best_estimator_.score(X))


def test_a_prior(run):
    for text, prior in (
        ("default", "default"),
        ("shrinkage=0.5", {"shrinkage": 0.5}),
        ("shrinkage=2, degrees_of_freedom=7", {"shrinkage": 2.0, "degrees_of_freedom": 7.0}),
    ):
        result = json.loads(run(f"fit faithful -k 2 --prior '{text}' --save model.npz --json"))
        expected = fastem.GaussianMixture(2, prior=prior, random_state=0).fit(load_faithful().data)
        np.testing.assert_allclose(result["covariances"], expected.covariances_, rtol=1e-12)
        assert fastem.load("model.npz").prior == prior
    result = json.loads(run("select faithful -k 1-2 --covariance full --prior default --json"))
    expected = fastem.select(load_faithful().data, [1, 2], "full", prior="default", random_state=0)
    assert result["log_likelihood_per_sample"] == pytest.approx(expected.best_estimator_.score(load_faithful().data))


@exhaustive
def test_pictures_count_the_weights(run, monkeypatch):
    seen = []
    for name in ("MixtureDisplay", "ResponsibilityDisplay", "MahalanobisDisplay"):
        display = getattr(fastem.plotting, name)
        draw = display.from_estimator.__func__
        monkeypatch.setattr(
            display,
            "from_estimator",
            classmethod(
                lambda cls, *args, draw=draw, **known: seen.append(known["sample_weight"]) or draw(cls, *args, **known)
            ),
        )
    film = fastem.plotting.animate_fit
    monkeypatch.setattr(
        fastem.plotting,
        "animate_fit",
        lambda *args, **known: seen.append(known["sample_weight"]) or film(*args, **known),
    )
    weights = np.arange(100) % 5
    pd.DataFrame({"a": blobs(2, 1)[:, 0], "n": weights}).to_csv("table.csv", index=False)
    run("fit table.csv -k 2 --weights n --plot fit.png --animate fit.gif --save model.npz -q")
    for kind in ("mixture", "responsibilities", "qq"):
        run(f"plot model.npz table.csv --weights n --kind {kind} -o {kind}.png")
    assert len(seen) == 5 and all(np.array_equal(each, weights) for each in seen)
    run("plot model.npz table.csv --columns a -o fit.png")
    assert seen[-1] is None


def test_weights_are_multiplicities(run):
    X = blobs(2, 2)
    weights = np.random.default_rng(0).integers(0, 4, size=len(X))
    pd.DataFrame({"a": X[:, 0], "n": weights, "b": X[:, 1]}).to_csv("weighted.csv", index=False)
    np.save("repeated.npy", np.repeat(X, weights, axis=0))
    options = "-k 2 --tol 1e-9 --max-iter 1000"
    weighted = json.loads(run(f"fit weighted.csv {options} --weights n --json --save model.npz"))
    repeated = json.loads(run(f"fit repeated.npy {options} --json"))
    assert weighted["sum_of_weights"] == weights.sum() == repeated["n_samples"]
    for name in ("log_likelihood", "bic"):
        assert weighted[name] == pytest.approx(repeated[name], rel=1e-9)
    assert sorted(weighted["weights"]) == pytest.approx(sorted(repeated["weights"]), rel=1e-6)
    assert f"{weights.sum()} in all" in run(f"fit weighted.csv {options} --weights n")
    scores = json.loads(run("score model.npz weighted.csv --weights n --json"))
    assert scores["bic"] == pytest.approx(weighted["bic"], rel=1e-12)


@pytest.mark.parametrize("suffix", ["csv", "npy", "parquet"])
def test_every_kind_of_file_gives_the_same(run, suffix):
    bunch = load_faithful()
    frame = pd.DataFrame(bunch.data, columns=bunch.feature_names)
    frame.to_csv("table.csv", index=False)
    frame.to_parquet("table.parquet")
    np.save("table.npy", frame.to_numpy())
    expected = fastem.GaussianMixture(2, random_state=0).fit(bunch.data)
    line = f"fit table.{suffix} -k 2 --json --save model.npz --assign labels.csv"
    result = json.loads(run(line))
    np.testing.assert_allclose(result["means"], expected.means_, rtol=1e-12)
    assert result["feature_names"] == (["x1", "x2"] if suffix == "npy" else bunch.feature_names)
    assert column(Path("labels.csv").read_text()).tolist() == expected.predict(bunch.data).tolist()
    assert run(f"predict model.npz table.{suffix}") == Path("labels.csv").read_text()
    assert "272 points, 2 features" in run(f"fit table.{suffix} -k 2")
    assert json.loads(run(f"score model.npz table.{suffix} --json"))["bic"] == result["bic"]


@pytest.mark.parametrize("kind", STANDARD)
def test_saved_labels_and_model_belong_together(run, kind):
    result = json.loads(run(f"fit faithful -k 2 --covariance {kind} --save model.npz --assign labels.csv --json"))
    saved = fastem.load("model.npz")
    for name in ("weights", "means", "covariances"):
        assert getattr(saved, f"{name}_").tolist() == result[name]
    assert saved.covariance_type == kind
    assert saved.feature_names_in_.tolist() == ["eruptions", "waiting"]
    matrices = {
        "full": lambda c: c,
        "tied": lambda c: [c, c],
        "diag": lambda c: [np.diag(row) for row in c],
        "spherical": lambda c: [value * np.eye(2) for value in c],
    }[kind](saved.covariances_)
    X = load_faithful().data
    densities = [
        np.log(weight) + multivariate_normal(mean, matrix).logpdf(X)
        for weight, mean, matrix in zip(saved.weights_, saved.means_, matrices, strict=True)
    ]
    np.testing.assert_array_equal(column(Path("labels.csv").read_text()), np.argmax(densities, axis=0))
    assert result["log_likelihood"] == pytest.approx(np.logaddexp(*densities).sum(), rel=1e-10)


def test_labels_to_standard_output(run):
    assert run("fit faithful -k 1 --assign -") == "label\n" + "0\n" * 272


def test_outputs_replace_what_was_there_through_links(run):
    write("old", "target.csv")
    os.symlink("target.csv", "link.csv")
    run("fit faithful -k 1 --assign link.csv -q")
    assert Path("target.csv").read_text() == "label\n" + "0\n" * 272
    assert os.path.islink("link.csv")


# -- missing values ----------------------------------------------------------------------------------------------------

WORDS = ["", "NA", "NaN", "null", "?"]  # that stand for a missing value


@pytest.fixture
def holes():
    """Blobs of 3 features, a fifth of the cells missing, in holes.csv, .npy and .parquet; a group beside them."""
    X = blobs(2, 3, n=60)
    rng = np.random.default_rng(1)
    X[rng.random(X.shape) < 0.2] = np.nan
    X[7] = np.nan
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    frame.to_parquet("holes.parquet", row_group_size=50)
    np.save("holes.npy", X)
    group = np.where(rng.random(len(X)) < 0.2, "", np.repeat(["x,y", "z"], 60))
    fields = [
        [WORDS[(i + j) % 5] if v != v else repr(v) for j, v in enumerate(row)] for i, row in enumerate(X.tolist())
    ]
    with open("holes.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["a", "b", "c", "group"], *([*f, g] for f, g in zip(fields, group, strict=True))]
        )
    return X


def em(X, k=2, **settings):
    return fastem.GaussianMixture(k, random_state=0, missing="em").set_params(**settings).fit(X)


@pytest.mark.parametrize("source", ["holes.csv --columns a,b,c", "holes.npy", "holes.parquet", "-"])
def test_missing_cells_are_not_observed(run, monkeypatch, holes, source):
    if source == "-":
        pd.DataFrame(holes).to_csv("plain.csv", index=False, header=False)
        from_stdin(monkeypatch, Path("plain.csv").read_bytes())
    expected = em(holes)
    result = json.loads(run(f"fit {source} -k 2 --missing em --json --save model.npz --assign labels.csv"))
    np.testing.assert_allclose(result["means"], expected.means_, rtol=1e-9)
    assert result["bic"] == pytest.approx(expected.bic(holes), rel=1e-9)
    assert result["n_missing"] == np.isnan(holes).sum()
    labels = column(Path("labels.csv").read_text())
    assert labels.tolist() == expected.predict(holes).tolist()
    if source != "-":
        text = run(f"predict model.npz {source} --proba --density")
        assert column(text, "label").tolist() == labels.tolist()
        np.testing.assert_allclose(column(text, "log_density"), expected.score_samples(holes), rtol=1e-9, atol=1e-12)
        assert json.loads(run(f"score model.npz {source} --json"))["bic"] == pytest.approx(result["bic"], rel=1e-12)


def test_null_in_parquet_columns_of_any_kind(run):
    rng = np.random.default_rng(0)
    X = np.column_stack([rng.normal(size=60), rng.integers(0, 9, 60), rng.integers(0, 2, 60)])
    X[[3, 4, 5, 5], [0, 1, 2, 1]] = np.nan
    kinds = {"a": "float64", "i": "Int64", "b": "boolean"}
    pd.DataFrame({name: pd.array(x, kind) for (name, kind), x in zip(kinds.items(), X.T, strict=True)}).to_parquet(
        "table.parquet"
    )
    result = json.loads(run("fit table.parquet -k 1 --missing em --tol 1e-9 --max-iter 1000 --json"))
    assert (result["n_missing"], result["feature_names"]) == (4, list(kinds))
    np.testing.assert_allclose(result["means"], em(X, 1, tol=1e-9, max_iter=1000).means_, rtol=1e-9)


def test_missing_cells_in_a_spooled_table_with_weights_and_labels(run, monkeypatch, holes):
    monkeypatch.setattr("fastem.cli.tables._IN_MEMORY", 100)
    monkeypatch.setattr("fastem.cli.text._CHUNK", 1 << 10)
    weights = np.random.default_rng(2).integers(1, 4, len(holes)).astype(float)
    rows = pd.read_csv("holes.csv", keep_default_na=False).assign(w=weights)
    rows.to_csv("more.csv", index=False)
    known = rows["group"].map({"": -1, "x,y": 0, "z": 1}).to_numpy()
    expected = fastem.GaussianMixture(2, random_state=0, missing="em").fit(holes, sample_weight=weights, labels=known)
    out, _ = run("fit more.csv -k 2 --missing em --weights w --labels group --save model.npz")
    assert f"missing         {np.isnan(holes).sum()} values" in out
    np.testing.assert_allclose(fastem.load("model.npz").means_, expected.means_, rtol=1e-9)


def test_select_with_missing_cells(run, holes):
    result = json.loads(run("select holes.npy -k 1-2 --covariance full --missing em --json"))
    best = fastem.select(holes, [1, 2], "full", missing="em", random_state=0).best_estimator_
    np.testing.assert_allclose(result["means"], best.means_, rtol=1e-9)


@pytest.mark.parametrize("missing", ["em", "error"])
@pytest.mark.parametrize("suffix", ["csv", "npy", "parquet"])
def test_impute_equals_the_model(run, holes, suffix, missing):
    X = holes if missing == "em" else np.nan_to_num(holes)
    model = em(X, missing=missing)
    model.save("model.npz")
    columns = " --columns a,b,c" if suffix == "csv" else ""
    filled, std = model.impute(holes, return_std=True)
    table = pd.read_csv(io.StringIO(run(f"impute model.npz holes.{suffix}{columns}")))
    np.testing.assert_allclose(table.iloc[:, :3], filled, rtol=1e-12)
    wide = pd.read_csv(io.StringIO(run(f"impute model.npz holes.{suffix}{columns} --std")))
    np.testing.assert_allclose(wide.iloc[:, :3], filled, rtol=1e-12)
    np.testing.assert_allclose(wide.iloc[:, -3:], std, rtol=1e-12)
    assert wide.columns[-1] == ("std_x3" if suffix == "npy" else "std_c")
    drawn = run(f"impute model.npz holes.{suffix}{columns} --draws 3 --seed 5")
    assert drawn == run(f"impute model.npz holes.{suffix}{columns} --draws 3 --seed 5")
    drawn = pd.read_csv(io.StringIO(drawn))
    assert drawn.columns[0] == "draw" and drawn["draw"].tolist() == np.repeat([1, 2, 3], len(holes)).tolist()
    if suffix != "parquet":  # read in one block
        expected = model.impute(holes, n_draws=3, random_state=5)
        np.testing.assert_allclose(drawn.iloc[:, 1:4], np.concatenate(expected), rtol=1e-9)


def test_impute_leaves_all_else_as_it_was_written(run, monkeypatch, holes):
    em(holes).save("model.npz")
    filled = em(holes).impute(holes)
    before, after = ([*csv.reader(io.StringIO(text))] for text in (
        Path("holes.csv").read_text(), run("impute model.npz holes.csv --columns a,b,c")
    ))  # fmt: skip
    spelled = [["a", "b", "c"], *(list(map(repr, row)) for row in filled.tolist())]
    assert after == [
        [new if old in WORDS and j < 3 else old for j, (old, new) in enumerate(zip(row, [*values, ""], strict=True))]
        for row, values in zip(before, spelled, strict=True)
    ]
    monkeypatch.setattr("fastem.cli.text._CHUNK", 1 << 10)
    monkeypatch.setattr("fastem.cli.text._HEAD", 1 << 10)
    monkeypatch.setattr("fastem.cli.imputing._IN_MEMORY", 100)
    assert [*csv.reader(io.StringIO(run("impute model.npz holes.csv --columns a,b,c")))] == after
    drawn = [*csv.reader(io.StringIO(run("impute model.npz holes.csv --columns a,b,c --draws 2")))]
    assert [row[0] for row in drawn] == ["draw", *["1"] * len(holes), *["2"] * len(holes)]
    assert [row[4] for row in drawn] == [row[3] for row in before + before[1:]]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("# by hand\nu;a;b\n1,50;NA;x\n3;2,5;\n", "# by hand\nu;a;b\n1,50;COMMA;x\n3;2,5;\n"),
        ("1.50,\r\n,2\r\n3,4\r\n", "1.50,MEAN\nMEAN,2\n3,4\n"),
        ('"u" "a" "my b"\n1 NA "x y"\n1 2 z\n', '"u" "a" "my b"\n1 MEAN "x y"\n1 2 z\n'),
        ('"u" "a"\n"one row" 1 NA\n"two" 1 2\n', '"u" "a"\n"one row" 1 MEAN\ntwo 1 2\n'),
    ],
)
def test_impute_keeps_the_dialect(run, content, expected):
    fastem.GaussianMixture(1).fit([[0.5, 1.5], [1.5, 0.5], [-1.5, 2.5], [3.5, -0.5]]).save("model.npz")
    columns = "2,3" if "one row" in content else "1,2"
    write(content)
    text = run(f"impute model.npz table.csv --columns {columns}")
    pattern = re.escape(expected).replace("MEAN", r"-?\d+\.\d+").replace("COMMA", r"-?\d+,\d+")
    assert re.fullmatch(pattern, text), text


def test_impute_says_if_nothing_was_missing(run, model):
    out, err = run("impute model.npz table.csv")
    assert out == Path("table.csv").read_text()
    assert "note: table.csv: no cell was missing in the columns of model.npz" in err


# -- what a model is good for -----------------------------------------------------------------------------------------


def test_predict_equals_the_model(run, model):
    X = load_faithful().data
    text = run("predict model.npz table.csv --proba --density")
    assert text.splitlines()[0] == "label,p0,p1,log_density"
    np.testing.assert_array_equal(column(text, "label"), model.predict(X))
    probabilities = np.column_stack([column(text, "p0"), column(text, "p1")])
    np.testing.assert_array_equal(probabilities, model.predict_proba(X))
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-14)
    np.testing.assert_array_equal(column(text, "log_density"), model.score_samples(X))
    assert run("predict model.npz table.csv -o out.csv --proba --density") == "wrote out.csv\n"
    assert Path("out.csv").read_text() == text


def test_predict_finds_columns_by_name(run, model):
    X = load_faithful().data
    labels = model.predict(X).tolist()
    frame = pd.DataFrame({"waiting": X[:, 1], "word": "x", "eruptions": X[:, 0]})
    frame.to_csv("other.csv", index=False)
    frame.to_parquet("other.parquet")
    frame.rename(columns={"waiting": "w", "eruptions": "e"}).to_csv("renamed.csv", index=False)
    frame.rename(columns={"waiting": "w", "eruptions": "e"}).to_parquet("renamed.parquet")
    frame[["eruptions", "waiting"]].to_csv("nameless.csv", index=False, header=False)
    for arguments in (
        "other.csv",
        "other.parquet",
        "renamed.csv --columns e,w",
        "renamed.csv --columns 3,1",
        "renamed.parquet --columns e,w",
        "nameless.csv",
    ):
        assert column(run(f"predict model.npz {arguments}")).tolist() == labels
        result = json.loads(run(f"score model.npz {arguments} --json"))
        assert result["log_likelihood"] == pytest.approx(model.score(X) * 272, rel=1e-12)


def test_predict_by_blocks(run, model, monkeypatch):
    X = np.tile(load_faithful().data, (40, 1))
    pd.DataFrame(X, columns=["eruptions", "waiting"]).to_csv("big.csv", index=False)
    np.save("big.npy", X)
    monkeypatch.setattr("fastem.cli.text._CHUNK", 1 << 12)
    monkeypatch.setattr("fastem.cli.tables.VALUES", 1 << 10)
    sizes = []
    predict = fastem.GaussianMixture.predict
    monkeypatch.setattr(
        fastem.GaussianMixture, "predict", lambda self, rows: sizes.append(rows.n_samples) or predict(self, rows)
    )
    for path in ("big.csv", "big.npy"):
        sizes.clear()
        assert column(run(f"predict model.npz {path}")).tolist() == predict(model, X).tolist()
        assert sum(sizes) == len(X) and max(sizes) <= (6400 if path == "big.csv" else 512)  # 64 KiB are read at once


def test_score_equals_the_model(run, model):
    X = load_faithful().data
    weights = np.random.default_rng(0).uniform(size=272)
    pd.DataFrame({"eruptions": X[:, 0], "waiting": X[:, 1], "w": weights}).to_csv("w.csv", index=False)
    for options, known in (("", {}), ("--weights w", {"sample_weight": weights})):
        result = json.loads(run(f"score model.npz w.csv --json {options}"))
        assert result["log_likelihood_per_sample"] == pytest.approx(model.score(X, **known), rel=1e-14)
        assert result["log_likelihood"] == pytest.approx(model.score(X, **known) * (weights.sum() if known else 272))
        for name in ("bic", "aic", "icl"):
            assert result[name] == pytest.approx(getattr(model, name)(X, **known), rel=1e-14)
    lines = run("score model.npz table.csv").splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        ["data", "table.csv: 272 points, 2 features"],
        ["log-likelihood", "-1,130.264 nats (-4.155382 per point)"],
        ["BIC", "2,322.192"],
        ["AIC", "2,282.528"],
        ["ICL", "2,322.705"],
    ]


def test_sample_draws_from_the_model(run, model):
    text = run("sample model.npz -n 20000 --seed 3 --labels")
    frame = pd.read_csv(io.StringIO(text))
    assert list(frame.columns) == ["eruptions", "waiting", "label"]
    assert np.abs(frame.label.mean() - model.weights_[1]) < 0.02
    for k in range(2):
        points = frame[frame.label == k].to_numpy()[:, :2]
        np.testing.assert_allclose(points.mean(axis=0), model.means_[k], atol=0.15)
        np.testing.assert_allclose(np.cov(points.T), model.covariances_[k], rtol=0.1)
    assert run("sample model.npz -n 20000 --seed 3 --labels") == text
    assert run("sample model.npz -n 20000 --seed 4 --labels") != text
    assert abs(np.corrcoef(frame.label[1:], frame.label[:-1])[0, 1]) < 0.03  # not one component after the other
    assert run("sample model.npz -n 5 -o out.csv") == "wrote out.csv\n"
    assert Path("out.csv").read_text() == run("sample model.npz -n 5")


@pytest.mark.parametrize("names", [["a", "b"], ["0", "1"], ["a, b", 'c "d"'], [" [red]x", "größe"], None])
def test_what_is_sampled_can_be_predicted(run, monkeypatch, names):
    X = blobs(2, 2)
    model = fastem.GaussianMixture(2, random_state=0).fit(X if names is None else pd.DataFrame(X, columns=names))
    model.save("model.npz")
    text = run("sample model.npz -n 500 --labels")
    from_stdin(monkeypatch, text.encode())
    if names is None or names[0] == names[0].strip():
        assert column(run("predict model.npz -")).tolist() == column(text, "label").tolist()
    else:
        assert len(column(run("predict model.npz - --columns 1,2"))) == 500


@exhaustive
def test_a_pipe_of_commands(model):
    line = "{0} sample model.npz -n 300 | {0} predict model.npz - --proba | tail -n 1".format(shlex.join(FASTEM))
    done = subprocess.run(line, shell=True, env=ENVIRONMENT, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(r"[01],[-.\de]+,[-.\de]+\n", done.stdout)


def test_info(run, model):
    result = json.loads(run("info model.npz --json"))
    assert result["means"] == model.means_.tolist()
    assert result["covariances"] == model.covariances_.tolist()
    assert result["feature_names"] == ["eruptions", "waiting"]
    assert result["lower_bounds"] == model.lower_bounds_
    assert (result["n_components"], result["n_iter"], result["converged"]) == (2, model.n_iter_, True)
    text = run("info model.npz")
    assert "model.npz: 2 components, full covariance, 2 features" in text
    assert f"{model.n_iter_}, converged, {model.lower_bound_:.6f} nats per point" in text
    history = run("info model.npz --history")
    assert history.startswith(text.rstrip("\n")) and str(model.fit_report_) in history


def test_figures_are_closed(run, model):
    run("plot model.npz table.csv -o first.png")
    run("fit faithful -k 2 -q --plot second.png")
    run("select faithful -k 1-2 --covariance full -q --plot third.png")
    assert pyplot.get_fignums() == []


@pytest.mark.parametrize("kind", sorted(predicting._DISPLAYS))
@grid("suffix", [".png", ".pdf", ".svg"], quick=[".png"])
def test_plot(run, model, kind, suffix):
    table = "" if kind == "log-likelihood" else "table.csv"
    assert run(f"plot model.npz {table} --kind {kind} -o out{suffix}") == f"wrote out{suffix}\n"
    magic = {".png": b"\x89PNG", ".pdf": b"%PDF", ".svg": b"<?xml"}[suffix]
    assert Path(f"out{suffix}").read_bytes().startswith(magic)
    assert sorted(os.listdir()) == ["model.npz", f"out{suffix}", "table.csv"]


def test_warm_up(run, monkeypatch):
    calls = []
    monkeypatch.setattr(fastem, "warm_up", lambda *args, **kwargs: calls.append((args, kwargs)))
    run("warm-up")
    run("warm-up full diag --dtype float32 --missing")
    assert calls == [
        ((STANDARD, ("float64", "float32")), {"missing": False, "verbose": True}),
        ((["full", "diag"], ["float32"]), {"missing": True, "verbose": True}),
    ]


def test_warm_up_takes_one_type_as_well_as_several(monkeypatch):
    seen = set()
    monkeypatch.setattr(fastem.GaussianMixture, "fit", lambda m, X: seen.add((m.covariance_type, str(X.dtype))) or m)
    monkeypatch.setattr(fastem.GaussianMixture, "predict_proba", lambda model, X: None)
    for types, dtypes in ("full", np.float32), (["full"], ["float32"]), ("full", np.dtype("float32")):
        seen.clear()
        fastem.warm_up(types, dtypes)
        assert seen == {("full", "float32")}


# -- select -----------------------------------------------------------------------------------------------------------


@grid("criterion", ["bic", "aic", "icl"], quick=["icl"])
def test_select_agrees_with_a_loop(run, criterion):
    X = load_faithful().data
    options = {"tol": 1e-8, "max_iter": 1000, "random_state": 0}
    line = f"select faithful -k 1-3 --covariance full,tied --criterion {criterion} --tol 1e-8 --max-iter 1000"
    result = json.loads(run(f"{line} --json --save model.npz --assign labels.csv"))
    results = {(row["n_components"], row["covariance_type"]): row for row in result["results"]}
    assert len(results) == 6
    best = {}
    for (k, kind), row in results.items():
        model = fastem.GaussianMixture(k, covariance_type=kind, **options).fit(X)
        best[k, kind] = getattr(model, criterion)(X)
        assert row["log_likelihood_per_sample"] >= model.score(X) - 1e-6
        if abs(row["log_likelihood_per_sample"] - model.score(X)) < 1e-6:
            for name in ("bic", "aic", "icl"):
                assert row[name] == pytest.approx(getattr(model, name)(X), abs=0.1)
    ranked = sorted(results, key=lambda key: results[key]["rank"])
    assert [results[key]["rank"] for key in ranked] == [1, 2, 3, 4, 5, 6]
    values = [results[key][criterion] for key in ranked]
    assert values == sorted(values)
    assert results[ranked[0]][criterion] <= min(best.values()) + 0.1
    saved = fastem.load("model.npz")
    assert (
        (saved.n_components, saved.covariance_type) == ranked[0] == (result["n_components"], result["covariance_type"])
    )
    assert saved.means_.tolist() == result["means"]
    assert result["criterion"] == criterion
    assert column(Path("labels.csv").read_text()).tolist() == nameless(saved).predict(X).tolist()


@exhaustive
def test_the_report_of_select(run):
    lines = run("select faithful -k 1,2,3 --covariance tied,full").splitlines()
    heads = next(
        i for i, line in enumerate(lines) if line.split() == ["K", "covariance", "log-likelihood", "BIC", "AIC", "ICL"]
    )
    rows = [line.split() for line in lines[heads + 2 : heads + 8]]
    assert rows[0][:2] == ["3", "tied"]
    assert {tuple(row[:2]) for row in rows} == {(k, kind) for k in "123" for kind in ("tied", "full")}
    costs = [float(row[3].replace(",", "")) for row in rows]
    assert costs == sorted(costs)
    assert any(line.split()[:4] == ["model", "3", "components,", "tied"] for line in lines)
    text = run("select faithful -k 1-4")
    assert "Only the best 10 of 16 combinations are shown; --json prints all." in text
    assert run("select faithful -k 2 --covariance full -q") == ""


def test_large_criteria_are_not_cut_off(run):
    np.save("table.npy", 1e9 * blobs(2, 3, n=20_000))
    text = run("select table.npy -k 1,2 --covariance full,spherical")
    assert "…" not in text and max(map(len, text.splitlines())) <= 80


def test_what_collapsed_stays_in_the_table(run):
    write("a,b\n" + "1,2\n" * 50)
    line = "select table.csv -k 1-2 --covariance full,diag --reg-covar 0"
    results = json.loads(run(f"{line} --json"))["results"]
    collapsed = [row for row in results if row["bic"] is None]
    assert len(results) == 4 and 1 <= len(collapsed) < 4
    for row in collapsed:
        assert row["log_likelihood"] is None and "collapsed" in row["status"]
    assert run(line).count("no fit") == len(collapsed)


def test_select_marks_spikes(run):
    rng = np.random.default_rng(0)
    np.save("table.npy", np.r_[rng.normal(0, 0.5, (10, 2)), rng.normal(4, 0.5, (10, 2))])
    line = "select table.npy -k 2,8 --covariance full"
    results = json.loads(run(f"{line} --json"))["results"]
    assert [row["status"] for row in results] == ["ok", "collapsed"]
    assert [row["rank"] for row in results] == [1, 2]
    assert results[0]["degenerate"] == [] and len(results[1]["degenerate"]) >= 1
    text = run(line)
    assert "! has components limited by --reg-covar or on too few points" in text
    assert [row.split()[0] for row in text.splitlines() if "full  " in row and "!" in row] == ["8"]
    assert "held out" in run(f"{line} --criterion held_out")


def test_select_draws_the_criterion(run):
    run("select faithful -k 1-3 --covariance full,tied -q --plot out.png")
    assert picture("out.png") == 1


@pytest.mark.parametrize(
    ("text", "counts"), [("3", [3]), ("1-3", [1, 2, 3]), ("2,4,8", [2, 4, 8]), ("4,1-2,2", [1, 2, 4])]
)
def test_numbers_of_components(run, text, counts):
    results = json.loads(run(f"select faithful -k {text} --covariance spherical --json"))["results"]
    assert [row["n_components"] for row in results] == counts


# -- what is printed --------------------------------------------------------------------------------------------------


def test_report_of_faithful(run):
    lines = run("fit faithful -k 2 --tol 1e-9 --max-iter 1000").splitlines()
    assert [line.split(maxsplit=1) for line in lines[:4]] == [
        ["data", "faithful: 272 points, 2 features"],
        ["model", "2 components, full covariance"],
        ["log-likelihood", "-1,130.264 nats (-4.155382 per point)"],
        ["BIC", "2,322.192 (lower is better)"],
    ]
    assert lines[4].startswith("iterations") and lines[4].endswith(", converged")
    assert lines[5].startswith("seconds")
    heads, _, *rows = (line.split() for line in lines[7:11])
    assert heads == ["component", "weight", "eruptions", "waiting", "correlation"]
    expected = {"0.3559": ["2.036", "54.48", "0.285"], "0.6441": ["4.290", "79.97", "0.380"]}
    for row in rows:
        eruptions, waiting, correlation = row[2], row[5], row[-1]
        assert [eruptions, waiting, correlation] == expected[row[1]]
    assert lines[-1] == "mean ± standard deviation; --json prints covariances, in full precision"


@pytest.mark.parametrize("kind", STANDARD)
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (16, 10), (40, 2), (2, 30)])
@pytest.mark.parametrize("has_labels", [False, True])
def test_report_fits_a_page(capsys, shape, kind, has_labels):
    n_components, n_features = shape
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.integers(-8, 9, size=n_features)
    variances = rng.uniform(0.5, 2, size=shape) * scales**2
    model = fastem.GaussianMixture(n_components, covariance_type=kind)
    model.weights_ = np.full(n_components, 1 / n_components)
    model.means_ = rng.normal(size=shape) * scales
    model.covariances_ = {
        "full": np.array([np.diag(row) for row in variances]),
        "tied": np.diag(variances[0]),
        "diag": variances,
        "spherical": variances[:, 0],
    }[kind]
    names = [f"a rather long name of a feature {j}" for j in range(n_features)]
    labels = {k: f"a rather long label {k}" for k in range(n_components)} if has_labels else None
    reporting.show(*reporting.components(model, names, labels))
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() for line in lines)
    assert len(lines) <= (250 if has_labels else 150)
    assert not any("…" in line for line in lines if "±" in line and not has_labels)
    assert ("Only the 32 heaviest of 40 components are shown." in lines) == (n_components == 40)
    assert ("Only the first 24 of 30 features are shown." in lines) == (n_features == 30)
    assert all(f" {k} " in "\n".join(lines) for k in range(min(n_components, 32)))


def test_many_features_cost_no_matrices(run):
    np.save("table.npy", np.random.default_rng(0).normal(size=(4, 30_000)))  # 7 GB each, if there were any
    assert "first 24 of 30000 features" in run("fit table.npy -k 1 --covariance diag")


def test_names_cannot_steer_the_terminal(run, capsys):
    bad = "\x1b[31mred\x07"
    name = f"{bad} [bold]x.csv"
    write(f"{bad},[red]b[/red]\n1,2\n3,4\n5,7\n", name)
    assert cli.main(["fit", name, "-k", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == "" and "?[31mred? [bold]x.csv: 3 points" in out and "[red]b[/red]" in out and "\x1b" not in out
    write(f"{bad},[red]b[/red]\n1,2\n3,4\n5,{bad}\n", name)
    assert cli.main(["fit", name, "-k", "1", "--weights", "2"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err == (
        "fastem: error: ?[31mred? [bold]x.csv: line 4, column 2 ([red]b[/red]): '\\x1b[31mred\\x07' is not a number; "
        "choose columns with --columns, or leave some out with --exclude; the numeric column is 1\n"
    )
    assert cli.main(["fit", name, "-k", "1", "--columns", "\x1b[31m"]) == 2
    assert "\x1b" not in capsys.readouterr().err


def test_a_terminal_without_unicode(monkeypatch):
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(sys, "stdout", out)
    assert cli.main(["fit", "faithful", "-k", "2"]) == 0
    out.seek(0)
    assert "2.036 ? 0.26" in out.read()


def test_json_is_ascii_and_quiet_gives_way_to_it(run):
    write("größe\n1\n2\n4\n")
    text = run("fit table.csv -k 1 --json -q")
    assert text.isascii() and json.loads(text)["feature_names"] == ["größe"]


# -- help -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_fits_a_page_and_ends_in_an_example_that_works(run, command):
    text = run(f"{command} --help")
    lines = text.rstrip().splitlines()
    more = len(", ".join(FAMILIES)) - len(", ".join(STANDARD))  # characters of further families' names
    assert len(lines) <= 57 + -(-more // 40) and max(map(len, lines)) <= 80
    example = re.fullmatch(r" Example: fastem (.*?)( > .*)? *", lines[-1])
    assert example[1].startswith(command)
    assert callable(app.app(shlex.split(example[1]), prog_name="fastem", standalone_mode=False))
    assert not re.search(r"\[\[|\]\]", text)


def test_help_tells_of_every_command(run, capsys):
    text = run("--help")
    for command in COMMANDS:
        assert re.search(rf"^│ {command} ", text, re.MULTILINE)
    assert cli.main([]) == 2
    out, err = capsys.readouterr()
    assert out.rstrip() == text.rstrip() and err == ""


HEAVY = {"numba", "scipy.special", "scipy.linalg", "sklearn", "pandas", "pyarrow", "matplotlib", "PIL"}


def imported(calls, modules):
    """(standard output, standard error) of a script that calls `main` and must not import these modules."""
    script = f"""
import sys
from fastem.cli import main
{calls}
found = {modules!r} & set(sys.modules)
sys.exit(f"imported {{found}}" if found else 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_help_imports_nothing_heavy():
    calls = """
assert main(["--help"]) == main(["fit", "--help"]) == main(["select", "--help"]) == 0
assert main(["fit", "x.csv", "-k", "0"]) == main(["fot"]) == 2
"""
    out, _ = imported(calls, HEAVY | {"numpy"})
    assert "--covariance" in out


def test_a_missing_file_is_told_before_heavy_imports():
    lines = [
        "fit no.csv -k 2", "fit no.npy -k 2", "fit no.parquet -k 2", "select no.csv", "info no.npz", "sample no.npz",
        "predict no.npz x.csv", "predict x.npz no.csv", "score no.npz x.csv", "score x.npz no.csv", "plot no.npz",
        "plot x.npz no.csv", "impute no.npz x.csv", "impute x.npz no.csv",
    ]  # fmt: skip
    write("1\n2\n", "x.csv")
    write("no model", "x.npz")
    _, err = imported(f"for line in {lines}: assert main(line.split()) == 2", HEAVY | {"numpy"})
    missing = [re.search(r"\bno\.\w+", line)[0] for line in lines]
    assert err.splitlines() == [f"fastem: error: {name}: No such file or directory" for name in missing]


MODELS = {
    "full": lambda: fastem.GaussianMixture(2),
    "tied": lambda: fastem.GaussianMixture(2, covariance_type="tied"),
    "diag": lambda: fastem.GaussianMixture(2, covariance_type="diag"),
    "spherical": lambda: fastem.GaussianMixture(2, covariance_type="spherical"),
    "unfinished": lambda: fastem.GaussianMixture(2, max_iter=1, missing="em"),
    "bayesian": lambda: fastem.BayesianGaussianMixture(n_components=2, max_iter=1),
}


@grid("kind", MODELS, quick=["unfinished"])
def test_info_imports_nothing_heavy(kind):
    model = MODELS[kind]().set_params(random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(load_faithful().data).save("model.npz")
    out, _ = imported('assert main(["info", "model.npz"]) == main(["info", "model.npz", "--json"]) == 0', HEAVY)
    assert json.loads(out[out.index("{") :])["means"] == model.means_.tolist()


@grid("package", ["typer", "rich", "pyarrow", "matplotlib"], quick=["rich"])
def test_a_missing_package_is_named(package):
    script = f"""
import sys
import threading
from contextlib import contextmanager
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {package!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Blocker())
from fastem.cli import main
sys.exit(main(["fit", "faithful", "-k", "2", "--plot", "fit.png"]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=ENVIRONMENT)
    extra = "plot" if package == "matplotlib" else "cli"
    message = f"fastem: error: {package} is needed for this: pip install 'fastem[{extra}]'\n"
    assert (done.returncode, done.stdout, done.stderr) == (2, "", message)
    assert os.listdir() == []


# -- progress ---------------------------------------------------------------------------------------------------------


@contextmanager
def terminal(monkeypatch):
    """Standard error is a terminal of 120 columns in this block; yields a list, to which what was shown is added."""
    master, slave = pty.openpty()
    pieces, result = [], []

    def keep_reading():
        while True:
            try:
                pieces.append(os.read(master, 1 << 16))
            except OSError as error:  # Linux's way to say that the other end is closed
                assert error.errno == errno.EIO
                return

    reader = threading.Thread(target=keep_reading)
    reader.start()
    with monkeypatch.context() as patch, open(slave, "w") as stream:
        patch.setattr(sys, "stderr", stream)
        patch.setenv("COLUMNS", "120")
        patch.setenv("TERM", "xterm")
        patch.setattr(Progress, "update", partialmethod(Progress.update, refresh=True))  # however quick the command
        yield result
    reader.join()
    os.close(master)
    result.append(b"".join(pieces).decode())


def on_screen(shown):
    """What is left on the screen: lines that weren't erased."""
    lines = [""]
    for part in re.findall(r"\x1b\[[?\d;]*[a-zA-Z]|\r|\n|[^\x1b\r\n]+", shown):
        if part == "\n":
            lines.append("")
        elif part == "\x1b[2K":
            lines[-1] = ""
        elif part == "\x1b[1A":
            lines.pop()
        elif not part.startswith("\x1b") and part != "\r":
            lines[-1] += part
    return "\n".join(lines).strip()


def test_progress_in_a_terminal_leaves_a_clean_line(capsys, monkeypatch):
    np.save("table.npy", blobs(3, 4, n=6000))
    with terminal(monkeypatch) as shown:
        assert (
            cli.main(shlex.split("fit table.npy -k 3 --tol 0 --max-iter 100 --algorithm em --assign labels.csv")) == 0
        )
    assert re.search(
        r"iteration \d+: -?\d+\.\d+ \([+-][\d.e+-]+\) nats per point, [\d.]+ [kMG] points/s, \d+ s", shown[0]
    )
    assert " left" not in shown[0]
    assert on_screen(shown[0]) == "fastem: note: not converged after 100 iterations: raise --max-iter or --tol"
    assert capsys.readouterr().out.startswith("data ")


def test_progress_of_reading(capsys, monkeypatch):
    monkeypatch.setattr("fastem.cli.text._CHUNK", 1 << 14)
    np.savetxt("table.csv", blobs(2, 4, n=20_000), delimiter=",")
    with terminal(monkeypatch) as shown:
        assert cli.main(shlex.split("fit table.csv -k 2")) == 0
    assert re.search(r"reading: \d+,\d+ rows, [\d.]+ [kM] rows/s", shown[0])
    assert on_screen(shown[0]) == ""


def test_progress_is_gone_after_an_error(monkeypatch):
    write("1,2\n" * 200_000 + "3,x\n")
    with terminal(monkeypatch) as shown:
        assert cli.main(shlex.split("fit table.csv -k 2")) == 2
    assert on_screen(shown[0]).startswith("fastem: error: table.csv: line 200001, column 2 (x2): 'x' is not a number")


@pytest.mark.parametrize("line", ["fit faithful -k 2 -q", "predict model.npz faithful", "sample model.npz"])
def test_nothing_is_shown_where_it_is_not_wanted(capsys, monkeypatch, line):
    fastem.GaussianMixture(2, random_state=0).fit(load_faithful().data).save("model.npz")
    with terminal(monkeypatch) as shown:
        assert cli.main(shlex.split(line)) == 0  # whose rows go to the terminal, too
    assert shown == [""]


def test_rates():
    assert [live._short(r) for r in (5, 999, 1e3, 2.345e6, 1e9)] == ["5", "999", "1 k", "2.35 M", "1 G"]


# -- digits ---------------------------------------------------------------------------------------------------------


def test_what_is_printed_no_longer_moves(run):
    """Pearson's (1894) crabs, whose likelihood is flat about its maximum, and one feature of Old Faithful."""
    counts = [1, 3, 5, 2, 7, 10, 13, 19, 20, 25, 40, 31, 60, 62, 54, 74, 84, 86, 96, 85, 75, 47, 43, 24, 19, 9, 5, 0, 1]
    write("ratio,freq\n" + "".join(f"{0.5815 + 0.004 * i:.4f},{n}\n" for i, n in enumerate(counts)), "crabs.csv")
    for line in "fit crabs.csv -k 2 --weights freq --reg-covar 1e-12", "fit faithful -k 2 --columns waiting":
        default, far = (json.loads(run(f"{line} --json {more}")) for more in ("", "--tol 1e-13 --max-iter 5000"))
        np.testing.assert_allclose(np.sort(default["weights"]), np.sort(far["weights"]), atol=5e-5)
        assert default["warnings"] == []
    assert "0.3609" in run("fit faithful -k 2 --columns waiting")


@pytest.mark.parametrize(
    ("change", "weight", "mean"),
    [
        (np.nan, "0.6869", "-3.14159 ± 0.00123"),
        (1e-6, "0.6869", "-3.14159 ± 0.00123"),
        (4e-4, "0.687", "-3.14159 ± 0.00123"),
        (0.03, "0.7", "-3.1416 ± 0.0012"),
        (np.inf, "0.6869", "-3.14159 ± 0.00123"),
    ],
)
def test_digits_that_may_still_change_are_left_out(change, weight, mean):
    model = fastem.GaussianMixture.from_parameters([0.68693, 0.31307], [[-np.pi], [0]], [[[0.001234**2]], [[1]]])
    model.fit_report_.remaining_change = change
    (table, *_) = reporting.components(model, ["x"])
    cells = [next(iter(column.cells)) for column in table.columns]
    assert cells[1:] == [weight, mean]
    assert reporting.n_moving_digits(change) == 6 - len(weight)


def test_a_fit_that_could_go_on_says_how(run, monkeypatch):
    monkeypatch.setattr(reporting, "n_moving_digits", lambda change: 2)
    _, err = run("fit faithful -k 2")
    assert "so fewer digits are printed; a lower --tol goes on" in err
    out, err = run("fit faithful -k 2 --json")
    assert "--tol" in json.loads(out)["warnings"][-1]
