"""Online EM: the statistics of a stream, batch by batch, the earlier ones fading.

Cappe & Moulines 2009, 'On-line expectation-maximization algorithm for latent data models', eqs. 11 and 12, for batches
of any size: s = (1 - share) s + share s(batch), s being statistics of weight 1, and the share that of the batch among
the points that are not forgotten; of those there are never fewer than the first mixture came from. An M-step follows
when what came in since the last one makes up enough of s; until then batches are passed through the same mixture, their
sums in one place: so a batch costs hardly more than its pass.
"""

import math
from dataclasses import replace

import numpy as np

from .. import kernels
from ..model.parameters import CollapsedComponent
from ..sources.annotations import Assignment
from ..sources.array import ArraySource, in_memory
from . import em, labelled, resuming, strategies
from .report import FitReport

# Points for each component, or for each feature of it, that the first mixture is fitted to.
_POINTS = 100
_POINTS_A_FEATURE = 10

# Held points are fitted anew when so many times as many; in between the last fit goes on.
_GROWTH = 1.5

# Part of the statistics that is new when an M-step is made: every batch has one until there were some ten of a size.
# An M-step takes as long as a pass over 5,000 points of 10 features, K=16. One pass over 100,000 to 300,000 points ends
# 0 to 0.015 nats higher with one after every batch, 0 to 0.009 with 1/8; the fit of all points 0 to 0.07.
_NEW = 0.25

# The largest batch that is added to the others' sums without ado.
_MOST_VALUES = 1 << 20


