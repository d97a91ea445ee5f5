"""One run of `select`: candidates are fitted, stopped where they cannot win, and ranked.

All combinations are first fitted to one sample, each in two ways: by a search, and from the mixture with fewer
components, every component of which is split before the surplus is merged. Families with a constraint are first fitted
shortly, from the mixture without it; most are so far from the best that they need no search. Combinations that the
sample shows cannot win are dropped; the others are then fitted to all the points, starting from the sample's mixtures.
"""

import math
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter

import numpy as np
from sklearn.utils import check_random_state

from .. import kernels
from ..estimators.em_mixture import in_memory_if_small
from ..fitting import em
from ..fitting.cross_validation import CrossValidation, one_step_score
from ..fitting.degeneracy import degeneracy
from ..fitting.ladder import Ladder
from ..fitting.screening import Screening
from ..sources.annotations import HARD, NO_ANNOTATIONS, Assignment, n_counted
from ..sources.array import sample
from .selected import CRITERIA, Selection

# Size of the sample in points: at least the first number, and the second for each component of the largest mixture.
_POINTS, _POINTS_A_COMPONENT = 20_000, 1_000

# Rank of each status: rows are sorted by it, then by the criterion. Any other status comes last.
_CLASSES = {"ok": 0, "spurious": 1, "collapsed": 2, "stopped": 3}

# Points per free parameter of a component; with that many, its likelihood doesn't depend on a few of its points.
_REGULAR = 10

# Number of equal parts of the points, left out one after another to test for spurious mixtures.
_PARTS = 10

# Log-likelihood of left-out points, nats in all: two mixtures that differ by at most this both have substantial support
# (it corresponds to an AIC higher by 2; Burnham & Anderson 2002, section 2.6).
_DOUBT = 1.0

# Number of standard errors by which a combination must be worse than the best one, on the sample, to be dropped.
_ERRORS = 5.0
# The same after a short fit, and nats per point by which it must be worse at least: a search may find a better optimum.
_ERRORS_OF_SHORT, _GAIN_OF_SEARCH = 10.0, 0.05


class Candidate:
    """One combination: its estimator and its results."""

    def __init__(self, model):
        self.model = model
        self.result = None
        self.status = "ok"
        self.degenerate = []
        self.score_in_parts = self.log_densities = None
        self.seconds = 0.0
        self.row = dict.fromkeys(("log_likelihood", *CRITERIA, "held_out_error"), math.nan)

    @contextmanager
    def attempt(self):
        """Add the time of this block to `seconds`; if it fails with a ValueError, the status says why."""
        began = perf_counter()
        try:
            yield
        except em.SourceError:
            raise
        except ValueError as error:
            self.result, self.status = None, " ".join(str(error).split())
            self.row = dict.fromkeys(self.row, math.nan)
        finally:
            self.seconds += perf_counter() - began

    def n_free(self):
        return self.result.parameters.n_free


