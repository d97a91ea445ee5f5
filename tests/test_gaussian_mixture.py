"""The estimator as its users meet it, beyond what scikit-learn's own tests ask for."""

import copy
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastem import GaussianMixture
from fastem.callbacks import Frames
from fastem.estimators.callback_protocol import OwnCallbackSupportMixin
from fastem.model.families import FAMILIES

from . import data_sets
from .grids import grid

COVARIANCE_TYPES = data_sets.COVARIANCE_TYPES
each_type = grid("covariance_type", COVARIANCE_TYPES, quick=["tied", "diag"])
PARAMETERS = ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_")


def scikit_learns_checks():
    for estimator in (GaussianMixture(), GaussianMixture(covariance_type="tied", init_params="random")):
        for instance, check in estimator_checks_generator(estimator):
            yield pytest.param(instance, check, id=f"{estimator.covariance_type}-{check.func.__name__}")


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize(("estimator", "check"), list(scikit_learns_checks()))
def test_scikit_learns_checks(estimator, check):
    check(estimator)


def quietly(model, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(*args, **kwargs)


def three_groups(n_samples=600, n_features=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n_samples)
    spread = rng.uniform(0.5, 1.5, size=(3, n_features))
    return rng.normal(size=(n_samples, n_features)) * spread[labels] + 4.0 * labels[:, None], labels


def assert_same_fit(one, other, rtol=1e-9):
    for name in PARAMETERS:
        expected = getattr(other, name)
        assert_allclose(getattr(one, name), expected, rtol=rtol, atol=rtol * np.abs(expected).max(), err_msg=name)


# -- published and closed-form numbers ----------------------------------------------------------------------------


def test_old_faithful_reaches_mclusts_log_likelihood():
    X, _ = data_sets.load("faithful")
    model = GaussianMixture(2, tol=1e-10, max_iter=1000, random_state=0).fit(X)
    assert len(X) * model.score(X) == pytest.approx(-1130.264, abs=1e-3)


@each_type
def test_one_component_is_the_mean_and_covariance(covariance_type):
    X, _ = data_sets.load("iris")
    model = GaussianMixture(1, covariance_type=covariance_type, reg_covar=0).fit(X)
    covariance = np.cov(X.T, bias=True)
    expected = {
        "full": covariance[None],
        "tied": covariance,
        "diag": covariance.diagonal()[None],
        "spherical": covariance.diagonal().mean()[None],
    }[covariance_type]
    assert_allclose(model.means_, X.mean(axis=0)[None], rtol=1e-13)
    assert_allclose(model.covariances_, expected, rtol=1e-12)
    assert_array_equal(model.weights_, [1.0])
    assert model.n_iter_ == 2


@each_type
def test_known_labels_are_one_m_step(covariance_type):
    """The mission's first case: a mean, a covariance and a share per group."""
    from . import naive

    X, labels = three_groups()
    model = GaussianMixture(3, covariance_type=covariance_type).fit(X, labels=labels)
    responsibilities = np.eye(3)[labels]
    weights, means, covariances = naive.m_step(X, responsibilities, covariance_type, reg_covar=1e-6)
    assert_allclose(model.weights_, weights, rtol=1e-12)
    assert_allclose(model.means_, means, rtol=1e-12)
    assert_allclose(model.covariances_, covariances, rtol=1e-10, atol=1e-12)
    assert (model.n_iter_, model.converged_) == (1, True)
    own = naive.log_densities(X, weights, means, covariances, covariance_type)[np.arange(len(X)), labels]
    assert model.lower_bounds_ == [pytest.approx(own.mean(), rel=1e-12)]
    assert model.lower_bound_ == model.lower_bounds_[0]


def test_known_labels_with_weights_and_far_from_the_origin():
    X, labels = three_groups()
    weights = np.random.default_rng(1).integers(0, 4, len(X)).astype(float)
    model = GaussianMixture(3).fit(X + 1e8, sample_weight=weights, labels=labels)
    repeated = np.repeat(np.arange(len(X)), weights.astype(int))
    expected = GaussianMixture(3).fit(X[repeated], labels=labels[repeated])
    assert_allclose(model.covariances_, expected.covariances_, rtol=1e-6, atol=1e-6)
    assert_allclose(model.means_ - 1e8, expected.means_, rtol=1e-6)


# -- invariants ---------------------------------------------------------------------------------------------------


@each_type
@grid("name", data_sets.NAMES, quick=["wine"])
def test_the_lower_bound_never_falls(name, covariance_type):
    X, n_components = data_sets.load(name)
    model = GaussianMixture(
        n_components, covariance_type=covariance_type, reg_covar=0, tol=1e-12, max_iter=60, init_params="random",
        random_state=1,
    )  # fmt: skip
    bounds = np.array(quietly(model, X).lower_bounds_)
    assert np.all(np.diff(bounds) >= -1e-13 * np.abs(bounds[1:]))


@grid("covariance_type", COVARIANCE_TYPES, quick=["tied"])
def test_the_same_bits_for_any_number_of_threads(covariance_type):
    X = np.concatenate([three_groups(30_000, 5, seed)[0] for seed in range(3)])
    fits = [
        quietly(GaussianMixture(3, covariance_type=covariance_type, random_state=0, max_iter=5, n_threads=n), X)
        for n in (1, 2, None)
    ]
    for fit in fits[1:]:
        for name in (*PARAMETERS, "lower_bounds_"):
            assert_array_equal(getattr(fit, name), getattr(fits[0], name))
        assert_array_equal(fit.predict_proba(X), fits[0].predict_proba(X))


@each_type
@pytest.mark.parametrize("shift", [1e6, 1e8])
def test_data_far_from_the_origin(covariance_type, shift):
    X, _ = three_groups()
    X = np.round(X * 2**20) / 2**20  # so that the shifted data are the same to the bit where they can be
    start = data_sets.start(X, 3, covariance_type)
    near = quietly(GaussianMixture(3, covariance_type=covariance_type, tol=0, max_iter=60, **start), X)
    start["means_init"] = start["means_init"] + shift
    far = quietly(GaussianMixture(3, covariance_type=covariance_type, tol=0, max_iter=60, **start), X + shift)
    rounding = shift * 2.0**-50
    assert_allclose(far.lower_bounds_, near.lower_bounds_, rtol=1e-9 + rounding)
    assert_allclose(far.means_ - shift, near.means_, atol=1e-8 + 10 * rounding)
    assert_allclose(far.covariances_, near.covariances_, rtol=1e-8 + 100 * rounding, atol=1e-8 + 100 * rounding)


@each_type
def test_scaling_scales_the_fit(covariance_type):
    X, _ = three_groups()
    factor = 2.0**-40 if covariance_type == "spherical" else 2.0 ** np.array([-40, 0, 30])
    start = data_sets.start(X, 3, covariance_type)
    params = {"covariance_type": covariance_type, "reg_covar": 0, "tol": 0, "max_iter": 20}
    model = quietly(GaussianMixture(3, **params, **start), X)
    start["means_init"] = start["means_init"] * factor
    outer = np.outer(1 / np.broadcast_to(factor, 3), 1 / np.broadcast_to(factor, 3))
    scale = {"full": outer, "tied": outer, "diag": factor**-2.0, "spherical": factor**-2.0}[covariance_type]
    start["precisions_init"] = start["precisions_init"] * scale
    scaled = quietly(GaussianMixture(3, **params, **start), X * factor)
    assert_allclose(scaled.means_, model.means_ * factor, rtol=1e-11)
    assert_allclose(scaled.covariances_ * scale, model.covariances_, rtol=1e-9, atol=1e-12)
    assert_allclose(scaled.weights_, model.weights_, rtol=1e-11)


@each_type
def test_the_order_of_points_does_not_matter(covariance_type):
    X, _ = three_groups()
    start = data_sets.start(X, 3, covariance_type)
    params = {"covariance_type": covariance_type, "tol": 0, "max_iter": 20, **start}
    order = np.random.default_rng(0).permutation(len(X))
    assert_same_fit(
        quietly(GaussianMixture(3, **params), X[order]), quietly(GaussianMixture(3, **params), X), rtol=1e-11
    )


@pytest.mark.parametrize("init_params", ["random", "kmeans"])
def test_weights_count_like_repeated_rows(init_params):
    X, _ = three_groups()
    weights = np.random.default_rng(0).integers(0, 4, len(X))
    start = data_sets.start(X, 3, "full")
    params = {"tol": 1e-6, "max_iter": 200, "init_params": init_params, **start}
    weighted = GaussianMixture(3, **params).fit(X, sample_weight=weights)
    repeated = GaussianMixture(3, **params).fit(np.repeat(X, weights, axis=0))
    assert weighted.n_iter_ == repeated.n_iter_
    assert_allclose(weighted.lower_bounds_, repeated.lower_bounds_, rtol=1e-12)
    assert_same_fit(weighted, repeated, rtol=1e-10)


@pytest.mark.parametrize("init_params", ["random", "kmeans", "k-means++", "random_from_data"])
def test_every_start_takes_weights(init_params):
    X, labels = three_groups()
    weights = np.where(labels == 2, 0.0, 1.0)  # the third group does not exist
    model = quietly(GaussianMixture(2, init_params=init_params, random_state=0, max_iter=300), X, sample_weight=weights)
    expected = GaussianMixture(2).fit(X[labels < 2], labels=labels[labels < 2])
    assert model.lower_bound_ <= expected.score(X[labels < 2]) + 0.02
    assert model.means_.max() < X[labels < 2].max()


# -- many dtypes, many layouts ------------------------------------------------------------------------------------


def test_any_array_is_read_as_it_is(tmp_path):
    X = np.round(three_groups(500)[0] * 10).astype(np.float64)
    expected = GaussianMixture(3, random_state=0).fit(X)
    X.tofile(tmp_path / "points")
    read_only = X.copy()
    read_only.flags.writeable = False
    variants = {
        "fortran": np.asfortranarray(X),
        "strided": np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
        "reversed": X[::-1, ::-1].copy()[::-1, ::-1],
        "read-only": read_only,
        "memory-mapped": np.memmap(tmp_path / "points", mode="r", dtype=float, shape=X.shape),
        "int32": X.astype(np.int32),
        "int64": X.astype(np.int64),
        "int16": X.astype(np.int16),
        "big-endian": X.astype(">f8"),
        "long double": X.astype(np.longdouble),
        "list": X.tolist(),
        "objects": X.astype(object),
        "frame": pd.DataFrame(X),
    }
    for name, variant in variants.items():
        before = copy.deepcopy(variant)
        model = GaussianMixture(3, random_state=0).fit(variant)
        for parameter in PARAMETERS:
            assert_array_equal(getattr(model, parameter), getattr(expected, parameter), err_msg=name)
        assert_array_equal(model.predict_proba(variant), expected.predict_proba(X), err_msg=name)
        assert_array_equal(np.asarray(variant), np.asarray(before))


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
def test_unsigned_bytes_and_booleans():
    pixels = np.random.default_rng(0).integers(0, 256, size=(1000, 3)).astype(np.uint8)
    assert_same_fit(
        GaussianMixture(2, random_state=0).fit(pixels), GaussianMixture(2, random_state=0).fit(pixels.astype(float))
    )
    bits = pixels > 100
    assert_same_fit(
        GaussianMixture(2, random_state=0).fit(bits), GaussianMixture(2, random_state=0).fit(bits.astype(float))
    )


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize("dtype", ["int16", "int32", "float16", ">f8"])
def test_of_many_components_the_same_are_left_out_whatever_the_dtype(dtype):
    X = np.round(np.random.default_rng(0).normal(size=(3000, 3)) * 30)
    settings = {"algorithm": "em", "init_params": "random_from_data", "tol": 0.1, "random_state": 0}
    expected = GaussianMixture(40, **settings).fit(X)
    model = GaussianMixture(40, **settings).fit(X.astype(dtype))
    assert model.lower_bounds_ == expected.lower_bounds_
    for parameter in PARAMETERS:
        assert_array_equal(getattr(model, parameter), getattr(expected, parameter))


@grid("covariance_type", COVARIANCE_TYPES, quick=["full"])
@pytest.mark.parametrize(("n_features", "n_components"), [(2, 3), (10, 5), (33, 2), (3, 40)])
def test_a_float32_fit_is_near_the_float64_one(n_features, n_components, covariance_type):
    rng = np.random.default_rng(0)
    means = 6 * rng.normal(size=(n_components, n_features))
    X = (means[rng.integers(n_components, size=20_000)] + rng.normal(size=(20_000, n_features))).astype(np.float32)
    family = FAMILIES[covariance_type]
    start = family.with_variances(means, np.full(n_features, 2.0))
    settings = {
        "covariance_type": covariance_type, "algorithm": "em", "tol": 0, "max_iter": 10,
        "weights_init": start.weights, "means_init": means, "precisions_init": start.precisions(),
    }  # fmt: skip
    single = quietly(GaussianMixture(n_components, **settings), X)
    double = quietly(GaussianMixture(n_components, **settings), X.astype(np.float64))
    assert single.means_.dtype == np.float32
    assert_allclose(single.lower_bounds_, double.lower_bounds_, rtol=1e-5)
    for name in ("weights_", "means_", "covariances_"):
        value, reference = getattr(single, name), getattr(double, name)
        assert_allclose(value, reference, rtol=1e-4, atol=1e-4 * np.abs(reference).max())


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@each_type
def test_float32_sums_do_not_cancel(covariance_type):
    # scikit-learn's own float32 variance of these is 112.1 for diag and spherical (its issue 30382)
    X = np.array([[9999], [0]], dtype=np.float32)
    model = GaussianMixture(2, covariance_type=covariance_type, reg_covar=0.1, random_state=0).fit(X)
    assert_allclose(model.covariances_.ravel(), 0.1, rtol=1e-6)
    assert model.covariances_.dtype == np.float32


@each_type
def test_a_row_is_judged_by_itself(covariance_type):
    X, _ = three_groups(300)
    model = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    for evaluate in (model.predict, model.predict_proba, model.score_samples):
        together = evaluate(X)
        alone = np.concatenate([evaluate(X[i : i + 1]) for i in range(0, 300, 7)])
        assert_array_equal(alone, together[::7])
        assert_array_equal(evaluate(X[::-1]), together[::-1])


# -- life of an estimator -----------------------------------------------------------------------------------------


def test_clone_pickle_and_copy():
    X, _ = three_groups()
    model = GaussianMixture(3, random_state=0, n_threads=1, tol=1e-5).fit(X)
    assert clone(model).get_params() == model.get_params()
    assert not hasattr(clone(model), "means_")
    for twin in (pickle.loads(pickle.dumps(model)), copy.deepcopy(model)):
        assert_array_equal(twin.predict_proba(X), model.predict_proba(X))


def test_in_a_pipeline_with_a_frame_that_has_names():
    X, _ = three_groups()
    frame = pd.DataFrame(X, columns=["a", "b", "c"])
    pipeline = make_pipeline(StandardScaler().set_output(transform="pandas"), GaussianMixture(3, random_state=0))
    labels = pipeline.fit(frame).predict(frame)
    assert isinstance(labels, np.ndarray)
    model = pipeline[-1]
    assert list(model.feature_names_in_) == ["a", "b", "c"]
    with pytest.warns(UserWarning, match="valid feature names"):
        model.predict(X)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])


