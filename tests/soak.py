"""Random fits over all features in one process that lives long: `python -m tests.soak --minutes 30`.

Nothing may pile up: memory, threads, file handles, temporary files, child processes; no setting may stay changed, and
no result may be wrong. The first third of the time warms up (kernels are loaded, others' caches fill), the rest counts.
`--only NAME,NAME` draws from some actions alone, `--at NUMBER` begins with a certain one. With `--period NUMBER` the
same ones come again after so many: then no kernel is loaded late, and what still grows is lost.
"""

import argparse
import contextlib
import copy
import ctypes
import functools
import gc
import importlib
import io
import os
import pickle
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import traceback
import warnings
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import joblib
import matplotlib.pyplot as plt
import numba
import numpy as np
from scipy.stats import theilslopes
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_info

import fastem
from fastem import BayesianGaussianMixture, GaussianMixture, cli, plotting
from fastem.callbacks import Checkpoint, Frames
from fastem.estimators.em_mixture import EMMixture
from fastem.kernels.compiler import jit
from fastem.model.families import STANDARD
from fastem.sources import SourceError

EVERY = 5  # seconds between two measurements

# MiB that 1,000 actions may add. One works with about a MiB of data: to lose a thousandth of it each time would be 1.
MEMORY = 1.0

ACTIONS = {}  # name: (function, how often)


def action(weight):
    def registered(function):
        ACTIONS[function.__name__] = function, weight
        return function

    return registered


# -- what is fitted ---------------------------------------------------------------------------------------------------


def pick(rng, *options):
    return options[rng.integers(len(options))]


def points(rng, most=20_000, n_features=None, dtypes=("f8", "f8", "f4", "f4", "i4", "i2", "u1")):
    """Points of a few Gaussians in some dtype and layout, and the group of each."""
    n_samples, n_groups = int(np.exp(rng.uniform(np.log(100), np.log(most)))), rng.integers(1, 21)
    n_features = n_features or int(rng.integers(1, 17))
    groups = rng.integers(n_groups, size=n_samples)
    X = 5 * rng.normal(size=(n_groups, n_features))[groups] + rng.normal(size=(n_samples, n_features))
    dtype = np.dtype(pick(rng, *dtypes))
    if dtype.kind != "f":
        X = (10 * X + 100).clip(0, 255)
    layout, X = pick(rng, "C", "C", "F", "strided", "reversed", "read-only"), X.astype(dtype)
    if layout == "F":
        X = np.asfortranarray(X)
    elif layout == "strided":
        X = np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, 1::3]
    elif layout == "reversed":
        X = np.ascontiguousarray(X[::-1])[::-1]
    X.flags.writeable = layout != "read-only"
    return X, groups


def mixture(rng, *classes, **params):
    chosen = {
        "n_components": int(rng.integers(1, 21)),
        "covariance_type": pick(rng, *STANDARD),
        "init_params": pick(rng, "kmeans", "kmeans", "k-means++", "random", "random_from_data"),
        "algorithm": pick(rng, "auto", "auto", "em"),
        "n_init": pick(rng, 1, 1, 1, 3),
        "max_iter": pick(rng, 1, 10, 100),
        "tol": pick(rng, 1e-2, 1e-3, 1e-5),
        "n_threads": pick(rng, None, 1, 2),
        "random_state": int(rng.integers(1000)),
    }
    return pick(rng, *classes or [GaussianMixture])(**{**chosen, **params})


def known(rng, model, groups):
    """Weights, labels, neither or both."""
    is_known = (groups < model.n_components) & (rng.random(len(groups)) < 0.5)
    weights = pick(rng, None, None, rng.integers(1, 4, len(groups)) / 2)
    return {"sample_weight": weights, "labels": pick(rng, None, None, None, np.where(is_known, groups, -1))}


def check(model, X):
    """That a fit's numbers can be right, by scikit-learn's formulas, too."""
    X, n_components = X[:2000], len(model.weights_)
    labels, shares, densities = model.predict(X), model.predict_proba(X), model.score_samples(X)
    eps = 1e-2 if model.means_.dtype == np.float32 else 1e-6
    other = model.to_sklearn()
    other.means_, other.precisions_cholesky_ = other.means_.astype(float), other.precisions_cholesky_.astype(float)
    expected = other.score_samples(X.astype(float))
    assert np.isfinite(model.lower_bound_)
    assert labels.shape == (len(X),) and labels.min() >= 0 and labels.max() < n_components
    assert (shares[np.arange(len(X)), labels] >= shares.max(axis=1) - eps).all()
    np.testing.assert_allclose(model.weights_.sum(dtype=float), 1, atol=eps)
    np.testing.assert_allclose(shares.sum(axis=1, dtype=float), 1, atol=eps)
    np.testing.assert_allclose(densities, expected, atol=eps * (1 + abs(expected).max()))


