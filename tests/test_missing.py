"""Missing values: fits, predictions and starts from the observed ones, in every way that points come."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import KNNImputer
from sklearn.utils.estimator_checks import check_estimator

import fastem
from fastem import BayesianGaussianMixture, GaussianMixture, MixtureImputer
from fastem.datasets import load_penguins
from fastem.kernels import patterns_of
from fastem.model.families import FAMILIES, FOURTEEN, STANDARD

from . import naive
from .fits import quietly
from .grids import exhaustive, grid

each_type = grid("covariance_type", STANDARD, quick=["full", "diag"])


def points(n=200, n_features=4, share=0.3, seed=0):
    """Points of three overlapping groups, the group of each, with this share of the cells missing."""
    rng = np.random.default_rng(seed)
    turn = rng.normal(size=(3, n_features, n_features))
    labels = rng.integers(3, size=n)
    X = np.einsum("ij,ijk->ik", rng.normal(size=(n, n_features)), turn[labels]) + 2 * labels[:, None]
    X[rng.random(X.shape) < share] = np.nan
    X[0] = np.nan  # a row without any value
    return X, labels


def start(X, covariance_type, seed=1):
    """Arguments that fix the start of a fit, and the same as (weights, means, covariances)."""
    rng = np.random.default_rng(seed)
    n_features = X.shape[1]
    means = rng.normal(size=(3, n_features)) + 2 * np.arange(3)[:, None]
    spread = rng.normal(size=(3, n_features, n_features))
    matrices = spread @ spread.transpose(0, 2, 1) + np.eye(n_features)
    covariances = {
        "full": matrices,
        "tied": matrices[0],
        "diag": np.einsum("kii->ki", matrices),
        "spherical": np.array([1.0, 2.0, 3.0]),
    }[covariance_type]
    is_matrix = covariance_type in ("full", "tied")
    precisions = np.linalg.inv(covariances) if is_matrix else 1 / covariances
    weights = np.array([0.2, 0.5, 0.3])
    return {"weights_init": weights, "means_init": means, "precisions_init": precisions}, (weights, means, covariances)


def fitted(X, covariance_type="full", *, labels=None, sample_weight=None, **params):
    params = {"missing": "em", "random_state": 0, **params}
    model = GaussianMixture(3, covariance_type=covariance_type, **params)
    return quietly(model, X, labels=labels, sample_weight=sample_weight)


KNOWN = {
    "points alone": {},
    "weights": {"sample_weight": True},
    "labels": {"labels": True},
    "factors": {"factors": True},
    "hard": {"assignment": "hard"},
}


@each_type
@grid("known", KNOWN, quick=["points alone", "labels"])
def test_every_iteration_is_that_of_naive_em(covariance_type, known):
    X, groups = points()
    rng = np.random.default_rng(2)
    given_start, now = start(X, covariance_type)
    asked, of_fit, of_step = KNOWN[known], {}, {}
    if "sample_weight" in asked:
        of_fit["sample_weight"] = of_step["sample_weight"] = rng.integers(0, 4, len(X)).astype(float)
    if "labels" in asked:
        of_fit["labels"] = np.where(rng.random(len(X)) < 0.3, groups, -1)
        of_step["shares"] = naive.allowed(of_fit["labels"], 3)
    if "factors" in asked:
        of_fit["labels"] = of_step["shares"] = rng.uniform(0.1, 1, (len(X), 3))
    if "assignment" in asked:
        of_step["assignment"] = "hard"
    bounds = []
    for n_iter in range(1, 6):
        *now, bound = naive.incomplete_step(X, *now, covariance_type, **of_step)
        bounds.append(bound)
        of_run = {"algorithm": "em", "tol": 0.0, "max_iter": n_iter, "assignment": asked.get("assignment", "soft")}
        model = fitted(X, covariance_type, **given_start, **of_run, **of_fit)
        np.testing.assert_allclose(model.lower_bounds_, bounds, rtol=1e-9)
        np.testing.assert_allclose(model.weights_, now[0], rtol=1e-9)
        np.testing.assert_allclose(model.means_, now[1], rtol=1e-9)
        np.testing.assert_allclose(model.covariances_, now[2], rtol=1e-9, atol=1e-9)


@each_type
def test_predictions_are_those_of_the_marginals(covariance_type):
    X, _ = points()
    model = fitted(X, covariance_type, max_iter=5)
    densities = np.log(model.weights_) + np.zeros((len(X), 3))
    for k, matrix in enumerate(naive.matrices(model.covariances_, covariance_type, 3, X.shape[1])):
        for i, x in enumerate(X):
            seen = ~np.isnan(x)
            if seen.any():
                normal = stats.multivariate_normal(model.means_[k, seen], matrix[np.ix_(seen, seen)])
                densities[i, k] += normal.logpdf(x[seen])
    likelihoods = naive.log_likelihoods(densities)
    np.testing.assert_allclose(model.score_samples(X), likelihoods, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(model.predict_proba(X), np.exp(densities - likelihoods[:, None]), atol=1e-9)
    np.testing.assert_array_equal(model.predict(X), densities.argmax(axis=1))
    assert model.score(X) == pytest.approx(likelihoods.mean(), rel=1e-9)
    assert model.score_samples(X)[0] == pytest.approx(0.0, abs=1e-12)  # nothing is known of the first row
    np.testing.assert_allclose(model.predict_proba(X)[0], model.weights_, rtol=1e-9)
    n_free = FAMILIES[covariance_type].n_free_in_all(3, X.shape[1])
    assert model.bic(X) == pytest.approx(-2 * likelihoods.sum() + n_free * np.log(len(X)), rel=1e-9)
    assert model.icl(X) >= model.bic(X)
    np.testing.assert_array_equal(model.predict(X[:1]), [model.weights_.argmax()])  # no feature has a value there


@each_type
def test_complete_points_give_the_same_bits_as_without_the_option(covariance_type):
    X = load_iris().data
    with_option, without = fitted(X, covariance_type), fitted(X, covariance_type, missing="error")
    np.testing.assert_array_equal(with_option.means_, without.means_)
    np.testing.assert_array_equal(with_option.covariances_, without.covariances_)
    assert with_option.lower_bounds_ == without.lower_bounds_


@exhaustive
@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@settings(derandomize=True, deadline=None, max_examples=30)
@given(seed=st.integers(0, 10**6), share=st.floats(0.0, 0.8), n_features=st.integers(1, 6), accelerated=st.booleans())
def test_the_bound_never_falls(seed, share, n_features, accelerated):
    X, _ = points(80, n_features, share, seed)
    X[1] = 0.0  # so that every feature has a value
    for covariance_type in STANDARD:
        model = fitted(X, covariance_type, algorithm="auto" if accelerated else "em", reg_covar=1e-3)
        # With reg_covar added, the M-step isn't the maximum: EM's own steps may fall by about as much.
        assert np.diff(model.lower_bounds_).min(initial=0.0) > (-1e-10 if accelerated else -1e-2)


def test_one_gaussian_and_a_monotone_pattern_have_a_closed_form():
    """Anderson 1957: the regression of the second feature on the first, and the moments of all of the first."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2)) @ np.array([[1.0, 0.7], [0.0, 0.5]])
    X[250:, 1] = np.nan
    model = quietly(GaussianMixture(missing="em", reg_covar=0.0, tol=0.0, max_iter=300, algorithm="em"), X)
    both, first = X[:250], X[:, 0]
    slope = np.cov(both.T, bias=True)[0, 1] / both[:, 0].var()
    mean = both[:, 1].mean() + slope * (first.mean() - both[:, 0].mean())
    rest = both[:, 1].var() - slope**2 * both[:, 0].var()
    np.testing.assert_allclose(model.means_[0], [first.mean(), mean], rtol=1e-7)
    expected = [[first.var(), slope * first.var()], [slope * first.var(), rest + slope**2 * first.var()]]
    np.testing.assert_allclose(model.covariances_[0], expected, rtol=1e-6)


