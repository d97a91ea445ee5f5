"""Points that go bad in the middle of a fit, crashes, checkpoints: what was reached is kept, and the fit goes on."""

import os
import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import fastem
from fastem.callbacks import Checkpoint
from fastem.sources import BlockSource, SourceError, base

from .data_sets import COVARIANCE_TYPES, start
from .fits import assert_same_bits, fitted, mixture, points, quietly
from .grids import grid
from .held import blocks_of, frame, npy, parquet, with_nan
from .test_bad_input import refuses

ALGORITHMS = pytest.mark.parametrize("algorithm", ["auto", "em"])
EM = grid("algorithm", ["auto", "em"], quick=["em"])


@pytest.fixture(autouse=True, scope="module")
def nothing_is_small():
    """So that it is the source that is read, again in each pass, and not a copy in memory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastem.estimators.em_mixture._SMALL", 0)
        patch.setattr("fastem.fitting.few._FEW", 0)
        yield


X, GROUPS = points()


def slow(**params):
    """A mixture that takes a dozen iterations or more over all the points."""
    params = {"tol": 1e-7, **start(X, 3, params.get("covariance_type", "full")), **params}
    return mixture(**params)


class Faulty:
    """A function that hands out X in three blocks and from one pass on, counted from 1, makes something of them."""

    def __init__(self, fault=None, from_pass=1, dtype=np.float64):
        self.fault, self.from_pass, self.n_passes = fault, from_pass, 0
        self.points = X.astype(dtype)

    def __call__(self):
        self.n_passes += 1
        blocks = np.split(self.points, [1000, 2000])
        return self.fault(blocks) if self.fault is not None and self.n_passes >= self.from_pass else blocks


def nan_in_block_2(blocks):
    return [*blocks[:2], with_nan(blocks[2], 17)]


FAULTS = {
    "NaN": (nan_in_block_2, r"row 17 of block 2 \(row 2017 of all\) holds NaN, which it did not before"),
    "infinity": (
        lambda blocks: [with_nan(blocks[0], [5, 6], -np.inf), *blocks[1:]],
        r"row 5 of block 0 \(row 5 of all\) holds infinity, which it did not before",
    ),
    "fewer columns": (lambda blocks: [blocks[0], blocks[1][:, :3]], "block 1 has 3 columns, not 4"),
    "more columns": (lambda blocks: [np.c_[blocks[0], blocks[0]]], "block 0 has 8 columns, not 4"),
    "fewer rows": (lambda blocks: [*blocks[:2], blocks[2][:-1]], "gave 2999 rows now, not the 3000 rows"),
    "no rows": (lambda blocks: [], "gave 0 rows now, not the 3000 rows"),
    "more rows": (lambda blocks: [*blocks, X[:1]], "gave more than the 3000 rows"),
    "one dimension": (lambda blocks: [*blocks[:2], blocks[2][:, 0]], r"block 2 has the shape \(1000,\)"),
    "text": (lambda blocks: [blocks[0], blocks[1].astype(str)], "block 1 is of dtype <U32"),
    "nothing": (lambda blocks: None, "should return an iterable of blocks, but returned NoneType"),
}


class AtIteration:
    """A callback of scikit-learn's protocol that does something after one iteration."""

    def __init__(self, number, action):
        self.number, self.action = number, action

    def setup(self, estimator, context):
        self.n_iter = 0

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.n_iter += context.task_name == "iteration"
        if context.task_name == "iteration" and self.n_iter == self.number:
            self.action()

    def teardown(self, estimator, context):
        pass


class Crash(Exception):
    """As if the power went."""


def failing():
    raise Crash


def is_beginning_of(model, whole):
    """The model is as the whole fit was after some of its iterations."""
    assert model.lower_bounds_ == whole.lower_bounds_[: model.n_iter_]
    assert 0 < model.n_iter_ < whole.n_iter_
    assert (model.converged_, model.lower_bound_) == (False, model.lower_bounds_[-1])
    expected = quietly(mixture(**{**whole.get_params(), "max_iter": model.n_iter_}), X)
    assert_array_equal(model.means_, expected.means_)
    assert_array_equal(model.covariances_, expected.covariances_)


