"""Truncated EM: a naive version of it at every iteration, and what must hold whatever the candidates are."""

import errno
import tracemalloc

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastem
from fastem import GaussianMixture
from fastem.callbacks import Checkpoint
from fastem.estimators import em_mixture
from fastem.fitting import em, truncated
from fastem.fitting.report import FitReport
from fastem.model import nearness
from fastem.model.families import FAMILIES
from fastem.model.families.factors import Factors
from fastem.model.nearness import nearest_components
from fastem.sources import ArraySource, BlockSource, ParquetSource, labels
from fastem.sources.annotations import HARD, NO_ANNOTATIONS

from . import naive
from .data_sets import COVARIANCE_TYPES
from .fits import assert_same_bits, quietly
from .grids import exhaustive, grid

pytestmark = pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")

N_CANDIDATES = 6
PARAMETERS = "weights_", "means_", "covariances_"


@pytest.fixture
def few_candidates(monkeypatch):
    """Short lists, so that small mixtures are truncated, whatever they lose by it."""
    monkeypatch.setattr(truncated, "N_CANDIDATES", N_CANDIDATES)
    monkeypatch.setattr(truncated, "_FEW_COMPONENTS", N_CANDIDATES)


def overlapping(n=1200, n_features=3, n_components=24, seed=0):
    """(X, means): groups that overlap, in no order."""
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(n_components, n_features)) * 2
    group = rng.integers(n_components, size=n)
    spread = rng.uniform(0.5, 1.0, size=(n_components, n_features))
    return means[group] + spread[group] * rng.normal(size=(n, n_features)), means


def start_of(means, covariance_type):
    """The user's start at these means, as arguments."""
    n_components, n_features = means.shape
    precisions = {
        "full": np.tile(np.eye(n_features), (n_components, 1, 1)),
        "tied": np.eye(n_features),
        "diag": np.ones((n_components, n_features)),
        "spherical": np.ones(n_components),
    }[covariance_type]
    weights = np.full(n_components, 1 / n_components)
    return {"weights_init": weights, "means_init": means, "precisions_init": precisions}


def parameters_near(X, means, covariance_type):
    """A mixture in the family, from points assigned to the nearest mean."""
    family = FAMILIES[covariance_type]
    rough = family.for_nearest_means.with_variances(means, np.ones(X.shape[1]))
    return family.maximize(ArraySource(X).e_step(rough, assignment=HARD), 0.05)


# -- the naive version ------------------------------------------------------------------------------------------------


def naive_lists(parameters, covariance_type, n_candidates, number):
    """The candidates of every cell, component by component, from the definition."""
    weights, means, covariances = parameters
    n_components, n_features = means.shape
    matrices = naive.matrices(covariances, covariance_type, n_components, n_features)
    drawn = np.random.RandomState(number).randint(n_components, size=n_components)
    lists = []
    for c in range(n_components):
        nearness = np.empty(n_components)
        for k in range(n_components):
            d = means[c] - means[k]
            inverse = np.linalg.inv(matrices[k])
            nearness[k] = np.log(weights[k]) - 0.5 * (
                np.linalg.slogdet(matrices[k])[1] + np.trace(inverse @ matrices[c]) + d @ inverse @ d
            )
        nearness[c] = np.inf
        chosen = list(np.argsort(-nearness)[:n_candidates])
        if drawn[c] not in chosen:
            chosen[-1] = drawn[c]
        lists.append(sorted(chosen))
    return np.array(lists)


def naive_e_step(X, parameters, covariance_type, cells, lists):
    """(free energy of each point, truncated responsibilities, most probable candidate of each point)."""
    densities = naive.log_densities(X, *parameters, covariance_type)
    for i, cell in enumerate(cells):
        outside = np.setdiff1d(np.arange(densities.shape[1]), lists[cell])
        densities[i, outside] = -np.inf
    energies = naive.log_likelihoods(densities)
    return energies, np.exp(densities - energies[:, None]), densities.argmax(axis=1)


