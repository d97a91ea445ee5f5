"""select: against the loop it stands for, against mclust's numbers, and what its table says."""

import functools
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn.mixture
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold
from threadpoolctl import threadpool_limits

import fastem
from fastem import DegenerateFitWarning, GaussianMixture, select
from fastem.datasets import load_galaxies, load_penguins
from fastem.fitting import cross_validation
from fastem.sources import SourceError
from fastem.sources.annotations import NO_ANNOTATIONS

from . import data_sets, held
from .fits import assert_same_bits, mixture, points, quietly
from .grids import exhaustive, grid
from .problems import three_groups
from .test_faults import Faulty, nan_in_block_2

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES


@pytest.fixture(autouse=True, scope="module")
def one_thread_for_scikit_learn():
    """For so few points another only waits."""
    with threadpool_limits(1):
        yield


def rows(selection):
    return pd.DataFrame(selection.results_).set_index(["covariance_type", "n_components"])


@functools.cache
def load(name):
    if name == "penguins":
        X = np.asarray(load_penguins().data, dtype=float)
        return X[np.isfinite(X).all(axis=1)]
    return data_sets.load(name)[0]


# -- the loop ---------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")  # six full components of 178 points in the loop
@exhaustive
@pytest.mark.parametrize("name", ["faithful", "iris", "wine", "penguins"])
def test_as_the_loop_or_better(name):
    X, params = load(name), {"random_state": 0, "tol": 1e-5, "max_iter": 1000, "n_threads": 1}
    selection = select(X, range(1, 7), **params)
    table = rows(selection)
    loop = {}
    for covariance_type, n_components in table.index:
        model = GaussianMixture(n_components, covariance_type=covariance_type, **params).fit(X)
        loop[covariance_type, n_components] = model.bic(X)
        assert table.bic[covariance_type, n_components] <= model.bic(X) + 2 * len(X) * 2e-5
    assert len(table) == 24
    assert table.bic.min() <= min(loop.values()) + 0.01
    best = min(loop, key=loop.get)
    assert table.bic.idxmin() == best
    assert (selection.best_estimator_.covariance_type, selection.best_estimator_.n_components) == table.bic.idxmin()


@grid("criterion", ["bic", "aic", "icl"], quick=["bic"])
def test_the_row_of_the_best_is_of_the_best(criterion):
    X = load("iris")
    selection = select(X, range(1, 5), criterion=criterion, random_state=0, n_threads=1)
    best, row = selection.best_estimator_, selection.best_index_
    results = selection.results_
    for name in ("bic", "aic", "icl"):
        assert results[name][row] == pytest.approx(getattr(best, name)(X), rel=1e-12)
    assert results["log_likelihood"][row] == pytest.approx(best.score(X), rel=1e-12)
    is_ok = np.array(results["status"]) == "ok"
    assert results[criterion][row] == results[criterion][is_ok].min()
    assert results["rank"][row] == 1 and is_ok.sum() >= 15
    assert_array_equal(np.sort(results["rank"]), np.arange(1, 17))
    assert_array_equal(np.argsort(results["rank"]), np.lexsort((results[criterion], ~is_ok)))
    assert selection.criterion == criterion
    assert "held_out" not in results


def test_every_rows_criteria_are_the_estimators():
    X = load("faithful")
    for covariance_type in COVARIANCE_TYPES:
        selection = select(X, 2, covariance_type, random_state=0, n_threads=1)
        (row,) = pd.DataFrame(selection.results_).itertuples()
        model = selection.best_estimator_
        assert (row.n_components, row.covariance_type, row.status) == (2, covariance_type, "ok")
        assert (row.n_iter, row.converged) == (model.n_iter_, model.converged_)
        assert row.bic == pytest.approx(-2 * len(X) * row.log_likelihood + model._n_parameters() * np.log(len(X)))
        assert row.aic == pytest.approx(-2 * len(X) * row.log_likelihood + 2 * model._n_parameters())
        shares = model.predict_proba(X).max(axis=1)
        assert row.icl == pytest.approx(row.bic - 2 * np.log(shares).sum())


# -- mclust -----------------------------------------------------------------------------------------------------------


TIGHT = {"random_state": 0, "tol": 1e-9, "max_iter": 20_000, "n_threads": 1}


