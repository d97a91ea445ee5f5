"""Damaged and forged files by the hundred thousand: `python -m tests.fuzz --seconds 60 model csv npy parquet`.

Each target has a worker process with little memory, which says so before it opens a case; whoever waits for it sees a
crash, a hang, or an error of a kind that a user should never see. The case that did it is kept.
"""

import argparse
import bz2
import contextlib
import gzip
import io
import json
import lzma
import os
import random
import select
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np

HANGS = 20  # seconds that no case may take
MEMORY = 1 << 30  # bytes that a worker may have beside what it has before the first case
FORBIDDEN = "os.system", "os.exec", "os.fork", "os.posix_spawn", "subprocess.", "socket.", "pickle."

INTERESTING = [0, 1, 2, 7, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**64 - 1]


# -- any bytes --------------------------------------------------------------------------------------------------------


def mutated(content, rng, others=(), words=()):
    """Bytes with a few changes of the usual kinds."""
    content = bytearray(content)
    for _ in range(rng.choice([1, 1, 1, 2, 3, 8])):
        size = len(content)
        at = rng.randrange(size + 1)
        length = min(rng.choice([1, 2, 4, 8, 16, 100, 1000]), size - at)
        match rng.randrange(10):
            case 0 if at < size:
                content[at] ^= 1 << rng.randrange(8)
            case 1 if at < size:
                content[at] = rng.randrange(256)
            case 2:
                content[at : at + length] = rng.randbytes(length)
            case 3:
                del content[at : at + length]
            case 4:
                content[at:at] = content[at : at + length] * rng.choice([1, 1, 2, 30])
            case 5:
                content[at:] = b""
            case 6:
                width, order = rng.choice([1, 2, 4, 8]), rng.choice(["little", "big"])
                number = rng.choice(INTERESTING) % 256**width
                content[at : at + width] = number.to_bytes(width, order)
            case 7 if words:
                content[at : at + rng.choice([0, length])] = rng.choice(words)
            case 8 if others:
                other = rng.choice(others)
                start = rng.randrange(len(other) + 1)
                content[at:] = other[start:]
            case _:
                to = rng.randrange(size + 1)
                content[to : to + length] = content[at : at + length]
    return bytes(content)


# -- targets ----------------------------------------------------------------------------------------------------------


class Model:
    """A model's file: its bytes, its JSON, its arrays."""

    suffix = ".npz"
    allowed = (ValueError,)

    def __init__(self, folder):
        from fastem import BayesianGaussianMixture, GaussianMixture

        rng = np.random.default_rng(0)
        X = np.concatenate([rng.normal(size=(60, 2)), 4 + rng.normal(size=(60, 2))])
        self.seeds = []
        for cls, params in [
            (GaussianMixture, {"covariance_type": "full"}),
            (GaussianMixture, {"covariance_type": "tied", "max_iter": 3, "tol": 0}),
            (GaussianMixture, {"covariance_type": "diag", "assignment": "stochastic", "max_iter": 3, "tol": 0}),
            (GaussianMixture, {"covariance_type": "spherical", "random_state": np.random.RandomState(0)}),
            (BayesianGaussianMixture, {"covariance_type": "full", "max_iter": 3}),
        ]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                cls(**{"n_components": 2, "random_state": 0, **params}).fit(X).save(folder / "seed.npz")
            self.seeds.append((folder / "seed.npz").read_bytes())
        self._members = [self._taken_apart(seed) for seed in self.seeds]
        self._X = X[:5]

    def _taken_apart(self, content):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        header = json.loads(str(np.load(io.BytesIO(members.pop("header.npy")))))
        return header, members

    def case(self, rng):
        kind = rng.randrange(4)
        if kind == 0:
            return mutated(rng.choice(self.seeds), rng, self.seeds)
        header, members = rng.choice(self._members)
        members = dict(members)
        if kind == 1:
            name = rng.choice(list(members))
            members[name] = mutated(members[name], rng, list(members.values()))
        elif kind == 2:
            header = self._changed(json.loads(json.dumps(header)), rng)
        text = json.dumps(header)
        if kind == 3:
            text = mutated(text.encode(), rng).decode("latin-1").replace("\0", " ")
        buffer = io.BytesIO()
        np.save(buffer, np.array(text))
        members["header.npy"] = buffer.getvalue()
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for name, content in members.items():
                archive.writestr(name, content)
        return out.getvalue()

    def _changed(self, header, rng):
        """JSON with a few values in other places, of other kinds, or gone."""
        for _ in range(rng.choice([1, 1, 2, 4])):
            places = list(_places(header))
            parent, key = rng.choice(places)
            match rng.randrange(4):
                case 0:
                    del parent[key]
                case 1:
                    other, name = rng.choice(places)
                    with contextlib.suppress(KeyError, IndexError):
                        parent[key] = json.loads(json.dumps(other[name]))
                case 2 if isinstance(parent, dict):
                    parent[rng.choice(["@array", "@class", "@strings", "x" * 100])] = parent[key]
                case _:
                    parent[key] = json.loads(rng.choice(_VALUES))
        return header

    def run(self, path):
        import fastem

        model = fastem.load(path)
        X = np.resize(self._X, (5, model.n_features_in_))
        with contextlib.suppress(ValueError):  # of features that don't fit their names
            model.predict(X)
            model.predict_proba(X)
            model.score_samples(X)
        with contextlib.suppress(ValueError, TypeError):
            model.save(path)
        if getattr(model, "_unfinished", None) is not None and model._unfinished.n_samples == 120:
            with contextlib.suppress(ValueError):
                model.set_params(warm_start=True, max_iter=2).fit(np.resize(self._X, (120, model.n_features_in_)))