def test_from_parameters_is_a_fitted_model():
    X, labels = three_groups()
    fitted = GaussianMixture(3).fit(X, labels=labels)
    model = GaussianMixture.from_parameters(fitted.weights_, fitted.means_, fitted.covariances_, random_state=0)
    assert_allclose(model.predict_proba(X), fitted.predict_proba(X), rtol=1e-9, atol=1e-12)
    assert model.n_features_in_ == 3
    points, drawn = model.sample(10)
    assert points.shape == (10, 3)
    assert drawn.shape == (10,)
    model.set_params(warm_start=True)
    assert model.fit(X).lower_bounds_[0] == pytest.approx(fitted.score(X), rel=1e-12)


def test_from_parameters_says_what_is_wrong():
    good = {"weights": [0.5, 0.5], "means": [[0.0, 0], [1, 1]], "covariances": np.tile(np.eye(2), (2, 1, 1))}
    GaussianMixture.from_parameters(**good)
    singular = np.array([np.eye(2), [[1.0, 1], [1, 1]]])
    for name, value, message in (
        ("weights", [0.5, 0.6], "normalized"),
        ("means", [0.0, 1], "n_components, n_features"),
        ("covariances", np.eye(2), "full covariances"),
        ("covariances", singular, "component 1"),
        ("covariance_type", "VVX", "'covariance_type' parameter of GaussianMixture must be"),
    ):
        with pytest.raises(ValueError, match=message):
            GaussianMixture.from_parameters(**{**good, name: value})


