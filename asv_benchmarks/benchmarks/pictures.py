"""Pictures of many points: they are counted into pixels, never drawn one by one."""

import io

import matplotlib.pyplot

from fastem import GaussianMixture
from fastem.plotting import MixtureDisplay, ResponsibilityDisplay

from .common import make_points, setup_cache  # noqa: F401 (for asv)

matplotlib.use("Agg")

DISPLAYS = {display.__name__: display for display in (MixtureDisplay, ResponsibilityDisplay)}


class MillionPoints:
    """A million points by 2, eight components, to a PNG."""

    param_names = ("display",)
    params = (list(DISPLAYS),)

    def setup(self, display):
        self.X, _ = make_points(1_000_000, 2, 8)
        self.model = GaussianMixture(8, random_state=0).fit(self.X)
        self.time_draw(display)

    def time_draw(self, display):
        figure = DISPLAYS[display].from_estimator(self.model, self.X).figure_
        figure.savefig(io.BytesIO())
        matplotlib.pyplot.close(figure)
