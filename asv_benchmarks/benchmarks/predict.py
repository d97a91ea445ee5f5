"""Prediction: as fast as an E-step, and faster where no exp is needed."""

from .common import COVARIANCE_TYPES, SHAPES, USUAL_SHAPE, fit, make_points, make_start


class Predict:
    param_names = ("covariance_type",)
    params = (COVARIANCE_TYPES,)

    def setup(self, covariance_type):
        self.X, means = make_points(*SHAPES[USUAL_SHAPE])
        start = make_start(self.X, means, covariance_type)
        self.model = fit(self.X, len(means), covariance_type=covariance_type, max_iter=1, **start)
        self.model.predict(self.X[:100])

    def time_predict(self, *params):
        self.model.predict(self.X)

    def time_predict_proba(self, *params):
        self.model.predict_proba(self.X)

    def time_score_samples(self, *params):
        self.model.score_samples(self.X)

    def peakmem_predict(self, *params):
        self.model.predict(self.X)

    def track_log_likelihood(self, *params):
        return self.model.score(self.X)

    track_log_likelihood.unit = "nats"
