"""Step rules: they choose the mixture that the next pass evaluates, EM's own or an accelerated one.

A pass at a mixture gives its log-likelihood and its successor by EM, and these two mixtures give the gradient;
differences of gradients give the curvature. L-BFGS (Nocedal 1980) with EM's metric as the first guess of the Hessian
has the advantages of both methods (Jamshidian & Jennrich 1997, 'Acceleration of the EM algorithm by using quasi-Newton
methods'): the first steps are EM's, and along the few directions in which EM is slow, steps soon have the right length.
"""

import copy
import itertools
import math
from collections import namedtuple

import numpy as np

from ..model.saved import Saved

# Most pairs (step, change of the gradient) that L-BFGS keeps.
_PAIRS = 6
# Bytes that the pairs may take: a fit's memory grows little with features and components, and not with points.
_MEMORY = 32 << 20

# Longest quasi-Newton step at first, in standard deviations of a component. The limit is doubled after a step of that
# length succeeds, and halved after a step fails.
_RADIUS = 0.3
# Upper bound of that limit, in the same unit.
_MOST_RADIUS = 2.0

# Longest step in directions of unknown curvature, in multiples of EM's step.
_MOST_EM_STEPS = 5.0

# Share of reg_covar in a component's smallest variance above which the component follows EM instead of the proposal.
_MOST_REG_COVAR = 0.1

# Share of the last gain below which the next one shows that gains fall superlinearly,
_STEEP = 0.1
# and share of tol below which the next gain then ends the run.
_LAST_STEP = 0.3

# Relative change of a bound that may be rounding.
_ROUNDING = 1e-12
# Gain in nats that is too small to show in any bound.
_INVISIBLE_GAIN = 1e-14


class Plain(Saved):
    """Plain EM: the next mixture is what the M-step makes; the run ends when the bound changes by less than tol."""

    kind = "plain"
    is_guarded = False
    """Whether the next pass is undone if it leads lower."""
    can_resume = True
    """Whether a checkpoint of the run holds all that its further iterations depend on."""
    remaining_gain = math.nan
    remaining_change = math.nan

    def accepts(self, bound, rounding):
        return True

    def observe(self, parameters, successor, bound):
        """Take in an accepted pass; return the next mixture to try."""
        return successor

    def has_converged(self, change, tol):
        return abs(change) < tol

    def final(self, parameters):
        """The mixture to return: the last one, or (stochastic EM) the best one seen."""
        return parameters

    def copy(self):
        """A copy that later passes don't change, for a checkpoint."""
        return copy.copy(self)


class Stochastic(Plain):
    """Stochastic EM: M-steps use drawn assignments, so the bound fluctuates; the mixture with the highest one is kept.

    The run ends when the highest bound hasn't risen by more than tol in `_PATIENCE` iterations.
    """

    _PATIENCE = 30

    def __init__(self):
        self._best = None
        self._bound = self._mark = -math.inf
        self._since = 0

    def observe(self, parameters, successor, bound):
        if bound > self._bound:
            self._best, self._bound = parameters, bound
        return successor

    def has_converged(self, change, tol):
        if self._bound > self._mark + tol or self._mark == -math.inf:
            self._mark, self._since = self._bound, 0
        else:
            self._since += 1
        return tol > 0 and self._since >= self._PATIENCE

    def final(self, parameters):
        return parameters if self._best is None else self._best


class _Guarded(Plain):
    """Accelerated steps that a subclass proposes; one that leads lower is undone."""

    def __init__(self):
        self._bounds = []
        self.kind = "plain"
        self.remaining_gain = self.remaining_change = math.inf

    @property
    def is_guarded(self):
        return self.kind == "accelerated"

    def accepts(self, bound, rounding):
        """Whether the mixture proposed last, which has this bound, is at least as good as the one before it."""
        slack = 0.0 if self.kind == "accelerated" else rounding * max(1.0, abs(bound))
        return not self._bounds or bound >= self._bounds[-1] - slack

    def has_converged(self, change, tol):
        """scikit-learn's rule (the bound changes by less than tol), and less than tol is left to gain."""
        return abs(change) < tol and not self.remaining_gain >= tol


def geometric_rest(before, last):
    """Sum of the gains to come, if these two continue as a geometric series (Boehning et al. 1994, section 2)."""
    if last <= 0:
        return 0.0
    return last * last / (before - last) if last < before else math.inf


class FixedPoint(Plain):
    """Plain steps that don't maximise the bound, which may fall: the run ends where it hardly changes any more."""

    def __init__(self, goes_on=False):
        self._bounds, self.remaining_gain = [], math.nan if goes_on else math.inf

    def start_anew(self):
        """Forget the bounds, as the next pass is over other points."""
        self._bounds, self.remaining_gain = [], math.inf

    def observe(self, parameters, successor, bound):
        self._bounds = [*self._bounds[-2:], bound]
        if len(self._bounds) == 3:
            before, last = np.abs(np.diff(self._bounds))
            self.remaining_gain = geometric_rest(before, last) if last > _ROUNDING * (1 + abs(bound)) else 0.0
        return successor

    def has_converged(self, change, tol):
        """The bound changes by less than tol, and by the estimate will change by less than tol in all."""
        return abs(change) < tol and not self.remaining_gain >= tol


