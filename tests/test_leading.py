"""Log-densities that end after a few features: the same statistics as from all features, to the rounding of a sum."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from fastem import GaussianMixture, kernels
from fastem.kernels import leading
from fastem.model.families import FAMILIES
from fastem.sources import ArraySource, BlockSource
from fastem.sources.annotations import HARD, SOFT, Annotations, Assignment

from . import naive
from .fits import assert_same_bits, quietly
from .grids import exhaustive, grid

FEW = 300 if numba.config.DISABLE_JIT else 3_000  # points; kernels that are plain Python take a second for 300
TYPES = ["diag", "spherical", "EEI", "VEI", "EVI", "EII"]


@pytest.fixture(autouse=True)
def few_components(monkeypatch):
    """Passes may end log-densities early from 20 components in 17 features on, whatever it is expected to gain."""
    monkeypatch.setattr(leading, "_FEWEST_COMPONENTS", 20)
    monkeypatch.setattr(leading, "_FEWEST_FEATURES", 17)
    monkeypatch.setattr(leading, "_FEWEST_POINTS", 0)
    monkeypatch.setattr(leading, "expected_share", lambda parameters, margin: 0.0)


@pytest.fixture
def shares(monkeypatch):
    """The shares of the work that the passes to come do; all of them count as gains."""
    counted = []
    monkeypatch.setattr(leading, "pays", lambda share: (counted.append(share) if share else None, True)[1])
    return counted


def scattered(n, n_features, n_components, covariance_type="diag", *, spread=12.0, leading_features=None, seed=0):
    """Points, and parameters of which they are drawn; the means differ in some features, 0.1 deviations in the others.

    `spread`: typical distance of two means in deviations.
    """
    rng = np.random.default_rng(seed)
    some = leading_features or n_features
    means = 0.1 * rng.normal(size=(n_components, n_features))
    means[:, rng.permutation(n_features)[:some]] *= 10 * spread / np.sqrt(2 * some)
    variances = rng.uniform(0.25, 2.0, (n_components, n_features))
    if covariance_type in ("EEI", "EII"):
        variances[:] = variances[0]
    if covariance_type in ("spherical", "EII"):
        variances[:] = variances[:, :1]
    if covariance_type == "VEI":
        variances = np.outer(rng.uniform(0.5, 2, n_components), variances[0])
    labels = rng.choice(n_components, n, p=rng.dirichlet(np.full(n_components, 2.0)))
    X = means[labels] + np.sqrt(variances[labels]) * rng.normal(size=(n, n_features))
    covariances = variances[:, 0] if covariance_type in ("spherical", "EII") else variances
    return X, np.full(n_components, 1 / n_components), means, covariances


def parameters_of(weights, means, covariances, covariance_type):
    return FAMILIES[covariance_type].with_precisions(weights, means, 1 / covariances)


def expected(X, weights, means, covariances, covariance_type, sample_weight=None, hard=False):
    """(mass, first, second moments about the means, log-likelihood) from all pairs, in plain NumPy."""
    densities = naive.log_densities(X, weights, means, covariances, covariance_type)
    likelihoods = naive.log_likelihoods(densities)
    r = np.exp(densities - likelihoods[:, None])
    if hard:
        r, likelihoods = np.eye(len(weights))[densities.argmax(axis=1)], densities.max(axis=1)
    counts = np.ones(len(X)) if sample_weight is None else sample_weight
    r = r * counts[:, None]
    return (*moments(X, r, means), counts @ likelihoods)


def moments(X, r, means):
    differences = [X - mean for mean in means]
    first = np.array([r[:, k] @ d for k, d in enumerate(differences)])
    second = np.array([r[:, k] @ d**2 for k, d in enumerate(differences)])
    return r.sum(axis=0), first, second


def assert_close(statistics, reference, rtol):
    for value, wanted in zip((statistics.mass, statistics.first, statistics.second), reference, strict=False):
        assert_allclose(value, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())
    assert statistics.log_likelihood == pytest.approx(reference[3], rel=rtol)


@grid("dtype", [np.float64, np.float32], quick=slice(0, 1))
@pytest.mark.parametrize("covariance_type", TYPES)
@grid(
    ("n_features", "n_components", "spread", "leading_features"),
    [(50, 37, 16.0, 5), (17, 20, 6.0, None), (32, 64, 3.0, None), (130, 41, 30.0, None)],
    quick=slice(0, 2),
)
def test_the_statistics_of_all_pairs(
    n_features, n_components, spread, leading_features, covariance_type, dtype, shares
):
    X, *mixture = scattered(
        FEW, n_features, n_components, covariance_type, spread=spread, leading_features=leading_features
    )
    X = X.astype(dtype)
    source, parameters = ArraySource(X), parameters_of(*mixture, covariance_type)
    reference = expected(X.astype(np.float64), *mixture, covariance_type)
    rtol = 1e-12 if dtype == np.float64 else 1e-4
    for _ in range(3):
        assert_close(source.accumulate(parameters), reference, rtol)
    assert shares[0] == shares[1]
    if FEW > 300:  # too few to fill blocks with points of near cells
        assert shares[0] < (0.8 if leading_features else 1.2)


def test_weighted_hard_and_by_chance(shares):
    X, *mixture = scattered(FEW, 24, 30, spread=7.0)
    weights = np.random.default_rng(1).integers(0, 3, len(X)).astype(float)
    parameters = parameters_of(*mixture, "diag")
    for sample_weight in (None, weights):
        annotations = Annotations(sample_weight)
        for assignment in (SOFT, HARD):
            source = ArraySource(X)
            reference = expected(X, *mixture, "diag", sample_weight, assignment is HARD)
            for _ in range(2):
                assert_close(
                    source.accumulate(parameters, annotations=annotations, assignment=assignment), reference, 1e-12
                )
    source, drawn = ArraySource(X), Assignment("stochastic", 3)
    first, again = (source.accumulate(parameters, assignment=drawn) for _ in range(2))
    assert_array_equal(first.mass, again.mass)  # whole points, the same ones from an ordinary pass and the one after it
    assert len(shares) == 5


def test_noise_takes_its_share():
    """A component of the same density everywhere takes the points that no other explains."""
    X, *mixture = scattered(FEW, 20, 24, spread=9.0)
    X[::10] += 40.0
    inputs = parameters_of(*mixture, "diag").kernel_inputs()
    noise = -60.0
    inputs = inputs._replace(log_scale=np.append(inputs.log_scale, noise))
    densities = np.column_stack([naive.log_densities(X, *mixture, "diag"), np.full(len(X), noise)])
    likelihoods = naive.log_likelihoods(densities)
    r = np.exp(densities - likelihoods[:, None])
    cells = kernels.NearestComponents(len(X))
    for _ in range(2):
        one = kernels.Pass(inputs, inputs.means, len(X), cells=cells)
        one.add(X)
        sums = one.sums()
        mass, first, _, log_likelihood, _ = sums.rounded(inputs)
        assert sums.noise == pytest.approx(r[:, -1].sum(), rel=1e-12)
        assert_allclose(mass, r[:, :-1].sum(axis=0), rtol=1e-12)
        assert log_likelihood == pytest.approx(likelihoods.sum(), rel=1e-12)
        assert_allclose(first, moments(X, r[:, :-1], mixture[1])[1], rtol=1e-10, atol=1e-9)


def test_awkward_points_and_components(shares):
    """Outliers, repeated points and components, a component of no weight, means that are all alike."""
    X, weights, means, variances = scattered(FEW, 40, 33, spread=10.0)
    X[5] = 300.0
    X[7:100] = X[7]
    X[200:230] = X[5]
    means[1], variances[1] = means[0], variances[0]
    weights[2] = 0.0
    weights /= weights.sum()
    variances[3] *= 100.0
    with np.errstate(divide="ignore"):
        parameters = parameters_of(weights, means, variances, "diag")
    source = ArraySource(X)
    for _ in range(2):
        assert_close(source.accumulate(parameters), expected(X, weights, means, variances, "diag"), 1e-12)
    means[:] = means[0]
    source, parameters = ArraySource(X), parameters_of(weights, means, variances, "diag")
    for _ in range(2):
        assert_close(source.accumulate(parameters), expected(X, weights, means, variances, "diag"), 1e-12)


def test_cells_of_other_parameters_are_only_a_hint(shares):
    """The labels that sort the points may be those of a mixture that was far from this one."""
    X, *mixture = scattered(FEW, 24, 30, spread=14.0)
    source = ArraySource(X)
    source.accumulate(parameters_of(mixture[0], mixture[1][::-1] + 1.0, mixture[2], "diag"))
    assert_close(source.accumulate(parameters_of(*mixture, "diag")), expected(X, *mixture, "diag"), 1e-12)
    source.accumulate(parameters_of(*mixture, "diag"))
    assert shares[1] < shares[0]  # now they are


@exhaustive
@given(
    seed=st.integers(0, 2**32 - 1), n_features=st.integers(17, 60), n_components=st.integers(20, 50),
    spread=st.floats(0.0, 40.0), n=st.integers(2, 200), scale=st.floats(1e-3, 1e3), shift=st.floats(-1e6, 1e6),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_any_mixture(seed, n_features, n_components, spread, n, scale, shift):
    X, weights, means, variances = scattered(n, n_features, n_components, spread=spread, seed=seed)
    X, means, variances = scale * X + shift, scale * means + shift, scale**2 * variances
    source, parameters = ArraySource(X), parameters_of(weights, means, variances, "diag")
    reference = expected(X, weights, means, variances, "diag")
    for _ in range(2):
        statistics = source.accumulate(parameters)
        rounding = 1e-12 + 1e-14 * abs(shift) / scale
        assert_allclose(statistics.mass, reference[0], rtol=1e2 * rounding, atol=1e2 * rounding * n)


# -- the same bits -----------------------------------------------------------------------------------------------------


def test_the_same_bits_for_any_threads_and_blocks(shares):
    X, *mixture = scattered(20_000 if FEW > 300 else 600, 20, 24, spread=9.0)
    parameters, results, before = parameters_of(*mixture, "diag"), [], numba.get_num_threads()
    try:
        for n_threads in {1, numba.config.NUMBA_NUM_THREADS}:
            numba.set_num_threads(n_threads)
            in_blocks = BlockSource(lambda: [X[:1], X[1:450], X[450:451], X[451:]])
            in_blocks.scan()
            for source in (ArraySource(X), in_blocks, ArraySource(np.asfortranarray(X))):
                results.append([source.accumulate(parameters) for _ in range(3)])
    finally:
        numba.set_num_threads(before)
    for others in results[1:]:
        for other, first in zip(others, results[0], strict=True):
            for name in ("mass", "first", "second", "log_likelihood"):
                assert_array_equal(getattr(other, name), getattr(first, name))
    assert len(set(shares)) == 1 and len(shares) == 2 * len(results)


@exhaustive
@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_fits_have_the_same_bits_and_the_bounds_of_all_pairs(monkeypatch, shares):
    X, weights, means, variances = scattered(6000, 32, 256, spread=14.0)
    start = {"weights_init": weights, "means_init": means + 0.5, "precisions_init": 1 / variances}
    settings = {"covariance_type": "diag", "algorithm": "em", "max_iter": 5, "tol": 0.0, **start}

    def fitted(**more):
        return quietly(GaussianMixture(256, **settings, **more), X)

    one, two = fitted(n_threads=1), fitted(n_threads=2)
    assert len(shares) >= 8
    assert_same_bits(one, two)
    monkeypatch.setattr(leading, "_FEWEST_COMPONENTS", 10**9)
    dense = fitted()
    assert_allclose(one.lower_bounds_, dense.lower_bounds_, rtol=1e-13)
    assert_allclose(one.means_, dense.means_, rtol=1e-9, atol=1e-9)


# -- where it is used --------------------------------------------------------------------------------------------------


def leads(parameters, n_samples, cells, **settings):
    inputs = parameters.kernel_inputs()
    return kernels.Pass(inputs, inputs.means, n_samples, cells=cells, **settings)._leads


def test_only_where_it_may_gain(monkeypatch):
    monkeypatch.undo()
    n = 32 * 256
    X, *mixture = scattered(n, 32, 256, spread=20.0)
    parameters = parameters_of(*mixture, "diag")
    source = ArraySource(X)
    assert not leads(parameters, n, source._cells)  # no pass has put the points in cells yet
    source.accumulate(parameters)
    assert leads(parameters, n, source._cells)
    assert not leads(parameters, n, source._cells, constrained=True)
    assert not leads(parameters, n, source._cells, moments=False)
    assert not leads(parameters, n, None)
    assert not leads(parameters, n - 1, source._cells)
    weights, means, variances = mixture
    fewer = parameters_of(weights[:255] / weights[:255].sum(), means[:255], variances[:255], "diag")
    other = ArraySource(X)
    other.accumulate(fewer)
    assert not leads(fewer, n, other._cells)


@pytest.mark.parametrize("covariance_type", TYPES)
def test_overlapping_components_cost_no_trial(covariance_type, monkeypatch):
    monkeypatch.undo()
    n = 32 * 256
    X, *mixture = scattered(n, 32, 256, covariance_type, spread=1.0)
    parameters, source = parameters_of(*mixture, covariance_type), ArraySource(X)
    source.accumulate(parameters)
    assert source._cells.resting() and not leads(parameters, n, source._cells)


@exhaustive
@pytest.mark.parametrize(("n_features", "spread"), [(32, 12.0), (64, 20.0), (64, 10.0), (128, 30.0)])
def test_the_work_is_expected_as_it_turns_out(n_features, spread, monkeypatch):
    monkeypatch.undo()
    X, *mixture = scattered(30_000, n_features, 256, spread=spread)
    parameters, counted = parameters_of(*mixture, "diag"), []
    estimate = leading.expected_share(parameters.kernel_inputs(), 37.0 + np.log(256))
    monkeypatch.setattr(leading, "pays", lambda share: (counted.append(share), True)[1])
    source = ArraySource(X)
    for _ in range(2):
        source.accumulate(parameters)
    assert counted[-1] == pytest.approx(estimate, abs=0.25)  # blocks of more cells than it takes: 15 points each here


def test_a_pass_that_did_not_pay_is_followed_by_ordinary_ones():
    X, *mixture = scattered(FEW, 20, 24, spread=0.5)
    parameters, source = parameters_of(*mixture, "diag"), ArraySource(X)
    for _ in range(2):  # the first is expected to pay, by the fixture, and the second tells that it doesn't
        source.accumulate(parameters)
    assert source._cells.resting()


def test_near_components_are_side_by_side():
    ranks = leading._near_one_another(np.random.default_rng(0).permutation(256)[:, None] * np.ones((1, 3)))
    assert sorted(ranks) == list(range(256))
    values = np.random.default_rng(0).permutation(256)
    order = np.argsort(ranks)
    assert np.mean(np.abs(np.diff(values[order])) > 1) < 1 / 8  # only where one half meets the other
