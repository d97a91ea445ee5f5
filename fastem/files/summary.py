"""What a saved model says of itself, read without the estimators: importing scikit-learn and Numba takes a second."""

from types import SimpleNamespace

from ..model.families import FAMILIES, STANDARD
from . import archive, saving


def summary(path):
    """The constructor arguments and fitted attributes of a saved model, checked as `fastem.load` checks them.

    Returns
    -------
    SimpleNamespace or None
        With the name of the model's class as `class_name`. None if only `fastem.load` can tell whether the file is
        valid: it has arguments of unusual types or values, or something is wrong with it.
    """
    try:
        header, arrays = archive.read(path)
        arguments = {name: _USUAL[header["class"]][name](value) for name, value in header["params"].items()}
        if not all(arguments.values()):
            return None
        model = SimpleNamespace(class_name=header["class"], **{"n_factors": None, **header["params"]})
        return saving.with_attributes(model, header["attributes"], arrays)
    except Exception:  # of any kind, as in `saving.read`
        return None


def _whole(least):
    return lambda value: type(value) is int and least <= value < 2**31


def _number(least, most):
    return lambda value: type(value) in (int, float) and least <= value <= most


def _among(*words):
    return lambda value: value in words


_is_none = _among(None)
_OF_BOTH = {
    "n_components": _whole(1),
    "covariance_type": FAMILIES.__contains__,
    "tol": _number(0, 1e300),
    "reg_covar": _number(0, 1e300),
    "max_iter": _whole(0),
    "n_init": _whole(1),
    "init_params": _among("kmeans", "k-means++", "random", "random_from_data"),
    "random_state": lambda value: value is None or _whole(0)(value),
    "warm_start": lambda value: type(value) is bool,
    "verbose": _whole(0),
    "verbose_interval": _whole(1),
    "assignment": _among("soft", "hard", "stochastic"),
    "algorithm": _among("auto", "em", "truncated"),
    "forgetting": _number(0, 1),
    "n_threads": lambda value: value is None or _whole(1)(value),
}

# For each class and argument: a function that tells whether the estimator accepts a value; False if it isn't sure.
_USUAL = {
    "GaussianMixture": {
        **_OF_BOTH,
        "prior": _among(None, "default"),
        "missing": _among("error", "em"),
        "n_factors": lambda value: value is None or _whole(1)(value),
        "noise": lambda value: type(value) is bool or _number(1e-300, 1e300)(value),
        "shrinkage": lambda value: value in (None, "oas", "ledoit-wolf") or _number(0, 1)(value),
        "weights_init": _is_none,
        "means_init": _is_none,
        "precisions_init": _is_none,
    },
    "StudentTMixture": {
        **_OF_BOTH,
        "covariance_type": STANDARD.__contains__,
        "degrees_of_freedom": lambda value: value in (None, "shared") or _number(1e-300, float("inf"))(value),
        "weights_init": _is_none,
        "means_init": _is_none,
        "precisions_init": _is_none,
    },
    "BayesianGaussianMixture": {
        **_OF_BOTH,
        "weight_concentration_prior_type": _among("dirichlet_process", "dirichlet_distribution"),
        "weight_concentration_prior": _is_none,
        "mean_precision_prior": _is_none,
        "mean_prior": _is_none,
        "degrees_of_freedom_prior": _is_none,
        "covariance_prior": _is_none,
    },
}
