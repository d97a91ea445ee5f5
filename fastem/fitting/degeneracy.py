"""Degenerate components: their covariance is set by reg_covar (the floor) or by too few points, not by the data."""

from dataclasses import dataclass

import numpy as np

# Variance of a component's points in some direction, in units of reg_covar, below which the component is on the floor.
_FLOOR = 1.0

# Variance of all points in that direction, in units of reg_covar, that this requires at least: if it is smaller,
# reg_covar is too large for the data's scale.
_SCALE = 10.0

# Variance of all points, in units of reg_covar, below which a feature is constant.
_ROUNDING = 1e-6
# The same below which the points lie flat in any direction; larger, as it is a small difference of large numbers.
_DEPENDENT = 1e-3

# Most names that a message lists; of more it gives the number and these first ones.
_MOST_NAMES = 5


class DegenerateFitWarning(UserWarning):
    """A fit has components whose covariance is set by reg_covar, or by too few points, not by the data."""


@dataclass(frozen=True)
class Degeneracy:
    """What reg_covar or too few points, rather than the data, determine in a mixture.

    Attributes
    ----------
    at_floor : ndarray of int
        Components whose points have a variance below reg_covar in a direction where that of all points is much larger.
    on_few_points : ndarray of int
        Components that hold fewer points than their covariance needs: D + 1 for a matrix, 2 for variances.
    constant : ndarray of int
        Features with the same value in all points.
    features : ndarray of int
        Other features in which the variance of all points is less than ten times reg_covar.
    features_within : ndarray of int
        Further features in which the variance of a component is less than ten times reg_covar.
    n_dependent : int
        Directions, not counting features without spread, in which all points lie flat: linear dependencies of features.
    """

    at_floor: np.ndarray
    on_few_points: np.ndarray
    constant: np.ndarray
    features: np.ndarray
    features_within: np.ndarray
    n_dependent: int

    @property
    def components(self):
        """All degenerate components, in order."""
        if not self.at_floor.size:
            return self.on_few_points
        return np.union1d(self.at_floor, self.on_few_points)


def degeneracy(parameters, n_points, reg_covar):
    """The `Degeneracy` of a mixture that an M-step made.

    Parameters
    ----------
    parameters : Parameters
    n_points : int
        Points of positive weight that it was fitted to.
    reg_covar : float
        In squared units of the data, as in the M-step.
    """
    parameters = parameters.before_scaling
    n_components, n_features = parameters.means.shape
    variances = parameters.family.variances(_in_double(parameters.covariances), n_components, n_features)
    total = _total(parameters, variances, _square)
    is_constant = total - reg_covar < _ROUNDING * reg_covar
    is_small = total - reg_covar < _SCALE * reg_covar
    is_small_within = (variances - reg_covar < _SCALE * reg_covar).any(axis=0)
    few = on_few_points(parameters, n_points)
    if len(few) == n_components:  # too few points everywhere: every covariance is singular for that reason alone
        at_floor, n_dependent = np.empty(0, int), 0
    else:
        at_floor, n_dependent = _at_floor(parameters, variances, total, reg_covar)
    return Degeneracy(
        at_floor,
        few,
        np.flatnonzero(is_constant),
        np.flatnonzero(is_small & ~is_constant),
        np.flatnonzero(is_small_within & ~is_small),
        max(0, n_dependent - int((total - reg_covar < _DEPENDENT * reg_covar).sum())),
    )


def _in_double(values):
    return values.astype(np.float64, copy=False)


def n_degenerate(parameters, n_points, reg_covar):
    """Number of degenerate components: on the floor, or on too few points."""
    parameters = parameters.before_scaling
    n_components, n_features = parameters.means.shape
    few = on_few_points(parameters, n_points)
    if len(few) == n_components or not (parameters.share_of(reg_covar) > _share(_FLOOR)).any():
        return len(few)
    variances = parameters.family.variances(parameters.covariances, n_components, n_features)
    at_floor, _ = _at_floor(parameters, variances, _total(parameters, variances, _square), reg_covar)
    return len(np.union1d(few, at_floor))


def on_few_points(parameters, n_points):
    """Components with fewer points than their covariance needs; none if there is a prior, which makes up for them."""
    return np.flatnonzero(parameters.family.points_lacking(parameters.weights * n_points, parameters.means.shape[1]))


def _at_floor(parameters, variances, total, reg_covar):
    """(components on the floor, number of directions in which all points lie flat; 0 if they can't be)."""
    suspects = np.broadcast_to(parameters.share_of(reg_covar) > _share(_FLOOR), len(parameters.means))
    if reg_covar == 0 or not suspects.any():
        return np.empty(0, int), 0
    if parameters.family.is_flat_by_feature:
        varies = total - reg_covar > _SCALE * reg_covar
        flat = (variances[:, varies] - reg_covar < _FLOOR * reg_covar).any(axis=1)
        return np.flatnonzero(flat), 0
    matrices = parameters.family.matrices(_in_double(parameters.covariances), *parameters.means.shape)
    values, directions = np.linalg.eigh(_total(parameters, matrices, _outer))
    varies = values - reg_covar > _SCALE * reg_covar
    flat = np.zeros(len(suspects), bool)
    if varies.any():
        within = directions[:, varies].T @ matrices[suspects] @ directions[:, varies]
        flat[suspects] = np.linalg.eigvalsh(within)[:, 0] - reg_covar < _FLOOR * reg_covar
    return np.flatnonzero(flat), int((values - reg_covar < _DEPENDENT * reg_covar).sum())


