"""Optional packages: imported where they are used, and named where they are missing."""

import importlib


def needed(module, extra):
    """Import a module of an optional package.

    Raises
    ------
    ImportError
        Where it isn't installed, saying what to install.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.split(".")[0]
        if error.name is None or error.name.split(".")[0] != package:
            raise
        raise ImportError(f"{package} is needed for this: pip install 'fastem[{extra}]'") from None