_VALUES = [
    *map(str, [-1, 0, 1, 2**31, 2**63, 2**64, 10**400, -0.0]),
    *(
        "1e999",
        "NaN",
        "-Infinity",
        "true",
        "null",
        '""',
        '"full"',
        '"\\ud800"',
        "[]",
        "{}",
        "[[[[]]]]",
        '{"@array": "a"}',
    ),
]


def _places(value):
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from _places(value[key])


class Csv:
    """Delimited text, compressed or not."""

    suffix = ".csv"

    def __init__(self, folder):
        from fastem.cli.messages import TableError

        self.allowed = (TableError,)
        table = "x,y,group\n1.5,2,a\n-2.5e3,nan,b\n3,,\n.5,7,a\n" + "1,2,c\n" * 20
        texts = [
            table,
            table.replace(",", ";").replace(".", ","),
            table.replace(",", "\t"),
            table.replace("\n", "\r\n"),
            table.replace("\n", "\r"),
            '"a b","c ""d"""\n"1","2"\n"1.5","3\n"\n',
            "# a b\n1 2\n 3   4\n",
            "sep=;\nx;y\n1;2\n3;4\n",
            '"" "x" "y"\n"1" 2 3\n"2" 4 5\n',
            "0,1,2\n1.5,2.5,3.5\n4.5,5.5,6.5\n",
            "1,2,\n3,4,\n",
        ]
        self.seeds = [text.encode() for text in texts]
        self.seeds += [
            table.encode("utf-16"),
            b"\xef\xbb\xbf" + table.encode(),
            table.replace("a", "\xe4").encode("cp1252"),
        ]
        self._words = [
            *(
                b'"',
                b'""',
                b",",
                b";",
                b"\t",
                b" ",
                b"\r",
                b"\n",
                b"\r\n",
                b"\0",
                b"#",
                b"sep=",
                b"\xff\xfe",
                b"\xef\xbb\xbf",
            ),
            *(b"1e999", b"-inf", b"nan", b"NULL", b"1_000", b"0x1p3", b"9" * 400, b"9" * 5000, b"1" + b"0" * 200_000),
            *(
                b"\xe2\x82\xac",
                b"\xed\xa0\x80",
                b"\xc2\xb2",
                b"\xd9\xa1",
                b"," * 2000,
                b'"' * 999,
                b"\n" * 500,
                b" " * 5000,
            ),
            *(b"-", b"+", b"e", b".", b"1.5", b"x", b"True", b"\x1f\x8b", b"BZh9", b"\xfd7zXZ\0"),
        ]

    def case(self, rng):
        content = mutated(rng.choice(self.seeds), rng, self.seeds, self._words)
        if rng.random() < 0.1:
            packed = rng.choice([gzip.compress, bz2.compress, lzma.compress])
            content = packed(content * (2000 if len(content) < 5000 and rng.random() < 0.2 else 1))
            if rng.random() < 0.7:
                content = mutated(content, rng)
        return content

    def run(self, path):
        from fastem.cli.tables import open_table

        width = len(open_table(path).names)
        for labels in {None, width - 1}:
            with contextlib.suppress(*self.allowed):
                table = open_table(path)
                data = table.read(table.chosen(aside=() if labels is None else (labels,)), labels=labels)
                assert np.isfinite(next(iter(data.points.read()), np.empty(0))).all()
                if labels is not None:
                    data.labels.components(3)


