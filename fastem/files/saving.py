"""Saving and loading of models: encode a model as a header and arrays, and decode it again, with all values checked.

`header` is a dict for JSON: `format` 'fastem', `version` of the format, `written_by`, `class`, the constructor's
`params` and the fitted `attributes`, among these the state of an unfinished fit. {"@array": NAME} stands for an array,
the archive's member NAME, which says where it belongs, such as 'means' or 'params.means_init'; {"@class": NAME,
"fields": {...}} for an object of this package. The format is documented for users in `GaussianMixture.save`.
"""

import errno
import reprlib

import numpy as np

from .._version import __version__
from ..fitting.acceleration import Extrapolation, Plain, QuasiNewton, Stochastic, Visited
from ..fitting.checkpoint import Unfinished
from ..fitting.report import FitReport, Stage
from ..model.families import FAMILIES
from ..model.families.base import COVARIANCE_ATTRIBUTES, CovarianceFamily
from ..model.parameters import Parameters
from ..model.saved import Saved
from . import archive, decoding
from .decoding import (
    boolean,
    dict_of,
    integer,
    list_of,
    non_negative,
    number,
    one_of,
    optional,
    positive,
    record,
    step,
    text,
)

# Characters of an error's reason, at most: some reasons repeat a part of the file, which may be long.
_LONGEST = 300


def save(model, path):
    """Write a fitted model to a file, replacing it as a whole; ValueError or TypeError if it can't be stored.

    Parameters
    ----------
    model : GaussianMixture
    path : str or Path
    """
    attributes = {name: getattr(model, name) for name in _kinds_of(model) if hasattr(model, name)}
    unfinished = attributes.get("_unfinished")
    if unfinished is not None and not isinstance(unfinished.accepted.family, CovarianceFamily):
        del attributes["_unfinished"]  # files hold no prior, noise or tails of a run; the fit goes on from its mixture
    header, arrays = packed(type(model).__name__, model.get_params(deep=False), attributes)
    unpacked(header, dict(arrays), [type(model)])  # raises if the file couldn't be loaded again
    archive.write(path, header, arrays)


def read(path, classes):
    """Load a model of one of these classes from a file that `save` wrote; ValueError if it is anything else."""
    try:
        header, arrays = archive.read(path)
        return unpacked(header, arrays, classes)
    except MemoryError:
        raise
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        reason = "its table of contents points before the beginning of the file"
    except Exception as error:  # whatever zipfile, json or the classes raise for a damaged file
        reason = error
    reason = " ".join(str(reason).split()) or type(reason).__name__
    raise ValueError(f"{path}: can't be read as a model ({reason[:_LONGEST]})") from None


def packed(class_name, params, attributes):
    """(header, arrays) of a model, to be written to an archive."""
    arrays = {}
    header = {
        "written_by": f"fastem {__version__}",
        "class": class_name,
        "params": encoded(params, arrays, ("params",)),
        "attributes": encoded(attributes, arrays),
    }
    return header, arrays


def unpacked(header, arrays, classes):
    """The model from what `packed` made, of one of these classes; ValueError says what is wrong."""
    for name, kind in (("class", str), ("params", dict), ("attributes", dict)):
        if not isinstance(header.get(name), kind):
            raise decoding.wrong(f"its {name}", f"a {kind.__name__}", header.get(name))
    classes = {cls.__name__: cls for cls in classes}
    if header["class"] not in classes:
        raise ValueError(f"its class is {header['class']!a}, not {' or '.join(classes)}")
    cls, params, attributes = classes[header["class"]], header["params"], header["attributes"]
    unknown = sorted(params.keys() - set(cls._get_param_names()))
    if unknown:
        writer = reprlib.repr(header.get("written_by", "another fastem"))
        this = f"fastem {__version__}"
        raise ValueError(f"it has the parameter {unknown[0]!a}, which {this} doesn't know: {writer} wrote it")
    context = decoding.Context(arrays)
    model = cls(**{name: decoding.parameter(value, f"params.{name}", context) for name, value in params.items()})
    model._validate_params()
    return with_attributes(model, attributes, arrays)