def check_same_bits(model, other):
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        np.testing.assert_array_equal(getattr(model, name), getattr(other, name), name)


# -- actions: each gets a random generator and an empty folder --------------------------------------------------------


@action(20)
def fit(rng, folder):
    X, groups = points(rng)
    assignment, prior = pick(rng, "soft", "soft", "soft", "hard", "stochastic"), pick(rng, None, None, "default")
    model = mixture(rng, assignment=assignment, prior=prior, reg_covar=pick(rng, 1e-6, 1e-3))
    model.fit(X, **known(rng, model, groups))
    check(model, X)
    bounds, eps = np.array(model.lower_bounds_), 1e-5 if X.dtype == np.float32 else 1e-9
    if model.assignment == "soft" and model.algorithm == "auto":
        assert (np.diff(bounds) >= -eps * (1 + abs(bounds[1:]))).all(), bounds
    assert np.isfinite([model.bic(X), model.aic(X), model.icl(X), model.score(X), model.sample(500)[0].sum()]).all()
    check(model.set_params(warm_start=True, max_iter=2).fit(X), X)


@action(8)
def bayesian(rng, folder):
    X, groups = points(rng)
    kind = pick(rng, "dirichlet_process", "dirichlet_distribution")
    concentration = pick(rng, None, 1e-2, 100.0)
    prior = {"weight_concentration_prior_type": kind, "weight_concentration_prior": concentration}
    model = mixture(rng, BayesianGaussianMixture, **prior)
    check(model.fit(X, **known(rng, model, groups)), X)
    assert not np.isnan(model.evidence_lower_bound_)  # it is -inf where a feature is constant


@action(1)
def large(rng, folder):
    """Enough for the parallel loop and several leaves of the sums; the same bits on one thread."""
    X, _ = points(rng, 2000, 8, ("f4", "f8"))
    X = np.resize(X, (200_000, 8)) + rng.normal(size=(200_000, 8)).astype(X.dtype)
    model = mixture(rng, n_init=1, max_iter=5, n_threads=2).fit(X)
    check(model, X)
    check_same_bits(model, copy.deepcopy(model).set_params(n_threads=1).fit(X))


@action(1)
def many_components(rng, folder):
    X = rng.normal(size=(int(rng.integers(20_000, 60_000)), int(rng.integers(1, 4)))).astype(pick(rng, "f4", "f8"))
    n_components = int(rng.integers(200, 500))
    check(mixture(rng, n_components=n_components, n_init=1, max_iter=3, init_params="random_from_data").fit(X), X)


@action(5)
def stream(rng, folder):
    X, _ = points(rng)
    model = mixture(rng, GaussianMixture, BayesianGaussianMixture, forgetting=pick(rng, 0.0, 0.3, 0.7))
    for rows in np.array_split(X, rng.integers(1, 30)):
        model.partial_fit(rows, sample_weight=pick(rng, None, None, rng.integers(1, 3, len(rows))))
    if hasattr(model, "means_"):
        check(model, X)


@action(8)
def sources(rng, folder):
    """Files, blocks, Arrow and Dask: the same bits as in memory."""
    X, _ = points(rng)
    X = X.astype(pick(rng, "f4", "f8"))
    model = mixture(rng, GaussianMixture, BayesianGaussianMixture, n_init=1)
    source = pick(rng, npy, parquet, blocks, arrow, dask_array)(X, rng, folder)
    with patch("fastem.estimators.em_mixture._SMALL", pick(rng, 0, 16 << 20)):  # 0: read again in each pass
        other = copy.deepcopy(model).fit(source)
        labels = np.asarray(other.predict(source))
    check_same_bits(model.fit(X), other)
    np.testing.assert_array_equal(labels, model.predict(X))


def npy(X, rng, folder):
    np.save(folder / "points.npy", X)
    return pick(rng, str, functools.partial(np.load, mmap_mode="r"))(folder / "points.npy")


def blocks(X, rng, folder):
    cuts = np.sort(rng.integers(0, len(X) + 1, 5))
    return lambda: iter(np.split(X, cuts))


def arrow(X, rng, folder):
    import pyarrow

    return pyarrow.table({f"x{j}": np.ascontiguousarray(column) for j, column in enumerate(X.T)})


