"""What a fresh process waits for: the import, and the first fit with kernels to compile or to load."""

import os
import shutil
import subprocess
import sys
import tempfile
import time

_FIRST_FIT = """
import warnings
import numpy as np
from fastem import GaussianMixture
warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(1000, 5))
GaussianMixture(3, covariance_type={covariance_type!r}, random_state=0).fit(X)
"""


class FirstFit:
    """Whole processes, from the interpreter's start: import, data, one small fit."""

    param_names = ("covariance_type",)
    params = (["full", "diag"],)
    timeout = 300

    def setup(self, covariance_type):
        self.folder = tempfile.mkdtemp()
        self.code = _FIRST_FIT.format(covariance_type=covariance_type)

    def teardown(self, covariance_type):
        shutil.rmtree(self.folder)

    def _seconds(self):
        begin = time.perf_counter()
        environment = {**os.environ, "NUMBA_CACHE_DIR": self.folder}
        subprocess.run([sys.executable, "-c", self.code], env=environment, check=True)
        return time.perf_counter() - begin

    def track_cold(self, covariance_type):
        """Kernels compiled and written to the cache."""
        return self._seconds()

    def track_cached(self, covariance_type):
        """Kernels loaded from the cache: the third process, so that files are in the system's memory."""
        self._seconds()
        self._seconds()
        return self._seconds()

    track_cold.unit = track_cached.unit = "s"


def timeraw_import():
    return "import fastem"


def timeraw_import_estimator():
    return "from fastem import GaussianMixture"
