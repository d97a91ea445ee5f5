"""Merging components of a variational posterior, chosen by what the evidence lower bound gains from each pair.

The statistics of a union are the sums of its parts' statistics. All of the bound follows from them, except for the
entropy of the responsibilities, which is estimated on a sample of the points (Hughes & Sudderth 2013, 'Memoized online
variational inference for Dirichlet process mixture models', section 3). So the bound of a union costs no pass.
"""

from dataclasses import replace

import numpy as np
from scipy.special import xlogy

# Number of points (sum of responsibilities) below which a component counts as empty.
NO_POINTS = 1e-3


class Merging:
    """Merges components pair by pair, the best pair first.

    Gains are differences of `evidence_lower_bound_`, nats, with the responsibilities of other components unchanged.

    Parameters
    ----------
    family : VariationalFamily
    statistics : SufficientStatistics
        Of all the points under the responsibilities of the posterior.
    responsibilities : ndarray of shape (n, K)
        Of a sample of the points.
    reg_covar : float
    least_gain : float
        Gain of a pair below which the loss of entropy isn't computed, so such pairs seem to gain more than they do.
    reward : float
        Gain, nats, that every merger is credited with in addition.

    Attributes
    ----------
    statistics : SufficientStatistics
        Those after the mergers; components that were merged into others have no points.
    n_merged : int
    """

    def __init__(self, family, statistics, responsibilities, reg_covar, least_gain, reward=0.0):
        self.statistics = statistics
        self.n_merged = 0
        self._family = family
        self._reg_covar = reg_covar
        self._least_gain, self._reward = least_gain, reward
        self._shares = responsibilities
        self._points_each = statistics.weight / len(responsibilities)
        self._alive = np.flatnonzero(statistics.mass > NO_POINTS)
        self._unions = (_TiedUnions if family.is_shared else _Unions)(family, statistics, reg_covar)
        n_components = len(statistics.mass)
        self._gains = np.full((n_components, n_components), -np.inf)
        for n, i in enumerate(self._alive[:-1], start=1):
            self._gains[i, self._alive[n:]] = self._compare(i, self._alive[n:])

    def pairs(self):
        """Disjoint pairs (i, j) that gain more than `least_gain`, the best first."""
        found, free = [], set(self._alive.tolist())
        rows, columns = np.nonzero(self._gains > self._least_gain)
        for n in np.argsort(-self._gains[rows, columns], kind="stable"):
            pair = int(rows[n]), int(columns[n])
            if free.issuperset(pair):
                free.difference_update(pair)
                found.append(pair)
        return found

    def merge_while_higher(self, n_components):
        """Merge as long as the bound rises or there are more than `n_components` components."""
        while len(self._alive) > 1:
            i, j = np.unravel_index(np.argmax(self._gains), self._gains.shape)
            if not self._gains[i, j] > 0 and len(self._alive) <= n_components:
                break
            self._merge(i, j)

    def _merge(self, i, j):
        self.statistics = union(self.statistics, [(i, j)])
        self.n_merged += 1
        self._shares = self._shares.copy() if self.n_merged == 1 else self._shares
        self._shares[:, i] += self._shares[:, j]
        self._shares[:, j] = 0.0
        self._alive = self._alive[self._alive != j]
        self._gains[j] = self._gains[:, j] = -np.inf
        self._unions = type(self._unions)(self._family, self.statistics, self._reg_covar)
        others = self._alive[self._alive != i]
        self._gains[np.minimum(i, others), np.maximum(i, others)] = self._compare(i, others)

    def _compare(self, i, others):
        """Gains from merging component i with each of the others."""
        if not len(others):
            return np.empty(0)
        gains = self._unions.gains(i, others) + self._gains_of_weights(i, others) + self._reward
        gains = np.where(np.isnan(gains), -np.inf, gains)
        near = gains > self._least_gain
        gains[near] -= self._entropies(i, others[near])
        return gains

    def _gains_of_weights(self, i, others):
        before = self.statistics.mass
        mass = np.tile(before, (len(others), 1))
        mass[:, i] += before[others]
        mass[np.arange(len(others)), others] = 0.0
        return self._family.log_evidence_of_weights(mass) - self._family.log_evidence_of_weights(before)

    def _entropies(self, i, others):
        """Entropy lost by merging component i with each of the others, as points no longer choose between the two."""
        one, other = self._shares[:, [i]], self._shares[:, others]
        both = one + other
        return self._points_each * (xlogy(both, both) - xlogy(one, one) - xlogy(other, other)).sum(axis=0)


