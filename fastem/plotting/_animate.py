"""animate_fit: a film of EM from a random start to convergence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from . import _film_file
from ._film import Film
from ._points import points_of
from ._points_display import chosen_features
from ._run import moments, random_run, run_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from numpy.typing import ArrayLike

    from ..callbacks import Frames

_OWN_RUN = "EM from a random start, made for this film"
_MAX_POINTS = 20_000  # points fitted and drawn, at most; as many fits are made as there are starts


def animate_fit(
    model: Any,
    X: ArrayLike,
    path: str | Path,
    *,
    sample_weight: ArrayLike | str | None = None,
    frames: Frames | None = None,
    features: Sequence[int | str] | None = None,
    feature_names: Sequence[str] | None = None,
    max_points: int = _MAX_POINTS,
    max_frames: int = 64,
    fps: float = 12.5,
    last_seconds: float = 2.5,
    size: tuple[int, int] = (800, 400),
) -> Path:
    """Write a film of the fit: components moving over the points, and the curve of the log-likelihood beside them.

    Without `frames`, the film shows a run of its own, and says so: a clone of the model is fitted by textbook EM from
    random starts (Gaussians about random points) until nothing visible moves. `fit` itself usually starts better, and
    takes other steps than EM's. The film shows the run that ends at the model's log-likelihood; if none does, or the
    model isn't fitted, it shows the run that ends highest. Between two iterations parameters are interpolated
    linearly, and the title names the two. An iteration takes more time the farther components move in it, so the early
    iterations, which change much, take most of the film.

    Parameters
    ----------
    model : GaussianMixture
        Fitted or not.
    X : array-like of shape (n, D), or a source as in `fit`
        Values may be missing (NaN) if the model has `missing='em'`; such a point is left out where they are needed.
    path : str or Path
        Of a `.gif` or `.mp4` file; `.mp4` needs ffmpeg.
    sample_weight : array-like of shape (n,), default=None
        Multiplicities, as in `fit`. The film's own fit, bars and cells count them; the area of a marker is proportional
        to them.
    frames : Frames or list of fitted models, default=None
        The iterations of a fit, recorded by `fastem.callbacks.Frames`.
    features : list of int or str, default=None
        One or two features to show; by default the two that separate the components best.
    feature_names : list of str of length D, default=None
    max_points : int, default=20_000
        If there are more points, an even sample is fitted and drawn.
    max_frames : int, default=64
        Pictures in the film.
    fps : float, default=12.5
        Pictures a second.
    last_seconds : float, default=2.5
        How long the last picture stays.
    size : (int, int), default=(800, 400)
        Width and height, pixels.

    Returns
    -------
    path : Path

    Raises
    ------
    ValueError
        If X doesn't suit the model, or the file's name ends in neither .gif nor .mp4.
    RuntimeError
        If ffmpeg is needed and not found.
    ImportError
        Without matplotlib or Pillow.
    """
    _film_file.check(path)
    is_fitted = hasattr(model, "means_")
    last = list(getattr(frames, "best", frames))[-1] if frames is not None else model
    points = points_of(X, last if is_fitted or frames is not None else None, feature_names, max_points, sample_weight)
    heading = ""
    if frames is None:
        heading = _OWN_RUN
        frames = random_run(model, points.values, points.weights)
    run = run_of(frames, points.values, like=model if is_fitted else None, weights=points.weights)
    most = min(2, len(points.names))
    shown, _ = chosen_features(run.mixtures[-1], points.names, features, most)
    if len(shown) > 2:
        raise ValueError(f"features should name one or two features for a film, but got {len(shown)}")
    film = Film(run, points.only(shown), shown, points.values, size, heading)
    return _film_file.write(Path(path), film, moments(run, max_frames), fps=fps, last_seconds=last_seconds)
