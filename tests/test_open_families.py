"""A family from outside: mclust's EEV, with common eigenvalues, each component turned its own way."""

import json
import re

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import fastem
import fastem.datasets
from fastem import BayesianGaussianMixture, GaussianMixture
from fastem.callbacks import Checkpoint, Frames
from fastem.model import families
from fastem.model.families.constrained import Constrained
from fastem.plotting import MixtureDisplay

from . import naive
from .fits import quietly


class EEV(Constrained):
    name = "EEV"

    def constrained(self, mass, covariances):
        values, axes = np.linalg.eigh(covariances)
        common = np.average(values, axis=0, weights=mass)
        return np.einsum("kij,j,klj->kil", axes, common, axes)

    def n_free(self, n_components, n_features):
        return n_features + n_components * n_features * (n_features - 1) // 2


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    monkeypatch.setattr(families.FAMILIES, "_families", dict(families.FAMILIES._families))
    families.FAMILIES.register(EEV())


def turned(n_samples=1500, n_features=3, n_components=3, seed=0, distance=4.0):
    """(X, groups): groups of the same shape, turned at random."""
    rng = np.random.default_rng(seed)
    groups = rng.integers(n_components, size=n_samples)
    deviations = np.geomspace(0.4, 2.0, n_features)
    axes = np.linalg.qr(rng.normal(size=(n_components, n_features, n_features))).Q
    means = distance * rng.normal(size=(n_components, n_features))
    points = np.einsum("nij,nj->ni", axes[groups], rng.normal(size=(n_samples, n_features)) * deviations)
    return means[groups] + points, groups


def eev(n_components=3, **params):
    return GaussianMixture(n_components, **{"covariance_type": "EEV", "random_state": 0, "n_threads": 1, **params})


def assert_in_family(covariances, rtol=1e-10):
    values = np.linalg.eigvalsh(covariances)
    assert_allclose(values, np.broadcast_to(values[0], values.shape), rtol=rtol)


@pytest.mark.parametrize("algorithm", ["em", "auto"])
@pytest.mark.parametrize("n_features, n_components", [(2, 2), (3, 3), (5, 4)])
def test_every_mixture_of_a_fit_is_in_the_family(algorithm, n_features, n_components):
    X, _ = turned(1500, n_features, n_components, seed=n_features)
    frames = Frames()
    model = quietly(eev(n_components, algorithm=algorithm).set_callbacks(frames), X)
    for frame in frames.best[1:]:
        assert_in_family(frame.covariances_)
    assert (np.diff(model.lower_bounds_) > -1e-12).all()
    assert model.bic(X) == pytest.approx(
        -2 * model.score(X) * len(X)
        + (n_components - 1 + n_components * n_features + n_features + n_components * n_features * (n_features - 1) / 2)
        * np.log(len(X))
    )


