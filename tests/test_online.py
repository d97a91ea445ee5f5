"""partial_fit: a stream of batches, against online EM on plain sums and against fits of all the points."""

import copy
import pickle
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastem import GaussianMixture
from fastem.fitting import online, search

from . import data_sets, naive
from .fits import assert_same_bits, quietly
from .grids import exhaustive, grid
from .problems import partly_known, three_groups

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES
each_type = grid("covariance_type", COVARIANCE_TYPES, quick=["full", "spherical"])


def batches(X, size, *others):
    """X in batches, with those of other arrays beside it where there are any."""
    parts = [[array[i : i + size] for i in range(0, len(X), size)] for array in (X, *others)]
    return parts[0] if not others else list(zip(*parts, strict=True))


def uneven(n_samples, seed=0, largest=60):
    """Where batches of all sizes begin and end."""
    edges = np.cumsum(np.random.default_rng(seed).integers(1, largest, n_samples))
    edges = [0, *edges[edges < n_samples], n_samples]
    return [slice(start, stop) for start, stop in pairwise(edges)]


def shuffled(name):
    X, n_components = data_sets.load(name)
    return X[np.random.default_rng(0).permutation(len(X))], n_components


def quietly_taken_in(model, *args, **kwargs):
    return quietly(_WithFit(model), *args, **kwargs)


class _WithFit:
    def __init__(self, model):
        self.fit = model.partial_fit


def assert_near(one, other, rtol):
    assert_allclose(one.lower_bounds_, other.lower_bounds_, rtol=rtol)
    assert (one.n_iter_, one.n_samples_seen_) == (other.n_iter_, other.n_samples_seen_)
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        expected = getattr(other, name)
        assert_allclose(getattr(one, name), expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name)


def assert_is(model, mixture, rtol=1e-9):
    for name, value in zip(("weights_", "means_", "covariances_"), mixture, strict=True):
        assert_allclose(getattr(model, name), value, rtol=rtol, atol=rtol * np.abs(value).max(), err_msg=name)


class PlainStream:
    """Online EM as Cappe & Moulines 2009 write it: mass, sum and sum of outer products, about the origin.

    `statistics` are of weight 1; the share that a batch gets in them is its part of the points that are remembered,
    first ** forgetting * weight ** (1 - forgetting), and of its own; an M-step follows once so much of them, `new`, is
    newer than the last one.
    """

    def __init__(self, mixture, covariance_type, *, reg_covar=1e-6, forgetting=0.3, new=0.25):
        self.mixture, self.covariance_type = mixture, covariance_type
        self.reg_covar, self.forgetting, self.new = reg_covar, forgetting, new
        self.weight, self.first, self.statistics, self.kept = 0.0, 0.0, None, 1.0
        self.bounds, self.n_m_steps = [], 0

    def have_seen(self, weight):
        """The mixture is of so much weight already: the statistics whose M-step it is."""
        weights, means, covariances = self.mixture
        full = naive.matrices(covariances, self.covariance_type, *means.shape) - self.reg_covar * np.eye(means.shape[1])
        outer = means[:, :, None] * means[:, None, :]
        self.weight = self.first = weight
        self.statistics = weights, weights[:, None] * means, weights[:, None, None] * (full + outer)
        return self

    def have_seen_points(self, X, shares=None):
        """The mixture was fitted to these: their statistics under it."""
        self.statistics, _ = self._of_batch(X, np.ones(len(X)), shares)
        self.weight = self.first = len(X)
        return self

    def take_in(self, X, sample_weight=None, shares=None):
        sample_weight = np.ones(len(X)) if sample_weight is None else sample_weight
        weight = sample_weight.sum()
        of_batch, bound = self._of_batch(X, sample_weight, shares)
        share = 1.0
        if self.weight > 0:
            remembered = self.first**self.forgetting * self.weight ** (1 - self.forgetting)
            share = weight / (weight + remembered) if self.forgetting < 1 else 1.0
            of_batch = [(1 - share) * s + share * b for s, b in zip(self.statistics, of_batch, strict=True)]
        self.statistics = of_batch
        self.weight += weight
        self.first = self.first or weight
        self.kept *= 1 - share
        self.bounds.append(bound)
        if 1 - self.kept >= self.new:
            self._m_step()

    def _of_batch(self, X, sample_weight, shares):
        densities = naive.log_densities(X, *self.mixture, self.covariance_type)
        if shares is not None:
            with np.errstate(divide="ignore"):
                densities = densities + np.log(shares)
        likelihoods = naive.log_likelihoods(densities)
        r = sample_weight[:, None] * np.exp(densities - likelihoods[:, None]) / sample_weight.sum()
        second = np.einsum("nk,ni,nj->kij", r, X, X)
        return (r.sum(axis=0), r.T @ X, second), sample_weight @ likelihoods / sample_weight.sum()

    def _m_step(self):
        mass, first, second = self.statistics
        means = first / mass[:, None]
        full = second / mass[:, None, None] - means[:, :, None] * means[:, None, :]
        full = full + self.reg_covar * np.eye(means.shape[1])
        covariances = {
            "full": lambda: full,
            "tied": lambda: np.einsum("k,kij->ij", mass, full) / mass.sum(),
            "diag": lambda: np.array([matrix.diagonal() for matrix in full]),
            "spherical": lambda: np.array([matrix.diagonal().mean() for matrix in full]),
        }[self.covariance_type]()
        self.mixture = mass / mass.sum(), means, covariances
        self.kept = 1.0
        self.n_m_steps += 1


