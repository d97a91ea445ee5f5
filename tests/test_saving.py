"""Files of models: what was saved is what is loaded, by others and by later versions, too; all else is refused."""

import contextlib
import copy
import io
import json
import os
import pickle
import re
import stat
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.exceptions import NotFittedError

import fastem
from fastem.callbacks import Frames
from fastem.datasets import load_faithful
from fastem.files import summary
from fastem.model.families import FAMILIES

from .data_sets import COVARIANCE_TYPES, start
from .fits import assert_same_bits, fitted, mixture, points, quietly
from .grids import exhaustive, grid
from .held import frame, npy

X, _ = points()
VERSION_1 = Path(__file__).parent / "data" / "model_v1.npz"


def read_by_hand(file):
    """(header, arrays), by numpy and json alone."""
    with np.load(file) as archive:
        arrays = dict(archive)
    return json.loads(str(arrays.pop("header"))), arrays


def write_by_hand(file, header, arrays):
    text = header if isinstance(header, str) else json.dumps(header)
    np.savez(file, header=np.array(text), **arrays)


def as_bytes(header, arrays):
    file = io.BytesIO()
    write_by_hand(file, header, arrays)
    return file.getvalue()


def npy_bytes(array):
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def unfinished(**params):
    """A model as if its fit had been cut off after five iterations, with all there is to go on from."""
    params = {"tol": 1e-9, "max_iter": 20, **start(X, 3, params.get("covariance_type", "full")), **params}
    frames = Frames()
    quietly(mixture(**params).set_callbacks(frames), frame(X))
    return frames.best[5].set_callbacks()


# -- what was saved is what is loaded ---------------------------------------------------------------------------------


@grid("dtype", ["float64", "float32"], quick=["float64"])
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_model_that_was_saved_is_the_same_to_the_bit(covariance_type, dtype, tmp_path):
    points = frame(X.astype(dtype))
    model = fitted(points, covariance_type=covariance_type, n_factors=1, tol=1e-5)
    model.save(tmp_path / "model")  # just the name it is given
    twin = fastem.load(tmp_path / "model")
    assert_same_bits(twin, model)
    assert twin.get_params() == model.get_params()
    assert list(twin.feature_names_in_) == list(model.feature_names_in_)
    assert str(twin.fit_report_) == str(model.fit_report_)
    for method in ("predict", "predict_proba", "score_samples", "score", "bic"):
        assert_array_equal(getattr(twin, method)(points), getattr(model, method)(points))
    assert_array_equal(twin.sample(20)[0], model.sample(20)[0])
    assert_same_bits(twin.set_params(warm_start=True).fit(points), model.set_params(warm_start=True).fit(points))
    assert os.listdir(tmp_path) == ["model"]


def test_parameters_of_every_kind_are_saved(tmp_path):
    given = start(X, 3, "full")
    params = {"random_state": np.random.RandomState(5), "tol": np.float32(0.5), "max_iter": np.int64(7), **given}
    model = quietly(mixture(**params), X)
    model.save(tmp_path / "model.npz")
    twin = fastem.load(tmp_path / "model.npz")
    for name, value in given.items():
        assert_array_equal(getattr(twin, name), value)
    assert (twin.tol, twin.max_iter, twin.n_threads) == (0.5, 7, 1)
    assert_array_equal(twin.random_state.uniform(size=5), model.random_state.uniform(size=5))
    known = fastem.GaussianMixture.from_parameters([0.25, 0.75], [[0.0], [1]], [[[1.0]], [[2]]])
    known.save(tmp_path / "model.npz")
    twin = fastem.load(tmp_path / "model.npz")
    assert (twin.lower_bound_, twin.lower_bounds_, twin.n_iter_) == (-np.inf, [], 0)
    assert_array_equal(twin.precisions_, known.precisions_)


@pytest.mark.parametrize("params", [{}, {"algorithm": "em"}, {"assignment": "stochastic"}, {"covariance_type": "diag"}])
def test_a_fit_that_was_cut_off_goes_on_from_its_file(params, tmp_path):
    model = unfinished(random_state=np.random.RandomState(3), **params)
    model.save(tmp_path / "model.npz")
    twin = fastem.load(tmp_path / "model.npz").set_params(warm_start=True)
    assert (twin.n_iter_, twin.converged_) == (model.n_iter_, False)
    model.set_params(warm_start=True)
    assert_same_bits(quietly(twin, frame(X)), quietly(model, frame(X)))
    assert twin.n_iter_ > 10


def test_what_components_are_called_is_kept_until_there_are_others(tmp_path):
    model = fitted(X)
    assert not hasattr(model, "component_names_")
    model.component_names_ = np.array(["sole", "1", 'a "b", é'], dtype=object)
    model.save(tmp_path / "model.npz")
    twin = fastem.load(tmp_path / "model.npz")
    assert list(twin.component_names_) == list(model.component_names_) and twin.component_names_.dtype == object
    assert_array_equal(twin.predict(X), model.predict(X))  # numbers
    assert hasattr(twin.partial_fit(X[:500]), "component_names_")
    assert hasattr(twin.set_params(warm_start=True).fit(X), "component_names_")
    assert not hasattr(twin.set_params(warm_start=False).fit(X), "component_names_")


def test_a_loaded_model_takes_in_further_batches(tmp_path):
    model = fitted(X)
    model.save(tmp_path / "model.npz")
    twin = fastem.load(tmp_path / "model.npz")
    assert_same_bits(twin.partial_fit(X[:500]), model.partial_fit(X[:500]))
    assert twin.n_samples_seen_ == 3500


def test_arguments_that_are_arrays_of_a_kind_become_arrays(tmp_path):
    model = fitted(X, n_components=1, weights_init=np.array([1.0], dtype=object))
    model.set_params(means_init=frame(X[:1]), precisions_init=np.float32(np.eye(4))[None]).save(tmp_path / "model.npz")
    twin = fastem.load(tmp_path / "model.npz")
    assert_array_equal(twin.weights_init, [1.0])
    assert_array_equal(twin.means_init, X[:1])
    assert twin.precisions_init.dtype == np.float32


