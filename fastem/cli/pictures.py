"""fastem.plotting for commands: drawing without a screen, to files of known kinds."""

from ..extras import needed
from .messages import TableError

PICTURES = ".png", ".pdf", ".svg"
FILMS = ".gif", ".mp4"


def plotting():
    """`fastem.plotting`, set up to draw without a screen."""
    needed("matplotlib", "plot").use("Agg")
    import fastem.plotting

    return fastem.plotting


def check_suffix(option, path, kinds):
    """Refuse a file name that doesn't end in one of the known suffixes."""
    if not path.lower().endswith(kinds):
        *others, last = kinds
        raise TableError(f"{option}: {path} should end in {', '.join(others)} or {last}")


def save(display, path):
    """Write a display's figure to a file, and close the figure."""
    try:
        display.figure_.savefig(path)
    finally:
        needed("matplotlib.pyplot", "plot").close(display.figure_)