class OnlineEM:
    """What is left of all batches so far.

    Parameters
    ----------
    family_of : callable
        The family of a first mixture, by the points (a source) that it is fitted to and what is known of them.
    parameters : Parameters, default=None
        None before there are points enough for a mixture.
    weight : float
        Of the points that the parameters come from.
    n_samples : int
        Their number.
    lower_bounds : list of float
        Of each batch before it was taken in, nats per unit of weight.
    reg_covar : float
        That was added to the parameters' variances.
    """

    def __init__(self, family_of, parameters=None, weight=0.0, n_samples=0, lower_bounds=(), reg_covar=0.0):
        self._family_of = family_of
        self.parameters = parameters
        self.weight = weight
        self.n_samples = n_samples
        self.lower_bounds = list(lower_bounds)
        self._first = weight  # of the points that the first mixture came from
        self._statistics = None  # of the last M-step
        if weight > 0:
            self._statistics = parameters.family.statistics_of(parameters, weight, reg_covar)
        self._held = None  # the first points, and what is known of them
        self._n_fitted = 0  # how many of them the last fit from a start saw
        self._wait()

    def _wait(self):
        """For batches, after an M-step."""
        self._kept = 1.0  # share of the last M-step's statistics in today's
        self._pending = None  # statistics of batches since; their weights sum to (1 - kept) / kept
        self._sums = None  # and sums of others, at the same parameters
        self._pass = None

    @property
    def result(self):
        """As a fit's."""
        return em.EMResult(self.parameters, self.lower_bounds, report=FitReport())

    def take_in(self, source, annotations, settings, forgetting, random_state):
        """One more batch; nothing is changed where it fails."""
        if self.parameters is None or self._held is not None:
            self._take_in_first(source, annotations, settings, random_state)
            return
        seed = 0
        if settings.assignment == "stochastic":
            seed = random_state.randint(2**31) * 2**32 + len(self.lower_bounds)
        statistics = source.e_step(self.parameters, annotations, Assignment(settings.assignment, seed))
        if statistics.weight > 0:
            kept, factor = self._shares(statistics.weight, forgetting)
            batch = statistics.scaled(factor / statistics.weight)
            if 1 - kept >= _NEW:
                self._make_m_step(self._since(self._sums, batch), kept, statistics.weight, settings)
            else:
                self._pending, self._kept = batch if self._pending is None else self._pending + batch, kept
            self._count(source.n_samples, statistics.weight, statistics.lower_bound)
        else:
            self.n_samples += source.n_samples

    def take_in_rows(self, X, settings, forgetting):
        """One more small batch of float64 or float32 rows, softly assigned; False, and no change: it needs `take_in`.

        That is so, too, where rows hold NaN or infinity.
        """
        is_first = self.parameters is None or self._statistics is None or self._held is not None
        if is_first or forgetting == 1 or not 0 < X.size <= _MOST_VALUES:
            return False
        if self._sums is not None and self._dtype != X.dtype:
            return False
        if self._pass is None or self._longest < len(X) or self._dtype != X.dtype:
            self._inputs = self.parameters.kernel_inputs(single=X.dtype == np.float32)
            self._offsets = (self.parameters.means - self._inputs.origin).astype(self._inputs.bias.dtype)
            self._pass = kernels.Pass(self._inputs, self._offsets, len(X))
            self._longest, self._dtype = len(X), X.dtype
        sums_of_batch, self._pass = self._pass, None  # not to be used again if an interrupt leaves it half filled
        sums_of_batch.add(X)
        total, weight = sums_of_batch.log_likelihood, float(len(X))
        if not math.isfinite(total):
            return False
        kept, factor = self._shares(weight, forgetting)
        sums = sums_of_batch.no_sums() if self._sums is None else self._sums
        if 1 - kept >= _NEW:  # if the M-step fails, the sums are to be as they were
            sums = kernels.Sums(*(values.copy() for values in sums))
            sums_of_batch.add_to(sums, factor / weight)
            self._make_m_step(self._since(sums), kept, weight, settings)
        else:
            sums_of_batch.add_to(sums, factor / weight)
            self._sums, self._kept, self._pass = sums, kept, sums_of_batch
        self._count(len(X), weight, total / weight)
        return True

    def _count(self, n_samples, weight, bound):
        self.n_samples += n_samples
        self.weight += weight
        self.lower_bounds.append(bound)

    def _shares(self, weight, forgetting):
        """(what is kept of the last M-step's statistics, the batch's share in units of that)."""
        share = 1.0
        if forgetting < 1 and self._statistics is not None:
            share = weight / (weight + self._first**forgetting * self.weight ** (1 - forgetting))
        kept = self._kept * (1 - share)
        return kept, share / kept if kept > 0 else 1.0

    def _since(self, sums, batch=None):
        """Statistics of all that came since the last M-step: in sums, pending and in this batch."""
        parts = [part for part in (batch, self._pending) if part is not None]
        if sums is not None:
            centres = self._inputs.origin + self._offsets
            parts.append(self.parameters.family.statistics_of_pass(self._inputs, centres, sums))
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        return total

    def _make_m_step(self, since, kept, weight, settings):
        """From what came since the last one, and what is kept of that one's statistics; no change where it fails."""
        total = self.weight + weight
        if kept > 0:
            statistics = since.scaled(kept * total)
            statistics = statistics + self._statistics.scaled(kept * total / self._statistics.weight)
        else:
            statistics = since.scaled(total / since.weight)
        try:
            self.parameters = self.parameters.family.maximize(statistics, settings.reg_covar)
        except CollapsedComponent as collapse:
            raise em.collapsed_error(collapse, f"in batch {len(self.lower_bounds) + 1}") from None
        self._statistics = statistics
        self._first = self._first or weight
        self._wait()

    def _take_in_first(self, source, annotations, settings, random_state):
        """Held points and these, fitted together; once they are enough, their statistics are all that is kept."""
        if self._held is not None:
            source, annotations = _joined(self._held, (source, annotations), settings.n_components)
        n_components = settings.n_components
        are_enough = source.n_samples >= n_components * max(_POINTS, _POINTS_A_FEATURE * source.n_features)
        n_counted = source.n_samples if annotations.weights is None else np.count_nonzero(annotations.weights)
        weight = float(source.n_samples if annotations.weights is None else annotations.weights.sum())
        if n_counted < max(2, n_components) or (not are_enough and _lacks_a_component(annotations, n_components)):
            self._held, self.n_samples, self.weight = (in_memory(source), annotations), source.n_samples, weight
            return
        n_fitted, family = self._n_fitted, self._family_of(source, annotations)
        if annotations.are_complete:
            result = labelled.fit(source, family, settings, annotations)
        elif self.parameters is None or are_enough or source.n_samples >= _GROWTH * n_fitted:
            result = strategies.chosen(settings, annotations)(
                source, family, settings, random_state, annotations=annotations
            )
            n_fitted = source.n_samples
        else:
            start = replace(self.parameters, family=family)
            result = resuming.fit(source, start, settings, -np.inf, annotations=annotations)
        assignment = Assignment(settings.assignment)
        statistics = source.e_step(result.parameters, annotations, assignment) if are_enough else None
        self._held = None if are_enough else (in_memory(source), annotations)
        self.parameters, self._statistics, self._n_fitted = result.parameters, statistics, n_fitted
        self.n_samples, self.weight, self._first = source.n_samples, weight, weight
        self.lower_bounds.append(result.lower_bound)


def _lacks_a_component(annotations, n_components):
    return annotations.are_complete and len(np.unique(annotations.labels)) < n_components


def _joined(one, other, n_components):
    """Two batches as one, with what is known of either."""
    sources, both = zip(one, other, strict=True)
    sizes = [source.n_samples for source in sources]

    def joined(name, unknown):
        values = [getattr(annotations, name) for annotations in both]
        if all(value is None for value in values):
            return None
        return np.concatenate([unknown(n) if v is None else v for v, n in zip(values, sizes, strict=True)])

    both = _of_one_kind(both, sizes, n_components)
    labels = joined("labels", lambda n: np.full(n, -1))
    shares = joined("responsibilities", lambda n: np.ones((n, n_components)))
    weights = joined("weights", np.ones)
    rows = np.concatenate([source.rows(slice(None)) for source in sources])
    return ArraySource(rows), replace(other[1], weights=weights, labels=labels, responsibilities=shares)


def _of_one_kind(both, sizes, n_components):
    """The same, labels as responsibilities where another has those."""
    if all(annotations.responsibilities is None for annotations in both):
        return both
    result = []
    for annotations, n in zip(both, sizes, strict=True):
        if annotations.labels is not None:
            shares = np.ones((n, n_components))
            shares[annotations.labels >= 0] = np.eye(n_components)[annotations.labels[annotations.labels >= 0]]
            annotations = replace(annotations, labels=None, responsibilities=shares)
        result.append(annotations)
    return result
