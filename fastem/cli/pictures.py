"""fastem.plotting for a command: no screen, and a file of a known kind."""

from ..extras import needed
from .messages import TableError

PICTURES = ".png", ".pdf", ".svg"
FILMS = ".gif", ".mp4"


def plotting():
    """`fastem.plotting`, drawing without a screen."""
    needed("matplotlib", "plot").use("Agg")
    import fastem.plotting

    return fastem.plotting


def check_suffix(option, path, kinds):
    """Refuse a file name that says no known kind."""
    if not path.lower().endswith(kinds):
        raise TableError(f"{option}: {path}: should end in {' or '.join(kinds)}")


def save(display, path):
    """Write what was drawn to a file, and close it."""
    try:
        display.figure_.savefig(path)
    finally:
        needed("matplotlib.pyplot", "plot").close(display.figure_)