# -- one format, for others and for later versions --------------------------------------------------------------------


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_numpy_and_json_are_enough_to_read_a_file(covariance_type, tmp_path):
    model = fitted(frame(X), covariance_type=covariance_type)
    model.save(tmp_path / "model.npz")

    with np.load(tmp_path / "model.npz", allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        attributes = header["attributes"]
        weights, means, covariances = (
            file[attributes[name]["@array"]] for name in ("weights_", "means_", "covariances_")
        )

    assert (header["format"], header["version"], header["class"]) == ("fastem", 1, "GaussianMixture")
    assert re.fullmatch(r"fastem \d+\.\d+\.\d+", header["written_by"])
    assert header["params"] == model.get_params()
    assert attributes["feature_names_in_"] == {"@strings": ["length", "width", "height", "weight"]}
    assert attributes["lower_bounds_"] == model.lower_bounds_
    stages = attributes["fit_report_"]["fields"]["stages"]
    assert [stage["fields"]["name"] for stage in stages] == [stage.name for stage in model.fit_report_.stages]
    matrices = {
        "full": lambda: covariances,
        "tied": lambda: [covariances] * 3,
        "diag": lambda: [np.diag(variances) for variances in covariances],
        "spherical": lambda: [variance * np.eye(4) for variance in covariances],
    }[covariance_type]()
    densities = [multivariate_normal(*args).logpdf(X[:50]) for args in zip(means, matrices, strict=True)]
    assert_allclose(model.score_samples(frame(X[:50])), logsumexp(densities, axis=0, b=weights[:, None]), rtol=1e-9)


FILES = Path(__file__).parent / "data" / "v1"
EXPECTED = json.loads((FILES / "expected.json").read_text())


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@pytest.mark.parametrize("name", sorted(EXPECTED))
def test_a_file_of_each_kind_stays_readable(name):
    """Written on 2026-11-26 by fastem 0.1.0 before it was put into folders; the unfinished ones go on as they would."""
    X = np.load(FILES / "points.npy")
    model = fastem.load(FILES / f"{name}.npz")
    if name.startswith("unfinished"):
        assert len(model.lower_bounds_) == 5
        quietly(model.set_params(warm_start=True), X)
        assert_allclose(model.lower_bounds_, EXPECTED[name], rtol=1e-9)
        return
    if name == "named":
        X = pd.DataFrame(X, columns=["a", "b"])
    found = [model.score(X), model.lower_bound_, model.n_iter_, model.predict(X).sum()]
    assert_allclose(found, EXPECTED[name], rtol=1e-9)


def test_a_file_of_version_1_stays_readable():
    # Written on 2026-11-24 by fastem 0.1.0, commit d5a18d2: a fit to the Old Faithful data cut off after 3 iterations.
    model = fastem.load(VERSION_1)
    eruptions = load_faithful().data
    assert model.get_params()["tol"] == 1e-9
    assert list(model.feature_names_in_) == ["eruption", "waiting"]
    assert (model.n_iter_, model.converged_, model.n_samples_seen_) == (3, False, 272)
    assert model.lower_bounds_ == [-6.633920177073897, -4.231844514339549, -4.206568578399009]
    assert_array_equal(model.weights_, [0.6540131668426347, 0.34598683315736534])
    means = [[4.267385238800428, 79.65981204750601], [2.014114085529265, 54.33297187844376]]
    assert_array_equal(model.means_, means)
    assert_array_equal(model.covariances_[1], [[0.05282224665215063, 0.33831314833363174], [0.33831314833363174, 33.304600071201214]])  # fmt: skip # noqa: E501
    assert_array_equal(model.random_state.uniform(size=2), [0.7148159936743647, 0.6977288245972708])
    names = model.feature_names_in_.tolist()
    rows = frame(eruptions).set_axis(names, axis=1)
    assert_allclose(model.score_samples(rows[:2]), [-4.548439037966331, -3.5992988267691373], rtol=1e-12)
    assert [stage.n_iter for stage in model.fit_report_.stages] == [3]
    model.set_params(warm_start=True).fit(rows)
    assert model.converged_
    assert_allclose(model.lower_bounds_[3:5], [-4.191030716553243, -4.1767059649833636], rtol=1e-9)
    assert_allclose(model.means_[0], [4.289662074390207, 79.96811642285932], rtol=1e-6)


def test_a_file_of_another_version_of_fastem(tmp_path):
    file = tmp_path / "model.npz"
    model = unfinished()
    model.save(file)
    header, arrays = read_by_hand(file)
    header["written_by"] = "fastem 9.9"
    header["later"] = header["attributes"]["later_"] = {"@class": "Later", "fields": {"a": {"@array": "array_77"}}}
    header["attributes"]["fit_report_"]["fields"]["later"] = {"@later": 3}
    header["attributes"]["_unfinished"]["fields"]["steps"]["fields"]["later"] = 3
    arrays["later"] = np.arange(3)
    del header["params"]["forgetting"]
    write_by_hand(file, header, arrays)
    twin = fastem.load(file)
    assert_same_bits(twin, model)
    assert twin.forgetting == 0.3
    assert not any("later" in vars(thing) for thing in (twin, twin.fit_report_, twin._unfinished.steps))
    assert "later_" not in vars(twin)
    header["params"]["later"] = 3
    write_by_hand(file, header, arrays)
    with pytest.raises(ValueError, match=r"the parameter 'later', which fastem \d.* doesn't know: 'fastem 9.9' wrote"):
        fastem.load(file)


# -- what can't be saved ----------------------------------------------------------------------------------------------


def test_only_fitted_models_are_saved(tmp_path):
    with pytest.raises(NotFittedError):
        mixture().save(tmp_path / "model.npz")
    assert os.listdir(tmp_path) == []


def test_a_save_that_fails_leaves_the_file_that_was(tmp_path, monkeypatch):
    file = tmp_path / "model.npz"
    model = fitted(X)
    model.save(file)
    before = file.read_bytes()

    def full_disk(file, array, **options):
        file.write(b"PK")
        raise OSError("No space left on device")

    monkeypatch.setattr(np.lib.format, "write_array", full_disk)
    with pytest.raises(OSError, match="No space left"):
        model.save(file)
    assert file.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.npz"]


def test_an_interrupt_of_a_save_is_one(tmp_path, monkeypatch):
    opened, members = zipfile.ZipFile.open, []

    def interrupted(*args, **kwargs):
        members.append(opened(*args, **kwargs))
        raise KeyboardInterrupt

    monkeypatch.setattr(zipfile.ZipFile, "open", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fitted(X).save(tmp_path / "model.npz")
    assert os.listdir(tmp_path) == []


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path):
    file = tmp_path / "model.npz"
    model = fitted(X)
    for params, error, match in (
        (
            {"covariance_type": "diag"},
            ValueError,
            r"covariances_' should have the shape of \(3, 4\), but got \(3, 4, 4\)",
        ),
        ({"tol": -1}, ValueError, "'tol' parameter of GaussianMixture must be"),
        ({"random_state": np.random.default_rng(0)}, TypeError, "can't save random_state: it is a Generator"),
        ({"random_state": np.random.RandomState(np.random.PCG64(0))}, ValueError, "Mersenne Twister"),
        ({"means_init": X[:3] + 1j}, TypeError, "can't save means_init: it is an array of dtype complex128"),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # numpy's, of a state that is no Mersenne Twister's
            with pytest.raises(error, match=match):
                copy.deepcopy(model).set_params(**params).save(file)
    assert os.listdir(tmp_path) == []


def test_where_no_file_can_be_written_the_error_names_it(tmp_path):
    model = fitted(X)
    (tmp_path / "file").touch()
    (tmp_path / "folder" / "full").mkdir(parents=True)
    for name, error in (
        ("none/model.npz", FileNotFoundError),
        ("file/model.npz", NotADirectoryError),
        ("folder", OSError),
        ("x" * 300, OSError),
    ):
        with pytest.raises(error) as caught:
            model.save(tmp_path / name)
        assert caught.value.filename == str(tmp_path / name)
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
    assert os.listdir(tmp_path / "folder") == ["full"]


@pytest.mark.skipif(os.name == "nt", reason="permissions of POSIX")
def test_a_file_has_the_permissions_that_the_umask_gives(tmp_path):
    before = os.umask(0o027)
    try:
        fitted(X).save(tmp_path / "model.npz")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "model.npz").stat().st_mode) == 0o640