@grid("covariance_type", sorted(set(FOURTEEN) - {"VVV", "EEE", "VVI", "VII"}), quick=slice(None, None, 3))
def test_constrained_families_stay_in_themselves(covariance_type):
    X = load_iris().data.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.2] = np.nan
    model = fitted(X, covariance_type)
    assert np.diff(model.lower_bounds_).min(initial=0.0) > -1e-10
    FAMILIES[covariance_type].check(model.covariances_, 3, 4, "covariances")
    assert np.isfinite(model.impute(X)).all()


def test_threads_do_not_change_a_bit():
    X, _ = points(9000, 5)
    one, two = (fitted(X, n_threads=n, max_iter=5, algorithm="em") for n in (1, 2))
    np.testing.assert_array_equal(one.covariances_, two.covariances_)
    np.testing.assert_array_equal(one.score_samples(X), two.score_samples(X))


def _of_every_kind(X, folder):
    import dask.array
    import pyarrow

    np.save(folder / "X.npy", X)
    frame = pd.DataFrame(X, columns=list("abcd"))
    frame.to_parquet(folder / "X.parquet")
    return {
        "memory-mapped": np.load(folder / "X.npy", mmap_mode="r"),
        "path": folder / "X.npy",
        "blocks": lambda: iter(np.array_split(X, 7)),
        "Parquet": folder / "X.parquet",
        "Arrow": pyarrow.Table.from_pandas(frame),
        "pandas": frame,
        "pandas with NA": frame.convert_dtypes(),
        "by columns": np.asfortranarray(X),
        "Dask": dask.array.from_array(X, chunks=(70, 4)),
    }


