"""What models and reports show of themselves: tables, orders, HTML, and the package its names."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

import fastem
import fastem.selection
from fastem import BayesianGaussianMixture, GaussianMixture
from fastem.datasets import load_faithful
from fastem.model.families import FAMILIES, STANDARD

from .fits import fitted, points, quietly
from .grids import grid

X, _ = points(400, n_features=3)
FRAME = pd.DataFrame(X, columns=["length", "width", "height"])


# -- the package ------------------------------------------------------------------------------------------------------


def test_the_package_shows_its_public_names_and_nothing_else():
    assert dir(fastem) == sorted(fastem.__all__)
    assert {"callbacks", "datasets", "plotting", "sources", "__version__", "GaussianMixture", "select"} <= {
        *dir(fastem)
    }
    assert not [name for name in dir(fastem) if name.startswith("_") and name != "__version__"]
    for name in dir(fastem):
        assert getattr(fastem, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'importer'"):
        fastem.importer  # noqa: B018


def test_submodules_are_there_without_an_import_of_their_own():
    code = (
        "import sys, fastem; early = set(sys.modules); fastem.callbacks.Frames; fastem.datasets.load_faithful;"
        "print({'matplotlib', 'pandas', 'dask', 'sklearn', 'numba', 'numpy'} & early)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_the_version_stands_in_one_place(tmp_path):
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", fastem.__version__)
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    assert "version" not in project["project"] and project["project"]["dynamic"] == ["version"]
    assert project["tool"]["hatch"]["version"] == {"path": "fastem/_version.py"}
    fitted(X).save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        assert f'"written_by": "fastem {fastem.__version__}"' in str(file["header"])


# -- summary, n_parameters_ -------------------------------------------------------------------------------------------


@grid("covariance_type", [*STANDARD, "VEI", "EEV"], quick=STANDARD)
def test_summary_has_weights_means_and_deviations(covariance_type):
    model = quietly(GaussianMixture(3, covariance_type=covariance_type, random_state=0), FRAME)
    table = model.summary()
    columns = [f"{what}_{name}" for name in FRAME.columns for what in ("mean", "std")]
    assert list(table.columns) == ["weight", *columns] and list(table.index) == [0, 1, 2]
    matrices = FAMILIES[covariance_type].matrices(model.covariances_, 3, 3)
    assert_array_equal(table["weight"], model.weights_)
    for j, name in enumerate(FRAME.columns):
        assert_array_equal(table[f"mean_{name}"], model.means_[:, j])
        assert_allclose(table[f"std_{name}"], np.sqrt([matrix[j, j] for matrix in matrices]), rtol=1e-12)


def test_summary_without_names_and_without_pandas(monkeypatch):
    model = fitted(X)
    assert list(model.summary().columns[:3]) == ["weight", "mean_x0", "std_x0"]
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"pandas is needed for this: pip install 'fastem\[pandas\]'"):
        model.summary()
    with pytest.raises(NotFittedError):
        GaussianMixture().summary()


@pytest.mark.parametrize("covariance_type", STANDARD)
def test_n_parameters_are_those_that_bic_counts(covariance_type):
    model = fitted(X, covariance_type=covariance_type)
    of_covariances = {"full": 3 * 6, "tied": 6, "diag": 3 * 3, "spherical": 3}[covariance_type]
    assert model.n_parameters_ == 2 + 3 * 3 + of_covariances
    assert isinstance(model.n_parameters_, int)
    assert model.bic(X) + 2 * 400 * model.score(X) == pytest.approx(model.n_parameters_ * np.log(400))
    assert not hasattr(GaussianMixture(), "n_parameters_")
    assert quietly(BayesianGaussianMixture(n_components=3, random_state=0), X).n_parameters_ > 0


# -- sorted -----------------------------------------------------------------------------------------------------------


@grid("covariance_type", [*STANDARD, "VVE"], quick=["full", "tied"])
@pytest.mark.parametrize("by", ["weight", "mean", "width", 2, [2, 0, 1]])
def test_sorted_is_the_same_mixture_in_another_order(covariance_type, by):
    model = quietly(GaussianMixture(3, covariance_type=covariance_type, random_state=0), FRAME)
    before = model.means_.copy()
    result = model.sorted(by)
    keys = {
        "weight": lambda: -result.weights_, "mean": lambda: result.means_[:, 0], "width": lambda: result.means_[:, 1],
        "2": lambda: result.means_[:, 2],
    }  # fmt: skip
    if isinstance(by, list):
        assert_array_equal(result.means_, model.means_[by])
    else:
        assert (np.diff(keys[str(by)]()) >= 0).all()
    assert_allclose(result.score_samples(FRAME), model.score_samples(FRAME), rtol=1e-12)
    assert_allclose(result.means_[result.predict(FRAME)], model.means_[model.predict(FRAME)])
    assert result.bic(FRAME) == pytest.approx(model.bic(FRAME), rel=1e-12)
    assert_array_equal(model.means_, before)  # a copy was sorted


def test_seeds_that_find_the_same_mixture_sort_to_the_same():
    X = load_faithful().data
    found = [GaussianMixture(2, random_state=seed, tol=1e-9, max_iter=1000).fit(X) for seed in range(6)]
    assert len({tuple(np.argsort(model.weights_)) for model in found}) == 2  # else this shows nothing
    for model in found:
        assert_allclose(model.sorted().means_, found[0].sorted().means_, rtol=1e-3)


@pytest.mark.parametrize("by", ["weight", [1, 0, 2]])
def test_a_sorted_posterior(by):
    prior = "dirichlet_distribution"
    model = BayesianGaussianMixture(n_components=3, weight_concentration_prior_type=prior, random_state=0)
    model = quietly(model, X)
    result = model.sorted(by)
    assert_allclose(result.predict_proba(X)[:, np.argsort(model._order(by))], model.predict_proba(X), atol=1e-12)
    assert_array_equal(result.mean_precision_, model.mean_precision_[model._order(by)])
    process = quietly(BayesianGaussianMixture(n_components=3, random_state=0), X)
    with pytest.raises(ValueError, match=r"Dirichlet process can't be reordered.*'dirichlet_distribution'"):
        process.sorted()


@pytest.mark.parametrize(
    ("by", "match"),
    [
        ("depth", "by should be 'weight', 'mean' or a feature: .*'depth'.*length, width, height"),
        (3, "by should be 'weight', 'mean' or a feature"),
        ([0, 1], "by should have each number from 0 to 2 once"),
        ([0, 0, 1], "by should have each number from 0 to 2 once"),
    ],
)
def test_orders_that_there_are_not(by, match):
    with pytest.raises(ValueError, match=match):
        quietly(GaussianMixture(3, random_state=0), FRAME).sorted(by)


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_a_sorted_report_counts_anew():
    points = np.r_[X, np.repeat([[50.0, 50, 50]], 5, axis=0)]
    model = quietly(GaussianMixture(4, random_state=0), points)
    (bad,) = model.fit_report_.degenerate
    result = model.sorted([*(k for k in range(4) if k != bad), bad])
    assert result.fit_report_.degenerate == [3] and model.fit_report_.degenerate == [bad]
    assert all("numbered as before" in note for note in result.fit_report_.notes)
    assert quietly(result.set_params(warm_start=True), points).n_iter_ >= 1


# -- notebooks --------------------------------------------------------------------------------------------------------


def test_a_model_shows_its_components_below_its_parameters():
    model = GaussianMixture(2, random_state=0)
    assert "standard deviation" not in model._repr_html_() and "n_components" in model._repr_html_()
    model.fit(FRAME.rename(columns={"width": "<b>"}), labels=np.where(X[:, 0] > 2, "tall", "small"))
    html, table = model._repr_html_(), model._html()
    assert html.endswith(table) and "n_components" in html
    for text in ("length", "&lt;b&gt;", "tall", "small", f"{model.weights_[0]:.4f}", "converged after 1 iteration"):
        assert text in table
    assert table.count("<tr>") == 3 and "<b>" not in table
    assert model._repr_mimebundle_()["text/html"].endswith(table)
    with sklearn.config_context(display="text"):
        assert not hasattr(model, "_repr_html_") and "text/html" not in model._repr_mimebundle_()


def test_many_components_and_features_are_cut():
    rng = np.random.default_rng(0)
    means = rng.normal(size=(40, 12))
    model = GaussianMixture.from_parameters(np.full(40, 1 / 40), means, np.ones((40, 12)), covariance_type="diag")
    html = model._html()
    assert html.count("<tr>") == 1 + 30
    assert "The 30 heaviest of 40 components" in html and "The first 10 of 12 features" in html


def test_a_fit_report_is_a_table():
    report = fitted(X).fit_report_
    assert repr(report) == str(report)
    html = report._repr_html_()
    assert html.count("<tr>") == 1 + len(report.stages)
    for stage in report.stages:
        assert f">{stage.name}<" in html and f">{stage.lower_bound:.6f}<" in html