def test_a_warm_start_goes_on_where_the_last_fit_stopped():
    X, n_components = data_sets.load("iris")
    start = {"algorithm": "em", **data_sets.start(X, n_components, "full")}
    whole = quietly(GaussianMixture(n_components, max_iter=12, tol=0, **start), X)
    parts = GaussianMixture(n_components, max_iter=4, tol=0, warm_start=True, **start)
    bounds = []
    for _ in range(3):
        bounds += quietly(parts, X).lower_bounds_
    assert_allclose(bounds, whole.lower_bounds_, rtol=1e-13)
    assert_same_fit(parts, whole, rtol=1e-11)


@pytest.mark.parametrize(
    ("change", "n_features"), [({"n_components": 2}, 3), ({}, 2), ({"covariance_type": "spherical"}, 3)]
)
def test_a_warm_start_refuses_another_shape(change, n_features):
    X, _ = three_groups()
    model = GaussianMixture(3, warm_start=True, random_state=0).fit(X)
    means = model.means_
    with pytest.raises(ValueError, match=r"warm_start=True can't go on from the previous fit.*Set warm_start=False"):
        model.set_params(**change).fit(X[:, :n_features])
    assert model.means_ is means
    assert model.n_features_in_ == 3


def test_start_values_without_iterations():
    X, _ = three_groups()
    start = data_sets.start(X, 3, "full")
    model = GaussianMixture(3, max_iter=0, **start).fit(X)
    assert_allclose(model.precisions_, start["precisions_init"], rtol=1e-12)
    assert_allclose(model.covariances_ @ model.precisions_, np.tile(np.eye(3), (3, 1, 1)), atol=1e-12)
    assert (model.n_iter_, model.converged_, model.lower_bounds_, model.lower_bound_) == (0, False, [], -np.inf)


