"""The choice of how a new fit finds its start: by a search, or as textbook EM does."""

from . import plain, search, truncated


def chosen(settings, annotations, thorough=None):
    """The function (source, family, settings, random_state, *, annotations, progress) that makes a new fit.

    Parameters
    ----------
    settings : em.Settings
    annotations : Annotations
    thorough : callable, default=None
        The search to use if points are softly assigned and have no labels; else components must not be merged and
        split. None: `search.fit` if the settings ask for accelerated steps, else `plain.fit`.
    """
    if settings.truncated:
        return truncated.fit
    if settings.assignment != "soft" or annotations.is_constrained:
        return plain.fit
    return thorough or (search.fit if settings.accelerated else plain.fit)
