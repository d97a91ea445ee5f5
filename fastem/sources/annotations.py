"""What is known of the points beside their coordinates, and how a pass assigns them to components."""

from dataclasses import dataclass, replace

import numpy as np

from .. import kernels
from ..kernels import NO_POINT_ANNOTATIONS, PointAnnotations

_VALUES = 1 << 20  # numbers drawn at a time

# Step of the seed from pass to pass, modulo 2**64: odd, so that 2**64 passes have different seeds.
_NEXT_PASS = 0x9E3779B97F4A7C15


@dataclass(frozen=True)
class Assignment:
    """How points are assigned to components in the moments.

    Attributes
    ----------
    kind : {'soft', 'hard', 'stochastic'}
        A point counts for all components by its responsibilities, for the most probable one alone, or for one drawn
        with its responsibilities as probabilities.
    seed : int
        Seed of the draws.
    """

    kind: str = "soft"
    seed: int = 0

    @property
    def code(self):
        """The kernels' code of the kind."""
        return {"soft": kernels.SOFT, "hard": kernels.HARD, "stochastic": kernels.STOCHASTIC}[self.kind]

    def next_pass(self):
        """The assignment for the next pass: the same kind, with other draws."""
        return replace(self, seed=(self.seed + _NEXT_PASS) % 2**64)


SOFT, HARD = Assignment("soft"), Assignment("hard")


@dataclass(frozen=True)
class Annotations:
    """What is known of all n points beside their coordinates.

    Attributes
    ----------
    weights : array of shape (n,), float64, or None
        How often each point counts.
    labels : array of shape (n,), int64, or None
        The component of a point, -1 where unknown, -2 for noise.
    responsibilities : array of shape (n, K), beside noise (n, K + 1), float64, `DrawnResponsibilities` or None
        They multiply the densities if `e_step`, otherwise they are used as the responsibilities.
    e_step : bool
        False: labels or responsibilities are used as they are, and the parameters are not looked at.
    """

    weights: np.ndarray = None
    labels: np.ndarray = None
    responsibilities: np.ndarray = None
    e_step: bool = True

    @property
    def is_constrained(self):
        """Whether there are labels or responsibilities, which constrain the E-step."""
        return self.labels is not None or self.responsibilities is not None

    @property
    def are_complete(self):
        """Whether every point's component is known."""
        if self.labels is None:
            return False
        return not ((self.labels if self.weights is None else self.labels[self.weights > 0]) == -1).any()

    @property
    def most_rows(self):
        """Most rows that `part` should be asked for at a time; None for no limit."""
        return getattr(self.responsibilities, "most_rows", None)

    def part(self, start, stop, assignment):
        """The kernels' form of the annotations and the assignment of the points from start to stop."""

        def rows(values, nothing):
            return nothing if values is None else np.asarray(values[start:stop], dtype=nothing.dtype)

        return PointAnnotations(
            rows(self.weights, NO_POINT_ANNOTATIONS.weights),
            rows(self.labels, NO_POINT_ANNOTATIONS.labels),
            rows(self.responsibilities, NO_POINT_ANNOTATIONS.responsibilities),
            self.e_step,
            assignment.code,
            np.uint64(assignment.seed),
        )

    def shares(self, responsibilities, start, assignment):
        """How much each point from start on counts for each component, (m, K), from its responsibilities without these.

        What the kernels do with annotations, in NumPy; drawn assignments count by their probabilities.
        """
        part = self.part(start, start + len(responsibilities), assignment)
        shares = responsibilities if part.e_step else np.ones(responsibilities.shape)
        if part.labels.size:
            is_known = part.labels >= 0
            shares[is_known] = np.eye(shares.shape[1])[part.labels[is_known]]
        if part.responsibilities.size:
            allowed = shares * part.responsibilities
            shares = np.where(allowed.any(axis=1, keepdims=True), allowed, part.responsibilities)
            if part.e_step:
                shares /= np.maximum(shares.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
        if assignment.kind == "hard" and part.e_step:
            shares = np.eye(shares.shape[1])[shares.argmax(axis=1)]
        return shares * part.weights[:, None] if part.weights.size else shares

    def of_rows(self, start, stop):
        """The annotations of the points from start to stop alone."""
        drawn = isinstance(self.responsibilities, DrawnResponsibilities)
        shares = self.responsibilities
        return replace(
            self,
            weights=None if self.weights is None else self.weights[start:stop],
            labels=None if self.labels is None else self.labels[start:stop],
            responsibilities=shares.of_rows(start) if drawn else None if shares is None else shares[start:stop],
        )


NO_ANNOTATIONS = Annotations()


def n_counted(source, annotations):
    """How many points have a positive weight."""
    return source.n_samples if annotations.weights is None else int(np.count_nonzero(annotations.weights))


class DrawnResponsibilities:
    """Uniform responsibilities, (n, K), drawn in scikit-learn's order when they are asked for, never held in memory.

    Parameters
    ----------
    random_state : RandomState
    n_components : int
    """

    def __init__(self, random_state, n_components):
        self._random_state = random_state
        self._n_components = n_components
        self._begin = random_state.get_state()
        self._next = 0
        self.most_rows = max(1, _VALUES // n_components)

    def __getitem__(self, rows):
        self._go_to(rows.start)
        values = self._draw(rows.stop - rows.start)
        return values / values.sum(axis=1, keepdims=True)

    def of_rows(self, start):
        """A copy whose first row is row `start` of these; it can be sent to the worker that has those points."""
        self._go_to(start)
        random_state = np.random.RandomState()
        random_state.set_state(self._random_state.get_state())
        return DrawnResponsibilities(random_state, self._n_components)

    def finish(self, n_samples):
        """Leave the random state as it is after the draws of all n rows, even if copies have made them."""
        self._go_to(n_samples)

    def _go_to(self, row):
        if row < self._next:
            self._random_state.set_state(self._begin)
            self._next = 0
        while self._next < row:
            self._draw(min(self.most_rows, row - self._next))

    def _draw(self, n_rows):
        self._next += n_rows
        return self._random_state.uniform(size=(n_rows, self._n_components))