def test_all_sources_give_the_same_bits(tmp_path, monkeypatch):
    from fastem.estimators import em_mixture
    from fastem.sources import incomplete

    monkeypatch.setattr(em_mixture, "_SMALL", 0)  # so that the source itself is read in every pass
    monkeypatch.setattr(incomplete, "_WINDOW", 400)  # windows of 100 rows
    X, _ = points(330)
    expected = fitted(X, max_iter=5)
    labels = expected.predict(X)
    for kind, same in _of_every_kind(X, tmp_path).items():
        model = fitted(same, max_iter=5)
        np.testing.assert_array_equal(model.covariances_, expected.covariances_, err_msg=kind)
        assert model.lower_bounds_ == expected.lower_bounds_, kind
        np.testing.assert_array_equal(np.asarray(model.predict(same)), labels, err_msg=kind)


def test_the_origin_does_not_matter():
    X, _ = points()
    X[1] = 0.0
    near, far = (fitted(X + shift, algorithm="em", reg_covar=0, max_iter=20, tol=0.0) for shift in (0.0, 2.0**27))
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-4)
    np.testing.assert_allclose(far.lower_bounds_, near.lower_bounds_, rtol=1e-6)


@grid("covariance_type", STANDARD, quick=["full"])
def test_components_far_apart(covariance_type):
    X = np.array([[0.0, 0.0], [1e8, 1e8], [1e8, np.nan], [np.nan, 0.0]])
    covariances = np.tile(np.eye(2), (2, 1, 1))
    shapes = {"full": covariances, "tied": np.eye(2), "diag": np.ones((2, 2)), "spherical": np.ones(2)}
    model = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0, 0], [1e8, 1e8]], shapes[covariance_type], covariance_type=covariance_type, missing="em"
    )
    per_feature = 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(model.score_samples(X), np.log(0.5) - per_feature * np.array([2, 2, 1, 1]), rtol=1e-12)
    np.testing.assert_array_equal(model.predict(X), [0, 1, 1, 0])
    np.testing.assert_allclose(model.impute(X)[2:], [[1e8, 1e8], [0, 0]], atol=1e-6)
    rng = np.random.default_rng(0)
    far = rng.normal(size=(300, 3)) + 1e8 * rng.integers(2, size=(300, 1))
    far[rng.random(far.shape) < 0.2] = np.nan
    model = GaussianMixture(2, covariance_type=covariance_type, missing="em", algorithm="em", random_state=0, tol=1e-9)
    bounds = quietly(model, far).lower_bounds_
    assert np.diff(bounds).min(initial=0.0) > -1e-7
    np.testing.assert_allclose(np.sort(model.means_[:, 0]), [0, 1e8], atol=0.5)


