"""Bad input gets an error that names the argument and the remedy, before any work, and leaves the estimator alone."""

import os
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

from fastem import GaussianMixture

from .data_sets import COVARIANCE_TYPES


@pytest.fixture
def X():
    return np.random.default_rng(0).normal(size=(200, 2))


def with_value(X, rows, value):
    X = X.copy()
    X[rows, 1] = value
    return X


def state(model):
    return {name: value for name, value in vars(model).items()}


def refuses(model, error, match, X, **kwargs):
    """fit raises, and the model is as it was."""
    before = state(model)
    with pytest.raises(error, match=match):
        model.fit(X, **kwargs)
    after = state(model)
    assert after.keys() == before.keys()
    assert all(after[name] is before[name] for name in before)


@pytest.mark.parametrize(
    ("change", "error", "match"),
    [
        (lambda X: with_value(X, [7, 9, 30], np.nan), ValueError, r"contains NaN.\n3 rows hold.*first is row 7"),
        (lambda X: with_value(X, 150, np.inf), ValueError, r"contains infinity.\n1 row holds.*first is row 150"),
        (lambda X: with_value(X, 150, -np.inf).astype(np.float32), ValueError, "infinity"),
        (lambda X: with_value(X, 3, np.nan).astype(np.float16), ValueError, "NaN.*\n.*first is row 3"),
        (lambda X: X[:0], ValueError, r"0 sample\(s\)"),
        (lambda X: X[:, :0], ValueError, r"0 feature\(s\)"),
        (lambda X: X[:, 0], ValueError, "Expected 2D array, got 1D array instead"),
        (lambda X: X[None], ValueError, "dim 3"),
        (lambda X: X[0, 0], ValueError, "scalar"),
        (lambda X: np.full((5, 2), "a"), ValueError, "convert|numeric"),
        (lambda X: np.full((5, 2), {}), TypeError, "dict"),
        (lambda X: X + 1j, ValueError, "Complex data not supported"),
        (scipy.sparse.csr_array, TypeError, "Sparse data was passed"),
        (lambda X: X[:2], ValueError, "Expected n_samples >= n_components but got n_components = 3, n_samples = 2"),
    ],
)
@pytest.mark.parametrize("fitted", [False, True])
def test_points(X, change, error, match, fitted):
    model = GaussianMixture(3, random_state=0)
    if fitted:
        model.fit(X)
    refuses(model, error, match, change(X))


DATES = np.arange("2020-01-01", "2020-07-19", dtype="M8[D]").reshape(200, 1)
NOT_NUMBERS = {
    "masked": (lambda X: np.ma.masked_inside(X, 2, 3), "masked values in 6 rows, the first is row 39. Drop"),
    "masked int": (lambda X: np.ma.masked_equal(np.arange(400).reshape(200, 2), 21), "in 1 row, the first is row 10"),
    "rows masked": (lambda X: list(np.ma.masked_inside(X, 2, 3)), "masked values in 6 rows, the first is row 39"),
    "dates": (lambda X: DATES, r" should hold real numbers, but has dtype datetime64\[D\]. Convert it.* are days"),
    "NaT": (lambda X: np.where(DATES[198] > DATES, DATES, np.datetime64("NaT")), "NaT in 2 rows, the first is row 198"),
    "spans": (lambda X: DATES - DATES[0], r"has dtype timedelta64\[D\].* are seconds"),
    "spans, NaT": (lambda X: with_value(np.repeat(DATES - DATES[0], 2, axis=1), 7, "NaT"), "NaT in 1 row.* is row 7"),
    "object": (lambda X: [[1.5, np.datetime64("NaT")]] * 200, "datetime64.*NaT in 200 rows, the first is row 0"),
    "a column": (
        lambda X: pd.DataFrame({"a": X[:, 0], "day": DATES[:, 0]}),
        r" should hold real numbers, but has dtype datetime64\[s\] in column 'day'",
    ),
    "a column with NaT": (
        lambda X: pd.DataFrame({"span": pd.Series(DATES[:, 0]).diff()}),
        r"has dtype timedelta64\[.*\] in column 'span'.*NaT in 1 row, the first is row 0",
    ),
    "a column with a zone": (
        lambda X: pd.DataFrame({"day": pd.Series(DATES[:, 0]).dt.tz_localize("UTC")}),
        r"has dtype datetime64\[s, UTC\] in column 'day'",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_NUMBERS)
def test_what_numpy_would_take_for_numbers(X, name):
    make, match = NOT_NUMBERS[name]
    values = make(X)
    refuses(GaussianMixture(1), ValueError, f"^X.*{match}", values)
    refuses(GaussianMixture(1), ValueError, f"^block 0.*{match}", lambda: [values])
    model = GaussianMixture(1).fit(X)
    for method in ("predict", "score", "partial_fit"):
        with pytest.raises(ValueError, match=f"^X.*{match}"):
            getattr(model, method)(values)


def test_masked_arrays_without_masked_values_are_arrays(X):
    model = GaussianMixture(2, random_state=0).fit(np.ma.array(X))
    assert (model.means_ == GaussianMixture(2, random_state=0).fit(X).means_).all()
    assert (model.predict(np.ma.masked_greater(X, 1e9)) == model.predict(X)).all()


def test_masked_values_of_other_arguments(X):
    weights = np.ma.masked_equal(np.arange(200.0), 7)
    refuses(GaussianMixture(2), ValueError, "sample_weight: masked values in 1 row, the first is row 7.*0 to", X,
            sample_weight=weights)  # fmt: skip
    refuses(GaussianMixture(2, means_init=np.ma.masked_equal([[0.0, 1], [2, 3]], 2)), ValueError, "means_init", X)
    model = GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="sample_weight: masked"):
        model.score(X, sample_weight=weights)