def mixture_of(model):
    return model.weights_, model.means_, model.covariances_


def a_start(X, covariance_type, **params):
    """A model from known numbers: its components not quite where the groups of `three_groups` are."""
    places = np.random.default_rng(5).uniform(size=(3, 3)) + X.mean(axis=0) + np.array([[-1], [0], [1]]) * X.std(axis=0)
    covariances = {
        "full": np.tile(2.0 * np.eye(3), (3, 1, 1)),
        "tied": 2.0 * np.eye(3),
        "diag": np.full((3, 3), 2.0),
        "spherical": np.full(3, 2.0),
    }[covariance_type]
    params = {"covariance_type": covariance_type, **params}
    return GaussianMixture.from_parameters([0.4, 0.3, 0.3], places, covariances, **params)


# -- what is counted --------------------------------------------------------------------------------------------------


def test_points_and_batches_are_counted():
    X, _ = three_groups(700)
    model = GaussianMixture(3, random_state=0)
    model.partial_fit(X[:2])
    assert model.n_samples_seen_ == 2
    assert not hasattr(model, "means_")  # not before there is a point for each component
    for i, batch in enumerate(batches(X[2:], 20)):
        before = model.score(batch) if i > 20 else None
        assert model.partial_fit(batch) is model
        assert model.n_samples_seen_ == 2 + sum(map(len, batches(X[2:], 20)[: i + 1]))
        assert model.n_iter_ == len(model.lower_bounds_) == i + 1
        assert model.lower_bound_ == model.lower_bounds_[-1]
        if before is not None:  # the bound is of the batch before it was taken in
            assert model.lower_bound_ == pytest.approx(before, rel=1e-12)


def test_a_stream_goes_on_after_a_fit():
    X, _ = three_groups(900)
    model = GaussianMixture(3, random_state=0).fit(X[:600])
    n_iter, means = model.n_iter_, model.means_
    model.partial_fit(X[600:620])
    assert model.n_samples_seen_ == 620
    assert model.n_iter_ == len(model.lower_bounds_) == n_iter + 1
    for batch in batches(X[620:], 20):
        model.partial_fit(batch)
    assert model.n_samples_seen_ == 900
    assert 0 < np.abs(model.means_ - means).max() < 0.5
    model.fit(X[:100])  # and a fit begins anew
    assert model.n_samples_seen_ == 100
    assert_same_bits(model, GaussianMixture(3, random_state=0).fit(X[:100]))


def test_a_stream_goes_on_from_known_numbers():
    X, _ = three_groups(900, distance=4.0)
    fitted = GaussianMixture(3, random_state=0).fit(X)
    model = GaussianMixture.from_parameters(*mixture_of(fitted))
    for batch in batches(X, 60):
        model.partial_fit(batch)
    assert model.n_samples_seen_ == 900
    assert model.n_iter_ == 15
    assert model.score(X) == pytest.approx(fitted.score(X), abs=0.05)


# -- from the first batch on ------------------------------------------------------------------------------------------


@grid("covariance_type", COVARIANCE_TYPES, quick=["diag"])
@grid("name", ["faithful", "wine", "cancer", "digits", "scaled"], quick=["wine"])
def test_small_batches_end_near_the_fit_of_all(name, covariance_type):
    X, n_components = shuffled(name)
    model = GaussianMixture(n_components, covariance_type=covariance_type, random_state=0)
    for batch in batches(X, 10):
        model.partial_fit(batch)
        labels = model.predict(X[:10])  # there is a mixture from the first 10 points on
        assert labels.min() >= 0
        assert labels.max() < n_components
        for parameter in (*mixture_of(model), model.precisions_, model.lower_bound_):
            assert np.all(np.isfinite(parameter))
        assert model.weights_.sum() == pytest.approx(1)
        if model._online._held is not None or model.n_samples_seen_ - 10 < 100 * n_components:
            first = copy.deepcopy(model)
    # The optimum that EM finds from the mixture of the first points; a stream can't start anew to find another.
    before = first.score(X)
    there = first.set_params(warm_start=True, max_iter=1000).fit(X).score(X)
    assert model.score(X) >= there - max(0.05, (there - before) / 2)