def naive_fit(X, parameters, covariance_type, n_iter, n_candidates, passes_a_list, first_cells):
    """(parameters, free energies, number of candidates put back) of truncated EM, as its docstring tells it."""
    number = 0
    cells, lists = first_cells, naive_lists(parameters, covariance_type, n_candidates, number)
    bounds, n_rejected, pause, longest, age = [], 0, 0, 0, 0
    before = None
    for _ in range(n_iter):
        energies, shares, nearest = naive_e_step(X, parameters, covariance_type, cells, lists)
        if before is not None and energies.mean() < bounds[-1]:
            cells, lists = before
            energies, shares, nearest = naive_e_step(X, parameters, covariance_type, cells, lists)
            n_rejected, longest = n_rejected + 1, 2 * longest + 1
            pause = longest
        bounds.append(energies.mean())
        parameters = naive.m_step(X, shares, covariance_type, 1e-6)
        age, pause, before = age + 1, max(0, pause - 1), None
        if not pause:
            before = cells, lists
            cells = nearest
            if age >= passes_a_list:
                number, age = number + 1, 0
                lists = naive_lists(parameters, covariance_type, n_candidates, number)
    return parameters, bounds, n_rejected


@pytest.mark.parametrize("passes_a_list", [1, 3])
@grid("covariance_type", COVARIANCE_TYPES, quick=["diag"])
def test_every_iteration_equals_the_naive_one(covariance_type, passes_a_list, few_candidates, monkeypatch):
    X, means = overlapping(600, n_components=14)
    first_cells = ((X[:, None] - means) ** 2).sum(axis=2).argmin(axis=1)

    def first_candidates(source, parameters):
        found = source.candidates(truncated.lists_of(parameters, 0))
        found.cells[:] = first_cells
        return found

    monkeypatch.setattr(truncated, "first_candidates", first_candidates)
    monkeypatch.setattr(truncated, "_PASSES_A_LIST", passes_a_list)
    monkeypatch.setattr(truncated, "_QUICK_LISTS", 0.0)
    init = start_of(means, covariance_type)
    model = GaussianMixture(
        14, covariance_type=covariance_type, algorithm="truncated", tol=0.0, max_iter=25, **init, random_state=0
    )
    quietly(model, X)
    start = init["weights_init"], means, np.ones_like(init["precisions_init"])
    if covariance_type in ("full", "tied"):
        start = init["weights_init"], means, init["precisions_init"]
    expected, bounds, n_rejected = naive_fit(X, start, covariance_type, 25, N_CANDIDATES, passes_a_list, first_cells)
    assert_allclose(model.lower_bounds_, bounds, rtol=1e-9)
    assert model.fit_report_.stages[-1].n_rejected == n_rejected
    for name, value in zip(PARAMETERS, expected, strict=True):
        assert_allclose(getattr(model, name), value, rtol=1e-6, atol=1e-8)


# -- what holds whatever the candidates -------------------------------------------------------------------------------


@grid("covariance_type", [*COVARIANCE_TYPES, "VEI", "EVE"], quick=["diag"])
def test_free_energy_is_below_the_log_likelihood_and_rises(covariance_type, few_candidates):
    X, means = overlapping()
    bounds = []
    for max_iter in (1, 4, 12):
        model = GaussianMixture(
            24, covariance_type=covariance_type, algorithm="truncated", tol=0.0, max_iter=max_iter, random_state=0
        )
        quietly(model, X)
        assert model.lower_bound_ < model.score(X)  # which an M-step more has only raised
        bounds = model.lower_bounds_
    assert len(bounds) == 12
    assert np.diff(bounds).min() > -1e-9
    parameters = parameters_near(X, means, covariance_type)
    source = ArraySource(X)
    candidates = truncated.first_candidates(source, parameters)
    energy, weight = source.truncated(candidates).log_likelihood(parameters)
    exact, same_weight = source.log_likelihood(parameters)
    assert energy < exact
    assert weight == same_weight