def test_no_warning_but_the_one():
    X, _ = three_groups()
    with pytest.warns(ConvergenceWarning, match="did not converge") as caught:
        GaussianMixture(3, max_iter=1, n_init=3, random_state=0).fit(X)
    assert len(caught) == 1
    assert caught[0].filename == __file__


def test_init_arguments_are_left_alone():
    X, _ = three_groups()
    means = X[:3].tolist()
    model = GaussianMixture(3, means_init=means, random_state=0).fit(X)
    assert model.means_init is means


def test_not_fitted():
    with pytest.raises(NotFittedError, match="This GaussianMixture instance is not fitted yet"):
        GaussianMixture().predict([[0.0]])
    with pytest.raises(NotFittedError):
        GaussianMixture().sample()


def test_sampling_needs_a_positive_number():
    model = GaussianMixture(random_state=0).fit(np.arange(10.0).reshape(-1, 1))
    with pytest.raises(ValueError, match="Invalid value for 'n_samples': 0"):
        model.sample(0)


# -- scikit-learn's callbacks -------------------------------------------------------------------------------------


class Recorder:
    """A callback that writes down what it is told."""

    def __init__(self, stop_after=None):
        self.events = []
        self.bounds = []
        self.stop_after = stop_after

    def setup(self, estimator, context):
        self.events.append("setup")

    def on_fit_task_begin(self, estimator, context):
        self.events.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, X, fitted_estimator):
        self.events.append(f"end {context.task_name}")
        if context.task_name == "iteration":
            self.bounds.append(fitted_estimator.score(X))
            return len(self.bounds) == self.stop_after
        return False

    def teardown(self, estimator, context):
        self.events.append("teardown")


