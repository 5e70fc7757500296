"""`qhyper report`: what finished runs have found, and their pages anew."""

import json
import sys

from qhyper.cli.options import Json, RunFolders
from qhyper.cli.terminal import print_outcome


def report(runs: RunFolders, as_json: Json = False) -> None:
    """Print the results of finished runs, and write their pages anew."""
    from qhyper.run.comparison import stored, write_report
    from qhyper.run.directory import Run
    from qhyper.submit.page import write_page
    from qhyper.submit.stored import submissions

    opened = [Run.open(path) for path in runs]
    outcomes = [stored(run) for run in opened]
    if as_json:
        found = [outcome.to_json() for outcome in outcomes]
        print(json.dumps(found[0] if len(found) == 1 else found))
    for run, outcome in zip(opened, outcomes, strict=True):
        report_file = write_report(run, outcome)
        if not as_json:
            print_outcome(outcome)
        print(f"Report: {report_file}", file=sys.stderr)
        for submission in submissions(run):
            if submission.read().found is not None:
                print(f"{submission.title}: {write_page(submission)}", file=sys.stderr)
