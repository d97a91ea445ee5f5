"""Optional packages: imported at their first use; the error for a missing one says how to install it."""

import importlib


def needed(module, extra):
    """Import a module of an optional package.

    Raises
    ------
    ImportError
        If it isn't installed; the message says what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".")[0]
        if error.name is None or error.name.split(".")[0] != package:
            raise
        raise ImportError(f"{package} is needed for this: pip install 'fastem[{extra}]'") from None