both_protocols = pytest.mark.parametrize("Mixture", [GaussianMixture])
if not issubclass(GaussianMixture, OwnCallbackSupportMixin):

    class OfOlderScikitLearn(OwnCallbackSupportMixin, GaussianMixture):
        """With fastem's stand-in for the protocol, though scikit-learn has one."""

    both_protocols = pytest.mark.parametrize("Mixture", [GaussianMixture, OfOlderScikitLearn])


@both_protocols
@pytest.mark.parametrize(("algorithm", "n_runs"), [("em", 2), ("auto", 1)])
def test_callbacks_see_every_run_and_iteration_over_all_the_points(Mixture, algorithm, n_runs):
    X, _ = three_groups()
    recorder = Recorder()
    params = {"n_init": 2, "random_state": 0, "init_params": "random_from_data", "algorithm": algorithm}
    model = Mixture(3, **params).set_callbacks(recorder)
    model.fit(X)
    names = [event.split()[-1] for event in recorder.events]
    assert names[:3] == ["setup", "fit", "init"]
    assert recorder.events[-2:] == ["end fit", "teardown"]
    assert names.count("init") == 2 * n_runs
    assert names.count("iteration") == 2 * len(recorder.bounds)
    assert model.score(X) in recorder.bounds


@both_protocols
def test_callbacks_are_torn_down_when_a_fit_fails(Mixture):
    class Failing(Recorder):
        def on_fit_task_end(self, estimator, context):
            raise OSError("disk full")

    X, _ = three_groups()
    failing, other = Failing(), Recorder()
    model = Mixture(3, random_state=0).set_callbacks(failing, other)
    with pytest.raises(OSError, match="disk full"):
        model.fit(X)
    assert failing.events[-1] == other.events[-1] == "teardown"
    assert not hasattr(model, "means_")
    with pytest.raises(ValueError, match="NaN"):
        model.fit(X * np.nan)


