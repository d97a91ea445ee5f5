"""A uniform noise component: against EM as the textbook writes it, in all ways that points come."""

import copy
import functools
import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score
from sklearn.utils.estimator_checks import check_estimator

import fastem
from fastem import DegenerateFitWarning, GaussianMixture
from fastem.callbacks import Frames
from fastem.fitting import em
from fastem.fitting.acceleration import Extrapolation, QuasiNewton
from fastem.model import reduction
from fastem.model.families import FOURTEEN
from fastem.model.noise import Noise, NoisyFamily, along_axes
from fastem.sources import ArraySource
from fastem.sources.annotations import Annotations

from . import data_sets, naive
from .fits import assert_same_bits, quietly
from .grids import exhaustive, grid
from .held import HELD

each_type = grid("covariance_type", data_sets.COVARIANCE_TYPES, quick=["full", "tied"])
EM = {"algorithm": "em", "tol": 0}


@functools.cache
def noisy(n=240, n_features=3, share=0.25, seed=0):
    """Points of three groups and uniform ones among them, and the group of each, -1 for noise."""
    rng = np.random.default_rng(seed)
    n_noise = int(share * n)
    labels = rng.permutation(np.append(rng.integers(3, size=n - n_noise), np.full(n_noise, -1)))
    spread = rng.uniform(0.5, 1.2, size=(4, n_features))
    X = rng.normal(size=(n, n_features)) * spread[labels] + 5.0 * labels[:, None]
    X[labels == -1] = rng.uniform(-8, 18, size=(n_noise, n_features))
    X.flags.writeable = False
    return X, labels


def start(X, covariance_type):
    """Arguments that fix the start."""
    family = {"VVV": "full", "EEE": "tied", "VVI": "diag", "VII": "spherical"}.get(covariance_type, covariance_type)
    if family in data_sets.COVARIANCE_TYPES:
        given = data_sets.start(X, 3, family)
    elif covariance_type in ("EII", "EEI", "VEI", "EVI"):
        given = data_sets.start(X, 3, "spherical" if covariance_type == "EII" else "diag")
    else:
        given = data_sets.start(X, 3, "full")
    return {**given, "weights_init": np.array([0.4, 0.3, 0.2])}  # what is left is the noise's


def mixture(X, covariance_type="full", **params):
    return GaussianMixture(
        3,
        covariance_type=covariance_type,
        **{**EM, "n_threads": 1, "noise": True, **start(X, covariance_type), **params},
    )


def state(model):
    return model.weights_, model.noise_weight_, model.means_, model.covariances_


def assert_follows_the_textbook(model, X, *, rtol=1e-9, n_iter=6, labels=None, sample_weight=None, shares=None):
    """Every iterate and bound of the model's fits equals naive's from the same start."""
    given = {"labels": labels if shares is None else shares, "sample_weight": sample_weight}
    now = state(quietly(model.set_params(max_iter=0), X, **given))
    assert_allclose(now[1], 0.1)
    if labels is not None:
        shares = naive.allowed(np.where(labels == -2, 3, labels), 4)
    volume = naive.hypervolume(X) if sample_weight is None else naive.hypervolume(X[sample_weight > 0])
    bounds = []
    for done in range(1, n_iter + 1):
        *now, bound = naive.noisy_step(
            X, *now, model.covariance_type, volume, sample_weight=sample_weight, shares=shares,
            assignment=model.assignment,
        )  # fmt: skip
        bounds.append(bound)
        quietly(model.set_params(max_iter=done), X, **given)
        assert_allclose(model.lower_bounds_, bounds, rtol=1e-10)
        for found, expected in zip(state(model), now, strict=True):
            assert_allclose(found, expected, rtol=rtol, atol=rtol)
    assert_allclose(model.weights_.sum() + model.noise_weight_, 1, atol=1e-15)
    assert_allclose(model.noise_volume_, volume, rtol=1e-12)


# -- EM ---------------------------------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("assignment", ["soft", "hard"])
def test_every_iteration_against_the_textbook(assignment, covariance_type):
    X, _ = noisy()
    assert_follows_the_textbook(mixture(X, covariance_type, assignment=assignment), X)


@grid("covariance_type", [code for code in FOURTEEN if code[1:] != "VE"], quick=["EII", "VEI", "VEE", "EEV"])
def test_all_families_against_the_textbook(covariance_type):
    X, _ = noisy()
    assert_follows_the_textbook(mixture(X, covariance_type), X, n_iter=4, rtol=1e-8)


@grid("covariance_type", ["EVE", "VVE"], quick=["VVE"])
def test_an_m_step_with_common_axes_against_the_textbook(covariance_type):
    """Common axes may be another local optimum than naive's, not a worse one."""
    X, _ = noisy()
    begin = state(quietly(mixture(X, covariance_type, max_iter=0), X))
    model = quietly(mixture(X, covariance_type, max_iter=1), X)
    *expected, bound = naive.noisy_step(X, *begin, covariance_type, model.noise_volume_)
    assert_allclose(model.lower_bound_, bound, rtol=1e-10)
    for found, value in zip(state(model)[:3], expected[:3], strict=True):
        assert_allclose(found, value, rtol=1e-9, atol=1e-9)
    *_, own, _ = naive.noisy_step(X, *begin, "full", model.noise_volume_)
    costs = [
        model.weights_ @ (np.linalg.slogdet(each)[1] + np.trace(np.linalg.solve(each, own), axis1=1, axis2=2))
        for each in (model.covariances_, expected[3])
    ]
    assert costs[0] <= costs[1] + 1e-9