def groups_of_factors(n=1500, n_features=7, n_components=20, n_factors=2):
    """(X, means, parameters): groups that vary along a few directions, and a mixture near them."""
    rng = np.random.default_rng(5)
    means = rng.normal(size=(n_components, n_features)) * 2
    loadings = rng.normal(size=(n_components, n_features, n_factors))
    group = rng.integers(n_components, size=n)
    along = (loadings[group] @ rng.normal(size=(n, n_factors, 1)))[:, :, 0]
    noise = rng.uniform(0.2, 0.6, size=(n_components, n_features))
    weights = rng.dirichlet(np.full(n_components, 5.0))
    X = means[group] + along + noise[group] ** 0.5 * rng.normal(size=(n, n_features))
    fitted = {"loadings_": loadings, "noise_variances_": noise}
    return X, means, Factors(n_factors).parameters_of(weights, means, fitted)


def test_lists_of_factor_analyzers_are_those_of_their_matrices(monkeypatch):
    *_, parameters = groups_of_factors()
    matrices = parameters.family.matrices(parameters.covariances, *parameters.means.shape)
    expected = naive_lists((parameters.weights, parameters.means, matrices), "full", N_CANDIDATES, 3)
    for values in (nearness._VALUES, 1):  # many rows at a time, or one
        monkeypatch.setattr(nearness, "_VALUES", values)
        assert_array_equal(nearest_components(parameters, N_CANDIDATES, np.random.RandomState(3)), expected)


def test_factor_analyzers_rise_and_all_as_candidates_give_em(few_candidates, monkeypatch):
    X, _, parameters = groups_of_factors()
    params = {"covariance_type": "factors", "n_factors": 2, "tol": 0.0, "max_iter": 12, "random_state": 0}
    model = quietly(GaussianMixture(20, algorithm="truncated", **params), X)
    assert np.diff(model.lower_bounds_).min() > -1e-9
    assert model.lower_bound_ < model.score(X)
    monkeypatch.setattr(truncated, "N_CANDIDATES", 20)
    settings = em.Settings(20, tol=0.0, max_iter=5)
    one = truncated._run("all", ArraySource(X), NO_ANNOTATIONS, parameters, settings, FitReport())
    other = em.run(ArraySource(X), parameters, settings)
    assert_allclose(one.lower_bounds, other.lower_bounds, rtol=1e-12)
    assert_allclose(one.parameters.covariances, other.parameters.covariances, rtol=1e-7, atol=1e-10)


@grid("covariance_type", COVARIANCE_TYPES, quick=["diag"])
def test_all_components_as_candidates_give_em(covariance_type):
    X, means = overlapping()
    init = start_of(means, covariance_type)
    params = {"covariance_type": covariance_type, "tol": 0.0, "max_iter": 8, **init}
    one = quietly(GaussianMixture(24, algorithm="truncated", **params), X)
    other = quietly(GaussianMixture(24, algorithm="em", **params), X)
    assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-12)
    for name in PARAMETERS:
        assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-7, atol=1e-10)


@pytest.fixture
def few_asked(monkeypatch):
    """Short lists, but a start is asked, by few points, whether truncation loses much."""
    monkeypatch.setattr(truncated, "N_CANDIDATES", N_CANDIDATES)
    monkeypatch.setattr(truncated, "_ASKED", 500)


@grid("covariance_type", COVARIANCE_TYPES, quick=["diag"])
@pytest.mark.parametrize("weighted", [False, True])
def test_few_components_that_overlap_give_em(covariance_type, weighted, few_asked):
    X, means = overlapping()
    weights = np.random.default_rng(0).integers(0, 3, len(X)).astype(float) if weighted else None
    params = {"covariance_type": covariance_type, "max_iter": 8, "tol": 0.0, **start_of(means, covariance_type)}
    one, other = (
        quietly(GaussianMixture(24, algorithm=algorithm, **params), X, sample_weight=weights)
        for algorithm in ("truncated", "em")
    )
    assert_same_bits(one, other)
    assert_array_equal(one.lower_bounds_, other.lower_bounds_)


def test_the_same_points_are_asked_in_all_sources_and_by_all_threads(few_asked, tmp_path):
    X, _ = overlapping(9000)
    params = {"covariance_type": "diag", "algorithm": "truncated", "max_iter": 4, "random_state": 0}
    model = quietly(GaussianMixture(24, n_threads=1, **params), X)
    assert [stage.name for stage in model.fit_report_.stages] == ["all"]
    for other in (X, lambda: iter(np.array_split(X, [17, 7000]))):
        assert_same_bits(model, quietly(GaussianMixture(24, n_threads=2, **params), other))
    again = quietly(model.set_params(warm_start=True), X)
    assert again.lower_bounds_[0] > again.score(X) - 0.1
    assert np.diff(again.lower_bounds_).min() > -1e-9


