"""How many components, and of which shape: a mixture for every combination, and the one with the best criterion.

All combinations are fitted to one sample, each number of components twice: searched for, and grown from the mixture
before by splitting every component and merging down. What the sample tells to be hopeless ends there; the others go on
over all the points from where the sample left them.
"""

import math
from contextlib import contextmanager
from dataclasses import dataclass, replace
from time import perf_counter

import numpy as np
from sklearn.utils import check_random_state

from . import kernels
from .estimators.em_mixture import in_memory_if_small
from .estimators.gaussian_mixture import GaussianMixture
from .fitting import em
from .fitting.cross_validation import CrossValidation, one_step_score
from .fitting.degeneracy import degeneracy
from .fitting.ladder import Ladder
from .kernels.threads import thread_limits
from .model.families import STANDARD
from .sources.annotations import HARD, NO_ANNOTATIONS, Assignment, n_counted
from .sources.array import sample

CRITERIA = "bic", "aic", "icl", "held_out"

# Points of the sample, at least, and for each component of the largest mixture.
_POINTS, _POINTS_A_COMPONENT = 20_000, 1_000

# In which order rows of each status are ranked; any other status comes last.
_CLASSES = {"ok": 0, "spurious": 1, "collapsed": 2, "stopped": 3}

# Points for each free parameter of a component from which its likelihood is not owed to a few of them.
_REGULAR = 10

# Shares of the points that are left out, one after another, to see whether it is.
_PARTS = 10

# Log-likelihood, nats in all, by which predictions may differ and both mixtures still have substantial support: an AIC
# higher by 2 (Burnham & Anderson 2002, section 2.6).
_DOUBT = 1.0

# Standard errors by which a combination must be worse than the best, on the sample, to be given up.
_ERRORS = 5.0


@dataclass
class Selection:
    """What `select` found.

    Attributes
    ----------
    best_estimator_ : GaussianMixture
        Fitted, with the best criterion.
    results_ : dict of str to ndarray
        A row for each combination, ready for `pandas.DataFrame`: 'n_components', 'covariance_type', 'log_likelihood'
        (mean, nats), 'bic', 'aic', 'icl' (nats times -2, the lower the better), 'held_out' where it is the criterion
        (mean log-likelihood of points left out, nats, the higher the better) and 'held_out_error' (its standard error,
        from the folds' means), 'n_iter', 'converged', 'seconds', 'status', 'degenerate' (a list of components, see
        'collapsed'), and 'rank' from 1 on: by the criterion, those of each status after those of the one before.
        The status is 'ok'; 'spurious', where the criterion is better than that of a mixture with fewer parameters which
        yet predicts points left out better (see Notes of `select`); 'collapsed', where components are on the floor that
        reg_covar sets or on too few points, so that their density says nothing about the data; 'stopped', where the
        sample told that it can't win (the numbers are estimates from the sample then); or why there is no mixture, or
        no held-out score (the numbers, or that one, are NaN).
    criterion : str
    best_index_ : int
        The best one's row.
    """

    best_estimator_: GaussianMixture
    results_: dict
    criterion: str
    best_index_: int


