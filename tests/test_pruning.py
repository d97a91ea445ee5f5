"""Components left out of blocks: the same results as with all of them, to the rounding of a sum."""

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastem import kernels
from fastem.kernels import ordering, passes
from fastem.kernels import pruning as pruning_module
from fastem.model.families import FAMILIES
from fastem.sources import ArraySource
from fastem.sources.annotations import HARD, Annotations

from .data_sets import COVARIANCE_TYPES
from .grids import grid

MANY = 3_000 if numba.config.DISABLE_JIT else 20_000  # points; kernels that are plain Python take a second for 3,000


def scattered(n, n_features, n_components, covariance_type, *, spread=12.0, seed=0):
    """Points of components far apart, of sizes, shapes and weights of their own, and parameters near the truth."""
    rng = np.random.default_rng(seed)
    side = spread * n_components ** (1 / n_features)
    means = rng.uniform(0, side, (n_components, n_features))
    labels = rng.choice(n_components, n, p=rng.dirichlet(np.full(n_components, 2.0)))
    scales = rng.uniform(0.2, 2.0, (n_components, n_features))
    if covariance_type in ("tied", "spherical"):
        scales[:] = 1.0
    X = means[labels] + scales[labels] * rng.normal(size=(n, n_features))
    family = FAMILIES[covariance_type]
    statistics = ArraySource(X).accumulate(
        family.with_variances(means, np.ones(n_features)), annotations=Annotations(labels=labels, e_step=False)
    )
    X[::97] = rng.uniform(-side, 2 * side, (len(X[::97]), n_features))  # some from nowhere
    return X, family.maximize(statistics, 0.1)


@pytest.fixture
def dense(monkeypatch):
    """Call a function with no component ever left out."""

    def call(function, *args, **kwargs):
        with monkeypatch.context() as patch:
            patch.setattr(pruning_module, "_FEWEST_COMPONENTS", 10**9)
            return function(*args, **kwargs)

    return call


def pairs_looked_at(monkeypatch):
    """The shares of pairs of point and component that the passes to come look at; each of them prunes."""
    shares = []
    monkeypatch.setattr(passes, "expected_share", lambda parameters, margin: 0.0)
    monkeypatch.setattr(passes, "pays", lambda parameters, share: (shares.append(share), True)[1])
    return Evaluated(shares)


class Evaluated:
    """The shares that passes have reported when they ended; what `expected_share` says beforehand is left out."""

    def __init__(self, shares):
        self._shares = shares

    def __getitem__(self, i):
        return [share for share in self._shares if share > 0][i]

    def __len__(self):
        return len([share for share in self._shares if share > 0])


def assert_same(statistics, expected, rtol):
    assert statistics.log_likelihood == pytest.approx(expected.log_likelihood, rel=rtol)
    for name in ("mass", "first", "second"):
        value, reference = getattr(statistics, name), getattr(expected, name)
        assert_allclose(value, reference, rtol=rtol, atol=rtol * np.abs(reference).max())


@grid("dtype", [np.float64, np.float32], quick=[np.float64])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize(("n_features", "n_components"), [(1, 33), (2, 40), (3, 100), (5, 64), (8, 50)])
def test_the_same_statistics(n_features, n_components, covariance_type, dtype, dense, monkeypatch):
    X, parameters = scattered(MANY, n_features, n_components, covariance_type)
    X = X.astype(dtype)
    expected = dense(ArraySource(X).accumulate, parameters)
    shares = pairs_looked_at(monkeypatch)
    source = ArraySource(X)
    rtol = 1e-13 if dtype == np.float64 else 1e-5
    for _ in range(3):  # by the tree or all components first, then by cells
        assert_same(source.accumulate(parameters), expected, rtol)
    assert shares[1] < 0.5 and shares[1] == shares[2]
    assert (shares[0] < 1) == (n_features <= 4)


def test_correlated_components_need_the_bounds_of_the_box(dense, monkeypatch):
    """Needles side by side: distances tell nothing of them."""
    rng = np.random.default_rng(0)
    means = np.column_stack([np.zeros(40), 3.0 * np.arange(40)])
    covariance = np.array([[400.0, 19.9], [19.9, 1.0]])
    labels = rng.integers(40, size=20_000)
    X = means[labels] + rng.multivariate_normal([0, 0], covariance, size=20_000)
    precisions = np.tile(np.linalg.inv(covariance), (40, 1, 1))
    parameters = FAMILIES["full"].with_precisions(np.full(40, 1 / 40), means, precisions)
    expected = dense(ArraySource(X).accumulate, parameters)
    shares = pairs_looked_at(monkeypatch)
    source = ArraySource(X)
    for _ in range(2):
        assert_same(source.accumulate(parameters), expected, 1e-13)
    assert shares[1] < 0.8


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_hard_and_weighted(covariance_type, dense):
    X, parameters = scattered(10_000, 3, 40, covariance_type)
    weights = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    weighted = {"annotations": Annotations(weights)}
    for given in (weighted, {**weighted, "assignment": HARD}, {"assignment": HARD}):
        expected = dense(ArraySource(X).accumulate, parameters, **given)
        source = ArraySource(X)
        for _ in range(2):
            assert_same(source.accumulate(parameters, **given), expected, 1e-13)