@each_type
@pytest.mark.parametrize("known", ["weights", "labels", "factors"])
def test_what_is_known_of_points_against_the_textbook(known, covariance_type):
    X, groups = noisy()
    rng = np.random.default_rng(1)
    weights = rng.integers(0, 4, len(X)).astype(float)
    labels = np.where(groups == -1, -2, groups)
    given = {
        "weights": {"sample_weight": weights},
        "labels": {"labels": np.where(rng.uniform(size=len(X)) < 0.3, labels, -1), "sample_weight": weights},
        "factors": {"shares": np.where(rng.uniform(size=(len(X), 4)) < 0.2, 0.01, 1.0)},
    }[known]
    assert_follows_the_textbook(mixture(X, covariance_type), X, **given)


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_all_labels_known_are_one_m_step(covariance_type):
    X, groups = noisy()
    model = GaussianMixture(3, covariance_type=covariance_type, noise=True)
    model.fit(X, labels=np.where(groups == -1, -2, groups))
    responsibilities = np.eye(4)[groups][:, :3]
    weights, means, covariances = naive.m_step(X, responsibilities, covariance_type, 1e-6)
    assert_allclose(model.noise_weight_, np.mean(groups == -1), rtol=1e-12)
    assert_allclose(model.weights_, weights * np.mean(groups >= 0), rtol=1e-12)
    assert_allclose(model.means_, means, rtol=1e-10)
    assert_allclose(model.covariances_, covariances, rtol=1e-9, atol=1e-9)
    *_, bound = naive.noisy_step(
        X,
        *state(model),
        covariance_type,
        model.noise_volume_,
        shares=naive.allowed(np.where(groups == -1, 3, groups), 4),
    )
    assert_allclose(model.lower_bound_, bound, rtol=1e-12)


def test_stochastic_assignment_draws_noise_too():
    X, groups = noisy()
    model = GaussianMixture(3, noise=True, assignment="stochastic", random_state=0, max_iter=60).fit(X)
    assert abs(model.noise_weight_ - 0.25) < 0.06
    assert adjusted_rand_score(groups, model.predict(X)) > 0.9


@pytest.mark.parametrize("covariance_type", ["full", "spherical"])
def test_prior(covariance_type):
    """The M-step is that of the prior without noise, for the mass that noise leaves."""
    X, _ = noisy()
    model = mixture(X, covariance_type, prior="default", max_iter=1)
    quietly(model, X)
    densities = naive.log_densities(
        X, *(getattr(quietly(mixture(X, covariance_type, max_iter=0), X), n) for n in ("weights_", "means_")),
        quietly(mixture(X, covariance_type, max_iter=0), X).covariances_, covariance_type,
    )  # fmt: skip
    densities = np.column_stack([densities, np.full(len(X), np.log(0.1 / model.noise_volume_))])
    r = np.exp(densities - naive.log_likelihoods(densities)[:, None])
    weights, means, covariances = naive.map_m_step(X, r[:, :3], covariance_type, reg_covar=1e-6, **model.prior_)
    noise = r[:, 3].mean()
    assert_allclose(model.noise_weight_, noise, rtol=1e-10)
    assert_allclose(model.weights_, weights * (1 - noise), rtol=1e-9)
    assert_allclose(model.means_, means, rtol=1e-8, atol=1e-8)
    assert_allclose(model.covariances_, covariances, rtol=1e-8, atol=1e-8)


def incomplete_step(X, weights, noise, means, covariance, sides):
    """EM for points with missing values beside noise in a box with these sides, tied covariance, point by point."""
    n_components, n_features = means.shape
    mass, noise_mass, total = np.zeros(n_components), 0.0, 0.0
    first, second = np.zeros_like(means), np.zeros((n_features, n_features))
    rows = []
    for x in X:
        seen = ~np.isnan(x)
        densities = np.append(np.log(weights), np.log(noise) - np.log(sides[seen]).sum())
        slopes = np.linalg.solve(covariance[np.ix_(seen, seen)], covariance[np.ix_(seen, ~seen)]).T
        completed = np.where(seen, x, 0.0) + np.zeros_like(means)
        completed[:, ~seen] = means[:, ~seen] + (x[seen] - means[:, seen]) @ slopes.T
        left = np.zeros_like(covariance)
        left[np.ix_(~seen, ~seen)] = covariance[np.ix_(~seen, ~seen)] - slopes @ covariance[np.ix_(seen, ~seen)]
        if seen.any():
            for k in range(n_components):
                densities[k] += stats.multivariate_normal(means[k, seen], covariance[np.ix_(seen, seen)]).logpdf(
                    x[seen]
                )
        likelihood = np.logaddexp.reduce(densities)
        r = np.exp(densities - likelihood)
        rows.append((completed, left, r))
        total, noise_mass, mass = total + likelihood, noise_mass + r[-1], mass + r[:-1]
        first += r[:-1, None] * completed
    new_means = first / mass[:, None]
    for completed, left, r in rows:
        for k in range(n_components):
            second += r[k] * (np.outer(completed[k] - new_means[k], completed[k] - new_means[k]) + left)
    covariance = second / mass.sum() + 1e-6 * np.eye(n_features)
    return mass / len(X), noise_mass / len(X), new_means, covariance, total / len(X)