@pytest.mark.skipif(os.name == "nt" or getattr(os, "geteuid", lambda: 0)() == 0, reason="the superuser may do all")
def test_a_folder_without_permissions(tmp_path):
    model = fitted(X)
    model.save(tmp_path / "model.npz")
    (tmp_path / "model.npz").chmod(0)
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(PermissionError, match=r"/model\.npz'$"):
            model.save(tmp_path / "model.npz")
        with pytest.raises(PermissionError, match=r"/model\.npz'$"):
            fastem.load(tmp_path / "model.npz")
    finally:
        tmp_path.chmod(0o700)


# -- files that are none, or not whole --------------------------------------------------------------------------------


def header_with(file, **changes):
    with np.load(file) as arrays:
        members = dict(arrays)
    header = json.loads(str(members["header"]))
    for name, value in changes.items():
        header.pop(name) if value is None else header.update({name: value})
    members["header"] = np.array(json.dumps(header))
    np.savez(file, **members)


@grid(
    ("damage", "match"),
    [
        (lambda file: file.write_bytes(b""), "can't be read as a model"),
        (lambda file: file.write_text("weights, means\n"), "can't be read as a model"),
        (lambda file: os.replace(npy(X, file.parent), file), "can't be read as a model"),
        (lambda file: np.savez(file, X=X), "can't be read as a model"),
        (lambda file: np.savez(file, header=X), "can't be read as a model"),
        (lambda file: np.savez(file, header=np.array("[]")), "it is not a model of fastem"),
        (lambda file: np.savez(file, header=np.array({}, dtype=object)), "can't be read as a model"),
        (lambda file: zipfile.ZipFile(file, "w").close(), "can't be read as a model"),
        (lambda file: header_with(file, format="other"), "it is not a model of fastem"),
        (lambda file: header_with(file, version=99), "it has format version 99, but this fastem reads up to 1"),
        (lambda file: header_with(file, version=None), "can't be read as a model"),
        (lambda file: header_with(file, version="1"), "can't be read as a model"),
        (lambda file: header_with(file, attributes=None), "can't be read as a model"),
        (lambda file: header_with(file, attributes=[]), "can't be read as a model"),
        (lambda file: header_with(file, params={"depth": 3}), "can't be read as a model"),
        (lambda file: header_with(file, **{"class": "Forest"}), "Forest"),
        (lambda file: header_with(file, attributes={"means_": {"@array": "array_99"}}), "can't be read as a model"),
        (lambda file: header_with(file, attributes={"means_": {"@class": "Popen", "fields": {}}}), "can't be read"),
    ],
    quick=slice(0, None, 3),
)
def test_a_file_that_is_no_model(damage, match, tmp_path):
    file = tmp_path / "model.npz"
    fitted(X).save(file)
    damage(file)
    with pytest.raises(ValueError, match=rf"model.npz: .*{match}"):
        fastem.load(file)


