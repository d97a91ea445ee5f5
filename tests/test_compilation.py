"""What compiled code promises: options in one place, a cache that never goes stale, no access out of bounds."""

import gc
import logging
import os
import platform
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import fastem
from fastem.cli.live import Live, _Listener
from fastem.kernels.compiler import jit

from .fits import fitted, points
from .grids import exhaustive

PACKAGE = Path(fastem.__file__).parent


def run_python(code, path, **environment):
    environment = {**os.environ, "PYTHONPATH": str(path), **environment}
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True, cwd=path
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


def test_numba_options_are_named_in_one_file():
    for path in PACKAGE.rglob("*.py"):
        if path.name != "jit.py":
            assert not re.search(r"\bn?jit\(|fastmath|nogil|error_model", path.read_text()), path


def test_importing_fastem_is_cheap():
    code = "import sys, fastem; print(*[m for m in ('numba', 'numpy', 'sklearn', 'pandas') if m in sys.modules])"
    assert run_python(code, PACKAGE.parent) == []
    code = (
        "import fastem; print(fastem.GaussianMixture.__name__, 'warm_up' in dir(fastem), hasattr(fastem, 'nonsense'))"
    )
    assert run_python(code, PACKAGE.parent) == ["GaussianMixture", "True", "False"]


FIT = """
import numpy as np
from fastem import GaussianMixture
from fastem.kernels import passes
X = np.asfortranarray(np.random.default_rng(0).normal(size=(100, 2)))
model = GaussianMixture(2, covariance_type="spherical", max_iter=0, init_params="random", random_state=0).fit(X)
stats = passes._pass_over_chunk.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), model.means_.sum())
"""


@exhaustive
def test_the_cache_serves_the_next_process_and_notices_a_changed_callee(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "fastem", ignore=shutil.ignore_patterns("__pycache__"))
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    hits, misses, result = run_python(FIT, tmp_path, **cache)
    assert (hits, misses) == ("0", "1")
    assert run_python(FIT, tmp_path, **cache) == ["1", "0", result]

    # Numba itself would go on running the old code: the file that calls load_block is the same.
    callee = tmp_path / "fastem" / "kernels" / "points.py"
    source = callee.read_text()
    assert source.count("dtype_code) - origin[i]") == 1
    callee.write_text(source.replace("dtype_code) - origin[i]", "dtype_code) - origin[i] + 1.0"))
    hits, misses, changed = run_python(FIT, tmp_path, **cache)
    assert (hits, misses) == ("0", "1")
    assert changed != result


@exhaustive
def test_a_cache_of_another_version_is_no_hindrance(tmp_path):
    """It names types that are no longer there."""
    shutil.copytree(PACKAGE, tmp_path / "fastem", ignore=shutil.ignore_patterns("__pycache__"))
    cache = {"NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    result = run_python(FIT, tmp_path, **cache)[2]
    for path in (tmp_path / "fastem" / "kernels").rglob("*.py"):
        path.write_text(re.sub(r"\bGrid\b", "Lattice", path.read_text()))
    assert run_python(FIT, tmp_path, **cache) == ["0", "1", result]


@exhaustive
def test_warm_up_leaves_nothing_to_compile(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "fastem", "warm-up", "spherical", "--dtype", "float64"]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=PACKAGE.parent)
    assert result.returncode == 0 and result.stdout == ""
    assert [line.split("]")[1].split()[0] for line in result.stderr.splitlines()] == ["0/1", "1/1"]
    assert run_python(FIT, PACKAGE.parent, NUMBA_CACHE_DIR=str(tmp_path))[:2] == ["1", "0"]


@exhaustive
def test_two_processes_may_fill_the_cache_at_once(tmp_path):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path), "PYTHONPATH": str(PACKAGE.parent)}
    start = {"env": environment, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen([sys.executable, "-c", FIT], **start) for _ in range(2)]
    results = [process.communicate()[0].split() for process in processes]
    assert results[0][2] == results[1][2]
    assert run_python(FIT, PACKAGE.parent, **environment) == ["1", "0", results[0][2]]


@exhaustive
def test_a_package_that_cannot_be_written_to_is_cached_in_the_users_folder(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "fastem", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "fastem" / "kernels" / "__pycache__").write_text("no folder can be made here")
    folders = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path), "NUMBA_CACHE_DIR": ""}
    hits, misses, result = run_python(FIT, tmp_path, **folders)
    assert (hits, misses) == ("0", "1")
    assert run_python(FIT, tmp_path, **folders) == ["1", "0", result]
    assert list(tmp_path.glob("**/*.nbi"))