def test_missing_values_against_the_textbook():
    X = np.array(noisy()[0])
    X[np.random.default_rng(0).uniform(size=X.shape) < 0.2] = np.nan
    X[0] = np.nan
    model = mixture(X, "tied", missing="em", max_iter=0, **{**start(noisy()[0], "tied")})
    now = state(quietly(model, X))
    sides = np.nanmax(X, axis=0) - np.nanmin(X, axis=0)
    assert_allclose(model.noise_volume_, sides.prod(), rtol=1e-12)
    for done in (1, 2, 3):
        *now, bound = incomplete_step(X, *now, sides)
        quietly(model.set_params(max_iter=done), X)
        assert_allclose(model.lower_bounds_[-1], bound, rtol=1e-10)
        for found, expected in zip(state(model), now, strict=True):
            assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    # predictions
    assert_allclose(model.score(X), incomplete_step(X, *now, sides)[-1], rtol=1e-9)
    assert_array_equal(model.predict(X[:1]), [np.argmax([*now[0]])])
    proba = model.predict_proba(X)
    assert_allclose(proba[0], model.weights_, rtol=1e-12)  # the row without any value
    assert_array_equal(model.predict(X), np.where(proba.max(axis=1) > 1 - proba.sum(axis=1), proba.argmax(axis=1), -1))


# -- the volume -------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@grid("name", ["faithful", "iris", "wine", "scaled"], quick=["faithful"])
def test_volume_is_mclusts(name):
    """`hypvol` of mclust 6.1.3, R/mclust.R: the smaller of the two boxes, by the ranges of columns and of scores."""
    X, n_components = data_sets.load(name)
    for points in (X, X[:, :1], X.astype(np.float32)):
        model = quietly(
            GaussianMixture(n_components, covariance_type="diag", noise=True, max_iter=1, random_state=0), points
        )
        assert_allclose(
            model.noise_volume_, naive.hypervolume(points.astype(float)), rtol=1e-9 if points is X else 1e-6
        )
        corner, edges = model.noise_box_[0], model.noise_box_[1:]
        inside = np.linalg.solve(edges.T, (points - corner).T.astype(float))
        assert inside.min() > -1e-6 and inside.max() < 1 + 1e-6
        assert_allclose(abs(np.linalg.det(edges)), model.noise_volume_, rtol=1e-9)


def test_a_given_volume():
    X, _ = noisy()
    model = quietly(mixture(X, noise=1234.5, max_iter=2), X)
    assert_allclose(model.noise_volume_, 1234.5, rtol=1e-12)
    proportions = np.diag(model.noise_box_[1:]) / np.ptp(X, axis=0)
    assert_allclose(proportions, proportions[0])
    assert_allclose(Noise(model.noise_box_).centre, (X.max(axis=0) + X.min(axis=0)) / 2)


def test_points_of_weight_0_have_no_volume():
    X, _ = noisy()
    far = np.vstack([X, X.max(axis=0) + 100])
    weights = np.append(np.ones(len(X)), 0)
    assert quietly(mixture(X), far, sample_weight=weights).noise_volume_ == pytest.approx(naive.hypervolume(X))


@pytest.mark.parametrize("noise", [0, -1.0, "yes", np.nan, None])
def test_bad_volumes(noise):
    with pytest.raises(ValueError, match="'noise' parameter of GaussianMixture"):
        GaussianMixture(2, noise=noise).fit(noisy()[0])


def test_a_constant_feature_has_no_volume():
    X = np.column_stack([noisy()[0], np.ones(240)])
    model = GaussianMixture(3, noise=True)
    with pytest.raises(ValueError, match="feature 3 is constant: leave it out, or pass the volume"):
        model.fit(X)
    assert not hasattr(model, "weights_")


# -- predictions ------------------------------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_predictions_against_the_textbook(covariance_type, dtype):
    X = noisy()[0].astype(dtype)
    rtol = 1e-9 if dtype == "float64" else 2e-3
    model = quietly(mixture(X, covariance_type, max_iter=5), X)
    assert model.weights_.dtype == dtype
    fitted = [np.asarray(value, dtype=np.float64) for value in state(model)]
    densities = naive.log_densities(X.astype(float), fitted[0], *fitted[2:], covariance_type)
    densities = np.column_stack([densities, np.full(len(X), np.log(model.noise_weight_ / model.noise_volume_))])
    likelihoods = naive.log_likelihoods(densities)
    shares = np.exp(densities - likelihoods[:, None])
    assert_allclose(model.score_samples(X), likelihoods, rtol=rtol)
    assert_allclose(model.predict_proba(X), shares[:, :3], rtol=rtol, atol=rtol)
    best = densities.argmax(axis=1)
    clear = np.sort(shares, axis=1)[:, -1] > 0.51
    assert_array_equal(model.predict(X)[clear], np.where(best == 3, -1, best)[clear])
    assert model.predict(X).min() == -1
    assert_allclose(model.score(X), likelihoods.mean(), rtol=rtol)
    n_free = {"full": 2 + 9 + 18, "tied": 2 + 9 + 6, "diag": 2 + 9 + 9, "spherical": 2 + 9 + 3}[covariance_type] + 2
    total = likelihoods.sum()
    assert_allclose(model.bic(X), -2 * total + n_free * np.log(len(X)), rtol=rtol)
    assert_allclose(model.aic(X), -2 * total + n_free * 2, rtol=rtol)
    assert_allclose(model.icl(X), -2 * densities.max(axis=1).sum() + n_free * np.log(len(X)), rtol=rtol)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert_array_equal(mixture(X, covariance_type, max_iter=5).fit_predict(X), model.predict(X))


