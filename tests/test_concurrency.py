"""Fits in processes that were forked, and from several threads at once."""

import importlib.util
import multiprocessing
import os
import subprocess
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import numba
import numpy as np
import pytest

from fastem import GaussianMixture
from fastem.kernels import threads
from fastem.kernels.compiler import jit

from .grids import exhaustive

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def points():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(size=(20_000, 3)), 4 + rng.normal(size=(20_000, 3))])


def fitted(n_threads=None):
    return GaussianMixture(3, random_state=0, max_iter=20, n_threads=n_threads).fit(points())


def means(n_threads=None):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = fitted(n_threads).means_
    return result, [str(warning.message) for warning in caught if "one thread" in str(warning.message)]


@needs_fork
def test_a_forked_child_fits_to_the_same_bits():
    expected = fitted().means_
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
        for found, notes in pool.map(means, [None, 1, None]):
            np.testing.assert_array_equal(found, expected)
            assert len(notes) <= 1  # a process says so once
    np.testing.assert_array_equal(fitted().means_, expected)  # and the parent has its threads


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_os_fork():
    fitted()
    child = os.fork()
    if child == 0:
        try:
            warnings.simplefilter("ignore")
            os._exit(0 if np.isfinite(fitted().means_).all() else 1)
        finally:
            os._exit(2)
    assert os.waitpid(child, 0)[1] == 0
    fitted()


@exhaustive
def test_threads_at_once_do_not_disturb_each_other():
    expected = fitted().means_
    with ThreadPoolExecutor(4) as pool:
        for model in pool.map(fitted, [None, 1, 2, None, 1, None, 2, 1]):
            np.testing.assert_array_equal(model.means_, expected)


@pytest.mark.skipif(sys.platform == "win32", reason="the layers differ there")
def test_the_number_of_threads_of_a_fit_does_not_leak():
    before = numba.get_num_threads()
    fitted(n_threads=1)
    assert numba.get_num_threads() == before


def stops_after(function, times=1):
    """A function whose first calls are interrupted as soon as they have done their work."""
    left = [times]

    def call(*args):
        function(*args)
        if left and left[0]:
            left[0] -= 1
            raise KeyboardInterrupt

    return call


def limits():
    return numba.get_num_threads(), threads._blas_threads()


@pytest.mark.parametrize("times", [1, 2])  # on the way in; and on the way out, too
@pytest.mark.parametrize("which", ["numba", "BLAS"])
def test_an_interrupt_leaves_no_limit(which, times, monkeypatch):
    model, X = GaussianMixture(2, n_threads=1).fit(points()), points()
    before = limits()
    for library in threads._blas_libraries():
        library.set_num_threads(2)
    with monkeypatch.context() as patch:
        setting = threads._NUMBA.setting if which == "numba" else threads._BLAS
        patch.setattr(setting, "_write", stops_after(setting._write, times))
        with pytest.raises(KeyboardInterrupt):
            model.score(X)
    model.score(X)
    assert limits() == (before[0], [2] * len(before[1]))
    threads._set_blas_threads(before[1])


def test_a_limit_whose_holder_is_gone_ends_with_the_next():
    value = [7]
    setting = threads._Setting(lambda: value[0], lambda new: value.__setitem__(0, new))
    lost, other, last = (threads._Holder(number) for number in (1, 2, 3))
    setting.hold(lost)
    assert value == [1]
    setting.hold(other)
    setting.hold(last)
    assert value == [3]
    setting.release(other)
    assert value == [3]
    setting.release(last)
    assert value == [1]
    del lost
    setting.hold(None)
    assert value == [7]


# -- each threading layer ---------------------------------------------------------------------------------------------

ON_A_LAYER = """
import multiprocessing, os, threading, warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import joblib, numba, numpy as np
from fastem import GaussianMixture

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = np.concatenate([rng.normal(size=(20_000, 3)), 4 + rng.normal(size=(20_000, 3))])
N_THREADS = [None, 1, 2]

def fitted(n_threads=None):
    return GaussianMixture(3, random_state=0, max_iter=10, n_threads=n_threads).fit(X).means_

def fitted_in_threads(_):
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(fitted, N_THREADS))

def same(means):
    return np.array_equal(means, expected)

expected = fitted(1)
assert same(fitted()) and numba.threading_layer() == os.environ["NUMBA_THREADING_LAYER"]
with ThreadPoolExecutor(6) as pool:
    assert all(map(same, pool.map(fitted, 4 * N_THREADS)))
with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("fork")) as pool:
    assert all(map(same, pool.map(fitted, N_THREADS)))
    assert all(same(means) for several in pool.map(fitted_in_threads, range(2)) for means in several)
for backend in "loky", "threading", "multiprocessing":
    assert all(map(same, joblib.Parallel(2, backend=backend)(joblib.delayed(fitted)(n) for n in N_THREADS)))

def forked():
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if same(fitted()) else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1]

with ThreadPoolExecutor(1) as pool:  # a thread fits at the moment of the fork
    others = [pool.submit(fitted) for _ in range(4)]
    assert [forked() for _ in range(3)] == [0, 0, 0]
    assert all(same(other.result()) for other in others)
assert same(fitted())
print("equal")
"""


@exhaustive
@needs_fork
@pytest.mark.parametrize(("layer", "n_threads"), [("tbb", "2"), ("omp", "2"), ("workqueue", "2"), ("workqueue", "1")])
def test_on_a_layer_nothing_dies_or_waits_for_ever(layer, n_threads):
    if layer == "tbb" and importlib.util.find_spec("numba.np.ufunc.tbbpool") is None:
        pytest.skip("this Numba has no TBB layer")
    environment = {**os.environ, "NUMBA_THREADING_LAYER": layer, "NUMBA_NUM_THREADS": n_threads}
    environment["PYTHONPATH"] = str(Path(__file__).parent.parent)
    command = [sys.executable, "-c", ON_A_LAYER]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    if "No threading layer could be loaded" in result.stderr:
        pytest.skip(f"no library for {layer} here")
    # TBB says there, too, that it can't join its threads before a fork
    assert (result.returncode, result.stdout.splitlines()[-1:]) == (0, ["equal"]), result.stderr


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_locks_that_a_thread_holds_at_a_fork_are_free_in_the_child():
    with jit._WORKQUEUE_LOCK, threads._BLAS._lock:
        child = os.fork()
        if child == 0:
            locks = jit._WORKQUEUE_LOCK, threads._BLAS._lock
            os._exit(sum(lock.locked() for lock in locks))
    assert os.waitpid(child, 0)[1] == 0
