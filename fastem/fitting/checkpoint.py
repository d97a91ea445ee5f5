"""The checkpoint of a run of EM: all that its further iterations depend on."""

from dataclasses import dataclass

from ..model.parameters import Parameters
from ..model.saved import Saved


@dataclass(frozen=True)
class Unfinished(Saved):
    """Checkpoint of a run.

    accepted: the mixture that the last bound belongs to; parameters: what the M-step made of it; candidate: the mixture
    that is evaluated next.
    """

    accepted: Parameters
    parameters: Parameters
    candidate: Parameters
    steps: object
    lower_bounds: list
    kinds: list
    seed: int
    n_samples: int
    n_further: int = 0
    """`Settings.n_further` of the run."""
    n_last: int = 0
    """Number of the iteration that ends the run, known once `tol` is met; 0 before."""

    @classmethod
    def from_state(cls, state):
        if not 0 < len(state["lower_bounds"]) == len(state["kinds"]):
            raise ValueError("the kinds and lower_bounds of an unfinished fit should be equally many, at least one")
        return cls(**state)
