"""The same points give the same bits, whatever holds them."""

import functools
import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastem import sources
from fastem.sources import ParquetSource, SourceError
from fastem.sources.annotations import DrawnResponsibilities
from fastem.sources.base import aligned

from .data_sets import COVARIANCE_TYPES
from .fits import assert_same_bits, fitted, mixture, points, quietly
from .grids import exhaustive, grid
from .held import HELD, NAMES, arrow, blocks_of, frame, npy, parquet

every_way = pytest.mark.parametrize("way", HELD)
some_ways = grid("way", HELD, quick=[".npy", "Parquet file"])


@pytest.fixture(autouse=True, scope="module")
def nothing_is_small():
    """So that it is the source that is read, again in each pass, and not a copy in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastem.estimators.em_mixture._SMALL", 0)
        patch.setattr("fastem.fitting.few._FEW", 0)
        yield


# -- the same points, held in every way -------------------------------------------------------------------------------


@functools.cache
def in_memory(dtype="float64", **params):
    return fitted(points()[0].astype(dtype), **params)


def same_bits_held(way, folder, dtype="float64", **params):
    model = fitted(HELD[way](points()[0].astype(dtype), folder), tol=1e-4, **params)
    assert_same_bits(model, in_memory(dtype, tol=1e-4, **params))
    assert model.n_features_in_ == 4
    assert model.n_samples_seen_ == 3000


@every_way
@grid("algorithm", ["auto", "em"], quick=["em"])
@grid("dtype", ["float64", "float32"], quick=["float64"])
@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_the_same_bits_however_points_are_held(way, algorithm, dtype, covariance_type, tmp_path):
    same_bits_held(way, tmp_path, dtype, algorithm=algorithm, covariance_type=covariance_type)


@some_ways
@grid("init_params", ["random", "k-means++", "random_from_data"], quick=["random"])
def test_the_same_bits_from_every_start(way, init_params, tmp_path):
    same_bits_held(way, tmp_path, init_params=init_params)


@some_ways
@pytest.mark.parametrize("assignment", ["hard", "stochastic"])
def test_the_same_bits_under_every_assignment(way, assignment, tmp_path):
    same_bits_held(way, tmp_path, assignment=assignment)


@some_ways
@grid("algorithm", ["auto", "em"], quick=["em"])
@pytest.mark.parametrize("known", ["weights", "labels", "shares", "all"])
def test_the_same_bits_with_what_is_known_of_the_points(way, algorithm, known, tmp_path):
    X, groups = points()
    rng = np.random.default_rng(1)
    shares = rng.uniform(size=(len(X), 3))
    given = {
        "weights": {"sample_weight": rng.integers(0, 4, len(X))},
        "labels": {"labels": np.where(rng.uniform(size=len(X)) < 0.2, groups, -1)},
        "shares": {"labels": np.where(shares < shares.max(axis=1, keepdims=True) / 4, 0.0, shares)},
        "all": {"labels": groups, "sample_weight": rng.uniform(size=len(X))},
    }[known]
    params = {"tol": 1e-4, "algorithm": algorithm}
    model = fitted(HELD[way](X, tmp_path), **given, **params)
    assert_same_bits(model, fitted(X, **given, **params))
    assert model.lower_bounds_ != in_memory(**params).lower_bounds_


@grid("way", HELD, quick=["frames"])
def test_the_same_bits_where_little_is_read_at_a_time(way, tmp_path, monkeypatch):
    # Leaves are of 384 points: parts of one and of two leaves, blocks larger and smaller than them.
    few = 4 * 800
    for module in (sources.base, sources.array, sources.parquet):
        monkeypatch.setattr(module, "VALUES", few)
    monkeypatch.setattr(sources.array, "_MAPPED", 8 * few)
    monkeypatch.setattr("fastem.sources.annotations._VALUES", 1500)
    for init_params in ("kmeans", "random"):
        folder = tmp_path / init_params
        folder.mkdir()
        same_bits_held(way, folder, init_params=init_params)


@some_ways
def test_samples_are_the_same_rows(way, tmp_path):
    X, _ = points(60_000, n_components=6)
    params = {"n_components": 6, "max_iter": 5, "covariance_type": "diag"}
    model, expected = fitted(HELD[way](X, tmp_path), **params), fitted(X, **params)
    assert model.fit_report_.stages[0].n_samples < len(X)
    assert_same_bits(model, expected)


def test_points_are_read_again_for_each_pass_only_where_they_are_many(monkeypatch):
    X, _ = points()
    passes = []

    def blocks():
        passes.append(len(passes))
        return iter([X[:1000], X[1000:]])

    fitted(blocks, algorithm="em", tol=0, max_iter=7)
    assert len(passes) > 7
    monkeypatch.setattr("fastem.estimators.em_mixture._SMALL", X.nbytes)
    passes.clear()
    fitted(blocks, algorithm="em", tol=0, max_iter=7)
    assert len(passes) == 2  # one to look, one to hold them


@pytest.mark.parametrize("n_features", [2, 8])
def test_the_same_bits_with_so_many_components_that_most_are_left_out(n_features):
    # Passes then read the points by what earlier ones left: by a tree over the means, or by each point's component.
    X, _ = points(9000, n_features, 40)
    params = {"n_components": 40, "algorithm": "em", "init_params": "random_from_data", "tol": 0, "max_iter": 6}
    assert_same_bits(fitted(blocks_of(X), **params), fitted(X, **params))


# -- cuts -------------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@exhaustive
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_cuts_of_blocks(data):
    n = data.draw(st.integers(4, 600), "n")
    cuts = data.draw(st.lists(st.integers(0, n), max_size=5).map(sorted), "cuts")
    covariance_type = data.draw(st.sampled_from(COVARIANCE_TYPES), "covariance_type")
    X, _ = points(n, 2)
    params = {"n_components": 2, "covariance_type": covariance_type, "max_iter": 4, "algorithm": "em"}
    assert_same_bits(fitted(lambda: np.split(X, cuts), **params), fitted(X, **params))


@settings(max_examples=300, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 60), max_size=12),
    leaf=st.integers(1, 20),
    values=st.integers(1, 120),
    most_rows=st.none() | st.integers(1, 60),
    first=st.integers(0, 3),
)
def test_regrouped_blocks_are_whole_leaves_of_all_rows_in_order(lengths, leaf, values, most_rows, first):
    n_features = 2
    cuts = np.cumsum([0, *lengths])
    X = np.arange(float(cuts[-1] * n_features)).reshape(-1, n_features)
    blocks = [X[a:b] for a, b in itertools.pairwise(cuts)]
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sources.base, "VALUES", values)
        for number, rows in aligned(iter(blocks), leaf, n_features, first * leaf, most_rows):
            assert len(rows)
            assert number == first * leaf + sum(map(len, seen))
            assert all(len(part) % leaf == 0 for part in seen)  # all but the last
            assert most_rows is None or len(rows) <= max(leaf, most_rows)
            seen.append(rows.copy())  # good until the next is asked for
    assert_array_equal(np.concatenate(seen) if seen else X, X)


def test_blocks_of_whole_leaves_are_not_copied(monkeypatch):
    monkeypatch.setattr(sources.base, "VALUES", 64)
    X = np.zeros((1000, 2))
    parts = [rows for _, rows in aligned([X[:7], X[7:]], 16, 2)]
    assert [np.shares_memory(rows, X) for rows in parts] == [False, True, False]
    assert list(map(len, parts)) == [16, 976, 8]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(1, 40)), max_size=6), st.integers(0, 99))
def test_drawn_responsibilities_are_a_rows_own_whenever_it_is_asked_for(ranges, start):
    whole = np.random.RandomState(0).uniform(size=(200, 3))
    whole /= whole.sum(axis=1, keepdims=True)
    state = np.random.RandomState(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastem.sources.annotations._VALUES", 21)
        drawn = DrawnResponsibilities(state, 3)
    for first, length in ranges:
        assert_array_equal(drawn[first : first + length], whole[first : first + length])
    assert_array_equal(drawn.of_rows(start)[5:9], whole[start + 5 : start + 9])
    drawn.finish(200)
    expected = np.random.RandomState(0)
    expected.uniform(size=(200, 3))
    assert state.uniform() == expected.uniform()


# -- dtypes -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@grid(
    "dtype",
    ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "bool", "float16", ">f8", "object"],
    quick=["uint16", "bool", "object"],
)
def test_blocks_of_other_dtypes_are_as_good_as_float64(dtype, tmp_path):
    X = np.clip(np.round(points()[0]) + 3, 0, 15)
    X = X > 6 if dtype == "bool" else X
    expected = fitted(X.astype(float), covariance_type="diag", reg_covar=1e-2)
    held = [blocks_of(X.astype(dtype)), blocks_of(X.astype(dtype), frame)]
    held += [npy(X.astype(dtype), tmp_path)] if dtype != "object" else []
    for source in held:
        model = fitted(source, covariance_type="diag", reg_covar=1e-2)
        assert model.lower_bounds_ == pytest.approx(expected.lower_bounds_, rel=1e-12)
        assert_allclose(model.means_, expected.means_, rtol=1e-9)
        assert model.means_.dtype == np.float64


def test_blocks_are_of_the_first_ones_precision():
    X, _ = points(1000)
    single = X.astype(np.float32)
    narrow = fitted(lambda: [single[:300], X[300:], single[:0]])
    assert_same_bits(narrow, fitted(single))
    wide = fitted(lambda: [X[:300], single[300:]])
    assert_same_bits(wide, fitted(np.concatenate([X[:300], single[300:]])))


@pytest.mark.parametrize(
    ("first", "second"),
    [("int64", "float64"), ("int32", "int64"), ("int32", "uint32"), ("uint8", "int16"), ("uint8", "int8")],
)
def test_a_block_whose_numbers_the_first_ones_dtype_can_not_hold(first, second):
    X = np.round(points(1000)[0]).astype(int) + 100
    beyond = {"float64": 0.5, "int64": 2**40, "uint32": 2**31, "int16": 300, "int8": -200}[second]
    blocks = [X[:300].astype(first), (X[300:] + beyond).astype(second)]
    with pytest.raises(SourceError, match=f"block 1 is of dtype {second}, not {first}"):
        fitted(lambda: blocks)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_arrow_columns_of_several_types_meet_in_float64():
    pa = arrow()
    X, _ = points(1000)
    mixed = {
        "a": X[:, 0].astype(np.float32), "b": np.round(X[:, 1]).astype(np.int64), "c": X[:, 2] > 1, "d": X[:, 3]
    }  # fmt: skip
    expected = np.column_stack([column.astype(np.float64) for column in mixed.values()])
    assert_same_bits(fitted(pa.table(mixed)), fitted(expected))
    assert_same_bits(fitted(lambda: [pd.DataFrame(mixed)]), fitted(expected))


# -- columns by name --------------------------------------------------------------------------------------------------


def test_columns_of_parquet_come_by_name_and_in_that_order(tmp_path):
    X, groups = points()
    weights = np.random.default_rng(0).uniform(size=len(X))
    known = np.where(weights < 0.3, groups, -1)
    file = parquet(X, tmp_path / "points.parquet", w=weights, y=known, name=np.full(len(X), "no number"))
    columns = ["height", "length"]
    source = ParquetSource(file, columns=columns)
    model = fitted(source, sample_weight="w", labels="y")
    assert_same_bits(model, fitted(X[:, [2, 0]], sample_weight=weights, labels=known))
    assert list(model.feature_names_in_) == columns
    assert_array_equal(model.predict(source), model.predict(frame(X)[columns]))
    assert model.score(source, sample_weight="w") == model.score(frame(X)[columns], sample_weight=weights)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_columns_of_parquet_are_all_numbers_but_those_of_weights_and_labels(tmp_path):
    X, groups = points()
    file = parquet(X, tmp_path / "points.parquet", w=groups + 1.0, y=groups, name=np.full(len(X), "no number"))
    assert list(fitted(file).feature_names_in_) == [*NAMES, "w", "y"]
    assert list(fitted(file, labels="y").feature_names_in_) == [*NAMES, "w"]
    model = fitted(str(file), sample_weight="w", labels="y")
    assert_same_bits(model, fitted(X, sample_weight=groups + 1.0, labels=groups))
    assert list(model.feature_names_in_) == NAMES
    # later of all columns those that were features then
    assert_array_equal(model.predict(file), model.predict(frame(X)))
    assert model.score(file, sample_weight="w") == model.score(frame(X), sample_weight=groups + 1.0)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_a_source_is_the_same_after_a_fit_or_a_prediction(tmp_path):
    X, groups = points()
    source = ParquetSource(parquet(X, tmp_path / "points.parquet", y=groups))
    model = fitted(source, labels="y")
    assert list(fitted(source).feature_names_in_) == [*NAMES, "y"]
    model.predict(source)
    assert list(fitted(source).feature_names_in_) == [*NAMES, "y"]


INDEXES = {  # of pandas, and the columns that they become in a file
    "range": (pd.RangeIndex(3000), []),
    "every third": (pd.RangeIndex(0, 9000, 3), []),
    "shuffled": (pd.Index(np.random.default_rng(0).permutation(3000)), ["__index_level_0__"]),
    "named": (pd.Index(np.arange(3000) ** 2, name="id"), ["id"]),
    "floats": (pd.Index(np.arange(3000) / 7, name="seconds"), ["seconds"]),
    "dates": (pd.date_range("2020-01-01", periods=3000, name="day"), ["day"]),
    "words": (pd.Index([f"row {i}" for i in range(3000)]), ["__index_level_0__"]),
    "levels": (pd.MultiIndex.from_product([range(50), range(60)], names=["u", None]), ["u", "__index_level_1__"]),
}


@grid("kind", INDEXES, quick=["every third", "levels"])
def test_an_index_that_pandas_wrote_is_no_feature_unless_it_is_asked_for(kind, tmp_path):
    pa = arrow()
    X, _ = points()
    index, columns = INDEXES[kind]
    indexed = frame(X).set_index(index)
    file = tmp_path / "points.parquet"
    indexed.to_parquet(file)
    source = ParquetSource(file)
    assert (source.all_columns, source.index_columns) == ([*NAMES, *columns], columns)
    for held in (file, pa.Table.from_pandas(indexed)):
        model = fitted(held)
        assert list(model.feature_names_in_) == NAMES
        assert_same_bits(model, fitted(X))
        assert_array_equal(model.predict(held), model.predict(frame(X)))
    for name in columns:
        if pd.api.types.is_numeric_dtype(index.get_level_values(columns.index(name))):
            model = fitted(ParquetSource(file, columns=[name, NAMES[0]]))
            assert_same_bits(model, fitted(np.column_stack([index.get_level_values(columns.index(name)), X[:, 0]])))
            assert_array_equal(model.predict(file), model.predict(ParquetSource(file, columns=[name, NAMES[0]])))
            weights = np.asarray(index.get_level_values(columns.index(name)), dtype=np.float64)
            assert_same_bits(fitted(file, sample_weight=name), fitted(X, sample_weight=weights))


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of Dask's own call of pandas
def test_an_index_that_dask_wrote_is_no_feature(tmp_path):
    dd = pytest.importorskip("dask.dataframe")
    X, _ = points()
    shuffled = frame(X).set_index(pd.Index(np.random.default_rng(0).permutation(3000), name="id"))
    dd.from_pandas(shuffled, npartitions=3, sort=False).to_parquet(tmp_path / "points")
    source = ParquetSource(tmp_path / "points")
    assert source.columns == NAMES and set(source.all_columns) - set(NAMES) == set(source.index_columns) != set()
    assert_same_bits(fitted(source), fitted(X))


@pytest.mark.parametrize(
    "metadata", [b"no json", b"[]", b"{}", b'{"index_columns": 3}', b'{"index_columns": ["no such"]}']
)
def test_metadata_that_names_no_index(metadata, tmp_path):
    pa = arrow()
    from pyarrow import parquet as pq

    X, _ = points()
    table = pa.table(dict(zip(NAMES, X.T, strict=True))).replace_schema_metadata({b"pandas": metadata})
    pq.write_table(table, tmp_path / "points.parquet")
    assert_same_bits(fitted(tmp_path / "points.parquet"), fitted(X))
    assert_same_bits(fitted(table), fitted(X))


def test_where_the_index_is_all_that_is_a_number_the_error_says_so(tmp_path):
    pytest.importorskip("pyarrow")
    words = pd.DataFrame({"word": ["u", "v", "w"]}, index=pd.Index([4, 1, 7], name="id"))
    words.to_parquet(tmp_path / "words.parquet")
    with pytest.raises(SourceError, match=r"no columns of numbers except the index: .* pass columns=\['id'\]"):
        ParquetSource(tmp_path / "words.parquet")


def test_integer_weights_and_labels_of_parquet(tmp_path):
    X, groups = points()
    file = parquet(X, tmp_path / "points.parquet", w=groups + 1, y=groups.astype(np.uint8))
    model = fitted(ParquetSource(file, columns=NAMES), sample_weight="w", labels="y")
    assert_same_bits(model, fitted(X, sample_weight=groups + 1, labels=groups))


@grid("way", ["frames", "record batches", "Arrow table", "Parquet file", "Parquet folder"], quick=["Arrow table"])
def test_feature_names(way, tmp_path):
    X, _ = points()
    source = HELD[way](X, tmp_path)
    model = fitted(source)
    assert list(model.feature_names_in_) == NAMES
    assert_array_equal(model.predict(frame(X)), model.predict(source))
    assert_array_equal(model.predict(blocks_of(X)), model.predict(source))  # none, as good as the right ones
    with pytest.raises(
        ValueError, match=r"feature names should match.*same order. They were length, .*but X has weight, "
    ):
        model.predict(lambda: [frame(X)[NAMES[::-1]]])
    assert not hasattr(fitted(X), "feature_names_in_")
    model.set_params(n_components=2).fit(blocks_of(X))
    assert not hasattr(model, "feature_names_in_")


def test_blocks_whose_columns_change_places():
    X, _ = points(1000)
    with pytest.raises(SourceError, match=r"block 1.*weight"):
        fitted(lambda: [frame(X[:400]), frame(X[400:])[NAMES[::-1]]])


@pytest.mark.skipif(sys.platform == "win32", reason="Windows keeps files that are in use")
def test_a_map_outlives_the_name_of_its_file(tmp_path):
    X, _ = points()
    mapped = HELD["memmap"](X, tmp_path)
    (tmp_path / "points").unlink()
    assert_same_bits(fitted(mapped), fitted(X))


# -- predictions ------------------------------------------------------------------------------------------------------


@some_ways
@grid("dtype", ["float64", "float32"], quick=["float64"])
def test_predictions_are_those_of_the_array(way, dtype, tmp_path, recwarn):
    X = points()[0].astype(dtype)
    model = fitted(frame(X))
    source = HELD[way](X, tmp_path)
    weights = np.random.default_rng(0).uniform(size=len(X))
    recwarn.clear()
    for name in ("predict", "predict_proba", "score_samples"):
        result = getattr(model, name)(source)
        expected = getattr(model, name)(frame(X))
        assert result.dtype == expected.dtype
        assert_array_equal(result, expected)
    assert model.score(source) == model.score(frame(X))
    for criterion in (model.score, model.bic, model.aic, model.icl):
        assert criterion(source, sample_weight=weights) == criterion(frame(X), sample_weight=weights)
    assert_array_equal(mixture().fit_predict(source), mixture().fit_predict(X))


class Scores:
    """A callback of scikit-learn's protocol that scores the points after each iteration."""

    def setup(self, estimator, context):
        self.values = []

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        if context.task_name == "iteration":
            self.values.append(fitted_estimator.score(X))

    def teardown(self, estimator, context):
        pass