@pytest.mark.parametrize("why", ["far apart", "many", "hard"])
def test_components_are_truncated_where_that_loses_little_or_saves_much(why, few_asked, monkeypatch):
    X, means = overlapping()
    params = {"algorithm": "truncated", "covariance_type": "diag", "max_iter": 4}
    if why == "far apart":
        X, means = 10 * means[np.arange(len(X)) % 24] + X - X.mean(axis=0), 10 * means
    elif why == "many":
        monkeypatch.setattr(truncated, "_FEW_COMPONENTS", 23)
    else:
        params["assignment"] = "hard"
    begun = []
    of_all = truncated._run
    monkeypatch.setattr(truncated, "_run", lambda name, *rest: (begun.append(name), of_all(name, *rest))[1])
    quietly(GaussianMixture(24, **params, **start_of(means, "diag")), X)
    assert begun == ["all"]


def test_candidates_that_lower_the_bound_are_put_back(few_candidates, monkeypatch):
    X, means = overlapping()
    good = truncated.lists_of

    def sometimes_bad(parameters, number):
        lists = good(parameters, number)
        return np.tile(np.arange(N_CANDIDATES), (len(lists), 1)) if number == 3 else lists

    params = {"algorithm": "truncated", "tol": 0.0, "max_iter": 15, **start_of(means, "diag")}
    monkeypatch.setattr(truncated, "lists_of", sometimes_bad)
    model = quietly(GaussianMixture(24, covariance_type="diag", **params), X)
    assert model.fit_report_.stages[-1].n_rejected >= 1
    assert np.diff(model.lower_bounds_).min() > -1e-9
    assert model.n_iter_ == 15


def test_hard_assignment_and_prior_rise(few_candidates):
    X, _ = overlapping()
    for params in ({"assignment": "hard"}, {"prior": "default"}):
        model = GaussianMixture(24, algorithm="truncated", covariance_type="diag", tol=0.0, max_iter=12, **params)
        quietly(model.set_params(random_state=0), X)
        assert np.diff(model.lower_bounds_).min() > -1e-9, params


def test_weights_count_as_repetitions(few_candidates):
    X, means = overlapping()
    weights = np.random.default_rng(0).integers(0, 3, len(X)).astype(float)
    init = start_of(means, "full")
    params = {"algorithm": "truncated", "tol": 0.0, "max_iter": 10, **init}
    one = quietly(GaussianMixture(24, **params), X, sample_weight=weights)
    other = quietly(GaussianMixture(24, **params), np.repeat(X, weights.astype(int), axis=0))
    assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=1e-9)
    assert_allclose(one.means_, other.means_, rtol=1e-6, atol=1e-8)


@grid("covariance_type", ["full", "diag"], quick=["diag"])
def test_threads_and_sources_give_the_same_bits(covariance_type, few_candidates, tmp_path):
    X, _ = overlapping(9000)
    params = {"covariance_type": covariance_type, "algorithm": "truncated", "max_iter": 6, "random_state": 0}
    model = quietly(GaussianMixture(24, n_threads=1, **params), X)
    np.save(tmp_path / "X.npy", X)

    def blocks():
        yield from np.array_split(X, [17, 1000, 1001, 7000])

    for other, n_threads in ((X, 2), (np.asfortranarray(X), 2), (str(tmp_path / "X.npy"), 1), (blocks, 2)):
        assert_same_bits(model, quietly(GaussianMixture(24, n_threads=n_threads, **params), other))


@pytest.fixture
def labels_in_files(monkeypatch):
    """Labels of points on disk are in files, however few they are; returns all the files and their sizes."""
    made = []
    monkeypatch.setattr(labels, "IN_MEMORY", 0)
    monkeypatch.setattr(em_mixture, "_SMALL", 0)  # sources of few points are copied to memory
    fill = labels._fill
    monkeypatch.setattr(labels, "_fill", lambda file, n_bytes: (made.append((file, n_bytes)), fill(file, n_bytes)))
    return made


