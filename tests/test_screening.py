"""Short fits of `select` on a sample: what they rule out, what they leave to a search, and that the choice stays."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastem import GaussianMixture, select
from fastem.fitting.ladder import Ladder
from fastem.fitting.screening import Screening
from fastem.model.families import FOURTEEN
from fastem.sources import ArraySource
from fastem.sources.annotations import NO_ANNOTATIONS

from .grids import exhaustive

WIDE = "VII", "VVI", "EEE", "VVV"


@pytest.fixture(autouse=True)
def sample_of_a_thousand(monkeypatch):
    monkeypatch.setattr("fastem.selection.selector._POINTS", 1000)
    monkeypatch.setattr("fastem.selection.selector._POINTS_A_COMPONENT", 100)


def points_of(code, n, n_features, n_components, seed):
    """Points of a mixture whose covariances are exactly in mclust's family of this code."""
    rng = np.random.default_rng(seed)

    def axes():
        return np.linalg.qr(rng.normal(size=(n_features, n_features)))[0]

    def shape():
        values = np.exp(rng.uniform(-1.2, 1.2, n_features))
        return values / np.exp(np.log(values).mean())

    common = shape(), axes()
    labels, X = rng.choice(n_components, n, p=rng.dirichlet(np.full(n_components, 8.0))), np.empty((n, n_features))
    for k in range(n_components):
        volume = np.exp(rng.uniform(-0.7, 0.7)) if code[0] == "V" else 1.0
        values = {"E": common[0], "V": shape(), "I": np.ones(n_features)}[code[1]]
        vectors = {"E": common[1], "V": axes(), "I": np.eye(n_features)}[code[2]]
        chosen = labels == k
        noise = rng.normal(size=(chosen.sum(), n_features)) * np.sqrt(volume * values)
        X[chosen] = 2.5 * rng.normal(size=n_features) + noise @ vectors.T
    return X


@pytest.fixture
def searched(monkeypatch):
    """What a selection searches for: (covariance type, number of components), in order."""
    found, fit = [], Ladder.fit

    def spy(self, model):
        found.append((model.covariance_type, model.n_components))
        return fit(self, model)

    monkeypatch.setattr(Ladder, "fit", spy)
    return found


def by_rank(selection):
    """(covariance type, number of components, criterion) of the rows that were fitted to all points, the best first."""
    results = selection.results_
    order = [i for i in np.argsort(results["rank"]) if results["status"][i] == "ok"]
    return [(results["covariance_type"][i], int(results["n_components"][i]), results["bic"][i]) for i in order]


def assert_as_without_screening(X, counts, types, monkeypatch):
    """The best combinations are those of a selection that searches for all."""
    params = {"random_state": 0, "n_threads": 1}
    short = select(X, counts, types, **params)
    monkeypatch.setattr(Screening, "may_be_short", lambda self, model: False)
    full = select(X, counts, types, **params)
    ours, theirs = by_rank(short), by_rank(full)
    n_first = min(3, len(theirs))
    assert [row[:2] for row in ours[:n_first]] == [row[:2] for row in theirs[:n_first]]
    assert_allclose([row[2] for row in ours[:n_first]], [row[2] for row in theirs[:n_first]], rtol=1e-4)
    return short


@pytest.mark.parametrize("code", ["VEI", "EEV"])
def test_the_choice_is_that_of_full_searches(code, monkeypatch):
    X = points_of(code, 5_000, 3, 3, seed=1)
    types = ["VII", "VVI", "VVV", code, "EII"]
    found = assert_as_without_screening(X, range(1, 5), types, monkeypatch)
    assert (found.best_estimator_.covariance_type, found.best_estimator_.n_components) == (code, 3)


@exhaustive
@pytest.mark.parametrize("code", ["EII", "EVE", "VVE", "VEV", "VVV"])
def test_the_choice_among_all_is_that_of_full_searches(code, monkeypatch):
    X = points_of(code, 8_000, 3, 3, seed=2)
    assert_as_without_screening(X, range(1, 5), FOURTEEN, monkeypatch)