@pytest.mark.parametrize("forgetting", [0.0, 0.4])
@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_a_long_stream_ends_near_the_fit_of_all(covariance_type, forgetting):
    X, labels = three_groups(8_000, distance=4.0)
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0, forgetting=forgetting)
    for batch in batches(X, 100):
        model.partial_fit(batch)
    fitted = GaussianMixture(3, covariance_type=covariance_type).fit(X, labels=labels)
    assert model.score(X) >= fitted.score(X) - 0.02


@exhaustive
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_batches_of_one_point(covariance_type):
    X, _ = data_sets.load("faithful")
    model = GaussianMixture(2, covariance_type=covariance_type, random_state=0)
    for i, batch in enumerate(batches(X, 1)):
        model.partial_fit(batch)
        assert hasattr(model, "means_") == (i >= 1)
    assert model.n_samples_seen_ == 272
    fitted = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    assert model.score(X) >= fitted.score(X) - 0.2  # the last points weigh ten times the average


@pytest.mark.parametrize("assignment", ["hard", "stochastic"])
def test_other_assignments_stream_as_well(assignment):
    X, labels = three_groups(3000, distance=4.0)
    model = GaussianMixture(3, random_state=0, assignment=assignment)
    for batch in batches(X, 50):
        quietly_taken_in(model, batch)
    fitted = GaussianMixture(3, random_state=0).fit(X, labels=labels)
    assert model.score(X) >= fitted.score(X) - 0.05


# -- forgetting at once: steps of EM ----------------------------------------------------------------------------------


@each_type
@pytest.mark.parametrize("assignment", ["soft", "hard"])
@pytest.mark.parametrize("begin", ["known numbers", "fit", "first batch"])
def test_forgetting_at_once_is_textbook_em(begin, assignment, covariance_type):
    X, labels = three_groups(400)
    labels, weights = partly_known(labels), np.random.default_rng(0).exponential(size=len(X))
    params = {"forgetting": 1.0, "assignment": assignment}
    model = a_start(X, covariance_type, **params)
    if begin != "known numbers":
        model = GaussianMixture(3, covariance_type=covariance_type, max_iter=2, random_state=0, **params)
        (quietly if begin == "fit" else quietly_taken_in)(model, X, labels=labels)
    given = [{}, {"labels": labels}, {"sample_weight": weights}, {}, {"labels": labels, "sample_weight": weights}]
    for each in given:
        shares = naive.allowed(each["labels"], 3) if "labels" in each else None
        *expected, bound = naive.step(
            X, *mixture_of(model), covariance_type,
            shares=shares, sample_weight=each.get("sample_weight"), assignment=assignment,
        )  # fmt: skip
        model.partial_fit(X, **each)
        assert model.lower_bound_ == pytest.approx(bound, rel=1e-11)
        assert_is(model, expected, rtol=1e-10)


# -- forgetting nothing ---------------------------------------------------------------------------------------------


@grid("covariance_type", COVARIANCE_TYPES, quick=["tied"])
def test_all_the_points_again_and_again_lead_to_the_fit(covariance_type):
    X, _ = three_groups(300, distance=6.0)
    stream = a_start(X, covariance_type, forgetting=0.0)
    params = {"algorithm": "em", "tol": 1e-13, "max_iter": 10_000, "warm_start": True}
    fitted = copy.deepcopy(stream).set_params(**params).fit(X)
    assert fitted.score(X) > stream.score(X) + 0.1
    for _ in range(4000):
        stream.partial_fit(X)
    assert stream.score(X) == pytest.approx(fitted.score(X), abs=1e-6)
    assert_is(stream, mixture_of(fitted), rtol=1e-3)


@pytest.mark.parametrize("forgetting", [0.0, 0.4, 1.0])
@each_type
def test_a_maximum_stays_where_it_is(covariance_type, forgetting):
    X, _ = three_groups(300, distance=4.0)
    model = GaussianMixture(
        3, covariance_type=covariance_type, tol=1e-14, max_iter=10_000, random_state=0, forgetting=forgetting,
        algorithm="em",
    ).fit(X)  # fmt: skip
    expected = copy.deepcopy(mixture_of(model))
    for _ in range(20):
        model.partial_fit(X)
    assert_is(model, expected, rtol=1e-6)
    assert model.lower_bound_ == pytest.approx(model.lower_bounds_[0 - 20 - 1], rel=1e-12)


# -- against online EM on plain sums ----------------------------------------------------------------------------------


@pytest.fixture(params=[0.25, 0.0], ids=["M-steps when due", "M-steps every batch"])
def new(request, monkeypatch):
    monkeypatch.setattr(online, "_NEW", request.param)
    return request.param


