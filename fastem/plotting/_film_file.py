"""Films in files: GIF by Pillow, MP4 by ffmpeg."""

import os
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from ..extras import needed
from ._style import evenly

FORMATS = (".gif", ".mp4")
_FIRST_SECONDS = 0.8
_NEARLY_WHITE = 244


def check(path):
    """Raise if no film can be written to this path; called before any work is done."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise ValueError(f"{path}: a film should be a .gif or .mp4 file")
    if suffix == ".gif":
        needed("PIL", "plot")
    elif not needed("matplotlib.animation", "plot").writers.is_available("ffmpeg"):
        raise RuntimeError(
            f"{path}: an .mp4 film needs ffmpeg, which isn't found: install it, name it in "
            "matplotlib.rcParams['animation.ffmpeg_path'], or write a .gif"
        )


def write(path, film, moments, *, fps, last_seconds):
    """Write the film at these moments; an existing file is replaced when the new one is complete."""
    seconds = np.full(len(moments), 1 / fps)
    seconds[0], seconds[-1] = _FIRST_SECONDS, last_seconds
    write_as = _write_gif if path.suffix.lower() == ".gif" else _write_mp4
    with _beside(path) as partial:
        write_as(partial, film, moments, seconds, fps)
    return path


@contextmanager
def _beside(path):
    """A temporary path in the same folder: renamed to `path` at the end, removed after an error."""
    partial = path.with_name(f".{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _write_gif(path, film, moments, seconds, fps):
    """Write a GIF whose pictures share one palette, so that Pillow stores only what changes from one to the next."""
    image = needed("PIL.Image", "plot")
    pictures = []
    for moment in moments:
        film.show(moment)
        pictures.append(image.fromarray(film.pixels()))
    palette = _common_palette(image, pictures, min(128, 24 + 8 * film.n_components))
    first, *others = [picture.quantize(palette=palette, dither=image.Dither.NONE) for picture in pictures]
    durations = [10 * round(100 * duration) for duration in seconds]  # GIF counts hundredths of a second
    look = {"loop": 0, "optimize": True, "disposal": 1}
    first.save(path, format="GIF", save_all=True, append_images=others, duration=durations, **look)


def _common_palette(image, pictures, n_colors):
    """An image with the palette of a sample of the pictures, near-white set to white; fewer colours, smaller file."""
    some = [pictures[i] for i in evenly(len(pictures), 6)]
    together = image.fromarray(np.concatenate(some)).quantize(n_colors, method=image.Quantize.MEDIANCUT)
    colors = np.array(together.getpalette()[: 3 * n_colors]).reshape(-1, 3)
    colors[colors.min(axis=1) > _NEARLY_WHITE] = 255
    swatch = image.new("P", (1, 1))
    swatch.putpalette(colors.ravel().tolist())
    return swatch


def _write_mp4(path, film, moments, seconds, fps):
    writer = needed("matplotlib.animation", "plot").FFMpegWriter(
        fps=fps, codec="libx264", extra_args=["-pix_fmt", "yuv420p"]
    )
    with writer.saving(film.figure, str(path), film.figure.dpi):
        for moment, duration in zip(moments, seconds, strict=True):
            film.show(moment)
            for _ in range(max(1, round(duration * fps))):
                writer.grab_frame()