@grid("dtype", [np.float64, np.float32], quick=[np.float64])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_predictions_are_the_same_bits(covariance_type, dtype, dense):
    X, parameters = scattered(5000, 2, 60, covariance_type, spread=100.0)
    source = ArraySource(X.astype(dtype))
    for kernel, out in ((kernels.labels, np.empty(5000, np.int64)), (kernels.log_likelihoods, np.empty(5000, dtype))):
        expected = dense(source.evaluate, parameters, kernel, out.copy())
        assert_array_equal(source.evaluate(parameters, kernel, out), expected)


def test_the_same_bits_for_any_number_of_threads():
    X, parameters = scattered(100_000, 3, 40, "full")
    before = numba.get_num_threads()
    results = []
    try:
        for n_threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            numba.set_num_threads(n_threads)
            source = ArraySource(X)
            results.append([source.accumulate(parameters) for _ in range(2)])
    finally:
        numba.set_num_threads(before)
    for passes_ in results[1:]:
        for other, first in zip(passes_, results[0], strict=True):
            for name in ("mass", "first", "second", "log_likelihood"):
                assert_array_equal(getattr(other, name), getattr(first, name))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("n_features, n_components", [(2, 128), (4, 100), (8, 64), (10, 150)])
def test_overlapping_components_cost_no_trial(n_features, n_components, covariance_type):
    X, parameters = scattered(3000, n_features, n_components, covariance_type, spread=0.5)
    source = ArraySource(X)
    inputs = parameters.kernel_inputs()
    for _ in range(3):
        assert not kernels.Pass(inputs, inputs.means, len(X), cells=source._cells).prunes
        source.accumulate(parameters)
    assert source._cells.resting()


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("n_features, n_components", [(2, 256), (4, 200), (8, 150)])
def test_the_share_is_expected_as_it_turns_out(n_features, n_components, covariance_type, monkeypatch):
    X, parameters = scattered(20_000, n_features, n_components, covariance_type, spread=12.0)
    inputs = parameters.kernel_inputs()
    expected = pruning_module.expected_share(inputs, 37.0 + np.log(n_components))
    assert pruning_module.pays(inputs, expected)
    shares = pairs_looked_at(monkeypatch)
    source = ArraySource(X)
    for _ in range(2):
        source.accumulate(parameters)
    assert shares[1] == pytest.approx(expected, abs=0.2)


def test_more_points_than_cells_are_kept_of(dense, monkeypatch):
    X, parameters = scattered(5000, 3, 40, "full")
    expected = dense(ArraySource(X).accumulate, parameters)
    monkeypatch.setattr(ordering, "_MOST_CELL_BYTES", 2 * 4999)
    shares = pairs_looked_at(monkeypatch)
    source = ArraySource(X)
    for _ in range(2):
        assert_same(source.accumulate(parameters), expected, 1e-13)
    assert shares[0] == shares[1] < 1  # by the tree again


def test_points_of_any_distance(dense):
    X, parameters = scattered(3000, 2, 40, "full")
    X[10], X[20], X[30] = 1e9, 1e170, -1e300
    source = ArraySource(X)
    expected = dense(source.evaluate, parameters, kernels.labels, np.empty(3000, np.int64))
    assert_array_equal(source.evaluate(parameters, kernels.labels, np.empty(3000, np.int64)), expected)
    expected = dense(source.evaluate, parameters, kernels.log_likelihoods, np.empty(3000))
    assert_array_equal(source.evaluate(parameters, kernels.log_likelihoods, np.empty(3000)), expected)


def test_memory_of_cells_is_bounded():
    assert kernels.NearestComponents(1000).labels.nbytes == 2000
    assert kernels.NearestComponents(10**9).labels.nbytes == 0


def test_tree_leaves_hold_about_as_many_means_each():
    means = np.random.default_rng(0).normal(size=(100, 3))
    features, thresholds = ordering.make_tree(means, np.ones(3))
    node = np.zeros(100, int)
    while (node < len(features)).any():
        inner = node < len(features)
        at = node[inner]
        node[inner] = 2 * at + 1 + (means[inner, features[at]] > thresholds[at])
    counts = np.bincount(node - len(features), minlength=64)
    assert len(counts) == 64 and counts.max() <= 2