@both_protocols
def test_callbacks_are_cloned_and_taken_away(Mixture):
    X, _ = three_groups()
    recorder = Recorder()
    model = clone(Mixture(3, random_state=0).set_callbacks(recorder)).fit(X)
    assert recorder.bounds
    n_events = len(recorder.events)
    model.set_callbacks().fit(X)
    assert len(recorder.events) == n_events
    for wrong in (Recorder, object()):
        with pytest.raises(TypeError, match="callbacks"):
            model.set_callbacks(wrong)


@both_protocols
@pytest.mark.parametrize("algorithm", ["em", "auto"])
def test_frames_go_from_the_start_to_the_fit(Mixture, algorithm):
    X, _ = three_groups()
    frames = Frames()
    params = {"init_params": "random_from_data", "random_state": 0, "algorithm": algorithm, "n_init": 3}
    model = Mixture(3, **params).set_callbacks(frames).fit(X)
    assert len(frames.runs) == (3 if algorithm == "em" else 1)
    best = frames.best
    assert [frame.n_iter_ for frame in best] == list(range(model.n_iter_ + 1))
    assert [frame.lower_bound_ for frame in best] == [-np.inf, *model.lower_bounds_]
    np.testing.assert_array_equal(best[-1].means_, model.means_)
    # a frame's lower bound is that of the mixture before its M-step: the frame before
    scores = [frame.score(X) for frame in best]
    if algorithm == "em":
        np.testing.assert_allclose(scores[:-1], model.lower_bounds_, rtol=1e-12)
        assert max(run[-1].lower_bound_ for run in frames.runs) == model.lower_bound_
    few = Frames(every=4)
    model.set_callbacks(few).fit(X)
    expected = sorted({0, *range(4, model.n_iter_ + 1, 4), model.n_iter_})
    assert [frame.n_iter_ for frame in few.best] == expected
    with pytest.raises(ValueError, match="no frames yet"):
        _ = Frames().best
    with pytest.raises(ValueError, match="every"):
        Frames(every=0)


@both_protocols
def test_a_callback_can_end_a_fit(Mixture):
    X, _ = three_groups()
    model = Mixture(3, random_state=0, tol=0).set_callbacks(Recorder(stop_after=3))
    model.fit(X)  # and no ConvergenceWarning: it was asked for
    assert model.n_iter_ == 3
    assert not model.converged_


def test_scikit_learns_scoring_monitor():
    ScoringMonitor = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9").ScoringMonitor

    X, _ = three_groups()
    monitor = ScoringMonitor(scoring={"score": lambda estimator, X, y: estimator.score(X)})
    model = GaussianMixture(3, random_state=0).set_callbacks(monitor)
    model.fit(X)
    assert monitor.get_logs() is not None