def test_a_file_cut_short_or_damaged_is_no_model(tmp_path):
    file = tmp_path / "model.npz"
    fitted(X, n_components=1).save(file)
    whole = file.read_bytes()
    for length in range(0, len(whole), 101):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="can't be read as a model"):
            fastem.load(file)
    # every byte of the archive's table of contents, flags and methods among them
    for place in range(whole.index(b"PK\x01\x02"), len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        file.write_bytes(damaged)
        try:
            model = fastem.load(file)
        except ValueError:
            continue
        assert_array_equal(model.means_.shape, (1, 4))


def test_a_model_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        fastem.load(tmp_path / "model.npz")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(OSError, match=re.escape(str(tmp_path))) as caught:
        fastem.load(tmp_path)
    assert not isinstance(caught.value, ValueError)


# -- files made to do harm --------------------------------------------------------------------------------------------


def refuses(file, match):
    with pytest.raises(ValueError, match=rf"{re.escape(str(file))}: can't be read as a model \(.*{match}") as caught:
        fastem.load(file)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(file)) + 400


class Harm:
    """Unpickled, leaves a file behind."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


def members_of(file):
    with zipfile.ZipFile(file) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def write_members(file, members, method=zipfile.ZIP_STORED):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names that are there twice
        with zipfile.ZipFile(file, "w", method) as archive:
            for name, content in members:
                archive.writestr(name, content)


def test_no_code_in_a_file_is_run(tmp_path):
    file, proof = tmp_path / "model.npz", tmp_path / "proof"
    fitted(X).save(file)
    members = members_of(file)
    harm = npy_bytes(np.array([Harm(proof)], dtype=object))
    pickle.loads(harm[harm.index(b"\n") + 1 :])
    assert proof.exists()  # it would
    proof.unlink()
    code = f"__import__('pathlib').Path({str(proof)!r}).touch()"
    for name in members:
        write_members(file, {**members, name: harm}.items())
        refuses(file, "not an array of numbers")
        for head in (b"{'descr': " + code.encode() + b", 'fortran_order': False, 'shape': (2,), }\n", code.encode()):
            forged = b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + bytes(16)
            write_members(file, {**members, name: forged}.items())
            refuses(file, "not an array of numbers")
    file.write_bytes(pickle.dumps(Harm(proof)))
    refuses(file, "not a zip file")
    assert not proof.exists()


def with_shape(content, shape):
    """The array's member, said to be of another shape."""
    array = np.lib.stride_tricks.as_strided(np.empty(1, np.float64), shape, [0] * len(shape))
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, np.lib.format.header_data_from_array_1_0(array))
    length = 10 + int.from_bytes(content[8:10], "little")
    return head.getvalue() + content[length:]


@pytest.mark.parametrize("shape", [(10**12,), (10**7, 10**7), (3,), (), (0, 10**12)])
def test_no_memory_is_taken_on_a_files_word(shape, tmp_path):
    file = tmp_path / "model.npz"
    fitted(X, n_components=4).save(file)
    members = members_of(file)
    write_members(file, {**members, "weights.npy": with_shape(members["weights.npy"], shape)}.items())
    assert file.stat().st_size < 50_000
    tracemalloc.start()
    try:
        refuses(file, "an array of 32 bytes has a header for dtype float64 and shape")
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()


@grid("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], quick=[zipfile.ZIP_DEFLATED])
def test_a_file_that_would_grow_is_refused(method, tmp_path):
    file = tmp_path / "model.npz"
    fitted(X).save(file)
    members = {**members_of(file), "bomb.npy": npy_bytes(np.zeros(1 << 23))}
    write_members(file, members.items(), method)
    tracemalloc.start()
    try:
        refuses(file, "is compressed")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()


def test_members_that_lie_in_the_same_place_are_refused(tmp_path):
    # A table of contents that names one long member a thousand times.
    file = tmp_path / "model.npz"
    header, arrays = read_by_hand(VERSION_1)
    write_by_hand(file, header, {**arrays, "long_0000": np.zeros(10_000)})
    content = file.read_bytes()
    table, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    entries = re.findall(rb"PK\x01\x02(?:(?!PK\x01\x02|PK\x05\x06).)*", content, re.DOTALL)
    entry = next(entry for entry in entries if b"long" in entry)
    more = b"".join(entry.replace(b"long_0000", b"long_%04d" % i) for i in range(1, 1000))
    count = (content.count(b"PK\x01\x02") + 999).to_bytes(2, "little")
    size = (end - table + len(more)).to_bytes(4, "little")
    file.write_bytes(content[:end] + more + content[end : end + 8] + count + count + size + content[end + 16 :])
    with zipfile.ZipFile(file) as archive:
        assert len(archive.namelist()) > 1000
    refuses(file, "gives its members more bytes than the file has")


@pytest.mark.parametrize("twice", ["header.npy", "weights.npy", "header", "weights"])
def test_names_that_are_there_twice_are_refused(twice, tmp_path):
    file = tmp_path / "model.npz"
    fitted(X).save(file)
    members = members_of(file)
    write_members(file, [*members.items(), (twice, members["header.npy"])])
    refuses(file, f"two of its members are named '{twice.removesuffix('.npy')}'")


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[" * 100_000 + "]" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
        ('{"format": "fastem", "version": ' + "9" * 5000 + "}", "4300"),
        ('{"format": "fastem", "version": 1' + "0" * 400 + "}", "it has format version 1"),
        ('{"format": "fastem", "version": true}', "has no valid format version"),
        ('{"format": "fastem", "version": NaN}', "has no valid format version"),
        ('{"format": "fastem", "version": 1, "class": []}', "its class should be a str, but is a list"),
        ('{"format": "fastem"', "delimiter"),
        ("\ud800", "utf-32"),
        ("", "Expecting value"),
    ],
)
def test_json_that_is_no_header(text, match, tmp_path):
    file = tmp_path / "model.npz"
    write_by_hand(file, text, {})
    refuses(file, match)


STEPS = ("_unfinished", "fields", "steps")
MIXTURE = ("_unfinished", "fields", "accepted")
STATE = ("params", "random_state", "@random_state")
VISITED = ("attributes", *STEPS, "fields", "_visited", 0, "@visited")
LARGE, ANY = np.zeros(100), {"@array": "large"}