def test_one_dimension_and_one_component():
    rng = np.random.default_rng(0)
    X = np.append(rng.normal(size=300), rng.uniform(-20, 20, size=200))[:, None]
    model = GaussianMixture(1, noise=True, random_state=0).fit(X)
    assert abs(model.noise_weight_ - 0.4) < 0.05
    assert abs(model.means_[0, 0]) < 0.2 and abs(model.covariances_[0, 0, 0] - 1) < 0.4
    density = stats.norm(model.means_[0, 0], model.covariances_[0, 0, 0] ** 0.5).pdf(X[:, 0])
    expected = np.log(model.weights_[0] * density + model.noise_weight_ / np.ptp(X))
    assert_allclose(model.score_samples(X), expected, rtol=1e-10)


@pytest.mark.parametrize("n_features", [2, 8])
def test_passes_that_skip_components_against_the_textbook(n_features):
    """With many components, blocks of near points see only the near ones, and the noise."""
    rng = np.random.default_rng(0)
    n_components = 40
    means = 30 * rng.normal(size=(n_components, n_features))
    X = means[rng.integers(n_components, size=9000)] + rng.normal(size=(9000, n_features))
    X[::10] = rng.uniform(X.min(), X.max(), size=(900, n_features))
    model = GaussianMixture(
        n_components, covariance_type="diag", noise=True, **EM, weights_init=np.full(n_components, 0.9 / n_components),
        means_init=means, precisions_init=np.ones((n_components, n_features)), max_iter=3,
    )  # fmt: skip
    quietly(model, X)
    now = np.full(n_components, 0.9 / n_components), 0.1, means, np.ones((n_components, n_features))
    for _ in range(3):
        *now, bound = naive.noisy_step(X, *now, "diag", model.noise_volume_)
    assert_allclose(model.lower_bounds_[-1], bound, rtol=1e-11)
    for found, expected in zip(state(model), now, strict=True):
        assert_allclose(found, expected, rtol=1e-8, atol=1e-8)
    densities = naive.log_densities(X, now[0], now[2], now[3], "diag")
    noise = np.log(now[1] / model.noise_volume_)
    assert_array_equal(model.predict(X), np.where(densities.max(axis=1) < noise, -1, densities.argmax(axis=1)))
    assert_allclose(model.score_samples(X), np.logaddexp(np.logaddexp.reduce(densities, axis=1), noise), rtol=1e-8)


# -- the same bits ----------------------------------------------------------------------------------------------------

some_ways = grid("way", HELD, quick=[".npy", "blocks"] if "blocks" in HELD else [".npy"])


def assert_same_noise(one, other):
    assert_same_bits(one, other)
    assert (one.noise_weight_, one.noise_volume_) == (other.noise_weight_, other.noise_volume_)
    assert_array_equal(one.noise_box_, other.noise_box_)


@some_ways
@grid("algorithm", ["auto", "em"], quick=["em"])
def test_the_same_bits_however_points_are_held(way, algorithm, tmp_path, monkeypatch):
    monkeypatch.setattr("fastem.estimators.em_mixture._SMALL", 0)
    X = np.array(noisy(3000, 4)[0])
    params = {"noise": True, "random_state": 0, "algorithm": algorithm, "tol": 1e-4}
    model = quietly(GaussianMixture(3, **params), HELD[way](X, tmp_path))
    assert_same_noise(model, quietly(GaussianMixture(3, **params), X))


def test_the_same_bits_for_any_number_of_threads():
    X = np.array(noisy(20_000, 4)[0])
    one, two = (quietly(mixture(X, max_iter=4, n_threads=n), X) for n in (1, 2))
    assert_same_noise(one, two)
    assert_array_equal(one.predict_proba(X), two.predict_proba(X))


def test_dask():
    array = pytest.importorskip("dask.array", reason="dask is optional")
    X = np.array(noisy(3000, 4)[0])
    held = array.from_array(X, chunks=(700, 4))
    model = quietly(mixture(X, max_iter=3), held)
    assert_same_noise(model, quietly(mixture(X, max_iter=3), X))
    assert_array_equal(model.predict(held).compute(), model.predict(X))
    assert_array_equal(model.predict_proba(held).compute(), model.predict_proba(X))


# -- steps, search, starts --------------------------------------------------------------------------------------------


def scenes():
    return st.builds(
        lambda n, d, share, seed: noisy(n, d, share, seed)[0],
        st.integers(60, 300), st.integers(1, 4), st.floats(0, 0.5), st.integers(0, 1000),
    )  # fmt: skip


