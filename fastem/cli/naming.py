"""Names of features, and of components: the labels of the known groups in a fit, kept as `component_names_`."""

import numpy as np

from ..model.families import FAMILIES

_MOST = 8  # degrees of freedom that are printed


def feature_names(model):
    """The names of a model's features, as str; x1, x2, ... if it was fitted to points without names."""
    names = getattr(model, "feature_names_in_", None)
    return [f"x{j + 1}" for j in range(model.n_features_in_)] if names is None else list(map(str, names))


def names_of(model):
    """{0: name of component 0, ...}; None if components have no names."""
    names = getattr(model, "component_names_", None)
    return None if names is None else dict(enumerate(names))


def for_json(model):
    """{'labels': {'0': name of component 0, ...}} if components have names, and weight and volume of the noise."""
    names, noise = names_of(model), {}
    if hasattr(model, "noise_weight_"):
        noise = {"noise_weight": model.noise_weight_, "noise_volume": model.noise_volume_}
    return noise if names is None else {"labels": {str(k): name for k, name in names.items()}, **noise}


def noise_of(model):
    """The noise's weight and volume, for a report; None without noise."""
    if not hasattr(model, "noise_weight_"):
        return None
    return f"weight {model.noise_weight_:.4f}, volume {model.noise_volume_:.6g}"


def form_of(model):
    """The form of the components in words."""
    return f"{model.covariance_type} covariance" if not hasattr(model, "scales_") else _tails(model)


def _tails(model):
    degrees = ", ".join(f"{each:.3g}" for each in model.degrees_of_freedom_[:_MOST])
    more = ", ..." if len(model.degrees_of_freedom_) > _MOST else ""
    return f"Student-t, {model.covariance_type} scale, degrees of freedom {degrees}{more}"


def shapes_for_json(model):
    """{'covariances': ...}: the fitted attributes that describe the shapes, by names without underscores."""
    names = FAMILIES[model.covariance_type].described_by
    if hasattr(model, "scales_"):
        names = "scales_", "degrees_of_freedom_"
    return {name.removesuffix("_"): getattr(model, name).tolist() for name in names}


def in_words(model, components):
    """The names of these components, or their numbers if they have no names; names stay as they are. Noise is
    'noise', or -1.
    """
    names = getattr(model, "component_names_", None)
    is_named = names is None or components.dtype == object
    return components if is_named else np.append(np.asarray(names, dtype=object), "noise")[components]
