"""Files larger than the memory that a process may have."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from .grids import exhaustive

# The process may have no more than 64 MiB of memory of its own beside what it has after a first fit; pages of files
# don't count. Then it fits a file of four times as much.
LIMITED_FIT = """
import resource, sys, warnings
import numpy as np
from fastem import GaussianMixture

def status(name):
    lines = open("/proc/self/status").read().splitlines()
    return int(next(line for line in lines if line.startswith(name + ":")).split()[1]) << 10

path, covariance_type = sys.argv[1:]
warnings.simplefilter("ignore")
model = GaussianMixture(8, covariance_type=covariance_type, random_state=0, max_iter=3)
rng = np.random.default_rng(0)
model.fit((5 * rng.normal(size=(8, 16))[rng.integers(8, size=30_000)] + rng.normal(size=(30_000, 16))).astype("f4"))
limit = status("VmData") + (64 << 20)
resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
open("/proc/self/clear_refs", "w").write("5")  # the peak from here on
before = status("VmRSS")
X = np.load(path, mmap_mode="r")
model.fit(X)
labels = model.predict(X)
try:
    np.ones(X.shape)
except MemoryError:
    print("limited", model.lower_bound_, (status("VmHWM") - before - labels.nbytes) >> 20)
"""


@exhaustive
@pytest.mark.skipif(sys.platform != "linux", reason="limits and /proc of Linux")
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_file_of_several_times_the_memory_there_is(tmp_path, covariance_type):
    rng = np.random.default_rng(0)
    block = (5 * rng.normal(size=(8, 16))[rng.integers(8, size=200_000)] + rng.normal(size=(200_000, 16))).astype("f4")
    path = tmp_path / "points.npy"
    X = np.lib.format.open_memmap(path, "w+", np.float32, (20 * len(block), 16))  # 244 MiB
    for start in range(0, len(X), len(block)):
        X[start : start + len(block)] = block
    X.flush()
    del X
    root = str(Path(__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", LIMITED_FIT, str(path), covariance_type]
    result = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    what, bound, mebibytes = result.stdout.split()
    assert what == "limited"
    assert -40 < float(bound) < -20
    assert int(mebibytes) < 40