def with_attributes(model, attributes, arrays):
    """Set encoded fitted attributes on a model with valid arguments; ValueError says what is wrong."""
    family = FAMILIES[model.covariance_type].of_factors(model.n_factors)
    context = decoding.Context(arrays, family)
    means = decoding.means(attributes.get("means_"), "attributes.means_", context)
    context = context._replace(n_components=means.shape[0], n_features=means.shape[1])
    noise = [attributes.get(name) for name in _OF_NOISE if name in attributes]
    if noise and "weight_concentration_" not in attributes:
        if len(noise) < len(_OF_NOISE):
            raise ValueError(f"attributes: of {', '.join(_OF_NOISE)} some are missing")
        context = context._replace(noise_weight=decoding.share(noise[0], "attributes.noise_weight_", context))
    kinds = {name: kind for name, kind in _kinds_of(model).items() if name != "means_"}
    decoded = decoding.all_of(kinds, attributes, "attributes", context, may_lack=_OPTIONAL)
    for name, value in {"means_": means, **decoded}.items():
        setattr(model, name, value)
    return model


def encoded(value, arrays, path=()):
    """A value encoded for JSON, with its arrays added to `arrays`; TypeError, which names it, if it can't be stored.

    path: names that lead to the value; they make the name of its array, such as 'means' or 'unfinished.accepted.means'.
    """
    name = path[-1] if path else "it"
    if isinstance(value, np.generic):  # before float, as np.float64 is a float, too
        return value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray) and value.dtype == object and all(isinstance(each, str) for each in value.flat):
        return {"@strings": value.tolist()}
    if hasattr(value, "__array__"):
        value = np.asarray(value, dtype=np.float64 if np.asarray(value).dtype == object else None)
        if value.dtype.kind not in "biuf":
            raise TypeError(f"can't save {name}: it is an array of dtype {value.dtype}")
        member = ".".join(part.strip("_") for part in path)
        while not member or member in arrays or member == "header":
            member += "_"
        arrays[member] = value
        return {"@array": member}
    if isinstance(value, dict):
        return {key: encoded(each, arrays, (*path, key)) for key, each in value.items()}
    if isinstance(value, Visited):
        return {"@visited": encoded(list(value), arrays, path)}
    if isinstance(value, list | tuple):
        return [encoded(each, arrays, (*path, str(i))) for i, each in enumerate(value)]
    if isinstance(value, CovarianceFamily):
        return {"@family": value.name}
    if isinstance(value, np.random.RandomState):
        name, key, *others = value.get_state()
        return {"@random_state": [name, encoded(key, arrays, path), *others]}
    if isinstance(value, Saved):
        return {"@class": type(value).__name__, "fields": encoded(value.state(), arrays, path)}
    raise TypeError(f"can't save {name}: it is a {type(value).__name__}")


# -- the kinds of all values in a file --------------------------------------------------------------------------------


_REPORT = record(
    FitReport,
    ("remaining_change", "degenerate", "notes"),
    stages=list_of(
        record(
            Stage,
            name=text,
            n_samples=integer,
            n_components=integer,
            n_iter=integer,
            n_accelerated=integer,
            n_rejected=integer,
            seconds=number,
            lower_bound=number,
        )
    ),
    best_start=integer,
    kinds=list_of(step),
    remaining_gain=number,
    remaining_change=number,
    degenerate=list_of(integer),
    notes=list_of(text),
)

_MIXTURE = record(
    Parameters,
    family=decoding.family,
    weights=decoding.weights,
    means=decoding.means,
    covariances=decoding.covariances,
    precisions_cholesky=decoding.factors,
)

