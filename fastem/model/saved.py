"""What files hold beside arrays: objects that hand out their state and can be made of it again."""

from dataclasses import is_dataclass


class Saved:
    """An object whose `from_state(state())` is the same again. Names in a state are those of the file format."""

    def state(self):
        """A dict of all that the object is made of: numbers, strings, arrays, lists of them, and other such objects."""
        return dict(vars(self))

    @classmethod
    def from_state(cls, state):
        """The object again; whoever read the state from a file has checked what it holds."""
        if is_dataclass(cls):
            return cls(**state)
        self = object.__new__(cls)
        self.__dict__.update(state)
        return self
