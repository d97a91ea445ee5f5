"""Truncated EM, for hundreds to thousands of components: each pass compares a point with a few candidates.

Every point i lies in the cell of a component c_i, and every cell has a list of candidates L(c): the components nearest
to c, c itself, and one drawn at random. The posterior of a point is truncated to the candidates of its cell (Luecke &
Eggert 2010, 'Expectation truncation'; for mixtures Salwig et al. 2026). What rises is these posteriors' free energy,

    F = sum_i w_i log sum_{k in L(c_i)} weight_k N(x_i; mean_k, covariance_k)  <=  log-likelihood.

With cells and lists fixed, F never falls: given the parameters, the truncated posteriors maximise the free energy among
those that are 0 outside the lists, and the M-step maximises it given the posteriors. Each iteration also moves points
to the cell of their most probable candidate, and takes lists from the new parameters. That may lower F; if the next
pass finds that it did, by more than the M-step gained, cells and lists are put back and the pass is repeated. So no
recorded F is below the one before.

A list for each cell, not for each point, has two advantages. The points of a cell are visited together, by the block
kernels of exact passes. And it is the better bound for as much work. Held-out log-likelihood, nats, where each of these
ends from one start (1,000,000 x 16, heavily overlapping, diag, tol=1e-3; 'best': the best of all components of each
point, found exactly):

====== ======== ======== ======== ========= ======== ========
K      exact    lists of 32, 64, 128         best 8 or 32
====== ======== ======== ======== ========= ======== ========
256    -26.0304 -26.0599 -26.0491 -26.0392  -26.0510 -26.0445
1,024  -26.1143 -26.1284 -26.1271 -26.1245  -26.1426 -26.1470
====== ======== ======== ======== ========= ======== ========

Every such bound prefers a mixture that needs few components at a point. Where components overlap so much that hundreds
share a point, as here, most of them end with few points. A term for the components outside the list, with shares common
to all points of a cell (Verbeek, Nunnink & Vlassis 2006), was tried: it gains 0.001 nats, and leaves this as it is.

So up to some hundred components a few points are first asked, at the start, how far F is below the log-likelihood. If
far, passes compare with every component: this is then EM. At K=256, full, it reaches the truncated fit's end (-26.003
held out) in 18 s, not 48, and ends at -25.889 (diag: -26.040 in 5 s, not 7, and -26.022).

Also tried (1,000,000 x 16, K=1,024, diag; EM: -26.041 in 28 s, -26.032 in 50; this: -26.041 in 9.8): quasi-Newton steps
(-26.050 in 29 s); EM on the sample first (-26.042 in 17); lists of 256 (-26.040 in 33); lists of 32 (-26.041 in 4.5 s,
but other data lost 0.03 to 0.27 nats); weights held equal (-26.114 in 5.4 s, and no higher); lists by counted
responsibilities (a larger gap with 20 points a cell) or by the mean root of the density (a tenth smaller); samples of
40, 160 and 400 points for each component in turn (-26.041 in 6.2 s, but other data lost 0.01 to 0.04 nats).
"""

import math
from dataclasses import replace

import numpy as np
from sklearn.cluster import kmeans_plusplus
from sklearn.metrics import pairwise_distances_argmin_min

from .. import kernels
from ..model.nearness import nearest_components
from ..sources.annotations import HARD, NO_ANNOTATIONS, Annotations
from ..sources.array import sample as sample_of_points
from . import initialization
from .acceleration import Plain
from .em import collapse_reported, run
from .kmeans import nearest
from .progress import SILENT
from .report import ALL, FitReport
from .start_points import moments_of_features, sample_of

N_CANDIDATES = 96
"""Candidates of a cell. With 64, held-out log-likelihoods were 0.004 to 0.07 nats lower and fits 1 to 1.5 times quicker
(K=1,024: pixels and patches of photos, groups that overlap less)."""

# Most components that every point may be compared with: an exact pass then takes up to three truncated ones.
_FEW_COMPONENTS = 384
# Log-likelihood less free energy at the start, nats, beyond which it is; and the number of points that tell it.
_LARGE_GAP, _ASKED = 0.04, 10_000

# Pairs of components for each pair (point, candidate) up to which every pass gets new lists; passes a list, beyond.
_QUICK_LISTS, _PASSES_A_LIST = 1 / 8, 3
# Most passes that the search for each point's first cell may take; it ends when fewer than this share of points moves.
_MOST_HOPS, _FEW_MOVE = 6, 0.001
# Components that every point is compared with first: this times the root of their number.
_FIRST = 8

