"""scikit-learn's callback protocol; for versions without it (before 1.9), the part of it that mixtures need."""

import copy
import inspect
from contextlib import contextmanager


class OwnCallbackSupportMixin:
    """Stands in for `sklearn.callback.CallbackSupportMixin`."""

    _HOOKS = "setup", "on_fit_task_begin", "on_fit_task_end", "teardown"

    def set_callbacks(self, *callbacks):
        """Set the callbacks to call at each fit, start and iteration, in place of earlier ones; none removes them.

        Parameters
        ----------
        *callbacks : objects with the four methods that `fastem.callbacks` describes

        Returns
        -------
        self : estimator
        """
        for callback in callbacks:
            if isinstance(callback, type) or not all(hasattr(callback, hook) for hook in self._HOOKS):
                raise TypeError(
                    f"callbacks should be instances with the methods {', '.join(self._HOOKS)}, not {callback!r:.100}"
                )
        if callbacks:
            self._skl_callbacks = list(callbacks)
        else:
            self.__dict__.pop("_skl_callbacks", None)
        return self

    def __sklearn_clone__(self):
        clone = super().__sklearn_clone__()
        if hasattr(self, "_skl_callbacks"):
            clone._skl_callbacks = self._skl_callbacks
        return clone

    def _init_callback_context(self, task_name="fit", max_subtasks=0):
        root = self._callback_root = Task(self._skl_callbacks, type(self).__name__, task_name, 0, max_subtasks)
        for callback in self._skl_callbacks:
            root.set_up.append(callback)
            callback.setup(self, root)
        return root


@contextmanager
def callbacks_torn_down(estimator):
    """At the end of the block, call `teardown` of every callback that the stand-in has set up."""
    try:
        yield
    finally:
        root = estimator.__dict__.pop("_callback_root", None)
        for callback in root.set_up if root else ():
            callback.teardown(estimator, root)


class Task:
    """A task of a fit: the whole ('fit'), a start ('init') or an iteration. Stands in for scikit-learn's contexts."""

    def __init__(self, callbacks, estimator_name, task_name, task_id, max_subtasks, parent=None):
        self._callbacks = callbacks
        self._n_subtasks = 0
        self.set_up = []
        self.estimator_name = estimator_name
        self.task_name = task_name
        self.task_id = task_id
        self.max_subtasks = max_subtasks
        self.parent = parent

    def subcontext(self, task_name="", max_subtasks=0):
        """The next subtask of this one."""
        task_id, self._n_subtasks = self._n_subtasks, self._n_subtasks + 1
        return Task(self._callbacks, self.estimator_name, task_name, task_id, max_subtasks, self)

    def call_on_fit_task_begin(self, **known):
        """Call every callback's `on_fit_task_begin`."""
        self._call("on_fit_task_begin", **known)

    def call_on_fit_task_end(self, **known):
        """Call every callback's `on_fit_task_end`; True if one of them asks to end the parent task."""
        return self._call("on_fit_task_end", **known)

    def _call(self, hook, *, estimator, reconstruction_attributes=None, **known):
        """Call a hook of each callback with the values that its keyword-only parameters name.

        A value given as a function is computed only if a callback wants it, and only once.
        """
        made = {}

        def value_of(name):
            if name not in made:
                value = reconstruction_attributes if name == "fitted_estimator" else known.get(name)
                value = value() if callable(value) else value
                if name == "fitted_estimator" and value is not None:
                    fitted = copy.copy(estimator)
                    fitted.__dict__.update(value)
                    value = fitted
                made[name] = value
            return made[name]

        results = []
        for callback in self._callbacks:
            method = getattr(callback, hook)
            wanted = [p.name for p in inspect.signature(method).parameters.values() if p.kind is p.KEYWORD_ONLY]
            results.append(method(estimator, self, **{name: value_of(name) for name in wanted}))
        return any(results)


try:
    from sklearn.callback import CallbackSupportMixin
except ModuleNotFoundError as error:
    if error.name != "sklearn.callback":
        raise
    CallbackSupportMixin = OwnCallbackSupportMixin