def test_a_feature_that_is_rarely_observed():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60_000, 3)) + 1000.0
    X[:-30, 2] = np.nan
    rare = X[-30:, 2]
    for n_components in (1, 2):
        model = quietly(GaussianMixture(n_components, missing="em", random_state=0), X)
        mean = model.weights_ @ model.means_[:, 2]
        assert mean == pytest.approx(rare.mean(), abs=3 * rare.std())


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_every_start_leads_to_a_mixture(init_params):
    X, _ = points()
    model = fitted(X, init_params=init_params, algorithm="em", max_iter=30)
    assert np.isfinite(model.lower_bound_)
    assert model.lower_bounds_[-1] > model.lower_bounds_[0]


def test_a_search_on_samples_takes_incomplete_rows():
    X, _ = points(60_000, 8, 0.2)
    found, textbook = fitted(X), fitted(X, algorithm="em")
    assert any(stage.n_samples < len(X) for stage in found.fit_report_.stages)
    assert found.score(X) > textbook.score(X) - 1e-3


def test_labels_of_all_points_make_a_fit_by_em():
    X, groups = points()
    model = fitted(X, labels=groups, tol=1e-10, max_iter=1000)
    now = model.weights_, model.means_, model.covariances_
    *after, bound = naive.incomplete_step(X, *now, "full", shares=naive.allowed(groups, 3))
    np.testing.assert_allclose(after[1], model.means_, atol=1e-4)
    assert bound == pytest.approx(model.lower_bound_, abs=1e-8)


def test_batches():
    X, _ = points(900)
    model = GaussianMixture(3, missing="em", random_state=0)
    for batch in np.array_split(X, 9):
        model.partial_fit(batch)
    assert model.n_samples_seen_ == 900
    assert model.score(X) > fitted(X).score(X) - 0.1


def test_a_prior_and_stochastic_assignment():
    X, _ = points()
    assert np.diff(fitted(X, prior="default").lower_bounds_).min() > -1e-9
    assert np.isfinite(fitted(X, assignment="stochastic", max_iter=20).lower_bound_)


@exhaustive
def test_select_and_cross_validation():
    X = load_penguins().data.copy()
    X[np.random.default_rng(0).random(X.shape) < 0.1] = np.nan
    for criterion in ("bic", "held_out"):
        found = quietly_selected(X, criterion)
        assert found.best_estimator_.n_components in (3, 4)
        assert found.best_estimator_.missing == "em"


def quietly_selected(X, criterion):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastem.DegenerateFitWarning)
        return fastem.select(X, range(2, 6), "tied", criterion=criterion, missing="em", random_state=0)


def test_penguins_with_those_that_were_not_measured():
    every, complete = load_penguins(incomplete=True), load_penguins()
    has_none = np.isnan(every.data).all(axis=1)
    np.testing.assert_array_equal(np.flatnonzero(has_none), [3, 271])
    np.testing.assert_array_equal(every.data[~has_none], complete.data)
    np.testing.assert_array_equal(every.target[~has_none], complete.target)
    assert every.target_names[every.target[has_none]].tolist() == ["Adelie", "Gentoo"]
    of_all = fitted(every.data, "tied", algorithm="em", tol=1e-12, max_iter=500)
    without = fitted(complete.data, "tied", algorithm="em", tol=1e-12, max_iter=500)
    np.testing.assert_allclose(
        np.sort(of_all.means_, 0), np.sort(without.means_, 0), rtol=1e-4
    )  # two rows without values say nothing


def test_a_saved_model_predicts_incomplete_rows(tmp_path):
    X, _ = points()
    model = fitted(X)
    model.save(tmp_path / "model.npz")
    again = fastem.load(tmp_path / "model.npz")
    assert again.missing == "em"
    np.testing.assert_array_equal(again.score_samples(X), model.score_samples(X))