def _total(parameters, covariances, spread):
    """The (co)variances of all points, noise included: within components plus between their means."""
    weights, means = _in_double(parameters.all_weights), _in_double(parameters.means)
    if parameters.noise_weight is not None:
        noise = parameters.family.noise
        within = noise.covariance if covariances.ndim == 3 else noise.covariance.diagonal()
        means, covariances = np.vstack([means, noise.centre]), np.concatenate([covariances, within[None]])
    offsets = means - weights @ means
    return np.tensordot(weights, covariances + spread(offsets), axes=1)


def _square(offsets):
    return offsets**2


def _outer(offsets):
    return offsets[:, :, None] * offsets[:, None, :]


def _share(multiple):
    """Share of reg_covar in a variance, if the points' own variance is this multiple of reg_covar."""
    return 1 / (1 + multiple)


def notes(found, parameters, n_points, reg_covar, feature_names=None):
    """Sentences for the user, one for each problem: what is wrong, why, and the remedies.

    Parameters
    ----------
    found : Degeneracy
    parameters, n_points, reg_covar
        As `degeneracy` takes them.
    feature_names : sequence of str, default=None
        None: features are named by their numbers.
    """
    n_components, n_features = parameters.means.shape
    name, floor = parameters.family.name, f"reg_covar={reg_covar:g}"

    def features(index):
        names = [repr(str(feature_names[j])) if feature_names is not None else str(j) for j in index]
        return _listed("Feature", names)

    if parameters.noise_weight is not None and (1 - parameters.noise_weight) * n_points < 1:
        volume = parameters.family.noise.volume
        return [
            f"All points are noise: in its volume, {volume:g}, the noise is denser than any component. Pass a larger "
            "volume, or noise=True"
        ]
    said = []
    if found.constant.size:
        said.append(
            f"{features(found.constant)} {_verb(found.constant, 'is', 'are')} constant, so {floor} alone sets the "
            "variance there. Leave out constant features"
        )
    if found.features.size:
        said.append(
            f"{features(found.features)} {_verb(found.features, 'has', 'have')} a variance below ten times {floor}, "
            "so reg_covar distorts the fit. Scale the data to unit variance, or lower reg_covar"
        )
    elif found.features_within.size and not found.components.size:
        said.append(
            f"{features(found.features_within)} {_verb(found.features_within, 'has', 'have')} a variance below ten "
            f"times {floor} in some component, so reg_covar inflates it. Scale the data up, or lower reg_covar"
        )
    if found.n_dependent:
        said.append(
            f"Features are linearly dependent: {found.n_dependent} of {n_features} directions have no variance, so "
            f"{floor} alone sets it there. Leave out features, or combine them (PCA)"
        )
    reasons = []
    if found.at_floor.size:
        reasons.append(
            f"{_listed('Component', found.at_floor)} {_verb(found.at_floor, 'has', 'have')} a variance below {floor} "
            "in some direction (the points repeat, are rounded, or lie in a plane)"
        )
    if found.on_few_points.size:
        needs = parameters.family.points_needed(n_components, n_features)
        which = (
            f"{_listed('Component', found.on_few_points)} {_verb(found.on_few_points, 'holds', 'hold')} too few points"
        )
        if found.on_few_points.size == n_components:
            which = f"{n_points:,} points are too few for {_counted(n_components, 'component')}"
        reasons.append(f"{which} ({name!r} covariance of {_counted(n_features, 'feature')} needs {needs})")
    if reasons:
        family = parameters.family
        remedies = []
        if family is family.plain and family.conjugate is not None:
            remedies.append("prior='default'")
            if family.shrinking is not None and found.on_few_points.size:
                remedies.append("shrinkage='oas'")
        remedy = f"set {' or '.join(remedies)}, or choose" if remedies else "or choose"
        said.append(
            f"{'. '.join(reasons)}. Densities of such components say nothing about the data. Lower n_components, "
            f"{remedy} a covariance_type with fewer parameters"
        )
    return said


def _verb(subjects, singular, plural):
    return singular if len(subjects) == 1 else plural


def _counted(number, noun):
    return f"{number} {noun}{'s' * (number != 1)}"


def _listed(noun, names):
    """'Component 3', 'Components 3 and 5', '12 components (0, 1, 2, 3, 4, ...)'."""
    names = [str(name) for name in names]
    if len(names) == 1:
        return f"{noun} {names[0]}"
    if len(names) > _MOST_NAMES:
        return f"{len(names)} {noun.lower()}s ({', '.join(names[:_MOST_NAMES])}, ...)"
    return f"{noun}s {', '.join(names[:-1])} and {names[-1]}"
