"""Decoding of a saved model's values: each is checked as it is decoded.

A kind is a function (value from JSON, where it stands, `Context`) that returns the decoded object, or raises a
ValueError that says what is wrong. Values without a kind are ignored. The checks of shapes matter for safety: kernels
don't check bounds, so a wrong shape would let a file read memory outside its arrays.
"""

import reprlib
from functools import partial
from typing import NamedTuple

import numpy as np

from ..fitting.acceleration import Visited
from ..model import checks
from ..model.families.base import CovarianceFamily

# Largest error of the sum of weights that are stored as float32.
_ROUNDING = 1e-5


class Context(NamedTuple):
    """What kinds need to know: the file's arrays by name (each is removed when it is used) and the mixture's shape."""

    arrays: dict
    family: CovarianceFamily = None
    n_components: int = None
    n_features: int = None
    noise_weight: float = 0.0


def wrong(where, expected, value):
    """A ValueError with a message of one line: what was expected, what was found."""
    is_scalar = value is None or isinstance(value, bool | int | float | str)
    found = reprlib.repr(value) if is_scalar else f"a {type(value).__name__}"
    return ValueError(f"{where} should be {expected}, but is {found}")


# -- values -----------------------------------------------------------------------------------------------------------


def integer(value, where, context, least=0, most=2**63 - 1):
    """An int from `least` to `most`."""
    if type(value) is not int or not least <= value <= most:
        raise wrong(where, f"an integer from {least} to {most}", value)
    return value


def seed(value, where, context):
    """An int of 64 bits."""
    return integer(value, where, context, most=2**64 - 1)


def number(value, where, context):
    """A float, which may be infinite or NaN."""
    if type(value) not in (int, float):
        raise wrong(where, "a number", value)
    return float(value)


def non_negative(value, where, context):
    """A float of 0 or more."""
    if not number(value, where, context) >= 0:
        raise wrong(where, "a number of 0 or more", value)
    return float(value)


def share(value, where, context):
    """A float from 0 to 1."""
    if not 0 <= number(value, where, context) <= 1:
        raise wrong(where, "a number from 0 to 1", value)
    return float(value)


def positive(value, where, context):
    """A float above 0."""
    if not number(value, where, context) > 0:
        raise wrong(where, "a number above 0", value)
    return float(value)


def boolean(value, where, context):
    """True or False."""
    if type(value) is not bool:
        raise wrong(where, "true or false", value)
    return value


def text(value, where, context):
    """A str."""
    if type(value) is not str:
        raise wrong(where, "a string", value)
    return value


def step(value, where, context):
    """The kind of an EM step: 'plain' or 'accelerated'."""
    if value not in ("plain", "accelerated"):
        raise wrong(where, "'plain' or 'accelerated'", value)
    return value


def n_features(value, where, context):
    """The number of features, that of the means."""
    if integer(value, where, context) != context.n_features:
        raise wrong(where, f"{context.n_features}, the number of features of means_", value)
    return value


def family(value, where, context):
    """The covariance family, that of the model."""
    if value != {"@family": context.family.name}:
        raise wrong(where, f"{context.family.name!r}, the covariance_type of the model", value)
    return context.family


def random_state(value, where, context):
    """A RandomState."""
    match value:
        case {"@random_state": ["MT19937", {"@array": str(name)}, position, has_gauss, gauss]} if (
            name in context.arrays
        ):
            key = context.arrays.pop(name)
        case _:
            raise wrong(where, "the state of a Mersenne Twister", value)
    if key.dtype != np.uint32 or key.shape != (624,) or not key[1:].any():  # from zeros it would draw only zeros
        raise wrong(where, "a state of 624 words of 32 bits, not all 0", key)
    # The position has to be checked: numpy reads the state at any position, without a check of bounds.
    state = key, integer(position, where, context, most=624), integer(has_gauss, where, context, most=1)
    result = np.random.RandomState()
    result.set_state(("MT19937", *state, number(gauss, where, context)))
    return result