def parquet(X, rng, folder):
    import pyarrow.parquet

    table, cut = arrow(X, rng, folder), int(rng.integers(1, len(X)))
    (folder / "points").mkdir()
    for part, name in ((table.slice(0, cut), "0.parquet"), (table.slice(cut), "1.parquet")):
        pyarrow.parquet.write_table(part, folder / "points" / name, row_group_size=int(rng.integers(50, 5000)))
    return folder / "points"


def dask_array(X, rng, folder):
    import dask.array

    return dask.array.from_array(np.ascontiguousarray(X), chunks=(int(rng.integers(len(X) // 8, len(X))), -1))


@action(1)
def selection(rng, folder):
    X, _ = points(rng, 5000)
    criterion, types = pick(rng, "bic", "aic", "icl", "held_out"), pick(rng, STANDARD, "full")
    check(fastem.select(X, range(1, 5), types, criterion, random_state=0).best_estimator_, X)


@action(4)
def callbacks(rng, folder):
    """Those of fastem; scikit-learn's ProgressBar leaves a thread after every fit of any estimator."""
    X, _ = points(rng, 5000)
    model, frames = mixture(rng, verbose=pick(rng, 0, 1, 2)), Frames(every=pick(rng, 1, 3))
    with contextlib.redirect_stdout(io.StringIO()):
        model.set_callbacks(frames, Checkpoint(folder / "model.npz", every=2)).fit(X)
    assert frames.best[-1].n_iter_ == model.n_iter_
    if model.n_iter_ >= 2:
        check(fastem.load(folder / "model.npz"), X)


@action(5)
def copies(rng, folder):
    X, _ = points(rng, 5000)
    model = mixture(rng, GaussianMixture, BayesianGaussianMixture).fit(X)
    model.save(folder / "model.npz")
    for other in (
        fastem.load(folder / "model.npz"),
        pickle.loads(pickle.dumps(model)),
        copy.deepcopy(model),
        type(model).from_sklearn(model.to_sklearn()),
    ):
        np.testing.assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    check(clone(model).fit(X), X)


@action(2)
def scikit_learn(rng, folder):
    X, _ = points(rng, 2000)
    pipeline = make_pipeline(StandardScaler(), mixture(rng))
    search = GridSearchCV(pipeline, {"gaussianmixture__n_components": [1, 2, 3]}, cv=3, n_jobs=1).fit(X)
    check(search.best_estimator_[-1], search.best_estimator_[:-1].transform(X))


@action(3)
def threads(rng, folder):
    """Fits in several Python threads at once: the same bits as one after the other."""
    X, _ = points(rng, 10_000)
    models = [mixture(rng, max_iter=10) for _ in range(4)]
    expected = [copy.deepcopy(model).fit(X) for model in models]
    if rng.random() < 0.5:
        found = joblib.Parallel(2, backend="threading")(joblib.delayed(model.fit)(X) for model in models)
    else:
        with ThreadPoolExecutor(3) as pool:
            found = list(pool.map(lambda model: model.fit(X), models))
    for pair in zip(found, expected, strict=True):
        check_same_bits(*pair)


@action(1)
def pictures(rng, folder):
    X, groups = points(rng, 5000, int(rng.integers(1, 5)))
    frames, results = Frames(), {"n_components": [1, 2, 3], "bic": [3.0, 1.0, 2.0]}
    model = mixture(rng, n_components=int(rng.integers(1, 6))).set_callbacks(frames).fit(X)
    display = pick(
        rng,
        lambda: plotting.MixtureDisplay.from_estimator(model, X),
        lambda: plotting.ResponsibilityDisplay.from_estimator(model, X),
        lambda: plotting.MahalanobisDisplay.from_estimator(model, X),
        lambda: plotting.LogLikelihoodDisplay.from_estimator(model),
        lambda: plotting.LogLikelihoodDisplay.from_frames(frames),
        lambda: plotting.IterationDisplay.from_frames(frames, X),
        lambda: plotting.DataDisplay.from_data(X, groups),
        lambda: plotting.SelectionDisplay.from_results(results),
    )
    display().figure_.savefig(folder / "picture.png")
    plt.close("all")
    if rng.random() < 0.3:
        plotting.animate_fit(model, X, folder / "fit.gif", max_frames=5)
        assert (folder / "fit.gif").stat().st_size > 1000


def command(line, stdin=b"", status=0):
    """What a command prints."""
    out, err = (io.TextIOWrapper(io.BytesIO(), write_through=True) for _ in range(2))
    given = io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)))
    with patch("sys.stdin", given), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        found = cli.main(shlex.split(line))
    if found == 130:
        raise Interrupt
    assert found == status, err.buffer.getvalue().decode()
    return out.buffer.getvalue()


@action(3)
def command_line(rng, folder):
    X, groups = points(rng, 3000, int(rng.integers(1, 5)))
    groups = np.unique(groups, return_inverse=True)[1]  # without a gap
    table, model, names = (
        folder / f"x.csv{pick(rng, '', '.gz')}",
        folder / "m.npz",
        [f"x{j}" for j in range(X.shape[1])],
    )
    np.savetxt(table, np.c_[X, groups], delimiter=",", header=",".join([*names, "group"]), comments="", fmt="%.8g")
    chosen = f"{table} --columns {','.join(names)}"
    with patch("fastem.cli.tables._IN_MEMORY", pick(rng, 1 << 12, 64 << 20)):  # else in a temporary file
        command(f"fit {chosen} -k 3 --covariance {pick(rng, *STANDARD)} --save {model}")
        assert len(command(f"predict {model} {chosen} {pick(rng, '', '--proba', '--density')}").splitlines()) > len(X)
        assert len(command(f"predict {model} -", command(f"sample {model} -n 50")).splitlines()) == 51
        line, status = pick(
            rng,
            (f"fit {table} -k {groups.max() + 1} --labels group --assign {folder}/labels.csv --json", 0),
            (f"fit {chosen} -k 2 --plot {folder}/fit.png", 0),
            (f"score {model} {chosen}", 0),
            (f"select {chosen} -k 1-3 --plot {folder}/select.png", 0),
            (f"plot {model} {chosen} --kind {pick(rng, 'mixture', 'responsibilities', 'qq')} -o {folder}/p.png", 0),
            (f"info {model} --history", 0),
            (f"fit {folder}/nothing.csv -k 2", 2),
            (f"fit {table} -k 2 --columns nothing", 2),
            (f"fit {chosen} -k 100000", 2),
            (f"predict {table} {table}", 2),
            ("fit", 2),
        )
        command(line, status=status)
    plt.close("all")  # a command ends its process, not its figures


# -- what goes wrong --------------------------------------------------------------------------------------------------


class Interrupt(KeyboardInterrupt):
    """Not the user's, which ends the run."""


@contextlib.contextmanager
def raises(error):
    try:
        yield
    except error:
        return
    raise AssertionError(f"no {error.__name__} was raised")


@action(5)
def mistakes(rng, folder):
    X, groups = points(rng, 5000, None, ("f8",))
    model, bad = mixture(rng), np.array(X)
    bad[rng.integers(len(X)), 0] = pick(rng, np.nan, np.inf)
    (folder / "broken.npz").write_bytes(rng.bytes(500))
    wrong = pick(rng, {"n_components": 0}, {"tol": -1}, {"covariance_type": "round"}, {"n_components": len(X) + 1})
    for call in (
        lambda: model.fit(bad),
        lambda: model.fit(pick(rng, npy, parquet, blocks, dask_array)(bad, rng, folder)),
        lambda: model.partial_fit(bad),
        lambda: mixture(rng, **wrong).fit(X),
        lambda: model.fit(X, sample_weight=-np.ones(len(X))),
        lambda: model.fit(X, labels=groups[:-1]),
        lambda: fastem.load(folder / "broken.npz"),
        lambda: model.fit(folder / "nothing.npy"),
        lambda: GaussianMixture(2, reg_covar=0).fit(np.ones((50, 2))),
    ):
        with raises(ValueError):
            call()
    assert not hasattr(model, "means_")


@action(3)
def faults(rng, folder):
    """Points that go bad in the middle of a fit: the last complete iteration is kept."""
    X, _ = points(rng, 5000, None, ("f4", "f8"))
    passes, last_good, bad = iter(range(1000)), int(rng.integers(4, 12)), np.array(X)
    bad[-1] = np.nan
    model = mixture(rng, algorithm="em", init_params="random_from_data", max_iter=50, tol=0)
    with patch("fastem.estimators.em_mixture._SMALL", 0), raises(SourceError):
        model.fit(lambda: np.array_split(X if next(passes) < last_good else bad, 3))
    if hasattr(model, "means_"):
        check(model.set_params(warm_start=True, max_iter=2).fit(X), X)


class Ending:
    """A callback that ends a fit: by an exception, or, given none, by asking it to stop."""

    def __init__(self, error, n_iter):
        self.error, self.n_iter = error, n_iter

    def setup(self, estimator, context):
        self.n_done = 0

    def on_fit_task_begin(self, estimator, context):
        pass

    def on_fit_task_end(self, estimator, context):
        self.n_done += context.task_name == "iteration"
        if self.n_done >= self.n_iter and self.error is not None:
            raise self.error
        return self.n_done >= self.n_iter

    def teardown(self, estimator, context):
        pass


@action(4)
def ended_by_a_callback(rng, folder):
    X, _ = points(rng, 5000)
    error = pick(rng, Interrupt(), RuntimeError("no more"), MemoryError(), None)
    model = mixture(rng, GaussianMixture, BayesianGaussianMixture, n_init=1, max_iter=20, tol=0)
    model.set_callbacks(Ending(error, int(rng.integers(1, 5))))
    source = pick(rng, lambda *_: X, parquet)(X, rng, folder)
    with (
        patch("fastem.estimators.em_mixture._SMALL", 0),
        contextlib.suppress(type(error)) if error else contextlib.nullcontext(),
    ):
        check(model.fit(source), X)


@action(5)
def interrupted(rng, folder):
    """Ctrl-C at any time: what was fitted stays as it was, or is replaced as a whole."""
    X = np.tile(points(rng, 5000, 8, ("f4", "f8"))[0], (8, 1))
    model = mixture(rng, n_components=8).fit(X[:5000])
    before, on_disk, saved = fitted_arrays(model), parquet(X, rng, folder), folder / "saved"
    saved.mkdir()
    call = pick(
        rng,
        lambda: model.fit(X),
        lambda: model.fit(on_disk),
        lambda: model.partial_fit(X),
        lambda: model.predict_proba(X),
        lambda: model.score(on_disk),
        lambda: model.sample(200_000),
        lambda: model.save(saved / "model.npz"),
        lambda: fastem.select(X, [2, 4], "full", random_state=0),
        lambda: command(f"fit {on_disk} -k 4 --save {saved / 'model.npz'}"),
    )
    with patch("fastem.estimators.em_mixture._SMALL", 0), contextlib.suppress(Interrupt):
        interrupted_after(10 ** rng.uniform(-4, -0.3), call)
    is_kept = [a is b for a, b in zip(before, fitted_arrays(model), strict=True)]
    assert all(is_kept) or not any(is_kept), "some attributes are of the interrupted fit"
    left = [path.name for path in saved.iterdir() if path.name != "model.npz"]
    assert not left, f"half written, and left: {left}"
    check(model, X)


def fitted_arrays(model):
    return [model.weights_, model.means_, model.covariances_, model.precisions_, model.precisions_cholesky_]


def interrupted_after(seconds, call):
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds)
        call()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