class Npy:
    """NumPy's arrays, as the command line and as `fit` read them."""

    suffix = ".npy"

    def __init__(self, folder):
        from fastem.cli.messages import TableError
        from fastem.sources import SourceError

        self.allowed = (TableError, SourceError)
        X = np.arange(24.0).reshape(8, 3)
        arrays = [X, X.astype("f4"), X.astype(">f8"), np.asfortranarray(X), X.astype("u1"), X[:, 0], X > 4]
        self.seeds = []
        for array in [*arrays, X.astype("i2"), X.astype("f2"), np.empty((0, 3)), np.empty((3, 0))]:
            buffer = io.BytesIO()
            np.save(buffer, array)
            self.seeds.append(buffer.getvalue())
        for version in [(2, 0), (3, 0)]:
            buffer = io.BytesIO()
            np.lib.format.write_array(buffer, X, version)
            self.seeds.append(buffer.getvalue())
        self._words = [
            *(b"(", b")", b"[", b"{", b"'", b",", b"-", b"~", b"9" * 5, b"9" * 12, b"9" * 19, b"9" * 5000, b"(" * 300),
            *(
                b"[" * 120,
                b"-" * 4000,
                b"'descr'",
                b"'shape'",
                b"L",
                b"j",
                b"1e9",
                b"True",
                b"None",
                b"\n",
                b"#",
                b"\\",
            ),
            *(
                b"lambda:",
                b"__import__('os')",
                b"b'",
                b"\x93NUMPY",
                b"f'{1}'",
                b"|O",
                b"<f0",
                b"<V8",
                b"<M8[s]",
                b"|b1",
            ),
        ]

    def case(self, rng):
        content = rng.choice(self.seeds)
        if rng.random() < 0.4:
            return mutated(content, rng, self.seeds, self._words)
        number = lambda: rng.choice([0, 1, 3, 8, -1, -8, True, *INTERESTING, 10**12, 2**61, 10**30, 1.5])  # noqa: E731
        shape = tuple(number() for _ in range(rng.choice([0, 1, 2, 2, 2, 2, 3, 33])))
        if rng.random() < 0.5:
            shape = rng.choice([(8, 3), (24,), (3, 8), (24, 1), (1, 24), shape])
        descr = rng.choice(
            [
                "<f8",
                ">f8",
                "<f4",
                "<f2",
                "|u1",
                "|b1",
                "<i8",
                "<u8",
                "|O",
                "|V8",
                "|V0",
                "<U0",
                "|S1",
                "<c16",
                "<m8[s]",
                "<f16",
                "f",
                "",
                "i4,f4",
                [("x", "<f8")],
                [("x", "<f8", (10**9,))],
                ("<f8", (3,)),
                {"names": []},
                3,
                None,
            ]
        )
        header = {"descr": descr, "fortran_order": rng.choice([True, False, False, 1, "x"]), "shape": shape}
        if rng.random() < 0.1:
            header[rng.choice(["descr", "shape", "more"])] = rng.choice([None, [], {}, b"x", ...])
        text = repr(header).encode() + b" " * rng.choice([0, 1, 20]) + rng.choice([b"\n", b""])
        if rng.random() < 0.3:
            text = mutated(text, rng, words=self._words)
        version, width = rng.choice([(b"\1\0", 2), (b"\2\0", 4), (b"\3\0", 4)])
        length = len(text) if rng.random() < 0.9 else rng.choice(INTERESTING)
        data = rng.randbytes(rng.choice([0, 24, 192, 192, 200, 5000]))
        return b"\x93NUMPY" + version + (length % 256**width).to_bytes(width, "little") + text + data

    def run(self, path):
        from fastem.cli.tables import open_table
        from fastem.sources import as_source

        with contextlib.suppress(*self.allowed):
            source = as_source(path)
            source.scan()
            sum(len(rows) for rows in source.read())
        table = open_table(path)
        _read_all(table)


