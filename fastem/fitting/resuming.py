"""EM continued from where an earlier fit stopped."""

from ..sources.annotations import NO_ANNOTATIONS
from .em import run
from .progress import SILENT


def fit(source, start, settings, lower_bound, *, annotations=NO_ANNOTATIONS, unfinished=None, progress=SILENT):
    """EM from the mixture of an earlier fit, with this lower bound, or from the checkpoint of an unfinished run."""
    progress.begin(0)
    steps = settings.steps(start.family, goes_on=True)
    result = run(
        source, start, settings, steps=steps, annotations=annotations, lower_bound=lower_bound, unfinished=unfinished,
        progress=progress,
    )  # fmt: skip
    progress.end(result)
    return result