@grid(
    ("place", "value", "match"),
    [
        (("class",), "Popen", "its class is 'Popen', not GaussianMixture"),
        (("params",), [], "its params should be a dict"),
        (("params", "tol"), -1.0, "'tol' parameter of GaussianMixture must be"),
        (("params", "covariance_type"), "tied", r"_' should have the shape of \(4, 4\), but got \(3, 4, 4\)"),
        (("params", "means_init"), {"a": 1}, "params.means_init should be"),
        (("params", "means_init"), {"@array": "header"}, "params.means_init should be an array of the file"),
        (("params", "means_init"), {"@class": "Plain", "fields": {}}, "params.means_init should be"),
        ((*STATE, 2), 10**6, "params.random_state should be an integer from 0 to 624, but is 1000000"),
        ((*STATE, 2), -1, "params.random_state should be an integer from 0 to 624"),
        ((*STATE, 3), 2, "params.random_state should be an integer from 0 to 1"),
        ((*STATE, 1), ANY, "624 words of 32 bits"),
        ((*STATE, 0), "PCG64", "Mersenne Twister"),
        (("attributes", "means_"), None, "attributes.means_ should be an array of the file"),
        (("attributes", "means_"), ANY, r"attributes.means_' should have the shape of \(any, any\), but got \(100,\)"),
        (("attributes", "weights_"), ANY, r"attributes.weights_' should have the shape of \(3,\), but got \(100,\)"),
        (("attributes", "weights_"), {"@array": "array_9999"}, "attributes.weights_ should be an array of the file"),
        (("attributes", "precisions_"), ANY, "attributes.precisions_' should have the shape of"),
        (("attributes", "precisions_cholesky_"), ANY, "attributes.precisions_cholesky_' should have the shape of"),
        (("attributes", "converged_"), 1, "attributes.converged_ should be true or false, but is 1"),
        (("attributes", "n_iter_"), 3.0, "attributes.n_iter_ should be an integer from 0 to 9223372036854775807"),
        (("attributes", "n_iter_"), 10**300, "attributes.n_iter_ should be an integer"),
        (("attributes", "lower_bound_"), "low", "attributes.lower_bound_ should be a number, but is 'low'"),
        (("attributes", "lower_bounds_"), {}, "attributes.lower_bounds_ should be a list, but is a dict"),
        (("attributes", "lower_bounds_", 1), None, r"attributes.lower_bounds_\[1\] should be a number, but is None"),
        (("attributes", "lower_bounds_", 1), 10**400, "too large to convert to float"),
        (("attributes", "n_features_in_"), 3, "should be 4, the number of features of means_, but is 3"),
        (("attributes", "feature_names_in_", "@strings"), ["a"], "should be 4 strings, .* but has 1"),
        (("attributes", "feature_names_in_", "@strings", 0), 7, r"feature_names_in_\[0\] should be a string, but is 7"),
        (("attributes", "n_samples_seen_"), -1, "attributes.n_samples_seen_ should be an integer"),
        (("attributes", "_weight_seen"), float("nan"), "attributes._weight_seen should be a number of 0 or more"),
        (("attributes", "fit_report_"), {}, "attributes.fit_report_ should be an object of class FitReport"),
        (("attributes", "fit_report_", "@class"), "Stage", "should be an object of class FitReport"),
        (("attributes", "fit_report_", "fields", "kinds"), ["odd"], r"kinds\[0\] should be 'plain' or 'accelerated'"),
        (("attributes", "fit_report_", "fields", "stages", 0, "fields", "n_iter"), "3", r"\[0\].n_iter should be"),
        (("attributes", "component_names_"), {"@strings": ["a", "b"]}, "names_ should be 3 different strings"),
        (("attributes", "component_names_"), {"@strings": ["a", "b", "a"]}, "should be 3 different strings"),
        (("attributes", "component_names_"), ["a", "b", "c"], "component_names_ should be strings"),
        (("attributes", *STEPS, "@class"), "FitReport", "steps should be an object of class Plain or Stochastic or"),
        (("attributes", *STEPS, "fields", "_bounds"), 3, "steps._bounds should be a list"),
        (("attributes", *STEPS, "fields", "_radius"), None, "steps._radius should be a number"),
        ((*VISITED, 0), 1.5, r"_visited\[0\] should be an integer"),
        ((*VISITED, 1, 0), ANY, r"_visited\[0\]' should have the shape of \(3,\), but got \(100,\)"),
        ((*VISITED, 2, 2), ANY, r"_visited\[0\]' should have the shape of \(3, 4, 4\), but got \(100,\)"),
        ((*VISITED, 2), [], r"_visited\[0\] should be a number and two lists of three arrays"),
        (("attributes", *MIXTURE, "fields", "means"), ANY, r"accepted.means' should have the shape of \(3, 4\)"),
        (("attributes", *MIXTURE, "fields", "family"), {"@family": "diag"}, "'full', the covariance_type of the model"),
        (("attributes", *MIXTURE, "@class"), "Unfinished", "accepted should be an object of class Parameters"),
        (("attributes", "_unfinished", "fields", "candidate"), None, "an object of class Parameters"),
        (("attributes", "_unfinished", "fields", "lower_bounds"), [], "should be equally many, at least one"),
        (("attributes", "_unfinished", "fields", "seed"), 2**64, "seed should be an integer from 0"),
        (("attributes", "_unfinished", "fields"), {}, "_unfinished: accepted, parameters, .* missing"),
    ],
    quick=slice(0, None, 4),
)  # fmt: skip
def test_values_that_are_not_what_belongs_there(place, value, match, tmp_path):
    file = tmp_path / "model.npz"
    unfinished(random_state=np.random.RandomState(3)).save(file)
    header, arrays = read_by_hand(file)
    fastem.load(file)
    inner = header
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    write_by_hand(file, header, {**arrays, "large": LARGE})
    refuses(file, match)