def _read_all(table):
    data = table.read(table.chosen())
    data.points.scan()
    for rows in data.points.read():
        rows.sum()
    for j in range(min(2, len(table.names))):
        with contextlib.suppress(ValueError):
            labels = table.read(table.chosen(aside=(j,)), weights=j, labels=j).labels
            labels.components(3)


class Parquet:
    """Parquet files, as the command line and as `fit` read them."""

    suffix = ".parquet"

    def __init__(self, folder):
        import pyarrow as pa
        import pyarrow.parquet

        from fastem.cli.messages import TableError
        from fastem.sources import SourceError

        self.allowed = (TableError, SourceError)
        rng = np.random.default_rng(0)
        table = pa.table(
            {
                "x": rng.normal(size=40),
                "y": pa.array([None, *range(39)], pa.int32()),
                "z": rng.normal(size=40).astype("f4"),
                "group": pa.array(["a", "bb", None, "a"] * 10).dictionary_encode(),
            }
        )
        self.seeds = []
        for options in [
            {},
            {"compression": "none", "use_dictionary": False},
            {"compression": "gzip", "row_group_size": 15},
            {"compression": "zstd", "data_page_version": "2.0", "write_page_index": True},
            {"compression": "none", "use_dictionary": False, "column_encoding": {"x": "BYTE_STREAM_SPLIT"}},
            {"compression": "none", "use_dictionary": False, "column_encoding": {"y": "DELTA_BINARY_PACKED"}},
        ]:
            for some in (table, table.select(["x", "z"]).slice(0, 5)):
                known = {n: e for n, e in options.get("column_encoding", {}).items() if n in some.column_names}
                buffer = io.BytesIO()
                pa.parquet.write_table(some, buffer, **{**options, "column_encoding": known or None})
                self.seeds.append(buffer.getvalue())

    def case(self, rng):
        content = rng.choice(self.seeds)
        if rng.random() < 0.4:
            return mutated(content, rng, self.seeds)
        length = int.from_bytes(content[-8:-4], "little")  # of the footer, which all the rest hangs on
        start = len(content) - 8 - length
        if rng.random() < 0.5:
            footer = mutated(content[start:-8], rng)
            return content[:start] + footer + len(footer).to_bytes(4, "little") + content[-4:]
        return content[:4] + mutated(content[4:start], rng)[: start - 4].ljust(start - 4, b"\0") + content[start:]

    def run(self, path):
        from fastem.cli.tables import open_table
        from fastem.sources import as_source

        with contextlib.suppress(*self.allowed):
            source = as_source(path)
            source.scan()
            source.column(source.columns[0])
        _read_all(open_table(path))


TARGETS = {"model": Model, "csv": Csv, "npy": Npy, "parquet": Parquet}


# -- a worker ---------------------------------------------------------------------------------------------------------


class Forbidden(BaseException):
    """Something that no file may bring about."""


def _watch(event, arguments):
    if event.startswith(FORBIDDEN):
        raise Forbidden(f"{event} {arguments!r}"[:300])