# -- blocks that go bad -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", FAULTS)
@EM
def test_a_fault_keeps_the_last_iteration_and_the_fit_can_go_on(fault, algorithm):
    change, match = FAULTS[fault]
    model, whole = slow(algorithm=algorithm), slow(algorithm=algorithm).fit(X)
    blocks = Faulty(change, from_pass=6)
    with pytest.raises(SourceError, match=match):
        model.fit(blocks)
    assert blocks.n_passes == 6
    is_beginning_of(model, whole)
    assert model.n_features_in_ == 4
    assert model.predict(X).shape == (3000,)
    model.set_params(warm_start=True).fit(Faulty())
    assert_same_bits(model, whole)


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
@pytest.mark.parametrize("params", [{}, {"algorithm": "em"}, {"assignment": "hard"}, {"assignment": "stochastic"}])
def test_a_fault_in_any_pass(params, covariance_type):
    params = {"covariance_type": covariance_type, "max_iter": 12, **params}
    blocks = Faulty()
    whole = quietly(slow(**params), blocks)
    for number in range(1, blocks.n_passes + 1):
        model = slow(**params)
        with pytest.raises(SourceError):
            model.fit(Faulty(nan_in_block_2, from_pass=number))
        n_complete = getattr(model, "n_iter_", 0)
        if n_complete:
            assert model.lower_bounds_ == whole.lower_bounds_[:n_complete]
        assert_same_bits(quietly(model.set_params(warm_start=True), X), whole)
    assert n_complete > 5


@ALGORITHMS
def test_several_faults_one_after_the_other_with_a_pickle_between(algorithm):
    weights = np.random.default_rng(0).integers(0, 3, len(X))
    given = {"sample_weight": weights, "labels": np.where(weights == 2, GROUPS, -1)}
    params = {"algorithm": algorithm, "tol": 0, "max_iter": 20}
    whole = quietly(slow(**params), X.astype(np.float32), **given)
    model, reached = slow(**params), 0
    for _ in range(3):
        blocks = Faulty(nan_in_block_2, from_pass=5, dtype=np.float32)
        with pytest.raises(SourceError, match="row 17 of block 2"):
            model.fit(blocks, **given)
        assert model.lower_bounds_ == whole.lower_bounds_[: model.n_iter_]
        assert model.n_iter_ > reached
        reached = model.n_iter_
        model = pickle.loads(pickle.dumps(model)).set_params(warm_start=True)
    assert_same_bits(quietly(model, X.astype(np.float32), **given), whole)


@ALGORITHMS
def test_a_fault_after_starts_were_searched_for(algorithm, tmp_path):
    # 60,000 points: 'auto' goes through samples before it takes iterations over all of them.
    many, _ = points(60_000, n_components=5)
    params = {"n_components": 5, "covariance_type": "diag", "algorithm": algorithm, "tol": 1e-9, "max_iter": 30}
    whole = fitted(many, **params)
    blocks = [many]
    spoil = AtIteration(4, lambda: blocks.__setitem__(0, with_nan(many, 31_000)))
    model = mixture(**params).set_callbacks(spoil)
    with pytest.raises(SourceError, match=r"row 31000 of block 0 \(row 31000 of all\) holds NaN"):
        model.fit(lambda: blocks)
    assert model.n_iter_ == 4
    assert model.lower_bounds_ == whole.lower_bounds_[:4]
    model.save(tmp_path / "model.npz")
    model = fastem.load(tmp_path / "model.npz").set_params(warm_start=True)
    assert_same_bits(quietly(model, many), whole)


@ALGORITHMS
@pytest.mark.parametrize("is_fitted", [False, True])
def test_a_fault_before_the_first_iteration_leaves_the_estimator_alone(algorithm, is_fitted):
    model = mixture(algorithm=algorithm)
    if is_fitted:
        model.fit(frame(X))
    for number in (2, 3):
        refuses(model, SourceError, "row 17 of block 2", Faulty(nan_in_block_2, number))


