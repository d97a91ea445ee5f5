"""Ctrl-C in the middle of long work, and memory that doesn't suffice: an error soon, and nothing is half done."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastem import GaussianMixture
from fastem.kernels.compiler import jit
from fastem.kernels.cuts import Grid

from .grids import exhaustive

ENVIRONMENT = {
    **os.environ,
    **{"PYTHONPATH": str(Path(__file__).parent.parent), "OPENBLAS_NUM_THREADS": "1"},
    **{"NUMBA_NUM_THREADS": "2", "OMP_WAIT_POLICY": "passive"},  # who waits takes no processor's time
}

SOON = 1.0  # seconds of the processor in the main thread, so that other processes take none of them

# Each action would take many seconds; it is interrupted 0.3 s after its first kernel call (or random numbers) began.
ACTIONS = {
    "predict": ("wide", "model.predict(X)"),
    "predict_proba": ("wide", "model.predict_proba(X)"),
    "score_samples": ("wide", "model.score_samples(X)"),
    "score": ("wide", "model.score(X, sample_weight=np.ones(len(X)))"),
    "a pass over a file": ("wide", "model.set_params(warm_start=True).fit(file)"),
    "pass": ("wide", "model.set_params(warm_start=True).fit(X)"),
    "pass of float64": ("wide", "model.set_params(warm_start=True).fit(X[:1_000_000].astype(float))"),
    "batch": ("wide", "model.partial_fit(X)"),
    "start": ("wide", "model.set_params(warm_start=False, n_components=300).fit(X)"),
    "k-means": ("wide", "model.set_params(warm_start=False, n_components=300, algorithm='em').fit(X)"),
    "variational": ("variational", "model.fit(X)"),
    "select": ("wide", "fastem.select(X, [100, 200], n_init=3)"),
    "many features": ("heavy", "model.score(np.tile(X[:100_000], (1, 16))[:, :200])"),
    "sample": ("wide", "model.sample(30_000_000)"),
    "sample of many features": ("heavy", "model.sample(2_000_000)"),
    "sample of diagonal": ("diagonal", "model.sample(10_000_000)"),
}

INTERRUPTED = """
import json, os, signal, sys, threading, time, warnings
import numba, numpy as np, fastem
from fastem import BayesianGaussianMixture, GaussianMixture
from fastem.model.families import FAMILIES
from fastem.kernels import passes
from fastem.sources import ArraySource

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
few = (rng.normal(size=(20_000, 16)) + 4 * rng.integers(0, 9, size=(20_000, 1))).astype(np.float32)

def mixture(n_components, n_features, covariance_type="full"):
    model = GaussianMixture(covariance_type=covariance_type, random_state=0, tol=0)
    model.fit(rng.normal(size=(n_features + 9, n_features)))
    p = FAMILIES[covariance_type].with_variances(20 * rng.normal(size=(n_components, n_features)), np.ones(n_features))
    model.weights_, model.means_, model.covariances_ = p.weights, p.means, p.covariances
    model.precisions_cholesky_, model.precisions_ = p.precisions_cholesky, p.precisions()
    return model.set_params(n_components=n_components)

models = {
    "wide": mixture(200, 16), "heavy": mixture(300, 200), "diagonal": mixture(2, 50, "diag"),
    "variational": BayesianGaussianMixture(n_components=200, random_state=0, tol=0),
}
for model in models.values():  # an interrupt while kernels are loaded may be lost in a weak reference's callback
    if hasattr(model, "means_"):
        some = np.tile(few[:99], (1, 13))[:, : model.n_features_in_]
        model.predict(some), model.predict_proba(some), model.score(some)
        for dtype in np.float32, np.float64:
            ArraySource(some.astype(dtype)).e_step(model._parameters())
X = np.tile(few, (150, 1))
np.save(sys.argv[1], X)
file = np.load(sys.argv[1], mmap_mode="r")
sent, state = [], {"timer": None}

def used():
    return time.clock_gettime(time.pthread_getcpuclockid(threading.main_thread().ident))

def interrupt():
    sent.append(used())
    os.kill(os.getpid(), signal.SIGINT)

def start_timer():
    if state["timer"] is None:
        state["timer"] = threading.Timer(0.3, interrupt)
        state["timer"].start()

def run(*args, run=passes.run):
    start_timer()
    return run(*args)