def run_case(target, path):
    """What a case came to: 'read', the name of an error that users may see; anything else is raised."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            target.run(path)
        except target.allowed as error:
            return type(error).__name__
    return "read"


def work(name, seed, number, seconds, folder, n_cases=None):
    """Run cases from a number on, telling each before and what came of it after: a line on standard output."""
    folder = Path(folder)
    target = TARGETS[name](folder)
    _limit_memory()
    deadline = time.monotonic() + seconds
    path = folder / f"case{target.suffix}"
    is_watching = False
    while time.monotonic() < deadline and n_cases != 0:
        content = target.case(random.Random(f"{seed} {number}"))
        path.write_bytes(content)
        print("case", number, flush=True)
        try:
            result = run_case(target, str(path))
        except BaseException as error:
            kept = folder / f"{name}-{seed}-{number}{target.suffix}"
            kept.write_bytes(content)
            frames = traceback.extract_tb(error.__traceback__)
            where = next((f for f in reversed(frames) if "/fastem/" in f.filename), frames[-1])
            result = (
                f"FOUND {type(error).__name__} at {Path(where.filename).name}:{where.lineno} {str(error)[:90]!r} {kept}"
            )
        print("done", result.replace("\n", " "), flush=True)
        if not is_watching and number > 50:  # all is imported and compiled
            sys.addaudithook(_watch)
            is_watching = True
        number += 1
        n_cases = n_cases and n_cases - 1


def _limit_memory():
    with contextlib.suppress(ImportError, OSError):
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


# -- whoever waits for it ---------------------------------------------------------------------------------------------


def fuzz(name, seconds, seed, folder):
    """(counts of what cases came to, what was found, by its place: how often, and the first message)."""
    results, found, number, deadline = Counter(), {}, 0, time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        command = [sys.executable, "-m", "tests.fuzz", "--worker", str(number), "--seconds", str(left)]
        command += ["--seed", str(seed), "--folder", str(folder), name]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        result = None
        for line in _lines(process):
            what, _, value = line.partition(" ")
            if what == "case":
                number, result = int(value), "unfinished"
            elif what == "done":
                key = value.partition("'")[0]
                result, number = None, number + 1
                results[key if value.startswith("FOUND") else value] += 1
                if value.startswith("FOUND"):
                    found.setdefault(key, value)
        hung = process.poll() is None and not _ended(process)
        if hung:
            process.kill()
        error = process.communicate()[1].decode(errors="replace")[-300:]
        if result is not None or (process.returncode and not hung):
            kept = folder / f"{name}-{seed}-{number}-{'hang' if hung else 'crash'}"
            with contextlib.suppress(FileNotFoundError):
                kept.write_bytes((folder / f"case{TARGETS[name].suffix}").read_bytes())
            key = "HANG" if hung else f"CRASH {process.returncode}"
            results[key] += 1
            found.setdefault(key, f"{key} {kept} {error}")
            number += 1
    return results, found


def _ended(process):
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        return False
    return True


def _lines(process):
    """Lines of a worker until it ends, or is silent for too long."""
    rest, started = b"", False
    while select.select([process.stdout], [], [], HANGS if started else 120)[0]:
        data = os.read(process.stdout.fileno(), 1 << 16)
        if not data:
            return
        started = True
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode() for line in lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", default=list(TARGETS), metavar="target", help=", ".join(TARGETS))
    parser.add_argument("--seconds", type=float, default=60, help="for each target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where files that did something are kept")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker is not None:
        return work(options.targets[0], options.seed, options.worker, options.seconds, options.folder)
    failed = False
    for name in options.targets:
        folder = (options.folder or Path(tempfile.mkdtemp(prefix="fuzz-"))) / name
        folder.mkdir(parents=True, exist_ok=True)
        results, found = fuzz(name, options.seconds, options.seed, folder)
        print(f"{name}: {sum(results.values()):,} cases; {dict(results.most_common())}", flush=True)
        for message in found.values():
            print("   ", message)
        failed |= bool(found)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