def test_textbook_iterations_from_a_users_start():
    X, groups = turned(400, 3, 3, seed=5, distance=2.0)
    weights, means, covariances = naive.m_step(X, np.eye(3)[groups], "EEV", 1e-6)
    start = {"weights_init": weights, "means_init": means, "precisions_init": np.linalg.inv(covariances)}
    model = quietly(eev(algorithm="em", tol=0, max_iter=10, **start), X)
    *expected, bounds = naive.steps(10, X, weights, means, covariances, "EEV")
    for name, values in zip(("weights_", "means_", "covariances_"), expected, strict=True):
        assert_allclose(getattr(model, name), values, rtol=1e-8, atol=1e-10)
    assert_allclose(model.lower_bounds_, bounds, rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_auto_reaches_what_the_textbook_reaches(seed):
    X, groups = turned(800, 3, 3, seed=seed, distance=2.5)
    *_, bounds = naive.steps(200, X, *naive.m_step(X, np.eye(3)[groups], "EEV", 1e-6), "EEV")
    model = quietly(eev(tol=1e-6, max_iter=300), X)
    assert model.lower_bound_ > bounds[-1] - 1e-5
    assert_in_family(model.covariances_)


def test_longer_steps_are_taken_where_em_crawls():
    X, groups = turned(3000, 2, 2, seed=3, distance=0.5)
    weights, means, covariances = naive.m_step(X, np.eye(2)[groups], "EEV")
    start = {"weights_init": weights, "means_init": means, "precisions_init": np.linalg.inv(covariances)}
    plain = quietly(eev(2, algorithm="em", tol=1e-9, max_iter=2000, **start), X)
    quick = quietly(eev(2, tol=1e-9, max_iter=2000, **start), X)
    assert "accelerated" in quick.fit_report_.kinds
    assert quick.n_iter_ < plain.n_iter_
    assert quick.lower_bound_ > plain.lower_bound_ - 1e-8


def test_points_drawn_have_the_components_moments():
    X, _ = turned()
    model = quietly(eev(), X)
    drawn, labels = model.sample(60_000)
    for k in range(3):
        assert_allclose(drawn[labels == k].mean(axis=0), model.means_[k], atol=0.08)
        assert_allclose(np.cov(drawn[labels == k].T), model.covariances_[k], atol=0.15)


def test_files_hold_it(tmp_path):
    X, _ = turned()
    model = quietly(eev(), X)
    model.save(tmp_path / "model.npz")
    loaded = fastem.load(tmp_path / "model.npz")
    assert loaded.covariance_type == "EEV"
    assert_array_equal(loaded.score_samples(X), model.score_samples(X))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_files_hold_nothing_outside_it(dtype, tmp_path):
    X, _ = turned()
    file = tmp_path / "model.npz"
    quietly(eev(), (X * [0.1, 1.0, 10.0]).astype(dtype)).save(file)
    assert fastem.load(file).means_.dtype == dtype
    with np.load(file) as archive:
        arrays = dict(archive)
    key = json.loads(str(arrays["header"]))["attributes"]["covariances_"]["@array"]
    arrays[key][2] *= 1.01
    np.savez(file, **arrays)
    message = "covariance_type='EEV' has a constraint that 'attributes.covariances_' doesn't satisfy"
    with pytest.raises(ValueError, match=re.escape(f"({message})")):
        fastem.load(file)


class Stop(Exception):
    pass


class AfterSix(Checkpoint):
    """Ends a fit in its middle."""

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        super().on_fit_task_end(estimator, context, fitted_estimator=fitted_estimator)
        if context.task_name == "iteration" and len(fitted_estimator.lower_bounds_) == 6:
            raise Stop


def test_a_fit_that_was_cut_off_goes_on(tmp_path):
    X, groups = turned(600, 3, 3, seed=5, distance=1.0)
    weights, means, covariances = naive.m_step(X, np.eye(3)[groups], "EEV")
    start = {"weights_init": weights, "means_init": means, "precisions_init": np.linalg.inv(covariances)}
    whole = quietly(eev(tol=0, max_iter=20, **start), X)
    with pytest.raises(Stop):
        eev(tol=0, max_iter=20, **start).set_callbacks(AfterSix(tmp_path / "model.npz", every=5)).fit(X)
    rest = fastem.load(tmp_path / "model.npz")
    assert len(rest.lower_bounds_) == 5
    quietly(rest.set_params(warm_start=True), X)
    assert rest.lower_bounds_ == whole.lower_bounds_
    assert_array_equal(rest.covariances_, whole.covariances_)


def test_select_finds_it():
    X, _ = turned(900)
    selection = fastem.select(X, range(1, 5), ["full", "EEV", "tied"], random_state=0)
    best = selection.best_estimator_
    assert (best.covariance_type, best.n_components) == ("EEV", 3)


@pytest.mark.parametrize("given", ["sample_weight", "labels", "hard", "partial_fit", "float32"])
def test_the_rest_of_a_fit_knows_it(given):
    X, groups = turned(900)
    if given == "partial_fit":
        model = eev()
        for part in np.array_split(X, 6):
            model.partial_fit(part)
    elif given == "sample_weight":
        model = quietly(eev(), X, sample_weight=np.random.default_rng(0).uniform(0, 2, len(X)))
    elif given == "labels":
        model = quietly(eev(), X, labels=np.where(np.arange(len(X)) % 3 == 0, groups, -1))
    elif given == "hard":
        model = quietly(eev(assignment="hard"), X)
    else:
        model = quietly(eev(), X.astype(np.float32))
    assert_in_family(model.covariances_, rtol=1e-4 if given == "float32" else 1e-10)
    assert model.score(X) > quietly(GaussianMixture(3, covariance_type="tied", random_state=0), X).score(X)


def test_it_is_drawn():
    X, _ = turned(n_features=2)
    display = MixtureDisplay.from_estimator(quietly(eev(), X), X)
    assert display.figure_ is not None


def test_known_parameters_are_taken_where_they_are_in_the_family():
    X, _ = turned()
    model = quietly(eev(), X)
    other = GaussianMixture.from_parameters(model.weights_, model.means_, model.covariances_, covariance_type="EEV")
    assert_allclose(other.score_samples(X), model.score_samples(X), rtol=1e-10)
    assert_allclose(model.to_sklearn().score_samples(X), model.score_samples(X), rtol=1e-10)
    wrong = model.covariances_ * np.array([1.0, 1.0, 1.5])[:, None, None]
    with pytest.raises(ValueError, match=r"covariance_type='EEV' has a constraint that 'covariances' doesn't satisfy"):
        GaussianMixture.from_parameters(model.weights_, model.means_, wrong, covariance_type="EEV")
    with pytest.raises(ValueError, match=r"covariance_type='EEV' .*'precision'"):
        eev(precisions_init=np.linalg.inv(wrong)).fit(X)


def test_what_it_lacks_is_said():
    X, _ = turned()
    with pytest.raises(ValueError, match="covariance_type='EEV' doesn't support priors"):
        eev(prior="default").fit(X)
    with pytest.raises(ValueError, match="covariance_type='EEV' doesn't support priors"):
        BayesianGaussianMixture(n_components=3, covariance_type="EEV").fit(X)
    with pytest.raises(ValueError, match="covariance_type='EEV' can't be drawn at random"):
        fastem.datasets.make_mixture(covariance_type="EEV")


def test_an_unknown_name_is_refused_with_those_there_are():
    assert "EEV" in families.FAMILIES
    with pytest.raises(ValueError, match=re.escape(f"{{{', '.join(map(repr, families.FAMILIES))}}}")):
        GaussianMixture(2, covariance_type="XYZ").fit(turned()[0])


def test_a_converged_fit_stops():
    X, _ = turned()
    model = quietly(eev(), X)
    assert model.converged_
    assert model.n_iter_ < 40
    assert model.fit_report_.remaining_change < 1e-3