def test_warm_start_goes_on():
    X, _ = points()
    whole = fitted(X, algorithm="em", tol=0.0, max_iter=12)
    model = GaussianMixture(3, missing="em", algorithm="em", tol=0.0, max_iter=6, random_state=0, warm_start=True)
    for _ in range(2):
        with pytest.warns(ConvergenceWarning):
            model.fit(X)
    np.testing.assert_allclose(model.means_, whole.means_, rtol=1e-9)


def test_errors_say_what_to_do():
    X, _ = points()
    with pytest.raises(ValueError, match="missing='em'"):
        GaussianMixture(3).fit(X)
    with pytest.raises(ValueError, match="missing='em'"):
        BayesianGaussianMixture(n_components=3).fit(X)
    with pytest.raises(ValueError, match="'missing' parameter"):
        GaussianMixture(3, missing="mean").fit(X)
    frame = pd.DataFrame(X, columns=list("abcd")).assign(c=np.nan)
    model = GaussianMixture(3, missing="em")
    with pytest.raises(ValueError, match="no value in column 'c': leave it out"):
        model.fit(frame)
    assert not hasattr(model, "n_features_in_")
    X[5, 1] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        model.fit(X)


def test_a_feature_without_value_in_rows_that_count():
    X, _ = points()
    weights = np.where(np.isnan(X[:, 1]), 1.0, 0.0)
    with pytest.raises(ValueError, match="no value in column 1"):
        GaussianMixture(3, missing="em").fit(X, sample_weight=weights)


@exhaustive
def test_rows_one_by_one():
    X, _ = points(60)
    model = GaussianMixture(2, missing="em", random_state=0)
    for row in X:
        quietly_partial(model, row[None])
    assert model.n_samples_seen_ == 60
    assert np.isfinite(model.score(X))


def quietly_partial(model, X):
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fastem.DegenerateFitWarning)
        model.partial_fit(X)


def test_infinity_beside_a_missing_value():
    X, _ = points()
    X[7] = [np.nan, np.inf, 0, 0]
    with pytest.raises(ValueError, match="contains infinity") as error:
        GaussianMixture(3, missing="em").fit(X)
    assert "missing=" not in str(error.value)


def test_marginals_take_missing_values_too():
    X, _ = points()
    model = fitted(X, max_iter=5)
    assert model.marginal([0, 1]).predict(X[:, :2]).shape == (200,)
    assert model.conditional([0.0, np.nan, np.nan, np.nan]).missing == "em"


def test_a_dask_frame_of_nullable_columns():
    import dask.dataframe

    X, _ = points()
    frame = pd.DataFrame(X, columns=list("abcd")).convert_dtypes()
    model = fitted(X, max_iter=5)
    model.feature_names_in_ = np.array(list("abcd"), dtype=object)
    lazy = model.predict(dask.dataframe.from_pandas(frame, npartitions=3))
    np.testing.assert_array_equal(lazy.compute(), model.predict(frame))


def test_a_value_that_vanishes_between_passes_is_an_error():
    X, _ = points()
    calls = []

    def blocks():
        calls.append(1)
        Y = X.copy()
        if len(calls) > 5:
            Y[np.flatnonzero(~np.isnan(X[:, 1]))[0], 1] = np.inf
        return iter([Y])

    from fastem.estimators import em_mixture

    with pytest.MonkeyPatch.context() as patch, pytest.raises(ValueError, match="infinity"):
        patch.setattr(em_mixture, "_SMALL", 0)
        GaussianMixture(3, missing="em", algorithm="em", tol=0.0).fit(blocks)


