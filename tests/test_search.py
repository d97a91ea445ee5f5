"""Starts: samples, which start is followed, and the report of it."""

import pickle
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastem import GaussianMixture
from fastem.fitting import em, initialization, plain, search
from fastem.fitting.progress import SILENT
from fastem.fitting.sample_sizes import sample_sizes
from fastem.model.families import FAMILIES
from fastem.sources import ArraySource, BlockSource
from fastem.sources.annotations import NO_ANNOTATIONS
from fastem.sources.array import sample

from . import data_sets
from .grids import exhaustive
from .problems import three_groups

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES


def clusters(n_samples, n_features=2, n_components=6, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(n_components, size=n_samples)
    means = 10 * rng.normal(size=(n_components, n_features))
    return means[labels] + rng.normal(size=(n_samples, n_features))


# -- samples ------------------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(n=st.integers(1, 3000), share=st.floats(0.001, 1), seed=st.integers(0, 1000))
def test_a_sample_has_one_point_of_each_stretch(n, share, seed):
    X = np.arange(n, dtype=float)[:, None]
    size = max(1, int(share * n))
    drawn = sample(ArraySource(X), size, np.random.RandomState(seed)).X[:, 0]
    assert len(drawn) == size
    assert len(np.unique(drawn)) == size
    assert np.all(np.abs(drawn - (np.arange(size) + 0.5) * n / size) <= 0.5 * n / size + 1)


def test_a_sample_is_drawn_by_weight():
    X = np.arange(1000.0)[:, None]
    weights = np.where(X[:, 0] < 100, 5.0, np.where(X[:, 0] < 600, 0.0, 1.0))
    drawn = sample(ArraySource(X), 9000, np.random.RandomState(0), weights).X[:, 0]
    counts = np.bincount(drawn.astype(int), minlength=1000)
    assert np.all(counts[weights == 0] == 0)
    assert_allclose(counts, 9000 * weights / weights.sum(), atol=2)


def test_samples_grow_until_they_tell_enough_and_stay_small():
    source = ArraySource(np.broadcast_to(np.zeros((1, 10)), (3_000_000, 10)))
    sizes = sample_sizes(source, FAMILIES["full"], 16, 1e-3)
    assert sizes[0] == 16 * 200
    assert np.all(np.diff(sizes) > 0)
    assert sizes[-1] * 10 * 8 <= 16 << 20
    loose = sample_sizes(source, FAMILIES["full"], 16, 0.1)
    assert loose == sizes[: len(loose)]
    assert len(loose) < len(sizes)
    few = ArraySource(np.zeros((5000, 3)))
    assert sample_sizes(few, FAMILIES["full"], 4, 1e-3) == []
    many_features = ArraySource(np.broadcast_to(np.zeros((1, 784)), (60_000, 784)))
    assert sample_sizes(many_features, FAMILIES["factors"].of_factors(6), 10, 1e-3) == [10 * 500]


def test_points_that_can_only_be_read_in_order():
    from fastem.fitting.em import Settings

    X = clusters(60_000, 5)
    rules = Settings(6, accelerated=True)
    blocks = BlockSource(lambda: (X[i : i + 1000] for i in range(0, len(X), 1000)))
    blocks.scan()
    sources = blocks, ArraySource(X)
    results = [
        search.fit(source, FAMILIES["full"], rules, np.random.RandomState(0), progress=SILENT) for source in sources
    ]
    assert results[0].report.stages[0].n_samples < len(X)
    assert results[0].lower_bounds == results[1].lower_bounds


# -- which start is followed --------------------------------------------------------------------------------------


@exhaustive
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_more_starts_never_end_lower(covariance_type):
    X, n_components = data_sets.load("digits")
    for seed in range(3):
        params = {"covariance_type": covariance_type, "random_state": seed}
        one = GaussianMixture(n_components, **params).fit(X)
        several = GaussianMixture(n_components, n_init=8, **params).fit(X)
        assert several.lower_bound_ >= one.lower_bound_
        assert len(several.fit_report_.starts) == len(one.fit_report_.starts) + 7


@exhaustive
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
@pytest.mark.parametrize("name", data_sets.NAMES)
def test_no_worse_than_em_in_the_median(name, covariance_type):
    X, n_components = data_sets.load(name)
    params = {"covariance_type": covariance_type}
    reached = {"auto": [], "em": []}
    for algorithm, bounds in reached.items():
        for seed in range(7):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                model = GaussianMixture(n_components, algorithm=algorithm, random_state=seed, **params).fit(X)
            bounds.append(model.lower_bound_)
    assert np.median(reached["auto"]) >= np.median(reached["em"]) - 1e-3


def test_the_start_that_gets_further_is_run_from(monkeypatch):
    X, labels = three_groups(600, distance=20)
    source, family = ArraySource(X), FAMILIES["full"]
    centres = np.array([X[labels == k].mean(axis=0) for k in range(3)])
    good = family.with_variances(centres, np.ones(3))
    poor = family.with_variances(centres[[0, 0, 0]], np.ones(3))  # equals stay equal
    for starts, best in (([poor, good], good), ([poor, poor, good, poor], good), ([good, poor], good)):
        monkeypatch.setattr(initialization, "candidates", lambda *_, starts=starts: (starts, source, NO_ANNOTATIONS))
        start = plain.best_start(source, family, em.Settings(3), np.random.RandomState(0))
        assert_allclose(start.means, best.means)
    monkeypatch.setattr(initialization, "candidates", lambda *_: ([good, good], source, NO_ANNOTATIONS))
    assert_array_equal(plain.best_start(source, family, em.Settings(3), np.random.RandomState(0)).means, good.means)


def test_clusters_that_k_means_misses_are_found():
    """25 clusters: from its usual start EM ends up with two in one nearly always."""
    X = clusters(60_000, n_components=25, seed=3)
    truth = GaussianMixture(25, init_params="random_from_data").fit(
        X, labels=np.random.default_rng(3).integers(25, size=60_000)
    )
    for seed in range(3):
        model = GaussianMixture(25, random_state=seed).fit(X)
        assert model.score(X) >= truth.score(X) - 1e-3


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_starts_that_collapse_are_passed_over(init_params):
    X = np.repeat(np.arange(4.0), 25)[:, None] * [1.0, -1.0]
    X[:50] += np.random.default_rng(0).normal(size=(50, 2)) * 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GaussianMixture(4, init_params=init_params, random_state=0).fit(X)
    assert np.isfinite(model.lower_bound_)
    with pytest.raises(ValueError, match="ill-defined empirical covariance"):
        GaussianMixture(5, init_params=init_params, random_state=0, reg_covar=0).fit(np.zeros((20, 2)))


def test_the_users_start_is_the_start():
    X, n_components = data_sets.load("digits")
    start = data_sets.start(X, n_components, "full")
    first = GaussianMixture(n_components, algorithm="em", **start).fit(X).lower_bounds_[0]
    model = GaussianMixture(n_components, **start).fit(X)
    assert model.lower_bounds_[0] == first
    assert model.fit_report_.starts == {}


# -- the report ---------------------------------------------------------------------------------------------------


def test_the_report_says_what_was_done():
    X = clusters(200_000)
    model = GaussianMixture(6, random_state=0, n_init=3).fit(X)
    report = model.fit_report_
    last = report.stages[-1]
    assert (last.name, last.n_samples, last.n_components) == ("all", 200_000, 6)
    assert last.n_iter == model.n_iter_ == len(model.lower_bounds_) == len(report.kinds)
    assert last.lower_bound == model.lower_bound_
    assert last.n_passes == model.n_iter_ + last.n_rejected
    assert report.n_passes == sum(stage.n_passes for stage in report.stages if stage.name == "all")
    assert last.n_accelerated == report.kinds.count("accelerated")
    assert report.best_start in report.starts
    assert 0 <= report.remaining_gain < model.tol
    sizes = [stage.n_samples for stage in report.stages]
    assert sizes[0] < sizes[-2] < sizes[-1]
    assert report.seconds("all") >= last.seconds > 0
    assert report.seconds("seeds", "start") > 0
    assert len(str(report).splitlines()) == len(report.stages) + 1
    assert str(pickle.loads(pickle.dumps(report))) == str(report)


def test_every_way_to_a_fit_leaves_a_report():
    X, n_components = data_sets.load("iris")
    plain = GaussianMixture(n_components, algorithm="em", n_init=2, random_state=0).fit(X)
    assert [stage.name for stage in plain.fit_report_.stages] == ["all", "all"]
    assert plain.fit_report_.kinds == ["plain"] * plain.n_iter_
    assert np.isnan(plain.fit_report_.remaining_gain)
    known = GaussianMixture(3).fit(X, labels=np.repeat([0, 1, 2], 50))
    assert known.fit_report_.stages == []
    given = GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]])
    assert given.fit_report_.stages == []


def test_verbose_tells_of_one_run_where_a_fit_goes_on(capsys):
    X, _ = three_groups(300)
    model = GaussianMixture(3, random_state=0, warm_start=True, max_iter=200).fit(X)
    model.set_params(verbose=1).fit(X)
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("Initialization ")]
    assert told == ["Initialization 0", "Initialization converged."]


def test_verbose_tells_of_samples(capsys):
    GaussianMixture(6, random_state=0, verbose=1).fit(clusters(200_000))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "Initialization 0"
    assert any(line.startswith("  start 0: 1,200 points, 6 components, ") for line in lines)
    assert lines[-1] == "Initialization converged."


def test_no_component_is_collapsed_for_the_sake_of_the_likelihood():
    """Rounded values: a component on one line of the lattice raises the likelihood without bound."""
    X = np.round(clusters(3000, n_components=5, seed=1))
    for seed in range(5):
        model = GaussianMixture(5, random_state=seed).fit(X)
        assert np.linalg.eigvalsh(model.covariances_).min() > 0.1