@exhaustive
def test_mclusts_choice_on_old_faithful():
    """mclust's vignette: EEE with 3 components, log-likelihood -1126.326, BIC -2314.316, ICL -2357.824.

    mclust ends where the log-likelihood changes by less than a part in 1e5, 0.01 short of this maximum's -1126.316.
    """
    X = load("faithful")
    selection = select(X, range(1, 7), **TIGHT)
    best, table = selection.best_estimator_, rows(selection)
    assert (best.covariance_type, best.n_components) == ("tied", 3)
    assert len(X) * best.score(X) == pytest.approx(-1126.3159, abs=2e-3)
    assert table.bic["tied", 3] == pytest.approx(2314.316 - 0.02, abs=0.005)
    assert table.icl["tied", 3] == pytest.approx(2357.824, abs=1)
    assert table.bic["full", 2] == pytest.approx(2 * 1130.264 + 11 * np.log(272), abs=0.01)
    # One component: the Gaussian of all points, in closed form.
    covariance = np.cov(X.T, bias=True)
    for covariance_type, log_det, n_free in (
        ("full", np.linalg.slogdet(covariance)[1], 5),
        ("tied", np.linalg.slogdet(covariance)[1], 5),
        ("diag", np.log(np.diagonal(covariance)).sum(), 4),
        ("spherical", 2 * np.log(np.trace(covariance) / 2), 3),
    ):
        log_likelihood = -0.5 * len(X) * (2 * np.log(2 * np.pi) + log_det + 2)
        bic = -2 * log_likelihood + n_free * np.log(len(X))
        assert table.bic[covariance_type, 1] == pytest.approx(bic, abs=1e-6)


def test_mclusts_choice_on_the_galaxies():
    """mclust's vignette: V with 3 components, of R's velocities, one of which has digits interchanged."""
    X = np.asarray(load_galaxies().data, dtype=float).reshape(-1, 1) / 1000
    X[np.isclose(X, 26.960)] = 26.690
    table = rows(select(X, range(1, 6), "full", **TIGHT))
    assert table.bic.idxmin() == ("full", 3)
    assert table.bic["full", 3] == pytest.approx(441.6122, abs=0.001)
    assert table.icl["full", 3] == pytest.approx(441.6126, abs=0.001)
    assert 82 * table.log_likelihood["full", 3] == pytest.approx(-203.1792, abs=0.0005)


@grid("covariance_type", COVARIANCE_TYPES, quick=["diag"])
def test_as_high_as_many_starts(covariance_type):
    """Of scikit-learn's: the log-likelihoods that the criteria come from."""
    X = load("faithful")
    table = rows(select(X, range(1, 5), covariance_type, random_state=0, tol=1e-6, max_iter=2000, n_threads=1))
    for n_components in (2, 3):
        many = sklearn.mixture.GaussianMixture(
            n_components, covariance_type=covariance_type, init_params="k-means++", n_init=3, random_state=0, tol=1e-4,
            max_iter=1000,
        ).fit(X)  # fmt: skip
        assert table.bic[covariance_type, n_components] <= many.bic(X) + 0.05


# -- cross-validation -------------------------------------------------------------------------------------------------


@exhaustive
def test_held_out_is_what_cross_validation_finds():
    X = load("faithful")
    selection = select(X, range(1, 4), ("full", "diag"), "held_out", random_state=0, n_threads=1)
    table = rows(selection)
    for (covariance_type, n_components), value in table.held_out.items():
        scores = []
        for seed in range(2):
            for train, test in KFold(5, shuffle=True, random_state=seed).split(X):
                model = sklearn.mixture.GaussianMixture(
                    n_components, covariance_type=covariance_type, init_params="k-means++", n_init=2, random_state=seed
                )
                scores.append(quietly(model, X[train]).score(X[test]))
        error = np.std(scores) / np.sqrt(5)
        assert value == pytest.approx(np.mean(scores), abs=0.02 + error)
        assert value < table.log_likelihood[covariance_type, n_components]
    assert table.held_out.idxmax() == tuple(table.index[selection.best_index_])
    assert table["rank"].iloc[selection.best_index_] == 1