@each_type
@grid("forgetting", [0.0, 0.4, 0.8], quick=[0.4])
def test_a_stream_after_a_fit_against_plain_sums(forgetting, covariance_type, new):
    X, _ = three_groups(1500)
    start = {"max_iter": 5, **data_sets.start(X, 3, covariance_type)}
    model = GaussianMixture(3, covariance_type=covariance_type, forgetting=forgetting, **start)
    quietly(model, X[:200])
    plain = PlainStream(mixture_of(model), covariance_type, forgetting=forgetting, new=new).have_seen(200.0)
    n_iter = model.n_iter_
    for rows in uneven(1300):
        model.partial_fit(X[200:][rows])
        plain.take_in(X[200:][rows])
        assert_is(model, plain.mixture)
    assert_allclose(model.lower_bounds_[n_iter:], plain.bounds, rtol=1e-9)
    n_batches = len(plain.bounds)
    assert plain.n_m_steps == n_batches if new == 0 else 3 < plain.n_m_steps < n_batches


@each_type
@pytest.mark.parametrize("forgetting", [0.0, 0.4])
def test_a_stream_from_known_numbers_against_plain_sums(forgetting, covariance_type, new):
    X, _ = three_groups(600)
    model = a_start(X, covariance_type, forgetting=forgetting)
    plain = PlainStream(mixture_of(model), covariance_type, forgetting=forgetting, new=new)
    for rows in uneven(600):
        model.partial_fit(X[rows])
        plain.take_in(X[rows])
        assert_is(model, plain.mixture)
    assert_allclose(model.lower_bounds_, plain.bounds, rtol=1e-9)


@each_type
def test_a_stream_from_its_first_batch_against_plain_sums(covariance_type, new):
    X, labels = three_groups(1500)
    labels = partly_known(labels)
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    quietly_taken_in(model, X[:400], labels=labels[:400])  # enough to be fitted and let go
    plain = PlainStream(mixture_of(model), covariance_type, new=new)
    plain.have_seen_points(X[:400], naive.allowed(labels[:400], 3))
    weights = np.random.default_rng(0).exponential(size=1100)
    for i, rows in enumerate(uneven(1100)):
        given, kwargs = {}, {}
        if i % 3 == 1:
            given["sample_weight"] = kwargs["sample_weight"] = weights[rows]
        if i % 4 == 1:
            given["shares"], kwargs["labels"] = naive.allowed(labels[400:][rows], 3), labels[400:][rows]
        if i % 4 == 2:
            shares = np.random.default_rng(i).gamma(0.5, size=(len(X[400:][rows]), 3))
            given["shares"] = kwargs["labels"] = shares
        model.partial_fit(X[400:][rows], **kwargs)
        plain.take_in(X[400:][rows], **given)
        assert_is(model, plain.mixture)
    assert_allclose(model.lower_bounds_[1:], plain.bounds, rtol=1e-9)


@each_type
def test_what_forgets_nothing_adds_all_batches_up(covariance_type):
    """M-steps of the sums over all the points so far, each under the mixture that it met."""
    X, _ = three_groups(1200)
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0, forgetting=0.0)
    quietly_taken_in(model, X[:300])
    _, responsibilities = naive.e_step(X[:300], *mixture_of(model), covariance_type)
    n_m_steps, weight_then = 0, 300
    for rows in uneven(900):
        batch = X[300:][rows]
        _, of_batch = naive.e_step(batch, *mixture_of(model), covariance_type)
        responsibilities = np.concatenate([responsibilities, of_batch])
        before = model.means_.copy()
        model.partial_fit(batch)
        n_seen = len(responsibilities)
        if n_seen - weight_then >= 0.25 * n_seen:  # a quarter is new
            assert_is(model, naive.m_step(X[:n_seen], responsibilities, covariance_type, reg_covar=1e-6))
            n_m_steps, weight_then = n_m_steps + 1, n_seen
        else:
            assert_array_equal(model.means_, before)
    assert n_m_steps >= 3


@each_type
def test_params_may_change_between_batches(covariance_type, new):
    X, _ = three_groups(1200)
    start = {"max_iter": 5, **data_sets.start(X, 3, covariance_type)}
    model = GaussianMixture(3, covariance_type=covariance_type, **start)
    quietly(model, X[:300])
    plain = PlainStream(mixture_of(model), covariance_type, new=new).have_seen(300.0)
    for i, rows in enumerate(uneven(900)):
        if i == 5:
            model.set_params(reg_covar=0.5)
            plain.reg_covar = 0.5
        if i == 10:
            model.set_params(forgetting=0.9)
            plain.forgetting = 0.9
        if i == 15:
            model.set_params(forgetting=0.0, reg_covar=1e-3, n_threads=1, tol=1.0, max_iter=1)
            plain.forgetting, plain.reg_covar = 0.0, 1e-3
        model.partial_fit(X[300:][rows])
        plain.take_in(X[300:][rows])
        assert_is(model, plain.mixture)
    assert i > 20