@exhaustive
@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@settings(deadline=None, max_examples=25)
@given(X=scenes(), code=st.sampled_from(FOURTEEN), algorithm=st.sampled_from(["auto", "em"]), seed=st.integers(0, 9))
def test_the_bound_never_falls(X, code, algorithm, seed):
    if X.shape[1] == 1:
        code = "V"
    model = GaussianMixture(2, covariance_type=code, noise=True, algorithm=algorithm, random_state=seed, reg_covar=1e-9)
    quietly(model, X)
    bounds = np.array(model.lower_bounds_)
    assert np.all(np.diff(bounds) >= -1e-9 * (1 + np.abs(bounds[1:])))
    assert 0 <= model.noise_weight_ <= 1
    assert_allclose(model.weights_.sum() + model.noise_weight_, 1, atol=1e-14)


@pytest.mark.parametrize("steps", [QuasiNewton(1e-6), Extrapolation()])
def test_longer_steps_move_the_noise_and_end_where_em_does(steps):
    X, _ = noisy()
    model = quietly(mixture(X, "diag", max_iter=0, tol=1e-12), X)
    source, begin = ArraySource(X), model._parameters()
    run = functools.partial(em.run, source, begin, annotations=Annotations())
    slow = run(em.Settings(3, tol=1e-13, max_iter=2000))
    fast = run(em.Settings(3, tol=1e-10, max_iter=500), steps=steps)
    assert "accelerated" in fast.kinds and fast.n_iter + fast.n_rejected < slow.n_iter
    assert np.all(np.diff(fast.lower_bounds) >= -1e-12)
    assert_allclose(fast.parameters.noise_weight, slow.parameters.noise_weight, rtol=1e-4)
    assert_allclose(fast.parameters.all_weights.sum(), 1, rtol=1e-14)


def test_merging_and_splitting_keep_the_noise():
    X, _ = noisy()
    begin = quietly(mixture(X, max_iter=2), X)._parameters()
    halves = reduction.split(begin, np.random.RandomState(0))
    for other in (halves, reduction.merged(halves, 3), reduction.split_one(begin, 1, np.random.RandomState(0))):
        assert isinstance(other.family, NoisyFamily)
        assert_allclose(other.noise_weight, begin.noise_weight, rtol=1e-12)
        assert_allclose(other.all_weights.sum(), 1, rtol=1e-14)
    more = reduction.with_component(begin, X[0], 0.1)
    assert_allclose(more.noise_weight, 0.9 * begin.noise_weight, rtol=1e-12)


@grid("share", [0.0, 0.05, 0.2, 0.4], quick=[0.05, 0.4])
@pytest.mark.parametrize("algorithm", ["em", "auto"])
def test_groups_are_found_among_noise(algorithm, share):
    X, groups = noisy(2000, 5, share)
    model = GaussianMixture(3, noise=True, algorithm=algorithm, random_state=0).fit(X)
    assert adjusted_rand_score(groups, model.predict(X)) > 0.98
    assert abs(model.noise_weight_ - share) < 0.01


@grid("init_params", ["k-means++", "random", "random_from_data"], quick=["random"])
def test_other_starts(init_params):
    X, _ = noisy()
    model = GaussianMixture(3, noise=True, algorithm="em", init_params=init_params, random_state=0, max_iter=0).fit(X)
    assert_allclose(model.weights_.sum() + model.noise_weight_, 1)
    assert 0.01 < model.noise_weight_ < 0.5


def test_warm_start_goes_on():
    X, _ = noisy()
    whole = quietly(mixture(X, max_iter=6), X)
    parts = quietly(mixture(X, max_iter=3, warm_start=True), X)
    quietly(parts.set_params(max_iter=3, noise=True), X)
    assert_allclose(parts.lower_bound_, whole.lower_bounds_[5], rtol=1e-12)
    with pytest.raises(ValueError, match=r"warm_start=True can't go on .* had a noise component"):
        parts.set_params(noise=False, weights_init=None).fit(X)


def test_weights_init_may_leave_a_share_to_noise():
    X, _ = noisy()
    for weights, expected in (([0.5, 0.2, 0.1], 0.2), ([0.5, 0.3, 0.2], 0.05)):
        model = quietly(mixture(X, max_iter=0, weights_init=weights), X)
        assert_allclose(model.noise_weight_, expected)
    with pytest.raises(ValueError, match="weights"):
        mixture(X, weights_init=[0.5, 0.5, 0.2]).fit(X)
    with pytest.raises(ValueError, match="normalized"):
        GaussianMixture(3, weights_init=[0.5, 0.2, 0.1]).fit(X)


# -- labels -----------------------------------------------------------------------------------------------------------


def test_labels_are_checked():
    X, groups = noisy()
    labels = np.where(groups == -1, -2, groups)
    with pytest.raises(ValueError, match="or -1 for unknown, but"):
        GaussianMixture(3).fit(X, labels=labels)
    with pytest.raises(ValueError, match="-1 for unknown, or -2 for noise"):
        GaussianMixture(3, noise=True).fit(X, labels=np.where(labels == -2, -3, labels))
    with pytest.raises(ValueError, match=r"\(240, 4\)"):
        GaussianMixture(3, noise=True).fit(X, labels=np.ones((240, 3)))