@some_ways
def test_callbacks_see_the_points(way, tmp_path):
    X, _ = points()
    scores = Scores()
    model = mixture(algorithm="em", tol=0, max_iter=4).set_callbacks(scores)
    quietly(model, HELD[way](X, tmp_path))
    np.testing.assert_allclose(scores.values[:-1], model.lower_bounds_[1:], rtol=1e-14)  # before each M-step


# -- optional packages ------------------------------------------------------------------------------------------------

OPTIONAL = ("pyarrow", "dask", "distributed", "pandas")


def run(script):
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@exhaustive
def test_without_the_optional_packages(tmp_path):
    script = f"""
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {OPTIONAL}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import numpy as np
import fastem
from fastem.sources import ParquetSource
X = np.random.default_rng(0).normal(size=(300, 2))
model = fastem.GaussianMixture(2, random_state=0, n_threads=1).fit(X)
blocks = fastem.GaussianMixture(2, random_state=0, n_threads=1).fit(lambda: [X[:100], X[100:]])
print(blocks.lower_bounds_ == model.lower_bounds_, len(model.predict(lambda: [X])))
for make in (ParquetSource, model.fit):
    try:
        make({str(tmp_path / "x.parquet")!r})
    except ImportError as error:
        print(error)
"""
    needed = "pyarrow is needed for this: pip install 'fastem[parquet]'"
    assert run(script).splitlines() == ["True 300", needed, needed]


@exhaustive
def test_optional_packages_are_imported_only_where_they_are_needed():
    script = f"""
import sys
import numpy as np
from sklearn.mixture import GaussianMixture
X = np.random.default_rng(0).normal(size=(300, 2))
GaussianMixture(2).fit(X).predict(X)
before = set(sys.modules)
import fastem
model = fastem.GaussianMixture(2, random_state=0, n_threads=1).fit(X)
model.fit(lambda: [X]).predict(X)
print(sorted({{name.split(".")[0] for name in set(sys.modules) - before}} & set({OPTIONAL})))
"""
    assert run(script) == "[]\n"
