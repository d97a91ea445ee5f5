"""Every pass against the textbook formulas, over sizes, dtypes, layouts and what may be known of the points."""

import itertools
from dataclasses import replace

import numba
import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastem import kernels
from fastem.fitting.labelled_starts import from_labels
from fastem.model import parameters as parameters_module
from fastem.model.families import FAMILIES
from fastem.sources import ArraySource
from fastem.sources.annotations import HARD, SOFT, Annotations, Assignment

from . import naive
from .data_sets import COVARIANCE_TYPES
from .grids import grid
from .problems import make_problem

SIZES = [  # (n, D, K): every remainder of the tiles and of the blocks, the sizes on either side of a block
    *itertools.product((1, 2, 127, 128, 129, 1000), (1, 2, 3), (1, 2, 7)),
    *itertools.product((1, 129, 1000), (5, 8), (1, 2, 7, 40)),
    *itertools.product((2, 257), (13, 33), (1, 7, 40)),
    (129, 4, 3), (300, 6, 3), (300, 7, 3), (300, 9, 3), (300, 10, 3), (300, 11, 3), (300, 12, 3), (150, 130, 2),
]  # fmt: skip


def expected_statistics(problem, responsibilities):
    """(mass, first, second) about the means, from (n, K) responsibilities."""
    d = problem.X[:, None, :] - problem.means
    mass = responsibilities.sum(axis=0)
    first = np.einsum("nk,nki->ki", responsibilities, d)
    if problem.covariance_type == "full":
        second = np.einsum("nk,nki,nkj->kij", responsibilities, d, d, optimize=True)
    elif problem.covariance_type == "tied":
        second = np.einsum("nk,nki,nkj->ij", responsibilities, d, d, optimize=True)
    else:
        second = np.einsum("nk,nki->ki", responsibilities, d**2)
    return mass, first, second


def assert_statistics(statistics, expected, rtol=1e-11):
    for value, reference in zip((statistics.mass, statistics.first, statistics.second), expected, strict=True):
        assert_allclose(value, reference, rtol=rtol, atol=rtol * (1 + np.abs(reference).max()))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_accumulate(size, covariance_type):
    problem = make_problem(*size, covariance_type)
    likelihoods, responsibilities = naive.e_step(problem.X, *problem.mixture)
    statistics = ArraySource(problem.X).accumulate(problem.parameters)
    assert_statistics(statistics, expected_statistics(problem, responsibilities))
    assert statistics.log_likelihood == pytest.approx(likelihoods.sum(), rel=1e-12)
    assert statistics.weight == size[0]


@pytest.mark.parametrize("size", [(1000, 2, 3), (300, 10, 4), (200, 33, 2)], ids=str)
def test_accumulate_tied_moment_by_moment(size):
    problem = make_problem(*size, "tied")
    _, responsibilities = naive.e_step(problem.X, *problem.mixture)
    statistics = ArraySource(problem.X).accumulate(problem.parameters, exact=True)
    assert_statistics(statistics, expected_statistics(problem, responsibilities))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("size", SIZES[::3], ids=str)
@grid(("dtype", "rtol"), [(np.float64, 1e-11), (np.float32, 1e-6)], quick=slice(1))
def test_evaluate(dtype, rtol, size, covariance_type):
    problem = make_problem(*size, covariance_type)
    likelihoods, responsibilities = naive.e_step(problem.X, *problem.mixture)
    densities = naive.log_densities(problem.X, *problem.mixture)
    source, n, k = ArraySource(problem.X), size[0], size[2]
    out = source.evaluate(problem.parameters, kernels.log_likelihoods, np.empty(n, dtype))
    assert_allclose(out, likelihoods, rtol=rtol, atol=rtol)
    out = source.evaluate(problem.parameters, kernels.responsibilities, np.empty((n, k), dtype))
    assert_allclose(out, responsibilities, rtol=100 * rtol, atol=rtol)
    assert_allclose(out.sum(axis=1), 1.0, rtol=10 * np.finfo(dtype).eps)
    labels = source.evaluate(problem.parameters, kernels.labels, np.empty(n, np.int64))
    assert_array_equal(labels, densities.argmax(axis=1))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("size", SIZES[::5], ids=str)