# -- what is watched --------------------------------------------------------------------------------------------------


def measured(folder):
    """What the process holds, after all garbage, fastem's and others', is given back."""
    import pyarrow

    with contextlib.suppress(ImportError, AttributeError):  # it keeps the last 128 methods of callbacks, and their fits
        importlib.import_module("sklearn.callback._callback_context")._cached_signature.cache_clear()
    gc.collect()
    pyarrow.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # only glibc has it
        ctypes.CDLL(None).malloc_trim(0)
    return {
        "resident memory, MiB": _status("VmRSS") / 1024,
        "kernels": len(jit._addresses),  # each loaded for some dtypes and layouts: half a MiB or more
        "thousand Python objects": sys.getallocatedblocks() / 1000,
        "threads": _status("Threads"),
        "Python threads": threading.active_count(),
        "file handles": len(os.listdir("/proc/self/fd")),
        "temporary files": sum(len(files) for _, _, files in os.walk(folder)),
        "child processes": sum(len(p.read_text().split()) for p in Path("/proc/self/task").glob("*/children")),
        "Numba's threads": numba.get_num_threads(),
        "BLAS's threads": sum(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"),
    }


def _status(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(f"{name}:")).split()[1])


class Soak:
    """Actions drawn by the seed, what they came to, and measurements on the way."""

    def __init__(self, names, seed, first, period):
        self.names, self.seed, self.number, self.period = names, seed, first, period
        self.odds = np.array([ACTIONS[name][1] for name in names]) / sum(ACTIONS[name][1] for name in names)
        self.n_actions, self.n_fits, self.seconds, self.errors = Counter(), Counter(), Counter(), Counter()
        self.measurements, self.name = [], names[0]  # measurements: (minutes, number of actions, `measured`)

    def run(self, minutes, folder):
        start = last = time.monotonic()
        while time.monotonic() < start + 60 * minutes:
            (folder / "work").mkdir()
            self.act(folder / "work")
            shutil.rmtree(folder / "work")
            if time.monotonic() > last + EVERY:
                last = time.monotonic()
                self.measurements.append(((last - start) / 60, sum(self.n_actions.values()), measured(folder)))

    def act(self, folder):
        begin = time.monotonic()
        self.name = str(np.random.default_rng([self.seed, self.number]).choice(self.names, p=self.odds))
        try:
            ACTIONS[self.name][0](np.random.default_rng([self.seed, self.number, 1]), folder)
        except (Exception, Interrupt) as error:
            if "collapsed" not in str(error):  # as a few points of float32 may
                self.failed(traceback.format_exc())
        self.n_actions[self.name] += 1
        self.seconds[self.name] += time.monotonic() - begin
        self.number = (self.number + 1) % self.period

    def failed(self, text):
        self.errors[self.name] += 1
        print(f"--seed {self.seed} --at {self.number} --only {self.name}:\n{text}", flush=True)

    def watch(self):
        """Count the fits, and what goes wrong where no caller sees it."""

        def counted(method):
            @functools.wraps(method)
            def wrapped(*args, **kwargs):
                self.n_fits[self.name] += 1
                return method(*args, **kwargs)

            return wrapped

        def unseen(what):
            if not issubclass(what.exc_type, Interrupt):  # one that comes in a destructor is lost
                self.failed("".join(traceback.format_exception(what.exc_type, what.exc_value, what.exc_traceback)))

        def interrupt(number, frame):
            raise Interrupt

        EMMixture._fit, EMMixture._partial_fit = counted(EMMixture._fit), counted(EMMixture._partial_fit)
        sys.unraisablehook = threading.excepthook = unseen
        signal.signal(signal.SIGALRM, interrupt)