def test_no_place_for_a_cache_is_one_warning():
    code = """
import warnings
from numba.core import caching
caching.CacheImpl._locator_classes = []
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    from fastem.kernels import passes
print(len(caught), "NUMBA_CACHE_DIR" in str(caught[0].message), caught[0].category.__name__)
"""
    assert run_python(code, PACKAGE.parent) == ["1", "True", "RuntimeWarning"]


BOUNDS = """
import numpy as np
from numba import njit
from fastem.kernels import HARD, NO_POINT_ANNOTATIONS, STOCHASTIC, cuts, leading, leading_pass, passes, points
from fastem.kernels.compiler.calls import placed
from fastem.kernels.pruning import no_pruning, pruning
from fastem.kernels.sums import ROW
from fastem.model.families import STANDARD
from tests.problems import make_problem

over_chunk = njit(lambda *args: passes._pass_over_chunk(0, placed(args)))
leading_over_chunk = njit(lambda *args: leading_pass.leading_pass_over_chunk(0, placed(args)))
grid = cuts.Grid(block=64, leaf=70, window=70, n_chunks=1, first_row=0, serial=True)
n_runs = 0
for covariance_type in STANDARD:
    for n_features in (1, 2, 3, 4, 5, 8, 9, 11):
        for n_components in (1, 3):
            problem = make_problem(150, n_features, n_components, covariance_type)
            for exact in (False, True):
                inputs = problem.parameters.kernel_inputs(exact)
                data = points.points(problem.X)
                cells = np.zeros(150, np.uint16)
                moments = np.zeros((1, 2, *inputs.zero_moments(1).shape[1:]))
                out, labels = np.empty((150, n_components)), np.empty(150, np.int64)
                centres = problem.means - inputs.origin
                sinks = [passes.Sink(what, centres, moments, out, labels) for what in range(5)]
                everything = no_pruning(inputs)
                for given in (
                    NO_POINT_ANNOTATIONS,
                    NO_POINT_ANNOTATIONS._replace(assignment=HARD),
                    NO_POINT_ANNOTATIONS._replace(assignment=STOCHASTIC),
                    NO_POINT_ANNOTATIONS._replace(labels=np.zeros(150, np.int64), weights=np.ones(150)),
                    NO_POINT_ANNOTATIONS._replace(responsibilities=np.ones((150, n_components)), e_step=False),
                    NO_POINT_ANNOTATIONS._replace(responsibilities=np.ones((150, n_components))),
                ):
                    for sink in sinks:
                        over_chunk(grid, data, inputs, everything, given, cells, np.zeros((1, ROW)), sink)
                n_runs += 1
    for n_features in (1, 3, 6):
        problem = make_problem(700, n_features, 35, covariance_type)
        inputs = problem.parameters.kernel_inputs()
        data, cells = points.points(problem.X), np.arange(700, dtype=np.uint16) % 70
        some = grid._replace(leaf=600, window=300)
        for by_cell in (False, True):
            pruned = pruning(inputs, 40.0, by_cell)
            moments = np.zeros((1, 2, *inputs.zero_moments(1).shape[1:]))
            out, labels = np.empty((700, 35)), np.empty(700, np.int64)
            for what in range(5):
                sink = passes.Sink(what, inputs.means, moments, out, labels)
                over_chunk(some, data, inputs, pruned, NO_POINT_ANNOTATIONS, cells, np.zeros((1, ROW)), sink)
            n_runs += 1
for n_features in (1, 16, 17, 41):
    problem = make_problem(700, n_features, 35, "diag")
    inputs = problem.parameters.kernel_inputs()
    data, cells = points.points(problem.X), np.arange(700, dtype=np.uint16) % 70
    moments = np.zeros((1, 2, *inputs.zero_moments(1).shape[1:]))
    sink = passes.Sink(passes.STATISTICS, inputs.means, moments, np.empty((0, 0)), passes.NO_LABELS)
    prepared = leading.prepare(inputs, 40.0)
    leading_over_chunk(some, data, inputs, prepared, NO_POINT_ANNOTATIONS, cells, np.zeros((1, ROW)), sink)
    n_runs += 1
print(n_runs)
"""