def test_points_taken_from_each_mean(size, covariance_type, monkeypatch):
    """What components far apart are evaluated by, here for ordinary ones."""
    monkeypatch.setattr(parameters_module, "_FAR", 0.0)
    problem = make_problem(*size, covariance_type)
    inputs = problem.parameters.kernel_inputs()
    assert inputs.is_far or not np.any(inputs.means)
    likelihoods, responsibilities = naive.e_step(problem.X, *problem.mixture)
    for X in (problem.X, np.asfortranarray(problem.X), problem.X.astype(np.float32).astype(np.float64)):
        likelihoods, responsibilities = naive.e_step(X, *problem.mixture)
        statistics = ArraySource(X).accumulate(problem.parameters)
        expected = expected_statistics(replace(problem, X=X), responsibilities)
        assert_statistics(statistics, expected)
        assert statistics.log_likelihood == pytest.approx(likelihoods.sum(), rel=1e-12)
    source = ArraySource(X)
    out = source.evaluate(problem.parameters, kernels.log_likelihoods, np.empty(size[0]))
    assert_allclose(out, likelihoods, rtol=1e-11, atol=1e-11)
    out = source.evaluate(problem.parameters, kernels.responsibilities, np.empty((size[0], size[2])))
    assert_allclose(out, responsibilities, rtol=1e-9, atol=1e-11)
    labels = source.evaluate(problem.parameters, kernels.labels, np.empty(size[0], np.int64))
    assert_array_equal(labels, naive.log_densities(X, *problem.mixture).argmax(axis=1))


def test_the_first_of_equals_is_the_label():
    problem = make_problem(50, 2, 3, "full")
    problem.weights[:], problem.means[:], problem.covariances[:] = 1 / 3, problem.means[0], problem.covariances[0]
    labels = ArraySource(problem.X).evaluate(problem.parameters, kernels.labels, np.empty(50, np.int64))
    assert_array_equal(labels, 0)


# -- what is known of the points ------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_weights(covariance_type):
    problem = make_problem(500, 3, 4, covariance_type)
    weights = np.random.default_rng(0).uniform(0.5, 2, 500)
    weights[::5] = 0
    likelihoods, responsibilities = naive.e_step(problem.X, *problem.mixture)
    statistics = ArraySource(problem.X).accumulate(problem.parameters, annotations=Annotations(weights))
    assert_statistics(statistics, expected_statistics(problem, weights[:, None] * responsibilities))
    assert statistics.log_likelihood == pytest.approx(weights @ likelihoods, rel=1e-12)
    assert statistics.weight == pytest.approx(weights.sum())


@pytest.mark.parametrize("assignment", ["soft", "hard"])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_point_of_weight_zero_is_not_there(covariance_type, assignment):
    problem = make_problem(10, 3, 4, covariance_type)
    problem.X[3] = 1e200  # where every density is 0 and squares overflow
    weights = np.ones(10)
    weights[3] = 0
    others = ArraySource(np.delete(problem.X, 3, axis=0))
    expected = others.accumulate(problem.parameters, assignment=Assignment(assignment))
    statistics = ArraySource(problem.X).accumulate(
        problem.parameters, annotations=Annotations(weights), assignment=Assignment(assignment)
    )
    assert_statistics(statistics, (expected.mass, expected.first, expected.second), rtol=1e-13)
    assert statistics.log_likelihood == pytest.approx(expected.log_likelihood, rel=1e-14)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("hard", [False, True])
def test_labels_fix_responsibilities(covariance_type, hard):
    problem = make_problem(400, 3, 4, covariance_type)
    labels = np.random.default_rng(0).integers(-1, 4, 400)
    densities = naive.log_densities(problem.X, *problem.mixture)
    densities[(labels >= 0)[:, None] & (np.arange(4) != labels[:, None])] = -np.inf
    likelihoods = naive.log_likelihoods(densities)
    responsibilities = np.exp(densities - likelihoods[:, None])
    if hard:
        likelihoods = densities.max(axis=1)
        responsibilities = np.eye(4)[densities.argmax(axis=1)]
    statistics = ArraySource(problem.X).accumulate(
        problem.parameters, annotations=Annotations(labels=labels), assignment=HARD if hard else SOFT
    )
    assert_statistics(statistics, expected_statistics(problem, responsibilities))
    assert statistics.log_likelihood == pytest.approx(likelihoods.sum(), rel=1e-12)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_labels_instead_of_an_e_step(covariance_type):
    problem = make_problem(400, 3, 4, covariance_type)
    labels = np.random.default_rng(0).integers(-1, 4, 400)
    weights = np.random.default_rng(1).uniform(size=400)
    responsibilities = (np.arange(4) == labels[:, None]) * weights[:, None]
    given = Annotations(weights, labels, e_step=False)
    statistics = ArraySource(problem.X).accumulate(problem.parameters, annotations=given)
    assert_statistics(statistics, expected_statistics(problem, responsibilities))
    assert statistics.log_likelihood == 0


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_responsibilities_instead_of_an_e_step(covariance_type):
    problem = make_problem(400, 3, 4, covariance_type)
    responsibilities = np.random.default_rng(0).uniform(size=(400, 4))
    given = Annotations(responsibilities=responsibilities, e_step=False)
    statistics = ArraySource(problem.X).accumulate(problem.parameters, annotations=given)
    assert_statistics(statistics, expected_statistics(problem, responsibilities))


