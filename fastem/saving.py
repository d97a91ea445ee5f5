"""Models in files: an .npz of arrays and a JSON header, no pickle in it, so that reading one runs no code.

`header` is JSON text: `format` 'fastem', `version` of the format, `class`, and the constructor's `params`, the fitted
`attributes` and the state of an unfinished fit. An array stands there as {"@array": NAME}, NAME being that of a member
of the archive; objects of this package as {"@class": NAME, "fields": {...}}.
"""

import json
import os
from pathlib import Path

import numpy as np

from . import acceleration, covariance, em, report

FORMAT_VERSION = 1

_CLASSES = {
    cls.__name__: cls
    for cls in (
        covariance.Parameters,
        em.Unfinished,
        acceleration.Plain,
        acceleration.QuasiNewton,
        acceleration.Stochastic,
        report.FitReport,
        report.Stage,
    )
}


def save(model, path):
    """Write a fitted model to a file: beside it first, so that the file is never a part of one.

    Parameters
    ----------
    model : GaussianMixture
    path : str or Path
    """
    arrays = {}
    header = {
        "format": "fastem",
        "version": FORMAT_VERSION,
        "class": type(model).__name__,
        "params": _encoded(model.get_params(deep=False), arrays),
        "attributes": _encoded({name: getattr(model, name) for name in _attributes_of(model)}, arrays),
    }
    path = Path(path)
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with open(beside, "wb") as file:
            np.savez(file, header=np.array(json.dumps(header)), **arrays)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def read(path, classes):
    """A model of one of these classes from a file that `save` wrote; ValueError where it is something else."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            header = json.loads(str(arrays["header"]))
            if not isinstance(header, dict) or header.get("format") != "fastem":
                raise ValueError("it is not a model of fastem")
            if header["version"] > FORMAT_VERSION:
                raise ValueError(f"it is of format {header['version']}, this fastem reads up to {FORMAT_VERSION}")
            params, attributes = _decoded(header["params"], arrays), _decoded(header["attributes"], arrays)
        model = {cls.__name__: cls for cls in classes}[header["class"]](**params)
        for name in attributes.keys() & set(_ATTRIBUTES):
            setattr(model, name, attributes[name])
    except FileNotFoundError:
        raise
    except Exception as error:  # of zipfile, of json, of the classes: whatever a damaged file makes them raise
        raise ValueError(f"{path}: can't be read as a model ({' '.join(str(error).split())})") from None
    return model


_ATTRIBUTES = (
    "weights_",
    "means_",
    "covariances_",
    "precisions_",
    "precisions_cholesky_",
    "converged_",
    "n_iter_",
    "lower_bound_",
    "lower_bounds_",
    "fit_report_",
    "n_features_in_",
    "feature_names_in_",
    "n_samples_seen_",
    "_weight_seen",
    "_unfinished",
)


def _attributes_of(model):
    return [name for name in _ATTRIBUTES if hasattr(model, name)]


def _encoded(value, arrays):
    """A value as JSON has it, its arrays added to `arrays`."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        if value.dtype == object:
            return {"@strings": [str(each) for each in value]}
        name = f"array_{len(arrays)}"
        arrays[name] = value
        return {"@array": name}
    if isinstance(value, dict):
        return {key: _encoded(each, arrays) for key, each in value.items()}
    if isinstance(value, acceleration.Visited):
        return {"@visited": _encoded(list(value), arrays)}
    if isinstance(value, list | tuple):
        return [_encoded(each, arrays) for each in value]
    if isinstance(value, covariance.CovarianceFamily):
        return {"@family": value.name}
    if isinstance(value, np.random.RandomState):
        return {"@random_state": _encoded(list(value.get_state()), arrays)}
    if type(value).__name__ in _CLASSES:
        return {"@class": type(value).__name__, "fields": _encoded(vars(value), arrays)}
    raise TypeError(f"can't save a {type(value).__name__}")


def _decoded(value, arrays):
    if isinstance(value, list):
        return [_decoded(each, arrays) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"@array": name}:
            return arrays[name]
        case {"@strings": strings}:
            return np.array(strings, dtype=object)
        case {"@family": name}:
            return covariance.FAMILIES[name]
        case {"@visited": [int(points), theta, successor]}:
            return acceleration.Visited(points, _decoded(theta, arrays), _decoded(successor, arrays))
        case {"@random_state": state}:
            random_state = np.random.RandomState()
            random_state.set_state(tuple(_decoded(state, arrays)))
            return random_state
        case {"@class": name, "fields": fields}:
            result = object.__new__(_CLASSES[name])
            result.__dict__.update(_decoded(fields, arrays))
            return result
    return {key: _decoded(each, arrays) for key, each in value.items()}
