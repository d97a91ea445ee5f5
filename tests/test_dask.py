"""Dask arrays and dataframes: the same bits for any partitions, under any scheduler, whatever happens to workers."""

import os
import signal
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from fastem.sources import DaskSource, SourceError, as_source

from .data_sets import COVARIANCE_TYPES, start
from .fits import assert_same_bits, fitted, mixture, points, quietly
from .grids import exhaustive, grid
from .held import NAMES, frame, with_nan
from .test_bad_input import refuses

dask = pytest.importorskip("dask", reason="dask is optional")
array = pytest.importorskip("dask.array", reason="dask is optional")
dataframe = pytest.importorskip("dask.dataframe", reason="dask is optional")


@pytest.fixture(autouse=True, scope="module")
def nothing_is_small():
    """So that the partitions are read, again in each pass, and not a copy in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastem.estimators.em_mixture._SMALL", 0)
        patch.setattr("fastem.fitting.few._FEW", 0)
        yield


@pytest.fixture(autouse=True)
def in_this_thread():
    """For points so few the quickest scheduler; tests of another set their own."""
    with dask.config.set(scheduler="synchronous"):
        yield


X, GROUPS = points()

HELD = {
    "1 partition": lambda X: array.from_array(X, chunks=(-1, -1)),
    "2 partitions": lambda X: array.from_array(X, chunks=(1500, -1)),
    "7 partitions": lambda X: array.from_array(X, chunks=(429, -1)),
    "uneven": lambda X: array.from_array(X, chunks=((1, 999, 0, 250, 3, 1700, 47), -1)),
    "columns apart": lambda X: array.from_array(X, chunks=(700, 3)),
    "dataframe": lambda X: dataframe.from_pandas(frame(X), npartitions=4),
    "lengths unknown": lambda X: dataframe.from_pandas(frame(X), npartitions=4).to_dask_array(),
}
every_way = pytest.mark.parametrize("way", HELD)
some_ways = grid("way", HELD, quick=["uneven"])


def slow(**params):
    """A mixture that takes a dozen iterations or more over all the points."""
    params = {"tol": 1e-7, **start(X, 3, params.get("covariance_type", "full")), **params}
    return mixture(**params)


# -- the same bits ----------------------------------------------------------------------------------------------------


@every_way
@grid("dtype", ["float64", "float32"], quick=["float64"])
@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_the_same_bits_for_any_partitions(way, dtype, covariance_type):
    same = X.astype(dtype)
    model = fitted(HELD[way](same), algorithm="em", covariance_type=covariance_type)
    assert_same_bits(model, fitted(same, algorithm="em", covariance_type=covariance_type))
    assert (model.n_features_in_, model.n_samples_seen_) == (4, 3000)


@some_ways
def test_the_same_bits_with_a_search_for_the_start(way):
    assert_same_bits(fitted(HELD[way](X)), fitted(X))


@some_ways
@pytest.mark.parametrize(
    "params",
    [
        {"init_params": "random"}, {"init_params": "k-means++"}, {"init_params": "random_from_data"},
        {"assignment": "hard"}, {"assignment": "stochastic", "max_iter": 10},
    ],
)  # fmt: skip
def test_the_same_bits_from_every_start_and_under_every_assignment(way, params):
    params = {"algorithm": "em", **params}
    assert_same_bits(fitted(HELD[way](X), **params), fitted(X, **params))


@some_ways
def test_the_same_bits_with_what_is_known_of_the_points(way):
    rng = np.random.default_rng(1)
    shares = rng.uniform(size=(len(X), 3))
    shares[rng.uniform(size=len(X)) < 0.3, 1] = 0
    for known in (
        {"sample_weight": rng.integers(0, 4, len(X))},
        {"labels": np.where(rng.uniform(size=len(X)) < 0.2, GROUPS, -1)},
        {"labels": shares},
        {"labels": GROUPS, "sample_weight": rng.uniform(size=len(X))},
    ):
        assert_same_bits(fitted(HELD[way](X), algorithm="em", **known), fitted(X, algorithm="em", **known))


def test_random_responsibilities_drawn_few_at_a_time(monkeypatch):
    params = {"algorithm": "em", "init_params": "random", "max_iter": 3}
    expected = fitted(X, **params)
    monkeypatch.setattr("fastem.sources.annotations._VALUES", 1500)
    assert_same_bits(fitted(HELD["uneven"](X), **params), expected)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@exhaustive
@settings(max_examples=15, deadline=None)
@given(
    lengths=st.lists(st.integers(0, 250), min_size=1, max_size=6).filter(lambda lengths: sum(lengths) > 3),
    is_frame=st.booleans(),
)
def test_any_partitions(lengths, is_frame):
    params = {"n_components": 2, "algorithm": "em", "max_iter": 4}
    some = X[: sum(lengths)]
    if is_frame:
        parts = map(frame, np.split(some, np.cumsum(lengths)[:-1]))
        held = dataframe.from_delayed([dask.delayed(each) for each in parts], meta=frame(some[:0]))
    else:
        held = array.from_array(some, chunks=(tuple(lengths), -1))
    assert_same_bits(fitted(held, **params), fitted(some, **params))


@pytest.mark.parametrize("n_features", [2, 8])
def test_the_same_bits_with_so_many_components_that_most_are_left_out(n_features):
    # Passes read the points by a tree over the means, or by each point's component in the pass before.
    many, _ = points(9000, n_features, 40)
    params = {"n_components": 40, "algorithm": "em", "init_params": "random_from_data", "tol": 0, "max_iter": 6}
    expected = fitted(many, **params)
    for chunks in (9000, 2500, (5000, 100, 3900)):
        assert_same_bits(fitted(array.from_array(many, chunks=(chunks, -1)), **params), expected)


def test_samples_are_the_same_rows():
    many, _ = points(60_000, n_components=6)
    params = {"n_components": 6, "max_iter": 5, "covariance_type": "diag"}
    model = fitted(array.from_array(many, chunks=(17_001, 2)), **params)
    assert model.fit_report_.stages[0].n_samples < len(many)
    assert_same_bits(model, fitted(many, **params))


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@grid("dtype", ["int32", "uint8", "bool", "float16", "uint16"], quick=["uint8"])
def test_partitions_of_other_dtypes(dtype):
    other = np.clip(np.round(X) + 3, 0, 15)
    other = (other > 6 if dtype == "bool" else other).astype(dtype)
    params = {"algorithm": "em", "covariance_type": "diag", "reg_covar": 1e-2}
    for held in (HELD["7 partitions"], HELD["dataframe"]):
        assert_same_bits(fitted(held(other), **params), fitted(other, **params))


def test_partitions_of_several_dtypes_meet_in_one():
    single = X[:1000].astype(np.float32)
    held = array.concatenate([array.from_array(single), array.from_array(X[1000:])])
    blocks = [array.from_delayed(dask.delayed(each), each.shape, np.float64) for each in (single, X[1000:])]
    expected = fitted(np.concatenate([single, X[1000:]]), algorithm="em")
    for each in (held, array.concatenate(blocks)):
        assert_same_bits(fitted(each, algorithm="em"), expected)


def test_a_warm_start_over_other_partitions():
    model = quietly(slow(max_iter=5), HELD["2 partitions"](X))
    expected = quietly(slow(max_iter=5), X)
    for each, points_of_it in ((model, HELD["dataframe"](X)), (expected, frame(X))):
        each.set_params(warm_start=True, max_iter=100).fit(points_of_it)
    assert_same_bits(model, expected)


# -- schedulers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["threads", "synchronous"])
def test_the_same_bits_under_local_schedulers(scheduler):
    with dask.config.set(scheduler=scheduler):
        model = slow(n_threads=None).fit(HELD["7 partitions"](X))
        assert_array_equal(model.predict(HELD["7 partitions"](X)).compute(), model.predict(X))
    assert_same_bits(model, slow().fit(X))


def counted(X, n_partitions, calls):
    """A Dask array whose partitions note that they were made."""

    def part(number, rows):
        calls.append(number)
        return rows

    parts = np.array_split(X, n_partitions)
    blocks = [
        array.from_delayed(dask.delayed(part)(number, rows), rows.shape, X.dtype) for number, rows in enumerate(parts)
    ]
    return array.concatenate(blocks)


def test_a_pass_makes_each_partition_once_and_heads_once_more():
    calls = []
    held = counted(X, 4, calls)
    source = DaskSource(held)
    source.scan()
    assert sorted(calls) == [0, 1, 2, 3]
    calls.clear()
    source.e_step(slow(max_iter=0).fit(X)._parameters())
    assert sorted(set(calls)) == [0, 1, 2, 3]
    assert len(calls) <= 7  # the first rows of a partition go to the one before


# -- predictions ------------------------------------------------------------------------------------------------------


@every_way
@grid("dtype", ["float64", "float32"], quick=["float64"])
def test_predictions_are_those_of_the_array(way, dtype):
    same = X.astype(dtype)
    model = fitted(frame(same), algorithm="em")
    held = HELD[way](same)
    for name in ("predict", "predict_proba", "score_samples"):
        lazy, expected = getattr(model, name)(held), getattr(model, name)(frame(same))
        assert isinstance(lazy, array.Array)
        assert (lazy.dtype, lazy.ndim) == (expected.dtype, expected.ndim)
        result = lazy.compute()
        assert result.dtype == expected.dtype
        assert_array_equal(result, expected)
    weights = np.random.default_rng(0).uniform(size=len(X))
    for criterion in (model.score, model.bic, model.aic, model.icl):
        assert criterion(held) == criterion(frame(same))
        assert criterion(held, sample_weight=weights) == criterion(frame(same), sample_weight=weights)


def test_predictions_are_computed_when_they_are_asked_for():
    calls = []
    held = counted(X, 3, calls)
    model = fitted(X, algorithm="em")
    lazy = [model.predict(held), model.predict_proba(held), model.score_samples(held)]
    assert [each.shape for each in lazy] == [(3000,), (3000, 3), (3000,)]
    assert lazy[0].chunks == (held.chunks[0],)
    assert calls == []
    lazy[0].compute()
    assert sorted(calls) == [0, 1, 2]
    calls.clear()
    some = lazy[1][2500:].compute()  # of the last partition alone
    assert calls == [2]
    assert_array_equal(some, model.predict_proba(X[2500:]))


def test_predictions_of_dataframes_are_computed_when_they_are_asked_for():
    calls = []

    def noted(part):
        if len(part) > 2:  # Dask tries functions on a row or two to see what they return
            calls.append(len(part))
        return part

    held = dataframe.from_pandas(frame(X), npartitions=3).map_partitions(noted, meta=frame(X[:0]))
    model = fitted(frame(X), algorithm="em")
    lazy = [model.predict(held), model.predict_proba(held), model.score_samples(held)]
    assert calls == []
    assert lazy[1].shape[1] == 3
    assert_array_equal(lazy[0].compute(), model.predict(frame(X)))
    assert calls == [1000, 1000, 1000]


@every_way
def test_labels_of_the_fit_are_lazy_too(way):
    labels = mixture(algorithm="em").fit_predict(HELD[way](X))
    assert isinstance(labels, array.Array)
    assert_array_equal(labels.compute(), mixture(algorithm="em").fit_predict(X))


def test_predictions_of_a_partition_without_rows():
    model = fitted(X, algorithm="em")
    held = HELD["dataframe"](X)
    none = held[held["length"] > 1e9]
    assert model.predict(none).compute().shape == (0,)
    assert model.predict_proba(none).compute().shape == (0, 3)


def test_feature_names():
    model = fitted(HELD["dataframe"](X), algorithm="em")
    assert list(model.feature_names_in_) == NAMES
    other = HELD["dataframe"](X)[NAMES[::-1]]
    for method in (model.predict, model.score):
        with pytest.raises(ValueError, match="feature names should match"):
            method(other)
    assert not hasattr(model.fit(HELD["2 partitions"](X)), "feature_names_in_")


# -- what can't be used -----------------------------------------------------------------------------------------------


def text(X):
    return dataframe.from_pandas(frame(X).assign(width="broad"), npartitions=2)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (lambda X: HELD["uneven"](with_nan(X, [1254, 2900])),
         r"X contains NaN.\n2 rows hold .*first is row 1 of partition 5 \(row 1254 of all\)"),
        (lambda X: HELD["dataframe"](with_nan(X, 800, np.inf)),
         r"X contains infinity.\n1 row holds .*first is row 50 of partition 1 \(row 800 of all\)"),
        (text, "partition [01] should hold real numbers, but column"),
        (lambda X: array.from_array(X * 1j), "partition 0 is of dtype complex128"),
        (lambda X: array.from_array(X[:, 0]), r"Expected 2D array, got 1D Dask array instead: reshape it to \(n, D\)"),
        (lambda X: array.from_array(X[None]), "Expected 2D array, got 3D Dask array"),
        (lambda X: HELD["dataframe"](X)["length"], "Expected 2D array, got 1D"),
        (lambda X: array.from_array(X[:0]), "the Dask collection has no rows"),
        (lambda X: array.from_array(X[:, :0]), "known number of columns, at least one, but has 0"),
        (lambda X: array.from_delayed(dask.delayed(X[:, :3]), X.shape, X.dtype), "partition 0 has 3 columns, not 4"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_fitted", [False, True])
def test_points_that_can_not_be_used(change, match, is_fitted):
    model = mixture(algorithm="em")
    if is_fitted:
        model.fit(frame(X))
    refuses(model, SourceError, match, change(X))


def test_arguments_that_do_not_go_with_the_points():
    for held in (HELD["2 partitions"](X), HELD["dataframe"](X)):
        refuses(
            mixture(),
            ValueError,
            "the column name 'w', but X has no named columns beside its features: pass an array",
            held,
            sample_weight="w",
        )
        refuses(mixture(), ValueError, "sample_weight", held, sample_weight=np.ones(10))
        refuses(mixture(), ValueError, r"labels should have the shape \(3000,\)", held, labels=np.zeros(10, int))
    few = array.from_array(X[:2])
    refuses(mixture(), ValueError, "Expected n_samples >= n_components but got n_components = 3, n_samples = 2", few)


@pytest.mark.parametrize("way", ["2 partitions", "dataframe"])
def test_predictions_need_as_many_features(way):
    model = fitted(X[:, :3], algorithm="em")
    for method in (model.predict, model.predict_proba, model.score_samples, model.score):
        with pytest.raises(ValueError, match="X has 4 features, but GaussianMixture is expecting 3 features"):
            method(HELD[way](X))


def test_predictions_of_nan_fail_when_they_are_computed():
    model = fitted(X, algorithm="em")
    lazy = model.predict(HELD["7 partitions"](with_nan(X, 1300)))
    with pytest.raises(ValueError, match="X contains NaN"):
        lazy.compute()
    with pytest.raises(ValueError, match=r"row 13 of partition 3 \(row 1300 of all\)"):
        model.score(HELD["7 partitions"](with_nan(X, 1300)))


def test_what_is_taken_for_dask():
    assert type(as_source(HELD["2 partitions"](X))) is DaskSource
    assert type(as_source(HELD["dataframe"](X))) is DaskSource


# -- faults in the middle of a fit ------------------------------------------------------------------------------------


class Parts:
    """Three partitions; the second becomes another one when it has been made so many times."""

    def __init__(self, fault, after):
        self.fault, self.after, self.n_calls = fault, after, 0

    def part(self, number):
        rows = X[1000 * number : 1000 * (number + 1)]
        self.n_calls += number == 1
        return self.fault(rows) if number == 1 and self.n_calls > self.after else rows

    @property
    def held(self):
        parts = [dask.delayed(self.part, pure=False)(number) for number in range(3)]
        return array.concatenate([array.from_delayed(part, (1000, 4), np.float64) for part in parts])


@pytest.mark.parametrize(
    ("fault", "match"),
    [
        (lambda rows: with_nan(rows, 700), r"row 700 of partition 1 \(row 1700 of all\) holds NaN, which it did not"),
        (lambda rows: with_nan(rows, 5, np.inf), r"row 5 of partition 1 \(row 1005 of all\) holds infinity"),
        (lambda rows: rows[:-1], r"are in blocks of other shapes than before"),
        (lambda rows: np.concatenate([rows, rows]), "are in blocks of other shapes than before"),
        (lambda rows: rows[:, :3], r"are in blocks of other shapes than before, .*\(\d+, 3\)"),
        (lambda rows: rows.astype(str), "partition.* is of dtype <U32"),
    ],
)
@grid("algorithm", ["auto", "em"], quick=["em"])
def test_a_fault_keeps_the_last_iteration_and_the_fit_can_go_on(fault, match, algorithm):
    model, whole = slow(algorithm=algorithm), slow(algorithm=algorithm).fit(X)
    with pytest.raises(SourceError, match=match):
        model.fit(Parts(fault, after=12).held)
    assert 0 < model.n_iter_ < whole.n_iter_
    assert model.lower_bounds_ == whole.lower_bounds_[: model.n_iter_]
    assert not model.converged_
    model.set_params(warm_start=True).fit(Parts(fault, after=np.inf).held)
    assert_same_bits(model, whole)


# -- a cluster --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster():
    """A client of two worker processes; in use only where a test says so, as Dask's other schedulers then are not."""
    distributed = pytest.importorskip("distributed", reason="distributed is optional")
    with (
        dask.config.set({"distributed.admin.log-format": "%(message)s"}),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as workers,
        distributed.Client(workers, set_as_default=False) as client,
    ):
        yield client