@pytest.mark.parametrize("change", [{"n_components": 2}, {"n_components": 4}, {"covariance_type": "diag"}])
@pytest.mark.parametrize("begin", ["fit", "partial_fit"])
def test_a_mixture_of_another_shape_is_refused(begin, change):
    """As a warm start refuses it."""
    X, _ = three_groups(500)
    model = GaussianMixture(3, random_state=0)
    getattr(model, begin)(X[:400])
    means = model.means_
    if begin == "partial_fit":
        model.partial_fit(X[400:410])
    model.set_params(**change)
    with pytest.raises(ValueError, match="n_components=3"):
        model.partial_fit(X[410:420])
    assert model.means_ is means


# -- drift ------------------------------------------------------------------------------------------------------------


def test_what_changes_is_followed_by_those_who_forget():
    rng = np.random.default_rng(0)
    models = {forgetting: GaussianMixture(2, random_state=0, forgetting=forgetting) for forgetting in (0.8, 0.0)}
    for time in range(300):
        centres = np.array([[0.0, 0.05 * time], [10.0, 0.05 * time]])
        batch = rng.normal(size=(40, 2)) + centres[rng.integers(2, size=40)]
        for model in models.values():
            model.partial_fit(batch)
    away = {
        forgetting: np.abs(model.means_[np.argsort(model.means_[:, 0])] - centres).max()
        for forgetting, model in models.items()
    }
    assert away[0.8] < 1
    assert away[0.0] > 5  # half of the way


# -- interruptions ----------------------------------------------------------------------------------------------------


def given(i, rows, labels, weights):
    """What comes with batch number i of a stream in which batches come in all ways."""
    kwargs = {}
    if i % 5 == 2:
        kwargs["sample_weight"] = weights[rows]
    if i % 7 == 3:
        kwargs["labels"] = labels[rows]
    return kwargs


@grid("covariance_type", COVARIANCE_TYPES, quick=["diag"])
@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))], ids=["copy", "pickle"]
)
def test_copies_go_on_as_the_original(how, covariance_type):
    X, labels = three_groups(900)
    labels, weights = partly_known(labels), np.random.default_rng(0).exponential(size=900)
    original = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    one = two = copy.deepcopy(original)
    for i, rows in enumerate(uneven(900, largest=30)):
        each = given(i, rows, labels, weights)
        quietly_taken_in(original, X[rows], **each)
        one = how(one)  # a copy between any two batches
        quietly_taken_in(one, X[rows], **each)
        if i % 4 == 0:  # and one between those of every four
            two = how(two)
        quietly_taken_in(two, X[rows], **each)
        if hasattr(original, "means_"):
            assert_same_bits(one, original)
            assert_same_bits(two, original)
            assert one.n_samples_seen_ == original.n_samples_seen_
    assert i > 40


BAD_BATCHES = {
    "NaN": (lambda X: np.where(np.arange(X.size).reshape(X.shape) == 7, np.nan, X), {}, "NaN.*\n.*row 2"),
    "infinity": (lambda X: np.where(np.arange(X.size).reshape(X.shape) == 7, np.inf, X), {}, "infinity.*\n.*row 2"),
    "float32 NaN": (lambda X: np.full(X.shape, np.nan, np.float32), {}, "NaN"),
    "a column less": (lambda X: X[:, :2], {}, "X has 2 features, but GaussianMixture is expecting 3"),
    "a column more": (lambda X: X[:, [0, 1, 2, 2]], {}, "X has 4 features, but GaussianMixture is expecting 3"),
    "words": (lambda X: np.full(X.shape, "a"), {}, "convert|numeric"),
    "complex": (lambda X: X + 1j, {}, "Complex data not supported"),
    "one dimension": (lambda X: X[:, 0], {}, "Expected 2D array"),
    "no rows": (lambda X: X[:0], {}, r"0 sample\(s\)"),
    "labels": (lambda X: X, {"labels": np.full(20, 3)}, "labels should be from 0 to"),
    "weights": (lambda X: X, {"sample_weight": np.full(20, -1.0)}, "[Nn]egative"),
}