def test_a_component_of_weight_zero_gets_nothing():
    problem = make_problem(300, 3, 4, "full")
    problem.weights[:] = [0.5, 0.0, 0.25, 0.25]
    statistics = ArraySource(problem.X).accumulate(problem.parameters)
    assert statistics.mass[1] == 0
    assert np.isfinite(statistics.log_likelihood)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_points_farther_than_any_density_reaches(covariance_type):
    problem = make_problem(10, 3, 4, covariance_type)
    problem.X[4] = 1e9
    problem.X[5] = 1e170  # squares overflow: log-density -inf
    source = ArraySource(problem.X)
    likelihoods = source.evaluate(problem.parameters, kernels.log_likelihoods, np.empty(10))
    assert_allclose(likelihoods[4], naive.log_densities(problem.X[4:5], *problem.mixture).max(), rtol=1e-9)
    assert likelihoods[5] == -np.inf
    responsibilities = source.evaluate(problem.parameters, kernels.responsibilities, np.empty((10, 4)))
    assert_allclose(responsibilities.sum(axis=1), 1.0, rtol=1e-14)
    labels = source.evaluate(problem.parameters, kernels.labels, np.empty(10, np.int64))
    assert_array_equal(labels, responsibilities.argmax(axis=1))


# -- how points may lie in memory ------------------------------------------------------------------------------------

