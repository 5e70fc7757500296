"""What a shell completes: names that are registered, also after a comma."""

from collections.abc import Callable

from qhyper.registry import names


def completed(*kinds: str) -> Callable[[str], list[str]]:
    """Completes a name of one of these kinds; of several with commas between, the last one."""

    def complete(incomplete: str) -> list[str]:
        before, comma, _ = incomplete.rpartition(",")
        return [before + comma + name for kind in kinds for name in names(kind)]

    return complete
