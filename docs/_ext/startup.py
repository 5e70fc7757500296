"""What each notebook's kernel begins with: a command that fails fails its cell, and the build."""

from IPython.core.getipython import get_ipython

shell = get_ipython()
assert shell is not None
plain = shell.system


def system(command: str) -> None:
    """Run what stands after `!`; RuntimeError unless its exit code is 0."""
    plain(command)
    code = shell.user_ns.get("_exit_code", 0)
    if code:
        raise RuntimeError(f"`{command}` ended with exit code {code}.")


shell.system = system