def select(
    X,
    n_components=range(1, 10),
    covariance_type=STANDARD,
    criterion="bic",
    *,
    sample_weight=None,
    n_folds=5,
    one_standard_error=False,
    **params,
):
    """Fit a mixture for every number of components and covariance type, and find the best by a criterion.

    Parameters
    ----------
    X : array-like of shape (n, D), or a source as in `GaussianMixture.fit`
    n_components : iterable of int, or int
    covariance_type : iterable of str, or str
    criterion : {'bic', 'aic', 'icl', 'held_out'}
        As the methods of `GaussianMixture`, the lower the better; or the mean log-likelihood of points that the mixture
        wasn't fitted to (cross-validation), the higher the better.
    sample_weight : array-like of shape (n,), default=None
        Non-negative multiplicities of the points, as in `GaussianMixture.fit`.
    n_folds : int, default=5
        Of cross-validation: each fold is left out once, of fits that see the other folds' points alone. Points are
        shuffled into folds by `random_state`.
    one_standard_error : bool, default=False
        With criterion 'held_out': choose the combination with the fewest free parameters whose score is within one
        standard error of the best (Breiman et al. 1984; Hastie, Tibshirani & Friedman 2009, section 7.10).
    **params
        Further arguments of `GaussianMixture`.

    Returns
    -------
    selection : Selection
        `fastem.plotting.SelectionDisplay.from_results(selection.results_)` draws it.

    Raises
    ------
    ValueError
        Where there is nothing to choose from, an argument is none of what it may be, or no combination can be fitted.

    Warns
    -----
    DegenerateFitWarning
        Where the best mixture is collapsed, as all are then, or reg_covar decides about a feature; as in `fit`.

    Notes
    -----
    The likelihood of a mixture has no bound where a component may shrink about few points (Day 1969), so that on small
    samples BIC, AIC and ICL alone choose mixtures of spikes. Collapsed mixtures are therefore ranked after all others.
    What is near that, a spurious maximum (McLachlan & Peel 2000, section 3.10), is told by its predictions. Where the
    best by the criterion has a component with fewer than 10 points for each of its free parameters, a tenth of the
    points is left out of one M-step after another. The best stands if no mixture with fewer parameters predicts these
    points better, by more than 1 nat in all; otherwise it is 'spurious', and the next is looked at. (In regular models
    this can't happen: there the log-likelihood of points left out is lower by the number of parameters, Stone 1977, and
    BIC's penalty is more.)

    Examples
    --------
    >>> from fastem import select
    >>> from fastem.datasets import load_faithful
    >>> selection = select(load_faithful().data, range(1, 5), random_state=0)
    >>> selection.best_estimator_.n_components, selection.best_estimator_.covariance_type
    (3, 'tied')
    """
    counts = [n_components] if isinstance(n_components, int | np.integer) else sorted(set(n_components))
    types = [covariance_type] if isinstance(covariance_type, str) else list(dict.fromkeys(covariance_type))
    if not counts or not types:
        raise ValueError("n_components and covariance_type should name one value or more each")
    if criterion not in CRITERIA:
        raise ValueError(f"criterion should be one of {', '.join(CRITERIA)}, but got {criterion!r}")
    if n_folds < 2:
        raise ValueError(f"n_folds should be 2 or more, but got {n_folds}")
    if one_standard_error and criterion != "held_out":
        raise ValueError(
            f"one_standard_error is for criterion='held_out', but criterion is {criterion!r}: leave one of them out"
        )
    models = [GaussianMixture(k, covariance_type=each, **params) for each in types for k in counts]
    for model in models:
        model._validate_params()
    with thread_limits(models[0].n_threads):
        return _Selector(X, sample_weight, models, criterion, n_folds, one_standard_error).selection()


class _Candidate:
    """One combination: its estimator and what was found for it."""

    def __init__(self, model):
        self.model = model
        self.result = None
        self.status = "ok"
        self.degenerate = []
        self.score_in_parts = None
        self.seconds = 0.0
        self.row = dict.fromkeys(("log_likelihood", *CRITERIA, "held_out_error"), math.nan)

    @contextmanager
    def attempt(self):
        """What is tried in this block takes its time; where it finds no mixture, the status says why."""
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


