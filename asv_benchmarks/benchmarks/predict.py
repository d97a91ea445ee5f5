"""Prediction: as fast as an E-step, and faster where no exp is needed."""

from .common import COVARIANCE_TYPES, USUAL, fit, make_case, setup_cache  # noqa: F401 (for asv)


class Predict:
    param_names = ("covariance_type",)
    params = (COVARIANCE_TYPES,)

    def setup(self, covariance_type):
        self.X, start = make_case(f"{covariance_type} {USUAL}")
        self.model = fit(self.X, max_iter=1, **start)
        self.model.predict(self.X[:100])  # loads the kernel

    def time_predict(self, *params):
        self.model.predict(self.X)

    def peakmem_predict(self, *params):
        self.model.predict(self.X)

    def time_predict_proba(self, *params):
        self.model.predict_proba(self.X)

    def peakmem_predict_proba(self, *params):
        self.model.predict_proba(self.X)

    def time_score_samples(self, *params):
        self.model.score_samples(self.X)

    def peakmem_score_samples(self, *params):
        self.model.score_samples(self.X)

    def track_negative_log_likelihood(self, *params):
        """Negative, since to asv less is better."""
        return -self.model.score(self.X)

    track_negative_log_likelihood.unit = "nats"
