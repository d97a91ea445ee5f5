"""What the command line says on the side, and how it counts."""

import sys


class TableError(ValueError):
    """A file that can't be used as a table of numbers; says which, where and why."""


def note(message):
    print(f"fastem: note: {printable(message)}", file=sys.stderr)


def printable(text):
    """Text that can't steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def one_line(error):
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def many(n, noun):
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