def test_labels_of_points_on_disk_are_in_a_file_and_give_the_same_bits(few_candidates, labels_in_files, tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    X, means = overlapping(9000)
    init = start_of(means, "diag")
    params = {"covariance_type": "diag", "algorithm": "truncated", "max_iter": 6, **init}
    model = quietly(GaussianMixture(24, **params), X)
    assert not labels_in_files
    np.save(tmp_path / "X.npy", X)
    sources = [np.load(tmp_path / "X.npy", mmap_mode="r"), lambda: iter(np.array_split(X, [17, 7000]))]
    columns = {f"x{j}": X[:, j] for j in range(X.shape[1])}
    parquet.write_table(pyarrow.table(columns), tmp_path / "X.parquet", row_group_size=2000)
    sources.append(ParquetSource(tmp_path / "X.parquet"))
    for source in sources:
        assert_same_bits(model, quietly(GaussianMixture(24, **params), source))
    assert [n_bytes for _, n_bytes in labels_in_files] == [6 * len(X)] * 3
    assert all(file.closed for file, _ in labels_in_files)


def test_a_full_disk_is_an_error_in_words(few_candidates, labels_in_files, monkeypatch):
    def full(file, n_bytes):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(labels, "_fill", full)
    X, means = overlapping()
    model = GaussianMixture(24, covariance_type="diag", algorithm="truncated", **start_of(means, "diag"))
    with pytest.raises(ValueError, match=r"a temporary file of 7,200 bytes, but .*No space left.*TMPDIR"):
        model.fit(lambda: iter([X]))
    assert not hasattr(model, "means_")


def test_released_labels_keep_their_values(labels_in_files):
    room = labels.Labels(3, 5000, is_in_memory=False)
    assert not room.rows.any()
    room.rows[1] = np.arange(5000)
    room.release()
    assert_array_equal(room.rows[1], np.arange(5000))
    assert not room.rows[[0, 2]].any()
    assert len(labels_in_files) == 1


def test_zeros_fill_a_file(tmp_path):
    with open(tmp_path / "zeros", "w+b") as file:
        labels._fill(file, 2_500_000)
    assert (tmp_path / "zeros").read_bytes() == bytes(2_500_000)


def test_a_component_of_one_point_has_no_pass_repeated(monkeypatch):
    passes = []
    accumulate = ArraySource.accumulate
    monkeypatch.setattr(
        ArraySource, "accumulate", lambda *args, **given: (passes.append(given), accumulate(*args, **given))[1]
    )
    X = np.append(np.random.default_rng(0).normal(size=300), 1000.0)[:, None]
    parameters = FAMILIES["spherical"].with_variances(np.array([[0.0], [900.0]]), np.ones(1))
    source = ArraySource(X)
    truncated_source = source.truncated(source.candidates(np.array([[0, 1], [0, 1]])))
    for each, n_passes in ((truncated_source, 1), (source, 2)):
        passes.clear()
        statistics = each.e_step(parameters)
        assert len(passes) == n_passes
        assert_allclose(statistics.mass, [300, 1], rtol=1e-12)
        assert_allclose(statistics.means[1], 1000.0, rtol=1e-15)
    far = ArraySource(np.append(X, [[1000.0001]], axis=0))  # two points have a variance
    passes.clear()
    statistics = far.truncated(far.candidates(np.array([[0, 1], [0, 1]]))).e_step(parameters)
    assert len(passes) == 2
    assert_allclose(statistics.diagonal[1], 0.5e-8, rtol=1e-6)


@exhaustive
def test_single_precision(few_candidates):
    X, _ = overlapping()
    params = {"covariance_type": "full", "algorithm": "truncated", "random_state": 0, "max_iter": 10, "tol": 0.0}
    single = quietly(GaussianMixture(24, **params), X.astype(np.float32))
    double = quietly(GaussianMixture(24, **params), X)
    assert single.means_.dtype == np.float32
    assert_allclose(single.lower_bounds_[:3], double.lower_bounds_[:3], rtol=1e-4)
    assert np.diff(single.lower_bounds_).min() > -1e-6


# -- candidates and starts --------------------------------------------------------------------------------------------


def test_lists_hold_the_cell_itself_and_no_component_twice():
    X, means = overlapping(n_components=40)
    for covariance_type in [*COVARIANCE_TYPES, "EII", "VEE"]:
        lists = nearest_components(parameters_near(X, means, covariance_type), 7, np.random.RandomState(1))
        assert lists.shape == (40, 7)
        assert (np.diff(lists, axis=1) > 0).all()
        assert (lists == np.arange(40)[:, None]).any(axis=1).all()


def separated(n_components=150, n=15_000):
    """(X, groups): groups far apart in the plane."""
    rng = np.random.default_rng(3)
    side = int(np.ceil(np.sqrt(n_components)))
    centres = 12.0 * np.array([(i, j) for i in range(side) for j in range(side)][:n_components])
    group = rng.integers(n_components, size=n)
    return centres[group] + rng.normal(size=(n, 2)), group, centres


def test_points_find_their_component_without_looking_at_all(few_candidates):
    X, group, centres = separated()
    parameters = FAMILIES["spherical"].with_variances(centres, np.ones(2))
    candidates = truncated.first_candidates(ArraySource(X), parameters)
    assert np.mean(candidates.cells == group) > 0.99


def test_a_wide_component_keeps_no_point_from_its_own(few_candidates):
    X, _, centres = separated()
    family = FAMILIES["spherical"]
    parameters = family.with_precisions(
        np.append(np.full(150, 0.99 / 150), 0.01), np.vstack([centres, X.mean(axis=0)]), np.append(np.ones(150), 1e-4)
    )
    source = ArraySource(X)
    energy, weight = source.truncated(truncated.first_candidates(source, parameters)).log_likelihood(parameters)
    assert_allclose(energy / weight, source.log_likelihood(parameters)[0] / weight, atol=0.02)


@grid("n_components", [150, 400], quick=[150])
def test_separated_groups_are_found(n_components):
    X, _, _ = separated(n_components, 60 * n_components)
    params = {"covariance_type": "spherical", "random_state": 0}
    model = quietly(GaussianMixture(n_components, algorithm="truncated", **params), X)
    exact = quietly(GaussianMixture(n_components, algorithm="em", **params), X)
    assert model.score(X) > exact.score(X) - 0.1
    assert_allclose(model.lower_bound_, model.score(X), atol=1e-2)


def test_a_sample_is_used_first_where_points_are_many():
    X, _ = overlapping(60_000, 2, 70)
    model = quietly(GaussianMixture(70, covariance_type="diag", algorithm="truncated", random_state=0, tol=1e-4), X)
    assert [stage.name for stage in model.fit_report_.stages] == ["sample", "all"]
    assert model.converged_
    exact = quietly(GaussianMixture(70, covariance_type="diag", algorithm="em", random_state=0), X)
    assert model.score(X) > exact.score(X) - 0.02


def test_seeds_of_groups_are_different_points_all_over():
    X, group, _ = separated(900, 18_000)
    seeds = truncated._seeds(X, 900, np.random.RandomState(0), None)
    assert len(set(seeds)) == 900
    assert len(set(group[seeds])) > 0.75 * 900
    weights = np.where(group < 880, 1.0, 0.0)
    assert (group[truncated._seeds(X, 700, np.random.RandomState(0), weights)] < 880).all()


def test_shares_of_seeds():
    counts = truncated._shared_out(10, np.array([5.0, 0.0, 3.0, 100.0]), np.array([4, 1, 9, 3]))
    assert counts.sum() == 10
    assert (counts <= [4, 1, 9, 3]).all()
    assert counts[3] == 3


def test_memory_is_a_few_bytes_a_point(few_candidates):
    X, means = overlapping(200_000, 8, 70)
    model = GaussianMixture(70, covariance_type="diag", algorithm="truncated", max_iter=2, **start_of(means, "diag"))
    quietly(model, X[:1000])
    tracemalloc.start()
    quietly(model, X)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 32 * len(X)


# -- the estimator ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "given", "message"),
    [
        ({}, {"labels": np.arange(50) % 3 - 1}, "labels can't be used with algorithm='truncated'"),
        ({"assignment": "stochastic"}, {}, "assignment='stochastic' can't be used with algorithm='truncated'"),
        ({"noise": 9.0}, {}, "noise can't be used with algorithm='truncated'"),
        ({"shrinkage": "ledoit-wolf"}, {}, "shrinkage='ledoit-wolf' can't be used with algorithm='truncated'"),
        ({"missing": "em"}, {"X": np.where(np.eye(50, 3) > 0, np.nan, 1.0)}, "can't be used with missing values"),
    ],
)
def test_what_it_refuses(params, given, message):
    X = given.pop("X", np.random.default_rng(0).normal(size=(50, 3)))
    model = GaussianMixture(2, algorithm="truncated", **params)
    with pytest.raises(ValueError, match=message):
        model.fit(X, **given)
    assert not hasattr(model, "means_")