# Points per component that seeds are chosen from; number of components from which they are chosen group by group.
_POINTS_A_SEED, _FEWEST_IN_GROUPS = 20, 600
# Most iterations of k-means on the sample; the gain, in nats, that ends them.
_KMEANS, _KMEANS_TOL = 12, 1e-2
# Most iterations of EM on the sample; a sample that isn't smaller than this share of the points isn't used for EM.
_ON_SAMPLE, _SMALL_SAMPLE = 30, 0.4


def check(source, family, settings, annotations):
    """Raise ValueError where truncated EM can't be used."""
    if getattr(family, "noise", None) is not None:
        raise ValueError(
            "noise can't be used with algorithm='truncated', which compares a point with Gaussians near it: "
            "use algorithm='em'"
        )
    if family.fourth is not None:
        raise ValueError(
            "shrinkage='ledoit-wolf' can't be used with algorithm='truncated', as its fourth moments take the "
            "responsibility of every component: use shrinkage='oas', or algorithm='em'"
        )
    if annotations.is_constrained:
        raise ValueError(
            "labels can't be used with algorithm='truncated', which compares a point with the candidates near it, "
            "not with the component it is known to be from: use algorithm='em'"
        )
    if settings.assignment == "stochastic":
        raise ValueError(
            "assignment='stochastic' can't be used with algorithm='truncated', whose candidates are accepted only if "
            "the bound rises: use assignment='soft' or 'hard', or algorithm='em'"
        )
    if settings.n_components > kernels.MOST_CELLS:
        raise ValueError(
            f"algorithm='truncated' takes at most {kernels.MOST_CELLS:,} components, "
            f"but got n_components={settings.n_components}: use algorithm='em'"
        )
    source.truncated(None)


def fit(source, family, settings, random_state, *, annotations=NO_ANNOTATIONS, progress=SILENT, start=None):
    """The best of `settings.n_init` runs of truncated EM, each from its own start.

    Parameters
    ----------
    source : source
    family : CovarianceFamily
    settings : Settings
    random_state : RandomState
    annotations : Annotations
        Weights only.
    progress : Progress
    start : Parameters, default=None
        A mixture to go on from.

    Returns
    -------
    result : EMResult
        The run with the highest lower bound; among equals, the first.
    """
    check(source, family, settings, annotations)
    best, report = None, FitReport()
    for init in range(1 if start is not None else settings.n_init):
        progress.begin(init)
        first, sample = start, None
        if start is None:
            first, sample = _start(source, family, settings, random_state, annotations)
        if _loses_much(source, first, settings, annotations):
            result = run(source, first, settings, annotations=annotations, report=report, progress=progress)
        else:
            if sample is not None:
                first = _run("sample", *sample, first, replace(settings, max_iter=_ON_SAMPLE), report).parameters
                progress.end_stage(report.stages[-1])
            result = _run(ALL, source, annotations, first, settings, report, progress)
        if best is None or result.lower_bound > best.lower_bound or best.lower_bound == -math.inf:
            best, report.best_start = result, init
        if progress.end(result):
            break
    return report.of(best)


def _loses_much(source, start, settings, annotations):
    """Whether components are few, and the free energy of a start is far below its log-likelihood."""
    if not N_CANDIDATES < settings.n_components <= _FEW_COMPONENTS or settings.assignment != "soft":
        return False
    if source.n_samples > _ASKED:
        source = sample_of_points(source, _ASKED, np.random.RandomState(0), annotations.weights)
        annotations = NO_ANNOTATIONS
    energy, weight = source.truncated(first_candidates(source, start)).log_likelihood(start, annotations)
    return source.log_likelihood(start, annotations)[0] - energy > _LARGE_GAP * weight


def _run(name, source, annotations, start, settings, report, progress=SILENT):
    """Truncated EM from one start."""
    candidates = first_candidates(source, start)
    steps = CandidateSteps(candidates, settings.tol)
    return run(
        source.truncated(candidates), start, settings, steps=steps, annotations=annotations, report=report, name=name,
        progress=progress,
    )  # fmt: skip


def lists_of(parameters, number):
    """The lists of all cells, (K, at most `N_CANDIDATES`); the random candidates depend on the `number` of the list."""
    return nearest_components(parameters, N_CANDIDATES, np.random.RandomState(number))