class Extrapolation(_Guarded):
    """Steps of a posterior that extrapolate its last plain step to the end of a geometric series.

    Once only one slow direction is left, steps shrink by a constant rate, and gains by its square. So after two plain
    steps the rest of the series follows from their gains. The extrapolation is made in the posterior's natural
    parameters, where every step is a natural-gradient step (Hoffman et al. 2013, section 2.3). The sticks of a
    Dirichlet process are also sorted by their components' weights, the order that the prior prefers.
    """

    # Limit of the length of an extrapolation, in multiples of the last step: at first, and at most.
    _LONGEST, _MOST = 4.0, 256.0

    def __init__(self):
        super().__init__()
        self._longest = self._LONGEST
        self._is_ordering = False  # whether the proposed step only sorts the components
        self._may_order = True

    def start_anew(self):
        """Forget the bounds, as the next pass is over other points."""
        self._bounds, self._is_ordering = [], False
        self.kind = "plain"
        self.remaining_gain = self.remaining_change = math.inf

    def reject(self, parameters, successor):
        """Take in a failed step."""
        if self._is_ordering:
            self._may_order = False
        else:
            self._longest = max(1.0, self._longest / 4)
        self._bounds = self._bounds[-1:]
        self.kind = "plain"

    def observe(self, parameters, successor, bound):
        """Take in an accepted pass; return the next posterior to try."""
        if self.kind == "accelerated":
            self._longest = self._longest if self._is_ordering else min(2 * self._longest, self._MOST)
            self._bounds = []
        self._bounds = [*self._bounds[-2:], bound]
        self.kind, self.remaining_gain, self.remaining_change = "plain", math.inf, math.inf
        ordered = successor.in_order() if self._may_order else None
        self._is_ordering = ordered is not None
        if self._is_ordering:
            self.kind = "accelerated"
            return ordered
        if len(self._bounds) < 3:
            return successor
        before, last = np.diff(self._bounds)
        self.remaining_gain = geometric_rest(before, last)
        if last <= 0:
            self.remaining_change = parameters.change_to(successor)
        if not 0 < last < before:
            return successor
        rate = math.sqrt(last / before)
        self.remaining_change = parameters.change_to(successor) / (1 - rate)
        further = successor.beyond(parameters, min(rate / (1 - rate), self._longest))
        if further is None:
            return successor
        self.kind = "accelerated"
        return further


Visited = namedtuple("Visited", "points theta successor")