def parameter(value, where, context):
    """A constructor argument, which the estimator validates: a scalar, nested lists, an array or a RandomState."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list):
        return [parameter(each, where, context) for each in value]
    if isinstance(value, dict) and where == "params.prior":
        return {key: parameter(each, f"{where}.{key}", context) for key, each in value.items()}
    if isinstance(value, dict) and "@array" in value:
        return _taken(value, where, context)
    if isinstance(value, dict) and "@strings" in value:
        return strings(value, where, context)
    return random_state(value, where, context)


# -- arrays -----------------------------------------------------------------------------------------------------------


def _taken(value, where, context):
    match value:
        case {"@array": str(name)} if name in context.arrays:
            return context.arrays.pop(name)
    raise wrong(where, "an array of the file that is used only here", value)


def _floats(value, where, context, shape):
    """A float32 or float64 array of this shape; None in the shape allows any length but 0."""
    values = _taken(value, where, context)
    if values.dtype not in (np.float32, np.float64):
        raise ValueError(f"{where} should be of dtype float32 or float64, but is {values.dtype}")
    checks.check_shape(values, shape, where)
    return values


def _finite(values, where):
    if not np.isfinite(values).all():
        raise ValueError(f"{where} holds NaN or infinity")
    return values


def weights(value, where, context):
    """Weights (K,), which sum to 1 with that of the noise."""
    values = _finite(_floats(value, where, context, (context.n_components,)), where)
    checks.check_weights(np.append(values, context.noise_weight), where, _ROUNDING)
    return values


def box(value, where, context):
    """A box: a corner and its edges, (D + 1, D), which span a volume."""
    values = _finite(_floats(value, where, context, (context.n_features + 1, context.n_features)), where)
    if not np.isfinite(np.linalg.slogdet(values[1:].astype(np.float64))[1]):
        raise ValueError(f"{where} should be a box with a volume")
    return values


def means(value, where, context):
    """Means (K, D)."""
    return _finite(_floats(value, where, context, (context.n_components, context.n_features)), where)


def _of_family(what, value, where, context):
    shape = context.n_components, context.n_features
    values = _floats(value, where, context, context.family.shape(*shape))
    if np.isnan(values).any():
        raise ValueError(f"{where} holds NaN")
    context.family.check(values, *shape, what, where, _rounding_of_correlations(values))
    return values


def _rounding_of_correlations(values):
    """Error allowed in a correlation: half the dtype's digits. Rounding moves eigenvalues by up to D eps."""
    return np.finfo(values.dtype).eps ** 0.5


covariances = partial(_of_family, "covariances")
"""Covariances in the family's shape."""

precisions = partial(_of_family, "precision")
"""Precisions in the family's shape."""


def factors(value, where, context):
    """Cholesky factors of precisions in the family's shape."""
    values = _finite(
        _floats(value, where, context, context.family.shape(context.n_components, context.n_features)), where
    )
    if not context.family.are_factors(values):
        raise ValueError(f"{where} should be upper triangular with a positive diagonal")
    return values


def loadings(value, where, context):
    """Loadings of factors (K, D, q)."""
    shape = context.n_components, context.n_features, context.family.n_factors
    return _finite(_floats(value, where, context, shape), where)


def noise_variances(value, where, context):
    """Noise variances (K, D)."""
    values = _finite(_floats(value, where, context, (context.n_components, context.n_features)), where)
    if not (values > 0).all():
        raise ValueError(f"{where} should be above 0")
    return values


def point(value, where, context):
    """A value for each feature, (D,)."""
    return _finite(_floats(value, where, context, (context.n_features,)), where)


def of_one_component(value, where, context):
    """The scale of a prior, in the shape of one component's covariance; a positive number if that is one."""
    shape = context.family.shape_of_one(context.n_features)
    if not shape and not isinstance(value, dict):
        return positive(value, where, context)
    values = _finite(_floats(value, where, context, shape), where)
    one = values.reshape(context.family.shape(1, context.n_features))
    rounding = _rounding_of_correlations(values)
    context.family.check(one, 1, context.n_features, "scale of the prior", where, rounding, may_be_flat=True)
    return values


def counts(value, where, context):
    """Positive numbers (K,)."""
    values = _finite(_floats(value, where, context, (context.n_components,)), where)
    if not (values > 0).all():
        raise ValueError(f"{where} should be above 0")
    return values