@pytest.mark.parametrize("name", ["means_", "weights_", "converged_", "fit_report_", "precisions_cholesky_"])
def test_what_every_model_has_must_be_there(name, tmp_path):
    file = tmp_path / "model.npz"
    fitted(X).save(file)
    header, arrays = read_by_hand(file)
    del header["attributes"][name]
    write_by_hand(file, header, arrays)
    refuses(file, name)


@grid(
    ("name", "change", "match"),
    [
        ("weights_", lambda w: w * 2, r"attributes.weights_' should be (normalized|in the range)"),
        ("weights_", lambda w: w - [2, -1, -1], r"attributes.weights_' should be (normalized|in the range)"),
        ("weights_", lambda w: w * np.nan, "attributes.weights_ holds NaN or infinity"),
        ("means_", lambda m: m * np.inf, "attributes.means_ holds NaN or infinity"),
        ("means_", lambda m: m.astype(int), "should be of dtype float32 or float64, but is int64"),
        ("means_", lambda m: m[:, :0], "attributes.means_' should have the shape of"),
        ("means_", lambda m: m.astype(complex), "not an array of numbers"),
        ("means_", lambda m: m.astype("U9"), "an array holds text"),
        ("means_", lambda m: m.astype([("a", float)]), "not an array of numbers"),
        ("covariances_", lambda c: c * np.nan, "attributes.covariances_ holds NaN"),
        ("precisions_cholesky_", lambda f: -f, "should be upper triangular with a positive diagonal"),
        ("precisions_cholesky_", lambda f: f * 0, "should be upper triangular with a positive diagonal"),
        ("precisions_cholesky_", lambda f: f.transpose(0, 2, 1), "should be upper triangular with a positive diagonal"),
        ("precisions_cholesky_", lambda f: f[0], r"should have the shape of \(3, 4, 4\), but got \(4, 4\)"),
    ],
    quick=slice(0, None, 3),
)
def test_arrays_that_are_no_mixture(name, change, match, tmp_path):
    file = tmp_path / "model.npz"
    fitted(X).save(file)
    header, arrays = read_by_hand(file)
    key = header["attributes"][name]["@array"]
    write_by_hand(file, header, {**arrays, key: change(arrays[key])})
    refuses(file, match)


def change_in_file(file, place, change):
    """Change the array that stands at this place of the header."""
    header, arrays = read_by_hand(file)
    key = at(header, place)["@array"]
    write_by_hand(file, header, {**arrays, key: change(arrays[key].copy())})


def with_correlation(upper, lower=None):
    """A change of matrices: in the last one, the correlation of the first two features becomes this number."""

    def change(values):
        last = values.reshape(-1, *values.shape[-2:])[-1]
        unit = np.sqrt(last[0, 0]) * np.sqrt(last[1, 1])
        last[0, 1], last[1, 0] = upper * unit, (upper if lower is None else lower) * unit
        return values

    return change


def times(factor):
    """A change of any values: the last one is multiplied by this number."""

    def change(values):
        values.reshape(-1)[-1] *= factor
        return values

    return change


@grid("dtype", ["float64", "float32"], quick=["float32"])
@grid("scale", [1.0, 1e-12, 1e12], quick=[1e-12])
@pytest.mark.parametrize("name", ["covariances_", "precisions_"])
@pytest.mark.parametrize(
    ("covariance_type", "change", "match"),
    [
        ("full", with_correlation(1.1), "symmetric, positive-definite, but component 2's is not"),
        ("full", with_correlation(0.101, 0.1), "symmetric, positive-definite, but component 2's is not"),
        ("full", times(-1), "symmetric, positive-definite, but component 2's is not"),
        ("tied", with_correlation(-1.1), r"symmetric, positive-definite\)"),
        ("tied", with_correlation(0.101, 0.1), r"symmetric, positive-definite\)"),
        ("diag", times(-1), "positive, but component 2's is not"),
        ("diag", times(0), "positive, but component 2's is not"),
        ("spherical", times(-1), "positive, but component 2's is not"),
    ],
)
def test_matrices_that_are_no_covariances(covariance_type, change, match, name, scale, dtype, tmp_path):
    file = tmp_path / "model.npz"
    points = (X * scale).astype(dtype)
    fitted(points, covariance_type=covariance_type, reg_covar=0, max_iter=2).save(file)
    fastem.load(file)
    change_in_file(file, ("attributes", name), change)
    refuses(file, rf"'attributes\.{name}' should be {match}")


@pytest.mark.parametrize("mixture", ["accepted", "parameters", "candidate"])
def test_matrices_of_an_unfinished_fit_that_are_no_covariances(mixture, tmp_path):
    file = tmp_path / "model.npz"
    unfinished().save(file)
    change_in_file(
        file, ("attributes", "_unfinished", "fields", mixture, "fields", "covariances"), with_correlation(1.1)
    )
    refuses(file, rf"_unfinished\.{mixture}\.covariances' should be symmetric, positive-definite")
    unfinished().save(file)
    change_in_file(file, (*VISITED, 2, 2), with_correlation(0.1, 0.2))
    refuses(file, r"_visited\[0\]' should be symmetric, positive-definite")


@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_a_prior_that_is_none(covariance_type, tmp_path):
    file = tmp_path / "model.npz"
    params = {"covariance_type": covariance_type, "random_state": 0, "n_threads": 1}
    for place, model in [
        (("attributes", "prior_", "scale"), fastem.GaussianMixture(2, prior="default", **params)),
        (("attributes", "covariance_prior_"), fastem.BayesianGaussianMixture(n_components=2, **params)),
    ]:
        quietly(model.set_params(max_iter=3), X).save(file)
        header, arrays = read_by_hand(file)
        if covariance_type == "spherical":
            at(header, place[:-1])[place[-1]] = -1.0
            write_by_hand(file, header, arrays)
            refuses(file, rf"{'.'.join(place)} should be a number above 0")
            at(header, place[:-1])[place[-1]] = {"@array": "scale"}
            write_by_hand(file, header, {**arrays, "scale": np.array(-1.0)})
            refuses(file, rf"'{'.'.join(place)}' should be 0 or more")
            continue
        write_by_hand(file, header, arrays)
        change, match = with_correlation(1.1), "symmetric, positive-semidefinite"
        if covariance_type == "diag":
            change, match = times(-1), "0 or more"
        change_in_file(file, place, change)
        refuses(file, rf"'{'.'.join(place)}' should be {match}")