# -- streams ----------------------------------------------------------------------------------------------------------


def test_streams_need_a_volume():
    X, groups = noisy(3000)
    with pytest.raises(ValueError, match="noise=VOLUME"):
        GaussianMixture(3, noise=True).partial_fit(X)
    model = GaussianMixture(3, noise=naive.hypervolume(X), random_state=0)
    for start in range(0, 3000, 250):
        model.partial_fit(X[start : start + 250])
    assert abs(model.noise_weight_ - 0.25) < 0.04
    assert adjusted_rand_score(groups, model.predict(X)) > 0.9
    assert_allclose(model.weights_.sum() + model.noise_weight_, 1)
    after = GaussianMixture(3, noise=True, random_state=0).fit(X[:1500])
    volume = after.noise_volume_
    after.partial_fit(X[1500:])
    assert after.noise_volume_ == volume and abs(after.noise_weight_ - 0.25) < 0.04


def test_a_stream_of_labelled_batches():
    X, groups = noisy(400)
    labels = np.where(groups == -1, -2, groups)
    shares = np.eye(4)[np.where(labels == -2, 3, labels)]
    models = [GaussianMixture(3, noise=1e4, random_state=0) for _ in range(2)]
    models[0].partial_fit(X[:50], labels=labels[:50]).partial_fit(X[50:], labels=labels[50:])
    models[1].partial_fit(X[:50], labels=shares[:50]).partial_fit(X[50:], labels=labels[50:])
    for model in models:
        assert_allclose(model.noise_weight_, np.mean(groups == -1), rtol=1e-9)


# -- what else a mixture does -----------------------------------------------------------------------------------------


def test_samples_have_noise_in_the_box():
    X, _ = noisy()
    model = quietly(mixture(X, max_iter=10, random_state=0), X)
    points, labels = model.sample(20_000)
    assert abs(np.mean(labels == -1) - model.noise_weight_) < 0.02
    assert_array_equal(np.unique(labels), [-1, 0, 1, 2])
    noise = points[labels == -1]
    inside = np.linalg.solve(model.noise_box_[1:].T, (noise - model.noise_box_[0]).T)
    assert stats.kstest(inside[0], "uniform").pvalue > 1e-3 and inside.min() >= 0 and inside.max() <= 1
    assert (labels[-len(noise) :] == -1).all()


@grid("params", [{}, {"prior": "default"}, {"noise": 500.0}, {"covariance_type": "VVE"}], quick=slice(2))
def test_saved_and_loaded(params, tmp_path):
    X, _ = noisy()
    model = quietly(GaussianMixture(3, **{"noise": True, "random_state": 0, "max_iter": 3, **params}), X)
    model.save(tmp_path / "model")
    other = fastem.load(tmp_path / "model")
    assert other.get_params() == model.get_params()
    assert_same_noise(other, model)
    assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    assert other.score(X) == model.score(X)
    quietly(other.set_params(warm_start=True), X)


def test_an_interrupted_fit_goes_on_from_a_copy_or_a_file(tmp_path):
    X, _ = noisy()
    begin = {"noise": True, "random_state": 0, "algorithm": "auto", "tol": 1e-9}
    whole = GaussianMixture(3, **begin, init_params="random").fit(X)
    part = quietly(GaussianMixture(3, **begin, init_params="random", max_iter=3, warm_start=True), X)
    part.save(tmp_path / "model")
    copies = pickle.loads(pickle.dumps(part)), copy.deepcopy(part), fastem.load(tmp_path / "model")
    for other in copies:
        other.set_params(max_iter=100).fit(X)
        assert_allclose(other.lower_bound_, whole.lower_bound_, atol=1e-7)
        assert_allclose(other.noise_weight_, whole.noise_weight_, rtol=1e-3)


@pytest.mark.parametrize(
    "changed",
    [
        {"noise_weight_": 1.5},
        {"noise_weight_": 0.5},  # the weights then don't sum to 1
        {"noise_box_": np.zeros((4, 3))},
        {"noise_box_": np.zeros((3, 3))},
        {"noise_box_": None},
    ],
)
def test_damaged_files_are_refused(changed, tmp_path):
    X, _ = noisy()
    model = quietly(mixture(X, max_iter=3), X)
    for name, value in changed.items():
        setattr(model, name, value)
        if value is None:
            delattr(model, name)
    with pytest.raises(ValueError):
        model.save(tmp_path / "model")


def test_scikit_learn_has_no_noise():
    X, _ = noisy()
    with pytest.raises(ValueError, match="no noise component: fit with noise=False"):
        quietly(mixture(X, max_iter=1), X).to_sklearn()


