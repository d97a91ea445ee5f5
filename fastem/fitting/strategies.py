"""Where a fit begins: which of the searches, or EM's plain starts."""

from . import plain, search


def chosen(settings, annotations, thorough=None):
    """A function (source, family, settings, random_state, *, annotations, progress) that fits from the beginning.

    Parameters
    ----------
    settings : em.Settings
    annotations : Annotations
    thorough : callable, default=None
        The search for softly assigned points without labels: others' components must not be merged and split. None:
        `search.fit` where the settings ask for accelerated steps, else `plain.fit`.
    """
    if settings.assignment != "soft" or annotations.is_constrained:
        return plain.fit
    return thorough or (search.fit if settings.accelerated else plain.fit)