def test_a_prior_of_points_with_a_constant_feature_is_one(tmp_path):
    file, place = tmp_path / "model.npz", ("attributes", "prior_", "scale")
    with pytest.warns(fastem.DegenerateFitWarning):
        model = fitted(X * [1, 1, 1, 0], prior="default")
    model.save(file)
    scale = fastem.load(file).prior_["scale"]
    assert_array_equal(scale, model.prior_["scale"])
    assert scale[3, 3] == 0
    change_in_file(file, place, lambda scale: np.where(np.eye(4), scale, 0.01))
    refuses(file, "prior_.scale' should be symmetric, positive-semidefinite")


@pytest.mark.filterwarnings("ignore::fastem.DegenerateFitWarning")
@grid("scale", [1e-30, 1.0, 1e30], quick=[1.0])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@grid("covariance_type", FAMILIES, quick=slice(None, -1, 4))
def test_what_a_fit_to_points_of_any_scale_makes_is_loaded(covariance_type, dtype, scale, tmp_path):
    """Features of very different scales, two of them nearly the same: rounding makes float32 matrices indefinite."""
    points = X * np.array([1e-4, 1.0, 1.0, 1e4])
    points[:, 2] = points[:, 1] + 2e-4 * X[:, 2]
    points = (points * scale).astype(dtype)
    if not points.any():
        pytest.skip("float32 holds no number as small as that")
    file = tmp_path / "model.npz"
    params = {"covariance_type": covariance_type, "n_factors": 1, "reg_covar": 0, "max_iter": 5}
    for algorithm in ("em", "auto"):
        model = fitted(points, algorithm=algorithm, **params)
        model.save(file)
        assert_same_bits(fastem.load(file), model)
    if (covariance_type, dtype, scale) == ("full", "float32", 1.0):
        assert np.linalg.eigvalsh(model.covariances_[:, 1:3, 1:3].astype(np.float64)).min() < 0


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_precisions_that_overflowed_are_loaded(covariance_type, tmp_path):
    file = tmp_path / "model.npz"
    params = {"covariance_type": covariance_type, "n_factors": 1, "reg_covar": 0, "max_iter": 5}
    model = fitted(X * 1e-156, algorithm="em", **params)
    assert np.isinf(model.precisions_).any()
    model.save(file)
    assert_same_bits(fastem.load(file), model)


def test_an_unfinished_fit_has_an_iteration(tmp_path):
    file = tmp_path / "model.npz"
    unfinished().save(file)
    header, arrays = read_by_hand(file)
    header["attributes"]["_unfinished"]["fields"].update(lower_bounds=[], kinds=[])
    write_by_hand(file, header, arrays)
    refuses(file, "should be equally many, at least one")


def test_an_array_stands_for_one_thing(tmp_path):
    # or a short file could ask for a long array again and again
    file = tmp_path / "model.npz"
    fitted(X).save(file)
    header, arrays = read_by_hand(file)
    header["params"]["means_init"] = [header["attributes"]["means_"]] * 3
    write_by_hand(file, header, arrays)
    refuses(file, "params.means_init should be an array of the file that is used only here")


def test_a_state_of_a_random_generator_that_would_never_end(tmp_path):
    file = tmp_path / "model.npz"
    fitted(X, random_state=np.random.RandomState(3)).save(file)
    header, arrays = read_by_hand(file)
    key = header["params"]["random_state"]["@random_state"][1]["@array"]
    write_by_hand(file, header, {**arrays, key: np.zeros(624, np.uint32)})
    refuses(file, "not all 0")


def test_arrays_of_other_byte_orders_and_layouts_are_read(tmp_path):
    file = tmp_path / "model.npz"
    model = fitted(X)
    model.save(file)
    header, arrays = read_by_hand(file)
    write_by_hand(file, header, {name: np.asfortranarray(a.astype(">f8")) for name, a in arrays.items()})
    twin = fastem.load(file)
    assert_same_bits(twin, model)
    assert_array_equal(twin.predict(X), model.predict(X))


# -- files of chance --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chance_file(tmp_path_factory):
    return tmp_path_factory.mktemp("files") / "model.npz"


WHOLE = [VERSION_1.read_bytes()]
HEADER, ARRAYS = read_by_hand(VERSION_1)
TWO_FEATURES = X[:60, :2]


def loaded_or_refused(file, content):
    """The model; None where it is refused as it should be."""
    file.write_bytes(content)
    try:
        return fastem.load(file)
    except ValueError as error:
        assert str(error).startswith(f"{file}: can't be read as a model (")
        assert "\n" not in str(error)
    return None


def works(model):
    """Whatever its numbers, it labels points and goes on fitting, or says why not."""
    n_components, n_features = model.means_.shape
    rows = TWO_FEATURES[:, [0] * n_features] if n_features != 2 else TWO_FEATURES
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        labels = model.predict(rows)
        assert labels.min() >= 0
        assert labels.max() < n_components
        assert model.predict_proba(rows).shape == (60, n_components)
        assert isinstance(str(model.fit_report_), str)
        if model.n_components == n_components:
            try:
                model.set_params(warm_start=True, max_iter=min(model.n_iter_ + 2, 50), verbose=0).fit(rows)
            except (ValueError, TypeError) as error:  # the latter of a means_init without dimensions
                assert str(error)


