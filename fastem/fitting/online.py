"""Online EM: sufficient statistics of a stream, updated with every batch, while earlier batches fade.

Cappe & Moulines 2009, 'On-line expectation-maximization algorithm for latent data models', eqs. 11 and 12, for batches
of any size: s = (1 - share) s + share s(batch), where s are statistics of weight 1. The share is that of the batch in
the weight not forgotten, which is never less than that of the first mixture's points. An M-step follows once the
batches since the last one make up enough of s. Until then the mixture stays the same and the batches' sums are added up
in one place, so a batch costs hardly more than its pass.
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

# Points per component that the first mixture is fitted to, at least;
_POINTS = 100
# points per component and feature, if these are more. Until there are enough, points are held in memory.
_POINTS_A_FEATURE = 10

# Ratio of the held points to those of the last fit from a new start at which the next one is made. In between, the last
# mixture is improved by EM.
_GROWTH = 1.5

# Share of new batches in the statistics at which an M-step is made. Every batch has one until about ten of equal size
# have come. An M-step takes as long as a pass over 5,000 points of 10 features, K=16. One pass over 100,000 to 300,000
# points would end 0 to 0.015 nats higher with an M-step after every batch, 0 to 0.009 higher with a share of 1/8; a fit
# of all the points ends 0 to 0.07 higher.
_NEW = 0.25

# Most numbers (rows times features) in a batch that `take_in_rows` accepts.
_MOST_VALUES = 1 << 20


class OnlineEM:
    """The state of online EM after all batches so far.

    Parameters
    ----------
    family_of : callable
        Gives the family of the first mixture for the points that it is fitted to: (source, Annotations).
    parameters : Parameters, default=None
        None before there are enough points for a mixture.
    weight : float
        Total weight of the points that the parameters come from.
    n_samples : int
        Number of these points.
    lower_bounds : list of float
        Of each batch under the mixture before it was taken in, nats per unit of weight.
    reg_covar : float
        The regularisation in the parameters' variances.
    """

    def __init__(self, family_of, parameters=None, weight=0.0, n_samples=0, lower_bounds=(), reg_covar=0.0):
        self._family_of = family_of
        self.parameters = parameters
        self.weight = weight
        self.n_samples = n_samples
        self.lower_bounds = list(lower_bounds)
        self._first = weight  # total weight of the points that the first mixture came from
        self._statistics = None  # of the last M-step
        if weight > 0:
            self._statistics = parameters.family.statistics_of(parameters, weight, reg_covar)
        self._held = None  # the first points, and what is known of them
        self._n_fitted = 0  # how many of them the last fit from a start saw
        self._wait()

    def _wait(self):
        """Prepare for batches, after an M-step."""
        self._kept = 1.0  # share of the last M-step's statistics in the current ones
        self._pending = None  # statistics of batches since then, from `take_in`
        self._sums = None  # sums of those from `take_in_rows`; the weights of both add up to (1 - kept) / kept
        self._pass = None

    @property
    def result(self):
        """The state as the EMResult of a fit."""
        return em.EMResult(self.parameters, self.lower_bounds, report=FitReport())

    def take_in(self, source, annotations, settings, forgetting, random_state):
        """Take in one more batch; if that fails, nothing changes."""
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
        """Take in a small batch of float64 or float32 rows, softly assigned, and return True.

        False, without any change, if the batch needs `take_in`; so too if rows hold NaN or infinity.
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
        if 1 - kept >= _NEW:  # on a copy, so that the sums are unchanged if the M-step fails
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
        """(share of the last M-step's statistics after a batch of this weight, the batch's share in units of that)."""
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
        """M-step on the statistics since the last one and the kept share of that one's; on failure nothing changes."""
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
        """Fit these and the held points together; once there are enough, only their statistics are kept."""
        if self._held is not None:
            source, annotations = _joined(self._held, (source, annotations), settings.n_components)
        n_components = settings.n_components
        are_enough = source.n_samples >= n_components * max(_POINTS, _POINTS_A_FEATURE * source.n_features)
        n_counted = source.n_samples if annotations.weights is None else np.count_nonzero(annotations.weights)
        weight = float(source.n_samples if annotations.weights is None else annotations.weights.sum())
        is_empty = not source.is_complete and source.empty_features(annotations.weights).size > 0
        too_few = n_counted < max(2, n_components) or is_empty
        if too_few or (not are_enough and _lacks_a_component(annotations, n_components)):
            self._held, self.n_samples, self.weight = (in_memory(source), annotations), source.n_samples, weight
            return
        n_fitted, family = self._n_fitted, self._family_of(source, annotations)
        if annotations.are_complete and source.is_complete:
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
    return annotations.are_complete and len(np.unique(annotations.labels[annotations.labels >= 0])) < n_components


def _joined(one, other, n_components):
    """Two batches, each (source, annotations), as one."""
    sources, both = zip(one, other, strict=True)
    sizes = [source.n_samples for source in sources]

    def joined(name, unknown):
        values = [getattr(annotations, name) for annotations in both]
        if all(value is None for value in values):
            return None
        return np.concatenate([unknown(n) if v is None else v for v, n in zip(values, sizes, strict=True)])

    shares = [annotations.responsibilities for annotations in both if annotations.responsibilities is not None]
    n_columns = shares[0].shape[1] if shares else n_components  # one more than components if there is noise
    both = _of_one_kind(both, sizes, n_columns)
    labels = joined("labels", lambda n: np.full(n, -1))
    shares = joined("responsibilities", lambda n: np.ones((n, n_columns)))
    weights = joined("weights", np.ones)
    rows = np.concatenate([source.rows(slice(None)) for source in sources])
    keeper = next((source for source in sources if not source.is_complete), sources[0])
    return keeper.like(ArraySource(rows)), replace(other[1], weights=weights, labels=labels, responsibilities=shares)


def _of_one_kind(both, sizes, n_columns):
    """Both annotations, with labels turned into responsibilities if either has responsibilities."""
    if all(annotations.responsibilities is None for annotations in both):
        return both
    result = []
    for annotations, n in zip(both, sizes, strict=True):
        if annotations.labels is not None:
            columns = np.where(annotations.labels == -2, n_columns - 1, annotations.labels)
            shares = np.ones((n, n_columns))
            shares[columns >= 0] = np.eye(n_columns)[columns[columns >= 0]]
            annotations = replace(annotations, labels=None, responsibilities=shares)
        result.append(annotations)
    return result