class Selector:
    """One run of `select`. `_all` and `_sample` are pairs of a source and its annotations."""

    def __init__(self, X, sample_weight, models, criterion, n_folds, one_standard_error, watch):
        self._criterion, self._one_standard_error, self._watch = criterion, one_standard_error, watch
        self._reader = models[0]  # checks the points for all candidates
        source = self._reader._source(X, reset=True, excluded_columns=(sample_weight, None), least=2)
        source = self._reader._scan(source, reset=True)
        self._candidates = [Candidate(model) for model in models]
        fewest = min(self._candidates, key=lambda each: each.model.n_components).model
        annotations = fewest._annotations(source, sample_weight, None)
        self._reader._check_values(source, annotations)
        source = in_memory_if_small(source)
        self._all = source, annotations
        random_state = check_random_state(self._reader.random_state)
        most = max(model.n_components for model in models)
        size = max(_POINTS, most * _POINTS_A_COMPONENT)
        self._is_whole = source.n_samples <= 2 * size
        if criterion == "held_out":
            self._folds = CrossValidation(self._all, n_folds, random_state, None if self._is_whole else size)
        if self._is_whole:
            self._sample = self._all
        else:
            self._sample = sample(source, size, random_state, annotations.weights), NO_ANNOTATIONS
        self._ladder = Ladder(self._sample, random_state)
        self._weight = float(source.n_samples if annotations.weights is None else annotations.weights.sum())

    def selection(self):
        """The Selection."""
        if self._is_whole:
            self._fit_all("all points", self._candidates, self._finish)
        else:
            self._fit_sample()
        self._fitted()  # or an error
        if not self._is_whole:
            self._finish_all("ok")
        if not any(each.status == "ok" for each in self._candidates):
            self._finish_all("stopped")
        if self._criterion == "held_out":
            self._score_left_out([each for each in self._fitted() if each.status != "stopped"])
        else:
            self._set_spurious_aside()
        return self._chosen(*self._ranked())

    def _fit_all(self, stage, candidates, conclude):
        """Fit these candidates to the points of the ladder, each in two ways; `conclude` then fills its row.

        A stopped candidate is only what the next one grows from.
        """
        self._begin(stage, [each for each in candidates if each.status != "stopped"])
        for candidate in candidates:
            if candidate.status == "stopped":
                self._ladder.stand_on(candidate.model, candidate.result)
                continue
            with candidate.attempt():
                candidate.result = self._ladder.fit(candidate.model)
                conclude(candidate)
            self._tell(candidate)

    def _fit_sample(self):
        """Fit all candidates to the sample, only shortly if that shows that they are far from the best."""
        screening = Screening(self._sample, [each.model for each in self._candidates])
        short = [each for each in self._candidates if screening.may_be_short(each.model)]
        ordered = [each for each in self._candidates if each not in short] + short
        self._begin("sample", ordered)
        for candidate in ordered:
            with candidate.attempt():
                fit = screening.fit if candidate in short else self._ladder.fit
                candidate.result = fit(candidate.model)
                if candidate.result is not None:
                    if not self._degenerate(candidate, *self._sample):
                        screening.keep(candidate.model, candidate.result)
                    self._estimate(candidate)
            self._tell(candidate)
        if short:
            self._stop_hopeless(short, _ERRORS_OF_SHORT, _GAIN_OF_SEARCH)
            self._fit_all("sample", short, self._estimate)
        self._stop_hopeless(self._candidates, _ERRORS)
        for candidate in self._candidates:
            candidate.log_densities = None

    def _chosen(self, results, best):
        """The Selection; warns about the best mixture as `fit` does."""
        chosen = self._candidates[best]
        chosen.model._note_degeneracy(chosen.result, *self._all)
        return Selection(chosen.model, results, self._criterion, best)

    def _fitted(self):
        """Candidates that have a mixture; ValueError if none has."""
        fitted = [each for each in self._candidates if each.result is not None]
        if not fitted:
            raise ValueError(f"no combination could be fitted. The reason for the last: {self._candidates[-1].status}")
        return fitted

    def _begin(self, stage, candidates):
        """A stage begins, with a fit for each of these candidates."""
        self._done = []
        self._watch.begin(stage, [each.model.n_components for each in candidates])

    def _tell(self, candidate):
        """Tell the listeners that one more candidate is done."""
        self._done.append(candidate)
        known = [each for each in self._done if not math.isnan(each.row[self._criterion])]
        best = min(known, key=lambda each: (_CLASSES.get(each.status, len(_CLASSES)), self._cost(each)), default=None)
        if best is not None:
            best = best.model.n_components, best.model.covariance_type, best.row[self._criterion]
        self._watch.done(candidate.model, candidate.row[self._criterion], best)

    def _estimate(self, candidate):
        """Estimate a candidate's criteria on all the points from the sample."""
        source, _ = self._sample
        candidate.log_densities = self._log_densities(candidate)
        # The maximum on a sample is higher than that on all points, as it also fits the sample's noise (Akaike 1974).
        excess = candidate.n_free() / 2 * (1 / source.n_samples - 1 / self._weight)
        mean = candidate.log_densities.mean() - excess
        self._fill(candidate, mean * self._weight, self._icl_gap(candidate, source) * self._weight)

    def _stop_hopeless(self, candidates, n_errors, least=0.0):
        """Stop candidates that are worse than the best of all, on the sample.

        By more than this many standard errors, and by more than `least`, in nats per unit of weight.
        """
        source, _ = self._sample
        share = self._weight / source.n_samples
        fitted = [each for each in self._candidates if each.result is not None]
        sound = [each for each in fitted if not self._degenerate(each, *self._sample)]
        best = min(sound or fitted, key=self._cost, default=None)
        for each in (each for each in candidates if each.result is not None):
            differences = best.log_densities - each.log_densities
            error = share * (
                math.sqrt(source.n_samples) * differences.std() + math.sqrt(0.5 * (each.n_free() + best.n_free()))
            )
            if self._cost(each) - self._cost(best) > 2 * max(n_errors * error, least * self._weight):
                each.status = "stopped"

    def _log_densities(self, candidate):
        source, _ = self._sample
        return source.evaluate(candidate.result.parameters, kernels.log_likelihoods, np.empty(source.n_samples))

    def _icl_gap(self, candidate, source):
        """Log-likelihood with the most probable labels minus that of the points alone, nats per point (0 or less)."""
        parameters = candidate.result.parameters
        soft, weight = source.log_likelihood(parameters)
        hard, _ = source.log_likelihood(parameters, assignment=HARD)
        return (hard - soft) / weight

    def _finish_all(self, status):
        """Fit the candidates of this status to all the points."""
        chosen = [each for each in self._fitted() if each.status == status]
        self._begin("all points", chosen)
        for candidate in chosen:
            candidate.status = "ok"
            with candidate.attempt():
                self._finish(candidate)
            self._tell(candidate)

    def _finish(self, candidate):
        """Fit a candidate to all the points (unless the sample was all) and compute its criteria."""
        model, (source, annotations) = candidate.model, self._all
        settings = model._settings(source)
        if not self._is_whole:
            start = replace(candidate.result.parameters, family=model._family(source, annotations))
            candidate.result = None
            candidate.result = em.run(
                source, start, settings, steps=settings.steps(start.family), annotations=annotations
            )
        for name in ("n_features_in_", "feature_names_in_"):
            if hasattr(self._reader, name):
                setattr(model, name, getattr(self._reader, name))
        model._set_fit(candidate.result, source, annotations)
        parameters = model._parameters()
        total, _ = source.log_likelihood(parameters, annotations)
        hard, _ = source.log_likelihood(parameters, annotations, HARD)
        self._fill(candidate, total, hard - total)
        candidate.degenerate = self._degenerate(candidate, source, annotations)
        if candidate.degenerate:
            candidate.status = "collapsed"

    def _degenerate(self, candidate, source, annotations):
        """Components whose likelihood says nothing about the data."""
        n_points, reg_covar = n_counted(source, annotations), candidate.model.reg_covar
        return degeneracy(candidate.result.parameters, n_points, reg_covar).components.tolist()

    def _fill(self, candidate, total, gap):
        """Set the criteria from the log-likelihood and its `_icl_gap`, nats in all."""
        row, n_free = candidate.row, candidate.n_free()
        row["log_likelihood"] = total / self._weight
        row["bic"] = -2 * total + n_free * math.log(self._weight)
        row["aic"] = -2 * total + 2 * n_free
        row["icl"] = row["bic"] - 2 * gap
        row["held_out"] = row["aic"] / (-2 * self._weight)  # asymptotic estimate (Stone 1977)

    def _score_left_out(self, candidates):
        """Cross-validate the candidates; one without a mixture for some fold has no score."""
        self._begin("left-out points", self._folds.n_folds * candidates)
        scores = self._folds.scores(
            [each.model for each in candidates], lambda model, found: self._watch.done(model, found.mean, None)
        )
        for candidate, score in zip(candidates, scores, strict=True):
            candidate.row["held_out"], candidate.row["held_out_error"] = score.mean, score.error
            candidate.seconds += score.seconds
            if score.failure:
                candidate.status = score.failure

    def _set_spurious_aside(self):
        """Mark the best candidates by the criterion while a simpler one predicts left-out points better.

        Spurious maxima of the likelihood (Day 1969; McLachlan & Peel 2000, section 3.10) come, for instance, from
        components on few points that nearly lie in a plane. These are not collapsed, but their gain vanishes when some
        of the points are left out. The penalties of BIC, AIC and ICL are too small to outweigh such a gain.
        """
        sound = sorted((each for each in self._candidates if each.status == "ok"), key=self._cost)
        for candidate in sound:
            simpler = [each for each in sound if each.n_free() < candidate.n_free()]
            if self._is_regular(candidate) or not simpler:
                break
            if max(map(self._score_in_parts, simpler)) - self._score_in_parts(candidate) <= _DOUBT:
                break
            candidate.status = "spurious"

    def _is_regular(self, candidate):
        """Whether every component has at least `_REGULAR` points per free parameter."""
        parameters = candidate.result.parameters
        return parameters.weights.min() * n_counted(*self._all) >= _REGULAR * parameters.n_free / len(parameters.means)

    def _score_in_parts(self, candidate):
        """`one_step_score` of a candidate, computed once."""
        if candidate.score_in_parts is None:
            reg_covar, parameters = candidate.model.reg_covar, candidate.result.parameters
            candidate.score_in_parts = one_step_score(
                self._all, parameters, reg_covar, _PARTS, assignment=Assignment(candidate.model.assignment)
            )
        return candidate.score_in_parts

    def _cost(self, candidate):
        """The criterion as a cost: nats in all times -2, the lower the better."""
        value = candidate.row[self._criterion]
        return -2 * self._weight * value if self._criterion == "held_out" else value

    def _ranked(self):
        """(table of all candidates, row of the best)."""
        rows, has_factors = [], any(each.model.n_factors for each in self._candidates)
        for each in self._candidates:
            model, result = each.model, each.result
            row = {"n_components": model.n_components, "covariance_type": model.covariance_type}
            if has_factors:
                row["n_factors"] = model.n_factors or 0
            row |= each.row
            if self._criterion != "held_out":
                del row["held_out"], row["held_out_error"]
            row["n_iter"] = 0 if result is None else result.n_iter
            row["converged"] = result is not None and result.converged
            row["seconds"], row["status"] = each.seconds, each.status
            rows.append(row)
        order = self._order()
        results = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        results["degenerate"] = np.empty(len(rows), object)
        results["degenerate"][:] = [each.degenerate for each in self._candidates]
        results["rank"] = np.empty(len(rows), int)
        results["rank"][order] = np.arange(1, len(rows) + 1)
        return results, int(order[0])

    def _order(self):
        """Numbers of the rows, the best first: 'ok', spurious, collapsed, stopped, then those without a mixture."""
        costs = np.array([self._cost(each) for each in self._candidates])
        classes = np.array([_CLASSES.get(each.status, len(_CLASSES)) for each in self._candidates])
        classes[np.isnan(costs)] = len(_CLASSES)
        order = np.lexsort([costs, classes])
        if classes[order[0]] > _CLASSES["collapsed"]:
            raise ValueError(f"no combination could be fitted. The reason for the last: {self._candidates[-1].status}")
        if self._one_standard_error:
            order = self._simplest_first(order, classes)
        return order

    def _simplest_first(self, order, classes):
        """The order with the simplest combination within one standard error of the best moved to the front."""
        best = self._candidates[order[0]].row
        least = best["held_out"] - np.nan_to_num(best["held_out_error"])
        near = [
            i for i in order
            if classes[i] == classes[order[0]] and self._candidates[i].row["held_out"] >= least
        ]  # fmt: skip
        first = min(near, key=lambda i: self._candidates[i].n_free())
        return np.concatenate([[first], order[order != first]])