@exhaustive
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_file_that_chance_has_damaged_is_refused_or_the_same(chance_file, data):
    content = bytearray(WHOLE[0])
    kind = data.draw(st.sampled_from(["bytes", "cut", "gap", "inserted"]))
    # the first bytes, the arrays', the table of contents, or its end
    first = data.draw(st.sampled_from([0, content.index(b"PK\x01\x02"), len(content) - 22]))
    place = data.draw(st.integers(first, len(content) - 1))
    if kind == "bytes":
        for byte in data.draw(st.lists(st.integers(0, 255), min_size=1, max_size=4)):
            content[place] = byte
            place = data.draw(st.integers(first, len(content) - 1))
    elif kind == "cut":
        del content[place:]
    elif kind == "gap":
        del content[place : place + data.draw(st.integers(1, 300))]
    else:
        content[place:place] = data.draw(st.binary(min_size=1, max_size=50))
    model = loaded_or_refused(chance_file, bytes(content))
    if model is not None:
        whole = fastem.load(VERSION_1)
        assert_same_bits(model, whole)
        assert model.get_params()["tol"] == whole.tol


JUNK = [
    None, True, 0, 1, -1, 2, 3, 625, 2**63, 2**64, 10**30, 0.5, -0.5, 1e308, 5e-324, float("nan"), float("inf"), "",
    "plain", "tied", "spherical", "\ud800", [], [[]], {}, {"@array": "weights"}, {"@array": "precisions"},
    {"@array": []}, {"@strings": ["a", "b"]}, {"@family": "tied"}, {"@class": "Plain", "fields": {}},
    {"@class": "Popen"}, {"@class": "FitReport", "fields": {}}, {"@visited": [1, [], []]}, {"@random_state": []},
]  # fmt: skip


def places_in(value, place=()):
    yield place
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield from places_in(inner, (*place, key))


PLACES = [place for place in places_in(HEADER) if place]


def at(value, place):
    for key in place:
        value = value[key]
    return value


@exhaustive
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_a_header_that_chance_has_changed_is_refused_or_works(chance_file, data):
    header = copy.deepcopy(HEADER)
    for _ in range(data.draw(st.integers(1, 2))):
        place = data.draw(st.sampled_from(PLACES))
        try:
            inner = at(header, place[:-1])
            if data.draw(st.booleans()):
                inner[place[-1]] = copy.deepcopy(data.draw(st.sampled_from(JUNK)))
            elif data.draw(st.booleans()):
                inner[place[-1]] = copy.deepcopy(at(HEADER, data.draw(st.sampled_from(PLACES))))
            else:
                del inner[place[-1]]
        except (LookupError, TypeError):  # what stood there has gone
            continue
    model = loaded_or_refused(chance_file, as_bytes(header, ARRAYS))
    if model is not None:
        works(model)


SHAPES = [(), (1,), (2,), (4,), (8,), (2, 2), (1, 2), (2, 1), (4, 2), (2, 2, 2), (2, 4), (0,), (0, 2), (624,)]
NUMBERS = [0.0, -1.0, 1.0, 0.5, np.nan, np.inf, 1e300, 1e-300, 5e-324]


@exhaustive
@settings(deadline=None, max_examples=200)
@given(st.data())
def test_arrays_that_chance_has_changed_are_refused_or_work(chance_file, data):
    arrays = dict(ARRAYS)
    for name in data.draw(st.lists(st.sampled_from(sorted(ARRAYS)), min_size=1, max_size=3, unique=True)):
        kind = data.draw(st.sampled_from(["shape", "dtype", "swap", "value"]))
        if kind == "shape":
            arrays[name] = np.ones(data.draw(st.sampled_from(SHAPES)))
        elif kind == "dtype":
            dtype = data.draw(st.sampled_from(["f4", ">f8", "f2", "g", "i8", "?", "c16"]))
            with np.errstate(over="ignore"):
                arrays[name] = arrays[name].astype(dtype)
        elif kind == "swap":
            arrays[name] = ARRAYS[data.draw(st.sampled_from(sorted(ARRAYS)))]
        elif arrays[name].size:
            changed = arrays[name].astype(np.float64)
            changed.flat[data.draw(st.integers(0, changed.size - 1))] = data.draw(st.sampled_from(NUMBERS))
            arrays[name] = changed
    model = loaded_or_refused(chance_file, as_bytes(HEADER, arrays))
    if model is not None:
        works(model)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_what_is_no_ordinary_file_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="Not a regular file"):
        fastem.GaussianMixture(2, random_state=0).fit(load_faithful().data).save(tmp_path / "pipe")
    assert not (tmp_path / "pipe").is_file()


ODD = [None, True, 0, 1, -1, 2, 0.5, 1.0, 2**32, -0.5, 10**400, np.inf, np.nan, "", "default", "full", "soft", [1], {}]


@grid("cls", [fastem.GaussianMixture, fastem.BayesianGaussianMixture], quick=slice(None))
def test_a_summary_takes_only_arguments_that_the_estimator_takes(cls):
    usual = summary._USUAL[cls.__name__]
    defaults = cls().get_params()
    assert usual.keys() == defaults.keys()
    assert all(usual[name](value) for name, value in defaults.items())
    for name, is_usual in usual.items():
        for value in ODD:
            with contextlib.suppress(TypeError):  # a list is no name of a family
                if is_usual(value):
                    cls(**{name: value})._validate_params()


def test_a_summary_is_of_files_that_load_takes(tmp_path):
    path = tmp_path / "model.npz"
    model = fastem.GaussianMixture(2, random_state=0).fit(X)
    model.save(path)
    found = summary.summary(path)
    assert (found.class_name, found.covariance_type) == ("GaussianMixture", "full")
    for name in ("weights_", "means_", "covariances_"):
        assert_array_equal(getattr(found, name), getattr(model, name))
    header, arrays = read_by_hand(path)
    for changed in (
        {"class": "Other"},
        {"version": 2},
        {"params": {**header["params"], "tol": -1}},
        {"params": {**header["params"], "novel": 1}},
        {"params": []},
        {"attributes": {**header["attributes"], "n_iter_": "many"}},
    ):
        write_by_hand(path, {**header, **changed}, arrays)
        assert summary.summary(path) is None
        with pytest.raises(ValueError, match="can't be read as a model"):
            fastem.load(path)
