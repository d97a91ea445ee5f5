"""An error about a table names its column: text, dates, missing values."""

import datetime

import numpy as np
import pandas as pd
import pytest

from fastem import GaussianMixture, MixtureImputer
from fastem.sources import BlockSource, SourceError

from .fits import fitted, mixture, points, quietly

X, _ = points(100, n_features=3)
FRAME = pd.DataFrame(X, columns=["length", "width", "height"])
NUMERIC = "columns of numbers are 'length', 'width', 'height'"


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            ["auk"] * 100,
            r"column 'kind' holds text: 'auk' in row 0\. Leave it out, or turn it .*; " + NUMERIC,
        ),
        ([1.5, "2", None, "x", *[3] * 96], "column 'kind' holds text: 'x' in row 3"),
        (pd.Categorical(["a", "b"] * 50), "column 'kind' holds text: 'a' in row 0"),
        (pd.array([None, "a", *["b"] * 98], dtype="string"), "column 'kind' holds text: 'a' in row 1"),
        ([datetime.date(2024, 1, 1)] * 100, "column 'kind' holds values of type date: datetime.date"),
        (pd.date_range("2024-01-01", periods=100), r"dtype datetime64\[.*\] in column 'kind'"),
        (pd.to_timedelta(range(100), "s"), r"dtype timedelta64\[.*\] in column 'kind'"),
        ([0.5] * 70 + [np.nan] + [0.5] * 29, "1 row holds NaN or infinity, the first is row 70.*, in column 'kind'"),
        ([0.5] * 70 + [np.inf] * 30, "30 rows hold NaN or infinity, the first is row 70.*, in column 'kind'"),
    ],
)
@pytest.mark.parametrize("source", [lambda frame: frame, lambda frame: lambda: [frame]], ids=["frame", "blocks"])
def test_the_column_is_named(source, values, said):
    X = source(FRAME.assign(kind=values))
    with pytest.raises(SourceError, match=said):
        mixture().fit(X)
    model = fitted(FRAME.assign(kind=0.5 * FRAME["length"] ** 2))
    for method in ("predict", "score", "predict_proba"):
        with pytest.raises(SourceError, match=said):
            getattr(model, method)(X)


def test_several_columns_of_text_are_listed():
    bad = FRAME.assign(id="a", kind="b")[["id", "length", "kind"]]
    said = r"columns 'id', 'kind' hold text: 'a' in row 0. Leave them out,.* of numbers are 'length'\."
    with pytest.raises(SourceError, match=said):
        mixture().fit(bad)
    with pytest.raises(SourceError, match="no column holds numbers"):
        mixture().fit(bad[["id", "kind"]])


def test_imputers_name_it_too():
    bad = FRAME.assign(kind="auk")
    model = quietly(GaussianMixture(2, random_state=0), FRAME.assign(kind=X[:, 0] ** 2))
    for call in (lambda: MixtureImputer().fit(bad), lambda: model.impute(bad)):
        with pytest.raises(SourceError, match="column 'kind' holds text: 'auk' in row 0"):
            call()


def test_columns_that_are_numbers_in_disguise_are_taken():
    """Objects, nullable numbers, booleans and numbers as text, as scikit-learn takes them."""
    frame = FRAME.assign(
        a=FRAME["length"].astype(object), b=pd.array(range(100), dtype="Int64"), c=[True, False] * 50,
        d=pd.array(X[:, 1], dtype="Float32"),
    )  # fmt: skip
    model = quietly(GaussianMixture(2, random_state=0, covariance_type="diag"), frame)
    assert model.n_features_in_ == 7
    same = quietly(GaussianMixture(2, random_state=0, covariance_type="diag"), frame.astype(float))
    np.testing.assert_allclose(model.means_, same.means_, rtol=1e-6)


def test_infinity_is_named_where_values_may_be_missing():
    bad = FRAME.copy()
    bad.loc[3, "length"], bad.loc[7, "height"] = np.nan, np.inf
    with pytest.raises(SourceError, match="1 row holds NaN or infinity, the first is row 7, in column 'height'"):
        mixture(missing="em").fit(bad)


def test_dask_names_it():
    dataframe = pytest.importorskip("dask.dataframe")
    bad = FRAME.copy()
    bad.loc[60, "width"] = np.nan
    frame = dataframe.from_pandas(bad, npartitions=3)
    with pytest.raises(SourceError, match=r"\(row 60 of all\), in column 'width'\."):
        mixture().fit(frame)


def test_points_without_names_have_no_column():
    bad = X.copy()
    bad[5, 1] = np.nan
    for source in (bad, BlockSource(lambda: [bad])):
        with pytest.raises(SourceError, match=r"the first is row 5( of block 0 \(row 5 of all\))?\.\n"):
            mixture().fit(source)