@pytest.mark.parametrize("n_folds", [2, 7])
def test_held_out_of_one_component_is_exact(n_folds):
    X = load("faithful")
    selection = select(X, 1, "full", "held_out", n_folds=n_folds, random_state=0, tol=1e-9, n_threads=1)
    folds = np.random.RandomState(0).permutation(np.arange(len(X)) % n_folds)
    log_densities, means = np.empty(len(X)), []
    for fold in range(n_folds):
        model = sklearn.mixture.GaussianMixture().fit(X[folds != fold])
        log_densities[folds == fold] = model.score_samples(X[folds == fold])
        means.append(log_densities[folds == fold].mean())
    assert selection.results_["held_out"][0] == pytest.approx(log_densities.mean(), rel=1e-9)
    assert selection.results_["held_out_error"][0] == pytest.approx(np.std(means, ddof=1) / np.sqrt(n_folds), rel=1e-6)


def two_blobs(n, n_features, seed=0):
    """n points, in order: half about 0, half about 4, deviation .5."""
    rng = np.random.default_rng(seed)
    return np.repeat([0.0, 4.0], n // 2)[:, None] + 0.5 * rng.normal(size=(n, n_features))


@grid("n_features", [1, 3, 10], quick=[3])
def test_held_out_of_few_points_does_not_reward_spikes(n_features):
    """Against scikit-learn's own fits of the same folds' points; more components than they are have no score."""
    X = two_blobs(40, n_features, seed=3)
    found = select(X, [1, 2, 20, 33, 40], "spherical", "held_out", random_state=0, n_threads=1)
    folds = np.random.RandomState(0).permutation(np.arange(40) % 5)
    scores = [
        quietly(sklearn.mixture.GaussianMixture(2, covariance_type="spherical"), X[folds != fold]).score(
            X[folds == fold]
        )
        for fold in range(5)
    ]
    held_out, status = found.results_["held_out"], found.results_["status"]
    assert held_out[1] == pytest.approx(np.mean(scores), abs=1e-4)
    assert held_out[2] < held_out[1] - 0.5
    assert np.isnan(held_out[3:]).all() and np.isnan(found.results_["held_out_error"][3:]).all()
    for i, n_components in (3, 33), (4, 40):
        assert status[i] == f"without fold 0: n_components = {n_components} is more than the number of points, 32"
        assert np.isfinite(found.results_["bic"][i])
    assert found.best_estimator_.n_components == 2


def test_no_fit_sees_what_its_fold_leaves_out(monkeypatch):
    """Neither the search nor what it starts from: in a copy of the rows, or among many by their weights."""
    seen = []

    class Recorded(cross_validation.Ladder):
        def __init__(self, points, random_state):
            super().__init__(points, random_state)
            seen.append(np.sort(points[0].rows(slice(None))[:, 0]))

    monkeypatch.setattr(cross_validation, "Ladder", Recorded)
    X = two_blobs(30, 1)
    source = fastem.sources.ArraySource(X)
    source.scan()
    models = [mixture(k, covariance_type="spherical") for k in (1, 2)]
    for sample_size in (None, 12):
        seen.clear()
        state = np.random.RandomState(0)
        validation = cross_validation.CrossValidation((source, NO_ANNOTATIONS), 3, state, sample_size)
        scores = validation.scores(models)
        folds = np.random.RandomState(0).permutation(np.arange(30) % 3)
        assert len(seen) == 3
        for fold, values in enumerate(seen):
            assert len(values) == (sample_size or 20)
            assert not np.isin(values, X[folds == fold]).any()
        for model, score in zip(models, scores, strict=True):
            expected = [
                sklearn.mixture.GaussianMixture(model.n_components, covariance_type="spherical", tol=1e-9)
                .fit(X[folds != fold])
                .score(X[folds == fold])
                for fold in range(3)
            ]
            assert score.mean == pytest.approx(np.mean(expected), abs=1e-3)


@exhaustive
def test_held_out_of_many_points(monkeypatch):
    """Searched for on samples of the training points, then fitted to all of these: the same scores from any source."""
    X, _ = points(3000)
    params = {"n_components": [1, 3, 4], "criterion": "held_out", "covariance_type": "full", "random_state": 0}
    whole = select(X, **params, n_threads=1)
    monkeypatch.setattr("fastem.selection.selector._POINTS", 300)
    monkeypatch.setattr("fastem.selection.selector._POINTS_A_COMPONENT", 100)
    monkeypatch.setattr("fastem.estimators.em_mixture._SMALL", 0)
    sampled = select(X, **params, n_threads=1)
    assert sampled.results_["status"].tolist() == ["stopped", "ok", "ok"]  # the first is estimated from the sample
    assert np.isnan(sampled.results_["held_out_error"][0])
    for name in ("held_out", "held_out_error"):
        assert_allclose(sampled.results_[name][1:], whole.results_[name][1:], atol=5e-3)
    assert_same_selection(select(held.HELD["arrays"](X, None), **params, n_threads=1), sampled)


def test_folds_are_shuffled_by_random_state():
    X = np.sort(load("faithful"), axis=0)
    scores = [
        select(X, 1, "full", "held_out", random_state=seed, n_threads=1).results_["held_out"][0] for seed in (0, 0, 1)
    ]
    assert scores[0] == scores[1] != scores[2]
    assert scores[2] == pytest.approx(scores[0], abs=0.1)  # folds of sorted points would differ by nats


@exhaustive
def test_the_simplest_within_one_standard_error():
    X = load("faithful")
    params = {"covariance_type": ("full", "diag", "spherical"), "criterion": "held_out", "random_state": 0}
    best = select(X, range(1, 5), **params, n_threads=1)
    simplest = select(X, range(1, 5), **params, one_standard_error=True, n_threads=1)
    table, other = rows(best), rows(simplest)
    assert_array_equal(table.held_out, other.held_out)
    top = table.loc[table.held_out.idxmax()]
    n_free = {"full": lambda k: 6 * k - 1, "diag": lambda k: 5 * k - 1, "spherical": lambda k: 4 * k - 1}
    near = table[table.held_out >= top.held_out - top.held_out_error].index
    chosen = min(near, key=lambda each: n_free[each[0]](each[1]))
    assert len(near) > 1 and chosen != table.held_out.idxmax()
    assert (simplest.best_estimator_.covariance_type, simplest.best_estimator_.n_components) == chosen
    assert other["rank"][chosen] == 1
    assert_array_equal(np.sort(other["rank"]), np.arange(1, 13))


def test_the_number_of_clear_groups_by_every_criterion():
    X, _ = three_groups(900, distance=6.0)
    for criterion in ("bic", "icl"):
        selection = select(X, range(1, 6), "diag", criterion, random_state=0, n_threads=1)
        assert selection.best_estimator_.n_components == 3


# -- spikes -----------------------------------------------------------------------------------------------------------


@grid(("n", "n_features", "most"), [(20, 1, 9), (30, 4, 9), (40, 2, 20), (50, 6, 9)], quick=[(20, 1, 9)])
@grid("criterion", ["bic", "icl"], quick=["bic"])
def test_spikes_do_not_win(n, n_features, most, criterion):
    X = two_blobs(n, n_features, seed=n + 5)
    selection = select(X, range(1, most + 1), criterion=criterion, random_state=0, n_threads=1)
    table = rows(selection)
    assert selection.best_estimator_.n_components == 2
    assert selection.best_estimator_.fit_report_.degenerate == []
    is_collapsed = table.status == "collapsed"
    assert is_collapsed.sum() >= 3
    assert table[criterion][is_collapsed].min() < table[criterion][table.status == "ok"].min()  # would have won
    assert table["rank"][is_collapsed].min() > table["rank"][table.status == "ok"].max()
    for status, degenerate in zip(table.status, table.degenerate, strict=True):
        assert bool(degenerate) == (status == "collapsed")
    k = int(is_collapsed["full"].to_numpy().nonzero()[0][0]) + 1
    with pytest.warns(DegenerateFitWarning, match="too few points|spread") as warned:
        alone = select(X, k, "full", random_state=0, n_threads=1)
    assert [each.filename for each in warned] == [__file__]
    assert alone.results_["status"][0] == "collapsed"
    assert alone.best_estimator_.fit_report_.degenerate == alone.results_["degenerate"][0]
    assert len(alone.best_estimator_.fit_report_.notes) >= 1


def test_a_component_that_predicts_nothing_does_not_win():
    """Four of 34 points nearly on a line: not collapsed, better by BIC, worse in scikit-learn's cross-validation."""
    rng = np.random.default_rng(2)
    X = rng.normal(size=(30, 2))
    line = 0.3 * rng.normal(size=(4, 1)) / np.sqrt(2) + 5e-3 * rng.normal(size=(4, 2)) + 0.5
    X = np.concatenate([X, line])
    selection = select(X, [1, 2], "spherical", random_state=0, n_threads=1, n_init=20)
    table = rows(selection)
    assert table.status["spherical", 2] == "spurious" and table.degenerate["spherical", 2] == []
    assert (selection.best_estimator_.covariance_type, selection.best_estimator_.n_components) == ("spherical", 1)
    assert table.bic["spherical", 2] < table.bic["spherical", 1]
    assert table["rank"]["spherical", 2] == 2
    scores = {}
    for n_components in (1, 2):
        model = sklearn.mixture.GaussianMixture(n_components, covariance_type="spherical", n_init=10, random_state=0)
        folds = KFold(10, shuffle=True, random_state=0).split(X)
        scores[n_components] = np.mean([quietly(model, X[train]).score(X[test]) for train, test in folds])
    assert scores[2] < scores[1]


def test_the_score_of_one_step_is_cross_validation_where_a_step_is_all():
    """One component, and clear ones, with responsibilities of 0 and 1: as scikit-learn's fits without each part."""
    parts = np.random.RandomState(0).permutation(np.arange(90) % 10)
    X = np.concatenate([load("iris")[:45], load("iris")[:45] + 100])
    for n_components, covariance_type in ((1, "full"), (2, "diag"), (2, "tied"), (2, "spherical")):
        model = mixture(n_components, covariance_type=covariance_type, tol=1e-9).fit(X)
        source = fastem.sources.ArraySource(X)
        source.scan()
        score = cross_validation.one_step_score((source, NO_ANNOTATIONS), model._parameters(), 1e-6, 10)
        expected = 0.0
        for part in range(10):
            reference = sklearn.mixture.GaussianMixture(n_components, covariance_type=covariance_type, random_state=0)
            expected += reference.fit(X[parts != part]).score_samples(X[parts == part]).sum()
        assert score == pytest.approx(expected, rel=1e-9)
        weighted = replace(NO_ANNOTATIONS, weights=np.full(90, 2.0))
        twice = cross_validation.one_step_score((source, weighted), model._parameters(), 1e-6, 10)
        assert twice == pytest.approx(2 * score, rel=1e-9)


@exhaustive
def test_answers_on_a_scale_of_five_are_no_spikes():
    """Likert items of one trait: components on the floor, where answers agree, have no density to win by."""
    rng = np.random.default_rng(0)
    X = np.clip(np.round(3 + rng.normal(size=(200, 1)) + rng.normal(0, 0.7, size=(200, 4))), 1, 5)
    selection = select(X, range(1, 10), random_state=0, n_threads=1)
    table = rows(selection)
    assert (table.status == "collapsed").any()
    assert table.log_likelihood[table.status == "collapsed"].max() > 0
    assert selection.best_estimator_.fit_report_.degenerate == []
    assert selection.best_estimator_.score(X) < 0


# -- many points, and what is stopped ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def many():
    return points(50_000, 3, 4, seed=1)[0]


@pytest.fixture(scope="module")
def of_many(many):
    return select(many, range(1, 6), random_state=0, tol=1e-4, n_threads=1)


@exhaustive
def test_what_was_stopped_is_worse(many, of_many):
    table, best = rows(of_many), of_many.results_["bic"][of_many.best_index_]
    stopped = table[table.status == "stopped"]
    assert 0 < len(stopped) < len(table)
    for (covariance_type, n_components), row in stopped.iterrows():
        model = quietly(mixture(n_components, covariance_type=covariance_type), many)
        assert model.bic(many) > best
        assert row.log_likelihood == pytest.approx(model.score(many), abs=0.05)
        assert row["rank"] > 1
        for name in ("bic", "aic", "icl"):
            assert getattr(model, name)(many) == pytest.approx(row[name], abs=0.1 * len(many))
    order = np.argsort(table["rank"].to_numpy())
    assert (table.status.iloc[order[: len(table) - len(stopped)]] == "ok").all()
    assert table.bic.iloc[order[: len(table) - len(stopped)]].is_monotonic_increasing


@exhaustive
def test_the_choice_among_many_points_is_the_full_searchs(many, of_many):
    best = of_many.best_estimator_
    assert (best.covariance_type, best.n_components) == ("diag", 4)
    table = rows(of_many)
    for (covariance_type, n_components), row in table[table.status == "ok"].iterrows():
        model = quietly(mixture(n_components, covariance_type=covariance_type), many)
        assert row.bic <= model.bic(many) + 2 * len(many) * 1e-3
    assert best.n_samples_seen_ == len(many)
    assert best.score(many) == pytest.approx(of_many.results_["log_likelihood"][of_many.best_index_], rel=1e-12)


@exhaustive
def test_the_same_however_many_points_are_held(many, of_many, tmp_path):
    source = held.npy(many, tmp_path)
    other = select(source, range(1, 6), random_state=0, tol=1e-4, n_threads=1)
    assert_same_selection(other, of_many)


def test_weights_of_many_points(many):
    weights = np.random.default_rng(0).integers(0, 3, len(many)).astype(float)
    params = {"n_components": [1, 4], "covariance_type": ["diag", "spherical"], "random_state": 0, "n_threads": 1}
    weighted = rows(select(many, sample_weight=weights, **params))
    repeated = rows(select(np.repeat(many, weights.astype(int), axis=0), **params))
    assert_array_equal(weighted.status, repeated.status)
    fitted = weighted.status == "ok"
    assert_allclose(weighted.bic[fitted], repeated.bic[fitted], rtol=1e-5)
    assert_allclose(weighted.bic[~fitted], repeated.bic[~fitted], rtol=0.02)


# -- what it takes ----------------------------------------------------------------------------------------------------


def assert_same_selection(one, other):
    one_table, other_table = pd.DataFrame(one.results_), pd.DataFrame(other.results_)
    pd.testing.assert_frame_equal(
        one_table.drop(columns="seconds"), other_table.drop(columns="seconds"), check_exact=True
    )
    assert_same_bits(one.best_estimator_, other.best_estimator_)
    assert one.best_index_ == other.best_index_


FEW = {"n_components": range(1, 4), "covariance_type": ("full", "diag"), "random_state": 0, "n_threads": 1}


@grid("criterion", ["bic", "held_out"], quick=["held_out"])
@grid("how", ["memmap", ".npy", "arrays", "Parquet folder"], quick=["arrays"])
def test_every_source_gives_the_same_table(how, criterion, tmp_path):
    X, _ = points()
    source = held.HELD[how](X, tmp_path)
    assert_same_selection(select(source, criterion=criterion, **FEW), select(X, criterion=criterion, **FEW))


def test_dask_gives_the_same_table():
    array = pytest.importorskip("dask.array", reason="dask is optional")
    X, _ = points()
    assert_same_selection(select(array.from_array(X, chunks=(777, 4)), **FEW), select(X, **FEW))


def test_columns_by_name(tmp_path):
    X, _ = three_groups()
    weights = np.linspace(0.5, 2, len(X))
    file = held.parquet(X, tmp_path / "points.parquet", w=weights)
    selection = select(file, sample_weight="w", **FEW)
    assert_same_selection(selection, select(X, sample_weight=weights, **FEW))
    assert list(selection.best_estimator_.feature_names_in_) == ["length", "width", "height"]


@exhaustive
def test_the_same_every_time_and_by_any_number_of_threads():
    X = load("iris")
    first = select(X, **FEW)
    assert_same_selection(select(X, **FEW), first)
    assert_same_selection(select(X, **{**FEW, "n_threads": 2}), first)
    for state in (None, np.random.RandomState(0)):
        assert select(X, **{**FEW, "random_state": state}).best_estimator_.n_components in (2, 3)
    states = [np.random.RandomState(3) for _ in range(2)]
    assert_same_selection(*(select(X, **{**FEW, "random_state": state}) for state in states))


@exhaustive
def test_the_order_of_arguments_does_not_matter():
    X = load("iris")
    one = rows(select(X, [3, 1, 2, 2], ["diag", "full"], random_state=0, n_threads=1))
    other = rows(select(X, **FEW))
    assert len(one) == len(other) == 6
    assert_allclose(one.bic.reindex(other.index), other.bic, rtol=1e-3)
    generator = select(X, (k for k in (1, 2)), (name for name in ("full",)), random_state=0, n_threads=1)
    assert len(generator.results_["bic"]) == 2


@exhaustive
@pytest.mark.parametrize("criterion", ["bic", "held_out"])
def test_weights_are_repeated_rows(criterion):
    X, _ = three_groups(400)
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    params = {**FEW, "tol": 1e-7, "max_iter": 5000}
    weighted = rows(select(X, sample_weight=weights, criterion=criterion, **params))
    repeated = rows(select(np.repeat(X, weights, axis=0), criterion=criterion, **params))
    for name in ("bic", "aic", "icl", "log_likelihood"):
        assert_allclose(weighted[name], repeated[name], rtol=1e-3)
    if criterion == "held_out":
        assert_allclose(weighted.held_out, repeated.held_out, atol=0.1)  # copies of a point are in several folds
    doubled = rows(select(X, sample_weight=2 * weights, criterion=criterion, **params))
    assert_allclose(doubled.log_likelihood, weighted.log_likelihood, rtol=1e-3)
    assert_allclose(doubled.aic.iloc[0] - 2 * weighted.aic.iloc[0], -2 * 9, atol=1e-6)


@exhaustive
def test_arguments_of_the_mixture_are_passed_on():
    X = load("iris")
    for params in (
        {"algorithm": "em", "tol": 1e-5, "max_iter": 500},
        {"assignment": "hard"},
        {"prior": "default"},
        {"init_params": "random_from_data", "n_init": 3},
        {"reg_covar": 1e-4},
        {"n_threads": 2},
    ):
        selection = select(X, [1, 3], ["full", "diag"], **{"random_state": 0, "n_threads": 1, **params})
        best = selection.best_estimator_
        for name, value in params.items():
            assert best.get_params()[name] == value
        assert selection.results_["bic"][selection.best_index_] == pytest.approx(best.bic(X), rel=1e-12)
        assert best.score(X) >= quietly(
            GaussianMixture(best.n_components, covariance_type=best.covariance_type, random_state=0, **params), X
        ).score(X) - 0.05  # fmt: skip
        if "prior" in params:
            assert best.prior_["shrinkage"] == 0.01


def test_the_best_is_a_fitted_estimator(tmp_path):
    frame = pd.DataFrame(load("iris"), columns=["a", "b", "c", "d"])
    best = select(frame, **FEW).best_estimator_
    model = quietly(mixture(3, covariance_type="diag"), frame)
    assert vars(model).keys() - {"_unfinished"} == vars(best).keys() - {"_unfinished"}
    assert list(best.feature_names_in_) == ["a", "b", "c", "d"]
    assert best.predict(frame).shape == (150,)
    best.save(tmp_path / "model")
    assert_same_bits(fastem.load(tmp_path / "model"), best)
    assert best.sample(3)[0].shape == (3, 4)
    assert str(best.fit_report_)
    quietly(best.set_params(warm_start=True), frame)
    assert best.n_iter_ <= 3
    best.partial_fit(frame)


def test_a_table_for_pandas():
    selection = select(load("faithful"), **FEW)
    table = pd.DataFrame(selection.results_)
    assert list(table.columns) == [
        "n_components", "covariance_type", "log_likelihood", "bic", "aic", "icl", "n_iter", "converged", "seconds",
        "status", "degenerate", "rank",
    ]  # fmt: skip
    assert table.n_components.dtype == table.n_iter.dtype == table["rank"].dtype == np.int64
    assert table.converged.dtype == bool
    assert table.bic.dtype == table.seconds.dtype == np.float64
    assert (table.seconds > 0).all()


@exhaustive
def test_no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        selection = select(load("wine"), range(1, 4), max_iter=2, random_state=0, n_threads=1)
    assert not selection.results_["converged"].all()
    with pytest.warns(ConvergenceWarning):
        mixture(3, max_iter=2).fit(load("wine"))


# -- what can't be fitted ---------------------------------------------------------------------------------------------


def test_more_components_than_points():
    X = np.random.default_rng(0).normal(size=(6, 2))
    selection = select(X, [1, 2, 7, 9], ("spherical", "diag"), random_state=0, n_threads=1)
    table = rows(selection)
    for covariance_type in ("spherical", "diag"):
        for n_components in (7, 9):
            row = table.loc[(covariance_type, n_components)]
            assert "more than the number of points, 6" in row.status
            assert np.isnan([row.bic, row.aic, row.icl, row.log_likelihood]).all()
            assert row.n_iter == 0
            assert not row.converged
            assert row["rank"] > 4
    with pytest.raises(ValueError, match="Expected n_samples >= n_components"):
        select(X, [7, 9], random_state=0)


def test_a_combination_that_collapses_says_why():
    X = np.repeat([[0.0, 0], [1, 5], [7, 2], [3, 3]], 5, axis=0)
    selection = select(X, [1, 2, 3], ("full", "diag"), reg_covar=0, random_state=0, n_threads=1)
    table = rows(selection)
    assert table.status["full", 1] == "ok"
    collapsed = table[table.status != "ok"]
    assert len(collapsed) > 0
    assert collapsed.status.str.contains("ill-defined empirical covariance").all()
    assert not collapsed.status.str.contains("\n").any()
    assert collapsed.bic.isna().all()
    assert selection.results_["status"][selection.best_index_] == "ok"
    assert (collapsed["rank"] > len(table) - len(collapsed)).all()
    with pytest.raises(ValueError, match=r"no combination could be fitted.*ill-defined"):
        select(np.ones((10, 2)), [1, 2], "full", reg_covar=0, random_state=0)


@pytest.mark.parametrize(
    ("params", "error", "match"),
    [
        ({"n_components": []}, ValueError, "each have at least one value"),
        ({"covariance_type": ()}, ValueError, "each have at least one value"),
        ({"criterion": "BIC"}, ValueError, "criterion should be one of bic, aic, icl, held_out, but got 'BIC'"),
        ({"n_folds": 1}, ValueError, "n_folds should be 2 or more"),
        ({"one_standard_error": True}, ValueError, "one_standard_error needs criterion='held_out'"),
        ({"covariance_type": "round"}, ValueError, "covariance_type"),
        ({"n_components": [0, 1]}, ValueError, "n_components"),
        ({"n_components": [1.5]}, ValueError, "n_components"),
        ({"tol": -1}, ValueError, "tol"),
        ({"tolerance": 1}, TypeError, "tolerance"),
        ({"sample_weight": np.ones(3)}, ValueError, "sample_weight"),
        ({"sample_weight": -np.ones(272)}, ValueError, "sample_weight"),
        ({"sample_weight": np.zeros(272)}, ValueError, "weights"),
        ({"prior": {"dof": 3}}, ValueError, "prior has the unknown key 'dof'"),
        ({"random_state": "a"}, ValueError, "random_state"),
    ],
)
def test_errors(params, error, match):
    with pytest.raises(error, match=match):
        select(load("faithful"), **{"n_components": [1, 2], "covariance_type": "full", "n_threads": 1, **params})


def test_bad_points():
    X = load("faithful").copy()
    with pytest.raises(ValueError, match="1D array"):
        select(X[:, 0])
    X[3, 1] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        select(X)
    with pytest.raises(ValueError, match="minimum of 2"):
        select(X[:1])
    with pytest.raises(SourceError, match="nowhere"):
        select("nowhere.npy")


def test_a_fault_in_a_pass_is_no_status(monkeypatch):
    monkeypatch.setattr("fastem.estimators.em_mixture._SMALL", 0)
    passes = Faulty()
    select(passes, **FEW)
    for number in {2, 3, 10, passes.n_passes // 2, passes.n_passes}:
        with pytest.raises(SourceError, match="row 17 of block 2"):
            select(Faulty(nan_in_block_2, from_pass=number), **FEW)


def test_folds_that_lack_a_component():
    X = np.concatenate([np.random.default_rng(0).normal(size=(40, 2)), [[1e4, 1e4]]])
    selection = select(X, [1, 2], "full", "held_out", random_state=0, reg_covar=1e-6, n_threads=1)
    assert np.isfinite(selection.results_["held_out"][0])
    few = select(X[:4], [1], "full", "held_out", n_folds=5, random_state=0, n_threads=1)  # one fold is empty
    assert np.isfinite(few.results_["held_out"][0])