def test_a_start_does_not_depend_on_the_origin():
    """The offset and the points have few enough bits for their sum to be exact."""
    X, _ = overlapping(n=6000, n_features=4, n_components=120)
    X = np.round(X * 1024) / 1024
    near, far = (
        GaussianMixture(120, covariance_type="diag", algorithm="truncated", random_state=0).fit(X + offset)
        for offset in (0.0, 2.0**27)
    )
    assert_allclose(far.lower_bounds_, near.lower_bounds_, rtol=1e-9)
    assert_allclose(far.means_ - 2.0**27, near.means_, atol=1e-6)


def test_dask_is_refused():
    array = pytest.importorskip("dask.array")
    X = array.from_array(np.random.default_rng(0).normal(size=(400_000, 6)), chunks=(100_000, 6))
    with pytest.raises(ValueError, match="can't be used with Dask input"):
        GaussianMixture(2, algorithm="truncated").fit(X)


def test_it_goes_on_and_is_saved(few_candidates, tmp_path):
    X, _ = overlapping()
    model = GaussianMixture(
        24, covariance_type="diag", algorithm="truncated", random_state=0, max_iter=3, warm_start=True
    )
    before = quietly(model, X).lower_bound_
    quietly(model.set_params(max_iter=30), X)
    assert model.lower_bound_ > before
    model.save(tmp_path / "model.json")
    assert_array_equal(fastem.load(tmp_path / "model.json").predict(X), model.predict(X))