class QuasiNewton(_Guarded):
    """Guarded quasi-Newton steps: one that leads lower is replaced by EM's own step from the same mixture.

    Parameters
    ----------
    reg_covar : float
    goes_on : bool
        True if the start is where an earlier fit stopped: the run may then end before it can estimate what is left to
        gain.

    Attributes
    ----------
    kind : {'plain', 'accelerated'}
        The kind of step to the mixture that `observe` returned last.
    remaining_gain : float
        Estimate of what the bound can still gain from the last accepted mixture on, nats per unit of weight.
    remaining_change : float
        Estimate of the largest change from there to the maximum: of a weight, or of a mean in its component's standard
        deviations.
    """

    def __init__(self, reg_covar, goes_on=False):
        self._reg_covar = reg_covar
        self._unknown = math.nan if goes_on else math.inf
        self._visited = []
        self._points = 0
        self._radius = _RADIUS
        self._was_cut = False
        self.start_anew()

    def start_anew(self):
        """Prepare for passes over other points: of the earlier ones only the curvature is kept."""
        self._points += 1
        self._bounds = []
        self.kind = "plain"
        self.remaining_gain = self.remaining_change = math.inf

    def reject(self, parameters, successor):
        """Take in a failed step: its gradient still tells the curvature. `successor` is None if its M-step failed."""
        self._radius /= 2
        if successor is not None:
            self._remember(parameters, successor, before_last=True)
        self.kind = "plain"

    def observe(self, parameters, successor, bound):
        """Take in an accepted pass; return the next mixture to try."""
        proposal = self._observe([parameters, successor], [*self._bounds[-4:], bound])
        return successor if proposal is None else proposal

    def has_converged(self, change, tol):
        """The rule of all accelerated steps; where gains fall superlinearly, the pass to see less than tol is saved."""
        is_last = self.remaining_gain < _LAST_STEP * tol and self._falls_to(self.remaining_gain)
        return is_last or super().has_converged(change, tol)

    def _falls_to(self, gain):
        """Whether this gain would be so much smaller than the last one that gains fall superlinearly."""
        return len(self._bounds) >= 3 and gain < _STEEP * (self._bounds[-1] - self._bounds[-2])

    def observe_plain(self, mixtures, bounds):
        """Take in EM's own steps, from each mixture to the next, that followed the last proposal; return the next one.

        It is None if EM's own step is next. bounds: the last three, up to that of the mixture before the last.
        """
        return self._observe(mixtures, list(bounds))

    def _observe(self, mixtures, bounds):
        """The next proposal, None for EM's own step, after passes that led from each mixture to the next."""
        if self.kind == "accelerated" and self._was_cut:
            self._trust_longer_steps()
        self._bounds = bounds
        for parameters, successor in itertools.pairwise(mixtures):
            self._remember(parameters, successor)
        proposal = self._propose(*mixtures[-2:])
        self.kind = "plain" if proposal is None else "accelerated"
        return proposal

    def _trust_longer_steps(self):
        self._radius = min(2 * self._radius, _MOST_RADIUS)

    def copy(self):
        other = copy.copy(self)
        other._visited = list(self._visited)
        return other

    def _remember(self, parameters, successor, before_last=False):
        theta, new = parameters.theta, successor.sums
        position = len(self._visited) - before_last
        self._visited.insert(position, Visited(self._points, theta, new))
        n_bytes = 4 * sum(array.nbytes for array in (*theta, *new))
        del self._visited[: -max(2, min(_PAIRS + 1, _MEMORY // n_bytes))]

    def _propose(self, parameters, successor):
        coordinates = parameters.coordinates()
        theta, successors = (
            [np.stack(arrays) for arrays in zip(*values, strict=True)]
            for values in ([v.theta for v in self._visited], [v.successor for v in self._visited])
        )
        points = coordinates.encode(*theta)
        gradients = coordinates.gradient(*theta, successors)
        held = coordinates.held(gradients[-1])
        if held is not None:
            points[:, held] = gradients[:, held] = 0.0
        pairs = self._pairs(points, gradients)
        direction = _times_inverse_hessian(gradients[-1], pairs)
        of_step = 0.5 * gradients[-1] @ direction
        # Aitken's estimate is for a geometric series: where gains fall faster, it expects too much.
        is_steep = pairs and self._falls_to(of_step)
        self.remaining_gain = of_step if is_steep else max(of_step, self._aitken())
        self.remaining_change = coordinates.change(direction)
        if not pairs:
            if len(self._bounds) < 3 and self.remaining_gain > _INVISIBLE_GAIN:
                self.remaining_gain = self._unknown  # nothing yet tells whether EM is fast or slow here
            return None
        length = np.abs(direction / coordinates.deviations).max()
        self._was_cut = length > self._radius
        if self._was_cut:
            direction = direction * (self._radius / length)
            if gradients[-1] @ direction < gradients[-1] @ gradients[-1]:  # by the gradient, EM's own step gains more
                self._trust_longer_steps()
                return None
        return self._where_regular(coordinates.decode(direction), successor)

    def _where_regular(self, proposal, successor):
        """The proposal, with EM's own components where reg_covar makes up much of a variance; None to follow EM alone.

        Such components must follow EM: the log-likelihood has its maximum at smaller variances than an M-step leaves.
        """
        arrays = proposal.weights, proposal.means, proposal.covariances, proposal.precisions_cholesky
        if not all(np.isfinite(array).all() for array in (proposal.all_weights, *arrays)):
            return None
        if not proposal.family.adds_reg_covar:
            return proposal.family.at_floor(proposal, self._reg_covar)
        as_em = proposal.share_of(self._reg_covar) > _MOST_REG_COVAR
        as_em = as_em | (successor.share_of(self._reg_covar) > _MOST_REG_COVAR)
        if not as_em.any():
            return proposal
        if len(as_em) == 1 or as_em.all():
            return None
        return proposal.with_components_of(successor, as_em)

    def _pairs(self, points, gradients):
        """(step, decrease of the gradient, their product) of successive mixtures evaluated on the same points.

        Only those along which the log-likelihood is concave.
        """
        pairs = []
        for i in range(1, len(points)):
            if self._visited[i - 1].points != self._visited[i].points:
                continue
            step, fall = points[i] - points[i - 1], gradients[i - 1] - gradients[i]
            curvature = step @ fall
            if curvature > 1e-8 * np.linalg.norm(step) * np.linalg.norm(fall):
                pairs.append((step, fall, curvature))
        return pairs

    def _aitken(self):
        """What is left to gain, estimated from the bounds so far (Aitken's method).

        Gains of quasi-Newton steps are alternately large and small, so with five bounds sums of two gains are compared.
        """
        if len(self._bounds) < 3:
            return 0.0
        width = 2 if len(self._bounds) == 5 else 1
        return geometric_rest(*np.diff(self._bounds[-1 - 2 * width :: width]))


def _times_inverse_hessian(gradient, pairs):
    """L-BFGS's two loops (Nocedal & Wright 2006, algorithm 7.4).

    The first guess of the inverse Hessian is the identity, which gives EM's step, multiplied by the factor (1 to
    `_MOST_EM_STEPS`) by which that step was too short along the last pair.
    """
    result = gradient.copy()
    along = []
    for step, fall, curvature in reversed(pairs):
        along.append(step @ result / curvature)
        result -= along[-1] * fall
    if pairs:
        _, fall, curvature = pairs[-1]
        result *= np.clip(curvature / (fall @ fall), 1.0, _MOST_EM_STEPS)
    for (step, fall, curvature), share in zip(pairs, reversed(along), strict=True):
        result += step * (share - fall @ result / curvature)
    return result
