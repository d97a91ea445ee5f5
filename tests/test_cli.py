"""The command line, run in process through `main`, and once as a real command."""

import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import multivariate_normal

import fastem
from fastem import cli
from fastem.cli.reporting import PAGE_WIDTH
from fastem.datasets import load_faithful

FAITHFUL_LOG_LIKELIHOOD = -1130.264  # mclust, 2 components, unconstrained covariances


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(text, name="table.csv", **options):
    Path(name).write_text(text, newline="", **options)
    return name


def run_json(capsys, *argv):
    assert cli.main(["fit", *argv, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def fails(capsys, *argv):
    """Run a command that must fail; return its error message."""
    assert cli.main(["fit", *argv]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("fastem: error: ") and err.count("\n") == 1
    assert "Traceback" not in err
    return err


def usage_error(capsys, *argv):
    with pytest.raises(SystemExit) as exit_:
        cli.main([*argv])
    assert exit_.value.code == 2
    return capsys.readouterr().err


def blobs(n_components, n_features, seed=0):
    rng = np.random.default_rng(seed)
    centres = 20 * rng.normal(size=(n_components, n_features))
    return np.repeat(centres, 50, axis=0) + rng.normal(size=(50 * n_components, n_features))


# ---------------------------------------------------------------------------------------------------
# Fitting
# ---------------------------------------------------------------------------------------------------


def test_faithful_reaches_the_published_log_likelihood(capsys):
    result = run_json(capsys, "faithful", "-k", "2", "--tol", "1e-9", "--max-iter", "1000")
    assert result["log_likelihood"] == pytest.approx(FAITHFUL_LOG_LIKELIHOOD, abs=1e-3)
    assert result["log_likelihood_per_sample"] == pytest.approx(FAITHFUL_LOG_LIKELIHOOD / 272, abs=1e-5)
    assert result["bic"] == pytest.approx(-2 * FAITHFUL_LOG_LIKELIHOOD + 11 * np.log(272), abs=2e-3)
    assert result["converged"] is True and result["n_iter"] >= 1 and result["seconds"] > 0
    assert sorted(result["weights"]) == pytest.approx([0.3559, 0.6441], abs=1e-4)
    assert sorted(result["means"])[0] == pytest.approx([2.0364, 54.4785], abs=1e-3)


def test_a_file_called_faithful_comes_before_the_shipped_data(capsys):
    write("1\n2\n4\n", "faithful")
    assert run_json(capsys, "faithful", "-k", "1")["n_samples"] == 3


def test_options_reach_the_estimator(capsys, monkeypatch):
    seen = {}

    class Recorder(fastem.GaussianMixture):
        def __init__(self, **options):
            seen.update(options)
            super().__init__(**options)

    monkeypatch.setattr(fastem, "GaussianMixture", Recorder)
    options = "-k 3 --covariance-type diag --tol 0.5 --max-iter 7 --n-init 2 --reg-covar 0.25"
    options += " --init random_from_data --seed 11 --threads 1 -q"
    assert cli.main(["fit", "faithful", *options.split()]) == 0
    assert capsys.readouterr().out == ""
    assert seen == {
        "n_components": 3,
        "covariance_type": "diag",
        "tol": 0.5,
        "max_iter": 7,
        "n_init": 2,
        "reg_covar": 0.25,
        "init_params": "random_from_data",
        "random_state": 11,
        "n_threads": 1,
    }


def test_defaults_are_the_estimators():
    args = cli.make_parser().parse_args(["fit", "x.csv", "-k", "1"])
    given = {
        "covariance_type": args.covariance_type,
        "tol": args.tol,
        "max_iter": args.max_iter,
        "n_init": args.n_init,
        "reg_covar": args.reg_covar,
        "init_params": args.init,
        "n_threads": args.threads,
    }
    signature = inspect.signature(fastem.GaussianMixture).parameters
    assert given == {name: signature[name].default for name in given}


def test_the_same_command_gives_the_same_result(capsys):
    command = ["faithful", "-k", "3", "--init", "random_from_data"]
    first, second = run_json(capsys, *command), run_json(capsys, *command)
    assert first["means"] == second["means"]


def test_stopping_early_is_a_note(capsys):
    assert cli.main(["fit", "faithful", "-k", "2", "--init", "random", "--max-iter", "1"]) == 0
    out, err = capsys.readouterr()
    assert err == "fastem: note: not converged after 1 iteration: raise --max-iter or --tol\n"
    assert "1, not converged" in out


# ---------------------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------------------

NAMED = ["first one", "b"]
VALUES = [[1.5, -2e-3], [0.1, 4.0], [7.0, 1e10]]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\n\n\n", "   \n"], ids=repr)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("delimiter", [",", ", ", ";", "\t", " ", "   "], ids=repr)
def test_text_in_many_dialects(delimiter, header, encoding, end):
    names = ["första", *NAMED[1:]] if encoding == "latin-1" else NAMED
    rows = [[f'"{name}"' for name in names]] if header else []
    rows += [[repr(value) for value in row] for row in VALUES]
    write(end.join(delimiter.join(row) for row in rows) + end, encoding=encoding)
    X, feature_names = cli.load("table.csv")
    assert X.dtype == np.float64
    assert X.tolist() == VALUES
    assert feature_names == (names if header else ["x1", "x2"])


@pytest.mark.parametrize(
    "text, names, values",
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
        ("\n\na b\n\n1 2\n3 4\n", ["a", "b"], [[1, 2], [3, 4]]),
        ("year,2024\n1,2\n3,4\n", ["year", "2024"], [[1, 2], [3, 4]]),
        (" 1  2\n 3 4 \n", ["x1", "x2"], [[1, 2], [3, 4]]),
    ],
)
def test_text_of_many_shapes(text, names, values):
    X, feature_names = cli.load(write(text))
    assert feature_names == names
    assert X.tolist() == values


def test_both_readers_agree():
    # The quick reader gives way to the slow one at the unused column of text.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) * 10.0 ** rng.integers(-9, 9, size=(200, 3))
    plain = "\n".join(",".join(map(repr, row)) for row in X.tolist())
    with_text = "\n".join(",".join(["word", *map(repr, row)]) for row in X.tolist())
    np.testing.assert_array_equal(cli.load(write(plain))[0], X)
    np.testing.assert_array_equal(cli.load(write(with_text), "2,3,4")[0], X)


def test_nameless_first_column_is_row_names(capsys):
    X, names = cli.load(write(",a,b\n0,1,2\n1,3,4\n"))
    assert (names, X.tolist()) == (["a", "b"], [[1, 2], [3, 4]])
    assert "column 1 has no name" in capsys.readouterr().err
    X, names = cli.load(write('"","a"\n"Mazda RX4",1\n"Fiat",3\n'))
    assert (names, X.tolist()) == (["a"], [[1], [3]])
    X, names = cli.load(write(",a,b\n0,1,2\n1,3,4\n"), "1,b")
    assert (names, X.tolist()) == (["x1", "b"], [[0, 2], [1, 4]])


@pytest.mark.parametrize("columns, expected", [("b", [1]), ("c,a", [2, 0]), ("3,1", [2, 0]), ('"b", 1', [1, 0])])
@pytest.mark.parametrize("suffix", ["csv", "npy"])
def test_columns(columns, expected, suffix):
    X = np.arange(12.0).reshape(4, 3)
    if suffix == "csv":
        write("a,b,c\n" + "\n".join(",".join(map(str, row)) for row in X))
    else:
        np.save("table.npy", X)
        for name, number in zip("abc", "123", strict=True):
            columns = columns.replace(name, number)
    chosen, names = cli.load(f"table.{suffix}", columns)
    np.testing.assert_array_equal(chosen, X[:, expected])
    assert names == ["abc"[j] if suffix == "csv" else f"x{j + 1}" for j in expected]


def test_a_name_comes_before_a_number():
    X, _ = cli.load(write("a,1\n5,6\n7,8\n"), "1")
    assert X.tolist() == [[6], [8]]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int16", "uint8", "bool"])
def test_npy_is_mapped_as_it_is(dtype):
    np.save("table.npy", np.eye(3).astype(dtype))
    X, names = cli.load("table.npy")
    assert isinstance(X, np.memmap) and not X.flags.writeable
    assert X.dtype == dtype
    assert names == ["x1", "x2", "x3"]


def test_npy_vector_is_one_column(capsys):
    np.save("table.npy", blobs(2, 1).ravel())
    result = run_json(capsys, "table.npy", "-k", "2")
    assert (result["n_samples"], result["n_features"]) == (100, 1)


@pytest.mark.parametrize(
    "text, parts",
    [
        ("", ["the file is empty"]),
        ("\n \n", ["the file is empty"]),
        ("a,b\n", ["no rows after the header"]),
        ("a,b\n1,2\n3\n", ["line 3 has 1 column, not 2"]),
        ("a,b\n1,2\n3,4,5\n", ["line 3 has 3 columns, not 2"]),
        ("a,b\n1,2\n\n3,x y\n", ["column 2 (b), line 4", "'x y' is not a number", "--columns"]),
        ("5.1,setosa\n4.9,setosa\n", ["column 2 (x2), line 1", "'setosa'"]),
        ("a;b\n1;2,5\n3;4\n", ["column 2 (b), line 2", "'2,5'"]),
        ("a\n1\nx\n", ["column 1 (a), line 3", "'x' is not a number"]),
        ("a,b\n1,\n3,4\nNA,nan\n", ["3 missing or infinite values", "line 2, column 2 (b)"]),
        ("a,b\n1,2\n3,inf\n", ["1 missing or infinite value,", "line 3, column 2 (b)"]),
        ("NA,1\n2,3\n", ["1 missing or infinite value,", "line 1, column 1 (x1)"]),
        ("PK\0\1\2", ["not a text file"]),
        ("a,b\n" + 60000 * "1,2\n" + '3,"4\n' + 60000 * "5,6\n", ["is a quotation mark missing?"]),
    ],
)
def test_bad_text_is_explained(capsys, text, parts):
    message = fails(capsys, write(text), "-k", "1")
    for part in ["table.csv", *parts]:
        assert part in message


@pytest.mark.parametrize(
    "columns, part",
    [
        ("d", "no column 'd' among its 4: a, b, c, c"),
        ("0", "no column '0'"),
        ("5", "no column '5'"),
        ("c", "2 columns are called 'c'"),
        ("a,1", "different columns"),
        ("", "one or more"),
    ],
)
def test_bad_columns_are_explained(capsys, columns, part):
    assert part in fails(capsys, write("a,b,c,c\n1,2,3,4\n5,6,7,8\n"), "-k", "1", "--columns", columns)


@pytest.mark.parametrize(
    "array", [np.zeros((2, 2, 2)), np.array(1.0), np.array(["a"]), np.array([1j]), np.array([[None]])]
)
def test_bad_npy_is_explained(capsys, array):
    np.save("table.npy", array, allow_pickle=True)
    assert "table.npy" in fails(capsys, "table.npy", "-k", "1")


def test_unreadable_files_are_explained(capsys):
    assert "absent.csv: No such file" in fails(capsys, "absent.csv", "-k", "1")
    assert "absent.npy: No such file" in fails(capsys, "absent.npy", "-k", "1")
    Path("folder").mkdir()
    assert "folder: Is a directory" in fails(capsys, "folder", "-k", "1")
    assert "not a readable .npy array" in fails(capsys, write("1,2\n", "text.npy"), "-k", "1")
    assert "not a readable .npy array" in fails(capsys, write("", "empty.npy"), "-k", "1")


def test_data_the_estimator_refuses(capsys):
    np.save("table.npy", np.array([[1.0, 2.0], [np.nan, 4.0], [5.0, 6.0]]))
    assert "NaN" in fails(capsys, "table.npy", "-k", "1")
    assert "5" in fails(capsys, write("1,2\n3,4\n5,7\n"), "-k", "5")


# ---------------------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
def test_saved_labels_and_model_belong_together(capsys, kind):
    command = ["faithful", "-k", "2", "--covariance-type", kind, "--model", "model.npz"]
    result = run_json(capsys, *command, "--labels", "labels.npy")
    assert cli.main(["fit", *command, "--labels", "labels.csv", "-q"]) == 0
    assert sorted(os.listdir()) == ["labels.csv", "labels.npy", "model.npz"]

    labels = np.load("labels.npy")
    header, *lines = Path("labels.csv").read_text().split()
    assert header == "label" and list(map(int, lines)) == labels.tolist()

    with np.load("model.npz") as model:  # allow_pickle=False
        saved = {name: model[name] for name in model.files}
    for name in ("weights", "means", "covariances"):
        assert saved[name].tolist() == result[name]
    assert saved["covariance_type"] == kind
    assert saved["feature_names"].tolist() == ["eruptions", "waiting"]
    matrices = {
        "full": lambda c: c,
        "tied": lambda c: [c, c],
        "diag": lambda c: [np.diag(row) for row in c],
        "spherical": lambda c: [value * np.eye(2) for value in c],
    }[kind](saved["covariances"])
    X = load_faithful().data
    densities = [
        np.log(weight) + multivariate_normal(mean, matrix).logpdf(X)
        for weight, mean, matrix in zip(saved["weights"], saved["means"], matrices, strict=True)
    ]
    np.testing.assert_array_equal(labels, np.argmax(densities, axis=0))
    total = np.logaddexp(*densities).sum()
    assert result["log_likelihood"] == pytest.approx(total, rel=1e-10)


def test_outputs_replace_what_was_there_through_links():
    write("old", "target.csv")
    os.symlink("target.csv", "link.csv")
    assert cli.main(["fit", "faithful", "-k", "1", "--labels", "link.csv", "-q"]) == 0
    assert Path("target.csv").read_text() == "label\n" + "0\n" * 272
    assert os.path.islink("link.csv")


@pytest.mark.parametrize(
    "option, path, part",
    [
        ("--labels", "no/such/labels.csv", "can't be written"),
        ("--model", "folder.npz", "is a directory"),
        ("--labels", "table.csv", "would overwrite the data"),
    ],
)
def test_bad_output_is_refused_before_the_fit(capsys, monkeypatch, option, path, part):
    monkeypatch.setattr(cli, "_fit", lambda *args: pytest.fail("it fitted"))
    Path("folder.npz").mkdir()
    write("1\n2\n3\n")
    message = fails(capsys, "table.csv", "-k", "1", option, path)
    assert path in message and part in message
    assert Path("table.csv").read_text() == "1\n2\n3\n"


@pytest.mark.parametrize("failure, code", [(KeyboardInterrupt, 130), (ValueError, 1), (MemoryError, 1)])
def test_a_failure_leaves_earlier_outputs_alone(capsys, monkeypatch, failure, code):
    def fit(*args, **kwargs):
        raise failure

    monkeypatch.setattr(fastem.GaussianMixture, "fit", fit)
    write("old", "labels.csv")
    outputs = ["--labels", "labels.csv", "--model", "model.npz"]
    assert cli.main(["fit", "faithful", "-k", "2", *outputs]) == code
    assert os.listdir() == ["labels.csv"]
    assert Path("labels.csv").read_text() == "old"
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("fastem: ") and err.count("\n") == 1


def test_nothing_is_saved_unless_everything_can_be(capsys, monkeypatch):
    def full_disk(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "_write_model", full_disk)
    assert "No space left" in fails(capsys, "faithful", "-k", "1", "--labels", "labels.csv", "--model", "model.npz")
    assert os.listdir() == []


# ---------------------------------------------------------------------------------------------------
# Printing
# ---------------------------------------------------------------------------------------------------


def test_report_of_faithful(capsys):
    assert cli.main(["fit", "faithful", "-k", "2", "--tol", "1e-9", "--max-iter", "1000"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split(maxsplit=1) == ["data", "faithful: 272 points, 2 features"]
    assert lines[1].split(maxsplit=1) == ["model", "2 components, full covariance"]
    assert lines[2].split(maxsplit=1) == ["log-likelihood", "-1130.264 nats (-4.155382 per point)"]
    assert lines[3].split(maxsplit=1) == ["BIC", "2322.192 (lower is better)"]
    assert lines[4].startswith("iterations") and lines[4].endswith(", converged")
    assert lines[5].startswith("seconds")
    text = "\n".join(lines)
    for expected in ("weight 0.3559", "weight 0.6441", "waiting    54.47", "36.04"):
        assert expected in text


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (16, 10), (40, 2), (2, 30)])
def test_report_fits_a_page(shape, kind):
    n_components, n_features = shape
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.integers(-8, 9, size=n_features)
    means = rng.normal(size=shape) * scales
    variances = rng.uniform(0.5, 2, size=shape) * scales**2
    covariances = {
        "full": [np.diag(row) for row in variances],
        "tied": np.diag(variances[0]),
        "diag": variances,
        "spherical": variances[:, 0],
    }[kind]
    names = [f"a rather long name of a feature {j}" for j in range(n_features)]
    text = cli.report(
        {
            "data": "x.csv",
            "n_samples": 1000000,
            "n_features": n_features,
            "feature_names": names,
            "n_components": n_components,
            "covariance_type": kind,
            "log_likelihood": -1e9,
            "log_likelihood_per_sample": -1e3,
            "bic": 2e9,
            "n_iter": 10,
            "converged": True,
            "seconds": 1.0,
            "weights": np.full(n_components, 1 / n_components).tolist(),
            "means": means.tolist(),
            "covariances": np.array(covariances).tolist(),
        }
    )
    lines = text.splitlines()
    assert max(map(len, lines)) <= PAGE_WIDTH
    assert all(line == line.rstrip() for line in lines)
    assert len(lines) <= 400
    assert ("--json prints everything" in text) == ("standard deviations" in text)
    assert ("heaviest of 40" in text) == (n_components == 40 and "--json" in text)


def test_names_cannot_steer_the_terminal(capsys):
    write("\x1b[31mred,b\n1,2\n3,4\n5,7\n")
    assert cli.main(["fit", "table.csv", "-k", "1"]) == 0
    assert "\x1b" not in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------
# The command itself
# ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "argv, part",
    [
        ([], "COMMAND"),
        (["fit"], "FILE"),
        (["fit", "faithful"], "-k"),
        (["fit", "faithful", "-k", "0"], "must be at least 1, got 0"),
        (["fit", "faithful", "-k", "two"], "invalid int value"),
        (["fit", "faithful", "-k", "2", "--tol", "-1"], "at least 0 and finite"),
        (["fit", "faithful", "-k", "2", "--reg-covar", "nan"], "at least 0 and finite"),
        (["fit", "faithful", "-k", "2", "--seed", "4294967296"], "between 0 and"),
        (["fit", "faithful", "-k", "2", "--covariance-type", "round"], "invalid choice"),
        (["fit", "faithful", "-k", "2", "--labels", "out.txt"], "must end in .csv or .npy"),
        (["fit", "faithful", "-k", "2", "--model", "out.pkl"], "must end in .npz"),
        (["fit", "faithful", "-k", "2", "--json", "-q"], "not allowed with"),
        (["fit", "faithful", "-k", "2", "--comp", "2"], "unrecognized"),
    ],
)
def test_usage_errors(capsys, argv, part):
    assert part in usage_error(capsys, *argv)


def test_help_imports_nothing_heavy():
    script = """
import sys
from fastem.cli import main
try:
    main(["fit", "--help"])
except SystemExit as exit_:
    assert exit_.code == 0
heavy = {"numpy", "numba", "scipy", "sklearn", "pandas"} & set(sys.modules)
sys.exit(f"imported {heavy}" if heavy else 0)
"""
    root = str(Path(fastem.__file__).resolve().parents[1])
    environment = {**os.environ, "PYTHONPATH": root}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == 0, done.stderr
    assert "--covariance-type" in done.stdout


def test_python_m_fastem_in_a_pipe():
    root = str(Path(fastem.__file__).resolve().parents[1])
    done = subprocess.run(
        [sys.executable, "-m", "fastem", "fit", "faithful", "-k", "2", "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": root},
        timeout=300,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["n_samples"] == 272


def test_warm_up_knows_its_types(capsys):
    assert "full, tied, diag, spherical" in usage_error(capsys, "warm-up", "fuII")