def test_marginal_and_conditional_mixtures():
    X, _ = noisy()
    model = quietly(mixture(X, max_iter=8, noise=9000.0), X)
    share, sides = model.noise_weight_, np.diag(model.noise_box_[1:])
    x = np.array([[1.0, 2.0, 0.5], [9.0, 1.0, 3.0]])

    def density(points, features):
        gaussians = sum(
            w * stats.multivariate_normal(m[features], C[np.ix_(features, features)]).pdf(points[:, features])
            for w, m, C in zip(model.weights_, model.means_, model.covariances_, strict=True)
        )
        return gaussians + share / sides[features].prod()

    marginal = model.marginal([2, 0])
    assert_allclose(np.exp(marginal.score_samples(x[:, [2, 0]])), density(x, [2, 0]), rtol=1e-10)
    assert_allclose(marginal.noise_box_, along_axes(Noise(model.noise_box_).centre[[2, 0]], sides[[2, 0]]).box)
    for row in x:
        conditional = model.conditional({1: row[1]})
        expected = density(row[None], [0, 1, 2]) / density(row[None], [1])
        assert_allclose(np.exp(conditional.score_samples(row[None, [0, 2]])), expected, rtol=1e-9)


def test_imputed_values():
    X, _ = noisy()
    model = quietly(mixture(X, max_iter=8), X)
    noise = Noise(model.noise_box_)
    rows = np.array([[1.0, np.nan, 0.5], [9.0, np.nan, np.nan], [np.nan, np.nan, np.nan], [17.0, -7.0, np.nan]])
    filled, deviations = model.impute(rows, return_std=True)
    for row, values, spread in zip(rows, filled, deviations, strict=True):
        missing = np.flatnonzero(np.isnan(row))
        given = model.conditional(row)
        weights = np.append(given.weights_, given.noise_weight_)
        means = np.vstack([given.means_, noise.centre[missing]])
        mean = weights @ means
        within = np.vstack(
            [np.diagonal(given.covariances_, axis1=1, axis2=2), np.exp(2 * noise.log_sides[missing]) / 12]
        )
        assert_allclose(values[missing], mean, rtol=1e-9)
        assert_allclose(spread[missing] ** 2, weights @ (within + (means - mean) ** 2), rtol=1e-8)
    draws = model.impute(np.repeat(rows[3:], 4000, axis=0), n_draws=1, random_state=0)[0]
    assert abs(draws[:, 2].mean() - filled[3, 2]) < 5 * deviations[3, 2] / np.sqrt(4000)
    assert abs(draws[:, 2].std() / deviations[3, 2] - 1) < 0.05


@pytest.mark.parametrize("unit", [1e-4, 1e3])
def test_a_volume_beyond_floating_point(unit, tmp_path):
    """With hundreds of features the volume is infinity or 0, its logarithm is not."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 150)) + 4.0 * np.repeat([0, 1, 0], 30)[:, None]
    X[60:] = rng.uniform(-9, 13, size=(30, 150))
    fits = {"covariance_type": "diag", "noise": True, "reg_covar": 1e-6 * unit**2}
    model = GaussianMixture(2, random_state=0, n_threads=1, **fits).fit(X * unit)
    assert model.noise_volume_ == (np.inf if unit > 1 else 0)
    assert_array_equal(model.predict(X * unit) == -1, np.arange(90) >= 60)
    assert_allclose(model.noise_weight_, 1 / 3, rtol=1e-6)
    model.save(tmp_path / "model.npz")
    assert fastem.load(tmp_path / "model.npz").noise_volume_ == model.noise_volume_
    rest = model.marginal(np.arange(149))
    assert rest.noise_volume_ == model.noise_volume_
    assert_array_equal(rest.predict(X[:, :149] * unit) == -1, np.arange(90) >= 60)


def test_from_parameters():
    means, covariances = np.array([[0.0, 0], [4, 4]]), np.array([np.eye(2), 2 * np.eye(2)])
    model = GaussianMixture.from_parameters([0.5, 0.3], means, covariances, noise=50.0)
    assert_allclose((model.noise_weight_, model.noise_volume_), (0.2, 50))
    expected = 0.5 * stats.multivariate_normal(means[0], covariances[0]).pdf([1, 1])
    expected += 0.3 * stats.multivariate_normal(means[1], covariances[1]).pdf([1, 1]) + 0.2 / 50
    assert_allclose(np.exp(model.score_samples([[1.0, 1.0]])), [expected])
    with pytest.raises(ValueError, match="noise=VOLUME"):
        GaussianMixture.from_parameters([0.5, 0.3], means, covariances, noise=True)
    with pytest.raises(ValueError, match="normalized"):
        GaussianMixture.from_parameters([0.5, 0.3], means, covariances)


def test_a_component_on_few_points_beside_noise_is_said_to_be():
    """The noise's spread counts for that of all points: else a single tight group would look like constant features."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, size=(300, 2))
    X[:40] = 0.3 + 1e-7 * rng.normal(size=(40, 2))
    with pytest.warns(DegenerateFitWarning, match="Component 0 has a variance below reg_covar"):
        model = GaussianMixture(1, noise=True, random_state=0).fit(X)
    assert model.fit_report_.degenerate == [0]
    assert_allclose(model.noise_weight_, 260 / 300, atol=0.01)


@pytest.mark.parametrize("algorithm", ["em", "auto"])
def test_a_volume_so_small_that_all_is_noise(algorithm):
    with pytest.warns(DegenerateFitWarning, match="All points are noise: .* Pass a larger volume"):
        GaussianMixture(3, noise=1e-6, random_state=0, algorithm=algorithm).fit(noisy()[0])


