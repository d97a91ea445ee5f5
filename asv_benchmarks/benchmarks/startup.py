"""What a fresh process waits for: the import, and the first fit with kernels to compile or to load."""

import os
import subprocess
import sys
import tempfile
import time

_FIRST_FIT = """
import time
import warnings
import numpy as np
from fastem import GaussianMixture
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(1000, 5))
begin = time.perf_counter()
GaussianMixture(3, covariance_type={covariance_type!r}, random_state=0).fit(X)
print(time.perf_counter() - begin)
"""
_COVARIANCE_TYPES = ["full", "diag"]


class FirstFit:
    """Whole processes, from the interpreter's start: import, data, one small fit."""

    param_names = ("covariance_type",)
    params = (_COVARIANCE_TYPES,)

    def setup_cache(self):
        """Kernels in the working folder, which asv keeps for the benchmarks of this class."""
        for covariance_type in _COVARIANCE_TYPES:
            _first_fit(covariance_type, os.getcwd())

    def track_cold(self, covariance_type):
        """Kernels compiled and written to the cache."""
        with tempfile.TemporaryDirectory() as empty:
            return _first_fit(covariance_type, empty)[0]

    def track_cached(self, covariance_type):
        """Kernels loaded from the cache."""
        return min(_first_fit(covariance_type, os.getcwd())[0] for _ in range(3))

    def track_cached_fit_over_import(self, covariance_type):
        """The same without interpreter and import: the fit alone, by its own process's clock."""
        return min(_first_fit(covariance_type, os.getcwd())[1] for _ in range(3))

    track_cold.unit = track_cached.unit = track_cached_fit_over_import.unit = "s"


def _first_fit(covariance_type, kernel_cache):
    """Seconds of a process, and of the fit in it."""
    begin = time.perf_counter()
    process = subprocess.run(
        [sys.executable, "-c", _FIRST_FIT.format(covariance_type=covariance_type)],
        env={**os.environ, "NUMBA_CACHE_DIR": kernel_cache},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return time.perf_counter() - begin, float(process.stdout)


def timeraw_import():
    return "import fastem"


def timeraw_import_estimator():
    return "from fastem import GaussianMixture"
