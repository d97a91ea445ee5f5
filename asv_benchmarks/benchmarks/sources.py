"""Passes over points that aren't in memory, or come batch by batch."""

import os
import tempfile
import time

import numpy as np

from fastem import GaussianMixture

from .common import (
    USUAL,
    best_seconds,
    fit,
    make_case,
    seconds_per_iteration,
    setup_cache,  # noqa: F401 (for asv)
)

_TIMES = 10  # the usual 100,000 points, one after another


def _memory_mapped(X, folder):
    path = os.path.join(folder, "points.npy")
    np.save(path, X)
    return np.load(path, mmap_mode="r")


def _blocks(X, folder):
    return lambda: (X[start : start + 50_000] for start in range(0, len(X), 50_000))


def _parquet(X, folder):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = os.path.join(folder, "points.parquet")
    columns = {f"x{i}": column for i, column in enumerate(X.T)}
    pq.write_table(pa.table(columns), path, row_group_size=200_000)
    return path


def _dask(X, folder):
    import dask.array as da

    return da.from_array(X, chunks=(150_000, -1))


_SOURCES = {
    "array": lambda X, folder: X,
    "memory-mapped": _memory_mapped,
    "blocks": _blocks,
    "parquet": _parquet,
    "dask, local": _dask,
}


class Sources:
    """The usual pass over a million points, wherever they are."""

    param_names = ("source", "covariance_type")
    params = (list(_SOURCES), ["full", "diag"])

    def setup(self, source, covariance_type):
        X, self.start = make_case(f"{covariance_type} {USUAL}")
        self.folder = tempfile.TemporaryDirectory()
        self.X = _SOURCES[source](np.tile(X, (_TIMES, 1)), self.folder.name)
        self.n_samples = _TIMES * len(X)
        self.fit_for(1)  # loads the kernels

    def teardown(self, source, covariance_type):
        del self.X
        self.folder.cleanup()

    def fit_for(self, n_iterations):
        return fit(self.X, max_iter=n_iterations, **self.start)

    def track_points_per_second(self, source, covariance_type):
        """Of one pass; the more the better."""
        return self.n_samples / seconds_per_iteration(self.fit_for, short=1, long=6, repeats=3)

    track_points_per_second.unit = "points/s"

    def peakmem_fit(self, source, covariance_type):
        self.fit_for(3)

    def track_negative_log_likelihood(self, source, covariance_type):
        return -float(self.fit_for(3).lower_bound_)

    track_negative_log_likelihood.unit = "nats"


class Stream:
    """`partial_fit` on batches of 10,000 points, beside a pass over as many in memory."""

    param_names = ("case",)
    params = ([f"full {USUAL}", f"diag {USUAL}"],)

    def setup(self, case):
        X, start = make_case(case)
        self.X = np.tile(X, (_TIMES, 1))
        self.start = start
        self.model = GaussianMixture(start["n_components"], covariance_type=start["covariance_type"], random_state=0)
        for _ in range(5):  # M-steps grow rarer with the points seen
            self.take_all()

    def take_all(self):
        for start in range(0, len(self.X), 10_000):
            self.model.partial_fit(self.X[start : start + 10_000])

    def time_partial_fit(self, case):
        self.take_all()

    def track_share_of_pass(self, case):
        """Points a second, as a share of a pass's in memory; the more the better."""
        in_memory = seconds_per_iteration(self.fit_for, short=1, long=6, repeats=3)
        return in_memory / best_seconds([self.take_all], repeats=5)[0]

    track_share_of_pass.unit = "share"

    def fit_for(self, n_iterations):
        fit(self.X, max_iter=n_iterations, **self.start)


class Cluster:
    """Two single-threaded Dask workers beside one: seconds of a pass over 4 million points of theirs."""

    timeout = 600

    def track_speed_up(self):
        seconds = [self._seconds(n_workers) for n_workers in (1, 2)]
        return seconds[0] / seconds[1]

    track_speed_up.unit = "times"

    def _seconds(self, n_workers):
        import dask.array as da
        from distributed import Client, LocalCluster, wait

        X, start = make_case(f"full {USUAL}")
        cluster = {"threads_per_worker": 1, "dashboard_address": None, "memory_limit": None}
        with LocalCluster(n_workers=n_workers, **cluster) as workers, Client(workers):
            points = da.concatenate([da.from_array(X, chunks=len(X))] * 40).rechunk((500_000, -1)).persist()
            wait(points)
            fit(points, max_iter=1, **start)
            times = []
            for n_iterations in (2, 8):
                begin = time.perf_counter()
                fit(points, max_iter=n_iterations, **start)
                times.append(time.perf_counter() - begin)
        return (times[1] - times[0]) / 6
