"""Packages that only some need, as extras of the project."""

from collections.abc import Iterator
from contextlib import contextmanager

from qhyper.errors import MissingError


@contextmanager
def needs(extra: str, what: str) -> Iterator[None]:
    """Within, `what` imports the packages of an extra; raises MissingError where that fails.

    The message names no versions: pip takes those that the extra asks for.
    """
    try:
        yield
    except ImportError as error:
        raise MissingError(
            f"{what} needs packages that are not installed, or too old ({error}). Install them "
            f'with: pip install "qhyper[{extra}]", or in a checkout: pip install -e ".[{extra}]"'
        ) from error