def first_candidates(source, parameters):
    """`Candidates` of all the points, each in the cell of a mean near it, without comparing it with all.

    Points are first compared with some means, the same for all, then with those near the best one, and so on, from cell
    to cell, as in the search through a graph of neighbours (Malkov & Yashunin 2020). Distances are compared, not
    densities: a wide component is likely at many points, and only some of their components are near its mean.
    """
    n_components, n_features = parameters.means.shape
    variances = parameters.family.variances(parameters.covariances.astype(np.float64), n_components, n_features)
    metric = parameters.family.for_means_alone(n_features)
    metric = nearest(metric, parameters.means.astype(np.float64), parameters.weights @ variances)
    n_first = min(n_components, max(N_CANDIDATES, _FIRST * math.isqrt(n_components)))
    some = np.sort(np.random.RandomState(0).permutation(n_components)[:n_first])
    candidates = source.candidates(np.tile(some, (n_components, 1)))
    truncated = source.truncated(candidates)
    for hop in range(_MOST_HOPS):
        truncated.log_likelihood(metric, assignment=HARD)
        share = candidates.share_moving
        candidates.move(lists_of(metric, 0) if hop == 0 else None)
        if (hop > 0 and share < _FEW_MOVE) or n_first == n_components:
            break
    candidates.lists = lists_of(parameters, 0)
    return candidates


class CandidateSteps(Plain):
    """EM's own steps, with other candidates in each iteration; those that lower the bound are put back.

    Parameters
    ----------
    candidates : kernels.Candidates
        Changed by `observe`, for the next pass, and by `reject`.
    tol : float
        A smaller gain, nats, asks for new lists.
    """

    can_resume = False  # without the cells of all points; a later fit finds new ones for its mixture

    def __init__(self, candidates, tol):
        self._candidates = candidates
        self._tol = tol
        n_samples, (n_components, n_candidates) = len(candidates.cells), candidates.lists.shape
        is_quick = n_components**2 < _QUICK_LISTS * n_samples * n_candidates
        self._most_passes = 1 if is_quick else _PASSES_A_LIST
        self._number = 0  # of the lists, counted from 0
        self._passes = 0  # since new lists were made
        self._pause = self._longest = 0  # passes without new candidates, after some were rejected
        self._bound = -math.inf
        self._has_new_lists = True
        self._was_tested = False  # whether new lists were tried in the last iteration
        self.is_guarded = False

    def accepts(self, bound, rounding):
        """Whether the bound is at least as high as the last one."""
        slack = 0.0 if self.is_guarded else rounding * max(1.0, abs(bound))
        return bound >= self._bound - slack

    def reject(self, candidate, successor):
        """Put the last cells and lists back, for twice as many passes as the last time."""
        self._candidates.move_back()
        self.is_guarded = False
        self._longest = 2 * self._longest + 1
        self._pause = self._longest

    def observe(self, parameters, successor, bound):
        gain, self._bound = bound - self._bound, bound
        self._was_tested = self._has_new_lists
        self._passes += 1
        self._pause = max(0, self._pause - 1)
        is_last = gain < self._tol and not self._was_tested
        self.is_guarded = is_last or self._pause == 0
        self._has_new_lists = is_last or (self.is_guarded and self._passes >= self._most_passes)
        if self.is_guarded:
            lists = None
            if self._has_new_lists:
                self._number, self._passes = self._number + 1, 0
                lists = lists_of(successor, self._number)
            self._candidates.move(lists)
        return successor

    def has_converged(self, change, tol):
        """Whether the bound changed by less than tol, though new lists were tried."""
        return abs(change) < tol and self._was_tested


# -- the start --------------------------------------------------------------------------------------------------------


def _start(source, family, settings, random_state, annotations):
    """(mixture, sample for EM before all the points, or None).

    The user's mixture; or truncated k-means on a sample; or what else `init_params` names.
    """
    if all(value is not None for value in settings.init):
        return initialization.user_parameters(family, None, *settings.init), None
    with collapse_reported(f"at the start ({settings.init_params})"):
        if settings.init_params != "kmeans":
            found, *_ = initialization.candidates(
                source, family, settings.n_components, settings.init_params, random_state, settings.reg_covar,
                annotations,
            )  # fmt: skip
            return initialization.user_parameters(family, found[0], *settings.init), None
        sample, weights = sample_of(source, family, settings.n_components, random_state, annotations.weights)
        start = _from_kmeans(sample, family, settings, random_state, weights)
    is_free = all(value is None for value in settings.init)
    is_useful = is_free and sample.n_samples < _SMALL_SAMPLE * source.n_samples and settings.max_iter > 0
    start = initialization.user_parameters(family, start, *settings.init)
    return start, (sample, Annotations(weights)) if is_useful else None


