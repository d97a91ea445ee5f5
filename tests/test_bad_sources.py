"""Points from anywhere that can't be used: an error says what is wrong and where, and leaves the estimator alone."""

import threading

import numpy as np
import pandas as pd
import pytest

from fastem.sources import ArraySource, BlockSource, ParquetSource, SourceError, as_source

from .fits import fitted, mixture, points
from .held import HELD, arrow, frame, npy, parquet, table, with_nan
from .test_bad_input import refuses

every_way = pytest.mark.parametrize("way", HELD)


# -- what can't be used -----------------------------------------------------------------------------------------------


def dates(X):
    return pd.DataFrame({"day": pd.date_range("2020-01-01", periods=len(X))})


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        (lambda X: (rows for rows in [X]), TypeError, "X is an iterator.*pass a function that returns a fresh one"),
        (lambda X: map(np.asarray, [X]), TypeError, "X is an iterator"),
        (lambda X: lambda: None, SourceError, "should return an iterable of blocks, but returned NoneType"),
        (lambda X: lambda: 3, SourceError, "should return an iterable of blocks, but returned int"),
        (lambda X: lambda: X, SourceError, r"block 0 has the shape \(4,\), but should be two-dimensional"),
        (lambda X: lambda: [X, X[:, 0]], SourceError, r"block 1 has the shape \(200,\), but should be two-dimensional"),
        (lambda X: lambda: [X[None]], SourceError, r"block 0 has the shape \(1, 200, 4\)"),
        (lambda X: lambda: [X[:, :0]], SourceError, r"block 0 has the shape \(200, 0\).* with at least one column"),
        (lambda X: lambda: [], SourceError, "gave no rows"),
        (lambda X: lambda: [X[:0], X[:0]], SourceError, "gave no rows"),
        (lambda X: lambda: [X[:2]], ValueError, "Expected n_samples >= n_components but got n_components = 3, n_samp"),
        (lambda X: lambda: [X, X[:, :3]], SourceError, "block 1 has 3 columns, not 4 like those before"),
        (
            lambda X: lambda: [frame(X).assign(width="broad")],
            SourceError,
            "column 'width' holds text: 'broad' in row 0.*of numbers are 'length', 'height', 'weight'",
        ),
        (lambda X: lambda: [X.astype(str)], SourceError, "block 0 is of dtype <U32, but should hold real numbers"),
        (lambda X: lambda: [X, X * 1j], SourceError, "block 1 is of dtype complex128, but should hold real numbers"),
        (lambda X: lambda: [dates(X)], SourceError, "block 0 should hold real numbers, but has dtype datetime64"),
        (lambda X: lambda: [X, with_nan(X, [7, 9])], SourceError,
         r"X contains NaN.\n2 rows hold .*first is row 7 of block 1 \(row 207 of all\)"),
        (lambda X: lambda: [X, X[:0], with_nan(X, 7, -np.inf)], SourceError,
         r"X contains infinity.\n1 row holds .*first is row 7 of block"),
        (lambda X: lambda: [frame(X).assign(width=pd.array([None] * 200, dtype="Int64"))], SourceError,
         "X contains NaN.\n200 rows hold .*first is row 0 of block 0"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_fitted", [False, True])
def test_blocks_that_can_not_be_used(source, error, match, is_fitted):
    X, _ = points(200)
    model = mixture()
    if is_fitted:
        model.fit(frame(X))
    refuses(model, error, match, source(X))


def test_a_function_that_gives_the_same_iterator_again():
    X, _ = points(200)
    blocks = iter([X])
    refuses(mixture(), SourceError, "gave 0 rows now, not the 200 rows of the pass before", lambda: blocks)


@pytest.mark.parametrize(
    ("X", "match"),
    [
        (np.zeros(30), r"points.npy: .*shape \(30,\).*two-dimensional"),
        (np.zeros((30, 2, 2)), r"points.npy: .*shape \(30, 2, 2\).*two-dimensional"),
        (np.zeros((0, 2)), "points.npy.* no rows"),
        (np.zeros((30, 0)), r"points.npy.* shape \(30, 0\)|points.npy.* no columns"),
        (np.zeros((30, 2)).astype(str), "points.npy.* dtype <U32"),
        (np.zeros((30, 2)) * 1j, "points.npy.* dtype complex128"),
        (np.zeros((30, 2)).astype("M8[s]"), r"points.npy.* dtype datetime64\[s\]"),
        (np.zeros((30, 2)).astype(object), "points.npy: can't be read as .npy"),
        (with_nan(np.zeros((30, 2)), 17), "first is .*points.npy: row 17"),
    ],
)
def test_npy_files_that_can_not_be_used(X, match, tmp_path):
    refuses(mixture(), SourceError, match, npy(X, tmp_path))


@pytest.mark.parametrize(
    ("name", "content", "match"),
    [
        ("nothing.npy", None, "nothing.npy: no such file"),
        ("nothing.parquet", None, "nothing.parquet: no such file"),
        ("nothing", None, "nothing: no such file"),
        ("empty.npy", b"", "empty.npy: can't be read as .npy"),
        ("text.npy", b"1, 2", "text.npy: can't be read as .npy"),
        ("text.parquet", b"1, 2" * 5, "text.parquet: can't be read as Parquet"),
        ("empty.parquet", b"", "empty.parquet: can't be read as Parquet"),
        ("text.csv", b"1, 2", "text.csv: fastem reads .npy and Parquet files. Load others into an array"),
        ("text", b"1, 2", "text: fastem reads .npy and Parquet files. Load others into an array"),
    ],
)
def test_files_that_are_no_points(name, content, match, tmp_path):
    if name.endswith(".parquet"):
        arrow()
    if content is not None:
        (tmp_path / name).write_bytes(content)
    for path in (tmp_path / name, str(tmp_path / name)):
        refuses(mixture(), SourceError, match, path)


def test_a_folder_without_parquet(tmp_path):
    arrow()
    (tmp_path / "_x.parquet").touch()
    refuses(mixture(), SourceError, "no .parquet file in this folder", tmp_path)


@pytest.mark.parametrize("way", [".npy", "Parquet file"])
def test_files_that_were_cut_short(way, tmp_path):
    file = HELD[way](points()[0], tmp_path)
    file.write_bytes(file.read_bytes()[:-2000])
    refuses(mixture(), SourceError, f"{file.name}: can't be read as", file)


def test_parquet_that_can_not_be_used(tmp_path):
    X, _ = points()
    text = np.full(len(X), "a")
    file = parquet(with_nan(X, [750, 751]), tmp_path / "x.parquet", name=text)
    match = r"2 rows hold .*first is row 50 of row group 1 of .*x.parquet \(row 750 of all\)"
    refuses(mixture(), SourceError, match, file)
    with pytest.raises(SourceError, match=r"x.parquet: no column 'depth' among 'length', 'width', .*'name'"):
        ParquetSource(file, columns=["length", "depth"])
    with pytest.raises(SourceError, match="columns should be a list of names, but got 'length'"):
        ParquetSource(file, columns="length")
    source = ParquetSource(file, columns=["length", "name"])
    refuses(mixture(), SourceError, "x.parquet, row group 0.*column 'name' is of type string, not a number", source)
    lengths = ParquetSource(file, columns=["length"])
    refuses(mixture(), SourceError, "x.parquet: no column 'w' among 'length', ", lengths, sample_weight="w")
    refuses(mixture(), ValueError, "labels give component 1 no point", lengths, labels="name")
    refuses(mixture(), ValueError, "labels should be integers", lengths, labels="height")
    refuses(mixture(), ValueError, "Negative", lengths, sample_weight="height")
    only_text = parquet(X[:, :0], tmp_path / "text.parquet", name=text)
    refuses(mixture(), SourceError, "text.parquet.* no columns? of numbers", only_text)
    refuses(mixture(), SourceError, "none.parquet gave no rows", parquet(X[:0], tmp_path / "none.parquet"))


def test_parquet_files_of_a_folder_that_differ(tmp_path):
    X, _ = points()
    parquet(X, tmp_path / "1.parquet")
    parquet(X[:, :3], tmp_path / "2.parquet")
    refuses(mixture(), SourceError, "2.parquet: no column 'weight', but .*1.parquet has one", tmp_path)
    parquet(X[:, :3], tmp_path / "2.parquet", weight=np.full(len(X), "heavy"))
    refuses(mixture(), SourceError, "2.parquet, row group 0.*column 'weight' is of type string", tmp_path)
    parquet(with_nan(X, 1500), tmp_path / "2.parquet")
    refuses(mixture(), SourceError, r"first is row 100 of row group 2 of .*2.parquet \(row 4500 of all\)", tmp_path)


@pytest.mark.parametrize("way", ["memmap", ".npy", "arrays", "Arrow table"])
def test_columns_have_names_only_in_parquet(way, tmp_path):
    source = HELD[way](points()[0], tmp_path)
    for name in ("sample_weight", "labels"):
        refuses(
            mixture(),
            ValueError,
            "the column name 'w', but X has no named columns beside its features: pass an array",
            source,
            **{name: "w"},
        )


@every_way
def test_predictions_need_as_many_features(way, tmp_path):
    X, _ = points()
    model = fitted(X[:, :3])
    source = HELD[way](X, tmp_path)
    for method in (model.predict, model.predict_proba, model.score_samples, model.score):
        with pytest.raises(ValueError, match="X has 4 features, but GaussianMixture is expecting 3 features"):
            method(source)


@every_way
def test_predictions_say_which_row_they_can_not_judge(way, tmp_path):
    X, _ = points()
    model = fitted(X)
    source = HELD[way](with_nan(X, 1234), tmp_path)
    where = {"Parquet folder": "row 334 of all|row 1234 of all|row 334 of row group"}.get(way, "1234")
    for method in (model.predict, model.predict_proba, model.score_samples, model.score):
        with pytest.raises(ValueError, match=rf"1 row holds NaN or infinity, the first is .*({where})"):
            method(source)


@pytest.mark.parametrize(
    ("X", "kind"),
    [
        (lambda folder: str(npy(np.zeros((3, 2)), folder)), ArraySource),
        (lambda folder: npy(np.zeros((3, 2)), folder), ArraySource),
        (lambda folder: str(parquet(np.zeros((3, 2)), folder / "x.parq")), ParquetSource),
        (lambda folder: lambda: [], BlockSource),
        (lambda folder: table(np.zeros((3, 2))), BlockSource),
        (lambda folder: ArraySource(np.zeros((3, 2))), ArraySource),
    ],
)
def test_what_is_taken_for_a_source(X, kind, tmp_path):
    assert type(as_source(X(tmp_path))) is kind
    assert as_source(np.zeros((3, 2))) is as_source([[1.0]]) is as_source(frame(np.zeros((3, 2)))) is None


def test_no_thread_reads_ahead_once_a_pass_is_over_or_has_failed(tmp_path):
    X, _ = points()
    source = ParquetSource(parquet(X, tmp_path / "x.parquet", 100))
    source.scan()
    parts = source.parts(64)
    next(parts)
    parts.close()
    with pytest.raises(SourceError):
        ParquetSource(parquet(with_nan(X, 5), tmp_path / "x.parquet", 100)).scan()
    assert not [thread for thread in threading.enumerate() if thread.name == "fastem-read-ahead"]


def test_an_interrupt_while_the_reading_thread_starts_leaves_none(tmp_path, monkeypatch):
    X, _ = points()
    source = ParquetSource(parquet(X, tmp_path / "x.parquet", 100))
    start = threading.Thread.start

    def interrupted(thread):
        start(thread)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            source.scan()
    assert not [thread for thread in threading.enumerate() if thread.name == "fastem-read-ahead"]
