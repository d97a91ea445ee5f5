"""The same points as an array, held in the other ways that a fit takes them."""

import numpy as np
import pandas as pd
import pytest

NAMES = ["length", "width", "height", "weight"]


def arrow():
    return pytest.importorskip("pyarrow", reason="pyarrow is optional")


def blocks_of(X, as_block=np.asarray, seed=0):
    """A function that hands out X cut elsewhere in each pass, some blocks empty."""
    rng = np.random.default_rng(seed)

    def blocks():
        cuts = np.sort(rng.integers(0, len(X) + 1, size=6))
        return (as_block(rows) for rows in np.split(X, [*cuts, cuts[-1]]))

    return blocks


def frame(X):
    return pd.DataFrame(X, columns=NAMES[: X.shape[1]])


def table(X, **more):
    columns = {**dict(zip(NAMES, X.T, strict=False)), **more}
    return arrow().table({name: np.ascontiguousarray(column) for name, column in columns.items()})


def batch(X):
    return arrow().RecordBatch.from_pydict({name: np.ascontiguousarray(x) for name, x in zip(NAMES, X.T, strict=False)})


def npy(X, folder):
    np.save(folder / "points.npy", X)
    return folder / "points.npy"


def memmap(X, folder):
    X.tofile(folder / "points")
    return np.memmap(folder / "points", mode="r", dtype=X.dtype, shape=X.shape)


def parquet(X, file, rows_a_group=700, **more):
    arrow()
    import pyarrow.parquet

    pyarrow.parquet.write_table(table(X, **more), file, row_group_size=rows_a_group)
    return file


def parquet_folder(X, folder):
    folder = folder / "points"
    (folder / "b").mkdir(parents=True)
    for name, rows in zip(
        ["a.parquet", "b/1.parq", "b/2.parquet", "c.parquet"], np.split(X, [900, 900, 1700]), strict=True
    ):
        parquet(rows, folder / name, 401)
    (folder / "_SUCCESS").touch()
    (folder / "_metadata.parquet").write_text("none of the points")
    return folder


HELD = {
    "memmap": memmap,
    ".npy": npy,
    "arrays": lambda X, folder: blocks_of(X),
    "Fortran arrays": lambda X, folder: blocks_of(X, np.asfortranarray),
    "frames": lambda X, folder: blocks_of(X, frame),
    "record batches": lambda X, folder: blocks_of(X, batch),
    "Arrow table": lambda X, folder: table(X),
    "Parquet file": lambda X, folder: parquet(X, folder / "points.parquet"),
    "Parquet folder": parquet_folder,
}


def with_nan(X, rows, value=np.nan):
    X = X.copy()
    X[rows, 1] = value
    return X