def test_what_is_far_from_the_best_is_not_searched(searched):
    X = points_of("VVV", 5_000, 3, 3, seed=0) @ [[9.0, 8.0, 7.0], [0.0, 0.5, 0.2], [0.0, 0.0, 0.1]]
    told = []
    found = select(X, [2, 3], ["EII", "EVI", *WIDE, "VVE"], random_state=0, n_threads=1, callbacks=told.append)
    assert searched[:8] == [(code, k) for code in WIDE for k in (2, 3)]
    assert ("EII", 2) not in searched and ("EII", 3) not in searched
    results = found.results_
    keys = zip(results["covariance_type"], results["n_components"], strict=True)
    statuses = dict(zip(keys, results["status"], strict=True))
    assert statuses["EII", 2] == "stopped" and statuses["VVV", 3] == "ok"
    n_samples = [step.stage for step in told].count("sample")
    assert n_samples == 14 + len(searched) - 8
    assert [step.n_done for step in told[:14]] == list(range(1, 15))


@pytest.mark.parametrize(("types", "params"), [
    (["EEV", "VEV", "EII"], {}),  # no wider family among them
    (["EEV", "VVV"], {"algorithm": "em"}),  # starts and steps are scikit-learn's
])  # fmt: skip
def test_all_are_searched_where_short_fits_are_not_possible(types, params, searched):
    X = points_of("VVV", 3_000, 2, 2, seed=0)
    select(X, [1, 2], types, random_state=0, n_threads=1, **params)
    assert searched == [(code, k) for code in types for k in (1, 2)]


def test_what_a_short_fit_can_not_do_is_left_to_the_search(monkeypatch, searched):
    X = points_of("EEV", 3_000, 2, 2, seed=0)
    spy = Ladder.fit

    def failing(self, model):
        if model.covariance_type == "VVV":
            raise ValueError("no mixture")
        return spy(self, model)

    monkeypatch.setattr(Ladder, "fit", failing)
    found = select(X, [2], ["VVV", "EEV"], random_state=0, n_threads=1)
    assert searched == [("EEV", 2)]
    assert found.best_estimator_.covariance_type == "EEV"


@pytest.mark.parametrize("params", [{}, {"noise": True}], ids=["plain", "noise"])
@pytest.mark.parametrize(("code", "wide"), [("EII", "VII"), ("EVI", "VVI"), ("VEV", "VVV")])
def test_a_short_fit_is_a_few_steps_of_the_family(code, wide, params):
    source = ArraySource(points_of("VVV", 1_000, 3, 3, seed=3))
    models = {each: GaussianMixture(3, covariance_type=each, random_state=0, **params) for each in (code, wide)}
    points = source, NO_ANNOTATIONS
    screening = Screening(points, list(models.values()))
    assert screening.may_be_short(models[code]) and not screening.may_be_short(models[wide])
    assert screening.fit(models[code]) is None  # not yet
    of_wide = Ladder(points, np.random.RandomState(0)).fit(models[wide])
    screening.keep(models[wide], of_wide)
    found = screening.fit(models[code])
    assert 1 <= found.n_iter <= 10
    family = models[code]._family(source, NO_ANNOTATIONS)
    assert found.parameters.family.name == family.name == code
    nearest = family.in_family(found.parameters.weights, found.parameters.covariances)
    assert_allclose(found.parameters.covariances, nearest, rtol=1e-6, atol=1e-9)
    assert found.parameters.covariances.shape == models[code].fit(source.X).covariances_.shape
    assert (np.diff(found.lower_bounds) >= -1e-12).all()
    # The family is a part of the wider one, whose maximum is therefore as high.
    assert found.lower_bound <= of_wide.lower_bound + 1e-3