def test_a_huge_finite_value_is_no_infinity(X):
    # its sum overflows
    GaussianMixture(1).fit(with_value(X.astype(np.float64), [0, 1], 1e150))


@pytest.mark.parametrize(
    ("params", "match"),
    [
        ({"n_components": 0}, "'n_components' parameter of GaussianMixture must be an int"),
        ({"n_components": 2.5}, "'n_components'"),
        ({"n_components": "2"}, "'n_components'"),
        ({"tol": -1e-3}, "'tol'"),
        ({"reg_covar": -1.0}, "'reg_covar'"),
        ({"max_iter": -1}, "'max_iter'"),
        ({"n_init": 0}, "'n_init'"),
        ({"covariance_type": "round"}, "'covariance_type'"),
        ({"init_params": "best"}, "'init_params'"),
        ({"assignment": "firm"}, "'assignment'"),
        ({"forgetting": 1.5}, "'forgetting'"),
        ({"algorithm": "fast"}, "'algorithm'"),
        ({"n_threads": 0}, "'n_threads'"),
        ({"random_state": np.random.default_rng(0)}, "'random_state'"),
        ({"weights_init": [0.5, 0.6]}, "normalized"),
        ({"weights_init": [0.5, 0.5 + 1e-7]}, "normalized"),
        ({"weights_init": [1.5, -0.5]}, r"range \[0, 1\]"),
        ({"weights_init": [1.0]}, r"'weights' should have the shape of \(2,\)"),
        ({"weights_init": [np.nan, 1.0]}, "weights_init contains NaN"),
        ({"means_init": np.zeros((2, 3))}, r"'means' should have the shape of \(2, 2\)"),
        ({"means_init": [[0, 0], [0, np.inf]]}, "means_init contains infinity"),
        ({"precisions_init": np.eye(2)}, r"'full precision' should have the shape of \(2, 2, 2\)"),
        ({"precisions_init": [np.eye(2), [[1, 2], [0, 1]]]}, "symmetric, positive-definite.*component 1"),
        ({"precisions_init": [np.eye(2), -np.eye(2)]}, "symmetric, positive-definite.*component 1"),
        ({"precisions_init": [-1.0, 2], "covariance_type": "spherical"}, "should be positive.*component 0"),
        ({"precisions_init": [[1, 2], [0, 1]], "covariance_type": "diag"}, "should be positive.*component 1"),
        ({"precisions_init": -np.eye(2), "covariance_type": "tied"}, "symmetric, positive-definite"),
        ({"precisions_init": [[1e-9, 1e-10], [0, 1e-9]], "covariance_type": "tied"}, "symmetric, positive-definite"),
    ],
)
def test_parameters(X, params, match):
    refuses(GaussianMixture(**{"n_components": 2, **params}), ValueError, match, X)