passes.run = run
for name, (which, action) in json.loads(sys.argv[2]).items():
    model = models[which]
    attributes = {k: v for k, v in vars(model).items() if k.endswith("_") or k.startswith("_")}
    state["timer"] = None
    try:
        if "sample(" in action:
            start_timer()
        exec(action)
        result = "finished"
        state["timer"].cancel()
        state["timer"].join()  # where it came too late
    except KeyboardInterrupt:
        result = used() - sent[-1]
    after = {k: v for k, v in vars(model).items() if k.endswith("_") or k.startswith("_")}
    same = attributes.keys() == after.keys() and all(attributes[k] is after[k] for k in after)
    print(json.dumps([name, result, same, numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS]), flush=True)
os._exit(0)  # what an interrupted exec leaves would make the exit status that of an unhandled interrupt
"""


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory):
    path = tmp_path_factory.mktemp("interrupts") / "points.npy"
    command = [sys.executable, "-c", INTERRUPTED, str(path), json.dumps(ACTIONS)]
    result = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=600)
    path.unlink()
    assert result.returncode == 0, result.stderr
    return {name: values for name, *values in map(json.loads, result.stdout.splitlines())}


@exhaustive
@pytest.mark.skipif(sys.platform == "win32", reason="a process can't send itself Ctrl-C there")
@pytest.mark.parametrize("name", ACTIONS)
def test_an_interrupt_is_seen_soon_and_leaves_the_estimator_as_it_was(name, interrupted):
    seconds, is_same, has_all_threads = interrupted[name]
    assert seconds != "finished"
    assert seconds < SOON
    assert is_same and has_all_threads


# -- memory -----------------------------------------------------------------------------------------------------------


def test_results_too_large_for_any_memory_are_named():
    rng = np.random.default_rng(0)
    model = GaussianMixture(4, random_state=0).fit(rng.normal(size=(100, 2)))
    X = np.broadcast_to(np.uint8([[1, 2]]), (10**12, 2))  # takes two bytes
    model._scan = lambda source: source  # would look at them all
    for call, shape in [
        (lambda: model.predict(X), "(1000000000000,)"),
        (lambda: model.predict_proba(X), "(1000000000000, 4)"),
        (lambda: model.sample(10**13), "(10000000000000, 2)"),
    ]:
        with pytest.raises(MemoryError) as error:
            call()
        assert "Unable to allocate" in str(error.value) and "TiB" in str(error.value)
        assert shape in str(error.value)


@jit.chunk_kernel
def _too_large_from_the_second_on(chunk, context):
    _, out = jit.arguments(context)
    size = 1 << 50 if chunk > 0 else 1
    out[chunk] = np.zeros(size).sum()


@pytest.mark.parametrize("n_chunks", [2, 16])
@pytest.mark.parametrize("serial", [False, True])
def test_memory_that_lacks_in_one_of_the_threads_is_noticed(n_chunks, serial):
    grid = Grid(64, 64, 64, n_chunks, 0, serial)
    with pytest.raises(MemoryError):
        jit.run(_too_large_from_the_second_on, grid, np.zeros(n_chunks))


# Statistics of 9 MiB for each thread, under limits from nothing to enough.
LIMITED = """
import resource, warnings
import numpy as np
from fastem.model.families import FAMILIES
from fastem.sources import ArraySource

rng = np.random.default_rng(0)
X = rng.normal(size=(3000, 100))
parameters = FAMILIES["full"].with_variances(rng.normal(size=(120, 100)), np.ones(100))
source = ArraySource(X)

def result():
    statistics = source.accumulate(parameters)
    return statistics.second.sum(), statistics.log_likelihood

expected = result()
size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
for mebibytes in range(100, 400, 12):
    resource.setrlimit(resource.RLIMIT_AS, (size + (mebibytes << 20), resource.RLIM_INFINITY))
    try:
        found = result()
        print("same" if found == expected else f"wrong {found}")
    except MemoryError as error:
        print(error)
"""


@exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="a limit of Linux")
def test_under_any_limit_a_pass_is_right_or_says_what_it_asked_for():
    result = subprocess.run([sys.executable, "-c", LIMITED], env=ENVIRONMENT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    assert len(lines) == 25 and lines[-1] == "same" and lines[0] != "same"
    assert all(line == "same" or ("Unable to allocate" in line and "shape (" in line) for line in lines), set(lines)