@grid("when", ["held", "after the start", "between M-steps", "after a fit"], quick=["between M-steps"])
@pytest.mark.parametrize("bad", BAD_BATCHES)
def test_a_bad_batch_is_named_and_changes_nothing(bad, when):
    X, _ = three_groups(900)
    change, kwargs, match = BAD_BATCHES[bad]
    model, expected = (GaussianMixture(3, random_state=0, algorithm="em") for _ in range(2))
    parts = batches(X[:500], 20)
    n_before = {"held": 3, "after the start": 1, "between M-steps": 7, "after a fit": 0}[when]
    if when != "held":
        parts.insert(0, X[500:])
    for each in (model, expected):
        if when == "after a fit":
            quietly(each, X[500:])
        for batch in parts[:n_before]:
            quietly_taken_in(each, batch)
    before = model.means_, model.n_samples_seen_, model.n_features_in_
    for _ in range(2):
        with pytest.raises(ValueError, match=match):
            model.partial_fit(change(X[:20]), **kwargs)
    assert model.means_ is before[0]
    assert before[1:] == (model.n_samples_seen_, model.n_features_in_)
    after = [*parts[n_before : n_before + 3], X[500:], *parts[n_before + 3 :]]  # the held ones soon come to an end
    for batch in after:
        quietly_taken_in(model, batch)
        quietly_taken_in(expected, batch)
        assert_same_bits(model, expected)


def test_a_first_batch_that_is_bad_leaves_nothing():
    X, _ = three_groups(900)
    model = GaussianMixture(3, random_state=0)
    with pytest.raises(ValueError, match="NaN"):
        model.partial_fit(np.full((20, 2), np.nan))
    assert not hasattr(model, "n_features_in_")
    assert not hasattr(model, "n_samples_seen_")
    model.partial_fit(X)
    assert model.n_features_in_ == 3


@exhaustive
@pytest.mark.parametrize("path", ["quick", "general"])
def test_a_batch_that_collapses_a_component_is_not_taken_in(path):
    X, _ = three_groups(600)
    model = GaussianMixture(3, random_state=0, reg_covar=0.0, forgetting=0.9).fit(X)
    one_place = np.tile(X[:1], (20, 1))
    kwargs = {} if path == "quick" else {"sample_weight": np.ones(20)}
    for _ in range(5000):
        before = copy.deepcopy(model)
        try:
            model.partial_fit(one_place, **kwargs)
        except ValueError as error:
            assert f"collapsed in batch {before.n_iter_ + 1}" in str(error)
            break
    else:
        pytest.fail("no component collapsed")
    assert_same_bits(model, before)
    assert model.n_samples_seen_ == before.n_samples_seen_
    for batch in batches(X[:200], 40):  # and the stream goes on, as near to a collapse as before
        outcomes = []
        for each in (model, before):
            try:
                each.partial_fit(batch, **({} if path == "quick" else {"sample_weight": np.ones(40)}))
                outcomes.append("taken in")
            except ValueError as error:
                outcomes.append(str(error))
        assert outcomes[0] == outcomes[1]
        assert_same_bits(model, before)


# -- however batches come ---------------------------------------------------------------------------------------------


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
@pytest.mark.parametrize("forgetting", [0.0, 0.4])
def test_plain_arrays_take_a_quicker_way_to_the_same_place(forgetting, covariance_type):
    X, _ = three_groups(1200)
    params = {"covariance_type": covariance_type, "random_state": 0, "forgetting": forgetting}
    quick = GaussianMixture(3, **params)
    ways = {
        "list": lambda batch: (batch.tolist(), {}),
        "frame": lambda batch: (pd.DataFrame(batch), {}),
        "weights": lambda batch: (batch, {"sample_weight": np.ones(len(batch))}),
        "labels": lambda batch: (batch, {"labels": np.full(len(batch), -1)}),
        "shares": lambda batch: (batch, {"labels": np.ones((len(batch), 3))}),
        "blocks": lambda batch: (lambda: iter([batch[:5], batch[5:]]), {}),
    }
    others = {name: GaussianMixture(3, **params) for name in ways}
    start, stream = X[:400], batches(X[400:], 40)
    for model in (quick, *others.values()):
        quietly_taken_in(model, start)
    for batch in stream:
        quick.partial_fit(batch)
        for name, model in others.items():
            rows, kwargs = ways[name](batch)
            model.partial_fit(rows, **kwargs)
    for model in others.values():
        assert_near(model, quick, rtol=1e-9)


