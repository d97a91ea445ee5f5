"""Notes and errors of the command line, and the wording of counts."""

import sys


class TableError(ValueError):
    """Input or output that can't be used; the message says which file or option, where in it, and why."""


def note(message):
    print(f"fastem: note: {printable(message)}", file=sys.stderr)


def printable(text):
    """The text without control characters, which could steer the terminal."""
    return "".join(character if character.isprintable() else "?" for character in text)


def one_line(error):
    if isinstance(error, OSError) and error.strerror:
        return error.strerror if error.filename is None else f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def many(n, noun):
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
