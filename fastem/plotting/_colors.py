"""Colours that colour-blind readers can tell apart, and mixtures of them."""

import numpy as np

from ._style import is_dark

# Okabe & Ito 2008 without yellow and black, which are hard to see beside white paper and ink, then four of Tol's
# 'muted'. The first ones also differ in lightness.
_FIRST = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#332288",
    "#882255",
    "#999933",
    "#661100",
)
NOISE = np.array([0.62, 0.62, 0.62])
"""The colour of noise, sRGB."""

_LEAST_ON_DARK, _LIGHT = 0.48, 0.70  # OKLab lightness
_GOLDEN_ANGLE = np.pi * (3 - np.sqrt(5))

# Ottosson 2020, "A perceptual color space for image processing": linear light -> cones -> OKLab.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_OKLAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def palette(n):
    """n colours, (n, 3) in sRGB from 0 to 1: a fixed list of ten, then hues a golden angle apart in OKLab.

    If the background of matplotlib's axes is dark, dark colours are made lighter.
    """
    rgb = np.array([[int(color[i : i + 2], 16) for i in (1, 3, 5)] for color in _FIRST]) / 255
    more = np.arange(max(0, n - len(rgb)))
    lightness = np.array([0.72, 0.42, 0.58])[more % 3]
    hue = 0.4 + more * _GOLDEN_ANGLE
    lab = np.column_stack([lightness, 0.13 * np.cos(hue), 0.13 * np.sin(hue)])
    colors = np.concatenate([rgb[:n], to_rgb(lab)])
    if not is_dark():
        return colors
    lab = to_lab(colors)
    lab[:, 0] = np.maximum(lab[:, 0], _LEAST_ON_DARK + 0.25 * lab[:, 0])
    return to_rgb(lab)


def on_top(color):
    """White or black, (3,), whichever can be read on this colour."""
    return np.full(3, 1.0 if to_lab(color)[0] < _LIGHT else 0.0)


def to_lab(rgb):
    """sRGB to OKLab, in which the mean of two colours looks halfway between them."""
    rgb = np.asarray(rgb, dtype=np.float64)
    light = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return np.cbrt(light @ _CONES.T) @ _OKLAB.T


def to_rgb(lab):
    """OKLab to sRGB, clipped to the range of a screen."""
    light = (np.asarray(lab) @ np.linalg.inv(_OKLAB).T) ** 3 @ np.linalg.inv(_CONES).T
    light = np.clip(light, 0, 1)
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
