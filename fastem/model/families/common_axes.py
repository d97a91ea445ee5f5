"""mclust's families with common axes: EVE and VVE.

The M-step looks for the orthogonal axes along which all components' covariances are nearest to diagonal (Flury 1984,
'Common principal components'). mclust and Browne & McNicholas 2014 do that by majorisation, which converges slowly and
is often stopped short. Here quasi-Newton steps on the orthogonal group end at a stationary point, which no rotation of
two axes improves.
"""

import numpy as np

from ..parameters import Parameters
from . import FAMILIES
from .constrained import Constrained, EqualVolume
from .ellipsoidal_constrained import n_axes, with_axes
from .volumes import geometric_means, of_equal_volume

# Gradient along each rotation, in units of the root of its curvature and per unit of mass, at which steps end.
_STATIONARY = 1e-8
# Most steps, and pairs of steps that quasi-Newton directions are made from.
_MOST_STEPS, _MEMORY = 500, 12
# Steps from each guess before the best one goes on alone, where there are more elements of covariances than a few; and
# steps after which a small part of the curvatures is computed anew there.
_TRIAL_STEPS, _REFRESHED, _FEW = 10, 10, 5000
# Smallest share of a step that is tried; largest angle of a step, radians.
_LEAST_SHARE, _LARGEST_ANGLE = 1e-6, 0.7
# Angles at which rotations of two axes are tried (a quarter turn swaps them), rounds of that, and the gain, in nats per
# point, that is worth another round.
_ANGLES, _ROUNDS, _GAIN = np.arange(1, 8) * np.pi / 16, 20, 1e-9
# Share of the curvature of commuting matrices that the actual one is taken to be at least.
_LEAST_CURVATURE = 0.1


class _CommonAxes(Constrained):
    """Common axes. The M-step goes on from the axes of the candidate, or from the best of several guesses.

    Its steps lead only higher, so the expected log-likelihood is never below that of the candidate's axes. They end
    where the gradient is below 1e-8 of the points.
    """

    _has_one_volume = False

    def maximize(self, statistics, reg_covar, candidate=None):
        mass, means, own = FAMILIES["full"].moments(statistics, reg_covar)
        known = candidate.covariances if candidate is not None and candidate.family is self else None
        with np.errstate(all="ignore"):
            covariances = self._nearest(mass, own, known)
        return Parameters(self, mass / mass.sum(), means, covariances, self.precisions_cholesky(covariances))

    def constrained(self, mass, covariances):
        return self._nearest(mass, covariances, None)

    def _nearest(self, mass, covariances, known):
        """`constrained`, from the axes of known covariances of the family, or None."""
        unit = np.trace(covariances, axis1=1, axis2=2).mean()
        mass, own = mass / mass.sum(), covariances / unit
        try:
            np.linalg.cholesky(own)
            return unit * self._of_best_axes(mass, own, None if known is None else known.astype(np.float64) / unit)
        except np.linalg.LinAlgError:  # a singular covariance
            return covariances

    def _of_best_axes(self, mass, covariances, known):
        starts = _guesses(mass, covariances) if known is None else [_axes_of(known)]
        searches = [_Search(mass, covariances, axes, self._has_one_volume) for axes in starts]
        if len(searches) > 1:
            for search in searches:
                search.descend(_MOST_STEPS if covariances.size < _FEW else _TRIAL_STEPS)
        best = min(searches, key=lambda search: search.value)
        best.run()
        return with_axes(self._along_axes(mass, best.variances), best.axes)

    def _along_axes(self, mass, variances):
        """The variances of highest likelihood, (K, D), from those of the points along the axes."""
        raise NotImplementedError


class VVE(_CommonAxes):
    """Common axes, along which each component has variances of its own."""

    name = "VVE"

    def _along_axes(self, mass, variances):
        return variances

    def n_free(self, n_components, n_features):
        return n_components * n_features + n_axes(n_features)


class EVE(EqualVolume, _CommonAxes):
    """Common axes and the same volume, with variances of each component in proportions of its own."""

    name = "EVE"
    _has_one_volume = True

    def _along_axes(self, mass, variances):
        return of_equal_volume(mass, geometric_means(variances), variances)

    def n_free(self, n_components, n_features):
        return 1 + n_components * (n_features - 1) + n_axes(n_features)