def tails(value, where, context):
    """Degrees of freedom of t distributions, (K,), positive or infinite."""
    values = _floats(value, where, context, (context.n_components,))
    if not (values > 0).all():
        raise ValueError(f"{where} should be above 0")
    return values


def coefficients(value, where, context):
    """Numbers from 0 to 1, (K,)."""
    values = _finite(_floats(value, where, context, (context.n_components,)), where)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError(f"{where} should be from 0 to 1")
    return values


def degrees_of_freedom(value, where, context):
    """Degrees of freedom: one value for each component, or a single one for a shared covariance."""
    return np.float64(positive(value, where, context)) if context.family.is_shared else counts(value, where, context)


def concentration(value, where, context):
    """Concentrations (K,) of a Dirichlet distribution, or a pair of (K,) for the sticks of a Dirichlet process."""
    if isinstance(value, list):
        if len(value) != 2:
            raise wrong(where, "a pair", value)
        return tuple(counts(each, f"{where}[{i}]", context) for i, each in enumerate(value))
    return counts(value, where, context)


# -- kinds made of other kinds ----------------------------------------------------------------------------------------


def list_of(kind):
    """A list of any length."""

    def decode(value, where, context):
        if not isinstance(value, list):
            raise wrong(where, "a list", value)
        return [kind(each, f"{where}[{i}]", context) for i, each in enumerate(value)]

    return decode


def optional(kind):
    """That kind or None."""
    return lambda value, where, context: None if value is None else kind(value, where, context)


def strings(value, where, context):
    """An array of str objects."""
    match value:
        case {"@strings": list(values)}:
            return np.array(list_of(text)(values, where, context), dtype=object)
    raise wrong(where, "strings", value)


def feature_names(value, where, context):
    """A string for each feature."""
    values = strings(value, where, context)
    if len(values) != context.n_features:
        raise ValueError(f"{where} should be {context.n_features} strings, one for each feature, but has {len(values)}")
    return values


def component_names(value, where, context):
    """A string for each component, all different."""
    values = strings(value, where, context)
    if len(values) != context.n_components or len(set(values)) < len(values):
        raise ValueError(f"{where} should be {context.n_components} different strings, one for each component")
    return values


def visited(value, where, context):
    """A `Visited`: what a quasi-Newton run keeps of a pass."""
    match value:
        case {"@visited": [number_of_points, [*theta], [*successor]]} if len(theta) == len(successor) == 3:
            return Visited(
                integer(number_of_points, where, context),
                [kind(v, where, context) for kind, v in zip((weights, means, factors), theta, strict=True)],
                [kind(v, where, context) for kind, v in zip((weights, means, covariances), successor, strict=True)],
            )
    raise wrong(where, "a number and two lists of three arrays", value)


def dict_of(**kinds):
    """A dict with these keys, each value of its kind."""

    def decode(value, where, context):
        if not isinstance(value, dict):
            raise wrong(where, "a dict", value)
        return all_of(kinds, value, where, context)

    return decode


def record(cls, may_lack=(), /, **kinds):
    """An object {"@class": NAME, "fields": {...}}, made by `cls.from_state(fields)`; unknown fields are ignored.

    may_lack: names of fields that files of an earlier fastem don't have.
    """
    name = cls.__name__

    def decode(value, where, context):
        match value:
            case {"@class": found, "fields": dict(fields)} if found == name:
                return cls.from_state(all_of(kinds, fields, where, context, may_lack))
        raise wrong(where, f"an object of class {name}", value)

    return decode


def one_of(**records):
    """One of several records; the class name in the file decides which."""

    def decode(value, where, context):
        match value:
            case {"@class": str(name)} if name in records:
                return records[name](value, where, context)
        raise wrong(where, f"an object of class {' or '.join(records)}", value)

    return decode


def all_of(kinds, values, where, context, may_lack=()):
    """A dict of decoded values, each of its kind."""
    lacking = [name for name in kinds if name not in values and name not in may_lack]
    if lacking:
        raise ValueError(f"{where}: {', '.join(lacking)} missing")
    return {name: kind(values[name], f"{where}.{name}", context) for name, kind in kinds.items() if name in values}