def test_checkpoints_are_mixtures_to_go_on_from(few_candidates, tmp_path):
    X, _ = overlapping()
    model = GaussianMixture(24, covariance_type="diag", algorithm="truncated", random_state=0, max_iter=7, tol=0.0)
    quietly(model.set_callbacks(Checkpoint(tmp_path / "model.npz", every=5)), X)
    again = fastem.load(tmp_path / "model.npz")
    assert again.n_iter_ == 5
    assert again.lower_bound_ == model.lower_bounds_[4]
    quietly(again.set_params(warm_start=True), X)
    assert again.lower_bound_ > model.lower_bounds_[4]


def test_partial_fit_is_that_of_em():
    X, _ = overlapping()
    models = [GaussianMixture(3, algorithm=algorithm, random_state=0) for algorithm in ("truncated", "em")]
    for model in models:
        for batch in np.array_split(X, 4):
            model.partial_fit(batch)
    assert_array_equal(models[0].means_, models[1].means_)


def test_the_bound_has_its_own_name():
    assert GaussianMixture(algorithm="truncated")._bound == "free energy, nats per point"
    assert GaussianMixture(algorithm="truncated", prior="default")._bound == "penalised free energy, nats per point"


def test_a_source_that_fails_leaves_the_last_mixture(few_candidates, monkeypatch):
    monkeypatch.setattr(em_mixture, "_SMALL", 0)
    X, means = overlapping()
    reads = []

    def blocks():
        reads.append(None)
        if len(reads) > 12:
            raise OSError("gone")
        yield X

    source = BlockSource(blocks)
    model = GaussianMixture(24, covariance_type="diag", algorithm="truncated", tol=0.0, **start_of(means, "diag"))
    with pytest.raises(ValueError, match="gone"):
        model.fit(source)
    assert not model.converged_
    assert len(model.lower_bounds_) > 1
    assert not hasattr(model, "_unfinished")
