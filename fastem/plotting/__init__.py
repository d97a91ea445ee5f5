"""Pictures of mixtures in the manner of scikit-learn's displays: `MixtureDisplay.from_estimator(model, X)`.

They need matplotlib (`pip install 'fastem[plot]'`), which is imported when the first picture is drawn.
"""

from ._animate import animate_fit
from ._conditional_display import ConditionalDisplay
from ._data_display import DataDisplay
from ._iteration_display import IterationDisplay
from ._log_likelihood_display import LogLikelihoodDisplay
from ._mahalanobis_display import MahalanobisDisplay
from ._mixture_display import MixtureDisplay
from ._responsibility_display import ResponsibilityDisplay
from ._selection_display import SelectionDisplay

__all__ = [
    "ConditionalDisplay",
    "DataDisplay",
    "IterationDisplay",
    "LogLikelihoodDisplay",
    "MahalanobisDisplay",
    "MixtureDisplay",
    "ResponsibilityDisplay",
    "SelectionDisplay",
    "animate_fit",
]
