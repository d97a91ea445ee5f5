"""The public surface as a type checker sees it: `mypy tests/typed_usage.py`; nothing here is run."""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
from numpy.typing import NDArray

import fastem
from fastem import (
    BayesianGaussianMixture,
    DegenerateFitWarning,
    GaussianMixture,
    MixtureImputer,
    StudentTMixture,
)
from fastem.callbacks import Checkpoint, Frames
from fastem.datasets import load_faithful, load_galaxies, load_penguins, load_reaven_miller, make_mixture
from fastem.plotting import (
    ConditionalDisplay,
    DataDisplay,
    IterationDisplay,
    LogLikelihoodDisplay,
    MahalanobisDisplay,
    MixtureDisplay,
    ResponsibilityDisplay,
    SelectionDisplay,
    animate_fit,
)
from fastem.sources import ArraySource, BlockSource, ParquetSource, as_source


def estimators(X: NDArray[np.float64]) -> None:
    model = GaussianMixture(2, covariance_type="tied", tol=1e-4, random_state=0, n_threads=1, prior="default")
    assert_type(model.fit(X, sample_weight=np.ones(len(X)), labels=[0, 1]), GaussianMixture)
    assert_type(model.partial_fit(X), GaussianMixture)
    assert_type(model.predict(X), NDArray[np.int64])
    assert_type(model.fit_predict(X), NDArray[np.int64])
    assert_type(model.predict_proba(X), NDArray[np.floating])
    assert_type(model.score_samples("points.npy"), NDArray[np.floating])
    assert_type(model.score(X) + model.bic(X) + model.aic(X) + model.icl(X), float)
    assert_type(model.sample(10), tuple[NDArray[np.float64], NDArray[np.int64]])
    assert_type(model.marginal([0]), GaussianMixture)
    assert_type(model.conditional({0: 1.0}), GaussianMixture)
    assert_type(model.n_parameters_, int)
    assert_type(model.sorted(by="mean").sorted([1, 0]), GaussianMixture)
    assert_type(model.summary(), Any)
    assert_type(model.fit(X, labels=["a", "b"]), GaussianMixture)
    assert_type(model.component_log_densities(X), NDArray[np.float64])
    assert_type(GaussianMixture(missing="em").impute(X), Any)
    imputer = MixtureImputer(model, add_indicator=True)
    assert_type(imputer.fit(X), MixtureImputer)
    assert_type(imputer.transform(X), NDArray[np.float64])
    model.save(Path("model.npz"))
    model.to_sklearn()
    assert_type(GaussianMixture.from_parameters([1.0], [[0.0]], [[[1.0]]]), GaussianMixture)
    assert_type(GaussianMixture.from_sklearn(model.to_sklearn()), GaussianMixture)
    robust = StudentTMixture(2, degrees_of_freedom="shared")
    assert_type(robust.fit(X), StudentTMixture)
    assert_type(robust.score(X), float)
    fastem.select(X, estimator=robust)
    posterior = BayesianGaussianMixture(n_components=5, weight_concentration_prior=0.1, mean_prior=[0.0, 0.0])
    assert_type(posterior.fit(lambda: [X]), BayesianGaussianMixture)
    assert_type(fastem.load("model.npz"), GaussianMixture | BayesianGaussianMixture | StudentTMixture)
    selection = fastem.select(X, range(1, 5), ["full", "tied"], "icl", n_folds=3)
    assert_type(selection.best_estimator_, GaussianMixture)
    assert_type(selection.results_, dict[str, Any])
    assert_type(selection.notes, list[str])
    fastem.select(X, verbose=1, callbacks=lambda step: print(step.n_done, step.seconds_left, step.best))
    selection.plot()
    assert_type(fastem.__version__, str)
    fastem.warm_up(["full"], ["float32"], verbose=True)
    assert issubclass(DegenerateFitWarning, UserWarning)


def points(X: NDArray[np.float64]) -> None:
    for load in (load_faithful, load_galaxies, load_penguins, load_reaven_miller):
        print(load().data)
    make_mixture(100, 2, overlap=0.1, random_state=np.random.RandomState(0))
    for source in (ArraySource(X), BlockSource(lambda: [X]), ParquetSource("points.parquet", ["a"])):
        source.scan()
        as_source(source)


def pictures(X: NDArray[np.float64], model: GaussianMixture) -> None:
    frames = Frames(every=2)
    model.set_callbacks(frames, Checkpoint("model.npz", every=5))
    assert_type(MixtureDisplay.from_estimator(model, X, features=[0, 1]), MixtureDisplay)
    assert_type(ConditionalDisplay.from_estimator(model, given={"a": 1.0}), ConditionalDisplay)
    assert_type(DataDisplay.from_data(X, labels=[0, 1]).plot(), DataDisplay)
    assert_type(IterationDisplay.from_frames(frames, X, n_frames=3), IterationDisplay)
    assert_type(LogLikelihoodDisplay.from_estimator(model), LogLikelihoodDisplay)
    assert_type(MahalanobisDisplay.from_estimator(model, X), MahalanobisDisplay)
    assert_type(ResponsibilityDisplay.from_estimator(model, X), ResponsibilityDisplay)
    assert_type(SelectionDisplay.from_results({}, "bic"), SelectionDisplay)
    assert_type(SelectionDisplay.from_results(fastem.select(X)), SelectionDisplay)
    animate_fit(model, X, "fit.gif", fps=10.0, size=(400, 400))