class _Unions:
    """Unions of components with precisions of their own: the log-evidences of the components' points add up."""

    def __init__(self, family, statistics, reg_covar):
        self._family, self._statistics, self._reg_covar = family, statistics, reg_covar
        nothing = statistics.scaled(0.0).of([0])
        self._of_none = family.log_evidence_of_groups(nothing, reg_covar)[0]
        self._of_each = family.log_evidence_of_groups(statistics, reg_covar)

    def gains(self, i, others):
        one, other = self._statistics.of(np.full(len(others), i)), self._statistics.of(others)
        mass = one.mass + other.mass
        centres = one.means + (other.mass / mass)[:, None] * (other.means - one.means)
        of_both = self._family.log_evidence_of_groups(one.about(centres) + other.about(centres), self._reg_covar)
        return of_both + self._of_none - self._of_each[i] - self._of_each[others]


class _TiedUnions:
    """Unions of components with common precisions: a union adds a matrix of rank two to the common covariance.

    The terms of the log-evidence that depend on the covariance S and the means' precisions b are
    -(N + n0)/2 log |S| + (K - 1)/2 tr(S**-1 S0) - D/2 sum log b, n0 and S0 the prior's degrees of freedom and scatter.
    """

    def __init__(self, family, statistics, reg_covar):
        self._priors = family.priors
        self._posterior = posterior = family.maximize(statistics, reg_covar)
        self._weight = statistics.mass.sum()
        offsets, precision = posterior.means - self._priors.mean, posterior.precisions()
        towards = offsets @ precision
        self._products = towards @ offsets.T
        self._products_by_prior = towards @ self._priors.covariance @ towards.T

    def gains(self, i, others):
        posterior, priors = self._posterior, self._priors
        n_components, n_features = posterior.means.shape
        one, other = posterior.mean_precision[i], posterior.mean_precision[others]
        both = one + other - priors.mean_precision
        precisions = np.stack([np.full(len(others), one), other], axis=1)
        # The union's covariance is S + V C V', V the two offsets of the means from the prior's mean.
        change = precisions[:, :, None] * (np.eye(2) - precisions[:, None, :] / both[:, None, None])
        change /= n_components * posterior.degrees_of_freedom
        pairs = np.stack([np.full(len(others), i), others], axis=1)
        cells = pairs[:, :, None], pairs[:, None, :]
        growth = np.eye(2) + change @ self._products[cells]
        log_growth = np.linalg.slogdet(growth)[1]
        of_trace = -np.trace(np.linalg.solve(growth, change @ self._products_by_prior[cells]), axis1=1, axis2=2)
        log_precisions = np.log(both) + np.log(priors.mean_precision) - np.log(one) - np.log(other)
        gains = -(self._weight + priors.degrees_of_freedom) * log_growth + (n_components - 1) * of_trace
        return 0.5 * (gains - n_features * log_precisions)


def union(statistics, pairs):
    """The statistics after merging pairs: the second component is added to the first and left without points."""
    centres, mass = statistics.means, statistics.mass
    for i, j in pairs:
        centres[i] += mass[j] / (mass[i] + mass[j]) * (centres[j] - centres[i])
        centres[j] = centres[i]
    statistics = statistics.about(centres)
    sums = {name: getattr(statistics, name).copy() for name in ("mass", "first", "second", "magnitude")}
    for name, values in sums.items():
        if statistics.is_pooled and name in ("second", "magnitude"):
            continue
        for i, j in pairs:
            values[i] += values[j]
            values[j] = 0.0
    return replace(statistics, **sums)


def in_order(statistics, n_components):
    """Statistics of `n_components` components, those with most points first, filled up with ones without points."""
    order = np.argsort(-statistics.mass, kind="stable")[:n_components]
    lacking = n_components - len(order)
    if not lacking:
        return statistics.of(order)
    found = statistics.of(np.concatenate([order, np.zeros(lacking, dtype=order.dtype)]))
    sums = {name: getattr(found, name).copy() for name in ("mass", "first", "second")}
    for name, values in sums.items():
        if not found.is_pooled or name != "second":
            values[len(order) :] = 0.0
    return replace(found, **sums)
