"""What a fitted mixture shows of itself: a table of its components, their order, the number of its parameters."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils.validation import check_is_fitted

from .. import tables
from ..extras import needed
from ..model.families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from numpy.typing import NDArray

# Components and features of a table in a notebook, at most.
_ROWS, _FEATURES = 30, 10

# Fitted attributes with an entry for each component; in some models some of them are shared by all components.
_OF_COMPONENTS = (
    "weights_", "means_", "component_names_", "classes_", "weight_concentration_", "mean_precision_",
    "degrees_of_freedom_", "loadings_", "noise_variances_", "shrinkage_",
)  # fmt: skip
_OF_FAMILY = "covariances_", "scales_", "precisions_", "precisions_cholesky_"


class DescribingMixin:
    """For fitted mixtures."""

    @property
    def n_parameters_(self) -> int:
        """Number of free parameters of the fitted mixture, as BIC and AIC count them.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> X = load_faithful().data
        >>> GaussianMixture(2, random_state=0).fit(X).n_parameters_  # 1 weight, 4 means, 6 variances and covariances
        11
        """
        check_is_fitted(self)
        return int(self._parameters().n_free)

    def summary(self) -> Any:
        """The components as a table.

        Returns
        -------
        table : pandas.DataFrame
            One row a component: `weight`, then `mean_` and `std_` (standard deviation) of each feature. The index has
            the names of the components if they have some, else their numbers. Features without names are x0, x1, ...
            A noise component is the last row, 'noise', with its weight alone.

        Raises
        ------
        NotFittedError
        ImportError
            Without pandas.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_galaxies
        >>> GaussianMixture(2, random_state=0).fit(load_galaxies().data).sorted().summary().round(2)
                   weight   mean_x0   std_x0
        component
        0            0.91  21867.12  3150.38
        1            0.09   9709.30   422.12
        """
        check_is_fitted(self)
        pandas, deviations = needed("pandas", "pandas"), self._deviations()
        columns = {"weight": self.weights_}
        for j, name in enumerate(self._feature_names()):
            columns[f"mean_{name}"], columns[f"std_{name}"] = self.means_[:, j], deviations[:, j]
        table = pandas.DataFrame(columns, index=pandas.Index(self._component_names(), name="component"))
        if hasattr(self, "noise_weight_"):
            table.loc["noise"] = [self.noise_weight_, *[np.nan] * (len(columns) - 1)]
        return table

    def sorted(self, by: str | int | Sequence[int] = "weight") -> Self:
        """A copy of the fitted mixture with its components in another order, such as one that doesn't vary with seeds.

        Parameters
        ----------
        by : str, int or sequence of int, default='weight'
            'weight': the heaviest first. 'mean': the lowest mean of the first feature first (then of the second, ...).
            The name or number of a feature: the lowest mean of that feature first. A sequence: the numbers of all
            components in the order wanted.

        Returns
        -------
        model : estimator
            Every number is the same, in another place: densities and criteria don't change, `predict` gives the new
            numbers. A further `partial_fit` or warm start goes on from the mixture alone.

        Raises
        ------
        NotFittedError
        ValueError
            If there is no such feature, or `by` doesn't name each component once; for a Dirichlet process, whose
            weights depend on the order of its components.

        Examples
        --------
        >>> from fastem import GaussianMixture
        >>> from fastem.datasets import load_faithful
        >>> model = GaussianMixture(2, random_state=0).fit(load_faithful().data)
        >>> model.sorted(by="mean").means_.round(1)
        array([[ 2. , 54.5],
               [ 4.3, 80. ]])
        """
        check_is_fitted(self)
        if isinstance(getattr(self, "weight_concentration_", None), tuple):
            raise ValueError(
                "the components of a Dirichlet process can't be reordered, as its weights depend on their order: sort "
                "the rows of summary(), or fit with weight_concentration_prior_type='dirichlet_distribution'"
            )
        order, n_components = self._order(by), len(self.means_)
        model = copy.copy(self)
        for name in ("_unfinished", "_online"):
            model.__dict__.pop(name, None)
        is_shared = FAMILIES[self.covariance_type].is_shared
        for name in (*_OF_COMPONENTS, *(() if is_shared else _OF_FAMILY)):
            value = self.__dict__.get(name)
            if value is not None and np.ndim(value) and len(value) == n_components:
                setattr(model, name, value[order])
        place = np.argsort(order)
        model.lower_bounds_ = list(self.lower_bounds_)
        report = self.fit_report_
        notes = [f"{note} (components numbered as before they were sorted)" for note in report.notes]
        degenerate = sorted(int(place[k]) for k in report.degenerate)
        model.fit_report_ = replace(report, degenerate=degenerate, notes=notes)
        return model

    def _order(self, by):
        """Numbers of the components in the order that `by` of `sorted` asks for."""
        if not isinstance(by, str | int | np.integer):
            order = np.asarray(by)
            if order.ndim != 1 or not np.array_equal(np.sort(order), np.arange(len(self.means_))):
                raise ValueError(f"by should have each number from 0 to {len(self.means_) - 1} once, but got {by!r}")
            return order.astype(np.intp)
        if isinstance(by, str) and by == "weight":
            return np.argsort(-self.weights_, kind="stable")
        if isinstance(by, str) and by == "mean":
            return np.lexsort(self.means_.T[::-1])
        try:
            (feature,) = self._indices([by])
        except ValueError as error:
            raise ValueError(f"by should be 'weight', 'mean' or a feature: {error}") from None
        return np.argsort(self.means_[:, feature], kind="stable")

    def _deviations(self) -> NDArray[np.float64]:
        """Standard deviation of each feature in each component, (K, D)."""
        family, tails = self._covariance_family(), self._tails
        variances = family.variances(family.covariances_of(self._fitted_arrays()), *self.means_.shape)
        if tails is not None:  # t distributions have no variance with 2 degrees of freedom or fewer
            with np.errstate(divide="ignore", invalid="ignore"):
                factors = np.where(np.isinf(tails), 1.0, np.where(tails > 2, tails / (tails - 2), np.inf))
            variances = variances * factors[:, None]
        return np.sqrt(variances)

    def _feature_names(self):
        names = getattr(self, "feature_names_in_", None)
        return [f"x{j}" for j in range(self.means_.shape[1])] if names is None else list(map(str, names))

    def _component_names(self):
        names = getattr(self, "component_names_", None)
        return list(range(len(self.means_))) if names is None else list(names)

    # -- notebooks ----------------------------------------------------------------------------------------------------

    def _html(self):
        """The fitted components as an HTML table; '' before a fit."""
        if not hasattr(self, "means_"):
            return ""
        (n_components, n_features), deviations = self.means_.shape, self._deviations()
        names = self._feature_names()[:_FEATURES]
        shown = np.sort(np.argsort(-self.weights_, kind="stable")[:_ROWS])
        called = self._component_names()
        rows = [
            [str(called[k]), f"{self.weights_[k]:.4f}"]
            + [f"{self.means_[k, j]:.4g} ± {deviations[k, j]:.3g}" for j in range(len(names))]
            for k in shown
        ]
        notes = [f"noise: weight {self.noise_weight_:.4f}"] if hasattr(self, "noise_weight_") else []
        if len(shown) < n_components:
            notes.append(f"The {len(shown)} heaviest of {n_components} components; summary() has all.")
        if len(names) < n_features:
            notes.append(f"The first {len(names)} of {n_features} features; summary() has all.")
        state = f"{'converged' if self.converged_ else 'not converged'} after {self.n_iter_} iterations"
        caption = f"mean ± standard deviation of {n_components} components; {state}"
        return tables.as_html(["component", "weight", *names], rows, caption=caption, notes=notes)

    @property
    def _repr_html_(self):
        of_estimator = super()._repr_html_  # raises AttributeError if scikit-learn is set to display text
        return lambda: of_estimator() + self._html()

    def _repr_mimebundle_(self, **kwargs):
        output = super()._repr_mimebundle_(**kwargs)
        if "text/html" in output:
            output["text/html"] += self._html()
        return output
