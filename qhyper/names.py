"""Objects by name: `module:name` stands wherever a registered name does."""

import importlib
from typing import Any

from qhyper.errors import ConfigurationError


def load_object(path: str) -> Any:
    """The object that `module:name` names.

    Raises ConfigurationError, saying what could not be imported.
    """
    module, colon, attribute = path.partition(":")
    if not (module and colon and attribute):
        raise ConfigurationError(f"Got '{path}'; expected module:name, such as mymodule:my_loss.")
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a user's module can fail in any way
        raise ConfigurationError(
            f"Cannot load '{path}': {type(error).__name__}: {error}. Expected module:name, with "
            "the module importable from here (check the name, and PYTHONPATH)."
        ) from error