@pytest.mark.parametrize("init_params", ["kmeans", "random", "random_from_data"])
def test_points_that_go_bad_before_they_are_held_in_memory(init_params, monkeypatch):
    monkeypatch.setattr("fastem.estimators.em_mixture._SMALL", X.nbytes)
    model = mixture(init_params=init_params)
    for fault in ("NaN", "infinity", "fewer rows", "fewer columns"):
        change, match = FAULTS[fault]
        refuses(model, SourceError, match, Faulty(change, from_pass=2))


def test_after_a_fault_all_is_known_of_the_points_that_a_fit_knows():
    model, whole = slow(), slow().fit(frame(X))
    blocks = Faulty(nan_in_block_2, from_pass=6)
    with pytest.raises(SourceError, match="NaN"):
        model.fit(lambda: map(frame, blocks()))
    assert list(model.feature_names_in_) == list(whole.feature_names_in_)
    assert model.n_samples_seen_ == whole.n_samples_seen_
    assert model.fit_report_.stages[-1].n_iter == model.n_iter_


def test_predictions_see_faults_too():
    model = slow().fit(X)
    for fault, match in (FAULTS[name] for name in ("fewer columns", "fewer rows", "more rows", "no rows")):
        for method in (model.predict, model.predict_proba, model.score_samples, model.score):
            with pytest.raises(SourceError, match=match):
                method(Faulty(fault, from_pass=2))  # the first one looks


@pytest.mark.parametrize("values", [1 << 20, 1024])
def test_no_part_reaches_beyond_the_points_that_there_were(values, monkeypatch):
    # Kernels read weights, and write labels and predictions, at a point's number: beyond them is others' memory.
    monkeypatch.setattr(base, "VALUES", values)
    source = BlockSource(Faulty(lambda blocks: [*blocks, X, X], from_pass=2))
    source.scan()
    ends = []
    with pytest.raises(SourceError, match="gave more than the 3000 rows"):
        for first, rows in source.parts(64):
            ends.append(first + len(rows))
    assert max(ends, default=0) <= 3000


@ALGORITHMS
def test_what_a_function_raises_is_a_fault_as_well(algorithm):
    model, whole = slow(algorithm=algorithm), slow(algorithm=algorithm).fit(X)
    n_passes = 0

    def blocks():
        nonlocal n_passes
        n_passes += 1
        yield X[:1000]
        if n_passes == 6:
            raise OSError("the disk is gone")
        yield X[1000:]

    with pytest.raises(SourceError, match=r"failed at block 1 \(OSError: the disk is gone\)") as caught:
        model.fit(blocks)
    assert isinstance(caught.value.__cause__, OSError)
    is_beginning_of(model, whole)
    assert_same_bits(model.set_params(warm_start=True).fit(blocks), whole)


def test_of_several_starts_a_complete_one_outlives_a_fault():
    params = {"algorithm": "em", "init_params": "random_from_data", "covariance_type": "diag"}
    one = fitted(X, **params)
    counted = Faulty()
    fitted(counted, **params)
    model = mixture(n_init=2, **params)
    with pytest.raises(SourceError, match="NaN"):
        model.fit(Faulty(nan_in_block_2, from_pass=counted.n_passes + 3))
    assert model.lower_bounds_ == one.lower_bounds_
    assert not model.converged_


# -- files that go bad ------------------------------------------------------------------------------------------------


def shrink(file, size):
    return lambda: os.truncate(file, size)


def replace_parquet(file, rows):
    return lambda: parquet(rows, file)


@pytest.mark.skipif(os.name == "nt", reason="a mapped file can't be cut there")
@ALGORITHMS
@pytest.mark.parametrize("missing", [8, 40_000, 96_000 + 128])
@pytest.mark.parametrize("is_path", [True, False])
def test_a_npy_file_cut_short_in_the_middle_of_a_fit(algorithm, missing, is_path, tmp_path):
    file = npy(X, tmp_path)
    size = file.stat().st_size
    whole = slow(algorithm=algorithm).fit(X)
    model = slow(algorithm=algorithm).set_callbacks(AtIteration(4, shrink(file, size - missing)))
    held = file if is_path else np.load(file, mmap_mode="r")
    with pytest.raises(SourceError, match=rf"points.npy: the file has shrunk to {size - missing} bytes"):
        model.fit(held)
    assert model.n_iter_ == 4
    is_beginning_of(model.set_callbacks(), whole)
    npy(X, tmp_path)
    assert_same_bits(model.set_params(warm_start=True).fit(held), whole)