def _axes_of(matrices):
    """The common axes of matrices that have them. Weights differ, so that eigenvalues don't become equal in the sum."""
    weights = 1 + (0.6180339887 * np.arange(1, len(matrices) + 1)) % 1
    sizes = np.trace(matrices, axis1=1, axis2=2)
    return np.linalg.eigh(np.tensordot(weights / sizes, matrices, axes=1))[1]


def _guesses(mass, covariances):
    """Axes, (D, D), from which to start: those of several weighted sums."""
    sizes = np.exp(np.linalg.slogdet(covariances)[1] / covariances.shape[1])
    sums = [np.tensordot(mass, covariances, axes=1), np.tensordot(mass / sizes, covariances, axes=1)]
    largest = covariances[np.argmax(mass)]
    return [_axes_of(covariances), *(np.linalg.eigh(each)[1] for each in (*sums, largest))]


class _Search:
    """Orthogonal axes that minimise the sum of the logarithms of the variances along them: `axes`, `value`.

    Parameters
    ----------
    mass : ndarray of shape (K,)
        Shares of the points.
    covariances : ndarray of shape (K, D, D)
    axes : ndarray of shape (D, D)
        Where to start.
    has_one_volume : bool
        Whether D log(sum of volumes) is minimised instead, as for EVE.
    """

    def __init__(self, mass, covariances, axes, has_one_volume):
        self._mass, self._covariances, self._has_one_volume = mass, covariances, has_one_volume
        self._pairs = np.triu_indices(len(axes), 1)
        self._place(axes, *self._along(axes))

    def _along(self, axes):
        """Covariances times axes, (K, D, D), and the variances along these, (K, D); in one product of all rows."""
        moved = (self._covariances.reshape(-1, len(axes)) @ axes).reshape(self._covariances.shape)
        return moved, np.einsum("ij,kij->kj", axes, moved)

    def _place(self, axes, moved, variances):
        """Stand at these axes; `_along` computes the others from them."""
        self.axes, self._moved, self.variances = axes, moved, variances

    @property
    def value(self):
        """Twice the negative expected log-likelihood, but for constants."""
        logs = np.log(self.variances)
        if self._has_one_volume:
            return len(self.axes) * np.log(self._mass @ np.exp(logs.mean(axis=1)))
        return float(self._mass @ logs.sum(axis=1))

    def run(self):
        """Steps to a stationary point, and on from better ones as long as rotations of two axes find any."""
        for _ in range(_ROUNDS if len(self.axes) > 1 else 0):
            self.descend(_MOST_STEPS)
            if not self._rotate_pairs():
                break

    def _shares(self):
        """The weight of each component's sum of logarithms in the gradient."""
        if not self._has_one_volume:
            return self._mass
        shares = self._mass * geometric_means(self.variances)
        return shares / shares.sum()

    def _change(self, shares, logs):
        """Change of the value if the components' sums of logarithms change by `logs`, (..., K)."""
        if self._has_one_volume:
            n_features = len(self.axes)
            return n_features * np.log1p(np.expm1(logs / n_features) @ shares)
        return logs @ shares

    def _slope(self, shares, squares):
        """Gradient and curvature along the rotation of each pair of axes."""
        inverse = 1 / self.variances
        of_pairs = self.axes.T @ np.einsum("k,kij,kj->ij", shares, self._moved, inverse)
        of_ratios = (self.variances * shares[:, None]).T @ inverse
        gradient = 2 * (of_pairs - of_pairs.T)[self._pairs]
        commuting = 2 * np.maximum((of_ratios + of_ratios.T)[self._pairs] - 2 * shares.sum(), 0.0)
        return gradient, np.maximum(commuting - 4 * squares, _LEAST_CURVATURE * commuting) + 1e-14

    def _squares(self, shares):
        """What covariances along the axes take from the curvature of `_slope`."""
        scaled = self._turned() / self.variances[:, None, :]
        of_pairs = np.einsum("k,kij,kij->ij", shares, scaled, scaled)
        return (of_pairs + of_pairs.T)[self._pairs]

    def _turned(self):
        """The covariances in the coordinates of the axes, (K, D, D)."""
        half = self._moved.transpose(0, 2, 1).reshape(-1, len(self.axes)) @ self.axes
        return half.reshape(self._moved.shape)

    def descend(self, most_steps):
        """Quasi-Newton steps (L-BFGS in the angles) until the gradient is 0, or rounding hides what is left."""
        steps, before = [], None
        refreshed = 1 if self._covariances.size < _FEW else _REFRESHED
        for n in range(most_steps if len(self.axes) > 1 else 0):
            shares = self._shares()
            if n % refreshed == 0:
                squares = self._squares(shares)
            gradient, curvature = self._slope(shares, squares)
            if not (np.abs(gradient) / np.sqrt(curvature)).max() > _STATIONARY:
                return
            if before is not None:
                step, change = before[0], gradient - before[1]
                if step @ change > 1e-12 * np.linalg.norm(step) * np.linalg.norm(change):
                    steps = [*steps[1 - _MEMORY :], (step, change)]
            direction = -_inverse_hessian_times(gradient, curvature, steps)
            if gradient @ direction > -1e-12 * np.linalg.norm(gradient) * np.linalg.norm(direction):
                steps, direction = [], -gradient / curvature
            direction *= min(1.0, _LARGEST_ANGLE / np.abs(direction).max())
            taken = self._go(direction, gradient @ direction, shares)
            if taken == 0.0 and steps:
                steps, direction = [], -gradient / curvature
                direction *= min(1.0, _LARGEST_ANGLE / np.abs(direction).max())
                taken = self._go(direction, gradient @ direction, shares)
            if taken == 0.0:
                return
            before = taken * direction, gradient

    def _go(self, direction, slope, shares):
        """Go the largest of the halved steps that leads lower; returns its share of the direction, or 0."""
        share, n_features = 1.0, len(self.axes)
        variances = self.variances
        while share > _LEAST_SHARE:
            half = np.zeros((n_features, n_features))
            half[self._pairs] = 0.5 * share * direction
            half -= half.T
            identity = np.eye(n_features)
            rotation = np.linalg.solve(identity - half, identity + half)  # Cayley's map
            axes = self.axes @ rotation
            moved, new = self._along(axes)
            if self._change(shares, np.log(new / variances).sum(axis=1)) <= 1e-4 * share * slope:
                self._place(axes, moved, new)
                return share
            share /= 2
        return 0.0

    def _rotate_pairs(self):
        """Rotate pairs of axes by the best of a few angles; returns whether that led lower."""
        i, j = self._pairs
        shares, (one, other) = self._shares(), (self.variances[:, i], self.variances[:, j])
        between, product = self._turned()[:, i, j], one * other
        changes = np.empty((len(_ANGLES), len(i)))
        for n, angle in enumerate(_ANGLES):
            cosine, sine = np.cos(angle), np.sin(angle)
            mixed = 2 * cosine * sine * between
            first = cosine**2 * one + sine**2 * other + mixed
            second = sine**2 * one + cosine**2 * other - mixed
            changes[n] = self._change(shares, np.log(first * second / product).T)
        best = changes.min(axis=0)
        rotation, free = np.eye(len(self.axes)), np.ones(len(self.axes), bool)
        for pair in np.argsort(best, kind="stable"):
            if not best[pair] < -_GAIN:
                break
            p, q = i[pair], j[pair]
            if free[p] and free[q]:
                angle = _ANGLES[np.argmin(changes[:, pair])]
                rotation[[p, p, q, q], [p, q, p, q]] = np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)
                free[[p, q]] = False
                if self._has_one_volume:
                    break  # gains of several pairs don't add up
        if free.all():
            return False
        axes = self.axes @ rotation
        self._place(axes, *self._along(axes))
        return True


def _inverse_hessian_times(gradient, curvature, steps):
    """The two loops of L-BFGS (Nocedal & Wright 2006, algorithm 7.4), from this diagonal of the Hessian."""
    result, factors = gradient.copy(), []
    for step, change in reversed(steps):
        factors.append(step @ result / (step @ change))
        result -= factors[-1] * change
    result /= curvature
    for (step, change), factor in zip(steps, reversed(factors), strict=True):
        result += (factor - change @ result / (step @ change)) * step
    return result
