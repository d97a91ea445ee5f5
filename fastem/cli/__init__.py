"""The command line: ``fastem fit FILE -k K`` reads a table, fits a mixture, prints, saves and draws it."""

import errno
import os
import signal
import sys

from ..extras import needed
from .messages import one_line, printable

# What only standard output can fail with here: writers of files name theirs.
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
        0 if all went well; 2 with one line on standard error if not: bad usage, bad data, a fit that failed; 130
        after Ctrl-C, 141 where standard output is a pipe that nobody reads any more. As the program it also ends by
        SIGTERM, 143, without leaving files half written.
    """
    if argv is None:
        signal.signal(signal.SIGTERM, _terminated)
    if sys.stdout is None:  # closed, as by >&-: what is printed goes nowhere, as print() has it
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
        # The reader (head, less) has gone: give the flush at exit somewhere harmless to write to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (ValueError, OSError, MemoryError, ImportError, RuntimeError) as error:
        is_output = isinstance(error, OSError) and error.filename is None and error.errno in _FULL
        return _failed(f"standard output: {one_line(error)}" if is_output else one_line(error))


def _terminated(number, frame):
    raise SystemExit(128 + number)


def _usage_error(typer):
    """What typer raises for bad usage, which has no public name."""
    return next(cls for cls in typer.BadParameter.__mro__ if cls.__name__ == "ClickException")


def _usage_failed(error):
    message = " ".join(error.format_message().split())
    if not message:  # help was printed, for want of a command
        return 2
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "fastem"
    return _failed(f"{message.rstrip('.')}; {command} --help says more")


def _failed(message):
    print(f"fastem: error: {printable(message)}", file=sys.stderr)
    return 2