def _from_kmeans(sample, family, settings, random_state, weights):
    """A start by truncated k-means, with features in units of their standard deviations."""
    middle, variances = moments_of_features(sample.X, weights)
    variances = np.where(variances > 0, variances, variances.mean() or 1.0)
    scaled = (sample.X - middle) / np.sqrt(variances)  # k-means++ squares distances from the origin
    means = sample.X[_seeds(scaled, settings.n_components, random_state, weights)]
    given, metric = Annotations(weights), family.for_means_alone(sample.n_features)
    parameters = nearest(metric, means.astype(np.float64), variances)
    candidates = first_candidates(sample, parameters)
    truncated, bound = sample.truncated(candidates), -math.inf
    for i in range(_KMEANS):
        statistics = truncated.accumulate(parameters, annotations=given, assignment=HARD)
        parameters = nearest(metric, statistics.means, variances)
        candidates.move(lists_of(parameters, i + 1))
        if statistics.lower_bound - bound <= _KMEANS_TOL:
            break
        bound = statistics.lower_bound
    parameters = nearest(family, parameters.means, variances)
    statistics = truncated.e_step(parameters, given, HARD)
    return family.maximize(_with_pooled(statistics, family), settings.reg_covar)


def _with_pooled(statistics, family):
    """The statistics, and in each component a few more points of the common variance: no covariance is flat then."""
    if statistics.is_pooled:
        return statistics
    statistics = statistics.about(statistics.means)
    n_features = statistics.centres.shape[1]
    n_points = family.least_points(n_features)
    added = n_points * statistics.diagonal.sum(axis=0) / statistics.mass.sum()
    second = added if statistics.structure == "diag" else np.diag(added)
    return replace(
        statistics,
        mass=statistics.mass + n_points,
        second=statistics.second + second,
        magnitude=statistics.magnitude + added,
    )


def _seeds(X, n_components, random_state, weights):
    """Row numbers of seeds: k-means++ within each of about sqrt(K) groups.

    In all points at once k-means++ takes K passes over them, here about 2 sqrt(K) over some of them. A group gets seeds
    in proportion to its inertia to the power D / (D + 2), as in an optimal quantiser.
    """
    n_points = min(len(X), _POINTS_A_SEED * n_components)
    rows = random_state.permutation(len(X))[:n_points] if n_points < len(X) else np.arange(len(X))
    some = X[rows].astype(np.float64)
    shares = np.ones(n_points) if weights is None else weights[rows]

    def seeds(members, count):
        return members[
            kmeans_plusplus(some[members], count, sample_weight=shares[members], random_state=random_state)[1]
        ]

    if n_components < _FEWEST_IN_GROUPS:
        return rows[seeds(np.arange(n_points), n_components)]
    n_groups = math.isqrt(n_components)
    centres = some[seeds(np.arange(_POINTS_A_SEED * n_groups), n_groups)]
    group, distances = pairwise_distances_argmin_min(some, centres)
    sizes = np.bincount(group, minlength=n_groups)
    inertia = np.bincount(group, shares * distances**2, n_groups)
    wanted = inertia ** (X.shape[1] / (X.shape[1] + 2)) if inertia.any() else sizes
    counts = _shared_out(n_components, wanted, sizes)
    members = np.split(np.argsort(group, kind="stable"), np.cumsum(sizes)[:-1])
    return rows[np.concatenate([seeds(*each) for each in zip(members, counts, strict=True) if each[1]])]


def _shared_out(total, shares, most):
    """Whole numbers in proportion to the shares, none above `most`, with this sum."""
    wanted = total * shares / shares.sum()
    counts = np.minimum(wanted.astype(np.intp), most)
    while (left := total - counts.sum()) > 0:
        behind = np.where(counts < most, wanted - counts, -np.inf)
        counts[np.argsort(-behind, kind="stable")[: min(left, np.count_nonzero(counts < most))]] += 1
    return counts