def test_selection_with_noise():
    X, groups = noisy(600)
    selection = fastem.select(X, range(1, 5), ["full", "diag"], noise=True, random_state=0)
    best = selection.best_estimator_
    assert best.n_components == 3 and best.noise is True
    assert adjusted_rand_score(groups, best.predict(X)) > 0.95
    assert_allclose(selection.results_["bic"][selection.best_index_], best.bic(X), rtol=1e-12)
    without = fastem.select(X, range(1, 5), ["full", "diag"], random_state=0)
    assert best.bic(X) < without.best_estimator_.bic(X)


def test_no_noise_attributes_without_noise():
    X, _ = noisy()
    model = quietly(mixture(X, max_iter=2), X)
    quietly(model.set_params(noise=np.False_, weights_init=None), X)
    assert not any(hasattr(model, name) for name in ("noise_weight_", "noise_volume_", "noise_box_"))
    assert_allclose(model.predict_proba(X).sum(axis=1), 1)


@exhaustive
@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_conventions():
    check_estimator(GaussianMixture(noise=1.0), on_skip=None)


# -- pictures and the command line ------------------------------------------------------------------------------------


@grid("n_features", [1, 2, 3], quick=[1])
def test_pictures_show_noise_in_grey(n_features, tmp_path):
    plotting = pytest.importorskip("fastem.plotting", reason="matplotlib is optional")
    X, _ = noisy(200, n_features)
    model = quietly(GaussianMixture(3, noise=True, random_state=0), X)
    display = plotting.MixtureDisplay.from_estimator(model, X)
    is_noise = model.predict_proba(X).sum(axis=1) < 1e-6
    grey = display.lab[is_noise]
    assert is_noise.any() and np.abs(grey[:, 1:]).max() < 1e-3
    if n_features == 1:
        total, grid = display.panels_[0].total, np.linspace(0, 10, 5)
        assert_allclose(
            np.interp(grid, *total.get_data()), np.exp(model.score_samples(grid[:, None])), rtol=0.02, atol=1e-4
        )
    shares = plotting.ResponsibilityDisplay.from_estimator(model, X)
    assert_array_equal(np.where(shares.labels == 3, -1, shares.labels), model.predict(X))
    plotting.MahalanobisDisplay.from_estimator(model, X)
    plotting.DataDisplay.from_data(X, model.predict(X))
    if n_features == 2:
        plotting.animate_fit(model, X, tmp_path / "film.gif", max_frames=3)
        frames = Frames()
        quietly(GaussianMixture(3, noise=True, random_state=0).set_callbacks(frames), X)
        plotting.IterationDisplay.from_frames(frames, X)
        shown = plotting.ConditionalDisplay.from_estimator(model, X)
        x, mean = shown.mean_.get_data()
        expected = model.impute(np.column_stack([x[::100], np.full(len(x[::100]), np.nan)]))[:, 1]
        seen = ~np.isnan(mean[::100])
        assert_allclose(mean[::100][seen], expected[seen], rtol=1e-6)


def test_the_command_line(tmp_path, monkeypatch, capsys):
    cli = pytest.importorskip("fastem.cli", reason="typer is optional")
    monkeypatch.chdir(tmp_path)
    X, groups = noisy(300, 2)
    words = np.array(["red", "green", "blue", "noise"])[groups]
    known = np.where(np.arange(300) % 3 == 0, words, "")
    lines = (f"{a:.6f},{b:.6f},{word}" for (a, b), word in zip(X, known, strict=True))
    (tmp_path / "table.csv").write_text("\n".join(["a,b,group", *lines]))

    def run(line):
        cli.main(line.split())
        return capsys.readouterr().out

    table = pd.read_csv("table.csv")[["a", "b"]]
    found = json.loads(run("fit table.csv -k 3 --labels group --noise auto --save m.npz --json"))
    model = fastem.load("m.npz")
    assert (found["noise_weight"], found["noise_volume"]) == (model.noise_weight_, model.noise_volume_)
    assert_allclose(sum(found["weights"]) + found["noise_weight"], 1)
    assert f"weight {model.noise_weight_:.4f}, volume {model.noise_volume_:.6g}" in run("info m.npz")
    rows = [line.split(",") for line in run("predict m.npz table.csv --columns a,b --proba").splitlines()]
    assert rows[0] == ["label", "p_blue", "p_green", "p_red", "p_noise"]
    assert_array_equal([row[0] for row in rows[1:]], model.predict(table))
    assert_allclose(np.array([row[1:] for row in rows[1:]], dtype=float).sum(axis=1), 1)
    assert adjusted_rand_score(words, [row[0] for row in rows[1:]]) > 0.9
    assert "noise" in run("sample m.npz -n 200 --labels")
    run("fit table.csv -k 3 --columns a,b --noise 700 --save m.npz --assign labels.csv")
    assert_allclose(fastem.load("m.npz").noise_volume_, 700)
    assert "-1" in (tmp_path / "labels.csv").read_text().split()
    assert cli.main(["fit", "table.csv", "-k", "3", "--columns", "a,b", "--noise", "0"]) == 2
    assert "should be auto, or a volume above 0, got '0'" in capsys.readouterr().err
    assert "noise" in run("select table.csv --columns a,b -k 2-3 --covariance full --noise auto")