# -- what came of it --------------------------------------------------------------------------------------------------


def report(soak):
    """Print what was done and what grew; whether all is well."""
    print(f"{'action':<26}{'number':>10}{'fits':>10}{'seconds':>10}{'errors':>10}")
    counters = soak.n_actions, soak.n_fits, soak.seconds, soak.errors
    rows = {name: [counter[name] for counter in counters] for name in soak.names}
    for name, row in {**rows, "all": map(sum, zip(*rows.values(), strict=True))}.items():
        print(f"{name:<26}", *(f"{value:>9,.0f}" for value in row))
    *_, (minutes, _, _) = soak.measurements
    counted = [each for each in soak.measurements if each[0] > minutes / 3]
    print(f"\n{'':<26}{'start':>10}{'warm':>10}{'end':>10}{'least':>10}{'most':>10}   growth per 1,000 actions")
    grown = [name for name in counted[0][2] if _grew(name, [each[1] for each in counted], soak.measurements, counted)]
    print(f"\n{minutes:.1f} minutes; grew: {', '.join(grown) or 'nothing'}")
    return not grown and not sum(soak.errors.values())


def _grew(name, n_actions, every, counted):
    """Print a row; whether this grew: memory clearly, by Theil and Sen, or the usual count of something."""
    values = np.array([each[2][name] for each in counted])
    row = every[0][2][name], values[0], values[-1], values.min(), values.max()
    slope, _, low, high = 1000 * np.array(theilslopes(values, n_actions))
    print(f"{name:<26}", *(f"{value:>9,.0f}" for value in row), f"  {slope:+.2f} ({low:+.2f} to {high:+.2f})")
    first, last = np.median(np.array_split(values, 3)[0]), np.median(np.array_split(values, 3)[-1])
    if name.endswith("MiB"):
        return low > MEMORY
    if name.endswith("'s threads"):
        return first != last
    return name not in ("kernels", "thousand Python objects") and last > first


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", type=int, default=0, metavar="NUMBER", help="of the first action")
    parser.add_argument("--period", type=int, default=sys.maxsize, metavar="NUMBER", help="of different actions")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(ACTIONS), help=", ".join(ACTIONS))
    options = parser.parse_args()
    plt.switch_backend("Agg")
    warnings.simplefilter("ignore")
    soak = Soak(options.only, options.seed, options.at, options.period)
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        soak.watch()
        with contextlib.suppress(KeyboardInterrupt):
            soak.run(options.minutes, Path(folder))
    return int(not report(soak))


if __name__ == "__main__":
    sys.exit(main())