@pytest.mark.parametrize(
    ("labels", "error", "match"),
    [
        (np.zeros(199, int), ValueError, r"labels should have the shape \(200,\)"),
        (np.zeros((200, 1), int), ValueError, "shape"),
        (np.full(200, 0.5), ValueError, "integers"),
        (
            np.full(200, 2),
            ValueError,
            r"labels should be from 0 to n_components - 1 = 1, or -1 for unknown, but they are from",
        ),
        (
            np.full(200, -2),
            ValueError,
            r"labels should be from 0 to n_components - 1 = 1, or -1 for unknown, but they are from",
        ),
        (np.zeros(200, int), ValueError, "labels give component 1 no point, and no point is unlabelled"),
        (np.ones((200, 3)), ValueError, r"of two dimensions, .* should have the shape \(200, 2\).* but got \(200, 3\)"),
        (np.r_[np.zeros((1, 2)), np.ones((199, 2))], ValueError, r"row 0 is \[0. 0.\]"),
        (np.r_[np.ones((199, 2)), [[1.0, -1]]], ValueError, "not negative.*row 199"),
        (np.r_[np.ones((199, 2)), [[1.0, np.nan]]], ValueError, "finite.*row 199"),
    ],
)
def test_labels(X, labels, error, match):
    refuses(GaussianMixture(2), error, match, X, labels=labels)


@pytest.mark.parametrize(
    ("weights", "match"),
    [
        (np.ones(3), "sample_weight"),
        (-np.ones(200), "[Nn]egative"),
        (np.zeros(200), "[Ss]ample.weight"),
        (np.r_[1.0, np.zeros(199)], "positive for n_components = 2 points or more, but is for 1: lower"),
        (np.r_[np.nan, np.ones(199)], "NaN"),
        (np.ones(200, "m8[s]"), "sample_weight should hold real numbers, but has dtype timedelta64.s."),
    ],
)
def test_sample_weight(X, weights, match):
    refuses(GaussianMixture(2), ValueError, match, X, sample_weight=weights)


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_collapse_names_component_and_time(covariance_type):
    X = np.repeat([[0.0, 1], [2, 3]], 5, axis=0)
    start = {"means_init": X[[0, 9, 9]] + [[0.0], [0], [50]], "weights_init": [0.4, 0.4, 0.2]}
    model = GaussianMixture(3, covariance_type=covariance_type, reg_covar=0, init_params="random", **start)
    model.set_params(random_state=0, precisions_init=_unit_precisions(covariance_type, 3))
    fitted = GaussianMixture(3, covariance_type=covariance_type, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted.fit(X + np.random.default_rng(0).normal(size=X.shape))
    before = fitted.means_
    fitted.set_params(**model.get_params())
    which = "common covariance" if covariance_type == "tied" else r"Component \d"
    with pytest.raises(
        ValueError, match=f"ill-defined empirical covariance.*increase reg_covar.*{which} collapsed at iter"
    ):
        fitted.fit(X)
    assert fitted.means_ is before


def _unit_precisions(covariance_type, n_components):
    return {
        "full": np.tile(np.eye(2), (n_components, 1, 1)),
        "tied": np.eye(2),
        "diag": np.ones((n_components, 2)),
        "spherical": np.ones(n_components),
    }[covariance_type]


@pytest.mark.parametrize("method", ["predict", "predict_proba", "score_samples", "score", "bic", "aic"])
def test_prediction(X, method):
    model = GaussianMixture(2, random_state=0).fit(X)
    with pytest.raises(ValueError, match="first is row 4"):
        getattr(model, method)(with_value(X, 4, np.nan))
    with pytest.raises(ValueError, match="X has 1 features, but GaussianMixture is expecting 2"):
        getattr(model, method)(X[:, :1])


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_an_interrupt_comes_through_within_a_second_and_changes_nothing():
    """A second of the processor's time, which other processes don't take from it."""
    # A shell's background job starts with SIGINT ignored, and Python then leaves it so.
    script = """
import os, signal, threading, time, warnings
import numpy as np
from fastem import GaussianMixture
from sklearn.base import clone
signal.signal(signal.SIGINT, signal.default_int_handler)
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(400_000, 16))
model = GaussianMixture(2, max_iter=2, tol=0, random_state=0).fit(X[:1000])
means = model.means_
model.set_params(n_components=64, init_params="random")
clone(model).fit(X[:5000])  # an interrupt while kernels are loaded may be lost in a weak reference's callback
model.set_params(max_iter=10_000)
sent = []

def interrupt():
    sent.append(time.process_time())
    os.kill(os.getpid(), signal.SIGINT)

threading.Timer(0.5, interrupt).start()
try:
    model.fit(X)
except KeyboardInterrupt:
    print("interrupted", time.process_time() - sent[0] < 1, model.means_ is means, model.n_iter_, flush=True)
"""
    environment = {**os.environ, "NUMBA_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=600)
    assert (done.stdout, done.stderr) == ("interrupted True True 2\n", "")