_GUARDED = {
    "_bounds": list_of(number),
    "kind": step,
    "remaining_gain": number,
    "remaining_change": number,
}

_STEPS = one_of(
    Plain=record(Plain),
    Stochastic=record(Stochastic, _best=optional(_MIXTURE), _bound=number, _mark=number, _since=integer),
    Extrapolation=record(
        Extrapolation,
        _longest=positive,
        _is_ordering=boolean,
        _may_order=boolean,
        **_GUARDED,
    ),
    QuasiNewton=record(
        QuasiNewton,
        ("remaining_change",),
        _reg_covar=non_negative,
        _unknown=number,
        _visited=list_of(decoding.visited),
        _points=integer,
        _radius=non_negative,
        _was_cut=boolean,
        **_GUARDED,
    ),
)

_ATTRIBUTES = {
    "weights_": decoding.weights,
    "means_": decoding.means,
    "covariances_": decoding.covariances,
    "precisions_": decoding.precisions,
    "precisions_cholesky_": decoding.factors,
    "loadings_": decoding.loadings,
    "noise_variances_": decoding.noise_variances,
    "converged_": boolean,
    "n_iter_": integer,
    "lower_bound_": number,
    "lower_bounds_": list_of(number),
    "fit_report_": _REPORT,
    "n_features_in_": decoding.n_features,
    "feature_names_in_": decoding.feature_names,
    "component_names_": decoding.component_names,
    "classes_": decoding.component_names,
    "n_samples_seen_": integer,
    "_weight_seen": non_negative,
    "_unfinished": record(
        Unfinished,
        ("n_further", "n_last"),
        accepted=_MIXTURE,
        parameters=_MIXTURE,
        candidate=_MIXTURE,
        steps=_STEPS,
        lower_bounds=list_of(number),
        kinds=list_of(step),
        seed=decoding.seed,
        n_samples=integer,
        n_further=integer,
        n_last=integer,
    ),
}
_OF_NOISE = "noise_weight_", "noise_volume_", "noise_box_"
_OPTIONAL = (
    "feature_names_in_",
    "component_names_",
    "classes_",
    "n_samples_seen_",
    "_weight_seen",
    "_unfinished",
    "prior_",
    "shrinkage_",
    *_OF_NOISE,
)

_OF_A_MIXTURE = {
    "noise_weight_": decoding.share,
    "noise_volume_": decoding.non_negative,
    "noise_box_": decoding.box,
    "prior_": dict_of(
        shrinkage=non_negative, mean=decoding.point, degrees_of_freedom=positive, scale=decoding.of_one_component
    ),
    "shrinkage_": decoding.coefficients,
}

_OF_A_STUDENT = {
    **{name.replace("covariances_", "scales_"): kind for name, kind in _ATTRIBUTES.items()},
    "degrees_of_freedom_": decoding.tails,
}

_OF_A_POSTERIOR = {
    "weight_concentration_": decoding.concentration,
    "mean_precision_": decoding.counts,
    "degrees_of_freedom_": decoding.degrees_of_freedom,
    "n_components_effective_": integer,
    "evidence_lower_bound_": number,
    "weight_concentration_prior_": positive,
    "mean_precision_prior_": positive,
    "mean_prior_": decoding.point,
    "degrees_of_freedom_prior_": positive,
    "covariance_prior_": decoding.of_one_component,
}


def _kinds_of(model):
    """The kinds of the fitted attributes of a model."""
    of_another_family = {*COVARIANCE_ATTRIBUTES} - {*FAMILIES[model.covariance_type].attributes}
    if hasattr(model, "degrees_of_freedom"):
        kinds = _OF_A_STUDENT
    else:
        is_posterior = hasattr(model, "weight_concentration_prior_type")
        kinds = {**_ATTRIBUTES, **(_OF_A_POSTERIOR if is_posterior else _OF_A_MIXTURE)}
    return {name: kind for name, kind in kinds.items() if name not in of_another_family}
