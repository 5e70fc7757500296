"""The command that makes one run of several."""

from pathlib import Path

from qhyper.cli.options import Json, Name, Out, RunFolders
from qhyper.cli.terminal import print_comparison, warn


def merge(
    runs: RunFolders,
    name: Name = None,
    out: Out = Path("runs"),
    as_json: Json = False,
) -> None:
    """Make one run of finished ones that differ in their seeds alone.

    They have to be made with the same versions and data, and no seed may stand twice. What is
    there stays as it is.
    """
    from qhyper.run.directory import Run, check_name
    from qhyper.run.merge import merge as merged
    from qhyper.storage import check_folder

    check_name(name or "merge")
    check_folder(out)
    outcome = merged([Run.open(run) for run in runs], out, name or "merge", warn=warn)
    assert outcome.run is not None
    print_comparison(outcome, outcome.run.path, as_json)