class _Selector:
    """A selection from the beginning; `points` here are a pair, a source and what is known of it."""

    def __init__(self, X, sample_weight, models, criterion, n_folds, one_standard_error):
        self._criterion, self._one_standard_error = criterion, one_standard_error
        self._reader = models[0]  # which checks the points for all
        source = self._reader._source(X, reset=True, excluded_columns=(sample_weight, None), least=2)
        self._reader._scan(source, reset=True)
        self._candidates = [_Candidate(model) for model in models]
        fewest = min(self._candidates, key=lambda each: each.model.n_components).model
        annotations = fewest._annotations(source, sample_weight, None)
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
        for candidate in self._candidates:
            with candidate.attempt():
                candidate.result = self._ladder.fit(candidate.model)
        if not self._is_whole:
            self._stop_hopeless(self._fitted())
        self._finish_all("ok")
        if not any(each.status == "ok" for each in self._candidates):
            self._finish_all("stopped")
        if self._criterion == "held_out":
            self._score_left_out([each for each in self._fitted() if each.status != "stopped"])
        else:
            self._set_spurious_aside()
        return self._chosen(*self._ranked())

    def _chosen(self, results, best):
        """The Selection, with a warning where the best mixture deserves one, as `fit` gives it."""
        chosen = self._candidates[best]
        chosen.model._note_degeneracy(chosen.result, *self._all)
        return Selection(chosen.model, results, self._criterion, best)

    def _fitted(self):
        """Candidates that have a mixture; an error where none has."""
        fitted = [each for each in self._candidates if each.result is not None]
        if not fitted:
            raise ValueError(f"no combination could be fitted; the last: {self._candidates[-1].status}")
        return fitted

    def _stop_hopeless(self, fitted):
        """Mark those that the sample tells apart from the best, by more than it can err."""
        source, _ = self._sample
        share = self._weight / source.n_samples
        densities = {id(each): self._log_densities(each) for each in fitted}
        for each in fitted:
            # A sample's maximum is higher than that of all points by what fits its noise (Akaike 1974).
            mean = densities[id(each)].mean() - each.n_free() / 2 * (1 / source.n_samples - 1 / self._weight)
            self._fill(each, mean * self._weight, self._icl_gap(each, source) * self._weight)
        sound = [each for each in fitted if not self._degenerate(each, *self._sample)]
        best = min(sound or fitted, key=self._cost)
        for each in fitted:
            differences = densities[id(best)] - densities[id(each)]
            error = share * (
                math.sqrt(source.n_samples) * differences.std() + math.sqrt(0.5 * (each.n_free() + best.n_free()))
            )
            if self._cost(each) - self._cost(best) > 2 * _ERRORS * error:
                each.status = "stopped"

    def _log_densities(self, candidate):
        source, _ = self._sample
        return source.evaluate(candidate.result.parameters, kernels.log_likelihoods, np.empty(source.n_samples))

    def _icl_gap(self, candidate, source):
        """What the most probable labels' likelihood lacks, nats per point."""
        parameters = candidate.result.parameters
        soft, weight = source.log_likelihood(parameters)
        hard, _ = source.log_likelihood(parameters, assignment=HARD)
        return (hard - soft) / weight

    def _finish_all(self, status):
        """Those of this status, over all the points."""
        for candidate in self._fitted():
            if candidate.status == status:
                candidate.status = "ok"
                with candidate.attempt():
                    self._finish(candidate)

    def _finish(self, candidate):
        """Over all the points, and its criteria there."""
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
        """The criteria from the log-likelihood and what that of the labelled points has less, nats in all."""
        row, n_free = candidate.row, candidate.n_free()
        row["log_likelihood"] = total / self._weight
        row["bic"] = -2 * total + n_free * math.log(self._weight)
        row["aic"] = -2 * total + 2 * n_free
        row["icl"] = row["bic"] - 2 * gap
        row["held_out"] = row["aic"] / (-2 * self._weight)  # what it comes to with many points (Stone 1977)

    def _score_left_out(self, candidates):
        """Cross-validate them; where a fold has no mixture, there is no score."""
        scores = self._folds.scores([each.model for each in candidates])
        for candidate, score in zip(candidates, scores, strict=True):
            candidate.row["held_out"], candidate.row["held_out_error"] = score.mean, score.error
            candidate.seconds += score.seconds
            if score.failure:
                candidate.status = score.failure

    def _set_spurious_aside(self):
        """Mark the best ones by the criterion that predict points left out worse than a simpler one does.

        Spurious maxima of the likelihood, as of components on few points that nearly lie in a plane (Day 1969;
        McLachlan & Peel 2000, section 3.10), are no collapse, but what they gain is gone without these points. BIC and
        its kin take it for gain that was paid for by the number of parameters.
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
        """Whether all components hold many points for their parameters."""
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
        """The criterion, the lower the better, nats times -2."""
        value = candidate.row[self._criterion]
        return -2 * self._weight * value if self._criterion == "held_out" else value

    def _ranked(self):
        """(The table, the best one's row)."""
        rows = []
        for each in self._candidates:
            model, result = each.model, each.result
            row = {"n_components": model.n_components, "covariance_type": model.covariance_type, **each.row}
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
        """Rows, the best first: those that are 'ok', spurious, collapsed, then what was stopped or has no mixture."""
        costs = np.array([self._cost(each) for each in self._candidates])
        classes = np.array([_CLASSES.get(each.status, len(_CLASSES)) for each in self._candidates])
        classes[np.isnan(costs)] = len(_CLASSES)
        order = np.lexsort([costs, classes])
        if classes[order[0]] > _CLASSES["collapsed"]:
            raise ValueError(f"no combination could be fitted; the last: {self._candidates[-1].status}")
        if self._one_standard_error:
            order = self._simplest_first(order, classes)
        return order

    def _simplest_first(self, order, classes):
        """The combination with the fewest parameters that is within one standard error of the best comes first."""
        best = self._candidates[order[0]].row
        least = best["held_out"] - np.nan_to_num(best["held_out_error"])
        near = [
            i for i in order
            if classes[i] == classes[order[0]] and self._candidates[i].row["held_out"] >= least
        ]  # fmt: skip
        first = min(near, key=lambda i: self._candidates[i].n_free())
        return np.concatenate([[first], order[order != first]])