@pytest.mark.parametrize("n_features", [3, 70, 130])
def test_points_are_grouped_by_what_they_lack(n_features):
    rng = np.random.default_rng(0)
    missing = rng.random((6, n_features)) < 0.5
    which = rng.integers(6, size=100)
    X = np.where(missing[which], np.nan, 1.0)
    patterns = patterns_of(X)
    assert len(patterns.observed) == len(np.unique(missing[which], axis=0))
    assert sorted(patterns.order) == list(range(100))
    for rows, observed in patterns.groups():
        assert (np.diff(rows) > 0).all()
        assert (np.isnan(X[rows]) == ~observed).all()


def test_draws_of_several_windows(monkeypatch):
    X, _ = points(330)
    model = fitted(X, max_iter=5)
    whole = model.impute(X, n_draws=2, random_state=0)
    monkeypatch.setattr(fastem.sources.incomplete, "_WINDOW", 400)
    parts = model.impute(X, n_draws=2, random_state=0)
    assert np.isfinite(parts).all()
    np.testing.assert_array_equal(parts[:, ~np.isnan(X)], np.broadcast_to(X[~np.isnan(X)], (2, (~np.isnan(X)).sum())))
    np.testing.assert_allclose(parts.mean(axis=(0, 1)), whole.mean(axis=(0, 1)), atol=0.5)


# -- MixtureImputer ----------------------------------------------------------------------------------------------------


@exhaustive
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("estimator", [MixtureImputer(), GaussianMixture(missing="em")])
def test_scikit_learns_checks(estimator):
    check_estimator(estimator)


def _common_tests():
    """scikit-learn's tests of all imputers, for this one; those of strings and sparse matrices left out."""
    path = Path(importlib.util.find_spec("sklearn.impute").origin).parent / "tests" / "test_common.py"
    source = path.read_text(encoding="utf-8")
    head, _, rest = source.partition("def imputers():")
    _, _, rest = rest.partition("def sparse_imputers():")
    ours = (
        "from fastem import MixtureImputer\ndef imputers():\n    return [MixtureImputer()]\n\n\ndef sparse_imputers():"
    )
    namespace = {"__name__": "sklearn_impute_test_common"}
    exec(compile(head + ours + rest, str(path), "exec"), namespace)
    tests = {name: value for name, value in namespace.items() if name.startswith("test_")}
    return {f"{name}_of_imputers": value for name, value in tests.items() if "sparse" not in name}


globals().update({name: pytest.mark.filterwarnings("ignore")(test) for name, test in _common_tests().items()})


def test_the_imputer_fills_in_what_its_mixture_expects():
    X, _ = points()
    imputer = MixtureImputer(GaussianMixture(3, random_state=0)).fit(X)
    filled = imputer.transform(X)
    np.testing.assert_array_equal(filled, imputer.mixture_.impute(X))
    np.testing.assert_array_equal(filled[~np.isnan(X)], X[~np.isnan(X)])
    frame = pd.DataFrame(X, columns=list("abcd"))
    assert list(MixtureImputer(random_state=0).set_output(transform="pandas").fit_transform(frame)) == list("abcd")


def test_a_failed_fit_leaves_the_imputer():
    X, _ = points()
    imputer = MixtureImputer(GaussianMixture(3, random_state=0)).fit(pd.DataFrame(X, columns=list("abcd")))
    with pytest.raises(ValueError, match="n_components"):
        imputer.fit(pd.DataFrame(X[1:3, :2], columns=["p", "q"]))
    assert imputer.transform(pd.DataFrame(X, columns=list("abcd"))).shape == X.shape


def test_the_imputer_does_not_depend_on_the_unit():
    X, _ = points()
    one, other = (MixtureImputer(random_state=0).fit_transform(X * unit) / unit for unit in (1.0, 2.0**-20))
    np.testing.assert_allclose(other, one, rtol=1e-6)


def test_the_imputer_is_nearer_to_hidden_values_than_neighbours():
    X = load_penguins().data
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    hidden = np.random.default_rng(0).random(X.shape) < 0.2
    incomplete = np.where(hidden, np.nan, X)

    def error(imputer):
        return np.sqrt(np.mean((imputer.fit_transform(incomplete) - X)[hidden] ** 2))

    assert error(MixtureImputer(random_state=0)) < 0.95 * error(KNNImputer())
