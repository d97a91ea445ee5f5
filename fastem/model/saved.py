"""Objects that can be saved in a file: they return their state, and are made from it again."""

from dataclasses import fields, is_dataclass


class Saved:
    """An object equal to `from_state(state())`. The names in a state are part of the file format."""

    def state(self):
        """All attributes as a dict: numbers, strings, arrays, lists of these, and other `Saved` objects."""
        if is_dataclass(self):  # without the values that it caches
            return {field.name: getattr(self, field.name) for field in fields(self)}
        return dict(vars(self))

    @classmethod
    def from_state(cls, state):
        """The object with this state. A state from a file must have been checked by the caller."""
        if is_dataclass(cls):
            return cls(**state)
        self = object.__new__(cls)
        self.__dict__.update(state)
        return self