@pytest.fixture
def client(cluster):
    with dask.config.set(scheduler=None), cluster.as_current():
        yield cluster


@exhaustive
@pytest.mark.parametrize("way", ["1 partition", "2 partitions", "7 partitions", "dataframe"])
def test_the_same_bits_on_a_cluster(way, client):
    given = {"sample_weight": np.random.default_rng(0).uniform(size=len(X))}
    pids = set(client.run(os.getpid).values())
    assert os.getpid() not in pids
    model = slow(algorithm="em", max_iter=8)
    assert_same_bits(quietly(model, HELD[way](X), **given), quietly(slow(algorithm="em", max_iter=8), X, **given))
    labels = model.predict(HELD[way](X)).compute()
    assert_array_equal(labels, model.predict(frame(X) if way == "dataframe" else X))


@exhaustive
def test_a_search_and_a_random_start_on_a_cluster(client):
    held = HELD["2 partitions"](X.astype(np.float32)).persist()
    params = {"algorithm": "em", "init_params": "random", "max_iter": 4}
    assert_same_bits(fitted(held, **params), fitted(X.astype(np.float32), **params))
    assert_same_bits(fitted(held, covariance_type="diag"), fitted(X.astype(np.float32), covariance_type="diag"))


@exhaustive
def test_errors_come_from_a_cluster_as_they_are(client):
    with pytest.raises(SourceError, match=r"first is row 250 of partition 1 \(row 1750 of all\)"):
        fitted(HELD["2 partitions"](with_nan(X, 1750)))
    with pytest.raises(SourceError, match=r"partition [01] should hold real numbers, but column"):
        fitted(text(X))


@exhaustive
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_a_worker_that_is_killed_in_the_middle_of_a_fit_changes_nothing(client, tmp_path, monkeypatch):
    order = tmp_path / "die"

    def dying(rows):
        """The worker that finds the order as it makes a partition obeys it: half done, with all it holds."""
        try:
            order.unlink()
        except FileNotFoundError:
            return rows
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    held = HELD["7 partitions"](X).map_blocks(dying, dtype=X.dtype, meta=X[:0])
    before = set(client.run(os.getpid).values())
    passes = []
    sums = DaskSource._sums

    def noted(self, *args, **kwargs):
        passes.append(len(passes))
        if len(passes) in (5, 9):
            order.touch()
        return sums(self, *args, **kwargs)

    monkeypatch.setattr(DaskSource, "_sums", noted)
    model = quietly(slow(algorithm="em", tol=0, max_iter=14), held)
    assert len(passes) == 14
    assert not order.exists()
    client.wait_for_workers(2, timeout=60)
    assert len(before - set(client.run(os.getpid).values())) >= 1
    assert_same_bits(model, quietly(slow(algorithm="em", tol=0, max_iter=14), X))