@EM
@pytest.mark.parametrize(
    ("action", "match"),
    [
        (lambda file: replace_parquet(file, X[:2500]), "points.parquet gave 2500 rows now, not the 3000 rows"),
        (lambda file: replace_parquet(file, X[:0]), "points.parquet gave 0 rows now"),
        (lambda file: replace_parquet(file, np.concatenate([X, X])), "points.parquet gave more than the 3000 rows"),
        (lambda file: replace_parquet(file, X[:, :3]), "points.parquet: no column 'weight'"),
        (lambda file: replace_parquet(file, with_nan(X, 1500)),
         r"row 100 of row group 2 of .*points.parquet \(row 1500 of all\) holds NaN, which it did not before"),
        (lambda file: shrink(file, 1000), "points.parquet: can't be read as Parquet"),
        (lambda file: file.unlink, "points.parquet: no such file"),
    ],
)  # fmt: skip
def test_a_parquet_file_that_changes_in_the_middle_of_a_fit(action, match, algorithm, tmp_path):
    file = parquet(X, tmp_path / "points.parquet")
    whole = slow(algorithm=algorithm).fit(file)
    model = slow(algorithm=algorithm).set_callbacks(AtIteration(4, action(file)))
    with pytest.raises(SourceError, match=match):
        model.fit(file)
    assert model.n_iter_ == 4
    is_beginning_of(model.set_callbacks(), whole)
    parquet(X, file)
    assert_same_bits(model.set_params(warm_start=True).fit(file), whole)


# -- crashes and checkpoints ------------------------------------------------------------------------------------------


@grid("dtype", ["float64", "float32"], quick=["float64"])
@grid(
    "params",
    [{}, {"algorithm": "em"}, {"assignment": "stochastic"}, {"assignment": "hard"}, {"covariance_type": "tied"}],
    quick=[{"algorithm": "em"}, {"assignment": "stochastic"}],
)
def test_after_a_crash_a_checkpoint_goes_on_as_if_nothing_had_been(params, dtype, tmp_path):
    points = X.astype(dtype)
    file = tmp_path / "model.npz"
    # from a start that is searched for: no callback, and no checkpoint, sees that part
    params = {"tol": 0, "max_iter": 20, "random_state": 3, "init_params": "random_from_data", **params}
    whole = fitted(points, **params)
    crash = AtIteration(8, failing)
    with pytest.raises(Crash):
        mixture(**params).set_callbacks(Checkpoint(file, every=3), crash).fit(points)
    model = fastem.load(file)
    assert (model.n_iter_, model.converged_) == (6, False)
    assert model.lower_bounds_ == whole.lower_bounds_[:6]
    assert_same_bits(quietly(model.set_params(warm_start=True), blocks_of(points)), whole)


def test_checkpoints_of_several_starts_count_the_iterations_of_each(tmp_path):
    saved = []

    class Noted(Checkpoint):
        def on_fit_task_end(self, estimator, context, *, fitted_estimator):
            super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)
            if context.task_name == "iteration" and self.path.exists():
                saved.append(fastem.load(self.path).n_iter_)
                self.path.unlink()

    params = {"algorithm": "em", "tol": 0, "max_iter": 7, "n_init": 2, "init_params": "random_from_data"}
    quietly(mixture(**params).set_callbacks(Noted(tmp_path / "model.npz", every=3)), X)
    assert saved == [3, 6, 3, 6]


def test_a_checkpoint_after_no_iteration_is_refused():
    with pytest.raises(ValueError, match="every should be 1 or more, but got 0"):
        Checkpoint("model.npz", every=0)