LAYOUTS = {
    "C": lambda X: X,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "backwards": lambda X: X[::-1, ::-1].copy()[::-1, ::-1],
    "unaligned": lambda X: np.frombuffer(b"x" + X.tobytes(), np.uint8)[1:].view(X.dtype).reshape(X.shape),
}
DTYPES = ["f8", "f4", "u1", "i4", "i8", "f2", "i1", "i2", "u2", "u4", "u8", "?", ">f8", ">i4", "g"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_and_layouts(dtype, layout):
    problem = make_problem(300, 3, 2, "full")
    X = LAYOUTS[layout]((3 * np.abs(problem.X)).astype(dtype))
    X.flags.writeable = False
    plain = ArraySource(np.array(X, "f4" if dtype == "f4" else "f8", order="C")).accumulate(problem.parameters)
    statistics = ArraySource(X).accumulate(problem.parameters)
    for name in ("mass", "first", "second", "log_likelihood"):
        assert_array_equal(getattr(statistics, name), getattr(plain, name))


def test_one_row_broadcast_to_many():
    problem = make_problem(1, 3, 2, "full")
    X = np.broadcast_to(problem.X, (300, 3))
    assert_array_equal(
        ArraySource(X).accumulate(problem.parameters).second,
        ArraySource(X.copy()).accumulate(problem.parameters).second,
    )


def test_rare_dtypes_are_converted_block_by_block(monkeypatch):
    from fastem.sources import array

    problem = make_problem(300, 3, 2, "full")
    X = problem.X.astype(np.float16)
    whole = ArraySource(X.astype(np.float64)).accumulate(problem.parameters)
    monkeypatch.setattr(array, "VALUES", 3 * 128)
    weights = np.ones(300)
    parts = ArraySource(X).accumulate(problem.parameters, annotations=Annotations(weights))
    assert_statistics(parts, (whole.mass, whole.first, whole.second), rtol=1e-13)
    labels = ArraySource(X).evaluate(problem.parameters, kernels.labels, np.empty(300, np.int64))
    assert_array_equal(labels, ArraySource(X.astype(float)).evaluate(problem.parameters, kernels.labels, labels.copy()))


# -- float32 -----------------------------------------------------------------------------------------------------


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
@pytest.mark.parametrize("size", SIZES[1::2], ids=str)
def test_float32(size, covariance_type):
    problem = make_problem(*size, covariance_type)
    X = problem.X.astype(np.float32)
    assert problem.parameters.kernel_inputs(single=True).bias.dtype == np.float32
    likelihoods, responsibilities = naive.e_step(X.astype(np.float64), *problem.mixture)
    source = ArraySource(X)
    problem.X = X.astype(np.float64)
    statistics = source.accumulate(problem.parameters)
    offsets = statistics.centres - problem.means  # rounded to float32
    assert_allclose(offsets, 0, atol=1e-5)
    assert_statistics(statistics.about(problem.means), expected_statistics(problem, responsibilities), rtol=2e-5)
    assert statistics.log_likelihood == pytest.approx(likelihoods.sum(), rel=2e-6)
    out = source.evaluate(problem.parameters, kernels.responsibilities, np.empty((size[0], size[2]), np.float32))
    assert_allclose(out, responsibilities, atol=3e-5)
    labels = source.evaluate(problem.parameters, kernels.labels, np.empty(size[0], np.int64))
    assert_array_equal(labels, out.argmax(axis=1))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_float32_falls_back_to_float64_where_it_would_not_do(covariance_type):
    family = FAMILIES[covariance_type]
    means = np.array([[0.0, 0.0], [1.0, 3.0]])
    for deviation, dtype in ((1.0, np.float32), (1e-1, np.float32), (1e-3, np.float64), (1e-20, np.float64)):
        parameters = family.with_variances(deviation * means, np.full(2, 1e-6 * deviation**2))
        assert parameters.kernel_inputs(single=True).bias.dtype == np.float64  # components 1000 deviations apart
        parameters = family.with_variances(means, np.full(2, deviation**2))
        assert parameters.kernel_inputs(single=True).bias.dtype == dtype
        assert parameters.kernel_inputs().bias.dtype == np.float64


def test_float32_of_any_scale():
    problem = make_problem(1000, 3, 1, "full")
    for scale in (1e-30, 1e-17, 1.0, 1e17, 1e30):
        X = (problem.X * scale).astype(np.float32)
        parameters = from_labels(
            ArraySource(X), FAMILIES["full"], 1, Annotations(labels=np.zeros(1000, np.int64)), reg_covar=0.0
        )
        covariance = np.cov(X.astype(np.float64).T, bias=True)
        assert_allclose(parameters.covariances[0] / scale**2, covariance / scale**2, rtol=1e-5)


# -- promises ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_same_bits_for_any_number_of_threads(covariance_type):
    problem = make_problem(50_000, 5, 3, covariance_type)
    source = ArraySource(problem.X)
    before = numba.get_num_threads()
    results = []
    try:
        for n_threads in range(1, numba.config.NUMBA_NUM_THREADS + 1):
            numba.set_num_threads(n_threads)
            results.append(source.accumulate(problem.parameters))
    finally:
        numba.set_num_threads(before)
    for other in results[1:]:
        for name in ("mass", "first", "second", "log_likelihood"):
            assert_array_equal(getattr(other, name), getattr(results[0], name))


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_pass_in_several_calls_is_the_same_pass(covariance_type, monkeypatch):
    """Long passes are cut into calls, so that they can be interrupted."""
    from fastem.kernels import cuts

    problem = make_problem(20_000, 5, 3, covariance_type)
    source = ArraySource(problem.X)
    whole = source.accumulate(problem.parameters)
    labels = source.evaluate(problem.parameters, kernels.labels, np.empty(20_000, np.int64))
    monkeypatch.setattr(cuts, "_FLOPS_PER_CALL", 1e6)
    parts = source.accumulate(problem.parameters)
    for name in ("mass", "first", "second", "log_likelihood"):
        assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert_array_equal(source.evaluate(problem.parameters, kernels.labels, np.empty(20_000, np.int64)), labels)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_row_alone_is_the_row_in_a_batch(covariance_type):
    problem = make_problem(700, 5, 3, covariance_type)
    for kernel, shape, dtype in (
        (kernels.log_likelihoods, (), float),
        (kernels.responsibilities, (3,), float),
        (kernels.labels, (), np.int64),
    ):

        def evaluate(X, kernel=kernel, shape=shape, dtype=dtype):
            return ArraySource(X).evaluate(problem.parameters, kernel, np.empty((len(X), *shape), dtype))

        together = evaluate(problem.X)
        for i in (0, 1, 7, 8, 255, 256, 511, 699):
            assert_array_equal(evaluate(problem.X[i : i + 1])[0], together[i])
        assert_array_equal(evaluate(problem.X[3:]), together[3:])


@pytest.mark.parametrize(("n", "d", "k"), [(10**6, 128, 128), (10**7, 10, 1024), (10**6, 2, 8), (1, 1, 1)])
def test_no_accumulators_beyond_their_budget(n, d, k):
    from fastem.kernels import AxisAligned, cuts, passes

    parameters = AxisAligned(np.zeros(d), np.zeros((k, d)), np.zeros(k), np.ones((k, d)), np.zeros((k, d)))
    sums = passes.Pass(parameters, parameters.means, n)
    one = 2 * parameters.zero_moments(1).nbytes
    assert sums._moments.nbytes <= max(cuts.MAX_ACCUMULATOR_BYTES, 8 * one)
    assert 1 <= sums.leaf <= max(cuts._LEAF, n)
