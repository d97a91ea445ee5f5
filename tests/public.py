"""What is public: the functions and classes of the public modules, those that they return, and their methods."""

import functools
import inspect
import types
import warnings
from typing import NamedTuple

import fastem
import fastem.callbacks
import fastem.datasets
import fastem.plotting
import fastem.sources
from fastem.fitting.report import FitReport
from fastem.selection import Selection

MODULES = fastem, fastem.callbacks, fastem.datasets, fastem.plotting, fastem.sources
# Not exported, as users get them from `select` and `fit`.
RETURNED = Selection, FitReport

_METHODS = types.FunctionType, classmethod, staticmethod, property, functools.cached_property


class Public(NamedTuple):
    """A class, function, method or property. `owner` is the class that defines a method, else None."""

    name: str
    object: object
    owner: type | None = None

    @property
    def doc(self):
        return inspect.cleandoc(self.callable.__doc__ or "") if self.owner else inspect.getdoc(self.object) or ""

    @property
    def callable(self):
        """The function itself, of a property the one that reads it; a class stays one."""
        if isinstance(self.object, property):
            return self.object.fget
        if isinstance(self.object, functools.cached_property):
            return self.object.func
        return inspect.unwrap(getattr(self.object, "__func__", self.object))

    @property
    def is_called(self):
        """Whether it has arguments; a property and an exception as users meet them have none."""
        is_error = isinstance(self.object, type) and issubclass(self.object, BaseException)
        return not is_error and not isinstance(self.object, property | functools.cached_property)

    @property
    def parameters(self):
        """The parameters that a caller passes."""
        of = self.object.__init__ if isinstance(self.object, type) else self.callable
        if of is object.__init__:
            return []
        found = list(inspect.signature(of).parameters.values())
        is_bound = (self.owner and not isinstance(self.object, staticmethod)) or isinstance(self.object, type)
        return found[1:] if is_bound else found


def exported(module):
    """Names and values of what the module exports, other modules left out."""
    names = getattr(module, "__all__", None) or [name for name in vars(module) if not name.startswith("_")]
    for name in names:
        value = getattr(module, name)
        if callable(value):
            yield name, value


def objects():
    """Every public object once: a method where it is defined, however many classes inherit it."""
    found = {}
    tops = [(f"{module.__name__}.{name}", value) for module in MODULES for name, value in exported(module)]
    for name, value in [*tops, *((f"fastem.{cls.__name__}", cls) for cls in RETURNED)]:
        found.setdefault(id(value), Public(name, value))
        if not isinstance(value, type):
            continue
        for owner in value.__mro__:
            if not owner.__module__.startswith("fastem"):
                continue
            for method, each in vars(owner).items():
                if not method.startswith("_") and isinstance(each, _METHODS):
                    found.setdefault(id(each), Public(f"{name}.{method}", each, owner))
    return list(found.values())


def modules():
    """Every module of the package."""
    import importlib
    import pkgutil

    with warnings.catch_warnings():
        return [
            importlib.import_module(each.name)
            for each in pkgutil.walk_packages(fastem.__path__, "fastem.")
            if not each.name.endswith("__main__")
        ]
