"""The command line: ``fastem fit FILE -k K`` reads a table, fits a mixture, prints, saves and draws it."""

import atexit
import errno
import gc
import os
import re
import signal
import sys

from ..extras import needed
from .messages import one_line, printable

# Error numbers of a full disk. If the error has no file name, it is about standard output.
_FULL = errno.ENOSPC, errno.EFBIG, errno.EDQUOT


def main(argv=None):
    """Run the command line.

    Parameters
    ----------
    argv : list of str, optional
        Arguments after the program's name; those of the process when left out.

    Returns
    -------
    int
        Exit status. 0: success. 2: bad usage, bad data or a failed fit, with one line on standard error. 130: Ctrl-C.
        141: standard output is a pipe whose reader has gone. Run as a program (without `argv`), it exits with 143 after
        SIGTERM and leaves no partial files.
    """
    if argv is None:
        signal.signal(signal.SIGTERM, _terminated)
        # Imports make a hundred thousand objects that live to the end. To look for garbage among them, again and again
        # and at exit, would take a quarter of a short command.
        gc.set_threshold(10_000, 50, 1000)
        atexit.register(gc.freeze)
    if sys.stdout is None:  # closed (>&-): discard output, as print() does
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    try:
        usage_error = _usage_error(needed("typer", "cli"))
        needed("rich", "cli")
        from .app import app

        try:
            command = app(argv, prog_name="fastem", standalone_mode=False)
        except usage_error as error:
            return _usage_failed(error)
        if callable(command):
            command()
        sys.stdout.flush()
        return 0
    except KeyboardInterrupt:
        print("fastem: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone: redirect standard output, so that the flush at exit doesn't fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, MemoryError, ImportError, RuntimeError) as error:
        is_output = isinstance(error, OSError) and error.filename is None and error.errno in _FULL
        return _failed(f"standard output: {one_line(error)}" if is_output else one_line(error))


def _terminated(number, frame):
    raise SystemExit(128 + number)


def _usage_error(typer):
    """The class of typer's usage errors, which has no public name."""
    return next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


def _usage_failed(error):
    message = _plainly(" ".join(error.format_message().split()), error.__cause__)
    if not message:  # no command was given, and help was printed
        return 2
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "fastem"
    if "'--components'" in message and re.search(r"got '\d+[-,]", message):
        return _failed(f"{message}; fastem select tries several")
    message = re.sub(r"\. Did you mean (.*)\?$", r"; did you mean \1?", message.rstrip("."))
    return _failed(f"{message}{' ' if message.endswith('?') else '; '}{command} --help says more")


def _plainly(message, cause):
    """typer's message (by pydantic or click, as its version has it) about a value that can't be used, in our words.

    cause: the exception that it is made of, which may know the value.
    """
    given = cause.errors()[0].get("input") if hasattr(cause, "errors") else None
    got = "" if given is None else f", got {given!r}"
    for pattern, words in (
        (r"Value error, ", ""),
        (r"Input should be a valid integer.*", f"should be a whole number{got}"),
        (r"Input should be a valid number.*", f"should be a number{got}"),
        (r"Input should be", "should be"),
        (r"('[^']*') is not a valid integer.*", r"should be a whole number, got \1"),
        (r"('[^']*') is not a valid (float|number).*", r"should be a number, got \1"),
    ):
        message = re.sub(pattern, words, message)
    if match := re.search(r"('[^']*') is not one of (.*?)\.?$", message):
        choices = match[2].replace("'", "")
        message = f"{message[: match.start()]}{match[1]} is none of {choices}"
    return message


def _failed(message):
    print(f"fastem: error: {printable(message)}", file=sys.stderr)
    return 2