@exhaustive
def test_nothing_is_read_or_written_out_of_bounds(tmp_path):
    """On the serial tier: Numba swallows what is raised in a parallel loop."""
    root = Path(__file__).parent.parent
    environment = {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    assert run_python(BOUNDS, root, **environment) == ["156"]


FEW = """
import numpy as np, fastem
from fastem.kernels.compiler.cpu import REGISTER
X = np.random.default_rng(0).normal(size=(60, 2)) + np.repeat([[0], [5]], 30, axis=0)
model = fastem.GaussianMixture(2, algorithm="em", random_state=0, n_threads=1).fit(X)
print(REGISTER, model.n_iter_, *model.means_.ravel(), model.predict(X).sum())
"""


def test_without_compiling_the_numbers_are_the_same_to_rounding(tmp_path):
    compiled = run_python(FEW, PACKAGE.parent)
    interpreted = run_python(FEW, PACKAGE.parent, NUMBA_DISABLE_JIT="1", NUMBA_CACHE_DIR=str(tmp_path))
    np.testing.assert_allclose(np.array(interpreted, float), np.array(compiled, float), rtol=1e-10)
    assert not list(tmp_path.iterdir())


@exhaustive
@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="names of its processors")
def test_code_for_another_processor_is_cached_beside(tmp_path):
    """As an image is built on one machine and run on others: the same settings find the code, others have their own."""
    older = {"NUMBA_CPU_NAME": "x86-64-v3", "NUMBA_CPU_FEATURES": "+avx,+avx2,+fma,+bmi,+bmi2,+f16c,+lzcnt,+popcnt"}
    cache = {"NUMBA_CACHE_DIR": str(tmp_path)}
    first = run_python(FEW, PACKAGE.parent, **older, **cache)
    assert first[0] == "32"
    n_files = len(list(tmp_path.rglob("*.nbc")))
    assert run_python(FEW, PACKAGE.parent, **older, **cache) == first
    assert len(list(tmp_path.rglob("*.nbc"))) == n_files
    here = run_python(FEW, PACKAGE.parent, **cache)
    assert len(list(tmp_path.rglob("*.nbc"))) > n_files
    np.testing.assert_allclose(np.array(here[1:], float), np.array(first[1:], float), rtol=1e-10)


WITHOUT_ADDRESSES = """
import warnings
import numpy as np, fastem
from fastem.kernels.compiler import jit
X = np.random.default_rng(0).normal(size=(3000, 2))
usual = fastem.GaussianMixture(2, covariance_type="spherical", algorithm="em", random_state=0).fit(X)
jit._calls_by_address.cache_clear()
jit._launch = None
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    other = fastem.GaussianMixture(2, covariance_type="spherical", algorithm="em", random_state=0).fit(X)
print(len(caught), "by address" in str(caught[0].message), usual.lower_bounds_ == other.lower_bounds_)
"""


@exhaustive
def test_another_numba_that_passes_arguments_otherwise_is_one_warning():
    assert run_python(WITHOUT_ADDRESSES, PACKAGE.parent) == ["1", "True", "True"]


def test_other_ways_to_write_the_same_compile_nothing_more():
    X, groups = points(400)
    shares = 0.1 + np.eye(3)[groups]
    lacking = np.where(np.random.default_rng(0).random(X.shape) < 0.1, np.nan, X)

    def fits(zero, shares, n_components):
        fitted(X, algorithm="em", max_iter=5, tol=zero, reg_covar=zero)
        fitted(X, labels=shares, algorithm="em", max_iter=2)
        # One covariance matrix, made by broadcasting it or not.
        fitted(lacking, n_components, covariance_type="tied", missing="em", algorithm="em", max_iter=2)

    fits(0.0, shares, 2)
    before = set(jit._addresses.values())
    fits(0, np.asfortranarray(shares), 1)
    assert set(jit._addresses.values()) == before


def test_long_compilation_is_logged_once(monkeypatch, caplog):
    monkeypatch.setattr(jit, "_LONG", 0.0)
    monkeypatch.setattr(jit, "_said", threading.Event())
    caplog.set_level(logging.INFO, "fastem")
    was_enabled = gc.isenabled()
    for _ in range(2):
        with jit._compiling():
            assert not gc.isenabled()
            assert jit._said.wait(10)
    for thread in threading.enumerate():  # the first timer's may be about to log
        if isinstance(thread, threading.Timer):
            thread.join(10)
    assert gc.isenabled() == was_enabled
    assert [record.getMessage() for record in caplog.records] == [
        "compiling kernels, once on this machine; fastem.warm_up() or 'fastem warm-up' does it ahead of time"
    ]


def test_a_command_shows_what_is_logged():
    said = []
    live = Live(is_wanted=False)
    live.say = said.append
    _Listener(live).handle(logging.makeLogRecord({"msg": "compiling %s", "args": ("kernels",)}))
    assert said == ["compiling kernels"]