def test_any_layout_of_a_batch():
    X, _ = three_groups(900)
    X = np.round(X * 8) / 8
    expected, *models = (GaussianMixture(3, random_state=0) for _ in range(6))
    layouts = (
        np.asfortranarray,
        lambda batch: np.repeat(np.repeat(batch, 2, axis=0), 3, axis=1)[::2, ::3],
        lambda batch: batch[::-1].copy()[::-1],
        lambda batch: batch.astype(np.longdouble),
        lambda batch: batch.astype(">f8"),
    )
    for batch in (X[:400], *batches(X[400:], 30)):
        expected.partial_fit(batch)
        for model, layout in zip(models, layouts, strict=True):
            variant = layout(batch)
            variant.flags.writeable = False
            model.partial_fit(variant)
    for model in models[:3]:
        assert_same_bits(model, expected)
    for model in models[3:]:
        assert_near(model, expected, rtol=1e-9)


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_float32_batches(covariance_type):
    X, _ = three_groups(1500)
    X = X.astype(np.float32)
    single, double = (GaussianMixture(3, covariance_type=covariance_type, random_state=0) for _ in range(2))
    for batch in batches(X, 30):
        single.partial_fit(batch)
        double.partial_fit(batch.astype(np.float64))
    in_order = [np.argsort(model.means_[:, 0]) for model in (single, double)]
    for name in ("weights_", "means_", "covariances_"):
        value, reference = getattr(single, name), getattr(double, name)
        assert value.dtype == np.float32
        if name != "covariances_" or covariance_type != "tied":
            value, reference = value[in_order[0]], reference[in_order[1]]
        assert_allclose(value, reference, rtol=1e-3, atol=1e-3 * np.abs(reference).max(), err_msg=name)


def test_the_first_batches_are_searched_anew_when_they_have_grown_by_half(monkeypatch):
    X, _ = three_groups(300)
    searched = []
    fit = search.fit
    monkeypatch.setattr(
        search, "fit", lambda source, *args, **kw: (searched.append(len(source.X)), fit(source, *args, **kw))[1]
    )
    model = GaussianMixture(3, random_state=0)
    for batch in batches(X, 10):
        quietly_taken_in(model, batch)
    assert searched == [10, 20, 30, 50, 80, 120, 180, 270, 300]


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
def test_batches_of_either_precision(covariance_type):
    X, _ = three_groups(1500)
    X = X.astype(np.float32)
    mixed, double = (GaussianMixture(3, covariance_type=covariance_type, random_state=0) for _ in range(2))
    for number, rows in enumerate([slice(0, 400), *(slice(400 + i, 410 + i) for i in range(0, 1000, 10))]):
        mixed.partial_fit(X[rows].astype([np.float64, np.float32][number // 3 % 2]))
        double.partial_fit(X[rows].astype(np.float64))
    assert_allclose(mixed.lower_bounds_, double.lower_bounds_, rtol=1e-5)
    for name in ("weights_", "means_", "covariances_"):
        value, reference = getattr(mixed, name), getattr(double, name)
        assert_allclose(value, reference, rtol=1e-5, atol=1e-5 * np.abs(reference).max(), err_msg=name)


@each_type
def test_a_stream_far_from_the_origin(covariance_type):
    X, _ = three_groups(1200)
    X, distance = np.round(X * 2**20) / 2**20, 2.0**20  # no digit is lost
    near, far = (GaussianMixture(3, covariance_type=covariance_type, random_state=0) for _ in range(2))
    for batch in (X[:400], *batches(X[400:], 40)):
        near.partial_fit(batch)
        far.partial_fit(batch + distance)
    assert_allclose(far.lower_bounds_, near.lower_bounds_, rtol=1e-9)
    assert_allclose(far.means_ - distance, near.means_, atol=1e-9)
    assert_allclose(far.covariances_, near.covariances_, rtol=1e-8, atol=1e-9)


@each_type
@pytest.mark.parametrize("weighted", [False, True])
def test_the_same_bits_for_any_number_of_threads(weighted, covariance_type):
    X, _ = three_groups(40_000)
    weights = np.random.default_rng(0).exponential(size=len(X))
    params = {"covariance_type": covariance_type, "max_iter": 5, **data_sets.start(X, 3, covariance_type)}
    one, two = (GaussianMixture(3, n_threads=n, **params) for n in (1, 2))
    for batch, some in batches(X, 8000, weights):
        for model in (one, two):
            quietly_taken_in(model, batch, sample_weight=some if weighted else None)
    assert_same_bits(one, two)


def test_feature_names_are_those_of_the_first_batch():
    X, _ = three_groups(600)
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    model, expected = (GaussianMixture(3, random_state=0) for _ in range(2))
    for rows in (slice(0, 100), slice(100, 400), slice(400, 500)):
        model.partial_fit(frame[rows])
        expected.partial_fit(X[rows])
        assert list(model.feature_names_in_) == ["a", "b", "c"]
        with pytest.raises(ValueError, match="feature names should match"):
            model.partial_fit(frame[["b", "a", "c"]][rows])
    with pytest.warns(UserWarning, match="valid feature names"):
        model.partial_fit(X[500:])
    expected.partial_fit(X[500:])
    assert_near(model, expected, rtol=1e-9)


# -- labels -----------------------------------------------------------------------------------------------------------


@each_type
def test_a_labelled_stream_is_the_supervised_fit(covariance_type, monkeypatch):
    """Where nothing is forgotten: labels need no E-step."""
    monkeypatch.setattr(online, "_NEW", 0.0)
    X, labels = three_groups(800)
    model = GaussianMixture(3, covariance_type=covariance_type, forgetting=0.0)
    for rows in uneven(800):
        model.partial_fit(X[rows], labels=labels[rows])
        if hasattr(model, "means_"):
            so_far = slice(0, rows.stop)
            fitted = GaussianMixture(3, covariance_type=covariance_type).fit(X[so_far], labels=labels[so_far])
            assert_is(model, mixture_of(fitted), rtol=1e-10)


def test_a_class_that_comes_late_among_the_first_batches():
    X, labels = three_groups(290)
    order = np.argsort(labels, kind="stable")  # class by class
    model = GaussianMixture(3)
    for rows in uneven(290, largest=20):
        seen = order[: rows.stop]
        model.partial_fit(X[order[rows]], labels=labels[order[rows]])
        assert model.n_samples_seen_ == len(seen)
        assert hasattr(model, "means_") == (labels[seen].max() == 2)
    fitted = GaussianMixture(3).fit(X, labels=labels)
    assert_is(model, mixture_of(fitted), rtol=1e-10)


def test_a_class_that_comes_after_the_start():
    X, labels = three_groups(1200, distance=4.0)
    order = np.argsort(labels, kind="stable")
    model = GaussianMixture(3, random_state=0)
    for rows in uneven(1200):
        model.partial_fit(X[order[rows]], labels=labels[order[rows]])
    assert np.all(np.isfinite(model.means_))
    assert_allclose(model.means_[2], X[labels == 2].mean(axis=0), atol=0.5)


@each_type
def test_a_few_labels_name_the_components_of_a_stream(covariance_type):
    X, labels = three_groups(2000, distance=4.0)
    classes = np.array([2, 0, 1])[labels]
    known = partly_known(classes, share=0.1)
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    for batch, some in batches(X, 50, known):
        model.partial_fit(batch, labels=some)
    assert np.mean(model.predict(X) == classes) > 0.97


def test_labels_and_shares_come_together_among_the_first_batches():
    X, labels = three_groups(240, distance=4.0)
    known = partly_known(labels)
    one, other = (GaussianMixture(3, random_state=0) for _ in range(2))
    for i, rows in enumerate(uneven(240)):
        shares = naive.allowed(known[rows], 3)
        quietly_taken_in(one, X[rows], labels=shares)
        quietly_taken_in(other, X[rows], labels=known[rows] if i % 2 else shares)
    assert_near(other, one, rtol=1e-10)
    some = GaussianMixture(3, random_state=0)
    for i, rows in enumerate(uneven(240)):  # and batches of which nothing is known
        quietly_taken_in(some, X[rows], **({"labels": known[rows]} if i % 2 else {}))
    assert np.mean(some.predict(X) == labels) > 0.97


# -- arguments that change between batches ----------------------------------------------------------------------------

CHANGES = [
    ({}, {"shrinkage": 0.5}, "shrinkage_", 0.5),
    ({"shrinkage": 0.9}, {"shrinkage": 0.1}, "shrinkage_", 0.1),
    ({"noise": 500.0}, {"noise": 9000.0}, "noise_volume_", 9000.0),
    ({"prior": "default"}, {"prior": {"shrinkage": 2.0}}, "prior_", 2.0),
]


@pytest.mark.parametrize("first", ["fit", "partial_fit"])
@pytest.mark.parametrize(("before", "after", "name", "expected"), CHANGES)
def test_arguments_changed_between_batches_hold_from_then_on(before, after, name, expected, first):
    X, _ = three_groups(900)
    model = GaussianMixture(3, random_state=0, n_threads=1, **before)
    getattr(model, first)(X[:600])
    model.set_params(**after).partial_fit(X[600:])
    found = getattr(model, name)
    assert_allclose(found["shrinkage"] if name == "prior_" else found, expected, rtol=1e-9)
    assert model.n_samples_seen_ == 900


def test_arguments_that_are_taken_away_hold_no_longer():
    X, _ = three_groups(900)
    model = GaussianMixture(3, random_state=0, n_threads=1, prior="default").fit(X[:600])
    model.set_params(prior=None).partial_fit(X[600:])
    assert not hasattr(model, "prior_")
    model.set_params(prior="default")
    before = {name: id(value) for name, value in vars(model).items()}
    with pytest.raises(ValueError, match=r"prior was set after the fit.*call fit with it"):
        model.partial_fit(X[:300])
    assert {name: id(value) for name, value in vars(model).items()} == before


def test_known_parameters_are_updated_as_the_arguments_say():
    X, _ = three_groups(900)
    known = GaussianMixture(3, random_state=0).fit(X)
    given = known.weights_, known.means_, known.covariances_
    assert_array_equal(GaussianMixture.from_parameters(*given, shrinkage=0.5).partial_fit(X).shrinkage_, 0.5)
